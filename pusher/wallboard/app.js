// Puts the link and the panels together: draws what changed, at most once per animation frame, and ticks what only grows.

import { byId, text, tick } from './dom.js';
import { age, timeIn } from './format.js';
import { Link } from './link.js';
import * as panels from './panels.js';
import { language, switchLanguage, w } from './words.js';

const TOPICS = ['totals', 'queues', 'agents', 'calls', 'sources', 'intervals'];
const asked = new URLSearchParams(location.search);
const list = (name) => (asked.get(name) ?? '').split(',').filter(Boolean);
const filter = Object.fromEntries(['queues', 'teams'].map((name) => [name, list(name)]).filter(([, ids]) => ids.length));

const dirty = new Set(TOPICS);
let drawing = false;
let status = { name: 'connecting', detail: null };

const link = new Link({
  subscriptions: [{ id: 'board', topics: TOPICS, filter }],
  changed(topic) {
    dirty.add(topic);
    draw();
  },
  state(name, detail = null) {
    status = { name, detail };
    if (name === 'token' || (name === 'stopped' && /token|auth/.test(detail))) askToken();
    draw();
  },
});

const all = (topic) => [...link.items(topic).values()];
const byName = (a, b) => (a.order ?? 0) - (b.order ?? 0) || (a.key < b.key ? -1 : 1);

/** The headline: the one tenant there is, or the first. */
const totals = () => all('totals').sort(byName)[0] ?? null;

/** Midnight of today in the tenant's zone, in milliseconds: the server says where its day began. */
const dayStart = (headline) => Date.parse(headline?.day_start ?? '') || new Date(link.now()).setHours(0, 0, 0, 0);

function draw() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    paint();
  });
}

function paint() {
  const headline = totals();
  const now = link.now();
  const start = dayStart(headline);
  const queues = all('queues').sort(byName);
  const rows = all('intervals').filter((row) => Date.parse(row.start) >= start);
  const any = (...topics) => topics.some((topic) => dirty.has(topic));
  if (any('totals', 'queues')) panels.headline(headline, queues, now);
  if (any('queues', 'intervals', 'totals')) {
    panels.queues(queues, (queue) => rows.filter((row) => row.by === 'queue' && row.id === queue.id && row.tenant === queue.tenant), start, now);
  }
  if (any('agents')) panels.agents(all('agents'), (id) => panels.queueName(queues, id));
  if (any('calls', 'queues')) panels.calls(all('calls'), (call) => link.items('queues').get(call.queue_key), now);
  if (any('intervals', 'totals')) {
    const clock = timeIn(headline?.time_zone, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
    const own = rows.filter((row) => row.by === 'tenant' && (!headline || row.tenant === headline.tenant));
    panels.day(own, headline?.goal.target ?? null, start, now, (ms) => clock.format(ms));
  }
  if (any('sources')) panels.sources(all('sources').sort(byName));
  dirty.clear();
  text(byId('tenant'), headline ? headline.name : '');
  linkState();
  fit();
}

/** One screen when the screen is large enough for what there is; else the page scrolls. */
function fit() {
  document.body.classList.toggle('fits', link.items('queues').size <= 8);
}

function linkState() {
  const old = link.ageNow();
  const stale = status.name === 'live' && (link.stale || (old !== null && old > 10_000));
  const shown = status.name === 'live' ? (stale ? 'stale' : 'live') : status.name === 'stopped' ? 'stopped' : 'connecting';
  byId('link').dataset.state = shown;
  const suffix = old !== null && status.name === 'live' ? ` · ${w('age', age(old))}` : '';
  text(byId('link-text'), w(shown) + suffix);
  const down = status.name === 'down' || status.name === 'connecting';
  const banner = byId('banner');
  const never = status.name === 'live' && old === null;
  banner.hidden = !(stale || never || status.name === 'stopped' || (down && link.feeds.size > 0 && (status.name === 'down' || old > 5000)));
  banner.dataset.state = shown;
  const words = status.name === 'stopped' ? w('banner_stopped', status.detail) : never ? w('banner_never') : stale ? w('banner_stale', age(old)) : w('banner_down');
  text(banner, words);
  byId('main').classList.toggle('stale', stale || status.name === 'down' || status.name === 'stopped');
}

function askToken() {
  const gate = byId('gate');
  gate.hidden = false;
  byId('token').focus();
}

byId('gate').addEventListener('submit', (event) => {
  event.preventDefault();
  byId('gate').hidden = true;
  const token = byId('token').value.trim();
  try { sessionStorage.setItem('tidegate.token', token); } catch { /* only this connection */ }
  link.open(token);
});

function label() {
  document.documentElement.lang = language() === 'zh' ? 'zh-CN' : 'en';
  for (const [id, word] of [['lang', 'other'], ['queues-title', 'queues'], ['agents-title', 'agents'], ['calls-title', 'calls'], ['day-title', 'day'], ['day-more', 'more'], ['gate-label', 'token'], ['gate-go', 'enter']]) {
    text(byId(id), w(word));
  }
  byId('headline').setAttribute('aria-label', w('today'));
  byId('sources').setAttribute('aria-label', w('sources'));
}

byId('lang').addEventListener('click', () => {
  switchLanguage();
  label();
  byId('day').mark = null;
  for (const topic of TOPICS) dirty.add(topic);
  draw();
});

setInterval(() => {
  const now = link.now();
  tick(now);
  text(byId('clock'), timeIn(totals()?.time_zone, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' }).format(now));
  linkState();
}, 250);
// Levels depend on the time, too: a wait that grows beyond the threshold changes its colour without any frame.
setInterval(() => {
  dirty.add('queues').add('calls');
  draw();
}, 2000);

new ResizeObserver(() => {
  dirty.add('intervals').add('agents');
  draw();
}).observe(byId('day'));

label();
let remembered = null;
try { remembered = sessionStorage.getItem('tidegate.token'); } catch { /* none */ }
link.open(remembered);
