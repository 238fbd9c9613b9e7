// SPDX-License-Identifier: MIT
import java.util.*;
import java.util.stream.Collectors;

/** JSON, well-formed, as Map, List, String, Double, Boolean and null. */
final class Json {
    private final String text;
    private int at;

    private Json(String text) {
        this.text = text;
    }

    static Object parse(String text) {
        return new Json(text).value();
    }

    private char peek() {
        while (text.charAt(at) <= ' ' || text.charAt(at) == ',' || text.charAt(at) == ':') at++;
        return text.charAt(at);
    }

    private Object value() {
        char first = peek();
        int start = at++;
        if (first == '"') return string();
        if (first == '{') {
            var map = new LinkedHashMap<String, Object>();
            while (peek() != '}') map.put((String) value(), value());
            at++;
            return map;
        }
        if (first == '[') {
            var list = new ArrayList<>();
            while (peek() != ']') list.add(value());
            at++;
            return list;
        }
        while (at < text.length() && ",]} \r\n".indexOf(text.charAt(at)) < 0) at++;
        String word = text.substring(start, at);
        return first == 'n' ? null : first == 't' || first == 'f' ? (Object) (first == 't') : Double.valueOf(word);
    }

    private String string() {
        var string = new StringBuilder();
        for (char c = text.charAt(at++); c != '"'; c = text.charAt(at++)) {
            if (c == '\\') c = text.charAt(at++) == 'u' ? (char) Integer.parseInt(text, at, at += 4, 16)
                    : "\"\\/\b\f\n\r\t".charAt("\"\\/bfnrt".indexOf(text.charAt(at - 1)));
            string.append(c);
        }
        return string.toString();
    }

    static String write(Object value) {
        return switch (value) {
            case Map<?, ?> map -> map.entrySet().stream().map(entry -> write(entry.getKey()) + ":"
                    + write(entry.getValue()))
                    .collect(Collectors.joining(",", "{", "}"));
            case Collection<?> list -> list.stream().map(Json::write).collect(Collectors.joining(",", "[", "]"));
            case String string -> string.chars().mapToObj(c -> c < ' ' || c > '~' || c == '"' || c == '\\'
                    ? String.format("\\u%04x", c) : "" + (char) c)
                    .collect(Collectors.joining("", "\"", "\""));
            case null, default -> String.valueOf(value);
        };
    }
}
