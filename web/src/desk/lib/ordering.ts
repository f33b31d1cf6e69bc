// SPDX-License-Identifier: Apache-2.0 OR MIT
// Order of a list that people arrange.

/** The list with the item at `from` moved to `to`; the list itself when that is nowhere. */
export function moved<T>(list: readonly T[], from: number, to: number): T[] {
  const next = [...list];
  if (from < 0 || from >= list.length || to < 0 || to >= list.length || from === to) return next;
  const [item] = next.splice(from, 1);
  next.splice(to, 0, item as T);
  return next;
}

/** Where a dragged item lands: before or behind the item under the pointer, counted without the dragged one. */
export function dropIndex(from: number, over: number, behind: boolean): number {
  const place = over + (behind ? 1 : 0);
  return place > from ? place - 1 : place;
}
