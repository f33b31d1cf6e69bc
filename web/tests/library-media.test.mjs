// SPDX-License-Identifier: Apache-2.0 OR MIT
// Library: every page is looked at in both themes, wide and on a phone. `SCREENSHOTS=folder` keeps pictures, `ONLY=name,…` chooses.

import { describePages } from './support/library-page.mjs';

/** Pages with words that are there once they are read. */
const PAGES = [
  ['assets', '/library', 'Festival film.mxf'],
  ['asset', '/library/a-river', '1080p'],
  ['asset-making', '/library/a-making', 'Being made'],
  ['asset-failed', '/library/a-failed', 'The file ends in the middle'],
  ['collections', '/collections', 'River evenings'],
  ['collection', '/collections/c-evenings', 'Harbour at dawn.mov'],
  ['recording', '/recordings/r-1', 'Recording of'],
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

describePages('library', PAGES, EMPTY);
