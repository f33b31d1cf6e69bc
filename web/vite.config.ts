// SPDX-License-Identifier: Apache-2.0 OR MIT
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';

/** Where `npm run dev` finds a running server. */
const server = process.env['ANABRANCH_SERVER'] ?? 'http://127.0.0.1:9997';

/** Pages that an operator of live streams opens; the others share a chunk. */
const LIVE_PAGES = ['Overview', 'Channel', 'Breakout', 'Live', 'Explore', 'Cluster'];

export default defineConfig({
  plugins: [svelte()],
  build: {
    outDir: 'dist',
    emptyOutDir: true,
    target: 'es2022',
    // Every file but index.html carries a hash and may be cached for ever; nothing is inlined, so a strict
    // Content-Security-Policy fits.
    assetsDir: 'assets',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 700,
    rolldownOptions: {
      output: {
        // The desk in a few chunks: a page opens with two requests, and text that is alike is compressed together.
        codeSplitting: {
          includeDependenciesRecursively: false,
          groups: [
            { name: 'desk-base', test: /node_modules\/(svelte|openapi-fetch)\/|src\/desk\/(lib|ui|[^/]+$)/, priority: 2 },
            { name: 'desk-live', test: new RegExp(`src/desk/pages/(${LIVE_PAGES.join('|')}|parts/)`), priority: 1 },
            { name: 'desk-more', test: /src\/desk\//, priority: 0 },
          ],
        },
      },
    },
  },
  server: { proxy: { '/v1': server } },
});
