// SPDX-License-Identifier: Apache-2.0 OR MIT
// Links to what the server exports, files that the page makes by itself, and local times in forms.

/** The browser has read a file by then. */
const KEPT_MS = 10_000;

/** A link that downloads a list as a file. It is asked for by the log-in's cookie, so it needs no secret. */
export function exportLink(path: string, query: Readonly<Record<string, string | number | null | undefined>>, format: 'csv' | 'json'): string {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== null && value !== undefined && value !== '') params.set(name, String(value));
  params.set('format', format);
  return `${path}?${params.toString()}`;
}

/** A file name of what is exported: `anabranch-usage-breakout-2026-11.csv`. */
export function exportName(parts: readonly (string | null | undefined)[], format: 'csv' | 'json'): string {
  const words = ['anabranch', ...parts].filter(Boolean).map((part) => String(part).replace(/[^\w.-]+/g, '-'));
  return `${words.join('-')}.${format}`;
}

/** Rows as CSV (RFC 4180), for what the page has computed by itself. Cells that a spreadsheet would run as a formula are quoted as text. */
export function csv(header: readonly string[], rows: readonly (readonly (string | number | null)[])[]): string {
  const cell = (value: string | number | null) => {
    const text = value === null ? '' : String(value);
    const tame = typeof value === 'string' && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
    return /[",\r\n]/.test(tame) ? `"${tame.replaceAll('"', '""')}"` : tame;
  };
  return [header, ...rows].map((row) => row.map(cell).join(',')).join('\r\n') + '\r\n';
}

/** Gives the rows to the operator as a CSV file of this name. */
export function saveCsv(name: string, header: readonly string[], rows: readonly (readonly (string | number | null)[])[]): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([csv(header, rows)], { type: 'text/csv' }));
  link.download = name;
  link.click();
  window.setTimeout(() => URL.revokeObjectURL(link.href), KEPT_MS);
}

/** A local `datetime-local` value of an RFC 3339 time, and back. */
export function toLocalInput(at: string | null | undefined): string {
  const time = at ? new Date(at) : null;
  if (!time || Number.isNaN(time.getTime())) return '';
  const two = (part: number) => String(part).padStart(2, '0');
  return `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}T${two(time.getHours())}:${two(time.getMinutes())}`;
}

export function fromLocalInput(value: string): string | null {
  const time = value ? new Date(value) : null;
  return !time || Number.isNaN(time.getTime()) ? null : time.toISOString().replace('.000Z', 'Z');
}
