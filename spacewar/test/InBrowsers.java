// SPDX-License-Identifier: MIT
import org.junit.jupiter.api.extension.*;

/** Lends the tests one browser of each kind, which starts when it is first asked for and ends with its plan. */
final class InBrowsers implements BeforeAllCallback {
    private static ExtensionContext root;

    @Override
    public void beforeAll(ExtensionContext context) {
        root = context.getRoot();
    }

    static Chromium chromium() {
        RelayTest.require("chromium", "chromium");
        return InChromium.of(root);
    }

    static Firefox firefox() {
        Firefox.require();
        return root.getStore(ExtensionContext.Namespace.GLOBAL).getOrComputeIfAbsent(Firefox.class);
    }

    static WebKit webKit() {
        RelayTest.require("WebKitWebDriver", "webkit2gtk-driver");
        RelayTest.require("Xvfb", "xvfb");
        return root.getStore(ExtensionContext.Namespace.GLOBAL).getOrComputeIfAbsent(WebKit.class);
    }
}
