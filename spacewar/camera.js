// SPDX-License-Identifier: MIT

// Where we look, and how closely. All sizes on the screen are css px; the view scales them to the canvas.
//
// The sun stays in the middle as long as the own ship is well inside the picture; beyond that the
// camera goes with the ship, so that a pilot never loses sight of it: on a desktop that is rare, on a
// phone, where ships would get too small otherwise, the rule. A tracked ship is followed all the time.
// Whatever the camera should look at, `offset` is what it is still away from there, and fades.

const REACH = 420;        // px of the world from the sun to the nearest edge ...
const LEAST_SCALE = 0.6;  // ... but no fewer css px than this for one: on a phone, so far out most of a fight is seen
const MARGIN = 110;       // css px from the edge at which the camera begins to go with the ship
const SOFT = 60;          // px in which it gets up to the ship's speed
const EASE = 160;         // ms in which about two thirds of a change are done
const ZOOMS = [0.3, 4];
const PAN_LIMIT = 1_500;  // px, how far one can look away from what the camera follows
const LARGE = { width: 1_920, height: 1_080, most: 3 };   // css px of a screen from which on words grow with it
const JUMP = 60;          // px in one frame: no motion but another place, to go over to softly

/** Where in the world a body is to be drawn: `lead` ms ahead and, if it is a ship, with its correction. */
export function drawnX({ x, dx = 0, vx }, lead) {
  return x + dx + vx * lead;
}

export function drawnY({ y, dy = 0, vy }, lead) {
  return y + dy + vy * lead;
}

export class Camera {
  x = 0; y = 0; scale = 1;             // the point of the world in the middle, css px for a px
  width = 1; height = 1;               // of the screen, ...
  top = 0; bottom = 0;                 // ... and how much of it is covered, as by the pads ...
  #top = 0; #bottom = 0;               // ... eased
  tracked = null;
  #zoom = 1;
  #pan = { x: 0, y: 0 };               // away from what it follows ...
  #panned = { x: 0, y: 0 };            // ... eased
  #anchor = { x: 0, y: 0 };
  #offset = { x: 0, y: 0 };
  #settled = false;

  /** By how much words and lines are larger than on a usual screen. */
  get grown() {
    return Math.max(1, Math.min(LARGE.most, this.width / LARGE.width, this.height / LARGE.height));
  }

  /** Where a point of the world is on the screen. */
  toX(x) {
    return this.#middleX + (x - this.x) * this.scale;
  }

  toY(y) {
    return this.#middleY + (y - this.y) * this.scale;
  }

  /** Whether a point of the screen, or what reaches `margin` around it, can be seen. */
  sees(x, y, margin = 0) {
    return x > -margin && y > -margin && x < this.width + margin && y < this.height + margin;
  }

  /** Closer or farther by a factor; the point at x, y on the screen stays where it is. */
  zoom(factor, x = this.#middleX, y = this.#middleY) {
    const before = 1 / this.#goal;
    this.#zoom = Math.min(ZOOMS[1], Math.max(ZOOMS[0], this.#zoom * factor));
    const change = before - 1 / this.#goal;
    this.#pan.x = limit(this.#pan.x + (x - this.#middleX) * change);
    this.#pan.y = limit(this.#pan.y + (y - this.#middleY) * change);
  }

  track(id) {
    this.tracked = id;
    this.#pan.x = this.#pan.y = 0;
  }

  reset() {
    this.track(null);
    this.#zoom = 1;
  }

  /** Goes on to where it should be `dt` ms later, at once if it is still or this is the first time. */
  move(dt, ships, me, lead, reducedMotion) {
    const ease = this.#settled && !reducedMotion ? 1 - Math.exp(-dt / EASE) : 1;
    this.#settled = true;
    this.#top += (this.top - this.#top) * ease;
    this.#bottom += (this.bottom - this.#bottom) * ease;
    // Eased by its inverse, like the pan: then the point under the pointer stays there on the way, too.
    this.scale = 1 / (1 / this.scale + (1 / this.#goal - 1 / this.scale) * ease);
    this.#aim(ships, me, lead);
    for (const axis of AXES) {
      this.#offset[axis] *= 1 - ease;
      this.#panned[axis] += (this.#pan[axis] - this.#panned[axis]) * ease;
      this[axis] = this.#anchor[axis] + this.#offset[axis] + this.#panned[axis];
    }
  }

  /** The middle of what is not covered of the screen. */
  get #middleX() {
    return this.width / 2;
  }

  get #middleY() {
    return (this.height + this.#top - this.#bottom) / 2;
  }

  /** From there to the upper or lower edge. */
  get #reachY() {
    return (this.height - this.#top - this.#bottom) / 2;
  }

  /** The scale to come to. */
  get #goal() {
    return this.#zoom * Math.max(LEAST_SCALE, Math.min(this.#middleX, this.#reachY) / REACH);
  }

  #aim(ships, me, lead) {
    if (!ships.has(this.tracked)) this.tracked = null;      // left; a later ship may have its id
    const ship = ships.get(this.tracked) ?? me;
    const { x, y } = this.#anchor;
    if (ship.state === 'observing') this.#anchor.x = this.#anchor.y = 0;
    else if (ship.state === 'flying') {      // one that is gone for a moment is waited for where it was
      const shipX = drawnX(ship, lead);
      const shipY = drawnY(ship, lead);
      const whole = this.tracked !== null;
      this.#anchor.x = whole ? shipX : beyond(shipX, (this.#middleX - MARGIN) / this.scale);
      this.#anchor.y = whole ? shipY : beyond(shipY, (this.#reachY - MARGIN) / this.scale);
    }
    if (Math.abs(this.#anchor.x - x) + Math.abs(this.#anchor.y - y) > JUMP) {
      this.#offset.x += x - this.#anchor.x;
      this.#offset.y += y - this.#anchor.y;
    }
  }
}

const AXES = ['x', 'y'];

/** How far a value is beyond a room on either side of 0; it leaves the room softly. */
function beyond(value, room) {
  const free = Math.max(0, room);
  return Math.sign(value) * (soften(Math.abs(value) - free) - soften(-free));
}

function soften(excess) {
  return (excess + Math.sqrt(excess * excess + SOFT * SOFT)) / 2;
}

function limit(pan) {
  return Math.min(PAN_LIMIT, Math.max(-PAN_LIMIT, pan));
}
