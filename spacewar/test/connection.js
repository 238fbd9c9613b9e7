// SPDX-License-Identifier: MIT

// One connection between two sides: how it opens, fails, gets well again and ends, and what it refuses.

import { BEAT_MS, Connection } from '../connection.js';
import { equal, ok } from './check.js';
import { Network } from './network.js';

const SDP = 'v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=fingerprint:sha-256 AB\r\n';

/** A connection and what it told. What it signals is brought to `peer` after 5 ms, and kept in `signals`. */
class Side {
  log = [];
  signals = [];
  peer = null;

  constructor(network, offers, configuration = Promise.resolve({})) {
    this.connection = new Connection({
      offers,
      configuration,
      signal: (msgtype, data) => {
        this.signals.push([msgtype, data]);
        network.after(5, () => this.peer?.connection.receive(msgtype, data));
      },
      onstate: state => this.log.push(state),
      onmessage: (message, isLossy) => message === ' beat' || this.log.push(isLossy ? `~${message}` : message),
    });
    const beat = () => {
      this.connection.beat(' beat');
      network.after(BEAT_MS, beat);
    };
    network.after(BEAT_MS, beat);
  }

  types() {
    return this.signals.map(([msgtype]) => msgtype);
  }
}

/** Runs a test with two sides that are connected, or one whose peer is the test. */
function pair(test) {
  return () => {
    const network = new Network();
    return network.during(async () => {
      const [a, b] = [new Side(network, true), new Side(network, false)];
      [a.peer, b.peer] = [b, a];
      await network.run(100);
      await test(a, b, network);
    });
  };
}

function alone(offers, test, configuration) {
  return () => {
    const network = new Network();
    return network.during(async () => {
      const side = new Side(network, offers, configuration?.());
      await network.run(10);
      await test(side, network);
    });
  };
}

export default {
  'it opens with an offer, an answer and candidates, each by itself': pair(async (a, b) => {
    equal([a.log, b.log], [['open'], ['open']]);
    equal([a.types(), b.types()], [['offer', 'candidate', 'candidate'], ['answer', 'candidate', 'candidate']]);
    ok(!a.signals[0][1].includes('candidate'), 'none in the offer');
  }),

  'both channels carry messages both ways, text and bytes': pair(async (a, b, network) => {
    a.connection.send('1');
    b.connection.send('2', true);
    a.connection.send(new Uint8Array([1, 2]));
    await network.run(100);
    equal([a.log, b.log], [['open', '~2'], ['open', '1', new Uint8Array([1, 2])]]);
  }),

  'what may get lost does rather than wait behind much': pair(async (a, b, network) => {
    const [connection] = network.connections;
    const lossy = connection.channels[1];
    lossy.bufferedAmount = 20_000;
    a.connection.send('late', true);
    lossy.bufferedAmount = 10_000;
    a.connection.send('early', true);
    await network.run(100);
    equal(b.log, ['open', '~early']);
  }),

  'a configuration that takes long delays what is taken, and loses nothing': () => {
    const network = new Network();
    return network.during(async () => {
      const a = new Side(network, true);
      const b = new Side(network, false, new Promise(resolve => network.after(900, () => resolve({}))));
      [a.peer, b.peer] = [b, a];
      await network.run(1_000);
      equal([a.log, b.log], [['open'], ['open']]);
    });
  },

  'silence degrades it within 3 s, a word opens it again': pair(async (a, b, network) => {
    network.blocked = true;
    await network.run(3_000);
    equal([a.log, b.log], [['open', 'degraded'], ['open', 'degraded']]);
    network.blocked = false;
    await network.run(1_000);
    equal([a.log, b.log], [['open', 'degraded', 'open'], ['open', 'degraded', 'open']]);
  }),

  'being degraded now and then is no reason to close': pair(async (a, b, network) => {
    for (let i = 0; i < 4; i++) {
      network.blocked = true;
      await network.run(12_000);
      network.blocked = false;
      await network.run(1_000);
    }
    equal([a.connection.state, b.connection.state], ['open', 'open']);
  }),

  'one that stays degraded for 20 s is closed': pair(async (a, b, network) => {
    network.blocked = true;
    await network.run(21_000);
    equal([a.log.at(-1), b.log.at(-1)], ['degraded', 'degraded']);
    await network.run(3_000);
    equal([a.log, b.log], [a, b].map(() => ['open', 'degraded', 'closed']));
    equal(network.openConnections, 0);
  }),

  'one whose ICE has failed is closed at once, opened or not': async () => {
    await pair(async (a, b, network) => {
      network.connections[0].fail();
      equal([a.log, network.connections[0].closed], [['open', 'closed'], true]);
    })();
    await alone(true, async (side, network) => {
      network.connections[0].fail();
      equal(side.log, ['closed']);
    })();
  },

  'what does not open within 20 s is closed, whatever it waits for': async () => {
    for (const offers of [true, false]) {
      for (const configuration of [undefined, () => new Promise(() => {})]) {
        await alone(offers, async (side, network) => {
          await network.run(19_000);
          equal(side.log, []);
          await network.run(2_000);
          equal(side.log, ['closed']);
          equal(network.openConnections, 0);
        }, configuration)();
      }
    }
  },

  'one that the other side closes is closed at once, and only once': pair(async (a, b, network) => {
    a.connection.close();
    a.connection.close();
    await network.run(100);
    equal([a.log, b.log], [['open', 'closed'], ['open', 'closed']]);
    a.connection.send('1');
    a.connection.beat('');
    a.connection.receive(...b.signals[0]);
    a.connection.receive(...b.signals[1]);
    network.connections[0].channels[0].onmessage({ data: 'late' });
    network.connections[0].onicecandidate({ candidate: { candidate: b.signals[1][1] } });
    network.connections[0].fail();
    equal(a.signals.length, 3);
    await network.run(30_000);
    equal(a.log, ['open', 'closed']);
    equal(network.openConnections, 0);
  }),

  'one that is closed before it began makes no connection': alone(true, async side => {
    side.connection.close();
    equal(side.log, ['closed']);
  }),

  'browsers that refuse to make a connection, or to send, close it': async () => {
    const refused = () => Promise.resolve({ iceTransportPolicy: 'none' });
    await alone(true, async side => equal(side.log, ['closed']), refused)();
    await pair(async (a, b, network) => {
      network.connections[0].channels[0].send = () => {
        throw new DOMException('full', 'OperationError');
      };
      a.connection.send('1');
      equal(a.log, ['open', 'closed']);
    })();
  },

  // ---- Strangers ----

  'descriptions of anything but data channels are refused, before there is a connection': async () => {
    const whole = `${SDP}a=fake:1 1\r\n`;
    const refused = ['', 'garbage', new Uint8Array(9), undefined, whole.replace(/m=.*\r\n/, ''),
      ...['audio 9 X', 'applications 9 X'].map(media => whole.replace(/m=.*/, `m=${media}`)),
      ...['m=video 9 X', 'm=application 9 X', 'a=x\rm=audio 9 X', 'a=x\nm=audio 9 X', 'M=audio 9 X', ' m=x', 'x'].map(
        line => `${whole}${line}\r\n`),
      `${whole}a=${'x'.repeat(17_000)}\r\n`,
      // Some browsers know an attribute in such disguises, too.
      ...['a= fingerprint:sha-256 CD', 'a=fingerprint sha-256 CD', 'a=fingerprint\t:sha-256 CD',
        'a=:fingerprint:sha-256 CD', 'a= candidate:1 1 tcp 9 localhost 9 typ host'].map(
        line => `${whole}${line}\r\n`)];
    for (const sdp of refused) {
      await alone(false, async (side, network) => {
        const connections = network.connections.length;
        side.connection.receive('offer', sdp);
        await network.run(100);
        equal([side.log, side.signals], [['closed'], []], `for ${String(sdp).slice(0, 99)}`);
        equal(network.connections.length, connections);
      })();
    }
  },

  'a description that the browser refuses closes the connection': alone(false, async (side, network) => {
    side.connection.receive('offer', SDP);
    await network.run(10);
    equal([side.log, network.openConnections], [['closed'], 0]);
  }),

  'candidates within a description are not for the browser': alone(false, async (side, network) => {
    new RTCPeerConnection({});
    const lines = Array.from({ length: 70 }, (_, i) => `a=candidate:${i} 1 udp 1 10.0.0.${i} 9 typ host\r\n`);
    side.connection.receive('offer', `${SDP}a=fake:2 1\r\n${lines.join('')}`);
    await network.run(10);
    equal(side.types()[0], 'answer');
    ok(!network.connections[0].remoteDescription.sdp.includes('candidate'), 'taken out');
  }),

  'of a second description nothing is taken': pair(async (a, b, network) => {
    for (const data of [`${SDP}a=fake:1 2\r\n`, 'garbage', undefined]) {
      b.connection.receive('offer', data);
      a.connection.receive('answer', data);
    }
    await network.run(10);
    equal([a.log, b.log, a.types().length, b.types().length], [['open'], ['open'], 3, 3]);
  }),

  'who offered takes no offer, and who answers no answer': pair(async (a, b, network) => {
    for (let i = 0; i < 5; i++) {
      a.connection.receive('offer', SDP);
      b.connection.receive('answer', SDP);
    }
    await network.run(10);
    equal([a.log, b.log], [['open'], ['open']]);
  }),

  'of thousands of candidates 32 are used, and none before the description': async () => {
    const candidate = i => `candidate:${i} 1 udp 1 10.0.0.1 2 typ host`;
    await alone(false, async (side, network) => {
      new RTCPeerConnection({});
      for (let i = 0; i < 5_000; i++) side.connection.receive('candidate', candidate(i));
      side.connection.receive('offer', `${SDP}a=fake:2 1\r\n`);
      for (let i = 0; i < 5_000; i++) side.connection.receive('candidate', candidate(i));
      await network.run(10);
      equal(network.connections[0].added.length, 32);
    })();
  },

  'candidates are addresses, and reached by UDP': pair(async (a, b, network) => {
    const line = (address, rest = 'typ host', port = '1') => `candidate:1 1 udp 1 ${address} ${port} ${rest}`;
    const good = [line('10.0.0.1'), line('fe80::1'), line('0b9a-4c.local'), line('1.2.3.4').replace('udp', 'UDP'),
      line('10.0.0.1', 'typ srflx raddr 0.0.0.0 rport 0 ufrag x')];
    const bad = ['', 'candidate', line('example.com'), line('a.b.local'), line('local'),
      line('10.0.0.1').replace('udp', 'tcp'), line('1.2.3.4', 'typ x'), line('1.2.3.4', 'typ hosts'),
      line('1.2.3.4', 'x'), line('1.2.3.4', 'typ host', '123456'), ` ${good[0]}`, `a=${good[0]}`,
      `${good[0]} ${'x'.repeat(300)}`, `${good[0]}\r\na=x`, new Uint8Array(3), undefined];
    const [, connection] = network.connections;
    connection.added = [];
    connection.addIceCandidate = async ({ candidate }) => {
      connection.added.push(candidate);
      throw new DOMException('not this one', 'OperationError');
    };
    for (const candidate of [...bad, ...good]) b.connection.receive('candidate', candidate);
    await network.run(10);
    equal(connection.added, good);
    equal(b.log, ['open'], 'though the browser refused them');
  }),

  'a channel that we did not agree on ends it': pair(async (a, b, network) => {
    network.connections[0].ondatachannel({});
    equal(a.log, ['open', 'closed']);
  }),
};
