// SPDX-License-Identifier: Apache-2.0 OR MIT
// The page of a collection: its assets in order, and a screen for the one that is watched.

import { h, setText } from '../dom.ts';
import { sentence } from '../words.ts';
import { askCollection, renew, type WatchCollection, type WatchItem } from './ask.ts';
import { expose } from '../player/expose.ts';
import { firstItem, neighbour, stateWords } from './list.ts';
import { browserShelf, Marks, watchedShare } from './resume.ts';
import { Screen } from './screen.ts';
import type { Model } from './state.ts';
import { pageQuery, queryOf, renewDelay, signatureOf } from '../player/signature.ts';
import { clock, spoken } from '../player/time.ts';

/** Parts of a list at most; the server gives 48 items each, and a collection has 1000. */
const MAX_PARTS = 32;
const AGAIN_MS = 3_000;
/** How often a list is read again of which something is still being made. */
const MAKING_MS = 10_000;
const AUTOPLAY_KEY = 'anabranch.autoplay';
/** Time to stay at the end of one before the next begins. */
const NEXT_SECONDS = 5;

/** Builds the page of a collection into `root`, with the query that carries the viewer's signature. */
export function openCollectionPage(root: HTMLElement, id: string, query: string): void {
  new CollectionPage(root, id, query, null).start();
}

/** What is different in the frame of another page. */
export interface Frame {
  autoplay: boolean;
  muted: boolean;
  start: number | null;
  controls: boolean;
  native: boolean;
  /** Another asset is on the screen. */
  onScreen: (screen: Screen) => void;
  /** The words have changed. */
  onShow: (model: Model) => void;
}

export class CollectionPage {
  private query: string;
  private items: WatchItem[] = [];
  private marks = new Marks(null, '');
  screen: Screen | null = null;
  private current: string | null = null;
  private timer: number | undefined;
  private renewing: number | undefined;
  private countdown: number | undefined;

  private readonly title = h('h1', { class: 'collection-title' }, 'Collection');
  private readonly words = h('p', { class: 'quiet' });
  private readonly count = h('p', { class: 'quiet' });
  private readonly headline = h('p', { class: 'headline' }, 'Opening the collection.');
  private readonly hint = h('p', { class: 'hint' });
  private readonly status = h('div', { class: 'status', role: 'status', 'aria-live': 'polite' }, this.headline, this.hint);
  private readonly place = h('div', { class: 'collection-screen' });
  private readonly previous = h('button', { type: 'button', onclick: () => this.go(-1) }, 'Previous');
  private readonly next = h('button', { type: 'button', onclick: () => this.go(1) }, 'Next');
  private readonly auto = h('input', { type: 'checkbox', id: 'autoplay', checked: readAutoplay() });
  private readonly soon = h('p', { class: 'soon', role: 'status', hidden: true });
  private readonly list = h('ol', { class: 'items' });
  private readonly lines = new Map<string, Line>();
  private readonly body: HTMLElement;

  constructor(
    private readonly root: HTMLElement,
    private readonly id: string,
    search: string,
    private readonly frame: Frame | null,
  ) {
    this.query = signatureOf(search);
    const row = h('div', { class: 'collection-row' }, this.previous, this.next, h('label', { class: 'check' }, this.auto, 'Play the next one by itself'));
    const side = h('nav', { class: 'collection-list', 'aria-label': 'Videos of the collection' }, this.count, this.list);
    this.body = h('div', { class: 'collection-body', hidden: true }, h('div', { class: 'collection-main' }, this.place, this.soon, row), side);
    this.auto.addEventListener('change', () => {
      writeAutoplay(this.auto.checked);
      if (!this.auto.checked) this.cancelNext();
    });
  }

  start(): void {
    const head = h('header', { class: 'collection-head' }, this.title, this.words);
    const bare = this.frame && !this.frame.controls ? ' bare' : '';
    const place = this.frame ? `embed collection${bare}` : 'watch collection';
    this.root.replaceChildren(h('main', { class: place }, head, this.status, this.body));
    expose(() => this.screen?.deck ?? null, () => this.screen?.model);
    window.addEventListener('hashchange', () => this.open(window.location.hash.slice(1), true));
    window.addEventListener('online', () => void this.load());
    void this.load();
  }

  /** Reads the whole list, part by part. */
  private async load(): Promise<void> {
    window.clearTimeout(this.timer);
    const items: WatchItem[] = [];
    let skip: number | null = 0;
    for (let parts = 0; skip !== null && parts < MAX_PARTS; parts += 1) {
      const answer = await askCollection(this.id, this.query, skip);
      if (answer.kind === 'unreachable') {
        if (this.items.length === 0) this.say('The server does not answer.', 'This page keeps trying and goes on by itself.');
        this.timer = window.setTimeout(() => void this.load(), AGAIN_MS);
        return;
      }
      if (answer.kind === 'refused') {
        this.refused(answer.missing, answer.words);
        return;
      }
      if (parts === 0) this.told(answer.body);
      items.push(...answer.body.items);
      skip = answer.body.next ?? null;
    }
    this.show(items);
    if (items.some((item) => item.state === 'waiting' || item.state === 'processing' || item.poster_url === null)) {
      this.timer = window.setTimeout(() => void this.load(), MAKING_MS);
    }
  }

  private told(body: WatchCollection): void {
    setText(this.title, body.name);
    setText(this.words, body.description);
    if (!this.screen) document.title = body.name;
    this.marks = new Marks(browserShelf(), body.user ?? '');
    // Once: what is asked again and again would put it off until the end.
    this.renewing ??= window.setTimeout(() => void this.renew(), renewDelay(body.expires_in_seconds));
  }

  private async renew(): Promise<void> {
    const answer = await renew('collections', this.id, this.query);
    this.renewing = undefined;
    if (answer.kind === 'unreachable') this.renewing = window.setTimeout(() => void this.renew(), AGAIN_MS);
    if (answer.kind !== 'answer') return;
    this.query = queryOf(answer.body.watch_url);
    history.replaceState(null, '', `${window.location.pathname}${pageQuery(window.location.search, this.query)}${window.location.hash}`);
    void this.load();
  }

  private refused(missing: boolean, words: string): void {
    // What is being watched has a signature of its own.
    if (this.screen) return;
    this.body.hidden = true;
    this.status.dataset['tone'] = 'trouble';
    if (missing) this.say('There is no such collection any more.', 'Ask who gave you the link.');
    else {
      const said = sentence(words) || 'This link does not open this collection.';
      this.say(said, /\bask\b/.test(said) ? '' : 'Ask for a new link.');
    }
  }

  private say(headline: string, hint: string): void {
    setText(this.headline, headline);
    setText(this.hint, hint);
  }

  private show(items: WatchItem[]): void {
    this.items = items;
    this.say(items.length === 0 ? 'There is nothing in this collection yet.' : '', '');
    this.body.hidden = items.length === 0;
    const wanted = new Set(items.map((item) => item.id));
    for (const id of this.lines.keys()) if (!wanted.has(id)) this.lines.delete(id);
    this.list.replaceChildren(
      ...items.map((item, index) => {
        const line = this.lines.get(item.id) ?? new Line();
        this.lines.set(item.id, line);
        line.show(item, index + 1);
        return line.element;
      }),
    );
    if (!this.screen) this.open(window.location.hash.slice(1), false);
    this.refresh();
  }

  private open(named: string, play: boolean): void {
    const item = firstItem(this.items, named, (id) => this.marks.read(id)?.done ?? false);
    if (!item || item.id === this.current) return;
    this.cancelNext();
    this.screen?.close();
    this.current = item.id;
    const { frame } = this;
    const first = frame !== null && this.screen === null;
    this.screen = new Screen({
      id: item.id,
      query: queryOf(item.watch_url),
      autoplay: play || (first && frame.autoplay),
      start: first ? frame.start : null,
      muted: first && frame.muted,
      controls: frame?.controls ?? true,
      native: frame?.native ?? new URLSearchParams(window.location.search).get('player') === 'native',
      onShow: (model) => frame?.onShow(model),
      embedded: true,
      onMark: () => this.refresh(),
      onEnded: () => this.ended(),
    });
    this.place.replaceChildren(this.screen.element);
    frame?.onScreen(this.screen);
    this.refresh();
  }

  private go(step: 1 | -1): void {
    const item = neighbour(this.items, this.current, step);
    if (item) window.location.hash = item.id;
  }

  private ended(): void {
    const item = neighbour(this.items, this.current, 1);
    if (!item || !this.auto.checked) return;
    const stay = h('button', { type: 'button', onclick: () => this.cancelNext() }, 'Stay here');
    this.soon.replaceChildren(h('span', {}, `Next in ${NEXT_SECONDS} seconds: ${item.name}`), stay);
    this.soon.hidden = false;
    this.countdown = window.setTimeout(() => this.go(1), NEXT_SECONDS * 1000);
  }

  private cancelNext(): void {
    window.clearTimeout(this.countdown);
    this.soon.hidden = true;
  }

  private refresh(): void {
    let watched = 0;
    for (const [id, line] of this.lines) {
      const mark = this.marks.read(id);
      const share = watchedShare(mark);
      if (mark?.done) watched += 1;
      line.mark(share, mark?.done ?? false, id === this.current);
    }
    setText(this.count, `${watched} of ${this.items.length} watched`);
    this.previous.disabled = neighbour(this.items, this.current, -1) === null;
    this.next.disabled = neighbour(this.items, this.current, 1) === null;
  }
}

/** One line of the list. */
class Line {
  readonly element: HTMLElement;
  private readonly link = h('a', { class: 'item' });
  private readonly picture = h('img', { alt: '', loading: 'lazy', decoding: 'async', hidden: true });
  private readonly length = h('span', { class: 'item-length', 'aria-hidden': 'true' });
  private readonly bar = h('span', { class: 'item-bar', 'aria-hidden': 'true' });
  private readonly name = h('span', { class: 'item-name' });
  private readonly more = h('span', { class: 'item-more' });
  private words = '';

  constructor() {
    const thumb = h('span', { class: 'item-picture' }, this.picture, this.length, this.bar);
    this.link.append(thumb, h('span', { class: 'item-words' }, this.name, this.more));
    this.element = h('li', {}, this.link);
    this.picture.addEventListener('error', () => (this.picture.hidden = true));
    this.picture.addEventListener('load', () => (this.picture.hidden = false));
  }

  show(item: WatchItem, number: number): void {
    this.link.href = `#${item.id}`;
    setText(this.name, `${number}. ${item.name}`);
    // Another signature is no other picture.
    const before = this.picture.src.split('?')[0];
    if (item.poster_url && item.poster_url.split('?')[0] !== before) {
      this.picture.hidden = false;
      this.picture.src = item.poster_url;
    }
    const duration = item.duration_seconds ?? 0;
    setText(this.length, duration > 0 ? clock(duration) : '');
    this.words = stateWords(item) || (duration > 0 ? spoken(duration) : '');
  }

  mark(share: number, done: boolean, current: boolean): void {
    if (current) this.link.setAttribute('aria-current', 'true');
    else this.link.removeAttribute('aria-current');
    this.bar.style.width = `${share * 100}%`;
    const progress = share > 0 && share < 1 ? `${Math.max(1, Math.round(share * 100))} % watched` : done ? 'Watched' : '';
    setText(this.more, [current ? 'Now showing' : '', this.words, progress].filter(Boolean).join(' · '));
  }
}

function readAutoplay(): boolean {
  try {
    return window.localStorage.getItem(AUTOPLAY_KEY) !== 'off';
  } catch {
    return true;
  }
}

function writeAutoplay(on: boolean): void {
  try {
    window.localStorage.setItem(AUTOPLAY_KEY, on ? 'on' : 'off');
  } catch {
    // It is asked for again next time.
  }
}
