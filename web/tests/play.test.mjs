// SPDX-License-Identifier: Apache-2.0 OR MIT
// The command that end-to-end tests call.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { FakeServer, makeMedia } from './support/live.mjs';

const COMMAND = fileURLToPath(new URL('./play.mjs', import.meta.url));

/** Exit code and the JSON lines. */
function play(...options) {
  return new Promise((resolve) => {
    execFile(process.execPath, [COMMAND, ...options], (error, stdout, stderr) => {
      const lines = stdout.split('\n').filter(Boolean).map((line) => JSON.parse(line));
      resolve({ code: error?.code ?? 0, lines, stderr });
    });
  });
}

describe('play.mjs', () => {
  let media, server;
  before(async () => {
    media = await makeMedia();
    server = new FakeServer(media);
    await server.start();
    server.goLive();
  });
  after(async () => {
    await server.kill();
    await media.remove();
  });

  test('plays a watch page and says how it went', async () => {
    const { code, lines, stderr } = await play('--url', `${server.origin}/watch/b1?Signature=good`, '--seconds', '4', '--events');
    assert.equal(code, 0, stderr);
    const summary = lines.pop();
    assert.ok(summary.played_seconds > 2.5, JSON.stringify(summary));
    assert.deepEqual([summary.stalls, summary.stall_seconds, summary.resumed, summary.width, summary.height], [0, 0, 0, 426, 240]);
    assert.ok(summary.start_ms > 0);
    assert.ok(lines.length >= 4);
    assert.ok(lines.every((line) => line.event === 'tick'));
    assert.equal(lines.at(-1).state, 'live');
  });

  test('plays a playlist, in the same player', async () => {
    const { code, lines } = await play('--url', `${server.origin}/live/index.m3u8`, '--playlist', '--seconds', '3');
    assert.equal(code, 0);
    assert.equal(lines.length, 1);
    assert.ok(lines[0].played_seconds > 1.5);
  });

  test('says why nothing plays', async () => {
    const { code, lines } = await play('--url', `${server.origin}/watch/b1?Signature=bad`, '--seconds', '3', '--start-timeout', '3');
    assert.equal(code, 1);
    assert.match(lines[0].words, /This link has expired/);
    assert.equal(lines[0].state, 'refused');
  });

  test('a wrong call is refused', async () => {
    assert.equal((await play('--url', 'http://127.0.0.1:1/')).code, 2);
    assert.equal((await play('--sedonds', '3')).code, 2);
  });
});
