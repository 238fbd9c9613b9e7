// SPDX-License-Identifier: MIT
/*
 * What surrounds the relay, as tests: build.sh and what runs the tests, the README's options, figures and examples, a
 * game of one's own in a browser, and the README's configurations for a service, a proxy and several machines.
 */

import static org.junit.jupiter.api.Assertions.*;

import java.io.*;
import java.net.*;
import java.nio.file.*;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.locks.LockSupport;
import java.util.function.*;
import java.util.regex.*;
import java.util.stream.*;
import javax.net.ssl.*;
import org.junit.jupiter.api.*;
import org.junit.jupiter.api.extension.*;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.*;

@Timeout(60)
class ProjectTest extends Fixtures {
    /** build.sh, as far as it can be tried in a copy and without Maven. */
    @Nested
    class BuildScript {
        @TempDir
        Path copy;

        @BeforeEach
        void copy() throws IOException {
            for (String name : List.of("build.sh", "Relay.java")) Files.copy(Program.ROOT.resolve(name),
                    copy.resolve(name));
        }

        private Program build(Map<String, String> environment, String... args) throws IOException {
            return new Program(copy.getRoot(), environment,
                    Stream.concat(Stream.of("/bin/bash", copy + "/build.sh"), Stream.of(args)).toList());
        }

        @Test
        void helpListsTheCommands() throws Exception {
            for (String[] args : new String[][] {{}, {"help"}})
                try (var program = build(Map.of(), args)) {
                    String help = String.join("\n", program.expectExit(0).out);
                    for (String command : List.of("run", "test", "echo", "jar",
                            "clean")) assertTrue(help.contains("build.sh " + command), help);
                }
            try (var program = build(Map.of(), "nonsense")) {
                assertTrue(program.expectExit(2).err.getFirst().contains("'nonsense'"), program.err::toString);
            }
        }

        @Test
        void itRunsFromAnywhereAlsoWithoutAHomeAndTheJarNeedsJavaAlone() throws Exception {
            var jdk = Map.of("JAVA_HOME", System.getProperty("java.home"), "JDK_JAVA_OPTIONS", Program.QUICK);
            try (var run = build(jdk, "run", "--version"); var jar = build(jdk, "jar")) {
                assertEquals(List.of("relay 1.0"), run.expectExit(0).out);
                jar.expectExit(0);
            }
            try (var program = new Program(copy, Map.of(),
                    List.of(Program.JAVA, "-jar", "build/relay.jar", "--version"))) {
                assertEquals(List.of("relay 1.0"), program.expectExit(0).out);
            }
            try (var program = build(jdk, "clean")) {
                program.expectExit(0);
                assertFalse(Files.exists(copy.resolve("build")));
            }
        }

        /** A folder with these programs alone. */
        private Path onlyTools(String... names) throws IOException {
            Path tools = Files.createDirectories(copy.resolve("tools"));
            for (String name : names) {
                Files.writeString(tools.resolve(name), "#!/bin/sh\nPATH=/usr/bin:/bin\nexec " + name + " \"$@\"\n");
                assertTrue(tools.resolve(name).toFile().setExecutable(true));
            }
            return tools;
        }

        @Test
        void withoutMavenTheTestsSayHowToGetIt() throws Exception {
            try (var program = build(Map.of("PATH", onlyTools("dirname").toString()), "test")) {
                String complaint = program.expectExit(1).complaint();
                assertTrue(complaint.matches(".*need Maven.*sudo apt install maven.*"), complaint);
            }
        }

        @Test
        void withoutANewJdkItSaysHowToGetOne() throws Exception {
            Path script = copy.resolve("build.sh"), tools = onlyTools("dirname", "readlink", "sed", "grep");
            // the usual folders are empty
            Files.writeString(script, Files.readString(script).replaceAll("/(usr|opt|Library)/", "/nowhere/"));
            for (String home : Stream.concat(Stream.of(""), oldJdk().map(Path::toString).stream()).toList())
                try (var program = build(Map.of("PATH", tools.toString(), "HOME", copy.toString(), "JAVA_HOME", home),
                        "run", "--version")) {
                    String complaint = program.expectExit(1).complaint();
                    assertTrue(complaint.matches(".*needs Java 21 or newer.*apt install.*"), complaint);
                }
        }
    }

    /** What `build.sh test` runs tells all that happened, and nothing else. */
    @Nested
    @Waits
    class Runner {
        private static final String SAMPLE = """
            import java.util.concurrent.*;
            import org.junit.jupiter.api.*;

            class SampleTest {
                @java.lang.annotation.Retention(java.lang.annotation.RetentionPolicy.RUNTIME)
                @RepeatedTest(2)
                @interface Twice {}

                @Nested
                class Good {
                    @Test
                    void holds() {}

                    @Twice
                    void holdsAgain() {}
                }

                static final CountDownLatch BEGUN = new CountDownLatch(2), ENDED = new CountDownLatch(2);

                static void meet() throws InterruptedException {
                    BEGUN.countDown();
                    Assertions.assertTrue(BEGUN.await(5, TimeUnit.SECONDS), "nobody comes");
                    Thread.sleep(100);
                    ENDED.countDown();
                }

                @Nested
                class Meets {
                    @Test
                    @Tag("alone")
                    void afterAllElse() { Assertions.assertEquals(0, ENDED.getCount()); }

                    @Test
                    void another() throws Exception { meet(); }
                }

                @Nested
                class Bad {
                    @Test
                    void breaks() { Assertions.fail("broken"); }

                    @Test
                    void lacks() { Assumptions.abort("x is missing: apt install libx"); }
                }

                @Nested
                @TestInstance(TestInstance.Lifecycle.PER_CLASS)
                class NoneOfIt {
                    @BeforeAll
                    void begin() { Assumptions.abort("y is missing: apt install y"); }

                    @Test
                    void one() {}

                    @Test
                    void two() {}
                }

                @Nested
                @TestInstance(TestInstance.Lifecycle.PER_CLASS)
                class BadEnd {
                    @Test
                    void one() {}

                    @AfterAll
                    void end() { throw new IllegalStateException("left over"); }
                }

                @Nested
                @Tag("bench")
                class Figures {
                    @Test
                    void measure() {}
                }
            }

            class OtherTest {
                @Nested
                class IsMet {
                    @Test
                    void meets() throws Exception { SampleTest.meet(); }
                }
            }
            """;

        @TempDir
        static Path classes;

        @BeforeAll
        static void compile() throws IOException {
            Path source = Files.writeString(classes.resolve("SampleTest.java"), SAMPLE);
            assertEquals(0, java.util.spi.ToolProvider.findFirst("javac").orElseThrow().run(System.out, System.err,
                    "-d", classes.toString(), "-cp", System.getProperty("java.class.path"), source.toString()));
        }

        /** What it prints, and as the last line with which code it exits. */
        private static List<String> run(String args) throws Exception {
            var printed = new ByteArrayOutputStream();
            try (var samples = new URLClassLoader(new URL[] {classes.toUri().toURL()},
                    Thread.currentThread().getContextClassLoader())) {
                var run = new FutureTask<Integer>(() ->
                        RunTests.run(classes, List.of(args.split(" ")), new PrintStream(printed, true)));
                var thread = new Thread(run);   // one of JUnit's would run other tests here while it waits for these
                thread.setContextClassLoader(samples);
                thread.start();
                thread.join();
                return (printed + "\nexit " + run.get()).lines().filter(line -> !line.isEmpty()).toList();
            } catch (ExecutionException failure) {
                throw failure.getCause() instanceof Exception cause ? cause : failure;
            }
        }

        @Test
        void itTellsOfEachGroupOfFailuresAtOnceAndAgainOfWhatWasSkippedAndHowManyTestsThereWere() throws Exception {
            var lines = run("test");
            for (String line : List.of("passed   Good +3 tests +[0-9.]+ s", "FAILED   Bad > breaks: broken",
                    "FAILED   Bad +2 tests +[0-9.]+ s  1 failed  1 skipped",
                    "skipped  NoneOfIt +2 tests +[0-9.]+ s  2 skipped", "FAILED   BadEnd: left over",
                    "FAILED   BadEnd +2 tests +[0-9.]+ s  1 failed", "FAILED   Bad > breaks",
                    "\\s+at SampleTest\\$Bad.breaks\\(SampleTest.java:[0-9]+\\)",
                    "passed   IsMet +1 test +[0-9.]+ s", "passed   Meets +2 tests +[0-9.]+ s"))
                assertEquals(1, lines.stream().filter(each -> each.matches(line)).count(),
                        () -> line + " in\n" + String.join("\n", lines));
            assertEquals(List.of("skipped: 1 without libx, 2 without y (sudo apt install libx y)",
                    "tests: 7 passed, 2 failed, 3 skipped", "exit 1"), lines.subList(lines.size() - 3, lines.size()));
            assertTrue(lines.indexOf("FAILED   Bad > breaks") > lines.indexOf("FAILED   Bad > breaks: broken"));
        }

        @ParameterizedTest
        @CsvSource({"test Good, 3, 0", "test Good.holds, 1, 0", "test Good BadEnd.one Bad.lacks, 4, 1",
                "test OtherTest Meets, 3, 0", "bench, 1, 0", "bench Figures, 1, 0"})
        void groupsAndSingleTestsAreRunByTheirNames(String args, int passed, int code) throws Exception {
            var lines = run(args);
            assertTrue(lines.get(lines.size() - 2).startsWith("tests: " + passed + " passed, "), lines::toString);
            assertEquals("exit " + code, lines.getLast());
        }

        @ParameterizedTest
        @CsvSource({"test Wrong, there is no group 'Wrong', Bad BadEnd Good IsMet Meets NoneOfIt",
                "bench Good, there is no group 'Good', Figures",
                "test Good.wrong, there is no test 'wrong' in Good, holds holdsAgain"})
        void aNameThatThereIsNotIsAnsweredWithThoseThatThereAre(String args, String complaint, String names) {
            assertEquals((complaint + "; there are: " + names).replace(" ", ""),
                    assertThrows(RunTests.NoSuchTest.class, () -> run(args)).getMessage().replaceAll("\\s", ""));
        }
    }

    /** The README tells of the options, defaults and commands that there are. */
    @Nested
    class Readme {
        private String readme;
        private final String help = Relay.HELP;

        @BeforeEach
        void read() throws IOException {
            Assumptions.assumeTrue(Files.exists(Path.of("README.md")), "there is no README.md");
            readme = Files.readString(Path.of("README.md"));
        }

        private static Stream<java.util.regex.MatchResult> find(String regex, String text) {
            return java.util.regex.Pattern.compile(regex, java.util.regex.Pattern.MULTILINE).matcher(text).results();
        }

        private static Set<String> groups(String regex, String text) {
            return find(regex, text).map(match -> match.group(1)).collect(Collectors.toCollection(TreeSet::new));
        }

        /**
         * In code spans that begin with an option, and after the relay's name in commands: other programs have options
         * too.
         */
        @Test
        void itNamesTheOptionsOfHelpAndNoOthers() {
            String option = "(?<![\\w-])(--[a-z][a-z-]*)";
            String ours = String.join("\n", groups("(`--[^`\n]*|(?:Relay\\.java|relay\\.jar|build\\.sh run)[^`|#&\n]*)",
                    readme));
            assertEquals(groups(option, help), groups(option, ours));
        }

        @Test
        void itsTableOfOptionsHasTheDefaultsOfHelp() {
            find("^\\| *`(--[a-z-]+)[^|]*\\|(.*)", readme).forEach(row ->
                    find(row.group(1) + " (?:[^-]|-(?!-))*?\\(default: ([0-9]+)[,)]", help)
                            .map(known -> Long.valueOf(known.group(1)))
                            .forEach(value -> assertTrue(numbers(row.group(2)).contains(value), row.group() + " lacks "
                            + value)));
        }

        /** In bytes and seconds, whatever else the row says. */
        @Test
        void itsTableOfLimitsHasTheValuesOfTheCode() throws IOException {
            var options = new Relay.Options();
            String code = Files.readString(Path.of("Relay.java"));
            Function<String, Long> constant = name -> find("int " + name + " = ([0-9_]+)(?: << ([0-9]+))?;", code)
                    .map(value -> Long.parseLong(value.group(1).replace("_", ""))
                            << (value.group(2) == null ? 0 : Integer.parseInt(value.group(2))))
                    .findFirst().orElseThrow();
            long window = options.maxOutbox / constant.apply("WINDOW_DIVISOR");
            var limits = Map.ofEntries(
                    Map.entry("request head", List.of(constant.apply("MAX_HEAD"), options.headTimeout / 1_000)),
                    Map.entry("name of a room", List.of(constant.apply("MAX_ROOM_NAME"))),
                    Map.entry("message", List.of((long) options.maxMessage)),
                    Map.entry("outbox", List.of((long) options.maxOutbox)),
                    Map.entry("window", List.of(window, constant.apply("WINDOW_DIVISOR"))),
                    Map.entry("clients", List.of((long) options.maxClients, constant.apply("CLIENT_MEMORY"),
                            constant.apply("RESERVED_MEMORY"))),
                    Map.entry("HTTP connections", List.of((long) options.maxHttpConnections)),
                    Map.entry("silence", List.of(options.pingInterval / 1_000, options.pingInterval / 500)),
                    Map.entry("a write", List.of(options.stallTimeout / 1_000)),
                    Map.entry("closing", List.of(options.closeTimeout / 1_000)),
                    Map.entry("STUN request", List.of(constant.apply("MAX_STUN"))),
                    Map.entry("shutdown", List.of(options.shutdownTimeout / 1_000)));
            limits.forEach((limit, values) -> {
                var rows = find("^\\| " + limit + "[^|]*\\|[^|]*[0-9][^|]*\\|.*", readme)
                        .map(MatchResult::group).toList();
                assertEquals(1, rows.size(), limit);
                assertTrue(numbers(rows.getFirst()).containsAll(values), rows.getFirst() + " lacks one of " + values);
            });
        }

        @Test
        void itIsNotTooLong() {
            assertTrue(readme.lines().count() <= 420, () -> readme.lines().count() + " lines");
        }

        /** 10000, 10,000, 10 000 and 1 MiB are all numbers. */
        private static List<Long> numbers(String text) {
            return find("([0-9]+(?:[, \u00a0\u202f][0-9]{3})*)(?:[ \u00a0]?([KM])iB)?", text)
                    .map(number -> Long.parseLong(number.group(1).replaceAll("[^0-9]", ""))
                            << (number.group(2) == null ? 0 : number.group(2).equals("K") ? 10 : 20)).toList();
        }

        @Test
        void itNamesOnlyCommandsThatBuildShHas() throws IOException {
            String script = Files.readString(Path.of("build.sh"));
            for (String command : groups("build\\.sh ([a-z]+)", readme)) assertTrue(script.contains("./build.sh "
                    + command), command);
        }

        /** Its example of a game, as it stands: two draw on one board, and who comes later sees it all. */
        @Test
        @ExtendWith(InChromium.class)
        void itsExampleIsADrawingBoardForAllWhoOpenIt(@TempDir Path folder) throws IOException {
            Path board = board(folder);
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
        void withTwoLinesChangedItsExampleNeedsTheRelayNoMore(@TempDir Path folder) throws Exception {
            Path board = board(folder), script = board.resolve("board.js");
            for (String begin : List.of("import ", "const relay = ")) {
                String line = begin + "[^\n]*WebRTCRelay[^\n]*";
                String changed = find("^" + line, readme).findFirst().orElseThrow().group();
                Files.writeString(script, Files.readString(script)
                        .replaceFirst("(?m)^" + begin + ".*", java.util.regex.Matcher.quoteReplacement(changed)));
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

        /** The files of the example in a folder of its own. */
        private Path board(Path folder) throws IOException {
            Path board = Files.createDirectory(folder.resolve("board"));
            for (var file : find("`board/([a-z.]+)`:\n\n```[a-z]+\n((?:(?!```)[\\s\\S])*)```", readme).toList())
                Files.writeString(board.resolve(file.group(1)), file.group(2));
            return board;
        }

        @Test
        void itHasNoBlankThatIsStillToBeFilledIn() {
            assertFalse(readme.contains("FIGURE"));
        }

        /** Draws a line with the mouse, in px of the canvas. */
        private static void drag(Chromium.Page page, int fromX, int fromY, int toX, int toY) {
            var corner = (Map<?, ?>) page.until("document.querySelector('canvas')?.onpointermove != null")
                    .evaluate("document.querySelector('canvas').getBoundingClientRect().toJSON()");
            double left = (Double) corner.get("left"), top = (Double) corner.get("top");
            page.call("Input.dispatchMouseEvent", Map.of("type", "mousePressed", "button", "left", "buttons", 1, "x",
                    left + fromX, "y", top + fromY));
            page.call("Input.dispatchMouseEvent", Map.of("type", "mouseMoved", "button", "left", "buttons", 1, "x", left
                    + toX, "y", top + toY));
            page.call("Input.dispatchMouseEvent", Map.of("type", "mouseReleased", "button", "left", "x", left + toX,
                    "y", top + toY));
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
            try (var strict = RelayTest.OriginRule.allowing("", folder.resolve("my:game"));
                    var open = RelayTest.OriginRule.allowing("null file:// http://localhost:" + relay.port(),
                            folder.resolve("my:game"));
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

    /** The README's service file for systemd. */
    @Nested
    @Waits
    @SuppressWarnings("try")   // connections are closed within
    class Service {
        @TempDir
        Path folder;
        private String unit;

        @BeforeEach
        void read() throws IOException {
            unit = Pattern.compile("```ini\n(\\[Unit\\]\n[^`]*)```").matcher(Files.readString(Path.of("README.md")))
                    .results()
                    .map(block -> block.group(1)).reduce((one, other) -> fail("there are two")).orElseThrow();
        }

        /** What the unit says of this key, which is there once. */
        private String value(String key) {
            var values = Pattern.compile("(?m)^" + key + "=(.*)").matcher(unit).results()
                    .map(line -> line.group(1)).toList();
            assertEquals(1, values.size(), key);
            return values.getFirst();
        }

        /**
         * What systemd-analyze says, and with which exit code, of the unit with its paths replaced by some that are
         * there.
         */
        private String analyze(int exitCode, String... args) throws Exception {
            require("systemd-analyze", "systemd");
            Path file = folder.resolve("relay.service");
            Files.writeString(file, unit.replace("/usr/bin/java", Program.JAVA)
                    .replace(value("WorkingDirectory"), folder.toString()));
            try (var program = new Program(folder, Map.of(),
                    Stream.of(Stream.of("systemd-analyze"), Stream.of(args), Stream.of(file.toString()))
                    .flatMap(words -> words).toList())) {
                program.expectExit(exitCode);
                return String.join("\n", program.out) + String.join("\n", program.err);
            }
        }

        @Test
        void systemdUnderstandsEachLineOfIt() throws Exception {
            String[] verify = {"verify", "--man=no", "--recursive-errors=no"};
            assertEquals("", analyze(0, verify));
            unit = unit.replace("ProtectHome=", "ProtectHouse=");   // what it does not know, it tells
            assertTrue(analyze(1, verify).contains("ProtectHouse"));
        }

        /** In tenths, from 0 to 100; versions of systemd differ by a few. A service without any protection has 96. */
        @Test
        void systemdRatesItAsWellProtected() throws Exception {
            String[] rate = {"security", "--offline=true", "--no-pager", "--threshold=15"};
            analyze(0, rate);
            unit = unit.replace("RestrictNamespaces=yes\n", "");
            analyze(1, rate);
        }

        @Test
        void itLeavesDescriptorsForAllWhoMayConnectAndTimeForTheGoodbye() {
            var options = new Relay.Options();
            int most = options.maxClients + options.maxHttpConnections, limit = Integer.parseInt(value("LimitNOFILE"));
            assertTrue(limit > most + 1_000, limit + " descriptors for " + most + " connections");
            assertTrue(Integer.parseInt(value("TimeoutStopSec")) * 1_000 > options.shutdownTimeout + 2_000);
        }

        /** Its very command, in a folder with the jar and the game, on another port. */
        private Program start(String... moreFlags) throws IOException {
            assertEquals(0, java.util.spi.ToolProvider.findFirst("jar").orElseThrow().run(System.out, System.err,
                    "--create", "--file", folder.resolve("relay.jar").toString(), "--main-class", "Relay", "-C",
                    Program.CLASSES, "."));
            Files.writeString(Files.createDirectory(folder.resolve("spacewar")).resolve("index.html"),
                    "<title>there</title>");
            var command = new ArrayList<>(List.of(value("ExecStart").split(" ")));
            assertEquals(List.of("/usr/bin/java", "8080"), List.of(command.removeFirst(), command.removeLast()));
            command.addFirst(Program.JAVA);
            command.addAll(1, List.of(moreFlags));
            command.addAll(List.of("--host", "127.0.0.1", "0"));
            return new Program(folder, Map.of(), command);
        }

        @Test
        void itsCommandServesTheGameLetsPlayersMeetAndEndsWellWhenToldTo() throws Exception {
            try (var program = start(); var one = program.open("/ws-relay/a");
                    var two = new Raw(program.url().getPort())) {
                assertEquals("<title>there</title>", Program.page(program.url()));
                assertEquals(200, Answer.get(two, "/health").status());
                two.send(Raw.upgrade("/ws-relay/a")).head();
                two.expect("2 self", "1 join").send(text("1 hello"));
                one.expect("2 join", "2 hello");
                program.signal("TERM");
                expectShutdown(one);
                one.close();
                assertEquals(List.of(), program.expectExit(0).err);   // systemd's idea of a good end
            }
        }

        /**
         * Java reads classes from the jar when it first needs them: had cp written into it, nobody could connect any
         * more.
         */
        @Test
        void aNewerJarCanBeCopiedWhileItRuns() throws Exception {
            var cp = Pattern.compile("(?m)^ +sudo (cp .*)relay\\.jar spacewar /opt/relay$")
                    .matcher(Files.readString(Path.of("README.md")));
            assertTrue(cp.find());
            Path other = Files.writeString(Files.createDirectory(folder.resolve("newer")).resolve("relay.jar"),
                    "not even a jar");
            try (var program = start()) {
                program.url();
                try (var copy = new Program(folder, Map.of(),
                        List.of((cp.group(1) + other + " " + folder).split(" ")))) {
                    copy.expectExit(0);
                }
                assertEquals("not even a jar", Files.readString(folder.resolve("relay.jar")));
                try (var one = program.open("/ws-relay/a")) {
                    one.send(text("nonsense")).expectClose(1008);
                    one.close();
                    program.signal("TERM");
                    assertEquals(List.of(), program.expectExit(0).err);
                }
            }
        }

        /** What the smallest JRE has, and any Debian package of one. */
        @Test
        void nothingButTheModuleJavaBaseIsNeeded() throws Exception {
            try (var program = start("--limit-modules", "java.base"); var one = program.open("/ws-relay/a")) {
                one.send(text("1 note")).expect("1 note");
                assertEquals("<title>there</title>", Program.page(program.url()));
                one.close();
                program.signal("TERM");
                assertEquals(List.of(), program.expectExit(0).err);
            }
        }
    }

    /** Whether the page that comes with the relay has joined its room. */
    private static final String JOINED = joined("/spacewar/", "link === 'relay'");

    private static String joined(String folder, String state) {
        return "import('" + folder + "spacewar.js').then(({ game }) => game.inspect()." + state + ")";
    }

    /**
     * A proxy before a relay, run with a configuration that stands in the README or follows what it says; only host
     * name, ports and files are other ones. It is Debian's, listens on a free port of 127.0.0.1 and speaks TLS for
     * `localhost`.
     */
    static final class Proxy implements AutoCloseable {
        final Program program;
        final int port;

        private interface Start {
            Program on(int port) throws Exception;
        }

        private Proxy(Start start) throws Exception {
            Program program;
            int port;
            do {   // until nobody else has taken the port meanwhile
                port = freePort();
                program = start.on(port);
            } while (!listens(program, port) && String.join("\n", program.err).contains("in use"));
            this.program = program;
            this.port = port;
        }

        /** Waits until it speaks TLS or has ended. */
        private static boolean listens(Program program, int port) {
            eventually(() -> {
                try (var raw = connect(port, "127.0.0.1")) {
                    ((SSLSocket) raw.socket).startHandshake();
                    return true;
                } catch (IOException notYet) {
                    return !program.process.isAlive();
                }
            }, "that it listens");
            return program.process.isAlive();
        }

        /** A connection through TLS, to whoever it is. @param source where it comes from, in 127.0.0.0/8 */
        private static Raw connect(int port, String source) throws IOException {
            var plain = new Socket(InetAddress.getLoopbackAddress(), port, InetAddress.getByName(source), 0);
            try {
                var context = SSLContext.getInstance("TLS");
                context.init(null, new TrustManager[] {new X509ExtendedTrustManager() {
                    @Override public void checkClientTrusted(X509Certificate[] chain, String type, Socket socket) {}
                    @Override public void checkServerTrusted(X509Certificate[] chain, String type, Socket socket) {}
                    @Override public void checkClientTrusted(X509Certificate[] chain, String type, SSLEngine engine) {}
                    @Override public void checkServerTrusted(X509Certificate[] chain, String type, SSLEngine engine) {}
                    @Override public void checkClientTrusted(X509Certificate[] chain, String type) {}
                    @Override public void checkServerTrusted(X509Certificate[] chain, String type) {}
                    @Override public X509Certificate[] getAcceptedIssuers() { return new X509Certificate[0]; }
                }}, null);
                var secure = (SSLSocket) context.getSocketFactory().createSocket(plain, "localhost", port, true);
                var parameters = secure.getSSLParameters();
                parameters.setServerNames(List.of(new SNIHostName("localhost")));   // not told by itself, lacking a dot
                secure.setSSLParameters(parameters);
                return new Raw(secure);
            } catch (java.security.GeneralSecurityException e) {
                throw new IOException(e);
            }
        }

        /** The README's configuration in that language which has this in it, as no other has. */
        static String fromReadme(String language, String mark) throws IOException {
            var blocks = Pattern.compile("^```" + language + "\n(.*?)^```", Pattern.MULTILINE | Pattern.DOTALL)
                    .matcher(Files.readString(Path.of("README.md"))).results().map(block -> block.group(1))
                    .filter(block -> block.contains(mark)).toList();
            assertEquals(1, blocks.size(), () -> "blocks of " + language + " with " + mark);
            return blocks.getFirst();
        }

        /** A configuration with what is to be replaced, each of which must be in it. */
        static String with(String configuration, String... replacements) {
            String text = configuration;
            for (int i = 0; i < replacements.length; i += 2) {
                assertTrue(text.contains(replacements[i]), text + " lacks " + replacements[i]);
                text = text.replace(replacements[i], replacements[i + 1]);
            }
            return text;
        }

        /** The README's Caddyfile for one relay. */
        static String simple() throws IOException {
            return fromReadme("caddyfile", "reverse_proxy 127.0.0.1:8080");
        }

        /** What keeps Caddy from fixed ports, and from the system's certificates. */
        static String caddyOptions(Path folder, String address) {
            return "{\nadmin unix/" + folder + "/admin\nauto_https disable_redirects\nskip_install_trust\ndefault_bind "
                    + address + "\nservers {\nprotocols h1 h2\n}\n}\n";
        }

        /** It makes its certificate itself, and is told to reload through a socket in the folder. */
        static Proxy caddy(Path folder, String caddyfile, int relay) throws Exception {
            require("caddy", "caddy");
            return caddy("caddy", folder, caddyfile, relay);
        }

        static Proxy caddy(String program, Path folder, String caddyfile, int relay) throws Exception {
            return new Proxy(port -> {
                Files.writeString(folder.resolve("Caddyfile"), caddyOptions(folder, "127.0.0.1") + with(caddyfile,
                        "game.example.com {", "https://localhost:" + port + " {\n\ttls internal", "127.0.0.1:8080",
                        "127.0.0.1:" + relay));
                return caddy(List.of(program), folder);
            });
        }

        /** @param caddy its path, perhaps after words of a command that runs it */
        static Program caddy(List<String> caddy, Path folder) throws IOException {
            return new Program(folder, Map.of("XDG_DATA_HOME", folder.toString(), "XDG_CONFIG_HOME", folder.toString()),
                    Stream.concat(caddy.stream(), Stream.of("run", "--config", folder + "/Caddyfile")).toList());
        }

        /** As `systemctl reload caddy` does it. */
        static void reloadCaddy(String caddy, Path folder) throws Exception {
            Program.run(caddy, "reload", "--force", "--config", folder + "/Caddyfile", "--address",
                    "unix/" + folder + "/admin");
        }

        static Proxy nginx(Path folder, int relay, String... replacements) throws Exception {
            require("nginx", "nginx");
            selfSigned(folder);
            return new Proxy(port -> {
                String site = with(with(fromReadme("nginx", "proxy_pass"), "listen 443 ssl",
                        "listen 127.0.0.1:" + port + " ssl", "game.example.com", "localhost", "/etc/ssl/game.crt",
                        folder + "/game.crt", "/etc/ssl/private/game.key", folder + "/game.key", "127.0.0.1:8080",
                        "127.0.0.1:" + relay), replacements);
                var paths = Stream.of("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
                        .map(kind -> kind + "_temp_path " + kind + ";\n").collect(Collectors.joining());
                Files.writeString(folder.resolve("nginx.conf"), "daemon off; master_process off; pid nginx.pid;\n"
                        + "error_log stderr;\nevents {}\nhttp {\naccess_log off;\n" + paths + site + "}\n");
                return new Program(folder, Map.of("PATH", PATH),
                        List.of(found("nginx"), "-p", folder.toString(), "-c", "nginx.conf", "-e", "stderr"));
            });
        }

        /** What the README says that any other proxy must do: this one's way to say it. */
        private static final String HAPROXY = """
                defaults
                    mode http
                    timeout http-request 10s
                    timeout connect 5s
                    timeout client 60s
                    timeout server 60s

                frontend game
                    bind :443 ssl crt /etc/haproxy/game.pem
                    option forwardfor
                    default_backend relay

                backend relay
                    server relay 127.0.0.1:8080
                """;

        static Proxy haproxy(Path folder, int relay, String... replacements) throws Exception {
            require("haproxy", "haproxy");
            selfSigned(folder);
            return new Proxy(port -> {
                Files.writeString(folder.resolve("haproxy.cfg"), with(with(HAPROXY, "bind :443", "bind 127.0.0.1:"
                        + port, "/etc/haproxy/game.pem", folder + "/game.pem", "127.0.0.1:8080", "127.0.0.1:" + relay),
                        replacements));
                return haproxy(List.of(), folder);
            });
        }

        static Program haproxy(List<String> before, Path folder) throws IOException {
            return new Program(folder, Map.of(), Stream.concat(before.stream(),
                    Stream.of(found("haproxy"), "-db", "-f", folder + "/haproxy.cfg")).toList());
        }

        private static String found(String program) {
            return Stream.of(PATH.split(File.pathSeparator)).map(folder -> Path.of(folder, program))
                    .filter(Files::exists).findFirst().orElseThrow().toString();
        }

        /** A certificate for `localhost`, its key, and both in one file. */
        static void selfSigned(Path folder) throws Exception {
            require("openssl", "openssl");
            Path key = folder.resolve("game.key"), certificate = folder.resolve("game.crt");
            Program.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                    "-nodes", "-subj", "/CN=localhost", "-keyout", key.toString(), "-out", certificate.toString());
            Files.writeString(folder.resolve("game.pem"), Files.readString(certificate) + Files.readString(key));
        }

        /** Its host, as a page knows it. */
        String host() {
            return "localhost:" + port;
        }

        /** A client in a room, or who was refused. @param headers more of them, each with its CRLF */
        Answer upgrade(Raw raw, String room, String... headers) throws IOException {
            return Answer.read(raw.send(Raw.upgrade(room, headers).replace("Host: localhost", "Host: " + host())),
                    "GET");
        }

        Raw from(String source) throws IOException {
            return connect(port, source);
        }

        Raw open(String room) throws IOException {
            var raw = from("127.0.0.1");
            assertEquals(101, upgrade(raw, room).status());
            return raw;
        }

        Answer get(String target) throws IOException {
            try (var raw = from("127.0.0.1")) {
                return Answer.read(raw.send(Answer.request("GET", target)
                        .replace("Host: localhost", "Host: " + host())), "GET");
            }
        }

        /** A page, in a browser that does not mind who has signed. */
        Chromium.Page page(String path) {
            return trusting(InChromium.chromium.blank()).go("https://" + host() + path);
        }

        static Chromium.Page trusting(Chromium.Page page) {
            page.call("Security.setIgnoreCertificateErrors", Map.of("ignore", true));
            return page;
        }

        @Override
        public void close() {
            program.close();
        }

        /** The next frame that matches, whatever a page has said before. */
        static Received hear(Raw raw, String regex) throws IOException {
            Received next = raw.receive();
            while (!(next.opcode() == 8 ? "close " + next.code() : next.text()).matches(regex)) next = raw.receive();
            return next;
        }
    }

    /** The README's configurations, run by Debian's Caddy and nginx, and one of HAProxy. */
    @Nested
    @Waits
    @ExtendWith(InChromium.class)
    class BehindProxies {
        @TempDir
        Path folder;

        /** What stands in the README in this form, once. */
        private static String fromReadme(String regex) throws IOException {
            var found = Pattern.compile(regex).matcher(Files.readString(Path.of("README.md"))).results().toList();
            assertEquals(1, found.size(), regex);
            return found.getFirst().group(1);
        }

        /** As the README says. */
        private static Program relay(String port, String... more) throws IOException {
            return Program.relay(Program.ROOT, Stream.concat(Stream.of("--host", "127.0.0.1", port), Stream.of(more))
                    .toArray(String[]::new));
        }

        private Proxy start(String kind, int relay, String... replacements) throws Exception {
            return switch (kind) {
                case "Caddy" -> Proxy.caddy(folder, Proxy.simple(), relay);
                case "nginx" -> Proxy.nginx(folder, relay, replacements);
                case "HAProxy" -> Proxy.haproxy(folder, relay, replacements);
                default -> Proxy.haproxy(folder, relay, "ssl crt", "ssl alpn h2,http/1.1 crt");   // also for WebSockets
            };
        }

        @ParameterizedTest
        @ValueSource(strings = {"Caddy", "nginx", "HAProxy", "HAProxy with HTTP/2"})
        void pagesAndOthersMeetOverTlsByTheRuleOfOriginsWithTheirAddressesInTheLog(String kind) throws Exception {
            int stun = freePort();
            try (var relay = relay("0", "--stun", stun + ""); var proxy = start(kind, relay.url().getPort())) {
                try (var raw = proxy.open("/ws-relay/spacewar").expect("1 self"); var page = proxy.page("/spacewar")) {
                    raw.expect("2 join");
                    page.until(JOINED);
                    assertEquals("https://" + proxy.host() + "/spacewar/", page.evaluate("location.href"));
                    assertEquals(List.of(), page.complaints.stream().filter(each -> !each.contains("/favicon.ico"))
                            .toList());
                    Proxy.hear(raw, "2 pilot .*");
                }
                assertEquals("{\"iceServers\":[{\"urls\":\"stun:localhost:" + stun + "\"}]}\n",
                        proxy.get("/spacewar/ice.json").text());   // the name that the page knows
                expectUpgrade(101, proxy, "5", "Origin: https://" + proxy.host() + "\r\n");
                expectUpgrade(101, proxy, "6", "X-Forwarded-For: 203.0.113.7\r\n");
                expectUpgrade(101, proxy, "7", "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-For: 203.0.113.8\r\n",
                        "Forwarded: for=203.0.113.7\r\n");
                for (String client : List.of("5", "6", "7"))
                    relay.expectLine(".* join /ws-relay/" + client + " 1 127\\.0\\.0\\." + client);
                assertFalse(relay.out.toString().contains("203.0.113"), relay.out::toString);
                for (String origin : List.of("https://evil.example", "https://localhost")) {
                    String refusal = expectUpgrade(403, proxy, "8", "Origin: " + origin + "\r\n").text();
                    assertTrue(refusal.contains("--origin " + origin) && refusal.contains(proxy.host()), refusal);
                }
            }
        }

        /** Of a client whose address ends so, for a room of that name. */
        private static Answer expectUpgrade(int status, Proxy proxy, String client, String... headers)
                throws IOException {
            try (var raw = proxy.from("127.0.0." + client)) {
                Answer answer = proxy.upgrade(raw, "/ws-relay/" + client, headers);
                assertEquals(status, answer.status(), answer::text);
                return answer;
            }
        }

        /** With a limit of 2 s: who is pinged each 0.7 s outlives two of them, and who is not hears the end. */
        @ParameterizedTest
        @CsvSource({"nginx, 700", "nginx, 20000", "HAProxy, 700", "HAProxy, 20000"})
        void pingsKeepAProxyFromCuttingOffTheSilent(String kind, int pingInterval) throws Exception {
            String[] limit = kind.equals("nginx") ? new String[] {"proxy_http_version",
                    "proxy_read_timeout 2s;\n        proxy_http_version"}
                    : new String[] {"client 60s", "client 2s", "server 60s", "server 2s"};
            try (var relay = Fixtures.relay(options -> options.pingInterval = pingInterval);
                    var proxy = start(kind, relay.port(), limit); var raw = proxy.open(ROOM)) {
                assertEquals("1 self", answeringPings(raw).text());
                long end = System.nanoTime() + 4_000_000_000L;
                if (pingInterval > 1_000) assertThrows(EOFException.class, raw::receive);
                else while (System.nanoTime() < end) {
                    Received ping = raw.receive();
                    assertEquals(9, ping.opcode());
                    raw.send(frame(true, 10, ping.payload()));
                }
            }
        }

        @Test
        void aReloadOfCaddyClosesTheConnectionsAndPagesAreBackAtOnce() throws Exception {
            try (var relay = relay("0"); var caddy = Proxy.caddy(folder, Proxy.simple(), relay.url().getPort());
                    var raw = caddy.open("/ws-relay/spacewar").expect("1 self"); var page = caddy.page("/spacewar")) {
                raw.expect("2 join");
                Proxy.reloadCaddy("caddy", folder);
                Proxy.hear(raw, "close 1001");
                try (var again = caddy.open("/ws-relay/spacewar")) {
                    for (int id : new int[] {1, 2}) again.receive();
                    page.until(JOINED);
                    relay.expectLine(".* quit /ws-relay/spacewar [12] 127\\.0\\.0\\.1 100[12].*");
                }
            }
        }

        /** That takes a Caddy of 2.7 or newer, which .ci/run fetches from Debian's backports. */
        @Test
        void aReloadOfCaddyLeavesTheConnectionsForTheTimeThatItIsToldTo() throws Exception {
            require("caddy", "caddy");
            Path newer = Program.ROOT.resolve("build/caddy/usr/bin/caddy");
            String program = Files.exists(newer) ? newer.toString() : "caddy", old = "v?2\\.[0-6]\\..*";
            Assumptions.assumeFalse(Program.run(program, "version").matches(old),
                    "Caddy is older than 2.7: apt install caddy/trixie-backports");
            String caddyfile = Proxy.with(Proxy.simple(), "8080\n",
                    "8080 {\n" + fromReadme("`(stream_close_delay) 1h`") + " 3s\n}\n");
            try (var relay = relay("0"); var caddy = Proxy.caddy(program, folder, caddyfile, relay.url().getPort());
                    var first = caddy.open("/ws-relay/a").expect("1 self")) {
                Proxy.reloadCaddy(program, folder);
                try (var next = caddy.open("/ws-relay/a").expect("2 self", "1 join")) {
                    next.send(text("1 still here"));
                    first.expect("2 join", "2 still here").expectClose(1001);
                    next.expect("1 quit");
                }
            }
        }

        @Test
        void whileTheRelayIsDownThereIs502AndThenPagesJoinAgain() throws Exception {
            int port = freePort();
            try (var relay = relay(port + ""); var caddy = Proxy.caddy(folder, Proxy.simple(), port);
                    var page = caddy.page("/spacewar")) {
                page.until(JOINED);
                relay.signal("TERM");
                relay.expectExit(0);
                page.until("document.querySelector('#link').textContent === 'offline · practice'");
                assertEquals(502, caddy.get("/spacewar/").status());
                try (var next = relay(port + "")) {
                    next.expectLine(".* join /ws-relay/spacewar 1 127\\.0\\.0\\.1");
                    page.until(JOINED);
                }
            }
        }

        @Test
        void theGameMayBeBelowAPath() throws Exception {
            String proxy = "reverse_proxy 127.0.0.1:8080";
            String pages = fromReadme("`(handle_path [^`]*)`"), rooms = fromReadme("`(handle /[^`]*)`");
            String caddyfile = Proxy.with(Proxy.simple(), proxy, Stream.of(pages, rooms)
                    .map(handle -> handle + " {\n" + proxy + "\n}\n").collect(Collectors.joining()));
            try (var relay = relay("0", "--no-stun"); var caddy = Proxy.caddy(folder, caddyfile, relay.url().getPort());
                    var raw = caddy.open("/ws-relay/games/spacewar?game=2").expect("1 self");
                    var page = caddy.page("/games/spacewar?game=2")) {
                raw.expect("2 join");
                page.until(joined("/games/spacewar/", "link === 'relay'"));
                assertEquals("https://" + caddy.host() + "/games/spacewar/?game=2", page.evaluate("location.href"));
                assertEquals("{\"iceServers\":[]}\n", caddy.get("/games/spacewar/ice.json").text());
                try (var watch = caddy.page("/games/spacewar/watch.html?room=%2Fgames%2Fspacewar%3Fgame%3D2")) {
                    watch.shows("connected as 3");
                }
                assertEquals(404, caddy.get("/games/none").status());
            }
        }
    }

    /** More than one relay, behind the README's Caddyfile and behind HAProxy, in a network of the tests' own. */
    @Nested
    @Waits
    @SuppressWarnings("try")   // the proxy is needed, not spoken of
    class SeveralRelays {
        // LONG: for machines that are busy
        private static final Duration SOON = Duration.ofSeconds(10), LONG = Duration.ofSeconds(30);

        /**
         * HAProxy needs no reload: it knows who stands in for whom, and closes the connections of the stand-ins when
         * the relay is back. A room, that is path and query, has a home, and two stand-ins in order.
         */
        private static final String HOMES = """
                defaults
                    mode http
                    timeout http-request 10s
                    timeout connect 5s
                    timeout client 60s
                    timeout server 60s
                    default-server check inter 1s on-marked-down shutdown-sessions on-marked-up shutdown-backup-sessions

                frontend game
                    bind :443 ssl crt /etc/haproxy/game.pem
                    option forwardfor
                    http-request set-var(txn.home) pathq,crc32(1),mod(3)
                    use_backend home%[var(txn.home)]

                backend home0
                    server one   10.0.0.1:8080
                    server two   10.0.0.2:8080 backup
                    server three 10.0.0.3:8080 backup

                backend home1
                    server two   10.0.0.2:8080
                    server three 10.0.0.3:8080 backup
                    server one   10.0.0.1:8080 backup

                backend home2
                    server three 10.0.0.3:8080
                    server one   10.0.0.1:8080 backup
                    server two   10.0.0.2:8080 backup
                """;

        @TempDir
        Path folder;
        private Network network;
        private final Program[] relays = new Program[3];

        @BeforeEach
        void start() throws IOException {
            network = Network.lan();
            for (String address : List.of("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.9")) network.run("ip address add "
                    + address + "/32 dev lo");
            for (int i = 0; i < relays.length; i++) relay(i);
            for (Program relay : relays) relay.url();
        }

        @AfterEach
        void stop() throws IOException {
            for (Program relay : relays) if (relay != null) relay.close();
            if (network != null) network.close();   // null: there can be none here, so the test is skipped
        }

        private Program relay(int index) throws IOException {
            return relays[index] = network.relay("--host", "10.0.0." + (index + 1), "--no-stun", "8080");
        }

        /** Without TLS, of which the classes above speak; it costs the tests a second. */
        private Program caddy() throws Exception {
            require("caddy", "caddy");
            Files.writeString(folder.resolve("Caddyfile"), Proxy.caddyOptions(folder, "10.0.0.9")
                    + Proxy.with(Proxy.fromReadme("caddyfile", "lb_policy"), "game.example.com", "http://10.0.0.9"));
            return Proxy.caddy(Stream.concat(network.enter().stream(), Stream.of("caddy")).toList(), folder);
        }

        private Program haproxy() throws Exception {
            require("haproxy", "haproxy");
            Files.writeString(folder.resolve("haproxy.cfg"),
                    Proxy.with(HOMES, "bind :443 ssl crt /etc/haproxy/game.pem", "bind 10.0.0.9:80", "inter 1s",
                    "inter 200ms"));
            return Proxy.haproxy(network.enter(), folder);
        }

        /**
         * So many members of each of so many rooms. They come back as ws-relay.js does, a browser's 200 of which would
         * wait for each other.
         */
        private Program members(int rooms, int each) throws IOException {
            requireWebsockets();
            var constants = Pattern.compile(
                    "^const (FIRST_RETRY_MS|LONGEST_RETRY_MS|STEADY_MS) = ([0-9_]+);", Pattern.MULTILINE)
                    .matcher(Files.readString(Path.of("spacewar/ws-relay.js"))).results()
                    .map(constant -> constant.group(2)).toList();
            assertEquals(3, constants.size());
            var command = Stream.of(network.enter(), List.of("/usr/bin/python3", "-c", MEMBERS, rooms + "", each + ""),
                    constants).flatMap(List::stream).toList();
            return new Program(folder, Map.of(), command);
        }

        private static final String MEMBERS = """
            import asyncio, random, sys, time, websockets

            ROOMS, EACH, QUICK, SLOWEST, STEADY = map(int, sys.argv[1:])

            async def member(room, gate):
                attempts = 0
                while True:
                    began, entered = time.monotonic(), False
                    try:
                        async with gate:
                            address = f'ws://10.0.0.9/ws-relay/spacewar?game={room}'
                            socket = await websockets.connect(address, ping_interval=None)
                        async for message in socket:
                            entered = True
                    except (OSError, asyncio.TimeoutError, websockets.WebSocketException):
                        pass
                    lasted = (time.monotonic() - began) * 1000
                    if entered and lasted > STEADY:
                        attempts = 0
                    wait = min(SLOWEST, QUICK * 2 ** attempts) * (0.5 + random.random() / 2)
                    attempts += 1
                    await asyncio.sleep(max(0, wait if entered else wait - lasted) / 1000)

            async def main():
                gate = asyncio.Semaphore(20)   # all at once would keep each of them waiting
                await asyncio.gather(*(member(room, gate) for room in range(ROOMS) for _ in range(EACH)))

            asyncio.run(main())
            """;

        /** Who is in which room by a relay's log. */
        private static Map<String, Set<String>> rooms(Program relay) {
            var rooms = new HashMap<String, Set<String>>();
            if (!relay.process.isAlive()) return rooms;
            for (String line : relay.out) {
                String[] words = line.split(" ");
                if (words.length < 5) continue;
                if (words[1].equals("join")) rooms.computeIfAbsent(words[2], room -> new HashSet<>()).add(words[3]);
                if (words[1].equals("quit") && rooms.get(words[2]).remove(words[3]) && rooms.get(words[2])
                        .isEmpty()) rooms.remove(words[2]);
            }
            return rooms;
        }

        /** The rooms that each relay has. */
        private List<Set<String>> homes() {
            return Stream.of(relays).map(relay -> rooms(relay).keySet()).toList();
        }

        /** There will be so many rooms, each on one relay with so many members. */
        private void expectTogether(int rooms, int members, Duration atMost) {
            eventually(() -> {
                LockSupport.parkNanos(20_000_000);   // reading all again and again would cost more than what is tested
                var all = Stream.of(relays).flatMap(relay -> rooms(relay).values().stream()).map(Set::size).toList();
                return all.equals(Collections.nCopies(rooms, members));
            }, rooms + " rooms of " + members, atMost);
        }

        private static void expectSpread(List<Set<String>> homes) {
            int all = homes.stream().mapToInt(Set::size).sum();
            for (var home : homes)
                assertTrue(Math.abs(home.size() * 3. / all - 1) <= 0.35, () -> home.size() + " of " + all);
        }

        private void kill(Program relay) throws Exception {
            relay.signal("KILL");
            relay.exitCode();
        }

        @Test
        void withCaddyRoomsOfADeadRelayMeetOnAnotherAndStayThereUntilAReload() throws Exception {
            try (var caddy = caddy(); var old = members(200, 3)) {
                expectTogether(200, 3, LONG);
                var homes = homes();
                expectSpread(homes);
                assertTrue(Stream.of(relays).flatMap(relay -> relay.out.stream())
                        .noneMatch(line -> line.contains(" 10.0.0.9")), "a proxy elsewhere is not believed");
                kill(relays[0]);
                expectTogether(200, 3, SOON);
                relay(0).url();
                try (var newcomers = members(200, 1)) {
                    expectTogether(200, 4, LONG);
                    assertEquals(Map.of(), rooms(relays[0]));
                    Proxy.reloadCaddy("caddy", folder);
                    eventually(() -> rooms(relays[0]).keySet().equals(homes.get(0)), "the rooms are back", LONG);
                    expectTogether(200, 4, LONG);
                }
                assertEquals(homes, homes());
            }
        }

        /** Also if another one dies meanwhile. */
        @Test
        void withHaproxyRoomsOfADeadRelayMeetOnAnotherAndReturnByThemselves() throws Exception {
            try (var haproxy = haproxy(); var old = members(60, 3)) {
                expectTogether(60, 3, LONG);
                var homes = homes();
                expectSpread(homes);
                kill(relays[0]);
                expectTogether(60, 3, SOON);
                kill(relays[1]);
                expectTogether(60, 3, SOON);
                assertEquals(60, rooms(relays[2]).size());
                relay(0).url();
                eventually(() -> rooms(relays[0]).keySet().equals(homes.get(0)), "its rooms are back", LONG);
                expectTogether(60, 3, LONG);
                relay(1).url();
                eventually(() -> homes().equals(homes), "the rooms are back", LONG);
                expectTogether(60, 3, LONG);
            }
        }
    }
}
