// SPDX-License-Identifier: Apache-2.0 OR MIT
// Who uses the desk, and what that person may do.

import { api, ask, Problem, useCsrf, whenUnauthorised, type Schemas } from './api.ts';
import { router } from './router.svelte.ts';

type Me = Schemas['Me'];
export type LoginWays = Schemas['LoginWays'];

class Session {
  me = $state<Me | null>(null);
  /** Whether it was asked yet. */
  known = $state(false);
  problem = $state<Problem | null>(null);

  constructor() {
    whenUnauthorised(() => this.lost());
  }

  /** Whether this person may do `object:action`. What one may not do is not shown. */
  may(privilege: string): boolean {
    return this.me?.privileges.includes(privilege) ?? false;
  }

  async open(): Promise<void> {
    try {
      this.take(await ask(api.GET('/v1/me', {})));
      this.problem = null;
    } catch (error) {
      if (error instanceof Problem && error.status === 401) this.take(null);
      else this.problem = error instanceof Problem ? error : new Problem(-1, String(error));
    }
    this.known = true;
  }

  ways = (): Promise<LoginWays> => ask(api.GET('/v1/login', {}));

  async enter(name: string, password: string): Promise<void> {
    this.take(await ask(api.POST('/v1/login', { body: { name, password } })));
  }

  /** Makes the first owner. The token is used once and kept nowhere. */
  async setup(token: string, name: string, password: string): Promise<void> {
    const headers = { authorization: `Bearer ${token}` };
    this.take(await ask(api.POST('/v1/setup', { body: { name, password }, headers })));
  }

  async leave(): Promise<void> {
    await ask(api.DELETE('/v1/login', {}));
    this.take(null);
    router.go('/login', 'replace');
  }

  take(me: Me | null): void {
    this.me = me;
    useCsrf(me?.csrf ?? null);
  }

  private lost(): void {
    if (router.path === '/login' || router.path === '/setup') return;
    this.take(null);
    const from = router.path + router.search;
    router.go(from === '/' ? '/login' : `/login?return=${encodeURIComponent(from)}`, 'replace');
  }
}

export const session = new Session();
export const may = (privilege: string) => session.may(privilege);
