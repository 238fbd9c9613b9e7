// SPDX-License-Identifier: MIT

// The words and signs over the sky, in css px: the line about the link and the feed in the upper left,
// the score board in the upper right, names at ships, arrows at the edge to what is out of sight, the
// banner, and gauges under rules with supplies. Everything keeps to `insets`, what a notch, the page's
// buttons or the pads cover.

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
const NONE = [];
const TEXT = '#c4dcd8';        // at least 4.5 : 1 against the ground, as all colours of words here
const QUIET = '#86a5a1';
const WARM = '#ffcf8f';

export class Hud {
  insets = { top: 0, right: 0, bottom: 0, left: 0 };
  #ranking = [];
  #board = { left: 0, bottom: 0 };      // where the score board ends
  #clipped = new Map();                 // names to what fits of them
  #distances = [];                      // where in this frame distances stand, x and y in turn

  draw(context, camera, scene) {
    context.globalCompositeOperation = 'source-over';
    context.lineCap = context.lineJoin = 'round';
    const { world, me } = scene;
    const narrow = camera.width < NARROW;
    this.#rank(world.ships);
    this.#drawBoard(context, camera, me, narrow);
    this.#drawArrows(context, camera, scene);
    if (scene.names) this.#drawNames(context, camera, scene);
    this.#drawFeed(context, scene, narrow);
    if (world.rules.fuel < Infinity && me?.state === 'flying') this.#drawGauges(context, camera, scene);
    const banner = scene.banner || (scene.paused ? 'paused' : '');
    if (banner) this.#drawBanner(context, camera, banner);
    context.globalAlpha = 1;
  }

  // ---- The score board ----

  /** The best first; who came first goes first among equals. In place: this runs with every frame. */
  #rank(ships) {
    const ranking = this.#ranking;
    ranking.length = 0;
    for (const ship of ships.values()) {
      let i = ranking.push(ship) - 1;
      for (; i > 0 && ranking[i - 1].score < ship.score; i--) ranking[i] = ranking[i - 1];
      ranking[i] = ship;
    }
  }

  #drawBoard(context, camera, me, narrow) {
    const size = narrow ? SMALL : SIZE;
    const rows = Math.min(this.#ranking.length, narrow ? ROWS.narrow : ROWS.wide);
    const mine = this.#ranking.indexOf(me);
    const right = camera.width - this.insets.right - EDGE;
    let widest = 0;
    for (let row = 0; row < rows; row++) {
      widest = Math.max(widest, textWidth(this.#clip(nameOf(this.#at(row, rows, mine)), size, narrow), size));
    }
    const left = right - widest - 76;
    let y = this.insets.top + EDGE;
    for (let row = 0; row < rows; row++, y += ROW) {
      const ship = this.#at(row, rows, mine);
      const own = ship === me;
      const colour = colourOf(ship.look);
      const words = own ? CORE : ship.bot ? QUIET : TEXT;
      const score = String(ship.score).replace('-', '–');
      const base = y + ROW / 2 + size / 2;
      context.beginPath();
      traceShip(context, ship.look, left + 20, y + ROW / 2 + 0.5, -Math.PI / 2, 0.62);
      stroke(context, colour, WIDTH, ship.bot || ship.state === 'observing' ? 0.6 : 1);
      write(context, this.#clip(nameOf(ship), size, narrow), left + 38, base, size, words);
      write(context, score, right - textWidth(score, size), base, size, words);
      if (!own) continue;
      context.beginPath();
      context.moveTo(left, y + ROW / 2 - 3.5);
      context.lineTo(left + 5, y + ROW / 2 + 0.5);
      context.lineTo(left, y + ROW / 2 + 4.5);
      stroke(context, colour, 1.4, 1);
    }
    this.#board.left = left;
    this.#board.bottom = y;
  }

  /** The ship in a row. Who does not make it into the list is shown in the last row all the same. */
  #at(row, rows, mine) {
    return this.#ranking[row === rows - 1 && mine > row ? mine : row];
  }

  /** A name that is no wider than the board allows. */
  #clip(name, size, narrow) {
    const room = narrow ? NAME.narrow : NAME.wide;
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
    if (link) write(context, link, x, y, size, QUIET);
    if (narrow) y = Math.max(y, this.#board.bottom - ROW / 2);
    y += ROW + 4;
    for (const { text, at } of lines ?? NONE) {
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
      const x = camera.toX(ship.x + ship.dx + ship.vx * lead);
      const y = camera.toY(ship.y + ship.dy + ship.vy * lead);
      if (!camera.sees(x, y)) continue;
      const below = Math.max(13 * camera.scale, 10) + SMALL + 7;
      write(context, ship.name, x - textWidth(ship.name, SMALL) / 2, y + below, SMALL, colourOf(ship.look), 0.8);
    }
  }

  #drawArrows(context, camera, scene) {
    const { me, lead } = scene;
    this.#distances.length = 0;
    const from = me?.state === 'flying' && camera.tracked === null ? me : camera;
    for (const ship of scene.world.ships.values()) {
      if (ship.state !== 'flying') continue;
      const x = ship.x + ship.dx + ship.vx * lead;
      const y = ship.y + ship.dy + ship.vy * lead;
      const far = Math.hypot(x - from.x, y - from.y);
      this.#point(context, camera, x, y, colourOf(ship.look), far, ship.bot ? 0.75 : 1);
    }
    this.#point(context, camera, 0, 0, WARM, Math.hypot(from.x, from.y), 1);
  }

  /** An arrow at the edge, if the point of the world is out of sight, with its distance. */
  #point(context, camera, worldX, worldY, colour, far, alpha) {
    const toX = camera.toX(worldX);
    const toY = camera.toY(worldY);
    const { insets } = this;
    const [left, right] = [insets.left, camera.width - insets.right];
    const [top, bottom] = [insets.top, camera.height - insets.bottom];
    if (toX > left - 8 && toX < right + 8 && toY > top - 8 && toY < bottom + 8) return;
    const middleX = (left + right) / 2;
    const middleY = (top + bottom) / 2;
    const share = Math.min((right - left - 2 * ARROW) / 2 / Math.abs(toX - middleX),
      (bottom - top - 2 * ARROW) / 2 / Math.abs(toY - middleY));
    let x = middleX + (toX - middleX) * share;
    const y = middleY + (toY - middleY) * share;
    if (y < this.#board.bottom + 8) x = Math.min(x, this.#board.left - ARROW);      // next to the score board
    const angle = Math.atan2(toY - y, toX - x);
    const [ahead, aside] = [Math.cos(angle), Math.sin(angle)];
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
    const y = camera.height - this.insets.bottom - EDGE;
    const jumps = rules.jumps - me.jumped;
    const ready = me.jumpAt > time ? 1 - (me.jumpAt - time) / rules.recharge : 1;
    gauge(context, 'fuel', x, y - 2 * ROW, 24, 24 * me.fuel / rules.fuel);
    gauge(context, 'torpedoes', x, y - ROW, rules.torpedoes, me.torpedoes);
    gauge(context, 'jumps', x, y, rules.jumps, jumps > 0 ? jumps - 1 + ready : 0);
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

/** A row of ticks: those that are left are bright, the last one by as much as is left of it. */
function gauge(context, label, x, y, most, left) {
  write(context, label, x, y, SMALL, left < most / 4 ? WARM : QUIET);
  const first = x + 92;
  const whole = Math.floor(left);
  for (const [from, to, colour, alpha] of [[0, whole, CORE, 0.9], [whole, most, QUIET, 0.35]]) {
    context.beginPath();
    for (let i = from; i < to; i++) {
      context.moveTo(first + 5 * i, y);
      context.lineTo(first + 5 * i, y - SMALL + 1);
    }
    stroke(context, colour, 1.4, alpha);
  }
  if (left === whole) return;
  context.beginPath();
  context.moveTo(first + 5 * whole, y);
  context.lineTo(first + 5 * whole, y - (SMALL - 1) * (left - whole));
  stroke(context, CORE, 1.4, 0.9);
}
