// SPDX-License-Identifier: MIT

// In a frame of frames.js: hands the game to the tests.

import { game } from '../spacewar.js';

globalThis.game = game;
