// SPDX-License-Identifier: Apache-2.0 OR MIT
// One upload by tus 1.0 (<https://tus.io/protocols/resumable-upload>): begins it, sends it in pieces, asks where it is after a fault and
// goes on from there. Knows nothing of pages; the transport is an argument, so that tests need no network.

const VERSION = '1.0.0';
/** One request carries so much at most: what proxies of a common kind let through, and little to send again after a fault. */
export const PIECE_BYTES = 16 * 1024 * 1024;
/** Tries of one piece without a byte gained, after which the upload says that it has failed. */
export const TRIES_MAX = 8;
/** Waits between tries: doubled from the first to the last, and spread. */
const WAIT_FIRST_MS = 500;
const WAIT_LAST_MS = 30_000;

/** What a request came to. */
export interface Reply {
  status: number;
  header(name: string): string | null;
  body: string;
}

/** Sends one request. Rejects with `AbortError` when aborted, and with any other error when there was no answer. */
export type Transport = (request: {
  method: string;
  url: string;
  headers: Record<string, string>;
  body?: Blob;
  sent?: (bytes: number) => void;
  signal: AbortSignal;
}) => Promise<Reply>;

/** Why an upload does not go on by itself. */
export class UploadFault extends Error {
  constructor(
    /** 0 when there was no answer. */
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

export interface Upload {
  blob: Blob;
  /** Pairs for `Upload-Metadata`. */
  metadata: Readonly<Record<string, string>>;
  /** Where it was begun, from an earlier time. */
  url?: string | null;
}

export interface Hooks {
  /** It was begun here; to be kept for another time. */
  begun(url: string, expires: string | null): void;
  /** Bytes that are there, those on the way included. */
  progress(bytes: number): void;
  /** A try failed; the next is at `at`, in milliseconds since 1970. */
  waiting(reason: string, at: number): void;
  /** Headers of every request, such as the one against forged requests. */
  headers(): Record<string, string>;
  now(): number;
  /** Resolves after so long, sooner when the network is back; rejects with `AbortError`. */
  sleep(milliseconds: number, signal: AbortSignal): Promise<void>;
  random(): number;
}

/**
 * Sends the whole file; resolves when the server has all of it. Stops at once when aborted, with `AbortError`: what the server has
 * stays there, and the same call goes on later. Rejects with `UploadFault` when a person must do something.
 */
export async function send(endpoint: string, upload: Upload, transport: Transport, hooks: Hooks, signal: AbortSignal): Promise<string> {
  let url = upload.url ?? null;
  let offset: number | null = null;
  let tries = 0;
  const size = upload.blob.size;
  for (;;) {
    signal.throwIfAborted();
    try {
      if (url === null) {
        ({ url, offset } = await begin(endpoint, upload, transport, hooks, signal));
      } else if (offset === null) {
        offset = await ask(url, size, transport, hooks, signal);
        if (offset === null) {
          // Rested for too long, or ended: it begins anew.
          url = null;
          continue;
        }
      }
      hooks.progress(offset);
      if (offset >= size) return url;
      const after: number = await append(url, upload.blob, offset, transport, hooks, signal);
      if (after > offset) tries = 0;
      offset = after;
    } catch (error) {
      if (signal.aborted) throw error;
      const fault = error instanceof UploadFault ? error : new UploadFault(0, 'the server does not answer');
      if (!passes(fault.status)) throw fault;
      tries += 1;
      if (tries >= TRIES_MAX) throw fault;
      offset = null;
      const wait = waitOf(tries, hooks.random());
      hooks.waiting(fault.message, hooks.now() + wait);
      await hooks.sleep(wait, signal);
    }
  }
}

/** Ends an upload, so that the server need not keep what came. That it is gone already is fine. */
export async function forget(url: string, transport: Transport, headers: Record<string, string>, signal: AbortSignal): Promise<void> {
  const reply = await transport({ method: 'DELETE', url, headers: { ...headers, 'Tus-Resumable': VERSION }, signal });
  if (reply.status >= 400 && reply.status !== 404 && reply.status !== 410) throw faultOf(reply);
}

/** Whether the same may succeed later by itself: no answer, somebody else at it, another offset than thought, and faults of the server. */
function passes(status: number): boolean {
  return status === 0 || [408, 409, 423, 425, 429].includes(status) || (status >= 500 && status !== 501 && status !== 505);
}

export function waitOf(tries: number, random: number): number {
  const whole = Math.min(WAIT_LAST_MS, WAIT_FIRST_MS * 2 ** (tries - 1));
  return Math.round(whole * (0.5 + random / 2));
}

async function begin(endpoint: string, { blob, metadata }: Upload, transport: Transport, hooks: Hooks, signal: AbortSignal) {
  const headers = { ...hooks.headers(), 'Tus-Resumable': VERSION, 'Upload-Length': String(blob.size), 'Upload-Metadata': pairs(metadata) };
  const reply = await transport({ method: 'POST', url: endpoint, headers, signal });
  const place = reply.header('Location');
  if (reply.status !== 201 || !place) throw faultOf(reply);
  const url = sameOriginPath(place, endpoint);
  hooks.begun(url, reply.header('Upload-Expires'));
  return { url, offset: Number(reply.header('Upload-Offset') ?? 0) || 0 };
}

/** Bytes that are there; null when there is no such upload, or it is one of another file. */
async function ask(url: string, size: number, transport: Transport, hooks: Hooks, signal: AbortSignal): Promise<number | null> {
  const reply = await transport({ method: 'HEAD', url, headers: { ...hooks.headers(), 'Tus-Resumable': VERSION }, signal });
  if (reply.status === 404 || reply.status === 410) return null;
  if (reply.status >= 300 || reply.status === 0) throw faultOf(reply);
  const length = reply.header('Upload-Length');
  if (length !== null && Number(length) !== size) return null;
  const offset = Number(reply.header('Upload-Offset'));
  if (!Number.isSafeInteger(offset) || offset < 0 || offset > size) throw new UploadFault(reply.status, 'the server does not say where the upload is');
  return offset;
}

async function append(url: string, blob: Blob, offset: number, transport: Transport, hooks: Hooks, signal: AbortSignal): Promise<number> {
  const body = blob.slice(offset, Math.min(blob.size, offset + PIECE_BYTES));
  const headers = {
    ...hooks.headers(),
    'Tus-Resumable': VERSION,
    'Upload-Offset': String(offset),
    'Content-Type': 'application/offset+octet-stream',
  };
  const reply = await transport({ method: 'PATCH', url, headers, body, sent: (bytes) => hooks.progress(offset + Math.min(bytes, body.size)), signal });
  // An upload that is gone begins anew: the caller asks where it is, and learns it.
  if (reply.status === 404 || reply.status === 410) throw new UploadFault(409, 'the server has forgotten the upload');
  if (reply.status !== 204) throw faultOf(reply);
  const after = Number(reply.header('Upload-Offset'));
  return Number.isSafeInteger(after) && after >= offset ? after : offset + body.size;
}

function faultOf(reply: Reply): UploadFault {
  let words: string | null = null;
  try {
    const problem: unknown = JSON.parse(reply.body);
    if (typeof problem === 'object' && problem !== null) {
      const { detail, title } = problem as Record<string, unknown>;
      words = typeof detail === 'string' ? detail : typeof title === 'string' ? title : null;
    }
  } catch {
    // A proxy's page says nothing that helps more than the status.
  }
  if (words === null && reply.status === 401) words = 'the log-in has ended; log in again and go on';
  if (words === null && reply.status === 403) words = 'your privileges do not allow uploads';
  if (words === null && reply.status === 413) words = 'the file, or a piece of it, is larger than the server takes';
  return new UploadFault(reply.status, words ?? (reply.status === 0 ? 'the server does not answer' : `the server answered ${reply.status}`));
}

/** `Upload-Metadata`: words and values in base64 of UTF-8. */
export function pairs(metadata: Readonly<Record<string, string>>): string {
  return Object.entries(metadata)
    .filter(([, value]) => value !== '')
    .map(([word, value]) => `${word} ${base64(value)}`)
    .join(',');
}

function base64(text: string): string {
  return btoa(Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join(''));
}

/** The path of `place`, which must be of the endpoint's own origin: the cookie and the file go nowhere else. */
function sameOriginPath(place: string, endpoint: string): string {
  const base = new URL(endpoint, 'http://here.invalid');
  const url = new URL(place, base);
  if (url.origin !== base.origin && url.pathname.split('/').slice(0, -1).join('/') !== base.pathname) {
    throw new UploadFault(501, 'the server names another place for the upload');
  }
  return base.origin === 'http://here.invalid' ? url.pathname + url.search : new URL(url.pathname + url.search, base).href;
}

/** A transport by XMLHttpRequest: fetch cannot tell how much of a body was sent. */
export const xhr: Transport = ({ method, url, headers, body, sent, signal }) =>
  new Promise<Reply>((resolve, reject) => {
    if (signal.aborted) {
      reject(new DOMException('aborted', 'AbortError'));
      return;
    }
    const request = new XMLHttpRequest();
    const stop = () => request.abort();
    signal.addEventListener('abort', stop, { once: true });
    request.onloadend = () => signal.removeEventListener('abort', stop);
    request.onload = () => resolve({ status: request.status, header: (name) => request.getResponseHeader(name), body: request.responseText });
    request.onerror = () => reject(new UploadFault(0, 'the server does not answer'));
    request.ontimeout = request.onerror;
    request.onabort = () => reject(new DOMException('aborted', 'AbortError'));
    if (sent) request.upload.onprogress = (event) => sent(event.loaded);
    request.open(method, url);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.send(body ?? null);
  });
