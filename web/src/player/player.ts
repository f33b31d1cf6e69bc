// SPDX-License-Identifier: Apache-2.0 OR MIT
// The player of a page, for what is live and what has an end: chooses between hls.js and the browser's own HLS, helps itself
// when playback stands still, and says what happens.

import Hls from 'hls.js';
import { playbackSession } from './cmcd.ts';
import type { Engine, Listener, Playback, Source, Surroundings } from './engine.ts';
import { HlsEngine } from './hls.ts';
import type { Menu } from './menus.ts';
import { NATIVE_TYPE, NativeEngine } from './native.ts';
import type { Recorder } from './stats.ts';
import { keptSound } from './volume.ts';

const TICK_MS = 1_000;
/** Stillness with fresh playlists after which the player helps itself, in ticks. */
const STUCK_TICKS = 10;
const NONE: Menu = { choices: [], value: '-1' };

export interface PlayerOptions {
  /** Breakout or asset, as the delivery network is told. */
  content: string;
  /** The browser's own HLS, even where hls.js could run. */
  native?: boolean;
}

export class Player {
  /** What is played; null before the first `open`. */
  source: Source | null = null;
  private engine: Engine | null = null;
  private readonly session = playbackSession();
  private over = false;
  private stuckTicks = 0;
  private lastPlayed = 0;
  private playlistsBefore = 0;
  /** Times in a row that the player helped itself and still nothing moved. */
  private rescues = 0;

  constructor(
    private readonly video: HTMLVideoElement,
    private readonly recorder: Recorder,
    private readonly listener: Listener,
    private readonly options: PlayerOptions,
    signal: AbortSignal,
  ) {
    const on = (name: string, run: () => void) => video.addEventListener(name, run, { signal });
    on('playing', () => this.playback({ at: 'playing' }));
    on('waiting', () => (video.paused || video.ended || !this.started ? undefined : this.playback({ at: 'stalled' })));
    on('pause', () => (video.ended || this.busy || !this.started ? undefined : this.playback({ at: 'paused' })));
    on('ended', () => this.playback({ at: 'finished' }));
    on('loadedmetadata', () => (video.paused && !this.busy ? this.playback({ at: 'ready' }) : undefined));
    const ticking = window.setInterval(() => this.tick(), TICK_MS);
    signal.addEventListener('abort', () => window.clearInterval(ticking));
  }

  /** The instance of hls.js; null with the browser's own HLS, and before the first `open`. */
  get hls(): Hls | null {
    return this.engine?.hls ?? null;
  }

  /** Where what can be played begins, on the video's clock: what was live keeps the clock of its start. */
  get first(): number {
    return this.source?.live ? (this.hls?.latestLevelDetails?.fragmentStart ?? 0) : 0;
  }

  /** Whether anything was played yet. */
  get started(): boolean {
    return this.recorder.stats.startTimeMs !== null;
  }

  get live(): boolean {
    return this.source?.live === true && !this.over;
  }

  /** Plays this from now on, in the place of what was played before. */
  open(source: Source): void {
    this.engine?.close();
    this.source = source;
    this.over = false;
    this.recorder.requested();
    this.playback({ at: 'loading' });
    const native = this.video.canPlayType(NATIVE_TYPE) !== '';
    if (Hls.isSupported() && !(this.options.native && native)) this.engine = new HlsEngine(this.around(), source, this.session);
    else if (native) this.engine = new NativeEngine(this.around(), source);
    else {
      this.engine = null;
      this.playback({ at: 'unsupported' });
    }
    this.stuckTicks = 0;
  }

  /** What was live is over: no more of it will come. */
  end(): void {
    this.over = true;
  }

  /** From now on every request carries this URL's signature. */
  renewed(url: string): void {
    if (this.source) this.source = { ...this.source, url };
    this.engine?.renewed(url);
  }

  /** Reads the multivariant playlist anew. */
  reload(): void {
    this.engine?.reload();
  }

  /** Loads nothing more; what is loaded may play out. */
  stop(): void {
    this.engine?.stop();
    this.video.pause();
  }

  /** Plays, by the viewer's hand or at the start. */
  play(): void {
    this.recorder.requested();
    this.video.play().catch((error: unknown) => {
      // A play() that a new load interrupts is not a refusal by the browser.
      if (error instanceof DOMException && error.name === 'NotAllowedError') this.refused();
    });
  }

  /** Plays without being asked: with sound where the viewer had it on before and the browser lets us, else without. */
  autoplay(silent: boolean): void {
    const { video } = this;
    const wanted = keptSound();
    video.muted = silent || (wanted?.muted ?? true);
    video.volume = wanted?.volume ?? 1;
    this.play();
  }

  goLive(): void {
    const edge = this.engine?.liveEdge() ?? null;
    if (edge !== null) this.video.currentTime = edge;
    this.play();
  }

  /** Plays from the start of what is there. */
  replay(): void {
    const { seekable } = this.video;
    if (seekable.length > 0) this.video.currentTime = Math.max(seekable.start(0), this.first);
    this.play();
  }

  /** Tries again after `broken`. */
  retry(): void {
    this.playback({ at: 'loading' });
    this.engine?.retry();
    this.play();
  }

  /** Goes over to the browser's own HLS, which alone can be sent to another screen. */
  useNative(): void {
    const { source, video } = this;
    if (!source || !this.engine || this.engine instanceof NativeEngine) return;
    const at = source.live ? 0 : video.currentTime;
    this.engine.close();
    this.engine = new NativeEngine(this.around(), { ...source, at });
    this.play();
  }

  close(): void {
    this.engine?.close();
    this.engine = null;
    this.video.removeAttribute('src');
    this.video.load();
  }

  /** Where the live edge is played, on the video's clock. */
  liveEdge(): number | null {
    return this.engine?.liveEdge() ?? null;
  }

  latency(): { seconds: number; target: number } | null {
    return this.live ? (this.engine?.latency() ?? null) : null;
  }

  quality(): Menu {
    return this.engine?.quality() ?? NONE;
  }

  setQuality(value: string): void {
    this.engine?.setQuality(value);
  }

  audio(): Menu {
    return this.engine?.audio() ?? NONE;
  }

  setAudio(value: string): void {
    this.engine?.setAudio(value);
  }

  captions(): Menu {
    return this.engine?.captions() ?? NONE;
  }

  setCaptions(value: string): void {
    this.engine?.setCaptions(value);
  }

  private get busy(): boolean {
    return this.engine instanceof HlsEngine && this.engine.busy;
  }

  private around(): Surroundings {
    const { video, recorder, listener } = this;
    return { video, recorder, listener, content: this.options.content, ended: () => this.over, play: () => this.play() };
  }

  /** The browser wants the viewer's hand; without sound it may not. */
  private refused(): void {
    if (this.live && !this.video.muted && !this.started) {
      this.video.muted = true;
      this.play();
      return;
    }
    this.playback({ at: 'blocked' });
  }

  private tick(): void {
    const { video } = this;
    const latency = this.latency();
    if (latency) this.listener.tell({ type: 'latency', ...latency });
    // A play head that only jumps does not play.
    const { playedSeconds } = this.recorder.stats;
    const moved = playedSeconds > this.lastPlayed;
    this.lastPlayed = playedSeconds;
    if (moved) this.rescues = 0;
    const playlists = this.engine instanceof HlsEngine ? this.engine.playlists : 0;
    if (moved || video.paused || video.ended || !this.started || !this.source?.live) {
      this.stuckTicks = 0;
      this.playlistsBefore = playlists;
      return;
    }
    this.stuckTicks += 1;
    // Playlists arrive, so the server is there, and still nothing moves: what the play head waits for will not come.
    if (this.stuckTicks < STUCK_TICKS || playlists - this.playlistsBefore < 2) return;
    const edge = this.liveEdge();
    const behind = edge !== null && edge > video.currentTime + 1;
    if (behind || this.rescues > 0) this.rescue(behind);
    else this.rescues += 1;
    this.stuckTicks = 0;
    this.playlistsBefore = playlists;
  }

  /** First a jump to the live edge; if that did not help, everything loaded is dropped and the playlist read anew. */
  private rescue(behind: boolean): void {
    this.recorder.stats.resyncs += 1;
    this.rescues += 1;
    if (behind && this.rescues === 1) this.goLive();
    else if (!this.over) this.engine?.restart();
  }

  private playback(playback: Playback): void {
    this.listener.tell({ type: 'playback', playback });
  }
}
