// SPDX-License-Identifier: Apache-2.0 OR MIT
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { audioMenu, AUTO, captionsMenu, nextSpeed, OFF, qualityMenu, speedMenu } from '../../src/player/menus.ts';

const level = (width: number, height: number, bitrate: number, frameRate = 25) => ({ width, height, bitrate, frameRate });

test('qualities go from the best down, and auto names the one of now', () => {
  const levels = [level(640, 360, 800_000), level(1920, 1080, 5_000_000), level(1280, 720, 2_500_000)];
  const menu = qualityMenu(levels, 2, null);
  assert.deepEqual(menu.choices.map(({ label }) => label), ['Auto (720p)', '1080p', '720p', '360p']);
  assert.deepEqual(menu.choices.map(({ value }) => value), [AUTO, '1', '2', '0']);
  assert.equal(menu.value, AUTO);
  const fixed = qualityMenu(levels, 2, 0);
  assert.deepEqual([fixed.value, fixed.choices[0]?.label], ['0', 'Auto']);
  assert.equal(qualityMenu(levels, -1, null).choices[0]?.label, 'Auto');
  assert.deepEqual(qualityMenu([], -1, null).choices, []);
});

test('a rung is named by its shorter side, and by what tells it from another', () => {
  const portrait = qualityMenu([level(720, 1280, 1)], 0, null);
  assert.equal(portrait.choices[1]?.label, '720p');
  const smooth = qualityMenu([level(1280, 720, 2e6, 59.94), level(1280, 720, 1e6)], 0, null);
  assert.deepEqual(smooth.choices.map(({ label }) => label), ['Auto (720p60)', '720p60', '720p']);
  const twins = qualityMenu([level(640, 360, 400_000), level(640, 360, 1_200_000)], 0, null);
  assert.deepEqual(twins.choices.map(({ label }) => label), ['Auto (360p, 400 kbit/s)', '360p, 1.2 Mbit/s', '360p, 400 kbit/s']);
  assert.equal(qualityMenu([level(0, 0, 96_000)], 0, null).choices[1]?.label, '96 kbit/s');
});

test('tracks have the name of the file, of their language, or a number', () => {
  const menu = audioMenu([{ name: 'Commentary', lang: 'en' }, { name: '', lang: 'de' }, { lang: 'und' }, { name: 'Commentary' }], 1);
  assert.deepEqual(menu.choices.map(({ label }) => label), ['Commentary', 'Deutsch', 'Track 3', 'Commentary (2)']);
  assert.equal(menu.value, '1');
  assert.equal(audioMenu([{ name: 'eng', lang: 'eng' }], 0).choices[0]?.label, 'English');
  assert.equal(audioMenu([{ lang: '!' }], -1).value, '0');
});

test('captions can be off, which they are at first', () => {
  const menu = captionsMenu([{ name: 'English', lang: 'en' }], -1);
  assert.deepEqual([menu.choices.map(({ label }) => label), menu.value], [['Off', 'English'], OFF]);
  assert.equal(captionsMenu([{ name: 'English' }], 0).value, '0');
  assert.deepEqual(captionsMenu([], -1).choices, []);
});

test('speeds go up and down to their ends', () => {
  assert.deepEqual([nextSpeed(1, true), nextSpeed(1, false), nextSpeed(2, true), nextSpeed(0.5, false)], [1.25, 0.75, 2, 0.5]);
  assert.equal(speedMenu(1).choices.find(({ value }) => value === '1')?.label, 'Normal');
});
