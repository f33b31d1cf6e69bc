// SPDX-License-Identifier: Apache-2.0 OR MIT
// The player of one asset: hls.js on the page's <video>, or the browser's own HLS where hls.js cannot run. It carries
// the viewer's newest signature, and reads the multivariant playlist anew when rungs have come.

import Hls, { ErrorDetails, ErrorTypes, Events, type ErrorData, type MediaPlaylist } from 'hls.js';
import { playerConfig, restartDelay } from '../watch/policy.ts';
import type { Recorder } from '../watch/stats.ts';
import { audioMenu, captionsMenu, qualityMenu, type Menu } from './menus.ts';
import { queryOf, withSignature } from './signature.ts';
import type { Event, Playback } from './state.ts';

/** Decoder faults within `RECOVERY_WINDOW_MS` after which the player gives up. */
const MAX_RECOVERIES = 4;
const RECOVERY_WINDOW_MS = 30_000;
const NATIVE_TYPE = 'application/vnd.apple.mpegurl';
const NONE: Menu = { choices: [], value: '-1' };

/** Audio tracks as Safari has them; other browsers have none. */
interface NativeAudio {
  readonly length: number;
  [index: number]: { enabled: boolean; label: string; language: string };
}

/** What a reader of the playlist anew takes along. */
interface Kept {
  at: number;
  playing: boolean;
  audio: MediaPlaylist | undefined;
  captions: MediaPlaylist | undefined;
  side: number | null;
}

export interface Listener {
  tell(event: Event): void;
  /** Menus have changed. */
  menus(): void;
  /** The delivery network refuses or misses what the playlist names: the server knows more. */
  doubt(): void;
}

export class AssetPlayer {
  /** The instance of hls.js; null with the browser's own HLS, and before the first `open`. */
  hls: Hls | null = null;
  private url: string | null = null;
  private query = '';
  private restarts = 0;
  private restartTimer: number | null = null;
  private recoveries: number[] = [];
  private kept: Kept | null = null;
  private codecs = '';

  constructor(
    private readonly video: HTMLVideoElement,
    private readonly recorder: Recorder,
    private readonly listener: Listener,
    signal: AbortSignal,
  ) {
    const on = (name: string, run: () => void) => video.addEventListener(name, run, { signal });
    on('playing', () => this.playback({ at: 'playing' }));
    on('waiting', () => (video.paused || video.ended ? undefined : this.playback({ at: 'stalled' })));
    on('pause', () => (video.ended || this.kept ? undefined : this.playback({ at: 'paused' })));
    on('ended', () => this.playback({ at: 'finished' }));
    on('loadedmetadata', () => (video.paused && !this.kept ? this.playback({ at: 'ready' }) : undefined));
  }

  /** Opens the playlist, at `at` seconds. */
  open(url: string, at: number): void {
    if (this.url !== null) return;
    [this.url, this.query] = [url, queryOf(url)];
    this.playback({ at: 'loading' });
    if (Hls.isSupported()) this.openHls(url, at);
    else if (this.video.canPlayType(NATIVE_TYPE)) this.openNative(url, at);
    else this.playback({ at: 'unsupported' });
  }

  /** From now on every request carries this URL's signature. The browser's own HLS cannot be told, and reads the playlist anew. */
  renewed(url: string): void {
    const before = this.query;
    [this.url, this.query] = [url, queryOf(url)];
    if (!this.hls && before !== this.query && this.video.src) this.reload();
  }

  /** Reads the multivariant playlist anew: other rungs have come. Position, choices and whether it plays are kept. */
  reload(): void {
    const { hls, video, url } = this;
    if (url === null) return;
    if (!hls) {
      this.reloadNative(url);
      return;
    }
    const level = hls.autoLevelEnabled ? undefined : hls.levels[hls.loadLevel];
    this.kept ??= {
      at: video.currentTime,
      playing: !video.paused && !video.ended,
      audio: hls.audioTracks[hls.audioTrack],
      captions: hls.subtitleTracks[hls.subtitleTrack],
      side: level ? Math.min(level.width, level.height) : null,
    };
    hls.config.startPosition = this.kept.at;
    // The signature may be another one, and the same address would be answered from what is known.
    hls.loadSource(url);
  }

  play(): void {
    this.recorder.requested();
    this.video.play().catch((error: unknown) => {
      // A play() that a new load interrupts is not a refusal by the browser.
      if (error instanceof DOMException && error.name === 'NotAllowedError') this.playback({ at: 'blocked' });
    });
  }

  /** Tries again after `broken`. */
  retry(): void {
    this.recoveries = [];
    this.playback({ at: 'loading' });
    this.hls?.recoverMediaError();
    this.hls?.startLoad();
    this.play();
  }

  close(): void {
    if (this.restartTimer !== null) window.clearTimeout(this.restartTimer);
    this.hls?.destroy();
    this.hls = null;
    this.video.removeAttribute('src');
    this.video.load();
  }

  quality(): Menu {
    const { hls } = this;
    if (!hls) return NONE;
    const levels = hls.levels.map(({ width, height, bitrate, attrs }) => ({
      width,
      height,
      bitrate,
      frameRate: Number(attrs['FRAME-RATE'] ?? 0) || undefined,
    }));
    const playing = hls.currentLevel >= 0 ? hls.currentLevel : hls.loadLevel;
    return qualityMenu(levels, playing, hls.autoLevelEnabled ? null : hls.loadLevel);
  }

  setQuality(value: string): void {
    if (this.hls) this.hls.nextLevel = Number(value);
    this.listener.menus();
  }

  audio(): Menu {
    if (this.hls) return audioMenu(this.hls.audioTracks, this.hls.audioTrack);
    const tracks = this.nativeAudio();
    return audioMenu(
      tracks.map((track) => ({ name: track.label, lang: track.language })),
      tracks.findIndex((track) => track.enabled),
    );
  }

  setAudio(value: string): void {
    if (this.hls) this.hls.audioTrack = Number(value);
    else this.nativeAudio().forEach((track, index) => (track.enabled = index === Number(value)));
    this.listener.menus();
  }

  captions(): Menu {
    if (this.hls) return captionsMenu(this.hls.subtitleTracks, this.hls.subtitleDisplay ? this.hls.subtitleTrack : -1);
    const tracks = this.nativeCaptions();
    return captionsMenu(
      tracks.map((track) => ({ name: track.label, lang: track.language })),
      tracks.findIndex((track) => track.mode === 'showing'),
    );
  }

  setCaptions(value: string): void {
    const wanted = Number(value);
    if (this.hls) {
      this.hls.subtitleDisplay = wanted >= 0;
      this.hls.subtitleTrack = wanted;
    } else this.nativeCaptions().forEach((track, index) => (track.mode = index === wanted ? 'showing' : 'disabled'));
    this.listener.menus();
  }

  private openHls(url: string, at: number): void {
    const hls = new Hls({
      ...playerConfig(() => true),
      enableWebVTT: true,
      subtitlePreference: { lang: '' },
      startPosition: at > 0 ? at : -1,
      xhrSetup: (xhr, asked) => xhr.open('GET', withSignature(asked, this.query), true),
    });
    this.hls = hls;
    hls.subtitleDisplay = false;
    hls.on(Events.ERROR, (_event, data) => this.onError(hls, data));
    hls.on(Events.MANIFEST_LOADED, (_event, data) => {
      this.codecs = data.levels.map((level) => level.attrs.CODECS).find(Boolean) ?? '';
    });
    hls.on(Events.MANIFEST_PARSED, () => this.parsed(hls));
    hls.on(Events.FRAG_BUFFERED, () => {
      this.restarts = 0;
      this.delivery('ok');
    });
    hls.on(Events.FRAG_CHANGED, (_event, data) => this.recorder.entered(data.frag.cc));
    for (const event of [Events.LEVEL_SWITCHED, Events.AUDIO_TRACKS_UPDATED, Events.AUDIO_TRACK_SWITCHED] as const) {
      hls.on(event, () => this.listener.menus());
    }
    for (const event of [Events.SUBTITLE_TRACKS_UPDATED, Events.SUBTITLE_TRACK_SWITCH] as const) {
      hls.on(event, () => this.listener.menus());
    }
    hls.attachMedia(this.video);
    hls.loadSource(url);
  }

  /** A playlist was read; after another reading, what was chosen before is chosen again. */
  private parsed(hls: Hls): void {
    this.listener.menus();
    const { kept, video } = this;
    if (!kept) return;
    const settled = () => {
      this.kept = null;
      const same = (track: MediaPlaylist | undefined) => (other: MediaPlaylist) =>
        track !== undefined && other.name === track.name && other.lang === track.lang;
      const audio = hls.audioTracks.findIndex(same(kept.audio));
      if (audio >= 0) hls.audioTrack = audio;
      const captions = hls.subtitleTracks.findIndex(same(kept.captions));
      if (captions >= 0 && hls.subtitleDisplay) hls.subtitleTrack = captions;
      this.listener.menus();
    };
    if (kept.side !== null) {
      const level = hls.levels.findIndex((found) => Math.min(found.width, found.height) === kept.side);
      if (level >= 0) hls.loadLevel = level;
    }
    if (video.readyState >= HTMLMediaElement.HAVE_METADATA) settled();
    else video.addEventListener('loadedmetadata', settled, { once: true });
    if (kept.playing) this.play();
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
    // What is missing was replaced by a better rung.
    if (refused || missing) this.listener.doubt();
    if (!data.fatal) return;
    this.delivery(refused ? 'refused' : 'lost');
    this.loadAgain(() => (missing || hls.levels.length === 0 ? this.reload() : hls.startLoad()));
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
    if (data.type !== ErrorTypes.MEDIA_ERROR) {
      this.loadAgain(() => hls.startLoad());
      return;
    }
    const playing = !this.video.paused;
    hls.recoverMediaError();
    if (playing) this.play();
  }

  private openNative(url: string, at: number): void {
    const { video } = this;
    video.addEventListener('error', () => {
      this.recorder.error({ type: 'native', details: video.error?.message ?? '', fatal: true, status: null });
      if (video.error?.code === MediaError.MEDIA_ERR_DECODE && ++this.restarts > MAX_RECOVERIES) this.playback({ at: 'broken' });
      else {
        this.delivery('lost');
        this.listener.doubt();
        this.loadAgain(() => this.reload());
      }
    });
    video.addEventListener('playing', () => {
      this.restarts = 0;
      this.delivery('ok');
    });
    video.addEventListener('loadedmetadata', () => this.listener.menus());
    video.src = url;
    if (at > 0) video.addEventListener('loadedmetadata', () => (video.currentTime = at), { once: true });
  }

  private reloadNative(url: string): void {
    const { video } = this;
    const [at, playing] = [video.currentTime, !video.paused];
    video.src = url;
    video.addEventListener('loadedmetadata', () => (video.currentTime = at), { once: true });
    if (playing) this.play();
  }

  private nativeAudio(): NativeAudio[number][] {
    const tracks = (this.video as HTMLVideoElement & { audioTracks?: NativeAudio }).audioTracks;
    return tracks ? Array.from({ length: tracks.length }, (_, index) => tracks[index]).filter((track) => track !== undefined) : [];
  }

  private nativeCaptions(): TextTrack[] {
    return [...this.video.textTracks].filter((track) => track.kind === 'subtitles' || track.kind === 'captions');
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

  private playback(playback: Playback): void {
    this.listener.tell({ type: 'playback', playback });
  }

  private delivery(delivery: 'ok' | 'lost' | 'refused'): void {
    this.listener.tell({ type: 'delivery', delivery });
  }
}
