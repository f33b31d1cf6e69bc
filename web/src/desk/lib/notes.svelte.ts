// SPDX-License-Identifier: Apache-2.0 OR MIT
// What the desk says in passing (toasts), and what it asks before something that hurts.

import { asProblem, Problem } from './api.ts';

/** How long words stay that ask for nothing. */
const SHORT_MS = 5_000;
/** How long something can be undone. */
const UNDO_MS = 9_000;
const MAX_TOASTS = 4;

export interface Toast {
  id: number;
  tone: 'good' | 'trouble' | 'quiet';
  words: string;
  more: string;
  undo: (() => unknown) | null;
}

export interface Question {
  title: string;
  /** What will happen, in sentences. */
  words: string;
  /** Verb of the button, such as “Delete channel”. */
  action: string;
  /** Words of the button that does nothing; “Cancel” unless that could be taken for the action. */
  no?: string | undefined;
  danger?: boolean | undefined;
  /** The name that has to be typed first, where it hurts. */
  name?: string | undefined;
  /** Asks for a reason, that goes into the history. */
  reason?: 'optional' | undefined;
}

class Notes {
  toasts = $state<Toast[]>([]);
  question = $state.raw<(Question & { answer: (given: { reason: string } | null) => void }) | null>(null);
  private count = 0;

  say(words: string, more: Partial<Omit<Toast, 'id' | 'words'>> = {}): void {
    const toast: Toast = { id: ++this.count, tone: 'good', words, more: '', undo: null, ...more };
    this.toasts = [...this.toasts, toast].slice(-MAX_TOASTS);
    if (toast.tone !== 'trouble') window.setTimeout(() => this.drop(toast.id), toast.undo ? UNDO_MS : SHORT_MS);
  }

  sayProblem(error: unknown, doing = ''): void {
    const problem = asProblem(error);
    this.say(doing ? `${doing}: ${problem.message}` : problem.message, { tone: 'trouble', more: problem.next });
  }

  drop(id: number): void {
    this.toasts = this.toasts.filter((toast) => toast.id !== id);
  }

  /** Asks; null is no, and an object is yes. */
  confirm(question: Question): Promise<{ reason: string } | null> {
    this.question?.answer(null);
    return new Promise((resolve) => {
      this.question = {
        ...question,
        answer: (given) => {
          this.question = null;
          resolve(given);
        },
      };
    });
  }
}

export const notes = new Notes();
export const confirm = (question: Question) => notes.confirm(question);

/** Does something that a button asked for, and says how it went; the answer is undefined when it failed. */
export async function act<T>(
  work: () => Promise<T>,
  said: { done?: string; doing?: string; undo?: () => unknown } = {},
): Promise<T | undefined> {
  try {
    const answer = await work();
    if (said.done) notes.say(said.done, { undo: said.undo ?? null });
    return answer ?? (true as T);
  } catch (error) {
    // The log-in page says it already.
    if (!(error instanceof Problem && error.status === 401)) notes.sayProblem(error, said.doing);
    return undefined;
  }
}
