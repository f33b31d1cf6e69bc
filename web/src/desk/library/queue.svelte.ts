// SPDX-License-Identifier: Apache-2.0 OR MIT
// The one queue of uploads of this tab, which goes on while pages come and go, and what became of what was uploaded.

import { SvelteMap } from 'svelte/reactivity';
import { api, ask } from '../lib/api.ts';
import { session } from '../lib/session.svelte.ts';
import { xhr } from '../lib/tus.ts';
import { browserOutside, Uploads, type UploadItem } from '../lib/uploads.ts';

/** Looks for the asset of a file that has arrived. */
const LOOKS_MAX = 60;
const LOOK_EVERY_MS = 1_000;

/** What became of an uploaded file. */
export interface Arrived {
  state: 'looking' | 'asset' | 'failed' | 'lies';
  asset: string | null;
  problem: string | null;
}

const uploads = new Uploads(browserOutside((): Record<string, string> => (session.me?.csrf ? { 'X-Anabranch-CSRF': session.me.csrf } : {}), xhr));

class Queue {
  items = $state.raw<readonly UploadItem[]>([]);
  readonly arrived = new SvelteMap<string, Arrived>();
  private drawing = false;

  constructor() {
    this.read();
    uploads.subscribe(() => {
      // Progress comes more often than pictures are drawn.
      if (this.drawing) return;
      this.drawing = true;
      window.setTimeout(() => {
        this.drawing = false;
        this.read();
      }, 100);
    });
    uploads.onDone((item) => void this.follow(item));
    window.addEventListener('beforeunload', (event) => {
      if (uploads.busy) event.preventDefault();
    });
  }

  add = (files: readonly File[], bucket: string): Promise<string[]> => uploads.add(files, bucket);
  pause = (id: string): void => uploads.pause(id);
  resume = (id: string): void => uploads.resume(id);
  remove = (id: string): Promise<void> => uploads.remove(id);
  clear = (): void => uploads.clear();

  private read(): void {
    this.items = uploads.items.map((item) => ({ ...item }));
  }

  /** Waits until the bucket says what the object has become. */
  private async follow({ id, name, bucket }: UploadItem): Promise<void> {
    this.arrived.set(id, { state: 'looking', asset: null, problem: null });
    for (let look = 0; look < LOOKS_MAX; look += 1) {
      try {
        const { items } = await ask(api.GET('/v1/buckets/{id}/objects', { params: { path: { id: bucket }, query: { prefix: name, limit: 10 } } }));
        const object = items.find(({ key }) => key === name) ?? items[0];
        if (object?.asset) return void this.arrived.set(id, { state: 'asset', asset: object.asset, problem: object.problem ?? null });
        if (object?.arrival === 'FAILED') return void this.arrived.set(id, { state: 'failed', asset: null, problem: object.problem ?? null });
        if (object && !object.arrival) return void this.arrived.set(id, { state: 'lies', asset: null, problem: null });
      } catch {
        // The next look tells.
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
    }
    this.arrived.set(id, { state: 'lies', asset: null, problem: null });
  }
}

export const queue = new Queue();
