// SPDX-License-Identifier: MIT
/*
 * Slow is not gone: a minute in which clients take little, send little or are cut off, over real links between two
 * networks. It needs root, or the right to make namespaces of users.
 */

import static org.junit.jupiter.api.Assertions.*;

import java.io.*;
import java.lang.annotation.*;
import java.lang.reflect.*;
import java.net.*;
import java.nio.file.*;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.*;
import java.util.concurrent.locks.LockSupport;
import java.util.function.*;
import java.util.stream.*;
import org.junit.jupiter.api.*;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.api.parallel.*;
import org.opentest4j.TestAbortedException;

@Timeout(60)
@Order(Integer.MAX_VALUE)   // takes a minute, and waits
class SlowLinksTest extends Fixtures {
    /**
     * Slow is not gone: clients behind slow links, and a relay that was stopped for a while. The relay is in one
     * network namespace, the clients are in another, and for each test there are two links between them: a fast one,
     * and one as slow as its annotation says. All tests run side by side, as they mostly wait, in one process in the
     * clients' namespace.
     */
    @Waits
    @Nested
    class SlowLinks {
        static final int PING_AFTER = 20, GONE_AFTER = 40;   // seconds of silence, as the README promises
        static final int SOON = 10;                          // seconds within which what should be at once has come

        /** A test; what its slow link lets through in kbit/s each way, 0: everything; whether it has its own relay. */
        @Retention(RetentionPolicy.RUNTIME)
        @interface Over {
            int toClient() default 0;
            int toRelay() default 0;
            boolean ownRelay() default false;
        }

        @TempDir
        static Path folder;

        private static final Map<String, CompletableFuture<String>> OUTCOMES = new HashMap<>();   // by a test's name
        private static Network relays;
        private static Program program;

        static List<Method> tests() {
            return Stream.of(SlowLinks.class.getDeclaredMethods())
                    .filter(method -> method.isAnnotationPresent(Over.class))
                    .sorted(Comparator.comparing(Method::getName)).toList();
        }

        @BeforeAll
        static void start() throws IOException {
            require("tc", "iproute2");
            relays = Network.alone();
            try {
                relays.run(limit("lo", 1_000), "tc qdisc del dev lo root");
            } catch (AssertionError e) {
                require(false, "these tests need a kernel that can limit rates (sch_tbf): " + e.getMessage());
            }
            Network clients = relays.another();
            int number = 0;
            for (Method test : tests()) {
                number++;
                OUTCOMES.put(test.getName(), new CompletableFuture<>());
                Over slow = test.getAnnotation(Over.class);
                link(relays, clients, "fast" + number, "10.78." + number, 0, 0);
                link(relays, clients, "slow" + number, "10.79." + number, slow.toClient(), slow.toRelay());
            }
            var command = List.of(Program.JAVA, "-XX:TieredStopAtLevel=1", "-cp", System.getProperty("java.class.path"),
                    SlowLinks.class.getName(), String.join(" ", relays.enter()), folder.toString());
            program = new Program(Program.ROOT, Map.of("PATH", PATH),
                    Stream.concat(clients.enter().stream(), command.stream()).toList(), line -> {
                        String[] words = line.split(" ", 2);   // a test's name and its outcome, or a JVM's warning
                        var outcome = OUTCOMES.get(words[0]);
                        if (outcome != null) outcome.complete(words[1].replace('\t', '\n'));
                    });
            program.process.onExit().thenAccept(process -> OUTCOMES.values().forEach(outcome ->
                    outcome.complete("the process has ended: " + process.exitValue() + " " + program.err)));
        }

        @TestFactory
        @Execution(ExecutionMode.SAME_THREAD)
        Stream<DynamicTest> slowIsNotGone() {
            return tests().stream().map(test -> DynamicTest.dynamicTest(test.getName() + "()", () -> {
                String outcome = OUTCOMES.get(test.getName()).get(120, TimeUnit.SECONDS);
                if (outcome.startsWith("skipped ")) throw new TestAbortedException(outcome);
                assertTrue(outcome.startsWith("passed"), outcome);
            }));
        }

        @AfterAll
        static void end() throws Exception {
            if (program != null) {
                program.process.outputWriter().close();   // it ends then, and its relays with it
                program.exitCode();
            }
            if (relays != null) relays.close();
        }

        /** Joins the two networks by a link whose ends have the addresses 1 and 2. */
        private static void link(Network relays, Network clients, String name, String prefix, int toClient, int toRelay)
                throws IOException {
            relays.cable(name, clients, name);
            relays.run("ip address add " + prefix + ".1/24 dev " + name, limit(name, toClient),
                    "ip link set " + name + " up");
            clients.run("ip address add " + prefix + ".2/24 dev " + name, limit(name, toRelay),
                    "ip link set " + name + " up");
        }

        /** Two packets at once, and up to 20 kB or half a second of them wait, as in a modem; what is more is lost. */
        private static String limit(String device, int rate) {
            return rate == 0 ? ":" : "tc qdisc add dev %s root tbf rate %dkbit burst 3100 limit %d"
                    .formatted(device, rate, Math.max(20_000, rate * 1_000 / 8 / 2));
        }

        /**
         * Runs all tests, in the clients' network, until standard input ends.
         *
         * @param arguments the words before a command that is to run in the relays' network, and a folder
         */
        public static void main(String[] arguments) throws IOException {
            Path site = Files.createDirectory(Path.of(arguments[1], "site"));
            for (int size : FILES) Files.write(site.resolve(size + ""), content(size));
            var enter = List.of(arguments[0].split(" "));
            Program shared = relay(enter, site);
            shared.url();
            int number = 0;
            for (Method test : tests()) {
                boolean ownRelay = test.getAnnotation(Over.class).ownRelay();
                var place = new Place(test, ++number, ownRelay ? relay(enter, site) : shared);
                Thread.ofPlatform().daemon().start(() ->
                        System.out.println(test.getName() + " " + run(place).replace('\n', '\t')));
            }
            while (System.in.read() >= 0) continue;
            ProcessHandle.current().descendants().forEach(ProcessHandle::destroyForcibly);
            Runtime.getRuntime().halt(0);
        }

        private static Program relay(List<String> enter, Path site) throws IOException {
            return Program.relay(enter, Program.ROOT, Map.of(), "-Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1",
                    "0", "--no-stun", "--dir", site.toString());
        }

        private static String run(Place place) {
            long start = System.nanoTime();
            try {
                place.test.invoke(null, place);
                return "passed";
            } catch (InvocationTargetException | IllegalAccessException e) {
                if (e.getCause() instanceof TestAbortedException) return "skipped " + e.getCause().getMessage();
                String said = place.relay.out.stream().filter(line -> line.contains(place.room()))
                        .collect(Collectors.joining("\n"));
                return "failed after %.1f s: %s\nThe relay said:\n%s\n%s".formatted(secondsSince(start),
                        trace(e.getCause()), said, place.relay.err);
            }
        }

        private static String trace(Throwable thrown) {
            var lines = new ArrayList<String>();
            for (Throwable each = thrown; each != null; each = each.getCause()) {
                lines.add(each.toString());
                for (var at : each.getStackTrace())
                    if (at.getClassName().matches("(SlowLinksTest|Fixtures).*")) lines.add("    at " + at);
            }
            return String.join("\n", lines);
        }

        /** Where a test takes place: its relay, and two links to it. */
        record Place(Method test, int number, Program relay) {
            String room() {
                return "/ws-relay/" + test.getName();
            }

            String slowUrl() {
                return "ws://10.79." + number + ".1:" + relay.url().getPort() + room();
            }

            /** Neither side gets anything over the slow link from now on, and neither is told. */
            void cutSlowLink() throws Exception {
                assertEquals(0, launch(new ProcessBuilder("ip", "link", "set", "slow" + number, "down")).waitFor());
            }

            Raw fast() throws IOException {
                return connect("10.78." + number + ".1", 0);
            }

            Raw slow() throws IOException {
                return connect("10.79." + number + ".1", 0);
            }

            /** One for which the system keeps little of what is not read. */
            Raw lazy() throws IOException {
                return connect("10.78." + number + ".1", 64 << 10);
            }

            private Raw connect(String host, int receiveBuffer) throws IOException {
                var socket = new Socket();
                if (receiveBuffer > 0) socket.setReceiveBufferSize(receiveBuffer);
                socket.connect(new InetSocketAddress(host, relay.url().getPort()), 10_000);
                var raw = new Raw(socket);
                socket.setSoTimeout(30_000);
                return raw;
            }

            /** Joins the test's room. */
            Raw join(Raw raw, int id) throws IOException {
                raw.open(room()).expect(id + " self");
                for (int other = 1; other < id; other++) raw.expect(other + " join");
                return raw;
            }

            /** Whether the relay holds a connection to the port of this client, as the system sees it in a while. */
            boolean holds(Raw raw) {
                LockSupport.parkNanos(50_000_000);   // asking all the time costs more than what is tested
                byte[] address = raw.socket.getLocalAddress().getAddress();   // there it is, last byte first
                String there = "[0-9A-F]*%02X%02X%02X%02X:%04X".formatted(address[3], address[2], address[1],
                        address[0], raw.socket.getLocalPort()), established = "01";
                return Stream.of("tcp", "tcp6").map(name -> Path.of("/proc", relay.process.pid() + "", "net", name))
                        .filter(Files::exists)
                        .flatMap(file -> assertDoesNotThrow(() -> Files.readAllLines(file)).stream())
                        .map(line -> line.strip().split(" +"))
                        .anyMatch(words -> words[2].matches(there) && words[3].equals(established));
            }
        }

        /** A client that reads all the time, answers pings, and notes what else it gets and how it ends. */
        static final class Attentive implements AutoCloseable {
            final Raw raw;
            final int id;
            final AtomicInteger pings = new AtomicInteger();
            private final List<String> heard = new ArrayList<>();   // guarded by itself
            private volatile String end;                            // null: it has not ended
            private volatile long answerAfter;                      // pings are answered once nanoTime() is past this

            Attentive(Raw raw, int id) {
                this.raw = raw;
                this.id = id;
                Thread.ofPlatform().daemon().start(() -> {
                    try {
                        raw.socket.setSoTimeout(0);
                        while (true) {
                            Received next = raw.receive();
                            if (next.opcode() == 8) {
                                end = "closed with " + next.code() + " " + next.reason();
                                return;
                            } else if (next.opcode() == 9) {
                                pings.incrementAndGet();
                                while (answerAfter != 0 && System.nanoTime() < answerAfter) Thread.sleep(10);
                                send(frame(true, 10, next.payload()));
                            } else if (next.opcode() == 1) {
                                synchronized (heard) {
                                    heard.add(next.text());
                                    heard.notifyAll();
                                }
                            }
                        }
                    } catch (IOException | InterruptedException e) {
                        end = "ended with " + e;
                    } finally {
                        synchronized (heard) {
                            heard.notifyAll();
                        }
                    }
                });
            }

            synchronized Attentive send(byte[] frame) throws IOException {
                raw.send(frame);
                return this;
            }

            List<String> heard() {
                synchronized (heard) {
                    return List.copyOf(heard);
                }
            }

            boolean hasHeard(String text) {
                synchronized (heard) {
                    return heard.contains(text);
                }
            }

            /** Sends frame after frame on a thread of its own, every so many ms, until the connection ends. */
            Attentive keepSending(long every, LongFunction<byte[]> frame) {
                Thread.ofPlatform().daemon().start(() -> {
                    try {
                        for (long number = 0; end == null; number++) {
                            send(frame.apply(number));
                            Thread.sleep(every);
                        }
                    } catch (IOException | InterruptedException closed) {
                        // that is how it is stopped
                    }
                });
                return this;
            }

            /** Waits until it has heard this. */
            Attentive awaits(String text, int seconds) throws InterruptedException {
                long deadline = System.nanoTime() + seconds * 1_000_000_000L;
                synchronized (heard) {
                    while (!heard.contains(text)) {
                        long left = (deadline - System.nanoTime()) / 1_000_000;
                        assertTrue(end == null && left > 0, () -> id + " has not heard '" + text + "'; " + end);
                        heard.wait(left);
                    }
                }
                return this;
            }

            void expectOpen() {
                assertNull(end, () -> "client " + id);
            }

            @Override
            public void close() throws IOException {
                raw.close();
            }
        }

        static double secondsSince(long nanos) {
            return (System.nanoTime() - nanos) / 1e9;
        }

        // --- who takes little, but steadily ---------------------------------------------------------

        @Over(toClient = 720)
        static void whoTakes90KilobytesASecondOfLongMessagesIsAlive(Place place) throws Exception {
            receiveWhileTheOutboxIsFull(place, 720, 64 << 10);
        }

        @Over(toClient = 192)
        static void whoTakes24KilobytesASecondIsAlive(Place place) throws Exception {
            receiveWhileTheOutboxIsFull(place, 192, 1 << 10);
        }

        @Over(toClient = 64)
        static void whoTakes8KilobytesASecondIsAlive(Place place) throws Exception {
            receiveWhileTheOutboxIsFull(place, 64, 1 << 10);
        }

        /**
         * For a minute, a sender keeps the outbox of a receiver full; both stay, and nothing is lost.
         *
         * @param rate in kbit/s
         * @param size of each message, in bytes
         */
        private static void receiveWhileTheOutboxIsFull(Place place, int rate, int size) throws Exception {
            // A ping waits behind 64 KiB being written, 128 KiB in the system and 20 kB in the modem.
            double late = PING_AFTER + 2 + 1.25 * (192 * 1_024 + 20_000) / (rate * 1_000 / 8);
            String filling = " " + "x".repeat(size);
            try (var sender = new Attentive(place.join(place.fast(), 1), 1); var receiver = place.join(place.slow(), 2);
                    var witness = new Attentive(place.join(place.fast(), 3), 3)) {
                receiver.expect("3 join");
                sender.awaits("3 join", SOON).keepSending(0, number -> text("2 " + number + filling));
                long start = System.nanoTime(), spoke = start, bytes = 0;
                int pings = 0;
                for (long number = 0; secondsSince(start) < 60; ) {
                    Received next;
                    try {
                        next = receiver.receive();
                        assertEquals(List.of(), witness.heard());
                    } catch (IOException | AssertionError e) {
                        throw new AssertionError("after %.1f s, %d pings and %d bytes"
                                .formatted(secondsSince(start), pings, bytes), e);
                    }
                    if (next.opcode() == 9) {
                        double silent = secondsSince(spoke);
                        assertTrue(silent < late, () -> "a ping after " + silent + " s");
                        receiver.send(frame(true, 10, next.payload()));
                        spoke = System.nanoTime();
                        pings++;
                    } else {
                        String expected = "1 " + number++ + filling;
                        assertTrue(next.text().equals(expected), () -> next + " is not " + expected.substring(0, 9));
                        bytes += next.payload().length;
                    }
                }
                assertTrue(secondsSince(spoke) < late && pings > 0, pings + " pings");
                double share = bytes / 60. / (rate * 1_000 / 8);
                assertTrue(share > 0.6 && share < 1.1, () -> "took " + share + " of what the link lets through");
                sender.expectOpen();
                witness.send(text("1 hello")).send(text("* over"));
                sender.awaits("3 hello", SOON).awaits("3 over", SOON);   // although its sending has to wait
                assertEquals(List.of(), witness.heard());
                witness.expectOpen();
            }
        }

        /** Its own pings must be answered within 20 s. */
        @Over(toClient = 720)
        static void pythonsClientThatTakes90KilobytesASecondStays(Place place) throws Exception {
            String script = """
                import asyncio, sys, time, websockets

                async def main(address):
                    async with websockets.connect(address) as socket:
                        print(await socket.recv(), await socket.recv())
                        start = time.monotonic()
                        while time.monotonic() - start < 50:
                            await socket.recv()
                    print('stayed')

                asyncio.run(main(sys.argv[1]))
                """;
            requireWebsockets();
            try (var sender = new Attentive(place.join(place.fast(), 1), 1); var python = new Program(Program.ROOT,
                    Map.of("PYTHONUNBUFFERED", "1"), List.of("/usr/bin/python3", "-c", script, place.slowUrl()))) {
                sender.awaits("2 join", 4 * SOON);   // all start at once, and that may take Python long
                python.expectLine("2 self 1 join");
                sender.keepSending(0, number -> text("2 " + FILL));
                long start = System.nanoTime();
                python.process.onExit().get(90, TimeUnit.SECONDS);
                double left = secondsSince(start);
                assertEquals(0, python.exitCode(), () -> "ended after " + left + " s: " + python.err);
                python.expectLine("stayed");
                sender.expectOpen();
            }
        }

        // --- downloads ------------------------------------------------------------------------------

        /** Bytes in each file; its name is that number. */
        private static final int[] FILES = {230_000, 1_000_000, 20_000_000};

        /** More bytes than a system takes of the relay at once, and delivers even if that closes the connection. */
        private static final int AHEAD = 600_000;

        private static byte[] content(int size) {
            var content = new byte[size];
            new Random(size).nextBytes(content);
            return content;
        }

        @Over(toClient = 32)
        static void aDownloadOver32KilobitsASecondIsWhole(Place place) throws Exception {
            download(place, 230_000, 32);
        }

        /** It would take two minutes; one is enough to see. */
        @Over(toClient = 64)
        static void aLongDownloadOver64KilobitsASecondGoesOn(Place place) throws Exception {
            download(place, 1_000_000, 64);
        }

        @Over(toClient = 192)
        static void aDownloadOver192KilobitsASecondIsWhole(Place place) throws Exception {
            download(place, 1_000_000, 192);
        }

        /** Asks for a file over the slow link, of that many kbit/s, and reads it for a minute at most. */
        private static void download(Place place, int size, int rate) throws Exception {
            try (var raw = place.slow()) {
                long start = System.nanoTime();
                raw.send(Answer.request("GET", "/site/" + size));
                assertTrue(raw.head().startsWith("HTTP/1.1 200 "));
                byte[] whole = content(size);
                for (int at = 0; at < size && secondsSince(start) < 60; ) {
                    byte[] piece;
                    try {
                        piece = raw.in.readNBytes(Math.min(4000, size - at));
                        if (piece.length == 0) throw new EOFException();
                        if (size - at > AHEAD) assertTrue(place.holds(raw), "the relay has closed it");
                    } catch (IOException | AssertionError e) {
                        throw new AssertionError("after %.1f s and %d bytes".formatted(secondsSince(start), at), e);
                    }
                    assertArrayEquals(Arrays.copyOfRange(whole, at, at + piece.length), piece);
                    at += piece.length;
                }
                double least = Math.min(60, size / (rate * 1_000 / 8.)), took = secondsSince(start);
                assertTrue(took > 0.9 * least && took < 1.5 * least, () -> took + " s instead of " + least);
            }
        }

        @Over
        static void whoAsksForAFileAndTakesNothingOfItIsCutOff(Place place) throws Exception {
            int size = 20_000_000;
            try (var taker = place.fast()) {
                assertEquals(size, Answer.get(taker, "/site/" + size).body().length);
            }
            try (var raw = place.lazy()) {
                raw.send(Answer.request("GET", "/site/" + size));
                eventually(() -> place.holds(raw), "it is connected");
                eventually(() -> !place.holds(raw), "it is cut off", Duration.ofSeconds(45));
                assertTrue(restOf(raw) < size);
            }
        }

        /** How many bytes still come before the end, or a reset. */
        private static long restOf(Raw raw) throws IOException {
            long size = 0;
            try {
                for (int read; (read = raw.in.read(new byte[65536])) >= 0; ) size += read;
            } catch (SocketException reset) {
                // an end as good as another
            }
            return size;
        }

        // --- who has fallen behind reads why --------------------------------------------------------

        /** It goes on as games do, and looks into its input again after 5 s. */
        @Over
        static void whoIsClosedAsTooSlowReadsWhyThoughItKeepsTalking(Place place) throws Exception {
            expectReasonForWhoKeepsTalking(place, place.lazy(), FILL, 5);
        }

        /** It reads all the time, but what was under way to it takes a while. */
        @Over(toClient = 192)
        static void whoIsClosedAsTooSlowReadsWhyOver192KilobitsASecond(Place place) throws Exception {
            expectReasonForWhoKeepsTalking(place, place.slow(), "x".repeat(1 << 10), 0);
        }

        private static void expectReasonForWhoKeepsTalking(Place place, Raw connection, String filling, int seconds)
                throws Exception {
            var isTold = new AtomicBoolean();
            var talking = new CompletableFuture<Void>();
            try (var sender = new Attentive(place.join(place.fast(), 1), 1); var slow = place.join(connection, 2)) {
                sender.awaits("2 join", SOON);
                Thread.ofPlatform().daemon().start(() -> {
                    try {
                        for (; !isTold.get(); Thread.sleep(50)) slow.send(text("1 position 0123456789"));
                        slow.send(close(1008, ""));
                        talking.complete(null);
                    } catch (IOException | InterruptedException e) {
                        talking.completeExceptionally(e);
                    }
                });
                sender.awaits("2 position 0123456789", SOON);
                var flood = Thread.ofPlatform().daemon().start(() -> {
                    try {
                        for (int number = 0; !sender.hasHeard("2 quit"); number++)
                            sender.send(text("* " + number + " " + filling));
                    } catch (IOException e) {
                        // shows below, as it does not hear what it should
                    }
                });
                var reading = CompletableFuture.supplyAsync(() -> {
                    try {
                        if (seconds > 0) {
                            sender.awaits("2 quit", 2 * SOON);
                            Thread.sleep(1_000 * seconds);   // it is busy with something else
                        }
                        Received next = slow.receive();
                        for (int number = 0; next.opcode() == 1; next = slow.receive())
                            assertTrue(next.text().equals("1 " + number++ + " " + filling), next::toString);
                        isTold.set(true);
                        return next;
                    } catch (IOException | InterruptedException e) {
                        throw new CompletionException(e);
                    }
                }, runnable -> Thread.ofPlatform().daemon().start(runnable));
                sender.awaits("2 quit", 2 * SOON);
                long quit = System.nanoTime();
                Received close;
                try {
                    close = reading.get(40, TimeUnit.SECONDS);
                } catch (ExecutionException e) {
                    throw new AssertionError("%.1f s after it was closed".formatted(secondsSince(quit)), e.getCause());
                }
                assertEquals(1008, close.code());
                assertTrue(close.reason().contains("behind"), close.reason());
                talking.get(5, TimeUnit.SECONDS);
                slow.expectEnd();
                flood.join(5_000);
                sender.send(text("1 over")).awaits("1 over", SOON);
                var heard = sender.heard();
                assertEquals(List.of("2 quit", "1 over"), heard.subList(heard.indexOf("2 quit"), heard.size()));
            }
        }

        // --- a relay that was stopped ---------------------------------------------------------------

        /** As a laptop that was suspended, or a container that was paused. */
        @Over(ownRelay = true)
        static void whenTheRelayWasStoppedFor50SecondsNobodyIsCutOff(Place place) throws Exception {
            var clients = join(place, 20);
            stop(place, 50);
            for (int round = 1; round <= 2; round++) {
                expectAll(clients, "round " + round);
                if (round == 1) Thread.sleep(10_000);   // what the relay makes of the pause it has made of it by then
            }
            expectNoQuit(clients);
            for (Attentive client : clients) client.close();
        }

        /** Twenty messages a second from each of six. */
        @Over(ownRelay = true)
        static void whenTheRelayWasStoppedFor50SecondsAGameGoesOnWithNothingLost(Place place) throws Exception {
            int size = 6;
            var clients = join(place, size);
            var last = new ConcurrentHashMap<Integer, Long>();
            for (Attentive client : clients) {
                if (client.id < size) client.awaits(size + " join", SOON);
                client.keepSending(50, number -> {
                    last.put(client.id, number);
                    return text("* " + number);
                });
            }
            Thread.sleep(1_000);   // the game is going on
            stop(place, 50);
            Thread.sleep(8_000);   // and still is
            for (Attentive client : clients) {
                long all = last.get(client.id);
                for (Attentive other : clients) if (other != client) other.awaits(client.id + " " + all, SOON);
            }
            expectNoQuit(clients);
            for (Attentive client : clients)
                for (Attentive other : clients) {
                    var numbers = client.heard().stream().filter(text -> text.matches(other.id + " \\d+"))
                            .map(text -> Long.valueOf(text.substring(2))).toList();
                    if (other == client) assertEquals(List.of(), numbers);
                    else assertEquals(LongStream.range(0, numbers.size()).boxed().toList(), numbers);
                }
            for (Attentive client : clients) client.close();
        }

        /** Some answer while the relay is stopped, the others a second after it has woken. */
        @Over(ownRelay = true)
        static void whenTheRelayWasStoppedWhileItWaitedForPongsNobodyIsCutOff(Place place) throws Exception {
            var clients = join(place, 20);
            for (Attentive client : clients.subList(10, 20)) client.answerAfter = Long.MAX_VALUE;
            for (Attentive client : clients)
                eventually(() -> client.pings.get() > 0, "all are pinged", Duration.ofSeconds(PING_AFTER + 5));
            stop(place, 30);
            Thread.sleep(1_000);
            for (Attentive client : clients) client.answerAfter = 0;
            Thread.sleep(5_000);   // what the relay makes of the pause it has made of it by then
            expectAll(clients, "over");
            expectNoQuit(clients);
            for (Attentive client : clients) client.close();
        }

        private static List<Attentive> join(Place place, int count) throws IOException {
            var clients = new ArrayList<Attentive>();
            for (int id = 1; id <= count; id++) clients.add(new Attentive(place.join(place.fast(), id), id));
            return clients;
        }

        /** All of them hear this of all the others. */
        private static void expectAll(List<Attentive> clients, String word) throws Exception {
            for (Attentive client : clients) client.send(text("* " + word));
            for (Attentive client : clients)
                for (Attentive other : clients) if (other != client) client.awaits(other.id + " " + word, SOON);
        }

        private static void stop(Place place, int seconds) throws Exception {
            place.relay.signal("STOP");
            Thread.sleep(1_000 * seconds);
            place.relay.signal("CONT");
        }

        private static void expectNoQuit(List<Attentive> clients) {
            for (Attentive client : clients) {
                client.expectOpen();
                assertEquals(List.of(), client.heard().stream().filter(text -> text.endsWith(" quit")).toList());
            }
        }

        // --- their kin: who sends slowly, and who really is gone ------------------------------------

        @Over(toRelay = 64)
        static void aMessageThatTakes50SecondsToComeArrivesWhole(Place place) throws Exception {
            String message = new Random(1).ints(400_000, 'a', 'z' + 1).mapToObj(Character::toString)
                    .collect(Collectors.joining());
            try (var receiver = new Attentive(place.join(place.fast(), 1), 1);
                    var sender = new Attentive(place.join(place.slow(), 2), 2)) {
                long start = System.nanoTime();
                receiver.awaits("2 join", SOON);
                sender.send(text("1 " + message)).send(text("1 over"));
                receiver.awaits("2 over", 75);
                assertTrue(secondsSince(start) > 45, () -> "it took only " + secondsSince(start) + " s");
                assertTrue(receiver.hasHeard("2 " + message));
                sender.expectOpen();
                expectNoQuit(List.of(receiver));
            }
        }

        /** What the system still takes for it is no sign of life. */
        @Over
        static void whoIsCutOffByTheNetworkIsGoneThoughTheOthersTalkOn(Place place) throws Exception {
            try (var one = new Attentive(place.join(place.fast(), 1), 1); var two = place.join(place.slow(), 2);
                    var three = new Attentive(place.join(place.fast(), 3), 3)) {
                one.awaits("3 join", SOON).keepSending(500, number -> text("* " + number));
                two.expect("3 join").expect("1 0");
                place.cutSlowLink();
                long start = System.nanoTime();
                three.awaits("2 quit", GONE_AFTER + SOON);
                assertTrue(secondsSince(start) > PING_AFTER - 5, () -> "already after " + secondsSince(start) + " s");
                one.awaits("2 quit", SOON);
                one.expectOpen();
                three.expectOpen();
            }
        }
    }
}
