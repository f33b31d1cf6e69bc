// SPDX-License-Identifier: Apache-2.0 OR MIT
// Numbers and times as people read them.

const number = new Intl.NumberFormat('en');
const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });

export const count = (value: number | null | undefined) => (value == null ? '–' : number.format(value));
export const short = (value: number | null | undefined) => (value == null ? '–' : Math.abs(value) < 10_000 ? number.format(round(value)) : compact.format(value));
const round = (value: number) => (Math.abs(value) < 10 ? Math.round(value * 10) / 10 : Math.round(value));

/** “1 viewer”, “2 viewers”. */
export const plural = (value: number, one: string, many = `${one}s`) => `${number.format(value)} ${value === 1 ? one : many}`;

const BYTE_UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];

/** Bytes in decimal units, as they are billed. */
export function bytes(value: number | null | undefined): string {
  if (value == null) return '–';
  let unit = 0;
  let rest = value;
  while (Math.abs(rest) >= 999.5 && unit < BYTE_UNITS.length - 1) {
    rest /= 1000;
    unit += 1;
  }
  return `${unit === 0 || rest >= 100 ? Math.round(rest) : rest.toFixed(rest >= 10 ? 1 : 2)} ${BYTE_UNITS[unit]}`;
}

export const bytesPerSecond = (value: number | null | undefined) => (value == null ? '–' : bitrate(value * 8));

export function bitrate(bitsPerSecond: number | null | undefined): string {
  if (bitsPerSecond == null) return '–';
  if (bitsPerSecond >= 1e9) return `${(bitsPerSecond / 1e9).toFixed(2)} Gbit/s`;
  if (bitsPerSecond >= 1e6) return `${(bitsPerSecond / 1e6).toFixed(1)} Mbit/s`;
  if (bitsPerSecond >= 1e3) return `${Math.round(bitsPerSecond / 1e3)} kbit/s`;
  return `${Math.round(bitsPerSecond)} bit/s`;
}

export const percent = (ratio: number | null | undefined, digits = 1) => (ratio == null ? '–' : `${(ratio * 100).toFixed(digits)} %`);

/** A duration in its two largest units. */
export function duration(seconds: number | null | undefined): string {
  if (seconds == null) return '–';
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3_600) return `${Math.floor(whole / 60)} min ${whole % 60 ? `${whole % 60} s` : ''}`.trim();
  if (whole < 86_400) return `${Math.floor(whole / 3_600)} h ${Math.floor((whole % 3_600) / 60)} min`;
  return `${plural(Math.floor(whole / 86_400), 'day')} ${Math.floor((whole % 86_400) / 3_600)} h`;
}

/** A running clock: 1:02:03. */
export function clockwise(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (value: number) => String(value).padStart(2, '0');
  const hours = Math.floor(whole / 3_600);
  return `${hours ? `${hours}:${two(Math.floor((whole % 3_600) / 60))}` : Math.floor(whole / 60)}:${two(whole % 60)}`;
}

/** How long ago, or in how long. */
export function relative(at: number, now: number): string {
  const seconds = Math.round((now - at) / 1_000);
  const ahead = seconds < 0;
  const size = Math.abs(seconds);
  if (size < 5) return 'just now';
  const [value, unit] =
    size < 60 ? [size, 's'] : size < 3_600 ? [Math.floor(size / 60), 'min'] : size < 86_400 ? [Math.floor(size / 3_600), 'h'] : [Math.floor(size / 86_400), 'd'];
  return ahead ? `in ${value} ${unit}` : `${value} ${unit} ago`;
}

const dateTime = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
const shortTime = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit' });

export const localTime = (at: string | number) => said(at, dateTime);
export const timeOfDay = (at: string | number) => said(at, shortTime);
export const utc = (at: string | number) => {
  const time = new Date(at);
  return Number.isNaN(time.getTime()) ? String(at) : `${time.toISOString().slice(0, 19).replace('T', ' ')} UTC`;
};

function said(at: string | number, format: Intl.DateTimeFormat): string {
  const time = new Date(at);
  return Number.isNaN(time.getTime()) ? String(at) : format.format(time);
}

/** A quantity with its unit, to three digits behind the point. */
export const quantity = (value: string | number, unit: string) => `${Number(value).toLocaleString('en', { maximumFractionDigits: 3 })} ${unit}`;

/** A price of a unit, which may be very small. */
export function price(amount: string | number, currency: string): string {
  try {
    return new Intl.NumberFormat('en', { style: 'currency', currency, minimumFractionDigits: 2, maximumFractionDigits: 8 }).format(Number(amount));
  } catch {
    return `${amount} ${currency}`;
  }
}

/** A decimal string of money with its currency, in two digits or as many as small amounts need. */
export function money(amount: string | number | null | undefined, currency: string): string {
  if (amount == null) return '–';
  const value = Number(amount);
  const digits = value !== 0 && Math.abs(value) < 0.01 ? 6 : 2;
  try {
    return new Intl.NumberFormat('en', { style: 'currency', currency, minimumFractionDigits: 2, maximumFractionDigits: digits }).format(value);
  } catch {
    return `${value.toFixed(digits)} ${currency}`;
  }
}
