// SPDX-License-Identifier: MIT
/*
 * Runs the tests, or the benchmark, and tells live how far they are: `./build.sh test` and `./build.sh bench` start it.
 *
 * A group is a class within one of the test classes, such as Rooms. There is a line for each group when it ends, one
 * for each failure when it happens, the failures again in full at the end, then what was skipped and why, and as the
 * last line `tests: N passed, N failed, N skipped`.
 *
 * The test classes run side by side, each on a thread, and so do the groups and tests that say so (Fixtures.Waits):
 * most of them mostly wait. After all of these come those that measure: first what pages show (MeasuresPages), two at
 * a time, then the rest (Fixtures.Measures), one at a time.
 */

import static org.junit.platform.engine.discovery.DiscoverySelectors.*;

import java.io.*;
import java.lang.annotation.Annotation;
import java.lang.reflect.*;
import java.nio.file.Path;
import java.util.*;
import java.util.regex.Pattern;
import java.util.stream.*;
import org.junit.platform.engine.*;
import org.junit.platform.engine.support.descriptor.*;
import org.junit.platform.launcher.*;
import org.junit.platform.launcher.core.*;

final class RunTests implements TestExecutionListener {
    static final String IN_PAIRS = "pairs";   // the tag of what runs after most others, two tests at a time
    static final String ALONE = "alone";      // the tag of what runs after all else, one test at a time
    private static final String PARALLEL = "junit.jupiter.execution.parallel.";
    private static final int THREADS = Fixtures.isThere("chromium") ? 5 : 8;   // browsers keep two processors busy
    private static final Pattern PACKAGE = Pattern.compile("apt install (?:-t \\S+ )?(\\S+)");
    private static final Pattern FOREIGN = Pattern.compile(
            "\\s+at (org\\.(junit|opentest4j)|java\\.base/(java\\.lang\\.reflect|java\\.util|jdk\\.internal))\\b.*");

    /** There is no test or group of that name; the message lists those that there are. */
    static final class NoSuchTest extends Exception {
        private static final long serialVersionUID = 1;

        NoSuchTest(String complaint, Stream<String> names) {
            super(complaint + "; there are:\n" + names.sorted().collect(Collectors.joining("\n    ", "    ", "")));
        }
    }

    private enum Outcome { PASSED, FAILED, SKIPPED }

    /** A group: in how many plans it still is, how long it ran, how its tests ended. Guarded by the listener. */
    private static final class Group {
        final EnumMap<Outcome, Integer> counts = new EnumMap<>(Outcome.class);
        int plans;
        long began, took;   // in ns; took counts what has ended

        int count(Outcome outcome) {
            return counts.getOrDefault(outcome, 0);
        }
    }

    private final PrintStream out;
    private final Map<String, Group> groups = new HashMap<>();            // by their id
    private final Set<String> ended = new HashSet<>();                    // ids of the tests that have been counted
    private final Group all = new Group();
    private final List<String> failures = new ArrayList<>();              // in full
    private final Map<String, Integer> wanted = new TreeMap<>();          // package -> tests skipped without it
    private final Map<String, Integer> otherReasons = new TreeMap<>();    // reason -> tests that were skipped
    private TestPlan plan;

    private RunTests(PrintStream out) {
        this.out = out;
    }

    /** @param args `test` or `bench`, and names of groups or tests: all if there are none. Exits with 0, 1 or 2. */
    public static void main(String[] args) {
        try {
            System.exit(run(root(), List.of(args), System.out));
        } catch (NoSuchTest e) {
            System.err.println(e.getMessage());
            System.exit(2);
        }
    }

    /** @return 0 if none has failed, else 1 */
    static int run(Path root, List<String> args, PrintStream out) throws NoSuchTest {
        try (var session = LauncherFactory.openSession()) {   // what all plans share ends with it
            return run(root, args, out, session.getLauncher());
        }
    }

    private static int run(Path root, List<String> args, PrintStream out, Launcher launcher) throws NoSuchTest {
        boolean bench = args.getFirst().equals("bench");
        var tags = bench ? TagFilter.includeTags("bench") : TagFilter.excludeTags("bench");
        List<? extends DiscoverySelector> selectors = selectClasspathRoots(Set.of(root));
        if (args.size() > 1) {
            var everything = launcher.discover(request(selectors, tags).build());
            var named = new ArrayList<DiscoverySelector>();
            for (String name : args.subList(1, args.size())) named.addAll(select(name, everything));
            selectors = named;
        }
        var requests = bench ? List.of(request(selectors, tags)) : List.of(
                sideBySide(THREADS, request(selectors, tags, TagFilter.excludeTags(IN_PAIRS, ALONE))),
                sideBySide(2, request(selectors, tags, TagFilter.includeTags(IN_PAIRS))),
                request(selectors, tags, TagFilter.includeTags(ALONE)));
        var plans = requests.stream().map(request -> launcher.discover(request.build()))
                .filter(TestPlan::containsTests).toList();
        var listener = new RunTests(out);
        for (TestPlan plan : plans) listener.announce(plan);
        for (TestPlan plan : plans) launcher.execute(plan, listener);
        return listener.report();
    }

    /** The folder of the compiled tests, which is this class's. */
    private static Path root() {
        try {
            return Path.of(RunTests.class.getProtectionDomain().getCodeSource().getLocation().toURI());
        } catch (java.net.URISyntaxException e) {
            throw new IllegalStateException(e);
        }
    }

    /**
     * The test classes come in the order that @Order says. If they run side by side, one thread begins with the last,
     * the others begin with the first ones.
     */
    private static LauncherDiscoveryRequestBuilder request(List<? extends DiscoverySelector> selectors,
            Filter<?>... filters) {
        return LauncherDiscoveryRequestBuilder.request().selectors(selectors).filters(filters).configurationParameter(
                "junit.jupiter.testclass.order.default", "org.junit.jupiter.api.ClassOrderer$OrderAnnotation");
    }

    private static LauncherDiscoveryRequestBuilder sideBySide(int threads, LauncherDiscoveryRequestBuilder request) {
        return request.configurationParameter(PARALLEL + "enabled", "true")
                .configurationParameter(PARALLEL + "mode.classes.default", "concurrent")
                .configurationParameter(PARALLEL + "config.strategy", "fixed")
                .configurationParameter(PARALLEL + "config.fixed.parallelism", threads + "")
                // also if some wait for futures
                .configurationParameter(PARALLEL + "config.fixed.max-pool-size", threads + "");
    }

    // --- which tests ------------------------------------------------------------------------------

    /** What `Group`, `Group.method` or the name of a test class means. */
    private static List<? extends DiscoverySelector> select(String name, TestPlan everything) throws NoSuchTest {
        String[] words = name.split("\\.", 2);
        var classes = classes(everything).toList();
        var group = classes.stream().filter(each -> each.getSimpleName().equals(words[0])).findFirst()
                .orElseThrow(() -> new NoSuchTest("there is no group '" + words[0] + "'",
                        classes.stream().filter(Class::isMemberClass).map(Class::getSimpleName)));
        if (words.length == 1) return List.of(selectClass(group));
        var tests = Stream.of(group.getDeclaredMethods()).filter(RunTests::isTest).toList();
        var found = tests.stream().filter(each -> each.getName().equals(words[1])).toList();
        if (found.isEmpty())
            throw new NoSuchTest("there is no test '" + words[1] + "' in " + words[0],
                    tests.stream().map(Method::getName));
        return found.stream().map(each -> selectMethod(group, each)).toList();
    }

    /** Whether it has an annotation of JUnit's, such as ParameterizedTest, or one that has such an annotation. */
    private static boolean isTest(Method method) {
        return annotations(method).flatMap(type -> Stream.concat(Stream.of(type), annotations(type)))
                .anyMatch(type -> type.getSimpleName().matches("\\w*Test(Factory)?"));
    }

    private static Stream<Class<? extends Annotation>> annotations(AnnotatedElement element) {
        return Stream.of(element.getAnnotations()).map(Annotation::annotationType);
    }

    /** The test classes and the groups within them. */
    private static Stream<Class<?>> classes(TestPlan plan) {
        return plan.getRoots().stream().flatMap(engine -> plan.getDescendants(engine).stream())
                .flatMap(each -> each.getSource().stream()).filter(ClassSource.class::isInstance)
                .map(source -> ((ClassSource) source).getJavaClass());
    }

    // --- what is told while they run ---------------------------------------------------------------

    /** Counts the plans that a group is in, as its line comes at the end of the last of them. */
    private void announce(TestPlan next) {
        plan = next;
        for (TestIdentifier engine : plan.getRoots())
            for (TestIdentifier id : plan.getDescendants(engine))
                if (isGroup(id)) groups.computeIfAbsent(id.getUniqueId(), newId -> new Group()).plans++;
    }

    @Override
    public void testPlanExecutionStarted(TestPlan plan) {
        this.plan = plan;
    }

    @Override
    public synchronized void executionStarted(TestIdentifier id) {
        if (isGroup(id)) groups.get(id.getUniqueId()).began = System.nanoTime();
    }

    /** Also told of a class whose tests have not begun at all, because it needs what is not here. */
    @Override
    public synchronized void executionSkipped(TestIdentifier id, String reason) {
        int tests = countThoseLeft(id, Outcome.SKIPPED);
        note(reason, tests);
        if (isGroup(id)) end(id, groups.get(id.getUniqueId()));
    }

    @Override
    public synchronized void executionFinished(TestIdentifier id, TestExecutionResult result) {
        var outcome = switch (result.getStatus()) {
            case SUCCESSFUL -> Outcome.PASSED;
            case ABORTED -> Outcome.SKIPPED;
            case FAILED -> Outcome.FAILED;
        };
        if (id.isTest() || outcome != Outcome.PASSED) {
            int tests = countThoseLeft(id, outcome);
            String message = result.getThrowable().map(Throwable::getMessage).orElse("");
            if (outcome == Outcome.SKIPPED) note(message, tests);
            if (outcome == Outcome.FAILED) fail(id, result.getThrowable().orElseGet(AssertionError::new));
        }
        if (!isGroup(id)) return;
        Group group = groups.get(id.getUniqueId());
        group.took += System.nanoTime() - group.began;
        end(id, group);
    }

    /** Whether it is a class within a test class, of which the engine has some. */
    private boolean isGroup(TestIdentifier id) {
        return path(id).size() == 3;
    }

    /** From the engine down to this one. */
    private List<TestIdentifier> path(TestIdentifier id) {
        var path = new ArrayDeque<TestIdentifier>();
        for (var at = Optional.of(id); at.isPresent(); at = plan.getParent(at.get())) path.addFirst(at.get());
        return List.copyOf(path);
    }

    /** Counts this test, or those of a container that have not been: at least one. @return how many */
    private int countThoseLeft(TestIdentifier id, Outcome outcome) {
        int tests = 0;
        for (var each : Stream.concat(Stream.of(id), plan.getDescendants(id).stream()).filter(this::isLeaf).toList())
            if (ended.add(each.getUniqueId())) tests++;
        if (outcome == Outcome.FAILED && tests == 0) tests = 1;   // all have passed, but what comes after them has not
        all.counts.merge(outcome, tests, Integer::sum);
        for (var each : path(id))
            if (groups.get(each.getUniqueId()) instanceof Group group) group.counts.merge(outcome, tests, Integer::sum);
        return tests;
    }

    private boolean isLeaf(TestIdentifier id) {
        return plan.getChildren(id).isEmpty();
    }

    private void note(String reason, int tests) {
        if (tests == 0) return;
        var wants = PACKAGE.matcher(reason);
        String other = firstLine(reason).replaceFirst("^Assumption failed: ", "");
        if (wants.find()) wanted.merge(wants.group(1), tests, Integer::sum);
        else otherReasons.merge(other.isEmpty() ? "for no reason" : other, tests, Integer::sum);
    }

    private void fail(TestIdentifier id, Throwable throwable) {
        var path = path(id);
        String name = path.stream().skip(Math.min(2, path.size() - 1)).map(TestIdentifier::getDisplayName)
                .map(each -> each.replaceFirst("\\(\\)$", "")).collect(Collectors.joining(" > "));
        out.println("FAILED   " + name + ": " + firstLine(String.valueOf(throwable.getMessage())));
        var trace = new StringWriter();
        throwable.printStackTrace(new PrintWriter(trace));
        failures.add(name + "\n" + trace.toString().lines().filter(line -> !FOREIGN.matcher(line).matches())
                .map(line -> "    " + line).collect(Collectors.joining("\n")));
    }

    private static String firstLine(String text) {
        return text.lines().findFirst().orElse("");
    }

    private void end(TestIdentifier id, Group group) {
        if (--group.plans > 0) return;
        int passed = group.count(Outcome.PASSED), failed = group.count(Outcome.FAILED);
        int skipped = group.count(Outcome.SKIPPED), tests = passed + failed + skipped;
        String state = failed > 0 ? "FAILED" : passed > 0 ? "passed" : "skipped";
        out.println("%-8s %-26s %4d %-5s %7.1f s%s%s".formatted(state, id.getDisplayName(), tests,
                tests == 1 ? "test" : "tests",
                group.took / 1e9, failed > 0 ? "  " + failed + " failed" : "",
                skipped > 0 ? "  " + skipped + " skipped" : ""));
    }

    // --- what is told at the end ---------------------------------------------------------------------

    /** @return the exit code */
    private synchronized int report() {
        for (String failure : failures) out.println("\nFAILED   " + failure);
        if (!failures.isEmpty()) out.println();
        var reasons = new ArrayList<String>();
        wanted.forEach((name, tests) -> reasons.add(tests + " without " + name));
        String install = " (sudo apt install " + String.join(" ", wanted.keySet()) + ")";
        if (!reasons.isEmpty()) reasons.add(reasons.removeLast() + install);
        otherReasons.forEach((reason, tests) -> reasons.add(tests + ": " + reason));
        if (!reasons.isEmpty()) out.println("skipped: " + String.join(", ", reasons));
        out.println("tests: %d passed, %d failed, %d skipped".formatted(all.count(Outcome.PASSED),
                all.count(Outcome.FAILED), all.count(Outcome.SKIPPED)));
        return all.count(Outcome.FAILED) > 0 ? 1 : 0;
    }
}
