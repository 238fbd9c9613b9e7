// SPDX-License-Identifier: MIT

// A window on one room of the relay: who is there, what is said, a line to send. On watch.html
// the room is the one named by `?room=`, on any other page it is the page's own.
//
// What arrives comes from strangers, in any amount. It reaches the page as text only, cut to a
// bearable length, and is drawn once per frame, as much as a frame bears; the rest is counted.

import { describeClose } from './reasons.js';
import { WebSocketRelay } from './ws-relay.js';

const MAX_LINES = 300;      // kept in the feed; as many may wait to be drawn
const LINES_PER_FRAME = 10; // nobody reads more
const MAX_DATA = 400;       // characters shown of a message's data
const MAX_TYPE = 24;        // characters shown of its type
const MAX_PEERS = 200;      // ids listed, and offered as receivers
const MAX_SHIPS = 12;       // clients drawn in orbit; more are drawn as a plain list
const NOBODY_ELSE = 'Nobody else yet. Open this page in a second window, or on another device.';
const GLOW = { filter: ['brightness(2) drop-shadow(0 0 .4em #6ea8ff)', 'none'] };

// ---- The room ----

const chooses = location.pathname.endsWith('/watch.html');
const home = location.pathname.replace(/\/((index|watch)\.html)?$/, '');
const asked = chooses ? new URLSearchParams(location.search).get('room') : home + location.search;
const found = roomOn(location, asked || home);
const room = (found ?? home) || '/';
export const relay = new WebSocketRelay(location.origin + room);  // exported for the curious

/** Path and query of a room given as `/path?query` or in full; null if it is not on this server. */
function roomOn({ origin, host }, text) {
  const url = URL.canParse(text, origin) && new URL(text, origin);
  if (!url || url.host !== host) return null;
  return url.pathname.replace(/^\/ws-relay(?=\/|$)/, '') + url.search;
}

// ---- The page ----

const make = (tag, attributes = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
};

const status = make('p', { id: 'status', role: 'status', class: 'connecting' }, 'connecting …');
const people = make('ul', { id: 'people' });
const crowd = make('span');
const alone = make('p', { id: 'alone' });
const feed = make('ol', { id: 'feed', tabindex: 0, 'aria-labelledby': 'said' });
const tally = make('span');
const target = make('select', { id: 'target' }, new Option('* all', '*'));
const line = make('input', { id: 'line', autocomplete: 'off', autocapitalize: 'off', spellcheck: 'false',
  placeholder: 'hello world', 'aria-describedby': 'note', enterkeyhint: 'send' });
const note = make('p', { id: 'note', role: 'status' },
  found === null ? `“${asked}” is not a room of this server, so this is the game's.` : '');
const composer = make('form', { id: 'composer' },
  make('label', {}, 'To', target),
  make('label', { class: 'wide' }, 'Message: type [data]', line),
  make('button', {}, 'Send'),
  note);

document.title = `${room} · relay`;
document.body.append(
  make('header', {},
    make('img', { src: 'icon.svg', alt: '', width: 48, height: 48 }),
    make('div', {}, make('h1', {}, room), status),
    chooses ? roomChooser() : make('a', { href: `watch.html?${inQuery(room)}` }, 'Watch any room')),
  make('main', {},
    make('section', { class: 'who' },
      make('h2', {}, 'Who is here ', crowd), people, alone),
    make('section', { class: 'said' },
      make('h2', { id: 'said' }, 'What arrives ', tally), feed, composer),
    make('section', { class: 'shell' },
      make('h2', {}, 'The same from a shell'),
      make('code', { tabindex: 0 }, `python3 -m websockets ${shellWord(relay.url)}`))));

function roomChooser() {
  const field = make('input', { id: 'room', value: room, spellcheck: 'false', autocapitalize: 'off' });
  const form = make('form', { id: 'chooser' }, make('label', {}, 'Room', field), make('button', {}, 'Watch'));
  form.onsubmit = event => {
    event.preventDefault();
    location.search = inQuery(field.value.trim());
  };
  return form;
}

function inQuery(room) {
  return new URLSearchParams({ room });
}

/** Quoted where a shell would read more than a word in it; a link may name any room. */
function shellWord(text) {
  return /^[\w:/.%~-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

// ---- What arrives ----

const waiting = [];  // lines not drawn yet
let messages = 0, skipped = 0;
let peopleChanged = true;
const ships = new Map();  // id -> the element drawn for it
const reducedMotion = matchMedia('(prefers-reduced-motion: reduce)');
let frame = 0;

function say(kind, from, msgtype, data = '') {
  const time = new Date();
  waiting.push({ time, kind, from, msgtype: excerpt(msgtype, MAX_TYPE), data: excerpt(data, MAX_DATA) });
  if (waiting.length > MAX_LINES) {
    waiting.shift();
    skipped++;
  }
  redraw();
}

/** Copied, since a mere slice would keep all of a long message in memory. */
function excerpt(data, limit) {
  if (data instanceof Uint8Array) return describe(data);
  const shown = Array.from(data.slice(0, limit), visible).join('');
  return data.length > limit ? `${shown} … (${data.length.toLocaleString('en')} characters)` : shown;
}

const visible = character => character < ' ' ? JSON.stringify(character).slice(1, -1) : character;

function describe(bytes) {
  const start = Array.from(bytes.subarray(0, 16), byte => byte.toString(16).padStart(2, '0'));
  return `${bytes.length.toLocaleString('en')} bytes: ${start.join(' ')}${bytes.length > 16 ? ' …' : ''}`;
}

relay.onrecv = (id, msgtype, data) => {
  messages++;
  say('message', id, msgtype, data);
};
relay.onself = id => {
  peopleChanged = true;
  say('relay', id, 'self', 'this is you');
};
relay.onjoin = id => {
  peopleChanged = true;
  say('relay', id, 'join');
};
relay.onquit = id => {
  peopleChanged = true;
  say('relay', id, 'quit');
};

// While it is tried again and again the line stays as it is: what it says is still true.
relay.onstatus = (now, { code, reason }) => {
  if (now === 'connecting') return;
  const why = describeClose(code, reason);
  if (status.className === 'open') say('relay', '', 'lost', why);
  peopleChanged = true;
  status.className = now;
  const text = now === 'open' ? `connected as ${relay.id}` : `not connected: ${why} · trying again by itself`;
  if (status.textContent !== text) status.textContent = text;
  redraw();
};

// ---- Drawing ----

function redraw() {
  frame ||= requestAnimationFrame(draw);
}

function draw() {
  frame = 0;
  drawFeed(waiting.splice(0, LINES_PER_FRAME));
  if (peopleChanged) drawPeople();
  peopleChanged = false;
  tally.textContent = `${messages.toLocaleString('en')} message${messages === 1 ? '' : 's'}`
    + (skipped ? `, ${skipped.toLocaleString('en')} not shown` : '');
  if (waiting.length) redraw();
}

function drawFeed(lines) {
  const atEnd = feed.scrollHeight - feed.scrollTop - feed.clientHeight < 40;
  const calm = lines.length < LINES_PER_FRAME && !reducedMotion.matches;  // to glow is what costs most
  feed.append(...lines.map(line => drawLine(line, calm)));
  if (calm) for (const id of new Set(lines.map(({ from }) => from))) glow(ships.get(id));
  while (feed.childElementCount > MAX_LINES) feed.firstChild.remove();
  if (atEnd) feed.scrollTop = feed.scrollHeight;
}

function drawLine({ time, kind, from, msgtype, data }, glows) {
  return make('li', { class: glows ? `${kind} glows` : kind },
    make('time', {}, time.toTimeString().slice(0, 8)),
    make('b', {}, from),
    make('span', { class: 'type' }, msgtype),
    make('span', { class: 'data' }, data));
}

/** Its ship in the sky lights up with what a client says. */
function glow(ship) {
  for (const animation of ship?.getAnimations() ?? []) animation.cancel();
  ship?.animate(GLOW, 900);
}

function drawPeople() {
  const peers = [...relay.peers].sort((a, b) => a - b);
  const listed = peers.slice(0, MAX_PEERS);
  const here = relay.id === null ? [] : [relay.id, ...listed];
  ships.clear();
  people.replaceChildren(...here.map(drawClient));
  people.className = here.length > MAX_SHIPS ? 'crowd' : 'orbits';
  const unlisted = peers.length - listed.length;
  crowd.textContent = unlisted ? `${here.length} and ${unlisted} more` : here.length || '';
  alone.textContent = here.length === 1 ? NOBODY_ELSE : '';
  drawTargets(listed);
}

function drawClient(id) {
  const own = id === relay.id;
  const ship = make('span', {}, make('b', {}, own ? `${id} you` : id));
  ships.set(id, ship);
  const client = make('li', { class: `ring${id % 3} ${own ? 'own' : ''}` }, ship);
  // Flying since the page was opened, not since it was drawn: drawn again, it flies on.
  const seconds = reducedMotion.matches ? 0 : performance.now() / 1000;
  client.style.setProperty('--flown', `${-(61.8 * id + seconds)}s`);
  return client;
}

/** Whoever was chosen stays chosen, gone or not: a word to one must not go to all. */
function drawTargets(ids) {
  const chosen = target.value;
  const options = [new Option('* all', '*'), ...ids.map(id => new Option(id, id))];
  if (!options.some(option => option.value === chosen)) options.push(new Option(`${chosen} (gone)`, chosen));
  target.replaceChildren(...options);
  target.value = chosen;
}

// ---- A line to send ----

composer.oninput = () => {
  note.textContent = '';
};

composer.onsubmit = event => {
  event.preventDefault();
  const to = target.value;
  note.textContent = objection(to, line.value);
  if (note.textContent || !relay.send(line.value, to)) return;
  const [msgtype] = line.value.split(' ', 1);
  say('sent', `→ ${to}`, msgtype, line.value.slice(msgtype.length + 1));
  line.value = '';
};

function objection(to, message) {
  const [msgtype] = message.split(' ', 1);
  if (!message) return 'Nothing to send yet: write a type, and after a space whatever data goes with it.';
  if (!msgtype) return 'A message begins with its type, not with a space.';
  if (/^(self|join|quit)$/.test(msgtype)) return `“${msgtype}” is the relay's own word: choose another.`;
  if (relay.id === null) return 'Not connected at the moment: the line is kept, send it again later.';
  if (to !== '*' && !relay.peers.has(+to)) return `${to} has left: choose another receiver.`;
  return '';
}
