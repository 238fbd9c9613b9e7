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
import org.junit.jupiter.params.provider.CsvSource;

@Timeout(120)
class DirectTest {
    /** Two pages in a network of their own, which send each other numbers and note what is wrong with what comes. */
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
              globalThis.relay = new WebRTCRelay('/pair');
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

        final Network lan = Network.lan();
        final RelayTest.Program relay = lan.relay("0");
        final List<Browser.Page> pages = new ArrayList<>();

        Pair(String... browsers) throws IOException {
            for (String browser : browsers) {
                var page = (browser.equals("Firefox") ? lan.firefox() : lan.chromium())
                        .open("http://10.77.0.1:" + relay.url().getPort() + "/health");
                pages.add(page);
                page.until("document.readyState === 'complete' && location.pathname === '/health'").evaluate(PAGE);
                page.until("relay.id !== null");
            }
            expect("path() === 'webrtc'", Duration.ofSeconds(10));
        }

        void expect(String condition, Duration atMost) {
            for (var page : pages) page.until(condition, atMost);
        }

        /** Whether all that one has sent has come to the other, once and in order. */
        void expectAll() {
            for (int i = 0; i < 2; i++) {
                pages.get(i).until("came === " + pages.get(1 - i).evaluate("sent"), Duration.ofSeconds(60));
                assertEquals(List.of(), pages.get(i).evaluate("wrong"));
            }
        }

        @Override
        public void close() throws IOException {
            try (lan; relay) {
                var complaints = pages.stream().flatMap(page -> page.complaints.stream())
                        .filter(complaint -> !complaint.contains("/favicon.ico")).toList();
                assertEquals(List.of(), complaints);
            }
        }
    }

    @Nested
    @RelayTest.Waits
    class DirectAfterAnOutage {
        /** The WebSocket is there all the while. */
        @ParameterizedTest(name = "{1} and {2}, {0} s")
        @CsvSource({ "8, Chromium, Chromium", "18, Chromium, Chromium", "32, Chromium, Chromium",
            "14, Chromium, Firefox", "14, Firefox, Chromium", "14, Firefox, Firefox" })
        void ofUdpForSoManySecondsTheyAreDirectAgainAndNothingIsLostOrDoubled(int seconds, String one, String other)
                throws Exception {
            if (one.equals("Firefox") || other.equals("Firefox")) Firefox.require();
            try (var pair = new Pair(one, other)) {
                for (var page : pair.pages)
                    page.evaluate("globalThis.sending = setInterval(() => relay.send(`number ${++sent}`), 50); null");
                pair.lan.cutUdp();
                long mendAt = System.nanoTime() + seconds * 1_000_000_000L;
                pair.expect("path() === 'relay'", Duration.ofSeconds(5));
                Thread.sleep(Math.max(0, (mendAt - System.nanoTime()) / 1_000_000));
                pair.lan.mendUdp();
                long mended = System.nanoTime();
                pair.expect("path() === 'webrtc'", Duration.ofSeconds(20));
                System.out.printf("  %s and %s, no UDP for %d s: direct again after %d ms%n", one, other, seconds,
                        (System.nanoTime() - mended) / 1_000_000);
                for (var page : pair.pages) page.evaluate("clearInterval(sending)");
                pair.expectAll();
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

        @Test
        void eightMegabytesPacedByWhatIsBufferedComeWholeOverOneConnection() throws IOException {
            try (var pair = new Pair("Chromium", "Chromium")) {
                pair.pages.getFirst().evaluate(PACED);
                pair.expectAll();
                for (var page : pair.pages) assertEquals("webrtc 1", page.evaluate("`${path()} ${connections}`"));
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
}
