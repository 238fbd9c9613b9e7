// SPDX-License-Identifier: MIT

/**
 * The client of the WebSocket relay, for any game. The page's own address names the room:
 *
 *     import { WebSocketRelay } from './ws-relay.js';
 *
 *     const relay = new WebSocketRelay(location.href);          // joins /ws-relay + path + query
 *     relay.onself = id => console.log(`we are ${id}`);         // again after every reconnect
 *     relay.onjoin = id => relay.send('hello there', id);       // to one
 *     relay.onquit = id => console.log(`${id} has left`);
 *     relay.onhello = (id, data) => console.log(id, data);      // for messages of type `hello`
 *     relay.onrecv = (id, msgtype, data) => {};                 // for those without a handler
 *     relay.onstatus = (status, { code, reason, retryIn }) => console.log(status, code);
 *     relay.send('move 3 4');                                   // to everyone else in the room
 *
 * `onstatus` tells 'connecting', 'open' (in the room) or 'closed', this with the close code (1006
 * if the browser knows none), the relay's reason, and `retryIn`, ms until the next try. Why a relay
 * refuses pages of this origin comes with the second try, and as an error in the console. Ids are
 * positive integers and hold for one connection. When it is lost they are all void: `id` is null,
 * `peers` is empty, and after `onstatus`, `onquit` is called for each peer that was there. The
 * relay is tried again until it answers, and `onself` tells the new id.
 *
 * Browsers delay a WebSocket after others have failed, Firefox by up to a minute. So all but a page's
 * first one wait until a `fetch` of the room's address is answered, by the relay and not by a proxy that does
 * not reach it. (From another origin the two differ in that the relay's answer may be read.) A page's
 * Content-Security-Policy should allow both in its `connect-src`: http: beside ws:, https: beside wss:.
 *
 * It works wherever there is a WebSocket: in pages and workers, in Deno, Bun, and Node from 22 on.
 * Where there is no page, or it has no http: address, the room's address is given in full.
 *
 * The guarantees to a handler: an id was announced by `onjoin` and has not quit, or is one's
 * own (what one sends to oneself comes back). Nothing else about a message can be trusted:
 * any msgtype and any data can come from any peer, at any rate. Messages `status` and `recv`
 * go to `onrecv`; `self`, `join` and `quit` are taken from the relay only. What a handler
 * throws is reported like any uncaught error and ends there. (By that error Node, Deno, Bun and their
 * workers end, unless they listen for it.)
 */

const FIRST_RETRY_MS = 250;     // ms before the first retry; doubles with each one that fails
const LONGEST_RETRY_MS = 2_000; // ms between retries (browsers stretch this by themselves in hidden tabs)
const FULL_MS = 30_000;         // ms before a relay that was full is asked again
const STEADY_MS = 10_000;       // ms a connection must last for the next retry to be quick again
const NO_ANSWER_MS = 10_000;    // ms without `self` after which an attempt is given up
const UNASKED_MS = 90_000;      // ms without a WebSocket after which one is tried unasked, if fetches are denied
const PULSE_MS = 10_000;        // ms between looks at whether anything still arrives
const PROBE = 'pulse';    // msgtype sent to oneself when nothing does

const ASCII = new TextDecoder('latin1');
const SENDABLE = /^(?:\*|\d+) (?!(?:self|join|quit)(?: |$))[^ ]/;
const OWN_HANDLERS = new Set(['status', 'recv']);
const OPEN = 1;                     // a WebSocket's readyState
const PROXY_ONLY = [502, 503, 504]; // HTTP statuses of a proxy that does not reach the relay

export class WebSocketRelay {
  // All four are for reading only.
  url;                    // of the room, ws: or wss:
  status = 'connecting';  // as told to onstatus
  id = null;              // our own, or null while not in the room
  peers = new Set();      // ids of the others in the room

  #open;                  // (url) => a WebSocket
  #listening = new AbortController();
  #socket = null;
  #asks = typeof fetch === 'function';   // before it opens another WebSocket
  #lastSocket = -Infinity;               // when the last one was given up, as performance.now()
  #attempt;                              // an AbortController, for an attempt that is given up
  #timer;                 // the one thing we wait for: an answer, the next look, the next try
  #attempts = 0;          // since the last steady connection
  #began = 0;             // when this attempt or connection began, as performance.now()
  #quietLooks = 0;        // how many looks in a row found that nothing had arrived
  #refusal = '';          // why no page of this origin is let in, if the relay has said so

  /**
   * Starts to connect; set the handlers in the same turn of the event loop.
   * `url` (http, https, ws or wss; relative to the page) names the room: `/ws-relay` goes before
   * its path, its query is kept, its fragment is not. Throws a TypeError for any other address.
   * `open` makes the WebSocket, or what acts like one (threaded-socket.js).
   */
  constructor(url, { open = url => new WebSocket(url) } = {}) {
    if (!URL.canParse(url, globalThis.location?.href)) {
      throw new TypeError(`expected an address in full, as in ws://host:8080/game, got '${url}'`);
    }
    const room = new URL(url, globalThis.location?.href);
    if (!/^(http|ws)s?:$/.test(room.protocol)) throw new TypeError(`no relay at ${room.protocol}`);
    room.protocol = room.protocol.replace('http', 'ws');
    room.pathname = `/ws-relay${room.pathname}`;
    room.hash = '';
    this.url = room.href;
    this.#open = open;
    const { signal } = this.#listening;
    globalThis.addEventListener?.('online', this.#hurry, { signal });
    globalThis.addEventListener?.('pageshow', this.#hurry, { signal });
    globalThis.addEventListener?.('pagehide', this.#away, { signal });
    globalThis.document?.addEventListener('visibilitychange', this.#hurry, { signal });
    globalThis.addEventListener?.('securitypolicyviolation', this.#forbid, { signal });
    queueMicrotask(() => this.status === 'connecting' && this.#connect());
  }

  /**
   * Sends `<msgtype>[ <data>]`, a string or a Uint8Array that begins with the same in ASCII, to
   * the peer with the id `target` or to everyone else. Returns whether it was handed to the
   * connection: false while there is none, and for what the relay would refuse (no msgtype, or
   * `self`, `join`, `quit`). Over the relay's limit, 1 MiB unless it was started with another, a
   * message is lost and the connection with it (1009). A peer that has just quit gets nothing.
   */
  send(message, target = '*') {
    const binary = message instanceof Uint8Array;
    const text = `${target} ${binary ? ASCII.decode(message.subarray(0, 5)) : message}`;
    if (this.id === null || this.#socket.readyState !== OPEN || !SENDABLE.test(text)) return false;
    this.#socket.send(binary ? join(`${target} `, message) : text);
    return true;
  }

  /** Bytes sent but still on this side: a game skips its next report rather than let this grow. */
  get buffered() {
    return this.#socket?.bufferedAmount ?? 0;
  }

  /** Leaves the room for good; the handlers hear of it as of any loss, with `retryIn` null. */
  close() {
    this.#listening.abort();
    this.#leave(1000, '', null);
  }

  async #connect() {
    const { signal } = this.#attempt = new AbortController();
    this.#began = performance.now();
    this.#after(NO_ANSWER_MS, () => this.#lost(1006, 'no answer'));
    this.#report('connecting');
    const asks = this.#asks && performance.now() - this.#lastSocket < UNASKED_MS;
    const answered = !asks || await this.#isAnswered(signal);
    if (signal.aborted) return;
    if (!answered) return this.#lost(1006, '');
    try {
      const socket = this.#open(this.url);
      socket.binaryType = 'arraybuffer';
      // A socket given up may still speak: only the current one is listened to.
      socket.onmessage = ({ data }) => socket === this.#socket && this.#receive(data);
      socket.onclose = ({ code, reason }) => socket === this.#socket && this.#lost(code || 1006, reason);  // 0 in Deno
      // Outside of browsers it has a message, and in Node 20 no `onclose` after it.
      socket.onerror = ({ message = '' }) => socket === this.#socket && this.id === null && this.#lost(1006, message);
      this.#socket = socket;
    } catch (refused) {  // by the browser, which forbids ws: to a page that came over https:
      this.#lost(1006, refused.message);
    }
  }

  /** Whether the relay is there. A page of another origin can read its answer, and not that of a proxy in between. */
  async #isAnswered(signal) {
    try {
      const { status } = await fetch(this.#httpUrl, { method: 'HEAD', cache: 'no-store', signal });
      return !PROXY_ONLY.includes(status);
    } catch {
      return false;
    }
  }

  /** The page's Content-Security-Policy forbids the fetch, and may still allow the WebSocket. */
  #forbid = ({ disposition, blockedURI }) => {
    if (disposition === 'enforce' && blockedURI && this.#httpUrl.startsWith(blockedURI)) this.#asks = false;
  };

  get #httpUrl() {
    return this.url.replace('ws', 'http');
  }

  #lost(code, reason) {
    const lasted = performance.now() - this.#began;
    const unanswered = this.id === null && code === 1006;
    if (unanswered && this.#attempts === 0) this.#askWhy();
    if (this.id !== null && lasted > STEADY_MS) this.#attempts = 0;
    // Counted from the start of an attempt, since browsers delay attempts by up to 5 s after many.
    const spent = this.id === null ? lasted : 0;
    this.#leave(code, reason || (unanswered ? this.#refusal : ''), Math.max(0, this.#backOff(code) - spent));
  }

  /** Scripts are not told why a handshake was refused, but the relay says it in its response to a `fetch`. */
  async #askWhy() {
    if (!this.#asks || new URL(this.url).host === globalThis.location?.host) return;
    try {
      const answer = await fetch(this.#httpUrl, { signal: this.#listening.signal });
      if (answer.status !== 403) return;
      this.#refusal = (await answer.text()).trim();
      console.error(`${this.url}: ${this.#refusal}`);
    } catch {
      // nobody is there, or nobody who speaks to pages from elsewhere
    }
  }

  /** In ms, jittered by half so that a restarted relay does not meet everybody at once. */
  #backOff(code) {
    const usual = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** this.#attempts++);
    // 1008 and 1009 answer what we did (sent what is refused, read too slowly): no quick repeat.
    const least = code === 1013 ? FULL_MS : code === 1008 || code === 1009 ? LONGEST_RETRY_MS : 0;
    return Math.max(usual, least) * (0.5 + Math.random() / 2);
  }

  #leave(code, reason, retryIn) {
    const gone = [...this.peers];
    const socket = this.#socket;
    if (socket) this.#lastSocket = performance.now();
    this.#attempt?.abort();
    this.#socket = this.id = null;
    this.peers.clear();
    socket?.close(1000);
    clearTimeout(this.#timer);
    if (retryIn !== null) this.#after(retryIn, () => this.#connect());
    this.#report('closed', { code, reason, retryIn });
    for (const id of gone) this.#call('onquit', id);
  }

  /** The network is back, or somebody is looking again: wait no longer, trust no old silence. */
  #hurry = () => {
    if (globalThis.document?.hidden) return;
    if (this.status === 'closed') this.#connect();
    if (this.status !== 'open') return;
    this.#quietLooks = 1;
    this.#look();
  };

  /** A page that was left may be kept with its connection open: a ghost, until it is shown again. */
  #away = () => this.#leave(1001, 'the page was left', null);

  /** Scripts see no pings, so a link that died unnoticed is found by a word to oneself. */
  #look() {
    if (this.#quietLooks === 2) return this.#lost(1006, 'nothing arrives any more');
    if (this.#quietLooks++ === 1) this.send(PROBE, this.id);
    this.#after(PULSE_MS, () => this.#look());
  }

  #receive(message) {
    this.#quietLooks = 0;
    const { id, msgtype, data } = parse(message);
    if (this.id === null) return msgtype === 'self' && this.#enter(id);
    if (msgtype === 'self') return;  // the relay says it once, first
    if (msgtype === 'join') return this.#join(id);
    if (msgtype === 'quit') return this.peers.delete(id) && this.#call('onquit', id);
    if (id === this.id ? msgtype === PROBE : !this.peers.has(id)) return;
    dispatch(this, id, msgtype, data);
  }

  #enter(id) {
    this.id = id;
    this.#refusal = '';
    this.#after(PULSE_MS, () => this.#look());
    this.#report('open');
    this.#call('onself', id);
  }

  #join(id) {
    if (id === this.id || this.peers.has(id)) return;
    this.peers.add(id);
    this.#call('onjoin', id);
  }

  #report(status, detail = {}) {
    this.status = status;
    this.#call('onstatus', status, detail);
  }

  #call(handler, ...args) {
    call(this, handler, ...args);
  }

  #after(ms, action) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(action, ms);
  }
}

/** An ASCII text and what follows it, in bytes. */
function join(text, bytes) {
  const joined = new Uint8Array(text.length + bytes.length);
  new TextEncoder().encodeInto(text, joined);
  joined.set(bytes, text.length);
  return joined;
}

/** `<id> <msgtype>[ <data>]`, text or bytes: data is a string or a Uint8Array, empty if none. */
function parse(message) {
  const [id, rest] = cut(typeof message === 'string' ? message : new Uint8Array(message));
  const [msgtype, data] = cut(rest);
  return { id: Number(id), msgtype, data };
}

// ---- Shared with webrtc-relay.js ----

/** Cuts a string or Uint8Array at the first space: returns what comes before, as a string, and what comes after. */
export function cut(message) {
  const text = typeof message === 'string';
  const space = message.indexOf(text ? ' ' : 0x20);
  const end = space < 0 ? message.length : space;
  const head = message.slice(0, end);
  return [text ? head : ASCII.decode(head), message.slice(end + 1)];
}

/** Hands a message to the relay's handler for its type, or to `onrecv`. */
export function dispatch(relay, id, msgtype, data) {
  const handler = `on${msgtype}`;
  if (typeof relay[handler] === 'function' && !OWN_HANDLERS.has(msgtype)) call(relay, handler, id, data);
  else call(relay, 'onrecv', id, msgtype, data);
}

/** Calls a handler of the relay, if there is one, and reports what it throws. */
export function call(relay, handler, ...args) {
  try {
    relay[handler]?.(...args);
  } catch (error) {
    if (globalThis.reportError) reportError(error);
    else queueMicrotask(() => { throw error; });   // as Node reports it
  }
}
