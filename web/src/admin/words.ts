// SPDX-License-Identifier: Apache-2.0 OR MIT
// States of the API in the words and tones of the page.

import type { InputNow } from '../api/client.ts';

export type Tone = 'quiet' | 'waiting' | 'live' | 'trouble' | 'good' | 'ended';

const CHANNEL: Record<string, [string, Tone]> = {
  Idle: ['Idle', 'quiet'],
  Starting: ['Starting', 'waiting'],
  Running: ['Running', 'good'],
  Stopping: ['Stopping', 'waiting'],
};

const BREAKOUT: Record<string, [string, Tone]> = {
  IDLE: ['Not started', 'quiet'],
  STARTING: ['Starting', 'waiting'],
  RUNNING: ['On air', 'live'],
  COMPLETED: ['Completed', 'ended'],
};

const DISTRIBUTION: Record<string, [string, Tone]> = {
  InProgress: ['In progress', 'waiting'],
  Deployed: ['Deployed', 'good'],
};

/** A state that this page does not know is shown as the server spells it. */
const word = (table: Record<string, [string, Tone]>, state: string): [string, Tone] => table[state] ?? [state, 'quiet'];

export const channelWord = (state: string) => word(CHANNEL, state);
export const breakoutWord = (state: string) => word(BREAKOUT, state);
export const distributionWord = (state: string) => word(DISTRIBUTION, state);

/** What an input receives, in one line. */
export function inputWords(state: InputNow): string {
  if (!state.connected) return 'No encoder connected';
  const who = state.encoder ? `Connected: ${state.encoder}` : 'Encoder connected';
  const from = state.remote ? ` from ${state.remote}` : '';
  return `${who}${from}${state.bitrate_bps ? `, ${bitrateWords(state.bitrate_bps)}` : ''}`;
}

/** What a breakout on air still lacks; empty when nothing. */
export function packagingWords(state: string, packaging: string): string {
  return state === 'RUNNING' && packaging === 'waiting' ? 'No media yet: start the encoder.' : '';
}

/** Bits per second in a unit that a person reads. */
export function bitrateWords(bitsPerSecond: number): string {
  if (bitsPerSecond >= 1_000_000) return `${(bitsPerSecond / 1_000_000).toFixed(1)} Mbit/s`;
  return `${Math.round(bitsPerSecond / 1_000)} kbit/s`;
}
