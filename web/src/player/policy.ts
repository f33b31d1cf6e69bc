// SPDX-License-Identifier: Apache-2.0 OR MIT
// How patiently the player asks again. A server that restarts is away for up to a minute: refused connections
// (status 0) and 5xx answers are asked again, an answer that says no (403) is not.

import type { HlsConfig, LoadPolicy, LoaderResponse, RetryConfig } from 'hls.js';

/** Retries of one request before the error is fatal; with the delays below about three minutes. */
const RETRIES = 60;
const FIRST_DELAY_MS = 500;
const MAX_DELAY_MS = 3_000;
/** A segment that is not there will not come back: look at a newer playlist instead. */
const MISSING_SEGMENT_RETRIES = 2;
const FIRST_BYTE_MS = 10_000;
const PLAYLIST_MS = 15_000;
const SEGMENT_MS = 60_000;
/** Longest wait before loading is started again after a fatal error. */
const RESTART_MAX_MS = 8_000;
const RESTART_FIRST_MS = 1_000;

/** What a request is for; an ended breakout's playlist that is missing stays missing. */
export type Asked = 'live-playlist' | 'ended-playlist' | 'segment';

/** Whether a request that got `status` (0: no answer at all) is asked again. */
export function asksAgain(asked: Asked, status: number, count: number): boolean {
  if (count >= RETRIES) return false;
  if (status === 401 || status === 403) return false;
  if (status === 404 || status === 410) {
    if (asked === 'ended-playlist') return false;
    return asked === 'live-playlist' || count < MISSING_SEGMENT_RETRIES;
  }
  return status === 0 || status === 408 || status === 429 || status >= 500;
}

/** Milliseconds before loading starts again after the `count`-th fatal network error in a row, from 0. */
export function restartDelay(count: number): number {
  return Math.min(RESTART_FIRST_MS * 2 ** Math.min(count, 10), RESTART_MAX_MS);
}

/** Configuration of hls.js for every page. */
export function playerConfig(ended: () => boolean): Partial<HlsConfig> {
  const playlist = () => (ended() ? 'ended-playlist' : 'live-playlist');
  return {
    lowLatencyMode: false,
    liveDurationInfinity: true,
    backBufferLength: 60,
    // Captions come as playlists of their own; looking for them in every frame would be work for nothing.
    enableIMSC1: false,
    enableCEA708Captions: false,
    manifestLoadPolicy: policy(playlist, PLAYLIST_MS),
    playlistLoadPolicy: policy(playlist, PLAYLIST_MS),
    fragLoadPolicy: policy(() => 'segment', SEGMENT_MS),
  };
}

function policy(asked: () => Asked, maxLoadTimeMs: number): LoadPolicy {
  const delays = { maxNumRetry: RETRIES, retryDelayMs: FIRST_DELAY_MS, maxRetryDelayMs: MAX_DELAY_MS };
  return {
    default: {
      maxTimeToFirstByteMs: FIRST_BYTE_MS,
      maxLoadTimeMs,
      timeoutRetry: { ...delays, retryDelayMs: 0 },
      errorRetry: {
        ...delays,
        shouldRetry: (
          _config: RetryConfig | null | undefined,
          count: number,
          _timeout: boolean,
          response: LoaderResponse | undefined,
          retry: boolean,
        ) => (response ? asksAgain(asked(), response.code ?? 0, count) : retry),
      },
    },
  };
}
