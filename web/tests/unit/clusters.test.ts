// SPDX-License-Identifier: Apache-2.0 OR MIT
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { asMs, blankRegion, hasToken, regionFields, regionGiven, regionRefused, regionWithoutToken, tokensGiven, withoutPlace, words } from '../../src/desk/lib/clusters.ts';
import { cluster } from '../support/clusters.ts';

const east = { ...blankRegion(), name: 'east', origin: 'https://a.example.com/x.m3u8' };
const west = { ...blankRegion(), name: 'west', origin: 'ftp://b.example.com/x.m3u8', peer: 'https://10.0.0.7', token: 'secret' };

test('a region that was read is given back as it was, without its token', () => {
  const [north, south] = cluster().regions;
  assert.ok(north && south);
  assert.deepEqual(regionGiven(regionFields(south)), {
    name: 'south',
    origin_url: south.origin_url,
    cdn_url: south.cdn_url,
    peer: { url: 'https://control-south.example.com' },
  });
  const served = { ...north, cdn_url: north.origin_url, distribution: 'E1', paths: ['/live/*', '/more/*'] };
  assert.deepEqual(regionGiven(regionFields(served)), { name: 'north', origin_url: north.origin_url, distribution: 'E1', paths: ['/live/*', '/more/*'] });
});

test('what is typed is trimmed, and what is empty is left out', () => {
  assert.deepEqual(regionGiven({ ...west, name: ' west ', cdn: '  ' }), { name: 'west', origin_url: west.origin, peer: { url: west.peer, token: 'secret' } });
  assert.deepEqual(words(' /a  /b\n/c '), ['/a', '/b', '/c']);
  assert.deepEqual(tokensGiven([{ region: ' west ', token: ' t ' }, { region: '', token: 'x' }, { region: 'east', token: '' }]), { west: 't' });
  assert.equal(asMs(1.2345), 1_235);
  assert.equal(asMs(0), 0);
  assert.equal(asMs(null), undefined);
});

test('headers are given by name, and those without a value stay as they are', () => {
  const region = { ...cluster().regions[0]!, headers: ['x-key', 'x-other'] };
  assert.equal(regionFields(region).headers, 'x-key\nx-other');
  assert.deepEqual(regionGiven(regionFields(region), true).headers, { 'x-key': null, 'x-other': null });
  assert.deepEqual(regionGiven({ ...east, headers: ' X-Key:  a:b \n\nX-Other' }).headers, { 'X-Key': 'a:b', 'X-Other': null });
  assert.deepEqual(regionGiven({ ...east, headers: ' ' }, true).headers, {}, 'all are taken away');
  assert.equal('headers' in regionGiven(east), false);
});

test('a token is kept only for the same name at the same address', () => {
  const fields = regionFields(cluster().regions[1]!);
  assert.equal(hasToken(fields, cluster()), true);
  assert.equal(hasToken({ ...fields, peer: 'https://elsewhere.example.com' }, cluster()), false);
  assert.equal(hasToken({ ...fields, name: 'other' }, cluster()), false);
  assert.equal(hasToken(fields, null), false);
});

test('a refusal is said at the region that it is about', () => {
  const regions = [east, west];
  const origin = ({ origin: given }: typeof east) => given;
  assert.equal(regionRefused('The URL of a playlist begins with http:// or https://: "ftp://b.example.com/x.m3u8".', regions, origin), 1);
  assert.equal(regionRefused('Not a URL of a playlist: "ftp://b.example".', regions, origin), 1, 'a long one is told by its beginning');
  assert.equal(regionRefused('Two regions have the same name: "west".', [west, east, west], ({ name }) => name), 2, 'the later one of two');
  assert.equal(regionRefused('Two regions have the same distribution: give each region its own, or paths of its own: "west".', regions, ({ name }) => name), 1);
  assert.equal(regionRefused('Peers may not have this address: 10.0.0.7.', regions, ({ peer }) => peer), 1);
  assert.equal(regionRefused('The URL of a peer cannot be read: relative URL without a base.', regions, ({ peer }) => peer), 1, 'the only one that has any');
  assert.equal(regionRefused('It is wrong.', regions, origin), 0);
  const placed = 'Regions[1].origin_url of region "west": not a URL of a playlist: "https://a.example.com/x.m3u8".';
  assert.equal(regionRefused(placed, regions, origin), 1, 'the place is told');
  assert.equal(withoutPlace(placed), 'Not a URL of a playlist: "https://a.example.com/x.m3u8".');
  assert.equal(withoutPlace('Regions[1].name: two regions have the same name: "west".'), 'Two regions have the same name: "west".');
  assert.equal(withoutPlace('It is wrong.'), 'It is wrong.');
  assert.equal(regionWithoutToken('Region "south" is an instance of its own: give a token.'), 'south');
  assert.equal(regionWithoutToken('Something else.'), '');
});
