// SPDX-License-Identifier: MIT
/*
 * What one client hears in a room, where others say numbered words, come and leave, and whether it can be true: each
 * hears of everyone's join, then each of its words once and in order, then its quit.
 */

import static org.junit.jupiter.api.Assertions.*;

import java.io.*;
import java.util.*;
import java.util.concurrent.*;
import java.util.function.Supplier;
import java.util.stream.Collectors;

final class History extends Fixtures {
    private static final int ANY = -1;   // the last number heard of a client that was there before
    private final List<String> heard = Collections.synchronizedList(new ArrayList<>());
    private Integer words;   // how many it has said itself, if it has left in good order

    /** Lets a client enter the room ROOM, speak and leave. */
    static History live(Relay relay, Random random, ExecutorService threads) throws Exception {
        var history = new History();
        try (var raw = Raw.open(relay, ROOM)) {
            var done = threads.submit(() -> history.listen(raw));
            int words = random.nextInt(60);
            for (int number = 1; number <= words; number++) {
                raw.send(text("* n " + number)).send(text(1 + random.nextInt(200) + " whisper"));
                if (random.nextInt(8) == 0) Thread.sleep(random.nextInt(4));
            }
            if (random.nextBoolean()) {
                history.words = words;
                raw.send(close(1000, ""));
            } else {
                if (random.nextBoolean()) raw.socket.setSoLinger(true, 0);
                raw.socket.close();
            }
            done.get();
            return history;
        }
    }

    /** Hears all that a client is told, to its end. */
    Void listen(Raw raw) {
        try {
            for (Received next = raw.receive(); next.opcode() == 1; next = raw.receive()) heard.add(next.text());
        } catch (IOException left) {
            // it has hung up itself
        }
        return null;
    }

    /** How many messages end so. */
    long count(String end) {
        synchronized (heard) {
            return heard.stream().filter(text -> text.endsWith(end)).count();
        }
    }

    /** How many words each has said of those who have left in good order, by id. */
    static Map<Integer, Integer> said(Collection<History> all) {
        return all.stream().filter(each -> each.words != null)
                .collect(Collectors.toMap(each -> number(each.heard.getFirst()), each -> each.words));
    }

    private static Set<Integer> with(int one, Set<Integer> others) {
        var all = new HashSet<>(others);
        all.add(one);
        return all;
    }

    private static int number(String text) {
        return Integer.parseInt(text.substring(0, text.indexOf(' ')));
    }

    /**
     * Fails if it cannot be true.
     *
     * @param said how many words each client has said, as far as that is known
     * @param company by newcomer, whom it must be told of: learnt from the first client, what others are held to
     * @return who is there at the end
     */
    Set<Integer> check(Map<Integer, Integer> said, Map<Integer, Set<Integer>> company) {
        if (heard.isEmpty()) return Set.of();   // it left before it heard a thing
        int self = number(heard.getFirst()), newest = 0;   // newest: who has joined last
        assertEquals(self + " self", heard.getFirst());
        var last = new TreeMap<Integer, Integer>();   // of those present, the last number heard
        for (int i = 1; i < heard.size(); i++) {
            String[] words = heard.get(i).split(" ");
            int from = number(heard.get(i)), at = i;
            Supplier<String> where = () -> "client " + self + " hears '" + heard.get(at) + "' after "
                    + heard.subList(Math.max(0, at - 5), at);
            switch (words[1]) {
                case "join" -> {
                    boolean wasBefore = from < self;   // those are told of first, together
                    assertTrue(from > newest && from != self, where);
                    if (wasBefore) assertEquals(i, last.size() + 1, where);
                    if (self == 1) company.put(from, with(self, last.keySet()));
                    newest = from;
                    last.put(from, wasBefore ? ANY : 0);
                    boolean areAll = wasBefore && last.size() == company.get(self).size();
                    if (areAll) assertEquals(company.get(self), last.keySet(), where);
                }
                case "quit" -> {
                    Integer number = last.remove(from);
                    assertNotNull(number, where);
                    if (number != ANY && said.containsKey(from)) assertEquals(said.get(from), number, where);
                }
                case "n" -> {
                    int number = Integer.parseInt(words[2]);
                    Integer before = last.put(from, number);
                    assertNotNull(before, where);
                    if (before != ANY) assertEquals(before + 1, number, where);
                }
                case "whisper" -> assertTrue(from == self || last.containsKey(from), where);
                default -> fail(where.get());
            }
        }
        boolean isToldOfAll = self == 1 || !said.containsKey(self) || heard.size() > company.get(self).size();
        assertTrue(isToldOfAll, "client " + self + " is told of all");
        return last.keySet();
    }
}
