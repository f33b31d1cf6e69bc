// SPDX-License-Identifier: Apache-2.0 OR MIT
// The operator's desk.

import { mount } from 'svelte';
import App from './App.svelte';
import './desk.css';

/** Builds the desk into `root`. */
export function openDesk(root: HTMLElement): void {
  root.replaceChildren();
  mount(App, { target: root });
}
