// SPDX-License-Identifier: MIT

// The afterglow. The screen of the PDP-1 had P7 phosphor: it flashed blue-white under the beam and
// went on to glow yellow-green for seconds. Here every ship and missile leaves its way behind, in the
// world's coordinates, so that a moving camera smears nothing.
//
// All trails take a sample at the same time and so share one index into their rings: what lies n
// samples back is equally old in each. That lets us draw the trails of all bodies together, one band of
// age after the other, in as few strokes as there are bands. Where there was no body, the sample is NaN.
// The trail of a body that is gone ages on until it is empty.

const EVERY = 40;           // ms of the world between samples
const LENGTH = 48;          // samples kept of a ship ...
const SHORT = 20;           // ... and drawn of a missile
const LEAP = 90;            // px between samples: the body did not fly there
const BANDS = [             // from sample to sample: colour, css px, alpha
  { to: 4, colour: '#a9e6ea', width: 1.5, alpha: 0.5 },
  { to: 9, colour: '#a6dfae', width: 1.4, alpha: 0.36 },
  { to: 16, colour: '#a9d27e', width: 1.3, alpha: 0.26 },
  { to: 26, colour: '#a3c25c', width: 1.2, alpha: 0.17 },
  { to: 36, colour: '#93ad4c', width: 1.1, alpha: 0.11 },
  { to: LENGTH - 1, colour: '#7f9a42', width: 1, alpha: 0.065 },
];

export class Trails {
  #trails = [];
  #spare = [];
  #byBody = new Map();
  #head = 0;              // index of the latest sample in all rings
  #sampledAt = -Infinity;

  /** Takes samples when it is time. */
  follow(world) {
    if (world.time - this.#sampledAt < EVERY) return;
    this.#sampledAt = world.time - world.time % EVERY;
    this.#head = (this.#head + 1) % LENGTH;
    for (const trail of this.#trails) trail.seen = false;
    for (const ship of world.ships.values()) this.#sample(ship, ship.state === 'flying', LENGTH);
    for (const missile of world.missiles) this.#sample(missile, true, SHORT);
    for (let i = this.#trails.length - 1; i >= 0; i--) this.#outlive(this.#trails[i], i);
  }

  #sample(body, there, length) {
    let trail = this.#byBody.get(body);
    if (!trail) {
      trail = this.#spare.pop() ?? { body, x: new Float32Array(LENGTH), y: new Float32Array(LENGTH) };
      trail.x.fill(NaN);
      Object.assign(trail, { body, length, left: LENGTH });
      this.#byBody.set(body, trail);
      this.#trails.push(trail);
    }
    const last = (this.#head + LENGTH - 1) % LENGTH;
    const x = body.x + (body.dx ?? 0);
    const y = body.y + (body.dy ?? 0);
    const leapt = Math.abs(x - trail.x[last]) + Math.abs(y - trail.y[last]) > LEAP;
    trail.x[this.#head] = there && !leapt ? x : NaN;
    trail.y[this.#head] = y;
    trail.there = there;
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
    let from = 0;
    for (const band of BANDS) {
      context.beginPath();
      for (const trail of this.#trails) this.#trace(context, camera, trail, from, Math.min(band.to, trail.length - 1), lead);
      context.strokeStyle = band.colour;
      context.lineWidth = band.width;
      context.globalAlpha = band.alpha;
      context.stroke();
      from = band.to;
    }
    context.globalAlpha = 1;
  }

  #trace(context, camera, trail, from, to, lead) {
    const { body } = trail;
    let pen = false;
    if (from === 0 && trail.there) {
      context.moveTo(camera.toX(body.x + (body.dx ?? 0) + body.vx * lead), camera.toY(body.y + (body.dy ?? 0) + body.vy * lead));
      pen = true;
    }
    for (let back = from; back <= to; back++) {
      const i = (this.#head + LENGTH - back) % LENGTH;
      const x = trail.x[i];
      if (x !== x) pen = false;
      else if (pen) context.lineTo(camera.toX(x), camera.toY(trail.y[i]));
      else {
        context.moveTo(camera.toX(x), camera.toY(trail.y[i]));
        pen = true;
      }
    }
  }
}
