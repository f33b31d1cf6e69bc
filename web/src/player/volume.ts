// SPDX-License-Identifier: Apache-2.0 OR MIT
// How loud the viewer wants it, kept by the browser.

const KEY = 'anabranch.volume';

export interface Sound {
  volume: number;
  muted: boolean;
}

/** What was kept; null when the viewer has never said. */
export function keptSound(): Sound | null {
  try {
    return soundOf(JSON.parse(window.localStorage.getItem(KEY) ?? 'null'));
  } catch {
    return null;
  }
}

/** Keeps what the viewer has chosen. */
export function keepSound({ volume, muted }: Sound): void {
  try {
    window.localStorage.setItem(KEY, JSON.stringify({ volume, muted }));
  } catch {
    // It is as loud as ever next time.
  }
}

export function soundOf(value: unknown): Sound | null {
  if (typeof value !== 'object' || value === null) return null;
  const { volume, muted } = value as Record<string, unknown>;
  if (typeof volume !== 'number' || !(volume >= 0 && volume <= 1) || typeof muted !== 'boolean') return null;
  return { volume, muted };
}
