// SPDX-License-Identifier: MIT

// What is always there: stars in three depths, the sun, and the circle at which space begins to pull
// back. Stars drift slowly and go along with the camera by as much as they are near; each depth wraps
// around the screen's edges, so that there are as many on every screen, wherever one looks. The glow
// of the sun is made once, with a little noise against the bands that so dark a gradient would show.

import { BOUNDARY, SUN } from './physics.js';
import { CORE, stroke } from './ships.js';
import { random } from './world.js';

const TAU = 2 * Math.PI;
const DEPTHS = [          // stars per million css px², css px across, share of the camera's way, css px of drift per s
  { density: 90, size: 1.1, colour: '#35504f', share: 0.04, drift: 0.8 },
  { density: 45, size: 1.4, colour: '#5d7f80', share: 0.1, drift: 1.7 },
  { density: 14, size: 1.8, colour: '#a9c8c9', share: 0.2, drift: 3 },
];
const MOST = 600;         // stars of one depth
const GLOW = 190;         // px around the sun that its light is seen
const RAYS = 40;
const DOTS = 360;         // of the boundary
const AMBER = '#ffb45a';

export class Sky {
  #stars = DEPTHS.map((depth, n) => {
    const chance = random(1962 + n);
    return Float32Array.from({ length: 3 * MOST }, (_, i) => i % 3 < 2 ? chance() : 0.7 + 0.6 * chance() ** 3);
  });
  #circle = Float32Array.from({ length: 2 * DOTS }, (_, i) => BOUNDARY * Math.sin(TAU * (i >> 1) / DOTS + i % 2 * TAU / 4));
  #rays = Float32Array.from({ length: 3 * RAYS }, random(61));
  #glow = glowOf(GLOW);

  draw(context, camera, time, still) {
    this.#drawStars(context, camera, still ? 0 : time / 1000, still);
    this.#drawBoundary(context, camera);
    this.#drawSun(context, camera, still ? 0 : time / 1000);
  }

  #drawStars(context, { x, y, width, height }, seconds, still) {
    context.globalCompositeOperation = 'source-over';
    context.globalAlpha = 1;
    DEPTHS.forEach(({ density, size, colour, share, drift }, n) => {
      const stars = this.#stars[n];
      const count = 3 * Math.min(MOST, Math.round(density * width * height / 1e6));
      const left = (still ? 0 : x * share) + drift * seconds;
      const top = still ? 0 : y * share;
      context.fillStyle = colour;
      for (let i = 0; i < count; i += 3) {
        const across = size * stars[i + 2];
        context.fillRect(wrap(stars[i] * (width + 4) - left, width + 4) - 2,
          wrap(stars[i + 1] * (height + 4) - top, height + 4) - 2, across, across);
      }
    });
  }

  #drawBoundary(context, camera) {
    context.fillStyle = '#4d6f6c';
    for (let i = 0; i < 2 * DOTS; i += 2) {
      const x = camera.toX(this.#circle[i]);
      const y = camera.toY(this.#circle[i + 1]);
      if (camera.sees(x, y)) context.fillRect(x - 0.7, y - 0.7, 1.4, 1.4);
    }
  }

  #drawSun(context, camera, seconds) {
    const x = camera.toX(0);
    const y = camera.toY(0);
    const { scale } = camera;
    if (!camera.sees(x, y, GLOW * scale)) return;
    context.globalCompositeOperation = 'lighter';
    context.drawImage(this.#glow, x - GLOW * scale, y - GLOW * scale, 2 * GLOW * scale, 2 * GLOW * scale);
    context.lineCap = 'round';
    // The corona: short strokes around the edge, each of which breathes at its own slow pace.
    context.beginPath();
    for (let i = 0; i < RAYS; i++) {
      const angle = TAU * (i + 0.5 * this.#rays[3 * i]) / RAYS + seconds * 0.02;
      const breath = Math.sin(seconds * (0.25 + 0.5 * this.#rays[3 * i + 1]) + 9 * this.#rays[3 * i + 2]);
      const from = SUN * 0.98 * scale;
      const to = SUN * (1.2 + 0.34 * this.#rays[3 * i + 2] + 0.13 * breath) * scale;
      context.moveTo(x + from * Math.cos(angle), y + from * Math.sin(angle));
      context.lineTo(x + to * Math.cos(angle), y + to * Math.sin(angle));
    }
    stroke(context, AMBER, 3.4, 0.12);
    stroke(context, '#ffcf8f', 1.1, 0.6);
    // The heart, as in 1962: lines through the middle, turning.
    context.beginPath();
    for (let i = 0; i < 7; i++) {
      const angle = TAU / 2 * (i + 0.6 * this.#rays[i]) / 7 - seconds * 0.11;
      const reach = SUN * (0.5 + 0.22 * Math.sin(seconds * (0.5 + 0.4 * this.#rays[i + 9]) + i)) * scale;
      context.moveTo(x - reach * Math.cos(angle), y - reach * Math.sin(angle));
      context.lineTo(x + reach * Math.cos(angle), y + reach * Math.sin(angle));
    }
    stroke(context, AMBER, 4, 0.2);
    stroke(context, CORE, 1, 0.55);
    context.globalAlpha = 1;
  }
}

function wrap(value, size) {
  return value - Math.floor(value / size) * size;
}

/** The sun's light as something to add to the picture. */
function glowOf(radius) {
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = 2 * radius;
  const context = canvas.getContext('2d');
  const image = context.createImageData(canvas.width, canvas.height);
  const noise = random(4);
  for (let i = 0; i < image.data.length; i += 4) {
    const n = i / 4;
    const r = Math.hypot(n % canvas.width + 0.5 - radius, Math.floor(n / canvas.width) + 0.5 - radius);
    const rim = Math.max(0, 1 - r / radius);
    const wide = rim ** 3 * 0.2;
    const near = Math.exp(-((r / 34) ** 2)) * 0.5;
    const disc = 0.28 / (1 + Math.exp((r - SUN) * 1.3));
    const light = [wide * 0.95 + near + disc, wide * 0.62 + near * 0.6 + disc * 0.66, wide * 0.34 + near * 0.22 + disc * 0.3];
    light.forEach((value, channel) => image.data[i + channel] = value * 255 + noise() - 0.5);
    image.data[i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
  return canvas;
}
