// SPDX-License-Identifier: Apache-2.0 OR MIT
// `/v1/watch/assets` and `/v1/watch/collections` with the page's own signature.

import type { components } from '../api/schema.d.ts';

export type WatchAsset = components['schemas']['WatchAsset'];
export type WatchCollection = components['schemas']['WatchCollection'];
export type WatchItem = components['schemas']['WatchItem'];

/** Longest wait for an answer. */
const TIMEOUT_MS = 10_000;

/** What came of a question; never an exception. */
export type Answer<T> =
  | { kind: 'answer'; body: T }
  /** It is not there, or not for this viewer; `words` are the server's. */
  | { kind: 'refused'; missing: boolean; words: string }
  | { kind: 'unreachable' };

export function askAsset(id: string, query: string): Promise<Answer<WatchAsset>> {
  return ask('GET', `/v1/watch/assets/${part(id)}${query}`, 'state');
}

/** A part of the list: what follows the first `skip` assets. */
export function askCollection(id: string, query: string, skip: number): Promise<Answer<WatchCollection>> {
  return ask('GET', `/v1/watch/collections/${part(id)}${query}${skip > 0 ? `&skip=${skip}` : ''}`, 'items');
}

/** Another signature; its `watch_url` carries it. */
export function renew(kind: 'assets' | 'collections', id: string, query: string): Promise<Answer<{ watch_url: string }>> {
  return ask('POST', `/v1/watch/${kind}/${part(id)}/renew${query}`, 'watch_url');
}

async function ask<T>(method: string, url: string, needed: string): Promise<Answer<T>> {
  try {
    const response = await fetch(url, {
      method,
      headers: { accept: 'application/json' },
      cache: 'no-store',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    if ([400, 401, 403, 404, 410].includes(response.status)) {
      const missing = response.status === 404 || response.status === 410;
      return { kind: 'refused', missing, words: await problemWords(response) };
    }
    const body: unknown = response.ok ? await response.json() : null;
    // An answer of something else than the server counts as none.
    return typeof body === 'object' && body !== null && needed in body ? { kind: 'answer', body: body as T } : { kind: 'unreachable' };
  } catch {
    return { kind: 'unreachable' };
  }
}

async function problemWords(response: Response): Promise<string> {
  try {
    const { detail, title } = (await response.json()) as Record<string, unknown>;
    return typeof detail === 'string' ? detail : typeof title === 'string' ? title : '';
  } catch {
    return '';
  }
}

function part(id: string): string {
  try {
    return encodeURIComponent(decodeURIComponent(id));
  } catch {
    return encodeURIComponent(id);
  }
}
