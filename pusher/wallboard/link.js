// The WebSocket: subscribes, keeps every feed's items, comes back by itself and resumes where it stopped.

const DELAY_MIN = 500;
const DELAY_MAX = 30_000;

export class Link {
  /** `changed(topics)` after each frame that changed something; `state(name, detail)` when the link's state changes. */
  constructor({ subscriptions, changed, state }) {
    Object.assign(this, { subscriptions, changed, state });
    this.feeds = new Map();
    this.failures = 0;
    this.offset = null;
    this.age = null;
    this.heard = 0;
    this.token = null;
  }

  /** Server time in milliseconds, by the offset seen in its frames (the smallest delay seen is the nearest to the truth). */
  now() {
    return Date.now() + (this.offset ?? 0);
  }

  /** How old the figures on the screen are now, in milliseconds; null before any came. */
  ageNow() {
    return this.age === null ? null : this.age + (performance.now() - this.heard);
  }

  items(topic) {
    for (const feed of this.feeds.values()) if (feed.topic === topic) return feed.items;
    return new Map();
  }

  open(token = this.token) {
    this.token = token;
    this.socket?.close();
    clearTimeout(this.timer);
    const scheme = location.protocol === 'https:' ? 'wss:' : 'ws:';
    const socket = new WebSocket(`${scheme}//${location.host}/v1/ws`, ['tidegate.v1']);
    this.socket = socket;
    this.state('connecting');
    socket.onopen = () => this.opened(socket);
    socket.onmessage = (message) => this.socket === socket && this.frame(JSON.parse(message.data));
    socket.onclose = (event) => this.socket === socket && this.closed(event);
  }

  opened(socket) {
    if (this.token) socket.send(JSON.stringify({ op: 'auth', token: this.token }));
    const resume = [...this.feeds].map(([feed, held]) => ({ feed, epoch: held.epoch, seq: held.seq }));
    for (const subscription of this.subscriptions) {
      socket.send(JSON.stringify({ op: 'subscribe', ...subscription, resume }));
    }
  }

  closed(event) {
    const stop = event.code >= 4500 && event.code <= 4999;
    if (stop) return this.state('stopped', event.reason || String(event.code));
    const delay = Math.min(DELAY_MAX, DELAY_MIN * 2 ** this.failures) * (0.5 + Math.random() / 2);
    this.failures += 1;
    this.state('down', delay);
    this.timer = setTimeout(() => this.open(), delay);
  }

  frame(frame) {
    if (frame.time) this.sync(frame);
    if (frame.op === 'error') {
      if (frame.code === 'auth_required') this.state('token');
      return;
    }
    if (frame.op === 'subscribed') this.failures = 0;
    if (frame.op === 'beat') return this.state('live');
    if (!frame.feed) return;
    let held = this.feeds.get(frame.feed);
    if (frame.op === 'snapshot') {
      held = { topic: frame.topic, items: new Map(frame.items.map((item) => [item.key, item])) };
      this.feeds.set(frame.feed, held);
    } else if (held && frame.prev <= held.seq) {
      for (const item of frame.changed) held.items.set(item.key, item);
      for (const key of frame.removed) held.items.delete(key);
    } else {
      return;
    }
    held.epoch = frame.epoch;
    held.seq = frame.seq;
    this.state('live');
    this.changed(frame.topic);
  }

  sync(frame) {
    const offset = Date.parse(frame.time) - Date.now();
    // Delay only ever makes the offset look smaller; drift slowly so that a changed clock is followed.
    this.offset = this.offset === null ? offset : Math.max(offset, this.offset - 5);
    if ('age_ms' in frame) {
      this.age = frame.age_ms;
      this.stale = frame.stale;
      this.heard = performance.now();
    }
  }
}
