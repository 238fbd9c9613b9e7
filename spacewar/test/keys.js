// SPDX-License-Identifier: MIT

import { ACTIONS, actionOf, codesOf } from '../controls.js';
import { give, keyLabel, learn } from '../keys.js';
import { equal } from './check.js';

const action = id => ACTIONS.find(one => one.id === id);

export default {
  'a key is shown as what is printed on it': () => {
    const codes = ['KeyA', 'Digit7', 'Space', 'Enter', 'ArrowLeft', 'ArrowDown', 'ShiftLeft', 'F11', 'Slash'];
    equal(codes.map(keyLabel), ['A', '7', 'Space', 'Enter', '←', '↓', 'Shift Left', 'F11', '?']);
  },

  'what is printed on a key is learnt when it is pressed': () => {
    for (const code of ['KeyQ', 'KeyW']) learn({ code, key: code[3].toLowerCase() });
    learn({ code: 'KeyW', key: 'z' });
    learn({ code: 'KeyQ', key: 'Ä', shiftKey: true });
    learn({ code: 'KeyQ', key: '@', altKey: true });
    learn({ code: 'KeyQ', key: 'Dead' });
    learn({ code: 'Slash', key: 'x' });
    equal([keyLabel('KeyW'), keyLabel('KeyQ'), keyLabel('Slash')], ['Z', 'Q', '?']);
    learn({ code: 'KeyW', key: 'w' });
  },

  'a key that is given to an action is its only one, and that of no other': () => {
    const keys = give({}, 'KeyA', 'fire');
    equal(keys, { fire: ['KeyA'] });
    equal(codesOf(action('fire'), keys), ['KeyA']);
    equal(codesOf(action('left'), keys), ['KeyH', 'ArrowLeft'], 'left, which had it');
    equal(actionOf('KeyA', keys).id, 'fire');
  },

  'a key goes from one action to another and back': () => {
    const there = give(give({}, 'KeyQ', 'fire'), 'KeyQ', 'left');
    equal(there, { left: ['KeyQ'] }, 'who has none left has the usual ones');
    equal(codesOf(action('fire'), there), ['KeyF', 'KeyL', 'Space']);
    equal(give(there, 'KeyQ', 'fire'), { fire: ['KeyQ'] });
  },

  'what was given is not changed': () => {
    const keys = { left: ['KeyQ', 'KeyW'] };
    equal(give(keys, 'KeyQ', 'fire'), { left: ['KeyW'], fire: ['KeyQ'] });
    equal(keys, { left: ['KeyQ', 'KeyW'] });
  },
};
