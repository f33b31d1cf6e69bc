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

/** Objects that stand on the page of another one. */
const TABS: Record<string, string> = { 'access keys': '/keys?tab=access', assets: '/library', 'key groups': '/keys?tab=groups' };

/** `key_group` is “Key groups”. */
function many(object: string): string {
  const word = titled(object);
  if (/s$/.test(word)) return word;
  return /[^aeiou]y$/.test(word) ? `${word.slice(0, -1)}ies` : `${word}s`;
}

/** What was counted of an object, with its page among `routes` if it `may` be seen. */
export function recordRow({ object, count }: { object: string; count: number }, routes: readonly Pick<Route, 'path' | 'needs'>[], may: (privilege: string) => boolean): RecordRow {
  const name = many(object);
  const place = TABS[name.toLowerCase()] ?? `/${name.toLowerCase().replaceAll(' ', '-')}`;
  const route = routes.find(({ path }) => path === place.split('?')[0]);
  return { object, name, count, href: route && (!route.needs || may(route.needs)) ? place : null };
}
