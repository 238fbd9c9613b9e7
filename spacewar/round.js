// SPDX-License-Identifier: MIT

// Rounds. A round ends with the tenth kill of a pilot, or after five minutes, and the next one begins a few
// seconds later with all scores at 0. All that a page needs to know of it is its number and when it begins or
// began, and that is what pages tell one another: `agreed` says whom to believe. No clock is asked here.

export const GOAL = 10;           // kills that win a round
export const ROUND_LENGTH = 300_000;  // ms after which whoever has most wins
export const PAUSE = 6_000;       // ms between the end of a round and the next
export const SAME = 5_000;        // ms by which two pages may differ about when a round began

export class Round {
  begun = false;       // whether kills count now
  last = null;         // how the round before ended: { winners: names, score }, the winners none if nobody scored
  #first;              // when it begins or began as this page knew it first; what others say moves it by SAME at most

  constructor(start, number = 1) {
    this.number = number;
    this.start = this.#first = start;
  }

  /** Goes on to a time: 'began' if all scores are 0 from now on, 'ended', or ''. */
  update(now, ships) {
    if (!this.begun) {
      this.begun = now >= this.start;
      return this.begun ? 'began' : '';
    }
    let best = -Infinity;
    for (const { score } of ships) best = Math.max(best, score);
    if (best < GOAL && now - this.start < ROUND_LENGTH) return '';
    this.last = outcome(ships);
    this.#set(this.number + 1, now + PAUSE);
    return 'ended';
  }

  /** Another round than we thought; with the ships it has ended the one we were in. */
  become({ number, start }, ships = []) {
    this.last = this.begun && ships.length ? outcome(ships) : null;
    this.#set(number, start);
  }

  /** Others are in the same round, and know it began earlier than we have heard. */
  settle(starts) {
    this.start = Math.min(this.#first, ...starts.filter(start => Math.abs(start - this.#first) <= SAME));
  }

  #set(number, start) {
    Object.assign(this, { number, start, begun: false });
    this.#first = start;
  }
}

/** Who has most, if anything. */
function outcome(ships) {
  const score = Math.max(...Array.from(ships, ship => ship.score));
  const winners = score > 0 ? Array.from(ships).filter(ship => ship.score === score) : [];
  return { winners: winners.map(({ id, name }) => ({ id, name })), score };
}

/** Whether two pages mean the same round. */
export function isSame(a, b) {
  return a.number === b.number && Math.abs(a.start - b.start) <= SAME;
}

/**
 * The round to be in, { number, start }, by what others say, or null to stay in our own. `others` are the other
 * pilots, { id, round, isNew, isWitness }: the round that each says it is in, or null; whether it has only just come;
 * whether it was there when our round began.
 *
 * The majority is believed, if they are two or more. While a round lasts, who was there when it began (`isWitness`)
 * believes only others who were: those who came later know what they were told, perhaps by a liar.
 * Whoever has only just come believes, if there is no majority, the one who was there before and longest, by the ids;
 * unless there is but one other: alone nobody was in a round. And of two, both begin anew when one has just come.
 *
 * Somebody with several pages can outvote all who come later, as they can let one of the pages win.
 */
export function agreed(own, others, { now, isNew, isWitness, self }) {
  const told = others.filter(({ round }) => round && isPossible(round, now) && !isStale(round, own));
  const voters = isWitness && own?.begun ? others.filter(other => other.isWitness) : others;
  const votes = told.filter(other => voters.includes(other));
  const groups = votes.map(({ round }) => votes.filter(other => isSame(other.round, round)));
  const most = groups.reduce((best, group) => group.length > best.length ? group : best, []);
  const [oldest] = told.filter(({ id }) => id < self).sort((a, b) => a.id - b.id);
  let believed = null;
  if (most.length > 1 && most.length > voters.length / 2) believed = most[0].round;
  else if (isNew && others.length > 1 && oldest) believed = oldest.round;
  else if (others.length === 1 && told.length && (isNew || told[0].isNew) && hasJustBegun(told[0].round, now)) {
    believed = told[0].round;
  }
  return believed && !(own && isSame(own, believed)) ? believed : null;
}

/** Whether a round may have begun then: it has not lasted too long, and is not too far ahead. */
function isPossible({ start }, now) {
  return now - start <= ROUND_LENGTH + SAME && start - now <= PAUSE + SAME;
}

/** Whether it is the round that has just ended: the others will say so in a moment. */
function isStale({ number }, own) {
  return own !== null && !own.begun && number === own.number - 1;
}

/** Whether it is the round of a page that was in none before. */
function hasJustBegun({ number, start }, now) {
  return number === 1 && start <= now && now - start <= SAME;
}
