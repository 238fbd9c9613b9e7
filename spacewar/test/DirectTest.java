// SPDX-License-Identifier: MIT
/*
 * What webrtc-relay.js promises to any game, between pages that do nothing but send: what comes over the direct path,
 * and after it has failed.
 */

import static org.junit.jupiter.api.Assertions.*;

import java.io.*;
import java.time.Duration;
import java.util.*;
import java.util.stream.*;
import org.junit.jupiter.api.*;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

@Timeout(120)
class DirectTest {
    /** A network with a relay, for pairs of pages. */
    private record Lan(Network network, RelayTest.Program relay) implements AutoCloseable {
        static Lan begin() throws IOException {
            var network = Network.lan();
            return new Lan(network, network.relay("0"));
        }

        @Override
        public void close() throws IOException {
            try (network; relay) { }
        }
    }

    /** Two pages, which send each other numbers and note what is wrong with what comes. Their room is their own. */
    private static final class Pair {
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

        Pair(Lan lan, String... browsers) throws IOException {
            for (String browser : browsers) {
                var page = (browser.equals("Firefox") ? lan.network.firefox() : lan.network.chromium())
                        .open("http://10.77.0.1:" + lan.relay.url().getPort() + "/health");
                pages.add(page);
                page.until("document.readyState === 'complete' && location.pathname === '/health'")
                        .evaluate(PAGE.formatted(room));
                page.until("relay.id !== null");
            }
            expect("path() === 'webrtc'", Duration.ofSeconds(10));
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
    }

    @Nested
    @RelayTest.Waits
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
            try (var lan = Lan.begin()) {
                var pairs = new ArrayList<Pair>();
                for (String pair : browsers) pairs.add(new Pair(lan, pair.split(" and ")));
                for (var pair : pairs)
                    for (var page : pair.pages) page.evaluate(
                            "globalThis.sending = setInterval(() => relay.send(`number ${++sent}`), 50); null");
                lan.network.cutUdp();
                long mendAt = System.nanoTime() + seconds * 1_000_000_000L;
                for (var pair : pairs) pair.expect("path() === 'relay'", Duration.ofSeconds(5));
                Thread.sleep(Math.max(0, (mendAt - System.nanoTime()) / 1_000_000));
                lan.network.mendUdp();
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
            }
        }
    }

    @Nested
    @RelayTest.Waits
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

        private static Lan lan;

        @BeforeAll
        static void begin() throws IOException {
            lan = Lan.begin();
        }

        @AfterAll
        static void end() throws IOException {
            if (lan != null) lan.close();
        }

        @Test
        void eightMegabytesPacedByWhatIsBufferedComeWholeOverOneConnection() throws IOException {
            var pair = new Pair(lan, "Chromium", "Chromium");
            pair.pages.getFirst().evaluate(PACED);
            pair.expectAll();
            for (var page : pair.pages) assertEquals("webrtc 1", page.evaluate("`${path()} ${connections}`"));
        }

        @Test
        void unpacedTheyComeWholeAsWell() throws IOException {
            var pair = new Pair(lan, "Chromium", "Chromium");
            for (var page : pair.pages) page.evaluate(
                    "while (sent < 500) relay.send(`number ${++sent} ${'x'.repeat(16_000)}`); null");
            pair.expectAll();
            pair.expect("path() === 'webrtc'", Duration.ofSeconds(20));
        }
    }
}
