// SPDX-License-Identifier: MIT
/*
 * Random streams of frames, and what spoils a stream. All follows from the number that a Random was made of.
 */

import java.io.*;
import java.util.*;
import org.junit.jupiter.api.function.ThrowingConsumer;

abstract class RandomFrames extends Streams {
    /** Some messages in random fragments with control frames in between, and the frames that must come of them. */
    record Script(byte[] stream, List<Seen> frames) {
        static Script random(Random random, String textPrefix) {
            var stream = new ByteArrayOutputStream();
            var frames = new ArrayList<Seen>();
            for (int messages = random.nextInt(5); messages >= 0; messages--) {
                int opcode = 1 + random.nextInt(2);
                byte[] payload = opcode == 2 ? randomBytes(random, length(random))
                        : concat(bytes(textPrefix), randomText(random, length(random)));
                int fragments = 1 + random.nextInt(4), start = 0;
                for (int number = 1; number <= fragments; number++) {
                    boolean isLast = number == fragments;
                    int end = isLast ? payload.length : start + random.nextInt(payload.length - start + 1);
                    int first = (isLast ? 0x80 : 0) | (number == 1 ? opcode : 0);
                    stream.writeBytes(masked(first, Arrays.copyOfRange(payload, start, end), random.nextInt()));
                    start = end;
                    if (isLast) frames.add(new Seen(opcode, payload));
                    if (random.nextInt(4) > 0) continue;
                    Seen control = control(random);
                    stream.writeBytes(masked(0x80 | control.opcode(), control.payload().array(), random.nextInt()));
                    frames.add(control);
                }
            }
            return new Script(stream.toByteArray(), frames);
        }

        /** One of 60 is near one of the lengths at which something changes. */
        private static int length(Random random) {
            int[] edges = {120, 2000, 65530};
            return random.nextInt(60) > 0 ? random.nextInt(40) : edges[random.nextInt(3)] + random.nextInt(12);
        }

        /** A ping, a pong, or in one of 20 cases a close. */
        private static Seen control(Random random) {
            if (random.nextInt(20) == 0) return new Seen(8, hex("0bb8627965"));
            return new Seen(9 + random.nextInt(2), randomBytes(random, random.nextInt(126)));
        }
    }

    static byte[] randomBytes(Random random, int length) {
        var bytes = new byte[length];
        random.nextBytes(bytes);
        return bytes;
    }

    static byte[] randomText(Random random, int length) {
        int[] ends = {0x80, 0x800, 0xd800, 0x110000};   // of characters of one byte, up to two, three, four
        var text = new StringBuilder();
        while (text.length() < length) {
            int c = random.nextInt(ends[random.nextInt(4)]);
            if (c < 0xd800 || c > 0xdfff) text.appendCodePoint(c);
        }
        return bytes(text.toString());
    }

    /** Flips bits, doubles, removes, inserts and cuts. */
    static byte[] spoil(byte[] stream, Random random) {
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

    /** Tries it with each of these seeds; a failure tells which. */
    static void trySeeds(int from, int to, ThrowingConsumer<Random> trial) {
        for (int seed = from; seed < to; seed++)
            try {
                trial.accept(new Random(seed));
            } catch (Throwable e) {
                throw new AssertionError("seed " + seed + ": " + e, e);
            }
    }
}
