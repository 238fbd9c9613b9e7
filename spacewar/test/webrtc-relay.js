// SPDX-License-Identifier: MIT

// Pages in one room, with a relay and direct connections that are fast, slow, cut off, lost and found
// again, in virtual time. Each page checks for itself, all the time, what ws-relay.js guarantees: who
// speaks has joined and has not quit, and what one says to all arrives once and in order.

import { BEAT_MS, Connection } from '../connection.js';
import { random } from '../random.js';
import { WebRTCRelay } from '../webrtc-relay.js';
import { equal, near, ok, seeds } from './check.js';
import { FakeRelay, Network } from './network.js';

const SOON = 300;        // ms in which pages that can connect have
const RESTART = 4_000;   // ms from when a relay is back until all are connected again
const RETRY = 90_000;    // ms until those who can connect have, however often they could not

/** A page: a relay, and what it told. */
class Page {
  events = [];           // 'self 1', 'join 2', 'quit 2', 'path 2 webrtc'
  met = new Map();       // by id: what they said, { counted: [...], other: [...] }
  wrong = [];            // what must not happen
  count = 0;             // of what we said to all
  welcomes = false;      // whoever joins, whose count need not be complete until we have

  constructor(network) {
    this.network = network;
    this.way = new FakeRelay(network);
    this.relay = new WebRTCRelay('http://relay.test/game', { relay: this.way, lossy: ['report'], ice: 'ice' });
    const { relay, met } = this;
    relay.onself = id => this.note(`self ${id}`, !met.has(id));
    relay.onjoin = id => {
      this.note(`join ${id}`, !met.has(id) && id !== relay.id);
      met.set(id, { counted: [], other: [], isComplete: !this.welcomes });
      if (this.welcomes) relay.send('welcome', id);
    };
    relay.onwelcome = id => Object.assign(met.get(id), { counted: [], isComplete: true });
    relay.onquit = id => this.note(`quit ${id}`, met.delete(id));
    relay.onpath = (id, path) => this.note(`path ${id} ${path}`, met.has(id) && relay.path(id) === path);
    relay.oncount = (id, data) => {
      const { counted, isComplete } = met.get(id) ?? this.note(`a count of ${id}`, false);
      const [last, next] = [counted.at(-1), Number(data)];
      if (isComplete && last !== undefined && next !== last + 1) this.note(`${last}, then ${next} of ${id}`, false);
      counted.push(next);
    };
    relay.onrecv = (id, msgtype, data) => {
      if (id !== relay.id && !met.has(id)) this.note(`${msgtype} of ${id}`, false);
      met.get(id)?.other.push(`${msgtype} ${data}`);
    };
  }

  note(event, right) {
    this.events.push(event);
    if (!right) this.wrong.push(event);
  }

  enter() {
    this.way.enter();
    return this;
  }

  say() {
    this.relay.send(`count ${++this.count}`);
  }

  get direct() {
    return [...this.relay.peers].filter(id => this.relay.path(id) === 'webrtc').length;
  }

  /** As when the browser goes on to another page, or loads this one anew. */
  leave() {
    this.way.lose();
    this.relay.close();
  }
}

/** Runs a test with so many pages that have entered and are connected, unless there are options. */
function pages(number, test, { seed = 1, connect = true, ...options } = {}) {
  return async () => {
    const network = new Network(seed);
    await network.during(async () => {
      const made = [];
      try {
        for (let i = 0; i < number; i++) made.push(new Page(network).enter());
        await network.run(SOON);
        if (connect) equal(made.map(page => page.direct), made.map(() => number - 1), 'direct paths at first');
        await test(...made, network);
        for (const page of made) equal(page.wrong, [], `what is wrong at page ${page.relay.id}`);
      } finally {
        for (const page of made) page.relay.close();
        for (const stranger of strangers.splice(0)) stranger.leave();
        await network.run(100);
      }
    }, options);
    equal(network.openConnections, 0, 'connections that are left');
    ok(network.timers.every(({ stopped }) => stopped), 'timers that run on');
    ok(network.leavings.every(({ signal }) => signal.aborted), 'handlers that are left');
  };
}

/** What those who are here now have done since. */
function since(page, from) {
  return page.events.slice(from).filter(event => !event.startsWith('path'));
}

/** Each page has exactly the others, by their ids, all direct. */
function meshed(made, what) {
  for (const { relay } of made) {
    const others = made.filter(page => page.relay !== relay).map(page => page.relay.id);
    equal([...relay.peers].sort((a, b) => a - b), others.sort((a, b) => a - b), `peers of ${relay.id} ${what ?? ''}`);
    for (const id of others) equal(relay.path(id), 'webrtc', `path from ${relay.id} to ${id} ${what ?? ''}`);
  }
}

/** A stranger: a client of the relay that says what it likes, and may have a connection too. */
const strangers = [];

class Stranger {
  heard = [];      // through the relay
  channel = [];    // over the channels
  connections = new Map();   // the latest with each page, by its id
  acknowledges = true;       // that the page changes its path

  constructor(network) {
    this.way = new FakeRelay(network);
    this.way.onrecv = (id, msgtype, data) => {
      this.heard.push(`${id} ${msgtype} ${data}`);
      const [, number, rest] = /^(\d+) ([^]*)/.exec(data) ?? [];
      if (msgtype === 'offer') this.#answer(id, number);
      if (number) this.connections.get(id)?.receive(msgtype, rest);
      const [, granted] = /^webrtc (\d+)$/.exec(data) ?? [];
      if (granted && this.acknowledges) this.connections.get(id).send(` ack ${granted}`);
    };
    this.beating = setInterval(() => this.connections.forEach(connection => connection.beat(' beat')), BEAT_MS);
    strangers.push(this);
    this.way.enter();
    this.way.send('webrtc');
  }

  leave() {
    clearInterval(this.beating);
    for (const connection of this.connections.values()) connection.close();
  }

  /** The one with the first page. */
  get connection() {
    return this.connections.get(1);
  }

  #answer(id, number) {
    this.connections.set(id, new Connection({
      offers: false,
      configuration: Promise.resolve({}),
      signal: (msgtype, data) => this.way.send(`${msgtype} ${number} ${data}`, id),
      onstate: () => {},
      onmessage: message => this.channel.push(message),
    }));
  }

  say(message, target) {
    this.way.send(message, target);
  }
}

export default {
  'who was there before offers, to each newcomer once': pages(3, async (a, b, c, network) => {
    const offers = network.said.filter(({ message }) => message.startsWith('offer ')).map(({ from, to }) => [from, to]);
    equal(offers.sort(), [[1, 2], [1, 3], [2, 3]]);
    meshed([a, b, c]);
  }),

  'twelve pages form a full mesh, and then say nothing through the relay': pages(12, async (...made) => {
    const network = made.pop();
    meshed(made);
    const before = network.said.length;
    for (const page of made) page.say();
    await network.run(5_000);
    equal(network.said.length, before);
    for (const { met } of made) equal([...met.values()].map(({ counted }) => counted.length), Array(11).fill(1));
  }),

  'the first words go through the relay, before anything is open': pages(2, async (a, b, network) => {
    const c = new Page(network).enter();
    c.say();
    await network.run(6);
    equal([...a.met.get(3).counted, ...b.met.get(3).counted], [1, 1]);
    equal(a.relay.path(3), 'relay');
    c.relay.close();
  }),

  'nothing is lost, doubled or overtaken, whatever breaks': async () => {
    let breaks = 0;
    for (let seed = 1; seed <= seeds(40); seed++) {
      const chance = random(seed);
      await pages(2, async (a, b, network) => {
        const [slowRelay, slowDirect] = [chance() * 300, chance() * 300];
        network.relayDelay = () => slowRelay * chance();
        network.directDelay = () => slowDirect * chance();
        for (let i = 0; i < 60; i++) {
          for (const page of [a, b]) {
            for (let k = 0; k < 4 * chance(); k++) page.say();
            if (chance() < 0.05) page.relay.send(`large ${'x'.repeat(20_000)}`);
            page.relay.send('report 1');
          }
          const what = chance();
          if (what < 0.05) network.blocked = true;
          else if (what < 0.15) network.blocked = false;
          else if (what < 0.16) network.cut();
          else if (what < 0.18) network.begun.at(-Math.ceil(2 * chance()))?.fail();
          await network.run(600 * chance());
        }
        network.blocked = false;
        await network.run(RETRY);
        equal([a.direct, b.direct], [1, 1], `direct in the end with seed ${seed}`);
        const counts = [a.met.get(2).counted.length, b.met.get(1).counted.length];
        equal(counts, [b.count, a.count], `counts with seed ${seed}`);
        equal([...a.wrong, ...b.wrong], [], `with seed ${seed}`);
        breaks += a.events.filter(event => event === 'path 2 relay').length;
      }, { seed })();
    }
    ok(breaks > seeds(40), `${breaks} breaks`);
  },

  'a connection that closes is given up at once, and replaced by a new one': pages(2, async (a, b, network) => {
    for (let i = 0; i < 5; i++) a.say();
    network.begun[0].channels[0].onclose();
    equal(a.relay.path(2), 'relay');
    a.say();
    await network.run(100);
    equal([b.met.get(1).counted, b.relay.path(1)], [[1, 2, 3, 4, 5, 6], 'relay']);
    await network.run(2_000);
    meshed([a, b]);
    equal([network.openConnections, network.begun.length], [2, 4]);
  }),

  'a pair that cannot connect tries again after growing pauses, as long as both are there': pages(2,
    async (a, b, network) => {
      network.blocked = true;
      network.cut();
      await network.run(300_000);
      const offers = network.said.filter(({ message }) => message.startsWith('offer ')).map(({ at }) => at).slice(1);
      const pauses = offers.slice(1).map((at, i) => at - offers[i] - 20_000);   // in which each did not open
      ok(offers[0] > 20_000 && offers[0] < 25_000, `${offers[0]} ms until the first`);
      pauses.slice(0, 4).forEach((pause, i) => near(pause, 2_000 * 2 ** i, 1_000, `pause ${i}`));
      ok(pauses.every(pause => pause < 62_000), `pauses ${pauses}`);
      network.blocked = false;
      await network.run(RETRY);
      meshed([a, b]);
      network.blocked = true;
      b.leave();
      await network.run(60_000);
      const { length } = network.said;
      await network.run(RETRY);
      equal(network.said.length, length, 'messages to who has left');
    }),

  'one side that notices that a connection is dead tells the other': pages(2, async (a, b, network) => {
    network.blocked = true;
    network.cut();
    network.begun[1].fail();
    await network.run(100);
    equal(network.openConnections, 0);
    network.blocked = false;
    await network.run(2_000);
    meshed([a, b]);
  }),

  'a connection that was open for long is replaced sooner than one that was not': pages(2, async (a, b, network) => {
    const again = async () => {
      network.begun.at(-1).fail();
      const began = network.time;
      await network.run(50);
      while (!a.direct) await network.run(100);
      return network.time - began;
    };
    const first = [await again(), await again(), await again(), await again()];
    ok(first[0] < 2_000 && first[3] > 7_000, `${first}`);
    await network.run(20_000);
    const later = await again();
    ok(later < 2_000, `${later} ms after it was open for 20 s`);
  }),

  'while the path changes, what may get lost goes through the relay': pages(2, async (a, b, network) => {
    network.blocked = true;
    await network.run(3_000);
    network.relayDelay = () => 2_000;
    network.blocked = false;
    await network.run(1_000);   // the connection is open, which the other is told later
    const before = network.said.length;
    a.say();
    a.relay.send('report 1');
    equal(network.said.slice(before).map(({ message }) => message), ['report 1']);
    await network.run(2_100);
    equal([b.met.get(1).counted, b.met.get(1).other], [[1], ['report 1']]);
  }),

  'the side that is open later is not waited for until its next beat': pages(2, async (a, b, network) => {
    network.begun[0].fail();
    network.relayDelay = () => 0.1;
    network.directDelay = () => 20;
    while (!network.begun[3]?.routed) await network.run(1);
    await network.run(60);
    meshed([a, b]);
  }),

  'a silent connection is noticed within 3 s, and used again when it is heard': pages(2, async (a, b, network) => {
    network.blocked = true;
    await network.run(3_000);
    equal([a.relay.path(2), b.relay.path(1)], ['relay', 'relay']);
    network.blocked = false;
    await network.run(1_000);
    equal([a.relay.path(2), b.relay.path(1)], ['webrtc', 'webrtc']);
    equal(a.events.slice(-3), ['path 2 webrtc', 'path 2 relay', 'path 2 webrtc']);
  }),

  'who leaves is gone at once, with its connection': pages(3, async (a, b, c, network) => {
    b.leave();
    await network.run(20);
    equal([since(a, 0).at(-1), since(c, 0).at(-1)], ['quit 2', 'quit 2']);
    equal([a.relay.peers, c.relay.peers], [new Set([3]), new Set([1])]);
    equal(network.openConnections, 2);
  }),

  'a page that is left closes its connections': pages(2, async (a, b, network) => {
    b.way.lose();
    network.leavings[1].handler();
    equal([b.relay.peers.size, since(b, 0).at(-1)], [0, 'quit 1']);
    await network.run(20);
    equal(since(a, 0).at(-1), 'quit 2');
    equal(network.openConnections, 0);
    ok(!network.leavings[1].signal.aborted, 'and may come back');
    b.enter();
    await network.run(SOON);
    meshed([a, b]);
  }),

  'a page that crashes is gone after 3 s': pages(2, async (a, b, network) => {
    network.blocked = true;
    b.way.lose();
    await network.run(20);
    equal([...a.relay.peers], [2]);
    await network.run(3_000);
    equal([...a.relay.peers], []);
    equal(since(a, 0), ['self 1', 'join 2', 'quit 2']);
  }),

  'to oneself, to one, to all; text and bytes': pages(3, async (a, b, c, network) => {
    ok(a.relay.send('hello you', 2));
    ok(a.relay.send('hello me', 1));
    ok(a.relay.send(new TextEncoder().encode('hello bytes'), '3'));
    ok(a.relay.send('bare'));
    const mine = [];
    a.relay.onhello = (id, data) => mine.push(id, data);
    await network.run(100);
    equal(b.met.get(1).other, ['hello you', 'bare ']);
    equal(c.met.get(1).other, [`hello ${new TextEncoder().encode('bytes')}`, 'bare ']);
    equal(mine, [1, 'me']);
  }),

  'messages of this module and of the relay can\'t be sent, and not be forged over a channel': async () => {
    const types = ['self', 'join', 'quit', 'offer', 'answer', 'candidate', 'hangup', 'webrtc', 'path'];
    const harmless = ['status', 'recv', 'enter', 'constructor'];
    await pages(1, async (a, network) => {
      const stranger = new Stranger(network);
      await network.run(SOON);
      for (const type of [...types, '', ' ', ' ack', ' path', ' id']) equal(a.relay.send(`${type} 7`), false, type);
      stranger.say('path webrtc 1', 1);
      await network.run(100);
      stranger.connection.send(' path 1');
      for (const isLossy of [false, true]) {
        for (const type of [...types, ' x', '', ...harmless]) {
          stranger.connection.send(`${type} 7`, isLossy);
          stranger.connection.send(new TextEncoder().encode(`${type} 7`), isLossy);
        }
      }
      await network.run(100);
      const bytes = new TextEncoder().encode('7');
      const through = harmless.flatMap(type => [`${type} 7`, `${type} ${bytes}`]);
      equal(a.met.get(2).other, [...through, ...through]);
      equal(since(a, 0), ['self 1', 'join 2']);
    }, { connect: false })();
  },

  'what a handler throws is reported and ends there': pages(2, async (a, b, network) => {
    const reported = [];
    const real = globalThis.reportError;
    globalThis.reportError = error => reported.push(error.message);
    try {
      b.relay.onhello = () => {
        throw new Error('no');
      };
      a.relay.send('hello');
      a.say();
      await network.run(100);
    } finally {
      globalThis.reportError = real;
    }
    equal([reported, b.met.get(1).counted], [['no'], [1]]);
  }),

  'without WebRTC all goes through the relay': pages(2, async (a, b, network) => {
    a.say();
    ok(a.relay.send('hello', 2));
    await network.run(100);
    equal([b.met.get(1).counted, b.met.get(1).other, a.direct], [[1], ['hello '], 0]);
    equal(network.said.map(({ to, message }) => `${to} ${message}`), ['* count 1', '2 hello'], 'not an offer');
  }, { WebRTC: false, connect: false }),

  'pages with and without a connection hear the same': pages(2, async (a, b, network) => {
    const stranger = new FakeRelay(network);
    const heard = [];
    stranger.onrecv = (id, msgtype) => heard.push(msgtype);
    stranger.enter();
    await network.run(30_000);
    const before = network.said.length;
    a.say();
    await network.run(100);
    equal(network.said.slice(before).map(({ to }) => to), [3], 'through the relay');
    equal([b.met.get(1).counted, heard.at(-1)], [[1], 'count']);
    a.relay.send('report 1');
    await network.run(100);
    equal([b.met.get(1).other, heard.at(-1)], [['report 1'], 'report'], 'what may get lost');
    equal(network.openConnections, 2, 'without those that nobody answered');
  }),

  'ice.json may be missing, garbage, slow or wrong': async () => {
    const { warn } = console;
    const { timeout } = AbortSignal;
    const answer = (body, ok = true) => async () =>
      ({ ok, status: 404, statusText: 'none', json: async () => JSON.parse(body) });
    const failing = async () => {
      throw new TypeError('failed to fetch');
    };
    const hanging = (address, { signal }) => new Promise((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason));
    });
    const bodies = ['garbage', 'null', '{"iceServers":[{"urls":"http:x"}]}', '{"iceServers":7}',
      '{"iceTransportPolicy":"none"}'];
    const wrong = [...bodies.map(body => answer(body)), answer('{}', false)];
    try {
      let warnings = 0;
      console.warn = () => warnings++;
      for (const fetch of [...wrong, failing]) await pages(2, async () => {}, { fetch })();
      equal(warnings, 2 * wrong.length, 'warnings');
      const servers = '{"iceServers":[{"urls":"stun:10.0.0.1"}],"iceTransportPolicy":"all","certificates":7}';
      await pages(2, async (a, b, network) => {
        const { configuration } = network.begun[0];
        equal(configuration, { iceServers: [{ urls: 'stun:10.0.0.1' }], iceTransportPolicy: 'all' });
      }, { fetch: answer(servers) })();
      AbortSignal.timeout = ms => timeout.call(AbortSignal, ms / 50);   // the browser's own clock runs in real time
      await pages(2, async (a, b, network) => {
        equal(a.direct, 0);
        a.say();
        await new Promise(resolve => setTimeout(resolve, 200));
        await network.run(SOON);
        meshed([a, b]);
        equal(b.met.get(1).counted, [1]);
      }, { fetch: hanging, connect: false })();
    } finally {
      console.warn = warn;
      AbortSignal.timeout = timeout;
    }
  },

  // ---- The relay lost ----

  'ice.json is asked for again by whoever comes back to the room': async () => {
    let asked = 0;
    const fetch = async () => {
      if (++asked <= 2) throw new TypeError('failed to fetch');   // the relay goes away just then
      return { ok: true, json: async () => ({ iceServers: [{ urls: 'stun:10.0.0.1' }] }) };
    };
    await pages(2, async (a, b, network) => {
      network.stopRelay();
      network.cut();
      await network.run(RESTART);
      for (const page of [a, b]) page.enter();
      await network.run(SOON);
      meshed([a, b]);
      equal(network.begun.at(-1).configuration.iceServers, [{ urls: 'stun:10.0.0.1' }]);
    }, { fetch })();
  },

  'without the relay those who are connected play on': pages(3, async (a, b, c, network) => {
    const joined = new Page(network).enter();   // and who just came has quit
    await network.run(4);
    network.stopRelay();
    equal([a.relay.id, a.relay.status, a.relay.peers], [1, 'closed', new Set([2, 3])]);
    a.say();
    ok(a.relay.send('hello', 2), 'to one');
    equal(a.relay.send('hello', 1), false, 'to oneself');
    await network.run(60_000);
    equal([b.met.get(1).counted, c.met.get(1).counted], [[1], [1]]);
    b.relay.close();
    await network.run(10);
    equal([...a.relay.peers], [3]);
    c.relay.close();
    await network.run(10);
    equal([a.relay.id, a.relay.peers.size, a.relay.send('hello')], [null, 0, false]);
    joined.relay.close();
  }),

  'after a restart of the relay each is new to the others, and the pairs connect again': async () => {
    for (let seed = 1; seed <= seeds(60); seed++) {
      const chance = random(seed);
      const number = 2 + Math.floor(4 * chance());
      await pages(number, async (...made) => {
        const network = made.pop();
        const [slowRelay, slowDirect] = [chance() * 150, chance() * 150];
        network.relayDelay = () => slowRelay * chance();
        network.directDelay = () => slowDirect * chance();
        const from = made.map(({ events }) => events.length);
        for (const page of made) page.welcomes = true;
        network.stopRelay();
        const spread = 2_000 * chance();
        for (const page of made) network.after(spread * chance(), () => page.enter());
        const talk = () => {
          for (const page of made) page.say();
          if (network.time < 10_000) network.after(50, talk);
        };
        talk();
        await network.run(RESTART);
        meshed(made, `with seed ${seed}`);
        for (const [i, page] of made.entries()) {
          const events = since(page, from[i]);
          equal(events.length, 2 * number - 1, `events with seed ${seed} ${events}`);
          equal(events.filter(event => event.startsWith('quit ')).length, number - 1, `quits with seed ${seed}`);
          equal(events.indexOf(`self ${page.relay.id}`), number - 1, `quits before self with seed ${seed}`);
        }
        await network.run(10_000);
        for (const page of made) {
          const others = made.filter(other => other !== page);
          for (const { counted } of page.met.values()) {
            equal(counted.at(-1), made[0].count, `the last count with seed ${seed}`);
          }
          for (const other of others) page.relay.send(`to ${other.relay.id}`, other.relay.id);
        }
        await network.run(500);
        // Each is really who it is said to be.
        for (const { met, relay } of made) for (const { other } of met.values()) equal(other, [`to ${relay.id}`]);
      }, { seed })();
    }
  },

  'who loses only its own connection to the relay stays, and is new when it is back': async () => {
    for (const told of [true, false]) {
      for (let seed = 1; seed <= seeds(20); seed++) {
        const chance = random(seed);
        await pages(3, async (a, b, c, network) => {
          network.relayDelay = () => 50 * chance();
          network.directDelay = () => 50 * chance();
          for (const page of [a, b, c]) page.welcomes = true;
          b.way.lose({ told });
          const away = 3_000 * chance();
          await network.run(away);
          equal([a, b, c].map(({ relay }) => relay.peers.size), [2, 2, 2], `peers with seed ${seed}`);
          b.enter();
          if (!told) network.after(500 * chance(), () => [a, c].forEach(({ way }) => way.quit(2)));
          for (let i = 0; i < 60; i++) {
            for (const page of [a, b, c]) page.say();
            await network.run(100);
          }
          meshed([a, b, c], `with seed ${seed}`);
          for (const { met } of [a, b, c]) equal(met.size, 2, `peers with seed ${seed}`);
        }, { seed })();
      }
    }
  },

  'a peer that the relay believes gone can be spoken to directly, if shortly': pages(2, async (a, b, network) => {
    a.way.quit(2);
    b.way.lose({ told: false });
    ok(a.relay.send('hello', 2));
    equal(a.relay.send(`large ${'x'.repeat(20_000)}`, 2), false);
    equal(a.relay.send(`report ${'x'.repeat(20_000)}`, 2), false);
    equal(a.relay.send(`large ${'x'.repeat(20_000)}`), true, 'to the room, which the relay leads to');
    await network.run(100);
    equal(b.met.get(1).other, ['hello ']);
    b.relay.close();
    await network.run(100);
    equal(since(a, 0).at(-1), 'quit 2');
  }),

  'who has lost the relay and then the channel is gone': pages(2, async (a, b, network) => {
    const { length } = network.said;
    b.way.lose();
    await network.run(20);
    network.blocked = true;
    await network.run(60_000);
    equal([since(a, 0).at(-1), since(b, 0).at(-1)], ['quit 2', 'quit 1']);
    equal([network.openConnections, network.said.length], [0, length], 'nothing is left or said');
  }),

  'what waits for the channel when the relay is lost is lost with it': pages(2, async (a, b, network) => {
    network.blocked = true;
    await network.run(3_000);
    network.relayDelay = () => 9_000;
    network.blocked = false;
    await network.run(1_000);
    a.say();
    equal([a.relay.path(2), a.relay.buffered > 0], ['relay', true]);
    network.stopRelay();
    equal([since(a, 0).at(-1), a.relay.peers.size, a.relay.buffered], ['quit 2', 0, 0]);
  }),

  'a handler that leaves hears no more': pages(2, async (a, b, network) => {
    network.blocked = true;
    await network.run(3_000);
    network.relayDelay = () => 500;
    network.blocked = false;
    await network.run(700);
    for (let i = 0; i < 3; i++) a.relay.send('hello', 2);
    let heard = 0;
    b.relay.onhello = () => {
      heard++;
      b.relay.close();
    };
    await network.run(5_000);
    equal(heard, 1);
  }),

  'a channel that can\'t be used after all is given up without a word': pages(2, async (a, b, network) => {
    network.blocked = true;
    await network.run(3_000);
    network.begun[0].channels[0].send = () => {
      throw new DOMException('no', 'OperationError');
    };
    network.blocked = false;
    await network.run(1_000);
    a.say();
    await network.run(100);
    equal(a.events.filter(event => event.startsWith('path')), ['path 2 webrtc', 'path 2 relay']);
    equal(b.met.get(1).counted, [1]);
  }),

  'whatever breaks, in the end each knows all others by their ids, and nobody is there twice': async () => {
    for (let seed = 1; seed <= seeds(20); seed++) {
      const chance = random(seed);
      const some = list => list[Math.floor(list.length * chance())];
      await pages(4, async (...made) => {
        const network = made.pop();
        const [slow, fast] = [200 * chance(), 100 * chance()];
        network.relayDelay = () => slow * chance();
        network.directDelay = () => fast * chance();
        const here = [...made];
        const back = page => here.includes(page) && page.way.id === null && page.enter();
        const turns = {
          restart: () => {
            network.stopRelay();
            for (const page of here) network.after(1_500 * chance(), () => back(page));
          },
          lose: (page = some(here)) => {
            page.way.lose();
            network.after(2_500 * chance(), () => back(page));
          },
          block: () => { network.blocked = true; },
          mend: () => { network.blocked = false; },
          cut: () => network.cut(),
          come: () => here.length < 7 && here.push(made[made.push(new Page(network).enter()) - 1]),
          go: () => here.length > 2 && here.splice(Math.floor(here.length * chance()), 1)[0].leave(),
          nothing: () => {},
        };
        const speak = () => here.forEach(page => page.relay.send(`name ${made.indexOf(page)}`));
        for (let i = 0; i < 30; i++) {
          speak();
          some(Object.values(turns))();
          await network.run(400 * chance());
        }
        turns.mend();
        await network.run(3_000);
        here.forEach(back);
        await network.run(RETRY);
        meshed(here, `with seed ${seed}`);
        speak();
        await network.run(1_000);
        for (const { relay, met } of here) {
          const known = [...met].map(([id, { other }]) => [id, [...new Set(other)].join()]);
          const right = here.filter(page => page.relay !== relay)
            .map(page => [page.way.id, `name ${made.indexOf(page)}`]);
          equal(known.sort(([a], [b]) => a - b), right.sort(([a], [b]) => a - b), `known to ${relay.id}, seed ${seed}`);
        }
        here.forEach(page => page.leave());
        for (const { wrong } of made) equal(wrong, [], `what is wrong with seed ${seed}`);
      }, { seed })();
    }
  },

  // ---- Strangers ----

  'offers from newcomers make no connection': pages(1, async (a, network) => {
    const stranger = new Stranger(network);
    await network.run(SOON);
    const before = network.connections.length;
    const offer = 'v=0\r\nm=application 9 x\r\na=fingerprint:sha-256 AB\r\na=fake:1 1\r\n';
    for (let i = 0; i < 100; i++) stranger.say(`offer ${i} ${offer}`, 1);
    await network.run(100);
    equal([network.connections.length, a.relay.path(2)], [before, 'webrtc']);
  }, { connect: false }),

  'of many offers from who was there before few make connections, and one that is no newer makes none': async () => {
    const network = new Network();
    await network.during(async () => {
      const stranger = new Stranger(network);
      const a = new Page(network).enter();
      await network.run(SOON);
      const offer = 'v=0\r\nm=application 9 x\r\na=fingerprint:sha-256 AB\r\na=fake:1 1\r\n';
      for (const number of [7, 7, 3, 0, -1, 7]) stranger.say(`offer ${number} ${offer}`, 2);
      await network.run(100);
      equal([network.begun.length, network.openConnections], [1, 1]);
      for (let i = 8; i < 200; i++) stranger.say(`offer ${i} ${offer}`, 2);
      await network.run(100);
      ok(network.begun.length <= 33, `${network.begun.length} connections`);
      ok(network.openConnections <= 1, `${network.openConnections} at once`);
      ok(stranger.heard.includes('2 hangup 199'), 'the last is refused');
      a.relay.close();
      stranger.leave();
    });
  },

  'a newcomer gets a connection soon, though hundreds ask for one and never answer': pages(1,
    async (a, network) => {
      for (let i = 0; i < 300; i++) {
        const silent = new FakeRelay(network);
        silent.enter();
        silent.send('webrtc');
      }
      await network.run(300_000);
      ok(network.begun.length > 300, `${network.begun.length} attempts`);
      new Stranger(network);
      await network.run(3_000);
      equal(a.relay.path(302), 'webrtc');
    }, { connect: false }),

  'a thousand who come and go cost few connections': pages(1, async (a, network) => {
    for (let i = 0; i < 1_000; i++) {
      const stranger = new FakeRelay(network);
      stranger.enter();
      stranger.send('webrtc');
      await network.run(10);
      stranger.lose();
      network.clients.pop();
    }
    await network.run(100);
    ok(network.connections.length <= 45, `${network.connections.length} connections`);
    equal([a.relay.peers.size, network.openConnections], [0, 0]);
    await network.run(2_000);
    new Stranger(network);
    await network.run(SOON);
    equal(a.direct, 1, 'who comes later gets one');
  }, { connect: false }),

  'a hundred who speak no WebRTC cost no connection, and leave one for who does': pages(1, async (a, network) => {
    const silent = Array.from({ length: 100 }, () => new FakeRelay(network));
    for (const stranger of silent) stranger.enter();
    await network.run(2_000);
    equal([a.relay.peers.size, network.begun.length], [100, 0]);
    silent[50].send('hello', 1);
    new Stranger(network);
    await network.run(SOON);
    equal([a.direct, network.begun.length], [1, 2], 'both ends of one');
  }, { connect: false }),

  'who got no connection gets one when one is free again': pages(1, async (a, network) => {
    const crowd = Array.from({ length: 32 }, () => new Stranger(network));
    await network.run(SOON);
    const late = new Stranger(network);
    await network.run(20_000);
    equal([a.direct, a.relay.path(34)], [32, 'relay']);
    crowd[0].way.lose();
    crowd[0].leave();
    await network.run(1_000);
    equal([a.relay.path(34), late.connections.size], ['webrtc', 1]);
  }, { connect: false }),

  'no more than 32 connections at once': pages(1, async (a, network) => {
    for (let i = 0; i < 60; i++) new Stranger(network);
    await network.run(15_000);
    equal([a.relay.peers.size, a.direct], [60, 32]);
    new Stranger(network);
    await network.run(SOON);
    equal([a.relay.peers.size, a.direct], [61, 32]);
  }, { connect: false }),

  'who says over the channel that it is another loses the connection': pages(2, async (a, b, network) => {
    const stranger = new Stranger(network);   // 3
    await network.run(SOON);
    stranger.connection.send(' id 3');
    stranger.connection.send(' id x');
    await network.run(100);
    equal(a.relay.path(3), 'webrtc');
    stranger.connection.send(' id 2');
    await network.run(100);
    equal([a.relay.path(3), a.relay.path(2)], ['relay', 'webrtc']);
    equal(since(a, 0), ['self 1', 'join 2', 'join 3']);
  }),

  'nobody can have two pages take each other for him': pages(1, async (a, network) => {
    const between = new FakeRelay(network);   // 2, who is to a what b is, and to b what a is
    const words = [];
    between.onrecv = (id, msgtype, data) => words.push([4 - id, `${msgtype} ${data}`]);
    between.enter();
    between.send('webrtc');
    await network.run(SOON);
    const b = new Page(network).enter();
    await network.run(SOON);
    between.onrecv = (id, msgtype, data) => between.send(`${msgtype} ${data}`, 4 - id);
    for (const [to, message] of words) between.send(message, to);
    await network.run(60_000);
    ok(network.said.filter(({ from, message }) => from === 2 && message.startsWith('answer ')).length > 1, 'he tried');
    equal([a.relay.path(2), b.relay.path(2)], ['relay', 'relay']);
    equal([a.events, b.events].flat().filter(event => event.startsWith('path 2')), []);
    equal([a.relay.path(3), b.relay.path(1)], ['webrtc', 'webrtc']);
    between.lose();
    await network.run(100);
    equal([since(a, 0).at(-1), since(b, 0).at(-1)], ['quit 2', 'quit 2']);
    b.relay.close();
  }, { connect: false }),

  'a flood over a channel that is not used goes nowhere': pages(1, async (a, network) => {
    const stranger = new Stranger(network);
    await network.run(SOON);
    stranger.connection.send(' path 9');
    for (let i = 0; i < 1_000; i++) {
      stranger.connection.send(`much ${'x'.repeat(1_000)}`);
      stranger.connection.send('much', true);
    }
    await network.run(100);
    equal([a.relay.path(2), a.met.get(2).other], ['webrtc', []]);
  }, { connect: false }),

  'whoever acknowledges nothing loses the connection, and misses nothing': pages(1, async (a, network) => {
    const stranger = new Stranger(network);
    await network.run(SOON);
    for (let i = 0; i < 5_000; i++) a.relay.send(`much ${'x'.repeat(1_000)}`, 2);
    await network.run(600);
    equal(a.relay.path(2), 'relay');
    equal(stranger.heard.filter(message => message.startsWith('1 much')).length, 5_000);
  }, { connect: false }),

  'whoever does not even acknowledge the change of path is not waited for for ever': pages(1, async (a, network) => {
    const stranger = new Stranger(network);
    stranger.acknowledges = false;
    await network.run(SOON);
    for (let i = 0; i < 3_000; i++) a.relay.send(`much ${'x'.repeat(1_000)}`, 2);
    await network.run(600);
    ok(a.relay.buffered > 3_000_000, `${a.relay.buffered} bytes wait`);
    for (let i = 0; i < 2_000; i++) a.relay.send(`much ${'x'.repeat(1_000)}`, 2);
    await network.run(600);
    equal(stranger.heard.filter(message => message.startsWith('1 much')).length, 5_000);
  }, { connect: false }),

  'a peer that acknowledges no messages does not stop who waits for what is buffered': pages(1, async (a, network) => {
    for (const acknowledges of [true, false]) {
      const stranger = new Stranger(network);
      stranger.acknowledges = acknowledges;
      await network.run(SOON);
      let sent = 0;
      const sending = setInterval(() => {
        for (; sent < 200 && a.relay.buffered < 65_536; sent++) a.relay.send(`much ${'x'.repeat(10_000)}`);
      }, 50);
      await network.run(60_000);
      clearInterval(sending);
      equal(sent, 200, `sent to one who ${acknowledges ? 'acknowledges' : 'does not even acknowledge'} the path`);
      stranger.leave();
      await network.run(60_000);
    }
  }, { connect: false }),

  'what waits on any path is counted': pages(3, async (a, b, c, network) => {
    equal(a.relay.buffered, 0);
    a.way.buffered = 7;
    network.begun.filter(({ channels: [{ readyState }] }) => readyState === 'open').forEach(({ channels }) => {
      channels[0].bufferedAmount = 100;
      channels[1].bufferedAmount = 10_000;   // of these what is late gets lost
    });
    equal(a.relay.buffered, 207);
  }),

  'nonsense over a channel or in what this module says changes nothing': pages(1, async (a, network) => {
    const stranger = new Stranger(network);
    await network.run(SOON);
    const nonsense = ['', ' ', ' ack', ' ack x', ' ack 1e999', ' ack -1', ' path', ' path x', ' path 0', ' id', ' id x',
      ` id 2 ${'x'.repeat(200)}`, ' secret', ' '.repeat(500)];
    for (const message of nonsense) {
      for (const isLossy of [false, true]) {
        stranger.connection.send(message, isLossy);
        stranger.connection.send(new TextEncoder().encode(message), isLossy);
      }
    }
    for (const message of ['webrtc x', 'path', 'path x', 'path relay 99', 'path webrtc 1e5', 'answer', 'answer 0',
      'answer 1', 'answer 1 x', 'candidate', 'candidate x', 'candidate 1 x', 'candidate 1', 'offer', 'offer 9 x',
      'hangup', 'hangup 2', 'hangup x', 'hangup 1x']) stranger.say(message, 1);
    stranger.way.send(new TextEncoder().encode('hangup 1'), 1);
    await network.run(SOON);
    equal(since(a, 0), ['self 1', 'join 2']);
    ok(!stranger.heard.some(message => message.includes('x'.repeat(200))), 'nothing repeated');
    equal(a.relay.send('hello', 2), true);
    await network.run(SOON);
    ok(stranger.channel.includes('hello'), 'still connected');
  }, { connect: false }),
};
