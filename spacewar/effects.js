// SPDX-License-Identifier: MIT

// What happens to a ship is seen for a moment: it bursts, it vanishes, it comes back. Nobody has to tell:
// a ship's state is compared with the one in the frame before. All is drawn from the moment's age alone.

import { CORE, colourOf, stroke } from './ships.js';

const TAU = 2 * Math.PI;
const LASTS = { burst: 1_100, vanish: 600, appear: 700, arrive: 1_100 };    // ms
const BRAKE = 300;        // ms in which a moment loses most of the speed of its ship
const SPARKS = 22;
const KEPT = 32;          // moments; the oldest makes room for a new one

export class Effects {
  #moments = Array.from({ length: KEPT },
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
      else if (before === 'flying') this.#note(ship.state === 'exploded' ? 'burst' : 'vanish', ship, time);
      burst ||= ship === me && before === 'flying' && ship.state === 'exploded';
    }
    for (const ship of this.#states.keys()) if (ships.get(ship.id) !== ship) this.#states.delete(ship);
    return burst;
  }

  #note(kind, { x, y, vx, vy, look }, at) {
    const moment = this.#moments[this.#next];
    this.#next = (this.#next + 1) % KEPT;
    moment.kind = kind;
    moment.at = at;
    moment.x = x;
    moment.y = y;
    moment.vx = vx;
    moment.vy = vy;
    moment.look = look;
    moment.seed += KEPT;
  }

  draw(context, camera, time) {
    context.globalCompositeOperation = 'lighter';
    for (const moment of this.#moments) {
      const age = time - moment.at;
      if (!(age < LASTS[moment.kind])) continue;
      const done = age / LASTS[moment.kind];
      const along = moment.kind === 'vanish' ? 0 : BRAKE * (1 - Math.exp(-age / BRAKE));
      const x = camera.toX(moment.x + moment.vx * along);
      const y = camera.toY(moment.y + moment.vy * along);
      if (!camera.sees(x, y, 150)) continue;
      const { scale } = camera;
      if (moment.kind === 'burst') drawBurst(context, moment, x, y, scale, done);
      else if (moment.kind === 'vanish') drawRing(context, moment, x, y, scale * (15 - 13 * done), 1 - done, age);
      else if (moment.kind === 'appear') drawRing(context, moment, x, y, scale * (15 + 9 * done), 1 - done, age);
      else drawRing(context, moment, x, y, scale * (18 + 50 * (1 - done) ** 3), 1 - done ** 3, age);
    }
    context.globalAlpha = 1;
  }
}

/** A ring that runs out, and sparks that fly farther the brighter they began. */
function drawBurst(context, { look, seed }, x, y, scale, done) {
  const fade = (1 - done) ** 1.5;
  const out = 1 - (1 - done) ** 3;
  context.beginPath();
  context.arc(x, y, scale * (6 + 52 * out), 0, TAU);
  stroke(context, colourOf(look), 5, 0.1 * fade);
  stroke(context, colourOf(look), 1.1, 0.6 * fade * fade);
  context.beginPath();
  for (let i = 0; i < SPARKS; i++) {
    const angle = TAU * (i + 0.7 * hash(seed, i)) / SPARKS;
    const reach = scale * (22 + 70 * hash(seed, i + 50) ** 2);
    const from = reach * out;
    const to = reach * Math.max(0, out - 0.22 * fade);
    context.moveTo(x + from * Math.cos(angle), y + from * Math.sin(angle));
    context.lineTo(x + to * Math.cos(angle), y + to * Math.sin(angle));
  }
  stroke(context, '#ffb45a', 3.6, 0.16 * fade);
  stroke(context, CORE, 1.1, 0.9 * fade);
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
