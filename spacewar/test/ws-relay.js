// SPDX-License-Identifier: MIT

// How ws-relay.js reaches a relay, and reaches it again, in virtual time, with WebSockets and a fetch of this
// file's own.

import { WebSocketRelay } from '../ws-relay.js';
import { equal, ok } from './check.js';

const ROOM = 'ws://relay.test:8080/ws-relay/game?a=b';
const ASKED = 'http://relay.test:8080/ws-relay/game?a=b';
const TURNS = 20;   // of the microtask queue after each event: more than any promise here needs

class FakeSocket {
  readyState = 0;
  bufferedAmount = 0;
  sent = [];

  send(message) {
    this.sent.push(message);
  }

  close(code) {
    this.closedWith = code;
  }

  open() {
    this.readyState = 1;
    this.onmessage({ data: '1 self' });
  }

  lose() {
    this.onclose({ code: 1006, reason: '' });
  }
}

/** What a page has around it. */
class Page {
  time = 0;
  sockets = [];          // that were opened
  asked = [];            // fetches: { url, options }
  statuses = [];         // as told
  answer = null;         // status of the answer to a fetch; null: nobody is there; undefined: it never comes
  #timers = new Map();   // by number: { at, action }
  #numbers = 0;

  /** Runs a test in it. @param replaced globals that are other ones meanwhile */
  static async during(test, replaced = {}) {
    const page = new Page();
    const all = {
      setTimeout: (action, ms) => {
        page.#timers.set(++page.#numbers, { at: page.time + ms, action });
        return page.#numbers;
      },
      clearTimeout: number => page.#timers.delete(number),
      performance: { now: () => page.time },
      fetch: (url, options) => page.#fetch(url, options),
      ...replaced,
    };
    const real = Object.keys(all).map(name => [name, Object.getOwnPropertyDescriptor(globalThis, name)]);
    for (const [name, value] of Object.entries(all)) {
      Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
    }
    try {
      await test(page);
      page.relay?.close();
    } finally {
      for (const [name, property] of real) Object.defineProperty(globalThis, name, property);
    }
  }

  #fetch(url, options) {
    this.asked.push({ url, options });
    if (this.answer === null) return Promise.reject(new TypeError('nobody is there'));
    return this.answer === undefined ? new Promise(() => {}) : Promise.resolve({ status: this.answer });
  }

  async join(open = () => this.sockets[this.sockets.push(new FakeSocket()) - 1]) {
    this.relay = new WebSocketRelay('http://relay.test:8080/game?a=b#c', { open });
    this.relay.onstatus = status => this.statuses.push(status);
    await settled();
    return this.relay;
  }

  /** Joins a room, and loses the relay. */
  async joinAndLose() {
    await this.join();
    this.sockets[0].open();
    this.sockets[0].lose();
  }

  async run(ms) {
    const end = this.time + ms;
    for (;;) {
      const [number, next] = [...this.#timers].sort(([, a], [, b]) => a.at - b.at)[0] ?? [];
      if (!(next?.at <= end)) break;
      this.#timers.delete(number);
      this.time = next.at;
      next.action();
      await settled();
    }
    this.time = end;
  }
}

async function settled() {
  for (let i = 0; i < TURNS; i++) await null;
}

/** How many WebSockets are opened in a minute without a relay, if fetches are answered so. */
async function openedInAMinute(answer, replaced) {
  let opened;
  await Page.during(async page => {
    page.answer = answer;
    await page.joinAndLose();
    for (let seconds = 0; seconds < 60; seconds++) {
      await page.run(1_000);
      if (page.relay.status === 'connecting') page.sockets.at(-1).lose();
    }
    opened = page.sockets.length - 1;
  }, replaced);
  return opened;
}

export default {
  'the first WebSocket is opened at once, and nobody is asked': () => Page.during(async page => {
    const relay = await page.join();
    equal([relay.url, page.sockets.length, page.asked.length, page.time], [ROOM, 1, 0, 0]);
    page.sockets[0].open();
    equal([relay.status, relay.id], ['open', 1]);
  }),

  'another one is opened when the relay answers, and not before': () => Page.during(async page => {
    await page.joinAndLose();
    await page.run(60_000);
    equal(page.sockets.length, 1, 'WebSockets while it is away');
    ok(page.asked.length > 25, `asked ${page.asked.length} times in a minute`);
    page.answer = 426;
    await page.run(2_000);
    equal(page.sockets.length, 2, 'WebSockets when it is back');
    page.sockets[1].open();
    equal([page.relay.status, page.relay.id], ['open', 1]);
    equal(page.statuses.slice(0, 5), ['connecting', 'open', 'closed', 'connecting', 'closed']);
  }),

  'also if the first one has not reached it': () => Page.during(async page => {
    await page.join();
    page.sockets[0].lose();
    await page.run(60_000);
    equal(page.sockets.length, 1, 'WebSockets while it is away');
    page.answer = 426;
    await page.run(2_000);
    equal(page.sockets.length, 2, 'WebSockets when it is there');
  }),

  'asked is the room itself, which proxies pass on as they do a WebSocket': () => Page.during(async page => {
    await page.joinAndLose();
    await page.run(1_000);
    const { url, options: { method, mode, cache } } = page.asked[0];
    equal([url, method, mode, cache], [ASKED, 'HEAD', undefined, 'no-store']);
  }),

  'any answer will do, but that of a proxy which does not reach the relay': async () => {
    for (const status of [502, 503, 504]) equal(await openedInAMinute(status), 0, `WebSockets at ${status}`);
    for (const status of [426, 400, 404, 200]) ok(await openedInAMinute(status) > 20, `WebSockets at ${status}`);
  },

  'without a fetch, WebSockets are opened': async () => {
    ok(await openedInAMinute(null, { fetch: undefined }) > 20, 'WebSockets');
  },

  'what a Content-Security-Policy forbids is not asked again': async () => {
    const violation = { disposition: 'enforce', blockedURI: 'http://relay.test:8080/ws-relay/game' };
    const forbidden = async detail => {
      let opened;
      await Page.during(async page => {
        await page.joinAndLose();
        dispatchEvent(new SecurityPolicyViolationEvent('securitypolicyviolation',
          { violatedDirective: 'connect-src', effectiveDirective: 'connect-src', originalPolicy: '', documentURI: '',
            statusCode: 200, ...detail }));
        await page.run(1_000);
        opened = page.sockets.length - 1;
      });
      return opened;
    };
    equal(await forbidden(violation), 1, 'WebSockets');
    equal(await forbidden({ ...violation, blockedURI: 'http://relay.test:8080' }), 1, 'WebSockets, origin told');
    equal(await forbidden({ ...violation, disposition: 'report' }), 0, 'WebSockets, if it is only reported');
    equal(await forbidden({ ...violation, blockedURI: 'http://other.test/' }), 0, 'WebSockets, if another is');
  },

  'a page whose fetches alone fail is back after 90 s': () => Page.during(async page => {
    await page.joinAndLose();
    await page.run(89_000);
    equal(page.sockets.length, 1, 'WebSockets until then');
    await page.run(4_000);
    equal(page.sockets.length, 2, 'WebSockets');
    page.sockets[1].open();
    equal(page.relay.status, 'open');
  }),

  'whoever does not answer is asked again after 10 s': () => Page.during(async page => {
    page.answer = undefined;
    await page.joinAndLose();
    await page.run(9_000);
    equal([page.asked.length, page.asked[0].options.signal.aborted], [1, false]);
    await page.run(2_000);
    equal([page.asked.length, page.asked[0].options.signal.aborted, page.sockets.length], [2, true, 1]);
  }),

  'whoever has left while the relay is asked stays away': () => Page.during(async page => {
    await page.joinAndLose();
    page.answer = 426;
    page.relay.onstatus = status => status === 'connecting' && page.relay.close();
    await page.run(60_000);
    equal([page.sockets.length, page.asked.length <= 1, page.relay.status], [1, true, 'closed']);
  }),

  'a connection that breaks without a close code is told as 1006': () => Page.during(async page => {
    const relay = await page.join();
    const codes = [];
    relay.onstatus = (status, { code }) => codes.push(code);
    page.sockets[0].open();
    page.sockets[0].onclose({ code: 0, reason: '' });   // as in Deno
    equal(codes, [undefined, 1006]);
  }),

  'bytes go out after their receiver': () => Page.during(async page => {
    const relay = await page.join();
    page.sockets[0].open();
    ok(relay.send(new Uint8Array([97, 32, 0, 255]), 7), 'sent');
    ok(!relay.send(new Uint8Array([32, 97]), 7), 'refused without a type');
    equal(page.sockets[0].sent.map(bytes => [...bytes].join(' ')), ['55 32 97 32 0 255']);
  }),

  'what a handler throws is reported, and ends there': async () => {
    const reported = [];
    await Page.during(async page => {
      const relay = await page.join();
      const mistake = new Error('a mistake');
      relay.onself = () => {
        throw mistake;
      };
      page.sockets[0].open();
      equal([reported, relay.status], [[mistake], 'open']);
    }, { reportError: error => reported.push(error) });
  },

  'an address that is none, or no relay’s, is told': () => {
    for (const [address, part] of [['file:///game', 'no relay at file:'], ['http://[', 'ws://host:8080/game']]) {
      let told = '';
      try {
        new WebSocketRelay(address);
      } catch (error) {
        told = `${error.name}: ${error.message}`;
      }
      ok(told.startsWith('TypeError: ') && told.includes(part), `${address}: ${told}`);
    }
  },
};
