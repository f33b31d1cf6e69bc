// SPDX-License-Identifier: Apache-2.0 OR MIT
// What forms of clusters have in common: regions as they are typed and as the API takes them, and to which of them its words belong.

import type { Schemas } from './api.ts';

/** A region as it is typed. */
export interface RegionFields {
  name: string;
  origin: string;
  cdn: string;
  distribution: string;
  /** With spaces between them. */
  paths: string;
  peer: string;
  token: string;
  /** `Name: value` or `Name` alone in each line. */
  headers: string;
}

/** A token of an instance, for the region that it is. */
export interface RegionToken {
  region: string;
  token: string;
}

export const blankRegion = (): RegionFields => ({ name: '', origin: '', cdn: '', distribution: '', paths: '', peer: '', token: '', headers: '' });

/** A region as it is, to be changed; the API tells no token, and of headers the names. */
export function regionFields(region: Schemas['RegionView']): RegionFields {
  const { name, origin_url: origin, cdn_url, distribution, paths, peer, headers } = region;
  return { name, origin, cdn: cdn_url === origin ? '' : cdn_url, distribution: distribution ?? '', paths: paths.join(' '), peer: peer?.url ?? '', token: '', headers: headers.join('\n') };
}

/** What is typed, as the API takes it. What is empty is left out; headers are all taken away where `had` some and none is left. */
export function regionGiven(fields: RegionFields, had = false): Schemas['RegionGiven'] {
  const { name, origin, cdn, distribution, peer, token } = Object.fromEntries(Object.entries(fields).map(([key, value]) => [key, value.trim()])) as unknown as RegionFields;
  return {
    name,
    origin_url: origin,
    ...(cdn ? { cdn_url: cdn } : {}),
    ...(distribution ? { distribution, paths: words(fields.paths) } : {}),
    ...(fields.headers.trim() || had ? { headers: headersGiven(fields.headers) } : {}),
    ...(peer ? { peer: { url: peer, ...(token ? { token } : {}) } } : {}),
  };
}

/** Headers by name; one without a value keeps the value that the server has. */
function headersGiven(lines: string): Record<string, string | null> {
  const pairs = lines.split('\n').map((line) => line.trim()).filter(Boolean);
  return Object.fromEntries(
    pairs.map((line) => {
      const cut = line.indexOf(':');
      return cut < 0 ? [line, null] : [line.slice(0, cut).trim(), line.slice(cut + 1).trim() || null];
    }),
  );
}

/** What is typed with spaces or lines between it. */
export const words = (text: string): string[] => text.split(/\s+/).filter(Boolean);

/** Whether the server has a token for this region's instance already: it belongs to a name and an address. */
export const hasToken = (fields: RegionFields, was: Schemas['ClusterView'] | null): boolean =>
  Boolean(was?.regions.some((region) => region.name === fields.name.trim() && region.peer?.url === fields.peer.trim()));

const PLACE = /^regions\[(\d+)\](?:\.\w+)?(?: of region "[^"]*")?: /i;

/** A refusal without the place that it names: it stands there. */
export function withoutPlace(refusal: string): string {
  const words = refusal.replace(PLACE, '');
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/**
 * Which region a refusal is about: `regions[1].origin_url of region "us": …` says it. Else the API ends its words with what was
 * given: `not a URL of a playlist: "x"`. The first region that has such a value when nothing is told by that.
 */
export function regionRefused(refusal: string, regions: RegionFields[], given: (region: RegionFields) => string): number {
  const place = Number(PLACE.exec(refusal)?.[1] ?? -1);
  if (place >= 0 && place < regions.length) return place;
  const told = /^.*: "?(.*?)"?\.?$/s.exec(refusal)?.[1] ?? '';
  const values = regions.map((region) => given(region).trim());
  const same = values.lastIndexOf(told);
  if (same >= 0 && told) return same;
  // Long values are told by their beginning.
  const like = told ? values.findIndex((value) => value.includes(told)) : -1;
  return like >= 0 ? like : Math.max(values.findIndex(Boolean), 0);
}

/** The region for which the API asks for a token, by its words: `region "south" is an instance of its own: …`. */
export const regionWithoutToken = (refusal: string): string => /region "([^"]*)"/i.exec(refusal)?.[1] ?? '';

/** Tokens by region, as the API takes them. */
export const tokensGiven = (rows: RegionToken[]): Record<string, string> =>
  Object.fromEntries(rows.map(({ region, token }) => [region.trim(), token.trim()] as const).filter(([region, token]) => region && token));

/** Whole milliseconds of seconds that were typed; nothing for an empty field. */
export const asMs = (seconds: number | null | undefined): number | undefined => (seconds == null ? undefined : Math.round(seconds * 1_000));
