// SPDX-License-Identifier: MIT
/*
 * What the game promises, as tests that need more than a page of its own: several players, a relay that restarts,
 * networks, browsers driven from outside. What a page can test by itself is in the modules beside this file.
 */

import static org.junit.jupiter.api.Assertions.*;

import java.io.*;
import java.math.BigDecimal;
import java.net.*;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.*;
import java.util.concurrent.locks.LockSupport;
import java.util.function.*;
import java.util.regex.Pattern;
import java.util.stream.*;
import org.junit.jupiter.api.*;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.api.parallel.ResourceLock;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.*;

@Timeout(60)
@Order(1)
class SpacewarTest {
    static final String GAME = "/spacewar/?game=1", ITS_ROOM = "/ws-relay/spacewar?game=1";

    /** Lets a page have two frames a second from now on: there are many of it, or it is there for long. */
    static final String RARELY =
            "globalThis.requestAnimationFrame = callback => setTimeout(() => callback(performance.now()), 500)";

    /** A relay that serves the pages that come with it. */
    static Relay withPages(int port) throws IOException {
        return RelayTest.relay(options -> {
            options.port = port == 0 ? RelayTest.freePort() : port;   // one that another may have after it
            options.folders = List.of(Path.of("spacewar"));
        });
    }

    /** Passes on what connections to it and from a port say, each piece 40 to 60 ms later. */
    static final class DelayingProxy implements AutoCloseable {
        private record Piece(long due, byte[] bytes) {}

        private final ServerSocket listening = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
        private final Set<Socket> sockets = ConcurrentHashMap.newKeySet();
        private final int target;

        DelayingProxy(int target) throws IOException {
            this.target = target;
            Thread.startVirtualThread(() -> untilClosed(() -> {
                while (true) connect(listening.accept());
            }));
        }

        int port() {
            return listening.getLocalPort();
        }

        private void connect(Socket here) throws IOException {
            var there = new Socket(InetAddress.getLoopbackAddress(), target);
            pass(here, there);
            pass(there, here);
        }

        private void pass(Socket from, Socket to) throws IOException {
            sockets.add(from);
            to.setTcpNoDelay(true);
            var pieces = new LinkedBlockingQueue<Piece>();
            Thread.startVirtualThread(() -> untilClosed(() -> {
                var buffer = new byte[1 << 16];
                int count;
                do {
                    count = from.getInputStream().read(buffer);
                    // in steps, so that the least, by which clocks are compared, comes soon
                    long millis = 40 + 5 * ThreadLocalRandom.current().nextInt(5);
                    pieces.add(new Piece(System.nanoTime() + millis * 1_000_000,
                            Arrays.copyOf(buffer, Math.max(0, count))));
                } while (count > 0);
            }));
            Thread.startVirtualThread(() -> untilClosed(() -> {
                for (Piece piece = pieces.take(); piece.bytes.length > 0; piece = pieces.take()) {
                    TimeUnit.NANOSECONDS.sleep(piece.due - System.nanoTime());
                    to.getOutputStream().write(piece.bytes);
                }
                to.shutdownOutput();
            }));
        }

        private static void untilClosed(Executable work) {
            try {
                work.execute();
            } catch (Throwable closed) {
                assertInstanceOf(IOException.class, closed);
            }
        }

        @Override
        public void close() throws IOException {
            listening.close();
            for (Socket socket : sockets) socket.close();
        }
    }

    /** Waits until each of these sees the ships of all, and no others. */
    static void meet(Player... players) {
        for (Player player : players) player.until("game.inspect().ships.length === " + players.length);
    }

    /** Waits until each of these sees it: an expression of the ship of that name. */
    static void allSee(String name, String expression, Player... players) {
        for (Player player : players) player.until("(ship => " + expression + ")(seen(" + Json.write(name) + "))");
    }

    /**
     * Waits until a ship at rest has been seen where it is for so long that the witness believes what it does there.
     */
    static void isSeen(Player pilot, Player witness) {
        var place = (List<?>) pilot.ask("[me().x, me().y]");
        allSee((String) pilot.ask("me().name"), "Math.hypot(ship.x - %s, ship.y - %s) < 50".formatted(
                place.toArray()), witness);
        witness.waitAMoment();
    }

    /**
     * One shoots the other, so far below the sun. Until both are seen there they have fallen, on a busy machine not
     * equally far, so both are put back: that is too near to be a leap. Of the wreck's debris every sixth time a piece
     * would hit the shooter, some seconds later.
     */
    static void shoot(Player shooter, Player victim, int y) {
        for (Player player : List.of(shooter, victim)) player.until("game.inspect().round?.begun");
        shooter.place(-60, y, 0);
        victim.place(60, y, 0);
        isSeen(shooter, victim);
        isSeen(victim, shooter);
        victim.place(60, y, 0).ask("game.setShip({ shieldUntil: 0 })");
        shooter.place(-60, y, 0);
        for (Player player : List.of(shooter, victim)) player.ask(STAY);
        shooter.page.press("KeyF");
        victim.until("me().state === 'exploded'");
        shooter.ask("clearInterval(stay)");
        shooter.place(-460, y, 0);
    }

    /** Keeps a ship where it is while it flies: on a busy machine it would fall far before the next command comes. */
    private static final String STAY = """
            (({ x, y }) => {
              globalThis.stay = setInterval(() => {
                if (me().state === 'flying') game.setShip({ x, y, vx: 0, vy: 0 });
                else clearInterval(stay);
              }, 10);
            })(me())""";

    // --- the tests ---------------------------------------------------------------------------

    /** The page that shows any room: who is there, what is said, a line to send. */
    @Nested
    @ExtendWith(InChromium.class)
    @SuppressWarnings("try")   // the relay is closed within
    class Watch {
        static final String ROOM = "/ws-relay/spacewar?game=1",
                PAGE = "/spacewar/watch.html?room=%2Fspacewar%3Fgame%3D1";

        @Test
        void itJoinsTheRoomAndShowsWhatHappens() throws IOException {
            try (var relay = withPages(0); var page = InChromium.open(relay, PAGE).shows("connected as 1", "1 you")) {
                try (var two = RelayTest.Raw.open(relay, ROOM).expect("2 self").expect("1 join")) {
                    page.until(
                            "[...document.querySelectorAll('#people li')].map(li => li.textContent).join() === '1 "
                            + "you,2'").shows("join");
                    two.send(RelayTest.text("* hello wörld \uD83D\uDE80"))
                            .send(RelayTest.frame(true, 2, RelayTest.concat(RelayTest.bytes("1 bytes "),
                            RelayTest.hex("00ff"))));
                    page.shows("hello", "wörld \uD83D\uDE80", "2 bytes: 00 ff");
                }
                page.until("document.querySelectorAll('#people li').length === 1").shows("quit");
                assertTrue(page.screenshot().length > 10_000);
                assertEquals("[]", page.complaints.toString());
            }
        }

        @Test
        void aLineSentThroughTheFormArrives() throws IOException {
            try (var relay = withPages(0); var one = RelayTest.Raw.open(relay, ROOM).expect("1 self");
                    var page = InChromium.open(relay, PAGE).shows("connected as 2")) {
                page.evaluate("document.querySelector('#line').focus()");
                page.type("hello wörld  \uD83D\uDE80 ").press("Enter");
                one.expect("2 join").expect("2 hello wörld  \uD83D\uDE80 ");
                page.until("document.querySelector('#line').value === ''")
                        .until("document.querySelector('#feed .sent .type').textContent === 'hello'");
                page.evaluate("document.querySelector('#target').value = '1'");
                page.type("to-one").press("Enter");
                one.expect("2 to-one");
                for (String refused : List.of("", " hello", "self", "quit 1")) {
                    page.evaluate("document.querySelector('#line').value = " + Json.write(refused)
                            + "; document.querySelector('#note').textContent = ''");
                    page.press("Enter").until("document.querySelector('#note').textContent !== ''");
                }
                one.send(RelayTest.text("1 over")).expect("1 over");
                assertEquals("[]", page.complaints.toString());
            }
        }

        @Test
        void htmlInAMessageIsShownAsText() throws IOException {
            String html = "<img src=x onerror=\"window.harmed=1\"><script>window.harmed=1</script><b>bold</b>&lt;";
            try (var relay = withPages(0); var page = InChromium.open(relay, PAGE).shows("connected as 1");
                    var two = RelayTest.Raw.open(relay, ROOM)) {
                two.send(RelayTest.text("* hello " + html)).send(RelayTest.text("* <b>type</b> x"));
                page.shows(html, "<b>type</b>")
                        .until("window.harmed === undefined && !document.querySelector('#feed img, #feed script, #feed "
                        + "b b')");
                assertEquals("[]", page.complaints.toString());
            }
        }

        @Test
        void anyRoomCanBeWatchedAndIsLeftForAnother() throws IOException {
            try (var relay = withPages(0);
                    var one = RelayTest.Raw.open(relay, "/ws-relay/other/game?a=b&c=d").expect("1 self");
                    var page = InChromium.open(relay, "/spacewar/watch.html?room=%2Fother%2Fgame%3Fa%3Db%26c%3Dd")
                            .shows("connected as 2");
                    var two = RelayTest.Raw.open(relay, "/ws-relay/elsewhere").expect("1 self")) {
                page.shows("-m websockets 'ws://localhost:" + relay.port() + "/ws-relay/other/game?a=b&c=d'");
                one.expect("2 join").send(RelayTest.text("2 hello there"));
                page.shows("there")
                        .evaluate(
                        "document.querySelector('#room').value = '/elsewhere'; "
                        + "document.querySelector('#chooser').requestSubmit()");
                two.expect("2 join").send(RelayTest.text("* hello yonder"));
                page.shows("yonder");
                one.expect("2 quit");
                assertEquals("[]", page.complaints.toString());
            }
        }

        @Test
        void afterARestartOfTheRelayThePageJoinsAgainWithin5Seconds() throws IOException {
            try (var relay = withPages(0); var page = InChromium.open(relay, PAGE).shows("connected as 1")) {
                relay.close();
                page.shows("not connected", "trying again");
                long before = System.nanoTime();
                try (var next = withPages(relay.port()); var one = RelayTest.Raw.open(next, ROOM).expect("1 self")) {
                    one.expect("2 join");
                    assertTrue(System.nanoTime() - before < 5_000_000_000L, "it took "
                            + (System.nanoTime() - before) / 1_000_000 + " ms");
                    one.send(RelayTest.text("* back again"));
                    page.shows("connected as 2", "again");
                }
                // what the browser says of each try
                page.complaints.removeIf(complaint -> complaint.matches("(?s).*(net::ERR_\\w+|426).*"));
                assertEquals("[]", page.complaints.toString());
            }
        }
    }

    /** First paint: from the address to a ship that flies. */
    @Nested
    @ExtendWith(InChromium.class)
    @SuppressWarnings("try")   // files are served and nothing more said of it
    class GamePage {
        /** In this time, or three times that where nobody knows what else the machine does. */
        private static final Duration AT_ONCE = Duration.ofMillis("true".equals(System.getenv("CI")) ? 3_000 : 1_000);

        /**
         * From the address typed to a ship that moves and turns. The browser has shown a page before, as its first page
         * and its first sound take long.
         */
        private static Player fliesAtOnce(int port) {
            try (var first = new Player("http://127.0.0.1:" + port + GAME, page -> {})) {
                first.page.press("ArrowLeft");
            }
            var began = new AtomicLong();
            var player = new Player(Player.address(port), page -> {
                page.first(Player.EVERY_FRAME);
                began.set(System.nanoTime());
            });
            double x = player.number("seen('').x"), angle = player.number("seen('').angle");
            player.page.hold("ArrowLeft");
            player.until("seen('').x !== %s && seen('').angle < %s".formatted(x, angle));
            long took = System.nanoTime() - began.get();
            player.page.release("ArrowLeft");
            assertTrue(took < AT_ONCE.toNanos(), "it took " + took / 1_000_000 + " ms");
            return player;
        }

        @Test
        @RelayTest.MeasuresPages
        void aShipFliesWithinASecond() throws IOException {
            try (var relay = withPages(0); var player = fliesAtOnce(relay.port())) {
                player.until("document.querySelector('#link').textContent.startsWith('relay')");
            }
        }

        @Test
        @RelayTest.MeasuresPages
        void alsoWithoutARelayAndThenThereArePracticeShipsToFight() {
            try (var files = new RelayTest.FilesOnly(); var player = fliesAtOnce(files.port())) {
                player.until("document.querySelector('#link').textContent === 'offline · practice'");
                assertEquals(2.0,
                        player.ask("game.inspect().ships.filter(ship => ship.bot && ship.state === 'flying').length"));
            }
        }

        @Test
        void ifAPartIsMissingThePageSaysSoInWords(@TempDir Path folder) throws IOException {
            Path game = Files.createDirectory(folder.resolve("spacewar"));
            try (var files = Files.list(Path.of("spacewar"))) {
                for (Path file : files.filter(Files::isRegularFile).filter(file -> !file.endsWith("qr.js")).toList())
                    Files.copy(file, game.resolve(file.getFileName()));
            }
            try (var relay = RelayTest.relay(options -> options.folders = List.of(game));
                    var page = InChromium.chromium.blank().go(Player.address(relay.port()))) {
                page.shows("could not be loaded", "Try again");
            }
        }

        @Test
        void whoIsRefusedReadsWhy() throws IOException {
            try (var relay = RelayTest.relay(options -> {
                options.folders = List.of(Path.of("spacewar"));
                options.maxClients = 1;
            }); var first = RelayTest.Raw.open(relay, ITS_ROOM).expect("1 self");
                    var player = new Player(Player.address(relay.port()), page -> {})) {
                player.until("document.querySelector('#link').textContent"
                        + " === 'offline · the relay is full (limit: 1)'")
                        .fliesOn();
            }
        }

        @Test
        void itsAddressIsItsRoom() throws IOException {
            try (var relay = withPages(0);
                    var peer = RelayTest.Raw.open(relay, "/ws-relay/spacewar?game=a&rules=classic")
                    .expect("1 self");
                    var player = new Player("http://localhost:" + relay.port()
                            + "/spacewar?fbclid=b&rules=classic&game=a#e",
                            page -> page.first("localStorage.spacewar = '{\"name\":\"Ann\",\"look\":5}'"))) {
                peer.expect("2 join").expect("2 webrtc").expect("2 pilot [1,\"Ann\",5,0]");
                assertEquals("/spacewar/?fbclid=b&rules=classic&game=a#e",
                        player.ask("location.href.slice(location.origin.length)"));
                assertEquals("/spacewar?game=a&rules=classic", player.ask("game.inspect().room"));
                assertEquals("classic", player.ask("game.inspect().rules"));
            }
        }
    }

    /** A remote ship is where its pilot sees it. */
    @Nested
    @Order(1)   // takes the longest of its kind
    @RelayTest.MeasuresPages
    @ExtendWith({InChromium.class, Players.class})
    class Positions {
        private static final double JUMP = 6;   // px, between two frames

        /** The most that one page is off about the other's ship, in px. */
        static double worst(String name, Map<String, List<Player.Sight>> own, Map<String, List<Player.Sight>> remote) {
            var pilots = new TreeMap<Double, Player.Sight>();
            for (Player.Sight sight : own.get(name)) pilots.put(sight.at(), sight);
            var errors = remote.get(name).stream().flatMap(sight ->
                    Stream.of(pilots.floorEntry(sight.at()), pilots.ceilingEntry(sight.at()))
                    .filter(entry -> entry != null && Math.abs(entry.getKey() - sight.at()) < 25)
                    .map(entry -> entry.getValue().off(sight)).limit(1))
                    .mapToDouble(error -> error).summaryStatistics();
            assertTrue(errors.getCount() > 60, "too few frames: " + errors);
            return errors.getMax();
        }

        /** The most that a ship jumps between two frames, in px. */
        static double jump(List<Player.Sight> sights) {
            return IntStream.range(1, sights.size()).mapToDouble(i -> sights.get(i - 1).off(sights.get(i))).max()
                    .orElse(0);
        }

        /** The most ms between two frames of a page. */
        private static double pause(List<Player.Sight> sights) {
            return IntStream.range(1, sights.size()).mapToDouble(i -> sights.get(i).at() - sights.get(i - 1).at())
                    .max().orElseThrow();
        }

        /**
         * Records what both see and checks it. A page that gets no frame for long is only right again after a while;
         * on a busy machine it is recorded again then.
         */
        private static void check(int ms, double most, Player ann, Player bob, Flight flight) throws Exception {
            for (int tries = 1; ; tries++) {
                var annSees = ann.record(ms);
                var bobSees = bob.record(ms);
                flight.until(annSees);
                double pause = Math.max(pause(annSees.join().get("Ann")), pause(bobSees.join().get("Bob")));
                if (pause > 100 && tries < 3) continue;
                check(annSees.join(), bobSees.join(), most, pause);
                return;
            }
        }

        interface Flight {
            void until(Future<?> end) throws Exception;
        }

        private static void check(Map<String, List<Player.Sight>> ann, Map<String, List<Player.Sight>> bob,
                double most, double pause) {
            double ofAnn = worst("Ann", ann, bob), ofBob = worst("Bob", bob, ann),
                    jumped = Math.max(jump(ann.get("Bob")), jump(bob.get("Ann")));
            String found = "off by %.2f and %.2f px, jumps of %.2f px, up to %.0f ms between frames".formatted(ofAnn,
                    ofBob, jumped, pause);
            assertTrue(Math.max(ofAnn, ofBob) <= most && jumped <= JUMP, found);
        }

        /**
         * For how many ms it has known, give or take 3 ms, how far the other's clock is ahead, which only the browser
         * could tell otherwise.
         */
        private static double clockKnownFor(Player player, Player other) {
            var origin = BigDecimal.valueOf(other.number("performance.timeOrigin"));
            return player.number(("((known, now) => now - (window.unknownAt = known ? window.unknownAt ?? now : now))"
                    + "(Math.abs(game.inspect().peers[0].skew - (performance.timeOrigin - %s)) < 3, "
                    + "performance.now())").formatted(origin));
        }

        /** ... and that it was put there by the test has faded from all pages. */
        static void allSeeAtRest(String name, String expression, Player... players) {
            allSee(name, expression, players);
            for (Player player
                    : players) player.until(
                    "game.inspect().ships.every(({ fading }) => fading < 0.01)");
        }

        /**
         * They see each other, and have known each other's clock for some readings: first ones that are late may be
         * right by chance, being as late on the way there as on the way back, and then the next makes it 8 ms off.
         */
        static void areTogether(Player ann, Player bob, double roundTrip) {
            meet(ann, bob);
            ann.until("game.inspect().peers[0].rtt >= " + roundTrip);
            RelayTest.eventually(() -> {
                LockSupport.parkNanos(50_000_000);   // to ask all the time would cost a processor
                return Math.min(clockKnownFor(ann, bob), clockKnownFor(bob, ann)) > 4_000;
            }, "each knows the other's clock", Duration.ofSeconds(60));   // readings go back 30 s
        }

        /** On circles around the sun. */
        static void coast(int ms, double most, Player ann, Player bob) throws Exception {
            ann.orbit(80, 0);
            bob.orbit(400, Math.PI);   // on neither does a ship begin
            allSeeAtRest("Ann", "Math.abs(Math.hypot(ship.x, ship.y) - 80) < 1", ann, bob);
            allSeeAtRest("Bob", "Math.abs(Math.hypot(ship.x, ship.y) - 400) < 1", ann, bob);
            check(ms, most, ann, bob, end -> {});
        }

        /** Turns and burns at random until then. */
        static void manoeuvre(Future<?> end, Player... players) throws InterruptedException {
            var random = new Random(1);
            var held = new HashSet<String>();
            while (!end.isDone()) {
                int who = random.nextInt(players.length);
                String key = List.of("KeyA", "KeyD", "KeyW", "KeyW").get(random.nextInt(4));
                if (held.add(who + key)) players[who].page.hold(key);
                else if (held.remove(who + key)) players[who].page.release(key);
                Thread.sleep(random.nextInt(20, 120));
            }
            for (Player player : players) player.page.release("KeyA", "KeyD", "KeyW");
        }

        @Test
        @Timeout(150)
        void with100MillisecondsGiveOrTake20BetweenThePlayers() throws Exception {
            Consumer<Chromium.Page> frames = page -> page.first(Player.OFTEN);   // clocks need many
            try (var relay = withPages(0); var proxy = new DelayingProxy(relay.port());
                    var ann = Player.of(relay.port(), "Ann", frames);
                    var bob = Player.of(proxy.port(), "Bob", frames)) {
                areTogether(ann, bob, 80);
                coast(3_000, 1.5, ann, bob);
                ann.place(-600, -300, 0);
                bob.place(600, 300, 0);
                allSeeAtRest("Ann", "ship.x < -550", ann, bob);
                allSeeAtRest("Bob", "ship.x > 550", ann, bob);
                check(5_000, 4, ann, bob, end -> manoeuvre(end, ann, bob));
            }
        }
    }

    /** The relay goes away and comes back; nobody touches anything. */
    @Nested
    @RelayTest.Waits
    @ExtendWith(InChromium.class)
    @SuppressWarnings("try")   // the relay is closed within
    class Reconnect {
        private static final long SOON = 5_000_000_000L;

        /** All of them are in one room again in time, with their names and scores. */
        private static void expectReunion(int port, long before, Map<Player, String> ships) {
            var players = ships.keySet().toArray(Player[]::new);
            meet(players);
            for (Player player : players) player.until("game.inspect().link === 'relay'");
            ships.values().forEach(ship -> allSee(ship.split(" ")[0], "`${ship.name} ${ship.score}` === "
                    + Json.write(ship), players));
            assertTrue(System.nanoTime() - before < SOON, "it took " + (System.nanoTime() - before) / 1_000_000
                    + " ms");
        }

        @Test
        @RelayTest.MeasuresPages
        void afterItsRestartAllAreInOneRoomAgainWithin5SecondsWithNameAndScore() throws IOException {
            try (var relay = withPages(0); var ann = Player.of(relay, "Ann"); var bob = Player.of(relay, "Bob");
                    var cyd = Player.of(relay, "Cyd")) {
                meet(ann, bob, cyd);
                shoot(ann, bob, 800);
                allSee("Ann", "ship.score === 1", ann, bob, cyd);
                var players = List.of(ann, bob, cyd);
                for (Player player : players) {
                    player.until("me().state === 'flying'").orbit(900, players.indexOf(player));
                    player.ask("localStorage.spacewar = JSON.stringify({ ...JSON.parse(localStorage.spacewar), "
                            + "practice: 2 }); dispatchEvent(new StorageEvent('storage', { key: 'spacewar' }))");
                }
                var flights = players.stream().map(player -> player.record(15_000)).toList();
                relay.close();
                for (Player player : players) player.until(
                        "document.querySelector('#link').textContent === 'offline · practice'");
                long before = System.nanoTime();
                try (var next = withPages(relay.port())) {
                    expectReunion(next.port(), before, Map.of(ann, "Ann 1", bob, "Bob 0", cyd, "Cyd 0"));
                }
                for (Player player : players) player.fliesOn().ask("record.over = true");
                for (Player player : players) {
                    var flight = flights.get(players.indexOf(player)).join().get((String) player.ask("me().name"));
                    double pause = IntStream.range(1, flight.size())
                            .mapToDouble(i -> flight.get(i).at() - flight.get(i - 1).at()).max().orElseThrow();
                    assertTrue(pause < 500, "it stood still for " + pause + " ms");
                }
            }
        }

        @Test
        void aPageOpenedWhileItIsDownJoinsWhenItIsUp() throws IOException {
            var files = new RelayTest.FilesOnly();
            try (files; var ann = Player.of(files.port(), "Ann"); var bob = Player.of(files.port(), "Bob")) {
                for (Player player : List.of(ann, bob)) player.until("game.inspect().link === 'offline'");
                files.close();
                long before = System.nanoTime();
                try (var relay = withPages(files.port())) {
                    expectReunion(relay.port(), before, Map.of(ann, "Ann 0", bob, "Bob 0"));
                }
            }
        }
    }

    /** The tests of the game's modules, which any browser runs at /spacewar/test/. */
    @Nested
    @Order(2)   // takes the longest of those that others run beside
    @RelayTest.Waits
    @ExtendWith(InChromium.class)
    class Modules {
        @TestFactory
        @Timeout(300)   // the games that the tests play take a minute, and of a processor that others use as well
        Stream<DynamicNode> allHold() throws IOException {
            return in(InChromium.chromium, "?without=game,play", "?only=game", "?only=play");
        }

        /** Runs them in pages with these queries, at once: one computes while the others wait. */
        static Stream<DynamicNode> in(Browser browser, String... queries) throws IOException {
            try (var relay = withPages(0)) {
                var pages = new ArrayList<Browser.Page>();
                try {
                    for (String query : queries) pages.add(browser.open(address(relay, query)));
                    var results = new ArrayList<Map<?, ?>>();
                    for (var page : pages) {
                        page.until("globalThis.results?.length > 0", Duration.ofSeconds(270));
                        for (Object result : (List<?>) page.evaluate("results")) results.add((Map<?, ?>) result);
                        assertEquals("[]", page.complaints.toString());
                    }
                    return results.stream().collect(Collectors.groupingBy(result -> (String) result.get("module"),
                            LinkedHashMap::new, Collectors.toList()))
                            .entrySet().stream().map(module -> DynamicContainer.dynamicContainer(module.getKey(),
                            module.getValue().stream().map(Modules::test)));
                } finally {
                    for (var page : pages) page.close();
                }
            }
        }

        private static String address(Relay relay, String query) {
            return "http://localhost:" + relay.port() + "/spacewar/test/" + query;
        }

        private static DynamicNode test(Map<?, ?> result) {
            return DynamicTest.dynamicTest((String) result.get("name"), () -> assertNull(result.get("error")));
        }
    }

    /** What the original of the game got wrong, by the numbers it had there; others are in play.js, 14 in Direct. */
    @Nested
    @RelayTest.Waits
    @ExtendWith({InChromium.class, Players.class})
    @SuppressWarnings("try")   // the relay is closed within
    class Defects {
        @Test
        @DisplayName("8: no key stays held when the window loses the focus")
        void noKeyStaysHeld(Player ann) throws IOException {
            for (Runnable leave : List.<Runnable>of(() -> ann.ask("dispatchEvent(new Event('blur'))"), () ->
                    ann.inChromium().hide().show())) {
                ann.page.hold("KeyA", "KeyW", "KeyF");
                ann.until("me().turn === -1 && me().thrust && me().fire");
                leave.run();
                ann.until("me().turn === 0 && !me().thrust && !me().fire")
                        .page.release("KeyA", "KeyW", "KeyF");
            }
        }

        @Test
        @DisplayName("10: a phone gets a page of its own width, with pads")
        void aPhoneGetsAPageOfItsWidth() throws IOException {
            try (var relay = withPages(0);
                    var ann = new Player(Player.address(relay.port()), page -> page.screen(390, 844, 3, true))) {
                ann.until(
                        "innerWidth === 390 && document.documentElement.scrollWidth === 390 && "
                        + "document.querySelector('#sky').clientWidth === 390")
                        .until("[...document.querySelectorAll('#pads button')].filter(pad => "
                        + "pad.checkVisibility()).length === 5");
            }
        }

        @Test
        @DisplayName("12: with the relay down there is a sky, and Enter is hyperspace")
        void withTheRelayDownThereIsASky() {
            try (var files = new RelayTest.FilesOnly(); var ann = Player.of(files.port(), "Ann")) {
                ann.until("game.inspect().frames > 10").page.press("Enter");
                ann.until("me().state === 'hyperspace'").until("me().state === 'flying'");
            }
        }

        @Test
        @DisplayName("13: after a restart of the relay newcomers meet those who were there")
        void afterARestartNewcomersMeetTheOthers() throws IOException {
            try (var relay = withPages(0); var ann = Player.of(relay, "Ann")) {
                relay.close();
                ann.until("game.inspect().link === 'offline'");
                try (var next = withPages(relay.port()); var bob = Player.of(next, "Bob")) {
                    meet(ann, bob);
                    allSee("Ann", "ship.state === 'flying'", ann, bob);
                    allSee("Bob", "ship.state === 'flying'", ann, bob);
                }
            }
        }

        @Test
        @DisplayName("15: a hidden tab says that it only observes, and comes back by hyperspace")
        void aHiddenTabObserves(Player ann, Player bob) throws IOException {
            meet(ann, bob);
            ann.inChromium().hide();
            allSee("Ann", "ship.state === 'observing'", bob);
            bob.ask("new Promise(done => setTimeout(done, 5_500))");   // longer than a silent ship is believed in
            allSee("Ann", "ship.state === 'observing'", bob);
            ann.inChromium().show();
            allSee("Ann", "ship.state === 'hyperspace'", ann, bob);
            allSee("Ann", "ship.state === 'flying'", ann, bob);
        }
    }

    /** Somebody in the game's room who gives a name there, and then says whatever the test wants. */
    static final class Stranger implements AutoCloseable {
        /**
         * px below and to the right of the sun: where nobody else is, and what is at rest falls but a few px in a
         * second.
         */
        private static final String AWAY = "600";

        private final RelayTest.Raw raw;

        private Stranger(RelayTest.Raw raw) {
            this.raw = raw;
        }

        static Stranger join(Relay relay) throws IOException {
            return new Stranger(RelayTest.lazy(RelayTest.Raw.open(relay, ITS_ROOM)))
                    .says("pilot", "1", "\"Eve\"", "0", "0");
        }

        Stranger send(String message) throws IOException {
            raw.send(RelayTest.text("* " + message));
            return this;
        }

        /** A message of a type with these fields. */
        Stranger says(String msgtype, String... fields) throws IOException {
            return send(msgtype + " [" + String.join(",", fields) + "]");
        }

        /** Reports that it flies, out there. */
        Stranger flies() throws IOException {
            return says("report", "1", "0", "0", AWAY, AWAY, "0", "0", "0", "0", "0");
        }

        /** Waits for the next message of a type. */
        String hears(String msgtype) throws IOException {
            String message = raw.receive().text();
            while (!message.contains(" " + msgtype + " ")) message = raw.receive().text();
            return message;
        }

        /** Leaves, when all it said has been taken. */
        @Override
        public void close() throws IOException {
            raw.send(RelayTest.close(1000, ""));
            raw.in.readAllBytes();
            raw.close();
        }
    }

    /** The worst that somebody in the room can do is to lie about their own ship. */
    @Nested
    @ExtendWith(InChromium.class)
    @SuppressWarnings("try")   // that Bob is there is enough
    class HostilePeer {
        private static final String ORBIT =
                "Math.abs(Math.hypot(me().x, me().y) - 300) < 1 && me().state === 'flying' && me().score "
                + "=== 0";

        /**
         * Ann circles the sun and Bob watches; whatever the hostile one does, they do so ever after, with name and
         * score.
         */
        private static void changesNothing(Hostility hostility) throws Exception {
            try (var relay = withPages(0);
                    var ann = Player.of(relay.port(), "Ann", page -> page.first(Direct.NOTES))
                    .until("game.inspect().link === 'relay'");
                    var bob = Stranger.join(relay).says("pilot", "1", "\"Bob\"", "9", "4")) {
                allSee("Bob", "ship.score === 0", ann);   // which says that it has 4
                ann.orbit(300, 0).until(ORBIT);
                hostility.towards(relay, ann);
                ann.until("game.inspect().peers.length === 1").until(ORBIT).fliesOn().until(ORBIT);
                assertEquals("1 Ann flying 0, 2 Bob observing 0",
                        ann.ask("game.inspect().ships.map(({ id, name, state, score }) => `${id} ${name} ${state} "
                        + "${score}`).join(', ')"));
                assertEquals("relay", ann.ask("game.inspect().link"));
                assertEquals(0.0, ann.ask("document.querySelectorAll('img, [onerror]').length"));
            }
        }

        interface Hostility {
            void towards(Relay relay, Player victim) throws Exception;
        }

        /** What a browser would say to connect, for a channel and with sound and picture. */
        private static List<String> descriptions() {
            try (var page = InChromium.chromium.blank()) {
                return ((List<?>) page.evaluate("""
                        Promise.all([['data'], ['data', 'audio'], ['audio', 'video'], []].map(async media => {
                          const connection = new RTCPeerConnection();
                          for (const kind of media)
                            kind === 'data' ? connection.createDataChannel('') : connection.addTransceiver(kind);
                          return (await connection.createOffer()).sdp;
                        }))""")).stream().map(String::valueOf).toList();
            }
        }

        /** Descriptions and candidates of every kind, for somebody in the room. */
        private static List<String> signals() {
            String channel = descriptions().getFirst(), candidate = "candidate:1 1 udp 1 10.0.0.1 9 typ host";
            var data = new ArrayList<>(descriptions());
            data.addAll(List.of("", " ", "v=0", "{", "null", "\u0000\u0001", "<img src=x onerror=harm()>",
                    "x".repeat(100_000), Json.write(Map.of("type", "offer", "sdp", channel)), channel.repeat(2),
                    channel.substring(0, 300), channel.replace("m=application", "m=audio"),
                    channel.replace("fingerprint", "fingerprints"), channel
                    + "a=candidate:1 1 udp 1 10.0.0.1 9 typ host\r\n".repeat(2_000), channel
                    + "a=ice-options:trickle\r\n".repeat(5_000), candidate,
                    candidate.replace("10.0.0.1", "nobody.example"), candidate.replace("udp", "tcp"), candidate
                    + " x".repeat(50_000), "candidate:" + "9".repeat(200), "[" + Json.write(candidate) + "]",
                    "{\"candidate\":\"" + candidate + "\",\"sdpMLineIndex\":99}"));
            return data;
        }

        /** The connections that a page has, at any time, for so many others in the room. */
        private static void expectFew(Player ann, int most) {
            assertTrue(ann.number("open()") <= most, () -> ann.ask("open()") + " connections");
            assertNull(ann.ask("times.track"));
        }

        @Test
        void offersAnswersAndCandidatesOfWhoComesLater() throws Exception {
            changesNothing((relay, ann) -> {
                for (String data : signals()) {
                    try (var eve = Stranger.join(relay)) {
                        for (String word : List.of("webrtc", "answer ", "path webrtc 1", "offer ", "answer 1 ",
                                "offer 1 ", "candidate 1 ", "hangup 1", "offer 2 ", "answer 2 "))
                            eve.raw.send(RelayTest.text("1 " + word + (word.endsWith(" ") ? data : "")));
                    }
                    expectFew(ann, 3);   // of two that come and go so fast the page may know both
                }
                try (var eve = Stranger.join(relay)) {
                    eve.raw.send(RelayTest.text("1 webrtc"));
                    for (int i = 0; i < 5_000; i++) eve.raw.send(RelayTest.text("1 candidate 1 candidate:" + i
                            + " 1 udp 1 10.0.0.1 9 typ host"));
                }
            });
        }

        @Test
        void offersAnswersAndCandidatesOfWhoWasThereBefore() throws Exception {
            var signals = signals();
            try (var relay = withPages(0)) {
                var strangers = new ArrayList<Stranger>();
                for (int i = 0; i < signals.size(); i++) strangers.add(Stranger.join(relay));
                try (var ann = Player.of(relay.port(), "Ann", page -> page.first(Direct.NOTES))) {
                    String id = strangers.size() + 1 + " ";
                    ann.until("game.inspect().peers.length === " + strangers.size());
                    for (var words : List.of(List.of("offer 1", "offer"), List.of("candidate 1", "answer 1", "hangup"),
                            List.of("offer 2", "offer 2", "offer 3", "offer 999999999", "offer 4"))) {
                        for (Stranger stranger : strangers) {
                            for (String word : words) stranger.raw.send(RelayTest.text(id + word + " "
                                    + signals.get(strangers.indexOf(stranger))));
                        }
                        // what is right is answered: the rest is dealt with too
                        if (words.getFirst().equals("offer 1")) strangers.getFirst().hears("answer");
                        ann.fliesOn();
                        expectFew(ann, strangers.size());
                    }
                    for (Stranger stranger : strangers) stranger.close();
                    ann.until("game.inspect().peers.length === 0").until("open() === 0").fliesOn();
                }
            }
        }

        @Test
        void joiningAndLeavingAHundredTimes() throws Exception {
            changesNothing((relay, ann) -> {
                for (int i = 0; i < 100; i++) {
                    try (var eve = Stranger.join(relay)) {
                        eve.raw.send(RelayTest.text("1 candidate x"));
                    }
                    if (i % 10 == 0) expectFew(ann, 40);
                }
                ann.until("game.inspect().peers.length === 1").until("open() <= 1");
                assertTrue(ann.number("connections.length") <= 60, () -> ann.ask("connections.length")
                        + " connections made");
            });
        }

        /** Before they say anything they are not even counted; then all are counted, and forty of them fly. */
        @Test
        @Timeout(120)
        void threeHundredPilotsOfWhomFortyAreShips() throws Exception {
            changesNothing((relay, ann) -> {
                double before = ann.number("frameRate()");
                var crowd = new ArrayList<RelayTest.Raw>();
                try {
                    for (int i = 0; i < 300; i++) crowd.add(RelayTest.lazy(RelayTest.Raw.open(relay, ITS_ROOM)));
                    ann.until("game.inspect().peers.length === 301").until("open() === 0");   // they speak no WebRTC
                    assertEquals(2.0, ann.ask("game.inspect().ships.length"));
                    for (int i = 0; i < 300; i++) {
                        crowd.get(i).send(RelayTest.text("1 webrtc"));
                        crowd.get(i).send(RelayTest.text("1 pilot [1,\"Eve\",%d,0]".formatted(i % 64)));
                        crowd.get(i).send(RelayTest.text(
                                "1 report [1,0,0,%d,%d,0,0,0,0,0]".formatted(400 + i % 90, 400 + i % 70)));
                    }
                    ann.until("game.inspect().others === 261")
                            .until("game.inspect().ships.filter(({ state }) => state === 'flying').length === 41");
                    assertEquals(41.0, ann.ask("game.inspect().ships.length"));
                    assertTrue(ann.number("open()") <= 32, () -> ann.ask("open()") + " connections");
                    RelayTest.eventually(() -> ann.number("frameRate()") > 0.5 * before, "at least half of the frames");
                    ann.until("document.querySelector('#scores').textContent.includes('and 261 others')");
                } finally {
                    for (var each : crowd) each.close();
                }
                ann.until("game.inspect().ships.length === 2 && seen('Bob').id === 2");
            });
        }

        @ParameterizedTest
        @ValueSource(ints = {10_000, 30_000})
        void reportsASecondWhichCostAThirdOfTheFramesAtMost(int reports) throws Exception {
            changesNothing((relay, ann) -> {
                byte[] report = RelayTest.text("1 report [1,0,0,900,900,0,0,0,0,0]");   // Bob does not read
                byte[] burst = RelayTest.concat(Collections.nCopies(reports / 100, report).toArray(byte[][]::new));
                double before = ann.number("frameRate()");
                long began = System.nanoTime();
                try (var eve = new RelayTest.Pump(Stranger.join(relay).raw, 1_000, number -> {
                    LockSupport.parkNanos(began + number * 10_000_000 - System.nanoTime());
                    return burst;
                })) {
                    ann.until("seen('Eve').state === 'flying'");
                    // other programs may cost some as well for a while
                    RelayTest.eventually(() -> ann.number("frameRate()") > 2 * before / 3, "two thirds of the frames");
                    long rate = eve.sent.get() * (reports / 100) * 1_000_000_000L / (System.nanoTime() - began);
                    assertTrue(rate > reports / 2, "only " + rate + " reports a second");
                }
            });
        }
    }

    /** Keyboards, fingers, gamepads and screens. */
    @Nested
    @RelayTest.Waits
    @ExtendWith({InChromium.class, Players.class})
    class PlaysWhereYouAre {
        private static final String STEERING = "[me().turn, me().thrust, me().fire].join()";

        private static void expectSteering(Player player, String turnThrustFire) {
            player.until(STEERING + " === '" + turnThrustFire + "'");
        }

        @Test
        void aKeyChosenInTheSettingsCountsAndIsKept(Player ann) throws IOException {
            ann.inChromium().press("KeyC").until("document.querySelector('#settings').open").tabTo("#keys [name=fire]")
                    .press("Enter", "KeyQ", "Escape").until("document.activeElement.id === 'sky'");
            ann.page.hold("KeyQ");
            expectSteering(ann, "0,false,true");
            ann.page.release("KeyQ").hold("KeyF", "KeyA");
            expectSteering(ann, "-1,false,false");
            ann.page.release("KeyF", "KeyA");
            ann.reload().page.hold("KeyQ");
            expectSteering(ann, "0,false,true");
            ann.page.release("KeyQ");
        }

        @Test
        void noShortcutOfTheBrowserIsStolen(Player ann) throws IOException {
            ann.ask("globalThis.stolen = []; globalThis.heard = 0;"
                    + "addEventListener('keydown', event => { heard++; if (event.defaultPrevented) "
                    + "stolen.push(event.code); }); null");
            for (String modifier : List.of("Control", "Alt", "Meta", "Control+Shift"))
                for (String code : List.of("KeyS", "KeyF", "KeyD", "KeyP", "KeyR", "KeyN", "ArrowLeft",
                        "Enter")) ann.page.press(modifier + "+" + code);
            ann.page.press("F1", "Tab", "KeyE");
            ann.until("heard === 35").fliesOn();
            assertEquals("", ann.ask("stolen.join()"));
            assertEquals("flying 0,false,false", ann.ask("`${me().state} ${%s}`".formatted(STEERING)));
            ann.page.press("ArrowLeft", "Space");
            ann.until("stolen.join() === 'ArrowLeft,Space'");
        }

        /** Where the middle of a pad is. */
        private static Chromium.Finger on(Player player, int finger, String pad) {
            var at = (List<?>) player.ask("middle('#pads [name=" + pad + "]')");
            return new Chromium.Finger(finger, (Double) at.get(0), (Double) at.get(1));
        }

        @ParameterizedTest(name = "{0} × {1}")
        @CsvSource({"390, 844", "844, 390"})
        void severalFingersSteerAPhone(int width, int height) throws IOException {
            try (var relay = withPages(0);
                    var ann = Player.of(relay.port(), "Ann", page -> page.screen(width, height, 3, true))) {
                ann.until("padsFit()").until("crisp()");
                var left = on(ann, 1, "left");
                var right = on(ann, 1, "right");
                var thrust = on(ann, 2, "thrust");
                var fire = on(ann, 3, "fire");
                ann.inChromium().touch(left).touch(left, thrust);
                expectSteering(ann, "-1,true,false");
                ann.inChromium().touch(right, thrust).touch(right, thrust, fire);
                expectSteering(ann, "1,true,true");
                ann.inChromium().touch();
                expectSteering(ann, "0,false,false");
                ann.inChromium().touch(on(ann, 1, "hyperspace")).touch();
                ann.until("me().state === 'hyperspace'").page.press("Slash");
                ann.until("document.querySelector('#fingers').checkVisibility()"
                        + " && !document.querySelector('#steering').checkVisibility()");
            }
        }

        @Test
        void twoFingersOnTheSkyZoom() throws IOException {
            try (var relay = withPages(0);
                    var ann = Player.of(relay.port(), "Ann", page -> page.screen(390, 844, 1, true))) {
                ann.place(100, -100, 0);
                double before = ann.until("scale() > 0").number("scale()");   // from the first frame on
                ann.inChromium().touch(new Chromium.Finger(1, 180, 300), new Chromium.Finger(2, 210, 300));
                for (int by = 10; by <= 60; by += 10) ann.inChromium().touch(new Chromium.Finger(1, 180 - by, 300),
                        new Chromium.Finger(2, 210 + by, 300));
                ann.inChromium().touch();
                ann.until("scale() > " + 1.5 * before);
            }
        }

        @Test
        void itIsCrispAtAnyRatioOfPixelsAlsoAfterAResize() throws IOException {
            try (var relay = withPages(0);
                    var ann = Player.of(relay.port(), "Ann", page -> page.screen(1000, 700, 2, false))) {
                ann.until("crisp() && document.querySelector('#sky').width === 2000");
                for (double ratio : new double[] {2, 1, 1.5, 3}) {
                    for (int width : new int[] {800, 533}) {
                        ann.inChromium().screen(width, 701, ratio, false)
                                .until("innerWidth === %s && devicePixelRatio === %s && crisp()".formatted(width,
                                ratio));
                    }
                }
            }
        }

        /** Neither ships nor arrows, which keep to what the page says is free, nor pads nor buttons. */
        @ParameterizedTest(name = "{0} × {1}")
        @CsvSource({"1280, 720, false", "390, 844, true", "844, 390, true"})
        void theQuestionForANameHidesNothing(int width, int height, boolean phone) throws IOException {
            try (var relay = withPages(0);
                    var ann = new Player(Player.address(relay.port()), page -> page.screen(width, height, 1, phone))) {
                ann.until("document.querySelector('#name').open").until("""
                        (({ left, top, right, bottom }) => {
                          const style = getComputedStyle(document.querySelector('#sky'));
                          const [above, below] = ['top', 'bottom'].map(side =>
                            parseFloat(style.getPropertyValue(`--hud-${side}`)));
                          return (bottom <= above || top >= innerHeight - below) && left >= 0 && right <= innerWidth
                            && [...document.querySelectorAll('#buttons button, #pads button')].every(button => {
                              const box = button.getBoundingClientRect();
                              return !box.width || box.left >= right || box.right <= left || box.top >= bottom
                                || box.bottom <= top;
                            });
                        })(document.querySelector('#name').getBoundingClientRect())""");
            }
        }
    }

    /** What lies around the sky, by keyboard alone, and for those who see it otherwise. */
    @Nested
    @RelayTest.Waits
    @ExtendWith({InChromium.class, Players.class})
    class PanelsAndAccess {
        private static final Map<String, String> DIALOGS =
                Map.of("help", "Shift+Slash", "settings", "KeyC", "invite", "KeyI");

        private static String open(String dialog) {
            return "document.querySelector('#" + dialog + "').open";
        }

        /** ... and keys are for the ship again. */
        private static String closed(String dialog) {
            return "!" + open(dialog) + " && document.activeElement.id === 'sky'";
        }

        @Test
        void whoeverIsNewIsAskedForANameWhichHasTheFocusAndFliesOnMeanwhile() throws IOException {
            try (var relay = withPages(0); var ann = new Player(Player.address(relay.port()), page -> {})) {
                ann.until(open("name") + " && document.activeElement.id === 'first-name'").fliesOn()
                        .inChromium().type(" Mona\u202e ").press("Enter");
                ann.until(closed("name")).until("seen('Mona').state === 'flying' && !game.inspect().settings.muted")
                        .page.hold("KeyA");
                ann.until("me().turn === -1").page.release("KeyA");
                ann.reload().until("seen('Mona').state === 'flying'");
                assertEquals(false, ann.ask(open("name")));
            }
        }

        @Test
        void eachDialogIsLabelledOpensByItsKeyPausesKeepsTheFocusAndClosesByEscape(Player ann) throws IOException {
            DIALOGS.forEach((dialog, key) -> {
                ann.page.press(key).until(open(dialog)).press("Tab", "KeyD", "Tab")
                        .until("document.activeElement.closest('dialog')?.id === '" + dialog + "' && ringed()");
                ann.until("label('#" + dialog + "').length > 3").standsStill();
                assertEquals(false, ann.ask("me().thrust"));
                ann.page.press("Escape").until(closed(dialog)).hold("KeyA");
                ann.until("me().turn === -1").fliesOn().page.release("KeyA");
            });
        }

        @Test
        void theMenuIsReachedByTab(Player ann) throws IOException {
            for (String dialog : List.of("invite", "settings", "help")) {
                ann.inChromium().tabTo("[data-command=" + dialog + "]").until("ringed()")
                        .press("Enter").until(open(dialog)).press("Escape").until(closed(dialog));
            }
        }

        @Test
        void thereIsLessMotionForWhoWantsLess() throws IOException {
            try (var relay = withPages(0);
                    var ann = new Player(Player.address(relay.port()), page ->
                    page.media("prefers-reduced-motion", "reduce"))) {
                ann.until("game.inspect().reducedMotion").inChromium().media("prefers-reduced-motion", "no-preference");
                ann.until("!game.inspect().reducedMotion");
            }
        }

        @ParameterizedTest(name = "in a {0} theme")
        @ValueSource(strings = {"light", "dark"})
        void withForcedColoursMenuAndPadsAreReadable(String theme) throws IOException {
            String contrasts = """
                    [...document.querySelectorAll('#buttons button, #pads button')].map(button => {
                      const luminance = colour => colour.match(/[\\d.]+/g).slice(0, 3).map(c => c / 255)
                        .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
                        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
                      const core = button.querySelector('.core') ?? button.querySelector('path');
                      const { stroke } = getComputedStyle(core);
                      const { backgroundColor, opacity } = getComputedStyle(button);
                      if (/^rgba/.test(backgroundColor) || opacity < 1) return 0;      // one sees through it
                      const [dark, light] = [stroke, backgroundColor].map(luminance).sort((a, b) => a - b);
                      return (light + 0.05) / (dark + 0.05);
                    })""";
            try (var relay = withPages(0); var ann = Player.of(relay.port(), "Ann", page -> {
                page.screen(390, 844, 1, true).call("Emulation.setEmulatedMedia", Map.of("features",
                        List.of(Map.of("name", "forced-colors", "value", "active"),
                        Map.of("name", "prefers-color-scheme", "value", theme))));
            })) {
                ann.until("matchMedia('(forced-colors: active)').matches");
                var found = (List<?>) ann.ask(contrasts);
                assertEquals(9, found.size());
                for (Object contrast : found) assertTrue((Double) contrast >= 4.5, found.toString());
            }
        }

        @Test
        void theCodeOfTheInvitationLeadsToTheRoom(@TempDir Path folder) throws Exception {
            RelayTest.require("zbarimg", "zbar-tools");
            try (var relay = withPages(0); var ann = Player.of(relay, "Ann")) {
                ann.page.press("KeyI").until(open("invite"));
                Path picture = Files.write(folder.resolve("invite.png"), ann.page.screenshot());
                try (var reader = new RelayTest.Program(folder, Map.of(),
                        List.of("zbarimg", "-q", "--raw", picture.toString()))) {
                    assertEquals(List.of(Player.address(relay.port())), reader.expectExit(0).out);
                }
                assertEquals(Player.address(relay.port()), ann.ask("document.querySelector('#address').value"));
            }
        }

        /** The relay tells a page on its own machine where others reach it. */
        @Test
        void theInvitationOfAPageOpenedAsLocalhostLeadsOthersHere() throws IOException {
            try (var relay = RelayTest.relay(options -> {
                options.host = null;
                options.folders = List.of(Path.of("spacewar"));
            }); var ann = Player.of(relay, "Ann"); var route = new DatagramSocket()) {
                Assumptions.assumeTrue(RelayTest.hasRoute(route), "this machine has no default route");
                String host = route.getLocalAddress().getHostAddress() + ":" + relay.port();
                ann.page.press("KeyI").until(open("invite"))
                        .until("document.querySelector('#address').value === 'http://%s%s'".formatted(host, GAME))
                        .until("document.querySelector('#local').hidden")
                        .until("document.querySelector('#qr').ariaLabel.includes('%s')".formatted(host));
            }
        }

        @Test
        void theAccessibilityCheckerFindsNothingSerious() throws IOException {
            Path axe = RelayTest.Program.ROOT.resolve("build/axe/axe.min.js");
            RelayTest.require(axe.toString(), "npm");
            String check = """
                Promise.all(document.getAnimations().map(({ finished }) => finished))
                  .then(() => axe.run()).then(({ violations }) =>
                  violations.filter(({ impact }) => /serious|critical/.test(impact))
                    .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html)}`).join())""";
            try (var relay = withPages(0); var ann = Player.of(relay, "Ann")) {
                ann.ask(Files.readString(axe) + "; null");
                assertEquals("", ann.ask(check));
                ann.page.press("KeyT");
                assertEquals("", ann.until("!document.querySelector('#timing').hidden").ask(check), "timing");
                DIALOGS.forEach((dialog, key) -> {
                    ann.page.press(key).until(open(dialog));
                    assertEquals("", ann.ask(check), dialog);
                    ann.page.press("Escape").until(closed(dialog));
                });
            }
        }
    }

    /** Players who are connected to each other directly, in a LAN of their own. */
    @Nested
    @Order(1)   // takes the longest of these
    @SuppressWarnings("try")   // that somebody is there is enough
    class Direct {
        /**
         * Keeps all connections, channels and sockets that a page makes, and when, in ms of the page's life, what
         * happened for the first time.
         */
        static final String NOTES = """
            globalThis.connections = [];
            globalThis.channels = [];
            globalThis.sockets = [];
            globalThis.times = {};
            {
              const note = what => times[what] ??= performance.now();
              const listen = channel => {
                channels.push(channel);
                channel.addEventListener('open', () => note('opened'));
                channel.addEventListener('message', () => note('heard'));
              };
              globalThis.Worker = class extends Worker {   // which has the page's WebSocket
                constructor(...args) {
                  super(...args);
                  sockets.push({ close: () => this.postMessage(['close']) });
                  this.addEventListener('message', ({ data: [word] }) => word === 'messages' && note('joined'));
                }
              };
              globalThis.RTCPeerConnection = class extends RTCPeerConnection {
                constructor(...args) {
                  super(...args);
                  connections.push(this);
                  this.addEventListener('track', () => note('track'));
                }
                createDataChannel(...args) {
                  const channel = super.createDataChannel(...args);
                  listen(channel);
                  return channel;
                }
              };
            }
            globalThis.open = () => connections.filter(({ connectionState }) => connectionState !== 'closed').length;
            """;

        /** Looks in each frame how many are there, and whether somebody is twice. */
        private static final String COUNT = """
            globalThis.least = Infinity;
            globalThis.most = 0;
            globalThis.twice = [];
            requestAnimationFrame(function count() {
              const names = game.inspect().ships.filter(ship => !ship.bot).map(ship => ship.name);
              least = Math.min(least, names.length);
              most = Math.max(most, names.length);
              if (new Set(names).size < names.length) twice.push(names.join());
              requestAnimationFrame(count);
            });
            null""";

        private static final String COUNTED = "`${least} to ${most}, ${twice.length} twice`";

        private static Network lan;
        private static RelayTest.Program relay;
        private static int rooms;
        private final String room = "/spacewar/?game=" + ++rooms;

        @BeforeAll
        static void begin() throws IOException {
            lan = Network.lan();
            relay = lan.relay("0");
        }

        @AfterAll
        static void end() throws IOException {
            if (lan == null) return;
            relay.close();
            lan.close();
        }

        /** Somebody in this test's room, whose page is small, since there may be many. */
        private Player player(String name, Consumer<Chromium.Page> before) throws IOException {
            return player(relay, name, before);
        }

        private Player player(String name) throws IOException {
            return player(name, page -> page.first(NOTES));
        }

        private Player player(RelayTest.Program relay, String name, Consumer<Chromium.Page> before) throws IOException {
            return Player.of(lan.chromium(), "http://10.77.0.1:" + relay.url().getPort() + room, name,
                    before.andThen(page -> page.screen(320, 240, 1, false))).until("game.inspect().link === 'relay'");
        }

        /** How each of them reaches all others. */
        static void areConnected(String path, Player... players) {
            for (Player player : players)
                player.until(("(peers => peers.length === %d && peers.every(({ path }) => path === '%s'))"
                        + "(game.inspect().peers)").formatted(players.length - 1, path));
        }

        /** What one does, the other sees. */
        static void playOn(Player pilot, Player witness) {
            String name = (String) pilot.ask("me().name");
            // far from where it was
            double x = 500 + ThreadLocalRandom.current().nextInt(300), y = pilot.number("me().y") > 0 ? -600 : 600;
            pilot.until("me().state === 'flying'").place(x, y, 0);   // it may have fallen into the sun meanwhile
            witness.until("Math.hypot(seen(%s).x - %s, seen(%1$s).y - %s) < 50".formatted(Json.write(name), x, y));
        }

        /** What each does, the next one sees. */
        static void allPlayOn(Player... players) {
            for (int i = 0; i < players.length; i++) playOn(players[i], players[(i + 1) % players.length]);
        }

        /** The first message over a channel came soon after the join, also on a busy machine: servers may take 40 s. */
        private static void expectInTime(Player player, String name) {
            double first = player.number("times.heard - times.joined");
            System.out.printf(
                    "  %s: in the room %.0f ms after the start, a channel open %.0f ms later, the first message "
                    + "through it after %.0f ms%n", name, player.number("times.joined"),
                    player.number("times.opened - times.joined"), first);
            assertTrue(first < 3_000, "it took " + first + " ms");
        }

        @Test
        void channelsOpenInThisNetworkUnlessUdpIsCut() throws IOException {
            try (var page = lan.chromium().open("http://10.77.0.1:" + relay.url().getPort() + "/health")) {
                assertEquals(true, page.until("document.body !== null").evaluate(Networks.CHANNEL));
                lan.cutUdp();
                assertEquals(false, page.evaluate(Networks.CHANNEL));
            } finally {
                lan.mendUdp();
            }
        }

        @Test
        void twoAreConnectedAtOnceByOneConnectionAndPlay() throws IOException {
            try (var ann = player("Ann"); var bob = player("Bob")) {
                areConnected("webrtc", ann, bob);
                bob.until("times.heard > 0");
                expectInTime(bob, "second of two");
                assertEquals(List.of(1.0, 1.0), List.of(ann.ask("open()"), bob.ask("open()")));
                shoot(ann, bob, 800);
                allSee("Ann", "ship.score === 1", ann, bob);
            }
        }

        @Test
        @DisplayName("14: a silent STUN server and a silent TURN server delay nothing")
        void silentServersDelayNothing(@TempDir Path folder) throws IOException {
            Path game = copy(folder, """
                    { "iceServers": [{ "urls": "stun:10.77.0.9:3478" },
                      { "urls": ["turn:10.77.0.9:3478", "turn:10.77.0.9:3478?transport=tcp"],
                        "username": "ann", "credential": "secret" }] }""");
            try (var relay = lan.relay("--dir", game.toString(), "0");
                    var ann = player(relay, "Ann", page -> page.first(NOTES));
                    var bob = player(relay, "Bob", page -> page.first(NOTES))) {
                areConnected("webrtc", ann, bob);
                bob.until("times.heard > 0");
                expectInTime(bob, "with silent servers");
                assertEquals(3.0,
                        bob.ask("connections.at(-1).getConfiguration().iceServers.flatMap(({ urls }) => urls).length"));
            }
        }

        /** The folder of the game, with an ice.json. */
        private static Path copy(Path folder, String ice) throws IOException {
            Path game = Files.createDirectory(folder.resolve("spacewar"));
            try (var files = Files.walk(RelayTest.Program.ROOT.resolve("spacewar"), 1)) {
                for (Path file : files.filter(Files::isRegularFile).toList()) Files.copy(file,
                        game.resolve(file.getFileName()));
            }
            Files.writeString(game.resolve("ice.json"), ice);
            return game;
        }

        @Test
        void aBrowserWithoutWebRtcAndOneWithoutCandidatesPlayOverTheRelay() throws IOException {
            String none = "delete globalThis.RTCPeerConnection", noCandidates = """
                    globalThis.RTCPeerConnection = class extends RTCPeerConnection {
                      constructor(settings) {
                        super({ ...settings, iceTransportPolicy: 'relay' });
                      }
                    };""";
            try (var ann = player("Ann"); var bob = player("Bob", page -> page.first(none));
                    var cyd = player("Cyd", page -> page.first(noCandidates)); var dan = player("Dan")) {
                for (Player player : List.of(ann, dan)) player.until(
                        "game.inspect().peers.map(({ path }) => path).sort().join() === 'relay,relay,webrtc'");
                for (Player player : List.of(bob, cyd)) player.until(
                        "game.inspect().peers.map(({ path }) => path).join() === 'relay,relay,relay'");
                playOn(ann, bob);
                playOn(bob, cyd);
                playOn(cyd, dan);
                playOn(dan, bob);
            }
        }

        @Test
        void whereNoUdpPassesTheyPlayOverTheRelay() throws IOException {
            lan.cutUdp();
            try (var ann = player("Ann"); var bob = player("Bob")) {
                areConnected("relay", ann, bob);
                for (int second = 0; second < 3; second++) {
                    playOn(ann, bob);
                    playOn(bob, ann);
                }
                areConnected("relay", ann, bob);
                for (Player player : List.of(ann, bob)) assertEquals(1.0, player.ask("open()"));
            } finally {
                lan.mendUdp();
            }
        }

        @Test
        void whatStaysBrokenIsReplacedByANewConnectionAgainAndAgain() throws IOException {
            Consumer<Chromium.Page> hasty = page -> page.first(NOTES)   // ten seconds are one
                    .first("{ const { setInterval } = globalThis; globalThis.setInterval = (action, ms) => "
                    + "setInterval(action, ms / 10); }");
            try (var ann = player("Ann", hasty); var bob = player("Bob", hasty)) {
                areConnected("webrtc", ann, bob);
                for (int times = 0; times < 2; times++) {
                    double before = ann.number("connections.length");
                    lan.cutUdp();
                    areConnected("relay", ann, bob);
                    playOn(ann, bob);
                    ann.until("connections.length > " + (before + 1));   // the first of them has failed, too
                    playOn(bob, ann);
                    lan.mendUdp();
                    areConnected("webrtc", ann, bob);
                    playOn(ann, bob);
                    for (Player player : List.of(ann, bob)) player.until("open() === 1");
                }
            } finally {
                lan.mendUdp();
            }
        }

        /** Eleven of them in frames of the page of the first, which is cheaper than as many pages. */
        @Test
        @RelayTest.MeasuresPages   // frames of one page share a processor, and each waits 3 s for its ICE servers
        void twelveAreAllConnectedToEachOtherAndWhoLeavesIsForgotten() throws IOException {
            try (var ann = player("Ann", page -> page.first(NOTES).first(RARELY))) {
                double began = ann.number("""
                        (() => {
                          for (let i = 1; i < 12; i++)
                            document.body.append(
                              Object.assign(document.createElement('iframe'), { src: location.href }));
                          globalThis.all = () =>
                            [self, ...Array.from(document.querySelectorAll('iframe'), frame => frame.contentWindow)];
                          return performance.now();
                        })()""");
                String connected = "all().every(({ game, open }) => game && open() === %1$d"
                        + " && game.inspect().peers.filter(({ path }) => path === 'webrtc').length === %1$d)";
                ann.page.until(connected.formatted(11), Duration.ofSeconds(30));
                System.out.printf("  twelve: all 66 pairs are connected after %.0f ms%n",
                        ann.number("performance.now()") - began);
                ann.until("all().every(({ game }) => game.inspect().ships.length === 12)");
                ann.ask("for (const frame of [...document.querySelectorAll('iframe')].slice(2)) frame.remove()");
                ann.until(connected.formatted(2)).until("all().every(({ game }) => game.inspect().ships.length === 3)");
            }
        }

        @Test
        void whoReloadsIsThereOnceAndConnectedAgain() throws IOException {
            try (var ann = player("Ann"); var bob = player("Bob"); var cyd = player("Cyd")) {
                areConnected("webrtc", ann, bob, cyd);
                ann.ask(COUNT);
                for (int i = 0; i < 3; i++) {
                    bob.reload();
                    meet(ann, bob, cyd);
                    areConnected("webrtc", ann, bob, cyd);
                    ann.until("open() === 2");
                    playOn(bob, ann);
                }
                assertEquals("2 to 3, 0 twice", ann.ask(COUNTED));
            }
        }

        @Test
        void whoseTabCrashesIsGoneSoon() throws IOException {
            try (var ann = player("Ann"); var bob = player("Bob"); var cyd = player("Cyd")) {
                areConnected("webrtc", ann, bob, cyd);
                ann.ask(COUNT);
                cyd.inChromium().crash();
                meet(ann, bob);
                areConnected("webrtc", ann, bob);
                for (Player player : List.of(ann, bob)) player.until("open() === 1");
                try (var again = player("Cyd")) {
                    meet(ann, bob, again);
                    areConnected("webrtc", ann, bob, again);
                }
                assertEquals("2 to 3, 0 twice", ann.ask(COUNTED));
            }
        }

        /** What comes over a channel can do no more than what comes from the relay. */
        @Test
        void whatAHostilePeerSaysOverAChannelChangesNothing() throws IOException {
            var data = List.of("", " ", " 1", " 2 x", " -1", " 1e999", " [1,0,0,900", " [null]", " [1,\"Ann\",5,99999]",
                    " [1,0,0,0,0,0,0,0,0,0,1]", " " + "[".repeat(5_000), " \u0000\ud83d\ude80",
                    " 99999999999999999999 x", " webrtc 1", " relay 1");
            var words = Stream.of("report", "fire", "death", "pilot", "round", "greet", "ping", "pong",
                    "score", "self", "join", "quit",
                    "status", "recv", "webrtc", "path", "key", "proofs", "offer", "answer", "candidate", "hangup",
                    "constructor", "__proto__", "", " ", " id", " ack", " path")
                    .flatMap(word -> data.stream().map(word::concat)).toList();
            try (var ann = player("Ann"); var bob = player("Bob")) {
                areConnected("webrtc", ann, bob);
                ann.orbit(300, 0).ask(COUNT);
                allSee("Ann", "Math.abs(Math.hypot(ship.x, ship.y) - 300) < 2", bob);
                for (String more
                        : List.of(
                        "for (let i = 0; i < 5_000; i++) channels[i % 2].send('report [1,0,0,900,900,0,0,0,0,0]');"
                                + "for (let i = 0; i < 10; i++) for (const channel of channels) channel.send('report ' "
                                + "+ '9'.repeat(200_000));",
                        "connections.at(-1).createDataChannel('another'); "
                        + "connections.at(-2).createDataChannel('another', { negotiated: true, id: 7 });")) {
                    try (var eve = player("Eve")) {
                        meet(ann, bob, eve);
                        areConnected("webrtc", ann, bob, eve);
                        eve.ask("""
                                {
                                  const open = channels.filter(({ readyState }) => readyState === 'open');
                                  for (const channel of open) {
                                    for (const word of %s) {
                                      for (const message of [word, new TextEncoder().encode(word)])
                                        try { channel.send(message); } catch {}
                                    }
                                  }
                                  try { %s } catch {}
                                }
                                null""".formatted(Json.write(words), more));
                        ann.fliesOn().waitAMoment();
                    }
                    meet(ann, bob);
                    areConnected("webrtc", ann, bob);
                    playOn(bob, ann);
                    for (Player player : List.of(ann, bob)) player.until("open() === 1");
                }
                allSee("Ann",
                        "Math.abs(Math.hypot(ship.x, ship.y) - 300) < 2 && ship.state === 'flying' && ship.score === 0 "
                        + "&& ship.id === 1", ann, bob);
                allSee("Bob", "ship.state === 'flying' && ship.score === 0 && ship.id === 2", ann, bob);
                assertEquals("3", ann.ask("`${most}`"));
            }
        }

        @Test
        @Timeout(120)   // five players, who do much
        void whenTheRelayIsKilledTheyPlayOnAndWhenItIsBackTheyAreConnectedAnewWithTheirScores() throws IOException {
            Consumer<Chromium.Page> notes = page -> page.first(NOTES);
            try (var first = lan.relay("0"); var ann = player(first, "Ann", notes);
                    var bob = player(first, "Bob", notes);
                    var cyd = player(first, "Cyd", notes);
                    var dan = player(first, "Dan", notes.andThen(page ->
                            page.first("delete globalThis.RTCPeerConnection")))) {
                var direct = List.of(ann, bob, cyd);
                String paths = "game.inspect().peers.map(({ path }) => path).sort().join() === 'relay,webrtc,webrtc'";
                meet(ann, bob, cyd, dan);
                for (Player player : direct) player.until(paths);
                shoot(ann, bob, 800);
                shoot(dan, cyd, -800);
                allSee("Ann", "ship.score === 1", ann, bob, cyd, dan);
                allSee("Dan", "ship.score === 1", ann, bob, cyd, dan);
                for (Player player : List.of(bob, cyd)) player.until("me().state === 'flying'");
                for (Player player : direct) player.ask(COUNT);

                first.close();
                for (Player player : direct) player.until("game.inspect().link === 'offline'");
                meet(ann, bob, cyd);
                areConnected("webrtc", ann, bob, cyd);
                allPlayOn(ann, bob, cyd);

                try (var next = lan.relay(first.url().getPort() + "")) {
                    meet(ann, bob, cyd, dan);
                    for (Player player : direct) player.until("game.inspect().link === 'relay'").until(paths);
                    String ships = Stream.of(ann, bob, cyd, dan)
                            .map(player -> player.ask("`${game.inspect().self} ${me().name} ${me().score}`"))
                            .map(String::valueOf).sorted().collect(Collectors.joining(","));
                    for (Player player : List.of(ann, bob, cyd, dan)) player.until(
                            "game.inspect().ships.map(({ id, name, score }) => `${id} ${name} ${score}`).sort().join() "
                            + "=== " + Json.write(ships));
                    playOn(ann, bob);
                    playOn(dan, cyd);
                    for (Player player : direct) assertEquals("4, 0 twice",
                            String.valueOf(player.ask(COUNTED)).replaceFirst("\\d to ", ""));
                    try (var eve = player(next, "Eve", notes)) {
                        meet(ann, bob, cyd, dan, eve);
                        eve.until(
                                "game.inspect().peers.map(({ path }) => path).sort().join() === "
                                + "'relay,webrtc,webrtc,webrtc'");
                        playOn(eve, bob);
                    }
                    meet(ann, bob, cyd, dan);
                }
            }
        }

        @Test
        void whoseWebSocketAloneBreaksPlaysOnAndIsBackOnceWithItsScore() throws IOException {
            String away = "{ const { Worker } = globalThis; globalThis.Worker = class extends Worker {\n"
                    + "  constructor(...args) { super(...args); if (globalThis.away) this.terminate(); } }; }";
            try (var ann = player("Ann"); var bob = player("Bob", page -> page.first(NOTES).first(away));
                    var cyd = player("Cyd")) {
                meet(ann, bob, cyd);
                areConnected("webrtc", ann, bob, cyd);
                shoot(bob, ann, 800);
                ann.until("me().state === 'flying'");
                for (Player player : List.of(ann, cyd)) player.ask(COUNT);
                bob.ask("globalThis.away = true; sockets.at(-1).close(); null");
                bob.until("game.inspect().link === 'offline'");
                areConnected("webrtc", ann, bob, cyd);
                playOn(bob, ann);
                playOn(cyd, bob);
                bob.ask("globalThis.away = false");
                bob.until("game.inspect().self > 3");
                for (Player player : List.of(ann, cyd)) player.until(
                        "seen('Bob').id > 3 && game.inspect().peers.some(({ id }) => id === seen('Bob').id)");
                areConnected("webrtc", ann, bob, cyd);
                allSee("Bob", "ship.score === 1", ann, bob, cyd);
                playOn(bob, ann);
                playOn(cyd, bob);
                for (Player player : List.of(ann, cyd)) assertEquals("3, 0 twice",   // a blink may fall between frames
                        String.valueOf(player.ask(COUNTED)).replaceFirst("[23] to ", ""));
            }
        }
    }

    /** Players at home, behind routers, who learn from the relay where they come from. */
    @Nested
    @RelayTest.Waits
    @ResourceLock("the networks of DirectFromHome")   // its tests come one after the other
    @SuppressWarnings("try")   // that somebody is there is enough
    class DirectFromHome {
        /** The candidates of a browser with the servers of the relay: their kinds and addresses. */
        static final String CANDIDATES = """
                fetch('/spacewar/ice.json').then(answer => answer.json()).then(servers => new Promise(done => {
                  const connection = new RTCPeerConnection(servers);
                  const found = [];
                  connection.onicecandidate = ({ candidate }) => {
                    if (candidate) found.push(`${candidate.type} ${candidate.address}`);
                    else done(found);
                  };
                  connection.createDataChannel('');
                  connection.setLocalDescription();
                }))""";

        private static List<Network> networks = List.of();

        @BeforeAll
        static void begin() throws IOException {
            networks = Network.homes(2);
        }

        @AfterAll
        static void end() throws IOException {
            if (!networks.isEmpty()) networks.getFirst().close();
        }

        /** Somebody in the first or second home. */
        private static Player player(RelayTest.Program relay, int home, String name) throws IOException {
            return Player.of(networks.get(home).chromium(), "http://203.0.113.1:" + relay.url().getPort()
                    + "/spacewar/?game=1", name, page -> page.first(Direct.NOTES).screen(320, 240, 1, false))
                    .until("game.inspect().link === 'relay'");
        }

        /** There is no way but over the relay, and for that nobody waits. */
        private static void expectRelayOnly(Player ann, Player bob) {
            meet(ann, bob);
            for (Player player : List.of(ann, bob)) player.until(
                    "connections.some(({ iceGatheringState }) => iceGatheringState === 'complete')");
            for (int times = 0; times < 5; times++) {
                Direct.playOn(ann, bob);
                Direct.playOn(bob, ann);
            }
            Direct.areConnected("relay", ann, bob);
        }

        @Test
        void theyAreConnectedThroughTheirRoutersByTheStunOfTheRelay() throws IOException {
            try (var relay = networks.getFirst().relay("0"); var ann = player(relay, 1, "Ann");
                    var bob = player(relay, 2, "Bob")) {
                Direct.areConnected("webrtc", ann, bob);
                bob.until("times.heard > 0");
                Direct.expectInTime(bob, "from home");
                Direct.playOn(ann, bob);
                Direct.playOn(bob, ann);
                assertTrue(((List<?>) ann.ask(CANDIDATES)).contains("srflx 203.0.113.2"));
                assertTrue(((List<?>) bob.ask(CANDIDATES)).contains("srflx 203.0.113.3"));
            }
        }

        @Test
        void withoutStunTheyPlayOverTheRelay() throws IOException {
            try (var relay = networks.getFirst().relay("--no-stun", "0"); var ann = player(relay, 1, "Ann");
                    var bob = player(relay, 2, "Bob")) {
                expectRelayOnly(ann, bob);
                assertFalse(String.valueOf(ann.ask(CANDIDATES)).contains("srflx"));
            }
        }

        @Test
        void behindRoutersWithAnotherPortForEachPeerTheyPlayOverTheRelay() throws IOException {
            var routers = networks.subList(3, 5);
            for (Network router
                    : routers) router.run(
                    "nft 'flush chain inet router out; add rule inet router out oifname internet masquerade "
                    + "fully-random'");
            try (var relay = networks.getFirst().relay("0"); var ann = player(relay, 1, "Ann");
                    var bob = player(relay, 2, "Bob")) {
                expectRelayOnly(ann, bob);
            } finally {
                for (Network router
                        : routers) router.run(
                        "nft 'flush chain inet router out; add rule inet router out oifname internet masquerade'");
            }
        }
    }

    /**
     * Players far from each other: 100 ms and back, give or take 20, and of a hundred packets two are lost each way.
     */
    @Nested
    @RelayTest.MeasuresPages
    class DirectFromAfar {
        @Test
        void aShipIsWhereItsPilotSeesItDirectlyNoLessThanOverTheRelay() throws Exception {
            var networks = Network.far(2, 50, 10, 0.02);
            try (var here = networks.getFirst(); var relay = here.relay("0");
                    var ann = player(here, relay, "Ann", Direct.NOTES);
                    var bob = player(networks.get(1), relay, "Bob", Direct.NOTES);
                    var cyd = player(networks.get(1), relay, "Cyd", "delete globalThis.RTCPeerConnection")) {
                meet(ann, bob, cyd);
                ann.until("game.inspect().peers.map(({ path }) => path).sort().join() === 'relay,webrtc'");
                for (Player player : List.of(bob, cyd)) player.until(
                        "(({ rtt }) => rtt > 80 && rtt < 130)(game.inspect().peers.find(({ id }) => id === 1))");
                ann.place(-600, -300, 0);
                bob.place(600, 300, 0);
                cyd.place(600, -300, 0);
                Positions.allSeeAtRest("Ann", "ship.x < -550", ann, bob, cyd);
                for (Player player : List.of(ann, bob, cyd)) player.ask(Player.OFTEN);
                var annSees = ann.record(4_000);
                var bobSees = bob.record(4_000);
                var cydSees = cyd.record(4_000);
                Positions.manoeuvre(annSees, ann);
                for (var witness : Map.of("directly", bobSees, "over the relay", cydSees).entrySet()) {
                    double off = Positions.worst("Ann", annSees.join(), witness.getValue().join());
                    double jump = Positions.jump(witness.getValue().join().get("Ann"));
                    System.out.printf("  100 ms away, 2 %% lost, %s: off by %.2f px, jumps of %.2f px%n",
                            witness.getKey(), off, jump);
                    assertTrue(off < 30, "off by " + off);
                }
            }
        }

        private static Player player(Network network, RelayTest.Program relay, String name,
                String script) throws IOException {
            return Player.of(network.chromium(), "http://10.78.0.1:" + relay.url().getPort() + GAME, name,
                    page -> page.first(script).screen(320, 240, 1, false));
        }
    }

    /** The networks that the tests make for themselves are what they are said to be. */
    @Nested
    @RelayTest.Waits
    @SuppressWarnings("try")   // that it is there is enough
    class Networks {
        /** Whether a channel opens between two ends in one page. */
        static final String CHANNEL = """
                new Promise(async done => {
                  const [one, two] = [1, 2].map(() => new RTCPeerConnection());
                  one.onicecandidate = ({ candidate }) => two.addIceCandidate(candidate);
                  two.onicecandidate = ({ candidate }) => one.addIceCandidate(candidate);
                  two.ondatachannel = () => done(true);
                  one.onicegatheringstatechange =
                    () => one.iceGatheringState === 'complete' && setTimeout(done, 1_000, false);
                  one.createDataChannel('');
                  await one.setLocalDescription();
                  await two.setRemoteDescription(one.localDescription);
                  await two.setLocalDescription();
                  await one.setRemoteDescription(two.localDescription);
                })""";

        @Test
        @ExtendWith(InChromium.class)
        void noneOpensInTheChromiumOfTheOtherTests() throws IOException {
            try (var relay = withPages(0); var page = InChromium.open(relay, "/health")) {
                assertEquals(false, page.until("document.body !== null").evaluate(CHANNEL));
                assertEquals(List.of(), page.evaluate(DirectFromHome.CANDIDATES));
            }
        }

        @Test
        void farIsFar() throws IOException {
            RelayTest.require("ping", "iputils-ping");
            try (var here = Network.far(2, 50, 10, 0.02).getFirst()) {
                String found = here.run("ping -q -c 200 -i 0.01 10.78.0.2 || true");
                var times = Pattern.compile("(\\d+) received.*= ([\\d.]+)/([\\d.]+)/([\\d.]+)", Pattern.DOTALL)
                        .matcher(found);
                assertTrue(times.find(), found);
                int received = Integer.parseInt(times.group(1));
                double least = Double.parseDouble(times.group(2)), mean = Double.parseDouble(times.group(3));
                assertTrue(received > 170 && received < 200 && least > 80 && least < 90 && mean > 95, found);
            }
        }

        @Test
        void whoIsAtHomeReachesTheInternetAndIsReachedByNobody() throws IOException {
            RelayTest.require("ping", "iputils-ping");
            var networks = Network.homes(2);
            try (var internet = networks.getFirst()) {
                for (int home : new int[] {1, 2}) networks.get(home).run("ping -q -c 1 203.0.113.1");
                String found = internet.run("ping -q -c 20 -i 0.01 -W 0.2 203.0.113.2 || true",
                        "ping -q -c 1 -W 0.2 192.168.1.2 2>&1 || true");
                assertTrue(found.matches("(?s).*100% packet loss.*unreachable.*"), found);
            }
        }
    }
}
