// SPDX-License-Identifier: MIT

// Who of a crowd has a ship in the sky.

import { SHIPS, choose } from '../crowd.js';
import { equal, ok } from './check.js';

const ME = { x: 0, y: 0 };

/** Peers that came in the order of their ids, each flying 10 px farther from us than the one before. */
function crowd(count, more = {}) {
  return Array.from({ length: count }, (_, i) => ({ ship: { id: i + 1, state: 'flying', x: 10 * i, y: 0, ...more } }));
}

const idsOf = chosen => [...chosen].map(({ ship }) => ship.id).sort((a, b) => a - b);

export default {
  'as many as fit are all chosen, whatever they do': () => {
    for (const state of ['flying', 'observing', 'exploded']) {
      equal(choose(crowd(SHIPS, { state }), ME, new Set()).size, SHIPS, state);
    }
  },

  'of more no more are chosen than fit': () => {
    for (const count of [SHIPS + 1, 1_000]) equal(choose(crowd(count), ME, new Set()).size, SHIPS);
  },

  'those who play are chosen before those who watch or have fallen silent': () => {
    const peers = crowd(200);
    for (const { ship } of peers.slice(0, 180)) ship.state = 'observing';
    const ids = idsOf(choose(peers, ME, new Set()));
    equal(ids.slice(-20), idsOf(peers.slice(180)));
    equal(ids.slice(0, 20), idsOf(peers.slice(0, 20)), 'of the others the first');
  },

  'the nearest are chosen': () => {
    const peers = crowd(200).map((peer, i) => Object.assign(peer, { near: i >= 100 }));
    for (const { ship } of peers.slice(0, 100)) ship.y = 2_000;
    ok([...choose(peers, ME, new Set())].filter(({ near }) => near).length >= SHIPS / 2);
  },

  'those who came first are never driven out, however near the others come': () => {
    const peers = crowd(1_000);
    for (const { ship } of peers.slice(0, 10)) Object.assign(ship, { x: 900, y: 900 });
    const sky = new Set(peers.slice(0, 10));
    for (const { ship } of peers.slice(10)) Object.assign(ship, { x: 1, y: 1 });
    ok(peers.slice(0, 10).every(peer => choose(peers, ME, sky).has(peer)));
  },

  'two that are equally near do not take turns': () => {
    const peers = crowd(SHIPS + 1, { x: 300 });
    let sky = choose(peers, ME, new Set());
    const first = idsOf(sky);
    for (let i = 0; i < 10; i++) {
      for (const { ship } of peers) ship.x = 300 + 100 * ((ship.id * 7 + i * 3) % 5 / 5);
      sky = choose(peers, ME, sky);
    }
    equal(idsOf(sky), first);
  },
};
