// SPDX-License-Identifier: Apache-2.0 OR MIT
// What the watch page says when there is no picture, by the reason.

import type { Playback } from '../player/engine.ts';

/** Why the server does not let this viewer in; `closed` when it does not say. */
export type Refusal = 'closed' | 'expired' | 'early' | 'address' | 'wrong' | 'revoked' | 'devices' | 'removed' | 'missing';

/** Words with their colour; the words say the same. */
export interface Words {
  tone: 'quiet' | 'waiting' | 'live' | 'ended' | 'trouble';
  badge: string;
  /** One sentence; empty when the picture speaks for itself. */
  headline: string;
  /** What the viewer may do, or what happens by itself. */
  hint: string;
}

const NEW_LINK = 'Ask for a new one.';

export const unreachable: Words = {
  tone: 'trouble',
  badge: 'No connection',
  headline: 'The server does not answer.',
  hint: 'This page keeps trying and goes on by itself.',
};

export const refusal: Record<Refusal, Words> = {
  closed: closed('This link has expired or is not for this breakout.', NEW_LINK),
  expired: { ...closed('This link has expired.', NEW_LINK), badge: 'Expired' },
  early: {
    tone: 'waiting',
    badge: 'Too early',
    headline: 'This link does not open yet.',
    hint: 'This page opens by itself when it does.',
  },
  address: closed('This link is for another network.', 'Open it where it was made for, or ask for a new one.'),
  wrong: closed('This link does not open this breakout.', 'Check that the whole link was copied, or ask for a new one.'),
  revoked: { ...closed('This link was withdrawn.', 'Ask who gave it to you for a new one.'), badge: 'Withdrawn' },
  devices: {
    tone: 'waiting',
    badge: 'Another device',
    headline: 'You are watching on another device.',
    hint: 'Your link is for a limited number of devices at a time. If you watch here, it stops there.',
  },
  removed: { ...closed('You were removed from this breakout.', 'Ask who gave you the link.'), badge: 'Removed' },
  missing: {
    tone: 'trouble',
    badge: 'Not found',
    headline: 'There is no such breakout.',
    hint: 'Check that the whole link was copied, or ask for a new one.',
  },
};

/** Why nothing can be played at all; null when it can. */
export function fatalWords(playback: Playback): Words | null {
  switch (playback.at) {
    case 'unplayable':
      return {
        tone: 'trouble',
        badge: 'Cannot play',
        headline: `This browser cannot play the format of this breakout${playback.codecs ? ` (${playback.codecs})` : ''}.`,
        hint: 'Open the link in a current Chrome, Edge, Firefox or Safari, or on another device.',
      };
    case 'unsupported':
      return {
        tone: 'trouble',
        badge: 'Cannot play',
        headline: 'This browser cannot play live video.',
        hint: 'Open the link in a current Chrome, Edge, Firefox or Safari.',
      };
    case 'broken':
      return {
        tone: 'trouble',
        badge: 'Playback failed',
        headline: 'The picture could not be decoded.',
        hint: 'Try again, or open the link in another browser.',
      };
    default:
      return null;
  }
}

function closed(headline: string, hint: string): Words {
  return { tone: 'trouble', badge: 'No access', headline, hint };
}
