// SPDX-License-Identifier: Apache-2.0 OR MIT

import { h } from '../dom.ts';
import { pageQuery } from '../player/signature.ts';
import { expose } from '../player/expose.ts';
import { Screen } from './screen.ts';

/** Builds the page of an asset into `root`, with the query that carries the viewer's signature. */
export function openAssetPage(root: HTMLElement, id: string, query: string): void {
  const screen = new Screen({
    id,
    query,
    native: new URLSearchParams(query).get('player') === 'native',
    // A page that is loaded again goes on with the newest signature.
    onQuery: (renewed) => history.replaceState(null, '', `${window.location.pathname}${pageQuery(window.location.search, renewed)}`),
  });
  root.replaceChildren(h('main', { class: 'watch' }, screen.element));
  expose(() => screen.deck, () => screen.model);
}
