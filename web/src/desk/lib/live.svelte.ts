// SPDX-License-Identifier: Apache-2.0 OR MIT
// One stream of what happens, for all pages: they say what they show, and are told when that has changed.

import { api, ask, type Schemas } from './api.ts';
import { session } from './session.svelte.ts';
import { eventsOf } from './sse.ts';

export type LogEntry = Schemas['LogEntry'];
export type LiveState = 'off' | 'connecting' | 'live' | 'polling';

const RETRY_MIN_MS = 1_000;
const RETRY_MAX_MS = 20_000;
/** The server sends a comment more often than this; without one the stream is taken for dead. */
const SILENCE_MS = 45_000;
/** Streams that fail in a row before the log is polled in between. */
const FAILURES_TO_POLL = 2;
/** Entries that are kept for pages that open later. */
const KEPT = 100;

type Listener = (entry: LogEntry) => void;

class Live {
  state = $state<LiveState>('off');
  /** The newest entries, newest first. */
  recent = $state.raw<LogEntry[]>([]);

  private listeners = new Set<Listener>();
  private newest = -1;
  private failures = 0;
  private run = 0;
  private abort: AbortController | null = null;

  /** Calls `listener` with each new entry until the answer is called. */
  on(listener: Listener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  start(): void {
    if (this.state !== 'off') return;
    this.run += 1;
    this.state = 'connecting';
    void this.loop(this.run);
  }

  stop(): void {
    this.run += 1;
    this.abort?.abort();
    this.state = 'off';
    this.newest = -1;
    this.recent = [];
  }

  private async loop(run: number): Promise<void> {
    let wait = RETRY_MIN_MS;
    while (run === this.run) {
      const began = performance.now();
      try {
        await this.stream(run);
        this.failures = 0;
      } catch {
        this.failures += 1;
      }
      if (run !== this.run) return;
      if (performance.now() - began > SILENCE_MS) wait = RETRY_MIN_MS;
      if (this.failures >= FAILURES_TO_POLL) await this.poll();
      if (run !== this.run) return;
      if (this.state === 'live') this.state = 'connecting';
      await new Promise((resolve) => setTimeout(resolve, wait * (0.75 + Math.random() / 2)));
      wait = Math.min(wait * 2, RETRY_MAX_MS);
    }
  }

  private async stream(run: number): Promise<void> {
    this.abort = new AbortController();
    const { signal } = this.abort;
    const headers = { accept: 'text/event-stream', ...(this.newest >= 0 ? { 'Last-Event-ID': String(this.newest) } : {}) };
    const body = (await ask(
      api.GET('/v1/log/stream', { params: {}, headers, parseAs: 'stream', signal }) as never,
    )) as ReadableStream<Uint8Array> | null;
    if (!body) throw new Error('the stream has no body');
    if (this.newest < 0) this.newest = (await ask(api.GET('/v1/log', { params: { query: { limit: 1 } } }))).newest;
    this.state = 'live';
    this.failures = 0;
    for await (const event of eventsOf(body, SILENCE_MS, this.abort)) {
      if (run !== this.run) return;
      if (event.event !== 'gap') this.take(JSON.parse(event.data) as LogEntry);
    }
  }

  private async poll(): Promise<void> {
    try {
      const query = this.newest >= 0 ? { after: this.newest, sort: 'asc', limit: 200 } : { limit: 1 };
      const { items, newest } = await ask(api.GET('/v1/log', { params: { query: query as never } }));
      if (this.newest < 0) this.newest = newest;
      this.state = 'polling';
      for (const entry of items) this.take(entry);
    } catch {
      this.state = 'connecting';
    }
  }

  private take(entry: LogEntry): void {
    if (entry.sequence <= this.newest) return;
    this.newest = entry.sequence;
    this.recent = [entry, ...this.recent].slice(0, KEPT);
    for (const listener of this.listeners) listener(entry);
  }
}

export const live = new Live();

/** Whether entries may be read at all. */
export const mayListen = () => session.may('log:view');
