#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0 OR MIT
// Watches a breakout in a real Chromium and says what it was like.
//
//   node tests/play.mjs --url URL --seconds N [--playlist] [--events] [--start-timeout S] [--screenshot FILE]
//
// Opens the watch page at URL, or with --playlist the built watch page (dist/) over a multivariant playlist at URL.
// N seconds on the wall clock after the first frame it prints one JSON line and exits 0:
//   {played_seconds, stalls, stall_seconds, errors, start_ms, width, height, discontinuities, resumed, resyncs, state, words}
// `resumed` counts how often the picture moved again after it had stood still for a second or more; `errors` has
// {type, details, fatal, status, atMs} of each error that the player met, harmless ones included; `words` is what the
// page says last. With --events, each second before that: {"event":"tick", at_seconds, currentTime, stalls, state, words}.
// When nothing plays within S seconds (60 unless told) the line comes all the same, and the exit code is 1; 2 is a
// wrong call.

import { createServer } from 'node:http';
import { parseArgs } from 'node:util';
import { openBrowser } from './support/browser.mjs';
import { isBuilt, serveDist } from './support/dist.mjs';

const TICK_MS = 1_000;
/** Stillness that counts as an interruption. */
const STILL_MS = 1_000;

const options = readOptions();
const stand = options.playlist ? await serveWatchPage(options.url) : null;
const browser = await openBrowser();
let code = 1;
try {
  code = await watch(await browser.newPage({ viewport: { width: 1280, height: 900 } }), stand?.url ?? options.url);
} catch (error) {
  print({ played_seconds: 0, errors: [], words: `the browser could not go on: ${error instanceof Error ? error.message : error}` });
} finally {
  await browser.close();
  stand?.server.close();
  stand?.server.closeAllConnections();
}
process.exitCode = code;

async function watch(page, url) {
  await page.goto(url);
  const opened = performance.now();
  let startedAt = null;
  let last = null;
  let movedAt = opened;
  let resumed = 0;
  for (;;) {
    const now = performance.now();
    const seen = await page.evaluate(look);
    if (startedAt === null && seen?.start_ms != null) startedAt = movedAt = now;
    if (startedAt !== null && last && seen.played_seconds > last.played_seconds) {
      // Ticks are a second apart, so what stood still for one whole tick was seen unmoved twice.
      if (now - movedAt > TICK_MS + STILL_MS) resumed += 1;
      movedAt = now;
    }
    last = seen;
    if (options.events) print({ event: 'tick', at_seconds: round((now - opened) / 1000), ...pick(seen, 'currentTime', 'stalls', 'state', 'words') });
    const over = startedAt === null ? now - opened >= options.startTimeout * 1000 : now - startedAt >= options.seconds * 1000;
    if (over) break;
    const goal = startedAt === null ? TICK_MS : Math.min(TICK_MS, startedAt + options.seconds * 1000 - performance.now());
    await new Promise((resolve) => setTimeout(resolve, Math.max(50, goal)));
  }
  if (options.screenshot) await page.screenshot({ path: options.screenshot });
  const { currentTime: _unused, ...summary } = last ?? { words: 'the page did not open' };
  print({ ...summary, resumed });
  return startedAt === null ? 1 : 0;
}

/** Runs in the page. */
function look() {
  const seen = window.__anabranch;
  if (!seen) return null;
  const { stats, video, model } = seen;
  const text = (selector) => document.querySelector(selector)?.textContent ?? '';
  return {
    played_seconds: Number(stats.playedSeconds.toFixed(2)),
    stalls: stats.stalls,
    stall_seconds: Number(stats.stallSeconds.toFixed(2)),
    errors: stats.errors,
    start_ms: stats.startTimeMs,
    width: video.videoWidth,
    height: video.videoHeight,
    discontinuities: stats.discontinuities,
    resyncs: stats.resyncs,
    currentTime: video.currentTime,
    state: model.answer.kind === 'known' ? model.answer.state : model.answer.kind,
    words: [text('.badge'), text('.headline'), text('.hint')].filter(Boolean).join(' / '),
  };
}

/** The built watch page with a server that always says: live, at this playlist. */
async function serveWatchPage(playlist) {
  if (!isBuilt()) fail('dist/ is missing: run `npm run build` first');
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url, 'http://localhost');
    if (!pathname.startsWith('/v1/watch/')) return serveDist(pathname, response);
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ name: 'Playlist', state: 'live', playlist_url: playlist }));
  });
  await new Promise((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  return { server, url: `http://127.0.0.1:${server.address().port}/watch/playlist` };
}

function readOptions() {
  try {
    const { values } = parseArgs({
      options: {
        url: { type: 'string' },
        seconds: { type: 'string' },
        playlist: { type: 'boolean', default: false },
        events: { type: 'boolean', default: false },
        'start-timeout': { type: 'string', default: '60' },
        screenshot: { type: 'string' },
      },
    });
    const seconds = Number(values.seconds);
    const startTimeout = Number(values['start-timeout']);
    if (!values.url || !(seconds > 0) || !(startTimeout > 0)) throw new Error('--url and --seconds are needed');
    return { ...values, seconds, startTimeout };
  } catch (error) {
    fail(error.message);
  }
}

function fail(message) {
  process.stderr.write(`play.mjs: ${message}\n`);
  process.exit(2);
}

function pick(from, ...names) {
  return Object.fromEntries(names.map((name) => [name, from?.[name] ?? null]));
}

function round(value) {
  return Math.round(value * 100) / 100;
}

function print(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
