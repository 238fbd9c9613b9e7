// SPDX-License-Identifier: MIT

// The game on its page: makes its parts, which nobody else gets, and runs the one loop that there is. A page needs
// `new Game().start()`; tests, and the curious at the console, read inspect().

import { inviteTo, roomOf, rulesIn } from './address.js';
import { Controls, onlyFingers } from './controls.js';
import { Feed } from './feed.js';
import { otherLook } from './looks.js';
import { LOSSY, Netplay } from './netplay.js';
import { Panels } from './panels.js';
import { STEP } from './physics.js';
import { NAMES, Pilot, skillAfter } from './pilots.js';
import { GOAL, ROUND_LENGTH, Round } from './round.js';
import { Settings } from './settings.js';
import { Sound } from './sound.js';
import { ThreadedSocket } from './threaded-socket.js';
import { View } from './view.js';
import { WebRTCRelay } from './webrtc-relay.js';
import { SHIELD, Ship, World } from './world.js';
import { WebSocketRelay } from './ws-relay.js';

const CATCH_UP_MS = 250;       // ms that a late frame makes up for; time beyond is lost to our own ship
const ALONE_FIRST_MS = 4_000;  // ms alone before practice ships come: a relay that restarts brings none
const UNSEEN_MS = 1_000;       // ms between turns of a page without frames; browsers may stretch that to a minute
const EARSHOT_PX = 800;        // px at which others are at their faintest
const OWN_GREETING_MS = 2_000; // ms between two of ours
const LEARNING = 5;            // lives in which one is shown where the ship will fall
const PANELS_MS = 250;         // ms between updates of what is no canvas

export class Game {
  #room = roomOf(location);
  #settings = new Settings();
  #world = new World(rulesIn(new URLSearchParams(location.search)), Math.floor(Math.random() * 2 ** 31));
  #me = this.#world.add(new Ship(0, this.#settings.name, this.#settings.look));
  #netplay = new Netplay({ world: this.#world, me: this.#me, relay: relayAt(location.origin + this.#room) });
  #feed = new Feed(this.#me);
  #view = new View(document.querySelector('#sky'));
  #sound = new Sound();
  #controls = new Controls({
    canvas: document.querySelector('#sky'), pads: document.querySelector('#pads'), settings: this.#settings,
  });
  #panels = new Panels({
    settings: this.#settings, room: this.#room, address: inviteTo(location), rules: this.#world.rules,
  });

  #frames = 0;
  #fps = 60;             // smoothed
  #began = performance.now(); // when world.time was 0, had no time been lost
  #drawn = this.#began;  // when the latest frame was
  #pilots = [];          // of the practice ships
  #aloneSince = -Infinity;
  #practising = false;
  #practice = null;      // the round against practice ships
  #kills = 0;            // of practice ships since practice began: each makes them better
  #streak = 0;           // kills since our latest death
  #awake = null;         // what keeps the screen on
  #begun = false;        // whether the person has done anything yet
  #score = 0;            // our own among people: what is won against practice ships stays there
  #paused = false;
  #watching = false;
  #panelsAt = 0;
  #connection = '';      // what the page says of the connection

  /** Launches the ship and runs the loop. To be called once. */
  start() {
    this.#controls.onwake = () => this.#sound.wake();
    this.#controls.oncommand = (command, detail) => this.#commands[command]?.(detail);
    this.#panels.oncommand = this.#controls.oncommand;
    this.#panels.onchange = this.#settings.onchange = () => this.#apply();
    document.addEventListener('visibilitychange', () => this.#tick(performance.now()));
    setInterval(() => performance.now() - this.#drawn > UNSEEN_MS / 2 && this.#tick(performance.now()), UNSEEN_MS);
    this.#apply();
    this.#world.launch(this.#me);
    if (!this.#settings.name) this.#panels.askName();
    requestAnimationFrame(this.#frame);
  }

  /**
   * Returns what is going on, as plain data. Places are px of the world, as drawn, which hold at `now`
   * (performance.now()); `at` is css px of the page. Ids are those of the room.
   */
  inspect() {
    const world = this.#world;
    const netplay = this.#netplay;
    const { number, begun, start } = netplay.round ?? {};
    const idOf = id => id > 0 ? netplay.idOf(id) : id || (netplay.self ?? 0);   // null: has gone
    return {
      now: this.#now, time: world.time, frames: this.#frames, fps: this.#fps,
      self: netplay.self, room: this.#room, rules: world.rules.name, link: netplay.status, others: netplay.others,
      me: structuredClone(this.#me),   // our own ship, with all its fields
      ships: [...world.ships.values()].map(ship => ({
        id: idOf(ship.id), name: ship.name, look: ship.look, bot: ship.bot, state: ship.state, score: ship.score,
        greeting: ship.greeting, x: ship.x + ship.dx, y: ship.y + ship.dy, vx: ship.vx, vy: ship.vy,
        angle: ship.angle + ship.dangle, at: this.#view.locate(ship),
        fading: Math.hypot(ship.dx, ship.dy),   // px from where it is drawn to where its pilot has it
      })),
      missiles: world.missiles.map(({ owner, x, y, vx, vy, age }) => ({ owner: idOf(owner), x, y, vx, vy, age })),
      debris: world.debris.map(({ x, y, vx, vy }) => ({ x, y, vx, vy })),
      peers: netplay.peers.map(({ id, path, rtt, skew }) => ({ id, path, rtt, skew })),
      round: netplay.round && { number, begun, start },   // when it begins or began, performance.now()
      words: this.#words, forecast: this.#isLearning, reducedMotion: this.#view.reducedMotion,
      settings: structuredClone(this.#settings),
    };
  }

  /** Changes fields of our own ship (world.js), for tests. Others believe what they would of any ship. */
  setShip(fields) {
    Object.assign(this.#me, fields);
  }

  /** The performance.now() for which the world's positions hold. */
  get #now() {
    return this.#began + this.#world.time;
  }

  /** Whether somebody else plays here; those who only watch are no company. */
  get #company() {
    for (const ship of this.#world.ships.values()) if (ship.remote && ship.state !== 'observing') return true;
    return false;
  }

  /** Whether nobody else is here, not even to watch. */
  get #alone() {
    for (const { remote } of this.#world.ships.values()) if (remote) return false;
    return true;
  }

  /** The round that we are in, or null: the people's, or one against practice ships. */
  get #round() {
    return this.#practising ? this.#practice : this.#netplay.round;
  }

  /** Now, on the clock of the round: against practice ships time stands still in a pause. */
  get #roundTime() {
    return this.#practising ? this.#world.time : performance.now();
  }

  /** Whether time stands still: where others see us, a pause can only be to observe. */
  get #frozen() {
    return this.#alone && (this.#paused || this.#panels.isOpen);
  }

  #frame = now => {
    requestAnimationFrame(this.#frame);
    this.#frames++;
    this.#fps += (1000 / Math.max(1, now - this.#drawn) - this.#fps) / 30;
    this.#drawn = now;
    this.#tick(now);
    this.#draw(now);
  };

  /** Everything but drawing. A page that gets no frames does this too, once a second at most. */
  #tick(now) {
    this.#attend();
    this.#practise(now);
    this.#advance(now);
    this.#goOn(this.#netplay.update(this.#now), now);
    for (const event of this.#world.takeEvents()) this.#handle(event, now);
    this.#sound.thrust(this.#me.burning && !this.#frozen);
    if (now < this.#panelsAt) return;
    this.#panelsAt = now + PANELS_MS;
    const world = this.#world;
    const netplay = this.#netplay;
    this.#connection = this.#describeConnection();
    this.#stayAwake();
    const company = netplay.others + [...world.ships.values()].filter(({ remote }) => remote).length;
    const title = company ? `(${company}) Spacewar` : 'Spacewar';
    if (document.title !== title) document.title = title;
    const pilots = () => netplay.peers.filter(({ ship }) => world.ships.has(ship.id));   // not those who only watch
    this.#panels.update({ ships: world.ships, others: netplay.others, connection: this.#connection,
      lines: this.#feed.lines, peers: pilots });
  }

  /** Our ship is in the sky while we look at it. */
  #attend() {
    const away = this.#watching || document.hidden || (this.#paused && !this.#alone);
    if (away === (this.#me.state === 'observing')) return;
    if (away) this.#world.observe(this.#me);
    else this.#world.resume(this.#me);
  }

  /** The round goes on; `news` are the people's. */
  #goOn(news, now) {
    const [world, me] = [this.#world, this.#me];
    if (news === 'began') this.#score = 0;
    if (this.#practising) {
      const ships = [...world.ships.values()].filter(({ remote }) => !remote);
      news = this.#practice.update(world.time, ships);
      if (news === 'began') for (const ship of ships) ship.score = 0;
    }
    world.scoring = this.#round?.begun ?? false;
    const last = this.#round?.last;
    if (news !== 'ended' || !last) return;
    this.#feed.say(describeEnd(last, me), now);
    if (!document.hidden) this.#sound.play({ type: 'ended', ship: me });
    const won = last.winners.some(({ id }) => id === me.id);
    if (won && !this.#practising) this.#keepBest({ wins: this.#settings.wins + 1 });
  }

  /** What has been reached is kept, if it is more than ever before. */
  #keepBest(reached) {
    const more = Object.entries(reached).filter(([what, count]) => count > this.#settings[what]);
    if (!more.length) return;
    Object.assign(this.#settings, Object.fromEntries(more));
    this.#settings.save();
  }

  /** Our own kills and deaths: practice ships grow with their pilot. */
  #learn({ type, ship }) {
    if (ship !== this.#me) return;
    if (type === 'destroyed') {
      this.#streak = 0;
      this.#keepBest({ lives: Math.min(LEARNING, this.#settings.lives + 1) });
    }
    if (type !== 'scored') return;
    this.#keepBest({ streak: ++this.#streak });
    if (!this.#practising) return;
    this.#kills++;
    for (const pilot of this.#pilots) pilot.skill = skillAfter(this.#kills);
    this.#keepBest({ wave: this.#wave });
  }

  /** A wave is over when as many practice ships have been shot as there are. */
  get #wave() {
    return 1 + Math.floor(this.#kills / Math.max(1, this.#pilots.length));
  }

  /** Practice ships come when we are alone, and make room for people. */
  #practise(now) {
    if (this.#company) this.#aloneSince = now;
    const wanted = now - this.#aloneSince < ALONE_FIRST_MS ? 0 : this.#settings.practice;
    if (this.#practising !== wanted > 0) this.#swapScore();
    while (this.#pilots.length > wanted) this.#world.remove(this.#pilots.pop().ship.id);
    while (this.#pilots.length < wanted) this.#pilots.push(this.#practiceShip(this.#pilots.length));
  }

  #swapScore() {
    this.#practising = !this.#practising;
    [this.#score, this.#me.score] = [this.#me.score, this.#practising ? 0 : this.#score];
    this.#practice = this.#practising ? new Round(this.#world.time) : null;
    this.#kills = 0;
  }

  #practiceShip(index) {
    const look = otherLook(this.#settings.look, index + 1);
    const ship = this.#world.add(new Ship(-1 - index, NAMES[index], look, { bot: true }));
    this.#world.launch(ship);
    return new Pilot(ship, this.#world.random, skillAfter(this.#kills));
  }

  #advance(now) {
    const late = now - this.#now;
    const lost = this.#frozen ? late : late - CATCH_UP_MS;
    if (lost > 0) this.#began += lost;
    if (lost > 0 && !this.#frozen) this.#world.skip(lost);
    // Between two steps nobody would obey. Frozen, nobody steers, but a gamepad's commands still count.
    if (this.#frozen) this.#controls.steer({});
    else if (this.#now + STEP <= now) this.#steer();
    while (this.#now + STEP <= now) {
      for (const pilot of this.#pilots) pilot.steer(this.#world);
      this.#world.step();
    }
  }

  /** Whoever is still asked for a name cannot be hit; to burn or to fire is an answer, too. */
  #steer() {
    const [world, me, panels] = [this.#world, this.#me, this.#panels];
    this.#controls.steer(me);
    if (me.thrust || me.fire || me.turn) this.#begun = true;
    if (me.thrust || me.fire) panels.stopAsking();
    if (panels.isAsking) me.shieldUntil = world.time + SHIELD;
  }

  #handle(event, now) {
    this.#netplay.announce(event);
    this.#feed.report(event, now);
    this.#learn(event);
    if (event.type === 'scored' && event.ship === this.#me) this.#view.mark(event.victim);
    const distance = Math.hypot(event.ship.x - this.#me.x, event.ship.y - this.#me.y);
    // Whoever joins is heard in a hidden tab, too.
    const isHeard = !document.hidden || (event.type === 'entered' && event.ship.remote);
    if (isHeard) this.#sound.play(event, { near: Math.max(0, 1 - distance / EARSHOT_PX) });
  }

  #draw(now) {
    const settings = this.#settings;
    this.#view.draw({
      world: this.#world, me: this.#me, time: now,
      lead: now - this.#now,   // ms that this frame is later than the latest step
      others: this.#netplay.others, names: settings.names, lines: this.#feed.lines,
      forecast: this.#isLearning, ...this.#words,
    });
  }

  /** Whether the sky shows a beginner where the ship will fall. */
  get #isLearning() {
    return this.#settings.lives < LEARNING;
  }

  /** What is to be read over the sky. */
  get #words() {
    const connection = this.#begun ? this.#connection : '';
    return { connection, banner: this.#banner, goal: this.#goal, fate: this.#fate };
  }

  /** What is to be read in large letters, { title, note, keys }, or null. */
  get #banner() {
    if (this.#paused) return { title: 'paused', note: `${this.#panels.keyOf('pause')} to go on` };
    if (this.#watching) return { title: 'observing', note: `${this.#panels.keyOf('observe')} to fly` };
    if (!this.#begun) {
      return { title: 'Spacewar', note: 'Shoot the others. Stay out of the sun.', keys: this.#panels.firstKeys };
    }
    const round = this.#round;
    if (!round?.last || round.begun) return this.#following;
    const seconds = Math.ceil((round.start - this.#roundTime) / 1000);
    return { title: describeEnd(round.last, this.#me), note: `next round in ${Math.max(1, seconds)}` };
  }

  /** Whom the view follows, and how to come back. */
  get #following() {
    const ship = this.#world.ships.get(this.#view.tracked);
    if (!ship || ship === this.#me) return null;
    const back = onlyFingers() ? 'tap the sky' : this.#panels.keyOf('reset');
    return { title: '', note: `following ${ship.name} · ${back} to come back` };
  }

  /** What it takes to win, and how long it can still take, or ''. */
  get #goal() {
    const round = this.#round;
    if (!round?.begun) return '';
    const left = Math.max(0, Math.ceil((ROUND_LENGTH - (this.#roundTime - round.start)) / 1000));
    const clock = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, '0')}`;
    return `${this.#practising ? `wave ${this.#wave} · ` : ''}first to ${GOAL} · ${clock}`;
  }

  /** Who destroyed us, and when we are back, or ''. */
  get #fate() {
    const me = this.#me;
    if (me.state !== 'exploded') return '';
    return `${this.#feed.fate} · back in ${Math.max(1, Math.ceil((me.until - this.#world.time) / 1000))}`;
  }

  #describeConnection() {
    const link = this.#netplay.direct ? 'direct' : this.#netplay.status;
    const pilots = [...this.#world.ships.values()].filter(({ bot }) => !bot).length + this.#netplay.others;
    if (/relay|direct/.test(link) && pilots > 1) return `${link} · ${pilots} pilots`;
    if (this.#netplay.why) return `${link} · ${this.#netplay.why}`;
    return this.#practising ? `${link} · practice` : link;
  }

  /** What the settings say, from now on. */
  #apply() {
    const [settings, sound] = [this.#settings, this.#sound];
    Object.assign(this.#me, { name: settings.name, look: settings.look });
    sound.muted = settings.muted;
    sound.volume = settings.volume / 10;
    this.#netplay.recolour();
  }

  /** The screen stays on while we fly; browsers give that up by themselves in a hidden tab. */
  async #stayAwake() {
    const wanted = !document.hidden && this.#me.state !== 'observing' && !this.#frozen;
    if (wanted === Boolean(this.#awake)) return;
    const before = this.#awake;
    this.#awake = wanted ? {} : null;   // asked for
    before?.release?.();
    if (!wanted) return;
    try {
      const lock = await navigator.wakeLock.request('screen');
      if (!this.#awake) return lock.release();
      this.#awake = lock;
      lock.addEventListener('release', () => { if (this.#awake === lock) this.#awake = null; });
    } catch { /* not over plain http, or the battery is low */ }
  }

  /** Says something to the others, not too often. */
  #greet(greeting) {
    const [world, me] = [this.#world, this.#me];
    if (world.time - me.greetedAt < OWN_GREETING_MS) return;
    world.greet(me, greeting);
  }

  #change(setting) {
    this.#settings[setting] = !this.#settings[setting];
    this.#settings.save();
    this.#apply();
  }

  #commands = {
    zoomIn: () => this.#view.zoom(1.25),
    zoomOut: () => this.#view.zoom(0.8),
    zoom: ({ factor, x, y }) => this.#view.zoom(factor, x, y),
    track: ({ x, y }) => this.#view.track(this.#view.pick(x, y)),
    reset: () => this.#view.reset(),
    names: () => this.#change('names'),
    sound: () => this.#change('muted'),
    observe: () => { this.#watching = !this.#watching; },
    pause: () => { this.#paused = !this.#paused; },
    timing: () => this.#panels.toggleTiming(),
    help: () => this.#panels.open('help'),
    settings: () => this.#panels.open('settings'),
    invite: () => this.#panels.open('invite'),
    gg: () => this.#greet('gg'),
    hello: () => this.#greet('hello'),
    again: () => this.#greet('again?'),
    fullscreen: () => toggleFullScreen(),
    unknownGamepad: () => this.#feed.say('This gamepad is unknown to the browser', performance.now()),
  };
}

/** What messages go through, and directly where that is possible. */
function relayAt(address) {
  const relay = new WebSocketRelay(address, { open: url => new ThreadedSocket(url, LOSSY) });
  return new WebRTCRelay(address, { lossy: LOSSY, relay });
}

/** Browsers may refuse; phones that know no full screen have nothing to ask. */
function toggleFullScreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else document.documentElement.requestFullscreen?.().catch(() => { /* refused */ });
}

/** How a round has ended, in words. */
function describeEnd({ winners, score }, me) {
  if (!winners.length) return 'Nobody has won';
  const names = winners.map(({ id, name }) => id === me.id ? 'You' : name || 'Somebody');
  const verb = winners.length > 1 || names[0] === 'You' ? 'win' : 'wins';
  return `${names.join(' and ')} ${verb} with ${score}`;
}
