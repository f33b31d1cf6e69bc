// SPDX-License-Identifier: Apache-2.0 OR MIT
// Jobs of workers and operations at the provider, in words: what they do, and to what.

import { titled } from './words.ts';

const JOBS: Record<string, string> = {
  asset: 'Make renditions',
  captions: 'Publish captions',
  intake: 'Read a file that arrived',
  mp4: 'Make an MP4',
  'remove-asset': 'Remove files of an asset',
  'remove-recording': 'Remove files of a recording',
};

/** What a job does. */
export const jobWords = (kind: string): string => JOBS[kind] ?? titled(kind);

/** What an operation does: `channel.create` is “Create channel”. */
export function operationWords(kind: string): string {
  const [object = '', verb = ''] = kind.split('.');
  return titled(verb ? `${verb} ${object}` : object);
}

/** What a job or an operation is about. */
export interface About {
  kind: 'asset' | 'breakout' | 'bucket' | 'channel' | 'distribution' | 'recording';
  id: string;
  /** What is said behind its name. */
  more: string;
}

/** The object of a job; null for kinds that this page does not know, and for what is gone. */
export function jobAbout(kind: string, subject: string): About | null {
  const cut = subject.indexOf('/');
  const [head, tail] = cut < 0 ? [subject, ''] : [subject.slice(0, cut), subject.slice(cut + 1)];
  switch (kind) {
    case 'asset':
    case 'captions':
      return { kind: 'asset', id: subject, more: '' };
    case 'mp4':
      return { kind: 'recording', id: subject, more: '' };
    case 'intake':
      return { kind: 'bucket', id: head, more: tail };
    case 'remove-recording':
      return { kind: 'breakout', id: head, more: tail && `session ${tail}` };
    default:
      return null;
  }
}

const OPERATED = ['breakout', 'channel', 'distribution'] as const;

/** The object of an operation. */
export function operationAbout(kind: string, subject: string): About | null {
  const of = OPERATED.find((one) => kind.startsWith(`${one}.`));
  return of ? { kind: of, id: subject, more: '' } : null;
}

/** What may be done about a job. */
export const mayTryAgain = (state: string): boolean => state === 'FAILED' || state === 'CANCELLED';
export const mayCancelJob = (state: string): boolean => state === 'QUEUED' || state === 'RUNNING';
