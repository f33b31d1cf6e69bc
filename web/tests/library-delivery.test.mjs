// SPDX-License-Identifier: Apache-2.0 OR MIT
// Delivery: every page is looked at in both themes, wide and on a phone. `SCREENSHOTS=folder` keeps pictures, `ONLY=name,…` chooses.

import { describe, test } from 'node:test';
import { library } from './support/library-page.mjs';

const { busyLibrary } = await import('./support/library.ts');
const ONLY = process.env.ONLY?.split(',');

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
  ['webhooks', '/webhooks', 'crm.example.net'],
];
/** The same, with nothing there. */
const EMPTY = [
  ['distributions-empty', '/distributions', 'No distribution yet'],
  ['webhooks-empty', '/webhooks', 'No webhook yet'],
];

describe('delivery', () => {
  const t = library();

  for (const [name, path, words] of PAGES) {
    test(`${name} is for everyone`, { skip: ONLY && !ONLY.includes(name) }, async () => {
      busyLibrary(t.desk);
      await t.open(path);
      await t.says(words);
      // Posters are asked for one after the other.
      await t.page.waitForFunction(() => [...document.images].every(({ complete }) => complete));
      await t.inspect(name);
    });
  }
  for (const [name, path, words] of EMPTY) {
    test(`${name} says how to begin`, { skip: ONLY && !ONLY.includes(name) }, async () => {
      t.desk.charges = false;
      t.desk.buckets = [{ name: 'uploads', preset: 'standard', mirror: false, house: false, distribution: null, created_at: new Date().toISOString() }];
      await t.open(path);
      await t.says(words);
      await t.inspect(name);
    });
  }
});
