// SPDX-License-Identifier: Apache-2.0 OR MIT
// Walks a real server in a real Chromium: logs in, uploads a file through the library, sees its progress and how it is made, plays it,
// makes a link that opens the viewer's page, and deletes the asset. Prints what it found as JSON, and fails when a step does.
//
//   node tests/library-walk.mjs --url http://127.0.0.1:9997 --name ada --password '…' [--file film.mp4]
//     --file FILE       what is uploaded; without it ffmpeg makes 20 seconds of a test picture
//     --bucket NAME     where it goes; the first bucket that makes assets if it is missing
//     --keep            leaves the asset there
//     --reload          loads the page anew in the middle of the upload, and goes on with the same file
//     --timeout S       longest wait for a step, 180 by default
//     SCREENSHOTS=folder keeps pictures of the steps

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { openBrowser } from './support/browser.mjs';

const { values: options } = parseArgs({
  options: {
    url: { type: 'string' },
    name: { type: 'string' },
    password: { type: 'string' },
    file: { type: 'string' },
    bucket: { type: 'string' },
    keep: { type: 'boolean', default: false },
    reload: { type: 'boolean', default: false },
    timeout: { type: 'string', default: '180' },
  },
});
const { url, name, password } = options;
if (!url || !name || !password) throw new Error('say --url, --name and --password');
const WAIT = Number(options.timeout) * 1000;
/** A line on which a small file takes long enough to be seen. */
const SLOW_BYTES_PER_SECOND = 4_000_000;

const folder = await mkdtemp(join(tmpdir(), 'anabranch-walk-'));
const file = options.file ?? join(folder, `walk-${Date.now()}.mp4`);
if (!options.file) {
  // Another sound each time: a file that is known already would be the asset that it became before.
  const tone = 200 + Math.floor(Math.random() * 4_000);
  const picture = ['-f', 'lavfi', '-i', 'testsrc2=size=1280x720:rate=25:duration=20', '-f', 'lavfi', '-i', `sine=frequency=${tone}:duration=20`];
  await promisify(execFile)('ffmpeg', ['-v', 'error', '-nostdin', '-y', ...picture, '-c:v', 'libx264', '-preset', 'ultrafast', '-b:v', '6M', '-pix_fmt', 'yuv420p', '-g', '50', '-c:a', 'aac', file]);
}
const size = (await stat(file)).size;
const title = basename(file);
const found = { file: title, bytes: size, steps: [] };
const began = performance.now();
const step = (what, more = {}) => found.steps.push({ what, after_ms: Math.round(performance.now() - began), ...more });

const browser = await openBrowser();
const page = await browser.newPage({ viewport: { width: 1360, height: 860 } });
page.setDefaultTimeout(WAIT);
const faults = [];
page.on('pageerror', (error) => faults.push(String(error)));
const picture = async (what) => {
  if (!process.env.SCREENSHOTS) return;
  await mkdir(process.env.SCREENSHOTS, { recursive: true });
  await page.screenshot({ path: join(process.env.SCREENSHOTS, `walk-${what}.png`), fullPage: true });
};

try {
  await page.goto(new URL('/login?return=/library', url).href);
  await page.getByLabel(/^(user )?name$/i).fill(name);
  await page.getByLabel('Password', { exact: true }).fill(password);
  await page.getByRole('button', { name: /^log in$/i }).click();
  await page.getByRole('heading', { level: 1, name: 'Library' }).waitFor();
  step('logged in');

  if (options.bucket) await page.goto(new URL(`/library?bucket=${encodeURIComponent(options.bucket)}`, url).href);
  await page.getByRole('button', { name: /^(Upload|Choose files)$/ }).first().waitFor();
  const line = await page.context().newCDPSession(page);
  await line.send('Network.enable');
  const speed = (uploadThroughput) => line.send('Network.emulateNetworkConditions', { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput });
  await speed(SLOW_BYTES_PER_SECOND);
  const percent = () => page.locator('.upload .progress-words').first();
  const moving = () => page.waitForFunction(() => /[1-9]\d* %/.test(document.querySelector('.upload .progress-words')?.textContent ?? ''), null, { timeout: WAIT });

  await page.getByLabel('Files to upload').setInputFiles(file);
  await moving();
  step('the upload moves', { shown: (await percent().textContent())?.trim() });
  await picture('uploading');
  await page.getByRole('button', { name: `Pause ${title}` }).click();
  await page.getByText('Paused', { exact: true }).first().waitFor();
  step('paused');
  if (options.reload) {
    await page.reload();
    await page.getByText('Unfinished', { exact: true }).first().waitFor();
    await page.getByLabel('Files to upload').setInputFiles(file);
    step('taken up after a reload');
  } else {
    await page.getByRole('button', { name: `Resume ${title}` }).click();
    step('resumed');
  }
  await speed(-1);

  const link = page.getByRole('link', { name: `Open ${title}` });
  await link.waitFor();
  step('uploaded, and known as an asset');
  await link.click();
  await page.waitForURL('**/library/*');
  await page.locator('.page-title .badge').first().waitFor();
  // A file that was there before has the name that it got then.
  const heading = (await page.getByRole('heading', { level: 1 }).textContent())?.trim() ?? title;
  found.asset = new URL(page.url()).pathname.split('/').at(-1);
  await picture('being-made');

  await page.waitForFunction(() => (document.querySelector('.preview video')?.readyState ?? 0) >= 1, null, { timeout: WAIT });
  step('playable', { badge: (await page.locator('.page-title .badge').first().textContent())?.trim() });
  await page.evaluate(() => {
    const video = document.querySelector('.preview video');
    video.muted = true;
    void video.play();
  });
  await page.waitForFunction(() => document.querySelector('.preview video').currentTime > 1, null, { timeout: WAIT });
  step('plays in the desk');

  await page.locator('.page-title .badge', { hasText: 'Ready' }).waitFor();
  const rungs = await page.locator('table tbody tr').count();
  step('ready', { renditions: rungs });
  await picture('ready');

  await page.getByRole('button', { name: 'Make link' }).click();
  const field = page.getByLabel('Watch link', { exact: true });
  await field.waitFor();
  const watch = await browser.newPage();
  await watch.goto(await field.inputValue());
  await watch.getByRole('button', { name: 'Play', exact: true }).first().click({ timeout: WAIT });
  await watch.waitForFunction(() => (document.querySelector('video')?.currentTime ?? 0) > 1, null, { timeout: WAIT });
  await watch.close();
  step('plays for a viewer');

  if (!options.keep) {
    await page.getByRole('button', { name: 'Delete', exact: true }).click();
    await page.getByLabel(/to confirm/).fill(heading);
    await page.getByRole('button', { name: 'Delete asset' }).click();
    await page.waitForURL('**/library');
    step('deleted');
  }
  assert.deepEqual(faults, [], 'a page threw');
  found.ok = true;
} catch (error) {
  await picture('failed').catch(() => {});
  found.ok = false;
  found.why = String(error);
  process.exitCode = 1;
} finally {
  await browser.close();
  await rm(folder, { recursive: true, force: true });
}
console.log(JSON.stringify(found));
