// SPDX-License-Identifier: Apache-2.0 OR MIT
// All uploads of this tab: a queue with a few at a time, pause and resume, and what is needed to go on after the page was loaded anew.
// What is kept in the browser are names, sizes and the upload's address: the address opens nothing without a log-in.

import { fingerprint, type Source } from './fingerprint.ts';
import { Meter } from './meter.ts';
import { forget, send, UploadFault, type Transport } from './tus.ts';

const ENDPOINT = '/v1/uploads';
/** At once; the next ones wait. */
const AT_ONCE = 2;
/** Files of one drop at most. */
const FILES_MAX = 500;
const STORE_KEY = 'anabranch.uploads';
const KEPT_MAX = 100;

export type UploadState =
  /** Waits for others of this tab. */
  | 'queued'
  | 'sending'
  /** A try failed; the next comes by itself. */
  | 'retrying'
  | 'paused'
  /** Begun before the page was loaded anew: the browser needs to be given the file again. */
  | 'needs-file'
  | 'done'
  | 'failed';

/** One upload, as a page shows it. */
export interface UploadItem {
  readonly id: string;
  readonly name: string;
  readonly size: number;
  readonly bucket: string;
  readonly type: string;
  state: UploadState;
  /** Bytes that are there or on the way. */
  sent: number;
  /** Bytes a second; null until it can be told. */
  rate: number | null;
  /** Seconds; null until it can be told. */
  left: number | null;
  /** Why it failed, or why it waits. */
  reason: string | null;
  /** When it is tried again, in milliseconds since 1970. */
  retryAt: number | null;
}

/** What is kept of an upload that is not done. */
export interface Kept {
  fingerprint: string;
  url: string;
  name: string;
  size: number;
  sent: number;
  bucket: string;
  type: string;
}

/** Where it is kept: `localStorage`, or nothing. */
export interface Store {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

interface Work {
  item: UploadItem;
  file: Source | null;
  print: string | null;
  url: string | null;
  stop: AbortController | null;
  meter: Meter;
}

export interface Outside {
  transport: Transport;
  store: Store | null;
  /** Headers of each request. */
  headers(): Record<string, string>;
  now(): number;
  random(): number;
  sleep(milliseconds: number, signal: AbortSignal): Promise<void>;
}

export class Uploads {
  private works: Work[] = [];
  private readonly listeners = new Set<() => void>();
  private readonly doneListeners = new Set<(item: UploadItem) => void>();
  private next = 1;

  constructor(private readonly outside: Outside) {
    for (const kept of readKept(outside.store)) {
      const item = this.item(kept.name, kept.size, kept.bucket, kept.type);
      Object.assign(item, { state: 'needs-file', sent: kept.sent });
      this.works.push({ item, file: null, print: kept.fingerprint, url: kept.url, stop: null, meter: new Meter() });
    }
  }

  /** Newest state of all, in the order in which they came. */
  get items(): readonly UploadItem[] {
    return this.works.map(({ item }) => item);
  }

  /** Whether leaving the page would stop something. */
  get busy(): boolean {
    return this.works.some(({ item }) => item.state === 'sending' || item.state === 'retrying' || item.state === 'queued');
  }

  /** Calls back after each change; the answer ends that. */
  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Calls back for each file that the server has whole. */
  onDone(listener: (item: UploadItem) => void): () => void {
    this.doneListeners.add(listener);
    return () => this.doneListeners.delete(listener);
  }

  /** Adds files; one that was begun before goes on where it was. The answer says what was not taken, in words. */
  async add(files: readonly Source[], bucket: string): Promise<string[]> {
    const refused: string[] = [];
    if (files.length > FILES_MAX) refused.push(`${files.length - FILES_MAX} files were left out: at most ${FILES_MAX} at once.`);
    for (const file of files.slice(0, FILES_MAX)) {
      if (file.size === 0) {
        refused.push(`${file.name} is empty.`);
        continue;
      }
      const print = await fingerprint(file);
      const known = this.works.find((work) => work.print === print && work.item.state !== 'done');
      if (known) {
        if (known.item.state === 'needs-file' || known.item.state === 'failed' || known.item.state === 'paused') {
          known.file = file;
          this.change(known, { state: 'queued', reason: null, retryAt: null });
        } else refused.push(`${file.name} is being uploaded already.`);
        continue;
      }
      const item = this.item(file.name, file.size, bucket, file.type);
      this.works.push({ item, file, print, url: null, stop: null, meter: new Meter() });
    }
    this.pump();
    this.tell();
    return refused;
  }

  pause(id: string): void {
    const work = this.find(id);
    if (!work || !['queued', 'sending', 'retrying'].includes(work.item.state)) return;
    this.change(work, { state: 'paused', rate: null, left: null, retryAt: null });
    work.stop?.abort();
    this.pump();
  }

  /** Goes on, or tries again after a failure. */
  resume(id: string): void {
    const work = this.find(id);
    if (!work?.file || !['paused', 'failed'].includes(work.item.state)) return;
    this.change(work, { state: 'queued', reason: null, retryAt: null });
    this.pump();
  }

  /** Takes an upload away. What the server has of it is removed; of one that is done nothing is. */
  async remove(id: string): Promise<void> {
    const work = this.find(id);
    if (!work) return;
    const unfinished = work.item.state !== 'done';
    this.works = this.works.filter((other) => other !== work);
    work.stop?.abort();
    this.keep();
    this.pump();
    this.tell();
    if (unfinished && work.url) {
      // The server forgets it by itself if this does not come through.
      await forget(work.url, this.outside.transport, this.outside.headers(), AbortSignal.timeout(15_000)).catch(() => undefined);
    }
  }

  /** Takes away what is done. */
  clear(): void {
    this.works = this.works.filter(({ item }) => item.state !== 'done');
    this.tell();
  }

  private item(name: string, size: number, bucket: string, type: string): UploadItem {
    const id = `upload-${this.next}`;
    this.next += 1;
    return { id, name, size, bucket, type, state: 'queued', sent: 0, rate: null, left: null, reason: null, retryAt: null };
  }

  private find(id: string): Work | undefined {
    return this.works.find(({ item }) => item.id === id);
  }

  private pump(): void {
    const running = this.works.filter(({ stop }) => stop !== null).length;
    const waiting = this.works.filter(({ item, file, stop }) => item.state === 'queued' && file && !stop);
    for (const work of waiting.slice(0, Math.max(0, AT_ONCE - running))) void this.run(work);
  }

  private async run(work: Work): Promise<void> {
    const { file, item } = work;
    if (!file) return;
    const stop = new AbortController();
    work.stop = stop;
    work.meter.reset();
    this.change(work, { state: 'sending' });
    const metadata = { filename: file.name, filetype: file.type, bucket: item.bucket };
    try {
      await send(ENDPOINT, { blob: file, metadata, url: work.url }, this.outside.transport, this.hooks(work), stop.signal);
      this.change(work, { state: 'done', sent: file.size, rate: null, left: null, reason: null, retryAt: null });
      for (const listener of this.doneListeners) listener(item);
    } catch (error) {
      // Paused and removed ones have said so already.
      if (!stop.signal.aborted) {
        const reason = error instanceof UploadFault ? error.message : 'the file cannot be read; choose it again';
        this.change(work, { state: 'failed', rate: null, left: null, reason, retryAt: null });
      }
    } finally {
      work.stop = null;
      this.keep();
      this.pump();
    }
  }

  private hooks(work: Work) {
    const { outside } = this;
    return {
      begun: (url: string) => {
        work.url = url;
        this.keep();
      },
      progress: (sent: number) => {
        if (work.stop?.signal.aborted !== false) return;
        const now = outside.now();
        work.meter.mark(sent, now);
        const state = work.item.state === 'retrying' ? 'sending' : work.item.state;
        this.change(work, { state, sent, rate: work.meter.rate(now), left: work.meter.left(work.item.size, now), reason: null, retryAt: null });
      },
      waiting: (reason: string, retryAt: number) => {
        work.meter.reset();
        this.change(work, { state: 'retrying', rate: null, left: null, reason, retryAt });
      },
      headers: () => outside.headers(),
      now: () => outside.now(),
      sleep: (milliseconds: number, signal: AbortSignal) => outside.sleep(milliseconds, signal),
      random: () => outside.random(),
    };
  }

  private change(work: Work, change: Partial<UploadItem>): void {
    Object.assign(work.item, change);
    this.tell();
  }

  private tell(): void {
    for (const listener of this.listeners) listener();
  }

  private keep(): void {
    const { store } = this.outside;
    const open = this.works.filter(({ item, url, print }) => item.state !== 'done' && url !== null && print !== null).slice(-KEPT_MAX);
    const kept = open.map(({ item, url, print }): Kept => {
      const { name, size, sent, bucket, type } = item;
      return { fingerprint: print ?? '', url: url ?? '', name, size, sent, bucket, type };
    });
    try {
      if (kept.length === 0) store?.removeItem(STORE_KEY);
      else store?.setItem(STORE_KEY, JSON.stringify(kept));
    } catch {
      // A full or forbidden store costs going on after a reload, nothing else.
    }
  }
}

/** What an earlier page kept; anything that is not of that shape is left out. */
export function readKept(store: Store | null): Kept[] {
  try {
    const parsed: unknown = JSON.parse(store?.getItem(STORE_KEY) ?? '[]');
    if (!Array.isArray(parsed)) return [];
    return parsed.slice(0, KEPT_MAX).filter((item): item is Kept => {
      const { fingerprint: print, url, name, size, sent, bucket, type } = (item ?? {}) as Record<string, unknown>;
      const texts = [print, url, name, bucket, type].every((text) => typeof text === 'string');
      return texts && Number.isSafeInteger(size) && Number.isSafeInteger(sent) && (url as string).startsWith(`${ENDPOINT}/`);
    });
  } catch {
    return [];
  }
}

/** The outside of a browser. */
export function browserOutside(headers: () => Record<string, string>, transport: Transport): Outside {
  let store: Store | null = null;
  try {
    store = window.localStorage;
  } catch {
    // Forbidden by the browser's settings.
  }
  return { transport, store, headers, now: () => Date.now(), random: () => Math.random(), sleep };
}

/** Waits; sooner when the network comes back. */
function sleep(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const done = (finish: () => void) => {
      window.clearTimeout(timer);
      window.removeEventListener('online', back);
      signal.removeEventListener('abort', stop);
      finish();
    };
    const back = () => done(resolve);
    const stop = () => done(() => reject(new DOMException('aborted', 'AbortError')));
    const timer = window.setTimeout(back, milliseconds);
    window.addEventListener('online', back);
    signal.addEventListener('abort', stop);
    if (signal.aborted) stop();
  });
}
