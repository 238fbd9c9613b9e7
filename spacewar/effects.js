// SPDX-License-Identifier: MIT

// What happens to a ship is seen for a moment: it bursts, it vanishes, it comes back. Nobody has to tell:
// a ship's state is compared with the one in the frame before; only a point that we get is told. All is drawn
// from the moment's age alone.

import { textWidth, traceText } from './font.js';
import { SUN } from './physics.js';
import { CORE, colourOf, stroke } from './ships.js';

const TAU = 2 * Math.PI;
const LASTS = { burst: 1_100, shards: 800, flare: 1_300, collapse: 900, vanish: 600, appear: 700, arrive: 1_100,
  point: 1_400 };         // ms
const ENDS = { missile: 'burst', debris: 'shards', sun: 'flare', hyperspace: 'collapse' };   // by their cause
const FLASH = 140;        // ms
const BRAKE = 300;        // ms in which a moment loses most of the speed of its ship
const FLASHES = { burst: 30, shards: 18, flare: 26, collapse: 14 };    // px across
const SPARKS = 22;
const MOMENTS_KEPT = 32;  // moments; the oldest makes room for a new one

export class Effects {
  #moments = Array.from({ length: MOMENTS_KEPT },
    (_, seed) => ({ kind: 'burst', at: -Infinity, x: 0, y: 0, vx: 0, vy: 0, look: 0, seed }));
  #next = 0;
  #states = new Map();    // by ship

  /** Finds out what happened; returns whether the own ship burst. */
  watch({ ships, time }, me) {
    let burst = false;
    for (const ship of ships.values()) {
      const before = this.#states.get(ship);
      if (ship.state === before) continue;
      this.#states.set(ship, ship.state);
      if (ship.state === 'flying') this.#note(ship === me ? 'arrive' : 'appear', ship, time);
      else if (before === 'flying' && ship.state === 'exploded') this.#end(ship, time);
      else if (before === 'flying') this.#note('vanish', ship, time);
      burst ||= ship === me && before === 'flying' && ship.state === 'exploded';
    }
    for (const ship of this.#states.keys()) if (ships.get(ship.id) !== ship) this.#states.delete(ship);
    return burst;
  }

  /** A point for what was done to this ship. */
  mark(ship, time) {
    this.#note('point', ship, time);
  }

  /** A ship is no more; where the sun takes it, the sun flares. */
  #end(ship, time) {
    const kind = ENDS[ship.cause] ?? 'burst';
    if (kind !== 'flare') return this.#note(kind, ship, time);
    const share = SUN / Math.max(1, Math.hypot(ship.x, ship.y));
    this.#note(kind, { x: ship.x * share, y: ship.y * share, vx: 0, vy: 0, look: ship.look }, time);
  }

  #note(kind, { x, y, vx, vy, look }, at) {
    const moment = this.#moments[this.#next];
    this.#next = (this.#next + 1) % MOMENTS_KEPT;
    moment.kind = kind;
    moment.at = at;
    moment.x = x;
    moment.y = y;
    moment.vx = vx;
    moment.vy = vy;
    moment.look = look;
    moment.seed += MOMENTS_KEPT;
  }

  draw(context, camera, time) {
    context.globalCompositeOperation = 'lighter';
    for (const moment of this.#moments) {
      const age = time - moment.at;
      if (!(age < LASTS[moment.kind])) continue;
      const done = age / LASTS[moment.kind];
      const along = moment.kind === 'vanish' || moment.kind === 'collapse' ? 0 : BRAKE * (1 - Math.exp(-age / BRAKE));
      const x = camera.toX(moment.x + moment.vx * along);
      const y = camera.toY(moment.y + moment.vy * along);
      if (!camera.sees(x, y, 150)) continue;
      const { scale } = camera;
      if (moment.kind === 'burst') drawBurst(context, moment, x, y, scale, done, 1);
      else if (moment.kind === 'shards') drawBurst(context, moment, x, y, scale, done, 0.6);
      else if (moment.kind === 'flare') drawFlare(context, moment, camera, done);
      else if (moment.kind === 'collapse') drawCollapse(context, moment, x, y, scale, done);
      else if (moment.kind === 'point') drawPoint(context, x, y, scale, done);
      else if (moment.kind === 'vanish') drawRing(context, moment, x, y, scale * (15 - 13 * done), 1 - done, age);
      else if (moment.kind === 'appear') drawRing(context, moment, x, y, scale * (15 + 9 * done), 1 - done, age);
      else drawRing(context, moment, x, y, scale * (18 + 50 * (1 - done) ** 3), 1 - done ** 3, age);
      const flash = FLASHES[moment.kind] ?? 0;
      if (flash && age < FLASH) drawFlash(context, x, y, scale * flash, 1 - age / FLASH);
    }
    context.globalAlpha = 1;
  }
}

/** A ring that runs out, and sparks that fly farther the brighter they began; `size` is 1 for a whole missile's. */
function drawBurst(context, { look, seed }, x, y, scale, done, size) {
  const fade = (1 - done) ** 1.5;
  const out = 1 - (1 - done) ** 3;
  context.beginPath();
  context.arc(x, y, size * scale * (6 + 52 * out), 0, TAU);
  stroke(context, colourOf(look), 5, 0.1 * fade);
  stroke(context, colourOf(look), 1.1, 0.6 * fade * fade);
  context.beginPath();
  for (let i = 0; i < SPARKS; i++) {
    const angle = TAU * (i + 0.7 * hash(seed, i)) / SPARKS;
    const reach = size * scale * (22 + 70 * hash(seed, i + 50) ** 2);
    const from = reach * out;
    const to = reach * Math.max(0, out - 0.22 * fade);
    context.moveTo(x + from * Math.cos(angle), y + from * Math.sin(angle));
    context.lineTo(x + to * Math.cos(angle), y + to * Math.sin(angle));
  }
  stroke(context, '#ffb45a', 3.6, 0.16 * fade);
  stroke(context, CORE, 1.1, 0.9 * fade);
}

/** A disc of light that shrinks. */
function drawFlash(context, x, y, size, left) {
  context.fillStyle = CORE;
  context.globalAlpha = 0.55 * left;
  context.beginPath();
  context.arc(x, y, size * left, 0, TAU);
  context.fill();
}

/** Loops of fire that rise from the rim of the sun where it took a ship, and fall back. */
function drawFlare(context, moment, camera, done) {
  const { scale } = camera;
  const up = Math.atan2(moment.y, moment.x);
  const height = scale * Math.sin(Math.PI * Math.sqrt(done));
  context.beginPath();
  for (let i = -2; i <= 2; i++) {
    const middle = up + 0.3 * i;
    const top = scale * SUN + height * (64 - 18 * Math.abs(i)) * (0.7 + 0.5 * hash(moment.seed, i + 9));
    const [foot, other] = [middle - 0.13, middle + 0.13].map(angle => [Math.cos(angle), Math.sin(angle)]);
    const x = camera.toX(0);
    const y = camera.toY(0);
    const rim = 0.9 * scale * SUN;
    context.moveTo(x + rim * foot[0], y + rim * foot[1]);
    context.bezierCurveTo(x + top * foot[0], y + top * foot[1], x + top * other[0], y + top * other[1],
      x + rim * other[0], y + rim * other[1]);
  }
  stroke(context, '#ffb45a', 6, 0.25 * (1 - done));
  stroke(context, '#ffdca0', 1.4, 0.9 * (1 - done));
}

/** A ship that breaks up on its way back: a ring that falls in, and few sparks. */
function drawCollapse(context, moment, x, y, scale, done) {
  drawRing(context, moment, x, y, scale * 46 * (1 - done) ** 2, 1 - done, 900 * done);
  drawBurst(context, moment, x, y, scale, done, 0.45);
}

/** What we got for it, rising. */
function drawPoint(context, x, y, scale, done) {
  const size = 13;
  context.beginPath();
  traceText(context, '+1', x - textWidth('+1', size) / 2, y - scale * 10 - 26 * Math.sqrt(done), size);
  stroke(context, '#c8f26a', 4.5, 0.2 * (1 - done ** 3));
  stroke(context, CORE, 1.5, 1 - done ** 3);
}

/** A dotted ring that turns. */
function drawRing(context, { look }, x, y, radius, alpha, age) {
  context.beginPath();
  for (let i = 0; i < 12; i++) {
    const angle = TAU * i / 12 + age * 0.002;
    context.moveTo(x + radius * Math.cos(angle), y + radius * Math.sin(angle));
    context.arc(x, y, radius, angle, angle + 0.22);
  }
  stroke(context, colourOf(look), 4.5, 0.14 * alpha);
  stroke(context, colourOf(look), 1.3, 0.8 * alpha);
}

/** A number from 0 to below 1 that looks random, the same for the same two. */
export function hash(a, b) {
  const n = Math.sin(a * 127.1 + b * 311.7) * 43758.5453;
  return n - Math.floor(n);
}
