// SPDX-License-Identifier: Apache-2.0 OR MIT
// The stand-in control plane with what the pages of the library, of delivery, of people and of insight read: typed by the API document.
// It speaks tus, and serves pictures and media that ffmpeg makes once.

import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { extname, join } from 'node:path';
import { promisify } from 'node:util';
import type { components } from '../../src/api/schema.d.ts';
import type { Role } from '../../src/desk/lib/privileges.ts';
import { busyDesk, FakeDesk, page, privileges, why } from './desk.ts';
import { prices } from './prices.ts';
// @ts-expect-error a module of JavaScript
import { makeVod, SECONDS } from './vod.mjs';

type S = components['schemas'];
type User = S['User'];
type Session = S['Session'];
type Audit = S['Audit'];
type Json = Record<string, unknown>;

export interface Media {
  folder: string;
  remove(): Promise<void>;
}

const POSTERS = ['mandelbrot=size=640x360:rate=1:start_scale=0.3', 'gradients=size=640x360:rate=1:c0=0x204060:c1=0xd08050:seed=5', 'rgbtestsrc=size=640x360:rate=1', 'gradients=size=640x360:rate=1:c0=0x103018:c1=0x90c070:seed=9'];
const TYPES: Record<string, string> = { '.m3u8': 'application/vnd.apple.mpegurl', '.vtt': 'text/vtt', '.jpg': 'image/jpeg', '.mp4': 'video/mp4', '.m4s': 'video/mp4' };
const DAY = 86_400;

/** A film in two rungs, with sprites, and posters of other films. */
export async function makeLibraryMedia(): Promise<Media> {
  const media = (await makeVod()) as Media;
  for (const [index, source] of POSTERS.entries()) {
    await promisify(execFile)('ffmpeg', ['-v', 'error', '-nostdin', '-y', '-f', 'lavfi', '-i', source, '-frames:v', '1', '-q:v', '4', join(media.folder, `poster_${index}.jpg`)]);
  }
  return media;
}

const ago = (seconds: number) => new Date(Date.now() - seconds * 1_000).toISOString();

function asset(id: string, name: string, more: Partial<S['Asset']> = {}): S['Asset'] {
  const rung = (side: number, bits: number): S['Rung'] => ({ name: String(side), width: Math.round((side * 16) / 9), height: side, frame_rate: 25, codecs: 'avc1.64001f,mp4a.40.2', bandwidth: bits, average_bandwidth: bits * 0.9 });
  return {
    id,
    name,
    bucket: 'uploads',
    key: name,
    size: 1_415_416_004,
    preset: 'standard',
    state: 'READY',
    generation: 1,
    playable: true,
    partial: false,
    progress_percent: 100,
    expected_at: null,
    next_try_at: null,
    duration_seconds: 5_421,
    source: { container: 'mov,mp4', duration_seconds: 5_421, video_codec: 'h264', width: 1920, height: 1080, frame_rate: 25, range: 'SDR', audio_codecs: ['aac'], subtitles: 0 },
    rungs: [rung(1080, 5_200_000), rung(720, 2_600_000), rung(540, 1_200_000), rung(360, 490_000)],
    rungs_planned: 4,
    audio: [{ name: 'audio_1_und', language: 'en', label: 'English', channels: 2 }],
    captions: [],
    mp4_bytes: 1_278_481_800,
    thumbnails: 1_084,
    made_bytes: 4_331_837_210,
    notices: [],
    problem: null,
    path: `assets/${id}/HLS/${id}.m3u8`,
    job: 'j1',
    created_at: ago(90_000),
    updated_at: ago(4_000),
    ready_at: ago(86_000),
    ...more,
  };
}

function distribution(id: string, more: Partial<S['Distribution']> = {}): S['Distribution'] {
  return {
    id,
    channel: null,
    phase: 'active',
    caller_reference: id,
    comment: '',
    domain_name: `${id.toLowerCase()}.cdn.example.com`,
    aliases: [],
    status: 'Deployed',
    waiting_for: null,
    etag: `${id}-3`,
    enabled: true,
    price_class: 'PriceClass_All',
    key_groups: [],
    tags: {},
    provider: 'local',
    provider_id: id,
    drift: null,
    last_checked_at: ago(40),
    operation: null,
    requests_total: 1_240_112,
    bytes_total: 61_200_000_000,
    created_at: ago(900_000),
    ...more,
  };
}

const origin = (id: string, domain: string) => ({
  Id: id,
  DomainName: domain,
  OriginPath: '',
  ConnectionAttempts: 3,
  ConnectionTimeout: 10,
  CustomHeaders: { Quantity: 0 },
  CustomOriginConfig: { HTTPPort: 80, HTTPSPort: 443, OriginProtocolPolicy: 'https-only', OriginReadTimeout: 30, OriginKeepaliveTimeout: 5, OriginSslProtocols: { Quantity: 1, Items: ['TLSv1.2'] } },
  OriginShield: { Enabled: false },
});
const behavior = (target: string, signed: boolean) => ({
  TargetOriginId: target,
  ViewerProtocolPolicy: 'redirect-to-https',
  AllowedMethods: { Quantity: 2, Items: ['GET', 'HEAD'] },
  CachePolicyId: '658327ea-f89d-4fab-a63d-7e88639e58f6',
  Compress: true,
  TrustedKeyGroups: signed ? { Enabled: true, Quantity: 1, Items: ['g-default'] } : { Enabled: false, Quantity: 0 },
});
const CONFIG = {
  CallerReference: 'club-site',
  Comment: 'The club site and its films',
  Enabled: true,
  Aliases: { Quantity: 1, Items: ['video.example.com'] },
  Origins: { Quantity: 2, Items: [origin('web', 'www.example.com'), origin('web-two', 'www-2.example.com')] },
  OriginGroups: { Quantity: 1, Items: [{ Id: 'both', FailoverCriteria: { StatusCodes: { Quantity: 2, Items: [500, 503] } }, Members: { Quantity: 2, Items: [{ OriginId: 'web' }, { OriginId: 'web-two' }] } }] },
  DefaultCacheBehavior: behavior('both', false),
  CacheBehaviors: { Quantity: 2, Items: [{ PathPattern: '/films/*', ...behavior('both', true) }, { PathPattern: '*.m3u8', ...behavior('web', true) }] },
  PriceClass: 'PriceClass_100',
};

const statuses = (ok: number): S['Statuses'] => ({ '1xx': 0, '2xx': ok, '3xx': 1_204, '4xx': 41, '5xx': 3 });
const counts = (share: number) => ({ requests: Math.round(1_240_112 * share), bytes: Math.round(61.2e9 * share), statuses: statuses(Math.round(1_238_864 * share)), hits: Math.round(1_224_000 * share), misses: Math.round(16_112 * share), hit_ratio: 0.987 });

function user(id: string, name: string, role: User['role'], more: Partial<User> = {}): User {
  const { privileges_added = [], privileges_removed = [] } = more;
  const held = [...new Set([...privileges(role as Role), ...privileges_added])].filter((one) => !privileges_removed.includes(one)).sort();
  return { id, name, display_name: '', role, privileges_added: [], privileges_removed: [], privileges: held, disabled: false, has_password: true, provider: null, last_login_at: ago(3_000), created_at: ago(9e6), updated_at: ago(9e5), ...more };
}

const uses = (share: number): S['UsageCounts'] => ({
  bytes: Math.round(7.1e12 * share),
  requests: Math.round(14_240_112 * share),
  hits: Math.round(14_020_000 * share),
  misses: Math.round(220_112 * share),
  errors: Math.round(410 * share),
  viewers: Math.round(20_013 * share),
  peak_viewers: Math.round(4_402 * share),
  viewer_minutes: Math.round(712_040 * share),
  stream_seconds: Math.round(421_000 * share),
  ingest_bytes: Math.round(4.21e11 * share),
  conversion_seconds: Math.round(91_000 * share),
  storage_byte_hours: Math.round(9e14 * share),
});

const service = (name: string, component: string, quantity: string, unit: string, unit_price: string, amount: string, state: string, session = 1): S['ServiceCharge'] => ({ service: name, component, quantity, unit, unit_price, amount, state, session, month: null, at: ago(600), ...why(name, quantity, unit_price, amount) });

export class FakeLibrary extends FakeDesk {
  assets: S['Asset'][] = [];
  captions: S['Caption'][] = [];
  collections: S['Collection'][] = [];
  buckets: S['Bucket'][] = [];
  objects = new Map<string, S['ObjectEntry'][]>();
  keys: S['Key'][] = [];
  keyGroups: S['KeyGroup'][] = [];
  accessKeys: S['AccessKey'][] = [];
  nodes: S['Node'][] = [];
  jobs: S['Job'][] = [];
  tokens: S['Token'][] = [];
  webhooks: S['Webhook'][] = [];
  users: User[] = [];
  sessions: Session[] = [];
  audit: Audit[] = [];
  invalidations: S['Invalidation'][] = [];
  invalid: { detail: string; field: string } | null = null;
  media_: Media | null = null;
  /** Uploads by id: what has come of them. */
  uploads = new Map<string, { size: number; bytes: number; name: string; bucket: string }>();
  /** Requests to append that are cut after some bytes. */
  cuts = 0;
  /** Milliseconds that an append takes. */
  slow = 0;
  charges = true;
  /** What the server knows of who watched; null for a busy year. */
  audience: Partial<S['Analytics']> | null = null;

  protected override async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname } = new URL(request.url ?? '/', this.origin);
    if (pathname.startsWith('/v1/uploads')) return this.tus(request, response, pathname);
    if (pathname.startsWith('/films/')) return this.film(pathname.slice(7), response);
    return super.answer(request, response);
  }

  private async film(path: string, response: ServerResponse): Promise<void> {
    const [, name = ''] = path.split('/');
    if (!this.media_) return void response.writeHead(404).end();
    const headers = { 'content-type': TYPES[extname(name)] ?? 'application/octet-stream', 'access-control-allow-origin': '*' };
    try {
      const body = name === 'index.m3u8' ? '#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=900000,RESOLUTION=640x360,CODECS="avc1.42c01e"\n360.m3u8\n' : await readFile(join(this.media_.folder, name));
      response.writeHead(200, headers).end(body);
    } catch {
      response.writeHead(404).end();
    }
  }

  private async tus(request: IncomingMessage, response: ServerResponse, path: string): Promise<void> {
    const { method, headers } = request;
    const csrf = headers['x-anabranch-csrf'];
    const problem = (status: number, detail: string) => void response.writeHead(status, { 'content-type': 'application/problem+json' }).end(JSON.stringify({ status, detail }));
    if (method !== 'HEAD' && csrf !== 'word-of-this-session') return problem(403, 'the header X-Anabranch-CSRF is missing');
    const id = path.split('/')[3];
    if (method === 'POST' && !id) {
      const words = Object.fromEntries(String(headers['upload-metadata'] ?? '').split(',').map((pair) => pair.split(' ')).map(([word = '', value = '']) => [word, Buffer.from(value, 'base64').toString()]));
      const made = `u${this.uploads.size + 1}`;
      this.uploads.set(made, { size: Number(headers['upload-length']), bytes: 0, name: words['filename'] ?? '', bucket: words['bucket'] || 'uploads' });
      return void response.writeHead(201, { location: `/v1/uploads/${made}`, 'upload-offset': '0', 'upload-expires': new Date(Date.now() + DAY * 1000).toUTCString() }).end();
    }
    const upload = this.uploads.get(id ?? '');
    if (!upload) return problem(404, 'no such upload');
    const told = () => ({ 'upload-offset': String(upload.bytes), 'upload-length': String(upload.size), 'cache-control': 'no-store' });
    if (method === 'HEAD') return void response.writeHead(200, told()).end();
    if (method === 'DELETE') return void (this.uploads.delete(id ?? ''), response.writeHead(204).end());
    if (Number(headers['upload-offset']) !== upload.bytes) return problem(409, `the upload has ${upload.bytes} bytes`);
    for await (const chunk of request) {
      const bytes = (chunk as Buffer).length;
      // A slow line: each bit of the body takes its time.
      if (this.slow > 0) await new Promise((resolve) => setTimeout(resolve, (this.slow * bytes) / 1e6));
      upload.bytes += bytes;
      if (this.cuts > 0 && upload.bytes > upload.size / 2) {
        this.cuts -= 1;
        return void request.socket.destroy();
      }
    }
    response.writeHead(204, told()).end();
    if (upload.bytes === upload.size) this.arrive(upload);
  }

  private arrive({ name, bucket, size }: { name: string; bucket: string; size: number }): void {
    const made = asset(`a-${this.assets.length + 1}`, name, { bucket, size, state: 'PROCESSING', partial: true, progress_percent: 12, expected_at: ago(-90), rungs: [], playable: false, thumbnails: 0, mp4_bytes: null, made_bytes: 0, ready_at: null, created_at: ago(0) });
    this.assets.push(made);
    const list = this.objects.get(bucket) ?? [];
    list.push({ key: name, size, etag: 'e', modified_at: ago(0), arrival: 'KNOWN', asset: made.id, problem: null });
    this.objects.set(bucket, list);
    this.happen('asset.queued', { subject: { kind: 'asset', id: made.id } });
  }

  protected override read(path: string, query: URLSearchParams): unknown {
    const list = (items: unknown[]) => ({ items, next: null });
    const [, , kind = '', id, part] = path.split('/').map(decodeURIComponent);
    const one = <T>(items: T[], named: (item: T) => string) => {
      const found = items.find((item) => named(item) === id);
      if (!found) throw { status: 404, detail: `there is no such thing: ${id}` };
      return found;
    };
    const byId = <T extends { id: string }>(items: T[]) => one(items, (item) => item.id);
    switch (`${kind}${part ? `/${part}` : ''}`) {
      case 'assets':
        if (id) return byId(this.assets);
        return page(this.assets.filter((item) => (!query.get('state') || item.state === query.get('state')) && item.name.toLowerCase().includes((query.get('name') ?? '').toLowerCase())), query);
      case 'assets/captions':
        return list(this.captions);
      case 'collections':
        return id ? byId(this.collections) : list(this.collections);
      case 'buckets':
        return id ? one(this.buckets, (item) => item.name) : list(this.buckets);
      case 'buckets/objects': {
        const start = query.get('prefix') ?? '';
        const all = (this.objects.get(id ?? '') ?? []).filter(({ key }) => key.startsWith(start));
        const folders = query.get('delimiter') ? [...new Set(all.map(({ key }) => key.slice(start.length)).filter((key) => key.includes('/')).map((key) => `${start}${key.split('/')[0]}/`))] : [];
        return { items: all.filter(({ key }) => !folders.some((folder) => key.startsWith(folder))), prefixes: folders, next: null };
      }
      case 'distributions':
        return id ? { ...byId(this.distributions), config: CONFIG } : list(this.distributions);
      case 'distributions/invalidations':
        return list(this.invalidations);
      case 'distributions/traffic':
        return {
          distribution: id ?? '',
          totals: counts(1),
          behaviors: [{ behavior: '/films/*', ...counts(0.7) }, { behavior: '*.m3u8', ...counts(0.2) }, { behavior: '*', ...counts(0.1) }],
          breakouts: [{ breakout: 'b-final', ...counts(0.6) }],
        } satisfies S['DistributionTraffic'];
      case 'keys':
        return list(this.keys);
      case 'key-groups':
        return list(this.keyGroups);
      case 'access-keys':
        return list(this.accessKeys);
      case 'nodes':
        return list(this.nodes);
      case 'tokens':
        return list(this.tokens);
      case 'webhooks':
        return list(this.webhooks);
      case 'users':
        return id ? byId(this.users) : list(this.users);
      case 'sessions':
        return list(this.sessions.filter((item) => !query.get('user') || item.user === query.get('user')));
      case 'audit':
        return list(this.audit.filter((item) => (!query.get('actor') || item.actor === query.get('actor')) && (!query.get('object') || item.object === query.get('object'))));
      case 'usage':
        if (id === 'series') return super.read(path, query);
        return this.usage((query.get('by') ?? 'breakout') as S['UsageBy']);
      case 'charges':
        return this.chargesOf(query.get('by') as S['ChargesBy']);
      case 'prices':
        return prices();
      case 'analytics':
        return { ...analytics(query.get('from') ?? ago(365 * DAY), query.get('to') ?? ago(0)), ...this.audience };
      case 'settings':
        return settings();
      case 'jobs':
        return page(this.jobs.filter((item) => !query.get('state') || item.state === query.get('state')), query);
      default:
        return super.read(path, query);
    }
  }

  protected override counts(): { object: string; count: number }[] {
    const { accessKeys, assets, audit, buckets, collections, invalidations, jobs, keyGroups, keys, nodes, operations, tokens, users, viewers, webhooks } = this;
    const more = { access_key: accessKeys, asset: assets, audit, bucket: buckets, collection: collections, invalidation: invalidations, job: jobs, key_group: keyGroups, key: keys, node: nodes, operation: operations, token: tokens, user: users, viewer: viewers, webhook: webhooks };
    return [...super.counts(), { object: 'log', count: 41_207 }, ...Object.entries(more).map(([object, { length }]) => ({ object, count: length }))].sort((a, b) => a.object.localeCompare(b.object));
  }

  private usage(by: S['UsageBy']): S['Usage'] {
    if (!this.charges) return { from: ago(30 * DAY), to: ago(0), by, items: [], total: uses(0) };
    const tables: Partial<Record<S['UsageBy'], [string, string, number][]>> = {
      rendition: [['1080p', '1080p', 0.61], ['720p', '720p', 0.22], ['540p', '540p', 0.09], ['360p', '360p', 0.05], ['audio', 'audio', 0.03]],
      location: [['Frankfurt', 'Frankfurt', 0.58], ['Lisbon', 'Lisbon', 0.31], ['Osaka', 'Osaka', 0.11]],
      distribution: [['E2MAIN', 'channel Main stage', 0.66], ['E1CLUB', 'The club site and its films', 0.3], ['E3SIDE', 'channel Side stage', 0.04]],
    };
    const rows: [string, string, number][] = tables[by] ?? [['b-final', 'Spring final', 0.52], ['b-qual', 'Qualifying day', 0.22], ['b-talks', 'Keynote and talks', 0.14], ['b-night', 'Night session', 0.08], ['', '', 0.04]];
    return { from: ago(30 * DAY), to: ago(0), by, items: rows.map(([key, name, share]) => ({ key, name, ...uses(share) })), total: uses(1) };
  }

  private chargesOf(by: S['ChargesBy'] | null): S['Charges'] {
    const item = (key: string, name: string, estimate: string, final: string, corrections: string, total: string): S['ChargesItem'] => ({
      key,
      name,
      kind: 'breakout',
      currency: 'USD',
      model: 'cloud',
      estimate,
      final,
      corrections,
      total,
      alternative: '2.11',
      services: [
        service('encoder', 'outputs', '1.75', 'hour', '3.12', '5.46', 'final'),
        service('packager', 'packaged', '42.1000', 'GB', '0.0475', '1.99975', 'final'),
        service('cdn', 'bytes of PriceClass_100', '612.25', 'GB', '0.0523', '32.020675', 'estimate'),
        service('cdn', 'bytes of PriceClass_100', '-1.4', 'GB', '0.085', '-0.119', 'correction'),
      ],
    });
    const items = this.charges ? [item('b-final', 'Spring final', '32.020675', '7.45975', '-0.119', '39.361425'), item('b-qual', 'Qualifying day', '0', '18.402', '0', '18.402'), item('b-talks', 'Keynote and talks', '4.12', '0', '0', '4.12'), item('', '', '0', '1.004', '0', '1.004')] : [];
    const total = { currency: 'USD', model: 'cloud', alternative: this.charges ? '11.402' : '0', total: this.charges ? '62.887425' : '0' };
    return { from: ago(20 * DAY), to: ago(-DAY), by: by ?? 'breakout', ...total, totals: [total], items };
  }

  protected override write(method: string, path: string, body: Json): unknown {
    const [, , kind = '', id = '', verb = '', more = ''] = path.split('/').map(decodeURIComponent);
    const without = <T extends { id: string }>(items: T[]) => items.filter((item) => item.id !== id);
    if (verb === 'play-url') return this.play(kind, id, body);
    if (kind === 'assets' && verb === 'captions') {
      if (method === 'DELETE') return (this.captions = this.captions.filter(({ language }) => language !== more)), null;
      if (!/-->/.test(String(body['text']))) throw { status: 422, detail: 'the file has no lines: send WebVTT or SubRip', field: 'text' };
      const caption: S['Caption'] = { language: more, label: String(body['label'] ?? more), cues: 2, is_default: body['is_default'] === true, is_forced: false, key: null, created_at: ago(0), updated_at: ago(0) };
      this.captions = [...this.captions.filter(({ language }) => language !== more), caption];
      return caption;
    }
    if (kind === 'assets') {
      const now = this.assets.find((item) => item.id === id);
      if (method === 'DELETE') return (this.assets = without(this.assets)), null;
      if (now && verb === 'retry') Object.assign(now, { state: 'QUEUED', problem: null, progress_percent: 0 });
      if (now && verb === 'cancel') Object.assign(now, { state: 'CANCELLED' });
      if (now && method === 'PATCH') Object.assign(now, body);
      return now;
    }
    if (kind === 'collections') {
      const now = this.collections.find((item) => item.id === id);
      if (method === 'DELETE') return (this.collections = without(this.collections)), null;
      if (now) return Object.assign(now, body);
      const made = { id: 'c-new', created_at: ago(0), description: '', everyone: true, assets: [], viewers: [], ...body } as unknown as S['Collection'];
      this.collections.push(made);
      return made;
    }
    if (kind === 'distributions') return this.writeDistribution(method, id, verb, body);
    if (kind === 'jobs') {
      const now = this.jobs.find((item) => item.id === id);
      return now && Object.assign(now, verb === 'retry' ? { state: 'QUEUED', next_try_at: null, ended_at: null } : { state: 'CANCELLED', ended_at: ago(0) });
    }
    if (kind === 'keys') {
      if (method === 'DELETE') return (this.keys = without(this.keys)), null;
      const fresh = `KNEW0000000${this.keys.length - 1}`;
      const made: S['Key'] = { id: String(body['id'] ?? fresh), name: String(body['name'] ?? fresh), key_groups: (body['key_groups'] as string[]) ?? [], public_key: '-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n', signs: !body['public_key'], created_at: ago(0) };
      this.keys.push(made);
      return { ...made, private_key: '-----BEGIN PRIVATE KEY-----\nnever to be shown\n-----END PRIVATE KEY-----\n' };
    }
    if (kind === 'tokens') {
      if (method === 'DELETE') return (this.tokens = this.tokens.map((item) => (item.id === id ? { ...item, revoked_at: ago(0) } : item))), null;
      const made: S['Token'] = { id: 't-new', name: String(body['name']), scopes: body['scopes'] as string[], created_at: ago(0), expires_at: (body['expires_at'] as string) ?? null, last_used_at: null, revoked_at: null };
      this.tokens.push(made);
      return { ...made, secret: 'the-secret-of-the-new-token' };
    }
    if (kind === 'users') {
      const now = this.users.find((item) => item.id === id);
      if (method === 'DELETE' && verb) return (this.sessions = this.sessions.filter((item) => item.user !== id)), null;
      if (method === 'DELETE') return (this.users = without(this.users)), null;
      if (now) {
        const { password: _password, ...rest } = body;
        return Object.assign(now, rest);
      }
      const made = user('u-new', String(body['name']), body['role'] as User['role'], { last_login_at: null });
      this.users.push(made);
      return made;
    }
    if (kind === 'sessions') return (this.sessions = without(this.sessions)), null;
    if (kind === 'webhooks' && verb === 'test') return { delivered: false, milliseconds: 31, status: null, problem: 'the receiver answered 500 Internal Server Error' } satisfies S['WebhookTest'];
    if (kind === 'webhooks' && verb === 'rotate-secret') return { ...this.webhooks.find((item) => item.id === id), secret: 'whsec-new' };
    if (kind === 'charges') return { collected: 214, changed: 0 } satisfies S['Collected'];
    if (kind === 'me' && id === 'password' && body['old'] !== 'correct horse battery') throw { status: 422, detail: 'the password now is another one', field: 'old' };
    if (kind === 'me') return id ? null : { ...this.me(), ...body };
    return super.write(method, path, body);
  }

  private writeDistribution(method: string, id: string, verb: string, body: Json): unknown {
    const now = this.distributions.find((item) => item.id === id);
    if (this.invalid && (method === 'PUT' || (method === 'POST' && !verb))) throw { status: 422, ...this.invalid };
    if (method === 'DELETE') return (this.distributions = this.distributions.map((item) => (item.id === id ? { ...item, phase: 'stale' } : item))), null;
    if (verb === 'invalidations') {
      const made: S['Invalidation'] = { id: `I${this.invalidations.length + 1}`, distribution: id, status: 'InProgress', waiting_for: '1 edge has not said so yet: edge-fra-2', paths: body['paths'] as string[], tags: body['tags'] as string[], caller_reference: 'r', sequence: this.invalidations.length + 1, created_at: ago(0), completed_at: null };
      this.invalidations.push(made);
      return made;
    }
    if (!now) {
      const made = distribution('ENEW', { status: 'InProgress', waiting_for: 'waiting for the provider to hear of it', comment: String((body['config'] as Json)['Comment'] ?? '') });
      this.distributions.push(made);
      return { ...made, config: body['config'] };
    }
    if (verb === 'detach') Object.assign(now, { channel: null, phase: 'detached', enabled: false });
    if (verb === 'attach') Object.assign(now, { channel: body['channel'], phase: 'active', enabled: true });
    if (method === 'PUT') Object.assign(now, { enabled: (body['config'] as Json)['Enabled'], status: 'InProgress' });
    return { ...now, config: method === 'PUT' ? body['config'] : CONFIG };
  }

  private play(kind: string, id: string, body: Json): S['AssetPlay'] {
    const index = this.assets.findIndex((item) => item.id === id);
    const film = (name: string) => `${this.origin}/films/${id}/${name}?Policy=p&Signature=good&Key-Pair-Id=K1`;
    const watch = kind === 'assets' ? `asset/${id}` : kind === 'collections' ? `collection/${id}` : id;
    return { url: film('index.m3u8'), host_url: film('index.m3u8'), prefix_url: film('index.m3u8'), watch_url: `${this.origin}/watch/${watch}?Policy=p&Signature=good&Key-Pair-Id=K1`, poster_url: film(index % 5 === 4 ? 'poster.jpg' : `poster_${Math.max(0, index) % 4}.jpg`), sprite_url: film('sprite.vtt'), mp4_url: film('film.mp4'), session: 's', user: (body['user'] as string) ?? null, expires_at: ago(-43_200), cookies: [] };
  }
}

function analytics(from: string, to: string): S['Analytics'] {
  const [start, end] = [Date.parse(from), Date.parse(to)];
  // As the server chooses: the shortest of which there are 500 at most.
  const step = [60, 300, 3_600, DAY].find((seconds) => (end - start) / 1000 / seconds <= 500) ?? DAY;
  const points: S['CountAt'][] = [];
  for (let at = Math.ceil(start / (step * 1000)) * step * 1000, n = 0; at < end; at += step * 1000, n += 1) points.push({ at: new Date(at).toISOString(), count: Math.max(0, Math.round(40 * (1 + Math.sin(n / 9)) + 25 * Math.sin(n * 1.7))) });
  const named = (...rows: [string, number][]) => rows.map(([name, count]) => ({ name, count }));
  return {
    from,
    to,
    step,
    viewers: 9_420,
    sessions: 12_031,
    viewer_minutes: 402_110,
    peak_viewers: 1_402,
    joins: points,
    concurrent: points.map(({ at, count }) => ({ at, count: count * 9 })),
    platforms: named(['desktop', 6_200], ['mobile', 5_000], ['other', 831]),
    browsers: named(['Chrome', 5_900], ['Safari', 3_600], ['Firefox', 1_500], ['Edge', 700], ['Samsung Internet', 331]),
    systems: named(['Windows', 4_800], ['iOS', 3_000], ['Android', 2_100], ['macOS', 1_600], ['Linux', 531]),
    locations: named(['Frankfurt', 801_200], ['Lisbon', 402_000], ['Oslo', 36_912]),
    quality: { sessions: 8_120, startup_ms: { p50: 740, p95: 2_310 }, rebuffer_ratio: 0.0021, rebuffer_count: 213, bitrate_kbps: { mean: 4_210, p50: 4_900 }, buffer_starved: 402, buffer_ms: { p50: 18_000, p95: 29_000 }, throughput_kbps: { p50: 21_000, p95: 94_000 } },
  };
}

function settings(): S['Settings'] {
  return {
    file: '/etc/anabranch/anabranch.toml',
    settings: { data: '/var/lib/anabranch', drain: '10s', role: 'all', api: { listen: '127.0.0.1:9997', public_url: 'https://admin.example.com', token: '(secret)', viewer_origins: [] }, edge: { listen: '0.0.0.0:8888', memory: '64MiB', workers: 0, domain_suffix: 'cdn.example.com' } },
    sources: { data: 'flag', 'api.public_url': 'file', 'api.token': 'environment', 'edge.domain_suffix': 'file' },
  } as unknown as S['Settings'];
}

/** A day in the life of a library. */
export function busyLibrary(desk: FakeLibrary): FakeLibrary {
  busyDesk(desk);
  desk.assets = [
    asset('a-river', 'An evening by the river', { created_at: ago(60_000) }),
    asset('a-harbour', 'Harbour at dawn.mov', { created_at: ago(50_000), duration_seconds: 312 }),
    asset('a-lecture', 'Lecture 7: from segments to parts, and what a blocking playlist reload is good for', { created_at: ago(40_000) }),
    asset('a-making', 'Festival film.mxf', { state: 'PROCESSING', partial: true, progress_percent: 38, expected_at: ago(-340), created_at: ago(400), rungs: [{ name: 'source', width: 1920, height: 1080, frame_rate: 25, codecs: 'avc1.640028,mp4a.40.2', bandwidth: 8e6, average_bandwidth: 7.4e6 }], thumbnails: 0, mp4_bytes: null, ready_at: null }),
    asset('a-queued', 'Trailer.mp4', { state: 'QUEUED', playable: false, partial: true, progress_percent: 0, created_at: ago(100), rungs: [], thumbnails: 0, duration_seconds: null, source: null, mp4_bytes: null, made_bytes: 0, ready_at: null }),
    asset('a-failed', 'Interview take 2.avi', { state: 'FAILED', playable: false, partial: true, problem: 'the file ends in the middle of a picture at 00:41:07; send it again', created_at: ago(30_000), rungs: [], thumbnails: 0, mp4_bytes: null, made_bytes: 0, ready_at: null }),
    asset('a-sound', 'Podcast 12.wav', { created_at: ago(70_000), duration_seconds: 2_520, source: { container: 'wav', duration_seconds: 2_520, video_codec: null, width: 0, height: 0, frame_rate: 0, range: 'SDR', audio_codecs: ['pcm_s16le'], subtitles: 0 }, playable: true, thumbnails: 0 }),
  ];
  desk.captions = [{ language: 'en', label: 'English', cues: 812, is_default: true, is_forced: false, key: null, created_at: ago(50_000), updated_at: ago(50_000) }];
  desk.collections = [
    { id: 'c-evenings', name: 'River evenings', description: 'Three evenings by the river, in the order in which they were filmed.', assets: ['a-river', 'a-harbour', 'a-lecture', 'a-making'], everyone: false, viewers: ['anna@example.com', 'carl'], created_at: ago(80_000) },
    { id: 'c-course', name: 'Course of streaming', description: '', assets: ['a-lecture'], everyone: true, viewers: [], created_at: ago(90_000) },
  ];
  desk.buckets = [
    { name: 'uploads', preset: 'standard', mirror: false, house: false, distribution: null, created_at: ago(9e6) },
    { name: 'archive', preset: null, mirror: true, house: false, distribution: 'E1', created_at: ago(9e6), backend: { endpoint: 'https://s3.example.com', url: 's3://films/2026', problem: 'the service refuses the key: SignatureDoesNotMatch', problem_since: ago(300) } },
    { name: 'recordings', preset: null, mirror: false, house: true, distribution: null, created_at: ago(9e6) },
  ];
  const object = (key: string, more: Partial<S['ObjectEntry']> = {}): S['ObjectEntry'] => ({ key, size: 1_415_416_004, etag: 'e', modified_at: ago(60_000), arrival: null, asset: null, problem: null, ...more });
  desk.objects = new Map([['uploads', [object('An evening by the river.mp4', { arrival: 'KNOWN', asset: 'a-river' }), object('notes/readme.txt', { size: 900 }), object('notes/2026/plan.txt', { size: 1_900 }), object('broken.bin', { arrival: 'FAILED', problem: 'no picture and no sound were found in it', size: 4_012 }), object('new.mov', { arrival: 'WAITING' })]]]);
  desk.distributions = [
    distribution('E1CLUB', { aliases: ['video.example.com'], comment: 'The club site and its films', key_groups: ['g-default'], price_class: 'PriceClass_100' }),
    distribution('E2MAIN', { comment: 'channel Main stage', channel: 'ch-main', key_groups: ['g-default'], requests_total: 9_240_112, bytes_total: 812_000_000_000 }),
    distribution('E3SIDE', { comment: 'channel Side stage', channel: 'ch-side', status: 'InProgress', waiting_for: '1 edge to take it: edge-fra-2', operation: { id: 'o1', kind: 'distribution.update', state: 'running', step: 'distribution.deployed', attempts: 2, problem: null, waiting_for: '1 edge', next_try_at: null } }),
    distribution('E4OLD', { comment: 'last year', enabled: false, phase: 'detached', requests_total: 12, bytes_total: 40_000, drift: 'Comment is "by hand", not "last year"' }),
  ];
  desk.invalidations = [
    { id: 'I1', distribution: 'E1CLUB', status: 'Completed', waiting_for: null, paths: ['/news/*'], tags: [], caller_reference: 'r1', sequence: 1, created_at: ago(9_000), completed_at: ago(8_998.4) },
    { id: 'I2', distribution: 'E1CLUB', status: 'InProgress', waiting_for: '1 edge has not said so yet: edge-fra-2', paths: ['/films/spring/*', '/index.html'], tags: ['spring'], caller_reference: 'r2', sequence: 2, created_at: ago(12), completed_at: null },
  ];
  const pem = `-----BEGIN PUBLIC KEY-----\n${'MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA/QHRwEdBXD7sHEuWcpFU\n'.repeat(5)}2QIDAQAB\n-----END PUBLIC KEY-----\n`;
  desk.keys = [
    { id: 'KJ01GXQK0VBQ32', name: 'first', key_groups: ['g-default'], public_key: pem, signs: true, created_at: ago(9e6) },
    { id: 'KPARTNER1', name: 'KPARTNER1', key_groups: ['g-partners'], public_key: pem, signs: false, created_at: ago(9e5) },
  ];
  desk.keyGroups = [
    { id: 'g-default', name: 'default', keys: ['KJ01GXQK0VBQ32'], created_at: ago(9e6) },
    { id: 'g-partners', name: 'partners', keys: ['KPARTNER1'], created_at: ago(9e5) },
    { id: 'g-empty', name: 'sponsors', keys: [], created_at: ago(9e4) },
  ];
  desk.accessKeys = [{ id: 'AK0001', name: 'ingest camera', may_write: true, buckets: ['uploads'], created_at: ago(9e5) }];
  const node = (name: string, role: string, more: Partial<S['Node']> = {}): S['Node'] => ({ name, role, location: '', location_class: null, state: 'connected', version: 412, newest_version: 412, seen_at: ago(1), ...more });
  desk.nodes = [
    node('local', 'ingest', { seen_at: null }),
    node('local', 'packager', { seen_at: null }),
    node('edge-fra-1', 'edge', { location: 'Frankfurt', location_class: 'PriceClass_100' }),
    node('edge-fra-2', 'edge', { location: 'Frankfurt', location_class: 'PriceClass_100', state: 'silent', version: 410, seen_at: ago(21) }),
    node('edge-lis-1', 'edge', { location: 'Lisbon', location_class: 'PriceClass_100', state: 'lost', version: 377, seen_at: ago(8_000) }),
    node('worker-1', 'worker', {}),
  ];
  const job = (id: string, kind: string, subject: string, seconds: number, more: Partial<S['Job']> = {}): S['Job'] => ({ id, kind, subject, state: 'COMPLETED', progress_percent: 100, attempts: 1, attempts_max: 5, waits: 0, next_try_at: null, problem: null, created_at: ago(seconds), started_at: ago(seconds - 2), ended_at: ago(seconds - 40), ...more });
  desk.operations = desk.operations.map((one) => (one.subject === 'E2' ? { ...one, subject: 'E3SIDE' } : one));
  desk.jobs = [
    job('j1', 'asset', 'a-river', 90_000, { ended_at: ago(86_000) }),
    job('j2', 'captions', 'a-river', 40_000),
    job('j3', 'intake', 'uploads/broken.bin', 9_000, { state: 'FAILED', attempts: 5, problem: 'no picture and no sound were found in it' }),
    job('j4', 'remove-recording', 'b-qual/1', 4_000, { state: 'CANCELLED', progress_percent: 12 }),
    job('j5', 'asset', 'a-making', 700, { state: 'RUNNING', progress_percent: 37.4, attempts: 2, ended_at: null, problem: 'the worker fell silent' }),
    job('j9', 'mp4', 'r-3', 200, { state: 'RUNNING', progress_percent: 41, ended_at: null }),
    job('j10', 'mp4', 'r-1', 130, { state: 'QUEUED', progress_percent: 0, attempts: 3, waits: 2, problem: 'no room for 4.1 GB on the disk of worker-1', next_try_at: ago(-74), ended_at: null }),
    job('j11', 'intake', 'uploads/new.mov', 9, { state: 'QUEUED', progress_percent: 0, attempts: 0, started_at: null, ended_at: null }),
  ];
  desk.tokens = [
    { id: 't1', name: 'admin', scopes: ['admin'], created_at: ago(9e6), expires_at: null, last_used_at: ago(40), revoked_at: null },
    { id: 't2', name: 'site builder', scopes: ['read', 'operate'], created_at: ago(9e5), expires_at: ago(-20 * DAY), last_used_at: ago(4_000), revoked_at: null },
    { id: 't3', name: 'old script', scopes: ['manage'], created_at: ago(9e6), expires_at: null, last_used_at: null, revoked_at: ago(9e4) },
  ];
  const webhook = (id: string, url: string, more: Partial<S['Webhook']> = {}): S['Webhook'] => ({ id, url, types: ['breakout', 'recording.available'], enabled: true, attempts: 0, backlog: 0, cursor: 900, created_at: ago(9e5), delivered_at: ago(300), delivered_total: 812, failed_total: 2, given_up_total: 0, next_try_at: null, problem: null, secret_before_until: null, ...more });
  desk.webhooks = [webhook('w1', 'https://hooks.example.com/anabranch'), webhook('w2', 'https://crm.example.net/in', { types: [], problem: 'the receiver answered 502 Bad Gateway', attempts: 6, backlog: 14, failed_total: 31, next_try_at: ago(-90) })];
  desk.users = [
    user('u-ada', 'ada', 'admin', { display_name: 'Ada Hall' }),
    user('u-olga', 'olga', 'operator', { display_name: 'Olga Reis', privileges_added: ['breakout:delete'], privileges_removed: ['asset:update'] }),
    user('u-root', 'root', 'owner', { last_login_at: ago(9e5) }),
    user('u-vic', 'vic@example.com', 'viewer', { provider: 'corp', has_password: false, disabled: true, last_login_at: null }),
  ];
  const agent = 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0';
  desk.sessions = [
    { id: 's1', user: 'u-ada', user_name: 'ada', created_at: ago(600), seen_at: ago(1), expires_at: ago(-80_000), remote: '203.0.113.40', user_agent: agent, current: true },
    { id: 's2', user: 'u-ada', user_name: 'ada', created_at: ago(90_000), seen_at: ago(50_000), expires_at: ago(-8_000), remote: '198.51.100.9', user_agent: 'Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 Version/19.0 Mobile/15E148 Safari/604.1', current: false },
    { id: 's3', user: 'u-olga', user_name: 'olga', created_at: ago(9_000), seen_at: ago(90), expires_at: ago(-70_000), remote: '203.0.113.41', user_agent: 'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/151.0 Safari/537.36', current: false },
  ];
  const entry = (id: number, seconds: number, actor: string, operation: string, object: string, status: number, more: Partial<Audit> = {}): Audit => ({ id, at: ago(seconds), actor, actor_kind: 'user', operation, object, subject: null, status, remote: '203.0.113.40', request_id: `01J${id}7QZ`, ...more });
  desk.audit = [
    entry(5, 20, 'ada', 'breakout_start', 'breakout', 200, { subject: 'b-final' }),
    entry(4, 90, 'olga', 'channel_delete', 'channel', 403, { subject: 'ch-main', remote: '203.0.113.41' }),
    entry(3, 900, 'site builder', 'asset_play_url', 'asset', 200, { actor_kind: 'token', subject: 'a-river' }),
    entry(2, 1_000, 'ada', 'distribution_update', 'distribution', 422, { subject: 'E1CLUB' }),
    entry(1, 4_000, 'ada', 'login', 'user', 200),
  ];
  desk.recordings = [
    ...desk.recordings.map((recording) => ({ ...recording, state: 'AVAILABLE' })),
    { id: 'r-2', breakout: 'b-final', session: 1, state: 'RECORDING', path: '/r/2', bytes: 2_410_000_000, duration_seconds: 4_200, gap_seconds: 0, gaps: 0, segments: 700, started_at: ago(4_200), ended_at: null, mp4_bytes: null, mp4_job: null, problem: null },
    { id: 'r-3', breakout: 'b-qual', session: 2, state: 'AVAILABLE', path: '/r/3', bytes: 3_410_000_000, duration_seconds: 5_140, gap_seconds: 0, gaps: 0, segments: 900, started_at: ago(70_000), ended_at: ago(64_000), mp4_bytes: null, mp4_job: { id: 'j9', kind: 'mp4', subject: 'r-3', state: 'RUNNING', progress_percent: 41, attempts: 1, attempts_max: 5, problem: null, next_try_at: null, created_at: ago(200), started_at: ago(190), ended_at: null, waits: 0 }, problem: null },
  ];
  return desk;
}

export { SECONDS };
