// SPDX-License-Identifier: MIT

// The stroke font, traced on a path that only remembers.

import { equal, near, ok } from './check.js';
import { clustersOf, textWidth, traceText, writeText } from '../font.js';

export default {
  'every printable character of ASCII but the space has strokes of its own': () => {
    for (let code = 33; code < 127; code++) {
      const letter = String.fromCharCode(code);
      const strokes = trace(letter);
      ok(strokes.length > 0, letter);
      ok(strokes.every(points => points.length > 1), `each stroke of ${letter} has two points`);
    }
  },

  'a capital stands on the line and is as high as it was asked to be': () => {
    const ys = trace('H', 10, 100, 12).flat().map(([, y]) => y);
    equal([Math.min(...ys), Math.max(...ys)], [88, 100]);
  },

  'no two letters or digits look the same': () => {
    const seen = new Map();
    for (const letter of 'ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789') {
      const strokes = JSON.stringify(trace(letter));
      ok(!seen.has(strokes), `${letter} differs from ${seen.get(strokes)}`);
      seen.set(strokes, letter);
    }
  },

  'small letters are the capitals, smaller': () => {
    const height = text => Math.max(...trace(text).flat().map(([, y]) => -y));
    equal(trace('e').length, trace('E').length);
    near(height('e') / height('E'), 0.78, 1e-6, 'their height');
  },

  'an accent goes over, under or through its letter and makes it no wider': () => {
    for (const pair of ['éE', 'üU', 'öO', 'äA', 'ñN', 'åA', 'çC', 'ÉE', 'šS', 'ýY']) {
      const [letter, base] = pair;
      const plain = letter === letter.toUpperCase() ? base : base.toLowerCase();
      equal(textWidth(letter, 8), textWidth(plain, 8), letter);
      ok(trace(letter).length > trace(plain).length, `${letter} has more strokes than ${plain}`);
      equal(trace(letter), trace(letter.normalize('NFD')), `${letter}, composed or not`);
    }
    for (const letter of 'øØæÆœłđðþ') ok(trace(letter).length > 0, letter);
  },

  'ß is two letters': () => equal(trace('ß'), trace('ss')),

  'what it does not know is written in the browser’s font, each run as a whole': () => {
    const written = [];
    const context = { beginPath() {}, moveTo() {}, lineTo() {}, stroke() {},
      fillText: (...args) => written.push(args) };
    writeText(context, 'Ada shot 漢字 仮名 · مرحبا بك', 10, 20, 8, '#fff');
    equal(written.map(([text, , y]) => [text, y]), [['漢字 仮名', 20], ['مرحبا بك', 20]]);
    near(written[0][1], 10 + textWidth('Ada shot ', 8) + 2.4, 0.1, 'where it begins');
    ok(textWidth('漢字', 8) > 1.5 * textWidth('漢', 8) && textWidth('漢', 8) > 4, 'as wide as it is there');
    equal([trace('漢字'), trace('a漢').length], [[], trace('a').length], 'strokes');
  },

  'what is one letter to a reader is not cut': () => {
    equal(clustersOf('né🏳️‍🌈की'), ['n', 'é', '🏳️‍🌈', 'की']);
  },

  'a line is as wide as it is drawn, whatever its size': () => {
    const text = 'Ada shot down Bo: 12';
    const xs = trace(text, 0, 0, 16).flat().map(([x]) => x);
    near(Math.max(...xs), textWidth(text, 16), 1e-4);
    near(textWidth(text, 32), 2 * textWidth(text, 16), 1e-9);
    equal([textWidth('', 8), textWidth('A ', 8) > textWidth('A', 8)], [0, true]);
  },

  'it stays right when more lines were set than it keeps': () => {
    const before = trace('steady');
    for (let i = 0; i < 1000; i++) textWidth(`line ${i}`, 8);
    equal(trace('steady'), before);
  },
};

/** The strokes of a text: lists of points. */
function trace(text, x = 0, y = 0, size = 8) {
  const strokes = [];
  traceText({
    moveTo: (...point) => strokes.push([point]),
    lineTo: (...point) => strokes.at(-1).push(point),
  }, text, x, y, size);
  return strokes;
}
