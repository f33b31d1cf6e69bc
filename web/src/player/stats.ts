// SPDX-License-Identifier: Apache-2.0 OR MIT
// What playback was like, counted from the video element's own events. Read by tests as `window.__anabranch.stats`.

/** Errors kept; older ones are dropped. */
const MAX_ERRORS = 100;
/** A step of the play head longer than this is a seek, in seconds. */
const MAX_STEP_SECONDS = 1.5;

export interface PlaybackError {
  type: string;
  details: string;
  fatal: boolean;
  status: number | null;
  atMs: number;
}

export interface Stats {
  /** `waiting` events while playing, after the first frame, seeks apart. */
  stalls: number;
  /** Time stood still in those, the present one included. */
  readonly stallSeconds: number;
  /** Seconds of media played, seeks apart. */
  playedSeconds: number;
  errors: PlaybackError[];
  /** From the request for the playlist to the first moving frame; null before. */
  startTimeMs: number | null;
  /** Discontinuities that playback crossed. */
  discontinuities: number;
  /** Times the player helped itself because playlists came and nothing moved. */
  resyncs: number;
}

/** Counts what happens on `video` until the page goes. */
export class Recorder {
  readonly stats: Stats;
  private requestedAt: number | null = null;
  private stalledAt: number | null = null;
  private stalledBefore = 0;
  private lastTime: number | null = null;
  private lastDiscontinuity: number | null = null;

  constructor(video: HTMLVideoElement) {
    const stalled = () => this.stalledBefore + (this.stalledAt === null ? 0 : performance.now() - this.stalledAt);
    this.stats = {
      stalls: 0,
      get stallSeconds() {
        return stalled() / 1000;
      },
      playedSeconds: 0,
      errors: [],
      startTimeMs: null,
      discontinuities: 0,
      resyncs: 0,
    };
    video.addEventListener('playing', () => this.moves());
    video.addEventListener('waiting', () => this.waits(video));
    for (const name of ['pause', 'ended']) video.addEventListener(name, () => this.settles());
    video.addEventListener('timeupdate', () => this.progress(video));
  }

  /** The playlist is asked for; the time to the first frame counts from the first such call. */
  requested(): void {
    this.requestedAt ??= performance.now();
  }

  error(error: Omit<PlaybackError, 'atMs'>): void {
    this.stats.errors.push({ ...error, atMs: Math.round(performance.now()) });
    if (this.stats.errors.length > MAX_ERRORS) this.stats.errors.shift();
  }

  /** Playback entered a segment with this discontinuity sequence number. */
  entered(discontinuity: number): void {
    if (this.lastDiscontinuity !== null && discontinuity !== this.lastDiscontinuity) this.stats.discontinuities += 1;
    this.lastDiscontinuity = discontinuity;
  }

  private moves(): void {
    if (this.stats.startTimeMs === null && this.requestedAt !== null) {
      this.stats.startTimeMs = Math.round(performance.now() - this.requestedAt);
    }
    this.settles();
  }

  private waits(video: HTMLVideoElement): void {
    if (this.stats.startTimeMs === null || video.paused || video.seeking || video.ended) return;
    this.stats.stalls += 1;
    this.stalledAt ??= performance.now();
  }

  private settles(): void {
    if (this.stalledAt === null) return;
    this.stalledBefore += performance.now() - this.stalledAt;
    this.stalledAt = null;
  }

  private progress(video: HTMLVideoElement): void {
    const step = this.lastTime === null ? 0 : video.currentTime - this.lastTime;
    this.lastTime = video.currentTime;
    if (video.seeking || step <= 0 || step > MAX_STEP_SECONDS) return;
    this.stats.playedSeconds += step;
    this.settles();
  }
}
