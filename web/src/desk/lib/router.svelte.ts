// SPDX-License-Identifier: Apache-2.0 OR MIT
// Addresses without a hash, by the History API.

/** Paths that are not the desk's: links to them leave it. */
const OUTSIDE = /^\/(watch|embed|v1|openapi\.json|livez|readyz|public|api)(\/|$)/;

class Router {
  path = $state(clean(window.location.pathname));
  search = $state(window.location.search);
  /** Goes up with each visit, so that a page can be told apart from the same page later. */
  visit = $state(0);
  readonly query = $derived(new URLSearchParams(this.search));

  constructor() {
    window.addEventListener('popstate', () => this.take());
    document.addEventListener('click', (event) => this.follow(event));
  }

  /** Goes to an address of the desk. */
  go(to: string, how: 'push' | 'replace' = 'push'): void {
    const url = new URL(to, window.location.href);
    if (url.origin !== window.location.origin || OUTSIDE.test(url.pathname)) {
      window.location.assign(url);
      return;
    }
    const moved = clean(url.pathname) !== this.path;
    window.history[how === 'push' ? 'pushState' : 'replaceState'](null, '', url);
    this.take();
    if (moved) window.scrollTo(0, 0);
  }

  /** Changes some of the query; `null` and an empty text take a name away. Nothing is added to the history. */
  filter(changes: Record<string, string | null>): void {
    const query = new URLSearchParams(this.search);
    for (const [name, value] of Object.entries(changes)) {
      if (value) query.set(name, value);
      else query.delete(name);
    }
    const text = query.toString();
    window.history.replaceState(null, '', `${this.path}${text ? `?${text}` : ''}`);
    this.search = window.location.search;
  }

  private take(): void {
    const path = clean(window.location.pathname);
    if (path !== this.path) this.visit += 1;
    this.path = path;
    this.search = window.location.search;
  }

  private follow(event: MouseEvent): void {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = (event.target as Element | null)?.closest?.('a');
    if (!link || link.target || link.hasAttribute('download') || !link.getAttribute('href')) return;
    const url = new URL(link.href, window.location.href);
    if (url.origin !== window.location.origin || OUTSIDE.test(url.pathname)) return;
    if (url.hash && url.pathname === window.location.pathname) return;
    event.preventDefault();
    this.go(url.pathname + url.search);
  }
}

const clean = (path: string) => path.replace(/\/+$/, '') || '/';

export const router = new Router();
