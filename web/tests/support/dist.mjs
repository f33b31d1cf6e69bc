// SPDX-License-Identifier: Apache-2.0 OR MIT
import { readFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { dirname, extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

const web = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const dist = join(web, 'dist');

const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** Whether `npm run build` has run. */
export const isBuilt = () => existsSync(join(dist, 'index.html'));

/** Answers with a file of the bundle, as the server does: pages get index.html, assets their own file. */
export async function serveDist(path, response) {
  // Files have a dot in their names; ids of assets have none, and are pages of the desk.
  const wanted = /^\/assets\/.*\./.test(path) ? normalize(path) : '/index.html';
  try {
    const body = await readFile(join(dist, wanted));
    response.writeHead(200, { 'content-type': TYPES[extname(wanted)] ?? 'application/octet-stream' });
    response.end(body);
  } catch {
    response.writeHead(404).end();
  }
}
