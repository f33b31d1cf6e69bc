// SPDX-License-Identifier: Apache-2.0 OR MIT
// The admin page's one speaker of the `/v1` API, typed by `docs/openapi.json` (`npm run generate`).

import createClient from 'openapi-fetch';
import { sentence } from '../words.ts';
import type { components, paths } from './schema.d.ts';

export type InputNow = components['schemas']['InputNow'];
export type Input = components['schemas']['Input'];
export type Channel = components['schemas']['Channel'];
export type Breakout = components['schemas']['Breakout'];
export type PlayUrl = components['schemas']['PlayUrl'];

/** A request that the server answered with a problem (RFC 9457), or did not answer (status 0). */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

/** Longest wait for an answer. */
const TIMEOUT_MS = 15_000;
/** Items of a page of a list, as many as the API gives. */
const PAGE_ITEMS = 200;
/** Pages of a list at most; the overview is not made for more. */
const MAX_PAGES = 10;

/** One answer of `openapi-fetch`. */
type Answer<T> = { data?: T; error?: unknown; response: Response };

/** The API under one bearer token. Every call throws `ApiError` when it is not done. */
export class Client {
  private readonly api;

  constructor(token: string) {
    this.api = createClient<paths>({
      headers: { authorization: `Bearer ${token}` },
      cache: 'no-store',
      fetch: (request) => fetch(request, { signal: AbortSignal.timeout(TIMEOUT_MS) }),
    });
  }

  channelList = () => all((query) => this.api.GET('/v1/channels', { params: { query } }));
  channelCreate = (name: string) => done(this.api.POST('/v1/channels', { body: { name } }));
  channelStart = (id: string) => done(this.api.POST('/v1/channels/{id}/start', byId(id)));
  channelStop = (id: string) => done(this.api.POST('/v1/channels/{id}/stop', byId(id)));
  breakoutList = () => all((query) => this.api.GET('/v1/breakouts', { params: { query } }));
  breakoutCreate = (name: string, channel: string) => done(this.api.POST('/v1/breakouts', { body: { name, channel } }));
  breakoutStart = (id: string) => done(this.api.POST('/v1/breakouts/{id}/start', byId(id)));
  breakoutAbort = (id: string) => done(this.api.POST('/v1/breakouts/{id}/abort', byId(id)));
  breakoutStop = (id: string) => done(this.api.POST('/v1/breakouts/{id}/stop', byId(id)));
  breakoutPlayUrl = (id: string) => done(this.api.POST('/v1/breakouts/{id}/play-url', { ...byId(id), body: {} }));
}

const byId = (id: string) => ({ params: { path: { id } } });

/** All pages of a list. */
async function all<T>(
  page: (query: { limit: number; after?: string }) => Promise<Answer<{ items: T[]; next?: string | null }>>,
): Promise<T[]> {
  const items: T[] = [];
  let after: string | null = null;
  for (let pages = 0; pages < MAX_PAGES; pages += 1) {
    const answer: { items: T[]; next?: string | null } = await done(
      page(after === null ? { limit: PAGE_ITEMS } : { limit: PAGE_ITEMS, after }),
    );
    items.push(...answer.items);
    after = answer.next ?? null;
    if (after === null) break;
  }
  return items;
}

async function done<T>(call: Promise<Answer<T>>): Promise<T> {
  let answer: Answer<T>;
  try {
    answer = await call;
  } catch {
    throw new ApiError(0, 'The server does not answer. This page keeps trying.');
  }
  const { data, error, response } = answer;
  if (data === undefined) throw new ApiError(response.status, problemWords(error, response));
  return data;
}

/** The `detail` of a problem response, or the best words that the answer has. */
function problemWords(problem: unknown, response: Response): string {
  const { detail, title } = (typeof problem === 'object' && problem !== null ? problem : {}) as Record<string, unknown>;
  const words = typeof detail === 'string' ? detail : typeof title === 'string' ? title : null;
  return sentence(words ?? `the server answered ${response.status} ${response.statusText}`.trim());
}
