// SPDX-License-Identifier: Apache-2.0 OR MIT
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bitrateWords, breakoutWord, channelWord, inputWords, packagingWords } from '../../src/admin/words.ts';
import { sentence } from '../../src/words.ts';

test('states read as words, unknown ones as they are spelled', () => {
  assert.deepEqual(channelWord('Running'), ['Running', 'good']);
  assert.deepEqual(breakoutWord('RUNNING'), ['On air', 'live']);
  assert.deepEqual(breakoutWord('SOMETHING'), ['SOMETHING', 'quiet']);
});

test('an input says who sends how much', () => {
  assert.equal(inputWords({ connected: false }), 'No encoder connected');
  assert.equal(
    inputWords({ connected: true, encoder: 'FMLE/3.0', remote: '10.0.0.2:4711', bitrate_bps: 5_960_000 }),
    'Connected: FMLE/3.0 from 10.0.0.2:4711, 6.0 Mbit/s',
  );
  assert.equal(inputWords({ connected: true, encoder: null, remote: null, bitrate_bps: 0 }), 'Encoder connected');
  assert.equal(bitrateWords(64_400), '64 kbit/s');
});

test('a breakout on air without media says what it lacks', () => {
  assert.notEqual(packagingWords('RUNNING', 'waiting'), '');
  assert.equal(packagingWords('RUNNING', 'live'), '');
  assert.equal(packagingWords('IDLE', 'waiting'), '');
});

test("the server's words become sentences", () => {
  assert.equal(sentence('the disk is full'), 'The disk is full.');
  assert.equal(sentence('Done.'), 'Done.');
  assert.equal(sentence(null), '');
});
