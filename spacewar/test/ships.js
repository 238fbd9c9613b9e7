// SPDX-License-Identifier: MIT

// What ships look like, traced on a path that only remembers.

import { LOOKS, colourIndex, lookOf, nextColour, otherLook, shapeIndex } from '../looks.js';
import { COLOURS, COLOUR_NAMES, SHAPES, colourOf, tracePiece, traceShip,
} from '../ships.js';
import { PIECES } from '../world.js';
import { equal, near, ok } from './check.js';

const GROUND = '#020a0b';
const RADIUS = 15;       // px
const CONTRAST = 4.5;    // to one, of what is to be read: WCAG 2, 1.4.3

export default {
  'there are eight shapes and eight colours, each with a name of its own': () => {
    equal([SHAPES.length, COLOURS.length, COLOUR_NAMES.length], [8, 8, 8]);
    equal(new Set([...SHAPES.map(({ name }) => name), ...COLOUR_NAMES]).size, 16);
    equal(new Set(COLOURS).size, 8);
  },

  'a look is a shape and a colour, and practice ships share neither with their pilot nor with one another': () => {
    for (let look = 0; look < LOOKS; look++) {
      equal([lookOf(shapeIndex(look), colourIndex(look)), colourOf(look)], [look, COLOURS[colourIndex(look)]]);
      const looks = [look, ...[1, 2, 3].map(n => otherLook(look, n))];
      for (const part of [shapeIndex, colourIndex]) equal(new Set(looks.map(part)).size, 4, `of ${looks}`);
      ok(looks.every(one => one >= 0 && one < LOOKS), `${looks}`);
    }
  },

  'a colour is light enough to be read as text': () => {
    for (const colour of COLOURS) {
      const contrast = (luminance(colour) + 0.05) / (luminance(GROUND) + 0.05);
      ok(contrast >= CONTRAST, `${colour} has ${contrast} : 1`);
    }
  },

  'no shape reaches farther than its radius, and its nose is ahead': () => {
    SHAPES.forEach(({ name, tail }, look) => {
      const points = trace(path => traceShip(path, look, 0, 0, 0, 1)).flat();
      const farthest = Math.max(...points.map(([x, y]) => Math.hypot(x, y)));
      ok(farthest > 10 && farthest <= RADIUS, `${name} reaches ${farthest} px`);
      ok(Math.max(...points.map(([x]) => x)) > 10, `the nose of ${name}`);
      ok(tail < 0 && tail >= Math.min(...points.map(([x]) => x)), `the flame of ${name}`);
    });
  },

  'a shape is the same on both sides': () => {
    SHAPES.forEach(({ name }, look) => {
      const points = trace(path => traceShip(path, look, 0, 0, 0, 1)).flat().map(([x, y]) => `${x},${y + 0}`);
      for (const point of points) {
        const [x, y] = point.split(',');
        ok(points.includes(`${x},${-y + 0}`), `${name} at ${point}`);
      }
    });
  },

  'any two shapes are apart somewhere by a tenth of a ship': () => {
    const outlines = SHAPES.map((_, look) => along(trace(path => traceShip(path, look, 0, 0, 0, 1)), 50));
    for (let a = 0; a < outlines.length; a++) {
      for (let b = 0; b < a; b++) {
        const distance = Math.max(farthest(outlines[a], outlines[b]), farthest(outlines[b], outlines[a]));
        ok(distance > 2.6, `${SHAPES[a].name} and ${SHAPES[b].name} are ${distance} px apart`);
      }
    }
  },

  'a ship is drawn where, as large and as turned as it is said to be': () => {
    const [[[x, y]]] = trace(path => traceShip(path, 0, 100, 200, Math.PI / 2, 2));
    near(x, 100, 1e-9);
    near(y, 226, 1e-9, 'the nose of the needle, 13 px ahead');
  },

  'what a ship breaks into is its hull': () => {
    SHAPES.forEach(({ name }, look) => {
      const [hull] = trace(path => traceShip(path, look, 0, 0, 1, 1));
      const pieces = Array.from({ length: PIECES }, (_, piece) => trace(path =>
        tracePiece(path, { look, piece, angle: 1, spin: 0.01, age: 0 }, 0, 0, 1, 1))).flat();
      equal(pieces.length, PIECES, name);
      const length = pieces.reduce((sum, piece) => sum + lengthOf(piece), 0);
      near(length, lengthOf(hull), 0.1, `the length of ${name}`);
      for (const points of pieces) near(farthest(points, along([hull])), 0, 0.1, `${name}, from its hull`);
    });
  },
};

/** The strokes that are drawn: lists of points. */
function trace(draw) {
  const strokes = [];
  draw({
    moveTo: (...point) => strokes.push([point]),
    lineTo: (...point) => strokes.at(-1).push(point),
  });
  return strokes;
}

const distance = ([ax, ay], [bx, by]) => Math.sqrt((ax - bx) ** 2 + (ay - by) ** 2);   // hypot takes ten times as long

function lengthOf(points) {
  return points.reduce((sum, point, i) => i ? sum + distance(points[i - 1], point) : 0, 0);
}

/** Points along strokes, so many on each line: a fraction of a px apart. */
function along(strokes, count = 200) {
  return strokes.flatMap(points => points.slice(1).flatMap(([x, y], i) => Array.from({ length: count }, (_, n) =>
    [points[i][0] + (x - points[i][0]) * n / (count - 1), points[i][1] + (y - points[i][1]) * n / (count - 1)])));
}

/** How far a point of some can be from all of the others. */
function farthest(some, others) {
  return Math.max(...some.map(point => Math.min(...others.map(other => distance(point, other)))));
}

/** WCAG 2: how bright a colour is, from 0 to 1. */
function luminance(colour) {
  const [r, g, b] = [1, 3, 5].map(i => parseInt(colour.slice(i, i + 2), 16) / 255)
    .map(value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
