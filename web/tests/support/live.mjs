// SPDX-License-Identifier: Apache-2.0 OR MIT
// A stand-in for the server: the built pages, a `/v1` that the test drives, and a live playlist that slides by the
// clock over segments that ffmpeg made once. It can be taken down and brought back on the same port.

import { execFile } from 'node:child_process';
import { readFile, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { serveDist } from './dist.mjs';

const SEGMENT_SECONDS = 1;
const TOTAL_SEGMENTS = 90;
const WINDOW_SEGMENTS = 12;
/** Segments that are already out when the breakout goes live. */
const HEAD_START = 6;

/** Test picture and tone as demuxed fragmented-MP4 HLS; answers with its folder and how to remove it. */
export async function makeMedia() {
  const folder = await mkdtemp(join(tmpdir(), 'anabranch-hls-'));
  const seconds = SEGMENT_SECONDS * TOTAL_SEGMENTS;
  await promisify(execFile)('ffmpeg', [
    ...['-v', 'error', '-nostdin'],
    ...['-f', 'lavfi', '-i', `testsrc2=size=426x240:rate=25:duration=${seconds}`],
    ...['-f', 'lavfi', '-i', `sine=frequency=440:sample_rate=48000:duration=${seconds}`],
    ...['-map', '0:v', '-map', '1:a', '-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p', '-g', '25'],
    ...['-c:a', 'aac', '-b:a', '64k', '-f', 'hls', '-hls_time', String(SEGMENT_SECONDS), '-hls_list_size', '0'],
    ...['-hls_playlist_type', 'vod', '-hls_segment_type', 'fmp4', '-master_pl_name', 'index.m3u8'],
    ...['-var_stream_map', 'v:0,agroup:audio,name:video a:0,agroup:audio,default:yes,name:audio'],
    ...['-hls_fmp4_init_filename', 'init.mp4', '-hls_segment_filename', join(folder, '%v-%d.m4s'), join(folder, '%v.m3u8')],
  ]);
  return { folder, remove: () => rm(folder, { recursive: true, force: true }) };
}

/** One fake server; `state`, `name`, `refuse` and `routes` are the test's to set. */
export class FakeServer {
  constructor(media) {
    this.media = media;
    this.state = 'waiting';
    this.name = 'Spring final';
    this.problem = undefined;
    this.refuse = false;
    /** Kind of the refusal, as the server names it. */
    this.refusal = undefined;
    /** What else `GET /v1/watch/{breakout}` tells. */
    this.told = {};
    /** Signatures that open it. */
    this.good = new Set(['good']);
    /** Renewals and takeovers that were asked for. */
    this.asked = [];
    /** Addresses of media that were asked for. */
    this.urls = [];
    /** Extra routes: `'GET /v1/channels'` to a function that answers a body, or throws a problem. */
    this.routes = new Map();
    this.requests = [];
    this.liveSince = null;
    this.endedAt = null;
    /** Whether segments go on being made while the server is away, as when only the viewer's network is lost. */
    this.goesOn = false;
    /** Whether segments carry their time of day. */
    this.dated = true;
    /** Segments in the live playlist. */
    this.windowSegments = WINDOW_SEGMENTS;
    /** Segments before which the publisher came back, and how long it was away by then. */
    this.breaks = [];
    this.killedAt = null;
    this.port = 0;
    this.sockets = new Set();
  }

  get origin() {
    return `http://127.0.0.1:${this.port}`;
  }

  async start() {
    this.server = createServer((request, response) => {
      this.answer(request, response).catch(() => response.writeHead(500).end());
    });
    this.server.on('connection', (socket) => {
      this.sockets.add(socket);
      socket.on('close', () => this.sockets.delete(socket));
    });
    await new Promise((resolve, reject) => this.server.once('error', reject).listen(this.port, '127.0.0.1', resolve));
    this.port = this.server.address().port;
    if (this.killedAt === null || this.liveSince === null || this.goesOn) return;
    const away = performance.now() - this.killedAt;
    this.liveSince += away;
    this.breaks.push({ before: this.made(), awayMs: (this.breaks.at(-1)?.awayMs ?? 0) + away });
  }

  /** As after `kill -9`: connections are cut and new ones refused. */
  async kill() {
    this.killedAt = performance.now();
    const closed = new Promise((resolve) => this.server.close(resolve));
    for (const socket of this.sockets) socket.destroy();
    await closed;
  }

  goLive() {
    this.state = 'live';
    this.liveSince = performance.now();
  }

  end() {
    this.state = 'ended';
    this.endedAt = performance.now();
  }

  async answer(request, response) {
    const { pathname, search, searchParams } = new URL(request.url, this.origin);
    this.requests.push(`${request.method} ${pathname}`);
    const route = this.routes.get(`${request.method} ${pathname}`);
    if (route) return this.answerRoute(route, request, response);
    if (pathname.startsWith('/v1/watch/')) return this.answerWatch(pathname, search, searchParams, response);
    const media = /^\/(live|recorded)\/([^/]+)$/.exec(pathname);
    if (media) {
      this.urls.push(request.url);
      return this.answerMedia(media[1], media[2], search, response);
    }
    if (pathname.startsWith('/v1/')) return json(response, 404, { title: 'Not Found' });
    return serveDist(pathname, response);
  }

  async answerRoute(route, request, response) {
    let text = '';
    for await (const chunk of request) text += chunk;
    try {
      json(response, 200, route(text ? JSON.parse(text) : undefined, request));
    } catch (problem) {
      json(response, problem.status ?? 500, { title: 'Problem', detail: problem.detail ?? String(problem) });
    }
  }

  answerWatch(pathname, search, searchParams, response) {
    const another = /\/(renew|takeover)$/.exec(pathname)?.[1];
    const known = this.good.has(searchParams.get('Signature'));
    if (another && known) {
      this.asked.push(another);
      const fresh = `${another}${this.asked.length}`;
      this.good.add(fresh);
      if (another === 'takeover') this.refuse = false;
      return json(response, 200, { watch_url: `${this.origin}/watch/b1?Policy=p&Signature=${fresh}&Key-Pair-Id=K1` });
    }
    if (this.refuse || !known) {
      const type = this.refusal && `urn:anabranch:problem:${this.refusal}`;
      return json(response, 403, { type, title: 'Forbidden', detail: 'the signature has expired' });
    }
    const playlist_url = this.state === 'waiting' ? null : `${this.origin}/live/index.m3u8${search}`;
    const { recording, ...told } = this.told;
    const signed = recording && { ...recording, playlist_url: recording.state === 'ready' ? `${this.origin}/recorded/index.m3u8${search}` : null };
    return json(response, 200, { name: this.name, state: this.state, playlist_url, problem: this.problem, recording: signed, ...told });
  }

  async answerMedia(place, file, search, response) {
    const isPlaylist = file.endsWith('.m3u8');
    let body = await readFile(join(this.media.folder, file));
    if (isPlaylist && file !== 'index.m3u8' && place === 'live') body = this.window(body.toString());
    // Playlists carry the signature on, as the delivery network does; what players tell is none of it.
    const own = search.slice(1).split('&').filter((pair) => pair && !pair.startsWith('CMCD='));
    const signature = own.length > 0 ? `?${own.join('&')}` : '';
    if (isPlaylist && signature) {
      body = body.toString().replace(/^[^#\n].*$/gm, (uri) => uri + signature).replace(/URI="([^"]+)"/g, (_, uri) => `URI="${uri}${signature}"`);
    }
    const type = isPlaylist ? 'application/vnd.apple.mpegurl' : 'video/mp4';
    response.writeHead(200, { 'content-type': type, 'access-control-allow-origin': '*', 'cache-control': 'no-store' });
    response.end(body);
  }

  /** Segments made by now. */
  made() {
    const until = this.endedAt ?? performance.now();
    return HEAD_START + Math.floor((until - this.liveSince) / 1000 / SEGMENT_SECONDS);
  }

  /** Tags before segment `number`. */
  dates(number, map) {
    const broken = this.breaks.some(({ before }) => before === number) ? `#EXT-X-DISCONTINUITY\n${map}\n` : '';
    const awayMs = this.breaks.findLast(({ before }) => before <= number)?.awayMs ?? 0;
    const date = new Date(Date.UTC(2030, 0, 1) + number * SEGMENT_SECONDS * 1000 + awayMs);
    return this.dated ? `${broken}#EXT-X-PROGRAM-DATE-TIME:${date.toISOString()}\n` : broken;
  }

  /** The live window of now over a whole playlist. */
  window(whole) {
    const map = whole.match(/#EXT-X-MAP:.*/)?.[0] ?? '';
    const segments = [...whole.matchAll(/(#EXTINF:[^\n]*)\n([^#\n]+)/g)].map((match) => `${match[1]}\n${match[2]}`);
    const out = Math.min(segments.length, this.made());
    const first = Math.max(0, out - this.windowSegments);
    return [
      '#EXTM3U',
      '#EXT-X-VERSION:7',
      `#EXT-X-TARGETDURATION:${SEGMENT_SECONDS + 1}`,
      `#EXT-X-MEDIA-SEQUENCE:${first}`,
      `#EXT-X-DISCONTINUITY-SEQUENCE:${this.breaks.filter(({ before }) => before < first).length}`,
      map,
      ...segments.slice(first, out).map((segment, index) => this.dates(first + index, map) + segment),
      ...(this.endedAt === null ? [] : ['#EXT-X-ENDLIST']),
      '',
    ].join('\n');
  }
}

function json(response, status, body) {
  response.writeHead(status, { 'content-type': status < 400 ? 'application/json' : 'application/problem+json' });
  response.end(JSON.stringify(body));
}
