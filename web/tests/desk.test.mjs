// SPDX-License-Identifier: Apache-2.0 OR MIT
// What operators do at the desk, in a real Chromium against the stand-in control plane.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import './support/ts.mjs';
import { openBrowser } from './support/browser.mjs';
import { isBuilt } from './support/dist.mjs';

const { breakout, busyDesk, FakeDesk } = await import('./support/desk.ts');
const ASSETS = join(dirname(fileURLToPath(import.meta.url)), '..', 'dist', 'assets');
/** Gzipped bytes of everything that an operator may load, but for the player. */
const BUDGET_BYTES = 200_000;

test('the desk stays under its budget without the player', () => {
  assert.ok(isBuilt(), 'run `npm run build` first');
  const files = readdirSync(ASSETS);
  const read = (name) => readFileSync(join(ASSETS, name), 'utf8');
  const start = files.find((name) => /^desk-base-.*\.js$/.test(name));
  assert.ok(start, 'the chunk of the desk is there');
  const entry = files.find((name) => /^index-.*\.js$/.test(name));
  const reached = new Set([start]);
  for (const name of reached) {
    // What a chunk imports, now or later, with its styles.
    for (const [, other] of read(name).matchAll(/["'`](?:\.\/|assets\/)([\w.-]+\.(?:js|css))["'`]/g)) {
      if (other !== entry && files.includes(other) && !isPlayer(other)) reached.add(other);
    }
  }
  const sizes = [...reached].map((name) => [name, gzipSync(read(name)).length]);
  const total = sizes.reduce((sum, [, size]) => sum + size, gzipSync(read(entry)).length);
  assert.ok(reached.size > 5, `only ${reached.size} files were found`);
  assert.ok(total < BUDGET_BYTES, `${total} bytes:\n${sizes.map((one) => one.join(' ')).join('\n')}`);
  const viewers = files.filter((name) => /^(deck|screen|page|collection)-.*\.js$/.test(name));
  for (const name of viewers) assert.doesNotMatch(read(name), /desk-(base|live|more)-/, `${name} loads the desk`);
  assert.ok(viewers.length > 4, 'the pages of viewers are there');
  console.log(`# the desk is ${total} bytes gzipped in ${reached.size + 1} files`);

  function isPlayer(name) {
    return /\.js$/.test(name) && read(name).includes('hlsMediaAttaching');
  }
});

describe('desk', () => {
  let browser, desk, page, faults;

  before(async () => {
    browser = await openBrowser();
  });
  after(() => browser?.close());
  beforeEach(async () => {
    desk = await new FakeDesk().start();
    page = await browser.newPage({ viewport: { width: 1360, height: 860 } });
    page.setDefaultTimeout(15_000);
    faults = [];
    page.on('pageerror', (error) => faults.push(String(error)));
  });
  afterEach(async () => {
    await page.close();
    await desk.stop();
    assert.deepEqual(faults, [], 'the page threw');
  });

  const open = (path) => page.goto(desk.origin + path);
  const says = (text) => page.getByText(text).first().waitFor();
  const button = (name, options) => page.getByRole('button', { name, ...options });
  const heading = (name) => page.getByRole('heading', { name, level: 1 }).waitFor();
  const asked = (what) => desk.asked.filter((one) => one.what === what);

  test('logging in leads back, and says what is wrong', async () => {
    busyDesk(desk).loggedIn = false;
    await open('/channels/ch-main?tab=log');
    await heading('Log in');
    assert.equal(new URL(page.url()).search, '?return=%2Fchannels%2Fch-main%3Ftab%3Dlog');
    await page.getByLabel('Name').fill('ada');
    await page.getByLabel('Password').fill('wrong');
    await button('Log in').click();
    await says('Name or password is wrong.');
    await page.getByLabel('Password').fill('too often');
    await button('Log in').click();
    await says('Try again in 30 s.');
    const sso = page.getByRole('link', { name: 'Continue with Corp SSO' });
    assert.equal(await sso.getAttribute('href'), '/v1/login/oidc/corp?return=%2Fchannels%2Fch-main%3Ftab%3Dlog');
    await page.getByLabel('Password').fill('correct horse battery');
    await button('Log in').click();
    await heading('Main stage');
    assert.equal(new URL(page.url()).search, '?tab=log');
    const kept = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie]));
    assert.equal(kept, '[{},{},""]', 'the browser keeps no secret');
  });

  test('a link cannot lead out of the desk after the log-in', async () => {
    desk.loggedIn = false;
    for (const to of ['//evil.example', '/\\evil.example', 'https://evil.example']) {
      await open(`/login?return=${encodeURIComponent(to)}`);
      await page.getByLabel('Name').fill('ada');
      await page.getByLabel('Password').fill('correct horse battery');
      await button('Log in').click();
      await heading('Overview');
      assert.equal(new URL(page.url()).origin, desk.origin);
      desk.loggedIn = false;
    }
  });

  test('the first owner is made with the token of the server, which is not kept', async () => {
    desk.loggedIn = false;
    desk.setup = true;
    await open('/');
    await heading('Make the first owner');
    await page.getByLabel('API token').fill('another');
    await page.getByLabel('Your name').fill('ada');
    await page.getByLabel('Password').fill('correct horse battery');
    await button('Make the owner').click();
    await says('The token is not known.');
    await page.getByLabel('API token').fill('the-first-token');
    await button('Make the owner').click();
    await heading('Overview');
    await says('From nothing to on air');
    assert.equal(await page.evaluate(() => localStorage.length + sessionStorage.length), 0);
  });

  test('a session that ends anywhere leads to the log-in and back', async () => {
    busyDesk(desk);
    await open('/breakouts');
    await says('Spring final');
    desk.loggedIn = false;
    await page.getByRole('link', { name: 'Spring final' }).click();
    await heading('Log in');
    await page.getByLabel('Name').fill('ada');
    await page.getByLabel('Password').fill('correct horse battery');
    await button('Log in').click();
    await heading('Spring final');
  });

  test('an operator sees no delete, a viewer sees no button that changes anything', async () => {
    busyDesk(desk).role = 'operator';
    await open('/breakouts/b-rehearsal');
    await button('Start', { exact: true }).waitFor();
    await button('More of this breakout').click();
    await page.getByRole('menuitem', { name: 'Edit' }).waitFor();
    assert.equal(await page.getByRole('menuitem', { name: /Delete/ }).count(), 0);
    await open('/channels');
    await says('Main stage');
    assert.equal(await button('New channel').count(), 0);

    desk.role = 'viewer';
    await open('/breakouts/b-rehearsal');
    await heading('Rehearsal with a rather long name that has to be broken somewhere');
    for (const name of ['Start', 'Stop', 'Abort', 'Reset', 'Share', /curtain/]) assert.equal(await button(name).count(), 0, String(name));
    assert.equal(await page.getByRole('link', { name: 'Audit' }).count(), 0);
    await open('/audit');
    await says('This page needs the privilege audit:view');
  });

  test('a breakout is started, aborted, started, stopped and reset by the rules', async () => {
    busyDesk(desk);
    await open('/breakouts/b-rehearsal');
    const why = (name) => button(name, { exact: true }).getAttribute('title');
    await button('Start', { exact: true }).waitFor();
    assert.match(await why('Stop'), /It is not started/);
    assert.match(await why('Abort'), /only a start can be aborted/);
    await button('Stop', { exact: true }).click({ force: true });
    assert.equal(asked('POST /v1/breakouts/b-rehearsal/stop').length, 0, 'a button with a reason does nothing');
    await button('Start', { exact: true }).click();
    await page.locator('.page-head .badge', { hasText: 'Starting' }).waitFor();
    assert.match(await why('Start'), /It is starting/);
    await button('Abort', { exact: true }).click();
    await page.locator('.page-head .badge', { hasText: 'Not started' }).waitFor();
    await button('Start', { exact: true }).click();
    await page.locator('.page-head .badge', { hasText: 'Starting' }).waitFor();
    Object.assign(desk.breakouts.find(({ id }) => id === 'b-rehearsal'), { state: 'RUNNING', packaging: 'live' });
    desk.happen('breakout.running', { breakout: 'b-rehearsal' });
    await page.locator('.page-head .badge', { hasText: 'On air' }).waitFor();

    await button('Lower curtain').click();
    await page.locator('.page-head .badge', { hasText: 'Curtain down' }).waitFor();
    await button('Undo').click();
    await page.locator('.page-head .badge', { hasText: 'Curtain down' }).waitFor({ state: 'detached' });

    await button('Stop', { exact: true }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click();
    assert.equal(asked('POST /v1/breakouts/b-rehearsal/stop').length, 0);
    await button('Stop', { exact: true }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Stop breakout' }).click();
    await page.locator('.page-head .badge', { hasText: 'Completed' }).waitFor();
    assert.match(await why('Start'), /reset it first/);
    await button('Reset', { exact: true }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Reset' }).click();
    await page.locator('.page-head .badge', { hasText: 'Not started' }).waitFor();
    assert.ok(desk.asked.every(({ csrf }) => csrf === 'word-of-this-session'), 'each request carries the word');
  });

  test('a channel is created, its key is covered until it is shown, and only an idle one is deleted', async () => {
    await open('/channels');
    await says('No channel yet');
    await button('Create channel').click();
    await page.getByLabel('Name', { exact: true }).fill('Main stage');
    await page.getByRole('dialog').getByRole('button', { name: 'Create channel' }).click();
    await heading('Main stage');
    assert.equal(asked('POST /v1/channels')[0].body.inputs, 2);
    const key = page.locator('input').and(page.getByLabel('Stream key')).first();
    assert.equal(await key.getAttribute('type'), 'password');
    await button('Show stream key').first().click();
    assert.equal(await key.getAttribute('type'), 'text');
    await button('Start', { exact: true }).click();
    await page.locator('.page-head .badge', { hasText: 'Running' }).waitFor();
    await button('More of this channel').click();
    assert.match(await page.getByRole('menuitem', { name: /Delete/ }).innerText(), /It is running: stop it first/);
    await page.keyboard.press('Escape');
    await button('Stop', { exact: true }).click();
    await page.locator('.page-head .badge', { hasText: 'Idle' }).waitFor();
    await button('More of this channel').click();
    await page.getByRole('menuitem', { name: /Delete/ }).click();
    const remove = page.getByRole('dialog').getByRole('button', { name: 'Delete channel' });
    await remove.click({ force: true });
    assert.equal(asked('DELETE /v1/channels/ch-1').length, 0, 'the name has to be typed');
    await page.getByLabel('Type “Main stage” to confirm').fill('Main stage');
    await remove.click();
    await says('No channel yet');
  });

  test('what the server refuses is said at its field', async () => {
    busyDesk(desk);
    await open('/channels?new=1');
    const field = page.getByLabel('Name', { exact: true });
    await field.fill('Main stage');
    await page.getByRole('dialog').getByRole('button', { name: 'Create channel' }).click();
    await says('A channel of this name exists.');
    assert.equal(await field.getAttribute('aria-invalid'), 'true');
  });

  test('pages change as things happen, also after the stream of events was cut', async () => {
    busyDesk(desk);
    await open('/channels');
    await says('Main stage');
    const row = page.locator('tr', { hasText: 'Lab' });
    await row.getByText('Idle').waitFor();
    await page.locator('.live-dot[data-state=live]').waitFor();
    const lab = desk.channels.find(({ id }) => id === 'ch-lab');
    lab.state = 'Running';
    desk.happen('channel.running', { channel: 'ch-lab' });
    await row.getByText('Running', { exact: true }).waitFor({ timeout: 3_000 });
    desk.cut();
    lab.state = 'Stopping';
    desk.happen('channel.stopping', { channel: 'ch-lab' });
    await row.getByText('Stopping').waitFor();
    await page.locator('.live-dot[data-state=live]').waitFor();
  });

  test('a failover is used by hand only where inputs are equal', async () => {
    busyDesk(desk);
    await open('/channels/ch-main');
    await button('Use input 2').click();
    await says('Input 2 is in use.');
    assert.deepEqual(asked('POST /v1/channels/ch-main/switch')[0].body, { input: 'in-2' });
    desk.channels[0].failover.preference = 'primary';
    desk.happen('channel.changed', { channel: 'ch-main' });
    await page.waitForFunction(() => [...document.querySelectorAll('button')].some((one) => /equal preference/.test(one.title)));
  });

  test('an input says since when its encoder is there, and what is wrong with what it sends', async () => {
    busyDesk(desk);
    await open('/channels/ch-main');
    const first = page.locator('section.card', { has: page.getByRole('heading', { name: 'Input 1', exact: true }) });
    await first.getByText('Frame rate: 14.0 pictures a second, 25.0 before').waitFor();
    await first.getByText('1 h ago').waitFor();
    await page.locator('section.card', { has: page.getByRole('heading', { name: 'Alarms' }) }).getByText('Alarm: frame rate').waitFor();
    desk.happen('alarm.cleared', { channel: 'ch-main', subject: { kind: 'input', id: 'in-1' }, details: { alarm: 'frame_rate', detail: '25.0 pictures a second' } });
    await first.getByText('Frame rate: 14.0 pictures a second').waitFor({ state: 'detached' });
  });

  test('what is searched for is found however old the others are', async () => {
    desk.breakouts = Array.from({ length: 450 }, (_, index) => breakout(`b-${index}`, `Session ${index + 1}`, { tags: index === 449 ? ['finale'] : [] }));
    await open('/breakouts');
    await says('450 breakouts');
    await page.getByLabel('Name, id or tag').fill('finale');
    await says('1 of 450 breakouts');
    await page.getByRole('link', { name: 'Session 450' }).waitFor();
    await page.getByLabel('Name, id or tag').fill('nothing like that');
    await says('Take a filter away to see more.');
  });

  test('a region is closed with a reason, and the last one only by its name', async () => {
    busyDesk(desk);
    await open('/clusters/cl-1');
    await button('Open south').click();
    await page.getByLabel(/Reason/).fill('the line is back');
    await page.getByRole('dialog').getByRole('button', { name: 'Open region' }).click();
    await says('south is open.');
    assert.deepEqual(asked('POST /v1/clusters/cl-1/open')[0].body, { region: 'south', why: 'the line is back' });
    await button('Close south').click();
    await page.getByRole('dialog').getByRole('button', { name: 'Close region' }).click();
    await says('south is closed.');
    await button('Close north').click();
    await says('It is the last open region');
    await page.getByLabel('Type “north” to confirm').waitFor();
    await page.keyboard.press('Escape');
    assert.equal(asked('POST /v1/clusters/cl-1/close').length, 1);
    await button('More of north').click();
    await page.getByRole('menuitem', { name: 'Drill…' }).click();
    await page.getByLabel('Seconds').fill('30');
    await button('Begin drill').click();
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    assert.deepEqual(asked('POST /v1/clusters/cl-1/drill')[0].body, { region: 'north', seconds: 30, why: '' });
  });

  test('pages of all viewers are refreshed after a question, by who may', async () => {
    busyDesk(desk);
    await open('/breakouts/b-final');
    await button('Refresh for all viewers').click();
    await says('The pages of 1,284 viewers load anew');
    await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click();
    assert.equal(asked('POST /v1/breakouts/b-final/refresh').length, 0);
    await button('Refresh for all viewers').click();
    await page.getByRole('dialog').getByRole('button', { name: 'Refresh all' }).click();
    await says('Pages of viewers are loaded anew within seconds.');
    assert.equal(asked('POST /v1/breakouts/b-final/refresh').length, 1);
    await open('/breakouts/b-qual');
    await button('Refresh for all viewers').waitFor();
    assert.equal(await button('Refresh for all viewers').getAttribute('aria-disabled'), 'true');
    desk.role = 'viewer';
    await open('/breakouts/b-final');
    await heading('Spring final');
    await says('Audience');
    assert.equal(await button('Refresh for all viewers').count(), 0);
  });

  test('links to watch, play and embed are made and copied', async () => {
    busyDesk(desk);
    await open('/breakouts/b-final');
    await button('Share').click();
    await page.getByLabel('For whom').fill('anna');
    await button('Make links').click();
    const value = (label) => page.locator('input').and(page.getByLabel(label)).inputValue();
    assert.match(await value('Watch link'), /\/watch\/b1\?/);
    assert.match(await value('Play URL'), /\.m3u8$/);
    assert.match(await value('Embed code'), /^<iframe src="[^"]*\/embed\/b1\?Policy=p&amp;Signature=good/);
    const { body } = asked('POST /v1/breakouts/b-final/play-url').at(-1);
    assert.deepEqual(body, { expires_in_seconds: 43_200, preview: false, user: 'anna' });
  });

  test('a viewer is expelled', async () => {
    busyDesk(desk);
    await open('/breakouts/b-final?tab=viewers');
    await button('Expel carl').click();
    await page.getByRole('dialog').getByRole('button', { name: 'Expel' }).click();
    await says('carl is out.');
    assert.deepEqual(asked('POST /v1/breakouts/b-final/revoke')[0].body, { session: 'v-3' });
    await page.getByRole('cell', { name: 'carl' }).waitFor({ state: 'detached' });
  });

  test('who watched is told with exit and time watched, and kept as a file', async () => {
    busyDesk(desk);
    await open('/breakouts/b-final?tab=viewers');
    const row = page.locator('tr', { hasText: 'bo@example.com' });
    await row.getByText('48 min 20 s').waitFor();
    await row.locator('td[data-label=Left] time').waitFor();
    await page.getByText('3 watch now').waitFor();
    const [file] = await Promise.all([page.waitForEvent('download'), button('CSV').click()]);
    assert.equal(file.suggestedFilename(), 'anabranch-viewers-Spring-final.csv');
    const lines = readFileSync(await file.path(), 'utf8').trim().split('\r\n');
    assert.equal(lines.length, 5);
    assert.match(lines[0], /^session,user,entered_at,exited_at,exit_reason,/);
    assert.match(lines.at(-1), /^v-4,bo@example\.com,.*,timeout,.*,2900,Edge,Windows,/);
  });

  test('the log of a breakout is narrowed by type, time and order', async () => {
    busyDesk(desk);
    const seen = [];
    page.on('request', (request) => new URL(request.url()).pathname === '/v1/log' && seen.push(new URL(request.url()).searchParams));
    await open('/breakouts/b-final');
    const log = page.getByRole('region', { name: 'Entries' });
    await log.getByText('Failed over').waitFor();
    await button('Filter', { exact: true }).click();
    await page.getByLabel('Type').selectOption('viewer');
    await log.getByText('Failed over').waitFor({ state: 'detached' });
    desk.happen('input.lost', { breakout: 'b-final' });
    desk.happen('viewer.expelled', { breakout: 'b-final', details: { user: 'dora' } });
    await log.getByText('user dora').waitFor();
    assert.equal(await log.getByText('Signal lost').count(), 0, 'what comes is asked the same');
    await page.getByLabel('Order').selectOption('asc');
    await page.waitForFunction(() => /dora/.test(document.querySelector('.scroll .log li:last-child')?.textContent ?? ''));
    assert.equal(seen.at(-1).get('sort'), 'asc');
    assert.equal(seen.at(-1).get('type'), 'viewer');
    await button('Clear', { exact: true }).click();
    await log.getByText('Failed over').waitFor();
  });

  test('an idle channel is deleted from the list, by its name', async () => {
    busyDesk(desk);
    await open('/channels');
    await button('More of Main stage').click();
    assert.match(await page.getByRole('menuitem', { name: /Delete/ }).innerText(), /It is running: stop it first/);
    await page.keyboard.press('Escape');
    await button('More of Lab').click();
    await page.getByRole('menuitem', { name: /Delete/ }).click();
    await page.getByLabel(/to confirm/).fill('Lab');
    await page.getByRole('dialog').getByRole('button', { name: 'Delete channel' }).click();
    await says('Lab is deleted.');
    await page.locator('tr', { hasText: 'Lab' }).waitFor({ state: 'detached' });
    assert.equal(asked('DELETE /v1/channels/ch-lab').length, 1);
  });

  test('everything is found and done by keyboard', async () => {
    busyDesk(desk);
    await open('/');
    await heading('Overview');
    await page.keyboard.press('Tab');
    assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Skip to content');
    await page.keyboard.press('Control+k');
    await page.getByRole('combobox', { name: 'Search' }).fill('side');
    await page.getByRole('option', { name: /Side stage/ }).waitFor();
    await page.keyboard.press('Enter');
    await heading('Side stage');
    assert.equal(await page.evaluate(() => document.activeElement.id), 'page-title', 'the focus goes to the title of the new page');
    await open('/breakouts?state=COMPLETED');
    await page.getByRole('link', { name: 'Qualifying' }).waitFor();
    assert.equal(await page.getByRole('link', { name: 'Spring final' }).count(), 0);
    await open('/breakouts');
    await page.getByRole('link', { name: 'Spring final' }).focus();
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Space');
    await says('1 selected');
  });

  test('the theme is kept', async () => {
    await open('/');
    await button('Appearance').click();
    await page.getByRole('menuitemradio', { name: 'Dark' }).click();
    assert.equal(await page.evaluate(() => getComputedStyle(document.body).backgroundColor), 'rgb(14, 17, 22)');
    await page.reload();
    await heading('Overview');
    assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), 'dark');
  });

  test('a server that is away is said, and comes back by itself', async () => {
    busyDesk(desk);
    await page.route('**/v1/channels?*', (route) => route.abort());
    await open('/channels');
    await says('The server does not answer.');
    await page.unroute('**/v1/channels?*');
    await says('Main stage');
  });
});
