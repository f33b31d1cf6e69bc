// SPDX-License-Identifier: Apache-2.0 OR MIT
// The player's own controls: the browser's have no pictures to scrub by and no menu of qualities.

import { h, setText } from '../dom.ts';
import { icon, type Icon } from './icons.ts';
import { nextSpeed, OFF, speedMenu, type Menu } from './menus.ts';
import type { AssetPlayer } from './player.ts';
import { Scrub } from './scrub.ts';
import { clock } from './time.ts';

const SKIP_SECONDS = 10;
const STEP_SECONDS = 5;
const VOLUME_STEP = 0.1;
/** Stillness of the pointer after which a full screen shows the picture alone. */
const IDLE_MS = 3_000;

const KEYS = [
  ['Space or K', 'play or pause'],
  ['← →', '5 seconds back or on'],
  ['J L', '10 seconds back or on'],
  ['0 to 9', 'to that tenth'],
  ['↑ ↓', 'louder or quieter'],
  ['M', 'sound off or on'],
  ['C', 'captions off or on'],
  ['< >', 'slower or faster'],
  ['F', 'full screen'],
] as const;

/** Full screen of a phone, which only its <video> can have. */
type PhoneVideo = HTMLVideoElement & { webkitEnterFullscreen?: () => void };

type Select = { field: HTMLElement; select: HTMLSelectElement };

export class Controls {
  readonly element: HTMLElement;
  readonly scrub: Scrub;
  /** What the keys do, to be shown below. */
  readonly help: HTMLElement;
  private readonly playButton = button('play', 'Play');
  private readonly muteButton = button('sound', 'Sound off');
  private readonly fullButton = button('full', 'Full screen');
  private readonly volume = h('input', { type: 'range', class: 'volume', min: 0, max: 1, step: 0.05, 'aria-label': 'Volume' });
  private readonly time = h('span', { class: 'time' });
  private readonly quality: Select;
  private readonly audio: Select;
  private readonly captions: Select;
  private readonly speed: Select;
  private lastCaptions = '0';
  private idle: number | undefined;

  constructor(
    private readonly video: HTMLVideoElement,
    private readonly player: AssetPlayer,
    /** What goes to full screen. */
    private readonly deck: HTMLElement,
    expected: () => number,
    /** Plays or pauses, by the viewer's hand. */
    private readonly toggle: () => void,
    signal: AbortSignal,
  ) {
    this.scrub = new Scrub(video, expected, (at) => this.showTime(at), signal);
    this.quality = select('Quality', (value) => player.setQuality(value));
    this.audio = select('Audio', (value) => player.setAudio(value));
    this.captions = select('Captions', (value) => player.setCaptions(value));
    this.speed = select('Speed', (value) => (video.playbackRate = Number(value)));
    const back = button('back', `${SKIP_SECONDS} seconds back`, () => this.step(-SKIP_SECONDS));
    const forward = button('forward', `${SKIP_SECONDS} seconds on`, () => this.step(SKIP_SECONDS));
    this.element = h(
      'div',
      { class: 'controls', role: 'group', 'aria-label': 'Player' },
      this.scrub.element,
      h(
        'div',
        { class: 'controls-row' },
        h('div', { class: 'controls-group' }, this.playButton, back, forward, this.time),
        h('div', { class: 'controls-group' }, this.muteButton, this.volume, this.fullButton),
      ),
      h('div', { class: 'controls-menus' }, this.quality.field, this.audio.field, this.captions.field, this.speed.field),
    );
    const lines = KEYS.flatMap(([key, does]) => [h('dt', {}, key), h('dd', {}, does)]);
    this.help = h('details', { class: 'keys' }, h('summary', {}, 'Keyboard'), h('dl', {}, ...lines));
    this.listen(signal);
    this.refresh();
  }

  /** Shows what the player and the video are now. */
  refresh(): void {
    const { video, player } = this;
    const playing = !video.paused && !video.ended;
    label(this.playButton, playing ? 'pause' : 'play', playing ? 'Pause' : 'Play');
    const silent = video.muted || video.volume === 0;
    label(this.muteButton, silent ? 'muted' : 'sound', silent ? 'Sound on' : 'Sound off');
    this.volume.value = String(video.muted ? 0 : video.volume);
    const full = document.fullscreenElement === this.deck;
    label(this.fullButton, full ? 'small' : 'full', full ? 'Leave full screen' : 'Full screen');
    fill(this.quality, player.quality(), 3);
    fill(this.audio, player.audio(), 2);
    fill(this.captions, player.captions(), 2);
    fill(this.speed, speedMenu(video.playbackRate), 2);
    this.showTime(video.currentTime);
  }

  private listen(signal: AbortSignal): void {
    const { video, deck } = this;
    for (const name of ['play', 'pause', 'ended', 'volumechange', 'ratechange', 'durationchange', 'loadedmetadata']) {
      video.addEventListener(name, () => this.refresh(), { signal });
    }
    video.addEventListener('timeupdate', () => this.showTime(video.currentTime), { signal });
    this.playButton.addEventListener('click', this.toggle);
    this.muteButton.addEventListener('click', () => this.mute());
    this.fullButton.addEventListener('click', () => this.fullScreen());
    this.volume.addEventListener('input', () => {
      video.volume = Number(this.volume.value);
      video.muted = video.volume === 0;
    });
    document.addEventListener('fullscreenchange', () => this.refresh(), { signal });
    document.addEventListener('keydown', (event) => this.key(event), { signal });
    for (const name of ['pointermove', 'pointerdown', 'keydown', 'focusin']) deck.addEventListener(name, () => this.wake(), { signal });
  }

  private wake(): void {
    this.deck.classList.remove('idle');
    window.clearTimeout(this.idle);
    this.idle = window.setTimeout(() => this.deck.classList.toggle('idle', !this.video.paused), IDLE_MS);
  }

  private showTime(at: number): void {
    setText(this.time, `${clock(at)} / ${clock(this.scrub.duration())}`);
  }

  private step(seconds: number): void {
    const { video } = this;
    video.currentTime = Math.min(Math.max(0, video.currentTime + seconds), Math.max(0, this.scrub.duration() - 0.1));
  }

  private mute(): void {
    const { video } = this;
    video.muted = !video.muted;
    if (!video.muted && video.volume === 0) video.volume = 1;
  }

  private louder(step: number): void {
    this.video.muted = false;
    this.video.volume = Math.min(1, Math.max(0, this.video.volume + step));
  }

  private fullScreen(): void {
    if (document.fullscreenElement) void document.exitFullscreen();
    else if (this.deck.requestFullscreen) void this.deck.requestFullscreen().catch(() => undefined);
    else (this.video as PhoneVideo).webkitEnterFullscreen?.();
  }

  private switchCaptions(): void {
    const { choices, value } = this.player.captions();
    if (choices.length === 0) return;
    if (value !== OFF) this.lastCaptions = value;
    this.player.setCaptions(value === OFF ? this.lastCaptions : OFF);
  }

  private key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const target = event.target as HTMLElement;
    // Fields, menus and buttons have keys of their own.
    if (target.closest('input:not([type=range]), textarea, select')) return;
    const pressing = target.closest('button, a, summary') !== null && (event.key === ' ' || event.key === 'Enter');
    const sliding = target.closest('input[type=range]') !== null && event.key.startsWith('Arrow');
    if (pressing || sliding) return;
    const run = this.action(event.key);
    if (!run) return;
    event.preventDefault();
    run();
  }

  private action(key: string): (() => void) | null {
    const { video } = this;
    const faster = (up: boolean) => () => (video.playbackRate = nextSpeed(video.playbackRate, up));
    const actions: Record<string, () => void> = {
      ' ': this.toggle,
      k: this.toggle,
      j: () => this.step(-SKIP_SECONDS),
      l: () => this.step(SKIP_SECONDS),
      arrowleft: () => this.step(-STEP_SECONDS),
      arrowright: () => this.step(STEP_SECONDS),
      arrowup: () => this.louder(VOLUME_STEP),
      arrowdown: () => this.louder(-VOLUME_STEP),
      home: () => (video.currentTime = 0),
      m: () => this.mute(),
      c: () => this.switchCaptions(),
      f: () => this.fullScreen(),
      '<': faster(false),
      '>': faster(true),
    };
    if (/^[0-9]$/.test(key)) return () => (video.currentTime = (this.scrub.duration() * Number(key)) / 10);
    return actions[key.toLowerCase()] ?? null;
  }
}

function button(name: Icon, words: string, onclick?: () => void): HTMLButtonElement {
  const element = h('button', { type: 'button', class: 'icon-button', title: words, 'aria-label': words, 'data-icon': name, onclick });
  element.append(icon(name));
  return element;
}

function label(element: HTMLButtonElement, name: Icon, words: string): void {
  if (element.dataset['icon'] === name) return;
  element.dataset['icon'] = name;
  element.title = words;
  element.setAttribute('aria-label', words);
  element.replaceChildren(icon(name));
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
