// SPDX-License-Identifier: MIT

import { inviteTo, privateSky, roomOf } from '../address.js';
import { equal, ok } from './check.js';

const at = address => new URL(address, 'http://host:8080');

export default {
  'the room is the path, without a slash or index.html at its end': () => {
    for (const path of ['/spacewar', '/spacewar/', '/spacewar/index.html']) equal(roomOf(at(path)), '/spacewar', path);
    equal(roomOf(at('/games/spacewar/')), '/games/spacewar');
  },

  'only what the game knows is part of it, in one order': () => {
    for (const query of ['?game=2&rules=classic', '?rules=classic&game=2',
      '?utm_source=x&rules=classic&fbclid=y&game=2#z']) {
      equal(roomOf(at(`/spacewar/${query}`)), '/spacewar?game=2&rules=classic', query);
    }
    const none = ['?fbclid=1', '?', '?game=', '?rules=arena', '?rules=none', '?rules=toString', '?rules=__proto__'];
    for (const query of none) {
      equal(roomOf(at(`/spacewar/${query}`)), '/spacewar', query);
    }
    equal(roomOf(at('/spacewar/?game=a%20b')), '/spacewar?game=a+b');
  },

  'an invitation leads to the same room': () => {
    const here = at('/spacewar/?utm_medium=m&game=2');
    equal(inviteTo(here), 'http://host:8080/spacewar/?game=2');
    equal(roomOf(new URL(inviteTo(here))), roomOf(here));
  },

  'a private sky is another one each time, by the same rules': () => {
    const [one, two] = [0, 1].map(() => privateSky(at('/spacewar/?rules=classic&game=2')));
    ok(one !== two, 'two of them');
    ok(/\?game=[a-z\d]{16}&rules=classic$/.test(one), one);
  },
};
