// SPDX-License-Identifier: Apache-2.0 OR MIT
// The pages of assets and collections in a real Chromium against a stand-in server. `SCREENSHOTS=folder` keeps pictures.

import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { accessible } from './support/axe.mjs';
import { openBrowser } from './support/browser.mjs';
import { isBuilt } from './support/dist.mjs';
import { asset, FakeVod, makeVod } from './support/vod.mjs';

const WIDE = { width: 1280, height: 900 };
const PHONE = { width: 360, height: 740 };
const WAIT = { timeout: 30_000 };
const QUERY = '?Policy=p&Signature=good&Key-Pair-Id=K1';
const PAGE = `/watch/asset/m1${QUERY}`;
const COLLECTION = `/watch/collection/c1${QUERY}`;

describe('pages of assets', () => {
  let browser, media, server, page, faults;

  before(async () => {
    assert.ok(isBuilt(), 'run `npm run build` first');
    [browser, media] = await Promise.all([openBrowser(), makeVod()]);
  });
  after(async () => {
    await browser?.close();
    await media?.remove();
  });
  beforeEach(async () => {
    server = new FakeVod(media);
    server.add(asset('m1', 'Holiday at the river'));
    await server.start();
    page = await browser.newPage({ viewport: WIDE });
    page.setDefaultTimeout(WAIT.timeout);
    faults = [];
    page.on('pageerror', (error) => faults.push(String(error)));
  });
  afterEach(async () => {
    await page.close();
    await server.stop();
    assert.deepEqual(faults, [], 'the page threw');
  });

  const picture = async (name) => {
    if (!process.env.SCREENSHOTS) return;
    await mkdir(process.env.SCREENSHOTS, { recursive: true });
    await page.screenshot({ path: join(process.env.SCREENSHOTS, `viewer-${name}.png`), fullPage: true });
  };
  /** Light and dark, wide and on a phone: nothing wider than the window, closed to nobody. */
  const inspect = async (name) => {
    for (const [size, viewport] of [['wide', WIDE], ['phone', PHONE]]) {
      await page.setViewportSize(viewport);
      for (const colorScheme of ['light', 'dark']) {
        await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
        await fitsWidth();
        await accessible(page, `${name}, ${size}, ${colorScheme}`);
        await picture(`${name}-${size}-${colorScheme}`);
      }
    }
    await page.setViewportSize(WIDE);
    await page.emulateMedia({ colorScheme: 'light', reducedMotion: 'no-preference' });
  };
  const says = (text) => page.getByText(text).first().waitFor();
  const until = (check, argument) => page.waitForFunction(check, argument, WAIT);
  const playedBeyond = (seconds) => until((s) => window.__anabranch?.stats?.playedSeconds > s, seconds);
  const time = () => page.evaluate(() => window.__anabranch.video.currentTime);
  const seek = (at) => page.evaluate((s) => (window.__anabranch.video.currentTime = s), at);
  const options = (label) => page.getByLabel(label, { exact: true }).locator('option').allTextContents();
  const press = (name) => page.getByRole('button', { name, exact: true }).first().click();
  const play = () => page.locator('.big-play').click();
  const fitsWidth = async () => {
    const [content, width] = await page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
    assert.ok(content <= width, `the page is ${content} px wide in a window of ${width} px`);
  };

  test('an asset plays, with menus of qualities, sound, captions and speed', async () => {
    await page.goto(server.origin + PAGE);
    await page.locator('.big-play').waitFor();
    await until(() => window.__anabranch?.hls?.levels.length === 2);
    await inspect('asset-poster');
    await play();
    await playedBeyond(1);
    assert.equal(await page.locator('h1').textContent(), 'Holiday at the river');
    await until(() => /^Auto \((180|360)p\)$/.test(document.querySelector('#menu-quality option')?.textContent));
    assert.deepEqual((await options('Quality')).slice(1), ['360p', '180p']);
    assert.deepEqual(await options('Audio'), ['Original', 'Commentary']);
    assert.deepEqual(await options('Captions'), ['Off', 'English']);

    await page.getByLabel('Quality', { exact: true }).selectOption({ label: '180p' });
    await until(() => window.__anabranch.video.videoHeight === 180);
    assert.equal((await options('Quality'))[0], 'Auto');
    await page.getByLabel('Audio', { exact: true }).selectOption({ label: 'Commentary' });
    await until(() => window.__anabranch.hls.audioTrack === 1);
    const shown = () => [...window.__anabranch.video.textTracks].some((track) => track.mode === 'showing' && track.activeCues?.length > 0);
    assert.equal(await page.evaluate(shown), false, 'captions are off at first');
    await page.getByLabel('Captions', { exact: true }).selectOption({ label: 'English' });
    await until(shown);
    await page.getByLabel('Speed', { exact: true }).selectOption({ label: '2×' });
    assert.equal(await page.evaluate(() => window.__anabranch.video.playbackRate), 2);
    await picture('asset-playing');
    const { errors } = await page.evaluate(() => window.__anabranch.stats);
    assert.deepEqual(errors.filter((error) => error.fatal), []);
  });

  test('the scrub bar shows pictures of moments and goes where it is pressed', async () => {
    await page.goto(server.origin + PAGE);
    await play();
    await playedBeyond(0.5);
    const bar = page.getByLabel('Position', { exact: true });
    const box = await bar.boundingBox();
    const sheet = page.waitForResponse((response) => response.url().includes('sprite_01.jpg'));
    await page.mouse.move(box.x + box.width * 0.6, box.y + box.height / 2);
    assert.equal((await sheet).status(), 200);
    await page.locator('.scrub-preview').waitFor();
    assert.match(await page.locator('.scrub-when').textContent(), /^0:2[345]$/);
    const style = await page.locator('.scrub-picture').getAttribute('style');
    assert.match(style, /Signature=good/);
    assert.match(style, /background-position: -640px 0px/);
    await picture('asset-scrub');
    await page.mouse.click(box.x + box.width * 0.6, box.y + box.height / 2);
    await until(() => window.__anabranch.video.currentTime > 22);
    await bar.focus();
    const before = await time();
    await page.keyboard.press('ArrowLeft');
    assert.ok((await time()) < before);
    assert.match(await bar.getAttribute('aria-valuetext'), /seconds? of 40 seconds/);
  });

  test('the keyboard does it all', async () => {
    await page.goto(server.origin + PAGE);
    await until(() => window.__anabranch?.hls?.levels.length === 2);
    await page.keyboard.press('Space');
    await playedBeyond(0.5);
    await page.keyboard.press('l');
    await until(() => window.__anabranch.video.currentTime > 10);
    await page.keyboard.press('5');
    await until(() => window.__anabranch.video.currentTime >= 20);
    await page.keyboard.press('m');
    assert.equal(await page.evaluate(() => window.__anabranch.video.muted), true);
    await page.getByRole('button', { name: 'Sound on' }).waitFor();
    await page.keyboard.press('>');
    assert.equal(await page.evaluate(() => window.__anabranch.video.playbackRate), 1.25);
    await page.keyboard.press('c');
    await until(() => window.__anabranch.hls.subtitleDisplay && window.__anabranch.hls.subtitleTrack === 0);
    await page.keyboard.press('f');
    await until(() => document.fullscreenElement?.className.includes('deck'));
    await page.keyboard.press('f');
    await until(() => document.fullscreenElement === null);
    await page.keyboard.press('k');
    assert.equal(await page.evaluate(() => window.__anabranch.video.paused), true);
  });

  test('a viewer who comes back can resume, and the end clears that', async () => {
    await page.goto(server.origin + PAGE);
    await play();
    await playedBeyond(0.5);
    await seek(21);
    await until(() => window.__anabranch.video.currentTime > 21.3);
    await press('Pause');
    await page.reload();
    const resume = page.getByRole('button', { name: /^Resume at 0:2/ });
    await resume.waitFor();
    await until(() => window.__anabranch.video.readyState >= 2);
    await picture('asset-resume');
    await resume.click();
    await playedBeyond(0.5);
    assert.ok((await time()) > 20);
    await seek(38.7);
    await until(() => window.__anabranch.video.ended);
    await page.reload();
    await page.locator('.big-play').waitFor();
    assert.equal(await resume.count(), 0);

    server.assets.get('m1').user = 'ben';
    await page.evaluate(() => localStorage.setItem('anabranch.watched.m1.anna', JSON.stringify({ at: 20, of: 40, done: true, saved: 1 })));
    await page.reload();
    await page.locator('.big-play').waitFor();
    assert.equal(await resume.count(), 0, 'the position of another user');
  });

  test('a rung that comes later appears by itself, and playback goes on', async () => {
    const one = server.add(asset('m1', 'Holiday', { state: 'processing', rungs: [], progress: 12.5 }));
    await page.goto(server.origin + PAGE);
    await says('This video is being prepared.');
    await says('12 % done.');
    await picture('asset-preparing');
    one.rungs = ['180'];
    await play();
    await says('More qualities follow by themselves. 1 of 2 is ready.');
    await playedBeyond(3);
    assert.equal(await page.getByLabel('Quality', { exact: true }).isVisible(), false);
    await page.getByLabel('Captions', { exact: true }).selectOption({ label: 'English' });
    await picture('asset-partial');
    const before = await time();
    Object.assign(one, { rungs: ['180', '360'], state: 'ready' });
    await until(() => window.__anabranch.hls.levels.length === 2 && !window.__anabranch.video.paused);
    await until((at) => window.__anabranch.video.currentTime > at + 6, before);
    assert.deepEqual((await options('Quality')).slice(1), ['360p', '180p']);
    assert.equal(await page.getByLabel('Captions', { exact: true }).inputValue(), '0');
    assert.equal(await page.locator('.hint').textContent(), '');
    assert.equal(await page.locator('.freeze').isVisible(), false);
  });

  test('a signature is renewed before it ends, and playback does not notice', async () => {
    server.add(asset('m1', 'Holiday', { expires: 5 }));
    await page.goto(server.origin + PAGE);
    await play();
    await playedBeyond(1);
    await page.getByLabel('Quality', { exact: true }).selectOption({ label: '180p' });
    await until(() => window.location.search.includes('Signature=fresh'));
    server.good.delete('good');
    server.assets.get('m1').expires = 3600;
    server.signatures.length = 0;
    // What was not loaded yet: the addresses in the playlists carry the signature of before.
    await page.getByLabel('Quality', { exact: true }).selectOption({ label: '360p' });
    await until(() => window.__anabranch.video.videoHeight === 360);
    await seek(34);
    await until(() => window.__anabranch.video.currentTime > 35);
    assert.ok(server.signatures.length > 0);
    assert.deepEqual([...new Set(server.signatures)], ['fresh']);
    await page.reload();
    await page.getByRole('button', { name: /^Resume at/ }).waitFor();
  });

  test('a page that cannot be opened says why', async () => {
    server.good.clear();
    await page.goto(server.origin + PAGE);
    await says('The link has expired.');
    await says('Ask for a new link.');
    await inspect('asset-expired');
    server.refusal = 'you may not watch this video: ask who gave you the link';
    await page.reload();
    await says('You may not watch this video: ask who gave you the link.');
    assert.equal(await page.locator('video').isVisible(), false);
    server.good.add('good');
    server.add(asset('m1', 'Notes.txt', { state: 'failed', rungs: [], problem: 'not a video: text' }));
    await page.reload();
    await says('This video could not be prepared.');
    await says('Not a video: text.');
    await inspect('asset-failed');
    server.assets.clear();
    await page.reload();
    await says('This video is not here any more.');
    await inspect('asset-gone');
  });

  test('a collection is watched from one to the next', async () => {
    server.add(asset('m2', 'The second evening, which has a much longer name than the others have'));
    server.add(asset('m3', 'notes.txt', { state: 'failed', rungs: [] }));
    server.add(asset('m4', 'The last evening', { state: 'processing', rungs: ['180'] }));
    server.collection = ['m1', 'm2', 'm3', 'm4'];
    await page.goto(server.origin + COLLECTION);
    await says('River evenings');
    await says('0 of 4 watched');
    await page.locator('.big-play').waitFor();
    assert.equal(await page.locator('[aria-current] .item-name').textContent(), '1. Holiday at the river');
    assert.equal(await page.getByRole('button', { name: 'Previous' }).isDisabled(), true);
    await until(() => [...document.querySelectorAll('.item img')].filter((image) => image.naturalWidth > 0).length === 3);
    await inspect('collection');
    await play();
    await playedBeyond(0.5);
    await seek(39.5);
    await says('Next in 5 seconds: The second evening');
    await picture('collection-next');
    await says('1 of 4 watched');
    await until(() => window.location.hash === '#m2');
    await until(() => window.__anabranch.video.currentTime > 0.5 && !window.__anabranch.video.paused);
    assert.match(await page.locator('[aria-current] .item-more').textContent(), /^Now showing/);
    await seek(20);
    await until(() => window.__anabranch.video.currentTime > 20.2);
    // What failed is passed over.
    await press('Next');
    await until(() => window.location.hash === '#m4');
    assert.equal(await page.getByRole('button', { name: 'Next', exact: true }).isDisabled(), true);
    assert.match(await page.locator('.item-more').nth(1).textContent(), /5\d % watched/);
    await inspect('collection-progress');
    await page.locator('.item').first().click();
    await until(() => window.location.hash === '#m1');
    await page.getByLabel('Play the next one by itself').uncheck();
    await playedBeyond(0.3);
    await seek(39.5);
    await until(() => window.__anabranch.video.ended);
    assert.equal(await page.locator('.soon').isVisible(), false);
    await page.reload();
    await page.locator('.big-play').waitFor();
    assert.equal(await page.getByLabel('Play the next one by itself').isChecked(), false);
    assert.equal(await page.locator('[aria-current] .item-name').textContent(), '1. Holiday at the river', 'the address names it');
  });

  test('a collection that does not admit the viewer says so', async () => {
    server.good.clear();
    server.refusal = 'you may not watch this collection: ask who gave you the link';
    await page.goto(server.origin + COLLECTION);
    await says('You may not watch this collection: ask who gave you the link.');
    await inspect('collection-refused');
  });

  test('the pages are for everyone while they play, in light and dark, wide and on a phone', async () => {
    server.add(asset('m2', 'The-second-evening-without-any-place-to-break-its-name-in-two-on-a-phone'));
    server.collection = ['m1', 'm2'];
    for (const [link, name] of [[PAGE, 'asset'], [COLLECTION, 'collection']]) {
      await page.goto(server.origin + link);
      await page.locator('.big-play').waitFor();
      await play();
      await playedBeyond(0.5);
      await page.getByLabel('Captions', { exact: true }).selectOption({ label: 'English' });
      // Controls stay while they have the focus.
      await page.getByLabel('Position', { exact: true }).focus();
      await inspect(`${name}-plays`);
    }
  });
});
