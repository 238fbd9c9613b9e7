// SPDX-License-Identifier: MIT

// Makes the worlds of several pages one game. Each page flies its own ship and tells the others about
// it; what the others tell moves their ships here:
//
//     our ship -> update(), tell() -> write() -> relay ~~~> a peer's relay -> #receive() -> read()
//     -> #heard.report() or so -> the ship over there
//
// What they say is in messages.js.
//
// Nobody waits for anybody. A remote ship flies on by the same physics, with turn and engine as last
// reported, which is exact until its pilot does something else: so reports go out at once when that
// happens, and else rarely. A report says for which time on its sender's clock it holds; the ship is
// put there and flown on (or back) to the time at which our world stands. The leap that this may be
// is not seen: the ship is still drawn where it was, and the difference (dx, dy, dangle) fades.
// A report may get lost or be overtaken without harm; the other messages must not get lost.
//
// Each pilot judges hits on its own ship, as it sees them, so nobody is shot by what is not on the
// screen. A shot is not sent as a missile: the ship that reports it fires it again here, so it comes
// from nowhere else. The worst that a hostile peer can do is to lie about its own ship.

import { PeerClock } from './clock.js';
import { MESSAGES, STATES, read, told, write } from './messages.js';
import { STEP, advance, fly } from './physics.js';
import { cleanName } from './settings.js';
import { AWAY, RELOAD, Ship } from './world.js';

const COLOURS = 8;

// When reports are due: ms since the last one.
const CHANGED = 30;           // if turn or engine changed: in the same frame, but not in each
const MANOEUVRING = 65;
const NEAR_SUN = 200;         // within NEAR px a small error grows fast
const NEAR = 150;
const COASTING = 1_000;
const WELCOME = 2_000;        // ms after a join in which they come as often as near the sun
const BACKLOG = 16_384;       // bytes unsent, with which another report would only come later

const PING = 1_000;           // ms between pings ...
const FIRST_PINGS = 8;        // ... but these many at first, a burst ...
const FIRST_PING = 200;       // ... with these ms between them

// What is shown of what is told.
const LATEST = 250;           // ms that a late message is caught up with
const FADING = 60;            // ms in which a difference fades to 1/e: gone after 150 or so
const LEAP = 200;             // px of difference from which on fading would look stranger than a leap
const SILENT = 5_000;         // ms without a word after which a flying ship fades away
const SETTLING = 1_000;       // ms after joining until the looks of those who were there are known

// What is believed. All of it is more than an honest peer ever does.
const RATE = 60 / 1_000;      // messages per ms from one peer ...
const BURST = 120;            // ... and how many at once, as after a stall of the network
const EARLY = 600;            // ms that shots may come closer together than they were fired
const DEAD = 2_500;           // ms for which a ship neither dies again nor fires: a bit less than AWAY
const ASTRAY = 200;           // px by which a missile may be off, here, from where it hit, there

/** What we know of somebody else in the room. */
class Peer {
  clock = new PeerClock();
  heardAt = -Infinity;   // these four on our clock
  welcomeAt;
  pingAt;
  diedAt = -Infinity;
  saidAt = -Infinity;    // time of the newest state of its ship, on the peer's clock
  alive = false;         // whether it has been about since it last died
  shots = 0;             // number of its latest shot
  pings = 0;
  #loadedAt = 0;         // when its gun is loaded again, if it fires no faster than it may
  #allowance = BURST;    // messages
  #allowedAt;

  constructor(id, now) {
    this.id = id;
    this.ship = new Ship(id, `pilot ${id}`, id % 64, { remote: true });
    this.welcomeAt = this.pingAt = this.#allowedAt = now;
  }

  /** Counts a message; false if they are too many. This is all that a flood costs. */
  mayTalk(now) {
    this.#allowance = Math.min(BURST, this.#allowance + (now - this.#allowedAt) * RATE);
    this.#allowedAt = now;
    if (this.#allowance < 1) return false;
    this.#allowance--;
    return true;
  }

  /** Counts a shot; false if it can't have reloaded, however unevenly its shots arrive. */
  mayFire(now) {
    if (now < this.#loadedAt - EARLY) return false;
    this.#loadedAt = Math.max(now, this.#loadedAt) + RELOAD;
    return true;
  }
}

export class Netplay {
  link = 'connecting';   // or 'relay' or 'offline'; for reading only, like self
  self = null;           // our id in the room
  #world;
  #me;
  #relay;
  #clock;
  #peers = new Map();    // by id
  #now;                  // the clock for which the world's positions hold, ...
  #worldTime;            // ... when its own time was this
  #told = {};            // state, turn and burning of our ship as last reported
  #toldAt = -Infinity;
  #toldPilot = '';       // the message itself
  #settleAt = Infinity;  // when to look whether somebody else looks like us
  #swap = null;          // the look that we were given for that, { from, to }

  /** A relay is anything that sends and calls as WebSocketRelay does. The clock is the one of update(). */
  constructor({ world, me, relay, clock = () => performance.now() }) {
    this.#world = world;
    this.#me = me;
    this.#relay = relay;
    this.#clock = clock;
    this.#now = clock();
    this.#worldTime = world.time;
    relay.onstatus = status => this.#status(status);
    relay.onself = id => this.#enter(id);
    relay.onjoin = id => this.#welcome(id);
    relay.onquit = id => this.#forget(id);
    for (const msgtype in MESSAGES) relay[`on${msgtype}`] = (id, data) => this.#receive(msgtype, id, data);
  }

  /** The others in the room, with how messages reach them and what clock.js knows. */
  get peers() {
    const now = this.#clock();
    return Array.from(this.#peers.values(), ({ id, ship, clock }) =>
      ({ id, ship, path: 'relay', ...clock.statistics(now) }));
  }

  // ---- The room ----

  #status(status) {
    if (status === 'open') this.link = 'relay';
    if (status !== 'closed') return;
    this.link = 'offline';   // and so it stays while the relay is tried again
    this.self = null;
  }

  /** In the room, perhaps again: then with other ids. Each peer is announced next, and welcomed. */
  #enter(id) {
    for (const peer of this.#peers.keys()) this.#forget(peer);
    this.self = id;
    this.#settleAt = this.#clock() + SETTLING;
  }

  /** Whoever is new to us does not know us either. */
  #welcome(id) {
    if (this.#peers.has(id)) return;
    this.#peers.set(id, new Peer(id, this.#clock()));
    this.#relay.send(this.#pilot(), id);
    this.#relay.send(this.#report(), id);
  }

  #forget(id) {
    if (this.#peers.delete(id)) this.#world.remove(id);
  }

  // ---- What we tell ----

  /** Once a frame, after the world's steps; now is the clock for which its positions hold. */
  update(now) {
    const clock = this.#clock();
    this.#fade(now - this.#now, clock);
    this.#now = now;
    this.#worldTime = this.#world.time;
    if (this.self === null) return;
    this.#settle(clock);
    const pilot = this.#pilot();
    if (pilot !== this.#toldPilot && this.#relay.send(pilot)) this.#toldPilot = pilot;
    if (this.#isReportDue(clock)) this.#tellReport(clock);
    for (const peer of this.#peers.values()) this.#ping(peer, clock);
  }

  /** An event of the world: those of our own ship that others must know are told. */
  tell({ type, ship, ...event }) {
    if (ship !== this.#me || this.self === null) return;
    if (type === 'fired') this.#tellShot(event.missile);
    if (type === 'destroyed') this.#tellDeath(event);
  }

  /** Our name or look was chosen anew. (That it is told, like a new score, update() sees to.) */
  introduce() {
    if (this.#me.look === this.#swap?.from) this.#me.look = this.#swap.to;
  }

  #pilot() {
    return write('pilot', this.#me);
  }

  /** Where our ship is and what it does, in the words of messages. */
  #state() {
    const { state, turn, burning, ...ship } = this.#me;
    const flying = state === 'flying';
    const steering = { turn: flying ? turn : 0, burning: Number(flying && burning) };
    return { ...aside(ship), ...steering, state: STATES.indexOf(state) };
  }

  #report() {
    return write('report', { ...this.#state(), time: this.#now });
  }

  #isReportDue(clock) {
    const { state, turn, burning, x, y } = this.#state();
    if (state !== this.#told.state) return true;
    if (this.#relay.buffered > BACKLOG) return false;
    const since = clock - this.#toldAt;
    if (turn !== this.#told.turn || burning !== this.#told.burning) return since >= CHANGED;
    if (STATES[state] !== 'flying') return since >= COASTING;
    if (turn || burning) return since >= MANOEUVRING;
    const newcomers = [...this.#peers.values()].some(({ welcomeAt }) => clock - welcomeAt < WELCOME);
    return since >= (newcomers || Math.hypot(x, y) < NEAR ? NEAR_SUN : COASTING);
  }

  #tellReport(clock) {
    if (!this.#relay.send(this.#report())) return;
    this.#told = this.#state();
    this.#toldAt = clock;
  }

  /** The missile may be some steps old already: the shot is told for when and where it was fired. */
  #tellShot({ number, age }) {
    const ship = { ...this.#me };
    carry(ship, -age);
    const time = this.#timeOf(this.#world.time - age);
    this.#relay.send(write('fire', { ...this.#state(), ...aside(ship), state: 0, time, number }));
  }

  #tellDeath({ seed, cause, owner, number }) {
    const shooter = owner === this.#me.id ? this.self : Math.max(0, owner);  // practice ships are nobody
    const time = this.#timeOf(this.#me.until - AWAY);
    this.#relay.send(write('death', { ...aside(this.#me), time, seed, cause, owner: shooter, number }));
  }

  /** The clock when the world's time is or was this. */
  #timeOf(worldTime) {
    return this.#now + worldTime - this.#worldTime;
  }

  #ping(peer, clock) {
    if (clock < peer.pingAt || this.#relay.buffered > BACKLOG) return;
    peer.pingAt = clock + (++peer.pings < FIRST_PINGS ? FIRST_PING : PING);
    const time = told('time', this.#clock());
    peer.clock.ping(time);
    this.#relay.send(write('ping', { time }), peer.id);
  }

  /** Once after joining: who came later takes the next free colour, if somebody looks the same. */
  #settle(clock) {
    if (clock < this.#settleAt) return;
    this.#settleAt = Infinity;
    const others = [...this.#peers.values()];
    const taken = new Set(others.map(({ ship }) => ship.look));
    const { look } = this.#me;
    if (!others.some(({ id, ship }) => id < this.self && ship.look === look)) return;
    for (let colour = 1; colour < COLOURS; colour++) {
      const to = (look + 8 * colour) % 64;
      if (taken.has(to)) continue;
      this.#swap = { from: look, to };
      return this.introduce();
    }
  }

  // ---- What we are told ----

  #receive(msgtype, id, data) {
    const clock = this.#clock();   // first of all: each ms until then would count as delay
    const peer = this.#peers.get(id);
    if (!peer?.mayTalk(clock)) return;
    const message = read(msgtype, data);
    if (message) this.#heard[msgtype](peer, message, clock);
  }

  #heard = {
    report: (peer, message, clock) => {
      this.#meet(peer, clock);
      if (message.time >= peer.saidAt) this.#set(peer, message);
    },

    fire: (peer, message, clock) => {
      const { ship, shots, diedAt } = peer;
      if (STATES[message.state] !== 'flying' || message.number <= shots || clock - diedAt < DEAD) return;
      if (!peer.mayFire(clock)) return;
      peer.shots = message.number;
      this.#meet(peer, clock);
      this.#makeRoom(ship);
      this.#relive(peer, message, late => this.#world.shoot(ship, message.number, late));
    },

    death: (peer, message, clock) => {
      const { ship, alive, diedAt } = peer;
      if (!alive || clock - diedAt < DEAD) return;
      const { seed, cause } = message;
      const owner = cause === 'missile' ? this.#shooter(message.owner) : null;
      this.#meet(peer, clock);
      this.#relive(peer, { ...message, state: STATES.indexOf('exploded'), turn: 0, burning: 0 }, late => {
        // A missile elsewhere is not taken away: nobody can make away with what is about to hit others.
        const number = this.#isAstray({ ...message, owner }, late) ? 0 : message.number;
        this.#world.explode(ship, seed, { cause, owner, number }, Math.max(0, late));
      });
      peer.alive = false;
      peer.diedAt = clock;
      if (owner === this.#me.id) this.#world.claim(this.#me, ship, message.number);
    },

    pilot: (peer, { name, look, score }, clock) => {
      Object.assign(peer.ship, { name: cleanName(name) || `pilot ${peer.id}`, look, score });
      this.#meet(peer, clock);
    },

    ping: (peer, { time }, clock) => this.#relay.send(write('pong', { time, received: clock }), peer.id),

    pong: (peer, { time, received }, clock) => peer.clock.pong(time, received, clock),
  };

  /** A peer enters the world with the first that it says of itself. */
  #meet(peer, clock) {
    peer.heardAt = clock;
    if (!this.#world.ships.has(peer.id)) this.#world.add(peer.ship);
  }

  /** How long ago, for our world, it was a time on a peer's clock; negative if it is still to come. */
  #late(peer, time) {
    const late = this.#now - (time - peer.clock.skew);
    // The future ends with our next frame. Beyond, or while the clock is unknown, a state simply holds.
    return peer.clock.skew === null || late < -LATEST ? 0 : Math.min(late, LATEST);
  }

  /** Sets a ship to the newest that its pilot said. */
  #set(peer, message) {
    const { ship } = peer;
    const { x, y, angle } = { x: ship.x + ship.dx, y: ship.y + ship.dy, angle: ship.angle + ship.dangle };
    const wasFlying = ship.state === 'flying';
    const late = this.#late(peer, message.time);
    peer.saidAt = message.time;
    Object.assign(ship, aside(message), {
      state: STATES[message.state], turn: message.turn, burning: message.burning === 1, dx: 0, dy: 0, dangle: 0,
    });
    if (ship.state === 'observing') peer.alive = false;
    if (ship.state === 'flying' || ship.state === 'hyperspace') peer.alive = true;
    if (ship.state !== 'flying') return;
    carry(ship, late);
    const [dx, dy] = [x - ship.x, y - ship.y];
    if (!wasFlying || Math.hypot(dx, dy) > LEAP) return;
    Object.assign(ship, { dx, dy, dangle: wrap(angle - ship.angle) });
  }

  /** Does something with a ship as it was then, even if newer reports have come in the meantime. */
  #relive(peer, message, act) {
    const { ship } = peer;
    const { state, burning } = ship;
    const present = { ...aside(ship), state, burning };
    Object.assign(ship, aside(message));
    act(this.#late(peer, message.time));
    Object.assign(ship, present);
    if (message.time >= peer.saidAt) this.#set(peer, message);
  }

  /** A ship with as many missiles as may fly: the oldest must be gone, where they are a bit ahead. */
  #makeRoom(ship) {
    const { missiles, rules } = this.#world;
    if (this.#world.inFlight(ship) < rules.inFlight) return;
    missiles.splice(missiles.findIndex(({ owner }) => owner === ship.id), 1);
  }

  /** The id, in our world, of whoever has this one in the room. */
  #shooter(id) {
    if (id === this.self) return this.#me.id;
    return this.#peers.has(id) ? id : null;
  }

  /** Whether a missile was nowhere near when it is said to have hit. */
  #isAstray({ owner, number, x, y }, late) {
    const missile = this.#world.missiles.find(missile => missile.owner === owner && missile.number === number);
    if (!missile) return false;
    const then = { x: missile.x - missile.vx * late, y: missile.y - missile.vy * late };
    return Math.hypot(then.x - x, then.y - y) > ASTRAY;
  }

  // ---- What is seen of it ----

  #fade(time, clock) {
    const left = Math.exp(-Math.max(0, time) / FADING);
    for (const { ship, heardAt } of this.#peers.values()) {
      ship.dx *= left;
      ship.dy *= left;
      ship.dangle *= left;
      if (ship.state === 'flying' && clock - heardAt > SILENT) ship.state = 'observing';
    }
  }
}

/** The same direction, by less than half a turn. */
function wrap(angle) {
  return Math.atan2(Math.sin(angle), Math.cos(angle));
}

/** Where a ship is and how it moves. */
function aside({ x, y, vx, vy, angle }) {
  return { x, y, vx, vy, angle };
}

/** Flies a ship on by any time, or back: a step of a negative time undoes one exactly. */
function carry(ship, time) {
  if (time >= 0) return advance(ship, time, fly);
  for (; time < -STEP; time += STEP) fly(ship, -STEP);
  fly(ship, time);
}
