// SPDX-License-Identifier: Apache-2.0 OR MIT
// Signed addresses of pictures, asked for once per asset and kept while they open something. A few at a time: a library has many.

import { parseSprite, type Tile } from '../../player/sprite.ts';
import { api, ask, type Schemas } from '../lib/api.ts';
import { may } from '../lib/session.svelte.ts';

export type Play = Schemas['AssetPlay'];

const EXPIRES_SECONDS = 3_600;
/** Asked for anew so long before it expires. */
const SPARE_MS = 300_000;
const AT_ONCE = 4;
const KEPT_MAX = 500;

const known = new Map<string, { version: string; until: number; play: Promise<Play | null> }>();
const sheets = new Map<string, Promise<Tile[]>>();
const waiting: (() => void)[] = [];
let running = 0;

/** Where the pictures of an asset are; null when it has none or they may not be seen. `version` changes when there are others. */
export function pictures(id: string, version: string): Promise<Play | null> {
  if (!may('asset:sign')) return Promise.resolve(null);
  const old = known.get(id);
  if (old && old.version === version && old.until > Date.now()) return old.play;
  const play = inTurn(() =>
    ask(api.POST('/v1/assets/{id}/play-url', { params: { path: { id } }, body: { preview: true, expires_in_seconds: EXPIRES_SECONDS } })),
  ).catch(() => null);
  if (known.size >= KEPT_MAX) known.delete(known.keys().next().value ?? '');
  known.set(id, { version, until: Date.now() + EXPIRES_SECONDS * 1000 - SPARE_MS, play });
  return play;
}

/** Which moment is on which part of which sheet; empty when there is none. */
export function tiles(url: string): Promise<Tile[]> {
  const old = sheets.get(url);
  if (old) return old;
  // Media of the delivery network, no part of the API.
  const read = fetch(url, { credentials: 'omit' })
    .then(async (answer) => (answer.ok ? parseSprite(await answer.text(), url) : []))
    .catch((): Tile[] => []);
  if (sheets.size >= KEPT_MAX) sheets.delete(sheets.keys().next().value ?? '');
  sheets.set(url, read);
  return read;
}

async function inTurn<T>(work: () => Promise<T>): Promise<T> {
  if (running >= AT_ONCE) await new Promise<void>((go) => waiting.push(go));
  running += 1;
  try {
    return await work();
  } finally {
    running -= 1;
    waiting.shift()?.();
  }
}
