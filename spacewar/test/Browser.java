// SPDX-License-Identifier: MIT
import java.io.*;
import java.nio.file.*;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Consumer;
import java.util.regex.*;
import java.util.stream.*;

/** A browser that tests drive. */
interface Browser extends AutoCloseable {
    /** Opens an empty page in a window of its own. It shares nothing with other pages. */
    Page blank() throws IOException;

    default Page open(String address) throws IOException {
        return blank().go(address);
    }

    @Override
    void close() throws IOException;

    /** A page that WebDriver steers, in either of its protocols. */
    abstract class WebDriverPage extends Page {
        /** Performs actions of input sources. */
        abstract void perform(Object actions);

        @Override
        Page hold(String... codes) {
            perform(keys("keyDown", codes));
            return this;
        }

        @Override
        Page release(String... codes) {
            perform(keys("keyUp", codes));
            return this;
        }
    }

    /** A page. Methods that return it wait for nothing but what they say. */
    abstract class Page implements AutoCloseable {
        /** The console's errors and warnings, and uncaught exceptions, as far as the driver tells of them. */
        final Queue<String> complaints = new ConcurrentLinkedQueue<>();

        abstract Page go(String address);

        /** Runs a script in each document from now on, before the document's own. */
        abstract Page first(String script);

        /** Returns the value of an expression of JavaScript; if that is a promise, what it is fulfilled with. */
        abstract Object evaluate(String expression);

        /** Presses keys and leaves them down. A key is named by its code. */
        abstract Page hold(String... codes);

        abstract Page release(String... codes);

        Page press(String... codes) {
            for (String code : codes) hold(code).release(code);
            return this;
        }

        /** Returns what the page looks like, as PNG. */
        abstract byte[] screenshot();

        @Override
        public abstract void close();

        /** Waits until an expression is true, perhaps of a document still to be loaded. */
        Page until(String expression) {
            return until(expression, Duration.ofSeconds(30));
        }

        Page until(String expression, Duration atMost) {
            long began = System.nanoTime();
            try {
                RelayTest.eventually(() -> {
                    try {
                        Duration left = atMost.minusNanos(System.nanoTime() - began);
                        if (becomesTrue(expression, Math.clamp(left.toMillis(), 0, 1_000))) return true;
                    } catch (IllegalStateException stillLoading) {
                        // so it is not true
                    }
                    // asking again and again would cost a processor, which the pages need
                    LockSupport.parkNanos(Math.clamp((System.nanoTime() - began) / 20, 25_000_000, 100_000_000));
                    return false;
                }, expression, atMost);
            } catch (AssertionError e) {
                throw new AssertionError(e.getMessage() + " on\n"
                        + evaluate("location + '\\n' + document.body.innerText") + "\n" + complaints, e);
            }
            return this;
        }

        /**
         * Returns whether an expression is true now or within so many ms. The page itself looks, since each call
         * through a driver costs time in several processes.
         */
        private boolean becomesTrue(String expression, long atMost) {
            return Boolean.TRUE.equals(evaluate("""
                    (condition => new Promise((done, failed) => {
                      // The browser's own are wanted, which tests in the page may replace later, or have replaced.
                      const { setTimeout, performance } = globalThis;
                      const { addEventListener } = EventTarget.prototype;
                      // After that, nothing runs in the page any more.
                      addEventListener.call(globalThis, 'pagehide', () => done(false), { once: true });
                      const end = performance.now() + %d;
                      (async function look() {
                        try {
                          const value = await condition();
                          if (value === true || performance.now() >= end) done(value === true);
                          else setTimeout(look, 40);
                        } catch (error) {
                          failed(error);
                        }
                      })();
                    }))(async () => (%s))""".formatted(atMost, expression)));
        }

        /** Waits until all of this can be read on it. */
        Page shows(String... texts) {
            for (String text : texts) until("document.body.innerText.includes(" + Json.write(text) + ")");
            return this;
        }
    }

    /**
     * Starts a program with a folder for its temporary files. It and all that it has started are killed when end() is
     * called, or the tests end, however they do: its standard input is closed then.
     *
     * @param before words of a command that runs another
     * @param listener is told each line that it prints
     */
    static RelayTest.Program start(List<String> before, Path folder, Map<String, String> environment,
            Consumer<String> listener, String... command) throws IOException {
        var words = Stream.of(before, List.of("setsid", "sh", "-c", """
                exec 3<&0
                { cat <&3 > /dev/null; kill -s KILL 0; } &
                exec "$@" < /dev/null 2>&1 3<&-
                """, "sh"), List.of(command)).flatMap(List::stream).toList();
        var variables = new HashMap<>(environment);
        variables.putAll(Map.of("HOME", folder + "", "TMPDIR", folder + ""));
        return new RelayTest.Program(folder, variables, words, listener);
    }

    /** Returns the first group of the first line that a program prints which matches, once that is there. */
    static String line(RelayTest.Program program, String regex) {
        var line = Pattern.compile(regex);
        RelayTest.eventually(() -> program.out.stream().anyMatch(line.asMatchPredicate()), regex,
                Duration.ofSeconds(30));
        return program.out.stream().map(line::matcher).filter(Matcher::matches).findFirst().orElseThrow().group(1);
    }

    /** Ends a program that start() has begun, and removes its folder. */
    static void end(RelayTest.Program program, Path folder) throws IOException {
        program.process.getOutputStream().close();
        program.process.onExit().join();
        try (var files = Files.walk(folder)) {
            for (Path file : files.sorted(Comparator.reverseOrder()).toList()) Files.deleteIfExists(file);
        }
    }

    /** Returns what WebDriver calls the actions of pressing or releasing keys. @param type keyDown or keyUp */
    static List<?> keys(String type, String... codes) {
        var named = Map.of("ArrowLeft", "\ue012", "ArrowUp", "\ue013", "ArrowRight", "\ue014", "ArrowDown", "\ue015",
                "Enter", "\ue006", "Escape", "\ue00c", "Space", " ");
        var actions = Stream.of(codes).map(code -> Map.of("type", type, "value",
                named.getOrDefault(code, code.replaceFirst("^Key", "").toLowerCase(Locale.ROOT)))).toList();
        return List.of(Map.of("type", "key", "id", "keyboard", "actions", actions));
    }
}
