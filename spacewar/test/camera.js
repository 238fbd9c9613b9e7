// SPDX-License-Identifier: MIT

// Where the camera looks, frame by frame, on a screen of 1280 by 800.

import { Camera, drawnX, drawnY } from '../camera.js';
import { equal, near, ok } from './check.js';

const FRAME = 16;     // ms

const ship = (id, x, y, more) => ({ id, x, y, vx: 0, vy: 0, dx: 0, dy: 0, state: 'flying', ...more });

/** A camera that follows the first of the ships, and what it takes to let time pass. */
function look(me, ...others) {
  const camera = new Camera();
  Object.assign(camera, { width: 1280, height: 800 });
  const ships = new Map([me, ...others].map(one => [one.id, one]));
  const go = (frames, { lead = 0, still = false } = {}) => {
    for (let i = 0; i < frames; i++) camera.move(FRAME, ships, me, lead, still);
  };
  go(1);
  return { camera, ships, go };
}

export default {
  'a body is drawn where it is going to be, and its correction away from there': () => {
    const body = ship(0, 100, 50, { vx: 0.5, vy: -0.25, dx: 3, dy: -2 });
    equal([drawnX(body, 8), drawnY(body, 8)], [107, 46]);
    equal(drawnX({ x: 100, vx: 0.5 }, 8), 104, 'of a missile, which has no correction');
  },

  'the sun is in the middle while our ship is near it': () => {
    const { camera } = look(ship(0, 100, -100));
    near(camera.toX(0), 640, 1);
    near(camera.toY(0), 400, 2);
  },

  'our ship never leaves the picture, wherever it flies and whatever covers the foot of it': () => {
    const me = ship(0, 0, 0);
    const { camera, go } = look(me);
    camera.bottom = 150;
    for (; me.y < 3_000; me.x += 4, me.y += 5) {
      go(1);
      ok(camera.sees(camera.toX(me.x), camera.toY(me.y) + camera.bottom, -80), `${me.x}, ${me.y}`);
    }
  },

  'a tracked ship is in the middle': () => {
    const { camera, go } = look(ship(0, 0, 0), ship(7, 600, -500, { vx: 0.1 }));
    camera.track(7);
    go(200, { lead: 10 });
    near(camera.toX(601), 640, 0.5);
    near(camera.toY(-500), 400, 0.5);
  },

  'a tracked ship that leaves is tracked no more, also when its id comes back': () => {
    const { camera, ships, go } = look(ship(0, 0, 0), ship(7, 600, -500));
    camera.track(7);
    go(1);
    ships.delete(7);
    go(200);
    equal(camera.tracked, null);
    ships.set(7, ship(7, 600, -500));
    go(200);
    near(camera.toX(0), 640, 1, 'the sun');
  },

  'a ship that is gone for a moment is waited for where it was': () => {
    const me = ship(0, 0, 1_500);
    const { camera, go } = look(me);
    const before = camera.y;
    ok(before > 500, 'away from the sun');
    Object.assign(me, { state: 'exploded', y: 0 });
    go(100);
    near(camera.y, before, 1);
  },

  'who observes sees the sun in the middle': () => {
    const me = ship(0, 0, 1_500);
    const { camera, go } = look(me);
    me.state = 'observing';
    go(200);
    near(camera.toY(0), 400, 1);
  },

  'to a ship that is somewhere else at once the camera goes softly, unless all is to be still': () => {
    const me = ship(0, 0, 1_500);
    const { camera, go } = look(me);
    const before = camera.y;
    me.y = -1_500;
    go(1);
    ok(camera.y > before - 400, 'a part of the way in a frame');
    go(200);
    near(camera.y, -before, 1);
    me.y = 1_500;
    go(1, { still: true });
    near(camera.y, before, 1);
  },

  'the point that one zooms at stays where it is, on the way too': () => {
    const { camera, go } = look(ship(0, 0, 0));
    const [x, y] = [camera.x + (1000 - 640) / camera.scale, camera.y + (200 - 400) / camera.scale];
    camera.zoom(2, 1000, 200);
    for (let i = 0; i < 100; i++) {
      go(1);
      near(camera.toX(x), 1000, 2, 'x');
      near(camera.toY(y), 200, 2, 'y');
    }
  },

  'one zooms by factors, within bounds, and all is as before after a reset': () => {
    const { camera, go } = look(ship(0, 0, 0), ship(7, 600, -500));
    const { scale } = camera;
    camera.zoom(2);
    go(200);
    near(camera.scale, 2 * scale, 1e-3);
    for (let i = 0; i < 100; i++) camera.zoom(i < 50 ? 10 : 0.1, 1280, 800);
    camera.track(7);
    go(200);
    ok(camera.scale > 0.2 * scale, 'it is still to be seen');
    camera.reset();
    go(200);
    near(camera.scale, scale, 1e-3);
    near(camera.toX(0), 640, 1);
  },

  'on a phone a ship stays large enough to be told apart': () => {
    const { camera, go } = look(ship(0, 0, 0));
    Object.assign(camera, { width: 360, height: 640, bottom: 150 });
    go(200);
    near(camera.scale, 0.6, 0.01);
  },
};
