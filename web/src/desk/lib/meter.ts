// SPDX-License-Identifier: Apache-2.0 OR MIT
// How fast something goes, by what it did in the last seconds: steady enough to read, quick enough to believe.

const WINDOW_MS = 8_000;
const MARKS_MAX = 200;

export class Meter {
  private marks: { at: number; value: number }[] = [];

  /** `value` has been reached at `at`, in milliseconds. What goes down begins anew. */
  mark(value: number, at: number): void {
    const last = this.marks.at(-1);
    if (last && value < last.value) this.marks = [];
    this.marks.push({ at, value });
    while (this.marks.length > 2 && ((this.marks[1]?.at ?? at) < at - WINDOW_MS || this.marks.length > MARKS_MAX)) this.marks.shift();
  }

  /** A second; null until there is enough to tell. */
  rate(now: number): number | null {
    const [first, last] = [this.marks[0], this.marks.at(-1)];
    if (!first || !last || last.at - first.at < 500) return null;
    // Standing still counts: the rate sinks while nothing comes.
    return ((last.value - first.value) * 1000) / Math.max(1, Math.max(last.at, now) - first.at);
  }

  /** Seconds until `whole` is reached; null when that cannot be told. */
  left(whole: number, now: number): number | null {
    const rate = this.rate(now);
    const last = this.marks.at(-1);
    return rate !== null && rate > 0 && last ? Math.max(0, whole - last.value) / rate : null;
  }

  reset(): void {
    this.marks = [];
  }
}
