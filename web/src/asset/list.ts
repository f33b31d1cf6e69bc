// SPDX-License-Identifier: Apache-2.0 OR MIT
// The order of a collection, as pure functions.

import type { WatchItem } from './ask.ts';

/** The item to begin with: the one that the address names, else the first that is neither watched nor lost. */
export function firstItem(items: readonly WatchItem[], named: string, watched: (id: string) => boolean): WatchItem | null {
  return (
    items.find((item) => item.id === named) ??
    items.find((item) => item.state !== 'failed' && !watched(item.id)) ??
    items.find((item) => item.state !== 'failed') ??
    items[0] ??
    null
  );
}

/** The item `step` places on among those that can be watched; null at the ends. */
export function neighbour(items: readonly WatchItem[], id: string | null, step: 1 | -1): WatchItem | null {
  const at = items.findIndex((item) => item.id === id);
  if (at < 0) return null;
  for (let index = at + step; index >= 0 && index < items.length; index += step) {
    const item = items[index];
    if (item && item.state !== 'failed') return item;
  }
  return null;
}

/** What a list says of an item that cannot be played yet; empty when it can. */
export function stateWords(item: WatchItem): string {
  switch (item.state) {
    case 'waiting':
      return 'Waiting';
    case 'processing':
      return 'Being prepared';
    case 'failed':
      return 'Not available';
    case 'ready':
      return '';
  }
}
