// SPDX-License-Identifier: MIT

// The rules, number by number, and what nobody may get around: each test builds a small world with a
// seed, lets it run, and looks.

import { STEP, SUN, energy, orbit } from '../physics.js';
import { random } from '../random.js';
import { ARMED, AWAY, DEBRIS_LIFE, HIT, MUZZLE, RELOAD, RULES, SHIELD, Ship, World } from '../world.js';
import { equal, near, ok, seeds } from './check.js';

const CLASSIC = RULES.classic;
const FAR = 600;    // px from the sun, where it hardly disturbs a test of something else

/** A world with a ship of ours, id 0, at rest at (FAR, 0), nose along x. */
function duel(rules = RULES.arena, seed = 1) {
  const world = new World(rules, seed);
  const me = place(world, new Ship(0, 'Ada', 0));
  return { world, me };
}

/** Adds a ship, new, full and without its shield, and puts it where it is wanted. */
function place(world, ship, at = {}) {
  world.add(ship);
  if (ship.remote) ship.state = 'flying';
  else world.launch(ship);
  world.events.length = 0;
  return Object.assign(ship, { x: FAR, y: 0, vx: 0, vy: 0, angle: 0, jumpAt: 0, shieldUntil: 0 }, at);
}

function run(world, time, each = () => {}) {
  for (let t = 0; t < time; t += STEP) {
    world.step();
    each(world);
  }
}

function claim(world, shooter, victim, number) {
  world.claim(shooter, victim, { cause: 'missile', number });
}

/** A missile that hangs in the sky. */
function mine(world, { x, y }, more) {
  const missile = { owner: 77, number: 1, x, y, vx: 0, vy: 0, age: ARMED, ...more };
  world.missiles.push(missile);
  return missile;
}

function types(world) {
  return world.takeEvents().map(({ type }) => type);
}

/** Blows a ship up with the next step. */
function sink(world, ship, by = {}) {
  mine(world, ship, by);
  world.step();
  equal(ship.state, 'exploded', 'state of the ship that was hit');
}

function jump(world, ship) {
  ship.hyperspace = true;
  world.step();
}

/** The share of so many rounds of hyperspace that ended in an explosion; the time away is skipped. */
function losses(rules, rounds, prepare, leave = jump) {
  let lost = 0;
  for (let seed = 1; seed <= rounds; seed++) {
    const { world, me } = duel(rules, seed);
    prepare(me);
    leave(world, me);
    world.time += AWAY - STEP;
    world.step();
    const blown = types(world).includes('destroyed');
    equal(me.state, blown ? 'exploded' : 'flying', 'state after the jump');
    if (blown) lost++;
  }
  return lost / rounds;
}

/** Everything there is, bit by bit, as one number. */
function hash(world) {
  const number = new Float64Array(1);
  const bytes = new Uint8Array(number.buffer);
  let sum = 0x811C9DC5;
  const mix = value => {
    number[0] = typeof value === 'number' ? value : String(value).length;
    for (const byte of bytes) sum = Math.imul(sum ^ byte, 0x01000193) >>> 0;
  };
  mix(world.time);
  for (const group of [world.ships.values(), world.missiles, world.debris]) {
    for (const body of group) Object.values(body).flat().forEach(mix);
  }
  return sum;
}

/** A minute of a wild fight of four, steered by a script; the hash after each second. */
function fight(rules, seed, script = 7) {
  const world = new World(rules, seed);
  const chance = random(script);
  const ships = [0, -1, -2, -3].map(id => world.add(new Ship(id, 'Ada', 8 - id)));
  for (const ship of ships) world.launch(ship);
  const hashes = [];
  const seen = new Set();
  for (let t = 0; t < 60_000; t += STEP) {
    for (const ship of ships) {
      if (chance() < 0.02) ship.turn = Math.floor(3 * chance()) - 1;
      if (chance() < 0.02) ship.thrust = chance() < 0.3;
      if (chance() < 0.02) ship.fire = chance() < 0.7;
      if (chance() < 0.0003) ship.hyperspace = true;
    }
    world.step();
    for (const { type } of world.takeEvents()) seen.add(type);
    if (t % 1000 === 0) hashes.push(hash(world));
  }
  return { world, hashes, seen };
}

export default {
  'the constants are those of the rules': () => {
    equal({ MUZZLE, RELOAD, ARMED, HIT, AWAY }, { MUZZLE: 0.2, RELOAD: 500, ARMED: 250, HIT: 12, AWAY: 3000 });
    const { life, inFlight, torpedoes, fuel, jumps } = RULES.arena;
    equal({ life, inFlight }, { life: 5000, inFlight: 10 }, 'arena');
    equal({ torpedoes, fuel, jumps }, { torpedoes: Infinity, fuel: Infinity, jumps: Infinity }, 'arena');
    equal([CLASSIC.life, CLASSIC.torpedoes, CLASSIC.fuel, CLASSIC.jumps], [1600, 32, 8192, 8], 'classic');
  },

  'an address can ask for no other rules than these': () => {
    for (const word of ['constructor', 'toString', '__proto__', 'valueOf', 'hasOwnProperty', '']) {
      equal(RULES[word], undefined, word);
    }
  },

  // ---- Flight ----

  'a ship in the world keeps its energy on an orbit down to 40 px': () => {
    for (const farthest of [120, 350, 800]) {
      const { world, me } = duel();
      Object.assign(me, { x: farthest, y: 0, vx: 0, vy: Math.sqrt(8 * 40 / (farthest * (40 + farthest))) });
      const before = energy(me);
      run(world, 60_000, () => ok(Math.abs(energy(me) / before - 1) < 0.02, `energy, 40 to ${farthest} px`));
      equal(me.state, 'flying');
    }
  },

  'the engine pushes with 4e-5 px/ms² while thrust is held, and no longer': () => {
    const { world, me } = duel();
    me.angle = Math.PI / 2;
    me.thrust = true;
    run(world, 500, () => ok(me.burning, 'burning while held'));
    near(me.vy, 0.02, 5e-5, 'px/ms after half a second');
    me.thrust = false;
    world.step();
    equal(me.burning, false, 'burning');
    near(me.vy, 0.02, 1e-4, 'px/ms later');
  },

  'a ship turns by 0.004 rad/ms': () => {
    const { world, me } = duel();
    me.turn = -1;
    run(world, 1_000);
    near(me.angle, -4, 1e-9, 'rad after a second');
  },

  'time goes by in steps': () => {
    const { world } = duel();
    run(world, 1_000);
    equal(world.time, 1_000);
  },

  // ---- Missiles ----

  'a missile leaves the nose at 0.2 px/ms beyond its ship': () => {
    for (const angle of [0, 1, Math.PI, -2]) {
      const { world, me } = duel();
      Object.assign(me, { angle, vx: 0.1, vy: -0.05 });
      world.shoot(me, 1);
      const [missile] = world.missiles;
      near(missile.vx, 0.1 + 0.2 * Math.cos(angle), 1e-12, 'vx');
      near(missile.vy, -0.05 + 0.2 * Math.sin(angle), 1e-12, 'vy');
      near(missile.x - me.x, 12 * Math.cos(angle), 1e-9, 'px ahead, x');
      near(missile.y - me.y, 12 * Math.sin(angle), 1e-9, 'px ahead, y');
    }
  },

  'firing is told, and numbered from 1': () => {
    const { world, me } = duel();
    me.fire = true;
    run(world, RELOAD + STEP);
    const events = world.takeEvents();
    equal(events.map(({ type, ship, missile }) => [type, ship.id, missile.owner, missile.number]),
      [['fired', 0, 0, 1], ['fired', 0, 0, 2]]);
  },

  'held fire shoots every 500 ms': () => {
    const { world, me } = duel();
    const shots = [];
    me.fire = true;
    run(world, 2_000, () => {
      for (const { type } of world.takeEvents()) if (type === 'fired') shots.push(world.time);
    });
    equal(shots, [4, 504, 1_004, 1_504], 'ms of shots');
  },

  'letting go and pressing again reloads no faster': () => {
    const { world, me } = duel();
    run(world, 480, () => { me.fire = !me.fire; });
    equal(me.shots, 1, 'shots');
  },

  'at most ten missiles of a ship are in flight': () => {
    const { world, me } = duel();
    const other = place(world, new Ship(-1, 'Bob', 1), { x: -FAR, angle: Math.PI });
    for (let i = 0; i < 10; i++) world.shoot(me, i);
    me.fire = other.fire = true;
    world.step();
    equal([world.inFlight(me), world.inFlight(other)], [10, 1], 'in flight');
    world.missiles.shift();
    world.step();
    equal(world.inFlight(me), 10, 'in flight after one was gone');
    equal(me.shots, 1, 'shots');
  },

  'a missile lives for 5 s': () => {
    const { world, me } = duel();
    world.shoot(me, 1);
    world.missiles[0].vy = 0.2;   // past its ship, were it to fall back
    run(world, 4_996);
    equal(world.missiles.length, 1, 'missiles after 4996 ms');
    world.step();
    equal(world.missiles.length, 0, 'missiles after 5 s');
  },

  'the sun pulls missiles': () => {
    const { world } = duel();
    const missile = mine(world, { x: 0, y: 200 });
    run(world, 400);
    near(missile.vy, -4 / 200 ** 2 * 400, 2e-3, 'px/ms after 400 ms');
  },

  'the sun swallows missiles': () => {
    const { world } = duel();
    mine(world, { x: 0, y: SUN - 0.1 });
    mine(world, { x: 0, y: SUN + 1 });
    world.step();
    equal(world.missiles.length, 1, 'missiles left');
  },

  'a missile is harmless for 250 ms, and deadly from then on, to its own ship too': () => {
    for (const owner of [0, 77]) {
      const { world, me } = duel();
      const missile = mine(world, me, { owner, age: 0 });
      run(world, 248, () => Object.assign(missile, { x: me.x, y: me.y }));
      equal(me.state, 'flying', `state after 248 ms in a missile of ${owner}`);
      world.step();
      equal(me.state, 'exploded', `state after 252 ms in a missile of ${owner}`);
    }
  },

  'a missile hits within 12 px and is spent': () => {
    for (const [distance, state] of [[11.9, 'exploded'], [12.5, 'flying']]) {
      for (const direction of [0, 2, 4]) {
        const { world, me } = duel();
        mine(world, { x: me.x + distance * Math.cos(direction), y: me.y + distance * Math.sin(direction) });
        world.step();
        equal(me.state, state, `state with a missile at ${distance} px`);
        equal(world.missiles.length, state === 'flying' ? 1 : 0, 'missiles left');
      }
    }
  },

  'a hit spends one missile, the one that hit': () => {
    const { world, me } = duel();
    mine(world, me, { number: 1, age: 0 });
    mine(world, me, { number: 2 });
    mine(world, me, { number: 2, owner: 78 });
    world.step();
    equal(world.missiles.map(({ owner, number }) => [owner, number]), [[77, 1], [78, 2]], 'missiles left');
    equal(me.score, 0, 'score');
  },

  'missiles fly on when their pilot leaves': () => {
    const { world, me } = duel();
    world.shoot(me, 1);
    world.remove(0);
    world.step();
    equal(world.missiles.length, 1, 'missiles');
  },

  // ---- The end of a ship, and what follows ----

  'the sun kills at 24 px and not at 24.5': () => {
    for (const [r, state] of [[23.9, 'exploded'], [24.5, 'flying']]) {
      const { world, me } = duel();
      orbit(me, r, 1, 1);
      world.step();
      equal(me.state, state, `state at ${r} px`);
      if (state === 'exploded') equal(world.takeEvents()[0].cause, 'sun', 'cause');
    }
  },

  'what is destroyed leaves six pieces, for a while': () => {
    const { world, me } = duel();
    me.vx = 0.1;
    sink(world, me);
    equal(world.debris.length, 6, 'pieces');
    equal(world.debris.map(({ owner, piece }) => [owner, piece]), [0, 1, 2, 3, 4, 5].map(n => [0, n]), 'pieces');
    const mean = world.debris.reduce((sum, { vx }) => sum + vx, 0) / 6;
    near(mean, 0.1, 0.03, 'px/ms: they fly on as the ship did');
    run(world, DEBRIS_LIFE);
    equal(world.debris.length, 0, 'pieces after their life');
  },

  'pieces fly apart in all directions, the same ones for the same seed': () => {
    const wreck = seed => {
      const { world, me } = duel();
      world.explode(me, seed, { cause: 'sun' });
      return world.debris.map(({ vx, vy, spin }) => ({ vx, vy, spin }));
    };
    equal(wreck(5), wreck(5), 'pieces');
    ok(wreck(5)[0].vx !== wreck(6)[0].vx, 'another seed, other pieces');
    wreck(5).forEach(({ vx, vy }, i) => {
      const direction = (Math.atan2(vy, vx) + 2 * Math.PI) % (2 * Math.PI);
      equal(Math.floor(direction / (Math.PI / 3)), i, 'sixth of the sky');
    });
  },

  'debris is deadly within 12 px': () => {
    for (const [distance, state] of [[11, 'exploded'], [13, 'flying']]) {
      const { world, me } = duel();
      const wreck = place(world, new Ship(7, 'Bob', 1, { remote: true }), { x: me.x, y: me.y + distance });
      world.explode(wreck, 1, { cause: 'sun' });
      for (const piece of world.debris) Object.assign(piece, { vx: 0, vy: 0, age: ARMED });
      world.takeEvents();
      world.step();
      equal(me.state, state, `state with debris at ${distance} px`);
      if (state === 'exploded') equal(world.takeEvents()[0].cause, 'debris', 'cause');
    }
  },

  'debris is harmless for 250 ms, as missiles are': () => {
    const { world, me } = duel();
    world.explode(place(world, new Ship(7, 'Bob', 1, { remote: true }), { x: me.x, y: me.y }), 1, { cause: 'sun' });
    run(world, 248);
    equal(me.state, 'flying', 'state after 248 ms amidst the pieces of a neighbour');
    world.step();
    equal(me.state, 'exploded', 'state after 252 ms');
  },

  'nobody dies of the own wreck': () => {
    const { world, me } = duel();
    world.explode(me, 1, { cause: 'sun' });
    for (const piece of world.debris) piece.age = ARMED;
    me.state = 'flying';
    world.step();
    equal(me.state, 'flying', 'state');
  },

  'the destroyed one is told, with the cause and the seed of its pieces': () => {
    const { world, me } = duel();
    sink(world, me, { owner: 9, number: 4 });
    run(world, 40);
    const [{ type, ship, at, cause, owner, number, seed }] = world.takeEvents();
    equal([type, ship.id, at, cause, owner, number], ['destroyed', 0, STEP, 'missile', 9, 4]);
    ok(Number.isInteger(seed) && seed >= 0 && seed < 2 ** 31, 'a seed that travels well');
  },

  'the destroyed one is back after 3 s, on a circular orbit of 87 to 350 px, either way round': () => {
    const ways = new Set();
    let [least, greatest] = [Infinity, 0];
    for (let seed = 1; seed <= 200; seed++) {
      const { world, me } = duel(RULES.arena, seed);
      sink(world, me);
      run(world, 2_996);
      equal(me.state, 'exploded', 'state after 2996 ms');
      world.takeEvents();
      world.step();
      equal(me.state, 'flying', 'state after 3 s');
      equal(types(world), ['returned'], 'events');
      const r = Math.hypot(me.x, me.y);
      near(me.vx * me.vx + me.vy * me.vy, 4 / r, 1e-4 * 4 / r, 'speed², circular');
      near((me.x * me.vx + me.y * me.vy) / r, 0, 1e-4, 'speed outwards');
      near(me.angle, Math.atan2(me.vy, me.vx), 0.02, 'nose ahead');
      ways.add(Math.sign(me.x * me.vy - me.y * me.vx));
      least = Math.min(least, r);
      greatest = Math.max(greatest, r);
    }
    equal(ways.size, 2, 'ways round');
    ok(least >= 86.9 && least < 95, `least radius ${least}`);
    ok(greatest <= 350.1 && greatest > 340, `greatest radius ${greatest}`);
  },

  'who comes back has room': () => {
    for (let seed = 1; seed <= 50; seed++) {
      const { world, me } = duel(RULES.arena, seed);
      for (let i = 0; i < 12; i++) mine(world, { x: 180 * Math.cos(i), y: 180 * Math.sin(i) });
      world.launch(me);
      for (const { x, y } of world.missiles) ok(Math.hypot(me.x - x, me.y - y) >= 60, 'px to the next missile');
    }
  },

  'who comes back cannot be hit for 1.5 s': () => {
    const { world, me } = duel();
    world.launch(me);
    run(world, SHIELD - STEP, () => {
      world.missiles.length = world.debris.length = 0;
      mine(world, me);
      world.debris.push({ owner: 77, piece: 0, look: 0, x: me.x, y: me.y, vx: 0, vy: 0,
        angle: 0, spin: 0, age: ARMED });
      equal(me.state, 'flying', `state after ${world.time} ms`);
    });
    mine(world, me);
    run(world, 2 * STEP);
    equal(me.state, 'exploded', 'state without the shield');
  },

  'the first shot ends the shield, and the sun knows none': () => {
    const { world, me } = duel();
    world.launch(me);
    me.fire = true;
    world.step();
    me.fire = false;
    sink(world, me);
    run(world, AWAY);
    Object.assign(me, { x: 10, y: 10, vx: 0, vy: 0 });
    world.step();
    equal([me.state, me.cause], ['exploded', 'sun']);
  },

  // ---- Scores ----

  'debris is a point for who shot the ship that it was of, for as long as there is any': () => {
    for (const [wait, points] of [[0, 2], [DEBRIS_LIFE + 2_000, 1]]) {
      const { world, me } = duel();
      const victim = place(world, new Ship(7, 'Bob', 1, { remote: true }), { x: -FAR });
      me.fire = true;
      world.step();
      me.fire = false;
      world.claim(me, victim, { cause: 'missile', number: 1 });
      run(world, wait);
      for (const number of [0, 2, NaN]) world.claim(me, victim, { cause: 'debris', number });
      equal(me.score, 1, 'score after claims for wrecks of others');
      world.claim(me, victim, { cause: 'debris', number: 1 });
      equal(me.score, points, `score ${wait} ms later`);
    }
  },

  'a wreck of one’s own making scores too, for others than oneself': () => {
    const { world, me } = duel();
    const victim = place(world, new Ship(-1, 'Bob', 1), { x: -FAR });
    Object.assign(me, { x: 10, y: 10 });
    world.step();
    Object.assign(world.debris[0], { x: -FAR, y: 0, vx: 0, vy: 0, age: ARMED });
    world.step();
    equal([victim.state, me.score, victim.score], ['exploded', 0, 0], 'a point less, a point more');
  },

  'out of a round nothing counts': () => {
    const { world, me } = duel();
    const other = place(world, new Ship(-1, 'Bob', 1), { x: 10, y: 10 });
    world.scoring = false;
    me.fire = true;
    world.step();
    world.claim(me, other, { cause: 'missile', number: 1 });
    equal([me.score, other.score], [0, 0], 'scores');
  },


  'to be shot costs nothing, and is +1 for the pilot of the missile': () => {
    const { world, me } = duel();
    const shooter = place(world, new Ship(-1, 'Bob', 1), { x: -FAR });
    shooter.fire = true;
    world.step();
    Object.assign(world.missiles[0], { x: me.x, y: me.y, age: ARMED, vx: 0, vy: 0 });
    world.takeEvents();
    world.step();
    equal([me.score, shooter.score], [0, 1], 'scores');
    equal(types(world), ['destroyed', 'scored'], 'events');
  },

  'the sun is −1, and +1 for nobody': () => {
    const { world, me } = duel();
    const other = place(world, new Ship(-1, 'Bob', 1), { x: 10, y: 10 });
    world.step();
    equal([me.score, other.score], [0, -1], 'scores');
  },

  'suicide is −1 and no more': () => {
    const { world, me } = duel();
    me.fire = true;
    world.step();
    me.fire = false;
    Object.assign(world.missiles[0], { x: me.x, y: me.y, age: ARMED, vx: 0, vy: 0 });
    world.step();
    equal([me.state, me.score], ['exploded', -1], 'state and score');
  },

  'who is gone gets no point': () => {
    const { world, me } = duel();
    sink(world, me, { owner: -5, number: 1 });
    equal(me.score, 0, 'score');
  },

  'a claim counts once, and only for a shot that was fired': () => {
    const { world, me } = duel();
    const victim = place(world, new Ship(7, 'Bob', 1, { remote: true }), { x: -FAR });
    claim(world, me, victim, 1);
    equal(me.score, 0, 'score before any shot');
    me.fire = true;
    world.step();
    for (const number of [0, 2, -1, 1.5, NaN, '1', undefined]) claim(world, me, victim, number);
    equal(me.score, 0, 'score after claims for shots that were none');
    for (let i = 0; i < 50; i++) claim(world, me, victim, 1);
    equal(me.score, 1, 'score after fifty claims for one shot');
    equal(types(world).filter(type => type === 'scored').length, 1, 'points told');
  },

  'a missile that kills a remote ship scores only when claimed': () => {
    const { world, me } = duel();
    const victim = place(world, new Ship(7, 'Bob', 1, { remote: true }), { x: -FAR });
    me.fire = true;
    world.step();
    Object.assign(world.missiles[0], { x: victim.x, y: victim.y, age: ARMED, vx: 0, vy: 0 });
    world.step();
    equal([me.score, victim.score], [0, 0], 'scores');
    claim(world, me, victim, 1);
    equal([me.score, victim.score], [1, 0], 'scores');
  },

  'a kill of ours by a remote shooter is not counted here': () => {
    const { world, me } = duel();
    const shooter = place(world, new Ship(7, 'Bob', 1, { remote: true }), { x: -FAR });
    shooter.claimable.push(1);
    sink(world, me, { owner: 7, number: 1 });
    equal([me.score, shooter.score], [0, 0], 'scores');
  },

  'the shots that may score are a bounded list of the latest': () => {
    const { world, me } = duel();
    const victim = place(world, new Ship(7, 'Bob', 1, { remote: true }), { x: -FAR });
    for (let i = 0; i < 100; i++) {
      Object.assign(me, { fire: true, readyAt: 0 });
      world.step();
      world.missiles.length = 0;
    }
    ok(me.claimable.length <= 40, `${me.claimable.length} shots remembered`);
    for (let number = 1; number <= 60; number++) claim(world, me, victim, number);
    equal(me.score, 0, 'score for shots of long ago');
    for (let number = 91; number <= 100; number++) claim(world, me, victim, number);
    equal(me.score, 10, 'score for the last ten');
  },

  // ---- Hyperspace ----

  'hyperspace takes a ship away for 3 s and puts it on a random circular orbit': () => {
    const places = new Set();
    for (let seed = 1; seed <= 50; seed++) {
      const { world, me } = duel(RULES.arena, seed);
      jump(world, me);
      equal(me.state, 'hyperspace', 'state');
      run(world, 2_996, () => equal(me.state, 'hyperspace', 'state'));
      world.step();
      equal(me.state, 'flying', 'state after 3 s');
      equal(types(world), ['jumped', 'returned'], 'events');
      const r = Math.hypot(me.x, me.y);
      ok(r > 86.9 && r < 350.1, `${r} px from the sun`);
      near(me.vx * me.vx + me.vy * me.vy, 4 / r, 1e-4 * 4 / r, 'speed², circular');
      places.add(me.x);
    }
    equal(places.size, 50, 'places');
  },

  'nothing hits, steers or fires a ship in hyperspace': () => {
    const { world, me } = duel();
    jump(world, me);
    Object.assign(me, { x: 5, y: 5, fire: true, thrust: true, turn: 1 });
    mine(world, me);
    const before = me.angle;
    run(world, 1_000);
    equal([me.state, me.score, me.shots, me.burning, me.angle], ['hyperspace', 0, 0, false, before]);
  },

  'hyperspace is asked for once, not for later': () => {
    const { world, me } = duel();
    sink(world, me);
    me.hyperspace = true;
    run(world, AWAY);
    equal([me.state, me.jumped, me.hyperspace], ['flying', 0, false]);
  },

  'in the arena hyperspace is without risk or limit': () => {
    const { world, me } = duel();
    for (let i = 0; i < 30; i++) {
      jump(world, me);
      run(world, AWAY);
      equal(me.state, 'flying', `state after jump ${i + 1}`);
      Object.assign(me, { x: FAR, y: 0, vx: 0, vy: 0 });
    }
    equal(me.score, 0, 'score');
  },

  // ---- Observing ----

  'an observer is nowhere, and returns as from hyperspace': () => {
    const { world, me } = duel();
    mine(world, me, { age: -100 });
    world.observe(me);
    run(world, 10_000);
    equal([me.state, me.score], ['observing', 0]);
    world.resume(me);
    run(world, 2_996, () => equal(me.state, 'hyperspace', 'state'));
    world.step();
    equal(me.state, 'flying', 'state after 3 s');
  },

  'toggling the observer is no way out: nothing moves for 3 s, however often': () => {
    const { world, me } = duel();
    const { x, y } = me;
    for (let i = 0; i < 7; i++) {
      world.observe(me);
      world.resume(me);
      world.step();
      equal([me.state, me.x, me.y], ['hyperspace', x, y], 'state and place');
    }
    run(world, 2_992);
    equal(me.state, 'hyperspace', 'state just before 3 s after the last');
    run(world, 8);
    equal(me.state, 'flying', 'state after 3 s');
    equal(me.jumped, 1, 'jumps, since it was out all the time');
  },

  'resuming costs nothing to a ship that flies, and changes nothing': () => {
    const { world, me } = duel();
    world.resume(me);
    equal([me.state, me.x], ['flying', FAR]);
  },

  'observing while exploded brings nobody back sooner': () => {
    const { world, me } = duel();
    sink(world, me);
    run(world, 1_000);
    world.observe(me);
    world.resume(me);
    run(world, 2_996, () => equal(me.state === 'flying', false, 'flying'));
    world.step();
    equal([me.state, me.score], ['flying', 0]);
  },

  'who watches after an explosion watches on': () => {
    const { world, me } = duel();
    sink(world, me);
    world.observe(me);
    run(world, 10_000);
    equal(me.state, 'observing');
  },

  'under classic rules observing has the risk of a jump': () => {
    const leave = (world, me) => {
      world.observe(me);
      world.resume(me);
    };
    near(losses(CLASSIC, 400, () => {}, leave), 1 / 8, 0.05, 'share of ships lost');
    near(losses(CLASSIC, 400, me => { me.jumped = 4; }, leave), 5 / 8, 0.08, 'share of ships lost');
    equal(losses(CLASSIC, 20, me => { me.jumped = 9; }, leave), 1, 'share of ships lost');
  },

  // ---- Classic rules ----

  'classic fuel is 8192 units, one for each step of burning': () => {
    const { world, me } = duel(CLASSIC);
    equal(me.fuel, 8192, 'units');
    run(world, 400);
    equal(me.fuel, 8192, 'units after coasting');
    me.thrust = true;
    run(world, 400);
    equal(me.fuel, 8092, 'units after 100 steps of thrust');
    me.fuel = 1;
    world.step();
    equal([me.fuel, me.burning], [0, true], 'the last unit burns');
    const { vx } = me;
    run(world, 40);
    equal([me.fuel, me.burning], [0, false], 'nothing is left');
    near(me.vx, vx, 1e-3, 'px/ms');
  },

  'classic torpedoes are 32, with 500 ms between them, any number in flight': () => {
    const { world, me } = duel(CLASSIC);
    equal(me.torpedoes, 32, 'torpedoes');
    me.fire = true;
    run(world, 20_000, () => {
      Object.assign(me, { x: FAR, vx: 0 });
      for (const missile of world.missiles) missile.age = Math.min(missile.age, 200);
    });
    equal([me.torpedoes, me.shots, world.missiles.length], [0, 32, 32]);
  },

  'classic torpedoes ignore gravity and live for 1.6 s': () => {
    const { world } = duel(CLASSIC);
    const missile = mine(world, { x: 0, y: 100 }, { vx: 0.1, age: 0 });
    run(world, 1_596);
    near(missile.x, 159.6, 1e-6, 'x');
    equal([missile.y, missile.vy, world.missiles.length], [100, 0, 1], 'y, vy and missiles after 1596 ms');
    world.step();
    equal(world.missiles.length, 0, 'missiles after 1.6 s');
  },

  'classic debris and ships do fall': () => {
    const { world, me } = duel(CLASSIC);
    Object.assign(me, { x: 0, y: 300 });
    world.explode(place(world, new Ship(-1, 'Bob', 1), { x: -300 }), 1, { cause: 'sun' });
    const speed = () => world.debris.reduce((sum, { vx }) => sum + vx, 0) / 6;
    const before = speed();
    run(world, 400);
    near(me.vy, -4 / 300 ** 2 * 400, 1e-3, 'px/ms of the ship');
    near(speed() - before, 4 / 300 ** 2 * 400, 0.004, 'px/ms of the debris');
  },

  'classic hyperspace: the risk to blow up is one eighth more with each jump': () => {
    for (let jumped = 0; jumped < 8; jumped++) {
      const risk = (jumped + 1) / 8;
      near(losses(CLASSIC, 400, me => { me.jumped = jumped; }), risk, 0.08, `share lost by jump ${jumped + 1}`);
    }
  },

  'blowing up on the way back is a loss like others': () => {
    const { world, me } = duel(CLASSIC);
    me.jumped = 7;
    jump(world, me);
    run(world, AWAY);
    const events = world.takeEvents();
    equal(events.map(({ type }) => type), ['jumped', 'returned', 'destroyed']);
    equal([events[2].cause, events[2].owner, me.score, world.debris.length], ['hyperspace', null, -1, 6]);
    run(world, AWAY);
    equal([me.state, me.jumped], ['flying', 0], 'and it is new after 3 s');
  },

  'classic hyperspace: eight jumps and no more': () => {
    const { world, me } = duel(CLASSIC);
    me.jumped = 8;
    jump(world, me);
    equal([me.state, me.jumped], ['flying', 8]);
    me.jumped = 7;
    jump(world, me);
    equal([me.state, me.jumped], ['hyperspace', 8]);
  },

  'classic hyperspace recharges before the next jump': () => {
    ok(CLASSIC.recharge > 0, 'a time to wait');
    for (let seed = 1; seed <= 5; seed++) {
      const { world, me } = duel(CLASSIC, seed);
      jump(world, me);
      run(world, AWAY);
      if (me.state !== 'flying') continue;
      Object.assign(me, { x: FAR, y: 0, vx: 0, vy: 0 });
      run(world, CLASSIC.recharge - STEP, () => { me.hyperspace = true; });
      equal([me.state, me.jumped], ['flying', 1], 'while it recharges');
      jump(world, me);
      equal([me.state, me.jumped], ['hyperspace', 2], 'recharged');
    }
  },

  'after an explosion fuel, torpedoes and hyperspace are as new': () => {
    const { world, me } = duel(CLASSIC);
    Object.assign(me, { fuel: 5, torpedoes: 2, jumped: 6, jumpAt: 1e9 });
    sink(world, me);
    run(world, AWAY);
    equal([me.state, me.fuel, me.torpedoes, me.jumped], ['flying', 8192, 32, 0]);
    ok(me.jumpAt <= world.time + CLASSIC.recharge, 'it may jump again');
  },

  'a jump refills nothing': () => {
    const { world, me } = duel(CLASSIC, 3);
    Object.assign(me, { fuel: 5, torpedoes: 2 });
    jump(world, me);
    run(world, AWAY);
    equal([me.state, me.fuel, me.torpedoes], ['flying', 5, 2]);
  },

  'observing refills nothing': () => {
    const { world, me } = duel(CLASSIC, 3);
    Object.assign(me, { fuel: 5, torpedoes: 2 });
    world.observe(me);
    world.resume(me);
    run(world, AWAY);
    equal([me.state, me.fuel, me.torpedoes], ['flying', 5, 2]);
  },

  // ---- Remote ships ----

  'a remote ship is never judged, steered or counted here': () => {
    const { world } = duel();
    const remote = place(world, new Ship(7, 'Bob', 1, { remote: true }), { x: -FAR });
    Object.assign(remote, { fire: true, thrust: true, hyperspace: true, torpedoes: 9 });
    mine(world, remote);
    world.explode(place(world, new Ship(8, 'Eve', 1, { remote: true }), { x: -FAR }), 1, { cause: 'sun' });
    world.takeEvents();
    world.step();
    equal([remote.state, remote.score, remote.shots, remote.burning], ['flying', 0, 0, false]);
    Object.assign(remote, { x: 3, y: 3 });
    run(world, 100);
    equal([remote.state, types(world)], ['flying', []], 'in the sun');
  },

  'a remote ship moves as it was last said to': () => {
    const { world } = duel();
    const remote = place(world, new Ship(7, 'Bob', 1, { remote: true }), { x: -FAR, burning: true, turn: 1 });
    run(world, 100);
    near(remote.angle, 0.4, 1e-9, 'rad');
    near(remote.vx, 4e-3, 2e-3, 'px/ms');
    remote.state = 'observing';
    const { x } = remote;
    run(world, 100);
    equal(remote.x, x, 'x of an observer');
  },

  'a remote ship that is gone does not come back by itself': () => {
    const { world } = duel();
    const remote = place(world, new Ship(7, 'Bob', 1, { remote: true }));
    for (const state of ['exploded', 'hyperspace']) {
      remote.state = state;
      run(world, 10_000);
      equal(remote.state, state);
    }
  },

  'a late shot is where it would be by now': () => {
    const here = duel();
    here.world.shoot(here.me, 1);
    run(here.world, 100);
    const late = duel();
    late.world.shoot(late.me, 1, 100);
    const [a, b] = [here.world.missiles[0], late.world.missiles[0]];
    equal([b.x, b.y, b.vx, b.age], [a.x, a.y, a.vx, 0], 'it arms from when it is seen');
  },

  'late pieces are where they would be by now': () => {
    const here = duel();
    here.world.explode(here.me, 9, { cause: 'sun' });
    run(here.world, 200);
    const late = duel();
    late.world.explode(late.me, 9, { cause: 'sun' }, 200);
    here.world.debris.forEach((piece, i) => equal(late.world.debris[i], { ...piece, age: 0 }, 'piece'));
  },

  'a remote ship that was not seen there leaves no pieces': () => {
    const { world, me } = duel();
    world.explode(me, 9, { cause: 'sun', seen: false });
    equal([world.debris.length, me.state, types(world)], [0, 'exploded', ['destroyed']]);
  },

  'no crowd can fill the sky: missiles and pieces are bounded, and the oldest go': () => {
    const { world, me } = duel();
    for (let number = 1; number <= 1_000; number++) {
      world.shoot(me, number);
      world.explode(me, number, { cause: 'sun' });
    }
    equal([world.missiles.length, world.debris.length], [600, 600]);
    equal([world.missiles[0].number, world.missiles.at(-1).number], [401, 1_000], 'numbers');
    equal(world.debris.at(-1).piece, 5, 'whole wrecks');
  },

  'nobody comes back shooting': () => {
    for (const leave of [jump, sink]) {
      const { world, me } = duel();
      leave(world, me);
      me.fire = true;
      const { shots } = me;
      run(world, AWAY);
      equal(me.state, 'flying', 'state');
      run(world, RELOAD - 2 * STEP, () => equal(me.shots, shots, 'shots'));
      Object.assign(me, { x: FAR, y: 0, state: 'flying' });
      run(world, 3 * STEP);
      equal(me.shots, shots + 1, 'shots after reloading');
    }
  },

  // ---- Comings and goings ----

  'ships enter and leave, and each is told once': () => {
    const world = new World();
    const ship = world.add(new Ship(3, 'Bob', 1, { remote: true }));
    world.remove(3);
    world.remove(3);
    const events = world.takeEvents();
    equal(events.map(({ type }) => type), ['entered', 'left']);
    ok(events.every(event => event.ship === ship), 'with the ship');
    const none = world.takeEvents();
    world.add(ship);
    equal(none, [], 'events that are taken, whatever comes later');
  },

  'a ship that was added observes until it is launched': () => {
    const world = new World();
    const ship = world.add(new Ship(0, 'Ada', 0));
    run(world, 5_000);
    equal(ship.state, 'observing');
    world.launch(ship);
    equal(ship.state, 'flying');
  },

  'time that was missed moves only what falls freely': () => {
    const { world, me } = duel();
    world.shoot(me, 1);
    world.explode(place(world, new Ship(7, 'Bob', 1, { remote: true }), { x: -FAR }), 1, { cause: 'sun' });
    const { x, y } = me;
    const [missile] = world.missiles;
    world.skip(1_000);
    near(missile.x, FAR + 212, 8, 'x of the missile');
    equal([missile.age, world.debris[0].age, me.x, me.y, world.time], [1_000, 1_000, x, y, 0]);
    world.skip(1e12);
    world.step();
    equal([world.missiles.length, world.debris.length], [0, 0], 'missiles and pieces after a long time');
  },

  // ---- The same game everywhere ----

  'random numbers are even, within bounds, and the same for the same seed': () => {
    const [a, b, c] = [random(5), random(5), random(6)];
    let sum = 0;
    let same = 0;
    for (let i = 0; i < 10_000; i++) {
      const x = a();
      ok(x >= 0 && x < 1, 'from 0 to below 1');
      equal(b(), x, 'with the same seed');
      if (c() === x) same++;
      sum += x;
    }
    near(sum / 10_000, 0.5, 0.02, 'mean');
    ok(same < 5, 'another seed gives other numbers');
  },

  'the same seed and inputs give the same minute, bit by bit': () => {
    for (const rules of [RULES.arena, CLASSIC]) {
      const [a, b] = [fight(rules, 42), fight(rules, 42)];
      equal(a.hashes, b.hashes, `hashes under ${rules.name} rules`);
      equal([...a.seen].sort(), ['destroyed', 'entered', 'fired', 'jumped', 'returned', 'scored'], 'events');
    }
  },

  'another seed, other inputs or other rules give another minute': () => {
    const last = ({ hashes }) => hashes.at(-1);
    const hashes = [fight(RULES.arena, 42), fight(RULES.arena, 43), fight(RULES.arena, 42, 8), fight(CLASSIC, 42)];
    equal(new Set(hashes.map(last)).size, 4, 'different hashes');
  },

  'a minute of fight leaves no number broken and no list growing': () => {
    for (let seed = 1; seed <= seeds(5); seed++) {
      const { world } = fight(RULES.arena, seed);
      for (const body of [...world.ships.values(), ...world.missiles, ...world.debris]) {
        for (const key of ['x', 'y', 'vx', 'vy', 'angle', 'age']) {
          if (key in body) ok(Number.isFinite(body[key]), `${key} is a number`);
        }
      }
      ok(world.missiles.length <= 40 && world.debris.length <= 6 * 8, 'lists are short');
    }
  },

  'a ship in the very middle of the sun is destroyed, not broken': () => {
    const { world, me } = duel();
    Object.assign(me, { x: 0, y: 0 });
    world.step();
    equal(me.state, 'exploded', 'state');
    run(world, AWAY, () => ok(world.debris.every(({ x, y }) => Number.isFinite(x + y)), 'debris with a place'));
    equal(me.state, 'flying', 'state after 3 s');
  },
};
