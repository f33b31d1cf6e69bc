// SPDX-License-Identifier: Apache-2.0 OR MIT
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { moneyExact, moneySum, remaining, sumMoney, until } from '../../src/desk/lib/amounts.ts';
import { behaviorRows, fieldSteps, jsonFault, originRows, placeOf, simpleConfig } from '../../src/desk/lib/dist-config.ts';
import { csv, exportLink, exportName, fromLocalInput, toLocalInput } from '../../src/desk/lib/export.ts';
import { around, bars, fineSeconds, finer, grainOf, grainWords } from '../../src/desk/lib/histogram.ts';
import { assetWord, embedCode, leftWords, mayCancel, mayRetry, rungRows, type Made } from '../../src/desk/lib/making.ts';
import { isMonth, lastMonths, monthWords, rangeBy, rangeOf, stepFor } from '../../src/desk/lib/months.ts';
import type { LogEntry } from '../../src/desk/lib/live.svelte.ts';
import { fits, joined } from '../../src/desk/lib/logs.ts';
import { dropIndex, moved } from '../../src/desk/lib/ordering.ts';
import { grantOf, matrix, roleHas, toggled } from '../../src/desk/lib/privileges.ts';

describe('amounts', () => {
  test('money is exact', () => {
    assert.equal(moneyExact('1234567.5', 'USD'), '1,234,567.50 USD');
    assert.equal(moneyExact('0.00012300', 'USD'), '0.000123 USD');
    assert.equal(moneyExact('-3', 'EUR'), '−3.00 EUR');
    assert.equal(moneyExact(null, 'EUR'), '–');
    assert.equal(moneySum('0.995', 'USD'), '1.00 USD');
    assert.equal(moneySum('12345678901234567890.994', 'USD'), '12,345,678,901,234,567,890.99 USD');
    assert.equal(moneySum('0.0004', 'USD'), '< 0.01 USD');
    assert.equal(moneySum('0.000', 'USD'), '0.00 USD');
    assert.equal(moneySum('-1.005', 'USD'), '−1.01 USD');
    assert.equal(sumMoney(['0.1', '0.2', '-1']), '-0.7');
    assert.equal(sumMoney(['12', '3']), '15');
    assert.equal(sumMoney([]), '0');
  });

  test('what is left is said as people say it', () => {
    assert.equal(remaining(4), 'a few seconds');
    assert.equal(remaining(31), 'about 40 seconds');
    assert.equal(remaining(70), 'about a minute');
    assert.equal(remaining(600), 'about 10 minutes');
    assert.equal(remaining(4_000), 'about an hour');
    assert.equal(remaining(9_000), 'about 3 hours');
    assert.equal(remaining(null), 'time unknown');
    assert.equal(until('2026-01-01T00:00:10Z', Date.parse('2026-01-01T00:00:00Z')), 10);
    assert.equal(until('2026-01-01T00:00:00Z', Date.parse('2026-01-01T00:00:00Z')), null);
    assert.equal(until('soon', 0), null);
  });
});

describe('months', () => {
  const now = Date.parse('2026-03-31T23:59:58.700Z');

  test('a year back, over its turn', () => {
    const months = lastMonths(now);
    assert.equal(months.length, 13);
    assert.deepEqual([months[0], months[3], months[12]], ['2026-03', '2025-12', '2025-03']);
    assert.deepEqual(rangeOf('2025-12'), { from: '2025-12-01T00:00:00Z', to: '2026-01-01T00:00:00Z' });
    assert.equal(monthWords('2026-11'), 'November 2026');
    assert.ok(isMonth('2026-11') && !isMonth('2026-13') && !isMonth(null));
  });

  test('ranges', () => {
    assert.deepEqual(rangeBy('24h', now), { from: '2026-03-31T00:00:00Z', to: '2026-04-01T00:00:00Z' });
    assert.deepEqual(rangeBy('2026-02', now), rangeOf('2026-02'));
    assert.equal(rangeBy('ever', now), null);
    assert.equal(stepFor('2026-03-31T00:00:00Z', '2026-03-31T01:00:00Z'), 60);
    assert.equal(stepFor('2026-03-30T00:00:00Z', '2026-03-31T00:00:00Z'), 300);
    assert.equal(stepFor('2026-03-24T00:00:00Z', '2026-03-31T00:00:00Z'), 3600);
    assert.equal(stepFor('2025-03-31T00:00:00Z', '2026-03-31T00:00:00Z'), 86400);
  });
});

describe('exports', () => {
  test('links and names', () => {
    assert.equal(exportLink('/v1/usage', { by: 'breakout', from: null, event: '' }, 'csv'), '/v1/usage?by=breakout&format=csv');
    assert.equal(exportName(['usage', 'by breakout', null, '2026-11'], 'json'), 'anabranch-usage-by-breakout-2026-11.json');
  });

  test('cells are quoted, and none is a formula', () => {
    assert.equal(csv(['a', 'b'], [['x,y', 'say "hi"'], ['=1+1', -2]]), `a,b\r\n"x,y","say ""hi"""\r\n'=1+1,-2\r\n`);
  });

  test('local times there and back', () => {
    const at = fromLocalInput('2026-11-21T18:30');
    assert.equal(toLocalInput(at), '2026-11-21T18:30');
    assert.equal(fromLocalInput(''), null);
    assert.equal(toLocalInput('never'), '');
  });
});

describe('privileges', () => {
  test('roles', () => {
    assert.ok(roleHas('owner', 'user', 'delete') && roleHas('admin', 'user', 'delete'));
    assert.ok(roleHas('operator', 'breakout', 'add') && roleHas('operator', 'channel', 'start') && roleHas('operator', 'channel', 'view'));
    assert.ok(!roleHas('operator', 'channel', 'add') && !roleHas('operator', 'breakout', 'delete'));
    assert.ok(roleHas('viewer', 'asset', 'view') && !roleHas('viewer', 'audit', 'view') && !roleHas('viewer', 'asset', 'sign'));
  });

  test('boxes of the matrix', () => {
    const none = { added: [], removed: [] };
    assert.equal(grantOf('operator', none, 'breakout', 'start'), 'role');
    assert.equal(grantOf('operator', none, 'breakout', 'delete'), 'none');
    const added = toggled('operator', none, 'breakout', 'delete', true);
    assert.deepEqual(added, { added: ['breakout:delete'], removed: [] });
    assert.equal(grantOf('operator', added, 'breakout', 'delete'), 'added');
    const removed = toggled('operator', added, 'breakout', 'start', false);
    assert.deepEqual(removed, { added: ['breakout:delete'], removed: ['breakout:start'] });
    assert.deepEqual(toggled('operator', removed, 'breakout', 'start', true), added);
  });

  test('what the server knows more is in the matrix', () => {
    const rows = matrix(['ticket:view', 'asset:stop', 'nonsense']);
    assert.deepEqual(rows.find(({ object }) => object === 'ticket')?.actions, ['view']);
    assert.ok(rows.find(({ object }) => object === 'asset')?.actions.includes('stop'));
  });
});

describe('distribution configurations', () => {
  const form = {
    domain: ' www.example.com ',
    protocol: 'https-only' as const,
    port: 443,
    path: 'live/',
    policy: 'Managed-CachingOptimized',
    aliases: 'a.example.com, b.example.com',
    comment: '',
    enabled: true,
    keyGroup: 'g1',
    reference: 'r1',
  };

  test('the simplest, and its rows', () => {
    const config = simpleConfig(form);
    assert.deepEqual(config['Aliases'], { Quantity: 2, Items: ['a.example.com', 'b.example.com'] });
    const [origin] = originRows(config);
    assert.deepEqual([origin?.domain, origin?.path, origin?.protocol, origin?.kind], ['www.example.com', '/live', 'HTTPS 443', 'custom']);
    const [behavior] = behaviorRows(config);
    assert.ok(behavior?.isDefault && behavior.signed);
    assert.deepEqual(behavior?.keyGroups, ['g1']);
    assert.deepEqual(originRows(null), []);
  });

  test('the place of a refused field', () => {
    const source = JSON.stringify(simpleConfig(form), null, 2);
    const place = placeOf(source, 'config.Origins.Items[0].CustomOriginConfig.OriginProtocolPolicy');
    assert.equal(place && source.slice(place.from, place.to), '"https-only"');
    const missing = placeOf(source, 'config.DefaultCacheBehavior.MinTTL');
    assert.equal(missing && source.slice(missing.from, missing.to), '{');
    assert.equal(missing?.line, source.split('\n').findIndex((line) => line.includes('DefaultCacheBehavior')) + 1);
    assert.deepEqual(placeOf('{ "a\\"b": [1, {"c": "]}"}, 3] }', 'config.x'), { from: 0, to: 1, line: 1, column: 1 });
    assert.equal(placeOf('{', 'config.a'), null);
    assert.deepEqual(fieldSteps('config.Origins.Items[12].Id'), ['Origins', 'Items', 12, 'Id']);
    assert.deepEqual(fieldSteps('config'), []);
  });

  test('what is no configuration', () => {
    assert.equal(jsonFault('{"a":1}'), null);
    assert.match(jsonFault('[]')?.words ?? '', /object/);
    assert.match(jsonFault('{"a":\n x}')?.words ?? '', /line 2/);
  });
});

describe('joins', () => {
  test('year, month, day', () => {
    const year = { from: '2026-01-01T00:00:00Z', to: '2027-01-01T00:00:00Z' };
    assert.equal(grainOf(year.from, year.to), 'month');
    assert.equal(grainOf('2026-11-01T00:00:00Z', '2026-12-01T00:00:00Z'), 'day');
    assert.equal(grainOf('2026-11-01T00:00:00Z', '2026-11-02T00:00:00Z'), 'fine');
    const points = [
      { at: '2026-11-21T10:00:00Z', count: 2 },
      { at: '2026-11-21T10:01:59Z', count: 3 },
      { at: '2026-11-21T10:02:00Z', count: 4 },
      { at: 'never', count: 5 },
    ];
    const months = bars(points, year.from, year.to, 'month', 86_400);
    assert.equal(months.length, 12);
    assert.deepEqual([months[10]?.count, months[10]?.label, months[0]?.count], [9, 'Nov 26', 0]);
    const minutes = bars(points, '2026-11-21T00:00:00Z', '2026-11-22T00:00:00Z', 'fine', 60);
    assert.equal(minutes.length, 720);
    assert.deepEqual(around(minutes, 1).map(({ label, count }) => [label, count]), [['09:58', 0], ['10:00', 5], ['10:02', 4], ['10:04', 0]]);
    assert.deepEqual([finer('month'), finer('day'), finer('fine')], ['day', 'fine', null]);
    assert.equal(around(bars([], '2026-11-21T00:00:00Z', '2026-11-21T01:00:00Z', 'fine', 60)).length, 30);
  });

  test('bars are as long as what the server tells stands for, without gaps', () => {
    const points = Array.from({ length: 12 }, (_, n) => ({ at: new Date(Date.UTC(2026, 10, 21, 10, 5 * n)).toISOString(), count: n + 1 }));
    const hour = bars(points, '2026-11-21T10:00:00Z', '2026-11-21T11:00:00Z', 'fine', 300);
    assert.deepEqual(hour.map(({ count }) => count), points.map(({ count }) => count));
    assert.deepEqual(hour.slice(0, 2).map(({ label }) => label), ['10:00', '10:05']);
    assert.deepEqual([60, 120, 300, 3_600].map(fineSeconds), [120, 120, 300, 3_600]);
    assert.deepEqual([60, 300, 3_600].map((step) => grainWords('fine', step)), ['by 2 minutes', 'by 5 minutes', 'by hour']);
    assert.equal(grainWords('day', 86_400), 'by day');
  });
});

describe('assets', () => {
  const base: Made = { state: 'PROCESSING', playable: true, partial: true, progress_percent: 30, rungs: [], rungs_planned: 3 };

  test('states in words', () => {
    assert.deepEqual(assetWord(base), ['Playable, more to come', 'busy']);
    assert.deepEqual(assetWord({ ...base, state: 'FAILED', playable: false }), ['Failed', 'bad']);
    assert.deepEqual(assetWord({ ...base, state: 'LATER' }), ['LATER', 'idle']);
    assert.ok(mayCancel(base) && !mayRetry(base));
    assert.ok(mayRetry({ ...base, state: 'CANCELLED' }));
  });

  test('rungs that are there and that come', () => {
    const source = { name: 'source', width: 1280, height: 720 };
    const rows = rungRows({ ...base, rungs: [source, { name: '360', width: 640, height: 360 }] });
    assert.deepEqual(rows.map(({ name, state }) => [name, state]), [['source', 'done'], ['360', 'done'], ['Rung 2 of 3', 'coming'], ['Rung 3 of 3', 'coming']]);
    assert.equal(rungRows({ ...base, state: 'READY', rungs: [source] }).length, 1);
  });

  test('what is left', () => {
    const now = Date.parse('2026-01-01T00:00:00Z');
    assert.equal(leftWords({ ...base, expected_at: '2026-01-01T00:05:00Z' }, now), 'about 5 minutes left');
    assert.equal(leftWords({ ...base, next_try_at: '2026-01-01T00:00:05Z' }, now), 'tried again in a few seconds');
    assert.equal(leftWords({ ...base, state: 'QUEUED' }, now), 'begins when a worker is free');
    assert.equal(leftWords({ ...base, state: 'READY' }, now), null);
  });

  test('an embed code cannot be broken out of', () => {
    assert.match(embedCode('https://a/?b=1&c="><script>', 'x"y'), /src="https:\/\/a\/\?b=1&amp;c=&quot;&gt;&lt;script&gt;" title="x&quot;y"/);
  });
});

describe('order', () => {
  test('items move', () => {
    assert.deepEqual(moved(['a', 'b', 'c'], 0, 2), ['b', 'c', 'a']);
    assert.deepEqual(moved(['a', 'b', 'c'], 2, 0), ['c', 'a', 'b']);
    assert.deepEqual(moved(['a'], 0, 5), ['a']);
    assert.equal(dropIndex(0, 2, true), 2);
    assert.equal(dropIndex(0, 2, false), 1);
    assert.equal(dropIndex(2, 0, false), 0);
  });
});

describe('entries of the log', () => {
  const entry = (sequence: number, type: string, at = '2026-11-21T10:00:00.250Z') => ({ sequence, at, kind: 'stream', type, subject: { kind: 'input', id: 'in-1' }, details: {}, account: null, actor: null, breakout: 'b-1', channel: 'ch-1' }) as LogEntry;

  test('one that comes live is asked what the server filters by', () => {
    assert.ok(fits(entry(1, 'input.lost'), { type: 'input', breakout: 'b-1', sort: 'asc' }));
    assert.ok(!fits(entry(1, 'inputs.lost'), { type: 'input' }) && !fits(entry(1, 'input.lost'), { channel: 'ch-2' }));
    assert.ok(fits(entry(1, 'input.lost'), { channel: 'Main stage' }, new Map([['Main stage', 'ch-1']])));
    assert.ok(fits(entry(1, 'input.lost'), { since: '2026-11-21T10:00:00Z', until: '2026-11-21T11:00:00Z' }));
    assert.ok(!fits(entry(1, 'input.lost'), { until: '2026-11-21T10:00:00Z' }));
  });

  test('each is there once, in the order that is wanted', () => {
    const [one, two, three] = [entry(1, 'a'), entry(2, 'a'), entry(3, 'a')];
    const order = (entries: LogEntry[]) => entries.map(({ sequence }) => sequence);
    assert.deepEqual(order(joined([two, one], [three, two], 'desc', 9)), [3, 2, 1]);
    assert.deepEqual(order(joined([one, two], [three], 'asc', 2)), [1, 2]);
  });
});
