// SPDX-License-Identifier: MIT
import java.io.*;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.util.*;
import java.util.concurrent.*;
import java.util.stream.*;

/**
 * A headless Firefox, driven over WebDriver BiDi, which is JSON over a WebSocket. A page that is closed leaves its
 * window to the next, empty, as a new one costs more than the game.
 */
final class Firefox implements Browser {
    /**
     * No first steps, no play only after a click, and windows that do not wait for one another; and few processes, as
     * with as many as it would have it costs half as much again.
     */
    private static final String PREFERENCES = """
            user_pref("browser.aboutwelcome.enabled", false);
            user_pref("browser.newtabpage.enabled", false);
            user_pref("datareporting.policy.dataSubmissionEnabled", false);
            user_pref("dom.ipc.processCount", 1);
            user_pref("dom.ipc.processPrelaunch.enabled", false);
            user_pref("extensions.enabledScopes", 0);
            user_pref("extensions.webextensions.remote", false);
            user_pref("fission.autostart", false);
            user_pref("focusmanager.testmode", true);
            user_pref("media.rdd-process.enabled", false);
            user_pref("messaging-system.rsexperimentloader.enabled", false);
            user_pref("network.process.enabled", false);
            user_pref("network.trr.mode", 5);
            """;

    /** Nothing leaves this machine: what is not for itself goes to a proxy which is not there. */
    private static final String LOCAL_ONLY = """
            user_pref("network.proxy.type", 1);
            user_pref("network.proxy.http", "127.0.0.1");
            user_pref("network.proxy.http_port", 9);
            user_pref("network.proxy.ssl", "127.0.0.1");
            user_pref("network.proxy.ssl_port", 9);
            user_pref("media.peerconnection.enabled", false);
            """;

    private final Path folder = Files.createTempDirectory("relay-firefox");
    private final RelayTest.Program program;
    private final Process connection;
    private final Map<Integer, CompletableFuture<Map<?, ?>>> calls = new ConcurrentHashMap<>();   // unanswered, by id
    private final Map<Object, Page> pages = new ConcurrentHashMap<>();                            // by context
    private final Queue<Object> free = new ConcurrentLinkedQueue<>();   // contexts: windows without a page
    private int lastId;

    /** One that sends nothing past the relay: connections of WebRTC never open, and no names are looked up. */
    Firefox() throws IOException {
        this(List.of(), LOCAL_ONLY);
    }

    /** One in a network of the tests' own. @param before words of a command that runs another there */
    Firefox(List<String> before) throws IOException {
        this(before, "");
    }

    private Firefox(List<String> before, String preferences) throws IOException {
        Files.writeString(folder.resolve("user.js"), PREFERENCES + preferences);
        // With the second one it takes the settings that a driven Firefox has, which ask no server.
        var variables = Map.of("MOZ_CRASHREPORTER_DISABLE", "1", "MOZ_REMOTE_SETTINGS_DEVTOOLS", "1",
                "MOZ_HEADLESS_WIDTH", "800", "MOZ_HEADLESS_HEIGHT", "600");
        program = Browser.start(before, folder, variables, line -> {}, "firefox-esr", "--headless", "--no-remote",
                "--profile", folder + "", "--remote-debugging-port", "0", "about:blank");
        String port = Browser.line(program, "WebDriver BiDi listening on .*:(\\d+)");
        // Its port is one of its network, which these tests may not be in.
        var tcp = List.of("bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/" + port + "; cat <&3 & exec cat >&3");
        connection = RelayTest.launch(new ProcessBuilder(Stream.concat(before.stream(), tcp.stream()).toList()));
        var in = new DataInputStream(new BufferedInputStream(connection.getInputStream()));
        connection.getOutputStream().write(RelayTest.bytes(RelayTest.Raw.upgrade("/session")
                .replace("Host: localhost", "Host: localhost:" + port)));
        connection.getOutputStream().flush();
        String head = RelayTest.Raw.head(in);
        if (!head.startsWith("HTTP/1.1 101 ")) throw new IOException(head);
        RelayTest.Program.reader(() -> {
            try {
                while (true) take((Map<?, ?>) Json.parse(message(in)));
            } catch (IOException hasEnded) {
                // then nobody answers any more
            }
            for (var call : calls.values()) call.completeExceptionally(new IllegalStateException("Firefox has ended"));
        });
        call("session.new", Map.of("capabilities", Map.of()));
        call("session.subscribe", Map.of("events", List.of("log.entryAdded")));
    }

    static void require() {
        RelayTest.require("firefox-esr", "firefox-esr");
    }

    /** Reads a message of one or more frames. */
    private static String message(DataInputStream in) throws IOException {
        var message = new ByteArrayOutputStream();
        RelayTest.Received frame;
        do {
            frame = RelayTest.Received.read(in);
            message.writeBytes(frame.payload());
        } while (!frame.last());
        return message.toString(StandardCharsets.UTF_8);
    }

    /** An answer, or an entry in the console of a page. */
    private void take(Map<?, ?> message) {
        if (message.get("id") instanceof Double id) {
            calls.remove(id.intValue()).complete(message);
        } else if (message.get("params") instanceof Map<?, ?> entry && entry.get("source") instanceof Map<?, ?> source
                && pages.get(source.get("context")) instanceof Page page) {
            if (!entry.get("level").toString().matches("debug|info")) page.complaints.add(entry.get("text").toString());
        }
    }

    /** Calls a method of the protocol and waits for its result. */
    private Map<?, ?> call(String method, Map<String, ?> parameters) {
        var answer = new CompletableFuture<Map<?, ?>>();
        try {
            synchronized (this) {
                calls.put(++lastId, answer);
                var call = Json.write(Map.of("id", lastId, "method", method, "params", parameters));
                connection.getOutputStream().write(RelayTest.text(call));
                connection.getOutputStream().flush();
            }
        } catch (IOException hasEnded) {
            throw new IllegalStateException(hasEnded);
        }
        Map<?, ?> message = answer.orTimeout(60, TimeUnit.SECONDS).join();
        if (message.get("result") == null) throw new IllegalStateException(method + ": " + message.get("message"));
        return (Map<?, ?>) message.get("result");
    }

    @Override
    public Page blank() {
        Object left = free.poll();
        var page = new Page(left == null ? window() : left);
        pages.put(page.context, page);
        return page;
    }

    private Object window() {
        Object user = call("browser.createUserContext", Map.of()).get("userContext");
        return call("browsingContext.create", Map.of("type", "window", "userContext", user)).get("context");
    }

    @Override
    public void close() throws IOException {
        connection.destroyForcibly();
        Browser.end(program, folder);
    }

    final class Page extends Browser.WebDriverPage {
        private final Object context;
        private final List<Object> scripts = new ArrayList<>();   // that run first

        private Page(Object context) {
            this.context = context;
        }

        @Override
        Page go(String address) {
            call("browsingContext.navigate", Map.of("context", context, "url", address, "wait", "none"));
            return this;
        }

        @Override
        Page first(String script) {
            // the document of about:blank is none of the page's
            scripts.add(call("script.addPreloadScript", Map.of("functionDeclaration",
                    "() => { if (location.host) {" + script + "\n} }", "contexts", List.of(context))).get("script"));
            return this;
        }

        @Override
        Object evaluate(String expression) {
            var outcome = call("script.evaluate", Map.of("expression", expression, "awaitPromise", true,
                    "target", Map.of("context", context)));
            if (outcome.get("exceptionDetails") instanceof Map<?, ?> details)
                throw new IllegalStateException(expression + ": " + details.get("text"));
            return value(outcome.get("result"));
        }

        /** Returns what the protocol tells of a value, as Json.parse would the value itself. */
        private static Object value(Object told) {
            Map<?, ?> typed = (Map<?, ?>) told;
            return switch (typed.get("value")) {
                case List<?> list when typed.get("type").equals("object") -> list.stream().map(each -> (List<?>) each)
                        .collect(LinkedHashMap::new, (map, entry) -> map.put(entry.getFirst(), value(entry.getLast())),
                                Map::putAll);
                case List<?> list -> list.stream().map(Page::value).collect(Collectors.toCollection(ArrayList::new));
                case null -> null;
                case Object value -> value;
            };
        }

        @Override
        void perform(Object actions) {
            call("input.performActions", Map.of("context", context, "actions", actions));
        }

        @Override
        byte[] screenshot() {
            return Base64.getDecoder().decode((String) call("browsingContext.captureScreenshot",
                    Map.of("context", context)).get("data"));
        }

        @Override
        public void close() {
            pages.remove(context);
            for (Object script : scripts) call("script.removePreloadScript", Map.of("script", script));
            evaluate("location.host && localStorage.clear()");
            call("browsingContext.navigate", Map.of("context", context, "url", "about:blank", "wait", "complete"));
            free.add(context);
        }
    }
}
