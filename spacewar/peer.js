// SPDX-License-Identifier: MIT

// What we know of somebody else in the room: the ship, the clock, and how much is believed of what
// they say. All that is believed is more than an honest peer ever does.

import { PeerClock } from './clock.js';
import { LOOKS } from './looks.js';
import { ARMED, RELOAD, Ship } from './world.js';

const MESSAGES_PER_MS = 0.06; // 60 a second ...
const MOST_MESSAGES = 1_200;  // ... and how many at once: a minute's, as a page gets them that was frozen
const LEAP_PX = 200;          // of difference, from which on a ship has not flown to where it is
const EARLY_MS = 600;         // that shots may come closer together than they were fired
const MOST_SHOTS = 64;        // of a pilot, of which we know that they hit: more than can be in flight

export class Peer {
  clock = new PeerClock();
  pingAt;                // on our clock: when to ping it next, ...
  joinedAt;              // ... when it came, ...
  heardAt = -Infinity;   // ... when we heard of it, ...
  diedAt = -Infinity;    // ... when it died, ...
  greetedAt = -Infinity; // ... when it last greeted, ...
  #leaptAt;              // ... when it last was in another place, as in the beginning
  saidAt = -Infinity;    // on the peer's clock: for when the newest state of its ship holds
  setAt = 0;             // on our clock: for when our ship of it was put where it is
  isPilot = false;       // whether it has told a name, and so plays or watches the sky
  waiting = {};          // its latest messages, by type, for which a frame had no time yet
  alive = false;         // whether it has been about since it last died
  shots = 0;             // number of its latest shot
  claimed = 0;           // points it says it has ...
  counted = 0;           // ... and those that we have counted: the lesser is believed
  round = null;          // in which round it says it is, { number, start } on our clock
  scores = new Map();    // points it has counted for others, by their ids
  challenge = null;      // that it has not answered yet; see identity.js
  hasIntroduced = false; // whether it has sent a key
  #scored = new Set();   // numbers of its shots that have hit somebody in this round
  pings = 0;
  #loadedAt = 0;         // when its gun is loaded again, if it fires no faster than it may
  #allowance = MOST_MESSAGES;    // messages ...
  #allowedAt;            // ... as of then

  /** `id` is the one in the room, `shipId` that of the ship in our world. */
  constructor(id, shipId, now) {
    this.id = id;
    this.ship = new Ship(shipId, `pilot ${id}`, id % LOOKS, { remote: true });
    this.pingAt = this.joinedAt = this.#leaptAt = this.#allowedAt = now;
  }

  /** Notes that its ship has come into sight. */
  appeared(now) {
    this.#leaptAt = now;
  }

  /** Notes that its ship has moved by this, in px; whether it can't have flown there. */
  moved(dx, dy, now) {
    const leapt = Math.hypot(dx, dy) > LEAP_PX;
    if (leapt) this.#leaptAt = now;
    return leapt;
  }

  /**
   * Whether its ship may fire or burst at a place: one that was seen near there for as long as missiles
   * take to arm. Otherwise a liar could appear beside others only to shoot or to die there.
   */
  mayAct({ x, y }, now) {
    return now - this.#leaptAt >= ARMED && Math.hypot(this.ship.x - x, this.ship.y - y) <= LEAP_PX;
  }

  /** Counts a message; false if they are too many. This is all that a flood costs. */
  mayTalk(now) {
    this.#allowance = Math.min(MOST_MESSAGES, this.#allowance + (now - this.#allowedAt) * MESSAGES_PER_MS);
    this.#allowedAt = now;
    if (this.#allowance < 1) return false;
    this.#allowance--;
    return true;
  }

  /** Whether a death may be put down to it: to a shot that it fired, once, or to the debris of one, or of its own. */
  mayScore({ cause, number }) {
    if (cause !== 'missile') return number <= this.shots;
    if (number < 1 || number > this.shots || this.#scored.has(number)) return false;
    this.#scored.add(number);
    if (this.#scored.size > MOST_SHOTS) this.#scored.delete(this.#scored.values().next().value);
    return true;
  }

  /** Counts a shot; false if it can't have reloaded, however unevenly its shots arrive. */
  mayFire(now) {
    if (now < this.#loadedAt - EARLY_MS) return false;
    this.#loadedAt = Math.max(now, this.#loadedAt) + RELOAD;
    return true;
  }
}
