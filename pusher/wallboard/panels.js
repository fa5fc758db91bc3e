// The panels: each takes items as they came and shows them. Nothing here knows of the connection.

import { byId, h, keyed, s, since, text } from './dom.js';
import { NONE, clockwise, count, moment, percent, seconds } from './format.js';
import { language, w } from './words.js';

const STATES = ['ready', 'talking', 'reserved', 'wrap_up', 'not_ready', 'unknown'];
const GLYPHS = { ready: '●', talking: '◆', reserved: '▲', wrap_up: '■', not_ready: '‖', unknown: '?' };
const AGENTS_MAX = 240;
const CALLS_MAX = 60;

const nameOf = (item) => (language() === 'zh' && item.name_zh) || item.name || item.id;

const RANK = { idle: 0, good: 1, watch: 2, alarm: 3 };
const worse = (a, b) => (RANK[a] >= RANK[b] ? a : b);

/** How the longest wait stands against the threshold. */
function waitLevel(item, now) {
  if (item.waiting === 0 || !item.longest_wait_since) return 'good';
  const waits = now - moment(item.longest_wait_since);
  if (waits > 3 * item.goal.threshold_ms) return 'alarm';
  return waits > item.goal.threshold_ms || item.agents.logged_in - item.agents.not_ready - item.agents.unknown === 0 ? 'watch' : 'good';
}

/** How the last quarter hour (else the day) stands against the goal. */
function serviceLevel(item) {
  const window = item.windows['15m'];
  const figures = window && window.offered >= 5 ? window : item.today;
  return figures.offered >= 5 ? levelAgainstGoal(figures.service_level, item.goal.target) ?? 'good' : 'good';
}

const levelAgainstGoal = (level, target) => (level === null ? null : level >= target ? 'good' : level >= target - 0.2 ? 'watch' : 'alarm');

/* ---- headline ---- */

function tile(id, labelled) {
  const node = h('article', { class: 'tile', 'data-tile': id });
  node.parts = { label: h('h3'), big: h('p', { class: 'big' }), sub: h('p', { class: 'sub' }) };
  node.append(node.parts.label, node.parts.big, node.parts.sub);
  if (labelled) {
    node.parts.bar = h('i');
    node.parts.goal = h('b');
    node.append(h('div', { class: 'meter', 'aria-hidden': 'true' }, node.parts.bar, node.parts.goal));
  }
  return node;
}

function staffTile() {
  const node = h('article', { class: 'tile staff', 'data-tile': 'staff' });
  node.parts = { label: h('h3'), bar: h('div', { class: 'staff-bar', 'aria-hidden': 'true' }), legend: h('ul', { class: 'legend' }) };
  node.parts.segments = Object.fromEntries(STATES.map((state) => [state, h('i', { class: `s-${state}` })]));
  node.parts.bar.append(...Object.values(node.parts.segments));
  node.append(node.parts.label, node.parts.bar, node.parts.legend);
  return node;
}

function legend(list, entries) {
  keyed(list, entries, (entry) => entry.swatch, (entry) => {
    const node = h('li', {}, h('span', { class: `swatch s-${entry.swatch}`, 'aria-hidden': 'true' }));
    node.parts = { label: h('span'), value: h('b') };
    node.append(node.parts.label, node.parts.value);
    return node;
  }, (node, entry) => {
    text(node.parts.label, entry.label);
    text(node.parts.value, entry.value ?? '');
  });
}

function setTile(node, label, big, sub, level) {
  text(node.parts.label, label);
  text(node.parts.big, big, true);
  text(node.parts.sub, sub);
  if (level) node.dataset.level = level;
  else delete node.dataset.level;
}

/** The name of a queue's item. */
export const queueName = (items, id) => {
  const found = items.find((item) => item.id === id);
  return found ? nameOf(found) : id;
};

function longestOf(queues, totals) {
  const moments = queues.map((q) => moment(q.longest_wait_since)).filter((m) => m !== null);
  return moments.length ? Math.min(...moments) : moment(totals?.longest_wait_since);
}

export function headline(totals, queues, now) {
  const root = byId('headline');
  root.tiles ??= Object.fromEntries(['waiting', 'level', 'offered', 'answered', 'abandoned', 'asa'].map((id) => [id, root.appendChild(tile(id, id === 'level'))]).concat([['staff', root.appendChild(staffTile())]]));
  const tiles = root.tiles;
  root.hidden = !totals;
  if (!totals) return;
  const { today, goal } = totals;
  const longest = longestOf(queues, totals);
  const waits = (ms) => `${w('longest')} ${clockwise(ms)}`;
  const waitsNow = totals.waiting === 0 ? w('none_waits') : longest === null ? '' : waits(Math.max(0, now - longest));
  setTile(tiles.waiting, w('waiting'), count(totals.waiting), waitsNow, longest !== null && now - longest > 3 * goal.threshold_ms ? 'alarm' : longest !== null && now - longest > goal.threshold_ms ? 'watch' : null);
  since(tiles.waiting.parts.sub, totals.waiting > 0 ? longest : null, waits);
  setTile(tiles.level, w('level'), percent(today.service_level), w('goal', percent(goal.target), seconds(goal.threshold_ms)), levelAgainstGoal(today.service_level, goal.target));
  tiles.level.parts.bar.style.width = `${(today.service_level ?? 0) * 100}%`;
  tiles.level.parts.goal.style.left = `${goal.target * 100}%`;
  setTile(tiles.offered, w('offered'), count(today.offered), w('in_ivr', count(totals.in_ivr)));
  setTile(tiles.answered, w('answered'), count(today.answered), w('in_service', count(totals.in_service)));
  setTile(tiles.abandoned, w('abandoned'), count(today.abandoned), `${percent(today.abandonment_rate, 1)} · ${w('short', count(today.short_abandoned))}`);
  setTile(tiles.asa, w('asa'), seconds(today.asa_ms), w('aht', seconds(today.aht_ms)));
  const { agents } = totals;
  text(tiles.staff.parts.label, w('staff', count(agents.logged_in)));
  const all = Math.max(1, STATES.reduce((sum, state) => sum + (agents[state] ?? 0), 0));
  for (const state of STATES) tiles.staff.parts.segments[state].style.width = `${((agents[state] ?? 0) / all) * 100}%`;
  legend(tiles.staff.parts.legend, STATES.filter((state) => agents[state] > 0 || state === 'ready' || state === 'talking').map((state) => ({ swatch: state, label: w(state), value: count(agents[state] ?? 0) })));
}

/* ---- queues ---- */

const ROUND = 2 * Math.PI * 42;

function ring() {
  const arc = s('circle', { class: 'arc', cx: 50, cy: 50, r: 42, fill: 'none', 'stroke-width': 9, 'stroke-linecap': 'round', transform: 'rotate(-90 50 50)', 'stroke-dasharray': `0 ${ROUND}` });
  const goal = s('line', { class: 'goal', x1: 50, x2: 50, y1: 1.5, y2: 15, 'stroke-width': 2.5 });
  const value = s('text', { x: 50, y: 54, 'font-size': 23 });
  const label = s('text', { class: 'small', x: 50, y: 68, 'font-size': 10.5 });
  const node = s('svg', { class: 'ring', viewBox: '0 0 100 100', role: 'img' }, s('circle', { class: 'track', cx: 50, cy: 50, r: 42, fill: 'none', 'stroke-width': 9 }), arc, goal, value, label);
  return Object.assign(node, { parts: { arc, goal, value, label } });
}

function setRing(node, level, target) {
  const { arc, goal, value, label } = node.parts;
  arc.setAttribute('stroke-dasharray', `${(level ?? 0) * ROUND} ${ROUND}`);
  arc.setAttribute('visibility', level ? 'visible' : 'hidden');
  goal.setAttribute('transform', `rotate(${target * 360} 50 50)`);
  text(value, percent(level));
  text(label, w('sl'));
  node.setAttribute('aria-label', `${w('level')} ${percent(level)}, ${percent(target)}`);
}

const FACTS = ['free', 'offered', 'answered', 'abandoned', 'ewt'];

function queueCard() {
  const parts = { name: h('h3'), state: h('p', { class: 'state' }), ring: ring(), spark: s('svg', { class: 'spark', preserveAspectRatio: 'none', 'aria-hidden': 'true' }) };
  const cell = (id) => {
    parts[id] = h('p', { class: 'value' });
    parts[`${id}_label`] = h('p', { class: 'label' });
    return h('div', { class: `cell ${id}` }, parts[`${id}_label`], parts[id]);
  };
  const facts = h('dl', { class: 'facts' });
  for (const id of FACTS) {
    parts[id] = h('dd');
    parts[`${id}_label`] = h('dt');
    facts.append(h('div', {}, parts[`${id}_label`], parts[id]));
  }
  const now = h('div', { class: 'now' }, cell('waiting'), cell('longest'), parts.spark, parts.ring);
  const node = h('article', { class: 'queue' }, h('header', {}, parts.name, parts.state), now, facts);
  return Object.assign(node, { parts });
}

/** Never fewer half hours than this are drawn, so that the first bars of a day are no walls. */
const SLOTS_MIN = 12;

function spark(svg, rows, start, now) {
  const slots = 48;
  const bars = new Array(slots).fill(null);
  for (const row of rows) {
    const slot = Math.floor((moment(row.start) - start) / 1_800_000);
    if (slot >= 0 && slot < slots) bars[slot] = row;
  }
  const last = Math.min(slots - 1, Math.max(SLOTS_MIN - 1, Math.floor((now - start) / 1_800_000)));
  const busy = bars.findIndex((bar) => bar && bar.offered > 0);
  const first = Math.max(0, Math.min(busy < 0 ? last : busy, last - SLOTS_MIN + 1));
  const shown = bars.slice(first, last + 1);
  const most = Math.max(4, ...shown.map((bar) => bar?.offered ?? 0));
  const mark = JSON.stringify(shown.map((bar) => bar && [bar.answered, bar.abandoned, bar.short_abandoned, bar.flow_out, bar.offered]));
  if (svg.mark === mark) return;
  svg.mark = mark;
  svg.setAttribute('viewBox', `0 0 ${shown.length * 10} 100`);
  svg.replaceChildren(...shown.flatMap((bar, slot) => stack(bar, slot * 10 + 1, 8, 100, most, 98)), s('line', { class: 'base', x1: 0, x2: shown.length * 10, y1: 99.5, y2: 99.5 }));
}

/** One bar: answered below, other exits (the short abandons among them), abandoned on top: together all that left. */
function stack(bar, x, width, bottom, most, height) {
  if (!bar) return [];
  let y = bottom;
  const part = (name, n) => {
    const tall = (Math.max(0, n) / most) * height;
    y -= tall;
    return n > 0 ? s('rect', { class: name, x, y, width, height: tall }) : null;
  };
  return [part('a', bar.answered), part('o', (bar.flow_out ?? 0) + bar.short_abandoned), part('b', bar.abandoned)].filter(Boolean);
}

function setQueue(node, item, rows, start, now) {
  const p = node.parts;
  const waits = waitLevel(item, now);
  const serves = serviceLevel(item);
  const quiet = item.waiting === 0 && item.in_service === 0 && item.today.offered === 0;
  const level = quiet ? 'idle' : worse(waits, serves);
  node.dataset.level = level;
  node.dataset.wait = waits;
  p.ring.dataset.level = quiet ? 'idle' : levelAgainstGoal(item.today.service_level, item.goal.target) ?? 'good';
  text(p.name, nameOf(item));
  text(p.state, w(quiet ? 'idle' : level === 'good' ? 'good' : RANK[serves] > RANK[waits] ? `level_${level}` : `wait_${level}`));
  text(p.waiting_label, w('waiting'));
  text(p.waiting, count(item.waiting), true);
  text(p.longest_label, w('longest'));
  since(p.longest, moment(item.longest_wait_since), clockwise);
  if (!item.longest_wait_since) text(p.longest, NONE);
  setRing(p.ring, item.today.service_level, item.goal.target);
  for (const id of FACTS) text(p[`${id}_label`], w(id));
  text(p.free, `${count(item.agents.ready)} / ${count(item.agents.logged_in)}`);
  text(p.offered, count(item.today.offered), true);
  text(p.answered, count(item.today.answered), true);
  text(p.abandoned, count(item.today.abandoned), true);
  text(p.ewt, item.ewt_ms === null ? NONE : seconds(item.ewt_ms));
  spark(p.spark, rows, start, now);
}

export function queues(items, rowsOf, start, now) {
  const root = byId('queues');
  if (items.length === 0) return keyed(root, [' none'], (k) => k, () => h('p', { class: 'empty' }), (node) => text(node, w('no_queues')));
  const columns = items.length <= 4 ? items.length : items.length <= 6 ? 3 : 4;
  root.style.setProperty('--columns', columns);
  root.dataset.rows = Math.ceil(items.length / columns);
  keyed(root, items, (item) => item.key, queueCard, (node, item) => setQueue(node, item, rowsOf(item), start, now));
}

/* ---- agents and callers ---- */

export function agents(items, queueName) {
  const present = items.filter((item) => item.state !== 'logged_out');
  const order = (item) => STATES.indexOf(item.state);
  present.sort((a, b) => order(a) - order(b) || moment(a.since) - moment(b.since) || (a.key < b.key ? -1 : 1));
  const root = byId('agents');
  root.dataset.density = densityFor(root, present.length);
  const shown = present.length ? present.slice(0, AGENTS_MAX) : [null];
  if (present.length > AGENTS_MAX) shown.push({ key: ' more', rest: present.length - AGENTS_MAX });
  keyed(root, shown, (item) => item?.key ?? ' none', (item) => (item && !item.rest ? agentChip() : h('li', { class: 'empty' })), (node, item) => {
    if (!item) return text(node, w('no_agents'));
    if (item.rest) return text(node, w('more_agents', item.rest));
    const p = node.parts;
    node.dataset.state = item.state;
    text(p.glyph, GLYPHS[item.state] ?? '?');
    text(p.name, nameOf(item));
    text(p.why, [w(item.state), item.reason ?? (item.queue && queueName(item.queue))].filter(Boolean).join(' · '));
    since(p.since, moment(item.since), clockwise);
    if (!item.since) text(p.since, NONE);
  });
  const counts = Object.groupBy ? Object.groupBy(present, (item) => item.state) : {};
  legend(byId('agents-legend'), STATES.filter((state) => counts[state]).map((state) => ({ swatch: state, label: w(state), value: counts[state].length })));
}

/** The largest chips that let everybody be seen at once. */
function densityFor(root, n) {
  const size = parseFloat(getComputedStyle(document.documentElement).fontSize);
  const room = (width, height) => Math.floor(root.clientWidth / (width * size)) * Math.floor(root.clientHeight / (height * size));
  if (n <= room(11.4, 3.5)) return 'roomy';
  return n <= room(8.9, 1.8) ? 'compact' : 'dense';
}

function agentChip() {
  const parts = { glyph: h('span', { class: 'glyph', 'aria-hidden': 'true' }), name: h('span', { class: 'name' }), since: h('span', { class: 'for' }), why: h('span', { class: 'why' }) };
  return Object.assign(h('li', { class: 'agent' }, parts.glyph, parts.name, parts.since, parts.why), { parts });
}

const WAITING = new Set(['waiting', 'ringing']);

export function calls(items, queueOf, now) {
  const waiting = items.filter((item) => WAITING.has(item.stage)).sort((a, b) => moment(a.waiting_since ?? a.since) - moment(b.waiting_since ?? b.since));
  text(byId('calls-note'), waiting.length ? w('more_calls', count(waiting.length)) : '');
  const shown = waiting.length ? waiting.slice(0, CALLS_MAX) : [null];
  keyed(byId('calls'), shown, (item) => item?.key ?? ' none', (item) => (item ? callRow() : h('li', { class: 'empty' })), (node, item) => {
    if (!item) return text(node, w('no_calls'));
    const p = node.parts;
    const queue = queueOf(item);
    const from = moment(item.waiting_since ?? item.since);
    const threshold = queue?.goal.threshold_ms ?? 20_000;
    node.dataset.level = now - from > 3 * threshold ? 'alarm' : now - from > threshold ? 'watch' : 'good';
    text(p.queue, queue ? nameOf(queue) : item.queue ?? NONE);
    text(p.caller, `${item.caller ?? NONE}${item.stage === 'ringing' ? ` · ${w('reserved')} ${item.agent ?? ''}` : ''}`);
    since(p.since, from, clockwise);
  });
}

function callRow() {
  const parts = { queue: h('span', { class: 'queue-name' }), caller: h('span', { class: 'caller' }), since: h('span', { class: 'for' }) };
  return Object.assign(h('li', { class: 'call' }, parts.queue, parts.caller, parts.since), { parts });
}

/* ---- the day ---- */

export function day(rows, goal, start, now, clock) {
  legend(byId('day-legend'), [{ swatch: 'answered', label: w('answered') }, { swatch: 'abandoned', label: w('abandoned') }, { swatch: 'other', label: w('flow') }, { swatch: 'level', label: w('level') }]);
  const bySlot = new Map(rows.map((row) => [Math.floor((moment(row.start) - start) / 1_800_000), row]));
  const busy = [...bySlot].filter(([, row]) => row.offered > 0).map(([slot]) => slot);
  const last = Math.max(Math.floor((now - start) / 1_800_000), 0, ...busy);
  const first = Math.max(0, Math.min(last - SLOTS_MIN + 1, ...busy));
  const root = byId('day');
  const [width, height] = [Math.max(320, root.clientWidth), Math.max(120, root.clientHeight)];
  const em = parseFloat(getComputedStyle(document.documentElement).fontSize) * 0.8;
  const [left, right, top, bottom] = [3 * em, 3.4 * em, 0.8 * em, height - 1.9 * em];
  const step = (width - left - right) / (last - first + 1);
  const most = Math.max(4, ...rows.map((row) => row.offered));
  const mark = JSON.stringify([width, height, first, last, goal, rows.map((row) => [row.offered, row.answered, row.abandoned, row.short_abandoned, row.flow_out, row.service_level])]);
  if (root.mark === mark) return;
  root.mark = mark;
  const parts = [];
  for (const share of [0, 0.5, 1]) {
    const y = bottom - share * (bottom - top);
    parts.push(s('line', { class: 'base', x1: left, x2: width - right, y1: y, y2: y }), s('text', { x: left - em / 2, y: y + em / 3, 'text-anchor': 'end' }, count(Math.round(most * share))), s('text', { x: width - right + em / 2, y: y + em / 3 }, percent(share)));
  }
  if (goal !== null) parts.push(s('line', { class: 'goal', x1: left, x2: width - right, y1: bottom - goal * (bottom - top), y2: bottom - goal * (bottom - top) }));
  const line = [];
  const labelled = [2, 4, 8].find((n) => n * step > 4.2 * em) ?? 12;
  for (let slot = first; slot <= last; slot += 1) {
    const x = left + (slot - first) * step;
    const row = bySlot.get(slot);
    parts.push(...stack(row, x + step * 0.14, step * 0.72, bottom, most, bottom - top));
    if (row && row.service_level !== null && row.offered > 0) line.push(`${line.length ? 'L' : 'M'}${(x + step / 2).toFixed(1)} ${(bottom - row.service_level * (bottom - top)).toFixed(1)}`);
    if (slot % labelled === 0) parts.push(s('text', { x: x + 2, y: bottom + 1.4 * em }, clock(start + slot * 1_800_000)));
  }
  if (line.length === 1) line.push(`h.01`);
  if (line.length) parts.push(s('path', { class: 'level', d: line.join('') }));
  root.replaceChildren(s('svg', { class: 'day', viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': w('day') }, ...parts));
  table(rows, clock);
}

const COLUMNS = [['time', (row, clock) => clock(moment(row.start))], ['offered', (row) => count(row.offered)], ['answered', (row) => count(row.answered)], ['abandoned', (row) => count(row.abandoned)], ['level', (row) => percent(row.service_level)], ['asa', (row) => seconds(row.asa_ms)], ['max_wait', (row) => seconds(row.max_wait_ms)]];

function table(rows, clock) {
  const node = byId('day-table');
  node.tHead.replaceChildren(h('tr', {}, ...COLUMNS.map(([id]) => h('th', { scope: 'col' }, w(id)))));
  const sorted = [...rows].sort((a, b) => moment(b.start) - moment(a.start));
  node.tBodies[0].replaceChildren(...sorted.map((row) => h('tr', {}, ...COLUMNS.map(([, shown]) => h('td', {}, shown(row, clock))))));
}

/* ---- sources ---- */

export function sources(items) {
  keyed(byId('sources'), items, (item) => item.key, () => {
    const parts = { name: h('span'), detail: h('span', { class: 'detail' }) };
    return Object.assign(h('li', {}, h('span', { class: 'dot', 'aria-hidden': 'true' }), parts.name, parts.detail), { parts });
  }, (node, item) => {
    node.dataset.state = item.state;
    text(node.parts.name, nameOf(item));
    const gap = item.gap_ms_today > 0 ? w('gap', seconds(item.gap_ms_today)) : null;
    const trip = item.state === 'connected' && item.round_trip_ms !== null ? `${item.round_trip_ms} ms` : w(item.state);
    text(node.parts.detail, [trip, gap].filter(Boolean).join(' · '));
  });
}
