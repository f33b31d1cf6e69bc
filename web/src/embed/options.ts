// SPDX-License-Identifier: Apache-2.0 OR MIT
// What the page around a player may say in its address.

/** How a player in a frame behaves. */
export interface EmbedOptions {
  autoplay: boolean;
  muted: boolean;
  /** Where what has an end begins, in seconds; null for where the viewer was. */
  start: number | null;
  controls: boolean;
  /** The browser's own HLS. */
  native: boolean;
  /** Origin of the page around, when it says so. */
  origin: string | null;
}

/** Reads a query; what is not understood counts as not said. */
export function embedOptions(query: string): EmbedOptions {
  const parameters = new URLSearchParams(query);
  const yes = (name: string) => ['1', 'true', ''].includes(parameters.get(name) ?? '0');
  const start = Number.parseFloat(parameters.get('start') ?? '');
  return {
    autoplay: yes('autoplay'),
    muted: yes('muted'),
    start: Number.isFinite(start) && start >= 0 ? start : null,
    controls: !['0', 'false'].includes(parameters.get('controls') ?? '1'),
    native: parameters.get('player') === 'native',
    origin: originOf(parameters.get('origin')),
  };
}

/** The origin of an address; null when it has none. */
export function originOf(address: string | null): string | null {
  if (!address) return null;
  try {
    const { origin } = new URL(address);
    return origin === 'null' ? null : origin;
  } catch {
    return null;
  }
}
