// SPDX-License-Identifier: MIT

// What ships look like: eight shapes and eight colours, which together tell pilots apart, also those
// who see few colours. A shape is a few polylines, x and y in turn, in px of the world: the nose points
// along x, as a ship with angle 0 does, and nothing is farther than 15 px from its middle. The needle
// and the wedge flew in 1962.

import { colourIndex, shapeIndex } from './looks.js';
import { PIECES } from './world.js';

const APART = 1_000;    // ms in which a piece of debris gets from its place in the ship to its true position

/** Distinct to all common kinds of colour vision and on near-black, and light enough to be read as text. */
export const COLOURS = ['#5cc8ff', '#ffb02e', '#3fe0a5', '#ff86c8', '#f4ec5a', '#ff7a45', '#8fa2ff', '#dfe9ea'];

/** What they are called, in the same order. */
export const COLOUR_NAMES = ['blue', 'amber', 'mint', 'pink', 'yellow', 'orange', 'lavender', 'white'];

/** The beam itself, before the phosphor colours it. */
export const CORE = '#dff1ff';

/** A name, the strokes, and where on the x axis the flame of the engine begins. */
export const SHAPES = [
  { name: 'needle', tail: -10, strokes: [
    [13, 0, 6, -2.6, -7, -2.6, -12, -6.5, -10, 0, -12, 6.5, -7, 2.6, 6, 2.6, 13, 0]] },
  { name: 'wedge', tail: -9, strokes: [
    [12, -2, 12, 2, -9, 10, -9, -10, 12, -2], [-9, -4.5, -3, 0, -9, 4.5]] },
  { name: 'swift', tail: -6, strokes: [
    [13, 0, 2, -3, -9, -12, -5, -2.5, -7, 0, -5, 2.5, -9, 12, 2, 3, 13, 0]] },
  { name: 'kite', tail: -12, strokes: [
    [12, 0, 3, -8.5, -12, 0, 3, 8.5, 12, 0], [3, -8.5, 3, 8.5]] },
  { name: 'twin', tail: -4, strokes: [
    [13, -6, -10, -9.5, -10, -4.5, 13, -6], [13, 6, -10, 9.5, -10, 4.5, 13, 6], [-3, -5, -3, 5]] },
  { name: 'saucer', tail: -9, strokes: [
    [9, -3.7, 3.7, -9, -3.7, -9, -9, -3.7, -9, 3.7, -3.7, 9, 3.7, 9, 9, 3.7, 9, -3.7], [9, 0, 14, 0],
    [3, 0, 0, -3.5, -3, 0, 0, 3.5, 3, 0]] },
  { name: 'claw', tail: -11, strokes: [
    [13, -5, 4, -10, -6, -8.5, -11, -3, -11, 3, -6, 8.5, 4, 10, 13, 5, 3, 5.5, -3, 2.5, -3, -2.5, 3, -5.5, 13, -5]] },
  { name: 'hammer', tail: -12, strokes: [
    [7, -10, 12, -7, 12, 7, 7, 10, 5, 2.5, -8, 2.5, -12, 5, -12, -5, -8, -2.5, 5, -2.5, 7, -10]] },
];

for (const shape of SHAPES) shape.wreck = breakUp(shape.strokes);

function shapeOf(look) {
  return SHAPES[shapeIndex(look)];
}

export function colourOf(look) {
  return COLOURS[colourIndex(look)];
}

/** Adds the outline of a ship at x, y to the path that is being built; `scale` is pixels per px of the world. */
export function traceShip(path, look, x, y, angle, scale) {
  const ahead = scale * Math.cos(angle);
  const aside = scale * Math.sin(angle);
  for (const points of shapeOf(look).strokes) tracePoints(path, points, x, y, ahead, aside);
}

/** Adds the flame of its engine, three tongues: with `flicker` from 0 to 1 the middle one grows, the others shrink. */
export function traceFlame(path, look, x, y, angle, scale, flicker) {
  const ahead = scale * Math.cos(angle);
  const aside = scale * Math.sin(angle);
  const from = shapeOf(look).tail - 2;
  for (let tongue = -1; tongue <= 1; tongue++) {
    const to = from - (tongue ? 8 - 4 * flicker : 9 + 8 * flicker);
    path.moveTo(x + from * ahead - 2 * tongue * aside, y + from * aside + 2 * tongue * ahead);
    path.lineTo(x + to * ahead - 0.6 * tongue * aside, y + to * aside + 0.6 * tongue * ahead);
  }
}

/** Adds what is left of a ship, the piece of that number of the world's debris. */
export function tracePiece(path, debris, x, y, angle, scale) {
  const part = shapeOf(debris.look).wreck[debris.piece];
  // A piece begins where it sat in the whole ship, and turns about its own middle.
  const start = debris.angle - debris.spin * debris.age;
  const apart = scale * Math.max(0, 1 - debris.age / APART);
  const cx = apart * (part.x * Math.cos(start) - part.y * Math.sin(start));
  const cy = apart * (part.x * Math.sin(start) + part.y * Math.cos(start));
  tracePoints(path, part.points, x + cx, y + cy, scale * Math.cos(angle), scale * Math.sin(angle));
}

/** Draws a ship on any canvas, its nose up; `size` is its length in pixels. */
export function drawShip(context, look, x, y, size) {
  const width = size / 16;
  context.save();
  context.lineJoin = context.lineCap = 'round';
  context.globalCompositeOperation = 'lighter';
  context.beginPath();
  traceShip(context, look, x, y, -Math.PI / 2, size / 26);
  stroke(context, colourOf(look), width * 4.5, 0.13);
  stroke(context, colourOf(look), width * 1.6, 0.72);
  stroke(context, CORE, width * 0.7, 0.42);
  context.restore();
}

/** One pass of the beam. */
export function stroke(context, colour, width, alpha) {
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.globalAlpha = alpha;
  context.stroke();
}

/** Adds a stroke, turned and scaled: `ahead` and `aside` are how far a px of its x axis goes along x and y. */
function tracePoints(path, points, x, y, ahead, aside) {
  for (let i = 0; i < points.length; i += 2) {
    const px = x + points[i] * ahead - points[i + 1] * aside;
    const py = y + points[i] * aside + points[i + 1] * ahead;
    if (i) path.lineTo(px, py);
    else path.moveTo(px, py);
  }
}

/** Cuts the first stroke, the hull, into pieces of equal length; each about its own middle. */
function breakUp([hull]) {
  const ends = [0];
  for (let i = 2; i < hull.length; i += 2) {
    ends.push(ends.at(-1) + Math.hypot(hull[i] - hull[i - 2], hull[i + 1] - hull[i - 1]));
  }
  const at = distance => {
    const next = Math.min(Math.max(1, ends.findIndex(end => end >= distance)), ends.length - 1);
    const share = (distance - ends[next - 1]) / (ends[next] - ends[next - 1]);
    return [0, 1].map(axis => hull[2 * next - 2 + axis] + share * (hull[2 * next + axis] - hull[2 * next - 2 + axis]));
  };
  return Array.from({ length: PIECES }, (_, piece) => {
    const [from, to] = [piece, piece + 1].map(n => ends.at(-1) * n / PIECES);
    const corners = ends.flatMap((end, i) => end > from && end < to ? [[hull[2 * i], hull[2 * i + 1]]] : []);
    const line = [at(from), ...corners, at(to * 0.9999)];
    const [x, y] = [0, 1].map(axis => line.reduce((sum, point) => sum + point[axis], 0) / line.length);
    return { x, y, points: line.flatMap(point => [point[0] - x, point[1] - y]) };
  });
}
