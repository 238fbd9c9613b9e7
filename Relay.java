// SPDX-License-Identifier: MIT
/*
 * Relay: a WebSocket server through which browser games find one another.
 *
 *     java Relay.java 8080           then open http://localhost:8080
 *
 * A client opens ws://host:8080/ws-relay/some/game and is in the room of that name. It is told its id ("1 self"), who
 * else is there ("2 join") and who leaves ("2 quit"). It sends "2 hello" to reach client 2, or "* hello" to reach
 * everyone else; they receive "1 hello". That is all.
 *
 *   1. Command line   main, the options and the limits
 *   2. The relay      listening, the threads of a connection, the poller, the sweeper, shutdown, the log
 *   3. Connection     a socket, its deadlines, the bytes that have come and are not read yet
 *   4. HTTP           a request in, a response out, files, the opening handshake
 *   5. Frames in      bytes to messages: RFC 6455, masks, fragments, UTF-8
 *   6. Frames out     messages to bytes
 *   7. WebSocket      both directions together: pings, closing, the outbox, which makes many frames one write
 *   8. Rooms          who is there, and where a message goes
 *   9. STUN           telling players where they come from, so that they can connect directly
 *
 * The path of a message: bytes in the connection's Input -> a Frame, unmasked in place and checked -> the sender's
 * Client encodes the outgoing frame once -> that one array is put into each receiver's outbox, together with what else
 * came in the same read -> each outbox is drained into its socket, everything that waits in one write. The sender's
 * own thread does all of it but the last step, for which a drain is started: a thread that lives as long as outboxes
 * have something to write.
 *
 * What a WebSocket is and what a relay is stands in 5 to 8, a good third of this. The rest is what it takes to run one
 * among strangers; who reads for the first time needs of 4 the opening handshake only, and neither 1 nor 9.
 */

import java.io.*;
import java.lang.invoke.*;
import java.net.*;
import java.nio.*;
import java.nio.channels.*;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.security.*;
import java.time.*;
import java.time.format.DateTimeFormatter;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.*;
import java.util.concurrent.locks.*;
import java.util.function.*;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import java.util.zip.CRC32;

import static java.nio.channels.SelectionKey.*;

@SuppressWarnings({"serial", "try"})   // its exceptions are never serialized; its locks are held by try
public class Relay implements AutoCloseable {

    // --- 1. Command line ---------------------------------------------------------------------------------------------
    //
    // The arguments become a Command: something to say, or options to run with. Exit code 0 is a good end, 1 means that
    // the port could not be had, 2 that the arguments make no sense.

    public static void main(String[] args) {
        switch (Command.parse(args)) {
            case Command.Say(var text, var exitCode) -> {   // an error in this line? Relay needs Java 21 or newer
                (exitCode == 0 ? System.out : System.err).println(text);
                System.exit(exitCode);
            }
            case Command.Run(var options) -> run(options);
        }
    }

    /** Starts a relay that runs until the process is told to end (Ctrl-C, SIGTERM). */
    private static void run(Options options) {
        var relay = new Relay(options);
        try {
            relay.start();
            List<String> welcome = relay.welcome();
            Runtime.getRuntime().addShutdownHook(new Thread(() -> {
                relay.close();
                Runtime.getRuntime().halt(0);   // Java's own exit code would be 130 or 143
            }));
            welcome.forEach(System.out::println);
        } catch (IOException e) {
            System.err.println("relay: " + e.getMessage());
            System.exit(1);
        }
    }

    sealed interface Command {
        record Run(Options options) implements Command {}
        record Say(String text, int exitCode) implements Command {}

        static Command parse(String... args) {
            var options = new Options();
            Iterator<String> words = List.of(args).iterator();
            try {
                while (words.hasNext()) {
                    String word = words.next();
                    switch (word) {
                        case "--help", "-h" -> { return new Say(HELP, 0); }
                        case "--version" -> { return new Say("relay 1.0", 0); }
                        case "--host" -> options.host = InetAddress.getByName(value(word, words));
                        case "--dir" -> {
                            options.folder = Path.of(value(word, words)).toAbsolutePath().normalize();
                            boolean named = options.folder.getFileName() != null;
                            require(named && Files.isDirectory(options.folder), options.folder + " is no folder");
                        }
                        case "--origin" -> {
                            String origin = value(word, words);
                            require(origin.matches("\\*|null|[A-Za-z][A-Za-z0-9+.-]*://[^/\\s]+/?"),
                                    origin + " is not like https://example.com");
                            options.origins.add(plainOrigin(origin));
                        }
                        case "--max-clients" -> options.maxClients = number(word, value(word, words), 1, 1_000_000);
                        case "--max-message" -> options.maxMessage = number(word, value(word, words), 1, 1 << 30);
                        case "--stun" -> options.stunPort = number(word, value(word, words), 1, 65535);
                        case "--no-stun" -> options.stunPort = -1;
                        case "--metrics" -> options.metrics = true;
                        case "--quiet" -> options.quiet = true;
                        default -> {
                            require(!word.startsWith("-"), "there is no option " + word);
                            options.port = number("the port", word, 0, 65535);
                        }
                    }
                }
                return new Run(options);
            } catch (IllegalArgumentException | UnknownHostException e) {
                return new Say("relay: " + printable(e.getMessage()) + " (--help lists the options)", 2);
            }
        }

        private static String value(String option, Iterator<String> words) {
            String value = words.hasNext() ? words.next() : "";
            require(!value.isEmpty(), option + " needs a value");
            return value;
        }

        private static int number(String name, String digits, int least, int most) {
            long number = digits.matches("[0-9]{1,18}") ? Long.parseLong(digits) : -1;
            require(number >= least && number <= most,
                    name + " must be from " + least + " to " + most + ", not '" + digits + "'");
            return (int) number;
        }

        private static void require(boolean condition, String complaint) {
            if (!condition) throw new IllegalArgumentException(complaint);
        }

        String HELP = """
            java Relay.java [PORT] [OPTION]...

            Relays messages between WebSocket clients that connect to ws://HOST:PORT/ws-relay/ANY/NAME, and serves
            the files of a game from a folder. PORT is 8080 unless given; 0 takes any free one.

              --host ADDR          listen on this address only (default: all of this machine's); say 127.0.0.1 behind
                                   a proxy on the same machine
              --dir PATH           serve this folder under its own name (default: the folder spacewar in the working
                                   directory, if there is one); change it for your own game
              --origin URL         let pages from there connect, such as https://example.com, or * for all (default:
                                   only pages from this host and port); repeat it for each; for pages served elsewhere
              --max-clients N      turn away clients beyond these with close code 1013 (default: 10000); raise it
                                   together with the memory and the limit of open files
              --max-message BYTES  close with code 1009 on a longer message (default: 1048576); lower it when
                                   strangers play and your messages are small
              --stun PORT          answer STUN on this UDP port, so that players behind home routers connect directly
                                   (default: the number of PORT); behind a proxy say --host 127.0.0.1 --stun 8080:
                                   it is then open on all addresses, since no proxy passes it on
              --no-stun            do not answer STUN (default: do); when you have another STUN server, or want none
              --metrics            answer /metrics in Prometheus' format (default: no); when something collects it
              --quiet              do not log joins, quits and refusals (default: log them); when nobody reads them
              --help, --version    print this, or the version, and exit""";
    }

    /**
     * The options, and with them all limits; what the command line lacks is here for tests to shorten. Times are in
     * milliseconds, sizes in bytes; not to be changed once a relay has them. 10,000 clients with a message of 1 MiB and
     * an outbox of 4 MiB each would come to 50 GiB: the budget caps the sum at a quarter of the heap.
     */
    static final class Options {
        int port = 8080;                                     // 0: any free one
        InetAddress host = null;                             // null: all addresses of this machine
        int stunPort = 0;                                    // UDP; 0: of the same number, -1: none
        Path folder = Path.of("spacewar");                   // served if it is there
        final List<String> origins = new ArrayList<>();      // in the form of plainOrigin, or *
        boolean metrics = false;
        boolean quiet = false;
        int maxClients = 10_000;                             // each takes a thread, buffers and a descriptor
        int maxVisitors = 1_000;                             // connections that are no clients: pages, handshakes
        int maxMessage = 1 << 20;                            // a game sends hundreds of bytes, a file transfer more
        int maxOutbox = 4 << 20;                             // what a client may be behind before it is given up
        long budget = Runtime.getRuntime().maxMemory() / 4;  // messages and outboxes together: the heap never runs out
        long headTime = 10_000;                              // for a request head to arrive, in all
        long pingAfter = 20_000;                             // of silence; proxies cut off after 30 to 60 s
        long stallTime = 10_000;                             // a write of 128 KiB that takes longer is given up
        long farewellTime = 3_000;                           // for a closing peer to take our last words
    }

    private static final int MAX_STUN = 1_500;           // a STUN request: browsers send 20 bytes
    private static final int MAX_HEAD = 8 << 10;         // a request head: browsers send 500 bytes, with cookies 4,000
    private static final int MAX_HEADERS = 100;          // in it: each costs ten times its shortest line
    private static final int LEAST_INPUT = 256;          // what one read may bring: at first no more than this,
    private static final int MOST_INPUT = 64 << 10;      // from a busy client up to this; longer ones get their own
    private static final int FIRST_PIECE = 16 << 10;     // of that memory, which grows as the message comes; of a file
    private static final int LONGEST_TURN = 10;          // ms, for which those who talk keep a processor from others
    private static final int MAX_WRITE = 128 << 10;      // what one write may take along: half of it costs a fifth more
    private static final int SEND_BUFFER = 256 << 10;    // the system's; progress shows only when a third of it is free
    private static final int STUCK = 100;                // ms; a write that takes longer waits for who should read it
    private static final int FRAME_OVERHEAD = 24;        // what a frame in an outbox costs besides its bytes

    // --- 2. The relay ------------------------------------------------------------------------------------------------
    //
    // One thread accepts connections and gives each a virtual thread, which speaks HTTP in plain code. A WebSocket then
    // gets another: it waits most of the time, and to do that on top of the handshake's stack would take 1 KB more.
    //
    // A thread that waits for its socket is parked. The poller asks the system which of all sockets have become ready,
    // and wakes their threads. Java's own blocking sockets do the same, but with three system calls for each wait,
    // where this has a share in one: that costs a room of ten an eighth more, on Java 21 a third, and an idle client
    // 1.2 KB.
    //
    // Nobody waits with a timeout, which would cost a timer each time. Instead a sweeper looks at every connection
    // about once a second; if one is past a deadline, it closes the socket, and whatever waits for that fails with an
    // IOException. This is no error anywhere: it means that the peer is gone.

    private final Options options;
    private final Folder folder;                                                  // null: no files
    private final Set<Connection> connections = ConcurrentHashMap.newKeySet();
    private final Map<String, Room> rooms = new ConcurrentHashMap<>();            // by name; none of them is empty
    private final Metrics metrics = new Metrics();
    final AtomicLong buffered = new AtomicLong();                         // bytes; what the budget limits
    private final Lock trial = new Lock();                                // held while those to blame are found
    private volatile long nextTrial = now();                              // not before, since it looks at everybody
    private final AtomicReference<byte[]> spareBuffer = new AtomicReference<>();  // for a write of several frames
    private final ExecutorService log = new ThreadPoolExecutor(0, 1, 1, TimeUnit.SECONDS,
            new ArrayBlockingQueue<>(10_000), Thread.ofPlatform().name("relay-log").daemon().factory(),
            new ThreadPoolExecutor.DiscardPolicy());   // what is too much for a terminal that has stopped is lost
    private ServerSocketChannel listener;                                         // null until started
    private Selector selector;                                                    // the same; the poller's
    private volatile boolean pollerWaits;                                         // in there
    private DatagramSocket stun;                                                  // the same, and without STUN
    private final List<Thread> listening = new ArrayList<>(2);                    // to these two
    private volatile boolean closing;

    Relay(Options options) {
        this.options = options;
        this.folder = Files.isDirectory(options.folder) ? new Folder(options.folder) : null;
    }

    /** Listens and returns; the rest happens on threads of its own until close(). @throws IOException without a port */
    Relay start() throws IOException {
        listen(options.port == 0 ? 100 : 1);
        selector = Selector.open();
        Thread.ofPlatform().name("relay-poll").daemon().start(this::poll);
        listening.add(Thread.ofPlatform().name("relay-accept").start(this::accept));
        if (stun != null) listening.add(Thread.ofPlatform().name("relay-stun").daemon().start(this::serveStun));
        Thread.ofPlatform().name("relay-sweep").daemon().start(this::sweep);
        return this;
    }

    /** Takes both ports. What is free for TCP may be taken for UDP; if any number will do, another one is tried. */
    private void listen(int tries) throws IOException {
        String port = "port " + options.port, wayOut = "name another one, or 0 for any";
        try {
            listener = ServerSocketChannel.open();
            listener.bind(new InetSocketAddress(options.host, options.port), 1024);
            if (options.stunPort < 0) return;
            int number = options.stunPort == 0 ? port() : options.stunPort;
            boolean proxied = options.stunPort > 0 && listener.socket().getInetAddress().isLoopbackAddress();
            port = "UDP port " + number;
            wayOut = "--stun PORT moves it, --no-stun leaves it out";
            stun = new DatagramSocket(number, proxied ? null : options.host);   // null: all, for no proxy passes on UDP
        } catch (IOException e) {
            if (listener != null) listener.close();
            boolean taken = e.toString().contains("in use");   // or else the address is not ours
            if (tries == 1)
                throw new IOException("cannot listen on " + port + ": " + e.getMessage() + (taken ? "; " + wayOut : ""),
                        e);
            listen(tries - 1);
        }
    }

    int port() { return listener.socket().getLocalPort(); }
    int stunPort() { return stun == null ? -1 : stun.getLocalPort(); }   // -1, too, once that is closed

    /** The lines for whoever started the relay: first the address to open, then what else to know. */
    private List<String> welcome() throws SocketException {
        String path = ":" + port() + "/" + (folder == null ? "" : folder.url);
        boolean everywhere = options.host == null || options.host.isAnyLocalAddress();
        String host = everywhere ? "localhost" : options.host.getHostAddress();
        var lines = new ArrayList<>(List.of("http://" + (host.contains(":") ? "[" + host + "]" : host) + path));
        if (everywhere) NetworkInterface.networkInterfaces()
                .filter(network -> !network.getName().matches("(docker|br-|veth|virbr|vmnet).*"))   // not for others
                .flatMap(NetworkInterface::inetAddresses).filter(InetAddress::isSiteLocalAddress).findFirst()
                .ifPresent(lan -> lines.add("http://" + lan.getHostAddress() + path + "   for others on this network"));
        if (folder == null) lines.add("no folder '" + options.folder + "' here, hence no pages; relaying at /ws-relay");
        return lines;
    }

    private void accept() {
        while (!closing) {
            try {
                admit(listener.accept());
            } catch (IOException | OutOfMemoryError e) {
                if (closing) return;
                log("error", "cannot accept: " + e.getMessage());   // out of descriptors, likely
                pause(100);
            }
        }
    }

    /** Gives it a thread. If there is no place for another visitor, the one who has been silent for longest goes. */
    private void admit(SocketChannel channel) throws IOException {
        int clients = Math.min(metrics.clients.get(), options.maxClients);   // the others are being turned away
        int visitors = connections.size() - clients;
        if (visitors >= options.maxVisitors)   // those who ask for nothing must not keep others out
            connections.stream().filter(visitor -> visitor.isVisitor() && !visitor.isClosed())
                    .min(Comparator.comparingLong(Connection::lastActive)).ifPresent(Connection::close);
        if (visitors >= 2 * options.maxVisitors) {   // so many are going already
            channel.close();
            return;
        }
        try {
            var connection = new Connection(channel);
            connections.add(connection);
            Thread.startVirtualThread(() -> serve(connection));
        } catch (IOException | OutOfMemoryError e) {
            channel.close();
            throw e;
        }
    }

    /** Waits until some are ready. On a platform thread: on Java 21 a virtual one costs a room of ten a fifth more. */
    private void poll() {
        while (selector.isOpen()) {
            try {
                pollerWaits = true;
                selector.select(key -> {});
                pollerWaits = false;
                Thread.startVirtualThread(this::takeTurns).join();
            } catch (IOException | InterruptedException | RuntimeException | OutOfMemoryError e) {
                // it goes on, lest nobody hears anything any more
            }
        }
    }

    /**
     * Wakes the threads whose sockets are ready, and lets them run before it looks again. It is a virtual thread as
     * they are, and these are not preempted: so all have their turn, also beside one who never stops talking. A
     * processor looks for threads from elsewhere, such as newcomers', when it knows of none that can run: hence the
     * pause now and then.
     */
    private void takeTurns() {
        try {
            for (long rested = now(); selector.selectNow(this::wake) > 0; ) {
                Thread.yield();
                if (now() - rested >= LONGEST_TURN) {
                    Thread.yield();   // what these have started, too, comes first
                    LockSupport.parkNanos(100_000);
                    rested = now();
                }
            }
        } catch (IOException | RuntimeException | OutOfMemoryError e) {
            // it goes on with poll(), and the system tells again of those who have not been woken
        }
    }

    private void wake(SelectionKey key) { ((Connection) key.attachment()).wake(); }

    /** Tells the poller that there is more to ask for, or something to close. From any thread. */
    private void alertPoller() {
        if (pollerWaits) selector.wakeup();
    }

    /** Speaks HTTP, on the connection's first thread, and starts the second if that makes a WebSocket of it. */
    private void serve(Connection connection) {
        boolean upgraded = false;
        try {
            while (answer(connection)) if (connection.input.available() > 0) pause(1);   // let others in
            if (connection.webSocket == null) connection.linger();
            else Thread.startVirtualThread(connection.webSocket);
            upgraded = connection.webSocket != null;
        } catch (IOException gone) {
            // by its own will or the sweeper's; there is nobody to tell
        } finally {
            if (!upgraded) connection.end();
        }
    }

    /** Ends it: 1001 to every client, some seconds to take it, then the sockets are closed. From any thread. */
    @Override
    public void close() {
        if (listening.isEmpty() || closing) return;
        closing = true;
        closeQuietly(listener);
        if (stun != null) stun.close();
        awaitUntil(() -> listening.stream().noneMatch(Thread::isAlive), 500);   // or the ports would still be taken
        connections.forEach(Connection::shutDown);
        awaitUntil(connections::isEmpty, options.farewellTime);
        connections.forEach(Connection::close);
        awaitUntil(connections::isEmpty, 500);
        closeQuietly(selector);
        log.shutdown();
        awaitUntil(log::isTerminated, 500);
    }

    private void sweep() {
        var times = List.of(options.headTime, options.pingAfter, options.stallTime, options.farewellTime);
        while (!closing || !connections.isEmpty()) {
            pause(Math.clamp(Collections.min(times) / 3, 10, 1_000));   // a second, but for tests
            try {
                connections.forEach(connection -> connection.sweep(now()));
                if (!toDrain.isEmpty()) startDrain();   // if there was no memory to do so at once
            } catch (OutOfMemoryError e) {
                // it goes on, lest no deadline holds any more; to log this would take memory, too
            }
        }
    }

    /**
     * Past the budget, nobody reads. Mostly, what waits is on its way out, and that is soon over. If it is not, because
     * of clients that finish no message or take none, those who hold the most are cut off without a word, until a
     * quarter of the budget is free or will be when they are gone. From the thread of any connection.
     */
    private void judge() {
        if (now() < nextTrial || !trial.tryLock()) return;
        try (var locked = trial) {
            nextTrial = now() + 10;
            long fairShare = options.budget / 2 / connections.size();   // the other half may be lent to readers
            long leaving = connections.stream().filter(Connection::isClosed).mapToLong(Connection::held).sum();
            long over = buffered.get() - leaving - options.budget;
            if (over <= 0) return;
            for (over += options.budget / 4; over > 0; ) {
                Connection most = connections.stream().filter(connection -> !connection.isClosed())
                        .max(Comparator.comparingLong(Connection::blocked)).orElse(null);
                if (most == null || most.blocked() < fairShare) return;
                over -= most.held();
                most.abort("all buffers together are full, and this client's hold the most");
            }
        }
    }

    /** Milliseconds on a clock that only goes forward. */
    private static long now() { return System.nanoTime() / 1_000_000; }

    private static void awaitUntil(BooleanSupplier condition, long millis) {
        for (long end = now() + millis; !condition.getAsBoolean() && now() < end; ) pause(5);
    }

    /** Sleeps, and minds no interrupt. */
    private static void pause(long millis) { LockSupport.parkNanos(millis * 1_000_000); }

    private static void closeQuietly(Closeable socket) {
        try {
            socket.close();
        } catch (IOException ignored) { /* it is closed all the same */ }
    }

    /** A line of the log, in which no client can forge another. Its own thread prints it, so that nobody waits here. */
    private void log(String event, Object... details) {
        if (options.quiet) return;
        var line = new StringJoiner(" ").add(Instant.ofEpochSecond(System.currentTimeMillis() / 1000) + " " + event);
        for (Object detail : details) line.add(printable(detail.toString()));
        log.execute(() -> System.out.println(line));
    }

    /** What a stranger wrote, fit to be printed: visible ASCII and spaces, not over 200 characters. */
    static String printable(String text) {
        String plain = text.replaceAll("[^ -~]", "?");
        return plain.length() <= 200 ? plain : plain.substring(0, 200) + "...";
    }

    /** What /metrics tells. Counted always, since a LongAdder costs next to nothing. */
    private static final class Metrics {
        final long started = now();
        final AtomicInteger clients = new AtomicInteger();   // WebSockets that are open
        final LongAdder messages = new LongAdder();          // received from them
        final LongAdder deliveries = new LongAdder();        // of those messages, one for each receiver
        final LongAdder bytes = new LongAdder();             // of deliveries, with the headers of frames
        final Map<Integer, LongAdder> closes = new ConcurrentSkipListMap<>();

        /** Prometheus' text format, version 0.0.4. */
        String text(int rooms) {
            Object[][] metrics = {{"rooms", "gauge", rooms}, {"clients", "gauge", clients},
                    {"uptime_seconds", "gauge", (now() - started) / 1000}, {"deliveries_total", "counter", deliveries},
                    {"messages_received_total", "counter", messages}, {"delivered_bytes_total", "counter", bytes}};
            var text = new StringBuilder();
            for (Object[] metric : metrics) text.append("# TYPE relay_%1$s %2$s\nrelay_%1$s %3$s\n".formatted(metric));
            text.append("# TYPE relay_closes_total counter\n");
            closes.forEach((code, count) -> text.append("relay_closes_total{code=\"" + code + "\"} " + count + "\n"));
            return text.toString().strip();
        }
    }

    // --- 3. Connection -----------------------------------------------------------------------------------------------
    //
    // A socket, and what the poller and the sweeper must know of it. Reading belongs to the connection's own thread;
    // writing belongs to that thread while it speaks HTTP, and then to the outbox. It is an InputStream, so that the
    // parsers of requests and frames know no socket: they are tested with arrays of bytes.

    class Connection extends InputStream {
        private static final long NEVER = Long.MAX_VALUE;

        private final SocketChannel channel;          // never blocks
        private final InetAddress peer;
        private final SelectionKey key;               // for which operations the poller asks
        private final Input input = new Input(this, this::lend);
        private boolean pinged;                       // since it was last heard of; the sweeper's
        // All below is read by other threads as well. Its own thread writes it, but where another is named.
        private volatile Thread reader, writer;       // whom the poller wakes; each writes its own
        private volatile boolean readable = true;     // a read may find something; set by the poller, cleared here
        private volatile boolean writable;            // a write may find room; set by the poller, cleared here
        private volatile WebSocket webSocket;         // null while it speaks HTTP; set once
        private volatile int inputHeld;               // bytes of memory for what comes in
        private volatile long lastHeard = now();      // when a byte came last
        private volatile long headDue = NEVER;        // when the request head must be here
        private volatile long writingSince = NEVER;   // when the write began that has not returned yet; whoever writes
        private volatile long deadline = NEVER;       // when all must be over, once it is ending; whoever ends it

        Connection(SocketChannel channel) throws IOException {
            this.channel = channel;
            this.peer = ((InetSocketAddress) channel.getRemoteAddress()).getAddress();
            channel.setOption(StandardSocketOptions.TCP_NODELAY, true);   // or games wait up to 40 ms for an ACK
            channel.setOption(StandardSocketOptions.SO_SNDBUF, SEND_BUFFER);
            channel.configureBlocking(false);
            this.key = channel.register(selector, 0, this);   // for none as yet
        }

        /** Reads like any InputStream, once the budget has room. Own thread. */
        @Override
        public int read(byte[] into, int offset, int length) throws IOException {
            if (webSocket != null) webSocket.handler.flush();
            awaitBudget();   // what is not read takes no memory
            int received;
            do {
                awaitReadable();
                readable = false;   // first, for the poller may say so again at once
                received = channel.read(ByteBuffer.wrap(into, offset, Math.min(length, MOST_INPUT)));
            } while (received == 0);
            lastHeard = now();
            return received;
        }

        @Override
        public int read() { throw new UnsupportedOperationException("byte by byte is what Input is for"); }

        /** Waits until a read is worth trying. Own thread. */
        private void awaitReadable() throws IOException {
            reader = Thread.currentThread();
            if (!readable) askFor(OP_READ);
            while (!readable && !isClosed()) {
                if (headDue <= now()) throw new SocketTimeoutException();
                LockSupport.park();
            }
        }

        private void awaitWritable() {
            writer = Thread.currentThread();
            writable = false;
            askFor(OP_WRITE);
            while (!writable && !isClosed()) LockSupport.park();
        }

        private void askFor(int operation) {
            try {
                if ((key.interestOps() & operation) != 0) return;
                key.interestOpsOr(operation);
                alertPoller();
            } catch (CancelledKeyException closed) { /* as whoever asked will find */ }
        }

        /** Something is ready. What nobody has read since the last time is not asked for again. The poller's thread. */
        private void wake() {
            if (key.isReadable()) {
                if (readable) key.interestOpsAnd(~OP_READ);
                readable = true;
                LockSupport.unpark(reader);
            }
            if (key.isWritable()) {
                key.interestOpsAnd(~OP_WRITE);
                writable = true;
                LockSupport.unpark(writer);
            }
        }

        /** Writes it all, however long it takes; the sweeper sees how long, once per MAX_WRITE bytes. */
        void write(byte[] bytes, int length) throws IOException {
            for (int at = 0; at < length; at += MAX_WRITE) {
                writingSince = now();
                var piece = ByteBuffer.wrap(bytes, at, Math.min(MAX_WRITE, length - at));
                for (channel.write(piece); piece.hasRemaining(); channel.write(piece)) awaitWritable();
            }
            writingSince = NEVER;
        }

        /** Waits while all buffers together are over the budget. Own thread. */
        private void awaitBudget() {
            while (buffered.get() > options.budget && !isClosed()) {
                judge();
                lastHeard = now();
                pause(10);
            }
        }

        /** Books bytes taken for what comes in, or given back if negative. Own thread; waits for the budget. */
        private void book(int bytes) {
            if (bytes > 0) awaitBudget();
            inputHeld += bytes;   // not atomic, nor need it be: only its own thread writes it
            buffered.addAndGet(bytes);
        }

        /** The same for what it could do without: true unless half of the budget is used already. */
        private boolean lend(int bytes) {
            if (bytes > 0 && buffered.get() > options.budget / 2) return false;
            book(bytes);
            return true;
        }

        /** Bytes that wait because of this client: of a message it has not finished, and of those it does not take. */
        private long blocked() {
            if (webSocket == null) return 0;
            return webSocket.reader.held + (now() - STUCK > writingSince ? webSocket.held : 0);
        }

        /** What will be free when it is gone. */
        private long held() { return inputHeld + (webSocket == null ? 0 : webSocket.held); }

        long lastActive() { return writingSince == NEVER ? lastHeard : Math.max(lastHeard, writingSince); }
        boolean isClosed() { return !channel.isOpen(); }
        boolean isVisitor() { return webSocket == null || webSocket.end() != null; }

        /** Reads a request within the time allowed for it. Own thread. */
        Request readRequest() throws IOException, HttpException {
            headDue = now() + options.headTime;
            input.require(1);   // if nothing is asked, it ends without a word
            try {
                return Request.read(input);
            } catch (SocketTimeoutException late) {
                throw new HttpException(408, "a whole request must arrive within " + options.headTime / 1000 + " s");
            } finally {
                headDue = NEVER;
            }
        }

        /** All deadlines; a silent client is asked for a sign of life. From the sweeper's thread. */
        void sweep(long now) {
            long silence = now - lastHeard;
            if (now - options.stallTime > writingSince) abort("took too little for " + options.stallTime / 1000 + " s");
            else if (now >= deadline) close();
            else if (headDue <= now) LockSupport.unpark(reader);
            else if (webSocket == null) return;
            else if (silence >= 2 * options.pingAfter) abort("silent for " + 2 * options.pingAfter / 1000 + " s");
            else if (silence >= options.pingAfter && !pinged) webSocket.send(PING_FRAME);
            pinged = silence >= options.pingAfter;
        }

        /** It is ending, and must have ended within farewellTime. From any thread. */
        void expireSoon() { deadline = Math.min(deadline, now() + options.farewellTime); }

        void shutDown() {
            if (webSocket != null) webSocket.close(1001, "the relay is shutting down");
            else close();
        }

        /**
         * Says that no more will come and waits until the other side has closed too. If the socket were closed while
         * unread bytes wait in it, TCP would reset the connection, and that can overtake our last words. Own thread.
         */
        void linger() throws IOException {
            expireSoon();
            channel.shutdownOutput();
            var ignored = new byte[LEAST_INPUT];
            while (read(ignored) >= 0) { /* too late */ }
        }

        void end() {
            close();
            book(-inputHeld);
            connections.remove(this);
        }

        /** Ends it without a word; the reason goes into the log. From any thread. */
        void abort(String reason) {
            if (webSocket != null) webSocket.noteEnd(1006, reason);
            close();
        }

        /** Closes the socket, so that threads which read or write it fail with an IOException. From any thread. */
        @Override
        public void close() {
            closeQuietly(channel);   // and the selector closes what is behind it, at its next turn
            LockSupport.unpark(reader);
            LockSupport.unpark(writer);
            alertPoller();
        }

        /** Where the client is: its own address or, behind a proxy on this machine, the one that the proxy tells. */
        String address(Request request) {
            String told = request.header("x-forwarded-for");
            told = told.substring(told.lastIndexOf(',') + 1).strip();
            boolean proxied = peer.isLoopbackAddress() && ADDRESS.test(told);
            return proxied ? told : peer.getHostAddress();
        }
    }

    /**
     * The bytes that have come and are not read yet: bytes[start..end). How many a read may bring follows what the last
     * one brought: an idle client needs little memory, a busy one few system calls. Knows no socket. One thread.
     */
    static final class Input {
        byte[] bytes = new byte[LEAST_INPUT];
        int start, end;
        private int received;              // by the last read
        private final InputStream in;
        private final IntPredicate lend;   // is asked for bytes of memory more, or given them back if negative

        Input(InputStream in, IntPredicate lend) {
            this.in = in;
            this.lend = lend;
        }

        int available() { return end - start; }

        /** Waits until so many bytes are there in one piece, LEAST_INPUT at most. @throws EOFException if not */
        void require(int count) throws IOException {
            while (available() < count) {
                if (available() == 0 || bytes.length - start < count) makeRoom();
                received = in.read(bytes, end, bytes.length - end);
                if (received < 0) throw new EOFException();
                end += received;
            }
        }

        /** Moves what is left to the front, of twice the memory if the last read filled it, half if not an eighth. */
        private void makeRoom() {
            int size = bytes.length;
            if (end == bytes.length) size = Math.min(2 * size, MOST_INPUT);
            else if (received < size / 8) size = Math.max(size / 2, LEAST_INPUT);
            byte[] room = size != bytes.length && lend.test(size - bytes.length) ? new byte[size] : bytes;
            System.arraycopy(bytes, start, room, 0, end -= start);
            start = 0;
            bytes = room;
        }

        /** The next byte, 0 to 255. @throws EOFException if there is none */
        int next() throws IOException {
            require(1);
            return bytes[start++] & 0xff;
        }

        /** Like InputStream.read: what is here already, or else straight from the stream. */
        int read(byte[] into, int offset, int length) throws IOException {
            if (available() == 0) return in.read(into, offset, length);
            int count = Math.min(available(), length);
            System.arraycopy(bytes, start, into, offset, count);
            start += count;
            return count;
        }
    }

    // --- 4. HTTP -----------------------------------------------------------------------------------------------------
    //
    // HTTP/1.1 (RFC 9112) as far as a game needs it: GET and HEAD, and no request bodies. What is not exactly right is
    // refused with a sentence that says why, since a request that two programs read in two ways can be used to smuggle
    // another one past the first of them.

    /** Answers one request; true if another may follow on this connection. */
    private boolean answer(Connection connection) throws IOException {
        Request request = Request.NONE;
        Response response;
        try {
            request = connection.readRequest();
            if (request.isForRelay()) checkOrigin(request.headers.get("origin"), request.header("host"));
            request.requireBodyless();
            if (request.isForRelay()) {
                upgrade(connection, request);
                return false;
            }
            response = respond(request);
        } catch (HttpException refusal) {
            response = refusal.response;
            if (request == Request.NONE || request.isForRelay())
                log("refuse", request.target, "-", connection.address(request), response.status, refusal.getMessage());
        }
        boolean more = request.keepAlive() && !closing;
        response.send(connection, more, !request.method.equals("HEAD"));
        return more;
    }

    private Response respond(Request request) throws HttpException {
        String path = request.path();
        if (path.equals("/health")) return Response.text(200, "ok");
        if (path.equals("/metrics") && options.metrics) return Response.text(200, metrics.text(rooms.size()));
        if (path.equals("/") && folder != null) return Response.redirect(folder.url + "/" + request.query());
        if (path.equals("/"))
            return Response.text(200, "A relay: connect to ws://" + request.header("host") + "/ws-relay/any/name");
        if (folder == null) throw new HttpException(404, "there are no files here, only WebSockets at /ws-relay");
        try {
            return folder.get(request);
        } catch (HttpException none) {
            if (path.equals("/" + folder.url + "/ice.json")) return iceServers(request.header("host"));
            throw none;
        }
    }

    /** An RTCConfiguration for the page: our STUN, on the host by which it found us; we know no other name of ours. */
    private Response iceServers(String host) {
        String name = host.replaceFirst(":[0-9]*$", "");
        int port = stunPort();
        boolean usable = port > 0 && name.matches("[0-9A-Za-z._-]+|\\[[0-9A-Fa-f:.]+]");
        String servers = usable ? "{\"urls\":\"stun:" + name + ":" + port + "\"}" : "";
        return Response.text(200, "{\"iceServers\":[" + servers + "]}")
                .with("Content-Type", "application/json").with("Cache-Control", "no-cache");
    }

    private void upgrade(Connection connection, Request request) throws HttpException {
        String accept = acceptHandshake(request);
        var socket = new WebSocket(connection, request.target, connection.address(request));
        socket.send(ascii("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                + "Sec-WebSocket-Accept: " + accept + "\r\n\r\n"));   // leaves in one write with the room's first words
        connection.webSocket = socket;
        if (closing) connection.shutDown();
    }

    /** A way out of any depth of HTTP: this answer, with a sentence for whoever reads it. */
    static final class HttpException extends Exception {
        final Response response;

        /** @param headers names and values in turn */
        HttpException(int status, String sentence, String... headers) {
            super(sentence, null, false, false);
            response = Response.text(status, sentence);
            for (int i = 0; i < headers.length; i += 2) response.with(headers[i], headers[i + 1]);
        }

        static HttpException expected(String what, String got) {
            return new HttpException(400, "expected " + what + ", got '" + printable(got) + "'");
        }
    }

    /** The head of a request: headers by name in lower case, several of one name joined with commas, RFC 9110 §5.2. */
    record Request(String method, String target, String version, Map<String, String> headers) {
        static final Request NONE = new Request("", "-", "", Map.of());      // stands for one that could not be read
        private static final Predicate<String> TOKEN = form("[!#$%&'*+.^_`|~0-9A-Za-z-]+"),   // RFC 9110 §5.6.2
                VERSION = form("HTTP/[0-9]\\.[0-9]"), TARGET = form("/[!-~&&[^#]]*|\\*"),
                HOST = form("[0-9A-Za-z._~%\\[\\]:-]*"), LENGTH = form("[0-9]{1,18}"), ZERO = form("0*");

        /** Reads one head, RFC 9112 §3 and §5. @throws EOFException if the stream ends before the head does */
        static Request read(Input input) throws IOException, HttpException {
            String line = readLine(input, MAX_HEAD, 414);
            if (line.isEmpty()) line = readLine(input, MAX_HEAD, 414);   // one empty line is ignored, RFC 9112 §2.2
            String[] words = line.split(" ", -1);
            if (words.length != 3 || !TOKEN.test(words[0]) || !VERSION.test(words[2]))
                throw HttpException.expected("'GET /path HTTP/1.1'", line);
            if (!words[2].startsWith("HTTP/1.")) throw new HttpException(505, "expected HTTP/1.1, got " + words[2]);
            String target = words[1];
            if (!target.startsWith("/"))   // it is meant for a proxy, RFC 9112 §3.2.2
                target = target.replaceFirst("^(?i)https?://[^/?]*/?", "/");
            if (!TARGET.test(target)) throw HttpException.expected("a path of visible ASCII", target);

            var headers = new LinkedHashMap<String, String>();
            int room = MAX_HEAD - line.length() - 2, count = 0;
            while (!(line = readLine(input, room, 431)).isEmpty()) {
                room -= line.length() + 2;
                String[] header = line.split(":", 2);
                if (header.length < 2 || !TOKEN.test(header[0]))   // a folded line, too: it begins with a space
                    throw HttpException.expected("'Name: value'", line);
                if (++count > MAX_HEADERS) throw new HttpException(431, "expected at most " + MAX_HEADERS + " headers");
                headers.merge(header[0].toLowerCase(Locale.ROOT), header[1].strip(), (all, next) -> all + ", " + next);
            }
            var request = new Request(words[0], target, words[2], headers);
            request.check();
            return request;
        }

        /** A line without its CR LF; refused as soon as it can't become right or fit the room, RFC 9112 §2.2. */
        private static String readLine(Input input, int room, int tooLong) throws IOException, HttpException {
            for (var line = new StringBuilder(); ; ) {
                if (line.length() + 2 > room)
                    throw new HttpException(tooLong, "expected a head of at most " + MAX_HEAD + " bytes");
                int c = input.next();
                if (c == '\r' && input.next() == '\n') return line.toString();
                if (c < ' ' && c != '\t' || c == 0x7f)
                    throw new HttpException(400, "expected text and CR LF, got the control character " + c + " alone");
                line.append((char) c);
            }
        }

        /** What could make two programs disagree about where the request goes or ends, RFC 9112 §3.2 and §6.3. */
        private void check() throws HttpException {
            String host = headers.get("host"), length = headers.get("content-length");
            if (host == null && !version.equals("HTTP/1.0")) throw new HttpException(400, "the header Host is missing");
            if (host != null && !HOST.test(host)) throw HttpException.expected("one Host", host);
            if (length != null && !LENGTH.test(length))
                throw HttpException.expected("one number as Content-Length", length);
            if (length != null && headers.containsKey("transfer-encoding"))
                throw new HttpException(400, "Content-Length and Transfer-Encoding exclude each other");
        }

        /** Refuses methods other than GET and HEAD, and bodies. */
        void requireBodyless() throws HttpException {
            if (!method.equals("GET") && !method.equals("HEAD"))
                throw new HttpException(405, "expected GET or HEAD, got " + printable(method), "Allow", "GET, HEAD");
            if (headers.containsKey("transfer-encoding")) throw new HttpException(411, "no bodies here, nor chunks");
            if (hasBody())
                throw new HttpException(413, "no bodies here, but " + header("content-length") + " bytes announced");
        }

        private boolean hasBody() {
            return headers.containsKey("transfer-encoding") || !ZERO.test(header("content-length"));
        }

        /** Whether another request may follow: not if a body might be taken for one. */
        boolean keepAlive() { return version.equals("HTTP/1.1") && !hasToken("connection", "close") && !hasBody(); }
        String header(String name) { return headers.getOrDefault(name, ""); }   // a header's value, "" if there is none

        boolean hasToken(String name, String token) {
            for (String word : header(name).split(",")) if (word.strip().equalsIgnoreCase(token)) return true;
            return false;
        }

        String path() { return target.contains("?") ? target.substring(0, target.indexOf('?')) : target; }
        String query() { return target.substring(path().length()); }   // from the question mark on, or ""
        boolean isForRelay() { return (path() + "/").startsWith("/ws-relay/"); }
    }

    /** An answer: a text or, if that is null, a file. */
    record Response(int status, Map<String, String> headers, byte[] text, Path file, long length) {
        static final DateTimeFormatter DATE =   // RFC 9110 §5.6.7
                DateTimeFormatter.ofPattern("EEE, dd MMM yyyy HH:mm:ss 'GMT'", Locale.ENGLISH).withZone(ZoneOffset.UTC);

        static Response text(int status, String sentence) {
            byte[] text = (sentence + "\n").getBytes(StandardCharsets.UTF_8);
            return new Response(status, new LinkedHashMap<>(), text, null, text.length)
                    .with("Content-Type", "text/plain; charset=utf-8");
        }

        /** @param location relative, for a proxy may serve all this below a prefix, RFC 9110 §10.2.2 */
        static Response redirect(String location) {
            return text(302, "it is at " + location).with("Location", location).with("Cache-Control", "no-cache");
        }

        Response with(String header, String value) {
            headers.put(header, value);
            return this;
        }

        /** @throws IOException also if the file has become shorter: only the end of the connection can tell */
        void send(Connection connection, boolean keepAlive, boolean withBody) throws IOException {
            with("X-Content-Type-Options", "nosniff");
            if (status != 304) with("Content-Length", length + "");
            if (!keepAlive) headers.merge("Connection", "close", (present, close) -> present + ", " + close);
            var head = new StringBuilder("HTTP/1.1 " + status + " \r\nDate: " + DATE.format(Instant.now()) + "\r\n");
            headers.forEach((name, value) -> head.append(name + ": " + value + "\r\n"));
            byte[] bytes = head.append("\r\n").toString().getBytes(StandardCharsets.ISO_8859_1);
            connection.write(bytes, bytes.length);
            if (!withBody || status == 304) return;
            try (InputStream body = text != null ? new ByteArrayInputStream(text) : Files.newInputStream(file)) {
                for (long left = length; left > 0; left -= bytes.length) {
                    bytes = body.readNBytes((int) Math.min(left, FIRST_PIECE));
                    if (bytes.length == 0) throw new EOFException(file + " has become shorter");
                    connection.write(bytes, bytes.length);
                }
            }
        }
    }

    /** A folder whose files are served under its own name; nothing outside of it, nothing that begins with a dot. */
    static final class Folder {
        private static final String POLICY = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; "
                + "connect-src 'self' ws: wss:; img-src 'self' data: blob:; media-src 'self' data: blob:; "
                + "object-src 'none'; base-uri 'none'; form-action 'self'";

        private final Path root;
        private final String name;   // of the folder, and of its place on the web,
        final String url;            // as it stands in a URL

        Folder(Path folder) {
            root = folder.toAbsolutePath().normalize();
            name = root.getFileName().toString();
            url = root.toUri().getRawPath().replaceFirst("/$", "").replaceFirst(".*/", "");
        }

        Response get(Request request) throws HttpException {
            String path = request.path();
            try {
                Path file = resolve(path);
                boolean folder = Files.isDirectory(file);
                if (folder && !path.endsWith("/"))
                    return Response.redirect(path.substring(path.lastIndexOf('/') + 1) + "/" + request.query());
                if (folder) file = resolve(path + "index.html");
                if (!folder && path.endsWith("/") || !Files.isRegularFile(file) || !Files.isReadable(file))
                    throw new NoSuchFileException(path);
                return describe(request, file, Files.size(file), Files.getLastModifiedTime(file).toInstant());
            } catch (IOException | IllegalArgumentException doubt) {
                throw new HttpException(404, "there is no such file");
            }
        }

        /** The real file or folder of that path. @throws IOException if there is none or anything is in doubt */
        private Path resolve(String path) throws IOException {
            Path real = root.toRealPath(), file = real;
            String[] segments = path.substring(1).replaceFirst("/$", "").split("/", -1);
            for (int i = 0; i < segments.length; i++) {
                String segment = URI.create("/" + segments[i]).getPath().substring(1);   // decodes, once
                boolean visible = segment.matches("(?![.])[^\\x00-\\x1f\\x7f/\\\\:\ufffd]+");
                if (i == 0 ? !segment.equals(name) : !visible) throw new NoSuchFileException(path);
                if (i > 0) file = file.resolve(segment);
            }
            file = file.toRealPath();   // follows links
            if (!file.startsWith(real)) throw new NoSuchFileException(path);
            return file;
        }

        private static Response describe(Request request, Path file, long size, Instant modified) {
            String etag = "\"" + Long.toHexString(modified.toEpochMilli()) + "-" + Long.toHexString(size) + "\"";
            String date = Response.DATE.format(modified);
            boolean known = request.headers.containsKey("if-none-match")   // has precedence, RFC 9110 §13.2.2
                    ? Stream.of("*", etag, "W/" + etag).anyMatch(tag -> request.hasToken("if-none-match", tag))
                    : request.header("if-modified-since").equals(date);    // browsers give back what they were given
            return new Response(known ? 304 : 200, new LinkedHashMap<>(), null, file, size)
                    .with("Content-Type", type(file.toString().replaceFirst(".*[.]", "").toLowerCase(Locale.ROOT)))
                    .with("Content-Security-Policy", POLICY)
                    .with("Cache-Control", "no-cache")   // that is: keep it, but ask each time whether it has changed
                    .with("Last-Modified", date)
                    .with("ETag", etag);
        }

        private static String type(String extension) {
            return switch (extension) {
                case "html", "css" -> "text/" + extension + "; charset=utf-8";
                case "js", "mjs" -> "text/javascript; charset=utf-8";
                case "txt" -> "text/plain; charset=utf-8";
                case "json", "wasm" -> "application/" + extension;
                case "png", "webp", "gif" -> "image/" + extension;
                case "ogg", "wav" -> "audio/" + extension;
                case "jpg" -> "image/jpeg"; case "svg" -> "image/svg+xml"; case "ico" -> "image/x-icon";
                case "mp3" -> "audio/mpeg"; case "woff2" -> "font/woff2";
                case "webmanifest" -> "application/manifest+json";
                default -> "application/octet-stream";
            };
        }
    }

    private static final Predicate<String> KEY = form("[A-Za-z0-9+/]{22}=="), ADDRESS = form("[0-9a-fA-F:.]{2,45}");

    /** Tells whether a string is like this. To compile these for each request would make most of its garbage. */
    private static Predicate<String> form(String regex) { return Pattern.compile(regex).asMatchPredicate(); }

    /** The opening handshake, RFC 6455 §4.2: the value for Sec-WebSocket-Accept, if all about the request is right. */
    private static String acceptHandshake(Request request) throws HttpException {
        String key = request.header("sec-websocket-key"), version = request.header("sec-websocket-version");
        if (!request.version.equals("HTTP/1.1") || !request.method.equals("GET")
                || !request.hasToken("upgrade", "websocket") || !request.hasToken("connection", "upgrade"))
            throw new HttpException(426, "expected a GET in HTTP/1.1 with Upgrade: websocket and Connection: Upgrade, "
                    + "got a " + request.method + " in " + request.version + " with '"
                    + printable(request.header("upgrade")) + "' and '" + printable(request.header("connection")) + "'",
                    "Upgrade", "websocket", "Connection", "Upgrade");
        if (!version.equals("13"))
            throw new HttpException(426, "expected Sec-WebSocket-Version 13, got '" + printable(version) + "'",
                    "Sec-WebSocket-Version", "13", "Upgrade", "websocket", "Connection", "Upgrade");
        if (!KEY.test(key)) throw HttpException.expected("16 bytes in base64 as Sec-WebSocket-Key", key);
        try {
            var sha1 = MessageDigest.getInstance("SHA-1");
            return Base64.getEncoder().encodeToString(sha1.digest(ascii(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")));
        } catch (GeneralSecurityException e) {
            throw new AssertionError("every JDK has SHA-1", e);
        }
    }

    /**
     * RFC 6455 §10.2. A browser tells where its page came from; pages from elsewhere are not let in unless allowed.
     * Other programs could say what they like, so that one which says nothing is let in. A browser tells a page nothing
     * of a handshake that has failed; hence any other request is refused in the same way, and its page may read why.
     */
    private void checkOrigin(String origin, String host) throws HttpException {
        var allowed = options.origins;
        if (origin == null || allowed.contains("*") || allowed.contains(plainOrigin(origin))
                || plainOrigin(origin).matches("[a-z][a-z0-9+.-]*://\\Q" + plainOrigin(host) + "\\E")) return;
        throw new HttpException(403, "origin " + printable(origin) + " is not allowed for host " + printable(host)
                + "; the option --origin " + printable(origin) + " would allow it", "Access-Control-Allow-Origin", "*");
    }

    /** In lower case, without a default port: of either kind, since a TLS proxy makes 443 out of 80. */
    private static String plainOrigin(String origin) {
        return origin.toLowerCase(Locale.ROOT).replaceFirst("(:80|:443)?/?$", "");
    }

    // --- 5. Frames in ------------------------------------------------------------------------------------------------
    //
    // A message comes in one frame or in several, between which control frames (ping, pong, close) may stand. A frame
    // has a header of 2 to 14 bytes and a payload, which the client has masked with a key of 4 bytes. What is wrong is
    // found at the first wrong byte, and no more than 16 KiB are allocated for what has only been announced.

    static final int CONTINUATION = 0, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10;   // RFC 6455 §5.2
    private static final byte[] NOTHING = {};

    /** How a WebSocket ends, and the way out of any depth of it: RFC 6455 §7.4. 1005 means no code, 1006 no close. */
    static final class CloseException extends Exception {
        final int code;

        CloseException(int code, String reason) {
            super(reason, null, false, false);
            this.code = code;
        }

        @Override
        public String toString() { return (code + " " + printable(getMessage())).strip(); }
    }

    /** A whole message or a control frame: bytes[start..end), good until the next one is read. */
    record Frame(int opcode, byte[] bytes, int start, int end) {
        String text(int from, int to) { return new String(bytes, from, to - from, StandardCharsets.UTF_8); }
        /** Of a close frame; 1005 if it has none. */
        int code() { return end - start < 2 ? 1005 : (bytes[start] & 0xff) << 8 | bytes[start + 1] & 0xff; }
        String reason() { return end - start < 2 ? "" : text(start + 2, end); }   // of a close frame; "" if it has none
    }

    /** Takes the bytes of one client apart, RFC 6455 §5. Knows no socket. One thread. */
    static final class FrameReader {
        private static final VarHandle LONG =
                MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);

        private final Input input;
        private final int maxMessage;
        private final IntConsumer book;     // is told of bytes allocated, or freed if negative
        private final Utf8 utf8 = new Utf8();
        private boolean last;               // of the frame under way: it is the last of its message,
        private int opcode, left, mask;     // what it is, bytes of payload still to come, the key for these
        private int messageOpcode;          // of the message under way; CONTINUATION if there is none
        private byte[] message = NOTHING;   // what has come of it, unless it lies whole in the input,
        private int length;                 // and how much that is
        private volatile int held;          // bytes of memory booked for it; read by any thread

        FrameReader(Input input, int maxMessage, IntConsumer book) {
            this.input = input;
            this.maxMessage = maxMessage;
            this.book = book;
        }

        /** Waits for the next whole message or control frame. @throws CloseException 1002, 1007, 1009 if it is wrong */
        Frame next() throws IOException, CloseException {
            while (true) {
                readHeader();
                if (opcode == CLOSE) checkClose();
                if (opcode >= CLOSE) {
                    input.require(left);
                    return takeInPlace(opcode);
                }
                if (opcode != CONTINUATION) messageOpcode = opcode;
                if (last && length == 0 && input.available() >= left) {   // the usual case; nothing is copied
                    Frame whole = takeInPlace(messageOpcode);
                    if (messageOpcode == TEXT) utf8.check(whole.bytes, whole.start, whole.end);
                    return endOfMessage(whole);
                }
                append();
                if (last) return endOfMessage(new Frame(messageOpcode, message, 0, length));
            }
        }

        /** RFC 6455 §5.2. Each field is checked before the next one is waited for. */
        private void readHeader() throws IOException, CloseException {
            int first = input.next();
            boolean continues = messageOpcode != CONTINUATION;
            last = (first & 0x80) != 0;
            opcode = first & 0x0f;
            if ((first & 0x70) != 0) throw protocolError("a reserved bit is set, but no extension was agreed on");
            if (opcode > PONG || opcode > BINARY && opcode < CLOSE) throw protocolError("there is no opcode " + opcode);
            if (opcode >= CLOSE && !last) throw protocolError("a control frame must not come in fragments");
            if (opcode < CLOSE && continues != (opcode == CONTINUATION))
                throw protocolError("opcode " + opcode + (continues ? " within a message" : " continues nothing"));

            int second = input.next(), shortLength = second & 0x7f;
            if ((second & 0x80) == 0) throw protocolError("a client's frames must be masked");
            if (opcode >= CLOSE && shortLength > 125) throw protocolError("a control frame must not be over 125 bytes");
            int extended = shortLength == 126 ? 2 : shortLength == 127 ? 8 : 0;
            long announced = extended == 0 ? shortLength : 0;
            for (int i = 0; i < extended; i++) announced = announced << 8 | input.next();
            if (announced < 0) throw protocolError("a negative length");
            if (extended == 2 && announced < 126 || extended == 8 && announced < 65536)
                throw protocolError("the length " + announced + " must not take " + extended + " bytes");
            if (opcode < CLOSE && announced > maxMessage - length)
                throw new CloseException(1009, "at most " + maxMessage + " bytes, got " + (length + announced));
            left = (int) announced;
            mask = 0;
            for (int i = 0; i < 4; i++) mask |= input.next() << 8 * i;
        }

        /** The payload where it lies, all of it being there. */
        private Frame takeInPlace(int opcode) {
            int start = input.start;
            input.start += left;
            unmask(input.bytes, start, input.start, mask);
            return new Frame(opcode, input.bytes, start, input.start);
        }

        /** RFC 6455 §5.5.1 and §7.4; looks at each byte as it comes, through the mask. */
        private void checkClose() throws IOException, CloseException {
            if (left == 0) return;
            if (left == 1) throw protocolError("a close with half a code");
            int code = unmasked(0) << 8 | unmasked(1);
            boolean registered = code >= 1000 && code <= 1014 && (code < 1004 || code > 1006);
            if (!registered && (code < 3000 || code > 4999))
                throw protocolError("close code " + code + " must not be sent");
            var reason = new Utf8();
            for (int i = 2; i < left; i++) reason.next(unmasked(i));
            reason.finish();
        }

        private int unmasked(int i) throws IOException {
            input.require(i + 1);
            return (input.bytes[input.start + i] ^ mask >>> 8 * (i & 3)) & 0xff;
        }

        /** A payload that is long, or in several frames, or still to come: each piece is checked as it comes. */
        private void append() throws IOException, CloseException {
            for (int received; left > 0; left -= received) {
                if (length == message.length) grow();
                received = input.read(message, length, Math.min(left, message.length - length));
                if (received < 0) throw new EOFException();
                unmask(message, length, length + received, mask);
                if (messageOpcode == TEXT) utf8.check(message, length, length + received);
                mask = Integer.rotateRight(mask, 8 * received);   // the key goes on where this piece ends
                length += received;
            }
        }

        /** After the first piece, memory grows with what has come: to claim a megabyte costs the client half of one. */
        private void grow() {
            int capacity = Math.min(maxMessage, Math.max(Math.min(length + left, FIRST_PIECE), 2 * length));
            book.accept(capacity - held);
            held = capacity;   // also if there is no memory for it
            message = Arrays.copyOf(message, capacity);
        }

        private Frame endOfMessage(Frame whole) throws CloseException {
            if (messageOpcode == TEXT) utf8.finish();
            messageOpcode = CONTINUATION;
            length = 0;
            return whole;
        }

        /** The last message has been dealt with: its memory is freed, unless another one is under way in there. */
        void done() {
            if (messageOpcode == CONTINUATION) release();
        }

        /** Frees the memory of the message under way, or of the last one. */
        void release() {
            if (held > 0) book.accept(-held);
            held = 0;
            message = NOTHING;
        }

        /** Takes the mask off in place, eight bytes at a time: RFC 6455 §5.3. Its lowest byte belongs to the first. */
        private static void unmask(byte[] bytes, int start, int end, int mask) {
            long wide = (mask & 0xffff_ffffL) << 32 | mask & 0xffff_ffffL;
            int at = start;
            for (; at <= end - 8; at += 8) LONG.set(bytes, at, (long) LONG.get(bytes, at) ^ wide);
            for (; at < end; at++) bytes[at] ^= (byte) (mask >>> 8 * (at - start & 3));
        }

        private static CloseException protocolError(String what) { return new CloseException(1002, what); }
    }

    /** Checks text that comes in pieces, RFC 3629 §4. One thread. */
    private static final class Utf8 {
        private int missing;                      // bytes that the character under way still lacks
        private int least = 0x80, most = 0xbf;    // between which the next of them must be

        void check(byte[] bytes, int start, int end) throws CloseException {
            for (int at = start; at < end; at++) {
                while (missing == 0 && at <= end - 8 && areAscii((long) FrameReader.LONG.get(bytes, at))) at += 8;
                if (at < end) next(bytes[at] & 0xff);
            }
        }

        private static boolean areAscii(long eight) { return (eight & 0x8080_8080_8080_8080L) == 0; }

        /** @throws CloseException 1007 if no text could have that byte here */
        void next(int b) throws CloseException {
            if (missing == 0 ? b >= 0x80 && b < 0xc2 || b > 0xf4 : b < least || b > most)
                throw new CloseException(1007, "byte 0x" + Integer.toHexString(b) + " is not UTF-8 here");
            missing = missing > 0 ? missing - 1 : b < 0x80 ? 0 : b < 0xe0 ? 1 : b < 0xf0 ? 2 : 3;
            least = b == 0xe0 ? 0xa0 : b == 0xf0 ? 0x90 : 0x80;   // no overlong forms
            most = b == 0xed ? 0x9f : b == 0xf4 ? 0x8f : 0xbf;    // no surrogates, nothing above U+10FFFF
        }

        /** The text ends here. @throws CloseException 1007 if that is within a character */
        void finish() throws CloseException {
            if (missing > 0) throw new CloseException(1007, "the text ends within a character");
        }
    }

    // --- 6. Frames out -----------------------------------------------------------------------------------------------
    //
    // A server's frame is a header of 2, 4 or 10 bytes and the payload as it is, without a mask. So the same bytes will
    // do for all who receive it, and are made only once.

    /** A frame with a whole payload: the prefix, then bytes[start..end). A server does not mask. RFC 6455 §5.2. */
    static byte[] encode(int opcode, byte[] prefix, byte[] bytes, int start, int end) {
        int length = prefix.length + end - start;
        int header = length < 126 ? 2 : length < 65536 ? 4 : 10;
        var frame = new byte[header + length];
        frame[0] = (byte) (0x80 | opcode);
        frame[1] = (byte) (header == 2 ? length : header == 4 ? 126 : 127);
        for (int at = header - 1, rest = length; at > 1; at--, rest >>>= 8) frame[at] = (byte) rest;
        System.arraycopy(prefix, 0, frame, header, prefix.length);
        System.arraycopy(bytes, start, frame, header + prefix.length, end - start);
        return frame;
    }

    private static final byte[] PING_FRAME = encode(PING, NOTHING, NOTHING, 0, 0);

    private static byte[] encodeText(String ascii) { return encode(TEXT, ascii(ascii), NOTHING, 0, 0); }

    /** RFC 6455 §5.5.1. A reason that is too long for a control frame is cut between characters. */
    static byte[] encodeClose(int code, String reason) {
        if (code == 1005) return encode(CLOSE, NOTHING, NOTHING, 0, 0);
        var payload = ByteBuffer.allocate(125).putShort((short) code);
        StandardCharsets.UTF_8.newEncoder().encode(CharBuffer.wrap(reason), payload, true);
        return encode(CLOSE, NOTHING, payload.array(), 0, payload.position());
    }

    private static byte[] ascii(String text) { return text.getBytes(StandardCharsets.US_ASCII); }

    // --- 7. WebSocket ------------------------------------------------------------------------------------------------
    //
    // Both directions of one client. It ends once, by whatever comes first: the client closes; it does what it must
    // not; the relay has a reason; the connection is lost. It knows nothing of rooms, as they know nothing of HTTP.
    //
    // What makes a relay cheap is how many frames leave in one system call. An outbox that becomes non-empty queues up
    // for the drain, a virtual thread. By the time that gets to run, more frames have gathered; it takes all of them,
    // writes once, looks again, turns to the next outbox, and ends when there is none. A write waits if the client
    // takes nothing. So a drain that leaves others queueing first starts another one: that gets to run when this one
    // waits, or at once on another processor. A drain for each outbox would be simpler, and cost up to a tenth more.

    private final Queue<WebSocket> toDrain = new ConcurrentLinkedQueue<>();
    private final AtomicBoolean drainStarted = new AtomicBoolean();   // and has not looked yet at what there is

    private void startDrain() {
        if (drainStarted.getAndSet(true)) return;
        try {
            Thread.startVirtualThread(this::drain);
        } catch (OutOfMemoryError e) {
            drainStarted.set(false);   // the sweeper tries again
        }
    }

    private void drain() {
        drainStarted.set(false);
        WebSocket next;
        int turns = 1_000;   // then it is others'; with 64 a room of ten cost a fifth more on Java 21
        while (turns-- > 0 && (next = toDrain.poll()) != null) {
            if (!toDrain.isEmpty()) startDrain();
            next.drain();
        }
    }

    /** A lock for try-with-resources. Who waits for it frees its processor, as a monitor on Java 21 would not. */
    private static final class Lock extends ReentrantLock implements AutoCloseable {
        Lock hold() {
            lock();
            return this;
        }

        @Override
        public void close() { unlock(); }
    }

    /** What to do with the messages of a WebSocket. All on that one's own thread. */
    interface Handler {
        /** @param message good until this returns */
        void take(Frame message) throws CloseException;

        /** All that has come is taken, and more may be long in coming: nothing may be put off any longer. */
        default void flush() {}

        default void leave() {}   // it has ended
    }

    final class WebSocket implements Runnable {
        private final Connection connection;
        final String target, address;              // what the client asked for; where it is
        private final FrameReader reader;
        private final AtomicReference<CloseException> end = new AtomicReference<>();   // how; the first to say counts
        private Handler handler = message -> {};   // its own thread's
        private final Lock lock = new Lock();      // held only for moments; guards the outbox, which is all below
        private final Condition changed = lock.newCondition();
        private final ArrayDeque<byte[]> frames = new ArrayDeque<>(4);   // that wait to be written, in order
        private boolean draining = true;           // it is in the queue or at a drain, or converse() will put it there
        private boolean closed;                    // it takes no more: what is sent is lost
        private volatile int held;                 // bytes that wait or are being written; read by any thread

        WebSocket(Connection connection, String target, String address) {
            this.connection = connection;
            this.target = target;
            this.address = address;
            this.reader = new FrameReader(connection.input, options.maxMessage, connection::book);
        }

        /** Its life from the handshake to the end of the connection, on its own thread. */
        @Override
        public void run() {
            try {
                converse();
                try (var locked = lock.hold()) {
                    while (draining) changed.awaitUninterruptibly();   // until all is written or the connection lost
                }
                connection.linger();
            } catch (IOException gone) {
                // there is nobody to tell
            } finally {
                connection.end();
            }
        }

        private void converse() {
            try {
                if (metrics.clients.incrementAndGet() <= options.maxClients) {
                    handler = enter(this);
                } else {
                    close(1013, "the relay is full: it takes " + options.maxClients + " clients");
                    log("refuse", target, "-", address, end());
                }
                queueUp();
                while (end() == null) {
                    if (connection.input.available() == 0) {
                        handler.flush();
                        connection.awaitReadable();   // here an idle client waits, on a short stack
                    }
                    Frame frame = reader.next();
                    if (end() != null) return;     // we have closed meanwhile: what comes now is too late
                    switch (frame.opcode) {
                        case PING -> sendPatiently(this, encode(PONG, NOTHING, frame.bytes, frame.start, frame.end));
                        case PONG -> { /* to have come is all it is for */ }
                        case CLOSE -> throw new CloseException(frame.code(), frame.reason());   // to be echoed, §5.5.1
                        default -> handler.take(frame);
                    }
                    if (reader.held > 0) handler.flush();   // what is long waits while its memory is still booked
                    reader.done();
                }
            } catch (CloseException e) {
                handler.flush();   // first, since after a close nothing is sent
                close(e.code, e.getMessage());
            } catch (IOException lost) {
                noteEnd(1006, "connection lost");
                connection.expireSoon();   // perhaps it has closed its half only, and still reads
            } finally {
                metrics.clients.decrementAndGet();
                reader.release();
                noteEnd(1011, "a bug or no memory");   // if nothing else has
                shut();
                handler.leave();
                metrics.closes.computeIfAbsent(end().code, code -> new LongAdder()).increment();
            }
        }

        /** Sends without waiting: a client that is too far behind is closed. From any thread. */
        void send(byte[]... more) {
            try (var locked = lock.hold()) {
                if (closed || held <= options.maxOutbox) add(more);
                else close(1008, "too slow: over " + options.maxOutbox + " bytes behind");
            }
        }

        /** Sends once the outbox is at most half full; till then the sender waits, unread. The sender's thread. */
        void sendPatiently(WebSocket sender, byte[]... more) {
            try (var locked = lock.hold()) {
                while (held > options.maxOutbox / 2 && !closed && !sender.connection.isClosed()) {
                    sender.connection.lastHeard = now();   // it is not heard because nobody listens
                    changed.await(250, TimeUnit.MILLISECONDS);   // nobody signals that the sender is gone
                }
                add(more);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();   // nobody here does; whoever embeds the relay may
            }
        }

        /** Starts the closing handshake or answers it, RFC 6455 §7.1. From any thread; only the first call counts. */
        void close(int code, String reason) {
            try (var locked = lock.hold()) {   // lest its own thread finds it ended, and the outbox empty
                if (!noteEnd(code, reason)) return;
                connection.expireSoon();
                if (held > options.maxOutbox) giveBack(frames);   // or it would not come to the close in time
                add(encodeClose(code, reason));
                shut();
            }
        }

        /** The outbox takes no more: what is sent from now on is lost. */
        private void shut() {
            try (var locked = lock.hold()) {
                closed = true;
                changed.signalAll();
            }
        }

        /** How it ends; false if it had ended before. From any thread. */
        boolean noteEnd(int code, String reason) { return end.compareAndSet(null, new CloseException(code, reason)); }
        CloseException end() { return end.get(); }   // how it ended, or null if it has not

        private void add(byte[]... more) {
            if (closed) return;
            int cost = 0;
            for (byte[] frame : more) {
                frames.add(frame);
                cost += cost(frame);
            }
            held += cost;
            buffered.addAndGet(cost);
            if (!draining) queueUp();
        }

        private void giveBack(Collection<byte[]> gone) {
            int cost = 0;
            for (byte[] frame : gone) cost += cost(frame);
            gone.clear();
            held -= cost;
            buffered.addAndGet(-cost);
        }

        private void queueUp() {
            draining = true;   // before it is in the queue: a drain may be done with it at once
            toDrain.add(this);
            startDrain();
        }

        private static int cost(byte[] frame) { return frame.length + FRAME_OVERHEAD; }

        private void drain() {
            var taken = new ArrayList<byte[]>();
            try {
                while (advance(taken)) write(taken);
            } catch (IOException | OutOfMemoryError lost) {
                if (lost instanceof Error) connection.abort("no memory");   // else what it sent may still be read
                try (var locked = lock.hold()) {
                    giveBack(frames);
                    shut();
                }
                advance(taken);   // finds none to write, and gives back what it took before
            }
        }

        /** Replaces the frames just written by those to write next; false if there are none. */
        private boolean advance(List<byte[]> taken) {
            try (var locked = lock.hold()) {
                giveBack(taken);
                byte[] next;
                for (int room = MAX_WRITE; (next = frames.peek()) != null; room -= next.length) {
                    if (next.length > room && !taken.isEmpty()) break;
                    taken.add(frames.poll());
                }
                draining = !taken.isEmpty();
                changed.signalAll();
                return draining;
            }
        }

        private void write(List<byte[]> taken) throws IOException {
            if (taken.size() == 1) {
                connection.write(taken.getFirst(), taken.getFirst().length);
                return;
            }
            int length = 0;
            for (byte[] frame : taken) length += frame.length;
            byte[] spare = spareBuffer.getAndSet(null);   // a new one each time costs a room of ten a fifth more
            byte[] all = spare != null && spare.length >= length ? spare : new byte[length];
            int end = 0;
            for (byte[] frame : taken) {
                System.arraycopy(frame, 0, all, end, frame.length);
                end += frame.length;
            }
            connection.write(all, length);
            spareBuffer.set(all);
        }
    }

    // --- 8. Rooms ----------------------------------------------------------------------------------------------------
    //
    // A room is a list of clients. To join and to leave replaces the list under the room's lock, so that all see these
    // in the same order. Relaying takes no lock, and yet what each client receives is a true history. For all that is
    // heard of a client - its join, its messages, its quit - is put into the outboxes by that client's own thread, one
    // after the other; and a newcomer has the joins of the others in its outbox before anybody finds it in the list.

    private static final byte[][] RELAYS_OWN_WORDS = {ascii("self"), ascii("join"), ascii("quit")};
    private static final int EVERYONE = -1, NOBODY = 0, MALFORMED = -2;   // what a target is if it is no id

    private final class Room {
        private final String name;
        private final Lock lock = new Lock();
        private volatile Client[] clients = {};   // by id; replaced under the lock, never changed
        private int lastId;                       // guarded by the lock

        Room(String name) { this.name = name; }

        /** Tells the newcomer its id and who is there, and then those of the newcomer; null if the room is gone. */
        Client join(WebSocket socket) {
            try (var locked = lock.hold()) {
                if (rooms.get(name) != this) return null;   // it has emptied, and the next of its name is another
                Client[] present = clients, all = Arrays.copyOf(present, present.length + 1);
                var newcomer = all[present.length] = new Client(++lastId, this, socket);
                socket.send(encodeText(newcomer.id + " self"));
                for (Client other : present) socket.send(encodeText(other.id + " join"));
                clients = all;
                byte[] join = encodeText(newcomer.id + " join");
                for (Client other : present) other.socket.send(join);
                return newcomer;
            }
        }

        /** Tells those who stay; if there are none, the room is gone. The client's own thread, once. */
        void leave(Client leaver) {
            try (var locked = lock.hold()) {
                clients = Stream.of(clients).filter(client -> client != leaver).toArray(Client[]::new);
                byte[] quit = encodeText(leaver.id + " quit");
                for (Client other : clients) other.socket.send(quit);
                if (clients.length == 0) rooms.remove(name);
            }
        }

        /** The client of that id, or null. Takes no lock. */
        Client find(int id) {
            Client[] present = clients;
            int at = Math.min(id, present.length) - 1;   // or before, where others have left: ids ascend from 1
            while (at >= 0 && present[at].id > id) at--;
            return at >= 0 && present[at].id == id ? present[at] : null;
        }
    }

    /** Lets a client into the room it asked for. Its own thread. (A test puts an echo in its place.) */
    Handler enter(WebSocket socket) {
        Client client = null;
        while (client == null) client = rooms.computeIfAbsent(socket.target, Room::new).join(socket);
        log("join", socket.target, client.id, socket.address);
        return client;
    }

    /** A WebSocket in a room, and what is on its way from there to others. Its batch: own thread. */
    private final class Client implements Handler {
        final int id;
        final byte[] prefix;   // the id, as it begins each message from it
        final Room room;
        final WebSocket socket;
        private final List<byte[]> batch = new ArrayList<>();   // frames that are put off, all for
        private int batchTarget;                                // this target

        Client(int id, Room room, WebSocket socket) {
            this.id = id;
            this.prefix = ascii(id + "");
            this.room = room;
            this.socket = socket;
        }

        /**
         * Makes "sender msgtype data" of "target msgtype data", and puts it off until all that came in the same read is
         * taken: what goes to the same target is passed on together. @throws CloseException 1008 if it has no such form
         */
        @Override
        public void take(Frame message) throws CloseException {
            byte[] bytes = message.bytes;
            int space = indexOfSpace(bytes, message.start, message.end);
            int typeEnd = indexOfSpace(bytes, Math.min(space + 1, message.end), message.end);
            int target = target(bytes, message.start, space);
            if (target == MALFORMED || typeEnd <= space + 1)
                throw refusal("expected '<id or *> <msgtype> [<data>]'", message);
            for (byte[] word : RELAYS_OWN_WORDS)
                if (Arrays.equals(bytes, space + 1, typeEnd, word, 0, word.length))
                    throw refusal("only the relay says self, join and quit", message);

            if (target != batchTarget) flush();
            batchTarget = target;
            batch.add(encode(message.opcode, prefix, bytes, space, message.end));
        }

        @Override
        public void leave() {
            try {
                flush();
                log("quit", room.name, id, socket.address, socket.end());   // before another of this id can be there
            } finally {
                room.leave(this);
            }
        }

        @Override
        public void flush() {
            if (batch.isEmpty()) return;
            byte[][] frames = batch.toArray(byte[][]::new);
            batch.clear();
            int receivers = 0;
            if (batchTarget == EVERYONE) {
                Client[] present = room.clients;
                for (Client receiver : present) if (receiver != this) receiver.socket.send(frames);
                receivers = present.length - 1;
            } else {
                Client receiver = room.find(batchTarget);
                if (receiver != null) {   // or else it may just have quit
                    receiver.socket.sendPatiently(socket, frames);
                    receivers = 1;
                }
            }
            long bytes = 0;
            for (byte[] frame : frames) bytes += frame.length;
            metrics.messages.add(frames.length);
            metrics.deliveries.add((long) receivers * frames.length);
            metrics.bytes.add(receivers * bytes);
        }
    }

    private static CloseException refusal(String sentence, Frame message) {
        String got = message.text(message.start, Math.min(message.end, message.start + 40));
        return new CloseException(1008, sentence + ", got '" + printable(got) + "'");
    }

    private static int target(byte[] bytes, int start, int end) {
        if (end - start == 1 && bytes[start] == '*') return EVERYONE;
        int id = 0;
        for (int at = start; at < end; at++) {
            if (bytes[at] < '0' || bytes[at] > '9') return MALFORMED;
            id = id * 10 + bytes[at] - '0';
        }
        return start == end ? MALFORMED : end - start > 9 || bytes[start] == '0' ? NOBODY : id;
    }

    /** The end, if there is none. */
    private static int indexOfSpace(byte[] bytes, int start, int end) {
        while (start < end && bytes[start] != ' ') start++;
        return start;
    }

    // --- 9. STUN -----------------------------------------------------------------------------------------------------
    //
    // A player behind a home router does not know the address that the world sees. So a browser asks a STUN server
    // "where do I come from?" and tells the other player the answer through the relay; both then send there, which
    // opens the way through both routers. This is that server, RFC 8489 §12: it answers a Binding request with the
    // address from which that came, and remembers nothing.
    //
    // A message has a header of 20 bytes: its type, the length of what follows, the cookie by which STUN is known, and
    // an ID that the answer repeats. Attributes follow, each a type, a length and a value padded to four bytes. The
    // address in the answer is XORed with cookie and ID, since some routers rewrite addresses that they see in packets.
    //
    // Anybody can forge a sender's address to have the answer sent to a victim. That gains nothing here: a datagram
    // brings one datagram at most, never over twice as long with its UDP header: 28 bytes bring 40, or 52 over IPv6.
    // And nothing but a request is answered, so that two servers cannot be made to answer one another for ever.

    private static final int BINDING = 0x0001, SUCCESS = 0x0101, ERROR = 0x0111;   // RFC 8489 §5
    private static final int COOKIE = 0x2112a442;   // in requests before 2008 there was none, RFC 3489
    private static final int MESSAGE_INTEGRITY = 0x0008, ERROR_CODE = 0x0009, UNKNOWN_ATTRIBUTES = 0x000a,   // §18.3
            MESSAGE_INTEGRITY_SHA256 = 0x001c, XOR_MAPPED_ADDRESS = 0x0020, FINGERPRINT = 0x8028;
    // Attributes below 0x8000 must be known, or the answer is an error. Those of the RFC are, and do not matter here.
    private static final Set<Integer> KNOWN = Set.of(0x01, 0x06, 0x08, 0x09, 0x0a, 0x14, 0x15, 0x1c, 0x1d, 0x1e, 0x20);

    private void serveStun() {
        var bytes = new byte[MAX_STUN + 1];   // what is too long is cut off to this, a length that no message has
        while (!closing) {
            try {
                var datagram = new DatagramPacket(bytes, bytes.length);
                stun.receive(datagram);
                var from = (InetSocketAddress) datagram.getSocketAddress();
                byte[] answer = answerStun(bytes, datagram.getLength(), from);
                // Java cannot say from which address: a machine with several may use another than was asked, and the
                // asker's router drops that. The way out is --host.
                if (answer != null) stun.send(new DatagramPacket(answer, answer.length, from));
            } catch (IOException | OutOfMemoryError e) {
                pause(1);   // we have closed or, more likely, nothing can be sent to an address that was forged
            }
        }
    }

    /** The response to a datagram, null if that is no right Binding request: RFC 8489 §6.3, §14. Knows no socket. */
    static byte[] answerStun(byte[] bytes, int length, InetSocketAddress from) {
        var request = ByteBuffer.wrap(bytes);
        if (length < 20 || length % 4 != 0) return null;
        if (request.getInt(0) != (BINDING << 16 | length - 20) || request.getInt(4) != COOKIE) return null;
        if (from.getPort() == 0) return null;   // where nothing can be sent
        var unknown = new ArrayList<Integer>();
        boolean fingerprinted = false, sealed = false;
        for (int at = 20, size; at < length; at += 4 + size + 3 & ~3) {
            int type = request.getShort(at) & 0xffff;
            size = request.getShort(at + 2) & 0xffff;
            if (fingerprinted || size > length - at - 4) return null;   // FINGERPRINT is the last; nothing is cut off
            fingerprinted = type == FINGERPRINT;
            if (fingerprinted && (size != 4 || request.getInt(at + 4) != fingerprint(bytes, at))) return null;
            if (type < 0x8000 && !sealed && !KNOWN.contains(type)) unknown.add(type);
            sealed |= type == MESSAGE_INTEGRITY || type == MESSAGE_INTEGRITY_SHA256;   // what follows is void
        }

        var answer = ByteBuffer.allocate(2 * (8 + length) - 8);   // the bound that is promised above
        answer.position(4).put(bytes, 4, 16);                     // the cookie and the ID
        if (unknown.isEmpty()) {
            byte[] address = from.getAddress().getAddress();   // 4 bytes for an IPv4 client of an IPv6 socket, too
            answer.putInt(XOR_MAPPED_ADDRESS << 16 | 4 + address.length);
            answer.putInt((address.length == 4 ? 1 : 2) << 16 | from.getPort() ^ COOKIE >>> 16);
            for (int i = 0; i < address.length; i++) answer.put((byte) (address[i] ^ bytes[4 + i]));
        } else {
            answer.putInt(ERROR_CODE << 16 | 4).putInt(4 << 8 | 20);   // 420, of which the hundreds stand apart
            answer.putInt(UNKNOWN_ATTRIBUTES << 16 | 2 * unknown.size());
            for (int type : unknown) answer.putShort((short) type);
            if (unknown.size() % 2 > 0) answer.putShort((short) 0);
        }
        int end = answer.position(), whole = fingerprinted ? end + 8 : end;
        answer.putInt(0, (unknown.isEmpty() ? SUCCESS : ERROR) << 16 | whole - 20);
        if (fingerprinted) answer.putInt(FINGERPRINT << 16 | 4).putInt(fingerprint(answer.array(), end));
        return Arrays.copyOf(answer.array(), whole);
    }

    /** A checksum of the bytes before it, by which STUN is told from other protocols: RFC 8489 §14.7. */
    private static int fingerprint(byte[] bytes, int length) {
        var crc = new CRC32();
        crc.update(bytes, 0, length);
        return (int) crc.getValue() ^ 0x5354554e;
    }
}
