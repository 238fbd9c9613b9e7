// SPDX-License-Identifier: MIT

// What is seen of the own ship, looked up in the pixels of a real canvas.

import { View } from '../view.js';
import { Ship, World } from '../world.js';
import { ok } from './check.js';

const SIZE = 840;       // css px: at this size a px of the world is one of the screen, as far as there is no zoom

/** Draws the sky with our ship like this, and others; calls the test with a function that gives a pixel's colours. */
function withView(me, { forecast = false, reducedMotion = false, others = [], steps = 0 } = {}, test) {
  const canvas = document.createElement('canvas');
  Object.assign(canvas.style, { position: 'fixed', left: 0, top: 0, width: `${SIZE}px`, height: `${SIZE}px` });
  document.body.append(canvas);
  try {
    const view = new View(canvas);
    view.reducedMotion = reducedMotion;
    const world = new World();
    const ship = Object.assign(world.add(new Ship(0, 'Me', 0)), { state: 'flying', shieldUntil: 0 }, me);
    others.forEach((other, i) => Object.assign(world.add(new Ship(i + 1, '', other.look, { remote: true })),
      { state: 'flying' }, other));
    const scene = { world, me: ship, lead: 0, others: 0, names: false, connection: '', lines: [], banner: null,
      goal: '', fate: '', forecast };
    view.draw({ ...scene, time: 10_000 });
    for (let step = 1; step <= steps; step++) {
      world.step();
      if (step % 10 === 0) view.draw({ ...scene, time: 10_000 + 4 * step });
    }
    world.time += 5_000;   // all that flashed in the beginning is over
    view.draw({ ...scene, time: 15_000 });
    const { data, width } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    const ratio = canvas.width / SIZE;
    /** The brightest within some px of a point of the world, as [red, green, blue]. */
    test((x, y, around = 3) => {
      const [left, top] = [SIZE / 2 + x - around, SIZE / 2 + y - around].map(px => Math.round(px * ratio));
      let best = [0, 0, 0];
      for (let i = 0; i < 2 * around * ratio; i++) {
        for (let j = 0; j < 2 * around * ratio; j++) {
          const at = 4 * ((top + j) * width + left + i);
          const colours = [...data.slice(at, at + 3)];
          if (Math.max(...colours) > Math.max(...best)) best = colours;
        }
      }
      return best;
    });
  } finally {
    canvas.remove();
  }
}

const isLit = colours => Math.max(...colours) > 60;
const isAmber = ([red, , blue]) => red > 100 && red > 2 * blue;

export default {
  'a dotted line shows where the ship will fall, amber if that is into the sun, also with less motion': () => {
    for (const reducedMotion of [false, true]) {
      const orbit = { x: 0, y: 150, vx: 0.1633, vy: 0 };
      withView(orbit, { forecast: true, reducedMotion }, at => {
        const colours = at(91, 119, 8);
        ok(isLit(colours) && !isAmber(colours), `on an orbit: ${colours}`);
      });
      withView({ x: 0, y: 120, vx: 0, vy: 0 }, { forecast: true, reducedMotion }, at => {
        ok(isAmber(at(0, 98, 5)), `on its way into the sun: ${at(0, 98, 5)}`);
      });
      withView(orbit, { reducedMotion }, at => {
        ok(!isLit(at(91, 119, 8)), `after the first lives: ${at(91, 119, 8)}`);
      });
    }
  },

  'the sun glows, and less the farther from it': () => {
    withView({ x: 0, y: 100 }, { reducedMotion: true }, at => {
      // the least of several, as there are stars
      const light = radius => Math.min(...[0, 1, 2, 3, 4, 5, 6, 7].map(way =>
        Math.max(...at(radius * Math.cos(way), radius * Math.sin(way), 1))));
      const [near, farther, far] = [45, 90, 200].map(light);
      ok(near > 40 && near > 2 * farther && farther > far, `${near}, ${farther} and ${far}`);
    });
  },

  'four arcs mark the own ship, and no other that looks like it': () => {
    withView({ x: -150, y: 0 }, { others: [{ x: 150, y: 0, look: 0 }] }, at => {
      for (const [x, y] of [[1, 1], [1, -1], [-1, 1], [-1, -1]]) {
        const [mine, other] = [-150, 150].map(ship => at(ship + 22 * Math.SQRT1_2 * x, 22 * Math.SQRT1_2 * y, 4));
        ok(isLit(mine), `an arc at ${x}, ${y}: ${mine}`);
        ok(!isLit(other), `none at ${x}, ${y} of another: ${other}`);
      }
    });
  },

  'a trail has the colour of its ship, and with less motion there is none': () => {
    for (const [look, strongest] of [[16, 1], [0, 2]]) {   // mint and blue
      const other = { x: -250, y: -250, vx: 0.2, vy: 0, look };
      withView({ x: 0, y: 100 }, { others: [other], steps: 150 }, at => {
        const trail = at(-165, -249, 8);
        ok(isLit(trail) && trail.indexOf(Math.max(...trail)) === strongest, `of look ${look}: ${trail}`);
      });
      withView({ x: 0, y: 100 }, { others: [other], steps: 150, reducedMotion: true }, at => {
        ok(!isLit(at(-165, -249, 8)), `${at(-165, -249, 8)}`);
      });
    }
  },
};
