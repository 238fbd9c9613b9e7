// SPDX-License-Identifier: MIT

import { codewords, correction, formatBits, interleave, penalty, qr, versionBits } from '../qr.js';
import { equal, ok } from './check.js';

const bytes = text => new TextEncoder().encode(text);
const draw = (square, x, y, size) => square.slice(y, y + size)
  .map(row => row.slice(x, x + size).map(dark => dark ? '#' : '.').join(''));

const FINDER = ['#######', '#.....#', '#.###.#', '#.###.#', '#.###.#', '#.....#', '#######'];
const ALIGNMENT = ['#####', '#...#', '#.#.#', '#...#', '#####'];
const CAPACITY = [14, 26, 42, 62, 84, 106, 122, 152, 180, 213, 251, 287, 331, 362, 412];  // table 7, level M

export default {
  'the codewords of a text: mode, length, bytes, end and padding': () => {
    equal(codewords(bytes('Ada'), 1, 16),
      [0x40, 0x34, 0x16, 0x46, 0x10, 0xEC, 0x11, 0xEC, 0x11, 0xEC, 0x11, 0xEC, 0x11, 0xEC, 0x11, 0xEC]);
    equal(codewords(bytes('Ada'), 10, 6), [0x40, 0x00, 0x34, 0x16, 0x46, 0x10], 'a length of 16 bits');
    equal(codewords(bytes('x'.repeat(14)), 1, 16).length, 16, 'just full');
    equal(codewords(bytes('x'.repeat(15)), 1, 16), null, 'too long');
    equal(codewords(bytes('é'), 1, 4), [0x40, 0x2C, 0x3A, 0x90], 'UTF-8');
  },

  'Reed-Solomon gives the codewords of the standard’s own example, 01234567 in version 1-M (annex I)': () => {
    const data = [0x10, 0x20, 0x0C, 0x56, 0x61, 0x80, 0xEC, 0x11, 0xEC, 0x11, 0xEC, 0x11, 0xEC, 0x11, 0xEC, 0x11];
    equal(correction(data, 10), [0xA5, 0x24, 0xD4, 0xC1, 0xED, 0x36, 0xC7, 0x87, 0x2C, 0x55]);
  },

  'Reed-Solomon gives those of HELLO WORLD in version 1-M': () => {
    const data = [32, 91, 11, 120, 209, 114, 220, 77, 67, 64, 236, 17, 236, 17, 236, 17];
    equal(correction(data, 10), [196, 35, 39, 119, 235, 215, 231, 226, 93, 23]);
    equal(correction([0, 0, 0], 4), [0, 0, 0, 0], 'of nothing');
  },

  'blocks are dealt out in turn, the longer ones last': () => {
    const mixed = interleave([1, 2, 3, 4, 5, 6, 7], 2, 3);  // 1 2, 3 4, 5 6 7
    equal(mixed.slice(0, 7), [1, 3, 5, 2, 4, 6, 7], 'data');
    const parts = [correction([1, 2], 2), correction([3, 4], 2), correction([5, 6, 7], 2)];
    equal(mixed.slice(7), [0, 1].flatMap(i => parts.map(part => part[i])), 'correction');
  },

  'the format information of level M is that of annex C': () => {
    const known = ['101010000010010', '101000100100101', '101111001111100', '101101101001011',
      '100010111111001', '100000011001110', '100111110010111', '100101010100000'];
    equal(known.map((_, mask) => formatBits(mask).toString(2)), known);
  },

  'the version information is that of annex D': () => {
    equal([7, 8, 9, 10, 15].map(versionBits), [0x07C94, 0x085BC, 0x09A99, 0x0A4D3, 0x0F928]);
  },

  'a text takes the smallest version that holds it': () => {
    for (const [i, most] of CAPACITY.entries()) {
      const size = 21 + 4 * i;
      equal(qr('x'.repeat(most)).length, size, `${most} bytes`);
      if (i + 1 < CAPACITY.length) equal(qr('x'.repeat(most + 1)).length, size + 4, `${most + 1} bytes`);
    }
  },

  'a text that is too long is refused': () => {
    try {
      qr('x'.repeat(413));
    } catch (error) {
      return ok(error instanceof RangeError && error.message.includes('413'), error.message);
    }
    throw new Error('413 bytes were taken');
  },

  'every code is square and has its finders, timing and alignment patterns, and the dark module': () => {
    for (const length of CAPACITY) {
      const square = qr('x'.repeat(length));
      const size = square.length;
      ok(square.every(row => row.length === size && row.every(dark => typeof dark === 'boolean')), 'a full square');
      for (const [x, y] of [[0, 0], [size - 7, 0], [0, size - 7]]) equal(draw(square, x, y, 7), FINDER, `${x}, ${y}`);
      if (size > 21) equal(draw(square, size - 9, size - 9, 5), ALIGNMENT, 'the last alignment pattern');
      for (let i = 8; i < size - 8; i++) {
        equal([square[6][i], square[i][6]], [i % 2 === 0, i % 2 === 0], `timing at ${i}`);
      }
      for (let i = 0; i < 8; i++) ok(!square[7][i] && !square[i][7] && !square[7][size - 1 - i], 'a light margin');
      equal(square[size - 8][8], true, 'the dark module');
    }
  },

  'alignment patterns are where annex E has them': () => {
    for (const [length, lines] of [[26, [6, 18]], [122, [6, 22, 38]], [213, [6, 28, 50]], [362, [6, 26, 46, 66]],
      [412, [6, 26, 48, 70]]]) {
      const square = qr('x'.repeat(length));
      const outer = line => line === 6 || line === lines.at(-1);
      const corner = (x, y) => outer(x) && outer(y) && (x === 6 || y === 6);
      for (const x of lines) {
        for (const y of lines) if (!corner(x, y)) equal(draw(square, x - 2, y - 2, 5), ALIGNMENT, `${x}, ${y}`);
      }
    }
  },

  'both copies of the format information name the same mask': () => {
    for (let length = 1; length < 60; length += 7) {
      const square = qr('Spacewar'.repeat(8).slice(0, length));
      const size = square.length;
      const first = [[0, 8], [1, 8], [2, 8], [3, 8], [4, 8], [5, 8], [7, 8], [8, 8], [8, 7], [8, 5], [8, 4], [8, 3],
        [8, 2], [8, 1], [8, 0]];
      const second = [1, 2, 3, 4, 5, 6, 7, 8].map(i => [8, size - i])
        .concat([7, 6, 5, 4, 3, 2, 1].map(i => [size - i, 8]));
      const value = places => places.reduceRight((bits, [y, x]) => bits << 1 | square[y][x], 0);
      equal(value(first), value(second));
      ok([0, 1, 2, 3, 4, 5, 6, 7].some(mask => formatBits(mask) === value(first)), 'one of the eight');
    }
  },

  'the penalty counts lines, areas, what looks like a finder, and imbalance': () => {
    const square = (...rows) => rows.map(row => Array.from(row, character => character === '#'));
    equal(penalty(square('#.', '.#')), 0);
    equal(penalty(square('##', '##')), 3 + 100, 'an area, all dark');
    equal(penalty(square('######', '.#.#.#', '#.#.#.', '.#.#.#', '#.#.#.', '.#.#.#')), 4 + 10, 'a line of six');
    const chequered = Array.from({ length: 10 }, (_, y) => y % 2 ? '#.#.#.#.#.#' : '.#.#.#.#.#.');
    equal(penalty(square('#.#.#.#.#.#', ...chequered)), 0, 'a chequerboard');
    equal(penalty(square('#.###.#....', ...chequered)), 40, 'a finder in a row');
  },

  'the mask that is taken has little penalty': () => {
    const texts = Array.from({ length: 40 }, (_, i) => 'Spacewar '.repeat(9).slice(i, 2 * i + 2));
    const mean = texts.reduce((sum, text) => sum + penalty(qr(text)), 0) / texts.length;
    ok(mean < 500, `mean penalty ${mean}, where the first mask would give 530 and the worst 680`);
  },
};
