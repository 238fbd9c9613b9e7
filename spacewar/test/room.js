// SPDX-License-Identifier: MIT

// Pages that play over a relay of this file's own, in virtual time: with delays that jitter, clocks that are
// hours apart and drift, frames and handlers that are late.

import { Netplay } from '../netplay.js';
import { STEP, advance, fly } from '../physics.js';
import { random } from '../random.js';
import { RULES, Ship, World } from '../world.js';

export const FRAME = 1000 / 60;
export const HOUR = 3_600_000;

/**
 * A room and its time. What is said in it arrives, in order, after delay ± jitter; if it is lossy, one
 * report in five never does, and the others come in any order.
 */
export class Room {
  time = 0;
  pages = [];
  chatter = [];    // all that was sent: { at, from, to, message }
  #due = [];       // { at, action }, sorted
  #lastId = 0;

  constructor({ delay = 1, jitter = 0, busy = 0, lossy = false, seed = 1 } = {}) {
    Object.assign(this, { delay, jitter, busy, lossy, chance: random(seed) });
  }

  at(time, action) {
    const i = this.#due.findLastIndex(due => due.at <= time);
    this.#due.splice(i + 1, 0, { at: time, action });
  }

  run(time) {
    const end = this.time + time;
    while (this.#due.length && this.#due[0].at <= end) {
      const { at, action } = this.#due.shift();
      this.time = at;
      action();
    }
    this.time = end;
  }

  newId() {
    return ++this.#lastId;
  }

  /** The relay goes away; when it is back it counts from 1 again. */
  stop() {
    for (const { relay } of this.pages) relay.leave();
    this.#lastId = 0;
  }

  /** Ms that something takes on the way, or waits for the event loop. */
  way() {
    return this.delay + this.jitter * (2 * this.chance() - 1);
  }

  wait() {
    return this.busy * this.chance();
  }
}

/** The interface of WebSocketRelay, within a room. */
class FakeRelay {
  id = null;
  peers = new Set();
  buffered = 0;
  sent = 0;
  #free = new Map();   // when the way to another is free again: nothing overtakes

  constructor(room) {
    this.room = room;
  }

  enter() {
    this.onstatus('connecting', {});
    const others = this.room.pages.filter(({ relay }) => relay !== this && relay.id !== null);
    this.id = this.room.newId();
    this.onstatus('open', {});
    this.onself(this.id);
    const { id } = this;
    for (const { relay } of others) {
      this.#reach(relay, () => {   // the others hear of it later
        if (this.id !== id) return;
        relay.peers.add(id);
        relay.onjoin(id);
      });
      this.peers.add(relay.id);
      this.onjoin(relay.id);
    }
  }

  leave() {
    const { id } = this;
    const gone = [...this.peers];
    this.id = null;
    this.peers.clear();
    this.onstatus('closed', { code: 1006, reason: '', retryIn: 250 });
    for (const peer of gone) this.onquit(peer);
    for (const { relay } of this.room.pages) if (relay.peers.delete(id)) relay.onquit(id);
  }

  send(message, target = '*') {
    if (this.id === null) return false;
    this.sent++;
    this.room.chatter.push({ at: this.room.time, from: this.id, to: target, message });
    const free = this.room.lossy && message.startsWith('report ');
    for (const { relay } of this.room.pages) {
      if (free && this.room.chance() < 0.2) continue;
      if (relay === this || (target !== '*' && relay.id !== target)) continue;
      const { id } = this;
      this.#reach(relay, () => relay.receive(id, message), free);
    }
    return true;
  }

  /** Does something over there when all that went there before has arrived, or, if free, in any order. */
  #reach(relay, action, free = false) {
    const { room } = this;
    const at = Math.max(free ? 0 : this.#free.get(relay) ?? 0, room.time + room.way() + room.wait()) + 0.01;
    if (!free) this.#free.set(relay, at);
    room.at(at, action);
  }

  receive(id, message) {
    if (!this.peers.has(id)) return;
    const [msgtype] = message.split(' ', 1);
    this[`on${msgtype}`]?.(id, message.slice(msgtype.length + 1));
  }
}

/** A page: a world, our ship in it, and a frame 60 times a second. */
export class Page {
  frames = 0;
  steer = () => {};
  onframe = () => {};

  constructor(room, { offset = 0, drift = 0, look = 5, name = 'Ada', seed = 7, rules = RULES.arena } = {}) {
    Object.assign(this, { room, offset, drift });
    this.world = new World(rules, seed);
    this.me = this.world.add(new Ship(0, name, look));
    this.relay = new FakeRelay(room);
    this.began = this.clock();
    this.netplay = new Netplay({ world: this.world, me: this.me, relay: this.relay, clock: () => this.clock() });
    room.pages.push(this);
    this.#next(room.time + FRAME * room.chance());
  }

  clock() {
    return this.offset + this.room.time * (1 + this.drift);
  }

  get now() {
    return this.began + this.world.time;
  }

  #next(at) {
    this.room.at(at + this.room.wait(), () => {
      if (!this.frozen) this.frame();
      this.#next(at + FRAME);
    });
  }

  frame() {
    this.frames++;
    this.steer(this.me);
    while (this.now + STEP <= this.clock()) this.world.step();
    const events = this.world.takeEvents();
    for (const event of events) this.netplay.announce(event);
    this.netplay.update(this.now);
    this.onframe(events);
  }

  /** Another's ship here. */
  ship(page) {
    return shipOf(this, page.relay.id);
  }

  /** Where our own ship is at this very moment. */
  get exact() {
    const ship = { ...this.me };
    advance(ship, this.clock() - this.now, fly);
    return ship;
  }

  /** Where another's ship is drawn at this very moment. */
  drawn(page) {
    const { x, y, vx, vy, dx, dy } = this.ship(page);
    const lead = this.clock() - this.now;
    return { x: x + vx * lead + dx, y: y + vy * lead + dy };
  }
}

/** The ship, in a page's world, of whoever has this id in the room. */
export function shipOf({ netplay, world }, id) {
  const ship = netplay.peers.find(peer => peer.id === id)?.ship;
  return world.ships.get(ship?.id);
}

/** Two pages that know each other since two seconds, both flying. */
export function duel(conditions = {}, ...more) {
  const room = new Room(conditions);
  const [one, two] = [new Page(room, { offset: 5 * HOUR, ...more[0] }),
    new Page(room, { offset: 700, drift: 200e-6, seed: 8, look: 6, name: 'Bo', ...more[1] })];
  for (const page of [one, two]) {
    page.world.launch(page.me);
    page.relay.enter();
  }
  room.run(conditions.warm ?? 2_000);
  return { room, one, two };
}

/** A circle where nobody is in danger. */
export function orbitAt(page, r, phase) {
  const speed = Math.sqrt(4 / r);
  Object.assign(page.me, { x: r * Math.cos(phase), y: r * Math.sin(phase), state: 'flying',
    vx: -speed * Math.sin(phase), vy: speed * Math.cos(phase) });
}

/** One page shoots the other. */
export function hit(room, one, two) {
  Object.assign(one.me, { x: 400, y: 0, vx: 0, vy: 0.1, angle: 0, shieldUntil: 0 });
  Object.assign(two.me, { x: 520, y: 0, vx: 0, vy: 0.1, angle: 0, shieldUntil: 0 });
  room.run(1_500);
  one.me.angle = Math.atan2(two.me.y - one.me.y, two.me.x - one.me.x);
  one.me.fire = true;
  room.run(30);
  one.me.fire = false;
  room.run(1_500);
}
