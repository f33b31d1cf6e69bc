// SPDX-License-Identifier: Apache-2.0 OR MIT
// What the tests of the library's pages share: a browser, the stand-in, pictures, widths and axe.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import './ts.mjs';
import { openBrowser } from './browser.mjs';
import { isBuilt } from './dist.mjs';

const { FakeLibrary, busyLibrary, makeLibraryMedia } = await import('./library.ts');
/** A picture shows the whole page: the navigation is not cut where the first screen ends. */
const WHOLE = '.shell .side-inner { max-height: none; mask-image: none }';
const ONLY = process.env.ONLY?.split(',');
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const PHONE = { width: 360, height: 740 };
const WIDE = { width: 1360, height: 860 };
const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];

/** Call it in a `describe`; `t.desk` and `t.page` are new for each test. */
export function library() {
  const t = {};
  let browser, media, faults;

  before(async () => {
    assert.ok(isBuilt(), 'run `npm run build` first');
    [browser, media] = await Promise.all([openBrowser(), makeLibraryMedia()]);
  });
  after(async () => {
    await browser?.close();
    await media?.remove();
  });
  beforeEach(async () => {
    t.desk = await new FakeLibrary().start();
    t.desk.media_ = media;
    t.page = await browser.newPage({ viewport: WIDE });
    t.page.setDefaultTimeout(20_000);
    faults = [];
    t.page.on('pageerror', (error) => faults.push(String(error)));
  });
  afterEach(async () => {
    await t.page.close({ runBeforeUnload: false });
    await t.desk.stop();
    assert.deepEqual(faults, [], 'the page threw');
  });

  t.says = (text) => t.page.getByText(text).filter({ visible: true }).first().waitFor();
  t.open = (path) => t.page.goto(t.desk.origin + path);
  t.asked = (what) => t.desk.asked.filter((one) => one.what === what);
  t.picture = async (name) => {
    if (!process.env.SCREENSHOTS) return;
    await mkdir(process.env.SCREENSHOTS, { recursive: true });
    await t.page.screenshot({ path: join(process.env.SCREENSHOTS, `library-${name}.png`), fullPage: true, animations: 'disabled', style: WHOLE });
  };
  t.fits = async (what) => {
    const [content, width] = await t.page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
    assert.ok(content <= width, `${what} is ${content} px wide in a window of ${width} px`);
  };
  t.axe = async (what) => {
    await t.page.evaluate((source) => void (window.axe ?? (0, eval)(source)), AXE);
    const found = await t.page.evaluate((runOnly) => window.axe.run(document, { runOnly }), RULES);
    const nodes = (list) => list.slice(0, 4).map((node) => `    ${node.target.join(' ')} ${node.failureSummary?.split('\n')[1]?.trim() ?? ''}`);
    const words = found.violations.map((violation) => `${violation.id}: ${violation.help}\n${nodes(violation.nodes).join('\n')}`);
    assert.equal(words.length, 0, `${what}:\n${words.join('\n')}`);
  };
  /** Light and dark, wide and on a phone: no violation, nothing wider than the window. */
  t.inspect = async (name) => {
    for (const [size, viewport] of [['wide', WIDE], ['phone', PHONE]]) {
      await t.page.setViewportSize(viewport);
      for (const colorScheme of ['light', 'dark']) {
        await t.page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
        await t.picture(`${name}-${size}-${colorScheme}`);
        await t.fits(`${name} ${size}`);
        await t.axe(`${name} ${size} ${colorScheme}`);
      }
    }
    await t.page.setViewportSize(WIDE);
    await t.page.emulateMedia({ colorScheme: 'light' });
  };
  return t;
}

/** Looks at each page `[name, path, words]` with something there, and at each of `empty` with nothing. */
export function describePages(what, pages, empty) {
  describe(what, () => {
    const t = library();

    for (const [name, path, words] of pages) {
      test(`${name} is for everyone`, { skip: ONLY && !ONLY.includes(name) }, async () => {
        busyLibrary(t.desk);
        await t.open(path);
        await t.says(words);
        // Posters are asked for one after the other.
        await t.page.waitForFunction(() => [...document.images].every(({ complete }) => complete));
        await t.inspect(name);
      });
    }
    for (const [name, path, words] of empty) {
      test(`${name} says how to begin`, { skip: ONLY && !ONLY.includes(name) }, async () => {
        t.desk.charges = false;
        t.desk.buckets = [{ name: 'uploads', preset: 'standard', mirror: false, house: false, distribution: null, created_at: new Date().toISOString() }];
        await t.open(path);
        await t.says(words);
        await t.inspect(name);
      });
    }
  });
}
