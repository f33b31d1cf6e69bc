// SPDX-License-Identifier: Apache-2.0 OR MIT
// One breakout on a page: asks the server, feeds the player, shows the words that `state.ts` chooses, renews the signature.

import { h, setText } from '../dom.ts';
import { Deck } from '../player/deck.ts';
import { pageQuery, queryOf, renewDelay, signatureOf } from '../player/signature.ts';
import { keepSound } from '../player/volume.ts';
import { anotherLink, askServer } from './ask.ts';
import { countdown, moment } from './countdown.ts';
import { pageShelf, readLeft, REFRESH_WITHIN_MS, type Left } from './refresh.ts';
import { initial, next, pollDelay, refreshWanted, view, wantedPlayer, type Action, type Event, type Model, type View } from './state.ts';

/** At most one extra question to the server in this time when the delivery network refuses the player. */
const DOUBT_MS = 2_000;
/** Wait before a renewal that was not answered is asked for again. */
const RENEW_AGAIN_MS = 10_000;
/** How long a button says that it has copied. */
const COPIED_MS = 2_000;

const LABELS: Record<Action, string> = {
  unmute: 'Turn sound on',
  play: 'Play',
  replay: 'Watch the last part',
  recording: 'Watch the recording',
  'copy-recording': 'Copy recording URL',
  retry: 'Try again',
  'take-over': 'Watch here',
};

export interface WatchOptions {
  breakout: string;
  /** Query of the page, with the viewer's signature. */
  query: string;
  /** Plays by itself; it does unless it is said. */
  autoplay?: boolean;
  /** Without sound, whatever was kept. */
  muted?: boolean;
  /** Where a recording begins, in seconds. */
  start?: number | null;
  controls?: boolean;
  /** The browser's own HLS. */
  native?: boolean;
  /** The words have changed. */
  onShow?: (model: Model, shown: View) => void;
}

export class WatchScreen {
  readonly element: HTMLElement;
  readonly deck: Deck;
  model: Model = initial;
  private readonly gone = new AbortController();
  private readonly badge = h('span', { class: 'badge' });
  private readonly title = h('h1');
  private readonly latency = h('span', { class: 'latency' });
  private readonly viewers = h('span', { class: 'viewers' });
  private readonly headline = h('p', { class: 'headline' });
  private readonly hint = h('p', { class: 'hint' });
  private readonly timer = h('p', { class: 'countdown', role: 'timer', 'aria-live': 'off', hidden: true });
  private readonly when = h('p', { class: 'when', hidden: true });
  private readonly status: HTMLElement;
  private readonly buttons = h('div', { class: 'actions' });
  private query: string;
  /** When the breakout is meant to begin, by `performance.now()`. */
  private startsAt: number | null = null;
  private polling: number | undefined;
  private renewing: number | undefined;
  private refreshing: number | undefined;
  /** What this page was loaded anew for, if it was. */
  private readonly left: Left | null;
  /** Where it goes on, until the first is opened. */
  private back: Left | null;
  private asking = false;
  private doubted = -DOUBT_MS;

  constructor(private readonly options: WatchOptions) {
    const { signal } = this.gone;
    this.query = signatureOf(options.query, 'recording');
    this.left = this.back = readLeft(pageShelf);
    // Who comes back later begins as everybody does.
    if (this.left) pageShelf.write({ refresh: this.left.refresh, at: null, playing: null });
    const { breakout: content, native = false, controls = true } = options;
    const listener = {
      tell: (event: Event) => this.tell(event),
      menus: () => this.deck?.controls.refresh(),
      doubt: () => this.doubt(),
    };
    this.deck = new Deck({ content, listener, native, controls }, signal);
    const { video } = this.deck;
    video.preload = 'auto';
    const words = h('div', { role: 'status', 'aria-live': 'polite' }, this.headline, this.hint);
    this.status = h('div', { class: 'status' }, words, this.timer, this.when);
    const figures = h('div', { class: 'figures' }, this.viewers, this.latency);
    const head = h('header', { class: 'watch-head' }, h('div', { class: 'watch-title' }, this.badge, this.title), figures);
    this.element = h('div', { class: 'screen' }, head, this.deck.element, this.status, this.buttons, this.deck.controls.help);
    video.addEventListener('volumechange', () => this.show(), { signal });
    // A phone that wakes up, or finds its network again, asks at once.
    window.addEventListener('online', () => void this.ask(), { signal });
    document.addEventListener('visibilitychange', () => (document.hidden || pollDelay(this.model) === null ? undefined : void this.ask()), { signal });
    const ticking = window.setInterval(() => this.tick(), 250);
    signal.addEventListener('abort', () => window.clearInterval(ticking));
    this.show();
    void this.ask();
  }

  close(): void {
    this.gone.abort();
    window.clearTimeout(this.polling);
    window.clearTimeout(this.renewing);
    window.clearTimeout(this.refreshing);
    this.deck.player.close();
  }

  private run(action: Action): void {
    const { player, video } = this.deck;
    switch (action) {
      case 'unmute':
        video.muted = false;
        if (video.volume === 0) video.volume = 1;
        keepSound(video);
        player.play();
        return;
      case 'play':
        player.play();
        return;
      case 'replay':
        player.replay();
        return;
      case 'recording':
        this.tell({ type: 'wanted', what: 'recording' });
        player.play();
        return;
      case 'copy-recording':
        void this.copyRecording();
        return;
      case 'retry':
        player.retry();
        return;
      case 'take-over':
        void this.takeOver();
    }
  }

  /** The button itself says what came of it, for a moment. */
  private async copyRecording(): Promise<void> {
    const { answer } = this.model;
    const url = answer.kind === 'known' ? answer.recording?.playlistUrl : null;
    const button = this.buttons.querySelector<HTMLElement>('[data-action=copy-recording]');
    if (!url || !button) return;
    const copied = await copyText(new URL(url, window.location.href).href);
    setText(button, copied ? 'Copied' : 'It could not be copied');
    window.setTimeout(() => setText(button, LABELS['copy-recording']), COPIED_MS);
  }

  private tell(event: Event): void {
    if (this.gone.signal.aborted) return;
    const before = this.model;
    this.model = next(before, event);
    if (event.type === 'answered') this.startsAt = event.startsInSeconds === null ? null : performance.now() + event.startsInSeconds * 1000;
    if (event.type !== 'opened') this.feed();
    if (event.type === 'answered') this.refreshSoon();
    if (isHidden(this.model) && !isHidden(before)) this.deck.video.pause();
    // What was behind the curtain is over: it goes on where live is now.
    else if (isHidden(before) && !isHidden(this.model) && wantedPlayer(this.model)?.start === 'live') this.deck.player.goLive();
    if (this.model.answer.kind === 'refused' && before.answer.kind !== 'refused') this.deck.player.stop();
    this.show();
  }

  /** Gives the player what the model wants it to have. */
  private feed(): void {
    const { player } = this.deck;
    const { opened } = this.model;
    const wanted = wantedPlayer(this.model);
    if (!wanted || wanted.start === opened) return;
    if (wanted.start === 'replay' && opened === 'live') {
      player.end();
      this.tell({ type: 'opened', start: 'replay' });
      return;
    }
    if (opened === 'recording') return;
    const { start, autoplay = true } = this.options;
    const { back } = this;
    this.back = null;
    this.tell({ type: 'opened', start: wanted.start });
    player.open({ url: wanted.url, live: wanted.start !== 'recording', at: wanted.start === 'recording' ? (back?.at ?? start ?? 0) : 0 });
    if (wanted.start === 'replay') player.end();
    if (this.options.muted) this.deck.video.muted = true;
    if (wanted.start === 'live' && (back?.playing ?? autoplay)) player.autoplay(this.options.muted === true);
    else if (wanted.start === 'recording' && (typeof back?.at === 'number' ? back.playing === true : this.options.autoplay === true)) player.play();
  }

  /** Loads the page anew when an operator wants that of all of them: within some seconds, and once for each time. */
  private refreshSoon(): void {
    const { answer } = this.model;
    const refresh = answer.kind === 'known' ? answer.refresh : null;
    if (this.refreshing !== undefined || refresh === null || !refreshWanted(this.model) || refresh <= (this.left?.refresh ?? -1)) return;
    this.refreshing = window.setTimeout(() => {
      const { video, player } = this.deck;
      const at = this.model.opened === 'recording' && player.started ? video.currentTime : null;
      pageShelf.write({ refresh, at, playing: player.started ? !video.paused && !video.ended : null });
      window.location.reload();
    }, Math.random() * REFRESH_WITHIN_MS);
  }

  private doubt(): void {
    if (performance.now() - this.doubted < DOUBT_MS) return;
    this.doubted = performance.now();
    void this.ask();
  }

  private async ask(): Promise<void> {
    const { answer } = this.model;
    if (this.asking || this.gone.signal.aborted || (answer.kind === 'refused' && pollDelay(this.model) === null)) return;
    this.asking = true;
    window.clearTimeout(this.polling);
    const event = await askServer(this.options.breakout, this.query);
    this.asking = false;
    if (this.gone.signal.aborted) return;
    this.tell(event);
    // Once: what is asked again and again would put it off until the end.
    if (event.type === 'answered' && event.expiresInSeconds !== null && this.renewing === undefined) this.renewIn(renewDelay(event.expiresInSeconds));
    const delay = pollDelay(this.model);
    if (delay !== null) this.polling = window.setTimeout(() => void this.ask(), delay);
  }

  private renewIn(delay: number): void {
    window.clearTimeout(this.renewing);
    this.renewing = window.setTimeout(() => void this.renew(), delay);
  }

  private async renew(): Promise<void> {
    const link = await anotherLink(this.options.breakout, 'renew', this.query);
    // What cannot be renewed lasts until it ends; then the server says why.
    if (this.gone.signal.aborted || link === 'refused') return;
    if (link === 'unreachable') {
      this.renewIn(RENEW_AGAIN_MS);
      return;
    }
    this.carry(link);
    const event = await askServer(this.options.breakout, this.query);
    if (this.gone.signal.aborted) return;
    if (event.type !== 'answered') {
      this.renewIn(RENEW_AGAIN_MS);
      return;
    }
    this.tell(event);
    const wanted = wantedPlayer(this.model);
    if (wanted && wanted.start === this.model.opened) this.deck.player.renewed(wanted.url);
    if (event.expiresInSeconds !== null) this.renewIn(renewDelay(event.expiresInSeconds));
  }

  /** Watches here what the device limit has ended here. */
  private async takeOver(): Promise<void> {
    const link = await anotherLink(this.options.breakout, 'takeover', this.query);
    if (this.gone.signal.aborted) return;
    if (link === 'unreachable' || link === 'refused') {
      setText(this.hint, link === 'refused' ? 'This link cannot be taken over: ask for a new one.' : 'The server does not answer. Try again.');
      return;
    }
    this.carry(link);
    this.model = { ...initial, name: this.model.name };
    window.clearTimeout(this.renewing);
    this.renewing = undefined;
    this.show();
    void this.ask();
  }

  /** A page that is loaded again goes on with the newest signature. */
  private carry(link: string): void {
    this.query = pageQuery(this.query, queryOf(link));
    history.replaceState(history.state, '', `${window.location.pathname}${pageQuery(window.location.search, this.query)}`);
  }

  private tick(): void {
    if (this.timer.hidden || this.startsAt === null) return;
    setText(this.timer, countdown((this.startsAt - performance.now()) / 1000));
  }

  private show(): void {
    const { deck, model } = this;
    const shown = view(model, deck.video.muted);
    setText(this.badge, shown.badge);
    this.badge.dataset['tone'] = shown.tone;
    setText(this.title, shown.title);
    setText(this.latency, shown.latency);
    setText(this.viewers, shown.viewers);
    setText(this.headline, shown.headline);
    setText(this.hint, shown.hint);
    this.status.dataset['tone'] = shown.tone;
    deck.element.hidden = shown.player === 'hidden';
    deck.controls.help.hidden = deck.element.hidden;
    deck.showBig(shown.big);
    deck.video.setAttribute('aria-label', shown.title);
    document.title = `${shown.badge} · ${shown.title}`;
    this.showStart(shown);
    this.showActions(shown);
    deck.controls.refresh();
    this.options.onShow?.(model, shown);
  }

  private showStart(shown: View): void {
    const planned = shown.startsInSeconds === null ? null : this.startsAt;
    this.timer.hidden = this.when.hidden = planned === null;
    if (planned === null) return;
    const now = new Date();
    setText(this.when, moment(new Date(now.getTime() + planned - performance.now()), now));
    this.tick();
  }

  private showActions({ actions, download }: View): void {
    const key = [...actions, download?.url.split('?')[0] ?? ''].join();
    if (this.buttons.dataset['shown'] === key) return;
    this.buttons.dataset['shown'] = key;
    const buttons: HTMLElement[] = actions.map((action, index) =>
      h('button', { type: 'button', class: index === 0 && action !== 'copy-recording' ? 'primary' : '', 'data-action': action, onclick: () => this.run(action) }, LABELS[action]),
    );
    if (download) buttons.push(h('a', { class: 'download', href: download.url, download: '', rel: 'noreferrer' }, download.label));
    this.buttons.replaceChildren(...buttons);
  }
}

/** Whether the text is on the clipboard; browsers have none for pages without TLS, and none for embedded ones. */
async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = h('textarea', { readonly: true });
    field.value = text;
    document.body.append(field);
    field.select();
    const done = document.execCommand('copy');
    field.remove();
    return done;
  }
}

/** The audience may not see it now. */
function isHidden({ answer, opened }: Model): boolean {
  return answer.kind === 'known' && answer.state === 'waiting' && answer.curtain === 'down' && opened !== null;
}
