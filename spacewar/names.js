// SPDX-License-Identifier: MIT

// What a name may be. People choose theirs freely, and strangers get to see it: so it is cleaned where
// it is typed, and again wherever it arrives.

const NAME_LENGTH = 20;  // characters, of which the longest still fits the score board of a phone

/**
 * A name as it may be shown: one line, without control characters, characters that turn the text
 * around them or that nobody sees, and with none that stands for several. '' if nothing is left, and
 * for what is no string.
 */
export function cleanName(text) {
  if (typeof text !== 'string') return '';
  const whole = text.replace(/\p{Surrogate}/gu, '');   // of halves of letters, Firefox's NFKC makes \ufffd
  const seen = whole.normalize('NFKC').replace(/\s/g, ' ').replace(/[\p{C}\p{Default_Ignorable_Code_Point}]/gu, '');
  return Array.from(seen.replace(/ +/g, ' ').trim()).slice(0, NAME_LENGTH).join('').trim();
}
