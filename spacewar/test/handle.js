// SPDX-License-Identifier: MIT

// In a frame of frames.js: hands the game to the tests, and the class whose calls tell what can be heard of it.

import { Sound } from '../sound.js';
import { game } from '../spacewar.js';

Object.assign(globalThis, { game, Sound });
