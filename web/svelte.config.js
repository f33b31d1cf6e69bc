// SPDX-License-Identifier: Apache-2.0 OR MIT
export default { compilerOptions: { runes: true } };
