// SPDX-License-Identifier: Apache-2.0 OR MIT
// The log of one object: the past once, then what comes.

import { api, ask, PAGE_ITEMS } from '../../lib/api.ts';
import { live, type LogEntry } from '../../lib/live.svelte.ts';
import { fits, joined, type LogFilter } from '../../lib/logs.ts';
import { may } from '../../lib/session.svelte.ts';

/** Call it while a component is made. Entries are read anew when state that `filter` uses changes. */
export function entriesOf(filter: () => LogFilter): { readonly entries: LogEntry[] } {
  let entries = $state.raw<LogEntry[]>([]);
  $effect(() => {
    if (!may('log:view')) return;
    const wanted = filter();
    let closed = false;
    let whole: LogEntry[] = [];
    const join = (more: LogEntry[]) => void (closed || (entries = whole = joined(whole, more, wanted.sort, PAGE_ITEMS)));
    const read = () => void ask(api.GET('/v1/log', { params: { query: { ...wanted, limit: PAGE_ITEMS } } })).then(({ items }) => join(items), () => {});
    entries = [];
    read();
    const timer = window.setInterval(() => live.state !== 'live' && read(), 5_000);
    const off = live.on((entry) => void (fits(entry, wanted) && join([entry])));
    return () => {
      closed = true;
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
