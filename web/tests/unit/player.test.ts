// SPDX-License-Identifier: Apache-2.0 OR MIT
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { commandOf } from '../../src/embed/bridge.ts';
import { embedOptions, originOf } from '../../src/embed/options.ts';
import { playbackSession, Told, withParameterOf, withTold } from '../../src/player/cmcd.ts';
import { pageQuery, signatureOf } from '../../src/player/signature.ts';
import type { Stats } from '../../src/player/stats.ts';
import { soundOf } from '../../src/player/volume.ts';

test('start-up is told once, and each standstill once', () => {
  const stats = { startTimeMs: null, stallSeconds: 0 } as unknown as { -readonly [K in keyof Stats]: Stats[K] };
  const told = new Told({ stats });
  assert.deepEqual(told.next(), []);
  stats.startTimeMs = 812.4;
  assert.deepEqual(told.next(), ['com.anabranch-startup=812']);
  assert.deepEqual(told.next(), []);
  stats.stallSeconds = 1.25;
  assert.deepEqual(told.next(), ['com.anabranch-stall=1250']);
  stats.stallSeconds = 1.5;
  assert.deepEqual(told.next(), ['com.anabranch-stall=250']);
  assert.deepEqual(told.next(), []);
});

test('what is told goes into the one parameter', () => {
  const pairs = ['com.anabranch-startup=812'];
  assert.equal(withTold('https://e/a.m4s?Signature=s&CMCD=bl%3D1', pairs), 'https://e/a.m4s?Signature=s&CMCD=bl%3D1%2Ccom.anabranch-startup%3D812');
  assert.equal(withTold('https://e/a.m4s', pairs), 'https://e/a.m4s?CMCD=com.anabranch-startup%3D812');
  assert.equal(withTold('https://e/a.m4s?x=1', []), 'https://e/a.m4s?x=1');
  assert.match(playbackSession(), /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.notEqual(playbackSession(), playbackSession());
});

test('what is told leaves the rest of an address as it was signed', () => {
  const told = 'https://e/a.m3u8?x=%7E%20&CMCD=bl%3D1#t=1';
  assert.equal(withParameterOf('https://e/a.m3u8?x=~%20', told), 'https://e/a.m3u8?x=~%20&CMCD=bl%3D1');
  assert.equal(withParameterOf('https://e/a.m3u8', told), 'https://e/a.m3u8?CMCD=bl%3D1');
  assert.equal(withParameterOf('https://e/a.m3u8?x=~', 'https://e/a.m3u8?x=%7E'), 'https://e/a.m3u8?x=~');
});

test('a page keeps its own parameters when the signature is another', () => {
  const page = '?autoplay=1&Policy=p&Signature=s&Key-Pair-Id=K&recording=2&player=native';
  assert.equal(signatureOf(page), '?Policy=p&Signature=s&Key-Pair-Id=K');
  assert.equal(signatureOf(page, 'recording'), '?Policy=p&Signature=s&Key-Pair-Id=K&recording=2');
  assert.equal(signatureOf('?autoplay=1'), '');
  assert.equal(pageQuery(page, '?Policy=q&Signature=t&Key-Pair-Id=K&recording=2'), '?autoplay=1&recording=2&player=native&Policy=q&Signature=t&Key-Pair-Id=K');
});

test('an address says how a player in a frame behaves', () => {
  const plain = { autoplay: false, muted: false, start: null, controls: true, native: false, origin: null };
  assert.deepEqual(embedOptions('?Signature=s'), plain);
  assert.deepEqual(embedOptions('?autoplay=1&muted&start=12.5&controls=0&player=native&origin=https://a.example/x'), {
    autoplay: true, muted: true, start: 12.5, controls: false, native: true, origin: 'https://a.example',
  });
  assert.deepEqual(embedOptions('?autoplay=0&muted=false&start=-1&start=x&origin=about:blank'), plain);
  assert.deepEqual([originOf('https://a.example:8443/p?q'), originOf('no'), originOf('')], ['https://a.example:8443', null, null]);
});

test('only what is understood is a command', () => {
  assert.deepEqual(commandOf({ anabranch: 'play' }), { do: 'play' });
  assert.deepEqual(commandOf({ anabranch: 'seek', time: 3 }), { do: 'seek', time: 3 });
  for (const data of [null, 'play', { anabranch: 'seek' }, { anabranch: 'seek', time: NaN }, { anabranch: 'volume', volume: 2 }, { do: 'play' }, { anabranch: 'close' }]) {
    assert.equal(commandOf(data), null, JSON.stringify(data));
  }
});

test('a volume that is none is not kept', () => {
  assert.deepEqual(soundOf({ volume: 0.5, muted: true }), { volume: 0.5, muted: true });
  for (const value of [null, 1, { volume: 2, muted: true }, { volume: 1 }, { volume: '1', muted: false }]) assert.equal(soundOf(value), null);
});
