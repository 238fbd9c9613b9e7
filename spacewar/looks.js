// SPDX-License-Identifier: MIT

// What a ship looks like, as one number: the index of its shape + 8 × that of its colour. ships.js has the shapes and
// colours themselves.

const EACH = 8;     // shapes, and colours
export const LOOKS = EACH * EACH;

export const lookOf = (shape, colour) => shape + EACH * colour;
export const shapeIndex = look => look % EACH;
export const colourIndex = look => Math.floor(look / EACH);

/** The same shape in the next colour. */
export function nextColour(look) {
  return lookOf(shapeIndex(look), (colourIndex(look) + 1) % EACH);
}

/** The nth other look, as long as there are eight or fewer: no two share a shape or a colour. */
export function otherLook(look, n) {
  return lookOf((shapeIndex(look) + n) % EACH, (colourIndex(look) + n) % EACH);
}
