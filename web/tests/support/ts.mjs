// SPDX-License-Identifier: Apache-2.0 OR MIT
// `node --import ./tests/support/ts.mjs`: lets Node 20 import the sources as they are.
import { register } from 'node:module';

register('./ts-hooks.mjs', import.meta.url);
