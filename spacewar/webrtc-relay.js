// SPDX-License-Identifier: MIT

/**
 * A relay whose messages go from page to page directly wherever they can, for any game:
 *
 *     import { WebRTCRelay } from './webrtc-relay.js';
 *
 *     const relay = new WebRTCRelay(location.href, { lossy: ['report'] });
 *     relay.onpath = (id, path) => {};      // 'relay' or 'webrtc', as path(id): how messages go to it now
 *
 * All else is as in ws-relay.js: read there what a relay does and guarantees. Each pair of pages starts over the
 * relay, changes to a WebRTC data channel when one opens, and back when that fails, without losing, doubling or
 * reordering messages. Only messages of the types in `lossy` may get lost or overtake one another on the direct path;
 * in return none of them waits for another. (What a page sends to all before its `onjoin` for a newcomer may or may
 * not reach that one.) A connection that fails is replaced after 1 s, the next after 2 s, 4 s and so on up to a minute.
 * `ice` is the address of an RTCConfiguration as JSON, with the ICE servers to ask. In a browser without WebRTC it
 * works as a WebSocketRelay.
 *
 * `buffered` counts what waits on all paths. To send much, send more only while that is little:
 *
 *     while (relay.buffered < 65_536 && chunks.length) relay.send(chunks.shift());   // and again in some ms
 *
 * On a direct path some 64 KB are under way at a time: 640 KB/s where a round trip takes 100 ms. What is buffered is
 * lost on close().
 *
 * When the relay is lost, the peers that are connected directly stay: `peers` keeps them, `id` is what it was, and
 * messages of up to 16 KB reach them. The others have quit. When the relay is back, everybody is new to everybody,
 * as with a WebSocketRelay: the peers that stayed quit, `onself` tells the new id, all who are there join, and the
 * pairs connect anew. A peer that has only lost its own WebSocket stays in the same way, until it is back.
 *
 *                          the connection is open                 the relay is lost,
 *                      and what the relay brought has come         or has lost the peer
 *     join ---> relay ------------------------------> direct ----------------------------> without the relay
 *                 |   <------------------------------                                        |
 *                 |    the connection is degraded or closed           degraded or closed, or |
 *                 |                                                    the relay is back      v
 *                 `----- the relay is lost, or has lost the peer -------------------------> quit
 *
 * These are the messages of this module to itself on other pages. They can't be sent, and reach no handler:
 *
 *     webrtc                   to all, by a newcomer: whoever was in the room before it may offer it a connection
 *     offer 1 SDP              sets up a connection (connection.js), which the pair has numbered 1
 *     answer 1 SDP             ... likewise
 *     candidate 1 CANDIDATE    ... likewise
 *     hangup 1                 that connection is closed, or refused
 *     ' id 7'                  the first message over the channel: the sender's id in the room
 *     path webrtc 4, path relay 7, and over the channel ' path 4', ' ack 6': see stream.js
 *
 * The ids are compared because a peer could pass on the offers and answers of two others as its own: these two would
 * then be connected, and each would take the other for that peer.
 */

import { BEAT_MS, Connection, configurationFrom } from './connection.js';
import { MessageStream, fitsChannel } from './stream.js';
import { WebSocketRelay, call, cut, dispatch } from './ws-relay.js';

const MOST_CONNECTIONS = 32;    // at once; browsers manage a few hundred
const NEW_PER_BEAT = 0.5;       // connections that may be started beyond those: each visitor of a crowd costs one
const LONGEST_PAUSE = 120;      // beats between two attempts to connect with a peer
const STEADY_BEATS = 20;        // that a connection must be open for the next pause to be short again

const SIGNALS = new Set(['offer', 'answer', 'candidate', 'hangup']);
const RESERVED = new Set([...SIGNALS, 'webrtc', 'path', 'self', 'join', 'quit']);
const SIGNAL = /^([1-9]\d{0,8})(?: ([^]*))?$/;
const CHANNEL_WORD = /^ (id|path|ack) (\d{1,15})$/;

export class WebRTCRelay {
  #relay;
  #ice;
  #lossy;
  #configuration = null;    // a promise of the RTCConfiguration, asked for whenever we enter a room
  #routes = new Map();      // by the peer's id
  #id = null;               // our last own
  #connections = 0;
  #allowance = MOST_CONNECTIONS;   // connections that may be started now
  #listening = new AbortController();
  #beating;

  /** As for WebSocketRelay; `relay` is what is used instead of one, if it is of the same kind. */
  constructor(url, { lossy = [], relay = new WebSocketRelay(url), ice = new URL('ice.json', import.meta.url) } = {}) {
    this.#relay = relay;
    this.#ice = ice;
    this.#lossy = new Set(lossy);
    relay.onstatus = (status, detail) => call(this, 'onstatus', status, detail);
    relay.onself = id => this.#enter(id);
    relay.onjoin = id => this.#join(id);
    relay.onquit = id => this.#quit(id);
    relay.onrecv = (id, msgtype, data) => this.#receiveRelayed(id, msgtype, data);
    globalThis.addEventListener?.('pagehide', () => this.#disconnect(), { signal: this.#listening.signal });
    this.#beating = setInterval(() => this.#beat(), BEAT_MS);
  }

  get url() {
    return this.#relay.url;
  }

  get status() {
    return this.#relay.status;
  }

  get id() {
    return this.#relay.id ?? (this.#some(isDirect) ? this.#id : null);
  }

  get peers() {
    return new Set(this.#routes.keys());
  }

  /** Bytes sent but still on this side, on all paths together, without what may get lost. */
  get buffered() {
    let bytes = this.#relay.buffered;
    for (const { stream, connection } of this.#routes.values()) bytes += stream.waiting + (connection?.buffered ?? 0);
    return bytes;
  }

  /** 'webrtc' or 'relay': how the next message goes to a peer. */
  path(id) {
    const route = this.#routes.get(id);
    return route && isDirect(route) ? 'webrtc' : 'relay';
  }

  send(message, target = '*') {
    const [msgtype] = cut(message);
    if (msgtype === '' || RESERVED.has(msgtype)) return false;
    if (target !== '*') {
      const route = this.#routes.get(Number(target));
      return route ? this.#send(route, message, msgtype) : this.#relay.send(message, target);
    }
    if (!this.#some(({ stream }) => stream.path !== 'relay')) return this.#relay.send(message);   // once, for all
    let sent = this.#relay.id !== null;
    for (const route of this.#routes.values()) sent = this.#send(route, message, msgtype) || sent;
    return sent;
  }

  close() {
    clearInterval(this.#beating);
    this.#listening.abort();
    this.#relay.close();
    this.#disconnect();
  }

  #send(route, message, msgtype) {
    const { id, stream, connection, isInRoom } = route;
    if (!isInRoom && !fitsChannel(message)) return false;
    if (!this.#lossy.has(msgtype)) return stream.send(message);
    if (!isDirect(route)) return this.#relay.send(message, id);
    connection.send(message, true);
    return true;
  }

  #disconnect() {
    for (const { connection } of [...this.#routes.values()]) connection?.close();
  }

  // ---- Who is here ----

  #enter(id) {
    for (const route of [...this.#routes.values()]) this.#drop(route);   // who is here, the relay tells next
    this.#id = id;
    if (globalThis.RTCPeerConnection) {
      this.#configuration = configurationFrom(this.#ice);
      this.#relay.send('webrtc');
    }
    call(this, 'onself', id);
  }

  #join(id) {
    const route = new Route(id);
    route.stream = new MessageStream({
      relay: message => this.#relay.send(message, id),
      channel: message => route.connection?.send(message),
      deliver: message => this.#dispatch(id, ...cut(message)),
      onpath: path => call(this, 'onpath', id, path),
    });
    this.#routes.set(id, route);
    call(this, 'onjoin', id);
  }

  /** The relay says that a peer has quit, as it does of all when it is lost. */
  #quit(id) {
    const route = this.#routes.get(id);
    if (!route) return;
    route.isInRoom = false;
    if (!isDirect(route)) this.#drop(route);
  }

  #drop(route) {
    if (!this.#isHere(route)) return;
    this.#routes.delete(route.id);
    route.connection?.close();
    call(this, 'onquit', route.id);
  }

  #isHere(route) {
    return this.#routes.get(route.id) === route;
  }

  #some(condition) {
    return [...this.#routes.values()].some(condition);
  }

  // ---- What comes ----

  /** Takes a message that came through the relay. */
  #receiveRelayed(id, msgtype, data) {
    if (id === this.#relay.id) return this.#dispatch(id, msgtype, data);
    const route = this.#routes.get(id);
    if (!route) return;
    if (SIGNALS.has(msgtype)) this.#takeSignal(route, msgtype, data);
    else if (msgtype === 'webrtc') this.#startOffering(route);
    else if (msgtype === 'path') route.stream.pathChanged(data);
    else if (!route.stream.skipsNext()) this.#dispatch(id, msgtype, data);
  }

  /** Takes a message that came over a channel. One that begins with a space is this module's own. */
  #receiveDirect({ id, stream, connection }, message, isLossy) {
    const [, word, number] = typeof message === 'string' && CHANNEL_WORD.exec(message) || [];
    const [msgtype, data] = cut(message);
    if (word === 'id' && Number(number) !== id) connection.close();
    else if (word === 'path') stream.channelStarts(Number(number));
    else if (word === 'ack') stream.acknowledged(Number(number));
    else if (msgtype === '') return;
    else if (!isLossy) stream.receive(message);
    else if (stream.isAccepting) this.#dispatch(id, msgtype, data);
  }

  #dispatch(id, msgtype, data) {
    if (msgtype !== '' && !RESERVED.has(msgtype)) dispatch(this, id, msgtype, data);
  }

  // ---- Connections ----

  /** A newcomer speaks WebRTC. Of each pair the one with the lesser id, who was in the room before, offers. */
  #startOffering(route) {
    route.offers = route.id > this.#relay.id;
    this.#offer(route);
  }

  /** Starts a connection if this page offers them to the peer, the pause is over and the limits allow. */
  #offer(route) {
    if (route.offers && !route.connection && route.pause <= 0) this.#connect(route, route.number + 1);
  }

  /** Starts the connection with a number; returns false if the limits do not allow it. */
  #connect(route, number) {
    if (!this.#configuration || this.#connections === MOST_CONNECTIONS || this.#allowance < 1) return false;
    this.#connections++;
    this.#allowance--;
    route.number = number;
    route.openBeats = 0;
    route.connection = new Connection({
      offers: route.offers,
      configuration: this.#configuration,
      signal: (msgtype, data) => this.#signal(route, msgtype, `${number} ${data}`),
      onstate: state => this.#stateChanged(route, state),
      onmessage: (message, isLossy) => this.#receiveDirect(route, message, isLossy),
    });
    return true;
  }

  #signal({ id, isInRoom }, msgtype, data) {
    if (isInRoom) this.#relay.send(`${msgtype} ${data}`, id);
  }

  /** Takes a peer's signal. An offer with a greater number replaces the connection that there may be. */
  #takeSignal(route, msgtype, text) {
    const [, digits, data] = typeof text === 'string' && SIGNAL.exec(text) || [];
    const number = Number(digits);
    if (msgtype === 'offer' && number > route.number && route.id < this.#relay.id) {
      route.connection?.close();
      if (!this.#connect(route, number)) this.#signal(route, 'hangup', number);
    }
    if (number !== route.number || !route.connection) return;
    if (msgtype === 'hangup') route.connection.close();
    else route.connection.receive(msgtype, data);
  }

  /** The connection has become open, degraded or closed. */
  #stateChanged(route, state) {
    const { connection, stream } = route;
    if (state === 'closed') this.#closed(route);
    if (!this.#isHere(route)) return;
    if (state === 'open') {
      stream.useChannel();
      connection.send(` id ${this.#id}`);
      connection.send(stream.acknowledgement);   // what was acknowledged before both sides were open is lost
    } else if (route.isInRoom) {
      stream.useRelay();
    } else {
      this.#drop(route);
    }
  }

  #closed(route) {
    this.#connections--;
    route.connection = null;
    route.failures = route.openBeats < STEADY_BEATS ? route.failures + 1 : 1;
    route.pause = Math.min(LONGEST_PAUSE, 2 ** route.failures);
    this.#signal(route, 'hangup', route.number);
  }

  #beat() {
    this.#allowance = Math.min(MOST_CONNECTIONS, this.#allowance + NEW_PER_BEAT);
    for (const route of [...this.#routes.values()]) {
      const { connection, stream } = route;
      route.pause--;
      if (connection?.state === 'open') route.openBeats++;
      connection?.beat(stream.acknowledgement);
      stream.beat();
      if (stream.isBehind) connection?.close();
    }
    // The peers whose connections have failed least go first.
    for (const route of [...this.#routes.values()].sort((a, b) => a.failures - b.failures)) this.#offer(route);
  }
}

/** How a peer is reached. */
class Route {
  stream = null;       // see stream.js
  connection = null;   // see connection.js
  isInRoom = true;     // until the relay is lost or says that the peer has quit
  offers = false;      // whether we offer connections
  number = 0;          // of the latest connection
  openBeats = 0;       // for which that has been open
  failures = 0;        // connections in a row that were not open for long
  pause = 0;           // beats until the next may be offered

  constructor(id) {
    this.id = id;
  }
}

/** Whether messages go over the channel. */
function isDirect({ stream }) {
  return stream.path === 'webrtc';
}
