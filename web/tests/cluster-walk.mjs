// SPDX-License-Identifier: Apache-2.0 OR MIT
// Walks the console of a cluster of a real server as an operator does, in a real Chromium: logs in, finds the cluster, closes a region,
// sees it closed by whom, since when and why, opens it again, and closes it once more as a drill that ends by itself. Prints a JSON line
// at each step, and `{"done":true,…}` at the end; a fault of a page, or a word that does not come, is said and makes it fail.
//
//   node tests/cluster-walk.mjs --url http://127.0.0.1:9997 --name ada --password … --cluster show --region west [--seconds 60]
//
// `{"step":"closing"}`, `{"step":"opening"}` and `{"step":"drilling"}` come right before the button is pressed, so that whoever runs it
// can see what viewers get from then on. SCREENSHOTS=folder keeps pictures.

import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openBrowser } from './support/browser.mjs';

const { values: given } = parseArgs({
  options: {
    url: { type: 'string' },
    name: { type: 'string' },
    password: { type: 'string' },
    cluster: { type: 'string' },
    region: { type: 'string' },
    seconds: { type: 'string', default: '60' },
  },
});
const { url, name, password, cluster, region } = given;
if (!url || !name || !password || !cluster || !region) throw new Error('say --url, --name, --password, --cluster and --region');
const WAIT = Number(given.seconds) * 1_000;
/** How long what an operator has said may take to be told by the page. */
const TOLD_MS = 10_000;
const DRILL_SECONDS = 5;
const CLOSE_WHY = 'the line is worked on';
const OPEN_WHY = 'the line is back';
const DRILL_WHY = 'monthly drill';

const say = (line) => console.log(JSON.stringify(line));
const faults = [];
let browser;
let page;

const picture = async (of) => {
  if (!process.env.SCREENSHOTS) return;
  await mkdir(process.env.SCREENSHOTS, { recursive: true });
  await page.screenshot({ path: join(process.env.SCREENSHOTS, `cluster-walk-${of}.png`) });
};
const button = (of) => page.getByRole('button', { name: of, exact: true });
const inDialog = (of) => page.getByRole('dialog').getByRole('button', { name: of, exact: true });
const heading = (of) => page.getByRole('heading', { level: 1, name: of, exact: true }).waitFor();
const row = () => page.locator(`tr[data-id="${region}"]`);
const badgeOf = (rows, text) => rows.locator('.badge', { hasText: text }).first();
const flat = async (of) => (await of.innerText()).replace(/\s+/g, ' ').trim();

/** Waits until a region's row says all of this, and gives its words. */
async function rowSays(badge, words, timeout = TOLD_MS) {
  const wanted = [badge, ...words];
  await page.waitForFunction(
    ({ of, texts }) => {
      const row = document.querySelector(`tr[data-id="${of}"]`);
      const badges = [...(row?.querySelectorAll('.badge') ?? [])].map((one) => one.textContent.trim());
      // Until every edge does as is said, the row says that as well.
      return badges.includes(texts[0]) && !badges.includes('Edges follow') && texts.slice(1).every((text) => row.textContent.includes(text));
    },
    { of: region, texts: wanted },
    { timeout },
  );
  return flat(row());
}

/** Since when the row says that it is so. */
const since = () => row().locator('td[data-label="Last change"] time').getAttribute('datetime');

/** Fails when a change is told that was not now. */
function isNow(at, what) {
  const off = Math.abs(Date.now() - new Date(at).getTime());
  if (!(off < 60_000)) throw new Error(`${what} is said to be of ${at}`);
}

async function enter() {
  await page.goto(new URL('/login?return=/clusters', url).href);
  await page.getByLabel(/^(user )?name$/i).fill(name);
  await page.getByLabel('Password', { exact: true }).fill(password);
  await page.getByRole('button', { name: /^log in$/i }).click();
  await heading('Clusters');
  // Before the log-in the server refuses to say who is there, which Chromium counts as an error.
  page.on('console', (message) => message.type() === 'error' && faults.push(`${message.text()} (${message.location().url})`));
  say({ step: 'entered' });
}

async function find() {
  const mine = page.getByRole('row').filter({ has: page.getByRole('link', { name: cluster, exact: true }) });
  await badgeOf(mine, /^\s*(\d+) of \1 open\s*$/).waitFor({ timeout: WAIT });
  await badgeOf(mine, /^\s*(\d+) of \1 fresh\s*$/).waitFor({ timeout: WAIT });
  await picture('clusters');
  say({ step: 'found', words: await flat(mine) });
  await page.getByRole('link', { name: cluster, exact: true }).click();
  await heading(cluster);
  const words = await rowSays('Open', [], WAIT);
  await picture('cluster');
  say({ step: 'cluster', id: new URL(page.url()).pathname.split('/').at(-1), words });
}

async function close() {
  await button(`Close ${region}`).click();
  await page.getByRole('dialog').getByText(/Edges answer 404/).waitFor();
  await page.getByLabel(/Reason/).fill(CLOSE_WHY);
  await picture('closing');
  say({ step: 'closing' });
  await inDialog('Close region').click();
  const words = await rowSays('Closed', [`by an operator, ${name}: ${CLOSE_WHY}`]);
  const at = await since();
  isNow(at, 'the closing');
  await page.locator('.page-head .badge', { hasText: '1 of 2 open' }).waitFor({ timeout: TOLD_MS });
  await picture('closed');
  say({ step: 'closed', words, since: at });
}

/** The entry of the history that says it. */
async function history(what, why) {
  await page.getByRole('link', { name: 'History' }).click();
  const entry = page.locator('ol.lines > li').filter({ hasText: `${region} ${what}` }).filter({ hasText: `by ${name} at` }).filter({ hasText: why }).first();
  await entry.waitFor({ timeout: TOLD_MS });
  const at = await entry.locator('time').first().getAttribute('datetime');
  isNow(at, `“${what}” in the history`);
  const words = await flat(entry);
  await picture(`history-${what}`);
  say({ step: 'history', words, at });
  await page.getByRole('link', { name: /^Regions/ }).click();
  await row().waitFor();
}

async function listed() {
  await page.getByRole('link', { name: 'Clusters', exact: true }).first().click();
  await heading('Clusters');
  const mine = page.getByRole('row').filter({ has: page.getByRole('link', { name: cluster, exact: true }) });
  await badgeOf(mine, '1 of 2 open').waitFor({ timeout: TOLD_MS });
  say({ step: 'listed', words: await flat(mine) });
  await page.getByRole('link', { name: cluster, exact: true }).click();
  await heading(cluster);
}

async function open() {
  await button(`Open ${region}`).click();
  await page.getByLabel(/Reason/).fill(OPEN_WHY);
  say({ step: 'opening' });
  await inDialog('Open region').click();
  const words = await rowSays('Open', [`by an operator, ${name}: ${OPEN_WHY}`]);
  const at = await since();
  isNow(at, 'the opening');
  await picture('opened');
  say({ step: 'opened', words, since: at });
}

async function handBack() {
  // A drill would end the operator's word, so that it is refused while that stands.
  await button(`More of ${region}`).click();
  await page.getByRole('menuitem', { name: 'Leave to the automat…' }).click();
  await inDialog('Leave to the automat').click();
  await page.getByText(`${region} is left to the automat.`).first().waitFor({ timeout: TOLD_MS });
  say({ step: 'handed back' });
}

async function drill() {
  // It must be fresh again before it is practised on, or nobody knows what the drill has shown.
  await rowSays('Fresh', [], WAIT);
  await button(`More of ${region}`).click();
  await page.getByRole('menuitem', { name: 'Drill…' }).click();
  await page.getByLabel('Seconds').fill(String(DRILL_SECONDS));
  await page.getByLabel(/Reason/).fill(DRILL_WHY);
  say({ step: 'drilling' });
  await inDialog('Begin drill').click();
  const words = await rowSays('Closed', [`by a drill, ${name}: ${DRILL_WHY}`, 'ends']);
  await picture('drill');
  say({ step: 'drill', words });
  await rowSays('Open', [], DRILL_SECONDS * 1_000 + TOLD_MS);
  say({ step: 'drilled' });
}

try {
  browser = await openBrowser();
  page = await browser.newPage({ viewport: { width: 1360, height: 860 } });
  page.setDefaultTimeout(30_000);
  page.on('pageerror', (error) => faults.push(String(error)));
  await enter();
  await find();
  await close();
  await history('closed', CLOSE_WHY);
  await listed();
  await open();
  await history('open', OPEN_WHY);
  await handBack();
  await drill();
  await history('drill', DRILL_WHY);
  say({ done: true, faults });
  if (faults.length) process.exitCode = 1;
} catch (error) {
  if (page) await picture('failed').catch(() => {});
  const saw = await page?.locator('main').innerText({ timeout: 1_000 }).catch(() => '');
  say({ done: false, error: String(error), at: page?.url(), saw, faults });
  process.exitCode = 1;
} finally {
  await browser?.close();
}
