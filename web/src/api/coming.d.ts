// SPDX-License-Identifier: Apache-2.0 OR MIT
// Operations that the API document does not have yet. What it has, wins: see `desk/lib/api.ts`.

type Params<Q, P> = { query?: Q; header?: never; path: P; cookie?: never };
type Bare<Q> = { query?: Q; header?: never; path?: never; cookie?: never };
type Answer<T> = { 200: { headers: { [name: string]: unknown }; content: { 'application/json': T } } };
type Nothing = { 204: { headers: { [name: string]: unknown }; content?: never } };
type Body<T> = { requestBody: { content: { 'application/json': T } } };

interface Get<T, Q = Record<string, never>> {
  get: { parameters: Bare<Q>; requestBody?: never; responses: Answer<T> };
}
interface GetOne<T, P, Q = Record<string, never>> {
  get: { parameters: Params<Q, P>; requestBody?: never; responses: Answer<T> };
}

export type Role = 'owner' | 'admin' | 'operator' | 'viewer';

export interface Me {
  kind: 'user' | 'token';
  id: string;
  name: string;
  display_name: string;
  role: Role | null;
  privileges: string[];
  session: { id: string; created_at: string; expires_at: string } | null;
  csrf: string | null;
}

export interface LoginWays {
  setup: boolean;
  password: boolean;
  providers: { name: string; label: string }[];
}

export interface User {
  id: string;
  name: string;
  display_name: string;
  role: Role;
  privileges_added: string[];
  privileges_removed: string[];
  privileges: string[];
  disabled: boolean;
  has_password: boolean;
  provider: string | null;
  last_login_at: string | null;
  created_at: string;
  updated_at: string;
}

export interface UserCreate {
  name: string;
  display_name?: string;
  role: Role;
  password?: string;
  privileges_added?: string[];
  privileges_removed?: string[];
}

export interface Session {
  id: string;
  user: string;
  user_name: string;
  created_at: string;
  seen_at: string;
  expires_at: string;
  remote: string;
  user_agent: string;
  current: boolean;
}

export interface Audit {
  id: string;
  at: string;
  actor: string;
  actor_kind: string;
  operation: string;
  object: string;
  subject: string | null;
  status: number;
  remote: string;
  request_id: string;
}

interface List<T> {
  items: T[];
  next?: string | null;
}

export interface UsageItem {
  key: string;
  name: string;
  bytes: number;
  requests: number;
  viewer_minutes: number;
  peak_viewers: number;
  viewers: number;
  stream_seconds: number;
  ingest_bytes: number;
  conversion_seconds: number;
  storage_byte_hours: number;
}

export interface ChargeService {
  service: string;
  quantity: string;
  unit: string;
  unit_price: string;
  amount: string;
  state: 'estimate' | 'final' | 'correction';
}

export interface ChargeItem {
  key: string;
  name: string;
  estimate: string;
  final: string;
  corrections: string;
  total: string;
  services: ChargeService[];
}

export interface Charges {
  currency: string;
  items: ChargeItem[];
  total: string;
}

export interface Overview {
  channels: { running: number; idle: number; failed: number };
  breakouts: { live: number; starting: number; failed: number };
  viewers_now: number;
  bytes_per_second: number;
  requests_per_second: number;
  cache_hit_ratio: number | null;
  errors_per_second: number;
  nodes: { connected: number; lost: number };
  jobs: { queued: number; running: number; failed: number };
  storage_bytes: number;
  alarms: { at: string; level: string; subject: string; words: string }[];
  version: string;
  uptime_seconds: number;
}

type Count = { name: string; count: number };
type CountAt = { at: string; count: number };

export interface Analytics {
  viewers: number;
  sessions: number;
  joins: CountAt[];
  concurrent: CountAt[];
  platforms: Count[];
  browsers: Count[];
  systems: Count[];
  locations: Count[];
  quality: {
    sessions: number;
    startup_ms: { p50: number; p95: number };
    rebuffer_ratio: number;
    rebuffer_count: number;
    bitrate_kbps: { mean: number; p50: number };
    buffer_starved: number;
  };
}

type Span = { from?: string; to?: string; breakout?: string; distribution?: string; event?: string; account?: string };
type Id = { id: string };
type Page = { limit?: number; cursor?: string; after?: string };

export interface ComingPaths {
  '/v1/login': Get<LoginWays> & {
    post: { parameters: Bare<Record<string, never>>; responses: Answer<Me> } & Body<{ name: string; password: string }>;
    delete: { parameters: Bare<Record<string, never>>; requestBody?: never; responses: Nothing };
  };
  '/v1/setup': {
    post: {
      parameters: { query?: never; header?: { authorization?: string }; path?: never; cookie?: never };
      responses: Answer<Me>;
    } & Body<{ name: string; password: string }>;
  };
  '/v1/me': Get<Me> & {
    patch: { parameters: Bare<Record<string, never>>; responses: Answer<Me> } & Body<{ display_name: string }>;
  };
  '/v1/me/password': {
    put: { parameters: Bare<Record<string, never>>; responses: Nothing } & Body<{ old: string; new: string }>;
  };
  '/v1/users': Get<List<User>, Page> & {
    post: { parameters: Bare<Record<string, never>>; responses: Answer<User> } & Body<UserCreate>;
  };
  '/v1/users/{id}': GetOne<User, Id> & {
    patch: { parameters: Params<Record<string, never>, Id>; responses: Answer<User> } & Body<Partial<UserCreate & { disabled: boolean }>>;
    delete: { parameters: Params<Record<string, never>, Id>; requestBody?: never; responses: Nothing };
  };
  '/v1/users/{id}/sessions': {
    delete: { parameters: Params<Record<string, never>, Id>; requestBody?: never; responses: Nothing };
  };
  '/v1/sessions': Get<List<Session>, Page & { user?: string }>;
  '/v1/sessions/{id}': {
    delete: { parameters: Params<Record<string, never>, Id>; requestBody?: never; responses: Nothing };
  };
  '/v1/audit': Get<
    List<Audit>,
    Page & { actor?: string; object?: string; subject?: string; since?: string; until?: string }
  >;
  '/v1/usage': Get<
    { from: string; to: string; by: string; items: UsageItem[]; total: UsageItem },
    Span & { by: string; format?: string }
  >;
  '/v1/usage/series': Get<
    { step: number; items: { at: string; bytes: number; requests: number; viewers: number }[] },
    Span & { step: number }
  >;
  '/v1/charges': Get<Charges, Span & { month?: string; by?: string; format?: string }>;
  '/v1/charges/collect': {
    post: { parameters: Bare<Record<string, never>>; responses: Answer<{ collected: number; changed: number }> } & Body<{
      breakout?: string;
    }>;
  };
  '/v1/breakouts/{id}/charges': GetOne<Charges, Id>;
  '/v1/prices': Get<Record<string, unknown>>;
  '/v1/analytics': Get<Analytics, Span & { asset?: string }>;
  '/v1/overview': Get<Overview>;
  '/v1/settings': Get<Record<string, unknown>>;
}
