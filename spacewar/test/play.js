// SPDX-License-Identifier: MIT

// The game as it is played: whole pages in frames, which meet in a room of the relay that serves the tests. What
// happens between players is the same in all browsers; what a browser may do otherwise is in game.js.

import { GOAL, SAME } from '../round.js';
import { equal, near, ok } from './check.js';
import {
  Player, Stranger, allSee, click, isAsking, meet, newcomer, newRoom, players, shoot, until, wait, where,
} from './frames.js';

/** Fires at a practice ship from above, as fast as that and so near that it hits, but for a shield. */
function shootAtDrone(player) {
  const { game, sight: { time, me, ships } } = player;
  game.setShip({ shieldUntil: Infinity });   // which ends with a shot
  const drone = ships.find(({ bot, state }) => bot && state === 'flying');
  if (!drone || me.state !== 'flying' || time < me.readyAt) return;
  const { x, y, vx, vy } = drone;
  const outwards = 1 + 70 / Math.hypot(x, y);
  game.setShip({ x: x * outwards, y: y * outwards, vx, vy, angle: Math.atan2(-y, -x) });
  player.press('KeyF');
}

/** A worker of a relay that says what a test wants, and hears nothing. */
const falseRelay = relay => class {
  postMessage([word]) {
    if (word !== 'open') return;
    relay.say = (...messages) => this.onmessage({ data: ['messages', messages] });
    queueMicrotask(() => this.onmessage({ data: ['open'] }));
  }

  terminate() {}
};

// ---- What strangers say ----

const RIGHT = {
  report: [1, 0, 0, 600, 600, 0, 0, 0, 0, 0],
  fire: [1, 0, 0, 600, 600, 0, 0, 0, 0, 0, 1],
  death: [1, 0, 600, 600, 0, 0, 0, 1, '"missile"', 1, 1],
  pilot: [1, '"Eve"', 1, 0], round: [1, 3, 0, '[1,5,9,10]'], greet: [1, 0], ping: [1, 0], pong: [1, 0, 0],
};
const WRONG = ['null', 'true', '""', '"1"', '{}', '[]', '[1]', '-1', '0.5', '1e9', '-1e308', '1e999', 'NaN',
  '9007199254740993', '"<img src=x onerror=harm()>"', '"__proto__"', `"${'x'.repeat(1_000)}"`];

/** Ann circles the sun and Bob watches; whatever the hostile one does, they do so ever after, with name and score. */
const changesNothing = hostility => async () => {
  const room = newRoom();
  const ann = await Player.named('Ann', room);
  try {
    const bob = (await Stranger.join(room, { name: 'Bob', look: 9 })).says('pilot', 1, '"Bob"', 9, 4);
    await ann.until(() => ann.seen('Bob').score === 0, 'Bob, who says that he has 4');
    ann.orbit(300);
    await hostility(ann, room);
    await ann.until(({ sight }) => sight.peers.length === 1, 'only Bob is left');
    await ann.fliesOn();
    near(Math.hypot(ann.me.x, ann.me.y), 300, 1, 'px from the sun');
    equal(ann.ships.map(({ id, name, state, score }) => `${id} ${name} ${state} ${score}`).join(),
      '1 Ann flying 0,2 Bob observing 0');
    equal([ann.sight.link, ann.document.querySelectorAll('img, [onerror]').length], ['relay', 0]);
    await bob.close();
  } finally {
    ann.close();
  }
};

export default {
  'two meet, fly, fire, hit, explode and come back; who comes late learns all of it, and who leaves is gone':
    players('Ann', 'Bob', async (ann, bob, room) => {
      const { angle } = bob.seen('Ann');
      ann.hold('KeyD', 'KeyW');
      await allSee('Ann', ship => ship.angle > angle + 0.5, ann, bob);
      ann.release('KeyD', 'KeyW');
      await ann.until(({ me }) => me.turn === 0, 'it stops to turn');
      await bob.until(() => Math.abs(bob.seen('Ann').angle - ann.me.angle) < 0.01, 'the angle');

      await shoot(ann, bob, 800);
      await bob.until(({ sight }) => sight.debris.length === 6, 'six pieces');
      await allSee('Bob', ship => ship.state === 'exploded' && ship.score === 0, ann, bob);
      await allSee('Ann', ship => ship.state === 'flying' && ship.score === 1, ann, bob);
      const fate = () => bob.sight.words.fate;
      await bob.until(() => /^Ann shot you · back in [123]$/.test(fate()), 'how, where the eye is');
      await ann.until(() => ann.$('#log').textContent.includes('You shot Bob'), 'the news');
      await bob.until(() => bob.$('#log').textContent.includes('Ann shot you'), 'the news');
      await ann.until(() => ann.$('#scores tbody').textContent === 'Ann (you)1Bob0', 'the scores');

      const cyd = await Player.named('Cyd', room);
      await meet(ann, bob, cyd);
      const all = [ann, bob, cyd];
      for (const [name, score] of [['Ann', 1], ['Bob', 0], ['Cyd', 0]]) {
        await allSee(name, ship => ship.score === score, ...all);
      }
      for (const player of all) {
        await player.until(({ sight: { round } }) => round?.begun && round.number === 1, 'the first round');
      }
      // A page that hears of a round takes it to begin later, by as long as the message was on its way.
      const starts = () => all.map(({ window, sight }) => window.performance.timeOrigin + sight.round.start);
      await ann.until(() => Math.max(...starts()) - Math.min(...starts()) < SAME, () => `it began at ${starts()}`);
      await allSee('Bob', ship => ship.state === 'flying', ...all);
      await shoot(cyd, ann, -800);
      await allSee('Cyd', ship => ship.score === 1, ...all);
      await allSee('Ann', ship => ship.score === 1 && ship.state === 'exploded', ...all);
      for (const player of all) {
        await player.until(({ ships }) => new Set(ships.map(({ look }) => look)).size === 3, 'three looks');
      }
      cyd.close();
      await meet(ann, bob);
      await ann.until(() => ann.$('#log').textContent.includes('Cyd left'), 'the news');
    }),

  'a missile flies in every sky from the nose that fired it': players('Ann', 'Bob', async (ann, bob) => {
    ann.place(-60, -800, -Math.PI / 2);
    await ann.isSeen(bob);
    ann.press('Space');
    for (const player of [ann, bob]) {
      const flying = () => player.sight.missiles.find(({ owner, age }) => owner === 1 && age > 300);
      const { x, y, vy } = await player.until(flying, 'the missile');
      near(x, -60, 5, 'x');
      ok(y < -850, `y: ${y}`);
      near(vy, -0.2, 0.02, 'vy');
    }
  }),

  'ten kills win, also against practice ships, and the next round begins at 0': players('Ann', async ann => {
    ann.press('ArrowLeft');
    ann.change({ practice: 2 });
    const words = () => ann.sight.words;
    await ann.until(() => /^wave 1 . first to 10 . [45]:/.test(words().goal), 'the goal');
    await ann.until(() => {
      if (ann.me.score < 2) shootAtDrone(ann);
      return ann.me.score === 2;
    }, 'two kills');
    await ann.until(() => words().goal.startsWith('wave 2 '), 'the second wave, after two kills');
    equal([ann.stored.wave, ann.stored.streak], [2, 2], 'best wave and streak');
    ann.game.setShip({ score: GOAL });
    await ann.until(() => words().banner?.title === 'You win with 10', 'the banner');
    await ann.until(() => !words().banner && ann.me.score === 0 && words().goal, 'the next round');
    equal(ann.stored.wins, 0, 'wins against people');
  }),

  'a round won against people is kept': players('Ann', 'Bob', async (ann, bob) => {
    for (const player of [ann, bob]) await player.until(({ sight }) => sight.round?.begun, 'a round');
    ann.game.setShip({ score: GOAL });
    await until(() => ann.stored.wins === 1, 'a win');
    equal(bob.stored.wins, 0);
  }),

  'for the first five lives a dotted line shows where the ship will fall': players('Ann', async ann => {
    for (let life = 0; life < 5; life++) {
      await ann.until(({ me, sight }) => me.state === 'flying' && sight.settings.lives === life, `life ${life}`);
      ok(ann.sight.forecast, 'the line');
      ann.place(0, 0);
      await ann.until(({ me }) => me.state === 'exploded', 'the sun');
      ann.game.setShip({ until: 0 });    // back at once
    }
    await ann.until(({ sight }) => !sight.forecast, 'no line');
    equal(ann.stored.lives, 5);
  }),

  'who pauses in company observes; who follows another ship is told so and how to come back': players('Ann', 'Bob',
    async (ann, bob) => {
      ann.press('ArrowLeft');
      await allSee('Bob', ship => ship.state === 'flying', ann);
      click(ann, where(ann, 'Bob'));
      await ann.until(({ sight }) => sight.words.banner?.note === 'following Bob · R to come back', 'whom');
      ann.press('KeyR');
      await ann.until(({ sight }) => sight.words.banner === null, 'no more');
      ann.press('KeyP');
      await allSee('Ann', ship => ship.state === 'observing', ann, bob);
      await bob.fliesOn();
      ann.press('KeyP');
      await allSee('Ann', ship => ship.state === 'hyperspace', ann, bob);
    }),

  'who comes is noticed in a hidden tab: by a sound, and the number of friends in the title': players('Ann',
    async (ann, room) => {
      const heard = [];
      ann.window.Sound.prototype.play = event => heard.push(event.type);
      equal(ann.document.title, 'Spacewar');
      ann.hide();
      await ann.until(({ me }) => me.state === 'observing', 'she observes');
      heard.length = 0;
      const eve = (await Stranger.join(room)).flies();
      await ann.until(({ document }) => document.title === '(1) Spacewar', 'one friend in the title');
      const dan = (await Stranger.join(room, { name: 'Dan', look: 7 })).flies();
      await ann.until(({ document }) => document.title === '(2) Spacewar', 'two');
      eve.says('fire', 1, 0, 0, 600, 600, 0, 0, 0, 0, 0, 1);
      await dan.close();
      await ann.until(({ document }) => document.title === '(1) Spacewar', 'one again');
      equal(heard, ['entered', 'entered']);
      await eve.close();
      await ann.until(({ document }) => document.title === 'Spacewar', 'none');
    }),

  'a greeting is seen at the ship, and not too often': players('Ann', 'Bob', async (ann, bob) => {
    ann.press('KeyG', 'KeyV', 'KeyB');
    const greeting = () => bob.seen('Ann').greeting;
    await bob.until(() => greeting() === 'gg', 'gg');
    await bob.until(() => bob.$('#log').textContent.includes('Ann: gg'), 'in words, too');
    await wait(200);
    equal([greeting(), ann.me.greeting], ['gg', 'gg']);
  }),

  'nobody is hit while typing': newcomer(async (ann, room) => {
    ann.type('An');
    await ann.until(({ sight }) => sight.time > 2_500, 'the shield of the beginning is over');
    const eve = await Stranger.join(room);
    const shot = async number => {
      await eve.fliesBefore(ann);   // anew, since who has been silent for 5 s is not there, and cannot fire
      ann.place(660, 600);
      eve.flies().says('fire', 1, 0, 0, 600, 600, 0, 0, 0, 0, 0, number);
      await ann.until(({ sight }) => sight.missiles.some(({ owner }) => owner === eve.id), `shot ${number}`);
    };
    await shot(1);
    await wait(500);
    equal(ann.me.state, 'flying');
    ann.press('Escape');
    await ann.until(({ sight: { time, me } }) => !isAsking(ann) && time > me.shieldUntil, 'the shield is over');
    await shot(2);
    await ann.until(({ me }) => me.state === 'exploded', 'now she is hit');
    await eve.close();
  }),

  // ---- What the original got wrong ----

  'a time of 0 in a report, and clocks that are days off, stop nobody': players('Ann', async (ann, room) => {
    const bob = await Player.named('Bob', room, { before: ({ Date }) => { Date.now = () => 0; } });
    const eve = await Stranger.join(room);
    for (const time of ['0', '-1e13', '1e13', '0', '1e12', '-0', '1e-300']) {
      eve.says('report', 1, time, 0, 900, 900, 0, 0, 0, 0, 0).says('ping', 1, time).send(`pong [1,${time},${time}]`, 1);
    }
    await ann.until(() => ann.seen('Eve').state === 'flying', 'Eve');
    bob.place(500, -500);
    await bob.isSeen(ann);
    for (const player of [ann, bob]) await player.fliesOn();
    await eve.close();
    bob.close();
  }),

  'one shot scores once, however often it is said to have hit': players('Ann', async (ann, room) => {
    const eve = await Stranger.join(room);
    await eve.fliesBefore(ann);
    await ann.until(({ sight }) => sight.round?.begun, 'a round');
    ann.place(-800, 0, Math.PI);
    ann.press('KeyF');
    await ann.until(({ sight }) => sight.missiles.length === 1, 'the shot');
    for (let i = 0; i < 25; i++) eve.flies().hitBy(1, 1).flies().hitBy(1, i);
    eve.says('score', 1).says('pilot', 1, '"over"', 1, 0);
    await ann.until(() => ann.seen('over').id === 2, 'all of it');
    equal(ann.me.score, 1);
    await eve.close();
  }),

  'a page is told its id once, and only by the relay': async () => {
    const relay = {};
    const ann = await Player.open(newRoom(), { settings: { name: 'Ann', look: 3, practice: 0 },
      before: window => { window.Worker = falseRelay(relay); } });
    await ann.until(() => relay.say, 'a connection');
    relay.say('7 self', '8 join', '8 pilot [1,"Bob",1,0]');
    await ann.until(() => ann.seen('Bob').id === 8, 'Bob');
    relay.say('8 self', '9 self', '-1 join', '0 join', 'x join', '7 join', '7 quit', '9 quit', '9 pilot [1,"Eve",1,0]',
      '8 pilot [1,"Rob",1,0]');
    await ann.until(() => ann.seen('Rob').id === 8, 'Rob');
    equal([ann.sight.self, ...ann.ships.map(({ id, name }) => `${id} ${name}`)], [7, '7 Ann', '8 Rob']);
    await ann.fliesOn();
    ann.close();
  },

  'in the timing table least is the least and greatest the greatest, and who only watches has no row':
    players('Ann', async (ann, room) => {
      const [eve, watcher] = [await Stranger.join(room), await Stranger.watch(room)];
      await ann.until(({ sight }) => sight.peers.length === 2, 'both');
      ann.press('KeyT');
      for (const delay of [9, 110, 30, 105]) {
        eve.heard.length = 0;
        const ping = await until(() => eve.heard.find(message => / ping /.test(message)), 'a ping');
        await wait(delay);
        eve.send(`pong [${ping.match(/\[(.*)\]/)[1]},${Math.round(performance.now())}]`, 1);
      }
      await ann.until(() => {
        const cells = [...ann.document.querySelectorAll('#timing tbody td')].map(cell => parseInt(cell.textContent));
        const [, least, mean, greatest, , , ...more] = cells;
        return !more.length && least >= 9 && least < mean && mean < greatest && greatest >= 110;
      }, 'a row in order');
      await eve.close();
      await watcher.close();
    }),

  'observing is no free way out, and however pause is toggled there is one loop': players('Ann', async ann => {
    ann.press('KeyO');
    await ann.until(({ me }) => me.state === 'observing', 'she observes');
    ann.press('KeyO');
    await ann.until(({ sight: { me, time } }) => me.state === 'hyperspace' && me.until - time > 2_000, 'a jump');
    for (let i = 0; i < 10; i++) ann.press('KeyP');
    const before = ann.sight.frames;
    for (let i = 0; i < 30; i++) await new Promise(done => ann.window.requestAnimationFrame(done));
    near(ann.sight.frames - before, 30, 5, 'frames');
    await ann.until(({ me }) => me.state === 'flying', 'she is back');
  }),

  'of those who have left nothing is kept': players('Ann', async (ann, room) => {
    for (let times = 0; times < 4; times++) {
      const eve = (await Stranger.join(room)).flies();
      await ann.until(({ sight: { peers, ships } }) => peers.length === 1 && ships.length === 2, 'she is there');
      await eve.close();
      await ann.until(({ sight: { peers, ships } }) => peers.length === 0 && ships.length === 1, 'she is gone');
    }
  }),

  // ---- The worst that somebody in the room can do is to lie about their own ship ----

  'messages that are right but for one field, and no messages at all, change nothing': changesNothing(
    async (ann, room) => {
      for (const [type, fields] of Object.entries(RIGHT)) {
        for (let field = 0; field < fields.length; field++) {
          const eve = (await Stranger.join(room)).flies();
          for (const wrong of WRONG) eve.says(type, ...fields.with(field, wrong));
          eve.says(type, ...fields.slice(0, field)).says(type, ...fields, 0);
          await eve.close();
        }
      }
      const eve = await Stranger.join(room);
      for (const data of ['', ' ', '{', '[', 'null', '1', '[]', '[1]', '{"x":1}', '[1,2', '[[[[', '\0', 'NaN']) {
        eve.send(`report ${data}`);
      }
      for (const type of ['report', 'fire', 'death', 'pilot', 'ping', 'pong', 'status', 'recv', 'send', 'close',
        'connect', 'constructor', '__proto__', 'toString', 'hasOwnProperty', 'peers', 'id', 'url', '#peers', 'onself',
        'ship', 'score', 'x'.repeat(1_000), '<b>']) {
        for (const data of ['', ' ', ' [', ' [1,{"a":', ` ${'['.repeat(5_000)}`, ' {"__proto__":{"score":9}}',
          ' \0\u0001']) eve.send(type + data);
      }
      const ascii = text => new TextEncoder().encode(text);
      for (const type of ['', ...Object.keys(RIGHT)]) {
        eve.raw(new Blob([ascii(`* ${type}`), ascii(' '), Uint8Array.of(0, 0xff, 0x80, 0xfe)]));
      }
      eve.send(`report ${'9'.repeat(1_000_000)}`);
      await eve.close();
    }),

  'what is claimed wins nothing, and nobody ends or stops a round alone': changesNothing(async (ann, room) => {
    const eve = (await Stranger.join(room)).flies();
    await ann.until(({ sight }) => sight.round?.begun, 'a round');
    const { start } = ann.sight.round;
    for (const round of ['2,-6000', '2,0', '1,299000', '1,300000', '7,0', '1,-1000000']) {
      eve.flies().says('pilot', 1, '"Eve"', 0, 10).says('round', 1, round, '[1,-9,3,10]');
      await wait(150);
      const { number, begun } = ann.sight.round;
      equal([number, begun, ann.seen('Eve').score], [1, true, 0], round);
    }
    near(ann.sight.round.start, start, 5_000, 'the beginning');
    ok(!ann.$('#log').textContent.includes('win'), 'no news of a win');
    await eve.close();
  }),

  'forged scores, ships of others and words of the relay change nothing': changesNothing(async (ann, room) => {
    const eve = await Stranger.join(room);
    await eve.fliesBefore(ann);
    for (const id of [0, 1, 2, 3, 99]) eve.hitBy(id, 1).hitBy(id, 0).flies();
    eve.says('pilot', 1, '"Ann"', 5, 99_999).says('pilot', 1, '"Bob"', 9, -5).send('score 1').raw('1 score 1');
    for (const id of [1, 2]) eve.send('score 1', id).send('death [1]', id);
    eve.says('pilot', 1, '"over"', 1, 0);
    await ann.until(() => ann.seen('over').id === 3, 'all of it');
    await eve.close();
    for (const word of ['self', 'join', 'quit', 'self 1', 'quit 2', 'join x']) {
      for (const target of ['*', 1, 2]) await (await Stranger.join(room)).send(word, target).close();
    }
  }),
};
