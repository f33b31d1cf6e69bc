// SPDX-License-Identifier: Apache-2.0 OR MIT
// What the page of an asset says, as a pure function of the server's answers and the player's events.

import { sentence } from '../words.ts';
import type { Delivery, Playback, PlayerEvent } from '../player/engine.ts';
import type { Answer, WatchAsset } from './ask.ts';

/** What the page knows of the asset. */
export type Known =
  | { kind: 'asking' }
  | { kind: 'known'; state: WatchAsset['state']; asset: WatchAsset }
  | { kind: 'refused'; missing: boolean; words: string };

export interface Model {
  readonly answer: Known;
  /** Questions to the server in a row that were not answered. */
  readonly missed: number;
  /** Refusals in a row. */
  readonly refusals: number;
  readonly playback: Playback;
  readonly delivery: Delivery;
}

export type Event =
  | { type: 'told'; answer: Answer<WatchAsset> }
  | PlayerEvent;

export interface View {
  tone: 'quiet' | 'waiting' | 'trouble';
  /** Empty when there is nothing to say. */
  badge: string;
  title: string;
  headline: string;
  hint: string;
  player: 'hidden' | 'shown';
  /** Whether a button to try again makes sense. */
  retry: boolean;
}

export const initial: Model = { answer: { kind: 'asking' }, missed: 0, refusals: 0, playback: { at: 'none' }, delivery: 'ok' };

/** A page that plays gives up only after so many refusals in a row: a server that starts may refuse at first. */
export const REFUSALS_TO_BELIEVE = 3;
const POLL_MAKING_MS = 4_000;
const POLL_REFUSED_MS = 2_000;
const POLL_LOST_FIRST_MS = 500;
const POLL_LOST_MAX_MS = 5_000;

/** The model after `event`. */
export function next(model: Model, event: Event): Model {
  switch (event.type) {
    case 'told':
      return told(model, event.answer);
    case 'playback':
      return { ...model, playback: event.playback };
    case 'delivery':
      return { ...model, delivery: event.delivery };
    case 'latency':
      return model;
  }
}

function told(model: Model, answer: Answer<WatchAsset>): Model {
  switch (answer.kind) {
    case 'answer':
      return { ...model, missed: 0, refusals: 0, answer: { kind: 'known', state: answer.body.state, asset: answer.body } };
    case 'refused': {
      const refusals = model.refusals + 1;
      const believed = model.answer.kind !== 'known' || refusals >= REFUSALS_TO_BELIEVE;
      const { missing, words } = answer;
      return { ...model, missed: 0, refusals, answer: believed ? { kind: 'refused', missing, words } : model.answer };
    }
    case 'unreachable':
      return { ...model, missed: model.missed + 1 };
  }
}

/** Milliseconds until the next question to the server; null when nothing is going to change. */
export function pollDelay(model: Model): number | null {
  if (model.answer.kind === 'refused') return null;
  if (model.refusals > 0) return POLL_REFUSED_MS;
  if (model.missed > 0) return Math.min(POLL_LOST_FIRST_MS * 2 ** (model.missed - 1), POLL_LOST_MAX_MS);
  if (model.answer.kind === 'asking') return POLL_MAKING_MS;
  const { asset, state } = model.answer;
  return state === 'waiting' || state === 'processing' || asset.partial ? POLL_MAKING_MS : null;
}

/** The rungs of the playlist as it is now: another text means another playlist. */
export function ladder(asset: WatchAsset): string {
  return [...asset.rungs, ...asset.audio, ...asset.captions].map((rung) => rung.name).join();
}

/** The words. */
export function view(model: Model): View {
  const { answer } = model;
  const base = { title: 'Video', retry: false, player: 'hidden' as const };
  switch (answer.kind) {
    case 'asking':
      return model.missed > 0
        ? { ...base, ...unreachable }
        : { ...base, tone: 'quiet', badge: 'Opening', headline: 'Opening the video.', hint: '' };
    case 'refused':
      return { ...base, ...refused(answer.missing, answer.words) };
    case 'known':
      return knownView(model, answer.asset);
  }
}

type Words = Pick<View, 'tone' | 'badge' | 'headline' | 'hint'>;

const unreachable: Words = {
  tone: 'trouble',
  badge: 'No connection',
  headline: 'The server does not answer.',
  hint: 'This page keeps trying and goes on by itself.',
};

function refused(missing: boolean, words: string): Words {
  if (missing) {
    return { tone: 'trouble', badge: 'Not found', headline: 'This video is not here any more.', hint: 'It may have been removed. Ask who gave you the link.' };
  }
  const said = sentence(words) || 'This link does not open this video.';
  return { tone: 'trouble', badge: 'No access', headline: said, hint: /\bask\b/.test(said) ? '' : 'Ask for a new link.' };
}

function knownView(model: Model, asset: WatchAsset): View {
  const base = { title: asset.name || 'Video', retry: false };
  if (asset.state === 'failed') {
    const hint = sentence(asset.problem);
    return { ...base, tone: 'trouble', badge: 'Failed', headline: 'This video could not be prepared.', hint, player: 'hidden' };
  }
  if (!asset.playlist_url) return { ...base, ...preparing(model, asset), player: 'hidden' };
  const fatal = fatalWords(model.playback);
  if (fatal) return { ...base, ...fatal, player: 'hidden', retry: model.playback.at === 'broken' };
  return { ...base, ...(interruption(model) ?? making(asset)), player: 'shown' };
}

function preparing(model: Model, asset: WatchAsset): Words {
  if (model.missed > 0) return unreachable;
  const hint = 'This page starts by itself as soon as there is something to see.';
  if (asset.state === 'waiting') return { tone: 'waiting', badge: 'Waiting', headline: 'This video is waiting to be prepared.', hint };
  const done = asset.progress_percent >= 1 ? `${Math.floor(asset.progress_percent)} % done. ` : '';
  return { tone: 'waiting', badge: 'Preparing', headline: 'This video is being prepared.', hint: done + hint };
}

/** What there is to know while it plays. */
function making(asset: WatchAsset): Words {
  const quiet: Words = { tone: 'quiet', badge: '', headline: '', hint: '' };
  if (!asset.partial) return quiet;
  const [there, planned] = [asset.rungs.length, asset.rungs_planned];
  const count = planned > there ? ` ${there} of ${planned} ${there === 1 ? 'is' : 'are'} ready.` : '';
  return { tone: 'waiting', badge: 'Preparing', headline: '', hint: `More qualities follow by themselves.${count}` };
}

function interruption(model: Model): Words | null {
  const moving = model.playback.at === 'playing' || model.playback.at === 'paused';
  if (model.delivery === 'refused') {
    return { tone: 'trouble', badge: 'Refused', headline: 'The delivery network refuses this link.', hint: 'This page keeps trying; if it lasts, ask for a new link.' };
  }
  if (model.delivery === 'lost') {
    return {
      tone: 'trouble',
      badge: 'Reconnecting',
      headline: 'The connection is lost.',
      hint: moving ? 'Trying again; what is already loaded plays on.' : 'Trying again; playback resumes by itself.',
    };
  }
  if (model.playback.at === 'blocked') {
    return { tone: 'quiet', badge: '', headline: 'The browser waits for you.', hint: 'Press Play to start.' };
  }
  return null;
}

function fatalWords(playback: Playback): Words | null {
  const elsewhere = 'Open the link in a current Chrome, Edge, Firefox or Safari, or on another device.';
  switch (playback.at) {
    case 'unplayable': {
      const codecs = playback.codecs ? ` (${playback.codecs})` : '';
      return { tone: 'trouble', badge: 'Cannot play', headline: `This browser cannot play the format of this video${codecs}.`, hint: elsewhere };
    }
    case 'unsupported':
      return { tone: 'trouble', badge: 'Cannot play', headline: 'This browser cannot play streamed video.', hint: elsewhere };
    case 'broken':
      return { tone: 'trouble', badge: 'Playback failed', headline: 'The picture could not be decoded.', hint: 'Try again, or open the link in another browser.' };
    default:
      return null;
  }
}
