// SPDX-License-Identifier: Apache-2.0 OR MIT
// A cluster as it is each second, by its own stream of events; asked for again and again where there is none.

import { api, ask, asProblem, type Problem, type Schemas } from '../../lib/api.ts';
import type { Resource } from '../../lib/resource.svelte.ts';
import { eventsOf } from '../../lib/sse.ts';

type Cluster = Schemas['ClusterView'];

const SILENCE_MS = 10_000;
const RETRY_MS = 2_000;

export function followCluster(id: () => string, each: (cluster: Cluster) => void): Resource<Cluster> {
  let data = $state.raw<Cluster>();
  let problem = $state.raw<Problem | null>(null);
  const take = (cluster: Cluster) => {
    data = cluster;
    problem = null;
    each(cluster);
  };
  const read = async (of: string) => {
    try {
      take(await ask(api.GET('/v1/clusters/{id}', { params: { path: { id: of } } })));
    } catch (error) {
      problem = asProblem(error);
    }
  };
  $effect(() => {
    const of = id();
    let closed = false;
    let abort = new AbortController();
    void (async () => {
      while (!closed) {
        await read(of);
        abort = new AbortController();
        try {
          const headers = { accept: 'text/event-stream' };
          const call = api.GET('/v1/clusters/{id}/stream', { params: { path: { id: of } }, headers, parseAs: 'stream', signal: abort.signal });
          const body = (await ask(call as never)) as ReadableStream<Uint8Array> | null;
          if (!body) throw new Error('the stream has no body');
          for await (const event of eventsOf(body, SILENCE_MS, abort)) {
            if (closed) return;
            if (event.event === 'gone') break;
            if (event.event === 'cluster') take(JSON.parse(event.data) as Cluster);
          }
        } catch {
          // The next look says why, if it fails as well.
        }
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    })();
    return () => {
      closed = true;
      abort.abort();
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
    refresh: () => read(id()),
    set: take,
  };
}
