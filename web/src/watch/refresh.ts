// SPDX-License-Identifier: Apache-2.0 OR MIT
// What a page that is loaded anew for all viewers leaves to itself: for which refresh it was, and where the viewer was.

/** Where it is left. */
export interface Shelf {
  read(): unknown;
  write(left: Left): void;
}

export interface Left {
  /** The refresh that the page was loaded anew for. */
  refresh: number;
  /** Position in a recording, in seconds; null where there was none. */
  at: number | null;
  /** Whether it played; null where nothing had begun. */
  playing: boolean | null;
}

/** Pages are loaded anew within this time, not all at once. */
export const REFRESH_WITHIN_MS = 4_000;

/** The state of this entry of the history: browsers keep storage from frames of other sites, but not this. */
export const pageShelf: Shelf = {
  read: () => (window.history.state as { refreshed?: unknown } | null)?.refreshed,
  write: (left) => window.history.replaceState({ ...(window.history.state as object | null), refreshed: left }, ''),
};

/** What the page has left to itself. */
export function readLeft(shelf: Shelf): Left | null {
  const left = shelf.read();
  if (typeof left !== 'object' || left === null) return null;
  const { refresh, at, playing } = left as Record<string, unknown>;
  if (typeof refresh !== 'number') return null;
  return { refresh, at: typeof at === 'number' && at >= 0 ? at : null, playing: typeof playing === 'boolean' ? playing : null };
}
