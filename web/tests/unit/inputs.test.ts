// SPDX-License-Identifier: Apache-2.0 OR MIT
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inputFacts, inputLog } from '../../src/desk/lib/inputs.ts';
import type { LogEntry } from '../../src/desk/lib/live.svelte.ts';
import { typeTone, typeWord } from '../../src/desk/lib/words.ts';

const entry = (sequence: number, type: string, input: string, details: object = {}): LogEntry =>
  ({ sequence, at: `2026-01-01T00:00:0${sequence}Z`, kind: 'stream', type, subject: { kind: 'input', id: input }, details }) as unknown as LogEntry;

test('an input is told by what was raised and not cleared', () => {
  const entries = [
    entry(1, 'input.connected', 'a'),
    entry(2, 'alarm.raised', 'a', { alarm: 'bitrate', detail: 'too low' }),
    entry(3, 'alarm.raised', 'a', { alarm: 'frame_rate', detail: '12.0 pictures a second' }),
    entry(4, 'alarm.raised', 'b', { alarm: 'silence', detail: 'nothing comes' }),
    entry(5, 'alarm.cleared', 'a', { alarm: 'bitrate', detail: 'as it was' }),
  ].reverse();
  assert.deepEqual(inputLog(entries, 'a'), { since: '2026-01-01T00:00:01Z', alarms: [{ kind: 'frame_rate', words: '12.0 pictures a second', at: '2026-01-01T00:00:03Z' }] });
  assert.deepEqual(inputLog([entry(6, 'input.disconnected', 'a'), ...entries], 'a').since, null);
  assert.deepEqual(inputLog([], 'a'), { since: null, alarms: [] });
});

test('alarms of the log are said as what they are', () => {
  assert.equal(typeWord('alarm.raised'), 'Alarm');
  assert.equal(typeTone({ type: 'alarm.raised', details: {} }), 'trouble');
  assert.equal(typeWord('alarm.cleared'), 'Alarm over');
  assert.equal(typeTone({ type: 'alarm.cleared', details: {} }), 'good');
});

test('what is known of an input is told, and nothing of the rest', () => {
  assert.deepEqual(inputFacts({}), []);
  const video = { codec: 'h264', codecs: 'avc1.640028', width: 1920, height: 1080, frame_rate: 29.97002997 };
  const audio = { codec: 'aac', codecs: 'mp4a.40.2', channels: 2, sample_rate: 44_100 };
  assert.deepEqual(inputFacts({ video, audio }), [
    { label: 'Picture', words: 'H.264, 1920\u00a0×\u00a01080' },
    { label: 'Frames', words: '29.97 a second' },
    { label: 'Sound', words: 'AAC, 44.1 kHz, stereo' },
  ]);
  assert.deepEqual(inputFacts({ video: { ...video, codec: 'vp9', frame_rate: null }, audio: null }), [{ label: 'Picture', words: 'vp9, 1920\u00a0×\u00a01080' }]);
});
