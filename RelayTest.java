// SPDX-License-Identifier: MIT
/*
 * What Relay and its game promise, as tests. Peers are real ones: raw sockets with bytes in hex, WebSocket
 * clients of the JDK, Python, node and Go, Chromium. `./build.sh test` runs all of them,
 * `./build.sh test Rooms` one group; `./build.sh echo PORT` starts the bare echo endpoint below.
 */

import static org.junit.jupiter.api.Assertions.*;

import java.io.*;
import java.lang.annotation.*;
import java.lang.management.ManagementFactory;
import java.lang.module.ModuleDescriptor;
import java.math.BigDecimal;
import java.net.*;
import java.net.http.*;
import java.nio.ByteBuffer;
import java.nio.channels.*;
import java.nio.charset.Charset;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.*;
import java.util.concurrent.locks.LockSupport;
import java.util.function.*;
import java.util.regex.Pattern;
import java.util.stream.*;
import javax.net.ssl.*;
import org.junit.jupiter.api.*;
import org.junit.jupiter.api.extension.*;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.api.parallel.*;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.*;
import org.opentest4j.TestAbortedException;

@Timeout(60)
class RelayTest {

    // --- what the tests are made of ----------------------------------------------------------

    /** A relay on a free port of 127.0.0.1 that logs nothing. */
    static Relay relay(Consumer<Relay.Options> settings) throws IOException {
        return new Relay(options(settings)).start();
    }

    static Relay relay() throws IOException {
        return relay(options -> {});
    }

    static Relay.Options options(Consumer<Relay.Options> settings) {
        var options = new Relay.Options();
        options.port = 0;
        options.host = InetAddress.getLoopbackAddress();
        options.folder = Path.of("no-such-folder");
        options.quiet = true;
        settings.accept(options);
        return options;
    }

    /** On a test or a group that mostly waits: others run meanwhile. */
    @Retention(RetentionPolicy.RUNTIME)
    @Execution(ExecutionMode.CONCURRENT)
    @ResourceLock(value = "the machine", mode = ResourceAccessMode.READ)
    @interface Waits {}

    /** On a test or a group that measures how long something takes: none of those that wait runs meanwhile. */
    @Retention(RetentionPolicy.RUNTIME)
    @ResourceLock(value = "the machine", mode = ResourceAccessMode.READ_WRITE)
    @interface Measures {}

    /** The bare echo endpoint: Relay's handshake and framing without its rooms. */
    static final class Echo extends Relay {
        Echo(Relay.Options options) {
            super(options);
        }

        @Override
        Handler enter(WebSocket socket) {
            return message -> socket.sendPatiently(socket,
                    encode(message.opcode(), new byte[0], message.bytes(), message.start(), message.end()));
        }
    }

    /** Echo with the limit of 16 MiB that Autobahn's section 9 needs. */
    static Relay echo() throws IOException {
        return new Echo(options(options -> options.maxMessage = 16 << 20)).start();
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

    /** A client's frame: header, mask and masked payload. */
    static byte[] frame(boolean last, int opcode, byte[] payload) {
        byte[] mask = {0x12, (byte) 0xf3, 0x05, 0x77};
        var frame = ByteBuffer.allocate(14 + payload.length).put((byte) ((last ? 0x80 : 0) | opcode));
        if (payload.length < 126) frame.put((byte) (0x80 | payload.length));
        else if (payload.length < 65536) frame.put((byte) 0xfe).putShort((short) payload.length);
        else frame.put((byte) 0xff).putLong(payload.length);
        frame.put(mask);
        for (int i = 0; i < payload.length; i++) frame.put((byte) (payload[i] ^ mask[i % 4]));
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

    /** A socket that says what it is told to and knows nothing but how to tell frames apart. Reads wait 10 s at most. */
    static final class Raw implements AutoCloseable {
        static final String KEY = "dGhlIHNhbXBsZSBub25jZQ==", ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";   // RFC 6455 §1.3

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
            var raw = new Raw(relay.port());
            raw.send(upgrade(path));
            assertTrue(raw.head().startsWith("HTTP/1.1 101 "), "no upgrade");
            return raw;
        }

        /** A right opening handshake; more headers may be given, each with its CRLF. */
        static String upgrade(String path, String... more) {
            return "GET " + path + " HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    + "Sec-WebSocket-Key: " + KEY + "\r\nSec-WebSocket-Version: 13\r\n" + String.join("", more) + "\r\n";
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
            var head = new StringBuilder();
            while (!head.toString().endsWith("\r\n\r\n")) head.append((char) in.readUnsignedByte());
            return head.toString();
        }

        /** The next frame. @throws EOFException if there is none */
        Received receive() throws IOException {
            int first = in.readUnsignedByte(), second = in.readUnsignedByte();
            assertEquals(0, first & 0x70, "reserved bits");
            assertEquals(0, second & 0x80, "a server's frames are not masked");
            long length = second == 126 ? in.readUnsignedShort() : second == 127 ? in.readLong() : second;
            return new Received((first & 0x80) != 0, first & 15, in.readNBytes((int) length));
        }

        /** The next frame must be this text. */
        Raw expect(String text) throws IOException {
            assertEquals(text, receive().text());
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

    // --- streams of frames, written in a line ---------------------------------------------------
    //
    // 81:Hello,_world! is a client's frame: first octet in hex, payload as text with _ for a space, as 0x00ff in hex, or as
    // fe*126, that pattern repeated to so many octets; + joins these. 81/64:2a*100 is a message in fragments of 64
    // octets. What has no colon is raw bytes in hex. A case, `frames => frames end`, says what must come of a stream.

    private static Stream<String> words(String line) {
        return Stream.of(line.strip().split(" +")).filter(word -> !word.isEmpty());
    }

    private static byte[] payload(String words) {
        return concat(Stream.of(words.split("\\+")).map(word -> {
            if (word.startsWith("0x")) return hex(word.substring(2));
            if (!word.matches("[0-9a-f]+\\*\\d+")) return bytes(word.replace('_', ' '));
            byte[] pattern = hex(word.substring(0, word.indexOf('*')));
            var repeated = new byte[Integer.parseInt(word.substring(word.indexOf('*') + 1))];
            for (int i = 0; i < repeated.length; i++) repeated[i] = pattern[i % pattern.length];
            return repeated;
        }).toArray(byte[][]::new));
    }

    /** The frames of a word. A message that divides evenly into its fragments ends with an empty one, as in Autobahn. */
    private static List<byte[]> frames(String word) {
        int colon = word.indexOf(':');
        if (colon < 0) return List.of(hex(word));
        int first = Integer.parseInt(word, 0, 2, 16);
        byte[] payload = payload(word.substring(colon + 1));
        int size = colon == 2 ? payload.length : Integer.parseInt(word, 3, colon, 10);
        if (payload.length <= size) return List.of(frame(false, first, payload));
        return IntStream.rangeClosed(0, payload.length / size).map(i -> i * size).mapToObj(at -> frame(at + size > payload.length,
                at == 0 ? first & 15 : 0, Arrays.copyOfRange(payload, at, Math.min(at + size, payload.length)))).toList();
    }

    private static byte[] stream(String line) {
        return concat(words(line).flatMap(word -> frames(word).stream()).toArray(byte[][]::new));
    }

    /** A client's frame with this mask. */
    private static byte[] masked(int first, byte[] payload, int mask) {
        byte[] frame = frame(false, first, payload);
        int start = frame.length - payload.length - 4, change = ByteBuffer.wrap(frame, start, 4).getInt() ^ mask;
        for (int i = start; i < frame.length; i++) frame[i] ^= (byte) (change >>> 24 - 8 * ((i - start) % 4));
        return frame;
    }

    /** Arguments (number, manner, frames, answers, end) of the cases on each line or between semicolons, which may begin with numbers. */
    private static Stream<Arguments> cases(String table) {
        return Stream.of(table.split("[;\n]")).filter(line -> !line.isBlank()).map(String::strip).flatMap(line -> {
            int arrow = line.indexOf("=>"), last = line.lastIndexOf(' ');
            var parts = words(line.substring(0, arrow)).collect(Collectors.partitioningBy(word -> word.matches("\\d+\\.[^:]*")));
            String frames = String.join(" ", parts.get(false)), answers = line.substring(arrow + 2, Math.max(last, arrow + 2)).strip();
            return (parts.get(true).isEmpty() ? List.of("") : parts.get(true)).stream().map(number -> Arguments.of(
                    number.replaceFirst("/.*", ""), number.replaceFirst("[^/]*/?", ""), frames, answers, line.substring(last + 1)));
        });
    }

    /** A message or control frame that came out of a stream. */
    record Seen(int opcode, ByteBuffer payload) {
        Seen(int opcode, byte[] payload) { this(opcode, ByteBuffer.wrap(payload)); }

        static List<Seen> of(String line) {
            return words(line).map(word -> new Seen(Integer.parseInt(word, 1, 2, 16), RelayTest.payload(word.substring(3)))).toList();
        }

        @Override
        public String toString() {
            String hex = HexFormat.of().formatHex(payload.array());
            return opcode + ":" + (hex.length() > 100 ? hex.substring(0, 100) + "... " + hex.length() / 2 : hex);
        }
    }

    /** What takes something out of the input, such as frames: null if it is not all there. */
    interface Reader<T, E extends Exception> {
        T next(Relay.Input input) throws E;
    }

    /** A stream that comes in random pieces of 1 to `most` bytes. */
    static final class Pieces {
        final Relay.Input input;
        private final ByteBuffer left;
        private final int most;
        private final Random random;

        Pieces(byte[] bytes, int most) {
            this.input = new Relay.Input(Math.clamp(bytes.length, 256, 64 << 10));
            this.left = ByteBuffer.wrap(bytes);
            this.most = most;
            this.random = new Random(bytes.length * 31L + most);
        }

        Pieces(byte[] bytes) { this(bytes, Integer.MAX_VALUE); }

        /** What comes next. @throws EOFException if all has come, and that is not enough */
        <T, E extends Exception> T next(Reader<T, E> reader) throws E, EOFException {
            while (true) {
                T next = reader.next(input);
                if (next != null) return next;
                if (!left.hasRemaining()) throw new EOFException();
                var piece = new byte[Math.min(Math.min(input.bytes.length - input.available(), left.remaining()), 1 + random.nextInt(most))];
                left.get(piece);
                input.restart(concat(input.rest(), piece));
            }
        }
    }

    /** Counts the memory that a reader says it holds. */
    static final class Held implements IntConsumer {
        int now, peak;

        @Override
        public void accept(int bytes) {
            now += bytes;
            peak = Math.max(peak, now);
            assertTrue(now >= 0, "gave back more than it had");
        }
    }

    /** What a FrameReader makes of a stream: frames, and then a close code or "end". */
    record Reading(List<Seen> frames, String end) {
        static Reading of(byte[] stream, int maxMessage, int most) throws IOException {
            var held = new Held();
            var reader = new Relay.FrameReader(maxMessage, held);
            var pieces = new Pieces(stream, most);
            var frames = new ArrayList<Seen>();
            String end;
            try {
                while (true) {
                    var frame = pieces.next(reader::next);
                    frames.add(new Seen(frame.opcode(), Arrays.copyOfRange(frame.bytes(), frame.start(), frame.end())));
                }
            } catch (Relay.CloseException e) {
                assertFalse(e.getMessage().isEmpty(), "closed without a reason");
                end = e.code + "";
            } catch (EOFException e) {
                end = "end";
            }
            reader.release();
            assertEquals(0, held.now, "bytes are still held");
            return new Reading(frames, end);
        }

        /** The same in whatever pieces it comes: whole, byte by byte, small and large random ones. */
        static Reading of(byte[] stream, int maxMessage) throws IOException {
            Reading whole = of(stream, maxMessage, Integer.MAX_VALUE);
            for (int most : new int[] {1, 7, 3000}) assertEquals(whole, of(stream, maxMessage, most), "in pieces of up to " + most);
            return whole;
        }
    }

    private static void assertReads(byte[] stream, List<Seen> frames, String end) throws IOException {
        assertEquals(new Reading(frames, end), Reading.of(stream, 1 << 20));
    }

    /** UTF-8 as Autobahn tests it: + is right, - is wrong; numbers count in each section. */
    record Utf8Case(String number, boolean valid, byte[] bytes) {
        static List<Utf8Case> all() {
            var cases = new ArrayList<Utf8Case>();
            String section = "";
            int number = 0;
            for (String word : TABLE.split("\\s+")) {
                if (Character.isDigit(word.charAt(0))) {
                    section = word;
                    number = 0;
                } else {
                    cases.add(new Utf8Case(section + "." + ++number, word.charAt(0) == '+', hex(word.substring(1))));
                }
            }
            return cases;
        }

        @Override
        public String toString() { return number + (valid ? " right: " : " wrong: ") + HexFormat.of().formatHex(bytes); }

        private static final String TABLE = """
            6.5  +68656c6c6f24776f726c64 +68656c6c6fc2a2776f726c64 +68656c6c6fe282ac776f726c64 +68656c6c6ff0a4ada2776f726c64
                 +cebae1bdb9cf83cebcceb5
            6.6  -ce +ceba -cebae1 -cebae1bd +cebae1bdb9 -cebae1bdb9cf +cebae1bdb9cf83 -cebae1bdb9cf83ce +cebae1bdb9cf83cebc
                 -cebae1bdb9cf83cebcce +cebae1bdb9cf83cebcceb5
            6.7  +00 +c280 +e0a080 +f0908080
            6.8  -f888808080 -fc8480808080
            6.9  +7f +dfbf +efbfbf +f48fbfbf
            6.10 -f7bfbfbf -fbbfbfbfbf -fdbfbfbfbfbf
            6.11 +ed9fbf +ee8080 +efbfbd +f48fbfbf -f4908080
            6.12 -80 -bf -80bf -80bf80 -80bf80bf -80bf80bf80 -80bf80bf80bf
                 -808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbe
            6.13 -c020c120c220c320c420c520c620c720c820c920ca20cb20cc20cd20ce20cf20d020d120d220d320d420d520d620d720d820d920da20db20dc20dd20de20
                 -e020e120e220e320e420e520e620e720e820e920ea20eb20ec20ed20ee20 -f020f120f220f320f420f520f620 -f820f920fa20 -fc20
            6.14 -c0 -e080 -f08080 -f8808080 -fc80808080 -df -efbf -f7bfbf -fbbfbfbf -fdbfbfbfbf
            6.15 -c0e080f08080f8808080fc80808080dfefbff7bfbffbbfbfbffdbfbfbfbf
            6.16 -fe -ff -fefeffff
            6.17 -c0af -e080af -f08080af -f8808080af -fc80808080af
            6.18 -c1bf -e09fbf -f08fbfbf -f887bfbfbf -fc83bfbfbfbf
            6.19 -c080 -e08080 -f0808080 -f880808080 -fc8080808080
            6.20 -eda080 -edadbf -edae80 -edafbf -edb080 -edbe80 -edbfbf
            6.21 -eda080edb080 -eda080edbfbf -edadbfedb080 -edadbfedbfbf -edae80edb080 -edae80edbfbf -edafbfedb080 -edafbfedbfbf
            6.22 +efbfbe +efbfbf +f09fbfbe +f09fbfbf +f0afbfbe +f0afbfbf +f0bfbfbe +f0bfbfbf +f18fbfbe +f18fbfbf +f19fbfbe +f19fbfbf
                 +f1afbfbe +f1afbfbf +f1bfbfbe +f1bfbfbf +f28fbfbe +f28fbfbf +f29fbfbe +f29fbfbf +f2afbfbe +f2afbfbf +f2bfbfbe +f2bfbfbf
                 +f38fbfbe +f38fbfbf +f39fbfbe +f39fbfbf +f3afbfbe +f3afbfbf +f3bfbfbe +f3bfbfbf +f48fbfbe +f48fbfbf
            6.23 +efbfb9 +efbfba +efbfbb +efbfbc +efbfbd +efbfbe +efbfbf""";
    }

    // The opening handshake, RFC 6455 §4.2. Each case changes one part of a right request; ~ stands for CR LF, ^ for a tab.
    @Nested
    class Handshake {
        @AutoClose
        private static Relay relay;

        @BeforeAll
        static void start() throws IOException { relay = relay(); }

        private static Stream<Arguments> rows(String table) {
            return table.lines().map(line -> Arguments.of(Stream.of(line.split("\\|", -1)).map(String::strip).toArray()));
        }

        private static String changed(String part, String instead) {
            String right = Raw.upgrade("/ws-relay/handshake"), from = part.replace("~", "\r\n");
            assertTrue(right.contains(from), part);
            return right.replace(from, instead.replace("~", "\r\n").replace('^', '\t'));
        }

        private static void assertUpgraded(Raw raw, String accept) throws IOException {
            String head = raw.head();
            assertTrue(head.startsWith("HTTP/1.1 101 "), head);
            for (String line : List.of("Sec-WebSocket-Accept: " + accept, "Upgrade: websocket", "Connection: Upgrade"))
                assertTrue(head.contains("\r\n" + line + "\r\n"), head);
            assertFalse(head.contains("Sec-WebSocket-Extensions") || head.contains("Sec-WebSocket-Protocol"), head);
            assertTrue(raw.receive().text().endsWith(" self"));
        }

        private static void assertRefused(Raw raw, String status, String header, String excerpt) throws IOException {
            String head = raw.head();
            assertTrue(head.startsWith("HTTP/1.1 " + status + " "), head);
            assertTrue(head.toLowerCase(Locale.ROOT).contains("\r\n" + header.toLowerCase(Locale.ROOT)), head);
            if (excerpt.isEmpty()) return;   // to HEAD there is no body
            int length = Integer.parseInt(head.replaceFirst("(?s).*\r\nContent-Length: (\\d+)\r\n.*", "$1"));
            String sentence = new String(raw.in.readNBytes(length), StandardCharsets.UTF_8);
            assertTrue(length > 20 && sentence.endsWith("\n") && sentence.contains(excerpt), sentence);
        }

        static Stream<Arguments> legal() {
            return rows("""
                GET | GET
                Upgrade: websocket | UPGRADE:websocket
                Upgrade: websocket | upgrade: ^ WebSocket ^
                Upgrade: websocket | Upgrade: h2c, websocket
                Upgrade: websocket | Upgrade: h2c~Upgrade: WEBSOCKET
                Connection: Upgrade | connection: upgrade
                Connection: Upgrade | Connection: keep-alive, Upgrade
                Connection: Upgrade | Connection: keep-alive ^,^UPGRADE,,
                Connection: Upgrade | Connection: keep-alive~Connection: Upgrade
                Sec-WebSocket-Key: | sec-websocket-key:^
                Sec-WebSocket-Version: 13 | SEC-WEBSOCKET-VERSION:13 ^
                Sec-WebSocket-Version: 13 | Sec-WebSocket-Version: 13~Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits
                Sec-WebSocket-Version: 13 | Sec-WebSocket-Version: 13~Sec-WebSocket-Protocol: chat, superchat
                Host: localhost~ | Pragma: no-cache~User-Agent: x (y; z)~Cookie: a=b~X-Empty:~Host: localhost~Cache-Control: no-cache~
                Host: localhost | Content-Length: 0~Host: localhost
                GET /ws | ~GET /ws
                GET /ws | GET http://localhost/ws
                """);
        }

        @ParameterizedTest(name = "{0} -> {1}")
        @MethodSource("legal")
        void isAcceptedInEveryLegalSpelling(String part, String instead) throws IOException {
            try (var raw = new Raw(relay.port())) {
                assertUpgraded(raw.send(changed(part, instead)), Raw.ACCEPT);
            }
        }

        static Stream<Arguments> illegal() {
            return rows("""
                Upgrade: websocket~ | | 426 | upgrade: websocket | Upgrade: websocket
                Upgrade: websocket | Upgrade: h2c | 426 | upgrade: websocket | Upgrade: websocket
                Upgrade: websocket | Upgrade: websockets | 426 | upgrade: websocket | Upgrade: websocket
                Connection: Upgrade~ | | 426 | upgrade: websocket | Connection: Upgrade
                Connection: Upgrade | Connection: keep-alive | 426 | upgrade: websocket | Connection: Upgrade
                Connection: Upgrade | Connection: no-upgrade | 426 | upgrade: websocket | Connection: Upgrade
                GET | HEAD | 426 | upgrade: websocket |
                HTTP/1.1 | HTTP/1.0 | 426 | upgrade: websocket | HTTP/1.0
                HTTP/1.1 | HTTP/2.0 | 505 | | HTTP/2.0
                GET | POST | 405 | allow: GET, HEAD | POST
                GET | get | 405 | allow: GET, HEAD | get
                Sec-WebSocket-Version: 13~ | | 426 | sec-websocket-version: 13 | Sec-WebSocket-Version 13
                Sec-WebSocket-Version: 13 | Sec-WebSocket-Version: 8 | 426 | sec-websocket-version: 13 | '8'
                Sec-WebSocket-Version: 13 | Sec-WebSocket-Version: 013 | 426 | sec-websocket-version: 13 | '013'
                Sec-WebSocket-Version: 13 | Sec-WebSocket-Version: 25~Sec-WebSocket-Key2: x | 426 | sec-websocket-version: 13 | '25'
                Sec-WebSocket-Version: 13 | Sec-WebSocket-Version: 13~Sec-WebSocket-Version: 8 | 426 | sec-websocket-version: 13 | '13, 8'
                Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==~ | | 400 | | Sec-WebSocket-Key
                dGhlIHNhbXBsZSBub25jZQ== | | 400 | | ''
                dGhlIHNhbXBsZSBub25jZQ== | dGhlIHNhbXBsZSBub25jZQ | 400 | | 'dGhlIHNhbXBsZSBub25jZQ'
                dGhlIHNhbXBsZSBub25jZQ== | dGhlIHNhbXBsZSBub25j | 400 | | 16 bytes
                dGhlIHNhbXBsZSBub25jZQ== | dGhlIHNhbXBsZSBub25jZQAA | 400 | | 16 bytes
                dGhlIHNhbXBsZSBub25jZQ== | dGhlIHNhbXBsZSBub25j_-== | 400 | | base64
                dGhlIHNhbXBsZSBub25jZQ== | dGhlIHNhbXBs ZSBub25jZQ= | 400 | | base64
                Sec-WebSocket-Key: | Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==~Sec-WebSocket-Key: | 400 | | ==, dG
                Host: localhost | Host: localhost~Content-Length: 5 | 413 | connection: close | 5 bytes
                Host: localhost | Host: localhost~Transfer-Encoding: chunked | 411 | connection: close | bodies
                """);
        }

        @ParameterizedTest(name = "{0} -> {1}: {2}")
        @MethodSource("illegal")
        void isRefusedWithAStatusAndASentence(String part, String instead, String status, String header, String excerpt)
                throws IOException {
            try (var raw = new Raw(relay.port())) {
                assertRefused(raw.send(changed(part, instead)), status, header, excerpt);
            }
        }

        @Test
        void answersEachKeyWithItsOwnAccept() throws Exception {
            for (byte i = 0; i < 20; i++) {
                String key = Base64.getEncoder().encodeToString(hex("%02x".formatted(251 - i).repeat(16)));
                byte[] hash = java.security.MessageDigest.getInstance("SHA-1").digest(bytes(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
                try (var raw = new Raw(relay.port())) {
                    assertUpgraded(raw.send(changed(Raw.KEY, key)), Base64.getEncoder().encodeToString(hash));
                }
            }
        }

        @Test
        void mayComeByteByByteWithItsFirstFrame() throws IOException {
            try (var raw = new Raw(relay.port())) {
                for (byte b : concat(bytes(Raw.upgrade("/ws-relay/trickle")), text("1 hello"))) raw.send(new byte[] {b});
                assertUpgraded(raw, Raw.ACCEPT);
                raw.expect("1 hello");
            }
        }

        @Test
        void mayBeFollowedByFramesInTheSamePacket() throws IOException {
            try (var raw = new Raw(relay.port())) {
                raw.send(concat(bytes(Raw.upgrade("/ws-relay/packet")), text("1 a"), text("1 b"), close(1000, "")));
                assertUpgraded(raw, Raw.ACCEPT);
                raw.expect("1 a").expect("1 b").expectClose(1000);
            }
        }

        @Test
        void mayFollowARefusalOnTheSameConnection() throws IOException {
            try (var raw = new Raw(relay.port())) {
                raw.send(changed("Version: 13", "Version: 12") + changed("Upgrade: websocket~", "") + changed("GET", "GET"));
                assertRefused(raw, "426", "sec-websocket-version: 13", "'12'");
                assertRefused(raw, "426", "upgrade: websocket", "Upgrade");
                assertUpgraded(raw, Raw.ACCEPT);
            }
        }

        @Test
        void isForgottenWithAllItsMemoryOnceItIsRefused() throws IOException {
            try (var small = relay(options -> options.budget = 100_000)) {
                for (int i = 0; i < 40; i++) {
                    try (var raw = new Raw(small.port())) {
                        raw.send(changed("GET", "HEAD").replace("Host", "Cookie: " + "x".repeat(7_000) + "\r\nHost"));
                        assertRefused(raw, "426", "upgrade: websocket", "");
                    }
                }
                try (var client = Raw.open(small, "/ws-relay")) {
                    String message = "1 data " + "x".repeat(20_000);
                    client.expect("1 self").send(text(message)).expect(message);
                }
            }
        }
    }

    // Frames in and out, RFC 6455 §5, without a socket: streams of bytes through a FrameReader, each in pieces of
    // all sizes. That a stream may stop right after its offence shows that the reader waits for no more.
    @Nested
    class Frames {
        static Stream<Arguments> streams() {
            return cases("""
                => end; 81 => end; 8185 37fa213d 7f9f4d5158 => 81:Hello end; 8185 37fa213d 7f9f4d51 => end
                8185 00000000 48656c6c6f => 81:Hello end; 8985 37fa213d 7f9f4d5158 => 89:Hello end
                8980 01020304 8a80 01020304 => 89: 8a: end; 89:fe*125 8a:00*125 => 89:fe*125 8a:00*125 end
                81:a 82:b 89:c 8a:d 81: => 81:a 82:b 89:c 8a:d 81: end
                01:a 80:b => 81:ab end; 02:0xff00 00:0xfe 80:0xfd => 82:0xff00fefd end; 01:a 88:0x03e8 => 88:0x03e8 end
                01:a 89:p 00:b 8a:q 89: 80:c 81:d => 89:p 8a:q 89: 81:abc 81:d end; 02:a 00:b 89:p => 89:p end; 01:a => end
                01: 00: 80: 81:x => 81: 81:x end; 01: 89:p 00:a 00: 80: 02: 80:b => 89:p 81:a 82:b end
                81:a c181 => 81:a 1002; 89fe => 1002; 88ff => 1002; 8a7e => 1002; 09 80 => 1002; 08 80 => 1002; 0a 80 => 1002
                80 80 => 1002; 00 80 => 1002; 01:a 80:b 80 80 => 81:ab 1002; 01:a 81 80 => 1002; 01: 81 80 => 1002
                02:a 01 80 => 1002; 02:a 89:p 82 80 => 89:p 1002; 8100 => 1002; 8905 => 1002; 827f => 1002
                81fe 0000 => 1002; 81fe 007d => 1002; 82ff 0000000000000000 => 1002; 82ff 000000000000007d => 1002
                82ff 000000000000ffff => 1002; 82ff 8000000000000000 => 1002; 82ff ffffffffffffffff => 1002
                82ff 0000000000100001 => 1009; 82ff 7fffffffffffffff => 1009; 81ff 0000000100000001 => 1009
                88: => 88: end; 88:0x03 => 1002; 88:0x03ed => 1002; 88:0x0bb8 => 88:0x0bb8 end
                88:0x03e8c3a9 => 88:0x03e8c3a9 end; 88:0x03e8c3 => 1007""");
        }

        @ParameterizedTest(name = "{2} => {3} {4}")
        @MethodSource("streams")
        void areReadAsTheyAreWrittenAndRefusedAtTheFirstOffence(String number, String manner, String stream, String frames, String end)
                throws IOException {
            assertReads(stream(stream), Seen.of(frames), end);
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

        @ParameterizedTest
        @ValueSource(ints = {0, 1, 124, 125, 126, 127, 128, 65534, 65535, 65536, 65537, 1 << 20})
        void mayHaveAnyLengthThatIsWrittenInTheFewestBytes(int length) throws IOException {
            for (String kind : List.of("81:7fe282ac", "82:00ff80"))
                assertReads(stream(kind + "*" + length / 4 * 4 + " 82/1000:00ff80*" + length),
                        Seen.of(kind + "*" + length / 4 * 4 + " 82:00ff80*" + length), "end");
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

        @ParameterizedTest(name = "{0}")
        @CsvSource({"82fe03e9,0", "81ff0000000000010000,0", "82ff7fffffffffffffff,0", "02:2a*600 00fe0191,1000", "01:2a*1000 8081,1000"})
        void areTooLargeByTheirHeadersBeforeMemoryIsTaken(String stream, int memory) {
            var held = new Held();
            var reader = new Relay.FrameReader(1000, held);
            assertEquals(1009, assertThrows(Relay.CloseException.class, () -> new Pieces(stream(stream)).next(reader::next)).code);
            assertTrue(held.peak <= memory, held.peak + " bytes taken");
        }

        @ParameterizedTest(name = "{0}")
        @ValueSource(strings = {"82:2a*1000", "02:2a*600 89: 80:2a*400", "01:2a*1000 80:", "82/1:2a*1000"})
        void mayAddUpToExactlyTheLimit(String stream) throws IOException {
            assertEquals("end", Reading.of(stream(stream), 1000).end);
            assertEquals("1009", Reading.of(stream(stream), 999).end);
        }

        @Test
        void takeMemoryAsBytesComeAndNotAsTheyAreAnnounced() {
            var held = new Held();
            var reader = new Relay.FrameReader(1 << 20, held);
            assertThrows(EOFException.class, () -> new Pieces(Arrays.copyOf(stream("82:2a*1048576"), 100)).next(reader::next));
            assertTrue(held.peak > 0 && held.peak <= 100_000, held.peak + " bytes for 100");
        }

        @Test
        void giveTheirMemoryBackWhenTheyAreDealtWith() throws Exception {
            var held = new Held();
            var reader = new Relay.FrameReader(1 << 20, held);
            var pieces = new Pieces(stream("82/5000:2a*1048576 89:"));
            assertEquals(1 << 20, pieces.next(reader::next).end());
            assertTrue(held.peak >= 1 << 20 && held.peak <= (1 << 20) + (16 << 10), held.peak + " bytes for 1 MiB");
            assertEquals(0, held.now);
            assertEquals(9, pieces.next(reader::next).opcode());
        }

        @ParameterizedTest(name = "{0} bytes: {1}")
        @CsvSource({"0,8200", "1,8201", "125,827d", "126,827e007e", "127,827e007f", "65535,827effff", "65536,827f0000000000010000",
            "1048576,827f0000000000100000"})
        void areEncodedWithTheirLengthInTheFewestBytes(int length, String header) {
            byte[] payload = payload("00ff55aa01*" + length), around = concat(hex("dead"), payload, hex("beef"));
            for (int prefix = 0; prefix <= Math.min(3, length); prefix++)
                assertArrayEquals(concat(hex(header), payload),
                        Relay.encode(2, Arrays.copyOf(payload, prefix), around, 2 + prefix, 2 + length));
        }

        @ParameterizedTest(name = "{0} characters {1} are cut to {2} bytes")
        @CsvSource({"0,a,0", "123,a,123", "124,a,123", "1000,a,123", "61,é,122", "62,é,122",
            "41,€,123", "42,€,123", "30,🚀,120", "31,🚀,120"})
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

    // Text is UTF-8 (RFC 6455 §8.1, RFC 3629) wherever fragments divide it, and what isn't is told at its first
    // wrong byte. The JDK's strict decoder is the judge.
    @Nested
    class Utf8Text {
        static List<Utf8Case> cases() { return Utf8Case.all(); }

        private static boolean isText(byte[] bytes) {
            try {
                return StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes)) != null;
            } catch (java.nio.charset.CharacterCodingException wrong) {
                return false;
            }
        }

        private static boolean canBecomeText(byte[] start) {
            return Stream.of("", "80", "bf", "8080", "bf80", "808080", "bf8080").anyMatch(rest -> isText(concat(start, hex(rest))));
        }

        @ParameterizedTest(name = "{0}")
        @MethodSource("cases")
        void isAcceptedOrRefusedWhereverFragmentsDivideIt(Utf8Case text) throws IOException {
            byte[] all = text.bytes;
            assertEquals(isText(all), text.valid);
            var expected = new Reading(text.valid ? List.of(new Seen(1, all)) : List.of(), text.valid ? "end" : "1007");
            for (int i = 0; i <= all.length; i++)
                for (int j = i; j <= all.length; j++) {
                    byte[] stream = concat(frame(false, 1, Arrays.copyOf(all, i)), frame(false, 0, Arrays.copyOfRange(all, i, j)),
                            frame(true, 0, Arrays.copyOfRange(all, j, all.length)));
                    assertEquals(expected, Reading.of(stream, 1000, i % 2 == 0 ? 3 : 1000), () -> HexFormat.of().formatHex(stream));
                }
        }

        @ParameterizedTest(name = "{0}")
        @MethodSource("cases")
        void isRefusedAtItsFirstWrongByteHoweverMuchIsToCome(Utf8Case text) throws IOException {
            int good = 0;
            while (good < text.bytes.length && canBecomeText(Arrays.copyOf(text.bytes, good + 1))) good++;
            byte[] announced = frame(true, 1, concat(bytes("Hello "), text.bytes, new byte[300]));
            assertReads(Arrays.copyOf(announced, 8 + 6 + good), List.of(), "end");
            if (good < text.bytes.length) assertReads(Arrays.copyOf(announced, 8 + 6 + good + 1), List.of(), "1007");
            else assertReads(frame(false, 1, text.bytes), List.of(), "end");
        }

        @ParameterizedTest(name = "{0}")
        @MethodSource("cases")
        void isJudgedTheSameInACloseReasonAndNotAtAllInBinaryAndPings(Utf8Case text) throws IOException {
            byte[] close = concat(hex("0fa0"), text.bytes);
            assertReads(frame(true, 8, close), text.valid ? List.of(new Seen(8, close)) : List.of(), text.valid ? "end" : "1007");
            for (int opcode : new int[] {2, 9}) assertReads(frame(true, opcode, text.bytes), List.of(new Seen(opcode, text.bytes)), "end");
        }

        @Test
        void isRefusedAtItsFirstWrongByteInACloseReasonToo() throws IOException {
            byte[] announced = frame(true, 8, concat(hex("0fa0"), bytes("bye "), hex("ff"), new byte[100]));
            assertReads(Arrays.copyOf(announced, 6 + 2 + 4), List.of(), "end");
            assertReads(Arrays.copyOf(announced, 6 + 2 + 5), List.of(), "1007");
        }

        @Test
        void isEveryCodePointThatThereIs() throws IOException {
            var all = new StringBuilder();
            IntStream.rangeClosed(0, 0x10ffff).filter(c -> c < 0xd800 || c > 0xdfff).forEach(all::appendCodePoint);
            byte[] text = bytes(all.toString());
            assertEquals(new Reading(List.of(new Seen(1, concat(text, text))), "end"),
                    Reading.of(concat(frame(false, 1, text), frame(true, 0, text)), 10 << 20, 5000));
        }

        @Test
        void isJudgedAsTheJdkDoesForEverySequenceOfFourTellingBytes() throws IOException {
            byte[] telling = hex("00 7f 80 8f 90 9f a0 bf c0 c1 c2 df e0 e1 ec ed ee ef f0 f1 f3 f4 f5 f7 f8 ff");
            for (int n = 0; n < Math.pow(telling.length, 4); n++) {
                var four = new byte[4];
                for (int i = 0, rest = n; i < 4; i++, rest /= telling.length) four[i] = telling[rest % telling.length];
                assertJudged(four);
                if (n % 7 == 0) assertJudged(concat(Arrays.copyOf(four, 2), bytes("and then"), Arrays.copyOfRange(four, 2, 4)));
            }
        }

        private static void assertJudged(byte[] text) throws IOException {
            String end = Reading.of(masked(0x81, text, 0), 12, 1 << 20).end;
            assertEquals(isText(text) ? "end" : "1007", end, () -> HexFormat.of().formatHex(text));
        }
    }

    // The closing handshake, RFC 6455 §7, on a socket. The farewell time is far longer than a read of these tests waits:
    // the server must end its part by itself and not because of a deadline.
    @Nested
    class Closing {
        @AutoClose
        private static Relay echo;

        @BeforeAll
        static void start() throws IOException { echo = new Echo(options(options -> options.farewellTime = 60_000)).start(); }

        private static Raw open() throws IOException { return Raw.open(echo, "/ws-relay"); }

        @ParameterizedTest
        @ValueSource(ints = {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999})
        void isAnsweredWithTheSameCodeAndReason(int code) throws IOException {
            for (String reason : List.of("", "bye", "x".repeat(123), "€".repeat(41)))
                try (var raw = open()) {
                    assertEquals(reason, raw.send(close(code, reason)).expectClose(code));
                }
        }

        @ParameterizedTest
        @ValueSource(ints = {0, 1, 255, 999, 1004, 1005, 1006, 1015, 1016, 1100, 1999, 2000, 2999, 5000, 32768, 65535})
        void isAProtocolErrorWithACodeThatMayNotBeSent(int code) throws IOException {
            for (String reason : List.of("", "bye"))
                try (var raw = open()) {
                    String answer = raw.send(close(code, reason)).expectClose(1002);
                    assertTrue(answer.contains(code + ""), answer);
                }
        }

        @ParameterizedTest(name = "{0}: {1}")
        @CsvSource({"88:,1005", "88:0x03,1002", "88:0x03e8ff,1007", "88:0x03e8c3,1007", "88:2a*126,1002", "08:,1002",
            "01:a 88:0x03e8,1000"})
        void isAnsweredAsItsPayloadDeserves(String frames, int code) throws IOException {
            try (var raw = open()) {
                String reason = raw.send(stream(frames)).expectClose(code);
                assertEquals(code == 1000 || code == 1005, reason.isEmpty(), reason);
            }
        }

        @Test
        void comesAfterTheAnswersToAllBeforeIt() throws IOException {
            try (var raw = open()) {
                String large = "x".repeat(1 << 20);
                raw.send(concat(text(large), frame(true, 9, bytes("p")), text("b"), close(4321, "done")));
                assertEquals("done", raw.expect(large).expect("p").expect("b").expectClose(4321));
            }
        }

        @ParameterizedTest(name = "{0}")
        @ValueSource(strings = {"81:late 89: 88:0x03e9", "88:0x03e8", "ffffffffffffffffffff", "82ff7fffffffffffffff", "82:00*100000"})
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

        @ParameterizedTest(name = "after \"{0}\"")
        @ValueSource(strings = {"", "81", "81fe", "8185 00000000 61", "01:a", "01:a 80"})
        void ofOneHalfWithinAMessageIsTheEnd(String half) throws IOException {
            try (var raw = open()) {
                raw.send(concat(text("a"), stream(half))).socket.shutdownOutput();
                raw.expect("a").expectEnd();
            }
        }

        @ParameterizedTest(name = "{0}: {1}")
        @CsvSource({"c1:a,1002", "81:0xff,1007", "82ff7fffffffffffffff,1009", "88:0x03e8,1000"})
        void reachesTheClientEvenIfMuchUnreadDataIsOnItsWay(String last, int code) throws IOException {
            byte[] all = concat(text("a"), stream(last), new byte[8 << 20]);
            for (int i = 0; i < 5; i++)
                try (var raw = open()) {
                    raw.send(all).expect("a").expectClose(code);
                }
        }

        @Test
        void isFollowedByAnEndEvenIfTheClientStays() throws IOException {
            try (var hasty = new Echo(options(options -> options.farewellTime = 100)).start(); var raw = Raw.open(hasty, "/ws-relay")) {
                raw.send(close(1000, "")).expectClose(1000);
                eventually(() -> {
                    try {
                        return raw.send(new byte[1]) == null;
                    } catch (IOException reset) {
                        return true;
                    }
                }, "the server closes the connection");
            }
        }
    }

    // The cases of the public Autobahn test suite, sections 1 to 7, 9 and 10, by its numbers: a client sends frames to the
    // echo endpoint, certain frames must come back, and then a close with this code. Frames leave in one write, after /sync
    // one by one, or chopped in pieces of /n bytes; < waits for the next answer, ? sees that none comes.
    @Nested
    class Autobahn {
        @AutoClose
        private static Relay echo;

        @BeforeAll
        static void start() throws IOException { echo = echo(); }

        static List<Arguments> all() {
            var table = new StringJoiner("\n").add(TABLE);
            int[] sizes = {0, 125, 126, 127, 128, 65535, 65536, 65536};
            for (int i = 0; i < 8; i++)
                table.add("1.1.%1$d%2$s 81:2a*%3$d => 81:2a*%3$d 1000; 1.2.%1$d%2$s 82:fe*%3$d => 82:fe*%3$d 1000".formatted(
                        i + 1, i == 7 ? "/997" : "", sizes[i]));
            for (var text : Utf8Case.all()) {
                String message = "81:0x" + HexFormat.of().formatHex(text.bytes);
                table.add(text.number + " " + message + " => " + (text.valid ? message + " 1000" : "1007"));
            }
            int[][] codes = {{7, 1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999},
                {9, 0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999}, {13, 5000, 65535}};
            for (int[] section : codes)
                for (int i = 1; i < section.length; i++)
                    table.add("7.%d.%d 88:0x%04x => %d".formatted(section[0], i, section[i], section[0] == 7 ? section[i] : 1002));
            addLimits(table, 1, "81", ":4241736437266a683233*", ":2a*");
            addLimits(table, 2, "82", ":00fe23faf0*", ":fe*");
            return cases(table.toString()).toList();
        }

        /** Section 9, of which one half is for text: large, fragmented, chopped and many messages. */
        private static void addLimits(StringJoiner table, int half, String first, String pattern, String same) {
            int[] large = {65536, 262144, 1 << 20, 4 << 20, 8 << 20, 16 << 20}, small = {0, 16, 64, 256, 1024, 4096};
            for (int i = 0; i < 6; i++) {
                table.add("9.%d.%d %3$s => %3$s 1000".formatted(half, i + 1, first + pattern + large[i]));
                table.add("9.%d.%d/%d %4$s => %4$s 1000".formatted(half + 4, i + 1, 64 << i, first + pattern + (1 << 20)));
                table.add("9.%d.%d %s=> %s1000".formatted(half + 6, i + 1, (first + same + small[i] + " < ").repeat(1000),
                        (first + same + small[i] + " ").repeat(1000)));
            }
            for (int i = 0; i < 9; i++)
                table.add("9.%d.%d %s/%d%s => %3$s%5$s 1000".formatted(
                        half + 2, i + 1, first, i < 8 ? 64 << 2 * i : 4 << 20, same + (4 << 20)));
        }

        @Test
        void areAllOfThem() {
            var sections = all().stream().map(one -> (String) one.get()[0]).distinct()
                    .collect(Collectors.groupingBy(number -> number.replaceFirst("\\..*", ""), TreeMap::new, Collectors.counting()));
            assertEquals("{1=16, 10=1, 2=11, 3=7, 4=10, 5=20, 6=145, 7=37, 9=54}", sections.toString());
        }

        @ParameterizedTest(name = "{0}")
        @MethodSource("all")
        void isPassed(String number, String manner, String frames, String answers, int code) throws IOException {
            try (var raw = Raw.open(echo, "/ws-relay")) {
                var expected = Seen.of(answers).iterator();
                for (String part : frames.splitWithDelimiters("[<?]", 0)) {
                    if (part.equals("<")) expectNext(expected, raw);
                    else if (part.equals("?")) assertQuiet(raw);
                    else for (byte[] piece : pieces(manner, part)) raw.send(piece);
                }
                while (expected.hasNext()) expectNext(expected, raw);
                if (code == 1000 && !frames.contains("88:")) raw.send(close(1000, ""));
                raw.expectClose(code);
            }
        }

        private static List<byte[]> pieces(String manner, String part) {
            if (manner.equals("sync")) return words(part).flatMap(word -> frames(word).stream()).toList();
            byte[] stream = stream(part);
            int size = manner.isEmpty() ? Math.max(1, stream.length) : Integer.parseInt(manner);
            return IntStream.rangeClosed(0, (stream.length - 1) / size)
                    .mapToObj(i -> Arrays.copyOfRange(stream, i * size, Math.min((i + 1) * size, stream.length))).toList();
        }

        private static void expectNext(Iterator<Seen> expected, Raw raw) throws IOException {
            Received received = raw.receive();
            assertEquals(expected.next(), new Seen(received.opcode, received.payload));
            assertTrue(received.last);
        }

        private static void assertQuiet(Raw raw) throws IOException {
            raw.socket.setSoTimeout(100);
            assertThrows(SocketTimeoutException.class, raw.in::read);
            raw.socket.setSoTimeout(10_000);
        }

        private static final String TABLE = """
            2.1 89: => 8a: 1000; 2.2 89:Hello,_world! => 8a:Hello,_world! 1000; 2.3 89:0x00fffefdfcfb00ff => 8a:0x00fffefdfcfb00ff 1000
            2.4 2.6/1 89:fe*125 => 8a:fe*125 1000; 2.5 89:fe*126 => 1002; 2.7 8a: 88:0x03e8 => 1000; 2.8 8a:unsolicited 88:0x03e8 => 1000
            2.9 8a:unsolicited 89:ping => 8a:ping 1000
            2.10 2.11/1 89:0 89:1 89:2 89:3 89:4 89:5 89:6 89:7 89:8 89:9 => 8a:0 8a:1 8a:2 8a:3 8a:4 8a:5 8a:6 8a:7 8a:8 8a:9 1000
            3.1 91:Hello => 1002; 3.2 81:Hello a1:Hello 89: => 81:Hello 1002; 3.3/sync 81:Hello b1:Hello 89: => 81:Hello 1002
            3.4/1 81:Hello c1:Hello 89: => 81:Hello 1002; 3.5 d2:0x00fffefdfcfb00ff => 1002; 3.6 e2:Hello => 1002; 3.7 f8: => 1002
            4.1.1 83: => 1002; 4.1.2 84:reserved => 1002; 4.1.3 81:Hello 85: 89: => 81:Hello 1002
            4.1.4 81:Hello 86:Hello 89: => 81:Hello 1002; 4.1.5/1 81:Hello 87:Hello 89: => 81:Hello 1002
            4.2.1 8b: => 1002; 4.2.2 8c:reserved => 1002; 4.2.3 81:Hello 8d: 89: => 81:Hello 1002
            4.2.4 81:Hello 8e:Hello 89: => 81:Hello 1002; 4.2.5/1 81:Hello 8f:Hello 89: => 81:Hello 1002
            5.1 09:f1 80:f2 => 1002; 5.2 0a:f1 80:f2 => 1002; 5.3 5.4/sync 5.5/1 01:f1 80:f2 => 81:f1f2 1000
            5.6 5.7/sync 5.8/1 01:f1 89:ping 80:f2 => 8a:ping 81:f1f2 1000
            5.9 5.10/sync 5.11/1 80:non-continuation 81:Hello => 1002; 5.12 5.13/sync 5.14/1 00:non-continuation 81:Hello => 1002
            5.15 01:f1 80:f2 00:f3 81:f4 => 81:f1f2 1002; 5.16 00:f1 01:f2 80:f3 00:f1 01:f2 80:f3 => 1002
            5.17 80:f1 01:f2 80:f3 80:f1 01:f2 80:f3 => 1002; 5.18 01:f1 81:f2 => 1002
            5.19 5.20/sync 01:f1 00:f2 89:p1 < 00:f3 00:f4 89:p2 80:f5 => 8a:p1 8a:p2 81:f1f2f3f4f5 1000
            6.1.1 81: => 81: 1000; 6.1.2 01: 00: 80: => 81: 1000; 6.1.3 01: 00:middle 80: => 81:middle 1000
            6.2.1 81:Hello-µ@ßöä => 81:Hello-µ@ßöä 1000; 6.2.2 01:Hello-µ@ 80:ßöä => 81:Hello-µ@ßöä 1000
            6.2.3 81/1:Hello-µ@ßöä => 81:Hello-µ@ßöä 1000; 6.2.4 81/1:0xcebae1bdb9cf83cebcceb5 => 81:0xcebae1bdb9cf83cebcceb5 1000
            6.3.1 81:0xcebae1bdb9cf83cebcceb5eda080656469746564 => 1007; 6.3.2 81/1:0xcebae1bdb9cf83cebcceb5eda080656469746564 => 1007
            6.4.1 01:0xcebae1bdb9cf83cebcceb5 ? 00:0xf4908080 => 1007; 6.4.2 01:0xcebae1bdb9cf83cebcceb5f4 ? 00:0x90 => 1007
            6.4.3 0195 00000000 cebae1bdb9cf83cebcceb5 ? f4908080 => 1007; 6.4.4 0195 00000000 cebae1bdb9cf83cebcceb5f4 ? 90 => 1007
            7.1.1 81:Hello => 81:Hello 1000; 7.1.2 88:0x03e8 88: => 1000; 7.1.3 88:0x03e8 89: => 1000; 7.1.4 88:0x03e8 81:Hello => 1000
            7.1.5 01:f1 88:0x03e8 80:f2 => 1000; 7.1.6 81:42417364*262144 81:Hello 88:0x03e8 89: => 81:42417364*262144 81:Hello 1000
            7.3.1 88: => 1005; 7.3.2 88:a => 1002; 7.3.3 88:0x03e8 => 1000; 7.3.4 88:0x03e8+Hello => 1000; 7.3.5 88:0x03e8+2a*123 => 1000
            7.3.6 88:0x03e8+2a*124 => 1002; 7.5.1 88:0x03e8cebae1bdb9cf83cebcceb5eda080656469746564 => 1007
            10.1.1 81/1300:2a*65536 => 81:2a*65536 1000""";
    }

    // What no one would think of: streams of random frames, whole and spoilt. Of a spoilt stream may come frames, a close
    // with one of three codes, or its end, and nothing else. Seeds are numbers that count up, and are told with a failure.
    @Nested
    class Fuzz {
        /** Some messages in random fragments with control frames in between, and the frames that must come of them. */
        record Script(byte[] stream, List<Seen> frames) {
            static Script random(Random random, String textPrefix) {
                var stream = new ByteArrayOutputStream();
                var frames = new ArrayList<Seen>();
                for (int messages = random.nextInt(5); messages >= 0; messages--) {
                    int opcode = 1 + random.nextInt(2), length = random.nextInt(40);
                    if (random.nextInt(60) == 0) length = new int[] {120, 2000, 65530}[random.nextInt(3)] + random.nextInt(12);
                    byte[] payload = opcode == 2 ? randomBytes(random, length) : concat(bytes(textPrefix), randomText(random, length));
                    for (int fragments = random.nextInt(4), first = opcode, at = 0, end; fragments >= 0; fragments--, first = 0, at = end) {
                        end = fragments == 0 ? payload.length : at + random.nextInt(payload.length - at + 1);
                        byte[] fragment = Arrays.copyOfRange(payload, at, end);
                        stream.writeBytes(masked(fragments == 0 ? 0x80 | first : first, fragment, random.nextInt()));
                        if (fragments == 0) frames.add(new Seen(opcode, payload));
                        if (random.nextInt(4) != 0) continue;
                        var control = random.nextInt(20) == 0 ? new Seen(8, hex("0bb8627965"))
                                : new Seen(9 + random.nextInt(2), randomBytes(random, random.nextInt(126)));
                        stream.writeBytes(masked(0x80 | control.opcode, control.payload.array(), random.nextInt()));
                        frames.add(control);
                    }
                }
                return new Script(stream.toByteArray(), frames);
            }
        }

        private static byte[] randomBytes(Random random, int length) {
            var bytes = new byte[length];
            random.nextBytes(bytes);
            return bytes;
        }

        private static byte[] randomText(Random random, int length) {
            int[] ends = {0x80, 0x800, 0xd800, 0x110000};   // of characters of one byte, up to two, three, four
            var text = new StringBuilder();
            while (text.length() < length) {
                int c = random.nextInt(ends[random.nextInt(4)]);
                if (c < 0xd800 || c > 0xdfff) text.appendCodePoint(c);
            }
            return bytes(text.toString());
        }

        /** Flips bits, doubles, removes, inserts and cuts. */
        private static byte[] spoil(byte[] stream, Random random) {
            byte[] spoilt = stream;
            for (int times = random.nextInt(3); times >= 0; times--) {
                int at = random.nextInt(spoilt.length + 1), end = Math.min(spoilt.length, at + 1 + random.nextInt(20));
                byte[] before = Arrays.copyOf(spoilt, at), slice = Arrays.copyOfRange(spoilt, at, end),
                        after = Arrays.copyOfRange(spoilt, end, spoilt.length);
                switch (random.nextInt(10)) {
                    case 0 -> spoilt = concat(before, slice, slice, after);
                    case 1 -> spoilt = concat(before, after);
                    case 2 -> spoilt = concat(before, randomBytes(random, 1 + random.nextInt(10)), slice, after);
                    case 3 -> spoilt = before;
                    default -> {
                        if (slice.length > 0) slice[0] ^= (byte) (1 << random.nextInt(8));
                        spoilt = concat(before, slice, after);
                    }
                }
            }
            return spoilt;
        }

        private static void trySeeds(int from, int to, org.junit.jupiter.api.function.ThrowingConsumer<Random> trial) {
            for (int seed = from; seed < to; seed++)
                try {
                    trial.accept(new Random(seed));
                } catch (Throwable e) {
                    throw new AssertionError("seed " + seed + ": " + e, e);
                }
        }

        @Test
        void streamsGiveBackExactlyTheMessagesThatWerePutIn() {
            trySeeds(0, 20_000, random -> {
                Script script = Script.random(random, "");
                assertEquals(new Reading(script.frames, "end"), Reading.of(script.stream, 1 << 20, 1 + random.nextInt(2000)));
            });
        }

        @Test
        void spoiltStreamsEndAsDocumentedAndAlikeInWhateverPiecesTheyCome() {
            var ends = new TreeSet<String>();
            trySeeds(0, 100_000, random -> {
                byte[] spoilt = spoil(Script.random(random, "").stream, random);
                int limit = random.nextInt(10) == 0 ? 300 : 70_000;
                Reading reading = Reading.of(spoilt, limit, 1 + random.nextInt(2000));
                assertEquals(reading, Reading.of(spoilt, limit, 1 + random.nextInt(30)));
                ends.add(reading.end);
            });
            assertEquals(Set.of("end", "1002", "1007", "1009"), ends, "all the ways to end, and no other");
        }

        @Test
        void aRelayServesOnAfterAThousandStrangersAndKeepsNothingOfThem(@TempDir Path folder) throws Exception {
            var all = new ConcurrentLinkedQueue<Relay.WebSocket>();   // held, so that no garbage collection closes a socket left open
            try (var relay = new Relay(options(options -> {
                options.metrics = true;
                options.farewellTime = 30_000;   // no stranger is cut off for being slow
            })) {
                @Override
                Handler enter(WebSocket socket) {
                    all.add(socket);
                    return super.enter(socket);
                }
            }.start(); var strangers = Executors.newFixedThreadPool(20)) {
                greet(relay, "/ws-relay/good");
                eventually(() -> isEmpty(relay), "the relay is empty");
                long sockets = sockets(), threads = threads(folder);
                var visits = IntStream.range(0, 1000).mapToObj(seed -> Executors.callable(
                        () -> trySeeds(seed, seed + 1, random -> visit(relay, random))));
                for (var visit : strangers.invokeAll(visits.toList())) visit.get();
                greet(relay, "/ws-relay/good");
                eventually(() -> isEmpty(relay), "all clients and rooms are gone");
                eventually(() -> sockets() <= sockets, "all sockets are closed");
                eventually(() -> threads(folder) <= threads, "all threads of connections have ended");
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
            byte[] frames = Script.random(random, "* m ").stream, head = bytes(Raw.upgrade("/ws-relay/fuzz"));
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
                raw.in.transferTo(OutputStream.nullOutputStream());   // to a clean end, not a reset
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

        /** How many of this process's are of a file of such a name; 0 where there is no Linux to ask. */
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

        /** Threads, virtual or not, that are in the relay's code. */
        private static long threads(Path folder) {
            try {
                Path dump = folder.resolve(UUID.randomUUID() + ".txt").toAbsolutePath();
                java.lang.management.ManagementFactory.getPlatformMXBean(com.sun.management.HotSpotDiagnosticMXBean.class)
                        .dumpThreads(dump.toString(), com.sun.management.HotSpotDiagnosticMXBean.ThreadDumpFormat.TEXT_PLAIN);
                return Stream.of(Files.readString(dump).split("\n\\s*\n")).filter(thread -> thread.matches("(?s).*\\bRelay[.$].*")).count();
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }
    }
    // --- HTTP --------------------------------------------------------------------------------

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
            return new Answer(status, headers, raw.in.readNBytes(bodyless ? 0 : Integer.parseInt(headers.get("Content-Length"))));
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
    }

    /** Request heads on byte arrays (RFC 9112): what is read, and that nothing unfinished or damaged gets through. */
    @Nested
    class RequestHead {
        private static final String HEAD = "GET /a?b=c HTTP/1.1\r\nHost: localhost:8080\r\nX-Thing:  some \t\r\nx-thing: more\r\n\r\n";

        private static Relay.Request read(Pieces pieces) throws Relay.HttpException, EOFException {
            return pieces.next(Relay.Request::read);
        }

        private static Relay.Request parse(String latin1) throws Relay.HttpException, EOFException {
            return read(new Pieces(latin1.getBytes(StandardCharsets.ISO_8859_1)));
        }

        private static void expectWhole(Relay.Request request) {
            assertEquals(List.of("GET", "/a?b=c", "HTTP/1.1"), List.of(request.method(), request.target(), request.version()));
            assertEquals(Map.of("host", "localhost:8080", "x-thing", "some, more"), request.headers());
        }

        @Test
        void itIsTakenApartAndHeadersOfOneNameAreJoinedAndAnEmptyLineBeforeItIsIgnored() throws Exception {
            expectWhole(parse(HEAD));
            expectWhole(parse("\r\n" + HEAD));
        }

        @Test
        void itIsTheSameIfItComesByteByByte() throws Exception {
            expectWhole(read(new Pieces(bytes(HEAD), 1)));
        }

        @Test
        void whatFollowsIsLeftForTheNextReader() throws Exception {
            var pieces = new Pieces(bytes("\r\n" + HEAD + "GET /2 HTTP/1.0\r\n\r\n\r\n" + HEAD + "rest"));
            expectWhole(read(pieces));
            assertEquals("/2", read(pieces).target());
            expectWhole(read(pieces));
            assertEquals("rest", new String(pieces.input.rest(), StandardCharsets.US_ASCII));
        }

        @Test
        void oneThatBreaksOffAnywhereIsNoRequest() {
            for (int length = 0; length < HEAD.length(); length++) {
                String start = HEAD.substring(0, length);
                assertThrows(EOFException.class, () -> parse(start), start);
            }
        }

        @ParameterizedTest(name = "{0} is {1}")
        @CsvSource({"/, /", "/a/../b, /a/../b", "/ws-relay/x?game=1&y=%20, /ws-relay/x?game=1&y=%20", "//a, //a", "*, *",
                "http://other.example, /", "http://other.example:81/a?b, /a?b", "HTTPS://other.example/, /", "http://other.example?a, /?a"})
        void theTargetIsKeptAsItCameWithoutAProxysSchemeAndHost(String target, String expected) throws Exception {
            assertEquals(expected, parse("GET " + target + " HTTP/1.1\r\nHost: h\r\n\r\n").target());
        }

        @Test
        void aHeaderMayBeEmptyAndMayHoldBytesBeyondAscii() throws Exception {
            var request = parse("GET / HTTP/1.1\r\nHost:\r\nCookie: a=\u00e4:b\r\n\r\n");
            assertEquals(List.of("", "a=\u00e4:b", ""), List.of(request.header("host"), request.header("cookie"), request.header("none")));
        }

        @Test
        void aHundredHeadersFitAndOneMoreDoesNot() throws Exception {
            IntFunction<String> headers = count -> "GET / HTTP/1.1\r\nHost: h\r\n"
                    + IntStream.range(1, count).mapToObj(i -> "a" + i + ": b\r\n").collect(Collectors.joining()) + "\r\n";
            assertEquals(100, parse(headers.apply(100)).headers().size());
            assertEquals(431, refusal(headers.apply(101)).response.status());
        }

        @Test
        void eightKibibytesFitAndOneByteMoreDoesNot() throws Exception {
            IntFunction<String> longHeader = size -> "GET / HTTP/1.1\r\nHost: h\r\nX: " + "x".repeat(size - 32) + "\r\n\r\n";
            assertEquals(8192, longHeader.apply(8192).length());
            assertEquals("/", parse(longHeader.apply(8192)).target());
            assertEquals(431, refusal(longHeader.apply(8193)).response.status());
            IntFunction<String> longPath = size -> "GET /" + "a".repeat(size - 28) + " HTTP/1.1\r\nHost: h\r\n\r\n";
            assertEquals(8192 - 27, parse(longPath.apply(8192)).target().length());
            assertEquals(414, refusal("GET /" + "a".repeat(8192)).response.status());
        }

        private static Relay.HttpException refusal(String head) {
            return assertThrows(Relay.HttpException.class, () -> parse(head));
        }

        @Test
        void damagedOnesAreReadOrRefusedAndNothingElseHappens() throws Exception {
            long seed = System.nanoTime();
            var random = new Random(seed);
            String signs = "\r\n :/\t\0,";
            byte[] whole = bytes(Raw.upgrade("/ws-relay/a?b", "Content-Length: 0\r\n", "Origin: http://localhost\r\n"));
            for (int round = 0; round < 20_000; round++) {
                byte[] damaged = whole.clone();
                for (int i = random.nextInt(4); i >= 0; i--)
                    damaged[random.nextInt(whole.length)] = (byte) (random.nextBoolean() ? random.nextInt(256)
                            : signs.charAt(random.nextInt(signs.length())));
                try {
                    var request = read(new Pieces(damaged));
                    assertTrue(request.target().matches("[!-~]+") && request.toString().matches("[^\r\n\0]+"), () -> request + ", seed " + seed);
                } catch (Relay.HttpException | EOFException refused) {
                    // as it should be
                } catch (RuntimeException e) {
                    fail("seed " + seed + ": " + HexFormat.of().formatHex(damaged), e);
                }
            }
        }
    }

    /** HTTP over real sockets: what is answered and what is refused, and that a refusal arrives whole and is the last word. */
    @Nested
    class Http {
        private Relay relay;
        private Raw raw;

        @BeforeEach
        void start() throws IOException {
            relay = relay();
            raw = new Raw(relay.port());
        }

        @AfterEach
        void stop() throws IOException {
            raw.close();
            relay.close();
        }

        @Test
        void aConnectionServesOneRequestAfterTheOther() throws IOException {
            for (int i = 0; i < 3; i++) {
                Answer answer = Answer.get(raw, "/health");
                assertEquals(List.of(200, "",
                        "nosniff"), List.of(answer.status, answer.header("Connection"), answer.header("X-Content-Type-Options")));
                assertEquals("ok\n", answer.text());
            }
        }

        @Test
        void pipelinedRequestsAreAnsweredInOrder() throws IOException {
            raw.send((Answer.request("GET", "/health") + Answer.request("GET", "/nothing")).repeat(50));
            for (int i = 0; i < 100; i++) assertEquals(i % 2 == 0 ? 200 : 404, Answer.read(raw, "GET").status);
        }

        @Test
        void anUpgradeMayFollowARequestAndFramesMayFollowTheUpgradeInOneWrite() throws IOException {
            raw.send(concat(bytes(Answer.request("GET", "/health") + Raw.upgrade("/ws-relay/a")), text("1 echo")));
            assertEquals(200, Answer.read(raw, "GET").status);
            assertEquals(Raw.ACCEPT, Answer.read(raw, "GET").header("Sec-WebSocket-Accept"));
            raw.expect("1 self").expect("1 echo");
        }

        @ParameterizedTest
        @ValueSource(strings = {"/", "/health", "/nothing"})
        void headIsAnsweredLikeGetButWithoutABody(String target) throws IOException {
            Answer get = Answer.get(raw, target), head = Answer.head(raw, target);
            assertEquals(get.status, head.status);
            head.expectHeadersOf(get);
            assertEquals(426, Answer.head(raw, "/ws-relay").status);
            assertEquals(200, Answer.get(raw, "/health").status);   // which comes next: there was no body
        }

        @ParameterizedTest
        @ValueSource(strings = {"HTTP/1.1|Host: h|Connection: close", "HTTP/1.1|Host: h|Connection: Keep-Alive, CLOSE",
                "HTTP/1.1|Host: h|Connection: x,close", "HTTP/1.0"})
        void aRequestMayAskForTheEndOfTheConnectionAndAnOldOneNeedsNoHost(String version) throws IOException {
            Answer answer = Answer.read(raw.send("GET /health " + version.replace("|", "\r\n") + "\r\n\r\n"), "GET");
            assertEquals(List.of(200, "close"), List.of(answer.status, answer.header("Connection")));
            raw.expectEnd();
        }

        @Test
        void whoHasClosedItsHalfIsStillAnswered() throws IOException {
            raw.send(Answer.request("GET", "/health")).socket.shutdownOutput();
            assertEquals(200, Answer.read(raw, "GET").status);
            raw.expectEnd();
        }

        @ParameterizedTest
        @ValueSource(strings = {"GET /", "GET HTTP/1.1", "GET / a HTTP/1.1", "GET  / HTTP/1.1", " GET / HTTP/1.1", "GET / HTTP/1.1 ",
                "GET\t/\tHTTP/1.1", " / HTTP/1.1", "G@T / HTTP/1.1", "GET / http/1.1", "GET / HTTP/1.1.1", "GET / HTTP/11", "GET / ICY/1.1",
                "GET a HTTP/1.1", "GET ftp://h/ HTTP/1.1", "CONNECT h:443 HTTP/1.1", "GET /\u00e4 HTTP/1.1", "GET /\0 HTTP/1.1",
                "GET /\177 HTTP/1.1", "GET / HTTP/1.1\n", "GET / HTTP/1.1\r", "\26\3\1\2\0\1\0\1\374\3\3"})
        void aBrokenRequestLineIsRefused(String line) throws IOException {
            refused(400, line + "\r\nHost: h\r\n\r\n");
        }

        /** What stands between the request line and the empty line; | is CR LF. */
        @ParameterizedTest
        @ValueSource(strings = {"X: no host", "Host: h|Host: h", "Host:|Host:", "Host: a, b", "Host: a b", "Host: h/x", "Host: me@h",
                "Host: h\n", "Host: h\r", "Host: h|X: a\rb", "Host: h|X: a\nb", "Host: h|X: a\0b", "Host: h|X: \33[2J", "Host: h|X: \177",
                "Host: h|\13X: a", "Host: h|X: a| folded", "Host: h|X: a|\tfolded", " Host: h", "Host : h", "Host: h|X\t: a", "Host: h|X",
                "Host: h|: a", "Host: h|X Y: a", "Host: h|\u00c4: a"})
        void aBrokenHeaderIsRefused(String headers) throws IOException {
            refused(400, "GET / HTTP/1.1\r\n" + headers.replace("|", "\r\n") + "\r\n\r\n");
        }

        static List<Arguments> otherRefusals() {
            return List.of(Arguments.of(505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Arguments.of(505, "GET / HTTP/3.0\r\n\r\n"),
                    Arguments.of(505, "GET / HTTP/0.9\r\n\r\n"), Arguments.of(400, "GET / HTTP/1.0\r\nHost: h\r\nHost: h\r\n\r\n"),
                    Arguments.of(414, "GET /" + "a".repeat(100_000)), Arguments.of(431, "GET / HTTP/1.1\r\nX: " + "x".repeat(100_000)),
                    Arguments.of(431, "GET / HTTP/1.1\r\n" + "X: x\r\n".repeat(20_000)),
                    Arguments.of(405, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3000000\r\n\r\n" + "x".repeat(3_000_000)));
        }

        @ParameterizedTest(name = "{0}")
        @MethodSource("otherRefusals")
        void otherVersionsAndWhatIsTooLongAreRefused(int status, String request) throws IOException {
            refused(status, request);
        }

        private void refused(int status, String request) throws IOException {
            expectLastWords(raw.send(request), status);
        }

        /** The answer and an end arrive although more is sent meanwhile, which would reset a connection that is closed already. */
        private static void expectLastWords(Raw raw, int status) throws IOException {
            eventually(() -> assertDoesNotThrow(() -> raw.in.available() > 0), "an answer");
            for (int i = 0; i < 20; i++) raw.send("more ");
            assertEquals("close", Answer.read(raw, "GET").expect(status).header("Connection"));
            raw.expectEnd();
        }

        static Stream<String> hiddenRequests() {
            return Stream.of("Content-Length: 4x", "Content-Length: -1", "Content-Length: +40", "Content-Length: 0x28",
                    "Content-Length: 4 0", "Content-Length:", "Content-Length: 40, 40", "Content-Length: 40|Content-Length: 40",
                    "Content-Length: 40|Content-Length: 0", "Content-Length: 0|Content-Length: 40", "Content-Length: 18446744073709551656",
                    "Content-Length: 40", "Content-Length: 0040", "content-length:\t40", "Content-Length: 40|Transfer-Encoding: chunked",
                    "Transfer-Encoding: chunked|Content-Length: 0", "Content-Length: 0|Transfer-Encoding: identity",
                    "Transfer-Encoding: chunked", "Transfer-Encoding:\tchunked", "Transfer-Encoding: xchunked",
                    "Transfer-Encoding: identity", "Transfer-Encoding:", "Transfer-Encoding: chunked|Transfer-Encoding: x",
                    "Transfer-Encoding : chunked", " Transfer-Encoding: chunked", "X: x| Content-Length: 40", "X: x\nContent-Length: 40",
                    "X: x\rContent-Length: 40", "Content-Length\t: 40", "X\0: Content-Length: 40")
                    .flatMap(headers -> Stream.of("GET /", "HEAD /health", "POST /", "GET /ws-relay")
                            .map(start -> start + " HTTP/1.1|Host: h|" + headers));
        }

        /** RFC 9112 §11.2: what one side takes for a body must never be a request to the other. */
        @ParameterizedTest
        @MethodSource("hiddenRequests")
        void aRequestHiddenBehindAnotherIsNeverAnswered(String head) throws IOException {
            raw.send(head.replace("|", "\r\n") + "\r\n\r\nGET /health HTTP/1.1\r\nHost: hidden\r\n\r\n");
            String all = new String(raw.in.readAllBytes(), StandardCharsets.ISO_8859_1);
            assertTrue(all.matches("(?s)HTTP/1\\.1 (400|405|411|413) .*"), all);
            assertEquals(0, all.lastIndexOf("HTTP/1.1 "), all);
        }

        @ParameterizedTest(name = "{0}: {1}")
        @CsvSource({"Transfer-Encoding: chunked, 411", "Content-Length: 5, 413", "Content-Length: five, 400",
                "Content-Length: 0|Transfer-Encoding: chunked, 400"})
        void aBodyIsRefusedOnPagesAndOnTheRelayAlike(String headers, int status) throws IOException {
            for (String target : List.of("/health", "/ws-relay/a"))
                try (var other = new Raw(relay.port())) {
                    Answer.get(other, target, headers.split("[|]")).expect(status);
                    other.expectEnd();
                }
            for (int i = 0; i < 2; i++) assertEquals(200, Answer.get(raw, "/health", "Content-Length: 0").status);   // which is none
        }

        @ParameterizedTest
        @ValueSource(strings = {"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "get", "GETX"})
        void otherMethodsAreRefusedAndTheConnectionGoesOn(String method) throws IOException {
            for (String target : List.of("/", "/health", "/ws-relay/a"))
                assertEquals("GET, HEAD", Answer.read(raw.send(Answer.request(method, target)), method).expect(405).header("Allow"));
            assertEquals(200, Answer.get(raw, "/health").status);
        }

        @Test
        void theRelaysAddressWithoutAnUpgradeSaysWhatItIsFor() throws IOException {
            for (String target : List.of("/ws-relay", "/ws-relay/a/b", "/ws-relay?game=1"))
                assertEquals("websocket", Answer.get(raw, target).expect(426).header("Upgrade"));
            Answer.get(raw, "/ws-relayed").expect(404);
        }

        @Test
        void withoutAFolderThereIsASentenceAtTheRootAndNothingElse() throws IOException {
            Answer.get(raw, "/").expect(200);
            for (String target : List.of("/spacewar/", "/index.html", "//", "/metrics", "/health/", "/healthy",
                    "*")) Answer.get(raw, target).expect(404);
        }

        @Test
        void aHeadThatIsNotThereInTimeIsRefusedAndTheSentenceArrivesAlthoughMoreTricklesIn() throws IOException {
            try (var hasty = relay(options -> {
                options.headTime = 300;
                options.farewellTime = 6_000;   // of which a third is for the sentence
            }); var slow = new Raw(hasty.port())) {
                slow.send("GET / HTTP/1.1\r\nX: ");
                eventually(() -> assertDoesNotThrow(() -> slow.send("x").in.available() > 0), "an answer to what trickles in");
                expectLastWords(slow, 408);
            }
        }

        @Test
        void aConnectionOnWhichNothingIsAskedIsClosedWithoutAWord() throws IOException {
            try (var hasty = relay(options -> options.headTime = 100); var fresh = new Raw(hasty.port()); var used = new Raw(hasty.port())) {
                assertEquals(200, Answer.get(used, "/health").status);
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
                second.expect("1 join").expect("1 hello").send(text("1 h\u00e9")).send(text("2 me")).send(text("9 nobody")).expect("2 me");
                first.expect("2 h\u00e9");
                expectMetrics(counting, Map.of("relay_rooms", 2, "relay_clients", 3, "relay_messages_received_total", 4,
                        "relay_deliveries_total", 3, "relay_delivered_bytes_total", 9 + 7 + 6));   // with a header of two bytes each
                try (var fourth = Raw.open(counting, "/ws-relay/a")) {
                    fourth.expectClose(1013);
                }
                first.send(close(1000, "")).expectClose(1000);
                second.send(close(4321, "done")).expect("1 quit").expectClose(4321);
                third.send("\0\0").expectClose(1002);
                expectMetrics(counting, Map.of("relay_rooms", 0, "relay_clients", 0, "relay_closes_total{code=\"1000\"}", 1,
                        "relay_closes_total{code=\"1002\"}", 1, "relay_closes_total{code=\"1013\"}", 1, "relay_closes_total{code=\"4321\"}", 1));
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
            for (String line : answer.text().split("\n"))
                if (line.matches("# TYPE [a-z_]+ (counter|gauge)")) {
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
        Path outside;
        private Path game;
        private Relay relay;
        private Raw raw;

        @BeforeEach
        void start() throws IOException {
            game = outside.resolve("game");
            put("index.html", "<title>game</title>");
            put("sub/index.html", "<title>sub</title>");
            put("a.txt", "a file");
            relay = relay(options -> options.folder = game);
            raw = new Raw(relay.port());
        }

        @AfterEach
        void stop() throws IOException {
            raw.close();
            relay.close();
        }

        private void put(String name, String content) throws IOException {
            Files.createDirectories(game.resolve(name).getParent());
            Files.writeString(game.resolve(name), content);
        }

        private Answer expect(int status, String target, String... headers) throws IOException {
            Answer answer = Answer.get(raw, target, headers);
            assertEquals(status, answer.status, target);
            return answer;
        }

        @ParameterizedTest(name = "{0}: {1}")
        @CsvSource({"a.html, text/html; charset=utf-8", "a.css, text/css; charset=utf-8", "a.js, text/javascript; charset=utf-8",
                "a.mjs, text/javascript; charset=utf-8", "a.json, application/json", "a.svg, image/svg+xml", "a.png, image/png",
                "a.jpg, image/jpeg", "a.webp, image/webp", "a.ico, image/x-icon", "a.gif, image/gif", "a.wasm, application/wasm",
                "a.woff2, font/woff2", "a.mp3, audio/mpeg", "a.ogg, audio/ogg", "a.wav, audio/wav", "a.txt, text/plain; charset=utf-8",
                "a.webmanifest, application/manifest+json", "A.HTML, text/html; charset=utf-8", "a.min.js, text/javascript; charset=utf-8",
                "a.unknown, application/octet-stream", "a, application/octet-stream"})
        void aFileHasTheTypeOfItsExtension(String name, String type) throws IOException {
            put("types/" + name, "content");
            Answer answer = expect(200, "/game/types/" + name);
            assertEquals(List.of("content", type, "nosniff", "no-cache"), List.of(answer.text(), answer.header("Content-Type"),
                    answer.header("X-Content-Type-Options"), answer.header("Cache-Control")));
        }

        @Test
        void aPolicyLetsTheGameRunAndNoInlineScript() throws IOException {
            var policy = Arrays.stream(expect(200, "/game/").header("Content-Security-Policy").split("; *")).map(rule -> rule.split(" ", 2))
                    .collect(Collectors.toMap(rule -> rule[0], rule -> rule[1]));
            String scripts = policy.getOrDefault("script-src", policy.get("default-src"));
            assertTrue(scripts.contains("'self'"), scripts);
            assertFalse(scripts.matches(".*('unsafe-inline'|'unsafe-eval'|\\*|data:|blob:|https?:).*"), scripts);
            assertTrue(policy.get("connect-src").matches(".*'self'.*wss?:.*"), policy::toString);
        }

        @Test
        void aBrowserThatHasTheFileIsToldSo() throws IOException {
            Files.setLastModifiedTime(game.resolve("a.txt"), java.nio.file.attribute.FileTime.fromMillis(1_700_000_000_500L));
            Answer answer = expect(200, "/game/a.txt");
            String etag = answer.header("ETag"), modified = answer.header("Last-Modified");
            assertTrue(etag.matches("\"[!-~&&[^\"]]+\""), etag);
            assertEquals("Tue, 14 Nov 2023 22:13:20 GMT", modified);
            for (String same : List.of("If-None-Match: " + etag, "If-None-Match: W/" + etag, "If-None-Match: *",
                    "If-None-Match: \"x\", W/\"y\" ," + etag,
                    "If-None-Match: \"x\"\r\nIf-None-Match: " + etag, "If-Modified-Since: " + modified,
                    "If-None-Match: " + etag + "\r\nIf-Modified-Since: Mon, 13 Nov 2023 00:00:00 GMT")) {
                Answer fresh = expect(304, "/game/a.txt", same);
                assertEquals(List.of(etag, "no-cache"), List.of(fresh.header("ETag"), fresh.header("Cache-Control")));
            }
            for (String other : List.of("If-None-Match: \"x\"", "If-None-Match: " + etag.replace("\"", ""),
                    "If-Modified-Since: Tue, 14 Nov 2023 22:13:19 GMT",
                    "If-Modified-Since: yesterday", "If-None-Match: \"x\"\r\nIf-Modified-Since: " + modified))   // the tag decides if there is one
                expect(200, "/game/a.txt", other);
        }

        @Test
        void aFileThatHasChangedIsSentAnew() throws IOException {
            String tag = expect(200, "/game/a.txt").header("ETag");
            var time = Files.getLastModifiedTime(game.resolve("a.txt"));
            put("a.txt", "a fish");   // as long, but later
            Files.setLastModifiedTime(game.resolve("a.txt"), java.nio.file.attribute.FileTime.fromMillis(time.toMillis() + 5));
            Answer fish = expect(200, "/game/a.txt", "If-None-Match: " + tag);
            put("a.txt", "a whale");  // longer, but with the time of the first
            Files.setLastModifiedTime(game.resolve("a.txt"), time);
            Answer whale = expect(200, "/game/a.txt", "If-None-Match: " + tag + ", " + fish.header("ETag"));
            assertEquals(List.of("a fish", "a whale"), List.of(fish.text(), whale.text()));
            Files.delete(game.resolve("a.txt"));
            expect(404, "/game/a.txt", "If-None-Match: *");
        }

        @Test
        void headTellsAllAboutAFileButItsContent() throws IOException {
            Answer.head(raw, "/game/a.txt").expectHeadersOf(expect(200, "/game/a.txt"));
            assertEquals("a file", expect(200, "/game/a.txt").text());
        }

        @Test
        void largeAndEmptyFilesArriveByteForByte() throws IOException {
            var content = new byte[5_000_001];
            new Random(1).nextBytes(content);
            Files.write(game.resolve("large.bin"), content);
            put("empty.js", "");
            assertArrayEquals(content, expect(200, "/game/large.bin").body);
            assertEquals(0, expect(200, "/game/empty.js").body.length);
            assertEquals("a file", expect(200, "/game/a.txt").text());
        }

        @Test
        void aBrowserThatTakesNothingOfALargeFileIsGivenUp() throws IOException {
            try (var file = new RandomAccessFile(game.resolve("large.bin").toFile(), "rw"); var hasty = relay(options -> {
                options.folder = game;
                options.stallTime = 200;
            }); var lazy = new Raw(hasty.port())) {
                file.setLength(64 << 20);
                lazy.send(Answer.request("GET", "/game/large.bin"));
                eventually(() -> {
                    try {
                        return lazy.send("x") != lazy;
                    } catch (IOException closed) {
                        return true;
                    }
                }, "an end");
            }
        }

        @ParameterizedTest(name = "{0} -> {1}")
        @CsvSource({"/, /game/", "/?game=1&x=/, /game/?game=1&x=/", "/game, /game/", "/game?a=b?c, /game/?a=b?c", "/game/sub, /game/sub/",
                "/game/sub?x, /game/sub/?x", "/%67ame/su%62, /%67ame/su%62/", "http://h/game/sub, /game/sub/"})
        void aFolderIsRedirectedToItsSlashRelativelyAndWithTheQuery(String target, String expected) throws IOException {
            String location = expect(302, target).header("Location");
            assertFalse(location.startsWith("/") || location.contains("//"), location);   // relative, for proxies that add a prefix
            assertEquals("http://h" + expected, URI.create("http://h").resolve(target).resolve(location).toString());
            assertTrue(expect(200, expected).header("Content-Type").startsWith("text/html"));
        }

        @Test
        void aFoldersPageIsItsIndex() throws IOException {
            Files.createDirectories(game.resolve("bare"));
            Files.createDirectories(game.resolve("odd/index.html"));
            assertEquals("<title>game</title>", expect(200, "/game/").text());
            assertEquals("<title>game</title>", expect(200, "/game/index.html?v=1").text());
            assertEquals("<title>sub</title>", expect(200, "/game/sub/").text());
            expect(404, "/game/bare/");
            expect(404, "/game/odd/");
        }

        /** Where the locale knows ASCII alone, Java cannot name other files. */
        private static boolean isNameHere(String name) {
            return name.matches("[ -~]*") || System.getProperty("sun.jnu.encoding").equals("UTF-8");
        }

        @ParameterizedTest
        @ValueSource(strings = {"with space.txt", "100%.txt", "a+b&c=d.txt", "what?.txt", "#1.txt", "it's (2) [x].txt",
                "gr\u00f6\u00dfe.txt", "\u5b87\u5b99.txt", "\ud83d\ude80.txt"})
        void aNameMayHoldWhatAUrlMustEncode(String name) throws IOException {
            Assumptions.assumeTrue(isNameHere(name), "file names are ASCII here");
            put(name, name);
            assertEquals(name, expect(200, "/game/" + URLEncoder.encode(name, StandardCharsets.UTF_8).replace("+", "%20")).text());
        }

        @ParameterizedTest
        @ValueSource(strings = {"my game", "100%", "a+b", "what?#", ".arena", "gr\u00f6\u00dfe"})
        void aFolderIsMountedUnderItsOwnNameWhateverThatIs(String name) throws Exception {
            Assumptions.assumeTrue(isNameHere(name), "file names are ASCII here");
            Path folder = Files.createDirectories(outside.resolve(name));
            Files.writeString(folder.resolve("index.html"), name);
            try (var other = relay(options -> options.folder = folder);
                    var client = HttpClient.newBuilder().followRedirects(HttpClient.Redirect.ALWAYS).build()) {
                var start = HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + other.port() + "/?game=1")).build();
                var page = client.send(start, HttpResponse.BodyHandlers.ofString());
                assertEquals(List.of(200, name, "/" + name + "/",
                        "game=1"), List.of(page.statusCode(), page.body(), page.uri().getPath(), page.uri().getQuery()));
                String location = page.previousResponse().orElseThrow().headers().firstValue("Location").orElseThrow();
                assertTrue(location.matches("[!-~]+"), location);
            }
        }

        @Test
        void aFolderThatIsItselfALinkIsServed() throws IOException {
            Path link = Files.createSymbolicLink(outside.resolve("linked"), game);
            try (var other = relay(options -> options.folder = link)) {
                assertEquals("a file", Answer.get(other, "/linked/a.txt").text());
                assertEquals(404, Answer.get(other, "/game/a.txt").status);
            }
        }

        @ParameterizedTest
        @ValueSource(strings = {"/game/../secret.txt", "/../secret.txt", "/game/sub/../a.txt", "/game/./a.txt", "/./game/a.txt", "/game/..",
                "/game/.", "/..", "/.", "/game/%2e%2e/secret.txt", "/game/%2E%2e/secret.txt", "/game/.%2e/secret.txt", "/game/%2e/a.txt",
                "/game/..%2fsecret.txt", "/game/%2e%2e%2fsecret.txt", "/game%2fa.txt", "/game/sub%2findex.html", "/game/..%5csecret.txt",
                "/game/..\\secret.txt", "/game\\a.txt", "/game/%252e%252e/secret.txt", "/game/%252e%252e%252fsecret.txt", "/game/a.txt%00",
                "/game/a.txt%00.html", "/game/%00", "/game/a.txt%0a", "/game/a.txt%7f", "/game//a.txt", "//game/a.txt", "/game/sub//", "//",
                "//evil.example/", "/game/%c0%ae%c0%ae/secret.txt", "/game/%c0%af", "/game/%e0%80%ae%e0%80%ae/secret.txt", "/game/%ff",
                "/game/..;/secret.txt", "/game/.hidden", "/game/%2ehidden", "/game/.git/config", "/game/.git/", "/game/sub/.hidden",
                "/game/a.txt/", "/game/a.txt/x", "/game/a.txt::$DATA", "/game/a.txt%3a", "/game/%", "/game/%4", "/game/%zz",
                "/game/%u0061.txt", "/game/none", "/game/none/", "/gam", "/games/", "/Game/a.txt", "/game/a.txt#", "/game/a.txt#x",
                "/secret.txt", "/etc/passwd", "/game/etc/passwd", "http://h/game/../secret.txt", "*"})
        void nothingElseIsThere(String target) throws IOException {
            Files.writeString(outside.resolve("secret.txt"), "secret");
            for (String name : List.of(".hidden", "sub/.hidden", ".git/config", ".git/index.html")) put(name, "hidden");
            Answer answer = Answer.get(raw, target);
            answer.expect(target.contains("#") && answer.status == 400 ? 400 : 404);   // that one is no path at all
        }

        @Test
        void linksWithinTheFolderWorkAndThoseThatLeadOutDoNot() throws IOException {
            Path away = Files.createDirectories(outside.resolve("game-away"));   // begins like the folder, and is another
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
            for (String target : List.of("file-out.txt", "absolute-out.txt", "twice.txt", "sub/out", "sub/out/", "sub/out/index.html", "in/out/",
                    "up", "up/",
                    "up/game-away/index.html", "broken", "loop", "", "index.html")) expect(404, "/game/" + target);
        }

        private void link(String name, String to) throws IOException {
            Files.createSymbolicLink(game.resolve(name), Path.of(to));
        }
    }

    /** Which pages may connect (RFC 6455 §10.2): those of the relay's own host, those named with --origin, and whoever is no page. */
    @Nested
    class OriginRule {
        private static Answer connect(String origin, String host, String... options) throws IOException {
            var command = Relay.Command.parse(Stream.of(options).flatMap(option -> Stream.of("--origin", option)).toArray(String[]::new));
            var allowed = assertInstanceOf(Relay.Command.Run.class, command).options().origins;
            try (var relay = relay(settings -> settings.origins.addAll(allowed)); var raw = new Raw(relay.port())) {
                String upgrade = Raw.upgrade("/ws-relay/a", origin == null ? "" : "Origin: " + origin + "\r\n").replace("Host: localhost",
                        "Host: " + host);
                return Answer.read(raw.send(upgrade), "GET");
            }
        }

        @Test
        void whoIsNoPageMayConnect() throws IOException {
            assertEquals(101, connect(null, "localhost").status);
            assertEquals(101, connect(null, "localhost", "https://a.example").status);
        }

        @ParameterizedTest(name = "{0} to {1}")
        @CsvSource({"http://localhost:8080, localhost:8080", "https://localhost:8080, localhost:8080", "http://a.example, a.example",
                "http://a.example, a.example:80", "https://a.example, a.example:443", "https://a.example, a.example",
                "http://a.example:80, a.example", "https://a.example:443, a.example", "HTTPS://A.Example, a.example",
                "https://a.example, A.EXAMPLE", "http://[::1]:8080, [::1]:8080", "http://[::1], [::1]:80", "http://[::80], [::80]",
                "http://[2001:db8::A]:8080, [2001:DB8::a]:8080"})
        void aPageOfTheSameHostAndPortMayConnect(String origin, String host) throws IOException {
            assertEquals(101, connect(origin, host).status);
            assertEquals(101, connect(origin, host, "https://b.example").status);
        }

        @ParameterizedTest(name = "{0} to {1}")
        @CsvSource({"http://127.0.0.1:8080, localhost:8080", "http://localhost:8081, localhost:8080", "http://localhost, localhost:8080",
                "http://localhost:8080, localhost", "http://localhost:80800, localhost:8080", "http://a.example:8443, a.example:8",
                "http://evil.example, a.example", "http://a.example.evil.example, a.example", "http://evila.example, a.example",
                "http://sub.a.example, a.example", "http://a.example, sub.a.example", "http://evil.example//a.example, a.example",
                "http://[::80], [:]", "'http://a.example, http://a.example', a.example", "'', a.example", "'', ''", "a.example, a.example",
                "//a.example, a.example", "null, a.example", "null, null", "chrome-extension://abcdef, a.example", "file://, a.example"})
        void anotherPageMayNotAndIsToldWhatWouldAllowIt(String origin, String host) throws IOException {
            String body = connect(origin, host).expect(403).text();
            for (String part : List.of(origin, host, "--origin " + origin)) assertTrue(body.contains(part), body);
        }

        @ParameterizedTest(name = "{0} with --origin {1}: {2}")
        @CsvSource({"http://b.example, *, 101", "null, *, 101", "null, null, 101", "https://b.example, https://b.example, 101",
                "https://b.example, https://b.example/, 101", "https://b.example, HTTPS://B.Example:443, 101",
                "https://B.EXAMPLE, https://b.example, 101", "https://c.example, https://b.example https://c.example, 101",
                "chrome-extension://abcdef, chrome-extension://abcdef, 101", "http://b.example, https://b.example, 403",
                "https://b.example:8443, https://b.example, 403", "https://sub.b.example, https://b.example, 403",
                "https://b.example, null, 403"})
        void theOptionAllowsThatOriginAndNoOther(String origin, String options, int expected) throws IOException {
            assertEquals(expected, connect(origin, "a.example", options.split(" ")).status);
        }

        /** A script learns nothing of a handshake that has failed, but it may ask in other ways, and read the answer. */
        @ParameterizedTest
        @ValueSource(strings = {"GET", "POST"})
        void whateverAnotherPageAsksOfTheRelayItIsToldTheSameAndMayReadIt(String method) throws IOException {
            try (var relay = relay(); var raw = new Raw(relay.port())) {
                raw.send(method + " /ws-relay/a HTTP/1.1\r\nHost: a.example\r\nOrigin: http://b.example\r\nContent-Length: 0\r\n\r\n");
                var answer = Answer.read(raw, method).expect(403);
                assertEquals("*", answer.header("access-control-allow-origin"));
                assertTrue(answer.text().contains("--origin http://b.example"), answer.text());
            }
        }

        @Test
        @ExtendWith(InChromium.class)
        void thePageOfAnotherGameReadsWhyItIsRefused() throws IOException {
            try (var relay = relay(); var files = new FilesOnly(); var page = InChromium.chromium.open("http://localhost:" + files.port() + "/spacewar/ws-relay.js")) {
                String host = "localhost:" + relay.port(), origin = "http://localhost:" + files.port();
                page.until("location.host !== '' && document.readyState === 'complete'");
                page.evaluate("""
                        import('/spacewar/ws-relay.js').then(({ WebSocketRelay }) => {
                          const relay = new WebSocketRelay('ws://%s/game');
                          relay.onstatus = (status, { code, reason }) => { globalThis.heard = `${status} ${code} ${reason}`; };
                        })""".formatted(host));
                String sentence = "origin %s is not allowed for host %s; the option --origin %s would allow it".formatted(origin, host, origin);
                page.until("heard === " + Json.write("closed 1006 " + sentence));
                assertTrue(page.complaints.stream().anyMatch(complaint -> complaint.contains(sentence)), page.complaints::toString);
            }
        }

        @Test
        void filesAreServedWhateverTheOrigin() throws IOException {
            try (var relay = relay()) {
                assertEquals(200, Answer.get(relay, "/health", "Origin: http://evil.example").status);
            }
        }
    }

    // --- behind a proxy --------------------------------------------------------------------------

    /**
     * A proxy before a relay, run with a configuration that stands in the README; only host name, ports and files are other
     * ones. It is Debian's, listens on a free port of 127.0.0.1 and speaks TLS for `localhost`.
     */
    static final class Proxy implements AutoCloseable {
        final Program program;
        final int port;
        private final SSLSocketFactory tls;

        /** What starts it on a port. */
        private interface Start {
            Program on(int port) throws Exception;
        }

        /** @param certificate of whom to trust; it may come into being with the proxy */
        private Proxy(Path certificate, Start start) throws Exception {
            Program program;
            int port;
            do {   // until none else has taken the port meanwhile
                port = freePort();
                program = start.on(port);
            } while (!listens(program, port) && String.join("\n", program.err).contains("in use"));
            this.program = program;
            this.port = port;
            eventually(() -> Files.exists(certificate) || !this.program.process.isAlive(), "a certificate");
            assertTrue(this.program.process.isAlive(), () -> String.join("\n", this.program.err));
            tls = trusting(certificate);
            eventually(() -> {
                try (var raw = from("127.0.0.1")) {
                    ((SSLSocket) raw.socket).startHandshake();
                    return true;
                } catch (IOException noCertificateYet) {
                    return false;
                }
            }, "a handshake");
        }

        private static int freePort() throws IOException {
            try (var socket = new ServerSocket(0)) {
                return socket.getLocalPort();
            }
        }

        /** Waits until it takes connections or has ended. */
        private static boolean listens(Program program, int port) throws InterruptedException {
            eventually(() -> {
                try (var socket = new Socket(InetAddress.getLoopbackAddress(), port)) {
                    return socket.isConnected();
                } catch (IOException notYet) {
                    return !program.process.isAlive();
                }
            }, "that it listens");
            if (!program.process.isAlive()) program.exitCode();
            return program.process.isAlive();
        }

        private static SSLSocketFactory trusting(Path certificate) throws Exception {
            var keys = KeyStore.getInstance(KeyStore.getDefaultType());
            keys.load(null, null);
            try (var in = Files.newInputStream(certificate)) {
                keys.setCertificateEntry("it", CertificateFactory.getInstance("X.509").generateCertificate(in));
            }
            var trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
            trust.init(keys);
            var context = SSLContext.getInstance("TLS");
            context.init(null, trust.getTrustManagers(), null);
            return context.getSocketFactory();
        }

        /** The README's nth configuration in that language, with what is to be replaced, each of which must be in it. */
        static String fromReadme(String language, int number, String... replacements) throws IOException {
            var blocks = Pattern.compile("^```" + language + "\n(.*?)^```", Pattern.MULTILINE | Pattern.DOTALL)
                    .matcher(Files.readString(Path.of("README.md"))).results().toList();
            String text = blocks.get(number - 1).group(1);
            for (int i = 0; i < replacements.length; i += 2) {
                assertTrue(text.contains(replacements[i]), text + " lacks " + replacements[i]);
                text = text.replace(replacements[i], replacements[i + 1]);
            }
            return text;
        }

        /** The nth Caddyfile of the README. Caddy makes its certificate itself, and is told to reload through a socket in the folder. */
        static Proxy caddy(Path folder, int number, int relay, String... replacements) throws Exception {
            require("caddy", "caddy");
            return caddy("caddy", folder, number, relay, replacements);
        }

        static Proxy caddy(String program, Path folder, int number, int relay, String... replacements) throws Exception {
            Path file = folder.resolve("Caddyfile");
            return new Proxy(folder.resolve("caddy/pki/authorities/local/root.crt"), port -> {
                var all = Stream.concat(Stream.of("game.example.com {", "https://localhost:" + port + " {\n\ttls internal", "127.0.0.1:8080",
                        "127.0.0.1:" + relay), Stream.of(replacements)).toArray(String[]::new);
                Files.writeString(file, caddyOptions(folder, "default_bind 127.0.0.1") + fromReadme("caddyfile", number, all));
                return caddy(List.of(program), folder);
            });
        }

        /** A Caddy that knows stream_close_delay. Debian 13 has one in its backports, which .ci/run fetches; without it the test is skipped. */
        static String caddyFrom27On() throws Exception {
            for (String caddy : List.of("caddy", Program.ROOT.resolve("build/caddy/usr/bin/caddy").toString())) {
                try (var program = new Program(Program.ROOT, Map.of(), List.of(caddy, "version"))) {
                    String version = program.expectExit(0).out.getFirst().replaceAll("^v| .*", "");
                    if (ModuleDescriptor.Version.parse(version).compareTo(ModuleDescriptor.Version.parse("2.7")) >= 0) return caddy;
                } catch (IOException missing) {
                    // perhaps the next one is there
                }
            }
            return Assumptions.abort("Caddy is older than 2.7: apt install -t trixie-backports caddy");
        }

        /** What keeps Caddy from fixed ports, and from the system's certificates. */
        static String caddyOptions(Path folder, String more) {
            return """
                    {
                    	admin unix/%s/admin
                    	auto_https disable_redirects
                    	skip_install_trust
                    	%s
                    	servers {
                    		protocols h1 h2
                    	}
                    }
                    """.formatted(folder, more);
        }

        /** @param caddy its path, perhaps after words of a command that runs it */
        static Program caddy(List<String> caddy, Path folder) throws IOException {
            var command = Stream.concat(caddy.stream(), Stream.of("run", "--config", folder + "/Caddyfile")).toList();
            return new Program(folder, Map.of("XDG_DATA_HOME", folder.toString(), "XDG_CONFIG_HOME", folder.toString()), command);
        }

        /** As `systemctl reload caddy` does it. */
        static void reloadCaddy(String caddy, Path folder) throws Exception {
            var command = List.of(caddy, "reload", "--force", "--config", folder + "/Caddyfile", "--address", "unix/" + folder + "/admin");
            try (var reload = new Program(folder, Map.of(), command)) {
                reload.expectExit(0);
            }
        }

        static Proxy nginx(Path folder, int relay, String... replacements) throws Exception {
            require("nginx", "nginx");
            selfSigned(folder);
            return new Proxy(folder.resolve("game.crt"), port -> {
                String site = fromReadme("nginx", 1, Stream.concat(Stream.of("listen 443 ssl", "listen 127.0.0.1:" + port + " ssl",
                        "game.example.com", "localhost", "/etc/ssl/game.crt", folder + "/game.crt", "/etc/ssl/private/game.key",
                        folder + "/game.key", "127.0.0.1:8080", "127.0.0.1:" + relay), Stream.of(replacements)).toArray(String[]::new));
                Files.writeString(folder.resolve("nginx.conf"), """
                        daemon off; master_process off;
                        pid nginx.pid;
                        error_log stderr;
                        events {}
                        http {
                            access_log off;
                            client_body_temp_path body;
                            proxy_temp_path proxy;
                            fastcgi_temp_path fastcgi;
                            uwsgi_temp_path uwsgi;
                            scgi_temp_path scgi;
                        %s
                        }
                        """.formatted(site));
                return new Program(folder, Map.of("PATH", PATH), List.of(found("nginx"), "-p", folder.toString(), "-c", "nginx.conf", "-e", "stderr"));
            });
        }

        static Proxy haproxy(Path folder, int relay, String... replacements) throws Exception {
            require("haproxy", "haproxy");
            selfSigned(folder);
            return new Proxy(folder.resolve("game.crt"), port -> {
                Files.writeString(folder.resolve("haproxy.cfg"), fromReadme("haproxy", 1, Stream.concat(Stream.of("bind :443", "bind 127.0.0.1:" + port,
                        "/etc/haproxy/game.pem", folder + "/game.pem", "127.0.0.1:8080", "127.0.0.1:" + relay),
                        Stream.of(replacements)).toArray(String[]::new)));
                return haproxy(List.of(), folder);
            });
        }

        static Program haproxy(List<String> before, Path folder) throws IOException {
            return new Program(folder, Map.of(), Stream.concat(before.stream(), Stream.of(found("haproxy"), "-db", "-f", folder + "/haproxy.cfg")).toList());
        }

        private static String found(String program) {
            return Stream.of(PATH.split(File.pathSeparator)).map(folder -> Path.of(folder, program)).filter(Files::exists).findFirst().orElseThrow().toString();
        }

        /** A certificate for `localhost`, its key, and both in one file. */
        static void selfSigned(Path folder) throws Exception {
            Path store = folder.resolve("game.p12");
            if (Files.exists(store)) return;
            try (var keytool = new Program(folder, Map.of(), List.of(Path.of(Program.JAVA).resolveSibling("keytool").toString(), "-genkeypair", "-alias",
                    "game", "-keyalg", "EC", "-dname", "CN=localhost", "-ext", "san=dns:localhost", "-keystore", store.toString(), "-storepass", "secret"))) {
                keytool.expectExit(0);
            }
            var keys = KeyStore.getInstance(store.toFile(), "secret".toCharArray());
            String certificate = pem("CERTIFICATE", keys.getCertificate("game").getEncoded());
            String key = pem("PRIVATE KEY", keys.getKey("game", "secret".toCharArray()).getEncoded());
            Files.writeString(folder.resolve("game.crt"), certificate);
            Files.writeString(folder.resolve("game.key"), key);
            Files.writeString(folder.resolve("game.pem"), certificate + key);
        }

        private static String pem(String what, byte[] bytes) {
            String lines = Base64.getMimeEncoder(64, bytes("\n")).encodeToString(bytes);
            return "-----BEGIN " + what + "-----\n" + lines + "\n-----END " + what + "-----\n";
        }

        /** Its host, as a page knows it. */
        String host() {
            return "localhost:" + port;
        }

        /** A connection to it through TLS. @param source where it comes from, an address in 127.0.0.0/8 */
        Raw from(String source) throws IOException {
            var plain = new Socket(InetAddress.getLoopbackAddress(), port, InetAddress.getByName(source), 0);
            var secure = (SSLSocket) tls.createSocket(plain, "localhost", port, true);
            var parameters = secure.getSSLParameters();
            parameters.setServerNames(List.of(new SNIHostName("localhost")));   // which is not told by itself, lacking a dot
            parameters.setEndpointIdentificationAlgorithm("HTTPS");             // the certificate must be for this name
            secure.setSSLParameters(parameters);
            return new Raw(secure);
        }

        /** A client in a room, or who was refused. @param headers more of them, each with its CRLF */
        Answer upgrade(Raw raw, String room, String... headers) throws IOException {
            return Answer.read(raw.send(Raw.upgrade(room, headers).replace("Host: localhost", "Host: " + host())), "GET");
        }

        Raw open(String room) throws IOException {
            var raw = from("127.0.0.1");
            assertEquals(101, upgrade(raw, room).status);
            return raw;
        }

        Answer get(String target) throws IOException {
            try (var raw = from("127.0.0.1")) {
                return Answer.read(raw.send(Answer.request("GET", target).replace("Host: localhost", "Host: " + host())), "GET");
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

        // What all proxies must do:

        /** A page and a client of another kind meet over TLS. */
        void expectThatAllMeet() throws IOException {
            try (var raw = open("/ws-relay/spacewar").expect("1 self"); var page = page("/spacewar")) {
                raw.expect("2 join");
                page.until("import('/spacewar/spacewar.js').then(({ game }) => game.inspect().link === 'relay')");
                assertEquals("https://" + host() + "/spacewar/", page.evaluate("location.href"));
                assertEquals(List.of(), page.complaints.stream().filter(complaint -> !complaint.contains("/favicon.ico")).toList());
                hear(raw, "2 pilot .*");
            }
        }

        /** The next frame that matches, whatever a page has said before. */
        static Received hear(Raw raw, String regex) throws IOException {
            Received next = raw.receive();
            while (!(next.opcode() == 8 ? "close " + next.code() : next.text()).matches(regex)) next = raw.receive();
            return next;
        }

        /** Pages from here may connect, others are told what would allow it. */
        void expectTheOriginRule() throws IOException {
            try (var here = from("127.0.0.1"); var elsewhere = from("127.0.0.1"); var otherPort = from("127.0.0.1")) {
                assertEquals(101, upgrade(here, "/ws-relay/a", "Origin: https://" + host() + "\r\n").status);
                for (var other : Map.of(elsewhere, "https://evil.example", otherPort, "https://localhost").entrySet()) {
                    var refusal = upgrade(other.getKey(), "/ws-relay/a", "Origin: " + other.getValue() + "\r\n").expect(403);
                    assertTrue(refusal.text().contains("--origin " + other.getValue()) && refusal.text().contains(host()), refusal::text);
                }
            }
        }

        /** The log has the client's address, whatever the client says it is. */
        void expectAddressesInTheLogOf(Program relay) throws IOException {
            try (var one = from("127.0.0.5"); var two = from("127.0.0.6"); var three = from("127.0.0.7")) {
                assertEquals(101, upgrade(one, "/ws-relay/one").status);
                assertEquals(101, upgrade(two, "/ws-relay/two", "X-Forwarded-For: 203.0.113.7\r\n").status);
                assertEquals(101, upgrade(three, "/ws-relay/three", "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-For: 203.0.113.8\r\n",
                        "Forwarded: for=203.0.113.7\r\n").status);
                relay.expectLine(".* join /ws-relay/one 1 127\\.0\\.0\\.5");
                relay.expectLine(".* join /ws-relay/two 1 127\\.0\\.0\\.6");
                relay.expectLine(".* join /ws-relay/three 1 127\\.0\\.0\\.7");
                assertTrue(relay.out.stream().noneMatch(line -> line.contains("203.0.113")), relay.out::toString);
            }
        }
    }

    /** The README's Caddyfiles, run by Debian's Caddy. */
    @Nested
    @Waits
    @ExtendWith(InChromium.class)
    class BehindCaddy {
        @TempDir
        Path folder;

        /** As the README says, without STUN. */
        private static Program relay(String port) throws IOException {
            return Program.relay(Program.ROOT, "--host", "127.0.0.1", "--no-stun", port);
        }

        @Test
        void pagesAndOthersMeetOverTlsByTheRuleOfOriginsWithTheirAddressesInTheLog() throws Exception {
            try (var relay = relay("0"); var caddy = Proxy.caddy(folder, 1, relay.url().getPort())) {
                caddy.expectThatAllMeet();
                caddy.expectTheOriginRule();
                caddy.expectAddressesInTheLogOf(relay);
            }
        }

        @Test
        void thePageLearnsOfStunByTheNameThatItKnows() throws Exception {
            int stun;
            try (var free = new DatagramSocket(0)) {
                stun = free.getLocalPort();
            }
            try (var relay = Program.relay(Program.ROOT, "--host", "127.0.0.1", "--stun", stun + "", "0");
                    var caddy = Proxy.caddy(folder, 1, relay.url().getPort())) {
                assertEquals("{\"iceServers\":[{\"urls\":\"stun:localhost:" + stun + "\"}]}\n", caddy.get("/spacewar/ice.json").text());
            }
        }

        @Test
        void aReloadClosesTheConnectionsAndPagesAreBackAtOnce() throws Exception {
            try (var relay = relay("0"); var caddy = Proxy.caddy(folder, 1, relay.url().getPort());
                    var raw = caddy.open("/ws-relay/spacewar").expect("1 self"); var page = caddy.page("/spacewar")) {
                raw.expect("2 join");
                Proxy.reloadCaddy("caddy", folder);
                Proxy.hear(raw, "close 1001");
                long before = System.nanoTime();
                try (var again = caddy.open("/ws-relay/spacewar")) {
                    for (int id : new int[] {1, 2}) again.receive();
                    page.until("import('/spacewar/spacewar.js').then(({ game }) => game.inspect().link === 'relay')");
                    System.out.printf("  reload of Caddy: the page is back after %d ms%n", (System.nanoTime() - before) / 1_000_000);
                    relay.expectLine(".* quit /ws-relay/spacewar [12] 127\\.0\\.0\\.1 100[12].*");
                }
            }
        }

        @Test
        void aReloadLeavesTheConnectionsForTheTimeThatItIsToldTo() throws Exception {
            String program = Proxy.caddyFrom27On();
            try (var relay = relay("0"); var caddy = Proxy.caddy(program, folder, 2, relay.url().getPort(), "1h", "3s");
                    var old = caddy.open("/ws-relay/spacewar").expect("1 self"); var page = caddy.page("/spacewar")) {
                old.expect("2 join");
                Proxy.reloadCaddy(program, folder);
                try (var next = caddy.open("/ws-relay/spacewar").expect("3 self")) {
                    Proxy.hear(old, "3 join");
                    next.send(text("1 still here"));
                    Proxy.hear(old, "3 still here");
                    page.until("import('/spacewar/spacewar.js').then(({ game }) => game.netplay.self === 2)");
                    Proxy.hear(old, "close 1001");
                    Proxy.hear(next, "4 join");   // the page is back
                }
            }
        }

        @Test
        void whileTheRelayIsDownThereIs502AndThenPagesJoinAgain() throws Exception {
            int port;
            try (var relay = relay("0"); var caddy = Proxy.caddy(folder, 1, port = relay.url().getPort()); var page = caddy.page("/spacewar")) {
                page.until("import('/spacewar/spacewar.js').then(({ game }) => game.inspect().link === 'relay')");
                relay.signal("TERM");
                relay.expectExit(0);
                page.until("document.querySelector('#link').textContent === 'offline · practice'");
                assertEquals(502, caddy.get("/spacewar/").status);
                try (var next = relay(port + "")) {
                    next.expectLine(".* join /ws-relay/spacewar 1 127\\.0\\.0\\.1");
                    page.until("import('/spacewar/spacewar.js').then(({ game }) => game.inspect().link === 'relay')");
                }
            }
        }

        @Test
        void itMayServeTheFilesItself() throws Exception {
            try (var relay = relay("0"); var caddy = Proxy.caddy(folder, 3, relay.url().getPort(), "/srv/relay", Program.ROOT.toString())) {
                caddy.expectThatAllMeet();
                var script = caddy.get("/spacewar/spacewar.js");
                assertTrue(script.status == 200 && script.header("Server").equals("Caddy") && script.header("Content-Type").contains("javascript"),
                        script::toString);
                assertEquals(List.of("no-cache", ""), List.of(script.header("Cache-Control"), script.header("Content-Security-Policy")));
                assertEquals("{\"iceServers\":[]}\n", caddy.get("/spacewar/ice.json").text());
                for (String target : List.of("/health", "/ws-relayed", "/spacewar/none")) assertEquals(404, caddy.get(target).status, target);
            }
        }

        @Test
        void theGameMayBeBelowAPath() throws Exception {
            String link = "import('/games/spacewar/spacewar.js').then(({ game }) => game.inspect().link === 'relay')";
            try (var relay = relay("0"); var caddy = Proxy.caddy(folder, 4, relay.url().getPort());
                    var raw = caddy.open("/ws-relay/games/spacewar?game=2").expect("1 self"); var page = caddy.page("/games/spacewar?game=2")) {
                raw.expect("2 join");
                page.until(link);
                assertEquals("https://" + caddy.host() + "/games/spacewar/?game=2", page.evaluate("location.href"));
                assertEquals("{\"iceServers\":[]}\n", caddy.get("/games/spacewar/ice.json").text());
                try (var watch = caddy.page("/games/spacewar/watch.html?room=%2Fgames%2Fspacewar%3Fgame%3D2")) {
                    watch.shows("connected as 3");
                }
                assertEquals(404, caddy.get("/games/none").status);
            }
        }
    }

    /** The README's configurations of nginx and HAProxy, run by Debian's. */
    @Nested
    @Waits
    @ExtendWith(InChromium.class)
    class BehindNginxAndHAProxy {
        @TempDir
        Path folder;

        @Test
        void nginxDoesAllThat() throws Exception {
            try (var relay = BehindCaddy.relay("0"); var nginx = Proxy.nginx(folder, relay.url().getPort())) {
                nginx.expectThatAllMeet();
                nginx.expectTheOriginRule();
                nginx.expectAddressesInTheLogOf(relay);
            }
        }

        @Test
        void haproxyDoesAllThat() throws Exception {
            for (String alpn : List.of("", "alpn h2,http/1.1 "))   // Debian 13's offers HTTP/2 by itself, also for WebSockets
                try (var relay = BehindCaddy.relay("0"); var haproxy = Proxy.haproxy(folder, relay.url().getPort(), "ssl crt", "ssl " + alpn + "crt")) {
                    haproxy.expectThatAllMeet();
                    haproxy.expectTheOriginRule();
                    haproxy.expectAddressesInTheLogOf(relay);
                }
        }

        @Test
        void pingsKeepNginxFromCuttingOffTheSilent() throws Exception {
            expectPingsToMatter(port -> Proxy.nginx(folder, port, "proxy_http_version", "proxy_read_timeout 1s;\n        proxy_http_version"));
        }

        @Test
        void pingsKeepHaproxyFromCuttingOffTheSilent() throws Exception {
            expectPingsToMatter(port -> Proxy.haproxy(folder, port, "client 60s", "client 1s", "server 60s", "server 1s"));
        }

        private interface Started {
            Proxy before(int relay) throws Exception;
        }

        /** With a limit of 1 s: who is pinged each 0.3 s outlives two of them, and who is not hears the end. */
        private static void expectPingsToMatter(Started proxy) throws Exception {
            for (int pingAfter : new int[] {300, 20_000})
                try (var relay = RelayTest.relay(options -> options.pingAfter = pingAfter); var started = proxy.before(relay.port());
                        var raw = started.open("/ws-relay/a").expect("1 self")) {
                    long silentUntil = System.nanoTime() + 2_000_000_000L;
                    if (pingAfter > 1_000) {
                        assertThrows(EOFException.class, raw::receive);
                        continue;
                    }
                    while (System.nanoTime() < silentUntil) {
                        Received ping = raw.receive();
                        assertEquals(9, ping.opcode());
                        raw.send(frame(true, 10, ping.payload()));
                    }
                }
        }
    }

    /** The README's configurations for more than one relay, with the very addresses, in a network of the tests' own. */
    @Nested
    @Waits
    @SuppressWarnings("try")   // the proxy is needed, not spoken of
    class SeveralRelays {
        private static final Duration SOON = Duration.ofSeconds(10), LONG = Duration.ofSeconds(30);   // LONG: for machines that are busy
        @TempDir
        Path folder;
        private Network network;
        private final Program[] relays = new Program[3];

        @BeforeEach
        void start() throws IOException {
            network = Network.lan();
            for (String address : List.of("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.9")) network.run("ip address add " + address + "/32 dev lo");
            for (int i = 0; i < relays.length; i++) relay(i);
            for (Program relay : relays) relay.url();
        }

        @AfterEach
        void stop() throws IOException {
            for (Program relay : relays) relay.close();
            network.close();
        }

        private Program relay(int index) throws IOException {
            return relays[index] = network.relay("--host", "10.0.0." + (index + 1), "--no-stun", "8080");
        }

        /** Without TLS, of which the classes above speak; it costs the tests a second. */
        private Program caddy(String... replacements) throws Exception {
            require("caddy", "caddy");
            var all = Stream.concat(Stream.of("game.example.com", "http://10.0.0.9"), Stream.of(replacements)).toArray(String[]::new);
            Files.writeString(folder.resolve("Caddyfile"), Proxy.caddyOptions(folder, "default_bind 10.0.0.9") + Proxy.fromReadme("caddyfile", 5, all));
            return Proxy.caddy(Stream.concat(network.enter().stream(), Stream.of("caddy")).toList(), folder);
        }

        private Program haproxy() throws Exception {
            require("haproxy", "haproxy");
            Files.writeString(folder.resolve("haproxy.cfg"), Proxy.fromReadme("haproxy", 2, "bind :443 ssl crt /etc/haproxy/game.pem", "bind 10.0.0.9:80",
                    "inter 1s", "inter 200ms"));
            return Proxy.haproxy(network.enter(), folder);
        }

        /** So many members of each of so many rooms. They come back as ws-relay.js does, a browser's 200 of which would wait for each other. */
        private Program members(int rooms, int each) throws IOException {
            require("/usr/lib/python3/dist-packages/websockets", "python3-websockets");
            var constants = Pattern.compile("^const (QUICK|SLOWEST|STEADY) = ([0-9_]+);", Pattern.MULTILINE)
                    .matcher(Files.readString(Path.of("spacewar/ws-relay.js"))).results().map(constant -> constant.group(2)).toList();
            assertEquals(3, constants.size());
            var command = Stream.of(network.enter(), List.of("/usr/bin/python3", "-c", MEMBERS, rooms + "", each + ""), constants).flatMap(List::stream).toList();
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
                            socket = await websockets.connect(f'ws://10.0.0.9/ws-relay/spacewar?game={room}', ping_interval=None)
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
                if (words[1].equals("quit") && rooms.get(words[2]).remove(words[3]) && rooms.get(words[2]).isEmpty()) rooms.remove(words[2]);
            }
            return rooms;
        }

        /** The rooms that each relay has. */
        private List<Set<String>> homes() {
            return Stream.of(relays).map(relay -> rooms(relay).keySet()).toList();
        }

        /** There will be so many rooms, each on one relay with so many members. */
        private void expectTogether(int rooms, int members, Duration atMost) {
            try {
                eventually(() -> {
                    LockSupport.parkNanos(20_000_000);   // reading all again and again would cost more than what is tested
                    var all = Stream.of(relays).flatMap(relay -> rooms(relay).values().stream()).map(Set::size).toList();
                    return all.equals(Collections.nCopies(rooms, members));
                }, "all are together", atMost);
            } catch (AssertionError e) {
                fail(Stream.of(relays).map(relay -> rooms(relay).values().stream().collect(Collectors.groupingBy(Set::size, Collectors.counting())))
                        .toList() + " rooms of so many", e);
            }
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
                for (var home : homes) assertTrue(Math.abs(home.size() * 3. / 200 - 1) <= 0.35, () -> "spread: " + homes.stream().map(Set::size).toList());
                assertTrue(Stream.of(relays).flatMap(relay -> relay.out.stream()).noneMatch(line -> line.contains(" 10.0.0.9")), "a proxy elsewhere is not believed");
                long before = System.nanoTime();
                kill(relays[0]);
                expectTogether(200, 3, SOON);
                long met = System.nanoTime();
                relay(0).url();
                try (var newcomers = members(200, 1)) {
                    expectTogether(200, 4, LONG);
                    assertEquals(Map.of(), rooms(relays[0]));
                    long reload = System.nanoTime();
                    Proxy.reloadCaddy("caddy", folder);
                    eventually(() -> rooms(relays[0]).keySet().equals(homes.get(0)), "the rooms are back", LONG);
                    expectTogether(200, 4, LONG);
                    System.out.printf("  Caddy, 200 rooms: %s, together %d ms after one was killed, %d ms after the reload%n",
                            homes.stream().map(Set::size).toList(), (met - before) / 1_000_000, (System.nanoTime() - reload) / 1_000_000);
                }
                assertEquals(homes, homes());
            }
        }

        @Test
        void withCaddyARelayThatReturnsByItselfSplitsItsRooms() throws Exception {
            try (var caddy = caddy("fail_duration 24h", "fail_duration 1s"); var old = members(20, 1)) {
                expectTogether(20, 1, LONG);
                int moved = rooms(relays[0]).size();
                kill(relays[0]);
                expectTogether(20, 1, SOON);
                relay(0).url();
                long returned = System.nanoTime();
                eventually(() -> System.nanoTime() - returned > 1_500_000_000L, "the failure is forgotten");
                try (var newcomers = members(20, 1)) {
                    eventually(() -> rooms(relays[0]).size() == moved, "newcomers to the rooms that it had come to it");
                    assertEquals(20 + moved, homes().stream().mapToInt(Set::size).sum());
                }
            }
        }

        /** Also if another one dies meanwhile. */
        @Test
        void withHaproxyRoomsOfADeadRelayMeetOnAnotherAndReturnByThemselves() throws Exception {
            try (var haproxy = haproxy(); var old = members(60, 3)) {
                expectTogether(60, 3, LONG);
                var homes = homes();
                for (var home : homes) assertTrue(Math.abs(home.size() * 3. / 60 - 1) <= 0.35, () -> "spread: " + homes.stream().map(Set::size).toList());
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

    // --- the program -------------------------------------------------------------------------

    /** A program in a process of its own, and the lines it prints. It ends with the block that it was started in. */
    static final class Program implements AutoCloseable {
        static final Path ROOT = Path.of("").toAbsolutePath();
        static final String JAVA = Path.of(System.getProperty("java.home"), "bin", "java").toString();
        static final String CLASSES = Path.of(URI.create(Relay.class.getProtectionDomain().getCodeSource().getLocation().toString())).toString();

        final Process process;
        final List<String> out = new CopyOnWriteArrayList<>(), err = new CopyOnWriteArrayList<>();
        private final List<Thread> readers;

        Program(Path folder, Map<String, String> environment, List<String> command) throws IOException {
            this(folder, environment, command, line -> {});
        }

        /** @param listener is told each line that it prints, after it is in `out` */
        Program(Path folder, Map<String, String> environment, List<String> command, Consumer<String> listener) throws IOException {
            var builder = new ProcessBuilder(command).directory(folder.toFile());
            builder.environment().keySet().removeAll(Set.of("HOME",   // as in a service; and what java would speak of
                    "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS"));
            builder.environment().putAll(environment);
            process = builder.start();
            readers = List.of(Thread.startVirtualThread(() -> process.inputReader().lines().peek(out::add).forEach(listener)),
                    Thread.startVirtualThread(() -> process.errorReader().lines().forEach(err::add)));
        }

        /** The relay under test, with these arguments. */
        static Program relay(Path folder, String... args) throws IOException {
            return relay(List.of(), folder, args);
        }

        /** @param before words of a command that runs another */
        static Program relay(List<String> before, Path folder, String... args) throws IOException {
            var java = Stream.of(JAVA, "-XX:TieredStopAtLevel=1", "-cp", CLASSES, "Relay");
            return new Program(folder, Map.of(), Stream.of(before.stream(), java, Stream.of(args)).flatMap(words -> words).toList());
        }

        /** The address in its first line, once that is there. */
        URI url() {
            eventually(() -> !out.isEmpty() || !process.isAlive(), "a first line");
            assertFalse(out.isEmpty(), () -> "it has ended: " + err);
            return URI.create(out.getFirst());
        }

        Raw open(String path, String... headers) throws IOException {
            var raw = new Raw(url().getPort());
            assertEquals(101, Answer.read(raw.send(Raw.upgrade(path, headers)), "GET").status);
            return raw.expect("1 self");
        }

        void expectLine(String regex) {
            try {
                eventually(() -> out.stream().anyMatch(line -> line.matches(regex)), regex);
            } catch (AssertionError e) {
                fail(String.join("\n", out), e);
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
            assertEquals(0, new ProcessBuilder("sh", "-c", "kill -" + name + " " + process.pid()).start().waitFor());   // the shell's own
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

        /** The one line of its standard error; there is nothing else. */
        String complaint() {
            assertEquals(List.of(List.of(), 1), List.of(out, err.size()), err::toString);
            return err.getFirst();
        }

        @Override
        public void close() {
            process.toHandle().destroyForcibly();   // Process would close the streams under the readers
            process.onExit().join();
        }
    }

    /** Arguments, exit codes, what is printed on start, and how a signal ends it. */
    @Nested
    class CommandLine {
        @TempDir
        static Path folder;

        private static Relay.Options parse(String... words) {
            return assertInstanceOf(Relay.Command.Run.class, Relay.Command.parse(words), () -> Arrays.toString(words)).options();
        }

        static List<Arguments> options() throws IOException {
            String dir = Files.createDirectories(folder.resolve("arena")).toString();
            return List.of(option("--host", "127.0.0.2", options -> options.host.getHostAddress(), "127.0.0.2"),
                    option("--host", "::1", options -> options.host.isLoopbackAddress(), true),
                    option("--dir", dir, options -> options.folder.toString(), dir),
                    option("--dir", dir + "/../arena/", options -> options.folder.toString(), dir),
                    option("--origin", "*", options -> options.origins, List.of("*")),
                    option("--origin", "https://A.example/", options -> options.origins, List.of("https://a.example")),
                    option("--stun", "3478", options -> options.stunPort, 3478),
                    option("--max-clients", "7", options -> options.maxClients, 7),
                    option("--max-message", "65536", options -> options.maxMessage, 65536));
        }

        private static Arguments option(String option, String value, Function<Relay.Options, Object> field, Object expected) {
            return Arguments.of(option, value, field, expected);
        }

        @ParameterizedTest(name = "{0} {1}")
        @MethodSource("options")
        void anOptionTakesTheNextWord(String option, String value, Function<Relay.Options, Object> field, Object expected) {
            assertEquals(expected, field.apply(parse(option, value)));
            assertEquals(expected, field.apply(parse("--quiet", option, value, "9000")));
        }

        @Test
        void withoutArgumentsThereAreDefaults() {
            var options = parse();
            assertNull(options.host);
            assertEquals(List.of(8080, 0, Path.of("spacewar"), List.of(), 10_000, 1 << 20, false, false),
                    List.of(options.port, options.stunPort, options.folder, options.origins, options.maxClients, options.maxMessage, options.metrics, options.quiet));
        }

        @Test
        void optionsComeInAnyOrderAndOriginsAddUp() {
            var options = parse("--metrics", "--origin", "https://a.example", "0", "--origin", "null", "--no-stun", "--quiet");
            assertEquals(List.of(0, -1, List.of("https://a.example", "null"), true, true),
                    List.of(options.port, options.stunPort, options.origins, options.metrics, options.quiet));
            assertEquals(65535, parse("65535").port);
        }

        @ParameterizedTest
        @ValueSource(strings = {"65536", "-1", "80a", "port", "99999999999999999999", "+80", "0x50", "--unknown", "-x", "-", "--",
                "--Metrics", "--metrics=9000", "--host=127.0.0.1", "--host", "--host|1:2:3", "--host|", "--dir", "--dir|no-such-folder",
                "--dir|/", "--dir|", "--origin", "--origin|example.com", "--origin|https://a.example/path", "--origin|https://",
                "--origin|*.example.com", "--max-clients", "--max-clients|0", "--max-clients|-5", "--max-clients|many", "--max-message|0",
                "--max-message|1M", "--stun", "--stun|0", "--stun|65536", "--stun|-1", "--stun|udp", "--no-stun=1", "--max-message|9999999999", "--bad\noption", "--origin|a\33[2J\nb", "--dir|a\nb", "1\n2"})
        void whatMakesNoSenseIsToldInOneLine(String words) {
            var said = assertInstanceOf(Relay.Command.Say.class, Relay.Command.parse(words.split("[|]", -1)));
            assertEquals(2, said.exitCode());
            assertTrue(said.text().matches("relay: [ -~]{10,}"), said::text);
        }

        @ParameterizedTest
        @ValueSource(strings = {"--unknown", "80800", "--dir none"})
        void whatMakesNoSenseEndsTheProcessWithCodeTwo(String words) throws Exception {
            try (var program = Program.relay(folder, words.split(" "))) {
                String complaint = program.expectExit(2).complaint();
                assertTrue(complaint.contains(words.replaceFirst(".* ", "")), complaint);
            }
        }

        @Test
        void helpNamesEveryOptionAndItsDefault() throws Exception {
            try (var program = Program.relay(folder, "--help")) {
                assertEquals(List.of(), program.expectExit(0).err);
                String help = String.join(" ", program.out).replaceAll(" +", " ");
                var defaults = new Relay.Options();
                for (String part : List.of("PORT is " + defaults.port, "--host ADDR .*\\(default: .*--dir", "--version",
                        "--dir PATH .*\\(default: .* " + defaults.folder + " .*--origin", "--origin URL .*\\(default: .*--max-clients",
                        "--max-clients N .*\\(default: " + defaults.maxClients + "\\).*--max-message",
                        "--max-message BYTES .*\\(default: " + defaults.maxMessage + "\\).*--stun",
                        "--stun PORT .*\\(default: the number of PORT\\).*--host 127.0.0.1 --stun 8080.*--no-stun",
                        "--no-stun .*\\(default: .*--metrics",
                        "--metrics .*\\(default: .*--quiet", "--quiet .*\\(default: .*--help"))
                    assertTrue(help.matches(".*" + part + ".*"), part);
            }
        }

        @Test
        void theSourceFileRunsAsItIs() throws Exception {
            try (var program = new Program(Program.ROOT, Map.of(), List.of(Program.JAVA, "Relay.java", "--version"))) {
                assertEquals(List.of("relay 1.0"), program.expectExit(0).out);
            }
        }

        @Test
        void anOlderJavaComplainsInWordsThatHelp() throws Exception {
            var home = oldJdk();
            Assumptions.assumeTrue(home.isPresent(), "needs a JDK older than 21 to try, such as openjdk-17-jdk-headless");
            try (var program = new Program(Program.ROOT, Map.of(), List.of(home.get() + "/bin/java", "Relay.java", "--version"))) {
                assertNotEquals(0, program.exitCode());
                int complaint = 0;
                while (!program.err.get(complaint).contains(" error: ")) complaint++;
                assertTrue(program.err.get(complaint + 1).contains("needs Java 21 or newer"), program.err::toString);
            }
        }

        /** A JDK that runs source files but is too old. */
        static Optional<Path> oldJdk() throws IOException {
            Path jdks = Path.of("/usr/lib/jvm");
            if (!Files.isDirectory(jdks)) return Optional.empty();
            try (var homes = Files.list(jdks)) {
                return homes.filter(home -> Files.exists(home.resolve("bin/javac")) && Files.exists(home.resolve("release")))
                        .filter(home -> assertDoesNotThrow(() -> Files.readString(home.resolve("release")))
                                .matches("(?s).*JAVA_VERSION=\"(1[1-9]|20)\\b.*")).findFirst();
            }
        }

        @Test
        void aPortInUseAndAnAddressThatIsNotOursAreToldInOneLineEach() throws Exception {
            try (var relay = relay(); var taken = Program.relay(folder, "--host", "127.0.0.1", relay.port() + "");
                    var foreign = Program.relay(folder, "--host", "203.0.113.1", "0")) {   // RFC 5737: nobody's
                String complaint = taken.expectExit(1).complaint();
                assertTrue(complaint.contains("port " + relay.port()) && complaint.contains("in use"), complaint);
                complaint = foreign.expectExit(1).complaint();
                assertFalse(complaint.contains("another"), complaint);   // a port would be of no help
            }
        }

        @Test
        void aUdpPortInUseIsToldInOneLineThatNamesTheOptions() throws Exception {
            try (var relay = relay(); var taken = Program.relay(folder, "--host", "127.0.0.1", "--stun", relay.port() + "", "0");
                    var none = Program.relay(folder, "--host", "127.0.0.1", "--no-stun", "0")) {
                String complaint = taken.expectExit(1).complaint();
                assertTrue(complaint.matches(".*UDP port " + relay.port() + ".* in use.*--stun PORT.*--no-stun.*"), complaint);
                none.url();
            }
            try (var socket = new DatagramSocket(new InetSocketAddress(InetAddress.getLoopbackAddress(), Proxy.freePort()));   // for TCP
                    var taken = Program.relay(folder, "--host", "127.0.0.1", socket.getLocalPort() + "")) {
                String complaint = taken.expectExit(1).complaint();
                assertTrue(complaint.matches(".*UDP port " + socket.getLocalPort() + ".* in use.*--stun PORT.*--no-stun.*"), complaint);
            }
        }

        @Test
        void theFirstLineIsAnAddressThatOpensTheGame() throws Exception {
            Path game = Files.createDirectories(folder.resolve("my game"));
            Files.writeString(game.resolve("index.html"), "<title>mine</title>");
            try (var program = Program.relay(folder, "--host", "127.0.0.1", "--dir", game.toString(), "0")) {
                assertEquals("<title>mine</title>", Program.page(program.url()));
                assertEquals(1, program.out.size(), program.out::toString);   // --host: that address and no other
            }
        }

        @Test
        void theSecondLineIsForOthersOnTheNetworkAndAMissingFolderIsTold() throws Exception {
            var ours = NetworkInterface.networkInterfaces().flatMap(NetworkInterface::inetAddresses).filter(InetAddress::isSiteLocalAddress)
                    .map(InetAddress::getHostAddress).toList();
            try (var program = Program.relay(folder, "0")) {
                var url = program.url();
                assertEquals("localhost", url.getHost());
                assertTrue(url.getPort() > 0);
                Program.page(url);
                program.expectLine(".*'spacewar'.*/ws-relay.*");
                assertEquals(ours.isEmpty() ? 2 : 3, program.out.size(), program.out::toString);
                if (!ours.isEmpty()) {
                    var other = URI.create(program.out.get(1).split(" ")[0]);
                    assertTrue(ours.contains(other.getHost()) && other.getPort() == url.getPort(), program.out::toString);
                }
            }
        }

        @ParameterizedTest
        @ValueSource(strings = {"TERM", "INT"})
        @Waits
        void aSignalEndsItWithAGoodbyeAndAClientThatTakesNothingDoesNotHoldItUp(String signal) throws Exception {
            try (var program = Program.relay(folder, "--host", "127.0.0.1", "0");
                    var calm = program.open("/ws-relay/calm");
                    var stuck = program.open("/ws-relay/stuck");
                    var flood = new Raw(program.url().getPort()).send(Raw.upgrade("/ws-relay/stuck"))) {
                Assumptions.assumeFalse(signal.equals("INT") && ignoresInterrupts(program.process.pid()),
                        "this shell's background jobs ignore SIGINT");
                stuck.expect("2 join");
                var written = new AtomicLong();
                Thread.startVirtualThread(() -> {
                    byte[] message = text("1 flood " + "x".repeat(100_000));
                    try {
                        while (flood.send(message) == flood) written.addAndGet(message.length);
                    } catch (IOException over) {
                        // the relay has ended, as it should
                    }
                });
                var seen = new AtomicLong(-1);
                eventually(() -> {
                    assertDoesNotThrow(() -> Thread.sleep(100));
                    return written.get() > 0 && written.get() == seen.getAndSet(written.get());
                }, "a flood that has come to a stand");

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
            return Files.exists(status) && Files.readString(status).matches("(?s).*SigIgn:\\s*[0-9a-f]*[2367abef]\\n.*");
        }
    }

    /** What the relay says about its clients: one line each, which no client can forge. */
    @Nested
    class Log {
        @TempDir
        static Path folder;
        private static final String TIME = "\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\dZ ";
        private Program program;

        @BeforeEach
        void start() throws IOException {
            program = Program.relay(folder, "--host", "127.0.0.1", "--max-clients", "2", "0");
        }

        @AfterEach
        void stop() {
            program.close();
        }

        @Test
        void joinsQuitsAndRefusalsHaveALineEach() throws IOException {
            try (var first = program.open("/ws-relay/a?game=1");
                    var second = new Raw(program.url().getPort()).send(Raw.upgrade("/ws-relay/a?game=1"))) {
                program.expectLine(TIME + "join /ws-relay/a\\?game=1 1 127\\.0\\.0\\.1");
                program.expectLine(TIME + "join /ws-relay/a\\?game=1 2 127\\.0\\.0\\.1");
                try (var third = new Raw(program.url().getPort()).send(Raw.upgrade("/ws-relay/b"))) {
                    assertEquals(101, Answer.read(third, "GET").status);
                    program.expectLine(TIME + "refuse /ws-relay/b - 127\\.0\\.0\\.1 1013 .*full.*");
                }
                first.send(close(4000, "had enough"));
                program.expectLine(TIME + "quit /ws-relay/a\\?game=1 1 127\\.0\\.0\\.1 4000 had enough");
                second.send(text("hello"));
                program.expectLine(TIME + "quit /ws-relay/a\\?game=1 2 127\\.0\\.0\\.1 1008 .*'hello'.*");
            }
            try (var raw = new Raw(program.url().getPort())) {
                Answer.get(raw, "/ws-relay/c").expect(426);
                program.expectLine(TIME + "refuse /ws-relay/c - 127\\.0\\.0\\.1 426 .*");
                Answer.read(raw.send(Raw.upgrade("/ws-relay/c", "Origin: http://evil.example\r\n")), "GET").expect(403);
                program.expectLine(TIME + "refuse /ws-relay/c - 127\\.0\\.0\\.1 403 .*http://evil\\.example.*");
                Answer.read(raw.send("\33[2J\r\n"), "GET").expect(400);
                program.expectLine(TIME + "refuse - - 127\\.0\\.0\\.1 400 .*");
            }
            assertEquals(8, program.out.stream().filter(line -> line.matches(TIME + ".*")).count(), program.out::toString);
        }

        /** Whoever reads the log knows at each line who is where, also when a room has emptied and ids begin with 1 again. */
        @Test
        void whoHasLeftIsSaidToHaveBeforeAnotherOfTheSameIdIsSaidToHaveJoined() throws Exception {
            try (var relay = Program.relay(folder, "--host", "127.0.0.1", "--no-stun", "0")) {
                var lives = new ArrayList<CompletableFuture<?>>();
                for (int i = 0; i < 2; i++)
                    lives.add(CompletableFuture.runAsync(() -> {
                        for (int life = 0; life < 2_000; life++)
                            try (var raw = new Raw(relay.url().getPort()).send(Raw.upgrade("/ws-relay/a"))) {
                                assertTrue(raw.head().startsWith("HTTP/1.1 101 "));
                                raw.receive();
                            } catch (IOException e) {
                                throw new UncheckedIOException(e);
                            }
                    }, task -> Thread.ofPlatform().start(task)));
                for (var life : lives) life.get();
                eventually(() -> relay.out.stream().filter(line -> line.contains(" quit ")).count() == 4_000, "all have left");
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
            try (var raw = program.open("/ws-relay/a")) {
                raw.send(close(4000, forgery));
                program.expectLine(TIME + "quit /ws-relay/a 1 127\\.0\\.0\\.1 4000 .*forged.*");
            }
            try (var raw = program.open("/ws-relay/b")) {
                raw.send(text(forgery));
                program.expectLine(TIME + "quit /ws-relay/b 1 127\\.0\\.0\\.1 1008 .*");
            }
            for (String upgrade : List.of(Raw.upgrade("/ws-relay/\u0085"),
                    Raw.upgrade("/ws-relay/c", "Origin: \u009b31m" + "b".repeat(2000) + "\r\n"),
                    Raw.upgrade("/ws-relay/" + "a".repeat(4000), "Origin: null\r\n")))
                try (var raw = new Raw(program.url().getPort())) {
                    assertTrue(Answer.read(raw.send(upgrade), "GET").status > 399);
                }
            program.expectLine(TIME + "refuse .* 400 .*");
            program.expectLine(TIME + "refuse /ws-relay/c .* 403 .*");
            program.expectLine(TIME + "refuse /ws-relay/aaa.* 403 .*");
            for (String line : program.out.subList(2, program.out.size()))
                assertTrue(line.matches(TIME + "[ -~]{0,600}") && !line.startsWith("2030"), line);
        }

        @Test
        void behindAProxyOnThisMachineTheAddressIsTheLastThatItAdded() throws IOException {
            var addresses = Map.of("203.0.113.7", "203.0.113.7", "198.51.100.1, 203.0.113.7", "203.0.113.7", "junk, 2001:db8::7", "2001:db8::7",
                    "198.51.100.1\r\nX-Forwarded-For: 203.0.113.7", "203.0.113.7", "", "127.0.0.1", "evil.example", "127.0.0.1",
                    "203.0.113.7,", "127.0.0.1", "203.0.113.7, \u009b31m", "127.0.0.1", "203.0.113.7 4000 forged", "127.0.0.1");
            int room = 0;
            for (String forwarded : addresses.keySet())
                try (var raw = program.open("/ws-relay/" + ++room, "X-Forwarded-For: " + forwarded + "\r\n")) {
                    String who = " /ws-relay/" + room + " 1 " + addresses.get(forwarded).replace(".", "\\.");
                    program.expectLine(TIME + "join" + who);
                    raw.send(close(1000, ""));
                    program.expectLine(TIME + "quit" + who + " 1000 ?");
                }
        }

        @Test
        void theLastLinesBeforeTheEndAreNotLost() throws Exception {
            try (var raw = program.open("/ws-relay/a")) {
                program.signal("TERM");
                assertEquals(1001, raw.receive().code());
                raw.send(close(1001, ""));
            }
            program.exitCode();
            program.expectLine(TIME + "quit /ws-relay/a 1 127\\.0\\.0\\.1 1001 .*");
        }

        @Test
        void quietIsQuiet() throws Exception {
            try (var quiet = Program.relay(folder, "--host", "127.0.0.1", "--quiet", "0")) {
                quiet.open("/ws-relay/a").close();
                quiet.signal("TERM");
                quiet.exitCode();
                assertEquals(2, quiet.out.size(), quiet.out::toString);   // the address, and that there is no folder
            }
        }
    }

    /** Which address do I come from? RFC 8489, answered by the relay itself, and where a page reads of that. */
    @Nested
    class Stun {
        private static final String ID = "b7e7a701bc34d686fa87dfae";   // RFC 5769's transaction, without the cookie
        private static final InetSocketAddress V4 = new InetSocketAddress("192.0.2.1", 32853),
                V6 = new InetSocketAddress("2001:db8:1234:5678:11:2233:4455:6677", 32853);
        /** RFC 5769 2.1: a check between two browsers, with PRIORITY, which no STUN server need know. */
        private static final String SAMPLE = "00010058 2112a442" + ID + "80220010 5354554e207465737420636c69656e74"
                + "00240004 6e0001ff 80290008 932ff9b151263b36 00060009 6576746a3a68367659202020"
                + "00080014 9aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2 80280004 e57a3bcf";

        /** A request with these attributes in hex. */
        private static byte[] request(String... attributes) {
            byte[] body = hex(String.join("", attributes));
            return concat(hex("0001 %04x 2112a442".formatted(body.length) + ID), body);
        }

        /** The same with FINGERPRINT: the CRC-32 of all before it, with the length that takes in the attribute, xored. */
        private static byte[] fingerprinted(byte[] message) {
            byte[] all = concat(message, hex("80280004 00000000"));
            ByteBuffer.wrap(all).putShort(2, (short) (all.length - 20)).putInt(all.length - 4, fingerprint(all, message.length));
            return all;
        }

        private static int fingerprint(byte[] bytes, int length) {
            var crc = new java.util.zip.CRC32();
            crc.update(bytes, 0, length);
            return (int) (crc.getValue() ^ 0x5354554eL);
        }

        private static byte[] answer(byte[] request, InetSocketAddress from) {
            return Relay.answerStun(request, request.length, from);
        }

        private static void assertAnswers(String expected, byte[] request, InetSocketAddress from) {
            byte[] answer = answer(request, from);
            assertEquals(expected.replace(" ", ""), answer == null ? "nothing" : HexFormat.of().formatHex(answer));
        }

        @Test
        void theAnswersAreThoseOfRfc5769() {
            assertAnswers("0101000c 2112a442" + ID + "00200008 0001a147 e112a643", request(), V4);
            assertAnswers("01010018 2112a442" + ID + "00200014 0002a147 0113a9faa5d3f179bc25f4b5bed2b9d9", request(), V6);
        }

        @Test
        void whoAsksWithAFingerprintIsAnsweredWithOne() {
            assertAnswers("01010014 2112a442" + ID + "00200008 0001a147 e112a643 80280004 7d281f59", fingerprinted(request()), V4);
            assertAnswers("01010020 2112a442" + ID + "00200014 0002a147 0113a9faa5d3f179bc25f4b5bed2b9d9 80280004 68d5c950",
                    fingerprinted(request("80220004 61626364")), V6);
        }

        @Test
        void theSampleRequestHasARightFingerprintAndAnAttributeThatIsNotOurs() {
            assertAnswers("01110018 2112a442" + ID + "00090004 00000414 000a0002 00240000 80280004 4aae3985", hex(SAMPLE), V4);
            for (int bit = 0; bit < 8 * 108; bit++) {
                byte[] spoiled = hex(SAMPLE);
                spoiled[bit / 8] ^= (byte) (1 << bit % 8);
                byte[] answer = answer(spoiled, V4);   // one without, if it was FINGERPRINT's type, or swallowed by another's length
                assertTrue(answer == null || answer[answer.length - 8] != (byte) 0x80, "bit " + bit);
            }
        }

        @ParameterizedTest(name = "{0}: {1}")
        @CsvSource(delimiter = '|', value = {"CHANGE-REQUEST of RFC 5780 | 00030004 00000006 | 0003", "PRIORITY | 00240004 6e0001ff | 0024",
                "an empty one | 7fff0000 | 7fff", "one that needs padding | 00220003 61626300 | 0022",
                "several among others | 00030000 80220000 00020001 ff000000 00060000 00220000 | 0003 0002 0022",
                "the type nobody has | 00000000 | 0000"})
        void whatMustBeUnderstoodAndIsNotIsListedIn420(String what, String attributes, String types) {
            String list = types.replace(" ", ""), padded = list.length() % 8 == 0 ? list : list + "0000";
            assertAnswers("0111%04x 2112a442%s 00090004 00000414 000a%04x%s".formatted(12 + padded.length() / 2, ID, list.length() / 2, padded),
                    request(attributes), V6);
        }

        @ParameterizedTest(name = "{0}: {1}")
        @CsvSource(delimiter = '|', value = {"SOFTWARE, and one that nobody has defined | 80220003 61626300 ffff0000",
                "credentials, though we want none | 00060003 61626300 00140000 00150000 001d0000 001e0000 00080014" + ZEROS_20,
                "what makes no sense in a request | 00010008 0001a147c0000201 00200008 0001a147e112a643 00090004 00000414 000a0002 00240000",
                "what follows MESSAGE-INTEGRITY does not count | 00080014" + ZEROS_20 + "00240004 6e0001ff",
                "nor behind MESSAGE-INTEGRITY-SHA256 | 001c0014" + ZEROS_20 + "00030000"})
        void otherAttributesAreOfNoConcern(String what, String attributes) {
            assertAnswers("0101000c 2112a442" + ID + "00200008 0001a147 e112a643", request(attributes), V4);
        }

        private static final String ZEROS_20 = "0000000000000000000000000000000000000000";

        @ParameterizedTest(name = "{0}: {1}")
        @CsvSource(delimiter = '|', value = {"nothing | ''", "a letter | 61", "a request of 2003, without a cookie | 00010000 @ID@ 01020304",
                "a header cut short | 00010000 2112a442 b7e7a701bc34d686fa87df", "a wrong cookie | 00010000 2112a443 @ID@",
                "a success response | 01010000 2112a442 @ID@", "an error response | 01110000 2112a442 @ID@",
                "an indication | 00110000 2112a442 @ID@", "another method | 00030000 2112a442 @ID@", "RTP | 80010000 2112a442 @ID@",
                "DTLS | 16fefd00 2112a442 @ID@", "a length that says more | 00010004 2112a442 @ID@",
                "a length that says less | 00010000 2112a442 @ID@ 80220000", "no multiple of four | 00010002 2112a442 @ID@ 8022",
                "an attribute cut off | 00010004 2112a442 @ID@ 80220001", "a longer one | 00010008 2112a442 @ID@ 80220005 61626364",
                "as long as can be | 00010004 2112a442 @ID@ 0022ffff", "a wrong FINGERPRINT | 00010008 2112a442 @ID@ 80280004 00000000",
                "one without a value | 00010004 2112a442 @ID@ 80280000", "one too long | 0001000c 2112a442 @ID@ 80280008 0000000000000000"})
        void whatIsNoStunIsIgnored(String what, String datagram) {
            assertNull(answer(hex(datagram.replace("@ID@", ID)), V4));
        }

        /** It would fail, and a failure costs those who come next a pause. */
        @Test
        void nothingIsSentToPortZero() {
            assertNull(answer(request(), new InetSocketAddress("192.0.2.1", 0)));
            assertNotNull(answer(request(), new InetSocketAddress("192.0.2.1", 1)));
        }

        @Test
        void nothingMayFollowAFingerprint() {
            byte[] one = fingerprinted(request()), two = fingerprinted(one), more = concat(one, hex("80220000"));
            more[3] += 4;
            ByteBuffer.wrap(more).putInt(24, fingerprint(more, 20));
            assertNotNull(answer(one, V4));
            ByteBuffer.wrap(two).putInt(24, fingerprint(two, 20)).putInt(32, fingerprint(two, 28));
            for (byte[] wrong : List.of(two, more)) assertNull(answer(wrong, V4));
        }

        /** Nothing makes it throw, nothing twice as long comes out, and what comes is an answer to what was asked. */
        @Test
        void randomDatagramsAreAnsweredRightOrNotAtAll() {
            long seed = new Random().nextLong();
            var random = new Random(seed);
            int answers = 0;
            for (int i = 0; i < 50_000; i++) {
                byte[] request = randomRequest(random);
                InetSocketAddress from = random.nextBoolean() ? V4 : V6;
                Supplier<String> input = () -> "seed " + seed + ", " + HexFormat.of().formatHex(request);
                byte[] answer = assertDoesNotThrow(() -> answer(request, from), input);
                if (answer == null) continue;
                answers++;
                // In datagrams, with UDP's header of 8 bytes: 28 bytes over IPv6 bring 52, though the answer itself is 44 for 20.
                assertTrue(8 + answer.length <= 2 * (8 + request.length), input);
                assertTrue(answer.length <= 2 * request.length || from == V6 && request.length == 20, input);
                assertTrue(Arrays.equals(request, 4, 20, answer, 4, 20), input);
                var buffer = ByteBuffer.wrap(answer);
                assertTrue(Set.of(0x0101, 0x0111).contains((int) buffer.getShort(0)) && buffer.getShort(2) == answer.length - 20, input);
                int at = 20;
                while (at < answer.length) at += 4 + (buffer.getShort(at + 2) + 3) / 4 * 4;
                assertEquals(at, answer.length, input);
                assertNull(answer(answer, from), "two servers would answer one another for ever");
            }
            assertTrue(answers > 5_000, "only " + answers + " requests");
        }

        /** Attributes of all kinds, perhaps FINGERPRINT, and in one of two something spoiled. */
        private static byte[] randomRequest(Random random) {
            var attributes = new StringBuilder();
            for (int count = random.nextInt(4) * random.nextInt(30); count > 0; count--) {
                int type = random.nextInt(4) == 0 ? random.nextInt(65536) : random.nextInt(40) + (random.nextBoolean() ? 0x8000 : 0);
                int size = random.nextInt(3) * random.nextInt(8);
                attributes.append("%04x%04x".formatted(type, size)).append("00".repeat((size + 3) / 4 * 4));
            }
            byte[] request = request(attributes.toString());
            if (random.nextBoolean()) request = fingerprinted(request);
            for (int changes = random.nextInt(2) * random.nextInt(3); changes > 0; changes--)
                request[random.nextInt(request.length)] ^= (byte) (1 << random.nextInt(8));
            return random.nextInt(10) > 0 ? request : Arrays.copyOf(request, random.nextInt(request.length + 8));
        }

        /** Asks over UDP: what the answer says is where the question came from. */
        private static void ask(String host, int port) throws IOException {
            try (var socket = new DatagramSocket(new InetSocketAddress(InetAddress.getByName(host), 0))) {
                socket.setSoTimeout(2_000);
                var answer = new DatagramPacket(new byte[2_000], 2_000);
                for (int tries = 5; ; tries--) {   // as with any datagram
                    byte[] request = fingerprinted(request());
                    socket.send(new DatagramPacket(request, request.length, InetAddress.getByName(host), port));
                    try {
                        socket.receive(answer);
                        break;
                    } catch (SocketTimeoutException lost) {
                        assertTrue(tries > 1, "no answer from " + host + " port " + port);
                    }
                }
                var expected = answer(fingerprinted(request()), (InetSocketAddress) socket.getLocalSocketAddress());
                assertArrayEquals(expected, Arrays.copyOf(answer.getData(), answer.getLength()));
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

        private static int freePort() throws IOException {
            try (var socket = new DatagramSocket()) {
                return socket.getLocalPort();
            }
        }

        @Test
        void itIsAnsweredOnThePortOfTheSameNumberOnAllAddressesOrTheOneOfTheRelay() throws IOException {
            try (var everywhere = relay(options -> options.host = null); var here = relay()) {
                for (String host : loopback()) ask(host, everywhere.port());   // IPv4's, too, though the socket is IPv6's
                ask("127.0.0.1", here.port());
                assertEquals(here.port(), here.stunPort());
                if (loopback().contains("::1")) assertTrue(isFree("::1", here.port()), "taken on an address that is not the relay's");
            }
        }

        @Test
        void anotherPortMayBeNamedWhichBehindAProxyIsOpenOnAllAddresses() throws IOException {
            int port = freePort();
            try (var relay = relay(options -> options.stunPort = port)) {   // its host is 127.0.0.1, as behind a proxy
                for (String host : loopback()) ask(host, port);
                assertTrue(isFree("127.0.0.1", relay.port()));
            }
        }

        @Test
        void withoutStunThePortIsLeftAlone() throws IOException {
            try (var relay = relay(options -> options.stunPort = -1)) {
                assertTrue(isFree("127.0.0.1", relay.port()));
            }
        }

        @Test
        void nothingThatComesStopsItAndWhenTheRelayEndsThePortIsFree() throws IOException {
            int port;
            try (var relay = relay(); var socket = new DatagramSocket()) {
                port = relay.port();
                byte[] tooLong = request("80220800" + "00".repeat(2048));
                assertNotNull(answer(tooLong, V4));   // it would be all right, but no network brings that in one piece
                byte[] beginning = Arrays.copyOf(request("802205c4" + "00".repeat(1476)), 2000);   // of 1500 bytes, by its header
                for (byte[] datagram : List.of(new byte[0], new byte[20], tooLong, beginning, bytes("hello"), new byte[65_000])) {
                    socket.send(new DatagramPacket(datagram, datagram.length, InetAddress.getLoopbackAddress(), port));
                    ask("127.0.0.1", port);
                }
                socket.setSoTimeout(1);
                assertThrows(SocketTimeoutException.class, () -> socket.receive(new DatagramPacket(new byte[100], 100)));
                assertFalse(isFree("127.0.0.1", port));
            }
            eventually(() -> isFree("127.0.0.1", port), "a free port");
            relay(options -> options.port = port).close();
        }

        @Test
        void coturnsClientLearnsItsAddress() throws Exception {
            require("turnutils_stunclient", "coturn");
            try (var relay = relay(options -> options.host = null)) {
                for (String host : loopback())
                    try (var client = new Program(Program.ROOT, Map.of(), List.of("turnutils_stunclient", "-p", relay.port() + "", host))) {
                        String said = String.join("\n", client.expectExit(0).out);
                        assertTrue(said.contains("UDP reflexive addr: " + host + ":"), said);
                    }
            }
        }

        // --- the page learns of it from ice.json ---

        private static final String JSON = "application/json";

        private static String ice(Relay relay, String target, String host) throws IOException {
            try (var raw = new Raw(relay.port())) {
                var answer = Answer.read(raw.send("GET " + target + (host == null ? " HTTP/1.0\r\n\r\n" : " HTTP/1.1\r\nHost: " + host + "\r\n\r\n")), "GET");
                if (answer.status != 200) return answer.status + "";
                assertEquals(List.of(JSON, "no-cache", "nosniff"), Stream.of("Content-Type", "Cache-Control", "X-Content-Type-Options")
                        .map(answer::header).toList());
                return answer.text().strip();
            }
        }

        @ParameterizedTest(name = "{0} -> {1}")
        @CsvSource({"localhost:8080, localhost", "localhost, localhost", "game.example.com, game.example.com", "192.0.2.1:80, 192.0.2.1",
                "[::1]:8080, [::1]", "[2001:db8::7], [2001:db8::7]", "my_pi.local:, my_pi.local", "'', ''", "a:b:80, ''", "::1, ''",
                "[fe80::1%25eth0]:80, ''", "a%22b, ''", "[], ''", ":80, ''", "a]:80, ''", "~, ''", "[x]:1, ''", "a:80x, ''", ", ''"})
        void aPageIsToldOfItUnderTheHostThatItAskedFor(String host, String expected, @TempDir Path game) throws IOException {
            try (var relay = relay(options -> options.folder = game)) {
                String servers = expected.isEmpty() ? "" : "{\"urls\":\"stun:" + expected + ":" + relay.port() + "\"}";
                assertEquals("{\"iceServers\":[" + servers + "]}", ice(relay, "/" + game.getFileName() + "/ice.json", host));
            }
        }

        @Test
        void anotherPortIsToldAndNoneIfThereIsNone(@TempDir Path game) throws IOException {
            int port = freePort();
            try (var moved = relay(options -> { options.folder = game; options.stunPort = port; });
                    var without = relay(options -> { options.folder = game; options.stunPort = -1; }); var raw = new Raw(moved.port())) {
                String path = "/" + game.getFileName() + "/ice.json";
                assertEquals("{\"iceServers\":[{\"urls\":\"stun:a:" + port + "\"}]}", ice(moved, path + "?x", "a:1"));
                assertEquals("{\"iceServers\":[]}", ice(without, path, "a:1"));
                Answer.head(raw, path).expectHeadersOf(Answer.get(raw, path));
            }
        }

        @Test
        void aFileOfThatNameWinsAndElsewhereThereIsNone(@TempDir Path game) throws IOException {
            Files.writeString(Files.createDirectories(game.resolve("sub")).resolve("index.html"), "sub");
            try (var relay = relay(options -> options.folder = game); var bare = relay()) {
                String folder = "/" + game.getFileName();
                for (String target : List.of("/ice.json", folder + "/sub/ice.json", folder + "/ice.json/", "/other/ice.json", folder + "//ice.json"))
                    assertEquals("404", ice(relay, target, "a"), target);
                assertEquals("404", ice(bare, "/no-such-folder/ice.json", "a"));
                Files.writeString(game.resolve("ice.json"), "{\"iceTransportPolicy\":\"relay\"}");
                assertEquals("{\"iceTransportPolicy\":\"relay\"}", ice(relay, folder + "/ice.json", "a"));
            }
        }

        @Test
        void thePortOfOneThatIsClosedAlreadyIsNotTold(@TempDir Path game) throws IOException {
            for (int round = 0; round < 30; round++) {
                try (var relay = relay(options -> options.folder = game); var raw = new Raw(relay.port())) {
                    var closing = new Thread(relay::close);
                    try {
                        for (int i = 0; ; i++) {
                            if (i == 20) closing.start();
                            String answer = Answer.get(raw, "/" + game.getFileName() + "/ice.json").text();
                            assertFalse(answer.contains("-1"), answer);
                        }
                    } catch (IOException closed) {
                        // no answer is a good answer
                    }
                }
            }
        }
    }

    /** build.sh, as far as it can be tried in a copy and without Maven. */
    @Nested
    class BuildScript {
        @TempDir
        Path copy;

        @BeforeEach
        void copy() throws IOException {
            for (String name : List.of("build.sh", "Relay.java")) Files.copy(Program.ROOT.resolve(name), copy.resolve(name));
        }

        private Program build(Map<String, String> environment, String... args) throws IOException {
            return new Program(copy.getRoot(), environment, Stream.concat(Stream.of("/bin/bash", copy + "/build.sh"), Stream.of(args)).toList());
        }

        @Test
        void helpListsTheCommands() throws Exception {
            for (String[] args : new String[][] {{}, {"help"}})
                try (var program = build(Map.of(), args)) {
                    String help = String.join("\n", program.expectExit(0).out);
                    for (String command : List.of("run", "test", "echo", "jar", "clean")) assertTrue(help.contains("build.sh " + command), help);
                }
            try (var program = build(Map.of(), "nonsense")) {
                assertTrue(program.expectExit(2).err.getFirst().contains("'nonsense'"), program.err::toString);
            }
        }

        @Test
        void itRunsFromAnywhereAlsoWithoutAHomeAndTheJarNeedsJavaAlone() throws Exception {
            var jdk = Map.of("JAVA_HOME", System.getProperty("java.home"));
            try (var run = build(jdk, "run", "--version"); var jar = build(jdk, "jar")) {
                assertEquals(List.of("relay 1.0"), run.expectExit(0).out);
                jar.expectExit(0);
            }
            try (var program = new Program(copy, Map.of(), List.of(Program.JAVA, "-jar", "build/relay.jar", "--version"))) {
                assertEquals(List.of("relay 1.0"), program.expectExit(0).out);
            }
            try (var program = build(jdk, "clean")) {
                program.expectExit(0);
                assertFalse(Files.exists(copy.resolve("build")));
            }
        }

        @Test
        void withoutANewJdkItSaysHowToGetOne() throws Exception {
            Path script = copy.resolve("build.sh"), tools = Files.createDirectories(copy.resolve("tools"));
            Files.writeString(script, Files.readString(script).replaceAll("/(usr|opt|Library)/", "/nowhere/"));   // the usual folders are empty
            for (String tool : List.of("dirname", "readlink", "sed", "grep")) {
                Files.writeString(tools.resolve(tool), "#!/bin/sh\nPATH=/usr/bin:/bin\nexec " + tool + " \"$@\"\n");
                assertTrue(tools.resolve(tool).toFile().setExecutable(true));
            }
            for (String home : Stream.concat(Stream.of(""), CommandLine.oldJdk().map(Path::toString).stream()).toList())
                try (var program = build(Map.of("PATH", tools.toString(), "HOME", copy.toString(), "JAVA_HOME", home), "run", "--version")) {
                    String complaint = program.expectExit(1).complaint();
                    assertTrue(complaint.matches(".*needs Java 21 or newer.*apt install.*"), complaint);
                }
        }
    }

    /** The README's service file for systemd. */
    @Nested
    @Waits
    class Service {
        @TempDir
        Path folder;
        private String unit;

        @BeforeEach
        void read() throws IOException {
            unit = Pattern.compile("```ini\n(\\[Unit\\]\n[^`]*)```").matcher(Files.readString(Path.of("README.md"))).results()
                    .map(block -> block.group(1)).reduce((one, other) -> fail("there are two")).orElseThrow();
        }

        /** What the unit says of this key, which is there once. */
        private String value(String key) {
            var values = Pattern.compile("(?m)^" + key + "=(.*)").matcher(unit).results().map(line -> line.group(1)).toList();
            assertEquals(1, values.size(), key);
            return values.getFirst();
        }

        /** What systemd-analyze says, and with which exit code, of the unit with its paths replaced by some that are there. */
        private String analyze(int exitCode, String... args) throws Exception {
            require("systemd-analyze", "systemd");
            Path file = folder.resolve("relay.service");
            Files.writeString(file, unit.replace("/usr/bin/java", Program.JAVA).replace(value("WorkingDirectory"), folder.toString()));
            try (var program = new Program(folder, Map.of(), Stream.of(Stream.of("systemd-analyze"), Stream.of(args), Stream.of(file.toString()))
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
            int most = options.maxClients + options.maxVisitors, limit = Integer.parseInt(value("LimitNOFILE"));
            assertTrue(limit > most + 1_000, limit + " descriptors for " + most + " connections");
            assertTrue(Integer.parseInt(value("TimeoutStopSec")) * 1_000 > options.farewellTime + 2_000);
        }

        /** Its very command, in a folder with the jar and the game, on another port. */
        private Program start(String... moreFlags) throws IOException {
            assertEquals(0, java.util.spi.ToolProvider.findFirst("jar").orElseThrow().run(System.out, System.err,
                    "--create", "--file", folder.resolve("relay.jar").toString(), "--main-class", "Relay", "-C", Program.CLASSES, "."));
            Files.writeString(Files.createDirectory(folder.resolve("spacewar")).resolve("index.html"), "<title>there</title>");
            var command = new ArrayList<>(List.of(value("ExecStart").split(" ")));
            assertEquals(List.of("/usr/bin/java", "8080"), List.of(command.removeFirst(), command.removeLast()));
            command.addFirst(Program.JAVA);
            command.addAll(1, List.of(moreFlags));
            command.addAll(List.of("--host", "127.0.0.1", "0"));
            return new Program(folder, Map.of(), command);
        }

        @Test
        void itsCommandServesTheGameLetsPlayersMeetAndEndsWellWhenToldTo() throws Exception {
            try (var program = start(); var one = program.open("/ws-relay/a"); var two = new Raw(program.url().getPort())) {
                assertEquals("<title>there</title>", Program.page(program.url()));
                assertEquals(200, Answer.get(two, "/health").status);
                two.send(Raw.upgrade("/ws-relay/a")).head();
                two.expect("2 self").expect("1 join").send(text("1 hello"));
                one.expect("2 join").expect("2 hello");
                program.signal("TERM");
                assertEquals(1001, one.receive().code());
                assertEquals(List.of(), program.expectExit(0).err);   // systemd's idea of a good end
            }
        }

        /** Java reads classes from the jar when it first needs them: had cp written into it, nobody could connect any more. */
        @Test
        void aNewerJarCanBeCopiedWhileItRuns() throws Exception {
            var cp = Pattern.compile("(?m)^ +sudo (cp .*)relay\\.jar spacewar /opt/relay$").matcher(Files.readString(Path.of("README.md")));
            assertTrue(cp.find());
            Path other = Files.writeString(Files.createDirectory(folder.resolve("newer")).resolve("relay.jar"), "not even a jar");
            try (var program = start()) {
                program.url();
                try (var copy = new Program(folder, Map.of(), List.of((cp.group(1) + other + " " + folder).split(" ")))) {
                    copy.expectExit(0);
                }
                assertEquals("not even a jar", Files.readString(folder.resolve("relay.jar")));
                try (var one = program.open("/ws-relay/a")) {
                    one.send(text("nonsense")).expectClose(1008);
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
                program.signal("TERM");
                assertEquals(List.of(), program.expectExit(0).err);
            }
        }
    }

    /** The README tells of the options, defaults and commands that there are. */
    @Nested
    class Readme {
        private String readme;
        private final String help = assertInstanceOf(Relay.Command.Say.class, Relay.Command.parse("--help")).text();

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

        /** In code spans that begin with an option, and after the relay's name in commands: other programs have options too. */
        @Test
        void itNamesTheOptionsOfHelpAndNoOthers() {
            String option = "(?<![\\w-])(--[a-z][a-z-]*)";
            String ours = String.join("\n", groups("(`--[^`\n]*|(?:Relay\\.java|relay\\.jar|build\\.sh run)[^`|#&\n]*)", readme));
            assertEquals(groups(option, help), groups(option, ours));
        }

        @Test
        void itsTableOfOptionsHasTheDefaultsOfHelp() {
            find("^\\| *`(--[a-z-]+)[^|]*\\|(.*)", readme).forEach(row ->
                    find(row.group(1) + " (?:[^-]|-(?!-))*?\\(default: ([0-9]+)\\)", help).map(known -> Long.valueOf(known.group(1)))
                            .forEach(value -> assertTrue(numbers(row.group(2)).contains(value), row.group() + " lacks " + value)));
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
            for (String command : groups("build\\.sh ([a-z]+)", readme)) assertTrue(script.contains("./build.sh " + command), command);
        }

        /** Its example of a game, as it stands: two draw on one board, and who comes later sees it all. */
        @Test
        @ExtendWith(InChromium.class)
        void itsExampleIsADrawingBoardForAllWhoOpenIt(@TempDir Path folder) throws IOException {
            Path board = board(folder);
            try (var relay = relay(options -> options.folder = board); var raw = Raw.open(relay, "/ws-relay/board").expect("1 self");
                    var one = InChromium.open(relay, "/board"); var two = InChromium.open(relay, "/board")) {
                raw.expect("2 join").expect("3 join");
                drag(one, 20, 40, 120, 90);
                two.until(drawn(70, 65));
                drag(two, 200, 40, 220, 90);
                one.until(drawn(210, 65));
                try (var three = InChromium.open(relay, "/board")) {
                    three.until(drawn(70, 65)).until(drawn(210, 65));
                }
                var complaints = Stream.of(one, two).flatMap(page -> page.complaints.stream()).filter(complaint -> !complaint.contains("/favicon.ico"));
                assertEquals(List.of(), complaints.toList());
            }
        }

        /** Those who drew together go on when the relay is gone. */
        @Test
        void withTwoLinesChangedItsExampleNeedsTheRelayNoMore(@TempDir Path folder) throws Exception {
            Path board = board(folder), script = board.resolve("board.js");
            copyAsItSays("webrtc-relay.js", board);
            for (String begin : List.of("import ", "const relay = ")) {
                String line = begin + "[^\n]*WebRTCRelay[^\n]*";
                String changed = find("^" + line, readme).findFirst().orElseThrow().group();
                Files.writeString(script, Files.readString(script).replaceFirst("(?m)^" + begin + ".*", java.util.regex.Matcher.quoteReplacement(changed)));
            }
            try (var lan = Network.lan(); var relay = lan.relay("--dir", board.toString(), "0");
                    var one = lan.chromium().blank(); var two = lan.chromium().blank()) {
                for (var page : List.of(one, two)) page.first(Direct.NOTES);
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
            copyAsItSays("ws-relay.js", board);
            for (var file : find("`board/([a-z.]+)`:\n\n```[a-z]+\n((?:(?!```)[\\s\\S])*)```", readme).toList())
                Files.writeString(board.resolve(file.group(1)), file.group(2));
            return board;
        }

        /** What it copies together with the file of that name. */
        private void copyAsItSays(String name, Path board) throws IOException {
            String command = find("cp ((?:spacewar/\\S+ )*spacewar/" + name + " (?:spacewar/\\S+ )*)board\\b", readme).findFirst().orElseThrow().group(1);
            for (String file : command.split(" ")) Files.copy(Path.of(file), board.resolve(Path.of(file).getFileName()));
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
            page.call("Input.dispatchMouseEvent", Map.of("type", "mousePressed", "button", "left", "buttons", 1, "x", left + fromX, "y", top + fromY));
            page.call("Input.dispatchMouseEvent", Map.of("type", "mouseMoved", "button", "left", "buttons", 1, "x", left + toX, "y", top + toY));
            page.call("Input.dispatchMouseEvent", Map.of("type", "mouseReleased", "button", "left", "x", left + toX, "y", top + toY));
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

    // --- what the tests of rooms, limits, peers and pages are made of ------------------------

    static final String ROOM = "/ws-relay/game";

    /** Where programs are, also those which only root has on the PATH. */
    static final String PATH = System.getenv("PATH") + ":/usr/sbin";

    /** Skips the test if its tool is missing; with CI=true that is a failure. @param program a name on the PATH, or a path */
    static void require(String program, String debianPackage) {
        boolean there = Stream.of(PATH.split(File.pathSeparator))
                .anyMatch(folder -> Files.exists(Path.of(folder).resolve(program)));
        require(there, program + " is missing: apt install " + debianPackage);
    }

    static void require(boolean there, String complaint) {
        if ("true".equals(System.getenv("CI"))) assertTrue(there, complaint);
        else Assumptions.assumeTrue(there, complaint);
    }

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

    /** The next frame must be this long text, of which a failure shows only the beginning. */
    static void expectLong(Raw raw, String text) throws IOException {
        Received next = raw.receive();
        assertTrue(next.text().equals(text), () -> "not " + text.substring(0, 20) + "... but " + next.payload().length + " bytes of " + next);
    }

    /** The next frame that is no ping; pings are answered. */
    static Received answeringPings(Raw raw) throws IOException {
        Received next = raw.receive();
        for (; next.opcode() == 9; next = raw.receive()) raw.send(frame(true, 10, next.payload()));
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

    // --- the tests -----------------------------------------------------------------------------

    /** The relay's own protocol, ws-relay.rst: who is told what, and in which order. */
    @Nested
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
            try (var relay = relay(); var one = Raw.open(relay, ROOM); var two = Raw.open(relay, ROOM); var three = Raw.open(relay, ROOM)) {
                one.send(concat(text("2 a"), text("* b"), text("* c"), text("3 d"), text("2 e"), text("1 f"), text("* g"), text("7 h"),
                        text("2 i"), close(1000, "")));
                one.expect("1 self").expect("2 join").expect("3 join").expect("1 f").expectClose(1000);
                for (String text : List.of("2 self", "1 join", "3 join", "1 a", "1 b", "1 c", "1 e", "1 g", "1 i", "1 quit")) two.expect(text);
                for (String text : List.of("3 self", "1 join", "2 join", "1 b", "1 c", "1 d", "1 g", "1 quit")) three.expect(text);
            }
        }

        @Test
        void whatComesInOnePacketWithAMalformedMessageIsPassedOnUpToThat() throws IOException {
            try (var relay = relay(); var one = Raw.open(relay, ROOM); var two = Raw.open(relay, ROOM)) {
                one.send(concat(text("2 a"), text("1 b"), text("* c"), text("nonsense"), text("* d")));
                one.expect("1 self").expect("2 join").expect("1 b").expectClose(1008);
                for (String text : List.of("2 self", "1 join", "1 a", "1 c", "1 quit")) two.expect(text);
            }
        }

        @Test
        void aRoomIsPathAndQueryCharacterForCharacter() throws IOException {
            var names = List.of("", "/", "?", "?game=1", "?game=2", "/?game=1", "/a", "/A", "/a/", "//a", "/a/b", "/a/b/", "/a%2Fb", "/a%2fb",
                    "/%61", "/a/../a", "/a/.", "/a?game=1", "/a?game=1&", "/a?/b", "/a?game=%31", "/a+b", "/a%20b", "/self", "/a".repeat(500));
            var first = new ArrayList<Raw>();
            try (var relay = relay()) {
                for (String name : names) first.add(Raw.open(relay, "/ws-relay" + name).expect("1 self"));
                for (int i = 0; i < names.size(); i++) {
                    try (var second = Raw.open(relay, "/ws-relay" + names.get(i)).expect("2 self").expect("1 join")) {
                        second.send(text("* " + names.get(i) + "|"));
                        first.get(i).expect("2 join").expect("2 " + names.get(i) + "|");
                    }
                    first.get(i).expect("2 quit");
                }
                for (Raw raw : first) raw.send(text("1 over")).expect("1 over").close();
            }
        }

        @ParameterizedTest
        @ValueSource(strings = {"/ws-relayed", "/ws-relayed/a", "/ws-relay.html", "/ws-relay%2Fa", "/ws%2Drelay", "/WS-relay", "/a/ws-relay",
                "//ws-relay"})
        void whatOnlyLooksLikeARoomIsNotFound(String path) throws IOException {
            try (var relay = relay(); var raw = new Raw(relay.port())) {
                assertTrue(raw.send(Raw.upgrade(path)).head().startsWith("HTTP/1.1 404 "));
            }
        }

        @Test
        void idsCountFrom1InEachRoomAndFrom1AgainOnceItHasEmptied() throws IOException {
            try (var relay = relay()) {
                for (int round = 0; round < 3; round++) {
                    try (var one = Raw.open(relay, ROOM).expect("1 self"); var other = Raw.open(relay, ROOM + "/other").expect("1 self")) {
                        Raw.open(relay, ROOM).expect("2 self").close();
                        one.expect("2 join").expect("2 quit");
                        try (var three = Raw.open(relay, ROOM).expect("3 self").expect("1 join")) {   // 2 was somebody else
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
            return Stream.of(
                    Named.of("it closes", (leaver, witness) -> leaver.send(close(1000, "bye"))),
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
                options.pingAfter = 1_000;
                options.maxOutbox = 256 << 10;
                options.farewellTime = 300;
            }); var room = new Clients(relay, 2)) {
                Raw witness = room.get(1);
                departure.of(room.get(2), witness);
                assertEquals("2 quit", answeringPings(witness).text());
                witness.send(concat(text("2 late"), text("* late"), text("1 over")));
                assertEquals("1 over", answeringPings(witness).text());
                try (var next = Raw.open(relay, ROOM).expect("3 self").expect("1 join")) {
                    next.send(text("1 hello"));
                    witness.expect("3 join").expect("3 hello");
                }
            }
        }

        @Test
        void whoHasOnlyClosedItsHalfStillGetsWhatWasMeantForIt() throws IOException {
            String large = "x".repeat(100_000);
            try (var relay = relay(); var one = Raw.open(relay, ROOM).expect("1 self")) {
                one.send(text("1 " + large)).socket.shutdownOutput();
                expectLong(one, "1 " + large);
                one.expectEnd();
            }
        }

        @Test
        void aMessageReachesTheOneItNamesOrAllTheOthersOrOneself() throws IOException {
            try (var relay = relay(); var room = new Clients(relay, 11); var elsewhere = Raw.open(relay, ROOM + "/2").expect("1 self")) {
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

        @ParameterizedTest
        @ValueSource(strings = {"3", "4", "0", "00", "007", "01", "02", "10", "999999999", "1000000001", "4294967297", "4294967298",
                "99999999999", "18446744073709551617", "18446744073709551618"})
        void aMessageToNobodyIsDropped(String target) throws IOException {
            try (var relay = relay(); var room = new Clients(relay, 3)) {
                leave(room.get(3));
                room.get(1).expect("3 quit").send(text(target + " hello"));
                room.get(2).expect("3 quit");
                room.expectNothingElse(1, 2);
            }
        }

        static Stream<Named<byte[]>> data() {
            return Stream.concat(
                    Stream.of("", " ", "  ", " a", " a ", "  a  b  ", " \n", " a\r\nb\n", "\n", " \0a\0", " \uD83D\uDE80", " {\"x\":[1,2.5]}", " 1 quit",
                            " * self").map(data -> Named.of("'" + data.replaceAll("\\p{Cntrl}", "?") + "'", bytes(data))),
                    Stream.of(125, 126, 127, 65_535, 65_536, 65_537, 1 << 20)   // of the whole message
                            .map(size -> Named.of(size + " bytes", bytes(" " + "é".repeat((size - 4) / 2) + "x".repeat(size % 2)))));
        }

        @ParameterizedTest
        @MethodSource("data")
        void whatFollowsTheMsgtypeArrivesByteForByte(byte[] data) throws IOException {
            try (var relay = relay(); var room = new Clients(relay, 3)) {
                for (int opcode = 1; opcode <= 2; opcode++) {
                    for (String target : List.of("*", "2")) room.get(1).send(frame(true, opcode, concat(bytes(target + " x"), data)));
                    for (int receiver : new int[] {2, 3, 2}) {
                        Received message = room.get(receiver).receive();
                        assertEquals(opcode, message.opcode());
                        assertTrue(message.last());
                        assertArrayEquals(concat(bytes("1 x"), data), message.payload());
                    }
                }
            }
        }

        @Test
        void binaryMayBeAnything() throws IOException {
            byte[] all = new byte[256];
            for (int i = 0; i < 256; i++) all[i] = (byte) i;
            try (var relay = relay(); var room = new Clients(relay, 2)) {
                room.get(1).send(concat(frame(false, 2, bytes("*")), frame(false, 0, bytes(" b")), frame(true, 0, concat(bytes(" "), all))));
                Received message = room.get(2).receive();
                assertEquals(2, message.opcode());
                assertArrayEquals(concat(bytes("1 b "), all), message.payload());
            }
        }

        @ParameterizedTest
        @ValueSource(strings = {"selfish", "Self", "joins", "quit\t", "quit\n", "*", "1", "é\uD83D\uDE80", "selfjoinquit"})
        void anyOtherMsgtypeIsTheClientsOwnToDefine(String msgtype) throws IOException {
            try (var relay = relay(); var room = new Clients(relay, 2)) {
                room.get(1).send(text("* " + msgtype + " data"));
                room.get(2).expect("1 " + msgtype + " data");
            }
        }

        @ParameterizedTest(name = "\"{0}\"")
        @ValueSource(strings = {"", " ", "*", "1", "hello", "* ", "1 ", " hello", " 1 hello", "*  hello", "1  hello", "** hello", "*1 hello",
                "+1 hello", "-1 hello", "1x hello", "1.0 hello", "1,2 hello", "1\thello", "all hello", "\u0661 hello", "\0 hello",
                "* self", "* join", "* quit", "1 self", "1 join", "1 quit", "* self 3", "1 join ", "* quit now"})
        void aMessageWithoutAValidHeaderEndsItsSenderAlone(String message) throws IOException {
            for (int opcode = 1; opcode <= 2; opcode++) {
                try (var relay = relay(); var room = new Clients(relay, 3)) {
                    String reason = room.get(3).send(frame(true, opcode, bytes(message))).expectClose(1008);
                    boolean forged = message.matches("[*1] (self|join|quit).*");
                    assertTrue(reason.contains(forged ? "only the relay" : "<msgtype>"), reason);
                    assertTrue(reason.contains("got '" + Relay.printable(forged ? message.substring(0, 6) : message)), reason);
                    room.get(1).expect("3 quit").send(text("2 hello"));
                    room.get(2).expect("3 quit").expect("1 hello");
                    room.expectNothingElse(1, 2);
                }
            }
        }

        @Test
        void aReasonStaysWithinItsFrameHoweverLongTheMessage() throws IOException {
            try (var relay = relay(); var raw = Raw.open(relay, ROOM).expect("1 self")) {
                String reason = raw.send(text("hello".repeat(1000))).expectClose(1008);
                assertTrue(reason.contains("hellohello"), reason);
            }
        }

        /**
         * Two hundred lives in one room, fifty at a time, each on a thread of its own: they say numbered words to all and
         * whisper to some, and leave in good order or abruptly. The first client stays; by what it hears the others are checked.
         */
        @ParameterizedTest(name = "seed {0}")
        @ValueSource(longs = {1, 2, 3})
        void everyStreamIsATrueHistory(long seed) throws Exception {
            var said = new ConcurrentHashMap<Integer, Integer>();   // by id, of those who left in good order: their last number
            var histories = new ConcurrentLinkedQueue<List<String>>();
            var stream = Collections.synchronizedList(new ArrayList<String>());
            try (var relay = relay(); var threads = Executors.newCachedThreadPool(); var first = Raw.open(relay, ROOM)) {
                var done = threads.submit(() -> listen(first, stream));
                var others = IntStream.range(0, 50).mapToObj(i -> threads.submit(() -> {
                    var random = new Random(1000 * seed + i);
                    for (int life = 0; life < 4; life++) histories.add(live(relay, random, threads, said));
                    return null;
                })).toList();
                for (var other : others) other.get();
                eventually(() -> {
                    synchronized (stream) {
                        return stream.stream().filter(text -> text.endsWith(" quit")).count() == 200;
                    }
                }, "200 quits heard");
                first.send(close(1000, ""));
                done.get();
            }
            var company = new HashMap<Integer, Set<Integer>>();
            assertEquals(Set.of(), check(stream, said, company), "all have left");
            for (List<String> history : histories) check(history, said, company);
        }

        /** One client, from its handshake to its end; returns all that it was told. */
        static List<String> live(Relay relay, Random random, ExecutorService threads, Map<Integer, Integer> said) throws Exception {
            var stream = new ArrayList<String>();
            try (var raw = Raw.open(relay, ROOM)) {
                var done = threads.submit(() -> listen(raw, stream));
                int words = random.nextInt(60);
                for (int number = 1; number <= words; number++) {
                    raw.send(text("* n " + number)).send(text(1 + random.nextInt(200) + " whisper"));
                    if (random.nextInt(8) == 0) Thread.sleep(random.nextInt(4));
                }
                boolean inGoodOrder = random.nextBoolean();
                if (inGoodOrder) {
                    raw.send(close(1000, ""));
                } else {
                    if (random.nextBoolean()) raw.socket.setSoLinger(true, 0);
                    raw.socket.close();
                }
                done.get();
                if (inGoodOrder) said.put(number(stream.getFirst()), words);
                return stream;
            }
        }

        static Void listen(Raw raw, List<String> stream) {
            try {
                for (Received next = raw.receive(); next.opcode() == 1; next = raw.receive()) stream.add(next.text());
            } catch (IOException left) {
                // it has hung up itself
            }
            return null;
        }

        static int number(String text) {
            return Integer.parseInt(text.substring(0, text.indexOf(' ')));
        }

        /**
         * @param company by newcomer, whom it must be told of: learnt from the first client's stream, what the others are held to
         * @return who is there at the end
         */
        static Set<Integer> check(List<String> stream, Map<Integer, Integer> said, Map<Integer, Set<Integer>> company) {
            if (stream.isEmpty()) return Set.of();   // it left before it heard a thing
            int self = number(stream.getFirst());
            assertEquals(self + " self", stream.getFirst());
            var last = new TreeMap<Integer, Integer>();   // of those present, the last number heard; -1 for any, 0 for none yet
            int newest = 0;
            for (int i = 1; i < stream.size(); i++) {
                String[] words = stream.get(i).split(" ");
                String where = "client " + self + " hears '" + stream.get(i) + "' after " + stream.subList(Math.max(0, i - 5), i);
                int from = number(stream.get(i));
                switch (words[1]) {
                    case "join" -> {
                        assertTrue(from > newest && from != self, where);
                        if (from < self) assertEquals(i, last.size() + 1, where);   // those before it are told of first, together
                        if (self == 1) company.put(from, Stream.concat(Stream.of(1), last.keySet().stream()).collect(Collectors.toSet()));
                        newest = from;
                        last.put(from, from < self ? -1 : 0);
                        if (from < self && last.size() == company.get(self).size()) assertEquals(company.get(self), last.keySet(), where);
                    }
                    case "quit" -> {
                        Integer heard = last.remove(from);
                        assertNotNull(heard, where);
                        if (heard >= 0 && said.containsKey(from)) assertEquals(said.get(from), heard, where);
                    }
                    case "n" -> {
                        int number = Integer.parseInt(words[2]);
                        Integer before = last.put(from, number);
                        assertNotNull(before, where);
                        if (before >= 0) assertEquals(before + 1, number, where);
                    }
                    case "whisper" -> assertTrue(from == self || last.containsKey(from), where);
                    default -> fail(where);
                }
            }
            if (said.containsKey(self)) assertTrue(self == 1 || stream.size() > company.get(self).size(), "client " + self + " is told of all");
            return last.keySet();
        }

        /** The list of clients, replaced with each join and quit, is whole whenever somebody who talks looks at it. */
        @Test
        @SuppressWarnings("try")   // who talks just talks on
        void comingAndGoingDisturbsNobodyWhoIsTalking() throws Exception {
            var chatter = new ByteArrayOutputStream();
            for (int i = 0; i < 300; i++) chatter.writeBytes(concat(text("999999 n"), text("* n")));
            byte[] turn = concat(text("1 turn"), chatter.toByteArray());
            try (var relay = relay(); var one = Raw.open(relay, ROOM).expect("1 self"); var talk = new Pump(one, Long.MAX_VALUE, n -> turn)) {
                for (int id = 2; id < 1_500; id++) {
                    Raw.open(relay, ROOM).expect(id + " self").expect("1 join").close();
                    for (String quit = id + " quit"; !one.receive().text().equals(quit); ) continue;
                }
                for (int i = 0; i < 100; i++) one.expect("1 turn");
            }
        }

        @Test
        void tenThousandMessagesFromEachOfFourArriveCompleteAndInOrder() throws Exception {
            int senders = 4, count = 10_000;
            try (var relay = relay(); var room = new Clients(relay, 12); var threads = Executors.newCachedThreadPool()) {
                var readers = IntStream.rangeClosed(1, 12).mapToObj(id -> threads.submit(() -> {
                    int[] heard = new int[senders + 1];
                    for (int left = count * (id <= senders ? senders - 1 : senders); left > 0; left--) {
                        String text = room.get(id).receive().text();
                        int from = number(text);
                        assertEquals(from + " n " + ++heard[from], text);
                    }
                    return null;
                })).toList();
                for (int id = 1; id <= senders; id++) {
                    Raw sender = room.get(id);
                    threads.submit(() -> {
                        for (int number = 1; number <= count; number++) sender.send(text("* n " + number));
                        return null;
                    });
                }
                for (var reader : readers) reader.get();
                room.expectNothingElse(IntStream.rangeClosed(1, 12).toArray());
            }
        }
    }

    /** What bounds a client, and what all of them together: each limit at work, and nobody else disturbed by it. */
    @Nested
    class Limits {
        static final String FILL = "x".repeat(64 << 10);

        interface Step {
            void run() throws IOException;
        }

        /** Client 1 multicasts and client 2 keeps up, until they hear that the one of that id has quit; client 2 misses nothing. */
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
        void aMessageMayBeAsLargeAsTheLimitAndItsSenderIsTold1009FromTheHeaderOfOneThatIsLarger(String header) throws IOException {
            try (var relay = relay(options -> options.maxMessage = 1000); var room = new Clients(relay, 2)) {
                room.get(1).send(text("* " + "x".repeat(998)));
                room.get(2).expect("1 " + "x".repeat(998));
                assertTrue(room.get(1).send(hex(header)).expectClose(1009).contains("1000 bytes"));
                room.get(2).expect("1 quit");
            }
        }

        @Test
        void whoComesWhenTheRelayIsFullIsTold1013AndIsWelcomeOnceSomebodyHasLeft() throws IOException {
            try (var relay = relay(options -> options.maxClients = 2); var room = new Clients(relay, 2)) {
                for (String path : List.of(ROOM, "/ws-relay/another")) {
                    try (var third = Raw.open(relay, path)) {
                        assertTrue(third.expectClose(1013).contains("full"));
                    }
                }
                room.expectNothingElse(1, 2);
                leave(room.get(2));
                room.get(1).expect("2 quit");
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

        static Stream<Named<byte[][]>> signsOfLife() {
            byte[] pong = frame(true, 10, new byte[0]), over = text("1 over");
            return Stream.of(Named.of("a pong", new byte[][] {pong, pong, pong, over}),
                    Named.of("a byte of a message still to come", new byte[][] {{over[0]}, {over[1]}, {over[2]}, Arrays.copyOfRange(over, 3, over.length)}));
        }

        @ParameterizedTest
        @MethodSource("signsOfLife")
        @Waits
        void whoIsSilentIsPingedAndAnySignOfLifeKeepsIt(byte[][] signs) throws IOException {
            try (var relay = relay(options -> options.pingAfter = 500); var one = Raw.open(relay, ROOM).expect("1 self")) {
                for (byte[] sign : signs) {
                    assertEquals(9, one.receive().opcode());
                    one.send(sign);
                }
                assertEquals("1 over", answeringPings(one).text());
            }
        }

        @Test
        void whoDoesNotAnswerAPingIsCutOff() throws IOException {
            try (var relay = relay(options -> options.pingAfter = 300); var one = Raw.open(relay, ROOM).expect("1 self")) {
                assertEquals(9, one.receive().opcode());
                one.expectEnd();
            }
        }

        @Test
        void whoNeverReadsDelaysNobodyAndFindsA1008IfItDoesReadInTime() throws IOException {
            try (var relay = relay(options -> options.maxOutbox = 256 << 10); var room = new Clients(relay, 3)) {
                Raw stuck = room.get(3);
                fillUntilQuit(room, 3, () -> stuck.send(frame(true, 10, new byte[0])));   // once closed, it has left with the next frame
                Received next = stuck.receive();
                for (int number = 0; next.opcode() == 1; next = stuck.receive())
                    assertTrue(next.text().equals("1 " + number++ + " " + FILL), next::toString);
                assertEquals(1008, next.code());
                assertTrue(next.reason().contains("behind"), next.reason());
                stuck.expectEnd();
                room.expectNothingElse(1, 2);
            }
        }

        /** On one processor, where all are written to by one thread. */
        @Test
        void thoseWhoNeverReadDoNotDelayTheOneAfterThem() throws Exception {
            var command = List.of(Program.JAVA, "-XX:ActiveProcessorCount=1", "-cp", Program.CLASSES, "Relay", "0", "--host", "127.0.0.1");
            var room = new ArrayDeque<Raw>();
            try (var relay = new Program(Program.ROOT, Map.of(), command)) {
                for (int id = 1; id <= 10; id++) {
                    room.add(lazy(new Raw(relay.url().getPort())).send(Raw.upgrade(ROOM)));
                    assertTrue(room.getLast().head().startsWith("HTTP/1.1 101 "));
                    room.getLast().expect(id + " self");
                }
                for (int id = 1; id <= 9; id++) room.getLast().expect(id + " join");
                assertTimeout(Duration.ofSeconds(4), () -> {   // 0.1 s, or 8 if the sweeper has to help at each of them
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
        @Waits
        void whoWaitsOrIsWaitedForCostsNoProcessorTime() throws Exception {
            try (var relay = Program.relay(Program.ROOT, "0", "--host", "127.0.0.1"); var one = relay.open(ROOM);
                    var two = lazy(new Raw(relay.url().getPort())).send(Raw.upgrade(ROOM))) {
                assertTrue(two.head().startsWith("HTTP/1.1 101 "));
                two.expect("2 self").expect("1 join");
                try (var pump = new Pump(one.expect("2 join"), Long.MAX_VALUE, number -> text("2 " + FILL))) {
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
                for (int number = 0; number < 60; number++) sent.add(number + " " + FILL);   // 4 MB, more than the system's buffers hold
                var sender = Thread.startVirtualThread(() -> {
                    for (String text : sent) sendAnyway(room.get(1), text("2 " + text));
                    sendAnyway(room.get(1), concat(text("2 a"), text("2 b"), close(1000, "")));
                });
                LockSupport.parkNanos(300_000_000);
                for (String text : sent) expectLong(room.get(2), "1 " + text);
                room.get(2).expect("1 a").expect("1 b").expect("1 quit");
                eventually(() -> !sender.isAlive(), "all sent");
            }
        }

        @Test
        void aBurstOfTinyMessagesToALargeRoomStaysWithinTheBudget() throws Exception {
            int count = 4_000, size = 400;
            byte[] burst = concat(Collections.nCopies(count, text("* x")).toArray(byte[][]::new));   // comes in one or two reads
            try (var relay = relay(options -> options.budget = 4 << 20); var one = Raw.open(relay, ROOM).expect("1 self")) {
                var others = new ArrayList<Raw>();
                for (int id = 2; id <= size; id++) {
                    others.add(Raw.open(relay, ROOM).expect(id + " self"));
                    one.expect(id + " join");
                }
                var most = new AtomicLong();
                var watch = Thread.ofPlatform().daemon().start(() -> {
                    while (!Thread.interrupted()) most.accumulateAndGet(relay.buffered.get(), Math::max);
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
                assertTrue(most.get() < (4 << 20) + size * 100L, () -> most + " bytes were buffered");
            }
        }

        /** What has been read and waits for its turn fills the budget by itself: that must not keep it waiting. */
        @Test
        void aCrowdThatFloodsItsRoomIsPassedOnWholeAndKeepsNobodyOut() throws Exception {
            int size = 60, count = 8_000;
            byte[] flood = concat(Collections.nCopies(count, text("* x")).toArray(byte[][]::new));
            try (var relay = relay(options -> options.budget = 1 << 20); var room = new Clients(relay, size); var elsewhere = Raw.open(relay, ROOM + "/2");
                    var threads = Executors.newVirtualThreadPerTaskExecutor()) {
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
                eventually(() -> relay.buffered.get() == 0, "nothing is held");
            }
        }

        @Test
        void aFileIsNotReadOnForWhoIsGone(@TempDir Path folder) throws Exception {
            Path site = Files.createDirectory(folder.resolve("site"));
            try (var huge = new RandomAccessFile(site.resolve("huge").toFile(), "rw")) {
                huge.setLength(1L << 40);   // of holes
            }
            try (var relay = relay(options -> options.folder = site)) {
                for (int i = 0; i < 5; i++)
                    try (var raw = lazy(new Raw(relay.port())).send("GET /site/huge HTTP/1.1\r\nHost: localhost\r\n\r\n")) {
                        raw.in.readNBytes(100_000);
                        raw.socket.setSoLinger(true, 0);   // a reset
                    }
                eventually(() -> Fuzz.descriptors("/huge") == 0, "nobody reads it any more");
            }
        }

        @Test
        void manyWhoAskForAFileAndDoNotTakeItDoNotOverwhelmAHeapOf64(@TempDir Path folder) throws Exception {
            Path site = Files.createDirectory(folder.resolve("site"));
            try (var huge = new RandomAccessFile(site.resolve("huge").toFile(), "rw")) {
                huge.setLength(100 << 20);
            }
            var command = List.of(Program.JAVA, "-Xmx64m", "-cp", Program.CLASSES, "Relay", "0", "--host", "127.0.0.1", "--dir", site.toString());
            var askers = new ArrayList<Raw>();
            try (var relay = new Program(Program.ROOT, Map.of(), command); var good = relay.open(ROOM)) {
                for (int i = 0; i < 900; i++)
                    askers.add(lazy(new Raw(relay.url().getPort())).send("GET /site/huge HTTP/1.1\r\nHost: localhost\r\n\r\n"));
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
        void whatComesTogetherWithAHandshakeIsBookedOnce() throws IOException {
            try (var relay = relay(); var raw = new Raw(relay.port())) {
                String health = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
                raw.send(concat(bytes(health + health + Raw.upgrade(ROOM)), text("1 hello"), text("1 hel")));
                for (int i = 0; i < 2; i++) assertEquals(200, Answer.read(raw, "GET").status());
                assertTrue(raw.head().startsWith("HTTP/1.1 101 "));
                raw.expect("1 self").expect("1 hello").expect("1 hel");
                eventually(() -> relay.buffered.get() == 0, "nothing is held");
            }
        }

        @Test
        void aReceiverThatTakesNothingIsGivenUpAndItsSenderGoesOn() throws IOException {
            try (var relay = relay(options -> options.stallTime = 500); var room = new Clients(relay, 2);
                    var pump = new Pump(room.get(1), 1_000, number -> text("2 " + FILL))) {
                room.get(1).expect("2 quit");
                eventually(() -> pump.sent.get() == 1_000, "all sent");
                room.expectNothingElse(1);
            }
        }

        /** Otherwise the system would hold 4 MB back, and tell of progress a megabyte at a time. */
        @Test
        @Waits
        void aReceiverThatTakesLittleAtATimeIsNotGivenUp() throws Exception {
            try (var relay = relay(options -> options.stallTime = 1_500); var room = new Clients(relay, 2);
                    var pump = new Pump(room.get(1), 100, number -> text("2 " + number + " " + FILL))) {
                for (int number = 0; number < 100; number++) {
                    expectLong(room.get(2), "1 " + number + " " + FILL);
                    Thread.sleep(100);   // 650 kB/s
                }
                assertTrue(pump.sent.get() >= 99);
            }
        }

        /** Rooms are spread over the processors, and connections go where their room is. */
        @Test
        void allIsTheSameOnManyProcessors() throws Exception {
            var command = List.of(Program.JAVA, "-XX:ActiveProcessorCount=7", "-cp", Program.CLASSES, "Relay", "0", "--host", "127.0.0.1");
            var rooms = new ArrayList<List<Raw>>();
            try (var relay = new Program(Program.ROOT, Map.of(), command)) {
                for (int i = 0; i < 40; i++) {
                    Raw one = relay.open(ROOM + i), two = new Raw(relay.url().getPort());
                    two.send(concat(bytes(Raw.upgrade(ROOM + i)), text("1 early"))).head();   // more than the handshake at once
                    rooms.add(List.of(one.expect("2 join").expect("2 early"), two.expect("2 self").expect("1 join")));
                }
                for (var room : rooms) room.get(0).send(concat(text("* hello"), text("2 you"), text("1 me")));
                for (var room : rooms) {
                    room.get(0).expect("1 me");
                    room.get(1).expect("1 hello").expect("1 you").send(text("* back"));
                    room.get(0).expect("2 back");
                }
                relay.signal("TERM");
                for (var room : rooms)
                    for (Raw raw : room) {
                        Received last = raw.receive();
                        if (last.opcode() == 1) last = raw.receive();   // the other's quit
                        assertEquals(1001, last.code());
                    }
                for (var room : rooms)
                    for (Raw raw : room) raw.close();
                relay.expectExit(0);
                assertEquals(List.of(), relay.err);
            }
        }

        /** What is more than the heap can't have been kept: the sender was made to wait. */
        @Test
        @Waits
        void fiftyMegabytesReachASlowReaderWholeThroughAHeapOf64() throws Exception {
            LongFunction<String> part = number -> " part " + number + " " + Long.toString(100_000 + number * 7919, 36).repeat(250_000);
            var command = List.of(Program.JAVA, "-Xmx64m", "-cp", System.getProperty("java.class.path"), "Relay", "0", "--host", "127.0.0.1");
            try (var relay = new Program(Program.ROOT, Map.of(), command); var sender = relay.open(ROOM); var reader = lazy(new Raw(relay.url().getPort()))) {
                assertTrue(reader.send(Raw.upgrade(ROOM)).head().startsWith("HTTP/1.1 101 "));
                reader.expect("2 self").expect("1 join");
                sender.expect("2 join");
                long ahead = 0, start = System.nanoTime();
                try (var pump = new Pump(sender, 50, number -> text("2" + part.apply(number)))) {
                    for (int number = 0; number < 50; number++) {
                        expectLong(reader, "1" + part.apply(number));
                        ahead = Math.max(ahead, pump.sent.get() - number);
                        Thread.sleep(Math.max(0, 200 * number - (System.nanoTime() - start) / 1_000_000));   // 5 MB/s
                    }
                    assertTrue(ahead < 40, "the sender was " + ahead + " MB ahead");
                    sender.send(text("1 over")).expect("1 over");
                }
                reader.expect("1 quit").socket.close();
                relay.signal("TERM");
                relay.expectExit(0);
                assertEquals(List.of(), relay.err);
            }
        }

        @Test
        void whoHoldsMostOfTheBudgetIsCutOffAndAllOfItComesBack() throws IOException {
            try (var relay = relay(options -> options.budget = 3 << 20); var room = new Clients(relay, 2)) {
                for (int hog = 3; hog < 8; hog++) {
                    try (var stuck = lazy(Raw.open(relay, ROOM).expect(hog + " self"))) {
                        for (int id = 1; id <= 2; id++) room.get(id).expect(hog + " join");
                        fillUntilQuit(room, hog, () -> {});
                        stuck.expect("1 join").expect("2 join");
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

        static Stream<Named<byte[]>> unfinished() {
            var fragments = new ByteArrayOutputStream();
            for (int i = 0; i < 40; i++) fragments.writeBytes(frame(false, i == 0 ? 2 : 0, new byte[100_000]));
            return Stream.of(Named.of("large", Arrays.copyOf(frame(true, 2, new byte[5_000_000]), 4_000_000)), Named.of("in fragments", fragments.toByteArray()));
        }

        @ParameterizedTest
        @MethodSource("unfinished")
        void aMessageStillToComeCountsToo(byte[] unfinished) throws IOException {
            try (var relay = relay(options -> {
                options.budget = 3 << 20;
                options.maxMessage = 16 << 20;
            }); var room = new Clients(relay, 2)) {
                byte[] slow = text("* " + FILL);
                room.get(1).send(Arrays.copyOf(slow, 60_000));
                for (int hog = 3; hog < 6; hog++) {
                    try (var raw = Raw.open(relay, ROOM)) {
                        sendAnyway(raw, unfinished);
                        for (int id = 1; id <= 2; id++) room.get(id).expect(hog + " join").expect(hog + " quit");
                    }
                }
                room.get(1).send(Arrays.copyOfRange(slow, 60_000, slow.length));
                expectLong(room.get(2), "1 " + FILL);
                expectRoomFor2MB(room);
            }
        }

        @Test
        @Waits
        void newcomersGetInWhileOthersNeverStopTalking() throws Exception {
            var command = List.of(Program.JAVA, "-XX:ActiveProcessorCount=1", "-cp", System.getProperty("java.class.path"),
                    "Relay", "0", "--host", "127.0.0.1", "--quiet");
            byte[] toNobody = concat(Collections.nCopies(20_000, text("99 m x")).toArray(byte[][]::new));
            var floods = new ArrayList<Pump>();
            try (var relay = new Program(Program.ROOT, Map.of(), command)) {
                for (int i = 0; i < 20; i++) floods.add(new Pump(relay.open("/ws-relay/flood" + i), Long.MAX_VALUE, number -> toNobody));
                eventually(() -> floods.stream().allMatch(flood -> flood.sent.get() > 0), "all of them talk");
                for (int i = 0; i < 5; i++) relay.open("/ws-relay/newcomer" + i).close();
            } finally {
                for (Pump flood : floods) flood.close();
            }
        }

        @Test
        @Waits
        void newcomersGetInWhileOthersNeverStopAsking() throws Exception {
            var command = List.of(Program.JAVA, "-XX:ActiveProcessorCount=1", "-cp", System.getProperty("java.class.path"),
                    "Relay", "0", "--host", "127.0.0.1", "--quiet");
            byte[] requests = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2_000).getBytes(StandardCharsets.US_ASCII);
            var floods = new ArrayList<Pump>();
            try (var relay = new Program(Program.ROOT, Map.of(), command)) {
                for (int i = 0; i < 300; i++) {
                    var raw = new Raw(relay.url().getPort());
                    Thread.startVirtualThread(() -> {
                        try {
                            raw.in.transferTo(OutputStream.nullOutputStream());
                        } catch (IOException over) {
                            // the test is
                        }
                    });
                    floods.add(new Pump(raw, Long.MAX_VALUE, number -> requests));
                }
                eventually(() -> floods.stream().allMatch(flood -> flood.sent.get() > 0), "all of them ask");
                for (int i = 0; i < 5; i++) relay.open("/ws-relay/newcomer" + i).close();
            } finally {
                for (Pump flood : floods) flood.close();
            }
        }

        @Test
        @Waits
        void whoConnectsWhenThereAreNoDescriptorsLeftWaitsAndGetsInOnceThereAre() throws Exception {
            var clients = new ArrayList<Raw>();
            try (var relay = Program.relay(List.of("prlimit", "--nofile=100"), Program.ROOT, "0", "--host", "127.0.0.1")) {
                relay.open(ROOM).close();   // all classes are loaded
                for (int i = 0; i < 100; i++) clients.add(new Raw(relay.url().getPort()));
                relay.expectLine(".* error cannot accept: .*");
                expectIdle(relay);
                long lines = relay.out.stream().filter(line -> line.contains("cannot accept")).count();
                assertTrue(lines < 100, () -> lines + " of them");
                for (Raw client : clients.subList(0, 60)) client.close();
                assertEquals(101, Answer.read(clients.getLast().send(Raw.upgrade(ROOM)), "GET").status);
            } finally {
                for (Raw client : clients) client.close();
            }
        }

        @Test
        void threeHundredLongMessagesAtOnceDoNotOverwhelmAHeapOf64() throws Exception {
            var command = List.of(Program.JAVA, "-Xmx64m", "-XX:ActiveProcessorCount=1", "-cp", System.getProperty("java.class.path"),
                    "Relay", "0", "--host", "127.0.0.1");
            byte[] unfinished = Arrays.copyOf(frame(true, 2, new byte[1 << 20]), 1 << 20);
            var hogs = new ArrayList<Pump>();
            try (var relay = new Program(Program.ROOT, Map.of(), command); var good = relay.open(ROOM)) {
                for (int i = 0; i < 300; i++) hogs.add(new Pump(relay.open("/ws-relay/hog" + i), 1, number -> unfinished));
                for (int i = 0; i < 100; i++) good.send(text("1 " + i)).expect("1 " + i);
                for (Pump hog : hogs) hog.close();
                good.send(text("1 over")).expect("1 over");
                relay.signal("TERM");
                relay.expectExit(0);
                assertEquals(List.of(), relay.err);
            } finally {
                for (Pump hog : hogs) hog.close();
            }
        }

        @Test
        void whoSendsPingsButReadsNoPongsIsMadeToWait() throws Exception {
            int count = 400_000;   // 50 MB
            LongFunction<byte[]> payload = number -> ByteBuffer.allocate(125).putLong(number).array();
            try (var relay = relay(options -> {
                options.budget = 3 << 20;
                options.maxOutbox = 1 << 20;
            }); var one = lazy(Raw.open(relay, ROOM).expect("1 self")); var pump = new Pump(one, count, number -> frame(true, 9, payload.apply(number)))) {
                pump.awaitBlocked();
                assertTrue(pump.sent.get() < count, "it could send all");
                for (int number = 0; number < count; number++) assertArrayEquals(payload.apply(number), one.receive().payload());
            }
        }

        @Test
        void aVisitorTooManyIsLetInAndTheOneThatHasLastBeenHeardOfLongestAgoGoes() throws IOException {
            var visitors = new ArrayDeque<Raw>();
            try (var relay = relay(options -> {
                options.maxClients = 2;
                options.maxVisitors = 3;
            }); var room = new Clients(relay, 2)) {
                for (int i = 0; i < 3; i++) {
                    visitors.add(new Raw(relay.port()));
                    assertEquals(200, health(visitors.getLast()));
                }
                for (int i = 0; i < 20; i++) {
                    var asking = visitors.remove();   // the first of the line becomes its last
                    assertEquals(200, health(asking));
                    visitors.add(asking);
                    awaitTick();
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

        @Test
        @Waits
        void clientsWhoDoNotCloseWhenTheyAreToldToAreVisitorsAgain() throws IOException {
            var told = new ArrayDeque<Raw>();
            try (var relay = relay(options -> {
                options.maxVisitors = 3;
                options.farewellTime = 30_000;   // longer than we wait: who ends had to make way
            })) {
                for (int i = 0; i < 20; i++) {
                    awaitTick();
                    var raw = Raw.open(relay, ROOM + i).expect("1 self").send(hex("82 ff 4000000000000000"));
                    assertEquals(1009, raw.receive().code());
                    told.add(raw);
                    if (told.size() > 3)
                        try (var oldest = told.remove()) {
                            oldest.expectEnd();   // at once, or a busy relay would have twice as many as it may, and refuse the next
                        }
                }
                for (Raw raw : told) raw.close();
            } finally {
                for (Raw raw : told) raw.close();
            }
        }

        /** Till the relay's clock of milliseconds tells now from what was. */
        static void awaitTick() {
            for (long start = System.nanoTime(); System.nanoTime() - start < 2_000_000; ) Thread.onSpinWait();
        }

        static int health(Raw raw) throws IOException {
            awaitTick();
            return Answer.read(raw.send("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"), "GET").status();
        }
    }

    /** Many strangers at once, each at its worst: what they do to the relay of 64 MB that they share with others, nothing. */
    @Nested
    class HostileLoad {
        /** The well-behaved: 36,000 deliveries a second. */
        static final Scenario GAMES = new Scenario("20 rooms of 10, each 20 a second", 20, 10, 10, false, 20);

        /** Of the storm's rates. Two processors have to do for it, the relay and us: with 1, they are all busy. */
        static final double STRENGTH = 1;

        /** A relay of 64 MB with the default limits. */
        static Program smallRelay(String... more) throws IOException {
            var java = List.of(Program.JAVA, "-Xmx64m", "-cp", Program.CLASSES, "Relay", "0", "--host", "127.0.0.1", "--no-stun", "--metrics");
            return new Program(Program.ROOT, Map.of(), Stream.concat(java.stream(), Stream.of(more)).toList());
        }

        /** What such a process holds. Memory in kB; objects: how many there are of each of Relay's classes, and of virtual threads. */
        record Holding(long resident, long descriptors, long threads, long heap, Map<String, Long> objects) {
            static Holding of(Program relay) {
                long pid = relay.process.pid();
                return new Holding(status(relay, "VmRSS"), Path.of("/proc", pid + "", "fd").toFile().list().length, status(relay, "Threads"), 0, Map.of());
            }

            /** With all garbage collected first. */
            static Holding afterCollection(Program relay) throws IOException {
                jcmd(relay, "GC.run");
                var objects = new TreeMap<String, Long>();
                long heap = 0;
                for (String line : jcmd(relay, "GC.class_histogram")) {
                    String[] words = line.strip().split(" +");   // number: instances bytes class, or: Total instances bytes
                    if (words[0].equals("Total")) heap = Long.parseLong(words[2]) / 1024;
                    else if (words.length > 3 && words[3].matches("Relay\\$\\w+|java.lang.VirtualThread")) objects.put(words[3], Long.parseLong(words[1]));
                }
                Holding now = of(relay);
                return new Holding(now.resident, now.descriptors, now.threads, heap, objects);
            }

            private static List<String> jcmd(Program relay, String command) throws IOException {
                var process = new ProcessBuilder(Program.JAVA.replaceFirst("java$", "jcmd"), relay.process.pid() + "", command).start();
                return process.inputReader().lines().toList();
            }

            private static long status(Program relay, String name) {
                return Long.parseLong(Load.proc(relay.process.pid() + "/status", name).orElseThrow().replace(" kB", ""));
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

            private static final byte[] SHOUT = text("* " + Limits.FILL), PONG = frame(true, 10, new byte[0]);
            private static final byte[] CLAIM = hex("82 ff 4000000000000000 00000000");   // 2^62 bytes
            private static final byte[] PINGS = times(100, frame(true, 9, new byte[125]));
            private static final byte[] FRAGMENTS = times(4096, frame(false, 0, new byte[1]));
            private static final String LONGEST = Raw.upgrade("/health", "X: " + "x".repeat((8 << 10) - Raw.upgrade("/health").length() - 5) + "\r\n");

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

            private static byte[] times(int count, byte[] frame) {
                return concat(Collections.nCopies(count, frame).toArray(byte[][]::new));
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
                    for (; ; raw.send(PONG)) Thread.sleep(1_000);   // until the relay is tired of waiting for an answer to its close
                }
            }

            /** A megabyte in fragments, some much faster than others. */
            private void fragment(int stranger, Pace pace) throws IOException, InterruptedException {
                try (var raw = open("fragments" + stranger)) {
                    for (int left = 0; ; left--) {
                        if (left == 0) {
                            raw.send(concat(frame(false, 1, bytes("1 m ")), frame(true, 0, new byte[0]), frame(false, 1, bytes("1 m "))));
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
                    raw.send(Fuzz.randomBytes(ThreadLocalRandom.current(), 2_000)).in.readAllBytes();
                }
            }

            private void mutate(int stranger, Pace pace) throws IOException, InterruptedException {
                pace.await();
                var random = ThreadLocalRandom.current();
                try (var raw = open("mutants" + stranger % 5)) {
                    raw.send(Fuzz.spoil(Fuzz.Script.random(random, "* m ").stream(), random)).socket.shutdownOutput();
                    raw.in.readAllBytes();
                }
            }

            /** One of a hundred rooms; half of them leave in disorder. */
            private void visit(int stranger, Pace pace) throws IOException, InterruptedException {
                pace.await();
                try (var raw = open("visited" + ThreadLocalRandom.current().nextInt(100))) {
                    raw.receive();
                    if (stranger % 2 == 0) raw.send(RelayTest.close(1000, "")).in.readAllBytes();
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
                return paces.entrySet().stream().map(pace -> pace.getValue().passed + " " + pace.getKey()).collect(Collectors.joining(", "));
            }
        }

        /** Well-behaved clients who come one after the other and leave as soon as they are in: how long each took, in ms. */
        static final class Newcomers implements AutoCloseable {
            final List<Long> waits = new ArrayList<>();
            final List<String> turnedAway = new ArrayList<>();
            private final Thread thread;

            Newcomers(int port) {
                thread = Thread.ofPlatform().start(() -> {
                    for (int number = 0; !Thread.currentThread().isInterrupted(); LockSupport.parkNanos(20_000_000), number++) {
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
            var command = List.of("nice", "-n", "10", Program.JAVA, "-Xmx512m", "-cp", System.getProperty("java.class.path"),
                    Storm.class.getName(), relay.url().getPort() + "", strength + "");
            return new Program(Program.ROOT, Map.of(), command);
        }

        /** How long a thread that could go on had to wait for a processor at worst, in ms: of that the relay is innocent. */
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

        @Test
        void whoPlaysNoticesNothingOfAStormOfStrangersAndItLeavesNothingBehind() throws Exception {
            try (var relay = smallRelay(); var games = new Crowd(GAMES).open(relay.url().getPort())) {
                games.send(Duration.ofSeconds(3));
                var before = Holding.afterCollection(relay);
                var newcomers = new Newcomers(relay.url().getPort());
                var noise = new Noise();
                long worst = 0;
                try (newcomers; noise; var storm = storm(relay, STRENGTH)) {
                    storm.expectLine("it is on");
                    for (int i = 0; i == 0 || i < 4 && !hasNeededTheBudget(relay); i++) {   // a busy machine has but little of a storm
                        games.send(Duration.ofSeconds(8));
                        worst = Math.max(worst, games.worst());
                    }
                    storm.signal("TERM");
                    storm.expectExit(143);
                }
                games.settle();
                assertEquals("ok", games.check());
                long innocent = 4 * noise.worst;   // from the sender's thread to the receiver's, a message waits four times
                assertTrue(worst < 500 + innocent, worst + " ms late");
                assertTrue(newcomers.waits.getLast() < 2_000 + innocent, newcomers::toString);
                assertTrue(newcomers.turnedAway.size() <= newcomers.waits.size() / 20, newcomers::toString);

                assertEquals(List.of(), relay.err);
                assertEquals(List.of(), relay.out.stream().filter(line -> line.matches("\\S+ error .*|.* 1011( .*)?")).toList());
                assertTrue(hasNeededTheBudget(relay), "the budget was not needed");
                eventually(() -> Holding.of(relay).descriptors <= before.descriptors, "all connections are closed");
                var after = Holding.afterCollection(relay);
                assertEquals(before.objects, after.objects);
                assertTrue(after.threads <= before.threads + 10 && after.heap <= before.heap + (4 << 10)
                        && after.resident <= before.resident + (96 << 10), () -> before + " became " + after);
            }
        }

        private static boolean hasNeededTheBudget(Program relay) {
            return relay.out.stream().anyMatch(line -> line.endsWith("1006 all buffers together are full, and this client's hold the most"));
        }

        @Test
        void whoIsAboutToGetAMessageOrHasSentHalfOfOneIsNotToBlameForFullBuffers() throws IOException {
            try (var relay = relay(options -> options.budget = 3 << 20); var room = new Clients(relay, 100)) {
                byte[] slow = text("* " + "x".repeat(400));
                room.get(2).send(Arrays.copyOf(slow, 20));
                for (int i = 0; i < 20; i++) {
                    room.get(1).send(text("* " + Limits.FILL));   // 6 MiB, but in nobody's way
                    for (int id = 2; id <= 100; id++) expectLong(room.get(id), "1 " + Limits.FILL);
                }
                room.get(2).send(Arrays.copyOfRange(slow, 20, slow.length));
                for (int id = 3; id <= 100; id++) room.get(id).expect("2 " + "x".repeat(400));
            }
        }

        @Test
        void aLongMessageThatWaitsForItsReceiverIsBooked() throws Exception {
            try (var relay = relay(options -> options.maxOutbox = 1 << 20); var room = new Clients(relay, 3);
                    var pump = new Pump(room.get(1), Long.MAX_VALUE, number -> text("2 " + Limits.FILL))) {
                pump.awaitBlocked();   // since 2, who reads nothing, is half of its outbox behind
                room.get(3).send(text("2 " + "x".repeat(600 << 10)));
                eventually(() -> relay.buffered.get() > (512 << 10) + (600 << 10), "what waits for that is booked");
            }
        }

        @Test
        void whoHoldsLittleGoesOnPastTheBudget() throws IOException {
            try (var relay = relay(options -> options.budget = 1 << 20); var room = new Clients(relay, 2)) {
                relay.buffered.addAndGet((1 << 20) + 1);   // as if others held it
                for (int i = 0; i < 10; i++) {
                    room.get(1).send(text("* a"));
                    room.get(2).expect("1 a");
                }
            }
        }

        @Test
        void nobodyIsCutOffForWhatOthersHold() throws IOException {
            try (var relay = relay(options -> options.budget = 1 << 20); var room = new Clients(relay, 3)) {
                byte[] message = text("* " + "x".repeat(400));
                room.get(3).send(Arrays.copyOf(message, 20));
                relay.buffered.addAndGet(2 << 20);   // as if others held it, who are on their way out: nobody reads
                room.get(1).send(text("2 a"));       // but one message at most, that had been waited for already
                LockSupport.parkNanos(100_000_000);
                room.get(1).send(text("2 b"));
                LockSupport.parkNanos(100_000_000);  // ten times as long as it takes to look for those to blame
                relay.buffered.addAndGet(-(2 << 20));
                room.get(2).expect("1 a").expect("1 b");
                room.get(3).send(Arrays.copyOfRange(message, 20, message.length));
                for (int id = 1; id <= 2; id++) room.get(id).expect("3 " + "x".repeat(400));
            }
        }
    }

    /** What close() promises to clients and to who embeds the relay. */
    @Nested
    @SuppressWarnings("try")   // the relay is closed within
    class Shutdown {
        @Test
        void everyClientIsTold1001() throws Exception {
            try (var relay = relay(); var room = new Clients(relay, 2); var other = Raw.open(relay, "/ws-relay").expect("1 self");
                    var amid = Raw.open(relay, "/ws-relay/amid").expect("1 self").send(hex("81 fe 0100 00000000 31"))) {
                var closing = CompletableFuture.runAsync(relay::close);
                for (Raw raw : List.of(room.get(1), room.get(2), other, amid)) {
                    Received next = raw.receive();
                    if (next.opcode() == 1) next = raw.receive();   // the other's quit may come first
                    assertEquals(1001, next.code());
                    assertTrue(next.reason().contains("shutting down"));
                    if (raw != amid) raw.send(close(1001, "")).expectEnd();
                    raw.close();
                }
                closing.get(5, TimeUnit.SECONDS);
            }
        }

        @Test
        void nobodyCanHoldItUp(@TempDir Path folder) throws Exception {
            try (var relay = relay(); var room = new Clients(relay, 2); var half = new Raw(relay.port()).send("GET / HT");
                    var page = new Raw(relay.port()); var paused = new Pump(room.get(1), Long.MAX_VALUE, number -> text("2 " + Limits.FILL))) {
                assertEquals(200, Limits.health(page));
                paused.awaitBlocked();
                long before = System.nanoTime();
                relay.close();
                assertTrue(System.nanoTime() - before < 5_000_000_000L, "it took " + (System.nanoTime() - before) / 1_000_000 + " ms");
                assertThrows(IOException.class, () -> half.in.readFully(new byte[1]));
                expectNoThreadLeft(folder);
            }
        }

        /** Neither a platform thread nor a virtual one runs a relay's code. */
        static void expectNoThreadLeft(Path folder) {
            eventually(() -> !threads(folder).matches("(?s).*\\bRelay[.$].*"), "no thread left");
        }

        static String threads(Path folder) {
            Path file = folder.resolve("threads" + System.nanoTime());
            try {
                java.lang.management.ManagementFactory.getPlatformMXBean(com.sun.management.HotSpotDiagnosticMXBean.class)
                        .dumpThreads(file.toString(), com.sun.management.HotSpotDiagnosticMXBean.ThreadDumpFormat.TEXT_PLAIN);
                return Files.readString(file);
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }

        @ParameterizedTest(name = "quiet: {0}")
        @ValueSource(booleans = {true, false})
        void noThreadIsLeft(boolean quiet, @TempDir Path folder) throws IOException {
            PrintStream out = System.out;
            System.setOut(new PrintStream(OutputStream.nullOutputStream()));   // for the log
            try (var relay = relay(options -> options.quiet = quiet); var half = new Raw(relay.port()); var one = Raw.open(relay, ROOM)) {
                eventually(() -> threads(folder).contains("Relay$Loop.run"), "threads of a relay can be seen");
            } finally {
                System.setOut(out);
            }
            expectNoThreadLeft(folder);
        }

        @Test
        void thePortIsFreeAtOnce() throws IOException {
            var port = new AtomicInteger();
            for (int round = 0; round < 50; round++) {
                try (var relay = relay(options -> options.port = port.get()); var one = Raw.open(relay, ROOM).expect("1 self")) {
                    port.set(relay.port());
                    var closing = CompletableFuture.runAsync(relay::close);
                    assertEquals(1001, one.receive().code());
                    one.send(close(1001, "")).expectEnd();   // the relay ends it first, so that its port is the one in TIME_WAIT
                    one.close();
                    closing.join();
                }
                if (round % 2 == 0) assertThrows(ConnectException.class, () -> new Raw(port.get()).close());
            }
        }

        /** The system lets go of a port only when no thread waits in there any more, however busy the machine is. */
        @Test
        void nobodyWaitsForEitherPortAnyMore() throws IOException {
            var over = new AtomicBoolean();
            for (int i = 0; i < 4; i++) Thread.ofPlatform().daemon().start(() -> { while (!over.get()) Thread.onSpinWait(); });
            try {
                for (int round = 0; round < 100; round++) {
                    relay().close();
                    assertEquals(List.of(), Thread.getAllStackTraces().keySet().stream().map(Thread::getName)
                            .filter(name -> name.equals("relay-loop")).toList(), "round " + round);
                }
            } finally {
                over.set(true);
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

    /** WebSocket clients that others have written. */
    @Nested
    @SuppressWarnings("try")   // the relay is closed within
    class Peers {
        /** One of them, in a room. What it hears is queued: a kind of message and the message, or `close 1001 why`. */
        abstract static class Guest implements AutoCloseable {
            private final BlockingQueue<String> heard = new LinkedBlockingQueue<>();

            /** Sends a message of the kind text or binary, whose characters stand for bytes then. */
            abstract Guest say(String kind, String message) throws IOException;

            abstract Guest leave(int code, String reason) throws IOException;

            @Override
            public abstract void close();

            /** What comes next must be this, or match it. */
            Guest expect(String... expected) throws InterruptedException {
                for (String one : expected) compare(one, next());
                return this;
            }

            /** The same, after what is of no interest. */
            void expectAfterAny(String skipped, String expected) throws InterruptedException {
                String next = next();
                while (next.matches(skipped)) next = next();
                compare(expected, next);
            }

            private void compare(String expected, String next) {
                assertTrue(next.equals(expected) || next.matches(expected), () -> "not " + shortly(expected) + " but " + shortly(next) + about());
            }

            private String next() throws InterruptedException {
                return String.valueOf(heard.poll(20, TimeUnit.SECONDS));
            }

            /** What else it has to say about itself. */
            String about() {
                return "";
            }

            void hear(String what) {
                heard.add(what);
            }

            /** As a line: `text 68656c6c6f`, `close 1001 why`. */
            void hearLine(String line) {
                String kind = line.replaceFirst(" .*", ""), rest = line.substring(Math.min(line.length(), kind.length() + 1));
                hear(kind.equals("close") ? line.strip() : kind + " " + new String(hex(rest), charset(kind)));
            }

            static String inHex(String kind, String message) {
                return HexFormat.of().formatHex(message.getBytes(charset(kind)));
            }

            private static Charset charset(String kind) {
                return kind.equals("text") ? StandardCharsets.UTF_8 : StandardCharsets.ISO_8859_1;
            }

            private static String shortly(String text) {
                return text.substring(0, Math.min(100, text.length())) + " (" + text.length() + " characters)";
            }
        }

        /** The JDK's own client, java.net.http.WebSocket. */
        static final class Jdk extends Guest implements WebSocket.Listener {
            private final HttpClient http = HttpClient.newHttpClient();
            private final StringBuilder partial = new StringBuilder();
            final WebSocket socket;

            Jdk(Relay relay) {
                socket = http.newWebSocketBuilder().buildAsync(URI.create("ws://127.0.0.1:" + relay.port() + ROOM), this).join();
            }

            @Override
            Jdk say(String kind, String message) {
                if (kind.equals("text")) socket.sendText(message, true).join();
                else socket.sendBinary(ByteBuffer.wrap(message.getBytes(StandardCharsets.ISO_8859_1)), true).join();
                return this;
            }

            @Override
            Jdk leave(int code, String reason) {
                socket.sendClose(code, reason).join();
                return this;
            }

            private CompletionStage<?> hear(WebSocket socket, String kind, CharSequence data, boolean last) {
                partial.append(data);
                if (last) {
                    hear(kind + partial);
                    partial.setLength(0);
                }
                socket.request(1);
                return null;
            }

            @Override
            public CompletionStage<?> onText(WebSocket socket, CharSequence data, boolean last) {
                return hear(socket, "text ", data, last);
            }

            @Override
            public CompletionStage<?> onBinary(WebSocket socket, ByteBuffer data, boolean last) {
                return hear(socket, "binary ", StandardCharsets.ISO_8859_1.decode(data), last);
            }

            @Override
            public CompletionStage<?> onPong(WebSocket socket, ByteBuffer data) {
                return hear(socket, "pong ", StandardCharsets.ISO_8859_1.decode(data), true);
            }

            @Override
            public CompletionStage<?> onClose(WebSocket socket, int code, String reason) {
                hear(("close " + code + " " + reason).strip());
                return null;
            }

            @Override
            public void close() {
                socket.abort();
                http.shutdownNow();
            }
        }

        /** A program that is told in lines what to do, and tells in lines what it hears; messages are in hex there. */
        static final class Script extends Guest {
            private final Program program;

            Script(Map<String, String> environment, String... command) throws IOException {
                program = new Program(Program.ROOT, environment, List.of(command), this::hearLine);
            }

            @Override
            Script say(String kind, String message) throws IOException {
                return tell(kind + " " + inHex(kind, message));
            }

            @Override
            Script leave(int code, String reason) throws IOException {
                return tell("close " + code + " " + reason);
            }

            private Script tell(String line) throws IOException {
                program.process.outputWriter().append(line).append('\n').flush();
                return this;
            }

            @Override
            String about() {
                return " of " + program.err;
            }

            @Override
            public void close() {
                program.close();
            }
        }

        /** Node's own client, the one of `ws`, and Chromium have the same interface. `tell` is theirs, and `WebSocket`. */
        static final String JAVASCRIPT = """
            let socket;
            function join(address) {
              socket = new WebSocket(address);
              const hex = bytes => Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join('');
              socket.binaryType = 'arraybuffer';
              socket.onmessage = ({ data }) => tell(typeof data === 'string'
                ? `text ${hex(new TextEncoder().encode(data))}` : `binary ${hex(new Uint8Array(data))}`);
              socket.onclose = ({ code, reason }) => tell(`close ${code} ${reason}`);
              return line => {
                const [kind, data, reason] = line.split(' ');
                if (kind === 'close') return socket.close(Number(data), reason);
                const bytes = Uint8Array.from(data.match(/../g), pair => parseInt(pair, 16));
                socket.send(kind === 'text' ? new TextDecoder().decode(bytes) : bytes);
              };
            }
            """;

        private static final String NODE = JAVASCRIPT + """
            function tell(line) { console.log(line); }
            require('readline').createInterface({ input: process.stdin }).on('line', join(process.argv[1]));
            """;

        private static final String PYTHON = """
            import asyncio, sys, websockets

            async def main(address):
                async with websockets.connect(address) as socket:
                    saying = asyncio.create_task(say(socket))
                    try:
                        async for message in socket:
                            if isinstance(message, str):
                                print('text', message.encode().hex())
                            else:
                                print('binary', message.hex())
                    except websockets.ConnectionClosed:
                        pass
                    print('close', socket.close_code, socket.close_reason)

            async def say(socket):
                while line := await asyncio.to_thread(sys.stdin.readline):
                    kind, data, *reason = line.split()
                    if kind == 'close':
                        await socket.close(int(data), reason[0])
                    else:
                        data = bytes.fromhex(data)
                        await socket.send(data.decode() if kind == 'text' else data)

            asyncio.run(main(sys.argv[1]))
            """;

        private static final String GO = """
            package main

            import (
                "bufio"
                "encoding/hex"
                "fmt"
                "os"
                "strconv"
                "strings"

                "github.com/gorilla/websocket"
            )

            var kinds = map[string]int{"text": websocket.TextMessage, "binary": websocket.BinaryMessage}

            func main() {
                socket, _, err := websocket.DefaultDialer.Dial(os.Args[1], nil)
                if err != nil {
                    panic(err)
                }
                go say(socket)
                for {
                    kind, message, err := socket.ReadMessage()
                    if end, closed := err.(*websocket.CloseError); closed {
                        fmt.Println("close", end.Code, end.Text)
                        return
                    } else if err != nil {
                        panic(err)
                    } else if kind == websocket.TextMessage {
                        fmt.Println("text", hex.EncodeToString(message))
                    } else {
                        fmt.Println("binary", hex.EncodeToString(message))
                    }
                }
            }

            func say(socket *websocket.Conn) {
                for input := bufio.NewReader(os.Stdin); ; {
                    line, err := input.ReadString('\\n')
                    if err != nil {
                        return
                    }
                    words := strings.Fields(line)
                    if words[0] == "close" {
                        code, _ := strconv.Atoi(words[1])
                        socket.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(code, words[2]))
                    } else {
                        message, _ := hex.DecodeString(words[1])
                        socket.WriteMessage(kinds[words[0]], message)
                    }
                }
            }
            """;

        /** The program in Go, built once; from Debian's packages alone, without modules, which would be fetched. */
        private static Path go() throws Exception {
            require("go", "golang-go");
            require(Files.exists(Path.of("/usr/share/gocode/src/github.com/gorilla/websocket")),
                    "gorilla/websocket is missing: apt install golang-github-gorilla-websocket-dev");
            Path folder = Files.createDirectories(Program.ROOT.resolve("build/go")), source = folder.resolve("guest.go"), built = folder.resolve("guest");
            Files.writeString(source, GO);
            var environment = Map.of("GO111MODULE", "off", "GOPATH", "/usr/share/gocode", "GOCACHE", folder.resolve("cache").toString());
            try (var program = new Program(folder, environment, List.of("go", "build", "-o", built.toString(), source.toString()))) {
                program.process.waitFor(250, TimeUnit.SECONDS);   // Go from 1.20 on compiles its own library, too, the first time
                program.expectExit(0);
            }
            return built;
        }

        /** Chromium, in a page of the relay's, since no other may connect. */
        static final class InPage extends Guest {
            private final Chromium.Page page;

            InPage(Relay relay) {
                page = InChromium.open(relay, "/health").until("document.readyState === 'complete'");
                page.onBinding("tell", this::hearLine);
                inPage(JAVASCRIPT + "globalThis.say = join(`ws://${location.host}" + ROOM + "`)");
            }

            @Override
            InPage expect(String... expected) throws InterruptedException {
                super.expect(expected);
                return this;
            }

            @Override
            InPage say(String kind, String message) {
                return tell(kind + " " + inHex(kind, message));
            }

            @Override
            InPage leave(int code, String reason) {
                return tell("close " + code + " " + reason);
            }

            private InPage tell(String line) {
                return inPage("say(" + Json.write(line) + ")");
            }

            InPage inPage(String statements) {
                page.evaluate(statements + "; 0");
                return this;
            }

            @Override
            String about() {
                return " of " + page.complaints;
            }

            @Override
            public void close() {
                page.close();
            }
        }

        enum Kind {
            THE_JDKS {
                @Override
                Guest open(Relay relay) {
                    return new Jdk(relay);
                }
            },
            CHROMIUMS {
                @Override
                Guest open(Relay relay) {
                    return new InPage(relay);
                }
            },
            PYTHONS_WEBSOCKETS {
                @Override
                Guest open(Relay relay) throws IOException {
                    require("/usr/lib/python3/dist-packages/websockets", "python3-websockets");
                    return new Script(Map.of("PYTHONUNBUFFERED", "1"), "/usr/bin/python3", "-c", PYTHON, address(relay));
                }
            },
            NODES_OWN {
                @Override
                Guest open(Relay relay) throws Exception {
                    require("node", "nodejs");
                    try (var program = new Program(Program.ROOT, Map.of(), List.of("node", "--experimental-websocket", "-e", "0"))) {
                        Assumptions.assumeTrue(program.exitCode() == 0, "this node has no WebSocket; those from 20.10 on have one");
                    }
                    return new Script(Map.of(), "node", "--experimental-websocket", "-e", NODE, address(relay));
                }
            },
            NODES_WS {
                @Override
                Guest open(Relay relay) throws IOException {
                    require("node", "nodejs");
                    require(Files.exists(Path.of("build/ws/index.js")), "ws is missing: build.sh fetches it with npm");
                    return new Script(Map.of(), "node", "-e", "globalThis.WebSocket = require('./build/ws');\n" + NODE, address(relay));
                }
            },
            GOS_GORILLA {
                @Override
                Guest open(Relay relay) throws Exception {
                    return new Script(Map.of(), go().toString(), address(relay));
                }
            };

            abstract Guest open(Relay relay) throws Exception;

            private static String address(Relay relay) {
                return "ws://127.0.0.1:" + relay.port() + ROOM;
            }
        }

        /** Every byte, or the character of that number. */
        private static final String EVERY = IntStream.range(0, 256).mapToObj(Character::toString).collect(Collectors.joining());

        /** It joins, speaks and listens, hears who comes and who leaves, and reads why it was closed. */
        @Timeout(300)   // for Go
        @ParameterizedTest(name = "{0}")
        @EnumSource
        @ExtendWith(InChromium.class)
        void aLifeInARoom(Kind kind) throws Exception {
            try (var relay = relay(); var friend = new Jdk(relay).expect("text 1 self"); var guest = kind.open(relay)) {
                guest.expect("text 2 self", "text 1 join");
                friend.expect("text 2 join");
                for (String data : List.of("hello", EVERY, EVERY.repeat(500), "\uD83D\uDE80"))
                    for (String word : data.codePointAt(0) < 256 ? List.of("text", "binary") : List.of("text")) {
                        guest.say(word, "1 say " + data);
                        friend.expect(word + " 2 say " + data).say(word, "* say " + data);
                        guest.expect(word + " 1 say " + data);
                    }
                try (var rude = kind.open(relay).expect("text 3 self", "text 1 join", "text 2 join").say("text", "nonsense")) {
                    rude.expect("close 1008 .*<msgtype>.* got 'nonsense'");
                }
                guest.expect("text 3 join", "text 3 quit").leave(4321, "enough").expect("close 4321 enough");
                friend.expect("text 3 join", "text 3 quit", "text 2 quit");
            }
        }

        /** One of each kind, as far as it is here. */
        @Timeout(300)
        @Test
        @ExtendWith(InChromium.class)
        void allMeetAndStayWhileTheyAreSilentAndReadThatTheRelayShutsDown() throws Exception {
            var guests = new ArrayList<Guest>();
            try (var relay = relay(options -> options.pingAfter = 1_000)) {
                for (Kind kind : Kind.values()) {
                    try {
                        guests.add(kind.open(relay));
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
                    // It came later than all the others, and is cut off for its silence. They must have answered a ping by then.
                    for (Guest guest : guests) guest.expect(mute + " join", mute + " quit");
                }
                for (int id = 1; id <= guests.size(); id++) guests.get(id - 1).say("text", id + " still here").expect("text " + id + " still here");
                relay.close();
                for (Guest guest : guests) guest.expectAfterAny("text \\d+ quit", "close 1001 the relay is shutting down");
            } finally {
                for (Guest guest : guests) guest.close();
            }
        }

        @Test
        @ExtendWith(InChromium.class)
        void aPageReadsWhyItWasClosedThoughItIsStillSending() throws Exception {
            var refusals = Map.of("socket.send(new Uint8Array(50 << 20))", "close 1009 at most 1048576 bytes, got \\d+",
                    "socket.send('nonsense'); for (let i = 0; i < 20; i++) socket.send('* x ' + 'y'.repeat(1_000_000))", "close 1008 .* got 'nonsense'");
            try (var relay = relay(); var friend = new Jdk(relay).expect("text 1 self")) {
                for (var refusal : refusals.entrySet())
                    try (var guest = new InPage(relay)) {
                        guest.expect("text \\d self", "text 1 join").inPage(refusal.getKey()).expect(refusal.getValue());
                    }
            }
        }

        @Test
        @ExtendWith(InChromium.class)
        void aPageReadsThatTheRelayIsFull() throws Exception {
            try (var relay = relay(options -> options.maxClients = 1); var friend = new Jdk(relay).expect("text 1 self"); var guest = new InPage(relay)) {
                guest.expect("close 1013 the relay is full: it takes 1 clients");
            }
        }

        /** It is busy from the message `1 now` on for a second. */
        @ParameterizedTest(name = "it has fallen behind: {0}")
        @ValueSource(booleans = {true, false})
        @ExtendWith(InChromium.class)
        void aPageThatWasBusyReadsAllThatWaitsForItAndWhyItWasClosed(boolean behind) throws Exception {
            String busy = "socket.addEventListener('message', ({ data }) => { for (const now = Date.now(); data === '1 now' && Date.now() < now + 1000;); })";
            String large = "x".repeat(100_000);
            try (var relay = relay(options -> options.maxOutbox = behind ? 256 << 10 : 4 << 20); var friend = new Jdk(relay).expect("text 1 self");
                    var guest = new InPage(relay)) {
                guest.expect("text 2 self", "text 1 join").inPage(busy);
                friend.expect("text 2 join").say("text", "* now");
                for (int i = 0; i < (behind ? 100 : 30); i++) friend.say("text", "* large " + large);
                friend.say("text", "1 done").expectAfterAny("text 2 quit", "text 1 done");   // whoever is behind may be gone by now
                if (!behind) relay.close();
                guest.expect("text 1 now");
                if (behind) guest.expectAfterAny("text 1 large x*", "close 1008 too slow: over 262144 bytes behind");
                else for (int i = 0; i < 30; i++) guest.expect("text 1 large " + large);
                if (!behind) guest.expectAfterAny("text 1 quit", "close 1001 the relay is shutting down");
            }
        }

        /** It cannot speak. From 8.11 on it knows WebSockets; before, it takes all that comes for the answer to its request. */
        @Test
        void curlListens() throws Exception {
            require("curl", "curl");
            String version;
            try (var program = new Program(Program.ROOT, Map.of(), List.of("curl", "--version"))) {
                version = String.join(" ", program.expectExit(0).out);
            }
            try (var relay = relay(options -> options.farewellTime = 300); var friend = new Jdk(relay).expect("text 1 self")) {
                String there = "://127.0.0.1:" + relay.port() + ROOM;
                var command = version.matches(".*Protocols:.* ws .*") ? Stream.of("ws" + there)
                        : Stream.concat(Stream.of(Raw.upgrade("").split("\r\n")).skip(2).flatMap(header -> Stream.of("-H", header)), Stream.of("http" + there));
                try (var curl = new Program(Program.ROOT, Map.of(), Stream.concat(Stream.of("curl", "-sN"), command).toList())) {
                    friend.expect("text 2 join").say("text", "* hello\n");   // curl's output is read by lines
                    curl.expectLine(".*2 self.*1 join.*1 hello");
                    relay.close();   // curl does not say goodbye
                    curl.exitCode();
                }
            }
        }

        @Test
        void theJdksClientSpeaksInFragmentsAndPings() throws Exception {
            try (var relay = relay(); var one = new Jdk(relay)) {
                one.expect("text 1 self");
                for (String part : List.of("1 in ", "frag", "", "ments")) one.socket.sendText(part, part.equals("ments")).join();
                one.expect("text 1 in fragments");
                one.socket.sendPing(ByteBuffer.wrap(bytes("sign of life"))).join();
                one.expect("pong sign of life");
            }
        }

        /** Something written in Python, by what it says. */
        static final class Python implements AutoCloseable {
            private final Program program;
            private int read;

            Python(String... arguments) throws IOException {
                require("/usr/lib/python3/dist-packages/websockets", "python3-websockets");
                program = new Program(Program.ROOT, Map.of("PYTHONUNBUFFERED", "1"), Stream.concat(Stream.of("/usr/bin/python3"), Stream.of(arguments)).toList());
            }

            /** The interactive client. */
            static Python client(Relay relay) throws IOException {
                return new Python("-m", "websockets", "ws://127.0.0.1:" + relay.port() + ROOM).expect("Connected to .*");
            }

            Python type(String line) throws IOException {
                program.process.outputWriter().append(line).append('\n').flush();
                return this;
            }

            Python endInput() throws IOException {
                program.process.outputWriter().close();
                return this;
            }

            /** The next lines must match; without what moves a terminal's cursor, the prompt, and those that are empty then. */
            Python expect(String... regexes) {
                for (String regex : regexes) {
                    eventually(() -> next().isPresent(), regex + " of " + program.out + program.err);
                    String line = next().get();
                    assertTrue(line.matches(regex), () -> "not " + regex + " but " + line + " of " + program.out + program.err);
                    read++;
                }
                return this;
            }

            private Optional<String> next() {
                return program.out.stream().map(line -> line.replaceAll("\u001b(\\[[A-Z]|[78])|^.*\u001b\\[B(> )*", "")).filter(line -> !line.matches("[> ]*"))
                        .skip(read).findFirst();
            }

            @Override
            public void close() {
                program.close();
            }
        }

        @Test
        void theTableOfTheSpecificationHoldsWithPythonsInteractiveClient() throws Exception {
            try (var relay = relay(); var one = Python.client(relay).expect("< 1 self");
                    var two = Python.client(relay).expect("< 2 self", "< 1 join")) {
                one.expect("< 2 join");
                try (var three = Python.client(relay).expect("< 3 self", "< 1 join", "< 2 join")) {
                    one.expect("< 3 join").type("2 hello");
                    two.expect("< 3 join", "< 1 hello");
                    one.type("* hello");
                    two.expect("< 1 hello");
                    three.expect("< 1 hello").endInput().expect("Connection closed: 1000 \\(OK\\)\\.");
                }
                two.expect("< 3 quit").endInput().expect("Connection closed: 1000 \\(OK\\)\\.");
                one.expect("< 3 quit", "< 2 quit").type("nonsense").expect("Connection closed: 1008 .*<msgtype>.* got 'nonsense'\\.");
            }
        }

        @Test
        void pythonsClientPlays() throws Exception {
            String script = """
                import asyncio, sys, websockets

                async def main(address):
                    async with websockets.connect(address) as one:
                        print(await one.recv())
                        for message in ['1 text \\u00e9\\U0001f680', b'1 bytes \\0\\xff', '1 large ' + 'x' * (2**20 - 8)]:
                            await one.send(message)
                            print(await one.recv() == message)
                        await one.send(['1 in ', 'frag', 'ments'])
                        print(await one.recv())
                        await (await one.ping(b'sign of life'))
                        async with websockets.connect(address) as two:
                            print(await two.recv(), await two.recv(), await one.recv())
                            await two.close(4321, 'enough')
                            print(two.close_code, two.close_reason, await one.recv())
                        async with websockets.connect(address) as three:
                            await three.send('* quit')
                            await three.wait_closed()
                            print(await one.recv(), await one.recv(), three.close_code)
                        await one.wait_closed()
                        print(one.close_code, one.close_reason)

                asyncio.run(main(sys.argv[1]))
                """;
            try (var relay = relay(); var python = new Python("-c", script, "ws://127.0.0.1:" + relay.port() + ROOM)) {
                python.expect("1 self", "True", "True", "True", "1 in fragments", "2 self 1 join 2 join", "4321 enough 2 quit", "3 join 3 quit 1008");
                relay.close();
                python.expect("1001 .*shutting down");
            }
        }
    }

    /** JSON, well-formed, as Map, List, String, Double, Boolean and null. */
    static final class Json {
        private final String text;
        private int at;

        private Json(String text) {
            this.text = text;
        }

        static Object parse(String text) {
            return new Json(text).value();
        }

        private char peek() {
            while (text.charAt(at) <= ' ' || text.charAt(at) == ',' || text.charAt(at) == ':') at++;
            return text.charAt(at);
        }

        private Object value() {
            char first = peek();
            int start = at++;
            if (first == '"') return string();
            if (first == '{') {
                var map = new LinkedHashMap<String, Object>();
                while (peek() != '}') map.put((String) value(), value());
                at++;
                return map;
            }
            if (first == '[') {
                var list = new ArrayList<>();
                while (peek() != ']') list.add(value());
                at++;
                return list;
            }
            while (at < text.length() && ",]} \r\n".indexOf(text.charAt(at)) < 0) at++;
            String word = text.substring(start, at);
            return first == 'n' ? null : first == 't' || first == 'f' ? (Object) (first == 't') : Double.valueOf(word);
        }

        private String string() {
            var string = new StringBuilder();
            for (char c = text.charAt(at++); c != '"'; c = text.charAt(at++)) {
                if (c == '\\') c = text.charAt(at++) == 'u' ? (char) Integer.parseInt(text, at, at += 4, 16)
                        : "\"\\/\b\f\n\r\t".charAt("\"\\/bfnrt".indexOf(text.charAt(at - 1)));
                string.append(c);
            }
            return string.toString();
        }

        static String write(Object value) {
            return switch (value) {
                case Map<?, ?> map -> map.entrySet().stream().map(entry -> write(entry.getKey()) + ":" + write(entry.getValue()))
                        .collect(Collectors.joining(",", "{", "}"));
                case Collection<?> list -> list.stream().map(Json::write).collect(Collectors.joining(",", "[", "]"));
                case String string -> string.chars().mapToObj(c -> c < ' ' || c > '~' || c == '"' || c == '\\' ? String.format("\\u%04x", c) : "" + (char) c)
                        .collect(Collectors.joining("", "\"", "\""));
                case null, default -> String.valueOf(value);
            };
        }
    }

    /** A headless Chromium, driven over its DevTools protocol. It ends with the tests, however they end. */
    static final class Chromium implements AutoCloseable {
        private final Path folder = Files.createTempDirectory("relay-chromium");
        private final Process process;
        private final Map<Integer, CompletableFuture<Map<?, ?>>> calls = new ConcurrentHashMap<>();   // not answered yet, by id
        private final Map<Object, Page> pages = new ConcurrentHashMap<>();                            // by session
        private int lastId;

        /** One that sends nothing past the relay: connections of WebRTC never open, and no names are looked up, not even by itself. */
        Chromium() throws IOException {
            this(List.of(), "--webrtc-ip-handling-policy=disable_non_proxied_udp",
                    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1");
        }

        /** Messages go through a pipe each way, with a NUL at the end of each, so there need be no network between it and the tests. */
        Chromium(List<String> before, String... switches) throws IOException {
            var command = new ArrayList<>(before);
            command.addAll(List.of("sh", "-c", "exec chromium \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1", "sh", "--headless", "--remote-debugging-pipe",
                    "--user-data-dir=" + folder, "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
                    "--disable-component-update", "--disable-sync",
                    "--disable-features=Translate,MediaRouter,OptimizationHints,PaintHolding"));   // without these it costs a tenth less
            command.addAll(List.of(switches));
            process = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.DISCARD).start();
            Thread.startVirtualThread(() -> {
                var message = new ByteArrayOutputStream();
                try (var in = process.getInputStream()) {
                    for (int next = in.read(); next >= 0; next = in.read()) {
                        if (next != 0) {
                            message.write(next);
                        } else {
                            take((Map<?, ?>) Json.parse(message.toString(StandardCharsets.UTF_8)));
                            message.reset();
                        }
                    }
                } catch (IOException hasEnded) {
                    // then nobody answers any more
                }
                for (var call : calls.values()) call.completeExceptionally(new IllegalStateException("Chromium has ended"));
            });
        }

        /** An answer, or an event of a page. */
        private void take(Map<?, ?> message) {
            if (message.get("id") instanceof Double id) calls.remove(id.intValue()).complete(message);
            else if (message.get("sessionId") instanceof String session && pages.get(session) instanceof Page page)
                page.take((String) message.get("method"), (Map<?, ?>) message.get("params"));
        }

        private synchronized CompletableFuture<Map<?, ?>> send(Map<String, ?> session, String method, Map<String, ?> parameters) {
            var call = new HashMap<String, Object>(session);
            call.putAll(Map.of("id", ++lastId, "method", method, "params", parameters));
            var answer = new CompletableFuture<Map<?, ?>>();
            calls.put(lastId, answer);
            try {
                process.getOutputStream().write(bytes(Json.write(call) + "\0"));
                process.getOutputStream().flush();
            } catch (IOException hasEnded) {
                answer.completeExceptionally(hasEnded);
            }
            return answer;
        }

        /** Calls a method of the protocol and waits for its result. @param session empty for the browser itself */
        private Map<?, ?> call(Map<String, ?> session, String method, Map<String, ?> parameters) {
            Map<?, ?> answer = send(session, method, parameters).orTimeout(20, TimeUnit.SECONDS).join();
            if (answer.get("error") != null) throw new IllegalStateException(method + ": " + answer.get("error"));
            return (Map<?, ?>) answer.get("result");
        }

        Page open(String address) {
            return blank().go(address);
        }

        /** An empty page in a window and a context of its own: it shares nothing with other pages. */
        Page blank() {
            Object context = call(Map.of(), "Target.createBrowserContext", Map.of()).get("browserContextId");
            Object target = tab(context, true);
            Object session = call(Map.of(), "Target.attachToTarget", Map.of("targetId", target, "flatten", true)).get("sessionId");
            var page = new Page(context, target, Map.of("sessionId", session));
            pages.put(session, page);
            for (String domain : List.of("Page", "Runtime", "Log")) page.call(domain + ".enable", Map.of());
            return page.focus(true);
        }

        private Object tab(Object context, boolean ownWindow) {
            return call(Map.of(), "Target.createTarget",
                    Map.of("url", "about:blank", "browserContextId", context, "newWindow", ownWindow)).get("targetId");
        }

        /** A key as DevTools must be told of it. It goes by its code, after the names of modifiers and a +: Shift+Slash. */
        record Key(String code, String key, int number, String text, int modifiers) {
            private static final List<String> MODIFIERS = List.of("Alt", "Control", "Meta", "Shift");   // bit by bit
            private static final Map<String, Integer> NAMED = Map.of("Tab", 9, "Enter", 13, "Escape", 27, "ArrowLeft", 37, "ArrowUp", 38,
                    "ArrowRight", 39, "ArrowDown", 40, "F1", 112);

            static Key of(String chord) {
                String code = chord.substring(chord.lastIndexOf('+') + 1);
                int modifiers = Stream.of(chord.split("[+]")).mapToInt(MODIFIERS::indexOf).filter(bit -> bit >= 0).map(bit -> 1 << bit).sum();
                boolean types = modifiers == 0 || modifiers == 8;
                if (NAMED.containsKey(code)) return new Key(code, code, NAMED.get(code), code.equals("Enter") && types ? "\r" : "", modifiers);
                String key = switch (code) {
                    case "Space" -> " ";
                    case "Slash" -> modifiers == 8 ? "?" : "/";
                    default -> code.substring(3).toLowerCase(Locale.ROOT);
                };
                return new Key(code, key, code.equals("Slash") ? 191 : Character.toUpperCase(key.charAt(0)), types ? key : "", modifiers);
            }

            Map<String, ?> event(boolean down) {
                return Map.of("type", down ? "keyDown" : "keyUp", "code", code, "key", key, "windowsVirtualKeyCode", number, "text", down ? text : "",
                        "modifiers", modifiers);
            }
        }

        /** A finger on a page, in its pixels. */
        record Finger(int id, double x, double y) {}

        /** Methods that return the page wait for nothing but what they say. */
        final class Page implements AutoCloseable {
            final Queue<String> complaints = new ConcurrentLinkedQueue<>();   // the console's errors and warnings, uncaught exceptions
            private final Object context, target;
            private final Map<String, ?> session;
            private final Map<Object, Consumer<String>> bindings = new ConcurrentHashMap<>();
            private int touched;   // fingers on it

            private Page(Object context, Object target, Map<String, ?> session) {
                this.context = context;
                this.target = target;
                this.session = session;
            }

            Page go(String address) {
                call("Page.navigate", Map.of("url", address));
                return this;
            }

            /** Runs a script in each document from now on, before its own. */
            Page first(String script) {
                call("Page.addScriptToEvaluateOnNewDocument", Map.of("source", script));
                return this;
            }

            /** A screen of so many CSS pixels; that of a phone has touch. */
            Page screen(int width, int height, double ratio, boolean phone) {
                call("Emulation.setDeviceMetricsOverride", Map.of("width", width, "height", height, "deviceScaleFactor", ratio, "mobile", phone));
                call("Emulation.setTouchEmulationEnabled", Map.of("enabled", phone, "maxTouchPoints", phone ? 5 : 1));
                return this;
            }

            /** Its process dies. */
            Page crash() {
                send(session, "Page.crash", Map.of());   // nobody is left to answer
                return this;
            }

            /** What a media query such as prefers-reduced-motion finds. */
            Page media(String feature, String value) {
                call("Emulation.setEmulatedMedia", Map.of("features", List.of(Map.of("name", feature, "value", value))));
                return this;
            }

            /** Opens another tab over it. */
            Page hide() {
                focus(false).activate(tab(context, false));
                return until("document.hidden");
            }

            Page show() {
                activate(target);
                return focus(true).until("!document.hidden");
            }

            /** Whether it has the focus all the while, which the window of the next page would take otherwise. */
            private Page focus(boolean always) {
                call("Emulation.setFocusEmulationEnabled", Map.of("enabled", always));
                return this;
            }

            private void activate(Object tab) {
                Chromium.this.call(Map.of(), "Target.activateTarget", Map.of("targetId", tab));
            }

            private void take(String event, Map<?, ?> parameters) {
                if (event.equals("Runtime.bindingCalled")) bindings.get(parameters.get("name")).accept((String) parameters.get("payload"));
                var said = switch (event) {
                    case "Log.entryAdded" -> (Map<?, ?>) parameters.get("entry");
                    case "Runtime.exceptionThrown" -> (Map<?, ?>) parameters.get("exceptionDetails");
                    case "Runtime.consoleAPICalled" -> parameters;
                    default -> Map.of();
                };
                boolean serious = said.containsKey("exception") || Stream.of("error", "warning", "assert").anyMatch(level -> said.containsValue(level));
                if (serious) complaints.add(Stream.of("text", "url", "args", "exception").map(said::get).filter(Objects::nonNull).toList().toString());
            }

            Map<?, ?> call(String method, Map<String, ?> parameters) {
                return Chromium.this.call(session, method, parameters);
            }

            /** From now on its scripts have a function of that name, by which they tell something to a listener. */
            Page onBinding(String name, Consumer<String> listener) {
                bindings.put(name, listener);
                call("Runtime.addBinding", Map.of("name", name));
                return this;
            }

            /** The value of an expression of JavaScript; if that is a promise, what comes of it. */
            Object evaluate(String expression) {
                var result = call("Runtime.evaluate", Map.of("expression", expression, "awaitPromise", true, "returnByValue", true));
                if (result.get("exceptionDetails") != null) throw new IllegalStateException(expression + ": " + result.get("exceptionDetails"));
                return ((Map<?, ?>) result.get("result")).get("value");
            }

            /** Waits until an expression is true, perhaps of a document still to be loaded. */
            Page until(String expression) {
                return until(expression, Duration.ofSeconds(10));
            }

            Page until(String expression, Duration atMost) {
                try {
                    eventually(() -> {
                        try {
                            if (Boolean.TRUE.equals(evaluate(expression))) return true;
                        } catch (IllegalStateException stillLoading) {
                            // so it is not true
                        }
                        LockSupport.parkNanos(10_000_000);   // asking again and again would cost a processor, which the pages need
                        return false;
                    }, expression, atMost);
                } catch (AssertionError e) {
                    throw new AssertionError(e.getMessage() + " on\n" + evaluate("location + '\\n' + document.body.innerText") + "\n" + complaints, e);
                }
                return this;
            }

            /** Waits until all of this can be read on it. */
            Page shows(String... texts) {
                for (String text : texts) until("document.body.innerText.includes(" + Json.write(text) + ")");
                return this;
            }

            /** Types into what has the focus. */
            Page type(String text) {
                call("Input.insertText", Map.of("text", text));
                return this;
            }

            Page click(double x, double y) {
                for (String type : List.of("mousePressed", "mouseReleased")) call("Input.dispatchMouseEvent",
                        Map.of("type", type, "x", x, "y", y, "button", "left", "clickCount", 1));
                return this;
            }

            Page hold(String... chords) {
                for (String chord : chords) call("Input.dispatchKeyEvent", Key.of(chord).event(true));
                return this;
            }

            Page release(String... chords) {
                for (String chord : chords) call("Input.dispatchKeyEvent", Key.of(chord).event(false));
                return this;
            }

            Page press(String... chords) {
                for (String chord : chords) hold(chord).release(chord);
                return this;
            }

            /** Goes on with the Tab key until what a selector names has the focus. */
            Page tabTo(String selector) {
                for (int steps = 0; !Boolean.TRUE.equals(evaluate("document.activeElement.matches(" + Json.write(selector) + ")")); steps++) {
                    assertTrue(steps < 100, "Tab does not lead to " + selector);
                    press("Tab");
                }
                return this;
            }

            /** These fingers touch it now: more than before, moved ones, or none at all. */
            Page touch(Finger... fingers) {
                call("Input.dispatchTouchEvent", Map.of("type", fingers.length == 0 ? "touchEnd" : touched < fingers.length ? "touchStart" : "touchMove",
                        "touchPoints", Stream.of(fingers).map(finger -> Map.of("id", finger.id, "x", finger.x, "y", finger.y)).toList()));
                touched = fingers.length;
                return this;
            }

            /** What it looks like, as PNG. */
            byte[] screenshot() {
                return Base64.getDecoder().decode((String) call("Page.captureScreenshot", Map.of()).get("data"));
            }

            @Override
            public void close() {
                pages.values().remove(this);
                Chromium.this.call(Map.of(), "Target.disposeBrowserContext", Map.of("browserContextId", context));
            }
        }

        @Override
        public void close() throws IOException {
            send(Map.of(), "Browser.close", Map.of());
            try {
                if (!process.waitFor(10, TimeUnit.SECONDS)) process.destroyForcibly().waitFor();
            } catch (InterruptedException e) {
                process.destroyForcibly();
            }
            try (var files = Files.walk(folder)) {
                for (Path file : files.sorted(Comparator.reverseOrder()).toList()) Files.deleteIfExists(file);
            }
        }
    }

    /** Lends the groups of tests that need it one Chromium, which starts with the first of them and ends with the last. */
    static final class InChromium implements BeforeAllCallback, BeforeEachCallback {
        static Chromium chromium;

        @Override
        public void beforeAll(ExtensionContext context) {
            require("chromium", "chromium");
            chromium = context.getRoot().getStore(ExtensionContext.Namespace.GLOBAL).getOrComputeIfAbsent(Chromium.class);
        }

        /** For a single test of a group. */
        @Override
        public void beforeEach(ExtensionContext context) {
            beforeAll(context);
        }

        static Chromium.Page open(Relay relay, String path) {
            return chromium.open("http://localhost:" + relay.port() + path);
        }
    }

    /**
     * A network that the tests have for themselves: a namespace of the kernel, with a loopback and what is made in it, and no way
     * out. A process holds it, which ends with the tests, however they end: its standard input is closed then.
     */
    static final class Network implements AutoCloseable {
        private static final boolean ROOT = System.getProperty("user.name").equals("root");
        private final Process holder;
        private final Deque<AutoCloseable> within = new ConcurrentLinkedDeque<>();   // what ends before it, last first
        private Chromium chromium;

        /** @param before words of a command that runs another where this may be made */
        private Network(List<String> before) throws IOException {
            // Who is not root may have networks after having become root in a namespace of users. Devices get no IPv6 addresses of
            // their own: those come seconds later, and then Chromium breaks off what it loads, since the network has changed.
            var unshare = Stream.of("unshare", before.isEmpty() && !ROOT ? "--map-root-user" : "--net", "--net", "sh", "-c", """
                    PATH=%s
                    ip link set lo up || exit
                    [ ! -e /proc/sys/net/ipv6 ] || echo 1 > /proc/sys/net/ipv6/conf/default/addr_gen_mode
                    echo up
                    exec cat
                    """.formatted(PATH));
            holder = new ProcessBuilder(Stream.concat(before.stream(), unshare).toList()).redirectErrorStream(true).start();
            String said = holder.inputReader().readLine();
            if (!"up".equals(said)) {
                close();
                throw new IOException(said);
            }
        }

        /** The words before a command that is to run in it. */
        List<String> enter() {
            String namespaces = "/proc/" + holder.pid() + "/ns/";
            var user = ROOT ? Stream.<String>of() : Stream.of("--user=" + namespaces + "user", "--preserve-credentials");
            return Stream.of(Stream.of("nsenter"), user, Stream.of("--net=" + namespaces + "net", "--")).flatMap(words -> words).toList();
        }

        /** Lets a shell run these lines in it, each of which must succeed. */
        String run(String... lines) throws IOException {
            var shell = new ProcessBuilder(Stream.concat(enter().stream(), Stream.of("sh", "-ec", "PATH=" + PATH + "\n" + String.join("\n", lines))).toList())
                    .redirectErrorStream(true).start();
            shell.getOutputStream().close();
            String said = new String(shell.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            assertEquals(0, shell.onExit().join().exitValue(), said);
            return said;
        }

        /** Another one, whose devices may be joined with those of this one. */
        private Network another() throws IOException {
            var network = new Network(enter());
            within.push(network);
            return network;
        }

        /** A pair of devices, one here and one there, as if there were a cable between them. */
        private void cable(String here, Network other, String there) throws IOException {
            run("ip link add " + here + " type veth peer name " + there + " netns " + other.holder.pid());
        }

        /** The Chromium in it, which starts when it is first asked for. */
        synchronized Chromium chromium() throws IOException {
            if (chromium == null) {
                chromium = new Chromium(enter());
                within.push(chromium);
            }
            return chromium;
        }

        Program relay(String... args) throws IOException {
            return Program.relay(enter(), Program.ROOT, args);
        }

        /** All UDP that arrives is lost, whoever sent it. */
        void cutUdp() throws IOException {
            run("nft 'add table inet cut; add chain inet cut in { type filter hook input priority 0; }; add rule inet cut in meta l4proto udp drop'");
        }

        void mendUdp() throws IOException {
            run("nft 'add table inet cut; delete table inet cut'");   // also if there is none
        }

        @Override
        public void close() throws IOException {
            try {
                for (AutoCloseable each : within) each.close();
            } catch (Exception e) {
                throw new IOException(e);
            } finally {
                holder.destroyForcibly().onExit().join();
            }
        }

        /** The first of those that a group of tests needs. Without the right to make one they are skipped; with CI=true that is a failure. */
        static Network alone() throws IOException {
            require("chromium", "chromium");
            require("unshare", "util-linux");
            require("ip", "iproute2");
            require("nft", "nftables");
            try {
                return new Network(List.of());
            } catch (IOException e) {
                require(false, "these tests need networks of their own, which root may make, or who may make namespaces of users: " + e.getMessage());
                throw e;
            }
        }

        /** One machine at 10.77.0.1 in a network where it is alone, and 10.77.0.9 never answers, not even that it isn't there. */
        static Network lan() throws IOException {
            var lan = alone();
            lan.run("ip link add veth0 type veth peer name veth1", "ip address add 10.77.0.1/24 dev veth0", "ip link set veth0 up",
                    "ip link set veth1 up", "ip route add default dev veth0",   // without a default route Chromium has no candidates
                    "ip neighbour add 10.77.0.9 lladdr 02:00:00:00:00:09 dev veth0 nud permanent");
            return lan;
        }

        /**
         * Networks at home, behind routers that let nobody in who was not asked, all on the internet, which is the first, with a
         * machine at 203.0.113.1; after it the homes, and then their routers.
         */
        static List<Network> homes(int count) throws IOException {
            var internet = alone();
            internet.run("ip address add 203.0.113.1/32 dev lo", "echo 1 > /proc/sys/net/ipv4/ip_forward");
            var homes = new ArrayList<Network>();
            var routers = new ArrayList<Network>();
            for (int number = 2; number < 2 + count; number++) {
                Network router = internet.another(), home = internet.another();
                internet.cable("router" + number, router, "internet");
                router.cable("home", home, "router");
                internet.run("ip address add 203.0.113.1 peer 203.0.113.%1$d/32 dev router%1$d".formatted(number), "ip link set router" + number + " up");
                router.run("ip address add 203.0.113.%d peer 203.0.113.1/32 dev internet".formatted(number), "ip link set internet up",
                        "ip address add 192.168.1.1/24 dev home", "ip link set home up", "ip route add default via 203.0.113.1",
                        "echo 1 > /proc/sys/net/ipv4/ip_forward", """
                        nft -f - <<'END'
                        table inet router {
                          chain input {
                            type filter hook input priority filter; policy accept;
                            iifname internet ct state != { established, related } drop
                          }
                          chain forward {
                            type filter hook forward priority filter; policy accept;
                            iifname internet ct state != { established, related } drop
                          }
                          chain out {
                            type nat hook postrouting priority srcnat; policy accept;
                            oifname internet masquerade
                          }
                        }
                        END""");
                home.run("ip address add 192.168.1.2/24 dev router", "ip link set router up", "ip route add default via 192.168.1.1");
                homes.add(home);
                routers.add(router);
            }
            return Stream.of(List.of(internet), homes, routers).flatMap(List::stream).toList();
        }

        /** Passes IPv4 packets on between devices, late, so that one may overtake another, and some of them never. */
        private static final String FAR = """
            import fcntl, heapq, itertools, random, select, socket, struct, subprocess, sys, time

            # ms and ms more or less, one way; of all packets; device=process in a network=address
            delay, jitter, loss = map(float, sys.argv[1:4])
            TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454ca, 1, 0x1000
            ends = {}                 # the file of a device -> its address
            for end in sys.argv[4:]:
                name, process, address = end.split('=')
                file = open('/dev/net/tun', 'r+b', buffering=0)
                fcntl.ioctl(file, TUNSETIFF, struct.pack('16sH22x', name.encode(), IFF_TUN | IFF_NO_PI))
                subprocess.run(['ip', 'link', 'set', name, 'netns', process], check=True)
                ends[file] = socket.inet_aton(address)
            print('up', flush=True)
            number = itertools.count()
            under_way = []            # (when it arrives, its number, where, the packet)
            while True:
                wait = max(0, under_way[0][0] - time.monotonic()) if under_way else None
                ready = select.select([sys.stdin, *ends], [], [], wait)[0]
                if sys.stdin in ready:
                    break             # the tests have ended
                for file in ready:
                    packet = file.read(65536)
                    if packet[0] >> 4 != 4:
                        continue
                    to = packet[16:20]
                    for other, address in ends.items():
                        if other is not file and (to == address or to[0] >> 4 == 14) and random.random() >= loss:
                            arrives = time.monotonic() + (delay + random.uniform(-jitter, jitter)) / 1000
                            heapq.heappush(under_way, (arrives, next(number), other, packet))
                while under_way and under_way[0][0] <= time.monotonic():
                    _, _, file, packet = heapq.heappop(under_way)
                    try:
                        file.write(packet)
                    except OSError:
                        pass          # that end is not up yet
            """;

        /** Networks far apart, of one machine each, 10.78.0.1 and so on. @param loss of all packets, each way */
        static List<Network> far(int count, int delay, int jitter, double loss) throws IOException {
            require("/usr/bin/python3", "python3");
            require(Files.isWritable(Path.of("/dev/net/tun")), "these tests need to write to /dev/net/tun");
            var first = alone();
            var networks = Stream.concat(Stream.of(first), IntStream.range(1, count).mapToObj(i -> assertDoesNotThrow(first::another))).toList();
            var ends = IntStream.range(0, count).mapToObj(i -> "far%d=%d=10.78.0.%d".formatted(i, networks.get(i).holder.pid(), i + 1));
            var program = Stream.of("/usr/bin/python3", "-c", FAR, delay + "", jitter + "", loss + "");
            var between = new Program(Program.ROOT, Map.of("PATH", PATH), Stream.of(first.enter().stream(), program, ends).flatMap(words -> words).toList());
            first.within.addLast(between);   // ends after the others
            between.expectLine("up");
            for (int i = 0; i < count; i++) networks.get(i).run("ip address add 10.78.0.%d/24 dev far%d".formatted(i + 1, i),
                    "ip link set far%d up".formatted(i), "ip route add default dev far" + i);
            return networks;
        }
    }

    /** A relay that serves the pages that come with it. */
    static Relay withPages(int port) throws IOException {
        return relay(options -> {
            options.port = port;
            options.folder = Path.of("spacewar");
        });
    }

    /** The page that shows any room: who is there, what is said, a line to send. */
    @Nested
    @ExtendWith(InChromium.class)
    @SuppressWarnings("try")   // the relay is closed within
    class Watch {
        static final String ROOM = "/ws-relay/spacewar?game=1", PAGE = "/spacewar/watch.html?room=%2Fspacewar%3Fgame%3D1";

        @Test
        void itJoinsTheRoomAndShowsWhatHappens() throws IOException {
            try (var relay = withPages(0); var page = InChromium.open(relay, PAGE).shows("connected as 1", "1 you")) {
                try (var two = Raw.open(relay, ROOM).expect("2 self").expect("1 join")) {
                    page.until("[...document.querySelectorAll('#people li')].map(li => li.textContent).join() === '1 you,2'").shows("join");
                    two.send(text("* hello wörld \uD83D\uDE80")).send(frame(true, 2, concat(bytes("1 bytes "), hex("00ff"))));
                    page.shows("hello", "wörld \uD83D\uDE80", "2 bytes: 00 ff");
                }
                page.until("document.querySelectorAll('#people li').length === 1").shows("quit");
                assertTrue(page.screenshot().length > 10_000);
                assertEquals("[]", page.complaints.toString());
            }
        }

        @Test
        void aLineSentThroughTheFormArrives() throws IOException {
            try (var relay = withPages(0); var one = Raw.open(relay, ROOM).expect("1 self");
                    var page = InChromium.open(relay, PAGE).shows("connected as 2")) {
                page.evaluate("document.querySelector('#line').focus()");
                page.type("hello wörld  \uD83D\uDE80 ").press("Enter");
                one.expect("2 join").expect("2 hello wörld  \uD83D\uDE80 ");
                page.until("document.querySelector('#line').value === ''").until("document.querySelector('#feed .sent .type').textContent === 'hello'");
                page.evaluate("document.querySelector('#target').value = '1'");
                page.type("to-one").press("Enter");
                one.expect("2 to-one");
                for (String refused : List.of("", " hello", "self", "quit 1")) {
                    page.evaluate("document.querySelector('#line').value = " + Json.write(refused) + "; document.querySelector('#note').textContent = ''");
                    page.press("Enter").until("document.querySelector('#note').textContent !== ''");
                }
                one.send(text("1 over")).expect("1 over");
                assertEquals("[]", page.complaints.toString());
            }
        }

        @Test
        void htmlInAMessageIsShownAsText() throws IOException {
            String html = "<img src=x onerror=\"window.harmed=1\"><script>window.harmed=1</script><b>bold</b>&lt;";
            try (var relay = withPages(0); var page = InChromium.open(relay, PAGE).shows("connected as 1"); var two = Raw.open(relay, ROOM)) {
                two.send(text("* hello " + html)).send(text("* <b>type</b> x"));
                page.shows(html, "<b>type</b>").until("window.harmed === undefined && !document.querySelector('#feed img, #feed script, #feed b b')");
                assertEquals("[]", page.complaints.toString());
            }
        }

        @Test
        void anyRoomCanBeWatchedAndIsLeftForAnother() throws IOException {
            try (var relay = withPages(0); var one = Raw.open(relay, "/ws-relay/other/game?a=b&c=d").expect("1 self");
                    var page = InChromium.open(relay, "/spacewar/watch.html?room=%2Fother%2Fgame%3Fa%3Db%26c%3Dd").shows("connected as 2");
                    var two = Raw.open(relay, "/ws-relay/elsewhere").expect("1 self")) {
                page.shows("-m websockets 'ws://localhost:" + relay.port() + "/ws-relay/other/game?a=b&c=d'");
                one.expect("2 join").send(text("2 hello there"));
                page.shows("there").evaluate("document.querySelector('#room').value = '/elsewhere'; document.querySelector('#chooser').requestSubmit()");
                two.expect("2 join").send(text("* hello yonder"));
                page.shows("yonder");
                one.expect("2 quit");
                assertEquals("[]", page.complaints.toString());
            }
        }

        @Test
        void afterARestartOfTheRelayThePageJoinsAgainWithin5Seconds() throws IOException {
            try (var relay = withPages(0); var page = InChromium.open(relay, PAGE).shows("connected as 1")) {
                relay.close();
                page.shows("not connected", "trying again");
                long before = System.nanoTime();
                try (var next = withPages(relay.port()); var one = Raw.open(next, ROOM).expect("1 self")) {
                    one.expect("2 join");
                    assertTrue(System.nanoTime() - before < 5_000_000_000L, "it took " + (System.nanoTime() - before) / 1_000_000 + " ms");
                    one.send(text("* back again"));
                    page.shows("connected as 2", "again");
                }
                page.complaints.removeIf(complaint -> complaint.contains("ERR_CONNECTION_REFUSED"));   // what the browser says of each try
                assertEquals("[]", page.complaints.toString());
            }
        }
    }

    // --- what the tests of the game are made of -----------------------------------------------

    static final String GAME = "/spacewar/?game=1", ITS_ROOM = "/ws-relay/spacewar?game=1";

    /** The game on a page of its own. In its scripts `game` is the live game, and seen(name) a ship as game.inspect() tells of it. */
    static final class Player implements AutoCloseable {
        private static final String SCRIPT = """
            addEventListener('load', async () => {
              const { game } = await import('/spacewar/spacewar.js');
              const { orbit } = await import('/spacewar/physics.js');
              const seen = name => game.inspect().ships.find(ship => ship.name === name) ?? {};

              /** Each frame of so many ms, or until record.over: ship -> [time on the clock that all pages have in common, x, y, vx, vy]. */
              const record = ms => new Promise(done => {
                const sights = {};
                const end = performance.now() + ms;
                requestAnimationFrame(function note() {
                  const { now, ships } = game.inspect();
                  for (const { name, state, x, y, vx, vy } of ships) {
                    if (state === 'flying') (sights[name] ??= []).push([performance.timeOrigin + now, x, y, vx, vy]);
                  }
                  if (performance.now() < end && !record.over) requestAnimationFrame(note);
                  else done(sights);
                });
              });

              /** Frames that are drawn in a second. */
              const frameRate = async () => {
                const before = game.frames;
                const began = performance.now();
                await new Promise(done => setTimeout(done, 1_000));
                return (game.frames - before) / (performance.now() - began) * 1_000;
              };

              /** Where our ship is on the screen: in the middle of where a click would find it. */
              const where = () => {
                const found = [];
                for (let x = 0; x < innerWidth; x += 4) {
                  for (let y = 0; y < innerHeight; y += 4) if (game.view.pick(x, y) === game.me.id) found.push([x, y]);
                }
                return [0, 1].map(axis => found.reduce((sum, point) => sum + point[axis], 0) / found.length);
              };

              /** How many px of the screen are one of the world, as long as our ship has not made the view move. */
              const scale = () => (where()[0] - innerWidth / 2) / game.me.x;

              /** Whether the canvas has as many pixels as the screen has there. */
              const crisp = () => {
                const { width, height, clientWidth, clientHeight } = document.querySelector('#sky');
                return clientWidth === innerWidth && clientHeight === innerHeight
                  && Math.abs(width - clientWidth * devicePixelRatio) <= 1 && Math.abs(height - clientHeight * devicePixelRatio) <= 1;
              };

              const middle = selector => {
                const { x, y, width, height } = document.querySelector(selector).getBoundingClientRect();
                return [x + width / 2, y + height / 2];
              };

              /** Whether the pads are wide enough for thumbs, on the screen, and apart. */
              const padsFit = () => {
                const pads = [...document.querySelectorAll('#pads button')].map(pad => pad.getBoundingClientRect());
                const apart = (a, b) => a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top;
                return pads.every(pad => pad.width >= 64 && pad.height >= 64
                  && pad.left >= 0 && pad.right <= innerWidth && pad.top >= 0 && pad.bottom <= innerHeight
                  && pads.every(other => other === pad || apart(pad, other)));
              };

              /** What a screen reader calls it. */
              const label = selector => {
                const element = document.querySelector(selector);
                return element.ariaLabel || document.getElementById(element.getAttribute('aria-labelledby')).textContent;
              };

              /** Whether one sees what has the focus. */
              const ringed = () => getComputedStyle(document.activeElement).outlineStyle !== 'none';

              Object.assign(globalThis, { game, seen, orbit, record, frameRate, where, scale, crisp, middle, padsFit, label, ringed });
            });
            """;

        final Chromium.Page page;

        /** Opens the game. @param before what is to be done with the page until then */
        Player(String address, Consumer<Chromium.Page> before) {
            this(InChromium.chromium, address, before);
        }

        Player(Chromium chromium, String address, Consumer<Chromium.Page> before) {
            page = chromium.blank().first(SCRIPT);
            before.accept(page);
            page.go(address).until("globalThis.game !== undefined");
        }

        /** Somebody who has been here before, and has chosen a name and no practice ships, which shoot. */
        static Player of(int port, String name, Consumer<Chromium.Page> before) {
            return of(InChromium.chromium, address(port), name, before);
        }

        static Player of(Chromium chromium, String address, String name, Consumer<Chromium.Page> before) {
            var settings = Map.of("name", name, "look", name.length(), "practice", 0);
            return new Player(chromium, address, before.andThen(page -> page.first("localStorage.spacewar ??= " + Json.write(Json.write(settings)))))
                    .until("game.me.state === 'flying'");
        }

        static Player of(int port, String name) {
            return of(port, name, page -> {});
        }

        static Player of(Relay relay, String name) {
            return of(relay.port(), name).until("game.inspect().link === 'relay'");
        }

        static String address(int port) {
            return "http://localhost:" + port + GAME;
        }

        Player reload() {
            ask("globalThis.old = true; location.reload()");
            return until("globalThis.old === undefined && globalThis.game !== undefined");
        }

        Object ask(String expression) {
            return page.evaluate(expression);
        }

        double number(String expression) {
            return ((Number) ask(expression)).doubleValue();
        }

        Player until(String expression) {
            page.until(expression);
            return this;
        }

        /** Puts its ship somewhere, at rest. */
        Player place(double x, double y, double angle) {
            ask("Object.assign(game.me, { x: %s, y: %s, vx: 0, vy: 0, angle: %s }); null".formatted(x, y, angle));
            return this;
        }

        Player orbit(double radius, double phase) {
            ask("orbit(game.me, %s, %s, 1)".formatted(radius, phase));
            return this;
        }

        /** Starts to record what is seen of each ship. */
        CompletableFuture<Map<String, List<Sight>>> record(int ms) {
            return CompletableFuture.supplyAsync(() -> ((Map<?, ?>) ask("record(" + ms + ")")).entrySet().stream().collect(Collectors.toMap(
                    ship -> (String) ship.getKey(), ship -> ((List<?>) ship.getValue()).stream().map(Sight::of).toList())), Thread::startVirtualThread);
        }

        /** It draws, and its ship moves. */
        Player fliesOn() {
            return until("game.frames > %s + 10 && game.me.x !== %s".formatted(ask("game.frames"), ask("game.me.x")));
        }

        /** It draws, and nothing moves. */
        Player standsStill() {
            return until("new Promise(done => { const { time } = game.world; const { frames } = game; const check = () => game.frames < frames + 10"
                    + " ? requestAnimationFrame(check) : done(time === game.world.time); check(); })");
        }

        /** For as long as a ship must have been seen somewhere for what it does there to be believed. */
        Player waitAMoment() {
            return until("performance.now() > %s + 300".formatted(ask("performance.now()")));
        }

        /** Whatever happens, its console stays silent. Only the browser itself tells there that the relay could not be reached. */
        @Override
        public void close() {
            page.complaints.removeIf(complaint -> complaint.matches("\\[Failed to load resource: net::ERR_CONNECTION_\\w+, [^,]*/ice.json]"
                    + "|\\[WebSocket connection to 'ws://[\\w.]+:\\d+/ws-relay/spacewar[^']*' failed: "
                    + "(Error in connection establishment: net::ERR_\\w+|"
                    + "Error during WebSocket handshake: Unexpected response code: 404).*"));
            page.close();
            assertEquals("[]", page.complaints.toString());
        }
    }

    /** Where a ship was seen at a time, in ms, px and px/ms. */
    record Sight(double at, double x, double y, double vx, double vy) {
        static Sight of(Object values) {
            double[] numbers = ((List<?>) values).stream().mapToDouble(value -> (Double) value).toArray();
            return new Sight(numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]);
        }

        /** How far from there, moved on by the velocity, it was seen another time. */
        double off(Sight other) {
            double time = other.at - at;
            return Math.hypot(other.x - x - vx * time, other.y - y - vy * time);
        }
    }

    /** The files of the game without a relay, as any static server has them. */
    record FilesOnly(com.sun.net.httpserver.HttpServer server) implements AutoCloseable {
        FilesOnly() {
            this(com.sun.net.httpserver.SimpleFileServer.createFileServer(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), Program.ROOT,
                    com.sun.net.httpserver.SimpleFileServer.OutputLevel.NONE));
            server.start();
        }

        int port() {
            return server.getAddress().getPort();
        }

        @Override
        public void close() {
            server.stop(0);
        }
    }

    /** Passes on what connections to it and from a port say, each piece 40 to 60 ms later. */
    static final class DelayingProxy implements AutoCloseable {
        private record Piece(long due, byte[] bytes) {}

        private final ServerSocket listening = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
        private final Set<Socket> sockets = ConcurrentHashMap.newKeySet();
        private final int target;

        DelayingProxy(int target) throws IOException {
            this.target = target;
            Thread.startVirtualThread(() -> untilClosed(() -> {
                while (true) connect(listening.accept());
            }));
        }

        int port() {
            return listening.getLocalPort();
        }

        private void connect(Socket here) throws IOException {
            var there = new Socket(InetAddress.getLoopbackAddress(), target);
            pass(here, there);
            pass(there, here);
        }

        private void pass(Socket from, Socket to) throws IOException {
            sockets.add(from);
            to.setTcpNoDelay(true);
            var pieces = new LinkedBlockingQueue<Piece>();
            Thread.startVirtualThread(() -> untilClosed(() -> {
                var buffer = new byte[1 << 16];
                int count;
                do {
                    count = from.getInputStream().read(buffer);
                    pieces.add(new Piece(System.nanoTime() + ThreadLocalRandom.current().nextLong(40_000_000, 60_000_000),
                            Arrays.copyOf(buffer, Math.max(0, count))));
                } while (count > 0);
            }));
            Thread.startVirtualThread(() -> untilClosed(() -> {
                for (Piece piece = pieces.take(); piece.bytes.length > 0; piece = pieces.take()) {
                    TimeUnit.NANOSECONDS.sleep(piece.due - System.nanoTime());
                    to.getOutputStream().write(piece.bytes);
                }
                to.shutdownOutput();
            }));
        }

        private static void untilClosed(Executable work) {
            try {
                work.execute();
            } catch (Throwable closed) {
                assertInstanceOf(IOException.class, closed);
            }
        }

        @Override
        public void close() throws IOException {
            listening.close();
            for (Socket socket : sockets) socket.close();
        }
    }

    /** Waits until each of these sees the ships of all, and no others. */
    static void meet(Player... players) {
        for (Player player : players) player.until("game.inspect().ships.length === " + players.length);
    }

    /** Waits until each of these sees it: an expression of the ship of that name. */
    static void allSee(String name, String expression, Player... players) {
        for (Player player : players) player.until("(ship => " + expression + ")(seen(" + Json.write(name) + "))");
    }

    /** Waits until a ship at rest has been seen where it is for so long that the witness believes what it does there. */
    static void isSeen(Player pilot, Player witness) {
        var place = (List<?>) pilot.ask("[game.me.x, game.me.y]");
        allSee((String) pilot.ask("game.me.name"), "Math.hypot(ship.x - %s, ship.y - %s) < 50".formatted(place.toArray()), witness);
        witness.waitAMoment();
    }

    /** One shoots the other, so far below the sun. */
    static void shoot(Player shooter, Player victim, int y) {
        shooter.place(-60, y, 0);
        victim.place(60, y, 0);
        isSeen(shooter, victim);
        isSeen(victim, shooter);
        shooter.page.press("KeyF");
        victim.until("game.me.state === 'exploded'");
    }

    // --- the tests of the game -----------------------------------------------------------------

    /** First paint: from the address to a ship that flies. */
    @Nested
    @ExtendWith(InChromium.class)
    @SuppressWarnings("try")   // files are served and nothing more said of it
    class GamePage {
        /** In this time, or three times that where nobody knows what else the machine does. */
        private static final Duration AT_ONCE = Duration.ofMillis("true".equals(System.getenv("CI")) ? 3_000 : 1_000);

        /** From the address typed to a ship that moves and turns. */
        private static Player fliesAtOnce(int port) {
            var began = new AtomicLong();
            var player = new Player(Player.address(port), page -> began.set(System.nanoTime()));
            double x = player.number("seen('').x"), angle = player.number("seen('').angle");
            player.page.hold("KeyA");
            player.until("seen('').x !== %s && seen('').angle < %s".formatted(x, angle));
            long took = System.nanoTime() - began.get();
            player.page.release("KeyA");
            assertTrue(took < AT_ONCE.toNanos(), "it took " + took / 1_000_000 + " ms");
            return player;
        }

        @Test
        void aShipFliesWithinASecond() throws IOException {
            try (var relay = withPages(0); var player = fliesAtOnce(relay.port())) {
                player.until("document.querySelector('#link').textContent.startsWith('relay')");
            }
        }

        @Test
        void alsoWithoutARelayAndThenThereArePracticeShipsToFight() {
            try (var files = new FilesOnly(); var player = fliesAtOnce(files.port())) {
                player.until("document.querySelector('#link').textContent === 'offline · practice'");
                assertEquals(2.0, player.ask("game.inspect().ships.filter(ship => ship.bot && ship.state === 'flying').length"));
            }
        }

        @Test
        void itsAddressIsItsRoom() throws IOException {
            try (var relay = withPages(0); var peer = Raw.open(relay, "/ws-relay/spacewar?a=b&c=d").expect("1 self");
                    var player = new Player("http://localhost:" + relay.port() + "/spacewar?a=b&c=d#e",
                            page -> page.first("localStorage.spacewar = '{\"name\":\"Ann\",\"look\":5}'"))) {
                peer.expect("2 join").expect("2 pilot [1,\"Ann\",5,0]");
                assertEquals("/spacewar/?a=b&c=d#e", player.ask("location.href.slice(location.origin.length)"));
                assertEquals("/spacewar?a=b&c=d", player.ask("game.inspect().room"));
                assertEquals("arena", player.ask("game.world.rules.name"));
            }
        }

        @Test
        void itsAddressAsksForTheClassicRules() throws IOException {
            try (var relay = withPages(0); var player = new Player("http://localhost:" + relay.port() + "/spacewar/?rules=1962", page -> {})) {
                player.until("game.world.rules.name === '1962' && game.me.torpedoes === 32");
            }
        }
    }

    /** What one page does, all pages show. */
    @Nested
    @ExtendWith(InChromium.class)
    class Fight {
        @Test
        void twoMeetFlyFireHitExplodeAndComeBack() throws IOException {
            try (var relay = withPages(0); var ann = Player.of(relay, "Ann"); var bob = Player.of(relay, "Bob")) {
                meet(ann, bob);
                double angle = bob.number("seen('Ann').angle");
                ann.page.hold("KeyS", "KeyD");
                allSee("Ann", "ship.angle > " + (angle + 0.5), ann, bob);
                ann.page.release("KeyS", "KeyD");
                double end = ann.until("game.me.turn === 0").number("game.me.angle");
                bob.until("Math.abs(seen('Ann').angle - %s) < 0.01".formatted(end));

                shoot(ann, bob, 800);
                bob.until("game.world.debris.length === 6");
                allSee("Bob", "ship.state === 'exploded' && ship.score === -1", ann, bob);
                allSee("Ann", "ship.state === 'flying' && ship.score === 1", ann, bob);
                ann.until("document.querySelector('#log').textContent.includes('You shot Bob')")
                        .until("document.querySelector('#scores tbody').innerText.replace(/\\s+/g, ' ').trim() === 'Ann (you) 1 Bob -1'");
                bob.until("document.querySelector('#log').textContent.includes('Ann shot you')");
                allSee("Bob", "ship.state === 'flying' && ship.score === -1", ann, bob);
            }
        }

        @Test
        void aMissileFliesInEverySkyFromTheNoseThatFiredIt() throws IOException {
            try (var relay = withPages(0); var ann = Player.of(relay, "Ann"); var bob = Player.of(relay, "Bob")) {
                meet(ann, bob);
                ann.place(-60, -800, -Math.PI / 2);
                isSeen(ann, bob);
                ann.page.press("Space");
                String missile = "game.inspect().missiles.find(({ owner, age }) => owner === %s && age > 300)".formatted(ann.ask("game.inspect().self"));
                for (Player player : List.of(ann, bob))
                    player.until("(missile => Math.abs(missile.x + 60) < 5 && missile.y < -850 && Math.abs(missile.vy + 0.2) < 0.02)(%s)".formatted(missile));
            }
        }

        @Test
        void whoComesLateLearnsNamesAndScoresAndWhoLeavesIsGone() throws IOException {
            try (var relay = withPages(0); var ann = Player.of(relay, "Ann"); var bob = Player.of(relay, "Bob")) {
                meet(ann, bob);
                shoot(ann, bob, 800);
                try (var cyd = Player.of(relay, "Cyd")) {
                    meet(ann, bob, cyd);
                    allSee("Ann", "ship.score === 1", ann, bob, cyd);
                    allSee("Bob", "ship.score === -1", ann, bob, cyd);
                    allSee("Cyd", "ship.score === 0 && ship.state === 'flying'", ann, bob, cyd);
                    shoot(cyd, ann, -800);   // where there is no debris of the other
                    allSee("Cyd", "ship.score === 1", ann, bob, cyd);
                    allSee("Ann", "ship.score === 0 && ship.state === 'exploded'", ann, bob, cyd);
                    for (Player player : List.of(ann, bob, cyd)) player.until("new Set([...game.world.ships.values()].map(ship => ship.look)).size === 3");
                }
                meet(ann, bob);
                ann.until("document.querySelector('#log').textContent.includes('Cyd left')");
            }
        }
    }

    /** A remote ship is where its pilot sees it. */
    @Nested
    @ExtendWith(InChromium.class)
    class Positions {
        private static final double JUMP = 6;   // px, between two frames

        /** The most that one page is off about the other's ship, in px. */
        static double worst(String name, Map<String, List<Sight>> own, Map<String, List<Sight>> remote) {
            var pilots = new TreeMap<Double, Sight>();
            for (Sight sight : own.get(name)) pilots.put(sight.at, sight);
            var errors = remote.get(name).stream().flatMap(sight -> Stream.of(pilots.floorEntry(sight.at), pilots.ceilingEntry(sight.at))
                    .filter(entry -> entry != null && Math.abs(entry.getKey() - sight.at) < 25).map(entry -> entry.getValue().off(sight)).limit(1))
                    .mapToDouble(error -> error).summaryStatistics();
            assertTrue(errors.getCount() > 60, "too few frames: " + errors);
            return errors.getMax();
        }

        /** The most that a ship jumps between two frames, in px. */
        static double jump(List<Sight> sights) {
            return IntStream.range(1, sights.size()).mapToDouble(i -> sights.get(i - 1).off(sights.get(i))).max().orElse(0);
        }

        private static void check(CompletableFuture<Map<String, List<Sight>>> annSees, CompletableFuture<Map<String, List<Sight>>> bobSees, double most) {
            var ann = annSees.join();
            var bob = bobSees.join();
            double ofAnn = worst("Ann", ann, bob), ofBob = worst("Bob", bob, ann), jumped = Math.max(jump(ann.get("Bob")), jump(bob.get("Ann")));
            String found = "off by %.2f and %.2f px, jumps of %.2f px".formatted(ofAnn, ofBob, jumped);
            assertTrue(Math.max(ofAnn, ofBob) <= most && jumped <= JUMP, found);
        }

        /** For how many ms it has known, give or take 3 ms, how far the other's clock is ahead, which only the browser could tell otherwise. */
        private static double clockKnownFor(Player player, Player other) {
            var origin = BigDecimal.valueOf(other.number("performance.timeOrigin"));
            return player.number("((known, now) => now - (window.unknownAt = known ? window.unknownAt ?? now : now))"
                    + "(Math.abs(game.inspect().peers[0].skew - (performance.timeOrigin - %s)) < 3, performance.now())".formatted(origin));
        }

        /** ... and that it was put there by the test has faded from all pages. */
        static void allSeeAtRest(String name, String expression, Player... players) {
            allSee(name, expression, players);
            for (Player player : players) player.until("[...game.world.ships.values()].every(({ dx, dy }) => Math.hypot(dx, dy) < 0.01)");
        }

        /**
         * They see each other, and have known each other's clock for some readings: first ones that are late may be right
         * by chance, being as late on the way there as on the way back, and then the next makes it 8 ms off.
         */
        static void areTogether(Player ann, Player bob, double roundTrip) {
            meet(ann, bob);
            ann.until("game.inspect().peers[0].rtt >= " + roundTrip);
            eventually(() -> Math.min(clockKnownFor(ann, bob), clockKnownFor(bob, ann)) > 4_000,
                    "each knows the other's clock", Duration.ofSeconds(60));   // readings go back 30 s
        }

        /** On circles around the sun. */
        static void coast(int ms, double most, Player ann, Player bob) {
            ann.orbit(80, 0);
            bob.orbit(400, Math.PI);   // on neither does a ship begin
            allSeeAtRest("Ann", "Math.abs(Math.hypot(ship.x, ship.y) - 80) < 1", ann, bob);
            allSeeAtRest("Bob", "Math.abs(Math.hypot(ship.x, ship.y) - 400) < 1", ann, bob);
            check(ann.record(ms), bob.record(ms), most);
        }

        private static void fly(Player ann, Player bob, double roundTrip, double coasting, double manoeuvring) throws Exception {
            areTogether(ann, bob, roundTrip);
            coast(4_000, coasting, ann, bob);

            ann.place(-600, -300, 0);
            bob.place(600, 300, 0);
            allSeeAtRest("Ann", "ship.x < -550", ann, bob);
            allSeeAtRest("Bob", "ship.x > 550", ann, bob);
            var annSees = ann.record(6_000);
            var bobSees = bob.record(6_000);
            manoeuvre(annSees, ann, bob);
            check(annSees, bobSees, manoeuvring);
        }

        /** Turns and burns at random until then. */
        static void manoeuvre(Future<?> end, Player... players) throws InterruptedException {
            var random = new Random(1);
            var held = new HashSet<String>();
            while (!end.isDone()) {
                int who = random.nextInt(players.length);
                String key = List.of("KeyA", "KeyS", "KeyD", "KeyD").get(random.nextInt(4));
                if (held.add(who + key)) players[who].page.hold(key);
                else if (held.remove(who + key)) players[who].page.release(key);
                Thread.sleep(random.nextInt(20, 120));
            }
            for (Player player : players) player.page.release("KeyA", "KeyS", "KeyD");
        }

        @Test
        void onOneMachine() throws Exception {
            try (var relay = withPages(0); var ann = Player.of(relay, "Ann"); var bob = Player.of(relay, "Bob")) {
                fly(ann, bob, 0, 0.5, 1.5);
            }
        }

        @Test
        void with100MillisecondsGiveOrTake20BetweenThePlayers() throws Exception {
            try (var relay = withPages(0); var proxy = new DelayingProxy(relay.port()); var ann = Player.of(relay, "Ann");
                    var bob = Player.of(proxy.port(), "Bob")) {
                fly(ann, bob, 80, 1.5, 4);
            }
        }
    }

    /** The relay goes away and comes back; nobody touches anything. */
    @Nested
    @Waits
    @ExtendWith(InChromium.class)
    @SuppressWarnings("try")   // the relay is closed within
    class Reconnect {
        private static final long SOON = 5_000_000_000L;

        /** All of them are in one room again in time, with their names and scores. */
        private static void expectReunion(int port, long before, Map<Player, String> ships) {
            var players = ships.keySet().toArray(Player[]::new);
            meet(players);
            for (Player player : players) player.until("game.inspect().link === 'relay'");
            ships.values().forEach(ship -> allSee(ship.split(" ")[0], "`${ship.name} ${ship.score}` === " + Json.write(ship), players));
            assertTrue(System.nanoTime() - before < SOON, "it took " + (System.nanoTime() - before) / 1_000_000 + " ms");
        }

        @Test
        void afterItsRestartAllAreInOneRoomAgainWithin5SecondsWithNameAndScore() throws IOException {
            try (var relay = withPages(0); var ann = Player.of(relay, "Ann"); var bob = Player.of(relay, "Bob"); var cyd = Player.of(relay, "Cyd")) {
                meet(ann, bob, cyd);
                shoot(ann, bob, 800);
                allSee("Ann", "ship.score === 1", ann, bob, cyd);
                var players = List.of(ann, bob, cyd);
                for (Player player : players) {
                    player.until("game.me.state === 'flying'").orbit(900, players.indexOf(player));
                    player.ask("game.settings.practice = 2");
                }
                var flights = players.stream().map(player -> player.record(15_000)).toList();
                relay.close();
                for (Player player : players) player.until("document.querySelector('#link').textContent === 'offline · practice'");
                long before = System.nanoTime();
                try (var next = withPages(relay.port())) {
                    expectReunion(next.port(), before, Map.of(ann, "Ann 1", bob, "Bob -1", cyd, "Cyd 0"));
                }
                for (Player player : players) player.fliesOn().ask("record.over = true");
                for (Player player : players) {
                    var flight = flights.get(players.indexOf(player)).join().get((String) player.ask("game.me.name"));
                    double pause = IntStream.range(1, flight.size()).mapToDouble(i -> flight.get(i).at - flight.get(i - 1).at).max().orElseThrow();
                    assertTrue(pause < 500, "it stood still for " + pause + " ms");
                }
            }
        }

        @Test
        void aPageOpenedWhileItIsDownJoinsWhenItIsUp() throws IOException {
            var files = new FilesOnly();
            try (files; var ann = Player.of(files.port(), "Ann"); var bob = Player.of(files.port(), "Bob")) {
                for (Player player : List.of(ann, bob)) player.until("game.inspect().link === 'offline'");
                files.close();
                long before = System.nanoTime();
                try (var relay = withPages(files.port())) {
                    expectReunion(relay.port(), before, Map.of(ann, "Ann 0", bob, "Bob 0"));
                }
            }
        }
    }

    /** The tests of the game's modules, which any browser runs at /spacewar/test/. */
    @Nested
    @Waits
    @ExtendWith(InChromium.class)
    class Modules {
        @TestFactory
        @Timeout(180)   // the games that the tests play take 25 s of a processor, which others may use as well
        Stream<DynamicNode> allHold() throws IOException {
            try (var relay = withPages(0); var page = InChromium.open(relay, "/spacewar/test/")) {
                page.until("globalThis.results !== undefined", Duration.ofSeconds(150));
                var results = ((List<?>) page.evaluate("results")).stream().map(result -> (Map<?, ?>) result).toList();
                assertFalse(results.isEmpty());
                assertEquals("[]", page.complaints.toString());
                return results.stream().collect(Collectors.groupingBy(result -> (String) result.get("module"), LinkedHashMap::new, Collectors.toList()))
                        .entrySet().stream().map(module -> DynamicContainer.dynamicContainer(module.getKey(), module.getValue().stream().map(Modules::test)));
            }
        }

        private static DynamicNode test(Map<?, ?> result) {
            return DynamicTest.dynamicTest((String) result.get("name"), () -> assertNull(result.get("error")));
        }
    }

    /** What the original of the game got wrong, by the numbers that it had there; 14 is in Direct. */
    @Nested
    @ExtendWith(InChromium.class)
    @SuppressWarnings("try")   // the relay is closed within
    class Defects {
        private static final String HTML = "<img src=/x onerror=harm()>";

        @Test
        @DisplayName("1: HTML in a name is text")
        void htmlInANameIsText() throws IOException {
            try (var relay = withPages(0); var ann = Player.of(relay, HTML); var bob = Player.of(relay, "Bob"); var peer = Stranger.join(relay)) {
                peer.says("pilot", "1", Json.write(HTML), "5", "0");
                String cleaned = HTML.substring(0, 20);
                for (Player player : List.of(ann, bob)) {
                    player.page.press("KeyT");
                    player.until("game.inspect().ships.filter(ship => ship.name === %s).length === 2".formatted(Json.write(cleaned)))
                            .until("document.querySelector('#scores').textContent.includes(%s)".formatted(Json.write(cleaned)))
                            .until("document.querySelector('#timing').textContent.includes(%s)".formatted(Json.write(cleaned)));
                    assertEquals(0.0, player.ask("document.querySelectorAll('img, [onerror]').length"));
                }
            }
        }

        @Test
        @DisplayName("2: a time of 0 in a report, and clocks that are days off, stop nobody")
        void clocksThatAreOffStopNobody() throws IOException {
            try (var relay = withPages(0); var ann = Player.of(relay, "Ann");
                    var bob = new Player(Player.address(relay.port()), page -> page.first("Date.now = () => 0")); var peer = Stranger.join(relay)) {
                for (String time : List.of("0", "-1e13", "1e13", "0", "1e12", "-0", "1e-300")) {
                    peer.says("report", "1", time, "0", "900", "900", "0", "0", "0", "0", "0").says("ping", "1", time);
                    peer.to(1, "pong", "1", time, time);
                }
                ann.until("seen('Eve').state === 'flying'");
                double x = bob.place(500, -500, 0).number("game.me.x");
                ann.until("game.inspect().ships.some(ship => ship.id === 2 && Math.abs(ship.x - %s) < 20)".formatted(x));
                for (Player player : List.of(ann, bob)) player.fliesOn();
            }
        }

        @Test
        @DisplayName("3: one shot scores once, however often it is said to have hit")
        void aShotScoresOnce() throws IOException {
            try (var relay = withPages(0); var ann = Player.of(relay, "Ann"); var peer = Stranger.join(relay)) {
                peer.fliesBefore(ann);
                ann.until("game.inspect().ships.length === 2").place(-800, 0, Math.PI).page.press("KeyF");
                ann.until("game.world.missiles.length === 1");
                for (int i = 0; i < 25; i++) peer.flies().hitBy(1, 1).flies().hitBy(1, i);
                peer.says("score", "1").says("pilot", "1", "\"over\"", "1", "0");
                ann.until("seen('over').id === 2");
                assertEquals(1.0, ann.ask("game.me.score"));
            }
        }

        @Test
        @DisplayName("4: a page is told its id once, and only by the relay")
        void anIdIsToldOnce() throws IOException {
            try (var relay = new FalseRelay(options(options -> options.folder = Path.of("spacewar"))); var ann = Player.of(relay.start().port(), "Ann")) {
                relay.say("7 self", "8 join", "8 pilot [1,\"Bob\",1,0]");
                allSee("Bob", "ship.id === 8", ann);
                relay.say("8 self", "9 self", "-1 join", "0 join", "x join", "7 join", "7 quit", "9 quit", "9 pilot [1,\"Eve\",1,0]",
                        "8 pilot [1,\"Rob\",1,0]");
                allSee("Rob", "ship.id === 8", ann);
                assertEquals(7.0, ann.ask("game.inspect().self"));
                assertEquals("7:Ann,8:Rob", ann.ask("game.inspect().ships.filter(ship => !ship.bot).map(({ id, name }) => `${id}:${name}`).join()"));
                ann.fliesOn();
            }
        }

        @Test
        @DisplayName("5: a malformed report is nothing")
        void aMalformedReportIsNothing() throws IOException {
            try (var relay = withPages(0); var ann = Player.of(relay, "Ann"); var peer = Stranger.join(relay)) {
                for (String data : List.of("", " ", "{", "[", "null", "1", "[]", "[1]", "{\"x\":1}", "[1,2", "[[[[", "\u0000", "NaN", "undefined"))
                    peer.send("report " + data);
                peer.send("report").says("pilot", "1", "\"over\"", "1", "0");
                ann.until("seen('over').id === 2").fliesOn();
                assertEquals("observing", ann.ask("seen('over').state"));
            }
        }

        @Test
        @DisplayName("6: the game starts whatever is in the browser's storage")
        @Waits
        void itStartsWhateverIsStored() throws IOException {
            String forbidden = "Object.defineProperty(window, 'localStorage', { get() { throw new Error('forbidden'); } })";
            try (var relay = withPages(0); var ann = Player.of(relay, "Ann");
                    var eve = new Player(Player.address(relay.port()), page -> page.first(forbidden))) {
                eve.until("game.me.state === 'flying'").fliesOn();
                for (String stored : List.of("", "null", "{", "[]", "7", "\"Ann\"",
                        "{\"name\":{},\"look\":1e9,\"keys\":7,\"muted\":\"\",\"names\":[],\"practice\":-1}",
                        "{\"keys\":{\"fire\":7,\"left\":[7,null],\"__proto__\":[\"KeyQ\"]}}", "\ud800\u0000")) {
                    ann.ask("localStorage.spacewar = " + Json.write(stored));
                    ann.reload().fliesOn();
                }
            }
        }

        @Test
        @DisplayName("7: in the timing table least is the least and greatest the greatest, and who only watches has no row")
        @Measures
        void theTimingTableIsInOrder() throws Exception {
            try (var relay = withPages(0); var ann = Player.of(relay, "Ann"); var peer = Stranger.join(relay); var watcher = Raw.open(relay, ITS_ROOM)) {
                ann.until("game.netplay.peers.length === 2");
                ann.page.press("KeyT");
                for (int delay : List.of(9, 110, 30, 105)) peer.pong(delay);
                String cells = "[...document.querySelectorAll('#timing tbody td')].map(cell => parseInt(cell.textContent))";
                ann.until("(([path, least, mean, greatest, jitter, loss, ...more]) => !more.length && least >= 9 && least < 100 && least < mean && mean < greatest && greatest >= 110)("
                        + cells + ")");
            }
        }

        @Test
        @DisplayName("8: no key stays held when the window loses the focus")
        void noKeyStaysHeld() throws IOException {
            try (var relay = withPages(0); var ann = Player.of(relay, "Ann")) {
                for (Runnable leave : List.<Runnable>of(() -> ann.ask("dispatchEvent(new Event('blur'))"), () -> ann.page.hide().show())) {
                    ann.page.hold("KeyA", "KeyD", "KeyF");
                    ann.until("game.me.turn === -1 && game.me.thrust && game.me.fire");
                    leave.run();
                    ann.until("game.me.turn === 0 && !game.me.thrust && !game.me.fire").page.release("KeyA", "KeyD", "KeyF");
                }
            }
        }

        @Test
        @DisplayName("9: observing is no free way out, and however pause is toggled there is one loop")
        @Waits
        void observingIsNotFreeAndThereIsOneLoop() throws IOException {
            try (var relay = withPages(0); var ann = Player.of(relay, "Ann")) {
                ann.page.press("KeyO");
                ann.until("game.me.state === 'observing'").page.press("KeyO");
                ann.until("game.me.state === 'hyperspace' && game.me.until - game.world.time > 2_000");
                for (int i = 0; i < 10; i++) ann.page.press("KeyP");
                String frames = """
                    new Promise(done => {
                      const before = game.frames;
                      let left = 30;
                      requestAnimationFrame(function next() {
                        if (left--) requestAnimationFrame(next);
                        else done(game.frames - before);
                      });
                    })""";
                assertEquals(30, ann.number(frames), 1);
                ann.until("game.me.state === 'flying'");
            }
        }

        @Test
        @DisplayName("10: a phone gets a page of its own width, with pads")
        void aPhoneGetsAPageOfItsWidth() throws IOException {
            try (var relay = withPages(0); var ann = new Player(Player.address(relay.port()), page -> page.screen(390, 844, 3, true))) {
                ann.until("innerWidth === 390 && document.documentElement.scrollWidth === 390 && document.querySelector('#sky').clientWidth === 390")
                        .until("[...document.querySelectorAll('#pads button')].filter(pad => pad.checkVisibility()).length === 5");
            }
        }

        @Test
        @DisplayName("11: of those who have left nothing is kept")
        void ofThoseWhoLeftNothingIsKept() throws IOException {
            try (var relay = withPages(0); var ann = Player.of(relay, "Ann")) {
                for (int id = 2; id < 6; id++) {
                    try (var peer = Stranger.join(relay)) {
                        peer.flies();
                        ann.until("game.inspect().peers.length === 1 && game.inspect().ships.length === 2");
                    }
                    ann.until("game.netplay.peers.length === 0 && game.relay.peers.size === 0 && [...game.world.ships.values()].every(ship => !ship.remote)");
                }
            }
        }

        @Test
        @DisplayName("12: with the relay down there is a sky, and Enter is hyperspace")
        @Waits
        void withTheRelayDownThereIsASky() {
            try (var files = new FilesOnly(); var ann = Player.of(files.port(), "Ann")) {
                ann.until("game.frames > 10").page.press("Enter");
                ann.until("game.me.state === 'hyperspace'").until("game.me.state === 'flying'");
            }
        }

        @Test
        @DisplayName("13: after a restart of the relay newcomers meet those who were there")
        void afterARestartNewcomersMeetTheOthers() throws IOException {
            try (var relay = withPages(0); var ann = Player.of(relay, "Ann")) {
                relay.close();
                ann.until("game.inspect().link === 'offline'");
                try (var next = withPages(relay.port()); var bob = Player.of(next, "Bob")) {
                    meet(ann, bob);
                    allSee("Ann", "ship.state === 'flying'", ann, bob);
                    allSee("Bob", "ship.state === 'flying'", ann, bob);
                }
            }
        }

        @Test
        @DisplayName("15: a hidden tab says that it only observes, and comes back by hyperspace")
        @Waits
        void aHiddenTabObserves() throws IOException {
            try (var relay = withPages(0); var ann = Player.of(relay, "Ann"); var bob = Player.of(relay, "Bob")) {
                meet(ann, bob);
                ann.page.hide();
                allSee("Ann", "ship.state === 'observing'", bob);
                bob.ask("new Promise(done => setTimeout(done, 5_500))");   // longer than a silent ship is believed in
                allSee("Ann", "ship.state === 'observing'", bob);
                ann.page.show();
                allSee("Ann", "ship.state === 'hyperspace'", ann, bob);
                allSee("Ann", "ship.state === 'flying'", ann, bob);
            }
        }

        @Test
        @DisplayName("16: the canvas has as many pixels as the screen there, also after a resize")
        void theCanvasHasThePixelsOfTheScreen() throws IOException {
            try (var relay = withPages(0); var ann = new Player(Player.address(relay.port()), page -> page.screen(1000, 700, 2, false))) {
                ann.until("crisp()").until("document.querySelector('#sky').width === 2000").page.screen(811, 603, 2, false);
                ann.until("document.querySelector('#sky').width === 1622").until("crisp()");
            }
        }
    }

    /** Somebody in the game's room who gives a name there, and then says whatever the test wants. */
    static final class Stranger implements AutoCloseable {
        /** px below and to the right of the sun: where nobody else is, and what is at rest falls but a few px in a second. */
        private static final String AWAY = "600";

        private final Raw raw;

        private Stranger(Raw raw) {
            this.raw = raw;
        }

        static Stranger join(Relay relay) throws IOException {
            return new Stranger(lazy(Raw.open(relay, ITS_ROOM))).says("pilot", "1", "\"Eve\"", "0", "0");
        }

        Stranger send(String message) throws IOException {
            raw.send(text("* " + message));
            return this;
        }

        /** A message of a type with these fields. */
        Stranger says(String msgtype, String... fields) throws IOException {
            return send(msgtype + " [" + String.join(",", fields) + "]");
        }

        Stranger to(int id, String msgtype, String... fields) throws IOException {
            raw.send(text(id + " " + msgtype + " [" + String.join(",", fields) + "]"));
            return this;
        }

        /** Reports that it flies, out there. */
        Stranger flies() throws IOException {
            return says("report", "1", "0", "0", AWAY, AWAY, "0", "0", "0", "0", "0");
        }

        /** ... and is seen there for a moment. */
        Stranger fliesBefore(Player witness) throws IOException {
            flies();
            witness.until("Math.hypot(seen('Eve').x - %1$s, seen('Eve').y - %1$s) < 50".formatted(AWAY)).waitAMoment();
            return this;
        }

        /** Reports that it was hit there by somebody's missile. */
        Stranger hitBy(int shooter, int missile) throws IOException {
            return says("death", "1", "0", AWAY, AWAY, "0", "0", "0", "1", "\"missile\"", shooter + "", missile + "");
        }

        /** Waits for the next message of a type. */
        String hears(String msgtype) throws IOException {
            String message = raw.receive().text();
            while (!message.contains(" " + msgtype + " ")) message = raw.receive().text();
            return message;
        }

        /** Answers the next ping, so many ms late. */
        void pong(int late) throws Exception {
            String[] words = hears("ping").split(" ");
            Thread.sleep(late);
            to(Integer.parseInt(words[0]), "pong", words[2].replaceAll("[\\[\\]]", ""), System.nanoTime() / 1_000_000 + "");
        }

        /** Leaves, when all it said has been taken. */
        @Override
        public void close() throws IOException {
            raw.send(RelayTest.close(1000, ""));
            raw.in.readAllBytes();
            raw.close();
        }
    }

    /** A relay that says what the test wants, and hears nothing. */
    static final class FalseRelay extends Relay {
        private final BlockingQueue<WebSocket> clients = new LinkedBlockingQueue<>();

        FalseRelay(Relay.Options options) {
            super(options);
        }

        @Override
        Handler enter(WebSocket socket) {
            clients.add(socket);
            return message -> {};
        }

        /** To the first client there is. */
        void say(String... messages) {
            eventually(() -> !clients.isEmpty(), "a client");
            for (String message : messages) clients.peek().send(encode(1, new byte[0], bytes(message), 0, bytes(message).length));
        }
    }

    /** The worst that somebody in the room can do is to lie about their own ship. */
    @Nested
    @ExtendWith(InChromium.class)
    @SuppressWarnings("try")   // that Bob is there is enough
    class HostilePeer {
        private static final List<String> WRONG = List.of("null", "true", "\"\"", "\"1\"", "{}", "[]", "[1]", "-1", "0.5", "1e9", "-1e308", "1e999", "NaN",
                "9007199254740993", "\"<img src=x onerror=harm()>\"", "\"__proto__\"", "\"" + "x".repeat(1_000) + "\"");
        private static final Map<String, List<String>> RIGHT = Map.of(
                "report", List.of("1", "0", "0", Stranger.AWAY, Stranger.AWAY, "0", "0", "0", "0", "0"),
                "fire", List.of("1", "0", "0", Stranger.AWAY, Stranger.AWAY, "0", "0", "0", "0", "0", "1"),
                "death", List.of("1", "0", Stranger.AWAY, Stranger.AWAY, "0", "0", "0", "1", "\"missile\"", "1", "1"),
                "pilot", List.of("1", "\"Eve\"", "1", "0"), "ping", List.of("1", "0"), "pong", List.of("1", "0", "0"));

        private static final String ORBIT = "Math.abs(Math.hypot(game.me.x, game.me.y) - 300) < 1 && game.me.state === 'flying' && game.me.score === 0";

        /** Ann circles the sun and Bob watches; whatever the hostile one does, they do so ever after, with name and score. */
        private static void changesNothing(Hostility hostility) throws Exception {
            try (var relay = withPages(0); var ann = Player.of(relay.port(), "Ann", page -> page.first(Direct.NOTES)).until("game.inspect().link === 'relay'");
                    var bob = Stranger.join(relay).says("pilot", "1", "\"Bob\"", "9", "4")) {
                allSee("Bob", "ship.score === 4", ann);
                ann.orbit(300, 0).until(ORBIT);
                hostility.towards(relay, ann);
                ann.until("game.inspect().peers.length === 1").until(ORBIT).fliesOn().until(ORBIT);
                assertEquals("1 Ann flying 0, 2 Bob observing 4",
                        ann.ask("game.inspect().ships.map(({ id, name, state, score }) => `${id} ${name} ${state} ${score}`).join(', ')"));
                assertEquals("relay", ann.ask("game.inspect().link"));
                assertEquals(0.0, ann.ask("document.querySelectorAll('img, [onerror]').length"));
            }
        }

        interface Hostility {
            void towards(Relay relay, Player victim) throws Exception;
        }

        /** Everything that is right but for one field, which is all that there is. */
        @Test
        void wrongFieldsOfEveryKind() throws Exception {
            changesNothing((relay, ann) -> {
                for (var message : RIGHT.entrySet()) {
                    for (int field = 0; field < message.getValue().size(); field++) {
                        var fields = message.getValue().toArray(String[]::new);
                        try (var eve = Stranger.join(relay).flies()) {
                            for (String wrong : WRONG) {
                                fields[field] = wrong;
                                eve.says(message.getKey(), fields);
                            }
                            eve.says(message.getKey(), Arrays.copyOf(fields, field)).says(message.getKey(), String.join(",", fields), "0");
                        }
                    }
                }
            });
        }

        @Test
        void whatIsNoMessageAtAll() throws Exception {
            changesNothing((relay, ann) -> {
                try (var eve = Stranger.join(relay)) {
                    for (String type : List.of("report", "fire", "death", "pilot", "ping", "pong", "status", "recv", "send", "close", "connect", "constructor",
                            "__proto__", "toString", "hasOwnProperty", "peers", "id", "url", "#peers", "onself", "ship", "score", "x".repeat(1_000), "<b>"))
                        for (String data : List.of("", " ", " [", " [1,{\"a\":", " " + "[".repeat(5_000), " {\"__proto__\":{\"score\":9}}", " \u0000\u0001"))
                            eve.send(type + data);
                    for (String type : RIGHT.keySet()) eve.raw.send(frame(true, 2, concat(bytes("* " + type + " "), hex("00ff80fe"))));
                    eve.raw.send(frame(true, 2, concat(bytes("* "), hex("00ff80fe")))).send(text("* report " + "9".repeat(1_000_000)));
                }
            });
        }

        @Test
        void forgedScoresAndShipsOfOthers() throws Exception {
            changesNothing((relay, ann) -> {
                try (var eve = Stranger.join(relay).fliesBefore(ann)) {
                    for (int id : new int[] {0, 1, 2, 3, 99}) eve.hitBy(id, 1).hitBy(id, 0).flies();
                    eve.says("pilot", "1", "\"Ann\"", "5", "99999").says("pilot", "1", "\"Bob\"", "9", "-5").send("score 1").send("1 score 1");
                    for (int id : new int[] {1, 2}) eve.raw.send(text(id + " score 1")).send(text(id + " death [1]"));
                    eve.says("pilot", "1", "\"over\"", "1", "0");
                    allSee("over", "ship.id === 3", ann);
                }
            });
        }

        @Test
        void forgedWordsOfTheRelay() throws Exception {
            changesNothing((relay, ann) -> {
                for (String word : List.of("self", "join", "quit", "self 1", "quit 2", "join x")) {
                    for (String target : List.of("*", "1", "2")) {
                        try (var eve = Stranger.join(relay)) {
                            eve.raw.send(text(target + " " + word));
                        }
                    }
                }
            });
        }

        /** What a browser would say to connect, for a channel and with sound and picture. */
        private static List<String> descriptions() {
            try (var page = InChromium.chromium.blank()) {
                return ((List<?>) page.evaluate("""
                        Promise.all([['data'], ['data', 'audio'], ['audio', 'video'], []].map(async media => {
                          const connection = new RTCPeerConnection();
                          for (const kind of media) kind === 'data' ? connection.createDataChannel('') : connection.addTransceiver(kind);
                          return (await connection.createOffer()).sdp;
                        }))""")).stream().map(String::valueOf).toList();
            }
        }

        /** Descriptions and candidates of every kind, for somebody in the room. */
        private static List<String> signals() {
            String channel = descriptions().getFirst(), candidate = "candidate:1 1 udp 1 10.0.0.1 9 typ host";
            var data = new ArrayList<>(descriptions());
            data.addAll(List.of("", " ", "v=0", "{", "null", "\u0000\u0001", "<img src=x onerror=harm()>", "x".repeat(100_000),
                    Json.write(Map.of("type", "offer", "sdp", channel)), channel.repeat(2),
                    channel.substring(0, 300), channel.replace("m=application", "m=audio"), channel.replace("fingerprint", "fingerprints"),
                    channel + "a=candidate:1 1 udp 1 10.0.0.1 9 typ host\r\n".repeat(2_000), channel + "a=ice-options:trickle\r\n".repeat(5_000),
                    candidate, candidate.replace("10.0.0.1", "nobody.example"), candidate.replace("udp", "tcp"), candidate + " x".repeat(50_000),
                    "candidate:" + "9".repeat(200), "[" + Json.write(candidate) + "]", "{\"candidate\":\"" + candidate + "\",\"sdpMLineIndex\":99}"));
            return data;
        }

        /** The connections that a page has, at any time, for so many others in the room. */
        private static void expectFew(Player ann, int most) {
            assertTrue(ann.number("open()") <= most, () -> ann.ask("open()") + " connections");
            assertNull(ann.ask("times.track"));
        }

        @Test
        void offersAnswersAndCandidatesOfWhoComesLater() throws Exception {
            changesNothing((relay, ann) -> {
                for (String data : signals()) {
                    try (var eve = Stranger.join(relay)) {
                        for (String word : List.of("answer ", "offer ", "candidate ", "offer ", "answer ")) eve.raw.send(text("1 " + word + data));
                    }
                    expectFew(ann, 3);   // of two that come and go so fast the page may know both
                }
                try (var eve = Stranger.join(relay)) {
                    for (int i = 0; i < 5_000; i++) eve.raw.send(text("1 candidate candidate:" + i + " 1 udp 1 10.0.0.1 9 typ host"));
                }
            });
        }

        @Test
        void offersAnswersAndCandidatesOfWhoWasThereBefore() throws Exception {
            var signals = signals();
            try (var relay = withPages(0)) {
                var strangers = new ArrayList<Stranger>();
                for (int i = 0; i < signals.size(); i++) strangers.add(Stranger.join(relay));
                try (var ann = Player.of(relay.port(), "Ann", page -> page.first(Direct.NOTES))) {
                    String id = strangers.size() + 1 + " ";
                    ann.until("game.inspect().peers.length === " + strangers.size());
                    for (String words : List.of("offer", "candidate answer", "offer offer offer offer")) {
                        for (Stranger stranger : strangers) {
                            for (String word : words.split(" ")) stranger.raw.send(text(id + word + " " + signals.get(strangers.indexOf(stranger))));
                        }
                        if (words.equals("offer")) strangers.getFirst().hears("answer");   // what is right is answered: the rest is dealt with too
                        ann.fliesOn();
                        expectFew(ann, strangers.size());
                    }
                    for (Stranger stranger : strangers) stranger.close();
                    ann.until("game.inspect().peers.length === 0").until("open() === 0").fliesOn();
                }
            }
        }

        @Test
        void joiningAndLeavingAHundredTimes() throws Exception {
            changesNothing((relay, ann) -> {
                for (int i = 0; i < 100; i++) {
                    try (var eve = Stranger.join(relay)) {
                        eve.raw.send(text("1 candidate x"));
                    }
                    if (i % 10 == 0) expectFew(ann, 40);
                }
                ann.until("game.inspect().peers.length === 1").until("open() <= 1");
                assertTrue(ann.number("connections.length") <= 60, () -> ann.ask("connections.length") + " connections made");
            });
        }

        /** Before they say anything they are not even counted; then all of them fly, until they are silent for too long. */
        @Test
        @Timeout(120)
        void threeHundredPilotsOfWhomFortyAreShips() throws Exception {
            changesNothing((relay, ann) -> {
                double before = ann.number("frameRate()");
                var crowd = new ArrayList<Raw>();
                try {
                    for (int i = 0; i < 300; i++) crowd.add(lazy(Raw.open(relay, ITS_ROOM)));
                    ann.until("game.inspect().peers.length === 301").until("open() === 1");   // Bob's: of the silent nobody costs one
                    assertEquals(2.0, ann.ask("game.inspect().ships.length"));
                    for (int i = 0; i < 300; i++) {
                        crowd.get(i).send(text("1 pilot [1,\"Eve\",%d,0]".formatted(i % 64)));
                        crowd.get(i).send(text("1 report [1,0,0,%d,%d,0,0,0,0,0]".formatted(400 + i % 90, 400 + i % 70)));
                    }
                    ann.until("game.inspect().others === 261").until("game.inspect().ships.filter(({ state }) => state === 'flying').length === 41");
                    assertEquals(41.0, ann.ask("game.inspect().ships.length"));
                    assertTrue(ann.number("open()") <= 33, () -> ann.ask("open()") + " connections");
                    eventually(() -> ann.number("frameRate()") > 0.5 * before, "at least half of the frames");
                    ann.until("document.querySelector('#scores').textContent.includes('and 261 others')").page.screenshot();
                } finally {
                    for (Raw each : crowd) each.close();
                }
                ann.until("game.inspect().ships.length === 2 && seen('Bob').id === 2");
            });
        }

        @ParameterizedTest
        @ValueSource(ints = {10_000, 30_000})
        void reportsASecondWhichCostAThirdOfTheFramesAtMost(int reports) throws Exception {
            changesNothing((relay, ann) -> {
                byte[] report = text("1 report [1,0,0,900,900,0,0,0,0,0]");   // to Ann: Bob does not read
                byte[] burst = concat(Collections.nCopies(reports / 100, report).toArray(byte[][]::new));
                double before = ann.number("frameRate()");
                long began = System.nanoTime();
                try (var eve = new Pump(Stranger.join(relay).raw, 1_000, number -> {
                    LockSupport.parkNanos(began + number * 10_000_000 - System.nanoTime());
                    return burst;
                })) {
                    ann.until("seen('Eve').state === 'flying'");
                    eventually(() -> ann.number("frameRate()") > 2 * before / 3, "two thirds of the frames");   // others may cost some as well for a while
                    long rate = eve.sent.get() * (reports / 100) * 1_000_000_000L / (System.nanoTime() - began);
                    assertTrue(rate > reports / 2, "only " + rate + " reports a second");
                }
            });
        }
    }

    /** Keyboards, fingers, gamepads and screens. */
    @Nested
    @ExtendWith(InChromium.class)
    class PlaysWhereYouAre {
        private static final String STEERING = "[game.me.turn, game.me.thrust, game.me.fire].join()";

        private static void expectSteering(Player player, String turnThrustFire) {
            player.until(STEERING + " === '" + turnThrustFire + "'");
        }

        @Test
        void keysCountByTheirPlaceWhateverIsPrintedOnThem() throws IOException {
            try (var relay = withPages(0); var ann = Player.of(relay, "Ann")) {
                for (var keys : Map.of("KeyA KeyH ArrowLeft", "-1,false,false", "KeyS KeyJ ArrowRight", "1,false,false", "KeyD KeyK ArrowUp", "0,true,false",
                        "KeyF KeyL Space", "0,false,true").entrySet()) {
                    for (String key : keys.getKey().split(" ")) {
                        ann.page.hold(key);
                        expectSteering(ann, keys.getValue());
                        ann.page.release(key);
                        expectSteering(ann, "0,false,false");
                    }
                }
                var french = new Chromium.Key("KeyA", "q", 'Q', "q", 0);   // an A where others have Q
                ann.page.call("Input.dispatchKeyEvent", french.event(true));
                expectSteering(ann, "-1,false,false");
                ann.page.call("Input.dispatchKeyEvent", french.event(false));
                ann.page.press("ArrowDown");
                ann.until("game.me.state === 'hyperspace'");
            }
        }

        @Test
        void aKeyChosenInTheSettingsCountsAndIsKept() throws IOException {
            try (var relay = withPages(0); var ann = Player.of(relay, "Ann")) {
                ann.page.press("KeyC").until("document.querySelector('#settings').open").tabTo("#keys [name=fire]")
                        .press("Enter", "KeyQ", "Escape").until("document.activeElement.id === 'sky'");
                ann.page.hold("KeyQ");
                expectSteering(ann, "0,false,true");
                ann.page.release("KeyQ").hold("KeyF", "KeyA");
                expectSteering(ann, "-1,false,false");
                ann.page.release("KeyF", "KeyA");
                ann.reload().page.hold("KeyQ");
                expectSteering(ann, "0,false,true");
                ann.page.release("KeyQ");
            }
        }

        @Test
        void noShortcutOfTheBrowserIsStolen() throws IOException {
            try (var relay = withPages(0); var ann = Player.of(relay, "Ann")) {
                ann.ask("globalThis.stolen = []; globalThis.heard = 0;"
                        + "addEventListener('keydown', event => { heard++; if (event.defaultPrevented) stolen.push(event.code); }); null");
                for (String modifier : List.of("Control", "Alt", "Meta", "Control+Shift"))
                    for (String code : List.of("KeyS", "KeyF", "KeyD", "KeyP", "KeyR", "KeyN", "ArrowLeft", "Enter")) ann.page.press(modifier + "+" + code);
                ann.page.press("F1", "Tab", "KeyE");
                ann.until("heard === 35").fliesOn();
                assertEquals("", ann.ask("stolen.join()"));
                assertEquals("flying 0,false,false", ann.ask("`${game.me.state} ${%s}`".formatted(STEERING)));
                ann.page.press("ArrowLeft", "Space");
                ann.until("stolen.join() === 'ArrowLeft,Space'");
            }
        }

        /** Where the middle of a pad is. */
        private static Chromium.Finger on(Player player, int finger, String pad) {
            var at = (List<?>) player.ask("middle('#pads [name=" + pad + "]')");
            return new Chromium.Finger(finger, (Double) at.get(0), (Double) at.get(1));
        }

        @ParameterizedTest(name = "{0} × {1}")
        @CsvSource({"390, 844", "844, 390"})
        void severalFingersSteerAPhone(int width, int height) throws IOException {
            try (var relay = withPages(0); var ann = Player.of(relay.port(), "Ann", page -> page.screen(width, height, 3, true))) {
                ann.until("padsFit()").until("crisp()");
                var left = on(ann, 1, "left");
                var right = on(ann, 1, "right");
                var thrust = on(ann, 2, "thrust");
                var fire = on(ann, 3, "fire");
                ann.page.touch(left).touch(left, thrust);
                expectSteering(ann, "-1,true,false");
                ann.page.touch(right, thrust).touch(right, thrust, fire);
                expectSteering(ann, "1,true,true");
                ann.page.touch();
                expectSteering(ann, "0,false,false");
                ann.page.touch(on(ann, 1, "hyperspace")).touch();
                ann.until("game.me.state === 'hyperspace'");
            }
        }

        @Test
        void twoFingersOnTheSkyZoom() throws IOException {
            try (var relay = withPages(0); var ann = Player.of(relay.port(), "Ann", page -> page.screen(390, 844, 1, true))) {
                ann.place(100, -100, 0);
                double before = ann.until("scale() > 0").number("scale()");   // from the first frame on
                ann.page.touch(new Chromium.Finger(1, 180, 300), new Chromium.Finger(2, 210, 300));
                for (int by = 10; by <= 60; by += 10) ann.page.touch(new Chromium.Finger(1, 180 - by, 300), new Chromium.Finger(2, 210 + by, 300));
                ann.page.touch();
                ann.until("scale() > " + 1.5 * before);
            }
        }

        @Test
        void aGamepadSteers() throws IOException {
            String stub = """
                const none = { pressed: false, touched: false, value: 0 };
                const pad = { id: 'stub', index: 0, connected: true, mapping: 'standard', axes: [0, 0, 0, 0], buttons: Array(17).fill(none) };
                globalThis.pad = pad;
                globalThis.down = (...buttons) => {
                  pad.buttons = pad.buttons.map((_, i) => buttons.includes(i) ? { pressed: true, touched: true, value: 1 } : none);
                };
                navigator.getGamepads = () => [pad, null, null, null];
                """;
            try (var relay = withPages(0); var ann = Player.of(relay.port(), "Ann", page -> page.first(stub))) {
                ann.ask("dispatchEvent(new Event('gamepadconnected')); pad.axes[0] = -1; down(0, 1)");
                expectSteering(ann, "-1,true,true");
                ann.ask("pad.axes[0] = 0.1; down(7, 15)");
                expectSteering(ann, "1,false,true");
                ann.ask("down()");
                expectSteering(ann, "0,false,false");
                ann.ask("down(3)");
                ann.until("game.me.state === 'hyperspace'");
            }
        }

        @ParameterizedTest(name = "at {0} pixels for one")
        @ValueSource(doubles = {1, 1.5, 2, 3})
        void itIsCrispAlsoAfterAResize(double ratio) throws IOException {
            try (var relay = withPages(0); var ann = Player.of(relay.port(), "Ann", page -> page.screen(800, 600, ratio, false))) {
                ann.until("crisp()").page.screen(533, 701, ratio, false).until("innerWidth === 533").until("crisp()").screen(533, 701, 4 - ratio, false)
                        .until("devicePixelRatio === " + (4 - ratio)).until("crisp()");
            }
        }
    }

    /** What lies around the sky, by keyboard alone, and for those who see it otherwise. */
    @Nested
    @ExtendWith(InChromium.class)
    class PanelsAndAccess {
        private static final Map<String, String> DIALOGS = Map.of("help", "Shift+Slash", "settings", "KeyC", "invite", "KeyI");

        private static String open(String dialog) {
            return "document.querySelector('#" + dialog + "').open";
        }

        /** ... and keys are for the ship again. */
        private static String closed(String dialog) {
            return "!" + open(dialog) + " && document.activeElement.id === 'sky'";
        }

        @Test
        void whoeverIsNewIsAskedForANameAndFliesOnMeanwhile() throws IOException {
            try (var relay = withPages(0); var ann = new Player(Player.address(relay.port()), page -> {})) {
                ann.until(open("name")).fliesOn().page.tabTo("#first-name").type(" Ann\u202e ").press("Enter");
                ann.until(closed("name")).until("seen('Ann').state === 'flying'").page.hold("KeyA");
                ann.until("game.me.turn === -1").page.release("KeyA");
                ann.reload().until("seen('Ann').state === 'flying'");
                assertEquals(false, ann.ask(open("name")));
            }
        }

        @Test
        void theNameCanWait() throws IOException {
            try (var relay = withPages(0); var ann = new Player(Player.address(relay.port()), page -> {})) {
                ann.page.hold("KeyA").until(open("name"));
                ann.until("game.me.turn === -1").page.release("KeyA").tabTo("#first-name").press("KeyD", "Escape").until(closed("name"));
                assertEquals("pilot 1 0", ann.ask("`${game.me.name || 'pilot 1'} ${game.me.turn}`"));
            }
        }

        @Test
        void eachDialogIsLabelledOpensByItsKeyPausesKeepsTheFocusAndClosesByEscape() throws IOException {
            try (var relay = withPages(0); var ann = Player.of(relay, "Ann")) {
                DIALOGS.forEach((dialog, key) -> {
                    ann.page.press(key).until(open(dialog)).press("Tab", "Tab", "KeyD", "Tab")
                            .until("document.activeElement.closest('dialog')?.id === '" + dialog + "' && ringed()");
                    ann.until("label('#" + dialog + "').length > 3").standsStill();
                    assertEquals(false, ann.ask("game.me.thrust"));
                    ann.page.press("Escape").until(closed(dialog)).hold("KeyA");
                    ann.until("game.me.turn === -1").fliesOn().page.release("KeyA");
                });
            }
        }

        @Test
        void theMenuIsReachedByTab() throws IOException {
            try (var relay = withPages(0); var ann = Player.of(relay, "Ann")) {
                for (String dialog : List.of("invite", "settings", "help")) {
                    ann.page.tabTo("[data-command=" + dialog + "]").until("ringed()")
                            .press("Enter").until(open(dialog)).press("Escape").until(closed(dialog));
                }
            }
        }

        @Test
        @Waits
        void eachCommandHasItsKey() throws IOException {
            try (var relay = withPages(0); var ann = Player.of(relay, "Ann")) {
                ann.page.press("KeyN").until("!game.settings.names").press("KeyN").until("game.settings.names");
                ann.page.press("KeyM").until("game.sound.muted && document.querySelector('[data-command=sound]').ariaPressed === 'false'")
                        .press("KeyM").until("!game.sound.muted");
                ann.page.press("KeyT").until("!document.querySelector('#timing').hidden").press("KeyT").until("document.querySelector('#timing').hidden");
                ann.page.press("KeyO").until("game.me.state === 'observing'").press("KeyO").until("game.me.state === 'hyperspace'");
                ann.until("game.me.state === 'flying'");
            }
        }

        @Test
        void pauseStopsTheWorldOfWhoIsAlone() throws IOException {
            try (var relay = withPages(0); var ann = Player.of(relay, "Ann")) {
                ann.page.press("KeyP");
                ann.standsStill().page.press("KeyP");
                ann.fliesOn();
            }
        }

        @Test
        void whoPausesInCompanyObserves() throws IOException {
            try (var relay = withPages(0); var ann = Player.of(relay, "Ann"); var bob = Player.of(relay, "Bob")) {
                meet(ann, bob);
                ann.page.press("KeyP");
                allSee("Ann", "ship.state === 'observing'", ann, bob);
                bob.fliesOn();
                ann.page.press("KeyP");
                allSee("Ann", "ship.state === 'hyperspace'", ann, bob);
            }
        }

        @Test
        void theViewZoomsByKeyAndWheelAndIsReset() throws IOException {
            try (var relay = withPages(0); var ann = Player.of(relay, "Ann").place(200, -200, 0)) {
                double usual = ann.until("scale() > 0").number("scale()");   // from the first frame on
                ann.page.press("KeyZ", "KeyZ").until("scale() > " + 1.4 * usual).press("KeyX", "KeyX", "KeyX", "KeyX").until("scale() < " + 0.7 * usual);
                ann.place(200, -200, 0).page.press("KeyR").until("Math.abs(scale() / %s - 1) < 0.05".formatted(usual));
                ann.page.call("Input.dispatchMouseEvent", Map.of("type", "mouseWheel", "x", 300, "y", 300, "deltaX", 0, "deltaY", 400));
                ann.until("scale() < " + 0.8 * usual);
            }
        }

        @Test
        void aClickTracksAShip() throws IOException {
            try (var relay = withPages(0); var ann = Player.of(relay, "Ann")) {
                ann.place(280, -250, 0).until("where()[0] > innerWidth / 2 + 100");   // at rest, and seconds from the sun
                var ship = (List<?>) ann.ask("where()");
                ann.page.click((Double) ship.get(0), (Double) ship.get(1));
                ann.until("Math.abs(where()[0] - innerWidth / 2) < 3 && Math.abs(where()[1] - innerHeight / 2) < 3");
            }
        }

        @Test
        void thereIsLessMotionForWhoWantsLess() throws IOException {
            try (var relay = withPages(0); var ann = new Player(Player.address(relay.port()), page -> page.media("prefers-reduced-motion", "reduce"))) {
                ann.until("game.view.still").page.media("prefers-reduced-motion", "no-preference");
                ann.until("!game.view.still");
            }
        }

        @Test
        void everyColourOfTheSkyStandsOutFromIt() throws IOException {
            String contrast = """
                import('/spacewar/ships.js').then(({ COLOURS }) => {
                  const linear = c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
                  const luminance = colour => [1, 3, 5].reduce((sum, at, i) =>
                    sum + [0.2126, 0.7152, 0.0722][i] * linear(parseInt(colour.slice(at, at + 2), 16) / 255), 0);
                  return Math.min(...COLOURS.map(colour => (luminance(colour) + 0.05) / (luminance('#020a0b') + 0.05)));
                })""";
            try (var relay = withPages(0); var ann = Player.of(relay, "Ann")) {
                assertTrue(ann.number(contrast) >= 4.5, "contrast " + ann.number(contrast));
            }
        }

        @Test
        void theCodeOfTheInvitationLeadsToTheRoom(@TempDir Path folder) throws Exception {
            require("zbarimg", "zbar-tools");
            try (var relay = withPages(0); var ann = Player.of(relay, "Ann")) {
                ann.page.press("KeyI").until(open("invite"));
                Path picture = Files.write(folder.resolve("invite.png"), ann.page.screenshot());
                try (var reader = new Program(folder, Map.of(), List.of("zbarimg", "-q", "--raw", picture.toString()))) {
                    assertEquals(List.of(Player.address(relay.port())), reader.expectExit(0).out);
                }
                assertEquals(Player.address(relay.port()), ann.ask("document.querySelector('#address').value"));
            }
        }

        @Test
        void theAccessibilityCheckerFindsNothingSerious() throws IOException {
            Path axe = Program.ROOT.resolve("build/axe/axe.min.js");
            require(axe.toString(), "npm");
            String check = """
                Promise.all(document.getAnimations().map(({ finished }) => finished)).then(() => axe.run()).then(({ violations }) =>
                  violations.filter(({ impact }) => /serious|critical/.test(impact))
                    .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html)}`).join())""";
            try (var relay = withPages(0); var ann = Player.of(relay, "Ann")) {
                ann.ask(Files.readString(axe) + "; null");
                assertEquals("", ann.ask(check));
                ann.page.press("KeyT");
                assertEquals("", ann.until("!document.querySelector('#timing').hidden").ask(check), "timing");
                DIALOGS.forEach((dialog, key) -> {
                    ann.page.press(key).until(open(dialog));
                    assertEquals("", ann.ask(check), dialog);
                    ann.page.press("Escape").until(closed(dialog));
                });
            }
        }
    }

    /** Players who are connected to each other directly, in a LAN of their own. */
    @Nested
    @SuppressWarnings("try")   // that somebody is there is enough
    class Direct {
        /** Keeps all connections, channels and sockets that a page makes, and when, in ms of the page's life, what happened for the first time. */
        static final String NOTES = """
            globalThis.connections = [];
            globalThis.channels = [];
            globalThis.sockets = [];
            globalThis.times = {};
            {
              const note = what => times[what] ??= performance.now();
              const listen = channel => {
                channels.push(channel);
                channel.addEventListener('open', () => note('opened'));
                channel.addEventListener('message', () => note('heard'));
              };
              globalThis.Worker = class extends Worker {   // which has the page's WebSocket
                constructor(...args) {
                  super(...args);
                  sockets.push({ close: () => this.postMessage(['close']) });
                  this.addEventListener('message', ({ data: [word] }) => word === 'messages' && note('joined'));
                }
              };
              globalThis.RTCPeerConnection = class extends RTCPeerConnection {
                constructor(...args) {
                  super(...args);
                  connections.push(this);
                  this.addEventListener('track', () => note('track'));
                }
                createDataChannel(...args) {
                  const channel = super.createDataChannel(...args);
                  listen(channel);
                  return channel;
                }
              };
            }
            globalThis.open = () => connections.filter(({ connectionState }) => connectionState !== 'closed').length;
            """;

        /** Looks in each frame how many are there, and whether somebody is twice. The connections are kept. */
        private static final String COUNT = """
            globalThis.connected = () => connections.filter(({ connectionState }) => connectionState === 'connected');
            globalThis.before = connected();
            globalThis.least = Infinity;
            globalThis.most = 0;
            globalThis.twice = [];
            requestAnimationFrame(function count() {
              const names = game.inspect().ships.filter(ship => !ship.bot).map(ship => ship.name);
              least = Math.min(least, names.length);
              most = Math.max(most, names.length);
              if (new Set(names).size < names.length) twice.push(names.join());
              requestAnimationFrame(count);
            });
            null""";

        private static final String COUNTED = "`${least} to ${most}, ${twice.length} twice, "
                + "${connected().every(each => before.includes(each)) ? 'the same' : 'other'} ${connected().length}`";

        /** It is drawn rarely, since there are many on one page. */
        private static final String RARELY = "globalThis.requestAnimationFrame = callback => setTimeout(() => callback(performance.now()), 200)";

        private static Network lan;
        private static Program relay;
        private static int rooms;
        private final String room = "/spacewar/?game=" + ++rooms;

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

        /** Somebody in this test's room, whose page is small, since there may be many. */
        private Player player(String name, Consumer<Chromium.Page> before) throws IOException {
            return player(relay, name, before);
        }

        private Player player(String name) throws IOException {
            return player(name, page -> page.first(NOTES));
        }

        private Player player(Program relay, String name, Consumer<Chromium.Page> before) throws IOException {
            return Player.of(lan.chromium(), "http://10.77.0.1:" + relay.url().getPort() + room, name,
                    before.andThen(page -> page.screen(320, 240, 1, false))).until("game.inspect().link === 'relay'");
        }

        /** How each of them reaches all others. */
        private static void areConnected(String path, Player... players) {
            for (Player player : players)
                player.until("(peers => peers.length === %d && peers.every(({ path }) => path === '%s'))(game.inspect().peers)"
                        .formatted(players.length - 1, path));
        }

        /** What one does, the other sees. */
        private static void playOn(Player pilot, Player witness) {
            String name = (String) pilot.ask("game.me.name");
            double x = 500 + ThreadLocalRandom.current().nextInt(300), y = pilot.number("game.me.y") > 0 ? -600 : 600;   // far from where it was
            pilot.place(x, y, 0);
            witness.until("Math.hypot(seen(%s).x - %s, seen(%1$s).y - %s) < 50".formatted(Json.write(name), x, y));
        }

        /** The first message over a channel came within a second of the join. */
        private static void expectInTime(Player player, String name) {
            double first = player.number("times.heard - times.joined");
            System.out.printf("  %s: in the room %.0f ms after the start, a channel open %.0f ms later, the first message through it after %.0f ms%n", name,
                    player.number("times.joined"), player.number("times.opened - times.joined"), first);
            assertTrue(first < GamePage.AT_ONCE.toMillis(), "it took " + first + " ms");
        }

        @Test
        void twoAreConnectedAtOnceAndEachIsWhereItsPilotSeesIt() throws IOException {
            try (var ann = player("Ann"); var bob = player("Bob")) {
                areConnected("webrtc", ann, bob);
                bob.until("times.heard > 0");
                expectInTime(bob, "second of two");
                assertEquals(List.of(1.0, 1.0), List.of(ann.ask("open()"), bob.ask("open()")));
                Positions.areTogether(ann, bob, 0);
                Positions.coast(2_000, 2, ann, bob);
                ann.place(-300, -500, 0);
                bob.place(300, 500, 0);
                shoot(ann, bob, 800);
                allSee("Ann", "ship.score === 1", ann, bob);
            }
        }

        @Test
        @DisplayName("14: a silent STUN server and a silent TURN server delay nothing")
        void silentServersDelayNothing(@TempDir Path folder) throws IOException {
            Path game = copy(folder, """
                    { "iceServers": [{ "urls": "stun:10.77.0.9:3478" },
                      { "urls": ["turn:10.77.0.9:3478", "turn:10.77.0.9:3478?transport=tcp"], "username": "ann", "credential": "secret" }] }""");
            try (var relay = lan.relay("--dir", game.toString(), "0"); var ann = player(relay, "Ann", page -> page.first(NOTES));
                    var bob = player(relay, "Bob", page -> page.first(NOTES))) {
                areConnected("webrtc", ann, bob);
                bob.until("times.heard > 0");
                expectInTime(bob, "with silent servers");
                assertEquals(3.0, bob.ask("connections.at(-1).getConfiguration().iceServers.flatMap(({ urls }) => urls).length"));
            }
        }

        /** The folder of the game, with an ice.json. */
        private static Path copy(Path folder, String ice) throws IOException {
            Path game = Files.createDirectory(folder.resolve("spacewar"));
            try (var files = Files.walk(Program.ROOT.resolve("spacewar"), 1)) {
                for (Path file : files.filter(Files::isRegularFile).toList()) Files.copy(file, game.resolve(file.getFileName()));
            }
            Files.writeString(game.resolve("ice.json"), ice);
            return game;
        }

        @Test
        void aBrowserWithoutWebRtcAndOneWithoutCandidatesPlayOverTheRelay() throws IOException {
            String none = "delete globalThis.RTCPeerConnection", noCandidates = """
                    globalThis.RTCPeerConnection = class extends RTCPeerConnection {
                      constructor(settings) {
                        super({ ...settings, iceTransportPolicy: 'relay' });
                      }
                    };""";
            try (var ann = player("Ann"); var bob = player("Bob", page -> page.first(none));
                    var cyd = player("Cyd", page -> page.first(noCandidates)); var dan = player("Dan")) {
                for (Player player : List.of(ann, dan)) player.until("game.inspect().peers.map(({ path }) => path).sort().join() === 'relay,relay,webrtc'");
                for (Player player : List.of(bob, cyd)) player.until("game.inspect().peers.map(({ path }) => path).join() === 'relay,relay,relay'");
                playOn(ann, bob);
                playOn(bob, cyd);
                playOn(cyd, dan);
                playOn(dan, bob);
            }
        }

        @Test
        void whereNoUdpPassesTheyPlayOverTheRelay() throws IOException {
            lan.cutUdp();
            try (var ann = player("Ann"); var bob = player("Bob")) {
                areConnected("relay", ann, bob);
                for (int second = 0; second < 3; second++) {
                    playOn(ann, bob);
                    playOn(bob, ann);
                }
                areConnected("relay", ann, bob);
                for (Player player : List.of(ann, bob)) assertEquals(1.0, player.ask("open()"));
            } finally {
                lan.mendUdp();
            }
        }

        private static final String ICE = "/ice-ufrag:(\\S+)/.exec(connections.at(-1).localDescription.sdp)[1]";   // another after a restart

        @Test
        void ifTheirConnectionBreaksTheRelayTakesOverUntilItWorksAgain() throws IOException {
            try (var ann = player("Ann"); var bob = player("Bob")) {
                areConnected("webrtc", ann, bob);
                playOn(ann, bob);
                lan.cutUdp();
                long cut = System.nanoTime();
                areConnected("relay", ann, bob);
                System.out.printf("  cut: over the relay after %d ms%n", (System.nanoTime() - cut) / 1_000_000);
                playOn(ann, bob);
                playOn(bob, ann);
                lan.mendUdp();
                long mended = System.nanoTime();
                areConnected("webrtc", ann, bob);
                System.out.printf("  mended: direct after %d ms%n", (System.nanoTime() - mended) / 1_000_000);
                playOn(ann, bob);
            } finally {
                lan.mendUdp();
            }
        }

        @Test
        void iceRestartsOnceAndWhatStaysBrokenIsLeftToTheRelay() throws IOException {
            Consumer<Chromium.Page> hasty = page -> page.first(NOTES)   // ten seconds are one
                    .first("{ const { setInterval } = globalThis; globalThis.setInterval = (action, ms) => setInterval(action, ms / 10); }");
            try (var ann = player("Ann", hasty); var bob = player("Bob", hasty)) {
                areConnected("webrtc", ann, bob);
                Object first = ann.ask(ICE);
                lan.cutUdp();
                areConnected("relay", ann, bob);
                ann.until(ICE + " !== " + Json.write(first));
                lan.mendUdp();
                areConnected("webrtc", ann, bob);
                Object second = ann.ask(ICE);
                lan.cutUdp();
                areConnected("relay", ann, bob);
                for (Player player : List.of(ann, bob)) player.until("open() === 0");
                assertEquals(second, ann.ask(ICE));
                lan.mendUdp();
                for (int times = 0; times < 3; times++) playOn(ann, bob);
                areConnected("relay", ann, bob);
                bob.reload();   // the next join
                areConnected("webrtc", ann, bob);
            } finally {
                lan.mendUdp();
            }
        }

        /** Eleven of them in frames of the page of the first, which is cheaper than as many pages. */
        @Test
        void twelveAreAllConnectedToEachOtherAndWhoLeavesIsForgotten() throws IOException {
            try (var ann = player("Ann", page -> page.first(NOTES).first(RARELY))) {
                double began = ann.number("""
                        (() => {
                          for (let i = 1; i < 12; i++) document.body.append(Object.assign(document.createElement('iframe'), { src: location.href }));
                          globalThis.all = () => [self, ...Array.from(document.querySelectorAll('iframe'), ({ contentWindow }) => contentWindow)];
                          return performance.now();
                        })()""");
                String connected = "all().every(({ game, open }) => game && open() === %1$d"
                        + " && game.inspect().peers.filter(({ path }) => path === 'webrtc').length === %1$d)";
                ann.page.until(connected.formatted(11), Duration.ofSeconds(30));
                System.out.printf("  twelve: all 66 pairs are connected after %.0f ms%n", ann.number("performance.now()") - began);
                ann.until("all().every(({ game }) => game.inspect().ships.length === 12)");
                ann.ask("for (const frame of [...document.querySelectorAll('iframe')].slice(2)) frame.remove()");
                ann.until(connected.formatted(2)).until("all().every(({ game }) => game.inspect().ships.length === 3)");
            }
        }

        @Test
        void whoReloadsIsThereOnceAndConnectedAgain() throws IOException {
            try (var ann = player("Ann"); var bob = player("Bob"); var cyd = player("Cyd")) {
                areConnected("webrtc", ann, bob, cyd);
                ann.ask(COUNT);
                for (int i = 0; i < 3; i++) {
                    bob.reload();
                    meet(ann, bob, cyd);
                    areConnected("webrtc", ann, bob, cyd);
                    ann.until("open() === 2");
                    playOn(bob, ann);
                }
                assertEquals("2 to 3, 0 twice", String.valueOf(ann.ask(COUNTED)).replaceFirst(", the.*|, other.*", ""));
            }
        }

        @Test
        void whoseTabCrashesIsGoneSoon() throws IOException {
            try (var ann = player("Ann"); var bob = player("Bob"); var cyd = player("Cyd")) {
                areConnected("webrtc", ann, bob, cyd);
                ann.ask(COUNT);
                cyd.page.crash();
                meet(ann, bob);
                areConnected("webrtc", ann, bob);
                for (Player player : List.of(ann, bob)) player.until("open() === 1");
                try (var again = player("Cyd")) {
                    meet(ann, bob, again);
                    areConnected("webrtc", ann, bob, again);
                }
                assertEquals("2 to 3, 0 twice", String.valueOf(ann.ask(COUNTED)).replaceFirst(", the.*|, other.*", ""));
            }
        }

        /** What comes over a channel can do no more than what comes from the relay. */
        @Test
        void whatAHostilePeerSaysOverAChannelChangesNothing() throws IOException {
            var data = List.of("", " ", " 1", " 2 x", " -1", " 1e999", " [1,0,0,900", " [null]", " [1,\"Ann\",5,99999]", " [1,0,0,0,0,0,0,0,0,0,1]",
                    " " + "[".repeat(5_000), " \u0000\ud83d\ude80", " 99999999999999999999 x", " webrtc 1", " relay 1");
            var words = Stream.of("report", "fire", "death", "pilot", "ping", "pong", "score", "self", "join", "quit", "status", "recv", "path", "rename",
                    "offer", "answer", "candidate", "reunite", "constructor", "__proto__", "", " ", " now", " pulse", " path")
                    .flatMap(word -> data.stream().map(word::concat)).toList();
            try (var ann = player("Ann"); var bob = player("Bob")) {
                areConnected("webrtc", ann, bob);
                ann.orbit(300, 0).ask(COUNT);
                allSee("Ann", "Math.abs(Math.hypot(ship.x, ship.y) - 300) < 2", bob);
                for (String more : List.of("for (let i = 0; i < 5_000; i++) channels[i % 2].send('report [1,0,0,900,900,0,0,0,0,0]');"
                                + "for (let i = 0; i < 10; i++) for (const channel of channels) channel.send('report ' + '9'.repeat(200_000));",
                        "connections.at(-1).createDataChannel('another'); connections.at(-2).createDataChannel('another', { negotiated: true, id: 7 });")) {
                    try (var eve = player("Eve")) {
                        meet(ann, bob, eve);
                        areConnected("webrtc", ann, bob, eve);
                        eve.ask("""
                                {
                                  const open = channels.filter(({ readyState }) => readyState === 'open');
                                  for (const channel of open) {
                                    for (const word of %s) {
                                      for (const message of [word, new TextEncoder().encode(word)]) try { channel.send(message); } catch {}
                                    }
                                  }
                                  try { %s } catch {}
                                }
                                null""".formatted(Json.write(words), more));
                        ann.fliesOn().waitAMoment();
                    }
                    meet(ann, bob);
                    areConnected("webrtc", ann, bob);
                    playOn(bob, ann);
                    for (Player player : List.of(ann, bob)) player.until("open() === 1");
                }
                allSee("Ann", "Math.abs(Math.hypot(ship.x, ship.y) - 300) < 2 && ship.state === 'flying' && ship.score === 0 && ship.id === 1", ann, bob);
                allSee("Bob", "ship.state === 'flying' && ship.score === 0 && ship.id === 2", ann, bob);
                assertEquals("3", ann.ask("`${most}`"));
            }
        }

        @Test
        void whenTheRelayIsKilledTheyPlayOnAndWhenItIsBackTheyAreWhoTheyWere() throws IOException {
            Consumer<Chromium.Page> notes = page -> page.first(NOTES);
            try (var first = lan.relay("0"); var ann = player(first, "Ann", notes); var bob = player(first, "Bob", notes);
                    var cyd = player(first, "Cyd", notes);
                    var dan = player(first, "Dan", notes.andThen(page -> page.first("delete globalThis.RTCPeerConnection")))) {
                var direct = List.of(ann, bob, cyd);
                String paths = "game.inspect().peers.map(({ path }) => path).sort().join() === 'relay,webrtc,webrtc'";
                meet(ann, bob, cyd, dan);
                for (Player player : direct) player.until(paths);
                ann.ask("game.me.score = 5; null");
                dan.ask("game.me.score = 7; null");
                allSee("Ann", "ship.score === 5", ann, bob, cyd, dan);
                allSee("Dan", "ship.score === 7", ann, bob, cyd, dan);
                for (Player player : direct) player.ask(COUNT);

                first.close();
                for (Player player : direct) player.until("game.inspect().link === 'offline'");
                meet(ann, bob, cyd);
                areConnected("webrtc", ann, bob, cyd);
                playOn(ann, bob);
                playOn(bob, cyd);
                playOn(cyd, ann);

                try (var next = lan.relay(first.url().getPort() + "")) {
                    meet(ann, bob, cyd, dan);
                    for (Player player : direct) player.until("game.inspect().link === 'relay'").until(paths);
                    String ships = Stream.of(ann, bob, cyd, dan).map(player -> player.ask("`${game.inspect().self} ${game.me.name} ${game.me.score}`"))
                            .map(String::valueOf).sorted().collect(Collectors.joining(","));
                    for (Player player : List.of(ann, bob, cyd, dan)) player.until(
                            "game.inspect().ships.map(({ id, name, score }) => `${id} ${name} ${score}`).sort().join() === " + Json.write(ships));
                    playOn(ann, bob);
                    playOn(dan, cyd);
                    for (Player player : direct) assertEquals("3 to 4, 0 twice, the same 2", player.ask(COUNTED));
                    try (var eve = player(next, "Eve", notes)) {
                        meet(ann, bob, cyd, dan, eve);
                        eve.until("game.inspect().peers.map(({ path }) => path).sort().join() === 'relay,webrtc,webrtc,webrtc'");
                        playOn(eve, bob);
                    }
                    meet(ann, bob, cyd, dan);
                }
            }
        }

        @Test
        void whoseWebSocketAloneBreaksIsThereAllTheTime() throws IOException {
            try (var ann = player("Ann"); var bob = player("Bob"); var cyd = player("Cyd")) {
                meet(ann, bob, cyd);
                areConnected("webrtc", ann, bob, cyd);
                for (Player player : List.of(ann, cyd)) player.ask(COUNT);
                bob.ask("sockets.at(-1).close(); null");
                bob.until("game.inspect().self > 3");
                for (Player player : List.of(ann, cyd)) player.until("seen('Bob').id > 3 && game.inspect().peers.some(({ id }) => id === seen('Bob').id)");
                areConnected("webrtc", ann, bob, cyd);
                playOn(bob, ann);
                playOn(cyd, bob);
                for (Player player : List.of(ann, cyd)) assertEquals("3 to 3, 0 twice, the same 2", player.ask(COUNTED));
            }
        }
    }

    /** Players at home, behind routers, who learn from the relay where they come from. */
    @Nested
    @SuppressWarnings("try")   // that somebody is there is enough
    class DirectFromHome {
        /** The candidates of a browser with the servers of the relay: their kinds and addresses. */
        static final String CANDIDATES = """
                fetch('/spacewar/ice.json').then(answer => answer.json()).then(servers => new Promise(done => {
                  const connection = new RTCPeerConnection(servers);
                  const found = [];
                  connection.onicecandidate = ({ candidate }) => {
                    if (candidate) found.push(`${candidate.type} ${candidate.address}`);
                    else done(found);
                  };
                  connection.createDataChannel('');
                  connection.setLocalDescription();
                }))""";

        private static List<Network> networks = List.of();

        @BeforeAll
        static void begin() throws IOException {
            networks = Network.homes(2);
        }

        @AfterAll
        static void end() throws IOException {
            if (!networks.isEmpty()) networks.getFirst().close();
        }

        /** Somebody in the first or second home. */
        private static Player player(Program relay, int home, String name) throws IOException {
            return Player.of(networks.get(home).chromium(), "http://203.0.113.1:" + relay.url().getPort() + "/spacewar/?game=1", name,
                    page -> page.first(Direct.NOTES).screen(320, 240, 1, false)).until("game.inspect().link === 'relay'");
        }

        /** There is no way but over the relay, and for that nobody waits. */
        private static void expectRelayOnly(Player ann, Player bob) {
            meet(ann, bob);
            for (Player player : List.of(ann, bob)) player.until("connections.some(({ iceGatheringState }) => iceGatheringState === 'complete')");
            for (int times = 0; times < 5; times++) {
                Direct.playOn(ann, bob);
                Direct.playOn(bob, ann);
            }
            Direct.areConnected("relay", ann, bob);
        }

        @Test
        void theyAreConnectedThroughTheirRoutersByTheStunOfTheRelay() throws IOException {
            try (var relay = networks.getFirst().relay("0"); var ann = player(relay, 1, "Ann"); var bob = player(relay, 2, "Bob")) {
                Direct.areConnected("webrtc", ann, bob);
                bob.until("times.heard > 0");
                Direct.expectInTime(bob, "from home");
                Direct.playOn(ann, bob);
                Direct.playOn(bob, ann);
                assertTrue(((List<?>) ann.ask(CANDIDATES)).contains("srflx 203.0.113.2"));
                assertTrue(((List<?>) bob.ask(CANDIDATES)).contains("srflx 203.0.113.3"));
            }
        }

        @Test
        void withoutStunTheyPlayOverTheRelay() throws IOException {
            try (var relay = networks.getFirst().relay("--no-stun", "0"); var ann = player(relay, 1, "Ann"); var bob = player(relay, 2, "Bob")) {
                expectRelayOnly(ann, bob);
                assertFalse(String.valueOf(ann.ask(CANDIDATES)).contains("srflx"));
            }
        }

        @Test
        void behindRoutersWithAnotherPortForEachPeerTheyPlayOverTheRelay() throws IOException {
            var routers = networks.subList(3, 5);
            for (Network router : routers) router.run("nft 'flush chain inet router out; add rule inet router out oifname internet masquerade fully-random'");
            try (var relay = networks.getFirst().relay("0"); var ann = player(relay, 1, "Ann"); var bob = player(relay, 2, "Bob")) {
                expectRelayOnly(ann, bob);
            } finally {
                for (Network router : routers) router.run("nft 'flush chain inet router out; add rule inet router out oifname internet masquerade'");
            }
        }
    }

    /** Players far from each other: 100 ms and back, give or take 20, and of a hundred packets two are lost each way. */
    @Nested
    @Measures
    class DirectFromAfar {
        @Test
        void aShipIsWhereItsPilotSeesItDirectlyNoLessThanOverTheRelay() throws Exception {
            var networks = Network.far(2, 50, 10, 0.02);
            try (var here = networks.getFirst(); var relay = here.relay("0"); var ann = player(here, relay, "Ann", Direct.NOTES);
                    var bob = player(networks.get(1), relay, "Bob", Direct.NOTES);
                    var cyd = player(networks.get(1), relay, "Cyd", "delete globalThis.RTCPeerConnection")) {
                meet(ann, bob, cyd);
                ann.until("game.inspect().peers.map(({ path }) => path).sort().join() === 'relay,webrtc'");
                for (Player player : List.of(bob, cyd)) player.until("(({ rtt }) => rtt > 80 && rtt < 130)(game.inspect().peers.find(({ id }) => id === 1))");
                ann.place(-600, -300, 0);
                bob.place(600, 300, 0);
                cyd.place(600, -300, 0);
                Positions.allSeeAtRest("Ann", "ship.x < -550", ann, bob, cyd);
                var annSees = ann.record(4_000);
                var bobSees = bob.record(4_000);
                var cydSees = cyd.record(4_000);
                Positions.manoeuvre(annSees, ann);
                for (var witness : Map.of("directly", bobSees, "over the relay", cydSees).entrySet()) {
                    double off = Positions.worst("Ann", annSees.join(), witness.getValue().join());
                    double jump = Positions.jump(witness.getValue().join().get("Ann"));
                    System.out.printf("  100 ms away, 2 %% lost, %s: off by %.2f px, jumps of %.2f px%n", witness.getKey(), off, jump);
                    assertTrue(off < 30, "off by " + off);
                }
            }
        }

        private static Player player(Network network, Program relay, String name, String script) throws IOException {
            return Player.of(network.chromium(), "http://10.78.0.1:" + relay.url().getPort() + GAME, name,
                    page -> page.first(script).screen(320, 240, 1, false));
        }
    }

    /** The networks that the tests make for themselves are what they are said to be. */
    @Nested
    @SuppressWarnings("try")   // that it is there is enough
    class Networks {
        /** Whether a channel opens between two ends in one page. */
        private static final String CHANNEL = """
                new Promise(async done => {
                  const [one, two] = [1, 2].map(() => new RTCPeerConnection());
                  one.onicecandidate = ({ candidate }) => two.addIceCandidate(candidate);
                  two.onicecandidate = ({ candidate }) => one.addIceCandidate(candidate);
                  two.ondatachannel = () => done(true);
                  one.onicegatheringstatechange = () => one.iceGatheringState === 'complete' && setTimeout(done, 1_000, false);
                  one.createDataChannel('');
                  await one.setLocalDescription();
                  await two.setRemoteDescription(one.localDescription);
                  await two.setLocalDescription();
                  await one.setRemoteDescription(two.localDescription);
                })""";

        @Test
        void channelsOpenInALan() throws IOException {
            try (var lan = Network.lan(); var relay = lan.relay("0"); var page = lan.chromium().open("http://10.77.0.1:" + relay.url().getPort() + "/health")) {
                assertEquals(true, page.until("document.body !== null").evaluate(CHANNEL));
                lan.cutUdp();
                assertEquals(false, page.evaluate(CHANNEL));
                lan.mendUdp();
                assertEquals(true, page.evaluate(CHANNEL));
            }
        }

        @Test
        @ExtendWith(InChromium.class)
        void noneOpensInTheChromiumOfTheOtherTests() throws IOException {
            try (var relay = withPages(0); var page = InChromium.open(relay, "/health")) {
                assertEquals(false, page.until("document.body !== null").evaluate(CHANNEL));
                assertEquals(List.of(), page.evaluate(DirectFromHome.CANDIDATES));
            }
        }

        @Test
        void farIsFar() throws IOException {
            require("ping", "iputils-ping");
            try (var here = Network.far(2, 50, 10, 0.02).getFirst()) {
                String found = here.run("ping -q -c 200 -i 0.01 10.78.0.2 || true");
                var times = Pattern.compile("(\\d+) received.*= ([\\d.]+)/([\\d.]+)/([\\d.]+)", Pattern.DOTALL).matcher(found);
                assertTrue(times.find(), found);
                int received = Integer.parseInt(times.group(1));
                double least = Double.parseDouble(times.group(2)), mean = Double.parseDouble(times.group(3));
                assertTrue(received > 170 && received < 200 && least > 80 && least < 90 && Math.abs(mean - 100) < 5, found);
            }
        }

        @Test
        void whoIsAtHomeReachesTheInternetAndIsReachedByNobody() throws IOException {
            require("ping", "iputils-ping");
            var networks = Network.homes(2);
            try (var internet = networks.getFirst()) {
                for (int home : new int[] {1, 2}) networks.get(home).run("ping -q -c 1 203.0.113.1");
                String found = internet.run("ping -q -c 20 -i 0.01 -W 0.2 203.0.113.2 || true", "ping -q -c 1 -W 0.2 192.168.1.2 2>&1 || true");
                assertTrue(found.matches("(?s).*100% packet loss.*unreachable.*"), found);
            }
        }
    }

    // --- the benchmark -----------------------------------------------------------------------

    /** Rooms of some size, so many in each who send, to all or each to its neighbour; at a rate, or 0: as fast as it goes. */
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
        private static final int EARLY = 100_000;                      // ns; so long before a message is due we are awake

        private final Scenario scenario;
        private final String paths = ROOM + "?" + UUID.randomUUID() + "-";   // of the rooms: nobody has been there before
        private final List<Client> clients = new ArrayList<>();        // by id, so that neighbours are in different rooms
        private final Selector selector = Selector.open();
        private final ByteBuffer in = ByteBuffer.allocateDirect(256 << 10), out = ByteBuffer.allocateDirect(16 << 10);
        private final ArrayDeque<Client> ready = new ArrayDeque<>();   // perhaps they may send
        private final Map<String, Integer> faults = new TreeMap<>();
        private final int[] latencies = new int[1_000_000];            // how many took so many µs, or more for the last
        private long delivered, worst;                                 // worst: the greatest latency in ns
        private long due;                                              // when the next message is, by System.nanoTime
        private int turn;                                              // whose it is
        private boolean soon;                                          // it is due so soon that we must not sleep

        Crowd(Scenario scenario) throws IOException {
            this.scenario = scenario;
            var rooms = new Client[scenario.rooms][scenario.size];
            for (int id = 1; id <= scenario.size; id++)
                for (int room = 0; room < scenario.rooms; room++) clients.add(rooms[room][id - 1] = new Client(rooms[room], room, id));
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
            run(Duration.ofSeconds(10), () -> clients.stream().allMatch(Client::isDone), () -> {});   // or it would lie unread till the next time
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
            return faults.isEmpty() ? "ok" : faults.entrySet().stream().map(fault -> fault.getValue() + " " + fault.getKey())
                    .collect(Collectors.joining(", "));
        }

        private void fault(String what, int times) {
            if (times != 0) faults.merge(what, times, Integer::sum);
        }

        /** The µs in which that share of what was counted arrived. */
        int latency(double share) {
            int us = 0;
            for (long rest = (long) (share * delivered) - latencies[0]; rest >= 0 && us < latencies.length - 1; rest -= latencies[us]) us++;
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
                default -> fail("expected a text or a ping, got a frame 0x" + Integer.toHexString(in.get(start) & 0xff));
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
                words = ByteBuffer.wrap(bytes(text));
                frame = text(to + text + "0".repeat(DIGITS));
                dueAt = new long[scenario.perSecond > 0 ? 256 : 4];
                missing = new int[dueAt.length];
                heard = Stream.generate(History::new).limit(room.length).toArray(History[]::new);
            }

            private void open(int port) throws IOException {
                channel = SocketChannel.open(new InetSocketAddress(InetAddress.getLoopbackAddress(), port));
                channel.setOption(StandardSocketOptions.TCP_NODELAY, true);
                channel.write(ByteBuffer.wrap(bytes(Raw.upgrade(path))));
                in.clear();
                String answer = "";
                for (; !answer.contains("\r\n\r\n"); answer = StandardCharsets.ISO_8859_1.decode(in.duplicate().flip()).toString())
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

            /** Puts its next message into the buffer: the frame of the last one with another number, under the same mask. */
            private void next(long due) {
                dueAt[sent % dueAt.length] = due;
                missing[sent % missing.length] = target == 0 ? room.length - 1 : 1;
                for (int at = frame.length - 1, rest = sent++; at >= frame.length - DIGITS; at--, rest /= 10)
                    frame[at] = (byte) ('0' + rest % 10 ^ frame[4 + at % 4]);   // the header has 8 bytes, the last 4 are the mask
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
                if (!text.equals(ByteBuffer.wrap(bytes(expected)))) fault("not told '" + expected + "'", 1);
                known++;
            }

            /** @return the number, or -1 if this client has said no such thing */
            private int recognize(ByteBuffer text) {
                int end = text.limit(), number = 0;
                if (text.remaining() != words.remaining() + DIGITS || !text.limit(end - DIGITS).equals(words)) return -1;
                for (text.limit(end).position(end - DIGITS); text.hasRemaining(); ) number = 10 * number + text.get() - '0';
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
                out.put(frame(true, 10, new byte[0]));
                flush(this);
            }
        }
    }

    /** The benchmark finds what it looks for: client 1 of two sends four messages, and 2 hears something else. */
    @Nested
    class BenchmarkCheck {
        @ParameterizedTest(name = "{0}: {1}")
        @CsvSource({"0 1 2 3, ok", "0 2 3, 1 lost", "1 2 3, 1 lost", "0 1 2, 1 lost", "0 1 1 2 3, 1 duplicated", "0 1 2 3 0, 1 duplicated",
                "0 2 1 3, 1 reordered", "3 0 1 2, 3 reordered", "1 0 0, '1 duplicated, 2 lost, 1 reordered'", "0 1 2 3 4, 1 altered"})
        void eachMessageMustComeOnceAndInOrder(String numbers, String found) throws IOException {
            assertEquals(found, check(List.of("2 self", "1 join"), numbers, text -> text));
        }

        @ParameterizedTest(name = "''{0}'' -> ''{1}''")
        @CsvSource({"1 from, 2 from", "1 from, 3 from", "1 from, from", "from 1, from 2", "-0, -1", "xx, xy", "x0, 0"})
        void eachMessageMustBeItsSendersOwn(String words, String others) throws IOException {
            assertEquals("4 altered, 4 lost", check(List.of("2 self", "1 join"), "0 1 2 3", text -> text.replaceFirst(words, others)));
        }

        @Test
        void eachClientMustBeToldItsIdAndWhoIsThere() throws IOException {
            assertEquals("1 not told '2 self'", check(List.of("1 self", "1 join"), "0 1 2 3", text -> text));
            assertEquals("1 not told '1 join'", check(List.of("2 self", "1 quit"), "0 1 2 3", text -> text));
            assertEquals("4 lost, 1 not told of all", check(List.of(), "", text -> "2 self"));
        }

        @Test
        void nothingIsUnderWayBetweenTwoMeasurements() throws IOException {
            try (var relay = relay(); var crowd = new Crowd(new Scenario("", 1, 2, 2)).open(relay.port())) {
                crowd.send(Duration.ofMillis(50));
                assertTrue(crowd.clients.stream().allMatch(Crowd.Client::isDone));
            }
        }

        private static String check(List<String> greeting, String numbers, UnaryOperator<String> change) throws IOException {
            try (var crowd = new Crowd(new Scenario("", 1, 2, 0))) {
                var sender = crowd.clients.getFirst();
                var receiver = crowd.clients.getLast();
                for (String text : List.of("1 self", "2 join")) sender.hear(ByteBuffer.wrap(bytes(text)), 0);
                for (String text : greeting) receiver.hear(ByteBuffer.wrap(bytes(text)), 0);
                for (int i = 0; i < 4; i++) sender.next(0);
                String words = StandardCharsets.US_ASCII.decode(sender.words.duplicate()).toString();
                for (String number : numbers.split(" "))
                    receiver.hear(ByteBuffer.wrap(bytes(change.apply("1 " + words + "0000000" + number))), 0);
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
        private final String me = ProcessHandle.current().pid() + "", processors = taskset("-p", me).replaceFirst("(?s).*: ", "").strip();
        private final List<String> server = new ArrayList<>(List.of(Program.JAVA, "-cp", Program.CLASSES, "Relay",
                "0", "--host", "127.0.0.1", "--quiet", "--no-stun"));
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
                var process = new ProcessBuilder(Stream.concat(Stream.of("taskset", "-c"), Stream.of(args)).toList()).start();
                return new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            } catch (IOException none) {
                return "";
            }
        }

        @Test
        @Timeout(300)
        void ofRoomsOfAllSizes() throws IOException {
            System.out.printf("%nRelay on %s, processors: %d, %s %s, JDK %s of %s%n%s%n%n", proc("cpuinfo", "model name|Model").orElse("an unknown CPU"),
                    count, System.getProperty("os.name"), System.getProperty("os.version"), Runtime.version(), System.getProperty("java.vendor"),
                    String.join(" ", server));
            System.out.printf("%-33s  deliveries/s  CPU us each  per CPU s  p50 us  p99 us  server  generator  check%n", "scenario");
            try (var relay = start()) {
                for (Scenario scenario : SCENARIOS) measure(relay, scenario);
            }
            measureIdle();
            System.out.printf("%nServer and generator: %% of a processor; below 100 for both, they waited for one another or for other programs. They share%n"
                    + "the machine; no network, no TLS. Saturated: 4 messages of 400 bytes under way from each sender, whose queue is the latency;%n"
                    + "at a rate, latency counts from when a message was due. Resident memory: with garbage of joining.%n%n");
            assertEquals(List.of(), faults);
        }

        private Program start() throws IOException {
            return new Program(Program.ROOT, Map.of(), server);
        }

        private void measure(Program relay, Scenario scenario) throws IOException {
            try (var crowd = new Crowd(scenario).open(relay.url().getPort())) {
                crowd.send(WARM_UP);
                var before = Usage.of(relay);
                crowd.send(MEASURED);
                var used = Usage.of(relay).since(before);
                crowd.settle();
                boolean generatorIsSlower = used.generator > 0.9 * used.time && used.server < 0.9 * used.time;
                System.out.printf("%-33s  %12.0f  %11.2f  %9.0f  %6d  %6d  %5.0f%%  %8.0f%%  %s%s%n", scenario.name,
                        crowd.delivered / used.time, 1e6 * used.server / crowd.delivered, crowd.delivered / used.server,
                        crowd.latency(0.5), crowd.latency(0.99), 100 * used.server / used.time, 100 * used.generator / used.time,
                        judge(scenario, crowd), generatorIsSlower ? "; the generator was the limit" : "");
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
                            : "%d bytes resident per client".formatted((resident(relay).getAsLong() - before.getAsLong()) / crowd.clients.size());
                    System.out.printf("%-33s  %-72s  %s%n", IDLE.name, bytes, judge(IDLE, crowd));
                }
            }
        }

        private String judge(Scenario scenario, Crowd crowd) {
            String found = crowd.check();
            if (!found.equals("ok")) faults.add(scenario.name + ": " + found);
            return found;
        }

        private static OptionalLong resident(Program program) {
            return proc(program.process.pid() + "/status", "VmRSS").stream().mapToLong(size -> 1024 * Long.parseLong(size.replace(" kB", ""))).findFirst();
        }

        /** What a file in /proc says of something, if there are such files. */
        private static Optional<String> proc(String file, String name) {
            try (var lines = Files.lines(Path.of("/proc", file))) {
                return lines.filter(line -> line.matches("(" + name + ")\\s*:.*")).findFirst().map(line -> line.replaceFirst(".*?:\\s*", ""));
            } catch (IOException none) {
                return Optional.empty();
            }
        }

        /** Seconds: up to now, of CPU in the server's process, of CPU on this thread. */
        private record Usage(double time, double server, double generator) {
            static Usage of(Program relay) {
                return new Usage(System.nanoTime() / 1e9, relay.process.info().totalCpuDuration().map(cpu -> cpu.toNanos() / 1e9).orElse(Double.NaN),
                        ManagementFactory.getThreadMXBean().getCurrentThreadCpuTime() / 1e9);
            }

            Usage since(Usage earlier) {
                return new Usage(time - earlier.time, server - earlier.server, generator - earlier.generator);
            }
        }
    }

    /** Does anything grow in a storm that does not end? `./build.sh bench Soak` prints what the relay holds, once a minute. */
    @Nested
    @Tag("bench")
    class Soak {
        private static final double STRENGTH = 0.3;   // so that the machine has a processor left for others
        private static final int MINUTES = Integer.parseInt(System.getenv().getOrDefault("MINUTES", "20"));

        @Test
        @Timeout(value = 1, unit = TimeUnit.DAYS)
        void whatTheRelayHoldsStaysWhereItIsForAsLongAsTheStormLasts() throws Exception {
            var resident = new ArrayList<Long>();
            try (var relay = HostileLoad.smallRelay("--quiet"); var games = new Crowd(HostileLoad.GAMES).open(relay.url().getPort())) {
                int port = relay.url().getPort();
                System.out.printf("%n%-12s  resident kB  descriptors  threads  worst ms  newcomers, their longest wait in ms, turned away%n", "minute");
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
                long early = resident.get(resident.size() / 2), late = Collections.max(resident.subList(resident.size() / 2, resident.size()));
                assertTrue(late < early + (8 << 10), () -> "from " + early + " kB it grew to " + late);
                assertTrue(after.resident() < late, "memory does not come back");
            }
        }

        private static void print(String when, HostileLoad.Holding now, Crowd games, String newcomers) {
            System.out.printf("%-12s  %11d  %11d  %7d  %8d  %s%n", when, now.resident(), now.descriptors(), now.threads(), games.worst(), newcomers);
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
                        "http://10.77.0.1:" + relay.url().getPort() + GAME, name, page -> page.first(script).screen(320, 240, 1, false)));
                try {
                    Direct.areConnected(path, players.toArray(Player[]::new));
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
                    Positions.manoeuvre(players.getFirst().record(MS), players.toArray(Player[]::new));
                    var counters = Pattern.compile("packets (\\d+) bytes (\\d+)").matcher(lan.run("nft list table inet count"));
                    for (String what : List.of("sends and gets directly", "sends to the relay", "gets from the relay")) {
                        assertTrue(counters.find());
                        System.out.printf("A fight of four, %s: each %s %.1f packets and %.0f bytes a second%n", how, what,
                                Integer.parseInt(counters.group(1)) * 1_000.0 / MS / 4, Integer.parseInt(counters.group(2)) * 1_000.0 / MS / 4);
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

        /** 16 ships that turn and burn without end, none judged, and as many missiles in flight as asked for, at any time. */
        private static final String FIGHT = """
                import('/spacewar/spacewar.js').then(async ({ game }) => {
                  const { Ship } = await import('/spacewar/world.js');
                  const { orbit } = await import('/spacewar/physics.js');
                  const { world, me } = game;
                  game.settings.practice = 0;
                  me.remote = true;
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
            try (var relay = withPages(0); var page = InChromium.open(relay, "/spacewar/")) {
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
                double allocated = size((Map<?, ?>) ((Map<?, ?>) page.call("HeapProfiler.stopSampling", Map.of()).get("profile")).get("head"));
                System.out.printf("%nSpacewar, 16 ships, 60 missiles and their trails, 1920x1080, headless Chromium without a GPU, mean of %d frames:%n", FRAMES);
                for (String part : List.of("ScriptDuration", "TaskDuration"))
                    System.out.printf("  %-40s %6.2f ms a frame%n", part.equals("ScriptDuration") ? "script" : "all of the page's main thread",
                            1000 * (after.get(part) - before.get(part)) / FRAMES);
                System.out.printf("  %-40s %6.2f ms, 99th percentile %.2f%n", "from frame to frame", Arrays.stream(intervals).average().orElseThrow(),
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
                      const next = now => times.push(now) > %d ? done(times.slice(1).map((time, i) => time - times[i])) : requestAnimationFrame(next);
                      requestAnimationFrame(next);
                    })""".formatted(count))).stream().mapToDouble(ms -> (Double) ms).toArray();
        }

        private static Map<String, Double> metrics(Chromium.Page page) {
            return ((List<?>) page.call("Performance.getMetrics", Map.of()).get("metrics")).stream().map(metric -> (Map<?, ?>) metric)
                    .collect(Collectors.toMap(metric -> (String) metric.get("name"), metric -> (Double) metric.get("value")));
        }

        private static double size(Map<?, ?> node) {
            return (Double) node.get("selfSize") + ((List<?>) node.get("children")).stream().mapToDouble(child -> size((Map<?, ?>) child)).sum();
        }
    }
}
