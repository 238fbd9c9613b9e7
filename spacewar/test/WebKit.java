// SPDX-License-Identifier: MIT
import java.io.*;
import java.net.URI;
import java.net.http.*;
import java.nio.file.*;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.ConcurrentLinkedQueue;

/**
 * WebKitGTK in its MiniBrowser, driven over WebDriver, which is JSON over HTTP. It needs a display, and gets one of its
 * own that nobody sees. Pages are composed without OpenGL: done by software, that takes three times as long. Pages that
 * are there at once are in windows of their own, each with a driver, which has but one session; a page that is closed
 * leaves its window to the next.
 */
final class WebKit implements Browser {
    private static final HttpClient CLIENT = HttpClient.newHttpClient();

    private final Path folder = Files.createTempDirectory("relay-webkit");
    private final RelayTest.Program display = Browser.start(List.of(), folder, Map.of(), line -> {}, "Xvfb",
            "-displayfd", "1", "-screen", "0", "1280x900x24", "-nolisten", "tcp");
    private final String displayName = ":" + Browser.line(display, "(\\d+)");
    private final Queue<Window> windows = new ConcurrentLinkedQueue<>(), free = new ConcurrentLinkedQueue<>();

    WebKit() throws IOException {}

    @Override
    public Page blank() throws IOException {
        Window window = free.poll();
        return new Page(window == null ? new Window() : window);
    }

    @Override
    public void close() throws IOException {
        for (Window window : windows) Browser.end(window.driver, window.folder);
        Browser.end(display, folder);
    }

    /** A driver and the browser that it has started. The console of its page is part of what the driver prints. */
    private final class Window {
        final Path folder = Files.createTempDirectory("relay-webkit");
        final RelayTest.Program driver;
        final String session;      // its URL
        volatile Page page;        // null: none has been opened

        Window() throws IOException {
            int port = RelayTest.freePort();
            var variables = Map.of("DISPLAY", displayName, "WEBKIT_DISABLE_COMPOSITING_MODE", "1");
            driver = Browser.start(List.of(), folder, variables, this::hear, "WebKitWebDriver", "-p", port + "");
            String url = "http://127.0.0.1:" + port;
            RelayTest.eventually(() -> isUp(url), "a WebDriver");
            var options = Map.of("args", List.of("--automation", "--enable-write-console-messages-to-stdout=true",
                    "--geometry=640x480"));
            var capabilities = Map.of("alwaysMatch", Map.of("webkitgtk:browserOptions", options));
            var answer = (Map<?, ?>) call(url + "/session", Map.of("capabilities", capabilities));
            session = url + "/session/" + answer.get("sessionId");
            windows.add(this);
        }

        private static boolean isUp(String url) {
            try {
                return CLIENT.send(HttpRequest.newBuilder(URI.create(url + "/status")).build(),
                        HttpResponse.BodyHandlers.discarding()).statusCode() == 200;
            } catch (IOException notYet) {
                return false;
            } catch (InterruptedException e) {
                throw new AssertionError(e);
            }
        }

        private void hear(String line) {
            if (line.matches("CONSOLE .*\\b(ERROR|WARN)\\b.*") && page != null) page.complaints.add(line);
        }

        /** Calls a command of the session, as call does. */
        Object command(String name, Map<String, ?> parameters) {
            return call(session + name, parameters);
        }

        /** Calls a command of the protocol, without parameters if they are null, and waits for its result. */
        private static Object call(String url, Map<String, ?> parameters) {
            try {
                var request = HttpRequest.newBuilder(URI.create(url)).timeout(Duration.ofSeconds(60));
                if (parameters != null) request.POST(HttpRequest.BodyPublishers.ofString(Json.write(parameters)));
                var response = CLIENT.send(request.build(), HttpResponse.BodyHandlers.ofString());
                if (response.statusCode() != 200) throw new IllegalStateException(url + ": " + response.body());
                return ((Map<?, ?>) Json.parse(response.body())).get("value");
            } catch (IOException | InterruptedException hasEnded) {
                throw new IllegalStateException(hasEnded);
            }
        }
    }

    final class Page extends Browser.WebDriverPage {
        private final List<String> scripts = new ArrayList<>();   // to be run first
        private final Window window;

        private Page(Window window) {
            this.window = window;
            window.page = this;
        }

        /** Goes there by way of another document of the same origin, where first scripts can fill the storage. */
        @Override
        Page go(String address) {
            if (!scripts.isEmpty()) load(URI.create(address).resolve("/health").toString());
            return load(address);
        }

        private Page load(String address) {
            window.command("/url", Map.of("url", address));
            for (String script : scripts) window.command("/execute/sync", Map.of("script", script, "args", List.of()));
            if (!scripts.isEmpty()) evaluate("dispatchEvent(new Event('load'))");
            return this;
        }

        /** WebKit's driver cannot do that: it runs it after those, and then says again that the document is loaded. */
        @Override
        Page first(String script) {
            scripts.add(script);
            return this;
        }

        @Override
        Object evaluate(String expression) {
            var outcome = (Map<?, ?>) window.command("/execute/async", Map.of("args", List.of(), "script", """
                    const done = arguments[0];
                    (async () => (%s))().then(value => done({ value }), error => done({ error: String(error) }));
                    """.formatted(expression)));
            if (outcome.get("error") != null) throw new IllegalStateException(expression + ": " + outcome.get("error"));
            return outcome.get("value");
        }

        @Override
        void perform(Object actions) {
            window.command("/actions", Map.of("actions", actions));
        }

        @Override
        byte[] screenshot() {
            return Base64.getDecoder().decode((String) window.command("/screenshot", null));
        }

        @Override
        public void close() {
            window.command("/url", Map.of("url", "about:blank"));   // so that its document ends
            free.add(window);
        }
    }
}
