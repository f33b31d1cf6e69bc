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
}
