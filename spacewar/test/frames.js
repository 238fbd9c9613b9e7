// SPDX-License-Identifier: MIT

// The game itself, in frames of the page that tests: each frame is a player, and they meet in a room of the relay
// that serves the page. All share one thread, so they must stay in view, where each gets its frames. A player's
// keys are events that a script sends; what only a person's keys do, as Tab and Escape, is tested elsewhere.

import { orbit } from '../physics.js';
import { Settings } from '../settings.js';
import { ARMED } from '../world.js';

const PATIENCE = 15_000;  // ms for what a test waits for
const LOOK = 15;          // ms between looks
const FRAME = 50;         // ms between frames: nobody looks at them, and those of the browser cost the most ...
const OWN_FRAME = 10;     // ... so that only every tenth is one of those
const BELIEVED = 2 * ARMED;   // ms that a ship must stay somewhere until late witnesses, too, believe what it does
const GAME = new URL('..', import.meta.url);

export const wait = ms => new Promise(done => setTimeout(done, ms));

/** Waits for it. `what` says in words what for, or is a function that does. */
export async function until(check, what) {
  const end = performance.now() + PATIENCE;
  for (;;) {
    const found = check();
    if (found) return found;
    if (performance.now() > end) {
      throw new Error(`in vain for ${PATIENCE / 1000} s: ${typeof what === 'function' ? what() : what}`);
    }
    await wait(LOOK);
  }
}

/** A room that nobody else is in, as a query. */
export function newRoom() {
  return `?game=test-${crypto.getRandomValues(new Uint32Array(1))[0]}`;
}

/** A storage of a frame's own, as all frames would share that of the browser. */
function storageOf(settings) {
  const items = new Map();
  if (settings !== undefined) items.set('spacewar', typeof settings === 'string' ? settings : JSON.stringify(settings));
  return { asked: 0, getItem(key) {
    this.asked++;
    return items.get(key) ?? null;
  }, setItem: (key, value) => items.set(key, value) };
}

export class Player {
  complaints = [];     // errors and warnings
  #frame; #storage;

  /**
   * Opens the game in a room. `settings` is what it finds in the browser's storage, or `storage` is that one;
   * `before` gets the window before the game's modules run.
   */
  static async open(room, { settings, storage = storageOf(settings), before = () => {} } = {}) {
    const player = new Player();
    player.#storage = storage;
    const frame = player.#frame = document.createElement('iframe');
    Object.assign(frame, { width: 640, height: 360, className: 'game', src: new URL(room, GAME) });
    frames().append(frame);
    await player.#start(before);
    return player;
  }

  /** Somebody in the room who was here before, has a name and wants no practice ships, which shoot. */
  static async named(name, room, { settings, ...options } = {}) {
    const player = await Player.open(room,
      { ...options, settings: { name, look: name.length, practice: 0, ...settings } });
    const flies = ({ me, link, frames }) => me.state === 'flying' && link === 'relay' && frames > 0;
    await player.until(({ sight }) => flies(sight), `${name} flies`);
    return player;
  }

  async #start(before) {
    await nextDocument(this.#frame);
    const { window, document } = this;
    Object.defineProperty(window, 'localStorage', { get: () => this.#storage.get?.() ?? this.#storage });
    for (const type of ['error', 'unhandledrejection']) {
      window.addEventListener(type, ({ message, reason }) => this.complaints.push(message ?? String(reason)));
    }
    // Another frame or window may take the focus; the game would let go of all keys.
    window.addEventListener('blur', event => { if (event.isTrusted) event.stopImmediatePropagation(); }, true);
    for (const level of ['error', 'warn']) window.console[level] = (...what) => this.complaints.push(what.join(' '));
    const { requestAnimationFrame } = window;
    let frames = 0;
    window.requestAnimationFrame = callback => window.setTimeout(() => {
      if (++frames % OWN_FRAME === 0) requestAnimationFrame(callback);
      else callback(window.performance.now());
    }, FRAME);
    before(window);
    await until(() => document.head, 'a page');
    const script = document.createElement('script');
    Object.assign(script, { type: 'module', src: new URL('handle.js', import.meta.url) });
    document.head.append(script);
    await until(() => window.game, () => `the game: ${this.complaints}`);
    if (this.#storage.asked === 0) throw new Error('the game has started before its storage was ready');
  }

  get window() {
    return this.#frame.contentWindow;
  }

  get document() {
    return this.#frame.contentDocument;
  }

  get game() {
    return this.window.game;
  }

  /** What the game tells of itself. */
  get sight() {
    return this.game.inspect();
  }

  /** Its own ship. */
  get me() {
    return this.sight.me;
  }

  get ships() {
    return this.sight.ships;
  }

  $(selector) {
    return this.document.querySelector(selector);
  }

  /** A ship as this page tells of it. */
  seen(name) {
    return this.ships.find(ship => ship.name === name) ?? {};
  }

  async until(check, what) {
    return until(() => check(this), what);
  }

  /** It draws, and its ship moves. */
  async fliesOn() {
    const { frames: before, me: { x } } = this.sight;
    await this.until(({ sight: { frames, me } }) => frames > before + 5 && me.x !== x, 'it flies on');
  }

  /** It draws, and nothing moves. */
  async standsStill() {
    const { frames: before, time } = this.sight;
    await this.until(({ sight }) => sight.frames > before + 5, 'five frames');
    if (this.sight.time !== time) throw new Error('the world moves');
  }

  /** A key goes down, where the focus is. */
  hold(...codes) {
    for (const code of codes) this.#key('keydown', code);
  }

  release(...codes) {
    for (const code of codes) this.#key('keyup', code);
  }

  press(...codes) {
    for (const code of codes) {
      this.hold(code);
      this.release(code);
    }
  }

  #key(type, code) {
    const key = code === 'Space' ? ' ' : code.replace(/^Key/, '').replace('Slash', '?');
    const { document, window: { KeyboardEvent } } = this;
    const event = new KeyboardEvent(type, { code, key, bubbles: true, cancelable: true });
    (document.activeElement ?? document.body).dispatchEvent(event);
  }

  type(text) {
    this.document.activeElement.value += text;
  }

  /** Puts its ship somewhere, at rest. */
  place(x, y, angle = 0) {
    this.game.setShip({ x, y, vx: 0, vy: 0, angle });
  }

  orbit(radius, phase = 0) {
    const ship = {};
    orbit(ship, radius, phase, 1);
    this.game.setShip(ship);
  }

  /** Where it is at rest, and is seen there by others for so long that what it does there is believed. */
  async isSeen(...witnesses) {
    const { x, y, name } = this.me;
    for (const witness of witnesses) {
      await witness.until(() => Math.hypot(witness.seen(name).x - x, witness.seen(name).y - y) < 50, `${name} there`);
    }
    await wait(BELIEVED);
  }

  /** Another tab of its browser changes settings. */
  change(settings) {
    this.#storage.setItem('spacewar', JSON.stringify({ ...this.stored, ...settings }));
    this.window.dispatchEvent(new this.window.StorageEvent('storage', { key: 'spacewar' }));
  }

  /** The page is as in a hidden tab, but for what the browser does to one. */
  hide(hidden = true) {
    Object.defineProperty(this.document, 'hidden', { get: () => hidden, configurable: true });
    this.document.dispatchEvent(new this.window.Event('visibilitychange'));
  }

  /** Opens the same page anew. */
  async reload(before = () => {}) {
    this.#storage.asked = 0;
    this.window.location.reload();
    await this.#start(before);
  }

  /** What it has stored. */
  get stored() {
    return new Settings(this.#storage);
  }

  /** Leaves; whatever has happened, its console has been silent, but if it was left while it asked for servers. */
  close() {
    this.#frame.remove();
    const complaints = this.complaints.filter(complaint => !complaint.startsWith('No ICE servers '));
    if (complaints.length) throw new Error(`in the console: ${complaints.join(', ')}`);
  }
}

/** Where the frames are. */
function frames() {
  const before = document.querySelector('#frames');
  if (before) return before;
  const made = Object.assign(document.createElement('div'), { id: 'frames' });
  document.body.append(made);
  return made;
}

/** Waits until a frame has the document it was sent to, and looks so often that no module of it has run yet. */
async function nextDocument(frame) {
  const before = frame.contentDocument;
  const { port1, port2 } = new MessageChannel();
  const end = performance.now() + PATIENCE;
  while (frame.contentDocument === before || frame.contentDocument.URL === 'about:blank') {
    if (performance.now() > end) throw new Error('the frame stays empty');
    await new Promise(done => {
      port1.onmessage = done;
      port2.postMessage(null);
    });
  }
  port1.close();
}

/** All of them see each other's ships, and no others. */
export async function meet(...players) {
  for (const player of players) {
    await player.until(({ ships }) => ships.length === players.length, `${players.length} ships`);
  }
}

/** Each of them sees it of the ship of that name. */
export async function allSee(name, check, ...players) {
  for (const player of players) await player.until(() => check(player.seen(name)), `${name}: ${check}`);
}

/** One shoots the other, so far below the sun. */
export async function shoot(shooter, victim, y) {
  for (const player of [shooter, victim]) await player.until(({ sight }) => sight.round?.begun, 'a round');
  shooter.place(-60, y);
  victim.place(60, y);
  await Promise.all([shooter.isSeen(victim), victim.isSeen(shooter)]);
  victim.place(60, y);
  victim.game.setShip({ shieldUntil: 0 });
  shooter.place(-60, y);
  shooter.press('KeyF');
  await victim.until(({ me }) => me.state === 'exploded', 'it is hit');
  shooter.place(-460, y);
}

/** A test with these players in a room of their own, who leave it at its end. */
export const players = (...namesAndTest) => async () => {
  const test = namesAndTest.pop();
  const room = newRoom();
  const all = [];
  try {
    for (const name of namesAndTest) all.push(await Player.named(name, room));
    await meet(...all);
    await test(...all, room);
  } finally {
    for (const player of all) player.close();
  }
};

/**
 * Tests that share one page of Ann's, since a page takes longer to open than to test. Each test leaves the page as it
 * found it, but for her ship. After a test that fails, the next one opens a new page.
 */
export function shared(tests) {
  let ann = null;
  let left = Object.keys(tests).length;
  const sharing = test => async () => {
    let passed = false;
    try {
      ann ??= await Player.named('Ann', newRoom());
      await ann.until(({ me }) => me.state === 'flying', 'it flies');
      ann.orbit(300);
      await test(ann);
      passed = true;
    } finally {
      if (--left === 0 || !passed) {
        ann?.close();
        ann = null;
      }
    }
  };
  return Object.fromEntries(Object.entries(tests).map(([name, test]) => [name, sharing(test)]));
}

/** A test with a page as somebody sees it who has never been here. */
export const newcomer = test => async () => {
  const room = newRoom();
  const player = await Player.open(room);
  try {
    await player.until(isAsking, 'it asks for a name');
    await test(player, room);
  } finally {
    player.close();
  }
};

export const isAsking = player => player.$('#name').open;

/** Where a ship is on the screen, our own if no name is given: css px. */
export const where = (player, name = player.me.name) => player.seen(name).at;

/** A click at a point of the sky. */
export function click({ document, window }, [clientX, clientY]) {
  for (const type of ['pointerdown', 'pointerup']) {
    document.querySelector('#sky').dispatchEvent(new window.PointerEvent(type,
      { clientX, clientY, pointerId: 1, isPrimary: true, bubbles: true }));
  }
}

/** Somebody in the room who gives a name there, and then says whatever the test wants. */
export class Stranger {
  id = null;
  heard = [];          // all that was said to it
  #socket;

  static async join(room, { name = 'Eve', look = 0 } = {}) {
    return (await Stranger.watch(room)).says('pilot', 1, JSON.stringify(name), look, 0);
  }

  /** Is there without a name. */
  static async watch(room) {
    const stranger = new Stranger();
    const url = new URL(`/ws-relay${GAME.pathname.replace(/\/$/, '')}${room}`, GAME);
    url.protocol = url.protocol.replace('http', 'ws');
    const socket = stranger.#socket = new WebSocket(url);
    socket.binaryType = 'arraybuffer';
    socket.onmessage = ({ data }) => {
      stranger.heard.push(data);
      if (stranger.id === null) stranger.id = parseInt(data);
    };
    await until(() => stranger.id !== null, 'the relay that serves this page');
    return stranger;
  }

  /** Sends a message as it is, to all if no other target is in it. */
  raw(message) {
    this.#socket.send(message);
    return this;
  }

  send(message, target = '*') {
    return this.raw(`${target} ${message}`);
  }

  says(msgtype, ...fields) {
    return this.send(`${msgtype} [${fields}]`);
  }

  /** Reports that it flies where nobody else is, and what is at rest falls but a few px in a second. */
  flies() {
    return this.says('report', 1, 0, 0, 600, 600, 0, 0, 0, 0, 0);
  }

  /** ... and is seen there for a moment. */
  async fliesBefore(witness, name = 'Eve') {
    this.flies();
    await witness.until(() => Math.hypot(witness.seen(name).x - 600, witness.seen(name).y - 600) < 50, `${name} flies`);
    await wait(BELIEVED);
    return this;
  }

  /** Reports that it was hit there by somebody's missile. */
  hitBy(shooter, missile) {
    return this.says('death', 1, 0, 600, 600, 0, 0, 0, 1, '"missile"', shooter, missile);
  }

  /** Leaves, when all it said has been taken. */
  async close() {
    const closed = new Promise(done => { this.#socket.onclose = done; });
    this.#socket.close();
    await closed;
  }
}
