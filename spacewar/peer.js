// SPDX-License-Identifier: MIT

// What we know of another client of the room: its ship, its clock, and what it may say. The limits are wider than
// anything an honest peer does.

import { PeerClock } from './clock.js';
import { LOOKS } from './looks.js';
import { ARMED, RELOAD, Ship } from './world.js';

const MESSAGES_PER_MS = 0.06; // messages of a peer that are read: 60 a second,
const MOST_MESSAGES = 1_200;  // and so many at once, as a page gets them that was frozen for a minute
const LEAP_PX = 200;          // px between where a ship is said to be and where we had it: more was not flown
const EARLY_MS = 600;         // ms by which shots may arrive closer together than they were fired
const MOST_SHOTS = 64;        // shots remembered that have hit: more than can be in flight

export class Peer {
  clock = new PeerClock();
  // Times on our clock, in ms.
  joinedAt;
  pingAt;                // when to ping it next
  heardAt = -Infinity;   // its latest message
  diedAt = -Infinity;
  greetedAt = -Infinity;
  setAt = 0;             // when our copy of its ship was where the latest report put it
  #leaptAt;              // when that last came to another place without flying there, or first appeared

  saidAt = -Infinity;    // time on the peer's clock of the latest report
  isPilot = false;       // whether it has told a name, and so plays or watches the sky
  waiting = {};          // its latest messages, by type, for which a frame had no time yet
  alive = false;         // whether it has flown since it last died
  shots = 0;             // number of its latest shot
  claimed = 0;           // points it says it has
  counted = 0;           // points that we have counted for it; the lesser of the two is believed
  round = null;          // in which round it says it is, { number, start } on our clock
  scores = new Map();    // points it has counted for others, by their ids
  challenge = null;      // that it has not answered yet; see identity.js
  hasIntroduced = false; // whether it has sent a key
  #scored = new Set();   // numbers of its shots that have hit somebody in this round
  pings = 0;             // sent to it
  #loadedAt = 0;         // when its gun is loaded again, if it fires no faster than it may
  #allowance = MOST_MESSAGES;    // messages that it may send at #allowedAt
  #allowedAt;

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

  /** Notes that a report moved its ship by so many px. Returns whether it can't have flown there. */
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

  /** Counts a message. Returns false if they are too many; this is all that a flood costs. */
  mayTalk(now) {
    this.#allowance = Math.min(MOST_MESSAGES, this.#allowance + (now - this.#allowedAt) * MESSAGES_PER_MS);
    this.#allowedAt = now;
    if (this.#allowance < 1) return false;
    this.#allowance--;
    return true;
  }

  /** Whether it may get the point for a death: once for each shot that it fired, or for debris. */
  mayScore({ cause, number }) {
    if (cause !== 'missile') return number <= this.shots;
    if (number < 1 || number > this.shots || this.#scored.has(number)) return false;
    this.#scored.add(number);
    if (this.#scored.size > MOST_SHOTS) this.#scored.delete(this.#scored.values().next().value);
    return true;
  }

  /** Counts a shot. Returns false if it can't have reloaded, however unevenly its shots arrive. */
  mayFire(now) {
    if (now < this.#loadedAt - EARLY_MS) return false;
    this.#loadedAt = Math.max(now, this.#loadedAt) + RELOAD;
    return true;
  }
}
