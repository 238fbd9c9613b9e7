// SPDX-License-Identifier: MIT

// Two or more pages that play with one another (room.js), and what must not happen when a peer says anything at all.

import { Identity } from '../identity.js';
import { advance, fly } from '../physics.js';
import { random } from '../random.js';
import { equal, near, ok, seeds } from './check.js';
import { FRAME, HOUR, Page, Room, duel, hit, orbitAt, shipOf } from './room.js';

/** How far the ship of one is drawn from where it is, in px, and how it moves between two frames. */
function watch({ room, one, two }, ms) {
  const errors = [];
  let jump = 0;
  let last = null;
  two.onframe = () => {
    if (one.me.state !== 'flying' || two.ship(one)?.state !== 'flying') return last = null;
    const [is, drawn] = [one.exact, two.drawn(one)];
    const error = { x: drawn.x - is.x, y: drawn.y - is.y };
    errors.push(Math.hypot(error.x, error.y));
    if (last) jump = Math.max(jump, Math.hypot(error.x - last.x, error.y - last.y));
    last = error;
  };
  room.run(ms);
  two.onframe = () => {};
  errors.sort((a, b) => a - b);
  return { worst: errors.at(-1), usual: errors[Math.floor(errors.length / 2)], jump, frames: errors.length };
}

/** A pilot who never makes up its mind. */
function restless(seed) {
  const chance = random(seed);
  return ship => {
    if (chance() < 0.1) ship.turn = Math.floor(3 * chance()) - 1;
    if (chance() < 0.1) ship.thrust = chance() < 0.5;
    const r = Math.hypot(ship.x, ship.y);
    if (r > 700 || r < 90) ship.thrust = false;   // within reach, and out of the sun
  };
}

/** A page and a peer that says what a test wants it to; `say` is heard at once. */
function withPeer({ fly: flies = true, rules } = {}) {
  const room = new Room();
  const page = new Page(room, { offset: 50_000, rules });
  page.world.launch(page.me);
  orbitAt(page, 300, 0);
  page.relay.enter();
  const id = room.newId();
  page.relay.peers.add(id);
  page.relay.onjoin(id);
  const say = (message, from = id) => page.relay.receive(from, message);
  const report = (time, more) => say(`report ${list(state(time, more))}`);
  say(`pilot ${list([1, '', 9, 0])}`);
  if (flies) report(room.time);
  room.run(300);   // until it may fire and burst
  return { room, page, say, report, id, ship: () => shipOf(page, id) };
}

/** A page and so many peers, each with a name; the first are nearest to our ship at 300, 0. */
function withCrowd(count) {
  const { room, page, id } = withPeer({ fly: false });
  page.relay.peers.delete(id);
  page.relay.onquit(id);
  const ids = Array.from({ length: count }, () => room.newId());
  const enter = id => {
    page.relay.peers.add(id);
    page.relay.onjoin(id);
    page.relay.receive(id, `pilot ${list([1, `P${id}`, id % 64, 0])}`);
  };
  const fly = (id, more) =>
    page.relay.receive(id, `report ${list(state(room.time, { x: 310 + 0.3 * id, y: 0, vy: 0, ...more }))}`);
  for (const id of ids) enter(id);
  room.run(FRAME);
  const remote = () => [...page.world.ships.values()].filter(({ remote }) => remote);
  return { room, page, ids, enter, fly, remote };
}

/** The peer answers the latest ping, at once, with this reading of its clock. */
function answer(page, time) {
  const [id] = page.relay.peers;
  const asked = messages(page.room, 'ping').findLast(({ from }) => from === page.relay.id);
  page.relay.receive(id, `pong ${list([1, JSON.parse(asked.message.slice(5))[1], time])}`);
}

const state = (time, { state = 0, x = 400, y = 0, vx = 0, vy = 0.1, angle = 0, turn = 0, burning = 0 } = {}) =>
  [1, time, state, x, y, vx, vy, angle, turn, burning];
const list = values => JSON.stringify(values);
const shot = (time, number, more) => `fire ${list([...state(time, more), number])}`;
const death = (time, { x = 400, y = 0, seed = 7, cause = 'missile', owner = 0, number = 0 } = {}) =>
  `death ${list([1, time, x, y, 0, 0.1, 0, seed, cause, owner, number])}`;
const messages = (room, msgtype) => room.chatter.filter(({ message }) => message.startsWith(`${msgtype} `));

const LOOPBACK = { delay: 1, jitter: 0.5, busy: 8 };
const ABROAD = { delay: 50, jitter: 10, busy: 8 };

export default {
  // ---- The same sky for everyone ----

  'a coasting ship is where its pilot sees it, over loopback': () => {
    for (let seed = 1; seed <= seeds(3); seed++) {
      const game = duel({ ...LOOPBACK, seed, warm: 20_000 });
      orbitAt(game.one, 250, 1);
      orbitAt(game.two, 340, 4);
      game.room.run(1_500);
      const { worst, jump } = watch(game, 60_000);
      ok(worst < 0.5 && jump < 0.5, `seed ${seed}: worst ${worst}, jump ${jump} px`);
    }
  },

  'a ship that never flies straight is where its pilot sees it, over loopback': () => {
    for (let seed = 1; seed <= seeds(3); seed++) {
      const game = duel({ ...LOOPBACK, seed });
      game.one.steer = restless(seed);
      const { worst, jump } = watch(game, 60_000);
      ok(worst < 1.5 && jump < 1.5, `seed ${seed}: worst ${worst}, jump ${jump} px`);
    }
  },

  'a coasting ship is where its pilot sees it, 100 ms away': () => {
    for (let seed = 1; seed <= seeds(3); seed++) {
      const game = duel({ ...ABROAD, seed, warm: 10_000 });
      orbitAt(game.one, 250, 1);
      orbitAt(game.two, 340, 4);
      game.room.run(1_500);
      const { worst, jump } = watch(game, 60_000);
      ok(worst < 1.5 && jump < 0.7, `seed ${seed}: worst ${worst}, jump ${jump} px`);
    }
  },

  'a ship that never flies straight is nearly where its pilot sees it, 100 ms away': () => {
    for (let seed = 1; seed <= seeds(3); seed++) {
      const game = duel({ ...ABROAD, seed });
      game.one.steer = restless(seed);
      const { worst, jump } = watch(game, 60_000);
      ok(worst < 4 && jump < 1.5, `seed ${seed}: worst ${worst}, jump ${jump} px`);
    }
  },

  'reports may be lost and overtake each other': () => {
    const game = duel({ delay: 80, jitter: 60, busy: 8, lossy: true });
    game.one.steer = restless(4);
    const { usual, jump, frames } = watch(game, 60_000);
    ok(frames > 2_000 && usual < 3 && jump < 6, `usually ${usual}, jump ${jump} px`);
  },

  'a report that comes back to front changes nothing': () => {
    const { room, page, report, ship } = withPeer();
    report(room.time, { x: 420 });
    const { x } = ship();
    report(room.time - 300, { x: 450 });
    equal(ship().x, x);
    equal(page.netplay.peers.length, 1);
  },

  'a small correction is not seen at once, but soon': () => {
    const { room, report, ship } = withPeer();
    const before = ship().x;
    report(room.time, { x: before + 30 });
    near(ship().x, before + 30, 0.01);
    near(ship().x + ship().dx, before, 0.01, 'where it is drawn');
    room.run(200);
    near(ship().dx, 0, 1.5);
  },

  'a real leap is shown as one': () => {
    const { room, report, ship } = withPeer();
    report(room.time, { x: -400 });
    equal([ship().x, ship().dx], [-400, 0]);
    report(room.time, { state: 2 });
    report(room.time, { x: -390 });
    equal([ship().x, ship().dx], [-390, 0], 'back from hyperspace');
  },

  'turn and engine are as reported': () => {
    const { room, report, ship } = withPeer();
    report(room.time, { turn: -1, burning: 1 });
    equal([ship().turn, ship().burning], [-1, true]);
    report(room.time, { turn: 0, burning: 0 });
    equal([ship().turn, ship().burning], [0, false]);
  },

  'turning is corrected the short way round': () => {
    const { room, report, ship } = withPeer();
    report(room.time, { angle: 0.1 });
    report(room.time, { angle: 2 * Math.PI - 0.1 });
    near(ship().dangle, 0.1, 0.01, 'still drawn at 0');
  },

  'a ship that is not heard of for five seconds fades away, until it is again': () => {
    const { room, report, ship } = withPeer();
    room.run(4_500);
    equal(ship().state, 'flying');
    room.run(1_000);
    equal(ship().state, 'observing');
    report(room.time);
    equal(ship().state, 'flying');
  },

  // ---- What is sent, and how often ----

  'every change of turn, engine and state is told in the same frame': () => {
    const { room, one } = duel();
    room.run(1_000);
    for (const change of [{ turn: 1 }, { thrust: true }, { turn: -1, thrust: false }, { turn: 0 },
      { hyperspace: true }]) {
      room.run(200);
      one.steer = ship => Object.assign(ship, change);
      const sent = messages(room, 'report').length;
      one.frame();
      one.steer = () => {};
      const [last, more] = messages(room, 'report').slice(sent).filter(({ from }) => from === one.relay.id);
      ok(last && !more, `one report of ${list(change)}`);
      const [, , state, , , , , , turn, burning] = JSON.parse(last.message.slice(7));
      equal([state, turn, burning], change.hyperspace ? [2, 0, 0] : [0, one.me.turn, Number(one.me.burning)]);
    }
  },

  'reports are rare while coasting, frequent near the sun, and never more than 33 a second': () => {
    const { room, one } = duel();
    const rate = () => {
      const before = messages(room, 'report').filter(({ from }) => from === one.relay.id).length;
      room.run(3_000);
      return (messages(room, 'report').filter(({ from }) => from === one.relay.id).length - before) / 3;
    };
    orbitAt(one, 300, 0);
    room.run(1_000);
    near(rate(), 1, 0.4, 'coasting');
    orbitAt(one, 110, 0);
    near(rate(), 5, 0.8, 'near the sun');
    one.world.observe(one.me);
    near(rate(), 1, 0.4, 'observing');
    one.me.state = 'flying';
    orbitAt(one, 300, 0);
    one.me.turn = 1;
    near(rate(), 15, 3, 'turning');
    let frame = 0;
    one.steer = ship => { ship.turn = ++frame % 2; };
    ok(rate() <= 33, 'fidgeting');
    one.steer = () => {};
    Object.assign(one.me, { turn: 0, thrust: false });
    orbitAt(one, 300, 0);
    room.run(1_000);
    new Page(room, { name: 'Cy', seed: 9, look: 7 }).relay.enter();
    const before = room.chatter.length;
    room.run(2_000);
    const welcome = room.chatter.slice(before)
      .filter(({ from, to, message }) => from === one.relay.id && to === '*' && message.startsWith('report '));
    near(welcome.length, 10, 2, 'in the first two seconds of a newcomer');
  },

  'nothing is added to a backlog but what must not be lost': () => {
    const { room, one } = duel();
    room.run(1_000);
    one.relay.buffered = 1e6;
    one.me.turn = 1;
    const { sent } = one.relay;
    room.run(1_000);
    const pongs = messages(room, 'pong').filter(({ at, from }) => at > room.time - 1_000 && from === one.relay.id);
    equal(one.relay.sent - sent - pongs.length, 0);
  },

  'messages are short, readable JSON': () => {
    const { room, one, two } = duel(LOOPBACK);
    one.steer = ship => Object.assign(ship, { fire: true, turn: 1, thrust: true });
    two.me.name = '𝔘'.repeat(20);
    room.run(30_000);
    for (const { message } of room.chatter) {
      ok(message.length < 200, `${message.length} characters: ${message}`);
      ok(/^(report|fire|death|pilot|round|ping|pong|key|proofs) \[1,/.test(message), message);
    }
  },

  // ---- Who is there ----

  'newcomers and those who were there know each other by name, look and score': () => {
    const { one, two } = duel({}, {}, { name: 'Bo', look: 9 });
    const { name, look, score, state } = one.ship(two);
    equal({ name, look, score, state }, { name: 'Bo', look: 9, score: 0, state: 'flying' });
    equal(two.ship(one).name, 'Ada');
  },

  'whoever comes finds the others by name, however busy they are': () => {
    const { room, one, two } = duel({ delay: 50 });
    const seen = [];
    one.me.turn = two.me.turn = 1;
    two.relay.leave();
    const look = events => {
      for (const { type, ship } of events) if (type === 'entered') seen.push(ship.name);
    };
    one.onframe = two.onframe = look;
    for (let i = 0; i < 10; i++) {
      room.run(500);
      two.relay.enter();
      room.run(500);
      two.relay.leave();
    }
    equal(seen.sort(), [...Array(10).fill('Ada'), ...Array(10).fill('Bo')]);
  },

  'nobody fires or dies before it has a name': () => {
    const { room, page, say } = withPeer();
    const id = room.newId();
    page.relay.peers.add(id);
    page.relay.onjoin(id);
    say(`report ${list(state(room.time))}`, id);
    say(shot(room.time, 1), id);
    say(death(room.time), id);
    equal([page.world.ships.size, page.world.missiles, page.world.debris], [2, [], []]);
    say(`pilot ${list([1, 'Bo', 1, 0])}`, id);
    const { name, state: now } = shipOf(page, id);
    equal([name, now], ['Bo', 'flying'], 'as last reported');
  },

  'a new name and a new score are told, once': () => {
    const { room, one, two } = duel();
    one.me.name = 'Countess';
    one.me.score = -3;
    one.netplay.recolour();
    const before = messages(room, 'pilot').length;
    room.run(500);
    equal([two.ship(one).name, two.ship(one).score], ['Countess', -3]);
    equal(messages(room, 'pilot').length - before, 1);
  },

  'who looks like somebody who was there before takes another colour, and only then': () => {
    const { room, one, two } = duel({}, { look: 11 }, { look: 11 });
    equal([one.me.look, two.me.look], [11, 19]);
    equal(one.ship(two).look, 19);
    two.me.look = 11;   // the settings say so once more
    two.netplay.recolour();
    equal(two.me.look, 19);
    two.me.look = 12;
    two.netplay.recolour();
    room.run(2_000);
    equal(one.ship(two).look, 12, 'a look of one’s own choice');
  },

  'who had to take another colour twice has not chosen the first of them': () => {
    const { room, page, say } = withPeer();
    const meet = look => {
      room.stop();
      const id = room.newId();
      page.relay.enter();
      page.relay.peers.add(id);
      page.relay.onjoin(id);
      say(`pilot ${list([1, 'Twin', look, 0])}`, id);
      room.run(2_000);
    };
    meet(5);
    equal(page.me.look, 13);
    meet(13);
    equal(page.me.look, 21);
    page.me.look = 5;   // the settings say so once more
    page.netplay.recolour();
    equal(page.me.look, 21);
  },

  'who was there first keeps its colour': () => {
    const { room, page, say } = withPeer();
    say(`pilot ${list([1, 'Twin', 5, 0])}`);
    room.run(2_000);
    equal(page.me.look, 5);
  },

  'why there is no relay is known in words': () => {
    const { one: { relay, netplay } } = duel();
    relay.onstatus('closed', { code: 1013, reason: 'the relay is full (limit: 2)' });
    equal([netplay.status, netplay.why], ['offline', 'the relay is full (limit: 2)']);
    relay.onstatus('closed', { code: 1013, reason: '' });
    equal(netplay.why, 'the relay is full');
    relay.onstatus('closed', { code: 1006, reason: '' });
    equal(netplay.why, '', 'that nobody answers is no news');
    relay.onstatus('closed', { code: 1006, reason: 'origin x is not allowed' });
    equal(netplay.why, 'origin x is not allowed');
    relay.onstatus('open', {});
    equal([netplay.status, netplay.why], ['relay', '']);
  },

  'a greeting is seen by the others, one a second from each at most': () => {
    const { page, say, ship, room } = withPeer();
    const told = () => page.world.takeEvents().filter(({ type }) => type === 'greeted').length;
    say('greet [1,1]');
    equal([ship().greeting, told()], ['hello', 1]);
    for (let i = 0; i < 50; i++) say('greet [1,0]');
    equal([ship().greeting, told()], ['hello', 0], 'at once');
    room.run(1_100);
    for (const wrong of ['greet [1,3]', 'greet [1,-1]', 'greet [1,0.5]', 'greet [1,"gg"]', 'greet [1]']) say(wrong);
    equal(ship().greeting, 'hello', 'what is none');
    say('greet [1,2]');
    equal(ship().greeting, 'again?');
    page.world.greet(page.me, 'gg');
    room.run(50);
    equal(messages(room, 'greet').map(({ message }) => message), ['greet [1,0]']);
  },

  'who leaves is forgotten': () => {
    const { room, one, two } = duel();
    const id = two.relay.id;
    two.relay.leave();
    equal([one.netplay.peers, one.world.ships.size], [[], 1]);
    const sent = room.chatter.length;
    room.run(5_000);
    equal(room.chatter.slice(sent).filter(({ to }) => to === id), []);
  },

  'after the relay was away, all are together again with name and score': () => {
    const { room, one, two } = duel();
    hit(room, two, one);
    equal([one.netplay.status, one.ship(two).score], ['relay', 1]);
    for (const page of [one, two]) page.relay.leave();
    equal([one.netplay.status, one.netplay.self, one.netplay.peers], ['offline', null, []]);
    one.relay.onstatus('connecting', {});
    equal(one.netplay.status, 'offline', 'link while it tries again');
    room.run(1_000);
    for (const page of [two, one]) page.relay.enter();
    room.run(500);
    equal([one.netplay.status, one.netplay.self, one.world.ships.size], ['relay', one.relay.id, 2]);
    equal([one.ship(two).name, one.ship(two).score, one.ship(two).state], ['Bo', 1, 'flying']);
  },

  'a missile in flight does not become that of whoever comes with its pilot’s id': () => {
    const { room, one, two } = duel();
    const gone = two.ship(one);
    two.world.shoot(gone, 1);
    two.world.explode(gone, 1, { cause: 'sun' });
    two.world.shoot(two.me, 1);
    const [was, id] = [one.relay.id, two.relay.id];
    room.stop();
    for (const page of [two, one]) page.relay.enter();
    equal([two.relay.id, one.relay.id], [was, id], 'the ids, the other way round');
    room.run(500);
    const { owner } = two.world.missiles[0];
    equal([owner, owner === two.ship(one).id, two.netplay.idOf(owner)], [gone.id, false, null], 'the missile’s');
    ok(two.world.debris.every(piece => piece.owner === gone.id), 'the pieces are of the one that is gone');
  },

  'whoever is back while its earlier ship is still there has one ship': () => {
    const { room, one, two } = duel();
    hit(room, two, one);
    const before = two.relay.id;
    const { onquit } = one.relay;
    one.relay.onquit = () => {};   // a direct connection can be noticed later to have ended
    two.relay.leave();
    room.run(1_000);
    equal(one.ship(two), undefined);
    two.relay.enter();
    room.run(500);
    onquit(before);
    equal([one.netplay.peers.map(({ id }) => id), one.world.ships.size], [[two.relay.id], 2]);
    equal([one.ship(two).name, one.ship(two).score], ['Bo', 1]);
  },

  'the path to each is told, and whether all who fly are reached directly': () => {
    const { page, say, id } = withPeer();
    equal([page.netplay.peers[0].path, page.netplay.direct], ['relay', false]);
    page.relay.path = peer => peer === id ? 'webrtc' : 'relay';
    equal([page.netplay.peers[0].path, page.netplay.direct], ['webrtc', true]);
    page.relay.peers.add(9);
    page.relay.onjoin(9);
    equal(page.netplay.direct, true, 'while the other only watches');
    say(`pilot ${list([1, 'Bo', 1, 0])}`, 9);
    equal(page.netplay.direct, false);
  },

  'where reports may get lost, a change is told three times': () => {
    for (const [path, times] of [['relay', 1], ['webrtc', 3]]) {
      const { room, page } = withPeer();
      room.run(5_000);                      // until the newcomer is welcomed
      page.relay.path = () => path;
      const sent = messages(room, 'report').length;
      page.steer = ship => { ship.turn = 0; ship.thrust = false; };
      page.me.turn = 1;
      page.netplay.update(page.now);
      room.run(250);                        // the turn ends at once, and from then on it coasts
      equal(messages(room, 'report').length - sent, 1 + times, path);
    }
  },

  'while the relay is away, play goes on with whom it was direct': () => {
    const { room, page, report, ship } = withPeer();
    page.relay.onstatus('closed', { code: 1006, reason: '', retryIn: 250 });   // but the id and the peer stay
    equal([page.netplay.status, page.netplay.self, ship().state], ['offline', page.relay.id, 'flying']);
    const sent = messages(room, 'report').length;
    room.run(3_000);
    ok(messages(room, 'report').length >= sent + 3, 'reports are told');
    report(room.time, { x: 300 });
    near(ship().x, 300, 1e-6);
  },

  'a score that newcomers were told is told to all when it changes back': () => {
    const { room, one, two } = duel();
    room.stop();
    one.me.score = 3;   // against practice ships
    for (const page of [two, one]) page.relay.enter();
    one.me.score = 0;
    room.run(500);
    equal(two.ship(one).score, 0);
  },

  'a page that never reaches a relay plays on': () => {
    const page = new Page(new Room());
    page.world.launch(page.me);
    page.steer = ship => { ship.fire = true; };
    page.relay.onstatus('connecting', {});
    equal(page.netplay.status, 'connecting');
    page.relay.onstatus('closed', {});
    page.room.run(3_000);
    equal([page.netplay.status, page.netplay.self, page.netplay.peers], ['offline', null, []]);
  },

  'the timing of a peer is told with the least as the least': () => {
    const { room, one } = duel(ABROAD);
    room.run(20_000);
    const [{ path, rtt, skew, least, mean, greatest, jitter, loss }] = one.netplay.peers;
    equal([path, loss], ['relay', 0]);
    ok(80 <= least && least < mean && mean < greatest && greatest < 150, `${least} < ${mean} < ${greatest}`);
    ok(least <= rtt && rtt <= greatest && jitter > 0 && jitter < 40, `rtt ${rtt}, jitter ${jitter}`);
    near(skew, 700 - 5 * HOUR, 10);
  },

  // ---- Shots ----

  'a missile flies the same way on both pages': () => {
    const { room, one, two } = duel(ABROAD);
    orbitAt(one, 300, 0);
    orbitAt(two, 340, 3);
    room.run(1_400);   // until that is told and believed
    Object.assign(one.me, { angle: 1, turn: 1, fire: true });
    room.run(300);
    one.me.fire = false;
    room.run(700);
    const [[here], [there]] = [one, two].map(page => page.world.missiles);
    near(here.age - there.age, 70, 40, 'ms that it arms later, as it is seen later');
    const lead = one.clock() - one.now - (two.clock() - two.now);
    near(Math.hypot(here.x + here.vx * lead - there.x, here.y + here.vy * lead - there.y), 0, 6, 'px between the two');
    equal([there.owner, there.number], [two.ship(one).id, 1]);
  },

  'a shot is told for the very time at which it was fired': () => {
    const { room, one } = duel(LOOPBACK);
    orbitAt(one, 340, 0);
    const seen = [];
    one.onframe = events => {
      for (const { type, missile } of events) if (type === 'fired') seen.push(one.now - missile.age);
    };
    one.steer = ship => Object.assign(ship, { fire: true, angle: Math.atan2(ship.y, ship.x) });
    room.run(4_000);
    const told = messages(room, 'fire').map(({ message }) => JSON.parse(message.slice(5))[1]);
    ok(told.length >= 6, 'shots');
    told.forEach((time, i) => near(time, seen[i], 0.06, 'its time'));
  },

  'a shot that a newer report has overtaken leaves its ship alone': () => {
    const { room, page, say, report, ship } = withPeer();
    report(room.time, { x: 430, turn: 1 });
    const before = ship().x;
    say(shot(room.time - 100, 1, { x: 420 }));
    equal([ship().x, ship().turn, page.world.missiles.length], [before, 1, 1], 'place, turn, missiles');
  },

  'a ship that keeps firing loses no shot on the way': () => {
    const { room, one, two } = duel(ABROAD);
    orbitAt(one, 350, 0);
    orbitAt(two, 300, 3);
    room.run(1_400);   // until that is told and believed
    const seen = [];
    two.onframe = events => seen.push(...events.filter(({ type, ship }) => type === 'fired' && ship === two.ship(one)));
    one.me.fire = true;
    let state;
    one.onframe = () => {   // round its orbit, shooting outwards: nobody is to be hit
      const { x, y } = one.me;
      one.me.angle = Math.atan2(y, x);
      state = one.me.state;
    };
    room.run(12_000);
    one.me.fire = false;
    room.run(500);
    equal(state, 'flying');
    equal(seen.map(({ missile }) => missile.number), Array.from({ length: one.me.shots }, (_, i) => i + 1));
  },

  'nobody fires faster than a gun reloads, the same shot twice, or more than may fly': () => {
    const { room, page, say } = withPeer();
    let number = 0;
    for (let i = 0; i < 50; i++) say(shot(room.time, ++number));
    equal(page.world.missiles.length, 2, 'missiles of a burst');
    room.run(2_000);
    say(shot(room.time, 1));
    equal(page.world.missiles.length, 2, 'missiles after a shot of an old number');
    for (let i = 0; i < 100; i++) {
      room.run(100);
      say(shot(room.time, ++number, { vx: 0.1 }));
      ok(page.world.missiles.length <= 10, 'at most ten');
    }
    equal(page.world.missiles.length, 10);
  },

  'a shot comes from its ship, at most 250 ms late, and not from a dead one': () => {
    const { room, page, say } = withPeer();
    say(shot(room.time - 60_000, 1));
    const [missile] = page.world.missiles;
    equal(missile.age, 0, 'ms since it was seen');
    ok(Math.hypot(missile.x - 400, missile.y) < 150, 'near its ship');
    room.run(1_000);
    say(death(room.time));
    room.run(1_000);
    say(shot(room.time, 2));
    equal(page.world.missiles.length, 1);
  },

  // ---- Deaths and scores ----

  'a hit counts for both, on both pages, and the pieces fly the same way': () => {
    const { room, one, two } = duel(ABROAD);
    hit(room, one, two);
    equal([one.me.score, two.me.score], [1, 0], 'scores');
    equal([two.ship(one).score, one.ship(two).score], [1, 0], 'scores as the other knows them');
    equal([one.ship(two).state, one.world.debris.length, two.world.debris.length], ['exploded', 6, 6]);
    equal([one.world.missiles, two.world.missiles], [[], []]);
    const [a, b] = [one, two].map(({ world }) => world.debris[0]);
    near(Math.hypot(a.x - b.x, a.y - b.y), 0, 5, 'px between a piece and itself');
  },

  'fifty claims of one shot are one point': () => {
    const { room, page, say, report } = withPeer();
    let points = 0;
    page.onframe = events => { points += events.filter(({ type }) => type === 'scored').length; };
    page.me.fire = true;
    room.run(100);
    page.me.fire = false;
    for (let i = 0; i < 50; i++) {
      report(room.time);
      say(death(room.time, { owner: page.relay.id, number: 1 }));
      room.run(3_000);
    }
    equal(points, 1);
  },

  'nobody is given a point for a shot never fired': () => {
    const { room, page, say } = withPeer();
    say(death(room.time, { owner: page.relay.id, number: 1 }));
    equal([page.me.score, page.world.debris.length], [0, 6]);
  },

  'a ship dies once, and only if it was about': () => {
    const { room, page, say, report, ship } = withPeer({ fly: false });
    say(death(room.time));
    report(room.time, { state: 3 });
    say(death(room.time));
    equal(page.world.debris.length, 0, 'pieces of an observer');
    report(room.time);
    room.run(300);
    for (let i = 0; i < 20; i++) say(death(room.time));
    equal([page.world.debris.length, ship().state], [6, 'exploded']);
    report(room.time);
    say(death(room.time));
    equal(page.world.debris.length, 6, 'after a return too early');
  },

  'a death names the shooter by its id in the room': () => {
    const { room, page, id } = withPeer();
    for (const owner of [0, -2, shipOf(page, id).id, null]) {
      page.netplay.announce({ type: 'destroyed', ship: page.me, seed: 1, cause: 'missile', owner, number: 3 });
    }
    const owners = messages(room, 'death').map(({ message }) => JSON.parse(message.slice(6))[9]);
    equal(owners, [page.relay.id, 0, id, 0]);
  },

  'a death that a newer report has overtaken is still one, and leaves what is newer': () => {
    const { room, page, say, report, ship } = withPeer();
    report(room.time, { state: 1 });
    say(death(room.time - 20));
    equal([page.world.debris.length, ship().state], [6, 'exploded']);
  },

  'who dies far from a missile can’t take it away': () => {
    const { room, page, say } = withPeer();
    Object.assign(page.me, { x: 0, y: -600, vx: 0, vy: 0, angle: -Math.PI / 2, fire: true });
    room.run(100);
    page.me.fire = false;
    say(death(room.time, { owner: page.relay.id, number: 1 }));
    equal([page.world.missiles.length, page.world.debris.length], [1, 6]);
  },

  // ---- Only where they were seen ----

  'a shot or a wreck that comes late is harmless for 250 ms all the same': () => {
    for (const act of ['fire', 'death']) {
      const { room, page, say, report } = withPeer();
      answer(page, room.time);
      Object.assign(page.me, { x: 400, y: -300, vx: 0, vy: 0 });
      report(room.time, { x: 400, y: -310, vy: 0 });
      room.run(300);
      Object.assign(page.me, { x: 400, y: -300, vx: 0, vy: 0 });
      const at = { x: 400, y: -305, vy: 0, angle: 2 };
      say(act === 'fire' ? shot(room.time - 250, 1, at) : death(room.time - 250, at));
      const bodies = [...page.world.missiles, ...page.world.debris];
      ok(bodies.length > 0 && bodies.every(({ age }) => age === 0), `${act}: harmless bodies`);
      let lived = 0;
      while (page.me.state === 'flying' && lived < 240) {
        Object.assign(bodies[0], { x: page.me.x, y: page.me.y });
        room.run(10);
        lived += 10;
      }
      equal(page.me.state, 'flying', `after ${lived} ms with ${act}`);
    }
  },

  'nobody shoots or bursts far from where it is seen, or right after a leap': () => {
    const { room, page, say, report, ship } = withPeer();
    const there = { x: -500, y: 300 };
    say(shot(room.time, 1, there));
    equal(page.world.missiles.length, 0, 'missiles from afar');
    report(room.time, there);
    say(shot(room.time, 2, there));
    room.run(150);
    report(room.time, there);
    say(shot(room.time, 3, there));
    equal(page.world.missiles.length, 0, 'missiles right after a leap');
    room.run(150);
    say(shot(room.time, 4, there));
    equal(page.world.missiles.length, 1, 'missiles 300 ms after a leap');
    say(death(room.time, { x: 500, y: -300 }));
    equal([ship().state, page.world.debris.length], ['exploded', 0], 'a burst from afar');
    equal(page.world.takeEvents().filter(({ type }) => type === 'destroyed').length, 1, 'which is told');
  },

  'who was not seen near a missile takes neither it nor gives a point': () => {
    const { room, page, say } = withPeer();
    Object.assign(page.me, { x: -500, y: -600, vx: 0, vy: 0, angle: 3, fire: true });
    room.run(100);
    page.me.fire = false;
    const [{ x, y, number }] = page.world.missiles;
    say(death(room.time, { x, y, owner: page.relay.id, number }));
    equal([page.world.missiles.length, page.world.debris.length, page.me.score], [1, 0, 0]);
  },

  'who dies within sight of a missile does take it, and gives a point': () => {
    const { room, page, say, report } = withPeer();
    Object.assign(page.me, { x: -500, y: -600, vx: 0, vy: 0, angle: 3, fire: true });
    report(room.time, { x: -550, y: -600, vy: 0 });
    room.run(300);
    page.me.fire = false;
    const [{ x, y, number }] = page.world.missiles;
    say(death(room.time, { x, y, owner: page.relay.id, number }));
    equal([page.world.missiles.length, page.world.debris.length, page.me.score], [0, 6, 1]);
  },

  'whoever slips away unseen to another place can’t act there at once either': () => {
    const { room, page, say, report } = withPeer();
    answer(page, room.time);
    report(room.time, { x: 900, y: 900 });
    room.run(1_000);
    report(room.time, { x: -700, y: -700, state: 2 });
    say(death(room.time, { x: -700, y: -700, owner: 0, number: 0 }));
    equal(page.world.debris.length, 0);
  },

  'a fast ship loses neither shots nor its end when the network stalls for half a second': () => {
    const { room, page, say, report } = withPeer();
    answer(page, room.time);
    report(room.time, { x: -600, y: 500, vx: 0.4, vy: 0 });
    room.run(1_000);   // what follows is said 600 to 250 ms before it arrives
    const then = ago => ({ x: -600 + 0.4 * (1_000 - ago), y: 500, vx: 0.4, vy: 0 });
    report(room.time - 600, then(600));
    say(shot(room.time - 500, 1, then(500)));
    report(room.time - 400, then(400));
    say(shot(room.time - 300, 2, then(300)));
    equal(page.world.missiles.length, 2, 'missiles');
    say(death(room.time - 250, then(250)));
    equal(page.world.debris.length, 6, 'pieces');
  },

  'who holds fire on the way back from hyperspace loses no shot, even to jitter': () => {
    const { room, one, two } = duel({ delay: 100, jitter: 60, busy: 8 });
    const seen = [];
    two.onframe = events => seen.push(...events.filter(({ type, ship }) => type === 'fired' && ship === two.ship(one)));
    one.me.hyperspace = true;
    one.steer = ship => Object.assign(ship, { fire: true, angle: Math.atan2(ship.y, ship.x) });
    orbitAt(two, 340, 3);
    one.me.shots = 0;
    room.run(6_000);
    one.steer = () => {};
    one.me.fire = false;
    room.run(500);
    ok(one.me.shots >= 4, 'shots');
    equal(seen.map(({ missile }) => missile.number), Array.from({ length: one.me.shots }, (_, i) => i + 1));
  },

  'a ship whose clock ran back is heard again': () => {
    const { room, page, report, ship } = withPeer();
    answer(page, room.time + HOUR);
    report(room.time + HOUR);
    room.run(1_000);
    report(room.time, { x: 430 });
    ok(ship().x < 420, 'unheard as long as that seems to be old');
    answer(page, room.time);
    report(room.time, { x: 430 });
    near(ship().x, 430, 10);
  },

  // ---- A hostile peer ----

  'whatever is malformed changes nothing and throws nothing': () => {
    const { room, page, say, id, ship } = withPeer();
    const before = list([ship(), page.me.score]);
    const bad = ['', '[', 'null', '{}', '[]', '[1]', '"report"', '[1e999]', '[[[[', '1 score', '\u0000',
      list(Array(10).fill(null)), list(Array(10).fill('1')), list(Array(10).fill([])),
      list([2, ...state(room.time).slice(1)]),
      list([...state(room.time), 0]), `[1,${'9'.repeat(500)},0,0,0,0,0,0,0,0]`, '[1,NaN,0,0,0,0,0,0,0,0]',
      'x'.repeat(1e6)];
    const wrong = [['time', 1e308], ['state', 4], ['state', 0.5], ['state', '0'], ['x', 4_001], ['y', -1e9],
      ['vx', 2.1], ['vy', null], ['angle', 1e7], ['turn', 2], ['burning', true]];
    const fields = ['version', 'time', 'state', 'x', 'y', 'vx', 'vy', 'angle', 'turn', 'burning'];
    for (const [field, value] of wrong) bad.push(list(state(room.time).with(fields.indexOf(field), value)));
    let at = room.time;
    for (const msgtype of ['report', 'fire', 'death', 'pilot', 'ping', 'pong', 'key', 'proofs']) {
      for (const data of bad) {
        say(`${msgtype} ${data}`);
        room.time += 20;   // no frame: only the patience with so many messages grows
      }
      page.relay[`on${msgtype}`](id, new Uint8Array([91, 49, 93]));
      page.relay[`on${msgtype}`](id, undefined);
    }
    for (const cause of ['score', 7, null, '__proto__']) say(death(room.time, { cause }));
    for (const pilot of [[1, 7, 1, 1], [1, 'x', 64, 1], [1, 'x', 1, 1e9], [1, {}, 1, 1]]) say(`pilot ${list(pilot)}`);
    room.time = at;
    equal(list([ship(), page.me.score]), before);
    equal([page.world.debris.length, page.world.missiles.length, page.world.ships.size], [0, 0, 2]);
  },

  'a malformed key, or malformed proofs, are none': () => {
    const { room, page, say, id } = withPeer();
    const another = room.newId();
    page.relay.peers.add(another);
    page.relay.onjoin(another);
    say(`pilot ${list([1, 'Cy', 9, 0])}`, another);
    say(`key ${list([1, 5, [3, 4]])}`, another);
    for (const key of [7, [], [1], [1, 2, 3], [1, 2 ** 32], ['1', '2'], null]) say(`key ${list([1, 5, key])}`);
    for (const challenge of [null, -1, 0.5, '1', []]) say(`key ${list([1, challenge, [1, 2]])}`);
    equal(messages(room, 'proofs'), [], 'answers');
    say(`key ${list([1, 5, [1, 2]])}`);
    equal(messages(room, 'proofs').map(({ to }) => to), [id], 'answers');
    const [[, challenge], [, , key]] = messages(room, 'key').map(({ message }) => JSON.parse(message.slice(4)));
    for (const proofs of [7, null, 'x', ['1'], [null], [-1], [[1]], Array(65).fill(1), { length: 1 }]) {
      say(`proofs ${list([1, proofs])}`);
    }
    const liar = new Identity();   // that has the key of another
    liar.proofsFor({}, { challenge: 0, key }, 0);
    say(`proofs ${list([1, liar.proofsFor({}, { challenge, key }, id)])}`);
    equal(page.netplay.peers.map(peer => peer.id), [id], 'who is there, after right proofs');
  },

  'what is too long is not even parsed': () => {
    const { room, report, say, ship } = withPeer();
    report(room.time);
    const { x } = ship();
    say(`report ${list(state(room.time, { x: 450 }))}${' '.repeat(1_200)}`);
    equal(ship().x, x);
  },

  'a name is cleaned': () => {
    const { say, ship, id } = withPeer();
    say(`pilot ${list([1, `  <img src=x>\u202e\n${'y'.repeat(50)}`, 1, 1])}`);
    equal(ship().name, '<img src=x> yyyyyyyy', 'shown as text only');
    say(`pilot ${list([1, '\u200b', 1, 1])}`);
    equal(ship().name, `pilot ${id}`);
  },

  'a clock may be anything: only its own ship is moved by it, and nothing freezes': () => {
    for (const time of [0, -1e13, 1e13, 8.64e7 * 400, 1e308]) {
      const { room, page, say, report, ship } = withPeer();
      for (let i = 0; i < 20; i++) {
        report(time, { x: 500 });
        say(shot(time, i + 1));
        say(`ping ${list([1, time])}`);
        const asked = messages(room, 'ping').at(-1).message;
        say(`pong ${list([1, JSON.parse(asked.slice(5))[1], time * (i % 2 ? 1 : -1)])}`);
        room.run(300);
      }
      say(death(time));
      ok(page.frames > 350, `${page.frames} frames`);
      for (const value of [ship().x, ship().dx, page.me.x, page.world.time]) {
        ok(Number.isFinite(value), `${value} at ${time}`);
      }
      const [{ id, path, ship: peer, ...numbers }] = page.netplay.peers;
      ok(Object.values(numbers).every(value => value === null || Number.isFinite(value)), list(numbers));
      equal(page.me.state, 'flying');
    }
  },

  'a clock that leaps, as that of a page which slept, is followed': () => {
    const { room, one, two } = duel();
    const { skew } = two.netplay.peers[0];
    one.offset += 60_000;
    room.run(4_000);
    near(two.netplay.peers[0].skew - skew, 60_000, 10);
  },

  'ten thousand reports in a second cost next to nothing': () => {
    const { room, page, say, id } = withPeer();
    const message = `report ${list(state(room.time, { x: 410 }))}`;
    let parsed = 0;
    const { parse } = JSON;
    JSON.parse = text => (parsed++, parse(text));
    let spent = 0;
    try {
      for (let i = 0; i < 100; i++) {
        const began = performance.now();
        for (let j = 0; j < 100; j++) say(message);
        spent += performance.now() - began;
        room.run(10);
      }
    } finally {
      JSON.parse = parse;
    }
    ok(parsed <= 1_300, `${parsed} messages were parsed`);
    ok(spent < 500, `${spent} ms of the second`);   // 20 on an idle machine
    ok(shipOf(page, id), 'its ship');
  },

  // ---- A crowd ----

  'a thousand pilots are 40 ships, and 960 who are counted': () => {
    const { room, page, ids, fly, remote } = withCrowd(1_000);
    for (const id of ids) fly(id);
    room.run(3_000);
    equal([remote().length, page.netplay.others, page.netplay.peers.length], [40, 960, 1_000]);
  },

  'who never says anything is neither a ship nor counted, and is not pinged': () => {
    const { room, page } = withCrowd(0);
    const ids = Array.from({ length: 100 }, () => room.newId());
    for (const id of ids) page.relay.onjoin(id);
    room.run(3_000);
    equal([page.world.ships.size, page.netplay.others, page.netplay.peers.length], [1, 0, 100]);
    equal(messages(room, 'ping').filter(({ to }) => ids.includes(to)).length, 0);
  },

  'those who fly get the places of those who are silent, without a word in the feed': () => {
    const { room, page, ids, fly, remote } = withCrowd(200);
    const last = ids.slice(-40);
    page.onframe = events => events.forEach(({ type }) => ok(!['entered', 'left'].includes(type), type));
    for (let i = 0; i < 20; i++) {
      for (const id of last) fly(id);
      room.run(100);
    }
    equal(remote().filter(({ state }) => state === 'flying').map(({ name }) => name).sort(),
      last.map(id => `P${id}`).sort());
  },

  'who leaves makes room for another': () => {
    const { room, page, ids, remote } = withCrowd(50);
    room.run(1_500);
    for (const id of ids.slice(0, 30)) page.relay.onquit(id);
    room.run(1_500);
    equal([remote().length, page.netplay.others], [20, 0]);
  },

  'who is not in the sky neither fires nor bursts there': () => {
    const { room, page, ids, fly } = withCrowd(50);
    for (const id of ids) fly(id);
    room.run(400);
    const hidden = ids.filter(id => !shipOf(page, id));
    equal(hidden.length, 10);
    for (const id of hidden) page.relay.receive(id, shot(room.time, 1, { x: 310 + 0.3 * id, vy: 0 }));
    for (const id of hidden) page.relay.receive(id, death(room.time, { x: 310 + 0.3 * id, cause: 'sun' }));
    equal([page.world.missiles.length, page.world.debris.length], [0, 0]);
    const shown = ids.find(id => shipOf(page, id));
    page.relay.receive(shown, shot(room.time, 1, { x: 310 + 0.3 * shown, vy: 0 }));
    equal(page.world.missiles.length, 1, 'of one in the sky');
  },

  'who comes into the sky is where it has flown to meanwhile, and fires there only after a moment': () => {
    const { room, page, ids, fly: report } = withCrowd(50);
    for (const id of ids) report(id, { x: 500, vy: 0.09 });
    const id = ids.at(-1);
    ok(!shipOf(page, id), 'hidden at first');
    for (const other of ids.slice(0, 20)) page.relay.onquit(other);
    const reported = room.time;
    while (!shipOf(page, id) && room.time < reported + 1_100) room.run(FRAME);
    const ship = shipOf(page, id);
    const expected = { x: 500, y: 0, vx: 0, vy: 0.09, angle: 0, turn: 0, burning: false };
    advance(expected, room.time - reported, fly);
    near(Math.hypot(ship.x - expected.x, ship.y - expected.y), 0, 3, 'px from where it must be');
    const there = { x: ship.x, y: ship.y, vy: ship.vy };
    page.relay.receive(id, shot(room.time, 1, there));
    equal(page.world.missiles.length, 0, 'shots at once');
    room.run(1_000);
    page.relay.receive(id, shot(room.time, 1, { x: ship.x, y: ship.y, vx: ship.vx, vy: ship.vy }));
    equal(page.world.missiles.length, 1, 'shots later');
  },

  'of 30,000 messages in a second few are read, but the latest of each ship': () => {
    const { room, page, ids, fly } = withCrowd(1_000);
    room.run(500);
    let parsed = 0;
    const { parse } = JSON;
    JSON.parse = text => (parsed++, parse(text));
    try {
      for (let i = 0; i < 30; i++) {
        for (const id of ids) fly(id, { x: 320 + i, y: 5 });
        room.run(1_000 / 30);
      }
    } finally {
      JSON.parse = parse;
    }
    ok(parsed <= 62 * 200, `${parsed} messages were read`);
    room.run(500);
    const [first] = ids;
    near(shipOf(page, first).x, 349, 5, 'px to the right');
  },

  'what comes late and all at once, to a page that was frozen for half a minute, is heard to its end': () => {
    const { room, say, report, ship } = withPeer();
    for (let i = 0; i < 30 * 15; i++) report(room.time + i / 100);
    say(`pilot ${list([1, 'Bo', 17, 0])}`);
    room.run(2 * FRAME);
    equal([ship().name, ship().look], ['Bo', 17]);
  },

  'who is not in the room is not heard': () => {
    const { room, page, id } = withPeer();
    const stranger = id + 100;
    page.relay.onreport(stranger, list(state(room.time)));
    page.relay.onpilot(stranger, list([1, 'x', 1, 1]));
    page.relay.onreport(page.relay.id, list(state(room.time)));
    page.relay.onreport(0, list(state(room.time, { x: 99 })));
    equal([page.world.ships.size, page.netplay.peers.length], [2, 1]);
    ok(page.me.x !== 99);
  },

  'no message can say that we are somebody else, or that others came or went': () => {
    const { page, say, id } = withPeer();
    for (const msgtype of ['self', 'join', 'quit', 'status']) {
      equal(page.relay[`on${msgtype}`] !== undefined, true, `on${msgtype} is the relay’s to call`);
    }
    const { self } = page.netplay;
    for (const message of ['self2 7', 'toString', '__proto__ 1', 'constructor', 'recv']) say(message);
    equal([page.netplay.self, page.netplay.peers.map(peer => peer.id)], [self, [id]]);
  },
};
