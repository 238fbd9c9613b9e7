// SPDX-License-Identifier: MIT

// Two or more pages that play over a relay of this file's own, in virtual time: with delays that jitter,
// clocks that are hours apart and drift, frames and handlers that are late. And what must not happen
// when a peer says anything at all.

import { Netplay } from '../netplay.js';
import { STEP, advance, fly } from '../physics.js';
import { RULES, Ship, World, random } from '../world.js';
import { equal, near, ok } from './check.js';

const FRAME = 1000 / 60;
const HOUR = 3_600_000;

/** A room and its time. What is said in it arrives, in order, after delay ± jitter. */
class Room {
  time = 0;
  pages = [];
  chatter = [];    // all that was sent: { at, from, to, message }
  #due = [];       // { at, action }, sorted
  #lastId = 0;

  constructor({ delay = 1, jitter = 0, busy = 0, seed = 1 } = {}) {
    Object.assign(this, { delay, jitter, busy, chance: random(seed) });
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
    for (const { relay } of others) {
      this.peers.add(relay.id);
      this.onjoin(relay.id);
      relay.peers.add(this.id);
      relay.onjoin(this.id);
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
    for (const { relay } of this.room.pages) {
      if (relay === this || (target !== '*' && relay.id !== target)) continue;
      const { id } = this;
      const at = Math.max(this.#free.get(relay) ?? 0, this.room.time + this.room.way()) + 0.01;
      this.#free.set(relay, at);
      this.room.at(at + this.room.wait(), () => relay.receive(id, message));
    }
    return true;
  }

  receive(id, message) {
    if (!this.peers.has(id)) return;
    const [msgtype] = message.split(' ', 1);
    this[`on${msgtype}`]?.(id, message.slice(msgtype.length + 1));
  }
}

/** A page: a world, our ship in it, and a frame 60 times a second. */
class Page {
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
    const events = [...this.world.takeEvents()];
    for (const event of events) this.netplay.tell(event);
    this.netplay.update(this.now);
    this.onframe(events);
  }

  /** Another's ship here. */
  ship(page) {
    return this.world.ships.get(page.relay.id);
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

/** Two pages that know each other since two seconds, both flying. */
function duel(conditions = {}, ...more) {
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
function orbitAt(page, r, phase) {
  const speed = Math.sqrt(4 / r);
  Object.assign(page.me, { x: r * Math.cos(phase), y: r * Math.sin(phase), state: 'flying',
    vx: -speed * Math.sin(phase), vy: speed * Math.cos(phase) });
}

/** How far the ship of one is drawn from where it is, in px, and how it moves between two frames. */
function watch({ room, one, two }, ms) {
  const errors = [];
  let jump = 0;
  let last = null;
  two.onframe = () => {
    if (one.me.state !== 'flying' || two.ship(one)?.state !== 'flying') return last = null;
    const [is, drawn] = [one.exact, two.drawn(one)];
    const error = { x: drawn.x - is.x, y: drawn.y - is.y };
    errors.push(Math.hypot(error.x, error.y));
    if (last) jump = Math.max(jump, Math.hypot(error.x - last.x, error.y - last.y));
    last = error;
  };
  room.run(ms);
  two.onframe = () => {};
  errors.sort((a, b) => a - b);
  return { worst: errors.at(-1), usual: errors[Math.floor(errors.length / 2)], jump, frames: errors.length };
}

/** A pilot who never makes up its mind. */
function restless(seed) {
  const chance = random(seed);
  return ship => {
    if (chance() < 0.1) ship.turn = Math.floor(3 * chance()) - 1;
    if (chance() < 0.1) ship.thrust = chance() < 0.5;
    const r = Math.hypot(ship.x, ship.y);
    if (r > 700 || r < 90) ship.thrust = false;   // within reach, and out of the sun
  };
}

/** A page and a peer that says what a test wants it to; `say` is heard at once. */
function withPeer({ fly: flies = true, rules } = {}) {
  const room = new Room();
  const page = new Page(room, { offset: 50_000, rules });
  page.world.launch(page.me);
  orbitAt(page, 300, 0);
  page.relay.enter();
  const id = room.newId();
  page.relay.peers.add(id);
  page.relay.onjoin(id);
  const say = (message, from = id) => page.relay.receive(from, message);
  const report = (time, more) => say(`report ${list(state(time, more))}`);
  if (flies) report(room.time);
  room.run(100);
  return { room, page, say, report, id, ship: () => page.world.ships.get(id) };
}

const state = (time, { state = 0, x = 400, y = 0, vx = 0, vy = 0.1, angle = 0, turn = 0, burning = 0 } = {}) =>
  [1, time, state, x, y, vx, vy, angle, turn, burning];
const list = values => JSON.stringify(values);
const shot = (time, number, more) => `fire ${list([...state(time, more), number])}`;
const death = (time, { x = 400, y = 0, seed = 7, cause = 'missile', owner = 0, number = 0 } = {}) =>
  `death ${list([1, time, x, y, 0, 0.1, 0, seed, cause, owner, number])}`;
const messages = (room, msgtype) => room.chatter.filter(({ message }) => message.startsWith(`${msgtype} `));

const LOOPBACK = { delay: 1, jitter: 0.5, busy: 8 };
const ABROAD = { delay: 50, jitter: 10, busy: 8 };

export default {
  // ---- The same sky for everyone ----

  'a coasting ship is where its pilot sees it, over loopback': () => {
    for (let seed = 1; seed <= 3; seed++) {
      const game = duel({ ...LOOPBACK, seed, warm: 20_000 });
      orbitAt(game.one, 250, 1);
      orbitAt(game.two, 340, 4);
      game.room.run(1_500);
      const { worst, jump } = watch(game, 60_000);
      ok(worst < 0.5 && jump < 0.5, `seed ${seed}: worst ${worst}, jump ${jump} px`);
    }
  },

  'a ship that never flies straight is where its pilot sees it, over loopback': () => {
    for (let seed = 1; seed <= 3; seed++) {
      const game = duel({ ...LOOPBACK, seed });
      game.one.steer = restless(seed);
      const { worst, jump } = watch(game, 60_000);
      ok(worst < 1.5 && jump < 1.5, `seed ${seed}: worst ${worst}, jump ${jump} px`);
    }
  },

  'a coasting ship is where its pilot sees it, 100 ms away': () => {
    for (let seed = 1; seed <= 3; seed++) {
      const game = duel({ ...ABROAD, seed, warm: 10_000 });
      orbitAt(game.one, 250, 1);
      orbitAt(game.two, 340, 4);
      game.room.run(1_500);
      const { worst, jump } = watch(game, 60_000);
      ok(worst < 1.5 && jump < 0.7, `seed ${seed}: worst ${worst}, jump ${jump} px`);
    }
  },

  'a ship that never flies straight is nearly where its pilot sees it, 100 ms away': () => {
    for (let seed = 1; seed <= 3; seed++) {
      const game = duel({ ...ABROAD, seed });
      game.one.steer = restless(seed);
      const { worst, jump } = watch(game, 60_000);
      ok(worst < 4 && jump < 1.5, `seed ${seed}: worst ${worst}, jump ${jump} px`);
    }
  },
};
