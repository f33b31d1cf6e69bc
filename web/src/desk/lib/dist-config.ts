// SPDX-License-Identifier: Apache-2.0 OR MIT
// CloudFront's DistributionConfig: its origins and behaviors as rows of tables, the simplest one from a form, and where in its text a
// field stands that the server refused.

type Tree = { readonly [key: string]: unknown };

const tree = (value: unknown): Tree => (typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Tree) : {});
const text = (value: unknown): string => (typeof value === 'string' ? value : typeof value === 'number' ? String(value) : '');
const items = (value: unknown): unknown[] => {
  const list = tree(value)['Items'];
  return Array.isArray(list) ? list : [];
};

export interface OriginRow {
  id: string;
  domain: string;
  path: string;
  kind: 'bucket' | 'custom';
  protocol: string;
  shield: string;
  /** How it is reached, in words. */
  words: string;
  groups: string[];
}

export function originRows(config: unknown): OriginRow[] {
  const groups = items(tree(config)['OriginGroups']).map(tree);
  return items(tree(config)['Origins']).map((item) => {
    const origin = tree(item);
    const custom = origin['CustomOriginConfig'] ? tree(origin['CustomOriginConfig']) : null;
    const shield = tree(origin['OriginShield']);
    const id = text(origin['Id']);
    const attempts = text(origin['ConnectionAttempts']) || '3';
    const connect = text(origin['ConnectionTimeout']) || '10';
    const read = custom && text(custom['OriginReadTimeout']);
    return {
      id,
      domain: text(origin['DomainName']),
      path: text(origin['OriginPath']),
      kind: custom ? 'custom' : 'bucket',
      protocol: custom ? protocolWords(custom) : 'Bucket',
      shield: shield['Enabled'] === true ? text(shield['OriginShieldRegion']) || 'on' : '',
      words: `${attempts} × ${connect} s to connect${read ? `, ${read} s to answer` : ''}`,
      groups: groups.filter((group) => items(group['Members']).some((member) => text(tree(member)['OriginId']) === id)).map((group) => text(group['Id'])),
    };
  });
}

function protocolWords(custom: Tree): string {
  const policy = text(custom['OriginProtocolPolicy']);
  const http = text(custom['HTTPPort']) || '80';
  const https = text(custom['HTTPSPort']) || '443';
  if (policy === 'http-only') return `HTTP ${http}`;
  if (policy === 'match-viewer') return `HTTP ${http} or HTTPS ${https}, as the viewer`;
  return `HTTPS ${https}`;
}

export interface BehaviorRow {
  /** Which comes first, from 0; the default is last. */
  order: number;
  pattern: string;
  isDefault: boolean;
  target: string;
  viewers: string;
  methods: string;
  policy: string;
  /** Whether only signed requests are let in. */
  signed: boolean;
  keyGroups: string[];
  compress: boolean;
}

const VIEWERS: Readonly<Record<string, string>> = {
  'allow-all': 'HTTP and HTTPS',
  'https-only': 'HTTPS only',
  'redirect-to-https': 'HTTP is sent to HTTPS',
};

/** Managed cache policies by their well-known ids (public, of the provider's documentation). */
const POLICIES: Readonly<Record<string, string>> = {
  '658327ea-f89d-4fab-a63d-7e88639e58f6': 'CachingOptimized',
  'b2884449-e4de-46a7-ac36-70bc7f1ddd6d': 'CachingOptimizedForUncompressedObjects',
  '4135ea2d-6df8-44a3-9df3-4b5a84be39ad': 'CachingDisabled',
  '83da9c7e-98b4-4e11-a168-04f0df8e2c65': 'UseOriginCacheControlHeaders',
  '4cc15a8a-d715-48a4-82b8-cc0b614638fe': 'UseOriginCacheControlHeaders-QueryStrings',
  '08627262-05a9-4f76-9ded-b50ca2e3a84f': 'Elemental-MediaPackage',
  '2e54312d-136d-493c-8eb9-b001f22f67d2': 'Amplify',
};

function policyName(id: string): string {
  return POLICIES[id] ?? id;
}

export function behaviorRows(config: unknown): BehaviorRow[] {
  const listed = items(tree(config)['CacheBehaviors']);
  return [...listed, tree(config)['DefaultCacheBehavior']].map((item, order) => {
    const behavior = tree(item);
    const isDefault = order === listed.length;
    const groups = tree(behavior['TrustedKeyGroups']);
    const signed = groups['Enabled'] === true;
    return {
      order,
      pattern: isDefault ? '*' : text(behavior['PathPattern']),
      isDefault,
      target: text(behavior['TargetOriginId']),
      viewers: VIEWERS[text(behavior['ViewerProtocolPolicy'])] ?? text(behavior['ViewerProtocolPolicy']),
      methods: items(behavior['AllowedMethods']).map(text).join(', '),
      policy: behavior['CachePolicyId'] ? policyName(text(behavior['CachePolicyId'])) : legacyWords(behavior),
      signed,
      keyGroups: signed ? items(groups).map(text) : [],
      compress: behavior['Compress'] === true,
    };
  });
}

function legacyWords(behavior: Tree): string {
  const [least, usual, most] = ['MinTTL', 'DefaultTTL', 'MaxTTL'].map((name) => text(behavior[name]));
  return usual ? `${least || '0'} to ${most || '∞'} s, ${usual} s if the origin says nothing` : 'As the origin says';
}

export interface SimpleForm {
  domain: string;
  protocol: 'https-only' | 'http-only' | 'match-viewer';
  port: number;
  path: string;
  policy: string;
  aliases: string;
  comment: string;
  enabled: boolean;
  keyGroup: string;
  /** The creator's own mark; the same one twice makes one distribution. */
  reference: string;
}

/** The least DistributionConfig that serves an origin. */
export function simpleConfig(form: SimpleForm): Record<string, unknown> {
  const aliases = form.aliases.split(/[\s,]+/).filter(Boolean);
  const path = form.path.trim().replace(/\/+$/, '');
  return {
    CallerReference: form.reference,
    Comment: form.comment.trim(),
    Enabled: form.enabled,
    ...(aliases.length > 0 ? { Aliases: { Quantity: aliases.length, Items: aliases } } : {}),
    Origins: {
      Quantity: 1,
      Items: [
        {
          Id: 'origin',
          DomainName: form.domain.trim(),
          ...(path ? { OriginPath: path.startsWith('/') ? path : `/${path}` } : {}),
          CustomOriginConfig: {
            HTTPPort: form.protocol === 'https-only' ? 80 : form.port,
            HTTPSPort: form.protocol === 'https-only' ? form.port : 443,
            OriginProtocolPolicy: form.protocol,
          },
        },
      ],
    },
    DefaultCacheBehavior: {
      TargetOriginId: 'origin',
      ViewerProtocolPolicy: 'allow-all',
      CachePolicyId: form.policy,
      ...(form.keyGroup ? { TrustedKeyGroups: { Enabled: true, Quantity: 1, Items: [form.keyGroup] } } : {}),
    },
  };
}

/** A place in a text. Lines and columns count from 1. */
export interface Place {
  from: number;
  to: number;
  line: number;
  column: number;
}

/** Steps of `config.Origins.Items[0].Id`, without the first word that is the request's own. */
export function fieldSteps(field: string): (string | number)[] {
  const path = field.replace(/^config\.?/, '');
  return [...path.matchAll(/([^.[\]]+)|\[(\d+)\]/g)].map(([, word, index]) => (index === undefined ? (word ?? '') : Number(index)));
}

/**
 * Where the value stands that the field names; the nearest one above it where the field is missing. Null when the text is no JSON.
 */
export function placeOf(source: string, field: string): Place | null {
  try {
    JSON.parse(source);
  } catch {
    return null;
  }
  const reader = new Reader(source);
  const { from, to } = reader.find(fieldSteps(field));
  return { from, to, ...lineOf(source, from) };
}

/** Line and column of an offset. */
function lineOf(source: string, offset: number): { line: number; column: number } {
  const before = source.slice(0, offset);
  const line = before.split('\n').length;
  return { line, column: offset - before.lastIndexOf('\n') };
}

/** Why a text is no JSON, and where; null when it is. */
export function jsonFault(source: string): { words: string; place: Place | null } | null {
  try {
    const value: unknown = JSON.parse(source);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return null;
    return { words: 'The configuration is an object: it begins with {.', place: null };
  } catch (error) {
    const message = error instanceof Error ? error.message : '';
    const given = /position (\d+)/.exec(message);
    const offset = given ? Number(given[1]) : source.length;
    const { line, column } = lineOf(source, offset);
    return { words: `This is not JSON: line ${line}, column ${column}.`, place: { from: offset, to: Math.min(source.length, offset + 1), line, column } };
  }
}

/** Walks JSON that is known to be right. */
class Reader {
  private at = 0;

  constructor(private readonly source: string) {}

  find(steps: readonly (string | number)[]): { from: number; to: number } {
    this.space();
    const from = this.at;
    const [step, ...rest] = steps;
    const opener = this.source[this.at];
    if (step !== undefined && ((opener === '{' && typeof step === 'string') || (opener === '[' && typeof step === 'number'))) {
      this.at += 1;
      for (let index = 0; ; index += 1) {
        this.space();
        if (this.source[this.at] === '}' || this.source[this.at] === ']') break;
        if (this.source[this.at] === ',') {
          this.at += 1;
          this.space();
        }
        let key: string | number = index;
        if (opener === '{') {
          const start = this.at;
          this.skipText();
          key = JSON.parse(this.source.slice(start, this.at)) as string;
          this.space();
          this.at += 1;
        }
        if (key === step) return this.find(rest);
        this.skip();
      }
      // It is missing here: the brace that should have it.
      return { from, to: from + 1 };
    }
    this.skip();
    return { from, to: this.at };
  }

  private space(): void {
    while (/\s/.test(this.source[this.at] ?? 'x')) this.at += 1;
  }

  private skip(): void {
    this.space();
    const opener = this.source[this.at];
    if (opener === '"') this.skipText();
    else if (opener === '{' || opener === '[') {
      let depth = 0;
      do {
        const letter = this.source[this.at];
        if (letter === '"') {
          this.skipText();
          continue;
        }
        if (letter === '{' || letter === '[') depth += 1;
        if (letter === '}' || letter === ']') depth -= 1;
        this.at += 1;
      } while (depth > 0);
    } else while (!/[\s,}\]]/.test(this.source[this.at] ?? ',')) this.at += 1;
  }

  private skipText(): void {
    this.at += 1;
    while (this.source[this.at] !== '"') this.at += this.source[this.at] === '\\' ? 2 : 1;
    this.at += 1;
  }
}
