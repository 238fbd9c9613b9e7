// SPDX-License-Identifier: MIT
/*
 * A game of one's own beside this one, as tests in Chromium: the README's drawing board, and what pages may do.
 */

import static org.junit.jupiter.api.Assertions.*;

import java.io.*;
import java.nio.file.*;
import java.util.*;
import java.util.regex.Matcher;
import java.util.stream.*;
import org.junit.jupiter.api.*;
import org.junit.jupiter.api.extension.*;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.*;

@Timeout(60)
class OwnGameTest extends Fixtures {
    /** The README's example of a game, as it stands there. */
    @Nested
    class DrawingBoard {
        @TempDir
        Path folder;

        @Test
        @ExtendWith(InChromium.class)
        void twoDrawOnItAndWhoComesLaterSeesItAll() throws IOException {
            Path board = board();
            try (var relay = relay(options -> options.folders = List.of(board, Path.of("spacewar")));
                    var raw = Raw.open(relay, "/ws-relay/board").expect("1 self");
                    var one = InChromium.open(relay, "/board"); var two = InChromium.open(relay, "/board")) {
                raw.expect("2 join", "3 join");
                drag(one, 20, 40, 120, 90);
                two.until(drawn(70, 65));
                drag(two, 200, 40, 220, 90);
                one.until(drawn(210, 65));
                try (var three = InChromium.open(relay, "/board")) {
                    three.until(drawn(70, 65)).until(drawn(210, 65));
                }
                assertEquals(List.of(), Stream.of(one, two).flatMap(page -> page.complaints.stream()).toList());
            }
        }

        /** Those who drew together go on when the relay is gone. */
        @Test
        void withTwoLinesChangedItNeedsTheRelayNoMore() throws Exception {
            Path board = board(), script = board.resolve("board.js");
            for (String begin : List.of("import ", "const relay = ")) {
                String changed = fromReadme("(?m)^(" + begin + ".*WebRTCRelay.*)");
                Files.writeString(script, Files.readString(script)
                        .replaceFirst("(?m)^" + begin + ".*", Matcher.quoteReplacement(changed)));
            }
            try (var lan = Network.lan(); var relay = lan.relay("--dir", board.toString(), "--dir", "spacewar", "0");
                    var one = lan.chromium().blank(); var two = lan.chromium().blank()) {
                for (var page : List.of(one, two)) page.first(SpacewarTest.Direct.NOTES);
                for (var page : List.of(one, two)) page.go("http://10.77.0.1:" + relay.url().getPort() + "/board");
                for (var page : List.of(one, two)) page.until("times.heard > 0");
                drag(one, 20, 40, 120, 90);
                two.until(drawn(70, 65));
                relay.signal("KILL");
                relay.exitCode();
                drag(two, 200, 40, 220, 90);
                one.until(drawn(210, 65));
            }
        }

        private Path board() throws IOException {
            Path board = Files.createDirectory(folder.resolve("board"));
            Files.writeString(board.resolve("index.html"), blockOfReadme("html", "<canvas"));
            Files.writeString(board.resolve("board.js"), blockOfReadme("js", "canvas"));
            return board;
        }

        /** Draws a line with the mouse, in px of the canvas. */
        private static void drag(Chromium.Page page, int fromX, int fromY, int toX, int toY) {
            var corner = (Map<?, ?>) page.until("document.querySelector('canvas')?.onpointermove != null")
                    .evaluate("document.querySelector('canvas').getBoundingClientRect().toJSON()");
            double left = (Double) corner.get("left"), top = (Double) corner.get("top");
            mouse(page, "mousePressed", left + fromX, top + fromY);
            mouse(page, "mouseMoved", left + toX, top + toY);
            mouse(page, "mouseReleased", left + toX, top + toY);
        }

        private static void mouse(Chromium.Page page, String type, double x, double y) {
            page.call("Input.dispatchMouseEvent", Map.of("type", type, "button", "left",
                    "buttons", type.equals("mouseReleased") ? 0 : 1, "x", x, "y", y));
        }

        /** Whether there is anything within 2 px of a point. */
        private static String drawn(int x, int y) {
            return """
                    (() => {
                      const copy = new OffscreenCanvas(5, 5).getContext('2d');
                      copy.drawImage(document.querySelector('canvas'), %d, %d, 5, 5, 0, 0, 5, 5);
                      return copy.getImageData(0, 0, 5, 5).data.some(Boolean);
                    })()""".formatted(x - 2, y - 2);
        }
    }

    /** What browsers do with a game of one's own, in one page of it. */
    @Nested
    @ExtendWith(InChromium.class)
    class OwnGame {
        private static final String VIOLATIONS = """
                globalThis.violations = [];
                document.addEventListener('securitypolicyviolation', event =>
                  violations.push(`${event.violatedDirective} ${event.blockedURI}`));""";
        @TempDir
        static Path folder;
        private static Relay relay;
        private static Chromium.Page page;

        @BeforeAll
        static void open() throws IOException {
            Path game = Files.createDirectories(folder.resolve("my:game"));
            Files.writeString(game.resolve("index.html"), """
                    <!DOCTYPE html><title>mine</title>
                    <style>body { margin: 7px }</style>
                    <body style="padding: 9px">
                    <script type="module">
                      import { WebSocketRelay } from '/spacewar/ws-relay.js';
                      globalThis.imported = typeof WebSocketRelay;
                    </script>""");
            relay = relay(options -> options.folders = List.of(game, Path.of("spacewar")));
            page = InChromium.chromium.blank().first(VIOLATIONS).go("http://localhost:" + relay.port() + "/my:game/");
            page.until("document.title === 'mine' && document.readyState === 'complete'");
        }

        @AfterAll
        static void close() throws IOException {
            if (page != null) page.close();   // null: there is no browser here
            if (relay != null) relay.close();
        }

        private static void expect(Object expected, String script) {
            assertEquals(expected, page.evaluate(script));
        }

        @Test
        void itsAddressMayHoldAColonAndItImportsWhatComesWithTheRelay() {
            page.until("globalThis.imported === 'function'");
            try (var start = InChromium.open(relay, "/?a=b")) {
                start.until("decodeURIComponent(location.pathname + location.search) === '/my:game/?a=b'");
            }
        }

        @Test
        void itMayUseInlineStylesWorkersOfBlobsAndOtherHosts() {
            expect("7px 9px", "(({ margin, padding }) => `${margin} ${padding}`)(getComputedStyle(document.body))");
            expect(true, """
                    new Promise(told => {
                      const code = new Blob(['postMessage(true)'], { type: 'text/javascript' });
                      const worker = new Worker(URL.createObjectURL(code));
                      worker.onmessage = ({ data }) => told(data);
                      worker.onerror = () => told('refused');
                    })""");
            expect("opaque", "fetch('http://127.0.0.1:" + relay.port() + "/health', { mode: 'no-cors' })"
                    + ".then(({ type }) => type)");
            page.evaluate("new FontFace('x', 'url(data:font/woff2;base64,AAAA)').load().catch(() => 'it is none')");
            expect(List.of(), "violations");
        }

        @Test
        void pagesOfAnAllowedOriginReadIceJsonAndThoseOfFilesConnect() throws IOException {
            Path file = Files.writeString(folder.resolve("page.html"), "<!DOCTYPE html><title>a file</title>");
            String connects = """
                    new Promise(told => {
                      const socket = new WebSocket('ws://localhost:%d/ws-relay/a');
                      socket.onopen = () => told(true);
                      socket.onclose = () => told(false);
                    })""";
            try (var strict = relay(options -> options.folders = List.of(folder.resolve("my:game")));
                    var open = relay(options -> {
                        options.folders = List.of(folder.resolve("my:game"));
                        options.origins.addAll(List.of("null", "file://", "http://localhost:" + relay.port()));
                    });
                    var files = InChromium.chromium.open(file.toUri().toString())) {
                String reads = "fetch('http://localhost:%d/my:game/ice.json').then(answer => answer.json())"
                        + ".then(Object.keys, () => ['refused'])";
                expect(List.of("iceServers"), reads.formatted(open.port()));
                expect(List.of("refused"), reads.formatted(strict.port()));
                files.until("document.title === 'a file'");
                assertEquals(List.of(true, false), List.of(files.evaluate(connects.formatted(open.port())),
                        files.evaluate(connects.formatted(strict.port()))));
            }
        }

        /** Their policy is in the pages, whoever serves them. */
        @ParameterizedTest
        @ValueSource(strings = {"index.html", "watch.html", "test/index.html"})
        void pagesOfSpacewarRunNoInlineScriptAndNeedNone(String name) {
            try (var files = new FilesOnly(); var game = InChromium.chromium.blank().first(VIOLATIONS)) {
                game.go(files.url("/spacewar/" + name)).until("location.host && document.readyState === 'complete'");
                assertEquals(List.of(), game.evaluate("violations"));
                game.evaluate("""
                        const script = document.createElement('script');
                        script.textContent = 'globalThis.harmed = true';
                        document.head.append(script);""");
                game.until("violations.join() === 'script-src-elem inline'");
                assertNull(game.evaluate("globalThis.harmed"));
            }
        }
    }
}
