// SPDX-License-Identifier: Apache-2.0 OR MIT
// States of the API in the words, tones and icons of the desk. A state is never told by colour alone.

import type { LogEntry } from './live.svelte.ts';
import type { IconName } from './icons.ts';

export type Tone = 'quiet' | 'waiting' | 'good' | 'live' | 'warn' | 'trouble' | 'ended';
export interface Word {
  text: string;
  tone: Tone;
  icon: IconName;
}

const w = (text: string, tone: Tone, icon: IconName): Word => ({ text, tone, icon });

const TABLES = {
  channel: {
    Idle: w('Idle', 'quiet', 'circle'),
    Starting: w('Starting', 'waiting', 'clock'),
    Running: w('Running', 'good', 'play'),
    Stopping: w('Stopping', 'waiting', 'clock'),
  },
  breakout: {
    IDLE: w('Not started', 'quiet', 'circle'),
    STARTING: w('Starting', 'waiting', 'clock'),
    RUNNING: w('On air', 'live', 'live'),
    COMPLETED: w('Completed', 'ended', 'check'),
  },
  distribution: {
    InProgress: w('Deploying', 'waiting', 'clock'),
    Deployed: w('Deployed', 'good', 'check'),
  },
  packaging: {
    waiting: w('Waiting for media', 'waiting', 'clock'),
    live: w('Media flows', 'good', 'check'),
    blocked: w('Blocked', 'trouble', 'alert'),
    ended: w('Ended', 'ended', 'check'),
  },
  curtain: {
    up: w('Audience sees it', 'good', 'eye'),
    down: w('Curtain down', 'warn', 'eye-off'),
  },
  recording: {
    RECORDING: w('Recording', 'live', 'live'),
    recording: w('Recording', 'live', 'live'),
    closing: w('Closing', 'waiting', 'clock'),
    available: w('Available', 'good', 'check'),
    failed: w('Failed', 'trouble', 'alert'),
  },
  job: {
    queued: w('Queued', 'quiet', 'clock'),
    running: w('Running', 'waiting', 'play'),
    completed: w('Completed', 'good', 'check'),
    failed: w('Failed', 'trouble', 'alert'),
    cancelled: w('Cancelled', 'ended', 'x'),
  },
  asset: {
    queued: w('Queued', 'quiet', 'clock'),
    processing: w('Processing', 'waiting', 'play'),
    playable: w('Playable, still processing', 'waiting', 'play'),
    ready: w('Ready', 'good', 'check'),
    failed: w('Failed', 'trouble', 'alert'),
    cancelled: w('Cancelled', 'ended', 'x'),
  },
  node: {
    present: w('Connected', 'good', 'check'),
    left: w('Left', 'ended', 'circle'),
    lost: w('Lost', 'trouble', 'alert'),
  },
  opening: {
    open: w('Open', 'good', 'unlock'),
    closed: w('Closed', 'trouble', 'lock'),
    draining: w('Draining', 'warn', 'clock'),
  },
  verdict: {
    fresh: w('Fresh', 'good', 'check'),
    stale: w('Stale', 'trouble', 'alert'),
    ended: w('Ended', 'ended', 'check'),
    unknown: w('Unknown', 'quiet', 'help'),
  },
  operation: {
    waiting: w('Waiting', 'waiting', 'clock'),
    running: w('Under way', 'waiting', 'play'),
    undoing: w('Being undone', 'warn', 'clock'),
    rolled_back: w('Undone', 'warn', 'back'),
    superseded: w('Overtaken', 'ended', 'circle'),
    done: w('Done', 'good', 'check'),
    failed: w('Failed', 'trouble', 'alert'),
    cancelled: w('Cancelled', 'ended', 'x'),
  },
  invalidation: {
    InProgress: w('In progress', 'waiting', 'clock'),
    Completed: w('Completed', 'good', 'check'),
  },
  charge: {
    estimate: w('Estimate', 'waiting', 'clock'),
    final: w('Final', 'good', 'check'),
    correction: w('Correction', 'warn', 'edit'),
  },
} satisfies Record<string, Record<string, Word>>;

export type StateOf = keyof typeof TABLES;

/** A state in words; one that this page does not know is shown as the server spells it. */
export function stateWord(of: StateOf, state: string): Word {
  const table: Record<string, Word> = TABLES[of];
  return table[state] ?? table[state.toLowerCase()] ?? w(titled(state), 'quiet', 'circle');
}

/** `input_lost` and `InProgress` as people write them. */
export function titled(name: string): string {
  const spaced = name.replace(/([a-z])([A-Z])/g, '$1 $2').replaceAll(/[_.-]+/g, ' ').toLowerCase();
  return spaced.charAt(0).toUpperCase() + spaced.slice(1);
}

const TYPE_WORDS: Record<string, string> = {
  'breakout.starting': 'Start asked',
  'breakout.running': 'On air',
  'breakout.completed': 'Ended',
  'breakout.idle': 'Back to idle',
  'breakout.curtain_raised': 'Curtain raised',
  'breakout.curtain_lowered': 'Curtain lowered',
  'breakout.refreshed': 'Pages of viewers refreshed',
  'breakout.revoked': 'Links refused from now on',
  'breakout.repaired': 'Repaired at start',
  'input.connected': 'Encoder connected',
  'input.disconnected': 'Encoder disconnected',
  'input.lost': 'Signal lost',
  'input.active': 'Input in use',
  'input.failover': 'Failed over',
  'alarm.raised': 'Alarm',
  'alarm.cleared': 'Alarm over',
  'recording.started': 'Recording started',
  'recording.closing': 'Recording closes',
  'recording.available': 'Recording available',
  'recording.failed': 'Recording failed',
  'viewer.expelled': 'Viewer expelled',
};

/** What happened, in words. */
export function typeWord(type: string): string {
  return TYPE_WORDS[type] ?? titled(type);
}

/** Details that an entry tells in its line. */
const DETAILS_MAX = 4;

/** The details of an entry in a few words: “input in-2 · silence 3 s · why device limit”. */
export function detailWords(type: string, details: Record<string, unknown>): string {
  return Object.entries(details)
    .filter(([key, value]) => value !== null && typeof value !== 'object' && value !== '' && !(key === 'alarm' && type.startsWith('alarm.')))
    .slice(0, DETAILS_MAX)
    .map(([key, value]) => {
      const milliseconds = /_ms$/.test(key) && typeof value === 'number' ? value : null;
      const name = titled(milliseconds === null ? key : key.slice(0, -3)).toLowerCase();
      if (milliseconds !== null) return `${name} ${milliseconds < 1_000 ? `${milliseconds} ms` : `${Math.round(milliseconds / 100) / 10} s`}`;
      // Words of the API that are none of people; names and addresses stay as they are.
      return `${name} ${typeof value === 'string' && /^[a-z]+(_[a-z]+)+$/.test(value) ? value.replaceAll('_', ' ') : value}`;
    })
    .join(' · ');
}

/** How grave an entry of the log is. */
export function typeTone(entry: Pick<LogEntry, 'type' | 'details'>): Tone {
  const { type } = entry;
  if (/(failed|problem|\.lost|gave_up|alarm\.raised|\.stale|rolled_back|withheld)$/.test(type)) return 'trouble';
  if (/(failover|closed|expelled|revoked|curtain_lowered|disconnected|drill|silent)$/.test(type)) return 'warn';
  if (/(running|available|ready|deployed|connected|opened|fresh|completed|joined|cleared|found|heard)$/.test(type)) return 'good';
  return 'quiet';
}
