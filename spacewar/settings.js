// SPDX-License-Identifier: MIT

// What a player has chosen, kept by the browser as JSON under one key of localStorage. A game must
// start whatever it finds there: no storage at all (a private window), one that throws, one that is
// full, or somebody else's JSON. So every field has a default, is read on its own and only if it is
// what it should be, and a choice that cannot be kept holds until the page is closed. Other tabs of the game have
// the same settings: each writes only what it has changed, and hears what others have.

import { LOOKS } from './looks.js';
import { cleanName } from './names.js';

const KEY = 'spacewar';
const LOUDEST = 10;
const KEYS_EACH = 4;    // keys for one action
const REACHED = ['wins', 'wave', 'streak', 'lives'];

export class Settings {
  name = '';            // '' while none has been chosen
  look = Math.floor(LOOKS * Math.random());  // see looks.js
  keys = {};            // action -> KeyboardEvent codes, of those that differ from controls.js
  muted = false;
  volume = 10;          // 1 to 10
  names = true;         // shown at the ships
  practice = 2;         // ships to fly against while alone
  wins = 0;             // rounds won against people
  wave = 1;             // of practice ships, the best that was reached
  streak = 0;           // most kills without dying
  lives = 0;            // lost by a beginner
  onchange = null;      // (): another tab has changed them
  #storage;
  #kept;                // the fields as they are in the storage, in JSON

  constructor(storage = ofBrowser()) {
    Object.defineProperty(this, 'onchange', { enumerable: false });   // is no setting
    this.#storage = storage;
    this.#take(fieldsOf(read(storage)));
    globalThis.addEventListener?.('storage', ({ key }) => {
      if (key !== null && key !== KEY) return;   // null: all is cleared
      this.#take(fieldsOf(read(storage)));
      this.onchange?.();
    });
  }

  /** Keeps what has changed, if the browser can; what another tab has changed meanwhile is ours from now on. */
  save() {
    const changed = Object.entries(this).filter(([field, value]) => JSON.stringify(value) !== this.#kept[field]);
    this.#take({ ...fieldsOf(read(this.#storage)), ...Object.fromEntries(changed) });
    try {
      this.#storage?.setItem(KEY, JSON.stringify(this));
    } catch { /* full or forbidden: they hold for this visit */ }
  }

  #take(fields) {
    Object.assign(this, fields);
    this.#kept = Object.fromEntries(Object.entries(this).map(([field, value]) => [field, JSON.stringify(value)]));
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

/** Those fields that are what they should be. */
function fieldsOf({ name, look, keys, muted, volume, names, practice, ...reached }) {
  const fields = {};
  if (cleanName(name)) fields.name = cleanName(name);
  if (isCount(look, LOOKS - 1)) fields.look = look;
  if (isRecord(keys)) fields.keys = Object.fromEntries(Object.entries(keys).filter(isBinding));
  if (typeof muted === 'boolean') fields.muted = muted;
  if (isCount(volume, LOUDEST) && volume > 0) fields.volume = volume;
  if (typeof names === 'boolean') fields.names = names;
  if (isCount(practice, 3)) fields.practice = practice;
  for (const what of REACHED) if (isCount(reached[what], 1e6)) fields[what] = reached[what];
  return fields;
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
