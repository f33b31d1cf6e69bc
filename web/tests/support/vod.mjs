// SPDX-License-Identifier: Apache-2.0 OR MIT
// A stand-in for the server of assets and collections: the built pages, a `/v1/watch` that the test drives, and a
// ladder of two rungs, two audio tracks, captions and sprites that ffmpeg made once.

import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { promisify } from 'node:util';
import { serveDist } from './dist.mjs';

export const SECONDS = 40;
const SEGMENT = 2;
const TILE = { width: 160, height: 90, every: 5 };

const TYPES = { '.m3u8': 'application/vnd.apple.mpegurl', '.vtt': 'text/vtt', '.jpg': 'image/jpeg', '.mp4': 'video/mp4', '.m4s': 'video/mp4' };

const CAPTIONS = `WEBVTT

00:00:00.000 --> 00:00:20.000
The first words

00:00:20.000 --> 00:00:40.000
The last words
`;

/** Makes the media; answers with its folder and how to remove it. */
export async function makeVod() {
  const folder = await mkdtemp(join(tmpdir(), 'anabranch-vod-'));
  const run = (...args) => promisify(execFile)('ffmpeg', ['-v', 'error', '-nostdin', '-y', ...args], { cwd: folder });
  const source = ['-f', 'lavfi', '-i', `testsrc2=size=1280x720:rate=25:duration=${SECONDS}`];
  const hls = (name) => [
    ...['-f', 'hls', '-hls_time', String(SEGMENT), '-hls_playlist_type', 'vod', '-hls_segment_type', 'fmp4'],
    ...['-hls_fmp4_init_filename', `${name}_init.mp4`, '-hls_segment_filename', `${name}_%d.m4s`, `${name}.m3u8`],
  ];
  const video = (name, size) =>
    run(...source, '-vf', `scale=${size}`, '-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p', '-g', '50', '-sc_threshold', '0', ...hls(name));
  const audio = (name, frequency) =>
    run('-f', 'lavfi', '-i', `sine=frequency=${frequency}:sample_rate=48000:duration=${SECONDS}`, '-c:a', 'aac', '-b:a', '64k', ...hls(name));
  await Promise.all([video('180', '320:180'), video('360', '640:360'), audio('audio_1', 440), audio('audio_2', 880)]);
  await run(...source, '-frames:v', '1', '-q:v', '4', 'poster.jpg');
  const tiles = SECONDS / TILE.every;
  await run(...source, '-vf', `fps=1/${TILE.every},scale=${TILE.width}:${TILE.height},tile=${tiles}x1`, '-frames:v', '1', 'sprite_01.jpg');
  const at = (seconds) => `00:00:${String(seconds).padStart(2, '0')}.000`;
  const cues = Array.from({ length: tiles }, (_, n) => {
    const region = `${n * TILE.width},0,${TILE.width},${TILE.height}`;
    return `${at(n * TILE.every)} --> ${at((n + 1) * TILE.every)}\nsprite_01.jpg#xywh=${region}\n`;
  });
  await writeFile(join(folder, 'sprite.vtt'), `WEBVTT\n\n${cues.join('\n')}`);
  await writeFile(join(folder, 'text.vtt'), CAPTIONS);
  await writeFile(
    join(folder, 'text.m3u8'),
    `#EXTM3U\n#EXT-X-TARGETDURATION:${SECONDS}\n#EXT-X-PLAYLIST-TYPE:VOD\n#EXTINF:${SECONDS},\ntext.vtt\n#EXT-X-ENDLIST\n`,
  );
  return { folder, remove: () => rm(folder, { recursive: true, force: true }) };
}

/** One asset of the stand-in. */
export function asset(id, name, more = {}) {
  return { id, name, state: 'ready', rungs: ['180', '360'], planned: 2, user: 'anna', problem: null, progress: 100, expires: 3600, ...more };
}

export class FakeVod {
  constructor(media) {
    this.media = media;
    this.assets = new Map();
    /** Ids in order; null when there is no collection. */
    this.collection = null;
    /** Signatures that open something. */
    this.good = new Set(['good']);
    /** What a renewal answers with. */
    this.fresh = 'fresh';
    this.refusal = 'the link has expired';
    /** Signatures that media was asked for with. */
    this.signatures = [];
    this.renewals = 0;
    this.sockets = new Set();
  }

  get origin() {
    return `http://127.0.0.1:${this.port}`;
  }

  add(asset) {
    this.assets.set(asset.id, asset);
    return asset;
  }

  async start() {
    this.server = createServer((request, response) => {
      this.answer(request, response).catch(() => response.writeHead(500).end());
    });
    this.server.on('connection', (socket) => {
      this.sockets.add(socket);
      socket.on('close', () => this.sockets.delete(socket));
    });
    await new Promise((resolve, reject) => this.server.once('error', reject).listen(0, '127.0.0.1', resolve));
    this.port = this.server.address().port;
  }

  async stop() {
    const closed = new Promise((resolve) => this.server.close(resolve));
    for (const socket of this.sockets) socket.destroy();
    await closed;
  }

  async answer(request, response) {
    const { pathname, searchParams } = new URL(request.url, this.origin);
    const signature = searchParams.get('Signature');
    const [, kind, ...rest] = pathname.split('/');
    if (kind === 'media') return this.answerMedia(rest, signature, response);
    const watch = /^\/v1\/watch\/(assets|collections)\/([^/]+)(\/renew)?$/.exec(pathname);
    if (!watch) return pathname.startsWith('/v1/') ? problem(response, 404, 'nothing there') : serveDist(pathname, response);
    if (!this.good.has(signature)) return problem(response, 403, this.refusal);
    const [, what, id, renewing] = watch;
    if (renewing) {
      this.renewals += 1;
      this.good.add(this.fresh);
      return json(response, { watch_url: `${this.origin}/watch/${what.slice(0, -1)}/${id}?${query(this.fresh)}` });
    }
    if (what === 'collections') return json(response, this.list(signature));
    const found = this.assets.get(id);
    return found ? json(response, this.page(found, signature)) : problem(response, 404, `no asset ${id}`);
  }

  page(asset, signature) {
    const url = (name) => `${this.origin}/media/${asset.id}/${name}?${query(signature)}`;
    const there = asset.rungs.length > 0;
    const track = (name) => ({ name, language: 'en', label: name, channels: 0 });
    return {
      id: asset.id,
      name: asset.name,
      state: asset.state,
      partial: asset.rungs.length < asset.planned,
      progress_percent: asset.progress,
      playlist_url: there ? url('index.m3u8') : null,
      poster_url: there ? url('poster.jpg') : null,
      sprite_url: there ? url('sprite.vtt') : null,
      mp4_url: null,
      duration_seconds: SECONDS,
      rungs: asset.rungs.map((name) => ({ name, width: 0, height: 0, frame_rate: 25, codecs: '', bandwidth: 1, average_bandwidth: 1 })),
      rungs_planned: asset.planned,
      audio: [track('audio_1'), track('audio_2')],
      captions: [track('text')],
      user: asset.user,
      expires_at: '2030-01-01T00:00:00Z',
      expires_in_seconds: asset.expires,
      problem: asset.problem,
    };
  }

  list(signature) {
    const items = this.collection.map((id) => {
      const { name, state, duration_seconds, poster_url } = this.page(this.assets.get(id), signature);
      return { id, name, state, duration_seconds, poster_url, watch_url: `${this.origin}/watch/asset/${id}?${query(signature)}` };
    });
    const words = 'Three evenings by the river, in the order in which they were filmed.';
    return { id: 'c1', name: 'River evenings', description: words, items, next: null, user: 'anna', expires_at: '2030-01-01T00:00:00Z', expires_in_seconds: 3600 };
  }

  async answerMedia([id, name], signature, response) {
    if (!this.good.has(signature)) return response.writeHead(403, { 'access-control-allow-origin': '*' }).end();
    this.signatures.push(signature);
    let body = name === 'index.m3u8' ? this.multivariant(this.assets.get(id)) : await readFile(join(this.media.folder, name));
    // Playlists carry the signature on, as the delivery network does.
    if (name.endsWith('.m3u8')) {
      body = body.toString().replace(/^[^#\n].*$/gm, (uri) => `${uri}?${query(signature)}`);
      body = body.replace(/URI="([^"]+)"/g, (_, uri) => `URI="${uri}?${query(signature)}"`);
    }
    response.writeHead(200, { 'content-type': TYPES[extname(name)], 'access-control-allow-origin': '*', 'cache-control': 'no-store' });
    response.end(body);
  }

  multivariant(asset) {
    const sound = (n, name, first) =>
      `#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="${name}",LANGUAGE="en",DEFAULT=${first},AUTOSELECT=YES,CHANNELS="1",URI="audio_${n}.m3u8"`;
    const rungs = { 180: ['320x180', 300_000], 360: ['640x360', 900_000] };
    const variants = asset.rungs.map((name) => {
      const [size, bandwidth] = rungs[name];
      return `#EXT-X-STREAM-INF:BANDWIDTH=${bandwidth},RESOLUTION=${size},FRAME-RATE=25,CODECS="avc1.42c01e,mp4a.40.2",AUDIO="a",SUBTITLES="s"\n${name}.m3u8`;
    });
    return [
      '#EXTM3U',
      '#EXT-X-VERSION:7',
      sound(1, 'Original', 'YES'),
      sound(2, 'Commentary', 'NO'),
      '#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="s",NAME="English",LANGUAGE="en",DEFAULT=NO,AUTOSELECT=YES,URI="text.m3u8"',
      ...variants,
      '',
    ].join('\n');
  }
}

const query = (signature) => `Policy=p&Signature=${signature}&Key-Pair-Id=K1`;

function json(response, body) {
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

function problem(response, status, detail) {
  response.writeHead(status, { 'content-type': 'application/problem+json' });
  response.end(JSON.stringify({ title: 'Problem', status, detail }));
}
