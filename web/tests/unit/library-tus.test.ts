// SPDX-License-Identifier: Apache-2.0 OR MIT
// Uploads against a server in memory that speaks tus as far as it matters here.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fingerprint } from '../../src/desk/lib/fingerprint.ts';
import { Meter } from '../../src/desk/lib/meter.ts';
import { pairs, PIECE_BYTES, send, TRIES_MAX, UploadFault, waitOf, type Reply, type Transport } from '../../src/desk/lib/tus.ts';
import { readKept, Uploads, type Outside } from '../../src/desk/lib/uploads.ts';

class Server {
  readonly uploads = new Map<string, { length: number; bytes: number; metadata: string }>();
  readonly log: string[] = [];
  headers: Record<string, string>[] = [];
  /** Called before each request; throws or answers instead of the server. */
  fault: (method: string, url: string) => Reply | null = () => null;
  /** Holds the answer to PATCH until it is called. */
  gate: Promise<void> = Promise.resolve();
  private next = 1;

  readonly transport: Transport = async ({ method, url, headers, body, sent, signal }) => {
    if (signal.aborted) throw new DOMException('aborted', 'AbortError');
    this.log.push(`${method} ${url}${headers['Upload-Offset'] ? ` @${headers['Upload-Offset']}` : ''}`);
    this.headers.push(headers);
    const instead = this.fault(method, url);
    if (instead) return instead;
    if (method === 'POST') {
      const id = `/v1/uploads/u${this.next++}`;
      this.uploads.set(id, { length: Number(headers['Upload-Length']), bytes: 0, metadata: headers['Upload-Metadata'] ?? '' });
      return reply(201, { location: `http://public.example${id}`, 'upload-offset': '0' });
    }
    const upload = this.uploads.get(url);
    if (!upload) return reply(404);
    if (method === 'HEAD') return reply(200, { 'upload-offset': String(upload.bytes), 'upload-length': String(upload.length) });
    if (method === 'DELETE') {
      this.uploads.delete(url);
      return reply(204);
    }
    if (Number(headers['Upload-Offset']) !== upload.bytes) return reply(409);
    sent?.(Math.floor((body?.size ?? 0) / 2));
    await Promise.race([this.gate, new Promise((_, stop) => signal.addEventListener('abort', () => stop(new DOMException('aborted', 'AbortError'))))]);
    upload.bytes += body?.size ?? 0;
    return reply(204, { 'upload-offset': String(upload.bytes) });
  };
}

function reply(status: number, headers: Record<string, string> = {}, body = ''): Reply {
  return { status, header: (name) => headers[name.toLowerCase()] ?? null, body };
}

function hooks(seen: { progress: number[]; waits: string[]; begun: string[] } = { progress: [], waits: [], begun: [] }) {
  return {
    begun: (url: string) => void seen.begun.push(url),
    progress: (bytes: number) => void seen.progress.push(bytes),
    waiting: (reason: string) => void seen.waits.push(reason),
    headers: () => ({ 'X-Anabranch-CSRF': 'word' }),
    now: () => 0,
    sleep: () => Promise.resolve(),
    random: () => 0.5,
  };
}

const never = new AbortController().signal;
const blob = (size: number) => new Blob([new Uint8Array(size)]);

test('a file goes in pieces, with the words that the server wants', async () => {
  const server = new Server();
  const seen = { progress: [] as number[], waits: [] as string[], begun: [] as string[] };
  const size = PIECE_BYTES + 10;
  const url = await send('/v1/uploads', { blob: blob(size), metadata: { filename: 'Größe.mp4', bucket: '' } }, server.transport, hooks(seen), never);
  assert.equal(url, '/v1/uploads/u1', 'another host in Location is not followed');
  assert.deepEqual(server.log, ['POST /v1/uploads', 'PATCH /v1/uploads/u1 @0', `PATCH /v1/uploads/u1 @${PIECE_BYTES}`]);
  assert.equal(server.uploads.get(url)?.bytes, size);
  assert.equal(server.uploads.get(url)?.metadata, `filename ${Buffer.from('Größe.mp4').toString('base64')}`);
  assert.ok(server.headers.every((headers) => headers['X-Anabranch-CSRF'] === 'word' && headers['Tus-Resumable'] === '1.0.0'));
  assert.deepEqual(seen.begun, [url]);
  assert.equal(seen.progress.at(-1), size);
});

test('after a fault it asks where it is and goes on from there', async () => {
  const server = new Server();
  let faults = 0;
  server.fault = (method, url) => {
    if (method !== 'PATCH' || faults >= 2) return null;
    faults += 1;
    // Half of it came before the line broke.
    const upload = server.uploads.get(url);
    if (upload && faults === 1) upload.bytes += 400;
    throw new TypeError('network');
  };
  const seen = { progress: [] as number[], waits: [] as string[], begun: [] as string[] };
  const url = await send('/v1/uploads', { blob: blob(1000), metadata: {} }, server.transport, hooks(seen), never);
  assert.equal(server.uploads.get(url)?.bytes, 1000);
  assert.equal(seen.waits.length, 2);
  assert.ok(server.log.includes('PATCH /v1/uploads/u1 @400'));
});

test('what the server has forgotten begins anew, what another writes to waits', async () => {
  const server = new Server();
  let locked = 1;
  server.fault = (method) => (method === 'PATCH' && locked-- > 0 ? reply(423) : null);
  const url = await send('/v1/uploads', { blob: blob(10), metadata: {}, url: '/v1/uploads/gone' }, server.transport, hooks(), never);
  assert.equal(url, '/v1/uploads/u1');
  assert.deepEqual(server.log.slice(0, 2), ['HEAD /v1/uploads/gone', 'POST /v1/uploads']);
  assert.equal(server.uploads.get(url)?.bytes, 10);
});

test('refusals that a person must see to end it, in the words of the server', async () => {
  const server = new Server();
  server.fault = () => reply(403, {}, JSON.stringify({ detail: 'the privilege asset:add is missing' }));
  const seen = { progress: [], waits: [] as string[], begun: [] };
  const sending = send('/v1/uploads', { blob: blob(10), metadata: {} }, server.transport, hooks(seen), never);
  await assert.rejects(sending, (error: unknown) => error instanceof UploadFault && error.status === 403 && error.message.includes('asset:add'));
  assert.equal(seen.waits.length, 0);
});

test('tries have an end', async () => {
  const server = new Server();
  server.fault = () => {
    throw new TypeError('network');
  };
  await assert.rejects(send('/v1/uploads', { blob: blob(10), metadata: {} }, server.transport, hooks(), never), /does not answer/);
  assert.equal(server.log.length, TRIES_MAX);
  assert.ok(waitOf(1, 0) >= 250 && waitOf(20, 1) <= 30_000);
});

test('metadata is in base64 of UTF-8', () => {
  assert.equal(pairs({ filename: 'a', empty: '', bucket: 'uploads' }), 'filename YQ==,bucket dXBsb2Fkcw==');
});

/** A queue whose clock and store belong to the test. */
function outside(server: Server, kept = new Map<string, string>()): Outside & { kept: Map<string, string> } {
  let now = 0;
  return {
    kept,
    transport: server.transport,
    store: {
      getItem: (key) => kept.get(key) ?? null,
      setItem: (key, value) => void kept.set(key, value),
      removeItem: (key) => void kept.delete(key),
    },
    headers: () => ({ 'X-Anabranch-CSRF': 'secret-word' }),
    now: () => (now += 1000),
    random: () => 0,
    sleep: () => Promise.resolve(),
  };
}

const file = (name: string, size: number, fill = 1) => new File([new Uint8Array(size).fill(fill)], name, { type: 'video/mp4', lastModified: 5 });

async function settled(uploads: Uploads, done: (states: string[]) => boolean): Promise<string[]> {
  for (let turn = 0; turn < 500; turn += 1) {
    const states = uploads.items.map(({ state }) => state);
    if (done(states)) return states;
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  throw new Error(`it stays ${uploads.items.map(({ state }) => state).join(', ')}`);
}

test('a few go at once, the rest wait, all arrive', async () => {
  const server = new Server();
  let open = () => {};
  server.gate = new Promise((resolve) => (open = resolve));
  const uploads = new Uploads(outside(server));
  const arrived: string[] = [];
  uploads.onDone(({ name }) => arrived.push(name));
  assert.deepEqual(await uploads.add([file('a', 10), file('b', 20), file('c', 30), file('nothing', 0)], 'uploads'), ['nothing is empty.']);
  await settled(uploads, (states) => states.filter((state) => state === 'sending').length === 2 && states.includes('queued'));
  assert.ok(uploads.busy);
  open();
  await settled(uploads, (states) => states.every((state) => state === 'done'));
  assert.deepEqual(arrived.sort(), ['a', 'b', 'c']);
  assert.equal(uploads.busy, false);
});

test('paused, closed, and taken up by another page with the same file', async () => {
  const server = new Server();
  server.gate = new Promise(() => {});
  const world = outside(server);
  const before = new Uploads(world);
  await before.add([file('film.mp4', 100)], 'uploads');
  await settled(before, () => [...server.uploads.values()].length === 1);
  const [id = ''] = before.items.map((item) => item.id);
  before.pause(id);
  assert.equal(before.items[0]?.state, 'paused');
  await settled(before, () => world.kept.size === 1);
  const kept = [...world.kept.values()].join();
  assert.ok(!kept.includes('secret-word'), 'what is kept holds no secret');
  const [upload] = [...server.uploads.values()];
  if (upload) upload.bytes = 40;

  server.gate = Promise.resolve();
  const after = new Uploads(outside(server, world.kept));
  assert.deepEqual(after.items.map(({ state, name }) => [state, name]), [['needs-file', 'film.mp4']]);
  // A file of the same name that is another one is a new upload.
  await after.add([file('film.mp4', 100, 2)], 'uploads');
  assert.equal(after.items.length, 2);
  await after.add([file('film.mp4', 100)], 'uploads');
  await settled(after, (states) => states.every((state) => state === 'done'));
  assert.ok(server.log.includes('PATCH /v1/uploads/u1 @40'), server.log.join('\n'));
  assert.equal(world.kept.size, 0);
});

test('resuming goes on, removing tells the server', async () => {
  const server = new Server();
  server.gate = new Promise(() => {});
  const uploads = new Uploads(outside(server));
  await uploads.add([file('film.mp4', 100), file('other.mp4', 50)], 'uploads');
  await settled(uploads, () => server.uploads.size === 2);
  const [first = '', second = ''] = uploads.items.map(({ id }) => id);
  uploads.pause(first);
  server.gate = Promise.resolve();
  await settled(uploads, () => true);
  uploads.resume(first);
  await settled(uploads, (states) => states[0] === 'done');
  await uploads.remove(second);
  assert.equal(uploads.items.length, 1);
  assert.ok(server.log.includes('DELETE /v1/uploads/u2'));
  assert.deepEqual(await uploads.add([file('x', 1)], 'uploads'), []);
  uploads.clear();
});

test('what another page kept is read with care', () => {
  const store = (text: string) => ({ getItem: () => text, setItem: () => {}, removeItem: () => {} });
  assert.deepEqual(readKept(store('nonsense')), []);
  assert.deepEqual(readKept(store('{"a":1}')), []);
  const good = { fingerprint: 'f', url: '/v1/uploads/u1', name: 'n', size: 5, sent: 1, bucket: 'b', type: 't' };
  assert.deepEqual(readKept(store(JSON.stringify([null, 7, { ...good, url: 'https://elsewhere/' }, { ...good, size: '5' }, good]))), [good]);
});

test('a file is known again by what is in it', async () => {
  const a = await fingerprint(file('film.mp4', 2_000_000));
  assert.equal(await fingerprint(file('film.mp4', 2_000_000)), a);
  assert.notEqual(await fingerprint(file('film.mp4', 2_000_000, 2)), a);
  assert.notEqual(await fingerprint(file('filn.mp4', 2_000_000)), a);
});

test('the meter says how fast and how long', () => {
  const meter = new Meter();
  assert.equal(meter.rate(0), null);
  for (let second = 0; second <= 10; second += 1) meter.mark(second * 100, second * 1000);
  assert.ok(Math.abs((meter.rate(10_000) ?? 0) - 100) < 1);
  assert.ok(Math.abs((meter.left(2000, 10_000) ?? 0) - 10) < 0.5);
  assert.ok((meter.rate(20_000) ?? 0) < 60, 'standing still counts');
  meter.mark(0, 21_000);
  assert.equal(meter.rate(21_000), null);
});
