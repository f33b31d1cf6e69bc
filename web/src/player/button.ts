// SPDX-License-Identifier: Apache-2.0 OR MIT
// A button of the player: a picture, with words for those who do not see it.

import { h } from '../dom.ts';
import { icon, type Icon } from './icons.ts';

export function button(name: Icon, words: string, onclick?: () => void): HTMLButtonElement {
  const element = h('button', { type: 'button', class: 'icon-button', title: words, 'aria-label': words, 'data-icon': name, onclick });
  element.append(icon(name));
  return element;
}

/** Gives a button another picture and other words. */
export function label(element: HTMLButtonElement, name: Icon, words: string): void {
  if (element.dataset['icon'] === name) return;
  element.dataset['icon'] = name;
  element.title = words;
  element.setAttribute('aria-label', words);
  element.replaceChildren(icon(name));
}
