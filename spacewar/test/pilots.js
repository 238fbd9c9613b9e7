// SPDX-License-Identifier: MIT

// Practice opponents: that they are alive, worth fighting and fair, measured over games with seeds.

import { STEP } from '../physics.js';
import { NAMES, Pilot, skillAfter } from '../pilots.js';
import { random } from '../random.js';
import { RULES, Ship, World } from '../world.js';
import { equal, ok } from './check.js';

/** A game of practice ships, with a person who does nothing if wanted. */
function game(seed, { rules = RULES.arena, skill, person = false, bots = 3 } = {}) {
  const world = new World(rules, seed);
  const me = person ? world.add(new Ship(0, 'Ada', 0)) : null;
  if (me) world.launch(me);
  const pilots = [];
  for (let i = 0; i < bots; i++) {
    const ship = world.add(new Ship(-1 - i, NAMES[i], i, { bot: true }));
    world.launch(ship);
    pilots.push(new Pilot(ship, random(100 * seed + i), skill));
  }
  return { world, me, pilots };
}

/** Plays a number of games for a time each, and tells their events. */
function play(games, minutes, options, tell) {
  for (let seed = 1; seed <= games; seed++) {
    const { world, me, pilots } = game(seed, options);
    for (let t = 0; t < minutes * 60_000; t += STEP) {
      for (const pilot of pilots) pilot.steer(world);
      world.step();
      for (const event of world.takeEvents()) tell(event, world, me);
    }
  }
}

/** How often ships are destroyed in games of three minutes, per minute, by cause. */
function destroyed(options, games = 6) {
  const count = { sun: 0, missile: 0, debris: 0, hyperspace: 0, suicide: 0 };
  play(games, 3, options, ({ type, cause, owner, ship }) => {
    if (type !== 'destroyed') return;
    count[cause] += 1 / (3 * games);
    if (cause === 'missile' && owner === ship.id) count.suicide += 1 / (3 * games);
  });
  return count;
}

/** One pilot at rest at (x, y), alone with a ship of a person's, after the pilot's grace. */
function meet(at, other) {
  const world = new World();
  const ship = world.add(new Ship(-1, NAMES[0], 0, { bot: true }));
  const me = world.add(new Ship(0, 'Ada', 1));
  const pilot = new Pilot(ship, random(3));
  world.launch(ship);
  world.launch(me);
  Object.assign(ship, at);
  Object.assign(me, other);
  return { world, pilot, ship, me };
}

export default {
  'the names are short, and those of practice ships': () => {
    ok(NAMES.length >= 3, 'one for each practice ship');
    equal(new Set(NAMES).size, NAMES.length, 'different names');
    for (const name of NAMES) ok(name.length <= 12 && name.startsWith('Drone'), name);
  },

  'practice ships begin easily and grow with each kill': () => {
    const hits = skill => {
      let count = 0;
      play(10, 2, { person: true, bots: 2, skill }, ({ type, ship, cause }, world, me) => {
        if (type === 'destroyed' && ship === me && cause === 'missile') count++;
      });
      return count;
    };
    equal([skillAfter(0) < 0.1, skillAfter(9) > skillAfter(8), skillAfter(1_000)], [true, true, 1]);
    const [first, middle, last] = [skillAfter(0), 0.5, 1].map(hits);
    ok(first < 0.7 * middle && middle < 0.7 * last, `who does nothing is shot ${[first, middle, last]} times`);
  },

  'they seldom fall into the sun or shoot themselves, and fight a lively fight': () => {
    for (const rules of [RULES.arena, RULES.classic]) {
      const { sun, missile, suicide } = destroyed({ rules });
      ok(sun / 3 < 0.1, `${rules.name}: ${sun / 3} a minute and ship into the sun`);
      ok(suicide < 0.2, `${rules.name}: ${suicide} a minute by their own missiles`);
      ok(missile >= 0.5 && missile <= 3, `${rules.name}: ${missile} a minute by missiles`);
    }
  },

  'who does nothing lives for 20 to 60 s': () => {
    let lost = 0;
    play(10, 3, { person: true }, ({ type, ship }, world, me) => {
      if (type === 'destroyed' && ship === me) lost++;
    });
    const mean = 10 * 180 / lost;
    ok(mean > 20 && mean < 60, `${mean} s between losses`);
  },

  'nobody fires in the first 8 s': () => {
    play(10, 0.2, { person: true, skill: 1 }, ({ type }, world) => {
      ok(type !== 'fired' || world.time > 8_000, `fired after ${world.time} ms`);
    });
  },

  'a better pilot hits more': () => {
    const hits = skill => destroyed({ skill }, 4).missile;
    const [worst, best] = [hits(0), hits(1)];
    ok(best > 1.5 * worst, `${worst} a minute without skill, ${best} with all of it`);
  },

  'they stay where people play': () => {
    play(5, 2, {}, (event, { ships, time }) => {
      for (const { state, x, y } of ships.values()) {
        ok(state !== 'flying' || Math.hypot(x, y) < 1_000, `${Math.hypot(x, y)} px away after ${time} ms`);
      }
    });
  },

  'a pilot leaves an orbit that ends in the sun': () => {
    for (const [x, vy] of [[250, 0.02], [350, 0.04], [300, -0.03]]) {
      const { world, pilot, ship } = meet({ x, y: 0, vx: 0, vy, angle: 1 }, { state: 'observing' });
      for (let t = 0; t < 20_000; t += STEP) {
        pilot.steer(world);
        world.step();
      }
      equal([ship.score, ship.jumped], [0, 0], `score and jumps from ${x} px at ${vy} px/ms`);
    }
  },

  'a pilot comes back from beyond the boundary': () => {
    const { world, pilot, ship } = meet({ x: 1_200, y: 0, vx: 0.2, vy: 0.1 }, { state: 'observing' });
    for (let t = 0; t < 60_000; t += STEP) {
      pilot.steer(world);
      world.step();
    }
    ok(Math.hypot(ship.x, ship.y) < 700, `${Math.hypot(ship.x, ship.y)} px from the sun after a minute`);
    equal(ship.score, 0, 'score');
  },

  'a pilot with steady hands aims ahead of what moves': () => {
    for (const vy of [0.12, -0.12]) {
      const { world, ship, me } = meet({ x: 250, y: 0, vx: 0, vy: 0.1 }, { x: 400, y: 0, vx: 0, vy });
      const pilot = new Pilot(ship, random(3), 1);
      for (let t = 0; t < 400; t += STEP) {
        Object.assign(ship, { x: 250, y: 0, vx: 0, vy: 0.1 });
        Object.assign(me, { x: 400, y: 0, vx: 0, vy });
        pilot.steer(world);
        world.step();
      }
      ok(Math.sign(Math.sin(ship.angle)) === Math.sign(vy - 0.1), `nose at ${ship.angle} for ${vy} px/ms`);
    }
  },

  'a pilot fights people rather than practice ships': () => {
    const { world, pilot, ship, me } = meet({ x: 250, y: 0, vx: 0, vy: 0.126, angle: 0 }, {});
    const other = world.add(new Ship(-2, NAMES[1], 2, { bot: true }));
    world.launch(other);
    for (let t = 0; t < 1_000; t += STEP) {
      Object.assign(me, { x: ship.x + 100, y: ship.y, vx: ship.vx, vy: ship.vy });
      Object.assign(other, { x: ship.x - 90, y: ship.y, vx: ship.vx, vy: ship.vy });
      pilot.steer(world);
      world.step();
    }
    ok(Math.cos(ship.angle) > 0.5, `nose at ${ship.angle}, where the person is at 0`);
  },

  'a pilot that is not there presses nothing': () => {
    for (const state of ['exploded', 'hyperspace', 'observing']) {
      const { world, pilot, ship } = meet({ state, thrust: true, fire: true, turn: 1 }, {});
      pilot.steer(world);
      equal([ship.thrust, ship.fire, ship.turn, ship.hyperspace], [false, false, 0, false], state);
    }
  },

  'under classic rules a pilot saves fuel and jumps once in a life at most': () => {
    let [most, looks, dry] = [0, 0, 0];
    play(5, 3, { rules: RULES.classic }, (event, { ships }) => {
      for (const ship of ships.values()) {
        most = Math.max(most, ship.jumped);
        looks++;
        if (ship.fuel === 0) dry++;
      }
    });
    ok(most <= 1, `${most} jumps`);
    ok(dry < 0.1 * looks, `dry in ${dry} of ${looks} looks`);
  },

  'the same numbers make the same moves': () => {
    const story = () => {
      const told = [];
      play(1, 1, { person: true }, ({ type, ship }, { time }) => told.push([time, type, ship.id, ship.x, ship.y]));
      return told;
    };
    const told = story();
    equal(story(), told, 'a minute');
    ok(told.length > 20, `${told.length} events in a minute`);
  },

  'a pilot alone in the world flies on': () => {
    const { world, pilots: [pilot] } = game(1, { bots: 1 });
    for (let t = 0; t < 60_000; t += STEP) {
      pilot.steer(world);
      world.step();
    }
    equal([pilot.ship.state, pilot.ship.score, pilot.ship.shots], ['flying', 0, 0]);
  },
};
