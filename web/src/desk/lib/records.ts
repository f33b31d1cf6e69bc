// SPDX-License-Identifier: Apache-2.0 OR MIT
// Records of the database by object: in words, and where the desk lists them.

import type { Route } from './route.ts';
import { titled } from './words.ts';

export interface RecordRow {
  object: string;
  name: string;
  count: number;
  /** The page that lists them; null where there is none, or none for this person. */
  href: string | null;
}

/** Objects that have another name on the desk, or stand on the page of another one. */
const KNOWN: Record<string, { name?: string; page?: string }> = {
  access_key: { page: '/keys?tab=access' },
  asset: { page: '/library' },
  audit: { name: 'Audit entries', page: '/audit' },
  key_group: { page: '/keys?tab=groups' },
  log: { name: 'Log entries', page: '/activity' },
  operation: { page: '/jobs?tab=operations' },
  token: { name: 'API tokens', page: '/tokens' },
  viewer: { name: 'Viewer sessions' },
};

/** `key_group` is “Key groups”. */
function many(object: string): string {
  const word = titled(object);
  if (/s$/.test(word)) return word;
  return /[^aeiou]y$/.test(word) ? `${word.slice(0, -1)}ies` : `${word}s`;
}

/** What was counted of an object, with its page among `routes` if it `may` be seen. */
export function recordRow({ object, count }: { object: string; count: number }, routes: readonly Pick<Route, 'path' | 'needs'>[], may: (privilege: string) => boolean): RecordRow {
  const { name = many(object), page } = KNOWN[object] ?? {};
  const place = page ?? `/${name.toLowerCase().replaceAll(' ', '-')}`;
  const route = routes.find(({ path }) => path === place.split('?')[0]);
  return { object, name, count, href: route && (!route.needs || may(route.needs)) ? place : null };
}
