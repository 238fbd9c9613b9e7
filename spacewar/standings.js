// SPDX-License-Identifier: MIT

// The round that those in a room are in, and the score of each, on one page; nobody is the referee. Of a
// pilot's score a page believes what the pilot says, but no more than it has counted itself: a kill counts
// because its victim told its death. Who comes later is told by each what it has counted so far, and takes for
// every pilot the middle of what the others say. So a claim wins nothing, and round.js sees to it that nobody
// ends or stops a round alone.
//
// A round needs two who play: who only watches, in a hidden tab for instance, does not. When the connection is
// lost the round is kept for a while, and those who come back (identity.js knows them) have their points.

import { agreed, isSame, Round } from './round.js';

const ALONE_MS = 4_000;    // ms without another who plays after which a round is over for good
const NEW_MS = 5_000;      // ms after joining in which a page, or a peer, has only just come
const ARRIVING_MS = 1_500; // ms after joining until all that those who are there say has come
const RETURN_MS = 60_000;  // ms offline after which the room has forgotten us, ...
const REUNION_MS = 10_000; // ... and ms that it takes all others to come back too
const MOST_LEFT = 100;     // pilots remembered who have left a round

export class Standings {
  round = null;           // null while nobody else plays
  #me;
  #enteredAt = -Infinity;
  #keepUntil = -Infinity; // until when a round is kept though nobody plays
  #company = -Infinity;   // when two or more last played
  #left = new Set();      // peers who have left this round, with their points
  #said = null;           // { number, start } as last told to all
  #learnt = new Map();    // of each peer, the points that others had counted before us ...
  #learnsUntil = -Infinity;      // ... which some say late, until this time at most

  constructor(me) {
    this.#me = me;
  }

  lost() {
    this.#keepUntil = Infinity;
  }

  entered(now) {
    this.#enteredAt = now;
    if (now - this.#company > RETURN_MS) this.#dissolve();
    this.#keepUntil = now + REUNION_MS;
    this.#learnsUntil = -Infinity;
    this.#said = null;
  }

  /** A peer says how many points it has. */
  claimed(peer, score) {
    peer.claimed = score;
    show(peer);
  }

  left(peer) {
    if (!this.round || !peer.isPilot) return;
    this.#left.add(peer);
    if (this.#left.size > MOST_LEFT) this.#left.delete(this.#left.values().next().value);
  }

  /** A peer is one that has left: it has the points of that one, once. */
  returned(peer, earlier) {
    if (!this.#left.delete(earlier)) return;
    peer.counted += earlier.counted;
    show(peer);
  }

  /** A peer has won or lost a point, as its victim says or as it says itself. */
  count(peer, points) {
    if (!this.round?.begun) return;
    peer.counted += points;
    show(peer);
  }

  /** A peer says in which round it is, since when, and how many points it has counted for whom. */
  heard(peer, { number, since, scores }, now) {
    peer.round = { number, start: now - since };
    peer.scores = scores;
  }

  /** Goes on to a time with those who are here, where we are `self`; returns what round.update() does. */
  update(now, pilots, self) {
    const playing = [this.#me, ...pilots.map(({ ship }) => ship)].filter(({ state }) => state !== 'observing');
    if (playing.length > 1) this.#company = now;
    if (now - this.#company > ALONE_MS && now > this.#keepUntil) this.#dissolve();
    if (playing.length < 2) return '';
    this.#agree(now, pilots, self);
    if (!this.round) return '';
    const ships = [this.#me, ...pilots.map(({ ship }) => ship)];
    const news = this.round.update(now, ships);
    if (news === 'began') this.#clear(pilots);
    return news;
  }

  /** What is to be told to all, once: { number, since }, or null. */
  announcement(now) {
    const { round } = this;
    if (!round || (this.#said && isSame(round, this.#said))) return null;
    this.#said = { number: round.number, start: round.start };
    return this.welcomeMessage(now, []);
  }

  /** What somebody new is told, with the points of these peers, or null. */
  welcomeMessage(now, peers) {
    if (!this.round) return null;
    const { number, start } = this.round;
    return { number, since: now - start, scores: peers.map(({ id, counted }) => [id, counted]) };
  }

  #agree(now, pilots, self) {
    const isNew = now - this.#enteredAt < NEW_MS;
    const wasThere = since => this.round !== null && since <= this.round.start;
    const others = pilots.map(({ id, round, joinedAt }) =>
      ({ id, round, isNew: now - joinedAt < NEW_MS, isWitness: wasThere(joinedAt) }));
    const isWitness = wasThere(this.#enteredAt);
    const believed = agreed(this.round, others, { now, isNew, isWitness, self });
    if (believed) return this.#join(believed, now, pilots);
    if (now < this.#learnsUntil) this.#learn(pilots);
    const same = others.filter(({ round }) => round && this.round && isSame(round, this.round));
    this.round?.settle(same.map(({ round }) => round.start));
    // Those who are there say first in which round they are.
    if (!this.round && (!isNew || now - this.#enteredAt > ARRIVING_MS)) this.round = new Round(now);
  }

  /** We are in the round that others say, with the points that they have counted. */
  #join(believed, now, pilots) {
    const isLater = this.round?.begun && believed.number === this.round.number + 1 && pilots.length > 1;
    this.round ??= new Round(believed.start, believed.number);
    this.round.become(believed, isLater ? [this.#me, ...pilots.map(({ ship }) => ship)] : []);
    if (now < believed.start) return;
    this.round.begun = true;
    this.#clear(pilots);
    this.#learnsUntil = this.#enteredAt + NEW_MS;
    this.#learn(pilots);
  }

  /** A peer has what others had counted before us, and what we have counted since. */
  #learn(pilots) {
    for (const peer of pilots) {
      const counts = pilots.filter(other => other !== peer && other.round && isSame(other.round, this.round))
        .map(({ scores }) => scores.get(peer.id) ?? 0).sort((a, b) => a - b);
      const middle = counts[(counts.length - 1) >> 1] ?? 0;
      peer.counted += middle - (this.#learnt.get(peer) ?? 0);
      this.#learnt.set(peer, middle);
      show(peer);
    }
  }

  #clear(pilots) {
    this.#me.score = 0;
    this.#left.clear();
    this.#learnt.clear();
    this.#learnsUntil = -Infinity;
    for (const peer of pilots) {
      peer.counted = 0;
      show(peer);
    }
  }

  #dissolve() {
    if (this.round) this.#left.clear();
    this.round = this.#said = null;
  }
}

function show(peer) {
  peer.ship.score = Math.min(peer.claimed, peer.counted);
}
