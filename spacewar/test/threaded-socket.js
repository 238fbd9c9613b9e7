// SPDX-License-Identifier: MIT

// The thread of a ThreadedSocket, here within the page, with a WebSocket and timers of this file's own.

import { SocketThread } from '../socket-thread.js';
import { equal } from './check.js';

class FakeSocket {
  bufferedAmount = 0;
  sent = [];

  send(message) {
    this.sent.push(message);
  }

  close(code) {
    this.closedWith = code;
  }
}

/** A thread whose socket is open; `told` is what it has told the page, `rest` lets 50 ms go by. */
function open() {
  const told = [];
  const timers = [];
  const socket = new FakeSocket();
  const tell = (word, value) => told.push([word, value]);
  const thread = new SocketThread(tell, { create: () => socket, later: action => timers.push(action) });
  thread.open({ url: 'ws://relay.test/', lossy: ['report', 'ping'] });
  const hear = (...messages) => messages.forEach(data => socket.onmessage({ data }));
  const rest = () => timers.splice(0).forEach(action => action());
  return { thread, told, socket, hear, rest };
}

export default {
  'what arrives is passed on at once': () => {
    const { told, hear } = open();
    hear('1 self');
    equal(told, [['messages', ['1 self']]]);
  },

  'the next batch comes when the page is done with the last one and 8 ms are over': () => {
    for (const order of ['handled first', 'time first']) {
      const { thread, told, hear, rest } = open();
      const steps = [() => thread.handled(), rest];
      if (order === 'time first') steps.reverse();
      hear('2 a', '2 b', '3 c');
      equal(told.length, 1, 'batches at once');
      steps[0]();
      equal(told.length, 1, `batches with ${order}`);
      steps[1]();
      equal(told[1], ['messages', ['2 b', '3 c']]);
    }
  },

  'of lossy messages only a sender’s latest is passed on, of others all, in order': () => {
    const { thread, told, hear, rest } = open();
    hear('1 self', '2 report 1', '2 fire 1', '3 report 1', '2 report 2', '2 ping 1', '2 fire 1', '2 reports');
    thread.handled();
    rest();
    equal(told[1][1], ['2 fire 1', '3 report 1', '2 report 2', '2 ping 1', '2 fire 1', '2 reports']);
  },

  'bytes are never superseded': () => {
    const { thread, told, hear, rest } = open();
    const bytes = new Uint8Array(4).buffer;
    hear('1 self', bytes, bytes);
    thread.handled();
    rest();
    equal(told[1][1].length, 2);
  },

  'thirty thousand reports of one peer in a second are a hundred batches of one message': () => {
    const { thread, told, hear, rest } = open();
    for (let i = 0; i < 100; i++) {
      for (let j = 0; j < 300; j++) hear(`2 report ${i} ${j}`);
      thread.handled();
      rest();
    }
    equal(told.length <= 101, true, `${told.length} batches`);
    equal(told.at(-1), ['messages', ['2 report 99 299']]);
    equal(told.slice(1).every(([, messages]) => messages.length === 1), true);
  },

  'what is there when the socket closes is passed on before': () => {
    const { told, socket, hear } = open();
    hear('1 self', '2 join');
    socket.onclose({ code: 1012, reason: 'again' });
    equal(told.slice(1), [['messages', ['2 join']], ['close', { code: 1012, reason: 'again' }]]);
  },

  'a page that closes hears no more': () => {
    const { thread, told, socket, hear } = open();
    hear('1 self', '2 join');
    thread.close(1000);
    equal([socket.closedWith, socket.onmessage], [1000, null]);
    socket.onclose({ code: 1000, reason: '' });
    equal(told.slice(1), [['close', { code: 1000, reason: '' }]]);
  },

  'what is unsent is told until nothing is': () => {
    const { thread, told, socket, rest } = open();
    thread.send('* hello');
    equal(socket.sent, ['* hello']);
    socket.bufferedAmount = 99;
    rest();
    equal(told, [['buffered', 99]]);
  },
};
