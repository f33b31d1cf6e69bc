// SPDX-License-Identifier: Apache-2.0 OR MIT
// What people do in the library, in delivery, with users and with what is counted, in a real Chromium against the stand-in.

import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { library } from './support/library-page.mjs';

const { busyLibrary } = await import('./support/library.ts');

/** Nobody has told how well it played. */
const QUIET = { sessions: 0, startup_ms: null, rebuffer_ratio: null, rebuffer_count: 0, bitrate_kbps: null, buffer_starved: 0, buffer_ms: null, throughput_kbps: null };

describe('library', () => {
  const t = library();
  let folder;
  before(async () => (folder = await mkdtemp(join(tmpdir(), 'anabranch-files-'))));
  after(() => rm(folder, { recursive: true, force: true }));

  /** A file of that many bytes, to be chosen. */
  const film = async (name, size) => {
    const path = join(folder, name);
    await writeFile(path, Buffer.alloc(size, name));
    return path;
  };

  test('files are uploaded, with progress, a fault on the way, and what becomes of them', async () => {
    t.desk.buckets = [{ name: 'uploads', preset: 'standard', mirror: false, house: false, distribution: null, created_at: new Date().toISOString() }];
    t.desk.cuts = Infinity;
    t.desk.slow = 60;
    await t.open('/library');
    await t.says('Drop video or audio files here');
    await t.page.getByLabel('Files to upload').setInputFiles([await film('first.mp4', 24_000_000), await film('second.mp4', 6_000_000)]);
    await t.says('Uploading');
    await t.says('Connection lost');
    await t.picture('upload-retrying');
    t.desk.cuts = 0;
    await t.page.getByRole('link', { name: 'Open first.mp4' }).waitFor();
    await t.page.getByRole('link', { name: 'Open second.mp4' }).waitFor();
    assert.deepEqual([...t.desk.uploads.values()].map(({ bytes, size }) => bytes === size), [true, true]);
    await t.says('Being made');
    await t.axe('uploads');
    await t.page.getByRole('link', { name: 'Open first.mp4' }).click();
    await t.page.getByRole('heading', { level: 1, name: 'first.mp4' }).waitFor();
    await t.says('It can be played as soon as its first rung is there.');
  });

  test('an upload is paused, taken up after a reload with the same file, and nothing secret is kept', async () => {
    t.desk.buckets = [{ name: 'uploads', preset: 'standard', mirror: false, house: false, distribution: null, created_at: new Date().toISOString() }];
    t.desk.slow = 200;
    await t.open('/library');
    const long = await film('long.mp4', 40_000_000);
    await t.page.getByLabel('Files to upload').setInputFiles(long);
    await t.page.waitForFunction(() => /\d+ %/.test(document.querySelector('.upload .progress-words')?.textContent ?? '') && !/^0 %/.test(document.querySelector('.upload .progress-words')?.textContent ?? ''));
    await t.page.getByRole('button', { name: 'Pause long.mp4' }).click();
    await t.says('Paused');
    await t.page.getByRole('button', { name: 'Resume long.mp4' }).click();
    await t.says('Uploading');
    await t.page.getByRole('button', { name: 'Pause long.mp4' }).click();
    const kept = await t.page.evaluate(() => JSON.stringify({ ...localStorage, ...sessionStorage }));
    assert.ok(kept.includes('long.mp4') && !kept.includes('word-of-this-session'), kept);
    await t.page.reload();
    await t.says('Unfinished');
    await t.picture('upload-unfinished');
    await t.axe('an unfinished upload');
    t.desk.slow = 0;
    const before = [...t.desk.uploads.values()][0].bytes;
    assert.ok(before > 0);
    await t.page.getByLabel('Files to upload').setInputFiles(long);
    await t.page.getByText('Uploaded', { exact: true }).first().waitFor();
    assert.equal(t.desk.uploads.size, 1, 'it goes on in the same upload');
    assert.equal([...t.desk.uploads.values()][0].bytes, 40_000_000);
  });

  test('files are dropped onto the page', async () => {
    busyLibrary(t.desk);
    await t.open('/library');
    await t.says('Festival film.mxf');
    const data = await t.page.evaluateHandle(() => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([new Uint8Array(5000)], 'dropped.mp4', { type: 'video/mp4' }));
      return transfer;
    });
    await t.page.dispatchEvent('body', 'dragenter', { dataTransfer: data });
    await t.says('Drop to upload into uploads');
    await t.picture('upload-drop');
    await t.page.dispatchEvent('body', 'drop', { dataTransfer: data });
    await t.page.getByRole('link', { name: 'Open dropped.mp4' }).waitFor();
  });

  test('an asset plays, is renamed, gets captions, links and is deleted', async () => {
    busyLibrary(t.desk);
    await t.open('/library/a-river');
    await t.page.waitForFunction(() => document.querySelector('.preview video')?.readyState >= 1);
    await t.page.evaluate(() => {
      const video = document.querySelector('.preview video');
      video.muted = true;
      void video.play();
    });
    await t.page.waitForFunction(() => document.querySelector('.preview video').currentTime > 0.5);

    await t.page.getByRole('button', { name: 'Rename' }).click();
    await t.axe('renaming');
    await t.page.getByRole('textbox', { name: 'Name' }).fill('A night by the river');
    await t.page.getByRole('button', { name: 'Save' }).click();
    await t.page.getByRole('heading', { level: 1, name: 'A night by the river' }).waitFor();

    await t.page.getByRole('button', { name: 'Add', exact: true }).click();
    const file = (text) => ({ name: 'film.pt-BR.srt', mimeType: 'application/x-subrip', buffer: Buffer.from(text) });
    await t.page.getByLabel('File', { exact: true }).setInputFiles(file('nothing'));
    await t.page.getByRole('button', { name: 'Add captions' }).click();
    await t.says('The file has no lines: send WebVTT or SubRip.');
    await t.axe('refused captions');
    await t.page.getByLabel('File', { exact: true }).setInputFiles(file('1\n00:00:01,000 --> 00:00:02,000\nOla\n'));
    await t.page.getByRole('button', { name: 'Add captions' }).click();
    await t.says('pt-BR, 2 lines');

    await t.page.getByLabel('Viewer').fill('anna');
    await t.page.getByLabel('Opens for').selectOption({ label: '7 days' });
    await t.page.getByRole('button', { name: 'Make link' }).click();
    await t.page.getByLabel('Watch link', { exact: true }).waitFor();
    assert.match(await t.page.getByLabel('Code to embed', { exact: true }).inputValue(), /^<iframe src="http.*&amp;Signature=/);
    const [sign] = t.asked('POST /v1/assets/a-river/play-url').slice(-1);
    assert.deepEqual(sign.body, { expires_in_seconds: 604_800, preview: false, user: 'anna' });

    await t.page.getByRole('button', { name: 'Delete', exact: true }).click();
    const remove = t.page.getByRole('button', { name: 'Delete asset' });
    assert.equal(await remove.getAttribute('aria-disabled'), 'true');
    await t.page.getByLabel(/to confirm/).fill('A night by the river');
    await remove.click();
    await t.page.waitForURL('**/library');
    assert.equal(t.desk.assets.some(({ id }) => id === 'a-river'), false);
  });

  test('posters move under the pointer', async () => {
    busyLibrary(t.desk);
    await t.open('/library');
    const thumb = t.page.locator('.thumb:has(img)').first();
    await thumb.hover({ position: { x: 100, y: 50 } });
    await thumb.locator('.tile').waitFor();
    await t.picture('scrub');
  });

  test('a collection is put in order by the keyboard and by dragging, with undo', async () => {
    busyLibrary(t.desk);
    await t.open('/collections/c-evenings');
    await t.page.getByRole('button', { name: /^Move Harbour at dawn.mov, number 2/ }).focus();
    await t.page.keyboard.press('ArrowUp');
    await t.page.getByRole('button', { name: /^Move Harbour at dawn.mov, number 1/ }).waitFor();
    assert.equal(t.desk.collections[0].assets[0], 'a-harbour');
    await t.page.waitForFunction(() => document.activeElement?.getAttribute('data-handle') === 'a-harbour');
    const rows = t.page.locator('.arrange li');
    await rows.nth(0).dragTo(rows.nth(2));
    await t.page.waitForFunction(() => document.querySelectorAll('.arrange a')[0]?.textContent?.includes('river'));
    await t.page.getByRole('button', { name: 'Add assets' }).first().click();
    await t.page.getByRole('checkbox', { name: /Podcast/ }).check();
    await t.axe('choosing assets');
    await t.page.getByRole('dialog').getByRole('button', { name: 'Add' }).click();
    await t.says('The asset is added.');
    assert.ok(t.desk.collections[0].assets.includes('a-sound'));
  });

  test('a distribution is made by the form; a refused field is shown where it stands', async () => {
    busyLibrary(t.desk);
    await t.open('/distributions');
    await t.page.getByRole('button', { name: 'New distribution' }).first().click();
    await t.page.getByLabel('Origin', { exact: true }).fill('origin.example.com');
    await t.axe('the form of a distribution');
    await t.picture('new-distribution');
    t.desk.invalid = { detail: 'Origins.Items[0].CustomOriginConfig.OriginProtocolPolicy: not honoured: "x"', field: 'config.Origins.Items[0].CustomOriginConfig.OriginProtocolPolicy' };
    await t.page.getByRole('button', { name: 'Write the whole configuration' }).click();
    await t.page.getByRole('button', { name: 'Make distribution' }).click();
    await t.says(/line \d+/);
    const selected = await t.page.waitForFunction(() => {
      const area = document.querySelector('textarea');
      return area.selectionEnd > area.selectionStart && area.value.slice(area.selectionStart, area.selectionEnd);
    });
    assert.equal(await selected.jsonValue(), '"https-only"');
    await t.axe('a refused configuration');
    await t.picture('refused-configuration');
    t.desk.invalid = null;
    await t.page.getByRole('button', { name: 'Make distribution' }).click();
    await t.page.waitForURL('**/distributions/ENEW');
    await t.says('Waiting for the provider to hear of it.');
  });

  test('a distribution is detached, attached, invalidated, disabled and deleted', async () => {
    busyLibrary(t.desk);
    await t.open('/distributions/E2MAIN');
    const more = async (item) => {
      await t.page.getByRole('button', { name: 'More actions' }).click();
      await t.page.getByRole('menuitem', { name: item }).click();
    };
    await more('Detach from its channel');
    await t.page.getByRole('button', { name: 'Detach', exact: true }).click();
    await t.page.getByText('Detached', { exact: true }).first().waitFor();
    await more('Attach to a channel…');
    await t.page.getByLabel('Channel', { exact: true }).selectOption({ label: 'Lab' });
    await t.page.getByRole('button', { name: 'Attach', exact: true }).click();
    await t.page.getByText('Detached', { exact: true }).first().waitFor({ state: 'detached' });

    await t.page.getByRole('link', { name: 'Invalidations' }).click();
    await t.page.getByLabel('Paths').fill('/a/*\n/b');
    await t.page.getByRole('button', { name: 'Invalidate' }).click();
    await t.says('1 edge has not said so yet: edge-fra-2.');
    assert.deepEqual(t.asked('POST /v1/distributions/E2MAIN/invalidations')[0].body, { paths: ['/a/*', '/b'], tags: [] });

    await more('Disable');
    await t.page.getByRole('button', { name: 'Disable', exact: true }).click();
    await t.page.getByText('Disabled', { exact: true }).first().waitFor();
    await more('Delete');
    await t.page.getByLabel(/to confirm/).fill('e2main.cdn.example.com');
    await t.page.getByRole('button', { name: 'Delete distribution' }).click();
    await t.page.waitForURL('**/distributions');
  });

  test('no private half of a key is ever shown, nor sent', async () => {
    busyLibrary(t.desk);
    await t.open('/keys');
    await t.page.getByRole('button', { name: 'New key' }).click();
    await t.axe('the form of a key');
    await t.page.getByRole('button', { name: 'Make key' }).click();
    await t.says('KNEW00000001');
    assert.ok(!(await t.page.content()).includes('never to be shown'));
    await t.page.getByRole('button', { name: 'New key' }).click();
    await t.page.getByRole('radio', { name: /signer of my own/ }).check();
    await t.page.getByLabel('Public key').fill('-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----');
    assert.equal(await t.page.getByRole('button', { name: 'Make key' }).getAttribute('aria-disabled'), 'true');
    await t.says('That is a private key: only the public half belongs here.');
    await t.page.keyboard.press('Escape');
    await t.page.getByRole('button', { name: 'Actions for KJ01GXQK0VBQ32' }).click();
    await t.page.getByRole('menuitem', { name: 'Rotate…' }).click();
    await t.says('so nobody is shut out');
    await t.page.getByRole('button', { name: 'Add the new key' }).click();
    await t.says(/opens links from now on, beside KJ01GXQK0VBQ32/);
  });

  test('a token is shown once', async () => {
    busyLibrary(t.desk);
    await t.open('/tokens');
    await t.page.getByRole('button', { name: 'New token' }).click();
    await t.page.getByLabel('Name').fill('press');
    await t.page.getByRole('checkbox', { name: /operate/ }).check();
    await t.axe('the form of a token');
    await t.page.getByRole('button', { name: 'Make token' }).click();
    await t.says('Copy it now: it is not shown again.');
    assert.equal(await t.page.getByLabel('Token', { exact: true }).inputValue(), 'the-secret-of-the-new-token');
    assert.equal(await t.page.getByLabel('Token', { exact: true }).getAttribute('type'), 'password');
    await t.picture('token');
    await t.page.getByRole('button', { name: 'I have copied it' }).click();
    assert.ok(!(await t.page.content()).includes('the-secret-of-the-new-token'));
    const { body } = t.asked('POST /v1/tokens')[0];
    assert.deepEqual(body.scopes, ['read', 'operate']);
    assert.ok(Date.parse(body.expires_at) > Date.now() + 80 * 86_400_000);
    await t.page.getByRole('button', { name: 'Revoke press' }).click();
    await t.page.getByRole('button', { name: 'Revoke token' }).click();
    await t.says('press is revoked.');
  });

  test('privileges of a user are added and taken away', async () => {
    busyLibrary(t.desk);
    await t.open('/users/u-olga');
    await t.page.getByRole('checkbox', { name: 'channel:add, no' }).check();
    await t.page.getByRole('checkbox', { name: 'breakout:start, by the role' }).uncheck();
    await t.page.getByRole('button', { name: 'Save privileges' }).click();
    await t.says('Saved. It counts from the next request on.');
    const [{ body }] = t.asked('PATCH /v1/users/u-olga');
    assert.deepEqual(body, { privileges_added: ['breakout:delete', 'channel:add'], privileges_removed: ['asset:update', 'breakout:start'] });
    await t.open('/users/u-ada');
    await t.says('You cannot change what you yourself may do.');
    await t.open('/users/u-root');
    await t.says('Only an owner changes an owner.');
    assert.equal(await t.page.getByRole('button', { name: 'Edit' }).count(), 0);
  });

  test('one who may not delete sees no delete; what one may not see is not there', async () => {
    busyLibrary(t.desk);
    t.desk.role = 'operator';
    for (const path of ['/library/a-river', '/collections/c-evenings', '/distributions/E1CLUB', '/recordings', '/keys', '/webhooks', '/buckets/uploads']) {
      await t.open(path);
      await t.page.getByRole('heading', { level: 1 }).waitFor();
      await t.page.waitForLoadState('networkidle', { timeout: 2_000 }).catch(() => {});
      assert.equal(await t.page.getByText('Delete', { exact: true }).count(), 0, `${path} offers to delete`);
    }
    t.desk.role = 'viewer';
    const signed = t.desk.asked.length;
    await t.open('/users');
    await t.says('This page needs the privilege user:view');
    await t.open('/library');
    await t.says('Festival film.mxf');
    assert.equal(await t.page.getByRole('button', { name: 'Upload' }).count(), 0);
    assert.equal(await t.page.getByRole('link', { name: 'Users' }).count(), 0);
    assert.equal(t.desk.asked.length, signed, 'nothing is asked for that one may not');
  });

  test('a bar of the year opens its month, and that its days', async () => {
    busyLibrary(t.desk);
    await t.open('/analytics');
    await t.says('by month, in UTC');
    await t.page.locator('.opens button').last().click();
    await t.says('by day, in UTC');
    await t.page.locator('.opens button').first().click();
    await t.says('by 5 minutes, in UTC');
    await t.axe('a day of joins');
    await t.picture('joins-of-a-day');
    await t.page.goBack();
    await t.says('by day, in UTC');
  });

  test('an asset has no attendance, but how well it played is shown', async () => {
    busyLibrary(t.desk);
    t.desk.audience = { sessions: 0, viewers: 0, viewer_minutes: 0, peak_viewers: 0, joins: [], concurrent: [], platforms: [], browsers: [], systems: [] };
    await t.open('/analytics?asset=a-river');
    await t.says('Attendance is kept of breakouts.');
    await t.says('Start-up, half within');
    await t.says('Frankfurt');
    assert.equal(await t.page.getByText('Nobody watched in this time').count(), 0);
    t.desk.audience = { ...t.desk.audience, locations: [], quality: QUIET };
    await t.open('/analytics');
    await t.says('Nobody watched in this time');
  });

  test('the search leads to assets, and finds the newest of many', async () => {
    busyLibrary(t.desk);
    const [first] = t.desk.assets;
    const old = Array.from({ length: 450 }, (_, n) => ({ ...first, id: `a-old-${n}`, name: `Old film ${n}`, created_at: new Date(1.7e12 + n * 1000).toISOString() }));
    t.desk.assets.unshift(...old);
    await t.open('/library');
    await t.says('Trailer.mp4');
    assert.equal(await t.page.locator('.grid > li').first().getByText('Trailer.mp4').count(), 1, 'the newest is the first');
    await t.says('200+ assets');
    await t.page.keyboard.press('Control+k');
    await t.page.getByRole('combobox', { name: 'Search' }).fill('harbour at dawn');
    await t.page.getByRole('option', { name: /Harbour at dawn/ }).waitFor();
    await t.page.keyboard.press('Enter');
    await t.page.getByRole('heading', { level: 1, name: 'Harbour at dawn.mov' }).waitFor();
    assert.equal(new URL(t.page.url()).pathname, '/library/a-harbour');
  });

  test('what was not read to its end is said', async () => {
    busyLibrary(t.desk);
    const [, last] = t.desk.recordings;
    t.desk.recordings.unshift(...Array.from({ length: 2_100 }, (_, n) => ({ ...last, id: `r-old-${n}`, state: 'AVAILABLE', started_at: new Date(1.7e12 + n * 1000).toISOString() })));
    await t.open('/recordings');
    await t.says('200+ recordings');
  });

  test('jobs tell what waits and why, and what was given up is tried again', async () => {
    busyLibrary(t.desk);
    await t.open('/');
    await t.page.getByRole('link', { name: /^Jobs 5 1 failed/ }).click();
    await t.page.waitForURL('**/jobs?state=FAILED');
    const row = t.page.locator('tr', { hasText: 'Read a file that arrived' });
    await row.getByText('No picture and no sound were found in it.').waitFor();
    await row.getByText('5 of 5').waitFor();
    assert.equal(await t.page.locator('tbody tr').count(), 1);
    await row.getByRole('button', { name: 'Try again' }).click();
    await t.says('It is tried again as soon as a worker is free.');
    await t.says('No job has failed');
    await t.page.getByRole('link', { name: 'Show all jobs' }).click();
    await t.says('No room for 4.1 GB on the disk of worker-1.');
    assert.equal(await t.page.locator('tbody tr').count(), 8);
    await t.page.locator('tr', { hasText: 'Festival film.mxf' }).getByRole('button', { name: 'Cancel' }).click();
    await t.page.getByRole('dialog').getByRole('button', { name: 'Cancel job' }).click();
    await t.says('The job is cancelled.');
    assert.deepEqual(t.desk.asked.map(({ what }) => what), ['POST /v1/jobs/j3/retry', 'POST /v1/jobs/j5/cancel']);
    await t.page.getByRole('link', { name: 'Channels and distributions' }).click();
    await t.says('The provider answered 503 Service Unavailable.');
    await t.page.locator('td').getByRole('link', { name: 'channel Side stage' }).waitFor();
    await t.page.getByLabel('State').selectOption('running');
    await t.page.locator('tr', { hasText: 'Stop channel' }).waitFor({ state: 'detached' });
    assert.equal(await t.page.locator('tbody tr').count(), 2);
  });

  test('who may not touch jobs sees them without buttons', async () => {
    busyLibrary(t.desk);
    t.desk.role = 'viewer';
    await t.open('/jobs');
    await t.says('Make an MP4');
    assert.equal(await t.page.getByRole('button', { name: /^(Try again|Cancel)/ }).count(), 0);
  });

  test('records are counted, and lead to their pages', async () => {
    busyLibrary(t.desk);
    await t.open('/settings?tab=records');
    const row = t.page.locator('tr', { hasText: 'Log entries' });
    await row.getByText('41,207').waitFor();
    assert.equal(await t.page.locator('tr', { hasText: 'Viewer sessions' }).getByRole('link').count(), 0);
    await t.page.getByRole('link', { name: 'Key groups' }).click();
    await t.says('sponsors');
  });

  test('renditions, locations and distributions are told with minutes and peak', async () => {
    busyLibrary(t.desk);
    await t.open('/usage?by=location');
    const row = t.page.locator('table[class] tr', { hasText: 'Lisbon' });
    await row.locator('[data-label="Viewer-minutes"]').getByText('220,732').waitFor();
    await row.locator('[data-label="Peak viewers"]').getByText('1,365').waitFor();
    await t.page.getByLabel('Summed by').selectOption('rendition');
    await t.page.locator('tr', { hasText: '1080p' }).locator('[data-label="Viewer-minutes"]').getByText('434,344').waitFor();
    assert.equal(await t.page.getByText('What it took', { exact: true }).count(), 0);
  });

  test('the numbers of a chart scroll in their frame, and cover nothing below it', async () => {
    busyLibrary(t.desk);
    await t.open('/usage');
    const chart = t.page.locator('figure', { hasText: 'Bytes sent, over time' });
    await chart.getByText('Show as a table').click();
    const moved = await chart.getByRole('region', { name: 'Numbers of Bytes sent, over time' }).evaluate((frame) => {
      frame.scrollTop = frame.scrollHeight;
      return frame.scrollTop;
    });
    assert.ok(moved > 0, 'an hour of numbers does not scroll');
  });

  test('charges open into services, and collecting again changes nothing', async () => {
    busyLibrary(t.desk);
    await t.open('/charges');
    await t.page.getByRole('button', { name: 'Services of Spring final' }).click();
    await t.says('bytes of PriceClass_100');
    await t.page.getByText('How it comes about').first().click();
    await t.says('1.75 × 3.12 = 5.46');
    await t.says('Time on air in whole minutes, ten at least.');
    await t.axe('open charges');
    await t.picture('charges-open');
    await t.page.getByRole('button', { name: 'Collect now' }).click();
    await t.says('214 charges were looked at; all of them stand as they were.');
    const csv = t.page.getByRole('link', { name: 'CSV' });
    assert.match(await csv.getAttribute('href'), /^\/v1\/charges\?month=\d{4}-\d\d&by=breakout&format=csv$/);
  });

  test('the log comes live, and filters stack', async () => {
    busyLibrary(t.desk);
    await t.open('/activity');
    await t.page.getByText('Live', { exact: true }).first().waitFor();
    t.desk.happen('recording.available', { subject: { kind: 'recording', id: 'r-99' }, breakout: 'b-final' });
    await t.says('r-99');
    await t.page.getByRole('button', { name: 'Pause' }).click();
    t.desk.happen('recording.available', { subject: { kind: 'recording', id: 'r-100' } });
    await t.says('Paused, 1 new');
    await t.page.getByRole('button', { name: 'Go on' }).click();
    await t.says('r-100');
    await t.page.getByLabel('Kind').selectOption({ label: 'Seen of streams' });
    await t.page.waitForURL('**kind=stream');
    await t.page.getByLabel('Breakout').selectOption({ label: 'Spring final' });
    await t.page.getByRole('button', { name: 'Clear 2 filters' }).waitFor();
  });

  test('the password is changed, and the theme', async () => {
    busyLibrary(t.desk);
    await t.open('/settings');
    await t.page.getByLabel('Password now').fill('wrong');
    await t.page.getByLabel('New password', { exact: true }).fill('four words and more');
    await t.page.getByLabel('New password again').fill('four words and mor');
    assert.equal(await t.page.getByRole('button', { name: 'Change password' }).getAttribute('aria-disabled'), 'true');
    await t.page.getByLabel('New password again').fill('four words and more');
    await t.page.getByRole('button', { name: 'Change password' }).click();
    await t.says('The password now is another one.');
    await t.page.getByLabel('Password now').fill('correct horse battery');
    await t.page.getByRole('button', { name: 'Change password' }).click();
    await t.says('The password is changed.');
    await t.page.getByRole('button', { name: 'Dark' }).click();
    assert.equal(await t.page.evaluate(() => document.documentElement.dataset.theme), 'dark');
  });
});
