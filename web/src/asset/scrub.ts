// SPDX-License-Identifier: Apache-2.0 OR MIT
// The scrub bar: a range input, with a picture of the moment under the pointer.

import { h, setText } from '../dom.ts';
import { tileAt, type Tile } from './sprite.ts';
import { clock, spoken } from './time.ts';

/** Width of the thumb, which the ends of a range input keep clear of, in pixels. */
const THUMB_PX = 16;
/** Widest picture shown, in pixels. */
const TILE_MAX_PX = 200;
/** How long the picture stays after the keyboard moved the bar. */
const LINGER_MS = 1_200;

export class Scrub {
  readonly element: HTMLElement;
  /** Pictures of moments; none at first. */
  tiles: readonly Tile[] = [];
  private readonly input = h('input', { type: 'range', class: 'scrub-input', min: 0, max: 0, step: 'any', value: 0, 'aria-label': 'Position', disabled: true });
  private readonly picture = h('div', { class: 'scrub-picture' });
  private readonly when = h('span', { class: 'scrub-when' });
  private readonly preview = h('div', { class: 'scrub-preview', hidden: true, 'aria-hidden': 'true' }, this.picture, this.when);
  private held = false;
  private linger: number | undefined;

  constructor(
    private readonly video: HTMLVideoElement,
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

  duration(): number {
    const { duration } = this.video;
    return Number.isFinite(duration) && duration > 0 ? duration : this.expected();
  }

  refresh(): void {
    const duration = this.duration();
    this.input.disabled = duration <= 0;
    this.input.max = String(duration);
    if (!this.held) this.paint(this.video.currentTime);
  }

  private seek(at: number): void {
    this.held = false;
    this.video.currentTime = Math.min(Math.max(0, at), Math.max(0, this.duration() - 0.1));
    this.paint(this.video.currentTime);
    this.hide();
  }

  private paint(at: number): void {
    const { input, video } = this;
    const duration = this.duration();
    if (!this.held) input.value = String(at);
    input.setAttribute('aria-valuetext', `${spoken(at)} of ${spoken(duration)}`);
    let loaded = at;
    for (let index = 0; index < video.buffered.length; index += 1) {
      if (video.buffered.start(index) <= at + 0.5) loaded = Math.max(loaded, video.buffered.end(index));
    }
    const share = (value: number) => `${duration > 0 ? Math.min(100, (value / duration) * 100) : 0}%`;
    input.style.setProperty('--played', share(at));
    input.style.setProperty('--loaded', share(loaded));
  }

  private timeAt(clientX: number): number {
    const box = this.input.getBoundingClientRect();
    const share = (clientX - box.left - THUMB_PX / 2) / Math.max(1, box.width - THUMB_PX);
    return Math.min(1, Math.max(0, share)) * this.duration();
  }

  private show(at: number): void {
    const duration = this.duration();
    if (duration <= 0) return;
    setText(this.when, clock(at));
    const tile = tileAt(this.tiles, at);
    this.picture.hidden = tile === null;
    if (tile) this.draw(tile);
    this.preview.hidden = false;
    // In the middle above the moment, as far as the bar's ends allow.
    const box = this.input.getBoundingClientRect();
    const half = this.preview.offsetWidth / 2;
    const x = THUMB_PX / 2 + (at / duration) * (box.width - THUMB_PX);
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
