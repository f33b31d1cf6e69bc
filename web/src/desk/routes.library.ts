// SPDX-License-Identifier: Apache-2.0 OR MIT
import { page, type Route } from './lib/route.ts';

const soon = page(() => import('./pages/Soon.svelte'));

export const libraryRoutes: Route[] = [
  { path: '/assets', text: 'Assets', icon: 'asset', group: 'Library', needs: 'asset:view', words: 'videos upload files vod', load: soon },
  { path: '/assets/:id', needs: 'asset:view', load: soon },
  { path: '/collections', text: 'Collections', icon: 'collection', group: 'Library', needs: 'collection:view', words: 'playlists', load: soon },
  { path: '/collections/:id', needs: 'collection:view', load: soon },
  { path: '/recordings', text: 'Recordings', icon: 'recording', group: 'Library', needs: 'recording:view', words: 'archive mp4', load: soon },
  { path: '/recordings/:id', needs: 'recording:view', load: soon },
  { path: '/distributions', text: 'Distributions', icon: 'distribution', group: 'Delivery', needs: 'distribution:view', words: 'cdn hosts invalidation', load: soon },
  { path: '/distributions/:id', needs: 'distribution:view', load: soon },
  { path: '/keys', text: 'Keys', icon: 'key', group: 'Delivery', needs: 'key:view', words: 'signing key groups', load: soon },
  { path: '/nodes', text: 'Nodes', icon: 'node', group: 'Delivery', needs: 'node:view', words: 'edges machines', load: soon },
  { path: '/webhooks', text: 'Webhooks', icon: 'webhook', group: 'Delivery', needs: 'webhook:view', words: 'callbacks', load: soon },
  { path: '/usage', text: 'Usage', icon: 'usage', group: 'Insight', needs: 'usage:view', words: 'bytes traffic viewers', load: soon },
  { path: '/charges', text: 'Charges', icon: 'charges', group: 'Insight', needs: 'usage:view', words: 'costs billing prices invoices', load: soon },
  { path: '/analytics', text: 'Analytics', icon: 'analytics', group: 'Insight', needs: 'usage:view', words: 'audience quality browsers attendance', load: soon },
  { path: '/activity', text: 'Activity', icon: 'activity', group: 'Insight', needs: 'log:view', words: 'log events', load: soon },
  { path: '/audit', text: 'Audit', icon: 'audit', group: 'Insight', needs: 'audit:view', words: 'who did what', load: soon },
  { path: '/users', text: 'Users', icon: 'users', group: 'Account', needs: 'user:view', words: 'people roles privileges', load: soon },
  { path: '/users/:id', needs: 'user:view', load: soon },
  { path: '/sessions', text: 'Sessions', icon: 'session', group: 'Account', words: 'log-ins', load: soon },
  { path: '/tokens', text: 'API tokens', icon: 'token', group: 'Account', needs: 'token:view', words: 'scopes access', load: soon },
  { path: '/settings', text: 'Settings', icon: 'settings', group: 'Account', needs: 'settings:view', words: 'configuration', load: soon },
];
