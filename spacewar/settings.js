// SPDX-License-Identifier: MIT

// What a player has chosen, kept by the browser as JSON under one key of localStorage. A game must
// start whatever it finds there: no storage at all (a private window), one that throws, one that is
// full, or somebody else's JSON. So every field has a default, is read on its own and only if it is
// what it should be, and a choice that cannot be kept holds until the page is closed.

import { cleanName } from './names.js';
import { LOOKS } from './world.js';

const KEY = 'spacewar';
const KEYS_EACH = 4;    // keys for one action

export class Settings {
  name = '';            // '' while none has been chosen
  look = Math.floor(LOOKS * Math.random());  // shape + 8 × colour
  keys = {};            // action -> KeyboardEvent codes, of those that differ from controls.js
  muted = false;
  names = true;         // shown at the ships
  practice = 2;         // ships to fly against while alone
  wins = 0;             // rounds won against people
  wave = 1;             // of practice ships, the best that was reached
  streak = 0;           // most kills without dying
  lives = 0;            // lost by a beginner
  #storage;

  constructor(storage = ofBrowser()) {
    this.#storage = storage;
    const { name, look, keys, muted, names, practice, ...reached } = read(storage);
    this.name = cleanName(name);
    if (isCount(look, LOOKS - 1)) this.look = look;
    if (isRecord(keys)) this.keys = Object.fromEntries(Object.entries(keys).filter(isBinding));
    if (typeof muted === 'boolean') this.muted = muted;
    if (typeof names === 'boolean') this.names = names;
    if (isCount(practice, 3)) this.practice = practice;
    for (const what of ['wins', 'wave', 'streak', 'lives']) if (isCount(reached[what], 1e6)) this[what] = reached[what];
  }

  /** Keeps the fields as they are now, if the browser can. */
  save() {
    try {
      this.#storage?.setItem(KEY, JSON.stringify(this));
    } catch { /* full or forbidden: they hold for this visit */ }
  }
}

function ofBrowser() {
  try {
    return globalThis.localStorage;  // to look is enough for a SecurityError where it is forbidden
  } catch {
    return null;
  }
}

function read(storage) {
  try {
    const kept = JSON.parse(storage.getItem(KEY));
    return isRecord(kept) ? kept : {};
  } catch {
    return {};
  }
}

function isRecord(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isCount(value, most) {
  return Number.isInteger(value) && value >= 0 && value <= most;
}

function isBinding([action, codes]) {
  return /^[a-z]\w{0,15}$/i.test(action) && Array.isArray(codes) && codes.length <= KEYS_EACH
    && codes.every(code => typeof code === 'string' && /^\w{1,20}$/.test(code));
}
