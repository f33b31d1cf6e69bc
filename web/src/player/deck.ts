// SPDX-License-Identifier: Apache-2.0 OR MIT
// A video with the controls below it, as every page has it; in a frame of another page and in full screen they lie on it.

import { h } from '../dom.ts';
import { Controls } from './controls.ts';
import type { Listener } from './engine.ts';
import { icon } from './icons.ts';
import { Player } from './player.ts';
import { Recorder } from './stats.ts';
import { keptSound } from './volume.ts';

export interface DeckOptions {
  /** Breakout or asset, as the delivery network is told. */
  content: string;
  listener: Listener;
  /** Playing time while the video does not know it. */
  expected?: () => number;
  /** Plays or pauses, by the viewer's hand; itself plays or pauses the video. */
  toggle?: () => void;
  /** The browser's own HLS. */
  native?: boolean;
  /** Whether there are controls at all. */
  controls?: boolean;
}

export class Deck {
  readonly video = h('video', { playsinline: true, preload: 'metadata' });
  readonly recorder = new Recorder(this.video);
  readonly player: Player;
  readonly controls: Controls;
  readonly element: HTMLElement;
  private readonly freeze = h('canvas', { class: 'freeze', hidden: true, 'aria-hidden': 'true' });
  private readonly big: HTMLButtonElement;
  private readonly offer = h('div', { class: 'offer', hidden: true });

  constructor(options: DeckOptions, signal: AbortSignal) {
    const { video } = this;
    const toggle = options.toggle ?? (() => this.toggle());
    const sound = keptSound();
    if (sound) [video.volume, video.muted] = [sound.volume, sound.muted];
    this.big = h('button', { type: 'button', class: 'big-play', 'aria-label': 'Play', hidden: true, onclick: toggle });
    this.big.append(icon('play'));
    const { content, native = false, listener } = options;
    this.player = new Player(video, this.recorder, listener, { content, native }, signal);
    this.element = h('div', { class: 'deck' }, h('div', { class: 'stage' }, video, this.freeze, this.big, this.offer));
    const { player, element: deck } = this;
    const expected = options.expected ?? (() => 0);
    const keys = options.controls !== false;
    this.controls = new Controls({ video, player, deck, expected, toggle, keys }, signal);
    if (keys) this.element.append(this.controls.element);
    video.addEventListener('click', toggle, { signal });
    video.addEventListener('playing', () => (this.freeze.hidden = true), { signal });
    video.addEventListener('seeked', () => (video.paused ? (this.freeze.hidden = true) : undefined), { signal });
  }

  /** Plays or pauses. */
  toggle(): void {
    const { video, player } = this;
    if (!video.paused && !video.ended) video.pause();
    // Until the first picture moved nobody has chosen a moment.
    else if (player.live && !player.started) player.goLive();
    else player.play();
  }

  /** Shows or hides the large button on the picture. */
  showBig(shown: boolean): void {
    this.big.hidden = !shown;
  }

  /** Lays something on the picture; nothing takes it away. */
  showOffer(...children: Node[]): void {
    this.offer.replaceChildren(...children);
    this.offer.hidden = children.length === 0;
  }

  /** Keeps the last picture in sight while the player reads the playlist anew. */
  hold(): void {
    const { video, freeze } = this;
    const context = video.videoWidth > 0 && this.recorder.stats.startTimeMs !== null ? freeze.getContext('2d') : null;
    if (!context) return;
    [freeze.width, freeze.height] = [video.videoWidth, video.videoHeight];
    context.drawImage(video, 0, 0);
    freeze.hidden = false;
  }
}
