// SPDX-License-Identifier: MIT
/*
 * Runs the tests, or the benchmark, and tells live how far they are: `./build.sh test` and `./build.sh bench` start it.
 *
 * A group is a class within one of the test classes, such as Rooms. There is a line for each group when it ends, one for
 * each failure when it happens, the failures again in full at the end, then what was skipped and why, and as the last line
 * `tests: N passed, N failed, N skipped`, which .ci/run reads as well.
 */

import static org.junit.platform.engine.discovery.DiscoverySelectors.*;

import java.io.*;
import java.lang.reflect.Method;
import java.nio.file.Path;
import java.util.*;
import java.util.regex.Pattern;
import java.util.stream.*;
import org.junit.platform.engine.*;
import org.junit.platform.engine.support.descriptor.*;
import org.junit.platform.launcher.*;
import org.junit.platform.launcher.core.*;

final class RunTests implements TestExecutionListener {
    private static final String PARALLEL = "junit.jupiter.execution.parallel.";   // for tests that mostly wait
    private static final Pattern PACKAGE = Pattern.compile("apt install (?:-t \\S+ )?(\\S+)");
    private static final Pattern FOREIGN = Pattern.compile(
            "\\s+at (org\\.junit|org\\.opentest4j|java\\.base/(java\\.lang\\.reflect|jdk\\.internal|java\\.util\\.(stream|concurrent)"
            + "|java\\.util\\.(ArrayList|Iterator|Optional|Spliterator)))\\b.*");

    private enum Outcome { PASSED, FAILED, SKIPPED }

    /** A group: when it began, and how many of its tests ended how. Guarded by the listener. */
    private static final class Group {
        final long began = System.nanoTime();
        final EnumMap<Outcome, Integer> counts = new EnumMap<>(Outcome.class);

        int count(Outcome outcome) {
            return counts.getOrDefault(outcome, 0);
        }
    }

    private final PrintStream out;
    private final Map<String, Group> groups = new HashMap<>();            // those that have begun, by their id
    private final Set<String> ended = new HashSet<>();                    // ids of the tests that have been counted
    private final Group all = new Group();
    private final List<String> failures = new ArrayList<>();              // in full
    private final Map<String, Integer> wanted = new TreeMap<>();          // package -> tests that were skipped without it
    private final Map<String, Integer> otherReasons = new TreeMap<>();    // reason -> tests that were skipped
    private TestPlan plan;

    private RunTests(PrintStream out) {
        this.out = out;
    }

    /** @param args `test` or `bench`, and names of groups or tests: all if there are none. Exits with 0, 1 or 2. */
    public static void main(String[] args) {
        boolean bench = args[0].equals("bench");
        var tags = bench ? TagFilter.includeTags("bench") : TagFilter.excludeTags("bench");
        var launcher = LauncherFactory.create();
        var everything = launcher.discover(request(tags, selectClasspathRoots(Set.of(root()))));
        var selectors = new ArrayList<DiscoverySelector>();
        for (String name : List.of(args).subList(1, args.length)) selectors.addAll(select(name, everything));
        var listener = new RunTests(System.out);
        if (selectors.isEmpty()) launcher.execute(everything, listener);
        else launcher.execute(request(tags, selectors), listener);
        System.exit(listener.report());
    }

    /** The folder of the compiled tests, which is this class's. */
    private static Path root() {
        try {
            return Path.of(RunTests.class.getProtectionDomain().getCodeSource().getLocation().toURI());
        } catch (java.net.URISyntaxException e) {
            throw new IllegalStateException(e);
        }
    }

    private static LauncherDiscoveryRequest request(Filter<?> filter, List<? extends DiscoverySelector> selectors) {
        return LauncherDiscoveryRequestBuilder.request().selectors(selectors).filters(filter)
                .configurationParameter(PARALLEL + "enabled", "true")
                .configurationParameter(PARALLEL + "config.strategy", "fixed")
                .configurationParameter(PARALLEL + "config.fixed.parallelism", "4")
                .configurationParameter(PARALLEL + "config.fixed.max-pool-size", "4")   // also if some wait for futures
                .build();
    }

    // --- which tests ------------------------------------------------------------------------------

    /** What `Group`, `Group.method` or the name of a test class means. Exits with 2 if there is none of that name. */
    private static List<DiscoverySelector> select(String name, TestPlan everything) {
        String group = name.replaceFirst("[.#].*", ""), method = name.substring(Math.min(name.length(), group.length() + 1));
        var classes = classes(everything).toList();
        var found = classes.stream().filter(each -> each.getSimpleName().equals(group)).findFirst();
        if (found.isEmpty()) {
            refuse("there is no group '" + group + "'", classes.stream().filter(Class::isMemberClass).map(Class::getSimpleName));
        } else if (method.isEmpty()) {
            return List.of(selectClass(found.get()));
        }
        var tests = Stream.of(found.orElseThrow().getDeclaredMethods()).filter(RunTests::isTest).toList();
        List<DiscoverySelector> selectors = tests.stream().filter(each -> each.getName().equals(method))
                .<DiscoverySelector>map(each -> selectMethod(found.get(), each)).toList();
        if (selectors.isEmpty()) refuse("there is no test '" + method + "' in " + group, tests.stream().map(Method::getName));
        return selectors;
    }

    private static boolean isTest(Method method) {
        return Stream.of(method.getAnnotations()).anyMatch(each -> each.annotationType().getSimpleName().matches("\\w*Test(Factory)?"));
    }

    /** The test classes and the groups within them. */
    private static Stream<Class<?>> classes(TestPlan plan) {
        return plan.getRoots().stream().flatMap(engine -> plan.getDescendants(engine).stream())
                .flatMap(each -> each.getSource().stream()).filter(ClassSource.class::isInstance)
                .map(source -> ((ClassSource) source).getJavaClass());
    }

    private static void refuse(String complaint, Stream<String> names) {
        System.err.println(complaint + "; there are:\n" + names.sorted().collect(Collectors.joining("\n    ", "    ", "")));
        System.exit(2);
    }

    // --- what is told while they run ---------------------------------------------------------------

    @Override
    public void testPlanExecutionStarted(TestPlan plan) {
        this.plan = plan;
    }

    @Override
    public synchronized void executionStarted(TestIdentifier id) {
        if (isGroup(id)) groups.put(id.getUniqueId(), new Group());
    }

    /** Also told of a class whose tests have not begun at all, because it needs what is not here. */
    @Override
    public synchronized void executionSkipped(TestIdentifier id, String reason) {
        int tests = countThoseLeft(id, Outcome.SKIPPED);
        note(reason, tests);
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
        if (isGroup(id)) end(id, groups.get(id.getUniqueId()));
    }

    /** Below the engine and a test class; or such a class itself, if only it was asked for. */
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
        var group = path(id).stream().filter(this::isGroup).map(each -> groups.get(each.getUniqueId())).filter(Objects::nonNull).findFirst();
        int tests = 0;
        for (var each : Stream.concat(Stream.of(id), plan.getDescendants(id).stream()).filter(this::isLeaf).toList())
            if (ended.add(each.getUniqueId())) tests++;
        if (outcome == Outcome.FAILED) tests = Math.max(tests, 1);   // all have passed, but what comes after them has not
        for (var counter : Stream.concat(Stream.of(all), group.stream()).toList()) counter.counts.merge(outcome, tests, Integer::sum);
        return tests;
    }

    private boolean isLeaf(TestIdentifier id) {
        return plan.getChildren(id).isEmpty();
    }

    private void note(String reason, int tests) {
        if (tests == 0) return;
        var wants = PACKAGE.matcher(reason);
        if (wants.find()) wanted.merge(wants.group(1), tests, Integer::sum);
        else otherReasons.merge(reason.replaceFirst("^Assumption failed: ", "").lines().findFirst().orElse("no reason"), tests, Integer::sum);
    }

    private void fail(TestIdentifier id, Throwable throwable) {
        String name = path(id).stream().skip(2).map(TestIdentifier::getDisplayName).map(each -> each.replaceFirst("\\(\\)$", ""))
                .collect(Collectors.joining(" > "));
        out.println("FAILED   " + (name.isEmpty() ? id.getDisplayName() : name) + ": " + String.valueOf(throwable.getMessage()).lines().findFirst().orElse(""));
        var trace = new StringWriter();
        throwable.printStackTrace(new PrintWriter(trace));
        failures.add(name + "\n" + trace.toString().lines().filter(line -> !FOREIGN.matcher(line).matches())
                .map(line -> "    " + line).collect(Collectors.joining("\n")));
    }

    private void end(TestIdentifier id, Group group) {
        int failed = group.count(Outcome.FAILED), skipped = group.count(Outcome.SKIPPED), passed = group.count(Outcome.PASSED);
        String state = failed > 0 ? "FAILED" : passed > 0 ? "passed" : "skipped";
        out.println("%-8s %-26s %4d tests %7.1f s%s%s".formatted(state, id.getDisplayName(), failed + skipped + passed,
                (System.nanoTime() - group.began) / 1e9, failed > 0 ? "  " + failed + " failed" : "",
                skipped > 0 ? "  " + skipped + " skipped" : ""));
    }

    // --- what is told at the end ---------------------------------------------------------------------

    /** @return the exit code */
    private synchronized int report() {
        for (String failure : failures) out.println("\nFAILED   " + failure);
        if (!failures.isEmpty()) out.println();
        var reasons = new ArrayList<String>();
        wanted.forEach((name, tests) -> reasons.add(tests + " without " + name));
        if (!reasons.isEmpty()) reasons.add(reasons.removeLast() + " (sudo apt install " + String.join(" ", wanted.keySet()) + ")");
        otherReasons.forEach((reason, tests) -> reasons.add(tests + ": " + reason));
        if (!reasons.isEmpty()) out.println("skipped: " + String.join(", ", reasons));
        out.println("tests: %d passed, %d failed, %d skipped".formatted(all.count(Outcome.PASSED), all.count(Outcome.FAILED),
                all.count(Outcome.SKIPPED)));
        return all.count(Outcome.FAILED) > 0 ? 1 : 0;
    }
}
