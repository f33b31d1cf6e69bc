#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0 OR MIT
// Plays a playlist in a real Chromium, with hls.js or Shaka as they are, and says what it was like.
//
//   node tests/merged.mjs --player hls|shaka --url URL --seconds N
//
// Twice a second it prints {played_seconds, currentTime, ...}. N seconds on the wall clock after the first frame, or at the end of the
// stream, it prints one more line of that kind and exits 0; 1 when nothing plays within a minute; 2 is a wrong call. `stalls` counts how
// often the picture stood still for more than half a second, `stall_seconds` how long it did so altogether, `jump_seconds` is the furthest that
// it went ahead of the clock at once, `skipped_seconds` how far altogether, `host` where its last segment came from and `hosts` where each came from
// since when.

import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { openBrowser } from './support/browser.mjs';

const MODULES = join(dirname(fileURLToPath(import.meta.url)), '../node_modules');
const SCRIPTS = {
  '/hls.js': join(MODULES, 'hls.js/dist/hls.min.js'),
  '/shaka.js': join(MODULES, 'shaka-player/dist/shaka-player.compiled.js'),
};
const PAGE = `<!doctype html><meta charset="utf-8"><title>merged</title>
<video muted autoplay playsinline width="640" height="360"></video>
<script src="/hls.js"></script><script src="/shaka.js"></script>`;
const TICK_MS = 500;
const START_TIMEOUT_MS = 60_000;

const { values: options } = parseArgs({
  options: { player: { type: 'string' }, url: { type: 'string' }, seconds: { type: 'string' } },
});
if (!['hls', 'shaka'].includes(options.player) || !options.url || !(Number(options.seconds) > 0)) {
  process.stderr.write('merged.mjs: --player hls|shaka, --url and --seconds are needed\n');
  process.exit(2);
}

const server = createServer(async (request, response) => {
  const script = SCRIPTS[request.url];
  response.writeHead(200, { 'content-type': script ? 'text/javascript' : 'text/html' });
  response.end(script ? await readFile(script) : PAGE);
});
await new Promise((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
const browser = await openBrowser();
process.once('SIGTERM', () => void browser.close().finally(() => process.exit(1)));
try {
  const page = await browser.newPage();
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  await page.evaluate(play, [options.player, options.url]);
  process.exitCode = await watch(page);
} finally {
  await browser.close();
  server.close();
  server.closeAllConnections();
}

async function watch(page) {
  const opened = performance.now();
  let startedAt = null;
  for (;;) {
    const seen = await page.evaluate(() => window.seen());
    const now = performance.now();
    if (startedAt === null && seen.played_seconds > 0) startedAt = now;
    print(seen);
    const limit = startedAt === null ? opened + START_TIMEOUT_MS : startedAt + Number(options.seconds) * 1000;
    if (now >= limit || seen.ended) return startedAt === null ? 1 : 0;
    await new Promise((resolve) => setTimeout(resolve, TICK_MS));
  }
}

function print(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

/** Runs in the page. */
function play([player, url]) {
  const LOOK_MS = 50;
  const STILL_MS = 500;
  // Less is a player that goes a little faster to come nearer to the live edge.
  const SKIP_SECONDS = 0.25;
  const video = document.querySelector('video');
  const errors = [];
  let stalls = 0;
  let stallMs = 0;
  let jump = 0;
  let skipped = 0;
  let host = null;
  const hosts = [];
  // Where a segment came from; each change is kept.
  const from = (next) => {
    if (next !== host) hosts.push({ at: new Date().toISOString(), host: next });
    host = next;
  };
  const failed = (error) => errors.push({ at: new Date().toISOString(), ...error });
  let played = 0;
  let still = false;
  let movedAt = null;
  let last = null;
  setInterval(() => {
    const now = performance.now();
    const time = video.currentTime;
    // A busy machine looks late: what it has not looked at it does not judge.
    const late = last === null ? 0 : now - last.now - LOOK_MS;
    if (movedAt !== null && late > 2 * LOOK_MS) movedAt += late;
    if (last !== null && movedAt !== null && time > last.time) {
      const ahead = time - last.time - (now - last.now) / 1000;
      // What players do to find the live edge is over with the first frames.
      if (played > 1 && !still) jump = Math.max(jump, ahead);
      if (played > 1 && ahead > SKIP_SECONDS) skipped += ahead;
      if (still && played > 1) stallMs += now - movedAt;
      played += Math.min(time - last.time, (now - last.now) / 1000 + 0.1);
      movedAt = now;
      still = false;
    } else if (movedAt === null && video.readyState >= 3 && !video.paused) {
      movedAt = now;
    } else if (movedAt !== null && !video.ended && !still && now - movedAt > STILL_MS) {
      still = true;
      if (played > 1) stalls += 1;
    }
    last = { time, now };
  }, LOOK_MS);
  const round = (value) => Math.round(value * 100) / 100;
  window.seen = () => ({
    played_seconds: round(played),
    currentTime: round(video.currentTime),
    stalls,
    stall_seconds: round((stallMs + (still && played > 1 ? performance.now() - movedAt : 0)) / 1000),
    host,
    hosts,
    skipped_seconds: round(skipped),
    jump_seconds: round(jump),
    ended: video.ended,
    width: video.videoWidth,
    errors,
  });
  if (player === 'hls') {
    const hls = new Hls();
    hls.on(Hls.Events.ERROR, (_event, { details, fatal, response }) =>
      failed({ details, fatal, status: response?.code ?? null }),
    );
    hls.on(Hls.Events.FRAG_LOADED, (_event, { frag }) => {
      if (frag.type === 'main') from(new URL(frag.url).host);
    });
    hls.loadSource(url);
    hls.attachMedia(video);
  } else {
    shaka.polyfill.installAll();
    const shaken = new shaka.Player();
    const fault = (error) => failed({ details: error.code ?? `${error.stack ?? error}`, fatal: error.severity === 2, status: error.data?.[1] ?? null });
    shaken.addEventListener('error', ({ detail }) => fault(detail));
    shaken.getNetworkingEngine().registerResponseFilter((kind, response) => {
      if (kind === shaka.net.NetworkingEngine.RequestType.SEGMENT) from(new URL(response.uri).host);
    });
    void shaken
      .attach(video)
      .then(() => shaken.load(url))
      .catch(fault);
  }
}
