// SPDX-License-Identifier: MIT

// The skew of clocks behind delays that jitter, and the numbers of the timing panel.

import { PeerClock } from '../clock.js';
import { random } from '../random.js';
import { equal, near, ok } from './check.js';

const HOUR = 3_600_000;

/** Pings as netplay.js sends them; the greatest error of the skew from `after` on. */
function worst({ delay = 50, jitter = 10, drift = 0, skew = 5 * HOUR, after = 10_000, minutes = 4, seed = 1 }) {
  const chance = random(seed);
  const clock = new PeerClock();
  const way = () => delay + jitter * (2 * chance() - 1);
  let error = 0;
  for (let now = 0, i = 0; now < minutes * 60_000; now += ++i < 8 ? 200 : 2_000) {
    const there = way();
    const arrived = now + there;
    clock.ping(now);
    const back = arrived + way();
    clock.pong(now, arrived * (1 + drift) + skew, back);
    if (now >= after) error = Math.max(error, Math.abs(clock.skew - skew - back * drift));
  }
  return error;
}

/** A clock with round trips of these ms, one a second; null stands for a lost one. */
function clockWith(...trips) {
  const clock = new PeerClock();
  trips.forEach((trip, i) => {
    clock.ping(i * 1_000);
    if (trip !== null) clock.pong(i * 1_000, 7 * HOUR + i * 1_000 + trip / 2, i * 1_000 + trip);
  });
  return clock;
}

export default {
  'the skew is unknown until the first pong, and known with it': () => {
    const clock = new PeerClock();
    clock.ping(1_000);
    equal(clock.skew, null);
    clock.pong(1_000, 91_050, 1_100);
    near(clock.skew, 90_000, 1e-9);
  },

  'without jitter the skew is exact': () => {
    ok(worst({ jitter: 0, after: 0 }) < 1e-6);
  },

  'a burst of pings finds the skew within a few ms behind 20 ms of jitter each way': () => {
    for (let seed = 1; seed <= 20; seed++) {
      const error = worst({ seed, after: 1_400, minutes: 0.2 });
      ok(error < 5, `an error of ${error} ms with seed ${seed}`);
    }
  },

  'after half a minute it is closer than 6 ms': () => {
    for (let seed = 1; seed <= 20; seed++) {
      const error = worst({ seed, after: 30_000 });
      ok(error < 6, `an error of ${error} ms with seed ${seed}`);
    }
  },

  'a clock that drifts by 200 ppm is followed': () => {
    for (let seed = 1; seed <= 20; seed++) {
      const [steady, jittery] = [{ jitter: 0 }, {}].map(path => worst({ ...path, seed, drift: 200e-6, after: 60_000 }));
      ok(steady < 1.5, `an error of ${steady} ms without jitter`);
      ok(jittery < 6, `an error of ${jittery} ms with jitter and seed ${seed}`);
    }
  },

  'a clock that leaps, as after sleep, is believed at once': () => {
    const clock = new PeerClock();
    for (let now = 0; now < 20_000; now += 2_000) {
      clock.ping(now);
      clock.pong(now, now + 500, now + 40);
    }
    clock.ping(20_000);
    equal(clock.pong(20_000, 20_020 + 9_000, 20_040), true, 'told');
    near(clock.skew, 9_000, 1e-9);
  },

  'the least is the least and the greatest the greatest': () => {
    const { rtt, least, mean, greatest, jitter, loss } = clockWith(90, 100, 9, 1_000, 41).statistics(10_000);
    equal({ rtt, least, mean, greatest, loss }, { rtt: 41, least: 9, mean: 248, greatest: 1_000, loss: 0 });
    near(jitter, (10 + 91 + 991 + 959) / 4, 1e-9);
  },

  'what is unknown is null': () => {
    const unknown = { skew: null, rtt: null, least: null, mean: null, greatest: null, jitter: null, loss: null };
    equal(new PeerClock().statistics(0), unknown);
    equal(clockWith(50).statistics(1_000).jitter, null, 'the jitter of one round trip');
  },

  'a ping without a pong is lost after some seconds, and not before': () => {
    const clock = clockWith(50, 50, 50, null);
    equal(clock.statistics(3_100).loss, 0);
    equal(clock.statistics(7_000).loss, 0.25);
  },

  'the numbers are those of the last minute': () => {
    const clock = clockWith(500, 20);
    clock.ping(60_500);
    equal(clock.statistics(60_500).greatest, 20);
  },

  'a pong that answers no ping, or the same again, counts for nothing': () => {
    const clock = clockWith(50);
    clock.pong(0, 1e12, 70);
    clock.pong(5, 1e12, 70);
    near(clock.skew, 7 * HOUR, 1e-6);
    equal(clock.statistics(100).greatest, 50);
  },
};
