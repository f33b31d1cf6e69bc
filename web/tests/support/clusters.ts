// SPDX-License-Identifier: Apache-2.0 OR MIT
// Clusters of the stand-in control plane: one with a closed region, and what forms do with it.

import type { components } from '../../src/api/schema.d.ts';

type S = components['schemas'];
type Json = Record<string, unknown>;

const ago = (seconds: number) => new Date(Date.now() - seconds * 1_000).toISOString();

export function playlist(region: string, label: string, index: number, stale: boolean): S['PlaylistView'] {
  return {
    region,
    stream: 'b-final',
    label,
    way: 'cdn',
    role: label === 'audio' ? 'audio' : 'video',
    url: `https://${region}.cdn.example.com/b-final/v${index}.m3u8`,
    state: stale ? 'stale' : 'fresh',
    since: ago(3_000),
    changed_at: ago(stale ? 19 : 2),
    age_ms: stale ? 19_400 : 2_100 + index * 340,
    limit_ms: 9_000,
    answer_ms: 24 + index * 7,
    behind_ms: stale ? 25_300 : 7_900,
    duration_seconds: 6,
    media_sequence: 10_231,
    newest_sequence: 10_241,
    trouble: null,
    findings: stale ? [{ kind: 'unchanged', evidence: 'has not changed for 19.4 s', makes_stale: true }] : [],
    statistics: { intervals: 25, min_seconds: 5.8, max_seconds: 6.4, mean_seconds: 6.01, median_seconds: 6, p90_seconds: 6.2 },
  };
}

function region(name: string, more: Partial<S['RegionView']> = {}): S['RegionView'] {
  return {
    name,
    origin_url: `https://origin-${name}.example.com/{breakout}/index.m3u8`,
    cdn_url: `https://${name}.cdn.example.com/{breakout}/index.m3u8`,
    distribution: null,
    paths: [],
    headers: [],
    opening: 'open',
    by: 'nothing',
    in_force: true,
    automat: 'open',
    operator: null,
    since: ago(86_000),
    until: null,
    who: null,
    why: null,
    verdict: 'fresh',
    verdict_reason: null,
    verdict_since: ago(86_000),
    watchers: 2,
    watchers_stale: 0,
    age_ms: 2_780,
    behind_ms: 7_900,
    latency_ms: 31,
    origin_latency_ms: 12,
    playlists: 3,
    playlists_stale: 0,
    peer: { url: `https://control-${name}.example.com`, reachable: true, node: `control-${name}`, heard_at: ago(1), next_try_at: null, problem: null, differs: null },
    ...more,
  };
}

export function cluster(): S['ClusterView'] {
  return {
    id: 'cl-1',
    name: 'Europe',
    here: 'north',
    created_at: ago(9e5),
    updated_at: ago(9e4),
    version: 41,
    decides: true,
    warning: 'south is closed: one region is left',
    silent_watchers: [],
    alignment: [{ region: 'north', stream: 'b-final', clock: ago(4_209), problem: null, waiting: false }, { region: 'south', stream: 'b-final', clock: ago(4_209), problem: null, waiting: false }],
    automat: { mode: 'automatic', confirm_ms: 5_000, cool_down_ms: 60_000, drain_ms: 2_000, hold_ms: 30_000 },
    watch: { preset: 'default', vote: 'majority', silence_ms: 10_000, multiplier: 1.5, tolerance: null },
    regions: [
      region('north', { peer: null }),
      region('south', { opening: 'closed', by: 'automat', automat: 'closed', who: 'automat', why: '2 of 2 watchers say stale for 5 s', since: ago(120), verdict: 'stale', verdict_since: ago(126), verdict_reason: 'v0.m3u8 has not moved for 19.4 s', watchers_stale: 2, age_ms: 19_400, behind_ms: 25_300, playlists_stale: 3 }),
    ],
  };
}

/** A region as it is once somebody has typed it. */
function defined(given: S['RegionGiven'], before: S['RegionView'] | undefined): S['RegionView'] {
  const { name, origin_url, cdn_url, distribution, paths, peer, headers } = given;
  if (!/^https?:/.test(origin_url)) throw { status: 422, detail: `the URL of a playlist begins with http:// or https://: "${origin_url}"`, field: 'origin_url' };
  const known = before?.peer && peer && before.peer.url === peer.url;
  if (peer && !peer.token && !known) throw { status: 422, detail: 'a peer needs an API token there with scope cluster', field: 'peer' };
  const answers = { reachable: true, node: `control-${name}`, heard_at: ago(0), next_try_at: null, problem: null, differs: null };
  return {
    ...(before ?? region(name, { verdict: 'unknown', watchers: 0, since: null, age_ms: null, latency_ms: null, origin_latency_ms: null })),
    name,
    origin_url,
    cdn_url: cdn_url ?? origin_url,
    distribution: distribution ?? null,
    paths: paths ?? [],
    headers: headers ? Object.keys(headers).sort() : (before?.headers ?? []),
    peer: peer ? { ...answers, ...before?.peer, url: peer.url } : null,
  };
}

function change(now: S['ClusterView'], body: S['ClusterPatch']): S['ClusterView'] {
  const given = body.regions ?? [];
  const twice = given.find(({ name }, at) => given.some((other, index) => index < at && other.name === name));
  if (twice) throw { status: 422, detail: `two regions have the same name: "${twice.name}"`, field: 'regions' };
  if ((body.automat?.hold_ms ?? 1_000) < 1_000) throw { status: 422, detail: `hold_ms is 1000 to 3600000: ${body.automat?.hold_ms}`, field: 'hold_ms' };
  if (body.regions) now.regions = body.regions.map((one) => defined(one, now.regions.find(({ name }) => name === one.name)));
  if (body.here !== undefined) now.here = body.here || null;
  Object.assign(now.automat, body.automat);
  Object.assign(now.watch, body.watch);
  return now;
}

/** What `POST /v1/clusters…`, `PATCH` and `DELETE` do; null for an answer without a body. */
export function writeCluster(all: S['ClusterView'][], method: string, id: string, verb: string, body: Json): S['ClusterView'] | null {
  if (method === 'POST' && (!id || id === 'join')) {
    const name = String(body['name']);
    if (all.some((one) => one.name === name)) throw { status: 409, detail: 'a cluster of this name exists', field: 'name' };
    const made = { ...cluster(), id: `cl-${all.length + 1}`, name, warning: null, alignment: [] };
    if (id === 'join') join(made, body as unknown as S['ClusterJoin']);
    else change(made, { here: null, ...(body as S['ClusterPatch']) });
    all.push(made);
    return made;
  }
  const at = all.findIndex((one) => one.id === id);
  const now = all[at];
  if (!now) throw { status: 404, detail: 'there is no such thing' };
  if (method === 'DELETE') return all.splice(at, 1), null;
  if (method === 'PATCH') return change(now, body as S['ClusterPatch']);
  const of = now.regions.find((one) => one.name === body['region']);
  const tokens = body['tokens'] as Record<string, string> | undefined;
  if (verb === 'pull') {
    if (!tokens?.['west']) throw { status: 422, detail: 'region "west" is an instance of its own: give a token with scope cluster that it knows', field: 'tokens' };
    if (of?.peer) of.peer.differs = null;
    now.regions.push(region('west'));
  }
  if (of && (verb === 'close' || verb === 'drill')) Object.assign(of, { opening: 'closed', by: verb === 'drill' ? 'drill' : 'operator', why: body['why'] || null, who: 'ada', since: ago(0) });
  if (of && (verb === 'open' || verb === 'automatic')) Object.assign(of, { opening: 'open', by: 'operator' });
  return now;
}

function join(made: S['ClusterView'], { here, peer, tokens }: S['ClusterJoin']): void {
  if (!peer.url.includes('control-north')) throw { status: 409, detail: `the peer has no cluster "${made.name}": create it there, too` };
  if (!['south', 'west'].includes(here)) throw { status: 422, detail: `there is no region with this name: "${here}"`, field: 'here' };
  const other = here === 'south' ? 'west' : 'south';
  if (!tokens?.[other]) throw { status: 422, detail: `region "${other}" is an instance of its own: give a token with scope cluster that it knows`, field: 'tokens' };
  made.here = here;
  made.regions = ['north', 'south', 'west'].map((name) => (name === here ? region(name, { peer: null }) : region(name)));
}
