// SPDX-License-Identifier: Apache-2.0 OR MIT
// Holds what the desk offers and hides against what the server needs: `docs/openapi.json` names the privilege of each operation.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { matrix } from '../../src/desk/lib/privileges.ts';
import { routes } from '../../src/desk/routes.ts';

const WEB = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const DESK = join(WEB, 'src', 'desk');
const PRIVILEGE = /'([a-z]+:(?:view|add|update|delete|start|stop|abort|sign))'/g;

interface Operation {
  operationId?: string;
  security?: Record<string, string[]>[];
}
const document = JSON.parse(readFileSync(join(WEB, '..', 'docs', 'openapi.json'), 'utf8')) as { paths: Record<string, Record<string, Operation>> };
/** Privilege by operation, such as `POST /v1/channels`. */
const needs = new Map(
  Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).flatMap(([method, { security = [] }]) => {
      const privilege = security.find((one) => one['session'])?.['session']?.[0];
      return privilege ? [[`${method.toUpperCase()} ${path}`, privilege] as const] : [];
    }),
  ),
);
const known = new Set(needs.values());

const files = readdirSync(DESK, { recursive: true, encoding: 'utf8' })
  .filter((name) => /\.(?:svelte|ts)$/.test(name))
  .map((name) => join(DESK, name));
const source = new Map(files.map((file) => [file, readFileSync(file, 'utf8')]));

/** Privileges that a file asks about by itself. */
const asks = (file: string) => new Set([...(source.get(file) ?? '').matchAll(PRIVILEGE)].map(([, privilege]) => privilege!));
/** Files that import a file, but for the tables of routes. */
const openers = (file: string) =>
  files.filter((other) => !/routes[\w.]*\.ts$/.test(other) && [...source.get(other)!.matchAll(/(?:from|import\()\s*'(\.[^']+)'/g)].some(([, path]) => resolve(dirname(other), path!) === file));
/** What the route of a page needs. */
const routed = (file: string) =>
  [...source.values()].flatMap((text) => text.split('\n').filter((line) => line.includes(`/${relative(DESK, file)}'`))).flatMap((line) => [.../needs: '([^']+)'/g[Symbol.matchAll](line)].map(([, privilege]) => privilege!));

function closure(file: string, seen = new Set<string>()): Set<string> {
  if (!seen.has(file)) for (const other of (seen.add(file), openers(file))) closure(other, seen);
  return seen;
}

test('every privilege that the desk names is one of the server', () => {
  const unknown = files.flatMap((file) => [...asks(file)].filter((privilege) => !known.has(privilege)).map((privilege) => `${relative(DESK, file)}: ${privilege}`));
  assert.deepEqual(unknown, []);
  assert.ok(known.size > 60, `${known.size} privileges were found in the document`);
});

test('the matrix of a user has each privilege of the server, and no other', () => {
  const offered = matrix().flatMap(({ object, actions }) => actions.map((action) => `${object}:${action}`));
  assert.deepEqual(offered.sort(), [...known].sort());
});

test('what is done or read needs the privilege that it is shown by', () => {
  const faults: string[] = [];
  let calls = 0;
  for (const file of files) {
    for (const [, method, path] of source.get(file)!.matchAll(/api\.([A-Z]+)\('([^']+)'/g)) {
      calls += 1;
      const needed = needs.get(`${method} ${path}`);
      if (!needed) continue;
      const own = asks(file);
      // A part is as open as those that show it; a page that asks about its object asks about the right thing.
      const asked = [...own].some((privilege) => privilege.split(':')[0] === needed.split(':')[0]);
      const around = method !== 'GET' && asked ? [file] : [...closure(file)];
      if (around.some((one) => asks(one).has(needed) || routed(one).includes(needed))) continue;
      faults.push(`${relative(DESK, file)}: ${method} ${path} needs ${needed}`);
    }
  }
  assert.deepEqual(faults, []);
  assert.ok(calls > 100, `${calls} calls were found`);
});

test('every link within the desk leads to a page', () => {
  const shapes = routes.map(({ path }) => path.replace(/:\w+/g, ':id'));
  const faults: string[] = [];
  let links = 0;
  for (const file of files) {
    for (const [, quoted] of source.get(file)!.matchAll(/(?:href=|href: |href: \(?|go\(|placeOf.*? )["'`](\/[^"'`]*)["'`]/g)) {
      const path = quoted!.replace(/\$?\{[^}]*\}+/g, ':id').replace(/[?#].*$/, '');
      if (path.startsWith('/v1/') || path.startsWith('/:id')) continue;
      links += 1;
      if (!shapes.includes(path) && !['/login', '/setup'].includes(path)) faults.push(`${relative(DESK, file)}: ${quoted}`);
    }
  }
  assert.deepEqual(faults, []);
  assert.ok(links > 30, `${links} links were found`);
});
