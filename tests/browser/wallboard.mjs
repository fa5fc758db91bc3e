// Looks at the wallboard of a running Tidegate in a real Chromium: node wallboard.mjs URL [PICTURES]
//
// Every check has a name and is counted; PICTURES is a folder for two pictures of the page, wide and narrow.

import { chromium } from 'playwright-core';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';

const [url, pictures] = process.argv.slice(2);
if (!url) {
  console.error('usage: node wallboard.mjs URL [PICTURES]');
  process.exit(64);
}
const executablePath = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(
  (path) => path && existsSync(path),
);
if (!executablePath) {
  console.error('no Chromium on this machine: install the package chromium, or set CHROMIUM to its path');
  process.exit(69);
}

const failures = [];
let passed = 0;
async function check(name, proof) {
  try {
    await proof();
    passed += 1;
    console.log(`test ${name} ... ok`);
  } catch (error) {
    failures.push(name);
    console.log(`test ${name} ... FAILED\n    ${error.message}`);
  }
}
function must(holds, otherwise) {
  if (!holds) throw new Error(otherwise);
}
async function until(seconds, question, otherwise) {
  const end = Date.now() + seconds * 1000;
  while (Date.now() < end) {
    if (await question()) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`${otherwise} within ${seconds} s`);
}

const browser = await chromium.launch({
  executablePath,
  args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});

// A page, with all that goes wrong on it and all that comes in over its WebSocket.
async function open(path, viewport) {
  const page = await browser.newPage({ viewport, colorScheme: 'dark', locale: 'en-GB' });
  const seen = { page, wrong: [], frames: [] };
  page.on('console', (message) => message.type() === 'error' && seen.wrong.push(`console: ${message.text()}`));
  page.on('pageerror', (error) => seen.wrong.push(`uncaught: ${error.message}`));
  page.on('requestfailed', (request) => seen.wrong.push(`${request.url()}: ${request.failure()?.errorText}`));
  page.on('response', (response) => response.status() >= 400 && seen.wrong.push(`${response.url()}: ${response.status()}`));
  page.on('websocket', (socket) => socket.on('framereceived', ({ payload }) => seen.frames.push(String(payload))));
  await page.goto(new URL(path, url).href);
  return seen;
}
const text = (page) => page.evaluate(() => document.body.innerText);
const kinds = (frames) => new Set(frames.flatMap((frame) => [...frame.matchAll(/"(snapshot|delta)"/g)].map((found) => found[1])));
const fits = (page) => page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth);

const answer = await fetch(new URL('/v1/live/queues', url)).then((response) => response.json());
const queues = answer.items;

const wide = await open('/?lang=en', { width: 1920, height: 1080 });
await check('the_wallboard_gets_a_snapshot_and_then_deltas_over_its_websocket', () =>
  until(20, () => kinds(wide.frames).size === 2, `only ${[...kinds(wide.frames)].join(', ') || 'nothing'} came`));
await check('every_queue_is_on_the_wallboard_by_its_name_or_id', async () => {
  must(queues.length > 0, 'the server knows no queue');
  const names = queues.map((queue) => [queue.name, queue.title, queue.label, queue.id, queue.queue].flat().filter((name) => typeof name === 'string'));
  await until(10, async () => {
    const shown = (await text(wide.page)).toLowerCase();
    return names.every((known) => known.some((name) => shown.includes(name.toLowerCase())));
  }, `not all of ${JSON.stringify(names)} were shown`);
});
await check('the_figures_move_by_themselves', async () => {
  const before = await text(wide.page);
  await until(15, async () => (await text(wide.page)) !== before, 'nothing on the page changed');
});
await check('the_page_fits_a_wall_screen', async () => must(await fits(wide.page), 'it scrolls sideways at 1920 pixels'));
if (pictures) {
  mkdirSync(pictures, { recursive: true });
  await wide.page.screenshot({ path: join(pictures, 'wallboard.png') });
}

const narrow = await open('/?lang=zh', { width: 412, height: 915 });
await check('the_page_speaks_chinese_and_english', async () => {
  await until(20, async () => kinds(narrow.frames).has('snapshot'), 'no snapshot came');
  const [english, chinese] = [await text(wide.page), await text(narrow.page)];
  const [en, zh] = await Promise.all([wide, narrow].map(({ page }) => page.evaluate(() => document.documentElement.lang)));
  must(en.startsWith('en') && zh.startsWith('zh'), `the pages say that they are ${en} and ${zh}`);
  const han = (shown) => [...shown.matchAll(/\p{Script=Han}/gu)].length;
  must(han(chinese) > 30 && han(chinese) > 2 * han(english), `${han(chinese)} Chinese characters on the one, ${han(english)} on the other`);
});
await check('the_page_fits_a_narrow_screen', async () => must(await fits(narrow.page), 'it scrolls sideways at 412 pixels'));
if (pictures) await narrow.page.screenshot({ path: join(pictures, 'wallboard-narrow.png') });

await check('nothing_went_wrong_in_the_browser', async () => {
  const wrong = [...wide.wrong, ...narrow.wrong];
  must(wrong.length === 0, wrong.join('\n    '));
});

await browser.close();
console.log(`test result: ${failures.length ? 'FAILED' : 'ok'}. ${passed} passed; ${failures.length} failed; 0 ignored`);
process.exit(failures.length ? 1 : 0);
