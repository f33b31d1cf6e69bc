// SPDX-License-Identifier: Apache-2.0 OR MIT
// Insight and people: every page is looked at in both themes, wide and on a phone. `SCREENSHOTS=folder` keeps pictures, `ONLY=name,…` chooses.

import { describe, test } from 'node:test';
import { library } from './support/library-page.mjs';

const { busyLibrary } = await import('./support/library.ts');
const ONLY = process.env.ONLY?.split(',');

/** Pages with words that are there once they are read. */
const PAGES = [
  ['usage', '/usage', 'Most bytes'],
  ['charges', '/charges', 'Dearest'],
  ['prices', '/charges?tab=prices', 'Own hardware'],
  ['analytics', '/analytics', 'How well it played'],
  ['activity', '/activity', 'Failed over'],
  ['audit', '/audit', 'site builder'],
  ['users', '/users', 'Olga Reis'],
  ['user', '/users/u-olga', 'breakout'],
  ['sessions', '/sessions?tab=all', 'Firefox on Linux'],
  ['tokens', '/tokens', 'site builder'],
  ['settings', '/settings', 'Shown as'],
  ['settings-configuration', '/settings?tab=configuration', 'edge.domain_suffix'],
  ['settings-about', '/settings?tab=about', 'anabranch restore'],
];
/** The same, with nothing there. */
const EMPTY = [
  ['usage-empty', '/usage', 'Nothing was delivered in this time'],
  ['charges-empty', '/charges', 'No charge in'],
  ['activity-empty', '/activity', 'Nothing has happened yet'],
];

describe('insight and people', () => {
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
