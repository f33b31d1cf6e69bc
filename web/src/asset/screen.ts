// SPDX-License-Identifier: Apache-2.0 OR MIT
// One asset on a page: asks the server, feeds the player, shows the words that `state.ts` chooses, remembers the position.

import { h, setText } from '../dom.ts';
import { Deck } from '../player/deck.ts';
import { queryOf, renewDelay, signatureOf } from '../player/signature.ts';
import { parseSprite } from '../player/sprite.ts';
import { clock } from '../player/time.ts';
import { askAsset, renew } from './ask.ts';
import { browserShelf, Marks, resumeAt } from './resume.ts';
import { initial, ladder, next, pollDelay, view, type Event, type Model } from './state.ts';

/** At most one extra question to the server in this time when the delivery network refuses the player. */
const DOUBT_MS = 2_000;
/** How often the position is noted. */
const NOTE_MS = 5_000;
/** Wait before a renewal that was not answered is asked for again. */
const RENEW_AGAIN_MS = 10_000;

export interface Options {
  id: string;
  /** Query that carries the viewer's signature. */
  query: string;
  /** Plays as soon as it can, and from where the viewer was, without a question. */
  autoplay?: boolean;
  /** Where playback begins, in seconds, whatever is remembered. */
  start?: number | null;
  /** Without sound at first. */
  muted?: boolean;
  /** Whether there are controls; there are unless it is said. */
  controls?: boolean;
  /** The browser's own HLS. */
  native?: boolean;
  /** It is a part of a page that has a title of its own. */
  embedded?: boolean;
  /** The signature was renewed. */
  onQuery?: (query: string) => void;
  /** The position was noted. */
  onMark?: () => void;
  onEnded?: () => void;
  /** The words have changed. */
  onShow?: (model: Model) => void;
}

export class Screen {
  readonly element: HTMLElement;
  model: Model = initial;
  readonly deck: Deck;
  private readonly gone = new AbortController();
  private readonly badge = h('span', { class: 'badge' });
  private readonly title: HTMLElement;
  private readonly headline = h('p', { class: 'headline' });
  private readonly hint = h('p', { class: 'hint' });
  private readonly status = h('div', { class: 'status', role: 'status', 'aria-live': 'polite' }, this.headline, this.hint);
  private readonly retry = h('button', { type: 'button', class: 'primary', hidden: true, onclick: () => this.deck.player.retry() }, 'Try again');
  private query: string;
  private marks = new Marks(null, '');
  private resume: number | null = null;
  private opened: string | null = null;
  private sprite: string | null = null;
  private polling: number | undefined;
  private renewing: number | undefined;
  private asking = false;
  private doubted = -DOUBT_MS;
  private noted = -NOTE_MS;

  constructor(private readonly options: Options) {
    const { signal } = this.gone;
    this.query = signatureOf(options.query);
    this.title = h(options.embedded ? 'h2' : 'h1', { class: 'screen-title' });
    const listener = {
      tell: (event: Event) => this.tell(event),
      menus: () => this.deck?.controls.refresh(),
      doubt: () => this.doubt(),
    };
    const { id: content, native = false, controls = true } = options;
    const [expected, toggle] = [() => this.told(), () => this.toggle()];
    this.deck = new Deck({ content, listener, expected, toggle, native, controls }, signal);
    if (options.muted) this.video.muted = true;
    const head = h('header', { class: 'watch-head' }, h('div', { class: 'watch-title' }, this.title, this.badge));
    const actions = h('div', { class: 'actions' }, this.retry);
    this.element = h('div', { class: 'screen' }, this.deck.element, head, this.status, actions, this.deck.controls.help);
    this.listen(signal);
    this.show();
    void this.ask();
  }

  get video(): HTMLVideoElement {
    return this.deck.video;
  }

  /** Plays or pauses; the first time from where the viewer was. */
  toggle(): void {
    const { video } = this;
    if (!video.paused && !video.ended) {
      video.pause();
      return;
    }
    this.start(this.resume);
  }

  close(): void {
    this.note();
    this.gone.abort();
    window.clearTimeout(this.polling);
    window.clearTimeout(this.renewing);
    this.deck.player.close();
  }

  private start(at: number | null): void {
    this.resume = null;
    this.showOffer();
    if (at !== null && Math.abs(this.video.currentTime - at) > 1) this.video.currentTime = at;
    this.deck.player.play();
  }

  private listen(signal: AbortSignal): void {
    const { video } = this;
    const on = (name: string, run: () => void) => video.addEventListener(name, run, { signal });
    on('timeupdate', () => {
      if (!video.paused && performance.now() - this.noted >= NOTE_MS) this.note();
    });
    on('pause', () => this.note());
    on('ended', () => {
      this.marks.finish(this.options.id, this.expected(), Date.now());
      this.options.onMark?.();
      this.options.onEnded?.();
    });
    // A phone that wakes up, or finds its network again, asks at once.
    window.addEventListener('online', () => void this.ask(), { signal });
    window.addEventListener('pagehide', () => this.note(), { signal });
    document.addEventListener('visibilitychange', () => (document.hidden ? this.note() : void this.ask()), { signal });
  }

  private expected(): number {
    const { duration } = this.video;
    return Number.isFinite(duration) && duration > 0 ? duration : this.told();
  }

  /** Playing time as the server knows it. */
  private told(): number {
    const { answer } = this.model;
    return answer.kind === 'known' ? (answer.asset.duration_seconds ?? 0) : 0;
  }

  /** Keeps the position; before anything was played there is none. */
  private note(): void {
    if (this.opened === null || this.deck.recorder.stats.startTimeMs === null || this.video.ended) return;
    // While the playlist is read anew the video is nowhere.
    if (this.video.readyState < HTMLMediaElement.HAVE_METADATA) return;
    this.noted = performance.now();
    this.marks.keep(this.options.id, this.video.currentTime, this.expected(), Date.now());
    this.options.onMark?.();
  }

  private tell(event: Event): void {
    if (this.gone.signal.aborted) return;
    const before = this.model;
    this.model = next(before, event);
    if (event.type === 'told') this.answered();
    if (this.model.answer.kind === 'refused' && before.answer.kind !== 'refused') this.video.pause();
    this.show();
  }

  private doubt(): void {
    if (performance.now() - this.doubted < DOUBT_MS) return;
    this.doubted = performance.now();
    void this.ask();
  }

  private async ask(): Promise<void> {
    if (this.asking || this.gone.signal.aborted || this.model.answer.kind === 'refused') return;
    this.asking = true;
    window.clearTimeout(this.polling);
    const answer = await askAsset(this.options.id, this.query);
    this.asking = false;
    if (this.gone.signal.aborted) return;
    this.tell({ type: 'told', answer });
    // Once: what is asked again and again would put it off until the end.
    if (answer.kind === 'answer' && this.renewing === undefined) this.renewIn(renewDelay(answer.body.expires_in_seconds));
    const delay = pollDelay(this.model);
    if (delay !== null) this.polling = window.setTimeout(() => void this.ask(), delay);
  }

  /** Gives the player what the server told. */
  private answered(): void {
    const { answer } = this.model;
    if (answer.kind !== 'known') return;
    const { asset } = answer;
    if (asset.poster_url && !this.video.poster) this.video.poster = asset.poster_url;
    if (asset.sprite_url && this.sprite === null) void this.loadSprite(asset.sprite_url);
    if (!asset.playlist_url) return;
    const now = ladder(asset);
    if (this.opened === null) {
      this.opened = now;
      this.marks = new Marks(browserShelf(), asset.user ?? '');
      const { start = null } = this.options;
      this.resume = start === null ? resumeAt(this.marks.read(this.options.id)) : null;
      this.deck.player.open({ url: asset.playlist_url, live: false, at: start ?? this.resume ?? 0 });
      if (this.options.autoplay) this.start(this.resume);
      this.showOffer();
    } else if (this.opened !== now) {
      this.opened = now;
      this.deck.hold();
      this.deck.player.reload();
    }
  }

  private async loadSprite(address: string): Promise<void> {
    this.sprite = address;
    try {
      const response = await fetch(address, { signal: this.gone.signal });
      if (response.ok) this.deck.controls.scrub.tiles = parseSprite(await response.text(), address);
      else this.sprite = null;
    } catch {
      // Without pictures the bar shows the time alone.
      this.sprite = null;
    }
  }

  private renewIn(delay: number): void {
    window.clearTimeout(this.renewing);
    this.renewing = window.setTimeout(() => void this.renew(), delay);
  }

  private async renew(): Promise<void> {
    const answer = await renew('assets', this.options.id, this.query);
    if (this.gone.signal.aborted || answer.kind === 'refused') return;
    if (answer.kind === 'unreachable') {
      this.renewIn(RENEW_AGAIN_MS);
      return;
    }
    this.query = queryOf(answer.body.watch_url);
    this.options.onQuery?.(this.query);
    // The next answer has the addresses with the new signature, and when it ends.
    const told = await askAsset(this.options.id, this.query);
    if (this.gone.signal.aborted) return;
    if (told.kind !== 'answer') {
      this.renewIn(RENEW_AGAIN_MS);
      return;
    }
    if (told.body.playlist_url) this.deck.player.renewed(told.body.playlist_url);
    this.sprite = null;
    this.tell({ type: 'told', answer: told });
    this.renewIn(renewDelay(told.body.expires_in_seconds));
  }

  private showOffer(): void {
    const at = this.resume;
    if (at === null) {
      this.deck.showOffer();
      return;
    }
    this.deck.showOffer(
      h('button', { type: 'button', class: 'primary', onclick: () => this.start(at) }, `Resume at ${clock(at)}`),
      h('button', { type: 'button', onclick: () => this.start(0) }, 'Start over'),
    );
  }

  private show(): void {
    const shown = view(this.model);
    setText(this.badge, shown.badge);
    this.badge.hidden = shown.badge === '';
    this.badge.dataset['tone'] = shown.tone;
    this.status.dataset['tone'] = shown.tone;
    setText(this.title, shown.title);
    setText(this.headline, shown.headline);
    setText(this.hint, shown.hint);
    const deck = this.deck.element;
    deck.hidden = shown.player === 'hidden';
    const { answer } = this.model;
    deck.classList.toggle('sound', answer.kind === 'known' && answer.asset.rungs.length === 0 && !answer.asset.poster_url);
    this.deck.controls.help.hidden = deck.hidden;
    this.retry.hidden = !shown.retry;
    const { at } = this.model.playback;
    this.deck.showBig(this.resume === null && at !== 'playing' && at !== 'stalled' && at !== 'paused');
    this.video.setAttribute('aria-label', shown.title);
    document.title = shown.badge ? `${shown.badge} · ${shown.title}` : shown.title;
    this.deck.controls.refresh();
    this.options.onShow?.(this.model);
  }
}
