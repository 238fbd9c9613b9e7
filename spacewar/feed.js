// SPDX-License-Identifier: MIT

// The feed: what happens in the world, told in short sentences. It is the same text that is drawn in
// the sky and that a screen reader speaks. Whoever shot may have left when the missile hits, so the
// feed remembers for a while whom it heard of.

const LINES_KEPT = 6;  // lines, newest last: more than six nobody reads while flying
const KNOWN = 100;   // ships remembered, those of the latest events

export class Feed {
  lines = [];        // { text, at }
  fate = '';         // how the person here was destroyed last
  #me;
  #known = new Map();

  /** `me` is the ship of the person here, told as "you". */
  constructor(me) {
    this.#me = me;
  }

  /** Takes an event of the world; `at` is the time, on whatever clock, that its line will carry. */
  report(event, at) {
    this.#remember(event.ship);
    const text = this.#sentence(event);
    if (event.type === 'destroyed' && event.ship === this.#me) this.fate = text;
    if (text) this.say(text, at);
  }

  /** Adds a line. */
  say(text, at) {
    this.lines.push({ text, at });
    if (this.lines.length > LINES_KEPT) this.lines.shift();
  }

  #remember(ship) {
    this.#known.delete(ship.id);   // an id may come back as somebody else, and the latest go last
    this.#known.set(ship.id, ship);
    if (this.#known.size > KNOWN) this.#known.delete(this.#known.keys().next().value);
  }

  #sentence({ type, ship, cause, owner, greeting }) {
    if (type === 'destroyed') return this.#fate(ship, cause, owner);
    if (type === 'greeted') return `${ship === this.#me ? 'You' : this.#name(ship)}: ${greeting}`;
    if (ship === this.#me || ship.bot) return '';  // that practice ships come and go is no news
    if (type === 'entered') return `${this.#name(ship)} joined`;
    if (type === 'left') return `${this.#name(ship)} left`;
    return '';
  }

  #fate(ship, cause, owner) {
    const mine = ship === this.#me;
    const who = mine ? 'You' : this.#name(ship);
    if (cause === 'sun') return `${who} fell into the sun`;
    const shooter = this.#shooter(owner);
    if (cause === 'debris' && (!shooter || shooter === ship)) return `${who} hit debris`;
    if (cause === 'debris') {
      return `${shooter === this.#me ? 'Your' : `${this.#name(shooter)}’s`} debris hit ${mine ? 'you' : who}`;
    }
    if (cause === 'hyperspace') return `${who} broke up in hyperspace`;
    if (owner === ship.id) return mine ? 'You were hit by your own missile' : `${who} was hit by their own missile`;
    return `${shooter === this.#me ? 'You' : this.#name(shooter)} shot ${mine ? 'you' : who}`;
  }

  #shooter(owner) {
    return owner === this.#me.id ? this.#me : this.#known.get(owner);
  }

  #name(ship) {
    return ship?.name || 'Somebody';
  }
}
