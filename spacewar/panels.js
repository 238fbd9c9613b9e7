// SPDX-License-Identifier: MIT

// All of the page that is not the sky: the row of buttons, the dialogs, the timing table, and what a
// screen reader is told. The markup is in index.html; here it is filled and made to work. A dialog is
// the browser's own, which keeps the focus inside and closes on Escape; the game goes on behind it.
// What is chosen holds at once, without a button to confirm it.
//
// Names come from strangers. They reach the page through textContent only.

import { privateSky, reachable } from './address.js';
import { countOthers } from './board.js';
import { ACTIONS, MEANINGLESS, actionOf, codesOf, onlyFingers, sign } from './controls.js';
import { KeyTable, caps, keyLabel } from './keys.js';
import { colourIndex, lookOf, shapeIndex } from './looks.js';
import { cleanName } from './names.js';
import { STEP } from './physics.js';
import { qr } from './qr.js';
import { GOAL, ROUND_LENGTH } from './round.js';
import { COLOUR_NAMES, SHAPES, drawShip } from './ships.js';
import { ARMED, AWAY, SHIELD } from './world.js';

const QUIET_ZONE = 4; // modules around a QR code, ISO/IEC 18004 §6.3.8
const QR_WIDTH = 230; // css px aimed at; more if modules would be smaller than ...
const QR_MODULE = 4;  // ... this many css px
const SHIP = 44;      // css px of a ship to choose
const LOG_LINES = 20; // lines kept for screen readers
const LOCAL = /^(localhost|127\..*|\[::1\])$/;
const PATHS = { relay: 'relay', webrtc: 'direct' };

const $ = selector => document.querySelector(selector);

const element = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};

export class Panels {
  oncommand = null;   // (id): a button of the menu was pressed that stands for an action of controls.js
  onchange = null;    // (): the settings are other ones now, and saved

  #settings; #rules; #room; #address; #invitation; #keys;
  #told = null;       // the last line of the feed that was logged
  #shown = '';        // what the score board says

  /** `room` is the path of the room, `address` that of the page, `rules` are those of the world. */
  constructor({ settings, room, address, rules }) {
    this.#settings = settings;
    this.#rules = rules;
    this.#room = room;
    this.#address = new URL(address);
    for (const dialog of document.querySelectorAll('dialog')) this.#prepare(dialog);
    for (const button of document.querySelectorAll('#buttons button')) {
      button.onclick = event => this.#choose(button.dataset.command, event);
    }
    this.#prepareName();
    this.#prepareInvite();
    this.#prepareSettings();
    this.#prepareHelp();
  }

  /** Opens 'help', 'settings' or 'invite', and then keys are not for the ship. */
  open(id) {
    const dialog = $(`dialog#${id}`);
    if (dialog.open) return;
    $('dialog[open]')?.close();
    this.#fill[id]();
    dialog.showModal();
  }

  /** Whether a dialog has the keys. */
  get isOpen() {
    return $('dialog:modal') !== null;
  }

  /** What is printed on the first key for a command. */
  keyOf(id) {
    return keyLabel(codesOf(ACTIONS.find(action => action.id === id), this.#settings.keys)[0] ?? '');
  }

  /** The keys to begin with, those that fly also while a name is asked for; '' where there are only pads. */
  get firstKeys() {
    if (onlyFingers()) return '';
    const keys = id => {
      const codes = codesOf(ACTIONS.find(action => action.id === id), this.#settings.keys);
      return keyLabel(codes.find(code => MEANINGLESS.test(code)) ?? codes[0] ?? '');
    };
    return `${keys('left')} ${keys('right')} turn · ${keys('thrust')} thrust · ${keys('fire')} fire`;
  }

  /** Asks for the name beside the game. It has the focus, unless that would open the keyboard of a phone. */
  askName() {
    const dialog = $('#name');
    dialog.inert = matchMedia('(pointer: coarse)').matches;
    dialog.show();
    dialog.inert = false;
  }

  /** Whether the name is being asked for. */
  get isAsking() {
    return $('#name').open;
  }

  /** The person flies: the question for a name goes away. */
  stopAsking() {
    if (this.isAsking) $('#name').close();
  }

  toggleTiming() {
    $('#timing').hidden = !$('#timing').hidden;
  }

  /**
   * What is going on, a few times a second. `others` counts the pilots who have no ship; `lines` are the
   * feed's; `peers`, a function, gives a list of
   * { ship, path, least, mean, greatest, jitter, loss }: ms, and loss as a share from 0 to 1, null where unknown.
   */
  update({ ships, others, connection, lines, peers }) {
    setText($('#link'), connection);
    $('[data-command=sound]').setAttribute('aria-pressed', !this.#settings.muted);
    this.#showScores([...ships.values()], others);
    this.#log(lines);
    if (!$('#timing').hidden) this.#showTiming(peers());
  }

  // ---- For those who do not see the sky ----

  /** Written anew only when it says something new: whoever is reading it should not lose the place. */
  #showScores(ships, others) {
    const rows = ships.sort((a, b) => b.score - a.score)
      .map(({ name, score, id }) => [id === 0 ? `${name} (you)`.trim() : name, score]);
    if (others) rows.push([countOthers(others), '']);
    const shown = JSON.stringify(rows);
    if (shown !== this.#shown) $('#scores tbody').replaceChildren(...rows.map(row));
    this.#shown = shown;
  }

  #log(lines) {
    const log = $('#log');
    for (const line of lines.slice(lines.indexOf(this.#told) + 1)) log.append(element('p', { textContent: line.text }));
    while (log.childElementCount > LOG_LINES) log.firstChild.remove();
    this.#told = lines.at(-1) ?? this.#told;
  }

  // ---- Timing ----

  #showTiming(peers) {
    const whole = (value, unit = '') => value === null ? '–' : `${Math.round(value)}${unit}`;
    const rows = peers.map(({ ship, path, least, mean, greatest, jitter, loss }) => row([ship.name, PATHS[path],
      ...[least, mean, greatest, jitter].map(ms => whole(ms)), whole(loss && 100 * loss, ' %')]));
    $('#timing tbody').replaceChildren(...rows);
  }

  // ---- Dialogs ----

  #fill = {
    invite: () => this.#fillInvite(),
    settings: () => this.#fillSettings(),
    help: () => this.#fillHelp(),
  };

  /** Beside Escape, its buttons and a click beside it close a dialog, and then the sky has the keys again. */
  #prepare(dialog) {
    let pressed = null;
    dialog.addEventListener('pointerdown', ({ target }) => { pressed = target; });
    dialog.addEventListener('click', ({ target }) => {
      // Whoever selects text and lets go outside has not pressed outside.
      const beside = target === dialog && pressed === dialog && dialog.matches(':modal');
      if (beside || target.closest('[data-close]')) dialog.close();
    });
    dialog.addEventListener('close', () => {
      if (!this.isOpen) toSky();
    });
    // The key that opened it closes it; the table of keys may want that one for itself.
    dialog.addEventListener('keydown', event => {
      const { code, key, target, repeat, defaultPrevented } = event;
      if (repeat || defaultPrevented || event.ctrlKey || event.altKey || event.metaKey) return;
      const action = key === '?' ? 'help' : actionOf(code, this.#settings.keys)?.id;
      if (action !== dialog.id || target.matches('input:not([type=radio], [type=checkbox], [readonly])')) return;
      event.preventDefault();
      dialog.close();
    });
  }

  /** After a click the keys are the ship's again: Space shall not press the button once more. */
  #choose(command, event) {
    if (event.detail > 0) toSky();
    this.oncommand?.(command);
  }

  #changed() {
    this.#settings.save();
    this.onchange?.();
  }

  #rename(name) {
    if (cleanName(name) === this.#settings.name) return;
    this.#settings.name = cleanName(name);
    this.#changed();
  }

  #prepareName() {
    $('#name').addEventListener('close', () => this.#rename($('#first-name').value));
    addEventListener('keydown', ({ key, isComposing }) => {
      if (key === 'Escape' && !isComposing && !this.isOpen) this.stopAsking();  // only a modal one does so itself
    });
  }

  // ---- Invite ----

  #prepareInvite() {
    const [field, note] = [$('#address'), $('#copied')];
    const { href, hostname } = this.#address;
    this.#invitation = this.#address;
    field.value = href;
    field.onfocus = () => field.select();
    $('#copy').onclick = async () => setText(note, await copy(field));
    $('#share').hidden = !navigator.share;
    $('#share').onclick = () => navigator.share({ title: 'Spacewar', url: this.#invitation.href })
      .catch(() => { /* thought better of */ });
    const watch = `watch.html?${new URLSearchParams({ room: this.#room })}`;
    for (const link of document.querySelectorAll('[data-watch]')) link.href = watch;
    $('#private').onclick = () => { $('#private').href = privateSky(this.#address); };
    $('#local').hidden = !LOCAL.test(hostname);
    setText($('#local b'), hostname);
  }

  async #findReachable() {
    this.#invitation = await reachable(this.#address.href).catch(() => this.#address);
    $('#address').value = this.#invitation.href;
    $('#local').hidden = !LOCAL.test(this.#invitation.hostname);
    this.#drawInvitation();
  }

  #fillInvite() {
    setText($('#copied'), '');
    this.#drawInvitation();
    if (LOCAL.test(this.#invitation.hostname)) this.#findReachable();
  }

  #drawInvitation() {
    $('#qr').setAttribute('aria-label', `QR code of ${this.#invitation.host}${this.#room}`);
    try {
      drawQr($('#qr'), qr(this.#invitation.href));
    } catch (tooLong) {
      $('#qr').hidden = true;
    }
  }

  // ---- Settings ----

  #prepareSettings() {
    const form = $('#settings form');
    const looks = (group, names) => names.map((name, value) => {
      const input = element('input', { type: 'radio', name: group, value });
      input.setAttribute('aria-label', name);
      return element('label', {}, input, element('canvas'));
    });
    $('#shapes .looks').append(...looks('shape', SHAPES.map(({ name }) => name)));
    $('#colours .looks').append(...looks('colour', COLOUR_NAMES));
    form.addEventListener('change', () => this.#read(form.elements));
    $('#settings').addEventListener('close', () => {
      this.#rename(form.elements.name.value);  // which Escape may leave without a change event
    });
    this.#keys = new KeyTable({
      table: $('#keys'), note: $('#keys-note'), settings: this.#settings, onchange: () => this.#changed(),
    });
    $('#default-keys').onclick = () => this.#keys.reset();
  }

  #fillSettings() {
    const { name, look, practice, muted, volume, names } = this.#settings;
    const { elements } = $('#settings form');
    const values = { name, shape: shapeIndex(look), colour: colourIndex(look), practice, volume };
    for (const [field, value] of Object.entries(values)) elements[field].value = value;
    elements.sound.checked = !muted;
    elements.names.checked = names;
    this.#drawLooks();
    this.#keys.draw();
  }

  #read(elements) {
    Object.assign(this.#settings, {
      name: cleanName(elements.name.value),
      look: lookOf(Number(elements.shape.value), Number(elements.colour.value)),
      practice: Number(elements.practice.value),
      muted: !elements.sound.checked,
      volume: Number(elements.volume.value),
      names: elements.names.checked,
    });
    this.#changed();
    this.#drawLooks();
  }

  /** Every shape in the chosen colour, and the chosen shape in every colour. */
  #drawLooks() {
    const { look } = this.#settings;
    const [shape, colour] = [shapeIndex(look), colourIndex(look)];
    document.querySelectorAll('#shapes canvas').forEach((canvas, i) => drawLook(canvas, lookOf(i, colour)));
    document.querySelectorAll('#colours canvas').forEach((canvas, i) => drawLook(canvas, lookOf(shape, i)));
  }

  // ---- Help ----

  #prepareHelp() {
    const link = $('#other-rules');
    const other = new URL(this.#address);
    const classic = this.#rules.name === 'classic';
    if (classic) other.searchParams.delete('rules');
    else other.searchParams.set('rules', 'classic');
    link.href = other.href;
    setText(link, classic ? 'Play by today’s rules' : 'Play by the classic rules');
    $('#rules').append(...rulesOf(this.#rules).map(text => element('li', { textContent: text })));
  }

  #fillHelp() {
    const { wins, wave, streak } = this.#settings;
    setText($('#best'), `Your best so far: ${wins} ${wins === 1 ? 'round' : 'rounds'} won, wave ${wave}, `
      + `${streak} ${streak === 1 ? 'kill' : 'kills'} without dying.`);
    $('#steering').replaceChildren(...ACTIONS.filter(({ steering }) => steering).flatMap(action =>
      [element('dt', { textContent: action.label }), element('dd', {}, caps(action, this.#settings.keys))]));
    $('#fingers').replaceChildren(...ACTIONS.filter(({ steering }) => steering).flatMap(({ id, label }) =>
      [element('dt', {}, sign(id)), element('dd', { textContent: label })]));
    const others = ACTIONS.filter(({ id, steering }) => !steering && id !== 'help');
    $('#commands').replaceChildren(...others.map(action => {
      const onclick = () => {
        $('#help').close();
        this.oncommand?.(action.id);
      };
      return element('button', { type: 'button', onclick },
        element('span', { textContent: action.label }), caps(action, this.#settings.keys));
    }));
  }
}

/** The rules of a room in a few sentences. */
function rulesOf({ name, inFlight, life, torpedoes, fuel, jumps, recharge, risk }) {
  const seconds = ms => `${ms / 1000}\u00a0s`;
  const goal = `Shoot the others: each kill is a point. Whoever has ${GOAL} first wins the round, or who has most `
    + `after ${ROUND_LENGTH / 60_000} minutes. A death in the sun or by one’s own missile costs a point.`;
  const always = [
    'Debris is as deadly as a missile, and its point is theirs who made the wreck.',
    `Whoever is destroyed is back after ${seconds(AWAY)}, and cannot be hit for ${seconds(SHIELD)} or until the `
      + 'first shot.',
  ];
  if (name === 'classic') return [
    goal,
    `The sun pulls ships, but not their ${torpedoes} torpedoes, which fly for ${seconds(life)}.`,
    `There is fuel for ${Math.round(fuel * STEP / 1000)} s of thrust.`,
    `Hyperspace takes you away for ${seconds(AWAY)}, ${jumps} times, ${seconds(recharge)} apart at least; `
      + `with each jump the risk to break up grows by ${100 * risk} %.`,
    ...always,
    'A new ship is full of everything.',
  ];
  return [
    goal,
    'The sun pulls ships and missiles, and burns what falls into it. An orbit costs nothing.',
    `Missiles fly for ${seconds(life)}, at most ${inFlight} at a time. After ${seconds(ARMED)} they are deadly, `
      + 'to you too.',
    `Hyperspace takes you away for ${seconds(AWAY)}, to an orbit somewhere else.`,
    ...always,
  ];
}

/** Gives the keys to the ship again. */
function toSky() {
  $('#sky').focus({ preventScroll: true, focusVisible: false });
}

/** A row of a table body, its first cell the heading. */
function row([heading, ...cells]) {
  return element('tr', {}, element('th', { scope: 'row', textContent: heading }),
    ...cells.map(cell => element('td', { textContent: cell })));
}

/** Said again, a status would be spoken again. */
function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Without https there is no clipboard for scripts, only the older way; says which way it went. */
async function copy(field) {
  try {
    await navigator.clipboard.writeText(field.value);
    return 'Copied.';
  } catch (insecure) {
    field.select();
    return document.execCommand('copy') ? 'Copied.' : 'It is selected: copy it with Ctrl or ⌘ and C.';
  }
}

/** Modules of a whole number of pixels, so that every edge is sharp. */
function drawQr(canvas, rows) {
  const modules = rows.length + 2 * QUIET_ZONE;
  const ratio = devicePixelRatio;
  const module = Math.round(ratio * Math.max(QR_MODULE, Math.floor(QR_WIDTH / modules)));
  canvas.width = canvas.height = modules * module;
  canvas.style.width = `${canvas.width / ratio}px`;
  const context = canvas.getContext('2d');
  context.fillStyle = '#e6f2ff';
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.fillStyle = '#020a0b';
  rows.forEach((modulesOfRow, y) => modulesOfRow.forEach((dark, x) => {
    if (dark) context.fillRect((x + QUIET_ZONE) * module, (y + QUIET_ZONE) * module, module, module);
  }));
}

function drawLook(canvas, look) {
  canvas.width = canvas.height = SHIP * devicePixelRatio;
  drawShip(canvas.getContext('2d'), look, canvas.width / 2, canvas.height / 2, 0.72 * canvas.width);
}
