// SPDX-License-Identifier: Apache-2.0 OR MIT
// What the watch page says, as a pure function of what the server answered and what the player lived through.
// No DOM, no clock, no network: events in, words out.

import { sentence } from '../words.ts';

/** State of a breakout, in the words of `GET /v1/watch/{breakout}`. */
export type BreakoutState = 'waiting' | 'live' | 'ended';

/** Why the server does not let this viewer in. */
export type Refusal = 'expired' | 'missing';

/** What the page knows of the breakout. */
export type Answer =
  | { kind: 'asking' }
  | { kind: 'known'; state: BreakoutState; playlistUrl: string | null; problem: string | null }
  | { kind: 'refused'; why: Refusal };

/** What the player does. */
export type Playback =
  | { at: 'none' }
  | { at: 'loading' }
  | { at: 'playing' }
  | { at: 'paused' }
  | { at: 'blocked' }
  | { at: 'stalled' }
  | { at: 'finished' }
  | { at: 'gone' }
  | { at: 'unplayable'; codecs: string }
  | { at: 'unsupported' }
  | { at: 'broken' };

/** How the delivery network answers the player. */
export type Delivery = 'ok' | 'lost' | 'refused';

/** Everything the page's words depend on. */
export interface Model {
  readonly name: string;
  readonly answer: Answer;
  /** Questions to the server in a row that were not answered. */
  readonly missed: number;
  /** Refusals in a row. */
  readonly refusals: number;
  readonly playback: Playback;
  readonly delivery: Delivery;
  /** Distance from the live edge and the distance the player aims at, in seconds. */
  readonly latency: { seconds: number; target: number } | null;
}

/** What may happen. */
export type Event =
  | { type: 'answered'; name: string; state: BreakoutState; playlistUrl: string | null; problem: string | null }
  | { type: 'refused'; why: Refusal }
  | { type: 'unreachable' }
  | { type: 'playback'; playback: Playback }
  | { type: 'delivery'; delivery: Delivery }
  | { type: 'latency'; seconds: number; target: number };

/** What the page shows. */
export interface View {
  /** Colour of the badge; the words say the same. */
  tone: 'quiet' | 'waiting' | 'live' | 'ended' | 'trouble';
  badge: string;
  title: string;
  /** One sentence; empty when the picture speaks for itself. */
  headline: string;
  /** What the viewer may do, or what happens by itself. */
  hint: string;
  player: 'hidden' | 'shown';
  /** A button that makes sense now. */
  actions: Action[];
  /** Small figure beside the badge; empty when there is none. */
  latency: string;
}

/** Buttons of the page. */
export type Action = 'unmute' | 'play' | 'go-live' | 'replay' | 'retry';

export const initial: Model = {
  name: '',
  answer: { kind: 'asking' },
  missed: 0,
  refusals: 0,
  playback: { at: 'none' },
  delivery: 'ok',
  latency: null,
};

/** A link that worked is given up only after so many refusals in a row: a server that starts may refuse at first. */
export const REFUSALS_TO_BELIEVE = 3;
/** Seconds beyond the intended distance from which the page offers to go to live. */
export const BEHIND_SECONDS = 8;
const POLL_WAITING_MS = 2_000;
const POLL_LIVE_MS = 10_000;
const POLL_LOST_MAX_MS = 3_000;
const POLL_LOST_FIRST_MS = 500;

/** The model after `event`. */
export function next(model: Model, event: Event): Model {
  switch (event.type) {
    case 'answered': {
      const { name, state, playlistUrl, problem } = event;
      // The address does not change while a player uses it, and an ended breakout stays ended.
      const before = model.answer.kind === 'known' ? model.answer : null;
      const settled = before?.state === 'ended' ? 'ended' : state;
      const answer: Answer = {
        kind: 'known',
        state: settled,
        playlistUrl: playlistUrl ?? before?.playlistUrl ?? null,
        problem,
      };
      return { ...model, name, answer, missed: 0, refusals: 0 };
    }
    case 'refused': {
      const refusals = model.refusals + 1;
      const believed = model.answer.kind !== 'known' || refusals >= REFUSALS_TO_BELIEVE;
      return { ...model, missed: 0, refusals, answer: believed ? { kind: 'refused', why: event.why } : model.answer };
    }
    case 'unreachable':
      return { ...model, missed: model.missed + 1 };
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
  if (model.answer.kind === 'refused') return null;
  if (model.refusals > 0) return POLL_WAITING_MS;
  if (model.missed > 0) return Math.min(POLL_LOST_FIRST_MS * 2 ** (model.missed - 1), POLL_LOST_MAX_MS);
  if (model.answer.kind === 'asking') return POLL_WAITING_MS;
  switch (model.answer.state) {
    case 'waiting':
      return POLL_WAITING_MS;
    case 'live':
      return POLL_LIVE_MS;
    case 'ended':
      return null;
  }
}

/** Whether a player should exist, and how it starts. */
export function wantedPlayer(model: Model): { url: string; start: 'live' | 'replay' } | null {
  if (model.answer.kind !== 'known' || !model.answer.playlistUrl) return null;
  if (model.answer.state === 'waiting') return null;
  return { url: model.answer.playlistUrl, start: model.answer.state === 'live' ? 'live' : 'replay' };
}

/** The words. */
export function view(model: Model, muted: boolean): View {
  const { answer } = model;
  const title = model.name || 'Breakout';
  const base = { title, latency: '', actions: [] as Action[] };
  switch (answer.kind) {
    case 'asking':
      return model.missed > 0
        ? { ...base, ...unreachable, player: 'hidden' }
        : { ...base, tone: 'quiet', badge: 'Opening', headline: 'Opening the breakout.', hint: '', player: 'hidden' };
    case 'refused':
      return { ...base, ...refusal[answer.why], player: 'hidden' };
    case 'known':
      switch (answer.state) {
        case 'waiting':
          return waitingView(model, answer.problem, base, muted);
        case 'live':
          return liveView(model, answer.problem, base, muted);
        case 'ended':
          return endedView(model, base, muted);
      }
  }
}

type Words = Pick<View, 'tone' | 'badge' | 'headline' | 'hint'>;
type Base = Pick<View, 'title' | 'latency' | 'actions'>;

const unreachable: Words = {
  tone: 'trouble',
  badge: 'No connection',
  headline: 'The server does not answer.',
  hint: 'This page keeps trying and goes on by itself.',
};

const refusal: Record<Refusal, Words> = {
  expired: {
    tone: 'trouble',
    badge: 'No access',
    headline: 'This link has expired or is not for this breakout.',
    hint: 'Ask for a new one.',
  },
  missing: {
    tone: 'trouble',
    badge: 'Not found',
    headline: 'There is no such breakout.',
    hint: 'Check that the whole link was copied, or ask for a new one.',
  },
};

function waitingView(model: Model, problem: string | null, base: Base, muted: boolean): View {
  const started = hasPicture(model.playback);
  const words: Words =
    model.missed > 0
      ? unreachable
      : {
          tone: 'waiting',
          badge: 'Waiting',
          headline: started ? 'No picture is arriving.' : 'The breakout has not started yet.',
          hint: `${sentence(problem)} ${started ? 'It goes on by itself when the sender is back.' : 'This page starts by itself.'}`.trim(),
        };
  return {
    ...base,
    ...words,
    player: started ? 'shown' : 'hidden',
    actions: started && muted ? ['unmute'] : [],
  };
}

function liveView(model: Model, problem: string | null, base: Base, muted: boolean): View {
  const fatal = fatalWords(model.playback);
  if (fatal) return { ...base, ...fatal, player: 'hidden', actions: model.playback.at === 'broken' ? ['retry'] : [] };
  const live: Words = { tone: 'live', badge: 'LIVE', headline: '', hint: sentence(problem) };
  const actions: Action[] = [];
  if (model.playback.at === 'blocked') actions.push('play');
  else if (muted && model.playback.at !== 'loading') actions.push('unmute');
  if (isBehind(model)) actions.push('go-live');
  const held = interruption(model);
  const known = held === null && model.playback.at === 'playing' && model.latency;
  const figure = known ? `${Math.round(known.seconds)} s behind live` : '';
  return { ...base, ...live, ...held, player: 'shown', actions, latency: figure };
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

function endedView(model: Model, base: Base, muted: boolean): View {
  const ended: Words = { tone: 'ended', badge: 'Ended', headline: 'The breakout has ended.', hint: '' };
  switch (model.playback.at) {
    case 'none':
    case 'gone':
    case 'broken':
    case 'unplayable':
    case 'unsupported':
      return { ...base, ...ended, player: 'hidden' };
    case 'loading':
      return { ...base, ...ended, player: 'hidden', hint: 'Looking for what can still be watched.' };
    case 'playing':
    case 'stalled':
      return {
        ...base,
        ...ended,
        player: 'shown',
        hint: model.delivery === 'ok' ? 'You are watching its last part.' : 'The connection is lost. Trying again.',
        actions: muted ? ['unmute'] : [],
      };
    case 'paused':
    case 'blocked':
    case 'finished':
      return { ...base, ...ended, player: 'shown', hint: 'The last part can still be watched.', actions: ['replay'] };
  }
}

function fatalWords(playback: Playback): Words | null {
  switch (playback.at) {
    case 'unplayable':
      return {
        tone: 'trouble',
        badge: 'Cannot play',
        headline: `This browser cannot play the format of this breakout${playback.codecs ? ` (${playback.codecs})` : ''}.`,
        hint: 'Open the link in a current Chrome, Edge, Firefox or Safari, or on another device.',
      };
    case 'unsupported':
      return {
        tone: 'trouble',
        badge: 'Cannot play',
        headline: 'This browser cannot play live video.',
        hint: 'Open the link in a current Chrome, Edge, Firefox or Safari.',
      };
    case 'broken':
      return {
        tone: 'trouble',
        badge: 'Playback failed',
        headline: 'The picture could not be decoded.',
        hint: 'Try again, or open the link in another browser.',
      };
    default:
      return null;
  }
}

function hasPicture(playback: Playback): boolean {
  return ['playing', 'paused', 'stalled', 'blocked', 'finished'].includes(playback.at);
}

function isBehind(model: Model): boolean {
  return model.latency !== null && model.latency.seconds > model.latency.target + BEHIND_SECONDS;
}
