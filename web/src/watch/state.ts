// SPDX-License-Identifier: Apache-2.0 OR MIT
// What the watch page says, as a pure function of what the server answered and what the player lived through.
// No DOM, no clock, no network: events in, words out.

import { BEHIND_SECONDS, type Delivery, type Playback, type PlayerEvent } from '../player/engine.ts';
import { sentence } from '../words.ts';
import { fatalWords, refusal, unreachable, type Refusal, type Words } from './phrases.ts';

/** State of a breakout, in the words of `GET /v1/watch/{breakout}`. */
export type BreakoutState = 'waiting' | 'live' | 'ended';

/** What was recorded of a breakout that is over. */
export interface Recording {
  state: 'making' | 'ready' | 'failed';
  playlistUrl: string | null;
  seconds: number | null;
  /** Null unless viewers may have it. */
  mp4: { state: 'making' | 'ready' | 'failed'; percent: number; url: string | null; bytes: number | null } | null;
}

/** What the server tells of a breakout. */
export interface Told {
  state: BreakoutState;
  playlistUrl: string | null;
  problem: string | null;
  curtain: 'up' | 'down';
  /** The link is an operator's. */
  preview: boolean;
  startsInSeconds: number | null;
  viewers: number | null;
  recording: Recording | null;
  expiresInSeconds: number | null;
  /** How often an operator has had the pages of all viewers loaded anew; null from a server that does not count. */
  refresh: number | null;
}

/** What the page knows of the breakout. */
export type Answer = { kind: 'asking' } | ({ kind: 'known' } & Told) | { kind: 'refused'; why: Refusal };

/** What is opened: what is live, the end of what was, or its recording. */
export type Start = 'live' | 'replay' | 'recording';

/** Everything the page's words depend on. */
export interface Model {
  readonly name: string;
  readonly answer: Answer;
  /** Questions to the server in a row that were not answered. */
  readonly missed: number;
  /** Refusals in a row. */
  readonly refusals: number;
  /** What was opened last. */
  readonly opened: Start | null;
  /** The viewer would rather see the recording than what is left of the end. */
  readonly recordingWanted: boolean;
  /** The refresh that this page has: what the first answer told, or what it was loaded anew for. */
  readonly refreshed: number | null;
  readonly playback: Playback;
  readonly delivery: Delivery;
  /** Distance from the live edge and the distance the player aims at, in seconds. */
  readonly latency: { seconds: number; target: number } | null;
}

/** What may happen. */
export type Event =
  | ({ type: 'answered'; name: string } & Told)
  | { type: 'refused'; why: Refusal }
  | { type: 'unreachable' }
  | { type: 'opened'; start: Start }
  | { type: 'wanted'; what: 'recording' }
  | PlayerEvent;

/** What the page shows. */
export interface View extends Words {
  title: string;
  player: 'hidden' | 'shown';
  /** A button that makes sense now. */
  actions: Action[];
  /** Small figures beside the badge; empty when there are none. */
  latency: string;
  viewers: string;
  /** Seconds from the answer on until it is meant to begin; null when nobody planned it. */
  startsInSeconds: number | null;
  download: { url: string; label: string } | null;
  /** The large button on the picture. */
  big: boolean;
}

/** Buttons of the page. */
export type Action = 'unmute' | 'play' | 'replay' | 'recording' | 'copy-recording' | 'retry' | 'take-over';

export const initial: Model = {
  name: '',
  answer: { kind: 'asking' },
  missed: 0,
  refusals: 0,
  opened: null,
  recordingWanted: false,
  refreshed: null,
  playback: { at: 'none' },
  delivery: 'ok',
  latency: null,
};

/** A link that worked is given up only after so many refusals in a row: a server that starts may refuse at first. */
export const REFUSALS_TO_BELIEVE = 3;
/** What only a server that knows the viewer can say. */
const CERTAIN: readonly Refusal[] = ['revoked', 'devices', 'removed'];
const POLL_WAITING_MS = 2_000;
const POLL_LIVE_MS = 10_000;
const POLL_EARLY_MS = 10_000;
const POLL_RECORDING_MS = 3_000;
const POLL_LOST_MAX_MS = 3_000;
const POLL_LOST_FIRST_MS = 500;

/** The model after `event`. */
export function next(model: Model, event: Event): Model {
  switch (event.type) {
    case 'answered': {
      const { type: _type, name, ...told } = event;
      // The address does not change while a player uses it, and an ended breakout stays ended.
      const before = model.answer.kind === 'known' ? model.answer : null;
      const state = before?.state === 'ended' ? 'ended' : told.state;
      const playlistUrl = told.playlistUrl ?? before?.playlistUrl ?? null;
      const refreshed = model.refreshed ?? told.refresh;
      return { ...model, name, answer: { kind: 'known', ...told, state, playlistUrl }, missed: 0, refusals: 0, refreshed };
    }
    case 'refused': {
      const refusals = model.refusals + 1;
      const believed = model.answer.kind !== 'known' || refusals >= REFUSALS_TO_BELIEVE || CERTAIN.includes(event.why);
      return { ...model, missed: 0, refusals, answer: believed ? { kind: 'refused', why: event.why } : model.answer };
    }
    case 'unreachable':
      return { ...model, missed: model.missed + 1 };
    case 'opened':
      return { ...model, opened: event.start, delivery: 'ok', latency: null };
    case 'wanted':
      return { ...model, recordingWanted: true };
    case 'playback':
      return { ...model, playback: event.playback };
    case 'delivery':
      return { ...model, delivery: event.delivery };
    case 'latency':
      return { ...model, latency: { seconds: event.seconds, target: event.target } };
  }
}

/** Milliseconds until the next question to the server; null when there is nothing left to ask. */
export function pollDelay(model: Model): number | null {
  const { answer } = model;
  if (answer.kind === 'refused') return answer.why === 'early' ? POLL_EARLY_MS : null;
  if (model.refusals > 0) return POLL_WAITING_MS;
  if (model.missed > 0) return Math.min(POLL_LOST_FIRST_MS * 2 ** (model.missed - 1), POLL_LOST_MAX_MS);
  if (answer.kind === 'asking') return POLL_WAITING_MS;
  switch (answer.state) {
    case 'waiting':
      return POLL_WAITING_MS;
    case 'live':
      return POLL_LIVE_MS;
    case 'ended': {
      const coming = answer.recording?.state === 'making' || answer.recording?.mp4?.state === 'making';
      return coming ? POLL_RECORDING_MS : null;
    }
  }
}

/** Whether the page has to be loaded anew since an operator wants that of all of them. */
export function refreshWanted({ answer, refreshed }: Model): boolean {
  return answer.kind === 'known' && answer.refresh !== null && refreshed !== null && answer.refresh > refreshed;
}

/** Whether a player should exist, and how it starts. */
export function wantedPlayer(model: Model): { url: string; start: Start } | null {
  const { answer } = model;
  if (answer.kind !== 'known' || answer.state === 'waiting') return null;
  if (answer.state === 'live') return answer.playlistUrl ? { url: answer.playlistUrl, start: 'live' } : null;
  const recorded = answer.recording?.state === 'ready' ? answer.recording.playlistUrl : null;
  // Who sees the end is not torn from it.
  const seesTheEnd = (model.opened === 'live' || model.opened === 'replay') && isMoving(model.playback);
  if (recorded && (model.recordingWanted || !seesTheEnd)) return { url: recorded, start: 'recording' };
  return answer.playlistUrl ? { url: answer.playlistUrl, start: 'replay' } : null;
}

/** The words. */
export function view(model: Model, muted: boolean): View {
  const { answer } = model;
  const base: Base = { title: model.name || 'Breakout', latency: '', viewers: '', startsInSeconds: null, download: null, actions: [], big: false };
  switch (answer.kind) {
    case 'asking':
      return model.missed > 0
        ? { ...base, ...unreachable, player: 'hidden' }
        : { ...base, tone: 'quiet', badge: 'Opening', headline: 'Opening the breakout.', hint: '', player: 'hidden' };
    case 'refused':
      return { ...base, ...refusal[answer.why], player: 'hidden', actions: answer.why === 'devices' ? ['take-over'] : [] };
    case 'known':
      switch (answer.state) {
        case 'waiting':
          return waitingView(model, answer, base, muted);
        case 'live':
          return liveView(model, answer, base, muted);
        case 'ended':
          return endedView(model, answer, base, muted);
      }
  }
}

type Base = Omit<View, 'tone' | 'badge' | 'headline' | 'hint' | 'player'>;

function waitingView(model: Model, told: Told, base: Base, muted: boolean): View {
  const started = hasPicture(model.playback);
  const hidden = told.curtain === 'down';
  const byItself = started ? 'It goes on by itself when the sender is back.' : 'This page starts by itself.';
  const words: Words =
    model.missed > 0
      ? unreachable
      : {
          tone: 'waiting',
          badge: hidden && started ? 'Paused' : 'Waiting',
          headline: hidden && started ? 'There is a break.' : started ? 'No picture is arriving.' : 'The breakout has not started yet.',
          hint: hidden ? (started ? 'It goes on by itself.' : byItself) : `${sentence(told.problem)} ${byItself}`.trim(),
        };
  // Behind the curtain nothing of what was loaded is shown.
  const shown = started && !hidden;
  return {
    ...base,
    ...words,
    player: shown ? 'shown' : 'hidden',
    startsInSeconds: started || model.missed > 0 ? null : told.startsInSeconds,
    actions: shown && muted ? ['unmute'] : [],
  };
}

function liveView(model: Model, told: Told, base: Base, muted: boolean): View {
  const fatal = fatalWords(model.playback);
  if (fatal) return { ...base, ...fatal, player: 'hidden', actions: model.playback.at === 'broken' ? ['retry'] : [] };
  const hint = told.preview && told.curtain === 'down' ? 'The curtain is down: only you see this.' : sentence(told.problem);
  const live: Words = { tone: 'live', badge: told.preview && told.curtain === 'down' ? 'PREVIEW' : 'LIVE', headline: '', hint };
  const actions: Action[] = [];
  if (model.playback.at === 'blocked') actions.push('play');
  else if (muted && model.playback.at !== 'loading' && model.playback.at !== 'ready') actions.push('unmute');
  const held = interruption(model);
  // Who is behind by his own will sees by how much beside the way back.
  const { latency: far } = model;
  const near = held === null && model.playback.at === 'playing' && far !== null && far.seconds <= far.target + BEHIND_SECONDS;
  const latency = near ? `${Math.round(far.seconds)} s behind live` : '';
  const viewers = told.viewers === null ? '' : `${told.viewers.toLocaleString('en')} watching`;
  return { ...base, ...live, ...held, player: 'shown', actions, latency, viewers, big: model.playback.at === 'blocked' || model.playback.at === 'ready' };
}

/** What holds the picture up in a live breakout; null when nothing does. */
function interruption(model: Model): Words | null {
  const moving = model.playback.at === 'playing' || model.playback.at === 'paused';
  if (model.delivery === 'refused') {
    return {
      tone: 'trouble',
      badge: 'Refused',
      headline: 'The delivery network refuses this link.',
      hint: 'This page keeps trying; if it lasts, ask for a new link.',
    };
  }
  if (model.delivery === 'lost' || model.missed > 0) {
    return {
      tone: 'trouble',
      badge: 'Reconnecting',
      headline: 'The connection is lost.',
      hint: moving ? 'Trying again; what is already loaded plays on.' : 'Trying again; playback resumes by itself.',
    };
  }
  switch (model.playback.at) {
    case 'none':
    case 'loading':
      return { tone: 'live', badge: 'LIVE', headline: 'Loading the picture.', hint: '' };
    case 'stalled':
      return { tone: 'live', badge: 'LIVE', headline: 'Waiting for the picture.', hint: 'It goes on by itself.' };
    case 'blocked':
      return { tone: 'live', badge: 'LIVE', headline: 'The browser waits for you.', hint: 'Press Play to start.' };
    default:
      return null;
  }
}

function endedView(model: Model, told: Told, base: Base, muted: boolean): View {
  const { recording } = told;
  const more = { download: download(recording) };
  if (recording?.state === 'ready' && model.opened === 'recording') return { ...base, ...more, ...recordingView(model, recording, muted) };
  const comes = recording?.state === 'making';
  const promise = comes ? 'Its recording is being prepared and plays here as soon as it is there.' : '';
  const ended: Words = { tone: 'ended', badge: 'Ended', headline: 'The breakout has ended.', hint: promise || mp4Words(recording) };
  const offered: Action[] = recording?.state === 'ready' && recording.playlistUrl ? ['recording', 'copy-recording'] : [];
  switch (model.playback.at) {
    case 'none':
    case 'gone':
    case 'broken':
    case 'unplayable':
    case 'unsupported':
      return { ...base, ...more, ...ended, player: 'hidden', actions: offered };
    case 'loading':
      return { ...base, ...more, ...ended, player: 'hidden', hint: promise || 'Looking for what can still be watched.' };
    case 'playing':
    case 'stalled': {
      const hint = model.delivery === 'ok' ? `You are watching its last part. ${promise}`.trim() : 'The connection is lost. Trying again.';
      return { ...base, ...more, ...ended, player: 'shown', hint, actions: [...offered, ...(muted ? (['unmute'] as const) : [])] };
    }
    case 'ready':
    case 'paused':
    case 'blocked':
    case 'finished':
      return {
        ...base,
        ...more,
        ...ended,
        player: 'shown',
        hint: `The last part can still be watched. ${promise}`.trim(),
        actions: offered.length > 0 ? offered : ['replay'],
      };
  }
}

function recordingView(model: Model, recording: Recording, muted: boolean): Pick<View, keyof Words | 'player' | 'actions' | 'big'> {
  const words: Words = { tone: 'ended', badge: 'Recording', headline: '', hint: mp4Words(recording) };
  const fatal = fatalWords(model.playback);
  if (fatal) return { ...fatal, player: 'hidden', actions: model.playback.at === 'broken' ? ['retry'] : [], big: false };
  const lost: Words = { tone: 'trouble', badge: 'Reconnecting', headline: 'The connection is lost.', hint: 'Trying again; playback resumes by itself.' };
  const { at } = model.playback;
  const begun = at === 'playing' || at === 'stalled' || at === 'paused';
  const ended = begun || at === 'finished' ? '' : 'The breakout has ended. This is its recording.';
  return {
    ...(model.delivery === 'ok' ? { ...words, headline: ended } : lost),
    player: at === 'gone' ? 'hidden' : 'shown',
    actions: [...(muted && at === 'playing' ? (['unmute'] as const) : []), ...(recording.playlistUrl ? (['copy-recording'] as const) : [])],
    big: !begun,
  };
}

function mp4Words(recording: Recording | null): string {
  const mp4 = recording?.mp4;
  return mp4?.state === 'making' ? `The file to download is being made: ${Math.floor(mp4.percent)} %.` : '';
}

function download(recording: Recording | null): View['download'] {
  const mp4 = recording?.mp4;
  if (mp4?.state !== 'ready' || mp4.url === null) return null;
  return { url: mp4.url, label: `Download MP4${mp4.bytes === null ? '' : ` (${size(mp4.bytes)})`}` };
}

function size(bytes: number): string {
  const [value, unit] = bytes >= 1e9 ? [bytes / 1e9, 'GB'] : [bytes / 1e6, 'MB'];
  return `${value >= 10 ? Math.round(value) : value.toFixed(1)} ${unit}`;
}

function hasPicture(playback: Playback): boolean {
  return ['playing', 'paused', 'stalled', 'blocked', 'finished'].includes(playback.at);
}

function isMoving(playback: Playback): boolean {
  return playback.at === 'playing' || playback.at === 'stalled';
}
