// SPDX-License-Identifier: Apache-2.0 OR MIT
// The built pages in a real Chromium against a stand-in server. `SCREENSHOTS=folder` keeps pictures of them.

import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { openBrowser } from './support/browser.mjs';
import { isBuilt } from './support/dist.mjs';
import { FakeServer, makeMedia } from './support/live.mjs';

const PHONE = { width: 360, height: 740 };
const WAIT = { timeout: 30_000 };
const LINK = '/watch/b1?Policy=p&Signature=good&Key-Pair-Id=K1';

describe('pages', () => {
  let browser, media, server, page, faults;

  before(async () => {
    assert.ok(isBuilt(), 'run `npm run build` first');
    [browser, media] = await Promise.all([openBrowser(), makeMedia()]);
  });
  after(async () => {
    await browser?.close();
    await media?.remove();
  });
  beforeEach(async () => {
    server = new FakeServer(media);
    await server.start();
    page = await browser.newPage({ viewport: { width: 1100, height: 820 } });
    page.setDefaultTimeout(WAIT.timeout);
    faults = [];
    page.on('pageerror', (error) => faults.push(String(error)));
  });
  afterEach(async () => {
    await page.close();
    await server.kill();
    assert.deepEqual(faults, [], 'the page threw');
  });

  const picture = async (name) => {
    if (!process.env.SCREENSHOTS) return;
    await mkdir(process.env.SCREENSHOTS, { recursive: true });
    await page.screenshot({ path: join(process.env.SCREENSHOTS, `${name}.png`), fullPage: true });
  };
  const says = (text) => page.getByText(text).first().waitFor();
  const playedBeyond = (seconds) => page.waitForFunction((s) => window.__anabranch?.stats.playedSeconds > s, seconds, WAIT);
  const stats = () => page.evaluate(() => ({ ...window.__anabranch.stats, time: window.__anabranch.video.currentTime }));
  const fitsWidth = async () => {
    const [content, width] = await page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
    assert.ok(content <= width, `the page is ${content} px wide in a window of ${width} px`);
  };

  test('a breakout is waited for, watched and seen to end in one page', async () => {
    await page.goto(server.origin + LINK);
    await says('The breakout has not started yet.');
    await picture('watch-waiting');
    server.goLive();
    await playedBeyond(4);
    assert.equal(await page.locator('.badge').textContent(), 'LIVE');
    assert.equal(await page.locator('h1').textContent(), 'Spring final');
    await page.waitForFunction(() => /s behind live/.test(document.querySelector('.latency').textContent), null, WAIT);
    await picture('watch-live');
    const { stalls, startTimeMs, errors } = await stats();
    assert.equal(stalls, 0, JSON.stringify(errors));
    assert.ok(startTimeMs > 0 && startTimeMs < 10_000, `started after ${startTimeMs} ms`);

    await page.getByRole('button', { name: 'Turn sound on' }).click();
    assert.equal(await page.evaluate(() => window.__anabranch.video.muted), false);
    assert.equal(await page.getByRole('button', { name: 'Turn sound on' }).count(), 0);

    server.end();
    await says('The breakout has ended.');
    await page.getByRole('button', { name: 'Watch the last part' }).click();
    await page.waitForFunction(() => !window.__anabranch.video.paused && !window.__anabranch.video.ended, null, WAIT);
    await picture('watch-ended');
  });

  test('a viewer who fell behind can go to live', async () => {
    server.goLive();
    server.liveSince -= 30_000;
    await page.goto(server.origin + LINK);
    await playedBeyond(1);
    assert.equal(await page.getByRole('button', { name: 'Go to live' }).count(), 0);
    await page.evaluate(() => (window.__anabranch.video.playbackRate = 0.1));
    const button = page.getByRole('button', { name: 'Go to live' });
    await button.waitFor();
    await picture('watch-behind');
    await page.evaluate(() => (window.__anabranch.video.playbackRate = 1));
    await button.click();
    await button.waitFor({ state: 'detached' });
  });

  test('an expired link says so, and what to do', async () => {
    server.refuse = true;
    await page.goto(server.origin + LINK);
    await says('This link has expired or is not for this breakout.');
    await says('Ask for a new one.');
    await picture('watch-expired');
    assert.equal(await page.locator('video').isVisible(), false);
  });

  test('playback resumes in the same player when the server was away', async () => {
    server.goLive();
    await page.goto(server.origin + LINK);
    await playedBeyond(2);
    await page.evaluate(() => (window.__before = { hls: window.__anabranch.hls, video: window.__anabranch.video }));
    await server.kill();
    await says('The connection is lost.');
    await picture('watch-lost');
    // Long enough that everything loaded has been played.
    await page.waitForFunction(() => window.__anabranch.stats.stalls > 0, null, WAIT);
    await new Promise((resolve) => setTimeout(resolve, 5_000));
    const { playedSeconds } = await stats();
    await server.start();
    await playedBeyond(playedSeconds + 4);
    await page.waitForFunction(() => document.querySelector('.headline').textContent === '', null, WAIT);
    const same = await page.evaluate(
      () => window.__before.hls === window.__anabranch.hls && window.__before.video === window.__anabranch.video,
    );
    assert.ok(same, 'the player was replaced');
    assert.ok((await stats()).errors.length > 0);
  });

  test('playback resumes when the live window has moved on meanwhile', async () => {
    server.goesOn = true;
    server.dated = false;
    server.goLive();
    await page.goto(server.origin + LINK);
    await playedBeyond(1);
    await page.evaluate(() => (window.__before = window.__anabranch.hls));
    await server.kill();
    // Longer than the window and what is loaded, so that no segment that the player knows is still there.
    await new Promise((resolve) => setTimeout(resolve, 24_000));
    const { playedSeconds } = await stats();
    await server.start();
    await page.waitForFunction((s) => window.__anabranch.stats.playedSeconds > s, playedSeconds + 4, { timeout: 60_000 });
    assert.ok(await page.evaluate(() => window.__before === window.__anabranch.hls), 'the player was replaced');
  });

  test('a page that is opened while the server is away starts by itself', async () => {
    server.goLive();
    await page.route('**/v1/watch/**', (route) => route.abort());
    await page.goto(server.origin + LINK);
    await says('The server does not answer.');
    await page.unroute('**/v1/watch/**');
    await playedBeyond(1);
  });

  test('an ended breakout with nothing left shows no player', async () => {
    server.end();
    server.routes.set('GET /live/index.m3u8', () => {
      throw { status: 404, detail: 'gone' };
    });
    await page.goto(server.origin + LINK);
    await says('The breakout has ended.');
    await page.waitForFunction(() => window.__anabranch?.model.playback.at === 'gone', null, WAIT);
    assert.equal(await page.locator('video').isVisible(), false);
    assert.equal(await page.locator('.hint').textContent(), '');
  });

  test('an ended breakout that is still there waits to be watched', async () => {
    server.goLive();
    server.end();
    await page.goto(server.origin + LINK);
    await page.getByRole('button', { name: 'Watch the last part' }).click();
    await playedBeyond(2);
  });

  test('a format that cannot be played is said in words', async () => {
    server.goLive();
    await page.route('**/live/index.m3u8*', (route) =>
      route.fulfill({
        headers: { 'access-control-allow-origin': '*', 'content-type': 'application/vnd.apple.mpegurl' },
        body: '#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000000,CODECS="dvh1.08.07"\nvideo.m3u8\n',
      }),
    );
    await page.goto(server.origin + LINK);
    await says('This browser cannot play the format of this breakout (dvh1.08.07).');
    await picture('watch-codec');
  });

  test('the watch page fits a phone', async () => {
    await page.setViewportSize(PHONE);
    server.name = 'A-rather-long-name-of-a-breakout-without-any-place-to-break-it-in-two';
    await page.goto(server.origin + LINK);
    await says('The breakout has not started yet.');
    await fitsWidth();
    await picture('phone-waiting');
    server.goLive();
    await playedBeyond(1);
    await fitsWidth();
    await picture('phone-live');
    await page.emulateMedia({ colorScheme: 'dark' });
    await picture('phone-live-dark');
  });
});
