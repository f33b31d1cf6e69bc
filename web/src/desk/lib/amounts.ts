// SPDX-License-Identifier: Apache-2.0 OR MIT
// Amounts that `format.ts` does not know: exact money, what is left, speeds of bytes.

import { bytes } from './format.ts';

const MINUTE = 60;
const HOUR = 3_600;

/** `12.4 MB/s`. */
export function speed(bytesPerSecond: number | null | undefined): string {
  return bytesPerSecond == null ? '–' : `${bytes(bytesPerSecond)}/s`;
}

/** What is left, as people say it: `about 3 minutes`. */
export function remaining(seconds: number | null | undefined): string {
  if (seconds == null || !Number.isFinite(seconds)) return 'time unknown';
  if (seconds < 10) return 'a few seconds';
  if (seconds < 55) return `about ${Math.ceil(seconds / 10) * 10} seconds`;
  if (seconds < 90) return 'about a minute';
  if (seconds < HOUR) return `about ${Math.round(seconds / MINUTE)} minutes`;
  const hours = seconds / HOUR;
  return hours < 1.5 ? 'about an hour' : `about ${Math.round(hours)} hours`;
}

/** Seconds until an RFC 3339 time; null if there is none or it is over. */
export function until(at: string | null | undefined, now: number): number | null {
  const time = at ? Date.parse(at) : Number.NaN;
  return Number.isNaN(time) || time <= now ? null : (time - now) / 1000;
}

/** `1,234.50 USD` of a decimal string, every digit that says something; never through a float. */
export function moneyExact(amount: string | number | null | undefined, currency: string): string {
  const text = amount === null || amount === undefined ? '' : String(amount);
  const parts = /^(-?)(\d+)(?:\.(\d*))?$/.exec(text);
  if (!parts) return text === '' ? '–' : `${text} ${currency}`.trim();
  const [, sign, whole = '', fraction = ''] = parts;
  const cents = fraction.replace(/0+$/, '').padEnd(2, '0');
  return `${sign ? '−' : ''}${whole.replace(/\B(?=(\d{3})+$)/g, ',')}.${cents} ${currency}`.trim();
}

/** The same, rounded half away from zero to two digits: for sums. Something that is not nothing never reads as nothing. */
export function moneySum(amount: string | number | null | undefined, currency: string): string {
  const text = amount === null || amount === undefined ? '' : String(amount);
  const parts = /^(-?)(\d+)(?:\.(\d*))?$/.exec(text);
  if (!parts) return moneyExact(amount, currency);
  const [, sign, whole = '', fraction = ''] = parts;
  const up = Number(fraction.charAt(2) || '0') >= 5 ? 1n : 0n;
  const cents = BigInt(`${whole}${fraction.slice(0, 2).padEnd(2, '0')}`) + up;
  if (cents === 0n && /[1-9]/.test(fraction)) return `${sign ? '−' : ''}< 0.01 ${currency}`.trim();
  const digits = cents.toString().padStart(3, '0');
  return moneyExact(`${cents === 0n ? '' : sign}${digits.slice(0, -2)}.${digits.slice(-2)}`, currency);
}

/** Sum of decimal strings, exact. */
export function sumMoney(amounts: readonly string[]): string {
  const parsed = amounts.map((amount) => /^(-?)(\d+)(?:\.(\d*))?$/.exec(amount)).filter((parts) => parts !== null);
  const scale = Math.max(0, ...parsed.map((parts) => parts[3]?.length ?? 0));
  const total = parsed.reduce((sum, [, sign, whole = '0', fraction = '']) => {
    const value = BigInt(`${whole}${fraction.padEnd(scale, '0')}`);
    return sign ? sum - value : sum + value;
  }, 0n);
  const digits = (total < 0n ? -total : total).toString().padStart(scale + 1, '0');
  const text = scale === 0 ? digits : `${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
  return total < 0n ? `-${text}` : text;
}
