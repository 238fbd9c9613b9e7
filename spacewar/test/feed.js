// SPDX-License-Identifier: MIT

import { Feed } from '../feed.js';
import { Ship, World } from '../world.js';
import { equal, ok } from './check.js';

const me = new Ship(0, 'Me', 0);
const ada = new Ship(1, 'Ada', 1, { remote: true });
const grace = new Ship(2, 'Grace', 2, { remote: true });
const bot = new Ship(-1, 'Practice', 3, { bot: true });

/** What is told of these events, in a room where all four ships are. */
function told(...events) {
  const feed = new Feed(me);
  for (const ship of [me, ada, grace, bot]) feed.report({ type: 'returned', ship }, 0);
  for (const event of events) feed.report(event, 1);
  return feed.lines.map(({ text }) => text);
}

const lost = (ship, cause, owner = null) => told({ type: 'destroyed', ship, cause, owner })[0];

export default {
  'how the person here was destroyed last is at hand': () => {
    const feed = new Feed(me);
    for (const ship of [me, ada]) feed.report({ type: 'entered', ship }, 0);
    feed.report({ type: 'destroyed', ship: me, cause: 'missile', owner: 1 }, 1);
    feed.report({ type: 'destroyed', ship: ada, cause: 'sun' }, 2);
    equal(feed.fate, 'Ada shot you');
  },

  'a missile is told with the pilot who fired it': () => {
    equal(lost(grace, 'missile', 1), 'Ada shot Grace');
    equal(lost(grace, 'missile', 0), 'You shot Grace');
    equal(lost(me, 'missile', 1), 'Ada shot you');
    equal(lost(me, 'missile', -1), 'Practice shot you');
  },

  'who is hit by their own missile is not told as a hit by somebody': () => {
    equal(lost(grace, 'missile', 2), 'Grace was hit by their own missile');
    equal(lost(me, 'missile', 0), 'You were hit by your own missile');
  },

  'sun, debris and hyperspace have sentences of their own': () => {
    equal(lost(grace, 'sun'), 'Grace fell into the sun');
    equal(lost(me, 'sun'), 'You fell into the sun');
    equal(lost(grace, 'debris'), 'Grace hit debris');
    equal(lost(grace, 'debris', 2), 'Grace hit debris');
    equal(lost(grace, 'debris', 1), 'Ada’s debris hit Grace');
    equal(lost(me, 'debris', 1), 'Ada’s debris hit you');
    equal(lost(grace, 'debris', 0), 'Your debris hit Grace');
    equal(lost(grace, 'hyperspace'), 'Grace broke up in hyperspace');
  },

  'people who come and go are told, practice ships and oneself are not': () => {
    equal(told({ type: 'entered', ship: ada }, { type: 'left', ship: grace }), ['Ada joined', 'Grace left']);
    equal(told({ type: 'entered', ship: bot }, { type: 'left', ship: bot }, { type: 'entered', ship: me }), []);
  },

  'shots, jumps and returns are not told': () => {
    equal(told(...['fired', 'jumped', 'returned', 'scored'].map(type => ({ type, ship: ada, victim: me }))), []);
  },

  'a shooter who has left is still named': () => {
    equal(told({ type: 'left', ship: ada }, { type: 'destroyed', ship: grace, cause: 'missile', owner: 1 }),
      ['Ada left', 'Ada shot Grace']);
  },

  'an id that came back as somebody else names the new one': () => {
    const joan = new Ship(1, 'Joan', 1, { remote: true });
    equal(told({ type: 'left', ship: ada }, { type: 'entered', ship: joan },
      { type: 'destroyed', ship: me, cause: 'missile', owner: 1 }), ['Ada left', 'Joan joined', 'Joan shot you']);
  },

  'a shooter nobody heard of, or without a name, is somebody': () => {
    equal(lost(grace, 'missile', 77), 'Somebody shot Grace');
    equal(lost(me, 'missile', null), 'Somebody shot you');
    equal(lost(new Ship(9, '', 0), 'sun'), 'Somebody fell into the sun');
  },

  'the six newest lines are kept, each with its time, and no end of ships does not fill the memory': () => {
    const feed = new Feed(me);
    for (let id = 1; id <= 10_000; id++) feed.report({ type: 'entered', ship: new Ship(id, `Ada ${id}`, 0) }, id);
    equal(feed.lines.map(({ at }) => at), [9_995, 9_996, 9_997, 9_998, 9_999, 10_000]);
    equal(feed.lines[5].text, 'Ada 10000 joined');
    feed.report({ type: 'destroyed', ship: me, cause: 'missile', owner: 10_000 }, 0);
    equal(feed.lines[5].text, 'Ada 10000 shot you');
    feed.report({ type: 'destroyed', ship: me, cause: 'missile', owner: 1 }, 0);
    equal(feed.lines[5].text, 'Somebody shot you', 'one heard of long ago');
  },

  'the events of a real world make sense to it': () => {
    const world = new World();
    const feed = new Feed(world.add(new Ship(0, 'Me', 0)));
    const other = world.add(new Ship(5, 'Ada', 1));
    world.explode(other, 1, { cause: 'missile', owner: 0, number: 1 });
    world.remove(5);
    for (const event of world.takeEvents()) feed.report(event, world.time);
    equal(feed.lines.map(({ text }) => text), ['Ada joined', 'You shot Ada', 'Ada left']);
    ok(feed.lines.every(({ at }) => at === 0), 'time of every line');
  },
};
