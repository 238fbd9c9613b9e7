// SPDX-License-Identifier: MIT

// One side's messages on two ways, each of which keeps the order, but with delays of its own: they must
// come out as they went in, whenever the sender changes the way and whatever the channel holds back.

import { Order } from '../order.js';
import { random } from '../random.js';
import { equal, ok } from './check.js';

/** Two sides; what one sends lies on the ways until it is brought. `acknowledge` is what pulses do. */
class Pair {
  relay = [];
  channel = [];
  received = [];

  constructor() {
    this.from = new Order({
      relay: message => (this.relay.push(message), true),
      channel: message => this.channel.push(message),
      receive: () => {},
    });
    this.to = new Order({ relay: () => {}, channel: () => {}, receive: message => this.received.push(message) });
  }

  bringByRelay() {
    const message = this.relay.shift();
    if (message === undefined) return;
    if (message.startsWith('path ')) this.to.switched(message.slice(5));
    else if (this.to.isNew()) this.received.push(message);
  }

  bringByChannel() {
    const message = this.channel.shift();
    if (message !== undefined) this.to.take(message);
  }

  acknowledge() {
    this.from.acknowledge(this.to.got);
  }

  bringAll() {
    while (this.channel.length || this.relay.length) {
      this.bringByChannel();
      this.bringByRelay();
    }
  }
}

export default {
  'what is sent goes through the relay at first': () => {
    const pair = new Pair();
    ok(pair.from.send('a 1'), 'sent');
    equal([pair.relay, pair.channel], [['a 1'], []]);
  },

  'what comes over the channel waits for what went through the relay before': () => {
    const pair = new Pair();
    pair.from.send('1');
    pair.from.rise();
    pair.from.send('2');
    while (pair.channel.length) pair.bringByChannel();
    equal(pair.received, [], 'before the relay');
    while (pair.relay.length) pair.bringByRelay();
    equal(pair.received, ['1', '2']);
  },

  'what may have been lost in a channel is sent again through the relay': () => {
    const pair = new Pair();
    pair.from.rise();
    pair.bringAll();
    for (const message of ['1', '2', '3']) pair.from.send(message);
    pair.bringByChannel();
    pair.from.fall();   // 1 has come, 2 and 3 are in the channel, of none is it known
    pair.from.send('4');
    while (pair.relay.length) pair.bringByRelay();
    equal(pair.received, ['1', '2', '3', '4']);
    while (pair.channel.length) pair.bringByChannel();
    equal(pair.received, ['1', '2', '3', '4'], 'with what the channel brought later');
  },

  'what was acknowledged is not sent again': () => {
    const pair = new Pair();
    pair.from.rise();
    pair.bringAll();
    for (const message of ['1', '2', '3']) pair.from.send(message);
    pair.bringByChannel();
    pair.acknowledge();
    pair.channel = [];
    pair.from.fall();
    equal(pair.relay, ['path relay 3', '2', '3']);
    pair.bringAll();
    equal(pair.received, ['1', '2', '3']);
  },

  'nothing is lost, doubled or overtaken by any changes of the way': () => {
    for (let seed = 1; seed <= 2_000; seed++) {
      const chance = random(seed);
      const pair = new Pair();
      const slow = chance();
      const sent = [];
      for (let step = 0; step < 150; step++) {
        const what = chance();
        if (what < 0.3) {
          sent.push(`${sent.length}`);
          pair.from.send(sent.at(-1));
        } else if (what < 0.36) pair.from.rise();
        else if (what < 0.4) pair.from.fall();
        else if (what < 0.42) pair.channel.splice(pair.channel.length * chance());   // it broke: the rest never comes
        else if (what < 0.5) pair.acknowledge();
        else if (chance() < slow) pair.bringByRelay();
        else pair.bringByChannel();
        // A channel that has lost something is not used again before the sender knows of it.
        if (what >= 0.4 && what < 0.42) pair.from.fall();
      }
      pair.from.fall();
      pair.bringAll();
      equal(pair.received, sent, `with seed ${seed}`);
    }
  },

  'what does not fit into a channel goes through the relay, in order': () => {
    const pair = new Pair();
    const large = 'x'.repeat(20_000);
    pair.from.rise();
    for (const message of ['1', large, '2']) pair.from.send(message);
    ok(!pair.channel.includes(large), 'over the channel');
    ok(pair.from.direct, 'direct again');
    while (pair.channel.length) pair.bringByChannel();
    while (pair.relay.length) pair.bringByRelay();
    equal(pair.received, ['1', large, '2']);
  },

  'without a relay nothing waits for it, and what is too large is refused': () => {
    const pair = new Pair();
    pair.from.rise();
    pair.from.send('1');
    while (pair.channel.length) pair.bringByChannel();
    pair.relay = [];
    pair.to.relayLost();
    equal(pair.received, ['1']);
    pair.from.relayLost();
    equal(pair.from.send('x'.repeat(20_000)), false);
    pair.from.send('2');
    pair.bringAll();
    equal(pair.received, ['1', '2']);
  },

  'a channel that opens when the relay is gone already is believed at once': () => {
    const pair = new Pair();
    pair.to.relayLost();
    pair.from.rise();
    pair.relay = [];
    pair.from.send('1');
    pair.bringAll();
    equal(pair.received, ['1']);
  },

  'what waits for ever, or is never acknowledged, is counted': () => {
    const pair = new Pair();
    pair.from.rise();
    for (let i = 0; i < 1_000; i++) pair.from.send('x'.repeat(1_000));
    ok(pair.from.full, 'never acknowledged');
    while (pair.channel.length) pair.bringByChannel();
    ok(pair.to.full, 'waiting');
    pair.bringAll();
    ok(!pair.to.full, 'when it waits no longer');
    pair.acknowledge();
    ok(!pair.from.full, 'when it was acknowledged');
  },

  'what waits when the channel closes comes once all the same': () => {
    const pair = new Pair();
    pair.from.rise();
    for (let i = 0; i < 200; i++) pair.from.send('x'.repeat(10_000));
    while (pair.channel.length) pair.bringByChannel();
    pair.to.forget();
    ok(!pair.to.full, 'forgotten');
    pair.from.fall();
    pair.bringAll();
    equal(pair.received.length, 200);
  },

  'empty messages count as well': () => {
    const pair = new Pair();
    pair.to.take(' path 1');
    for (let i = 0; i < 20_000; i++) pair.to.take('');
    ok(pair.to.full);
  },

  'before any path, or after one that was given up, what a channel brings is dropped': () => {
    const pair = new Pair();
    pair.to.take('1');
    pair.to.take(' path 1');
    pair.to.switched('webrtc 1');
    pair.to.switched('relay 2');
    for (let i = 0; i < 20_000; i++) pair.to.take('2');
    equal(pair.received, []);
    ok(!pair.to.full, 'and waits for nothing');
  },

  'nonsense changes nothing': () => {
    const pair = new Pair();
    pair.from.rise();
    pair.bringAll();
    const nonsense = ['', 'webrtc', 'webrtc -1', 'webrtc 1e9', 'webrtc 0', 'relay', 'relay x', 'relay 1 2',
      `relay ${'9'.repeat(16)}`, new Uint8Array(3)];
    for (const data of nonsense) pair.to.switched(data);
    for (const number of [NaN, -1, 1e9, Infinity, undefined]) pair.from.acknowledge(number);
    pair.from.send('1');
    pair.from.fall();
    pair.bringAll();
    equal(pair.received, ['1']);
  },
};
