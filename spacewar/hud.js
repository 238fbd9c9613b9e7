// SPDX-License-Identifier: MIT

// The words and signs over the sky, in css px: the line about the connection and the feed in the upper left,
// the score board in the upper right, names at ships, arrows at the edge to what is out of sight, the
// banner, and gauges under rules with supplies. Everything keeps to `insets`, what a notch, the page's
// buttons or the pads cover.

import { Board, QUIET, ROW, SHADE, TEXT, WIDTH, clip } from './board.js';
import { drawnX, drawnY } from './camera.js';
import { textWidth, traceText, writeForeign, writeText } from './font.js';
import { CORE, colourOf, stroke } from './ships.js';

const SIZE = 11;               // css px, the height of capitals
const SMALL_SIZE = 10;         // on narrow screens, and of names at ships
const NARROW = 600;            // css px of width below which a screen is narrow
const LOW = 500;               // css px of height below which one is
const EDGE = 16;               // css px from what is covered
const FEW = 3;                 // lines of the feed on narrow screens: more would cover the fight
const FADES = [4_500, 6_500];  // ms of age between which a line of the feed goes
const MOST_NAMES = 40;         // at ships: a crowd of more is no longer read, and must not cost more
const GREETING = 3_000;        // ms that one stands at its ship
const NAME = 96;               // css px of a name at a ship
const CLEARANCE = 14;          // css px that arrows keep from what lies over the sky
const ARROW = 26;              // css px from the edge to an arrow
const TICK = { apart: 5, height: 9 };        // css px, of gauges
const WARM = '#ffcf8f';

export class Hud {
  // css px; the head is what the score board keeps clear of, and the corner is the lower left one.
  insets = { top: 0, right: 0, bottom: 0, left: 0, head: 0, corner: 0 };
  obstacles = [];                       // what lies over the sky: { left, top, right, bottom }, css px
  #board = new Board();
  #distances = [];                      // where in this frame distances stand, x and y in turn
  #taken = [];                          // ... and words: left, top, right and bottom in turn ...
  #ships = [];                          // ... and ships, the same

  /** `ratio`: pixels of the canvas for a css px. */
  draw(context, camera, scene, ratio) {
    const { grown } = camera;
    if (grown === 1) return this.#draw(context, camera, scene, ratio);
    // On a large screen everything is drawn as on a smaller one, and enlarged.
    const { insets, obstacles } = this;
    this.insets = shrunk(insets, grown);
    this.obstacles = obstacles.map(box => shrunk(box, grown));
    context.save();
    context.scale(grown, grown);
    this.#draw(context, new Enlarged(camera, grown), scene, ratio * grown);
    context.restore();
    Object.assign(this, { insets, obstacles });
  }

  #draw(context, camera, scene, ratio) {
    context.globalCompositeOperation = 'source-over';
    context.lineCap = context.lineJoin = 'round';
    const { world, me, others } = scene;
    const narrow = camera.width < NARROW;
    const top = this.insets.head + EDGE;
    const right = camera.width - this.insets.right - EDGE;
    const end = this.#endOf(right, camera.height - this.insets.bottom - EDGE);
    this.#board.draw(context, { ships: world.ships, others, goal: scene.goal, me, right, top, end, narrow, ratio });
    this.#keepClear(camera, scene);
    this.#drawArrows(context, camera, scene);
    this.#drawFeed(context, scene, narrow);
    if (world.rules.fuel < Infinity && me.state === 'flying') this.#drawGauges(context, camera, scene);
    if (scene.banner) this.#drawBanner(context, camera, scene.banner);
    if (scene.fate) this.#drawFate(context, camera, scene);
    this.#drawGreetings(context, camera, scene);
    if (scene.names) this.#drawNames(context, camera, scene);
    context.globalAlpha = 1;
  }

  /** How far down the board may reach: to what lies over the sky below it. */
  #endOf(right, bottom) {
    const below = this.obstacles.filter(box => box.right > right - WIDTH && box.left < right);
    return Math.min(bottom, ...below.map(box => box.top - ROW));
  }

  // ---- The feed and the banner ----

  #drawFeed(context, { connection, lines, time }, narrow) {
    const size = narrow ? SMALL_SIZE : SIZE;
    const x = this.insets.left + EDGE;
    let y = this.insets.top + EDGE + ROW / 2 + size / 2;
    this.#writeLine(context, connection, x, y, size, QUIET);
    if (narrow) y = Math.max(y, this.#board.bottom - ROW / 2);
    y += ROW + 4;
    for (const { text, at } of narrow ? lines.slice(-FEW) : lines) {
      const alpha = Math.min(1, (FADES[1] - (time - at)) / (FADES[1] - FADES[0]));
      if (alpha <= 0) continue;
      this.#writeLine(context, text, x, y, size, TEXT, alpha);
      y += ROW;
    }
  }

  /** On a shade through which one sees the ships below. */
  #drawBanner(context, { width, height }, { title, note, keys = '' }) {
    const size = Math.min(20, 0.88 * 20 * (width - this.insets.left - this.insets.right) / textWidth(title, 20));
    const middle = (width + this.insets.left - this.insets.right) / 2;
    const share = width < NARROW ? 0.76 : height < LOW ? 0.62 : 0.24;
    const y = this.insets.top + (height - this.insets.top - this.insets.bottom) * share;
    context.beginPath();
    traceText(context, title, middle - textWidth(title, size) / 2, y, size);
    stroke(context, '#5cc8ff', size * 0.36, 0.13);
    stroke(context, CORE, size * 0.11, 1);
    writeForeign(context, title, middle - textWidth(title, size) / 2, y, size, CORE);
    const lines = [[title, size, y], [note, SIZE, y + ROW + SIZE], [keys, SIZE, y + 2 * ROW + SIZE]];
    for (const [text, high, base] of lines) {
      if (!text) continue;
      const half = textWidth(text, high) / 2;
      this.#taken.push(middle - half, base - high, middle + half, base);
      if (text === title) continue;
      context.globalAlpha = 0.6;
      context.fillStyle = SHADE;
      context.fillRect(middle - half - 4, base - high - 4, 2 * half + 8, high + 8);
      writeText(context, text, middle - half, base, high, text === note ? TEXT : QUIET);
    }
  }

  /** How the own ship was destroyed, below where that was: there the eye is. */
  #drawFate(context, camera, { fate, me }) {
    const { left, right, top, bottom } = this.insets;
    const width = textWidth(fate, SIZE + 1);
    const x = limit(camera.toX(me.x) - width / 2, left + EDGE, camera.width - right - EDGE - width);
    const y = limit(camera.toY(me.y) + 64, top + 4 * ROW, camera.height - bottom - 3 * ROW);
    this.#writeLine(context, fate, x, y, SIZE + 1, CORE);
  }

  /** A line of text on a shade, or stars would be read as full stops. */
  #writeLine(context, text, x, y, size, colour, alpha = 1) {
    if (!text) return;
    const width = textWidth(text, size);
    context.globalAlpha = 1;
    context.fillStyle = SHADE;
    context.fillRect(x - 4, y - size - 4, width + 8, size + 8);
    writeText(context, text, x, y, size, colour, alpha);
    this.#taken.push(x, y - size, x + width, y);
  }

  // ---- At the ships ----

  /** Words at ships cover neither the board nor what lies over the sky, and other ships only if they must. */
  #keepClear(camera, { world, lead }) {
    const taken = this.#taken;
    taken.length = this.#ships.length = 0;
    taken.push(this.#board.left, 0, camera.width, this.#board.bottom);
    for (const box of this.obstacles) taken.push(box.left, box.top, box.right, box.bottom);
    const half = sizeOf(camera);
    for (const ship of world.ships.values()) {
      if (ship.state !== 'flying') continue;
      const x = camera.toX(drawnX(ship, lead));
      const y = camera.toY(drawnY(ship, lead));
      this.#ships.push(x - half, y - half, x + half, y + half);
    }
  }

  /** What pilots say, above their ships. */
  #drawGreetings(context, camera, { world, lead }) {
    for (const ship of world.ships.values()) {
      if (ship.state !== 'flying' || world.time - ship.greetedAt > GREETING) continue;
      const width = textWidth(ship.greeting, SIZE);
      const x = camera.toX(drawnX(ship, lead)) - width / 2;
      const y = camera.toY(drawnY(ship, lead)) - sizeOf(camera) - 9;
      if (this.#isFree(x, y - SIZE, x + width, y)) this.#writeLine(context, ship.greeting, x, y, SIZE, CORE);
    }
  }

  /** Below the ships, else above, and not at all where another name or the board would be covered. */
  #drawNames(context, camera, { world, lead, me }) {
    let left = MOST_NAMES;
    for (const ship of world.ships.values()) {
      if (ship.state !== 'flying' || ship === me || left-- <= 0) continue;
      const x = camera.toX(drawnX(ship, lead));
      const y = camera.toY(drawnY(ship, lead));
      if (!this.#isInSight(camera, x, y)) continue;
      const name = clip(ship.name, SMALL_SIZE, NAME);
      const width = textWidth(name, SMALL_SIZE);
      const from = limit(x - width / 2, this.insets.left + 4, camera.width - this.insets.right - width - 4);
      const away = sizeOf(camera) + 7;
      const isFree = base => this.#isFree(from, base - SMALL_SIZE, from + width, base);
      const isClear = base => isApart(this.#ships, from, base - SMALL_SIZE, from + width, base);
      const bases = [y + away + SMALL_SIZE, y - away];
      const base = bases.find(base => isClear(base) && isFree(base)) ?? bases.find(isFree);
      if (base === undefined) continue;
      this.#taken.push(from, base - SMALL_SIZE, from + width, base);
      writeText(context, name, from, base, SMALL_SIZE, colourOf(ship.look), 0.8);
    }
  }

  /** Whether there is room for words. */
  #isFree(left, top, right, bottom) {
    return isApart(this.#taken, left, top, right, bottom);
  }

  /** Whether a point is where the sky is neither covered nor ends. */
  #isInSight(camera, x, y) {
    const { left, right, top, bottom } = this.insets;
    return x > left - 8 && x < camera.width - right + 8 && y > top - 8 && y < camera.height - bottom + 8;
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
    if (this.#isInSight(camera, toX, toY)) return;
    const { left, top } = this.insets;
    const right = camera.width - this.insets.right;
    const bottom = camera.height - this.insets.bottom;
    const middleX = (left + right) / 2;
    const middleY = (top + bottom) / 2;
    const share = Math.min((right - left - 2 * ARROW) / 2 / Math.abs(toX - middleX),
      (bottom - top - 2 * ARROW) / 2 / Math.abs(toY - middleY));
    let x = middleX + (toX - middleX) * share;
    let y = middleY + (toY - middleY) * share;
    if (y < this.#board.bottom + 8) x = Math.min(x, this.#board.left - ARROW);      // next to the score board
    for (const box of this.obstacles) {      // nor under a button
      const [left, top, right, bottom] = [box.left - CLEARANCE, box.top - CLEARANCE, box.right + CLEARANCE,
        box.bottom + CLEARANCE];
      if (x < left || x > right || y < top || y > bottom) continue;
      const aside = x > middleX ? left : right;
      const above = y > middleY ? top : bottom;
      if (Math.abs(aside - x) < Math.abs(above - y)) x = aside;
      else y = above;
    }
    const angle = Math.atan2(toY - y, toX - x);
    const ahead = Math.cos(angle);
    const aside = Math.sin(angle);
    context.beginPath();
    context.moveTo(x - 5 * ahead - 6 * aside, y - 5 * aside + 6 * ahead);
    context.lineTo(x + 6 * ahead, y + 6 * aside);
    context.lineTo(x - 5 * ahead + 6 * aside, y - 5 * aside - 6 * ahead);
    stroke(context, colour, 4.5, 0.15 * alpha);
    stroke(context, colour, 1.4, alpha);
    this.#taken.push(x - 8, y - 8, x + 8, y + 8);
    const text = String(Math.round(far / 10) * 10);
    const width = textWidth(text, 9);
    const middle = x - (12 + width / 2) * ahead;
    const base = y - 15 * aside + 4.5;
    if (!this.#free(middle, base)) return;
    writeText(context, text, middle - width / 2, base, 9, colour, 0.9 * alpha);
    this.#taken.push(middle - width / 2, base - 9, middle + width / 2, base);
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

/** A camera whose px are so many times as large. */
class Enlarged {
  #camera; #grown;

  constructor(camera, grown) {
    this.#camera = camera;
    this.#grown = grown;
    this.width = camera.width / grown;
    this.height = camera.height / grown;
    this.scale = camera.scale / grown;
  }

  get tracked() {
    return this.#camera.tracked;
  }

  get x() {
    return this.#camera.x;
  }

  get y() {
    return this.#camera.y;
  }

  toX(x) {
    return this.#camera.toX(x) / this.#grown;
  }

  toY(y) {
    return this.#camera.toY(y) / this.#grown;
  }
}

function shrunk(sides, times) {
  return Object.fromEntries(Object.entries(sides).map(([side, px]) => [side, px / times]));
}

function limit(value, least, most) {
  return Math.max(least, Math.min(most, value));
}

/** A row of ticks: those that are left are bright, the last one by as much as is left of it. */
function drawGauge(context, label, x, y, most, left) {
  writeText(context, label, x, y, SMALL_SIZE, left < most / 4 ? WARM : QUIET);
  const first = x + 92;
  const whole = Math.floor(left);
  drawTicks(context, first, y, 0, whole, TICK.height, CORE, 0.9);
  drawTicks(context, first, y, whole, most, TICK.height, QUIET, 0.35);
  if (left > whole) drawTicks(context, first, y, whole, whole + 1, TICK.height * (left - whole), CORE, 0.9);
}

/** css px from the middle of a ship to its farthest edge. */
function sizeOf({ scale }) {
  return Math.max(13 * scale, 10);
}

/** Whether a box is apart from these, which are left, top, right and bottom in turn. */
function isApart(boxes, left, top, right, bottom) {
  for (let i = 0; i < boxes.length; i += 4) {
    const beside = left >= boxes[i + 2] + 3 || right <= boxes[i] - 3;
    const above = top >= boxes[i + 3] + 2 || bottom <= boxes[i + 1] - 2;
    if (!beside && !above) return false;
  }
  return true;
}

function drawTicks(context, x, y, from, to, height, colour, alpha) {
  context.beginPath();
  for (let i = from; i < to; i++) {
    context.moveTo(x + TICK.apart * i, y);
    context.lineTo(x + TICK.apart * i, y - height);
  }
  stroke(context, colour, 1.4, alpha);
}
