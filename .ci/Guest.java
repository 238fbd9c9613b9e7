// SPDX-License-Identifier: MIT
/*
 * A WebSocket client that others have written, in a room: the JDK's, Chromium's, Python's, and two of Node's. All of
 * them are driven alike. What a guest hears is queued: a kind of message and the message, or `close 1001 why`.
 */

import static org.junit.jupiter.api.Assertions.*;

import java.io.*;
import java.net.URI;
import java.net.http.*;
import java.nio.ByteBuffer;
import java.nio.charset.*;
import java.nio.file.*;
import java.util.*;
import java.util.concurrent.*;
import org.junit.jupiter.api.Assumptions;

abstract class Guest extends Fixtures implements AutoCloseable {
    private final BlockingQueue<String> heard = new LinkedBlockingQueue<>();

    enum Kind { THE_JDKS, CHROMIUMS, PYTHONS_WEBSOCKETS, NODES_OWN, NODES_WS }

    /** Joins the room ROOM of a relay. */
    static Guest open(Kind kind, Relay relay) throws IOException {
        return switch (kind) {
            case THE_JDKS -> new Jdk(relay);
            case CHROMIUMS -> new InPage(relay);
            case PYTHONS_WEBSOCKETS -> {
                requireWebsockets();
                yield new Script("/usr/bin/python3", "-c", PYTHON, address(relay));
            }
            case NODES_OWN -> {
                require("node", "nodejs");
                Assumptions.assumeTrue(NODE_HAS_WEBSOCKETS, "this node has no WebSocket; those from 20.10 on have one");
                yield new Script("node", NODE_FLAG, "-e", NODE, address(relay));
            }
            case NODES_WS -> {
                require("node", "nodejs");
                require(Files.exists(Path.of("build/ws/index.js")),
                        "ws is missing, which build.sh fetches: apt install npm");
                yield new Script("node", "-e", "globalThis.WebSocket = require('./build/ws');\n" + NODE,
                        address(relay));
            }
        };
    }

    static String address(Relay relay) {
        return "ws://127.0.0.1:" + relay.port() + ROOM;
    }

    /** Sends a message of the kind text or binary, whose characters stand for bytes then. */
    abstract Guest say(String kind, String message) throws IOException;

    abstract Guest leave(int code, String reason) throws IOException;

    @Override
    public abstract void close();

    /** What comes next must be this, or match it. */
    Guest expect(String... expected) throws InterruptedException {
        for (String one : expected) expectAfterAny("(?!)", one);
        return this;
    }

    /** The same, after what is of no interest. */
    void expectAfterAny(String skipped, String expected) throws InterruptedException {
        String next = next();
        while (next.matches(skipped)) next = next();
        if (!next.equals(expected) && !next.matches(expected))
            fail("not " + shortly(expected) + " but " + shortly(next) + " of " + about());
    }

    private String next() throws InterruptedException {
        return String.valueOf(heard.poll(20, TimeUnit.SECONDS));
    }

    private static String shortly(String text) {
        return text.substring(0, Math.min(100, text.length())) + " (" + text.length() + " characters)";
    }

    /** What else it has to say about itself. */
    abstract Object about();

    void hear(String what) {
        heard.add(what);
    }

    /** The JDK's own client, java.net.http.WebSocket. */
    static final class Jdk extends Guest implements WebSocket.Listener {
        private final HttpClient http = HttpClient.newHttpClient();
        private final StringBuilder partial = new StringBuilder();
        final WebSocket socket;

        Jdk(Relay relay) {
            socket = http.newWebSocketBuilder().buildAsync(URI.create(address(relay)), this).join();
        }

        @Override
        Jdk say(String kind, String message) {
            if (kind.equals("text")) socket.sendText(message, true).join();
            else socket.sendBinary(ByteBuffer.wrap(message.getBytes(StandardCharsets.ISO_8859_1)), true).join();
            return this;
        }

        @Override
        Jdk leave(int code, String reason) {
            socket.sendClose(code, reason).join();
            return this;
        }

        private CompletionStage<?> hear(String kind, CharSequence data, boolean last) {
            partial.append(data);
            if (last) {
                hear(kind + partial);
                partial.setLength(0);
            }
            return null;
        }

        @Override
        public void onOpen(WebSocket opened) {
            opened.request(Long.MAX_VALUE);
        }

        @Override
        public CompletionStage<?> onText(WebSocket socket, CharSequence data, boolean last) {
            return hear("text ", data, last);
        }

        @Override
        public CompletionStage<?> onBinary(WebSocket socket, ByteBuffer data, boolean last) {
            return hear("binary ", StandardCharsets.ISO_8859_1.decode(data), last);
        }

        @Override
        public CompletionStage<?> onPong(WebSocket socket, ByteBuffer data) {
            return hear("pong ", StandardCharsets.ISO_8859_1.decode(data), true);
        }

        @Override
        public CompletionStage<?> onClose(WebSocket socket, int code, String reason) {
            hear(("close " + code + " " + reason).strip());
            return null;
        }

        @Override
        Object about() {
            return socket;
        }

        @Override
        public void close() {
            socket.abort();
            http.shutdownNow();
        }
    }

    /** One that is told in lines what to do, and tells in lines what it hears; messages are in hex there. */
    abstract static class Scripted extends Guest {
        abstract Scripted tell(String line) throws IOException;

        @Override
        Scripted say(String kind, String message) throws IOException {
            return tell(kind + " " + HexFormat.of().formatHex(message.getBytes(charset(kind))));
        }

        @Override
        Scripted leave(int code, String reason) throws IOException {
            return tell("close " + code + " " + reason);
        }

        /** As in `text 68656c6c6f` or `close 1001 why`. */
        void hearLine(String line) {
            String[] words = (line + " ").split(" ", 2);
            hear(words[0].equals("close") ? line.strip()
                    : words[0] + " " + new String(hex(words[1]), charset(words[0])));
        }

        private static Charset charset(String kind) {
            return kind.equals("text") ? StandardCharsets.UTF_8 : StandardCharsets.ISO_8859_1;
        }
    }

    static final class Script extends Scripted {
        private final Program program;

        Script(String... command) throws IOException {
            program = new Program(Program.ROOT, Map.of("PYTHONUNBUFFERED", "1"), List.of(command), this::hearLine);
        }

        @Override
        Script tell(String line) throws IOException {
            program.tell(line);
            return this;
        }

        @Override
        Object about() {
            return program.err;
        }

        @Override
        public void close() {
            program.close();
        }
    }

    /** Chromium, in a page of the relay's, since no other may connect. */
    static final class InPage extends Scripted {
        private final Chromium.Page page;

        InPage(Relay relay) {
            page = InChromium.open(relay, "/health").until("document.readyState === 'complete'");
            page.onBinding("tell", this::hearLine);
            inPage(JAVASCRIPT + "globalThis.say = join(`ws://${location.host}" + ROOM + "`)");
        }

        @Override
        InPage tell(String line) {
            return inPage("say(" + Json.write(line) + ")");
        }

        InPage inPage(String statements) {
            page.evaluate(statements + "; 0");
            return this;
        }

        @Override
        Object about() {
            return page.complaints;
        }

        @Override
        public void close() {
            page.close();
        }
    }

    /** Node's own client, the one of `ws`, and Chromium have the same interface. `tell` is theirs. */
    static final String JAVASCRIPT = """
        let socket;
        function join(address) {
          socket = new WebSocket(address);
          const hex = bytes => Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join('');
          socket.binaryType = 'arraybuffer';
          socket.onmessage = ({ data }) => tell(typeof data === 'string'
            ? `text ${hex(new TextEncoder().encode(data))}` : `binary ${hex(new Uint8Array(data))}`);
          socket.onclose = ({ code, reason }) => tell(`close ${code} ${reason}`);
          return line => {
            const [kind, data, reason] = line.split(' ');
            if (kind === 'close') return socket.close(Number(data), reason);
            const bytes = Uint8Array.from(data.match(/../g), pair => parseInt(pair, 16));
            socket.send(kind === 'text' ? new TextDecoder().decode(bytes) : bytes);
          };
        }
        """;

    private static final String NODE = JAVASCRIPT + """
        function tell(line) { console.log(line); }
        require('readline').createInterface({ input: process.stdin }).on('line', join(process.argv[1]));
        """;

    private static final String PYTHON = """
        import asyncio, sys, websockets

        async def main(address):
            async with websockets.connect(address) as socket:
                saying = asyncio.create_task(say(socket))
                try:
                    async for message in socket:
                        if isinstance(message, str):
                            print('text', message.encode().hex())
                        else:
                            print('binary', message.hex())
                except websockets.ConnectionClosed:
                    pass
                print('close', socket.close_code, socket.close_reason)

        async def say(socket):
            while line := await asyncio.to_thread(sys.stdin.readline):
                kind, data, *reason = line.split()
                if kind == 'close':
                    await socket.close(int(data), reason[0])
                else:
                    data = bytes.fromhex(data)
                    await socket.send(data.decode() if kind == 'text' else data)

        asyncio.run(main(sys.argv[1]))
        """;

    private static final String NODE_FLAG = "--experimental-websocket";   // of those from 20.10 on, which have one
    private static final boolean NODE_HAS_WEBSOCKETS = succeeds("node", NODE_FLAG, "-e", "0");

    private static boolean succeeds(String... command) {
        try {
            return launch(new ProcessBuilder(command)).waitFor() == 0;
        } catch (IOException | InterruptedException missing) {
            return false;
        }
    }
}
