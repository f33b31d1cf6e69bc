// SPDX-License-Identifier: Apache-2.0 OR MIT
// When viewers came: a year by months, a month by days, a day by minutes. Counts of times, put together into bars; in UTC, as usage is.

export interface Point {
  at: string;
  count: number;
}

/** `fine` is as fine as the server tells it, and two minutes at least. */
export type Grain = 'month' | 'day' | 'fine';

export interface Bar {
  /** Its first instant, RFC 3339. */
  from: string;
  /** The first instant behind it. */
  to: string;
  count: number;
  label: string;
}

const DAY_MS = 86_400_000;
const FINEST_SECONDS = 120;

/** Grain for a range: what one can still read. */
export function grainOf(from: string, to: string): Grain {
  const length = Date.parse(to) - Date.parse(from);
  if (length > 62 * DAY_MS) return 'month';
  return length > 1.5 * DAY_MS ? 'day' : 'fine';
}

/** The grain below, which opens when a bar is chosen. */
export function finer(grain: Grain): Grain | null {
  return grain === 'month' ? 'day' : grain === 'day' ? 'fine' : null;
}

/** Seconds of a bar of the grain `fine`, for points that stand for `step` seconds each: no bar lies between two points. */
export function fineSeconds(step: number): number {
  return Math.ceil(FINEST_SECONDS / Math.max(step, 1)) * Math.max(step, 1);
}

/** The length of bars in words. */
export function grainWords(grain: Grain, step: number): string {
  if (grain !== 'fine') return `by ${grain}`;
  const minutes = Math.round(fineSeconds(step) / 60);
  return minutes === 60 ? 'by hour' : minutes % 60 === 0 ? `by ${minutes / 60} hours` : `by ${minutes} minutes`;
}

/** Every bar of the range, empty ones too. Points stand for `step` seconds each. */
export function bars(points: readonly Point[], from: string, to: string, grain: Grain, step: number): Bar[] {
  const fine = fineSeconds(step) * 1_000;
  const end = Date.parse(to);
  const all: Bar[] = [];
  for (let at = floor(Date.parse(from), grain, fine); at < end; at = next(at, grain, fine)) {
    all.push({ from: iso(at), to: iso(next(at, grain, fine)), count: 0, label: label(at, grain) });
  }
  const index = new Map(all.map((bar, place) => [bar.from, place]));
  for (const { at, count } of points) {
    const time = Date.parse(at);
    const bar = Number.isNaN(time) ? undefined : all[index.get(iso(floor(time, grain, fine))) ?? -1];
    if (bar) bar.count += count;
  }
  return all;
}

/** The part of the bars around what is in them, with a few empty ones either side: a breakout of an hour in a day. */
export function around(all: readonly Bar[], margin = 5): Bar[] {
  const first = all.findIndex(({ count }) => count > 0);
  if (first < 0) return [...all];
  let last = all.length - 1;
  while ((all[last]?.count ?? 0) === 0) last -= 1;
  return all.slice(Math.max(0, first - margin), Math.min(all.length, last + 1 + margin));
}

function floor(at: number, grain: Grain, fine: number): number {
  const date = new Date(at);
  if (grain === 'month') return Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), 1);
  const length = grain === 'day' ? DAY_MS : fine;
  return Math.floor(at / length) * length;
}

function next(at: number, grain: Grain, fine: number): number {
  const date = new Date(at);
  if (grain === 'month') return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1);
  return at + (grain === 'day' ? DAY_MS : fine);
}

function label(at: number, grain: Grain): string {
  const options: Intl.DateTimeFormatOptions =
    grain === 'month'
      ? { month: 'short', year: '2-digit' }
      : grain === 'day'
        ? { day: 'numeric', month: 'short' }
        : { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' };
  return new Intl.DateTimeFormat('en', { ...options, timeZone: 'UTC' }).format(at);
}

function iso(at: number): string {
  return new Date(at).toISOString().replace('.000Z', 'Z');
}
