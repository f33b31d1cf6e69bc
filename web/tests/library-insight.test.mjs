// SPDX-License-Identifier: Apache-2.0 OR MIT
// Insight and people: every page is looked at in both themes, wide and on a phone. `SCREENSHOTS=folder` keeps pictures, `ONLY=name,…` chooses.

import { describePages } from './support/library-page.mjs';

/** Pages with words that are there once they are read. */
const PAGES = [
  ['usage', '/usage', 'Most bytes'],
  ['usage-renditions', '/usage?by=rendition', 'Most viewer-minutes'],
  ['charges', '/charges', 'Dearest'],
  ['prices', '/charges?tab=prices', 'Own hardware'],
  ['analytics', '/analytics', 'How well it played'],
  ['activity', '/activity', 'Failed over'],
  ['audit', '/audit', 'site builder'],
  ['users', '/users', 'Olga Reis'],
  ['user', '/users/u-olga', 'breakout'],
  ['sessions', '/sessions?tab=all', 'Firefox on Linux'],
  ['tokens', '/tokens', 'site builder'],
  ['settings', '/settings', 'Shown as'],
  ['settings-configuration', '/settings?tab=configuration', 'edge.domain_suffix'],
  ['settings-records', '/settings?tab=records', 'Access keys'],
  ['settings-about', '/settings?tab=about', 'anabranch restore'],
];
/** The same, with nothing there. */
const EMPTY = [
  ['usage-empty', '/usage', 'Nothing was delivered in this time'],
  ['charges-empty', '/charges', 'No charge in'],
  ['activity-empty', '/activity', 'Nothing has happened yet'],
];

describePages('insight and people', PAGES, EMPTY);
