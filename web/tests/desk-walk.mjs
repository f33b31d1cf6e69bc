// SPDX-License-Identifier: Apache-2.0 OR MIT
// Walks the desk of a real server as an operator does, in a real Chromium: log in, create a channel, start a breakout,
// watch it, fail over, stop, see recording and charges. Prints a JSON line at each step, and `{"done":true,…}` at the end.
//
//   node tests/desk-walk.mjs --url http://127.0.0.1:9997 --name ada --password … [--token …] [--label walk]
//                            [--no-charges] [--seconds 120]
//
// With `--token` the first owner is made by that name and password. Whoever runs it pushes to both URLs of the line
// `{"step":"channel","push":[…]}`, and goes on pushing until `{"step":"stopped"}`. SCREENSHOTS=folder keeps pictures.

import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openBrowser } from './support/browser.mjs';

const { values: given } = parseArgs({
  options: {
    url: { type: 'string' },
    name: { type: 'string', default: 'walker' },
    password: { type: 'string', default: 'a long enough password' },
    token: { type: 'string' },
    label: { type: 'string', default: 'walk' },
    seconds: { type: 'string', default: '120' },
    'no-charges': { type: 'boolean', default: false },
  },
});
if (!given.url) throw new Error('--url is missing');
const WAIT = Number(given.seconds) * 1_000;

const say = (line) => console.log(JSON.stringify(line));
const faults = [];
let browser;
let page;

const picture = async (name) => {
  if (!process.env.SCREENSHOTS) return;
  await mkdir(process.env.SCREENSHOTS, { recursive: true });
  await page.screenshot({ path: join(process.env.SCREENSHOTS, `walk-${name}.png`) });
};
const button = (name, options = {}) => page.getByRole('button', { name, ...options });
const says = (text) => page.getByText(text).first().waitFor({ timeout: WAIT });
const badge = (text) => page.locator('.page-head .badge', { hasText: text }).first().waitFor({ timeout: WAIT });
const playedBeyond = (seconds) =>
  page.waitForFunction((s) => (document.querySelector('video')?.currentTime ?? 0) > s, seconds, { timeout: WAIT });

async function enter() {
  await page.goto(given.url);
  if (given.token) {
    await page.getByLabel('API token').fill(given.token);
    await page.getByLabel('Your name').fill(given.name);
    await page.getByLabel('Password').fill(given.password);
    await picture('setup');
    await button('Make the owner').click();
  } else {
    // A session that is there already needs no log-in.
    await page.locator('h1').first().waitFor();
    if ((await page.locator('h1').first().textContent()) === 'Log in') {
      await page.getByLabel('Name').fill(given.name);
      await page.getByLabel('Password').fill(given.password);
      await button('Log in').click();
    }
  }
  await page.getByRole('heading', { name: 'Overview' }).waitFor({ timeout: WAIT });
  await picture('overview');
  say({ step: 'entered' });
}

async function makeChannel() {
  await page.goto(new URL('/channels', given.url).href);
  await button('New channel').click();
  await page.getByLabel('Name', { exact: true }).fill(`${given.label} channel`);
  await page.getByLabel('Preference').selectOption('equal');
  await picture('channel-new');
  await page.getByRole('dialog').getByRole('button', { name: 'Create channel' }).click();
  await page.getByRole('heading', { name: `${given.label} channel`, level: 1 }).waitFor({ timeout: WAIT });
  const push = await page.locator('input').and(page.getByLabel('URL and key in one')).evaluateAll((fields) => fields.map((field) => field.value));
  const id = new URL(page.url()).pathname.split('/').at(-1);
  await picture('channel');
  say({ step: 'channel', id, push });
  return id;
}

async function startBreakout(channel) {
  await page.goto(new URL(`/breakouts?new=1&channel=${channel}`, given.url).href);
  await page.getByLabel('Name', { exact: true }).fill(`${given.label} breakout`);
  await page.getByRole('dialog').getByRole('button', { name: 'Create breakout' }).click();
  await page.getByRole('heading', { name: `${given.label} breakout`, level: 1 }).waitFor({ timeout: WAIT });
  const id = new URL(page.url()).pathname.split('/').at(-1);
  await button('Start', { exact: true }).click();
  await badge('On air');
  say({ step: 'on-air', id });
  return id;
}

async function watch(step, seconds) {
  await says('Media flows');
  await playedBeyond(seconds);
  // A machine under load drops frames, which the panel then says.
  await page.locator('.health .badge', { hasText: /Good|Lagging|Few frames/ }).waitFor({ timeout: WAIT });
  const facts = await page.locator('.health dl').innerText();
  await picture(step);
  say({ step, health: facts.replaceAll('\n', ' ') });
}

async function failOver(channel) {
  await page.goto(new URL(`/channels/${channel}`, given.url).href);
  // Both have to be there before one can take over.
  await page.locator('.badge', { hasText: 'Receiving' }).nth(1).waitFor({ timeout: WAIT });
  const other = page.locator('button:not([aria-disabled=true])', { hasText: /^Use input/ });
  await other.waitFor({ timeout: WAIT });
  const wanted = (await other.innerText()).replace('Use input', 'Input');
  await other.click();
  await page.locator('section.card', { has: page.getByRole('heading', { name: wanted, exact: true }) }).locator('.badge', { hasText: 'In use' }).waitFor({ timeout: WAIT });
  await picture('failed-over');
  say({ step: 'failed-over', to: wanted });
}

async function stop() {
  await button('Stop', { exact: true }).click();
  await picture('stop');
  await page.getByRole('dialog').getByRole('button', { name: 'Stop breakout' }).click();
  await badge('Completed');
  say({ step: 'stopped' });
}

async function after(id) {
  await page.goto(new URL(`/breakouts/${id}?tab=recording`, given.url).href);
  await page.locator('section.card .badge', { hasText: 'Available' }).waitFor({ timeout: WAIT });
  await button('Make links').click();
  const recording = await page.locator('input').and(page.getByLabel('Play URL')).inputValue();
  await picture('recording');
  say({ step: 'recording', url: recording });
  if (given['no-charges']) return;
  await page.goto(new URL(`/breakouts/${id}?tab=charges`, given.url).href);
  await page.getByRole('heading', { name: 'Session 1' }).waitFor({ timeout: WAIT });
  await picture('charges');
  say({ step: 'charges', total: await page.locator('.card-actions strong').first().innerText() });
}

try {
  browser = await openBrowser();
  page = await browser.newPage({ viewport: { width: 1360, height: 860 } });
  page.setDefaultTimeout(30_000);
  page.on('pageerror', (error) => faults.push(String(error)));
  await enter();
  const channel = await makeChannel();
  const breakout = await startBreakout(channel);
  await watch('watching', 4);
  await failOver(channel);
  await page.goto(new URL(`/breakouts/${breakout}`, given.url).href);
  await watch('watching-again', 3);
  await stop();
  await after(breakout);
  say({ done: true, channel, breakout, faults });
  if (faults.length) process.exitCode = 1;
} catch (error) {
  if (page) await picture('failed').catch(() => {});
  say({ done: false, error: String(error), at: page?.url(), faults });
  process.exitCode = 1;
} finally {
  await browser?.close();
}
