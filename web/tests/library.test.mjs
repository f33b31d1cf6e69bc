// SPDX-License-Identifier: Apache-2.0 OR MIT
// Library, delivery, people and insight in a real Chromium against the stand-in control plane. `SCREENSHOTS=folder` keeps pictures.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import './support/ts.mjs';
import { openBrowser } from './support/browser.mjs';
import { isBuilt } from './support/dist.mjs';

const { FakeLibrary, busyLibrary, makeLibraryMedia } = await import('./support/library.ts');
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const PHONE = { width: 360, height: 740 };
const WIDE = { width: 1360, height: 860 };
const ONLY = process.env.ONLY?.split(',');

/** Pages with words that are there once they are read. */
const PAGES = [
  ['assets', '/assets', 'Festival film.mxf'],
  ['asset', '/assets/a-river', '1080p'],
  ['asset-making', '/assets/a-making', 'Being made'],
  ['asset-failed', '/assets/a-failed', 'The file ends in the middle'],
  ['collections', '/collections', 'River evenings'],
  ['collection', '/collections/c-evenings', 'Harbour at dawn.mov'],
  ['recordings', '/recordings', 'Qualifying day'],
  ['buckets', '/buckets', 'archive'],
  ['bucket', '/buckets/uploads', 'broken.bin'],
  ['distributions', '/distributions', 'video.example.com'],
  ['distribution', '/distributions/E1CLUB', 'edge-fra-1'],
  ['distribution-behaviors', '/distributions/E1CLUB?tab=behaviors', '/films/*'],
  ['distribution-origins', '/distributions/E1CLUB?tab=origins', 'www-2.example.com'],
  ['distribution-invalidations', '/distributions/E1CLUB?tab=invalidations', '/index.html'],
  ['distribution-traffic', '/distributions/E1CLUB?tab=traffic', 'By behavior'],
  ['distribution-configuration', '/distributions/E1CLUB?tab=configuration', 'CacheBehaviors'],
  ['keys', '/keys', 'KPARTNER1'],
  ['key-groups', '/keys?tab=groups', 'sponsors'],
  ['access-keys', '/keys?tab=access', 'ingest camera'],
  ['nodes', '/nodes', 'edge-fra-2'],
  ['webhooks', '/webhooks', 'crm.example.net'],
  ['usage', '/usage', 'Most bytes'],
  ['charges', '/charges', 'Dearest'],
  ['prices', '/charges?tab=prices', 'Own hardware'],
  ['analytics', '/analytics', 'How well it played'],
  ['activity', '/activity', 'Failed over'],
  ['audit', '/audit', 'site builder'],
  ['users', '/users', 'Olga Reis'],
  ['user', '/users/u-olga', 'breakout'],
  ['sessions', '/sessions?tab=all', 'Firefox on Linux'],
  ['tokens', '/tokens', 'site builder'],
  ['settings', '/settings', 'Shown as'],
  ['settings-configuration', '/settings?tab=configuration', 'edge.domain_suffix'],
  ['settings-about', '/settings?tab=about', 'anabranch restore'],
];
/** The same, with nothing there. */
const EMPTY = [
  ['assets-empty', '/assets', 'Drop video or audio files here'],
  ['collections-empty', '/collections', 'No collection yet'],
  ['recordings-empty', '/recordings', 'No recording yet'],
  ['distributions-empty', '/distributions', 'No distribution yet'],
  ['webhooks-empty', '/webhooks', 'No webhook yet'],
  ['usage-empty', '/usage', 'Nothing was delivered in this time'],
  ['charges-empty', '/charges', 'No charge in'],
  ['activity-empty', '/activity', 'Nothing has happened yet'],
];

describe('library', () => {
  let browser, media, desk, page, faults;

  before(async () => {
    assert.ok(isBuilt(), 'run `npm run build` first');
    [browser, media] = await Promise.all([openBrowser(), makeLibraryMedia()]);
  });
  after(async () => {
    await browser?.close();
    await media?.remove();
  });
  beforeEach(async () => {
    desk = await new FakeLibrary().start();
    desk.media_ = media;
    page = await browser.newPage({ viewport: WIDE });
    page.setDefaultTimeout(15_000);
    faults = [];
    page.on('pageerror', (error) => faults.push(String(error)));
  });
  afterEach(async () => {
    await page.close({ runBeforeUnload: false });
    await desk.stop();
    assert.deepEqual(faults, [], 'the page threw');
  });

  const says = (text) => page.getByText(text).filter({ visible: true }).first().waitFor();
  const open = (path) => page.goto(desk.origin + path);
  const picture = async (name) => {
    if (!process.env.SCREENSHOTS) return;
    await mkdir(process.env.SCREENSHOTS, { recursive: true });
    await page.screenshot({ path: join(process.env.SCREENSHOTS, `library-${name}.png`), fullPage: true, animations: 'disabled' });
  };
  const fits = async (what) => {
    const [content, width] = await page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
    assert.ok(content <= width, `${what} is ${content} px wide in a window of ${width} px`);
  };
  const axe = async (what) => {
    await page.evaluate((source) => void (window.axe ?? (0, eval)(source)), AXE);
    const found = await page.evaluate(() => window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }));
    const words = found.violations.map(({ id, help, nodes }) => `${id}: ${help}\n${nodes.slice(0, 4).map((node) => `    ${node.target.join(' ')} ${node.failureSummary?.split('\n')[1]?.trim() ?? ''}`).join('\n')}`);
    assert.equal(words.length, 0, `${what}:\n${words.join('\n')}`);
  };
  const inspect = async (name) => {
    for (const [size, viewport] of [['wide', WIDE], ['phone', PHONE]]) {
      await page.setViewportSize(viewport);
      for (const colorScheme of ['light', 'dark']) {
        await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
        await picture(`${name}-${size}-${colorScheme}`);
        await fits(`${name} ${size}`);
        await axe(`${name} ${size} ${colorScheme}`);
      }
    }
    await page.setViewportSize(WIDE);
    await page.emulateMedia({ colorScheme: 'light' });
  };
  const asked = (what) => desk.asked.filter((one) => one.what === what);

  for (const [name, path, words] of PAGES) {
    test(`${name} is for everyone, in both themes, wide and on a phone`, { skip: ONLY && !ONLY.includes(name) }, async () => {
      busyLibrary(desk);
      await open(path);
      await says(words);
      // Posters are asked for one after the other.
      await page.waitForLoadState('networkidle', { timeout: 3_000 }).catch(() => {});
      await inspect(name);
    });
  }
  for (const [name, path, words] of EMPTY) {
    test(`${name} says how to begin`, { skip: ONLY && !ONLY.includes(name) }, async () => {
      desk.charges = false;
      desk.buckets = [{ name: 'uploads', preset: 'standard', mirror: false, house: false, distribution: null, created_at: new Date().toISOString() }];
      await open(path);
      await says(words);
      await inspect(name);
    });
  }

  if (ONLY) return;

  test('files are uploaded, with progress, a fault on the way, and what becomes of them', async () => {
    desk.buckets = [{ name: 'uploads', preset: 'standard', mirror: false, house: false, distribution: null, created_at: new Date().toISOString() }];
    desk.cuts = 1;
    desk.slow = 60;
    await open('/assets');
    await says('Drop video or audio files here');
    const film = (name, size) => ({ name, mimeType: 'video/mp4', buffer: Buffer.alloc(size, name) });
    await page.getByLabel('Files to upload').setInputFiles([film('first.mp4', 24_000_000), film('second.mp4', 6_000_000)]);
    await says('Uploading');
    await says('Connection lost');
    await picture('upload-retrying');
    await page.getByRole('link', { name: 'Open first.mp4' }).waitFor();
    await page.getByRole('link', { name: 'Open second.mp4' }).waitFor();
    assert.deepEqual([...desk.uploads.values()].map(({ bytes, size }) => bytes === size), [true, true]);
    await says('Being made');
    await axe('uploads');
    await page.getByRole('link', { name: 'Open first.mp4' }).click();
    await page.getByRole('heading', { level: 1, name: 'first.mp4' }).waitFor();
    await says('It can be played as soon as its first rung is there.');
  });

  test('an upload is paused, taken up after a reload with the same file, and nothing secret is kept', async () => {
    desk.buckets = [{ name: 'uploads', preset: 'standard', mirror: false, house: false, distribution: null, created_at: new Date().toISOString() }];
    desk.slow = 200;
    await open('/assets');
    const film = { name: 'long.mp4', mimeType: 'video/mp4', buffer: Buffer.alloc(40_000_000, 'film') };
    await page.getByLabel('Files to upload').setInputFiles(film);
    await page.waitForFunction(() => /\d+ %/.test(document.querySelector('.upload .progress-words')?.textContent ?? '') && !/^0 %/.test(document.querySelector('.upload .progress-words')?.textContent ?? ''));
    await page.getByRole('button', { name: 'Pause long.mp4' }).click();
    await says('Paused');
    await page.getByRole('button', { name: 'Resume long.mp4' }).click();
    await says('Uploading');
    await page.getByRole('button', { name: 'Pause long.mp4' }).click();
    const kept = await page.evaluate(() => JSON.stringify({ ...localStorage, ...sessionStorage }));
    assert.ok(kept.includes('long.mp4') && !kept.includes('word-of-this-session'), kept);
    await page.reload();
    await says('Unfinished');
    await picture('upload-unfinished');
    await axe('an unfinished upload');
    desk.slow = 0;
    const before = [...desk.uploads.values()][0].bytes;
    assert.ok(before > 0);
    // The file of a browser keeps its time of change; the one of a test is made anew, as another one.
    await page.getByLabel('Files to upload').setInputFiles(film);
    await page.getByText('Uploaded', { exact: true }).first().waitFor();
  });

  test('files are dropped onto the page', async () => {
    busyLibrary(desk);
    await open('/assets');
    await says('Festival film.mxf');
    const data = await page.evaluateHandle(() => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([new Uint8Array(5000)], 'dropped.mp4', { type: 'video/mp4' }));
      return transfer;
    });
    await page.dispatchEvent('body', 'dragenter', { dataTransfer: data });
    await says('Drop to upload into uploads');
    await picture('upload-drop');
    await page.dispatchEvent('body', 'drop', { dataTransfer: data });
    await page.getByRole('link', { name: 'Open dropped.mp4' }).waitFor();
  });

  test('an asset plays, is renamed, gets captions, links and is deleted', async () => {
    busyLibrary(desk);
    await open('/assets/a-river');
    await page.waitForFunction(() => document.querySelector('.preview video')?.readyState >= 1);
    await page.evaluate(() => {
      const video = document.querySelector('.preview video');
      video.muted = true;
      void video.play();
    });
    await page.waitForFunction(() => document.querySelector('.preview video').currentTime > 0.5);

    await page.getByRole('button', { name: 'Rename' }).click();
    await axe('renaming');
    await page.getByLabel('Name').fill('A night by the river');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByRole('heading', { level: 1, name: 'A night by the river' }).waitFor();

    await page.getByRole('button', { name: 'Add', exact: true }).click();
    const file = (text) => ({ name: 'film.pt-BR.srt', mimeType: 'application/x-subrip', buffer: Buffer.from(text) });
    await page.getByLabel('File', { exact: true }).setInputFiles(file('nothing'));
    await page.getByRole('button', { name: 'Add captions' }).click();
    await says('The file has no lines: send WebVTT or SubRip.');
    await axe('refused captions');
    await page.getByLabel('File', { exact: true }).setInputFiles(file('1\n00:00:01,000 --> 00:00:02,000\nOla\n'));
    await page.getByRole('button', { name: 'Add captions' }).click();
    await says('pt-BR, 2 lines');

    await page.getByLabel('Viewer').fill('anna');
    await page.getByLabel('Opens for').selectOption({ label: '7 days' });
    await page.getByRole('button', { name: 'Make link' }).click();
    await page.getByLabel('Watch link', { exact: true }).waitFor();
    assert.match(await page.getByLabel('Code to embed', { exact: true }).inputValue(), /^<iframe src="http.*&amp;Signature=/);
    const [sign] = asked('POST /v1/assets/a-river/play-url').slice(-1);
    assert.deepEqual(sign.body, { expires_in_seconds: 604_800, preview: false, user: 'anna' });

    await page.getByRole('button', { name: 'Delete', exact: true }).click();
    const remove = page.getByRole('button', { name: 'Delete asset' });
    assert.equal(await remove.getAttribute('aria-disabled'), 'true');
    await page.getByLabel(/to confirm/).fill('A night by the river');
    await remove.click();
    await page.waitForURL('**/assets');
    assert.equal(desk.assets.some(({ id }) => id === 'a-river'), false);
  });

  test('posters move under the pointer', async () => {
    busyLibrary(desk);
    await open('/assets');
    const thumb = page.locator('.thumb:has(img)').first();
    await thumb.hover({ position: { x: 100, y: 50 } });
    await thumb.locator('.tile').waitFor();
    await picture('scrub');
  });

  test('a collection is put in order by the keyboard and by dragging, with undo', async () => {
    busyLibrary(desk);
    await open('/collections/c-evenings');
    await page.getByRole('button', { name: /^Move Harbour at dawn.mov, number 2/ }).focus();
    await page.keyboard.press('ArrowUp');
    await page.getByRole('button', { name: /^Move Harbour at dawn.mov, number 1/ }).waitFor();
    assert.equal(desk.collections[0].assets[0], 'a-harbour');
    await page.waitForFunction(() => document.activeElement?.getAttribute('data-handle') === 'a-harbour');
    const rows = page.locator('.arrange li');
    await rows.nth(0).dragTo(rows.nth(2));
    await page.waitForFunction(() => document.querySelectorAll('.arrange a')[0]?.textContent?.includes('river'));
    await page.getByRole('button', { name: 'Add assets' }).first().click();
    await page.getByRole('checkbox', { name: /Podcast/ }).check();
    await axe('choosing assets');
    await page.getByRole('dialog').getByRole('button', { name: 'Add' }).click();
    await says('The asset is added.');
    assert.ok(desk.collections[0].assets.includes('a-sound'));
  });

  test('a distribution is made by the form; a refused field is shown where it stands', async () => {
    busyLibrary(desk);
    await open('/distributions');
    await page.getByRole('button', { name: 'New distribution' }).first().click();
    await page.getByLabel('Origin').fill('origin.example.com');
    await axe('the form of a distribution');
    await picture('new-distribution');
    desk.invalid = { detail: 'Origins.Items[0].CustomOriginConfig.OriginProtocolPolicy: not honoured: "x"', field: 'config.Origins.Items[0].CustomOriginConfig.OriginProtocolPolicy' };
    await page.getByRole('button', { name: 'Write the whole configuration' }).click();
    await page.getByRole('button', { name: 'Make distribution' }).click();
    await says(/line \d+/);
    const selected = await page.waitForFunction(() => {
      const area = document.querySelector('textarea');
      return area.selectionEnd > area.selectionStart && area.value.slice(area.selectionStart, area.selectionEnd);
    });
    assert.equal(await selected.jsonValue(), '"https-only"');
    await axe('a refused configuration');
    await picture('refused-configuration');
    desk.invalid = null;
    await page.getByRole('button', { name: 'Make distribution' }).click();
    await page.waitForURL('**/distributions/ENEW');
    await says('Waiting for the provider to hear of it.');
  });

  test('a distribution is detached, attached, invalidated, disabled and deleted', async () => {
    busyLibrary(desk);
    await open('/distributions/E2MAIN');
    const more = async (item) => {
      await page.getByRole('button', { name: 'More actions' }).click();
      await page.getByRole('menuitem', { name: item }).click();
    };
    await more('Detach from its channel');
    await page.getByRole('button', { name: 'Detach', exact: true }).click();
    await page.getByText('Detached', { exact: true }).first().waitFor();
    await more('Attach to a channel…');
    await page.getByLabel('Channel').selectOption({ label: 'Lab' });
    await page.getByRole('button', { name: 'Attach', exact: true }).click();
    await page.getByText('Detached', { exact: true }).first().waitFor({ state: 'detached' });

    await page.getByRole('link', { name: 'Invalidations' }).click();
    await page.getByLabel('Paths').fill('/a/*\n/b');
    await page.getByRole('button', { name: 'Invalidate' }).click();
    await says('1 edge has not said so yet: edge-fra-2.');
    assert.deepEqual(asked('POST /v1/distributions/E2MAIN/invalidations')[0].body, { paths: ['/a/*', '/b'], tags: [] });

    await more('Disable');
    await page.getByRole('button', { name: 'Disable', exact: true }).click();
    await page.getByText('Disabled', { exact: true }).first().waitFor();
    await more('Delete');
    await page.getByLabel(/to confirm/).fill('e2main.cdn.example.com');
    await page.getByRole('button', { name: 'Delete distribution' }).click();
    await page.waitForURL('**/distributions');
  });

  test('no private half of a key is ever shown, nor sent', async () => {
    busyLibrary(desk);
    await open('/keys');
    await page.getByRole('button', { name: 'New key' }).click();
    await axe('the form of a key');
    await page.getByRole('button', { name: 'Make key' }).click();
    await says('KNEW00000001');
    assert.ok(!(await page.content()).includes('never to be shown'));
    await page.getByRole('button', { name: 'New key' }).click();
    await page.getByRole('radio', { name: /signer of my own/ }).check();
    await page.getByLabel('Public key').fill('-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----');
    assert.equal(await page.getByRole('button', { name: 'Make key' }).getAttribute('aria-disabled'), 'true');
    await says('That is a private key: only the public half belongs here.');
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'Actions for KJ01GXQK0VBQ32' }).click();
    await page.getByRole('menuitem', { name: 'Rotate…' }).click();
    await says('so nobody is shut out');
    await page.getByRole('button', { name: 'Add the new key' }).click();
    await says(/opens links from now on, beside KJ01GXQK0VBQ32/);
  });

  test('a token is shown once', async () => {
    busyLibrary(desk);
    await open('/tokens');
    await page.getByRole('button', { name: 'New token' }).click();
    await page.getByLabel('Name').fill('press');
    await page.getByRole('checkbox', { name: /operate/ }).check();
    await axe('the form of a token');
    await page.getByRole('button', { name: 'Make token' }).click();
    await says('Copy it now: it is not shown again.');
    assert.equal(await page.getByLabel('Token', { exact: true }).inputValue(), 'the-secret-of-the-new-token');
    assert.equal(await page.getByLabel('Token', { exact: true }).getAttribute('type'), 'password');
    await picture('token');
    await page.getByRole('button', { name: 'I have copied it' }).click();
    assert.ok(!(await page.content()).includes('the-secret-of-the-new-token'));
    const { body } = asked('POST /v1/tokens')[0];
    assert.deepEqual(body.scopes, ['read', 'operate']);
    assert.ok(Date.parse(body.expires_at) > Date.now() + 80 * 86_400_000);
    await page.getByRole('button', { name: 'Revoke press' }).click();
    await page.getByRole('button', { name: 'Revoke token' }).click();
    await says('press is revoked.');
  });

  test('privileges of a user are added and taken away', async () => {
    busyLibrary(desk);
    await open('/users/u-olga');
    await page.getByRole('checkbox', { name: 'channel:add, no' }).check();
    await page.getByRole('checkbox', { name: 'breakout:start, by the role' }).uncheck();
    await page.getByRole('button', { name: 'Save privileges' }).click();
    await says('Saved. It counts from the next request on.');
    const [{ body }] = asked('PATCH /v1/users/u-olga');
    assert.deepEqual(body, { privileges_added: ['breakout:delete', 'channel:add'], privileges_removed: ['asset:update', 'breakout:start'] });
    await open('/users/u-ada');
    await says('You cannot change what you yourself may do.');
    await open('/users/u-root');
    await says('Only an owner changes an owner.');
    assert.equal(await page.getByRole('button', { name: 'Edit' }).count(), 0);
  });

  test('one who may not delete sees no delete; what one may not see is not there', async () => {
    busyLibrary(desk);
    desk.role = 'operator';
    for (const path of ['/assets/a-river', '/collections/c-evenings', '/distributions/E1CLUB', '/recordings', '/keys', '/webhooks', '/buckets/uploads']) {
      await open(path);
      await page.getByRole('heading', { level: 1 }).waitFor();
      await page.waitForLoadState('networkidle', { timeout: 2_000 }).catch(() => {});
      assert.equal(await page.getByText('Delete', { exact: true }).count(), 0, `${path} offers to delete`);
    }
    desk.role = 'viewer';
    await open('/users');
    await says('This page needs the privilege user:view');
    await open('/assets');
    await says('Festival film.mxf');
    assert.equal(await page.getByRole('button', { name: 'Upload' }).count(), 0);
    assert.equal(await page.getByRole('link', { name: 'Users' }).count(), 0);
    assert.equal(asked('POST /v1/assets/a-river/play-url').length, 4 * 0, 'nothing is signed for one who may not');
  });

  test('a bar of the year opens its month, and that its days', async () => {
    busyLibrary(desk);
    await open('/analytics');
    await says('by month, in UTC');
    await page.locator('.opens button').last().click();
    await says('by day, in UTC');
    await page.locator('.opens button').first().click();
    await says('by two minutes, in UTC');
    await axe('a day of joins');
    await picture('joins-of-a-day');
    await page.goBack();
    await says('by day, in UTC');
  });

  test('charges open into services, and collecting again changes nothing', async () => {
    busyLibrary(desk);
    await open('/charges');
    await page.getByRole('button', { name: 'Services of Spring final' }).click();
    await says('bytes of PriceClass_100');
    await axe('open charges');
    await picture('charges-open');
    await page.getByRole('button', { name: 'Collect now' }).click();
    await says('214 charges were looked at; all of them stand as they were.');
    const csv = page.getByRole('link', { name: 'CSV' });
    assert.match(await csv.getAttribute('href'), /^\/v1\/charges\?month=\d{4}-\d\d&by=breakout&format=csv$/);
  });

  test('the log comes live, and filters stack', async () => {
    busyLibrary(desk);
    await open('/activity');
    await page.getByText('Live', { exact: true }).first().waitFor();
    desk.happen('recording.available', { subject: { kind: 'recording', id: 'r-99' }, breakout: 'b-final' });
    await says('r-99');
    await page.getByRole('button', { name: 'Pause' }).click();
    desk.happen('recording.available', { subject: { kind: 'recording', id: 'r-100' } });
    await says('Paused, 1 new');
    await page.getByRole('button', { name: 'Go on' }).click();
    await says('r-100');
    await page.getByLabel('Kind').selectOption({ label: 'Seen of streams' });
    await page.waitForURL('**kind=stream');
    await page.getByLabel('Breakout').selectOption({ label: 'Spring final' });
    await page.getByRole('button', { name: 'Clear 2 filters' }).waitFor();
  });

  test('the password is changed, and the theme', async () => {
    busyLibrary(desk);
    await open('/settings');
    await page.getByLabel('Password now').fill('wrong');
    await page.getByLabel('New password', { exact: true }).fill('four words and more');
    await page.getByLabel('New password again').fill('four words and mor');
    assert.equal(await page.getByRole('button', { name: 'Change password' }).getAttribute('aria-disabled'), 'true');
    await page.getByLabel('New password again').fill('four words and more');
    await page.getByRole('button', { name: 'Change password' }).click();
    await says('The password now is another one.');
    await page.getByLabel('Password now').fill('correct horse battery');
    await page.getByRole('button', { name: 'Change password' }).click();
    await says('The password is changed.');
    await page.getByRole('button', { name: 'Dark' }).click();
    assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), 'dark');
  });
});
