// SPDX-License-Identifier: MIT

// What pages say to one another, in text that a person can read too. Each message is a JSON array,
// version 1 first:
//
//     report [1,time,state,x,y,vx,vy,angle,turn,burning]        our ship, and when it was so
//     fire   [ ... the same ... ,number]                        it fired its shot of that number then
//     death  [1,time,x,y,vx,vy,angle,seed,cause,owner,number]   it broke up, by whose shot or wreck (0: nobody's)
//     pilot  [1,name,look,score]                                when it changes, and to newcomers
//     round  [1,number,since,[id,score,...]]                    when it changes, and to newcomers: how long it lasts,
//                                                               and how many points we have counted for whom
//     greet  [1,greeting]                                       gg, hello or again? (0 to 2)
//     ping   [1,time]    pong [1,time,received]                 see clock.js
//     key    [1,challenge,key]    proofs [1,[proof,...]]        see identity.js
//
// All that arrives comes from strangers: read() lets nothing through that is not exactly as above.

import { MOST_KEYS } from './identity.js';
import { LOOKS } from './looks.js';

const STATES = ['flying', 'exploded', 'hyperspace', 'observing'];  // by their numbers in messages
export const GREETINGS = ['gg', 'hello', 'again?'];
const CAUSES = ['sun', 'missile', 'debris', 'hyperspace'];
const MOST_SCORES = 40;      // that fit into a message
const LONGEST_DATA = 1_200;  // characters of a message: what is longer is not even parsed

const plain = valid => ({ valid, write: value => value, read: value => value });

/** Numbers within ±limit, of which so many decimals are told. */
const number = (limit, decimals) => ({
  ...plain(value => typeof value === 'number' && Math.abs(value) <= limit),
  write: value => Math.round(value * 10 ** decimals) / 10 ** decimals,
});

/** Whole numbers. */
const count = (least, most) => ({
  ...plain(value => Number.isInteger(value) && value >= least && value <= most),
  write: value => Math.max(least, Math.min(most, value)),
});

// What each field may be in a message, how it is written there and what it is read as.
const time = number(1e13, 1);     // ms: three centuries, so any clock that ever counted up
const place = number(4_000, 2);   // px
const speed = number(2, 5);       // px/ms
const id = count(0, Number.MAX_SAFE_INTEGER);
const word = count(0, 2 ** 32 - 1);
const score = count(-99_999, 99_999);
const FIELDS = {
  time, received: time, x: place, y: place, vx: speed, vy: speed,
  angle: number(1e6, 3),
  state: { ...count(0, STATES.length - 1), write: state => STATES.indexOf(state), read: index => STATES[index] },
  turn: count(-1, 1),
  burning: { ...count(0, 1), write: Number, read: Boolean },
  number: count(0, 1e9),
  seed: count(0, 2 ** 31),
  owner: id,
  cause: plain(value => CAUSES.includes(value)),
  greeting: {
    ...count(0, GREETINGS.length - 1), write: text => GREETINGS.indexOf(text), read: index => GREETINGS[index],
  },
  name: plain(value => typeof value === 'string'),
  look: count(0, LOOKS - 1),
  score,
  since: number(1e6, 0),          // ms, negative of a round that is still to begin
  scores: {                       // pairs of an id and a score, read as a map
    valid: pairs => Array.isArray(pairs) && pairs.length % 2 === 0
      && pairs.every((value, i) => (i % 2 ? score : id).valid(value)),
    write: scores => scores.slice(0, MOST_SCORES).flat(),
    read: pairs => new Map(pairs.flatMap((value, i) => i % 2 ? [] : [[value, pairs[i + 1]]])),
  },
  challenge: id,
  key: plain(words => Array.isArray(words) && words.length === 2 && words.every(word.valid)),
  proofs: plain(proofs => Array.isArray(proofs) && proofs.length <= MOST_KEYS && proofs.every(id.valid)),
};

const REPORT = ['time', 'state', 'x', 'y', 'vx', 'vy', 'angle', 'turn', 'burning'];
export const MESSAGES = {
  report: REPORT,
  fire: [...REPORT, 'number'],
  death: ['time', 'x', 'y', 'vx', 'vy', 'angle', 'seed', 'cause', 'owner', 'number'],
  pilot: ['name', 'look', 'score'],
  round: ['number', 'since', 'scores'],
  greet: ['greeting'],
  ping: ['time'],
  pong: ['time', 'received'],
  key: ['challenge', 'key'],
  proofs: ['proofs'],
};

/** A time as it will arrive. */
export function rounded(ms) {
  return time.write(ms);
}

/** A message, rounded to what is worth telling. */
export function write(msgtype, values) {
  const fields = MESSAGES[msgtype].map(field => FIELDS[field].write(values[field]));
  return `${msgtype} ${JSON.stringify([1, ...fields])}`;
}

/** The fields of a message by name, or null if it is anything but what it should be. */
export function read(msgtype, data) {
  if (typeof data !== 'string' || data.length > LONGEST_DATA) return null;
  let values;
  try {
    values = JSON.parse(data);
  } catch {
    return null;
  }
  const fields = MESSAGES[msgtype];
  if (!Array.isArray(values) || values.length !== fields.length + 1 || values[0] !== 1) return null;
  if (!fields.every((field, i) => FIELDS[field].valid(values[i + 1]))) return null;
  return Object.fromEntries(fields.map((field, i) => [field, FIELDS[field].read(values[i + 1])]));
}
