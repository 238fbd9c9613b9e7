// SPDX-License-Identifier: MIT
import static org.junit.jupiter.api.Assertions.*;

import java.io.IOException;
import java.util.*;
import java.util.concurrent.*;
import java.util.function.Consumer;
import java.util.stream.*;

/**
 * The game on a page of its own. In its scripts `game` is the live game, me() our ship and seen(name) any ship as
 * game.inspect() tells of it.
 */
final class Player implements AutoCloseable {
    /**
     * Lets a page have the browser's frames, and draw each. Otherwise it has twenty a second, nearly all of them by a
     * timer, and it draws at most two a second: the browser's frames and drawing cost most.
     */
    static final String EVERY_FRAME = "globalThis.everyFrame = true;";

    /** Lets a page have sixty frames a second, nearly all of them by a timer. */
    static final String OFTEN = "globalThis.often = true;";

    private static final String SCRIPT = """
        // Windows of other tests take the focus when they open; the game would let go of all keys.
        addEventListener('blur', event => { if (event.isTrusted) event.stopImmediatePropagation(); }, true);
        {
          const { requestAnimationFrame } = globalThis;
          let frames = 0;
          globalThis.requestAnimationFrame = callback =>
            globalThis.everyFrame || document.hidden || ++frames % 10 === 0   // a hidden page has none
              ? requestAnimationFrame(callback)
              : setTimeout(() => callback(performance.now()), globalThis.often ? 16 : 50);
        }
        addEventListener('load', async () => {
          const { game } = await import('/spacewar/spacewar.js');
          const { orbit } = await import('/spacewar/physics.js');
          const { View } = await import('/spacewar/view.js');
          const { draw } = View.prototype;
          let drawnAt = -Infinity;
          View.prototype.draw = function (scene) {
            if (!globalThis.everyFrame && scene.time - drawnAt < 500) return;
            drawnAt = scene.time;
            draw.call(this, scene);
          };

          const me = () => game.inspect().me;
          const seen = name => game.inspect().ships.find(ship => ship.name === name) ?? {};

          /** Each frame of so many ms, or until record.over: ship -> [time on the clock of all pages, x, y, vx, vy]. */
          const record = ms => new Promise(done => {
            const sights = {};
            const end = performance.now() + ms;
            requestAnimationFrame(function note() {
              const { now, ships } = game.inspect();
              for (const { name, state, x, y, vx, vy } of ships) {
                if (state === 'flying') (sights[name] ??= []).push([performance.timeOrigin + now, x, y, vx, vy]);
              }
              if (performance.now() < end && !record.over) requestAnimationFrame(note);
              else done(sights);
            });
          });

          /** Frames that are drawn in a second. */
          const frameRate = async () => {
            globalThis.everyFrame = true;
            const before = game.inspect().frames;
            const began = performance.now();
            await new Promise(done => setTimeout(done, 1_000));
            globalThis.everyFrame = false;
            return (game.inspect().frames - before) / (performance.now() - began) * 1_000;
          };

          /** How many px of the screen are one of the world, as long as our ship has not made the view move. */
          const scale = () => (seen(me().name).at[0] - innerWidth / 2) / me().x;

          /** Whether the canvas has as many pixels as the screen has there. */
          const crisp = () => {
            const { width, height, clientWidth, clientHeight } = document.querySelector('#sky');
            return clientWidth === innerWidth && clientHeight === innerHeight
              && Math.abs(width - clientWidth * devicePixelRatio) <= 1
              && Math.abs(height - clientHeight * devicePixelRatio) <= 1;
          };

          const middle = selector => {
            const { x, y, width, height } = document.querySelector(selector).getBoundingClientRect();
            return [x + width / 2, y + height / 2];
          };

          /** Whether the pads are wide enough for thumbs, on the screen, and apart. */
          const padsFit = () => {
            const pads = [...document.querySelectorAll('#pads button')].map(pad => pad.getBoundingClientRect());
            const apart = (a, b) => a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top;
            return pads.every(pad => pad.width >= 64 && pad.height >= 64
              && pad.left >= 0 && pad.right <= innerWidth && pad.top >= 0 && pad.bottom <= innerHeight
              && pads.every(other => other === pad || apart(pad, other)));
          };

          /** What a screen reader calls it. */
          const label = selector => {
            const element = document.querySelector(selector);
            return element.ariaLabel || document.getElementById(element.getAttribute('aria-labelledby')).textContent;
          };

          /** Whether one sees what has the focus. */
          const ringed = () => getComputedStyle(document.activeElement).outlineStyle !== 'none';

          Object.assign(globalThis,
            { game, me, seen, orbit, record, frameRate, scale, crisp, middle, padsFit, label, ringed });
        });
        """;

    final Browser.Page page;

    /** Opens the game. @param before what is to be done with the page until then */
    Player(String address, Consumer<Chromium.Page> before) {
        this(InChromium.chromium, address, before);
    }

    Player(Chromium chromium, String address, Consumer<Chromium.Page> before) {
        this(chromium.blank(), address, before);
    }

    private <P extends Browser.Page> Player(P page, String address, Consumer<P> before) {
        this.page = page.first(SCRIPT);
        before.accept(page);
        page.go(address).until("globalThis.game !== undefined");
    }

    /** Somebody who has been here before, and has chosen a name, no sound, and no practice ships, which shoot. */
    static Player of(int port, String name, Consumer<Chromium.Page> before) {
        return of(InChromium.chromium, address(port), name, before);
    }

    static Player of(Chromium chromium, String address, String name, Consumer<Chromium.Page> before) {
        return new Player(chromium, address, before.andThen(page -> page.first(settings(name)))).untilItFliesAs(name);
    }

    static Player of(Browser browser, String address, String name) throws IOException {
        return new Player(browser.blank(), address, page -> page.first(settings(name))).untilItFliesAs(name);
    }

    /** It has found its own settings, and none of a page that was in its window before. */
    private Player untilItFliesAs(String name) {
        return until("me().state === 'flying'").until("me().name === " + Json.write(name));
    }

    private static String settings(String name) {
        var settings = Map.of("name", name, "look", name.length(), "practice", 0, "muted", true);
        return "localStorage.spacewar ??= " + Json.write(Json.write(settings));
    }

    static Player of(int port, String name) {
        return of(port, name, page -> {});
    }

    static Player of(Relay relay, String name) {
        return of(relay.port(), name).until("game.inspect().link === 'relay'");
    }

    static String address(int port) {
        return "http://localhost:" + port + SpacewarTest.GAME;
    }

    Player reload() {
        ask("globalThis.old = true; location.reload()");
        return until("globalThis.old === undefined && globalThis.game !== undefined");
    }

    /** Its page, which is one of Chromium, whose driver can do more. */
    Chromium.Page inChromium() {
        return (Chromium.Page) page;
    }

    Object ask(String expression) {
        return page.evaluate(expression);
    }

    double number(String expression) {
        return ((Number) ask(expression)).doubleValue();
    }

    Player until(String expression) {
        page.until(expression);
        return this;
    }

    /** Puts its ship somewhere, at rest. */
    Player place(double x, double y, double angle) {
        ask("game.setShip({ x: %s, y: %s, vx: 0, vy: 0, angle: %s })".formatted(x, y, angle));
        return this;
    }

    Player orbit(double radius, double phase) {
        ask("game.setShip((ship => (orbit(ship, %s, %s, 1), ship))({}))".formatted(radius, phase));
        return this;
    }

    /** Starts to record what is seen of each ship. */
    CompletableFuture<Map<String, List<Sight>>> record(int ms) {
        return CompletableFuture.supplyAsync(() -> ((Map<?, ?>) ask("record(" + ms + ")")).entrySet().stream()
                .collect(Collectors.toMap(
                ship -> (String) ship.getKey(), ship -> ((List<?>) ship.getValue()).stream().map(Sight::of).toList())),
                Thread::startVirtualThread);
    }

    /** It draws, and its ship moves. */
    Player fliesOn() {
        return until("game.inspect().frames > %s + 5 && me().x !== %s".formatted(ask("game.inspect().frames"),
                ask("me().x")));
    }

    /** It draws, and nothing moves. */
    Player standsStill() {
        return until(
                "new Promise(done => { const { time, frames } = game.inspect(); const check = () => "
                + "game.inspect().frames < frames + 5"
                + " ? requestAnimationFrame(check) : done(time === game.inspect().time); check(); })");
    }

    /** For as long as a ship must have been seen somewhere for what it does there to be believed. */
    Player waitAMoment() {
        return until("performance.now() > %s + 500".formatted(ask("performance.now()")));
    }

    /**
     * Whatever happens, its console stays silent. Only the browser itself tells there that the relay could not be
     * reached.
     */
    @Override
    public void close() {
        page.close();   // first, as it may complain until then
        page.complaints.removeIf(complaint -> complaint.matches(
                "\\[Failed to load resource: net::ERR_\\w+, [^,]*/(ice.json|ws-relay/spacewar.*)]"
                + "|\\[Failed to load resource: the server responded with a status of (404|426|502) .*, "
                + "[^,]*/ws-relay/spacewar.*]"
                + "|\\[WebSocket connection to 'ws://[\\w.]+:\\d+/ws-relay/spacewar[^']*' failed: "
                + "(Error in connection establishment: net::ERR_\\w+|"
                + "Connection closed before receiving a handshake response|"
                + "Error during WebSocket handshake: (net::ERR_\\w+|Unexpected response code: 404)).*"));
        assertEquals("[]", page.complaints.toString());
    }

    /** Where a ship was seen at a time, in ms, px and px/ms. */
    record Sight(double at, double x, double y, double vx, double vy) {
        static Sight of(Object values) {
            double[] numbers = ((List<?>) values).stream().mapToDouble(value -> (Double) value).toArray();
            return new Sight(numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]);
        }

        /** How far from there, moved on by the velocity, it was seen another time. */
        double off(Sight other) {
            double time = other.at - at;
            return Math.hypot(other.x - x - vx * time, other.y - y - vy * time);
        }
    }
}
