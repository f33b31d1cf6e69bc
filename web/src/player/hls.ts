// SPDX-License-Identifier: Apache-2.0 OR MIT
// hls.js on the page's <video>, by MediaSource or ManagedMediaSource. A fault never replaces it; it loads again, recovers the
// decoder or says that it cannot go on. It carries the viewer's newest signature and tells the network how playback goes.

import Hls, { ErrorDetails, ErrorTypes, Events, type ErrorData, type MediaPlaylist } from 'hls.js';
import { asGiven, CMCD_KEYS, Told, withTold } from './cmcd.ts';
import { Recoveries, Restarts, type Delivery, type Engine, type Playback, type Source, type Surroundings } from './engine.ts';
import { audioMenu, captionsMenu, qualityMenu, type Menu } from './menus.ts';
import { mediaPolicies, playerConfig, restartDelay } from './policy.ts';
import { Carried } from './signature.ts';

/** What a reader of the playlist anew takes along. */
interface Kept {
  at: number;
  playing: boolean;
  audio: MediaPlaylist | undefined;
  captions: MediaPlaylist | undefined;
  side: number | null;
}

export class HlsEngine implements Engine {
  readonly hls: Hls;
  private url: string;
  private readonly carried: Carried;
  private readonly restarts = new Restarts(restartDelay);
  private readonly recoveries = new Recoveries();
  private readonly told: Told;
  private kept: Kept | null = null;
  /** It played before everything was dropped, and is to play again. */
  private again = false;
  /** What the multivariant playlist says that the media is made of. */
  private codecs = '';
  private levelsRead = 0;

  constructor(
    private readonly around: Surroundings,
    private readonly source: Source,
    session: string,
  ) {
    [this.url, this.carried] = [source.url, new Carried(source.url)];
    this.told = new Told(around.recorder);
    const hls = new Hls({
      ...playerConfig(this.ended),
      subtitlePreference: { lang: '' },
      startPosition: !source.live && source.at > 0 ? source.at : -1,
      cmcd: { sessionId: session, contentId: around.content, includeKeys: [...CMCD_KEYS] },
      xhrSetup: (xhr, asked) => xhr.open('GET', withTold(this.carried.apply(asked), this.told.next()), true),
    });
    this.hls = hls;
    const { fLoader, pLoader } = hls.config;
    if (fLoader) hls.config.fLoader = asGiven(fLoader);
    if (pLoader) hls.config.pLoader = asGiven(pLoader);
    hls.subtitleDisplay = false;
    this.listen(hls);
    hls.attachMedia(around.video);
    hls.loadSource(source.url);
  }

  private readonly ended = () => !this.source.live || this.around.ended();

  /** Whether another region has the same. */
  private get elsewhere(): boolean {
    return this.hls.pathways.length > 1;
  }

  /** Playlists of media that were read so far. */
  get playlists(): number {
    return this.levelsRead;
  }

  /** Another reading of the playlist is under way: what the video says meanwhile is not the viewer's doing. */
  get busy(): boolean {
    return this.kept !== null;
  }

  renewed(url: string): void {
    this.url = url;
    this.carried.renew(url);
  }

  reload(): void {
    const { hls } = this;
    const { video } = this.around;
    const level = hls.autoLevelEnabled ? undefined : hls.levels[hls.loadLevel];
    this.kept ??= {
      at: video.currentTime,
      playing: !video.paused && !video.ended,
      audio: hls.audioTracks[hls.audioTrack],
      captions: hls.subtitleTracks[hls.subtitleTrack],
      side: level ? Math.min(level.width, level.height) : null,
    };
    hls.config.startPosition = this.source.live ? -1 : this.kept.at;
    // The signature may be another one, and the same address would be answered from what is known.
    hls.loadSource(this.url);
  }

  retry(): void {
    this.recoveries.reset();
    this.hls.recoverMediaError();
    this.hls.startLoad();
  }

  restart(): void {
    this.again = !this.around.video.paused;
    // Detaching empties the buffers and the timeline that the player had worked out; player and element stay.
    this.hls.detachMedia();
    this.hls.attachMedia(this.around.video);
    this.hls.loadSource(this.url);
  }

  stop(): void {
    this.restarts.cancel();
    this.hls.stopLoad();
  }

  close(): void {
    this.restarts.cancel();
    this.hls.destroy();
  }

  liveEdge(): number | null {
    return this.source.live ? this.hls.liveSyncPosition : null;
  }

  latency(): { seconds: number; target: number } | null {
    const { hls } = this;
    if (!this.source.live || !Number.isFinite(hls.latency) || !hls.latestLevelDetails?.live) return null;
    return { seconds: hls.latency, target: hls.targetLatency ?? hls.latency };
  }

  quality(): Menu {
    const { hls } = this;
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
    this.hls.nextLevel = Number(value);
    this.around.listener.menus();
  }

  audio(): Menu {
    return audioMenu(this.hls.audioTracks, this.hls.audioTrack);
  }

  setAudio(value: string): void {
    this.hls.audioTrack = Number(value);
    this.around.listener.menus();
  }

  captions(): Menu {
    return captionsMenu(this.hls.subtitleTracks, this.hls.subtitleDisplay ? this.hls.subtitleTrack : -1);
  }

  setCaptions(value: string): void {
    const wanted = Number(value);
    this.hls.subtitleDisplay = wanted >= 0;
    this.hls.subtitleTrack = wanted;
    this.around.listener.menus();
  }

  private listen(hls: Hls): void {
    const { listener, recorder } = this.around;
    hls.on(Events.ERROR, (_event, data) => this.onError(data));
    hls.on(Events.MANIFEST_LOADED, (_event, data) => {
      this.codecs = data.levels.map((level) => level.attrs.CODECS).find(Boolean) ?? '';
    });
    hls.on(Events.MANIFEST_PARSED, () => this.parsed());
    hls.on(Events.LEVEL_LOADED, () => {
      this.levelsRead += 1;
      this.delivery('ok');
    });
    hls.on(Events.FRAG_BUFFERED, () => {
      this.restarts.count = 0;
      this.delivery('ok');
    });
    hls.on(Events.FRAG_CHANGED, (_event, data) => recorder.entered(data.frag.cc));
    for (const event of [Events.LEVEL_SWITCHED, Events.AUDIO_TRACKS_UPDATED, Events.AUDIO_TRACK_SWITCHED] as const) {
      hls.on(event, () => listener.menus());
    }
    for (const event of [Events.SUBTITLE_TRACKS_UPDATED, Events.SUBTITLE_TRACK_SWITCH] as const) {
      hls.on(event, () => listener.menus());
    }
  }

  /** A playlist was read; after another reading, what was chosen before is chosen again. */
  private parsed(): void {
    const { kept, hls } = this;
    const { listener, video } = this.around;
    Object.assign(hls.config, mediaPolicies(this.ended, this.elsewhere));
    listener.menus();
    if (this.again) {
      this.again = false;
      this.around.play();
    }
    if (!kept) return;
    const settled = () => {
      this.kept = null;
      const same = (track: MediaPlaylist | undefined) => (other: MediaPlaylist) =>
        track !== undefined && other.name === track.name && other.lang === track.lang;
      const audio = hls.audioTracks.findIndex(same(kept.audio));
      if (audio >= 0) hls.audioTrack = audio;
      const captions = hls.subtitleTracks.findIndex(same(kept.captions));
      if (captions >= 0 && hls.subtitleDisplay) hls.subtitleTrack = captions;
      listener.menus();
    };
    if (kept.side !== null) {
      const level = hls.levels.findIndex((found) => Math.min(found.width, found.height) === kept.side);
      if (level >= 0) hls.loadLevel = level;
    }
    if (video.readyState >= HTMLMediaElement.HAVE_METADATA) settled();
    else video.addEventListener('loadedmetadata', settled, { once: true });
    if (kept.playing) this.around.play();
  }

  private onError(data: ErrorData): void {
    const status = data.response?.code ?? null;
    this.around.recorder.error({ type: data.type, details: data.details, fatal: data.fatal, status });
    if (data.type === ErrorTypes.NETWORK_ERROR) this.onNetworkError(data, status);
    else if (data.fatal) this.onMediaError(data);
  }

  private onNetworkError(data: ErrorData, status: number | null): void {
    const { hls, source, around } = this;
    const refused = status === 401 || status === 403;
    const missing = status === 404 || status === 410;
    // What is missing of an asset was replaced by a better rung.
    if (refused || (missing && !source.live)) around.listener.doubt();
    if (source.live && data.fatal && missing && around.ended() && hls.levels.length === 0) {
      this.playback({ at: 'gone' });
      return;
    }
    // One missing segment is no lost connection: the next playlist names others.
    if (data.fatal || (source.live && !missing)) this.delivery(refused ? 'refused' : 'lost');
    if (!data.fatal) return;
    // Where every region has failed, each is tried again.
    const anew = hls.levels.length === 0 || (missing && !source.live) || (source.live && this.elsewhere);
    this.restarts.later(() => {
      if (!anew) hls.startLoad();
      else if (source.live) {
        this.again = !around.video.paused;
        hls.loadSource(this.url);
      } else this.reload();
    });
  }

  private onMediaError(data: ErrorData): void {
    const codecFaults: string[] = [
      ErrorDetails.MANIFEST_INCOMPATIBLE_CODECS_ERROR,
      ErrorDetails.BUFFER_ADD_CODEC_ERROR,
      ErrorDetails.BUFFER_INCOMPATIBLE_CODECS_ERROR,
    ];
    if (codecFaults.includes(data.details)) {
      this.playback({ at: 'unplayable', codecs: this.codecs || (data.mimeType ?? '') });
      return;
    }
    const count = this.recoveries.next();
    if (count === null) {
      this.playback({ at: 'broken' });
      return;
    }
    if (data.type !== ErrorTypes.MEDIA_ERROR) {
      this.restarts.later(() => this.hls.startLoad());
      return;
    }
    // The second fault in a row may be an AAC profile that the playlist named wrongly.
    if (count === 2) this.hls.swapAudioCodec();
    const playing = this.source.live || !this.around.video.paused;
    this.hls.recoverMediaError();
    if (playing) this.around.play();
  }

  private playback(playback: Playback): void {
    this.around.listener.tell({ type: 'playback', playback });
  }

  private delivery(delivery: Delivery): void {
    this.around.listener.tell({ type: 'delivery', delivery });
  }
}
