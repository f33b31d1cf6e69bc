// SPDX-License-Identifier: Apache-2.0 OR MIT
// When viewers came: a year by months, a month by days, a day by two minutes. Counts of times, put together into bars; in UTC, as usage is.

export interface Point {
  at: string;
  count: number;
}

export type Grain = 'month' | 'day' | 'two-minutes';

export interface Bar {
  /** Its first instant, RFC 3339. */
  from: string;
  /** The first instant behind it. */
  to: string;
  count: number;
  label: string;
}

const DAY_MS = 86_400_000;
const TWO_MINUTES_MS = 120_000;

/** Grain for a range: what one can still read. */
export function grainOf(from: string, to: string): Grain {
  const length = Date.parse(to) - Date.parse(from);
  if (length > 62 * DAY_MS) return 'month';
  return length > 1.5 * DAY_MS ? 'day' : 'two-minutes';
}

/** The grain below, which opens when a bar is chosen. */
export function finer(grain: Grain): Grain | null {
  return grain === 'month' ? 'day' : grain === 'day' ? 'two-minutes' : null;
}

/** Every bar of the range, empty ones too. */
export function bars(points: readonly Point[], from: string, to: string, grain: Grain): Bar[] {
  const end = Date.parse(to);
  const all: Bar[] = [];
  for (let at = floor(Date.parse(from), grain); at < end; at = next(at, grain)) {
    all.push({ from: iso(at), to: iso(next(at, grain)), count: 0, label: label(at, grain) });
  }
  const index = new Map(all.map((bar, place) => [bar.from, place]));
  for (const { at, count } of points) {
    const time = Date.parse(at);
    const bar = Number.isNaN(time) ? undefined : all[index.get(iso(floor(time, grain))) ?? -1];
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

function floor(at: number, grain: Grain): number {
  const date = new Date(at);
  if (grain === 'month') return Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), 1);
  return grain === 'day' ? Math.floor(at / DAY_MS) * DAY_MS : Math.floor(at / TWO_MINUTES_MS) * TWO_MINUTES_MS;
}

function next(at: number, grain: Grain): number {
  const date = new Date(at);
  if (grain === 'month') return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1);
  return at + (grain === 'day' ? DAY_MS : TWO_MINUTES_MS);
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
