// SPDX-License-Identifier: Apache-2.0 OR MIT

export interface Leaf {
  /** Dotted key, as the configuration file has it. */
  key: string;
  value: string;
  /** Where it comes from; empty for a default. */
  source: string;
}

/** Every key of a tree of settings with its value in one line. */
export function leaves(tree: unknown, sources: unknown): Leaf[] {
  const from = (typeof sources === 'object' && sources !== null ? sources : {}) as Record<string, unknown>;
  const found: Leaf[] = [];
  const walk = (value: unknown, key: string): void => {
    if (typeof value === 'object' && value !== null && !Array.isArray(value) && Object.keys(value).length > 0) {
      for (const [name, inner] of Object.entries(value)) walk(inner, key ? `${key}.${name}` : name);
    } else found.push({ key, value: typeof value === 'string' ? value : JSON.stringify(value ?? null), source: String(from[key] ?? '') });
  };
  walk(tree ?? {}, '');
  return found.filter(({ key }) => key !== '');
}
