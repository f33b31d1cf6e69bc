// SPDX-License-Identifier: Apache-2.0 OR MIT
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { answered } from '../../src/watch/ask.ts';
import {
  BEHIND_SECONDS,
  REFUSALS_TO_BELIEVE,
  initial,
  next,
  pollDelay,
  view,
  wantedPlayer,
  type BreakoutState,
  type Event,
  type Model,
} from '../../src/watch/state.ts';

const told = (state: BreakoutState, problem: string | null = null): Event => ({
  type: 'answered',
  name: 'Final',
  state,
  playlistUrl: state === 'waiting' ? null : '/d/E1/b1/index.m3u8',
  problem,
});
const playback = (at: 'loading' | 'playing' | 'paused' | 'stalled' | 'finished' | 'gone' | 'broken' | 'blocked'): Event => ({
  type: 'playback',
  playback: { at },
});
const after = (...events: Event[]): Model => events.reduce(next, initial);

test('a breakout that has not started says that the page starts by itself', () => {
  const model = after(told('waiting'));
  const shown = view(model, true);
  assert.equal(shown.headline, 'The breakout has not started yet.');
  assert.equal(shown.hint, 'This page starts by itself.');
  assert.equal(shown.player, 'hidden');
  assert.equal(shown.tone, 'waiting');
  assert.equal(pollDelay(model), 2_000);
  assert.equal(wantedPlayer(model), null);
});

test('a live breakout plays and is asked for every ten seconds', () => {
  const model = after(told('waiting'), told('live'), playback('loading'), playback('playing'));
  const shown = view(model, true);
  assert.deepEqual([shown.badge, shown.headline, shown.player], ['LIVE', '', 'shown']);
  assert.deepEqual(shown.actions, ['unmute']);
  assert.deepEqual(view(model, false).actions, []);
  assert.equal(pollDelay(model), 10_000);
  assert.deepEqual(wantedPlayer(model), { url: '/d/E1/b1/index.m3u8', start: 'live' });
});

test('an ended breakout offers what is left, and is asked for no more', () => {
  const playing = after(told('live'), playback('playing'), told('ended'));
  assert.equal(view(playing, false).headline, 'The breakout has ended.');
  assert.deepEqual(view(playing, false).actions, []);
  assert.deepEqual(view(next(playing, playback('finished')), false).actions, ['replay']);
  assert.equal(pollDelay(playing), null);
  const gone = view(after(told('ended'), playback('loading'), playback('gone')), false);
  assert.deepEqual([gone.headline, gone.player, gone.actions.length], ['The breakout has ended.', 'hidden', 0]);
});

test('an ended breakout does not come back', () => {
  assert.equal(view(after(told('ended'), told('live')), false).badge, 'Ended');
});

test('a refused link is final at once when it never worked', () => {
  const model = after({ type: 'refused', why: 'expired' });
  assert.equal(view(model, true).headline, 'This link has expired or is not for this breakout.');
  assert.equal(view(model, true).hint, 'Ask for a new one.');
  assert.equal(pollDelay(model), null);
});

test('a link that worked is given up only after refusals in a row', () => {
  const refused: Event = { type: 'refused', why: 'expired' };
  let model = after(told('live'), playback('playing'));
  for (let count = 1; count < REFUSALS_TO_BELIEVE; count += 1) {
    model = next(model, refused);
    assert.equal(view(model, false).badge, 'LIVE');
    assert.equal(pollDelay(model), 2_000);
  }
  assert.equal(view(next(model, told('live')), false).badge, 'LIVE');
  assert.equal(next(next(model, told('live')), refused).answer.kind, 'known');
  assert.equal(view(next(model, refused), false).badge, 'No access');
});

test('a breakout that does not exist is told apart from an expired link', () => {
  assert.equal(view(after({ type: 'refused', why: 'missing' }), true).headline, 'There is no such breakout.');
});

test('a lost connection says that it tries again, and asks soon', () => {
  const model = after(told('live'), playback('playing'), { type: 'unreachable' });
  assert.equal(view(model, false).headline, 'The connection is lost.');
  assert.match(view(model, false).hint, /plays on/);
  assert.equal(view(model, false).player, 'shown');
  assert.match(view(next(model, playback('stalled')), false).hint, /resumes by itself/);
  const delays = [1, 2, 3, 4, 50].map((missed) => pollDelay({ ...model, missed }));
  assert.deepEqual(delays, [500, 1_000, 2_000, 3_000, 3_000]);
  assert.equal(view(next(model, told('live')), false).headline, '');
});

test('a delivery network that is away, or refuses, is said while the server answers', () => {
  const model = after(told('live'), playback('playing'), { type: 'delivery', delivery: 'lost' });
  assert.equal(view(model, false).badge, 'Reconnecting');
  assert.equal(view(next(model, { type: 'delivery', delivery: 'refused' }), false).badge, 'Refused');
  assert.equal(view(next(model, { type: 'delivery', delivery: 'ok' }), false).badge, 'LIVE');
});

test('the server that never answered is told from one that was lost', () => {
  const shown = view(after({ type: 'unreachable' }), true);
  assert.equal(shown.headline, 'The server does not answer.');
  assert.match(shown.hint, /keeps trying/);
});

test('live falls back to waiting without dropping the player', () => {
  const shown = view(after(told('live'), playback('playing'), told('waiting')), false);
  assert.deepEqual([shown.player, shown.headline], ['shown', 'No picture is arriving.']);
});

test('going to live is offered only when clearly behind', () => {
  const live = after(told('live'), playback('playing'));
  const at = (seconds: number) => view(next(live, { type: 'latency', seconds, target: 6 }), false);
  assert.deepEqual(at(6 + BEHIND_SECONDS).actions, []);
  assert.deepEqual(at(6 + BEHIND_SECONDS + 1).actions, ['go-live']);
  assert.equal(at(7.4).latency, '7 s behind live');
});

test('a problem of the breakout is shown in words of the server', () => {
  assert.equal(view(after(told('live', 'the disk is full'), playback('playing')), false).hint, 'The disk is full.');
  assert.equal(view(after(told('waiting', 'no encoder is connected')), false).hint, 'No encoder is connected. This page starts by itself.');
});

test('a format that the browser cannot play is named, with what to do', () => {
  const model = after(told('live'), { type: 'playback', playback: { at: 'unplayable', codecs: 'hvc1.1.6.L93.B0' } });
  assert.match(view(model, false).headline, /cannot play the format .*hvc1/);
  assert.notEqual(view(model, false).hint, '');
});

test('a decoder that gave up can be tried again', () => {
  assert.deepEqual(view(after(told('live'), playback('broken')), false).actions, ['retry']);
});

test('a browser that refuses to start gets a play button', () => {
  assert.deepEqual(view(after(told('live'), playback('blocked')), true).actions, ['play']);
});

test('answers that are none count as unreachable', () => {
  for (const body of [null, 1, 'live', {}, { state: 'LIVE' }, { state: 3 }, []]) {
    assert.deepEqual(answered(body), { type: 'unreachable' }, JSON.stringify(body));
  }
  assert.deepEqual(answered({ state: 'waiting', playlist_url: 3, problem: { detail: 'why' } }), {
    type: 'answered',
    name: '',
    state: 'waiting',
    playlistUrl: null,
    problem: 'why',
  });
});
