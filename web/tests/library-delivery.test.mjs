// SPDX-License-Identifier: Apache-2.0 OR MIT
// Delivery: every page is looked at in both themes, wide and on a phone. `SCREENSHOTS=folder` keeps pictures, `ONLY=name,…` chooses.

import { describePages } from './support/library-page.mjs';

/** Pages with words that are there once they are read. */
const PAGES = [
  ['distributions', '/distributions', 'video.example.com'],
  ['distribution', '/distributions/E1CLUB', 'edge-fra-1'],
  ['distribution-behaviors', '/distributions/E1CLUB?tab=behaviors', '/films/*'],
  ['distribution-origins', '/distributions/E1CLUB?tab=origins', 'www-2.example.com'],
  ['distribution-invalidations', '/distributions/E1CLUB?tab=invalidations', '/index.html'],
  ['distribution-traffic', '/distributions/E1CLUB?tab=traffic', 'By behavior'],
  ['distribution-configuration', '/distributions/E1CLUB?tab=configuration', 'CacheBehaviors'],
  ['keys', '/keys', 'KPARTNER1'],
  ['key-groups', '/keys?tab=groups', 'sponsors'],
  ['access-keys', '/keys?tab=access', 'ingest camera'],
  ['nodes', '/nodes', 'edge-fra-2'],
  ['jobs', '/jobs', 'no picture and no sound'],
  ['jobs-operations', '/jobs?tab=operations', 'Update distribution'],
  ['webhooks', '/webhooks', 'crm.example.net'],
];
/** The same, with nothing there. */
const EMPTY = [
  ['distributions-empty', '/distributions', 'No distribution yet'],
  ['jobs-empty', '/jobs', 'No job yet'],
  ['webhooks-empty', '/webhooks', 'No webhook yet'],
];

describePages('delivery', PAGES, EMPTY);
