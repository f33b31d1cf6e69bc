// SPDX-License-Identifier: Apache-2.0 OR MIT
// The one place that speaks the `/v1` API. Types of the fields that the pages show; unknown fields are ignored.

import { sentence } from '../words.ts';

/** What an input receives now. */
export interface InputNow {
  connected: boolean;
  remote?: string | null;
  encoder?: string | null;
  bitrate_bps?: number | null;
}

export interface Input {
  id: string;
  push_url: string;
  stream_key: string;
  state: InputNow;
}

export interface Distribution {
  id: string;
  domain_name: string;
  status: string;
}

export interface Channel {
  id: string;
  name: string;
  state: string;
  /** Whether the operator wants it running, breakout or not. */
  desired_running: boolean;
  problem?: string | null;
  inputs: Input[];
  distribution: Distribution;
}

export interface Breakout {
  id: string;
  name: string;
  /** Identifier of its channel. */
  channel: string;
  state: string;
  packaging: string;
  problem?: string | null;
}

export interface PlayUrl {
  url: string;
  watch_url: string;
  expires_at: string;
}

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

/** The API under one bearer token. */
export class Client {
  constructor(private readonly token: string) {}

  channelList = () => this.list<Channel>('/v1/channels');
  channelCreate = (name: string) => this.send<Channel>('POST', '/v1/channels', { name });
  channelStart = (id: string) => this.act<Channel>('channels', id, 'start');
  channelStop = (id: string) => this.act<Channel>('channels', id, 'stop');
  breakoutList = () => this.list<Breakout>('/v1/breakouts');
  breakoutCreate = (name: string, channel: string) => this.send<Breakout>('POST', '/v1/breakouts', { name, channel });
  breakoutStart = (id: string) => this.act<Breakout>('breakouts', id, 'start');
  breakoutAbort = (id: string) => this.act<Breakout>('breakouts', id, 'abort');
  breakoutStop = (id: string) => this.act<Breakout>('breakouts', id, 'stop');
  breakoutPlayUrl = (id: string) => this.act<PlayUrl>('breakouts', id, 'play-url');

  private act<T>(noun: string, id: string, verb: string): Promise<T> {
    return this.send<T>('POST', `/v1/${noun}/${encodeURIComponent(id)}/${verb}`, {});
  }

  private async list<T>(path: string): Promise<T[]> {
    const items: T[] = [];
    let after: string | null = null;
    for (let pages = 0; pages < MAX_PAGES; pages += 1) {
      const query: string = after === null ? '' : `&after=${encodeURIComponent(after)}`;
      const page: { items: T[]; next?: string | null } = await this.send('GET', `${path}?limit=${PAGE_ITEMS}${query}`);
      items.push(...page.items);
      after = page.next ?? null;
      if (after === null) break;
    }
    return items;
  }

  private async send<T>(method: string, path: string, body?: unknown): Promise<T> {
    const headers: Record<string, string> = { accept: 'application/json', authorization: `Bearer ${this.token}` };
    if (body !== undefined) headers['content-type'] = 'application/json';
    let response: Response;
    try {
      response = await fetch(path, {
        method,
        headers,
        body: body === undefined ? null : JSON.stringify(body),
        cache: 'no-store',
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
    } catch {
      throw new ApiError(0, 'The server does not answer. This page keeps trying.');
    }
    if (!response.ok) throw new ApiError(response.status, await problemDetail(response));
    return (await response.json()) as T;
  }
}

/** The `detail` of a problem response, or the best words that the answer has. */
async function problemDetail(response: Response): Promise<string> {
  const fallback = `The server answered ${response.status} ${response.statusText}`.trim() + '.';
  try {
    const { detail, title } = (await response.json()) as { detail?: unknown; title?: unknown };
    return sentence(typeof detail === 'string' ? detail : typeof title === 'string' ? title : fallback);
  } catch {
    return fallback;
  }
}
