// SPDX-License-Identifier: MIT

// The words and signs over the sky, in css px: the line about the link and the feed in the upper left,
// the score board in the upper right, names at ships, arrows at the edge to what is out of sight, the
// banner, and gauges under rules with supplies. Everything keeps to `insets`, what a notch, the page's
// buttons or the pads cover.

import { drawnX, drawnY } from './camera.js';
import { textWidth, traceText } from './font.js';
import { CORE, colourOf, stroke, traceShip } from './ships.js';

const SIZE = 11;               // css px, the height of capitals
const SMALL = 10;              // on narrow screens, and of names at ships
const NARROW = 600;            // css px of width below which a screen is narrow
const EDGE = 16;               // css px from what is covered
const WIDTH = 1;               // css px of a line: a hairline, which software draws much faster than a wider one
const ROW = 21;
const ROWS = { wide: 16, narrow: 6 };
const NAME = { wide: 170, narrow: 92 };      // css px that a name on the board may take
const FADES = [4_500, 6_500];  // ms of age between which a line of the feed goes
const ARROW = 26;              // css px from the edge to an arrow
const TICK = { apart: 5, height: 9 };        // css px, of gauges
const TEXT = '#c4dcd8';        // at least 4.5 : 1 against the ground, as all colours of words here
const QUIET = '#86a5a1';
const WARM = '#ffcf8f';

export class Hud {
  insets = { top: 0, right: 0, bottom: 0, left: 0, corner: 0 };      // css px; the corner is the lower left one
  #ranking = [];
  #board = { left: 0, bottom: 0 };      // where the score board ends
  #clipped = new Map();                 // names to what fits of them
  #distances = [];                      // where in this frame distances stand, x and y in turn

  draw(context, camera, scene) {
    context.globalCompositeOperation = 'source-over';
    context.lineCap = context.lineJoin = 'round';
    const { world, me } = scene;
    const narrow = camera.width < NARROW;
    this.#rank(world.ships, me, narrow ? ROWS.narrow : ROWS.wide);
    this.#drawBoard(context, camera, me, narrow);
    this.#drawArrows(context, camera, scene);
    if (scene.names) this.#drawNames(context, camera, scene);
    this.#drawFeed(context, scene, narrow);
    if (world.rules.fuel < Infinity && me.state === 'flying') this.#drawGauges(context, camera, scene);
    if (scene.banner) this.#drawBanner(context, camera, scene.banner);
    context.globalAlpha = 1;
  }

  // ---- The score board ----

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

  #drawBoard(context, camera, me, narrow) {
    const size = narrow ? SMALL : SIZE;
    const room = narrow ? NAME.narrow : NAME.wide;
    const right = camera.width - this.insets.right - EDGE;
    let widest = 0;
    for (const ship of this.#ranking) {
      widest = Math.max(widest, textWidth(this.#clip(nameOf(ship), size, room), size));
    }
    const left = right - widest - 76;
    let y = this.insets.top + EDGE;
    for (const ship of this.#ranking) {
      const own = ship === me;
      const colour = colourOf(ship.look);
      const words = own ? CORE : ship.bot ? QUIET : TEXT;
      const score = String(ship.score).replace('-', '–');
      const base = y + ROW / 2 + size / 2;
      context.beginPath();
      traceShip(context, ship.look, left + 20, y + ROW / 2 + 0.5, -Math.PI / 2, 0.62);
      stroke(context, colour, WIDTH, ship.bot || ship.state === 'observing' ? 0.6 : 1);
      write(context, this.#clip(nameOf(ship), size, room), left + 38, base, size, words);
      write(context, score, right - textWidth(score, size), base, size, words);
      if (own) drawPointer(context, left, y + ROW / 2 + 0.5, colour);
      y += ROW;
    }
    this.#board.left = left;
    this.#board.bottom = y;
  }

  /** A name that is no wider than there is room. */
  #clip(name, size, room) {
    if (textWidth(name, size) <= room) return name;
    let clipped = this.#clipped.get(name);
    if (clipped && textWidth(clipped, size) <= room) return clipped;
    const letters = [...name];
    do letters.pop(); while (letters.length && textWidth(letters.join('').trimEnd() + '…', size) > room);
    clipped = letters.join('').trimEnd() + '…';
    if (this.#clipped.size > 100) this.#clipped.clear();
    this.#clipped.set(name, clipped);
    return clipped;
  }

  // ---- The feed and the banner ----

  #drawFeed(context, { link, lines, time }, narrow) {
    const size = narrow ? SMALL : SIZE;
    const x = this.insets.left + EDGE;
    let y = this.insets.top + EDGE + ROW / 2 + size / 2;
    write(context, link, x, y, size, QUIET);
    if (narrow) y = Math.max(y, this.#board.bottom - ROW / 2);
    y += ROW + 4;
    for (const { text, at } of lines) {
      const alpha = Math.min(1, (FADES[1] - (time - at)) / (FADES[1] - FADES[0]));
      if (alpha <= 0) continue;
      write(context, text, x, y, size, TEXT, alpha);
      y += ROW;
    }
  }

  #drawBanner(context, { width, height }, text) {
    const size = Math.min(15, 0.88 * 15 * (width - this.insets.left - this.insets.right) / textWidth(text, 15));
    const x = (width + this.insets.left - this.insets.right - textWidth(text, size)) / 2;
    const y = this.insets.top + (height - this.insets.top - this.insets.bottom) * (width < NARROW ? 0.76 : 0.24);
    context.beginPath();
    traceText(context, text, x, y, size);
    stroke(context, '#5cc8ff', size * 0.36, 0.13);
    stroke(context, CORE, size * 0.11, 1);
  }

  // ---- At the ships ----

  #drawNames(context, camera, { world, lead, me }) {
    for (const ship of world.ships.values()) {
      if (ship.state !== 'flying' || ship === me) continue;
      const x = camera.toX(drawnX(ship, lead));
      const y = camera.toY(drawnY(ship, lead));
      if (!camera.sees(x, y)) continue;
      const below = Math.max(13 * camera.scale, 10) + SMALL + 7;
      write(context, ship.name, x - textWidth(ship.name, SMALL) / 2, y + below, SMALL, colourOf(ship.look), 0.8);
    }
  }

  #drawArrows(context, camera, { world, me, lead }) {
    this.#distances.length = 0;
    const from = me.state === 'flying' && camera.tracked === null ? me : camera;
    for (const ship of world.ships.values()) {
      if (ship.state !== 'flying') continue;
      const x = drawnX(ship, lead);
      const y = drawnY(ship, lead);
      const far = Math.hypot(x - from.x, y - from.y);
      this.#drawArrow(context, camera, x, y, colourOf(ship.look), far, ship.bot ? 0.75 : 1);
    }
    this.#drawArrow(context, camera, 0, 0, WARM, Math.hypot(from.x, from.y), 1);
  }

  /** An arrow at the edge, if the point of the world is out of sight, with its distance. */
  #drawArrow(context, camera, worldX, worldY, colour, far, alpha) {
    const toX = camera.toX(worldX);
    const toY = camera.toY(worldY);
    const { left, top } = this.insets;
    const right = camera.width - this.insets.right;
    const bottom = camera.height - this.insets.bottom;
    if (toX > left - 8 && toX < right + 8 && toY > top - 8 && toY < bottom + 8) return;
    const middleX = (left + right) / 2;
    const middleY = (top + bottom) / 2;
    const share = Math.min((right - left - 2 * ARROW) / 2 / Math.abs(toX - middleX),
      (bottom - top - 2 * ARROW) / 2 / Math.abs(toY - middleY));
    let x = middleX + (toX - middleX) * share;
    const y = middleY + (toY - middleY) * share;
    if (y < this.#board.bottom + 8) x = Math.min(x, this.#board.left - ARROW);      // next to the score board
    const angle = Math.atan2(toY - y, toX - x);
    const ahead = Math.cos(angle);
    const aside = Math.sin(angle);
    context.beginPath();
    context.moveTo(x - 5 * ahead - 6 * aside, y - 5 * aside + 6 * ahead);
    context.lineTo(x + 6 * ahead, y + 6 * aside);
    context.lineTo(x - 5 * ahead + 6 * aside, y - 5 * aside - 6 * ahead);
    stroke(context, colour, 4.5, 0.15 * alpha);
    stroke(context, colour, 1.4, alpha);
    const text = String(Math.round(far / 10) * 10);
    const width = textWidth(text, 9);
    const middle = x - (12 + width / 2) * ahead;
    const base = y - 15 * aside + 4.5;
    if (this.#free(middle, base)) write(context, text, middle - width / 2, base, 9, colour, 0.9 * alpha);
  }

  /** Whether there is room for a distance: of several arrows side by side only the first says its own. */
  #free(x, y) {
    const places = this.#distances;
    for (let i = 0; i < places.length; i += 2) {
      if (Math.abs(places[i] - x) < 36 && Math.abs(places[i + 1] - y) < 13) return false;
    }
    places.push(x, y);
    return true;
  }

  // ---- Supplies ----

  #drawGauges(context, camera, { world: { rules, time }, me }) {
    const x = this.insets.left + EDGE;
    const y = camera.height - this.insets.corner - EDGE;
    const jumps = rules.jumps - me.jumped;
    const ready = me.jumpAt > time ? 1 - (me.jumpAt - time) / rules.recharge : 1;
    drawGauge(context, 'fuel', x, y - 2 * ROW, 24, 24 * me.fuel / rules.fuel);
    drawGauge(context, 'torpedoes', x, y - ROW, rules.torpedoes, me.torpedoes);
    drawGauge(context, 'jumps', x, y, rules.jumps, jumps > 0 ? jumps - 1 + ready : 0);
  }
}

/** Only our own ship may have no name yet. */
function nameOf({ name }) {
  return name || 'you';
}

/** One line of text, standing on y. Drawn twice, a hairline is as bold as words should be. */
function write(context, text, x, y, size, colour, alpha = 1) {
  context.beginPath();
  traceText(context, text, x, y, size);
  stroke(context, colour, WIDTH, alpha);
  context.stroke();
}

/** The sign of our own row. */
function drawPointer(context, x, y, colour) {
  context.beginPath();
  context.moveTo(x, y - 4);
  context.lineTo(x + 5, y);
  context.lineTo(x, y + 4);
  stroke(context, colour, 1.4, 1);
}

/** A row of ticks: those that are left are bright, the last one by as much as is left of it. */
function drawGauge(context, label, x, y, most, left) {
  write(context, label, x, y, SMALL, left < most / 4 ? WARM : QUIET);
  const first = x + 92;
  const whole = Math.floor(left);
  drawTicks(context, first, y, 0, whole, TICK.height, CORE, 0.9);
  drawTicks(context, first, y, whole, most, TICK.height, QUIET, 0.35);
  if (left > whole) drawTicks(context, first, y, whole, whole + 1, TICK.height * (left - whole), CORE, 0.9);
}

function drawTicks(context, x, y, from, to, height, colour, alpha) {
  context.beginPath();
  for (let i = from; i < to; i++) {
    context.moveTo(x + TICK.apart * i, y);
    context.lineTo(x + TICK.apart * i, y - height);
  }
  stroke(context, colour, 1.4, alpha);
}
