// SPDX-License-Identifier: Apache-2.0 OR MIT
// One document, several pages: the path says which. Each page is its own chunk, so that a viewer never loads the desk
// and an operator never loads the player.

/** Paths of the viewer's pages; the rest of the path is the asset, the collection or the breakout. */
const ASSET_PREFIX = '/watch/asset/';
const COLLECTION_PREFIX = '/watch/collection/';
const WATCH_PREFIX = '/watch/';

async function main(): Promise<void> {
  const root = document.getElementById('app');
  if (!root) throw new Error('the document has no #app');
  const { pathname, search } = window.location;
  const rest = (prefix: string) => pathname.slice(prefix.length).replace(/\/+$/, '');
  if (!pathname.startsWith(WATCH_PREFIX)) {
    const { openDesk } = await import('./desk/open.ts');
    openDesk(root);
    return;
  }
  // The desk has a style of its own.
  await import('./style.css');
  if (pathname.startsWith(ASSET_PREFIX)) {
    const { openAssetPage } = await import('./asset/page.ts');
    openAssetPage(root, rest(ASSET_PREFIX), search);
  } else if (pathname.startsWith(COLLECTION_PREFIX)) {
    const { openCollectionPage } = await import('./asset/collection.ts');
    openCollectionPage(root, rest(COLLECTION_PREFIX), search);
  } else {
    const { openWatchPage } = await import('./watch/page.ts');
    openWatchPage(root, rest(WATCH_PREFIX), search);
  }
}

void main();
