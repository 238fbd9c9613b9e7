// SPDX-License-Identifier: MIT

// Two who have met know each other again under new ids, and nobody else can pass for one of them.

import { Identity, MOST_KEYS, halfSipHash } from '../identity.js';
import { equal, ok } from './check.js';

/** A page, and what it calls others: peers by their ids. */
class Page {
  identity = new Identity();
  peers = new Map();

  constructor(id) {
    this.id = id;
  }

  peer(id) {
    if (!this.peers.has(id)) this.peers.set(id, { id, challenge: null, hasIntroduced: false });
    return this.peers.get(id);
  }

  /** All have new ids, given in their order. */
  static restart(...pages) {
    pages.forEach((page, i) => {
      page.id = i + 1;
      page.peers.clear();
    });
  }
}

/** One introduces itself to the other; returns the proofs that come back. */
function introduce(one, other) {
  return other.identity.proofsFor(other.peer(one.id), one.identity.introduce(one.peer(other.id)), other.id);
}

/** Whom each of two takes the other for when they meet. */
function meet(one, other) {
  const [toOne, toOther] = [introduce(one, other), introduce(other, one)];
  return [one.identity.recognise(one.peer(other.id), toOne), other.identity.recognise(other.peer(one.id), toOther)];
}

export default {
  'the hash is HalfSipHash-2-4': () => {
    const words = [0x03020100, 0x07060504, 0x0b0a0908, 0x0f0e0d0c];
    const hash = count => halfSipHash(words.slice(0, 2), words.slice(0, count)).map(word => word.toString(16));
    equal([hash(2), hash(4)], [['20e8feed', '8c85e4bc'], ['d2aa3673', 'b5f37b5f']], 'as its authors publish it');
  },

  'who has met before is recognised by new ids, again and again': () => {
    const [ann, bob, cyd] = [1, 2, 3].map(id => new Page(id));
    equal([meet(ann, bob), meet(bob, cyd), meet(ann, cyd)], Array(3).fill([null, null]), 'strangers');
    for (let times = 0; times < 3; times++) {
      const [bobWas, annWas] = [ann.peer(bob.id), bob.peer(ann.id)];
      if (times % 2) Page.restart(ann, bob, cyd);
      else Page.restart(cyd, bob, ann);
      const [seenByAnn, seenByBob] = meet(ann, bob);
      ok(seenByAnn === bobWas && seenByBob === annWas, `recognised, ${times}`);
      meet(bob, cyd);
    }
  },

  'what one says can be used by nobody else, and by nobody again': () => {
    const [ann, bob, eve] = [1, 2, 3].map(id => new Page(id));
    for (const [one, other] of [[ann, bob], [ann, eve], [bob, eve]]) meet(one, other);
    Page.restart(eve, ann, bob);
    // Eve asks Ann as Bob would, and passes on what she hears.
    const challenge = bob.identity.introduce(bob.peer(eve.id));
    const proofs = ann.identity.proofsFor(ann.peer(eve.id), challenge, ann.id);
    equal(bob.identity.recognise(bob.peer(eve.id), proofs), null, 'with her own id');
    Page.restart(ann, eve, bob);
    introduce(bob, eve);
    const overheard = introduce(bob, ann);
    Page.restart(eve, ann, bob);    // with the id that Ann had
    introduce(bob, eve);
    equal(bob.identity.recognise(bob.peer(eve.id), overheard), null, 'later');
    introduce(bob, ann);
    equal(bob.identity.recognise(bob.peer(ann.id), []), null, 'without a proof');
    const guesses = Array.from({ length: MOST_KEYS }, (_, i) => i);
    introduce(bob, eve);
    equal(bob.identity.recognise(bob.peer(eve.id), guesses), null, 'by guessing');
  },

  'a peer proves once who it is, and is asked once': () => {
    const [ann, bob] = [1, 2].map(id => new Page(id));
    meet(ann, bob);
    const was = bob.peer(ann.id);
    Page.restart(bob, ann);
    const proofs = introduce(bob, ann);
    equal(introduce(bob, ann), [], 'a second challenge');
    Page.restart(bob, ann);
    const right = introduce(bob, ann);
    equal(bob.identity.recognise(bob.peer(ann.id), proofs), null, 'the proofs for another challenge');
    equal(bob.identity.recognise(bob.peer(ann.id), right), null, 'a second try');
    ok(was !== bob.peer(ann.id));
  },

  'nobody is recognised as oneself': () => {
    const [ann, bob] = [1, 2].map(id => new Page(id));
    const { challenge, key } = bob.identity.introduce(bob.peer(ann.id));
    ann.identity.proofsFor({}, { challenge: 0, key }, 1);
    equal(bob.identity.recognise(bob.peer(ann.id), ann.identity.proofsFor({}, { challenge, key }, ann.id)), null);
  },

  'of those who come and go only so many are remembered': () => {
    const ann = new Page(1);
    const [first, ...others] = Array.from({ length: 1_000 }, (_, i) => new Page(i + 2));
    meet(ann, first);
    for (const other of others) meet(ann, other);
    equal(introduce(new Page(2_000), ann).length, MOST_KEYS);
    Page.restart(ann, first, others.at(-1));
    equal(ann.identity.recognise(ann.peer(2), introduce(ann, first)), null, 'the first');
    ok(ann.identity.recognise(ann.peer(3), introduce(ann, others.at(-1))), 'the last');
  },
};
