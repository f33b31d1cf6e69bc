// SPDX-License-Identifier: Apache-2.0 OR MIT
// Library: every page is looked at in both themes, wide and on a phone. `SCREENSHOTS=folder` keeps pictures, `ONLY=name,…` chooses.

import { describe, test } from 'node:test';
import { library } from './support/library-page.mjs';

const { busyLibrary } = await import('./support/library.ts');
const ONLY = process.env.ONLY?.split(',');

/** Pages with words that are there once they are read. */
const PAGES = [
  ['assets', '/library', 'Festival film.mxf'],
  ['asset', '/library/a-river', '1080p'],
  ['asset-making', '/library/a-making', 'Being made'],
  ['asset-failed', '/library/a-failed', 'The file ends in the middle'],
  ['collections', '/collections', 'River evenings'],
  ['collection', '/collections/c-evenings', 'Harbour at dawn.mov'],
  ['recordings', '/recordings', 'session 2, no gaps'],
  ['buckets', '/buckets', 'archive'],
  ['bucket', '/buckets/uploads', 'broken.bin'],
];
/** The same, with nothing there. */
const EMPTY = [
  ['assets-empty', '/library', 'Drop video or audio files here'],
  ['collections-empty', '/collections', 'No collection yet'],
  ['recordings-empty', '/recordings', 'No recording yet'],
];

describe('library', () => {
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
