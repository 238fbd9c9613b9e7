// SPDX-License-Identifier: MIT

// The score board: who is here, the best first, with what shape and colour. Its words would cost as much
// in each frame as all ships, and seldom change. So it is a picture of its own, drawn anew only when it
// has something new to say.

import { clustersOf, textWidth, writeText } from './font.js';
import { CORE, colourOf, stroke, traceShip } from './ships.js';

export const ROW = 21;         // css px
export const WIDTH = 260;      // css px that it takes at most
const WIDE_BOARD = { size: 11, rows: 16, room: 170 };      // css px of capitals, ships at most, css px for a name
const NARROW_BOARD = { size: 10, rows: 6, room: 92 };      // the same on narrow screens
const LEFT = 38;               // css px before a name, for the pointer and the ship
const RIGHT = 38;              // css px after the longest, for the score
export const TEXT = '#c4dcd8';       // at least 4.5 : 1 against the ground
export const SHADE = '#020a0bd9';      // behind words
export const QUIET = '#86a5a1';

export class Board {
  left = 0; bottom = 0;        // css px, where on the screen it ends
  #ranking = [];
  #unlisted = 0;               // pilots for whom there is no row
  #said = [];                  // all that the picture shows, one thing after the other
  #picture = document.createElement('canvas');
  #context = this.#picture.getContext('2d');

  /** Draws it into the corner whose place is given in css px, of which each is `ratio` pixels, and not below `end`. */
  draw(context, { ships, others, goal, me, right, top, end, narrow, ratio }) {
    const form = narrow ? NARROW_BOARD : WIDE_BOARD;
    const room = Math.floor((end - top) / ROW) - (goal ? 1 : 0);
    const rows = Math.min(form.rows, Math.max(1, ships.size + others > room ? room - 1 : room));
    this.#rank(ships, me, rows);
    this.#unlisted = ships.size - this.#ranking.length + others;
    if (this.#isNew(me, goal, narrow, ratio)) this.#paint(me, goal, form, ratio);
    const { width, height } = this.#picture;
    this.left = Math.floor((right - width / ratio) * ratio) / ratio;      // whole pixels
    this.bottom = top + height / ratio;
    context.globalAlpha = 1;
    context.drawImage(this.#picture, this.left, Math.round(top * ratio) / ratio, width / ratio, height / ratio);
  }

  /**
   * The best first; who came first goes first among equals. Where there are more than rows, the last row is
   * ours, if we are not in another. In place: this runs with every frame.
   */
  #rank(ships, me, rows) {
    const ranking = this.#ranking;
    ranking.length = 0;
    for (const ship of ships.values()) {
      let i = ranking.push(ship) - 1;
      for (; i > 0 && ranking[i - 1].score < ship.score; i--) ranking[i] = ranking[i - 1];
      ranking[i] = ship;
    }
    if (ranking.length <= rows) return;
    const mine = ranking.indexOf(me);
    ranking.length = rows;
    if (mine >= rows) ranking[rows - 1] = me;
  }

  #isNew(me, goal, narrow, ratio) {
    const says = (thing, i) => {
      const changed = this.#said[i] !== thing;
      this.#said[i] = thing;
      return changed;
    };
    let fresh = says(narrow, 0) | says(ratio, 1) | says(this.#ranking.length, 2) | says(this.#unlisted, 3)
      | says(goal, 4);
    let i = 5;
    for (const ship of this.#ranking) {
      fresh |= says(ship.name, i++) | says(ship.look, i++) | says(ship.score, i++);
      fresh |= says(isDim(ship), i++) | says(ship === me, i++);
    }
    return fresh;
  }

  #paint(me, goal, { size, room }, ratio) {
    const names = this.#ranking.map(({ name }) => clip(name || 'you', size, room));      // only we may have no name yet
    const rest = countOthers(this.#unlisted);
    const widest = Math.max(...[...names, rest].map(text => textWidth(text, size)));
    const width = Math.max(LEFT + widest + RIGHT, LEFT + textWidth(goal, size));
    const head = goal ? 1 : 0;
    this.#picture.width = Math.ceil(width * ratio);      // which empties it
    this.#picture.height = Math.ceil((head + names.length + (rest ? 1 : 0)) * ROW * ratio);
    const context = this.#context;
    context.fillStyle = SHADE;
    context.fillRect(0, 0, this.#picture.width, this.#picture.height);
    context.scale(ratio, ratio);
    context.lineCap = context.lineJoin = 'round';
    writeText(context, goal, width - textWidth(goal, size) - 1, ROW / 2 + size / 2, size, QUIET);
    this.#ranking.forEach((ship, row) => {
      const middle = (head + row) * ROW + ROW / 2;
      const base = middle + size / 2;
      const words = ship === me ? CORE : ship.bot ? QUIET : TEXT;
      const score = String(ship.score).replace('-', '–');
      context.beginPath();
      traceShip(context, ship.look, 20, middle + 0.5, -Math.PI / 2, 0.62);
      stroke(context, colourOf(ship.look), 1, isDim(ship) ? 0.6 : 1);
      writeText(context, names[row], LEFT, base, size, words);
      writeText(context, score, width - textWidth(score, size) - 1, base, size, words);
      if (ship === me) drawPointer(context, 1, middle + 0.5, colourOf(ship.look));
    });
    writeText(context, rest, LEFT, (head + names.length) * ROW + ROW / 2 + size / 2, size, QUIET);
  }
}

/** What stands below a list of pilots for those who are not in it. */
export function countOthers(count) {
  if (count === 0) return '';
  return count === 1 ? 'and 1 other' : `and ${count} others`;
}

/** Whether it is no opponent now. */
function isDim({ bot, state }) {
  return bot || state === 'observing';
}

/** A name that is no wider than there is room. */
export function clip(name, size, room) {
  if (textWidth(name, size) <= room) return name;
  const letters = clustersOf(name);
  while (letters.length && textWidth(`${letters.join('').trimEnd()}…`, size) > room) letters.pop();
  return `${letters.join('').trimEnd()}…`;
}

function drawPointer(context, x, y, colour) {
  context.beginPath();
  context.moveTo(x, y - 4);
  context.lineTo(x + 5, y);
  context.lineTo(x, y + 4);
  stroke(context, colour, 1.4, 1);
}
