// SPDX-License-Identifier: MIT

// The world: ships, missiles, debris, rules and scores. It knows no page, no network and no clock:
// step() moves it on by STEP ms, and the same seed and the same inputs give the same game everywhere.
//
// A ship is either ours, that is flown here (by a person or a practice pilot) and judged here, or a
// remote one, which only moves as it was last said to, until netplay.js says more: no judgement made
// here destroys it, counts its score or lets it fire. What happens is noted in `events`, in order, for
// whoever wants to show, sound or tell it.

import { STEP, SUN, advance, drift, fall, fly, orbit } from './physics.js';
import { random } from './random.js';

export const MUZZLE = 0.2;        // px/ms, a missile's speed beyond that of its ship
export const RELOAD = 500;        // ms between shots
export const ARMED = 250;         // ms after which a missile is deadly, to its own ship too, and so is debris
export const HIT = 12;            // px, the radius of a ship
export const AWAY = 3_000;        // ms in hyperspace, or until a destroyed ship is back
export const DEBRIS_LIFE = 2_000; // ms
export const SHIELD = 1_500;      // ms after coming back in which neither missiles nor debris harm a ship
export const PIECES = 6;          // of debris that a ship breaks up into
const ORBITS = [87, 350];         // px, least and greatest radius of the orbit a ship comes back on
const MOST_BODIES = 600;          // missiles, and as many pieces of debris: no crowd can fill the sky with more
const FREE_PX = 60;               // px that a ship which comes back should have around it
const CLAIMS = 32;                // shots for which a kill is still believed: more than can be in flight
const NEWS_MS = 1_000;            // ms that the news of a death may take

const CENTRE = { x: 0, y: 0 };

/**
 * The rules that an address asks for with `?rules=`. Missiles: whether the sun pulls them, ms of life,
 * how many of a ship's may fly at once. A ship's supplies; a burning engine takes a unit of fuel each
 * step. Hyperspace: jumps, ms from one's end to the next, and by how much the risk to break up on the
 * way back grows with each. Supplies and risk are as new after an explosion.
 */
export const RULES = {
  __proto__: null,   // an address may ask for any word
  arena: { name: 'arena', gravity: true, life: 5_000, inFlight: 10,
    torpedoes: Infinity, fuel: Infinity, jumps: Infinity, recharge: 0, risk: 0 },
  classic: { name: 'classic', gravity: false, life: 1_600, inFlight: Infinity,
    torpedoes: 32, fuel: 8_192, jumps: 8, recharge: 8_000, risk: 1 / 8 },
};

export class Ship {
  x = 0; y = 0; vx = 0; vy = 0; angle = 0;
  dx = 0; dy = 0; dangle = 0;      // where it is drawn, relative to where it is: a correction on its way out
  state = 'observing';             // flying, exploded, hyperspace or observing: only a flying ship is there
  turn = 0; burning = false;       // what moves it: -1, 0 or 1, and the engine
  // Keys, only of a ship that is ours:
  thrust = false; fire = false;    // held
  hyperspace = false;              // pressed; the next step takes it
  cause = '';                      // of its latest explosion
  greeting = '';                   // what its pilot said last ...
  greetedAt = -Infinity;           // ... and at which world time
  score = 0;
  shots = 0;                       // fired so far, which numbers them
  until = 0;                       // world time at which it is back, if exploded or in hyperspace
  shieldUntil = 0;                 // world time at which its shield ends, unless it fires before
  readyAt = 0;                     // world time from which it may fire
  jumpAt = 0;                      // world time from which it may jump
  fuel = 0; torpedoes = 0;         // left
  jumped = 0;                      // jumps since it was new
  claimable = [];                  // numbers of the latest shots that have not scored yet
  wrecks = [];                     // { number, until }: wrecks it made, whose debris may score until then

  constructor(id, name, look, { bot = false, remote = false } = {}) {
    this.id = id;          // 0 is the person here, negative a practice ship, positive somebody else's
    this.name = name;
    this.look = look;
    this.bot = bot;
    this.remote = remote;
  }
}

export class World {
  time = 0;            // ms, a multiple of STEP
  ships = new Map();   // by id
  missiles = [];       // { owner, number, x, y, vx, vy, age }
  debris = [];         // { owner, maker, number, look, piece, x, y, vx, vy, angle, spin, age }
  events = [];         // { type, ship, at (world time), ... } since they were last taken
  scoring = true;      // whether kills and suicides count, as in a round
  #flight;             // how missiles move

  constructor(rules = RULES.arena, seed = 1) {
    this.rules = rules;
    this.random = random(seed);
    this.#flight = rules.gravity ? fall : drift;
  }

  /** Adds a ship, which observes until it is launched or reported to fly; quietly: that is no event. */
  add(ship, { quietly = false } = {}) {
    this.ships.set(ship.id, ship);
    if (!quietly) this.#note('entered', ship);
    return ship;
  }

  /** Takes a ship away; its missiles fly on. */
  remove(id, { quietly = false } = {}) {
    const ship = this.ships.get(id);
    if (this.ships.delete(id) && !quietly) this.#note('left', ship);
  }

  /** What happened since this was last asked. */
  takeEvents() {
    return this.events.splice(0);
  }

  // ---- Orders to a ship that is ours ----

  /** A new ship, full of everything, on an orbit at once. */
  launch(ship) {
    this.#refit(ship);
    this.#emerge(ship);
  }

  /** Out of the game, for as long as the pilot likes: a jump that does not end by itself. */
  observe(ship) {
    if (ship.state === 'flying') this.#vanish(ship);
    ship.state = 'observing';
  }

  /** Back in, with the delay and the risk of a jump: the observer's seat is no free way out of trouble. */
  resume(ship) {
    if (ship.state !== 'observing') return;
    this.#hide(ship, 'hyperspace');
    ship.until = Math.max(ship.until, ship.jumpAt + AWAY);
  }

  // ---- Time ----

  /** Moves everything on by STEP ms. */
  step() {
    this.time += STEP;
    for (const ship of this.ships.values()) {
      if (!ship.remote) this.#obey(ship);
      if (ship.state === 'flying') fly(ship, STEP);
    }
    for (const missile of this.missiles) age(missile, STEP, this.#flight);
    for (const piece of this.debris) age(piece, STEP, tumble);
    bury(this.missiles, this.rules.life);
    bury(this.debris, DEBRIS_LIFE);
    for (const ship of this.ships.values()) {
      if (!ship.remote && ship.state === 'flying') this.#judge(ship);
    }
  }

  /** Lets time go by that was missed, as in a page that was hidden: only what falls freely moves. */
  skip(time) {
    for (const missile of this.missiles) age(missile, Math.min(time, this.rules.life), this.#flight);
    for (const piece of this.debris) age(piece, Math.min(time, DEBRIS_LIFE), tumble);
  }

  #obey(ship) {
    const { hyperspace } = ship;
    ship.hyperspace = ship.burning = false;
    if (ship.state !== 'flying') {
      if (ship.state !== 'observing' && this.time >= ship.until) this.#return(ship);
      return;
    }
    if (hyperspace && ship.jumped < this.rules.jumps && this.time >= ship.jumpAt) {
      this.#vanish(ship);
      return this.#hide(ship, 'hyperspace');
    }
    ship.burning = ship.thrust && ship.fuel > 0;
    if (ship.burning) ship.fuel--;
    if (ship.fire && this.time >= ship.readyAt && ship.torpedoes > 0) this.#fire(ship);
  }

  #return(ship) {
    this.#emerge(ship);
    ship.readyAt = this.time + RELOAD;  // nobody comes back shooting
  }

  #fire(ship) {
    if (this.inFlight(ship) >= this.rules.inFlight) return;
    ship.readyAt = this.time + RELOAD;
    ship.shieldUntil = 0;
    ship.torpedoes--;
    ship.claimable.push(++ship.shots);
    if (ship.claimable.length > CLAIMS) ship.claimable.shift();
    this.shoot(ship, ship.shots);
  }

  /** Our own judgement of our own ship, the only one there is. */
  #judge(ship) {
    if (within(ship, CENTRE, SUN)) return this.#destroy(ship, 'sun');
    if (this.time < ship.shieldUntil) return;
    for (const missile of this.missiles) {
      if (missile.age >= ARMED && within(ship, missile, HIT)) return this.#destroy(ship, 'missile', missile);
    }
    for (const piece of this.debris) {
      const armed = piece.age >= ARMED && piece.owner !== ship.id;
      const { maker: owner, number } = piece;
      if (armed && within(ship, piece, HIT)) return this.#destroy(ship, 'debris', { owner, number });
    }
  }

  #destroy(ship, cause, { owner = null, number = 0 } = {}) {
    const shooter = this.ships.get(owner);
    const seed = Math.floor(this.random() * 2 ** 31);
    this.explode(ship, seed, { cause, owner, number });
    if (isSuicide({ cause, owner }, ship)) this.#blame(ship);
    this.#refit(ship);
    this.#hide(ship, 'exploded');
    if (shooter && !shooter.remote) this.claim(shooter, ship, { cause, number });
  }

  /** A suicide costs a point; what its debris does counts for it. */
  #blame(ship) {
    if (this.scoring) ship.score--;
    this.#wrecked(ship, 0);
  }

  /** The debris of a wreck that a ship has made may score as long as there is any, and news of it takes. */
  #wrecked(ship, number) {
    ship.wrecks = ship.wrecks.filter(({ until }) => until > this.time);
    ship.wrecks.push({ number, until: this.time + DEBRIS_LIFE + NEWS_MS });
  }

  #refit(ship) {
    const { fuel, torpedoes } = this.rules;
    Object.assign(ship, { fuel, torpedoes, jumped: 0, jumpAt: 0 });
  }

  #vanish(ship) {
    ship.jumped++;
    this.#note('jumped', ship);
  }

  #hide(ship, state) {
    ship.state = state;
    ship.until = this.time + AWAY;
  }

  #emerge(ship) {
    const [least, greatest] = ORBITS;
    let tries = 8;
    do {
      const r = least + (greatest - least) * this.random();
      orbit(ship, r, 2 * Math.PI * this.random(), this.random() < 0.5 ? -1 : 1);
    } while (--tries && this.#crowded(ship));
    ship.angle = Math.atan2(ship.vy, ship.vx);
    ship.state = 'flying';
    ship.shieldUntil = this.time + SHIELD;
    if (ship.jumped) ship.jumpAt = this.time + this.rules.recharge;
    this.#note('returned', ship);
    if (this.random() < ship.jumped * this.rules.risk) this.#destroy(ship, 'hyperspace');
  }

  #crowded(ship) {
    const near = body => body !== ship && within(ship, body, FREE_PX);
    return this.missiles.some(near) || this.debris.some(near)
      || [...this.ships.values()].some(other => other.state === 'flying' && near(other));
  }

  // ---- What ships do, ours and remote ones ----

  /** A pilot says something, which is seen at the ship for a while. */
  greet(ship, greeting) {
    ship.greeting = greeting;
    ship.greetedAt = this.time;
    this.#note('greeted', ship, { greeting });
  }

  /** How many of a ship's missiles are flying. */
  inFlight(ship) {
    let count = 0;
    for (const missile of this.missiles) if (missile.owner === ship.id) count++;
    return count;
  }

  /**
   * A missile leaves the nose of a ship as it is now, or, for a remote one, as it was `late` ms ago. It arms
   * from now all the same: nobody is hit by what could not be seen before.
   */
  shoot(ship, number, late = 0) {
    const [ahead, aside] = [Math.cos(ship.angle), Math.sin(ship.angle)];
    const missile = {
      owner: ship.id, number, age: 0,
      x: ship.x + HIT * ahead, y: ship.y + HIT * aside,
      vx: ship.vx + MUZZLE * ahead, vy: ship.vy + MUZZLE * aside,
    };
    advance(missile, late, this.#flight);
    this.missiles.push(missile);
    if (this.missiles.length > MOST_BODIES) this.missiles.shift();
    this.#note('fired', ship, { missile });
  }

  /**
   * A ship breaks up where it is; the seed makes its pieces fly the same way on every page. There are none
   * of a remote one that was not seen there.
   */
  explode(ship, seed, { cause, owner = null, number = 0, seen = true }, late = 0) {
    const chance = random(seed);
    const pieces = seen ? PIECES : 0;
    const maker = cause === 'missile' || cause === 'debris' ? owner : ship.id;
    for (let piece = 0; piece < pieces; piece++) {
      const direction = (piece + chance()) / PIECES * 2 * Math.PI;
      const speed = 0.02 + 0.06 * chance();
      const fragment = {
        owner: ship.id, maker, number, look: ship.look, piece, age: 0,
        x: ship.x, y: ship.y, angle: ship.angle, spin: (chance() - 0.5) * 0.012,
        vx: ship.vx + speed * Math.cos(direction), vy: ship.vy + speed * Math.sin(direction),
      };
      advance(fragment, late, tumble);
      this.debris.push(fragment);
    }
    if (this.debris.length > MOST_BODIES) this.debris.splice(0, PIECES);
    const spent = this.missiles.findIndex(missile => missile.owner === owner && missile.number === number);
    if (cause === 'missile' && spent >= 0) this.missiles.splice(spent, 1);
    ship.state = 'exploded';
    ship.cause = cause;
    ship.burning = false;
    this.#note('destroyed', ship, { cause, owner, number, seed });
  }

  /**
   * A point to one of our ships: for a shot that it did fire and that has not scored yet, or for the debris of a
   * wreck that it made.
   */
  claim(shooter, victim, { cause, number }) {
    if (cause === 'missile') {
      const at = shooter.claimable.indexOf(number);
      if (at < 0) return;
      shooter.claimable.splice(at, 1);
    } else if (!shooter.wrecks.some(wreck => wreck.number === number && wreck.until > this.time)) return;
    if (shooter === victim) return;
    this.#wrecked(shooter, number);
    if (!this.scoring) return;
    shooter.score++;
    this.#note('scored', shooter, { victim });
  }

  #note(type, ship, more) {
    this.events.push({ type, ship, at: this.time, ...more });
  }
}

/** Whether a death is the pilot's own doing. */
export function isSuicide({ cause, owner }, ship) {
  return cause === 'sun' || cause === 'hyperspace' || (cause === 'missile' && owner === ship.id);
}

function age(body, time, move) {
  body.age += time;
  advance(body, time, move);
}

function tumble(piece, time) {
  fall(piece, time);
  piece.angle += piece.spin * time;
}

/** Takes away what is too old or has fallen into the sun, in place: this runs 250 times a second. */
function bury(bodies, life) {
  for (let i = bodies.length - 1; i >= 0; i--) {
    if (bodies[i].age >= life || within(bodies[i], CENTRE, SUN)) bodies.splice(i, 1);
  }
}

function within(a, b, distance) {
  const x = a.x - b.x;
  const y = a.y - b.y;
  return x * x + y * y < distance * distance;
}
