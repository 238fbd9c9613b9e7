// SPDX-License-Identifier: MIT

// Pages in one room, with a relay and direct connections that are fast, slow, cut off, lost and found
// again, in virtual time. Each page checks for itself, all the time, what ws-relay.js guarantees: who
// speaks has joined and has not quit, and what one says to all arrives once and in order.

import { BEAT, Link } from '../link.js';
import { random } from '../random.js';
import { WebRTCRelay } from '../webrtc-relay.js';
import { equal, ok } from './check.js';
import { FakeRelay, Network } from './network.js';

const SOON = 300;        // ms in which pages that can connect have
const RESTART = 4_000;   // ms from when a relay is back until all is as before

/** A page: a relay, and what it told. */
class Page {
  events = [];           // 'join 2', 'quit 2', 'rename 2 3', 'path 2 webrtc'
  met = new Map();       // by id: what they said, { counted: [...], other: [...] }
  wrong = [];            // what must not happen
  count = 0;             // of what we said to all

  constructor(network) {
    this.network = network;
    this.way = new FakeRelay(network);
    this.relay = new WebRTCRelay('http://relay.test/game', { relay: this.way, lossy: ['report'], ice: 'ice' });
    const { relay, met } = this;
    relay.onself = id => this.note(`self ${id}`, !met.has(id));
    relay.onjoin = id => {
      this.note(`join ${id}`, !met.has(id) && id !== relay.id);
      met.set(id, { counted: [], other: [] });
    };
    relay.onquit = id => this.note(`quit ${id}`, met.delete(id));
    relay.onrename = (was, id) => {
      this.note(`rename ${was} ${id}`, met.has(was) && !met.has(id));
      met.set(id, met.get(was));
      met.delete(was);
    };
    relay.onpath = (id, path) => this.note(`path ${id} ${path}`, met.has(id) && relay.path(id) === path);
    relay.oncount = (id, data) => {
      const { counted } = met.get(id) ?? this.note(`a count of ${id}`, false);
      const [last, next] = [counted.at(-1), Number(data)];
      if (last !== undefined && next !== last + 1) this.note(`${last}, then ${next} of ${id}`, false);
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

/** Who has joined and quit since: nobody has who is only called by another id. */
function comings(page, from) {
  return since(page, from).filter(event => /^(join|quit) /.test(event));
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
  links = new Map();

  constructor(network) {
    this.way = new FakeRelay(network);
    this.way.onrecv = (id, msgtype, data) => {
      this.heard.push(`${id} ${msgtype} ${data}`);
      if (msgtype === 'offer') this.#answer(id);
      this.links.get(id)?.take(msgtype, data);
    };
    this.beating = setInterval(() => this.links.forEach(link => link.beat(' pulse x')), BEAT);
    strangers.push(this);
    this.way.enter();
    this.way.send('path');
  }

  leave() {
    clearInterval(this.beating);
    for (const link of this.links.values()) link.close();
  }

  /** The one to the first page. */
  get link() {
    return this.links.get(1);
  }

  #answer(id) {
    const ignore = () => {};
    this.links.set(id, new Link({
      offers: false,
      configuration: Promise.resolve({}),
      signal: (msgtype, data) => this.way.send(`${msgtype} ${data}`, id),
      onhealth: ignore,
      onclose: ignore,
      onmessage: message => this.channel.push(message),
    }));
  }

  say(message, target) {
    this.way.send(message, target);
  }
}

function words(stranger, word) {
  return stranger.channel.filter(message => typeof message === 'string' && message.startsWith(` ${word}`));
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
    for (let seed = 1; seed <= 40; seed++) {
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
          else if (what < 0.15) {
            network.blocked = false;
            for (const connection of network.connections) connection.flush();
          } else if (what < 0.17) network.cut();
          await network.run(600 * chance());
        }
        network.blocked = false;
        await network.run(4_000);
        const counts = [a.met.get(2).counted.length, b.met.get(1).counted.length];
        equal(counts, [b.count, a.count], `counts with seed ${seed}`);
        equal([...a.wrong, ...b.wrong], [], `with seed ${seed}`);
        breaks += a.events.filter(event => event === 'path 2 relay').length;
      }, { seed })();
    }
    ok(breaks > 40, `${breaks} breaks`);
  },

  'a connection that closes is given up at once, for good, and nothing is lost': pages(2, async (a, b, network) => {
    for (let i = 0; i < 5; i++) a.say();
    network.begun[0].channels[0].onclose();
    equal(a.relay.path(2), 'relay');
    a.say();
    await network.run(60_000);
    equal(b.met.get(1).counted, [1, 2, 3, 4, 5, 6]);
    equal([a.direct, b.direct, network.openConnections, network.begun.length], [0, 0, 0, 2]);
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
    const types = ['self', 'join', 'quit', 'offer', 'answer', 'candidate', 'path', 'reunite'];
    const harmless = ['status', 'recv', 'rename', 'enter', 'constructor'];
    await pages(1, async (a, network) => {
      const stranger = new Stranger(network);
      await network.run(SOON);
      for (const type of [...types, '', ' ', ' now']) equal(a.relay.send(`${type} 7`), false, type);
      stranger.say('path webrtc 1', 1);
      await network.run(100);
      stranger.link.send(' path 1');
      for (const isLossy of [false, true]) {
        for (const type of [...types, ' x', '', ...harmless]) {
          stranger.link.send(`${type} 7`, isLossy);
          stranger.link.send(new TextEncoder().encode(`${type} 7`), isLossy);
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

  'a relay that was started again gives all new ids, and nobody has left or come': async () => {
    for (let seed = 1; seed <= 60; seed++) {
      const chance = random(seed);
      const number = 2 + Math.floor(4 * chance());
      await pages(number, async (...made) => {
        const network = made.pop();
        const [slowRelay, slowDirect] = [chance() * 150, chance() * 150];
        network.relayDelay = () => slowRelay * chance();
        network.directDelay = () => slowDirect * chance();
        const from = made.map(({ events }) => events.length);
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
          const strange = comings(page, from[i]);
          equal(strange, [], `with seed ${seed}`);
        }
        await network.run(10_000);
        for (const { met } of made) {
          for (const { counted } of met.values()) equal(counted.length, made[0].count, `counts with seed ${seed}`);
        }
        // Each is really who it is said to be.
        for (const page of made) {
          for (const other of made) {
            if (other === page) continue;
            page.relay.send(`to ${other.relay.id}`, other.relay.id);
          }
        }
        await network.run(500);
        for (const { met, relay } of made) for (const { other } of met.values()) equal(other, [`to ${relay.id}`]);
        const proofs = network.said.filter(({ message }) => message.startsWith('reunite '));
        ok(proofs.length <= 2 * number * (number - 1), `${proofs.length} proofs of ${number}`);
        ok(made[0].relay.send(`large ${'x'.repeat(20_000)}`), 'through the relay again');
        await network.run(500);
        equal(made[1].met.get(made[0].relay.id).other.length, 2);
        equal(network.begun.length, number * (number - 1), 'connections');
      }, { seed })();
    }
  },

  'survivors have ids that no relay gives until it is known who they are': pages(2, async (a, b, network) => {
    network.stopRelay();
    a.enter();
    await network.run(SOON);
    equal(since(a, 0).slice(2), ['rename 2 2147483648', 'self 1']);
    b.enter();
    await network.run(SOON);
    equal(since(b, 0).slice(2), ['rename 1 2147483648', 'self 2', 'rename 2147483648 1']);
    equal(since(a, 0).at(-1), 'rename 2147483648 2');
  }),

  'who only loses its own connection to the relay is the same when it is back': async () => {
    for (const told of [true, false]) {
      for (let seed = 1; seed <= 20; seed++) {
        const chance = random(seed);
        await pages(3, async (a, b, c, network) => {
          network.relayDelay = () => 50 * chance();
          network.directDelay = () => 50 * chance();
          const from = [a, b, c].map(({ events }) => events.length);
          b.way.lose({ told });
          const away = 3_000 * chance();
          network.after(away, () => b.enter());
          if (!told) network.after(away + 500 * chance(), () => [a, c].forEach(({ way }) => way.quit(2)));
          for (let i = 0; i < 60; i++) {
            for (const page of [a, b, c]) page.say();
            await network.run(100);
          }
          meshed([a, b, c], `with seed ${seed}`);
          for (const [i, page] of [a, b, c].entries()) {
            const strange = comings(page, from[i]);
            if (told) equal(strange, [], `with seed ${seed}`);
          }
          for (const { met } of [a, b, c]) equal(met.size, 2, `peers with seed ${seed}`);
        }, { seed })();
      }
    }
  },

  'who is missed before it knows itself is the same when it is back': async () => {
    for (let seed = 1; seed <= 20; seed++) {
      const chance = random(seed);
      await pages(3, async (a, b, c, network) => {
        network.relayDelay = () => 50 * chance();
        network.directDelay = () => 50 * chance();
        const from = [a, b, c].map(({ events }) => events.length);
        for (const { way } of [a, c]) way.quit(2);
        await network.run(200 * chance());   // in which what it says through the relay reaches nobody
        b.way.lose({ told: false });
        await network.run(1_000 * chance());
        b.enter();
        await network.run(2_000);
        meshed([a, b, c], `with seed ${seed}`);
        for (const [i, page] of [a, b, c].entries()) {
          equal(comings(page, from[i]), [], `with seed ${seed}`);
        }
      }, { seed })();
    }
  },

  'a newcomer to a relay that was started again is there once, for all': async () => {
    for (let seed = 1; seed <= 30; seed++) {
      const chance = random(seed);
      await pages(3, async (a, b, c, network) => {
        const from = [a, b, c].map(({ events }) => events.length);
        network.stopRelay();
        const made = [a, b, c];
        const newcomer = new Page(network);
        for (const page of [a, b, c, newcomer]) network.after(1_500 * chance(), () => page.enter());
        const talk = () => {
          for (const page of [a, b, c, newcomer]) page.say();
          if (network.time < 5_000) network.after(40, talk);
        };
        talk();
        await network.run(8_000);
        meshed([...made, newcomer], `with seed ${seed}`);
        for (const [i, page] of made.entries()) {
          const others = comings(page, from[i]);
          equal(others, [`join ${newcomer.relay.id}`], `with seed ${seed}`);
        }
        equal(newcomer.wrong, [], `wrong at the newcomer with seed ${seed}`);
        equal(newcomer.events.filter(event => event.startsWith('join')).length, 3);
        newcomer.relay.close();
      }, { seed })();
    }
  },

  'a newcomer waits at the door for three seconds at most, with what it says': pages(2, async (a, b, network) => {
    network.stopRelay();
    a.enter();
    const c = new Page(network).enter();
    c.say();
    await network.run(2_900);
    equal(a.met.has(2), false);
    await network.run(1_000);
    equal([a.met.get(2).counted, a.relay.path(2)], [[1], 'webrtc']);
    c.relay.close();
  }),

  'when all that were missed are back, or gone, nobody waits': pages(3, async (a, b, c, network) => {
    network.stopRelay();
    a.enter();
    const newcomer = new Page(network).enter();
    b.enter();
    await network.run(SOON);
    ok(!a.met.has(2), 'waits for c');
    c.relay.close();
    await network.run(20);
    ok(a.met.has(2), 'c is gone');
    newcomer.relay.close();
    await network.run(20);
    network.stopRelay();
    a.enter();
    const another = new Page(network).enter();
    await network.run(SOON);
    ok(!a.met.has(2), 'waits for b');
    b.enter();
    await network.run(SOON);
    ok(a.met.has(2), 'b is back');
    another.relay.close();
  }),

  'what a parted peer says through the relay waits at the door as well': pages(1, async (a, network) => {
    const stranger = new Stranger(network);
    await network.run(SOON);
    stranger.say('path webrtc 1', 1);
    stranger.link.send(' path 1');
    await network.run(20);
    network.stopRelay();
    a.enter();
    stranger.way.enter();
    await network.run(20);
    const [secret] = words(stranger, 'now').map(word => word.split(' ')[3]);
    const proof = `reunite ${secret} ${stranger.link.ourFingerprint}`;
    for (const message of ['hello too early', 'path relay 2', 'hello', proof]) stranger.say(message, 1);
    await network.run(20);
    equal([...a.met].map(([id, { other }]) => [id, other]), [[2, ['hello ']]]);
  }, { connect: false }),

  'who lost the channel before it knew us again is heard': pages(2, async (a, b, network) => {
    b.way.lose();
    await network.run(20);
    network.blocked = true;   // what proves that b is back goes through the relay, but no word for a to answer
    b.enter();
    await network.run(60_000);
    equal([since(a, 2), since(b, 2).slice(-2)], [['rename 2 3'], ['quit 2147483648', 'join 1']]);
    b.say();
    a.say();
    await network.run(20);
    equal([a.met.get(3).counted, b.met.get(1).counted], [[1], [1]]);
  }),

  'what waits for a relay that is lost does not wait for it': pages(2, async (a, b, network) => {
    network.blocked = true;
    await network.run(3_000);
    network.relayDelay = () => 9_000;
    network.blocked = false;
    await network.run(1_000);
    a.say();
    await network.run(100);
    equal([a.relay.path(2), b.met.get(1).counted], ['webrtc', []]);
    network.stopRelay();
    equal(b.met.get(1).counted, [1]);
  }),

  'a handler that leaves hears no more': pages(2, async (a, b, network) => {
    network.blocked = true;
    await network.run(3_000);
    network.relayDelay = () => 2_000;
    network.blocked = false;
    await network.run(1_000);
    for (let i = 0; i < 3; i++) a.relay.send('hello', 2);
    let heard = 0;
    b.relay.onhello = () => {
      heard++;
      b.relay.close();
    };
    await network.run(5_000);
    equal(heard, 1);
  }),

  'a channel that can\'t be used after all is told once': pages(2, async (a, b, network) => {
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

  'who says too much at the door is let in': pages(2, async (a, b, network) => {
    network.stopRelay();
    a.enter();
    const stranger = new Stranger(network);
    await network.run(10);
    for (let i = 0; i < 7; i++) stranger.say(`much ${'x'.repeat(10_000)}`, 1);
    await network.run(10);
    equal(a.met.get(2).other.length, 7);
    const another = new Stranger(network);
    await network.run(10);
    for (let i = 0; i < 7; i++) another.say('x'.repeat(10_000), 1);
    await network.run(10);
    equal(a.met.get(3)?.other.length, 7, 'though they are long words');
  }),

  'who does not come back to the relay has quit after 15 s': pages(2, async (a, b, network) => {
    network.stopRelay();
    await network.run(60_000);
    equal(a.relay.peers.size, 1);
    a.enter();
    await network.run(14_000);
    equal(a.relay.peers.size, 1);
    await network.run(2_000);
    equal([a.relay.peers.size, b.relay.peers.size, network.openConnections], [0, 0, 0]);
  }),

  'a relay that is started again twice at short intervals finds all again': async () => {
    for (let seed = 1; seed <= 30; seed++) {
      const chance = random(seed);
      await pages(3, async (a, b, c, network) => {
        const from = [a, b, c].map(({ events }) => events.length);
        for (let restart = 0; restart < 3; restart++) {
          network.stopRelay();
          for (const page of [a, b, c]) network.after(300 * chance(), () => page.way.id ?? page.enter());
          await network.run(400 * chance());
        }
        await network.run(RESTART);
        for (const page of [a, b, c]) if (page.way.id === null) page.enter();
        await network.run(RESTART);
        meshed([a, b, c], `with seed ${seed}`);
        for (const [i, page] of [a, b, c].entries()) {
          equal(comings(page, from[i]), [], `with seed ${seed}`);
        }
      }, { seed })();
    }
  },

  'whatever breaks, in the end each knows all others by their ids, and nobody is there twice': async () => {
    for (let seed = 1; seed <= 20; seed++) {
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
          mend: () => {
            network.blocked = false;
            for (const connection of network.connections) connection.flush();
          },
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
        await network.run(30_000);
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

  'offers from newcomers, or a second one, make no connection': pages(1, async (a, network) => {
    const stranger = new Stranger(network);
    await network.run(SOON);
    const before = network.connections.length;
    const offer = 'offer v=0\r\nm=application 9 x\r\na=fingerprint:sha-256 AB\r\na=fake:1 1\r\n';
    for (let i = 0; i < 100; i++) stranger.say(offer, 1);
    await network.run(100);
    equal(network.connections.length, before);
    equal(a.relay.path(2), 'webrtc');
  }, { connect: false }),

  'a thousand who come and go cost few connections': pages(1, async (a, network) => {
    for (let i = 0; i < 1_000; i++) {
      const stranger = new FakeRelay(network);
      stranger.enter();
      stranger.send('path');
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

  'a hundred who say nothing cost no connection, and leave one for who does': pages(1, async (a, network) => {
    const silent = Array.from({ length: 100 }, () => new FakeRelay(network));
    for (const stranger of silent) stranger.enter();
    await network.run(2_000);
    equal([a.relay.peers.size, network.begun.length], [100, 0]);
    silent[50].send('hello', 1);
    new Stranger(network);
    await network.run(SOON);
    equal([a.direct, network.begun.length], [1, 3], 'both ends of one, and one that nobody answers');
  }, { connect: false }),

  'who talks gets a connection when one is free again': pages(1, async (a, network) => {
    const crowd = Array.from({ length: 32 }, () => new Stranger(network));
    await network.run(SOON);
    const late = new Stranger(network);
    await network.run(20_000);
    equal([a.direct, a.relay.path(34)], [32, 'relay']);
    crowd[0].leave();
    await network.run(SOON);
    late.say('hello', 1);
    await network.run(SOON);
    equal(a.relay.path(34), 'webrtc');
  }, { connect: false }),

  'no more than 32 connections at once': pages(1, async (a, network) => {
    for (let i = 0; i < 60; i++) new Stranger(network);
    await network.run(15_000);
    equal([a.relay.peers.size, a.direct], [60, 32]);
    new Stranger(network);
    await network.run(SOON);
    equal([a.relay.peers.size, a.direct], [61, 32]);
  }, { connect: false }),

  'whoever claims to be another stays what it is': pages(2, async (a, b, network) => {
    const stranger = new Stranger(network);   // 3
    await network.run(SOON);
    stranger.link.send(' now 2 secret');
    await network.run(SOON);
    equal([...a.met.keys()], [2, 3]);
    equal(since(a, 0), ['self 1', 'join 2', 'join 3']);
    equal(a.relay.path(2), 'webrtc', 'to whom it claims to be');
  }),

  'a secret is good once, and only from who is meant': pages(1, async (a, network) => {
    const stranger = new Stranger(network);
    await network.run(SOON);
    const accomplice = new Stranger(network);
    await network.run(SOON);
    stranger.link.send(' now 77 x');
    await network.run(SOON);
    const [secret] = words(stranger, 'now').map(word => word.split(' ')[3]);
    const [mine, another] = [stranger.link.ourFingerprint, accomplice.link.ourFingerprint];
    const guesses = ['', 'null', 'undefined', secret, mine, `null ${mine}`, `undefined ${mine}`,
      `${secret.slice(1)} ${mine}`, `${secret} ${another}`, ` ${secret} ${mine}`, `${secret} ${mine} `];
    for (const guess of guesses) accomplice.say(`reunite ${guess}`, 1);
    await network.run(SOON);
    equal(since(a, 0), ['self 1', 'join 2', 'join 3'], 'after guesses');
    stranger.say(`reunite ${secret} ${mine}`, 1);   // it is itself: nothing happens
    await network.run(SOON);
    accomplice.say(`reunite ${secret} ${mine}`, 1);
    await network.run(SOON);
    equal(since(a, 0), ['self 1', 'join 2', 'join 3'], 'after a replay');
    await network.run(20_000);
    equal([...a.met.keys()], [2, 3]);
  }, { connect: false }),

  'nobody can have an honest page prove something for him': pages(2, async (a, b, network) => {
    const stranger = new Stranger(network);   // 3, connected to both
    await network.run(SOON);
    stranger.link.send(' now 77 x');
    await network.run(SOON);
    const [secret] = words(stranger, 'now').map(word => word.split(' ')[3]);
    stranger.links.get(2).send(` now 1 ${secret}`);   // b is to tell a that it is at the end of his channel
    await network.run(SOON);
    const answers = network.said.filter(({ message }) => message.startsWith(`reunite ${secret} `));
    equal(answers.map(({ from, to }) => [from, to]), [[2, 1]], 'b did');
    equal([...a.met.keys()], [2, 3]);
    equal(since(a, 0), ['self 1', 'join 2', 'join 3']);
    equal([a.relay.path(2), b.relay.path(1)], ['webrtc', 'webrtc']);
  }),

  'nobody can take the place of another, though he has both talk to each other as if to him': pages(1,
    async (a, network) => {
      const between = new FakeRelay(network);   // 2, who is to a what b is, and to b what a is
      const words = [];
      between.onrecv = (id, msgtype, data) => words.push([4 - id, `${msgtype} ${data}`]);
      between.enter();
      await network.run(SOON);
      const b = new Page(network).enter();
      await network.run(SOON);
      between.onrecv = (id, msgtype, data) => between.send(`${msgtype} ${data}`, 4 - id);
      for (const [to, message] of words) between.send(message, to);
      await network.run(SOON);
      equal([a.relay.path(2), b.relay.path(2)], ['webrtc', 'webrtc']);
      between.lose();
      await network.run(60_000);
      equal([since(a, 0), since(b, 0)], [['self 1', 'join 2', 'join 3', 'quit 2'],
        ['self 3', 'join 1', 'join 2', 'quit 2']]);
      meshed([a, b]);
      b.relay.close();
    }, { connect: false }),

  'false claims cost others few messages': pages(2, async (a, b, network) => {
    const stranger = new Stranger(network);
    await network.run(SOON);
    const before = network.said.length;
    for (let i = 0; i < 1_000; i++) stranger.link.send(` now 2 ${i}`);
    await network.run(SOON);
    ok(network.said.length - before <= 10, `${network.said.length - before} messages`);
    await network.run(20_000);
    ok(!a.met.has(3) || a.relay.path(3), 'gone or as before');
  }),

  'a flood that waits for the relay closes the connection': async () => {
    for (const much of [`much ${'x'.repeat(1_000)}`, new TextEncoder().encode(`much ${'x'.repeat(1_000)}`)]) {
      await pages(1, async (a, network) => {
        const stranger = new Stranger(network);
        await network.run(SOON);
        stranger.link.send(' path 9');
        for (let i = 0; i < 1_100; i++) stranger.link.send(much);
        await network.run(100);
        equal([a.relay.path(2), network.openConnections], ['relay', 0]);
        equal(a.met.get(2).other, []);
      }, { connect: false })();
    }
  },

  'whoever acknowledges nothing loses the connection, and misses nothing': pages(1, async (a, network) => {
    const stranger = new Stranger(network);
    await network.run(SOON);
    for (let i = 0; i < 1_100; i++) a.relay.send(`much ${'x'.repeat(1_000)}`, 2);
    stranger.link.beat(' pulse x');
    await network.run(100);
    equal(a.relay.path(2), 'relay');
    equal(stranger.heard.filter(message => message.startsWith('1 much')).length, 1_100);
  }, { connect: false }),

  'whose channel breaks when it is asked for a proof is gone, and nobody else': pages(1, async (a, network) => {
    const stranger = new Stranger(network);
    await network.run(SOON);
    const b = new Page(network).enter();
    await network.run(SOON);
    const from = a.events.length;
    network.stopRelay();
    stranger.link.send(' now 77 x');
    await network.run(20);
    network.begun[0].channels[0].send = () => {
      throw new TypeError('longer than the other side takes, as it has said');
    };
    a.enter();
    b.enter();
    await network.run(SOON);
    equal(since(a, from), ['rename 2 2147483648', 'rename 3 2147483649', 'self 1', 'quit 2147483648',
      'rename 2147483649 2']);
    meshed([a, b]);
    b.relay.close();
  }, { connect: false }),

  'nonsense over a channel or in what this module says changes nothing': pages(1, async (a, network) => {
    const stranger = new Stranger(network);
    await network.run(SOON);
    const nonsense = ['', ' ', ' pulse', ' pulse x', ' pulse 1e999', ' path', ' path x', ' path 0', ' now',
      ` now 2 ${'x'.repeat(200)}`, ' secret', ' '.repeat(500)];
    for (const message of nonsense) {
      for (const isLossy of [false, true]) {
        stranger.link.send(message, isLossy);
        stranger.link.send(new TextEncoder().encode(message), isLossy);
      }
    }
    for (const message of ['path', 'path x', 'path relay 99', 'path webrtc 1e5', 'reunite', 'answer', 'candidate',
      'candidate x', 'offer']) stranger.say(message, 1);
    stranger.way.send(new TextEncoder().encode('bytes x'), 1);
    await network.run(SOON);
    equal(since(a, 0), ['self 1', 'join 2']);
    ok(!stranger.heard.some(message => message.includes('x'.repeat(200))), 'nothing repeated');
    equal(a.relay.send('hello', 2), true);
    await network.run(SOON);
    ok(stranger.channel.includes('hello'), 'still connected');
  }, { connect: false }),
};
