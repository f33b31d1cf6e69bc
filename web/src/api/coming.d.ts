// SPDX-License-Identifier: Apache-2.0 OR MIT
// Names for people's types of the API document.

import type { components } from './schema.d.ts';

type Schemas = components['schemas'];
export type Role = 'owner' | 'admin' | 'operator' | 'viewer';
export type Me = Schemas['Me'];
export type LoginWays = Schemas['LoginWays'];
export type User = Schemas['User'];
export type Session = Schemas['Session'];
export type Audit = Schemas['Audit'];
