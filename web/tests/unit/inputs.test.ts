// SPDX-License-Identifier: Apache-2.0 OR MIT
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inputLog } from '../../src/desk/lib/inputs.ts';
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
