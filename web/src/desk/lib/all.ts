// SPDX-License-Identifier: Apache-2.0 OR MIT
// Lists that are read to their end, or to a stated limit: all of them, or the newest first.

import { ask, PAGE_ITEMS } from './api.ts';
import { count } from './format.ts';

/** Pages of a list at most that are read at once. Where a page of the desk looks for something among them, it reads so many. */
export const MAX_PAGES = 10;
/** How lists are asked for their newest first: they begin with the oldest by themselves. */
const ORDER = { order: 'newest' } as const;

export interface Query {
  limit: number;
  after?: string;
  order?: 'newest';
}
/** Reads one page of a list. */
export type Read<T> = (query: Query) => Promise<{ data?: { items: T[]; next?: string | null }; error?: unknown; response: Response }>;

interface Pages<T> {
  items: T[];
  next: string | null;
}

async function pages<T>(read: Read<T>, start: Omit<Query, 'limit'>, most: number): Promise<Pages<T>> {
  const items: T[] = [];
  let after = start.after;
  for (let number = 0; number < most; number += 1) {
    const page = await ask(read({ ...start, limit: PAGE_ITEMS, ...(after && { after }) }));
    items.push(...page.items);
    after = page.next ?? undefined;
    if (!after) break;
  }
  return { items, next: after ?? null };
}

/** All items of a list, as far as a page of the desk can show them. */
export const all = async <T>(read: Read<T>): Promise<T[]> => (await pages(read, {}, MAX_PAGES)).items;

/** So many pages of a list, the newest first, from the cursor `after` on. The server may have more behind `next`. */
export const through = <T>(read: Read<T>, after?: string, most = 1): Promise<Pages<T>> => pages(read, { ...ORDER, ...(after && { after }) }, most);

/** What was found in a list, the newest first; `cut` is whether there is more than was looked through. */
export interface Found<T> {
  items: T[];
  cut: boolean;
}

/** The newest of a list first, looked through to the limit: as the server orders them, or by `at` where people go by another time. */
export async function newestOf<T>(read: Read<T>, at?: (item: T) => string): Promise<Found<T>> {
  const { items, next } = await pages(read, ORDER, MAX_PAGES);
  return { items: at ? newestFirst(items, at) : items, cut: next !== null };
}

/** Sorted by time, the newest first. */
export const newestFirst = <T>(items: readonly T[], at: (item: T) => string): T[] => [...items].sort((a, b) => at(b).localeCompare(at(a)));

/** Says that there is more than was looked through: “Only the 2,000 newest assets were looked through.” */
export const cutWords = (looked: number, noun: string) => `Only the ${count(looked)} newest ${noun} were looked through.`;
