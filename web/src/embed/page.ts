// SPDX-License-Identifier: Apache-2.0 OR MIT
// Players in the frames of other pages: the picture and what it is handled with, and nothing else.

import { CollectionPage } from '../asset/collection.ts';
import { pageQuery } from '../player/signature.ts';
import { Screen } from '../asset/screen.ts';
import { view as assetView, type Model as AssetModel } from '../asset/state.ts';
import { h } from '../dom.ts';
import { expose } from '../player/expose.ts';
import { WatchScreen } from '../watch/screen.ts';
import { Bridge } from './bridge.ts';
import { embedOptions, originOf } from './options.ts';

/** Builds the player of a breakout, an asset or a collection into `root`. */
export function openEmbed(root: HTMLElement, kind: 'breakout' | 'asset' | 'collection', id: string, query: string): void {
  const options = embedOptions(query);
  document.documentElement.classList.add('embedded');
  const around = window.parent === window ? null : window.parent;
  // Without a word of its own the page around is who the browser says it is. A frame that loads itself anew would be told itself.
  const kept = (history.state as { around?: unknown } | null)?.around;
  const origin = options.origin ?? (typeof kept === 'string' ? kept : originOf(document.referrer));
  history.replaceState({ ...(history.state as object | null), around: origin }, '');
  const { controls } = options;
  const main = (element: HTMLElement) => h('main', { class: `embed${controls ? '' : ' bare'}` }, element);
  if (kind === 'breakout') {
    const bridge: Bridge = new Bridge(around, origin, () => screen.deck.toggle());
    const screen: WatchScreen = new WatchScreen({
      breakout: id,
      query,
      ...options,
      onShow: (model, shown) => {
        const state = model.answer.kind === 'known' ? (shown.player === 'shown' ? model.playback.at : model.answer.state) : model.answer.kind;
        bridge.say({ state, trouble: shown.tone === 'trouble' ? shown.headline : '' });
      },
    });
    bridge.attach(screen.deck);
    root.replaceChildren(main(screen.element));
    expose(() => screen.deck, () => screen.model);
    return;
  }
  const said = (model: AssetModel) => {
    const shown = assetView(model);
    const state = model.answer.kind === 'known' ? (shown.player === 'shown' ? model.playback.at : model.answer.state) : model.answer.kind;
    return { state, trouble: shown.tone === 'trouble' ? shown.headline : '' };
  };
  if (kind === 'asset') {
    const bridge: Bridge = new Bridge(around, origin, () => screen.toggle());
    const screen: Screen = new Screen({
      id,
      query,
      ...options,
      onQuery: (renewed) => history.replaceState(history.state, '', `${window.location.pathname}${pageQuery(window.location.search, renewed)}`),
      onShow: (model) => bridge.say(said(model)),
    });
    bridge.attach(screen.deck);
    root.replaceChildren(main(screen.element));
    expose(() => screen.deck, () => screen.model);
    return;
  }
  const bridge: Bridge = new Bridge(around, origin, () => page.screen?.toggle());
  const page: CollectionPage = new CollectionPage(root, id, query, {
    ...options,
    onScreen: (screen) => bridge.attach(screen.deck),
    onShow: (model) => bridge.say(said(model)),
  });
  page.start();
}
