// SPDX-License-Identifier: Apache-2.0 OR MIT
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { answered } from '../../src/watch/ask.ts';
import { BEHIND_SECONDS } from '../../src/player/engine.ts';
import {
  REFUSALS_TO_BELIEVE,
  initial,
  next,
  pollDelay,
  refreshWanted,
  view,
  wantedPlayer,
  type BreakoutState,
  type Event,
  type Model,
  type Recording,
  type Told,
} from '../../src/watch/state.ts';
import { countdown, moment } from '../../src/watch/countdown.ts';
import { readLeft } from '../../src/watch/refresh.ts';

const told = (state: BreakoutState, problem: string | null = null, more: Partial<Told> = {}): Event => ({
  type: 'answered',
  name: 'Final',
  state,
  playlistUrl: state === 'waiting' ? null : '/d/E1/b1/index.m3u8',
  problem,
  curtain: 'up',
  preview: false,
  startsInSeconds: null,
  viewers: null,
  recording: null,
  expiresInSeconds: 3600,
  refresh: null,
  ...more,
});
const recording = (state: Recording['state'], mp4: Recording['mp4'] = null): Partial<Told> => ({
  recording: { state, playlistUrl: state === 'ready' ? '/r/index.m3u8' : null, seconds: null, mp4 },
});
const opened = (start: 'live' | 'replay' | 'recording'): Event => ({ type: 'opened', start });
const playback = (at: 'loading' | 'ready' | 'playing' | 'paused' | 'stalled' | 'finished' | 'gone' | 'broken' | 'blocked'): Event => ({
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
  const model = after({ type: 'refused', why: 'closed' });
  assert.equal(view(model, true).headline, 'This link has expired or is not for this breakout.');
  assert.equal(view(model, true).hint, 'Ask for a new one.');
  assert.equal(pollDelay(model), null);
});

test('a link that worked is given up only after refusals in a row', () => {
  const refused: Event = { type: 'refused', why: 'closed' };
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

test('the distance from live and the audience are told where they are known', () => {
  const live = after(told('live', null, { viewers: 1234 }), playback('playing'), { type: 'latency', seconds: 7.4, target: 6 });
  const shown = view(live, false);
  assert.deepEqual([shown.latency, shown.viewers], ['7 s behind live', '1,234 watching']);
  assert.equal(view(after(told('live'), playback('playing')), false).viewers, '');
  const away = next(live, { type: 'latency', seconds: 6 + BEHIND_SECONDS + 1, target: 6 });
  assert.equal(view(away, false).latency, '');
});

test('a planned start is counted down to', () => {
  assert.equal(view(after(told('waiting', null, { startsInSeconds: 90 })), true).startsInSeconds, 90);
  assert.equal(view(after(told('live')), true).startsInSeconds, null);
  const words = [90, 3_600, 0.2, 0, -5, 86_400, 2 * 86_400 + 3_600, 3 * 86_400 + 7_300].map(countdown);
  const late = 'It should begin any moment.';
  assert.deepEqual(words, [
    'Starts in 1:30', 'Starts in 1:00:00', 'Starts in 0:01', late, late, 'Starts in 1 day', 'Starts in 2 days and 1 hour', 'Starts in 3 days and 2 hours',
  ]);
  const now = new Date(2030, 0, 1, 12, 0);
  assert.equal(moment(new Date(2030, 0, 1, 20, 5), now), '20:05');
  assert.match(moment(new Date(2030, 0, 2, 20, 5), now), /Wednesday.* 2 January.*20:05/);
});

test('behind the curtain nothing is shown, but to the operator', () => {
  const hidden = view(after(told('live'), playback('playing'), told('waiting', null, { curtain: 'down' })), false);
  assert.deepEqual([hidden.headline, hidden.player], ['There is a break.', 'hidden']);
  const before = view(after(told('waiting', 'no encoder', { curtain: 'down' })), false);
  assert.deepEqual([before.headline, before.hint], ['The breakout has not started yet.', 'This page starts by itself.']);
  const preview = view(after(told('live', null, { curtain: 'down', preview: true }), playback('playing')), false);
  assert.deepEqual([preview.badge, preview.player], ['PREVIEW', 'shown']);
});

test('each refusal has its own words, and a device limit a way back', () => {
  const words = (['expired', 'early', 'address', 'wrong', 'revoked', 'devices', 'removed'] as const).map((why) => view(after({ type: 'refused', why }), true));
  assert.equal(new Set(words.map(({ headline }) => headline)).size, words.length);
  assert.deepEqual(words.map(({ actions }) => actions.join()), ['', '', '', '', '', 'take-over', '']);
  assert.equal(pollDelay(after({ type: 'refused', why: 'early' })), 10_000);
  // What only a server that knows the viewer can say is believed while it plays.
  for (const why of ['revoked', 'devices', 'removed'] as const) {
    assert.equal(after(told('live'), playback('playing'), { type: 'refused', why }).answer.kind, 'refused');
  }
});

test('the recording plays in the place of the breakout as soon as it is there', () => {
  const making = after(told('ended', null, recording('making')), opened('replay'), playback('gone'));
  assert.match(view(making, false).hint, /recording is being prepared/);
  assert.equal(pollDelay(making), 3_000);
  const ready = next(making, told('ended', null, recording('ready')));
  assert.deepEqual(wantedPlayer(ready), { url: '/r/index.m3u8', start: 'recording' });
  assert.equal(pollDelay(ready), null);
  const shown = view([opened('recording'), playback('ready')].reduce(next, ready), false);
  assert.deepEqual([shown.badge, shown.player, shown.big], ['Recording', 'shown', true]);
  const plays = view([opened('recording'), playback('playing')].reduce(next, ready), false);
  assert.deepEqual([plays.headline, plays.big], ['', false]);
});

test('who sees the end is not torn from it', () => {
  const end = after(told('live'), opened('live'), playback('playing'), told('ended', null, recording('ready')));
  assert.deepEqual([wantedPlayer(end)?.start, view(end, false).actions], ['replay', ['recording', 'copy-recording']]);
  assert.equal(wantedPlayer(next(end, { type: 'wanted', what: 'recording' }))?.start, 'recording');
  assert.equal(wantedPlayer(next(end, playback('finished')))?.start, 'recording');
});

test('a file to download is told of while it is made, and offered then', () => {
  const made = { state: 'making' as const, percent: 41.7, url: null, bytes: null };
  const making = after(told('ended', null, recording('ready', made)), opened('recording'), playback('playing'));
  assert.match(view(making, false).hint, /41 %/);
  assert.equal(pollDelay(making), 3_000);
  const ready = next(making, told('ended', null, recording('ready', { state: 'ready', percent: 100, url: '/x.mp4', bytes: 12_345_678 })));
  assert.deepEqual(view(ready, false).download, { url: '/x.mp4', label: 'Download MP4 (12 MB)' });
  assert.equal(pollDelay(ready), null);
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
    curtain: 'up',
    preview: false,
    startsInSeconds: null,
    viewers: null,
    recording: null,
    expiresInSeconds: null,
    refresh: null,
  });
});

test('the page is loaded anew once the count of refreshes has grown, and not for the one that it came with', () => {
  const at = (refresh: number | null) => told('live', null, { refresh });
  assert.equal(refreshWanted(after(at(3), at(3))), false);
  assert.equal(refreshWanted(after(at(3), at(4))), true);
  assert.equal(refreshWanted(after(at(3), { type: 'unreachable' }, at(4))), true);
  assert.equal(refreshWanted(after(at(3), at(2))), false, 'a server that was put back wants nothing');
  assert.equal(refreshWanted(after(at(null), at(null))), false);
  assert.equal(refreshWanted(after(at(null), at(7))), false, 'a server that learnt to count has not asked yet');
  assert.equal(refreshWanted(after(at(3), at(4), { type: 'refused', why: 'removed' })), false);
});

test('what a page leaves to itself is read back, and nothing else', () => {
  const left = (kept: unknown) => readLeft({ read: () => kept, write: () => undefined });
  assert.deepEqual(left({ refresh: 4, at: 61.5, playing: false }), { refresh: 4, at: 61.5, playing: false });
  assert.deepEqual(left({ refresh: 4, at: -1 }), { refresh: 4, at: null, playing: null });
  for (const kept of [undefined, null, 7, 'x', { at: 3 }, { refresh: '4' }]) assert.equal(left(kept), null, JSON.stringify(kept));
});
