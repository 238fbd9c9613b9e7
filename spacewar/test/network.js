// SPDX-License-Identifier: MIT

// A network for tests, in virtual time: a relay's room with the interface of ws-relay.js, and an
// RTCPeerConnection whose packets can be delayed, lost and cut off. What a test needs of the browser is
// put in its place while the test runs.

import { random } from '../random.js';
import { cut } from '../ws-relay.js';

const DONE = 1_000; // events that are done and then removed at once: to remove each by itself would take long
const TURNS = 15;   // of the microtask queue after each event: no promise here needs more than 5

export class Network {
  time = 0;
  relayDelay = () => 5;
  directDelay = () => 1;
  connections = [];       // all that were made
  clients = [];           // of the relay
  said = [];              // what went through the relay: { at, from, to, message }
  candidates = 2;         // that each connection finds
  timers = [];            // all that were set
  leavings = [];          // who wants to know when a page is left, in the order of asking
  #due = [];              // { at, action }, sorted; those before #next are done
  #next = 0;
  #lastId = 0;
  #blocked = false;

  constructor(seed = 1) {
    this.chance = random(seed);
  }

  /** Whether direct packets get lost. Reliable ones are sent again when they no longer do. */
  get blocked() {
    return this.#blocked;
  }

  set blocked(blocked) {
    this.#blocked = blocked;
    for (const connection of this.connections) connection.flush();
  }

  at(time, action) {
    const due = { at: time, action };
    const before = this.#due.findLastIndex((other, i) => i < this.#next || other.at <= time);
    this.#due.splice(before + 1, 0, due);
    return due;
  }

  after(ms, action) {
    return this.at(this.time + ms, action);
  }

  async run(ms) {
    const end = this.time + ms;
    await settled();
    while (this.#due[this.#next]?.at <= end) {
      const { at, action } = this.#due[this.#next++];
      if (this.#next === DONE) this.#next -= this.#due.splice(0, DONE).length;
      this.time = at;
      action();
      await settled();
    }
    this.time = end;
  }

  /** Runs a test with this network as the browser's. */
  async during(test, { fetch = async () => ({ ok: true, json: async () => ({}) }), WebRTC = true } = {}) {
    const network = this;
    const replaced = {
      fetch,
      RTCPeerConnection: WebRTC ? class extends FakeConnection {
        constructor(configuration) {
          super(network, configuration);
        }
      } : undefined,
      setInterval: (action, ms) => {
        const timer = { stopped: false };
        this.timers.push(timer);
        const tick = () => timer.stopped || (action(), this.after(ms, tick));
        this.after(ms, tick);
        return timer;
      },
      clearInterval: timer => {
        timer.stopped = true;
      },
      addEventListener: (type, handler, { signal } = {}) => {
        const leave = { handler, signal };
        if (type === 'pagehide') this.leavings.push(leave);
      },
    };
    const real = Object.keys(replaced).map(name => [name, Object.getOwnPropertyDescriptor(globalThis, name)]);
    for (const [name, value] of Object.entries(replaced)) {
      Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
    }
    try {
      await test();
    } finally {
      for (const [name, property] of real) {
        if (property) Object.defineProperty(globalThis, name, property);
        else delete globalThis[name];
      }
    }
  }

  // ---- The relay ----

  newId() {
    return ++this.#lastId;
  }

  /** Those that were really begun: with a first one the list of servers is tried. */
  get begun() {
    return this.connections.filter(({ channels }) => channels.length);
  }

  /** The relay is killed; those who enter next are counted from 1 again. */
  stopRelay() {
    for (const client of this.clients) client.lose({ told: false });
    this.#lastId = 0;
  }

  /** Connections lose what they have found, for good. */
  cut() {
    for (const connection of this.connections) connection.routed = false;
  }

  get openConnections() {
    return this.connections.filter(({ closed }) => !closed).length;
  }
}

/** A client of the relay, with the interface of WebSocketRelay. */
export class FakeRelay {
  url = 'ws://relay.test/ws-relay/game';
  status = 'connecting';
  id = null;
  peers = new Set();
  buffered = 0;
  #session = null;     // of the id, which others may have had before
  #free = new Map();   // by client: when the way there is free again, since nothing overtakes

  constructor(network) {
    this.network = network;
    network.clients.push(this);
  }

  enter() {
    const others = this.network.clients.filter(other => other !== this && other.id !== null);
    const id = this.network.newId();
    this.id = id;
    this.#session = {};
    this.status = 'open';
    for (const other of others) this.#reach(other, () => other.join(id));
    this.onstatus?.('open', {});
    this.onself?.(id);
    for (const other of others) this.join(other.id);
  }

  lose({ told = true } = {}) {
    if (this.id === null) return;
    const { id } = this;
    const gone = [...this.peers];
    this.id = null;
    this.peers.clear();
    this.status = 'closed';
    this.onstatus?.('closed', { code: 1006, reason: '', retryIn: 250 });
    for (const peer of gone) this.onquit?.(peer);
    if (!told) return;
    for (const other of this.network.clients) if (other.id !== null) this.#reach(other, () => other.quit(id), true);
  }

  close() {
    this.lose();
  }

  send(message, target = '*') {
    if (this.id === null) return false;
    const { network, id } = this;
    network.said.push({ at: network.time, from: id, to: target, message });
    for (const other of network.clients) {
      if (target === '*' ? other === this : other.id !== Number(target)) continue;
      if (other.id !== null) this.#reach(other, () => other.receive(id, message));
    }
    return true;
  }

  /** Something happens over there, unless one of the two has lost the relay by then. */
  #reach(other, action, evenLost = false) {
    const { network } = this;
    const [here, there] = [this.#session, other.#session];
    const at = Math.max(network.time + network.relayDelay(), this.#free.get(other) ?? 0);
    this.#free.set(other, at);
    const inRoom = (client, session) => client.id !== null && client.#session === session;
    network.at(at, () => inRoom(other, there) && (evenLost || inRoom(this, here)) && action());
  }

  join(id) {
    if (this.id === id || this.peers.has(id)) return;
    this.peers.add(id);
    this.onjoin?.(id);
  }

  quit(id) {
    if (this.peers.delete(id)) this.onquit?.(id);
  }

  receive(id, message) {
    if (id !== this.id && !this.peers.has(id)) return;
    this.onrecv?.(id, ...cut(message));
  }
}

/** As much of an RTCPeerConnection as connection.js uses. Its number stands in its SDP and its candidates. */
class FakeConnection {
  connectionState = 'new';
  signalingState = 'stable';
  remoteDescription = null;
  closed = false;
  routed = false;
  added = [];            // candidates taken
  #network;
  channels = [];
  #local = 0;            // how often ICE began, here ...
  #remote = '';          // ... and what the other side said last
  #partner = null;
  #late = [];            // reliable packets that wait for a way

  constructor(network, { iceServers, iceTransportPolicy } = {}) {
    if (iceServers && !iceServers.every(({ urls }) => /^(stun|turns?):/.test(urls))) throw new SyntaxError('server');
    if (!['all', 'relay', undefined].includes(iceTransportPolicy)) throw new TypeError('bad policy');
    this.configuration = { iceServers, iceTransportPolicy };
    this.#network = network;
    this.number = network.connections.push(this);
  }

  createDataChannel(label, { id, maxRetransmits }) {
    const channel = { label, readyState: 'connecting', bufferedAmount: 0, sent: [] };
    channel.send = message => {
      if (channel.readyState !== 'open') throw new DOMException('not open', 'InvalidStateError');
      channel.sent.push(message);
      this.#packet(id, message, maxRetransmits === undefined);
    };
    this.channels[id] = channel;
    return channel;
  }

  async createOffer({ iceRestart = false } = {}) {
    if (iceRestart || !this.#local) this.#local++;
    await new Promise(resolve => this.#network.after(10 * this.#network.chance(), resolve));   // as browsers need it
    return { type: 'offer', sdp: this.#sdp() };
  }

  async createAnswer() {
    return { type: 'answer', sdp: this.#sdp() };
  }

  #sdp() {
    return `v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=fingerprint:sha-256 ${this.number}\r\n` +
      `a=fake:${this.number} ${this.#local}\r\n`;
  }

  async setLocalDescription({ type }) {
    if (this.closed) throw new DOMException('closed', 'InvalidStateError');
    this.signalingState = type === 'offer' ? 'have-local-offer' : 'stable';
    for (let i = 0; i < this.#network.candidates; i++) {
      const candidate = `candidate:${i} 1 udp 9 name-${i}.local ${this.number} typ host`;
      for (const found of [candidate, candidate.replace('udp', 'tcp')]) {
        this.#network.after(2, () => this.closed || this.onicecandidate?.({ candidate: { candidate: found } }));
      }
    }
    this.#network.after(2, () => this.onicecandidate?.({ candidate: null }));
  }

  async setRemoteDescription({ type, sdp }) {
    const [, number, generation] = /a=fake:(\d+) (\d+)/.exec(sdp) ?? [];
    if (!number || this.closed) throw new DOMException('no such description', 'OperationError');
    const awaited = type === 'offer' || this.signalingState === 'have-local-offer';
    const same = !this.#partner || this.#partner.number === Number(number);
    if (!awaited || !same) throw new DOMException('no', 'InvalidStateError');
    this.remoteDescription = { type, sdp };
    this.#partner = this.#network.connections[number - 1];
    this.added = [];
    this.#remote = generation;
    if (type === 'offer') this.#local = Number(generation);
    this.signalingState = type === 'offer' ? 'have-remote-offer' : 'stable';
  }

  async addIceCandidate({ candidate, sdpMLineIndex }) {
    if (!this.remoteDescription) throw new DOMException('no description yet', 'InvalidStateError');
    if (sdpMLineIndex !== 0) throw new TypeError('which media?');
    const { number } = this.#partner;
    if (!candidate.includes(` ${number} typ `)) throw new DOMException('whose?', 'OperationError');
    this.added.push(candidate);
    this.#connect();
  }

  #connect() {
    const partner = this.#partner;
    if (this.routed || !partner.added.length || !partner.#isFor(this) || this.#network.blocked) return;
    const delay = this.#network.directDelay();
    [this, partner].forEach((side, i) => this.#network.after((3 + i) * delay, () => side.#route()));
  }

  #isFor(other) {
    return this.#partner === other && this.#remote === String(other.#local);
  }

  #route() {
    if (this.closed || this.routed) return;
    this.routed = true;
    this.#state('connected');
    for (const channel of this.channels) {
      if (channel.readyState !== 'connecting') continue;
      channel.readyState = 'open';
      channel.onopen?.();
    }
    this.flush();
  }

  /** What the browser finds out by itself, late. */
  fail() {
    this.#state('failed');
  }

  #state(state) {
    this.connectionState = state;
    this.onconnectionstatechange?.();
  }

  get #hasWay() {
    return this.routed && this.#partner.routed && !this.#network.blocked;
  }

  #packet(id, message, isReliable) {
    if (isReliable) this.#late.push([id, message]);
    if (isReliable) this.flush();
    else if (this.#hasWay) this.#network.after(this.#network.directDelay(), () => this.#partner.#arrive(id, message));
  }

  #free = 0;

  /** Reliable packets go out in order, when there is a way. */
  flush() {
    if (this.closed || !this.#hasWay) return;
    for (const [id, message] of this.#late.splice(0)) {
      this.#free = Math.max(this.#free, this.#network.time + this.#network.directDelay());
      this.#network.at(this.#free, () => this.#partner.#arrive(id, message));
    }
  }

  #arrive(id, data) {
    if (this.closed) return;
    const channel = this.channels[id];
    if (data instanceof Uint8Array) data = data.slice().buffer;   // as the binaryType says
    if (channel?.readyState === 'open') channel.onmessage?.({ data });
  }

  close() {
    if (this.closed) return;
    this.closed = true;
    this.connectionState = this.signalingState = 'closed';
    for (const channel of this.channels) channel.readyState = 'closed';
    if (this.#partner && this.#hasWay) this.#network.after(this.#network.directDelay(), () => this.#partner.#end());
  }

  #end() {
    if (this.closed) return;
    for (const channel of this.channels) {
      if (channel.readyState === 'closed') continue;
      channel.readyState = 'closed';
      channel.onclose?.();
    }
  }
}

async function settled() {
  for (let i = 0; i < TURNS; i++) await null;
}
