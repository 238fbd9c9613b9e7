// SPDX-License-Identifier: MIT

// The game's page, in frames: whatever a browser may do otherwise than another. What happens between players is in
// play.js.

import { equal, ok } from './check.js';
import { Player, Stranger, click, isAsking, newcomer, newRoom, shared, until, where } from './frames.js';

const steering = ({ me: { turn, thrust, fire } }) => [turn, thrust, fire];

/** Holds keys until the ship does this. */
async function steers(player, codes, expected) {
  player.hold(...codes);
  await player.until(() => String(steering(player)) === String(expected), `${codes} for ${expected}`);
  player.release(...codes);
  await player.until(() => String(steering(player)) === '0,false,false', `nothing after ${codes}`);
}

/** css px for a px of the world, as long as our ship has not made the view move. */
const scale = player => (where(player)[0] - player.window.innerWidth / 2) / player.me.x;

export default {
  // ---- The first minute ----

  'it starts whatever is in the browser’s storage': async () => {
    const forbidden = { get() { throw new Error('forbidden'); } };
    const all = ['{"name":{},"look":1e9,"keys":7,"muted":"","names":[],"practice":-1}',
      '{"keys":{"fire":7,"left":[7,null],"__proto__":["KeyQ"]}}'].map(settings => ({ settings }));
    const room = newRoom();
    for (const found of [{ storage: forbidden }, ...all]) {
      const page = await Player.open(room, found);
      await page.fliesOn();
      page.close();
    }
  },

  'whoever is new is asked for a name, flies on meanwhile, and keeps it': newcomer(async ann => {
    equal(ann.document.activeElement.id, 'first-name');
    await ann.fliesOn();
    ann.type(' Mona\u202e ');
    ann.press('KeyM', 'KeyO');
    equal([ann.sight.settings.muted, ann.me.state], [false, 'flying'], 'what is typed is no command');
    ann.$('#name .main').click();
    await ann.until(player => !isAsking(player), 'the question is gone');
    await ann.until(() => ann.seen('Mona').state === 'flying', 'her name');
    equal(ann.document.activeElement.id, 'sky');
    await steers(ann, ['KeyA'], [-1, false, false]);
    await ann.reload();
    await ann.until(() => ann.seen('Mona').state === 'flying', 'her name again');
    ok(!isAsking(ann), 'she is not asked again');
  }),

  'the name can wait: the question goes by Escape, thrust and fire, not by turning': async () => {
    for (const leave of ['Escape', 'ArrowUp', 'Space']) {
      await newcomer(async ann => {
        await steers(ann, ['ArrowLeft'], [-1, false, false]);
        ok(isAsking(ann), 'it still asks');
        ann.hold(leave);
        await ann.until(player => !isAsking(player), `gone by ${leave}`);
        ann.release(leave);
        await ann.until(({ document }) => document.activeElement.id === 'sky', 'the sky has the keys');
        equal(ann.me.name, '');
      })();
    }
  },

  'a name that was typed is kept however the question goes': async () => {
    for (const leave of [ann => ann.press('Escape'), ann => ann.$('#pads [name=fire]').click()]) {
      await newcomer(async ann => {
        ann.type('Ann');
        leave(ann);
        await ann.until(player => !isAsking(player), 'it is gone');
        await ann.until(() => ann.seen('Ann').state === 'flying', 'the name');
        equal(ann.stored.name, 'Ann');
      })();
    }
  },

  'an Escape that ends a composition closes nothing': newcomer(async ann => {
    ann.$('#first-name').dispatchEvent(new ann.window.KeyboardEvent('keydown',
      { key: 'Escape', code: 'Escape', bubbles: true, isComposing: true }));
    await ann.fliesOn();
    ok(isAsking(ann), 'it still asks');
  }),

  'until the first key the sky says what to do, with the keys that this person has': async () => {
    const ann = await Player.named('Ann', newRoom(), { settings: { keys: { fire: ['KeyQ'] } } });
    const { title, note, keys } = ann.sight.words.banner;
    equal([title, note], ['Spacewar', 'Shoot the others. Stay out of the sun.']);
    const hasMouse = ann.window.matchMedia('(hover: hover)').matches;
    ok(/^← → turn · ↑ thrust · Q fire$/.test(keys) || keys === '' && !hasMouse, keys);
    ann.press('ArrowLeft');
    await ann.until(({ sight: { words } }) => !words.banner && words.connection.startsWith('relay'), 'no more');
    ann.close();
  },

  // ---- Around the sky ----

  'HTML in a name is text': async () => {
    const html = '<img src=/x onerror=harm()>';
    const room = newRoom();
    const [ann, bob] = [await Player.named(html, room), await Player.named('Bob', room)];
    await Stranger.join(room, { name: html, look: 5 }).then(stranger => stranger.flies());
    const cleaned = html.slice(0, 20);
    for (const player of [ann, bob]) {
      player.press('KeyT');
      await player.until(({ ships }) => ships.filter(({ name }) => name === cleaned).length === 2, 'two of that name');
      for (const id of ['#scores', '#timing']) {
        await player.until(() => player.$(id).textContent.includes(cleaned), `its text in ${id}`);
      }
      equal(player.document.querySelectorAll('img, [onerror]').length, 0);
    }
    ann.close();
    bob.close();
  },

  // ---- One page after the first minute ----

  ...shared({
    'the view zooms by key and wheel and is reset, and a click follows a ship': async ann => {
      const began = performance.now();
      await ann.until(() => {
        ann.place(150, -120);
        return performance.now() > began + 1_000;
      }, 'the view is at rest');
      const usual = scale(ann);
      const grows = (least, most) => ann.until(() => {
        ann.place(150, -120);
        return scale(ann) > least * usual && scale(ann) < most * usual;
      }, `${least} to ${most} times as large`);
      ann.press('KeyZ', 'KeyZ');
      await grows(1.4, 2);
      ann.press('KeyX', 'KeyX', 'KeyX', 'KeyX');
      await grows(0.5, 0.7);
      ann.press('KeyR');
      await grows(0.95, 1.05);
      const { WheelEvent, innerWidth, innerHeight } = ann.window;
      ann.$('#sky').dispatchEvent(new WheelEvent('wheel', { clientX: 320, clientY: 180, deltaY: 400 }));
      await grows(0.3, 0.8);
      ann.press('KeyR');
      await grows(0.95, 1.05);
      click(ann, where(ann));
      const off = () => Math.hypot(where(ann)[0] - innerWidth / 2, where(ann)[1] - innerHeight / 2);
      await ann.until(() => {
        ann.place(150, -120);   // on a slow machine it would fall into the sun meanwhile
        return off() < 4;
      }, 'the middle');
    },

    'keys count by their place, whatever is printed on them, and commands by theirs': async ann => {
      for (const [codes, expected] of [['KeyA KeyH ArrowLeft', [-1, false, false]],
        ['KeyD KeyJ ArrowRight', [1, false, false]], ['KeyW KeyK ArrowUp', [0, true, false]],
        ['KeyF KeyL Space', [0, false, true]]]) {
        for (const code of codes.split(' ')) await steers(ann, [code], expected);
      }
      ann.press('KeyN');
      ok(!ann.sight.settings.names, 'no names');
      ann.press('KeyM');
      await ann.until(() => ann.sight.settings.muted && ann.$('[data-command=sound]').ariaPressed === 'false',
        'no sound');
      ann.press('KeyN', 'KeyM');
      ok(ann.sight.settings.names && !ann.sight.settings.muted, 'both again');
      ann.press('KeyT');
      ok(!ann.$('#timing').hidden, 'timing');
      ann.press('KeyT');
      ok(ann.$('#timing').hidden, 'no timing');
      ann.press('KeyP');
      await ann.standsStill();
      ann.press('KeyP');
      await ann.fliesOn();
      ann.press('ArrowDown');
      await ann.until(({ me }) => me.state === 'hyperspace', 'a jump');
    },

    'a dialog closes by the key that opened it, and then keys are for the ship': async ann => {
      for (const [id, code] of [['help', 'Slash'], ['settings', 'KeyC'], ['invite', 'KeyI']]) {
        ann.press(code);
        ok(ann.$(`#${id}`).open, id);
        await ann.standsStill();
        ann.press('KeyW');
        ann.press(code);
        await ann.until(() => !ann.$(`#${id}`).open && ann.document.activeElement.id === 'sky', `${id} is closed`);
      }
      await steers(ann, ['KeyA'], [-1, false, false]);
    },

    'no key stays held when the window loses the focus': async ann => {
      ann.hold('KeyA', 'KeyW', 'KeyF');
      await ann.until(() => String(steering(ann)) === '-1,true,true', 'all three');
      ann.window.dispatchEvent(new ann.window.Event('blur'));
      await ann.until(() => String(steering(ann)) === '0,false,false', 'none');
    },

    'the pads carry their words for ten seconds': async ann => {
      ann.$('#pads').classList.add('touched');
      const words = [...ann.document.querySelectorAll('#pads span')];
      equal(words.map(({ textContent }) => textContent).join(), 'left,right,thrust,fire,jump');
      for (const word of words) {
        ok(word.checkVisibility({ opacityProperty: true }), word.textContent);
        const [animation] = word.getAnimations();
        equal(animation.effect.getComputedTiming().endTime, 10_000);
        animation.finish();
        ok(!word.checkVisibility({ opacityProperty: true, visibilityProperty: true }), `${word.textContent}, later`);
      }
      ann.$('#pads').classList.remove('touched');
    },

    'full screen is asked for by its key, and left by it': async ann => {
      const asked = [];
      const { document } = ann;
      let element = null;
      Object.defineProperty(document, 'fullscreenElement', { get: () => element });
      document.documentElement.requestFullscreen = async () => { asked.push('full'); };
      document.exitFullscreen = () => asked.push('exit');
      ann.press('KeyU');
      element = document.documentElement;
      ann.press('KeyU');
      equal(asked, ['full', 'exit']);
    },

    'the volume of the settings is what is heard, at once, and kept': async ann => {
      const volumes = [];
      Object.defineProperty(ann.window.Sound.prototype, 'volume', { set: volume => volumes.push(volume) });
      ann.press('KeyC');
      const slider = ann.$('[name=volume]');
      equal([slider.value, slider.min, slider.max], ['10', '1', '10']);
      slider.value = 3;
      slider.dispatchEvent(new ann.window.Event('change', { bubbles: true }));
      equal([volumes.at(-1), ann.stored.volume], [0.3, 3]);
      ann.press('KeyC');
    },

    'a private sky is a room of its own': async ann => {
      ann.press('KeyI');
      const invited = () => ann.$('#address').value.replace(/.*\?/, '?');
      equal(invited(), ann.window.location.search);
      ann.$('#private').dispatchEvent(new ann.window.MouseEvent('click', { bubbles: true, cancelable: true }));
      await until(() => /^\?game=[a-z0-9]{16}$/.test(ann.window.location.search), 'its address');
    },
  }),

  // ---- Around it ----

  'the screen stays on while one flies, and is let go by who observes': async () => {
    const locks = [];
    const ann = await Player.named('Ann', newRoom(), { before: ({ navigator }) => {
      const request = async what => {
        const lock = Object.assign(new EventTarget(), { what, held: true, release() { this.held = false; } });
        locks.push(lock);
        return lock;
      };
      Object.defineProperty(navigator, 'wakeLock', { value: { request } });
    } });
    const held = () => locks.filter(lock => lock.held).map(({ what }) => what);
    await until(() => held().join() === 'screen', 'while she flies');
    ann.press('KeyO');
    await until(() => held().join() === '', 'not while she observes');
    ann.press('KeyO');
    await until(() => held().join() === 'screen', 'and again');
    ann.hide();
    await until(() => held().join() === '', 'not in a hidden tab');
    ann.close();
  },

  'a gamepad steers, and one that the browser does not know is told of': async () => {
    const none = { pressed: false };
    const gamepad = { index: 0, mapping: 'standard', axes: [0, 0], buttons: Array(17).fill(none) };
    const press = (...buttons) => {
      gamepad.buttons = gamepad.buttons.map((_, i) => buttons.includes(i) ? { pressed: true } : none);
    };
    const ann = await Player.named('Ann', newRoom(), { before: ({ navigator, document }) => {
      navigator.getGamepads = () => [gamepad, null];
      document.hasFocus = () => true;
    } });
    const connect = it => ann.window.dispatchEvent(Object.assign(new ann.window.Event('gamepadconnected'),
      { gamepad: it }));
    connect(gamepad);
    gamepad.axes[0] = -1;
    press(0, 1);
    await ann.until(() => String(steering(ann)) === '-1,true,true', 'the stick, A and B');
    gamepad.axes[0] = 0.1;
    press(7, 15);
    await ann.until(() => String(steering(ann)) === '1,false,true', 'the trigger and the cross');
    press(3);
    await ann.until(({ me }) => me.state === 'hyperspace', 'Y');
    connect({ mapping: '' });
    await ann.until(() => ann.$('#log').textContent.includes('This gamepad is unknown to the browser'), 'in words');
    ann.close();
  },

  'the page can be installed, is shown with its picture where it is linked, and says what it is without scripts':
    async () => {
      const address = new URL('../', import.meta.url);
      const page = new DOMParser().parseFromString(await (await fetch(address)).text(), 'text/html');
      const manifestAt = new URL(page.querySelector('link[rel=manifest]').getAttribute('href'), address);
      const manifest = await (await fetch(manifestAt)).json();
      equal([manifest.name, manifest.display, new URL(manifest.start_url, manifestAt).href],
        ['Spacewar', 'fullscreen', address.href]);
      for (const purpose of ['any', 'maskable']) ok(manifest.icons.some(icon => icon.purpose === purpose), purpose);
      const picture = page.querySelector('meta[property="og:image"]').content;
      const at = [...manifest.icons, ...manifest.screenshots].map(({ src, type }) => [new URL(src, manifestAt), type]);
      for (const [url, type] of [...at, [new URL(picture, address), 'image/png']]) {
        equal((await fetch(url)).headers.get('content-type'), type, url.pathname);
        const image = Object.assign(new Image(), { src: url });
        await image.decode();
      }
      const { width, height } = await createImageBitmap(await (await fetch(new URL(picture, address))).blob());
      equal(`${width}x${height}`, manifest.screenshots[0].sizes);
      const content = name => page.querySelector(`[property="${name}"], [name="${name}"]`)?.content;
      equal([content('og:title'), content('twitter:card')], ['Spacewar', 'summary_large_image']);
      ok(content('og:description').includes('Shoot the others'), 'what it is');
      ok(/JavaScript/.test(page.querySelector('noscript').textContent), 'words for those without scripts');
      ok(page.querySelector('#failed').hidden && /could not be loaded/.test(page.querySelector('#failed').textContent),
        'words for a part that is missing');
    },
};
