// SPDX-License-Identifier: Apache-2.0 OR MIT
// The viewer's page: asks the server, feeds the player, shows the words that `state.ts` chooses.

import { h, setText } from '../dom.ts';
import { askServer } from './ask.ts';
import { Player } from './player.ts';
import { initial, next, pollDelay, view, wantedPlayer, type Action, type Event, type Model } from './state.ts';
import { Recorder } from './stats.ts';

/** At most one extra question to the server in this time when the delivery network refuses the player. */
const DOUBT_MS = 2_000;

const LABELS: Record<Action, string> = {
  unmute: 'Turn sound on',
  play: 'Play',
  'go-live': 'Go to live',
  replay: 'Watch the last part',
  retry: 'Try again',
};

/** Builds the page into `root` for the breakout, with the query that carries the viewer's signature. */
export function openWatchPage(root: HTMLElement, breakout: string, query: string): void {
  let model: Model = initial;
  let timer: number | undefined;
  let asking = false;
  let doubted = -DOUBT_MS;

  const badge = h('span', { class: 'badge' });
  const title = h('h1');
  const latency = h('span', { class: 'latency' });
  const headline = h('p', { class: 'headline' });
  const hint = h('p', { class: 'hint' });
  const buttons = h('div', { class: 'actions' });
  const video = h('video', { controls: true, playsinline: true, muted: true, preload: 'auto', 'aria-label': 'Video of the breakout' });
  video.muted = true;
  const stage = h('div', { class: 'stage', hidden: true }, video);
  const status = h('div', { class: 'status', role: 'status', 'aria-live': 'polite' }, headline, hint);
  const head = h('header', { class: 'watch-head' }, h('div', { class: 'watch-title' }, badge, title), latency);
  root.replaceChildren(h('main', { class: 'watch' }, head, stage, status, buttons));

  const recorder = new Recorder(video);
  const player = new Player(video, recorder, tell, () => {
    if (performance.now() - doubted < DOUBT_MS) return;
    doubted = performance.now();
    void ask();
  });
  Object.defineProperty(window, '__anabranch', {
    value: {
      get hls() {
        return player.hls;
      },
      video,
      stats: recorder.stats,
      get model() {
        return model;
      },
    },
  });

  const run: Record<Action, () => void> = {
    unmute: () => {
      video.muted = false;
      if (video.volume === 0) video.volume = 1;
      player.play();
    },
    play: () => player.play(),
    'go-live': () => player.goLive(),
    replay: () => player.replay(),
    retry: () => player.retry(),
  };
  video.addEventListener('volumechange', show);

  function tell(event: Event): void {
    const before = model;
    model = next(model, event);
    const wanted = wantedPlayer(model);
    if (wanted && wantedPlayer(before)?.start !== wanted.start) player.open(wanted.url, wanted.start);
    if (model.answer.kind === 'refused' && before.answer.kind !== 'refused') player.stop();
    show();
  }

  async function ask(): Promise<void> {
    if (asking || model.answer.kind === 'refused') return;
    asking = true;
    window.clearTimeout(timer);
    const event = await askServer(breakout, query);
    asking = false;
    tell(event);
    const delay = pollDelay(model);
    if (delay !== null) timer = window.setTimeout(() => void ask(), delay);
  }

  function show(): void {
    const shown = view(model, video.muted);
    setText(badge, shown.badge);
    badge.dataset['tone'] = shown.tone;
    setText(title, shown.title);
    setText(latency, shown.latency);
    setText(headline, shown.headline);
    setText(hint, shown.hint);
    status.dataset['tone'] = shown.tone;
    stage.hidden = shown.player === 'hidden';
    document.title = `${shown.badge} · ${shown.title}`;
    showActions(shown.actions);
  }

  function showActions(actions: Action[]): void {
    if (buttons.dataset['shown'] === actions.join()) return;
    buttons.dataset['shown'] = actions.join();
    buttons.replaceChildren(
      ...actions.map((action, index) =>
        h('button', { type: 'button', class: index === 0 ? 'primary' : '', 'data-action': action, onclick: run[action] }, LABELS[action]),
      ),
    );
  }

  // A phone that wakes up, or finds its network again, asks at once.
  window.addEventListener('online', () => void ask());
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden && pollDelay(model) !== null) void ask();
  });
  show();
  void ask();
}
