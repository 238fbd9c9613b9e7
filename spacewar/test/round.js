// SPDX-License-Identifier: MIT

// When a round ends and the next begins, and who is believed about it.

import { GOAL, PAUSE, ROUND_LENGTH, Round, SAME, agreed } from '../round.js';
import { equal, ok } from './check.js';

const ships = (...scores) => scores.map((score, id) => ({ id, name: `P${id}`, score }));

/** A pilot who says what the round is. */
const says = (id, number, start, isNew = false) => ({ id, round: { number, start }, isNew });
const silent = id => ({ id, round: null, isNew: false });

function begun(start = 0, number = 1) {
  const round = new Round(start, number);
  equal(round.update(start, ships(0, 0)), 'began');
  return round;
}

export default {
  'the tenth kill ends a round, and the next begins six seconds later': () => {
    const round = begun();
    equal([round.update(1_000, ships(GOAL - 1, 3)), round.begun], ['', true]);
    equal([round.update(2_000, ships(GOAL, 3)), round.begun], ['ended', false]);
    equal(round.last, { winners: [{ id: 0, name: 'P0' }], score: GOAL });
    equal([round.number, round.start], [2, 2_000 + PAUSE]);
    equal([round.update(2_000 + PAUSE - 1, ships(GOAL, 3)),
      round.update(2_000 + PAUSE, ships(GOAL, 3))], ['', 'began']);
  },

  'after five minutes most kills win': () => {
    const round = begun(500);
    equal(round.update(500 + ROUND_LENGTH - 1, ships(1, 4)), '');
    equal(round.update(500 + ROUND_LENGTH, ships(1, 4)), 'ended');
    equal(round.last, { winners: [{ id: 1, name: 'P1' }], score: 4 });
  },

  'who has equally many wins with the others, and with none nobody does': () => {
    const [even, none] = [begun(), begun()];
    even.update(ROUND_LENGTH, ships(2, 2, 1));
    equal(even.last.winners.map(({ id }) => id), [0, 1]);
    none.update(ROUND_LENGTH, ships(0, -1));
    equal(none.last.winners, []);
  },

  'two who say the same are believed, one is not': () => {
    const own = begun(0, 3);
    equal(agreed(own, [says(2, 4, 9_000), says(3, 3, 0)], { now: 60_000 }), null, 'one of two');
    equal(agreed(own, [says(2, 4, 9_000), silent(3)], { now: 60_000 }), null, 'one, and one who says nothing');
    equal(agreed(own, [says(2, 4, 9_000), says(3, 4, 9_200)], { now: 60_000 }), { number: 4, start: 9_000 }, 'two');
    const five = [says(2, 4, 9_000), says(3, 4, 9_000), says(4, 3, 0), says(5, 3, 0)];
    equal(agreed(own, five, { now: 60_000 }), null, 'two of four');
  },

  'of two nobody can end, stop or restart a round by saying so': () => {
    const own = begun(0, 3);
    for (const [number, start] of [[4, 66_000], [4, 60_000], [1, 60_000], [3, 59_000], [3, -290_000], [9, 0]]) {
      equal(agreed(own, [says(2, number, start)], { now: 60_000 }), null, `round ${number} from ${start}`);
    }
  },

  'who was there when the round began is moved only by others who were': () => {
    const own = begun(0, 3);
    const others = [says(2, 7, 50_000), says(5, 7, 50_000), says(6, 7, 50_000)];
    const told = (...witnesses) => agreed(own, others.map((other, i) => ({ ...other, isWitness: witnesses[i] })),
      { now: 60_000, isWitness: true, self: 3 });
    equal(told(true, false, false), null, 'one, and two whom it has told');
    equal(told(true, true, false), { number: 7, start: 50_000 }, 'two of them');
    equal(agreed(own, others, { now: 60_000, isWitness: false, self: 9 }).number, 7, 'for who came later all count');
    own.update(ROUND_LENGTH, ships(1, 0));
    const next = others.map(({ id }) => says(id, 9, ROUND_LENGTH));
    equal(agreed(own, next, { now: ROUND_LENGTH + 10, isWitness: true, self: 3 }).number, 9,
      'between two rounds all count');
  },

  'nobody is in a round that has lasted too long or is minutes away, whoever says so': () => {
    for (const start of [60_000 - ROUND_LENGTH - SAME - 1, 60_000 + PAUSE + SAME + 1, 1e6, -1e6]) {
      for (const others of [[says(1, 9, start), silent(2)], [says(1, 9, start), says(2, 9, start)]]) {
        equal(agreed(null, others, { now: 60_000, isNew: true, self: 5 }), null, `round from ${start}`);
      }
    }
  },

  'when one of two has just come, both begin anew': () => {
    const own = begun(0, 3);
    equal(agreed(own, [says(2, 1, 60_000, true)], { now: 60_100 }), { number: 1, start: 60_000 });
    equal(agreed(null, [says(1, 1, 60_000)], { now: 60_100, isNew: true, self: 5 }), { number: 1, start: 60_000 });
    for (const [number, start] of [[2, 60_000], [1, 64_000], [1, 50_000]]) {
      equal(agreed(own, [says(2, number, start, true)], { now: 60_100 }), null, `round ${number} from ${start}`);
    }
    equal(agreed(null, [says(1, 3, -200_000)], { now: 60_100, isNew: true, self: 5 }), null,
      'a round of one who was alone');
  },

  'who has just come believes the majority, and without one who is there longest': () => {
    equal(agreed(null, [says(1, 9, 0), says(2, 3, 0), says(3, 3, 100)],
      { now: 60_000, isNew: true, self: 5 }).number, 3);
    equal(agreed(null, [says(2, 3, 0), says(1, 9, 0)], { now: 60_000, isNew: true, self: 5 }).number, 9);
    equal(agreed(null, [silent(1), says(6, 9, 0)], { now: 60_000, isNew: true, self: 5 }), null, 'who came later');
    equal(agreed(null, [silent(1), silent(2)], { now: 60_000, isNew: true, self: 5 }), null);
  },

  'in the pause after a round nobody is drawn back into it': () => {
    const own = begun();
    own.update(ROUND_LENGTH, ships(1, 0));
    equal(agreed(own, [says(2, 1, 0), says(3, 1, 0)], { now: ROUND_LENGTH + 10 }), null);
  },

  'what others say of the beginning of the same round moves it by five seconds at most, however often': () => {
    const round = begun(100_000);
    for (let i = 0; i < 50; i++) round.settle([100_000 - SAME, 90_000, round.start - SAME, 100_300]);
    equal(round.start, 100_000 - SAME);
    round.settle([99_800]);
    equal(round.start, 99_800, 'as soon as nobody says so any more');
  },

  'a round that others have ended has a winner, one that they begin anew has none': () => {
    const [ended, anew] = [begun(), begun()];
    ended.become({ number: 2, start: 8_000 }, ships(9, 2));
    equal([ended.last.winners[0].name, ended.number, ended.begun], ['P0', 2, false]);
    anew.become({ number: 1, start: 8_000 });
    ok(anew.last === null, 'nobody has won');
  },
};
