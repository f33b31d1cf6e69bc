// SPDX-License-Identifier: Apache-2.0 OR MIT
// The browser's own HLS: where there is no MediaSource, as on older iPhones, and where it is asked for. Chromium plays HLS by
// itself since version 142; what WebKit alone has (AirPlay, its presentation modes) is stood in for.

import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { openBrowser } from './support/browser.mjs';
import { isBuilt } from './support/dist.mjs';
import { FakeServer, makeMedia } from './support/live.mjs';
import { asset, FakeVod, makeVod } from './support/vod.mjs';

const WAIT = { timeout: 30_000 };
const SIGNED = 'Policy=p&Signature=good&Key-Pair-Id=K1';

describe("the browser's own HLS", () => {
  let browser, lives, films, live, vod, page, faults;

  before(async () => {
    assert.ok(isBuilt(), 'run `npm run build` first');
    [browser, lives, films] = await Promise.all([openBrowser(), makeMedia(), makeVod()]);
  });
  after(async () => {
    await browser?.close();
    await Promise.all([lives?.remove(), films?.remove()]);
  });
  beforeEach(async () => {
    live = new FakeServer(lives);
    vod = new FakeVod(films);
    vod.add(asset('m1', 'Holiday at the river'));
    await Promise.all([live.start(), vod.start()]);
    page = await browser.newPage({ viewport: { width: 1100, height: 820 } });
    page.setDefaultTimeout(WAIT.timeout);
    faults = [];
    page.on('pageerror', (error) => faults.push(String(error)));
  });
  afterEach(async () => {
    await page.context().close();
    await Promise.all([live.kill(), vod.stop()]);
    assert.deepEqual(faults, [], 'the page threw');
  });

  const withoutMediaSource = () =>
    page.addInitScript(() => {
      for (const name of ['MediaSource', 'WebKitMediaSource', 'ManagedMediaSource', 'SourceBuffer']) delete window[name];
    });
  const plays = () => page.evaluate(() => document.createElement('video').canPlayType('application/vnd.apple.mpegurl') !== '');
  const until = (check, argument) => page.waitForFunction(check, argument, WAIT);
  const playedBeyond = (seconds) => until((s) => window.__anabranch?.stats?.playedSeconds > s, seconds);

  test('live plays where there is no MediaSource', async (t) => {
    await withoutMediaSource();
    live.goLive();
    await page.goto(`${live.origin}/watch/b1?${SIGNED}`);
    if (!(await plays())) return t.skip('this browser has no HLS of its own');
    await playedBeyond(3);
    assert.equal(await page.evaluate(() => window.__anabranch.hls), null);
    assert.match(await page.evaluate(() => window.__anabranch.video.currentSrc), /\/live\/index\.m3u8\?Policy=p&Signature=good/);
    assert.equal(await page.locator('.badge').textContent(), 'LIVE');
    assert.ok(live.urls.some((url) => url.includes('.m4s')));
    // Nothing but the address opens it: no cookie, and a signature on each address that the playlists name.
    assert.ok(live.urls.every((url) => url.includes('Signature=good')), live.urls.join('\n'));
    assert.deepEqual(await page.context().cookies(), []);
  });

  test('live goes over to its recording', async (t) => {
    live.goLive();
    await page.goto(`${live.origin}/watch/b1?${SIGNED}&player=native`);
    if (!(await plays())) return t.skip('this browser has no HLS of its own');
    await playedBeyond(1);
    assert.equal(await page.evaluate(() => window.__anabranch.hls), null);
    live.end();
    live.told = { recording: { state: 'ready', duration_seconds: 90, mp4: null } };
    await page.evaluate(() => window.dispatchEvent(new Event('online')));
    await page.getByRole('button', { name: 'Watch the recording' }).click();
    await until(() => window.__anabranch.video.currentSrc.includes('/recorded/') && window.__anabranch.video.currentTime > 0.5);
    assert.match(await page.locator('.time').textContent(), /\/ 1:30$/);
  });

  test('an asset plays, is wound on and resumed', async (t) => {
    await withoutMediaSource();
    await page.goto(`${vod.origin}/watch/asset/m1?${SIGNED}`);
    if (!(await plays())) return t.skip('this browser has no HLS of its own');
    await until(() => window.__anabranch?.video?.readyState >= 1);
    await page.locator('.big-play').click();
    await playedBeyond(1);
    assert.equal(await page.evaluate(() => window.__anabranch.hls), null);
    assert.equal(await page.getByLabel('Quality', { exact: true }).isVisible(), false, 'the browser chooses');
    await page.keyboard.press('5');
    await until(() => window.__anabranch.video.currentTime > 20.5);
    await page.keyboard.press('k');
    await page.reload();
    await page.getByRole('button', { name: /^Resume at 0:2/ }).click();
    await until(() => !window.__anabranch.video.paused && window.__anabranch.video.currentTime > 20);
  });

  test('AirPlay gets the address of the playlist, not what MediaSource plays', async (t) => {
    await page.addInitScript(() => {
      window.asked = [];
      HTMLVideoElement.prototype.webkitShowPlaybackTargetPicker = function () {
        window.asked.push(this.src);
      };
    });
    await page.goto(`${vod.origin}/watch/asset/m1?${SIGNED}`);
    if (!(await plays())) return t.skip('this browser has no HLS of its own');
    await page.locator('.big-play').click();
    await playedBeyond(1);
    assert.equal(await page.getByRole('button', { name: 'AirPlay' }).count(), 0);
    await page.evaluate(() => {
      const event = Object.assign(new Event('webkitplaybacktargetavailabilitychanged'), { availability: 'available' });
      window.__anabranch.video.dispatchEvent(event);
    });
    const at = await page.evaluate(() => window.__anabranch.video.currentTime);
    await page.getByRole('button', { name: 'AirPlay' }).click();
    assert.match((await page.evaluate(() => window.asked))[0], /index\.m3u8\?Policy=p&Signature=good/);
    await until((before) => window.__anabranch.hls === null && window.__anabranch.video.currentTime >= before, at);
  });

  test('a browser with neither says so', async () => {
    await withoutMediaSource();
    await page.addInitScript(() => (HTMLMediaElement.prototype.canPlayType = () => ''));
    live.goLive();
    await page.goto(`${live.origin}/watch/b1?${SIGNED}`);
    await page.getByText('This browser cannot play live video.').waitFor();
  });
});
