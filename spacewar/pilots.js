// SPDX-License-Identifier: MIT

// Practice opponents. A pilot has what a person has: it sees the world, and it holds a few keys. It
// looks only some times a second, as people do, and in between its hands do what it decided: turn the
// nose to a course, burn, fire once. Call steer() before each step of the world.
//
// A look decides in this order: get out of a missile's way, keep the orbit, fight. To aim, the pilot
// imagines how its missile and its target will fall and corrects the aim by the miss that it sees;
// then its hand trembles. It draws its numbers from the generator that it was given, so that the same
// game makes the same moves.

import { BOUNDARY, GM, STEP, SUN, TURN, drift, energy, fall, turned } from './physics.js';
import { ARMED, HIT, MUZZLE, RELOAD } from './world.js';

/** Of practice ships, in the order they come: drones, after the machines of Spacewar's first years. */
export const NAMES = ['Drone PDP-1', 'Drone TX-0', 'Drone LINC'];

const FIRST_SKILL = 0.05;    // skill of the first practice ships, from 0 to 1 ...
const SKILL_PER_KILL = 0.05; // ... and what each kill adds
const GRACE = 8_000;         // ms from its first step in which a pilot fires at nobody
const TAKE_IN = 3_500;       // ms from seeing a target to the first shot at it
const REACTION = [200, 320]; // ms between looks
const CALM = [800, 8_500];   // ms between shots beyond the reload, least and greatest
const HASTE = 6;             // times as often the best pilot fires as the worst
const TREMBLE = 0.6;         // rad by which the worst pilot's hand may be wrong
const CHANCE = 1.5 * HIT;    // px by which an imagined shot may miss and be worth it
const SPARE = 12;            // torpedoes from which on only good shots are worth one
const CLOSE = 170;           // px within which there is no need to come nearer
const IMAGINED = 2_200;      // ms of flight that a pilot can imagine ...
const STRIDE = 4 * STEP;     // ... in steps that are fine enough for that
const ALERT = 1_400;         // ms before a hit from which it can be noticed
const LOWEST = 65;           // px from the sun below which no orbit should lead, and ...
const HIGHEST = 480;         // ... beyond which none should; in a fight with ...
const ORBIT_MARGIN = 30;     // ... so much to spare

// What is imagined. One of each will do, since pilots think one after the other.
const shot = { x: 0, y: 0, vx: 0, vy: 0 };
const prey = { x: 0, y: 0, vx: 0, vy: 0 };
const miss = { x: 0, y: 0, time: 0, distance: 0 };

/** How good practice ships are when so many of them have been shot. */
export function skillAfter(kills) {
  return Math.min(1, FIRST_SKILL + SKILL_PER_KILL * kills);
}

export class Pilot {
  #random;
  #lookAt = 0;          // world time of the next look
  #fireAt = -1;         // world time from which it fires, -1 before its first step
  #target = null;       // the ship to fight
  #aim = 0;             // rad, the best course for a shot so far ...
  #error = 0;           // ... and by how much the hand will be wrong this time
  #course = 0;          // rad, where the nose should point ...
  #burn = false;        // ... and what to do when it does
  #shoot = false;

  /** Flies a ship, with a generator of random numbers and a skill from 0 to 1. */
  constructor(ship, random, skill = 0.5) {
    this.ship = ship;
    this.#random = random;
    this.skill = skill;
  }

  /** Holds the ship's keys for the next step. */
  steer(world) {
    const { ship } = this;
    const { time } = world;
    ship.turn = 0;
    ship.thrust = ship.fire = false;
    if (this.#fireAt < 0) this.#fireAt = time + GRACE + this.#between(CALM);
    if (ship.state !== 'flying') {
      this.#target = null;
      return;
    }
    if (time >= this.#lookAt) {
      this.#lookAt = time + this.#between(REACTION);
      this.#look(world);
    }
    const off = turned(this.#course - ship.angle);
    if (Math.abs(off) > TURN * STEP) ship.turn = Math.sign(off);
    else if (this.#shoot && time >= this.#fireAt) this.#pull(time);
    ship.thrust = this.#burn && Math.abs(off) < 0.5;
  }

  #look(world) {
    this.#burn = this.#shoot = false;
    if (!this.#dodge(world) && !this.#keepOrbit()) this.#fight(world);
  }

  #head(course) {
    this.#course = course;
    return this.#burn = true;
  }

  #pull(time) {
    this.ship.fire = true;
    this.#shoot = false;
    this.#fireAt = time + RELOAD + HASTE ** (0.5 - this.skill) * this.#between(CALM);
    this.#tremble();
  }

  #tremble() {
    this.#error = TREMBLE * (1 - this.skill) * (2 * this.#random() - 1);
  }

  #between([least, greatest]) {
    return least + (greatest - least) * this.#random();
  }

  // ---- To live ----

  /** Out of the line of the most urgent missile, if that is noticed. */
  #dodge({ missiles }) {
    const { ship } = this;
    let danger = null;
    let soonest = ALERT;
    for (const missile of missiles) {
      if (missile.owner === ship.id && missile.age < ARMED) continue;
      const time = meeting(ship, missile);
      if (time >= soonest) continue;
      soonest = time;
      danger = missile;
    }
    if (!danger || this.#random() > 0.4 + 0.6 * this.skill) return false;
    if (soonest < ALERT / 4 && this.#random() < 0.2) this.#despair();
    const way = Math.atan2(danger.vy - ship.vy, danger.vx - ship.vx);
    const place = Math.atan2(ship.y - danger.y, ship.x - danger.x);
    return this.#head(way + (turned(place - way) < 0 ? -1 : 1) * Math.PI / 2);
  }

  /** Mends an orbit that leads too near to the sun or too far from it. */
  #keepOrbit() {
    const { x, y, vx, vy } = this.ship;
    const { r, outwards, spin, nearest, farthest, round } = path(this.ship);
    const up = Math.atan2(y, x);
    if (nearest < LOWEST) {
      if (nearest < SUN && outwards < 0 && r < 3 * SUN) this.#despair();
      // Along the way round, and upwards as well if it is late for that.
      return this.#head(up + Math.sign(spin || 1) * Math.PI / (outwards < 0 && r < 2 * LOWEST ? 4 : 2));
    }
    if (farthest < HIGHEST) return false;
    // Too much spin even for a round orbit: against the way round.
    if (round > 0.8 * HIGHEST) return this.#head(up - Math.sign(spin) * Math.PI * (outwards > 0 ? 0.75 : 0.5));
    // Else against the way out: that takes no spin, so the orbit becomes rounder at both ends.
    return (outwards > 0 || r > BOUNDARY) && this.#head(up + Math.PI);
  }

  /** A jump, at most one in a life: with each it would become more dangerous under the classic rules. */
  #despair() {
    if (this.ship.jumped === 0) this.ship.hyperspace = true;
  }

  // ---- To fight ----

  #fight(world) {
    this.#choose(world);
    const { ship } = this;
    const target = this.#target;
    if (!target) {
      this.#course = Math.atan2(ship.vy, ship.vx);
      return;
    }
    for (let i = 0; i < 3; i++) this.#imagine(world.rules);
    this.#shoot = miss.distance < (ship.torpedoes < SPARE ? CHANCE / 2 : CHANCE);
    this.#course = this.#aim + this.#error;
    const { nearest, farthest } = path(ship);
    this.#burn = Math.hypot(target.x - ship.x, target.y - ship.y) > CLOSE && ship.fuel > world.rules.fuel / 2
      && nearest > LOWEST + ORBIT_MARGIN && farthest < HIGHEST - ORBIT_MARGIN;
  }

  /** The nearest ship, where people seem nearer than practice ships. */
  #choose({ ships, time }) {
    const { ship } = this;
    const before = this.#target;
    let least = Infinity;
    this.#target = null;
    for (const other of ships.values()) {
      if (other === ship || other.state !== 'flying') continue;
      const weight = (other.bot ? 1.5 : 1) * (other === before ? 0.7 : 1);
      const distance = weight * Math.hypot(other.x - ship.x, other.y - ship.y);
      if (distance >= least) continue;
      least = distance;
      this.#target = other;
    }
    const { x, y } = this.#target ?? ship;
    if (this.#target === before) return;
    this.#aim = Math.atan2(y - ship.y, x - ship.x);
    this.#fireAt = Math.max(this.#fireAt, time + TAKE_IN);
    this.#tremble();
  }

  /** Lets a shot fly in mind, notes how far it passes from the target, and corrects the aim by that. */
  #imagine({ gravity, life }) {
    const { ship } = this;
    const [ahead, aside] = [Math.cos(this.#aim), Math.sin(this.#aim)];
    Object.assign(shot, {
      x: ship.x + HIT * ahead, y: ship.y + HIT * aside,
      vx: ship.vx + MUZZLE * ahead, vy: ship.vy + MUZZLE * aside,
    });
    copy(this.#target, prey);
    const move = gravity ? fall : drift;
    const end = Math.min(life, IMAGINED);
    let least = Infinity;    // px²; written for speed, since nothing else is computed as often
    for (let time = 0; time < end && (time === 0 || shot.x * shot.x + shot.y * shot.y > SUN * SUN); time += STRIDE) {
      const x = prey.x - shot.x;
      const y = prey.y - shot.y;
      const square = x * x + y * y;
      if (square < least) {
        least = square;
        miss.x = x;
        miss.y = y;
        miss.time = time;
      }
      move(shot, STRIDE);
      fall(prey, STRIDE);
    }
    miss.distance = Math.sqrt(least);
    this.#aim += (ahead * miss.y - aside * miss.x) / (HIT + MUZZLE * miss.time);
  }
}

/** ms until a missile will be nearest to a ship if both fly straight on; Infinity if it passes. */
function meeting(ship, missile) {
  const [x, y] = [missile.x - ship.x, missile.y - ship.y];
  const [vx, vy] = [missile.vx - ship.vx, missile.vy - ship.vy];
  const time = -(x * vx + y * vy) / (vx * vx + vy * vy);
  return time > 0 && Math.hypot(x + vx * time, y + vy * time) < 2 * HIT ? time : Infinity;
}

/** Where a free fall leads: px from the sun now, at its nearest, its farthest, and if made round. */
function path(ship) {
  const { x, y, vx, vy } = ship;
  const r = Math.hypot(x, y);
  const spin = x * vy - y * vx;
  const round = spin * spin / GM;
  const eccentricity = Math.sqrt(Math.max(0, 1 + 2 * energy(ship) * round / GM));
  return {
    r, spin, round, outwards: (x * vx + y * vy) / r,
    nearest: round / (1 + eccentricity),
    farthest: eccentricity < 1 ? round / (1 - eccentricity) : Infinity,
  };
}

function copy({ x, y, vx, vy }, to) {
  Object.assign(to, { x, y, vx, vy });
}
