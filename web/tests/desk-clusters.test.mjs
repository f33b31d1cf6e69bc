// SPDX-License-Identifier: Apache-2.0 OR MIT
// Clusters by page, in a real Chromium against the stand-in control plane: made, joined, changed, taken over from a peer. Each form is
// looked at in both themes, wide and on a phone. `SCREENSHOTS=folder` keeps pictures.

import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import './support/ts.mjs';
import { accessible } from './support/axe.mjs';
import { openBrowser } from './support/browser.mjs';
import { isBuilt } from './support/dist.mjs';

const { FakeDesk, busyDesk } = await import('./support/desk.ts');
const PHONE = { width: 360, height: 740 };
const WIDE = { width: 1360, height: 860 };

describe('clusters by page', () => {
  let browser, desk, page, faults;

  before(async () => {
    assert.ok(isBuilt(), 'run `npm run build` first');
    browser = await openBrowser();
  });
  after(() => browser?.close());
  beforeEach(async () => {
    desk = await new FakeDesk().start();
    page = await browser.newPage({ viewport: WIDE });
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
  const dialog = () => page.getByRole('dialog');
  const field = (label, within = dialog()) => within.getByLabel(label);
  const region = (number) => dialog().getByRole('group', { name: new RegExp(`^Region ${number}`) });
  const send = (name) => dialog().getByRole('button', { name, exact: true }).click();
  const more = async (item) => {
    await button('More of this cluster').click();
    await page.getByRole('menuitem', { name: item }).click();
  };
  /** The words of the server are there, and at this control. */
  const refusedAt = async (control, words) => {
    await says(words);
    assert.equal(await control.getAttribute('aria-invalid'), 'true');
    const described = (await control.getAttribute('aria-describedby')).split(' ').at(-1);
    assert.match(await page.locator(`[id="${described}"]`).innerText(), words);
  };
  const inspect = async (name) => {
    for (const [size, viewport] of [['wide', WIDE], ['phone', PHONE]]) {
      await page.setViewportSize(viewport);
      for (const colorScheme of ['light', 'dark']) {
        await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
        const what = `${name}, ${size}, ${colorScheme}`;
        if (process.env.SCREENSHOTS) {
          await mkdir(process.env.SCREENSHOTS, { recursive: true });
          await page.screenshot({ path: join(process.env.SCREENSHOTS, `${what.replaceAll(', ', '-')}.png`), animations: 'disabled' });
        }
        const [content, width] = await page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
        assert.ok(content <= width, `${what} is ${content} px wide in a window of ${width} px`);
        const wide = await page.evaluate(() => [...document.querySelectorAll('dialog[open] *')].filter((one) => one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).overflowX === 'auto').map((one) => one.className));
        assert.deepEqual(wide, [], `${what} has to be scrolled sideways`);
        await accessible(page, what);
      }
    }
    await page.setViewportSize(WIDE);
    await page.emulateMedia({ colorScheme: 'light' });
  };

  test('where there is none, the page says how to begin, and one is made', async () => {
    desk.distributions = busyDesk(new FakeDesk()).distributions;
    await open('/clusters');
    await says('No cluster yet');
    await says('Where the other server has the cluster already, join it');
    await inspect('clusters-empty');
    await button('Create cluster').click();
    await inspect('cluster-new');
    await field('Name', dialog()).first().fill('Europe');
    await field('Name', region(1)).fill('north');
    await field('Playlist at its origin', region(1)).fill('https://north.example.com/{breakout}/index.m3u8');
    await field('Name', region(2)).fill('south');
    await field('Playlist at its origin', region(2)).fill('ftp://south.example.com/index.m3u8');
    await field('Address of its API', region(2)).fill('https://control-south.example.com');
    await field('Token for its API', region(2)).fill('a-token-of-the-south');
    await field('This server is').selectOption('north');
    await send('Create cluster');
    await refusedAt(field('Playlist at its origin', region(2)), /begins with http/i);
    assert.equal(await field('Playlist at its origin', region(1)).getAttribute('aria-invalid'), null);
    await inspect('cluster-new-refused');
    await field('Playlist at its origin', region(2)).fill('https://south.example.com/index.m3u8');
    await field('Name', region(2)).fill('north');
    await send('Create cluster');
    await refusedAt(field('Name', region(2)), /two regions have the same name/i);
    await field('Name', region(2)).fill('south');
    await send('Create cluster');
    await heading('Europe');
    const { body } = asked('POST /v1/clusters').at(-1);
    assert.deepEqual(body, {
      name: 'Europe',
      here: 'north',
      automat: { mode: 'automatic' },
      watch: { vote: 'majority', preset: 'default' },
      regions: [
        { name: 'north', origin_url: 'https://north.example.com/{breakout}/index.m3u8' },
        { name: 'south', origin_url: 'https://south.example.com/index.m3u8', peer: { url: 'https://control-south.example.com', token: 'a-token-of-the-south' } },
      ],
    });
  });

  test('a cluster of a peer is joined, and tokens that miss are asked for by name', async () => {
    await open('/clusters');
    await button('Join one of a peer').click();
    await field('Address of its API').fill('https://control-elsewhere.example.com');
    await field('Token for its API').fill('a-token-of-the-north');
    await field('Name of the cluster there').fill('Europe');
    await field('This server is').fill('east');
    await send('Join cluster');
    await says('The peer has no cluster "Europe": create it there, too');
    await field('Address of its API').fill('https://control-north.example.com');
    await send('Join cluster');
    await refusedAt(field('This server is'), /no region with this name/);
    await field('This server is').fill('south');
    await send('Join cluster');
    await says(/Region "west" is an instance of its own/);
    assert.equal(await field('Region', dialog()).last().inputValue(), 'west');
    await refusedAt(field('Token for its API').last(), /Region "west" is an instance of its own/);
    await inspect('cluster-join');
    await field('Token for its API').last().fill('a-token-of-the-west');
    await send('Join cluster');
    await heading('Europe');
    const { body } = asked('POST /v1/clusters/join').at(-1);
    assert.deepEqual(body, {
      name: 'Europe',
      here: 'south',
      peer: { url: 'https://control-north.example.com', token: 'a-token-of-the-north' },
      tokens: { west: 'a-token-of-the-west' },
    });
  });

  test('a cluster is changed: regions, their order and settings; tokens stay', async () => {
    busyDesk(desk);
    const was = structuredClone(desk.clusters[0]);
    await open('/clusters/cl-1');
    await more('Edit…');
    assert.equal(await field('Name', region(1)).inputValue(), 'north');
    assert.equal(await field('Address of its API', region(2)).inputValue(), 'https://control-south.example.com');
    await says('Empty keeps the one that this server has.');
    await inspect('cluster-edit');
    await button('Prefer region 2 to region 1').click();
    assert.equal(await field('Name', region(1)).inputValue(), 'south');
    await field('Who closes and opens').selectOption('manual');
    await dialog().getByText('More settings').click();
    await field(/^Opened when fresh for/).fill('90');
    await field('A playlist has changed when').selectOption('content-hash');
    await field('Looks per segment').fill('4');
    await field(/^Answer within/).fill('1.5');
    await field('Multivariant changes').selectOption('yes');
    await inspect('cluster-edit-more');
    await send('Save');
    await says('Europe is changed.');
    await dialog().waitFor({ state: 'detached' });
    const { body } = asked('PATCH /v1/clusters/cl-1').at(-1);
    assert.deepEqual(body.regions.map(({ name }) => name), ['south', 'north']);
    assert.deepEqual(body.regions[0].peer, { url: 'https://control-south.example.com' }, 'without the token, which stays');
    assert.deepEqual([body.here, body.automat], ['north', { ...was.automat, mode: 'manual', hold_ms: 90_000 }]);
    assert.deepEqual(body.watch, { vote: 'majority', preset: 'default', silence_ms: 10_000, multiplier: 1.5, change_detect: 'content-hash', poll_divisor: 4, timeout_ms: 1_500, reload: true });
    await says('Operators decide');

    // Another address needs a token of its own, and a field that is folded away is unfolded to be corrected.
    await more('Edit…');
    await field('Address of its API', region(1)).fill('https://elsewhere.example.com');
    assert.equal(await field('Token for its API', region(1)).evaluate((one) => one.required), true);
    await field('Address of its API', region(1)).fill('https://control-south.example.com');
    desk.routes.set('PATCH /v1/clusters/cl-1', () => {
      throw { status: 422, detail: 'cool_down_ms is 0 to 3600000: -1', field: 'cool_down_ms' };
    });
    await send('Save');
    await refusedAt(field(/^Between closings/), /cool_down_ms is 0 to/i);
  });

  test('what a peer defines otherwise is said and taken over', async () => {
    busyDesk(desk);
    desk.clusters[0].regions[1].peer.differs = 'regions, automat';
    await open('/clusters/cl-1');
    await says('differs: regions, automat');
    await inspect('cluster-differs');
    await button('Take over what south defines').click();
    await says('Its definition differs: regions, automat.');
    await send('Take over');
    await refusedAt(field('Token for its API'), /Region "west" is an instance of its own/);
    await inspect('cluster-pull');
    await field('Token for its API').fill('a-token-of-the-west');
    await send('Take over');
    await says('Europe is as its peer defines it.');
    assert.deepEqual(asked('POST /v1/clusters/cl-1/pull').at(-1).body, { region: 'south', tokens: { west: 'a-token-of-the-west' } });
    await page.locator('tr[data-id=west]').waitFor();
    await more('Take over a definition…');
    await dialog().getByText('Regions, their order').waitFor();
  });

  test('one who may not define clusters is not asked to', async () => {
    busyDesk(desk).role = 'operator';
    desk.clusters[0].regions[1].peer.differs = 'regions';
    await open('/clusters/cl-1');
    await says('differs: regions');
    assert.equal(await button(/Take over/).count(), 0);
    await button('More of north').waitFor();
    assert.equal(await page.getByRole('menuitem', { name: 'Edit…', includeHidden: true }).count(), 0);
    assert.equal(await page.getByRole('menuitem', { name: /Take over/, includeHidden: true }).count(), 0);
    desk.clusters = [];
    await open('/clusters');
    await says('No cluster yet');
    for (const name of ['New cluster', 'Join cluster', 'Create cluster', 'Join one of a peer']) assert.equal(await button(name).count(), 0, name);
  });
});
