// SPDX-License-Identifier: MIT
import static org.junit.jupiter.api.Assertions.*;

import java.io.*;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import java.util.function.Consumer;
import java.util.stream.Stream;

/**
 * A headless Chromium, driven over its DevTools protocol. It ends with the tests, however they end. A page that is
 * closed leaves its window to the next, empty, as a new one costs more than the game.
 */
final class Chromium implements Browser {
    private final Path folder = Files.createTempDirectory("relay-chromium");
    private final Process process;
    // not answered yet, by id
    private final Map<Integer, CompletableFuture<Map<?, ?>>> calls = new ConcurrentHashMap<>();
    private final Map<Object, Page> pages = new ConcurrentHashMap<>();                            // by session
    private final Queue<Window> free = new ConcurrentLinkedQueue<>();   // windows without a page
    private int lastId;

    /** A window with a storage of its own, which it shares with no other. */
    private record Window(Object context, Object target, Map<String, ?> session) {}

    /**
     * One that sends nothing past the relay: connections of WebRTC never open, and no names are looked up, not even by
     * itself.
     */
    Chromium() throws IOException {
        this(List.of(), "--webrtc-ip-handling-policy=disable_non_proxied_udp",
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1");
    }

    /**
     * Messages go through a pipe each way, with a NUL at the end of each, so there need be no network between it and
     * the tests.
     */
    Chromium(List<String> before, String... switches) throws IOException {
        var command = new ArrayList<>(before);
        // Without the features that it disables it costs a tenth less, and a page a fifth of what it would: each window
        // loads two pages for its address bar otherwise. With few processes a page costs a fifth less, and if its
        // scripts are compiled by the thread that runs them, a twentieth.
        command.addAll(List.of("sh", "-c", "exec chromium \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1", "sh",
                "--headless", "--remote-debugging-pipe", "--user-data-dir=" + folder, "--no-sandbox", "--disable-gpu",
                "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
                "--in-process-gpu", "--no-zygote", "--process-per-site", "--disable-site-isolation-trials",
                "--js-flags=--single-threaded", "--disable-sync", "--no-startup-window",
                "--disable-features=Translate,MediaRouter,OptimizationHints,PaintHolding,WebUIOmniboxPopup,"
                + "WebUIOmniboxAimPopup,BackForwardCache"));
        command.addAll(List.of(switches));
        process = RelayTest.launch(new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.DISCARD));
        RelayTest.Program.reader(() -> {
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

    private synchronized CompletableFuture<Map<?, ?>> send(
            Map<String, ?> session, String method, Map<String, ?> parameters) {
        var call = new HashMap<String, Object>(session);
        call.putAll(Map.of("id", ++lastId, "method", method, "params", parameters));
        var answer = new CompletableFuture<Map<?, ?>>();
        calls.put(lastId, answer);
        try {
            process.getOutputStream().write(RelayTest.bytes(Json.write(call) + "\0"));
            process.getOutputStream().flush();
        } catch (IOException hasEnded) {
            answer.completeExceptionally(hasEnded);
        }
        return answer;
    }

    /** Calls a method of the protocol and waits for its result. @param session empty for the browser itself */
    private Map<?, ?> call(Map<String, ?> session, String method, Map<String, ?> parameters) {
        Map<?, ?> answer = send(session, method, parameters).orTimeout(60, TimeUnit.SECONDS).join();
        if (answer.get("error") != null) throw new IllegalStateException(method + ": " + answer.get("error"));
        return (Map<?, ?>) answer.get("result");
    }

    @Override
    public Page open(String address) {
        return blank().go(address);
    }

    @Override
    public Page blank() {
        Window window = free.poll();
        var page = new Page(window == null ? window() : window);
        pages.put(page.window.session.get("sessionId"), page);
        return page;
    }

    private Window window() {
        Object context = call(Map.of(), "Target.createBrowserContext", Map.of()).get("browserContextId");
        Object target = tab(context, true);
        Map<String, ?> session = Map.of("sessionId", call(Map.of(), "Target.attachToTarget",
                Map.of("targetId", target, "flatten", true)).get("sessionId"));
        for (String domain : List.of("Page", "Runtime", "Log")) call(session, domain + ".enable", Map.of());
        call(session, "Emulation.setFocusEmulationEnabled", Map.of("enabled", true));
        return new Window(context, target, session);
    }

    private Object tab(Object context, boolean ownWindow) {
        return call(Map.of(), "Target.createTarget",
                Map.of("url", "about:blank", "browserContextId", context, "newWindow", ownWindow)).get("targetId");
    }

    /** A key as DevTools must be told of it. It goes by its code, after the names of modifiers and a +: Shift+Slash. */
    record Key(String code, String key, int number, String text, int modifiers) {
        private static final List<String> MODIFIERS = List.of("Alt", "Control", "Meta", "Shift");   // bit by bit
        private static final Map<String, Integer> NAMED =
                Map.of("Tab", 9, "Enter", 13, "Escape", 27, "ArrowLeft", 37, "ArrowUp", 38, "ArrowRight", 39,
                "ArrowDown", 40, "F1", 112);

        static Key of(String chord) {
            String code = chord.substring(chord.lastIndexOf('+') + 1);
            int modifiers = Stream.of(chord.split("[+]")).mapToInt(MODIFIERS::indexOf).filter(bit -> bit >= 0)
                    .map(bit -> 1 << bit).sum();
            boolean types = modifiers == 0 || modifiers == 8;
            if (NAMED.containsKey(code)) return new Key(code, code, NAMED.get(code), code.equals("Enter") && types
                    ? "\r" : "", modifiers);
            String key = switch (code) {
                case "Space" -> " ";
                case "Slash" -> modifiers == 8 ? "?" : "/";
                default -> code.substring(3).toLowerCase(Locale.ROOT);
            };
            return new Key(code, key, code.equals("Slash") ? 191 : Character.toUpperCase(key.charAt(0)), types ? key
                    : "", modifiers);
        }

        Map<String, ?> event(boolean down) {
            return Map.of("type", down ? "keyDown" : "keyUp", "code", code, "key", key, "windowsVirtualKeyCode", number,
                    "text", down ? text : "", "modifiers", modifiers);
        }
    }

    /** A finger on a page, in its pixels. */
    record Finger(int id, double x, double y) {}

    final class Page extends Browser.Page {
        private final Window window;
        private final List<Object> scripts = new ArrayList<>();   // that run first
        private final Set<String> origins = new HashSet<>();      // of the documents that it has gone to
        private final Map<String, Consumer<String>> bindings = new ConcurrentHashMap<>();
        private boolean isLast;   // its window is left to no other
        private int touched;      // fingers on it

        private Page(Window window) {
            this.window = window;
        }

        @Override
        Page go(String address) {
            if (address.startsWith("http")) origins.add(address.replaceFirst("(?<=[^:/])/.*", ""));
            call("Page.navigate", Map.of("url", address));
            return this;
        }

        @Override
        Page first(String script) {
            scripts.add(call("Page.addScriptToEvaluateOnNewDocument", Map.of("source", script)).get("identifier"));
            return this;
        }

        /** A screen of so many CSS pixels; that of a phone has touch. */
        Page screen(int width, int height, double ratio, boolean phone) {
            call("Emulation.setDeviceMetricsOverride", Map.of("width", width, "height", height, "deviceScaleFactor",
                    ratio, "mobile", phone));
            call("Emulation.setTouchEmulationEnabled", Map.of("enabled", phone, "maxTouchPoints", phone ? 5 : 1));
            return this;
        }

        /** Its process dies. */
        Page crash() {
            isLast = true;
            send(window.session, "Page.crash", Map.of());   // nobody is left to answer
            return this;
        }

        /** What a media query such as prefers-reduced-motion finds. */
        Page media(String feature, String value) {
            call("Emulation.setEmulatedMedia", Map.of("features", List.of(Map.of("name", feature, "value", value))));
            return this;
        }

        /** Opens another tab over it. */
        Page hide() {
            isLast = true;
            focus(false).activate(tab(window.context, false));
            return until("document.hidden");
        }

        Page show() {
            activate(window.target);
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
            if (event.equals("Runtime.bindingCalled")) bindings.get(parameters.get("name"))
                    .accept((String) parameters.get("payload"));
            var said = switch (event) {
                case "Log.entryAdded" -> (Map<?, ?>) parameters.get("entry");
                case "Runtime.exceptionThrown" -> (Map<?, ?>) parameters.get("exceptionDetails");
                case "Runtime.consoleAPICalled" -> parameters;
                default -> Map.of();
            };
            boolean serious = said.containsKey("exception") || Stream.of("error", "warning", "assert")
                    .anyMatch(level -> said.containsValue(level));
            if (serious) complaints.add(Stream.of("text", "url", "args", "exception").map(said::get)
                    .filter(Objects::nonNull).toList().toString());
        }

        Map<?, ?> call(String method, Map<String, ?> parameters) {
            return Chromium.this.call(window.session, method, parameters);
        }

        /** From now on its scripts have a function of that name, by which they tell something to a listener. */
        Page onBinding(String name, Consumer<String> listener) {
            bindings.put(name, listener);
            call("Runtime.addBinding", Map.of("name", name));
            return this;
        }

        @Override
        Object evaluate(String expression) {
            var result = call("Runtime.evaluate", Map.of("expression", expression, "awaitPromise", true,
                    "returnByValue", true));
            if (result.get("exceptionDetails") != null) throw new IllegalStateException(expression + ": "
                    + result.get("exceptionDetails"));
            return ((Map<?, ?>) result.get("result")).get("value");
        }

        @Override
        Page until(String expression) {
            super.until(expression);
            return this;
        }

        @Override
        Page until(String expression, Duration atMost) {
            super.until(expression, atMost);
            return this;
        }

        @Override
        Page shows(String... texts) {
            super.shows(texts);
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

        @Override
        Page hold(String... chords) {
            for (String chord : chords) call("Input.dispatchKeyEvent", Key.of(chord).event(true));
            return this;
        }

        @Override
        Page release(String... chords) {
            for (String chord : chords) call("Input.dispatchKeyEvent", Key.of(chord).event(false));
            return this;
        }

        @Override
        Page press(String... chords) {
            super.press(chords);
            return this;
        }

        /** Goes on with the Tab key until what a selector names has the focus. */
        Page tabTo(String selector) {
            for (int steps = 0; !Boolean.TRUE.equals(evaluate("document.activeElement.matches(" + Json.write(selector)
                    + ")")); steps++) {
                assertTrue(steps < 100, "Tab does not lead to " + selector);
                press("Tab");
            }
            return this;
        }

        /** These fingers touch it now: more than before, moved ones, or none at all. */
        Page touch(Finger... fingers) {
            call("Input.dispatchTouchEvent", Map.of("type", fingers.length == 0 ? "touchEnd" : touched < fingers.length
                    ? "touchStart" : "touchMove", "touchPoints",
                    Stream.of(fingers).map(finger -> Map.of("id", finger.id, "x", finger.x, "y", finger.y)).toList()));
            touched = fingers.length;
            return this;
        }

        @Override
        byte[] screenshot() {
            return Base64.getDecoder().decode((String) call("Page.captureScreenshot", Map.of()).get("data"));
        }

        @Override
        public void close() {
            pages.values().remove(this);
            if (isLast) {
                Chromium.this.call(Map.of(), "Target.disposeBrowserContext", Map.of("browserContextId",
                        window.context));
                return;
            }
            for (Object script : scripts) call("Page.removeScriptToEvaluateOnNewDocument",
                    Map.of("identifier", script));
            for (String name : bindings.keySet()) call("Runtime.removeBinding", Map.of("name", name));
            call("Page.navigate", Map.of("url", "about:blank"));
            for (String origin : origins) call("Storage.clearDataForOrigin",
                    Map.of("origin", origin, "storageTypes", "all"));
            call("Emulation.clearDeviceMetricsOverride", Map.of());
            call("Emulation.setTouchEmulationEnabled", Map.of("enabled", false));
            call("Emulation.setEmulatedMedia", Map.of("features", List.of()));
            free.add(window);
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
