// SPDX-License-Identifier: MIT
/*
 * Members of many rooms behind the proxy at 10.0.0.9, in one process. They come back as ws-relay.js does; as pages of a
 * browser, 200 of them would wait for each other.
 */

import java.io.*;
import java.nio.file.*;
import java.util.*;

final class Members extends Fixtures {
    private Members() {}

    /** So many members of each of so many rooms. */
    static Program start(Network network, int rooms, int each) throws IOException {
        requireWebsockets();
        String script = Files.readString(Path.of("spacewar/ws-relay.js"));
        var command = new ArrayList<>(network.enter());
        command.addAll(List.of("/usr/bin/python3", "-c", MEMBERS, rooms + "", each + ""));
        for (String constant : List.of("FIRST_RETRY_MS", "LONGEST_RETRY_MS", "STEADY_MS"))
            command.add(only("(?m)^const " + constant + " = ([0-9_]+);", "", script));
        return new Program(Program.ROOT, Map.of(), command);
    }

    private static final String MEMBERS = """
        import asyncio, random, sys, time, websockets

        ROOMS, EACH, QUICK, SLOWEST, STEADY = map(int, sys.argv[1:])

        async def member(room, gate):
            attempts = 0
            while True:
                began, entered = time.monotonic(), False
                try:
                    async with gate:
                        address = f'ws://10.0.0.9/ws-relay/spacewar?game={room}'
                        socket = await websockets.connect(address, ping_interval=None)
                    async for message in socket:
                        entered = True
                except (OSError, asyncio.TimeoutError, websockets.WebSocketException):
                    pass
                lasted = (time.monotonic() - began) * 1000
                if entered and lasted > STEADY:
                    attempts = 0
                wait = min(SLOWEST, QUICK * 2 ** attempts) * (0.5 + random.random() / 2)
                attempts += 1
                await asyncio.sleep(max(0, wait if entered else wait - lasted) / 1000)

        async def main():
            gate = asyncio.Semaphore(20)   # all at once would keep each of them waiting
            await asyncio.gather(*(member(room, gate) for room in range(ROOMS) for _ in range(EACH)))

        asyncio.run(main())
        """;
}
