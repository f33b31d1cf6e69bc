// SPDX-License-Identifier: Apache-2.0 OR MIT
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';

/** Where `npm run dev` finds a running server. */
const server = process.env['ANABRANCH_SERVER'] ?? 'http://127.0.0.1:9997';

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
  },
  server: { proxy: { '/v1': server } },
});
