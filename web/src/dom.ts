// SPDX-License-Identifier: Apache-2.0 OR MIT

type Attribute = string | number | boolean | undefined | ((event: Event) => void);
export type Child = Node | string | null | undefined | false;

/**
 * An element with attributes and children. `onclick` and its like take functions; `false` and `undefined` leave the
 * attribute out. Text always becomes a text node: nothing that a server says is read as HTML.
 */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Record<string, Attribute> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    if (typeof value === 'function') element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? '' : String(value));
  }
  for (const child of children) if (child) element.append(child);
  return element;
}

/** Sets the text only when it differs, so that a screen reader is not told the same words again. */
export function setText(element: HTMLElement, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}
