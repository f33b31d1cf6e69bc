// SPDX-License-Identifier: Apache-2.0 OR MIT
// `sprite.vtt`: which part of which picture shows which moment (WebVTT with media fragments `#xywh=`).

/** A moment's picture. Times in seconds, the rest in pixels of the sheet at `url`. */
export interface Tile {
  start: number;
  end: number;
  url: string;
  x: number;
  y: number;
  width: number;
  height: number;
}

/** Tiles read at most; one each five seconds of a very long day. */
const MAX_TILES = 20_000;
const TIMING = /^\s*((?:\d+:)?\d{1,2}:\d{1,2}(?:\.\d+)?)\s+-->\s+((?:\d+:)?\d{1,2}:\d{1,2}(?:\.\d+)?)/;
const REGION = /^(.+)#xywh=(?:pixel:)?(\d+),(\d+),(\d+),(\d+)\s*$/;

/**
 * The tiles of a WebVTT file that was loaded from `address`. Sheets are beside the file, and the file's own query, which
 * carries the signature, opens them too. Cues that are not understood are left out.
 */
export function parseSprite(text: string, address: string): Tile[] {
  const tiles: Tile[] = [];
  const lines = text.split(/\r\n|\r|\n/);
  for (let index = 0; index + 1 < lines.length && tiles.length < MAX_TILES; index += 1) {
    const timing = TIMING.exec(lines[index] ?? '');
    const region = timing && REGION.exec((lines[index + 1] ?? '').trim());
    if (!timing || !region) continue;
    const url = sheet(region[1] ?? '', address);
    const [x, y, width, height] = region.slice(2).map(Number) as [number, number, number, number];
    const [start, end] = [seconds(timing[1] ?? ''), seconds(timing[2] ?? '')];
    if (url !== null && width > 0 && height > 0 && end > start) tiles.push({ start, end, url, x, y, width, height });
  }
  return tiles.sort((a, b) => a.start - b.start);
}

/** The tile of a moment; the nearest one before it where there is a gap. */
export function tileAt(tiles: readonly Tile[], time: number): Tile | null {
  let low = 0;
  let high = tiles.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((tiles[middle]?.start ?? Infinity) <= time) low = middle + 1;
    else high = middle;
  }
  return tiles[Math.max(0, low - 1)] ?? null;
}

function sheet(name: string, address: string): string | null {
  try {
    const base = new URL(address);
    const url = new URL(name, base);
    // Only the place that the viewer was let into gets the signature.
    if (url.origin === base.origin && url.search === '') url.search = base.search;
    return url.href;
  } catch {
    return null;
  }
}

function seconds(clock: string): number {
  return clock.split(':').reduce((sum, part) => sum * 60 + Number(part), 0);
}
