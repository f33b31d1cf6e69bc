// SPDX-License-Identifier: Apache-2.0 OR MIT

export interface Crumb {
  text: string;
  href: string;
}

/** What the shell shows of the page. */
class Chrome {
  crumbs = $state.raw<Crumb[]>([]);
  palette = $state(false);
  drawer = $state(false);
}

export const chrome = new Chrome();
