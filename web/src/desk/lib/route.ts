// SPDX-License-Identifier: Apache-2.0 OR MIT
import type { Component } from 'svelte';
import type { IconName } from './icons.ts';

export type Group = 'Live' | 'Library' | 'Delivery' | 'Insight' | 'Account';
export const GROUPS: Group[] = ['Live', 'Library', 'Delivery', 'Insight', 'Account'];

export interface Route {
  /** Address with `:names`, which the page is given as properties. */
  path: string;
  /** Its name in the navigation and the palette; pages of one object have none. */
  text?: string;
  icon?: IconName;
  group?: Group;
  /** What one must be able to do to see it. */
  needs?: string;
  /** Other words by which the palette finds it. */
  words?: string;
  load: () => Promise<{ default: Component<Record<string, string>> }>;
}

/** A page that takes its parameters as text properties. */
export const page = (load: () => Promise<{ default: Component<any> }>) => load as Route['load'];
