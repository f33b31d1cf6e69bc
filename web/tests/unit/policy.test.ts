// SPDX-License-Identifier: Apache-2.0 OR MIT
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { asksAgain, mediaPolicies, playerConfig, restartDelay } from '../../src/player/policy.ts';

test('no answer and server errors are asked again for more than a minute', () => {
  for (const status of [0, 408, 429, 500, 502, 503, 504]) assert.ok(asksAgain('live-playlist', status, 40), String(status));
  const retry = playerConfig(() => false).playlistLoadPolicy?.default.errorRetry;
  assert.ok(retry && retry.maxNumRetry * retry.maxRetryDelayMs > 120_000);
  assert.ok(!asksAgain('segment', 0, retry.maxNumRetry));
});

test('a refusal is not asked again', () => {
  assert.ok(!asksAgain('segment', 403, 0));
  assert.ok(!asksAgain('live-playlist', 401, 0));
});

test('what is missing is asked for again only where it may come', () => {
  assert.ok(asksAgain('live-playlist', 404, 10));
  assert.ok(!asksAgain('ended-playlist', 404, 0));
  assert.ok(asksAgain('segment', 404, 0));
  assert.ok(!asksAgain('segment', 404, 2));
});

test('loading starts again with growing, bounded delays', () => {
  assert.deepEqual([0, 1, 2, 3, 4, 1_000].map(restartDelay), [1_000, 2_000, 4_000, 8_000, 8_000, 8_000]);
});

test('where another region has the same, it is not waited for one that has failed', () => {
  const policies = mediaPolicies(() => false, true);
  for (const status of [404, 410]) assert.ok(!asksAgain('live-playlist', status, 0, true), String(status));
  for (const status of [0, 500, 503]) {
    assert.ok(asksAgain('segment', status, 0, true), String(status));
    assert.ok(!asksAgain('segment', status, 1, true), String(status));
  }
  for (const { default: policy } of [policies.playlistLoadPolicy, policies.fragLoadPolicy]) {
    assert.equal(policy.errorRetry?.maxNumRetry, 1);
    assert.equal(policy.timeoutRetry?.maxNumRetry, 0);
    assert.ok(policy.maxTimeToFirstByteMs <= 4_000);
  }
});
