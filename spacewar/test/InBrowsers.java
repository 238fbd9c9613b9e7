// SPDX-License-Identifier: MIT
import org.junit.jupiter.api.extension.*;

/** Lends the tests one browser of each kind, which starts when it is first asked for and ends with the last test. */
final class InBrowsers implements BeforeAllCallback {
    private static ExtensionContext.Store browsers;

    @Override
    public void beforeAll(ExtensionContext context) {
        browsers = context.getRoot().getStore(ExtensionContext.Namespace.GLOBAL);
    }

    static Chromium chromium() {
        RelayTest.require("chromium", "chromium");
        return browsers.getOrComputeIfAbsent(Chromium.class);
    }

    static Firefox firefox() {
        Firefox.require();
        return browsers.getOrComputeIfAbsent(Firefox.class);
    }

    static WebKit webKit() {
        RelayTest.require("WebKitWebDriver", "webkit2gtk-driver");
        RelayTest.require("Xvfb", "xvfb");
        return browsers.getOrComputeIfAbsent(WebKit.class);
    }
}
