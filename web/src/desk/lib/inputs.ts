// SPDX-License-Identifier: Apache-2.0 OR MIT
// What the log tells of an input: since when its encoder is there, and what is wrong with what it sends.

import type { Schemas } from './api.ts';
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

type InputNow = Schemas['InputNow'];

const CODECS: Record<string, string> = { h264: 'H.264', h265: 'H.265', av1: 'AV1', aac: 'AAC', opus: 'Opus', ac3: 'AC-3', eac3: 'E-AC-3' };
const codecWords = (codec: string) => CODECS[codec] ?? codec;
const channelWords = (channels: number) => (channels === 1 ? 'mono' : channels === 2 ? 'stereo' : `${channels} channels`);

/** What an input receives, as far as it is known: nothing is said of what is not. */
export function inputFacts({ video, audio }: Pick<InputNow, 'video' | 'audio'>): { label: string; words: string }[] {
  const facts = [];
  if (video) facts.push({ label: 'Picture', words: `${codecWords(video.codec)}, ${video.width}\u00a0×\u00a0${video.height}` });
  if (video?.frame_rate) facts.push({ label: 'Frames', words: `${Math.round(video.frame_rate * 100) / 100} a second` });
  if (audio) facts.push({ label: 'Sound', words: `${codecWords(audio.codec)}, ${audio.sample_rate / 1_000} kHz, ${channelWords(audio.channels)}` });
  return facts;
}
