// SPDX-License-Identifier: Apache-2.0 OR MIT
// What the two ways of playing HLS have in common: hls.js (`hls.ts`), and the browser's own (`native.ts`).

import type Hls from 'hls.js';
import type { Menu } from './menus.ts';
import type { Recorder } from './stats.ts';

/** What the player does. */
export type Playback =
  | { at: 'none' }
  | { at: 'loading' }
  /** There is a first picture, and nobody has pressed Play. */
  | { at: 'ready' }
  | { at: 'playing' }
  | { at: 'paused' }
  | { at: 'stalled' }
  /** The browser wants the viewer's hand. */
  | { at: 'blocked' }
  | { at: 'finished' }
  /** What is over was not kept. */
  | { at: 'gone' }
  | { at: 'unplayable'; codecs: string }
  | { at: 'unsupported' }
  | { at: 'broken' };

/** How the delivery network answers the player. */
export type Delivery = 'ok' | 'lost' | 'refused';

/** Seconds beyond where live is played from which there is a way back to it. */
export const BEHIND_SECONDS = 8;

/** What the player tells the page. */
export type PlayerEvent =
  | { type: 'playback'; playback: Playback }
  | { type: 'delivery'; delivery: Delivery }
  /** Distance from the live edge and the distance that is aimed at, in seconds. */
  | { type: 'latency'; seconds: number; target: number };

export interface Listener {
  tell(event: PlayerEvent): void;
  /** Menus have changed. */
  menus(): void;
  /** The delivery network refuses or misses what the playlist names: the server knows more. */
  doubt(): void;
}

/** What is to be played. */
export interface Source {
  url: string;
  /** It still grows: playback begins at its end. */
  live: boolean;
  /** Where playback begins, in seconds; not of what is live. */
  at: number;
}

/** What engines share with their player. */
export interface Surroundings {
  video: HTMLVideoElement;
  recorder: Recorder;
  listener: Listener;
  /** Breakout or asset, as the delivery network is told. */
  content: string;
  /** What was live is over: a playlist that is missing stays missing. */
  ended(): boolean;
  /** By the viewer's hand or by itself. */
  play(): void;
}

/** One way of playing one source. */
export interface Engine {
  readonly hls: Hls | null;
  /** From now on every request carries this URL's signature. */
  renewed(url: string): void;
  /** Reads the multivariant playlist anew: other rungs have come. Position, choices and whether it plays are kept. */
  reload(): void;
  /** Tries again after `broken`. */
  retry(): void;
  /** Drops everything loaded and begins again at the live edge. */
  restart(): void;
  /** Loads nothing more; what is loaded may play out. */
  stop(): void;
  close(): void;
  /** Where the live edge is played, on the video's clock; null where nobody knows. */
  liveEdge(): number | null;
  /** How far behind live playback is, and is meant to be, in seconds. */
  latency(): { seconds: number; target: number } | null;
  quality(): Menu;
  setQuality(value: string): void;
  audio(): Menu;
  setAudio(value: string): void;
  captions(): Menu;
  setCaptions(value: string): void;
}

/** Runs what is tried again after a delay; one at a time. */
export class Restarts {
  /** Times in a row without success. */
  count = 0;
  private timer: number | null = null;

  constructor(private readonly delay: (count: number) => number) {}

  later(load: () => void): void {
    if (this.timer !== null) return;
    const delay = this.delay(this.count);
    this.count += 1;
    this.timer = window.setTimeout(() => {
      this.timer = null;
      load();
    }, delay);
  }

  cancel(): void {
    if (this.timer !== null) window.clearTimeout(this.timer);
    this.timer = null;
  }
}

/** Decoder faults within `RECOVERY_WINDOW_MS` after which a player gives up. */
const MAX_RECOVERIES = 4;
const RECOVERY_WINDOW_MS = 30_000;

/** Counts decoder faults. */
export class Recoveries {
  private times: number[] = [];

  /** Which one in a row this is, from 1; null when there were too many. */
  next(): number | null {
    const now = performance.now();
    this.times = this.times.filter((at) => now - at < RECOVERY_WINDOW_MS);
    if (this.times.length >= MAX_RECOVERIES) return null;
    return this.times.push(now);
  }

  reset(): void {
    this.times = [];
  }
}
