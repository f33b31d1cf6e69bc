// SPDX-License-Identifier: Apache-2.0 OR MIT
// Words that several pages of the library say.

export const deleteWords =
  'Everything that was made of it goes, its captions too, and every link to it ends at once. Its file stays in the bucket unless the bucket mirrors. This cannot be undone.';
