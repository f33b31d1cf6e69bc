// SPDX-License-Identifier: Apache-2.0 OR MIT
// `/v1/watch/{breakout}` with the page's own signature parameters, turned into an event for the state machine.

import type { components } from '../api/schema.d.ts';
import type { Refusal } from './phrases.ts';
import type { BreakoutState, Event, Recording } from './state.ts';

type Recorded = components['schemas']['WatchRecording'];

/** Longest wait for an answer. */
const TIMEOUT_MS = 8_000;
const STATES: readonly string[] = ['waiting', 'live', 'ended'] satisfies BreakoutState[];
/** Last part of the URN of a problem, and what it means for the page. */
const REFUSALS: Record<string, Refusal> = {
  'link-expired': 'expired',
  'link-not-yet': 'early',
  'link-address': 'address',
  'link-wrong': 'wrong',
  'link-revoked': 'revoked',
  'device-limit': 'devices',
  'session-shut-out': 'removed',
};

/** What the server says of the breakout; never throws. */
export async function askServer(breakout: string, query: string): Promise<Event> {
  try {
    const response = await ask('GET', breakout, '', query);
    if (response.status === 404 || response.status === 410) return { type: 'refused', why: 'missing' };
    if ([400, 401, 403].includes(response.status)) return { type: 'refused', why: await refusal(response) };
    if (!response.ok) return { type: 'unreachable' };
    return answered(await response.json());
  } catch {
    return { type: 'unreachable' };
  }
}

/** Another signature: its `watch_url`. For the same session (`renew`) or for one of its own (`takeover`). */
export async function anotherLink(breakout: string, what: 'renew' | 'takeover', query: string): Promise<string | 'refused' | 'unreachable'> {
  try {
    const response = await ask('POST', breakout, `/${what}`, query);
    if (response.status >= 400 && response.status < 500) return 'refused';
    const body: unknown = response.ok ? await response.json() : null;
    const url = (body as { watch_url?: unknown } | null)?.watch_url;
    return typeof url === 'string' ? url : 'unreachable';
  } catch {
    return 'unreachable';
  }
}

/** Reads the body; an answer that is not one counts as none. */
export function answered(body: unknown): Event {
  if (typeof body !== 'object' || body === null) return { type: 'unreachable' };
  const told = body as Record<string, unknown>;
  const { name, state, problem } = told;
  if (typeof state !== 'string' || !STATES.includes(state)) return { type: 'unreachable' };
  return {
    type: 'answered',
    name: text(name) ?? '',
    state: state as BreakoutState,
    playlistUrl: text(told['playlist_url']),
    problem: problemText(problem),
    curtain: told['curtain'] === 'down' ? 'down' : 'up',
    preview: told['preview'] === true,
    startsInSeconds: number(told['starts_in_seconds']),
    viewers: number(told['viewers']),
    recording: recordingOf(told['recording'] as Recorded | null | undefined),
    expiresInSeconds: number(told['expires_in_seconds']),
    refresh: number(told['refresh']),
  };
}

function recordingOf(told: Recorded | null | undefined): Recording | null {
  if (typeof told !== 'object' || told === null) return null;
  const { mp4 } = told;
  return {
    state: told.state,
    playlistUrl: told.playlist_url ?? null,
    seconds: told.duration_seconds ?? null,
    mp4: mp4 ? { state: mp4.state, percent: mp4.progress_percent, url: mp4.url ?? null, bytes: mp4.bytes ?? null } : null,
  };
}

function ask(method: string, breakout: string, what: string, query: string): Promise<Response> {
  return fetch(`/v1/watch/${encodeURIComponent(decoded(breakout))}${what}${query}`, {
    method,
    headers: { accept: 'application/json' },
    cache: 'no-store',
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
}

async function refusal(response: Response): Promise<Refusal> {
  try {
    const { type } = (await response.json()) as Record<string, unknown>;
    return (typeof type === 'string' && REFUSALS[type.split(':').at(-1) ?? '']) || 'closed';
  } catch {
    return 'closed';
  }
}

function problemText(problem: unknown): string | null {
  if (typeof problem === 'string') return problem === '' ? null : problem;
  if (typeof problem !== 'object' || problem === null) return null;
  const { detail, title } = problem as Record<string, unknown>;
  return text(detail) ?? text(title);
}

function text(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}

function number(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
