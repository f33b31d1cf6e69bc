// SPDX-License-Identifier: Apache-2.0 OR MIT
import { ask, PAGE_ITEMS } from './api.ts';

/** Pages of a list at most that are read at once. */
const MAX_PAGES = 10;

type Read<T> = (query: { limit: number; after?: string }) => Promise<{ data?: { items: T[]; next?: string | null }; error?: unknown; response: Response }>;

/** All items of a list, as far as a page of the desk can show them. */
export async function all<T>(read: Read<T>): Promise<T[]> {
  const items: T[] = [];
  let after: string | null | undefined;
  for (let pages = 0; pages < MAX_PAGES; pages += 1) {
    const page = await ask(read(after ? { limit: PAGE_ITEMS, after } : { limit: PAGE_ITEMS }));
    items.push(...page.items);
    after = page.next;
    if (!after) break;
  }
  return items;
}
