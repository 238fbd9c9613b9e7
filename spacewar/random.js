// SPDX-License-Identifier: MIT

// Chance that can be repeated: whoever draws from the same seed draws the same numbers, so a game of the
// same seed and inputs is the same game, and an explosion looks the same on every page.

/** A generator of numbers from 0 to below 1 (mulberry32). */
export function random(seed) {
  return () => {
    seed = (seed + 0x6D2B79F5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), seed | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
