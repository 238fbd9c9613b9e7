// SPDX-License-Identifier: MIT

// How far a peer's clock is ahead of ours, and how long messages take. Nobody's wall clock is asked:
// all readings are performance.now(), which counts from when each page was opened.
//
// A ping carries our clock, the pong that reading and the peer's own. One way then seems to take the
// delay plus the skew, the other the delay minus the skew. Delays jitter, but never below what the
// path needs, so the least of each way over half a minute is the path itself, and half of what they
// differ by is the skew, if both ways are equally long. (Nothing can tell if they are not.) The two
// leasts need not come from the same ping, which makes this good sooner than the least round trip.
//
// Quartz clocks also drift apart, by some 50 µs each second, which in half a minute hides behind no
// jitter. The drift is what the skew of the newer readings has over that of the older ones. That is a
// difference of two noisy numbers, but it hardly changes in an hour: so it is averaged for as long as
// the peer is here, beginning with none, and taken out of the readings.

const STATISTICS_MS = 60_000; // ms that pings are kept for the statistics
const SKEW_MS = 30_000;       // ms of them that the skew is taken from
const LOST_MS = 3_000;        // ms after which a ping without a pong counts as lost
const SETTLED = 8;            // readings after which the skew changes ...
const GENTLY = 0.25;          // ... by this much of a difference at a time
const DRIFT_MS = 15_000;      // ms that readings must span before they tell a drift from jitter ...
const DOUBT = 8;           // ... and how many times they must, until half of it is believed
const DRIFT = 500e-6;      // the greatest that is believed
const CLOCK_LEAP_MS = -30; // ms: a sum of both leasts that only a clock which leapt can make

export class PeerClock {
  skew = null;             // ms that the peer's clock is ahead of ours; null until the first pong
  #drift = 0;              // by how much that grows in a ms
  #drifts = 0;             // measured so far
  #setAt = 0;              // when the skew was set
  #pings = [];             // { sent, rtt, there, back }, the latter three null until answered

  /** Notes a ping sent now. */
  ping(now) {
    while (this.#pings.length && now - this.#pings[0].sent > STATISTICS_MS) this.#pings.shift();
    this.#pings.push({ sent: now, rtt: null, there: null, back: null });
  }

  /** Notes the answer to the ping sent at `sent`, which the peer read at `read` on its own clock. */
  pong(sent, read, now) {
    const ping = this.#pings.findLast(ping => ping.sent === sent);
    if (!ping || ping.rtt !== null || now < sent) return;
    Object.assign(ping, { rtt: now - sent, there: read - sent, back: now - read });
    const leapt = sumOfLeasts(this.#answered) < CLOCK_LEAP_MS;
    if (leapt) {
      this.#pings = [ping];
      this.#drift = this.#drifts = 0;
    }
    this.#set(this.#answered.filter(({ sent }) => now - sent <= SKEW_MS), now);
    return leapt;
  }

  #set(readings, now) {
    if (!readings.length) return;   // the pong took longer than the window
    this.#watchDrift(readings);
    const drift = this.#drift;
    const level = readings.map(({ sent, there, back }) => {
      const grown = drift * (now - sent);
      return { sent, there: there + grown, back: back - grown };
    });
    const { skew } = skewOf(level);
    const expected = this.skew === null ? skew : this.skew + drift * (now - this.#setAt);
    this.skew = expected + (skew - expected) * (readings.length > SETTLED ? GENTLY : 1);
    this.#setAt = now;
  }

  #watchDrift(readings) {
    const [first, last] = [readings[0].sent, readings.at(-1).sent];
    if (last - first < DRIFT_MS) return;
    const middle = (first + last) / 2;
    const older = skewOf(readings.filter(({ sent }) => sent < middle));
    const newer = skewOf(readings.filter(({ sent }) => sent >= middle));
    const drift = Math.max(-DRIFT, Math.min(DRIFT, (newer.skew - older.skew) / (newer.at - older.at)));
    this.#drift += (drift - this.#drift) / (++this.#drifts + DOUBT);
  }

  /** Of the last minute, in ms, and the share of pings that were lost; null is what is not known yet. */
  statistics(now) {
    const trips = this.#answered.map(({ rtt }) => rtt);
    const due = this.#pings.filter(({ sent, rtt }) => rtt !== null || now - sent > LOST_MS);
    const changes = trips.slice(1).map((rtt, i) => Math.abs(rtt - trips[i]));
    return {
      skew: this.skew,
      rtt: trips.at(-1) ?? null,
      least: trips.length ? Math.min(...trips) : null,
      mean: mean(trips),
      greatest: trips.length ? Math.max(...trips) : null,
      jitter: mean(changes),
      loss: due.length ? 1 - trips.length / due.length : null,
    };
  }

  get #answered() {
    return this.#pings.filter(({ rtt }) => rtt !== null);
  }
}

/** The skew by the least of each way, and the time between those two for which it holds. */
function skewOf(readings) {
  const there = leastBy(readings, 'there');
  const back = leastBy(readings, 'back');
  return { skew: (there.there - back.back) / 2, at: (there.sent + back.sent) / 2 };
}

function sumOfLeasts(readings) {
  return leastBy(readings, 'there').there + leastBy(readings, 'back').back;
}

function leastBy(readings, way) {
  return readings.reduce((least, reading) => reading[way] < least[way] ? reading : least);
}

function mean(values) {
  return values.length ? values.reduce((sum, value) => sum + value) / values.length : null;
}
