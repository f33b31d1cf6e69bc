// SPDX-License-Identifier: Apache-2.0 OR MIT
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newestOf, type Query } from '../../src/desk/lib/all.ts';
import { jobAbout, jobWords, mayCancelJob, mayTryAgain, operationAbout, operationWords } from '../../src/desk/lib/jobs.ts';
import { recordRow } from '../../src/desk/lib/records.ts';
import { routes } from '../../src/desk/routes.ts';

test('jobs and operations are told in words, and unknown ones as they come', () => {
  assert.equal(jobWords('intake'), 'Read a file that arrived');
  assert.equal(jobWords('scrub_disks'), 'Scrub disks');
  assert.equal(operationWords('channel.create'), 'Create channel');
  assert.equal(operationWords('tidy'), 'Tidy');
});

test('what a job is about is found in its subject', () => {
  assert.deepEqual(jobAbout('asset', 'a1'), { kind: 'asset', id: 'a1', more: '' });
  assert.deepEqual(jobAbout('intake', 'uploads/2026/a b.mov'), { kind: 'bucket', id: 'uploads', more: '2026/a b.mov' });
  assert.deepEqual(jobAbout('remove-recording', 'b1/2'), { kind: 'breakout', id: 'b1', more: 'session 2' });
  assert.equal(jobAbout('remove-asset', 'a1'), null, 'it is gone');
  assert.deepEqual(operationAbout('distribution.update', 'E1'), { kind: 'distribution', id: 'E1', more: '' });
  assert.equal(operationAbout('tidy', 'x'), null);
});

test('what is over is tried again, and what is not is cancelled', () => {
  const states = ['QUEUED', 'RUNNING', 'COMPLETED', 'FAILED', 'CANCELLED'];
  assert.deepEqual(states.filter(mayTryAgain), ['FAILED', 'CANCELLED']);
  assert.deepEqual(states.filter(mayCancelJob), ['QUEUED', 'RUNNING']);
});

test('records lead to the page that lists them, for who may see it', () => {
  const row = (object: string, seen = true) => recordRow({ object, count: 3 }, routes, () => seen);
  assert.deepEqual(row('channel'), { object: 'channel', name: 'Channels', count: 3, href: '/channels' });
  assert.deepEqual([row('asset').name, row('asset').href], ['Assets', '/library']);
  assert.deepEqual([row('access_key').name, row('access_key').href], ['Access keys', '/keys?tab=access']);
  assert.deepEqual([row('log').name, row('log').href], ['Log entries', '/activity']);
  assert.deepEqual([row('viewer').name, row('viewer').href], ['Viewer sessions', null]);
  assert.deepEqual([row('disk_policy').name, row('disk_policy').href], ['Disk policies', null], 'what this page does not know');
  assert.equal(row('user', false).href, null);
});

test('a list stays in the order of the server, unless people go by another time', async () => {
  const items = ['c', 'a', 'b'].map((id) => ({ id, at: `2026-01-0${id === 'a' ? 3 : 1}` }));
  const asked: Query[] = [];
  const read = (query: Query) => {
    asked.push(query);
    const [page, next] = query.after ? [items.slice(2), null] : [items.slice(0, 2), '2'];
    return Promise.resolve({ data: { items: page, next }, response: new Response() });
  };
  const found = await newestOf(read);
  assert.deepEqual(found.items.map(({ id }) => id), ['c', 'a', 'b']);
  assert.equal(found.cut, false);
  assert.deepEqual(asked.map(({ order, after }) => [order, after]), [['newest', undefined], ['newest', '2']]);
  assert.deepEqual((await newestOf(read, ({ at }) => at)).items.map(({ id }) => id), ['a', 'c', 'b']);
});
