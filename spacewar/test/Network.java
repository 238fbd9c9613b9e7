// SPDX-License-Identifier: MIT
import static org.junit.jupiter.api.Assertions.*;

import java.io.*;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.util.*;
import java.util.concurrent.*;
import java.util.stream.*;

/**
 * A network that the tests have for themselves: a namespace of the kernel, with a loopback and what is made in it, and
 * no way out. A process holds it, which ends with the tests, however they end: its standard input is closed then.
 */
final class Network implements AutoCloseable {
    private static final boolean ROOT = System.getProperty("user.name").equals("root");
    private final Process holder;
    private final Deque<AutoCloseable> within = new ConcurrentLinkedDeque<>();   // what ends before it, last first
    private Chromium chromium;
    private Firefox firefox;

    /** @param before words of a command that runs another where this may be made */
    private Network(List<String> before) throws IOException {
        // Who is not root may have networks after having become root in a namespace of users. Devices get no IPv6
        // addresses of their own: those come seconds later, and then Chromium breaks off what it loads, since the
        // network has changed.
        String user = before.isEmpty() && !ROOT ? "--map-root-user" : "--net";
        var unshare = Stream.of("unshare", user, "--net", "sh", "-c", """
                PATH=%s
                ip link set lo up || exit
                [ ! -e /proc/sys/net/ipv6 ] || echo 1 > /proc/sys/net/ipv6/conf/default/addr_gen_mode
                echo up
                exec cat
                """.formatted(RelayTest.PATH));
        holder = RelayTest.launch(
                new ProcessBuilder(Stream.concat(before.stream(), unshare).toList()).redirectErrorStream(true));
        String said = holder.inputReader().readLine();
        if (!"up".equals(said)) {
            close();
            throw new IOException(said);
        }
    }

    /** The words before a command that is to run in it. */
    List<String> enter() {
        String namespaces = "/proc/" + holder.pid() + "/ns/";
        var user = ROOT ? Stream.<String>of() : Stream.of("--user=" + namespaces + "user", "--preserve-credentials");
        return Stream.of(Stream.of("nsenter"), user, Stream.of("--net=" + namespaces + "net", "--"))
                .flatMap(words -> words).toList();
    }

    /** Lets a shell run these lines in it, each of which must succeed. */
    String run(String... lines) throws IOException {
        var shell = RelayTest.launch(new ProcessBuilder(Stream.concat(enter().stream(),
                Stream.of("sh", "-ec", "PATH=" + RelayTest.PATH + "\n" + String.join("\n", lines))).toList())
                .redirectErrorStream(true));
        shell.getOutputStream().close();
        String said = new String(shell.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertEquals(0, shell.onExit().join().exitValue(), said);
        return said;
    }

    /** Another one, whose devices may be joined with those of this one. */
    Network another() throws IOException {
        var network = new Network(enter());
        within.push(network);
        return network;
    }

    /** A pair of devices, one here and one there, as if there were a cable between them. */
    void cable(String here, Network other, String there) throws IOException {
        run("ip link add " + here + " type veth peer name " + there + " netns " + other.holder.pid());
    }

    /** The Chromium in it, which starts when it is first asked for. */
    synchronized Chromium chromium() throws IOException {
        RelayTest.require("chromium", "chromium");
        if (chromium == null) {
            chromium = new Chromium(enter());
            within.push(chromium);
        }
        return chromium;
    }

    /** The same for a Firefox. */
    synchronized Firefox firefox() throws IOException {
        Firefox.require();
        if (firefox == null) {
            firefox = new Firefox(enter());
            within.push(firefox);
        }
        return firefox;
    }

    RelayTest.Program relay(String... args) throws IOException {
        return RelayTest.Program.relay(enter(), RelayTest.Program.ROOT, args);
    }

    /** All UDP that arrives is lost, whoever sent it. */
    void cutUdp() throws IOException {
        RelayTest.require("nft", "nftables");
        run("nft 'add table inet cut; add chain inet cut in { type filter hook input priority 0; }; add rule inet cut "
                + "in meta l4proto udp drop'");
    }

    void mendUdp() throws IOException {
        RelayTest.require("nft", "nftables");
        run("nft 'add table inet cut; delete table inet cut'");   // also if there is none
    }

    @Override
    public void close() throws IOException {
        try {
            for (AutoCloseable each : within) each.close();
        } catch (Exception e) {
            throw new IOException(e);
        } finally {
            holder.destroyForcibly().onExit().join();
        }
    }

    /**
     * The first of those that a group of tests needs. Without the right to make one they are skipped; with CI=true that
     * is a failure.
     */
    static Network alone() throws IOException {
        RelayTest.require("unshare", "util-linux");
        RelayTest.require("ip", "iproute2");
        try {
            return new Network(List.of());
        } catch (IOException e) {
            RelayTest.require(false,
                    "these tests need networks of their own, which root may make, or who may make namespaces of users: "
                    + e.getMessage());
            throw e;
        }
    }

    /**
     * One machine at 10.77.0.1 in a network where it is alone, and 10.77.0.9 never answers, not even that it isn't
     * there.
     */
    static Network lan() throws IOException {
        var lan = alone();
        // Without a default route Chromium has no candidates.
        lan.run("ip link add veth0 type veth peer name veth1", "ip address add 10.77.0.1/24 dev veth0",
                "ip link set veth0 up", "ip link set veth1 up", "ip route add default dev veth0",
                "ip neighbour add 10.77.0.9 lladdr 02:00:00:00:00:09 dev veth0 nud permanent");
        return lan;
    }

    /**
     * Networks at home, behind routers that let nobody in who was not asked, all on the internet, which is the first,
     * with a machine at 203.0.113.1; after it the homes, and then their routers.
     */
    static List<Network> homes(int count) throws IOException {
        RelayTest.require("nft", "nftables");
        var internet = alone();
        internet.run("ip address add 203.0.113.1/32 dev lo", "echo 1 > /proc/sys/net/ipv4/ip_forward");
        var homes = new ArrayList<Network>();
        var routers = new ArrayList<Network>();
        for (int number = 2; number < 2 + count; number++) {
            Network router = internet.another(), home = internet.another();
            internet.cable("router" + number, router, "internet");
            router.cable("home", home, "router");
            internet.run("ip address add 203.0.113.1 peer 203.0.113.%1$d/32 dev router%1$d".formatted(number),
                    "ip link set router" + number + " up");
            router.run("ip address add 203.0.113.%d peer 203.0.113.1/32 dev internet".formatted(number),
                    "ip link set internet up", "ip address add 192.168.1.1/24 dev home", "ip link set home up",
                    "ip route add default via 203.0.113.1",
                    "echo 1 > /proc/sys/net/ipv4/ip_forward", """
                    nft -f - <<'END'
                    table inet router {
                      chain input {
                        type filter hook input priority filter; policy accept;
                        iifname internet ct state != { established, related } drop
                      }
                      chain forward {
                        type filter hook forward priority filter; policy accept;
                        iifname internet ct state != { established, related } drop
                      }
                      chain out {
                        type nat hook postrouting priority srcnat; policy accept;
                        oifname internet masquerade
                      }
                    }
                    END""");
            home.run("ip address add 192.168.1.2/24 dev router", "ip link set router up",
                    "ip route add default via 192.168.1.1");
            homes.add(home);
            routers.add(router);
        }
        return Stream.of(List.of(internet), homes, routers).flatMap(List::stream).toList();
    }

    /** Passes IPv4 packets on between devices, late, so that one may overtake another, and some of them never. */
    private static final String FAR = """
        import fcntl, heapq, itertools, random, select, socket, struct, subprocess, sys, time

        # ms and ms more or less, one way; of all packets; device=process in a network=address
        delay, jitter, loss = map(float, sys.argv[1:4])
        TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454ca, 1, 0x1000
        ends = {}                 # the file of a device -> its address
        for end in sys.argv[4:]:
            name, process, address = end.split('=')
            file = open('/dev/net/tun', 'r+b', buffering=0)
            fcntl.ioctl(file, TUNSETIFF, struct.pack('16sH22x', name.encode(), IFF_TUN | IFF_NO_PI))
            subprocess.run(['ip', 'link', 'set', name, 'netns', process], check=True)
            ends[file] = socket.inet_aton(address)
        print('up', flush=True)
        number = itertools.count()
        under_way = []            # (when it arrives, its number, where, the packet)
        while True:
            wait = max(0, under_way[0][0] - time.monotonic()) if under_way else None
            ready = select.select([sys.stdin, *ends], [], [], wait)[0]
            if sys.stdin in ready:
                break             # the tests have ended
            for file in ready:
                packet = file.read(65536)
                if packet[0] >> 4 != 4:
                    continue
                to = packet[16:20]
                for other, address in ends.items():
                    if other is not file and (to == address or to[0] >> 4 == 14) and random.random() >= loss:
                        arrives = time.monotonic() + (delay + random.uniform(-jitter, jitter)) / 1000
                        heapq.heappush(under_way, (arrives, next(number), other, packet))
            while under_way and under_way[0][0] <= time.monotonic():
                _, _, file, packet = heapq.heappop(under_way)
                try:
                    file.write(packet)
                except OSError:
                    pass          # that end is not up yet
        """;

    /** Networks far apart, of one machine each, 10.78.0.1 and so on. @param loss of all packets, each way */
    static List<Network> far(int count, int delay, int jitter, double loss) throws IOException {
        RelayTest.require("/usr/bin/python3", "python3");
        RelayTest.require(Files.isWritable(Path.of("/dev/net/tun")), "these tests need to write to /dev/net/tun");
        var first = alone();
        var networks = Stream.concat(Stream.of(first), IntStream.range(1, count)
                .mapToObj(i -> assertDoesNotThrow(first::another))).toList();
        var ends = IntStream.range(0, count).mapToObj(i ->
                "far%d=%d=10.78.0.%d".formatted(i, networks.get(i).holder.pid(), i + 1));
        var program = Stream.of("/usr/bin/python3", "-c", FAR, delay + "", jitter + "", loss + "");
        var between = new RelayTest.Program(RelayTest.Program.ROOT, Map.of("PATH", RelayTest.PATH),
                Stream.of(first.enter().stream(), program, ends).flatMap(words -> words).toList());
        first.within.addLast(between);   // ends after the others
        between.expectLine("up");
        for (int i = 0; i < count; i++) networks.get(i).run("ip address add 10.78.0.%d/24 dev far%d".formatted(i + 1,
                i), "ip link set far%d up".formatted(i), "ip route add default dev far" + i);
        return networks;
    }
}
