// SPDX-License-Identifier: MIT

// Makes the worlds of several pages one game. Each page flies its own ship and tells the others about
// it; what the others tell moves their ships here:
//
//     our ship -> update(), announce() -> write() -> relay ~~~> a peer's relay -> #receive() -> read()
//     -> #handlers.report() or so -> the ship over there
//
// What they say is in messages.js.
//
// Remote ships are extrapolated (dead reckoning): they fly on by the same physics, with turn and engine as last
// reported, which is exact until the pilot does something else. So reports go out at once when that happens, and else
// rarely. A report carries the time on its sender's clock for which it holds; the ship is put there and extrapolated,
// or taken back, to the time of our world. So that it does not leap, it is still drawn where it was, and the difference
// (dx, dy, dangle) fades.
// Reports, pings and pongs may get lost or be overtaken without harm (LOSSY); the other messages must not.
//
// Each page judges the hits on its own ship, so nobody is shot by what is not on the screen. A shot is not sent as a
// missile: the ship that reports it fires again here, so that it comes from nowhere else. The worst that a hostile peer
// can do is to lie about its own ship.
//
// What a crowd costs is bounded: only the pilots that crowd.js chooses have ships, and a frame reads at most
// MESSAGES_PER_FRAME messages; the rest waits for the next, unless newer ones supersede it.

import { choose, SHIPS } from './crowd.js';
import { Identity } from './identity.js';
import { nextColour } from './looks.js';
import { MESSAGES, read, rounded, write } from './messages.js';
import { cleanName } from './names.js';
import { Peer } from './peer.js';
import { advance, fly, turned } from './physics.js';
import { describeClose } from './reasons.js';
import { Standings } from './standings.js';
import { SHIELD, isSuicide } from './world.js';

// ms since the last report after which another is due.
const REPORT_MS = {
  changed: 30,                // if turn or engine changed: in the same frame, but not in each
  manoeuvring: 65,
  repeated: 65,               // after a change, where reports may get lost
  nearSun: 200,               // where a small error grows fast
  coasting: 1_000,
};
const NEAR_SUN_PX = 150;
const REPEATS = 2;            // reports that say a change again
const WELCOME_MS = 2_000;     // after a join, in which reports come as often as near the sun
const BACKLOG_BYTES = 16_384; // unsent, with which another report would only come later

const PING_MS = 1_000;        // between pings ...
const FIRST_PINGS = 8;        // ... but so many at first ...
const FIRST_PING_MS = 200;    // ... with so many ms between them

// What is shown of what is told.
const LATEST_MS = 250;        // of age by which a report is extrapolated at most
const FADING_MS = 60;         // in which a difference fades to 1/e: gone after 150 or so
const SILENCE_MS = 5_000;     // without a message, after which a flying ship fades away
const REVIEW_MS = 1_000;      // between looks at who of a crowd is in the sky
const LOOKS_KNOWN_MS = 1_000;    // after joining, until the looks of those who were there are known

// What is read: 40 ships in a fight say 1,500 messages a second, 25 for each frame at 60 Hz.
const MESSAGES_PER_FRAME = 200;   // to read one takes some 5 µs
const SUPERSEDED = ['pilot', 'report'];   // of these only a peer's latest counts; read in this order

// What is believed, beside what peer.js says.
const DEAD_MS = 2_500;        // for which a ship neither dies again nor fires: a bit less than AWAY
const GREETING_MS = 1_000;    // between two of one pilot: we send them half as often
const ASTRAY_PX = 200;        // by which a missile may be off, here, from where it hit, there

export const LOSSY = ['report', 'ping', 'pong'];   // the messages that may get lost; pings tell how many do

export class Netplay {
  // For reading only.
  status = 'connecting'; // or 'relay' or 'offline'
  why = '';              // the reason to be offline, if the relay or the browser has told one

  #world;
  #me;
  #relay;
  #clock;
  #peers = new Map();    // by id, as the room has it
  #sky = new Set();      // those of them whose ships are in the world
  #reviewAt = -Infinity; // when to choose them again
  #budget = MESSAGES_PER_FRAME;      // messages that may still be read in this frame
  #waiting = new Set();  // peers with messages that wait for the next
  #ships = 0;            // ids of our world given to ships so far; none is given twice
  #now;                  // the clock when the world's time was #worldTime, and its positions what they are
  #worldTime;
  #sentReport = {};      // our latest report, ...
  #sentAt = -Infinity;   // ... when it was sent ...
  #repeats = 0;          // ... and how often it is to be repeated
  #sentPilot = {};       // name, look and score as last sent to all
  #welcomeUntil = -Infinity;  // when newcomers know enough of us
  #yieldColourAt = Infinity;  // when to compare our look with those of the others
  #swap = null;          // the look that we were given for that, { from, to }
  #standings;
  #identity = new Identity();

  /** A relay is anything that sends and calls as WebSocketRelay does. The clock is the one of update(). */
  constructor({ world, me, relay, clock = () => performance.now() }) {
    this.#world = world;
    this.#me = me;
    this.#relay = relay;
    this.#clock = clock;
    this.#now = clock();
    this.#worldTime = world.time;
    this.#standings = new Standings(me);
    relay.onstatus = (status, detail) => this.#status(status, detail);
    relay.onself = () => this.#enter();
    relay.onjoin = id => this.#welcome(id);
    relay.onquit = id => this.#forget(id);
    for (const msgtype in MESSAGES) relay[`on${msgtype}`] = (id, data) => this.#receive(msgtype, id, data);
  }

  /** The others in the room, with how messages reach them and what clock.js knows. */
  get peers() {
    const now = this.#clock();
    return Array.from(this.#peers.values(), ({ id, ship, clock }) =>
      ({ id, ship, path: this.#pathTo(id), ...clock.statistics(now) }));
  }

  /** How many pilots are in the room whose ships are not in the sky. */
  get others() {
    let count = 0;
    for (const peer of this.#peers.values()) if (peer.isPilot && !this.#sky.has(peer)) count++;
    return count;
  }

  /** The round that we and others are in, or null if nobody else plays. */
  get round() {
    return this.#standings.round;
  }

  /** Our id in the room, or null. */
  get self() {
    return this.#relay.id;
  }

  /** Whether all who play here are reached directly; those who only watch the room are not. */
  get direct() {
    return this.#sky.size > 0 && [...this.#sky].every(({ id }) => this.#isDirect(id));
  }

  /** Returns the id in the room of whoever has this ship of our world, or null. */
  idOf(shipId) {
    if (shipId === this.#me.id) return this.self;
    for (const { id, ship } of this.#peers.values()) if (ship.id === shipId) return id;
    return null;
  }

  #pathTo(id) {
    return this.#relay.path?.(id) ?? 'relay';
  }

  #isDirect(id) {
    return this.#pathTo(id) === 'webrtc';
  }

  /** Whether reports may get lost on their way to somebody. */
  get #mayLose() {
    return [...this.#peers.keys()].some(id => this.#isDirect(id));
  }

  // ---- The room ----

  #status(status, { code, reason } = {}) {
    if (status === 'open') this.status = 'relay';
    if (status === 'open') this.why = '';
    if (status !== 'closed') return;
    this.status = 'offline';   // and so it stays while the relay is tried again
    // That nobody answers is what "offline" says.
    if (code !== undefined) this.why = code === 1006 && !reason ? '' : describeClose(code, reason);
    this.#standings.lost();
  }

  /** In the room, perhaps again: nobody has been told anything. Each peer is announced next, and welcomed. */
  #enter() {
    this.#sentReport = {};
    this.#sentPilot = {};
    this.#yieldColourAt = this.#clock() + LOOKS_KNOWN_MS;
    this.#standings.entered(this.#clock());
  }

  /** Tells a newcomer of us. */
  #welcome(id) {
    const clock = this.#clock();
    this.#peers.set(id, new Peer(id, ++this.#ships, clock));
    this.#welcomeUntil = clock + WELCOME_MS;
    this.#relay.send(write('pilot', this.#me), id);
    const round = this.#standings.welcomeMessage(clock, [...this.#sky, { id: this.self, counted: this.#me.score }]);
    if (round) this.#relay.send(write('round', round), id);
    this.#relay.send(write('report', this.#state()), id);
  }

  #forget(id) {
    const peer = this.#peers.get(id);
    if (!this.#peers.delete(id)) return;
    this.#standings.left(peer);
    this.#waiting.delete(peer);
    this.#sky.delete(peer);
    this.#world.remove(peer.ship.id);
  }

  // ---- Who is in the sky ----

  /** Swaps the ships in the sky for those that are chosen of a crowd, without news for the feed. */
  #review(clock) {
    if (clock < this.#reviewAt) return;
    this.#reviewAt = clock + REVIEW_MS;
    const pilots = this.#pilots;
    if (pilots.length === this.#sky.size) return;
    const chosen = choose(pilots, this.#me, this.#sky);
    for (const peer of [...this.#sky]) {
      if (chosen.has(peer)) continue;
      this.#sky.delete(peer);
      peer.setAt = this.#now;
      this.#world.remove(peer.ship.id, { quietly: true });
    }
    for (const peer of chosen) if (!this.#sky.has(peer)) this.#show(peer, clock, { quietly: true });
  }

  get #pilots() {
    return [...this.#peers.values()].filter(({ isPilot }) => isPilot);
  }

  /** Adds a ship to the world, extrapolated from its latest report. */
  #show(peer, clock, { quietly }) {
    const { ship, setAt } = peer;
    if (ship.state === 'flying') advance(ship, Math.min(this.#now - setAt, SILENCE_MS), fly);
    peer.appeared(clock);
    this.#sky.add(peer);
    this.#world.add(ship, { quietly });
  }

  // ---- What we tell ----

  /**
   * Once a frame, after the world's steps; now is the clock for which its positions hold. Returns 'began' or 'ended'
   * if a round has, else ''.
   */
  update(now) {
    const clock = this.#clock();
    this.#fade(now - this.#now, clock);
    this.#now = now;
    this.#worldTime = this.#world.time;
    this.#readWaiting(clock);
    this.#review(clock);
    const news = this.#standings.update(clock, [...this.#sky], this.self);
    if (this.self === null) return news;
    this.#yieldColour(clock);
    if (this.#isPilotNew()) this.#sendPilot();
    if (this.#isReportDue(clock)) this.#sendReport(clock);
    this.#sendRound(clock);
    for (const peer of this.#sky) this.#ping(peer, clock);
    return news;
  }

  /** An event of the world: those of our own ship that others must know are told. */
  announce({ type, ship, ...event }) {
    if (ship !== this.#me) return;
    if (type === 'destroyed') this.#count(event);
    if (this.self === null) return;
    if (type === 'fired') this.#sendShot(event.missile);
    if (type === 'destroyed') this.#sendDeath(event);
    if (type === 'greeted') this.#relay.send(write('greet', event));
  }

  /** Our look was set to the chosen one: if that was taken when we came, we keep the free one we were given. */
  recolour() {
    if (this.#me.look === this.#swap?.from) this.#me.look = this.#swap.to;
  }

  #isPilotNew() {
    const { name, look, score } = this.#me;
    const told = this.#sentPilot;
    return name !== told.name || look !== told.look || score !== told.score;
  }

  #sendPilot() {
    const { name, look, score } = this.#me;
    if (this.#relay.send(write('pilot', this.#me))) this.#sentPilot = { name, look, score };
  }

  #sendRound(clock) {
    const news = this.#standings.announcement(clock);
    if (news) this.#relay.send(write('round', news));
  }

  /** Where our ship is and what it does. */
  #state() {
    const { state, turn, burning } = this.#me;
    const flying = state === 'flying';
    return { ...motionOf(this.#me), time: this.#now, state, turn: flying ? turn : 0, burning: flying && burning };
  }

  #isReportDue(clock) {
    const { state, turn, burning, x, y } = this.#me;
    if (state !== this.#sentReport.state) return true;
    if (this.#relay.buffered > BACKLOG_BYTES) return false;
    const since = clock - this.#sentAt;
    if (this.#repeats && since >= REPORT_MS.repeated) return true;
    if (state !== 'flying') return since >= REPORT_MS.coasting;
    if (turn !== this.#sentReport.turn || burning !== this.#sentReport.burning) return since >= REPORT_MS.changed;
    if (turn || burning) return since >= REPORT_MS.manoeuvring;
    const isUrgent = clock < this.#welcomeUntil || Math.hypot(x, y) < NEAR_SUN_PX;
    return since >= (isUrgent ? REPORT_MS.nearSun : REPORT_MS.coasting);
  }

  #sendReport(clock) {
    const state = this.#state();
    if (!this.#relay.send(write('report', state))) return;
    const news = ['state', 'turn', 'burning'].some(field => state[field] !== this.#sentReport[field]);
    this.#repeats = news && this.#mayLose ? REPEATS : Math.max(0, this.#repeats - 1);
    this.#sentReport = state;
    this.#sentAt = clock;
  }

  /** The missile may be some steps old already: the shot is told for when and where it was fired. */
  #sendShot({ number, age }) {
    const ship = { ...this.#me };
    advance(ship, -age, fly);
    const time = this.#timeOf(this.#world.time - age);
    this.#relay.send(write('fire', { ...this.#state(), ...motionOf(ship), state: 'flying', time, number }));
  }

  #sendDeath({ at, seed, cause, owner, number }) {
    const shooter = this.idOf(owner) ?? 0;   // practice ships are nobody
    const time = this.#timeOf(at);
    this.#relay.send(write('death', { ...motionOf(this.#me), time, seed, cause, owner: shooter, number }));
  }

  /** The clock when the world's time is or was this. */
  #timeOf(worldTime) {
    return this.#now + worldTime - this.#worldTime;
  }

  #ping(peer, clock) {
    if (clock < peer.pingAt || this.#relay.buffered > BACKLOG_BYTES) return;
    peer.pingAt = clock + (++peer.pings < FIRST_PINGS ? FIRST_PING_MS : PING_MS);
    const time = rounded(this.#clock());
    peer.clock.ping(time);
    this.#relay.send(write('ping', { time }), peer.id);
  }

  /** Once after joining: takes the next free colour if somebody with a lesser id, who came before, looks the same. */
  #yieldColour(clock) {
    if (clock < this.#yieldColourAt) return;
    this.#yieldColourAt = Infinity;
    const others = [...this.#peers.values()];
    const taken = new Set(others.map(({ ship }) => ship.look));
    const { look } = this.#me;
    if (!others.some(({ id, ship }) => id < this.self && ship.look === look)) return;
    for (let to = nextColour(look); to !== look; to = nextColour(to)) {
      if (taken.has(to)) continue;
      const from = look === this.#swap?.to ? this.#swap.from : look;
      this.#swap = { from, to };
      this.#me.look = to;
      return;
    }
  }

  // ---- What we are told ----

  #receive(msgtype, id, data) {
    const clock = this.#clock();   // first of all: each ms until then would count as delay
    const peer = this.#peers.get(id);
    if (!peer?.mayTalk(clock)) return;
    const isNext = !(msgtype in peer.waiting);   // nothing overtakes what it supersedes
    if (isNext && this.#budget-- > 0) this.#read(peer, msgtype, data, clock);
    else if (SUPERSEDED.includes(msgtype)) this.#postpone(peer, msgtype, data);
    else if (!LOSSY.includes(msgtype) && this.#sky.has(peer)) this.#read(peer, msgtype, data, clock);
  }

  #read(peer, msgtype, data, clock) {
    const message = read(msgtype, data);
    if (!message) return;
    peer.heardAt = clock;
    this.#handlers[msgtype](peer, message, clock);
  }

  /** Keeps a message for a later frame, instead of an older one of its type. */
  #postpone(peer, msgtype, data) {
    peer.waiting[msgtype] = data;
    this.#waiting.add(peer);
  }

  /** Reads the messages that wait since the last frame, of ships in the sky first, as far as the budget goes. */
  #readWaiting(clock) {
    this.#budget = MESSAGES_PER_FRAME;
    if (!this.#waiting.size) return;
    for (const peer of [...this.#sky, ...this.#waiting]) {
      if (!this.#waiting.has(peer)) continue;
      if (this.#budget <= 0) return;
      this.#waiting.delete(peer);
      const { waiting } = peer;
      peer.waiting = {};
      for (const msgtype of SUPERSEDED) {
        if (!(msgtype in waiting)) continue;
        this.#budget--;
        this.#read(peer, msgtype, waiting[msgtype], clock);
      }
    }
  }

  #handlers = {
    /** A ship enters with its name, if there is room: until it has, it neither fires nor dies here. */
    pilot: (peer, { name, look, score }, clock) => {
      Object.assign(peer.ship, { name: cleanName(name) || `pilot ${peer.id}`, look });
      this.#standings.claimed(peer, score);
      if (!peer.isPilot) this.#relay.send(write('key', this.#identity.introduce(peer)), peer.id);
      peer.isPilot = true;
      if (!this.#sky.has(peer) && this.#sky.size < SHIPS) this.#show(peer, clock, { quietly: false });
    },

    round: (peer, message, clock) => this.#standings.heard(peer, message, clock),

    report: (peer, message, clock) => this.#apply(peer, message, clock),

    fire: (peer, message, clock) => {
      const { ship, shots, diedAt } = peer;
      if (!this.#sky.has(peer) || message.state !== 'flying') return;
      if (message.number <= shots || clock - diedAt < DEAD_MS) return;
      if (!this.#mayAct(peer, message, clock)) return this.#apply(peer, message, clock);  // a report at least
      if (!peer.mayFire(clock)) return;
      peer.shots = message.number;
      ship.shieldUntil = 0;
      this.#removeOldestMissile(ship);
      this.#replay(peer, message, clock, age => this.#world.shoot(ship, message.number, age));
    },

    death: (peer, message, clock) => {
      const { ship, alive, diedAt } = peer;
      if (!this.#sky.has(peer) || !alive || clock - diedAt < DEAD_MS) return;
      peer.alive = false;
      peer.diedAt = clock;
      const { seed, cause } = message;
      const end = { ...message, state: 'exploded', turn: 0, burning: false };
      const seen = this.#mayAct(peer, message, clock);  // if not, it is gone, but that changes nothing else
      const by = cause === 'missile' || cause === 'debris' ? this.#shipOf(message.owner) : null;
      const owner = seen ? by : null;
      this.#replay(peer, end, clock, age => {
        // A missile elsewhere is not taken away: nobody can make away with what is about to hit others.
        const number = !seen || this.#isAstray({ ...message, owner }, age) ? 0 : message.number;
        this.#world.explode(ship, seed, { cause, owner, number, seen }, Math.max(0, age));
      });
      if (owner === this.#me.id) this.#world.claim(this.#me, ship, message);
      if (isSuicide({ cause, owner: by }, ship)) this.#standings.count(peer, -1);
      else this.#count({ ...message, owner: by });
    },

    greet: (peer, { greeting }, clock) => {
      if (!this.#sky.has(peer) || clock - peer.greetedAt < GREETING_MS) return;
      peer.greetedAt = clock;
      this.#world.greet(peer.ship, greeting);
    },

    key: (peer, message) => {
      const proofs = this.#identity.proofsFor(peer, message, this.self);
      if (proofs.length) this.#relay.send(write('proofs', { proofs }), peer.id);
    },

    /** A pilot has come back. Its earlier ship may still be here, if only its connection to the relay was lost. */
    proofs: (peer, { proofs }) => {
      const earlier = this.#identity.recognise(peer, proofs);
      if (!earlier) return;
      if (this.#peers.get(earlier.id) === earlier) this.#forget(earlier.id);
      this.#standings.returned(peer, earlier);
    },

    ping: (peer, { time }, clock) => this.#relay.send(write('pong', { time, received: clock }), peer.id),

    pong: (peer, { time, received }, clock) => {
      const leapt = peer.clock.pong(time, received, clock);
      if (leapt) peer.saidAt = -Infinity;  // its times count from elsewhere now
    },
  };

  /** Returns how many ms ago, for our world, a time on a peer's clock was; negative if it is still to come. */
  #ageOf(peer, time) {
    const { skew } = peer.clock;
    if (skew === null) return 0;            // its clock is not known yet: a report is taken as new
    const age = this.#now - (time - skew);   // may be negative by a frame, which our next frame makes good
    return age < -LATEST_MS ? 0 : Math.min(age, LATEST_MS);
  }

  /** Whether a ship was seen near the place of a message, when that was: it may fire and burst there. */
  #mayAct(peer, message, clock) {
    const { ship } = peer;
    const there = { ...message, turn: 0, burning: false };
    if (ship.state === 'flying') advance(there, this.#ageOf(peer, message.time), fly);
    return peer.mayAct(there, clock);
  }

  /** Puts a ship where its pilot's message says, unless a newer one has come before. */
  #apply(peer, message, clock) {
    if (message.time < peer.saidAt) return;
    const { ship } = peer;
    const { x, y, angle } = { x: ship.x + ship.dx, y: ship.y + ship.dy, angle: ship.angle + ship.dangle };
    const wasFlying = ship.state === 'flying';
    const wasAway = ship.state === 'exploded' || ship.state === 'hyperspace';
    const age = this.#ageOf(peer, message.time);
    peer.saidAt = message.time;
    peer.setAt = this.#now;
    const { state, turn, burning } = message;
    Object.assign(ship, motionOf(message), { state, turn, burning, dx: 0, dy: 0, dangle: 0 });
    if (state === 'observing') peer.alive = false;
    if (state === 'flying' || state === 'hyperspace') peer.alive = true;
    if (state === 'flying') advance(ship, age, fly);
    if (state === 'flying') ship.cause = '';
    if (state === 'flying' && wasAway) ship.shieldUntil = this.#world.time + SHIELD - age;
    const [dx, dy] = [x - ship.x, y - ship.y];
    const leapt = peer.moved(dx, dy, clock);
    if (leapt || !wasFlying || state !== 'flying') return;  // a leap that faded would look stranger than a leap
    Object.assign(ship, { dx, dy, dangle: turned(angle - ship.angle) });
  }

  /** Does something with a ship as it was at the time of a message, even if newer reports have come since. */
  #replay(peer, message, clock, act) {
    const { ship } = peer;
    const { state, burning } = ship;
    const present = { ...motionOf(ship), state, burning };
    Object.assign(ship, motionOf(message));
    act(this.#ageOf(peer, message.time));
    Object.assign(ship, present);
    this.#apply(peer, message, clock);
  }

  /** Of a ship with as many missiles as may fly, removes the oldest: its pilot's page has done so already. */
  #removeOldestMissile(ship) {
    const { missiles, rules } = this.#world;
    if (this.#world.inFlight(ship) < rules.inFlight) return;
    missiles.splice(missiles.findIndex(({ owner }) => owner === ship.id), 1);
  }

  /** Counts the point for a death, of ours or a peer's, if it is a peer's. */
  #count({ cause, owner, number }) {
    for (const peer of this.#peers.values()) {
      if (peer.ship.id === owner && peer.mayScore({ cause, number })) this.#standings.count(peer, 1);
    }
  }

  /** Returns the id in our world of a client's ship, or null. */
  #shipOf(id) {
    return id === this.self ? this.#me.id : this.#peers.get(id)?.ship.id ?? null;
  }

  /** Whether a missile was far from where it is said to have hit. */
  #isAstray({ owner, number, x, y }, age) {
    const missile = this.#world.missiles.find(missile => missile.owner === owner && missile.number === number);
    if (!missile) return false;
    const then = { x: missile.x - missile.vx * age, y: missile.y - missile.vy * age };
    return Math.hypot(then.x - x, then.y - y) > ASTRAY_PX;
  }

  // ---- What is seen of it ----

  #fade(time, clock) {
    const left = Math.exp(-Math.max(0, time) / FADING_MS);
    for (const { ship, heardAt } of this.#peers.values()) {
      ship.dx *= left;
      ship.dy *= left;
      ship.dangle *= left;
      if (ship.state === 'flying' && clock - heardAt > SILENCE_MS) ship.state = 'observing';
    }
  }
}

/** Where a ship is and how it moves. */
function motionOf({ x, y, vx, vy, angle }) {
  return { x, y, vx, vy, angle };
}
