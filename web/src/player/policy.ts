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
/** Where another region has the same, one more question tells a hiccup from an outage, and what does not begin to come soon is not waited for. */
const ELSEWHERE_RETRIES = 1;
const ELSEWHERE_FIRST_BYTE_MS = 4_000;
/** Longest wait before loading is started again after a fatal error. */
const RESTART_MAX_MS = 8_000;
const RESTART_FIRST_MS = 1_000;

/** What a request is for; an ended breakout's playlist that is missing stays missing. */
export type Asked = 'live-playlist' | 'ended-playlist' | 'segment';

/** Whether a request that got `status` (0: no answer at all) is asked again; `elsewhere` where another region has the same. */
export function asksAgain(asked: Asked, status: number, count: number, elsewhere = false): boolean {
  if (count >= (elsewhere ? ELSEWHERE_RETRIES : RETRIES)) return false;
  if (status === 401 || status === 403) return false;
  // A region that is closed answers that nothing is there.
  if (elsewhere && (status === 404 || status === 410)) return false;
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
  const { fragLoadPolicy, playlistLoadPolicy } = mediaPolicies(ended, false);
  return {
    lowLatencyMode: false,
    liveDurationInfinity: true,
    backBufferLength: 60,
    // Captions come as playlists of their own; looking for them in every frame would be work for nothing.
    enableIMSC1: false,
    enableCEA708Captions: false,
    manifestLoadPolicy: playlistLoadPolicy,
    playlistLoadPolicy,
    fragLoadPolicy,
  };
}

/** How media and its playlists are asked for; `elsewhere` where the multivariant playlist names another region that has the same. */
export function mediaPolicies(ended: () => boolean, elsewhere: boolean): Pick<HlsConfig, 'playlistLoadPolicy' | 'fragLoadPolicy'> {
  return {
    playlistLoadPolicy: policy(() => (ended() ? 'ended-playlist' : 'live-playlist'), PLAYLIST_MS, elsewhere),
    fragLoadPolicy: policy(() => 'segment', SEGMENT_MS, elsewhere),
  };
}

function policy(asked: () => Asked, maxLoadTimeMs: number, elsewhere: boolean): LoadPolicy {
  const maxNumRetry = elsewhere ? ELSEWHERE_RETRIES : RETRIES;
  const delays = { maxNumRetry, retryDelayMs: FIRST_DELAY_MS, maxRetryDelayMs: MAX_DELAY_MS };
  return {
    default: {
      maxTimeToFirstByteMs: elsewhere ? ELSEWHERE_FIRST_BYTE_MS : FIRST_BYTE_MS,
      maxLoadTimeMs,
      timeoutRetry: { ...delays, maxNumRetry: elsewhere ? 0 : maxNumRetry, retryDelayMs: 0 },
      errorRetry: {
        ...delays,
        shouldRetry: (
          _config: RetryConfig | null | undefined,
          count: number,
          _timeout: boolean,
          response: LoaderResponse | undefined,
          retry: boolean,
        ) => (response ? asksAgain(asked(), response.code ?? 0, count, elsewhere) : retry),
      },
    },
  };
}
