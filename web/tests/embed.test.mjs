// SPDX-License-Identifier: Apache-2.0 OR MIT
// Players in the frame of a page of another origin, in a real Chromium; what that page may ask for and is told.

import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { accessible } from './support/axe.mjs';
import { openBrowser } from './support/browser.mjs';
import { isBuilt } from './support/dist.mjs';
import { FakeServer, makeMedia } from './support/live.mjs';
import { asset, FakeVod, makeVod } from './support/vod.mjs';

const WAIT = { timeout: 30_000 };
const WIDE = { width: 720, height: 405 };
const PHONE = { width: 360, height: 203 };
const SIGNED = 'Policy=p&Signature=good&Key-Pair-Id=K1';

/** A page of another site: what it has in its frame, and what it hears from there. */
const around = (source) => `<!doctype html><html lang="en"><meta charset="utf-8"><title>Another site</title>
<body style="margin:0"><iframe title="Player" src="${source}" style="border:0;width:100%;height:100vh"
 allow="autoplay; fullscreen; picture-in-picture"></iframe>
<script>
  const frame = document.querySelector('iframe');
  window.heard = [];
  window.addEventListener('message', (event) => {
    if (event.source === frame.contentWindow) heard.push({ origin: event.origin, ...event.data });
  });
  window.say = (what) => frame.contentWindow.postMessage(what, new URL(frame.src).origin);
</script></body></html>`;

describe('players in frames', () => {
  let browser, lives, films, live, vod, site, page, faults, source;

  before(async () => {
    assert.ok(isBuilt(), 'run `npm run build` first');
    [browser, lives, films] = await Promise.all([openBrowser(), makeMedia(), makeVod()]);
    site = createServer((_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end(around(source)));
    await new Promise((resolve) => site.listen(0, '127.0.0.1', resolve));
  });
  after(async () => {
    await browser?.close();
    site.close();
    site.closeAllConnections();
    await Promise.all([lives?.remove(), films?.remove()]);
  });
  beforeEach(async () => {
    live = new FakeServer(lives);
    vod = new FakeVod(films);
    for (const [id, name] of [['m1', 'First evening'], ['m2', 'Second evening'], ['m3', 'Third evening']]) vod.add(asset(id, name));
    vod.collection = ['m1', 'm2', 'm3'];
    await Promise.all([live.start(), vod.start()]);
    page = await browser.newPage({ viewport: WIDE });
    page.setDefaultTimeout(WAIT.timeout);
    faults = [];
    page.on('pageerror', (error) => faults.push(String(error)));
  });
  afterEach(async () => {
    await page.context().close();
    await Promise.all([live.kill(), vod.stop()]);
    assert.deepEqual(faults, [], 'the page threw');
  });

  // By a name of its own, so that it is another site and not just another origin.
  const siteOrigin = () => `http://localhost:${site.address().port}`;
  const put = async (address) => {
    source = address;
    await page.goto(siteOrigin());
    const handle = await page.locator('iframe').elementHandle();
    return handle.contentFrame();
  };
  const heard = (what) => page.evaluate((name) => window.heard.filter((message) => message.anabranch === name), what);
  const hears = (what, more = {}) =>
    page.waitForFunction(
      ([name, wanted]) => window.heard.some((message) => message.anabranch === name && Object.entries(wanted).every(([key, value]) => message[key] === value)),
      [what, more],
      WAIT,
    );
  const say = (what) => page.evaluate((message) => window.say(message), what);
  const until = (frame, check, argument) => frame.waitForFunction(check, argument, WAIT);
  const playedBeyond = (frame, seconds) => until(frame, (s) => window.__anabranch?.stats?.playedSeconds > s, seconds);
  /** In a frame of a page and of a phone; on the picture there is one theme. */
  const picture = async (name) => {
    if (!process.env.SCREENSHOTS) return;
    await mkdir(process.env.SCREENSHOTS, { recursive: true });
    for (const [size, viewport] of [['phone', PHONE], ['wide', WIDE]]) {
      await page.setViewportSize(viewport);
      // Controls that lie on the picture are seen while the pointer moves.
      await page.mouse.move(viewport.width / 2, viewport.height / 2);
      await page.mouse.move(viewport.width / 2 + 20, viewport.height / 2);
      await page.screenshot({ path: join(process.env.SCREENSHOTS, `viewer-${name}-${size}.png`) });
    }
  };

  test('live plays, fills its frame and speaks to the page around it', async () => {
    live.goLive();
    live.liveSince -= 40_000;
    live.windowSegments = 30;
    const frame = await put(`${live.origin}/embed/b1?${SIGNED}&autoplay=1&origin=${siteOrigin()}`);
    await playedBeyond(frame, 1);
    const box = await frame.locator('video').boundingBox();
    assert.deepEqual([Math.round(box.width), Math.round(box.height)], [720, 405]);
    await hears('ready', { live: true, duration: null });
    await hears('state', { state: 'playing' });
    await hears('timeupdate');
    assert.ok((await heard('timeupdate')).every(({ origin }) => origin === live.origin));
    await page.mouse.move(300, 200);
    await accessible(frame, 'embedded breakout');
    await picture('embed-live');
    await say({ anabranch: 'pause' });
    await hears('state', { state: 'paused' });
    await until(frame, () => window.__anabranch.video.paused);
    await say({ anabranch: 'play' });
    await until(frame, () => !window.__anabranch.video.paused);
    await say({ anabranch: 'unmute' });
    await until(frame, () => !window.__anabranch.video.muted);
    await say({ anabranch: 'seek', time: 0 });
    await frame.getByRole('button', { name: 'Go to live' }).waitFor();
    await say({ anabranch: 'live' });
    await frame.getByRole('button', { name: 'Go to live' }).waitFor({ state: 'hidden' });
    // Left alone, the picture stands alone.
    await page.mouse.move(-5, -5);
    await until(frame, () => document.querySelector('.deck').classList.contains('idle'));
  });

  test('a frame that was played goes on when the pages of all viewers are loaded anew', async () => {
    live.goLive();
    live.told = { refresh: 1 };
    const frame = await put(`${live.origin}/embed/b1?${SIGNED}&muted=1`);
    await frame.locator('.big-play').click();
    await playedBeyond(frame, 1);
    await frame.evaluate(() => (window.before = true));
    live.told = { refresh: 2 };
    await frame.evaluate(() => window.dispatchEvent(new Event('online')));
    await until(frame, () => window.before === undefined && window.__anabranch?.stats?.playedSeconds > 0.5);
    assert.equal((await heard('ready')).length, 2, 'the page around is told again');
  });

  test('words lie in the frame when there is no picture', async () => {
    live.told = { starts_in_seconds: 600 };
    const frame = await put(`${live.origin}/embed/b1?${SIGNED}`);
    await frame.getByText('The breakout has not started yet.').waitFor();
    await frame.getByText(/^Starts in/).waitFor();
    await accessible(frame, 'embedded, waiting');
    await picture('embed-waiting');
    live.refuse = true;
    live.refusal = 'device-limit';
    await frame.evaluate(() => window.dispatchEvent(new Event('online')));
    await frame.getByRole('button', { name: 'Watch here' }).waitFor();
    await accessible(frame, 'embedded, another device');
    await picture('embed-devices');
    await page.waitForFunction(() => window.heard.some(({ state }) => state === 'refused'), null, WAIT);
  });

  test('an asset begins where it is told, and says when it has ended', async () => {
    const frame = await put(`${vod.origin}/embed/asset/m1?${SIGNED}&autoplay=1&muted=1&start=21`);
    await hears('ready', { live: false });
    const [ready] = await heard('ready');
    assert.ok(Math.abs(ready.duration - 40) < 0.2, `${ready.duration}`);
    await playedBeyond(frame, 0.5);
    assert.ok((await frame.evaluate(() => window.__anabranch.video.currentTime)) >= 21);
    assert.equal(await frame.evaluate(() => window.__anabranch.video.muted), true);
    await page.mouse.move(300, 200);
    await accessible(frame, 'embedded asset');
    await picture('embed-asset');
    await frame.getByRole('button', { name: 'Settings' }).click();
    await frame.getByLabel('Quality', { exact: true }).waitFor();
    await accessible(frame, 'embedded asset with its menus');
    await picture('embed-asset-menus');
    await say({ anabranch: 'seek', time: 39 });
    await hears('ended');
    await hears('state', { state: 'finished' });
  });

  test('without controls there is the picture alone', async () => {
    const frame = await put(`${vod.origin}/embed/asset/m1?${SIGNED}&autoplay=1&muted=1&controls=0`);
    await playedBeyond(frame, 0.5);
    assert.equal(await frame.locator('.controls').count(), 0);
    await frame.locator('video').focus().catch(() => undefined);
    await page.keyboard.press('m');
    assert.equal(await frame.evaluate(() => window.__anabranch.video.muted), true);
    await picture('embed-bare');
  });

  test('only the page around it is heard, and only the origin that it names is told', async () => {
    const frame = await put(`${vod.origin}/embed/asset/m1?${SIGNED}&origin=https://elsewhere.example`);
    await until(frame, () => window.__anabranch?.video?.readyState >= 1);
    await say({ anabranch: 'play' });
    // A message of the frame's own window is none of the page around.
    await frame.evaluate(() => window.postMessage({ anabranch: 'play' }, '*'));
    await frame.locator('.big-play').click();
    await playedBeyond(frame, 0.5);
    assert.deepEqual(await page.evaluate(() => window.heard), []);
    await say({ anabranch: 'pause' });
    await playedBeyond(frame, 1.5);
    assert.equal(await frame.evaluate(() => window.__anabranch.video.paused), false);
  });

  test('a refusal is told as an error', async () => {
    const frame = await put(`${vod.origin}/embed/asset/m1?Policy=p&Signature=bad&Key-Pair-Id=K1`);
    await frame.getByText('The link has expired.').waitFor();
    await hears('error', { message: 'The link has expired.' });
    await picture('embed-refused');
  });

  test('a collection goes on from one to the next', async () => {
    const frame = await put(`${vod.origin}/embed/collection/c1?${SIGNED}&autoplay=1&muted=1`);
    await playedBeyond(frame, 0.5);
    assert.equal(await frame.locator('video').getAttribute('aria-label'), 'First evening');
    await page.mouse.move(300, 200);
    await accessible(frame, 'embedded collection');
    await picture('embed-collection');
    await page.mouse.move(200, 150);
    await frame.getByRole('button', { name: 'Next', exact: true }).click();
    await until(frame, () => window.__anabranch.video?.getAttribute('aria-label') === 'Second evening');
    await playedBeyond(frame, 0.5);
    await say({ anabranch: 'pause' });
    await until(frame, () => window.__anabranch.video.paused);
  });
});
