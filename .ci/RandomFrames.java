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
                int opcode = 1 + random.nextInt(2), length = random.nextInt(40);
                if (random.nextInt(60) == 0) length = new int[] {120, 2000, 65530}[random.nextInt(3)]
                        + random.nextInt(12);
                byte[] payload = opcode == 2 ? randomBytes(random, length)
                        : concat(bytes(textPrefix), randomText(random, length));
                for (int fragments = random.nextInt(4), first = opcode, at = 0, end; fragments >= 0;
                        fragments--, first = 0, at = end) {
                    end = fragments == 0 ? payload.length : at + random.nextInt(payload.length - at + 1);
                    byte[] fragment = Arrays.copyOfRange(payload, at, end);
                    stream.writeBytes(masked(fragments == 0 ? 0x80 | first : first, fragment, random.nextInt()));
                    if (fragments == 0) frames.add(new Seen(opcode, payload));
                    if (random.nextInt(4) != 0) continue;
                    var control = random.nextInt(20) == 0 ? new Seen(8, hex("0bb8627965"))
                            : new Seen(9 + random.nextInt(2), randomBytes(random, random.nextInt(126)));
                    stream.writeBytes(masked(0x80 | control.opcode(), control.payload().array(), random.nextInt()));
                    frames.add(control);
                }
            }
            return new Script(stream.toByteArray(), frames);
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
