// SPDX-License-Identifier: MIT
/*
 * Hostile clients, and what they do to a relay with a heap of 64 MB and to those who share it with them: nothing.
 * `./build.sh test` runs small loads, `./build.sh bench Attacks` and `./build.sh bench Soak` those of full size.
 */

import static org.junit.jupiter.api.Assertions.*;

import com.sun.tools.attach.*;
import java.io.*;
import java.lang.annotation.*;
import java.net.*;
import java.nio.ByteBuffer;
import java.nio.channels.*;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.*;
import java.util.concurrent.locks.LockSupport;
import java.util.function.*;
import java.util.regex.Pattern;
import java.util.stream.*;
import org.junit.jupiter.api.*;

@Timeout(60)
class HostileLoad extends Fixtures {
    /** The well-behaved: 36,000 deliveries a second. */
    static final Benchmark.Scenario GAMES =
            new Benchmark.Scenario("20 rooms of 10, each 20 a second", 20, 10, 10, false, 20);

    /** Of the storm's rates. Two processors have to do for it, the relay and us: with 1, they are all busy. */
    static final double STRENGTH = 1;

    /** A relay of 64 MB with the default limits. @param flags for Java, with a space between them */
    static Program smallRelay(String flags, String... more) throws IOException {
        var args = Stream.concat(Stream.of("0", "--host", "127.0.0.1", "--no-stun", "--metrics"), Stream.of(more));
        return Program.relay(List.of(), Program.ROOT, Map.of(), "-Xmx64m " + flags, args.toArray(String[]::new));
    }

    /** What such a process holds. Memory in kB; how many objects of each of Relay's classes, and virtual threads. */
    record Holding(long resident, long descriptors, long threads, long heap, Map<String, Long> objects) {
        static Holding of(Program relay) {
            long pid = relay.process.pid();
            int descriptors = Path.of("/proc", pid + "", "fd").toFile().list().length;
            return new Holding(status(relay, "VmRSS"), descriptors, status(relay, "Threads"), 0, Map.of());
        }

        /** With all garbage collected first. */
        static Holding afterCollection(Program relay) throws IOException {
            var objects = new TreeMap<String, Long>();
            long heap = 0;
            command(relay, "GC.run");
            for (String line : command(relay, "GC.class_histogram")) {
                String[] words = line.strip().split(" +");   // number: instances bytes class, or: Total instances bytes
                boolean isGap = words.length > 3 && words[3].contains("FillerElement");
                if (words[0].equals("Total")) heap += Long.parseLong(words[2]) / 1024;
                else if (isGap) heap -= Long.parseLong(words[2]) / 1024;
                else if (words.length > 3 && words[3].matches("Relay\\$\\w+|java.lang.VirtualThread"))
                    objects.put(words[3], Long.parseLong(words[1]));
            }
            assertTrue(heap > 0, "expected a histogram of the heap");
            Holding now = of(relay);
            return new Holding(now.resident, now.descriptors, now.threads, heap, objects);
        }

        /**
         * Does what the JDK's jcmd does, without a process for it. The method is for jcmd alone, so build.sh exports it
         * to the tests. @return the lines of the answer
         */
        private static List<String> command(Program relay, String command) throws IOException {
            try {
                var machine = VirtualMachine.attach(relay.process.pid() + "");
                var execute = machine.getClass().getMethod("executeJCmd", String.class);
                try (var answer = new InputStreamReader((InputStream) execute.invoke(machine, command))) {
                    return new BufferedReader(answer).lines().toList();
                } finally {
                    machine.detach();
                }
            } catch (ReflectiveOperationException | AttachNotSupportedException e) {
                throw new IOException(e);
            }
        }

        private static long status(Program relay, String name) {
            return Long.parseLong(Benchmark.Load.proc(relay.process.pid() + "/status", name).orElseThrow()
                    .replace(" kB", ""));
        }
    }

    /** Everything that strangers may do to a server, all at once and over and over, each kind of it at a pace. */
    static final class Storm {
        interface Deed {
            void run(int stranger, Pace pace) throws IOException, InterruptedException;
        }

        /** Lets so many a second pass, of all who come here. */
        static final class Pace {
            final LongAdder passed = new LongAdder();
            private final long interval;
            private final AtomicLong next = new AtomicLong(System.nanoTime());

            Pace(double perSecond) {
                interval = (long) (1e9 / perSecond);
            }

            void await() throws InterruptedException {
                long mine = next.updateAndGet(last -> Math.max(last + interval, System.nanoTime()));
                Thread.sleep(Duration.ofNanos(Math.max(mine - System.nanoTime(), 0)));
                passed.increment();
            }
        }

        private static final byte[] SHOUT = text("* " + FILL), PONG = frame(true, 10, new byte[0]);
        private static final byte[] CLAIM = hex("82 ff 4000000000000000 00000000");   // 2^62 bytes
        private static final byte[] PINGS = times(100, frame(true, 9, new byte[125]));
        private static final byte[] FRAGMENTS = times(4096, frame(false, 0, new byte[1]));
        private static final String LONGEST = Raw.upgrade("/health",
                "X: " + "x".repeat((8 << 10) - Raw.upgrade("/health").length() - 5) + "\r\n");

        private final int port;
        private final double strength;
        private final Map<String, Pace> paces = new LinkedHashMap<>();

        /** @param strength a factor for all that is done so many times a second */
        Storm(int port, double strength) {
            this.port = port;
            this.strength = strength;
            many("bytes of half-open handshakes", 500, 500, this::trickle);
            many("signs of life of who never reads", 200, 200, this::neverRead);
            many("shouts of 64 KiB at ten of those", 20, 80, this::shout);
            many("claims of 2^62 bytes", 1_000, 300, this::claim);
            many("4,096 fragments of a byte", 200, 500, this::fragment);
            many("floods of a hundred pings", 20, 500, this::ping);
            many("connects and disconnects", 50, 500, this::connect);
            many("heads of 8 KiB", 50, 200, this::ask);
            many("random bytes", 50, 200, this::babble);
            many("mutated frames", 50, 200, this::mutate);
            many("rooms joined and left", 50, 400, this::visit);
        }

        private void many(String name, int count, int perSecond, Deed deed) {
            if (!name.matches(".*(" + System.getenv().getOrDefault("ONLY", "") + ").*")) return;
            var pace = new Pace(strength * perSecond);
            paces.put(name, pace);
            for (int i = 0; i < count; i++) {
                int number = i;
                Thread.startVirtualThread(() -> {
                    while (true)
                        try {
                            deed.run(number, pace);
                        } catch (IOException cutOff) {
                            LockSupport.parkNanos(10_000_000);   // it comes again
                        } catch (InterruptedException never) {
                            return;
                        }
                });
            }
        }

        private Raw open(String room) throws IOException {
            Raw raw = lazy(new Raw(port)).send(Raw.upgrade("/ws-relay/" + room));
            raw.head();
            return raw;
        }

        private void trickle(int stranger, Pace pace) throws IOException, InterruptedException {
            try (var raw = new Raw(port)) {
                for (byte b : bytes(Raw.upgrade("/ws-relay"))) {
                    pace.await();
                    raw.send(new byte[] {b});
                }
            }
        }

        private void neverRead(int stranger, Pace pace) throws IOException, InterruptedException {
            try (var raw = lazy(new Raw(port)).send(Raw.upgrade("/ws-relay/deaf" + stranger % 20))) {
                for (; ; raw.send(PONG)) pace.await();   // until it has been closed
            }
        }

        private void shout(int stranger, Pace pace) throws IOException, InterruptedException {
            try (var raw = open("deaf" + stranger)) {
                for (; ; raw.send(SHOUT)) pace.await();
            }
        }

        private void claim(int stranger, Pace pace) throws IOException, InterruptedException {
            pace.await();
            try (var raw = open("claim" + stranger % 100).send(CLAIM)) {
                for (; ; raw.send(PONG)) Thread.sleep(1_000);   // until the relay waits no longer
            }
        }

        /** A megabyte in fragments, some much faster than others. */
        private void fragment(int stranger, Pace pace) throws IOException, InterruptedException {
            try (var raw = open("fragments" + stranger)) {
                for (int left = 0; ; left--) {
                    if (left == 0) {
                        byte[] begin = frame(false, 1, bytes("1 m "));
                        raw.send(concat(begin, frame(true, 0, new byte[0]), begin));
                        left = 255;
                    }
                    if (left % (1 + 100 / (stranger + 1)) == 0) pace.await();
                    raw.send(FRAGMENTS);
                }
            }
        }

        /** Half of them read their pongs. */
        private void ping(int stranger, Pace pace) throws IOException, InterruptedException {
            try (var raw = open("pings" + stranger)) {
                for (; ; raw.send(PINGS)) {
                    pace.await();
                    if (stranger % 2 == 0) raw.in.skipNBytes(raw.in.available());
                }
            }
        }

        /** Half of them in disorder. */
        private void connect(int stranger, Pace pace) throws IOException, InterruptedException {
            pace.await();
            try (var raw = new Raw(port)) {
                if (stranger % 2 == 0) raw.socket.setSoLinger(true, 0);
            }
        }

        /** Half of them too long by a byte. */
        private void ask(int stranger, Pace pace) throws IOException, InterruptedException {
            try (var raw = new Raw(port)) {
                while (true) {
                    pace.await();
                    raw.send(stranger % 2 == 0 ? LONGEST : LONGEST.replace("X: ", "X: x")).head();
                    raw.in.skipNBytes(raw.in.available());
                }
            }
        }

        private void babble(int stranger, Pace pace) throws IOException, InterruptedException {
            pace.await();
            try (var raw = stranger % 2 == 0 ? new Raw(port) : open("babble")) {
                raw.send(RelayTest.Fuzz.randomBytes(ThreadLocalRandom.current(), 2_000)).in.readAllBytes();
            }
        }

        private void mutate(int stranger, Pace pace) throws IOException, InterruptedException {
            pace.await();
            var random = ThreadLocalRandom.current();
            try (var raw = open("mutants" + stranger % 5)) {
                raw.send(RelayTest.Fuzz.spoil(RelayTest.Fuzz.Script.random(random, "* m ").stream(), random));
                raw.socket.shutdownOutput();
                raw.in.readAllBytes();
            }
        }

        /** One of a hundred rooms; half of them leave in disorder. */
        private void visit(int stranger, Pace pace) throws IOException, InterruptedException {
            pace.await();
            try (var raw = open("visited" + ThreadLocalRandom.current().nextInt(100))) {
                raw.receive();
                if (stranger % 2 == 0) raw.send(Fixtures.close(1000, "")).in.readAllBytes();
            }
        }

        /** On 127.0.0.1, until told to end; then it says how often all of it was done. @param args port and strength */
        public static void main(String[] args) throws InterruptedException {
            var storm = new Storm(Integer.parseInt(args[0]), Double.parseDouble(args[1]));
            Runtime.getRuntime().addShutdownHook(new Thread(() -> System.out.println(storm)));
            System.out.println("it is on");
            Thread.sleep(Long.MAX_VALUE);
        }

        @Override
        public String toString() {
            return paces.entrySet().stream().map(pace -> pace.getValue().passed + " " + pace.getKey())
                    .collect(Collectors.joining(", "));
        }
    }

    /** Well-behaved clients who come one after the other and leave once they are in: how long each took, in ms. */
    static final class Newcomers implements AutoCloseable {
        final List<Long> waits = new ArrayList<>();
        final List<String> turnedAway = new ArrayList<>();
        private final Thread thread;

        Newcomers(int port) {
            thread = Thread.ofPlatform().start(() -> {
                for (int number = 0; !Thread.currentThread().isInterrupted(); number++) {
                    LockSupport.parkNanos(20_000_000);
                    long start = System.nanoTime();
                    try (var raw = new Raw(port)) {
                        raw.send(Raw.upgrade("/ws-relay/newcomer" + number)).head();
                        raw.expect("1 self");
                        waits.add((System.nanoTime() - start) / 1_000_000);
                    } catch (IOException e) {
                        turnedAway.add(e.toString());
                    }
                }
            });
        }

        @Override
        public void close() {
            thread.interrupt();
            eventually(() -> !thread.isAlive(), "the last one is in");
            Collections.sort(waits);
        }

        @Override
        public String toString() {
            return waits.size() + ", " + (waits.isEmpty() ? "-" : waits.getLast()) + ", " + turnedAway.size();
        }
    }

    /** Strangers in a process of their own, which gets the time that neither the relay nor those who play need. */
    static Program storm(Program relay, double strength) throws IOException {
        return inBackground(Storm.class, relay.url().getPort() + "", strength + "");
    }

    /** A main class in a process of its own, which gets the time of the processors that nobody else needs. */
    private static Program inBackground(Class<?> main, String... args) throws IOException {
        var command = Stream.of("nice", "-n", "10", Program.JAVA, "-Xmx512m", "-XX:TieredStopAtLevel=1",
                "-XX:+UseSerialGC", "-cp", System.getProperty("java.class.path"), main.getName());
        return new Program(Program.ROOT, Map.of(), Stream.concat(command, Stream.of(args)).toList());
    }

    /** How long a thread that could go on had to wait for a processor at worst, in ms, without the relay's doing. */
    static final class Noise implements AutoCloseable {
        private volatile long worst;
        private final Thread thread = Thread.ofPlatform().start(() -> {
            for (long start = System.nanoTime(); !Thread.currentThread().isInterrupted(); start = System.nanoTime()) {
                LockSupport.parkNanos(1_000_000);
                worst = Math.max(worst, (System.nanoTime() - start) / 1_000_000 - 1);
            }
        });

        @Override
        public void close() {
            thread.interrupt();
        }
    }

    /** Single attacks that a limit holds off, and clients who have died of what others do. */
    @Nested
    @Waits
    class Floods {
        /** It takes a millisecond to evict a connection, so the last in a line of 300 has that many to ask. */
        @Test
        void whoConnectsHasTimeToAskHoweverManyElseDo() throws Exception {
            var others = new ConcurrentLinkedDeque<Raw>();
            var over = new AtomicBoolean();
            try (var relay = relay(options -> options.maxHttpConnections = 300)) {
                var flood = Thread.ofPlatform().start(() -> {
                    while (!over.get())
                        try {
                            others.add(new Raw(relay.port()));
                            if (others.size() <= 350) continue;   // 50 of them are still to be accepted
                            try (var first = others.remove()) {
                                skipAll(first);   // until it is evicted
                            }
                        } catch (IOException noPort) {
                            LockSupport.parkNanos(10_000_000);
                        }
                });
                eventually(() -> others.size() > 340, "a flood");
                for (int i = 0; i < 5; i++) {
                    long came = System.nanoTime();
                    try (var raw = new Raw(relay.port())) {
                        Thread.sleep(200);
                        RelayTest.Limits.health(raw);
                    } catch (IOException evicted) {
                        long stayed = (System.nanoTime() - came) / 1_000_000;
                        assertTrue(stayed >= 290, () -> "evicted after " + stayed + " ms");
                    }
                }
                over.set(true);
                flood.join();
            } finally {
                over.set(true);
                for (Raw raw : others) raw.close();
            }
        }

        /** A hundred however small the heap is. */
        @Test
        void aRelayTakesNoMoreClientsThanItsHeapHasRoomFor() throws Exception {
            var clients = new ArrayList<Raw>();
            try (var relay = Program.local("-Xmx32m")) {
                for (int i = 0; i < 100; i++) clients.add(relay.open("/ws-relay/" + i));
                try (var raw = new Raw(relay.url().getPort()).open("/ws-relay")) {
                    assertTrue(raw.expectClose(1013).contains("(limit: 100"));
                }
            } finally {
                for (Raw client : clients) client.close();
            }
        }

        /** A long head takes 26 KB at most, so that a 16th of 32 MB has room for some 75. */
        @Test
        void aRelayReadsNoMoreLongRequestsAtOnceThanItsHeapHasRoomFor() throws Exception {
            var visitors = new ArrayList<Raw>();
            try (var relay = Program.local("-Xmx32m"); var client = relay.open(ROOM)) {
                for (int i = 0; i < 200; i++) visitors.add(relay.connect().send(Attacks.Attackers.LONG_HEAD));
                visitors.getFirst().expectEnd();
                visitors.add(relay.connect());
                assertEquals(200, RelayTest.Limits.health(visitors.getLast()));
                client.send(text("1 hello")).expect("1 hello");
                assertEquals(List.of(), relay.err);
            } finally {
                for (Raw visitor : visitors) visitor.close();
            }
        }

        /** Who waits until another takes a message does not read, and so does not find out that it is dead itself. */
        @Test
        void aDeadClientLeavesItsRoomAlthoughAnotherTakesNothingOfIt() throws Exception {
            try (var relay = relay(); var room = new Clients(relay, 3);
                    var pump = new Pump(room.get(1), Long.MAX_VALUE, number -> FILL_FOR_2)) {
                pump.awaitBlocked();
                room.get(1).socket.setSoLinger(true, 0);
                room.get(1).close();
                eventually(() -> {
                    try {
                        room.get(3).send(text("1 m")).send(text("3 m"));
                        return room.get(3).receive().text().equals("1 quit");
                    } catch (IOException e) {
                        throw new UncheckedIOException(e);
                    }
                }, "it is gone");
            }
        }

        /** Nor does it find out that it has been closed, here for being too far behind. */
        @Test
        void whoIsClosedWhileAnotherTakesNothingOfItMakesRoomForTheNext() throws Exception {
            try (var relay = relay(options -> {
                options.maxOutbox = 128 << 10;
                options.maxClients = 12;
                options.closeTimeout = 30_000;   // longer than we wait
            }); var room = new Clients(relay, 12);
                    var pump = new Pump(room.get(1), Long.MAX_VALUE, number -> FILL_FOR_2)) {
                pump.awaitBlocked();
                for (int id = 3; id <= 12; id++) room.get(id).send(text("1 " + FILL));
                Received next = room.get(1).receive();
                while (next.opcode() == 1) next = room.get(1).receive();
                assertEquals(1008, next.code());
                room.get(1).close();
                eventually(() -> {
                    try (var newcomer = Raw.open(relay, "/ws-relay")) {
                        return newcomer.receive().text().equals("1 self");
                    } catch (IOException e) {
                        throw new UncheckedIOException(e);
                    }
                }, "there is room again");
            }
        }

        /** One who answers no ping is cut off after two seconds, but not while it takes what it is sent. */
        @Test
        void whoTakesWhatItIsSentIsAliveThoughItNeverAnswers() throws Exception {
            byte[] message = text("* m " + "x".repeat(4_000));
            try (var relay = relay(options -> options.pingInterval = 1_000); var room = new Clients(relay, 2)) {
                Raw mute = room.get(2);
                long end = System.nanoTime() + 5_000_000_000L;
                while (System.nanoTime() < end) {
                    room.get(1).send(message);
                    while (mute.receive().opcode() != 1) { }   // a ping
                    LockSupport.parkNanos(4_000_000);
                }
                assertThrows(EOFException.class, () -> {
                    while (true) assertEquals(9, mute.receive().opcode());
                });
            }
        }

        /** Tens of thousands of small messages wait for each of four; once these have taken them, nothing stays. */
        @Test
        void whoWasFarBehindOnceCostsNoMoreThanOthers() throws Exception {
            byte[] messages = times(1_000, text("* m"));
            try (var relay = Program.local("-Xmx64m"); var one = relay.open(ROOM)) {
                var others = new ArrayList<Raw>();
                for (int id = 2; id <= 5; id++) {
                    others.add(lazy(new Raw(relay.url().getPort())).open(ROOM).expect(id + " self"));
                    one.expect(id + " join");
                }
                long before = 0, after = 0;
                for (int times : new int[] {1, 100}) {
                    for (int i = 0; i < times; i++) one.send(messages);
                    one.send(text("* over"));
                    for (Raw other : others) while (!other.receive().text().equals("1 over")) { }
                    before = after;
                    after = Holding.afterCollection(relay).heap();
                }
                assertTrue(after - before < 4 * 100, before + " kB became " + after);
                for (Raw other : others) other.close();
            }
        }
    }

    /** Many strangers at once, each at its worst: what they do to the relay that they share with others, nothing. */
    @Nested
    @Measures
    class Storms {
        @Test
        void whoPlaysNoticesNothingOfAStormOfStrangersAndItLeavesNothingBehind() throws Exception {
            try (var relay = smallRelay(Program.QUICK);
                    var games = new Benchmark.Crowd(GAMES).open(relay.url().getPort())) {
                games.send(Duration.ofMillis(500));
                var before = Holding.afterCollection(relay);
                var newcomers = new Newcomers(relay.url().getPort());
                var noise = new Noise();
                long worst = 0;
                try (newcomers; noise; var storm = storm(relay, STRENGTH)) {
                    storm.expectLine("it is on");
                    // a busy machine has but little of a storm
                    for (int i = 0; i < 2 || i < 32 && !hasNeededTheBudget(relay); i++) {
                        sendOrSay(games, relay);
                        worst = Math.max(worst, games.worst());
                    }
                    storm.signal("TERM");
                    storm.expectExit(143);
                }
                games.settle();
                assertEquals("ok", games.check());
                long innocent = 4 * noise.worst;   // from sender to receiver, a message waits four times
                assertTrue(worst < 1_000 + innocent, worst + " ms late");
                assertTrue(newcomers.waits.getLast() < 2_000 + innocent, newcomers::toString);
                assertTrue(newcomers.turnedAway.size() <= newcomers.waits.size() / 20, newcomers::toString);

                assertEquals(List.of(), relay.err);
                assertEquals(List.of(), relay.out.stream()
                        .filter(line -> line.matches("\\S+ error .*|.* 1011( .*)?")).toList());
                assertTrue(hasNeededTheBudget(relay), "the budget was not needed");
                eventually(() -> Holding.of(relay).descriptors <= before.descriptors, "all connections are closed");
                var after = Holding.afterCollection(relay);
                assertEquals(before.objects, after.objects);
                assertTrue(after.threads <= before.threads + 10 && after.heap <= before.heap + (4 << 10)
                        && after.resident <= before.resident + (96 << 10), () -> before + " became " + after);
            }
        }

        /** If somebody who plays is cut off, tells what the relay says of it. */
        private static void sendOrSay(Benchmark.Crowd games, Program relay) throws Exception {
            try {
                games.send(Duration.ofSeconds(1));
            } catch (UncheckedIOException cutOff) {
                Thread.sleep(1_000);   // for the log
                String strangers = ".*/ws-relay/(deaf|claim|fragments|pings|babble|mutants|visited|newcomer).*";
                fail(relay.out.stream().filter(line -> line.matches("\\S+ (quit|error) .*") && !line.matches(strangers))
                        .limit(20).collect(Collectors.joining("\n")), cutOff);
            }
        }

        private static boolean hasNeededTheBudget(Program relay) {
            return relay.out.stream().anyMatch(line -> line.contains(" 1006 the relay's memory is full"));
        }
    }

    /**
     * What one hostile computer can do within the limits to a relay with a heap of 64 MB, and to 50 well-behaved
     * clients in other rooms of it. These must lose nothing and never be more than a second late, /health must answer
     * within two, and once the attackers have left, the relay holds no more than before. Each attack prints a line.
     * `./build.sh test Attacks` runs small ones, one after the other on one relay; `./build.sh bench Attacks` those of
     * full size, each on a relay of its own.
     */
    @Nested
    @Measures
    @Timeout(120)
    @TestMethodOrder(MethodOrderer.OrderAnnotation.class)
    @SuppressWarnings("try")   // some sockets are closed within
    class Attacks {
        private static final long MS = 1_000_000;   // in ns

        /** Ten rooms of five clients. Each sends 20 messages a second to its room and checks what it hears. */
        static final class Bystanders implements AutoCloseable {
            private final Benchmark.Crowd crowd;
            private Noise noise;
            private Thread thread;
            private volatile long latest;             // the greatest lateness of a message, in ms
            private volatile boolean sending;
            private volatile Throwable failure;       // null: none has been cut off

            Bystanders(int port) throws IOException {
                crowd = new Benchmark.Crowd(new Benchmark.Scenario("", 10, 5, 5, false, 20)).open(port);
            }

            /** Sends from now on, and forgets what has been measured before. */
            void begin() {
                latest = 0;
                sending = true;
                noise = new Noise();
                thread = Thread.ofPlatform().name("bystanders").start(() -> {
                    try {
                        while (sending) {
                            crowd.send(Duration.ofMillis(200));
                            latest = Math.max(latest, crowd.worst());
                        }
                    } catch (IOException | RuntimeException | AssertionError e) {
                        failure = e;
                    }
                });
            }

            /** Sends no more, and gives what is under way ten seconds to arrive. @return what was wrong, or "ok" */
            String finish() throws InterruptedException {
                sending = false;
                thread.join();
                noise.close();
                return failure == null ? crowd.check() : crowd.check() + ", " + failure;
            }

            @Override
            public void close() throws IOException {
                sending = false;
                if (noise != null) noise.close();
                crowd.close();
            }
        }

        /** Asks for /health over and over, on a new connection each time. */
        static final class HealthCheck implements AutoCloseable {
            private volatile long longest;   // ms that an answer took; 5,000 or more if there was none
            private volatile boolean ended;
            private final Thread thread;

            HealthCheck(int port) {
                thread = Thread.ofPlatform().start(() -> {
                    for (; !ended; LockSupport.parkNanos(200 * MS)) {
                        long start = System.nanoTime();
                        try (var raw = new Raw(port)) {
                            raw.socket.setSoTimeout(5_000);
                            raw.send("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
                            if (!raw.head().startsWith("HTTP/1.1 200 ")) throw new IOException("not well");
                        } catch (IOException failure) {
                            longest = Math.max(longest, 5_000);
                        }
                        longest = Math.max(longest, since(start));
                    }
                });
            }

            @Override
            public void close() {
                ended = true;
                try {
                    thread.join();
                } catch (InterruptedException e) {
                    throw new AssertionError(e);
                }
            }
        }

        /**
         * The attackers: thousands of connections from one address, on one thread, in a process of its own that gets
         * the processors when the relay and the bystanders do not need them. It reads a line for each attack and prints
         * one when that has been set up. The next line that it reads ends the attack: it closes the connections and
         * prints what became of them.
         */
        static final class Attackers implements AutoCloseable {
            /** Thrown when the attack is to end, at whatever depth it is. */
            private static final class Ended extends IOException {
                private static final long serialVersionUID = 1;
            }

            interface Deed {
                void run(Attacker attacker) throws IOException;
            }

            private static final int AT_ONCE = 200;   // connections being opened, which leaves some backlog for others
            private static final byte[] PING = frame(true, 9, new byte[0]), PONG = frame(true, 10, new byte[0]);
            private static final byte[] PINGS = times(4_096, PING);
            private static final byte[] TALK = times(256, text("* m x"));

            /** Nearly all that may be sent before a request is complete. */
            static final byte[] LONG_HEAD = bytes("GET / HTTP/1.1\r\nA: " + "x".repeat(16_200));

            private final int port;
            private final Selector selector = Selector.open();
            private final String address;
            private final ByteBuffer in = ByteBuffer.allocateDirect(256 << 10);
            private final List<Attacker> all = new ArrayList<>();
            private final Queue<Attacker> comingAgain = new ArrayDeque<>();
            private final Map<String, Integer> outcomes = new ConcurrentSkipListMap<>();
            private boolean persistent;             // who is cut off comes again
            private boolean begun;                  // all have opened, and from now on each does its deed at once
            private int bufferSize;                 // of the sockets, in bytes; 0: as it is
            private int opening;                    // connections without an answer to their request
            private int pongs;
            private long lastOpened;                // when a connection opened, by System.nanoTime
            private long lastProgress;              // when one opened or a byte went either way

            Attackers(int port, String address) throws IOException {
                this.port = port;
                this.address = address;
            }

            /** @param args the relay's port. A line of the input is an attack, how many attackers, a number more */
            public static void main(String[] args) throws IOException {
                int port = Integer.parseInt(args[0]);
                var in = new BufferedReader(new InputStreamReader(System.in));
                // each attack has another address, as the system keeps used ports for a minute
                for (long next = ProcessHandle.current().pid(); ; next++) {
                    String line = in.readLine();
                    if (line == null) return;
                    try (var attackers = new Attackers(port, "127.0.0." + (2 + next % 200))) {
                        attackers.attack(line.split(" "));
                    }
                    in.readLine();
                }
            }

            /** Attacks until the input has a line more. */
            private void attack(String[] words) throws IOException {
                try {
                    attack(words[0], Integer.parseInt(words[1]), Integer.parseInt(words[2]));
                    System.out.println("the attack has been set up");
                    while (true) turn();
                } catch (Ended asTold) {
                    System.out.println(this);
                }
            }

            private void attack(String name, int count, int more) throws IOException {
                switch (name) {
                    case "crowd" -> {   // a tenth of them never reads; then more come at once
                        open(count, AT_ONCE, number -> "crowd", one -> one.reads = one.number % 10 != 0);
                        open(more, more, number -> "crowd", one -> {});
                    }
                    case "husks" -> {
                        bufferSize = 32 << 10;
                        for (int done = 0; done < count; done += 5) husks(5, done);
                    }
                    case "names" -> open(count, AT_ONCE, number -> "name" + number + "x".repeat(7_900), one -> {});
                    case "talkers" -> {   // in rooms of so many
                        persistent = true;
                        openThenAct(count, number -> "talkers" + number / more, one -> one.repeat(TALK));
                    }
                    case "heads" -> {
                        persistent = true;
                        String headers = "Host: localhost\r\n" + "a: b\r\n".repeat(98);
                        byte[] head = bytes("GET /health HTTP/1.1\r\n" + headers + "\r\n");
                        visit(count, one -> one.repeat(head));
                    }
                    case "beginnings" -> {   // so many bytes of a message of 1,000,000
                        byte[] beginning = Arrays.copyOf(frame(true, 1, new byte[1_000_000]), 14 + more);
                        persistent = true;
                        openThenAct(count, number -> "beginning" + number, one -> one.send(beginning));
                    }
                    case "messages" -> {     // one of so many bytes each, to an otherwise empty room, then a ping
                        byte[] message = concat(text("* m " + "x".repeat(more)), PING);
                        openThenAct(count, number -> "message" + number, one -> one.send(message));
                        while (pongs < count && System.nanoTime() - lastProgress < 1_000 * MS) turn();
                    }
                    case "waiting" -> {      // to the first one of their room of `more`, who does not read
                        byte[] fill = text("1 m " + "x".repeat(65_000)), next = text("1 m " + "x".repeat(1_000_000));
                        openThenAct(count, number -> "waiting" + number / more, one -> {
                            one.reads = false;
                            one.send(fill);
                        });
                        awaitRest();
                        for (Attacker one : List.copyOf(all)) {   // one by one, so that few are arriving at a time
                            one.send(next);
                            for (long start = System.nanoTime(); since(start) < 20; ) turn();
                        }
                    }
                    case "heap" -> {         // all at once: clients, `more` requests that are never complete, messages
                        byte[] message = Arrays.copyOf(frame(true, 1, new byte[1_000_000]), 900_000);
                        openThenAct(count, number -> "heap" + number / 10, one -> {
                            if (one.number % 150 == 0) one.send(message);
                        });
                        visit(more, one -> one.send(LONG_HEAD));
                    }
                    case "trickle" -> {      // a byte of a request now and then
                        persistent = true;
                        visit(count, one -> {});
                        System.out.println("the attack has been set up");
                        for (long next = System.nanoTime(); ; next += 100 * MS) {
                            for (Attacker one : List.copyOf(all)) one.send(bytes("G"));
                            while (System.nanoTime() < next) turn();
                        }
                    }
                    default -> throw new IllegalArgumentException(name);
                }
            }

            /** Floods with pings without reading the pongs until the relay makes them wait; then reads it all. */
            private void husks(int count, int from) throws IOException {
                var husks = new ArrayList<Attacker>();
                open(count, AT_ONCE, number -> "husk" + (from + number), one -> {
                    husks.add(one);
                    one.reads = false;
                    one.repeat(PINGS);
                });
                awaitRest();
                for (Attacker husk : husks) {
                    husk.repeated = null;
                    husk.reads = true;
                    husk.awaitEvents();
                }
                awaitRest();
            }

            private void awaitRest() throws IOException {
                lastProgress = System.nanoTime();
                while (System.nanoTime() - lastProgress < 150 * MS) turn();
            }

            /** WebSockets. Returns when all are open, or if none has opened for 30 s. */
            private void open(int count, int atOnce, IntFunction<String> room, Deed then) throws IOException {
                connect(count, atOnce, number -> bytes(Raw.upgrade("/ws-relay/" + room.apply(number))), then);
            }

            /** The same; what each does then, all do at once when all are open. */
            private void openThenAct(int count, IntFunction<String> room, Deed deed) throws IOException {
                open(count, AT_ONCE, room, one -> {
                    if (begun) deed.run(one);
                });
                begun = true;
                for (Attacker one : List.copyOf(all)) deed.run(one);
                lastProgress = System.nanoTime();
            }

            /** Connections without a request. */
            private void visit(int count, Deed then) throws IOException {
                connect(count, AT_ONCE, number -> new byte[0], then);
            }

            private void connect(int count, int atOnce, IntFunction<byte[]> request, Deed then) throws IOException {
                lastOpened = System.nanoTime();
                for (int next = 0; next < count || opening > 0; ) {
                    for (; next < count && opening < atOnce; next++) new Attacker(next, request.apply(next), then);
                    turn();
                    if (System.nanoTime() - lastOpened > 30_000 * MS) {
                        count("never answered", count - next + opening);
                        return;
                    }
                }
            }

            private void count(String outcome, int times) {
                outcomes.merge(outcome, times, Integer::sum);
            }

            @Override
            public String toString() {
                return outcomes + (pongs == 0 ? "" : ", pongs=" + pongs);
            }

            /** @throws Ended if the attack is to end */
            private void turn() throws IOException {
                if (System.in.available() > 0) throw new Ended();
                for (int i = 0; i < 20 && opening < AT_ONCE && !comingAgain.isEmpty(); i++) {
                    Attacker gone = comingAgain.poll();
                    new Attacker(gone.number, gone.request, gone.then);
                }
                selector.select(key -> ((Attacker) key.attachment()).attend(), 10);
            }

            @Override
            public void close() throws IOException {
                for (Attacker one : all) one.channel.close();
                selector.close();
            }

            private final class Attacker {
                final int number;
                final byte[] request;
                final Deed then;
                private final SocketChannel channel = SocketChannel.open();
                private final StringBuilder head = new StringBuilder();
                private final ByteBuffer header = ByteBuffer.allocate(10);   // of the frame that comes
                private ByteBuffer out;
                private byte[] repeated;        // sent again and again; null: nothing
                private boolean reads = true, open, over;
                private long toSkip;            // bytes of a payload
                private int closeCode;

                Attacker(int number, byte[] request, Deed then) throws IOException {
                    this.number = number;
                    this.request = request;
                    this.then = then;
                    out = ByteBuffer.wrap(request);
                    opening++;
                    all.add(this);
                    if (bufferSize > 0) channel.setOption(StandardSocketOptions.SO_RCVBUF, bufferSize)
                            .setOption(StandardSocketOptions.SO_SNDBUF, bufferSize);
                    channel.bind(new InetSocketAddress(address, 0));
                    channel.configureBlocking(false).register(selector, SelectionKey.OP_CONNECT, this);
                    channel.connect(new InetSocketAddress(InetAddress.getLoopbackAddress(), port));
                }

                void send(byte[] bytes) throws IOException {
                    if (over) return;
                    out = ByteBuffer.wrap(concat(Arrays.copyOfRange(out.array(), out.position(), out.limit()), bytes));
                    awaitEvents();
                }

                void repeat(byte[] bytes) {
                    repeated = bytes;
                    awaitEvents();
                }

                void attend() {
                    try {
                        SelectionKey key = channel.keyFor(selector);
                        if (key.isConnectable()) {
                            channel.finishConnect();
                            if (request.length == 0) opened();
                        }
                        if (key.isReadable()) read();
                        if (!over && key.isWritable()) write();
                        if (!over) awaitEvents();
                    } catch (IOException cutOff) {
                        end("cut off");
                    }
                }

                void awaitEvents() {
                    if (over || !channel.isConnected()) return;
                    boolean writes = out.hasRemaining() || open && repeated != null;
                    int read = reads ? SelectionKey.OP_READ : 0, write = writes ? SelectionKey.OP_WRITE : 0;
                    channel.keyFor(selector).interestOps(read | write);
                }

                private void opened() throws IOException {
                    opening--;
                    open = true;
                    lastProgress = lastOpened = System.nanoTime();
                    count("opened", 1);
                    then.run(this);
                }

                private void write() throws IOException {
                    if (!out.hasRemaining() && open && repeated != null) out = ByteBuffer.wrap(repeated);
                    if (channel.write(out) > 0) lastProgress = System.nanoTime();
                }

                private void read() throws IOException {
                    int count = channel.read(in.clear());
                    if (count > 0) lastProgress = System.nanoTime();
                    in.flip();
                    if (!open) readHead();
                    if (open && request.length > 0) skipFrames();
                    if (count < 0) end(closeCode == 0 ? "cut off" : "closed with " + closeCode);
                }

                private void readHead() throws IOException {
                    while (in.hasRemaining() && head.indexOf("\r\n\r\n") < 0) head.append((char) in.get());
                    if (head.indexOf("\r\n\r\n") < 0) return;
                    if (head.indexOf("HTTP/1.1 101 ") == 0) opened();
                    else end("refused with " + head.substring(9, 12));
                }

                /** Answers pings, counts pongs, notes the code of a close frame and skips all else. */
                private void skipFrames() throws IOException {
                    while (in.hasRemaining()) {
                        int skipped = (int) Math.min(toSkip, in.remaining());
                        in.position(in.position() + skipped);
                        toSkip -= skipped;
                        if (toSkip > 0 || !in.hasRemaining()) return;
                        header.put(in.get());
                        int opcode = header.get(0) & 15, length = header.position() < 2 ? 0 : header.get(1);
                        int needed = length == 127 ? 10 : length == 126 ? 4 : 2;
                        if (opcode == 8) needed += Math.min(length, 2);
                        if (header.position() < needed) continue;
                        toSkip = switch (length) {
                            case 127 -> header.getLong(2);
                            case 126 -> header.getShort(2) & 0xffff;
                            default -> length;
                        };
                        if (opcode == 8) {
                            toSkip = Math.max(0, toSkip - 2);
                            closeCode = length < 2 ? 1005 : header.getShort(2) & 0xffff;
                        }
                        if (opcode == 9) send(PONG);
                        if (opcode == 10) pongs++;
                        header.clear();
                    }
                }

                private void end(String outcome) {
                    if (over) return;
                    over = true;
                    if (!open) opening--;
                    lastOpened = System.nanoTime();
                    all.remove(this);
                    count(outcome, 1);
                    try {
                        channel.close();
                    } catch (IOException ignored) {
                        // it is over all the same
                    }
                    if (persistent) comingAgain.add(this);
                }
            }
        }

        @Retention(RetentionPolicy.RUNTIME)
        @Test
        @Tag("bench")
        @Timeout(600)
        @interface FullSizeTest {}

        interface Action {
            void run() throws Exception;
        }

        /** What is attacked: a relay, and the bystanders on it; and who attacks it. */
        static final class Target implements AutoCloseable {
            final Program relay, attackers;
            final int port;
            final Bystanders bystanders;
            final Holding before;   // what the relay held before the first attack
            private final Path log = Files.createTempFile("relay", ".log");

            Target() throws Exception {
                relay = Program.relay(List.of("bash", "-c", "exec \"$@\" > $LOG", "-"), Program.ROOT,
                        Map.of("LOG", log.toString()), "-Xmx64m -XX:+UseSerialGC", "0", "--host", "127.0.0.1",
                        "--no-stun");
                eventually(() -> !lines().isEmpty() || !relay.process.isAlive(), "a first line");
                assertFalse(lines().isEmpty(), () -> "it has ended: " + relay.err);
                port = URI.create(lines().getFirst()).getPort();
                attackers = inBackground(Attackers.class, port + "");
                bystanders = new Bystanders(port);
                bystanders.begin();
                Thread.sleep(500);   // the code that they need has been compiled
                bystanders.finish();
                before = Holding.afterCollection(relay);
            }

            private String log() throws IOException {
                return Files.readString(log, StandardCharsets.ISO_8859_1);
            }

            private List<String> lines() {
                try (var lines = Files.lines(log, StandardCharsets.ISO_8859_1)) {
                    return lines.limit(1).toList();
                } catch (IOException e) {
                    throw new UncheckedIOException(e);
                }
            }

            /** It ends when it is told to, and has not complained. */
            void end() throws Exception {
                try (this) {
                    bystanders.close();
                    relay.signal("TERM");
                    assertTrue(relay.process.waitFor(5, TimeUnit.SECONDS), "SIGTERM does not end it");
                    assertEquals(List.of(), relay.err);
                }
            }

            @Override
            public void close() throws IOException {
                bystanders.close();
                attackers.close();
                relay.close();
                Files.delete(log);
            }
        }

        private static Target target;   // null: the next test starts one

        @BeforeEach
        void start() throws Exception {
            if (target == null) target = new Target();
        }

        @AfterEach
        void endIfOfFullSize(TestInfo test) throws Exception {
            if (test.getTags().contains("bench")) end();
        }

        @AfterAll
        static void end() throws Exception {
            Target last = target;
            target = null;
            if (last != null) last.end();
        }

        /** An attack, and what it does to its target; at its end the verdict. */
        static final class Trial implements AutoCloseable {
            private static final long GROWTH = 4 << 10;      // kB of heap in use that may be added

            final List<String> faults = new ArrayList<>();   // what has been found, empty if the relay holds
            final Program relay = target.relay;
            final int port = target.port;
            final Holding before = target.before;
            private final String name;
            private final Bystanders bystanders = target.bystanders;
            private final StringBuilder remarks = new StringBuilder();
            private final HealthCheck health;
            private final Program attackers = target.attackers;
            private boolean attacked, attacking, passed;

            Trial(String name) {
                this.name = name;
                bystanders.begin();
                health = new HealthCheck(port);
            }

            /** Starts them. Returns when all is set up, or after so many seconds. */
            Trial attack(int atMost, String... what) throws Exception {
                int lines = attackers.out.size();
                long start = System.nanoTime(), end = start + atMost * 1_000 * MS;
                attacked = attacking = true;
                attackers.tell(String.join(" ", what));
                while (attackers.out.size() == lines && attackers.process.isAlive() && System.nanoTime() < end)
                    Thread.sleep(10);
                assertTrue(attackers.process.isAlive(), attackers.err::toString);
                remark("set up in %d ms", since(start));
                return this;
            }

            /** @return how the attackers fared */
            String endAttack() throws Exception {
                if (attacking) {
                    int lines = attackers.out.size();
                    attackers.tell("end");
                    eventually(() -> attackers.out.size() > lines && attackers.out.getLast().startsWith("{"),
                            "what became of the attackers");
                    attacking = false;
                }
                return attackers.out.getLast();
            }

            /** Something must hold; if not, the trial goes on all the same. */
            void check(boolean holds, String fault, Object... details) {
                if (!holds) faults.add(fault.formatted(details));
            }

            void remark(String remark, Object... details) {
                remarks.append("; ").append(remark.formatted(details));
            }

            /** Ends the attack, looks at what is left of it, and prints the line. */
            void verdict() throws Exception {
                health.close();
                if (attacked) remark("%s", endAttack());
                long left = System.nanoTime();
                while (!isBack() && System.nanoTime() - left < 10_000 * MS) Thread.sleep(10);
                check(isBack(), "descriptors or threads stay");
                remark("back after %d ms", (System.nanoTime() - left) / MS);
                String found = bystanders.finish();
                long late = bystanders.latest, ownDelay = bystanders.noise.worst;
                var after = heapWithin(before.heap() + GROWTH);
                System.out.printf("%-45s late %6d ms (we: %3d), %s, /health %d ms, heap %d -> %d kB,"
                        + " descriptors %d -> %d, threads %d -> %d%s%n", name, late, ownDelay, found,
                        health.longest, before.heap(), after.heap(), before.descriptors(), after.descriptors(),
                        before.threads(), after.threads(), remarks);
                check(late <= 1_000 + 4 * ownDelay, "%d ms late", late);   // a message waits for us four times
                check(found.equals("ok"), "%s", found);
                check(health.longest <= 2_000 + 4 * ownDelay, "/health took %d ms", health.longest);
                check(after.heap() <= before.heap() + GROWTH, "heap %d kB", after.heap());
                check(relay.err.isEmpty(), "%s", relay.err);
                check(!target.log().contains("OutOfMemoryError"), "memory ran out");
                assertEquals(List.of(), faults);
                passed = true;
            }

            /** Returns what the relay holds, as soon as that is at most so many kB of heap; after 10 s in any case. */
            private Holding heapWithin(long most) throws IOException {
                long start = System.nanoTime();
                Holding now = Holding.afterCollection(relay);
                while (now.heap() > most && System.nanoTime() - start < 10_000 * MS)
                    now = Holding.afterCollection(relay);
                return now;
            }

            private boolean isBack() {
                var now = Holding.of(relay);
                return now.descriptors() <= before.descriptors() + 5 && now.threads() <= before.threads() + 10;
            }

            /** A client from outside, in a room. @param receiveBuffer in bytes; 0: as it is */
            Raw join(String room, int receiveBuffer) throws IOException {
                var socket = new Socket();
                if (receiveBuffer > 0) socket.setReceiveBufferSize(receiveBuffer);
                socket.connect(new InetSocketAddress(InetAddress.getLoopbackAddress(), port));
                var raw = new Raw(socket).send(Raw.upgrade("/ws-relay/" + room));
                assertTrue(raw.head().startsWith("HTTP/1.1 101 "));
                while (!raw.receive().text().endsWith("self")) { }
                return raw;
            }

            /** After a failure the next one starts with another target. */
            @Override
            public void close() throws IOException {
                health.close();
                if (passed) return;
                target.close();
                target = null;
            }
        }

        private static void trial(String name, int atMost, int seconds, String... what) throws Exception {
            try (var trial = new Trial(name)) {
                trial.attack(atMost, what);
                Thread.sleep(1_000 * seconds);
                trial.verdict();
            }
        }

        /** So many in one room, a tenth of whom never read, and more who come at once: all get in or are told 1013. */
        private static void crowd(int atMost, int count, int more) throws Exception {
            String name = "1 a room of %,d".formatted(count) + (more == 0 ? "" : " and " + more + " more at once");
            try (var trial = new Trial(name)) {
                trial.attack(atMost, "crowd", count + "", more + "");
                Thread.sleep(500);
                String outcomes = trial.endAttack();
                int opened = number(outcomes, "opened="), refused = number(outcomes, "closed with 1013=");
                trial.check(opened == count + more, "%d of %d got an answer", opened, count + more);
                trial.check(number(outcomes, "cut off=") <= count / 10, "those who read are cut off: %s", outcomes);
                trial.check(count + more > 3_300 || refused == 0, "refused although there is room: %d", refused);
                trial.verdict();
            }
        }

        /** The number after these words; 0 if they are not there. */
        private static int number(String text, String words) {
            var found = Pattern.compile(Pattern.quote(words) + "(\\d+)").matcher(text);
            return found.find() ? Integer.parseInt(found.group(1)) : 0;
        }

        @Test
        void aCrowdInOneRoom() throws Exception {
            crowd(60, 700, 300);
        }

        @FullSizeTest
        void aCrowdOfAllClientsInOneRoom() throws Exception {
            crowd(300, 3_300, 0);
        }

        @FullSizeTest
        void aCrowdThatGrowsAllAtOnce() throws Exception {
            crowd(300, 2_500, 800);
        }

        @FullSizeTest
        void aCrowdOfMoreThanTheRelayTakes() throws Exception {
            crowd(400, 10_000, 0);
        }

        private static void husks(int count) throws Exception {
            try (var trial = new Trial("2 " + count + " husks")) {
                trial.attack(300, "husks", count + "", "0");
                trial.bystanders.finish();   // or what they have under way would count
                int allowed = 32 + 256 / count;   // kB; 256 come and go without any husk
                long most = trial.before.heap() + (long) allowed * count;   // once all have read what waited for them
                long each = (trial.heapWithin(most).heap() - trial.before.heap()) / count;
                trial.remark("%d kB each", each);
                trial.check(each <= allowed, "%d kB stay with each", each);
                trial.verdict();
            }
        }

        @Test
        @Order(1)   // while the relay holds nothing else that comes and goes
        void clientsThatWereFarBehindOnce() throws Exception {
            husks(5);
        }

        @FullSizeTest
        void manyClientsThatWereFarBehindOnce() throws Exception {
            husks(145);
        }

        @FullSizeTest
        void manyLongNamesOfRooms() throws Exception {
            trial("3 6,557 names of 7.9 KB", 300, 5, "names", "6557", "0");
        }

        @Test
        @Order(Integer.MAX_VALUE)   // when the relay's code has been compiled
        void talkersInRoomsOfTwenty() throws Exception {
            trial("4 600 talkers in rooms of twenty", 60, 1, "talkers", "600", "20");
        }

        @FullSizeTest
        void manyTalkersInRoomsOfTwenty() throws Exception {
            trial("4 1,000 talkers in rooms of twenty", 300, 20, "talkers", "1000", "20");
        }

        @FullSizeTest
        void talkersInOneRoom() throws Exception {
            trial("4 3,000 talkers in one room", 300, 20, "talkers", "3000", "3000");
        }

        @FullSizeTest
        void headsWithAHundredHeaders() throws Exception {
            trial("4 950 visitors send a hundred headers", 60, 20, "heads", "950", "0");
        }

        /**
         * Client 1 of a room takes 60 KB a second, and client 2 fills its outbox. Client 3 says something to all
         * 20 times a second and to 1 each second; client 4 hears 3.
         */
        private static void stuckPeer(int seconds) throws Exception {
            try (var trial = new Trial("5 one is slow, one fills its outbox, " + seconds + " s");
                    var slow = trial.join("stuck", 32 << 10); var filler = trial.join("stuck", 0);
                    var third = trial.join("stuck", 0); var listener = trial.join("stuck", 0)) {
                var latest = new AtomicLong();
                var heard = new AtomicInteger();
                start(() -> {
                    for (; ; Thread.sleep(100)) {
                        slow.in.skipNBytes(6 << 10);
                        slow.send(Attackers.PONG);   // it is alive
                    }
                });
                byte[] long_ = text("1 m " + "x".repeat(200 << 10));
                start(() -> {
                    while (true) filler.send(long_);
                });
                Thread.sleep(1_000);
                long start = System.nanoTime();
                int count = 20 * seconds;
                start(() -> {
                    for (int i = 0; i < count; i++) {
                        LockSupport.parkNanos(start + 50L * i * MS - System.nanoTime());
                        third.send(text("* m " + i));
                        if (i % 20 == 0) third.send(text("1 ping"));
                    }
                });
                start(() -> {
                    while (true) {
                        String[] words = message(listener);
                        latest.accumulateAndGet(since(start) - 50 * Long.parseLong(words[2]), Math::max);
                        heard.incrementAndGet();
                    }
                });
                Thread.sleep(1_000 * seconds);
                for (int i = 0; i < 1_000 && heard.get() < count; i++) Thread.sleep(10);
                if (heard.get() < count) latest.accumulateAndGet(since(start) - 50 * heard.get(), Math::max);
                String found = "a third is late %d ms, %d of %d arrived".formatted(latest.get(), heard.get(), count);
                trial.remark("%s", found);
                long allowed = 1_000 + 4 * trial.bystanders.noise.worst;
                trial.check(heard.get() == count && latest.get() <= allowed, "%s", found);
                for (Raw one : List.of(slow, filler, third, listener)) one.close();
                trial.verdict();
            }
        }

        /** @return how many ms ago that was, by System.nanoTime */
        private static long since(long start) {
            return (System.nanoTime() - start) / MS;
        }

        /** @return the words of the next message of type m: its sender's id, the type, and what was said */
        private static String[] message(Raw raw) throws IOException {
            while (true) {
                Received next = answeringPings(raw);
                if (next.opcode() == 8) throw new EOFException("closed with " + next.code() + " " + next.reason());
                String[] words = next.text().split(" ", 4);
                if (words[1].equals("m")) return words;
            }
        }

        /** On a thread of its own, until it fails, as it does when its socket is closed. */
        private static Thread start(Action action) {
            return Thread.ofPlatform().daemon().start(() -> {
                try {
                    action.run();
                } catch (Exception | AssertionError end) {
                    // then whoever waits for it will tell
                }
            });
        }

        @FullSizeTest
        void aPeerThatIsStuckMakesNobodyElseLate() throws Exception {
            stuckPeer(30);
        }

        /** So many clients send so many messages of 50 KB each to one, who takes 5 MB a second: all must arrive. */
        private static void transfer(String name, int senders, int messages) throws Exception {
            try (var trial = new Trial(name); var receiver = trial.join("transfer", 128 << 10)) {
                var heard = new int[senders];
                var sockets = new ArrayList<Raw>();
                for (int i = 0; i < senders; i++) {
                    var sender = trial.join("transfer", 0);
                    sockets.add(sender);
                    start(() -> {
                        for (int message = 0; message < messages; message++)
                            sender.send(text("1 m %06d ".formatted(message) + "x".repeat(50_000)));
                    });
                }
                long start = System.nanoTime(), interval = 10 * MS;
                int total = 0;
                String end = "";
                try {
                    while (total < senders * messages) {
                        LockSupport.parkNanos(start + total * interval - System.nanoTime());
                        String[] words = message(receiver);
                        int sender = Integer.parseInt(words[0]) - 2;
                        assertEquals(heard[sender]++, Integer.parseInt(words[2]), () -> "from sender " + sender);
                        total++;
                    }
                } catch (IOException | RuntimeException | AssertionError e) {
                    end = " until " + e;
                }
                String found = "%d of %d messages arrived%s".formatted(total, senders * messages, end);
                trial.remark("%s in %d ms", found, since(start));
                trial.check(total == senders * messages, "%s", found);
                for (Raw one : sockets) one.close();
                receiver.close();
                trial.verdict();
            }
        }

        @FullSizeTest
        void fiftyMegabytesFromOneToOneArriveWhole() throws Exception {
            transfer("5 fifty MB to one at 5 MB/s", 1, 1_000);
        }

        @FullSizeTest
        void manySendToOneWhoIsSlow() throws Exception {
            transfer("5 twenty send 5 MB each to one at 5 MB/s", 20, 100);
        }

        /** Two clients send messages of 900 KB, each of which takes a second, while attackers begin long messages. */
        private static void honest(String name, int seconds, String... what) throws Exception {
            try (var trial = new Trial(name); var first = new Honest(trial, 1); var second = new Honest(trial, 2)) {
                long start = System.nanoTime();
                trial.attack(60, what);
                Thread.sleep(1_000 * seconds);
                for (Honest pair : List.of(first, second)) {
                    String found = pair.finish();
                    trial.remark("%s in %d ms", found, since(start));
                    trial.check(pair.cutOff == null && pair.heard.get() == pair.sent.get(), "%s", found);
                    trial.check(pair.heard.get() >= since(start) / 5_000, "the honest can hardly go on: %s", found);
                }
                first.close();
                second.close();
                trial.verdict();
            }
        }

        /** A client who sends messages of 900 KB, a megabyte a second, until told to finish; and one who hears them. */
        private static final class Honest implements AutoCloseable {
            private static final int PIECE = 30_000;   // bytes that the sender's line takes at once

            final AtomicInteger sent = new AtomicInteger(), heard = new AtomicInteger();
            volatile IOException cutOff;   // null: neither of them has been
            private volatile boolean finishing;
            private final Raw receiver, sender;
            private final Thread sending;

            Honest(Trial trial, int number) throws IOException {
                receiver = trial.join("honest" + number, 0);
                sender = trial.join("honest" + number, 0);
                byte[] message = text("1 m " + "x".repeat(900_000));
                sending = Attacks.start(() -> {
                    while (!finishing)
                        try {
                            for (int at = 0; at < message.length; at += PIECE, Thread.sleep(30))
                                sender.send(Arrays.copyOfRange(message, at, Math.min(at + PIECE, message.length)));
                            sent.incrementAndGet();
                        } catch (IOException e) {
                            cutOff = e;
                            return;
                        }
                });
                Attacks.start(() -> {
                    while (true)
                        try {
                            message(receiver);
                            heard.incrementAndGet();
                        } catch (IOException e) {
                            cutOff = e;
                            return;
                        }
                });
            }

            /** Sends no more, and gives what is under way ten seconds. @return how it went */
            String finish() throws InterruptedException {
                finishing = true;
                sending.join(10_000);
                for (int i = 0; i < 1_000 && cutOff == null && heard.get() < sent.get(); i++) Thread.sleep(10);
                return "%d of %d messages of 900 KB arrived%s".formatted(heard.get(), sent.get(),
                        cutOff == null ? "" : ", then cut off: " + cutOff);
            }

            @Override
            public void close() throws IOException {
                receiver.close();
                sender.close();
            }
        }

        @Test
        void theHonestAreNotBlamedForTheBeginningsOfOthers() throws Exception {
            honest("6 1,100 send 15 KB of a message", 0, "beginnings", "1100", "15000");
        }

        @FullSizeTest
        void theHonestAreNotBlamedForTheBeginningsOfOthersForLong() throws Exception {
            honest("6 1,100 send a byte of a message, 30 s", 30, "beginnings", "1100", "1");
        }

        @FullSizeTest
        void theHonestAreNotBlamedForWhatOthersHold() throws Exception {
            honest("6 1,100 send 15 KB of a message, 30 s", 30, "beginnings", "1100", "15000");
        }

        /** Each client sends one message of 60 KB to an empty room, then a ping: nearly all must get their pong. */
        private static void messages(int count) throws Exception {
            try (var trial = new Trial("6 %,d send a message of 60 KB each".formatted(count))) {
                trial.attack(300, "messages", count + "", "60000");
                int served = number(trial.endAttack(), "pongs=");
                trial.check(served >= count - count / 100, "%d of %d were served", served, count);
                trial.verdict();
            }
        }

        @Test
        void manyMessagesAtOnce() throws Exception {
            messages(1_000);
        }

        @FullSizeTest
        void aMessageFromEachOfThousands() throws Exception {
            messages(3_300);
        }

        /** What they have sent waits for a receiver that does not read: all of it is held, and so has to be counted. */
        @Test
        void messagesThatWaitForOneWhoDoesNotRead() throws Exception {
            trial("- 60 wait with 1 MB for one of twenty", 60, 0, "waiting", "60", "20");
        }

        @FullSizeTest
        void allThatTakesHeapAtOnce() throws Exception {
            trial("- 3,300 clients, 1,000 heads, 22 x 1 MB", 60, 12, "heap", "3300", "1000");
        }

        /** Ten newcomers a second, who take 150 ms to ask, while visitors send a byte of a request now and then. */
        private static void newcomers(int visitors, int seconds) throws Exception {
            try (var trial = new Trial("- %,d visitors trickle, newcomers take 150 ms".formatted(visitors))) {
                trial.attack(60, "trickle", visitors + "", "0");
                var turnedAway = new ConcurrentLinkedQueue<String>();
                var longest = new AtomicLong();
                var threads = new ArrayList<Thread>();
                for (int i = 0; i < 10 * seconds; i++) {
                    threads.add(Thread.startVirtualThread(() -> {
                        try (var raw = new Raw(trial.port)) {
                            Thread.sleep(150);
                            long asked = System.nanoTime();
                            raw.send(Raw.upgrade("/ws-relay/newcomer" + raw.socket.getLocalPort())).head();
                            raw.expect("1 self");
                            longest.accumulateAndGet((System.nanoTime() - asked) / MS, Math::max);
                        } catch (IOException | InterruptedException e) {
                            turnedAway.add(e + "");
                        }
                    }));
                    Thread.sleep(100);
                }
                for (Thread thread : threads) thread.join();
                trial.remark("%d of %d newcomers turned away, others wait up to %d ms", turnedAway.size(),
                        threads.size(), longest.get());
                trial.check(turnedAway.isEmpty(), "%d newcomers turned away: %s", turnedAway.size(), turnedAway.peek());
                trial.check(longest.get() < 2_000, "a newcomer waits %d ms", longest.get());
                trial.verdict();
            }
        }

        @Test
        void newcomersWhoTakeTheirTimeToAsk() throws Exception {
            newcomers(1_050, 1);
        }

        @FullSizeTest
        void newcomersWhoTakeTheirTimeToAskForLong() throws Exception {
            newcomers(950, 30);
        }

        /** A client that has sent a lot to one who is slow dies without a word; the others of its room soon hear so. */
        @Test
        void whatADeadClientHasSentIsNotRelayedForLong() throws Exception {
            try (var trial = new Trial("- a client dies after a flood"); var slow = trial.join("dead", 32 << 10);
                    var flooder = trial.join("dead", 0); var listener = trial.join("dead", 0)) {
                start(() -> {
                    for (; ; Thread.sleep(100)) {
                        slow.in.skipNBytes(4 << 10);
                        slow.send(Attackers.PONG);   // it is alive
                    }
                });
                var pump = new Pump(flooder, Long.MAX_VALUE, number -> text("1 m " + "x".repeat(20_000)));
                var quit = new CompletableFuture<Long>();
                start(() -> {
                    while (!answeringPings(listener).text().equals("2 quit")) { }
                    quit.complete(System.nanoTime());
                });
                start(() -> {
                    for (; ; Thread.sleep(50)) listener.send(text("* m of which one will find that 2 is dead"));
                });
                pump.awaitBlocked();
                flooder.socket.setSoLinger(true, 0);
                flooder.close();
                long died = System.nanoTime(), took = 20_000;
                try {
                    took = (quit.get(took, TimeUnit.MILLISECONDS) - died) / MS;
                } catch (TimeoutException never) {
                    // that is what it took at least
                }
                trial.remark("quit after %d ms, %d KB sent", took, 20 * pump.sent.get());
                trial.check(took <= 2_000, "still in its room after %d ms", took);
                slow.close();
                listener.close();
                trial.verdict();
            }
        }
    }
}
