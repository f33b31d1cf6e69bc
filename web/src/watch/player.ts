// SPDX-License-Identifier: Apache-2.0 OR MIT
// One player for the life of the page: hls.js on the page's <video>, or the browser's own HLS where hls.js cannot
// run. A fault never replaces the player; it loads again, recovers the decoder or says that it cannot go on.

import Hls, { ErrorDetails, ErrorTypes, Events, type ErrorData } from 'hls.js';
import { playerConfig, restartDelay } from './policy.ts';
import type { Delivery, Event, Playback } from './state.ts';
import type { Recorder } from './stats.ts';

/** Decoder faults within `RECOVERY_WINDOW_MS` after which the player gives up. */
const MAX_RECOVERIES = 4;
const RECOVERY_WINDOW_MS = 30_000;
const TICK_MS = 1_000;
/** Stillness with fresh playlists after which the player helps itself, in ticks. */
const STUCK_TICKS = 10;
const NATIVE_TYPE = 'application/vnd.apple.mpegurl';

export class Player {
  /** The instance of hls.js; null with the browser's own HLS, and before the first `open`. */
  hls: Hls | null = null;
  private url: string | null = null;
  private ended = false;
  private restarts = 0;
  private restartTimer: number | null = null;
  private recoveries: number[] = [];
  private stuckTicks = 0;
  private lastPlayed = 0;
  private playlistsSinceMoved = 0;
  /** Times in a row that the player helped itself and still nothing moved. */
  private rescues = 0;
  /** What the multivariant playlist says that the media is made of. */
  private codecs = '';

  constructor(
    private readonly video: HTMLVideoElement,
    private readonly recorder: Recorder,
    private readonly tell: (event: Event) => void,
    /** The delivery network said 403: the server knows whether the link still holds. */
    private readonly doubt: () => void,
  ) {
    video.addEventListener('playing', () => this.playback({ at: 'playing' }));
    video.addEventListener('waiting', () => {
      if (!video.paused && !video.ended && this.recorder.stats.startTimeMs !== null) this.playback({ at: 'stalled' });
    });
    video.addEventListener('pause', () => {
      if (!video.ended && this.recorder.stats.startTimeMs !== null) this.playback({ at: 'paused' });
    });
    video.addEventListener('ended', () => this.playback({ at: 'finished' }));
    window.setInterval(() => this.tick(), TICK_MS);
  }

  /** Opens the playlist, once; later calls only tell whether the breakout has ended. */
  open(url: string, start: 'live' | 'replay'): void {
    this.ended = start === 'replay';
    if (this.url !== null) return;
    this.url = url;
    this.recorder.requested();
    this.playback({ at: 'loading' });
    if (Hls.isSupported()) this.openHls(url, start);
    else if (this.video.canPlayType(NATIVE_TYPE)) this.openNative(url, start);
    else this.playback({ at: 'unsupported' });
  }

  /** Loads nothing more; what is loaded may play out. */
  stop(): void {
    if (this.restartTimer !== null) window.clearTimeout(this.restartTimer);
    this.restartTimer = null;
    this.hls?.stopLoad();
    this.video.pause();
  }

  /** Plays, by the viewer's hand or at the start. */
  play(): void {
    this.video.play().catch((error: unknown) => {
      // A play() that a new load interrupts is not a refusal by the browser.
      if (error instanceof DOMException && error.name === 'NotAllowedError') this.playback({ at: 'blocked' });
    });
  }

  goLive(): void {
    const edge = this.liveEdge();
    if (edge !== null) this.video.currentTime = edge;
    this.play();
  }

  /** Plays what is left of an ended breakout from its start. */
  replay(): void {
    const { seekable } = this.video;
    if (seekable.length > 0) this.video.currentTime = seekable.start(0);
    this.play();
  }

  /** Tries again after `broken`. */
  retry(): void {
    this.recoveries = [];
    this.playback({ at: 'loading' });
    this.hls?.recoverMediaError();
    this.hls?.startLoad();
    this.play();
  }

  private openHls(url: string, start: 'live' | 'replay'): void {
    const hls = new Hls(playerConfig(() => this.ended));
    this.hls = hls;
    hls.on(Events.ERROR, (_event, data) => this.onError(hls, data));
    hls.on(Events.MANIFEST_LOADED, (_event, data) => {
      this.codecs = data.levels.map((level) => level.attrs.CODECS).find(Boolean) ?? '';
    });
    hls.on(Events.MANIFEST_PARSED, () => (start === 'live' ? this.play() : undefined));
    hls.on(Events.LEVEL_LOADED, (_event, data) => {
      this.delivery('ok');
      this.playlistsSinceMoved += 1;
      // A playlist that was opened to be watched again waits for the viewer.
      if (start === 'replay' && this.recorder.stats.startTimeMs === null && data.details.fragments.length > 0) {
        this.playback({ at: 'blocked' });
      }
    });
    hls.on(Events.FRAG_BUFFERED, () => {
      this.restarts = 0;
      this.delivery('ok');
    });
    hls.on(Events.FRAG_CHANGED, (_event, data) => this.recorder.entered(data.frag.cc));
    hls.attachMedia(this.video);
    hls.loadSource(url);
  }

  private onError(hls: Hls, data: ErrorData): void {
    const status = data.response?.code ?? null;
    this.recorder.error({ type: data.type, details: data.details, fatal: data.fatal, status });
    if (data.type === ErrorTypes.NETWORK_ERROR) this.onNetworkError(hls, data, status);
    else if (data.fatal) this.onMediaError(hls, data);
  }

  private onNetworkError(hls: Hls, data: ErrorData, status: number | null): void {
    const refused = status === 401 || status === 403;
    const missing = status === 404 || status === 410;
    if (refused) this.doubt();
    if (data.fatal && missing && this.ended && hls.levels.length === 0) {
      this.playback({ at: 'gone' });
      return;
    }
    // One missing segment is no lost connection: the next playlist names others.
    if (!missing || data.fatal) this.delivery(refused ? 'refused' : 'lost');
    if (data.fatal) this.loadAgain(() => (hls.levels.length > 0 ? hls.startLoad() : hls.loadSource(data.url ?? this.url ?? '')));
  }

  private onMediaError(hls: Hls, data: ErrorData): void {
    const codecFaults: string[] = [
      ErrorDetails.MANIFEST_INCOMPATIBLE_CODECS_ERROR,
      ErrorDetails.BUFFER_ADD_CODEC_ERROR,
      ErrorDetails.BUFFER_INCOMPATIBLE_CODECS_ERROR,
    ];
    if (codecFaults.includes(data.details)) {
      this.playback({ at: 'unplayable', codecs: this.codecs || (data.mimeType ?? '') });
      return;
    }
    const now = performance.now();
    this.recoveries = this.recoveries.filter((at) => now - at < RECOVERY_WINDOW_MS);
    if (this.recoveries.length >= MAX_RECOVERIES) {
      this.playback({ at: 'broken' });
      return;
    }
    this.recoveries.push(now);
    if (data.type === ErrorTypes.MEDIA_ERROR) {
      // The second fault in a row may be an AAC profile that the playlist named wrongly.
      if (this.recoveries.length === 2) hls.swapAudioCodec();
      hls.recoverMediaError();
      this.play();
    } else {
      this.loadAgain(() => hls.startLoad());
    }
  }

  private openNative(url: string, start: 'live' | 'replay'): void {
    const load = () => {
      this.video.src = url;
      if (start === 'live') this.play();
    };
    this.video.addEventListener('error', () => {
      const code = this.video.error?.code ?? 0;
      this.recorder.error({ type: 'native', details: this.video.error?.message ?? '', fatal: true, status: null });
      if (code === MediaError.MEDIA_ERR_DECODE && ++this.restarts > MAX_RECOVERIES) this.playback({ at: 'broken' });
      else if (this.ended && this.recorder.stats.startTimeMs === null) this.playback({ at: 'gone' });
      else {
        this.delivery('lost');
        this.doubt();
        this.loadAgain(load);
      }
    });
    this.video.addEventListener('playing', () => {
      this.restarts = 0;
      this.delivery('ok');
    });
    if (start === 'replay') this.video.addEventListener('loadedmetadata', () => this.playback({ at: 'blocked' }));
    load();
  }

  /** Runs `load` after a delay that grows with each fault in a row. One restart waits at a time. */
  private loadAgain(load: () => void): void {
    if (this.restartTimer !== null) return;
    const delay = restartDelay(this.restarts);
    this.restarts += 1;
    this.restartTimer = window.setTimeout(() => {
      this.restartTimer = null;
      load();
    }, delay);
  }

  private tick(): void {
    const { video } = this;
    if (this.hls && Number.isFinite(this.hls.latency) && !this.ended && this.hls.latestLevelDetails?.live) {
      this.tell({ type: 'latency', seconds: this.hls.latency, target: this.hls.targetLatency ?? this.hls.latency });
    }
    // A play head that only jumps does not play.
    const { playedSeconds, startTimeMs } = this.recorder.stats;
    const moved = playedSeconds > this.lastPlayed;
    this.lastPlayed = playedSeconds;
    if (moved) this.rescues = 0;
    if (moved || video.paused || video.ended || startTimeMs === null) {
      this.stuckTicks = 0;
      this.playlistsSinceMoved = 0;
      return;
    }
    this.stuckTicks += 1;
    // Playlists arrive, so the server is there, and still nothing moves: what the play head waits for will not come.
    if (this.stuckTicks < STUCK_TICKS || this.playlistsSinceMoved < 2) return;
    const edge = this.liveEdge();
    const behind = edge !== null && edge > video.currentTime + 1;
    if (behind || this.rescues > 0) this.rescue(behind);
    else this.rescues += 1;
    this.stuckTicks = 0;
    this.playlistsSinceMoved = 0;
  }

  /** First a jump to the live edge; if that did not help, everything loaded is dropped and the playlist read anew. */
  private rescue(behind: boolean): void {
    this.recorder.stats.resyncs += 1;
    this.rescues += 1;
    if (behind && this.rescues === 1) this.goLive();
    else if (this.hls && this.url !== null && !this.ended) this.reload(this.hls, this.url);
  }

  private reload(hls: Hls, url: string): void {
    // Detaching empties the buffers and the timeline that the player had worked out; player and element stay.
    hls.detachMedia();
    hls.attachMedia(this.video);
    hls.loadSource(url);
  }

  private liveEdge(): number | null {
    if (this.hls) return this.hls.liveSyncPosition;
    const { seekable } = this.video;
    return seekable.length > 0 ? Math.max(seekable.start(0), seekable.end(seekable.length - 1) - 6) : null;
  }

  private playback(playback: Playback): void {
    this.tell({ type: 'playback', playback });
  }

  private delivery(delivery: Delivery): void {
    this.tell({ type: 'delivery', delivery });
  }
}
