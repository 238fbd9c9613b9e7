// SPDX-License-Identifier: MIT
/*
 * What the relay delivers on this machine, and what a game costs: `./build.sh bench` measures it, no test depends on
 * it.
 */

import static org.junit.jupiter.api.Assertions.*;

import java.io.*;
import java.lang.management.ManagementFactory;
import java.net.*;
import java.nio.ByteBuffer;
import java.nio.channels.*;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.function.*;
import java.util.regex.Pattern;
import java.util.stream.*;
import org.junit.jupiter.api.*;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

@Timeout(60)
class Benchmark {
    /**
     * Rooms of some size, so many in each who send, to all or each to its neighbour; at a rate, or 0: as fast as it
     * goes.
     */
    record Scenario(String name, int rooms, int size, int senders, boolean inPairs, int perSecond) {
        /** To all, as fast as it goes. */
        Scenario(String name, int rooms, int size, int senders) {
            this(name, rooms, size, senders, false, 0);
        }

        int allSenders() {
            return rooms * senders;
        }

        /** From one message to the next, whoever sends them, in ns. */
        long interval() {
            return 1_000_000_000L / perSecond / allSenders();
        }
    }

    /** What one client has heard from another, who numbers its messages: it should be 0, 1, 2 and so on, each once. */
    static final class History {
        private final Set<Integer> gaps = new HashSet<>();
        private int next, duplicated, reordered;

        /** @return whether it is new */
        boolean add(int number) {
            if (number < next && !gaps.remove(number)) {
                duplicated++;
                return false;
            }
            if (number < next) reordered++;
            for (; next < number; next++) gaps.add(next);
            next = Math.max(next, number + 1);
            return true;
        }

        void report(int sent, ObjIntConsumer<String> faults) {
            faults.accept("lost", gaps.size() + sent - next);
            faults.accept("duplicated", duplicated);
            faults.accept("reordered", reordered);
        }
    }

    /**
     * The clients of a scenario, all on the caller's thread and as lean as can be: a generator that is slower than the
     * relay measures itself. Their messages say whose they are and end with their number; whoever gets one checks it.
     * Without a rate, each sender keeps four under way: as soon as the first has arrived everywhere, it sends another.
     */
    static final class Crowd implements AutoCloseable {
        private static final int LENGTH = 400, DIGITS = 8;             // of a message; of the number at its end
        // ns; so long before a message is due we are awake
        private static final int EARLY = 100_000;

        private final Scenario scenario;
        // of the rooms: nobody has been there before
        private final String paths = RelayTest.ROOM + "?" + UUID.randomUUID() + "-";
        // by id, so that neighbours are in different rooms
        private final List<Client> clients = new ArrayList<>();
        private final Selector selector = Selector.open();
        private final ByteBuffer in = ByteBuffer.allocateDirect(256 << 10), out = ByteBuffer.allocateDirect(16 << 10);
        private final ArrayDeque<Client> ready = new ArrayDeque<>();   // perhaps they may send
        private final Map<String, Integer> faults = new TreeMap<>();
        private final int[] latencies = new int[1_000_000];            // how many took so many µs; the last: or more
        private long delivered, worst;                                 // worst: the greatest latency in ns
        private long due;                                              // when the next message is, by System.nanoTime
        private int turn;                                              // whose it is
        private boolean soon;                                          // it is due so soon that we must not sleep

        Crowd(Scenario scenario) throws IOException {
            this.scenario = scenario;
            var rooms = new Client[scenario.rooms][scenario.size];
            for (int id = 1; id <= scenario.size; id++)
                for (int room = 0; room < scenario.rooms; room++) clients.add(rooms[room][id - 1] =
                        new Client(rooms[room], room, id));
        }

        /** Returns when all have joined and know of each other. */
        Crowd open(int port) throws IOException {
            for (Client client : clients) client.open(port);
            run(Duration.ofSeconds(30), () -> clients.stream().allMatch(Client::knowsAll), () -> {});
            ready.addAll(clients.subList(0, scenario.allSenders()));
            return this;
        }

        /** Sends for so long, and returns when it all has arrived, or we have waited for 10 s. This is counted. */
        void send(Duration time) throws IOException {
            Arrays.fill(latencies, 0);
            delivered = worst = 0;
            long start = due = System.nanoTime();
            if (scenario.perSecond > 0) Thread.ofPlatform().daemon().start(() -> wake(start, start + time.toNanos()));
            run(time, () -> false, scenario.perSecond > 0 ? this::sendWhatIsDue : this::sendWhatMayGo);
            soon = false;
            // or it would lie unread till the next time
            run(Duration.ofSeconds(10), () -> clients.stream().allMatch(Client::isDone), () -> {});
        }

        /** Waits a moment for what should not come. */
        void settle() throws IOException {
            run(Duration.ofMillis(100), () -> false, () -> {});
        }

        /** What was wrong, or "ok". */
        String check() {
            fault("not told of all", (int) clients.stream().filter(client -> !client.knowsAll()).count());
            for (Client receiver : clients)
                for (Client sender : receiver.room)
                    if (sender.reaches(receiver)) receiver.heard[sender.id - 1].report(sender.sent, this::fault);
            return faults.isEmpty() ? "ok" : faults.entrySet().stream()
                    .map(fault -> fault.getValue() + " " + fault.getKey())
                    .collect(Collectors.joining(", "));
        }

        private void fault(String what, int times) {
            if (times != 0) faults.merge(what, times, Integer::sum);
        }

        /** The µs in which that share of what was counted arrived. */
        int latency(double share) {
            int us = 0;
            for (long rest = (long) (share * delivered) - latencies[0]; rest >= 0 && us < latencies.length - 1;
                    rest -= latencies[us]) us++;
            return us;
        }

        /** The ms in which all of what was counted arrived. */
        long worst() {
            return worst / 1_000_000;
        }

        private void run(Duration atMost, BooleanSupplier done, Runnable send) throws IOException {
            for (long end = System.nanoTime() + atMost.toNanos(); System.nanoTime() < end && !done.getAsBoolean(); ) {
                send.run();
                if (soon) selector.selectNow(this::receive);
                else selector.select(this::receive, 10);
            }
        }

        private void sendWhatMayGo() {
            for (Client client = ready.poll(); client != null; client = ready.poll()) {
                for (long now = System.nanoTime(); client.mayGo(); ) client.next(now);
                flush(client);
            }
        }

        private void sendWhatIsDue() {
            for (; due <= System.nanoTime(); due += scenario.interval()) {
                Client client = clients.get(turn++ % scenario.allSenders());
                assertTrue(client.mayGo(), "the relay holds up hundreds of messages");
                client.next(due);
                flush(client);
            }
            soon = due - System.nanoTime() < EARLY;
        }

        /** Ends each wait before a message is due, for select() counts in milliseconds. On a thread of its own. */
        private void wake(long from, long until) {
            for (long next = from; next < until && selector.isOpen(); next += scenario.interval()) {
                LockSupport.parkNanos(next - EARLY - System.nanoTime());
                selector.wakeup();
            }
        }

        private void flush(Client client) {
            try {
                client.channel.write(out.flip());
                assertFalse(out.hasRemaining(), "the relay does not read");   // so little is under way
                out.clear();
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }

        private void receive(SelectionKey key) {
            var client = (Client) key.attachment();
            try {
                in.clear().put(client.rest);
                if (client.channel.read(in) < 0) throw new EOFException("the relay has cut off a client");
                in.flip();
                takeAll(client);
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }

        private void takeAll(Client client) {
            for (long now = System.nanoTime(); takeFrame(client, now); );
            client.rest = new byte[in.remaining()];
            in.get(client.rest);
        }

        /** @return whether a whole frame was there */
        private boolean takeFrame(Client client, long now) {
            int start = in.position(), limit = in.limit(), header = 2;
            if (limit - start < header) return false;
            int length = in.get(start + 1);
            if (length == 126 && limit - start >= 4) {
                length = in.getShort(start + header);
                header = 4;
            }
            int end = start + header + length;
            if (end > limit) return false;
            in.limit(end).position(start + header);
            switch (in.get(start) & 0xff) {
                case 0x81 -> client.hear(in, now);
                case 0x89 -> client.pong();
                default -> fail("expected a text or a ping, got a frame 0x"
                        + Integer.toHexString(in.get(start) & 0xff));
            }
            in.limit(limit).position(end);
            return true;
        }

        @Override
        public void close() throws IOException {
            for (Client client : clients) if (client.channel != null) client.channel.close();
            selector.close();
        }

        /** Says when it may, and checks what it hears. */
        final class Client {
            private final int id;
            private final Client[] room;            // by id - 1
            private final String path;
            private final int target;               // 0: all others
            private final ByteBuffer words;         // what stands in all its messages between target and number
            private final byte[] frame;             // of its last message
            private final long[] dueAt;             // its messages that are under way: when each was due,
            private final int[] missing;            // how many have not got it yet; by number, in a ring
            private final History[] heard;          // from whom, by id - 1
            private SocketChannel channel;
            private byte[] rest = {};               // the beginning of a frame
            private int known;                      // clients of this room, with itself
            private int sent;

            private Client(Client[] room, int number, int id) {
                this.room = room;
                this.id = id;
                path = paths + number;
                target = scenario.inPairs ? (id - 1 ^ 1) + 1 : 0;
                String to = target == 0 ? "* " : target + " ", from = "from " + id + " in " + path + " ";
                String text = from + "x".repeat(LENGTH - DIGITS - to.length() - from.length());
                words = ByteBuffer.wrap(RelayTest.bytes(text));
                frame = RelayTest.text(to + text + "0".repeat(DIGITS));
                dueAt = new long[scenario.perSecond > 0 ? 256 : 4];
                missing = new int[dueAt.length];
                heard = Stream.generate(History::new).limit(room.length).toArray(History[]::new);
            }

            private void open(int port) throws IOException {
                channel = SocketChannel.open(new InetSocketAddress(InetAddress.getLoopbackAddress(), port));
                channel.setOption(StandardSocketOptions.TCP_NODELAY, true);
                channel.write(ByteBuffer.wrap(RelayTest.bytes(RelayTest.Raw.upgrade(path))));
                in.clear();
                String answer = "";
                for (; !answer.contains("\r\n\r\n"); answer =
                        StandardCharsets.ISO_8859_1.decode(in.duplicate().flip()).toString())
                    if (channel.read(in) < 0) throw new EOFException("no upgrade: " + answer);
                assertTrue(answer.startsWith("HTTP/1.1 101 "), answer);
                in.flip().position(answer.indexOf("\r\n\r\n") + 4);
                takeAll(this);   // what has come with it
                channel.configureBlocking(false).register(selector, SelectionKey.OP_READ, this);
            }

            private boolean knowsAll() {
                return known == room.length;
            }

            private boolean reaches(Client other) {
                return target == 0 ? other != this : other.id == target;
            }

            private boolean mayGo() {
                return missing[sent % missing.length] == 0;
            }

            private boolean isDone() {
                return Arrays.stream(missing).allMatch(receivers -> receivers == 0);
            }

            /**
             * Puts its next message into the buffer: the frame of the last one with another number, under the same
             * mask.
             */
            private void next(long due) {
                dueAt[sent % dueAt.length] = due;
                missing[sent % missing.length] = target == 0 ? room.length - 1 : 1;
                for (int at = frame.length - 1, rest = sent++; at >= frame.length - DIGITS; at--, rest /= 10)
                    // the header has 8 bytes, the last 4 are the mask
                    frame[at] = (byte) ('0' + rest % 10 ^ frame[4 + at % 4]);
                out.put(frame);
            }

            private void hear(ByteBuffer text, long now) {
                if (!knowsAll()) {
                    learn(text);
                    return;
                }
                int from = 0;
                for (int c; text.hasRemaining() && (c = text.get()) != ' '; ) from = 10 * from + c - '0';
                Client sender = from > 0 && from <= room.length ? room[from - 1] : null;
                int number = sender == null ? -1 : sender.recognize(text);
                if (number < 0) fault("altered", 1);
                else if (!sender.reaches(this)) fault("misdirected", 1);
                else if (heard[sender.id - 1].add(number)) sender.arrived(number, now);
            }

            /** First it hears of itself, then of those before it, then of those after it. */
            private void learn(ByteBuffer text) {
                String expected = known == 0 ? id + " self" : (known < id ? known : known + 1) + " join";
                if (!text.equals(ByteBuffer.wrap(RelayTest.bytes(expected)))) fault("not told '" + expected + "'", 1);
                known++;
            }

            /** @return the number, or -1 if this client has said no such thing */
            private int recognize(ByteBuffer text) {
                int end = text.limit(), number = 0;
                if (text.remaining() != words.remaining() + DIGITS
                        || !text.limit(end - DIGITS).equals(words)) return -1;
                for (text.limit(end).position(end - DIGITS); text.hasRemaining(); ) number = 10 * number
                        + text.get() - '0';
                return number < sent ? number : -1;
            }

            private void arrived(int number, long now) {
                int slot = number % missing.length;
                latencies[(int) Math.min((now - dueAt[slot]) / 1_000, latencies.length - 1)]++;
                worst = Math.max(worst, now - dueAt[slot]);
                delivered++;
                if (--missing[slot] == 0 && scenario.perSecond == 0) ready.add(this);
            }

            private void pong() {
                out.put(RelayTest.frame(true, 10, new byte[0]));
                flush(this);
            }
        }
    }

    /** The benchmark finds what it looks for: client 1 of two sends four messages, and 2 hears something else. */
    @Nested
    class BenchmarkCheck {
        @ParameterizedTest(name = "{0}: {1}")
        @CsvSource({"0 1 2 3, ok", "0 2 3, 1 lost", "1 2 3, 1 lost", "0 1 2, 1 lost", "0 1 1 2 3, 1 duplicated",
                "0 1 2 3 0, 1 duplicated", "0 2 1 3, 1 reordered", "3 0 1 2, 3 reordered",
                "1 0 0, '1 duplicated, 2 lost, 1 reordered'", "0 1 2 3 4, 1 altered"})
        void eachMessageMustComeOnceAndInOrder(String numbers, String found) throws IOException {
            assertEquals(found, check(List.of("2 self", "1 join"), numbers, text -> text));
        }

        @ParameterizedTest(name = "''{0}'' -> ''{1}''")
        @CsvSource({"1 from, 2 from", "1 from, 3 from", "1 from, from", "from 1, from 2", "-0, -1", "xx, xy", "x0, 0"})
        void eachMessageMustBeItsSendersOwn(String words, String others) throws IOException {
            assertEquals("4 altered, 4 lost", check(List.of("2 self", "1 join"), "0 1 2 3", text ->
                    text.replaceFirst(words, others)));
        }

        @Test
        void eachClientMustBeToldItsIdAndWhoIsThere() throws IOException {
            assertEquals("1 not told '2 self'", check(List.of("1 self", "1 join"), "0 1 2 3", text -> text));
            assertEquals("1 not told '1 join'", check(List.of("2 self", "1 quit"), "0 1 2 3", text -> text));
            assertEquals("4 lost, 1 not told of all", check(List.of(), "", text -> "2 self"));
        }

        @Test
        void nothingIsUnderWayBetweenTwoMeasurements() throws IOException {
            try (var relay = RelayTest.relay(); var crowd = new Crowd(new Scenario("", 1, 2, 2)).open(relay.port())) {
                crowd.send(Duration.ofMillis(50));
                assertTrue(crowd.clients.stream().allMatch(Crowd.Client::isDone));
            }
        }

        private static String check(List<String> greeting, String numbers,
                UnaryOperator<String> change) throws IOException {
            try (var crowd = new Crowd(new Scenario("", 1, 2, 0))) {
                var sender = crowd.clients.getFirst();
                var receiver = crowd.clients.getLast();
                for (String text : List.of("1 self", "2 join")) sender.hear(ByteBuffer.wrap(RelayTest.bytes(text)), 0);
                for (String text : greeting) receiver.hear(ByteBuffer.wrap(RelayTest.bytes(text)), 0);
                for (int i = 0; i < 4; i++) sender.next(0);
                String words = StandardCharsets.US_ASCII.decode(sender.words.duplicate()).toString();
                for (String number : numbers.split(" "))
                    receiver.hear(ByteBuffer.wrap(RelayTest.bytes(change.apply("1 " + words + "0000000" + number))), 0);
                return crowd.check();
            }
        }
    }

    /** What the relay delivers on this machine, and what that costs; `./build.sh bench` prints it in a minute. */
    @Nested
    @Tag("bench")
    class Load {
        private static final Duration WARM_UP = Duration.ofSeconds(4), MEASURED = Duration.ofSeconds(5);
        private static final List<Scenario> SCENARIOS = List.of(
                new Scenario("100 rooms of 2, saturated", 100, 2, 2),
                new Scenario("20 rooms of 10, saturated", 20, 10, 10),
                new Scenario("a room of 100, saturated by 5", 1, 100, 5),
                new Scenario("a room of 100, saturated in pairs", 1, 100, 100, true, 0),
                new Scenario("20 rooms of 10, each 20 a second", 20, 10, 10, false, 20));
        private static final Scenario IDLE = new Scenario("300 rooms of 10, idle", 300, 10, 0);

        private final int count = Runtime.getRuntime().availableProcessors();
        private final String me = ProcessHandle.current().pid() + "",
                processors = taskset("-p", me).replaceFirst("(?s).*: ", "").strip();
        private final List<String> server = new ArrayList<>(List.of(RelayTest.Program.JAVA, "-cp",
                RelayTest.Program.CLASSES, "Relay", "0", "--host", "127.0.0.1", "--quiet", "--no-stun"));
        private final List<String> faults = new ArrayList<>();

        /** With taskset and two processors or more, the server gets the first one, and we the last. */
        @BeforeEach
        void pin() {
            var several = Pattern.compile("(\\d+)[-,](?:.*[-,])?(\\d+)").matcher(processors);
            if (!several.matches()) return;
            server.addAll(0, List.of("taskset", "-c", several.group(1)));
            taskset("-a", "-p", several.group(2), me);
        }

        @AfterEach
        void unpin() {
            taskset("-a", "-p", processors, me);
        }

        /** @return what it prints, "" if there is no such program */
        private static String taskset(String... args) {
            try {
                var process = new ProcessBuilder(Stream.concat(Stream.of("taskset", "-c"),
                        Stream.of(args)).toList()).start();
                return new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            } catch (IOException none) {
                return "";
            }
        }

        @Test
        @Timeout(300)
        void ofRoomsOfAllSizes() throws IOException {
            System.out.printf("%nRelay on %s, processors: %d, %s %s, JDK %s of %s%n%s%n%n",
                    proc("cpuinfo", "model name|Model").orElse("an unknown CPU"), count, System.getProperty("os.name"),
                    System.getProperty("os.version"), Runtime.version(), System.getProperty("java.vendor"),
                    String.join(" ", server));
            System.out.printf("%-33s  deliveries/s  CPU us each  per CPU s  p50 us  p99 us  server  generator  check%n",
                    "scenario");
            try (var relay = start()) {
                for (Scenario scenario : SCENARIOS) measure(relay, scenario);
            }
            measureIdle();
            System.out.printf(
                    "%nServer and generator: %% of a processor; below 100 for both, they waited for one another or for "
                    + "other programs. They share%n"
                    + "the machine; no network, no TLS. Saturated: 4 messages of 400 bytes under way from each sender, "
                    + "whose queue is the latency;%n"
                    + "at a rate, latency counts from when a message was due. Resident memory: with garbage of "
                    + "joining.%n%n");
            assertEquals(List.of(), faults);
        }

        private RelayTest.Program start() throws IOException {
            return new RelayTest.Program(RelayTest.Program.ROOT, Map.of(), server);
        }

        private void measure(RelayTest.Program relay, Scenario scenario) throws IOException {
            try (var crowd = new Crowd(scenario).open(relay.url().getPort())) {
                crowd.send(WARM_UP);
                var before = Usage.of(relay);
                crowd.send(MEASURED);
                var used = Usage.of(relay).since(before);
                crowd.settle();
                boolean generatorIsSlower = used.generator > 0.9 * used.time && used.server < 0.9 * used.time;
                System.out.printf("%-33s  %12.0f  %11.2f  %9.0f  %6d  %6d  %5.0f%%  %8.0f%%  %s%s%n", scenario.name,
                        crowd.delivered / used.time, 1e6 * used.server / crowd.delivered, crowd.delivered / used.server,
                        crowd.latency(0.5), crowd.latency(0.99), 100 * used.server / used.time,
                        100 * used.generator / used.time, judge(scenario, crowd), generatorIsSlower
                        ? "; the generator was the limit" : "");
            }
        }

        /** In a new process, where only some clients have been before, for the code that they need. */
        private void measureIdle() throws IOException {
            try (var relay = start()) {
                new Crowd(new Scenario("", 30, 10, 0)).open(relay.url().getPort()).close();
                var before = resident(relay);
                try (var crowd = new Crowd(IDLE).open(relay.url().getPort())) {
                    crowd.send(Duration.ofSeconds(2));
                    String bytes = before.isEmpty() ? "no /proc here that tells how much memory a process has"
                            : "%d bytes resident per client".formatted(
                            (resident(relay).getAsLong() - before.getAsLong()) / crowd.clients.size());
                    System.out.printf("%-33s  %-72s  %s%n", IDLE.name, bytes, judge(IDLE, crowd));
                }
            }
        }

        private String judge(Scenario scenario, Crowd crowd) {
            String found = crowd.check();
            if (!found.equals("ok")) faults.add(scenario.name + ": " + found);
            return found;
        }

        private static OptionalLong resident(RelayTest.Program program) {
            return proc(program.process.pid() + "/status", "VmRSS").stream()
                    .mapToLong(size -> 1024 * Long.parseLong(size.replace(" kB", ""))).findFirst();
        }

        /** What a file in /proc says of something, if there are such files. */
        static Optional<String> proc(String file, String name) {
            try (var lines = Files.lines(Path.of("/proc", file))) {
                return lines.filter(line -> line.matches("(" + name + ")\\s*:.*")).findFirst()
                        .map(line -> line.replaceFirst(".*?:\\s*", ""));
            } catch (IOException none) {
                return Optional.empty();
            }
        }

        /** Seconds: up to now, of CPU in the server's process, of CPU on this thread. */
        private record Usage(double time, double server, double generator) {
            static Usage of(RelayTest.Program relay) {
                return new Usage(System.nanoTime() / 1e9, relay.process.info().totalCpuDuration()
                        .map(cpu -> cpu.toNanos() / 1e9).orElse(Double.NaN),
                        ManagementFactory.getThreadMXBean().getCurrentThreadCpuTime() / 1e9);
            }

            Usage since(Usage earlier) {
                return new Usage(time - earlier.time, server - earlier.server, generator - earlier.generator);
            }
        }
    }

    /**
     * Does anything grow in a storm that does not end? `./build.sh bench Soak` prints what the relay holds, once a
     * minute.
     */
    @Nested
    @Tag("bench")
    class Soak {
        private static final double STRENGTH = 0.3;   // so that the machine has a processor left for others
        private static final int MINUTES = Integer.parseInt(System.getenv().getOrDefault("MINUTES", "20"));

        @Test
        @Timeout(value = 1, unit = TimeUnit.DAYS)
        void whatTheRelayHoldsStaysWhereItIsForAsLongAsTheStormLasts() throws Exception {
            var resident = new ArrayList<Long>();
            try (var relay = HostileLoad.smallRelay("", "--quiet");
                    var games = new Crowd(HostileLoad.GAMES).open(relay.url().getPort())) {
                int port = relay.url().getPort();
                System.out.printf(
                        "%n%-12s  resident kB  descriptors  threads  worst ms  newcomers, their longest wait in ms, "
                        + "turned away%n", "minute");
                games.send(Duration.ofSeconds(10));
                var before = HostileLoad.Holding.afterCollection(relay);
                print("before", before, games, "");
                try (var storm = HostileLoad.storm(relay, STRENGTH)) {
                    for (int minute = 1; minute <= MINUTES; minute++) {
                        var newcomers = new HostileLoad.Newcomers(port);
                        try (newcomers) {
                            games.send(Duration.ofMinutes(1));
                        }
                        var now = HostileLoad.Holding.of(relay);
                        print(minute + "", now, games, newcomers.toString());
                        resident.add(now.resident());
                    }
                    storm.signal("TERM");
                    storm.expectExit(143);
                    System.out.println(String.join("\n", storm.out));
                }
                for (int minute = 1; minute <= 2; minute++) {
                    games.send(Duration.ofMinutes(1));
                    print("after " + minute, HostileLoad.Holding.of(relay), games, "");
                }
                games.settle();
                var after = HostileLoad.Holding.afterCollection(relay);
                print("GC", after, games, "");
                System.out.printf("live objects: %d kB before, %d kB after%n%n", before.heap(), after.heap());
                assertEquals("ok", games.check());
                assertEquals(List.of(), relay.err);
                assertEquals(before.objects(), after.objects());
                long early = resident.get(resident.size() / 2),
                        late = Collections.max(resident.subList(resident.size() / 2, resident.size()));
                assertTrue(late < early + (8 << 10), () -> "from " + early + " kB it grew to " + late);
                assertTrue(after.resident() < late, "memory does not come back");
            }
        }

        private static void print(String when, HostileLoad.Holding now, Crowd games, String newcomers) {
            System.out.printf("%-12s  %11d  %11d  %7d  %8d  %s%n", when, now.resident(), now.descriptors(),
                    now.threads(), games.worst(), newcomers);
        }
    }

    /** What a player of four in a fight sends and gets; `./build.sh bench` prints it. */
    @Nested
    @Tag("bench")
    class BytesInAFight {
        private static final int MS = 5_000;

        @ParameterizedTest(name = "{0}")
        @CsvSource({"directly, webrtc, ''", "over the relay, relay, delete globalThis.RTCPeerConnection"})
        void ofFour(String how, String path, String script) throws Exception {
            try (var lan = Network.lan(); var relay = lan.relay("0")) {
                var players = new ArrayList<Player>();
                for (String name : List.of("Ann", "Bob", "Cyd", "Dan")) players.add(Player.of(lan.chromium(),
                        "http://10.77.0.1:" + relay.url().getPort() + SpacewarTest.GAME, name, page ->
                        page.first(Player.EVERY_FRAME + script).screen(320, 240, 1, false)));
                try {
                    SpacewarTest.Direct.areConnected(path, players.toArray(Player[]::new));
                    lan.run("""
                            nft -f - <<'END'
                            table inet count {
                              chain out {
                                type filter hook output priority filter
                                udp sport >= 0 counter
                                tcp dport %1$d counter
                                tcp sport %1$d counter
                              }
                            }
                            END""".formatted(relay.url().getPort()));
                    for (Player player : players) player.page.hold("KeyF");
                    SpacewarTest.Positions.manoeuvre(players.getFirst().record(MS), players.toArray(Player[]::new));
                    var counters = Pattern.compile("packets (\\d+) bytes (\\d+)")
                            .matcher(lan.run("nft list table inet count"));
                    for (String what : List.of("sends and gets directly", "sends to the relay",
                            "gets from the relay")) {
                        assertTrue(counters.find());
                        System.out.printf("A fight of four, %s: each %s %.1f packets and %.0f bytes a second%n", how,
                                what, Integer.parseInt(counters.group(1)) * 1_000.0 / MS / 4,
                                Integer.parseInt(counters.group(2)) * 1_000.0 / MS / 4);
                    }
                } finally {
                    for (Player player : players) player.close();
                }
            }
        }
    }

    /** What a frame of the game costs; `./build.sh bench` prints it. */
    @Nested
    @Tag("bench")
    @ExtendWith(InChromium.class)
    class FrameCost {
        private static final int FRAMES = 600;

        /**
         * 16 ships that turn and burn without end, none judged, and as many missiles in flight as asked for, at any
         * time.
         */
        private static final String FIGHT = """
                import('/spacewar/world.js').then(async ({ Ship, World }) => {
                  const { orbit } = await import('/spacewar/physics.js');
                  const { step } = World.prototype;
                  const world = await new Promise(done => {   // the game's, which it shows to nobody
                    World.prototype.step = function () {
                      World.prototype.step = step;
                      done(this);
                      return this.step();
                    };
                  });
                  world.ships.get(0).remote = true;
                  for (let i = 1; i < 16; i++) {
                    const ship = world.add(new Ship(1000 + i, `Pilot ${i}`, 9 * i % 64, { remote: true }));
                    orbit(ship, 90 + 17 * i, i, i % 2 ? 1 : -1);
                    Object.assign(ship, { state: 'flying', turn: i % 2 ? 1 : -1, burning: i % 3 > 0 });
                  }
                  let shots = 0;
                  const keep = () => {
                    const ships = [...world.ships.values()];
                    while (world.missiles.length < 60) world.shoot(ships[++shots % ships.length], shots);
                    requestAnimationFrame(keep);
                  };
                  keep();
                })""";

        @Test
        void ofAFightOf16ShipsAnd60MissilesIn1920x1080() throws IOException {
            try (var relay = SpacewarTest.withPages(0); var page = InChromium.open(relay, "/spacewar/")) {
                page.screen(1920, 1080, 1, false);
                page.until("import('/spacewar/spacewar.js').then(({ game }) => game.inspect().frames > 60)");
                page.evaluate(FIGHT);
                page.call("Performance.enable", Map.of());
                page.call("HeapProfiler.enable", Map.of());
                frames(page, 120);
                var before = metrics(page);
                double[] intervals = frames(page, FRAMES);
                var after = metrics(page);
                page.call("HeapProfiler.startSampling", Map.of("samplingInterval", 4096,
                        "includeObjectsCollectedByMajorGC", true, "includeObjectsCollectedByMinorGC", true));
                frames(page, FRAMES);
                double allocated = size((Map<?, ?>) ((Map<?, ?>) page.call("HeapProfiler.stopSampling", Map.of())
                        .get("profile")).get("head"));
                System.out.printf(
                        "%nSpacewar, 16 ships, 60 missiles and their trails, 1920x1080, headless Chromium without a "
                        + "GPU, mean of %d frames:%n", FRAMES);
                for (String part : List.of("ScriptDuration", "TaskDuration"))
                    System.out.printf("  %-40s %6.2f ms a frame%n", part.equals("ScriptDuration") ? "script"
                            : "all of the page's main thread", 1000 * (after.get(part) - before.get(part)) / FRAMES);
                System.out.printf("  %-40s %6.2f ms, 99th percentile %.2f%n", "from frame to frame",
                        Arrays.stream(intervals).average().orElseThrow(),
                        Arrays.stream(intervals).sorted().skip(FRAMES * 99 / 100).findFirst().orElseThrow());
                System.out.printf("  %-40s %6.1f KiB a frame%n%n", "allocated by script", allocated / FRAMES / 1024);
                assertEquals("[]", page.complaints.toString());
            }
        }

        /** Waits for some frames. @return the ms between them */
        private static double[] frames(Chromium.Page page, int count) {
            return ((List<?>) page.evaluate("""
                    new Promise(done => {
                      const times = [];
                      const next = now => times.push(now) > %d
                        ? done(times.slice(1).map((time, i) => time - times[i])) : requestAnimationFrame(next);
                      requestAnimationFrame(next);
                    })""".formatted(count))).stream().mapToDouble(ms -> (Double) ms).toArray();
        }

        private static Map<String, Double> metrics(Chromium.Page page) {
            return ((List<?>) page.call("Performance.getMetrics", Map.of()).get("metrics")).stream()
                    .map(metric -> (Map<?, ?>) metric)
                    .collect(Collectors.toMap(metric -> (String) metric.get("name"), metric ->
                    (Double) metric.get("value")));
        }

        private static double size(Map<?, ?> node) {
            return (Double) node.get("selfSize") + ((List<?>) node.get("children")).stream()
                    .mapToDouble(child -> size((Map<?, ?>) child)).sum();
        }
    }
}
