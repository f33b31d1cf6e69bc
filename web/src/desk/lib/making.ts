// SPDX-License-Identifier: Apache-2.0 OR MIT
// How far an asset is, in words: its rungs, what is left, and what one may do about it.

import { remaining, until } from './amounts.ts';

export interface Made {
  state: string;
  playable: boolean;
  partial: boolean;
  progress_percent: number;
  expected_at?: string | null | undefined;
  next_try_at?: string | null | undefined;
  rungs: readonly { name: string; width: number; height: number; average_bandwidth?: number; bandwidth?: number; frame_rate?: number; codecs?: string }[];
  rungs_planned: number;
}

export type Tone = 'good' | 'busy' | 'warn' | 'bad' | 'idle';

/** Its state in words, and how it is shown. */
export function assetWord({ state, playable, partial }: Made): [string, Tone] {
  switch (state) {
    case 'READY':
      return ['Ready', 'good'];
    case 'PROCESSING':
      return playable ? ['Playable, more to come', 'busy'] : ['Being made', 'busy'];
    case 'QUEUED':
      return [playable ? 'Playable, waiting for a worker' : 'Waiting for a worker', 'idle'];
    case 'FAILED':
      return [playable ? 'Failed, partly playable' : 'Failed', 'bad'];
    case 'CANCELLED':
      return [playable && partial ? 'Cancelled, partly playable' : 'Cancelled', 'warn'];
    default:
      return [state, 'idle'];
  }
}

/** What is left, in words; null when nothing goes on. */
export function leftWords(asset: Made, now: number): string | null {
  if (asset.state !== 'PROCESSING' && asset.state !== 'QUEUED') return null;
  const again = until(asset.next_try_at, now);
  if (again !== null) return `tried again in ${remaining(again)}`;
  const left = until(asset.expected_at, now);
  if (left !== null) return `${remaining(left)} left`;
  return asset.state === 'QUEUED' ? 'begins when a worker is free' : null;
}

export interface RungRow {
  name: string;
  size: string;
  state: 'done' | 'coming';
  bandwidth: number | null;
  frameRate: number | null;
  codecs: string;
}

/** Rungs that are there, and as many more as are planned. The first playable one is the source itself, until better ones are there. */
export function rungRows(asset: Made): RungRow[] {
  const there = asset.rungs.map((rung): RungRow => ({
    name: rung.name,
    size: rung.width > 0 ? `${rung.width} × ${rung.height}` : 'Sound only',
    state: 'done',
    bandwidth: rung.average_bandwidth ?? rung.bandwidth ?? null,
    frameRate: rung.frame_rate ?? null,
    codecs: rung.codecs ?? '',
  }));
  const made = asset.rungs.filter(({ name }) => name !== 'source').length;
  if (asset.state !== 'PROCESSING' && asset.state !== 'QUEUED') return there;
  const missing = Math.max(0, asset.rungs_planned - made);
  return [
    ...there,
    ...Array.from({ length: missing }, (_, index): RungRow => ({
      name: `Rung ${made + index + 1} of ${asset.rungs_planned}`,
      size: '',
      state: 'coming',
      bandwidth: null,
      frameRate: null,
      codecs: '',
    })),
  ];
}

/** What may be done about it. */
export function mayRetry({ state, partial }: Made): boolean {
  return state === 'FAILED' || state === 'CANCELLED' || (state === 'READY' && partial);
}

export function mayCancel({ state }: Made): boolean {
  return state === 'QUEUED' || state === 'PROCESSING';
}

/** HTML that shows a page in a frame, to copy. */
export function embedCode(url: string, title: string): string {
  const quoted = (value: string) => value.replaceAll('&', '&amp;').replaceAll('"', '&quot;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
  return `<iframe src="${quoted(url)}" title="${quoted(title)}" width="960" height="540" style="border:0;max-width:100%;aspect-ratio:16/9;height:auto" allow="autoplay; fullscreen; picture-in-picture" allowfullscreen></iframe>`;
}
