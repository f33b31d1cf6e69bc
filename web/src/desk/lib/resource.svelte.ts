// SPDX-License-Identifier: Apache-2.0 OR MIT
// What a page reads: asked when it opens, asked again when the log says that it changed, and from time to time.

import { untrack } from 'svelte';
import { newestFirst, through, type Read } from './all.ts';
import { asProblem, PAGE_ITEMS, type Problem } from './api.ts';
import { live, type LogEntry } from './live.svelte.ts';

/** Entries within this time are answered by one look. */
const GATHER_MS = 150;
/** How often something is looked at again when nothing says that it changed. */
const EVERY_MS = 30_000;
/** The same while there is no stream of events. */
const EVERY_WITHOUT_EVENTS_MS = 5_000;

export interface Watching {
  /** Beginnings of log types (`'channel'`, `'breakout.running'`) or a question about an entry. */
  on?: string[] | ((entry: LogEntry) => boolean) | undefined;
  /** Milliseconds between looks; 0 for none but by events. */
  every?: number | undefined;
}

export interface Resource<T> {
  readonly data: T | undefined;
  readonly problem: Problem | null;
  /** Whether nothing has been read yet. */
  readonly loading: boolean;
  refresh(): Promise<void>;
  /** Puts an answer in place that another call gave. */
  set(data: T): void;
}

/** Call it while a component is made. `read` runs again when state that it uses before its first `await` changes. */
export function resource<T>(read: (signal: AbortSignal) => Promise<T>, watching: Watching = {}): Resource<T> {
  let data = $state.raw<T>();
  let problem = $state.raw<Problem | null>(null);
  let asked = 0;
  let shown = 0;
  let abort = new AbortController();

  async function look(promise: Promise<T>): Promise<void> {
    const mine = ++asked;
    try {
      const answer = await promise;
      if (mine < shown) return;
      shown = mine;
      data = answer;
      problem = null;
    } catch (error) {
      if (mine < shown || (error instanceof DOMException && error.name === 'AbortError')) return;
      shown = mine;
      problem = asProblem(error);
    }
  }

  const refresh = () => look(untrack(() => read(abort.signal)));

  $effect(() => {
    abort = new AbortController();
    const mine = abort;
    void look(read(mine.signal));
    return () => mine.abort();
  });

  $effect(() => {
    let gathering: number | undefined;
    const soon = () => {
      gathering ??= window.setTimeout(() => {
        gathering = undefined;
        void refresh();
      }, GATHER_MS);
    };
    const { on, every = EVERY_MS } = watching;
    const concerns = (entry: LogEntry) =>
      typeof on === 'function' ? on(entry) : (on ?? []).some((start) => entry.type === start || entry.type.startsWith(`${start}.`));
    const off = on ? live.on((entry) => void (concerns(entry) && soon())) : undefined;
    const events = Boolean(on) && live.state === 'live';
    const period = every === 0 ? 0 : events || !on ? every : Math.min(every, EVERY_WITHOUT_EVENTS_MS);
    const timer = period ? window.setInterval(() => document.visibilityState === 'visible' && void refresh(), period) : undefined;
    const shown = () => document.visibilityState === 'visible' && void refresh();
    document.addEventListener('visibilitychange', shown);
    return () => {
      off?.();
      window.clearInterval(timer);
      window.clearTimeout(gathering);
      document.removeEventListener('visibilitychange', shown);
    };
  });

  return {
    get data() {
      return data;
    },
    get problem() {
      return problem;
    },
    get loading() {
      return data === undefined && problem === null;
    },
    refresh,
    set(answer: T) {
      shown = ++asked;
      data = answer;
      problem = null;
    },
  };
}

type PageOf<T> = { items: T[]; next?: string | null };

export interface Paged<T> extends Resource<T[]> {
  /** Whether there is more than what was read. */
  readonly more: boolean;
  readonly loadingMore: boolean;
  loadMore(): Promise<void>;
}

/** A list by cursor: what has been loaded is kept fresh, more comes when it is asked for. */
export function paged<T>(
  read: (after: string | undefined, signal: AbortSignal) => Promise<PageOf<T>>,
  watching: Watching = {},
): Paged<T> {
  let pages = 1;
  let next = $state.raw<string | null>(null);
  let loadingMore = $state(false);
  const list = resource<T[]>(async (signal) => {
    let page = await read(undefined, signal);
    const items = [...page.items];
    for (let count = 1; count < pages && page.next; count += 1) {
      page = await read(page.next, signal);
      items.push(...page.items);
    }
    next = page.next ?? null;
    return items;
  }, watching);
  return {
    get data() {
      return list.data;
    },
    get problem() {
      return list.problem;
    },
    get loading() {
      return list.loading;
    },
    refresh: list.refresh,
    set: list.set,
    get more() {
      return next !== null;
    },
    get loadingMore() {
      return loadingMore;
    },
    async loadMore() {
      if (loadingMore || next === null) return;
      loadingMore = true;
      pages += 1;
      await list.refresh();
      loadingMore = false;
    },
  };
}

export interface Newest<T> extends Paged<T> {
  /** All that were looked through, of which `data` are the newest. */
  readonly looked: readonly T[];
  /** Whether there is more than was looked through. */
  readonly cut: boolean;
}

export interface NewestWatching<T> extends Watching {
  /** The time by which they are ordered, where it is another one than the server orders by. */
  at?: (item: T) => string;
  /** Pages of the list that are read at once. */
  most?: number;
}

/** A list of the newest first, a page of it at a time. State that `read` uses is followed, as in `resource`. */
export function newest<T>(read: Read<T>, { at, most = 1, ...watching }: NewestWatching<T> = {}): Newest<T> {
  let shown = $state(PAGE_ITEMS);
  const list = paged<T>((after) => through(read, after, most), watching);
  const sorted = $derived(list.data && at ? newestFirst(list.data, at) : list.data);
  const seen = $derived(sorted?.slice(0, shown));
  return {
    get data() {
      return seen;
    },
    get problem() {
      return list.problem;
    },
    get loading() {
      return list.loading;
    },
    refresh: list.refresh,
    set: list.set,
    get more() {
      return list.more || (sorted?.length ?? 0) > shown;
    },
    get loadingMore() {
      return list.loadingMore;
    },
    async loadMore() {
      shown += PAGE_ITEMS;
      if (list.more && shown > (sorted?.length ?? 0)) await list.loadMore();
    },
    get looked() {
      return sorted ?? [];
    },
    get cut() {
      return list.more;
    },
  };
}
