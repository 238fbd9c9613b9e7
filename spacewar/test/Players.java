// SPDX-License-Identifier: MIT
import java.io.*;
import java.util.Locale;
import org.junit.jupiter.api.extension.*;

/**
 * Gives a test a relay with the game's pages, and players who have joined it one after the other: a parameter
 * `Player ann` is one whose name is Ann. All of them end with the test.
 */
final class Players implements ParameterResolver {
    private static final ExtensionContext.Namespace OURS = ExtensionContext.Namespace.create(Players.class);

    @Override
    public boolean supportsParameter(ParameterContext parameter, ExtensionContext test) {
        Class<?> type = parameter.getParameter().getType();
        return type == Relay.class || type == Player.class;
    }

    @Override
    public Object resolveParameter(ParameterContext parameter, ExtensionContext test) {
        var store = test.getStore(OURS);   // which closes what is in it, the last first
        var relay = store.getOrComputeIfAbsent(Relay.class, type -> relay(), Relay.class);
        if (parameter.getParameter().getType() == Relay.class) return relay;
        String name = parameter.getParameter().getName();
        name = name.substring(0, 1).toUpperCase(Locale.ROOT) + name.substring(1);
        return store.getOrComputeIfAbsent(name, each -> Player.of(relay, each), Player.class);
    }

    private static Relay relay() {
        try {
            return SpacewarTest.withPages(0);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
