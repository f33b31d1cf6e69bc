// SPDX-License-Identifier: Apache-2.0 OR MIT
// What a page that is loaded anew for all viewers leaves to itself: for which refresh it was, and where the viewer was.

/** Where it is left: `sessionStorage`, or nothing where the browser allows none. */
export type Shelf = Pick<Storage, 'getItem' | 'setItem'>;

export interface Left {
  /** The refresh that the page was loaded anew for. */
  refresh: number;
  /** Position in a recording, in seconds; null where there was none. */
  at: number | null;
  /** Whether it played. */
  playing: boolean;
}

/** Pages of one breakout are loaded anew within this time, not all at once. */
export const REFRESH_WITHIN_MS = 4_000;
const PREFIX = 'anabranch.refreshed.';

/** The tab's own shelf. */
export function tabShelf(): Shelf | null {
  try {
    return window.sessionStorage;
  } catch {
    return null;
  }
}

/** What the page of this breakout has left in this tab. */
export function readLeft(shelf: Shelf | null, breakout: string): Left | null {
  try {
    const left: unknown = JSON.parse(shelf?.getItem(PREFIX + breakout) ?? 'null');
    if (typeof left !== 'object' || left === null) return null;
    const { refresh, at, playing } = left as Record<string, unknown>;
    return typeof refresh === 'number' ? { refresh, at: typeof at === 'number' && at >= 0 ? at : null, playing: playing !== false } : null;
  } catch {
    return null;
  }
}

/** Leaves it; where nothing can be left, a recording begins at its start. */
export function leave(shelf: Shelf | null, breakout: string, left: Left): void {
  try {
    shelf?.setItem(PREFIX + breakout, JSON.stringify(left));
  } catch {
    // A full or forbidden shelf costs the viewer the position, nothing else.
  }
}
