// SPDX-License-Identifier: Apache-2.0 OR MIT
// The scrub bar: a range input, with a picture of the moment under the pointer.

import { h, setText } from '../dom.ts';
import type { Player } from './player.ts';
import { tileAt, type Tile } from './sprite.ts';
import { clock, spoken } from './time.ts';

/** Width of the thumb, which the ends of a range input keep clear of, in pixels. */
const THUMB_PX = 16;
/** Widest picture shown, in pixels. */
const TILE_MAX_PX = 200;
/** How long the picture stays after the keyboard moved the bar. */
const LINGER_MS = 1_200;
/** So close to the live edge it is live, in seconds. */
const LIVE_SECONDS = 3;

/** Shortest window of what is live that has a bar, in seconds. */
const REWIND_MIN_SECONDS = 10;

/** Seconds on the video's clock. */
export interface Range {
  start: number;
  end: number;
}

export class Scrub {
  readonly element: HTMLElement;
  /** Pictures of moments; none at first. */
  tiles: readonly Tile[] = [];
  private readonly input = h('input', { type: 'range', class: 'scrub-input', min: 0, max: 0, step: 'any', value: 0, 'aria-label': 'Position', disabled: true });
  private readonly picture = h('div', { class: 'scrub-picture' });
  private readonly when = h('span', { class: 'scrub-when' });
  private readonly preview = h('div', { class: 'scrub-preview', hidden: true, 'aria-hidden': 'true' }, this.picture, this.when);
  private held = false;
  private worth = false;
  private linger: number | undefined;

  constructor(
    private readonly video: HTMLVideoElement,
    private readonly player: Pick<Player, 'live' | 'liveEdge' | 'first'>,
    /** Playing time while the video does not know it. */
    private readonly expected: () => number,
    /** A position is shown that is not played yet. */
    private readonly moving: (at: number) => void,
    signal: AbortSignal,
  ) {
    this.element = h('div', { class: 'scrub' }, this.input, this.preview);
    const { input } = this;
    input.addEventListener('pointermove', (event) => this.show(this.timeAt(event.clientX)));
    input.addEventListener('pointerleave', () => (this.held ? undefined : this.hide()));
    input.addEventListener('pointerdown', () => (this.held = true));
    input.addEventListener('input', () => {
      this.held = true;
      const at = Number(input.value);
      this.paint(at);
      this.show(at);
      this.moving(at);
    });
    input.addEventListener('change', () => this.seek(Number(input.value)));
    // A range input without a step goes by hundredths of the whole; five seconds are more useful.
    input.addEventListener('keydown', (event) => {
      const step = { ArrowLeft: -5, ArrowDown: -5, ArrowRight: 5, ArrowUp: 5, PageDown: -30, PageUp: 30 }[event.key];
      if (step === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      event.stopPropagation();
      this.seek(this.video.currentTime + step);
      this.show(this.video.currentTime);
      window.clearTimeout(this.linger);
      this.linger = window.setTimeout(() => this.hide(), LINGER_MS);
    });
    for (const name of ['timeupdate', 'seeking', 'durationchange', 'progress', 'loadedmetadata']) {
      video.addEventListener(name, () => this.refresh(), { signal });
    }
  }

  /** What can be played, on the video's clock: the whole, or the window of what is live up to where live is played. */
  range(): Range {
    const { video, player } = this;
    const { seekable, duration } = video;
    const [start, end] = seekable.length > 0 ? [seekable.start(0), seekable.end(seekable.length - 1)] : [0, 0];
    if (Number.isFinite(duration) && duration > 0) return { start: Math.min(player.first, duration), end: duration };
    if (!player.live) return { start: 0, end: this.expected() };
    return { start, end: Math.max(start, player.liveEdge() ?? end) };
  }

  /** Whether what is live can be wound back so far that it is worth a bar. */
  rewinds(): boolean {
    const { start, end } = this.range();
    // A window that breathes does not make the bar come and go.
    this.worth ||= end - start >= REWIND_MIN_SECONDS;
    return this.worth;
  }

  refresh(): void {
    const { start, end } = this.range();
    this.input.disabled = end <= start;
    this.input.min = String(start);
    this.input.max = String(end);
    if (!this.held) this.paint(this.video.currentTime);
  }

  /** Goes to a moment, as far as there is one. */
  seek(at: number): void {
    this.held = false;
    const { start, end } = this.range();
    const last = this.player.live ? end : end - 0.1;
    this.video.currentTime = Math.min(Math.max(start, at), Math.max(start, last));
    this.paint(this.video.currentTime);
    this.hide();
  }

  private paint(at: number): void {
    const { input, video } = this;
    const { start, end } = this.range();
    if (!this.held) input.value = String(at);
    input.setAttribute('aria-valuetext', this.words(at));
    let loaded = at;
    for (let index = 0; index < video.buffered.length; index += 1) {
      if (video.buffered.start(index) <= at + 0.5) loaded = Math.max(loaded, video.buffered.end(index));
    }
    const share = (value: number) => `${end > start ? Math.min(100, Math.max(0, ((value - start) / (end - start)) * 100)) : 0}%`;
    input.style.setProperty('--played', share(at));
    input.style.setProperty('--loaded', share(loaded));
  }

  private timeAt(clientX: number): number {
    const box = this.input.getBoundingClientRect();
    const share = (clientX - box.left - THUMB_PX / 2) / Math.max(1, box.width - THUMB_PX);
    const { start, end } = this.range();
    return start + Math.min(1, Math.max(0, share)) * (end - start);
  }

  private words(at: number): string {
    const { start, end } = this.range();
    if (!this.player.live) return `${spoken(at - start)} of ${spoken(end - start)}`;
    return end - at < LIVE_SECONDS ? 'Live' : `${spoken(end - at)} behind live`;
  }

  private show(at: number): void {
    const { start, end } = this.range();
    if (end <= start) return;
    const behind = end - at;
    setText(this.when, !this.player.live ? clock(at - start) : behind < LIVE_SECONDS ? 'Live' : `−${clock(behind)}`);
    const tile = this.player.live ? null : tileAt(this.tiles, at);
    this.picture.hidden = tile === null;
    if (tile) this.draw(tile);
    this.preview.hidden = false;
    // In the middle above the moment, as far as the bar's ends allow.
    const box = this.input.getBoundingClientRect();
    const half = this.preview.offsetWidth / 2;
    const x = THUMB_PX / 2 + ((at - start) / (end - start)) * (box.width - THUMB_PX);
    this.preview.style.left = `${Math.min(Math.max(x, half), Math.max(half, box.width - half))}px`;
  }

  private draw(tile: Tile): void {
    const { style } = this.picture;
    style.width = `${tile.width}px`;
    style.height = `${tile.height}px`;
    style.backgroundImage = `url("${tile.url.replace(/["\\\n]/g, '')}")`;
    style.backgroundPosition = `${-tile.x}px ${-tile.y}px`;
    style.setProperty('zoom', String(Math.min(1, TILE_MAX_PX / tile.width)));
  }

  private hide(): void {
    this.preview.hidden = true;
  }
}
