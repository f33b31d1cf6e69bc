// SPDX-License-Identifier: Apache-2.0 OR MIT
// The operator's overview: channels with their inputs, breakouts with start, stop and watch link.

import { ApiError, Client, type Breakout, type Channel, type PlayUrl } from '../api/client.ts';
import { h, setText } from '../dom.ts';
import { breakoutCard, channelCard, reconcile, type Actions } from './cards.ts';

const TOKEN_KEY = 'anabranch.token';
const REFRESH_MS = 3_000;

/** Builds the page into `root`: the overview, or the question for a token. */
export function openAdminPage(root: HTMLElement): void {
  document.title = 'Anabranch';
  const token = sessionStorage.getItem(TOKEN_KEY);
  if (token) openDesk(root, new Client(token));
  else openLogin(root, '');
}

function openLogin(root: HTMLElement, why: string): void {
  const message = h('p', { class: 'message', role: 'alert' }, why);
  const field = h('input', { id: 'token', type: 'password', autocomplete: 'off', required: true, spellcheck: 'false' });
  const submit = h('button', { type: 'submit', class: 'primary' }, 'Open');
  const form = h(
    'form',
    { class: 'card' },
    h('h1', {}, 'Anabranch'),
    h('p', { class: 'quiet' }, 'Enter an API token. The server printed one when it was started for the first time. This tab keeps it until you close it.'),
    h('div', { class: 'field' }, h('label', { for: 'token' }, 'API token'), field),
    message,
    submit,
  );
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const token = field.value.trim();
    submit.disabled = true;
    new Client(token)
      .channelList()
      .then(() => {
        sessionStorage.setItem(TOKEN_KEY, token);
        openAdminPage(root);
      })
      .catch((error: unknown) => {
        setText(message, words(error));
        submit.disabled = false;
        field.focus();
      });
  });
  root.replaceChildren(h('main', { class: 'login' }, form));
  field.focus();
}

function openDesk(root: HTMLElement, client: Client): void {
  let channels: Channel[] = [];
  let breakouts: Breakout[] = [];
  const links = new Map<string, PlayUrl>();
  let timer: number | undefined;
  let closed = false;
  let refreshing = false;

  const message = h('p', { class: 'message', role: 'alert' });
  const lost = h('p', { class: 'message', role: 'status' });
  const channelCards = h('div', { class: 'cards' });
  const channelEmpty = h('p', { class: 'empty', hidden: true }, 'No channel yet. Create one: it gives you a push URL and a stream key for your encoder.');
  const breakoutCards = h('div', { class: 'cards' });
  const breakoutEmpty = h('p', { class: 'empty', hidden: true });
  const channelName = h('input', { id: 'channel-name', required: true, maxlength: 100, autocomplete: 'off' });
  const breakoutName = h('input', { id: 'breakout-name', required: true, maxlength: 100, autocomplete: 'off' });
  const breakoutChannel = h('select', { id: 'breakout-channel', required: true });
  const breakoutForm = form('Create breakout', () => createBreakout(), labelled('Name of the new breakout', breakoutName), labelled('Channel', breakoutChannel));

  root.replaceChildren(
    h(
      'main',
      { class: 'desk' },
      h('header', { class: 'desk-head' }, h('h1', {}, 'Anabranch'), h('button', { type: 'button', onclick: () => close('') }, 'Forget token')),
      lost,
      message,
      h(
        'section',
        { class: 'section', 'aria-labelledby': 'channels' },
        h('h2', { id: 'channels' }, 'Channels'),
        channelEmpty,
        channelCards,
        form('Create channel', () => createChannel(), labelled('Name of the new channel', channelName)),
      ),
      h(
        'section',
        { class: 'section', 'aria-labelledby': 'breakouts' },
        h('h2', { id: 'breakouts' }, 'Breakouts'),
        breakoutEmpty,
        breakoutCards,
        breakoutForm,
      ),
    ),
  );

  const actions: Actions = {
    channelStart: (id) => void attempt(() => client.channelStart(id)),
    channelStop: (id) => void attempt(() => client.channelStop(id)),
    breakoutStart: (id) => void attempt(() => client.breakoutStart(id)),
    breakoutAbort: (id) => void attempt(() => client.breakoutAbort(id)),
    breakoutStop: (id, name) => {
      // A completed breakout cannot be started again, so a slip of the finger would end it for everyone.
      if (window.confirm(`Stop the breakout “${name}” for all its viewers? It cannot be started again.`)) {
        void attempt(() => client.breakoutStop(id));
      }
    },
    watchLink: (id) => void attempt(() => watchLink(id)),
  };

  async function createChannel(): Promise<void> {
    await client.channelCreate(channelName.value.trim());
    channelName.value = '';
  }

  async function createBreakout(): Promise<void> {
    await client.breakoutCreate(breakoutName.value.trim(), breakoutChannel.value);
    breakoutName.value = '';
  }

  async function watchLink(id: string): Promise<void> {
    const link = await client.breakoutPlayUrl(id);
    links.set(id, link);
    show();
    const address = new URL(link.watch_url, window.location.href);
    if (address.protocol === 'http:' || address.protocol === 'https:') window.open(address, '_blank', 'noopener');
  }

  /** Runs what a button or form asks for, shows what went wrong, and looks again. */
  async function attempt(work: () => Promise<unknown>): Promise<void> {
    setText(message, '');
    try {
      await work();
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) return close(words(error));
      setText(message, words(error));
    }
    await refresh();
  }

  async function refresh(): Promise<void> {
    if (closed || refreshing) return;
    refreshing = true;
    window.clearTimeout(timer);
    try {
      [channels, breakouts] = await Promise.all([client.channelList(), client.breakoutList()]);
      setText(lost, '');
      show();
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) return close(words(error));
      setText(lost, words(error));
    } finally {
      refreshing = false;
    }
    if (!closed) timer = window.setTimeout(() => void refresh(), REFRESH_MS);
  }

  function show(): void {
    channelEmpty.hidden = channels.length > 0;
    reconcile(
      channelCards,
      channels.map((channel) => ({ key: channel.id, data: channel, draw: () => channelCard(channel, actions) })),
    );
    breakoutEmpty.hidden = breakouts.length > 0;
    setText(
      breakoutEmpty,
      channels.length > 0
        ? 'No breakout yet. Create one, push to its channel, start it, and hand out its watch link.'
        : 'No breakout yet. A breakout needs a channel: create that first.',
    );
    const names = new Map(channels.map((channel) => [channel.id, channel.name]));
    reconcile(
      breakoutCards,
      breakouts.map((breakout) => {
        const channel = breakout.channel ? (names.get(breakout.channel) ?? breakout.channel) : 'deleted channel';
        const link = links.get(breakout.id);
        return { key: breakout.id, data: { breakout, channel, link }, draw: () => breakoutCard(breakout, channel, link, actions) };
      }),
    );
    breakoutForm.hidden = channels.length === 0;
    showChannelChoice();
  }

  function showChannelChoice(): void {
    const version = JSON.stringify(channels.map(({ id, name }) => [id, name]));
    if (breakoutChannel.dataset['version'] === version) return;
    breakoutChannel.dataset['version'] = version;
    const chosen = breakoutChannel.value;
    breakoutChannel.replaceChildren(...channels.map(({ id, name }) => h('option', { value: id }, name)));
    if (channels.some(({ id }) => id === chosen)) breakoutChannel.value = chosen;
  }

  function form(label: string, work: () => Promise<void>, ...fields: HTMLElement[]): HTMLFormElement {
    const submit = h('button', { type: 'submit', class: 'primary' }, label);
    const element = h('form', { class: 'card form', 'aria-label': label }, ...fields, submit);
    element.addEventListener('submit', (event) => {
      event.preventDefault();
      submit.disabled = true;
      void attempt(work).finally(() => (submit.disabled = false));
    });
    return element;
  }

  function close(why: string): void {
    closed = true;
    window.clearTimeout(timer);
    sessionStorage.removeItem(TOKEN_KEY);
    openLogin(root, why);
  }

  void refresh();
}

function labelled(text: string, field: HTMLInputElement | HTMLSelectElement): HTMLElement {
  return h('div', { class: 'field' }, h('label', { for: field.id }, text), field);
}

function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
