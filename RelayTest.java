// SPDX-License-Identifier: MIT
/*
 * What Relay.java promises, as tests, in the order of its parts, and then what surrounds it: other clients, build.sh,
 * the README, a service, proxies. Peers are real ones: raw sockets with bytes in hex, WebSocket clients of the JDK,
 * Python, node and Chromium. `./build.sh test` runs all tests, with those of hostile and of slow clients (.bench/), of
 * what runs the tests (.ci/) and of the game (spacewar/test/); `./build.sh test Rooms` runs one group, `./build.sh test
 * Rooms.NAME` one test. `./build.sh echo PORT` starts the endpoint below.
 */

import static org.junit.jupiter.api.Assertions.*;

import java.io.*;
import java.net.*;
import java.net.http.*;
import java.nio.ByteBuffer;
import java.nio.charset.*;
import java.nio.file.*;
import java.nio.file.attribute.FileTime;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.*;
import java.util.concurrent.locks.LockSupport;
import java.util.function.*;
import java.util.regex.*;
import java.util.stream.*;
import org.junit.jupiter.api.*;
import org.junit.jupiter.api.extension.*;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.*;
import org.opentest4j.TestAbortedException;

@Timeout(60)
class RelayTest extends Streams {
    /** The bare echo endpoint: Relay's handshake and framing without its rooms. */
    static final class Echo extends Relay {
        Echo(Relay.Options options) {
            super(options);
        }

        @Override
        WebSocket newWebSocket(Connection connection, byte[] response, String target, String address) {
            return new WebSocket(connection, response, target, address) {
                @Override
                void receive(Incoming message) {
                    int permits = awaitWindow(message.length());
                    byte[] frame = encode(message.opcode(), new byte[0], message.bytes(), 0, message.length());
                    send(new Outgoing(frame, window, permits));
                }
            };
        }
    }

    /** `./build.sh echo PORT`. */
    public static void main(String[] args) throws IOException {
        var relay = new Echo(options(options -> {
            options.port = Integer.parseInt(args[0]);
            options.maxMessage = 16 << 20;
            options.origins.add("*");
        })).start();
        System.out.println("ws://127.0.0.1:" + relay.port() + "/ws-relay echoes what it gets");
    }

    /** Arguments, exit codes, what is printed on start, and how a signal ends it. */
    @Nested
    @Waits
    @Order(2)
    @SuppressWarnings("try")   // a connection is closed within
    class CommandLine {
        @TempDir
        static Path folder;

        private static Relay.Options parse(String words) {
            String[] args = words.isEmpty() ? new String[0] : words.split(" ");
            return Relay.Options.parse(List.of(args).iterator());
        }

        /** DIR stands for a folder. */
        @Table("""
            => 8080 null [spacewar] [] 0 10000 1048576 false false
            65535 => 65535 null [spacewar] [] 0 10000 1048576 false false
            --host 127.0.0.2 --metrics => 8080 /127.0.0.2 [spacewar] [] 0 10000 1048576 true false
            --host ::1 --quiet 9000 => 9000 /0:0:0:0:0:0:0:1 [spacewar] [] 0 10000 1048576 false true
            --dir DIR/a --no-stun 0 --dir DIR/a/../b/ => 0 null [DIR/a, DIR/b] [] -1 10000 1048576 false false
            --dir . => 8080 null [ROOT] [] 0 10000 1048576 false false
            --origin * --origin https://A.ex/ => 8080 null [spacewar] [*, https://a.ex] 0 10000 1048576 false false
            --origin file:// --stun 7 --origin null => 8080 null [spacewar] [file://, null] 7 10000 1048576 false false
            --max-clients 7 80 --max-message 65536 => 80 null [spacewar] [] 0 7 65536 false false""")
        void optionsComeInAnyOrderAndOriginsAndFoldersAddUp(String words, String expected) throws IOException {
            for (String name : List.of("a", "b")) Files.createDirectories(folder.resolve(name));
            var options = parse(words.replace("DIR", folder.toString()));
            assertEquals(expected.replace("DIR", folder.toString()).replace("ROOT", Program.ROOT.toString()),
                    Stream.of(options.port, options.host, options.folders, options.origins, options.stunPort,
                    options.maxClients, options.maxMessage, options.metrics, options.quiet)
                    .map(String::valueOf).collect(Collectors.joining(" ")));
        }

        /** DIR stands for a folder in which there are such ones; an empty word for one that is missing or empty. */
        @Table("""
            65536 => port.*65536 | -1 => -1 | 80a => 80a | port => port
            99999999999999999999 => 99999999999999999999 | +80 => \\+80 | 0x50 => 0x50
            8080 8081 => second port.*8081 | --unknown => --unknown | -x => -x | - => - | --Metrics => --Metrics
            --metrics=9000 => --metrics=9000 | --no-stun=1 => --no-stun=1 | --host=127.0.0.1 => --host=127.0.0.1
            --host => --host.*value | --host ␀ => --host.*value | --host 1:2:3 => 1:2:3
            --host no.such.host.invalid => no\\.such\\.host\\.invalid | --dir => --dir.*value
            --dir ␀ => --dir.*value | --dir / => '?/'?.*name | --dir none => /none.*folder
            --dir DIR/file.txt => file\\.txt.*folder | --dir DIR/a/game --dir DIR/b/game => game
            --dir DIR/a/game --dir DIR/a/game => game | --dir DIR/ws-relay => ws-relay
            --dir DIR/health => health | --dir DIR/metrics => metrics | --origin => --origin.*value
            --origin example.com => example\\.com | --origin https://a.example/path => https://a.example/path
            --origin https:// => https:// | --origin *.example.com => \\*\\.example\\.com
            --origin https://*.example.com => https://\\*\\.example\\.com
            --origin https://a.example?b => a.example\\?b | --origin https://a.example#b => a.example#b
            --origin https://me@a.example => me@a.example | --origin https://a.example:80800 => a.example:80800
            --origin https://a.example: => a.example:' | --origin https://grün.example => https://gr.n\\.example
            --origin app:// => app:// | --origin //a.example => //a.example
            --origin a.example:80 => a.example:80 | --max-clients => --max-clients.*value
            --max-clients 0 => --max-clients.*1 | --max-clients -5 => -5 | --max-clients many => many
            --max-message 0 => --max-message.*1 | --max-message 1M => 1M
            --max-message 9999999999 => 9999999999 | --stun => --stun.*value | --stun 0 => --stun.*1
            --stun 65536 => 65535.*65536 | --stun udp => udp | --bad␊option => bad.option
            --origin a␛[2J␊b => a..2J.b | --dir a␊b => a.b | 1␊2 => 1.2""")
        void whatMakesNoSenseIsToldInOneLineThatSaysWhatCame(String words, String complaint) throws IOException {
            for (String name : List.of("a/game", "b/game", "ws-relay", "health", "metrics"))
                Files.createDirectories(folder.resolve(name));
            Files.writeString(folder.resolve("file.txt"), "");
            String[] args = Stream.of(words.replace("DIR", folder.toString()).split(" "))
                    .map(word -> word.equals("␀") ? "" : Row.text(word)).toArray(String[]::new);
            String said = Relay.printable(assertThrows(IllegalArgumentException.class,
                    () -> Relay.Options.parse(List.of(args).iterator())).getMessage());
            assertTrue(said.matches("[ -~]{10,}") && said.matches(".*" + complaint + ".*"), said);
        }

        @Test
        void helpNamesEveryOptionAndItsDefault() {
            String help = Relay.HELP.replaceAll("\\s+", " ");
            var defaults = new Relay.Options();
            for (String part : List.of("PORT is " + defaults.port, "--host ADDR .*\\(default: .*--dir", "--version",
                    "--dir PATH .*\\(default: .* " + defaults.folders.getFirst() + " .*--origin",
                    "--origin URL .*\\(default: .*--max-clients",
                    "--max-clients N .*\\(default: " + defaults.maxClients + "\\).*--max-message",
                    "--max-message BYTES .*\\(default: " + defaults.maxMessage + "\\).*--stun",
                    "--stun PORT .*\\(default: the number of PORT\\).*--host 127.0.0.1 --stun 8080.*--no-stun",
                    "--no-stun .*\\(default: .*--metrics", "--metrics .*\\(default: .*--quiet",
                    "--quiet .*\\(default: .*--help"))
                assertTrue(help.matches(".*" + part + ".*"), part);
        }

        /** Its source file as it is runs in BuildScript. */
        @Test
        void helpIsPrintedWhateverElseIsAsked() throws Exception {
            assertEquals(Relay.HELP, Program.run(Program.JAVA, "-cp", Program.CLASSES, "Relay", "--quiet", "--help"));
        }

        @Test
        void anOlderJavaComplainsInWordsThatHelp() throws Exception {
            var home = oldJdk();
            Assumptions.assumeTrue(home.isPresent(), "needs a JDK older than 21, such as openjdk-17-jdk-headless");
            try (var program = new Program(Program.ROOT, Map.of(),
                    List.of(home.get() + "/bin/java", "-XX:TieredStopAtLevel=1", "Relay.java", "--version"))) {
                assertNotEquals(0, program.exitCode());
                int complaint = 0;
                while (!program.err.get(complaint).contains(" error: ")) complaint++;
                assertTrue(program.err.get(complaint + 1).contains("needs Java 21 or newer"), program.err::toString);
            }
        }

        private static Program start(String... args) throws IOException {
            return Program.relay(folder, args);
        }

        @Test
        void anErrorEndsTheProcessWithOneLineAndCodeTwoForArgumentsOrOneForWhatIsTaken() throws Exception {
            Program.expectComplaint(2, "relay: .*--bad\\?option", start("--bad\noption"));
            try (var relay = relay()) {
                String port = relay.port() + "";
                Program.expectComplaint(1, "port " + port + ".* in use", start("--host", "127.0.0.1", port));
            }
            String flag = "-Djava.net.preferIPv4Stack=true";
            Program.expectComplaint(1, "IPv6", Program.relay(List.of(), folder, Map.of(), flag, "--host", "::1", "0"));
        }

        @Test
        void aUdpPortInUseAndAnAddressThatIsNotOursAreTold() throws Exception {
            int taken = freePort();
            try (var udp = new DatagramSocket(new InetSocketAddress("127.0.0.1", taken))) {
                assertTrue(udp.isBound());
                String advice = ".*UDP port " + taken + "(?=.* in use)(?=.*--stun).*--no-stun.*";
                expectRefusal(advice, options -> options.stunPort = taken);
                expectRefusal(advice, options -> options.port = taken);
            }
            // of RFC 5737, nobody's; a port would be of no help
            InetAddress nobodys = InetAddress.getByName("203.0.113.1");
            expectRefusal(".*203\\.0\\.113\\.1((?!port).)*", options -> options.host = nobodys);
        }

        private static void expectRefusal(String regex, Consumer<Relay.Options> settings) {
            String said = assertThrows(IOException.class, () -> relay(settings).close()).getMessage();
            assertTrue(said.matches(regex), said);
        }

        /** As root without the rights of root, who may read everything. */
        @Test
        void aFolderThatCannotBeReadIsTold() throws Exception {
            require("setpriv", "util-linux");
            Path closed = Files.createDirectories(folder.resolve("closed"));
            Files.setPosixFilePermissions(closed, Set.of());
            var before = List.of("setpriv", "--bounding-set=-dac_override,-dac_read_search",
                    "--inh-caps=-dac_override,-dac_read_search");
            boolean root = System.getProperty("user.name").equals("root");
            Program.expectComplaint(2, closed + ".*read",
                    Program.relay(root ? before : List.of(), folder, "--dir", closed.toString(), "0"));
            closed.toFile().setExecutable(true);
            closed.toFile().setReadable(true);
        }

        /** Java cannot name such files then, which would be a silent 404. */
        @ParameterizedTest
        @ValueSource(strings = {"C", "C.UTF-8"})
        void namesThatTheLocaleCannotSpellAreToldOfInOneLine(String locale) throws Exception {
            Path game = Files.createDirectories(folder.resolve("spelling-" + locale));
            Files.writeString(game.resolve("index.html"), "<title>here</title>");
            Program.run("sh", "-c", "echo wide > \"" + game + "/$(printf 'gr\\303\\266\\303\\237e.txt')\"");
            try (var program = Program.relay(List.of(), folder, Map.of("LC_ALL", locale), "-Xshare:auto", "--host",
                    "127.0.0.1", "--dir", game.toString(), "0"); var raw = program.connect()) {
                String target = "/spelling-" + locale + "/gr%C3%B6%C3%9Fe.txt";
                if (Answer.get(raw, target).status() == 200) assertEquals(1, program.out.size(), program.out::toString);
                else program.expectLine(".*UTF-8.*");
                if (locale.equals("C.UTF-8")) assertEquals("wide\n", Answer.get(raw, target).text());
                assertTrue(program.out.size() + program.err.size() <= 2, () -> program.out + "\n" + program.err);
            }
        }

        @Test
        void theFirstLineIsAnAddressThatOpensTheGame() throws Exception {
            Path game = Files.createDirectories(folder.resolve("my game"));
            Files.writeString(game.resolve("index.html"), "<title>mine</title>");
            try (var program = Program.local(folder, "--dir", game.toString())) {
                assertEquals("<title>mine</title>", Program.page(program.url()));
                assertEquals(1, program.out.size(), program.out::toString);   // --host: that address and no other
            }
        }

        @Test
        void theSecondLineIsForOthersAndAMissingFolderIsTold() throws Exception {
            var ours = outwardAddresses().map(InetAddress::getHostAddress).toList();
            try (var program = start("0")) {
                var url = program.url();
                assertTrue(url.getHost().equals("localhost") && url.getPort() > 0);
                Program.page(url);
                program.expectLine(".*\\Q" + folder.toRealPath() + "\\E.*spacewar.*");   // what is missing, and where
                assertEquals(ours.isEmpty() ? 2 : 3, program.out.size(), program.out::toString);
                if (!ours.isEmpty()) {
                    var other = URI.create(program.out.get(1).split(" ")[0]);
                    assertTrue(ours.contains(other.getHost()) && other.getPort() == url.getPort(), other::toString);
                }
            }
        }

        /** Of IPv4. */
        static Stream<InetAddress> outwardAddresses() throws SocketException {
            return NetworkInterface.networkInterfaces().flatMap(NetworkInterface::inetAddresses)
                    .filter(address -> address instanceof Inet4Address && !address.isLoopbackAddress());
        }

        /** Not that of a VPN, of a container's bridge or of a port without a cable; and it may be a public one. */
        @ParameterizedTest
        @ValueSource(strings = {"10.77.0.1", "198.51.100.7"})
        void theAddressForOthersIsThatOfTheDefaultRoute(String address) throws Exception {
            try (var network = Network.alone()) {
                network.run("ip link add vpn0 type veth peer name vpn1", "ip address add 10.8.0.2/24 dev vpn0",
                        "ip link set vpn0 up", "ip link set vpn1 up", "ip link add veth0 type veth peer name veth1",
                        "ip address add " + address + "/24 dev veth0", "ip link set veth0 up", "ip link set veth1 up",
                        "ip route add default dev veth0", "ip link add br0 type bridge",
                        "ip address add 172.17.0.1/16 dev br0", "ip link set br0 up",
                        "ip link add lan9 type veth peer name lan8", "ip address add 192.168.9.9/24 dev lan9",
                        "ip link set lan9 up");
                try (var program = network.relay("80")) {   // which an address need not name
                    assertEquals("http://localhost/spacewar", program.url().toString());
                    program.expectLine("http://" + Pattern.quote(address) + "/spacewar .*");
                    assertFalse(program.out.toString().matches(".*(10\\.8\\.|172\\.17|192\\.168).*"),
                            program.out::toString);
                }
            }
        }

        @Test
        void addressesOfIPv6AreShortAndHelpSaysWhetherAllOfIPv4MeansThemToo() throws Exception {
            Assumptions.assumeTrue(Files.exists(Path.of("/proc/net/if_inet6")), "there is no IPv6 here");
            InetAddress any = InetAddress.getByName("0.0.0.0");
            try (var six = start("--host", "0:0:0:0:0:0:0:1", "0"); var four = relay(options -> options.host = any)) {
                assertEquals("[::1]", six.url().getHost());
                try (var raw = new Raw(new Socket("::1", six.url().getPort()))) {
                    raw.open("/ws-relay/a");
                    six.expectLine(".* join /ws-relay/a 1 ::1");
                }
                assertTrue(Relay.HELP.replaceAll("\\s+", " ").matches(".*0\\.0\\.0\\.0, which includes IPv6.*"));
                assertDoesNotThrow(() -> new Socket("::1", four.port()).close());
            }
        }

        @ParameterizedTest
        @ValueSource(strings = {"TERM", "INT"})
        void aSignalEndsItWithAGoodbyeAndAClientThatTakesNothingDoesNotHoldItUp(String signal) throws Exception {
            try (var program = Program.local(folder); var calm = program.open("/ws-relay/calm");
                    var stuck = program.open("/ws-relay/stuck");
                    var flood = program.connect().open("/ws-relay/stuck")) {
                Assumptions.assumeFalse(signal.equals("INT") && ignoresInterrupts(program.process.pid()),
                        "this shell's background jobs ignore SIGINT");
                stuck.expect("2 join");
                new Pump(flood, Long.MAX_VALUE, number -> text("1 " + FILL)).awaitBlocked();
                flood.close();
                long start = System.nanoTime();
                program.signal(signal);
                assertEquals(1001, calm.receive().code());
                int code = program.exitCode();
                assertTrue(code == 0 || code == 143 && signal.equals("TERM"), "exit code " + code);
                assertTrue(System.nanoTime() - start < 10_000_000_000L, "5 s are promised");
                assertEquals(List.of(), program.err);
            }
        }

        private static boolean ignoresInterrupts(long pid) throws IOException {
            Path status = Path.of("/proc/" + pid + "/status");
            String ignored = "(?s).*SigIgn:\\s*[0-9a-f]*[2367abef]\\n.*";
            return Files.exists(status) && Files.readString(status).matches(ignored);
        }
    }

    /** What close() promises to clients and to who embeds the relay. */
    @Nested
    @Waits
    @SuppressWarnings("try")   // the relay is closed within
    class Shutdown {
        /** After what waits for them, too. */
        @Test
        void allAreToldHoweverFewConnectionsThatAreNotOpenThereMayBe() throws IOException {
            try (var relay = relay(options -> options.maxHttpConnections = 2); var room = new Clients(relay, 8)) {
                for (int number = 0; number < 20; number++) room.get(1).send(text("* " + FILL));   // 1.3 MB for each
                room.expectNothingElse(1);
                var closing = CompletableFuture.runAsync(relay::close);
                for (int id = 1; id <= 8; id++) {
                    for (int number = id == 1 ? 20 : 0; number < 20; number++) expectLong(room.get(id), "1 " + FILL);
                    expectShutdown(room.get(id));
                }
                for (int id = 1; id <= 8; id++) room.get(id).send(close(1001, ""));
                room.close();
                closing.join();
            }
        }

        @Test
        void everyClientIsTold1001() throws Exception {
            try (var relay = relay(); var room = new Clients(relay, 2);
                    var other = Raw.open(relay, "/ws-relay").expect("1 self");
                    var amid = Raw.open(relay, "/ws-relay/amid").expect("1 self").send(hex("81 fe 0100 00000000 31"))) {
                var closing = CompletableFuture.runAsync(relay::close);
                for (Raw raw : List.of(room.get(1), room.get(2), other, amid)) {
                    assertTrue(expectShutdown(raw).contains("shutting down"));
                    if (raw != amid) raw.send(close(1001, "")).expectEnd();
                    raw.close();
                }
                closing.get(5, TimeUnit.SECONDS);
            }
        }

        @Test
        @Measures
        void nobodyCanHoldItUp() throws Exception {
            try (var relay = relay(options -> options.shutdownTimeout = 1_000); var room = new Clients(relay, 2);
                    var half = new Raw(relay.port()).send("GET / HT"); var page = new Raw(relay.port());
                    var paused = new Pump(room.get(1), Long.MAX_VALUE, number -> FILL_FOR_2)) {
                assertEquals(200, Limits.health(page));
                paused.awaitBlocked();
                long before = System.nanoTime();
                relay.close();
                long took = (System.nanoTime() - before) / 1_000_000;
                assertTrue(took < 3_000, took + " ms");
                assertThrows(IOException.class, () -> half.in.readFully(new byte[1]));
                eventually(() -> relayThreads() == 0, "no thread left");
            }
        }

        @ParameterizedTest(name = "quiet: {0}")
        @ValueSource(booleans = {true, false})
        @Measures
        void noThreadIsLeft(boolean quiet) throws IOException {
            PrintStream out = System.out;
            System.setOut(new PrintStream(OutputStream.nullOutputStream()));   // for the log
            try (var relay = relay(options -> options.quiet = quiet); var half = new Raw(relay.port());
                    var one = Raw.open(relay, ROOM)) {
                eventually(() -> relayThreads() > 3, "its threads and those of its connections can be seen");
            } finally {
                System.setOut(out);
            }
            eventually(() -> relayThreads() == 0, "no thread left");
        }

        /** On a terminal that takes its time. */
        @Test
        @Measures
        void theLogIsThereToItsLastLine() throws IOException {
            PrintStream out = System.out;
            var lines = new CopyOnWriteArrayList<String>();
            System.setOut(new PrintStream(out) {
                @Override
                public void println(Object line) {
                    LockSupport.parkNanos(30_000_000);
                    lines.add(line.toString());
                }
            });
            try (var relay = relay(options -> options.quiet = false)) {
                for (int i = 0; i < 4; i++) Raw.open(relay, ROOM + i).expect("1 self").close();
            } finally {
                System.setOut(out);
            }
            assertEquals(4, lines.stream().filter(line -> line.contains(" quit ")).count(), lines::toString);
        }

        @Test
        void thePortIsFreeAtOnce() throws IOException {
            int port = freePort();   // of STUN, too
            for (int round = 0; round < 10; round++) {
                try (var relay = relay(options -> options.port = port);
                        var one = Raw.open(relay, ROOM).expect("1 self")) {
                    var closing = CompletableFuture.runAsync(relay::close);
                    assertEquals(1001, one.receive().code());
                    // the relay ends it first, so that its port is the one in TIME_WAIT
                    one.send(close(1001, "")).expectEnd();
                    one.close();
                    closing.join();
                }
                if (round % 2 == 0) expectNobodyListens(port);
            }
        }

        @Test
        void itMayBeToldTwiceOrBeforeItHasStartedOrWhenItCouldNot() throws IOException {
            new Relay(options(options -> {})).close();
            try (var relay = relay(); var second = new Relay(options(options -> options.port = relay.port()))) {
                assertThrows(IOException.class, second::start);
                relay.close();
                relay.close();
            }
        }
    }

    /** What the relay says about its clients: one line each, which no client can forge. */
    @Nested
    @Waits
    @SuppressWarnings("try")   // a connection is closed within
    class Log {
        @TempDir
        static Path folder;
        private static final String TIME = "\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\dZ ";
        private static Program program;   // of all tests but those that end it or fill it

        @BeforeAll
        static void start() throws IOException {
            program = Program.local(folder);
        }

        @AfterAll
        static void stop() {
            program.close();
        }

        /** Those about rooms whose names begin so. */
        private static List<String> lines(Program program, String room) {
            return program.out.stream().filter(line -> line.contains(" /ws-relay/" + room)).toList();
        }

        /** An upgrade is refused with this status and a line that says so. @param line after `refuse` and before it */
        private void refused(Raw raw, int status, String line, String upgrade) throws IOException {
            Answer.read(raw.send(upgrade), "GET").expect(status);
            program.expectLine(TIME + "refuse " + line.replace(" 127", " - 127").replace("#", status + ""));
        }

        @Test
        void joinsAndQuitsHaveALineEachAndSoHasWhoComesWhenTheRelayIsFull() throws IOException {
            String room = "/ws-relay/a?game=1", of = Pattern.quote(room) + " ";
            try (var small = Program.local(folder, "--max-clients", "2"); var first = small.open(room);
                    var second = small.connect().open(room)) {
                small.expectLine(TIME + "join " + of + "1 127\\.0\\.0\\.1");
                small.expectLine(TIME + "join " + of + "2 127\\.0\\.0\\.1");
                try (var third = small.connect().open("/ws-relay/b")) {
                    small.expectLine(TIME + "refuse /ws-relay/b - 127\\.0\\.0\\.1 1013 .*full.*");
                    third.expectClose(1013);
                }
                first.send(close(4000, "had enough"));
                small.expectLine(TIME + "quit " + of + "1 127\\.0\\.0\\.1 4000 had enough");
                second.send(text("hello"));
                small.expectLine(TIME + "quit " + of + "2 127\\.0\\.0\\.1 1008 .*'hello'.*");
                assertEquals(5, lines(small, "").size(), small.out::toString);
            }
        }

        @Test
        void refusalsHaveALineEach() throws IOException {
            try (var raw = program.connect()) {
                refused(raw, 426, "/ws-relay/refused 127\\.0\\.0\\.1 # .*", Answer.request("GET", "/ws-relay/refused"));
                refused(raw, 403, "/ws-relay/refused 127\\.0\\.0\\.1 # .*http://evil\\.example.*",
                        Raw.upgrade("/ws-relay/refused", "Origin: http://evil.example\r\n"));
                refused(raw, 400, "- 127\\.0\\.0\\.1 # .*", "\33[2J\r\n");
            }
            assertEquals(2, lines(program, "refused").size(), program.out::toString);
        }

        /** Whoever reads the log knows at each line who is where, also when a room has emptied and ids begin anew. */
        @Test
        void whoHasLeftIsSaidToHaveBeforeAnotherOfTheSameIdIsSaidToHaveJoined() throws Exception {
            try (var relay = Program.local(folder, "--no-stun"); var threads = Executors.newCachedThreadPool()) {
                for (var life : threads.invokeAll(Collections.nCopies(2, () -> {
                    for (int i = 0; i < 700; i++) try (var raw = relay.connect().open("/ws-relay/a")) {
                        raw.receive();
                    }
                    return null;
                }))) life.get();
                eventually(() -> relay.out.stream().filter(line -> line.contains(" quit ")).count() == 1_400,
                        "all have left");
                var present = new HashSet<String>();
                for (String line : relay.out.subList(2, relay.out.size())) {
                    String[] words = line.split(" ");
                    assertTrue(words[1].equals("join") ? present.add(words[3]) : present.remove(words[3]), line);
                }
                assertEquals(Set.of(), present);
            }
        }

        @Test
        void nobodyCanForgeALineOrReachTheTerminal() throws IOException {
            String forgery = "\r\n2030-01-01T00:00:00Z join /ws-relay/forged 1 1.2.3.4\n\33[31m\u0085\u2028\u202e\7";
            try (var one = program.open("/ws-relay/forger1"); var two = program.open("/ws-relay/forger2")) {
                one.send(close(4000, forgery));
                program.expectLine(TIME + "quit /ws-relay/forger1 1 127\\.0\\.0\\.1 4000 .*forged.*");
                two.send(text(forgery));
                program.expectLine(TIME + "quit /ws-relay/forger2 1 127\\.0\\.0\\.1 1008 .*");
            }
            for (String upgrade : List.of(Raw.upgrade("/ws-relay/\u0085"),
                    Raw.upgrade("/ws-relay/forger3", "Origin: \u009b31m" + "b".repeat(2000) + "\r\n"),
                    Raw.upgrade("/ws-relay/forger4" + "a".repeat(4000), "Origin: null\r\n")))
                try (var raw = program.connect()) {
                    assertTrue(Answer.read(raw.send(upgrade), "GET").status() > 399);
                }
            for (String refused : List.of(".* 400", "/ws-relay/forger3 .* 403", "/ws-relay/forger4.* 414"))
                program.expectLine(TIME + "refuse " + refused + " .*");
            for (String line : program.out.subList(2, program.out.size()))
                assertTrue(line.matches(TIME + "[ -~]{0,600}") && !line.startsWith("2030"), line);
        }

        @Test
        void aWebSocketAtTheWrongAddressAndTlsAreCalledThatAndAFileThatIsNotThereIsNoRefusal() throws IOException {
            for (byte version : new byte[] {1, 3}) try (var raw = program.connect()) {
                raw.send(hex("1603%02x0200010001fc0303".formatted(version))).send(new byte[500]);
                assertEquals(400, Answer.read(raw, "GET").status());
            }
            eventually(() -> program.out.stream().filter(line -> line.matches(TIME
                    + "refuse - - 127\\.0\\.0\\.1 400 .*http.*ws.*TLS.*")).count() == 2, "TLS is called that");
            try (var raw = program.connect()) {
                Answer.get(raw, "/nothing").expect(404);
                for (String path : List.of("/", "/ws", "/spacewar/?a=b"))
                    refused(raw, 404, Pattern.quote(path) + " 127\\.0\\.0\\.1 # .*/ws-relay/.*", Raw.upgrade(path));
                assertFalse(program.out.toString().contains("/nothing"), program.out::toString);
            }
        }

        /** A page that may not connect tries for as long as it is open. */
        @Test
        void pagesOfARefusedOriginThatTryAgainAreToldOfOnceAMinute() throws IOException {
            try (var raw = program.connect()) {
                for (int i = 0; i < 60; i++)
                    for (String origin : "http://b.example http://c.example null x# y#".replace("#", i + "").split(" "))
                        Answer.read(raw.send(Raw.upgrade("/ws-relay/pages", "Origin: " + origin + "\r\n")), "GET")
                                .expect(403);
                refused(raw, 403, "/ws-relay/last 127\\.0\\.0\\.1 # .*http://d\\.example.*",
                        Raw.upgrade("/ws-relay/last", "Origin: http://d.example\r\n"));
                for (String origin : List.of("http://b.example", "http://c.example", "origin null")) {
                    var lines = lines(program, "pages").stream().filter(line -> line.contains(origin)).toList();
                    assertTrue(lines.size() == 1 || lines.size() == 2, lines::toString);   // a minute may just be over
                    assertTrue(lines.getFirst().matches(TIME + "refuse /ws-relay/pages - 127\\.0\\.0\\.1 403 .*"),
                            lines::toString);
                }
            }
        }

        @Table("""
            2001:DB8:0:0:0:0:0:7 => 2001:db8::7 | 0:0:0:0:0:0:0:0 => :: | 0:0:0:0:0:0:0:1 => ::1
            2001:db8:0:1:1:1:1:1 => 2001:db8:0:1:1:1:1:1 | 2001:db8:0:0:1:0:0:1 => 2001:db8::1:0:0:1
            2001:0:0:1:0:0:0:1 => 2001:0:0:1::1 | fe80:0:0:0:0:0:0:0 => fe80:: | 203.0.113.7 => 203.0.113.7""")
        void addressesHaveTheShortFormOfRfc5952(String address, String expected) throws IOException {
            assertEquals(expected, Relay.format(InetAddress.getByName(address)));
        }

        /** What cannot be an address is not believed. */
        @Table("""
            203.0.113.7 => 203.0.113.7 | 198.51.100.1, 203.0.113.7 => 203.0.113.7 | junk, 2001:db8::7 => 2001:db8::7
            198.51.100.1¶X-Forwarded-For: 203.0.113.7 => 203.0.113.7 | evil.example => 127.0.0.1 | => 127.0.0.1
            fade.cafe => 127.0.0.1 | 203.0.113.7, => 127.0.0.1 | 203.0.113.7, \u009b31m => 127.0.0.1
            203.0.113.7 4000 forged => 127.0.0.1""")
        void behindAProxyOnThisMachineTheAddressIsTheLastThatItAdded(String forwarded, String address)
                throws IOException {
            String room = "/ws-relay/forwarded-" + Integer.toHexString(forwarded.hashCode());
            String client = room + " 1 " + Pattern.quote(address);
            try (var raw = program.open(room, "X-Forwarded-For: " + Row.text(forwarded) + "\r\n")) {
                program.expectLine(TIME + "join " + client);
                raw.send(close(1000, ""));
                program.expectLine(TIME + "quit " + client + " 1000 ?");
            }
        }

        @Test
        void theLastLinesBeforeTheEndAreNotLostAndQuietIsQuiet() throws Exception {
            try (var quiet = Program.local(folder, "--quiet"); var talking = Program.local(folder)) {
                for (var each : List.of(talking, quiet)) try (var raw = each.open("/ws-relay/a")) {
                    each.signal("TERM");
                    assertEquals(1001, raw.receive().code());
                    raw.send(close(1001, "")).expectEnd();
                    raw.close();
                    each.exitCode();
                }
                talking.expectLine(TIME + "quit /ws-relay/a 1 127\\.0\\.0\\.1 1001 .*");
                assertEquals(2, quiet.out.size(), quiet.out::toString);   // the address, and that there is no folder
            }
        }
    }

    /** Request heads on byte arrays (RFC 9112): what is read, and that nothing unfinished or damaged gets through. */
    @Nested
    class RequestHead {
        private static final String HEAD =
                "GET /a?b=c HTTP/1.1\r\nHost: localhost:8080\r\nX-Thing:  some \t\r\nx-thing: more\r\n\r\n";

        private static final InetAddress PEER = InetAddress.getLoopbackAddress();

        private static Relay.Request parse(String latin1) throws Relay.HttpException, IOException {
            return next(new Relay.Input(pieces(latin1.getBytes(StandardCharsets.ISO_8859_1), 9999)));
        }

        private static Relay.Request next(Relay.Input input) throws Relay.HttpException, IOException {
            return Relay.Request.parse(Relay.Request.readHead(input, () -> {}), PEER);
        }

        private static void expectWhole(Relay.Request request) {
            assertEquals(new Relay.Request("GET", "/a?b=c", "HTTP/1.1",
                    Map.of("host", "localhost:8080", "x-thing", "some, more"), PEER), request);
        }

        @Test
        void itIsTakenApartAndHeadersOfOneNameAreJoinedAndWhatFollowsIsLeftForTheNextReader() throws Exception {
            for (int most : new int[] {1, 9999}) {
                String all = "\r\n" + HEAD + "GET /2 HTTP/1.0\r\n\r\n\r\n" + HEAD + "rest";
                var input = new Relay.Input(pieces(bytes(all), most));
                expectWhole(next(input));
                assertEquals("/2", next(input).target());
                expectWhole(next(input));
                for (char next : "rest".toCharArray()) assertEquals(next, input.read());
            }
        }

        @Test
        void oneThatBreaksOffAnywhereIsNoRequest() {
            for (int length = 0; length < HEAD.length(); length++) {
                String start = HEAD.substring(0, length);
                assertThrows(EOFException.class, () -> parse(start), start);
            }
        }

        @Table("""
            / => / | /a/../b => /a/../b | /ws-relay/x?game=1&y=%20 => /ws-relay/x?game=1&y=%20 | //a => //a | * => *
            http://other.example => / | http://other.example:81/a?b => /a?b | HTTPS://other.example/ => /
            http://other.example?a => /?a""")
        void theTargetIsKeptAsItCameWithoutAProxysSchemeAndHost(String target, String expected) throws Exception {
            assertEquals(expected, parse("GET " + target + " HTTP/1.1\r\nHost: h\r\n\r\n").target());
        }

        @Test
        void aHeaderMayBeEmptyAndMayHoldBytesBeyondAscii() throws Exception {
            var request = parse("GET / HTTP/1.1\r\nHost:\r\nCookie: a=\u00e4:b\r\n\r\n");
            assertEquals(List.of("", "a=\u00e4:b", ""),
                    Stream.of("host", "cookie", "none").map(request::header).toList());
        }

        @Test
        void whatIsAlmostAnAddressTakesNoTime() throws Exception {
            var request = parse("GET / HTTP/1.1\r\nHost:\r\nX-Forwarded-For: " + ":".repeat(16_000) + "x\r\n\r\n");
            assertTimeout(Duration.ofMillis(500), request::address);
        }

        @Test
        void damagedOnesAreReadOrRefusedAndNothingElseHappens() throws Exception {
            long seed = System.nanoTime();
            var random = new Random(seed);
            String signs = "\r\n :/\t\0,";
            byte[] whole = bytes(Raw.upgrade("/ws-relay/a?b", "Content-Length: 0\r\n", "Origin: http://localhost\r\n"));
            for (int round = 0; round < 5_000; round++) {
                byte[] damaged = whole.clone();
                for (int i = random.nextInt(4); i >= 0; i--)
                    damaged[random.nextInt(whole.length)] = (byte) (random.nextBoolean() ? random.nextInt(256)
                            : signs.charAt(random.nextInt(signs.length())));
                try {
                    var request = next(new Relay.Input(pieces(damaged, 9999)));
                    assertTrue(request.target().matches("[!-~]+") && request.toString().matches("[^\r\n\0]+"),
                            () -> request + ", seed " + seed);
                } catch (Relay.HttpException | EOFException refused) {
                    // as it should be
                } catch (RuntimeException e) {
                    fail("seed " + seed + ": " + HexFormat.of().formatHex(damaged), e);
                }
            }
        }
    }

    /** HTTP over sockets: what is answered and what is refused; a refusal arrives whole and is the last word. */
    @Nested
    class Http {
        @AutoClose
        private static Relay relay;
        private Raw raw;

        @BeforeAll
        static void start() throws IOException { relay = relay(); }

        @BeforeEach
        void connect() throws IOException { raw = new Raw(relay.port()); }

        @AfterEach
        void disconnect() throws IOException { raw.close(); }

        @Test
        void pipelinedRequestsAreAnsweredInOrder() throws IOException {
            raw.send((Answer.request("GET", "/health") + Answer.request("GET", "/nothing")).repeat(50));
            for (int i = 0; i < 100; i++)
                Answer.read(raw, "GET").expect(i % 2 == 0
                        ? "200 ¶ Connection: ¶ X-Content-Type-Options: nosniff ¶ = ok" : "404 ¶ Connection:");
        }

        @ParameterizedTest
        @ValueSource(strings = {"/", "/health", "/nothing"})
        void headIsAnsweredLikeGetButWithoutABody(String target) throws IOException {
            Answer get = Answer.get(raw, target), head = Answer.head(raw, target);
            assertEquals(get.status(), head.status());
            head.expectHeadersOf(get);
            assertEquals(426, Answer.head(raw, "/ws-relay").status());
            assertEquals(200, Answer.get(raw, "/health").status());   // which comes next: there was no body
        }

        @Table("""
            HTTP/1.1¶Host: h¶Connection: close | HTTP/1.1¶Host: h¶Connection: Keep-Alive, CLOSE
            HTTP/1.1¶Host: h¶Connection: x,close | HTTP/1.0""")
        void aRequestMayAskForTheEndOfTheConnectionAndAnOldOneNeedsNoHost(String version) throws IOException {
            raw.send("GET /health " + Row.text(version) + "\r\n\r\n");
            Answer.read(raw, "GET").expect("200 ¶ Connection: close");
            raw.expectEnd();
        }

        @Test
        void whoHasClosedItsHalfIsStillAnswered() throws IOException {
            raw.send(Answer.request("GET", "/health")).socket.shutdownOutput();
            assertEquals(200, Answer.read(raw, "GET").status());
            raw.expectEnd();
        }

        @Table("""
            GET / | GET HTTP/1.1 | GET / a HTTP/1.1 | GET  / HTTP/1.1 | ␠GET / HTTP/1.1 | GET / HTTP/1.1␠
            GET␉/␉HTTP/1.1 | ␠/ HTTP/1.1 | G@T / HTTP/1.1 | GET / http/1.1 | GET / HTTP/1.1.1 | GET / HTTP/11
            GET / ICY/1.1 | GET a HTTP/1.1 | GET ftp://h/ HTTP/1.1 | CONNECT h:443 HTTP/1.1 | GET /ä HTTP/1.1
            GET /␀ HTTP/1.1 | GET /␡ HTTP/1.1 | GET / HTTP/1.1␊
            GET / HTTP/1.1␍ | ␖␃␁␂␀␁␀␁ü␃␃""")
        void aBrokenRequestLineIsRefused(String line) throws IOException {
            expectLastWords(raw.send(Row.text(line) + "\r\nHost: h\r\n\r\n"), "400");
        }

        @Table("""
            X: no host | Host: h¶Host: h | Host:¶Host: | Host: a, b | Host: a b | Host: h/x | Host: me@h | Host: h␊
            Host: h␍ | Host: h¶X: a␍b | Host: h¶X: a␊b | Host: h¶X: a␀b
            Host: h¶X: ␛[2J | Host: h¶X: ␡ | Host: h¶␋X: a
            Host: h¶X: a¶ folded | Host: h¶X: a¶␉folded | ␠Host: h | Host : h
            Host: h¶X␉: a | Host: h¶X | Host: h¶: a
            Host: h¶X Y: a | Host: h¶Ä: a""")
        void aBrokenHeaderIsRefused(String headers) throws IOException {
            expectLastWords(raw.send("GET / HTTP/1.1\r\n" + Row.text(headers) + "\r\n\r\n"), "400");
        }

        /** Sent as they stand; each is the last of its connection. */
        @Table("""
            PRI * HTTP/2.0¶¶SM => 400 ¶ "HTTP/2.0"
            GET / HTTP/3.0¶Host: h => 400 ¶ "HTTP/3.0"
            GET / HTTP/0.9¶Host: h => 400 ¶ "HTTP/0.9"
            GET / HTTP/1.0¶Host: h¶Host: h => 400 ¶ "Host"
            POST / HTTP/1.1¶Host: h¶Content-Length: 3000000¶¶«x*3000000» => 405 ¶ Allow: GET, HEAD
            GET /«a*100000» => 431
            GET / HTTP/1.1¶X: «x*100000» => 431 ¶ "16 KiB|16,?384"
            GET / HTTP/1.1¶Host: h¶«X: x¶*20000» => 431
            GET / HTTP/1.1¶Host: h¶X: x¶Cookie: «a=b;*5000» => 431 ¶ "cookie"
            GET / HTTP/1.1¶Host: h¶cookie: «a=b;*3500»¶X: «x*3000» => 431 ¶ "cookie"
            GET / HTTP/1.1¶Host: h¶Cookie: a=b¶X: «x*20000» => 431 ¶ "(?s)^(?!.*cookie)"
            GET /«a*20000» HTTP/1.1¶Host: h¶Cookie: a=b => 431 ¶ "(?s)^(?!.*cookie)"
            """)
        void otherVersionsAndWhatIsTooLongAreRefused(String request, String answer) throws IOException {
            expectLastWords(raw.send(Row.text(request) + "\r\n\r\n"), answer);
        }

        @Test
        void sixteenKibibytesFitAndOneByteMoreDoesNot() throws IOException {
            for (String start : List.of("/health¶X: ", "/health¶Cookie: ", "/"))
                for (int length : new int[] {16384, 16385}) {
                    String request = start + "x".repeat(length - new Row(start, "").sent().length());
                    new Row(request, length > 16384 ? "431 ¶ Connection: close" : "200|404").check(relay.port());
                }
            new Row("/health¶«X: x¶*1500»Y: y", "200").check(raw);   // however many headers there are
        }

        /** They arrive although more is sent meanwhile, which would reset a connection that is closed already. */
        private static void expectLastWords(Raw raw, String expected) throws IOException {
            eventually(() -> assertDoesNotThrow(() -> raw.in.available() > 0), "an answer");
            for (int i = 0; i < 20; i++) raw.send("more ");
            Answer answer = Answer.read(raw, "GET");
            answer.expect(expected);
            assertEquals("close", answer.expect(answer.status()).header("Connection"));
            raw.expectEnd();
        }

        /** RFC 9112 §11.2: what one side takes for a body must never be a request to the other. */
        @Table("""
            Content-Length: 4x | Content-Length: -1 | Content-Length: +40 | Content-Length: 0x28 | Content-Length: 4 0
            Content-Length: | Content-Length: 40, 40 | Content-Length: 40¶Content-Length: 40 | Content-Length: 40
            Content-Length: 40¶Content-Length: 0 | Content-Length: 0¶Content-Length: 40 | Content-Length: 0040
            Content-Length: 18446744073709551656 | content-length:␉40 | Content-Length: 40¶Transfer-Encoding: chunked
            Transfer-Encoding: chunked¶Content-Length: 0 | Content-Length: 0¶Transfer-Encoding: identity
            Transfer-Encoding: chunked | Transfer-Encoding:␉chunked | Transfer-Encoding: xchunked | Transfer-Encoding:
            Transfer-Encoding: identity | Transfer-Encoding: chunked¶Transfer-Encoding: x | Transfer-Encoding : chunked
            ␠Transfer-Encoding: chunked | X: x¶ Content-Length: 40
            X: x␊Content-Length: 40 | X: x␍Content-Length: 40
            Content-Length␉: 40 | X␀: Content-Length: 40""")
        void aRequestHiddenBehindAnotherIsNeverAnswered(String headers) throws IOException {
            for (String start : List.of("GET /", "HEAD /health", "POST /", "GET /ws-relay"))
                try (var sender = new Raw(relay.port())) {
                    sender.send(Row.text(start + " HTTP/1.1¶Host: h¶" + headers) + "\r\n\r\n"
                            + "GET /health HTTP/1.1\r\nHost: hidden\r\n\r\n");
                    String all = new String(sender.in.readAllBytes(), StandardCharsets.ISO_8859_1);
                    assertTrue(all.matches("(?s)HTTP/1\\.1 (400|405) .*"), all);
                    assertEquals(0, all.lastIndexOf("HTTP/1.1 "), all);
                }
        }

        @Table("""
            Transfer-Encoding: chunked => 400 ¶ Connection: close ¶ "bod(y|ies)"
            Transfer-Encoding: identity => 400 ¶ Connection: close ¶ "bod(y|ies)"
            Content-Length: 5 => 400 ¶ Connection: close ¶ "bod(y|ies)"
            Content-Length: five => 400 ¶ Connection: close ¶ "five"
            Content-Length: 0¶Transfer-Encoding: chunked => 400 ¶ Connection: close
            Content-Length: 0 => 200|426
            Content-Length: 000 => 200|426""")
        void aBodyIsRefusedOnPagesAndOnTheRelayAlike(String headers, String answer) throws IOException {
            for (String target : List.of("/health", "/ws-relay/a"))
                new Row(target + "¶" + headers, answer).check(relay.port());
        }

        @Table("POST | PUT | DELETE | OPTIONS | TRACE | PROPFIND | get | GETX")
        void otherMethodsAreRefusedAndTheConnectionGoesOn(String method) throws IOException {
            for (String target : List.of("/", "/health", "/ws-relay/a"))
                new Row(method + " " + target, "405 ¶ Allow: GET, HEAD").check(raw);
        }

        @Table("""
            /ws-relay => 426 ¶ Upgrade: websocket | /ws-relay/a/b => 426 ¶ Upgrade: websocket
            /ws-relay?game=1 => 426 ¶ Upgrade: websocket | /ws-relayed => 404 | / => 200 | /spacewar/ => 404
            /index.html => 404 | // => 404 | /metrics => 404 | /health/ => 404 | /healthy => 404 | * => 404""")
        void withoutAFolderThereIsOnlyASentenceAtTheRoot(String target, String answer) throws IOException {
            new Row(target, answer).check(raw);
        }

        @Test
        void aHeadThatIsNotThereInTimeIsClosedEvenIfItTrickles() throws IOException {
            try (var hasty = relay(options -> {
                options.headTimeout = 300;
                options.closeTimeout = 60_000;   // of one that was refused
            }); var slow = new Raw(hasty.port())) {
                expectCutOff(slow.send("GET / HTTP/1.1\r\nX: "));
            }
        }

        @Test
        void aConnectionOnWhichNothingIsAskedIsClosedWithoutAWord() throws IOException {
            try (var hasty = relay(options -> options.headTimeout = 100); var fresh = new Raw(hasty.port());
                    var used = new Raw(hasty.port())) {
                assertEquals(200, Answer.get(used, "/health").status());
                used.expectEnd();
                fresh.expectEnd();
            }
        }

        @Test
        void metricsAreThereOnlyIfAskedForAndCountWhatHappened() throws IOException {
            Answer.get(raw, "/metrics").expect(404);
            Consumer<Relay.Options> settings = options -> {
                options.metrics = true;
                options.maxClients = 3;
            };
            try (var counting = relay(settings);
                    var first = Raw.open(counting, "/ws-relay/a").expect("1 self");
                    var second = Raw.open(counting, "/ws-relay/a").expect("2 self");
                    var third = Raw.open(counting, "/ws-relay/b").expect("1 self")) {
                first.expect("2 join").send(text("* hello"));
                second.expect("1 join", "1 hello").send(concat(text("1 h\u00e9"), text("2 me"), text("9 nobody")));
                second.expect("2 me");
                first.expect("2 h\u00e9");
                expectMetrics(counting, Map.of("relay_rooms", 2, "relay_clients", 3, "relay_messages_received_total", 4,
                        "relay_deliveries_total", 10, "relay_delivered_bytes_total", 3 * 129 + 5 * 8 + 9 + 6 + 7));
                try (var fourth = Raw.open(counting, "/ws-relay/a")) {
                    fourth.expectClose(1013);
                }
                first.send(close(1000, "")).expectClose(1000);
                second.send(close(4321, "done")).expect("1 quit").expectClose(4321);
                third.send("\0\0").expectClose(1002);
                for (Raw client : List.of(first, second, third)) client.close();
                var expected = new HashMap<>(Map.of("relay_rooms", 0, "relay_clients", 0));
                for (int code : new int[] {1000, 1002, 1013, 4321})
                    expected.put("relay_closes_total{code=\"" + code + "\"}", 1);
                expectMetrics(counting, expected);
            }
        }

        private static void expectMetrics(Relay relay, Map<String, Integer> expected) {
            var samples = new HashMap<String, Integer>();
            eventually(() -> {
                samples.putAll(assertDoesNotThrow(() -> samples(Answer.get(relay, "/metrics"))));
                return samples.entrySet().containsAll(expected.entrySet());
            }, expected.toString());
            assertTrue(samples.get("relay_uptime_seconds") < 3600);
        }

        /** Prometheus' text format: each family has its TYPE line before its samples. */
        private static Map<String, Integer> samples(Answer answer) {
            assertTrue(answer.header("Content-Type").startsWith("text/plain;"), answer.header("Content-Type"));
            assertTrue(answer.text().endsWith("\n"));
            var samples = new HashMap<String, Integer>();
            var families = new HashSet<String>();
            for (String line : answer.text().split("\n")) if (line.matches("# TYPE [a-z_]+ (counter|gauge)")) {
                assertTrue(families.add(line.split(" ")[2]), line);
            } else if (!line.startsWith("# HELP ")) {
                assertTrue(line.matches("[a-z_]+(\\{[a-z]+=\"[^\"\\\\]*\"})? [0-9]+"), line);
                assertTrue(families.contains(line.split("[ {]")[0]), answer::text);
                samples.put(line.split(" ")[0], Integer.valueOf(line.split(" ")[1]));
            }
            return samples;
        }
    }

    /** The files of a folder: whole, cached with care, and nothing else. */
    @Nested
    class FilesOfTheGame {
        @TempDir
        static Path outside;
        private static Path game;
        @AutoClose
        private static Relay relay;
        private Raw raw;

        @BeforeAll
        static void start() throws IOException {
            game = Files.createDirectory(outside.resolve("game"));
            relay = relay(options -> options.folders = List.of(game));
        }

        @BeforeEach
        void connect() throws IOException {
            put("index.html", "<title>game</title>");
            put("sub/index.html", "<title>sub</title>");
            put("a.txt", "a file");
            raw = new Raw(relay.port());
        }

        @AfterEach
        void disconnect() throws IOException { raw.close(); }

        private static void put(String name, String content) throws IOException {
            Files.createDirectories(game.resolve(name).getParent());
            Files.deleteIfExists(game.resolve(name));   // which may be a link
            Files.writeString(game.resolve(name), content);
        }

        private Answer expect(int status, String target, String... headers) throws IOException {
            Answer answer = Answer.get(raw, target, headers);
            assertEquals(status, answer.status(), target);
            return answer;
        }

        @Table("""
            html htm A.HTML => text/html; charset=utf-8 | css => text/css; charset=utf-8
            js mjs min.js => text/javascript; charset=utf-8 | txt => text/plain; charset=utf-8
            md => text/(plain|markdown); charset=utf-8 | csv => text/csv; charset=utf-8
            xml => (text|application)/xml(; charset=utf-8)? | json map => application/json
            webmanifest => application/manifest\\+json | wasm => application/wasm | pdf => application/pdf
            zip => application/zip | png => image/png | jpg jpeg => image/jpeg | gif => image/gif
            webp => image/webp | avif => image/avif | bmp => image/bmp | svg => image/svg\\+xml
            ico => image/(x-icon|vnd.microsoft.icon) | mp3 => audio/mpeg | m4a => audio/mp4 | aac => audio/aac
            ogg oga opus => audio/ogg | flac => audio/flac | wav => audio/wav | mp4 => video/mp4
            webm => video/webm | ttf => font/ttf | otf => font/otf | woff => font/woff | woff2 => font/woff2
            glb => model/gltf-binary | gltf => model/gltf\\+json | unknown bin data => application/octet-stream""")
        void aFileHasTheTypeOfItsExtensionAndNoPolicy(String extensions, String type) throws IOException {
            for (String extension : (extensions + " ").split(" ")) {
                put("types/a." + extension, "content");
                new Row("/game/types/a." + extension, "200 ¶ Content-Type: " + type
                        + " ¶ X-Content-Type-Options: nosniff"
                        + " ¶ Cache-Control: no-cache ¶ Content-Security-Policy: ¶ = content").check(raw);
            }
            put("no-extension", "content");
            new Row("/game/no-extension", "200 ¶ Content-Type: application/octet-stream").check(raw);
        }

        /** TAG stands for the ETag, RFC 9110 §13.1, §14. The ten bytes are of Tue, 14 Nov 2023 22:13:20 GMT. */
        @Table("""
            GET => 200 ¶ ETag: TAG ¶ Last-Modified: Tue, 14 Nov 2023 22:13:20 GMT ¶ Content-Range: ¶ = 0123456789
            If-None-Match: TAG => 304 ¶ ETag: TAG ¶ Cache-Control: no-cache
            If-None-Match: W/TAG => 304 | If-None-Match: * => 304
            If-None-Match: "x", W/"y" ,TAG => 304 | If-None-Match: "x"¶If-None-Match: TAG => 304
            If-None-Match: TAG¶If-Modified-Since: Mon, 13 Nov 2023 00:00:00 GMT => 304
            If-None-Match: TAG¶Range: bytes=0-1 => 304
            If-None-Match: "x" => 200
            If-None-Match: "x"¶If-Modified-Since: Tue, 14 Nov 2023 22:13:20 GMT => 200
            If-Modified-Since: Tue, 14 Nov 2023 22:13:20 GMT => 304 ¶ ETag: TAG
            If-Modified-Since: Tue, 14 Nov 2023 22:13:21 GMT => 304
            If-Modified-Since: Sat, 01 Jun 2024 00:00:00 GMT => 304
            If-Modified-Since: Tue, 14 Nov 2023 22:13:19 GMT => 200
            If-Modified-Since: yesterday => 200 | If-Modified-Since: => 200
            Range: bytes=0-3 => 206 ¶ Content-Range: bytes 0-3/10 ¶ Content-Length: 4 ¶ = 0123
            Range: bytes=4- => 206 ¶ Content-Range: bytes 4-9/10 ¶ ETag: TAG ¶ = 456789
            Range: bytes=0- => 206 ¶ Content-Range: bytes 0-9/10 ¶ Content-Type: text/plain; charset=utf-8
            Range: bytes=-3 => 206 ¶ Content-Range: bytes 7-9/10 ¶ Last-Modified: Tue, 14 Nov 2023 22:13:20.* ¶ = 789
            Range: bytes=9-9 => 206 ¶ Content-Range: bytes 9-9/10 ¶ = 9
            Range: bytes=5-99 => 206 ¶ Content-Range: bytes 5-9/10 ¶ = 56789
            Range: bytes=-99 => 206 ¶ Content-Range: bytes 0-9/10 ¶ = 0123456789
            range: BYTES=1-2 => 206 ¶ Content-Range: bytes 1-2/10 ¶ = 12
            Range: bytes=10- => 416 ¶ Content-Range: bytes \\*/10
            Range: bytes=10-12 => 416 ¶ Content-Range: bytes \\*/10
            Range: bytes=-0 => 416 ¶ Content-Range: bytes \\*/10
            Range: bytes=99999999999999999999- => 416|200
            Range: bytes=0-99999999999999999999 => 206|200
            Range: bytes=0-1,4-5 => 200 ¶ Content-Range: ¶ = 0123456789
            Range: bytes=0-1¶Range: bytes=4-5 => 200 ¶ Content-Range: ¶ = 0123456789
            Range: bytes=3-2 => 200 ¶ Content-Range: ¶ = 0123456789
            Range: bytes=- => 200 ¶ Content-Range: ¶ = 0123456789
            Range: bytes= => 200 ¶ Content-Range: ¶ = 0123456789
            Range: bytes=+1-2 => 200 ¶ Content-Range: ¶ = 0123456789
            Range: bytes=--2 => 200 ¶ Content-Range: ¶ = 0123456789
            Range: bytes=0x1-2 => 200 ¶ Content-Range: ¶ = 0123456789
            Range: bytes 0-1 => 200 ¶ Content-Range: ¶ = 0123456789
            Range: items=0-1 => 200 ¶ Content-Range: ¶ = 0123456789
            Range: bytes=1-2¶If-Range: TAG => 206 ¶ = 12
            Range: bytes=1-2¶If-Range: Tue, 14 Nov 2023 22:13:20 GMT => 206 ¶ = 12
            Range: bytes=1-2¶If-Range: W/TAG => 200 ¶ Content-Range: ¶ = 0123456789
            Range: bytes=1-2¶If-Range: "x" => 200 ¶ Content-Range: ¶ = 0123456789
            Range: bytes=1-2¶If-Range: Tue, 14 Nov 2023 22:13:21 GMT => 200 ¶ Content-Range: ¶ = 0123456789
            Range: bytes=1-2¶If-Range: Tue, 14 Nov 2023 22:13:19 GMT => 200 ¶ Content-Range: ¶ = 0123456789
            Range: bytes=1-2¶If-Range: yesterday => 200 ¶ Content-Range: ¶ = 0123456789
            Range: bytes=10-¶If-Range: "x" => 200 ¶ Content-Range: ¶ = 0123456789
            If-Range: TAG => 200 ¶ Content-Range: ¶ = 0123456789""")
        void aBrowserAsksForWhatItLacks(String headers, String answer) throws IOException {
            put("ten.txt", "0123456789");
            Files.setLastModifiedTime(game.resolve("ten.txt"), FileTime.fromMillis(1_700_000_000_500L));
            String tag = Answer.get(raw, "/game/ten.txt").header("ETag");
            assertTrue(tag.matches("\"[!-~&&[^\"]]+\""), tag);
            new Row("/game/ten.txt" + (headers.equals("GET") ? "" : "¶" + headers.replace("TAG", tag)),
                    answer.replace("TAG", tag)).check(raw);
        }

        @Table("""
            HEAD /game/a.txt¶Range: bytes=0-1 => 200 ¶ Content-Length: 6 ¶ Content-Range:
            /game/none.txt¶Range: bytes=0-1 => 404 ¶ Content-Range:
            /game/empty.txt¶Range: bytes=0- => 416 ¶ Content-Range: bytes \\*/0
            /game/empty.txt¶Range: bytes=-5 => 416|200
            /game/sub/¶Range: bytes=0-4 => 206 ¶ = <titl
            /game/sub¶Range: bytes=0-1 => 302 ¶ Content-Range:
            /health¶Range: bytes=0-1 => 200 ¶ Content-Range: ¶ = ok
            WS /game/ => 404 ¶ "ws://localhost/ws-relay/"
            WS /game/a.txt => 404 ¶ "ws://localhost/ws-relay/"
            """)
        void aRangeIsOfAFileAndOnlyForGet(String request, String answer) throws IOException {
            put("empty.txt", "");
            new Row(request, answer).check(raw);
        }

        @Test
        void aFileThatHasChangedIsSentAnew() throws IOException {
            String tag = expect(200, "/game/a.txt").header("ETag");
            var time = Files.getLastModifiedTime(game.resolve("a.txt"));
            put("a.txt", "a fish");   // as long, but later
            Files.setLastModifiedTime(game.resolve("a.txt"), FileTime.fromMillis(time.toMillis() + 5));
            Answer fish = expect(200, "/game/a.txt", "If-None-Match: " + tag);
            put("a.txt", "a whale");  // longer, but with the time of the first
            Files.setLastModifiedTime(game.resolve("a.txt"), time);
            Answer whale = expect(200, "/game/a.txt", "If-None-Match: " + tag + ", " + fish.header("ETag"));
            assertEquals(List.of("a fish", "a whale"), List.of(fish.text(), whale.text()));
            Files.delete(game.resolve("a.txt"));
            expect(404, "/game/a.txt", "If-None-Match: *");
        }

        @Test
        void largeAndEmptyFilesArriveByteForByte() throws IOException {
            var content = new byte[5_000_001];
            new Random(1).nextBytes(content);
            Files.write(game.resolve("large.bin"), content);
            put("empty.js", "");
            assertArrayEquals(content, expect(200, "/game/large.bin").body());
            assertArrayEquals(Arrays.copyOfRange(content, 99_999, 4_000_002),
                    expect(206, "/game/large.bin", "Range: bytes=99999-4000001").body());
            assertEquals(0, expect(200, "/game/empty.js").body().length);
            Answer.head(raw, "/game/a.txt").expectHeadersOf(expect(200, "/game/a.txt"));
        }

        /** The client that is connected already hears it, and the log says why. */
        @Test
        void aFileThatCannotBeOpenedForLackOfDescriptorsIs503() throws Exception {
            var idle = new ArrayList<Raw>();
            var command = List.of("sh", "-c", "ulimit -n 100 && exec \"$@\"", "sh");
            try (var program = Program.relay(command, outside, "--host", "127.0.0.1", "--dir", "game", "--no-stun",
                    "0");
                    var early = program.connect()) {
                for (String name : List.of("a.txt", "none.txt")) Answer.get(early, "/game/" + name);   // loads classes
                for (int i = 0; i < 120; i++) idle.add(program.connect());
                program.whileItSays(() -> eventually(() ->
                        assertDoesNotThrow(() -> Answer.get(early, "/game/a.txt")).status() == 503, "503"));
                new Row("/game/a.txt", "503").check(early);
                program.expectLine("(?i).*(open files|descriptor).*");
                for (Raw raw : idle) raw.close();
                eventually(() -> assertDoesNotThrow(() -> Answer.get(early, "/game/a.txt")).status() == 200, "a file");
            }
        }

        @Test
        void aBrowserThatTakesNothingOfALargeFileIsGivenUp() throws IOException {
            try (var file = new RandomAccessFile(game.resolve("large.bin").toFile(), "rw");
                    var hasty = relay(options -> {
                        options.folders = List.of(game);
                        options.stallTimeout = 200;
                    }); var lazy = new Raw(hasty.port())) {
                file.setLength(64 << 20);
                expectCutOff(lazy.send(Answer.request("GET", "/game/large.bin")));
            }
        }

        @Table("""
            / => /game/ | /?game=1&x=/ => /game/?game=1&x=/ | /game => /game/ | /game?a=b?c => /game/?a=b?c
            /game/sub => /game/sub/ | /game/sub?x => /game/sub/?x | /game/x:y => /game/x:y/
            http://h/game/sub => /game/sub/ | /%67ame/su%62 => /%67ame/su%62/""")
        void aFolderIsRedirectedToItsSlashRelativelyAndWithTheQuery(String target, String expected) throws IOException {
            put("x:y/index.html", "<title>a colon</title>");
            String location = expect(302, target).header("Location");
            assertFalse(location.startsWith("/") || location.contains("//"), location);   // as proxies may add a prefix
            assertEquals("http://h" + expected, URI.create("http://h").resolve(target).resolve(location).toString());
            assertTrue(expect(200, expected).header("Content-Type").startsWith("text/html"));
        }

        @Test
        void aFoldersPageIsItsIndex() throws IOException {
            for (String bare : List.of("bare", "odd/index.html")) Files.createDirectories(game.resolve(bare));
            assertEquals("<title>game</title>", expect(200, "/game/").text());
            assertEquals("<title>game</title>", expect(200, "/game/index.html?v=1").text());
            assertEquals("<title>sub</title>", expect(200, "/game/sub/").text());
            for (String bare : List.of("/game/bare/", "/game/odd/")) new Row(bare, "404 ¶ \"index.html\"").check(raw);
        }

        /** Where the locale knows ASCII alone, Java cannot name other files. */
        private static boolean isNameHere(String name) {
            return name.matches("[ -~]*") || System.getProperty("sun.jnu.encoding").equals("UTF-8");
        }

        /** Raw as it may stand in a URL, and encoded; a browser sends [ ] | ^ { } ' and others raw. */
        @Test
        void aNameMayHoldWhatAFileSystemAllowsAndAUrlCanCarry() throws IOException {
            var names = IntStream.range(' ', 0x7f).filter(c -> "/\\".indexOf(c) < 0)
                    .mapToObj(c -> "a" + (char) c + "b.txt");
            var others = Stream.of("tile[1].png", "it's (2) {x}|y^z", "a..b", "-", "~", "a.", "100%25",
                    "gr\u00f6\u00dfe", "\u5b87", "\ud83d\ude80").filter(FilesOfTheGame::isNameHere);
            var missing = new ArrayList<String>();
            for (String name : Stream.concat(names, others).toList()) {
                put(name, name);
                String encoded = URLEncoder.encode(name, StandardCharsets.UTF_8).replace("+", "%20");
                for (String target : name.matches("[!-~&&[^%?#]]+") ? List.of(encoded, name) : List.of(encoded))
                    if (!Answer.get(raw, "/game/" + target).text().equals(name)) missing.add(target);
            }
            assertEquals(List.of(), missing);
            expect(404, "/game/" + "a".repeat(300));   // longer than a file system allows
        }

        @ParameterizedTest
        @ValueSource(strings = {"my game", "100%", "a+b", "what?#", ".arena", "my:game", "[x]{y}|'z'", "größe"})
        void aFolderIsMountedUnderItsOwnNameWhateverThatIs(String name) throws Exception {
            Assumptions.assumeTrue(isNameHere(name), "file names are ASCII here");
            Path folder = Files.createDirectories(outside.resolve(name));
            Files.writeString(folder.resolve("index.html"), name);
            try (var other = relay(options -> options.folders = List.of(folder))) {
                String target = Answer.get(other, "/?game=1").header("Location");
                assertTrue(target.matches("[!-~]+") && target.endsWith("/?game=1"), target);
                assertEquals(name, Program.page(URI.create("http://127.0.0.1:" + other.port() + "/").resolve(target)));
            }
        }

        @Table("""
            / => 302 ¶ Location: (\\./)?more/ | /more => 302 ¶ Location: (\\./)?more/
            /more/b.txt => 200 ¶ = another
            /more/ => 404 ¶ "index.html" | /game/a.txt => 200 ¶ = a file | /game/ => 200 ¶ = <title>game</title>
            /more/ice.json => 200 ¶ "stun:" | /game/ice.json => 200 ¶ "stun:"
            /more/a.txt => 404 | /game/b.txt => 404
            /a.txt => 404 | /more/../game/a.txt => 404""")
        void severalFoldersAreServedEachUnderItsNameAndTheFirstIsTheStart(String target, String answer)
                throws IOException {
            Path more = Files.createDirectories(outside.resolve("elsewhere/more"));
            Files.writeString(more.resolve("b.txt"), "another");
            try (var two = relay(options -> options.folders = List.of(more, game))) {
                new Row(target, answer).check(two.port());
            }
        }

        @Test
        void aFolderThatIsItselfALinkIsServed() throws IOException {
            Path link = Files.createSymbolicLink(outside.resolve("linked"), game);
            try (var other = relay(options -> options.folders = List.of(link))) {
                assertEquals("a file", Answer.get(other, "/linked/a.txt").text());
                assertEquals(404, Answer.get(other, "/game/a.txt").status());
            }
        }

        @Table("""
            /game/../secret.txt | /../secret.txt | /game/sub/../a.txt | /game/./a.txt | /./game/a.txt | /game/..
            /game/. | /.. | /. | /game/%2e%2e/secret.txt | /game/%2E%2e/secret.txt | /game/.%2e/secret.txt
            /game/%2e/a.txt | /game/..%2fsecret.txt | /game/%2e%2e%2fsecret.txt | /game%2fa.txt | /game/sub%2findex.html
            /game/..%5csecret.txt | /game/..\\secret.txt | /game\\a.txt | /game/%252e%252e/secret.txt
            /game/%252e%252e%252fsecret.txt | /game/a.txt%00 | /game/a.txt%00.html | /game/%00 | /game/a.txt%0a
            /game/a.txt%7f | /game//a.txt | //game/a.txt | /game/sub// | // | //evil.example/ | /game/..;/secret.txt
            /game/%c0%ae%c0%ae/secret.txt | /game/%c0%af | /game/%e0%80%ae%e0%80%ae/secret.txt | /game/%ff
            /game/.hidden | /game/%2ehidden | /game/.git/config | /game/.git/ | /game/sub/.hidden | /game/a.txt/
            /game/a.txt/x | /game/a.txt::$DATA | /game/a.txt%3a | /game/% | /game/%4 | /game/%zz | /game/%u0061.txt
            /game/none | /game/none/ | /gam | /games/ | /Game/a.txt | /game/a.txt# | /game/a.txt#x | /secret.txt | *
            /etc/passwd | /game/etc/passwd | http://h/game/../secret.txt""")
        void nothingElseIsThere(String target) throws IOException {
            Files.writeString(outside.resolve("secret.txt"), "secret");
            for (String name : List.of(".hidden", "sub/.hidden", ".git/config", ".git/index.html")) put(name, "hidden");
            Answer answer = Answer.get(raw, target);
            answer.expect(target.contains("#") && answer.status() == 400 ? 400 : 404);   // that one is no path at all
        }

        @Test
        void linksWithinTheFolderWorkAndThoseThatLeadOutDoNot() throws IOException {
            Path away = Files.createDirectories(outside.resolve("game-away"));   // begins like it, and is another
            Files.writeString(away.resolve("index.html"), "secret");
            link("file-in.txt", "a.txt");
            link("in", "sub");
            link("file-out.txt", "../game-away/index.html");
            link("absolute-out.txt", away + "/index.html");
            link("twice.txt", "file-out.txt");
            link("sub/out", away.toString());
            link("up", "..");
            link("broken", "nowhere");
            link("loop", "loop");
            Files.delete(game.resolve("index.html"));
            link("index.html", away + "/index.html");
            assertEquals("a file", expect(200, "/game/file-in.txt").text());
            assertEquals("<title>sub</title>", expect(200, "/game/in/").text());
            for (String target : List.of("file-out.txt", "absolute-out.txt", "twice.txt", "sub/out", "sub/out/",
                    "sub/out/index.html", "in/out/", "up", "up/", "up/game-away/index.html", "broken", "loop", "",
                    "index.html"))
                expect(404, "/game/" + target);
        }

        private void link(String name, String to) throws IOException {
            Files.createSymbolicLink(game.resolve(name), Path.of(to));
        }
    }

    /**
     * The opening handshake, RFC 6455 §4.2. Most tables change one part of a right request; see Row for their signs.
     */
    @Nested
    class Handshake {
        /** Control frames go ahead of messages, but not of the response. */
        @Test
        void aPingRightBehindTheRequestIsAnsweredAfterIt() throws IOException {
            try (var relay = relay()) {
                for (int i = 0; i < 100; i++) {
                    try (var raw = new Raw(relay.port())) {
                        byte[] request = Raw.upgrade("/ws-relay/ping" + i).getBytes(StandardCharsets.US_ASCII);
                        String head = raw.send(concat(request, frame(true, 9, bytes("p")))).head();
                        assertTrue(head.startsWith("HTTP/1.1 101 "), head);
                        var opcodes = Set.of(raw.receive().opcode(), raw.receive().opcode());
                        assertEquals(Set.of(1, 10), opcodes);
                    }
                }
            }
        }

        @AutoClose
        private static Relay relay;

        @BeforeAll
        static void start() throws IOException { relay = relay(); }

        private static String changed(String part, String instead) {
            String right = Raw.upgrade("/ws-relay/handshake"), from = Row.text(part);
            assertTrue(right.contains(from), part);
            return right.replace(from, Row.text(instead));
        }

        private static Answer assertUpgraded(Raw raw, String accept) throws IOException {
            Answer answer = Answer.read(raw, "GET");
            answer.expect("101 ¶ Upgrade: websocket ¶ Connection: Upgrade ¶ Sec-WebSocket-Extensions:");
            assertEquals(accept, answer.header("Sec-WebSocket-Accept"));
            assertTrue(raw.receive().text().endsWith(" self"));
            return answer;
        }

        private static void assertRefused(Raw raw, String method, String expected) throws IOException {
            Answer answer = Answer.read(raw, method);
            answer.expect(expected);
            if (!method.equals("HEAD")) answer.expect(answer.status());
        }

        @Table("""
            GET => GET
            Upgrade: websocket => UPGRADE:websocket
            Upgrade: websocket => upgrade: ␉ WebSocket ␉
            Upgrade: websocket => Upgrade: h2c, websocket
            Upgrade: websocket => Upgrade: h2c¶Upgrade: WEBSOCKET
            Connection: Upgrade => connection: upgrade
            Connection: Upgrade => Connection: keep-alive, Upgrade
            Connection: Upgrade => Connection: keep-alive ␉,␉UPGRADE,,
            Connection: Upgrade => Connection: keep-alive¶Connection: Upgrade
            Sec-WebSocket-Key: => sec-websocket-key:␉
            Sec-WebSocket-Version: 13 => SEC-WEBSOCKET-VERSION:13 ␉
            Host: localhost => Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits¶Host: localhost
            Host: localhost¶ => Pragma: no-cache¶User-Agent: x (y; z)¶Cookie: a=b¶X-Empty:¶Host: localhost¶A: b¶
            Host: localhost => Content-Length: 0¶Host: localhost
            GET /ws => ¶GET /ws
            GET /ws => GET http://localhost/ws""")
        void isAcceptedInEveryLegalSpelling(String part, String instead) throws IOException {
            try (var raw = new Raw(relay.port())) {
                assertEquals("", assertUpgraded(raw.send(changed(part, instead)), Raw.ACCEPT)
                        .header("Sec-WebSocket-Protocol"));
            }
        }

        @Table("""
            Upgrade: websocket¶ => => 426 ¶ Upgrade: websocket ¶ "Upgrade: websocket"
            Upgrade: websocket => Upgrade: h2c => 426 ¶ Upgrade: websocket ¶ "Upgrade: websocket"
            Upgrade: websocket => Upgrade: websockets => 426 ¶ Upgrade: websocket ¶ "Upgrade: websocket"
            Connection: Upgrade¶ => => 426 ¶ Upgrade: websocket ¶ "Connection: Upgrade"
            Connection: Upgrade => Connection: keep-alive => 426 ¶ Upgrade: websocket ¶ "Connection: Upgrade"
            Connection: Upgrade => Connection: no-upgrade => 426 ¶ Upgrade: websocket ¶ "Connection: Upgrade"
            GET => HEAD => 426 ¶ Upgrade: websocket
            HTTP/1.1 => HTTP/1.0 => 426 ¶ Upgrade: websocket ¶ "HTTP/1.0"
            HTTP/1.1 => HTTP/2.0 => 400 ¶ Connection: close ¶ "HTTP/2.0"
            GET => POST => 405 ¶ Allow: GET, HEAD ¶ "POST"
            GET => get => 405 ¶ Allow: GET, HEAD ¶ "get"
            Sec-WebSocket-Version: 13¶ => => 426 ¶ Sec-WebSocket-Version: 13 ¶ "Sec-WebSocket-Version"
            Sec-WebSocket-Version: 13 => Sec-WebSocket-Version: 8 => 426 ¶ Sec-WebSocket-Version: 13 ¶ "'8'"
            Sec-WebSocket-Version: 13 => Sec-WebSocket-Version: 013 => 426 ¶ Sec-WebSocket-Version: 13 ¶ "'013'"
            Version: 13 => Version: 25¶Sec-WebSocket-Key2: x => 426 ¶ Sec-WebSocket-Version: 13 ¶ "'25'"
            Version: 13 => Version: 13¶Sec-WebSocket-Version: 8 => 426 ¶ Sec-WebSocket-Version: 13 ¶ "'13, 8'"
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==¶ => => 400 ¶ "Sec-WebSocket-Key"
            dGhlIHNhbXBsZSBub25jZQ== => => 400 ¶ "''"
            dGhlIHNhbXBsZSBub25jZQ== => dGhlIHNhbXBsZSBub25jZQ => 400 ¶ "'dGhlIHNhbXBsZSBub25jZQ'"
            dGhlIHNhbXBsZSBub25jZQ== => dGhlIHNhbXBsZSBub25j => 400 ¶ "16 bytes"
            dGhlIHNhbXBsZSBub25jZQ== => dGhlIHNhbXBsZSBub25jZQAA => 400 ¶ "16 bytes"
            dGhlIHNhbXBsZSBub25jZQ== => dGhlIHNhbXBsZSBub25j_-== => 400 ¶ "base64"
            dGhlIHNhbXBsZSBub25jZQ== => dGhlIHNhbXBs ZSBub25jZQ= => 400 ¶ "base64"
            Sec-WebSocket-Key: => Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==¶Sec-WebSocket-Key: => 400 ¶ "==, dG"
            Host: localhost => Host: localhost¶Content-Length: 5 => 400 ¶ Connection: close ¶ "bod(y|ies)"
            Host: localhost => Host: localhost¶Transfer-Encoding: chunked => 400 ¶ Connection: close ¶ "bod(y|ies)"
            """)
        void isRefusedWithAStatusAndASentence(String part, String instead, String answer) throws IOException {
            try (var raw = new Raw(relay.port())) {
                assertRefused(raw.send(changed(part, instead)), instead, answer);
            }
        }

        /** A browser that has offered some and hears of none gives up. */
        @Table("""
            json => json | v1.json+x, msgpack => v1.json+x | ␉a ,b => a | a¶sec-websocket-protocol: b => a | =>
            two words, json => | "quoted" => | a/b =>""")
        void agreesOnTheFirstSubprotocolIfThatIsAToken(String offered, String agreed) throws IOException {
            try (var raw = new Raw(relay.port())) {
                raw.send(changed("Host:", "Sec-WebSocket-Protocol: " + offered + "¶Host:"));
                assertEquals(agreed, assertUpgraded(raw, Raw.ACCEPT).header("Sec-WebSocket-Protocol"));
            }
        }

        @Table("""
            WS /ws-relay/«a*1014» => 101 | WS /ws-relay/«a*1015» => 414 ¶ "1,?024"
            WS /ws-relay/?«%20*338» => 414 ¶ "1,?024"
            WS /ws-relay?«a*1015» => 414 ¶ "1,?024"
            /«a*1500» => 404
            WS / => 404 ¶ "ws://localhost/ws-relay/"
            WS /ws => 404 | WS /spacewar/ => 404 | WS /health => 404 | WS /ws-relayed => 404 | WS /ws-relayed/a => 404
            WS /ws-relay.html => 404 | WS /ws-relay%2Fa => 404 | WS /ws%2Drelay => 404 | WS /WS-relay => 404
            WS /a/ws-relay => 404 | WS //ws-relay => 404
            WS /¶Host: b.example:81 => 404 ¶ "ws://b.example:81/ws-relay/"
            WS /¶Host: [::1]:81 => 404 ¶ "ws://\\[::1]:81/ws-relay/"
            /health¶Upgrade: h2c¶Connection: Upgrade, HTTP2-Settings => 200""")
        void leadsToARoomOfAShortNameBelowWsRelayAndNowhereElse(String request, String answer) throws IOException {
            new Row(request, answer).check(relay.port());
        }

        @Test
        void answersEachKeyWithItsOwnAccept() throws Exception {
            for (byte i = 0; i < 20; i++) {
                String key = Base64.getEncoder().encodeToString(hex("%02x".formatted(251 - i).repeat(16)));
                byte[] hash = java.security.MessageDigest.getInstance("SHA-1")
                        .digest(bytes(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
                try (var raw = new Raw(relay.port())) {
                    assertUpgraded(raw.send(changed(Raw.KEY, key)), Base64.getEncoder().encodeToString(hash));
                }
            }
        }

        @Test
        void mayComeByteByByteWithItsFirstFrame() throws IOException {
            try (var raw = new Raw(relay.port())) {
                byte[] all = concat(bytes(Raw.upgrade("/ws-relay/trickle")), text("1 hello"));
                for (byte b : all) raw.send(new byte[] {b});
                assertUpgraded(raw, Raw.ACCEPT);
                raw.expect("1 hello");
            }
        }

        @Test
        void mayBeFollowedByFramesInTheSamePacket() throws IOException {
            try (var raw = new Raw(relay.port())) {
                raw.send(concat(bytes(Raw.upgrade("/ws-relay/packet")), text("1 a"), text("1 b"), close(1000, "")));
                assertUpgraded(raw, Raw.ACCEPT);
                raw.expect("1 a", "1 b").expectClose(1000);
            }
        }

        @Test
        void mayFollowARefusalOnTheSameConnection() throws IOException {
            try (var raw = new Raw(relay.port())) {
                raw.send(changed("Version: 13", "Version: 12") + changed("Upgrade: websocket¶", "")
                        + changed("GET", "GET"));
                assertRefused(raw, "GET", "426 ¶ Sec-WebSocket-Version: 13");
                assertRefused(raw, "GET", "426 ¶ Upgrade: websocket");
                assertUpgraded(raw, Raw.ACCEPT);
            }
        }

        @Test
        void isForgottenWithAllItsMemoryOnceItIsRefused() throws IOException {
            try (var small = relay(options -> options.memoryLimit = 100_000)) {
                for (int i = 0; i < 40; i++) {
                    try (var raw = new Raw(small.port())) {
                        raw.send(changed("GET", "HEAD").replace("Host", "Cookie: " + "x".repeat(7_000) + "\r\nHost"));
                        assertRefused(raw, "HEAD", "426 ¶ Upgrade: websocket");
                    }
                }
                try (var client = Raw.open(small, "/ws-relay")) {
                    String message = "1 data " + "x".repeat(20_000);
                    client.expect("1 self").send(text(message)).expect(message);
                }
            }
        }
    }

    /** Which pages may connect (RFC 6455 §10.2): of its own host, or named with --origin; and who is no page. */
    @Nested
    @Waits
    class OriginRule {
        private static final Map<String, Relay> RELAYS = new HashMap<>();   // by what they allow

        @AfterAll
        static void stop() { RELAYS.values().forEach(Relay::close); }

        static Relay allowing(String origins, Path... folders) throws IOException {
            var words = Stream.of(origins.split(" ")).filter(origin -> !origin.isEmpty())
                    .flatMap(origin -> Stream.of("--origin", origin));
            var allowed = Relay.Options.parse(words.iterator()).origins;
            return relay(options -> {
                options.origins.addAll(allowed);
                options.folders = List.of(folders);
            });
        }

        /** The answer to a handshake. @param headers of a row, in which a.example is asked unless they say otherwise */
        private static Answer connect(String headers, String allowed) throws IOException {
            String host = headers.contains("Host:") ? "" : "Host: a.example¶";
            if (!RELAYS.containsKey(allowed)) RELAYS.put(allowed, allowing(allowed));
            try (var raw = new Raw(RELAYS.get(allowed).port())) {
                return Answer.read(raw.send(new Row("WS /ws-relay/a¶" + host + headers, "").sent()), "GET");
            }
        }

        /** Options, headers, answer. The tests are on the machine of the relay, as a proxy is. */
        @Table("""
            => Cookie: none => 101
            => Origin: http://localhost:8080¶Host: localhost:8080 => 101
            => Origin: https://localhost:8080¶Host: localhost:8080 => 101
            => Origin: http://a.example => 101
            => Origin: https://a.example => 101
            => Origin: http://a.example¶Host: a.example:80 => 101
            => Origin: https://a.example¶Host: a.example:443 => 101
            => Origin: http://a.example:80 => 101
            => Origin: https://a.example:443 => 101
            => Origin: HTTPS://A.Example => 101
            => Origin: https://a.example¶Host: A.EXAMPLE => 101
            => Origin: http://[::1]:8080¶Host: [::1]:8080 => 101
            => Origin: http://[::1]¶Host: [::1]:80 => 101
            => Origin: http://[::80]¶Host: [::80] => 101
            => Origin: http://[2001:db8::A]:8080¶Host: [2001:DB8::a]:8080 => 101
            => Origin: https://game.example¶X-Forwarded-Host: game.example¶Host: 127.0.0.1:8080 => 101
            => Origin: https://game.example:8443¶X-Forwarded-Host: game.example:8443¶Host: 127.0.0.1:8080 => 101
            => Origin: https://b.example¶X-Forwarded-Host: game.example¶Host: 127.0.0.1:8080 => 403 ¶ "game.example"
            https://b.example => Cookie: none => 101
            https://b.example => Origin: http://a.example => 101
            https://b.example => Origin: https://b.example => 101
            https://b.example/ => Origin: https://b.example => 101
            HTTPS://B.Example:443 => Origin: https://b.example => 101
            https://b.example => Origin: https://B.EXAMPLE => 101
            https://b.example https://c.example => Origin: https://c.example => 101
            https://b.example:8443 => Origin: https://b.example:8443 => 101
            https://[::1]:8080 => Origin: https://[::1]:8080 => 101
            chrome-extension://abcdef => Origin: chrome-extension://abcdef => 101
            app://name => Origin: app://name => 101
            file:// => Origin: file:// => 101
            null => Origin: null => 101
            * => Origin: http://b.example => 101
            * => Origin: null => 101
            * => Origin: file:// => 101
            https://b.example => Origin: http://b.example => 403
            https://b.example => Origin: https://b.example:8443 => 403
            https://b.example => Origin: https://sub.b.example => 403
            https://b.example => Origin: null => 403
            app://name => Origin: app://names => 403
            file:// => Origin: https://b.example => 403
            null => Origin: https://b.example => 403""")
        void aPageMayConnectIfItIsOfTheSameHostAndPortOrAnOptionNamesIt(String allowed, String headers, String answer)
                throws IOException {
            connect(headers, allowed).expect(answer);
        }

        /** What is said to allow it does; what nothing can allow is said to be refused, and no more. */
        @Table("""
            http://127.0.0.1:8080 => localhost:8080 => advised
            http://localhost:8081 => localhost:8080 => advised | http://localhost => localhost:8080 => advised
            http://localhost:8080 => localhost => advised | http://a.example:8443 => a.example:8 => advised
            http://evil.example => a.example => advised | http://a.example.evil.example => a.example => advised
            http://evila.example => a.example => advised | http://sub.a.example => a.example => advised
            http://a.example => sub.a.example => advised | null => a.example => advised
            null => null => advised | file:// => a.example => advised | app://name => a.example => advised
            capacitor://localhost => a.example => advised | chrome-extension://abcdef => a.example => advised
            http://localhost:80800 => localhost:8080 => | http://evil.example//a.example => a.example =>
            http://[::80] => [:] => advised | http://a.example, http://a.example => a.example =>
            a.example => a.example => | //a.example => a.example => | https://*.a.example => b.a.example =>
            * => a.example => | => a.example =>""")
        void anotherPageMayNotAndIsToldWhatWouldAllowIt(String origin, String host, String advised) throws IOException {
            String headers = "Host: " + host + "¶Origin: " + origin, body = connect(headers, "").expect(403).text();
            assertTrue(body.contains(origin) && body.contains(host), body);
            var advice = Pattern.compile("--origin (\\S+)").matcher(body);
            assertEquals(!advised.isEmpty(), advice.find(), body);
            if (!advised.isEmpty()) connect(headers, advice.group(1)).expect("101");
        }

        /** Only a proxy on the relay's own machine is believed. */
        @Test
        void whoIsNotOnThisMachineCannotForwardAHost() throws IOException {
            var outside = CommandLine.outwardAddresses().findFirst();
            Assumptions.assumeTrue(outside.isPresent(), "this machine is in no network");
            try (var relay = relay(options -> options.host = outside.get());
                    var raw = new Raw(new Socket(outside.get(), relay.port()))) {
                raw.send(new Row("WS /ws-relay/a¶Origin: https://b.example¶X-Forwarded-Host: b.example", "").sent());
                Answer.read(raw, "GET").expect("403 ¶ \"localhost\"");
            }
        }

        /** Its name in ice.json is that by which the page asked, and who may connect may read files from elsewhere. */
        @Table("""
            Origin: https://b.example => 200 ¶ Access-Control-Allow-Origin: https://b.example ¶ Vary: Origin
            Origin: file:// => 200 ¶ Access-Control-Allow-Origin: file:// ¶ Vary: Origin
            Origin: null => 200 ¶ Access-Control-Allow-Origin: null ¶ Vary: Origin
            Origin: https://c.example => 200 ¶ Access-Control-Allow-Origin:
            Origin: http://b.example => 200 ¶ Access-Control-Allow-Origin:
            Cookie: none => 200 ¶ Access-Control-Allow-Origin: ¶ "stun:localhost:"
            X-Forwarded-Host: game.example => 200 ¶ "stun:game.example:"
            X-Forwarded-Host: game.example:8443 => 200 ¶ "stun:game.example:"
            X-Forwarded-Host: [2001:db8::7]:8443 => 200 ¶ "stun:\\[2001:db8::7]:"
            X-Forwarded-Host: a"b => 200 ¶ "(?s)^(?!.*a.?b)"
            """)
        void filesAreForPagesThatMayConnect(String headers, String answer, @TempDir Path folder) throws IOException {
            try (var relay = allowing("https://b.example null file://", folder)) {
                String path = "/" + folder.getFileName() + "/ice.json¶";
                new Row(path + headers, answer).check(relay.port());
                Files.writeString(folder.resolve("ice.json"), "{}");
                new Row(path + headers, answer.replaceFirst(" ¶ \".*", " ¶ = {}")).check(relay.port());
                Files.writeString(folder.resolve("other.json"), "{}");
                new Row(path.replace("ice", "other") + headers, answer.replaceFirst(" ¶ \".*", " ¶ = {}"))
                        .check(relay.port());
            }
        }

        /** A script learns nothing of a handshake that has failed, but may ask in other ways, and read the answer. */
        @ParameterizedTest
        @ValueSource(strings = {"GET", "POST"})
        void whateverAnotherPageAsksOfTheRelayItIsToldTheSameAndMayReadIt(String method) throws IOException {
            try (var relay = relay()) {
                new Row(method + " /ws-relay/a¶Origin: http://b.example¶Content-Length: 0",
                        "403 ¶ Access-Control-Allow-Origin: \\* ¶ \"--origin http://b.example\"").check(relay.port());
                new Row("HEAD /ws-relay/a¶Origin: http://localhost",
                        "426 ¶ Access-Control-Allow-Origin: \\*").check(relay.port());
                new Row("/health¶Origin: http://b.example", "200").check(relay.port());
            }
        }

        @Test
        @ExtendWith(InChromium.class)
        void thePageOfAnotherGameReadsWhyItIsRefused() throws IOException {
            try (var relay = relay(); var files = new FilesOnly();
                    var page = InChromium.chromium.open(files.url("/spacewar/ws-relay.js"))) {
                String advice = "--origin " + files.url("");
                page.until("location.host !== '' && document.readyState === 'complete'");
                page.evaluate("""
                        import('/spacewar/ws-relay.js').then(({ WebSocketRelay }) => {
                          const relay = new WebSocketRelay('ws://localhost:%d/game');
                          relay.onstatus = (status, { code, reason }) => {
                            globalThis.heard = `${status} ${code} ${reason}`;
                          };
                        })""".formatted(relay.port()));
                page.until("heard.startsWith('closed 1006 ') && heard.includes('localhost:" + relay.port()
                        + "') && heard.includes('" + advice + "')");
                assertTrue(page.complaints.toString().contains(advice), page.complaints::toString);
            }
        }
    }

    /**
     * Streams, what is read of each, and how it ends: with "end" or a close code; `same` stands for what went in, and
     * "end". They are the cases of the Autobahn suite but for its sections 6.5 on, which are Utf8Text's, and 9; of its
     * sections 3 and 4, the reserved bits and opcodes, and 7, the close codes, the rest is in Frames.
     */
    private static final String STREAMS = """
        => end | 81 => end | 8185 37fa213d 7f9f4d5158 => 81:Hello end | 8185 37fa213d 7f9f4d51 => end
        8185 00000000 48656c6c6f => 81:Hello end | 8985 37fa213d 7f9f4d5158 => 89:Hello end
        8980 01020304 8a80 01020304 => 89: 8a: end | 89:fe*125 8a:00*125 => same
        81:a 82:b 89:c 8a:d 81: => same | 01:a 80:b => 81:ab end
        02:0xff00 00:0xfe 80:0xfd => 82:0xff00fefd end | 01:a => end
        01:a 89:p 00:b 8a:q 89: 80:c 81:d => 89:p 8a:q 89: 81:abc 81:d end | 02:a 00:b 89:p => 89:p end
        01: 00: 80: 81:x => 81: 81:x end | 01: 89:p 00:a 00: 80: 02: 80:b => 89:p 81:a 82:b end
        81:a c181 => 81:a 1002 | 89fe => 1002 | 88ff => 1002 | 8a7e => 1002 | 09 80 => 1002 | 08 80 => 1002
        0a 80 => 1002 | 80 80 => 1002 | 00 80 => 1002 | 01:a 80:b 80 80 => 81:ab 1002 | 01:a 81 80 => 1002
        01: 81 80 => 1002 | 02:a 01 80 => 1002 | 02:a 89:p 82 80 => 89:p 1002 | 8100 => 1002 | 8905 => 1002
        827f => 1002 | 81fe 0000 => 1002 | 81fe 007d => 1002 | 82ff 0000000000000000 => 1002
        82ff 000000000000007d => 1002 | 82ff 000000000000ffff => 1002 | 82ff 8000000000000000 => 1002
        82ff ffffffffffffffff => 1002 | 82ff 0000000000100001 => 1009 | 82ff 7fffffffffffffff => 1009
        81ff 0000000100000001 => 1009 | 81/1000:2a*65536 => same | 82/1:fe*300 => same
        89: 89:Hello,_world! 89:0x00fffefdfcfb00ff => same | 89:fe*126 => 1002 | 8a:unsolicited 89:ping => same
        89:0 89:1 89:2 89:3 89:4 89:5 89:6 89:7 89:8 89:9 => same | 91:Hello => 1002 | d2:x => 1002
        81:Hello a1:Hello 89: => 81:Hello 1002 | 81:Hello c1:Hello 89: => 81:Hello 1002 | e2:Hello => 1002
        f8: => 1002 | 83: => 1002 | 84:x => 1002 | 81:Hello 87:Hello 89: => 81:Hello 1002 | 8b: => 1002
        81:a 8f:b => 81:a 1002 | 09:f1 80:f2 => 1002 | 0a:f1 80:f2 => 1002 | 80:x 81:Hello => 1002
        00:x 81:Hello => 1002 | 01:f1 81:f2 => 1002 | 01:f1 80:f2 00:f3 81:f4 => 81:f1f2 1002
        00:f1 01:f2 80:f3 => 1002 | 01:f1 89:ping 80:f2 => 89:ping 81:f1f2 end
        01:f1 00:f2 89:p1 00:f3 00:f4 89:p2 80:f5 => 89:p1 89:p2 81:f1f2f3f4f5 end
        01: 00:middle 80: => 81:middle end | 81:Hello-µ@ßöä => same
        01:Hello-µ@ 80:ßöä => 81:Hello-µ@ßöä end
        81/1:Hello-µ@ßöä => same | 81/1:0xcebae1bdb9cf83cebcceb5 => same | 81:0xcebae1bdb9eda0806564 => 1007
        81/1:0xcebae1bdb9eda0806564 => 1007 | 01:0xceb5 00:0xf4908080 => 1007
        0195 00000000 cebae1bdb9cf83cebcceb5f490 => 1007 | 01:0xcebae1bdb9cf83cebcceb5f4 00:0x90 => 1007
        88: => same | 88:0x03e8 => same | 88:0x0bb8+bye => same | 88:0x03e8+Hello => same
        88:0x03e8+2a*123 => same | 88:0x03e8+2a*124 => 1002 | 88:a => 1002 | 88:0x03e8c3a9 => same
        88:0x03e8c3 => 1007 | 88:0x03e8ceb5eda080656469 => 1007 | 81:a 88:0x03e9+bye => same
        8a: 88:0x03e8 => same | 01:a 88:0x03e8 => 88:0x03e8 end | 88:0x03e8 88: => same | 88:0x03e8 89: => same
        88:0x03e8 81:Hello => same | 01:f1 88:0x03e8 80:f2 => 88:0x03e8 81:f1f2 end
        81:42417364*262144 81:Hello 88:0x03e8 89: => same""";

    /**
     * Frames in and out, RFC 6455 §5, without a socket: streams of bytes through a FrameReader, each in pieces of
     * all sizes. That a stream may stop right after its offence shows that the reader waits for no more.
     */
    @Nested
    class Frames {
        @Table(STREAMS)
        void areReadAsTheyAreWrittenAndRefusedAtTheFirstOffence(String stream, String outcome) throws IOException {
            var expected = Reading.of(stream, outcome);
            assertReads(stream(stream), expected.frames(), expected.end());
        }

        @Test
        void areRefusedWithAReservedBitOrOpcodeAtTheirFirstByte() throws IOException {
            for (int first = 0; first < 256; first++) {
                int opcode = first & 15;
                boolean reserved = (first & 0x70) != 0 || opcode > 10 || opcode > 2 && opcode < 8;
                boolean misplaced = opcode == 0 || opcode >= 8 && first < 0x80;
                assertReads(new byte[] {(byte) first}, List.of(), reserved || misplaced ? "1002" : "end");
                assertReads(new byte[] {(byte) first, 0x05}, List.of(), "1002");   // and always without a mask
            }
        }

        /** RFC 6455 §7.4, and the codes that IANA has registered since. */
        @Test
        void ofACloseHaveACodeThatMayBeSent() throws IOException {
            for (int code : new int[] {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000,
                    3999, 4000, 4999})
                assertReads(close(code, "€€"), List.of(), code + "");
            for (int code : new int[] {0, 1, 255, 999, 1004, 1005, 1006, 1015, 1016, 1100, 1999, 2000, 2999, 5000,
                    32768, 65535})
                assertReads(close(code, ""), List.of(), "1002");
        }

        @Test
        void mayHaveAnyLengthThatIsWrittenInTheFewestBytes() throws IOException {
            for (int length : new int[] {0, 1, 124, 125, 126, 127, 128, 65534, 65535, 65536, 65537, 1 << 20}) {
                String line = "81:7fe282ac*" + length / 4 * 4 + " 82/1000:00ff80*" + length;
                assertReads(stream(line), Seen.of(line), "end");
            }
        }

        @Test
        void loseTheirMaskWhateverItIsAndWhereverTheyLie() throws IOException {
            for (int mask : new int[] {0, -1, 0x01020304, 0x80ff007f})
                for (int shift = 0; shift < 9; shift++)
                    for (int length = 0; length < 40; length++) {
                        byte[] payload = payload("00ff55aa0180*" + length);
                        assertReads(concat(stream("89:2a*" + shift), masked(0x82, payload, mask)),
                                List.of(new Seen(9, payload("2a*" + shift)), new Seen(2, payload)), "end");
                    }
        }

        @Test
        void mayLieAcrossTheEndOfTheReadBufferAnywhere() throws IOException {
            String line = IntStream.range(0, 3000).mapToObj(i -> "89:00ff80*" + i % 126 + " 82:00ff80*" + i % 131)
                    .collect(Collectors.joining(" "));
            assertReads(stream(line), Seen.of(line), "end");
        }

        @Table("""
            82fe03e9 => 0 | 81ff0000000000010000 => 0 | 82ff7fffffffffffffff => 0 | 02:2a*600 00fe0191 => 1000
            01:2a*1000 8081 => 1000""")
        void areTooLargeByTheirHeadersBeforeMemoryIsTaken(String stream, int memory) {
            var held = new Held();
            var reader = held.reader(stream(stream), 1000);
            assertEquals(1009, assertThrows(Relay.CloseException.class, reader::next).code);
            assertTrue(held.peak <= memory, held.peak + " bytes taken");
        }

        @Test
        void mayAddUpToExactlyTheLimit() throws IOException {
            for (String line : List.of("82:2a*1000", "02:2a*600 89: 80:2a*400", "01:2a*1000 80:", "82/1:2a*1000")) {
                assertEquals("end", Reading.of(stream(line), 1000).end());
                assertEquals("1009", Reading.of(stream(line), 999).end());
            }
        }

        @Test
        void takeMemoryAsBytesComeAndNotAsTheyAreAnnounced() {
            for (int length : new int[] {100, 5_000, 100_000}) {
                var held = new Held();
                var reader = held.reader(Arrays.copyOf(stream("82:2a*1048576"), length), 1 << 20);
                assertThrows(EOFException.class, reader::next);
                assertTrue(held.peak <= Math.max(8 << 10, 4 * length), held.peak + " bytes for " + length);
                assertTrue(held.peak > 0 || length < 5_000);
            }
        }

        @Test
        void giveTheirMemoryBackWhenTheyAreDealtWith() throws Exception {
            var held = new Held();
            var reader = held.reader(stream("82/5000:2a*1048576 89:"), 1 << 20);
            assertEquals(1 << 20, reader.next().length());
            assertTrue(held.peak >= 1 << 20 && held.peak <= (1 << 20) + (16 << 10), held.peak + " bytes for 1 MiB");
            assertTrue(held.inUse() >= 1 << 20, "not counted while it waits to be relayed");
            assertEquals(9, reader.next().opcode());
            assertEquals(0, held.inUse());
        }

        @Table("""
            0 => 8200 | 1 => 8201 | 125 => 827d | 126 => 827e007e | 127 => 827e007f | 65535 => 827effff
            65536 => 827f0000000000010000 | 1048576 => 827f0000000000100000""")
        void areEncodedWithTheirLengthInTheFewestBytes(int length, String header) {
            byte[] payload = payload("00ff55aa01*" + length), around = concat(hex("dead"), payload, hex("beef"));
            for (int prefix = 0; prefix <= Math.min(3, length); prefix++)
                assertArrayEquals(concat(hex(header), payload),
                        Relay.encode(2, Arrays.copyOf(payload, prefix), around, 2 + prefix, 2 + length));
        }

        /** So many characters, and the bytes that are left of them. */
        @Table("""
            0 => a => 0 | 123 => a => 123 | 124 => a => 123 | 1000 => a => 123 | 61 => é => 122 | 62 => é => 122
            42 => € => 123 | 31 => 🚀 => 120""")
        void ofACloseCutTheReasonBetweenCharacters(int count, String character, int length) {
            byte[] reason = Arrays.copyOf(bytes(character.repeat(count)), length);
            assertArrayEquals(concat(new byte[] {(byte) 0x88, (byte) (2 + length), 0x03, (byte) 0xf0}, reason),
                    Relay.encodeClose(1008, character.repeat(count)));
        }

        @Test
        void ofACloseAreEmptyForCode1005AndAlwaysGoodUtf8() {
            assertArrayEquals(hex("8800"), Relay.encodeClose(1005, ""));
            assertArrayEquals(hex("8800"), Relay.encodeClose(1005, "never sent"));
            assertArrayEquals(hex("880303e861"), Relay.encodeClose(1000, "a\ud83d"));   // half of a surrogate pair
        }
    }

    /**
     * Text is UTF-8 (RFC 6455 §8.1, RFC 3629) wherever fragments divide it, and what isn't is told at its first
     * wrong byte. The JDK's strict decoder is the judge.
     */
    @Nested
    @Waits
    class Utf8Text {
        /** The ends of all ranges that RFC 3629 §4 has. */
        private static final byte[] TELLING = hex("007f808f909fa0bfc0c1c2dfe0e1ecedeeeff0f1f3f4f5f7f8ff");

        private static boolean isText(byte[] bytes) {
            try {
                return StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes)) != null;
            } catch (java.nio.charset.CharacterCodingException wrong) {
                return false;
            }
        }

        private static boolean canBecomeText(byte[] start) {
            return Stream.of("", "80", "bf", "8080", "bf80", "808080", "bf8080")
                    .anyMatch(rest -> isText(concat(start, hex(rest))));
        }

        @Test
        void isJudgedAtEachByteAsTheJdkDoesForEverySequenceOfTellingBytesUpToItsEnd() throws Exception {
            onVirtualThread(() -> judgeWhatBegins(new byte[0]));
        }

        private static void judgeWhatBegins(byte[] start) throws IOException {
            for (byte next : TELLING) {
                byte[] text = concat(start, new byte[] {next});
                String what = HexFormat.of().formatHex(text);
                boolean isText = isText(text), goesOn = isText || canBecomeText(text);
                String end = isText ? "end" : "1007";
                byte[] announced = frame(true, 1, concat(bytes("Hello "), text, new byte[300]));
                expectEnd(goesOn ? "end" : "1007", Arrays.copyOf(announced, 8 + 6 + text.length), what);
                for (int i = 0; i <= text.length; i++) for (int j = i; j <= Math.min(i + 1, text.length); j++)
                    expectEnd(end, inThree(text, i, j), what);
                expectEnd(end, concat(stream("81:and_then"), frame(true, 1, text)), what);
                expectEnd(isText ? "4000" : end, frame(true, 8, concat(hex("0fa0"), text)), what);
                for (int opcode : new int[] {2, 9}) expectEnd("end", frame(true, opcode, text), what);
                boolean isOneOfAscii = text.length == 1 && next == 0x7f;   // what follows a whole character
                if (goesOn && text.length < 4 && (isOneOfAscii || !isText)) judgeWhatBegins(text);
            }
        }

        private static void expectEnd(String end, byte[] stream, String what) throws IOException {
            assertEquals(end, Reading.of(stream, 1000, stream.length % 2 == 0 ? 3 : 1000).end(), what);
        }

        /** A message in three fragments, of which the second is text[i..j). */
        private static byte[] inThree(byte[] text, int i, int j) {
            return concat(frame(false, 1, Arrays.copyOf(text, i)), frame(false, 0, Arrays.copyOfRange(text, i, j)),
                    frame(true, 0, Arrays.copyOfRange(text, j, text.length)));
        }

        @Test
        void isEveryCodePointThatThereIs() throws IOException {
            var all = new StringBuilder();
            IntStream.rangeClosed(0, 0x10ffff).filter(c -> c < 0xd800 || c > 0xdfff).forEach(all::appendCodePoint);
            byte[] text = bytes(all.toString());
            assertEquals(new Reading(List.of(new Seen(1, concat(text, text))), "end"),
                    Reading.of(concat(frame(false, 1, text), frame(true, 0, text)), 10 << 20, 5000));
        }
    }

    /**
     * The streams once more, through sockets of the echo endpoint, and the closing handshake, RFC 6455 §7. The time to
     * close is far longer than a read of these tests waits: the server must end its part by itself.
     */
    @Nested
    class Closing {
        @AutoClose
        private static Relay echo;

        @BeforeAll
        static void start() throws IOException {
            echo = new Echo(options(options -> options.closeTimeout = 60_000)).start();
        }

        private static Raw open() throws IOException { return Raw.open(echo, ROOM); }

        @Test
        void whoIsTooFarBehindBeforeTheResponseHasGoneOutStillGetsIt() throws IOException {
            try (var relay = new Relay(options(options -> options.maxOutbox = 1_000)) {
                @Override
                WebSocket newWebSocket(Connection connection, byte[] response, String target, String address) {
                    return new WebSocket(connection, response, target, address) {
                        @Override
                        void join() {
                            var frame = new Outgoing(encode(TEXT, new byte[0], new byte[2_000], 0, 2_000));
                            for (int i = 0; i < 2; i++) send(frame);
                        }

                        @Override
                        void receive(Incoming message) {}
                    };
                }
            }.start(); var raw = Raw.open(relay, ROOM)) {
                assertTrue(raw.expectClose(1008).contains("too slow"));
            }
        }

        /** Who closes its half within a message gets no close frame, but all answers. */
        @Table(STREAMS)
        void answersMessagesPingsAndClosesAndTellsTheFirstOffence(String stream, String outcome) throws IOException {
            var reading = Reading.of(stream, outcome);
            var close = reading.frames().stream().filter(each -> each.opcode() == 8).findFirst();
            var expected = reading.untilClose().frames();
            var messages = expected.stream().filter(each -> each.opcode() < 8).iterator();
            var pings = expected.stream().filter(each -> each.opcode() == 9).iterator();
            try (var raw = open().send(stream(stream))) {
                while (messages.hasNext() || pings.hasNext()) {
                    Received answer = raw.receive();
                    assertTrue(answer.last());
                    if (answer.opcode() < 8) assertEquals(messages.next(), Seen.of(answer));
                    else assertEquals(pings.next(), new Seen(answer.opcode() - 1, answer.payload()));
                }
                if (close.isPresent()) assertEquals(close.get(), Seen.of(raw.receive()));
                else if (reading.end().equals("end")) raw.socket.shutdownOutput();
                else assertFalse(raw.expectClose(Integer.parseInt(reading.end())).isEmpty());
                raw.expectEnd();
            }
        }

        /** Section 9 of the Autobahn suite: large, fragmented, chopped and many messages. */
        @ParameterizedTest(name = "{0}")
        @ValueSource(strings = {"81:4241736437266a683233*", "82:00fe23faf0*"})
        void echoesMessagesOfAllSizesHoweverTheyCome(String frame) throws IOException {
            try (var large = new Echo(options(options -> options.maxMessage = 16 << 20)).start();
                    var raw = Raw.open(large, ROOM)) {
                for (int size = 1 << 16; size <= 16 << 20; size *= 4) expectEcho(raw, frame + size, 1 << 30);
                for (int size = 64; size <= 4 << 20; size *= 16)
                    expectEcho(raw, frame.replace(":", "/" + size + ":") + Math.min(size << 14, 4 << 20), 1 << 30);
                for (int size = 64; size <= 2048; size *= 4) expectEcho(raw, frame + (1 << 18), size);
                for (int size : new int[] {0, 16, 64, 256, 1024, 4096}) {
                    byte[] one = stream(frame + size);
                    for (int i = 0; i < 300; i++) raw.send(one);
                    for (int i = 0; i < 300; i++) assertEquals(size, raw.receive().payload().length);
                    for (int i = 0; i < 300; i++) expectEcho(raw, frame + size, 1 << 30);
                }
                raw.send(close(1000, "")).expectClose(1000);
            }
        }

        private static void expectEcho(Raw raw, String line, int piece) throws IOException {
            byte[] stream = stream(line);
            for (int at = 0; at < stream.length; at += piece)
                raw.send(Arrays.copyOfRange(stream, at, Math.min(at + piece, stream.length)));
            assertEquals(Seen.of(line), List.of(Seen.of(raw.receive())));
        }

        @Test
        void answersAPingWithinAMessageBeforeTheMessageIsWhole() throws IOException {
            try (var raw = open().send(stream("01:f1 00:f2 89:p1")).expect("p1")) {
                raw.send(stream("00:f3 89:p2")).expect("p2").send(stream("80:f5")).expect("f1f2f3f5");
            }
        }

        @Test
        void tellsTheCodeThatMayNotBeSentAndTakesAReasonOfAnyLength() throws IOException {
            try (var wrong = open(); var right = open()) {
                assertTrue(wrong.send(close(1005, "bye")).expectClose(1002).contains("1005"));
                assertEquals("€".repeat(41), right.send(close(3999, "€".repeat(41))).expectClose(3999));
            }
        }

        @Test
        void comesAfterTheAnswersToAllBeforeIt() throws IOException {
            try (var raw = open()) {
                String large = "x".repeat(1 << 20);
                raw.send(concat(text(large), frame(true, 9, bytes("p")), text("b"), close(4321, "done")));
                assertEquals("done", raw.expect(large, "p", "b").expectClose(4321));
            }
        }

        @ParameterizedTest(name = "{0}")
        @ValueSource(strings = {"81:late 89: 88:0x03e9", "88:0x03e8", "ffffffffffffffffffff", "82ff7fffffffffffffff",
                "82:00*100000"})
        void isTheLastThatIsRead(String late) throws IOException {
            try (var raw = open()) {
                raw.send(concat(text("a"), close(1000, ""), stream(late))).expect("a").expectClose(1000);
                raw.send(stream(late)).expectEnd();
            }
        }

        @Test
        void ofOneHalfLetsPendingEchoesArrive() throws IOException {
            try (var raw = open()) {
                String message = "x".repeat(10_000);
                for (int i = 0; i < 100; i++) raw.send(text(i + message));
                raw.socket.shutdownOutput();
                for (int i = 0; i < 100; i++) raw.expect(i + message);
                raw.expectEnd();
            }
        }

        @Table("c1:a => 1002 | 81:0xff => 1007 | 82ff7fffffffffffffff => 1009 | 88:0x03e8 => 1000")
        void reachesTheClientEvenIfMuchUnreadDataIsOnItsWay(String last, int code) throws IOException {
            byte[] all = concat(text("a"), stream(last), new byte[8 << 20]);
            for (int i = 0; i < 2; i++) try (var raw = open()) {
                raw.send(all).expect("a").expectClose(code);
            }
        }

        @Test
        void isFollowedByAnEndEvenIfTheClientStays() throws IOException {
            try (var hasty = new Echo(options(options -> options.closeTimeout = 100)).start();
                    var raw = Raw.open(hasty, ROOM)) {
                raw.send(close(1000, "")).expectClose(1000);
                expectCutOff(raw);
            }
        }
    }

    /**
     * What no one would think of: streams of random frames, whole and spoilt. Of a spoilt stream may come frames, a
     * close with one of three codes, or its end, and nothing else. Seeds are numbers that count up, and are told with a
     * failure.
     */
    @Nested
    @Waits
    class Fuzz extends RandomFrames {
        @Test
        void streamsGiveBackExactlyTheMessagesThatWerePutIn() throws Exception {
            onVirtualThread(() -> trySeeds(0, 3_000, random -> {
                Script script = Script.random(random, "");
                assertEquals(new Reading(script.frames(), "end").untilClose(),
                        Reading.of(script.stream(), 1 << 20, 1 + random.nextInt(2000)));
            }));
        }

        @Test
        void spoiltStreamsEndAsDocumentedAndAlikeInWhateverPiecesTheyCome() throws Exception {
            var ends = new TreeSet<String>();
            onVirtualThread(() -> trySeeds(0, 3_000, random -> {
                byte[] spoilt = spoil(Script.random(random, "").stream(), random);
                int limit = random.nextInt(10) == 0 ? 300 : 70_000;
                Reading reading = Reading.of(spoilt, limit, 1 + random.nextInt(2000));
                assertEquals(reading, Reading.of(spoilt, limit, 1 + random.nextInt(30)));
                ends.add(reading.end());
            }));
            var ours = Set.of("end", "1002", "1007", "1009");
            assertTrue(ends.containsAll(ours), "not all of the ways to end: " + ends);
            ends.removeIf(end -> ours.contains(end) || end.matches("100[0135]|101[0-4]|[34]..."));   // a client's
            assertEquals(Set.of(), ends);
        }

        @Test
        @Measures
        void aRelayServesOnAfterHundredsOfStrangersAndKeepsNothingOfThem() throws Exception {
            // held, so that no garbage collection closes a socket left open
            var all = new ConcurrentLinkedQueue<Relay.WebSocket>();
            try (var relay = new Relay(options(options -> {
                options.metrics = true;
                options.closeTimeout = 30_000;   // no stranger is cut off for being slow
            })) {
                @Override
                WebSocket newWebSocket(Connection connection, byte[] response, String target, String address) {
                    var socket = super.newWebSocket(connection, response, target, address);
                    all.add(socket);
                    return socket;
                }
            }.start(); var strangers = Executors.newFixedThreadPool(20)) {
                greet(relay, "/ws-relay/good");
                eventually(() -> isEmpty(relay), "the relay is empty");
                long sockets = sockets(), threads = relayThreads();
                var visits = IntStream.range(0, 500).mapToObj(seed -> Executors.callable(
                        () -> trySeeds(seed, seed + 1, random -> visit(relay, random))));
                for (var visit : strangers.invokeAll(visits.toList())) visit.get();
                greet(relay, "/ws-relay/good");
                eventually(() -> isEmpty(relay), "all clients and rooms are gone");
                eventually(() -> sockets() <= sockets, "all sockets are closed");
                eventually(() -> relayThreads() <= threads, "all threads of connections have ended");
                greet(relay, "/ws-relay/fuzz");
            }
        }

        private static void greet(Relay relay, String room) throws IOException {
            try (var client = Raw.open(relay, room)) {
                client.expect("1 self").send(text("1 hello")).expect("1 hello").send(close(1000, "")).expectClose(1000);
            }
        }

        /** Some say nothing that makes sense, some only from a point on; some leave without waiting for an answer. */
        private static void visit(Relay relay, Random random) throws IOException {
            byte[] frames = Script.random(random, "* m ").stream(), head = bytes(Raw.upgrade("/ws-relay/fuzz"));
            byte[] all = switch (random.nextInt(6)) {
                case 0 -> randomBytes(random, random.nextInt(2000));
                case 1 -> concat(spoil(head, random), frames);
                case 2, 3 -> concat(head, frames);
                default -> concat(head, spoil(frames, random));
            };
            int manner = random.nextInt(4);
            try (var raw = new Raw(relay.port())) {
                raw.send(manner == 0 ? Arrays.copyOf(all, all.length / 2) : all);
                if (manner < 2) return;
                raw.socket.shutdownOutput();
                raw.in.readAllBytes();   // to a clean end, not a reset
            }
        }

        private static boolean isEmpty(Relay relay) {
            try (var raw = new Raw(relay.port())) {
                raw.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
                String metrics = new String(raw.in.readAllBytes(), StandardCharsets.UTF_8);
                return metrics.contains("\nrelay_clients 0\n") && metrics.contains("\nrelay_rooms 0\n");
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }

        private static long sockets() { return descriptors("socket:"); }
    }

    /** The relay's own protocol, ws-relay.rst: who is told what, and in which order. */
    @Nested
    @Waits
    class Rooms {
        @Test
        void theTableOfTheSpecificationHoldsByteForByte() throws IOException {
            try (var relay = relay(); var one = Raw.open(relay, ROOM)) {
                expectBytes(one, "1 self");
                try (var two = Raw.open(relay, ROOM)) {
                    expectBytes(two, "2 self", "1 join");
                    expectBytes(one, "2 join");
                    try (var three = Raw.open(relay, ROOM)) {
                        expectBytes(three, "3 self", "1 join", "2 join");
                        expectBytes(one, "3 join");
                        expectBytes(two, "3 join");
                        one.send(text("2 hello"));
                        expectBytes(two, "1 hello");
                        one.send(text("* hello"));
                        expectBytes(two, "1 hello");
                        expectBytes(three, "1 hello");
                        leave(three);
                    }
                    expectBytes(one, "3 quit");
                    expectBytes(two, "3 quit");
                    leave(two);
                }
                expectBytes(one, "2 quit");
                leave(one);
            }
        }

        static void expectBytes(Raw raw, String... texts) throws IOException {
            for (String text : texts) {
                byte[] expected = concat(hex("81"), new byte[] {(byte) text.length()}, bytes(text));
                assertArrayEquals(expected, raw.in.readNBytes(expected.length), text);
            }
        }

        @Test
        void whatComesInOnePacketArrivesInTheOrderSentWhoeverItIsFor() throws IOException {
            try (var relay = relay(); var one = Raw.open(relay, ROOM); var two = Raw.open(relay, ROOM);
                    var three = Raw.open(relay, ROOM)) {
                one.send(concat(text("2 a"), text("* b"), text("* c"), text("3 d"), text("2 e"), text("1 f"),
                        text("* g"), text("7 h"), text("2 i"), close(1000, "")));
                one.expect("1 self", "2 join", "3 join", "1 f").expectClose(1000);
                two.expect("2 self", "1 join", "3 join", "1 a", "1 b", "1 c", "1 e", "1 g", "1 i", "1 quit");
                three.expect("3 self", "1 join", "2 join", "1 b", "1 c", "1 d", "1 g", "1 quit");
            }
        }

        @Test
        void whatComesInOnePacketWithAMalformedMessageIsPassedOnUpToThat() throws IOException {
            try (var relay = relay(); var one = Raw.open(relay, ROOM); var two = Raw.open(relay, ROOM)) {
                one.send(concat(text("2 a"), text("1 b"), text("* c"), text("nonsense"), text("* d")));
                one.expect("1 self", "2 join", "1 b").expectClose(1008);
                two.expect("2 self", "1 join", "1 a", "1 c", "1 quit");
            }
        }

        @Test
        void aRoomIsPathAndQueryCharacterForCharacter() throws IOException {
            var names = List.of("", "/", "?", "?game=1", "?game=2", "/?game=1", "/a", "/A", "/a/", "//a", "/a/b",
                    "/a/b/", "/a%2Fb", "/a%2fb", "/%61", "/a/../a", "/a/.", "/a?game=1", "/a?game=1&", "/a?/b",
                    "/a?game=%31", "/a+b", "/a%20b", "/self", "/a".repeat(500));
            var first = new ArrayList<Raw>();
            try (var relay = relay()) {
                for (String name : names) first.add(Raw.open(relay, "/ws-relay" + name).expect("1 self"));
                for (int i = 0; i < names.size(); i++) {
                    try (var second = Raw.open(relay, "/ws-relay" + names.get(i)).expect("2 self", "1 join")) {
                        second.send(text("* " + names.get(i) + "|"));
                        first.get(i).expect("2 join").expect("2 " + names.get(i) + "|");
                    }
                    first.get(i).expect("2 quit");
                }
                for (Raw raw : first) raw.send(text("1 over")).expect("1 over").close();
            }
        }

        @Test
        void idsCountFrom1InEachRoomAndFrom1AgainOnceItHasEmptied() throws IOException {
            try (var relay = relay()) {
                for (int round = 0; round < 3; round++) {
                    try (var one = Raw.open(relay, ROOM).expect("1 self");
                            var other = Raw.open(relay, ROOM + "/other").expect("1 self")) {
                        Raw.open(relay, ROOM).expect("2 self").close();
                        one.expect("2 join", "2 quit");
                        // 2 was somebody else
                        try (var three = Raw.open(relay, ROOM).expect("3 self", "1 join")) {
                            leave(one.expect("3 join"));
                            leave(three.expect("1 quit"));
                        }
                        leave(other);
                    }
                }
            }
        }

        @Test
        void aNewcomerLearnsItsIdThenWhoIsThereInOrder() throws IOException {
            try (var relay = relay(); var room = new Clients(relay, 12)) {   // 12 comes after 2 only as a number
                leave(room.get(3));
                room.get(1).expect("3 quit");
                try (var newcomer = Raw.open(relay, ROOM).expect("13 self")) {
                    for (int id = 1; id <= 12; id++) if (id != 3) newcomer.expect(id + " join");
                    newcomer.send(text("13 over")).expect("13 over");
                }
            }
        }

        interface Departure {
            void of(Raw leaver, Raw witness) throws Exception;
        }

        static Stream<Named<Departure>> departures() {
            return Stream.of(Named.of("it closes", (leaver, witness) -> leaver.send(close(1000, "bye"))),
                    Named.of("it closes without a code", (leaver, witness) -> leaver.send(frame(true, 8, new byte[0]))),
                    Named.of("it closes twice and says more", (leaver, witness) ->
                            leaver.send(concat(close(1000, ""), text("* hello"), close(1000, "")))),
                    Named.of("its connection ends", (leaver, witness) -> leaver.close()),
                    Named.of("its connection is reset", (leaver, witness) -> {
                        leaver.socket.setSoLinger(true, 0);
                        leaver.close();
                    }),
                    Named.of("it closes only its half", (leaver, witness) -> leaver.socket.shutdownOutput()),
                    Named.of("it ends within a frame", (leaver, witness) -> leaver.send(hex("81 fe 01")).close()),
                    Named.of("it falls silent", (leaver, witness) -> {}),
                    Named.of("a message of its is refused", (leaver, witness) -> leaver.send(text("hello"))),
                    Named.of("it breaks the protocol", (leaver, witness) -> leaver.send(hex("81 00"))),
                    Named.of("it falls behind", (leaver, witness) -> {
                        while (witness.in.available() == 0) witness.send(text("* fill " + "x".repeat(64 << 10)));
                    }));
        }

        @ParameterizedTest
        @MethodSource("departures")
        void itsQuitIsToldExactlyOnce(Departure departure) throws Exception {
            try (var relay = relay(options -> {
                options.pingInterval = 1_000;
                options.maxOutbox = 256 << 10;
                options.closeTimeout = 300;
            }); var room = new Clients(relay, 2)) {
                Raw witness = room.get(1);
                departure.of(room.get(2), witness);
                assertEquals("2 quit", answeringPings(witness).text());
                witness.send(concat(text("2 late"), text("* late"), text("1 over")));
                assertEquals("1 over", answeringPings(witness).text());
                try (var next = Raw.open(relay, ROOM).expect("3 self", "1 join")) {
                    next.send(text("1 hello"));
                    witness.expect("3 join", "3 hello");
                }
            }
        }

        @Test
        void aMessageReachesTheOneItNamesOrAllTheOthersOrOneself() throws IOException {
            try (var relay = relay(); var room = new Clients(relay, 11);
                    var elsewhere = Raw.open(relay, ROOM + "/2").expect("1 self")) {
                room.get(1).send(text("11 to-eleven"));
                room.get(11).expect("1 to-eleven").send(text("1 back"));
                room.get(1).expect("11 back");
                room.get(2).send(text("2 to-oneself")).expect("2 to-oneself");
                room.get(3).send(text("* to-all"));
                for (int id = 1; id <= 11; id++) if (id != 3) room.get(id).expect("3 to-all");
                room.expectNothingElse(3, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11);
                elsewhere.send(text("* hello")).send(text("1 over")).expect("1 over");
            }
        }

        @Test
        void aMessageToNobodyIsDropped() throws IOException {
            try (var relay = relay(); var room = new Clients(relay, 3)) {
                leave(room.get(3));
                room.get(2).expect("3 quit");
                room.get(1).expect("3 quit");
                for (String target : List.of("3", "4", "0", "00", "007", "01", "02", "10", "999999999", "1000000001",
                        "4294967297", "4294967298", "99999999999", "18446744073709551617", "18446744073709551618"))
                    room.get(1).send(text(target + " hello"));
                room.expectNothingElse(1, 2);
            }
        }

        @Test
        void whatFollowsTheMsgtypeArrivesByteForByte() throws IOException {
            var sizes = Stream.of(125, 126, 127, 65_535, 65_536, 65_537, 1 << 20)   // of the whole message
                    .map(size -> " " + "é".repeat((size - 4) / 2) + "x".repeat(size % 2));
            var all = Stream.concat(sizes, Stream.of("", " ", "  ", " a", " a ", "  a  b  ", " \n", " a\r\nb\n", "\n",
                    " \0a\0", " \uD83D\uDE80", " {\"x\":[1,2.5]}", " 1 quit", " * self"));
            try (var relay = relay(); var room = new Clients(relay, 3)) {
                for (String data : all.toList()) for (int opcode = 1; opcode <= 2; opcode++) {
                    for (String target : List.of("*", "2"))
                        room.get(1).send(frame(true, opcode, bytes(target + " x" + data)));
                    for (int receiver : new int[] {2, 3, 2}) {
                        Received message = room.get(receiver).receive();
                        assertEquals(opcode, message.opcode());
                        assertTrue(message.last());
                        assertArrayEquals(bytes("1 x" + data), message.payload());
                    }
                }
            }
        }

        @Test
        void binaryMayBeAnything() throws IOException {
            byte[] all = new byte[256];
            for (int i = 0; i < 256; i++) all[i] = (byte) i;
            try (var relay = relay(); var room = new Clients(relay, 2)) {
                room.get(1).send(concat(frame(false, 2, bytes("*")), frame(false, 0, bytes(" b")),
                        frame(true, 0, concat(bytes(" "), all))));
                Received message = room.get(2).receive();
                assertEquals(2, message.opcode());
                assertArrayEquals(concat(bytes("1 b "), all), message.payload());
            }
        }

        @Test
        void anyOtherMsgtypeIsTheClientsOwnToDefine() throws IOException {
            try (var relay = relay(); var room = new Clients(relay, 2)) {
                for (String msgtype : List.of("selfish", "Self", "joins", "quit\t", "quit\n", "*", "1",
                        "é\uD83D\uDE80", "selfjoinquit")) {
                    room.get(1).send(text("* " + msgtype + " data"));
                    room.get(2).expect("1 " + msgtype + " data");
                }
            }
        }

        @ParameterizedTest(name = "opcode {0}")
        @ValueSource(ints = {1, 2})
        void aMessageWithoutAValidHeaderEndsItsSenderAlone(int opcode) throws IOException {
            try (var relay = relay(); var room = new Clients(relay, 2)) {
                int id = 2;
                for (String message : List.of("", " ", "*", "1", "hello", "* ", "1 ", " hello", " 1 hello", "*  hello",
                        "1  hello", "** hello", "*1 hello", "+1 hello", "-1 hello", "1x hello", "1.0 hello",
                        "1,2 hello", "1\thello", "all hello", "\u0661 hello", "\0 hello", "* self", "* join", "* quit",
                        "1 self", "1 join", "1 quit", "* self 3", "1 join ", "* quit now"))
                    try (var rude = Raw.open(relay, ROOM).expect(++id + " self", "1 join", "2 join")) {
                        String reason = rude.send(frame(true, opcode, bytes(message))).expectClose(1008);
                        boolean forged = message.matches("[*1] (self|join|quit).*");
                        String got = "got '" + Relay.printable(forged ? message.substring(0, 6) : message);
                        assertTrue(reason.contains(forged ? "only the relay" : "<msgtype>") && reason.contains(got),
                                reason);
                        room.get(1).expect(id + " join", id + " quit").send(text("2 hello"));
                        room.get(2).expect(id + " join", id + " quit", "1 hello");
                    }
                room.expectNothingElse(1, 2);
            }
        }

        /**
         * Two hundred lives in one room, fifty at a time, each on a thread of its own: they say numbered words to all
         * and whisper to some, and leave in good order or abruptly. The first client stays; by what it hears the others
         * are checked.
         */
        @ParameterizedTest(name = "seed {0}")
        @ValueSource(longs = {1, 2})
        void everyStreamIsATrueHistory(long seed) throws Exception {
            var first = new History();
            var others = new ConcurrentLinkedQueue<History>();
            try (var relay = relay(); var threads = Executors.newCachedThreadPool(); var raw = Raw.open(relay, ROOM)) {
                var done = threads.submit(() -> first.listen(raw));
                var lives = IntStream.range(0, 50).mapToObj(i -> threads.submit(() -> {
                    var random = new Random(1000 * seed + i);
                    for (int life = 0; life < 4; life++) others.add(History.live(relay, random, threads));
                    return null;
                })).toList();
                for (var life : lives) life.get();
                eventually(() -> first.count(" quit") == 200, "200 quits heard");
                raw.send(close(1000, ""));
                done.get();
            }
            var said = History.said(others);
            var company = new HashMap<Integer, Set<Integer>>();
            assertEquals(Set.of(), first.check(said, company), "all have left");
            for (History other : others) other.check(said, company);
        }

        /** The list of clients, replaced with each join and quit, is whole whenever somebody who talks looks at it. */
        @Test
        @SuppressWarnings("try")   // who talks just talks on
        void comingAndGoingDisturbsNobodyWhoIsTalking() throws Exception {
            var chatter = new ByteArrayOutputStream();
            for (int i = 0; i < 300; i++) chatter.writeBytes(concat(text("999999 n"), text("* n")));
            byte[] turn = concat(text("1 turn"), chatter.toByteArray());
            try (var relay = relay(); var one = Raw.open(relay, ROOM).expect("1 self");
                    var talk = new Pump(one, Long.MAX_VALUE, n -> turn)) {
                for (int id = 2; id < 800; id++) {
                    Raw.open(relay, ROOM).expect(id + " self", "1 join").close();
                    for (String quit = id + " quit"; !one.receive().text().equals(quit); ) continue;
                }
                for (int i = 0; i < 100; i++) one.expect("1 turn");
            }
        }
    }

    /** What bounds a client, and what all of them together: each limit at work, and nobody else disturbed by it. */
    @Nested
    @Waits
    @Order(1)   // takes the longest of these, CommandLine the longest but one
    class Limits {
        interface Step {
            void run() throws IOException;
        }

        /** Client 1 multicasts, client 2 keeps up and misses nothing, until that one has quit. */
        static void fillUntilQuit(Clients room, int id, Step meanwhile) throws IOException {
            boolean gone = false;
            for (int sent = 0, heard = 0; !gone || heard < sent; ) {
                meanwhile.run();
                if (!gone) room.get(1).send(text("* " + sent++ + " " + FILL));
                Received next = room.get(2).receive();
                if (next.text().equals(id + " quit")) gone = true;
                else assertTrue(next.text().equals("1 " + heard++ + " " + FILL), next::toString);
            }
            room.get(1).expect(id + " quit");
        }

        @ParameterizedTest
        @ValueSource(strings = {"82fe03e9", "02fe03e9", "0181000000007880fe03e8", "82ff7fffffffffffffff"})
        void aMessageMayBeAsLargeAsTheLimitAndItsSenderIsTold1009FromTheHeaderOfOneThatIsLarger(String header)
                throws IOException {
            try (var relay = relay(options -> options.maxMessage = 1000); var room = new Clients(relay, 2)) {
                room.get(1).send(text("* " + "x".repeat(998)));
                room.get(2).expect("1 " + "x".repeat(998));
                assertTrue(room.get(1).send(hex(header)).expectClose(1009).contains("1000 bytes"));
                room.get(2).expect("1 quit");
            }
        }

        @Test
        void whoComesWhenTheRelayIsFullIsTold1013AndIsWelcomeOnceSomebodyHasLeft() throws IOException {
            try (var relay = relay(options -> {
                options.maxClients = 2;
                options.closeTimeout = 60_000;
            }); var room = new Clients(relay, 2); var third = Raw.open(relay, ROOM);
                    var fourth = Raw.open(relay, "/ws-relay/another")) {
                for (Raw refused : List.of(third, fourth)) assertTrue(refused.expectClose(1013).contains("full"));
                room.expectNothingElse(1, 2);   // and the refused stay, without a place
                leave(room.get(2));
                room.get(1).expect("2 quit");
                room.get(2).close();   // until then, it takes up its place
                eventually(() -> {
                    try (var next = Raw.open(relay, "/ws-relay/another")) {
                        return next.receive().text().equals("1 self");
                    } catch (IOException e) {
                        throw new UncheckedIOException(e);
                    }
                }, "there is room again");
                room.expectNothingElse(1);
            }
        }

        /** A pong, or a byte of a message that is still to come. */
        @ParameterizedTest
        @ValueSource(strings = {"8a: 8a: 8a: 81:1_over", "81 86 12f30577 23d36a017781"})
        void whoIsSilentIsPingedAndAnySignOfLifeKeepsIt(String signs) throws IOException {
            try (var relay = relay(options -> options.pingInterval = 500);
                    var one = Raw.open(relay, ROOM).expect("1 self")) {
                for (String sign : signs.split(" ")) {
                    assertEquals(9, one.receive().opcode());
                    one.send(stream(sign));
                }
                assertEquals("1 over", answeringPings(one).text());
            }
        }

        @Test
        void whoNeverReadsDelaysNobodyAndFindsA1008IfItDoesReadInTime() throws IOException {
            var most = new AtomicLong();
            try (var relay = relay(options -> options.maxOutbox = 256 << 10); var room = new Clients(relay, 3)) {
                Raw stuck = room.get(3);
                fillUntilQuit(room, 3, () -> {
                    stuck.send(frame(true, 10, new byte[0]));   // it shows that it is closed
                    most.accumulateAndGet(relay.memory.inUse(), Math::max);
                });
                assertTrue(most.get() < 640 << 10, () -> most + " bytes were held");
                eventually(() -> relay.memory.inUse() < 200 << 10, "what waited is dropped");
                Received next = stuck.receive();
                for (int number = 0; next.opcode() == 1; next = stuck.receive())
                    assertTrue(next.text().equals("1 " + number++ + " " + FILL), next::toString);
                assertEquals(1008, next.code());
                assertTrue(next.reason().contains("behind"), next.reason());
                stuck.expectEnd();
                room.expectNothingElse(1, 2);
            }
        }

        /** On one processor, which must not be kept by a write that waits. */
        @Test
        void thoseWhoNeverReadDoNotDelayTheOneAfterThem() throws Exception {
            var room = new ArrayDeque<Raw>();
            try (var relay = Program.local("-XX:ActiveProcessorCount=1")) {
                for (int id = 1; id <= 10; id++) room.add(lazy(relay.connect()).open(ROOM).expect(id + " self"));
                for (int id = 1; id <= 9; id++) room.getLast().expect(id + " join");
                assertTimeout(Duration.ofSeconds(4), () -> {   // 0.1 s, unless one who never reads has to be given up
                    for (int number = 0; number < 30; number++) {
                        room.getFirst().send(text("* " + number + " " + FILL));
                        room.getLast().expect("1 " + number + " " + FILL);
                    }
                });
                for (Raw client : room) client.close();
            }
        }

        /** Of the one, the socket can be read all the while, of the other not be written to; and later on it can. */
        @Test
        void whoWaitsOrIsWaitedForCostsNoProcessorTime() throws Exception {
            try (var relay = Program.local(Program.ROOT); var one = relay.open(ROOM);
                    var two = lazy(relay.connect()).open(ROOM).expect("2 self", "1 join")) {
                try (var pump = new Pump(one.expect("2 join"), Long.MAX_VALUE, number -> FILL_FOR_2)) {
                    pump.awaitBlocked();
                    expectIdle(relay);
                }
                while (two.receive().payload().length > FILL.length()) assertTrue(relay.process.isAlive());
                expectIdle(relay);
            }
        }

        private static void expectIdle(Program relay) throws InterruptedException {
            Duration before = relay.process.info().totalCpuDuration().orElseThrow();
            Thread.sleep(1_000);
            Duration spent = relay.process.info().totalCpuDuration().orElseThrow().minus(before);
            assertTrue(spent.toMillis() < 300, () -> spent + " within a second");
        }

        @Test
        void aMessageLargerThanAnOutboxReachesAReceiverThatKeepsUp() throws IOException {
            try (var relay = relay(options -> options.maxOutbox = 32 << 10); var room = new Clients(relay, 2)) {
                for (int i = 0; i < 50; i++) {
                    room.get(1).send(concat(text("* small"), text("* " + FILL)));
                    expectLong(room.get(2).expect("1 small"), "1 " + FILL);
                    room.expectNothingElse(2);
                }
            }
        }

        @Test
        void whatHadToWaitForItsReceiverArrivesAlthoughItsSenderHasLeft() throws IOException {
            try (var relay = relay(options -> options.maxOutbox = 256 << 10); var room = new Clients(relay, 2)) {
                var sent = new ArrayList<String>();
                for (int i = 0; i < 60; i++) sent.add(i + " " + FILL);   // 4 MB, too much for the system
                var sender = Thread.startVirtualThread(() -> {
                    for (String text : sent) sendAnyway(room.get(1), text("2 " + text));
                    sendAnyway(room.get(1), concat(text("2 a"), text("2 b"), close(1000, "")));
                });
                LockSupport.parkNanos(300_000_000);
                for (String text : sent) expectLong(room.get(2), "1 " + text);
                room.get(2).expect("1 a", "1 b", "1 quit");
                eventually(() -> !sender.isAlive(), "all sent");
            }
        }

        @Test
        void aBurstOfTinyMessagesToALargeRoomStaysWithinTheBudget() throws Exception {
            int count = 2_000, size = 100;
            byte[] burst = times(count, text("* x"));   // comes in one or two reads
            try (var relay = relay(options -> options.memoryLimit = 1 << 20);
                    var one = Raw.open(relay, ROOM).expect("1 self")) {
                var others = new ArrayList<Raw>();
                for (int id = 2; id <= size; id++) {
                    others.add(Raw.open(relay, ROOM).expect(id + " self"));
                    one.expect(id + " join");
                }
                var most = new AtomicLong();
                var watch = Thread.ofPlatform().daemon().start(() -> {
                    while (!Thread.interrupted()) most.accumulateAndGet(relay.memory.inUse(), Math::max);
                });
                one.send(burst);
                byte[] frame = {(byte) 0x81, 3, '1', ' ', 'x'};
                for (Raw other : others) {
                    for (Received next = other.receive(); !next.text().equals("1 x"); next = other.receive())
                        assertTrue(next.text().endsWith(" join"), next::toString);
                    for (int i = 1; i < count; i++) assertArrayEquals(frame, other.in.readNBytes(frame.length));
                    other.close();
                }
                watch.interrupt();
                assertTrue(most.get() < (5 << 18) + size * 2_100L, () -> most + " bytes were counted");   // up to 5/4
            }
        }

        /** What has been read and waits for its turn fills the budget by itself: that must not keep it waiting. */
        @Test
        void aCrowdThatFloodsItsRoomIsPassedOnWholeAndKeepsNobodyOut() throws Exception {
            int size = 30, count = 1_500;
            byte[] flood = times(count, text("* x"));
            try (var relay = relay(options -> options.memoryLimit = 1 << 19); var room = new Clients(relay, size);
                    var elsewhere = Raw.open(relay, ROOM + "/2");
                    var threads = Executors.newVirtualThreadPerTaskExecutor()) {
                for (int id = 1; id <= size; id++) room.get(id).socket.setSoTimeout(30_000);   // 1.3 million deliveries
                elsewhere.socket.setSoTimeout(30_000);
                var readers = IntStream.rangeClosed(1, size).mapToObj(id -> threads.submit(() -> {
                    int shorter = id < 10 ? 8 : 9;   // "1 x" to "9 x" from others, hence without one's own
                    room.get(id).in.skipNBytes((long) count * (5 * shorter + 6 * (size - 1 - shorter)));
                    return null;
                })).toList();
                for (int id = 1; id <= size; id++) {
                    Raw raw = room.get(id);
                    threads.submit(() -> raw.send(flood));
                }
                elsewhere.expect("1 self").send(text("1 hello")).expect("1 hello");
                for (var reader : readers) reader.get();
                room.expectNothingElse(1, 2);
                eventually(() -> relay.memory.inUse() == 0, "nothing is held");
            }
        }

        /** A file of holes in a folder of its own. */
        private static Path site(Path folder, long size) throws IOException {
            Path site = Files.createDirectory(folder.resolve("site"));
            try (var huge = new RandomAccessFile(site.resolve("huge").toFile(), "rw")) {
                huge.setLength(size);
            }
            return site;
        }

        @Test
        void aFileIsNotReadOnForWhoIsGone(@TempDir Path folder) throws Exception {
            Path site = site(folder, 1L << 40);
            try (var relay = relay(options -> options.folders = List.of(site))) {
                for (int i = 0; i < 5; i++)
                    try (var raw = lazy(new Raw(relay.port())).send(Answer.request("GET", "/site/huge"))) {
                        raw.in.readNBytes(100_000);
                        raw.socket.setSoLinger(true, 0);   // a reset
                    }
                eventually(() -> descriptors("/huge") == 0, "nobody reads it any more");
            }
        }

        @Test
        void manyWhoAskForAFileAndDoNotTakeItDoNotOverwhelmAHeapOf32(@TempDir Path folder) throws Exception {
            var askers = new ArrayList<Raw>();
            try (var relay = Program.local("-Xmx32m", "--dir", site(folder, 100 << 20).toString());
                    var good = relay.open(ROOM)) {
                for (int i = 0; i < 450; i++)
                    askers.add(lazy(relay.connect()).send(Answer.request("GET", "/site/huge")));
                for (int i = 0; i < 100; i++) {
                    good.send(text("1 " + i)).expect("1 " + i);
                    Thread.sleep(10);
                }
                for (Raw raw : askers) raw.close();
                good.send(text("1 over")).expect("1 over");
                assertEquals(List.of(), relay.err);
            } finally {
                for (Raw raw : askers) raw.close();
            }
        }

        @Test
        void whatComesTogetherWithAHandshakeIsCountedOnce() throws IOException {
            try (var relay = relay(); var raw = new Raw(relay.port())) {
                String requests = Answer.request("GET", "/health").repeat(2) + Raw.upgrade(ROOM);
                raw.send(concat(bytes(requests), text("1 hello")));
                for (int status : new int[] {200, 200, 101}) assertEquals(status, Answer.read(raw, "GET").status());
                raw.expect("1 self", "1 hello");
                eventually(() -> relay.memory.inUse() == 0, "nothing is held");
            }
        }

        /** RFC 6455 §5.5: a ping is answered at once, whatever else waits. */
        @Test
        void aPongGoesAheadOfMessagesThatWait() throws IOException {
            try (var relay = relay(); var room = new Clients(relay, 2)) {
                for (int i = 0; i < 50; i++) room.get(1).send(text("* " + FILL));   // 3 MB, more than the system takes
                eventually(() -> relay.memory.inUse() > 2 << 20, "they wait");
                room.get(2).send(frame(true, 9, bytes("p")));
                eventually(() -> relay.memory.inUse() > 2 << 20, "they still do");
                LockSupport.parkNanos(100_000_000);
                int before = 0;
                for (Received next = room.get(2).receive(); next.opcode() == 1; next = room.get(2).receive()) before++;
                assertTrue(before < 30, before + " messages came before it");
                for (; before < 50; before++) expectLong(room.get(2), "1 " + FILL);
            }
        }

        @Test
        void aReceiverThatTakesNothingIsGivenUpAndItsSenderGoesOn() throws IOException {
            try (var relay = relay(options -> options.stallTimeout = 500); var room = new Clients(relay, 2);
                    var pump = new Pump(room.get(1), 1_000, number -> FILL_FOR_2)) {
                room.get(1).expect("2 quit");
                eventually(() -> pump.sent.get() == 1_000, "all sent");
                room.expectNothingElse(1);
            }
        }

        /** Nor while it closes. Otherwise the system would hold 4 MB back, and tell of progress in megabytes. */
        @Test
        void aReceiverThatTakesLittleAtATimeIsNotGivenUp() throws Exception {
            try (var relay = relay(options -> options.stallTimeout = 1_000); var room = new Clients(relay, 2)) {
                for (int number = 0; number < 50; number++) room.get(1).send(text("* " + number + " " + FILL));
                room.expectNothingElse(1);
                for (int number = 0; number < 50; number++) {
                    if (number == 20) room.get(2).send(close(1000, ""));
                    expectLong(room.get(2), "1 " + number + " " + FILL);
                    Thread.sleep(60);   // a megabyte a second
                }
                room.get(2).expectClose(1000);
            }
        }

        /** Rooms are spread over the processors, and connections go where their room is. */
        @Test
        void allIsTheSameOnManyProcessors() throws Exception {
            var rooms = new ArrayList<List<Raw>>();
            try (var relay = Program.local("-XX:ActiveProcessorCount=7")) {
                for (int i = 0; i < 40; i++) {
                    Raw one = relay.open(ROOM + i), two = relay.connect();
                    two.send(concat(bytes(Raw.upgrade(ROOM + i)), text("1 early"))).head();   // more than the handshake
                    rooms.add(List.of(one.expect("2 join", "2 early"), two.expect("2 self", "1 join")));
                }
                for (var room : rooms) room.get(0).send(concat(text("* hello"), text("2 you"), text("1 me")));
                for (var room : rooms) {
                    room.get(0).expect("1 me");
                    room.get(1).expect("1 hello", "1 you").send(text("* back"));
                    room.get(0).expect("2 back");
                }
                relay.signal("TERM");
                for (var room : rooms)
                    for (Raw raw : room) try (raw) { expectShutdown(raw); }
                relay.expectExit(0);
                assertEquals(List.of(), relay.err);
            }
        }

        /** What is more than the heap can't have been kept: the sender was made to wait. */
        @Test
        void fiftyMegabytesReachASlowReaderWholeThroughAHeapOf64() throws Exception {
            LongFunction<String> part =
                    number -> " part " + number + " " + Long.toString(100_000 + number * 7919, 36).repeat(250_000);
            try (var relay = Program.local("-Xmx64m"); var sender = relay.open(ROOM);
                    var reader = lazy(relay.connect()).open(ROOM).expect("2 self", "1 join")) {
                sender.expect("2 join");
                long ahead = 0, start = System.nanoTime();
                try (var pump = new Pump(sender, 50, number -> text("2" + part.apply(number)))) {
                    for (int number = 0; number < 50; number++) {
                        expectLong(reader, "1" + part.apply(number));
                        ahead = Math.max(ahead, pump.sent.get() - number);
                        Thread.sleep(Math.max(0, 50 * number - (System.nanoTime() - start) / 1_000_000));   // 20 MB/s
                    }
                    assertTrue(ahead < 40, "the sender was " + ahead + " MB ahead");
                    sender.send(text("1 over")).expect("1 over");
                }
                reader.expect("1 quit").socket.close();
                relay.endWell();
            }
        }

        @Test
        void whoHoldsMostOfTheBudgetIsCutOffAndAllOfItComesBack() throws IOException {
            try (var relay = relay(options -> options.memoryLimit = 3 << 20); var room = new Clients(relay, 2)) {
                for (int hog = 3; hog < 5; hog++) {
                    try (var stuck = lazy(Raw.open(relay, ROOM).expect(hog + " self"))) {
                        for (int id = 1; id <= 2; id++) room.get(id).expect(hog + " join");
                        fillUntilQuit(room, hog, () -> {});
                        stuck.expect("1 join", "2 join");
                    }
                }
                expectRoomFor2MB(room);
            }
        }

        /** Clients 1 and 2 each have a message of a megabyte under way, and then get it through. */
        static void expectRoomFor2MB(Clients room) throws IOException {
            byte[] most = concat(frame(false, 1, bytes("99 " + "x".repeat(1_000_000))), frame(true, 9, new byte[0]));
            for (int id = 1; id <= 2; id++) room.get(id).send(most);
            for (int id = 1; id <= 2; id++) assertEquals(10, room.get(id).receive().opcode());   // so it is there
            for (int id = 1; id <= 2; id++) room.get(id).send(frame(true, 0, bytes("x")));
            room.expectNothingElse(1, 2);
        }

        /** Four clients each send most of a long message and then nothing: some are cut off, and who goes on is not. */
        @ParameterizedTest
        @ValueSource(ints = {900_000, 10_000})
        void aMessageStillToComeCountsToo(int fragment) throws IOException {
            byte[] whole = stream("82/" + fragment + ":2a*950000"), slow = text("* " + FILL);
            try (var relay = relay(options -> options.memoryLimit = 3 << 20); var room = new Clients(relay, 2)) {
                room.get(1).send(Arrays.copyOf(slow, 60_000));
                var hogs = new ArrayList<Raw>();
                for (int i = 0; i < 4; i++) hogs.add(Raw.open(relay, "/ws-relay/hog"));   // later ones would wait
                for (Raw hog : hogs) Thread.startVirtualThread(() -> sendAnyway(hog, Arrays.copyOf(whole, 900_000)));
                eventually(() -> relay.memory.inUse() > (3 << 20) / 4 * 3, "memory is short");
                eventually(() -> relay.memory.inUse() < (3 << 20) / 4 * 3, "some of it is free again");
                room.get(1).send(Arrays.copyOfRange(slow, 60_000, slow.length));
                expectLong(room.get(2), "1 " + FILL);
                for (Raw hog : hogs) hog.close();
                expectRoomFor2MB(room);
            }
        }

        /** Ten who send messages to nobody, or a hundred who ask whether the relay is well, all in one go. */
        @ParameterizedTest(name = "talking: {0}")
        @ValueSource(booleans = {true, false})
        void newcomersGetInWhileOthersNeverStop(boolean talking) throws Exception {
            byte[] request = bytes(Answer.request("GET", "/health"));
            byte[] all = talking ? times(20_000, text("99 m x")) : times(500, request);
            var floods = new ArrayList<Pump>();
            try (var relay = Program.local("-XX:ActiveProcessorCount=1", "--quiet")) {
                for (int i = 0; i < (talking ? 10 : 100); i++) {
                    var raw = talking ? relay.open("/ws-relay/flood" + i) : relay.connect();
                    if (!talking) Thread.startVirtualThread(() -> skipAll(raw));
                    floods.add(new Pump(raw, Long.MAX_VALUE, number -> all));
                }
                eventually(() -> floods.stream().allMatch(flood -> flood.sent.get() > 0), "all of them are at it");
                for (int i = 0; i < 20; i++) relay.open("/ws-relay/newcomer" + i).close();
            } finally {
                for (Pump flood : floods) flood.close();
            }
        }

        @Test
        void whoConnectsWhenThereAreNoDescriptorsLeftWaitsAndGetsInOnceThereAre() throws Exception {
            require("prlimit", "util-linux");
            var clients = new ArrayList<Raw>();
            try (var relay = Program.relay(List.of("prlimit", "--nofile=100"), Program.ROOT, "0", "--host",
                    "127.0.0.1", "--no-stun", "--quiet")) {
                // so that all classes are loaded, for which it needs some
                for (int i = 0; i < 2; i++) try (var raw = relay.open(ROOM + i)) { leave(raw); }
                for (int i = 0; i < 100; i++) clients.add(relay.connect());
                relay.expectLine(".* error cannot accept: .*");
                expectIdle(relay);
                long lines = relay.out.stream().filter(line -> line.contains("cannot accept")).count();
                assertTrue(lines < 100, () -> lines + " of them");
                for (Raw client : clients.subList(0, 60)) client.close();
                relay.whileItSays(() -> assertEquals(101,
                        Answer.read(clients.getLast().send(Raw.upgrade(ROOM)), "GET").status()));
            } finally {
                for (Raw client : clients) client.close();
            }
        }

        @Test
        void whoSendsPingsButReadsNoPongsIsMadeToWait() throws Exception {
            int count = 100_000;   // 13 MB
            LongFunction<byte[]> payload = number -> ByteBuffer.allocate(125).putLong(number).array();
            try (var relay = relay(options -> {
                options.memoryLimit = 3 << 20;
                options.maxOutbox = 1 << 20;
            }); var one = lazy(Raw.open(relay, ROOM).expect("1 self"));
                    var pump = new Pump(one, count, number -> frame(true, 9, payload.apply(number)))) {
                pump.awaitBlocked();
                assertTrue(pump.sent.get() < count, "it could send all");
                for (int number = 0; number < count; number++)
                    assertArrayEquals(payload.apply(number), one.receive().payload());
            }
        }

        @Test
        void aVisitorTooManyIsLetInAndTheOneThatHasLastBeenHeardOfLongestAgoGoes() throws IOException {
            var visitors = new ArrayDeque<Raw>();
            try (var relay = relay(options -> {
                options.maxClients = 2;
                options.maxHttpConnections = 3;
            }); var room = new Clients(relay, 2)) {
                for (int i = 0; i < 3; i++) {
                    visitors.add(new Raw(relay.port()));
                    assertEquals(200, health(visitors.getLast()));
                }
                for (int i = 0; i < 20; i++) {
                    var asking = visitors.remove();   // the first of the line becomes its last
                    assertEquals(200, health(asking));
                    visitors.add(asking);
                    visitors.add(new Raw(relay.port()));
                    visitors.remove().expectEnd();
                }
                for (Raw visitor : visitors) assertEquals(200, health(visitor));
                room.get(1).send(text("* hello"));
                room.get(2).expect("1 hello");
                room.expectNothingElse(1, 2);
            } finally {
                for (Raw visitor : visitors) visitor.close();
            }
        }

        static int health(Raw raw) throws IOException {
            return Answer.get(raw, "/health").status();
        }

        @Test
        void whoIsAboutToGetAMessageOrHasSentHalfOfOneIsNotToBlameForFullBuffers() throws IOException {
            try (var relay = relay(options -> options.memoryLimit = 3 << 20); var room = new Clients(relay, 100)) {
                byte[] slow = text("* " + "x".repeat(400));
                room.get(2).send(Arrays.copyOf(slow, 20));
                for (int i = 0; i < 20; i++) {
                    room.get(1).send(text("* " + FILL));   // 6 MiB, but in nobody's way
                    for (int id = 2; id <= 100; id++) expectLong(room.get(id), "1 " + FILL);
                }
                room.get(2).send(Arrays.copyOfRange(slow, 20, slow.length));
                for (int id = 3; id <= 100; id++) room.get(id).expect("2 " + "x".repeat(400));
            }
        }

        @Test
        void aLongMessageThatWaitsForItsReceiverIsCounted() throws Exception {
            try (var relay = relay(options -> options.maxOutbox = 1 << 20); var room = new Clients(relay, 3);
                    var pump = new Pump(room.get(1), Long.MAX_VALUE, number -> FILL_FOR_2)) {
                pump.awaitBlocked();   // since 2 reads nothing, and the window of 1 is full
                byte[] message = text("2 " + "x".repeat(600 << 10));
                room.get(3).send(concat(message, message));   // the first one fills its window, the second one waits
                eventually(() -> relay.memory.inUse() > 1_200 << 10, "both are counted");
            }
        }

        @Test
        void whoHoldsLittleGoesOnPastTheBudget() throws IOException {
            try (var relay = relay(options -> options.memoryLimit = 1 << 20); var room = new Clients(relay, 2)) {
                relay.memory.addToOutboxes((1 << 20) + 1);   // as if others held it
                for (int i = 0; i < 10; i++) {
                    room.get(1).send(text("* a"));
                    room.get(2).expect("1 a");
                }
            }
        }

        @Test
        void aQuitWaitsForMemoryToo() throws IOException {
            try (var relay = relay(options -> {
                options.memoryLimit = 1 << 20;
                options.headTimeout = 1_000;
                options.closeTimeout = 1;
                options.maxOutbox = Integer.MAX_VALUE;   // so a window has a 64th of the permits that can be
            }); var room = new Clients(relay, 2); var idle = new Raw(relay.port())) {
                relay.memory.addToOutboxes(2 << 20);   // as if others held it
                leave(room.get(2));
                LockSupport.parkNanos(800_000_000);   // in which its socket is closed eighty times
                assertEquals(0, room.get(1).in.available());
                relay.memory.addToOutboxes(-(2 << 20));
                room.get(1).expect("2 quit");
                idle.expectEnd();   // the sweeper goes on
            }
        }

        /** Bytes that wait in outboxes already, and that a message adds, of a thousand KiB; whether it may go on. */
        @Table("""
            0 9999 => true | 500 9999 => true | 501 9999 => false | 501 500 => false | 500 500 => true
            983 17 => true | 984 17 => false | 1001 16 => true | 1250 16 => true | 1251 16 => false""")
        void aMessageGoesOnIfThereIsMemoryForItInOutboxes(String kilobytes, boolean expected) {
            String[] words = kilobytes.split(" ");
            var memory = new Relay.Memory(1000 << 10);
            memory.addToOutboxes(Long.parseLong(words[0]) << 10);
            assertEquals(expected, memory.allowsRelaying(Long.parseLong(words[1]) << 10));
        }

        @Test
        void whoHardlyGoesOnWithALongMessageMakesWayWhenMemoryIsShort() throws Exception {
            byte[] large = text("* " + "x".repeat(1_000_000));
            var tricklers = new ArrayList<Raw>();
            try (var relay = relay(options -> options.memoryLimit = 4 << 20); var room = new Clients(relay, 2)) {
                for (int i = 0; i < 6; i++) tricklers.add(Raw.open(relay, "/ws-relay/tricklers"));
                for (Raw trickler : tricklers) Thread.startVirtualThread(() -> {
                    sendAnyway(trickler, Arrays.copyOf(large, 600_000));
                    for (int i = 600_000; i < 600_200 && !trickler.socket.isClosed(); i++) {
                        sendAnyway(trickler, Arrays.copyOfRange(large, i, i + 1));
                        LockSupport.parkNanos(300_000_000);
                    }
                });
                eventually(() -> relay.memory.isShort(), "they fill the memory");
                room.get(1).send(text("2 " + "x".repeat(3_000)));
                expectLong(room.get(2), "1 " + "x".repeat(3_000));
            } finally {
                for (Raw trickler : tricklers) trickler.close();
            }
        }

        @Test
        void aLongMessageGrowsNoFurtherUntilThereIsMemoryForIt() throws IOException {
            int limit = 3 << 20;
            try (var relay = relay(options -> options.memoryLimit = limit); var room = new Clients(relay, 2)) {
                String large = "x".repeat(1_000_000);
                byte[] message = text("2 " + large);
                room.get(1).send(Arrays.copyOf(message, 100_000));
                eventually(() -> relay.memory.inUse() >= 100_000, "it is counted");
                relay.memory.addToOutboxes(limit);   // as if others held it
                long before = relay.memory.inUse();
                Thread.startVirtualThread(() ->
                        sendAnyway(room.get(1), Arrays.copyOfRange(message, 100_000, message.length)));
                LockSupport.parkNanos(300_000_000);
                assertEquals(before, relay.memory.inUse());
                relay.memory.addToOutboxes(-limit);
                expectLong(room.get(2), "1 " + large);
            }
        }

        @Test
        void nobodyIsCutOffForWhatOthersHold() throws IOException {
            try (var relay = relay(options -> options.memoryLimit = 1 << 20); var room = new Clients(relay, 3)) {
                String long_ = "x".repeat(100_000);
                byte[] message = text("* " + long_);
                room.get(3).send(Arrays.copyOf(message, 20_000));
                eventually(() -> relay.memory.inUse() >= 20_000, "it is counted");
                relay.memory.addToOutboxes(2 << 20);   // as if others held it, who are on their way out: nobody reads
                room.get(1).send(text("2 a"));       // but one message at most, that had been waited for already
                LockSupport.parkNanos(100_000_000);
                room.get(1).send(text("2 b"));
                LockSupport.parkNanos(1_500_000_000);   // longer than a message may pause before its sender is to blame
                relay.memory.addToOutboxes(-(2 << 20));
                room.get(2).expect("1 a", "1 b");
                room.get(3).send(Arrays.copyOfRange(message, 20_000, message.length));
                for (int id = 1; id <= 2; id++) expectLong(room.get(id), "3 " + long_);
            }
        }
    }

    /** Which address do I come from? RFC 8489, answered by the relay itself, and where a page reads of that. */
    @Nested
    @Waits
    class Stun {
        private static final InetSocketAddress V4 = new InetSocketAddress("192.0.2.1", 32853),   // RFC 5769 2.2 and 2.3
                V6 = new InetSocketAddress("2001:db8:1234:5678:11:2233:4455:6677", 32853);
        private static final String ID = "b7e7a701bc34d686fa87dfae";   // RFC 5769's transaction, without the cookie
        private static final String TO_V4 = "0101000c 2112a442 ID 00200008 0001a147 e112a643",
                TO_V6 = "01010018 2112a442 ID 00200014 0002a147 0113a9faa5d3f179bc25f4b5bed2b9d9";

        /** In hex; ID is the transaction's, Z20 are 20 zeros. */
        private static byte[] datagram(String words) {
            return concat(Stream.of(words.replace("ID", ID).strip().split(" +")).map(word -> word.startsWith("Z")
                    ? new byte[Integer.parseInt(word.substring(1))] : hex(word)).toArray(byte[][]::new));
        }

        private static byte[] answer(byte[] request, InetSocketAddress from) {
            return Relay.answerStun(request, request.length, from);
        }

        @Table("""
            a request => 00010000 2112a442 ID => answered
            the sample of RFC 5769 2.1 => 00010058 2112a442 ID 80220010 5354554e207465737420636c69656e74 \
            00240004 6e0001ff 80290008 932ff9b151263b36 00060009 6576746a3a68367659202020 \
            00080014 9aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2 80280004 e57a3bcf => answered
            SOFTWARE, and one that nobody has defined => 0001000c 2112a442 ID 80220003 61626300 ffff0000 => answered
            credentials, though we want none => 00010030 2112a442 ID 00060003 61626300 00140000 00150000 001d0000 \
            001e0000 00080014 Z20 => answered
            what makes no sense in a request => 00010028 2112a442 ID 00010008 0001a147c0000201 00200008 \
            0001a147e112a643 00090004 00000414 000a0002 00240000 => answered
            something behind MESSAGE-INTEGRITY => 00010020 2112a442 ID 00080014 Z20 00240004 6e0001ff => answered
            and behind MESSAGE-INTEGRITY-SHA256 => 0001001c 2112a442 ID 001c0014 Z20 00030000 => answered
            as long as can be => 000105c8 2112a442 ID 802205c4 Z1476 => answered
            longer => 000105cc 2112a442 ID 802205c8 Z1480 => nothing
            nothing => => nothing
            a letter => 61 => nothing
            a request of 2003, without a cookie => 00010000 ID 01020304 => nothing
            a header cut short => 00010000 2112a442 b7e7a701bc34d686fa87df => nothing
            a wrong cookie => 00010000 2112a443 ID => nothing
            a success response => 01010000 2112a442 ID => nothing
            an error response => 01110000 2112a442 ID => nothing
            an indication => 00110000 2112a442 ID => nothing
            another method => 00030000 2112a442 ID => nothing
            RTP => 80010000 2112a442 ID => nothing
            DTLS => 16fefd00 2112a442 ID => nothing
            a length that says more => 00010004 2112a442 ID => nothing
            a length that says less => 00010000 2112a442 ID 80220000 => nothing
            no multiple of four => 00010002 2112a442 ID 8022 => answered
            an attribute cut off => 00010004 2112a442 ID 80220001 => answered
            a longer one => 00010008 2112a442 ID 80220005 61626364 => answered
            much longer => 00010004 2112a442 ID 0022ffff => answered""")
        void aRequestIsAnsweredAsInRfc5769AndNothingElseIs(String what, String datagram, String answer) {
            for (var from : List.of(V4, V6)) {
                byte[] given = answer(datagram(datagram), from), expected = datagram(from == V4 ? TO_V4 : TO_V6);
                assertArrayEquals(answer.equals("answered") ? expected : null, given);
            }
        }

        /** It would fail, and a failure costs those who come next a pause. */
        @Test
        void nothingIsSentToPortZero() {
            byte[] request = datagram("00010000 2112a442 ID");
            assertNull(answer(request, new InetSocketAddress("192.0.2.1", 0)));
            assertNotNull(answer(request, new InetSocketAddress("192.0.2.1", 1)));
        }

        /** Nothing makes it throw, and what comes is the answer to what was asked. */
        @Test
        void randomDatagramsAreAnsweredRightOrNotAtAll() {
            long seed = new Random().nextLong();
            var random = new Random(seed);
            int answers = 0;
            for (int i = 0; i < 3_000; i++) {
                byte[] request = randomRequest(random);
                InetSocketAddress from = random.nextBoolean() ? V4 : V6;
                Supplier<String> input = () -> "seed " + seed + ", " + HexFormat.of().formatHex(request);
                byte[] answer = assertDoesNotThrow(() -> answer(request, from), input);
                if (answer == null) continue;
                answers++;
                byte[] expected = datagram(from == V4 ? TO_V4 : TO_V6);
                System.arraycopy(request, 4, expected, 4, 16);
                for (int k = 0; from == V6 && k < 12; k++) expected[32 + k] ^= (byte) (request[8 + k] ^ hex(ID)[k]);
                assertArrayEquals(expected, answer, input);
                assertNull(answer(answer, from), "two servers would answer one another for ever");
            }
            assertTrue(answers > 300, "only " + answers + " requests");
        }

        /** Attributes of all kinds, and in one of two something spoiled. */
        private static byte[] randomRequest(Random random) {
            var attributes = new StringBuilder();
            for (int count = random.nextInt(4) * random.nextInt(30); count > 0; count--) {
                int type = random.nextInt(4) == 0 ? random.nextInt(65536) : random.nextInt(40)
                        + (random.nextBoolean() ? 0x8000 : 0);
                int size = random.nextInt(3) * random.nextInt(8);
                attributes.append("%04x%04x".formatted(type, size)).append("00".repeat((size + 3) / 4 * 4));
            }
            byte[] request = datagram("0001%04x 2112a442 ID ".formatted(attributes.length() / 2) + attributes);
            for (int changes = random.nextInt(2) * random.nextInt(3); changes > 0; changes--)
                request[random.nextInt(request.length)] ^= (byte) (1 << random.nextInt(8));
            return random.nextInt(10) > 0 ? request : Arrays.copyOf(request, random.nextInt(request.length + 8));
        }

        /** Asks over UDP: what the answer says is where the question came from. */
        private static void ask(String host, int port) throws IOException {
            byte[] request = datagram("00010000 2112a442 ID");
            try (var socket = new DatagramSocket(new InetSocketAddress(InetAddress.getByName(host), 0))) {
                socket.setSoTimeout(2_000);
                var answer = new DatagramPacket(new byte[2_000], 2_000);
                for (int tries = 5; ; tries--) {   // as with any datagram
                    socket.send(new DatagramPacket(request, request.length, InetAddress.getByName(host), port));
                    try {
                        socket.receive(answer);
                        break;
                    } catch (SocketTimeoutException lost) {
                        assertTrue(tries > 1, "no answer from " + host + " port " + port);
                    }
                }
                assertArrayEquals(answer(request, (InetSocketAddress) socket.getLocalSocketAddress()),
                        Arrays.copyOf(answer.getData(), answer.getLength()));
                assertEquals(port, answer.getPort());
            }
        }

        private static boolean isFree(String host, int port) {
            try {
                new DatagramSocket(new InetSocketAddress(host, port)).close();
                return true;
            } catch (IOException taken) {
                return false;
            }
        }

        /** Loopback's addresses on this machine: not every container has IPv6. */
        private static List<String> loopback() {
            return isFree("::1", 0) ? List.of("127.0.0.1", "::1") : List.of("127.0.0.1");
        }

        @Test
        void itIsAnsweredOnThePortOfTheSameNumberOnAllAddressesOrTheOneOfTheRelay() throws IOException {
            int free = freePort();
            try (var everywhere = relay(options -> options.host = null); var here = relay(o -> o.port = free)) {
                for (String host : loopback()) ask(host, everywhere.stunPort());   // IPv4's, too, of an IPv6 socket
                ask("127.0.0.1", here.port());
                assertEquals(free, here.stunPort());
                if (loopback().contains("::1")) assertTrue(isFree("::1", free), "taken on another address");
            }
        }

        @Test
        void anotherPortMayBeNamedWhichBehindAProxyIsOpenOnAllAddressesOrNoneAtAll() throws IOException {
            int port = freePort();
            try (var behindProxy = relay(options -> options.stunPort = port);
                    var none = relay(options -> options.stunPort = -1)) {
                for (String host : loopback()) ask(host, port);
                for (Relay relay : List.of(behindProxy, none)) assertTrue(isFree("127.0.0.1", relay.port()));
            }
        }

        @Test
        void nothingThatComesStopsItAndWhenTheRelayEndsThePortIsFree() throws IOException {
            int port;
            try (var relay = relay(); var socket = new DatagramSocket()) {
                port = relay.stunPort();
                byte[] tooLong = datagram("00010804 2112a442 ID 80220800" + "00".repeat(2048));
                byte[] beginning = Arrays.copyOf(datagram("000105c8 2112a442 ID 802205c4"), 2000);   // of 1500 bytes
                for (byte[] datagram : List.of(new byte[0], new byte[20], tooLong, beginning, new byte[65_000])) {
                    socket.send(new DatagramPacket(datagram, datagram.length, InetAddress.getLoopbackAddress(), port));
                    ask("127.0.0.1", port);
                }
                socket.setSoTimeout(1);
                var none = new DatagramPacket(new byte[100], 100);
                assertThrows(SocketTimeoutException.class, () -> socket.receive(none));
                assertFalse(isFree("127.0.0.1", port));
            }
            eventually(() -> isFree("127.0.0.1", port), "a free port");
            relay(options -> options.stunPort = port).close();
        }

        @Test
        void coturnsClientLearnsItsAddress() throws Exception {
            require("turnutils_stunclient", "coturn");
            try (var relay = relay(options -> options.host = null)) {
                for (String host : loopback()) {
                    String said = Program.run("turnutils_stunclient", "-p", relay.stunPort() + "", host);
                    assertTrue(said.contains("UDP reflexive addr: " + host + ":"), said);
                }
            }
        }

        // --- the page learns of it from ice.json ---

        @TempDir
        Path game;

        private Relay serving(Consumer<Relay.Options> settings) throws IOException {
            return relay(settings.andThen(options -> options.folders = List.of(game)));
        }

        private String iceJson() {
            return "/" + game.getFileName() + "/ice.json";
        }

        private static void expectServers(Relay relay, String target, String host, String expected) throws IOException {
            String line = host.isEmpty() ? " HTTP/1.0\r\n" : " HTTP/1.1\r\nHost: " + host + "\r\n";
            try (var raw = new Raw(relay.port()).send("GET " + target + line + "\r\n")) {
                Answer.read(raw, "GET").expect("200 ¶ Content-Type: application/json ¶ Cache-Control: no-cache ¶"
                        + " X-Content-Type-Options: nosniff ¶ = {\"iceServers\":[" + expected + "]}");
            }
        }

        @Table("""
            localhost:8080 => localhost | localhost => localhost | game.example.com => game.example.com
            192.0.2.1:80 => 192.0.2.1 | [::1]:8080 => [::1] | [2001:db8::7] => [2001:db8::7]
            my_pi.local: => my_pi.local | a:b:80 => | ::1 => | [fe80::1%25eth0]:80 => | a%22b => | [] =>
            :80 => | a]:80 => | ~ => | [x]:1 => | a:80x => | =>""")
        void aPageIsToldOfItUnderTheHostThatItAskedFor(String host, String expected) throws IOException {
            try (var relay = serving(options -> {})) {
                String server = "{\"urls\":\"stun:" + expected + ":" + relay.stunPort() + "\"}";
                expectServers(relay, iceJson(), host, expected.isEmpty() ? "" : server);
            }
        }

        @Test
        void anotherPortIsToldAndNoneIfThereIsNone() throws IOException {
            int port = freePort();
            try (var moved = serving(options -> options.stunPort = port); var raw = new Raw(moved.port());
                    var without = serving(options -> options.stunPort = -1)) {
                expectServers(moved, iceJson() + "?x", "a:1", "{\"urls\":\"stun:a:" + port + "\"}");
                expectServers(without, iceJson(), "a:1", "");
                Answer.head(raw, iceJson()).expectHeadersOf(Answer.get(raw, iceJson()));
            }
        }

        /** So that the invitation of a page that was opened as localhost leads others here. */
        @Test
        void aPageOnThisMachineIsToldTheAddressForOthersAndNobodyElseIs() throws IOException {
            Consumer<Relay.Options> everywhere = options -> {
                options.host = null;
                options.stunPort = -1;
            };
            try (var relay = serving(everywhere); var here = serving(options -> {}); var probe = new DatagramSocket()) {
                Assumptions.assumeTrue(hasRoute(probe), "this machine has no default route");
                String nothing = "{\"iceServers\":[]}", address = probe.getLocalAddress().getHostAddress();
                String told = "{\"iceServers\":[],\"address\":\"" + address + ":" + relay.port() + "\"}";
                new Row(iceJson(), "200 ¶ = " + told).check(relay.port());
                new Row(iceJson() + "¶X-Forwarded-For: 192.0.2.9", "200 ¶ = " + nothing).check(relay.port());
                assertFalse(Answer.get(here, iceJson()).text().contains("address"), "it listens on loopback only");
                try (var far = new Raw(new Socket(probe.getLocalAddress(), relay.port()))) {   // comes from there, too
                    new Row(iceJson(), "200 ¶ = " + nothing).check(far);
                }
            }
        }

        @Test
        void aFileOfThatNameWinsAndElsewhereThereIsNone() throws IOException {
            Files.writeString(Files.createDirectories(game.resolve("sub")).resolve("index.html"), "sub");
            try (var relay = serving(options -> {}); var bare = relay()) {
                String folder = "/" + game.getFileName();
                for (String target : List.of("/ice.json", folder + "/sub/ice.json", folder + "/ice.json/",
                        "/other/ice.json", folder + "//ice.json"))
                    new Row(target, "404").check(relay.port());
                new Row("/no-such-folder/ice.json", "404").check(bare.port());
                Files.writeString(game.resolve("ice.json"), "{\"iceTransportPolicy\":\"relay\"}");
                new Row(iceJson(), "200 ¶ = {\"iceTransportPolicy\":\"relay\"}").check(relay.port());
            }
        }

        @Test
        void thePortOfOneThatIsClosedAlreadyIsNotTold() throws IOException {
            for (int round = 0; round < 30; round++) {
                try (var relay = serving(options -> {}); var raw = new Raw(relay.port())) {
                    var closing = new Thread(relay::close);
                    try {
                        for (int i = 0; ; i++) {
                            if (i == 20) closing.start();
                            String answer = Answer.get(raw, iceJson()).text();
                            assertFalse(answer.contains("-1"), answer);
                        }
                    } catch (IOException closed) {
                        // no answer is a good answer
                    }
                }
            }
        }
    }

    /** WebSocket clients that others have written. */
    @Nested
    @Waits
    @SuppressWarnings("try")   // the relay is closed within
    class Peers {
        /** Every byte, or the character of that number. */
        private static final String EVERY = IntStream.range(0, 256).mapToObj(Character::toString)
                .collect(Collectors.joining());

        /** It joins, speaks and listens, hears who comes and who leaves, and reads why it was closed. */
        @ParameterizedTest(name = "{0}")
        @EnumSource
        @ExtendWith(InChromium.class)
        void aLifeInARoom(Guest.Kind kind) throws Exception {
            try (var relay = relay(); var friend = new Guest.Jdk(relay).expect("text 1 self");
                    var guest = Guest.open(kind, relay)) {
                guest.expect("text 2 self", "text 1 join");
                friend.expect("text 2 join");
                for (String data : List.of("hello", EVERY, EVERY.repeat(500), "\uD83D\uDE80"))
                    for (String word : data.codePointAt(0) < 256 ? List.of("text", "binary") : List.of("text")) {
                        guest.say(word, "1 say " + data);
                        friend.expect(word + " 2 say " + data).say(word, "* say " + data);
                        guest.expect(word + " 1 say " + data);
                    }
                try (var rude = Guest.open(kind, relay).expect("text 3 self", "text 1 join", "text 2 join")
                        .say("text", "nonsense")) {
                    rude.expect("close 1008 .*<msgtype>.* got 'nonsense'");
                }
                guest.expect("text 3 join", "text 3 quit").leave(4321, "enough").expect("close 4321 enough");
                friend.expect("text 3 join", "text 3 quit", "text 2 quit");
            }
        }

        /** One of each kind, as far as it is here. */
        @Test
        @ExtendWith(InChromium.class)
        void allMeetAndStayWhileTheyAreSilentAndReadThatTheRelayShutsDown() throws Exception {
            var guests = new ArrayList<Guest>();
            try (var relay = relay(options -> options.pingInterval = 1_000)) {
                for (Guest.Kind kind : Guest.Kind.values()) {
                    try {
                        guests.add(Guest.open(kind, relay));
                    } catch (TestAbortedException missing) {
                        continue;   // as the test above tells
                    }
                    int newest = guests.size();
                    guests.get(newest - 1).expect("text " + newest + " self");
                    for (int id = 1; id < newest; id++) {
                        guests.get(newest - 1).expect("text " + id + " join");
                        guests.get(id - 1).expect("text " + newest + " join");
                    }
                }
                String mute = "text " + (guests.size() + 1);
                try (var raw = Raw.open(relay, ROOM)) {
                    // it came last and is cut off for its silence; by then the others must have answered a ping
                    for (Guest guest : guests) guest.expect(mute + " join", mute + " quit");
                }
                for (int id = 1; id <= guests.size(); id++)
                    guests.get(id - 1).say("text", id + " still here").expect("text " + id + " still here");
                relay.close();
                for (Guest guest : guests)
                    guest.expectAfterAny("text \\d+ quit", "close 1001 the relay is shutting down");
            } finally {
                for (Guest guest : guests) guest.close();
            }
        }

        @Test
        @ExtendWith(InChromium.class)
        void aPageReadsWhyItWasClosedThoughItIsStillSendingAndThatTheRelayIsFull() throws Exception {
            var refusals = Map.of("socket.send(new Uint8Array(50 << 20))",
                    "close 1009 expected (at most|up to) 1048576 bytes, got \\d+",
                    "socket.send('nonsense'); for (let i = 0; i < 20; i++) socket.send('* x ' + 'y'.repeat(1_000_000))",
                    "close 1008 .* got 'nonsense'");
            try (var relay = relay(options -> { options.maxClients = 2; options.metrics = true; });
                    var friend = new Guest.Jdk(relay).expect("text 1 self")) {
                for (var refusal : refusals.entrySet()) try (var guest = new Guest.InPage(relay)) {
                    guest.expect("text \\d self", "text 1 join");
                    guest.inPage(refusal.getKey()).expect(refusal.getValue());
                    friend.expect("text \\d join", "text \\d quit");
                }
                Http.expectMetrics(relay, Map.of("relay_clients", 1));   // the place of the last one is free
                try (var second = new Guest.Jdk(relay).expect("text \\d self"); var guest = new Guest.InPage(relay)) {
                    guest.expect("close 1013 the relay is full \\(limit: 2\\)");
                }
            }
        }

        /** It is busy from the message `1 now` on for a second. */
        @ParameterizedTest(name = "it has fallen behind: {0}")
        @ValueSource(booleans = {true, false})
        @ExtendWith(InChromium.class)
        void aPageThatWasBusyReadsAllThatWaitsForItAndWhyItWasClosed(boolean behind) throws Exception {
            String busy = """
                    socket.addEventListener('message', ({ data }) => {
                      for (const now = Date.now(); data === '1 now' && Date.now() < now + 1000;);
                    })""", large = "x".repeat(100_000);
            try (var relay = relay(options -> options.maxOutbox = behind ? 256 << 10 : 4 << 20);
                    var friend = new Guest.Jdk(relay).expect("text 1 self");
                    var guest = new Guest.InPage(relay)) {
                guest.expect("text 2 self", "text 1 join");
                guest.inPage(busy);
                friend.expect("text 2 join").say("text", "* now");
                for (int i = 0; i < (behind ? 100 : 30); i++) friend.say("text", "* large " + large);
                // whoever is behind may be gone by now
                friend.say("text", "1 done").expectAfterAny("text 2 quit", "text 1 done");
                if (!behind) relay.close();
                guest.expect("text 1 now");
                if (behind) guest.expectAfterAny("text 1 large x*", "close 1008 too slow: over 262144 bytes behind");
                else for (int i = 0; i < 30; i++) guest.expect("text 1 large " + large);
                if (!behind) guest.expectAfterAny("text 1 quit", "close 1001 the relay is shutting down");
            }
        }

        @Test
        void theJdksClientSpeaksInFragmentsAndPings() throws Exception {
            try (var relay = relay(); var one = new Guest.Jdk(relay)) {
                one.expect("text 1 self");
                for (String part : List.of("1 in ", "frag", "", "ments"))
                    one.socket.sendText(part, part.equals("ments")).join();
                one.expect("text 1 in fragments");
                one.socket.sendPing(ByteBuffer.wrap(bytes("sign of life"))).join();
                one.expect("pong sign of life");
            }
        }

        /** As the README says that one can join from a terminal. */
        @Test
        void pythonsInteractiveClientTalksToItself() throws Exception {
            requireWebsockets();
            try (var relay = relay(); var client = new Program(Program.ROOT, Map.of("PYTHONUNBUFFERED", "1"),
                    List.of("/usr/bin/python3", "-m", "websockets", Guest.address(relay)))) {
                client.expectLine(".*< 1 self.*");
                client.tell("1 hello");
                client.expectLine(".*< 1 hello.*");
                client.process.outputWriter().close();
                client.expectLine(".*Connection closed: 1000 \\(OK\\)\\..*");
            }
        }
    }

    /** build.sh, as far as it can be tried in a copy and without Maven. */
    @Nested
    @Waits
    class BuildScript {
        @TempDir
        Path copy;

        @BeforeEach
        void copy() throws IOException {
            for (String name : List.of("build.sh", "Relay.java"))
                Files.copy(Program.ROOT.resolve(name), copy.resolve(name));
        }

        private Program build(Map<String, String> environment, String... args) throws IOException {
            return new Program(copy.getRoot(), environment,
                    Stream.concat(Stream.of("/bin/bash", copy + "/build.sh"), Stream.of(args)).toList());
        }

        @Test
        void helpListsTheCommands() throws Exception {
            try (var help = build(Map.of(), "help"); var none = build(Map.of());
                    var wrong = build(Map.of(), "nonsense")) {
                for (String command : List.of("run", "test", "bench", "echo", "jar", "jdk", "clean"))
                    assertTrue(help.expectExit(0).out.toString().contains("build.sh " + command), command);
                assertEquals(help.out, none.expectExit(0).out);
                assertTrue(wrong.expectExit(2).err.getFirst().contains("'nonsense'"), wrong.err::toString);
            }
        }

        /** It compiles Relay.java in both of its ways: as a source file, and to classes in a jar. */
        @Test
        void itRunsFromAnywhereAlsoWithoutAHomeAndTheJarNeedsJavaAlone() throws Exception {
            var jdk = Map.of("JAVA_HOME", System.getProperty("java.home"), "JDK_JAVA_OPTIONS", Program.QUICK);
            try (var run = build(jdk, "run", "--version"); var jar = build(jdk, "jar")) {
                assertEquals(List.of("relay 1.0"), run.expectExit(0).out);
                jar.expectExit(0);
            }
            assertEquals("relay 1.0", Program.run(Program.JAVA, "-jar", copy + "/build/relay.jar", "--version"));
            try (var program = build(jdk, "clean")) {
                program.expectExit(0);
                assertFalse(Files.exists(copy.resolve("build")));
            }
        }

        /** A folder with these programs alone. */
        private String onlyTools(String... names) throws IOException {
            Path tools = Files.createDirectories(copy.resolve("tools"));
            for (String name : names) {
                Files.writeString(tools.resolve(name), "#!/bin/sh\nPATH=/usr/bin:/bin\nexec " + name + " \"$@\"\n");
                assertTrue(tools.resolve(name).toFile().setExecutable(true));
            }
            return tools.toString();
        }

        @Test
        void withoutMavenTheTestsSayHowToGetIt() throws Exception {
            Program.expectComplaint(1, "need Maven.*sudo apt install maven",
                    build(Map.of("PATH", onlyTools("dirname")), "test"));
        }

        @Test
        void withoutANewJdkItSaysHowToGetOne() throws Exception {
            Path script = copy.resolve("build.sh");
            // the usual folders are empty
            Files.writeString(script, Files.readString(script).replaceAll("/(usr|opt|Library)/", "/nowhere/"));
            String tools = onlyTools("dirname", "readlink", "sed", "grep");
            for (String home : Stream.concat(Stream.of(""), oldJdk().map(Path::toString).stream()).toList())
                Program.expectComplaint(1, "needs Java 21 or newer.*apt install", build(Map.of("PATH", tools,
                        "HOME", copy.toString(), "JAVA_HOME", home), "run", "--version"));
        }
    }

    /** The README tells of the options, defaults and commands that there are. */
    @Nested
    class Readme {
        private String readme;

        @BeforeEach
        void read() throws IOException {
            readme = readme();
        }

        private static Stream<MatchResult> find(String regex, String text) {
            return Pattern.compile(regex, Pattern.MULTILINE).matcher(text).results();
        }

        private static Set<String> groups(String regex, String text) {
            return find(regex, text).map(match -> match.group(1)).collect(Collectors.toCollection(TreeSet::new));
        }

        /** In code spans that begin with an option, and after the relay's name in commands: others have some, too. */
        @Test
        void itNamesTheOptionsOfHelpAndNoOthers() {
            String option = "(?<![\\w-])(--[a-z][a-z-]*)";
            String spans = "(`--[^`\n]*|(?:Relay\\.java|relay\\.jar|build\\.sh run)[^`|#&\n]*)";
            assertEquals(groups(option, Relay.HELP), groups(option, String.join("\n", groups(spans, readme))));
        }

        @Test
        void itsTableOfOptionsHasTheDefaultsOfHelp() {
            String named = "(?s)%s (?:[^-]|-(?!-))*?\\(default: ([0-9]+)[,)]";
            var rows = find("^\\| *`(--[a-z-]+)[^|]*\\|(.*)", readme).toList();
            int found = 0;
            for (var row : rows) for (String known : groups(named.formatted(row.group(1)), Relay.HELP)) {
                assertTrue(numbers(row.group(2)).contains(Long.valueOf(known)), row.group() + " lacks " + known);
                found++;
            }
            assertEquals(2, found, "options with a number as their default");
        }

        /** In bytes and seconds, whatever else the row says. */
        @Test
        void itsTableOfLimitsHasTheValuesOfTheCode() throws IOException {
            var options = new Relay.Options();
            long windows = constant("WINDOW_DIVISOR");
            var limits = Map.ofEntries(
                    Map.entry("request head", List.of(constant("MAX_HEAD"), options.headTimeout / 1_000)),
                    Map.entry("name of a room", List.of(constant("MAX_ROOM_NAME"))),
                    Map.entry("message", List.of((long) options.maxMessage)),
                    Map.entry("outbox", List.of((long) options.maxOutbox)),
                    Map.entry("window", List.of(options.maxOutbox / windows, windows)),
                    Map.entry("clients", List.of((long) options.maxClients, constant("CLIENT_MEMORY"),
                            constant("RESERVED_MEMORY"))),
                    Map.entry("HTTP connections", List.of((long) options.maxHttpConnections)),
                    Map.entry("silence", List.of(options.pingInterval / 1_000, options.pingInterval / 500)),
                    Map.entry("a write", List.of(options.stallTimeout / 1_000)),
                    Map.entry("closing", List.of(options.closeTimeout / 1_000)),
                    Map.entry("STUN request", List.of(constant("MAX_STUN"))),
                    Map.entry("shutdown", List.of(options.shutdownTimeout / 1_000)));
            for (var limit : limits.entrySet()) {
                String row = fromReadme("(?m)^(\\| " + limit.getKey() + "[^|]*\\|[^|]*[0-9][^|]*\\|.*)");
                assertTrue(numbers(row).containsAll(limit.getValue()), row + " lacks one of " + limit.getValue());
            }
        }

        /** A constant of Relay.java, as in `int MAX_HEAD = 16 << 10`. */
        private static long constant(String name) throws IOException {
            var value = find("int " + name + " = ([0-9_]+)(?: << ([0-9]+))?;", Files.readString(Path.of("Relay.java")))
                    .findFirst().orElseThrow();
            int shift = value.group(2) == null ? 0 : Integer.parseInt(value.group(2));
            return Long.parseLong(value.group(1).replace("_", "")) << shift;
        }

        /** 10000, 10,000, 10 000 and 1 MiB are all numbers. */
        private static List<Long> numbers(String text) {
            return find("([0-9]+(?:[, \u00a0\u202f][0-9]{3})*)(?:[ \u00a0]?([KM])iB)?", text)
                    .map(number -> Long.parseLong(number.group(1).replaceAll("[^0-9]", ""))
                            << (number.group(2) == null ? 0 : number.group(2).equals("K") ? 10 : 20)).toList();
        }

        @Test
        void itIsNotTooLong() {
            assertTrue(readme.lines().count() <= 420, () -> readme.lines().count() + " lines");
        }

        @Test
        void itNamesOnlyCommandsThatBuildShHas() throws IOException {
            String script = Files.readString(Path.of("build.sh"));
            for (String command : groups("build\\.sh ([a-z]+)", readme))
                assertTrue(script.contains("./build.sh " + command), command);
        }
    }

    /** The README's service file for systemd. */
    @Nested
    @Waits
    @SuppressWarnings("try")   // connections are closed within
    class Service {
        @TempDir
        static Path shared;
        @TempDir
        Path folder;
        private String unit;

        /** As `build.sh jar` makes it. */
        @BeforeAll
        static void makeJar() {
            var jar = java.util.spi.ToolProvider.findFirst("jar").orElseThrow();
            assertEquals(0, jar.run(System.out, System.err, "--create", "--file", shared + "/relay.jar",
                    "--main-class", "Relay", "-C", Program.CLASSES, "."));
        }

        @BeforeEach
        void read() throws IOException {
            unit = blockOfReadme("ini", "[Unit]\n");
        }

        /** What the unit says of this key, which is there once. */
        private String value(String key) {
            var values = Pattern.compile("(?m)^" + key + "=(.*)").matcher(unit).results().toList();
            assertEquals(1, values.size(), key);
            return values.getFirst().group(1);
        }

        /** What systemd-analyze says, with this exit code, of the unit with paths that are there. */
        private String analyze(int exitCode, String... args) throws Exception {
            require("systemd-analyze", "systemd");
            Path file = folder.resolve("relay.service");
            Files.writeString(file, unit.replace("/usr/bin/java", Program.JAVA)
                    .replace(value("WorkingDirectory"), folder.toString()));
            var command = Stream.of(Stream.of("systemd-analyze"), Stream.of(args), Stream.of(file.toString()));
            try (var program = new Program(folder, Map.of(), command.flatMap(words -> words).toList())) {
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

        /**
         * Its very command, in a folder with the jar and the game, on another port; and with nothing but the module
         * java.base, as in the smallest JRE.
         */
        private Program start() throws IOException {
            Files.copy(shared.resolve("relay.jar"), folder.resolve("relay.jar"));
            Files.writeString(Files.createDirectory(folder.resolve("spacewar")).resolve("index.html"),
                    "<title>there</title>");
            var command = new ArrayList<>(List.of(value("ExecStart").split(" ")));
            assertEquals(List.of("/usr/bin/java", "8080"), List.of(command.removeFirst(), command.removeLast()));
            command.addAll(0, List.of(Program.JAVA, "--limit-modules", "java.base"));
            command.addAll(List.of("--host", "127.0.0.1", "0"));
            return new Program(folder, Map.of(), command);
        }

        @Test
        void itsCommandServesTheGameLetsPlayersMeetAndEndsWellWhenToldTo() throws Exception {
            try (var program = start(); var one = program.open("/ws-relay/a");
                    var two = program.connect()) {
                assertEquals("<title>there</title>", Program.page(program.url()));
                assertEquals(200, Answer.get(two, "/health").status());
                two.open("/ws-relay/a").expect("2 self", "1 join").send(text("1 hello"));
                one.expect("2 join", "2 hello");
                two.close();
                one.expect("2 quit").send(close(1000, "")).expectClose(1000);
                one.close();
                program.endWell();   // systemd's idea of it
            }
        }

        /** Java reads classes from the jar when it first needs them: had cp written into it, nobody could connect. */
        @Test
        void aNewerJarCanBeCopiedWhileItRuns() throws Exception {
            String copy = fromReadme("(?m)^ +sudo (cp .*)relay\\.jar spacewar /opt/relay$");
            Path newer = Files.createDirectory(folder.resolve("newer")).resolve("relay.jar");
            Files.writeString(newer, "not even a jar");
            try (var program = start()) {
                program.url();
                Program.run((copy + newer + " " + folder).split(" "));
                assertEquals("not even a jar", Files.readString(folder.resolve("relay.jar")));
                try (var one = program.open("/ws-relay/a")) {
                    one.send(text("nonsense")).expectClose(1008);
                }
                program.endWell();
            }
        }
    }

    /** The README's configurations, run by Debian's Caddy and nginx, and one of HAProxy. */
    @Nested
    @Waits
    @SuppressWarnings("try")   // a relay is closed within
    @ExtendWith(InChromium.class)
    class BehindProxies {
        private static final String PAGE = "/spacewar/watch.html";   // which joins the room ROOM, and says as whom
        private static final String ROOM = "/ws-relay/spacewar";
        @TempDir
        Path folder;

        @ParameterizedTest
        @ValueSource(strings = {"Caddy", "nginx", "HAProxy", "HAProxy with HTTP/2"})
        void pagesAndOthersMeetOverTlsByTheRuleOfOriginsWithTheirAddressesInTheLog(String kind) throws Exception {
            int stun = freePort();
            try (var relay = Program.local(Program.ROOT, "--stun", stun + "");
                    var proxy = Proxy.start(kind, folder, relay.url().getPort())) {
                try (var raw = proxy.open(ROOM).expect("1 self"); var page = proxy.page(PAGE)) {
                    raw.expect("2 join").send(text("2 hello"));
                    page.shows("connected as 2", "hello");
                    assertEquals(List.of(), page.complaints.stream().filter(each -> !each.contains("/favicon.ico"))
                            .toList());
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
        @Table("nginx => 700 | nginx => 20000 | HAProxy => 700 | HAProxy => 20000")
        void pingsKeepAProxyFromCuttingOffTheSilent(String kind, int pingInterval) throws Exception {
            String[] limit = kind.equals("nginx") ? new String[] {"proxy_http_version",
                    "proxy_read_timeout 2s;\n        proxy_http_version"}
                    : new String[] {"client 60s", "client 2s", "server 60s", "server 2s"};
            try (var relay = relay(options -> options.pingInterval = pingInterval);
                    var proxy = Proxy.start(kind, folder, relay.port(), limit); var raw = proxy.open(ROOM)) {
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
            try (var relay = Program.local(Program.ROOT);
                    var caddy = Proxy.start("Caddy", folder, relay.url().getPort());
                    var raw = caddy.open(ROOM).expect("1 self"); var page = caddy.page(PAGE)) {
                page.shows("connected as 2");
                Proxy.reloadCaddy("caddy", folder);
                assertEquals("2 join", raw.receive().text());
                Received next = raw.receive();
                if (next.opcode() == 1) next = raw.receive();   // after the page has quit
                int code = next.code();   // Caddy's, or what the relay answers to its close frame, which is not masked
                assertTrue(code == 1001 || code == 1002, code + "");
                try (var again = caddy.open(ROOM)) {
                    for (String type : List.of("self", "join")) assertTrue(again.receive().text().endsWith(type));
                    relay.expectLine(".* quit " + ROOM + " [12] 127\\.0\\.0\\.1 100[12].*");
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
            String caddyfile = Proxy.with(Proxy.simpleCaddyfile(), "8080\n",
                    "8080 {\n" + fromReadme("`(stream_close_delay) 1h`") + " 3s\n}\n");
            try (var relay = relay(); var caddy = Proxy.caddy(program, folder, caddyfile, relay.port());
                    var first = caddy.open(ROOM).expect("1 self")) {
                Proxy.reloadCaddy(program, folder);
                try (var next = caddy.open(ROOM).expect("2 self", "1 join")) {
                    next.send(text("1 still here"));
                    assertEquals(1001, first.expect("2 join", "2 still here").receive().code());
                    next.expect("1 quit");   // and the relay's answer to Caddy may still come to the first one
                }
            }
        }

        @Test
        void whileTheRelayIsDownThereIs502AndThenPagesJoinAgain() throws Exception {
            int port = freePort();
            Consumer<Relay.Options> settings = options -> {
                options.port = port;
                options.folders = List.of(Path.of("spacewar"));
            };
            try (var relay = relay(settings); var caddy = Proxy.start("Caddy", folder, port);
                    var page = caddy.page(PAGE)) {
                page.shows("connected as 1");
                relay.close();
                page.shows("not connected");
                assertEquals(502, caddy.get(PAGE).status());
                try (var next = relay(settings)) {
                    page.shows("connected as 1");
                    assertEquals(200, caddy.get(PAGE).status());
                }
            }
        }

        @Test
        void theGameMayBeBelowAPath() throws Exception {
            String proxy = "reverse_proxy 127.0.0.1:8080";
            String paths = Stream.of(fromReadme("`(handle_path [^`]*)`"), fromReadme("`(handle /[^`]*)`"))
                    .map(handle -> handle + " {\n" + proxy + "\n}\n").collect(Collectors.joining());
            try (var relay = Program.local(Program.ROOT, "--no-stun");
                    var caddy = Proxy.start("Caddy", folder, relay.url().getPort(), proxy, paths);
                    var raw = caddy.open("/ws-relay/games/spacewar?game=2").expect("1 self");
                    var page = caddy.page("/games/spacewar?game=2")) {
                raw.expect("2 join");
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
        private static final int ROOMS = 60;
        // LONG: for machines that are busy
        private static final Duration SOON = Duration.ofSeconds(10), LONG = Duration.ofSeconds(30);
        @TempDir
        Path folder;
        private Network network;
        private final Program[] relays = new Program[3];

        @BeforeEach
        void start() throws IOException {
            network = Network.lan();
            for (String address : List.of("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.9"))
                network.run("ip address add " + address + "/32 dev lo");
            for (int i = 0; i < relays.length; i++) relay(i);
            for (Program relay : relays) relay.url();
        }

        @AfterEach
        void stop() throws IOException {
            for (Program relay : relays) if (relay != null) relay.close();
            if (network != null) network.close();   // null: there can be none here, so the test is skipped
        }

        private Program relay(int index) throws IOException {
            relays[index] = network.relay("--host", "10.0.0." + (index + 1), "--no-stun", "8080");
            return relays[index];
        }

        /** Without TLS, of which the classes above speak; it costs the tests a second. */
        private Program caddy() throws Exception {
            require("caddy", "caddy");
            Files.writeString(folder.resolve("Caddyfile"), Proxy.caddyOptions(folder, "10.0.0.9")
                    + Proxy.with(blockOfReadme("caddyfile", "lb_policy"), "game.example.com", "http://10.0.0.9"));
            return Proxy.caddy(Stream.concat(network.enter().stream(), Stream.of("caddy")).toList(), folder);
        }

        private Program haproxy() throws Exception {
            require("haproxy", "haproxy");
            Files.writeString(folder.resolve("haproxy.cfg"), Proxy.with(Proxy.HOMES,
                    "bind :443 ssl crt /etc/haproxy/game.pem", "bind 10.0.0.9:80", "inter 1s", "inter 200ms"));
            return Proxy.haproxy(network.enter(), folder);
        }

        /** Who is in which room by a relay's log. */
        private static Map<String, Set<String>> rooms(Program relay) {
            var rooms = new HashMap<String, Set<String>>();
            if (!relay.process.isAlive()) return rooms;
            for (String line : relay.out) {
                String[] words = line.split(" ");
                if (words.length < 5) continue;
                if (words[1].equals("join")) rooms.computeIfAbsent(words[2], room -> new HashSet<>()).add(words[3]);
                if (words[1].equals("quit")) rooms.get(words[2]).remove(words[3]);
            }
            rooms.values().removeIf(Set::isEmpty);
            return rooms;
        }

        /** The rooms that each relay has. */
        private List<Set<String>> homes() {
            return Stream.of(relays).map(relay -> rooms(relay).keySet()).toList();
        }

        /** Each room will be on one relay, with so many members. */
        private void expectTogether(int members, Duration atMost) {
            eventually(() -> {
                LockSupport.parkNanos(50_000_000);   // reading all again and again would cost more than what is tested
                var all = Stream.of(relays).flatMap(relay -> rooms(relay).values().stream()).map(Set::size).toList();
                return all.equals(Collections.nCopies(ROOMS, members));
            }, ROOMS + " rooms of " + members, atMost);
        }

        /** The homes of the rooms, of which each relay has a third, more or less. */
        private List<Set<String>> spreadHomes() {
            var homes = homes();
            for (var home : homes) assertEquals(ROOMS / 3., home.size(), ROOMS * .12, homes::toString);
            return homes;
        }

        private static void kill(Program relay) throws Exception {
            relay.signal("KILL");
            relay.exitCode();
        }

        @Test
        void withCaddyRoomsOfADeadRelayMeetOnAnotherAndStayThereUntilAReload() throws Exception {
            try (var caddy = caddy(); var old = Members.start(network, ROOMS, 3)) {
                expectTogether(3, LONG);
                var homes = spreadHomes();
                assertTrue(Stream.of(relays).flatMap(relay -> relay.out.stream())
                        .noneMatch(line -> line.contains(" 10.0.0.9")), "a proxy elsewhere is not believed");
                kill(relays[0]);
                expectTogether(3, SOON);
                relay(0).url();
                try (var newcomers = Members.start(network, ROOMS, 1)) {
                    expectTogether(4, LONG);
                    assertEquals(Map.of(), rooms(relays[0]));
                    Proxy.reloadCaddy("caddy", folder);
                    eventually(() -> rooms(relays[0]).keySet().equals(homes.get(0)), "the rooms are back", LONG);
                    expectTogether(4, LONG);
                }
                assertEquals(homes, homes());
            }
        }

        /** Also if another one dies meanwhile. */
        @Test
        void withHaproxyRoomsOfADeadRelayMeetOnAnotherAndReturnByThemselves() throws Exception {
            try (var haproxy = haproxy(); var old = Members.start(network, ROOMS, 3)) {
                expectTogether(3, LONG);
                var homes = spreadHomes();
                kill(relays[0]);
                expectTogether(3, SOON);
                kill(relays[1]);
                expectTogether(3, SOON);
                assertEquals(ROOMS, rooms(relays[2]).size());
                relay(0).url();
                eventually(() -> rooms(relays[0]).keySet().equals(homes.get(0)), "its rooms are back", LONG);
                expectTogether(3, LONG);
                relay(1).url();
                eventually(() -> homes().equals(homes), "the rooms are back", LONG);
                expectTogether(3, LONG);
            }
        }
    }
}
