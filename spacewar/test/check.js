// SPDX-License-Identifier: MIT

// What a test says with: each of these throws an Error that tells what was expected and what came.

/** The same value (NaN is NaN, 0 is not -0), or arrays and plain objects with the same content. */
export function equal(actual, expected, what = 'value') {
  if (!same(actual, expected)) throw new Error(`${what}: expected ${show(expected)}, got ${show(actual)}`);
}

/** A number no further than the tolerance from the expected one. */
export function near(actual, expected, tolerance, what = 'number') {
  if (!(Math.abs(actual - expected) <= tolerance)) {
    throw new Error(`${what}: expected ${show(expected)} ± ${tolerance}, got ${show(actual)}`);
  }
}

/**
 * How many seeds a test tries of so many: all, or one in five where the address says `brief`, as in browsers beside the
 * one that tries them all.
 */
export function seeds(all) {
  return new URLSearchParams(location.search).has('brief') ? Math.ceil(all / 5) : all;
}

/** Anything that counts as true. */
export function ok(value, what = 'condition') {
  if (!value) throw new Error(`${what}: expected it to hold, got ${show(value)}`);
}

function same(a, b) {
  if (Object.is(a, b)) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return false;
  if (a instanceof Map || a instanceof Set) return same([...a], [...b]);
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every(key => Object.hasOwn(b, key) && same(a[key], b[key]));
}

function show(value) {
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value !== 'object' || value === null) return String(value);
  try {
    return JSON.stringify(value, (key, v) => typeof v === 'number' && !Number.isFinite(v) ? String(v) : v);
  } catch {
    return String(value);   // what refers to itself
  }
}
