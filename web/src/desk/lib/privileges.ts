// SPDX-License-Identifier: Apache-2.0 OR MIT
// Privileges as `object:action`, and what each role starts with. The server decides; this is for showing and for the matrix of a user.

export const ROLES = ['owner', 'admin', 'operator', 'viewer'] as const;
export type Role = (typeof ROLES)[number];

export const ACTIONS = ['view', 'add', 'update', 'delete', 'start', 'stop', 'abort', 'sign'] as const;
export type Action = (typeof ACTIONS)[number];

/** Actions that the server knows, by object. */
const OBJECTS_ACTIONS: Readonly<Record<string, readonly Action[]>> = {
  account: ['view', 'add', 'delete'],
  asset: ['view', 'add', 'update', 'delete', 'start', 'abort', 'sign'],
  audit: ['view'],
  breakout: ['view', 'add', 'update', 'delete', 'start', 'stop', 'abort', 'sign'],
  bucket: ['view', 'add', 'update', 'delete', 'sign'],
  channel: ['view', 'add', 'update', 'delete', 'start', 'stop'],
  cluster: ['view', 'add', 'update', 'delete', 'start', 'stop', 'sign'],
  collection: ['view', 'add', 'update', 'delete', 'sign'],
  distribution: ['view', 'add', 'update', 'delete', 'start'],
  event: ['view', 'add', 'update', 'delete'],
  job: ['view', 'start', 'abort'],
  key: ['view', 'add', 'update', 'delete', 'sign'],
  log: ['view'],
  node: ['view', 'delete'],
  operation: ['view'],
  recording: ['view', 'update', 'delete', 'sign'],
  settings: ['view'],
  token: ['view', 'add', 'delete'],
  usage: ['view', 'start'],
  user: ['view', 'add', 'update', 'delete'],
  webhook: ['view', 'add', 'update', 'delete', 'start'],
};

/** Rows of the matrix: the server's own list where it is known, so that nothing it knows is missing. */
export function matrix(known: readonly string[] = []): { object: string; actions: Action[] }[] {
  const rows = new Map<string, Set<Action>>(Object.entries(OBJECTS_ACTIONS).map(([object, actions]) => [object, new Set(actions)]));
  for (const privilege of known) {
    const [object = '', action = ''] = privilege.split(':');
    if (!object || !(ACTIONS as readonly string[]).includes(action)) continue;
    rows.set(object, (rows.get(object) ?? new Set()).add(action as Action));
  }
  return [...rows.entries()]
    .sort(([a], [b]) => a.localeCompare(b))
    .map(([object, actions]) => ({ object, actions: ACTIONS.filter((action) => actions.has(action)) }));
}

const CLOSED_TO_VIEWERS = ['user', 'token', 'audit', 'key'];
const OPERATOR_EDITS = ['breakout', 'asset', 'collection', 'event', 'recording'];
const OPERATOR_RUNS: readonly Action[] = ['start', 'stop', 'abort', 'sign'];

/** Whether a role has a privilege by itself. */
export function roleHas(role: string, object: string, action: Action): boolean {
  if (role === 'owner' || role === 'admin') return true;
  if (role === 'operator') {
    if (action === 'view' || OPERATOR_RUNS.includes(action)) return true;
    return (action === 'add' || action === 'update') && OPERATOR_EDITS.includes(object);
  }
  return role === 'viewer' && action === 'view' && !CLOSED_TO_VIEWERS.includes(object);
}

/** Where a privilege of a user comes from. */
export type Grant = 'role' | 'added' | 'removed' | 'none';

export interface Changes {
  added: readonly string[];
  removed: readonly string[];
}

export function grantOf(role: string, { added, removed }: Changes, object: string, action: Action): Grant {
  const privilege = `${object}:${action}`;
  if (removed.includes(privilege)) return 'removed';
  if (roleHas(role, object, action)) return 'role';
  return added.includes(privilege) ? 'added' : 'none';
}

/** What is added and removed after one box of the matrix was switched. What the role has is never written down as added. */
export function toggled(role: string, changes: Changes, object: string, action: Action, on: boolean): { added: string[]; removed: string[] } {
  const privilege = `${object}:${action}`;
  const without = (list: readonly string[]) => list.filter((item) => item !== privilege);
  const [added, removed] = [without(changes.added), without(changes.removed)];
  const byRole = roleHas(role, object, action);
  if (on && !byRole) added.push(privilege);
  if (!on && byRole) removed.push(privilege);
  return { added: added.sort(), removed: removed.sort() };
}

/** A role in words. */
export const ROLE_WORDS: Readonly<Record<Role, string>> = {
  owner: 'Everything, and who else is an owner.',
  admin: 'Everything but owners.',
  operator: 'Runs breakouts and the library; sees the rest; deletes nothing.',
  viewer: 'Sees, and changes nothing.',
};
