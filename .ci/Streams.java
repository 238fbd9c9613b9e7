// SPDX-License-Identifier: MIT
/*
 * Streams of frames, written in a line, and what a FrameReader makes of them.
 *
 * 81:Hello,_world! is a client's frame: first octet in hex, payload as text with _ for a space, as 0x00ff in hex, or as
 * fe*126, that pattern repeated to so many octets; + joins these. 81/64:2a*100 is a message in fragments of 64 octets.
 * What has no colon is raw bytes in hex.
 */

import static org.junit.jupiter.api.Assertions.*;

import java.io.*;
import java.nio.ByteBuffer;
import java.util.*;
import java.util.stream.*;

abstract class Streams extends Fixtures {
    static Stream<String> words(String line) {
        return Stream.of(line.strip().split(" +")).filter(word -> !word.isEmpty());
    }

    static byte[] payload(String words) {
        return concat(Stream.of(words.split("\\+")).map(word -> {
            if (word.startsWith("0x")) return hex(word.substring(2));
            if (!word.matches("[0-9a-f]+\\*\\d+")) return bytes(word.replace('_', ' '));
            byte[] pattern = hex(word.substring(0, word.indexOf('*')));
            var repeated = new byte[Integer.parseInt(word.substring(word.indexOf('*') + 1))];
            for (int at = 0; at < repeated.length; at += pattern.length)
                System.arraycopy(pattern, 0, repeated, at, Math.min(pattern.length, repeated.length - at));
            return repeated;
        }).toArray(byte[][]::new));
    }

    /** The bytes of a word. A message that divides evenly into its fragments ends with an empty one, as in Autobahn. */
    static byte[] frames(String word) {
        int colon = word.indexOf(':');
        if (colon < 0) return hex(word);
        int first = Integer.parseInt(word, 0, 2, 16);
        byte[] payload = payload(word.substring(colon + 1));
        int size = colon == 2 ? payload.length : Integer.parseInt(word, 3, colon, 10);
        if (payload.length <= size) return frame(false, first, payload);
        var all = new ByteArrayOutputStream();
        for (int at = 0; at <= payload.length; at += size)
            all.writeBytes(frame(at + size > payload.length, at == 0 ? first & 15 : 0,
                    Arrays.copyOfRange(payload, at, Math.min(at + size, payload.length))));
        return all.toByteArray();
    }

    static byte[] stream(String line) {
        return concat(words(line).map(Streams::frames).toArray(byte[][]::new));
    }

    /** A client's frame with this mask. */
    static byte[] masked(int first, byte[] payload, int mask) {
        byte[] frame = frame(false, first, payload);
        int start = frame.length - payload.length - 4, change = ByteBuffer.wrap(frame, start, 4).getInt() ^ mask;
        for (int i = start; i < frame.length; i++) frame[i] ^= (byte) (change >>> 24 - 8 * ((i - start) % 4));
        return frame;
    }

    /** A message or control frame that came out of a stream. */
    record Seen(int opcode, ByteBuffer payload) {
        Seen(int opcode, byte[] payload) { this(opcode, ByteBuffer.wrap(payload)); }

        static Seen of(Received frame) { return new Seen(frame.opcode(), frame.payload()); }

        static List<Seen> of(String line) {
            return words(line).map(word -> new Seen(Integer.parseInt(word, 1, 2, 16),
                    Streams.payload(word.substring(word.indexOf(':') + 1)))).toList();
        }

        @Override
        public String toString() {
            String hex = HexFormat.of().formatHex(payload.array());
            return opcode + ":" + (hex.length() > 100 ? hex.substring(0, 100) + "... " + hex.length() / 2 : hex);
        }
    }

    /** A stream of bytes that comes in random pieces of 1 to `most` bytes. */
    static InputStream pieces(byte[] bytes, int most) {
        var random = new Random(bytes.length * 31L + most);
        return new ByteArrayInputStream(bytes) {
            @Override
            public int read(byte[] into, int offset, int length) {
                return super.read(into, offset, Math.min(length, 1 + random.nextInt(most)));
            }
        };
    }

    /** Counts what a reader says it holds. */
    static final class Held extends Relay.Memory {
        long peak;

        Held() { super(1L << 40); }

        @Override
        void addToMessages(long bytes) {
            super.addToMessages(bytes);
            peak = Math.max(peak, inUse());
            assertTrue(inUse() >= 0, "gave back more than it had");
        }

        Relay.FrameReader reader(byte[] stream, int maxMessage) {
            return new Relay.FrameReader(new Relay.Input(pieces(stream, 9999)), maxMessage, this);
        }
    }

    /** What a FrameReader makes of a stream: frames, and then a close code, the client's or the relay's, or "end". */
    record Reading(List<Seen> frames, String end) {
        static Reading of(byte[] stream, int maxMessage, int most) throws IOException {
            var memory = new Held();
            var reader = new Relay.FrameReader(new Relay.Input(pieces(stream, most)), maxMessage, memory);
            var frames = new ArrayList<Seen>();
            String end;
            try {
                while (true) {
                    var frame = reader.next();
                    frames.add(new Seen(frame.opcode(), Arrays.copyOf(frame.bytes(), frame.length())));
                }
            } catch (Relay.CloseException e) {
                end = e.code + "";
            } catch (EOFException e) {
                end = "end";
            }
            reader.release();
            assertEquals(0, memory.inUse(), "bytes are still counted");
            return new Reading(frames, end);
        }

        /** The same in whatever pieces it comes: whole, byte by byte if it is short, and in random ones. */
        static Reading of(byte[] stream, int maxMessage) throws IOException {
            Reading whole = of(stream, maxMessage, Integer.MAX_VALUE);
            int[] sizes = stream.length < 2_000 ? new int[] {1, 7} : new int[] {300, 3_000};   // each read is a pause
            for (int most : sizes) assertEquals(whole, of(stream, maxMessage, most), "in pieces of up to " + most);
            return whole;
        }

        /** What a row of a table tells: frames, and how they end. The word `same` repeats the stream's own frames. */
        static Reading of(String stream, String outcome) {
            String all = outcome.equals("same") ? stream + " end" : outcome;
            int last = all.lastIndexOf(' ');
            return new Reading(Seen.of(all.substring(0, Math.max(0, last))), all.substring(last + 1));
        }

        /** The frames up to the first close frame, with which reading ends. */
        Reading untilClose() {
            var close = frames.stream().filter(frame -> frame.opcode == 8).findFirst().orElse(null);
            if (close == null) return this;
            int code = close.payload.limit() == 0 ? 1005 : close.payload.getChar(0);
            return new Reading(frames.subList(0, frames.indexOf(close)), code + "");
        }
    }

    static void assertReads(byte[] stream, List<Seen> frames, String end) throws IOException {
        assertEquals(new Reading(frames, end).untilClose(), Reading.of(stream, 1 << 20));
    }
}
