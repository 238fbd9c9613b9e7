// SPDX-License-Identifier: MIT

// All in a room are in the same round and know the same scores, whoever comes, goes or lies.

import { GOAL, PAUSE, ROUND_LENGTH, Round } from '../round.js';
import { Standings } from '../standings.js';
import { equal, near, ok } from './check.js';
import { Page, Room, orbitAt } from './room.js';

/** Pages that have met; they circle the sun far from one another. */
function meet(count, conditions = { delay: 40, jitter: 10 }) {
  const room = new Room(conditions);
  const pages = Array.from({ length: count }, (_, i) => page(room, i));
  for (const one of pages) one.relay.enter();
  room.run(4_000);
  return { room, pages };
}

function page(room, i) {
  const made = new Page(room, { offset: 1e6 * i, look: 9 * i, name: `P${i}`, seed: i + 1 });
  made.world.launch(made.me);
  return made;
}

/** One shoots the other down, or as many times. */
function shoot(room, one, two, times = 1) {
  for (let i = 0; i < times; i++) {
    room.run(6_000);
    Object.assign(one.me, { x: 700, y: 0, vx: 0, vy: 0, angle: 0, state: 'flying', shieldUntil: 0 });
    Object.assign(two.me, { x: 800, y: 0, vx: 0, vy: 0, angle: 0, state: 'flying', shieldUntil: 0 });
    room.run(1_500);
    Object.assign(one.me, { x: 700, y: 0, vx: 0, vy: 0, angle: 0 });
    Object.assign(two.me, { x: 800, y: 0, vx: 0, vy: 0 });
    one.me.fire = true;
    room.run(30);
    one.me.fire = false;
    room.run(700);
    equal(two.me.state, 'exploded', 'state of the victim');
    orbitAt(one, 300, 0);
  }
  room.run(500);
}

const scores = (pages, of) => pages.map(each => of.map(one => one === each ? one.me.score : each.ship(one)?.score));
const rounds = pages => pages.map(({ netplay: { round } }) => [round.number, round.begun]);
const winners = pages => pages.map(({ netplay: { round: { last } } }) => last.winners.map(({ name }) => name).join());

function same(values, what) {
  for (const value of values) equal(value, values[0], what);
  return values[0];
}

/** A peer that only talks: enters the room and flies far away. */
function talker(room, pages, name = 'Eve') {
  const id = room.newId();
  const say = message => { for (const { relay } of pages) relay.receive(id, message); };
  for (const { relay } of pages) {
    relay.peers.add(id);
    relay.onjoin(id);
  }
  say(`pilot [1,"${name}",50,0]`);
  const fly = () => say(`report [1,${room.time},0,900,900,0,0,0,0,0]`);
  fly();
  return { id, say, fly };
}

export default {
  'all agree on the scores and on the round, and a newcomer learns both': () => {
    const { room, pages } = meet(3);
    shoot(room, pages[0], pages[1], 2);
    shoot(room, pages[2], pages[0]);
    equal(same(scores(pages, pages), 'scores'), [2, 0, 1]);
    const cyd = page(room, 3);
    cyd.relay.enter();
    room.run(3_000);
    pages.push(cyd);
    equal(same(scores(pages, pages), 'scores, with a newcomer'), [2, 0, 1, 0]);
    equal(same(rounds(pages), 'round'), [1, true]);
    const since = pages.map(each => each.clock() - each.netplay.round.start);
    for (const ms of since) near(ms, since[0], 150, 'ms since the round began');
  },

  'a newcomer learns the scores from all, however late one of them says them': () => {
    const { room, pages } = meet(2);
    const [ann, bob] = pages;
    shoot(room, ann, bob);
    const cyd = page(room, 3);
    const receive = cyd.relay.receive.bind(cyd.relay);
    cyd.relay.receive = (id, message) => {
      const late = id === bob.relay.id && message.startsWith('round ') ? 2_500 : 0;
      room.at(room.time + late, () => receive(id, message));
    };
    cyd.relay.enter();
    room.run(2_000);
    shoot(room, ann, bob);     // what was counted in between counts, too
    pages.push(cyd);
    equal(same(scores(pages, pages), 'scores'), [2, 0, 0]);
  },

  'the tenth kill ends the round for all, and after the pause all begin at 0': () => {
    const { room, pages } = meet(3);
    shoot(room, pages[0], pages[1], GOAL - 1);
    const late = page(room, 3);
    late.relay.enter();
    pages.push(late);
    equal(same(rounds(pages.slice(0, 3)), 'round'), [1, true]);
    shoot(room, pages[0], pages[2]);
    equal(same(rounds(pages), 'round'), [2, false]);
    equal(same(winners(pages), 'winners'), 'P0');
    room.run(PAUSE);
    equal(same(rounds(pages), 'next round'), [2, true]);
    equal(same(scores(pages, pages), 'scores'), [0, 0, 0, 0]);
  },

  'after five minutes who has most kills has won, on all pages': () => {
    const { room, pages } = meet(3);
    shoot(room, pages[1], pages[2], 2);
    shoot(room, pages[2], pages[1], 1);
    const left = pages[0].netplay.round.start + ROUND_LENGTH - pages[0].clock();
    room.run(left + 1_000);
    equal(same(rounds(pages), 'round'), [2, false]);
    equal(same(winners(pages), 'winners'), 'P1');
  },

  'a score that is only claimed is nowhere believed, and wins nothing': () => {
    const { room, pages } = meet(2);
    const eve = talker(room, pages);
    for (const score of [5, 10, 99_999]) {
      eve.say(`pilot [1,"Eve",50,${score}]`);
      eve.fly();
      room.run(1_000);
    }
    for (const each of pages) {
      equal(each.netplay.peers.map(({ ship }) => ship.score), [0, 0]);
      equal([each.netplay.round.number, each.netplay.round.begun], [1, true]);
    }
  },

  'a newcomer believes no claim either': () => {
    const { room, pages } = meet(2);
    shoot(room, pages[0], pages[1]);
    const eve = talker(room, pages);
    eve.say('pilot [1,"Eve",50,9]');
    const cyd = page(room, 3);
    cyd.relay.enter();
    cyd.relay.peers.add(eve.id);
    cyd.relay.onjoin(eve.id);
    cyd.relay.receive(eve.id, 'pilot [1,"Eve",50,9]');
    cyd.relay.receive(eve.id, `round [1,7,299000,[${pages[0].relay.id},0,${eve.id},9]]`);
    room.run(3_000);
    equal(cyd.netplay.peers.map(({ ship }) => ship.score), [1, 0, 0]);
    equal([cyd.netplay.round.number, cyd.netplay.round.begun], [1, true]);
  },

  'nobody can end or stop a round alone, whatever he says': () => {
    for (const count of [1, 2, 3]) {
      const { room, pages } = meet(count);
      const eve = talker(room, pages);
      room.run(6_000);
      const before = pages.map(({ netplay }) => netplay.round.start);
      for (const round of [[2, -6_000], [2, 0], [1, 0], [1, 299_000], [1, 299_999], [7, 10], [1, -1e6], [1e6, 1e6]]) {
        eve.fly();
        eve.say(`round [1,${round},[${pages[0].relay.id},-50,${eve.id},10]]`);
        room.run(1_000);
        equal(same(rounds(pages), 'round'), [1, true], `in a room of ${count + 1}, after ${round}`);
      }
      pages.forEach(({ netplay: { round } }, i) => near(round.start, before[i], 5_000, 'when it began'));
      for (const each of pages) equal(each.netplay.peers.map(({ ship }) => ship.score), pages.map(() => 0));
    }
  },

  'who was there first cannot end or stop a round through those who come later': () => {
    const room = new Room({ delay: 40, jitter: 10 });
    const pages = [];
    const eve = talker(room, pages);
    for (let i = 0; i < 2; i++) {
      const one = page(room, i);
      one.relay.enter();
      pages.push(one);
      one.relay.peers.add(eve.id);
      one.relay.onjoin(eve.id);
      eve.say('pilot [1,"Eve",50,0]');
      eve.fly();
      if (i) eve.say(`round [1,7,200000,[${pages[0].relay.id},-50,${eve.id},10]]`);
      for (let s = 0; s < 10; s++) {
        room.run(1_000);
        eve.fly();
      }
    }
    const [ann, bob] = pages;
    equal([bob.netplay.round.number, ann.netplay.round.number], [7, 1], 'Bob has only her word, and Ann was there');
    shoot(room, ann, bob);
    equal(ann.me.score, 1);
    ok(bob.netplay.round.begun, 'Bob is in a round as long as another');
  },

  'a death without a shot, or the same shot twice, is no point for anybody': () => {
    const { room, pages } = meet(2);
    const [ann, bob] = pages;
    const eve = talker(room, pages);
    for (let i = 0; i < 4; i++) {
      room.run(3_000);
      eve.fly();
      eve.say(`death [1,${room.time},900,900,0,0,0,7,"missile",${ann.relay.id},${[1, 0, 77, 1][i]}]`);
      eve.say(`death [1,${room.time},900,900,0,0,0,7,"debris",${ann.relay.id},9]`);
    }
    room.run(500);
    equal(scores(pages, [ann, bob]), [[0, 0], [0, 0]]);
  },

  'a suicide costs a point, on all pages': () => {
    const { room, pages } = meet(3);
    Object.assign(pages[1].me, { x: 30, y: 0, vx: -0.1, vy: 0 });
    room.run(2_000);
    equal(same(scores(pages, pages), 'scores'), [0, -1, 0]);
  },

  'who alone plays is in no round, and when one comes both begin at 0': () => {
    const { room, pages } = meet(2);
    shoot(room, pages[0], pages[1], 3);
    pages[1].relay.leave();
    pages[1].frozen = true;
    room.run(6_000);
    equal(pages[0].netplay.round, null);
    const cyd = page(room, 2);
    cyd.relay.enter();
    room.run(3_000);
    const two = [pages[0], cyd];
    equal(same(scores(two, two), 'scores'), [0, 0]);
    equal(same(rounds(two), 'round'), [1, true]);
  },

  'one of two who opens the page anew begins a round for both': () => {
    const { room, pages: [ann, bob] } = meet(2);
    shoot(room, ann, bob, 3);
    bob.relay.leave();
    bob.frozen = true;
    room.run(500);
    const again = page(room, 1);
    again.relay.enter();
    room.run(4_000);
    const two = [ann, again];
    equal(same(scores(two, two), 'scores'), [0, 0]);
    equal(same(rounds(two), 'round'), [1, true]);
    near(ann.clock() - ann.netplay.round.start, again.clock() - again.netplay.round.start, 200, 'ms since it began');
  },

  'after the relay was away all are in the same round with the same scores': () => {
    for (const away of [500, 8_000]) {
      const { room, pages } = meet(3);
      shoot(room, pages[0], pages[1], 2);
      shoot(room, pages[1], pages[2]);
      for (const { relay } of pages) relay.leave();
      room.run(away);
      for (const { relay } of [pages[2], pages[0], pages[1]]) {
        relay.enter();
        room.run(700);
      }
      room.run(3_000);
      equal(same(scores(pages, pages), `scores after ${away} ms`), [2, 1, 0]);
      equal(same(rounds(pages), 'round'), [1, true]);
    }
  },

  'whoever takes the name and the look of one who was lost does not get the score': () => {
    const { room, pages } = meet(3);
    const [ann, bob, cyd] = pages;
    shoot(room, ann, bob, 2);
    const said = room.chatter.length;
    ann.relay.leave();
    room.run(500);
    const eve = talker(room, [bob, cyd], 'P0');
    for (const { message } of room.chatter.slice(0, said).filter(({ message }) => /^(key|proofs) /.test(message))) {
      eve.say(message);
    }
    eve.say('pilot [1,"P0",0,2]');
    room.run(1_500);
    for (const { netplay } of [bob, cyd]) equal(netplay.peers.find(({ id }) => id === eve.id).ship.score, 0);
    ann.relay.enter();
    room.run(2_000);
    equal(scores([bob, cyd], [ann]), [[2], [2]], 'who comes back all the same');
  },

  'who is back has the points once, and only in the same round': () => {
    const pilot = counted => ({ isPilot: true, counted, claimed: 9, ship: {} });
    const standings = new Standings({ state: 'flying', score: 0 });
    const [ann, again, third, bob] = [pilot(3), pilot(1), pilot(0), pilot(5)];
    standings.left(bob);   // who has left before there was a round
    standings.round = new Round(0);
    standings.left(ann);
    for (const peer of [again, third]) standings.returned(peer, ann);
    standings.returned(third, bob);
    equal([again.counted, again.ship.score, third.counted], [4, 4, 0]);
    standings.left(again);
    standings.entered(1e6);   // the round is long over
    standings.round = new Round(1e6);
    standings.returned(third, again);
    equal(third.counted, 0);
  },

  'who has lost the connection comes back with name and score': () => {
    const { room, pages } = meet(3);
    shoot(room, pages[0], pages[1], 2);
    pages[0].relay.leave();
    room.run(3_000);
    pages[0].relay.enter();
    room.run(3_000);
    equal(same(scores(pages, pages), 'scores'), [2, 0, 0]);
    equal(same(rounds(pages), 'round'), [1, true]);
  },
};
