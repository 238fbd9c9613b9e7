// SPDX-License-Identifier: MIT

// Which key does what, as the settings and the help show it, and the table in the settings where it is
// changed: one chooses an action, and the next key that is pressed is for it. Of the settings only what
// differs from the usual keys is kept; what that means for a key is told by controls.js.

import { ACTIONS, actionOf, codesOf, usable } from './controls.js';

const PRINTED = { ArrowLeft: '←', ArrowRight: '→', ArrowUp: '↑', ArrowDown: '↓', Slash: '?' };

const layout = new Map();  // code -> what is printed on the key, from browsers that know, else from what is pressed
globalThis.navigator?.keyboard?.getLayoutMap?.().then(known => {
  for (const [code, key] of known) layout.set(code, key);
}, () => { /* not told */ });
globalThis.addEventListener?.('keydown', learn, { capture: true });

/** Learns what is printed on a key: with Shift or Alt it may be something else. */
export function learn({ code, key, shiftKey, ctrlKey, altKey, metaKey, isComposing }) {
  if (shiftKey || ctrlKey || altKey || metaKey || isComposing) return;
  if (/^(Key|Digit)/.test(code) && /^\p{L}$|^\p{N}$/u.test(key)) layout.set(code, key);
}

/** What is printed on a key, as far as is known: its place on the keyboard (code) is what counts. */
export function keyLabel(code) {
  return PRINTED[code] ?? layout.get(code)?.toUpperCase()
    ?? code.replace(/^(Key|Digit)(?=.$)/, '').replace(/(?<=[a-z])(?=[A-Z\d])/g, ' ');
}

/** The keys of an action, drawn as such. */
export function caps(action, keys) {
  const drawn = document.createElement('span');
  drawn.className = 'caps';
  for (const code of codesOf(action, keys)) {
    const cap = document.createElement('kbd');
    cap.textContent = keyLabel(code);
    drawn.append(cap);
  }
  if (!drawn.firstChild) drawn.textContent = 'no key';
  return drawn;
}

/** The keys with `code` for that action, as its only one, and for no other. Who has none left has the usual ones. */
export function give(keys, code, id) {
  const others = Object.entries(keys).map(([other, codes]) => [other, codes.filter(kept => kept !== code)]);
  return { ...Object.fromEntries(others.filter(([, codes]) => codes.length)), [id]: [code] };
}

export class KeyTable {
  #table; #note; #settings; #onchange;
  #waiting = null;   // the action that waits for its key
  #down = '';        // code of the key it got, until that is let go

  /** Fills `table`, says in `note` what was changed, and calls `onchange` then. */
  constructor({ table, note, settings, onchange }) {
    this.#table = table;
    this.#note = note;
    this.#settings = settings;
    this.#onchange = onchange;
    table.addEventListener('keydown', event => this.#keydown(event));
    table.addEventListener('keyup', event => { if (event.code === this.#down) event.preventDefault(); });
    table.addEventListener('focusout', () => this.#wait(null));
  }

  draw() {
    this.#waiting = null;
    this.#note.textContent = '';
    this.#table.replaceChildren(...ACTIONS.map(action => {
      const button = document.createElement('button');
      const label = document.createElement('span');
      label.textContent = action.label;
      Object.assign(button, { type: 'button', name: action.id, onclick: () => this.#wait(action) });
      button.append(label, caps(action, this.#settings.keys));
      return button;
    }));
  }

  /** All keys are the usual ones again. */
  reset() {
    this.#assign({}, 'All keys are the usual ones again.');
  }

  #button({ id }) {
    return this.#table.querySelector(`[name=${id}]`);
  }

  /** The next key is for this action; with null, for none. */
  #wait(action) {
    const before = this.#waiting;
    this.#waiting = null;  // first, as to focus one button takes the focus from another
    if (before) this.#button(before).lastChild.replaceWith(caps(before, this.#settings.keys));
    if (before) this.#button(before).classList.remove('waiting');
    if (!action) return;
    const button = this.#button(action);
    button.focus();        // Safari does not when one is clicked
    button.classList.add('waiting');
    button.lastChild.textContent = 'press a key';
    this.#note.textContent = `Press the key for “${action.label}”, or Escape.`;
    this.#waiting = action;
  }

  #keydown(event) {
    this.#down = '';
    const action = this.#waiting;
    if (!action || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.code === 'Escape') {
      event.preventDefault();  // it would close the dialog
      this.#note.textContent = '';
      return this.#wait(null);
    }
    if (!usable(event.code)) return;
    event.preventDefault();
    if (event.repeat) return;  // of the Enter that chose the action
    this.#down = event.code;   // as a Space that is let go presses the button
    const before = actionOf(event.code, this.#settings.keys);
    const taken = before && before !== action ? `, no longer for “${before.label}”` : '';
    this.#assign(give(this.#settings.keys, event.code, action.id),
      `${keyLabel(event.code)} is for “${action.label}” now${taken}.`);
    this.#button(action).focus();
  }

  #assign(keys, note) {
    this.#settings.keys = keys;
    this.draw();
    this.#note.textContent = note;
    this.#onchange();
  }
}
