// SPDX-License-Identifier: MIT

// What is seen for a moment, drawn on a context that only remembers.

import { Effects } from '../effects.js';
import { SUN } from '../physics.js';
import { Ship } from '../world.js';
import { equal, ok } from './check.js';

const CAMERA = { scale: 1, toX: x => x, toY: y => y, sees: () => true };

/** Ends a ship and draws that so many ms later: the points, the colours and how many discs were filled. */
function end(cause, at, ms) {
  const ship = Object.assign(new Ship(0, 'Ada', 0), { state: 'flying', ...at });
  const world = { ships: new Map([[0, ship]]), time: 1_000 };
  const effects = new Effects();
  effects.watch(world, ship);
  Object.assign(ship, { state: 'exploded', cause });
  world.time = 5_000;
  const own = effects.watch(world, ship);
  const points = [];
  const colours = new Set();
  let discs = 0;
  const point = (x, y) => points.push([x, y]);
  effects.draw({
    beginPath() {}, moveTo: point, lineTo: point,
    arc: (x, y, radius) => point(x + radius, y),
    bezierCurveTo: (ax, ay, bx, by, x, y) => [[ax, ay], [bx, by], [x, y]].forEach(each => point(...each)),
    stroke() { colours.add(this.strokeStyle); },
    fill: () => discs++,
  }, CAMERA, 5_000 + ms);
  return { own, points, colours: [...colours], discs };
}

const FAST = { x: 18, y: 0, vx: -0.5, vy: 0.1 };
const AWAY = { x: 300, y: 0, vx: 0, vy: 0.1 };

export default {
  'where the sun takes a ship the sun flares, however fast that was': () => {
    for (const ms of [50, 300, 700, 1_200]) {
      const { points } = end('sun', FAST, ms);
      ok(points.length > 0, `something is drawn after ${ms} ms`);
      for (const [x, y] of points) ok(x > 0 && Math.hypot(x, y) < SUN + 90, `${x}, ${y} after ${ms} ms`);
    }
  },

  'explosions differ by their cause': () => {
    const looks = ['missile', 'debris', 'sun', 'hyperspace'].map(cause => JSON.stringify(end(cause, AWAY, 300)));
    equal(new Set(looks).size, 4);
  },

  'each begins with a flash, and ends': () => {
    for (const cause of ['missile', 'debris', 'sun', 'hyperspace', '']) {
      const { own, discs } = end(cause, AWAY, 20);
      equal([own, discs], [true, 1], cause);
      equal(end(cause, AWAY, 200).discs, 0, `${cause}, after the flash`);
      equal(end(cause, AWAY, 2_000).points.length, 0, `${cause}, after all`);
    }
  },

  'a point is shown where it was won': () => {
    const effects = new Effects();
    const points = [];
    effects.mark(new Ship(1, 'Bo', 0), 0);
    const point = (x, y) => points.push([x, y]);
    effects.draw({ beginPath() {}, moveTo: point, lineTo: point, stroke() {} }, CAMERA, 200);
    ok(points.length > 4 && points.every(([x, y]) => Math.abs(x) < 20 && y < 0 && y > -60), JSON.stringify(points));
  },
};
