// SPDX-License-Identifier: MIT
/*
 * A proxy before a relay, run with a configuration that stands in the README or follows what it says; only host name,
 * ports and files are other ones. It is Debian's, listens on a free port of 127.0.0.1 and speaks TLS for `localhost`.
 */

import static org.junit.jupiter.api.Assertions.*;

import java.io.*;
import java.net.*;
import java.nio.file.*;
import java.security.cert.X509Certificate;
import java.util.*;
import java.util.stream.*;
import javax.net.ssl.*;

final class Proxy extends Fixtures implements AutoCloseable {
    final Program program;
    final int port;

    private interface Start {
        Program on(int port) throws Exception;
    }

    private Proxy(Start start) throws Exception {
        Program program;
        int port;
        do {   // until nobody else has taken the port meanwhile
            port = freePort();
            program = start.on(port);
        } while (!listens(program, port) && String.join("\n", program.err).contains("in use"));
        this.program = program;
        this.port = port;
    }

    /** Waits until it speaks TLS or has ended. */
    private static boolean listens(Program program, int port) {
        eventually(() -> {
            try (var raw = connect(port, "127.0.0.1")) {
                ((SSLSocket) raw.socket).startHandshake();
                return true;
            } catch (IOException notYet) {
                return !program.process.isAlive();
            }
        }, "that it listens");
        return program.process.isAlive();
    }

    /** A connection through TLS, to whoever it is. @param source where it comes from, in 127.0.0.0/8 */
    private static Raw connect(int port, String source) throws IOException {
        var plain = new Socket(InetAddress.getLoopbackAddress(), port, InetAddress.getByName(source), 0);
        try {
            var context = SSLContext.getInstance("TLS");
            context.init(null, new TrustManager[] {new X509ExtendedTrustManager() {
                @Override public void checkClientTrusted(X509Certificate[] chain, String type, Socket socket) {}
                @Override public void checkServerTrusted(X509Certificate[] chain, String type, Socket socket) {}
                @Override public void checkClientTrusted(X509Certificate[] chain, String type, SSLEngine engine) {}
                @Override public void checkServerTrusted(X509Certificate[] chain, String type, SSLEngine engine) {}
                @Override public void checkClientTrusted(X509Certificate[] chain, String type) {}
                @Override public void checkServerTrusted(X509Certificate[] chain, String type) {}
                @Override public X509Certificate[] getAcceptedIssuers() { return new X509Certificate[0]; }
            }}, null);
            var secure = (SSLSocket) context.getSocketFactory().createSocket(plain, "localhost", port, true);
            var parameters = secure.getSSLParameters();
            parameters.setServerNames(List.of(new SNIHostName("localhost")));   // not told by itself, lacking a dot
            secure.setSSLParameters(parameters);
            return new Raw(secure);
        } catch (java.security.GeneralSecurityException e) {
            throw new IOException(e);
        }
    }

    /** A configuration with what is to be replaced, each of which must be in it. */
    static String with(String configuration, String... replacements) {
        String text = configuration;
        for (int i = 0; i < replacements.length; i += 2) {
            assertTrue(text.contains(replacements[i]), text + " lacks " + replacements[i]);
            text = text.replace(replacements[i], replacements[i + 1]);
        }
        return text;
    }

    /** The README's Caddyfile for one relay. */
    static String simpleCaddyfile() throws IOException {
        return blockOfReadme("caddyfile", "reverse_proxy 127.0.0.1:8080");
    }

    /** What keeps Caddy from fixed ports, and from the system's certificates. */
    static String caddyOptions(Path folder, String address) {
        return "{\nadmin unix/" + folder + "/admin\nauto_https disable_redirects\nskip_install_trust\ndefault_bind "
                + address + "\nservers {\nprotocols h1 h2\n}\n}\n";
    }

    /** One of them, before a relay on that port. */
    static Proxy start(String kind, Path folder, int relay, String... replacements) throws Exception {
        return switch (kind) {
            case "Caddy" -> caddy("caddy", folder, with(simpleCaddyfile(), replacements), relay);
            case "nginx" -> nginx(folder, relay, replacements);
            case "HAProxy" -> haproxy(folder, relay, replacements);
            default -> haproxy(folder, relay, "ssl crt", "ssl alpn h2,http/1.1 crt");   // also for WebSockets
        };
    }

    /** It makes its certificate itself, and is told to reload through a socket in the folder. */
    static Proxy caddy(String program, Path folder, String caddyfile, int relay) throws Exception {
        require("caddy", "caddy");
        return new Proxy(port -> {
            Files.writeString(folder.resolve("Caddyfile"), caddyOptions(folder, "127.0.0.1") + with(caddyfile,
                    "game.example.com {", "https://localhost:" + port + " {\n\ttls internal", "127.0.0.1:8080",
                    "127.0.0.1:" + relay));
            return caddy(List.of(program), folder);
        });
    }

    /** @param caddy its path, perhaps after words of a command that runs it */
    static Program caddy(List<String> caddy, Path folder) throws IOException {
        return new Program(folder, Map.of("XDG_DATA_HOME", folder.toString(), "XDG_CONFIG_HOME", folder.toString()),
                Stream.concat(caddy.stream(), Stream.of("run", "--config", folder + "/Caddyfile")).toList());
    }

    /** As `systemctl reload caddy` does it. */
    static void reloadCaddy(String caddy, Path folder) throws Exception {
        Program.run(caddy, "reload", "--force", "--config", folder + "/Caddyfile", "--address",
                "unix/" + folder + "/admin");
    }

    static Proxy nginx(Path folder, int relay, String... replacements) throws Exception {
        require("nginx", "nginx");
        selfSigned(folder);
        return new Proxy(port -> {
            String site = with(with(blockOfReadme("nginx", "proxy_pass"), "listen 443 ssl",
                    "listen 127.0.0.1:" + port + " ssl", "game.example.com", "localhost", "/etc/ssl/game.crt",
                    folder + "/game.crt", "/etc/ssl/private/game.key", folder + "/game.key", "127.0.0.1:8080",
                    "127.0.0.1:" + relay), replacements);
            var paths = Stream.of("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
                    .map(kind -> kind + "_temp_path " + kind + ";\n").collect(Collectors.joining());
            Files.writeString(folder.resolve("nginx.conf"), "daemon off; master_process off; pid nginx.pid;\n"
                    + "error_log stderr;\nevents {}\nhttp {\naccess_log off;\n" + paths + site + "}\n");
            return new Program(folder, Map.of("PATH", PATH),
                    List.of(found("nginx"), "-p", folder.toString(), "-c", "nginx.conf", "-e", "stderr"));
        });
    }

    private static final String HAPROXY_DEFAULTS = """
            defaults
                mode http
                timeout http-request 10s
                timeout connect 5s
                timeout client 60s
                timeout server 60s
            """;

    /** What the README says that any other proxy must do: this one's way to say it. */
    private static final String HAPROXY = HAPROXY_DEFAULTS + """

            frontend game
                bind :443 ssl crt /etc/haproxy/game.pem
                option forwardfor
                default_backend relay

            backend relay
                server relay 127.0.0.1:8080
            """;

    /**
     * HAProxy needs no reload: it knows who stands in for whom, and closes the connections of the stand-ins when
     * the relay is back. A room, that is path and query, has a home, and two stand-ins in order.
     */
    static final String HOMES = HAPROXY_DEFAULTS + """
                default-server check inter 1s on-marked-down shutdown-sessions on-marked-up shutdown-backup-sessions

            frontend game
                bind :443 ssl crt /etc/haproxy/game.pem
                option forwardfor
                http-request set-var(txn.home) pathq,crc32(1),mod(3)
                use_backend home%[var(txn.home)]

            backend home0
                server one   10.0.0.1:8080
                server two   10.0.0.2:8080 backup
                server three 10.0.0.3:8080 backup

            backend home1
                server two   10.0.0.2:8080
                server three 10.0.0.3:8080 backup
                server one   10.0.0.1:8080 backup

            backend home2
                server three 10.0.0.3:8080
                server one   10.0.0.1:8080 backup
                server two   10.0.0.2:8080 backup
            """;

    static Proxy haproxy(Path folder, int relay, String... replacements) throws Exception {
        require("haproxy", "haproxy");
        selfSigned(folder);
        return new Proxy(port -> {
            Files.writeString(folder.resolve("haproxy.cfg"), with(with(HAPROXY, "bind :443", "bind 127.0.0.1:"
                    + port, "/etc/haproxy/game.pem", folder + "/game.pem", "127.0.0.1:8080", "127.0.0.1:" + relay),
                    replacements));
            return haproxy(List.of(), folder);
        });
    }

    static Program haproxy(List<String> before, Path folder) throws IOException {
        return new Program(folder, Map.of(), Stream.concat(before.stream(),
                Stream.of(found("haproxy"), "-db", "-f", folder + "/haproxy.cfg")).toList());
    }

    private static String found(String program) {
        return Stream.of(PATH.split(File.pathSeparator)).map(folder -> Path.of(folder, program))
                .filter(Files::exists).findFirst().orElseThrow().toString();
    }

    /** A certificate for `localhost`, its key, and both in one file. */
    static void selfSigned(Path folder) throws Exception {
        require("openssl", "openssl");
        Path key = folder.resolve("game.key"), certificate = folder.resolve("game.crt");
        Program.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                "-nodes", "-subj", "/CN=localhost", "-keyout", key.toString(), "-out", certificate.toString());
        Files.writeString(folder.resolve("game.pem"), Files.readString(certificate) + Files.readString(key));
    }

    /** Its host, as a page knows it. */
    String host() {
        return "localhost:" + port;
    }

    /** A client in a room, or who was refused. @param headers more of them, each with its CRLF */
    Answer upgrade(Raw raw, String room, String... headers) throws IOException {
        return Answer.read(raw.send(Raw.upgrade(room, headers).replace("Host: localhost", "Host: " + host())),
                "GET");
    }

    Raw from(String source) throws IOException {
        return connect(port, source);
    }

    Raw open(String room) throws IOException {
        var raw = from("127.0.0.1");
        assertEquals(101, upgrade(raw, room).status());
        return raw;
    }

    Answer get(String target) throws IOException {
        try (var raw = from("127.0.0.1")) {
            return Answer.read(raw.send(Answer.request("GET", target)
                    .replace("Host: localhost", "Host: " + host())), "GET");
        }
    }

    /** A page, in a browser that does not mind who has signed. */
    Chromium.Page page(String path) {
        var page = InChromium.chromium.blank();
        page.call("Security.setIgnoreCertificateErrors", Map.of("ignore", true));
        return page.go("https://" + host() + path);
    }

    @Override
    public void close() {
        program.close();
    }
}
