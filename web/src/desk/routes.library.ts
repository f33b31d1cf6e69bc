// SPDX-License-Identifier: Apache-2.0 OR MIT
import { page, type Route } from './lib/route.ts';

export const libraryRoutes: Route[] = [
  { path: '/library', text: 'Assets', icon: 'asset', group: 'Library', needs: 'asset:view', words: 'library videos upload files vod', load: page(() => import('./pages/Library.svelte')) },
  { path: '/library/:id', needs: 'asset:view', load: page(() => import('./pages/Asset.svelte')) },
  { path: '/collections', text: 'Collections', icon: 'collection', group: 'Library', needs: 'collection:view', words: 'playlists courses', load: page(() => import('./pages/Collections.svelte')) },
  { path: '/collections/:id', needs: 'collection:view', load: page(() => import('./pages/Collection.svelte')) },
  { path: '/recordings', text: 'Recordings', icon: 'recording', group: 'Library', needs: 'recording:view', words: 'archive mp4', load: page(() => import('./pages/Recordings.svelte')) },
  { path: '/recordings/:id', needs: 'recording:view', load: page(() => import('./pages/Recording.svelte')) },
  { path: '/buckets', text: 'Buckets', icon: 'bucket', group: 'Library', needs: 'bucket:view', words: 'files objects storage s3', load: page(() => import('./pages/Buckets.svelte')) },
  { path: '/buckets/:id', needs: 'bucket:view', load: page(() => import('./pages/Bucket.svelte')) },
  { path: '/distributions', text: 'Distributions', icon: 'distribution', group: 'Delivery', needs: 'distribution:view', words: 'cdn hosts invalidation', load: page(() => import('./pages/Distributions.svelte')) },
  { path: '/distributions/:id', needs: 'distribution:view', load: page(() => import('./pages/Distribution.svelte')) },
  { path: '/keys', text: 'Keys', icon: 'key', group: 'Delivery', needs: 'key:view', words: 'signing key groups s3 access', load: page(() => import('./pages/Keys.svelte')) },
  { path: '/nodes', text: 'Nodes', icon: 'node', group: 'Delivery', needs: 'node:view', words: 'edges machines', load: page(() => import('./pages/Nodes.svelte')) },
  { path: '/jobs', text: 'Jobs', icon: 'job', group: 'Delivery', needs: 'job:view', words: 'work queue pending tries errors operations workers', load: page(() => import('./pages/Jobs.svelte')) },
  { path: '/webhooks', text: 'Webhooks', icon: 'webhook', group: 'Delivery', needs: 'webhook:view', words: 'callbacks', load: page(() => import('./pages/Webhooks.svelte')) },
  { path: '/usage', text: 'Usage', icon: 'usage', group: 'Insight', needs: 'usage:view', words: 'bytes traffic viewers', load: page(() => import('./pages/Usage.svelte')) },
  { path: '/charges', text: 'Charges', icon: 'charges', group: 'Insight', needs: 'usage:view', words: 'costs billing prices invoices', load: page(() => import('./pages/Charges.svelte')) },
  { path: '/analytics', text: 'Analytics', icon: 'analytics', group: 'Insight', needs: 'usage:view', words: 'audience quality browsers attendance', load: page(() => import('./pages/Analytics.svelte')) },
  { path: '/activity', text: 'Activity', icon: 'activity', group: 'Insight', needs: 'log:view', words: 'log events', load: page(() => import('./pages/Activity.svelte')) },
  { path: '/audit', text: 'Audit', icon: 'audit', group: 'Insight', needs: 'audit:view', words: 'who did what', load: page(() => import('./pages/Audit.svelte')) },
  { path: '/users', text: 'Users', icon: 'users', group: 'Account', needs: 'user:view', words: 'people roles privileges', load: page(() => import('./pages/Users.svelte')) },
  { path: '/users/:id', needs: 'user:view', load: page(() => import('./pages/User.svelte')) },
  { path: '/sessions', text: 'Sessions', icon: 'session', group: 'Account', words: 'log-ins', load: page(() => import('./pages/Sessions.svelte')) },
  { path: '/tokens', text: 'API tokens', icon: 'token', group: 'Account', needs: 'token:view', words: 'scopes access', load: page(() => import('./pages/Tokens.svelte')) },
  { path: '/settings', text: 'Settings', icon: 'settings', group: 'Account', words: 'configuration password theme version backup records counts', load: page(() => import('./pages/Settings.svelte')) },
];
