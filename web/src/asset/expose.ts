// SPDX-License-Identifier: Apache-2.0 OR MIT

import type { Screen } from './screen.ts';

/** What tests read, as on the page of a breakout. */
export function expose(screen: () => Screen | null): void {
  Object.defineProperty(window, '__anabranch', {
    configurable: true,
    value: {
      get hls() {
        return screen()?.player.hls ?? null;
      },
      get video() {
        return screen()?.video;
      },
      get stats() {
        return screen()?.recorder.stats;
      },
      get model() {
        return screen()?.model;
      },
    },
  });
}
