// SPDX-License-Identifier: Apache-2.0 OR MIT
// Months and ranges of time, all in UTC: bills and usage are kept by UTC months.

/** A month as `2026-11`. */
export type Month = string;

const MONTHS_BACK = 12;

export function monthOf(now: number): Month {
  return new Date(now).toISOString().slice(0, 7);
}

/** This month and the twelve before it, newest first. */
export function lastMonths(now: number, back = MONTHS_BACK): Month[] {
  const date = new Date(now);
  return Array.from({ length: back + 1 }, (_, index) =>
    new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() - index, 1)).toISOString().slice(0, 7),
  );
}

export function isMonth(text: string | null | undefined): text is Month {
  return /^\d{4}-(0[1-9]|1[0-2])$/.test(text ?? '');
}

/** From the month's first instant to the next month's, RFC 3339. */
export function rangeOf(month: Month): { from: string; to: string } {
  const [year, index] = month.split('-').map(Number) as [number, number];
  return { from: iso(Date.UTC(year, index - 1, 1)), to: iso(Date.UTC(year, index, 1)) };
}

/** `November 2026`. */
export function monthWords(month: Month, locale = 'en'): string {
  const { from } = rangeOf(month);
  return new Date(from).toLocaleDateString(locale, { month: 'long', year: 'numeric', timeZone: 'UTC' });
}

/** Ranges to choose from, that end now or with a month. */
export const RANGES = [
  { key: '1h', label: 'Last hour', seconds: 3_600 },
  { key: '24h', label: 'Last 24 hours', seconds: 86_400 },
  { key: '7d', label: 'Last 7 days', seconds: 7 * 86_400 },
  { key: '30d', label: 'Last 30 days', seconds: 30 * 86_400 },
  { key: '365d', label: 'Last year', seconds: 365 * 86_400 },
] as const;

/** A range by its word (`24h`, `2026-11`); null for another word. Its end is rounded up to the minute, so that equal questions are equal. */
export function rangeBy(word: string, now: number): { from: string; to: string } | null {
  if (isMonth(word)) return rangeOf(word);
  const known = RANGES.find(({ key }) => key === word);
  if (!known) return null;
  const end = Math.ceil(now / 60_000) * 60_000;
  return { from: iso(end - known.seconds * 1000), to: iso(end) };
}

/** The finest step that gives at most `most` points. */
export function stepFor(from: string, to: string, most = 400): 60 | 300 | 3600 | 86400 {
  const seconds = Math.max(0, (Date.parse(to) - Date.parse(from)) / 1000);
  for (const step of [60, 300, 3600] as const) if (seconds / step <= most) return step;
  return 86400;
}

function iso(at: number): string {
  return new Date(at).toISOString().replace('.000Z', 'Z');
}
