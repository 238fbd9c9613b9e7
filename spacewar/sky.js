// SPDX-License-Identifier: MIT

// What is always there: stars in three depths, the sun, and the circle at which space begins to pull
// back. Stars drift slowly and go along with the camera by as much as they are near; each depth wraps
// around the screen's edges, so that there are as many on every screen, wherever one looks. The glow
// of the sun is made once, with a little noise against the bands that so dark a gradient would show.

import { BOUNDARY, SUN } from './physics.js';
import { random } from './random.js';
import { stroke } from './ships.js';

const TAU = 2 * Math.PI;
const DEPTHS = [          // stars per million css px², css px across, share of the camera's way, css px of drift per s
  { density: 90, size: 1.1, colour: '#41605e', share: 0.04, drift: 0.8 },
  { density: 45, size: 1.4, colour: '#6d9092', share: 0.1, drift: 1.7 },
  { density: 16, size: 1.9, colour: '#bcd8d8', share: 0.2, drift: 3 },
];
const MOST_STARS = 600; // stars of one depth
const GLOW_PX = 190;    // px around the sun that its light is seen
const RAYS = 56;
const DOTS = 360;                                                    // of the boundary
const FIRE = '#ffb45a';

export class Sky {
  #stars = DEPTHS.map((depth, n) => {
    const chance = random(1962 + n);
    return Float32Array.from({ length: 3 * MOST_STARS }, (_, i) => i % 3 < 2 ? chance() : 0.7 + 0.6 * chance() ** 3);
  });
  #boundary = Float32Array.from({ length: 2 * DOTS }, (_, i) => {      // x and y in turn
    const angle = TAU * Math.floor(i / 2) / DOTS;
    return BOUNDARY * (i % 2 ? Math.sin(angle) : Math.cos(angle));
  });
  #rays = Float32Array.from({ length: 3 * RAYS }, random(61));
  #glow = glowOf(GLOW_PX);
  #fitting = null;        // the same in the size it is drawn ...
  #size = 0;              // ... which is this many pixels, as of the latest frame

  draw(context, camera, time, reducedMotion, ratio) {
    this.#drawStars(context, camera, reducedMotion ? 0 : time / 1000, reducedMotion);
    this.#drawBoundary(context, camera);
    this.#drawSun(context, camera, reducedMotion ? 0 : time / 1000, ratio);
  }

  #drawStars(context, { x, y, width, height }, seconds, reducedMotion) {
    context.globalCompositeOperation = 'source-over';
    context.globalAlpha = 1;
    for (let n = 0; n < DEPTHS.length; n++) {
      const { density, size, colour, share, drift } = DEPTHS[n];
      const stars = this.#stars[n];
      const count = 3 * Math.min(MOST_STARS, Math.round(density * width * height / 1e6));
      const left = (reducedMotion ? 0 : x * share) + drift * seconds;
      const top = reducedMotion ? 0 : y * share;
      context.fillStyle = colour;
      for (let i = 0; i < count; i += 3) {
        const across = size * stars[i + 2];
        context.fillRect(wrap(stars[i] * (width + 4) - left, width + 4) - 2,
          wrap(stars[i + 1] * (height + 4) - top, height + 4) - 2, across, across);
      }
    }
  }

  #drawBoundary(context, camera) {
    context.fillStyle = '#4d6f6c';
    for (let i = 0; i < 2 * DOTS; i += 2) {
      const x = camera.toX(this.#boundary[i]);
      const y = camera.toY(this.#boundary[i + 1]);
      if (camera.sees(x, y)) context.fillRect(x - 0.7, y - 0.7, 1.4, 1.4);
    }
  }

  /** As in 1962 the sun is a bundle of lines through its middle, which turn slowly and breathe. */
  #drawSun(context, camera, seconds, ratio) {
    const x = camera.toX(0);
    const y = camera.toY(0);
    const { scale } = camera;
    if (!camera.sees(x, y, GLOW_PX * scale)) return;
    context.globalCompositeOperation = 'lighter';
    this.#drawGlow(context, x, y, GLOW_PX * scale, ratio);
    context.lineCap = 'round';
    context.beginPath();
    this.#traceRays(context, x, y, scale, seconds, 1);
    stroke(context, '#ffc274', 1, 0.5);
    context.beginPath();
    this.#traceRays(context, x, y, 0.62 * scale, seconds, 2);
    stroke(context, '#ffe7c4', 1, 0.55);
    context.beginPath();
    context.arc(x, y, SUN * scale, 0, TAU);
    stroke(context, FIRE, 1, 0.26);
    context.globalAlpha = 1;
  }

  #traceRays(context, x, y, scale, seconds, every) {
    for (let i = 0; i < RAYS; i += every) {
      const angle = TAU * (i + 0.7 * this.#rays[3 * i]) / RAYS + seconds * 0.03;
      const breath = Math.sin(seconds * (0.3 + 0.6 * this.#rays[3 * i + 1]) + 9 * this.#rays[3 * i + 2]);
      const reach = SUN * (1.02 + 0.42 * this.#rays[3 * i + 2] ** 2 + 0.1 * breath) * scale;
      const inner = SUN * 0.1 * scale;
      context.moveTo(x + inner * Math.cos(angle), y + inner * Math.sin(angle));
      context.lineTo(x + reach * Math.cos(angle), y + reach * Math.sin(angle));
    }
  }

  /** Stretching a picture costs as much as all ships, so it is kept at the size that it is needed in. */
  #drawGlow(context, x, y, radius, ratio) {
    const size = Math.round(2 * radius * ratio);
    if (size !== this.#size) this.#size = size;      // zooming: not worth keeping
    else if (this.#fitting?.width !== size) this.#fitting = resized(this.#glow, size);
    const picture = this.#fitting?.width === size ? this.#fitting : this.#glow;
    const left = Math.round((x - radius) * ratio) / ratio;      // whole pixels
    const top = Math.round((y - radius) * ratio) / ratio;
    context.drawImage(picture, left, top, size / ratio, size / ratio);
  }
}

function wrap(value, size) {
  return value - Math.floor(value / size) * size;
}

function resized(picture, size) {
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = size;
  canvas.getContext('2d').drawImage(picture, 0, 0, size, size);
  return canvas;
}

/** The sun's light as something to add to the picture. Written for speed: the first frame waits for it. */
function glowOf(radius) {
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = 2 * radius;
  const context = canvas.getContext('2d');
  const image = context.createImageData(canvas.width, canvas.height);
  const { data } = image;
  const chance = random(4);
  let i = 0;
  for (let y = 0.5 - radius; y < radius; y++) {
    for (let x = 0.5 - radius; x < radius; x++) {
      const square = x * x + y * y;
      if (square < radius * radius) {
        const rim = 1 - Math.sqrt(square) / radius;
        const halo = 51 * rim * rim * rim;
        const glow = 107.1 * Math.exp(-square / 1_600);
        const heart = 204 * Math.exp(-square / 121);
        const noise = chance() - 0.5;
        data[i] = 0.95 * halo + glow + heart + noise;                  // red
        data[i + 1] = 0.6 * halo + 0.55 * glow + 0.9 * heart + noise;  // green
        data[i + 2] = 0.3 * halo + 0.16 * glow + 0.7 * heart + noise;  // blue
        data[i + 3] = 255;
      }
      i += 4;
    }
  }
  context.putImageData(image, 0, 0);
  return canvas;
}
