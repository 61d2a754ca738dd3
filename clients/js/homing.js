// Homing's plain WebSocket, from a page: it comes back by itself, resumes where it was, and shows each message once.
// README.md tells how it is used. No dependencies; an ES module for browsers, and for Node.js with a WebSocket.

const RETURNING = new Set([1001, 1005, 1006, 1011, 1012, 1013]);
const KEPT = 1000; // so many ids are remembered of shown messages, and of read ones that the server must still hear of
const EVENTS = ['message', 'connected', 'closed', 'read', 'gap', 'error', 'answer'];

// A close code after which it makes sense to come back: the codes of Homing from 4000 to 4099, and what networks and
// restarts bring about. Not after 4100 to 4199: those ask for another token.
export function comesBack(code) {
  return RETURNING.has(code) || (code >= 4000 && code <= 4099);
}

// How long to wait before an attempt, in ms: anything from nothing to a bound that doubles. After a restart of a node its
// clients then come back one by one, and not all at once.
export function pause(attempt, { base = 500, cap = 30_000 } = {}, random = Math.random) {
  return Math.floor(random() * Math.min(cap, base * 2 ** Math.min(attempt, 30)));
}

function trim(set) {
  for (const oldest of set) if (set.size > KEPT) set.delete(oldest);
}

export class Homing {
  #url; #options; #token; #socket = null; #stopped = true; #attempt = 0; #timer = null; #beat = null;
  #handlers = new Map(EVENTS.map((name) => [name, new Set()]));
  #places = new Map(); // stream → { epoch, offset }: everything up to there was shown
  #tops = new Map(); // stream → where it stood when its replay began
  #shown = new Set(); // ids, the oldest first
  #reads = new Set(); // ids that the server has not confirmed as read
  #heartbeat = 25_000;

  // url: wss://HOST/ws. Options: token (text, or a function that may take its time), tokenIn ('query' or 'message'),
  // onTokenNeeded(code, reason), backoff { base, cap } in ms, onMessage and so on for each event; WebSocket, random.
  constructor(url, options = {}) {
    this.#url = url;
    this.#options = options;
    this.#token = options.token ?? null;
    for (const name of EVENTS) {
      const handler = options[`on${name[0].toUpperCase()}${name.slice(1)}`];
      if (handler) this.on(name, handler);
    }
  }

  // Calls `handler` at each event of that name. Answers how to stop that.
  on(name, handler) {
    this.#handlers.get(name).add(handler);
    return () => this.#handlers.get(name).delete(handler);
  }

  // Connects, and stays connected until `close`.
  connect() {
    if (!this.#stopped) return this;
    this.#stopped = false;
    globalThis.addEventListener?.('online', this.#hurry);
    this.#open();
    return this;
  }

  // Ends it. What was marked as read and is not confirmed is told at the next `connect`.
  close() {
    this.#stopped = true;
    globalThis.removeEventListener?.('online', this.#hurry);
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#drop(1000, 'done');
  }

  // The user has read this message, or these. May be called at any time; it is repeated until the server confirms it.
  read(ids) {
    const fresh = [ids].flat().map(String);
    for (const id of fresh) this.#reads.add(id);
    trim(this.#reads);
    this.#tell(fresh.slice(-KEPT));
  }

  #tell(ids) {
    if (this.connected && this.user !== null && ids.length) this.#send({ msg_type: 'read', ids });
  }

  // Sends any other frame, such as a JSON-RPC request; false = there is no connection, and it was not sent.
  send(frame) {
    if (!this.connected) return false;
    this.#send(frame);
    return true;
  }

  connected = false;
  user = null; // who the server says we are; null = nobody, or not yet

  // Where each stream stands: { 'u:42': { epoch, offset } }.
  get places() { return Object.fromEntries(this.#places); }

  #emit(name, value) {
    for (const handler of this.#handlers.get(name)) {
      try {
        handler(value);
      } catch (error) {
        console.error(`homing: a handler of "${name}" failed`, error); // the page's fault must not cost a message
      }
    }
  }

  #send(frame) { this.#socket.send(JSON.stringify(frame)); }

  #resume() {
    return Object.fromEntries([...this.#places].map(([stream, at]) => [stream, [at.epoch, at.offset]]));
  }

  async #open() {
    clearTimeout(this.#timer);
    this.#timer = null;
    let socket;
    const byMessage = this.#options.tokenIn === 'message';
    try {
      const token = typeof this.#token === 'function' ? await this.#token() : this.#token;
      if (this.#stopped || this.#socket) return;
      const url = new URL(this.#url, globalThis.location?.href);
      if (token && !byMessage) url.searchParams.set('token', token);
      if (this.#places.size && !(token && byMessage)) url.searchParams.set('resume', JSON.stringify(this.#resume()));
      socket = new (this.#options.WebSocket ?? globalThis.WebSocket)(url.href);
      const login = { msg_type: 'login', token, resume: this.#resume() };
      if (token && byMessage) socket.onopen = () => socket.send(JSON.stringify(login));
    } catch (error) {
      if (!this.#stopped) this.#again(1006, String(error)); // no token to be had now, say
      return;
    }
    this.#socket = socket;
    socket.onmessage = ({ data }) => this.#socket === socket && this.#frame(data);
    socket.onclose = ({ code, reason }) => this.#socket === socket && this.#lost(code, reason);
    socket.onerror = () => {}; // a close follows
    this.#listen();
  }

  // Anything that arrives shows that the connection lives. After a silence we ask; no answer means that it is dead,
  // which browsers do not notice for minutes.
  #listen() {
    clearTimeout(this.#beat);
    this.#beat = setTimeout(() => {
      if (this.connected) this.#send({ msg_type: 'ping' });
      this.#beat = setTimeout(() => {
        this.#drop(4003, 'silent');
        this.#again(1006, 'the server is silent');
      }, Math.max(this.#heartbeat / 2, 50));
    }, this.#heartbeat);
  }

  // Takes leave of the socket: whatever it still says is not heard. With a code it is closed.
  #drop(code, reason) {
    clearTimeout(this.#beat);
    const socket = this.#socket;
    this.#socket = null;
    this.connected = false;
    if (code !== undefined) socket?.close(code, reason);
  }

  #frame(text) {
    this.#listen();
    let frame;
    try {
      frame = JSON.parse(text);
    } catch {
      return; // nothing of ours
    }
    if (Array.isArray(frame) || frame?.jsonrpc) return this.#emit('answer', frame);
    switch (frame?.msg_type) {
      case undefined: case 'pong': case 'login': case 'unsubscribed': return;
      case 'connected': return this.#hello(frame.data ?? {});
      case 'subscribed': return this.#begin(frame.data?.streams ?? {});
      case 'acked': return (frame.ids ?? []).forEach((id) => this.#reads.delete(id));
      case 'read': return this.#emit('read', frame.ids ?? []);
      case 'error': return this.#emit('error', frame.data ?? {});
      default: if (this.#isNew(frame)) this.#emit('message', frame);
    }
  }

  #hello(data) {
    this.#attempt = 0;
    this.connected = true;
    this.user = data.user ?? null;
    if (data.heartbeat_ms > 0) this.#heartbeat = data.heartbeat_ms;
    this.#listen();
    this.#tell([...this.#reads]);
    for (const stream of this.#places.keys()) {
      if (!(stream in (data.streams ?? {}))) this.#places.delete(stream); // we follow it no more
    }
    this.#emit('connected', data);
    this.#begin(data.streams ?? {});
  }

  // These streams are followed from here on.
  #begin(streams) {
    for (const [stream, top] of Object.entries(streams)) {
      const had = this.#places.get(stream) ?? null;
      if (had && top.recovered) continue;
      // What follows is what is unread. The place counts again from the newest message on: a connection that breaks
      // in the middle of the replay gets all of it again.
      this.#places.delete(stream);
      this.#tops.set(stream, top);
      if (had || top.truncated) this.#emit('gap', { stream, truncated: top.truncated === true, had });
    }
  }

  // Notes a message's place and id; false = it was shown before.
  #isNew({ id, stream, epoch, offset }) {
    if (stream !== undefined && offset > 0) {
      const at = this.#places.get(stream);
      if (at && at.epoch === epoch && offset <= at.offset) return false;
      const top = this.#tops.get(stream);
      if (at || !top || epoch !== top.epoch || offset >= top.offset) this.#places.set(stream, { epoch, offset });
    }
    if (id === undefined) return true;
    if (this.#shown.has(id)) return false;
    this.#shown.add(id);
    trim(this.#shown);
    return true;
  }

  async #lost(code, reason) {
    this.#drop();
    if (comesBack(code)) return this.#again(code, reason);
    this.#emit('closed', { code, reason, again: null });
    let token = null;
    try {
      if (code >= 4100 && code <= 4199) token = await this.#options.onTokenNeeded?.(code, reason);
    } catch (error) {
      console.error('homing: no new token', error);
    }
    if (this.#stopped) return;
    if (!token) return this.close(); // nothing more is tried until somebody calls `connect`
    if (typeof this.#token !== 'function') this.#token = token;
    // At once for the first time; a token that is refused again takes its time.
    this.#later(this.#attempt ? pause(this.#attempt, this.#options.backoff, this.#options.random) : 0);
  }

  #again(code, reason) {
    const again = pause(this.#attempt, this.#options.backoff, this.#options.random);
    this.#later(again);
    this.#emit('closed', { code, reason, again });
  }

  #later(time) {
    this.#attempt += 1;
    this.#timer = setTimeout(() => this.#open(), time);
  }

  // The network is back.
  #hurry = () => this.#timer !== null && !this.#socket && this.#open();
}
