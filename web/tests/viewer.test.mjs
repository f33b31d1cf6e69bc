// SPDX-License-Identifier: Apache-2.0 OR MIT
// Every state of a breakout's page in a real Chromium, light and dark, wide and on a phone, with axe-core on each.
// `SCREENSHOTS=folder` keeps pictures.

import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { accessible } from './support/axe.mjs';
import { openBrowser } from './support/browser.mjs';
import { isBuilt } from './support/dist.mjs';
import { FakeServer, makeMedia } from './support/live.mjs';

const WIDE = { width: 1180, height: 860 };
const PHONE = { width: 375, height: 740 };
const WAIT = { timeout: 30_000 };
const LINK = '/watch/b1?Policy=p&Signature=good&Key-Pair-Id=K1';

describe('the page of a breakout', () => {
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
    page = await browser.newPage({ viewport: WIDE });
    page.setDefaultTimeout(WAIT.timeout);
    faults = [];
    page.on('pageerror', (error) => faults.push(String(error)));
  });
  afterEach(async () => {
    await page.context().close();
    await server.kill();
    assert.deepEqual(faults, [], 'the page threw');
  });

  /** The state in both colours and both sizes, for everybody. */
  const looksRight = async (name) => {
    for (const colorScheme of ['light', 'dark']) {
      for (const [size, viewport] of [['wide', WIDE], ['phone', PHONE]]) {
        await page.emulateMedia({ colorScheme });
        await page.setViewportSize(viewport);
        const [content, width] = await page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
        assert.ok(content <= width, `${name}: the page is ${content} px wide in a window of ${width} px`);
        await accessible(page, `${name}, ${colorScheme}, ${size}`);
        if (!process.env.SCREENSHOTS) continue;
        await mkdir(process.env.SCREENSHOTS, { recursive: true });
        await page.screenshot({ path: join(process.env.SCREENSHOTS, `${name}-${size}-${colorScheme}.png`), fullPage: true });
      }
    }
    await page.setViewportSize(WIDE);
    await page.emulateMedia({ colorScheme: 'light' });
  };
  const open = (more = '') => page.goto(server.origin + LINK + more);
  const says = (text) => page.getByText(text).first().waitFor();
  const until = (check, argument) => page.waitForFunction(check, argument, WAIT);
  const playedBeyond = (seconds) => until((s) => window.__anabranch?.stats?.playedSeconds > s, seconds);
  const press = (name) => page.getByRole('button', { name, exact: true }).click();

  test('waiting counts down to the planned start', async () => {
    server.told = { starts_in_seconds: 3725 };
    await open();
    await says('The breakout has not started yet.');
    await until(() => /^Starts in 1:0[12]:\d\d$/.test(document.querySelector('.countdown').textContent));
    assert.match(await page.locator('.when').textContent(), /\d\d:\d\d$/);
    await looksRight('viewer-waiting');
    server.told = { starts_in_seconds: -2 };
    await says('It should begin any moment.');
    server.told = {};
    await page.locator('.countdown').waitFor({ state: 'hidden' });
  });

  test('the curtain hides picture and sound, and goes up again', async () => {
    server.goLive();
    await open();
    await playedBeyond(1);
    server.state = 'waiting';
    server.told = { curtain: 'down' };
    await page.evaluate(() => window.dispatchEvent(new Event('online')));
    await says('There is a break.');
    assert.equal(await page.locator('video').isVisible(), false);
    assert.equal(await page.evaluate(() => window.__anabranch.video.paused), true);
    await looksRight('viewer-curtain');
    server.state = 'live';
    server.told = {};
    await until(() => !window.__anabranch.video.paused);
    await playedBeyond((await page.evaluate(() => window.__anabranch.stats.playedSeconds)) + 1);
    assert.equal(await page.locator('video').isVisible(), true);
  });

  test('live has the controls, the distance and the audience', async () => {
    server.goLive();
    server.liveSince -= 40_000;
    server.windowSegments = 30;
    server.told = { viewers: 128 };
    await open();
    await playedBeyond(2);
    await says('128 watching');
    await until(() => /s behind live/.test(document.querySelector('.latency').textContent));
    assert.equal(await page.getByLabel('Speed', { exact: true }).isVisible(), false, 'nothing is faster than it happens');
    await looksRight('viewer-live');
    await press('Turn sound on');
    assert.deepEqual(await page.evaluate(() => JSON.parse(localStorage.getItem('anabranch.volume'))), { volume: 1, muted: false });
  });

  test('live can be wound back by bar and keys, and there is a way to live again', async () => {
    server.goLive();
    server.liveSince -= 40_000;
    server.windowSegments = 30;
    await open();
    await playedBeyond(1);
    const bar = page.getByLabel('Position', { exact: true });
    await bar.waitFor();
    const live = await page.evaluate(() => window.__anabranch.video.currentTime);
    const box = await bar.boundingBox();
    await page.mouse.click(box.x + box.width * 0.08, box.y + box.height / 2);
    await page.getByRole('button', { name: 'Go to live' }).waitFor();
    assert.ok((await page.evaluate(() => window.__anabranch.video.currentTime)) < live - 3);
    await until(() => /seconds? behind live$/.test(document.querySelector('.scrub-input').getAttribute('aria-valuetext')));
    assert.match(await page.locator('.time').textContent(), /^−0:\d\d$/);
    await looksRight('viewer-behind');
    await page.locator('body').click({ position: { x: 5, y: 5 } });
    await page.keyboard.press('End');
    await page.getByRole('button', { name: 'Go to live' }).waitFor({ state: 'hidden' });
    await until(() => document.querySelector('.scrub-input').getAttribute('aria-valuetext') === 'Live');
    await page.keyboard.press('ArrowLeft');
    await page.keyboard.press('ArrowLeft');
    await until((at) => window.__anabranch.video.currentTime < at + 4, live);
    await press('Pause');
    await says('LIVE');
    await page.keyboard.press('m');
    await page.getByRole('button', { name: 'Sound off' }).waitFor();
    await page.keyboard.press('ArrowDown');
    assert.ok(Math.abs((await page.evaluate(() => window.__anabranch.video.volume)) - 0.9) < 0.01);
    // The next page is as loud.
    await page.reload();
    await playedBeyond(0.5);
    assert.deepEqual(await page.evaluate(() => [window.__anabranch.video.muted, Math.round(window.__anabranch.video.volume * 10)]), [false, 9]);
  });

  test('picture in picture and full screen', async () => {
    server.goLive();
    await open();
    await playedBeyond(1);
    if (await page.evaluate(() => document.pictureInPictureEnabled)) {
      await press('Picture in picture');
      await until(() => document.pictureInPictureElement === window.__anabranch.video);
      await press('Leave picture in picture');
      await until(() => document.pictureInPictureElement === null);
    }
    await page.keyboard.press('f');
    await until(() => document.fullscreenElement?.className.includes('deck'));
    await looksRight('viewer-fullscreen');
    await page.keyboard.press('f');
    await until(() => document.fullscreenElement === null);
  });

  test('no picture while live says that it goes on by itself', async () => {
    server.goLive();
    await open();
    await playedBeyond(1);
    server.state = 'waiting';
    server.problem = 'the sender is not connected';
    await page.evaluate(() => window.dispatchEvent(new Event('online')));
    await says('No picture is arriving.');
    await looksRight('viewer-interrupted');
  });

  test('after the end the recording plays on the same page as soon as it is there', async () => {
    server.state = 'ended';
    server.told = { recording: { state: 'making', duration_seconds: null, mp4: null } };
    server.routes.set('GET /live/index.m3u8', () => {
      throw { status: 404, detail: 'gone' };
    });
    await open();
    await says('Its recording is being prepared and plays here as soon as it is there.');
    await looksRight('viewer-ended-making');
    const mp4 = { state: 'making', progress_percent: 41.2, url: null, bytes: null };
    server.told = { recording: { state: 'ready', duration_seconds: 90, mp4 } };
    await page.locator('.big-play').waitFor();
    await says('This is its recording.');
    await says('The file to download is being made: 41 %.');
    await until(() => window.__anabranch.video.readyState >= 2);
    await looksRight('viewer-recording-poster');
    await page.locator('.big-play').click();
    await playedBeyond(1);
    assert.equal(await page.locator('.badge').textContent(), 'Recording');
    assert.match(await page.locator('.time').textContent(), /^0:0\d \/ 1:30$/);
    await page.getByLabel('Speed', { exact: true }).waitFor();
    server.told.recording.mp4 = { state: 'ready', progress_percent: 100, url: `${server.origin}/recording.mp4`, bytes: 123_456_789 };
    await page.getByRole('link', { name: 'Download MP4 (123 MB)' }).waitFor();
    await looksRight('viewer-recording');
    await page.keyboard.press('5');
    await until(() => window.__anabranch.video.currentTime >= 44);
  });

  test('all pages are loaded anew within seconds when an operator wants it, each once', async () => {
    server.goLive();
    server.told = { refresh: 4 };
    await open();
    await playedBeyond(1);
    await page.evaluate(() => (window.before = true));
    const asked = () => page.evaluate(() => window.dispatchEvent(new Event('online')));
    await asked();
    server.told = { refresh: 5 };
    await asked();
    await until(() => window.before === undefined && window.__anabranch?.stats?.playedSeconds > 1);
    // An instance that lags behind, and tells the new count later, is no second wish.
    server.told = { refresh: 4 };
    await page.reload();
    await playedBeyond(0.5);
    await page.evaluate(() => (window.before = true));
    server.told = { refresh: 5 };
    await asked();
    await until(() => window.__anabranch.model.answer.refresh === 5);
    await playedBeyond(5);
    assert.equal(await page.evaluate(() => window.before), true, 'the page was loaded anew again');
  });

  test('a recording goes on where it was when its page is loaded anew', async () => {
    server.state = 'ended';
    const mp4 = { state: 'making', progress_percent: 41.2, url: null, bytes: null };
    server.told = { refresh: 1, recording: { state: 'ready', duration_seconds: 90, mp4 } };
    await open();
    await page.locator('.big-play').click();
    await playedBeyond(0.5);
    await page.keyboard.press('5');
    await until(() => window.__anabranch.video.currentTime >= 44);
    await page.keyboard.press('k');
    await until(() => window.__anabranch.video.paused);
    await page.evaluate(() => (window.before = true));
    server.told.refresh = 2;
    await until(() => window.before === undefined && window.__anabranch?.video?.readyState >= 2);
    await until(() => Math.abs(window.__anabranch.video.currentTime - 45) < 3);
    assert.equal(await page.evaluate(() => window.__anabranch.video.paused), true, 'what was paused waits');
  });

  test('who sees the end goes over to the recording when he likes', async () => {
    server.goLive();
    await open();
    await playedBeyond(1);
    server.end();
    server.told = { recording: { state: 'ready', duration_seconds: 90, mp4: null } };
    await page.evaluate(() => window.dispatchEvent(new Event('online')));
    await press('Watch the recording');
    await until(() => window.__anabranch.model.opened === 'recording' && window.__anabranch.video.currentTime > 0.5 && window.__anabranch.video.currentTime < 20);
  });

  test('a session that another device has ended is taken over', async () => {
    server.goLive();
    await open();
    await playedBeyond(1);
    server.refuse = true;
    server.refusal = 'device-limit';
    await page.evaluate(() => window.dispatchEvent(new Event('online')));
    await says('You are watching on another device.');
    assert.equal(await page.evaluate(() => window.__anabranch.video.paused), true);
    await looksRight('viewer-devices');
    const before = await page.evaluate(() => window.__anabranch.stats.playedSeconds);
    await press('Watch here');
    await playedBeyond(before + 1);
    assert.deepEqual(server.asked, ['takeover']);
    assert.match(page.url(), /Signature=takeover1/);
    assert.match(server.urls.at(-1), /Signature=takeover1/);
  });

  test('each refusal is said', async () => {
    server.refuse = true;
    for (const [refusal, words] of [
      ['link-expired', 'This link has expired.'],
      ['link-revoked', 'This link was withdrawn.'],
      ['link-wrong', 'This link does not open this breakout.'],
      ['link-address', 'This link is for another network.'],
      ['session-shut-out', 'You were removed from this breakout.'],
    ]) {
      server.refusal = refusal;
      await open();
      await says(words);
      await looksRight(`viewer-${refusal}`);
    }
    server.refusal = 'link-not-yet';
    await open();
    await says('This link does not open yet.');
  });

  test('the signature is renewed while it plays, and every request carries the newest', async () => {
    server.goLive();
    server.told = { expires_in_seconds: 3 };
    await open();
    await playedBeyond(1);
    server.told = {};
    await until(() => location.search.includes('Signature=renew1'));
    await playedBeyond((await page.evaluate(() => window.__anabranch.stats.playedSeconds)) + 3);
    const last = server.urls.slice(-4);
    assert.ok(last.every((url) => url.includes('Signature=renew1')), last.join('\n'));
    assert.equal((await page.evaluate(() => window.__anabranch.stats)).stalls, 0);
  });

  test('the network is told how playback goes', async () => {
    server.goLive();
    await open();
    await playedBeyond(4);
    const told = server.urls.map((url) => new URL(url, server.origin).searchParams.get('CMCD') ?? '');
    assert.ok(told.every((text) => /(^|,)cid="b1"/.test(text) && /(^|,)sid="[0-9a-f-]{36}"/.test(text)), told.join('\n'));
    assert.equal(new Set(told.map((text) => /sid="([^"]+)"/.exec(text)[1])).size, 1);
    assert.ok(told.some((text) => /(^|,)ot=v/.test(text) && /(^|,)br=\d+/.test(text) && /(^|,)st=l/.test(text)));
    const startups = told.filter((text) => text.includes('com.anabranch-startup='));
    assert.equal(startups.length, 1, 'told once');
    const { startTimeMs } = await page.evaluate(() => window.__anabranch.stats);
    assert.match(startups[0], new RegExp(`(^|,)com\\.anabranch-startup=${startTimeMs}(,|$)`));
    // Playback stands still while the server is away.
    await server.kill();
    await until(() => window.__anabranch.stats.stallSeconds > 0.3);
    const before = server.urls.length;
    await server.start();
    await playedBeyond((await page.evaluate(() => window.__anabranch.stats.playedSeconds)) + 2);
    const stalls = server.urls.slice(before).join('\n').match(/com\.anabranch-stall%3D(\d+)/g) ?? [];
    const sum = stalls.reduce((total, text) => total + Number(text.split('%3D')[1]), 0);
    const { stallSeconds } = await page.evaluate(() => window.__anabranch.stats);
    assert.ok(sum > 200 && sum <= stallSeconds * 1000 + 50, `${sum} ms told of ${stallSeconds} s`);
  });
});
