// SPDX-License-Identifier: MIT

// Keys, fingers, wheel and gamepads, all made up: events that a page sends itself differ from real ones
// only in that they are not trusted, and so wake no sound.

import { ACTIONS, Controls, actionOf, codesOf, usable } from '../controls.js';
import { equal, near, ok } from './check.js';

/** Runs a test with controls on a page of their own; `said` are the commands that came. */
function withControls(test, keys = {}) {
  return () => {
    const canvas = document.createElement('canvas');
    const pads = document.createElement('div');
    const [left, top] = [10, 20];
    Object.assign(canvas.style, { position: 'fixed', left: `${left}px`, top: `${top}px` });
    document.body.append(canvas, pads);
    const settings = { keys };
    const controls = new Controls({ canvas, pads, settings });
    [...pads.children].forEach((pad, i) => Object.assign(pad.style,
      { position: 'fixed', left: `${i * 100}px`, top: '300px', width: '80px', height: '80px' }));
    const said = [];
    controls.oncommand = (id, detail) => said.push(detail ? [id, detail] : id);
    const steer = () => {
      const ship = { hyperspace: false };
      controls.steer(ship);
      return ship;
    };
    try {
      test({ controls, canvas, pads, settings, said, steer });
    } finally {
      controls.close();
      canvas.remove();
      pads.remove();
    }
  };
}

/** Returns whether the browser may still do what it does with the key. */
function key(type, code, { target = document.body, ...more } = {}) {
  return target.dispatchEvent(new KeyboardEvent(type, { code, bubbles: true, cancelable: true, ...more }));
}

const down = (code, more) => key('keydown', code, more);
const up = (code, more) => key('keyup', code, more);

function pointer(type, target, pointerId, clientX, clientY, more) {
  const event = { pointerId, clientX, clientY, pointerType: 'touch', bubbles: true, cancelable: true, ...more };
  target.dispatchEvent(new PointerEvent(type, event));
}

function withElement(tag, test) {
  const element = document.createElement(tag);
  document.body.append(element);
  try {
    return test(element);
  } finally {
    element.remove();
  }
}

/** A gamepad with some of its buttons down. */
function gamepad({ pressed = [], axes = [0, 0, 0, 0], mapping = 'standard' } = {}) {
  const buttons = Array.from({ length: 17 }, (_, i) => ({ pressed: pressed.includes(i) }));
  return { index: 0, mapping, axes, buttons };
}

function withGamepads(get, test) {
  Object.defineProperty(navigator, 'getGamepads', { value: get, configurable: true });
  document.hasFocus = () => true;
  try {
    test(gamepad => globalThis.dispatchEvent(Object.assign(new Event('gamepadconnected'), { gamepad })));
  } finally {
    delete navigator.getGamepads;
    delete document.hasFocus;
  }
}

const STILL = { hyperspace: false, turn: 0, thrust: false, fire: false };

export default {
  'the keys are those of the rules, and none has two meanings': () => {
    const codes = Object.fromEntries(ACTIONS.map(action => [action.id, action.codes.join(' ')]));
    equal(codes, {
      left: 'KeyA KeyH ArrowLeft', right: 'KeyD KeyJ ArrowRight', thrust: 'KeyW KeyK ArrowUp',
      fire: 'KeyF KeyL Space', hyperspace: 'KeyS Enter ArrowDown', zoomIn: 'KeyZ', zoomOut: 'KeyX', reset: 'KeyR',
      names: 'KeyN', observe: 'KeyO', pause: 'KeyP', timing: 'KeyT', sound: 'KeyM', help: 'Slash',
      settings: 'KeyC', invite: 'KeyI', gg: 'KeyG', hello: 'KeyV', again: 'KeyB', fullscreen: 'KeyU',
    });
    const all = ACTIONS.flatMap(action => action.codes);
    equal(new Set(all).size, all.length, 'different codes');
  },

  'a key is on from its down to its up': withControls(({ steer }) => {
    equal(steer(), STILL);
    down('KeyA');
    equal(steer(), { ...STILL, turn: -1 });
    equal(steer(), { ...STILL, turn: -1 });
    up('KeyA');
    equal(steer(), STILL);
    for (const code of ['KeyD', 'KeyW', 'KeyF']) down(code);
    equal(steer(), { hyperspace: false, turn: 1, thrust: true, fire: true });
  }),

  'a tap between two frames counts in one of them': withControls(({ steer }) => {
    for (const code of ['KeyA', 'KeyK', 'Space', 'Enter']) {
      down(code);
      up(code);
    }
    equal(steer(), { hyperspace: true, turn: -1, thrust: true, fire: true });
    equal(steer(), STILL);
  }),

  'hyperspace happens once per press, and its order is not taken back': withControls(({ controls, steer }) => {
    down('Enter');
    equal(steer().hyperspace, true, 'first');
    down('Enter', { repeat: true });
    equal(steer().hyperspace, false, 'held');
    up('Enter');
    down('Enter');
    equal(steer().hyperspace, true, 'pressed again');
    const ship = { hyperspace: true };
    controls.steer(ship);
    equal(ship.hyperspace, true, 'an order that no step has taken yet');
  }),

  'an action with several keys down is on until all are up': withControls(({ steer }) => {
    down('KeyA');
    down('ArrowLeft');
    up('KeyA');
    equal(steer().turn, -1, 'one is still down');
    up('ArrowLeft');
    equal(steer().turn, 0, 'none is');
  }),

  'opposite turns cancel': withControls(({ steer }) => {
    down('KeyA');
    down('KeyD');
    equal(steer().turn, 0, 'both');
    up('KeyA');
    equal(steer().turn, 1, 'right');
  }),

  'Shift in between changes nothing': withControls(({ steer }) => {
    down('KeyA', { key: 'a' });
    down('ShiftLeft', { key: 'Shift', shiftKey: true });
    up('KeyA', { key: 'A', shiftKey: true });
    equal(steer(), { ...STILL, turn: -1 }, 'the tap');
    equal(steer(), STILL, 'after it');
  }),

  'no key counts with Ctrl, Alt or Meta, but any may be let go': withControls(({ said, steer }) => {
    for (const modifier of ['ctrlKey', 'altKey', 'metaKey']) {
      ok(down('KeyA', { [modifier]: true }), `${modifier}: left to the browser`);
      ok(down('KeyC', { [modifier]: true }), `${modifier}: left to the browser`);
      ok(down('Slash', { key: '?', [modifier]: true }), `${modifier}: left to the browser`);
    }
    equal(steer(), STILL);
    equal(said, []);
    down('KeyA');
    up('KeyA', { ctrlKey: true });
    steer();
    equal(steer(), STILL, 'let go under Ctrl');
  }),

  'Meta lets go of everything, as its keyups get lost': withControls(({ steer }) => {
    down('KeyW');
    down('MetaLeft', { key: 'Meta', metaKey: true });
    equal(steer(), STILL);
  }),

  'a lost focus lets go of everything, and a repeat does not bring it back': withControls(({ steer }) => {
    down('KeyW');
    down('Enter');
    globalThis.dispatchEvent(new Event('blur'));
    equal(steer(), STILL, 'blur');
    down('KeyW', { repeat: true });
    equal(steer(), STILL, 'repeat');
    down('KeyW');
    equal(steer().thrust, true, 'pressed anew');
    globalThis.dispatchEvent(new Event('contextmenu'));
    equal(steer(), STILL, 'menu');
  }),

  'a page that is hidden lets go of everything': withControls(({ steer }) => {
    down('KeyW');
    Object.defineProperty(document, 'hidden', { value: true, configurable: true });
    document.dispatchEvent(new Event('visibilitychange'));
    delete document.hidden;
    equal(steer(), STILL);
  }),

  'in an empty field that is made for it, arrows and Space steer and all else is typed': withControls(({ steer }) => {
    withElement('input', field => {
      field.dataset.flies = '';
      for (const [code, typed] of [['KeyA', true], ['Enter', true], ['ArrowLeft', false], ['Space', false]]) {
        equal(down(code, { target: field }), typed, code);
        up(code);
      }
      equal(steer(), { ...STILL, turn: -1, fire: true });
      field.value = 'Ada';
      for (const code of ['ArrowLeft', 'Space']) ok(down(code, { target: field }), `${code} in a name`);
      equal(steer(), STILL);
    });
  }),

  'a dialog that opens lets go of everything and keeps the keys': withControls(({ said, steer }) => {
    withElement('dialog', dialog => {
      dialog.append(document.createElement('button'));
      down('KeyW');
      dialog.showModal();
      dialog.firstChild.dispatchEvent(new FocusEvent('focusin', { bubbles: true }));  // a page in the back gets none
      equal(steer(), STILL, 'held');
      ok(down('KeyA', { target: dialog.firstChild }), 'a key in it');
      ok(down('KeyP'), 'a key beside it');
      equal(steer(), STILL, 'pressed');
      equal(said, []);
    });
  }),

  'what is typed into a field is not steering': withControls(({ said, steer }) => {
    for (const tag of ['input', 'textarea', 'select']) {
      withElement(tag, field => {
        ok(down('KeyF', { target: field }), `${tag}: left to it`);
        ok(down('KeyC', { target: field }), `${tag}: left to it`);
        ok(down('Slash', { target: field, key: '?' }), `${tag}: left to it`);
      });
    }
    equal(steer(), STILL);
    equal(said, []);
  }),

  'a button with the focus keeps Space and Enter, and no other key': withControls(({ steer }) => {
    withElement('button', button => {
      ok(down('Space', { target: button }), 'Space is left to it');
      ok(down('Enter', { target: button }), 'Enter is left to it');
      equal(steer(), STILL);
      down('KeyF', { target: button });
      equal(steer().fire, true, 'F');
    });
  }),

  'only keys that mean something are kept from the browser': withControls(() => {
    for (const code of ['Space', 'ArrowDown', 'ArrowUp', 'KeyC', 'Slash']) ok(!down(code), `${code} is ours`);
    ok(!down('ArrowDown', { repeat: true }), 'its repeats are ours');
    for (const code of ['Tab', 'Escape', 'F1', 'F5', 'F12', 'PageDown', 'KeyQ', '']) ok(down(code), `${code} is not`);
  }),

  'commands come once per press': withControls(({ said }) => {
    for (const { id, codes: [code], steering } of ACTIONS) {
      if (steering) continue;
      down(code);
      down(code, { repeat: true });
      up(code);
      equal(said.splice(0), [id]);
    }
  }),

  'help is found by its character wherever that is': withControls(({ said }) => {
    down('Slash', { key: '?', shiftKey: true });
    down('Slash', { key: '/' });
    down('Minus', { key: '?', shiftKey: true });  // German
    down('KeyM', { key: '?', shiftKey: true });   // French, where this is not the sound
    equal(said, ['help', 'help', 'help', 'help']);
  }),

  'keys can be chosen, at any time, and take a key from its usual action': withControls(({ settings, said, steer }) => {
    down('KeyQ');
    equal(steer().turn, -1, 'chosen');
    up('KeyQ');
    steer();
    down('KeyH');
    equal(steer().turn, 0, 'the usual key of an action with a chosen one');
    down('KeyD');
    equal(steer(), { ...STILL, fire: true }, 'taken from the right turn');
    up('KeyD');
    settings.keys = { pause: ['KeyQ'] };
    down('KeyQ');
    equal(said, ['pause']);
  }, { left: ['KeyQ'], fire: ['KeyD', 'Space'] }),

  'codes of an action are those that work': () => {
    const [left, right] = ACTIONS;
    equal(codesOf(right, { fire: ['KeyD'] }), ['KeyJ', 'ArrowRight']);
    equal(codesOf(left, { left: ['KeyQ'] }), ['KeyQ']);
    equal(codesOf(left, undefined), left.codes);
    equal(actionOf('KeyA', { right: ['KeyA'] }), right);
  },

  'garbage among the chosen keys is ignored': () => {
    const [left] = ACTIONS;
    for (const keys of [null, undefined, 5, 'left', [], { left: 'KeyQ' }, { left: {} }, { left: [] },
      { left: [5, null] }, { left: [''] }, { left: ['Tab', 'Escape'] }, { nothing: ['KeyA'] },
      { __proto__: null, toString: ['KeyA'] }]) {
      equal(codesOf(left, keys), left.codes, JSON.stringify(keys));
      equal(actionOf('', keys), undefined, 'a key without a code');
    }
    equal(codesOf(left, { left: [5, 'KeyQ', null] }), ['KeyQ']);
    for (const code of ['KeyA', 'ArrowLeft', 'Digit1', 'ShiftLeft', 'F9', 'Slash']) ok(usable(code), code);
    for (const code of ['Tab', 'Escape', '', 'a b', '<b>', 5, null, undefined]) ok(!usable(code), String(code));
  },

  'every pad has a name to be read out, and is not on the way of the Tab key': withControls(({ pads }) => {
    const names = [...pads.children].map(pad => pad.getAttribute('aria-label'));
    equal(names, ['Turn left', 'Turn right', 'Thrust', 'Fire', 'Hyperspace']);
    ok([...pads.children].every(pad => pad.tabIndex === -1 && pad.type === 'button'));
  }),

  'several fingers hold several pads': withControls(({ pads, steer }) => {
    const [left, , thrust, fire] = pads.children;
    pointer('pointerdown', left, 1, 40, 340);
    pointer('pointerdown', thrust.querySelector('path'), 2, 240, 340);
    pointer('pointerdown', fire, 3, 340, 340);
    equal(steer(), { hyperspace: false, turn: -1, thrust: true, fire: true });
    ok(left.classList.contains('held'), 'the pad shows it');
    pointer('pointerup', left, 1, 40, 340);
    pointer('pointercancel', fire, 3, 340, 340);
    equal(steer(), { ...STILL, thrust: true });
    ok(!left.classList.contains('held'), 'the pad shows it no more');
  }),

  'two fingers on one pad hold it until both are up': withControls(({ pads: { children: [, , thrust] }, steer }) => {
    pointer('pointerdown', thrust, 1, 240, 340);
    pointer('pointerdown', thrust, 2, 245, 340);
    pointer('pointerup', thrust, 1, 240, 340);
    equal(steer().thrust, true, 'one finger');
    pointer('pointerup', thrust, 2, 245, 340);
    equal(steer().thrust, false, 'none');
  }),

  'a finger slides from left to right and back, however far it drifts': withControls(({ pads, steer }) => {
    const [left] = pads.children;
    pointer('pointerdown', left, 1, 40, 340);
    equal(steer().turn, -1, 'left');
    pointer('pointermove', left, 1, 130, 240);
    equal(steer().turn, 1, 'right');
    pointer('pointermove', left, 1, 900, 340);
    equal(steer(), { ...STILL, turn: 1 }, 'over all the others');
    pointer('pointermove', left, 1, 5, 500);
    equal(steer().turn, -1, 'back');
    pointer('pointerup', document.body, 1, 5, 500);
    equal(steer().turn, 0, 'up');
  }),

  'no finger slides into hyperspace': withControls(({ pads, steer }) => {
    const [, , , fire, hyperspace] = pads.children;
    pointer('pointerdown', fire, 1, 340, 340);
    pointer('pointermove', fire, 1, 440, 340);
    equal(steer(), { ...STILL, fire: true });
    pointer('pointerdown', hyperspace, 2, 440, 340);
    equal(steer().hyperspace, true, 'a finger of its own');
    equal(steer().hyperspace, false, 'once');
  }),

  'a mouse presses pads with its first button': withControls(({ pads: { children: [left] }, steer }) => {
    pointer('pointerdown', left, 1, 40, 340, { pointerType: 'mouse', button: 2 });
    equal(steer().turn, 0, 'second button');
    pointer('pointerdown', left, 1, 40, 340, { pointerType: 'mouse' });
    equal(steer().turn, -1, 'first button');
  }),

  'a screen reader’s click is a tap, a pointer’s adds nothing': withControls(({ pads, steer }) => {
    const [, , , fire, hyperspace] = pads.children;
    hyperspace.click();
    equal(steer(), { ...STILL, hyperspace: true });
    fire.dispatchEvent(new MouseEvent('click', { detail: 1, bubbles: true }));
    equal(steer(), STILL);
  }),

  'a long press on a pad opens no menu and stays held': withControls(({ pads: { children: [left] }, steer }) => {
    pointer('pointerdown', left, 1, 40, 340);
    const menu = new Event('contextmenu', { bubbles: true, cancelable: true });
    ok(!left.dispatchEvent(menu), 'prevented');
    equal(steer().turn, -1, 'held');
  }),

  'pads appear with the first touch, if they were not there': withControls(({ canvas, pads }) => {
    pointer('pointerdown', canvas, 1, 50, 50, { pointerType: 'mouse' });
    ok(!pads.classList.contains('touched'), 'mouse');
    pointer('pointerdown', canvas, 1, 50, 50);
    ok(pads.classList.contains('touched'), 'touch');
  }),

  'a tap on the sky tracks, with the place on the canvas': withControls(({ canvas, said }) => {
    pointer('pointerdown', canvas, 1, 50, 60);
    pointer('pointermove', canvas, 1, 54, 62);
    equal(said, [], 'not before it is up');
    pointer('pointerup', canvas, 1, 54, 62);
    equal(said, [['track', { x: 40, y: 40 }]]);
  }),

  'neither a drag, nor a pinch, nor a cancelled touch, nor another button tracks': withControls(({ canvas, said }) => {
    pointer('pointerdown', canvas, 1, 50, 60);
    pointer('pointermove', canvas, 1, 90, 60);
    pointer('pointermove', canvas, 1, 50, 60);
    pointer('pointerup', canvas, 1, 50, 60);
    pointer('pointerdown', canvas, 1, 50, 60);
    pointer('pointercancel', canvas, 1, 50, 60);
    pointer('pointerdown', canvas, 1, 50, 60, { button: 2 });
    pointer('pointerup', canvas, 1, 50, 60, { button: 2 });
    pointer('pointerdown', canvas, 1, 50, 60);
    pointer('pointerdown', canvas, 2, 150, 60);
    pointer('pointerup', canvas, 1, 50, 60);
    pointer('pointerup', canvas, 2, 150, 60);
    equal(said, []);
  }),

  'two fingers zoom about their middle': withControls(({ canvas, said }) => {
    pointer('pointerdown', canvas, 1, 110, 120);
    pointer('pointerdown', canvas, 2, 210, 120);
    pointer('pointermove', canvas, 2, 310, 120);
    pointer('pointermove', canvas, 1, 210, 120);
    equal(said, [['zoom', { factor: 2, x: 200, y: 100 }], ['zoom', { factor: 0.5, x: 250, y: 100 }]]);
    said.length = 0;
    pointer('pointermove', canvas, 1, 310, 120);
    pointer('pointermove', canvas, 2, 310.5, 120);
    ok(said.every(([, { factor }]) => factor > 0.2 && factor < 5), 'fingers that meet');
    pointer('pointerup', canvas, 2, 310, 120);
    said.length = 0;
    pointer('pointermove', canvas, 1, 10, 120);
    equal(said, [], 'one finger left');
  }),

  'a finger on a pad is none of a pinch': withControls(({ canvas, pads: { children: [left] }, said, steer }) => {
    pointer('pointerdown', left, 1, 40, 340);
    pointer('pointerdown', canvas, 2, 50, 60);
    pointer('pointerup', canvas, 2, 50, 60);
    equal(said, [['track', { x: 40, y: 40 }]]);
    equal(steer().turn, -1);
  }),

  'a finger whose end was missed spoils no later tap': withControls(({ canvas, said }) => {
    pointer('pointerdown', canvas, 1, 50, 60, { isPrimary: true });
    pointer('pointerdown', canvas, 2, 50, 60, { isPrimary: true });
    pointer('pointerup', canvas, 2, 50, 60, { isPrimary: true });
    equal(said.length, 1);
  }),

  'the wheel zooms alike in pixels, lines and pages, within bounds, not with Ctrl': withControls(({ canvas, said }) => {
    const wheel = more => canvas.dispatchEvent(
      new WheelEvent('wheel', { clientX: 110, clientY: 120, bubbles: true, cancelable: true, ...more }));
    for (const more of [{ deltaY: 100 }, { deltaY: 5, deltaMode: 1 }, { deltaY: 0.25, deltaMode: 2 }]) {
      ok(!wheel(more), 'prevented');
      const [[id, { factor, x, y }]] = said.splice(0);
      equal([id, x, y], ['zoom', 100, 100]);
      near(factor, Math.exp(-0.2), 1e-9, 'factor');
    }
    wheel({ deltaY: -100 });
    near(said.splice(0)[0][1].factor, Math.exp(0.2), 1e-9, 'factor');
    wheel({ deltaY: 1e9 });
    near(said.splice(0)[0][1].factor, Math.exp(-0.5), 1e-9, 'factor');
    ok(wheel({ deltaY: 100, ctrlKey: true }), 'with Ctrl left to the browser');
    wheel({ deltaX: 100 });
    equal(said, []);
  }),

  'without a gamepad none is asked for': withControls(({ steer }) => {
    let asked = 0;
    withGamepads(() => (asked++, [null, null]), connect => {
      for (let i = 0; i < 10; i++) steer();
      equal(asked, 0, 'questions');
      connect();
      for (let i = 0; i < 10; i++) steer();
      equal(asked, 1, 'questions after one came that is not there');
    });
  }),

  'a gamepad that may not be asked for changes nothing': withControls(({ steer }) => {
    withGamepads(() => {
      throw new DOMException('not here', 'SecurityError');
    }, connect => {
      connect();
      equal(steer(), STILL);
    });
    withGamepads(undefined, connect => {
      connect();
      equal(steer(), STILL);
    });
  }),

  'a gamepad’s buttons and stick steer': withControls(({ steer, said }) => {
    let now = gamepad();
    withGamepads(() => [null, now], connect => {
      connect();
      const seen = state => {
        now = gamepad(state);
        return steer();
      };
      equal(seen(), STILL);
      equal(seen({ pressed: [0, 6] }), { hyperspace: false, turn: 0, thrust: true, fire: true });
      equal(seen({ pressed: [1, 7] }), { hyperspace: false, turn: 0, thrust: true, fire: true });
      equal(seen({ pressed: [12, 14] }), { ...STILL, turn: -1, thrust: true });
      equal(seen({ pressed: [15] }), { ...STILL, turn: 1 });
      equal(seen({ pressed: [3] }), { ...STILL, hyperspace: true });
      equal(seen({ pressed: [3] }), STILL);
      equal(seen({ axes: [-0.9, 0] }).turn, -1);
      equal(seen({ axes: [0.9, 0] }).turn, 1);
      equal(seen({ axes: [0.3, 0] }).turn, 1, 'a stick that trembles');
      equal(seen({ axes: [0.2, 0] }).turn, 0, 'the dead zone');
      equal(seen({ axes: [0.3, 0] }).turn, 0, 'a stick that trembles');
      equal(seen({ pressed: [0], mapping: '' }), STILL, 'buttons that nobody knows');
      equal(said, []);
    });
  }),

  'a gamepad steers only a window that has the focus, and its buttons unlock the sound': withControls(
    ({ controls, steer }) => {
      let wakes = 0;
      controls.onwake = () => wakes++;
      withGamepads(() => [gamepad({ pressed: [0] })], connect => {
        connect();
        document.hasFocus = () => false;
        equal([steer(), wakes], [STILL, 0], 'in the background');
        document.hasFocus = () => true;
        const activation = { value: { hasBeenActive: true }, configurable: true };
        Object.defineProperty(navigator, 'userActivation', activation);
        equal([steer().fire, wakes], [true, 1]);
        equal([steer().fire, wakes], [true, 1], 'held');
        delete navigator.userActivation;
      });
    }),

  'whoever plugs in a gamepad that the browser does not know is told so': withControls(({ said }) => {
    withGamepads(() => [gamepad({ mapping: '' })], connect => {
      connect(gamepad({ mapping: '' }));
      connect(gamepad());
      equal(said, ['unknownGamepad']);
    });
  }),

  'behind a dialog a gamepad does not steer, and what is held there counts when it is pressed anew': withControls(
    ({ steer, said }) => {
      let now = gamepad();
      withGamepads(() => [now], connect => withElement('dialog', dialog => {
        const seen = state => {
          now = gamepad(state);
          return steer();
        };
        dialog.append(document.createElement('button'));
        connect();
        equal(seen({ pressed: [1] }), { ...STILL, thrust: true }, 'before');
        dialog.showModal();
        dialog.dispatchEvent(new FocusEvent('focusin', { bubbles: true }));   // a page in the background gets none
        equal(seen({ pressed: [0, 1, 3], axes: [1, 0] }), STILL, 'behind');
        dialog.close();
        equal(seen({ pressed: [0, 1, 3], axes: [1, 0] }), STILL, 'held');
        seen();
        equal(seen({ pressed: [0] }), { ...STILL, fire: true }, 'after');
        equal(said, []);
      }));
    }),

  'a gamepad’s command comes once, also when it makes the game let go': withControls(({ controls, steer, said }) => {
    let now = gamepad();
    withGamepads(() => [now], connect => {
      connect();
      controls.oncommand = id => {
        said.push(id);
        controls.release();
      };
      now = gamepad({ pressed: [9, 1] });
      for (let i = 0; i < 5; i++) steer();
      equal(said, ['pause']);
      equal(steer(), STILL, 'thrust too waits to be pressed anew');
      now = gamepad();
      steer();
      now = gamepad({ pressed: [9] });
      steer();
      equal(said, ['pause', 'pause']);
    });
  }),

  'controls that were closed hear nothing': withControls(({ controls, steer }) => {
    controls.close();
    ok(down('KeyA'), 'not prevented');
    equal(steer(), STILL);
  }),
};
