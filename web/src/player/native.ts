// SPDX-License-Identifier: Apache-2.0 OR MIT
// The browser's own HLS: iPhones before iOS 17, AirPlay, and whoever asks for it. It chooses rungs by itself and takes no
// header from the page, so the signature is in the URL, and playlists carry it on.

import { Recoveries, Restarts, type Engine, type Source, type Surroundings } from './engine.ts';
import { audioMenu, captionsMenu, type Menu } from './menus.ts';
import { restartDelay } from './policy.ts';
import { queryOf } from './signature.ts';

export const NATIVE_TYPE = 'application/vnd.apple.mpegurl';
const NONE: Menu = { choices: [], value: '-1' };
/** What a player of live keeps away from the newest, where nobody says how much, in seconds. */
const LIVE_DISTANCE = 6;

/** Audio tracks as Safari has them; other browsers have none. */
interface NativeAudio {
  readonly length: number;
  [index: number]: { enabled: boolean; label: string; language: string };
}

/** Safari's; when the first media of a live playlist was made. */
type Dated = HTMLVideoElement & { getStartDate?: () => Date };

export class NativeEngine implements Engine {
  readonly hls = null;
  private url: string;
  private readonly gone = new AbortController();
  private readonly restarts = new Restarts(restartDelay);
  private readonly recoveries = new Recoveries();

  constructor(
    private readonly around: Surroundings,
    private readonly source: Source,
  ) {
    this.url = source.url;
    const { video, listener } = around;
    const on = (name: string, run: () => void) => video.addEventListener(name, run, { signal: this.gone.signal });
    on('error', () => this.failed());
    on('playing', () => {
      this.restarts.count = 0;
      listener.tell({ type: 'delivery', delivery: 'ok' });
    });
    on('loadedmetadata', () => listener.menus());
    for (const list of [video.textTracks, (video as { audioTracks?: EventTarget }).audioTracks]) {
      list?.addEventListener?.('addtrack', () => listener.menus(), { signal: this.gone.signal });
    }
    this.load(source.at, false);
  }

  renewed(url: string): void {
    const before = queryOf(this.url);
    this.url = url;
    // It cannot be told another signature on the way: what was asked for with the old one goes on until it is refused.
    if (before !== queryOf(url) && !this.source.live) this.reload();
  }

  reload(): void {
    const { video } = this.around;
    this.load(this.source.live ? 0 : video.currentTime, this.source.live || !video.paused);
  }

  retry(): void {
    this.recoveries.reset();
    this.reload();
  }

  restart(): void {
    this.load(0, true);
  }

  stop(): void {
    this.restarts.cancel();
  }

  close(): void {
    this.gone.abort();
    this.restarts.cancel();
    this.around.video.removeAttribute('src');
    this.around.video.load();
  }

  liveEdge(): number | null {
    const { seekable } = this.around.video;
    if (!this.source.live || seekable.length === 0) return null;
    return Math.max(seekable.start(0), seekable.end(seekable.length - 1) - LIVE_DISTANCE);
  }

  latency(): { seconds: number; target: number } | null {
    const { video } = this.around;
    const edge = this.liveEdge();
    if (edge === null) return null;
    const start = (video as Dated).getStartDate?.().getTime() ?? NaN;
    const behind = Number.isFinite(start) ? (Date.now() - start) / 1000 - video.currentTime : edge + LIVE_DISTANCE - video.currentTime;
    // A clock that is wrong by hours says nothing about the distance.
    return behind >= 0 && behind < 24 * 3600 ? { seconds: behind, target: behind - Math.max(0, edge - video.currentTime) } : null;
  }

  quality(): Menu {
    return NONE;
  }

  setQuality(): void {
    // The browser chooses.
  }

  audio(): Menu {
    const tracks = this.audioTracks();
    return audioMenu(
      tracks.map((track) => ({ name: track.label, lang: track.language })),
      tracks.findIndex((track) => track.enabled),
    );
  }

  setAudio(value: string): void {
    this.audioTracks().forEach((track, index) => (track.enabled = index === Number(value)));
    this.around.listener.menus();
  }

  captions(): Menu {
    const tracks = this.captionTracks();
    return captionsMenu(
      tracks.map((track) => ({ name: track.label, lang: track.language })),
      tracks.findIndex((track) => track.mode === 'showing'),
    );
  }

  setCaptions(value: string): void {
    this.captionTracks().forEach((track, index) => (track.mode = index === Number(value) ? 'showing' : 'disabled'));
    this.around.listener.menus();
  }

  private load(at: number, play: boolean): void {
    const { video } = this.around;
    video.src = this.url;
    if (at > 0) video.addEventListener('loadedmetadata', () => (video.currentTime = at), { once: true, signal: this.gone.signal });
    if (play) this.around.play();
  }

  private failed(): void {
    const { video, recorder, listener } = this.around;
    recorder.error({ type: 'native', details: video.error?.message ?? '', fatal: true, status: null });
    if (video.error?.code === MediaError.MEDIA_ERR_DECODE && this.recoveries.next() === null) {
      listener.tell({ type: 'playback', playback: { at: 'broken' } });
    } else if (this.source.live && this.around.ended() && recorder.stats.startTimeMs === null) {
      listener.tell({ type: 'playback', playback: { at: 'gone' } });
    } else {
      listener.tell({ type: 'delivery', delivery: 'lost' });
      listener.doubt();
      this.restarts.later(() => this.reload());
    }
  }

  private audioTracks(): NativeAudio[number][] {
    const tracks = (this.around.video as HTMLVideoElement & { audioTracks?: NativeAudio }).audioTracks;
    return tracks ? Array.from({ length: tracks.length }, (_, index) => tracks[index]).filter((track) => track !== undefined) : [];
  }

  private captionTracks(): TextTrack[] {
    return [...this.around.video.textTracks].filter((track) => track.kind === 'subtitles' || track.kind === 'captions');
  }
}
