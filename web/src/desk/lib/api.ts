// SPDX-License-Identifier: Apache-2.0 OR MIT
// The desk's one speaker of `/v1`, typed by `docs/openapi.json` (`npm run generate`). The session is a cookie; no
// secret is kept here but the CSRF word that the server gave this session.

import createClient from 'openapi-fetch';
import type { components, paths } from '../../api/schema.d.ts';

export type Schemas = components['schemas'];

/** Longest wait for an answer. */
const TIMEOUT_MS = 15_000;
/** Items of a page of a list, as many as the API gives. */
export const PAGE_ITEMS = 200;

let csrf: string | null = null;
let onUnauthorised: () => void = () => {};

/** Sets the word that requests which change something carry. */
export const useCsrf = (word: string | null) => void (csrf = word);
/** Sets what happens when the session has ended. */
export const whenUnauthorised = (work: () => void) => void (onUnauthorised = work);

/** Every operation of the API, by method and path. Wrap calls in `ask`. */
export const api = createClient<paths>({
  cache: 'no-store',
  credentials: 'same-origin',
  fetch: (request) => {
    // A stream of events has no end; its reader gives up by itself.
    if (request.headers.get('accept') === 'text/event-stream') return fetch(request);
    return fetch(request, { signal: AbortSignal.any([request.signal, AbortSignal.timeout(TIMEOUT_MS)]) });
  },
});
api.use({
  onRequest({ request }) {
    if (csrf && request.method !== 'GET' && request.method !== 'HEAD') request.headers.set('X-Anabranch-CSRF', csrf);
    return request;
  },
});

/** A request that the server refused with a problem (RFC 9457), or did not answer (status 0). */
export class Problem extends Error {
  readonly kind: string;

  constructor(
    readonly status: number,
    message: string,
    readonly title = '',
    type = '',
    readonly field: string | null = null,
    readonly retryAfter: number | null = null,
  ) {
    super(message);
    this.kind = type.split(/[:/]/).at(-1) ?? '';
  }

  /** What the operator can do about it. */
  get next(): string {
    switch (this.status) {
      case 0:
        return 'Check that the server runs and that this machine reaches it. The page keeps trying.';
      case 401:
        return 'Log in again.';
      case 403:
        return this.kind === 'csrf' ? 'Reload the page and try again.' : 'Ask an owner or admin for the privilege.';
      case 404:
        return 'It may have been deleted. Go back to the list.';
      case 409:
      case 412:
        return 'Look at its state as it is now, and try again.';
      case 422:
      case 400:
        return 'Correct the value and try again.';
      case 429:
        return this.retryAfter ? `Try again in ${this.retryAfter} s.` : 'Wait a little and try again.';
      case 503:
        return 'Another instance may be in the lead, or the server is starting. Try again in a few seconds.';
      default:
        return this.status >= 500 ? 'Try again; if it stays, look at the log of the server.' : '';
    }
  }
}

type Answer<T> = { data?: T; error?: unknown; response: Response };

/** The answer of a call, or a thrown `Problem`. */
export async function ask<T>(call: Promise<Answer<T>>): Promise<T> {
  let answer: Answer<T>;
  try {
    answer = await call;
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error;
    throw new Problem(0, 'The server does not answer.');
  }
  const { data, error, response } = answer;
  if (response.ok) return data as T;
  if (response.status === 401) onUnauthorised();
  throw problemOf(error, response);
}

function problemOf(body: unknown, response: Response): Problem {
  const { detail, title, type, field } = (typeof body === 'object' && body !== null ? body : {}) as Record<string, unknown>;
  const text = (value: unknown) => (typeof value === 'string' ? value : '');
  const words = text(detail) || text(title) || `the server answered ${response.status} ${response.statusText}`.trim();
  const after = Number(response.headers.get('retry-after') ?? '');
  return new Problem(response.status, sentence(words), text(title), text(type), text(field) || null, after > 0 ? after : null);
}

/** Any thrown value as a problem. */
export function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  return new Problem(-1, error instanceof Error ? error.message : String(error));
}

/** The server's words, which start small and have no full stop, as a sentence of the page. */
export function sentence(words: string | null | undefined): string {
  if (!words) return '';
  const start = words.charAt(0).toUpperCase() + words.slice(1);
  return /[.!?]$/.test(start) ? start : `${start}.`;
}

/** Path parameters of the many operations that name one object. */
export const byId = (id: string) => ({ params: { path: { id } } });
