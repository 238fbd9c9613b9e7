// SPDX-License-Identifier: MIT

// The game's own stroke font: words as a beam would draw them, in straight strokes, on any path.
//
// A glyph stands on a grid with y down: capitals reach from 0 to 8, where the line is, and are as wide
// as their farthest point. It is written as strokes of two digits per point, x and y. Small letters are
// small capitals (which is also why ß is SS), and a letter with an accent is drawn as the letter and
// the accent that Unicode takes it apart into. What is not here is drawn as a small box.
//
// A line of text is laid out once and kept, as plain points, since most words stay on the screen for long.

import { stroke } from './ships.js';

const GLYPHS = {
  A: '083068 1555', B: '08004051534404 4455574808', C: '5140100107184857', D: '08003052563808',
  E: '50000858 0444', F: '500008 0444', G: '51401001071848575434', H: '0008 5058 0454', I: '0008', J: '4047381807',
  K: '0008 500458', L: '000848', M: '0800346068', N: '08005850', O: '104051574818070110', P: '08004051534404',
  Q: '104051574818070110 3659', R: '08004051534404 2458', S: '514010010314445557481807', T: '0060 3038',
  U: '000718485750', V: '003860', W: '0028426880', X: '0058 5008', Y: '003460 3438', Z: '00500858',
  0: '103041473818070110', 1: '022028', 2: '01104051530858', 3: '01104051534424 445557481807', 4: '48400656',
  5: '500003435457481807', 6: '514010010718485755441405', 7: '005028',
  8: '14030110405153441405071848575544', 9: '071848575140100103144453',
  '.': '0708', ',': '1709', ':': '0203 0708', ';': '1213 1709', '!': '0005 0708', '?': '01104051533435 3738',
  '-': '0444', '–': '0454', '—': '0484', '_': '0858', '+': '0444 2226', '=': '0343 0646', '/': '0850', '\\': '0058',
  '|': '0009', '(': '20020628', ')': '00222608', '[': '20000828', ']': '00202808', '{': '20111304151728',
  '}': '00111324151708', '<': '410447', '>': '014407', '*': '2127 0246 0642', '#': '1008 4038 0252 0656',
  '%': '0850 0010110100 4757584847', '&': '581201103041420607183855', '@': '4323254543465651401001071848',
  $: '514010010314445557481807 2028', '^': '022042', '~': '05143544', '`': '0011', '\'': '0002', '"': '0002 2022',
  '·': '0405', '•': '04050515140405', '…': '0708 2728 4748', '×': '0246 4206', '°': '102122120110',
  '¡': '0001 0308',
  '¿': '47481807052423 2120', '→': '0464 426446', '←': '0464 220426', '↑': '2028 022042', '↓': '2028 062846',
  Ø: '104051574818070110 0850', Æ: '084090 4898 4484 4048 2545',
  Œ: '901001071898 5058 5484', Ð: '08003052563808 0434',
  Þ: '0008 0242535546 06', Ł: '000848 0633',
};

// Accents, on a grid of their own with the letter's middle at 2: those above come close over the letter,
// those below hang from the line.
const ABOVE = {
  '\u0300': '1122', '\u0301': '3122', '\u0302': '022042', '\u0303': '02113241', '\u0304': '0141', '\u0306': '00113140',
  '\u0307': '2122', '\u0308': '0102 4142', '\u030a': '2031221120', '\u030b': '2112 4132', '\u030c': '002240',
};
const BELOW = { '\u0327': '20313212', '\u0328': '20121323', '\u0323': '1222' };

const ALIKE = {
  '’': '\'', '‘': '\'', '“': '"', '”': '"', '„': '"', '‐': '-', '‑': '-', '−': '–', Đ: 'Ð',
};
const CAP = 8;            // grid units from the line to the top of a capital
const SMALL = 0.78;       // of a small capital
const GAP = 2.4;          // between letters
const SPACE = 3.2;        // the width of a space
const EM = 10.8;          // grid units of the browser's font, whose capitals are then as high as ours
const FAMILY = 'system-ui, sans-serif';
const UNKNOWN = 8;        // grid units that a letter takes where there is no browser to ask
const LAYOUTS_KEPT = 400;  // lines of text laid out and kept

const SEGMENTER = globalThis.Intl?.Segmenter ? new Intl.Segmenter() : null;

const layouts = new Map();
let measuring = null;     // a canvas that is never seen

/** The width of a line of text whose capitals are `size` high. */
export function textWidth(text, size) {
  return layout(text).width * size / CAP;
}

/**
 * Adds a line of text to the path that is being built, from x to the right, standing on y; but not what has no
 * strokes, which writeForeign() writes.
 */
export function traceText(path, text, x, y, size) {
  const { points } = layout(text);
  const scale = size / CAP;
  let pen = false;
  for (let i = 0; i < points.length; i += 2) {
    const px = x + points[i] * scale;
    const py = y + points[i + 1] * scale;
    if (Number.isNaN(px)) pen = false;      // the beam is off on its way to the next stroke
    else if (pen) path.lineTo(px, py);
    else {
      path.moveTo(px, py);
      pen = true;
    }
  }
}

function layout(text) {
  let line = layouts.get(text);
  if (!line) {
    if (layouts.size >= LAYOUTS_KEPT) layouts.clear();
    layouts.set(text, line = set(text));
  }
  return line;
}

/**
 * Sets a line: its points in grid units from the start of the line, x and y in turn, NaN between strokes. In
 * between stand runs that have no strokes, { text, x }, since scripts join their letters in ways of their own.
 */
function set(text) {
  const points = [];
  const foreign = [];
  let x = 0;
  for (const [run, known] of runsOf(text)) {
    if (known) x = setKnown(points, run, x);
    else {
      foreign.push({ text: run, x });
      x += measure(run) + GAP;
    }
  }
  return { points: Float32Array.from(points), foreign, width: Math.max(0, x - GAP) };
}

/** The runs of a text that have strokes or have none; spaces among the latter belong to them. */
function runsOf(text) {
  const runs = [];
  let spaces = '';
  for (const cluster of clustersOf(text)) {
    const known = hasStrokes(cluster);
    const last = runs.at(-1);
    if (cluster === ' ' && last && !last[1]) {
      spaces += cluster;
      continue;
    }
    if (last?.[1] === known) last[0] += known ? cluster : spaces + cluster;
    else runs.push([known ? spaces + cluster : cluster, known]);
    spaces = '';
  }
  if (spaces) runs.push([spaces, true]);
  return runs;
}

/** What a reader takes for one letter each, which no line may be cut within. */
export function clustersOf(text) {
  return SEGMENTER ? Array.from(SEGMENTER.segment(text), ({ segment }) => segment) : Array.from(text);
}

function hasStrokes(cluster) {
  return [...cluster.normalize('NFD')].every(character => character === ' ' || character in ABOVE
    || character in BELOW || [...character.toUpperCase()].every(letter => (ALIKE[letter] ?? letter) in GLYPHS));
}

/** How wide a run is in the browser's font, in grid units. */
function measure(run) {
  if (!globalThis.document) return UNKNOWN * clustersOf(run).length;
  measuring ??= document.createElement('canvas').getContext('2d');
  measuring.font = `100px ${FAMILY}`;
  return measuring.measureText(run).width * EM / 100;
}

/** Sets a run that has strokes, from x on; returns where the next one begins. */
function setKnown(points, text, x) {
  let scale = 1;
  let width = 0;      // of the latest letter, on which accents may follow
  for (const character of text.normalize('NFD')) {
    if (/\p{M}/u.test(character)) {
      const middle = x - GAP * scale - width / 2 - 2 * scale;
      if (character in ABOVE) draw(points, ABOVE[character], middle, -(CAP + 3.6) * scale, scale);
      if (character in BELOW) draw(points, BELOW[character], middle, 0, scale);
      continue;
    }
    const capitals = character.toUpperCase();
    scale = capitals === character ? 1 : SMALL;
    for (const letter of capitals) {
      width = letter.trim() ? draw(points, GLYPHS[ALIKE[letter] ?? letter], x, -CAP * scale, scale) : SPACE;
      x += width + GAP * scale;
    }
  }
  return x + GAP * (1 - scale);
}

/** Adds strokes to points and returns how wide they are. */
function draw(points, strokes, left, top, scale) {
  let width = 0;
  for (const stroke of strokes.split(' ')) {
    for (let i = 0; i < stroke.length; i += 2) {
      width = Math.max(width, +stroke[i]);
      points.push(left + stroke[i] * scale, top + stroke[i + 1] * scale);
    }
    points.push(NaN, NaN);
  }
  return width * scale;
}

/** Strokes a line of text in a colour, standing on y. Done twice, a hairline is as bold as words should be. */
export function writeText(context, text, x, y, size, colour, alpha = 1) {
  context.beginPath();
  traceText(context, text, x, y, size);
  stroke(context, colour, 1, alpha);
  context.stroke();
  writeForeign(context, text, x, y, size, colour, alpha);
}

/** Writes those parts of a line that have no strokes, in the browser's font. */
export function writeForeign(context, text, x, y, size, colour, alpha = 1) {
  const { foreign } = layout(text);
  if (!foreign.length) return;
  const scale = size / CAP;
  context.font = `${EM * scale}px ${FAMILY}`;
  context.fillStyle = colour;
  context.globalAlpha = alpha;
  for (const run of foreign) context.fillText(run.text, x + run.x * scale, y);
}
