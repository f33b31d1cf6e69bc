// SPDX-License-Identifier: Apache-2.0 OR MIT
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Marks, MAX_MARKS, resumeAt, watchedShare, type Shelf } from '../../src/asset/resume.ts';

function shelf(): Shelf & { map: Map<string, string> } {
  const map = new Map<string, string>();
  return {
    map,
    getItem: (key) => map.get(key) ?? null,
    setItem: (key, value) => void map.set(key, value),
    removeItem: (key) => void map.delete(key),
    key: (index) => [...map.keys()][index] ?? null,
    get length() {
      return map.size;
    },
  };
}

test('a position is kept for each asset and user', () => {
  const store = shelf();
  const anna = new Marks(store, 'anna');
  anna.keep('m1', 61.5, 600, 1);
  assert.equal(resumeAt(anna.read('m1')), 61.5);
  assert.equal(anna.read('m2'), null);
  assert.equal(new Marks(store, 'ben').read('m1'), null);
  assert.equal(resumeAt(null), null);
});

test('the first seconds are not worth a question, and the end clears it', () => {
  const marks = new Marks(shelf(), '');
  marks.keep('m1', 3, 600, 1);
  assert.equal(resumeAt(marks.read('m1')), null);
  marks.keep('m1', 300, 600, 2);
  assert.equal(watchedShare(marks.read('m1')), 0.5);
  marks.keep('m1', 590, 600, 3);
  assert.deepEqual([resumeAt(marks.read('m1')), marks.read('m1')?.done, watchedShare(marks.read('m1'))], [null, true, 1]);
  // Seen before, and begun again.
  marks.keep('m1', 300, 600, 4);
  assert.deepEqual([resumeAt(marks.read('m1')), marks.read('m1')?.done, watchedShare(marks.read('m1'))], [300, true, 0.5]);
  marks.finish('m1', 600, 5);
  assert.equal(resumeAt(marks.read('m1')), null);
  // Of something short the last seconds are much.
  marks.keep('m2', 8, 10, 6);
  assert.equal(resumeAt(marks.read('m2')), 8);
});

test('what cannot be kept or read costs nothing', () => {
  const none = new Marks(null, '');
  none.keep('m1', 60, 600, 1);
  assert.equal(none.read('m1'), null);
  const store = shelf();
  const marks = new Marks(store, '');
  marks.keep('m1', Number.NaN, 600, 1);
  marks.keep('m1', 60, Infinity, 1);
  assert.equal(store.length, 0);
  for (const bad of ['', '{', 'null', '7', '{"at":"x"}']) {
    store.map.set('anabranch.watched.m1.', bad);
    assert.equal(marks.read('m1'), null, bad);
  }
  const full: Shelf = { ...shelf(), setItem: () => { throw new Error('full'); } };
  new Marks(full, '').keep('m1', 60, 600, 1);
});

test('the oldest marks go', () => {
  const store = shelf();
  store.map.set('other', 'x');
  const marks = new Marks(store, '');
  for (let index = 0; index <= MAX_MARKS; index += 1) marks.keep(`m${index}`, 60, 600, index);
  assert.equal(marks.read('m0'), null);
  assert.equal(resumeAt(marks.read('m1')), 60);
  assert.ok(store.map.has('other'));
  assert.equal(store.length, MAX_MARKS + 1);
});
