// SPDX-License-Identifier: Apache-2.0 OR MIT
// One card a channel, one a breakout. A card is drawn anew only when its data changed, and the focus stays where it was.

import type { Breakout, Channel, Input, PlayUrl } from '../api/client.ts';
import { h } from '../dom.ts';
import { sentence } from '../words.ts';
import { breakoutWord, channelWord, distributionWord, inputWords, packagingWords, type Tone } from './words.ts';

/** What a card's buttons do. */
export interface Actions {
  channelStart(id: string): void;
  channelStop(id: string): void;
  breakoutStart(id: string): void;
  breakoutAbort(id: string): void;
  breakoutStop(id: string, name: string): void;
  watchLink(id: string): void;
}

/** Stream keys that the operator uncovered, by input. */
const uncovered = new Set<string>();

export function channelCard(channel: Channel, actions: Actions): HTMLElement {
  return h(
    'article',
    { class: 'card', 'aria-label': `Channel ${channel.name}` },
    h(
      'div',
      { class: 'card-head' },
      h('div', { class: 'card-title' }, h('h3', {}, channel.name), badge(channelWord(channel.state))),
      channelSwitch(channel, actions),
    ),
    channel.problem && h('p', { class: 'message' }, sentence(channel.problem)),
    h(
      'div',
      { class: 'card-title' },
      h('span', { class: 'label' }, 'Distribution'),
      h('span', {}, channel.distribution?.domain_name ?? 'no distribution'),
      ...(channel.distribution ? [badge(distributionWord(channel.distribution.status))] : []),
    ),
    ...channel.inputs.map((input, index) => inputRow(input, channel.inputs.length > 1 ? `Input ${index + 1}` : 'Input')),
  );
}

/** A channel that runs only for its breakout is switched by the breakout. */
function channelSwitch({ id, name, state, desired_running }: Channel, actions: Actions): HTMLElement {
  if (desired_running) return button('Stop', `${id}/switch`, () => actions.channelStop(id), `Stop channel ${name}`);
  if (state === 'Running' || state === 'Starting') return h('span', { class: 'quiet' }, 'Runs for its breakout');
  return button('Start', `${id}/switch`, () => actions.channelStart(id), `Start channel ${name}`);
}

export function breakoutCard(breakout: Breakout, channelName: string, link: PlayUrl | undefined, actions: Actions): HTMLElement {
  const { id, name, state } = breakout;
  return h(
    'article',
    { class: 'card', 'aria-label': `Breakout ${name}` },
    h(
      'div',
      { class: 'card-head' },
      h('div', { class: 'card-title' }, h('h3', {}, name), badge(breakoutWord(state)), h('span', { class: 'quiet' }, `Channel ${channelName}`)),
      h(
        'div',
        { class: 'actions' },
        state === 'IDLE' && button('Start', `${id}/start`, () => actions.breakoutStart(id), `Start breakout ${name}`, 'primary'),
        state === 'STARTING' && button('Abort start', `${id}/abort`, () => actions.breakoutAbort(id), `Breakout ${name}`),
        state === 'RUNNING' && button('Stop', `${id}/stop`, () => actions.breakoutStop(id, name), `Stop breakout ${name}`),
        button('Watch link', `${id}/watch`, () => actions.watchLink(id), `Watch link of breakout ${name}`),
      ),
    ),
    breakout.problem && h('p', { class: 'message' }, sentence(breakout.problem)),
    h('p', { class: 'hint' }, packagingWords(state, breakout.packaging)),
    link && copyRow('Watch link', link.watch_url, `${id}/link`),
    link && h('p', { class: 'quiet' }, `Opens the breakout for anyone who has it, until ${localTime(link.expires_at)}.`),
  );
}

/** Cards under `list`, by key; only changed ones are replaced. */
export function reconcile(list: HTMLElement, wanted: { key: string; data: unknown; draw: () => HTMLElement }[]): void {
  const old = new Map([...list.children].map((node) => [(node as HTMLElement).dataset['key'] ?? '', node as HTMLElement]));
  const focused = (document.activeElement as HTMLElement | null)?.dataset?.['focus'];
  wanted.forEach(({ key, data, draw }, index) => {
    const version = JSON.stringify(data);
    let node = old.get(key);
    old.delete(key);
    if (node?.dataset['version'] !== version) {
      const fresh = draw();
      fresh.dataset['key'] = key;
      fresh.dataset['version'] = version;
      node?.replaceWith(fresh);
      node = fresh;
    }
    if (list.children[index] !== node) list.insertBefore(node, list.children[index] ?? null);
  });
  for (const node of old.values()) node.remove();
  if (focused && (document.activeElement as HTMLElement | null)?.dataset?.['focus'] !== focused) {
    list.querySelector<HTMLElement>(`[data-focus="${CSS.escape(focused)}"]`)?.focus();
  }
}

function inputRow(input: Input, label: string): HTMLElement {
  return h(
    'div',
    { class: 'input' },
    h('div', { class: 'card-title' }, h('span', { class: 'label' }, label), h('span', {}, inputWords(input.state))),
    copyRow('Push URL', input.push_url, `${input.id}/url`),
    !input.stream_key
      ? h('p', { class: 'label' }, 'Stream key: shown to tokens with scope manage')
      : copyRow('Stream key', input.stream_key, `${input.id}/key`, input.id),
  );
}

/** A value to copy; `secretOf` covers it until the operator asks to see it. */
function copyRow(label: string, value: string, key: string, secretOf?: string): HTMLElement {
  const id = `field-${key.replace('/', '-')}`;
  const covered = secretOf !== undefined && !uncovered.has(secretOf);
  const field = h('input', {
    id,
    readonly: true,
    type: covered ? 'password' : 'text',
    value,
    autocomplete: 'off',
    'data-focus': `${key}/field`,
  });
  const copy = button('Copy', `${key}/copy`, () => void copyText(value, field, copy), `Copy ${label.toLowerCase()}`);
  const show =
    secretOf !== undefined &&
    button(covered ? 'Show' : 'Hide', `${key}/show`, () => {
      const shown = uncovered.delete(secretOf) ? false : Boolean(uncovered.add(secretOf));
      field.type = shown ? 'text' : 'password';
      if (show) show.textContent = shown ? 'Hide' : 'Show';
    }, `Show or hide ${label.toLowerCase()}`);
  return h('div', { class: 'field' }, h('label', { for: id }, label), h('div', { class: 'copy' }, field, show, copy));
}

async function copyText(value: string, field: HTMLInputElement, said: HTMLButtonElement): Promise<void> {
  let copied = true;
  try {
    await navigator.clipboard.writeText(value);
  } catch {
    // Without a secure context there is no clipboard object; the selection is then there to be copied by hand.
    const type = field.type;
    field.type = 'text';
    field.select();
    copied = document.execCommand('copy');
    if (copied) field.type = type;
  }
  said.textContent = copied ? 'Copied' : 'Press Ctrl+C';
  window.setTimeout(() => (said.textContent = 'Copy'), 1_500);
}

function badge([text, tone]: [string, Tone]): HTMLElement {
  return h('span', { class: 'badge', 'data-tone': tone }, text);
}

function button(text: string, focus: string, onclick: () => void, label: string, kind = ''): HTMLButtonElement {
  return h('button', { type: 'button', class: kind, onclick, 'data-focus': focus, 'aria-label': label === text ? undefined : `${text}: ${label}` }, text);
}

function localTime(text: string): string {
  const time = new Date(text);
  return Number.isNaN(time.getTime()) ? text : time.toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'short' });
}
