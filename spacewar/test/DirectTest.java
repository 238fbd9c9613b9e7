// SPDX-License-Identifier: MIT
/*
 * What webrtc-relay.js promises to any game, between pages that do nothing but send: what comes over the direct path,
 * and after it has failed. And players who are connected directly, in Firefox as well. All of them, one after the
 * other, are in one LAN with its browsers.
 */

import static org.junit.jupiter.api.Assertions.*;

import java.io.*;
import java.time.Duration;
import java.util.*;
import java.util.stream.*;
import org.junit.jupiter.api.*;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

@Timeout(240)   // browsers start within the first test, beside those of other tests
@Order(2)   // waits for long
class DirectTest {
    private static Network lan;
    private static RelayTest.Program relay;

    @BeforeAll
    static void begin() throws IOException {
        lan = Network.lan();
        relay = lan.relay("0");
    }

    @AfterAll
    static void end() throws IOException {
        if (lan == null) return;
        relay.close();
        lan.close();
    }

    /** An address of the relay. */
    private static String address(String path) {
        return "http://10.77.0.1:" + relay.url().getPort() + path;
    }

    /** Two pages, which send each other numbers and note what is wrong with what comes. Their room is their own. */
    private static final class Pair implements AutoCloseable {
        private static final String PAGE = """
            (async () => {
              const { WebRTCRelay } = await import('/spacewar/webrtc-relay.js');
              globalThis.connections = 0;
              globalThis.RTCPeerConnection = class extends RTCPeerConnection {
                createDataChannel(...args) {
                  if (args[0] === 'reliable') connections++;
                  return super.createDataChannel(...args);
                }
              };
              globalThis.relay = new WebRTCRelay('/%s');
              globalThis.sent = 0;
              globalThis.came = 0;
              globalThis.wrong = [];
              relay.onnumber = (id, data) => {
                const number = Number(data.split(' ')[0]);
                if (number !== came + 1) wrong.push(`${number} after ${came}`);
                came = number;
              };
              globalThis.path = () => [...relay.peers].map(id => relay.path(id)).join();
            })()""";

        final List<Browser.Page> pages = new ArrayList<>();
        private final String room = UUID.randomUUID().toString();

        Pair(String... browsers) throws IOException {
            for (String browser : browsers) {
                var page = (browser.equals("Firefox") ? lan.firefox() : lan.chromium()).open(address("/health"));
                pages.add(page);
                page.until("document.readyState === 'complete' && location.pathname === '/health'")
                        .evaluate(PAGE.formatted(room));
                page.until("relay.id !== null");
            }
            expect("path() === 'webrtc'", Duration.ofSeconds(30));
        }

        void expect(String condition, Duration atMost) {
            for (var page : pages) page.until(condition, atMost);
        }

        /** All that one has sent has come to the other, once and in order, and the consoles are silent. */
        void expectAll() {
            for (int i = 0; i < 2; i++) {
                pages.get(i).until("came === " + pages.get(1 - i).evaluate("sent"), Duration.ofSeconds(60));
                assertEquals(List.of(), pages.get(i).evaluate("wrong"));
                assertEquals(List.of(), pages.get(i).complaints.stream()
                        .filter(complaint -> !complaint.contains("/favicon.ico")).toList());
            }
        }

        @Override
        public void close() {
            for (var page : pages) page.close();
        }
    }

    @Nested
    class DirectAfterAnOutage {
        @ParameterizedTest
        @ValueSource(ints = {8, 18, 32})
        void ofUdpForSoManySecondsTheyAreDirectAgainAndNothingIsLostOrDoubled(int seconds) throws Exception {
            tryPairs(seconds, "Chromium and Chromium");
        }

        @Test
        void theyAreSoInOrWithFirefox() throws Exception {
            Firefox.require();
            tryPairs(14, "Chromium and Firefox", "Firefox and Chromium", "Firefox and Firefox");
        }

        /** The WebSocket is there all the while. */
        private static void tryPairs(int seconds, String... browsers) throws Exception {
            var pairs = new ArrayList<Pair>();
            try {
                for (String pair : browsers) pairs.add(new Pair(pair.split(" and ")));
                for (var pair : pairs)
                    for (var page : pair.pages) page.evaluate(
                            "globalThis.sending = setInterval(() => relay.send(`number ${++sent}`), 50); null");
                lan.cutUdp();
                long mendAt = System.nanoTime() + seconds * 1_000_000_000L;
                for (var pair : pairs) pair.expect("path() === 'relay'", Duration.ofSeconds(15));   // after 3 s
                Thread.sleep(Math.max(0, (mendAt - System.nanoTime()) / 1_000_000));
                lan.mendUdp();
                long mended = System.nanoTime();
                for (var pair : pairs) {
                    pair.expect("path() === 'webrtc'", Duration.ofSeconds(20));
                    System.out.printf("  %s, no UDP for %d s: direct again after %d ms%n",
                            browsers[pairs.indexOf(pair)], seconds, (System.nanoTime() - mended) / 1_000_000);
                }
                for (var pair : pairs) {
                    for (var page : pair.pages) page.evaluate("clearInterval(sending)");
                    pair.expectAll();
                }
            } finally {
                lan.mendUdp();
                for (var pair : pairs) pair.close();
            }
        }
    }

    @Nested
    class DirectInBulk {
        /** As a game sends a map or a saved game: 8 MB, more while little waits. */
        private static final String PACED = """
            (async () => {
              const padding = 'x'.repeat(16_000);
              while (sent < 500) {
                if (relay.buffered < 65_536) relay.send(`number ${++sent} ${padding}`);
                else await new Promise(resolve => setTimeout(resolve, 5));
              }
            })()""";

        @Test
        void eightMegabytesPacedByWhatIsBufferedComeWholeOverOneConnection() throws IOException {
            try (var pair = new Pair("Chromium", "Chromium")) {
                pair.pages.getFirst().evaluate(PACED);
                pair.expectAll();
                // A page that got no processor for 3 s uses the relay for a while.
                pair.expect("`${path()} ${connections}` === 'webrtc 1'", Duration.ofSeconds(20));
            }
        }

        @Test
        void unpacedTheyComeWholeAsWell() throws IOException {
            try (var pair = new Pair("Chromium", "Chromium")) {
                for (var page : pair.pages) page.evaluate(
                        "while (sent < 500) relay.send(`number ${++sent} ${'x'.repeat(16_000)}`); null");
                pair.expectAll();
                pair.expect("path() === 'webrtc'", Duration.ofSeconds(20));
            }
        }
    }

    /** Players who are connected directly. */
    @Nested
    class DirectWithFirefox {
        @Test
        void twoInFirefoxAndOneInChromium() throws IOException {
            String address = address("/spacewar/");
            try (var ann = Player.of(lan.firefox(), address, "Ann"); var bob = Player.of(lan.firefox(), address, "Bob");
                    var cyd = Player.of(lan.chromium(), address, "Cyd")) {
                SpacewarTest.meet(ann, bob, cyd);
                SpacewarTest.Direct.areConnected("webrtc", ann, bob, cyd);
                SpacewarTest.Direct.allPlayOn(ann, bob, cyd);
                SpacewarTest.shoot(ann, bob, 800);
                SpacewarTest.shoot(cyd, ann, -800);
                for (String name : List.of("Ann", "Cyd"))
                    SpacewarTest.allSee(name, "ship.score === 1", ann, bob, cyd);
            }
        }
    }
}
