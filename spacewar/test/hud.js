// SPDX-License-Identifier: MIT

// Where words and arrows stand over the sky, drawn on a context that only remembers.

import { Camera } from '../camera.js';
import { Hud } from '../hud.js';
import { Ship, World } from '../world.js';
import { equal, near, ok } from './check.js';

/** A context that notes where each path and text went: { left, top, right, bottom, colour }. */
function paper() {
  const boxes = [];
  let box;
  let scale = 1;
  const point = (x, y) => {
    box.left = Math.min(box.left, x * scale);
    box.right = Math.max(box.right, x * scale);
    box.top = Math.min(box.top, y * scale);
    box.bottom = Math.max(box.bottom, y * scale);
  };
  const context = {
    boxes,
    beginPath: () => { box = { left: Infinity, top: Infinity, right: -Infinity, bottom: -Infinity }; },
    moveTo: point, lineTo: point, arc: point,
    stroke() {
      if (box.left < Infinity) boxes.push(Object.assign(box, { colour: this.strokeStyle }));
    },
    scale: times => { scale *= times; },
    save() {},
    restore: () => { scale = 1; },
    fillRect() {}, fillText() {}, drawImage: (picture, left, top, width, height) =>
      boxes.push({ board: true, left: left * scale, top: top * scale, right: (left + width) * scale,
        bottom: (top + height) * scale }),
  };
  return context;
}

/** The boxes of what is drawn for these ships on such a screen. */
function drawn({ width, height, obstacles = [], insets = {}, ships = [], names = true, goal = 'first to 10 · 4:00',
  banner = null, fate = '', lines = [] }) {
  const camera = Object.assign(new Camera(), { width, height });
  const world = new World();
  const me = world.add(new Ship(0, 'Me', 0));
  Object.assign(me, { x: 0, y: 200, state: fate ? 'exploded' : 'flying' });
  ships.forEach(({ x, y, name = 'Grace Hopper' }, i) =>
    Object.assign(world.add(new Ship(i + 1, name, 8 * (1 + i % 7))), { x, y, state: 'flying' }));
  camera.move(1_000, world.ships, me, 0, true);
  const hud = new Hud();
  Object.assign(hud.insets, insets);
  hud.obstacles = obstacles;
  const context = paper();
  hud.draw(context, camera, { world, me, lead: 0, time: 0, names, others: 0, connection: '', lines, goal, banner,
    fate }, 1);
  return { boxes: [...new Set(context.boxes)], camera };
}

const apart = (a, b) => a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top;
const PADS = [{ left: 700, top: 150, right: 764, bottom: 214 }, { left: 740, top: 260, right: 820, bottom: 340 },
  { left: 340, top: 340, right: 500, bottom: 384 }];

export default {
  'no arrow lies under a pad or a button, wherever it points': () => {
    for (let way = 0; way < 6.3; way += 0.05) {
      const ships = [{ x: 3_000 * Math.cos(way), y: 3_000 * Math.sin(way) }];
      const { boxes } = drawn({ width: 844, height: 390, obstacles: PADS, ships, names: false });
      const arrows = boxes.filter(({ board, right, left }) => !board && right - left < 30);
      ok(arrows.length > 0, 'an arrow');
      for (const arrow of arrows) {
        const middle = { left: (arrow.left + arrow.right) / 2, top: (arrow.top + arrow.bottom) / 2 };
        Object.assign(middle, { right: middle.left, bottom: middle.top });
        for (const pad of PADS) ok(apart(middle, pad), `an arrow at ${way} under ${JSON.stringify(pad)}`);
      }
    }
  },

  'names cover neither one another nor the board nor a button': () => {
    for (let i = 0; i < 30; i++) {
      const ships = Array.from({ length: 12 }, (_, n) => ({ x: 400 - 12 * n * (i % 4), y: -300 + 9 * n * (i % 3) }));
      ships.push({ x: -700, y: -398 + 2 * (i % 10) });     // whose name would be in the feed
      const banner = i % 2 ? { title: 'You win with 10', note: 'next round in 5', keys: 'Space fire' } : null;
      const obstacles = banner ? [] : PADS;
      const { boxes } = drawn({ width: 1280, height: 720, obstacles, ships, goal: '', banner,
        fate: i % 3 ? '' : 'Grace shot you · back in 2', lines: [{ text: 'Grace shot Hedy', at: 0 }] });
      const board = boxes.find(box => box.board);
      const words = boxes.filter(box => !box.board && box.right - box.left > 40);
      ok(words.length > 0, 'names');
      words.forEach((word, n) => {
        for (const other of [board, ...obstacles, ...words.slice(n + 1)]) {
          ok(apart(word, other), `${JSON.stringify(word)} over ${JSON.stringify(other)}`);
        }
      });
    }
  },

  'a name lies on another ship only where there is no other place for it': () => {
    for (const [y, other] of [[-20, 10], [-150, -110], [-150, -190]]) {
      const ships = [{ x: 100, y }, { x: 100, y: other, name: 'i' }];
      const { boxes, camera } = drawn({ width: 1280, height: 720, ships });
      const [name] = boxes.filter(box => !box.board && box.right - box.left > 40);
      const middle = camera.toY(other);
      const ship = { left: camera.toX(100) - 10, right: camera.toX(100) + 10, top: middle - 10, bottom: middle + 10 };
      ok(apart(name, ship),
        `from ${name.top} to ${name.bottom}, over a ship at ${middle}`);
    }
  },

  'who is under the question for a name has an arrow and no name': () => {
    const { boxes } = drawn({ width: 844, height: 390, insets: { top: 80 }, ships: [{ x: 0, y: -300 }] });
    const words = boxes.filter(box => !box.board && box.right - box.left > 40);
    equal(words, []);
    ok(boxes.some(({ board, left, right, top }) => !board && right - left < 30 && top > 80), 'an arrow below it');
  },

  'a long name is shortened, and none leaves the screen': () => {
    const ships = [{ x: -330, y: 0, name: 'W'.repeat(20) }, { x: 330, y: 100, name: 'W'.repeat(20) }];
    const { boxes } = drawn({ width: 390, height: 844, ships });
    const words = boxes.filter(box => !box.board && box.right - box.left > 40);
    for (const { left, right } of words) ok(left >= 0 && right <= 390 && right - left <= 100, `${left} to ${right}`);
  },

  'the board of twelve pilots ends above the pads of a phone that lies': () => {
    const ships = Array.from({ length: 11 }, (_, i) => ({ x: 100 + 9 * i, y: 0 }));
    const { boxes } = drawn({ width: 844, height: 390, obstacles: PADS, ships });
    const board = boxes.find(box => box.board);
    ok(board.bottom <= PADS[0].top, `it ends at ${board.bottom}`);
  },

  'words grow with a large screen': () => {
    const size = (width, height) => {
      const { right, left } = drawn({ width, height }).boxes.find(box => box.board);
      return right - left;
    };
    near(size(3840, 2160) / size(1920, 1080), 2, 0.02, 'times as wide a board at 4K');
    equal(size(1920, 1080), size(1280, 720));
  },
};
