// SPDX-License-Identifier: Apache-2.0 OR MIT
// One asset on a page: asks the server, feeds the player, shows the words that `state.ts` chooses, remembers the position.

import { h, setText } from '../dom.ts';
import { Recorder } from '../watch/stats.ts';
import { askAsset, renew } from './ask.ts';
import { Controls } from './controls.ts';
import { icon } from './icons.ts';
import { AssetPlayer } from './player.ts';
import { browserShelf, Marks, resumeAt } from './resume.ts';
import { queryOf, renewDelay } from './signature.ts';
import { parseSprite } from './sprite.ts';
import { initial, ladder, next, pollDelay, view, type Event, type Model } from './state.ts';
import { clock } from './time.ts';

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
  /** It is a part of a page that has a title of its own. */
  embedded?: boolean;
  /** The signature was renewed. */
  onQuery?: (query: string) => void;
  /** The position was noted. */
  onMark?: () => void;
  onEnded?: () => void;
}

export class Screen {
  readonly element: HTMLElement;
  model: Model = initial;
  readonly video = h('video', { playsinline: true, preload: 'metadata' });
  readonly recorder = new Recorder(this.video);
  readonly player: AssetPlayer;
  private readonly gone = new AbortController();
  private readonly controls: Controls;
  private readonly badge = h('span', { class: 'badge' });
  private readonly title: HTMLElement;
  private readonly headline = h('p', { class: 'headline' });
  private readonly hint = h('p', { class: 'hint' });
  private readonly status = h('div', { class: 'status', role: 'status', 'aria-live': 'polite' }, this.headline, this.hint);
  private readonly retry = h('button', { type: 'button', class: 'primary', hidden: true, onclick: () => this.player.retry() }, 'Try again');
  private readonly freeze = h('canvas', { class: 'freeze', hidden: true, 'aria-hidden': 'true' });
  private readonly big = h('button', { type: 'button', class: 'big-play', 'aria-label': 'Play', onclick: () => this.toggle() });
  private readonly offer = h('div', { class: 'offer', hidden: true });
  private readonly deck: HTMLElement;
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
    this.query = options.query;
    this.title = h(options.embedded ? 'h2' : 'h1', { class: 'screen-title' });
    this.big.append(icon('play'));
    const listener = {
      tell: (event: Event) => this.tell(event),
      menus: () => this.controls?.refresh(),
      doubt: () => this.doubt(),
    };
    this.player = new AssetPlayer(this.video, this.recorder, listener, signal);
    const stage = h('div', { class: 'stage' }, this.video, this.freeze, this.big, this.offer);
    this.deck = h('div', { class: 'deck' }, stage);
    this.controls = new Controls(this.video, this.player, this.deck, () => this.expected(), () => this.toggle(), signal);
    this.deck.append(this.controls.element);
    const head = h('header', { class: 'watch-head' }, h('div', { class: 'watch-title' }, this.title, this.badge));
    this.element = h('div', { class: 'screen' }, this.deck, head, this.status, h('div', { class: 'actions' }, this.retry), this.controls.help);
    this.listen(signal);
    this.show();
    void this.ask();
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
    this.player.close();
  }

  private start(at: number | null): void {
    this.resume = null;
    this.showOffer();
    if (at !== null && Math.abs(this.video.currentTime - at) > 1) this.video.currentTime = at;
    this.player.play();
  }

  private listen(signal: AbortSignal): void {
    const { video } = this;
    const on = (name: string, run: () => void) => video.addEventListener(name, run, { signal });
    on('timeupdate', () => {
      if (!video.paused && performance.now() - this.noted >= NOTE_MS) this.note();
    });
    on('pause', () => this.note());
    on('playing', () => (this.freeze.hidden = true));
    on('seeked', () => (video.paused ? (this.freeze.hidden = true) : undefined));
    on('click', () => this.toggle());
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
    if (Number.isFinite(duration) && duration > 0) return duration;
    const { answer } = this.model;
    return answer.kind === 'known' ? (answer.asset.duration_seconds ?? 0) : 0;
  }

  /** Keeps the position; before anything was played there is none. */
  private note(): void {
    if (this.opened === null || this.recorder.stats.startTimeMs === null || this.video.ended) return;
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
      this.resume = resumeAt(this.marks.read(this.options.id));
      this.player.open(asset.playlist_url, this.resume ?? 0);
      if (this.options.autoplay) this.start(this.resume);
      this.showOffer();
    } else if (this.opened !== now) {
      this.opened = now;
      this.hold();
      this.player.reload();
    }
  }

  /** Keeps the last picture in sight while the player reads the playlist anew. */
  private hold(): void {
    const { video, freeze } = this;
    const context = video.videoWidth > 0 && this.recorder.stats.startTimeMs !== null ? freeze.getContext('2d') : null;
    if (!context) return;
    [freeze.width, freeze.height] = [video.videoWidth, video.videoHeight];
    context.drawImage(video, 0, 0);
    freeze.hidden = false;
  }

  private async loadSprite(address: string): Promise<void> {
    this.sprite = address;
    try {
      const response = await fetch(address, { signal: this.gone.signal });
      if (response.ok) this.controls.scrub.tiles = parseSprite(await response.text(), address);
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
    if (told.body.playlist_url) this.player.renewed(told.body.playlist_url);
    this.sprite = null;
    this.tell({ type: 'told', answer: told });
    this.renewIn(renewDelay(told.body.expires_in_seconds));
  }

  private showOffer(): void {
    const at = this.resume;
    this.offer.hidden = at === null;
    this.offer.replaceChildren();
    if (at === null) return;
    this.offer.append(
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
    this.deck.hidden = shown.player === 'hidden';
    this.controls.help.hidden = this.deck.hidden;
    this.retry.hidden = !shown.retry;
    const { at } = this.model.playback;
    this.big.hidden = this.resume !== null || at === 'playing' || at === 'stalled' || at === 'paused';
    this.video.setAttribute('aria-label', shown.title);
    document.title = shown.badge ? `${shown.badge} · ${shown.title}` : shown.title;
    this.controls.refresh();
  }
}
