// SPDX-License-Identifier: MIT
/*
 * Tests of what runs the tests, RunTests.java, on samples that pass, fail and are skipped.
 */

import static org.junit.jupiter.api.Assertions.*;

import java.io.*;
import java.net.*;
import java.nio.file.*;
import java.util.*;
import java.util.concurrent.*;
import org.junit.jupiter.api.*;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.*;

@Timeout(60)
class RunnerTest extends Fixtures {
    /** What `build.sh test` runs tells all that happened, and nothing else. */
    @Nested
    @Waits
    class Runner {
        private static final String SAMPLE = """
            import java.util.concurrent.*;
            import org.junit.jupiter.api.*;

            class SampleTest {
                @java.lang.annotation.Retention(java.lang.annotation.RetentionPolicy.RUNTIME)
                @RepeatedTest(2)
                @interface Twice {}

                @Nested
                class Good {
                    @Test
                    void holds() {}

                    @Twice
                    void holdsAgain() {}
                }

                static final CountDownLatch BEGUN = new CountDownLatch(2), ENDED = new CountDownLatch(2);

                static void meet() throws InterruptedException {
                    BEGUN.countDown();
                    Assertions.assertTrue(BEGUN.await(5, TimeUnit.SECONDS), "nobody comes");
                    Thread.sleep(100);
                    ENDED.countDown();
                }

                @Nested
                class Meets {
                    @Test
                    @Tag("alone")
                    void afterAllElse() { Assertions.assertEquals(0, ENDED.getCount()); }

                    @Test
                    void another() throws Exception { meet(); }
                }

                @Nested
                class Bad {
                    @Test
                    void breaks() { Assertions.fail("broken"); }

                    @Test
                    void lacks() { Assumptions.abort("x is missing: apt install libx"); }
                }

                @Nested
                @TestInstance(TestInstance.Lifecycle.PER_CLASS)
                class NoneOfIt {
                    @BeforeAll
                    void begin() { Assumptions.abort("y is missing: apt install y"); }

                    @Test
                    void one() {}

                    @Test
                    void two() {}
                }

                @Nested
                @TestInstance(TestInstance.Lifecycle.PER_CLASS)
                class BadEnd {
                    @Test
                    void one() {}

                    @AfterAll
                    void end() { throw new IllegalStateException("left over"); }
                }

                @Nested
                @Tag("bench")
                class Figures {
                    @Test
                    void measure() {}
                }
            }

            class OtherTest {
                @Nested
                class IsMet {
                    @Test
                    void meets() throws Exception { SampleTest.meet(); }
                }
            }
            """;

        @TempDir
        static Path classes;

        @BeforeAll
        static void compile() throws IOException {
            Path source = Files.writeString(classes.resolve("SampleTest.java"), SAMPLE);
            assertEquals(0, java.util.spi.ToolProvider.findFirst("javac").orElseThrow().run(System.out, System.err,
                    "-d", classes.toString(), "-cp", System.getProperty("java.class.path"), source.toString()));
        }

        /** What it prints, and as the last line with which code it exits. */
        private static List<String> run(String args) throws Exception {
            var printed = new ByteArrayOutputStream();
            try (var samples = new URLClassLoader(new URL[] {classes.toUri().toURL()},
                    Thread.currentThread().getContextClassLoader())) {
                var run = new FutureTask<Integer>(() ->
                        RunTests.run(classes, List.of(args.split(" ")), new PrintStream(printed, true)));
                var thread = new Thread(run);   // one of JUnit's would run other tests here while it waits for these
                thread.setContextClassLoader(samples);
                thread.start();
                thread.join();
                return (printed + "\nexit " + run.get()).lines().filter(line -> !line.isEmpty()).toList();
            } catch (ExecutionException failure) {
                throw failure.getCause() instanceof Exception cause ? cause : failure;
            }
        }

        @Test
        void itTellsOfEachGroupOfFailuresAtOnceAndAgainOfWhatWasSkippedAndHowManyTestsThereWere() throws Exception {
            var lines = run("test");
            for (String line : List.of("passed   Good +3 tests +[0-9.]+ s", "FAILED   Bad > breaks: broken",
                    "FAILED   Bad +2 tests +[0-9.]+ s  1 failed  1 skipped",
                    "skipped  NoneOfIt +2 tests +[0-9.]+ s  2 skipped", "FAILED   BadEnd: left over",
                    "FAILED   BadEnd +2 tests +[0-9.]+ s  1 failed", "FAILED   Bad > breaks",
                    "\\s+at SampleTest\\$Bad.breaks\\(SampleTest.java:[0-9]+\\)",
                    "passed   IsMet +1 test +[0-9.]+ s", "passed   Meets +2 tests +[0-9.]+ s"))
                assertEquals(1, lines.stream().filter(each -> each.matches(line)).count(),
                        () -> line + " in\n" + String.join("\n", lines));
            assertEquals(List.of("skipped: 1 without libx, 2 without y (sudo apt install libx y)",
                    "tests: 7 passed, 2 failed, 3 skipped", "exit 1"), lines.subList(lines.size() - 3, lines.size()));
            assertTrue(lines.indexOf("FAILED   Bad > breaks") > lines.indexOf("FAILED   Bad > breaks: broken"));
        }

        @ParameterizedTest
        @CsvSource({"test Good, 3, 0", "test Good.holds, 1, 0", "test Good BadEnd.one Bad.lacks, 4, 1",
                "test OtherTest Meets, 3, 0", "bench, 1, 0", "bench Figures, 1, 0"})
        void groupsAndSingleTestsAreRunByTheirNames(String args, int passed, int code) throws Exception {
            var lines = run(args);
            assertTrue(lines.get(lines.size() - 2).startsWith("tests: " + passed + " passed, "), lines::toString);
            assertEquals("exit " + code, lines.getLast());
        }

        @ParameterizedTest
        @CsvSource({"test Wrong, there is no group 'Wrong', Bad BadEnd Good IsMet Meets NoneOfIt",
                "bench Good, there is no group 'Good', Figures",
                "test Good.wrong, there is no test 'wrong' in Good, holds holdsAgain"})
        void aNameThatThereIsNotIsAnsweredWithThoseThatThereAre(String args, String complaint, String names) {
            assertEquals((complaint + "; there are: " + names).replace(" ", ""),
                    assertThrows(RunTests.NoSuchTest.class, () -> run(args)).getMessage().replaceAll("\\s", ""));
        }
    }
}
