// SPDX-License-Identifier: MIT

// In a frame of frames.js: hands the game to the tests, and the class whose calls tell what can be heard of it. The
// game draws four frames a second at most: nobody looks, and to draw costs most.

import { Sound } from '../sound.js';
import { game } from '../spacewar.js';
import { View } from '../view.js';

const DRAWN_MS = 250;   // ms between frames that are drawn

const { draw } = View.prototype;
let drawnAt = -Infinity;
View.prototype.draw = function (scene) {
  if (scene.time - drawnAt < DRAWN_MS) return;
  drawnAt = scene.time;
  draw.call(this, scene);
};

Object.assign(globalThis, { game, Sound });
