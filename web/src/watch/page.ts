// SPDX-License-Identifier: Apache-2.0 OR MIT

import { h } from '../dom.ts';
import { expose } from '../player/expose.ts';
import { WatchScreen } from './screen.ts';

/** Builds the page of a breakout into `root`, with the query that carries the viewer's signature. */
export function openWatchPage(root: HTMLElement, breakout: string, query: string): void {
  const native = new URLSearchParams(query).get('player') === 'native';
  const screen = new WatchScreen({ breakout, query, native });
  root.replaceChildren(h('main', { class: 'watch' }, screen.element));
  expose(() => screen.deck, () => screen.model);
}
