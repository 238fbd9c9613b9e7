// SPDX-License-Identifier: MIT
/*
 * What the game and ws-relay.js promise in browsers other than Chromium: in Firefox, and in WebKitGTK, whose engine is
 * that of Safari; and what is done by ws-relay.js outside of a page.
 */

import static org.junit.jupiter.api.Assertions.*;

import com.sun.net.httpserver.HttpServer;
import java.awt.image.BufferedImage;
import java.io.*;
import java.net.InetSocketAddress;
import java.nio.file.*;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import java.util.stream.*;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.*;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

@Order(3)
class BrowsersTest {
    enum Kind {
        CHROMIUM, FIREFOX, WEBKIT;

        Browser browser() {
            return switch (this) {
                case CHROMIUM -> InBrowsers.chromium();
                case FIREFOX -> InBrowsers.firefox();
                case WEBKIT -> InBrowsers.webKit();
            };
        }
    }

    /**
     * The tests of the game's modules, as in Chromium, but with fewer seeds, and without those that only compute, and
     * that for long, and without what happens between players, who meet here in GamesOverTheRelay.
     */
    private static final String MODULES = "?without=game,play,pilots,qr,ships,netplay,standings,webrtc-relay&brief";

    @Nested
    @RelayTest.Waits
    @ExtendWith(InBrowsers.class)
    class ModulesInFirefox {
        @TestFactory
        @Timeout(300)
        Stream<DynamicNode> allHold() throws IOException {
            return SpacewarTest.Modules.in(InBrowsers.firefox(), MODULES, "?only=game");
        }
    }

    @Nested
    @RelayTest.Waits
    @ExtendWith(InBrowsers.class)
    class ModulesInWebKit {
        @TestFactory
        @Timeout(300)
        Stream<DynamicNode> allHold() throws IOException {
            return SpacewarTest.Modules.in(InBrowsers.webKit(), MODULES, "?only=game");
        }
    }

    /** Players over the relay, each in a browser of another kind. */
    @Nested
    @Timeout(120)   // for the first one, browsers start
    @RelayTest.Waits
    @ExtendWith(InBrowsers.class)
    class GamesOverTheRelay {
        @Test
        void oneInWebKitOneInFirefoxAndOneInChromium() throws IOException {
            try (var relay = SpacewarTest.withPages(0);
                    var ann = Player.of(InBrowsers.webKit(), Player.address(relay.port()), "Ann");
                    var bob = Player.of(InBrowsers.firefox(), Player.address(relay.port()), "Bob");
                    var cyd = Player.of(InBrowsers.chromium(), Player.address(relay.port()), "Cyd")) {
                SpacewarTest.meet(ann, bob, cyd);
                SpacewarTest.Direct.areConnected("relay", ann, bob, cyd);
                for (Player player : List.of(ann, bob, cyd)) {
                    player.page.hold("ArrowLeft", "ArrowUp");
                    player.until("me().turn === -1 && me().thrust").page.release("ArrowLeft", "ArrowUp");
                    player.until("me().turn === 0 && !me().thrust");
                }
                SpacewarTest.shoot(ann, bob, 800);
                SpacewarTest.shoot(cyd, ann, -800);
                for (String name : List.of("Ann", "Cyd"))
                    SpacewarTest.allSee(name, "ship.score === 1", ann, bob, cyd);
                SpacewarTest.Direct.allPlayOn(ann, bob, cyd);
                for (Player player : List.of(ann, bob, cyd)) expectSky(player.page.screenshot());
            }
        }

        /** There is something to be seen, in the middle of it as well. */
        private static void expectSky(byte[] png) throws IOException {
            BufferedImage image = ImageIO.read(new ByteArrayInputStream(png));
            int width = image.getWidth(), height = image.getHeight();
            int[] middle = image.getRGB(width / 4, height / 4, width / 2, height / 2, null, 0, width / 2);
            long colours = IntStream.of(middle).distinct().count();
            assertTrue(colours > 20, colours + " colours");
        }
    }

    /** The relay goes away and comes back. */
    @Nested
    @Order(Integer.MAX_VALUE)   // waits the longest; of groups that run side by side, the last one is begun first
    @RelayTest.Waits
    @ExtendWith(InBrowsers.class)
    @SuppressWarnings("try")   // the relay is closed within
    class Outage {
        /** For how long it is away: OUTAGE=N is another time. */
        private static final long SECONDS = Long.parseLong(System.getenv().getOrDefault("OUTAGE", "60"));

        private static final String JOIN = """
                import('/spacewar/ws-relay.js').then(({ WebSocketRelay }) => {
                  globalThis.relay = new WebSocketRelay('ws://localhost:%d/spacewar?game=1');
                })""";

        /** Lets pages of all origins in. */
        private static Relay relay(int port, Path... folders) throws IOException {
            return RelayTest.relay(options -> {
                options.port = port;
                options.origins.add("*");
                options.folders = List.of(folders);
            });
        }

        /** Starts what answers like a proxy that does not reach the relay. */
        private static HttpServer unreaching(int port) throws IOException {
            var proxy = HttpServer.create(new InetSocketAddress("127.0.0.1", port), 0);
            proxy.createContext("/", exchange -> {
                exchange.sendResponseHeaders(502, -1);
                exchange.close();
            });
            proxy.start();
            return proxy;
        }

        /** Lets a page note when an expression becomes true, by its own clock, however late its driver is. */
        private static void note(Browser.Page page, String expression) {
            page.evaluate("""
                    void (globalThis.noted = new Promise(done => {
                      const timer = setInterval(() => {
                        if (!(%s)) return;
                        clearInterval(timer);
                        done(Date.now());
                      }, 200);
                    }))""".formatted(expression));
        }

        /** In one browser, a page that was there before the outage and one that is opened meanwhile. */
        private record Pages(Kind kind, Player there, Browser.Page late) {}

        @Test
        @Timeout(400)
        void afterAMinutePagesThatWereThereAndOnesOpenedMeanwhileAreBackWithin5Seconds() throws Exception {
            Path game = Path.of("spacewar");
            int port = RelayTest.freePort();
            var opened = new ArrayList<Pages>();
            try (var first = relay(port, game); var files = new RelayTest.FilesOnly()) {
                for (Kind kind : Kind.values()) {
                    var there = Player.of(kind.browser(), Player.address(port), "Ann");
                    opened.add(new Pages(kind, there, kind.browser().open(files.url("/spacewar/ws-relay.js"))));
                }
                for (Pages pages : opened) {
                    pages.there.until("game.inspect().link === 'relay'").ask("(" + SpacewarTest.RARELY + ", null)");
                    pages.late.until("location.host !== '' && document.readyState === 'complete'");
                }
                first.close();
                long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(SECONDS);
                for (Pages pages : opened) {
                    pages.late.evaluate(JOIN.formatted(port));
                    pages.there.until("game.inspect().link === 'offline'");
                    note(pages.there.page, "game.inspect().link === 'relay'");
                    note(pages.late, "relay.status === 'open'");
                }
                TimeUnit.SECONDS.sleep(SECONDS / 2);
                var proxy = unreaching(port);
                TimeUnit.NANOSECONDS.sleep(end - System.nanoTime());
                proxy.stop(0);
                long began = System.currentTimeMillis();
                try (var next = relay(port, game)) {
                    for (Pages pages : opened) {
                        var back = Stream.of(pages.there.page, pages.late)
                                .map(page -> ((Double) page.evaluate("noted")).longValue() - began).toList();
                        System.out.printf("  %s: back %s ms after an outage of %d s%n", pages.kind, back, SECONDS);
                        assertTrue(Collections.max(back) < 5_000, pages.kind + ": " + back + " ms");
                    }
                }
            } finally {
                for (Pages pages : opened) {
                    pages.there.close();
                    pages.late.close();
                }
            }
        }

        @ParameterizedTest
        @EnumSource
        @Timeout(60)
        void aPageThatMayOpenWebSocketsButFetchNothingIsBackAsSoon(Kind kind, @TempDir Path folder) throws Exception {
            Path game = Files.createDirectory(folder.resolve("spacewar"));
            Files.copy(Path.of("spacewar/ws-relay.js"), game.resolve("ws-relay.js"));
            Files.writeString(game.resolve("index.html"), """
                    <!DOCTYPE html>
                    <meta http-equiv="Content-Security-Policy" content="connect-src ws:">
                    <title>A game</title>""");
            int port = RelayTest.freePort();
            String address = "http://localhost:" + port + "/spacewar/";
            try (var first = relay(port, game); var page = kind.browser().open(address)) {
                page.until("location.host !== '' && document.readyState === 'complete'").evaluate(JOIN.formatted(port));
                page.until("relay.status === 'open'");
                first.close();
                page.until("relay.status === 'closed'");
                try (var next = relay(port, game)) {
                    page.until("relay.status === 'open'", Duration.ofSeconds(5));
                }
            }
        }
    }

    /** ws-relay.js where there is no page. */
    @Nested
    @Timeout(60)
    @RelayTest.Waits
    @ExtendWith(InBrowsers.class)
    @SuppressWarnings("try")   // that somebody joins is enough
    class OutsideOfAPage {
        /**
         * What it does, told line by line. There is no page's address, nobody is at the first room's, and one of the
         * handlers has a mistake.
         */
        private static final String SCRIPT = """
                const { WebSocketRelay } = await import(module);
                try {
                  new WebSocketRelay('/game');
                } catch ({ message }) {
                  tell(message);
                }
                const away = new WebSocketRelay(nowhere, { open });
                await new Promise(done => { away.onstatus = status => status === 'closed' && done(); });
                away.close();
                tell('closed');
                const relay = new WebSocketRelay(address, { open });
                relay.onself = id => relay.send(new TextEncoder().encode('note to myself'), id);
                relay.onnote = (id, data) => {
                  tell(`${id} ${new TextDecoder().decode(data)}`);
                  throw new Error('a mistake');
                };
                relay.onjoin = id => tell(`${id} join`);
                """;

        private static final String BUILT_IN = "const open = undefined;\n", NODE = """
                const [module, address, nowhere] = process.argv.slice(1);
                const tell = line => console.log(line);
                process.on('uncaughtException', ({ message }) => tell(message));
                """ + SCRIPT;

        private static final List<String> TOLD = List.of(
                "expected an address in full, as in ws://host:8080/game, got '/game'", "closed",
                "1 to myself", "a mistake", "2 join");

        private static String nowhere() throws IOException {
            return "ws://127.0.0.1:" + RelayTest.freePort() + "/game";
        }

        private static void expectIn(Path folder, String... node) throws IOException {
            RelayTest.require("node", "nodejs");
            Path module = Files.copy(Path.of("spacewar/ws-relay.js"), folder.resolve("ws-relay.mjs"));
            try (var relay = RelayTest.relay()) {
                var command = Stream.concat(Stream.of(node), Stream.of(module.toUri() + "",
                        "ws://127.0.0.1:" + relay.port() + "/game", nowhere())).toList();
                try (var program = new RelayTest.Program(RelayTest.Program.ROOT, Map.of(), command)) {
                    program.expectLine("a mistake");
                    try (var two = RelayTest.Raw.open(relay, RelayTest.ROOM)) {
                        program.expectLine("2 join");
                    }
                    assertEquals(TOLD, program.out, program.err::toString);
                }
            }
        }

        @Test
        void inNode(@TempDir Path folder) throws Exception {
            RelayTest.require("node", "nodejs");
            String flag = "--experimental-websocket";   // of those from 20.10 on, which have one
            Assumptions.assumeTrue(RelayTest.launch(new ProcessBuilder("node", flag, "-e", "0")).waitFor() == 0,
                    "this node has no WebSocket; those from 20.10 on have one");
            expectIn(folder, "node", flag, "--input-type=module", "-e", BUILT_IN + NODE);
        }

        @Test
        void inNodeWithTheWebSocketOfNpmsWs(@TempDir Path folder) throws Exception {
            Path ws = RelayTest.Program.ROOT.resolve("build/ws/wrapper.mjs");
            RelayTest.require(Files.exists(ws), "ws is missing, which build.sh fetches: apt install npm");
            expectIn(folder, "node", "--input-type=module", "-e",
                    "const { WebSocket } = await import('" + ws.toUri() + "');\n"
                    + "const open = url => new WebSocket(url);\n" + NODE);
        }

        /** One whose address is a blob's, to which no other can be relative. */
        @ParameterizedTest
        @EnumSource
        void inAWorker(Kind kind) throws Exception {
            try (var relay = SpacewarTest.withPages(0);
                    var page = kind.browser().open("http://localhost:" + relay.port() + "/health")) {
                String host = "//localhost:" + relay.port(), script = """
                        const [module, address, nowhere] = ['http:%1$s/spacewar/ws-relay.js', 'ws:%1$s/game', '%2$s'];
                        const tell = postMessage;
                        """.formatted(host, nowhere()) + BUILT_IN + SCRIPT;
                page.until("location.host !== '' && document.readyState === 'complete'").evaluate("""
                        void (script => {
                          globalThis.told = [];
                          const blob = new Blob([script], { type: 'text/javascript' });
                          const worker = new Worker(URL.createObjectURL(blob), { type: 'module' });
                          worker.onmessage = ({ data }) => told.push(data);
                          worker.onerror = event => {
                            event.preventDefault();
                            told.push(event.message.replace(/^.*Error: /, ''));
                          };
                        })(%s)""".formatted(Json.write(script)));
                page.until("told.includes('a mistake')");
                try (var two = RelayTest.Raw.open(relay, RelayTest.ROOM)) {
                    page.until("told.length === 5");
                }
                assertEquals(TOLD, page.evaluate("told"));
            }
        }
    }
}
