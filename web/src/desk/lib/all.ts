// SPDX-License-Identifier: Apache-2.0 OR MIT
// Lists that are read to their end, or to a stated limit: all of them, or the newest first.

import { ask, PAGE_ITEMS } from './api.ts';
import { count } from './format.ts';

/** Pages of a list at most that are read at once. */
const MAX_PAGES = 10;
/** How lists are asked for their newest first: they begin with the oldest by themselves. */
const ORDER: { order?: 'newest' } = { order: 'newest' };

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

/** As much of a list as the newest are found in, from the cursor `after` on. The server may have more behind `next`. */
export const through = <T>(read: Read<T>, after?: string): Promise<Pages<T>> => pages(read, { ...ORDER, ...(after && { after }) }, ORDER.order ? 1 : MAX_PAGES);

/** What was found in a list, the newest first; `cut` is whether there is more than was looked through. */
export interface Found<T> {
  items: T[];
  cut: boolean;
}

/** The newest of a list first, looked through to the limit. */
export async function newestOf<T>(read: Read<T>, at: (item: T) => string): Promise<Found<T>> {
  const { items, next } = await pages(read, ORDER, MAX_PAGES);
  return { items: newestFirst(items, at), cut: next !== null };
}

/** Sorted by time, the newest first. */
export const newestFirst = <T>(items: readonly T[], at: (item: T) => string): T[] => [...items].sort((a, b) => at(b).localeCompare(at(a)));

/** Says that there is more than was looked through: “Only the 2,000 oldest assets were looked through.” */
export const cutWords = (looked: number, noun: string) => `Only the ${count(looked)} ${ORDER.order ?? 'oldest'} ${noun} were looked through.`;
