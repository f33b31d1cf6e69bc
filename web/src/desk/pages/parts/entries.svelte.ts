// SPDX-License-Identifier: Apache-2.0 OR MIT
// The log of one object: the past once, then what comes.

import { api, ask } from '../../lib/api.ts';
import { live, type LogEntry } from '../../lib/live.svelte.ts';
import { may } from '../../lib/session.svelte.ts';

const SHOWN = 200;

function entriesOf(ask: () => Promise<LogEntry[]>, mine: (entry: LogEntry) => boolean): { readonly entries: LogEntry[] } {
  let entries = $state.raw<LogEntry[]>([]);
  const join = (more: LogEntry[]) => {
    const known = new Set(entries.map(({ sequence }) => sequence));
    entries = [...entries, ...more.filter(({ sequence }) => !known.has(sequence))].sort((a, b) => b.sequence - a.sequence).slice(0, SHOWN);
  };
  $effect(() => {
    if (!may('log:view')) return;
    const read = () => void ask().then(join, () => {});
    read();
    const timer = window.setInterval(() => live.state !== 'live' && read(), 5_000);
    const off = live.on((entry) => void (mine(entry) && join([entry])));
    return () => {
      window.clearInterval(timer);
      off();
    };
  });
  return {
    get entries() {
      return entries;
    },
  };
}

export const channelEntries = (id: () => string) =>
  entriesOf(
    async () => (await ask(api.GET('/v1/log', { params: { query: { channel: id(), limit: 100 } } }))).items,
    (entry) => entry.channel === id(),
  );

export const breakoutEntries = (id: () => string) =>
  entriesOf(
    async () => (await ask(api.GET('/v1/log', { params: { query: { breakout: id(), limit: 100 } } }))).items,
    (entry) => entry.breakout === id(),
  );
