// SPDX-License-Identifier: MIT

// Motion: the numbers of the rules, and that the steps are exact enough for them.

import { BOUNDARY, GM, STEP, SUN, THRUST, TURN, advance, drift, energy, fall, fly, orbit, turned } from '../physics.js';
import { equal, near, ok } from './check.js';

const MINUTE = 60_000;

/** A ship at rest, 500 px to the right of the sun. */
const ship = more => ({ x: 500, y: 0, vx: 0, vy: 0, angle: 0, turn: 0, burning: false, ...more });

/** The elliptic orbit with the given nearest and farthest distance, at its farthest. */
function ellipse(nearest, farthest, direction = 1) {
  const speed = Math.sqrt(2 * GM * nearest / (farthest * (nearest + farthest)));
  return { x: 0, y: -farthest, vx: direction * speed, vy: 0 };
}

/** Distances from the sun seen in a time, looked at after each step. */
function distances(body, time, each = () => {}) {
  let [least, greatest] = [Infinity, 0];
  for (let t = 0; t < time; t += STEP) {
    fall(body, STEP);
    each(body);
    const r = Math.hypot(body.x, body.y);
    least = Math.min(least, r);
    greatest = Math.max(greatest, r);
  }
  return { least, greatest };
}

export default {
  'the constants are those of the rules': () => {
    equal({ GM, THRUST, TURN, SUN }, { GM: 4, THRUST: 4e-5, TURN: 0.004, SUN: 24 });
  },

  'gravity is GM / r², towards the sun, from every side': () => {
    for (const r of [50, 100, 400, 900]) {
      for (const phase of [0, 1, 2.5, 4]) {
        const body = { x: r * Math.cos(phase), y: r * Math.sin(phase), vx: 0, vy: 0 };
        fall(body, 0.01);
        near(-(body.vx * Math.cos(phase) + body.vy * Math.sin(phase)), 4 / r ** 2 * 0.01, 1e-9, `pull at ${r} px`);
        near(body.vx * Math.sin(phase) - body.vy * Math.cos(phase), 0, 1e-12, 'pull aside');
      }
    }
  },

  'a burning engine adds 4e-5 px/ms² along the nose': () => {
    for (const angle of [0, 0.7, Math.PI / 2, 3, -2]) {
      const burning = ship({ angle, burning: true });
      const falling = ship({ angle });
      for (const body of [burning, falling]) advance(body, 100, fly);
      near(burning.vx - falling.vx, 4e-3 * Math.cos(angle), 1e-6, 'px/ms along x');
      near(burning.vy - falling.vy, 4e-3 * Math.sin(angle), 1e-6, 'px/ms along y');
      near(burning.x - falling.x, 0.2 * Math.cos(angle), 1e-4, 'px along x');
      near(burning.y - falling.y, 0.2 * Math.sin(angle), 1e-4, 'px along y');
    }
  },

  'an engine that does not burn adds nothing': () => {
    const silent = ship({ thrust: true });
    const stone = ship();
    advance(silent, 100, fly);
    advance(stone, 100);
    equal([silent.x, silent.vx], [stone.x, stone.vx]);
  },

  'a ship turns by 0.004 rad/ms, clockwise for 1': () => {
    for (const turn of [-1, 0, 1]) {
      const turning = ship({ turn });
      advance(turning, 500, fly);
      near(turning.angle, 2 * turn, 1e-9, 'rad after half a second');
    }
  },

  'a turn while burning bends the push, the same for both hands': () => {
    const [left, right] = [-1, 1].map(turn => ship({ turn, burning: true }));
    for (const body of [left, right]) advance(body, 400, fly);
    near(left.vy, -right.vy, 1e-12, 'vy');
    near(left.vx, right.vx, 1e-12, 'vx');
    ok(right.vy > 0, 'to the right is down');
  },

  'drift is straight, with no pull': () => {
    const body = { x: 100, y: 50, vx: 0.1, vy: -0.2 };
    drift(body, 10);
    equal(body, { x: 101, y: 48, vx: 0.1, vy: -0.2 });
  },

  'any time can be advanced, in steps of at most STEP': () => {
    for (const [time, steps] of [[0, [0]], [2.5, [2.5]], [STEP, [STEP]], [9, [4, 4, 1]], [-9, [-4, -4, -1]]]) {
      const taken = [];
      advance({}, time, (body, dt) => taken.push(dt));
      equal(taken, steps, `steps of ${time} ms`);
    }
  },

  'a negative time takes back what was flown': () => {
    const flown = ship({ x: 60, vy: 0.25, turn: 1, burning: true });
    const start = { ...flown };
    advance(flown, 248, fly);
    advance(flown, -248, fly);
    for (const key of ['x', 'y', 'vx', 'vy', 'angle']) near(flown[key], start[key], 1e-9, key);
  },

  'an angle is turned by at most half a circle': () => {
    for (const [angle, expected] of [[1, 1], [4, 4 - 2 * Math.PI], [-4, 2 * Math.PI - 4], [2e6 * Math.PI + 1, 1]]) {
      near(turned(angle), expected, 1e-6, `${angle} rad`);
    }
  },

  'a circular orbit stays circular, both ways round': () => {
    for (const r of [40, 87, 200, 350]) {
      for (const direction of [-1, 1]) {
        const body = {};
        orbit(body, r, 1.2, direction);
        near(Math.hypot(body.x, body.y), r, 1e-9, 'px from the sun at once');
        ok((body.x * body.vy - body.y * body.vx) * direction > 0, 'direction');
        const { least, greatest } = distances(body, MINUTE);
        near(least, r, r * 0.005, 'least px');
        near(greatest, r, r * 0.005, 'greatest px');
      }
    }
  },

  'a circular orbit takes the time that Kepler says': () => {
    const body = {};
    orbit(body, 100, 0, 1);
    advance(body, 2 * Math.PI * Math.sqrt(100 ** 3 / GM));
    near(body.x, 100, 1, 'x after one round');
    near(body.y, 0, 3, 'y after one round');
  },

  'orbits keep their energy within 2 % a minute, down to 40 px': () => {
    for (const nearest of [40, 60, 87]) {
      for (const farthest of [90, 150, 300, 600, 950]) {
        for (const direction of [-1, 1]) {
          const body = ellipse(nearest, farthest, direction);
          const before = energy(body);
          let worst = 0;
          const { least } = distances(body, MINUTE, b => {
            worst = Math.max(worst, Math.abs(energy(b) / before - 1));
          });
          ok(worst <= 0.02, `${nearest} to ${farthest} px: energy off by ${(worst * 100).toFixed(2)} %`);
          near(least, nearest, 1.5, `px at the nearest of ${nearest} to ${farthest}`);
        }
      }
    }
  },

  'energy is kinetic and potential': () => {
    near(energy({ x: 0, y: 200, vx: 0.3, vy: 0.4 }), 0.105, 1e-12, 'px²/ms²');
  },

  'nothing pulls back within the boundary': () => {
    const body = { x: BOUNDARY - 1, y: 0, vx: 0, vy: 0 };
    fall(body, STEP);
    near(body.vx, -GM / BOUNDARY ** 2 * STEP, 1e-7, 'px/ms');
  },

  'beyond the boundary a pull grows from nothing': () => {
    const pull = beyond => {
      const body = { x: 0, y: -BOUNDARY - beyond, vx: 0, vy: 0 };
      fall(body, 1);
      equal(body.vx, 0, 'px/ms aside');
      return body.vy - GM / (BOUNDARY + beyond) ** 2;
    };
    near(pull(0.1), 0, 1e-6, 'at the boundary');
    near(pull(100), 1e-4, 1e-6, 'after 100 px');
    near(pull(200), 2e-4, 2e-6, 'after 200 px');
  },

  'who leaves at the speed of a fight comes back softly': () => {
    for (const speed of [0.2, 0.4, 0.7]) {
      const body = { x: BOUNDARY, y: 0, vx: speed, vy: 0.05 };
      let hardest = 0;
      let { vx, vy } = body;
      const { greatest } = distances(body, 2_500, b => {
        hardest = Math.max(hardest, Math.hypot(b.vx - vx, b.vy - vy) / STEP);
        ({ vx, vy } = b);
      });
      ok(body.vx < 0, `${speed} px/ms: on its way back after 2.5 s`);
      ok(greatest < BOUNDARY + 1_000 * speed + 10, `${speed} px/ms: ${greatest} px at the farthest`);
      ok(hardest < 1e-3, `${speed} px/ms: no jolt, but ${hardest} px/ms²`);
    }
  },

  'nothing becomes infinite in the middle of the sun': () => {
    for (const body of [ship({ x: 0 }), ship({ x: 1e-300, vx: 0.1 }), ship({ x: 3, vx: -0.4, burning: true })]) {
      for (let i = 0; i < 1_000; i++) {
        fly(body, STEP);
        ok([body.x, body.y, body.vx, body.vy].every(Number.isFinite), 'finite');
        ok(Math.hypot(body.vx, body.vy) < 2, 'no more speed than a fall gives');
      }
    }
  },

  'a way there is the same way back': () => {
    const body = ellipse(60, 300);
    const start = { ...body };
    advance(body, 20_000);
    Object.assign(body, { vx: -body.vx, vy: -body.vy });
    advance(body, 20_000);
    near(body.x, start.x, 1e-6, 'x');
    near(body.y, start.y, 1e-6, 'y');
  },
};
