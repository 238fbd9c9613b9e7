// SPDX-License-Identifier: MIT

// The afterglow. The screen of the PDP-1 had P7 phosphor: it flashed blue-white under the beam and
// went on to glow yellow-green for seconds. Here every ship and missile leaves its way behind, in the
// world's coordinates, so that a moving camera smears nothing.
//
// All trails take a sample at the same time and so share one index into their rings: what lies n
// samples back is equally old in each. That lets us draw the trails of all bodies together, one band of
// age after the other, in as few strokes as there are bands; the youngest are in the colours of their ships,
// with a stroke for each colour. Where there was no body, the sample is NaN.
// The trail of a body that is gone ages on until it is empty.

import { drawnX, drawnY } from './camera.js';
import { lookOf } from './looks.js';
import { COLOURS, colourOf } from './ships.js';

const SAMPLE_MS = 40;       // ms of the world between samples
const SAMPLES = 48;         // samples kept of a ship ...
const MISSILE_SAMPLES = 26; // ... and drawn of a missile
const CLEAR_PX = 13;        // px around a ship's middle without a trail: its outline is there
const BREAK_PX = 90;        // px between samples: the body did not fly there
const BANDS = [             // from sample to sample: colour, that of the ship if none, alpha
  { to: 6, colour: null, alpha: 0.7 },
  { to: 14, colour: null, alpha: 0.45 },
  { to: 22, colour: '#accb60', alpha: 0.28 },
  { to: 30, colour: '#a0bb52', alpha: 0.2 },
  { to: 38, colour: '#93ad4c', alpha: 0.13 },
  { to: SAMPLES - 1, colour: '#86a046', alpha: 0.07 },
];
const OWNERLESS = lookOf(0, 7); // the look of a missile whose ship has left: white
const LINE_WIDTH = 1;           // css px; up to one pixel a line is a hairline, which software draws much faster

export class Trails {
  #trails = [];
  #spare = [];
  #byBody = new Map();
  #head = 0;              // index of the latest sample in all rings
  #sampledAt = -Infinity;

  /** Takes samples when it is time. */
  follow(world) {
    if (world.time - this.#sampledAt < SAMPLE_MS) return;
    this.#sampledAt = world.time - world.time % SAMPLE_MS;
    this.#head = (this.#head + 1) % SAMPLES;
    for (const trail of this.#trails) trail.seen = false;
    for (const ship of world.ships.values()) this.#sample(ship, ship.state === 'flying', SAMPLES);
    for (const missile of world.missiles) {
      this.#sample(missile, true, MISSILE_SAMPLES, world.ships.get(missile.owner)?.look);
    }
    for (let i = this.#trails.length - 1; i >= 0; i--) this.#outlive(this.#trails[i], i);
  }

  #sample(body, there, length, look = body.look ?? OWNERLESS) {
    let trail = this.#byBody.get(body);
    if (!trail) {
      trail = this.#spare.pop() ?? { body, x: new Float32Array(SAMPLES), y: new Float32Array(SAMPLES) };
      trail.x.fill(NaN);
      Object.assign(trail, { body, length, left: SAMPLES });
      this.#byBody.set(body, trail);
      this.#trails.push(trail);
    }
    const last = (this.#head + SAMPLES - 1) % SAMPLES;
    const x = drawnX(body, 0);
    const y = drawnY(body, 0);
    const leapt = Math.abs(x - trail.x[last]) + Math.abs(y - trail.y[last]) > BREAK_PX;
    trail.x[this.#head] = there && !leapt ? x : NaN;
    trail.y[this.#head] = y;
    trail.there = there;
    trail.colour = colourOf(look);
    trail.seen = true;
  }

  /** The trail of a body that is no more. */
  #outlive(trail, index) {
    if (trail.seen) return;
    trail.x[this.#head] = NaN;
    trail.there = false;
    if (trail.body) this.#byBody.delete(trail.body);
    trail.body = null;
    if (--trail.left > 0) return;
    this.#trails[index] = this.#trails.at(-1);
    this.#trails.pop();
    this.#spare.push(trail);
  }

  draw(context, camera, lead) {
    context.globalCompositeOperation = 'lighter';
    context.lineCap = 'butt';
    context.lineWidth = LINE_WIDTH;
    let from = 0;
    for (const band of BANDS) {
      for (const colour of band.colour ? [null] : COLOURS) {
        context.beginPath();
        let any = false;
        for (const trail of this.#trails) {
          if (colour && trail.colour !== colour) continue;
          this.#trace(context, camera, trail, from, band.to, lead);
          any = true;
        }
        context.strokeStyle = colour ?? band.colour;
        context.globalAlpha = band.alpha;
        if (any) context.stroke();
      }
      from = band.to;
    }
    context.globalAlpha = 1;
  }

  /** Adds the part of a trail between two ages, counted in samples of a ship; a missile's passes faster. */
  #trace(context, camera, trail, from, to, lead) {
    const first = Math.floor(from * trail.length / SAMPLES);
    const last = Math.floor(to * trail.length / SAMPLES);
    let pen = false;
    let back = first;
    if (from === 0 && trail.there && this.#flew(trail)) {
      back = this.#begin(context, camera, trail, last, lead);
      pen = true;
    }
    for (; back <= last; back++) {
      const i = (this.#head + SAMPLES - back) % SAMPLES;
      const x = trail.x[i];
      if (Number.isNaN(x)) pen = false;
      else if (pen) context.lineTo(camera.toX(x), camera.toY(trail.y[i]));
      else {
        context.moveTo(camera.toX(x), camera.toY(trail.y[i]));
        pen = true;
      }
    }
  }

  /** Whether the body can have flown to where it is since the latest sample. */
  #flew({ body, x, y }) {
    return Math.abs(drawnX(body, 0) - x[this.#head]) + Math.abs(drawnY(body, 0) - y[this.#head]) < BREAK_PX;
  }

  /** Begins a trail at its body, but clear of its outline; returns which sample is the next. */
  #begin(context, camera, { body, length, x: xs, y: ys }, last, lead) {
    const clear = length === SAMPLES ? CLEAR_PX : 0;
    const bodyX = drawnX(body, lead);
    const bodyY = drawnY(body, lead);
    let x = bodyX;
    let y = bodyY;
    let away = 0;
    let back = 0;
    for (; clear && back <= last; back++) {
      const i = (this.#head + SAMPLES - back) % SAMPLES;
      const next = Math.hypot(xs[i] - bodyX, ys[i] - bodyY);
      if (Number.isNaN(next)) break;
      if (next >= clear) {
        const share = (clear - away) / (next - away);
        x += (xs[i] - x) * share;
        y += (ys[i] - y) * share;
        break;
      }
      x = xs[i];
      y = ys[i];
      away = next;
    }
    context.moveTo(camera.toX(x), camera.toY(y));
    return back;
  }
}
