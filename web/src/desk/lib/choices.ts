// SPDX-License-Identifier: Apache-2.0 OR MIT
// What filters and searches offer to choose from: the newest first, and said in words where there is more.

import { cutWords, newestOf, type Found } from './all.ts';
import { api, type Schemas } from './api.ts';
import { may } from './session.svelte.ts';

/** Breakouts, the newest first; none for who may not see them. */
export const breakoutChoices = async (): Promise<Found<Schemas['Breakout']>> =>
  may('breakout:view') ? newestOf((query) => api.GET('/v1/breakouts', { params: { query } })) : { items: [], cut: false };

/** Assets, the newest first; none for who may not see them. */
export const assetChoices = async (): Promise<Found<Schemas['Asset']>> =>
  may('asset:view') ? newestOf((query) => api.GET('/v1/assets', { params: { query } })) : { items: [], cut: false };

/** A select of a filter bar for what was found; null when there is nothing to choose. */
export function choice(name: string, label: string, noun: string, found: Found<{ id: string; name: string }> | undefined, every = 'All') {
  if (!found?.items.length) return null;
  const options = found.items.map((one) => ({ value: one.id, text: one.name }));
  return { name, label, all: every, options, ...(found.cut && { note: cutWords(found.items.length, noun) }) };
}
