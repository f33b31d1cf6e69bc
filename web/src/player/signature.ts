// SPDX-License-Identifier: Apache-2.0 OR MIT
// The viewer's signature: carried by every URL, renewed before it ends.

const RESERVED = ['Policy', 'Expires', 'Signature', 'Key-Pair-Id', 'Hash-Algorithm'];

/** Share of its life after which a signature is renewed. */
const RENEW_SHARE = 0.8;
const RENEW_MIN_SECONDS = 2;
/** Longer waits are cut up: timers of browsers end at 24 days. */
const RENEW_MAX_SECONDS = 24 * 60 * 60;

/** The newest signature of what is played, for the addresses that carry an older one of it. */
export class Carried {
  private query: string;
  private readonly older = new Set<string>();

  constructor(url: string) {
    this.query = queryOf(url);
  }

  renew(url: string): void {
    for (const pair of signaturesIn(this.query)) this.older.add(pair);
    this.query = queryOf(url);
  }

  /** An address that was signed by itself, or not at all, stays as it is. */
  apply(url: string): string {
    return signaturesIn(queryOf(url)).some((pair) => this.older.has(pair)) ? withSignature(url, this.query) : url;
  }
}

/** `url` with the signature of `query` in place of its own. */
function withSignature(url: string, query: string): string {
  const [before, own] = cut(url);
  const pairs = own.split('&');
  const kept = pairs.filter((pair) => !isReserved(pair));
  const fresh = query.replace(/^\?/, '').split('&').filter(isReserved);
  return `${before}?${[...kept, ...fresh].join('&')}`;
}

/** Query of a signed URL, with its question mark. */
export function queryOf(url: string): string {
  const own = cut(url)[1];
  return own === '' ? '' : `?${own}`;
}

/** The signature in the query of a page, which may have parameters of its own; with its question mark, empty without one. */
export function signatureOf(query: string, ...more: string[]): string {
  const wanted = (pair: string) => isReserved(pair) || more.some((name) => pair.startsWith(`${name}=`));
  const kept = query.replace(/^\?/, '').split('&').filter(wanted);
  return kept.length > 0 ? `?${kept.join('&')}` : '';
}

/** The query of a page with the signature of `fresh` in place of its own; parameters of its own stay. */
export function pageQuery(query: string, fresh: string): string {
  const own = query.replace(/^\?/, '').split('&').filter((pair) => pair !== '' && !isReserved(pair));
  const all = [...own, ...fresh.replace(/^\?/, '').split('&').filter(isReserved)];
  return all.length > 0 ? `?${all.join('&')}` : '';
}

/** Milliseconds until a signature that holds for `seconds` is renewed. */
export function renewDelay(seconds: number): number {
  return Math.min(Math.max(seconds * RENEW_SHARE, RENEW_MIN_SECONDS), RENEW_MAX_SECONDS) * 1000;
}

function signaturesIn(query: string): string[] {
  return query.replace(/^\?/, '').split('&').filter((pair) => pair.startsWith('Signature='));
}

function isReserved(pair: string): boolean {
  return RESERVED.some((name) => pair.startsWith(`${name}=`));
}

function cut(url: string): [string, string] {
  const plain = url.split('#')[0] ?? '';
  const mark = plain.indexOf('?');
  return mark < 0 ? [plain, ''] : [plain.slice(0, mark), plain.slice(mark + 1)];
}
