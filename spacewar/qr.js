// SPDX-License-Identifier: MIT

// A QR code of a text, after ISO/IEC 18004, as small as the text allows. The way there has five
// steps, in the order of this file: the text becomes codewords (bytes); codewords for error
// correction are added; all are laid into the square, around the patterns that a camera looks for;
// a mask is laid over them, so that no part looks like such a pattern; and in a corner it is written
// which mask that was.
//
// Deliberately simple: one mode (bytes, as UTF-8), one level of error correction (M: up to 15 % of a
// code may be unreadable), and no more than version 15, 412 bytes. No announcement of UTF-8 by an ECI
// either: readers find that out, and the addresses drawn here are ASCII.

const LEVEL = 0b00;  // of error correction, as written in the format information: M

// By version, from 1: codewords for correction in each block, and the number of blocks (table 9).
const CORRECTION = [10, 16, 26, 18, 24, 16, 18, 22, 22, 26, 30, 22, 22, 24, 24];
const BLOCKS = [1, 1, 1, 2, 2, 4, 4, 4, 5, 5, 5, 8, 9, 9, 10];

/** Rows of modules, true if dark, without the quiet zone of 4 modules. A RangeError if the text is too long. */
export function qr(text) {
  const bytes = new TextEncoder().encode(text);
  for (let version = 1; version <= BLOCKS.length; version++) {
    const square = patterns(version);
    const free = freeModules(square);
    const room = Math.floor(free.length / 8) - CORRECTION[version - 1] * BLOCKS[version - 1];
    const data = codewords(bytes, version, room);
    if (!data) continue;
    lay(interleave(data, CORRECTION[version - 1], BLOCKS[version - 1]), square, free);
    const masked = MASKS.map((mask, number) => withMask(square, free, mask, number));
    return masked.reduce((best, other) => penalty(other) < penalty(best) ? other : best);
  }
  throw new RangeError(`${bytes.length} bytes are more than a QR code of version ${BLOCKS.length} holds`);
}

// ---- Codewords (§7.4): mode, length, the bytes, an end, and padding; null if there is no room ----

export function codewords(bytes, version, room) {
  const length = bytes.length.toString(2).padStart(version < 10 ? 8 : 16, '0');
  let bits = `0100${length}${Array.from(bytes, byte => byte.toString(2).padStart(8, '0')).join('')}`;
  if (bits.length > 8 * room) return null;
  bits = bits.padEnd(Math.min(bits.length + 4, 8 * room), '0');
  bits = bits.padEnd(8 * Math.ceil(bits.length / 8), '0');
  const data = bits.match(/.{8}/g).map(byte => parseInt(byte, 2));
  for (let pad = 0xEC; data.length < room; pad ^= 0xEC ^ 0x11) data.push(pad);
  return data;
}

// ---- Error correction (§7.5): Reed-Solomon over the field of 256 elements, modulo x⁸+x⁴+x³+x²+1 ----

const POWER = [1];  // of 2, in the field
while (POWER.length < 255) POWER.push(POWER.at(-1) << 1 ^ (POWER.at(-1) >> 7) * 0x11D);
const LOG = POWER.reduce((log, power, exponent) => log.fill(exponent, power, power + 1), new Array(256));

const times = (a, b) => a && b && POWER[(LOG[a] + LOG[b]) % 255];

/** The remainder of the data, as a polynomial, divided by (x - 1)(x - 2)(x - 2²)… of degree `count`. */
export function correction(data, count) {
  let divisor = [1];  // coefficients, highest first
  for (let i = 0; i < count; i++) {
    divisor = [...divisor, 0].map((coefficient, at) => coefficient ^ times(divisor[at - 1] ?? 0, POWER[i]));
  }
  const rest = [...data, ...new Array(count).fill(0)];
  for (let at = 0; at < data.length; at++) {
    const factor = rest[at];
    divisor.forEach((coefficient, i) => rest[at + i] ^= times(coefficient, factor));
  }
  return rest.slice(data.length);
}

/** Blocks corrected each on its own, then dealt out in turn, so that a stain hurts each a little (§7.6). */
export function interleave(data, count, blocks) {
  const short = Math.floor(data.length / blocks);
  const shorts = blocks - data.length % blocks;  // the last blocks may hold one more
  const parts = [];
  for (let i = 0, at = 0; i < blocks; i++) parts.push(data.slice(at, at += short + (i >= shorts)));
  const dealt = lists => lists.at(-1).flatMap((_, i) => lists.flatMap(list => i < list.length ? [list[i]] : []));
  return [...dealt(parts), ...dealt(parts.map(part => correction(part, count)))];
}

// ---- The square (§6.3): patterns that are the same in every code of a version; undefined is free ----

function patterns(version) {
  const size = 17 + 4 * version;
  const square = Array.from({ length: size }, () => new Array(size).fill(undefined));
  for (const [x, y] of [[3, 3], [size - 4, 3], [3, size - 4]]) rings(square, x, y, 4, [2, 4]);  // finders (§6.3.3)
  const lines = alignment(version, size);  // each crossing of two is the centre of a pattern (§6.3.6)
  for (const x of lines) for (const y of lines) if (square[y][x] === undefined) rings(square, x, y, 2, [1]);
  for (let i = 8; i < size - 8; i++) square[6][i] = square[i][6] = i % 2 === 0;  // timing (§6.3.5)
  writeVersion(square, version);
  writeFormat(square, 0);  // until the mask is known this keeps the place
  return square;
}

/** Squares around a centre, out to `reach` modules, dark but for those at the distances `light`. */
function rings(square, x, y, reach, light) {
  for (let dy = -reach; dy <= reach; dy++) {
    for (let dx = -reach; dx <= reach; dx++) {
      if (square[y + dy] === undefined || x + dx < 0 || x + dx >= square.length) continue;
      square[y + dy][x + dx] = !light.includes(Math.max(Math.abs(dx), Math.abs(dy)));
    }
  }
}

/** Evenly spaced from the far end, by an even number of modules; what is left over is between the first two. */
function alignment(version, size) {
  if (version === 1) return [];
  const spaces = Math.floor(version / 7) + 1;
  const step = 2 * Math.ceil((size - 13) / spaces / 2);
  return [6, ...Array.from({ length: spaces }, (_, i) => size - 7 - i * step)];
}

/** Which mask (§7.9): 5 bits, corrected by 10 more, along two sides of a finder, and once more at the other two. */
function writeFormat(square, mask) {
  const { length } = square;
  const bits = formatBits(mask);
  for (let i = 0; i < 15; i++) {
    const dark = (bits >> i & 1) === 1;
    const near = i < 6 ? i : i < 8 ? i + 1 : i === 8 ? 7 : 14 - i;  // steps over the timing pattern
    if (i < 8) square[near][8] = square[8][length - 1 - i] = dark;
    else square[8][near] = square[length - 15 + i][8] = dark;
  }
  square[length - 8][8] = true;  // dark in every code
}

export function formatBits(mask) {
  return withRemainder(LEVEL << 3 | mask, 10, 0x537) ^ 0x5412;
}

/** From version 7 on (§7.10): 6 bits, corrected by 12 more, beside two of the finders. */
function writeVersion(square, version) {
  if (version < 7) return;
  const bits = versionBits(version);
  for (let i = 0; i < 18; i++) {
    const [a, b] = [square.length - 11 + i % 3, Math.floor(i / 3)];
    square[a][b] = square[b][a] = (bits >> i & 1) === 1;
  }
}

export function versionBits(version) {
  return withRemainder(version, 12, 0x1F25);
}

/** A BCH code (annex C and D): the value, and after it the remainder of its division, bit by bit. */
function withRemainder(value, bits, divisor) {
  let rest = value << bits;
  for (let at = 31 - Math.clz32(rest); at >= bits; at--) if (rest >> at & 1) rest ^= divisor << at - bits;
  return value << bits | rest;
}

// ---- Placement (§7.7.3): two columns at a time from the right, up and down in turn ----

function freeModules(square) {
  const free = [];
  const size = square.length;
  for (let right = size - 1, up = true; right > 0; right -= 2, up = !up) {
    if (right === 6) right--;  // the timing pattern's column takes no part
    for (let i = 0; i < size; i++) {
      const y = up ? size - 1 - i : i;
      for (const x of [right, right - 1]) if (square[y][x] === undefined) free.push([x, y]);
    }
  }
  return free;
}

function lay(bytes, square, free) {
  free.forEach(([x, y], i) => square[y][x] = (bytes[i >> 3] >> 7 - i % 8 & 1) === 1);  // a few may remain: light
}

// ---- Masks (§7.8): where each inverts what is laid; the one with the least penalty is taken ----

const MASKS = [
  (x, y) => (x + y) % 2 === 0,
  (x, y) => y % 2 === 0,
  x => x % 3 === 0,
  (x, y) => (x + y) % 3 === 0,
  (x, y) => (Math.floor(y / 2) + Math.floor(x / 3)) % 2 === 0,
  (x, y) => x * y % 2 + x * y % 3 === 0,
  (x, y) => (x * y % 2 + x * y % 3) % 2 === 0,
  (x, y) => ((x + y) % 2 + x * y % 3) % 2 === 0,
];

function withMask(square, free, mask, number) {
  const masked = square.map(row => [...row]);
  for (const [x, y] of free) if (mask(x, y)) masked[y][x] = !masked[y][x];
  writeFormat(masked, number);
  return masked;
}

/** What may confuse a reader (§7.8.3): long lines, plain areas, what looks like a finder, too much of one kind. */
export function penalty(square) {
  const rows = square.map(row => row.map(Number).join(''));
  const columns = rows.map((_, x) => rows.map(row => row[x]).join(''));
  let points = 0;
  for (const line of [...rows, ...columns]) {
    for (const run of line.match(/0{5,}|1{5,}/g) ?? []) points += run.length - 2;
    points += 40 * [...line.matchAll(/(?=10111010000|00001011101)/g)].length;
  }
  for (let y = 1; y < rows.length; y++) {
    for (let x = 1; x < rows.length; x++) {
      const area = rows[y - 1].slice(x - 1, x + 1) + rows[y].slice(x - 1, x + 1);
      if (area === '0000' || area === '1111') points += 3;
    }
  }
  const dark = rows.join('').replaceAll('0', '').length / rows.length ** 2;
  return points + 10 * Math.floor(Math.abs(dark - 0.5) * 20);
}
