// SPDX-License-Identifier: MIT

// Motion, in pure functions. A body is anything with x, y (px, the sun is at the origin, x to the
// right, y down) and vx, vy (px/ms); a ship has besides an angle (rad, 0 points along x and grows
// clockwise), a turn (-1 left, 0, 1 right) and is burning or not. All times are in ms.
//
// A step is a kick, a drift and a kick (leapfrog): it keeps an orbit's energy for as long as one
// likes, also close to the sun, where the simpler Euler step would pump it up.

export const STEP = 4;           // ms; longer steps are no longer exact enough near the sun
export const GM = 4;             // px³/ms², the pull of the sun
export const THRUST = 4e-5;      // px/ms²
const TOP = 1;                   // px/ms, a speed beyond which an engine gives no more
export const TURN = 0.004;       // rad/ms
export const SUN = 24;           // px, its radius: what comes closer is lost
export const BOUNDARY = 1_000;   // px from the sun, where a soft pull back begins ...
const SPRING = 1e-6;             // ... of this much per ms² for each px beyond

/** Lets a body fall for dt ms: exact up to STEP, an estimate beyond. */
export function fall(body, dt) {
  attract(body, dt / 2);
  drift(body, dt);
  attract(body, dt / 2);
}

/** Moves a body straight on. */
export function drift(body, dt) {
  body.x += body.vx * dt;
  body.y += body.vy * dt;
}

/** Moves a ship that steers as its turn and burning say for dt ms. */
export function fly(ship, dt) {
  push(ship, dt / 2);
  ship.angle += ship.turn * TURN * dt;
  fall(ship, dt);
  push(ship, dt / 2);
}

/** Moves a body by any time, in steps; back, too, since a step of a negative time undoes one exactly. */
export function advance(body, time, move = fall) {
  const step = time < 0 ? -STEP : STEP;
  for (; Math.abs(time) > STEP; time -= step) move(body, step);
  move(body, time);
}

function attract(body, dt) {
  // Within half the sun nothing is left to fall, but a division by zero must not get out of it.
  const r = Math.max(SUN / 2, Math.sqrt(body.x * body.x + body.y * body.y));
  const pull = GM / (r * r * r) + (r > BOUNDARY ? SPRING * (1 - BOUNDARY / r) : 0);
  body.vx -= pull * body.x * dt;
  body.vy -= pull * body.y * dt;
}

function push(ship, dt) {
  if (!ship.burning) return;
  const ahead = Math.cos(ship.angle);
  const aside = Math.sin(ship.angle);
  const fast = ship.vx * ship.vx + ship.vy * ship.vy > TOP * TOP;
  if (fast && ship.vx * ahead + ship.vy * aside > 0) return;
  ship.vx += THRUST * ahead * dt;
  ship.vy += THRUST * aside * dt;
}

/** Puts a body on a circular orbit: r px, at a phase (rad), clockwise if direction is 1, else -1. */
export function orbit(body, r, phase, direction) {
  const speed = direction * Math.sqrt(GM / r);
  body.x = r * Math.cos(phase);
  body.y = r * Math.sin(phase);
  body.vx = -speed * Math.sin(phase);
  body.vy = speed * Math.cos(phase);
}

/** Per unit of mass, px²/ms², within the boundary; negative for those who will never leave. */
export function energy({ x, y, vx, vy }) {
  return (vx * vx + vy * vy) / 2 - GM / Math.hypot(x, y);
}

/** An angle as a turn by at most half a circle. */
export function turned(angle) {
  return angle - 2 * Math.PI * Math.round(angle / (2 * Math.PI));
}
