// SPDX-License-Identifier: Apache-2.0 OR MIT
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ticks, timeTicks } from '../../src/desk/lib/chart.ts';
import { bitrate, bytes, clockwise, duration, money, plural, relative } from '../../src/desk/lib/format.ts';
import { match } from '../../src/desk/lib/match.ts';
import { SseReader } from '../../src/desk/lib/sse.ts';
import { detailWords, stateWord, titled, typeTone } from '../../src/desk/lib/words.ts';

test('states are told in words, and unknown ones as they come', () => {
  assert.deepEqual(stateWord('breakout', 'RUNNING'), { text: 'On air', tone: 'live', icon: 'live' });
  assert.equal(stateWord('breakout', 'IDLE').text, 'Not started');
  assert.equal(stateWord('channel', 'SomethingNew').text, 'Something new');
  assert.equal(titled('input_lost'), 'Input lost');
  assert.equal(typeTone({ type: 'input.lost', details: {} }), 'trouble');
  assert.equal(typeTone({ type: 'breakout.running', details: {} }), 'good');
});

test('details of the log are told in words', () => {
  assert.equal(detailWords('input.lost', { input: 'in-2', silence_ms: 3_004 }), 'input in-2 · silence 3 s');
  assert.equal(detailWords('viewer.expelled', { session: 'v-9', user: 'carl', why: 'device_limit' }), 'session v-9 · user carl · why device limit');
  assert.equal(detailWords('alarm.raised', { alarm: 'frame_rate', detail: '14.0 pictures a second', input: 1 }), 'detail 14.0 pictures a second · input 1');
  assert.equal(detailWords('cluster.closed', { region: null, votes: [1], why: '' }), '');
});

test('numbers in units that people read', () => {
  assert.equal(bitrate(5_960_000), '6.0 Mbit/s');
  assert.equal(bitrate(128_000), '128 kbit/s');
  assert.equal(bytes(0), '0 B');
  assert.equal(bytes(999), '999 B');
  assert.equal(bytes(1_500), '1.50 kB');
  assert.equal(bytes(12_345_678), '12.3 MB');
  assert.equal(bytes(null), '–');
  assert.equal(duration(59), '59 s');
  assert.equal(duration(3_600), '1 h 0 min');
  assert.equal(duration(90), '1 min 30 s');
  assert.equal(clockwise(3_723), '1:02:03');
  assert.equal(plural(1, 'viewer'), '1 viewer');
  assert.equal(plural(1_200, 'viewer'), '1,200 viewers');
  assert.equal(relative(0, 120_000), '2 min ago');
  assert.equal(relative(120_000, 0), 'in 2 min');
  assert.match(money('1.5', 'USD'), /1\.50|1,50/);
});

test('addresses match with their parameters', () => {
  assert.deepEqual(match('/channels/:id', '/channels/a%20b'), { id: 'a b' });
  assert.deepEqual(match('/', '/'), {});
  assert.equal(match('/channels/:id', '/channels'), null);
  assert.equal(match('/channels', '/channels/a'), null);
  assert.equal(match('/channels/:id', '/channels/%'), null);
});

test('server-sent events come whole, in any pieces', () => {
  const text = ': hello\n\nid: 7\nevent: breakout.running\ndata: {"a":\ndata: 1}\n\nid: 8\r\nevent: x\r\ndata: y\r\n\r\n';
  for (const size of [1, 2, 5, 1_000]) {
    const reader = new SseReader();
    const events = [];
    for (let at = 0; at < text.length; at += size) events.push(...reader.push(text.slice(at, at + size)));
    assert.deepEqual(events, [
      { id: '7', event: 'breakout.running', data: '{"a":\n1}' },
      { id: '8', event: 'x', data: 'y' },
    ]);
  }
  assert.throws(() => new SseReader().push('data: '.padEnd(3 << 20, 'x')));
});

test('marks of a chart are round and cover everything', () => {
  assert.deepEqual(ticks(9), [0, 5, 10]);
  assert.deepEqual(ticks(0), [0, 1]);
  assert.ok(ticks(1234567).at(-1)! >= 1234567);
  const hour = 3_600_000;
  assert.deepEqual(timeTicks(0, 4 * hour, 4).map((at) => at / hour), [0, 1, 2, 3, 4]);
  assert.ok(timeTicks(0, 400 * 24 * hour, 6).length <= 8);
});
