// SPDX-License-Identifier: Apache-2.0 OR MIT
// The arithmetic of charts.

/** A round step so that about `count` of them cover `range`. */
function niceStep(range: number, count: number): number {
  if (!(range > 0)) return 1;
  const raw = range / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(raw));
  const scaled = raw / power;
  return (scaled <= 1 ? 1 : scaled <= 2 ? 2 : scaled <= 5 ? 5 : 10) * power;
}

/** Round marks from zero to beyond `max`. */
export function ticks(max: number, count = 4): number[] {
  const step = niceStep(max, count);
  const marks: number[] = [];
  for (let index = 0; index * step < max + step * 0.999 && index <= 50; index += 1) marks.push(index * step);
  return marks.length > 1 ? marks : [0, step];
}

const MINUTE = 60_000;
const STEPS = [1, 5, 15, 30].map((s) => s * 1_000).concat([1, 2, 5, 10, 15, 30].map((m) => m * MINUTE), [1, 2, 3, 6, 12, 24, 48, 168, 336, 720, 1440, 4320, 8760].map((h) => h * 60 * MINUTE));

/** Times between two, at round distances. */
export function timeTicks(from: number, to: number, count = 6): number[] {
  const step = STEPS.find((candidate) => (to - from) / candidate <= count) ?? STEPS.at(-1)!;
  // Days begin at local midnight.
  const shift = step >= 24 * 60 * MINUTE ? new Date(from).getTimezoneOffset() * MINUTE : 0;
  const marks: number[] = [];
  for (let at = Math.ceil((from - shift) / step) * step + shift; at <= to && marks.length < 40; at += step) marks.push(at);
  return marks;
}

export const timeLabel = (at: number, span: number) => {
  const time = new Date(at);
  if (span <= 5 * MINUTE) return time.toLocaleTimeString(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });
  if (span <= 36 * 60 * MINUTE) return time.toLocaleTimeString(undefined, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
  if (span <= 300 * 24 * 60 * MINUTE) return time.toLocaleDateString(undefined, { day: 'numeric', month: 'short' });
  return time.toLocaleDateString(undefined, { month: 'short', year: '2-digit' });
};
