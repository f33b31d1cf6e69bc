// SPDX-License-Identifier: Apache-2.0 OR MIT
// Messages between a player and the page that has it in a frame. Each is an object whose `anabranch` names it. The player
// speaks to one origin only, and listens to that origin's page around it and to nobody else.

import type { Deck } from '../player/deck.ts';
import { keepSound } from '../player/volume.ts';

/** Time between two `timeupdate` at least. */
const TIME_EVERY_MS = 250;

/** What the page around may ask for. */
export type Command =
  | { do: 'play' | 'pause' | 'mute' | 'unmute' | 'live' }
  | { do: 'seek'; time: number }
  | { do: 'volume'; volume: number };

/** Reads a message; null when it is none of ours. */
export function commandOf(data: unknown): Command | null {
  if (typeof data !== 'object' || data === null) return null;
  const { anabranch: what, time, volume } = data as Record<string, unknown>;
  switch (what) {
    case 'play':
    case 'pause':
    case 'mute':
    case 'unmute':
    case 'live':
      return { do: what };
    case 'seek':
      return typeof time === 'number' && Number.isFinite(time) ? { do: what, time } : null;
    case 'volume':
      return typeof volume === 'number' && volume >= 0 && volume <= 1 ? { do: what, volume } : null;
    default:
      return null;
  }
}

/** The state that the page around is told, of what the page says. */
export interface Said {
  state: string;
  /** Something is wrong, in words. */
  trouble: string;
}

export class Bridge {
  private ready = false;
  private toldTime = -TIME_EVERY_MS;
  private said: Said = { state: '', trouble: '' };
  private deck: Deck | null = null;
  private listening: AbortController | null = null;

  constructor(
    private readonly around: Window | null,
    private readonly origin: string | null,
    private readonly play: () => void,
  ) {
    if (!this.around || !origin) return;
    window.addEventListener('message', (event) => {
      if (event.source !== this.around || event.origin !== this.origin) return;
      const command = commandOf(event.data);
      if (command) this.run(command);
    });
  }

  /** The player that is spoken for now. */
  attach(deck: Deck): void {
    this.listening?.abort();
    this.listening = new AbortController();
    const { signal } = this.listening;
    this.deck = deck;
    const { video } = deck;
    video.addEventListener('loadedmetadata', () => this.tellReady(), { signal });
    video.addEventListener('timeupdate', () => this.tellTime(), { signal });
    video.addEventListener('seeked', () => this.tellTime(true), { signal });
    video.addEventListener('ended', () => this.post('ended', this.times()), { signal });
  }

  /** Tells what has changed. */
  say(said: Said): void {
    const before = this.said;
    this.said = said;
    if (said.state !== before.state) this.post('state', { state: said.state });
    if (said.trouble !== '' && said.trouble !== before.trouble) this.post('error', { message: said.trouble });
  }

  private tellReady(): void {
    if (this.ready) return;
    this.ready = true;
    this.post('ready', this.times());
  }

  private tellTime(at = false): void {
    const now = performance.now();
    if (!at && now - this.toldTime < TIME_EVERY_MS) return;
    this.toldTime = now;
    this.post('timeupdate', this.times());
  }

  private times(): { time: number; duration: number | null; live: boolean } {
    const { deck } = this;
    if (!deck) return { time: 0, duration: null, live: false };
    const { start, end } = deck.controls.scrub.range();
    const { live } = deck.player;
    return { time: deck.video.currentTime - start, duration: live ? null : end - start, live };
  }

  private run(command: Command): void {
    const { deck } = this;
    if (!deck) return;
    const { video, player } = deck;
    switch (command.do) {
      case 'play':
        if (video.paused || video.ended) this.play();
        return;
      case 'pause':
        video.pause();
        return;
      case 'mute':
      case 'unmute':
        video.muted = command.do === 'mute';
        return;
      case 'volume':
        video.volume = command.volume;
        keepSound(video);
        return;
      case 'live':
        player.goLive();
        return;
      case 'seek': {
        const { scrub } = deck.controls;
        scrub.seek(scrub.range().start + command.time);
      }
    }
  }

  private post(what: string, more: Record<string, unknown>): void {
    if (this.around && this.origin) this.around.postMessage({ anabranch: what, ...more }, this.origin);
  }
}
