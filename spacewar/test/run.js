// SPDX-License-Identifier: MIT

// Runs the tests and shows what they say. Each module of tests exports an object of functions, named
// by the sentence that they prove; one that throws, or whose promise is rejected, has failed. They run
// one after the other, so that none disturbs another. When all are done, `results` tells a program the
// same: a list of { module, name, error, ms }, where the error is null for a test that passed. An address that ends in
// `?only=hud,round` runs these modules alone, one with `?without=game,play` all others; with `brief` what tries many
// seeds tries but some of them.

// The pilots come first: they compute most, and three times as long after tests with bodies of other fields.
const MODULES = ['pilots', 'physics', 'world', 'netplay', 'identity', 'round', 'standings', 'crowd',
  'clock', 'feed', 'settings', 'address', 'qr', 'font', 'hud', 'effects', 'ships',
  'camera', 'view', 'keys', 'controls', 'sound', 'stream', 'connection', 'webrtc-relay', 'threaded-socket',
  'ws-relay', 'game', 'play'];
const PATIENCE = 90_000;   // ms for one test, which may open ten games on a busy machine: what takes longer never ends
const PAUSE = 50;          // ms of tests after which the page may draw

const status = document.querySelector('[role=status]');
const results = [];

const [only, without] = ['only', 'without'].map(key => new URLSearchParams(location.search).get(key)?.split(','));
for (const module of MODULES) {
  if ((!only || only.includes(module)) && !without?.includes(module)) await runModule(module);
}
sum();
globalThis.results = results;

async function runModule(module) {
  const list = section(module);
  let tests;
  try {
    ({ default: tests } = await import(`./${module}.js`));
  } catch (error) {
    return note(list, module, 'can be loaded', error);
  }
  let drawn = performance.now();
  for (const [name, test] of Object.entries(tests)) {
    const began = performance.now();
    const thrown = await failure(test);
    note(list, module, name, thrown, Math.round(performance.now() - began));
    if (performance.now() - drawn < PAUSE) continue;
    await new Promise(resolve => setTimeout(resolve));
    drawn = performance.now();
  }
}

/** What a test throws, or null. */
async function failure(test) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done after ${PATIENCE / 1000} s`)), PATIENCE);
  });
  try {
    await Promise.race([test(), late]);
    return null;
  } catch (error) {
    return error ?? new Error('nothing was thrown, which is as bad');
  } finally {
    clearTimeout(timer);
  }
}

function section(module) {
  const list = element('ul');
  document.querySelector('main').append(element('h2', `${module}.js`), list);
  return list;
}

function note(list, module, name, thrown, ms = 0) {
  const error = thrown && String(thrown.message ?? thrown);
  results.push({ module, name, error, ms });
  const item = element('li', name);
  if (thrown) item.append(element('pre', places(thrown, error)));
  item.classList.toggle('failed', error !== null);
  list.append(item);
  status.textContent = `running … ${results.length}`;
}

/** The error and the lines of tests and game that it came through. */
function places({ stack = '' }, error) {
  const lines = stack.split('\n').filter(line => /\.js:\d/.test(line) && !/\/(run|check)\.js:/.test(line));
  return [error, ...lines.map(line => line.trim().replaceAll(new URL('..', import.meta.url).href, ''))].join('\n');
}

function sum() {
  const failed = results.filter(({ error }) => error !== null).length;
  const text = failed ? `${failed} of ${results.length} failed` : `all ${results.length} passed`;
  status.textContent = text;
  status.classList.add(failed ? 'failed' : 'passed');
  document.title = `${text} · Spacewar’s tests`;
}

function element(tag, text = '') {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}
