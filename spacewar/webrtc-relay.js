// SPDX-License-Identifier: MIT

/**
 * A relay that takes its messages from page to page directly wherever it can, for any game:
 *
 *     import { WebRTCRelay } from './webrtc-relay.js';
 *
 *     const relay = new WebRTCRelay(location.href, { lossy: ['report'] });
 *     relay.onpath = (id, path) => {};      // 'relay' or 'webrtc', as path(id): how messages go to it now
 *     relay.onrename = (was, id) => {};     // the same peer, by another id
 *
 * All else is as in ws-relay.js: read there what a relay does and guarantees. Each pair of pages begins
 * over the relay, goes over to a WebRTC data channel when one opens, and back when it fails, and nothing
 * gets lost, doubled or overtaken by that (order.js). Only messages of the types in `lossy` may get lost or
 * be overtaken, and only on the direct way: in return none of them waits for another. Without WebRTC in the
 * browser it is a WebSocketRelay. `offer`, `answer`, `candidate`, `path` and `reunite` are what pages with
 * this module say to each other: they can't be sent, and reach no handler.
 *
 * Whoever was in the room before offers a connection (link.js) to whoever comes, at its first word (this
 * module says `path` when it enters): so the silent cost none, and the talkative get the next that is free.
 * `ice` is the address of
 * an RTCConfiguration as JSON: which ICE servers to ask.
 *
 * Those who are connected don't need the relay to go on. When it is lost, they stay: `peers` keeps them,
 * `id` stays what it was, and messages of up to 16 KB reach them; the others have quit. When the relay is
 * back, all get new ids, and onrename tells which peer has which: one that no relay gives (2³¹ and more)
 * before `onself`, and its own when it is known. (A message over 16 KB may get lost or doubled meanwhile.)
 *
 * A peer that is connected, but to which the relay does not lead, is parted. Whoever is in the room tells
 * each parted peer, over the channel, the own id and a secret made for that peer:
 *
 *     ' now 7 secret'             over the channel: I am 7 in the room; who tells me this secret there is you
 *     reunite secret fingerprint  the answer, through the relay to 7
 *
 * Only who heard the secret can say it, so the id from which it comes is the peer's. The fingerprint is that
 * of the certificate which the speaker has in the connection over which it was heard: so nobody can pass on
 * a secret as his own, and have an honest page say it. Nothing else that is said of ids is believed. While a
 * peer is parted, whoever joins waits at the door, three seconds at most: it may be that peer.
 *
 * The same is done for a peer that the relay says has quit while its channel is open: it may have lost
 * only the relay. Whoever closes the page closes the connections too, so that all know at once.
 */

import { BEAT, Link, configurationFrom } from './link.js';
import { Order } from './order.js';
import { WebSocketRelay } from './ws-relay.js';

const LINKS = 32;            // connections at once; browsers manage a few hundred
const LINKS_PER_BEAT = 0.5;  // how fast new ones are allowed again after so many: each visitor costs one
const PARTED = 30;           // beats in the room after which who has not come back has quit
const AT_DOOR = 6;           // beats that a newcomer may have to wait; a parted peer on a busy computer takes two
const AT_DOOR_SIZE = 65_536; // characters or bytes that may wait with it
const NAMELESS = 2 ** 31;    // more than any id that a relay gives
const ANSWERS = 8;           // to ' now' from one peer until it is back, since it chooses who gets them
const LONGEST_WORD = 100;    // characters of what the modules say to each other over a channel

const ASCII = new TextDecoder('latin1');
const SIGNALS = new Set(['offer', 'answer', 'candidate']);
const RESERVED = new Set([...SIGNALS, 'path', 'reunite', 'self', 'join', 'quit']);
const OWN_HANDLERS = new Set(['status', 'recv', 'path', 'rename']);

export class WebRTCRelay {
  #relay;
  #ice;
  #lossy;
  #configuration = null;    // a promise of the RTCConfiguration, asked for whenever we enter a room
  #peers = new Map();       // by id
  #door = new Map();        // by id: { beats, waiting, size }
  #id = null;               // our last own
  #nameless = NAMELESS;     // the next such id
  #links = 0;
  #allowance = LINKS;       // connections that may be begun now
  #listening = new AbortController();
  #beating;

  /** As for WebSocketRelay; `relay` is what is used instead of one, if it is of the same kind. */
  constructor(url, { lossy = [], relay = new WebSocketRelay(url), ice = new URL('ice.json', import.meta.url) } = {}) {
    this.#relay = relay;
    this.#ice = ice;
    this.#lossy = new Set(lossy);
    relay.onstatus = (status, detail) => this.#call('onstatus', status, detail);
    relay.onself = id => this.#enter(id);
    relay.onjoin = id => this.#arrive(id);
    relay.onquit = id => this.#depart(id);
    relay.onrecv = (id, msgtype, data) => this.#receive(id, msgtype, data);
    globalThis.addEventListener?.('pagehide', () => this.#disconnect(), { signal: this.#listening.signal });
    this.#beating = setInterval(() => this.#beat(), BEAT);
  }

  get url() {
    return this.#relay.url;
  }

  get status() {
    return this.#relay.status;
  }

  get id() {
    return this.#relay.id ?? (this.#some(({ order }) => order.direct) ? this.#id : null);
  }

  get peers() {
    return new Set(this.#peers.keys());
  }

  /** Bytes not yet sent to the relay: one slow peer with a channel does not hold back what all others get. */
  get buffered() {
    return this.#relay.buffered;
  }

  /** 'webrtc' or 'relay': how the next message goes to a peer. */
  path(id) {
    return this.#peers.get(id)?.order.direct ? 'webrtc' : 'relay';
  }

  send(message, target = '*') {
    const { msgtype } = split(message);
    if (msgtype === '' || RESERVED.has(msgtype)) return false;
    if (target !== '*') {
      const peer = this.#peers.get(Number(target));
      return peer ? this.#send(peer, message, msgtype) : this.#relay.send(message, target);
    }
    if (!this.#some(({ order }) => order.direct)) return this.#relay.send(message);
    let sent = this.#relay.id !== null;
    for (const peer of this.#peers.values()) sent = this.#send(peer, message, msgtype) || sent;
    return sent;
  }

  close() {
    clearInterval(this.#beating);
    this.#listening.abort();
    this.#relay.close();
    this.#disconnect();
  }

  #send({ link, order }, message, msgtype) {
    if (!order.direct || !this.#lossy.has(msgtype)) return order.send(message);
    link.send(message, true);
    return true;
  }

  #disconnect() {
    for (const { link } of [...this.#peers.values()]) link?.close();
  }

  // ---- Who is here ----

  #enter(id) {
    this.#id = id;
    if (globalThis.RTCPeerConnection) {
      this.#configuration = configurationFrom(this.#ice);
      this.#relay.send('path');   // our first word: whoever was here before may offer
    }
    // Who is here already is connected with us, and is nobody in this room until it proves who.
    for (const peer of [...this.#peers.values()]) this.#rename(peer, this.#nameless++);
    this.#call('onself', id);
    for (const peer of this.#peers.values()) this.#part(peer);
  }

  /** The relay says that somebody joined. */
  #arrive(id) {
    if (this.#someParted) this.#door.set(id, { beats: 0, waiting: [], size: 0 });
    else this.#join(id);
  }

  #join(id) {
    const { waiting } = this.#door.get(id) ?? { waiting: [] };
    this.#door.delete(id);
    const peer = new Peer(id);
    peer.order = new Order({
      relay: message => this.#relay.send(message, peer.id),
      channel: message => peer.link?.send(message),
      receive: message => this.#isHere(peer) && this.#dispatch(peer.id, split(message)),
    });
    this.#peers.set(id, peer);
    this.#call('onjoin', id);
    for (const { msgtype, data } of waiting) this.#receive(id, msgtype, data);
  }

  /** The relay says that somebody quit, as it does of all when it is lost itself. */
  #depart(id) {
    if (this.#door.delete(id)) return;
    const peer = this.#peers.get(id);
    if (peer?.order.direct) this.#part(peer);
    else if (peer) this.#drop(peer);
  }

  #drop(peer) {
    if (!this.#isHere(peer)) return;
    this.#peers.delete(peer.id);
    peer.link?.close();
    this.#call('onquit', peer.id);
    this.#openDoor();
  }

  #openDoor() {
    if (this.#someParted) return;
    for (const id of [...this.#door.keys()]) this.#join(id);
  }

  #rename(peer, id) {
    const was = peer.id;
    if (was === id) return;
    this.#peers.delete(was);
    peer.id = id;
    this.#peers.set(id, peer);
    this.#call('onrename', was, id);
  }

  #isHere(peer) {
    return this.#peers.get(peer.id) === peer;
  }

  get #someParted() {
    return this.#some(({ parted }) => parted !== null);
  }

  #some(condition) {
    return [...this.#peers.values()].some(condition);
  }

  // ---- What the relay brings ----

  #receive(id, msgtype, data) {
    if (id === this.#relay.id) return this.#dispatch(id, { msgtype, data });
    if (msgtype === 'reunite') return this.#reunite(id, data);
    const caller = this.#door.get(id);
    if (caller) return this.#keep(id, caller, { msgtype, data });
    const peer = this.#peers.get(id);
    if (!peer || peer.parted !== null) return;
    if (msgtype === 'offer') this.#connect(peer, false);   // unless there is one, of which this is then
    else if (id > this.#relay.id) this.#connect(peer, true);   // who was here before offers to us
    if (SIGNALS.has(msgtype)) peer.link?.take(msgtype, data);
    else if (msgtype === 'path') peer.order.switched(data);
    else if (peer.order.isNew(peer.link?.healthy ?? false)) this.#dispatch(id, { msgtype, data });
  }

  /** What one at the door says waits with it; who says too much is no parted peer. */
  #keep(id, caller, message) {
    caller.waiting.push(message);
    caller.size += message.msgtype.length + message.data.length + LONGEST_WORD;
    if (caller.size > AT_DOOR_SIZE) this.#join(id);
  }

  #dispatch(id, { msgtype, data }) {
    if (msgtype === '' || RESERVED.has(msgtype)) return;
    const handler = `on${msgtype}`;
    if (typeof this[handler] === 'function' && !OWN_HANDLERS.has(msgtype)) this.#call(handler, id, data);
    else this.#call('onrecv', id, msgtype, data);
  }

  // ---- Connections ----

  /** There is one connection with each peer at most, until it joins again. */
  #connect(peer, offers) {
    if (peer.tried || !this.#configuration || this.#links === LINKS || this.#allowance < 1) return;
    peer.tried = true;
    this.#links++;
    this.#allowance--;
    peer.link = new Link({
      offers,
      configuration: this.#configuration,
      signal: (msgtype, data) => this.#relay.send(`${msgtype} ${data}`, peer.id),
      onhealth: healthy => this.#setHealth(peer, healthy),
      onmessage: (message, isLossy) => this.#hear(peer, message, isLossy),
      onclose: () => {
        this.#links--;
        this.#setHealth(peer, false);
        peer.order.forget();
        peer.link = null;
      },
    });
  }

  /** The way to a peer changes. One that is parted has no other: then it is gone. */
  #setHealth(peer, healthy) {
    if (!this.#isHere(peer)) return;
    const { order } = peer;
    if (peer.parted !== null && !healthy) return this.#drop(peer);
    if (peer.parted !== null || order.direct === healthy) return;
    if (healthy) order.rise();
    else order.fall();
    const path = this.path(peer.id);
    if (path === peer.toldPath) return;   // rise() found the channel broken, and all this has been done within it
    peer.toldPath = path;
    this.#call('onpath', peer.id, path);
  }

  /** Something came over a channel. What begins with a space is for this module. */
  #hear(peer, message, isLossy) {
    const { order } = peer;
    const own = typeof message === 'string' && message.startsWith(' ');
    const [, word, id, secret] = own && message.length <= LONGEST_WORD ? message.split(' ') : [];
    if (word === 'pulse') order.acknowledge(Number(id));
    else if (word === 'now') this.#claimed(peer, Number(id), secret);
    else if (own && word !== 'path') return;
    else if (isLossy) this.#dispatch(peer.id, split(message));
    else order.take(message);
    if (order.full) peer.link?.close();
  }

  #beat() {
    this.#allowance = Math.min(LINKS, this.#allowance + LINKS_PER_BEAT);
    for (const peer of [...this.#peers.values()]) {
      peer.link?.beat(` pulse ${peer.order.got}`);
      if (peer.parted !== null && this.#relay.id !== null && ++peer.parted > PARTED) this.#drop(peer);
    }
    for (const [id, caller] of [...this.#door]) if (++caller.beats > AT_DOOR) this.#join(id);
  }

  // ---- Parted, with a channel ----

  /** The relay is not, or no longer, between us and a peer. */
  #part(peer) {
    Object.assign(peer, { parted: 0, secret: null, answers: 0 });
    peer.order.relayLost();
    if (this.#relay.id === null) return;   // what we are by then, we say when we are back
    peer.secret = newSecret();
    peer.link.send(` now ${this.#relay.id} ${peer.secret}`);
    this.#answer(peer);
  }

  /** A peer says what its id in the room is: unless that is known, it has parted from us without our knowing. */
  #claimed(peer, id, secret) {
    peer.claim = { id, secret };
    if (peer.parted === null && id !== peer.id && peer.order.direct) this.#part(peer);
    else this.#answer(peer);
  }

  #answer(peer) {
    const { claim, link } = peer;   // whose end may just have come, when we said something
    if (!claim || !link || this.#relay.id === null || ++peer.answers > ANSWERS) return;
    this.#relay.send(`reunite ${claim.secret} ${link.ourFingerprint}`, claim.id);
  }

  /** Somebody proves to be at the other end of a connection: of which? */
  #reunite(id, proof) {
    const peer = [...this.#peers.values()].find(({ secret, link }) =>
      secret !== null && proof === `${secret} ${link?.theirFingerprint}`);
    if (!peer) return;
    const other = this.#peers.get(id);
    if (other !== peer && other?.order.direct) return;   // somebody had it talk to us as if to him
    if (other && other !== peer) this.#drop(other);      // let in as somebody else
    const { waiting } = this.#door.get(id) ?? { waiting: [] };
    this.#door.delete(id);
    Object.assign(peer, { parted: null, secret: null, answers: 0 });
    peer.order.relayBack();
    this.#rename(peer, id);
    for (const { msgtype, data } of waiting) this.#receive(id, msgtype, data);
    this.#openDoor();
  }

  #call(handler, ...args) {
    try {
      this[handler]?.(...args);
    } catch (error) {
      reportError(error);
    }
  }
}

/** Somebody else in the room. */
class Peer {
  order = null;      // see order.js
  link = null;       // see link.js
  toldPath = 'relay';  // by onpath
  tried = false;     // whether there is or was one: there is no second until the peer joins again
  parted = null;     // beats for which the relay has not led to it, as we know of it, or null
  secret = null;     // what we gave it to prove who it is in the room
  claim = null;      // who it said last that it is, { id, secret }: the answer may get lost with our WebSocket
  answers = 0;

  constructor(id) {
    this.id = id;
  }
}

/** `<msgtype>[ <data>]`, text or bytes: data is a string or a Uint8Array, empty if none. */
function split(message) {
  const text = typeof message === 'string';
  const space = message.indexOf(text ? ' ' : 0x20);
  const end = space < 0 ? message.length : space;
  const head = message.slice(0, end);
  return { msgtype: text ? head : ASCII.decode(head), data: message.slice(end + 1) };
}

function newSecret() {
  return Array.from(crypto.getRandomValues(new Uint32Array(4)), number => number.toString(36)).join('');
}
