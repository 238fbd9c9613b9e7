// SPDX-License-Identifier: MIT

// The sounds, rendered to samples and looked at: loud enough, never too loud, and without a click.
//
// What is a click? By Bernstein's inequality, sound up to F Hz that stays within ±A changes by at most
// 2πFA a second, so that neighbouring samples are no further apart than 2πFA / rate. A gain that jumps
// makes more of it. F is twice the highest pitch that a sound names, as a filter is a slope, not a wall.

import { ENGINE, SILENT_MS, SOUNDS, Sound, Synth } from '../sound.js';
import { equal, near, ok } from './check.js';

const RATE = 44_100;
const QUIET = 0.002;  // -54 dB: nobody hears it beside anything else

/** What comes out when `play` tells a synth what to do, as samples. */
async function render(seconds, play) {
  const context = new OfflineAudioContext(1, seconds * RATE, RATE);
  play(new Synth(context));
  return (await context.startRendering()).getChannelData(0);
}

function measure(samples) {
  let [peak, step, sum, square] = [0, 0, 0, 0];
  for (let i = 0; i < samples.length; i++) {
    peak = Math.max(peak, Math.abs(samples[i]));
    if (i) step = Math.max(step, Math.abs(samples[i] - samples[i - 1]));
    sum += samples[i];
    square += samples[i] ** 2;
  }
  return { peak, step, dc: sum / samples.length, loudness: Math.sqrt(square / samples.length) };
}

const peakOf = samples => measure(samples).peak;
const part = (samples, from, to) => samples.subarray(Math.round(from * RATE), Math.round(to * RATE));
const highest = layers => Math.max(...layers.flatMap(({ pitch }) => pitch.map(([, hertz]) => hertz)));
const lengthOf = layers => Math.max(...layers.map(({ gain }) => gain.at(-1)[0]));

function checkClean(samples, pitch, what) {
  const { peak, step, dc } = measure(samples);
  const limit = 2 * Math.PI * 2 * pitch * peak / RATE;
  ok(peak <= 0.98, `${what} peaks at ${peak}, which should be at most 0.98`);
  ok(step <= limit, `${what} steps by ${step}, which should be at most ${limit}, or it clicks`);
  near(dc, 0, 0.002, `the mean of ${what}`);
}

/** A context that says that it runs, and notes what it is asked for. */
class Running extends OfflineAudioContext {
  running = true;
  made = 0;        // how often a sound has asked for it
  resumed = 0;
  suspended = 0;

  constructor() {
    super(1, RATE, RATE);
  }

  get state() {
    return this.running ? 'running' : 'suspended';
  }

  async resume() {
    this.resumed++;
  }

  async suspend() {
    this.running = false;
    this.suspended++;
  }
}

function soundOn(context) {
  return new Sound(() => {
    context.made++;
    return context;
  });
}

async function heard(play) {
  const context = new Running();
  const sound = soundOn(context);
  sound.wake();
  play(sound, context);
  return peakOf((await context.startRendering()).getChannelData(0));
}

const mine = { id: 0 };
const theirs = { id: 7 };

export default {
  'every layer rises from silence and falls back to it': () => {
    for (const [name, layers] of Object.entries(SOUNDS)) {
      for (const { pitch, gain } of layers) {
        equal([gain[0][1], gain.at(-1)[1]], [0, 0], `${name}, first and last gain`);
        for (const points of [pitch, gain]) {
          ok(points.every(([time], i) => i === 0 || time > points[i - 1][0]), `${name}, later and later`);
        }
        ok(pitch.every(([, hertz]) => hertz > 0 && hertz < RATE / 4), `${name}, pitches`);
      }
    }
  },

  'a sine that is cut off is found to click': async () => {
    const samples = await render(0.5, synth => synth.play('returned'));
    checkClean(samples, highest(SOUNDS.returned), 'the whole one');
    const cut = samples.slice();
    let at = 0.1 * RATE;
    while (Math.abs(cut[at]) < peakOf(samples) / 2) at++;
    cut.fill(0, at);
    let found = false;
    try {
      checkClean(cut, highest(SOUNDS.returned), 'the cut one');
    } catch {
      found = true;
    }
    ok(found, 'the click is found');
  },

  'a synth that is told nothing is silent': async () => {
    equal(peakOf(await render(0.5, () => {})), 0, 'peak');
  },

  ...Object.fromEntries(Object.entries(SOUNDS).map(([name, layers]) => [
    `${name}: audible, clean, from silence to silence`, async () => {
      const length = lengthOf(layers);
      const samples = await render(0.1 + length + 0.3, synth => synth.play(name, 1, 0.1));
      checkClean(samples, highest(layers), name);
      // Firefox's compressor raises what is short by less than others do: to 0.015, not 0.055, of the shortest.
      ok(peakOf(samples) > 0.01, `${name}, audible, peaks at ${peakOf(samples)}`);
      equal(peakOf(part(samples, 0, 0.1)), 0, 'peak before it');
      ok(peakOf(part(samples, 0.1, 0.101)) < peakOf(samples) / 2, 'begins with a ramp');
      ok(peakOf(part(samples, 0.1 + length + 0.1, 0.1 + length + 0.3)) < QUIET, 'silent after it');
    }])),

  'what is to begin now begins a little later, and so with all of its ramp': async () => {
    const samples = await render(0.5, synth => {
      synth.play('hit');
      synth.thrust(true);
    });
    equal(peakOf(part(samples, 0, 0.01)), 0, 'peak of the first 10 ms');
    ok(peakOf(samples) > 0.1, 'audible');
  },

  'the ticks of those who join and leave are the quietest': async () => {
    const peaks = {};
    for (const name in SOUNDS) peaks[name] = peakOf(await render(1, synth => synth.play(name)));
    const [a, b] = Object.keys(peaks).sort((p, q) => peaks[p] - peaks[q]);
    equal([a, b].sort(), ['entered', 'left'], 'quietest');
  },

  'the engine rises and falls without a click': async () => {
    const samples = await render(2, synth => {
      synth.thrust(true, 0.2);
      synth.thrust(false, 1);
      synth.thrust(true, 1.02);
      synth.thrust(false, 1.05);
    });
    checkClean(samples, ENGINE.pitch, 'the engine');
    equal(peakOf(part(samples, 0, 0.2)), 0, 'peak before it');
    ok(measure(part(samples, 0.4, 1)).loudness > 0.02, 'audible');
    ok(peakOf(part(samples, 1.5, 2)) < QUIET, 'silent after it');
  },

  'to mute and unmute does not click, and silence comes soon': async () => {
    const samples = await render(2, synth => {
      synth.thrust(true, 0);
      for (let i = 0; i < 9; i++) synth.setVolume(i % 2, 0.5 + i / 20);
    });
    checkClean(samples, ENGINE.pitch, 'the engine');
    ok(peakOf(part(samples, 0.4, 0.5)) > 0.05, 'heard before');
    ok(peakOf(part(samples, 1.3, 2)) < QUIET, 'silent after');
  },

  'a busy fight of 10 s is loud, never too loud and does not click': async () => {
    const samples = await render(12, synth => {
      for (let i = 0; i < 20; i++) synth.play('fired', 1, 0.1 + i / 2);
      for (let i = 0; i < 67; i++) synth.play('fired', 0.5, 0.13 + i * 0.149);
      for (let i = 0; i < 10; i++) synth.thrust(i % 2 === 0, 0.3 + i);
      for (let i = 0; i < 4; i++) {
        synth.play('hit', 1, 0.5 + 2.5 * i);
        synth.play('scored', 1, 0.51 + 2.5 * i);
        synth.play('destroyed', 0.5, 0.7 + 2.4 * i);
        synth.play('jumped', 1, 1 + 2.3 * i);
        synth.play('returned', 0.5, 1.2 + 2.2 * i);
      }
      for (let i = 0; i < 20; i++) synth.play('destroyed', 1, 5);  // everybody at once
    });
    checkClean(samples, highest(SOUNDS.hit), 'the fight');
    ok(measure(samples).loudness > 0.03, 'audible');
    equal(samples[0], 0, 'the first sample');
    ok(peakOf(part(samples, 11.5, 12)) < QUIET, 'silent after it');
  },

  'no more than 12 sounds at a time, and the next when one has ended': async () => {
    const many = async count => peakOf(await render(2, synth => {
      for (let i = 0; i < count; i++) synth.play('entered', 1, 0);
    }));
    equal(await many(12), await many(40), 'peak of 12 and of 40');
    ok(await many(12) > await many(1), 'and louder than one');
    const after = await render(2, synth => {
      for (let i = 0; i < 40; i++) synth.play('entered', 1, 0);
      synth.play('hit', 1, 1);
    });
    ok(peakOf(part(after, 1, 2)) > 0.1, 'the next is heard');
  },

  'there is no context before the person wakes it, and then one': () => {
    const context = new Running();
    const sound = soundOn(context);
    sound.muted = true;
    sound.muted = false;
    sound.thrust(true);
    sound.play({ type: 'fired', ship: mine }, { near: 1 });
    equal(context.made, 0, 'contexts before');
    sound.wake();
    sound.wake();
    equal([context.made, context.resumed], [1, 0], 'contexts and resumes');
    context.running = false;
    sound.wake();
    equal([context.made, context.resumed], [1, 1], 'contexts and resumes after an interruption');
  },

  'no context runs while muted': async () => {
    const context = new Running();
    const sound = soundOn(context);
    sound.muted = true;
    sound.wake();
    equal(context.made, 0, 'contexts while muted');
    sound.muted = false;
    equal([context.made, context.suspended], [1, 0], 'contexts and suspensions once unmuted');
    sound.muted = true;
    ok(SILENT_MS > 1_000 * Math.max(...Object.values(SOUNDS).map(lengthOf)), 'the longest sound ends before');
    await new Promise(done => setTimeout(done, SILENT_MS + 100));
    sound.wake();
    equal([context.suspended, context.resumed], [1, 0], 'suspensions and resumes once muted again');
    sound.muted = false;
    equal(context.resumed, 1, 'resumes once unmuted again');
  },

  'where there is no sound, nothing throws': () => {
    const sound = new Sound(() => {
      throw new DOMException('no device', 'NotSupportedError');
    });
    sound.wake();
    sound.muted = true;
    sound.thrust(true);
    sound.thrust(false);
    sound.play({ type: 'fired', ship: mine });
  },

  'one’s own ship is louder than one close by, and that than one far away': async () => {
    const peaks = [];
    for (const [ship, distance] of [[mine, 0], [theirs, 1], [theirs, 0.5], [theirs, 0]]) {
      peaks.push(await heard(sound => sound.play({ type: 'fired', ship }, { near: distance })));
    }
    ok(peaks.every((peak, i) => peak > 0.01 && (i === 0 || peak < peaks[i - 1])), peaks);
  },

  'others’ points, unknown events and what happens while suspended or muted are not heard': async () => {
    equal(await heard(sound => {
      sound.play({ type: 'scored', ship: theirs });
      sound.play({ type: 'constructor', ship: mine });
      sound.play({ type: 'whatever', ship: mine });
    }), 0, 'peak');
    equal(await heard((sound, context) => {
      context.running = false;
      sound.play({ type: 'fired', ship: mine });
      sound.thrust(true);
      context.running = true;
    }), 0, 'peak of what came while suspended');
    equal(await heard(sound => {
      sound.muted = true;
      sound.play({ type: 'fired', ship: mine });
      sound.thrust(true);
    }), 0, 'peak of what came while muted');
  },

  'an engine that burns while muted is heard when unmuted': async () => {
    ok(await heard(sound => {
      sound.muted = true;
      sound.thrust(true);
      sound.muted = false;
      sound.thrust(true);
    }) > 0.02, 'heard');
  },
};
