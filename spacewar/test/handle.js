// SPDX-License-Identifier: MIT

// In a frame of frames.js: the game there, for the tests.

import { game } from '../spacewar.js';

globalThis.game = game;
dispatchEvent(new Event('handle'));
