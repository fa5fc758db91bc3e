// Building and changing elements. Text only ever becomes a text node, so that no name from a PBX can become markup.

const SVG = 'http://www.w3.org/2000/svg';

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? '' : String(value));
  }
  for (const child of children) if (child !== null && child !== undefined) node.append(child);
  return node;
}

export const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
export const s = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);
export const byId = (id) => document.getElementById(id);

/** Sets the text if it differs; `flash` makes the change seen. */
export function text(node, value, flash = false) {
  const wanted = String(value);
  if (node.textContent === wanted) return;
  const first = node.textContent === '' || node.textContent === '–';
  node.textContent = wanted;
  if (flash && !first) {
    node.classList.remove('flash');
    void node.getBoundingClientRect();
    node.classList.add('flash');
  }
}

/** Makes the children of `parent` be the items, in order, keeping the element of each key. */
export function keyed(parent, items, keyOf, make, update) {
  const held = (parent.held ??= new Map());
  const wanted = new Set();
  let before = null;
  for (const item of items) {
    const key = keyOf(item);
    if (wanted.has(key)) continue;
    wanted.add(key);
    let node = held.get(key);
    if (!node) {
      node = make(item);
      held.set(key, node);
    }
    update(node, item);
    const place = before ? before.nextSibling : parent.firstChild;
    if (place !== node) parent.insertBefore(node, place);
    before = node;
  }
  for (const [key, node] of held) {
    if (!wanted.has(key)) {
      node.remove();
      held.delete(key);
    }
  }
}

/** Elements that tick by themselves: `since` is a moment in server milliseconds, or null. */
const ticking = new Map();

export function since(node, moment, shown) {
  if (moment === null) ticking.delete(node);
  else ticking.set(node, { moment, shown });
}

export function tick(now) {
  for (const [node, { moment, shown }] of ticking) {
    if (!node.isConnected) ticking.delete(node);
    else text(node, shown(Math.max(0, now - moment)));
  }
}
