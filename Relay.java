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
 *   2. The relay      listening, the loops, the budget, shutdown, the log
 *   3. Connection     a socket and its outbox, which makes many frames one write; how it ends
 *   4. HTTP           a request in, a response out, files, the opening handshake
 *   5. Frames in      bytes to messages: RFC 6455, masks, fragments, UTF-8
 *   6. Frames out     messages to bytes
 *   7. WebSocket      both directions together: pings, closing, who waits for whom
 *   8. Rooms          who is there, and where a message goes
 *   9. STUN           telling players where they come from, so that they can connect directly
 *
 * The path of a message: the loop finds a socket ready and reads it into its Input -> a Frame, unmasked in place (or
 * where its pieces gather) and checked -> the sender's Client encodes the outgoing frame once -> that one array is put
 * into the outbox of each receiver -> in this turn of the loop or the next, each outbox is written to its socket, up to
 * 128 KiB in one write. All of it happens on one thread: that of the loop to which the room belongs.
 *
 * Who reads for the first time needs 2 and 3, of 4 the opening handshake, then 5 to 8.
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

@SuppressWarnings("serial")   // its exceptions are never serialized
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
     * The options, and with them all limits; what the command line lacks is here for tests to shorten. In milliseconds
     * and bytes. 10,000 clients with 1 MiB of message and 4 MiB of outbox each would come to 50 GiB: hence the budget.
     */
    static final class Options {
        int port = 8080;                                     // 0: any free one
        InetAddress host = null;                             // null: all addresses of this machine
        int stunPort = 0;                                    // UDP; 0: of the same number, -1: none
        Path folder = Path.of("spacewar");                   // served if it is there
        final List<String> origins = new ArrayList<>();      // in the form of plainOrigin, or *
        boolean metrics = false;
        boolean quiet = false;
        int maxClients = 10_000;                             // each takes some memory and a descriptor
        int maxVisitors = 1_000;                             // connections that are no clients: pages, handshakes
        int maxMessage = 1 << 20;                            // a game sends hundreds of bytes, a file transfer more
        int maxOutbox = 4 << 20;                             // what a client may be behind before it is given up
        long budget = Runtime.getRuntime().maxMemory() / 4;  // outboxes and untaken input: the heap never runs out
        long headTime = 10_000;                              // for a request head to arrive, in all
        long pingAfter = 20_000;                             // of silence; proxies cut off after 30 to 60 s
        long stallTime = 10_000;                             // who takes nothing for longer is given up
        long farewellTime = 3_000;                           // for a closing peer to take our last words
    }

    private static final int MAX_STUN = 1_500;           // a STUN request: browsers send 20 bytes
    private static final int MAX_HEAD = 8 << 10;         // a request head: browsers send 500 bytes, with cookies 4,000
    private static final int MAX_HEADERS = 100;          // in it: each costs ten times its shortest line
    private static final int MAX_READ = 64 << 10;        // what one read may bring, and the most that is kept for later
    private static final int LEAST_READ = 4 << 10;       // what it may always bring
    private static final int MAX_TURN = 1 << 20;         // what those of a turn may bring, or the others wait for long
    private static final int MAX_NEW = 30;               // new connections in a turn, and STUN requests
    private static final int MAX_SHARE = 200_000;        // ns, for which one is read: a room of thousands takes long
    private static final int MAX_WRITE = 128 << 10;      // what one write may take along
    private static final int LEAST_WRITES = 8;           // in a turn, however short its reading was
    private static final int FIRST_PIECE = 16 << 10;     // of memory for a long message, which grows as that comes
    private static final int FILE_PIECE = 16 << 10;      // of a file, in memory at a time: a thousand may ask for some
    private static final int SEND_BUFFER = 256 << 10;    // the system's; progress shows only when a third of it is free
    private static final int STUCK = 100;                // ms; who takes nothing for longer may be blamed by judge()
    private static final int FRAME_OVERHEAD = 24;        // of an array in an outbox, besides its bytes

    // --- 2. The relay ------------------------------------------------------------------------------------------------
    //
    // A loop is a thread that attends to many sockets and waits for none: it asks the system which of all are ready,
    // does for each of these what can be done, and asks again. There is a loop for each processor. A room belongs to
    // one of them, which its name decides, and with it all that happens in the room: so nothing there needs a lock, and
    // a room has one processor at most. The first loop also accepts connections, speaks HTTP with them, answers STUN.
    //
    // In each turn a loop first reads, which puts frames into outboxes, and then writes these. So what has gathered for
    // a client by then leaves in one system call, and that is what makes a relay cheap. A loop must not wait for disks:
    // what is no handshake, or is refused, is answered by a virtual thread of its own, in plain code.
    //
    // That the peer is gone shows as an IOException. This is no error anywhere; it ends the connection.

    private final Options options;
    private final Folder folder;                                          // null: no files
    private final List<Loop> loops = new ArrayList<>();                   // empty until started
    private final Set<Connection> connections = ConcurrentHashMap.newKeySet();   // of all loops
    private final Map<String, Room> rooms = new ConcurrentHashMap<>();    // by name; none of them is empty
    private final Metrics metrics = new Metrics();
    final AtomicLong buffered = new AtomicLong();                         // bytes; what the budget limits
    private final AtomicLong lastTrial = new AtomicLong(now());           // of judge(), which looks at everybody
    private volatile long overBudgetSince;                                // judge() tells
    private final ExecutorService log = new ThreadPoolExecutor(0, 1, 1, TimeUnit.SECONDS,
            new ArrayBlockingQueue<>(10_000), Thread.ofPlatform().name("relay-log").daemon().factory(),
            new ThreadPoolExecutor.DiscardPolicy());   // what is too much for a terminal that has stopped is lost
    private ServerSocketChannel listener;                                 // null until started
    private DatagramChannel stun;                                         // the same, and without STUN
    private volatile boolean closing;

    Relay(Options options) {
        this.options = options;
        this.folder = Files.isDirectory(options.folder) ? new Folder(options.folder) : null;
    }

    /** Listens and returns; the rest happens on threads of its own until close(). @throws IOException without a port */
    Relay start() throws IOException {
        listen(options.port == 0 ? 100 : 1);
        for (int i = 0; i < Runtime.getRuntime().availableProcessors(); i++) loops.add(new Loop());
        Loop first = loops.getFirst();
        first.acceptor = listener.configureBlocking(false).register(first.selector, OP_ACCEPT);
        if (stun != null) stun.configureBlocking(false).register(first.selector, OP_READ);
        loops.forEach(Thread::start);
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
            stun = DatagramChannel.open();
            stun.bind(new InetSocketAddress(proxied ? null : options.host, number));   // all, as no proxy passes on UDP
        } catch (IOException e) {
            closeQuietly(listener);
            closeQuietly(stun);
            boolean taken = e.toString().contains("in use");   // or else the address is not ours
            if (tries == 1)
                throw new IOException("cannot listen on " + port + ": " + e.getMessage() + (taken ? "; " + wayOut : ""),
                        e);
            listen(tries - 1);
        }
    }

    int port() { return listener.socket().getLocalPort(); }
    int stunPort() { return stun == null ? -1 : stun.socket().getLocalPort(); }   // -1, too, once that is closed

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

    /** Ends it: 1001 to every client, some seconds to take it, then the sockets are closed. From any thread. */
    @Override
    public void close() {
        if (loops.isEmpty() || closing) return;
        closing = true;
        closeQuietly(listener);
        closeQuietly(stun);
        connections.forEach(connection -> connection.execute(Connection::shutDown));
        awaitUntil(connections::isEmpty, options.farewellTime);
        connections.forEach(connection -> connection.execute(Connection::end));
        awaitUntil(connections::isEmpty, 500);
        loops.forEach(loop -> loop.execute(() -> loop.stopped = true));
        awaitUntil(() -> loops.stream().noneMatch(Thread::isAlive), 500);   // or the ports would still be taken
        log.shutdown();
        awaitUntil(log::isTerminated, 500);
    }

    /** A step in the life of a connection. @throws IOException if the peer is gone */
    interface Step {
        void run(Connection connection) throws IOException;
    }

    /** A thread and the connections that it attends to. All is its own, but what says otherwise. */
    private final class Loop extends Thread {
        final Input input = new Input(MAX_READ);                              // all connections read into this
        final ByteBuffer output = ByteBuffer.allocateDirect(MAX_WRITE);       // and write from this
        private final Selector selector = Selector.open();
        private final Queue<Connection> unsettled = new ArrayDeque<>();       // those about which something has changed
        private final Queue<Connection> resting = new ArrayDeque<>();         // those that have had their share
        private final Queue<Runnable> tasks = new ConcurrentLinkedQueue<>();  // from any thread
        private SelectionKey acceptor;                                        // for new connections; the first loop's
        private long began;                                                   // this turn did, at so many ns
        private int readable;                                                 // bytes of each connection in this turn
        private long nextSweep = now();
        private volatile boolean stopped;

        Loop() throws IOException { super("relay-loop"); }

        @Override
        public void run() {
            while (!stopped || !unsettled.isEmpty()) turn();
            closeQuietly(selector);
            runTasks();
        }

        private void turn() {
            try {
                try {
                    read();
                } finally {
                    write();   // also if there is no memory to read: this frees some
                }
            } catch (IOException | RuntimeException | Error e) {   // what has not been done is left to the next turn
                if (!(e instanceof Error)) log("error", "in a loop: " + e);
                pause(1);
            }
        }

        private void read() throws IOException {
            boolean idle = unsettled.isEmpty() && resting.isEmpty() && tasks.isEmpty();
            if (idle) selector.select(Math.max(1, nextSweep - now()));
            else selector.selectNow();
            began = System.nanoTime();
            for (int i = resting.size(); i > 0; i--) let(resting.poll(), Connection::readOn);
            readable = Math.clamp(MAX_TURN / Math.max(1, selector.selectedKeys().size()), LEAST_READ, MAX_READ);
            selector.selectedKeys().forEach(this::attend);
            selector.selectedKeys().clear();
        }

        private void attend(SelectionKey key) {
            if (key.attachment() instanceof Connection connection) let(connection, Connection::attend);
            else if (key == acceptor) accept();
            else serveStun();
        }

        private void runTasks() {
            for (Runnable task; (task = tasks.poll()) != null; ) task.run();
        }

        /**
         * For as long as the reading took, or until memory is free. Those left come first in the next turn, and with
         * more: to write to all of a room of a hundred before reading again costs a half more.
         */
        private void write() {
            runTasks();
            long end = 2 * System.nanoTime() - began;
            for (int i = 0; i < LEAST_WRITES || isOverBudget() || System.nanoTime() < end; i++) {
                if (unsettled.isEmpty()) break;
                let(unsettled.poll(), Connection::settle);
            }
            if (now() >= nextSweep) sweep();
            if (isOverBudget()) {
                judge();
                if (unsettled.isEmpty() && resting.isEmpty()) pause(5);
            }
        }

        /** Takes that step. If it fails, that is the end of this connection, and of no other. */
        void let(Connection connection, Step step) {
            try {
                step.run(connection);
            } catch (IOException | CancelledKeyException gone) {
                connection.end();
            } catch (RuntimeException | Error failure) {
                String reason = "a bug or no memory: " + failure;
                connection.abort(1011, reason);
                log("error", reason);
            }
        }

        /** Does that in the same turn, after the reading, or in the next. From any thread. */
        void execute(Runnable task) {
            tasks.add(task);
            if (stopped) runTasks();   // on the caller's thread, since nobody else will
            else if (Thread.currentThread() != this) selector.wakeup();
        }

        private void accept() {
            try {
                SocketChannel channel;
                for (int i = 0; i < MAX_NEW && (channel = listener.accept()) != null; i++) admit(channel);
            } catch (IOException | OutOfMemoryError e) {
                if (closing) return;
                log("error", "cannot accept: " + e.getMessage());   // out of descriptors, likely
                acceptor.interestOps(0);                            // until the next sweep
            }
        }

        /** If there is no place for another visitor, the one who has been silent for longest goes. */
        private void admit(SocketChannel channel) throws IOException {
            int clients = Math.min(metrics.clients.get(), options.maxClients);   // the others are being turned away
            int visitors = connections.size() - clients;
            if (visitors >= options.maxVisitors)   // those who ask for nothing must not keep others out
                connections.stream().filter(Connection::isVisitor).min(Comparator.comparingLong(Connection::lastActive))
                        .ifPresent(visitor -> visitor.execute(Connection::end));
            if (visitors >= 2 * options.maxVisitors) {   // so many are going already
                channel.close();
                return;
            }
            try {
                channel.setOption(StandardSocketOptions.TCP_NODELAY, true);   // or games wait up to 40 ms for an ACK
                channel.setOption(StandardSocketOptions.SO_SNDBUF, SEND_BUFFER).configureBlocking(false);
                var visit = new Visit(this, channel);
                if (closing) visit.end();
            } catch (IOException | OutOfMemoryError e) {   // of the peer, who is gone, or for it
                channel.close();
            }
        }

        /** Looks at all deadlines, about once a second. A timer for each would cost more. */
        private void sweep() {
            var times = List.of(options.headTime, options.pingAfter, options.stallTime, options.farewellTime);
            nextSweep = now() + Math.clamp(Collections.min(times) / 3, 10, 1_000);   // a second, but for tests
            for (SelectionKey key : selector.keys())
                if (key.attachment() instanceof Connection connection) let(connection, Connection::sweep);
            if (acceptor != null && acceptor.isValid()) acceptor.interestOps(OP_ACCEPT);
        }
    }

    private boolean isOverBudget() { return buffered.get() > options.budget; }
    private long fairShare() { return options.budget / 2 / Math.max(1, connections.size()); }

    /**
     * Past the budget, few sockets are read, and mostly that is soon over. If clients finish no message or take none,
     * those who hold the most are cut off, until a quarter of the budget is or will be free. From any loop.
     */
    private void judge() {
        long now = now(), last = lastTrial.get();
        if (now < last + 10 || !lastTrial.compareAndSet(last, now)) return;
        if (now > last + STUCK) overBudgetSince = now;
        long fairShare = fairShare();
        var toBlame = connections.stream().filter(one -> one.blocked(now) >= fairShare)
                .map(one -> Map.entry(one.held(), one))   // which may change while they are sorted
                .sorted(Map.Entry.comparingByKey(Comparator.reverseOrder())).iterator();
        for (long excess = buffered.get() - options.budget * 3 / 4; excess > 0 && toBlame.hasNext(); ) {
            var most = toBlame.next();
            excess -= most.getKey();
            most.getValue().execute(
                    one -> one.abort(1006, "all buffers together are full, and this client's hold the most"));
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
            if (socket != null) socket.close();
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
    // A socket, what has come from it and had to wait, and what waits to be written to it: its outbox. There are two
    // kinds: a Visit speaks HTTP, and a WebSocket takes its place on the same socket if the visitor asks for that.
    //
    // If a socket were closed while unread bytes wait in it, TCP would reset the connection, and that can overtake our
    // last words. So a connection ends in steps. endSoon() shuts the outbox and sets a deadline; once all is written,
    // the peer is told that this was all; when the peer says so, too, or at the deadline, the socket is closed. abort()
    // does that at once, and so does end(), since the peer is gone. After each of them comes settle().

    /** All of it is its loop's own. Others may execute() a step and read what is volatile, and call blocked(). */
    abstract class Connection {
        static final long NEVER = Long.MAX_VALUE;

        final Loop loop;
        final SocketChannel channel;                // never blocks
        final SelectionKey key;                     // tells the system what the loop wants to know of the socket
        private final int mostToRead;               // bytes that one read may bring, hence the most that have to wait
        byte[] unread = NOTHING;                    // what has come and was not taken: part of a frame, or all of them
        boolean inputEnded;                         // the peer sends no more
        private final ArrayDeque<byte[]> outbox = new ArrayDeque<>(4);   // in order
        private int written;                        // bytes of its first frame that have gone already
        boolean shut;                               // it takes no more: what is sent is lost
        boolean unsettled, resting;                 // this is in the loop's queue of that name
        boolean over;                               // this has ended, or a WebSocket has taken its place
        volatile int waiting;                       // bytes in the outbox
        volatile int booked;                        // bytes of memory for what has come
        volatile long lastHeard = now();            // when a byte came last
        volatile long stuckSince = NEVER;           // when the system took no more, till it says that it does again
        volatile CloseException outcome;            // how it ends; null as long as it does not
        private long deadline = NEVER;              // when it must have ended, once it is ending

        Connection(Loop loop, SocketChannel channel, int mostToRead) throws IOException {
            this.loop = loop;
            this.channel = channel;
            this.key = channel.register(loop.selector, OP_READ, this);   // on the same loop as before it is the same
            this.mostToRead = mostToRead;
            connections.add(this);
        }

        /** Takes what it can of the input; what is left comes again, with more. */
        abstract void take(Input input) throws IOException;

        /** Whether take() would take anything, if it were whole. */
        abstract boolean isReading();

        /** About once a second. @param silence ms since a byte came */
        abstract void checkSilence(long silence) throws IOException;

        /** The relay is shutting down. */
        void shutDown() { end(); }

        /** Does that on the loop's thread: now, if this is it. From any thread. */
        void execute(Step step) {
            if (Thread.currentThread() == loop) loop.let(this, step);
            else loop.execute(() -> loop.let(this, step));
        }

        /** The socket is ready to be read or written. */
        void attend() throws IOException {
            if (key.isWritable()) {
                stuckSince = NEVER;
                settleSoon();
            }
            if (!key.isReadable() || !wantsInput()) return;
            lastHeard = now();
            if (!mayRead()) return;   // what is not read takes no memory; the next turn is told of it again
            loop.input.restart(unread);
            inputEnded = loop.input.readFrom(channel, Math.min(mostToRead, loop.readable)) < 0;
            if (inputEnded) endSoon(1006, "connection lost");   // not at once: perhaps the peer still reads
            takeAndKeep();
        }

        /** Goes on with what had to wait. */
        void readOn() throws IOException {
            resting = false;
            if (over) return;
            loop.input.restart(unread);
            takeAndKeep();
            settleSoon();
        }

        /** Lets others have their turn before it reads on. */
        void readOnSoon() {
            if (!resting) loop.resting.add(this);
            resting = true;
            settleSoon();
        }

        private void takeAndKeep() throws IOException {
            if (!isEnding()) take(loop.input);
            if (over) return;
            byte[] rest = isEnding() ? NOTHING : loop.input.rest();
            bookInput(rest.length - unread.length);
            unread = rest;
        }

        /** Past the budget, those who hold little go on, as most who only play do; a quarter further, nobody does. */
        private boolean mayRead() {
            return !isOverBudget() || held() < fairShare() && buffered.get() < options.budget * 5 / 4;
        }

        private boolean wantsInput() { return !inputEnded && (isEnding() || isReading() && !resting); }

        /** Has the loop settle it in this turn, after all reading, or in one of the next. */
        void settleSoon() {
            if (!unsettled) loop.unsettled.add(this);
            unsettled = true;
        }

        /** Writes, ends if it is time, and says for what it waits next. */
        void settle() throws IOException {
            unsettled = false;
            if (over) return;
            flush();
            if (isEnding() && outbox.isEmpty()) {
                if (inputEnded) end();
                else channel.shutdownOutput();
            }
            if (!over) key.interestOps((isStuck() ? OP_WRITE : 0) | (wantsInput() ? OP_READ : 0));
        }

        /** Puts it into the outbox, unless that is shut. Much goes at once, so who keeps up has a small outbox. */
        void post(byte[] bytes) {
            if (waiting > MAX_WRITE) flush();
            if (shut) return;
            outbox.add(bytes);
            bookOutput(cost(bytes));
            settleSoon();
        }

        /** Writes as much as the system takes. */
        void flush() {
            try {
                while (!outbox.isEmpty() && !isStuck()) {
                    ByteBuffer output = gather();
                    strike(channel.write(output));
                    if (output.hasRemaining()) stuckSince = now();
                }
            } catch (IOException broken) {   // yet what it sent before may still be read
                shut = true;
                discard(0);
            }
        }

        private ByteBuffer gather() {
            ByteBuffer output = loop.output.clear();
            int from = written;
            for (byte[] frame : outbox) {
                output.put(frame, from, Math.min(frame.length - from, output.remaining()));
                if (!output.hasRemaining()) break;
                from = 0;
            }
            return output.flip();
        }

        /** Takes out of the outbox what has been written. */
        private void strike(int count) {
            int freed = 0;
            for (written += count; !outbox.isEmpty() && written >= outbox.peek().length; ) {
                byte[] gone = outbox.poll();
                written -= gone.length;
                freed += cost(gone);
            }
            bookOutput(-freed);
        }

        /** Empties the outbox but for so many of its first, as the very first may be half written. */
        void discard(int kept) {
            while (outbox.size() > kept) bookOutput(-cost(outbox.pollLast()));
            if (kept > 0) return;
            written = 0;
            stuckSince = NEVER;
        }

        private static int cost(byte[] bytes) { return bytes.length + FRAME_OVERHEAD; }

        private void bookOutput(int bytes) {
            waiting += bytes;   // not atomic, nor need it be: only the loop writes it
            buffered.addAndGet(bytes);
        }

        /** Books memory taken for what comes in, in bytes, or given back if negative. */
        void bookInput(int bytes) {
            if (bytes == 0 || over) return;   // once it is over, all has been given back
            booked += bytes;
            buffered.addAndGet(bytes);
        }

        /** Sends no more than is in the outbox, and ends when the peer does or at the deadline. The first counts. */
        void endSoon(int code, String reason) {
            if (outcome == null) outcome = new CloseException(code, reason);
            shut = true;
            deadline = Math.min(deadline, now() + options.farewellTime);
            settleSoon();
        }

        void end() { abort(1006, "connection lost"); }

        /** Ends it without a word. */
        void abort(int code, String reason) {
            if (over) return;
            endSoon(code, reason);
            discard(0);
            bookInput(-booked);
            over = true;
            connections.remove(this);
            closeQuietly(channel);
        }

        /** Looks at all deadlines. */
        void sweep() throws IOException {
            if (over) return;
            long now = now(), stallTime = options.stallTime;
            if (now - stallTime > stuckSince) abort(1006, "took too little for " + stallTime / 1000 + " s");
            else if (now >= deadline) end();
            else checkSilence(now - lastHeard);
        }

        /** Bytes that wait because of this client: those it does not take; a WebSocket adds its unfinished message. */
        long blocked(long now) { return now - STUCK > stuckSince ? waiting : 0; }   // by any thread, as all below
        long held() { return booked + waiting; }   // will be free when it is gone
        long lastActive() { return isStuck() ? Math.max(lastHeard, stuckSince) : lastHeard; }
        boolean isStuck() { return stuckSince != NEVER; }
        boolean isEnding() { return outcome != null; }
        boolean isVisitor() { return this instanceof Visit || isEnding(); }   // no client yet, or none any more
    }

    /** The bytes that have come and are not taken yet: bytes[start..end). Knows no socket. One thread. */
    static final class Input {
        final byte[] bytes;
        int start, end;
        private final ByteBuffer room;

        Input(int size) {
            bytes = new byte[size];
            room = ByteBuffer.wrap(bytes);
        }

        /** Begins with what was left of the last time. */
        void restart(byte[] rest) {
            System.arraycopy(rest, 0, bytes, 0, rest.length);
            start = 0;
            end = rest.length;
        }

        /** Reads so many bytes at most; -1 at the end of the stream. */
        int readFrom(ReadableByteChannel channel, int most) throws IOException {
            int received = channel.read(room.limit(Math.min(end + most, bytes.length)).position(end));
            if (received > 0) end += received;
            return received;
        }

        int available() { return end - start; }
        int peek(int at) { return bytes[start + at] & 0xff; }
        byte[] rest() { return start == end ? NOTHING : Arrays.copyOfRange(bytes, start, end); }
    }

    // --- 4. HTTP -----------------------------------------------------------------------------------------------------
    //
    // HTTP/1.1 (RFC 9112) as far as a game needs it: GET and HEAD, and no request bodies. What is not exactly right is
    // refused with a sentence that says why, since a request that two programs read in two ways can be used to smuggle
    // another one past the first of them.

    /** A connection that speaks HTTP: request, answer and so on, until a request is one for a WebSocket. */
    private final class Visit extends Connection {
        private long headDue = now() + options.headTime;      // when the request must be here
        private CompletableFuture<Boolean> writing = new CompletableFuture<>();   // what the answer's thread waits for

        Visit(Loop loop, SocketChannel channel) throws IOException { super(loop, channel, MAX_HEAD); }

        @Override
        void take(Input input) throws IOException {
            Request request = Request.NONE;   // if it cannot be read
            try {
                request = Request.read(input);
                if (request == null) return;
                if (request.isForRelay()) checkOrigin(request.headers.get("origin"), request.header("host"));
                request.requireBodyless();
                if (request.isForRelay()) upgrade(request, input);
                else answer(request, Relay.this::respond);
            } catch (HttpException refusal) {
                refuse(request, refusal);
            }
        }

        /** Ends it, but not the socket: on that, and on the loop of its room, a WebSocket begins. */
        private void upgrade(Request request, Input input) throws HttpException, IOException {
            String accept = acceptHandshake(request), address = address(request);
            Loop home = loops.get(Math.floorMod(request.target.hashCode(), loops.size()));
            byte[] rest = input.rest();   // of somebody who does not wait for our answer
            bookInput(-booked);
            over = true;
            if (home != loop) key.cancel();
            home.execute(() -> {
                try {
                    var socket = new WebSocket(home, channel, request.target, address);
                    home.let(socket, one -> socket.open(accept, rest));
                } catch (IOException | RuntimeException | Error gone) {
                    closeQuietly(channel);
                } finally {
                    connections.remove(this);   // only now, or a relay that shuts down might think that all are gone
                }
            });
        }

        private void refuse(Request request, HttpException refusal) throws IOException {
            if (request == Request.NONE || request.isForRelay())
                log("refuse", request.target, "-", address(request), refusal.response.status, refusal.getMessage());
            answer(request, asked -> refusal.response);
        }

        /** On a virtual thread, which may wait for a disk and for the client. */
        private void answer(Request request, Function<Request, Response> response) {
            headDue = NEVER;
            settleSoon();
            Thread.startVirtualThread(() -> {
                try {
                    boolean more = request.keepAlive() && !closing;
                    response.apply(request).send(this, more, !request.method.equals("HEAD"));
                    execute(more ? visit -> next() : visit -> endSoon(1000, "all is said"));
                } catch (IOException | RuntimeException | Error failure) {
                    execute(visit -> { throw failure; });
                }
            });
        }

        private void next() {
            headDue = now() + options.headTime;
            readOnSoon();
        }

        /** Returns when the loop has written it. The answer's thread. @throws IOException if that can't be */
        void write(byte[] bytes) throws IOException {
            var done = new CompletableFuture<Boolean>();
            execute(visit -> {
                writing = done;
                post(bytes);
                if (shut) done.complete(false);
            });
            if (!done.join()) throw new IOException("connection lost");
        }

        @Override
        void settle() throws IOException {
            super.settle();
            if (waiting == 0) writing.complete(!shut);
        }

        @Override boolean isReading() { return headDue != NEVER; }

        @Override
        void checkSilence(long silence) throws IOException {
            if (now() < headDue) return;
            String late = "a whole request must arrive within " + options.headTime / 1000 + " s";
            if (unread.length > 0) refuse(Request.NONE, new HttpException(408, late));
            else end();   // without a word, as nothing was asked
        }

        /** Where the client is: its own address or, behind a proxy on this machine, the one that the proxy tells. */
        private String address(Request request) throws IOException {
            InetAddress peer = ((InetSocketAddress) channel.getRemoteAddress()).getAddress();
            String told = request.header("x-forwarded-for");
            told = told.substring(told.lastIndexOf(',') + 1).strip();
            boolean proxied = peer.isLoopbackAddress() && ADDRESS.test(told);
            return proxied ? told : peer.getHostAddress();
        }
    }

    /** On the answer's thread, as all of Response and Folder. */
    private Response respond(Request request) {
        String path = request.path();
        if (path.equals("/health")) return Response.text(200, "ok");
        if (path.equals("/metrics") && options.metrics) return Response.text(200, metrics.text(rooms.size()));
        if (path.equals("/") && folder != null) return Response.redirect(folder.url + "/" + request.query());
        if (path.equals("/"))
            return Response.text(200, "A relay: connect to ws://" + request.header("host") + "/ws-relay/any/name");
        if (folder == null) return Response.text(404, "there are no files here, only WebSockets at /ws-relay");
        Response file = folder.get(request);
        if (file != null) return file;
        if (path.equals("/" + folder.url + "/ice.json")) return iceServers(request.header("host"));
        return Response.text(404, "there is no such file");
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

        /** The next one, RFC 9112; null if its head is not whole, which is then looked at again, 8 KiB at most. */
        static Request read(Input input) throws HttpException {
            while (input.available() >= 2 && input.peek(0) == '\r' && input.peek(1) == '\n') input.start += 2;   // §2.2
            int length = headLength(input);
            if (length == 0) return null;
            String head = new String(input.bytes, input.start, length, StandardCharsets.ISO_8859_1);
            input.start += length;

            String[] lines = head.split("\r\n"), start = lines[0].split(" ", -1);
            if (start.length != 3 || !TOKEN.test(start[0]) || !VERSION.test(start[2]))
                throw HttpException.expected("'GET /path HTTP/1.1'", lines[0]);
            if (!start[2].startsWith("HTTP/1.")) throw new HttpException(505, "expected HTTP/1.1, got " + start[2]);
            if (!start[1].startsWith("/"))   // it is meant for a proxy, §3.2.2
                start[1] = start[1].replaceFirst("^(?i)https?://[^/?]*/?", "/");
            if (!TARGET.test(start[1])) throw HttpException.expected("a path of visible ASCII", start[1]);

            if (lines.length > MAX_HEADERS + 1) throw new HttpException(431, "over " + MAX_HEADERS + " headers");
            var headers = new LinkedHashMap<String, String>();
            for (int i = 1; i < lines.length; i++) {
                String[] header = lines[i].split(":", 2);
                if (header.length < 2 || !TOKEN.test(header[0]))   // a folded line, too: it begins with a space
                    throw HttpException.expected("'Name: value'", lines[i]);
                headers.merge(header[0].toLowerCase(Locale.ROOT), header[1].strip(), (all, next) -> all + ", " + next);
            }
            var request = new Request(start[0], start[1], start[2], headers);
            request.check();
            return request;
        }

        /** Up to the first empty line, of lines that end with CR LF; 0 if that has not come. RFC 9112 §2.2. */
        private static int headLength(Input input) throws HttpException {
            int line = 0;   // where the one under way begins
            for (int at = 0; at < Math.min(input.available(), MAX_HEAD); at++) {
                int c = input.peek(at);
                boolean afterCr = at > 0 && input.peek(at - 1) == '\r';
                if (afterCr != (c == '\n') || c < ' ' && c != '\t' && c != '\r' && c != '\n' || c == 0x7f)
                    throw new HttpException(400, "got the control character " + (afterCr ? 13 : c) + " alone");
                if (c == '\n' && at - line == 1) return at + 1;
                if (c == '\n') line = at + 1;
            }
            if (input.available() < MAX_HEAD) return 0;
            throw new HttpException(line == 0 ? 414 : 431, "expected a head of at most " + MAX_HEAD + " bytes");
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
            return Stream.of(header(name).split(",")).anyMatch(word -> word.strip().equalsIgnoreCase(token));
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
        void send(Visit visit, boolean keepAlive, boolean withBody) throws IOException {
            with("X-Content-Type-Options", "nosniff");
            if (status != 304) with("Content-Length", length + "");
            if (!keepAlive) headers.merge("Connection", "close", (present, close) -> present + ", " + close);
            var head = new StringBuilder("HTTP/1.1 " + status + " \r\nDate: " + DATE.format(Instant.now()) + "\r\n");
            headers.forEach((name, value) -> head.append(name + ": " + value + "\r\n"));
            byte[] bytes = head.append("\r\n").toString().getBytes(StandardCharsets.ISO_8859_1);
            long left = withBody && status != 304 ? bytes.length + length : bytes.length;
            InputStream body = text != null ? new ByteArrayInputStream(text) : Files.newInputStream(file);
            try (var all = new SequenceInputStream(new ByteArrayInputStream(bytes), body)) {
                for (; left > 0; left -= bytes.length) {
                    bytes = all.readNBytes((int) Math.min(left, FILE_PIECE));
                    if (bytes.length == 0) throw new EOFException(file + " has become shorter");
                    visit.write(bytes);
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
        final String url;   // its name, as it stands in a URL

        Folder(Path folder) {
            root = folder.toAbsolutePath().normalize();
            url = root.toUri().getRawPath().replaceFirst("/$", "").replaceFirst(".*/", "");
        }

        /** A file, or where to look for it; null if there is none. */
        Response get(Request request) {
            String path = request.path();
            try {
                Path file = resolve(path);
                boolean folder = Files.isDirectory(file);
                if (folder && !path.endsWith("/"))
                    return Response.redirect(path.substring(path.lastIndexOf('/') + 1) + "/" + request.query());
                if (folder) file = resolve(path + "index.html");
                if (!folder && path.endsWith("/") || !Files.isRegularFile(file) || !Files.isReadable(file)) return null;
                return describe(request, file, Files.size(file), Files.getLastModifiedTime(file).toInstant());
            } catch (IOException | IllegalArgumentException doubt) {
                return null;
            }
        }

        /** The real file or folder of that path. @throws IOException if there is none or anything is in doubt */
        private Path resolve(String path) throws IOException {
            Path real = root.toRealPath(), file = real;
            String[] segments = path.substring(1).replaceFirst("/$", "").split("/", -1);
            for (int i = 0; i < segments.length; i++) {
                String segment = URI.create("/" + segments[i]).getPath().substring(1);   // decodes, once
                boolean visible = segment.matches("(?![.])[^\\x00-\\x1f\\x7f/\\\\:\ufffd]+");
                boolean right = i == 0 ? segment.equals(root.getFileName().toString()) : visible;
                if (!right) throw new NoSuchFileException(path);
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
     * RFC 6455 §10.2. A browser tells where its page came from; what tells nothing is no browser. It tells the page
     * nothing of a handshake that has failed: hence any other request is refused in the same way, and may be read.
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

    /**
     * How a connection ends, and the way out of any depth of a WebSocket: RFC 6455 §7.4. 1005 means no code, 1006 no
     * close. To refuse one thing more, throw one where frames are read or in Client.take.
     */
    static final class CloseException extends Exception {
        final int code;

        CloseException(int code, String reason) {
            super(reason, null, false, false);
            this.code = code;
        }

        @Override public String toString() { return (code + " " + printable(getMessage())).strip(); }
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

        private final int maxMessage;
        private final IntConsumer book;     // is told of bytes allocated, or freed if negative
        private final Utf8 utf8 = new Utf8();
        private boolean inFrame;            // its header has been read,
        private boolean last;               // it is the last of its message,
        private int opcode, left, mask;     // what it is, bytes of payload still to come, the key for these
        private int messageOpcode;          // of the message under way; CONTINUATION if there is none
        private byte[] message = NOTHING;   // what has come of it, unless it lies whole in the input (judge() looks),
        private int length;                 // and how much that is

        FrameReader(int maxMessage, IntConsumer book) {
            this.maxMessage = maxMessage;
            this.book = book;
        }

        /** The next whole message or control frame, null if it is not there. @throws CloseException 1002, 1007, 1009 */
        Frame next(Input input) throws CloseException {
            while (inFrame || readHeader(input)) {
                if (opcode == CLOSE) checkClose(input);
                boolean whole = input.available() >= left;
                if (opcode >= CLOSE) return whole ? takeInPlace(input, opcode) : null;
                if (whole && last && length == 0) {   // the usual case; nothing is copied
                    Frame frame = takeInPlace(input, messageOpcode);
                    if (messageOpcode == TEXT) utf8.check(frame.bytes, frame.start, frame.end);
                    return endOfMessage(frame);
                }
                append(input);
                if (left > 0) return null;
                inFrame = false;
                if (last) return endOfMessage(new Frame(messageOpcode, message, 0, length));
            }
            return null;
        }

        /** RFC 6455 §5.2; false if it is not all there. Each field is checked before the next one is waited for. */
        private boolean readHeader(Input input) throws CloseException {
            int there = input.available();
            if (there < 1) return false;
            int first = input.peek(0);
            boolean continues = messageOpcode != CONTINUATION;
            last = (first & 0x80) != 0;
            opcode = first & 0x0f;
            if ((first & 0x70) != 0) throw protocolError("a reserved bit is set, but no extension was agreed on");
            if (opcode > PONG || opcode > BINARY && opcode < CLOSE) throw protocolError("there is no opcode " + opcode);
            if (opcode >= CLOSE && !last) throw protocolError("a control frame must not come in fragments");
            if (opcode < CLOSE && continues != (opcode == CONTINUATION))
                throw protocolError("opcode " + opcode + (continues ? " within a message" : " continues nothing"));

            if (there < 2) return false;
            int second = input.peek(1), shortLength = second & 0x7f;
            if ((second & 0x80) == 0) throw protocolError("a client's frames must be masked");
            if (opcode >= CLOSE && shortLength > 125) throw protocolError("a control frame must not be over 125 bytes");
            int extended = shortLength == 126 ? 2 : shortLength == 127 ? 8 : 0, maskAt = 2 + extended;

            if (there < maskAt) return false;
            long announced = extended == 0 ? shortLength : 0;
            for (int i = 2; i < maskAt; i++) announced = announced << 8 | input.peek(i);
            if (announced < 0) throw protocolError("a negative length");
            if (extended == 2 && announced < 126 || extended == 8 && announced < 65536)
                throw protocolError("the length " + announced + " must not take " + extended + " bytes");
            if (opcode < CLOSE && announced > maxMessage - length)
                throw new CloseException(1009, "at most " + maxMessage + " bytes, got " + (length + announced));

            if (there < maskAt + 4) return false;
            mask = 0;
            for (int i = 0; i < 4; i++) mask |= input.peek(maskAt + i) << 8 * i;
            if (opcode != CONTINUATION && opcode < CLOSE) messageOpcode = opcode;
            left = (int) announced;
            input.start += maskAt + 4;
            inFrame = true;
            return true;
        }

        /** The payload where it lies, all of it being there. */
        private Frame takeInPlace(Input input, int opcode) {
            int start = input.start;
            input.start += left;
            inFrame = false;
            unmask(input.bytes, start, input.start, mask);
            return new Frame(opcode, input.bytes, start, input.start);
        }

        /** RFC 6455 §5.5.1 and §7.4; looks at what is there of it, through the mask. */
        private void checkClose(Input input) throws CloseException {
            int there = Math.min(left, input.available());
            if (left == 1) throw protocolError("a close with half a code");
            if (there < 2) return;
            int code = unmasked(input, 0) << 8 | unmasked(input, 1);
            boolean registered = code >= 1000 && code <= 1014 && (code < 1004 || code > 1006);
            if (!registered && (code < 3000 || code > 4999))
                throw protocolError("close code " + code + " must not be sent");
            var reason = new Utf8();
            for (int i = 2; i < there; i++) reason.next(unmasked(input, i));
            if (there == left) reason.finish();
        }

        private int unmasked(Input input, int at) { return (input.peek(at) ^ mask >>> 8 * (at & 3)) & 0xff; }

        /** A payload that is long, or in several frames, or still to come: each piece is checked as it comes. */
        private void append(Input input) throws CloseException {
            while (left > 0 && input.available() > 0) {
                if (length == message.length) grow();
                int count = Math.min(Math.min(left, input.available()), message.length - length);
                System.arraycopy(input.bytes, input.start, message, length, count);
                unmask(message, length, length + count, mask);
                if (messageOpcode == TEXT) utf8.check(message, length, length + count);
                mask = Integer.rotateRight(mask, 8 * count);   // the key goes on where this piece ends
                input.start += count;
                length += count;
                left -= count;
            }
        }

        /** After the first piece, memory grows with what has come: to claim a megabyte costs the client half of one. */
        private void grow() {
            int capacity = Math.min(maxMessage, Math.max(Math.min(length + left, FIRST_PIECE), 2 * length));
            book.accept(capacity - message.length);
            message = Arrays.copyOf(message, capacity);
        }

        private Frame endOfMessage(Frame whole) throws CloseException {
            if (messageOpcode == TEXT) utf8.finish();
            messageOpcode = CONTINUATION;
            length = 0;
            release();   // whoever has the frame keeps its bytes for as long as it takes
            return whole;
        }

        /** Frees the memory of the message under way. */
        void release() {
            if (message.length > 0) book.accept(-message.length);
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

    /** A frame with a whole payload: the prefix, then bytes[start..end). RFC 6455 §5.2. */
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

    /** What to do with the messages of a WebSocket. */
    interface Handler {
        /** @param message good until this returns */
        void take(Frame message) throws CloseException;

        default void leave() {}   // it has ended
    }

    final class WebSocket extends Connection {
        final String target, address;                 // what the client asked for; where it is
        private final FrameReader reader = new FrameReader(options.maxMessage, this::bookInput);
        private Handler handler = message -> {};
        private boolean left;                         // the room, if it was in one
        private boolean pinged;                       // since it was last heard of
        private byte[] parked;                        // a frame that waits for room there; meanwhile nothing is read
        private Queue<WebSocket> senders;             // who waits for room here; null if nobody ever has

        WebSocket(Loop loop, SocketChannel channel, String target, String address) throws IOException {
            super(loop, channel, MAX_READ);
            this.target = target;
            this.address = address;
        }

        /** Answers the handshake and enters. @param rest what has come already, after the request */
        void open(String accept, byte[] rest) {
            post(ascii("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    + "Sec-WebSocket-Accept: " + accept + "\r\n\r\n"));
            if (metrics.clients.incrementAndGet() <= options.maxClients) {
                handler = enter(this);
            } else {
                close(1013, "the relay is full: it takes " + options.maxClients + " clients");
                log("refuse", target, "-", address, outcome);
            }
            if (closing) shutDown();
            unread = rest;
            bookInput(rest.length);
            if (rest.length > 0) readOnSoon();
        }

        @Override boolean isReading() { return !isEnding() && parked == null; }

        @Override
        void take(Input input) {
            long began = System.nanoTime();
            try {
                for (Frame frame; isReading() && !resting && (frame = reader.next(input)) != null; ) {
                    switch (frame.opcode) {
                        case PING -> sendPatiently(this, encode(PONG, NOTHING, frame.bytes, frame.start, frame.end));
                        case PONG -> { /* to have come is all it is for */ }
                        case CLOSE -> close(frame.code(), frame.reason());   // echoes it, RFC 6455 §5.5.1
                        default -> handler.take(frame);
                    }
                    if (isOverBudget() || System.nanoTime() - began > MAX_SHARE) readOnSoon();
                }
            } catch (CloseException e) {
                close(e.code, e.getMessage());
            }
        }

        /** Sends without waiting: a client that is too far behind is closed. */
        void send(byte[] frame) {
            if (waiting > options.maxOutbox) {   // perhaps it takes more by now
                stuckSince = NEVER;
                flush();
            }
            if (waiting > options.maxOutbox) close(1008, "too slow: over " + options.maxOutbox + " bytes behind");
            else post(frame);
        }

        /** Sends once the outbox is at most half full; till then nothing more is read from the sender, maybe itself. */
        void sendPatiently(WebSocket sender, byte[] frame) {
            if (waiting <= options.maxOutbox / 2 || shut) {
                post(frame);
                return;
            }
            if (senders == null) senders = new ArrayDeque<>();
            senders.add(sender);
            sender.parked = frame;
            sender.bookInput(frame.length);
            sender.settleSoon();
        }

        /** Starts the closing handshake or answers it, RFC 6455 §7.1. Only the first call counts. */
        void close(int code, String reason) {
            if (isEnding()) return;
            if (waiting > options.maxOutbox) discard(1);   // or it would not come to the close in time
            post(encodeClose(code, reason));
            endSoon(code, reason);
        }

        @Override void shutDown() { close(1001, "the relay is shutting down"); }

        @Override
        void settle() throws IOException {
            super.settle();
            if (isEnding()) leave();
            while (senders != null && !senders.isEmpty() && (shut || waiting <= options.maxOutbox / 2))
                senders.poll().stopWaiting(this);
        }

        private void stopWaiting(WebSocket receiver) {
            if (parked == null) return;   // this has left
            receiver.post(parked);
            bookInput(-parked.length);
            parked = null;
            readOnSoon();
        }

        /** Not within close(), since that may come while the room goes through its clients. */
        private void leave() {
            if (left) return;
            left = true;
            parked = null;
            reader.release();
            metrics.clients.decrementAndGet();
            handler.leave();
            metrics.closes.computeIfAbsent(outcome.code, code -> new LongAdder()).increment();
        }

        @Override
        void checkSilence(long silence) {
            if (parked != null || resting) lastHeard = now();   // it is not heard because nobody listens
            else if (silence >= 2 * options.pingAfter) abort(1006, "silent for " + 2 * options.pingAfter / 1000 + " s");
            else if (silence >= options.pingAfter && !pinged) send(PING_FRAME);
            pinged = silence >= options.pingAfter;
        }

        @Override
        long blocked(long now) {
            boolean isToBlame = now - STUCK > overBudgetSince;   // else it may only wait to be read
            return super.blocked(now) + (isToBlame ? reader.message.length : 0);
        }
    }

    // --- 8. Rooms ----------------------------------------------------------------------------------------------------
    //
    // A room is a list of clients, and belongs to one loop. All that is heard of a client - its join, its messages, its
    // quit - is put into the outboxes of the others as it happens, one after the other. So what each client receives is
    // a true history.

    private static final byte[][] RELAYS_OWN_WORDS = {ascii("self"), ascii("join"), ascii("quit")};
    private static final int EVERYONE = -1, NOBODY = 0, MALFORMED = -2;   // what a target is if it is no id

    /** Lets a client into the room it asked for. (A test puts an echo in its place.) */
    Handler enter(WebSocket socket) {
        return rooms.computeIfAbsent(socket.target, name -> new Room()).join(socket);
    }

    /** All on its loop's thread. */
    private final class Room {
        private final List<Client> clients = new ArrayList<>(4);   // by id
        private int lastId;

        /** Tells the newcomer its id and who is there, and then those of the newcomer. */
        Client join(WebSocket socket) {
            var newcomer = new Client(socket);
            socket.send(encodeText(newcomer.id + " self"));
            for (Client other : clients) socket.send(encodeText(other.id + " join"));
            tellOthers(newcomer, encodeText(newcomer.id + " join"));
            clients.add(newcomer);
            log("join", socket.target, newcomer.id, socket.address);
            return newcomer;
        }

        private int tellOthers(Client sender, byte[] frame) {
            for (Client other : clients) if (other != sender) other.socket.send(frame);
            return clients.size() - 1;
        }

        /** Tells the client of that id, if there is one: it may just have quit. */
        private int tell(int id, Client sender, byte[] frame) {
            int at = Math.min(id, clients.size()) - 1;   // or before, where others have left: ids ascend from 1
            while (at >= 0 && clients.get(at).id > id) at--;
            if (at < 0 || clients.get(at).id != id) return 0;
            clients.get(at).socket.sendPatiently(sender.socket, frame);
            return 1;
        }

        /** A WebSocket in this room. */
        private final class Client implements Handler {
            final int id = ++lastId;
            final byte[] prefix = ascii(id + "");   // begins each message from it
            final WebSocket socket;

            Client(WebSocket socket) { this.socket = socket; }

            /** Sends "id msgtype data" for "target msgtype data". @throws CloseException 1008 if it has no such form */
            @Override
            public void take(Frame message) throws CloseException {
                byte[] bytes = message.bytes;
                int space = indexOfSpace(bytes, message.start, message.end);
                int typeEnd = indexOfSpace(bytes, space + 1, message.end);
                int target = target(bytes, message.start, space);
                if (target == MALFORMED || typeEnd <= space + 1)
                    throw refusal("expected '<id or *> <msgtype> [<data>]'", message);
                for (byte[] word : RELAYS_OWN_WORDS)
                    if (Arrays.equals(bytes, space + 1, typeEnd, word, 0, word.length))
                        throw refusal("only the relay says self, join and quit", message);

                byte[] frame = encode(message.opcode, prefix, bytes, space, message.end);
                int receivers = target == EVERYONE ? tellOthers(this, frame) : tell(target, this, frame);
                metrics.messages.increment();
                metrics.deliveries.add(receivers);
                metrics.bytes.add((long) receivers * frame.length);
            }

            /** Tells those who stay; if there are none, the room is gone. */
            @Override
            public void leave() {
                clients.remove(this);
                if (clients.isEmpty()) rooms.remove(socket.target);
                else tellOthers(this, encodeText(id + " quit"));
                log("quit", socket.target, id, socket.address, socket.outcome);
            }
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
    // A browser behind a home router asks "where do I come from?", RFC 8489 §12, and tells the other player the answer
    // through the relay; both then send there, which opens the way through both routers. Nothing is remembered here.
    //
    // A message has a header of 20 bytes: its type, the length of what follows, the cookie by which STUN is known, and
    // an ID that the answer repeats. Attributes follow, each a type, a length and a value padded to four bytes. The
    // address in the answer is XORed with cookie and ID, since some routers rewrite addresses that they see in packets.
    //
    // To forge a sender's address, so that a victim gets the answer, gains nothing: one datagram brings one at most, of
    // not over twice its length with UDP's header. And only requests are answered: servers never answer one another.

    private static final int BINDING = 0x0001, SUCCESS = 0x0101, ERROR = 0x0111;   // RFC 8489 §5
    private static final int COOKIE = 0x2112a442;   // in requests before 2008 there was none, RFC 3489
    private static final int MESSAGE_INTEGRITY = 0x0008, ERROR_CODE = 0x0009, UNKNOWN_ATTRIBUTES = 0x000a,   // §18.3
            MESSAGE_INTEGRITY_SHA256 = 0x001c, XOR_MAPPED_ADDRESS = 0x0020, FINGERPRINT = 0x8028;
    // Attributes below 0x8000 must be known, or the answer is an error. Those of the RFC are, and do not matter here.
    private static final Set<Integer> KNOWN = Set.of(0x01, 0x06, 0x08, 0x09, 0x0a, 0x14, 0x15, 0x1c, 0x1d, 0x1e, 0x20);

    /** Answers what has come, on the first loop's thread; a few, and then others have their turn. */
    private void serveStun() {
        var datagram = ByteBuffer.allocate(MAX_STUN + 1);   // cuts what is too long to a length that no message has
        try {
            InetSocketAddress from;
            for (int i = 0; i < MAX_NEW && (from = (InetSocketAddress) stun.receive(datagram.clear())) != null; i++) {
                byte[] answer = answerStun(datagram.array(), datagram.position(), from);
                // Java cannot say from which address: a machine with several may use another than was asked, and the
                // asker's router drops that. The way out is --host.
                if (answer != null) stun.send(ByteBuffer.wrap(answer), from);
            }
        } catch (IOException e) { /* nothing can be sent to an address that was forged, or we have closed */ }
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
