// SPDX-License-Identifier: MIT
import org.junit.jupiter.api.extension.*;

/** Lends all groups of tests that need it one Chromium, which starts with the first of them and ends with all tests. */
final class InChromium implements BeforeAllCallback, BeforeEachCallback {
    static Chromium chromium;

    @Override
    public void beforeAll(ExtensionContext context) {
        RelayTest.require("chromium", "chromium");
        chromium = of(context);
    }

    static Chromium of(ExtensionContext context) {
        return context.getStore(ExtensionContext.StoreScope.LAUNCHER_SESSION, ExtensionContext.Namespace.GLOBAL)
                .getOrComputeIfAbsent(Chromium.class);
    }

    /** For a single test of a group. */
    @Override
    public void beforeEach(ExtensionContext context) {
        beforeAll(context);
    }

    static Chromium.Page open(Relay relay, String path) {
        return chromium.open("http://localhost:" + relay.port() + path);
    }
}
