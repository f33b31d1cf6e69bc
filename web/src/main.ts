// SPDX-License-Identifier: Apache-2.0 OR MIT
// One document, two pages: the path says which. Each page is its own chunk, so that a viewer never loads the desk
// and an operator never loads the player.

/** Path of the watch page; the rest of the path is the breakout. */
const WATCH_PREFIX = '/watch/';

async function main(): Promise<void> {
  const root = document.getElementById('app');
  if (!root) throw new Error('the document has no #app');
  const { pathname, search } = window.location;
  if (pathname.startsWith(WATCH_PREFIX)) {
    const breakout = pathname.slice(WATCH_PREFIX.length).replace(/\/+$/, '');
    const { openWatchPage } = await import('./watch/page.ts');
    openWatchPage(root, breakout, search);
  } else {
    const { openAdminPage } = await import('./admin/page.ts');
    openAdminPage(root);
  }
}

void main();
