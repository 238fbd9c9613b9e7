// SPDX-License-Identifier: MIT

// One side's messages over two paths, each of which keeps the order, but with delays of its own: they must
// come out as they went in, whenever the sender changes the path and whatever the channel holds back.

import { random } from '../random.js';
import { MessageStream } from '../stream.js';
import { equal, ok, seeds } from './check.js';

/** A sender and a receiver; what they send lies on the paths until it is brought. */
class Pair {
  relay = [];
  channel = [];
  acks = [];       // over the channel, the other way
  received = [];
  paths = [];      // as onpath told

  constructor() {
    const unused = () => {};
    this.from = new MessageStream({
      relay: message => (this.relay.push(message), true),
      channel: message => this.channel.push(message),
      deliver: unused,
      onpath: path => this.paths.push(path),
    });
    this.to = new MessageStream({
      relay: unused,
      channel: message => this.acks.push(message),
      deliver: message => this.received.push(message),
      onpath: unused,
    });
  }

  bringByRelay() {
    const message = this.relay.shift();
    if (message === undefined) return;
    if (message.startsWith('path ')) this.to.pathChanged(message.slice(5));
    else if (!this.to.skipsNext()) this.received.push(message);
  }

  bringByChannel() {
    const message = this.channel.shift();
    if (message === undefined) return;
    if (message.startsWith?.(' path ')) this.to.channelStarts(Number(message.slice(6)));
    else this.to.receive(message);
  }

  bringAck() {
    const message = this.acks.shift();
    if (message !== undefined) this.from.acknowledged(Number(message.slice(5)));
  }

  /** What each beat tells. */
  beat() {
    this.acks.push(this.to.acknowledgement);
  }

  bringAll() {
    while (this.channel.length || this.relay.length || this.acks.length) {
      this.bringByChannel();
      this.bringByRelay();
      this.bringAck();
    }
  }

  /** The channel is used, and all that went before has come. */
  useChannel() {
    this.from.useChannel();
    this.bringAll();
    equal(this.from.path, 'webrtc', 'path');
  }
}

export default {
  'messages go through the relay at first': () => {
    const pair = new Pair();
    ok(pair.from.send('a 1'), 'sent');
    equal([pair.relay, pair.channel, pair.from.path], [['a 1'], [], 'relay']);
  },

  'the channel is used when the peer says that all from the relay has come': () => {
    const pair = new Pair();
    pair.from.send('1');
    pair.from.useChannel();
    pair.from.send('2');
    equal([pair.relay, pair.channel, pair.from.path], [['1', 'path webrtc 1'], [], 'switching']);
    pair.bringByRelay();
    pair.bringByRelay();
    equal([pair.received, pair.acks], [['1'], [' ack 1']]);
    pair.bringAck();
    equal([pair.channel, pair.from.path, pair.paths], [[' path 1', '2'], 'webrtc', ['webrtc']]);
    pair.from.send('3');
    pair.bringAll();
    equal(pair.received, ['1', '2', '3']);
  },

  'an acknowledgement that got lost is repeated': () => {
    const pair = new Pair();
    pair.from.useChannel();
    pair.from.send('1');
    pair.bringByRelay();
    pair.acks = [];
    pair.beat();
    pair.bringAll();
    equal(pair.received, ['1']);
  },

  'what may have been lost in a channel is sent again through the relay': () => {
    const pair = new Pair();
    pair.useChannel();
    for (const message of ['1', '2', '3']) pair.from.send(message);
    pair.bringByChannel();
    pair.from.useRelay();   // 1 has come, 2 and 3 are in the channel, none is acknowledged
    pair.from.send('4');
    while (pair.relay.length) pair.bringByRelay();
    equal(pair.received, ['1', '2', '3', '4']);
    while (pair.channel.length) pair.bringByChannel();
    equal(pair.received, ['1', '2', '3', '4'], 'with what the channel brought later');
    equal(pair.paths, ['webrtc', 'relay']);
  },

  'what waits for the channel goes through the relay if that closes first': () => {
    const pair = new Pair();
    pair.from.useChannel();
    pair.from.send('1');
    pair.from.useRelay();
    pair.from.send('2');
    pair.bringAll();
    equal([pair.received, pair.paths], [['1', '2'], []]);
  },

  'what was acknowledged is not sent again': () => {
    const pair = new Pair();
    pair.useChannel();
    for (const message of ['1', '2', '3']) pair.from.send(message);
    pair.bringByChannel();
    pair.beat();
    pair.bringAck();
    pair.channel = [];
    pair.from.useRelay();
    equal(pair.relay, ['path relay 3', '2', '3']);
    pair.bringAll();
    equal(pair.received, ['1', '2', '3']);
  },

  'no more than a window is on the channel': () => {
    const pair = new Pair();
    pair.useChannel();
    for (let i = 0; i < 100; i++) pair.from.send('x'.repeat(10_000));
    const onChannel = () => pair.channel.reduce((sum, message) => sum + message.length, 0);
    equal(onChannel(), 70_000, 'bytes on the channel');
    ok(pair.from.waiting > 900_000, `${pair.from.waiting} bytes wait`);
    while (pair.channel.length) {
      pair.bringByChannel();
      pair.bringAck();
      ok(onChannel() <= 80_000, `${onChannel()} bytes on the channel`);
    }
    equal([pair.received.length, pair.from.waiting], [100, 0]);
    for (let i = 0; i < 100; i++) pair.from.send('y'.repeat(10_000));
    pair.from.acknowledged(150);   // of what the channel has not carried yet
    equal(onChannel(), 70_000, 'bytes on the channel after a false acknowledgement');
    pair.from.useRelay();
    equal(pair.relay.length, 101, 'messages that go through the relay instead');
  },

  'much is acknowledged before the next beat': () => {
    const pair = new Pair();
    pair.useChannel();
    for (let i = 0; i < 20; i++) pair.from.send('x'.repeat(10_000));
    pair.bringAll();
    pair.from.useRelay();
    ok(pair.relay.length < 10, `${pair.relay.length} messages again`);
  },

  'the word of an earlier change is not taken for that of a later one': () => {
    const pair = new Pair();
    pair.useChannel();
    pair.from.send('1');
    pair.from.useRelay();
    pair.from.useChannel();
    pair.from.send('2');
    while (pair.relay.length) pair.bringByRelay();
    pair.channel.unshift(' path 1', 'old');
    pair.bringByChannel();
    pair.bringByChannel();
    pair.from.acknowledged(1);
    equal(pair.from.path, 'switching');
    pair.bringAll();
    equal(pair.received, ['1', '2']);
  },

  'nothing is lost, doubled or reordered by any changes of the path': () => {
    for (let seed = 1; seed <= seeds(2_000); seed++) {
      const chance = random(seed);
      const pair = new Pair();
      const slow = chance();
      const padding = 'x'.repeat(seed % 2 * 8_000);   // with which a window is soon full
      const sent = [];
      for (let step = 0; step < 200; step++) {
        const what = chance();
        if (what < 0.3) {
          sent.push(`${sent.length} ${padding}`);
          pair.from.send(sent.at(-1));
        } else if (what < 0.36) pair.from.useChannel();
        else if (what < 0.38) pair.from.useRelay();
        else if (what < 0.4) {
          // A channel that has lost something is not used again, but another in its place.
          pair.channel.splice(pair.channel.length * chance());
          pair.acks.splice(pair.acks.length * chance());
          pair.from.useRelay();
        } else if (what < 0.45) pair.beat();
        else if (what < 0.65) pair.bringAck();
        else if (chance() < slow) pair.bringByRelay();
        else pair.bringByChannel();
      }
      if (chance() < 0.5) pair.from.useRelay();
      for (let i = 0; i < 3; i++) {
        pair.beat();
        pair.bringAll();
      }
      equal(pair.received, sent, `with seed ${seed}`);
    }
  },

  'what does not fit into a channel goes through the relay, in order': () => {
    const pair = new Pair();
    const large = 'x'.repeat(20_000);
    pair.useChannel();
    for (const message of ['1', large, '2']) pair.from.send(message);
    ok(!pair.channel.includes(large), 'over the channel');
    pair.bringAll();
    equal([pair.received, pair.from.path], [['1', large, '2'], 'webrtc']);
  },

  'a channel that closes while it takes what has waited is not used': () => {
    const pair = new Pair();
    const sent = [];
    const from = new MessageStream({
      relay: message => pair.relay.push(message),
      channel: message => sent.push(message) === 3 && from.useRelay(),
      onpath: path => pair.paths.push(path),
    });
    from.useChannel();
    for (const message of ['1', '2', '3']) from.send(message);
    from.acknowledged(1);
    equal([from.path, pair.paths], ['relay', []]);
    equal(pair.relay, ['path webrtc 1', 'path relay 2', '1', '2', '3']);
  },

  'what waits is counted, and what is never acknowledged': () => {
    const pair = new Pair();
    pair.from.useChannel();
    for (let i = 0; i < 1_000; i++) pair.from.send('x'.repeat(1_000));
    ok(pair.from.waiting > 1_000_000, 'waiting');
    pair.bringAll();
    equal(pair.from.waiting, 0, 'waiting when it is sent');
    ok(!pair.from.isBehind, 'full');
    for (let i = 0; i < 4_000; i++) pair.from.send('x'.repeat(1_000));
    ok(pair.from.isBehind, 'full');
    pair.bringAll();
    pair.beat();
    pair.bringAll();
    ok(!pair.from.isBehind, 'full when it was acknowledged');
    equal(pair.received.length, 5_000);
  },

  'a peer that acknowledges nothing, or too little, while messages wait is behind after some beats': () => {
    for (const honest of [false, true]) {
      for (const acknowledges of ['nothing', 'the path', 'a message each beat']) {
        const pair = new Pair();
        pair.from.useChannel();
        if (acknowledges !== 'nothing') pair.bringAll();
        for (let i = 0; i < 200; i++) pair.from.send('x'.repeat(honest ? 10_000 : 1_000));
        let beats = 0;
        for (; beats < 20 && !pair.from.isBehind; beats++) {
          if (honest) pair.bringAll();
          else if (acknowledges === 'a message each beat') pair.from.acknowledged(beats + 2);
          pair.from.beat();
        }
        equal(beats, honest ? 20 : 10, `beats of ${honest ? 'one who is honest' : `who acknowledges ${acknowledges}`}`);
      }
    }
  },

  'only beats in a row count for that': () => {
    const pair = new Pair();
    pair.useChannel();
    for (let i = 0; i < 6; i++) pair.from.send('x'.repeat(16_000));
    const wait = () => {
      ok(pair.from.waiting > 0, 'one waits');
      for (let i = 0; i < 6; i++) pair.from.beat();
      ok(!pair.from.isBehind, 'behind');
    };
    wait();
    pair.from.acknowledged(2);
    equal(pair.from.waiting, 0, 'waiting');
    pair.from.beat();
    pair.from.send('x'.repeat(16_000));
    wait();
  },

  'what waits is kept as it was when it was sent': () => {
    const pair = new Pair();
    pair.useChannel();
    const bytes = new Uint8Array(10_000);
    for (let i = 0; i < 20; i++) {
      bytes[0] = i;
      pair.from.send(bytes);
    }
    pair.bringAll();
    equal(pair.received.map(([first]) => first), Array.from({ length: 20 }, (_, i) => i));
  },

  'empty messages count as well': () => {
    const pair = new Pair();
    pair.useChannel();
    for (let i = 0; i < 70_000; i++) pair.from.send('');
    ok(pair.from.isBehind);
  },

  'before any path, or after one that was given up, what a channel brings is dropped': () => {
    const pair = new Pair();
    pair.to.receive('1');
    pair.to.channelStarts(0);
    pair.to.channelStarts(1);
    pair.to.receive('2');
    pair.to.pathChanged('webrtc 1');
    pair.to.receive('3');
    pair.to.channelStarts(2);
    pair.to.receive('4');
    pair.to.channelStarts(1);
    pair.to.pathChanged('relay 2');
    pair.to.channelStarts(1);
    pair.to.receive('5');
    equal(pair.received, []);
  },

  'nonsense changes nothing': () => {
    const pair = new Pair();
    pair.useChannel();
    const nonsense = ['', 'webrtc', 'webrtc -1', 'webrtc 1e9', 'webrtc 0', 'relay', 'relay x', 'relay 1 2',
      `relay ${'9'.repeat(16)}`, new Uint8Array(3)];
    for (const data of nonsense) pair.to.pathChanged(data);
    pair.from.send('1');
    for (const number of [NaN, -1, 0, 1, 3, 1e9, Infinity, undefined]) pair.from.acknowledged(number);
    pair.channel = [];
    pair.from.useRelay();
    pair.bringAll();
    equal(pair.received, ['1']);
  },
};
