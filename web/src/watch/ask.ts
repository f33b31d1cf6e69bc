// SPDX-License-Identifier: Apache-2.0 OR MIT
// `GET /v1/watch/{breakout}` with the page's own signature parameters, turned into an event for the state machine.

import type { BreakoutState, Event } from './state.ts';

/** Longest wait for an answer. */
const TIMEOUT_MS = 8_000;
const STATES: readonly string[] = ['waiting', 'live', 'ended'] satisfies BreakoutState[];

/** What the server says of the breakout; never throws. */
export async function askServer(breakout: string, query: string): Promise<Event> {
  try {
    const response = await fetch(`/v1/watch/${encodeURIComponent(decoded(breakout))}${query}`, {
      headers: { accept: 'application/json' },
      cache: 'no-store',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    if (response.status === 401 || response.status === 403) return { type: 'refused', why: 'expired' };
    if (response.status === 400) return { type: 'refused', why: 'expired' };
    if (response.status === 404 || response.status === 410) return { type: 'refused', why: 'missing' };
    if (!response.ok) return { type: 'unreachable' };
    return answered(await response.json());
  } catch {
    return { type: 'unreachable' };
  }
}

/** Reads the body; an answer that is not one counts as none. */
export function answered(body: unknown): Event {
  if (typeof body !== 'object' || body === null) return { type: 'unreachable' };
  const { name, state, playlist_url: playlistUrl, problem } = body as Record<string, unknown>;
  if (typeof state !== 'string' || !STATES.includes(state)) return { type: 'unreachable' };
  return {
    type: 'answered',
    name: typeof name === 'string' ? name : '',
    state: state as BreakoutState,
    playlistUrl: typeof playlistUrl === 'string' ? playlistUrl : null,
    problem: problemText(problem),
  };
}

function problemText(problem: unknown): string | null {
  if (typeof problem === 'string') return problem === '' ? null : problem;
  if (typeof problem !== 'object' || problem === null) return null;
  const { detail, title } = problem as Record<string, unknown>;
  return typeof detail === 'string' ? detail : typeof title === 'string' ? title : null;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
