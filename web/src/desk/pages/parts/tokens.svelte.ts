// SPDX-License-Identifier: Apache-2.0 OR MIT
// Tokens of instances that are regions: the server knows which it needs, so a form asks for them when it says so.

import { asProblem } from '../../lib/api.ts';
import { regionWithoutToken, type RegionToken } from '../../lib/clusters.ts';

export function askingTokens() {
  let rows = $state<RegionToken[]>([]);
  return {
    get rows() {
      return rows;
    },
    set rows(now: RegionToken[]) {
      rows = now;
    },
    /** The same answer; a refusal for a token that is missing gets a row first, where the form can say it. */
    async asked<T>(answer: Promise<T>): Promise<T> {
      try {
        return await answer;
      } catch (error) {
        const { field, message } = asProblem(error);
        const region = regionWithoutToken(message);
        if (field === 'tokens' && !rows.some((row) => row.region === region)) rows = [...rows, { region, token: '' }];
        throw error;
      }
    },
  };
}
