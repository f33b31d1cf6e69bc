// SPDX-License-Identifier: Apache-2.0 OR MIT
// The operator's desk in a real Chromium against the stand-in control plane. `SCREENSHOTS=folder` keeps pictures, `ONLY=name,…` chooses.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import './support/ts.mjs';
import { openBrowser } from './support/browser.mjs';
import { isBuilt } from './support/dist.mjs';
import { makePreview } from './support/preview.mjs';

const { FakeDesk, busyDesk } = await import('./support/desk.ts');
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const PHONE = { width: 360, height: 740 };
const WIDE = { width: 1360, height: 860 };
/** A picture shows the whole page: the navigation is not cut where the first screen ends. */
const WHOLE = '.shell .side-inner { max-height: none; mask-image: none }';
const ONLY = process.env.ONLY?.split(',');

/** What the page of viewers counts is who is in its list. */
const fewViewers = (desk) => {
  desk.breakouts[0].viewers = desk.viewers.filter(({ exited_at }) => !exited_at).length;
};
const nobody = (desk) => {
  desk.loggedIn = false;
};
const dialog = (button) => async (page) => {
  await page.getByRole('button', { name: button, exact: true }).first().click();
  await page.getByRole('dialog').waitFor();
};

const editCluster = async (page) => {
  await page.getByRole('button', { name: 'More of this cluster' }).click();
  await page.getByRole('menuitem', { name: 'Edit…' }).click();
  await page.getByRole('dialog').getByText('More settings').click();
  await page.getByLabel('Multivariant changes').scrollIntoViewIfNeeded();
};

/** Pages with a word that is there once they are read; `set` changes the stand-in before, `act` what is done then. */
const PAGES = [
  ['overview', '/', 'Needs attention'],
  ['channels', '/channels', 'Main stage'],
  ['channel', '/channels/ch-main', 'Push URL', { act: (page) => page.waitForFunction(() => /L/.test(document.querySelector('.chart path')?.getAttribute('d') ?? '')) }],
  ['channel-json', '/channels/ch-main?tab=json', 'As the API gives it'],
  ['breakouts', '/breakouts', 'Spring final'],
  ['breakout', '/breakouts/b-final', 'Stream log', { act: (page) => page.waitForFunction(() => (document.querySelector('video')?.currentTime ?? 0) > 1) }],
  ['breakout-idle', '/breakouts/b-rehearsal', 'Push to the channel, then start'],
  ['breakout-viewers', '/breakouts/b-final?tab=viewers', 'anna@example.com', { set: fewViewers }],
  ['breakout-recording', '/breakouts/b-qual?tab=recording', 'Session 1'],
  ['breakout-charges', '/breakouts/b-final?tab=charges', 'Not settled yet'],
  ['live', '/live', 'Harbour Media'],
  ['explore', '/explore', 'Created from'],
  ['clusters', '/clusters', 'Europe'],
  ['cluster', '/clusters/cl-1', 'this server'],
  ['cluster-playlists', '/clusters/cl-1?tab=playlists', '720p'],
  ['cluster-votes', '/clusters/cl-1?tab=votes', 'watcher-2'],
  ['cluster-history', '/clusters/cl-1?tab=history', 'monthly drill'],
  ['cluster-settings', '/clusters/cl-1?tab=settings', 'Automat'],
  ['nowhere', '/nowhere', 'There is nothing at this address'],
  ['log-in', '/login', 'Corp SSO', { set: nobody }],
  ['setup', '/setup', 'Make the owner', { set: (desk) => ((desk.setup = true), nobody(desk)) }],
  ['new-channel', '/channels', 'Main stage', { act: dialog('New channel') }],
  ['new-breakout', '/breakouts', 'Spring final', { act: dialog('New breakout') }],
  ['share', '/breakouts/b-rehearsal', 'Push to the channel, then start', { act: dialog('Share') }],
  ['new-cluster', '/clusters', 'Europe', { act: dialog('New cluster') }],
  ['edit-cluster', '/clusters/cl-1', 'this server', { act: editCluster }],
  ['join-cluster', '/clusters', 'Europe', { act: dialog('Join cluster') }],
];
/** The same, with nothing there. */
const EMPTY = [
  ['overview-empty', '/', 'From nothing to on air'],
  ['channels-empty', '/channels', 'No channel yet'],
  ['breakouts-empty', '/breakouts', 'No breakout yet'],
  ['clusters-empty', '/clusters', 'No cluster'],
];

describe('desk', () => {
  let browser, desk, page, faults, preview;

  before(async () => {
    assert.ok(isBuilt(), 'run `npm run build` first');
    [browser, preview] = await Promise.all([openBrowser(), makePreview()]);
  });
  after(async () => {
    await browser?.close();
    await preview?.remove();
  });
  beforeEach(async () => {
    desk = await new FakeDesk().start();
    preview.rewind();
    desk.media = preview.serve;
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

  const says = (text) => page.getByText(text).first().waitFor();
  const open = (path) => page.goto(desk.origin + path);
  const picture = async (name) => {
    if (!process.env.SCREENSHOTS) return;
    await mkdir(process.env.SCREENSHOTS, { recursive: true });
    await page.screenshot({ path: join(process.env.SCREENSHOTS, `desk-${name}.png`), fullPage: !(await page.locator('dialog[open]').count()), animations: 'disabled', style: WHOLE });
  };
  const fits = async (what) => {
    const [content, width] = await page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
    return content <= width ? [] : [`${what} is ${content} px wide in a window of ${width} px`];
  };
  const axe = async (what) => {
    await page.evaluate((source) => void (window.axe ?? (0, eval)(source)), AXE);
    const found = await page.evaluate(() => window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }));
    const words = found.violations.map(({ id, help, nodes }) => `${id}: ${help}\n${nodes.slice(0, 4).map((node) => `    ${node.target.join(' ')} ${node.failureSummary?.split('\n')[1]?.trim() ?? ''}`).join('\n')}`);
    return words.map((one) => `${what}: ${one}`);
  };
  /** Light and dark, wide and on a phone: no violation, nothing wider than the window. */
  const inspect = async (name) => {
    const found = [];
    for (const [size, viewport] of [['wide', WIDE], ['phone', PHONE]]) {
      await page.setViewportSize(viewport);
      for (const colorScheme of ['light', 'dark']) {
        await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
        await picture(`${name}-${size}-${colorScheme}`);
        found.push(...(await fits(`${name} ${size}`)), ...(await axe(`${name} ${size} ${colorScheme}`)));
      }
    }
    await page.setViewportSize(WIDE);
    await page.emulateMedia({ colorScheme: 'light' });
    assert.deepEqual(found, [], found.join('\n'));
  };

  for (const [name, path, words, { set, act } = {}] of PAGES) {
    test(`${name} is for everyone, in both themes, wide and on a phone`, { skip: ONLY && !ONLY.includes(name) }, async () => {
      busyDesk(desk);
      set?.(desk);
      await open(path);
      await says(words);
      await act?.(page);
      await inspect(name);
    });
  }
  for (const [name, path, words] of EMPTY) {
    test(`${name} says how to begin`, { skip: ONLY && !ONLY.includes(name) }, async () => {
      await open(path);
      await says(words);
      await inspect(name);
    });
  }
  test('search finds what is called so', { skip: ONLY && !ONLY.includes('search') }, async () => {
    busyDesk(desk);
    await open('/');
    await says('Needs attention');
    await page.keyboard.press('Control+k');
    await page.getByRole('combobox', { name: 'Search' }).fill('s');
    await page.getByRole('option', { name: /Spring final/ }).waitFor();
    await inspect('search');
  });
  test('who asks for no motion sees none, not even of colours', { skip: Boolean(ONLY) }, async () => {
    busyDesk(desk);
    await page.emulateMedia({ colorScheme: 'light', reducedMotion: 'reduce' });
    await open('/');
    await says('Needs attention');
    await page.evaluate(() => {
      window.moved = 0;
      document.addEventListener('transitionrun', () => (window.moved += 1));
    });
    await page.emulateMedia({ colorScheme: 'dark', reducedMotion: 'reduce' });
    const moved = await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => resolve(window.moved)))));
    assert.equal(moved, 0, 'elements move from one theme to the other');
  });
  test('the menu of a phone leads everywhere', { skip: ONLY && !ONLY.includes('menu') }, async () => {
    busyDesk(desk);
    await page.setViewportSize(PHONE);
    await open('/');
    await says('Needs attention');
    await page.getByRole('button', { name: 'Menu', exact: true }).click();
    await page.getByRole('dialog').getByRole('link', { name: 'Channels' }).waitFor();
    const found = [];
    for (const colorScheme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      await picture(`menu-phone-${colorScheme}`);
      found.push(...(await axe(`menu ${colorScheme}`)));
    }
    assert.deepEqual(found, [], found.join('\n'));
  });
});
