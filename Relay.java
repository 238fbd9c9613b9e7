// SPDX-License-Identifier: MIT
/*
 * Relay: a WebSocket server through which browser games find one another.
 *
 *     java Relay.java 8080           then open http://localhost:8080
 *
 * A client opens ws://host:8080/ws-relay/some/game and is in the room of that name. The relay tells it its id
 * ("1 self"), who else is there ("2 join") and who leaves ("2 quit"). It sends "2 hello" to reach client 2, or
 * "* hello" to reach everyone else; they receive "1 hello".
 *
 *    1  command line, options and limits      5  handshake                9  rooms
 *    2  the relay: accepting, shutdown, log   6  frames in               10  the sweeper: deadlines and memory
 *    3  connection and its input              7  frames out, outbox      11  STUN
 *    4  HTTP and files                        8  WebSocket
 *
 * On a first reading, skip 1, 4, 11 and what is marked "Operation" or "Optimization".
 *
 * The path of a message: the sender's thread reads bytes into its Input (part 3) -> FrameReader (6) unmasks and checks
 * them and returns a message -> the sender's Client (9) encodes the outgoing frame once -> that one array is put into
 * the Outbox (7) of each receiver -> each outbox is drained into its socket by a virtual thread.
 *
 *   connection    a socket and the virtual thread that reads from it, from the first request until it is closed
 *   handshake     the HTTP request that turns a connection into a WebSocket
 *   frame         what WebSocket sends: a header and a payload; a message is one frame or several
 *   client        a WebSocket in a room, known to the others by its id
 *   room          the clients that asked for the same path; its lock makes all of them see events in one order
 *   outbox        the frames that wait to be written to one client
 *   drain         the virtual thread that writes an outbox; it starts when the outbox becomes non-empty
 *   window        the bytes that one sender's messages to single clients may take up in outboxes; the sender waits
 *                 while it is full
 *   close reason  why a connection ends; the first one counts
 *   sweeper       the thread that looks at all connections and closes the sockets of those that are overdue
 *   clock         ms that the relay has run, without the time for which the process or the computer was suspended
 *   Memory        counts the bytes that clients make the relay hold, and says who has to wait when they are too many
 */

import java.io.*;
import java.lang.invoke.*;
import java.net.*;
import java.nio.*;
import java.nio.charset.*;
import java.nio.file.*;
import java.security.*;
import java.time.*;
import java.time.format.*;
import java.time.temporal.*;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.*;
import java.util.concurrent.locks.*;
import java.util.function.*;
import java.util.regex.*;
import java.util.stream.*;

@SuppressWarnings("serial")   // its exceptions are never serialized
public class Relay implements AutoCloseable {
    // --- 1. Command line ---------------------------------------------------------------------------------------------

    /** Runs a relay until the process is told to end. Exits with 1 if it cannot start, 2 if an argument is wrong. */
    public static void main(String[] args) {
        List<String> words = List.of(args);
        try {
            if (words.contains("--help") || words.contains("-h")) System.out.println(HELP);
            else if (words.contains("--version")) System.out.println("relay 1.0");
            else run(Options.parse(words.iterator()));
        } catch (IllegalArgumentException | IOException | OutOfMemoryError failure) {   // or no thread can be started
            System.err.println("relay: " + printable(failure.getMessage()));
            // A compiler older than Java 21 rejects the next line, and prints it with its comment.
            System.exit(switch (failure) { case RuntimeException e -> 2; default -> 1; });   // needs Java 21 or newer
        }
    }

    private static void run(Options options) throws IOException {
        var relay = new Relay(options).start();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            relay.close();
            Runtime.getRuntime().halt(0);   // Java's own exit code would be 130 or 143
        }));
        relay.welcome().forEach(System.out::println);
    }

    static final String HELP = """
        java Relay.java [PORT] [OPTION]...

        Relays messages between WebSocket clients that connect to ws://HOST:PORT/ws-relay/ANY/NAME, and serves the
        files of games from folders. PORT is 8080 unless given; 0 takes any free one.

          --host ADDR          listen on this address only (default: all, as with 0.0.0.0, which includes IPv6)
          --dir PATH           serve this folder under its own name (default: the folder spacewar in the working
                               directory, if there is one); repeatable; the path / leads to the first one
          --origin URL         let pages from there connect, * for all (default: from this host only); repeatable
          --max-clients N      refuse further clients (default: 10000), fewer if the heap is smaller than 128 MB
          --max-message BYTES  refuse longer messages (default: 1048576)
          --stun PORT          answer STUN on this UDP port (default: the number of PORT); behind a proxy use
                               --host 127.0.0.1 --stun 8080: browsers reach STUN directly, on all addresses
          --no-stun            do not answer STUN (default: do)
          --metrics            answer /metrics in Prometheus' format (default: no)
          --quiet              do not log joins, quits and refusals (default: log them)
          --help, --version    print this, or the version, and exit""";

    /**
     * The options, and with them all limits, in bytes and milliseconds. 10,000 clients with 1 MiB of message and 4 MiB
     * of outbox each would come to 50 GiB; memoryLimit is what bounds them. Tests shorten the times.
     */
    static final class Options {
        int port = 8080;                                           // 0: any free one
        InetAddress host = null;                                   // null: all addresses of this machine
        int stunPort = 0;                                          // UDP; 0: the number of `port`; -1: none
        List<Path> folders = List.of(Path.of("spacewar"));         // those that do not exist are left out
        final List<String> origins = new ArrayList<>();            // in the form of plainOrigin, or *
        boolean metrics, quiet;
        int maxClients = 10_000;                                   // or as many as CLIENT_MEMORY allows
        int maxHttpConnections = 1_000;                            // all connections that are not of clients
        int maxMessage = 1 << 20;                                  // a game sends hundreds of bytes, a file more
        int maxOutbox = 4 << 20;                                   // bytes waiting for one client, or it is closed
        long memoryLimit = Runtime.getRuntime().maxMemory() / 4;   // for all outboxes and long messages together
        long headTimeout = 10_000;                                 // for a request head
        long pingInterval = 20_000;                                // of silence; proxies time out after 30 to 60 s
        long stallTimeout = 30_000;                                // for a write that makes no progress
        long closeTimeout = 10_000;                                // for the peer to close after our close frame
        long shutdownTimeout = 3_000;                              // until close() aborts those that have not closed
        long lookInterval = 250;                                   // between two looks of the sweeper at all of them

        /** Parses the arguments. @throws IllegalArgumentException with a sentence for a person */
        static Options parse(Iterator<String> words) {
            var options = new Options();
            var folders = new ArrayList<Path>();
            int largestMessage = (int) Math.min(options.memoryLimit / 2, 1 << 29);   // grow() doubles it, as an int
            boolean hasPort = false;
            while (words.hasNext()) {
                String word = words.next();
                switch (word) {
                    case "--metrics" -> options.metrics = true;
                    case "--quiet" -> options.quiet = true;
                    case "--no-stun" -> options.stunPort = -1;
                    case "--host" -> options.host = host(value(word, words));
                    case "--dir" -> folders.add(folder(value(word, words), folders));
                    case "--origin" -> options.origins.add(origin(value(word, words)));
                    case "--max-clients" -> options.maxClients = number(word, value(word, words), 1, 1_000_000);
                    case "--max-message" -> options.maxMessage = number(word, value(word, words), 1, largestMessage);
                    case "--stun" -> options.stunPort = number(word, value(word, words), 1, 65535);
                    default -> {
                        require(!word.startsWith("-"), "there is no option " + word);
                        require(!hasPort, "expected one port, got a second port, " + word);
                        options.port = number("the port", word, 0, 65535);
                        hasPort = true;
                    }
                }
            }
            if (!folders.isEmpty()) options.folders = folders;
            return options;
        }

        private static void require(boolean condition, String complaint) {
            if (!condition) throw new IllegalArgumentException(complaint + " (--help lists the options)");
        }

        private static String value(String option, Iterator<String> words) {
            String value = words.hasNext() ? words.next() : "";
            require(!value.isEmpty(), option + " needs a value");
            return value;
        }

        private static int number(String name, String digits, int least, int most) {
            long number = digits.matches("[0-9]{1,18}") ? Long.parseLong(digits) : -1;
            boolean isWithin = number >= least && number <= most;
            require(isWithin, name + " must be from " + least + " to " + most + ", got '" + digits + "'");
            return (int) number;
        }

        private static InetAddress host(String name) {
            try { return InetAddress.getByName(name); }
            catch (UnknownHostException e) { throw new IllegalArgumentException("there is no host " + name, e); }
        }

        private static Path folder(String text, List<Path> others) {
            Path folder = Path.of(text).toAbsolutePath().normalize(), name = folder.getFileName();
            require(Files.isDirectory(folder), folder + " is not a folder");
            require(Files.isReadable(folder) && Files.isExecutable(folder), folder + " cannot be read");
            require(name != null, folder + " has no name under which it could be served");
            boolean isReserved = Set.of("ws-relay", "health", "metrics").contains(name.toString());
            boolean isTaken = others.stream().anyMatch(other -> other.getFileName().equals(name));
            require(!isReserved, "a folder must not be named " + name + ", which is an address of the relay itself");
            require(!isTaken, "two folders cannot both be served as /" + name);
            return folder;
        }

        private static String origin(String text) {
            String advice = text.contains("*") ? "; name each origin, or * for all" : "";
            boolean isOrigin = text.equals("*") || ORIGIN.test(text);
            require(isOrigin, "expected an origin such as https://example.com, got '" + text + "'" + advice);
            return plainOrigin(text);
        }
    }

    // Sizes for each connection, in bytes, besides maxMessage and maxOutbox above.
    private static final int IDLE_BUFFER = 512;           // for input, until it has been full once
    private static final int INPUT_BUFFER = 2 << 10;      // for input, from then on
    private static final int MAX_TRANSFER = 64 << 10;     // of one read or write; progress shows after each
    private static final int SEND_BUFFER = 64 << 10;      // the system's; once full, it waits until a third is free
    private static final int HTTP_SEND_BUFFER = 32 << 10; // smaller, as files fill it, and links may be slow
    private static final int FILE_PIECE = 16 << 10;       // of a file that is being sent
    private static final int FIRST_PIECE = 8 << 10;       // allocated first for a long message
    private static final int SHORT_MESSAGE = 2 << 10;     // longer ones are counted by Memory while they arrive
    private static final int MAX_HEAD = 16 << 10;         // of a request; browsers send 500, and 9,000 of cookies
    private static final int SHORT_HEAD = 2 << 10;        // longer ones make a connection heavy
    private static final int MAX_ROOM_NAME = 1 << 10;
    private static final int WINDOW_DIVISOR = 64;         // a window is maxOutbox divided by this, 64 KiB
    private static final int FRAME_OVERHEAD = 32;         // counted for each frame in an outbox, besides its bytes
    private static final int CLIENT_MEMORY = 9 << 10;     // heap of an idle client, which Memory does not count
    private static final int HEAVY_MEMORY = 26 << 10;     // heap of a connection with a long head, or sending a file

    // For the whole relay.
    private static final int RESERVED_MEMORY = 32 << 20;  // bytes of heap that are not for idle clients
    private static final int WRITE_BUFFERS = 16;          // of MAX_TRANSFER bytes, shared by all drains
    private static final int LOG_LINES = 10_000;          // that wait to be printed; further ones are lost
    private static final int REFUSED_ORIGINS = 100;       // that are counted; each has up to 200 characters
    private static final int MAX_STUN = 1_500;            // bytes of a datagram; browsers send 20

    // --- 2. The relay ------------------------------------------------------------------------------------------------
    // Everything blocks, and each thread does one thing:
    //   acceptor     platform                  accepts connections and starts a virtual thread for each
    //   connection   virtual, one for each     reads requests and frames, puts frames into outboxes, cleans up
    //   drain        virtual, one for each     writes an outbox to its socket while anything waits in it
    //   leave        virtual, seldom           takes a client out of its room; see WebSocket.close
    //   sweeper      platform                  checks deadlines and memory; wakes others by closing their sockets
    //   STUN         platform                  answers datagrams
    //   log          platform                  prints, so that nobody else waits for a terminal
    //   main         platform                  starts it; the JVM's shutdown hook runs close()
    //
    // There are three locks. No thread that holds one waits for a socket, a window or memory:
    //   Room.lock             who is in a room, and the order in which frames are put into the outboxes there
    //   an Outbox's monitor   its queues, whether a drain runs, the close reason; often taken while holding Room.lock
    //   Evictable's monitor   the connections that are not of clients, the least recently used first
    //
    // An IOException means that the peer is gone. That is normal: it ends the connection and is not logged. On an
    // OutOfMemoryError, the connection for which memory was needed ends, without a close frame, and the others go on.
    // (The README's service tells Java to exit instead.)

    private final Options options;
    private final int maxClients;
    private final Semaphore places;                                                  // of clients, maxClients in all
    private final Map<String, Path> folders = new LinkedHashMap<>();                 // by name
    private final Set<Connection> connections = ConcurrentHashMap.newKeySet();       // all, until their threads end
    private final Evictable httpConnections, heavyConnections;   // not of clients; those of them that take much heap
    private final Map<String, Room> rooms = new ConcurrentHashMap<>();               // by name
    private final Map<String, Integer> refusedOrigins = new ConcurrentHashMap<>();   // refusals within this minute
    private final BlockingQueue<byte[]> writeBuffers = new ArrayBlockingQueue<>(WRITE_BUFFERS);   // those not in use
    private final ExecutorService log = new ThreadPoolExecutor(0, 1, 1, TimeUnit.SECONDS,
            new ArrayBlockingQueue<>(LOG_LINES), Thread.ofPlatform().name("relay-log").daemon().factory(),
            new ThreadPoolExecutor.DiscardPolicy());
    private final Metrics metrics = new Metrics();
    final Memory memory;
    private ServerSocket listener;         // null until started
    private DatagramSocket stun;           // null until started, or without STUN
    private final List<Thread> threads = new ArrayList<>();   // acceptor and STUN, for which close() waits
    private volatile boolean closing;

    Relay(Options options) {
        this.options = options;
        long heap = Runtime.getRuntime().maxMemory();
        long affordable = Math.max((heap - RESERVED_MEMORY) / CLIENT_MEMORY, 100);   // 100 however small it is
        maxClients = (int) Math.min(options.maxClients, affordable);
        places = new Semaphore(maxClients);
        httpConnections = new Evictable(options.maxHttpConnections);
        heavyConnections = new Evictable((int) (heap / 16 / HEAVY_MEMORY));
        memory = new Memory(options.memoryLimit);
        for (Path folder : options.folders)
            if (Files.isDirectory(folder)) folders.put(folder.toAbsolutePath().normalize().getFileName() + "", folder);
        for (int i = 0; i < WRITE_BUFFERS; i++) writeBuffers.add(new byte[MAX_TRANSFER]);
    }

    /** Listens and returns; the rest happens on threads of its own until close(). @throws IOException without a port */
    Relay start() throws IOException {
        initializePoller();
        listen();
        threads.add(Thread.ofPlatform().name("relay-acceptor").start(this::accept));
        Thread.ofPlatform().name("relay-sweeper").daemon().start(this::sweep);
        if (stun != null) threads.add(Thread.ofPlatform().name("relay-stun").start(this::serveStun));
        return this;
    }

    /**
     * Operation: lets a virtual thread wait for a socket. At the first wait, the JDK opens the descriptors by which all
     * virtual threads wait. If a flood of connections had used up all of them, none could ever wait.
     */
    private static void initializePoller() throws IOException {
        try (var socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            Thread waiting = Thread.startVirtualThread(() -> {
                try { socket.accept().close(); } catch (IOException closed) { /* as expected */ }
            });
            awaitUntil(() -> waiting.getState() == Thread.State.WAITING, 5_000);
        }
    }

    private void listen() throws IOException {
        int stunPort = options.stunPort == 0 ? options.port : options.stunPort;
        boolean isLocal = options.host != null && options.host.isLoopbackAddress();
        boolean isProxied = isLocal && options.stunPort > 0;   // by a proxy that does not pass on UDP
        try { listener = new ServerSocket(options.port, 1024, options.host); }
        catch (IOException e) { throw cannotListen("port " + options.port, e); }
        if (stunPort < 0) return;
        try {
            stun = new DatagramSocket(stunPort, isProxied ? null : options.host);
        } catch (IOException e) {
            listener.close();
            throw cannotListen("UDP port " + stunPort + " (see --stun and --no-stun)", e);
        }
    }

    private IOException cannotListen(String port, IOException cause) {
        boolean isPortAtFault = options.host == null || cause.toString().matches(".*(in use|denied).*");
        String place = isPortAtFault ? port : format(options.host) + " (is it of this machine, and IPv6 on?)";
        return new IOException("cannot listen on " + place + ": " + cause.getMessage(), cause);
    }

    int port() { return listener.getLocalPort(); }
    int stunPort() { return stun == null ? -1 : stun.getLocalPort(); }   // -1 also once that is closed

    /** Returns the lines for the person who started the relay: first the address to open, then what else to know. */
    private List<String> welcome() {
        String path = "/" + firstFolder(), outward = outwardAddress();
        var lines = new ArrayList<String>();
        lines.add("http://" + urlHost(isEverywhere() ? "localhost" : format(options.host)) + path);
        if (!outward.isEmpty()) lines.add("http://" + outward + path + "   for others");
        if (folders.isEmpty())
            lines.add("no folder " + options.folders.getFirst().toAbsolutePath() + ", so no pages, only /ws-relay");
        if (!System.getProperty("sun.jnu.encoding").equals("UTF-8"))
            lines.add("files whose names are not ASCII cannot be served, unless LC_ALL is set to C.UTF-8");
        return lines;
    }

    /** Returns the host and port that others use: the address of the default route; "" if there is none. */
    private String outwardAddress() {
        try (var socket = new DatagramSocket()) {
            // Chooses a route and sends nothing. RFC 5737 reserves this address for examples.
            socket.connect(InetAddress.getByName("192.0.2.1"), 9);
            InetAddress address = socket.getLocalAddress();
            boolean isReached = isEverywhere() && !address.isAnyLocalAddress() && !address.isLoopbackAddress();
            return isReached ? urlHost(format(address)) : "";
        } catch (IOException | UncheckedIOException unreachable) {
            return "";
        }
    }

    private boolean isEverywhere() { return options.host == null || options.host.isAnyLocalAddress(); }

    private String urlHost(String host) {
        String plain = host.contains(":") ? "[" + host + "]" : host;
        return port() == 80 ? plain : plain + ":" + port();
    }

    /** Returns an address as text; of IPv6 addresses the short form, RFC 5952 §4: 2001:db8::1. */
    static String format(InetAddress address) {
        if (address instanceof Inet4Address) return address.getHostAddress();
        String text = address.getHostAddress().replaceFirst("%.*", "");
        for (int zeros = 8; zeros >= 2; zeros--) {   // "::" replaces the longest run of zeros, the first of several
            Matcher run = Pattern.compile("(^|:)0(:0){" + (zeros - 1) + "}(:|$)").matcher(text);
            if (run.find()) return run.replaceFirst("::");
        }
        return text;
    }

    private void accept() {
        while (!closing) {
            try { acceptNext(); }
            catch (RuntimeException | Error e) { pause(1_000); }   // no memory, not even to log that
        }
    }

    private void acceptNext() {
        Connection connection = null;
        try {
            connection = new Connection(listener.accept());
            boolean hasEvicted = httpConnections.add(connection);
            startThread(connection);
            if (hasEvicted) pause(1);   // so that in a flood, each has time to ask before it is evicted
        } catch (IOException | OutOfMemoryError e) {   // no descriptor is left, probably
            if (connection != null) {
                httpConnections.remove(connection);
                connection.abort(CONNECTION_LOST);
            }
            if (closing) return;
            log("error", "cannot accept: " + e.getMessage());
            pause(1_000);
        }
    }

    /** A set of connections with a maximum size. Guarded by its monitor. */
    private static final class Evictable {
        private final int most;
        private final LinkedHashSet<Connection> connections = new LinkedHashSet<>();   // least recently used first

        Evictable(int most) { this.most = most; }

        /** Adds a connection or moves it to the end. If they are too many, aborts the first. Returns whether it did. */
        boolean add(Connection connection) {
            Connection first = null;
            synchronized (this) {
                connections.remove(connection);
                connections.add(connection);
                if (connections.size() > most) first = connections.removeFirst();
            }
            if (first != null) first.abort(CONNECTION_LOST);
            return first != null;
        }

        synchronized void remove(Connection connection) { connections.remove(connection); }
    }

    /** Ends the relay: sends 1001 to every client, waits some seconds for them, closes all sockets. From any thread. */
    @Override public void close() {
        if (listener == null || closing) return;
        closing = true;
        closeQuietly(listener);
        if (stun != null) stun.close();
        connections.forEach(Connection::closeOrAbort);
        awaitUntil(connections::isEmpty, options.shutdownTimeout);
        connections.forEach(connection -> connection.abort(SHUTTING_DOWN));
        // Until these threads have ended, the ports are in use.
        awaitUntil(() -> connections.isEmpty() && threads.stream().noneMatch(Thread::isAlive), 1_000);
        log.shutdown();
        awaitUntil(log::isTerminated, 500);
    }

    private static void awaitUntil(BooleanSupplier condition, long millis) {
        long end = System.nanoTime() + millis * 1_000_000;
        while (!condition.getAsBoolean() && System.nanoTime() < end) pause(5);
    }

    private static void pause(long millis) { LockSupport.parkNanos(millis * 1_000_000); }

    /** Starts a virtual thread. @throws OutOfMemoryError if it cannot be started */
    private static void startThread(Runnable task) {
        try { Thread.startVirtualThread(task); }
        catch (RejectedExecutionException e) { throw new OutOfMemoryError("no thread to run it: " + e); }
    }

    private static void closeQuietly(Closeable socket) {
        try { socket.close(); } catch (IOException e) { /* the peer is gone, or this was done before */ }
    }

    /** Logs one line, in which no client can forge another. */
    private void log(String event, Object... details) {
        if (options.quiet && !event.equals("error")) return;
        try {
            var line = new StringJoiner(" ").add(Instant.now().truncatedTo(ChronoUnit.SECONDS) + " " + event);
            for (Object detail : details) line.add(printable(detail.toString()));
            log.execute(() -> System.out.println(line));
        } catch (OutOfMemoryError e) { /* this line is lost */ }
    }

    private static final Pattern INVISIBLE = Pattern.compile("[^ -~]");

    /** Returns what a stranger wrote as visible ASCII, at most 200 characters of it. */
    static String printable(String text) {
        String plain = INVISIBLE.matcher(text).replaceAll("?");
        return plain.length() <= 200 ? plain : plain.substring(0, 200) + "...";
    }

    /** Operation: counts refusals of an origin. Returns whether this is the first one within this minute. */
    private boolean isNewRefusal(String origin) {
        String name = printable(origin);
        boolean isTooMany = refusedOrigins.size() >= REFUSED_ORIGINS && !refusedOrigins.containsKey(name);
        return isTooMany || refusedOrigins.merge(name, 1, Integer::sum) == 1;
    }

    /** Operation: logs how often pages of an origin that was refused have tried again within the last minute. */
    private void logRefusedOrigins() {
        refusedOrigins.forEach((origin, times) -> {
            if (times > 1) log("refuse", "origin", origin, "again, in all", times, "times within a minute");
        });
        refusedOrigins.clear();
    }

    /** Operation: what /metrics tells, in Prometheus' format, version 0.0.4. */
    private final class Metrics {
        final long started = System.nanoTime();
        final LongAdder messages = new LongAdder();          // received from clients
        final LongAdder deliveries = new LongAdder();        // frames sent; all that a newcomer is told is one
        final LongAdder bytes = new LongAdder();             // of deliveries, with the headers of frames
        final Map<Integer, LongAdder> closes = new ConcurrentSkipListMap<>();   // by close code

        String text() {
            var text = new StringBuilder();
            long uptime = (System.nanoTime() - started) / 1_000_000_000;
            int clients = maxClients - places.availablePermits();   // open or closing
            Object[][] metrics = {{"rooms", "gauge", rooms.size()}, {"clients", "gauge", clients},
                    {"uptime_seconds", "gauge", uptime}, {"messages_received_total", "counter", messages},
                    {"deliveries_total", "counter", deliveries}, {"delivered_bytes_total", "counter", bytes}};
            for (Object[] metric : metrics) text.append("# TYPE relay_%1$s %2$s\nrelay_%1$s %3$s\n".formatted(metric));
            text.append("# TYPE relay_closes_total counter");
            closes.forEach((code, count) -> text.append("\nrelay_closes_total{code=\"" + code + "\"} " + count));
            return text.toString();
        }
    }

    // --- 3. Connection -----------------------------------------------------------------------------------------------
    // A connection speaks HTTP, request after request, until a request is the handshake of a WebSocket:
    //
    //     HTTP --> WebSocket open --> WebSocket closing (it has a close reason) --> socket closed
    //       +-------------------------------------------------------------------------^
    //
    // If a socket were closed while unread bytes wait in it, TCP would reset the connection, and the peer might lose
    // what we sent last. So HTTP and WebSockets end alike: the output is shut down once all is written, then what still
    // comes is discarded until the peer closes, or until a deadline. There are three ways to end a WebSocket:
    //
    //   WebSocket.close(reason)         sends what waits, then a close frame (none if the connection is lost, 1006)
    //   WebSocket.close(reason, true)   drops what waits, sends a close frame
    //   Connection.abort(reason)        drops what waits, closes the socket at once

    // Close codes, RFC 6455 §7.4.1. The relay sends these:
    private static final int GOING_AWAY = 1001, PROTOCOL_ERROR = 1002, INVALID_DATA = 1007, POLICY_VIOLATION = 1008,
            TOO_BIG = 1009, TRY_AGAIN_LATER = 1013;
    // ... and only logs these:
    private static final int NO_STATUS = 1005,   // a client's close frame had no code
            ABNORMAL = 1006,                     // the connection ended without a close frame
            INTERNAL_ERROR = 1011;               // there was an error, or no memory

    private static final CloseException   // made in advance, since there may be no memory left when one is needed
            SHUTTING_DOWN = new CloseException(GOING_AWAY, "the relay is shutting down"),
            FAILED = new CloseException(INTERNAL_ERROR, "out of memory, or an internal error"),
            CONNECTION_LOST = new CloseException(ABNORMAL, "connection lost"),
            STALLED = new CloseException(ABNORMAL, "did not read"),
            SILENT = new CloseException(ABNORMAL, "did not answer a ping"),
            MEMORY_FULL = new CloseException(ABNORMAL, "the relay's memory is full, and this client was stuck");

    /** Why a WebSocket ends. Throw one where frames are read or received, or pass it to close() or abort(). */
    static final class CloseException extends Exception {
        final int code;
        CloseException(int code, String reason) {
            super(reason, null, false, false);   // without a stack trace
            this.code = code;
        }
        @Override public String toString() { return (code + " " + printable(getMessage())).strip(); }
    }

    /** A socket and the thread that reads from it. Confined to that thread unless noted otherwise. */
    final class Connection implements Runnable {
        private static final long NEVER = Long.MAX_VALUE;
        private final Socket socket;
        private final InetAddress peer;
        private final Input input;
        private final OutputStream output;
        private volatile WebSocket webSocket;     // null while it speaks HTTP
        private volatile long endDue = NEVER;     // when the sweeper closes the socket, on the relay's clock
        private volatile boolean isWriting;       // a write is in progress, and may be blocked
        private volatile long bytesWritten;       // by the thread that responds, then by drains
        private final Watch watch = new Watch(this);   // what the sweeper knows of it, part 10

        Connection(Socket socket) throws IOException {
            this.socket = socket;
            peer = socket.getInetAddress();
            input = new Input(socket.getInputStream());
            output = socket.getOutputStream();
        }

        @Override public void run() {
            try {
                connections.add(this);
                socket.setTcpNoDelay(true);   // or games wait up to 40 ms for an acknowledgement
                socket.setSendBufferSize(HTTP_SEND_BUFFER);
                if (!closing) webSocket = serveHttp(this);
                if (closing) closeOrAbort();   // again, as close() may have come while webSocket was still null
                // One that is closing runs, too, and so sends its close frame. One that is aborted has nothing to do.
                if (webSocket != null && !input.isAborted) webSocket.run();
            } catch (IOException | InterruptedException gone) {   // the usual end
            } catch (RuntimeException | Error failure) {
                log("error", "internal error: " + failure);
            } finally {
                abort(CONNECTION_LOST);
                connections.remove(this);
                httpConnections.remove(this);
                heavyConnections.remove(this);
            }
        }

        /** Writes bytes, in pieces, so that progress shows. By the thread of the connection, then by drains. */
        void write(byte[] bytes, int length) throws IOException {
            isWriting = true;
            for (int at = 0; at < length; at += MAX_TRANSFER) {
                int count = Math.min(MAX_TRANSFER, length - at);
                output.write(bytes, at, count);
                bytesWritten += count;
            }
            isWriting = false;   // if a write throws, the connection ends
        }

        /** Tells the peer that this was all, and gives it some time to close, too. From any thread. */
        void shutDownOutput() throws IOException {
            socket.shutdownOutput();
            endWithin(options.closeTimeout);
        }

        /** Lets the sweeper close the socket after so many ms. A later call replaces the deadline. From any thread. */
        void endWithin(long millis) { endDue = clock + millis; }

        /** Discards what still comes until the peer closes, or until the sweeper closes the socket. */
        void discardInput() {
            try { while (true) input.fill(); } catch (IOException end) { /* as expected */ }
        }

        /** Closes the socket at once. Needs hardly any memory. From any thread; the first reason counts. */
        void abort(CloseException reason) {
            input.isAborted = true;   // ends pauseUntil(), and keeps run() from serving a WebSocket
            try {
                if (webSocket != null) webSocket.onAbort(reason);
            } finally {
                closeQuietly(socket);
            }
        }

        /** Ends the connection because the relay ends: a WebSocket with 1001, HTTP at once. From any thread. */
        void closeOrAbort() {
            if (webSocket == null) abort(SHUTTING_DOWN);
            else webSocket.close(SHUTTING_DOWN);
        }
    }

    /** Bytes that come from one peer, buffered. Knows no socket. Confined to one thread unless noted otherwise. */
    static final class Input extends InputStream {
        private static final long MAX_TURN = 8_000_000;     // ns since it last waited, then the thread sleeps
        private static final long WAKE_PERIOD = 10_000_000; // ns; it wakes at a multiple of this
        private static final long SHORTEST_WAIT = 200_000;  // ns; a read that takes less has not waited
        private static final int MAX_DELIVERIES = 500;      // to outboxes, before it lets others run
        private final InputStream in;
        private byte[] buffer = new byte[IDLE_BUFFER];
        private int start, end;         // of the bytes in the buffer that have come and are not read yet
        private int deliveries;         // since the thread last let others run
        private long waitEnded = System.nanoTime();   // when it last went on after waiting or sleeping
        volatile long bytesRead;        // read by the sweeper, too
        volatile boolean isPaused;      // we do not read, so the peer's silence means nothing; read by the sweeper
        volatile boolean isAborted;     // the connection is; set by any thread

        Input(InputStream in) { this.in = in; }

        /** Reads the next byte, 0 to 255. @throws EOFException if the peer has closed its half */
        @Override public int read() throws IOException {
            if (start == end) fill();
            return buffer[start++] & 0xff;
        }

        /** Reads between 1 and `length` bytes, as many as there are, and returns the count. */
        @Override public int read(byte[] bytes, int offset, int length) throws IOException {
            boolean isLong = length >= buffer.length;   // the buffer would only add a copy
            if (start == end && isLong) return receive(bytes, offset, Math.min(length, MAX_TRANSFER));
            if (start == end) fill();
            int count = Math.min(length, end - start);
            System.arraycopy(buffer, start, bytes, offset, count);
            start += count;
            return count;
        }

        /** Discards what the buffer holds and fills it with what comes next. Makes it larger once it has been full. */
        void fill() throws IOException {
            if (end == buffer.length && end < INPUT_BUFFER) buffer = new byte[INPUT_BUFFER];
            end = receive(buffer, 0, buffer.length);
            start = 0;
        }

        private int receive(byte[] bytes, int offset, int length) throws IOException {
            letOthersRun();   // before the read, so that meanwhile more bytes come, and it gets them all
            long before = System.nanoTime();
            int count = in.read(bytes, offset, length);
            if (System.nanoTime() - before > SHORTEST_WAIT) waitEnded = System.nanoTime();
            if (count < 0) throw new EOFException("the peer has closed its half");
            bytesRead += count;
            return count;
        }

        /**
         * Optimization: lets other threads run. Virtual threads are not preempted, so one that always finds something
         * to read would keep its processor. Yielding is not enough: Java 21 has a queue of ready threads for each
         * processor, which turns to another queue only when its own is empty. So after MAX_TURN, all busy threads sleep
         * until the same moment, the next multiple of WAKE_PERIOD; meanwhile every queue gets its turn.
         */
        void letOthersRun() {
            deliveries = 0;
            long now = System.nanoTime();
            if (now - waitEnded < MAX_TURN) {
                Thread.yield();   // lets those run that are in the same queue
            } else {
                LockSupport.parkNanos(WAKE_PERIOD - Math.floorMod(now, WAKE_PERIOD));
                waitEnded = System.nanoTime();
            }
        }

        /** Optimization: lets others run after so many deliveries, as many messages may come with one read. */
        void countDeliveries(int count) {
            deliveries += count;
            if (deliveries >= MAX_DELIVERIES) letOthersRun();
        }

        /** Waits until the condition holds or the connection is closed. Polls, as memory is seldom short for long. */
        void pauseUntil(BooleanSupplier condition) {
            if (condition.getAsBoolean()) return;
            whilePaused(() -> {
                while (!isAborted && !condition.getAsBoolean()) pause(20);
            });
        }

        /** Runs something that waits, while nothing is read. */
        void whilePaused(Runnable wait) {
            isPaused = true;
            wait.run();
            isPaused = false;
            waitEnded = System.nanoTime();
        }
    }

    // --- 4. HTTP -----------------------------------------------------------------------------------------------------
    // HTTP/1.1 (RFC 9112) as far as a game needs it: GET and HEAD, and no request bodies. What is not exactly right is
    // refused with a sentence that says why, since a request that two programs read in two ways can be used to smuggle
    // another one past the first of them.

    /** Serves requests until one opens a WebSocket, and returns it; null if the connection ends without one. */
    private WebSocket serveHttp(Connection connection) throws IOException {
        boolean more = true;
        while (more) {
            var request = new Request("", "-", "", Map.of(), connection.peer);   // until one is parsed
            Response response;
            try {
                connection.endWithin(options.headTimeout);
                String head = Request.readHead(connection.input, () -> heavyConnections.add(connection));
                connection.endDue = Connection.NEVER;
                request = Request.parse(head, connection.peer);
                if (request.isForRelay() || request.wantsWebSocket()) return upgrade(connection, request);
                response = respond(request);
            } catch (HttpException refusal) {
                response = refusal.response;
                logRefusal(request, refusal);
            }
            more = request.keepsAlive() && !closing;
            boolean withBody = !request.method.equals("HEAD");
            httpConnections.add(connection);   // moves it to the end
            if (response.length > FILE_PIECE) heavyConnections.add(connection);
            response.send(connection, more, withBody);
            heavyConnections.remove(connection);
            connection.input.letOthersRun();
        }
        connection.shutDownOutput();
        connection.discardInput();
        return null;
    }

    /** Returns the WebSocket for which a request asks. @throws HttpException if it does so in a wrong way */
    private WebSocket upgrade(Connection connection, Request request) throws IOException, HttpException {
        byte[] response = acceptHandshake(request);
        connection.socket.setSendBufferSize(SEND_BUFFER);
        httpConnections.remove(connection);
        heavyConnections.remove(connection);
        return newWebSocket(connection, response, request.target, request.address());
    }

    /** Logs a refusal that somebody should know of. */
    private void logRefusal(Request request, HttpException refusal) {
        int status = refusal.response.status;
        boolean isMissingFile = status == 404 && !request.wantsWebSocket();
        boolean isQuestion = status == 426 && request.method.equals("HEAD");   // ws-relay.js: is the relay back?
        boolean isRepeated = status == 403 && !isNewRefusal(request.header("origin"));
        if (isMissingFile || isQuestion || isRepeated) return;
        log("refuse", request.target, "-", request.address(), status, refusal.getMessage());
    }

    private Response respond(Request request) throws HttpException {
        request.requireNoBody();
        String path = request.path(), host = request.host(), origin = request.header("origin");
        if (path.equals("/health")) return Response.text(200, "ok");
        if (path.equals("/metrics") && options.metrics) return Response.text(200, metrics.text());
        if (path.equals("/") && !folders.isEmpty()) return Response.redirect(firstFolder(), request.query());
        if (path.equals("/")) return Response.text(200, "A relay: connect to ws://" + host + "/ws-relay/any/name");

        List<String> names = decode(path.endsWith("/") ? path + "index.html" : path);
        Path folder = folders.get(names.removeFirst());
        if (folder == null) throw new HttpException(404, "file not found; WebSockets connect to /ws-relay/any/name");
        boolean isIce = names.equals(List.of("ice.json")) && !Files.exists(folder.resolve("ice.json"));
        Response response = isIce ? iceServers(request) : file(request, folder, names);
        boolean isShared = !origin.isEmpty() && isAllowedOrigin(origin, host);   // pages of that origin may read it
        return isShared ? response.with("Access-Control-Allow-Origin", origin).with("Vary", "Origin") : response;
    }

    /** Returns the name of the first folder for a URL; "" if there is none. */
    private String firstFolder() {
        String name = folders.keySet().stream().findFirst().orElse("");
        return URLEncoder.encode(name, StandardCharsets.UTF_8).replace("+", "%20").replace("%3A", ":");
    }

    /**
     * Returns ice.json of a folder that has none: what a page passes to RTCPeerConnection, with our STUN server. A page
     * on this machine, which may know us as localhost, also learns the address for others.
     */
    private Response iceServers(Request request) {
        String name = request.host().replaceFirst(":[0-9]*$", ""), outward = request.isLocal() ? outwardAddress() : "";
        int port = stunPort();
        boolean hasStun = port > 0 && name.matches("[0-9A-Za-z._-]+|\\[[0-9A-Fa-f:.]+]");
        String servers = hasStun ? "{\"urls\":\"stun:" + name + ":" + port + "\"}" : "";
        String address = outward.isEmpty() ? "" : ",\"address\":\"" + outward + "\"";
        return Response.text(200, "{\"iceServers\":[" + servers + "]" + address + "}")
                .with("Content-Type", "application/json");
    }

    /** Thrown to refuse a request: the response to send, with a sentence for a person. */
    static final class HttpException extends Exception {
        final Response response;

        HttpException(int status, String sentence, String... headers) {   // names and values in turn
            super(sentence, null, false, false);
            response = Response.text(status, sentence).with("Access-Control-Allow-Origin", "*");   // a page can read it
            for (int i = 0; i < headers.length; i += 2) response.with(headers[i], headers[i + 1]);
        }
    }

    private static HttpException malformed(String expected, String got) {
        return new HttpException(400, "expected " + expected + ", got '" + printable(got) + "'");
    }

    /** Returns a predicate that matches whole strings. Compiling one for each request would produce much garbage. */
    private static Predicate<String> form(String regex) { return Pattern.compile(regex).asMatchPredicate(); }

    /**
     * The head of a request from a peer: a client, or a proxy. Headers are by name in lower case, several of one name
     * joined with commas, RFC 9110 §5.2.
     */
    record Request(String method, String target, String version, Map<String, String> headers, InetAddress peer) {
        private static final Predicate<String> TOKEN = form("[!#$%&'*+.^_`|~0-9A-Za-z-]+"),   // RFC 9110 §5.6.2
                VERSION = form("HTTP/1\\.[0-9]"), TARGET = form("/[!-~&&[^#]]*|\\*"),   // visible ASCII but #
                HOST = form("[0-9A-Za-z._~%\\[\\]:-]*"), ZERO = form("0+"),
                ADDRESS = form("[0-9.]+|[0-9A-Fa-f.]*:[0-9A-Fa-f:.]+"), LOCAL = form("127\\..*|::1");
        private static final Pattern TO_PROXY = Pattern.compile("^(?i)https?://[^/?]*/?");   // RFC 9112 §3.2.2

        /** Parses a request head, RFC 9112. */
        static Request parse(String head, InetAddress peer) throws HttpException {
            List<String> lines = head.lines().toList();
            String[] start = lines.getFirst().split(" ", -1);
            boolean isRequest = start.length == 3 && TOKEN.test(start[0]) && VERSION.test(start[2]);
            if (!isRequest) throw malformed("'GET /path HTTP/1.1'", lines.getFirst());
            String target = TO_PROXY.matcher(start[1]).replaceFirst("/");
            if (!TARGET.test(target)) throw malformed("a path of visible ASCII", target);
            var headers = new LinkedHashMap<String, String>();
            for (String line : lines.subList(1, lines.size() - 1)) {   // the last one is empty
                String[] header = line.split(":", 2);
                boolean isHeader = header.length == 2 && TOKEN.test(header[0]);   // not a folded line either
                if (!isHeader) throw malformed("'Name: value'", line);
                headers.merge(header[0].toLowerCase(Locale.ROOT), header[1].strip(), (all, next) -> all + ", " + next);
            }
            boolean lacksHost = !headers.containsKey("host") && !start[2].equals("HTTP/1.0");
            String host = headers.getOrDefault("host", "");
            if (lacksHost || !HOST.test(host)) throw malformed("one Host", host);
            return new Request(start[0], target, start[2], headers, peer);
        }

        /**
         * Reads the next request head, up to the first empty line. Lines end with CR LF and hold no other control
         * characters than tabs. Calls onLong once it is longer than SHORT_HEAD.
         * @throws EOFException if the peer closes before its end
         */
        static String readHead(Input input, Runnable onLong) throws IOException, HttpException {
            var head = new StringBuilder();   // a character for each byte
            int previous = 0;
            while (head.indexOf("\r\n\r\n", head.length() - 4) < 0) {
                int next = input.read();
                boolean isText = next == '\t' || (next >= ' ' && next != 0x7f);
                boolean isWithinLine = previous != '\r' && (isText || next == '\r');
                boolean isLineEnd = previous == '\r' && next == '\n';
                if (next == 0x16) throw new HttpException(400, "expected http or ws, got TLS");   // RFC 8446 §5.1
                if (!isWithinLine && !isLineEnd)
                    throw new HttpException(400, "invalid byte 0x%02x in the request head".formatted(next));
                if (head.length() == SHORT_HEAD) onLong.run();
                if (head.length() == MAX_HEAD) throw tooLong(head.toString());
                head.append((char) next);
                previous = next;
                if (head.length() == 2 && next == '\n') head.setLength(0);   // an empty line is ignored, §2.2
            }
            return head.toString();
        }

        private static HttpException tooLong(String head) {
            int cookies = head.lines().filter(line -> line.matches("(?i)cookie:.*")).mapToInt(String::length).sum();
            boolean isCookies = cookies > MAX_HEAD / 2;
            String advice = isCookies ? ", " + cookies + " of them cookies: delete those of this host" : "";
            return new HttpException(431, "expected a head of at most " + MAX_HEAD + " bytes, got more" + advice);
        }

        /** Refuses methods other than GET and HEAD, and bodies. */
        void requireNoBody() throws HttpException {
            if (!method.equals("GET") && !method.equals("HEAD"))
                throw new HttpException(405, "expected GET or HEAD, got " + printable(method), "Allow", "GET, HEAD");
            if (hasBody()) throw malformed("no body", header("content-length") + " " + header("transfer-encoding"));
        }

        private boolean hasBody() {
            return headers.containsKey("transfer-encoding") || !ZERO.test(headers.getOrDefault("content-length", "0"));
        }

        boolean hasToken(String name, String token) {
            return Stream.of(header(name).split(",")).anyMatch(word -> word.strip().equalsIgnoreCase(token));
        }

        /** Returns whether another request may follow: not if a body might be taken for one. */
        boolean keepsAlive() { return version.equals("HTTP/1.1") && !hasToken("connection", "close") && !hasBody(); }
        boolean isForRelay() { return (path() + "/").startsWith("/ws-relay/"); }
        boolean wantsWebSocket() { return hasToken("upgrade", "websocket"); }
        String header(String name) { return headers.getOrDefault(name, ""); }
        String path() { return target.split("\\?", 2)[0]; }
        String query() { return target.substring(path().length()); }   // from the question mark on, or ""
        String host() { return fromProxy("x-forwarded-host", header("host")); }   // by which the client knows us
        boolean isLocal() { return LOCAL.test(address()); }

        /** Returns the address of the client. */
        String address() {
            String own = format(peer), told = fromProxy("x-forwarded-for", own);
            return ADDRESS.test(told) ? told : own;
        }

        /** Returns a header's last value if a proxy on this machine, which adds it, is the peer; otherwise `other`. */
        private String fromProxy(String header, String other) {
            String all = header(header), last = all.substring(all.lastIndexOf(',') + 1).strip();
            return peer.isLoopbackAddress() && !last.isEmpty() ? last : other;
        }
    }

    /** A response, of which the body has `length` bytes. */
    record Response(int status, Map<String, String> headers, InputStream body, long length) {
        static final DateTimeFormatter DATE =   // RFC 9110 §5.6.7
                DateTimeFormatter.ofPattern("EEE, dd MMM yyyy HH:mm:ss 'GMT'", Locale.ENGLISH).withZone(ZoneOffset.UTC);

        static Response text(int status, String sentence) {
            byte[] text = (sentence + "\n").getBytes(StandardCharsets.UTF_8);
            return new Response(status, new LinkedHashMap<>(), new ByteArrayInputStream(text), text.length)
                    .with("Content-Type", "text/plain; charset=utf-8");
        }

        /** Leads to a folder: relatively, since a proxy may serve all this below a prefix, RFC 9110 §10.2.2. */
        static Response redirect(String folder, String query) {
            String location = "./" + folder + "/" + query;   // without "./" a colon would end a scheme, RFC 3986 §4.2
            return text(302, "see " + location).with("Location", location);
        }

        Response with(String header, String value) {
            headers.put(header, value);
            return this;
        }

        /** Writes it. @throws IOException also if the file is shorter than promised: the connection has to end then */
        void send(Connection connection, boolean keepAlive, boolean withBody) throws IOException {
            with("X-Content-Type-Options", "nosniff");
            with("Cache-Control", "no-cache");   // that is: keep it, but ask each time whether it has changed
            if (status != 304) with("Content-Length", length + "");
            // A 426 has one header of this name already.
            if (!keepAlive) headers.merge("Connection", "close", (present, close) -> present + ", " + close);
            var head = new StringBuilder("HTTP/1.1 " + status + " \r\nDate: " + DATE.format(Instant.now()) + "\r\n");
            headers.forEach((name, value) -> head.append(name + ": " + value + "\r\n"));
            byte[] bytes = head.append("\r\n").toString().getBytes(StandardCharsets.ISO_8859_1);
            long left = withBody ? bytes.length + length : bytes.length;
            try (var all = new SequenceInputStream(new ByteArrayInputStream(bytes), body)) {
                while (left > 0) {
                    byte[] piece = all.readNBytes((int) Math.min(left, FILE_PIECE));
                    if (piece.length == 0) throw new EOFException("the file has become shorter");
                    connection.write(piece, piece.length);
                    left -= piece.length;
                }
            }
        }
    }

    // Files. Each folder is served under its own name. Names that begin with a dot are hidden. We trust whatever can
    // write into the folder: it could swap a link in after we have looked where it leads.

    private static final Predicate<String> FILE_NAME =   // without separators; on Windows a backslash is one, too
            form("(?!\\.)[^/\\p{Cc}\\Q" + File.separator + "\\E]+");

    /** Decodes "/a/b%20c" to a mutable list of the names a and "b c". @throws HttpException 404 */
    private static List<String> decode(String path) throws HttpException {
        try {
            return Stream.of(path.substring(1).replace("+", "%2B").split("/", -1))   // URLDecoder takes a + for a space
                    .map(name -> URLDecoder.decode(name, StandardCharsets.UTF_8)).collect(Collectors.toList());
        } catch (IllegalArgumentException malformed) {
            throw new HttpException(404, "expected a path with %xx, got " + path);
        }
    }

    /** Returns the response with a file, or a redirect to a folder. @throws HttpException 404, 416, 503 */
    private Response file(Request request, Path folder, List<String> names) throws HttpException {
        String path = request.path();
        boolean isIndex = path.endsWith("/");
        try {
            if (!names.stream().allMatch(FILE_NAME)) throw new IOException("not a name within the folder");
            Path root = folder.toRealPath();
            Path file = root.resolve(String.join("/", names)).toRealPath();   // follows links
            boolean isServed = file.startsWith(root) && Files.isReadable(file);
            if (isServed && Files.isRegularFile(file)) return open(request, file);
            if (isServed && Files.isDirectory(file) && !isIndex)
                return Response.redirect(path.substring(path.lastIndexOf('/') + 1), request.query());
        } catch (IOException | InvalidPathException doubt) { /* is a 404, too */ }
        throw new HttpException(404, isIndex ? "the folder has no index.html" : "the file does not exist");
    }

    private Response open(Request request, Path file) throws IOException, HttpException {
        long size = Files.size(file);
        Instant modified = Files.getLastModifiedTime(file).toInstant();
        String date = Response.DATE.format(modified), etag = "\"%x-%x\"".formatted(modified.toEpochMilli(), size);
        Map<String, String> headers = new LinkedHashMap<>(Map.of("Content-Type", contentType(file),
                "Accept-Ranges", "bytes", "Last-Modified", date, "ETag", etag));
        if (isKnown(request, etag, modified)) return new Response(304, headers, InputStream.nullInputStream(), 0);
        boolean isUnchanged = Set.of("", etag, date).contains(request.header("if-range"));   // "" without If-Range
        boolean isForPart = isUnchanged && request.method.equals("GET");
        Range range = Range.parse(isForPart ? request.header("range") : "", size);
        if (range.status == 206) headers.put("Content-Range", "bytes " + range.first + "-" + range.last + "/" + size);
        try {
            var content = new FileInputStream(file.toFile());
            content.getChannel().position(range.first);
            return new Response(range.status, headers, content, range.last - range.first + 1);
        } catch (IOException e) {
            log("error", "cannot open a file: " + e.getMessage());   // out of descriptors, probably
            throw new HttpException(503, "the relay cannot open this file now; try again later");
        }
    }

    /** Returns whether the client has this version of the file already, RFC 9110 §13.2.2. */
    private static boolean isKnown(Request request, String etag, Instant modified) {
        if (request.headers.containsKey("if-none-match"))   // has precedence
            return Stream.of("*", etag, "W/" + etag).anyMatch(tag -> request.hasToken("if-none-match", tag));
        try {
            Instant since = Instant.from(Response.DATE.parse(request.header("if-modified-since")));
            return !modified.truncatedTo(ChronoUnit.SECONDS).isAfter(since);
        } catch (DateTimeException noDate) {
            return false;
        }
    }

    /** The bytes of a file that are asked for, and the status of a response with them. */
    private record Range(int status, long first, long last) {
        static final Pattern FORM =
                Pattern.compile("(?i)bytes=(?:(?<first>[0-9]{1,18})-(?<last>[0-9]{1,18})?|-(?<count>[0-9]{1,18}))");

        /** Parses "first-last", "first-" or "-count", RFC 9110 §14.1.2; anything else means all bytes. */
        static Range parse(String header, long size) throws HttpException {
            Range all = new Range(200, 0, size - 1);
            Matcher form = FORM.matcher(header);
            if (!form.matches()) return all;
            String start = form.group("first"), end = form.group("last"), count = form.group("count");
            long first = start != null ? Long.parseLong(start) : Math.max(0, size - Long.parseLong(count));
            long last = end != null ? Long.parseLong(end) : Long.MAX_VALUE;
            if (last < first) return all;
            if (first >= size)
                throw new HttpException(416, "there are only " + size + " bytes", "Content-Range", "bytes */" + size);
            return new Range(206, first, Math.min(last, size - 1));
        }
    }

    private static final Map<String, String> TYPES = Stream.of("""
            html=text/html htm=text/html css=text/css js=text/javascript mjs=text/javascript txt=text/plain
            md=text/plain csv=text/csv xml=text/xml json=application/json map=application/json pdf=application/pdf
            webmanifest=application/manifest+json wasm=application/wasm zip=application/zip ico=image/x-icon
            svg=image/svg+xml png=image/png jpg=image/jpeg jpeg=image/jpeg gif=image/gif webp=image/webp
            avif=image/avif bmp=image/bmp ogg=audio/ogg oga=audio/ogg opus=audio/ogg mp3=audio/mpeg m4a=audio/mp4
            aac=audio/aac flac=audio/flac wav=audio/wav mp4=video/mp4 webm=video/webm ogv=video/ogg woff=font/woff
            woff2=font/woff2 ttf=font/ttf otf=font/otf glb=model/gltf-binary gltf=model/gltf+json
            """.split("\\s+")).map(pair -> pair.split("=")).collect(Collectors.toMap(pair -> pair[0], pair -> pair[1]));

    private static String contentType(Path file) {
        String name = file.toString().toLowerCase(Locale.ROOT);
        String type = TYPES.getOrDefault(name.substring(name.lastIndexOf('.') + 1), "application/octet-stream");
        return type.startsWith("text/") ? type + "; charset=utf-8" : type;
    }

    // --- 5. Handshake ------------------------------------------------------------------------------------------------
    // RFC 6455 §4.2. A client proves that it means a WebSocket by sending a key. We prove that we have understood by
    // returning a hash of this key and of a text that nobody else would use.

    private static final Predicate<String> KEY = form("[A-Za-z0-9+/]{22}=="),
            ORIGIN = form("null|file://|[A-Za-z][A-Za-z0-9+.-]*://([0-9A-Za-z_.-]+|\\[[0-9A-Fa-f:.]+])"
                    + "(:([1-5]?[0-9]{1,4}|6[0-5][0-9]{3}))?/?");
    private static final String KEY_SUFFIX = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";   // RFC 6455 §1.3
    private static final String[] UPGRADE =
            {"Upgrade", "websocket", "Connection", "Upgrade", "Sec-WebSocket-Version", "13"};

    /** Returns the response that turns a connection into a WebSocket. @throws HttpException to refuse the request */
    private byte[] acceptHandshake(Request request) throws HttpException {
        int length = request.target.length();
        if (!request.isForRelay())
            throw new HttpException(404, "expected a WebSocket at ws://" + printable(request.host())
                    + "/ws-relay/any/name, got one at " + printable(request.path()));
        if (length > MAX_ROOM_NAME)
            throw new HttpException(414, "a room name has at most " + MAX_ROOM_NAME + " bytes, got " + length);
        requireOrigin(request);
        request.requireNoBody();
        boolean isUpgrade = request.version.equals("HTTP/1.1") && request.method.equals("GET")
                && request.wantsWebSocket() && request.hasToken("connection", "upgrade");
        String version = request.header("sec-websocket-version"), key = request.header("sec-websocket-key");
        if (!isUpgrade)
            throw new HttpException(426, "expected GET, HTTP/1.1, Upgrade: websocket and Connection: Upgrade, got "
                    + printable(request.method + ", " + request.version + ", " + request.headers), UPGRADE);
        if (!version.equals("13"))
            throw new HttpException(426, "expected Sec-WebSocket-Version 13, got '" + version + "'", UPGRADE);
        if (!KEY.test(key)) throw malformed("16 bytes in base64 as Sec-WebSocket-Key", key);

        // Browsers fail if they offer subprotocols and none is picked; the first is the one they prefer.
        String preferred = request.header("sec-websocket-protocol").split(",", 2)[0].strip();
        String subprotocol = Request.TOKEN.test(preferred) ? "Sec-WebSocket-Protocol: " + preferred + "\r\n" : "";
        return ascii("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" + subprotocol
                + "Sec-WebSocket-Accept: " + sha1(key + KEY_SUFFIX) + "\r\n\r\n");
    }

    private static String sha1(String text) {
        try {
            return Base64.getEncoder().encodeToString(MessageDigest.getInstance("SHA-1").digest(ascii(text)));
        } catch (NoSuchAlgorithmException e) {
            throw new AssertionError("every JDK has SHA-1", e);
        }
    }

    /** Refuses pages of other origins, RFC 6455 §10.2. Browsers tell where a page came from, other clients do not. */
    private void requireOrigin(Request request) throws HttpException {
        String origin = request.header("origin"), host = request.host();
        if (!request.headers.containsKey("origin") || isAllowedOrigin(origin, host)) return;
        String refusal = "origin " + printable(origin) + " is not allowed for host " + printable(host);
        String advice = ORIGIN.test(origin) ? "; the option --origin " + origin + " would allow it" : "";
        throw new HttpException(403, refusal + advice);
    }

    private boolean isAllowedOrigin(String origin, String host) {
        String plain = plainOrigin(origin), ownOrigin = "[a-z][a-z0-9+.-]*://" + Pattern.quote(plainOrigin(host));
        return options.origins.contains("*") || options.origins.contains(plain) || plain.matches(ownOrigin);
    }

    /** Returns an origin or a host in lower case and without port 80 or 443: a proxy may use one, we the other. */
    private static String plainOrigin(String origin) {
        String plain = origin.toLowerCase(Locale.ROOT);
        return plain.equals("file://") ? plain : plain.replaceFirst("(:80|:443)?/?$", "");
    }

    // --- 6. Frames in ------------------------------------------------------------------------------------------------
    // A message comes in one frame or in several, between which control frames (ping, pong, close) may stand. A frame
    // has a header and a payload, which the client has masked:
    //
    //     FIN 1 bit, reserved 3 bits, opcode 4 bits | MASK 1 bit, length 7 bits | longer length 0, 2 or 8 bytes |
    //     masking key 4 bytes | payload

    static final int CONTINUATION = 0, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10;   // RFC 6455 §5.2
    private static final int MAX_CONTROL = 125;   // bytes of payload, §5.5
    private static final byte[] NOTHING = {};

    /** A whole message, a ping or a pong: the first `length` bytes of the array. Valid until the next one is read. */
    record Incoming(int opcode, byte[] bytes, int length) {
        String text(int from, int to) { return new String(bytes, from, to - from, StandardCharsets.UTF_8); }

        /** Returns where the next space is, from an index on; `length` if there is none. */
        int indexOfSpace(int start) {
            int at = start;
            while (at < length && bytes[at] != ' ') at++;
            return at;
        }
    }

    /** Turns the bytes of one client into messages, pings and pongs, RFC 6455 §5. Confined to one thread. */
    static final class FrameReader {
        private static final VarHandle EIGHT_BYTES =   // of an array, as a number
                MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.BIG_ENDIAN);
        private final Input input;
        private final int maxMessage;       // bytes
        private final Memory memory;
        private boolean fin;                // of the current frame: it is the last of its message
        private int opcode;                 // of the current frame
        private int remaining;              // bytes of its payload that have not come yet
        private final byte[] maskingKey = new byte[4];
        private int messageOpcode;          // of the message that is arriving; CONTINUATION stands for none
        private byte[] message = NOTHING;   // its payload, unmasked, as far as it has come, and then free bytes
        private int length;                 // bytes that have come
        private int checked;                // of a text: bytes at the beginning that are known to be UTF-8
        private volatile int counted;       // length of `message` if `memory` counts it, or 0; the sweeper reads it

        FrameReader(Input input, int maxMessage, Memory memory) {
            this.input = input;
            this.maxMessage = maxMessage;
            this.memory = memory;
        }

        /** Reads the next message, ping or pong. @throws CloseException for a close frame, or with 1002, 1007, 1009 */
        Incoming next() throws IOException, CloseException {
            if (!isWithinMessage()) release();   // what the last call returned has been relayed by now
            do {
                readHeader();
                if (opcode >= CLOSE) return readControlFrame();
                readPayload();
            } while (!fin);
            if (messageOpcode == TEXT) checkUtf8(message, checked, length, true);
            var whole = new Incoming(messageOpcode, message, length);
            messageOpcode = CONTINUATION;
            return whole;
        }

        /** Reads a header, RFC 6455 §5.2. Checks each field before it waits for the next one. */
        private void readHeader() throws IOException, CloseException {
            int first = input.read();
            fin = (first & 0x80) != 0;
            opcode = first & 0x0f;
            boolean isControl = opcode >= CLOSE, continues = opcode == CONTINUATION;
            boolean isData = opcode == TEXT || opcode == BINARY;
            if ((first & 0x70) != 0) throw protocolError("a reserved bit is set, but no extension was agreed on");
            boolean isKnown = isData || continues || (isControl && opcode <= PONG);
            if (!isKnown) throw protocolError("there is no opcode " + opcode);
            if (isControl && !fin) throw protocolError("a control frame must not be fragmented");
            if (continues && !isWithinMessage()) throw protocolError("a continuation frame continues nothing");
            if (isData && isWithinMessage()) throw protocolError("expected a continuation frame, got opcode " + opcode);

            int second = input.read();
            if ((second & 0x80) == 0) throw protocolError("a client's frames must be masked");
            long payload = readLength(second & 0x7f);
            long total = Math.max(payload, length + payload);   // which may overflow
            if (!isControl && total > maxMessage)
                throw new CloseException(TOO_BIG, "expected up to " + maxMessage + " bytes, got " + total);
            input.readNBytes(maskingKey, 0, 4);
            remaining = (int) payload;
            if (isData) messageOpcode = opcode;
        }

        private static CloseException protocolError(String complaint) {
            return new CloseException(PROTOCOL_ERROR, complaint);
        }

        private long readLength(int shortLength) throws IOException, CloseException {
            if (opcode >= CLOSE && shortLength > MAX_CONTROL) throw protocolError("a control frame is over 125 bytes");
            if (shortLength < 126) return shortLength;
            int bytes = shortLength == 126 ? 2 : 8;
            long least = shortLength == 126 ? 126 : 65_536, value = 0;
            for (int i = 0; i < bytes; i++) value = (value << 8) | input.read();
            if (value < least) throw protocolError("the length " + value + " is negative or in too many bytes");
            return value;
        }

        private Incoming readControlFrame() throws IOException, CloseException {
            var payload = new byte[remaining];
            input.readNBytes(payload, 0, remaining);
            unmask(payload, 0, remaining, 0);
            if (opcode == CLOSE) throw parseClose(payload);
            return new Incoming(opcode, payload, remaining);
        }

        /** Returns what a close frame says, RFC 6455 §5.5.1, §7.4. @throws CloseException with 1002 or 1007 */
        private static CloseException parseClose(byte[] payload) throws CloseException {
            if (payload.length == 0) return new CloseException(NO_STATUS, "");
            if (payload.length == 1) throw protocolError("expected a close code of two bytes, got one byte");
            int code = ByteBuffer.wrap(payload).getChar();   // unsigned
            boolean isReserved = code == 1004 || code == NO_STATUS || code == ABNORMAL;
            boolean isRegistered = code >= 1000 && code <= 1014 && !isReserved, isFree = code >= 3000 && code <= 4999;
            if (!isRegistered && !isFree) throw protocolError("close code " + code + " must not be sent");
            checkUtf8(payload, 2, payload.length, true);
            return new CloseException(code, new String(payload, 2, payload.length - 2, StandardCharsets.UTF_8));
        }

        /** Appends the payload of a data frame to the message; each piece is unmasked and checked as it comes. */
        private void readPayload() throws IOException, CloseException {
            int frameStart = length;
            while (remaining > 0) {
                if (length == message.length) grow();
                int count = input.read(message, length, Math.min(remaining, message.length - length));
                unmask(message, length, length + count, length - frameStart);
                length += count;
                remaining -= count;
                if (messageOpcode == TEXT) checked = checkUtf8(message, checked, length, false);
            }
        }

        /** Makes room for the payload: FIRST_PIECE bytes, then twice what has come, but no more than it can need. */
        private void grow() {
            int most = fin ? length + remaining : maxMessage;   // bytes that it can need; more frames may follow
            int capacity = Math.min(Math.max(FIRST_PIECE, 2 * length), most);
            if (capacity > SHORT_MESSAGE) {
                input.pauseUntil(() -> memory.allowsArriving(capacity, maxMessage));
                memory.addToMessages(capacity - counted);
                counted = capacity;
            }
            message = Arrays.copyOf(message, capacity);
        }

        private boolean isWithinMessage() { return messageOpcode != CONTINUATION; }

        /** Forgets the message, as it has been relayed or will never be whole. It is not counted any more. */
        void release() {
            memory.addToMessages(-counted);
            counted = 0;
            messageOpcode = CONTINUATION;
            message = NOTHING;
            length = 0;
            checked = 0;
        }

        /**
         * Checks part of a text, whose last character may be incomplete unless isEnd. Returns where the next part
         * begins: at that character, or at the end. A decoder stops where the text is wrong or incomplete; that is all
         * we want to know, so the characters that it writes are overwritten.
         */
        private static int checkUtf8(byte[] bytes, int start, int end, boolean isEnd) throws CloseException {
            if (start == end) return end;
            var part = ByteBuffer.wrap(bytes, start, end - start);
            var characters = CharBuffer.allocate(Math.min(end - start, 1024));
            var decoder = StandardCharsets.UTF_8.newDecoder();
            CoderResult result;
            do {
                result = decoder.decode(part, characters.clear(), isEnd);
            } while (result.isOverflow());
            int at = part.position();
            // ED followed by A0 to BF would be a surrogate, which is not UTF-8. The decoder sees that one byte later.
            boolean isSurrogate = end - at >= 2 && (bytes[at] & 0xff) == 0xed && (bytes[at + 1] & 0xff) >= 0xa0;
            if (!result.isError() && !isSurrogate) return at;
            throw new CloseException(INVALID_DATA, "expected UTF-8, got byte 0x%02x".formatted(bytes[at]));
        }

        /** Unmasks bytes in place, RFC 6455 §5.3, eight at a time; `offset` is that of the first in the payload. */
        private void unmask(byte[] bytes, int start, int end, int offset) {
            long eightOfKey = 0;
            for (int i = 0; i < 8; i++) eightOfKey = (eightOfKey << 8) | (maskingKey[(offset + i) & 3] & 0xff);
            int at = start;
            for (; at <= end - 8; at += 8) EIGHT_BYTES.set(bytes, at, (long) EIGHT_BYTES.get(bytes, at) ^ eightOfKey);
            for (; at < end; at++) bytes[at] ^= maskingKey[(offset + at - start) & 3];
        }
    }

    // --- 7. Frames out -----------------------------------------------------------------------------------------------
    // A server does not mask its frames. So the same bytes do for all who receive one, and it is encoded only once.
    //
    // A message to all waits for no receiver: one for which more than maxOutbox waits is closed.
    //
    // A message to one client waits, so that a sender goes no faster than its receiver. Each sender has a window: a
    // number of bytes that its messages to single clients, and the pongs to itself, may take up until drains take them
    // or they are dropped; one that is larger takes up all of it. While the window is full, the sender's thread waits
    // and reads nothing. Nobody else waits.

    /** Returns a frame whose payload is the prefix and then bytes[start..end), RFC 6455 §5.2. */
    static byte[] encode(int opcode, byte[] prefix, byte[] bytes, int start, int end) {
        int length = prefix.length + end - start, header = 2;
        if (length >= 126) header = length < 65_536 ? 4 : 10;
        var frame = ByteBuffer.allocate(header + length).put((byte) (0x80 | opcode));
        if (header == 2) frame.put((byte) length);
        else if (header == 4) frame.put((byte) 126).putShort((short) length);
        else frame.put((byte) 127).putLong(length);
        return frame.put(prefix).put(bytes, start, end - start).array();
    }

    /** Returns a close frame, RFC 6455 §5.5.1. The reason is truncated to 123 bytes, at the end of a character. */
    static byte[] encodeClose(int code, String reason) {
        var payload = ByteBuffer.allocate(MAX_CONTROL).putShort((short) code);
        StandardCharsets.UTF_8.newEncoder().encode(CharBuffer.wrap(reason), payload, true);
        return encode(CLOSE, NOTHING, payload.array(), 0, code == NO_STATUS ? 0 : payload.position());
    }

    private static byte[] encodeText(String ascii) { return encode(TEXT, ascii(ascii), NOTHING, 0, 0); }
    private static byte[] ascii(String text) { return text.getBytes(StandardCharsets.US_ASCII); }

    /** A frame in one outbox or many. It takes up `permits` bytes of its sender's `window`: none if it is to all. */
    record Outgoing(byte[] bytes, Semaphore window, int permits) {
        static final Outgoing PING_FRAME = new Outgoing(encode(PING, NOTHING, NOTHING, 0, 0));
        Outgoing(byte[] bytes) { this(bytes, null, 0); }
        boolean isControl() { return (bytes[0] & 0x0f) >= CLOSE; }
        int cost() { return bytes.length + FRAME_OVERHEAD; }
        void returnPermits() { if (permits > 0) window.release(permits); }
    }

    /**
     * What waits to be written to one client. Guarded by its monitor. A frame waits, then a drain takes it, then it has
     * been written. It leaves its sender's window when it is taken; `memory` counts it until it has been written.
     */
    final class Outbox implements Runnable {
        private final Connection connection;
        private final Queue<Outgoing> urgent = new LinkedList<>();     // go first: the response, then pings and pongs
        private final Queue<Outgoing> messages = new LinkedList<>();   // linked, so that it shrinks again
        private int waitingBytes;                 // of the frames in both queues
        private int writingBytes;                 // of those that the drain has taken and is writing now
        private boolean hasDrain = true;          // one runs; true at first, so that none starts before begin()
        volatile CloseException closeReason;      // null while frames are accepted; any thread may read it
        final CountDownLatch finished = new CountDownLatch(1);   // opens once there is a close reason and nothing waits

        /** @param response to the handshake */
        Outbox(Connection connection, byte[] response) {
            this.connection = connection;
            add(new Outgoing(response), urgent);
        }

        /** Starts the first drain. Called after join(), so that a client is in its room before it gets the response. */
        synchronized void begin() {
            hasDrain = false;
            startDrain();
        }

        /**
         * Adds a frame without waiting. Returns false if there is a close reason, or if too much waits already. There
         * are never too many control frames: a silent client is pinged once, and pongs are in a window.
         */
        synchronized boolean put(Outgoing frame) {
            boolean isTooMuch = waitingBytes > options.maxOutbox && !frame.isControl();
            if (closeReason != null || isTooMuch) return false;
            startDrain();   // may fail, so it comes first; the drain waits for our monitor
            add(frame, frame.isControl() ? urgent : messages);
            return true;
        }

        /** Accepts no more frames. The close frame comes after all that wait. Returns false if it was closed before. */
        synchronized boolean finish(CloseException reason, boolean dropsFrames) {
            if (closeReason != null) return false;
            if (dropsFrames) drop(messages);
            if (reason.code != ABNORMAL) add(new Outgoing(encodeClose(reason.code, reason.getMessage())), messages);
            closeReason = reason;
            startDrain();   // even if nothing waits, since it also shuts down the output
            return true;
        }

        /** As finish(), but drops all frames and sends nothing, as the socket is closed next. Needs no memory. */
        synchronized void discard(CloseException reason) {
            if (closeReason == null) closeReason = reason;
            drop(urgent);
            drop(messages);
            forgetWritten();   // the write of a drain fails, as the socket is closed next
            finished.countDown();
        }

        synchronized int heldBytes() { return waitingBytes + writingBytes; }

        private void startDrain() {
            if (!hasDrain) startThread(this);
            hasDrain = true;
        }

        private void add(Outgoing frame, Queue<Outgoing> queue) {
            queue.add(frame);
            waitingBytes += frame.cost();
            memory.addToOutboxes(frame.cost());
        }

        /** Removes the next frame of a queue. `memory` still counts it. */
        private void remove(Queue<Outgoing> queue) {
            Outgoing frame = queue.remove();
            waitingBytes -= frame.cost();
            frame.returnPermits();
        }

        private Queue<Outgoing> first() { return urgent.isEmpty() ? messages : urgent; }
        private void drop(Queue<Outgoing> queue) {
            while (!queue.isEmpty()) {
                memory.addToOutboxes(-queue.peek().cost());
                remove(queue);
            }
        }

        /** Lets `memory` forget what the drain has taken. A second call changes nothing. */
        private void forgetWritten() {
            memory.addToOutboxes(-writingBytes);
            writingBytes = 0;
        }

        /** The drain: writes until nothing waits. */
        @Override public void run() {
            try {
                var batch = new ArrayList<Outgoing>();
                for (int length = take(batch); length > 0; length = take(batch)) {
                    write(batch, length);
                    Thread.yield();   // meanwhile more may gather for the next write
                }
            } catch (IOException gone) {
                connection.abort(CONNECTION_LOST);
            } catch (RuntimeException | Error failure) {
                connection.abort(FAILED);
                log("error", "internal error: " + failure);
            }
        }

        /** Moves what goes into one write to an empty batch. Returns its length; 0 means that the drain ends. */
        private synchronized int take(List<Outgoing> batch) throws IOException {
            forgetWritten();   // the last batch
            int length = 0;
            while (waitingBytes > 0) {
                Outgoing next = first().peek();
                boolean fits = length + next.bytes.length <= MAX_TRANSFER;
                if (!fits && length > 0) break;   // a longer frame goes alone
                batch.add(next);
                writingBytes += next.cost();
                length += next.bytes.length;
                remove(first());
            }
            if (length == 0) endDrain();
            return length;
        }

        /** Notes that the drain ends, and shuts down the output if no frame will follow. */
        private void endDrain() throws IOException {
            hasDrain = false;
            if (closeReason == null) return;
            connection.shutDownOutput();   // which does not wait
            finished.countDown();
        }

        /** Writes the batch and empties it. Copies several frames into one array first, for one call of the system. */
        private void write(List<Outgoing> batch, int length) throws IOException {
            metrics.deliveries.add(batch.size());
            metrics.bytes.add(length);
            if (batch.size() == 1) {
                connection.write(batch.removeFirst().bytes, length);
                return;
            }
            byte[] borrowed = writeBuffers.poll();   // of MAX_TRANSFER bytes; null if all are in use
            try {
                var bytes = ByteBuffer.wrap(borrowed != null ? borrowed : new byte[length]);
                batch.forEach(frame -> bytes.put(frame.bytes));
                batch.clear();   // the copies are enough
                connection.write(bytes.array(), length);
            } finally {
                if (borrowed != null) writeBuffers.add(borrowed);
            }
        }
    }

    // --- 8. WebSocket ------------------------------------------------------------------------------------------------
    // Both directions of one client. Once it has a close reason, it leaves its room, the outbox is written to its end,
    // and what still comes is discarded.

    /** A WebSocket; subclasses say what it is for. Confined to the thread of its connection unless noted otherwise. */
    abstract class WebSocket {
        final String target, address;      // what the client asked for; where it is
        final Connection connection;
        private final Thread thread = Thread.currentThread();   // the connection's, which makes this
        final Outbox outbox;
        private final FrameReader reader;
        private final int windowSize = Math.max(options.maxOutbox / WINDOW_DIVISOR, 1);   // bytes
        final Semaphore window = new Semaphore(windowSize);

        /** @param response to the handshake */
        WebSocket(Connection connection, byte[] response, String target, String address) {
            this.target = target;
            this.address = address;
            this.connection = connection;
            reader = new FrameReader(connection.input, options.maxMessage, memory);
            outbox = new Outbox(connection, response);
        }

        void join() {}    // the WebSocket is open
        void leave() {}   // it has a close reason; on any thread; perhaps twice
        abstract void receive(Incoming message) throws CloseException;

        /** Serves the client, if there is a place for one more. Returns when all is written and the peer has closed. */
        void run() throws InterruptedException {
            boolean hasPlace = places.tryAcquire();
            try {
                serve(hasPlace);
                connection.discardInput();
                outbox.finished.await();   // the peer may have closed its half while we still write
            } finally {
                if (hasPlace) places.release();
            }
        }

        private void serve(boolean hasPlace) {
            try {
                if (hasPlace) join();
                else refuse();
                outbox.begin();
                while (isOpen()) handle(reader.next());
            } catch (CloseException e) {
                close(e);   // echoes the client's close frame, RFC 6455 §5.5.1, or tells what was wrong
            } catch (IOException gone) {
                close(CONNECTION_LOST);   // if the peer has closed only its half, it still gets what waits
            } catch (RuntimeException | Error failure) {
                connection.abort(FAILED);
                throw failure;
            } finally {
                try { reader.release(); }
                finally { leave(); }
                // There is a close reason: it ended the loop, or was set above.
                metrics.closes.computeIfAbsent(outbox.closeReason.code, code -> new LongAdder()).increment();
            }
        }

        private void refuse() {
            httpConnections.add(connection);   // again, as it will be no client
            close(new CloseException(TRY_AGAIN_LATER, "the relay is full (limit: " + maxClients + ")"));
            log("refuse", target, "-", address, outbox.closeReason);
        }

        private void handle(Incoming frame) throws CloseException {
            switch (frame.opcode) {
                case PONG -> { }   // only its arrival matters
                case PING -> {
                    int permits = awaitWindow(frame.length);
                    send(new Outgoing(encode(PONG, NOTHING, frame.bytes, 0, frame.length), window, permits));
                }
                default -> {
                    metrics.messages.increment();
                    receive(frame);
                }
            }
        }

        boolean isOpen() { return outbox.closeReason == null; }
        int heldBytes() { return outbox.heldBytes() + messageBytes(); }
        int messageBytes() { return reader.counted; }   // of a long message that is arriving, or 0

        /** Puts a frame into the outbox. Closes a client that is too far behind. From any thread. */
        void send(Outgoing frame) {
            try {
                if (outbox.put(frame)) return;
                String reason = "too slow: over " + options.maxOutbox + " bytes behind";
                if (isOpen()) close(new CloseException(POLICY_VIOLATION, reason), true);
                frame.returnPermits();
            } catch (OutOfMemoryError e) {
                frame.returnPermits();
                connection.abort(FAILED);   // this client misses a frame, so it ends, not the one who sent it
            }
        }

        /** Waits until so many bytes fit into this client's window. Returns how much of it they take up. */
        int awaitWindow(int bytes) {
            int permits = Math.min(bytes + FRAME_OVERHEAD, windowSize);
            boolean fits = window.tryAcquire(permits);
            if (!fits) connection.input.whilePaused(() -> window.acquireUninterruptibly(permits));
            return permits;
        }

        /** Waits until there is memory to put so many bytes into outboxes, or until another thread has closed this. */
        void awaitMemory(long bytes) {
            connection.input.pauseUntil(() -> !isOpen() || memory.allowsRelaying(bytes));
        }

        /** Starts the closing handshake or answers it, RFC 6455 §7.1, after all that waits. From any thread. */
        void close(CloseException reason) { close(reason, false); }

        private void close(CloseException reason, boolean dropsFrames) {
            try {
                if (!outbox.finish(reason, dropsFrames)) return;
                wakeSender();
                // Our own thread leaves the room at the end of serve(). Another may be in tellOthers(), iterating over
                // the clients of the room, so that none may be taken out here; a new thread does it.
                if (Thread.currentThread() != thread) startThread(this::leave);
            } catch (OutOfMemoryError e) {
                connection.abort(FAILED);
            }
        }

        /** Drops what waits. The connection's thread leaves the room next. Needs no memory. From any thread. */
        void onAbort(CloseException reason) {
            outbox.discard(reason);
            wakeSender();
        }

        /** Wakes the connection's thread if it waits in awaitWindow(). From now on the window bounds nothing. */
        private void wakeSender() {
            window.drainPermits();   // this may be called often, and the permits must not add up
            window.release(windowSize);
        }
    }

    // --- 9. Rooms ----------------------------------------------------------------------------------------------------
    // A message is "<target> <msgtype>[ <data>]", with single spaces. The target is an id, or "*" for everyone else.
    // The types self, join and quit are the relay's own. What follows the target is passed on byte for byte.
    //
    // All that is heard of a client - its join, its messages, its quit - is put into the others' outboxes under the
    // room's lock. So what each client receives is a true history. And only one thread works in a room at a time, so a
    // large room cannot take all processors.

    private static final Set<String> RESERVED_TYPES = Set.of("self", "join", "quit");   // each of 4 bytes
    private static final Predicate<String> ID = form("[0-9]+");
    private static final int JOIN_COST = 64;   // bytes in outboxes for each client present, to it and about it

    /** Returns what a handshake has asked for. (A test puts an echo in its place.) */
    WebSocket newWebSocket(Connection connection, byte[] response, String target, String address) {
        return new Client(connection, response, target, address);
    }

    private final class Room {
        private final String name;
        private final ReentrantLock lock = new ReentrantLock();
        private final Map<String, Client> clients = new LinkedHashMap<>();   // by id, in ascending order
        private int lastId;

        Room(String name) { this.name = name; }

        /**
         * Tells the newcomer and those present of one another. Returns false if the caller has to try again: memory is
         * short, or this room has been removed meanwhile.
         */
        boolean join(Client newcomer) {
            lock.lock();
            try {
                boolean isGone = rooms.get(name) != this;   // it has emptied meanwhile; a new room takes its place
                if (isGone || !memory.allowsRelaying((long) JOIN_COST * clients.size())) return false;
                // What needs memory is made first. If a later step fails, leave() sees in `room` and `clients` how far
                // this came.
                String id = ++lastId + "";
                var join = new Outgoing(encodeText(id + " join"));
                var present = new ByteArrayOutputStream();   // all frames in one array
                present.writeBytes(encodeText(id + " self"));
                for (String other : clients.keySet()) present.writeBytes(encodeText(other + " join"));
                var welcome = new Outgoing(present.toByteArray());
                newcomer.id = id;
                newcomer.quit = new Outgoing(encodeText(id + " quit"));
                newcomer.room = this;
                clients.put(id, newcomer);
                newcomer.send(welcome);
                tellOthers(newcomer, join);
                log("join", name, id, newcomer.address);
                return true;
            } finally {
                removeIfEmptyAndUnlock();   // a new room is still empty if memory was short
            }
        }

        /** Takes out a client, unless that has been done, and tells the others. Returns false if memory is short. */
        boolean leave(Client client) {
            lock.lock();
            try {
                if (!clients.containsKey(client.id)) return true;
                if (!memory.allowsRelaying((long) client.quit.cost() * clients.size())) return false;
                tellOthers(client, client.quit);
                clients.remove(client.id);   // last: this is called again if there is no memory for what is above
                log("quit", name, client.id, client.address, client.outbox.closeReason);
                return true;
            } finally {
                removeIfEmptyAndUnlock();
            }
        }

        private void removeIfEmptyAndUnlock() {
            try {
                if (clients.isEmpty()) rooms.remove(name, this);
            } finally {
                lock.unlock();
            }
        }

        private void tellOthers(Client sender, Outgoing frame) {
            for (Client other : clients.values()) if (other != sender) other.send(frame);
        }

        /** Puts a message into the outboxes of the target. Does nothing and returns false if memory is short. */
        boolean deliver(Client sender, String target, Outgoing message, long bytes) {
            lock.lock();
            try {
                if (!sender.isOpen()) return true;   // it was closed while it read this, and may have left
                if (!memory.allowsRelaying(bytes)) return false;
                Client receiver = clients.get(target);
                if (target.equals("*")) tellOthers(sender, message);
                else if (receiver != null) receiver.send(message);
                else message.returnPermits();   // the receiver has quit, or nobody ever had that id
                return true;
            } finally {
                lock.unlock();
            }
        }
    }

    private final class Client extends WebSocket {
        private volatile Room room;   // null until it joins, when all three are set, under the room's lock
        private String id;
        private Outgoing quit;        // made in advance, since there may be no memory left when it is needed

        Client(Connection connection, byte[] response, String target, String address) {
            super(connection, response, target, address);
        }

        @Override void join() {
            boolean isIn = false;
            while (isOpen() && !isIn) {
                isIn = rooms.computeIfAbsent(target, Room::new).join(this);
                if (!isIn) awaitMemory((long) JOIN_COST * maxClients);   // the most that a join can need
            }
        }

        @Override void leave() {
            while (room != null && !tryToLeave()) pause(20);   // null: it has never joined
        }

        private boolean tryToLeave() {
            try { return room.leave(this); }
            catch (OutOfMemoryError e) { return false; }   // the others have not been told yet
        }

        /** Passes "<id> <msgtype> <data>" on for "<target> <msgtype> <data>". @throws CloseException 1008 */
        @Override void receive(Incoming message) throws CloseException {
            int targetEnd = message.indexOfSpace(0), typeStart = targetEnd + 1;
            int typeEnd = message.indexOfSpace(typeStart);
            String target = message.text(0, targetEnd);
            boolean isToAll = target.equals("*"), isForm = typeEnd > typeStart && (isToAll || ID.test(target));
            boolean isReserved = typeEnd == typeStart + 4 && RESERVED_TYPES.contains(message.text(typeStart, typeEnd));
            if (!isForm) throw refusal("expected '<id or *> <msgtype> [<data>]'", message);
            if (isReserved) throw refusal("only the relay says self, join and quit", message);

            int permits = isToAll ? 0 : awaitWindow(message.length);
            int receivers = isToAll ? room.clients.size() : 1;   // without the lock: an estimate is enough
            long bytes = (long) (message.length + FRAME_OVERHEAD) * receivers;
            boolean isDone = false;
            while (!isDone) {
                awaitMemory(bytes);   // before it is encoded, as nothing counts the copy until it is in outboxes
                byte[] frame = encode(message.opcode, ascii(id), message.bytes, targetEnd, message.length);
                isDone = room.deliver(this, target, new Outgoing(frame, window, permits), bytes);
            }
            connection.input.countDeliveries(receivers);
        }

        private static CloseException refusal(String sentence, Incoming message) {
            String got = message.text(0, Math.min(message.length, 40));
            return new CloseException(POLICY_VIOLATION, sentence + ", got '" + printable(got) + "'");
        }
    }

    // --- 10. The sweeper ---------------------------------------------------------------------------------------------
    // Threads that read and write only count bytes. A few times a second, the sweeper looks at these counts, and so
    // finds out which peers are silent and which do not read. A timer for each read or write would cost more.
    //
    //   what holds                                                 for how long         what the sweeper does
    //   the connection has to end                                  until endDue         closes the socket
    //   a write is blocked                                         stallTimeout         closes the socket
    //   the peer has sent nothing, though we read                  pingInterval         pings it
    //   it has taken nothing either, though no write is blocked    twice pingInterval   closes the socket
    //   a write is blocked, or a long message hardly goes on       STUCK_AFTER          may close it if memory is short
    //
    // The clock advances by what the sweeper has slept, but by no more than twice what it meant to sleep. So nobody is
    // cut off when a closed laptop wakes up.

    private static final long STUCK_AFTER = 1_000;   // ms in which a write, or a step of a long message, must go on
    private static final int MESSAGE_STEPS = 32;     // a step is this part of the memory of a long message
    private volatile long clock;                     // ms; written by the sweeper

    private void sweep() {
        long nextLog = 60_000;
        while (!closing || !connections.isEmpty()) {
            long start = System.nanoTime();
            pause(options.lookInterval);
            long slept = (System.nanoTime() - start) / 1_000_000;
            clock += Math.min(slept, 2 * options.lookInterval);   // it is more after the process was suspended
            try {
                connections.forEach(connection -> connection.watch.look());
                if (memory.isShort()) relieveMemory();
                if (clock < nextLog) continue;
                nextLog = clock + 60_000;
                logRefusedOrigins();
            } catch (OutOfMemoryError e) {   // the next look does what this one could not
            } catch (RuntimeException failure) {
                log("error", "internal error: " + failure);
            }
        }
    }

    /** Cuts off clients that are stuck and hold more than their share, the largest first, until half is free. */
    private void relieveMemory() {
        long share = memory.limit / 2 / Math.max(1, connections.size());
        long excess = memory.inUse() - memory.limit / 2;
        List<Watch> stuck = connections.stream().map(connection -> connection.watch)
                .filter(watch -> watch.stuckBytes > share)
                .sorted(Comparator.comparing(watch -> -watch.stuckBytes)).toList();
        for (Watch largest : stuck) {
            if (excess <= 0) return;
            largest.connection.abort(MEMORY_FULL);
            excess -= largest.stuckBytes;   // its thread gives some of them back only later
        }
    }

    /**
     * What the sweeper knows of one connection. Confined to the sweeper. Each `last...` is the latest time, on the
     * relay's clock, at which what its comment says was true; look() acts if that is too long ago.
     */
    private final class Watch {
        final Connection connection;
        int stuckBytes;                       // held for a client that is stuck; 0 if it is not
        private long read, written;           // bytes, until the latest look
        private boolean isWriting;            // at the latest look
        private long lastUnblocked = clock;   // no write was blocked
        private long lastHeard = clock;       // the peer had sent something, or we were not reading
        private long lastAlive = clock;       // the peer was heard, had taken something, or a write was blocked
        private long writtenWhenAlive;        // bytes, until lastAlive
        private long lastStep = clock;        // a step of a long message had come, or none was expected
        private long readAtStep;              // bytes, until lastStep
        private boolean wasSilent;            // at the latest look

        Watch(Connection connection) { this.connection = connection; }

        /** Closes the socket if the connection is overdue. Pings a client that is silent. */
        void look() {
            WebSocket client = connection.webSocket;
            noteProgress();
            noteStep(client == null ? 0 : client.messageBytes());
            if (clock >= connection.endDue) connection.abort(CONNECTION_LOST);
            else if (clock - lastUnblocked >= options.stallTimeout) connection.abort(STALLED);
            else if (client != null && client.isOpen()) checkSilence(client);
            boolean isStuck = clock - Math.min(lastUnblocked, lastStep) >= STUCK_AFTER;
            stuckBytes = client != null && isStuck ? client.heldBytes() : 0;
        }

        /** Finds out what has happened since the last look. */
        private void noteProgress() {
            long readBefore = read, writtenBefore = written;
            boolean wasWriting = isWriting;
            read = connection.input.bytesRead;
            written = connection.bytesWritten;
            isWriting = connection.isWriting;

            boolean isBlocked = wasWriting && isWriting && written == writtenBefore;
            if (!isBlocked) lastUnblocked = clock;
            boolean isHeard = read != readBefore || connection.input.isPaused;
            if (isHeard) lastHeard = clock;

            // A write returns as soon as the system has buffered the bytes, on Linux up to twice SEND_BUFFER. Only more
            // than that shows that the peer reads. While a write is blocked, stallTimeout is what counts.
            boolean hasTaken = written - writtenWhenAlive > 2 * SEND_BUFFER;
            if (isHeard || isBlocked || hasTaken) {
                lastAlive = clock;
                writtenWhenAlive = written;
            }
        }

        /** Finds out whether a long message goes on, to which so many bytes of memory belong; 0: none is arriving. */
        private void noteStep(int messageBytes) {
            boolean isExpected = messageBytes > 0 && !connection.input.isPaused;
            if (isExpected && read - readAtStep < messageBytes / MESSAGE_STEPS) return;
            lastStep = clock;
            readAtStep = read;
        }

        /** Pings a client that is silent, once. Ends it if it stays silent and reads nothing. */
        private void checkSilence(WebSocket client) {
            boolean isSilent = clock - lastHeard >= options.pingInterval;
            if (isSilent && !wasSilent) client.send(Outgoing.PING_FRAME);
            wasSilent = isSilent;
            if (clock - lastAlive >= 2 * options.pingInterval) connection.abort(SILENT);
        }
    }

    /**
     * Counts the bytes that clients make the relay hold: frames in outboxes, once for each outbox that they are in, and
     * long messages until they are in outboxes. If these are too many, senders wait. From any thread.
     */
    static class Memory {
        private static final int SMALL_DELIVERY = 16 << 10;   // bytes
        private final LongAdder inOutboxes = new LongAdder(), inMessages = new LongAdder();
        final long limit;

        Memory(long limit) { this.limit = limit; }
        void addToOutboxes(long bytes) { inOutboxes.add(bytes); }
        void addToMessages(long bytes) { inMessages.add(bytes); }
        long inUse() { return inOutboxes.sum() + inMessages.sum(); }

        /** Returns whether clients that are stuck have to be cut off. */
        boolean isShort() { return inUse() >= limit / 4 * 3; }

        /**
         * Returns whether a message that is arriving may grow to so many bytes. If all had to stop at the same bound,
         * many could fill the memory, and none would ever be whole. So the longer a message is, the more may be in use
         * when it grows: from 3/4 of the limit for the shortest to all of it for the longest.
         */
        boolean allowsArriving(int bytes, int maxMessage) {
            long quarter = limit / 4;
            return inUse() < 3 * quarter + quarter * bytes / maxMessage;
        }

        /**
         * Returns whether a message may be relayed that adds so many bytes to outboxes, in all. Small ones may exceed
         * the limit by a quarter, so that games go on. For others, half must be free if all they add does not fit, as
         * some add more than the limit. What is arriving does not matter here, as relaying it frees its memory.
         */
        boolean allowsRelaying(long bytes) {
            long most = Math.max(limit - bytes, limit / 2);   // that may be in outboxes before
            if (bytes <= SMALL_DELIVERY) most = limit / 4 * 5;
            return inOutboxes.sum() <= most;
        }
    }

    // --- 11. STUN ----------------------------------------------------------------------------------------------------
    // A browser behind a home router asks for its public address, RFC 8489 §12, and tells it to the other player
    // through the relay; both then send there, which opens the way through both routers.
    //
    // A message has a header of 20 bytes: type, length of what follows, a cookie by which STUN is known, and an ID that
    // the response repeats. Attributes follow; those of a request are ignored. The address in the response is XORed
    // with cookie and ID, since some routers rewrite addresses that they see.
    //
    // To forge the sender's address gains little, at most 44 bytes for 20. As only requests are answered, two servers
    // cannot keep answering one another.

    private static final int BINDING_REQUEST = 0x0001, BINDING_SUCCESS = 0x0101, XOR_MAPPED_ADDRESS = 0x0020;
    private static final int COOKIE = 0x2112a442;   // in requests before 2008 there was none, RFC 3489

    private void serveStun() {
        while (!closing) {
            try {
                var datagram = new DatagramPacket(new byte[MAX_STUN + 1], MAX_STUN + 1);   // a longer one is cut
                stun.receive(datagram);
                var from = (InetSocketAddress) datagram.getSocketAddress();
                byte[] response = answerStun(datagram.getData(), datagram.getLength(), from);
                // Java cannot say from which address: a machine with several may use another than was asked, and the
                // client's router drops that. --host is the remedy.
                if (response != null) stun.send(new DatagramPacket(response, response.length, from));
            } catch (IOException | OutOfMemoryError e) { /* nothing can be sent there, or close() was called */ }
        }
    }

    /** Returns the response to a datagram; null if that is not a Binding request, RFC 8489 §6.3. */
    static byte[] answerStun(byte[] bytes, int length, InetSocketAddress from) {
        if (length < 20 || length > MAX_STUN || from.getPort() == 0) return null;
        var request = ByteBuffer.wrap(bytes);
        boolean isBinding = request.getShort(0) == BINDING_REQUEST && request.getInt(4) == COOKIE;
        if (!isBinding || request.getChar(2) != length - 20) return null;

        byte[] address = from.getAddress().getAddress();   // 4 bytes also for an IPv4 client of an IPv6 socket
        var response = ByteBuffer.allocate(28 + address.length);
        response.putShort((short) BINDING_SUCCESS).putShort((short) (8 + address.length)).put(bytes, 4, 16);
        response.putShort((short) XOR_MAPPED_ADDRESS).putShort((short) (4 + address.length));
        response.putShort((short) (address.length == 4 ? 1 : 2)).putShort((short) (from.getPort() ^ (COOKIE >>> 16)));
        for (int i = 0; i < address.length; i++) response.put((byte) (address[i] ^ bytes[4 + i]));
        return response.array();
    }
}
