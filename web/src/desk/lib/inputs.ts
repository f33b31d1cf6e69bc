// SPDX-License-Identifier: Apache-2.0 OR MIT
// What the log tells of an input: since when its encoder is there, and what is wrong with what it sends.

import type { LogEntry } from './live.svelte.ts';

export interface InputAlarm {
  kind: string;
  words: string;
  at: string;
}

export interface InputLog {
  /** Since when an encoder is connected, as far as the log was read. */
  since: string | null;
  /** What was raised and not cleared since. */
  alarms: InputAlarm[];
}

/** By entries of its channel, the newest first. */
export function inputLog(entries: LogEntry[], input: string): InputLog {
  let since: string | null = null;
  const alarms = new Map<string, InputAlarm>();
  for (const entry of [...entries].reverse()) {
    if (entry.subject.id !== input) continue;
    const { alarm, detail } = (entry.details ?? {}) as Record<string, unknown>;
    const kind = typeof alarm === 'string' ? alarm : '';
    if (entry.type === 'input.connected') since = entry.at;
    if (entry.type === 'input.disconnected') since = null;
    if (entry.type === 'alarm.raised') alarms.set(kind, { kind, words: typeof detail === 'string' ? detail : '', at: entry.at });
    if (entry.type === 'alarm.cleared') alarms.delete(kind);
  }
  return { since, alarms: [...alarms.values()] };
}
