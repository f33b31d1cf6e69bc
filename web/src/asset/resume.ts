// SPDX-License-Identifier: Apache-2.0 OR MIT
// How far a viewer has come in each asset, kept by the browser.

/** What is kept of one asset. */
export interface Mark {
  /** Position in seconds; 0 when there is nothing to resume. */
  at: number;
  /** Playing time in seconds. */
  of: number;
  /** Whether it was watched to its end once. */
  done: boolean;
  /** Unix milliseconds. */
  saved: number;
}

/** Where marks are kept: `localStorage`, or nothing where the browser allows none. */
export type Shelf = Pick<Storage, 'getItem' | 'setItem' | 'removeItem' | 'key' | 'length'>;

/** Less than this from the start is not worth a question, in seconds. */
const RESUME_MIN_SECONDS = 5;
/** So close to the end it counts as watched: in seconds, and as a share of the whole. */
const END_SECONDS = 15;
const END_SHARE = 0.05;
/** Assets remembered for all users of this browser; the oldest go. */
export const MAX_MARKS = 500;
const PREFIX = 'anabranch.watched.';

/** The browser's own shelf. */
export function browserShelf(): Shelf | null {
  try {
    return window.localStorage;
  } catch {
    return null;
  }
}

/** The marks of one user; of everybody without a name when `user` is empty. */
export class Marks {
  constructor(
    private readonly shelf: Shelf | null,
    private readonly user: string,
  ) {}

  read(asset: string): Mark | null {
    try {
      const text = this.shelf?.getItem(this.key(asset));
      return text ? markOf(JSON.parse(text)) : null;
    } catch {
      return null;
    }
  }

  /** Notes a position. What is close to the end is finished. */
  keep(asset: string, at: number, of: number, now: number): void {
    if (!Number.isFinite(at) || !Number.isFinite(of) || of <= 0) return;
    if (isAtEnd(at, of)) this.finish(asset, of, now);
    else this.write(asset, { at: at < RESUME_MIN_SECONDS ? 0 : at, of, done: this.read(asset)?.done ?? false, saved: now });
  }

  /** Watched to the end: nothing to resume. */
  finish(asset: string, of: number, now: number): void {
    this.write(asset, { at: 0, of, done: true, saved: now });
  }

  private write(asset: string, mark: Mark): void {
    try {
      this.shelf?.setItem(this.key(asset), JSON.stringify(mark));
      this.prune();
    } catch {
      // A full or forbidden shelf costs the viewer the resume position, nothing else.
    }
  }

  private prune(): void {
    const { shelf } = this;
    if (!shelf || shelf.length <= MAX_MARKS) return;
    const kept: { key: string; saved: number }[] = [];
    for (let index = 0; index < shelf.length; index += 1) {
      const key = shelf.key(index);
      if (!key?.startsWith(PREFIX)) continue;
      let saved = 0;
      try {
        saved = markOf(JSON.parse(shelf.getItem(key) ?? ''))?.saved ?? 0;
      } catch {
        // What cannot be read is the oldest.
      }
      kept.push({ key, saved });
    }
    kept.sort((a, b) => b.saved - a.saved);
    for (const { key } of kept.slice(MAX_MARKS)) shelf.removeItem(key);
  }

  private key(asset: string): string {
    return `${PREFIX}${asset}.${this.user}`;
  }
}

/** Where playback may go on; null when it begins at the start. */
export function resumeAt(mark: Mark | null): number | null {
  return mark !== null && mark.at >= RESUME_MIN_SECONDS && !isAtEnd(mark.at, mark.of) ? mark.at : null;
}

/** How much was watched, 0 to 1. */
export function watchedShare(mark: Mark | null): number {
  if (mark === null) return 0;
  if (mark.at > 0 && mark.of > 0) return Math.min(1, mark.at / mark.of);
  return mark.done ? 1 : 0;
}

function isAtEnd(at: number, of: number): boolean {
  return of - at <= Math.min(END_SECONDS, of * END_SHARE);
}

function markOf(value: unknown): Mark | null {
  if (typeof value !== 'object' || value === null) return null;
  const { at, of, done, saved } = value as Record<string, unknown>;
  if (typeof at !== 'number' || typeof of !== 'number' || typeof saved !== 'number') return null;
  return Number.isFinite(at) && Number.isFinite(of) ? { at, of, done: done === true, saved } : null;
}
