// SPDX-License-Identifier: Apache-2.0 OR MIT
// A stand-in for the control plane: answers of every list and object that the desk reads, typed by the API document, for
// states that are hard to reach with a real one. Writing operations change what is read next; each is kept in `asked`.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { components } from '../../src/api/schema.d.ts';
import { matrix, type Role } from '../../src/desk/lib/privileges.ts';
import { cluster, playlist, writeCluster } from './clusters.ts';
// @ts-expect-error a module of JavaScript
import { serveDist } from './dist.mjs';

type S = components['schemas'];
type Json = Record<string, unknown>;


/** Privileges of a role, as the server gives them when nothing is added or removed. */
export function privileges(role: Role): string[] {
  const all = matrix().flatMap(({ object, actions }) => actions.map((action) => `${object}:${action}`));
  if (role === 'owner' || role === 'admin') return all;
  const hidden = ['user', 'token', 'audit', 'key'];
  if (role === 'viewer') return all.filter((privilege) => privilege.endsWith(':view') && !hidden.includes(privilege.split(':')[0] ?? ''));
  const made = ['breakout', 'asset', 'collection', 'event', 'recording'];
  return all.filter((privilege) => {
    const [object = '', action = ''] = privilege.split(':');
    return action === 'view' || ['start', 'stop', 'abort', 'sign'].includes(action) || (['add', 'update'].includes(action) && made.includes(object));
  });
}

const ago = (seconds: number) => new Date(Date.now() - seconds * 1_000).toISOString();

function channel(id: string, name: string, more: Partial<S['Channel']> = {}): S['Channel'] {
  return {
    id,
    name,
    description: '',
    created_at: ago(900_000),
    updated_at: ago(4_000),
    desired_running: false,
    state: 'Idle',
    phase: 'active',
    problem: null,
    operation: null,
    ingest_allow: [],
    segment_target_seconds: 6,
    window_seconds: 60,
    failover: { enabled: true, preference: 'primary', loss_ms: 3_000, clear_ms: 30_000, active_input: null, reason: null },
    inputs: [input(`${id}-a`), input(`${id}-b`)],
    distribution: null,
    ...more,
  };
}

function input(id: string, state: Partial<S['InputNow']> = {}): S['Input'] {
  const key = `sk-${id}-9f31c07be2`;
  return {
    id,
    push_url: 'rtmp://ingest.example.com:1935/live',
    push_url_with_key: `rtmp://ingest.example.com:1935/live/${key}`,
    stream_key: key,
    state: { connected: false, encoder: null, remote: null, bitrate_bps: null, ...state },
  };
}

export function breakout(id: string, name: string, more: Partial<S['Breakout']> = {}): S['Breakout'] {
  return {
    id,
    name,
    description: '',
    created_at: ago(80_000),
    scheduled_at: null,
    started_at: null,
    ended_at: null,
    duration_minutes: null,
    channel: 'ch-main',
    cluster: null,
    event: null,
    state: 'IDLE',
    session: 1,
    curtain: 'up',
    attendance: 'full',
    device_limit: 1,
    ingest_allow: [],
    mp4: true,
    packaging: 'waiting',
    problem: null,
    notice: null,
    operation: null,
    tags: [],
    viewers: 0,
    show_viewers: false,
    viewer_download: false,
    refresh: 0,
    ...more,
  };
}

export class FakeDesk {
  role: Role = 'admin';
  loggedIn = true;
  setup = false;
  providers: { name: string; label: string }[] = [{ name: 'corp', label: 'Corp SSO' }];
  channels: S['Channel'][] = [];
  breakouts: S['Breakout'][] = [];
  clusters: S['ClusterView'][] = [];
  events: S['Event'][] = [];
  distributions: S['Distribution'][] = [];
  recordings: S['Recording'][] = [];
  viewers: S['ViewerSession'][] = [];
  history: S['HistoryItem'][] = [];
  votes: S['VoteView'][] = [];
  playlists: S['PlaylistView'][] = [];
  log: S['LogEntry'][] = [];
  overview: S['Overview'] = emptyOverview();
  operations: S['Operation'][] = [];
  /** Requests that changed something: `POST /v1/…`, with their bodies. */
  asked: { what: string; body: Json; csrf: string | undefined }[] = [];
  /** Answers instead of what is here: by `GET /v1/…`. A thrown `{ status, detail }` is a problem. */
  routes = new Map<string, (body: Json) => unknown>();
  /** What the play URL opens; answered by `media`. */
  media: ((path: string, response: ServerResponse) => Promise<void>) | null = null;
  private server: Server | undefined;
  private sockets = new Set<Socket>();
  private streams = new Set<ServerResponse>();

  get origin(): string {
    return `http://127.0.0.1:${(this.server?.address() as AddressInfo).port}`;
  }

  async start(): Promise<this> {
    this.server = createServer((request, response) => {
      this.answer(request, response).catch((error: unknown) => problem(response, 500, String(error)));
    });
    this.server.on('connection', (socket) => {
      this.sockets.add(socket);
      socket.on('close', () => this.sockets.delete(socket));
    });
    await new Promise<void>((resolve) => this.server?.listen(0, '127.0.0.1', resolve));
    return this;
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.server?.close(resolve));
    for (const socket of this.sockets) socket.destroy();
    await closed;
  }

  /** Writes into the log, and tells those who follow it. */
  happen(type: string, more: Partial<S['LogEntry']> = {}): void {
    const entry: S['LogEntry'] = {
      sequence: (this.log[0]?.sequence ?? 0) + 1,
      at: new Date().toISOString(),
      kind: 'transition',
      type,
      subject: { kind: type.split('.')[0] ?? '', id: '' },
      details: {},
      account: null,
      actor: null,
      breakout: null,
      channel: null,
      ...more,
    };
    this.log.unshift(entry);
    for (const stream of this.streams) stream.write(`id: ${entry.sequence}\nevent: ${type}\ndata: ${JSON.stringify(entry)}\n\n`);
  }

  /** Cuts every stream of events. */
  cut(): void {
    for (const stream of this.streams) stream.destroy();
  }

  me(): S['Me'] {
    return {
      kind: 'user',
      id: 'u-ada',
      name: 'ada',
      display_name: 'Ada Hall',
      role: this.role,
      privileges: privileges(this.role),
      session: { id: 's1', created_at: ago(600), expires_at: ago(-80_000) },
      csrf: 'word-of-this-session',
    };
  }

  protected async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', this.origin);
    const { pathname } = url;
    if (pathname.startsWith('/media/') && this.media) return this.media(pathname.slice(7), response);
    if (!pathname.startsWith('/v1/')) return serveDist(pathname, response) as Promise<void>;
    const method = request.method ?? 'GET';
    let text = '';
    for await (const chunk of request) text += String(chunk);
    const body = (text ? JSON.parse(text) : {}) as Json;
    const what = `${method} ${pathname}`;
    const csrf = request.headers['x-anabranch-csrf'] as string | undefined;
    if (method !== 'GET') this.asked.push({ what, body, csrf });
    const route = this.routes.get(what);
    try {
      if (route) return json(response, route(body));
      if (what === 'GET /v1/login') return json(response, { setup: this.setup, password: true, providers: this.providers });
      if (what === 'POST /v1/login' || what === 'POST /v1/setup') return this.enter(what, body, request, response);
      if (!this.loggedIn) throw { status: 401, detail: 'the session has ended' };
      if (method !== 'GET' && csrf !== 'word-of-this-session') throw { status: 403, detail: 'the header X-Anabranch-CSRF is missing', type: 'urn:anabranch:problem:csrf' };
      if (what === 'DELETE /v1/login') {
        this.loggedIn = false;
        return void response.writeHead(204).end();
      }
      if (/^GET \/v1\/clusters\/[^/]+\/stream$/.test(what)) return this.clusterStream(pathname, response);
      if (what === 'GET /v1/log/stream') return this.stream(response);
      const answer = method === 'GET' ? this.read(pathname, url.searchParams) : this.write(method, pathname, body);
      if (answer === null) return void response.writeHead(204).end();
      return json(response, answer);
    } catch (thrown) {
      const { status = 500, detail = String(thrown), ...more } = thrown as { status?: number; detail?: string };
      return problem(response, status, detail, more);
    }
  }

  private enter(what: string, body: Json, request: IncomingMessage, response: ServerResponse): void {
    if (what === 'POST /v1/setup' && request.headers.authorization !== 'Bearer the-first-token') throw { status: 401, detail: 'the token is not known' };
    if (body['password'] === 'too often') {
      response.setHeader('retry-after', '30');
      throw { status: 429, detail: 'too many attempts: wait 30 s' };
    }
    if (what === 'POST /v1/login' && body['password'] !== 'correct horse battery') throw { status: 401, detail: 'name or password is wrong' };
    this.loggedIn = true;
    this.setup = false;
    return json(response, this.me());
  }

  private stream(response: ServerResponse): void {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    response.write(': hello\n\n');
    this.streams.add(response);
    response.on('close', () => this.streams.delete(response));
  }

  private clusterStream(path: string, response: ServerResponse): void {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const tell = () => {
      const cluster = this.clusters.find((item) => path.includes(`/${item.id}/`));
      response.write(`event: cluster\ndata: ${JSON.stringify(cluster)}\n\n`);
    };
    tell();
    const timer = setInterval(tell, 500);
    response.on('close', () => clearInterval(timer));
  }

  protected read(path: string, query: URLSearchParams): unknown {
    const list = (items: unknown[]) => ({ items, next: null });
    const [, , kind = '', id, part] = path.split('/').map(decodeURIComponent);
    const one = <T extends { id: string }>(items: T[]) => items.find((item) => item.id === id) ?? gone();
    switch (`${kind}${part ? `/${part}` : ''}`) {
      case 'me':
        return this.me();
      case 'overview':
        return this.overview;
      case 'channels':
        return id ? one(this.channels) : list(this.channels);
      case 'breakouts':
        if (id) return one(this.breakouts);
        return page(this.breakouts.filter((item) => (!query.get('channel') || item.channel === query.get('channel')) && (!query.get('state') || query.get('state')?.split(',').includes(item.state))), query);
      case 'breakouts/viewers':
        return page(this.viewers, query);
      case 'breakouts/charges':
        return charges();
      case 'clusters':
        return id ? one(this.clusters) : list(this.clusters);
      case 'clusters/history':
        return list(this.history);
      case 'clusters/playlists':
        return list(this.playlists);
      case 'clusters/votes':
        return list(this.votes);
      case 'events':
        return id ? one(this.events) : list(this.events);
      case 'distributions':
        return id ? { ...one(this.distributions), config: { Comment: 'channel', Enabled: true, Origins: { Quantity: 1 } } } : list(this.distributions);
      case 'recordings':
        return id ? one(this.recordings) : page(this.recordings.filter((item) => !query.get('breakout') || item.breakout === query.get('breakout')), query);
      case 'accounts':
        return list([{ id: 'acc-1', name: 'Harbour Media', created_at: ago(9e6) } satisfies S['Account']]);
      case 'log': {
        const after = Number(query.get('after') ?? -1);
        const is = (name: string, has: string | null | undefined) => !query.get(name) || query.get(name) === has;
        const type = query.get('type') ?? '';
        const items = this.log.filter((entry) => entry.sequence > after && is('kind', entry.kind) && (!type || entry.type === type || entry.type.startsWith(`${type}.`)) && (!query.get('breakout') || entry.breakout === query.get('breakout')) && (!query.get('channel') || entry.channel === query.get('channel')));
        const sorted = query.get('sort') === 'asc' ? [...items].reverse() : items;
        return { items: sorted.slice(0, Number(query.get('limit') ?? 50)), newest: this.log[0]?.sequence ?? 0, oldest: 1, next: null } satisfies S['Log'];
      }
      case 'usage':
        if (id === 'series') return series(this.breakouts.length > 0 ? 1 : 0);
        return { from: ago(86_400), to: ago(0), by: 'breakout', items: [{ key: 'b-final', name: 'Spring final', ...counts() }], total: counts() } satisfies S['Usage'];
      case 'operations':
        return page(this.operations.filter((item) => !query.get('state') || item.state === query.get('state')), query);
      case 'counts':
        return { counts: this.counts() };
      case 'assets':
      case 'collections':
      case 'nodes':
      case 'users':
      case 'sessions':
        return list([]);
      default:
        return gone();
    }
  }

  /** Records by object. */
  protected counts(): { object: string; count: number }[] {
    const { breakouts, channels, clusters, distributions, events, recordings } = this;
    return Object.entries({ breakout: breakouts, channel: channels, cluster: clusters, distribution: distributions, event: events, recording: recordings }).map(([object, { length }]) => ({ object, count: length }));
  }

  protected write(method: string, path: string, body: Json): unknown {
    const [, , kind = '', id = '', verb = ''] = path.split('/').map(decodeURIComponent);
    if (kind === 'channels') return this.writeChannel(method, id, verb, body);
    if (kind === 'breakouts') return this.writeBreakout(method, id, verb, body);
    if (kind === 'clusters') {
      if (verb === 'play-url') return play(this.origin);
      return writeCluster(this.clusters, method, id, verb, body);
    }
    return null;
  }

  private writeChannel(method: string, id: string, verb: string, body: Json): unknown {
    if (method === 'POST' && !id) {
      if (this.channels.some((item) => item.name === body['name'])) throw { status: 409, detail: 'a channel of this name exists', field: 'name' };
      const made = channel(`ch-${this.channels.length + 1}`, String(body['name']), { description: String(body['description'] ?? '') });
      if (body['inputs'] !== 2) made.inputs = made.inputs.slice(0, 1);
      this.channels.unshift(made);
      this.happen('channel.created', { channel: made.id });
      return made;
    }
    const now = this.channels.find((item) => item.id === id) ?? gone();
    if (method === 'DELETE') {
      if (now.state !== 'Idle') throw { status: 409, detail: 'the channel is running: stop it first' };
      this.channels = this.channels.filter((item) => item !== now);
      return null;
    }
    if (verb === 'start') Object.assign(now, { state: 'Running', desired_running: true });
    if (verb === 'stop') Object.assign(now, { state: 'Idle', desired_running: false });
    if (verb === 'switch') now.failover.active_input = String(body['input']);
    if (verb === 'distribution') now.distribution = { id: 'E9', domain_name: 'e9.cdn.example.com', status: 'InProgress', enabled: true };
    if (method === 'PATCH') Object.assign(now, body, { failover: { ...now.failover, ...(body['failover'] as object) } });
    this.happen(`channel.${verb || 'changed'}`, { channel: id });
    return now;
  }

  private writeBreakout(method: string, id: string, verb: string, body: Json): unknown {
    if (method === 'POST' && !id) {
      const made = breakout(`b-${this.breakouts.length + 1}`, String(body['name']), { channel: String(body['channel']) });
      this.breakouts.unshift(made);
      this.happen('breakout.created', { breakout: made.id });
      return made;
    }
    const now = this.breakouts.find((item) => item.id === id) ?? gone();
    if (method === 'DELETE') return (this.breakouts = this.breakouts.filter((item) => item !== now)), null;
    if (verb === 'play-url') return play(this.origin);
    if (verb === 'start') Object.assign(now, { state: 'STARTING', started_at: ago(0) });
    if (verb === 'abort') Object.assign(now, { state: 'IDLE', started_at: null });
    if (verb === 'stop') Object.assign(now, { state: 'COMPLETED', ended_at: ago(0), packaging: 'ended' });
    if (verb === 'reset') Object.assign(now, { state: 'IDLE', session: now.session + 1, started_at: null, ended_at: null });
    if (verb === 'refresh') now.refresh += 1;
    if (verb === 'curtain') now.curtain = body['curtain'] as string;
    if (verb === 'revoke') this.viewers = this.viewers.filter((viewer) => viewer.session !== body['session']);
    if (method === 'PATCH') Object.assign(now, body);
    this.happen(`breakout.${verb || 'changed'}`, { breakout: id, channel: now.channel ?? null });
    return now;
  }
}

/** When something came to be. */
const born = (item: object): string => {
  const { created_at, entered_at, started_at } = item as Record<'created_at' | 'entered_at' | 'started_at', string | undefined>;
  return created_at ?? entered_at ?? started_at ?? '';
};

/** A page of a list, as order and cursor say. */
export function page<T extends object>(all: T[], query: URLSearchParams): { items: T[]; next: string | null } {
  const items = query.get('order') === 'newest' ? [...all].sort((a, b) => born(b).localeCompare(born(a))) : all;
  const from = Number(query.get('after') ?? 0);
  const to = from + Number(query.get('limit') ?? 50);
  return { items: items.slice(from, to), next: to < items.length ? String(to) : null };
}

function gone(): never {
  throw { status: 404, detail: 'there is no such thing' };
}

function json(response: ServerResponse, body: unknown): void {
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

function problem(response: ServerResponse, status: number, detail: string, more: object = {}): void {
  if (response.headersSent) return void response.destroy();
  response.writeHead(status, { 'content-type': 'application/problem+json' });
  response.end(JSON.stringify({ type: 'urn:anabranch:problem:test', title: 'Problem', status, detail, ...more }));
}

const play = (origin: string): S['PlayUrl'] => ({
  url: `${origin}/media/index.m3u8`,
  host_url: `${origin}/media/index.m3u8`,
  watch_url: `${origin}/watch/b1?Policy=p&Signature=good&Key-Pair-Id=K1`,
  expires_at: ago(-43_200),
  session: 'v1',
  user: null,
  mp4_url: null,
  cookies: [],
});

function series(share: number) {
  const items = Array.from({ length: 60 }, (_, index) => {
    const wave = Math.sin(index / 7) * 0.35 + 0.65 + Math.sin(index * 2.3) * 0.06;
    const rise = share * Math.min(1, index / 18);
    return { at: ago((60 - index) * 60), bytes: Math.round(4.1e10 * wave * rise), requests: Math.round(52_000 * wave * rise), viewers: Math.round(1_840 * wave * rise) };
  });
  return { step: 60, from: ago(3_600), to: ago(0), items } satisfies S['UsageSeries'];
}

function counts(): S['UsageCounts'] {
  return { bytes: 61_200_000_000, requests: 1_240_112, hits: 1_224_000, misses: 16_112, errors: 41, viewers: 2_013, peak_viewers: 1_402, viewer_minutes: 71_204, stream_seconds: 4_210, ingest_bytes: 42_100_000_000, conversion_seconds: 0, storage_byte_hours: 0 };
}

/** How a charge of an encoder or of delivery comes about. */
export function why(service: string, quantity: string, price: string, amount: string): Partial<S['ServiceCharge']> {
  if (service !== 'encoder' && service !== 'cdn') return {};
  const source = service === 'cdn' ? 'CloudFront in the AWS Price List, United States, 2026-09-18' : 'AWS guide "Live Streaming on AWS with Amazon S3", cost example 2, us-east-1';
  return { arithmetic: `${quantity} × ${price} = ${amount}`, rule: service === 'cdn' ? 'bytes that edges of this price class have sent' : 'time on air in whole minutes, ten at least', price_key: `prices.cloud.${service}`, price_source: source };
}

function charges(): S['BreakoutCharges'] {
  const row = (service: string, component: string, quantity: string, unit: string, unit_price: string, amount: string, state: string): S['ServiceCharge'] => ({ service, component, quantity, unit, unit_price, amount, state, at: ago(600), session: 1, month: null, ...why(service, quantity, unit_price, amount) });
  return {
    breakout: 'b-final',
    name: 'Spring final',
    currency: 'USD',
    model: 'cloud',
    total: '14.54',
    alternative: '2.11',
    totals: [{ currency: 'USD', model: 'cloud', total: '14.54', alternative: '2.11' }],
    sessions: [
      {
        session: 1,
        currency: 'USD',
        model: 'cloud',
        started_at: ago(4_210),
        ended_at: null,
        waiting_for: 'the end of the session',
        estimate: '3.20',
        final: '11.46',
        corrections: '-0.12',
        total: '14.54',
        services: [
          row('encoder', 'outputs', '1.75', 'hour', '3.12', '5.46', 'final'),
          row('packager', 'packaged', '42.1', 'GB', '0.0475', '6.00', 'final'),
          row('cdn', 'bytes of PriceClass_100', '61.2', 'GB', '0.0523', '3.20', 'estimate'),
          row('cdn', 'bytes of PriceClass_100', '-1.4', 'GB', '0.085', '-0.12', 'correction'),
        ],
      },
    ],
  };
}

function emptyOverview(): S['Overview'] {
  return {
    channels: { running: 0, idle: 0, failed: 0 },
    breakouts: { live: 0, starting: 0, failed: 0 },
    viewers_now: 0,
    bytes_per_second: 0,
    requests_per_second: 0,
    cache_hit_ratio: null,
    errors_per_second: 0,
    nodes: { connected: 1, lost: 0 },
    jobs: { queued: 0, running: 0, failed: 0 },
    storage_bytes: 0,
    alarms: [],
    version: '0.1.0',
    uptime_seconds: 93_784,
  };
}

/** A day in the life: things run, one is in trouble. */
export function busyDesk(desk: FakeDesk): FakeDesk {
  const distribution = { id: 'E1', domain_name: 'e1.cdn.example.com', status: 'Deployed', enabled: true };
  const picture = { video: { codec: 'h264', codecs: 'avc1.640028', width: 1920, height: 1080, frame_rate: 25 }, audio: { codec: 'aac', codecs: 'mp4a.40.2', channels: 2, sample_rate: 48_000 }, connected_since: ago(5_200) };
  desk.channels = [
    channel('ch-main', 'Main stage', {
      description: 'Hall 1, both encoders in the rack',
      state: 'Running',
      desired_running: true,
      inputs: [
        input('in-1', { connected: true, encoder: 'FMLE/3.0 (compatible; OBS 30)', remote: '203.0.113.7:51822', bitrate_bps: 6_120_000, ...picture }),
        input('in-2', { connected: true, encoder: 'Haivision', remote: '203.0.113.8:40112', bitrate_bps: 6_090_000, ...picture }),
      ],
      failover: { enabled: true, preference: 'equal', loss_ms: 3_000, clear_ms: 30_000, active_input: 'in-1', reason: 'both are healthy' },
      ingest_allow: ['203.0.113.0/24'],
      distribution,
    }),
    channel('ch-side', 'Side stage', {
      state: 'Running',
      desired_running: true,
      problem: 'the input has been silent for 48 s',
      inputs: [input('in-3')],
      distribution: { ...distribution, id: 'E2', domain_name: 'e2.cdn.example.com', status: 'InProgress' },
    }),
    channel('ch-lab', 'Lab', { inputs: [input('in-4')] }),
  ];
  desk.breakouts = [
    breakout('b-final', 'Spring final', { state: 'RUNNING', packaging: 'live', started_at: ago(4_210), viewers: 1_284, event: 'ev-1', tags: ['sport', 'final'], duration_minutes: 120 }),
    breakout('b-talks', 'Keynote and talks', { state: 'RUNNING', packaging: 'waiting', started_at: ago(61), channel: 'ch-side', curtain: 'down', problem: 'no media comes from the encoder' }),
    breakout('b-night', 'Night session', { state: 'STARTING', channel: 'ch-lab', started_at: ago(4), operation: { id: 'op-1', kind: 'breakout.start', state: 'running', step: 'deploy_distribution', attempts: 0, waiting_for: '2 edges to take the configuration', next_try_at: null, problem: null } }),
    breakout('b-qual', 'Qualifying', { state: 'COMPLETED', packaging: 'ended', started_at: ago(90_000), ended_at: ago(82_800), event: 'ev-1' }),
    breakout('b-rehearsal', 'Rehearsal with a rather long name that has to be broken somewhere', { scheduled_at: ago(-7_200) }),
  ];
  desk.events = [{ id: 'ev-1', name: 'Spring cup', account: 'acc-1', created_at: ago(200_000), description: '', starts_at: ago(90_000), ends_at: null }];
  desk.recordings = [
    { id: 'r-1', breakout: 'b-qual', session: 1, state: 'available', path: '/r/b-qual/1/index.m3u8', bytes: 9_410_000_000, duration_seconds: 7_140, gap_seconds: 12, gaps: 1, segments: 4_760, started_at: ago(90_000), ended_at: ago(82_800), mp4_bytes: 4_120_000_000, mp4_job: null, problem: null },
  ];
  desk.viewers = [
    viewer('v-1', 'anna@example.com', 'Firefox', 'Linux', 840_000_000),
    viewer('v-2', null, 'Chrome', 'Android', 120_000_000),
    viewer('v-3', 'carl', 'Safari', 'iOS', 96_000_000),
    { ...viewer('v-4', 'bo@example.com', 'Edge', 'Windows', 410_000_000), entered_at: ago(4_100), seen_at: ago(1_260), exited_at: ago(1_200), exit_reason: 'timeout' },
  ];
  desk.clusters = [cluster()];
  desk.votes = cluster().regions.flatMap((region) =>
    ['control-1', 'watcher-2'].map(
      (watcher): S['VoteView'] => ({ watcher, region: region.name, state: region.verdict, reason: region.verdict === 'stale' ? 'tolerance exceeded' : 'all fresh', since: ago(3_000), heard_at: ago(1), counts: true, evidence: (region.verdict === 'stale' ? ['v0.m3u8 (720p): has not changed for 19.4 s, limit 9.0 s'] : []) as never }),
    ),
  );
  desk.playlists = cluster().regions.flatMap((region) => ['720p', '360p', 'audio'].map((label, index) => playlist(region.name, label, index, region.verdict === 'stale')));
  desk.history = [
    { sequence: 3, at: ago(120), region: 'south', what: 'closed', by: 'automat', who: 'automat', why: '2 of 2 watchers say stale for 5 s', node: 'control-1', until: null, evidence: { verdict: 'stale', for_ms: 5_200, rule: 'majority', votes: [{ watcher: 'control-1', state: 'stale', reason: 'tolerance exceeded', evidence: ['v0.m3u8 (720p): has not changed for 19.4 s, limit 9.0 s'] }] } as never },
    { sequence: 2, at: ago(86_000), region: 'south', what: 'opened', by: 'operator', who: 'ada', why: 'the drill is over', node: 'control-1', until: null, evidence: {} as never },
    { sequence: 1, at: ago(86_300), region: 'south', what: 'drill', by: 'operator', who: 'ada', why: 'monthly drill', node: 'control-1', until: ago(86_000), evidence: {} as never },
  ];
  const operation = (id: string, kind: string, subject: string, seconds: number, more: Partial<S['Operation']> = {}): S['Operation'] => ({ id, kind, subject, state: 'done', step: '', attempts: 0, problem: null, waiting_for: null, next_try_at: null, created_at: ago(seconds), updated_at: ago(seconds - 3), finished_at: ago(seconds - 3), ...more });
  desk.operations = [
    operation('op-1', 'breakout.start', 'b-night', 4, { state: 'running', step: 'distribution.deployed', waiting_for: '2 edges to take the configuration', finished_at: null }),
    operation('op-2', 'distribution.update', 'E2', 90, { state: 'running', step: 'distribution.update', attempts: 3, problem: 'the provider answered 503 Service Unavailable', next_try_at: ago(-14), finished_at: null }),
    operation('op-3', 'channel.stop', 'ch-lab', 2_300),
    operation('op-4', 'channel.create', 'ch-side', 80_000, { state: 'rolled_back', problem: 'the provider has no room for another distribution' }),
  ];
  desk.overview = {
    ...emptyOverview(),
    channels: { running: 2, idle: 1, failed: 0 },
    breakouts: { live: 2, starting: 1, failed: 0 },
    viewers_now: 1_284,
    bytes_per_second: 812_000_000,
    requests_per_second: 1_041,
    cache_hit_ratio: 0.9874,
    errors_per_second: 0.2,
    nodes: { connected: 4, lost: 1 },
    jobs: { queued: 3, running: 2, failed: 1 },
    storage_bytes: 2_410_000_000_000,
    alarms: [
      { at: ago(48), level: 'error', subject: 'channel/ch-side', words: 'Side stage receives nothing: the input has been silent for 48 s' },
      { at: ago(1_300), level: 'warning', subject: 'node/edge-fra-2', words: 'edge-fra-2 has not been heard for 21 min' },
    ],
  };
  const entries: [string, number, Partial<Omit<S['LogEntry'], 'details'>> & { details?: Json }][] = [
    ['channel.created', 90_000, { actor: 'ada', kind: 'activity' }],
    ['breakout.created', 80_000, { actor: 'ada', kind: 'activity' }],
    ['input.connected', 5_200, { details: { input: 1, remote: '203.0.113.7:51822', encoder: 'FMLE/3.0 (compatible; OBS 30)' }, kind: 'stream', subject: { kind: 'input', id: 'in-1' } }],
    ['breakout.starting', 4_215, { actor: 'ada' }],
    ['breakout.running', 4_210, {}],
    ['recording.started', 4_209, {}],
    ['input.lost', 2_300, { details: { input: 'in-2', silence_ms: 3_004 }, kind: 'stream' }],
    ['input.failover', 2_300, { details: { from: 'in-2', to: 'in-1', why: 'loss' }, kind: 'stream' }],
    ['alarm.raised', 900, { details: { alarm: 'frame_rate', detail: '14.0 pictures a second, 25.0 before', input: 1 }, kind: 'stream', subject: { kind: 'input', id: 'in-1' } }],
    ['viewer.expelled', 300, { details: { session: 'v-9', user: 'carl', why: 'device_limit' } }],
  ];
  for (const [type, seconds, more] of entries) {
    desk.happen(type, { at: ago(seconds), breakout: 'b-final', channel: 'ch-main', subject: { kind: type.split('.')[0] ?? '', id: 'b-final' }, ...(more as Partial<S['LogEntry']>) });
  }
  return desk;
}

function viewer(session: string, user: string | null, browser: string, os: string, bytes: number): S['ViewerSession'] {
  return { session, user, browser, os, bytes, address: '198.51.100.23', user_agent: `${browser} on ${os}`, entered_at: ago(1_900), seen_at: ago(2), exited_at: null, exit_reason: null };
}
