// SPDX-License-Identifier: Apache-2.0 OR MIT

import { clock } from '../player/time.ts';

const DAY = 24 * 3600;

/** What is said `seconds` before a planned start; below 0 it is over. */
export function countdown(seconds: number): string {
  if (seconds <= 0) return 'It should begin any moment.';
  if (seconds < DAY) return `Starts in ${clock(Math.ceil(seconds))}`;
  const days = Math.floor(seconds / DAY);
  const hours = Math.floor((seconds % DAY) / 3600);
  const parts = [`${days} ${days === 1 ? 'day' : 'days'}`, ...(hours > 0 ? [`${hours} ${hours === 1 ? 'hour' : 'hours'}`] : [])];
  return `Starts in ${parts.join(' and ')}`;
}

/** The planned moment in the viewer's own words and zone. */
export function moment(at: Date, now: Date): string {
  const today = at.toDateString() === now.toDateString();
  const day: Intl.DateTimeFormatOptions = today ? {} : { weekday: 'long', day: 'numeric', month: 'long' };
  return new Intl.DateTimeFormat('en-GB', { ...day, hour: '2-digit', minute: '2-digit' }).format(at);
}
