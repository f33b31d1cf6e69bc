// SPDX-License-Identifier: Apache-2.0 OR MIT

const SVG = 'http://www.w3.org/2000/svg';

/** Outlines on a field of 24 by 24. */
const PATHS = {
  play: 'M8 5v14l11-7z',
  pause: 'M7 5h4v14H7zM13 5h4v14h-4z',
  back: 'M11 6v12l-8-6zM20 6v12l-8-6z',
  forward: 'M4 6v12l8-6zM13 6v12l8-6z',
  sound: 'M4 9v6h4l5 5V4L8 9zM16 8a5 5 0 0 1 0 8l-1.2-1.6a3 3 0 0 0 0-4.8z',
  muted: 'M4 9v6h4l5 5V4L8 9zM15 10.4 16.4 9 18.5 11.1 20.6 9 22 10.4 19.9 12.5 22 14.6 20.6 16 18.5 13.9 16.4 16 15 14.6 17.1 12.5z',
  full: 'M4 4h6v2H6v4H4zM14 4h6v6h-2V6h-4zM4 14h2v4h4v2H4zM18 14h2v6h-6v-2h4z',
  small: 'M8 4h2v6H4V8h4zM14 4h2v4h4v2h-6zM4 14h6v6H8v-4H4zM14 14h6v2h-4v4h-2z',
  menus: 'M4 6h10v2H4zM16 4h2v6h-2zM18 6h2v2h-2zM4 16h4v2H4zM10 14h2v6h-2zM12 16h8v2h-8zM4 11h7v2H4zM13 9h2v6h-2zM15 11h5v2h-5z',
  picture: 'M3 5h18v14H3zM5 7v10h14V7zM11 11h7v5h-7z',
  unpicture: 'M3 5h18v14H3zM5 7v10h14V7zM7 9h5v2H8.4l3.1 3.1-1.4 1.4L7 12.4z',
  airplay: 'M3 5h18v11h-4v-2h2V7H5v7h2v2H3zM12 13l6 7H6z',
} as const;

export type Icon = keyof typeof PATHS;

/** A picture for a button that has words of its own. */
export function icon(name: Icon): SVGElement {
  const svg = document.createElementNS(SVG, 'svg');
  for (const [key, value] of [['viewBox', '0 0 24 24'], ['class', 'icon'], ['aria-hidden', 'true'], ['focusable', 'false']] as const) {
    svg.setAttribute(key, value);
  }
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('d', PATHS[name]);
  svg.append(path);
  return svg;
}
