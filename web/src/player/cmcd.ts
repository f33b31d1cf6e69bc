// SPDX-License-Identifier: Apache-2.0 OR MIT
// What the delivery network is told of playback with each request (CTA-5004, as a query), beside what hls.js tells: how long
// the start took, and how long playback stood still.

import type { HlsConfig, Loader, LoaderCallbacks, LoaderConfiguration, LoaderContext } from 'hls.js';
import type { Recorder } from './stats.ts';

/** Keys that are sent; the address of the next object would be the longest and says nothing that the playlist does not. */
export const CMCD_KEYS = ['bl', 'br', 'bs', 'cid', 'd', 'mtp', 'ot', 'pr', 'sf', 'sid', 'st', 'su', 'tb'] as const;
/** Keys of our own: milliseconds to the first frame, once; and of standstill since it was told last. */
const STARTUP_KEY = 'com.anabranch-startup';
const STALL_KEY = 'com.anabranch-stall';
const PARAMETER = 'CMCD';

/** What has not been told yet. */
export class Told {
  private startup = false;
  private stalled = 0;

  constructor(private readonly recorder: Pick<Recorder, 'stats'>) {}

  /** Pairs for the next request. */
  next(): string[] {
    const { startTimeMs, stallSeconds } = this.recorder.stats;
    const pairs: string[] = [];
    if (!this.startup && startTimeMs !== null) {
      this.startup = true;
      pairs.push(`${STARTUP_KEY}=${Math.round(startTimeMs)}`);
    }
    const stalled = Math.round(stallSeconds * 1000);
    if (stalled > this.stalled) {
      pairs.push(`${STALL_KEY}=${stalled - this.stalled}`);
      this.stalled = stalled;
    }
    return pairs;
  }
}

/** `url` with more pairs in its parameter, which is added where there is none. */
export function withTold(url: string, pairs: readonly string[]): string {
  if (pairs.length === 0) return url;
  const more = encodeURIComponent(pairs.join());
  const mark = url.indexOf('?');
  const parameters = mark < 0 ? [] : url.slice(mark + 1).split('&');
  const at = parameters.findIndex((parameter) => parameter.startsWith(`${PARAMETER}=`));
  if (at < 0) parameters.push(`${PARAMETER}=${more}`);
  else parameters[at] += `%2C${more}`;
  return `${mark < 0 ? url : url.slice(0, mark)}?${parameters.join('&')}`;
}

/** `url` as it stands, with the parameter that `told` has: hls.js writes the whole query anew, which no signature of it survives. */
export function withParameterOf(url: string, told: string): string {
  const pair = told.split('#')[0]?.split(/[?&]/).find((part) => part.startsWith(`${PARAMETER}=`));
  return pair ? `${url}${url.includes('?') ? '&' : '?'}${pair}` : url;
}

/** A loader of hls.js that tells, but asks for each address as it was given. */
export function asGiven<C extends LoaderContext>(Inner: new (config: HlsConfig) => Loader<C>): new (config: HlsConfig) => Loader<C> {
  return class extends Inner {
    override load(context: C, config: LoaderConfiguration, callbacks: LoaderCallbacks<C>): void {
      const given = context.url;
      let url = given;
      Object.defineProperty(context, 'url', {
        configurable: true,
        enumerable: true,
        get: () => url,
        set: (told: string) => void (url = withParameterOf(given, told)),
      });
      super.load(context, config, callbacks);
    }
  };
}

/** A name for this page's playback, as RFC 9562 writes random ones; `crypto.randomUUID` needs a secure context. */
export function playbackSession(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}
