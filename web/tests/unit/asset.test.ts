// SPDX-License-Identifier: Apache-2.0 OR MIT
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Answer, WatchAsset, WatchItem } from '../../src/asset/ask.ts';
import { firstItem, neighbour, stateWords } from '../../src/asset/list.ts';
import { Carried, queryOf, renewDelay } from '../../src/player/signature.ts';
import { initial, ladder, next, pollDelay, REFUSALS_TO_BELIEVE, view, type Event, type Model } from '../../src/asset/state.ts';
import type { Playback } from '../../src/player/engine.ts';
import { clock, spoken } from '../../src/player/time.ts';

const rung = (name: string) => ({ name, width: 640, height: 360, frame_rate: 25, codecs: 'avc1', bandwidth: 1, average_bandwidth: 1 });
const asset = (more: Partial<WatchAsset> = {}): WatchAsset => ({
  id: 'm1',
  name: 'Holiday',
  state: 'ready',
  partial: false,
  progress_percent: 100,
  playlist_url: 'http://h/m1.m3u8?Signature=s',
  poster_url: null,
  sprite_url: null,
  mp4_url: null,
  duration_seconds: 10,
  rungs: [rung('360')],
  rungs_planned: 1,
  audio: [],
  captions: [],
  user: null,
  expires_at: '2030-01-01T00:00:00Z',
  expires_in_seconds: 600,
  problem: null,
  ...more,
});
const told = (answer: Answer<WatchAsset>): Event => ({ type: 'told', answer });
const known = (more: Partial<WatchAsset> = {}) => told({ kind: 'answer', body: asset(more) });
const refused = (words: string, missing = false) => told({ kind: 'refused', missing, words });
const playback = (at: Exclude<Playback['at'], 'unplayable'>): Event => ({ type: 'playback', playback: { at } });
const after = (...events: Event[]): Model => events.reduce(next, initial);
const said = (...events: Event[]) => view(after(...events));

test('an asset that is ready plays without words and is not asked for again', () => {
  const shown = said(known(), playback('playing'));
  assert.deepEqual([shown.title, shown.badge, shown.headline, shown.hint, shown.player], ['Holiday', '', '', '', 'shown']);
  assert.equal(pollDelay(after(known())), null);
});

test('what is not made yet says how far it is, and the page starts by itself', () => {
  const nothing = { playlist_url: null, rungs: [] };
  const waiting = said(known({ state: 'waiting', ...nothing }));
  assert.deepEqual([waiting.badge, waiting.headline, waiting.player], ['Waiting', 'This video is waiting to be prepared.', 'hidden']);
  const making = said(known({ state: 'processing', progress_percent: 43.2, ...nothing }));
  assert.match(making.hint, /^43 % done\. This page starts by itself/);
  assert.ok((pollDelay(after(known({ state: 'processing', ...nothing }))) ?? 0) > 0);
});

test('a partial ladder plays and says that more follows', () => {
  const partial = { state: 'processing' as const, partial: true, rungs_planned: 4 };
  const shown = said(known(partial), playback('playing'));
  assert.deepEqual([shown.player, shown.hint], ['shown', 'More qualities follow by themselves. 1 of 4 is ready.']);
  assert.ok((pollDelay(after(known(partial))) ?? 0) > 0);
  assert.notEqual(ladder(asset(partial)), ladder(asset({ rungs: [rung('360'), rung('540')] })));
  assert.equal(ladder(asset(partial)), ladder(asset()));
});

test('each refusal has its words', () => {
  const failed = said(known({ state: 'failed', playlist_url: null, problem: 'not a video: text' }));
  assert.deepEqual([failed.badge, failed.hint, failed.player], ['Failed', 'Not a video: text.', 'hidden']);
  const expired = said(refused('the link has expired'));
  assert.deepEqual([expired.badge, expired.headline, expired.hint], ['No access', 'The link has expired.', 'Ask for a new link.']);
  const unadmitted = said(refused('you may not watch this video: ask who gave you the link'));
  assert.deepEqual([unadmitted.headline, unadmitted.hint], ['You may not watch this video: ask who gave you the link.', '']);
  assert.equal(said(refused('', true)).badge, 'Not found');
  assert.equal(said(refused('')).headline, 'This link does not open this video.');
  assert.equal(pollDelay(after(refused('x'))), null);
});

test('a page that plays believes a refusal only when it lasts', () => {
  const once = after(known(), refused('x'));
  assert.equal(once.answer.kind, 'known');
  assert.ok((pollDelay(once) ?? 0) > 0);
  const lasting = Array.from({ length: REFUSALS_TO_BELIEVE }, () => refused('the link has expired'));
  assert.equal(view(after(known(), ...lasting)).badge, 'No access');
});

test('a lost connection says so and goes on by itself', () => {
  assert.equal(said(told({ kind: 'unreachable' })).headline, 'The server does not answer.');
  const lost = said(known(), playback('stalled'), { type: 'delivery', delivery: 'lost' });
  assert.deepEqual([lost.badge, lost.player], ['Reconnecting', 'shown']);
  assert.equal(said(known(), { type: 'delivery', delivery: 'refused' }).badge, 'Refused');
  assert.equal(said(known(), playback('broken')).retry, true);
  assert.equal(said(known(), playback('unsupported')).player, 'hidden');
});

test('every request carries the newest signature, but for addresses that were signed by themselves', () => {
  const carried = new Carried('http://h/m.m3u8?Policy=old&Signature=s1&Key-Pair-Id=K1');
  assert.equal(carried.apply('http://h/a.m4s?Policy=old&Signature=s1&Key-Pair-Id=K1'), 'http://h/a.m4s?Policy=old&Signature=s1&Key-Pair-Id=K1');
  carried.renew('http://h/m.m3u8?Policy=new&Signature=s2&Key-Pair-Id=K2');
  assert.equal(carried.apply('http://h/a.m4s?x=1&Policy=old&Signature=s1&Key-Pair-Id=K1'), 'http://h/a.m4s?x=1&Policy=new&Signature=s2&Key-Pair-Id=K2');
  for (const url of ['http://h/a.m4s?Policy=own&Signature=s9&Key-Pair-Id=K1', 'http://h/a.m4s', 'blob:http://h/1']) assert.equal(carried.apply(url), url);
  carried.renew('http://h/m.m3u8?Policy=newer&Signature=s3&Key-Pair-Id=K2');
  for (const old of ['s1', 's2']) assert.equal(carried.apply(`http://h/a?Signature=${old}`), 'http://h/a?Policy=newer&Signature=s3&Key-Pair-Id=K2');
  assert.deepEqual([queryOf('http://h/a?b=1#c'), queryOf('http://h/a')], ['?b=1', '']);
});

test('a signature is renewed before it ends', () => {
  assert.equal(renewDelay(600), 480_000);
  assert.equal(renewDelay(0), 2_000);
  assert.equal(renewDelay(31_536_000), 86_400_000);
});

test('a collection begins at what the address names, or at what was not watched', () => {
  const item = (id: string, state: WatchItem['state'] = 'ready') => ({ id, name: id, state, duration_seconds: 1, poster_url: null, watch_url: '' });
  const items = [item('a'), item('b', 'failed'), item('c'), item('d')];
  assert.equal(firstItem(items, 'c', () => false)?.id, 'c');
  assert.equal(firstItem(items, '', (id) => id === 'a')?.id, 'c');
  assert.equal(firstItem(items, 'gone', () => true)?.id, 'a');
  assert.equal(firstItem([], '', () => false), null);
  assert.equal(neighbour(items, 'a', 1)?.id, 'c');
  assert.equal(neighbour(items, 'c', -1)?.id, 'a');
  assert.equal(neighbour(items, 'd', 1), null);
  assert.equal(neighbour(items, null, 1), null);
  assert.deepEqual(items.map(stateWords), ['', 'Not available', '', '']);
});

test('times are written and spoken', () => {
  assert.deepEqual([clock(0), clock(62.9), clock(3723), clock(Number.NaN), clock(-1)], ['0:00', '1:02', '1:02:03', '0:00', '0:00']);
  assert.deepEqual([spoken(0), spoken(61), spoken(7322)], ['0 seconds', '1 minute 1 second', '2 hours 2 minutes 2 seconds']);
});
