// SPDX-License-Identifier: Apache-2.0 OR MIT
// The clock and the theme that all components share.

class Clock {
  /** Milliseconds of now; moves each second while a page is seen. */
  now = $state(Date.now());

  constructor() {
    window.setInterval(() => {
      if (document.visibilityState === 'visible') this.now = Date.now();
    }, 1_000);
  }
}

export const clock = new Clock();

export type Theme = 'system' | 'light' | 'dark';
const KEY = 'anabranch.theme';

class Look {
  theme = $state<Theme>(read());

  constructor() {
    this.apply();
  }

  set(theme: Theme): void {
    this.theme = theme;
    try {
      if (theme === 'system') localStorage.removeItem(KEY);
      else localStorage.setItem(KEY, theme);
    } catch {
      // A browser that keeps nothing shows it until the page is closed.
    }
    this.apply();
  }

  private apply(): void {
    if (this.theme === 'system') document.documentElement.removeAttribute('data-theme');
    else document.documentElement.setAttribute('data-theme', this.theme);
  }
}

function read(): Theme {
  try {
    const kept = localStorage.getItem(KEY);
    return kept === 'light' || kept === 'dark' ? kept : 'system';
  } catch {
    return 'system';
  }
}

export const look = new Look();
