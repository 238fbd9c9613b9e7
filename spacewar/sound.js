// SPDX-License-Identifier: MIT

// The sounds, made from nothing but oscillators, noise and filters. SOUNDS says what each is; a Synth
// plays them on any audio context, at any time of it, also on one that renders to a buffer for a test;
// Sound is the game's, and has no context until the person has pressed or touched something, since
// browsers refuse one before that and complain, nor while it is muted.
//
// A layer is a source that goes through a gain:   wave or (noise -> low-pass) -> gain
// and all of them go on through                   high-pass -> compressor -> master gain -> speakers.
// Speakers jump, and click, when a gain does. So every layer rises from 0 and falls back to 0, the engine
// always runs and is turned up and down, and to mute is to turn the master down, each over some ms. Once all
// is silent, the context is suspended, as it costs power while it runs.

import { random } from './random.js';

// Points are [s since the start, value]. `pitch`, in Hz, is a wave's or that of the noise's low-pass and
// glides exponentially, as ears hear it; `gain` goes in straight lines from 0 and back to 0.
export const SOUNDS = {
  fired: [
    { wave: 'triangle', pitch: [[0, 920], [0.13, 170]], gain: [[0, 0], [0.004, 0.22], [0.05, 0.12], [0.14, 0]] },
  ],
  hit: [
    { wave: 'noise', pitch: [[0, 2600], [0.7, 70]], gain: [[0, 0], [0.004, 0.6], [0.12, 0.35], [0.9, 0]] },
    { wave: 'triangle', pitch: [[0, 260], [0.2, 48]], gain: [[0, 0], [0.004, 0.4], [0.22, 0]] },
  ],
  destroyed: [
    { wave: 'noise', pitch: [[0, 1300], [1.1, 50]], gain: [[0, 0], [0.01, 0.7], [0.25, 0.4], [1.5, 0]] },
    { wave: 'sine', pitch: [[0, 95], [0.6, 32]], gain: [[0, 0], [0.02, 0.4], [0.7, 0]] },
  ],
  jumped: [
    { wave: 'sine', pitch: [[0, 120], [0.5, 1300], [0.75, 260]], gain: [[0, 0], [0.1, 0.13], [0.5, 0.16], [0.8, 0]] },
    { wave: 'triangle', pitch: [[0, 121], [0.5, 1322], [0.75, 257]], gain: [[0, 0], [0.2, 0.09], [0.75, 0]] },
  ],
  returned: [
    { wave: 'sine', pitch: [[0, 660]], gain: [[0, 0], [0.015, 0.11], [0.2, 0.05], [0.9, 0]] },
    { wave: 'sine', pitch: [[0, 990]], gain: [[0.06, 0], [0.075, 0.08], [0.3, 0.03], [1, 0]] },
  ],
  scored: [
    { wave: 'triangle', pitch: [[0, 784]], gain: [[0, 0], [0.006, 0.16], [0.1, 0.06], [0.2, 0]] },
    { wave: 'triangle', pitch: [[0, 1175]], gain: [[0.1, 0], [0.106, 0.16], [0.2, 0.07], [0.42, 0]] },
  ],
  ended: [
    { wave: 'triangle', pitch: [[0, 523]], gain: [[0, 0], [0.01, 0.13], [0.3, 0.05], [0.9, 0]] },
    { wave: 'triangle', pitch: [[0, 659]], gain: [[0.14, 0], [0.15, 0.13], [0.45, 0.05], [1.1, 0]] },
    { wave: 'triangle', pitch: [[0, 784]], gain: [[0.28, 0], [0.29, 0.15], [0.7, 0.06], [1.6, 0]] },
  ],
  entered: [{ wave: 'sine', pitch: [[0, 1400]], gain: [[0, 0], [0.003, 0.04], [0.035, 0]] }],
  left: [{ wave: 'sine', pitch: [[0, 700]], gain: [[0, 0], [0.003, 0.05], [0.045, 0]] }],
};

export const ENGINE = { pitch: 300, gain: 0.4 };  // noise through a low-pass, Hz

const VOICES = 12;       // sounds at a time: more cannot be told apart, and cost
const OWN_VOICES = 4;    // of them are kept for the person's own ship
const OTHERS = 0.5;      // loudness of other ships close by, that of the own one being 1 ...
const FAR_SHARE = 0.3;   // ... and what is left of that far away
const MASTER = 0.7;      // leaves room for what the compressor, which is no wall, lets through
const SOON = 0.015;      // s ahead of a context's clock: what begins in its past begins in the middle of its ramp
export const SILENT_MS = 2_000;   // ms after muting in which the longest sound ends; then the context is suspended
const RAMP = 0.03;       // s in which the engine and the master gain come within a third of where they go
const NOISE = 2;         // s of noise, repeated

/** All that sounds in one audio context. Times are the context's, in s. */
export class Synth {
  #context; #noise; #input; #master; #engine;
  #random = random(1962);
  #ends = [];  // when the sounds that were begun are over

  constructor(context) {
    this.#context = context;
    this.#noise = this.#makeNoise();
    this.#input = new BiquadFilterNode(context, { type: 'highpass', frequency: 25 });
    const compressor = new DynamicsCompressorNode(context,
      { threshold: -18, knee: 12, ratio: 12, attack: 0.003, release: 0.2 });
    this.#master = new GainNode(context, { gain: MASTER });
    this.#engine = new GainNode(context, { gain: 0 });
    this.#input.connect(compressor).connect(this.#master).connect(context.destination);
    const rumble = this.#source('noise', [[0, ENGINE.pitch]], 0);
    rumble.out.connect(this.#engine).connect(this.#input);
    rumble.source.start();
  }

  /** Plays one of SOUNDS, unless `voices` or more are heard already. */
  play(name, volume = 1, at = this.#soon, voices = VOICES) {
    this.#ends = this.#ends.filter(end => end > at);
    if (this.#ends.length >= voices) return;
    this.#ends.push(Math.max(...SOUNDS[name].map(layer => this.#playLayer(layer, volume, at))));
  }

  thrust(on, at = this.#soon) {
    this.#engine.gain.setTargetAtTime(on ? ENGINE.gain : 0, at, RAMP);
  }

  /** From 0 to 1; ears hear a product as a sum. */
  setVolume(volume, at = this.#soon) {
    this.#master.gain.setTargetAtTime(MASTER * volume * volume, at, RAMP);
  }

  /** Returns when it ends. */
  #playLayer({ wave, pitch, gain }, volume, at) {
    const { source, out } = this.#source(wave, pitch, at);
    const envelope = new GainNode(this.#context, { gain: 0 });
    for (const [time, value] of gain) envelope.gain.linearRampToValueAtTime(volume * value, at + time);
    out.connect(envelope).connect(this.#input);
    const end = at + gain.at(-1)[0];
    source.start(at);
    source.stop(end);
    return end;
  }

  #source(wave, pitch, at) {
    if (wave !== 'noise') {
      const source = new OscillatorNode(this.#context, { type: wave });
      glide(source.frequency, pitch, at);
      return { source, out: source };
    }
    const source = new AudioBufferSourceNode(this.#context, { buffer: this.#noise, loop: true });
    const filter = new BiquadFilterNode(this.#context, { type: 'lowpass', Q: 0 });
    glide(filter.frequency, pitch, at);
    return { source, out: source.connect(filter) };
  }

  get #soon() {
    return this.#context.currentTime + SOON;
  }

  #makeNoise() {
    const { sampleRate } = this.#context;
    const buffer = new AudioBuffer({ length: NOISE * sampleRate, sampleRate });
    const samples = buffer.getChannelData(0);
    for (let i = 0; i < samples.length; i++) samples[i] = 2 * this.#random() - 1;
    return buffer;
  }
}

function glide(param, [[start, first], ...points], at) {
  param.setValueAtTime(first, at + start);
  for (const [time, value] of points) param.exponentialRampToValueAtTime(value, at + time);
}

export class Sound {
  #create; #context; #synth;
  #isAwake = false;    // whether the person has done anything: browsers allow sound after that
  #muted = false;
  #resting;            // the timer that suspends the context
  #volume = 1;
  #burning = false;

  constructor(create = () => new AudioContext({ latencyHint: 'interactive' })) {
    this.#create = create;
  }

  /** To be called whenever the person does something: makes or resumes the context, unless muted. */
  wake() {
    this.#isAwake = true;
    if (this.#muted) return;
    try {
      if (!this.#context) this.#begin();
      if (this.#context.state !== 'running') this.#context.resume().catch(() => {});
    } catch { /* no sound here: the game goes on without, and tries again next time */ }
  }

  #begin() {
    const context = this.#create();
    this.#synth = new Synth(context);
    this.#synth.setVolume(this.#heard);
    this.#context = context;
  }

  get muted() {
    return this.#muted;
  }

  set muted(muted) {
    this.#muted = muted;
    this.#synth?.setVolume(this.#heard);
    clearTimeout(this.#resting);
    if (muted) {
      this.thrust(false);   // or the engine would be heard to fall when the context goes on
      this.#resting = setTimeout(() => this.#context?.suspend().catch(() => {}), SILENT_MS);
    } else if (this.#isAwake) {
      this.wake();
    }
  }

  /** From 0 to 1. */
  set volume(volume) {
    this.#volume = volume;
    this.#synth?.setVolume(this.#heard);
  }

  get #heard() {
    return this.#muted ? 0 : this.#volume;
  }

  /** Plays an event of the world; `near`, from 0 to 1, is how close to the person it is. */
  play({ type, ship, cause }, { near = 1 } = {}) {
    if (!this.#isHeard) return;
    const own = ship.id === 0;
    const name = type === 'destroyed' && cause === 'missile' ? 'hit' : type;
    if (!Object.hasOwn(SOUNDS, name) || (name === 'scored' && !own)) return;
    const volume = own ? 1 : OTHERS * (FAR_SHARE + (1 - FAR_SHARE) * near);
    this.#synth.play(name, volume, undefined, own ? VOICES : VOICES - OWN_VOICES);
  }

  /** The person's engine; may be told every frame. */
  thrust(on) {
    if (on === this.#burning || (on && !this.#isHeard)) return;
    this.#burning = on;
    this.#synth.thrust(on);
  }

  /** While a context is suspended its time stands still: all that was played would come at once after it. */
  get #isHeard() {
    return !this.#muted && this.#context?.state === 'running';
  }
}
