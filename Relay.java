// SPDX-License-Identifier: MIT
/*
 * Relay: a WebSocket server through which browser games find one another.
 *
 *     java Relay.java 8080           then open http://localhost:8080
 *
 * A client opens ws://host:8080/ws-relay/some/game and is in the room of that name. The relay tells it its id
 * ("1 self"), who else is there ("2 join") and who leaves ("2 quit"). It sends "2 hello" to reach client 2, or
 * "* hello" to reach everyone else; they receive "1 hello". That is all.
 *
 *   1. Command line   main, the options and the limits
 *   2. The relay      accepting connections, shutdown, the log
 *   3. The sweeper    deadlines, silent clients, memory
 *   4. Connection     a socket, its thread and its input
 *   5. HTTP           requests, responses, files
 *   6. Handshake      from HTTP to WebSocket
 *   7. Frames in      bytes to messages
 *   8. Frames out     messages to bytes, and the outbox that writes them
 *   9. WebSocket      both directions together; how a client's connection ends
 *  10. Rooms          who is there, and where a message goes
 *  11. STUN           telling players their public address
 *
 * The path of a message: the sender's thread reads bytes into its Input -> FrameReader unmasks and checks them and
 * returns a message -> the sender's Client encodes the outgoing frame once -> that one array is put into the Outbox of
 * each receiver -> each outbox is drained into its socket by a virtual thread.
 *
 * A dozen concepts are enough to read this file:
 *
 *   connection   a socket and the one virtual thread that does everything for it: requests, WebSocket, end
 *   handshake    the HTTP request that turns a connection into a WebSocket
 *   frame        what WebSocket sends: a header and a payload; a message is one frame or several
 *   client       a WebSocket in a room, known to the others by its id
 *   room         the clients that asked for the same path; its lock makes everybody's history true
 *   outbox       the frames that wait to be written to one client
 *   drain        the virtual thread that writes an outbox; it starts when the outbox becomes non-empty
 *   window       how many bytes a client may have waiting in the outboxes of those whom it addresses by id
 *   close reason why a WebSocket ends; the first one counts, and no frame is put into the outbox after it
 *   sweeper      the thread that looks at all connections once a second and closes the sockets of those overdue
 *   clock        counts the sweeper's looks, so that time stands still while the process is suspended
 *   memory       counts the bytes that clients make the relay hold, and has a limit
 *
 * On a first reading, skip what is marked "Operation" or "Optimization", and parts 1, 5 and 11.
 */

import java.io.*;
import java.lang.invoke.*;
import java.net.*;
import java.nio.*;
import java.nio.charset.*;
import java.nio.file.*;
import java.nio.file.attribute.BasicFileAttributes;
import java.security.*;
import java.time.*;
import java.time.format.DateTimeFormatter;
import java.time.temporal.ChronoUnit;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.*;
import java.util.concurrent.locks.*;
import java.util.function.*;
import java.util.regex.*;
import java.util.stream.*;
import java.util.zip.CRC32;

@SuppressWarnings("serial")   // its exceptions are never serialized
public class Relay implements AutoCloseable {

    // --- 1. Command line ---------------------------------------------------------------------------------------------
    //
    // The arguments become a Command: a text to print, or options to run with. Exit code 0 is a normal end, 1 means that
    // the relay cannot listen, 2 that the arguments are wrong.

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
            var folders = new ArrayList<Path>();
            Iterator<String> words = List.of(args).iterator();
            boolean portGiven = false;
            try {
                while (words.hasNext()) {
                    String word = words.next();
                    switch (word) {
                        case "--help", "-h" -> { return new Say(HELP, 0); }
                        case "--version" -> { return new Say("relay 1.0", 0); }
                        case "--host" -> options.host = InetAddress.getByName(value(word, words));
                        case "--dir" -> folders.add(folder(value(word, words), folders));
                        case "--origin" -> options.origins.add(origin(value(word, words)));
                        case "--max-clients" -> options.maxClients = number(word, value(word, words), 1, 1_000_000);
                        case "--max-message" -> options.maxMessage = number(word, value(word, words), 1, 1 << 30);
                        case "--stun" -> options.stunPort = number(word, value(word, words), 1, 65535);
                        case "--no-stun" -> options.stunPort = -1;
                        case "--metrics" -> options.metrics = true;
                        case "--quiet" -> options.quiet = true;
                        default -> {
                            require(!word.startsWith("-"), "there is no option " + word);
                            require(!portGiven, "expected one port, got a second port, " + word);
                            options.port = number("the port", word, 0, 65535);
                            portGiven = true;
                        }
                    }
                }
                long mostForMessage = options.memoryLimit / 2;
                require(options.maxMessage <= mostForMessage, "--max-message may be at most " + mostForMessage
                        + ", an eighth of the heap, which java's option -Xmx sets; got " + options.maxMessage);
                if (!folders.isEmpty()) options.folders = folders;
                return new Run(options);
            } catch (IllegalArgumentException e) {
                return new Say("relay: " + printable(e.getMessage()) + " (--help lists the options)", 2);
            } catch (UnknownHostException e) {
                return new Say("relay: --host: there is no address " + printable(e.getMessage()), 2);
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
                    name + " must be from " + least + " to " + most + ", got '" + digits + "'");
            return (int) number;
        }

        private static Path folder(String text, List<Path> others) {
            Path folder = Path.of(text).toAbsolutePath().normalize();
            require(Files.isDirectory(folder), folder + " is not a folder");
            require(Files.isReadable(folder) && Files.isExecutable(folder), folder + " cannot be read");
            Path name = folder.getFileName();
            require(name != null, folder + " has no name under which it could be served");
            require(!List.of("ws-relay", "health", "metrics").contains(name.toString()),
                    "a folder must not be named " + name + ", which is an address of the relay itself");
            require(others.stream().noneMatch(other -> other.getFileName().equals(name)),
                    "two folders cannot both be served as /" + name);
            return folder;
        }

        private static String origin(String text) {
            require(!text.contains("://*"), text + " cannot match any page: name each origin, or * for all");
            require(text.matches("\\*|null|file://|[A-Za-z][A-Za-z0-9+.-]*://[^/\\s]+/?"),
                    "expected an origin such as https://example.com, got '" + text + "'");
            return plainOrigin(text);
        }

        private static void require(boolean condition, String complaint) {
            if (!condition) throw new IllegalArgumentException(complaint);
        }

        String HELP = """
            java Relay.java [PORT] [OPTION]...

            Relays messages between WebSocket clients that connect to ws://HOST:PORT/ws-relay/ANY/NAME, and serves
            the files of a game from a folder. PORT is 8080 unless given; 0 takes any free one.

              --host ADDR          listen on this address only (default: all of this machine, IPv4 and IPv6, as with
                                   0.0.0.0); use 127.0.0.1 behind a proxy on the same machine
              --dir PATH           serve this folder under its own name (default: the folder spacewar in the working
                                   directory, if there is one); repeat it for more; / leads to the first
              --origin URL         let pages from there connect, such as https://example.com, or * for all (default:
                                   only pages from this host and port); repeat it for more
              --max-clients N      refuse more clients than these with close code 1013 (default: 10000, or one for
                                   each 12 KiB of heap if that is less); raise it together with heap and open files
              --max-message BYTES  refuse a longer message with close code 1009 (default: 1048576); lower it when
                                   strangers play and your messages are small
              --stun PORT          answer STUN on this UDP port, so that players behind home routers connect directly
                                   (default: the number of PORT); behind a proxy use --host 127.0.0.1 --stun 8080:
                                   STUN then listens on all addresses, since no proxy passes it on
              --no-stun            do not answer STUN (default: do); when you have another STUN server, or want none
              --metrics            answer /metrics in Prometheus' format (default: no)
              --quiet              do not log joins, quits and refusals (default: log them)
              --help, --version    print this, or the version, and exit""";
    }

    /**
     * The options, and with them all limits; tests shorten those that the command line lacks. Sizes are in bytes, times
     * in milliseconds. 10,000 clients with 1 MiB of message and 4 MiB of outbox each would come to 50 GiB: hence
     * memoryLimit.
     */
    static final class Options {
        int port = 8080;                                         // 0: any free one
        InetAddress host = null;                                 // null: all addresses of this machine
        int stunPort = 0;                                        // UDP; 0: of the same number, -1: none
        List<Path> folders = List.of(Path.of("spacewar"));       // those that do not exist are left out
        final List<String> origins = new ArrayList<>();          // in the form of plainOrigin, or *
        boolean metrics = false;
        boolean quiet = false;
        int maxClients = 10_000;                                 // at most one for each CLIENT_MEMORY of heap, too
        int maxHttpConnections = 1_000;                          // connections that are not clients, or no longer
        int maxMessage = 1 << 20;                                // a game sends hundreds of bytes, a file more
        int maxOutbox = 4 << 20;                                 // how far a client may fall behind
        long memoryLimit = Runtime.getRuntime().maxMemory() / 4; // for all outboxes and long messages together
        long headTimeout = 10_000;                               // for a request head to arrive, in all
        long pingInterval = 20_000;                              // of silence; proxies time out after 30 to 60 s
        long stallTimeout = 30_000;                              // for a write that makes no progress
        long closeTimeout = 10_000;                              // for the peer to close after our close frame
        long shutdownTimeout = 3_000;                            // for all of them to close
    }

    /*
     * What bounds each buffer, for each client unless noted otherwise:
     *
     *   Input                INPUT_BUFFER
     *   message arriving     Options.maxMessage; what exceeds FIRST_PIECE is counted by Memory
     *   outbox               Options.maxOutbox and one frame; counted by Memory in steps of COUNTING_STEP
     *   pongs, unicasts      WINDOW_SHARE of the outbox limit, wherever they wait
     *   write buffers        MAX_WRITE each, WRITE_BUFFERS for the whole relay; more are exact copies of the outbox
     *   request head         MAX_HEAD, for each of Options.maxHttpConnections
     *   file being served    FILE_PIECE, for each of Options.maxHttpConnections
     *   name of the room     MAX_ROOM_NAME
     *   system's buffer      SEND_BUFFER, which Linux doubles
     *   everything else      CLIENT_MEMORY, for each of Options.maxClients
     *   log                  LOG_LINES for the whole relay; more are lost
     */
    private static final int INPUT_BUFFER = 2 << 10;      // larger frames are read around it
    private static final int FIRST_PIECE = 2 << 10;       // of a long message, which then grows as it arrives
    private static final int COUNTING_STEP = 2 << 10;     // an outbox is counted anew when it has changed by this much
    private static final int FRAME_OVERHEAD = 32;         // of a frame in an outbox, besides its bytes
    private static final int WINDOW_SHARE = 16;           // so many senders may fill an outbox with unicasts together
    private static final int MAX_READ = 64 << 10;         // by one call of the system
    private static final int MAX_WRITE = 32 << 10;        // by one call: small enough that progress on slow links shows
    private static final int WRITE_BUFFERS = 16;
    private static final int SEND_BUFFER = 64 << 10;      // progress shows only when a third of it is free
    private static final int MAX_HEAD = 16 << 10;         // browsers send 500 bytes, and up to 9,000 of cookies
    private static final int MAX_ROOM_NAME = 1 << 10;
    private static final int FILE_PIECE = 16 << 10;
    private static final int CLIENT_MEMORY = 12 << 10;
    private static final int MAX_STUN = 1_500;            // browsers send 20 bytes
    private static final int LOG_LINES = 10_000;
    private static final int DELIVERIES_PER_TURN = 500;   // after which a sender lets other threads run
    private static final int LONG_QUEUE = 64;             // frames; a longer queue is replaced once it is empty

    // --- 2. The relay ------------------------------------------------------------------------------------------------
    //
    // Everything blocks, and each thread does one thing:
    //
    //   acceptor    (platform)                   accepts connections and starts a virtual thread for each
    //   connection  (virtual, one for each)      reads requests and frames, puts frames into outboxes, ends it all
    //   drain       (virtual, while one waits)   writes the outbox of one client to its socket
    //   leave       (virtual, for a moment)      takes a client out of its room that another thread has closed
    //   sweeper     (platform)                   checks deadlines and memory; it interrupts a thread by closing its socket
    //   STUN        (virtual)                    answers datagrams
    //   log         (platform)                   prints, so that nobody else waits for a terminal
    //
    // and three kinds of lock:
    //
    //   Room.lock   ReentrantLock   who is in the room, and the order of what is told there; held while frames are put
    //                               into outboxes, never while anything waits
    //   Outbox      its monitor     the queued frames, whether a drain runs, and the close reason
    //   others      its monitor     the order in which connections that are not clients make way
    //
    // That the peer is gone shows as an IOException. This is not an error anywhere; it ends the connection.

    private final Options options;
    private final List<Folder> folders;
    private final Set<Connection> connections = ConcurrentHashMap.newKeySet();   // all, until their threads end
    private final LinkedHashSet<Connection> others = new LinkedHashSet<>();      // those that are not clients; in order
    private final Map<String, Room> rooms = new ConcurrentHashMap<>();           // by name
    private final Metrics metrics = new Metrics();
    private final int maxClients;
    final Memory memory;
    private final BlockingQueue<byte[]> writeBuffers = new ArrayBlockingQueue<>(WRITE_BUFFERS);
    private final Map<String, Integer> refusedOrigins = new HashMap<>();         // within this minute; its own monitor
    private final ExecutorService log = new ThreadPoolExecutor(0, 1, 1, TimeUnit.SECONDS,
            new ArrayBlockingQueue<>(LOG_LINES), Thread.ofPlatform().name("relay-log").daemon().factory(),
            new ThreadPoolExecutor.DiscardPolicy());
    private ServerSocket listener;                                               // null until started
    private DatagramSocket stun;                                                 // null until started, or without STUN
    private List<Thread> threads = List.of();                                    // acceptor, sweeper, STUN
    private volatile boolean closing;

    Relay(Options options) {
        this.options = options;
        folders = options.folders.stream().filter(Files::isDirectory).map(Folder::new).toList();
        maxClients = (int) Math.min(options.maxClients, Runtime.getRuntime().maxMemory() / CLIENT_MEMORY);
        memory = new Memory(options.memoryLimit);
        for (int i = 0; i < WRITE_BUFFERS; i++) writeBuffers.add(new byte[MAX_WRITE]);
    }

    /** Listens and returns; the rest happens on threads of its own until close(). @throws IOException without a port */
    Relay start() throws IOException {
        listen(options.port == 0 ? 100 : 1);
        var started = new ArrayList<Thread>();
        started.add(Thread.ofPlatform().name("relay-acceptor").start(this::accept));
        started.add(Thread.ofPlatform().name("relay-sweeper").start(this::sweep));
        if (stun != null) started.add(Thread.startVirtualThread(this::serveStun));
        threads = started;
        return this;
    }

    /** Takes both ports. What is free for TCP may be taken for UDP; if any number will do, tries another one. */
    private void listen(int tries) throws IOException {
        String what = "port " + options.port, advice = "name another one, or 0 for any";
        try {
            listener = new ServerSocket();
            listener.bind(new InetSocketAddress(options.host, options.port), 1024);
            if (options.stunPort < 0) return;
            int number = options.stunPort == 0 ? port() : options.stunPort;
            boolean proxied = options.stunPort > 0 && listener.getInetAddress().isLoopbackAddress();
            what = "UDP port " + number;
            advice = "--stun PORT moves it, --no-stun leaves it out";
            stun = new DatagramSocket(new InetSocketAddress(proxied ? null : options.host, number));
        } catch (IOException | IllegalArgumentException e) {
            closeQuietly(listener);
            stun = null;
            if (tries > 1) {
                listen(tries - 1);
                return;
            }
            boolean inUse = e.toString().contains("in use");
            if (!inUse && options.host != null && e.toString().matches(".*(assign requested|amily|rotocol).*"))
                throw new IOException("cannot listen on " + format(options.host) + ": this machine has no such address", e);
            throw new IOException("cannot listen on " + what + ": " + e.getMessage() + (inUse ? "; " + advice : ""), e);
        }
    }

    int port() { return listener.getLocalPort(); }
    int stunPort() { return stun == null ? -1 : stun.getLocalPort(); }   // -1 also once that is closed

    /** Returns the lines for the person who started the relay: first the address to open, then what else to know. */
    private List<String> welcome() {
        String path = (port() == 80 ? "" : ":" + port()) + "/" + (folders.isEmpty() ? "" : folders.getFirst().url);
        boolean everywhere = options.host == null || options.host.isAnyLocalAddress();
        var lines = new ArrayList<String>();
        lines.add("http://" + (everywhere ? "localhost" : urlHost(options.host)) + path);
        InetAddress outward = everywhere ? outwardAddress() : null;
        if (outward != null) lines.add("http://" + urlHost(outward) + path + "   for others");
        if (folders.isEmpty())
            lines.add("no folder " + options.folders.stream().map(Path::toAbsolutePath).map(Path::toString)
                    .collect(Collectors.joining(", ")) + ", hence no pages; relaying at /ws-relay");
        if (folders.stream().anyMatch(Folder::hasUnreadableNames))
            lines.add("file names that are not ASCII cannot be served: Java runs with the encoding "
                    + System.getProperty("sun.jnu.encoding") + "; set the environment variable LC_ALL to C.UTF-8");
        return lines;
    }

    /** Returns the address from which this machine reaches others: that of its default route; null if there is none. */
    private static InetAddress outwardAddress() {
        try (var socket = new DatagramSocket()) {
            socket.connect(InetAddress.getByName("192.0.2.1"), 9);   // sends nothing; RFC 5737 reserves the address
            InetAddress address = socket.getLocalAddress();
            return address.isAnyLocalAddress() || address.isLoopbackAddress() ? null : address;
        } catch (IOException | UncheckedIOException unreachable) {
            return null;
        }
    }

    private static String urlHost(InetAddress address) {
        return address instanceof Inet6Address ? "[" + format(address) + "]" : format(address);
    }

    /** Returns an address as text; of IPv6 addresses the short form, RFC 5952 §4. */
    static String format(InetAddress address) {
        String text = address.getHostAddress().replaceFirst("%.*", "");
        if (!text.contains(":")) return text;
        for (int zeros = 8; zeros >= 2; zeros--) {   // the longest run of zeros, the first of these, becomes "::"
            Matcher run = Pattern.compile("(^|:)0(:0){" + (zeros - 1) + "}(:|$)").matcher(text);
            if (run.find()) return run.replaceFirst("::");
        }
        return text;
    }

    private void accept() {
        while (!closing) {
            try {
                admit(listener.accept());
            } catch (IOException | OutOfMemoryError e) {
                if (closing) return;
                log("error", "cannot accept: " + e.getMessage());   // out of descriptors, probably
                pause(1_000);
            }
        }
    }

    private void admit(Socket socket) throws IOException {
        try {
            socket.setTcpNoDelay(true);   // or games wait up to 40 ms for an acknowledgement
            socket.setSendBufferSize(SEND_BUFFER);
            var connection = new Connection(socket);
            connections.add(connection);
            moveToEndOfOthers(connection);
            Thread.startVirtualThread(connection);
            if (closing) connection.abort(SHUTTING_DOWN);
        } catch (IOException | OutOfMemoryError e) {   // the peer is gone, or there is no memory for it
            socket.close();
        }
    }

    /** Makes a connection the last to make way. If there are too many, the first one goes, so that newcomers get in. */
    private void moveToEndOfOthers(Connection connection) {
        Connection first = null;
        synchronized (others) {
            others.remove(connection);
            others.add(connection);
            if (others.size() > options.maxHttpConnections) first = others.removeFirst();
        }
        if (first != null) first.abort(MADE_WAY);
    }

    private void removeFromOthers(Connection connection) {
        synchronized (others) {
            others.remove(connection);
        }
    }

    /** Ends it: sends 1001 to every client, waits some seconds for them, closes all sockets. From any thread. */
    @Override
    public void close() {
        if (listener == null || closing) return;
        closing = true;
        closeQuietly(listener);
        if (stun != null) stun.close();
        connections.forEach(Connection::shutDown);
        awaitUntil(connections::isEmpty, options.shutdownTimeout);
        connections.forEach(connection -> connection.abort(SHUTTING_DOWN));
        awaitUntil(connections::isEmpty, 500);
        threads.forEach(LockSupport::unpark);
        awaitUntil(() -> threads.stream().noneMatch(Thread::isAlive), 1_000);   // or the ports would still be taken
        log.shutdown();
        awaitUntil(log::isTerminated, 500);
    }

    private static void awaitUntil(BooleanSupplier condition, long millis) {
        long end = System.nanoTime() + millis * 1_000_000;
        while (!condition.getAsBoolean() && System.nanoTime() < end) pause(5);
    }

    /** Sleeps without minding interrupts. */
    private static void pause(long millis) { LockSupport.parkNanos(millis * 1_000_000); }

    private static void closeQuietly(Closeable socket) {
        try {
            if (socket != null) socket.close();
        } catch (IOException ignored) { /* it is closed all the same */ }
    }

    /** Logs one line, in which no client can forge another. */
    private void log(String event, Object... details) {
        if (options.quiet) return;
        var line = new StringJoiner(" ").add(Instant.ofEpochSecond(System.currentTimeMillis() / 1000) + " " + event);
        for (Object detail : details) line.add(printable(detail.toString()));
        log.execute(() -> System.out.println(line));
    }

    /** Operation: logs a refused page once, and then at most once a minute how often its origin has tried again. */
    private void logRefusedOrigin(String origin, Object... details) {
        synchronized (refusedOrigins) {
            boolean isKnown = refusedOrigins.containsKey(origin);
            if (isKnown || refusedOrigins.size() < 100) refusedOrigins.merge(origin, 1, Integer::sum);
            if (isKnown) return;
        }
        log("refuse", details);
    }

    /** Called by the sweeper once a minute. */
    private void summarizeRefusedOrigins() {
        synchronized (refusedOrigins) {
            refusedOrigins.forEach((origin, times) -> {
                if (times > 1) log("refuse", "origin", origin, "tried", times - 1, "times more within a minute");
            });
            refusedOrigins.values().removeIf(times -> times == 0);
            refusedOrigins.replaceAll((origin, times) -> times == 1 ? 0 : 1);   // those who go on stay known
        }
    }

    /** Returns what a stranger wrote as visible ASCII, at most 200 characters of it. */
    static String printable(String text) {
        String plain = text.replaceAll("[^ -~]", "?");
        return plain.length() <= 200 ? plain : plain.substring(0, 200) + "...";
    }

    /** Operation: what /metrics tells. Always counted, since a LongAdder costs next to nothing. */
    private static final class Metrics {
        final long started = System.nanoTime();
        final AtomicInteger clients = new AtomicInteger();   // WebSockets that are open
        final LongAdder messages = new LongAdder();          // received from them
        final LongAdder deliveries = new LongAdder();        // of those messages, one for each receiver
        final LongAdder bytes = new LongAdder();             // of deliveries, with the headers of frames
        final Map<Integer, LongAdder> closes = new ConcurrentSkipListMap<>();

        /** Returns all in Prometheus' text format, version 0.0.4. */
        String text(int rooms) {
            long uptime = (System.nanoTime() - started) / 1_000_000_000;
            Object[][] metrics = {{"rooms", "gauge", rooms}, {"clients", "gauge", clients},
                    {"uptime_seconds", "gauge", uptime}, {"deliveries_total", "counter", deliveries},
                    {"messages_received_total", "counter", messages}, {"delivered_bytes_total", "counter", bytes}};
            var text = new StringBuilder();
            for (Object[] metric : metrics) text.append("# TYPE relay_%1$s %2$s\nrelay_%1$s %3$s\n".formatted(metric));
            text.append("# TYPE relay_closes_total counter\n");
            closes.forEach((code, count) -> text.append("relay_closes_total{code=\"" + code + "\"} " + count + "\n"));
            return text.toString().strip();
        }
    }

    // --- 3. The sweeper ----------------------------------------------------------------------------------------------
    //
    // Threads that read and write only count bytes. One thread, the sweeper, compares these counts with what it saw at
    // its last look, about once a second, and so finds out who is silent and who is stuck. A timer for each read or write
    // would cost more. The relay's clock counts these looks: while the process is suspended (a paused container, a closed
    // laptop) it stands still, and nobody is blamed for that time.

    private static final long TICK = 100;                  // ms between two looks at the memory
    private volatile long clock;                           // ms of looks; written by the sweeper

    private void sweep() {
        var timeouts = List.of(options.headTimeout, options.pingInterval, options.stallTimeout, options.closeTimeout);
        long interval = Math.clamp(Collections.min(timeouts) / 3, 10, 1_000);   // a second, except in tests
        long tick = Math.min(TICK, interval);
        long nextSummary = 60_000;
        for (long sinceLook = 0; !closing || !connections.isEmpty(); sinceLook += tick) {
            pause(tick);
            try {
                if (memory.isShort()) relieveMemory();
                if (sinceLook < interval) continue;
                sinceLook = 0;
                clock += interval;
                for (Connection connection : connections) connection.look(clock);
                if (clock < nextSummary) continue;
                nextSummary = clock + 60_000;
                summarizeRefusedOrigins();
            } catch (OutOfMemoryError e) { /* the next look may find more */ }
        }
    }

    /**
     * Cuts off clients until half of the memory is free: only those that make no progress though we are ready to read
     * from them or write to them, those that hold the most first. A client that waits for us is never among them.
     */
    private void relieveMemory() {
        record Stuck(Connection connection, long held) {}
        var stuck = new ArrayList<Stuck>();
        for (Connection connection : connections)
            if (connection.isStuck()) stuck.add(new Stuck(connection, connection.heldBytes()));
        stuck.sort(Comparator.comparingLong(Stuck::held).reversed());
        long excess = memory.inUse() - memory.limit / 2;
        for (Stuck next : stuck) {
            if (excess <= 0) return;
            next.connection.abort(MEMORY_FULL);
            excess -= next.held;
        }
    }

    /**
     * Counts the bytes that clients make the relay hold: what waits in outboxes, and long messages that are still
     * arriving. From three quarters of the limit on, long messages wait, the longest last, so that some always get
     * through; and the sweeper cuts off clients that are stuck. At the limit, messages are no longer relayed but wait,
     * and short ones, as games send, a quarter beyond it. From any thread.
     */
    static class Memory {
        private static final int SHORT_MESSAGE = 1 << 10;

        final long limit;   // bytes
        private final AtomicLong inUse = new AtomicLong();

        Memory(long limit) { this.limit = limit; }

        long inUse() { return inUse.get(); }
        void add(long bytes) { inUse.addAndGet(bytes); }
        boolean isShort() { return inUse() >= limit / 4 * 3; }

        /** Returns whether a message that is still arriving may take up so many bytes. */
        boolean allowsMessage(int length, int maxMessage) {
            long reserved = limit / 4;
            return inUse() < limit - reserved + reserved * length / maxMessage;
        }

        /** Returns whether a message of this length may be put into outboxes. */
        boolean allowsRelaying(int length) {
            return inUse() <= (length <= SHORT_MESSAGE ? limit / 4 * 5 : limit);
        }
    }

    // --- 4. Connection -----------------------------------------------------------------------------------------------
    //
    // A connection speaks HTTP, request after request, until a request is the handshake of a WebSocket:
    //
    //     HTTP --> WebSocket open --> closing (has a close reason) --> socket closed
    //       |                                                            ^
    //       +------------------------------------------------------------+
    //
    // If a socket were closed while unread bytes wait in it, TCP would reset the connection, and the peer might lose our
    // last words. So both kinds end alike: the output is shut down once all is written, then what still comes is
    // discarded until the peer closes, or until a deadline. abort() closes the socket without all that.

    /** A socket and the thread that reads from it. Confined to that thread unless noted otherwise. */
    final class Connection implements Runnable {
        private static final long NEVER = Long.MAX_VALUE;

        private final Socket socket;
        final Input input;
        private final OutputStream output;
        private volatile WebSocket webSocket;       // null while it speaks HTTP
        private volatile long deadline = NEVER;     // on the relay's clock; of the request head, or of the end
        private volatile boolean isHeadLate;        // the deadline of the head has passed; set by the sweeper
        private volatile boolean isResponding;      // a response is being written
        private volatile long bytesWritten;         // of responses

        // Confined to the sweeper:
        private long seenRead, seenWritten;         // bytes read and written by its last look
        private boolean wasWriting;                 // something waited to be written at its last look
        private long lastHeard = clock;             // when a byte came, or was taken after it had had to wait
        private long lastProgress = clock;          // when a byte was written, or nothing waited
        private long stuckRead, stuckWritten;       // bytes read and written by its last look at the memory
        private int ticksWithoutByte;               // looks at the memory since a byte of the arriving message came

        Connection(Socket socket) throws IOException {
            this.socket = socket;
            input = new Input(socket.getInputStream());
            output = socket.getOutputStream();
        }

        @Override
        public void run() {
            try {
                serveHttp();
            } catch (IOException gone) {
                // the usual end
            } catch (RuntimeException | Error failure) {
                log("error", "internal error: " + failure);
            } finally {
                abort(CONNECTION_LOST);
                removeFromOthers(this);
                connections.remove(this);
            }
        }

        /** Answers requests until one is a handshake, the last one, or wrong. */
        private void serveHttp() throws IOException {
            boolean more = true;
            while (more) {
                deadline = clock + options.headTimeout;
                Request request = Request.NONE;   // stands for one that could not be read
                try {
                    request = readRequest();
                    deadline = NEVER;
                    if (request.isForRelay() || request.wantsWebSocket()) {
                        serveWebSocket(request);
                        return;
                    }
                    request.requireNoBody();
                    more = request.keepsAlive() && !closing;
                    respond(request, Relay.this.respond(request, host(request)), more);
                } catch (HttpException refusal) {
                    deadline = NEVER;
                    more = request != Request.NONE && request.keepsAlive() && !closing;
                    logRefusal(request, refusal);
                    respond(request, refusal.response, more);
                }
                moveToEndOfOthers(this);
            }
            shutDownOutput();
            discardInput();
        }

        private Request readRequest() throws IOException, HttpException {
            try {
                return Request.read(input);
            } catch (EOFException e) {
                if (!isHeadLate || !input.hasBegun) throw e;   // no request, no response
                throw new HttpException(408, "a request head must arrive within " + options.headTimeout / 1000 + " s");
            }
        }

        /** Logs what players and operators want to know, but not each file that is missing. */
        private void logRefusal(Request request, HttpException refusal) throws IOException {
            if (request != Request.NONE && !request.isForRelay() && !request.wantsWebSocket()) return;
            int status = refusal.response.status;
            Object[] details = {request.target, "-", address(request), status, refusal.getMessage()};
            if (status == 403) logRefusedOrigin(request.header("origin"), details);
            else log("refuse", details);
        }

        private void respond(Request request, Response response, boolean more) throws IOException {
            isResponding = true;
            response.send(this, more, !request.method.equals("HEAD"));
            isResponding = false;
        }

        /** Writes bytes of a response. @throws IOException if the peer is gone */
        void write(byte[] bytes, int length) throws IOException {
            output.write(bytes, 0, length);
            bytesWritten += length;
        }

        /** Answers the handshake and serves the WebSocket until it has ended. */
        private void serveWebSocket(Request request) throws IOException, HttpException {
            byte[] response = acceptHandshake(request, host(request));
            var socket = new WebSocket(this, output, request.target, address(request));
            write(response, response.length);
            removeFromOthers(this);
            webSocket = socket;
            if (closing) shutDown();
            socket.run();
        }

        /** Tells the peer that this was all. From any thread. */
        void shutDownOutput() throws IOException {
            socket.shutdownOutput();
            deadline = clock + options.closeTimeout;
        }

        /** Discards what still comes until the peer closes, or until the sweeper closes the socket. */
        void discardInput() {
            try {
                while (true) input.discard();
            } catch (IOException end) { /* as expected */ }
        }

        /** The WebSocket is closing: sets the time by which it must have ended, and lets it make way. From any thread. */
        void closeWithin(long millis) {
            deadline = clock + millis;
            moveToEndOfOthers(this);
        }

        /** Closes the socket at once. Needs no memory. From any thread; only the first call counts. */
        void abort(CloseException reason) {
            if (webSocket != null) webSocket.outbox.abort(reason);
            closeQuietly(socket);
        }

        /** The relay is shutting down. From any thread. */
        void shutDown() {
            if (webSocket != null) webSocket.close(SHUTTING_DOWN);
            else abort(SHUTTING_DOWN);
        }

        /** Checks all deadlines, about once a second. Called by the sweeper. */
        void look(long now) {
            Outbox outbox = webSocket == null ? null : webSocket.outbox;
            long read = input.bytesRead, written = outbox == null ? bytesWritten : outbox.bytesWritten;
            boolean isWriting = outbox == null ? isResponding : !outbox.isEmpty();
            boolean hasTaken = written != seenWritten && wasWriting && isWriting;
            if (read != seenRead || hasTaken || input.isPaused) lastHeard = now;
            if (written != seenWritten || !isWriting) lastProgress = now;
            seenRead = read;
            seenWritten = written;
            wasWriting = isWriting;

            if (now >= deadline) meetDeadline();
            else if (now - lastProgress >= options.stallTimeout) abort(STALLED);
            else if (outbox != null && outbox.closeReason() == null) webSocket.checkSilence(now - lastHeard);
        }

        private void meetDeadline() {
            if (webSocket != null || isHeadLate) {
                abort(CONNECTION_LOST);
                return;
            }
            isHeadLate = true;
            deadline = clock + options.closeTimeout;
            try {
                socket.shutdownInput();   // wakes the thread, which answers 408
            } catch (IOException gone) { /* then it is awake */ }
        }

        /** Returns whether the client lets us wait: a tick long to write, ten to read a message. Called by the sweeper. */
        boolean isStuck() {
            if (webSocket == null) return false;
            long read = input.bytesRead, written = webSocket.outbox.bytesWritten;
            boolean waitsToWrite = !webSocket.outbox.isEmpty() && written == stuckWritten;
            boolean waitsToRead = webSocket.isReceivingMessage() && !input.isPaused && read == stuckRead;
            ticksWithoutByte = waitsToRead ? ticksWithoutByte + 1 : 0;
            stuckRead = read;
            stuckWritten = written;
            return waitsToWrite || ticksWithoutByte >= 10;
        }

        long heldBytes() { return webSocket.heldBytes(); }

        /** Returns whether the peer may be a proxy, whose X-Forwarded headers we believe: one on this machine. */
        private boolean isFromThisMachine() { return socket.getInetAddress().isLoopbackAddress(); }

        /** Returns where the client is: its own address or, behind a proxy on this machine, the one that the proxy tells. */
        private String address(Request request) throws IOException {
            String told = request.lastOf("x-forwarded-for");
            if (!isFromThisMachine() || !ADDRESS.test(told)) return format(socket.getInetAddress());
            return told.contains(":") ? format(InetAddress.getByName(told)) : told;
        }

        /** Returns the host by which the client knows us, which a proxy on this machine may have changed. */
        private String host(Request request) {
            String told = request.lastOf("x-forwarded-host");
            return isFromThisMachine() && !told.isEmpty() ? told : request.header("host");
        }
    }

    /** Bytes that come from one peer, buffered. Knows no socket. Confined to one thread unless noted otherwise. */
    static final class Input {
        private final InputStream in;
        private final byte[] buffer = new byte[INPUT_BUFFER];
        private int start, end;             // the bytes that have come and are not read yet: buffer[start..end)
        boolean hasBegun;                   // a byte of the request has come
        volatile long bytesRead;            // any thread may read it, and isPaused
        volatile boolean isPaused;          // we do not read, so the peer's silence means nothing

        Input(InputStream in) { this.in = in; }

        /** Reads the next byte, 0 to 255. @throws EOFException if the peer has closed its half */
        int read() throws IOException {
            if (start == end) fill();
            return buffer[start++] & 0xff;
        }

        /** Reads between 1 and length bytes, as many as there are; the count is returned. @throws EOFException as above */
        int read(byte[] bytes, int offset, int length) throws IOException {
            if (start == end && length >= buffer.length) return receive(bytes, offset, Math.min(length, MAX_READ));
            if (start == end) fill();
            int count = Math.min(length, end - start);
            System.arraycopy(buffer, start, bytes, offset, count);
            start += count;
            return count;
        }

        /** Discards what has come, or waits for more. @throws EOFException as above */
        void discard() throws IOException { fill(); }

        private void fill() throws IOException {
            start = 0;
            end = 0;
            end = receive(buffer, 0, buffer.length);
        }

        private int receive(byte[] bytes, int offset, int length) throws IOException {
            Thread.yield();   // virtual threads are not preempted; and the later we read, the more there is
            int count = in.read(bytes, offset, length);
            if (count < 0) throw new EOFException("the peer has closed its half");
            bytesRead += count;
            return count;
        }

        /** Waits until the condition holds. Few ever wait, so this need not be fast. */
        void pauseUntil(BooleanSupplier condition) {
            if (condition.getAsBoolean()) return;
            isPaused = true;
            while (!condition.getAsBoolean()) pause(20);
            isPaused = false;
        }
    }

    // --- 5. HTTP -----------------------------------------------------------------------------------------------------
    //
    // HTTP/1.1 (RFC 9112) as far as a game needs it: GET and HEAD, and no request bodies. What is not exactly right is
    // refused with a sentence that says why, since a request that two programs read in two ways can be used to smuggle
    // another one past the first of them.

    /** Returns the response to a request that is not for a WebSocket. @param host as the client knows us */
    private Response respond(Request request, String host) throws HttpException, IOException {
        String path = request.path();
        if (path.equals("/health")) return Response.text(200, "ok");
        if (path.equals("/metrics") && options.metrics) return Response.text(200, metrics.text(rooms.size()));
        if (path.equals("/") && !folders.isEmpty())
            return Response.redirect(folders.getFirst().url + "/", request.query());
        if (path.equals("/")) return Response.text(200, "A relay: connect to ws://" + host + "/ws-relay/any/name");
        for (Folder folder : folders) {
            if (!folder.contains(path)) continue;
            boolean isIceJson = path.equals("/" + folder.url + "/ice.json");
            Response response = respondFrom(folder, request, isIceJson ? iceServers(host) : null);
            String origin = request.header("origin");
            if (isIceJson && !origin.isEmpty() && isAllowedOrigin(origin, host))
                response.with("Access-Control-Allow-Origin", origin).with("Vary", "Origin");
            return response;
        }
        String places = folders.stream().map(folder -> "/" + folder.url + "/").collect(Collectors.joining(", "));
        throw new HttpException(404, "there are files only in " + (places.isEmpty() ? "no folder" : places)
                + ", and WebSockets at /ws-relay");
    }

    /** @param missing what to respond if there is no such file; null: 404 */
    private Response respondFrom(Folder folder, Request request, Response missing) throws HttpException {
        try {
            return folder.respond(request);
        } catch (HttpException e) {
            if (missing != null) return missing;
            throw e;
        } catch (IOException e) {
            log("error", "cannot open a file: " + e.getMessage());   // out of descriptors, probably
            throw new HttpException(503, "the relay cannot open the file now; try again later");
        }
    }

    /** Returns an RTCConfiguration that names our STUN, on the host by which the page found us. */
    private Response iceServers(String host) {
        String name = host.replaceFirst(":[0-9]*$", "");
        int port = stunPort();
        boolean isUsable = port > 0 && name.matches("[0-9A-Za-z._-]+|\\[[0-9A-Fa-f:.]+]");
        String servers = isUsable ? "{\"urls\":\"stun:" + name + ":" + port + "\"}" : "";
        return Response.text(200, "{\"iceServers\":[" + servers + "]}")
                .with("Content-Type", "application/json").with("Cache-Control", "no-cache");
    }

    /** Thrown to refuse a request: the response to send, with a sentence for a person. */
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
        static final Request NONE = new Request("", "-", "", Map.of());
        private static final int TLS_HANDSHAKE = 0x16;                            // first byte, RFC 8446 §5.1
        private static final Predicate<String> TOKEN = form("[!#$%&'*+.^_`|~0-9A-Za-z-]+"),   // RFC 9110 §5.6.2
                VERSION = form("HTTP/1\\.[0-9]"), TARGET = form("/[!-~&&[^#]]*|\\*"),
                HOST = form("[0-9A-Za-z._~%\\[\\]:-]*"), ZERO = form("0{0,18}");

        /** Reads the next request head, RFC 9112. @throws EOFException if the peer closes before its end */
        static Request read(Input input) throws IOException, HttpException {
            String[] lines = readHead(input).split("\r\n"), start = lines[0].split(" ", -1);
            if (start.length != 3 || !TOKEN.test(start[0]) || !VERSION.test(start[2]))
                throw HttpException.expected("'GET /path HTTP/1.1'", lines[0]);
            String target = start[1];
            if (!target.startsWith("/"))   // it is meant for a proxy, §3.2.2
                target = target.replaceFirst("^(?i)https?://[^/?]*/?", "/");
            if (!TARGET.test(target)) throw HttpException.expected("a path of visible ASCII", target);

            var headers = new LinkedHashMap<String, String>();
            for (int i = 1; i < lines.length; i++) {
                String[] header = lines[i].split(":", 2);
                if (header.length < 2 || !TOKEN.test(header[0]))   // also a folded line, which begins with a space
                    throw HttpException.expected("'Name: value'", lines[i]);
                headers.merge(header[0].toLowerCase(Locale.ROOT), header[1].strip(), (all, next) -> all + ", " + next);
            }
            var request = new Request(start[0], target, start[2], headers);
            request.check();
            return request;
        }

        /** Reads up to the first empty line, of lines that end with CR LF, RFC 9112 §2.2. */
        private static String readHead(Input input) throws IOException, HttpException {
            var head = new byte[512];
            int length = 0, lineStart = 0;
            input.hasBegun = false;
            while (true) {
                int c = input.read(), before = length == 0 ? 0 : head[length - 1];
                input.hasBegun = true;
                if (length == 0 && c == TLS_HANDSHAKE) throw new HttpException(400, "TLS; this port speaks http and ws");
                boolean isLineEnd = before == '\r' && c == '\n';
                boolean isControl = (c < ' ' && c != '\t') || c == 0x7f;
                if ((before == '\r' && c != '\n') || (isControl && c != '\r' && !isLineEnd))
                    throw new HttpException(400, "invalid control character 0x%02x in the request head"
                            .formatted(before == '\r' ? '\r' : c));
                if (length == MAX_HEAD) throw tooLong(new String(head, StandardCharsets.ISO_8859_1));
                if (length == head.length) head = Arrays.copyOf(head, 2 * length);
                head[length++] = (byte) c;
                if (!isLineEnd) continue;
                if (length == 2) length = 0;   // an empty line before the request, §2.2
                else if (length == lineStart + 2) return new String(head, 0, length, StandardCharsets.ISO_8859_1);
                lineStart = length;
            }
        }

        private static HttpException tooLong(String head) {
            int cookies = Stream.of(head.split("\r\n")).filter(line -> line.regionMatches(true, 0, "cookie:", 0, 7))
                    .mapToInt(String::length).sum();
            return new HttpException(431, "expected a request head of at most " + MAX_HEAD + " bytes, got more"
                    + (cookies > MAX_HEAD / 4 ? "; " + cookies + " of them are cookies of this host: delete them" : ""));
        }

        /** Refuses what could make two programs disagree about where the request goes or ends, RFC 9112 §3.2, §6.3. */
        private void check() throws HttpException {
            String host = headers.get("host");
            if (host == null && !version.equals("HTTP/1.0")) throw new HttpException(400, "the header Host is missing");
            if (host != null && !HOST.test(host)) throw HttpException.expected("one Host", host);
        }

        /** Refuses methods other than GET and HEAD, and bodies. */
        void requireNoBody() throws HttpException {
            if (!method.equals("GET") && !method.equals("HEAD"))
                throw new HttpException(405, "expected GET or HEAD, got " + printable(method), "Allow", "GET, HEAD");
            if (hasBody()) throw new HttpException(400, "expected a request without a body, got "
                    + (headers.containsKey("transfer-encoding") ? "Transfer-Encoding: " + printable(header("transfer-encoding"))
                            : "Content-Length: " + printable(header("content-length"))));
        }

        private boolean hasBody() {
            return headers.containsKey("transfer-encoding") || !ZERO.test(header("content-length"));
        }

        /** Returns whether another request may follow: not if a body might be taken for one. */
        boolean keepsAlive() { return version.equals("HTTP/1.1") && !hasToken("connection", "close") && !hasBody(); }

        String header(String name) { return headers.getOrDefault(name, ""); }

        /** Returns the last of a header's values, which the nearest proxy has added; "" if there is none. */
        String lastOf(String name) {
            String value = header(name);
            return value.substring(value.lastIndexOf(',') + 1).strip();
        }

        boolean hasToken(String name, String token) {
            return Stream.of(header(name).split(",")).anyMatch(word -> word.strip().equalsIgnoreCase(token));
        }

        String path() { return target.contains("?") ? target.substring(0, target.indexOf('?')) : target; }
        String query() { return target.substring(path().length()); }   // from the question mark on, or ""
        boolean isForRelay() { return (path() + "/").startsWith("/ws-relay/"); }
        boolean wantsWebSocket() { return hasToken("upgrade", "websocket"); }
    }

    /** A response: a text or, if that is null, `length` bytes of an open file from `offset` on. */
    record Response(int status, Map<String, String> headers, byte[] text, InputStream file, long offset, long length) {
        static final DateTimeFormatter DATE =   // RFC 9110 §5.6.7
                DateTimeFormatter.ofPattern("EEE, dd MMM yyyy HH:mm:ss 'GMT'", Locale.ENGLISH).withZone(ZoneOffset.UTC);

        static Response text(int status, String sentence) {
            byte[] text = (sentence + "\n").getBytes(StandardCharsets.UTF_8);
            return new Response(status, new LinkedHashMap<>(), text, null, 0, text.length)
                    .with("Content-Type", "text/plain; charset=utf-8");
        }

        /** @param path relative, since a proxy may serve all this below a prefix, RFC 9110 §10.2.2 */
        static Response redirect(String path, String query) {
            String location = (path.contains(":") ? "./" : "") + path + query;   // or it would be a scheme, RFC 3986 §4.2
            return text(302, "see " + location).with("Location", location).with("Cache-Control", "no-cache");
        }

        Response with(String header, String value) {
            headers.put(header, value);
            return this;
        }

        /** Writes it. @throws IOException also if the file has become shorter: only the end of the connection can tell */
        void send(Connection connection, boolean keepAlive, boolean withBody) throws IOException {
            try (InputStream body = text != null ? new ByteArrayInputStream(text) : file) {
                with("X-Content-Type-Options", "nosniff");
                if (status != 304) with("Content-Length", length + "");
                if (!keepAlive) headers.merge("Connection", "close", (present, close) -> present + ", " + close);
                var head = new StringBuilder("HTTP/1.1 " + status + " \r\nDate: " + DATE.format(Instant.now()) + "\r\n");
                headers.forEach((name, value) -> head.append(name + ": " + value + "\r\n"));
                byte[] bytes = head.append("\r\n").toString().getBytes(StandardCharsets.ISO_8859_1);
                long left = withBody && status != 304 ? length : 0;
                var piece = Arrays.copyOf(bytes, bytes.length + (int) Math.min(left, FILE_PIECE));
                int filled = bytes.length;   // the head goes out together with the first piece of the body
                body.skipNBytes(left > 0 ? offset : 0);
                do {
                    int count = body.readNBytes(piece, filled, (int) Math.min(left, piece.length - filled));
                    if (count == 0 && left > 0) throw new EOFException("the file has become shorter");
                    connection.write(piece, filled + count);
                    left -= count;
                    filled = 0;
                } while (left > 0);
            }
        }
    }

    /** A folder whose files are served under its own name. We trust whoever may write into it. */
    static final class Folder {
        private static final Map<String, String> TYPES = types("""
                text/html; charset=utf-8: html htm
                text/css; charset=utf-8: css
                text/javascript; charset=utf-8: js mjs
                text/plain; charset=utf-8: txt md
                text/xml; charset=utf-8: xml
                text/csv; charset=utf-8: csv
                application/json: json map
                application/manifest+json: webmanifest
                application/wasm: wasm
                application/pdf: pdf
                application/zip: zip
                image/png: png
                image/jpeg: jpg jpeg
                image/gif: gif
                image/webp: webp
                image/avif: avif
                image/svg+xml: svg
                image/x-icon: ico
                audio/mpeg: mp3
                audio/mp4: m4a
                audio/aac: aac
                audio/ogg: ogg oga opus
                audio/wav: wav
                audio/flac: flac
                video/mp4: mp4 m4v
                video/webm: webm
                video/ogg: ogv
                font/woff: woff
                font/woff2: woff2
                font/ttf: ttf
                font/otf: otf
                model/gltf+json: gltf
                model/gltf-binary: glb
                """);
        private static final Pattern RANGE = Pattern.compile("bytes=([0-9]{0,18})-([0-9]{0,18})");

        private final Path root;
        final String url;   // its name, as it stands in a URL

        Folder(Path folder) {
            root = folder.toAbsolutePath().normalize();
            url = root.toUri().getRawPath().replaceFirst("/$", "").replaceFirst(".*/", "");
        }

        private static Map<String, String> types(String table) {
            var types = new HashMap<String, String>();
            for (String line : table.split("\n")) {
                int colon = line.lastIndexOf(": ");
                for (String extension : line.substring(colon + 2).split(" ")) types.put(extension, line.substring(0, colon));
            }
            return types;
        }

        /** Returns whether Java cannot open some of the files, as their names are not ASCII and the locale is not UTF-8. */
        boolean hasUnreadableNames() {
            if (System.getProperty("sun.jnu.encoding", "").equalsIgnoreCase("UTF-8")) return false;
            try (Stream<Path> files = Files.walk(root)) {
                return files.anyMatch(file -> !file.getFileName().toString().matches("\\p{ASCII}*"));
            } catch (IOException | UncheckedIOException | SecurityException e) {
                return false;
            }
        }

        /** Returns whether a path leads into this folder, or to it. */
        boolean contains(String path) {
            try {
                return decode(path.split("/", 3)[1]).equals(root.getFileName().toString());
            } catch (CharacterCodingException | IllegalArgumentException | IndexOutOfBoundsException noName) {
                return false;
            }
        }

        /** Returns a file, or where to look for it. @throws HttpException 404, 416 @throws IOException if it can't be opened */
        Response respond(Request request) throws HttpException, IOException {
            String path = request.path();
            Path file;
            BasicFileAttributes attributes;
            try {
                file = resolve(path);
                boolean isFolder = Files.isDirectory(file);
                if (isFolder && !path.endsWith("/"))
                    return Response.redirect(path.substring(path.lastIndexOf('/') + 1) + "/", request.query());
                if (isFolder && !Files.exists(file.resolve("index.html")))
                    throw new HttpException(404, "this folder has no index.html");
                if (isFolder) file = resolve(path + "index.html");
                attributes = Files.readAttributes(file, BasicFileAttributes.class);
                boolean isFile = attributes.isRegularFile() && Files.isReadable(file);
                if (!isFile || (path.endsWith("/") && !isFolder)) throw new NoSuchFileException(path);
            } catch (IOException | IllegalArgumentException | IndexOutOfBoundsException doubt) {
                throw new HttpException(404, "there is no such file");
            }
            return respond(request, file, attributes.size(), attributes.lastModifiedTime().toInstant());
        }

        /** Returns the real file or folder of a path. @throws NoSuchFileException if there is none, or in any doubt */
        private Path resolve(String path) throws IOException {
            Path real = root.toRealPath(), file = real;
            String[] segments = path.substring(1).replaceFirst("/$", "").split("/", -1);
            for (int i = 1; i < segments.length; i++) {   // the first one is the name of this folder
                String segment = decode(segments[i]);
                Path name = Path.of(segment);
                boolean isName = name.getNameCount() == 1 && name.toString().equals(segment);
                boolean isHidden = segment.startsWith(".") || segment.chars().anyMatch(Character::isISOControl);
                if (!isName || isHidden || segment.isEmpty()) throw new NoSuchFileException(path);
                file = file.resolve(name);
            }
            file = file.toRealPath();   // follows links
            if (!file.startsWith(real)) throw new NoSuchFileException(path);
            return file;
        }

        /** Decodes %xx once, as UTF-8. @throws CharacterCodingException, IllegalArgumentException if it is malformed */
        private static String decode(String segment) throws CharacterCodingException {
            var bytes = new ByteArrayOutputStream();
            for (int i = 0; i < segment.length(); i++) {
                if (segment.charAt(i) != '%') {
                    bytes.write(segment.charAt(i));
                    continue;
                }
                bytes.write(HexFormat.fromHexDigits(segment, i + 1, i + 3));
                i += 2;
            }
            return StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes.toByteArray())).toString();
        }

        private static Response respond(Request request, Path file, long size, Instant modified)
                throws HttpException, IOException {
            String etag = "\"" + Long.toHexString(modified.toEpochMilli()) + "-" + Long.toHexString(size) + "\"";
            String date = Response.DATE.format(modified);
            String extension = file.toString().replaceFirst(".*[.]", "").toLowerCase(Locale.ROOT);
            var headers = new LinkedHashMap<String, String>();
            headers.put("Content-Type", TYPES.getOrDefault(extension, "application/octet-stream"));
            headers.put("Cache-Control", "no-cache");   // that is: keep it, but ask each time whether it has changed
            headers.put("Last-Modified", date);
            headers.put("ETag", etag);
            headers.put("Accept-Ranges", "bytes");
            if (isKnown(request, etag, modified)) return new Response(304, headers, new byte[0], null, 0, 0);

            long first = 0, last = size - 1;
            Matcher range = RANGE.matcher(request.header("range"));
            String condition = request.header("if-range");
            boolean isRange = request.method.equals("GET") && range.matches() && range.end() > "bytes=-".length()
                    && (condition.isEmpty() || condition.equals(etag) || condition.equals(date));
            if (isRange) {   // RFC 9110 §14.1.2: "first-", "first-last", or "-count" from the end
                String from = range.group(1), to = range.group(2);
                if (from.isEmpty()) first = Math.max(0, size - Long.parseLong(to));
                else first = Long.parseLong(from);
                if (!from.isEmpty() && !to.isEmpty()) last = Math.min(last, Long.parseLong(to));
                boolean isReversed = !from.isEmpty() && !to.isEmpty() && Long.parseLong(to) < first;
                if (isReversed) {   // malformed, hence ignored
                    isRange = false;
                    first = 0;
                    last = size - 1;
                } else if (first >= size) {
                    throw new HttpException(416, "there are only " + size + " bytes", "Content-Range", "bytes */" + size);
                }
            }
            if (isRange) headers.put("Content-Range", "bytes " + first + "-" + last + "/" + size);
            InputStream content = Files.newInputStream(file);
            return new Response(isRange ? 206 : 200, headers, null, content, first, last - first + 1);
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
    }

    private static final Predicate<String> KEY = form("[A-Za-z0-9+/]{22}=="), ADDRESS = form("[0-9a-fA-F:.]{2,45}");

    /** Returns whether a string has this form. Compiling these for each request would be most of its garbage. */
    private static Predicate<String> form(String regex) { return Pattern.compile(regex).asMatchPredicate(); }

    // --- 6. Handshake ------------------------------------------------------------------------------------------------
    //
    // RFC 6455 §4.2. A client proves that it means a WebSocket by a key, and we prove that we have understood it by a hash
    // of the key and of a text that nobody else would use.

    private static final String ACCEPT_SUFFIX = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";   // RFC 6455 §1.3

    /** Returns the response that turns a connection into a WebSocket. @throws HttpException to refuse the request */
    private byte[] acceptHandshake(Request request, String host) throws HttpException {
        if (!request.isForRelay())
            throw new HttpException(404, "expected a WebSocket at ws://" + printable(host) + "/ws-relay/any/name, got one at "
                    + printable(request.path()));
        if (request.target.length() > MAX_ROOM_NAME)
            throw new HttpException(414, "expected a room name of at most " + MAX_ROOM_NAME + " bytes, got "
                    + request.target.length());
        String origin = request.headers.get("origin");
        if (origin != null && !isAllowedOrigin(origin, host)) throw forbidden(origin, host);
        request.requireNoBody();
        String key = request.header("sec-websocket-key"), version = request.header("sec-websocket-version");
        boolean isUpgrade = request.version.equals("HTTP/1.1") && request.method.equals("GET")
                && request.wantsWebSocket() && request.hasToken("connection", "upgrade");
        if (!isUpgrade)
            throw new HttpException(426, "expected a GET in HTTP/1.1 with Upgrade: websocket and Connection: Upgrade, "
                    + "got a " + request.method + " in " + request.version + " with '"
                    + printable(request.header("upgrade")) + "' and '" + printable(request.header("connection")) + "'",
                    "Upgrade", "websocket", "Connection", "Upgrade");
        if (!version.equals("13"))
            throw new HttpException(426, "expected Sec-WebSocket-Version 13, got '" + printable(version) + "'",
                    "Sec-WebSocket-Version", "13", "Upgrade", "websocket", "Connection", "Upgrade");
        if (!KEY.test(key)) throw HttpException.expected("16 bytes in base64 as Sec-WebSocket-Key", key);

        String subprotocol = request.header("sec-websocket-protocol").split(",")[0].strip();   // the client prefers it
        if (!Request.TOKEN.test(subprotocol)) subprotocol = "";
        return ascii("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                + (subprotocol.isEmpty() ? "" : "Sec-WebSocket-Protocol: " + subprotocol + "\r\n")
                + "Sec-WebSocket-Accept: " + sha1(key + ACCEPT_SUFFIX) + "\r\n\r\n");
    }

    private static String sha1(String text) {
        try {
            return Base64.getEncoder().encodeToString(MessageDigest.getInstance("SHA-1").digest(ascii(text)));
        } catch (NoSuchAlgorithmException e) {
            throw new AssertionError("every JDK has SHA-1", e);
        }
    }

    /** Returns whether pages of this origin may connect, RFC 6455 §10.2. A browser tells where its page came from. */
    private boolean isAllowedOrigin(String origin, String host) {
        var allowed = options.origins;
        String plain = plainOrigin(origin);
        return allowed.contains("*") || allowed.contains(plain)
                || plain.matches("[a-z][a-z0-9+.-]*://\\Q" + plainOrigin(host) + "\\E");
    }

    private static HttpException forbidden(String origin, String host) {
        return new HttpException(403, "origin " + printable(origin) + " is not allowed for host " + printable(host)
                + "; the option --origin " + printable(origin) + " would allow it", "Access-Control-Allow-Origin", "*");
    }

    /** Returns it in lower case, without a default port: of either kind, since a TLS proxy makes 443 out of 80. */
    private static String plainOrigin(String origin) {
        String plain = origin.toLowerCase(Locale.ROOT);
        return plain.equals("file://") ? plain : plain.replaceFirst("(:80|:443)?/?$", "");
    }

    // --- 7. Frames in ------------------------------------------------------------------------------------------------
    //
    // A message comes in one frame or in several, between which control frames (ping, pong, close) may stand. A frame
    // has a header of 2 to 14 bytes and a payload, which the client has masked with a key of 4 bytes:
    //
    //     FIN 1 bit, reserved 3 bits, opcode 4 bits | MASK 1 bit, length 7 bits | longer length 0, 2 or 8 bytes |
    //     masking key 4 bytes | payload
    //
    // What is wrong is refused at the first wrong byte, in control frames once they are whole. A message takes no more
    // memory than four times of what has come of it.

    static final int CONTINUATION = 0, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10;   // RFC 6455 §5.2
    private static final int MAX_CONTROL = 125;                                                // bytes, §5.5
    private static final byte[] NOTHING = {};

    // Close codes, RFC 6455 §7.4.1. The last line is never sent: no code came, no close frame came.
    private static final int NORMAL = 1000, GOING_AWAY = 1001, PROTOCOL_ERROR = 1002, INVALID_DATA = 1007,
            POLICY_VIOLATION = 1008, TOO_BIG = 1009, INTERNAL_ERROR = 1011, TRY_AGAIN_LATER = 1013;
    private static final int NO_STATUS = 1005, ABNORMAL = 1006;

    private static final CloseException   // made in advance, since one may be needed when there is no memory left
            SHUTTING_DOWN = new CloseException(GOING_AWAY, "the relay is shutting down"),
            OUT_OF_MEMORY = new CloseException(INTERNAL_ERROR, "out of memory"),
            CONNECTION_LOST = new CloseException(ABNORMAL, "connection lost"),
            STALLED = new CloseException(ABNORMAL, "did not read"),
            SILENT = new CloseException(ABNORMAL, "did not answer a ping"),
            MADE_WAY = new CloseException(ABNORMAL, "made way for a newer connection"),
            MEMORY_FULL = new CloseException(ABNORMAL, "the relay's memory is full, and this client was stuck");

    /**
     * How a WebSocket ends, and thrown at any depth to end it so. To refuse something new, throw one where frames are
     * read or in Client.receive; to add a close code, name it above.
     */
    static final class CloseException extends Exception {
        final int code;

        CloseException(int code, String reason) {
            super(reason, null, false, false);
            this.code = code;
        }

        @Override public String toString() { return (code + " " + printable(getMessage())).strip(); }
    }

    /** A whole message or a control frame: the first `length` bytes of the array. */
    record Frame(int opcode, byte[] bytes, int length) {
        boolean isControl() { return opcode >= CLOSE; }
        String text(int from, int to) { return new String(bytes, from, to - from, StandardCharsets.UTF_8); }

        /** Returns the code of a close frame, RFC 6455 §5.5.1. */
        int closeCode() { return length < 2 ? NO_STATUS : (bytes[0] & 0xff) << 8 | bytes[1] & 0xff; }
        String closeText() { return length < 2 ? "" : text(2, length); }
    }

    /** Turns the bytes of one client into messages and control frames, RFC 6455 §5. Confined to one thread. */
    static final class FrameReader {
        private final Input input;
        private final int maxMessage;       // bytes
        private final Memory memory;        // is told of what a message takes beyond FIRST_PIECE

        private boolean fin;                // of the current frame: it is the last of its message
        private int opcode;
        private int remaining;              // bytes of its payload that have not come yet
        private final byte[] maskingKey = new byte[4];
        private int messageOpcode;          // of the message that is arriving; CONTINUATION: there is none
        private byte[] message = NOTHING;   // what has come of it,
        private int length;                 // so many bytes
        private volatile int counted;       // bytes of `message` that `memory` knows of; any thread may read it
        private final Utf8 utf8 = new Utf8();

        FrameReader(Input input, int maxMessage, Memory memory) {
            this.input = input;
            this.maxMessage = maxMessage;
            this.memory = memory;
        }

        /** Reads the next message or control frame. @throws CloseException 1002, 1007, 1009 @throws EOFException at the end */
        Frame next() throws IOException, CloseException {
            while (true) {
                readHeader();
                if (opcode >= CLOSE) return readControlFrame();
                if (opcode != CONTINUATION) messageOpcode = opcode;
                readPayload();
                if (fin) return endMessage();
            }
        }

        /** RFC 6455 §5.2. Checks each field before it waits for the next one. */
        private void readHeader() throws IOException, CloseException {
            int first = input.read();
            fin = (first & 0x80) != 0;
            opcode = first & 0x0f;
            boolean isControl = opcode >= CLOSE;
            boolean isWithinMessage = messageOpcode != CONTINUATION;
            if ((first & 0x70) != 0) throw protocolError("a reserved bit is set, but no extension was agreed on");
            if (opcode > PONG || (opcode > BINARY && !isControl)) throw protocolError("there is no opcode " + opcode);
            if (isControl && !fin) throw protocolError("a control frame must not be fragmented");
            if (opcode == CONTINUATION && !isWithinMessage) throw protocolError("a continuation frame continues nothing");
            if (opcode != CONTINUATION && !isControl && isWithinMessage)
                throw protocolError("expected a continuation frame, got opcode " + opcode);

            int second = input.read();
            if ((second & 0x80) == 0) throw protocolError("a client's frames must be masked");
            long payloadLength = readLength(second & 0x7f);
            if (isControl && payloadLength > MAX_CONTROL)
                throw protocolError("expected a control frame of at most 125 bytes, got " + payloadLength);
            if (!isControl && payloadLength > maxMessage - length)
                throw new CloseException(TOO_BIG, "expected at most " + maxMessage + " bytes, got " + (length + payloadLength));
            for (int i = 0; i < 4; i++) maskingKey[i] = (byte) input.read();
            remaining = (int) payloadLength;
        }

        private long readLength(int shortLength) throws IOException, CloseException {
            if (opcode >= CLOSE && shortLength > MAX_CONTROL)
                throw protocolError("a control frame must not be longer than 125 bytes");
            int bytes = switch (shortLength) {
                case 126 -> 2;
                case 127 -> 8;
                default -> 0;
            };
            if (bytes == 0) return shortLength;
            long longLength = 0;
            for (int i = 0; i < bytes; i++) longLength = (longLength << 8) | input.read();
            if (longLength < 0) throw protocolError("a length must not be negative");
            long least = bytes == 2 ? 126 : 65_536;
            if (longLength < least) throw protocolError("the length " + longLength + " must not take " + bytes + " bytes");
            return longLength;
        }

        private Frame readControlFrame() throws IOException, CloseException {
            var payload = new byte[remaining];
            for (int at = 0; at < payload.length; ) at += input.read(payload, at, payload.length - at);
            unmask(payload, 0, payload.length, 0);
            var frame = new Frame(opcode, payload, payload.length);
            if (opcode == CLOSE) checkClose(frame);
            return frame;
        }

        /** RFC 6455 §5.5.1 and §7.4. */
        private static void checkClose(Frame frame) throws CloseException {
            if (frame.length == 1) throw protocolError("expected a close code of two bytes, got one byte");
            int code = frame.closeCode();
            boolean isRegistered = code >= 1000 && code <= 1014 && code != 1004 && code != NO_STATUS && code != ABNORMAL;
            boolean isPrivate = code >= 3000 && code <= 4999;
            if (frame.length > 0 && !isRegistered && !isPrivate)
                throw protocolError("close code " + code + " must not be sent");
            var utf8 = new Utf8();
            utf8.check(frame.bytes, Math.min(2, frame.length), frame.length);
            utf8.finish();
        }

        /** Appends the payload of a data frame to the message, each piece unmasked and checked as it comes. */
        private void readPayload() throws IOException, CloseException {
            int frameStart = length;
            while (remaining > 0) {
                if (length == message.length) grow();
                int count = input.read(message, length, Math.min(remaining, message.length - length));
                unmask(message, length, length + count, length - frameStart);
                if (messageOpcode == TEXT) utf8.check(message, length, length + count);
                length += count;
                remaining -= count;
            }
        }

        /** Makes room for the payload: at first for FIRST_PIECE bytes, then for four times of what has come. */
        private void grow() {
            int most = Math.max(FIRST_PIECE, (int) Math.min(4L * length, maxMessage));
            int capacity = Math.min(length + remaining, most);
            if (capacity > FIRST_PIECE) {
                input.pauseUntil(() -> memory.allowsMessage(capacity, maxMessage));
                count(capacity);
            }
            message = Arrays.copyOf(message, capacity);
        }

        private void count(int bytes) {
            memory.add(bytes - counted);
            counted = bytes;
        }

        private Frame endMessage() throws CloseException {
            if (messageOpcode == TEXT) utf8.finish();
            var frame = new Frame(messageOpcode, message, length);
            release();
            return frame;
        }

        /** Forgets the message that is arriving. Whoever has been given it keeps its bytes. */
        void release() {
            if (counted > 0) count(0);
            messageOpcode = CONTINUATION;
            message = NOTHING;
            length = 0;
        }

        /** Returns the bytes that the message which is arriving takes, if it is a long one. From any thread. */
        int countedBytes() { return counted; }

        // Optimization: takes the mask off eight bytes at a time. One at a time costs a fifth more for messages of 16 KiB.
        private static final VarHandle LONG = MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);

        /** Unmasks bytes in place, RFC 6455 §5.3. @param offset of the first of them in the payload */
        private void unmask(byte[] bytes, int start, int end, int offset) {
            long eightOfKey = 0;
            for (int i = 7; i >= 0; i--) eightOfKey = (eightOfKey << 8) | (maskingKey[(offset + i) & 3] & 0xff);
            int at = start;
            for (; at <= end - 8; at += 8) LONG.set(bytes, at, (long) LONG.get(bytes, at) ^ eightOfKey);
            for (; at < end; at++) bytes[at] ^= maskingKey[(offset + at - start) & 3];
        }

        private static CloseException protocolError(String what) { return new CloseException(PROTOCOL_ERROR, what); }
    }

    /** Checks text that comes in pieces, RFC 3629 §4. Confined to one thread. */
    private static final class Utf8 {
        private int missing;                      // bytes that the current character still lacks
        private int least = 0x80, most = 0xbf;    // between which the next of them must be

        void check(byte[] bytes, int start, int end) throws CloseException {
            int at = start;
            while (at < end) {
                if (missing == 0) at = skipAscii(bytes, at, end);
                if (at < end) next(bytes[at] & 0xff);
                at++;
            }
        }

        /** Optimization: looks at eight bytes at a time. */
        private static int skipAscii(byte[] bytes, int start, int end) {
            int at = start;
            while (at <= end - 8 && ((long) FrameReader.LONG.get(bytes, at) & 0x8080_8080_8080_8080L) == 0) at += 8;
            return at;
        }

        /** @throws CloseException 1007 if no text could have this byte here */
        private void next(int b) throws CloseException {
            boolean isFirst = missing == 0;
            boolean isWrong = isFirst ? (b >= 0x80 && b < 0xc2) || b > 0xf4 : b < least || b > most;
            if (isWrong) throw new CloseException(INVALID_DATA, "expected UTF-8, got byte 0x" + Integer.toHexString(b));
            least = 0x80;
            most = 0xbf;
            if (!isFirst) {
                missing--;
                return;
            }
            if (b < 0x80) return;
            missing = b < 0xe0 ? 1 : b < 0xf0 ? 2 : 3;
            switch (b) {
                case 0xe0 -> least = 0xa0;   // no overlong forms,
                case 0xf0 -> least = 0x90;
                case 0xed -> most = 0x9f;    // no surrogates,
                case 0xf4 -> most = 0x8f;    // nothing above U+10FFFF
                default -> {}
            }
        }

        /** The text ends here. @throws CloseException 1007 if that is within a character */
        void finish() throws CloseException {
            if (missing > 0) throw new CloseException(INVALID_DATA, "expected UTF-8, but the text ends within a character");
        }
    }

    // --- 8. Frames out -----------------------------------------------------------------------------------------------
    //
    // A server's frame is a header of 2, 4 or 10 bytes and the payload as it is, without a mask. So the same bytes will
    // do for all who receive it, and are encoded only once.

    /** Returns a frame with a whole payload: the prefix, then bytes[start..end). RFC 6455 §5.2. */
    static byte[] encode(int opcode, byte[] prefix, byte[] bytes, int start, int end) {
        int length = prefix.length + end - start;
        int header = length < 126 ? 2 : length < 65_536 ? 4 : 10;
        var frame = new byte[header + length];
        frame[0] = (byte) (0x80 | opcode);
        frame[1] = (byte) (header == 2 ? length : header == 4 ? 126 : 127);
        for (int at = header - 1, rest = length; at > 1; at--, rest >>>= 8) frame[at] = (byte) rest;
        System.arraycopy(prefix, 0, frame, header, prefix.length);
        System.arraycopy(bytes, start, frame, header + prefix.length, end - start);
        return frame;
    }

    private static final Outgoing PING_FRAME = new Outgoing(encode(PING, NOTHING, NOTHING, 0, 0));

    private static byte[] encodeText(String ascii) { return encode(TEXT, ascii(ascii), NOTHING, 0, 0); }

    /** RFC 6455 §5.5.1. A reason that is too long for a control frame is cut between characters. */
    static byte[] encodeClose(int code, String reason) {
        if (code == NO_STATUS) return encode(CLOSE, NOTHING, NOTHING, 0, 0);
        var payload = ByteBuffer.allocate(MAX_CONTROL).putShort((short) code);
        StandardCharsets.UTF_8.newEncoder().encode(CharBuffer.wrap(reason), payload, true);
        return encode(CLOSE, NOTHING, payload.array(), 0, payload.position());
    }

    private static byte[] ascii(String text) { return text.getBytes(StandardCharsets.US_ASCII); }

    /**
     * A frame in one outbox or in many.
     *
     * @param window what it takes up of its sender's window, and gives back when it leaves the outbox; null: nothing
     * @param permits how many bytes that is
     */
    record Outgoing(byte[] bytes, Semaphore window, int permits) {
        Outgoing(byte[] bytes) { this(bytes, null, 0); }
        int cost() { return bytes.length + FRAME_OVERHEAD; }

        void leaveOutbox() {
            if (window != null) window.release(permits);
        }
    }

    /**
     * The frames that wait to be written to one client. Control frames go ahead of messages, RFC 6455 §5.5. Putting a
     * frame never waits, and once there is a close reason, it does nothing. Guarded by its monitor, which is never held
     * while anything waits, unless noted otherwise.
     */
    final class Outbox implements Runnable {
        private final Connection connection;
        private final OutputStream output;
        private final Queue<Outgoing> controlFrames = new ArrayDeque<>(1);
        private Queue<Outgoing> messages = new ArrayDeque<>(3);
        private volatile int queuedBytes;                   // cost of all frames that are not written yet
        private int countedBytes;                           // the part of it that `memory` knows of
        private boolean isDraining;                         // a drain has been started; it ends when nothing waits
        private volatile CloseException closeReason;        // null while frames are accepted
        volatile long bytesWritten;                         // by drains
        private final CountDownLatch finished = new CountDownLatch(1);   // there is a close reason and nothing waits

        Outbox(Connection connection, OutputStream output) {
            this.connection = connection;
            this.output = output;
        }

        boolean isEmpty() { return queuedBytes == 0; }
        int queuedBytes() { return queuedBytes; }
        CloseException closeReason() { return closeReason; }

        /** Puts a message. Returns false if the client has fallen too far behind. */
        boolean put(Outgoing message) {
            if (closeReason == null && queuedBytes > options.maxOutbox) return false;
            add(message, false);
            return true;
        }

        /** Puts a ping or pong. */
        void putControl(Outgoing frame) { add(frame, true); }

        private void add(Outgoing frame, boolean isControl) {
            synchronized (this) {
                if (closeReason != null) {
                    frame.leaveOutbox();
                    return;
                }
                Queue<Outgoing> queue = isControl ? controlFrames : messages;
                queue.add(frame);
                count(frame.cost());
                if (isDraining) return;
                isDraining = true;
            }
            startDrain();
        }

        private void startDrain() {
            try {
                Thread.startVirtualThread(this);
            } catch (OutOfMemoryError e) {
                synchronized (this) {
                    isDraining = false;
                }
                connection.abort(OUT_OF_MEMORY);
            }
        }

        /** Accepts no more frames but the last one, if that is not null. Returns false if it was closed before. */
        boolean close(CloseException reason, Outgoing last, boolean dropsMessages) {
            synchronized (this) {
                if (closeReason != null) return false;
                if (dropsMessages) drop(messages);
                if (last != null) {
                    messages.add(last);
                    count(last.cost());
                }
                closeReason = reason;
                if (isDraining) return true;
                isDraining = true;
            }
            startDrain();   // even if nothing waits: it also shuts down the output
            return true;
        }

        /** Accepts no more frames and drops those that wait, since the socket is about to be closed. */
        synchronized void abort(CloseException reason) {
            if (closeReason == null) closeReason = reason;
            drop(controlFrames);
            drop(messages);
            if (!isDraining) finished.countDown();
        }

        private void drop(Queue<Outgoing> queue) {
            for (Outgoing frame = queue.poll(); frame != null; frame = queue.poll()) {
                frame.leaveOutbox();
                count(-frame.cost());
            }
        }

        /** Counts bytes, or discounts them if negative. Tells `memory` in steps, since each time costs. */
        private void count(int bytes) {
            queuedBytes += bytes;
            int change = queuedBytes - countedBytes;
            if (closeReason == null && Math.abs(change) < COUNTING_STEP) return;
            countedBytes += change;
            memory.add(change);
        }

        /** Waits until everything is written or lost. To be called after close() or abort(). */
        void awaitFinished() {
            boolean isFinished = false;
            while (!isFinished) {
                try {
                    finished.await();
                    isFinished = true;
                } catch (InterruptedException ignored) { /* nobody has a reason to interrupt us */ }
            }
        }

        /** The drain: writes until nothing waits. */
        @Override
        public void run() {
            try {
                Batch batch = nextBatch();
                while (batch.length > 0) {
                    write(batch);
                    Thread.yield();   // meanwhile more may gather for the next write
                    batch = nextBatch();
                }
                if (batch == Batch.LAST) {
                    connection.shutDownOutput();
                    finished.countDown();
                }
            } catch (IOException | RuntimeException | Error failure) {
                connection.abort(failure instanceof IOException ? CONNECTION_LOST : OUT_OF_MEMORY);
                finished.countDown();
            }
        }

        /**
         * Bytes for one write.
         *
         * @param cost of the frames in it
         * @param isBorrowed whether the array belongs to writeBuffers
         */
        private record Batch(byte[] bytes, int length, int cost, boolean isBorrowed) {
            static final Batch NONE = new Batch(NOTHING, 0, 0, false), LAST = new Batch(NOTHING, 0, 0, false);
        }

        private void write(Batch batch) throws IOException {
            try {
                for (int at = 0; at < batch.length; at += MAX_WRITE) {   // in pieces, so that progress shows
                    int count = Math.min(MAX_WRITE, batch.length - at);
                    output.write(batch.bytes, at, count);
                    bytesWritten += count;
                }
            } finally {
                if (batch.isBorrowed) writeBuffers.add(batch.bytes);
                synchronized (this) {
                    count(-batch.cost);
                }
            }
        }

        /** Takes what goes into the next write: NONE if nothing waits, LAST if nothing will. Either one ends the drain. */
        private synchronized Batch nextBatch() {
            Outgoing first = poll();
            if (first == null && closeReason != null) return Batch.LAST;
            if (first == null) {
                isDraining = false;
                return Batch.NONE;
            }
            Outgoing second = peek();
            boolean isAlone = second == null || first.bytes.length + second.bytes.length > MAX_WRITE;
            return isAlone ? new Batch(first.bytes, first.bytes.length, first.cost(), false) : gather(first);
        }

        /**
         * Optimization: copies frames into one array, so that they take one call of the system. That is what makes many
         * small frames cheap. The array is one of writeBuffers; when these are in use, as by clients that do not read, a
         * new one that is not larger than what waits.
         */
        private Batch gather(Outgoing first) {
            boolean wasLong = messages.size() > LONG_QUEUE;
            byte[] borrowed = writeBuffers.poll();
            byte[] bytes = borrowed != null ? borrowed : new byte[Math.min(MAX_WRITE, queuedBytes)];
            int length = 0, cost = 0;
            Outgoing frame = first;
            while (frame != null) {
                System.arraycopy(frame.bytes, 0, bytes, length, frame.bytes.length);
                length += frame.bytes.length;
                cost += frame.cost();
                Outgoing next = peek();
                boolean fits = next != null && length + next.bytes.length <= bytes.length;
                frame = fits ? poll() : null;
            }
            if (wasLong && messages.isEmpty()) messages = new ArrayDeque<>(3);   // or it would keep its size for good
            return new Batch(bytes, length, cost, borrowed != null);
        }

        private Outgoing peek() { return controlFrames.isEmpty() ? messages.peek() : controlFrames.peek(); }

        private Outgoing poll() {
            Outgoing frame = controlFrames.isEmpty() ? messages.poll() : controlFrames.poll();
            if (frame != null) frame.leaveOutbox();
            return frame;
        }
    }

    // --- 9. WebSocket ------------------------------------------------------------------------------------------------
    //
    // Both directions of one client. It ends once, for the first close reason: the client closes; it breaks a rule; the
    // relay has a reason; the connection is lost. Then it leaves its room, the outbox is written to its end, and what
    // still comes is discarded. It knows nothing of rooms, as they know nothing of HTTP.

    /** What to do with the messages of a WebSocket. */
    interface Handler {
        /** Called for each message, on the thread of the connection. @throws CloseException to close the WebSocket */
        void receive(Frame message) throws CloseException;

        /** Called when the WebSocket has ended, by any thread, perhaps twice. */
        default void leave() {}
    }

    /** Confined to the thread of its connection unless noted otherwise. */
    final class WebSocket {
        final String target, address;                  // what the client asked for; where it is
        final Outbox outbox;
        private final Connection connection;
        private final FrameReader reader;
        private final Thread thread = Thread.currentThread();
        private final int windowSize = Math.max(options.maxOutbox / WINDOW_SHARE, 1);   // bytes
        private final Semaphore window = new Semaphore(windowSize);
        private volatile Handler handler = message -> {};
        private final AtomicBoolean hasLeft = new AtomicBoolean();
        private boolean isPinged;                      // since it was heard last; confined to the sweeper

        WebSocket(Connection connection, OutputStream output, String target, String address) {
            this.connection = connection;
            this.target = target;
            this.address = address;
            outbox = new Outbox(connection, output);
            reader = new FrameReader(connection.input, options.maxMessage, memory);
        }

        /** Serves the client until it has ended and everything is written to it. */
        void run() {
            try {
                open();
                while (isOpen()) receive(reader.next());
            } catch (CloseException e) {
                close(e);
            } catch (IOException gone) {
                close(CONNECTION_LOST);   // perhaps the peer still reads
            } catch (RuntimeException | Error failure) {
                connection.abort(failure instanceof OutOfMemoryError ? OUT_OF_MEMORY
                        : new CloseException(INTERNAL_ERROR, "internal error: " + failure));
                log("error", "internal error: " + failure);
            } finally {
                leave();
                reader.release();
            }
            connection.discardInput();
            outbox.awaitFinished();
        }

        private void open() throws CloseException {
            if (metrics.clients.incrementAndGet() > maxClients) {
                log("refuse", target, "-", address, TRY_AGAIN_LATER, "the relay is full");
                throw new CloseException(TRY_AGAIN_LATER, "the relay is full (limit: " + maxClients
                        + (maxClients == 1 ? " client)" : " clients)"));
            }
            handler = enter(this);
        }

        boolean isOpen() { return outbox.closeReason() == null; }

        private void receive(Frame frame) throws CloseException {
            switch (frame.opcode) {
                case PING -> outbox.putControl(withinWindow(encode(PONG, NOTHING, frame.bytes, 0, frame.length)));
                case PONG -> { /* that it has come is all it is for */ }
                case CLOSE -> close(new CloseException(frame.closeCode(), frame.closeText()));   // echoes it, §5.5.1
                default -> handler.receive(frame);
            }
        }

        /** Puts a message into the outbox; a client that is too far behind is closed. Never waits. From any thread. */
        void send(Outgoing message) {
            if (outbox.put(message)) return;
            String reason = "too slow: more than " + options.maxOutbox + " bytes behind";
            close(new CloseException(POLICY_VIOLATION, reason), true);
        }

        /**
         * Waits until a frame fits into this client's window, which is taken up by what it has sent to single receivers
         * and they have not read yet. So its peer is slowed down by its own bytes alone, not by those of others.
         */
        Outgoing withinWindow(byte[] frame) {
            int permits = Math.min(frame.length + FRAME_OVERHEAD, windowSize);
            if (!window.tryAcquire(permits)) {
                connection.input.isPaused = true;
                window.acquireUninterruptibly(permits);
                connection.input.isPaused = false;
            }
            return new Outgoing(frame, window, permits);
        }

        /** Waits until there is memory to put a message into outboxes. */
        void awaitMemory(int length) { connection.input.pauseUntil(() -> memory.allowsRelaying(length)); }

        /** Starts the closing handshake or answers it, RFC 6455 §7.1, after all that waits. From any thread. */
        void close(CloseException reason) { close(reason, false); }

        private void close(CloseException reason, boolean dropsMessages) {
            try {
                var last = reason.code == ABNORMAL ? null : new Outgoing(encodeClose(reason.code, reason.getMessage()));
                if (!outbox.close(reason, last, dropsMessages)) return;
                connection.closeWithin(options.stallTimeout);   // less once all is written
                if (Thread.currentThread() != thread) Thread.startVirtualThread(this::leave);
            } catch (OutOfMemoryError e) {
                connection.abort(OUT_OF_MEMORY);
            }
        }

        /** Takes the client out of its room. Not within close(), which may be called while the room tells its clients. */
        private void leave() {
            handler.leave();
            if (hasLeft.getAndSet(true)) return;
            metrics.clients.decrementAndGet();
            metrics.closes.computeIfAbsent(outbox.closeReason().code, code -> new LongAdder()).increment();
        }

        /** Pings a client that is silent, and gives up one that stays so. Called by the sweeper. @param silence in ms */
        void checkSilence(long silence) {
            boolean isSilent = silence >= options.pingInterval;
            if (silence >= 2 * options.pingInterval) connection.abort(SILENT);
            else if (isSilent && !isPinged) outbox.putControl(PING_FRAME);
            isPinged = isSilent;
        }

        /** Returns whether a long message is arriving. From any thread, as the next one. */
        boolean isReceivingMessage() { return reader.countedBytes() > 0; }
        long heldBytes() { return outbox.queuedBytes() + reader.countedBytes(); }
    }

    // --- 10. Rooms ---------------------------------------------------------------------------------------------------
    //
    // A message is "<target> <msgtype>[ <data>]", with single spaces. The target is an id, or "*" for everyone else. The
    // types self, join and quit are the relay's own. What follows the target is passed on byte for byte.
    //
    // All that is heard of a client - its join, its messages, its quit - is put into the outboxes of the others under the
    // room's lock. So what each client receives is a true history. And a room, however many talk in it, has one thread
    // that works at a time, so that it takes no time from other rooms.

    private static final byte[][] RESERVED_TYPES = {ascii("self"), ascii("join"), ascii("quit")};
    private static final int EVERYONE = -1, NOBODY = 0, MALFORMED = -2;   // targets that are not ids

    /** Lets a client into the room for which it asked. (A test puts an echo in its place.) */
    Handler enter(WebSocket socket) {
        Room room = rooms.compute(socket.target, (name, present) -> Room.withOneMore(present == null ? new Room() : present));
        Handler client = null;
        try {
            client = room.join(socket);
            return client;
        } finally {
            if (client == null) removeFromRoom(socket);   // no memory
        }
    }

    /** A room exists as long as somebody is in it or about to be. */
    private void removeFromRoom(WebSocket socket) {
        rooms.computeIfPresent(socket.target, (name, room) -> --room.users == 0 ? null : room);
    }

    /** Guarded by its lock unless noted otherwise. */
    private final class Room {
        private final ReentrantLock lock = new ReentrantLock();
        private final Map<Integer, Client> clients = new LinkedHashMap<>();   // by id, in ascending order
        private int lastId;
        private int users;   // those who are in or about to be; guarded by Relay.rooms

        static Room withOneMore(Room room) {
            room.users++;
            return room;
        }

        /** Tells the newcomer its id and who is there, and then those of the newcomer. */
        Client join(WebSocket socket) {
            socket.awaitMemory(MAX_WRITE);   // a list of thousands is long
            lock.lock();
            try {
                if (clients.isEmpty()) lastId = 0;
                var newcomer = new Client(socket, ++lastId);
                log("join", socket.target, newcomer.id, socket.address);
                var history = new ByteArrayOutputStream(16 + 16 * clients.size());   // frames; one array for all of them
                history.writeBytes(encodeText(newcomer.id + " self"));
                for (Client other : clients.values()) history.writeBytes(other.joinFrame());
                var join = new Outgoing(newcomer.joinFrame());
                clients.put(newcomer.id, newcomer);
                socket.send(new Outgoing(history.toByteArray()));
                tellOthers(newcomer, join);
                return newcomer;
            } finally {
                lock.unlock();
            }
        }

        private int tellOthers(Client sender, Outgoing frame) {
            for (Client other : clients.values()) if (other != sender) other.socket.send(frame);
            return clients.size() - 1;
        }

        /** Puts a frame into the outboxes of the target. Returns how many that were; it may just have quit. */
        int deliver(Client sender, int target, Outgoing frame) {
            lock.lock();
            try {
                if (clients.get(sender.id) != sender) {   // it has been closed by another thread
                    frame.leaveOutbox();
                    return 0;
                }
                if (target == EVERYONE) return tellOthers(sender, frame);
                Client receiver = clients.get(target);
                if (receiver != null) receiver.socket.send(frame);
                else frame.leaveOutbox();
                return receiver == null ? 0 : 1;
            } finally {
                lock.unlock();
            }
        }

        void leave(Client client) {
            lock.lock();
            try {
                if (clients.get(client.id) != client) return;
                log("quit", client.socket.target, client.id, client.socket.address, client.socket.outbox.closeReason());
                clients.remove(client.id);
                removeFromRoom(client.socket);
                tellOthers(client, new Outgoing(encodeText(client.id + " quit")));
            } finally {
                lock.unlock();
            }
        }

        /** A WebSocket in this room. Confined to the thread of its connection, except what is final. */
        private final class Client implements Handler {
            final WebSocket socket;
            final int id;
            private final byte[] prefix;   // begins each message from it
            private int deliveries;        // since it has let other threads run

            Client(WebSocket socket, int id) {
                this.socket = socket;
                this.id = id;
                prefix = ascii(id + "");
            }

            byte[] joinFrame() { return encodeText(id + " join"); }

            /** Passes "<id> <msgtype> <data>" on for "<target> <msgtype> <data>". @throws CloseException 1008 */
            @Override
            public void receive(Frame message) throws CloseException {
                byte[] bytes = message.bytes;
                int targetEnd = indexOfSpace(bytes, 0, message.length);
                int typeStart = targetEnd + 1;
                int typeEnd = indexOfSpace(bytes, typeStart, message.length);
                int target = target(bytes, targetEnd);
                if (target == MALFORMED || typeEnd <= typeStart)
                    throw refusal("expected '<id or *> <msgtype> [<data>]'", message);
                for (byte[] type : RESERVED_TYPES)
                    if (Arrays.equals(bytes, typeStart, typeEnd, type, 0, type.length))
                        throw refusal("only the relay says self, join and quit", message);

                byte[] frame = encode(message.opcode, prefix, bytes, targetEnd, message.length);
                socket.awaitMemory(frame.length);
                boolean isUnicast = target != EVERYONE;
                int receivers = deliver(this, target, isUnicast ? socket.withinWindow(frame) : new Outgoing(frame));
                metrics.messages.increment();
                metrics.deliveries.add(receivers);
                metrics.bytes.add((long) receivers * frame.length);

                deliveries += receivers;
                if (deliveries < DELIVERIES_PER_TURN) return;
                deliveries = 0;
                Thread.yield();
            }

            @Override public void leave() { Room.this.leave(this); }
        }
    }

    private static CloseException refusal(String sentence, Frame message) {
        String got = message.text(0, Math.min(message.length, 40));
        return new CloseException(POLICY_VIOLATION, sentence + ", got '" + printable(got) + "'");
    }

    /** Returns the id that the first bytes of a message are; EVERYONE, NOBODY or MALFORMED if they are none. */
    private static int target(byte[] bytes, int end) {
        if (end == 0) return MALFORMED;
        if (end == 1 && bytes[0] == '*') return EVERYONE;
        long id = 0;
        for (int at = 0; at < end; at++) {
            if (bytes[at] < '0' || bytes[at] > '9') return MALFORMED;
            id = Math.min(id * 10 + bytes[at] - '0', Integer.MAX_VALUE);
        }
        boolean isId = bytes[0] != '0' && id < Integer.MAX_VALUE;
        return isId ? (int) id : NOBODY;
    }

    /** Returns where the next space is; `end` if there is none. */
    private static int indexOfSpace(byte[] bytes, int start, int end) {
        int at = start;
        while (at < end && bytes[at] != ' ') at++;
        return at;
    }

    // --- 11. STUN ----------------------------------------------------------------------------------------------------
    //
    // A browser behind a home router asks for its public address, RFC 8489 §12, and tells it to the other player through
    // the relay; both then send there, which opens the way through both routers. Nothing is remembered here.
    //
    // A message has a header of 20 bytes: its type, the length of what follows, the cookie by which STUN is known, and
    // an ID that the response repeats. Attributes follow, each a type, a length and a value padded to four bytes. The
    // address in the response is XORed with cookie and ID, since some routers rewrite addresses that they see in packets.
    // Of the request's attributes only FINGERPRINT matters here; we do not check that we know the others.
    //
    // Forging a sender's address, so that a victim gets the response, gains little: it is one datagram of at most 52
    // bytes for one of at least 20. And only requests are answered, so that servers never answer one another.

    private static final int BINDING_REQUEST = 0x0001, BINDING_SUCCESS = 0x0101;   // RFC 8489 §5
    private static final int STUN_HEADER = 20;      // bytes
    private static final int COOKIE = 0x2112a442;   // in requests before 2008 there was none, RFC 3489
    private static final int XOR_MAPPED_ADDRESS = 0x0020, FINGERPRINT = 0x8028;    // §18.3

    private void serveStun() {
        var datagram = new DatagramPacket(new byte[MAX_STUN + 1], MAX_STUN + 1);   // what is longer is cut to that
        while (!closing) {
            try {
                datagram.setLength(MAX_STUN + 1);
                stun.receive(datagram);
                var from = (InetSocketAddress) datagram.getSocketAddress();
                byte[] response = answerStun(datagram.getData(), datagram.getLength(), from);
                // Java cannot say from which address: a machine with several may use another than was asked, and the
                // client's router drops that. --host is the remedy.
                if (response != null) stun.send(new DatagramPacket(response, response.length, from));
            } catch (IOException | IllegalArgumentException e) { /* a forged address, or we have closed */ }
        }
    }

    /** Returns the response to a datagram; null if that is not a correct Binding request, RFC 8489 §6.3, §14. */
    static byte[] answerStun(byte[] bytes, int length, InetSocketAddress from) {
        var request = ByteBuffer.wrap(bytes);
        if (length < STUN_HEADER || length % 4 != 0 || length > MAX_STUN || from.getPort() == 0) return null;
        if (request.getShort(0) != BINDING_REQUEST || request.getShort(2) != length - STUN_HEADER) return null;
        if (request.getInt(4) != COOKIE) return null;
        boolean hasFingerprint = false;
        int at = STUN_HEADER;
        while (at < length) {
            int type = request.getShort(at) & 0xffff, size = request.getShort(at + 2) & 0xffff;
            if (hasFingerprint || size > length - at - 4) return null;   // FINGERPRINT is the last; nothing is cut off
            hasFingerprint = type == FINGERPRINT;
            if (hasFingerprint && (size != 4 || request.getInt(at + 4) != fingerprint(bytes, at))) return null;
            at += 4 + (size + 3) / 4 * 4;
        }

        byte[] address = from.getAddress().getAddress();   // 4 bytes also for an IPv4 client of an IPv6 socket
        int end = STUN_HEADER + 8 + address.length, total = hasFingerprint ? end + 8 : end;
        var response = ByteBuffer.allocate(total);
        response.putShort((short) BINDING_SUCCESS).putShort((short) (total - STUN_HEADER));
        response.put(bytes, 4, 16);                        // the cookie and the ID
        response.putShort((short) XOR_MAPPED_ADDRESS).putShort((short) (4 + address.length));
        response.putShort((short) (address.length == 4 ? 1 : 2)).putShort((short) (from.getPort() ^ (COOKIE >>> 16)));
        for (int i = 0; i < address.length; i++) response.put((byte) (address[i] ^ bytes[4 + i]));
        if (hasFingerprint)
            response.putShort((short) FINGERPRINT).putShort((short) 4).putInt(fingerprint(response.array(), end));
        return response.array();
    }

    /** Returns a checksum of the bytes before it, by which STUN is told from other protocols, RFC 8489 §14.7. */
    private static int fingerprint(byte[] bytes, int length) {
        var crc = new CRC32();
        crc.update(bytes, 0, length);
        return (int) crc.getValue() ^ 0x5354554e;
    }
}
