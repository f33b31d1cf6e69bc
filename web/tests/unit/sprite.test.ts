// SPDX-License-Identifier: Apache-2.0 OR MIT
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseSprite, tileAt } from '../../src/player/sprite.ts';

const ADDRESS = 'http://127.0.0.1:8888/d/E1/assets/m1/Thumbnails/sprite.vtt?Policy=p&Signature=s_~&Key-Pair-Id=K1';
const TEXT = `WEBVTT

00:00:00.000 --> 00:00:05.000
sprite_01.jpg#xywh=0,0,160,90

00:00:05.000 --> 00:00:10.000
sprite_01.jpg#xywh=160,0,160,90

01:00:10.000 --> 01:00:15.500
sprite_02.jpg#xywh=0,90,160,90
`;

test('tiles are beside the file, and its signature opens them', () => {
  const tiles = parseSprite(TEXT, ADDRESS);
  assert.equal(tiles.length, 3);
  assert.deepEqual(tiles[1], {
    start: 5,
    end: 10,
    url: 'http://127.0.0.1:8888/d/E1/assets/m1/Thumbnails/sprite_01.jpg?Policy=p&Signature=s_~&Key-Pair-Id=K1',
    x: 160,
    y: 0,
    width: 160,
    height: 90,
  });
  assert.deepEqual([tiles[2]?.start, tiles[2]?.end, tiles[2]?.y], [3610, 3615.5, 90]);
});

test('the signature goes nowhere else', () => {
  const [tile] = parseSprite('WEBVTT\n\n00:00.000 --> 00:05.000\nhttps://elsewhere.example/a.jpg#xywh=0,0,1,1\n', ADDRESS);
  assert.equal(tile?.url, 'https://elsewhere.example/a.jpg');
});

test('names, settings and other line ends are read over; what is not understood is left out', () => {
  const text = 'WEBVTT\r\n\r\nNOTE x\r\n\r\ncue 1\r\n00:00.000 --> 00:05.000 align:start\r\ns.jpg#xywh=pixel:1,2,3,4\r\n\r\n';
  assert.deepEqual(parseSprite(text, ADDRESS).map(({ x, y, width, height }) => [x, y, width, height]), [[1, 2, 3, 4]]);
  for (const bad of ['', 'WEBVTT', '00:05.000 --> 00:01.000\ns.jpg#xywh=0,0,1,1', '00:00.000 --> 00:01.000\ns.jpg', '00:00.000 --> 00:01.000\ns.jpg#xywh=0,0,0,1']) {
    assert.deepEqual(parseSprite(bad, ADDRESS), [], bad);
  }
  assert.deepEqual(parseSprite(TEXT, 'not an address'), []);
});

test('each moment has the tile that began last', () => {
  const tiles = parseSprite(TEXT, ADDRESS);
  const x = (time: number) => tileAt(tiles, time)?.x;
  assert.deepEqual([x(0), x(4.99), x(5), x(60), x(-1)], [0, 0, 160, 160, 0]);
  assert.equal(tileAt(tiles, 99_999)?.y, 90);
  assert.equal(tileAt([], 1), null);
});
