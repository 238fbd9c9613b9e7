// SPDX-License-Identifier: MIT

// Why the relay is not there, in words.

const REASONS = {
  1000: 'the relay has closed the connection',
  1001: 'the relay is shutting down',
  1006: 'the relay does not answer',
  1013: 'the relay is full',
};

/** What a close code and the relay's own reason, which may be empty, mean. */
export function describeClose(code, reason) {
  return reason || REASONS[code] || `closed with code ${code}`;
}
