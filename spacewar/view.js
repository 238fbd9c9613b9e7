// SPDX-License-Identifier: MIT

// The picture: a vector display of 1962 on a canvas. draw() paints one frame from the world as it is and
// keeps nothing of it but the afterglow (trails.js) and the moments of effects.js.
//
// Lines glow because they are stroked several times additively: wide and faint in their colour, then
// narrow, then once more, nearly white. As only a path costs, not what is in it, all ships of a colour are
// one path, and the cores of all ships another. Everything is in css px; one transform makes them pixels.
// The software canvas of a machine without a GPU sets the budget; what is made anew with each frame is
// little and small.

import { Camera, drawnX, drawnY } from './camera.js';
import { Effects, hash } from './effects.js';
import { Hud } from './hud.js';
import { SUN, TURN, advance } from './physics.js';
import { COLOURS, CORE, colourOf, stroke, traceFlame, tracePiece, traceShip } from './ships.js';
import { Sky } from './sky.js';
import { Trails } from './trails.js';
import { DEBRIS_LIFE, SHIELD } from './world.js';

const GROUND = '#020a0b';
const LINE = 1.35;            // css px, the beam on a usual screen
const FLAME = '#ff9d4d';
const AMBER = '#ffb02e';
const FORECAST = { dots: 40, apart: 60 }; // ms between dots
const LEAST_SHIP = 0.75;                  // css px for a px of a ship, however far out one zooms
const CLICK = 28;                         // css px from a ship that still are a click on it
const FADE = 1_200;                       // ms in which debris fades at its end
const FLICKER = 33;                       // ms that a flame keeps its length
const SHAKE = { far: 5, lasts: 450 };     // css px, ms
const LONGEST_FRAME_MS = 100;             // ms that a frame may move the camera on
const COVERS = '#buttons, .pads.touched button';      // what lies over the sky
const INSET_MS = 1_000;           // ms between looks at what covers the edges: pads come with the first touch

export class View {
  reducedMotion = false;              // no trails, no drift, no shake, no flicker: as prefers-reduced-motion asks
  #canvas;
  #context;
  #ratio = 1;                 // pixels for a css px
  #line = LINE;               // css px, the beam on this screen
  #dpr = 0;                   // the page's ratio when that was found out
  #camera = new Camera();
  #sky = new Sky();
  #trails = new Trails();
  #effects = new Effects();
  #hud = new Hud();
  #scene = null;              // as last drawn
  #drawnAt = 0;
  #lookedAt = -Infinity;
  #shakenAt = -Infinity;

  constructor(canvas) {
    this.#canvas = canvas;
    this.#context = canvas.getContext('2d', { alpha: false });
    const motion = matchMedia('(prefers-reduced-motion: reduce)');
    this.reducedMotion = motion.matches;
    motion.addEventListener('change', () => this.reducedMotion = motion.matches);
    const sizes = new ResizeObserver(([{ devicePixelContentBoxSize: pixels }]) => {
      this.#resize(pixels?.[0].inlineSize, pixels?.[0].blockSize);
      if (this.#scene) this.draw(this.#scene);      // at once: the page never shows the canvas while it is empty
    });
    try {
      sizes.observe(canvas, { box: 'device-pixel-content-box' });
    } catch {
      sizes.observe(canvas);     // Safari: the size in pixels is only computed, and may be one off
    }
    this.#resize();
  }

  zoom(factor, x, y) {
    this.#camera.zoom(factor, x, y);
  }

  reset() {
    this.#camera.reset();
  }

  /** The id of the ship that is followed, or null. */
  get tracked() {
    return this.#camera.tracked;
  }

  track(id) {
    this.#camera.track(id);
  }

  /** A point for what was done to this ship. */
  mark(ship) {
    if (this.#scene) this.#effects.mark(ship, this.#scene.world.time);
  }

  /** Where a ship is on the canvas: x and y in css px. */
  locate(ship) {
    const lead = this.#scene?.lead ?? 0;
    return [this.#camera.toX(drawnX(ship, lead)), this.#camera.toY(drawnY(ship, lead))];
  }

  /** The id of the ship at a point of the canvas, or null. */
  pick(x, y) {
    if (!this.#scene) return null;
    let best = null;
    let least = Math.max(CLICK, 14 * this.#camera.scale);
    for (const ship of this.#scene.world.ships.values()) {
      if (ship.state !== 'flying') continue;
      const [shipX, shipY] = this.locate(ship);
      const away = Math.hypot(shipX - x, shipY - y);
      if (away >= least) continue;
      least = away;
      best = ship.id;
    }
    return best;
  }

  /**
   * Paints a frame. A scene is { world, me: the own ship, lead: ms that what moves is drawn ahead of the world,
   * time: performance.now(), others: pilots who are not in the sky, names, connection, lines: [{ text, at }],
   * forecast: whether to show where the own ship will fall, banner: { title, note, keys } or null, goal: what it takes
   * to win, fate: how the own ship was destroyed }.
   */
  draw(scene) {
    this.#scene = scene;
    const context = this.#context;
    const camera = this.#camera;
    const { world, me, time, lead } = scene;
    if (this.#dpr !== devicePixelRatio) this.#resize();      // moved to another display
    if (time - this.#lookedAt > INSET_MS) this.#inset(time);
    camera.move(Math.min(LONGEST_FRAME_MS, time - this.#drawnAt), world.ships, me, lead, this.reducedMotion);
    this.#drawnAt = time;
    this.#trails.follow(world);
    if (this.#effects.watch(world, me)) this.#shakenAt = time;

    context.setTransform(1, 0, 0, 1, 0, 0);
    context.globalCompositeOperation = 'source-over';
    context.globalAlpha = 1;
    context.fillStyle = GROUND;
    context.fillRect(0, 0, this.#canvas.width, this.#canvas.height);
    context.setTransform(this.#ratio, 0, 0, this.#ratio, 0, 0);
    this.#shake(time);
    this.#sky.draw(context, camera, time, this.reducedMotion, this.#ratio);
    context.lineJoin = 'round';
    if (scene.forecast) this.#drawForecast(context, scene);
    if (!this.reducedMotion) this.#trails.draw(context, camera, lead);
    this.#drawBodies(context, scene);
    this.#effects.draw(context, camera, world.time);
    context.setTransform(this.#ratio, 0, 0, this.#ratio, 0, 0);
    this.#hud.draw(context, camera, scene, this.#ratio);
  }

  #shake(time) {
    const left = 1 - (time - this.#shakenAt) / SHAKE.lasts;
    if (this.reducedMotion || left <= 0) return;
    const far = SHAKE.far * left * left;
    this.#context.translate(far * Math.sin(time * 0.083), far * Math.sin(time * 0.067 + 1));
  }

  // ---- Ships, missiles and debris ----

  #drawBodies(context, scene) {
    context.globalCompositeOperation = 'lighter';
    context.lineCap = 'round';
    for (const colour of COLOURS) {
      context.beginPath();
      if (!this.#traceShips(context, scene, colour)) continue;
      stroke(context, colour, this.#line * 4.6, 0.14);
      stroke(context, colour, this.#line * 1.6, 0.72);
    }
    context.beginPath();
    if (this.#traceShips(context, scene)) stroke(context, CORE, this.#line * 0.7, 0.45);
    this.#drawMark(context, scene);
    this.#drawShields(context, scene);
    this.#drawFlames(context, scene);
    this.#drawMissiles(context, scene);
    this.#drawDebris(context, scene);
    context.globalAlpha = 1;
  }

  /** Adds the ships of a colour, or all, to the path; whether there were any. */
  #traceShips(context, { world, lead }, colour) {
    const camera = this.#camera;
    const scale = Math.max(LEAST_SHIP, camera.scale);
    let any = false;
    for (const ship of world.ships.values()) {
      if (ship.state !== 'flying' || (colour && colourOf(ship.look) !== colour)) continue;
      const x = camera.toX(drawnX(ship, lead));
      const y = camera.toY(drawnY(ship, lead));
      if (!camera.sees(x, y, 20 * scale)) continue;
      traceShip(context, ship.look, x, y, headingOf(ship, lead), scale);
      any = true;
    }
    return any;
  }

  /** Four arcs around the own ship, which others may look like. */
  #drawMark(context, { me, lead }) {
    if (me.state !== 'flying') return;
    const camera = this.#camera;
    const x = camera.toX(drawnX(me, lead));
    const y = camera.toY(drawnY(me, lead));
    const radius = 22 * Math.max(LEAST_SHIP, camera.scale);
    context.beginPath();
    for (let i = 0; i < 4; i++) {
      const middle = Math.PI / 4 + i * Math.PI / 2;
      context.moveTo(x + radius * Math.cos(middle - 0.3), y + radius * Math.sin(middle - 0.3));
      context.arc(x, y, radius, middle - 0.3, middle + 0.3);
    }
    stroke(context, CORE, camera.grown, 0.55);
  }

  /** Where the own ship will fall if nothing is done, faint dots; amber if that is into the sun. */
  #drawForecast(context, { me, lead }) {
    if (me.state !== 'flying') return;
    const camera = this.#camera;
    const body = { x: drawnX(me, lead), y: drawnY(me, lead), vx: me.vx, vy: me.vy };
    const size = Math.max(1, camera.scale);
    let burns = false;
    context.beginPath();
    for (let dot = 0; dot < FORECAST.dots && !burns; dot++) {
      advance(body, FORECAST.apart);
      burns = Math.hypot(body.x, body.y) < SUN;
      if (dot < 2 || burns) continue;
      const x = camera.toX(body.x);
      const y = camera.toY(body.y);
      context.moveTo(x + size, y);
      context.arc(x, y, size, 0, 2 * Math.PI);
    }
    context.globalAlpha = burns ? 0.8 : 0.4;
    context.fillStyle = burns ? AMBER : CORE;
    context.fill();
    context.globalAlpha = 1;
  }

  /** A ring around who has just come back, fainter and fainter. */
  #drawShields(context, { world, lead }) {
    const camera = this.#camera;
    const radius = 17 * Math.max(LEAST_SHIP, camera.scale);
    for (const ship of world.ships.values()) {
      const left = (ship.shieldUntil - world.time) / SHIELD;
      if (ship.state !== 'flying' || left <= 0) continue;
      const x = camera.toX(drawnX(ship, lead));
      const y = camera.toY(drawnY(ship, lead));
      if (!camera.sees(x, y, radius)) continue;
      context.beginPath();
      context.arc(x, y, radius, 0, 2 * Math.PI);
      stroke(context, colourOf(ship.look), this.#line * 4, 0.12 * left);
      stroke(context, CORE, this.#line * 0.8, 0.75 * left);
    }
  }

  #drawFlames(context, { world, lead, time }) {
    const camera = this.#camera;
    const scale = Math.max(LEAST_SHIP, camera.scale);
    let any = false;
    context.beginPath();
    for (const ship of world.ships.values()) {
      if (ship.state !== 'flying' || !ship.burning) continue;
      const x = camera.toX(drawnX(ship, lead));
      const y = camera.toY(drawnY(ship, lead));
      if (!camera.sees(x, y, 40 * scale)) continue;
      const flicker = this.reducedMotion ? 0.5 : hash(Math.floor(time / FLICKER), ship.id);
      traceFlame(context, ship.look, x, y, headingOf(ship, lead), scale, flicker);
      any = true;
    }
    if (!any) return;
    stroke(context, FLAME, this.#line * 4.6, 0.2);
    stroke(context, FLAME, this.#line * 1.2, 0.7);
    stroke(context, '#fff0d8', this.#line * 0.7, 0.5);
  }

  #drawMissiles(context, scene) {
    const { missiles } = scene.world;
    if (!missiles.length) return;
    for (const colour of COLOURS) {
      context.beginPath();
      if (this.#traceMissiles(context, scene, colour)) stroke(context, colour, this.#line * 5, 0.3);
    }
    context.beginPath();
    if (this.#traceMissiles(context, scene)) stroke(context, CORE, this.#line * 1.5, 0.95);
  }

  /** Missiles are short strokes along their way, glowing in the colour of who fired them; white if that one left. */
  #traceMissiles(context, { world, lead }, colour) {
    const camera = this.#camera;
    let any = false;
    for (const missile of world.missiles) {
      const owner = world.ships.get(missile.owner);
      if (colour && (owner ? colourOf(owner.look) : COLOURS.at(-1)) !== colour) continue;
      const noseX = camera.toX(drawnX(missile, lead));
      const noseY = camera.toY(drawnY(missile, lead));
      if (!camera.sees(noseX, noseY, 10)) continue;
      const { vx, vy } = missile;
      const length = 3 * camera.grown / Math.max(0.05, Math.hypot(vx, vy));
      context.moveTo(noseX, noseY);
      context.lineTo(noseX - vx * length, noseY - vy * length);
      any = true;
    }
    return any;
  }

  #drawDebris(context, { world, lead }) {
    const camera = this.#camera;
    const scale = Math.max(LEAST_SHIP, camera.scale);
    for (const piece of world.debris) {
      const x = camera.toX(drawnX(piece, lead));
      const y = camera.toY(drawnY(piece, lead));
      if (!camera.sees(x, y, 20 * scale)) continue;
      const colour = colourOf(piece.look);
      const fade = Math.min(1, (DEBRIS_LIFE - piece.age) / FADE);
      context.beginPath();
      tracePiece(context, piece, x, y, piece.angle + piece.spin * lead, scale);
      stroke(context, colour, this.#line * 3.6, 0.16 * fade);
      stroke(context, colour, this.#line * 1.2, 0.8 * fade);
    }
  }

  // ---- The canvas ----

  /** Takes on the element's size, in pixels as given if that is what the ratio makes of it (emulated ones lie). */
  #resize(width, height) {
    const canvas = this.#canvas;
    const { clientWidth, clientHeight } = canvas;
    if (!clientWidth || !clientHeight) return;
    canvas.width = trusted(width, clientWidth * devicePixelRatio);
    canvas.height = trusted(height, clientHeight * devicePixelRatio);
    this.#dpr = devicePixelRatio;
    this.#ratio = canvas.width / clientWidth;
    this.#camera.width = clientWidth;
    this.#camera.height = clientHeight;
    this.#line = LINE * this.#camera.grown;
    this.#lookedAt = -Infinity;
  }

  /** The page says in custom properties, in px, what a notch or its pads cover. */
  #inset(time) {
    this.#lookedAt = time;
    const style = getComputedStyle(this.#canvas);
    const { insets } = this.#hud;
    for (const side of Object.keys(insets)) insets[side] = parseFloat(style.getPropertyValue(`--hud-${side}`)) || 0;
    const boxes = Array.from(document.querySelectorAll(COVERS), box => box.getBoundingClientRect());
    this.#hud.obstacles = boxes.map(({ left, top, right, bottom }) => ({ left, top, right, bottom }));
    this.#camera.top = insets.top;
    this.#camera.bottom = insets.bottom;
  }
}

function trusted(measured, expected) {
  return Math.abs(measured - expected) < 1.5 ? measured : Math.round(expected);
}

function headingOf(ship, lead) {
  return ship.angle + ship.dangle + ship.turn * TURN * lead;
}
