// SPDX-License-Identifier: Apache-2.0 OR MIT
import { page, type Route } from './lib/route.ts';

export const liveRoutes: Route[] = [
  { path: '/channels', text: 'Channels', icon: 'channel', group: 'Live', needs: 'channel:view', words: 'pipelines inputs push rtmp', load: page(() => import('./pages/Channels.svelte')) },
  { path: '/channels/:id', needs: 'channel:view', load: page(() => import('./pages/Channel.svelte')) },
  { path: '/breakouts', text: 'Breakouts', icon: 'breakout', group: 'Live', needs: 'breakout:view', words: 'sessions shows', load: page(() => import('./pages/Breakouts.svelte')) },
  { path: '/breakouts/:id', needs: 'breakout:view', load: page(() => import('./pages/Breakout.svelte')) },
  { path: '/live', text: 'On air now', icon: 'live', group: 'Live', needs: 'breakout:view', words: 'live streams running', load: page(() => import('./pages/Live.svelte')) },
  { path: '/explore', text: 'Explorer', icon: 'explore', group: 'Live', needs: 'breakout:view', words: 'search breakouts filter', load: page(() => import('./pages/Explore.svelte')) },
  { path: '/clusters', text: 'Clusters', icon: 'cluster', group: 'Live', needs: 'cluster:view', words: 'regions failover drill', load: page(() => import('./pages/Clusters.svelte')) },
  { path: '/clusters/:id', needs: 'cluster:view', load: page(() => import('./pages/Cluster.svelte')) },
];
