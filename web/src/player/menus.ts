// SPDX-License-Identifier: Apache-2.0 OR MIT
// What the player's menus offer, as pure functions of what the player has.

/** One line of a menu. */
export interface Choice {
  value: string;
  label: string;
}

/** A menu and its chosen line. One with a single line is not shown. */
export interface Menu {
  choices: Choice[];
  value: string;
}

/** A rung as the player knows it. */
export interface Level {
  width: number;
  height: number;
  /** Bits a second. */
  bitrate: number;
  frameRate?: number | undefined;
}

/** A rendition of sound or words as the player knows it. */
export interface Track {
  name?: string | undefined;
  lang?: string | undefined;
}

export const AUTO = '-1';
export const OFF = '-1';
const SPEEDS = [0.5, 0.75, 1, 1.25, 1.5, 1.75, 2];
/** Pictures a second from which a rung says so. */
const SMOOTH = 40;

/** The rungs from the best down, after the choice that leaves it to the player; that one names the rung of now. */
export function qualityMenu(levels: readonly Level[], playing: number, fixed: number | null): Menu {
  if (levels.length === 0) return { choices: [], value: AUTO };
  const names = levelNames(levels);
  const current = fixed === null ? names[playing] : undefined;
  const order = levels.map((_, index) => index);
  order.sort((a, b) => size(levels[b]) - size(levels[a]) || (levels[b]?.bitrate ?? 0) - (levels[a]?.bitrate ?? 0));
  return {
    choices: [
      { value: AUTO, label: current === undefined ? 'Auto' : `Auto (${current})` },
      ...order.map((index) => ({ value: String(index), label: names[index] ?? '' })),
    ],
    value: fixed === null || levels[fixed] === undefined ? AUTO : String(fixed),
  };
}

export function audioMenu(tracks: readonly Track[], chosen: number): Menu {
  return { choices: trackChoices(tracks, 'Track'), value: String(Math.max(0, chosen)) };
}

export function captionsMenu(tracks: readonly Track[], chosen: number): Menu {
  if (tracks.length === 0) return { choices: [], value: OFF };
  return { choices: [{ value: OFF, label: 'Off' }, ...trackChoices(tracks, 'Captions')], value: String(chosen < 0 ? OFF : chosen) };
}

export function speedMenu(speed: number): Menu {
  return { choices: SPEEDS.map((value) => ({ value: String(value), label: value === 1 ? 'Normal' : `${value}×` })), value: String(speed) };
}

/** The next speed up or down. */
export function nextSpeed(speed: number, up: boolean): number {
  const next = up ? SPEEDS.find((value) => value > speed) : SPEEDS.filter((value) => value < speed).at(-1);
  return next ?? speed;
}

/** Name of each rung: its shorter side, and what tells it from another of the same. */
function levelNames(levels: readonly Level[]): string[] {
  const plain = levels.map((level) => {
    if (level.height === 0) return rate(level.bitrate);
    return `${size(level)}p${(level.frameRate ?? 0) >= SMOOTH ? Math.round(level.frameRate ?? 0) : ''}`;
  });
  return plain.map((name, index) => {
    const twin = plain.filter((other) => other === name).length > 1;
    return twin && levels[index]?.height ? `${name}, ${rate(levels[index]?.bitrate ?? 0)}` : name;
  });
}

function trackChoices(tracks: readonly Track[], word: string): Choice[] {
  const names = tracks.map((track, index) => named(track) || language(track.lang) || `${word} ${index + 1}`);
  return names.map((name, index) => {
    const before = names.slice(0, index).filter((other) => other === name).length;
    return { value: String(index), label: before > 0 ? `${name} (${before + 1})` : name };
  });
}

/** The name that the file gives; one that is but the tag of its language says less than that language's name. */
function named({ name, lang }: Track): string {
  const given = name?.trim() ?? '';
  return given.toLowerCase() === lang?.toLowerCase() ? '' : given;
}

/** A language's name in itself; empty when the tag names none. */
function language(tag: string | undefined): string {
  if (!tag || tag === 'und') return '';
  try {
    return new Intl.DisplayNames([tag, 'en'], { type: 'language', fallback: 'none' }).of(tag) ?? tag;
  } catch {
    return tag;
  }
}

function size(level: Level | undefined): number {
  return level ? Math.min(level.width || level.height, level.height) : 0;
}

function rate(bitrate: number): string {
  return bitrate >= 1_000_000 ? `${(bitrate / 1_000_000).toFixed(1)} Mbit/s` : `${Math.round(bitrate / 1000)} kbit/s`;
}
