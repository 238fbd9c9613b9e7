// SPDX-License-Identifier: MIT
/*
 * What the tests are made of: a relay, sockets that speak in bytes, programs in processes of their own, tables.
 */

import static org.junit.jupiter.api.Assertions.*;

import java.io.*;
import java.lang.annotation.*;
import java.lang.management.ManagementFactory;
import java.net.*;
import java.net.http.*;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.*;
import java.util.function.*;
import java.util.regex.*;
import java.util.stream.*;
import org.junit.jupiter.api.*;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.junit.jupiter.api.parallel.*;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.*;
import org.junit.jupiter.params.support.ParameterDeclarations;

/** The tests and their tools inherit from it, so that they may use its names as their own. */
abstract class Fixtures {
    private static final Object LAUNCH = new Object();

    /**
     * Starts a process. Until this returns, the process has copies of all our sockets, also of those that are closed
     * meanwhile, so their ports stay in use. What must not find them so calls awaitLaunch() first.
     */
    static Process launch(ProcessBuilder builder) throws IOException {
        synchronized (LAUNCH) {
            return builder.start();   // which returns when the program is there, without our sockets
        }
    }

    /** Waits until no process has copies of sockets that are closed. */
    static void awaitLaunch() {
        synchronized (LAUNCH) { }
    }

    static void expectNobodyListens(int port) {
        awaitLaunch();
        assertThrows(ConnectException.class, () -> new Socket(InetAddress.getLoopbackAddress(), port).close());
    }

    /** A relay on a free port of 127.0.0.1 that logs nothing, unless the settings say otherwise. */
    static Relay relay(Consumer<Relay.Options> settings) throws IOException {
        awaitLaunch();   // its port may be that of a relay that has just ended
        return new Relay(options(settings)).start();
    }

    static Relay relay() throws IOException {
        return relay(options -> {});
    }

    static Relay.Options options(Consumer<Relay.Options> settings) {
        var options = new Relay.Options();
        options.port = 0;
        options.host = InetAddress.getLoopbackAddress();
        options.folders = List.of();
        options.quiet = true;
        settings.accept(options);
        var times = List.of(options.headTimeout, options.pingInterval, options.stallTimeout, options.closeTimeout);
        options.lookInterval = Math.clamp(Collections.min(times) / 3, 10, 250);
        return options;
    }

    /** On a test, or a group and all of its tests: others run meanwhile, as it mostly waits. */
    @Retention(RetentionPolicy.RUNTIME)
    @Execution(ExecutionMode.CONCURRENT)
    @interface Waits {}

    /**
     * On a test or a group that measures how long something takes, or looks at what is of the whole process, such as
     * its threads: it runs after all others, and alone.
     */
    @Retention(RetentionPolicy.RUNTIME)
    @Tag(RunTests.ALONE)
    @interface Measures {}

    /** On a test or a group that measures what pages show: it runs after most others, beside one more of its kind. */
    @Retention(RetentionPolicy.RUNTIME)
    @Execution(ExecutionMode.CONCURRENT)
    @Tag(RunTests.IN_PAIRS)
    @interface MeasuresPages {}

    /** Waits, 10 s at most, until it holds. */
    static void eventually(BooleanSupplier condition, String what) {
        eventually(condition, what, Duration.ofSeconds(10));
    }

    static void eventually(BooleanSupplier condition, String what, Duration atMost) {
        long deadline = System.nanoTime() + atMost.toNanos();
        while (!condition.getAsBoolean()) {
            assertTrue(System.nanoTime() < deadline, "never came true: " + what);
            try {
                Thread.sleep(2);
            } catch (InterruptedException e) {
                throw new AssertionError(e);
            }
        }
    }

    /**
     * Runs it as a connection runs, on a virtual thread. There, Thread.yield() costs next to nothing; a platform thread
     * would lose its processor for ms to any other busy process, at each of the many reads of a test.
     */
    static void onVirtualThread(Executable task) throws Exception {
        var run = new FutureTask<Throwable>(() -> {
            try {
                task.execute();
                return null;
            } catch (Throwable failure) {
                return failure;
            }
        });
        Thread.startVirtualThread(run);
        if (run.get() instanceof Throwable failure) throw new AssertionError(failure.getMessage(), failure);
    }

    /** Connects a socket to far away, which sends nothing, and so learns which address others know. */
    static boolean hasRoute(DatagramSocket probe) {
        try {
            probe.connect(InetAddress.getByName("192.0.2.1"), 9);
            return !probe.getLocalAddress().isLoopbackAddress();
        } catch (IOException | UncheckedIOException none) {
            return false;
        }
    }

    static String readme() throws IOException {
        return Files.readString(Program.ROOT.resolve("README.md"));
    }

    /** The group of a regular expression that is in the README once. */
    static String fromReadme(String regex) throws IOException {
        return only(regex, "", readme());
    }

    /** The README's only block in that language with this in it. */
    static String blockOfReadme(String language, String part) throws IOException {
        return only("(?ms)^```" + language + "\n(.*?)^```", part, readme());
    }

    /** The group of a regular expression that matches once in a text where that has this part. */
    static String only(String regex, String part, String text) {
        var found = Pattern.compile(regex).matcher(text).results().map(match -> match.group(1))
                .filter(group -> group.contains(part)).toList();
        assertEquals(1, found.size(), () -> "how often there is " + regex + " with '" + part + "'");
        return found.getFirst();
    }

    static byte[] hex(String hex) {
        return HexFormat.of().parseHex(hex.replace(" ", ""));
    }

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    static byte[] concat(byte[]... parts) {
        var all = new ByteArrayOutputStream();
        for (byte[] part : parts) all.writeBytes(part);
        return all.toByteArray();
    }

    static byte[] times(int count, byte[] bytes) {
        return concat(Collections.nCopies(count, bytes).toArray(byte[][]::new));
    }

    /** A client's frame: header, mask and masked payload. */
    static byte[] frame(boolean last, int opcode, byte[] payload) {
        byte[] mask = {0x12, (byte) 0xf3, 0x05, 0x77};
        var frame = ByteBuffer.allocate(14 + payload.length).put((byte) ((last ? 0x80 : 0) | opcode));
        if (payload.length < 126) frame.put((byte) (0x80 | payload.length));
        else if (payload.length < 65536) frame.put((byte) 0xfe).putShort((short) payload.length);
        else frame.put((byte) 0xff).putLong(payload.length);
        frame.put(mask);
        long twice = ByteBuffer.allocate(8).put(mask).put(mask).getLong(0);
        var in = ByteBuffer.wrap(payload);
        while (in.remaining() >= 8) frame.putLong(in.getLong() ^ twice);   // tests send gigabytes
        while (in.hasRemaining()) frame.put((byte) (mask[in.position() % 4] ^ in.get()));
        return Arrays.copyOf(frame.array(), frame.position());
    }

    static byte[] text(String text) {
        return frame(true, 1, bytes(text));
    }

    static byte[] close(int code, String reason) {
        return frame(true, 8, concat(new byte[] {(byte) (code >> 8), (byte) code}, bytes(reason)));
    }

    /** A frame as a client receives it. */
    record Received(boolean last, int opcode, byte[] payload) {
        String text() {
            return new String(payload, StandardCharsets.UTF_8);
        }

        /** The next frame of a server. @throws EOFException if there is none */
        static Received read(DataInputStream in) throws IOException {
            int first = in.readUnsignedByte(), second = in.readUnsignedByte();
            assertEquals(0, first & 0x70, "reserved bits");
            assertEquals(0, second & 0x80, "a server's frames are not masked");
            long length = switch (second) {
                case 126 -> in.readUnsignedShort();
                case 127 -> in.readLong();
                default -> second;
            };
            byte[] payload = in.readNBytes((int) length);
            if (payload.length < length) throw new EOFException(payload.length + " of " + length + " bytes");
            return new Received((first & 0x80) != 0, first & 15, payload);
        }

        /** Of a close frame; 1005 if it has none. */
        int code() {
            assertEquals(8, opcode, () -> "expected a close, got " + this);
            return payload.length == 0 ? 1005 : (payload[0] & 0xff) << 8 | payload[1] & 0xff;
        }

        String reason() {
            return payload.length < 2 ? "" : new String(payload, 2, payload.length - 2, StandardCharsets.UTF_8);
        }

        @Override
        public String toString() {
            return "opcode " + opcode + " '" + text().substring(0, Math.min(100, text().length())) + "'";
        }
    }

    /** A socket that says what it is told to and knows only how to tell frames apart. Reads wait 10 s at most. */
    static final class Raw implements AutoCloseable {
        static final String KEY = "dGhlIHNhbXBsZSBub25jZQ==";          // RFC 6455 §1.3
        static final String ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";   // the answer to it

        final Socket socket;
        final DataInputStream in;

        Raw(int port) throws IOException {
            this(new Socket(InetAddress.getLoopbackAddress(), port));
        }

        Raw(Socket socket) throws IOException {
            this.socket = socket;
            socket.setTcpNoDelay(true);
            socket.setSoTimeout(10_000);
            in = new DataInputStream(new BufferedInputStream(socket.getInputStream()));
        }

        /** A WebSocket, opened. */
        static Raw open(Relay relay, String path) throws IOException {
            return new Raw(relay.port()).open(path);
        }

        /** The opening handshake, which must succeed. @param headers more of them, each with its CRLF */
        Raw open(String path, String... headers) throws IOException {
            String head = send(upgrade(path, headers)).head();
            assertTrue(head.startsWith("HTTP/1.1 101 "), head);
            return this;
        }

        /** A right opening handshake; more headers may be given, each with its CRLF. */
        static String upgrade(String path, String... more) {
            return "GET " + path + " HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    + "Sec-WebSocket-Key: " + KEY + "\r\nSec-WebSocket-Version: 13\r\n" + String.join("", more)
                    + "\r\n";
        }

        Raw send(byte[] bytes) throws IOException {
            socket.getOutputStream().write(bytes);
            return this;
        }

        Raw send(String latin1) throws IOException {
            return send(latin1.getBytes(StandardCharsets.ISO_8859_1));
        }

        /** A response's head, up to and with its empty line. */
        String head() throws IOException {
            return head(in);
        }

        static String head(DataInputStream in) throws IOException {
            var head = new StringBuilder();
            while (!head.toString().endsWith("\r\n\r\n")) head.append((char) in.readUnsignedByte());
            return head.toString();
        }

        /** The next frame. @throws EOFException if there is none */
        Received receive() throws IOException {
            return Received.read(in);
        }

        /** The next frames must be these texts. */
        Raw expect(String... texts) throws IOException {
            for (String text : texts) assertEquals(text, receive().text());
            return this;
        }

        /** The next frame must be a close with this code, and then the stream must end. */
        String expectClose(int code) throws IOException {
            Received close = receive();
            assertEquals(code, close.code(), close::reason);
            expectEnd();
            return close.reason();
        }

        void expectEnd() throws IOException {
            assertEquals(-1, in.read(), "more than was expected");
        }

        @Override
        public void close() throws IOException {
            socket.close();
        }
    }

    // --- HTTP --------------------------------------------------------------------------------------------------------

    /** A response, read to its end. Header names in any case. */
    record Answer(int status, Map<String, String> headers, byte[] body) {
        /** The answer to a request of that method, which decides whether there is a body. */
        static Answer read(Raw raw, String method) throws IOException {
            String[] lines = raw.head().split("\r\n");
            assertTrue(lines[0].matches("HTTP/1\\.1 [1-5][0-9][0-9] [A-Za-z ]*"), lines[0]);
            var headers = new TreeMap<String, String>(String.CASE_INSENSITIVE_ORDER);
            for (String line : Arrays.asList(lines).subList(1, lines.length))
                headers.merge(line.split(": ", 2)[0], line.split(": ", 2)[1], (first, next) -> first + ", " + next);
            int status = Integer.parseInt(lines[0].substring(9, 12));
            boolean bodyless = method.equals("HEAD") || status == 304 || status == 101;
            return new Answer(status, headers, raw.in.readNBytes(bodyless ? 0
                    : Integer.parseInt(headers.get("Content-Length"))));
        }

        /** GET on a connection that goes on. */
        static Answer get(Raw raw, String target, String... headers) throws IOException {
            return read(raw.send(request("GET", target, headers)), "GET");
        }

        /** GET on a connection of its own. */
        static Answer get(Relay relay, String target, String... headers) throws IOException {
            try (var raw = new Raw(relay.port())) {
                return get(raw, target, headers);
            }
        }

        static Answer head(Raw raw, String target) throws IOException {
            return read(raw.send(request("HEAD", target)), "HEAD");
        }

        static String request(String method, String target, String... headers) {
            return Stream.concat(Stream.of(method + " " + target + " HTTP/1.1", "Host: localhost"), Stream.of(headers))
                    .collect(Collectors.joining("\r\n", "", "\r\n\r\n"));
        }

        String header(String name) {
            return headers.getOrDefault(name, "");
        }

        String text() {
            return new String(body, StandardCharsets.UTF_8);
        }

        /** It has this status and a sentence for whoever reads it. */
        Answer expect(int expected) {
            assertEquals(expected, status, this::text);
            assertTrue(text().matches("[ -~]{15,}\n"), () -> "expected a sentence, got '" + text() + "'");
            assertEquals("text/plain; charset=utf-8", header("Content-Type"));
            assertEquals("nosniff", header("X-Content-Type-Options"));
            return this;
        }

        /** All headers are the same, but for the time. */
        void expectHeadersOf(Answer other) {
            other.headers.put("Date", header("Date"));
            assertEquals(other.headers, headers);
        }

        /** It is what a row of a table expects. */
        void expect(String row) {
            String[] parts = Row.text(row).split(" \r\n ?");
            assertTrue((status + "").matches(parts[0]), () -> "expected " + row + ", got " + status + " " + headers
                    + " " + text());
            for (String part : Arrays.asList(parts).subList(1, parts.length)) {
                String[] header = part.split(": ?", 2);
                if (part.startsWith("= ")) assertEquals(part.substring(2), text().strip());
                else if (part.startsWith("\"")) assertTrue(Pattern.compile(part.replace("\"", ""),
                        Pattern.CASE_INSENSITIVE)
                        .matcher(text()).find(), () -> "expected " + part + ", got " + text());
                else assertTrue(header(header[0]).matches(header[1]), () -> "expected " + part + ", got " + headers);
            }
        }
    }

    /** A test for each row of a table, of which | separates those on one line; its parameters stand between =>. */
    @Retention(RetentionPolicy.RUNTIME)
    @ParameterizedTest(name = "{arguments}")
    @ArgumentsSource(Rows.class)
    @interface Table {
        String value();
    }

    static final class Rows extends AnnotationBasedArgumentsProvider<Table> {
        @Override
        protected Stream<? extends Arguments> provideArguments(ParameterDeclarations parameters,
                ExtensionContext context, Table table) {
            return Stream.of(table.value().split("\n| \\| ")).filter(row -> !row.isBlank())
                    .map(row -> Arguments.of(Stream.of(row.split("=>", -1)).map(String::strip).toArray()));
        }
    }

    /**
     * A row `request => answer` of a table. A request is a target, perhaps with a method before it and headers after
     * it, as in `HEAD /a¶Range: bytes=0-1`; WS as the method makes it a WebSocket handshake. ¶ is CR LF, a control
     * picture such as ␛ the character that it shows, «x*9» nine of them. An answer is a status, then, each after
     * ¶, a header that it must have (or, without a value, lack), "an excerpt" of the body, or = all of it. Status,
     * header and excerpt are regular expressions.
     */
    record Row(String request, String answer) {
        static String text(String row) {
            String text = Pattern.compile("(?s)«(.+?)\\*(\\d+)»").matcher(row.replace("¶", "\r\n"))
                    .replaceAll(many -> Matcher.quoteReplacement(many.group(1)
                            .repeat(Integer.parseInt(many.group(2)))));
            return Pattern.compile("[\u2400-\u2420]").matcher(text.replace('\u2421', '\177'))
                    .replaceAll(picture -> (char) (picture.group().charAt(0) - 0x2400) + "");
        }

        String sent() {
            String[] lines = text(request).split("\r\n", 2), words = lines[0].split(" ");
            String headers = lines.length == 1 ? "" : lines[1] + "\r\n", target = words[words.length - 1];
            String host = ("\r\n" + headers).contains("\r\nHost:") ? "" : "Host: localhost\r\n";
            if (words[0].equals("WS")) return Raw.upgrade(target).replace("Host: localhost\r\n", host + headers);
            return (words.length == 1 ? "GET" : words[0]) + " " + target + " HTTP/1.1\r\n" + host + headers + "\r\n";
        }

        /** What is answered is as expected, and the connection goes on after it. */
        void check(int port) throws IOException {
            try (var raw = new Raw(port)) {
                check(raw);
            }
        }

        void check(Raw raw) throws IOException {
            String method = sent().split(" ")[0];
            Answer first = Answer.read(raw.send(sent()), method);
            first.expect(answer);
            if (first.status >= 400 && !method.equals("HEAD")) first.expect(first.status);
            if (first.status == 101) raw.receive();
            else if (first.header("Connection").contains("close")) raw.expectEnd();
            else assertEquals(200, Answer.get(raw, "/health").status);
        }
    }

    // --- programs ----------------------------------------------------------------------------------------------------

    /** A program in a process of its own, and the lines it prints. It ends with the block that it was started in. */
    static final class Program implements AutoCloseable {
        static final Path ROOT = Path.of("").toAbsolutePath();
        static final String JAVA = Path.of(System.getProperty("java.home"), "bin", "java").toString();
        /** The folder of the compiled relay; with CLASSES=FOLDER another one, to compare two. */
        static final String CLASSES = System.getenv().getOrDefault("CLASSES",
                Path.of(URI.create(Relay.class.getProtectionDomain().getCodeSource().getLocation() + "")).toString());

        /** Compiles once and simply, and collects garbage on one thread: more would not pay in so short a time. */
        static final String QUICK = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC";

        final Process process;
        final List<String> out = new CopyOnWriteArrayList<>(), err = new CopyOnWriteArrayList<>();
        private final List<Thread> readers;

        Program(Path folder, Map<String, String> environment, List<String> command) throws IOException {
            this(folder, environment, command, line -> {});
        }

        /** @param listener is told each line that it prints, after it is in `out` */
        Program(Path folder, Map<String, String> environment, List<String> command,
                Consumer<String> listener) throws IOException {
            var builder = new ProcessBuilder(command).directory(folder.toFile());
            builder.environment().keySet().removeAll(Set.of("HOME",   // as in a service; and what java would speak of
                    "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS"));
            builder.environment().putAll(environment);
            process = launch(builder);
            readers = List.of(reader(() -> process.inputReader().lines().peek(out::add).forEach(listener)),
                    reader(() -> process.errorReader().lines().forEach(err::add)));
        }

        /**
         * Starts a thread that reads from a process. A virtual one would keep a thread of the machine while it waits
         * for a pipe, and the relays of the tests, whose threads are virtual, would have none.
         */
        static Thread reader(Runnable reading) {
            return Thread.ofPlatform().daemon().start(reading);
        }

        /** The relay under test, with these arguments. */
        static Program relay(Path folder, String... args) throws IOException {
            return relay(List.of(), folder, args);
        }

        /** @param before words of a command that runs another */
        static Program relay(List<String> before, Path folder, String... args) throws IOException {
            return relay(before, folder, Map.of(), QUICK, args);
        }

        /** On a free port of 127.0.0.1. */
        static Program local(Path folder, String... more) throws IOException {
            return relay(folder, Stream.concat(Stream.of("0", "--host", "127.0.0.1"), Stream.of(more))
                    .toArray(String[]::new));
        }

        /** On a free port of 127.0.0.1. @param flags for Java besides QUICK, with a space between them */
        static Program local(String flags, String... more) throws IOException {
            var args = Stream.concat(Stream.of("0", "--host", "127.0.0.1"), Stream.of(more)).toArray(String[]::new);
            return relay(List.of(), ROOT, Map.of(), QUICK + " " + flags, args);
        }

        static Program relay(List<String> before, Path folder, Map<String, String> environment, String flags,
                String... args) throws IOException {
            var java = Stream.of(Stream.of(JAVA), Stream.of(flags.split(" ")), Stream.of("-cp", CLASSES, "Relay"));
            return new Program(folder, environment, Stream.of(before.stream(), java.flatMap(words -> words),
                    Stream.of(args)).flatMap(words -> words).toList());
        }

        /** What a program prints that ends well. */
        static String run(String... command) throws Exception {
            try (var program = new Program(ROOT, Map.of(), List.of(command))) {
                return String.join("\n", program.expectExit(0).out);
            }
        }

        /** The address in its first line, once that is there. */
        URI url() {
            // of a busy machine
            eventually(() -> !out.isEmpty() || !process.isAlive(), "a first line", Duration.ofSeconds(30));
            assertFalse(out.isEmpty(), () -> "it has ended: " + err);
            return URI.create(out.getFirst());
        }

        Raw connect() throws IOException {
            return new Raw(url().getPort());
        }

        /** The first client of a room. */
        Raw open(String path, String... headers) throws IOException {
            return connect().open(path, headers).expect("1 self");
        }

        /** Types a line. */
        void tell(String line) throws IOException {
            process.outputWriter().append(line).append('\n').flush();
        }

        void expectLine(String regex) {
            try {
                eventually(() -> out.stream().anyMatch(line -> line.matches(regex)), regex);
            } catch (AssertionError e) {
                fail(String.join("\n", out), e);
            }
        }

        /** If that fails, tells what the program has printed. */
        void whileItSays(Executable check) {
            try {
                check.execute();
            } catch (Throwable e) {
                fail(String.join("\n", out) + "\n" + String.join("\n", err), e);
            }
        }

        /** What is there at that address, after redirects. */
        static String page(URI uri) throws Exception {
            try (var client = HttpClient.newBuilder().followRedirects(HttpClient.Redirect.ALWAYS).build()) {
                var page = client.send(HttpRequest.newBuilder(uri).build(), HttpResponse.BodyHandlers.ofString());
                assertEquals(200, page.statusCode(), page.body());
                return page.body();
            }
        }

        void signal(String name) throws Exception {
            // the shell's own
            assertEquals(0, launch(new ProcessBuilder("sh", "-c", "kill -" + name + " " + process.pid())).waitFor());
        }

        /** Waits until it has ended and all it has printed is here. */
        int exitCode() throws InterruptedException {
            assertTrue(process.waitFor(40, TimeUnit.SECONDS), () -> "it goes on: " + out + err);
            for (Thread reader : readers) reader.join();
            return process.exitValue();
        }

        Program expectExit(int code) throws InterruptedException {
            assertEquals(code, exitCode(), () -> out + "\n" + err);
            return this;
        }

        /** Told to end, it does, and has complained of nothing until then. */
        void endWell() throws Exception {
            signal("TERM");
            assertEquals(List.of(), expectExit(0).err);
        }

        /** The one line of its standard error; there is nothing else. */
        String complaint() {
            assertEquals(List.of(List.of(), 1), List.of(out, err.size()), err::toString);
            return err.getFirst();
        }

        /** It ends with this exit code and one line, on its standard error, with this in it. */
        static void expectComplaint(int exitCode, String regex, Program program) throws InterruptedException {
            try (program) {
                String complaint = program.expectExit(exitCode).complaint();
                assertTrue(complaint.matches(".*" + regex + ".*"), complaint);
            }
        }

        @Override
        public void close() {
            process.toHandle().destroyForcibly();   // Process would close the streams under the readers
            process.onExit().join();
        }
    }

    // --- what a test needs of the machine ----------------------------------------------------------------------------

    /** Where programs are, also those which only root has on the PATH. */
    static final String PATH = System.getenv("PATH") + ":/usr/sbin";

    /**
     * Skips the test if its tool is missing; with CI=true that is a failure. @param program a name on the PATH, or a
     * path
     */
    static void require(String program, String debianPackage) {
        require(isThere(program), program + " is missing: apt install " + debianPackage);
    }

    static boolean isThere(String program) {
        return Stream.of(PATH.split(File.pathSeparator))
                .anyMatch(folder -> Files.exists(Path.of(folder).resolve(program)));
    }

    /** Python's, of Debian. */
    static void requireWebsockets() {
        require("/usr/bin/python3", "python3");
        require("/usr/lib/python3/dist-packages/websockets", "python3-websockets");
    }

    static void require(boolean there, String complaint) {
        if ("true".equals(System.getenv("CI"))) assertTrue(there, complaint);
        else Assumptions.assumeTrue(there, complaint);
    }

    /** A JDK that runs source files but is too old. */
    static Optional<Path> oldJdk() throws IOException {
        Path jdks = Path.of("/usr/lib/jvm");
        if (!Files.isDirectory(jdks)) return Optional.empty();
        try (var homes = Files.list(jdks)) {
            return homes.filter(home -> Files.exists(home.resolve("bin/javac"))
                    && Files.exists(home.resolve("release")))
                    .filter(home -> assertDoesNotThrow(() -> Files.readString(home.resolve("release")))
                            .matches("(?s).*JAVA_VERSION=\"(1[1-9]|20)\\b.*")).findFirst();
        }
    }

    private static final AtomicInteger NEXT_PORT = new AtomicInteger(ThreadLocalRandom.current().nextInt(12_000));

    /** Of TCP and of UDP. Linux gives it to nobody who asks for any port, or connects, and we give none out twice. */
    static int freePort() {
        synchronized (LAUNCH) {   // no process gets a copy of either socket
            return nextFreePort();
        }
    }

    @SuppressWarnings("try")   // both are needed, not spoken of
    private static int nextFreePort() {
        while (true) {
            int port = 20_000 + NEXT_PORT.getAndIncrement() % 12_000;
            try (var tcp = new ServerSocket(port); var udp = new DatagramSocket(port)) {
                return port;
            } catch (IOException taken) {
                // another one, then
            }
        }
    }

    /** How many threads, virtual or not, are in the code of a relay. */
    static long relayThreads() {
        try {
            Path dump = Files.createTempDirectory("relay").resolve("threads");
            ManagementFactory.getPlatformMXBean(com.sun.management.HotSpotDiagnosticMXBean.class).dumpThreads(
                    dump.toString(), com.sun.management.HotSpotDiagnosticMXBean.ThreadDumpFormat.TEXT_PLAIN);
            String threads = Files.readString(dump);
            for (Path temporary : List.of(dump, dump.getParent())) Files.delete(temporary);
            var ofRelay = Pattern.compile("\\bRelay[.$]").asPredicate();
            return Stream.of(threads.split("\n\\s*\n")).filter(ofRelay).count();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** How many descriptors of this process are of a file of such a name; 0 where there is no Linux to ask. */
    static long descriptors(String name) {
        File[] descriptors = Objects.requireNonNullElse(new File("/proc/self/fd").listFiles(), new File[0]);
        return Stream.of(descriptors).filter(descriptor -> {
            try {
                return Files.readSymbolicLink(descriptor.toPath()).toString().contains(name);
            } catch (IOException closedMeanwhile) {
                return false;
            }
        }).count();
    }

    // --- clients -----------------------------------------------------------------------------------------------------

    static final String ROOM = "/ws-relay/game", FILL = "x".repeat(64 << 10);
    static final byte[] FILL_FOR_2 = text("2 " + FILL);

    /** Clients 1 to n of one room, who all know of each other. What one does not read is soon the relay's to keep. */
    static final class Clients implements AutoCloseable {
        private final Raw[] all;

        Clients(Relay relay, int count) throws IOException {
            all = new Raw[count];
            for (int id = 1; id <= count; id++) {
                all[id - 1] = lazy(Raw.open(relay, ROOM)).expect(id + " self");
                for (int other = 1; other < id; other++) {
                    get(id).expect(other + " join");
                    get(other).expect(id + " join");
                }
            }
        }

        Raw get(int id) {
            return all[id - 1];
        }

        /** Nothing has come to these but what was expected, whatever those before them in the list have sent. */
        void expectNothingElse(int... ids) throws IOException {
            for (int id : ids) get(id).send(text(id + " over")).expect(id + " over");
        }

        @Override
        public void close() throws IOException {
            for (Raw client : all) client.close();
        }
    }

    /** The relay says that it is shutting down, perhaps after that others have left. @return why */
    static String expectShutdown(Raw raw) throws IOException {
        Received next = raw.receive();
        while (next.opcode() == 1 && next.text().endsWith(" quit")) next = raw.receive();
        assertEquals(1001, next.code());
        return next.reason();
    }

    /** Closes in good order. */
    static void leave(Raw raw) throws IOException {
        raw.send(close(1000, ""));
        assertArrayEquals(hex("88 02 03e8"), raw.in.readAllBytes());
    }

    /** Its receive buffer stays small. */
    static Raw lazy(Raw raw) throws IOException {
        raw.socket.setReceiveBufferSize(64 << 10);
        return raw;
    }

    /** Sends what may be too much: it may be cut off before all has gone. */
    static void sendAnyway(Raw raw, byte[] bytes) {
        try {
            raw.send(bytes);
        } catch (IOException cutOff) {
            // what is expected of the relay shows elsewhere
        }
    }

    /** Waits until the other side has closed the connection, which shows when something is sent. */
    static void expectCutOff(Raw raw) {
        eventually(() -> {
            try {
                return raw.send("x") == null;
            } catch (IOException cutOff) {
                return true;
            }
        }, "an end of the connection");
    }

    /** Reads, until there is an end. */
    static void skipAll(Raw raw) {
        try {
            raw.in.transferTo(OutputStream.nullOutputStream());
        } catch (IOException cutOff) {
            // that is an end, too
        }
    }

    /** The next frame must be this long text, of which a failure shows only the beginning. */
    static void expectLong(Raw raw, String text) throws IOException {
        Received next = raw.receive();
        assertTrue(next.text().equals(text), () -> "not " + text.substring(0, 20) + "... but " + next.payload().length
                + " bytes of " + next);
    }

    /** The next frame that is no ping, within 20 s; pings are answered. */
    static Received answeringPings(Raw raw) throws IOException {
        long deadline = System.nanoTime() + 20_000_000_000L;
        Received next = raw.receive();
        for (; next.opcode() == 9; next = raw.receive()) {
            assertTrue(System.nanoTime() < deadline, "nothing but pings");
            raw.send(frame(true, 10, next.payload()));
        }
        return next;
    }

    /** Sends frame after frame on a thread of its own, until that fails. */
    static final class Pump implements AutoCloseable {
        final AtomicLong sent = new AtomicLong();
        private final Raw raw;

        Pump(Raw raw, long count, LongFunction<byte[]> frame) {
            this.raw = raw;
            Thread.ofPlatform().daemon().start(() -> {
                try {
                    for (; sent.get() < count; sent.incrementAndGet()) raw.send(frame.apply(sent.get()));
                } catch (IOException closed) {
                    // that is how it is stopped
                }
            });
        }

        /** Waits until it gets nothing rid of any more. */
        void awaitBlocked() throws InterruptedException {
            for (long before = -1; before != sent.get(); Thread.sleep(300)) before = sent.get();
        }

        @Override
        public void close() throws IOException {
            raw.close();
        }
    }

    /** The files of the game without a relay, as any static server has them. */
    record FilesOnly(com.sun.net.httpserver.HttpServer server) implements AutoCloseable {
        FilesOnly() {
            this(com.sun.net.httpserver.SimpleFileServer.createFileServer(
                    new InetSocketAddress(InetAddress.getLoopbackAddress(), freePort()), Program.ROOT,
                    com.sun.net.httpserver.SimpleFileServer.OutputLevel.NONE));
            server.start();
        }

        int port() {
            return server.getAddress().getPort();
        }

        String url(String path) {
            return "http://localhost:" + port() + path;
        }

        @Override
        public void close() {
            server.stop(0);
        }
    }
}
