// SPDX-License-Identifier: Apache-2.0 OR MIT

/** The server's words, which start small and have no full stop, as a sentence of the page. */
export function sentence(words: string | null | undefined): string {
  if (!words) return '';
  const start = words.charAt(0).toUpperCase() + words.slice(1);
  return /[.!?]$/.test(start) ? start : `${start}.`;
}
