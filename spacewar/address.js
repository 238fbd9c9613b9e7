// SPDX-License-Identifier: MIT

// The address of a page names its room. Of the query only what the game knows counts, in a fixed order: what
// other sites add to a link, such as `fbclid`, leads to no other room.

import { RULES } from './world.js';

const PRIVATE = 16;    // characters of a name that nobody guesses: 82 bits
const LETTERS = 'abcdefghijklmnopqrstuvwxyz0123456789';

/** The rules that a query asks for. Links that were given away before say `1962`. */
export function rulesIn(parameters) {
  const name = parameters.get('rules');
  return RULES[name === '1962' ? 'classic' : name] ?? RULES.arena;
}

/** The path of the room that an address leads to, with its query. */
export function roomOf({ pathname, search }) {
  return pathname.replace(/\/(index\.html)?$/, '') + query(search);
}

/** The address to give to others. */
export function inviteTo({ origin, pathname, search }) {
  return origin + pathname + query(search);
}

/** The address to give to others if the page was opened as localhost: the relay knows where they reach it. */
export async function reachable(href) {
  const url = new URL(href);
  const { address } = await (await fetch(new URL('ice.json', import.meta.url))).json();
  if (/^[\w.:[\]-]+$/.test(address ?? '')) url.host = address;
  return url;
}

/** The address of a new room by the same rules, which nobody finds by guessing. */
export function privateSky({ origin, pathname, search }, letters = randomLetters()) {
  const parameters = new URLSearchParams(search);
  parameters.set('game', letters);
  return origin + pathname + query(parameters);
}

function query(search) {
  const asked = new URLSearchParams(search);
  const known = new URLSearchParams();
  if (asked.get('game')) known.set('game', asked.get('game'));
  const rules = rulesIn(asked);
  if (rules !== RULES.arena) known.set('rules', rules.name);
  const text = String(known);
  return text && `?${text}`;
}

function randomLetters() {
  const numbers = crypto.getRandomValues(new Uint32Array(PRIVATE));
  return Array.from(numbers, number => LETTERS[number % LETTERS.length]).join('');
}
