// SPDX-License-Identifier: Apache-2.0 OR MIT
// Knows a file again after the page was loaded anew: by name, size, time of change, and what its first and last bytes are. It need not
// withstand malice: the server's own hash of the whole file decides what is the same.

const SAMPLE_BYTES = 256 * 1024;

/** What of a `File` is looked at. */
export interface Source extends Blob {
  readonly name: string;
  readonly lastModified: number;
}

export async function fingerprint(file: Source): Promise<string> {
  const head = new Uint8Array(await file.slice(0, SAMPLE_BYTES).arrayBuffer());
  const tail = new Uint8Array(await file.slice(Math.max(0, file.size - SAMPLE_BYTES)).arrayBuffer());
  return [mix(new TextEncoder().encode(file.name)), file.size, file.lastModified, mix(head), mix(tail)].join('-');
}

/** 53 bits of a hash (two lanes of multiply and rotate). */
function mix(data: Uint8Array): string {
  let a = 0xdeadbeef;
  let b = 0x41c6ce57;
  for (const byte of data) {
    a = Math.imul(a ^ byte, 2654435761);
    b = Math.imul(b ^ byte, 1597334677);
  }
  a = Math.imul(a ^ (a >>> 16), 2246822507) ^ Math.imul(b ^ (b >>> 13), 3266489909);
  b = Math.imul(b ^ (b >>> 16), 2246822507) ^ Math.imul(a ^ (a >>> 13), 3266489909);
  return (4294967296 * (2097151 & b) + (a >>> 0)).toString(36);
}
