// SPDX-License-Identifier: Apache-2.0 OR MIT

import type { Deck } from './deck.ts';

/** What tests read of a page. */
export function expose(deck: () => Deck | null, model: () => unknown): void {
  Object.defineProperty(window, '__anabranch', {
    configurable: true,
    value: {
      get hls() {
        return deck()?.player.hls ?? null;
      },
      get video() {
        return deck()?.video;
      },
      get stats() {
        return deck()?.recorder.stats;
      },
      get model() {
        return model();
      },
    },
  });
}
