// SPDX-License-Identifier: MIT

// What a person does, with keys, fingers, a mouse or a gamepad, as two things a game understands:
// steering, which lasts (a ship turns for as long as a key is down), and commands, which happen once.
//
// Whatever is held is a source with the action it stands for: a key by its code, a finger on a pad by
// its pointer id, a gamepad's button by its name. An action is on while any source holds it, so two
// keys for one action, or a key and a finger, need no further thought. steer() is asked once per
// frame; what was pressed and let go between two frames was noted too and lasts that one frame.
// Nothing may stay held that the person has let go: whenever the page might miss that, release()
// lets go of everything.

/** All there is to do, in the order in which to show it; `codes` are the keys as KeyboardEvent.code. */
export const ACTIONS = [
  { id: 'left', label: 'Turn left', codes: ['KeyA', 'KeyH', 'ArrowLeft'], steering: true },
  { id: 'right', label: 'Turn right', codes: ['KeyD', 'KeyJ', 'ArrowRight'], steering: true },
  { id: 'thrust', label: 'Thrust', codes: ['KeyW', 'KeyK', 'ArrowUp'], steering: true },
  { id: 'fire', label: 'Fire', codes: ['KeyF', 'KeyL', 'Space'], steering: true },
  { id: 'hyperspace', label: 'Hyperspace', codes: ['KeyS', 'Enter', 'ArrowDown'], steering: true },
  { id: 'zoomIn', label: 'Zoom in', codes: ['KeyZ'], steering: false },
  { id: 'zoomOut', label: 'Zoom out', codes: ['KeyX'], steering: false },
  { id: 'reset', label: 'Reset the view', codes: ['KeyR'], steering: false },
  { id: 'names', label: 'Names', codes: ['KeyN'], steering: false },
  { id: 'observe', label: 'Observe', codes: ['KeyO'], steering: false },
  { id: 'pause', label: 'Pause', codes: ['KeyP'], steering: false },
  { id: 'timing', label: 'Timing', codes: ['KeyT'], steering: false },
  { id: 'sound', label: 'Sound', codes: ['KeyM'], steering: false },
  { id: 'help', label: 'Help', codes: ['Slash'], steering: false },
  { id: 'settings', label: 'Settings', codes: ['KeyC'], steering: false },
  { id: 'invite', label: 'Invite', codes: ['KeyI'], steering: false },
  { id: 'gg', label: 'Say “gg”', codes: ['KeyG'], steering: false },
  { id: 'hello', label: 'Say “hello”', codes: ['KeyV'], steering: false },
  { id: 'again', label: 'Say “again?”', codes: ['KeyB'], steering: false },
  { id: 'fullscreen', label: 'Full screen', codes: ['KeyU'], steering: false },
];

const HELP = ACTIONS.find(({ id }) => id === 'help');
export const MEANINGLESS = /^(Arrow\w+|Space)$/;           // keys that in an empty field steer the ship
const USABLE = /^(?!(?:Tab|Escape)$)[A-Z]\w+$/;  // codes; these two are how one gets around and out

// The pads for fingers, each with its word, its sign in a square of 48 by 48, and the pad that a finger may
// slide to. To hyperspace none slides: it takes a finger of its own.
const PADS = {
  left: { word: 'left', slide: 'right', sign: 'M13 31 A13 13 0 1 1 33 35 M6 25 L13 31 L19 24' },
  right: { word: 'right', slide: 'left', sign: 'M35 31 A13 13 0 1 0 15 35 M42 25 L35 31 L29 24' },
  thrust: { word: 'thrust', slide: 'fire', sign: 'M24 8 L33 29 L24 24 L15 29 Z M19 32 L24 42 L29 32' },
  fire: { word: 'fire', slide: 'thrust',
    sign: 'M24 5 V15 M24 33 V43 M5 24 H15 M33 24 H43 M24 21 L27 24 L24 27 L21 24 Z' },
  hyperspace: { word: 'jump', sign: 'M24 24 A3 3 0 0 1 30 24 A7 7 0 0 1 16 24 A11 11 0 0 1 38 24 A15 15 0 0 1 8 24' },
};

// A gamepad of the standard mapping: A, B, Y, bumpers, triggers, Back, Start, stick, cross.
const BUTTONS = {
  0: 'fire', 1: 'thrust', 3: 'hyperspace', 4: 'zoomOut', 5: 'zoomIn', 6: 'thrust', 7: 'fire',
  8: 'help', 9: 'pause', 10: 'reset', 12: 'thrust', 13: 'hyperspace', 14: 'left', 15: 'right',
};
const TILT = 0.4;         // of the stick, from 0 to 1, from where on it turns the ship ...
const REST = 0.25;        // ... and below which it stops: apart, so that a shaky stick does not flicker

const SLOP = 12;          // css px that a finger may tremble and still tap
const LEAST_GAP = 30;     // css px between two fingers; what is closer is not told apart well
const WHEEL = 500;        // px of a wheel that zoom by a factor of e; a notch has about 100
const WHEEL_UNITS = [1, 20, 400];  // px in a unit of WheelEvent.deltaMode: a pixel, a line, a page
const FAST_WHEEL = 250;   // px, the most that one event counts for

/** The action of a key. `keys`, from the settings, has other codes for some actions, and they come first. */
export function actionOf(code, keys) {
  return ACTIONS.find(action => chosen(action, keys)?.includes(code))
    ?? ACTIONS.find(action => !chosen(action, keys) && action.codes.includes(code));
}

/** The codes that an action really has: chosen ones, or the usual ones that no other action was given. */
export function codesOf(action, keys) {
  return (chosen(action, keys) ?? action.codes).filter(code => actionOf(code, keys) === action);
}

/** Whether a key may be chosen for an action. */
export function usable(code) {
  return typeof code === 'string' && USABLE.test(code);
}

function chosen({ id }, keys) {
  const codes = keys?.[id];
  return Array.isArray(codes) && codes.some(usable) ? codes.filter(usable) : null;
}

export class Controls {
  // (id, detail): an action that is not steering, 'zoom' { factor, x, y }, 'track' { x, y }, or 'unknownGamepad'
  oncommand = null;
  onwake = null;     // the person did something that allows a page to make sounds; any number of times

  #held = new Map();     // source -> id of an action
  #pressed = new Set();  // ids of actions begun since the last frame
  #fingers = new Map();  // on the sky: pointer id -> { x, y, fromX, fromY, tap }, css px of the window
  #buttons = new Set();  // of gamepads: those that are down, also after release()
  #gamepads = false;     // whether there is one to ask
  #listening = new AbortController();
  #canvas; #pads; #settings;

  /** Hears keys and fingers from now on: on `canvas`, and on the pads, which it puts into `pads`. */
  constructor({ canvas, pads, settings }) {
    this.#canvas = canvas;
    this.#pads = pads;
    this.#settings = settings;
    canvas.style.touchAction = 'none';
    pads.classList.add('pads');
    pads.classList.toggle('touched', matchMedia('(pointer: coarse)').matches);  // elsewhere with the first touch
    pads.replaceChildren(...Object.keys(PADS).map(pad));

    this.#on(globalThis, 'keydown', this.#keydown);
    this.#on(globalThis, 'keyup', ({ code }) => this.#lift(code));
    this.#on(globalThis, 'keydown pointerdown pointerup touchend', this.#wake, { capture: true });
    // The browser's menu over the page hears the keyup; that of a long press on a pad does not open.
    this.#on(globalThis, 'blur contextmenu', event => { if (!event.defaultPrevented) this.release(); });
    this.#on(document, 'visibilitychange', () => { if (document.hidden) this.release(); });
    this.#on(document, 'focusin', ({ target }) => { if (takesKeys(target)) this.release(); });

    this.#on(pads, 'pointerdown', this.#padDown);
    this.#on(pads, 'click', this.#padClick);
    // No menu after a long press, no focus taken, no loupe and no second tap that zooms.
    this.#on(pads, 'contextmenu mousedown touchstart', event => event.preventDefault(), { passive: false });

    this.#on(canvas, 'pointerdown', this.#skyDown);
    this.#on(canvas, 'wheel', this.#wheel, { passive: false });
    // On the window, since a mouse leaves what it was pressed on.
    this.#on(globalThis, 'pointermove', this.#pointerMove);
    this.#on(globalThis, 'pointerup pointercancel', this.#pointerUp);

    this.#on(globalThis, 'gamepadconnected gamepaddisconnected', this.#findGamepads);
  }

  /** Steers a ship, once per frame. */
  steer(ship) {
    if (this.#gamepads && document.hasFocus()) this.#pollGamepads();
    ship.turn = this.#isOn('right') - this.#isOn('left');
    ship.thrust = this.#isOn('thrust');
    ship.fire = this.#isOn('fire');
    if (this.#pressed.has('hyperspace')) ship.hyperspace = true;
    this.#pressed.clear();
  }

  /** Lets go of everything; what is still down counts again when it is pressed anew. */
  release() {
    this.#held.clear();
    this.#pressed.clear();
    this.#fingers.clear();
    this.#light();
  }

  /** Hears nothing any more. */
  close() {
    this.#listening.abort();
  }

  #on(target, types, handler, options) {
    const { signal } = this.#listening;
    for (const type of types.split(' ')) target.addEventListener(type, handler, { ...options, signal });
  }

  #isOn(id) {
    if (this.#pressed.has(id)) return true;
    for (const held of this.#held.values()) if (held === id) return true;
    return false;
  }

  #press(source, id) {
    this.#held.set(source, id);
    this.#pressed.add(id);
    this.#light();
  }

  #lift(source) {
    if (this.#held.delete(source)) this.#light();
  }

  #light() {
    const held = new Set(this.#held.values());
    for (const button of this.#pads.children) button.classList.toggle('held', held.has(button.name));
  }

  /** Browsers allow sound after some events only and say so; where they cannot be asked, we try. */
  #wake = event => {
    if (event.pointerType === 'touch') this.#pads.classList.add('touched');
    if (event.isTrusted && (navigator.userActivation?.isActive ?? true)) this.onwake?.();
  };

  // ---- Keys ----

  #keydown = event => {
    const { code, key, target } = event;
    if (key === 'Meta') return this.release();  // while it is down, macOS keeps other keys' keyup to itself
    if (event.ctrlKey || event.altKey || event.metaKey || takesKeys(target, code) || presses(target, code)) return;
    // Help is found by its character too, wherever a keyboard has it.
    const action = key === '?' ? HELP : actionOf(code, this.#settings.keys);
    if (!action) return;
    event.preventDefault();
    if (event.repeat) return;
    if (action.steering) this.#press(code, action.id);
    else this.oncommand?.(action.id);
  };

  // ---- Pads ----

  #padDown = event => {
    const button = event.target.closest('button');
    if (button && event.button === 0) this.#press(event.pointerId, button.name);
  };

  /** A screen reader clicks without a pointer. */
  #padClick = event => {
    const button = event.target.closest('button');
    if (button && event.detail === 0) this.#pressed.add(button.name);
  };

  /** A finger that was put on a pad stays with it or the one beside it, wherever it drifts, until lifted. */
  #slide({ pointerId, clientX, clientY }) {
    const id = this.#held.get(pointerId);
    const other = PADS[id]?.slide;
    if (!other) return;
    const distance = name => {
      const { x, y, width, height } = this.#pads.children[name].getBoundingClientRect();
      return Math.hypot(clientX - x - width / 2, clientY - y - height / 2);
    };
    if (distance(other) < distance(id)) this.#press(pointerId, other);
  }

  // ---- The sky: tap, pinch and wheel ----

  #skyDown = event => {
    if (event.button !== 0) return;
    if (event.isPrimary) this.#fingers.clear();  // the first of its kind: of any other, we missed the end
    const { pointerId, clientX: x, clientY: y } = event;
    this.#fingers.set(pointerId, { x, y, fromX: x, fromY: y, tap: true });
    if (this.#fingers.size > 1) for (const finger of this.#fingers.values()) finger.tap = false;
  };

  #pointerMove = event => {
    this.#slide(event);
    const finger = this.#fingers.get(event.pointerId);
    if (!finger) return;
    const before = this.#gap();
    finger.x = event.clientX;
    finger.y = event.clientY;
    if (Math.hypot(finger.x - finger.fromX, finger.y - finger.fromY) > SLOP) finger.tap = false;
    if (this.#fingers.size !== 2) return;
    const [a, b] = this.#fingers.values();
    this.#zoom(this.#gap() / before, (a.x + b.x) / 2, (a.y + b.y) / 2);
  };

  #pointerUp = event => {
    this.#lift(event.pointerId);
    const finger = this.#fingers.get(event.pointerId);
    this.#fingers.delete(event.pointerId);
    if (!finger?.tap || event.type === 'pointercancel') return;
    this.oncommand?.('track', this.#onCanvas(finger.fromX, finger.fromY));
  };

  #gap() {
    const [a, b = a] = this.#fingers.values();
    return Math.max(LEAST_GAP, Math.hypot(a.x - b.x, a.y - b.y));
  }

  #wheel = event => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;  // the browser's own zoom, and its history
    event.preventDefault();
    const delta = event.deltaY * WHEEL_UNITS[event.deltaMode];
    const counted = Math.min(FAST_WHEEL, Math.max(-FAST_WHEEL, delta));
    if (counted) this.#zoom(Math.exp(-counted / WHEEL), event.clientX, event.clientY);
  };

  #zoom(factor, x, y) {
    if (factor !== 1) this.oncommand?.('zoom', { factor, ...this.#onCanvas(x, y) });
  }

  #onCanvas(x, y) {
    const { left, top } = this.#canvas.getBoundingClientRect();
    return { x: x - left, y: y - top };
  }

  // ---- Gamepads ----

  /** Asked for only when there is one, since the answer is a new list each time. */
  #findGamepads = event => {
    this.#gamepads = gamepads().length > 0;
    if (event.type === 'gamepadconnected' && event.gamepad && event.gamepad.mapping !== 'standard') {
      this.oncommand?.('unknownGamepad');
    }
    this.#buttons.clear();
    this.release();
  };

  #pollGamepads() {
    for (const { index, axes, buttons } of gamepads()) {
      for (const button in BUTTONS) {
        this.#button(`gamepad ${index} button ${button}`, BUTTONS[button], buttons[button]?.pressed);
      }
      for (const [id, side] of [['left', -1], ['right', 1]]) {
        const source = `gamepad ${index} stick ${id}`;
        this.#button(source, id, side * axes[0] > (this.#buttons.has(source) ? REST : TILT));
      }
    }
  }

  /** A gamepad tells how things are, not what happens: the change is what counts, and only once. */
  #button(source, id, down = false) {
    if (down === this.#buttons.has(source)) return;
    if (!down) {
      this.#buttons.delete(source);
      return this.#lift(source);
    }
    this.#buttons.add(source);
    if (navigator.userActivation?.hasBeenActive ?? true) this.onwake?.();   // which some browsers grant for a button
    if (!ACTIONS.find(action => action.id === id).steering) this.oncommand?.(id);
    else if (!isDialogOpen()) this.#press(source, id);
  }
}

/** Those whose buttons are known. None where the browser has none to give, or throws on being asked. */
function gamepads() {
  try {
    return [...navigator.getGamepads?.() ?? []].filter(gamepad => gamepad?.mapping === 'standard');
  } catch (forbidden) {  // by the policy of the page that frames this one
    return [];
  }
}

/** Whether what is typed is meant for something on the page: a field, or a dialog. */
function takesKeys(target, code) {
  if (target.matches?.('[data-flies]') && target.value === '' && MEANINGLESS.test(code)) return false;
  return isDialogOpen() || Boolean(target.closest?.('input, textarea, select, dialog, [contenteditable]'));
}

/** Whether a dialog has the page to itself. */
function isDialogOpen() {
  return document.querySelector('dialog:modal') !== null;
}

/** Whether a key operates the button or link that has the focus. */
function presses(target, code) {
  return /^(Space|Enter|NumpadEnter)$/.test(code) && Boolean(target.closest?.('button, a[href], summary'));
}

function pad(id) {
  const button = document.createElement('button');
  Object.assign(button, { type: 'button', name: id, className: id, tabIndex: -1 });
  button.setAttribute('aria-label', ACTIONS.find(action => action.id === id).label);
  const word = document.createElement('span');
  word.textContent = PADS[id].word;
  word.ariaHidden = 'true';
  button.append(sign(id), word);
  return button;
}

const FINGERS_ONLY = matchMedia('(hover: none) and (pointer: coarse)');   // kept, as it is asked in each frame

/** Whether there are neither keys nor a mouse, as far as the browser knows. */
export function onlyFingers() {
  return FINGERS_ONLY.matches;
}

/** The sign on a pad. */
export function sign(id) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('viewBox', '0 0 48 48');
  svg.setAttribute('aria-hidden', 'true');
  for (const stroke of ['halo', 'core']) {
    const path = document.createElementNS(svg.namespaceURI, 'path');
    path.setAttribute('class', stroke);
    path.setAttribute('d', PADS[id].sign);
    svg.append(path);
  }
  return svg;
}
