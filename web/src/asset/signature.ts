// SPDX-License-Identifier: Apache-2.0 OR MIT
// The viewer's signature: carried by every URL, renewed before it ends.

const RESERVED = ['Policy', 'Expires', 'Signature', 'Key-Pair-Id', 'Hash-Algorithm'];

/** Share of its life after which a signature is renewed. */
const RENEW_SHARE = 0.8;
const RENEW_MIN_SECONDS = 2;
/** Longer waits are cut up: timers of browsers end at 24 days. */
const RENEW_MAX_SECONDS = 24 * 60 * 60;

/** `url` with the signature of `query` in place of its own. One without a signature stays as it is. */
export function withSignature(url: string, query: string): string {
  const [before, own] = cut(url);
  const pairs = own.split('&');
  if (!pairs.some((pair) => pair.startsWith('Signature='))) return url;
  const kept = pairs.filter((pair) => !isReserved(pair));
  const fresh = query.replace(/^\?/, '').split('&').filter(isReserved);
  return `${before}?${[...kept, ...fresh].join('&')}`;
}

/** Query of a signed URL, with its question mark. */
export function queryOf(url: string): string {
  const own = cut(url)[1];
  return own === '' ? '' : `?${own}`;
}

/** Milliseconds until a signature that holds for `seconds` is renewed. */
export function renewDelay(seconds: number): number {
  return Math.min(Math.max(seconds * RENEW_SHARE, RENEW_MIN_SECONDS), RENEW_MAX_SECONDS) * 1000;
}

function isReserved(pair: string): boolean {
  return RESERVED.some((name) => pair.startsWith(`${name}=`));
}

function cut(url: string): [string, string] {
  const plain = url.split('#')[0] ?? '';
  const mark = plain.indexOf('?');
  return mark < 0 ? [plain, ''] : [plain.slice(0, mark), plain.slice(mark + 1)];
}
