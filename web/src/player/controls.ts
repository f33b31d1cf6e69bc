// SPDX-License-Identifier: Apache-2.0 OR MIT
// The player's own controls, of what is live and what has an end: the browser's have no pictures to scrub by, no menu of
// qualities and no way back to live.

import { h, setText } from '../dom.ts';
import { button, label } from './button.ts';
import { airPlay, pictureInPicture } from './elsewhere.ts';
import { BEHIND_SECONDS } from './engine.ts';
import { nextSpeed, OFF, speedMenu, type Menu } from './menus.ts';
import type { Player } from './player.ts';
import { Scrub } from './scrub.ts';
import { clock } from './time.ts';
import { keepSound } from './volume.ts';

const SKIP_SECONDS = 10;
const STEP_SECONDS = 5;
const VOLUME_STEP = 0.1;
/** Stillness of the pointer after which the picture stands alone, where the controls lie on it. */
const IDLE_MS = 3_000;

const KEYS = [
  ['Space or K', 'play or pause'],
  ['← →', '5 seconds back or on'],
  ['J L', '10 seconds back or on'],
  ['0 to 9', 'to that tenth'],
  ['End', 'to live, or to the end'],
  ['↑ ↓', 'louder or quieter'],
  ['M', 'sound off or on'],
  ['C', 'captions off or on'],
  ['P', 'picture in picture'],
  ['< >', 'slower or faster'],
  ['F', 'full screen'],
] as const;

/** Full screen of a phone, which only its <video> can have. */
type PhoneVideo = HTMLVideoElement & { webkitEnterFullscreen?: () => void };

type Select = { field: HTMLElement; select: HTMLSelectElement };

export interface ControlsOptions {
  video: HTMLVideoElement;
  player: Player;
  /** What goes to full screen. */
  deck: HTMLElement;
  /** Playing time while the video does not know it. */
  expected: () => number;
  /** Plays or pauses, by the viewer's hand. */
  toggle: () => void;
  /** Without controls in sight there are no keys either. */
  keys: boolean;
}

export class Controls {
  readonly element: HTMLElement;
  readonly scrub: Scrub;
  /** What the keys do, to be shown below. */
  readonly help: HTMLElement;
  private readonly playButton = button('play', 'Play');
  private readonly muteButton = button('sound', 'Sound off');
  private readonly fullButton = button('full', 'Full screen');
  private readonly menusButton = button('menus', 'Settings');
  private readonly back = button('back', `${SKIP_SECONDS} seconds back`, () => this.step(-SKIP_SECONDS));
  private readonly forward = button('forward', `${SKIP_SECONDS} seconds on`, () => this.step(SKIP_SECONDS));
  private readonly live = h('span', { class: 'live-mark' }, 'LIVE');
  private readonly liveButton = h('button', { type: 'button', class: 'live-button' }, 'Go to live');
  private readonly volume = h('input', { type: 'range', class: 'volume', min: 0, max: 1, step: 0.05, 'aria-label': 'Volume' });
  private readonly time = h('span', { class: 'time' });
  private readonly quality: Select;
  private readonly audio: Select;
  private readonly captions: Select;
  private readonly speed: Select;
  private lastCaptions = '0';
  private idle: number | undefined;

  constructor(
    private readonly options: ControlsOptions,
    signal: AbortSignal,
  ) {
    const { video, player } = options;
    this.scrub = new Scrub(video, player, options.expected, (at) => this.showTime(at), signal);
    this.quality = select('Quality', (value) => player.setQuality(value));
    this.audio = select('Audio', (value) => player.setAudio(value));
    this.captions = select('Captions', (value) => player.setCaptions(value));
    this.speed = select('Speed', (value) => (video.playbackRate = Number(value)));
    const [picture, screen] = [pictureInPicture(video, signal), airPlay(video, player, signal)];
    const menus = h('div', { class: 'controls-menus' }, this.quality.field, this.audio.field, this.captions.field, this.speed.field);
    this.element = h(
      'div',
      { class: 'controls', role: 'group', 'aria-label': 'Player' },
      this.scrub.element,
      h(
        'div',
        { class: 'controls-row' },
        h('div', { class: 'controls-group' }, this.playButton, this.back, this.forward, this.time, this.live, this.liveButton),
        h('div', { class: 'controls-group' }, this.muteButton, this.volume, this.menusButton, screen, picture, this.fullButton),
      ),
      menus,
    );
    const lines = KEYS.flatMap(([key, does]) => [h('dt', {}, key), h('dd', {}, does)]);
    this.help = h('details', { class: 'keys' }, h('summary', {}, 'Keyboard'), h('dl', {}, ...lines));
    this.menusButton.classList.add('menus-button');
    this.menusButton.setAttribute('aria-expanded', 'false');
    this.listen(signal);
    this.refresh();
  }

  /** Shows what the player and the video are now. */
  refresh(): void {
    const { video, player, deck } = this.options;
    const playing = !video.paused && !video.ended;
    label(this.playButton, playing ? 'pause' : 'play', playing ? 'Pause' : 'Play');
    const silent = video.muted || video.volume === 0;
    label(this.muteButton, silent ? 'muted' : 'sound', silent ? 'Sound on' : 'Sound off');
    this.volume.value = String(video.muted ? 0 : video.volume);
    const full = document.fullscreenElement === deck;
    label(this.fullButton, full ? 'small' : 'full', full ? 'Leave full screen' : 'Full screen');
    fill(this.quality, player.quality(), 3);
    fill(this.audio, player.audio(), 2);
    fill(this.captions, player.captions(), 2);
    // Faster than it happens there is nothing.
    fill(this.speed, player.live ? { choices: [], value: '1' } : speedMenu(video.playbackRate), 2);
    const none = [this.quality, this.audio, this.captions, this.speed].every(({ field }) => field.hidden);
    this.menusButton.hidden = none;
    this.back.hidden = this.forward.hidden = player.live && !this.scrub.rewinds();
    this.scrub.element.hidden = player.live && !this.scrub.rewinds();
    this.showTime(video.currentTime);
  }

  private listen(signal: AbortSignal): void {
    const { video, deck, player, toggle, keys } = this.options;
    for (const name of ['play', 'pause', 'ended', 'volumechange', 'ratechange', 'durationchange', 'loadedmetadata']) {
      video.addEventListener(name, () => this.refresh(), { signal });
    }
    video.addEventListener('timeupdate', () => (player.live ? this.refresh() : this.showTime(video.currentTime)), { signal });
    this.playButton.addEventListener('click', toggle);
    this.liveButton.addEventListener('click', () => player.goLive());
    this.muteButton.addEventListener('click', () => this.mute());
    this.fullButton.addEventListener('click', () => this.fullScreen());
    this.menusButton.addEventListener('click', () => {
      const open = this.element.classList.toggle('menus-open');
      this.menusButton.setAttribute('aria-expanded', String(open));
    });
    this.volume.addEventListener('input', () => this.loud(Number(this.volume.value)));
    document.addEventListener('fullscreenchange', () => this.refresh(), { signal });
    if (keys) document.addEventListener('keydown', (event) => this.key(event), { signal });
    for (const name of ['pointermove', 'pointerdown', 'keydown', 'focusin']) deck.addEventListener(name, () => this.wake(), { signal });
    deck.addEventListener('pointerleave', () => this.sleep(), { signal });
    video.addEventListener('playing', () => this.wake(), { signal });
    signal.addEventListener('abort', () => window.clearTimeout(this.idle));
  }

  private wake(): void {
    this.options.deck.classList.remove('idle');
    window.clearTimeout(this.idle);
    this.idle = window.setTimeout(() => this.sleep(), IDLE_MS);
  }

  private sleep(): void {
    const { deck, video } = this.options;
    const busy = this.element.classList.contains('menus-open') || this.element.contains(document.activeElement?.matches(':focus-visible') ? document.activeElement : null);
    deck.classList.toggle('idle', !video.paused && !busy);
  }

  private showTime(at: number): void {
    const { player } = this.options;
    const { start, end } = this.scrub.range();
    const behind = player.live ? Math.max(0, end - at) : 0;
    const away = behind > BEHIND_SECONDS;
    this.live.hidden = !player.live || away;
    this.liveButton.hidden = !player.live || !away;
    if (player.live) setText(this.time, away ? `−${clock(behind)}` : '');
    else setText(this.time, `${clock(at - start)} / ${clock(end - start)}`);
  }

  private step(seconds: number): void {
    this.scrub.seek(this.options.video.currentTime + seconds);
  }

  private mute(): void {
    const { video } = this.options;
    video.muted = !video.muted;
    if (!video.muted && video.volume === 0) video.volume = 1;
    keepSound(video);
  }

  private loud(volume: number): void {
    const { video } = this.options;
    video.volume = Math.min(1, Math.max(0, volume));
    video.muted = video.volume === 0;
    keepSound(video);
  }

  private fullScreen(): void {
    const { deck, video } = this.options;
    if (document.fullscreenElement) void document.exitFullscreen();
    else if (deck.requestFullscreen) void deck.requestFullscreen().catch(() => undefined);
    else (video as PhoneVideo).webkitEnterFullscreen?.();
  }

  private switchCaptions(): void {
    const { player } = this.options;
    const { choices, value } = player.captions();
    if (choices.length === 0) return;
    if (value !== OFF) this.lastCaptions = value;
    player.setCaptions(value === OFF ? this.lastCaptions : OFF);
  }

  private key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const target = event.target as HTMLElement;
    // Fields, menus and buttons have keys of their own.
    if (target.closest('input:not([type=range]), textarea, select')) return;
    const pressing = target.closest('button, a, summary') !== null && (event.key === ' ' || event.key === 'Enter');
    const sliding = target.closest('input[type=range]') !== null && event.key.startsWith('Arrow');
    if (pressing || sliding || this.options.deck.hidden) return;
    const run = this.action(event.key);
    if (!run) return;
    event.preventDefault();
    run();
  }

  private action(key: string): (() => void) | null {
    const { video, player, toggle } = this.options;
    const { start, end } = this.scrub.range();
    const faster = (up: boolean) => () => (player.live ? undefined : (video.playbackRate = nextSpeed(video.playbackRate, up)));
    const actions: Record<string, () => void> = {
      ' ': toggle,
      k: toggle,
      j: () => this.step(-SKIP_SECONDS),
      l: () => this.step(SKIP_SECONDS),
      arrowleft: () => this.step(-STEP_SECONDS),
      arrowright: () => this.step(STEP_SECONDS),
      arrowup: () => this.loud(video.volume + VOLUME_STEP),
      arrowdown: () => this.loud(video.volume - VOLUME_STEP),
      home: () => this.scrub.seek(start),
      end: () => (player.live ? player.goLive() : this.scrub.seek(end)),
      m: () => this.mute(),
      c: () => this.switchCaptions(),
      p: () => this.element.querySelector<HTMLButtonElement>('[data-elsewhere=picture]:not([hidden])')?.click(),
      f: () => this.fullScreen(),
      '<': faster(false),
      '>': faster(true),
    };
    if (/^[0-9]$/.test(key)) return () => this.scrub.seek(start + ((end - start) * Number(key)) / 10);
    return actions[key.toLowerCase()] ?? null;
  }
}

function select(name: string, choose: (value: string) => void): Select {
  const id = `menu-${name.toLowerCase()}`;
  const element = h('select', { id });
  element.addEventListener('change', () => choose(element.value));
  return { field: h('div', { class: 'field', hidden: true }, h('label', { for: id }, name), element), select: element };
}

/** Shows a menu of `least` lines or more; one that is open is changed only where it differs. */
function fill({ field, select: element }: Select, menu: Menu, least: number): void {
  field.hidden = menu.choices.length < least;
  const shown = [...element.options].map((option) => option.value).join();
  if (shown !== menu.choices.map((choice) => choice.value).join()) {
    element.replaceChildren(...menu.choices.map(({ value, label: words }) => h('option', { value }, words)));
  } else {
    menu.choices.forEach(({ label: words }, index) => {
      const option = element.options[index];
      if (option) setText(option, words);
    });
  }
  if (element.value !== menu.value) element.value = menu.value;
}
