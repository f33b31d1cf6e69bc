// SPDX-License-Identifier: Apache-2.0 OR MIT
// Which entries of the log are wanted: what the server filters by, asked of entries that come live.

import type { LogEntry } from './live.svelte.ts';

/** Filters of `GET /v1/log`, as it names them. */
export interface LogFilter {
  kind?: string;
  type?: string;
  actor?: string;
  account?: string;
  channel?: string;
  breakout?: string;
  subject?: string;
  since?: string;
  until?: string;
  sort?: string;
}

/** What types begin with. */
export const LOG_TYPES = ['access-key', 'account', 'alarm', 'arrival', 'asset', 'breakout', 'bucket', 'channel', 'cluster', 'collection', 'distribution', 'event', 'input', 'invalidation', 'job', 'key', 'key_group', 'node', 'operation', 'recording', 'token', 'user', 'viewer', 'webhook'];
/** Those of them that concern one breakout or one channel. */
export const STREAM_TYPES = ['alarm', 'breakout', 'channel', 'distribution', 'input', 'recording', 'viewer'];
export const SORTS = [
  { value: 'desc', text: 'Newest first' },
  { value: 'asc', text: 'Oldest first' },
];

/** Whether an entry is one of those that are wanted; `names` leads from names of channels and breakouts to their ids. */
export function fits(entry: LogEntry, filter: LogFilter, names: ReadonlyMap<string, string> = new Map()): boolean {
  const is = (wanted: string | undefined, has: string | null | undefined) => !wanted || wanted === has || names.get(wanted) === has;
  const { type, since, until } = filter;
  return (
    is(filter.kind, entry.kind) &&
    (!type || entry.type === type || entry.type.startsWith(`${type}.`)) &&
    is(filter.actor, entry.actor) &&
    is(filter.account, entry.account) &&
    is(filter.channel, entry.channel) &&
    is(filter.breakout, entry.breakout) &&
    is(filter.subject, entry.subject.id) &&
    (!since || Date.parse(entry.at) >= Date.parse(since)) &&
    (!until || Date.parse(entry.at) < Date.parse(until))
  );
}

/** Entries with more of them, each once, in the order of `sort`, and `most` of them at most: those that come first. */
export function joined(entries: readonly LogEntry[], more: readonly LogEntry[], sort: string | undefined, most: number): LogEntry[] {
  const known = new Set(entries.map(({ sequence }) => sequence));
  const sign = sort === 'asc' ? -1 : 1;
  return [...entries, ...more.filter(({ sequence }) => !known.has(sequence))].sort((a, b) => sign * (b.sequence - a.sequence)).slice(0, most);
}
