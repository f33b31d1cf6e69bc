// SPDX-License-Identifier: Apache-2.0 OR MIT
// Every page of the desk: its address, its place in the navigation, the privilege that it needs, and its chunk.

import { page, type Route } from './lib/route.ts';
import { libraryRoutes } from './routes.library.ts';
import { liveRoutes } from './routes.live.ts';

export const routes: Route[] = [
  { path: '/', text: 'Overview', icon: 'home', needs: 'operation:view', load: page(() => import('./pages/Overview.svelte')), words: 'start home dashboard' },
  ...liveRoutes,
  ...libraryRoutes,
];
