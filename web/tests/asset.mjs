#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0 OR MIT
// Watches the page of a real asset, or of a collection, in a real Chromium and says what it was like.
//
//   node tests/asset.mjs --url URL [--timeout S] [--screenshot FILE]
//
// Waits until there is something to play, presses Play, tries the scrub bar and the captions, seeks into the middle,
// pauses, and loads the page anew. It prints one JSON line and exits 0:
//   {title, words, played_seconds, width, height, duration, qualities, audio, captions, cue, tile, poster, items, resume, errors}
// `cue` is the text of the captions that were shown; `tile` and `poster` are sizes of pictures that were loaded, null
// when there was none; `items` are the names of a collection; `resume` is the button that offers to go on. When nothing
// can be played within S seconds (60 unless told) the line has title and words alone, and the exit code is 1; 2 is a
// wrong call.

import { parseArgs } from 'node:util';
import { openBrowser } from './support/browser.mjs';

const { url, timeout, screenshot } = readOptions();
const wait = { timeout };
const browser = await openBrowser();
try {
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
  page.setDefaultTimeout(timeout);
  await page.goto(url);
  const ready = () => page.waitForFunction(() => window.__anabranch?.video?.readyState >= 1, null, wait);
  const opened = await ready().then(
    () => true,
    () => false,
  );
  const found = opened ? await watch(page) : {};
  process.stdout.write(`${JSON.stringify({ ...(await words(page)), ...found })}\n`);
  process.exitCode = opened ? 0 : 1;
} finally {
  await browser.close();
}

async function watch(page) {
  const until = (check, argument) => page.waitForFunction(check, argument, wait);
  await page.locator('.big-play').click();
  await until(() => window.__anabranch.stats.playedSeconds > 1);
  const tile = await scrub(page);
  const captions = await options(page, 'Captions');
  const cue = captions.length > 1 ? await caption(page) : null;
  const middle = await page.evaluate(() => (window.__anabranch.video.currentTime = window.__anabranch.video.duration * 0.55));
  await until((at) => window.__anabranch.video.currentTime > at + 0.5, middle);
  const seen = await page.evaluate(async () => {
    const { video, stats } = window.__anabranch;
    const load = async (src) => {
      const image = new Image();
      image.src = src;
      await image.decode();
      return { width: image.naturalWidth, height: image.naturalHeight };
    };
    return {
      played_seconds: Number(stats.playedSeconds.toFixed(2)),
      width: video.videoWidth,
      height: video.videoHeight,
      duration: video.duration,
      errors: stats.errors,
      poster: video.poster ? await load(video.poster).catch(() => null) : null,
      items: [...document.querySelectorAll('.item-name')].map((name) => name.textContent),
    };
  });
  const menus = { qualities: await options(page, 'Quality'), audio: await options(page, 'Audio'), captions };
  if (screenshot) await page.screenshot({ path: screenshot });
  await page.getByRole('button', { name: 'Pause', exact: true }).click();
  await page.reload();
  const resume = page.getByRole('button', { name: /^Resume at/ });
  await resume.waitFor();
  return { ...seen, ...menus, cue, tile, resume: await resume.textContent() };
}

/** Size of the sheet under the pointer; null when no picture came. */
async function scrub(page) {
  const box = await page.getByLabel('Position', { exact: true }).boundingBox();
  await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  return page.evaluate(async () => {
    const { backgroundImage } = getComputedStyle(document.querySelector('.scrub-picture'));
    const src = /^url\("(.+)"\)$/.exec(backgroundImage)?.[1];
    if (!src) return null;
    const image = new Image();
    image.src = src;
    await image.decode();
    return { width: image.naturalWidth, height: image.naturalHeight };
  });
}

async function caption(page) {
  await page.getByLabel('Captions', { exact: true }).selectOption({ index: 1 });
  const shown = await page.waitForFunction(() => {
    const track = [...window.__anabranch.video.textTracks].find(({ mode }) => mode === 'showing');
    return track?.activeCues?.[0]?.text || null;
  }, null, wait);
  return shown.jsonValue();
}

function options(page, label) {
  return page.getByLabel(label, { exact: true }).locator('option').allTextContents();
}

function words(page) {
  return page.evaluate(() => {
    const text = (selector) => document.querySelector(selector)?.textContent ?? '';
    return { title: text('.screen-title'), words: [text('.badge'), text('.headline'), text('.hint')].filter(Boolean).join(' / ') };
  });
}

function readOptions() {
  try {
    const { values } = parseArgs({
      options: { url: { type: 'string' }, timeout: { type: 'string', default: '60' }, screenshot: { type: 'string' } },
    });
    const timeout = Number(values.timeout) * 1000;
    if (!values.url || !(timeout > 0)) throw new Error('--url is needed');
    return { ...values, timeout };
  } catch (error) {
    process.stderr.write(`asset.mjs: ${error.message}\n`);
    process.exit(2);
  }
}
