// SPDX-License-Identifier: MIT

import { cleanName } from '../names.js';
import { Settings } from '../settings.js';
import { equal, ok } from './check.js';

/** A storage that has `text` under every key, and remembers what was kept last. */
function holding(text) {
  return { text, getItem() { return this.text; }, setItem(key, value) { [this.key, this.text] = [key, value]; } };
}

const keeping = fields => new Settings(holding(JSON.stringify(fields)));

function isFresh({ name, look, keys, muted, names, practice }, what) {
  equal({ name, keys, muted, names, practice }, { name: '', keys: {}, muted: false, names: true, practice: 2 }, what);
  ok(Number.isInteger(look) && look >= 0 && look < 64, `${what}: look ${look}`);
}

export default {
  'the game starts with defaults whatever the storage holds': () => {
    const foreign = [null, '', '{', 'undefined', 'null', '[]', '[1]', '"text"', '7', 'true', '{}', '\0', '\ud800\0',
      '{"name":7,"look":"3","keys":[],"muted":0,"names":"no","practice":"2"}',
      '{"name":null,"look":null,"keys":null,"muted":null,"names":null,"practice":null}',
      '{"name":{},"look":64,"keys":"x","muted":[],"names":{},"practice":4}',
      '{"look":-1,"practice":-1}', '{"look":1.5,"practice":0.5}', '{"look":1e999,"keys":{"fire":{}}}'];
    for (const text of foreign) isFresh(new Settings(holding(text)), `found ${text}`);
  },

  'the game starts without a storage, or with one that throws': () => {
    const fail = () => { throw new DOMException('no', 'QuotaExceededError'); };
    for (const storage of [null, {}, { getItem: fail, setItem: fail }]) {
      const settings = new Settings(storage);
      isFresh(settings, 'a broken storage');
      settings.name = 'Ada';
      settings.save();
      equal(settings.name, 'Ada', 'a name that could not be kept');
    }
  },

  'what was saved is found again, as JSON under one key': () => {
    const storage = holding(null);
    const settings = new Settings(storage);
    const chosen = { name: 'Ada', look: 63, keys: { fire: ['KeyQ', 'Space'] }, muted: true, volume: 4,
      names: false, practice: 0,
      wins: 3, wave: 7, streak: 4, lives: 5 };
    Object.assign(settings, chosen);
    settings.save();
    equal(storage.key, 'spacewar', 'key');
    equal({ ...new Settings(storage) }, chosen, 'found again');
  },

  'two tabs do not overwrite what the other has changed': () => {
    const storage = holding(JSON.stringify({ name: 'Ada', look: 5 }));
    const [one, two] = [new Settings(storage), new Settings(storage)];
    one.name = 'Grace';
    one.save();
    two.muted = true;
    two.save();
    equal([two.name, two.muted], ['Grace', true]);
    const { name, look, muted } = new Settings(storage);
    equal([name, look, muted], ['Grace', 5, true]);
  },

  'what another tab has changed holds here at once': () => {
    const storage = holding(JSON.stringify({ name: 'Ada', look: 5 }));
    const settings = new Settings(storage);
    let changes = 0;
    settings.onchange = () => changes++;
    storage.text = JSON.stringify({ name: 'Grace', look: 6 });
    globalThis.dispatchEvent(new StorageEvent('storage', { key: 'somebody else’s' }));
    equal([settings.name, changes], ['Ada', 0]);
    globalThis.dispatchEvent(new StorageEvent('storage', { key: 'spacewar' }));
    equal([settings.name, settings.look, changes], ['Grace', 6, 1]);
  },

  'a first choice is kept with the look that one was given': () => {
    const storage = holding(null);
    const settings = new Settings(storage);
    settings.muted = true;
    const { look } = settings;
    settings.save();
    equal([settings.look, new Settings(storage).look], [look, look]);
  },

  'a field that is wrong does not spoil the others': () => {
    const { name, look, muted, practice } = keeping({ name: ['x'], look: 12, muted: true, practice: 9 });
    equal({ name, look, muted, practice }, { name: '', look: 12, muted: true, practice: 2 });
  },

  'a binding that is wrong does not spoil the others': () => {
    const { keys } = keeping({ keys: { left: ['KeyQ'], right: 'KeyW', thrust: [7], fire: [], 'no name': ['KeyE'],
      pause: ['a', 'b', 'c', 'd', 'e'], observe: ['<b>'] } });
    equal(keys, { left: ['KeyQ'], fire: [] });
    const hostile = new Settings(holding('{"keys":{"__proto__":["KeyQ"]}}'));
    equal(Object.keys(hostile.keys), [], '__proto__ as an action');
  },

  'a name is one line of at most 20 characters': () => {
    equal(cleanName('  Ada \t\n  Lovelace  '), 'Ada Lovelace');
    equal(cleanName('x'.repeat(1_000)), 'x'.repeat(20));
    equal(cleanName('🚀'.repeat(30)), '🚀'.repeat(20), 'counted in code points');
    equal(cleanName(`${'x'.repeat(19)} yz`), 'x'.repeat(19), 'no space where it was cut');
  },

  'a name has no control characters, none that turn text around and none that nobody sees': () => {
    equal(cleanName('A\0d\x1b\x7f\x9fa'), 'Ada');
    equal(cleanName('\ud83dA\udc00da\ud800'), 'Ada', 'halves of letters');
    equal(cleanName('\u202eA\u2066d\u200fa\u2069\u202c'), 'Ada', 'bidi overrides');
    equal(cleanName('A\u2028d\u2029a\r\n'), 'A d a', 'line breaks');
    equal(cleanName('\u200b\u3164\u00ad\ufeff\u2060'), '', 'nothing to be seen');
    equal(cleanName('A\u200b \u200b d'), 'A d', 'spaces around nothing');
    equal(cleanName('A\ud800'), 'A', 'half a character');
  },

  'a name keeps its letters, whatever the script, and HTML stays text': () => {
    for (const name of ['Ada', 'Zoë', 'Ягайло', '李', 'محمد', '<b>Ada</b>', 'O’Neil']) {
      equal(cleanName(name), name);
    }
    equal(cleanName('Zoe\u0308'), 'Zoë', 'composed');
  },

  'what is no string is no name': () => {
    for (const value of [undefined, null, 7, {}, ['Ada'], { toString: () => 'Ada' }]) equal(cleanName(value), '');
  },
};
