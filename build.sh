#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Builds, runs and tests Relay. `./build.sh help` lists the commands.
set -euo pipefail
cd "$(dirname "$0")"

help() {
    cat <<'TEXT'
./build.sh run [ARGS]   start the relay, as `java Relay.java ARGS` does, with whatever JDK 21+ there is
./build.sh test [NAME]  run the tests, or the group NAME, or the test NAME.METHOD (Maven fetches JUnit once)
./build.sh bench        measure what the relay delivers on this machine and what that costs, in a minute
./build.sh bench NAME   FrameCost: what a frame of the game costs; BytesInAFight: what four players send and get;
                        Attacks: what one hostile computer does to others and to the relay, in full size, 15 minutes
                        Soak: hostile clients for 20 minutes (MINUTES=N: for N), and what the relay holds meanwhile
./build.sh echo PORT    start a bare WebSocket echo endpoint, for the Autobahn test suite
./build.sh jar          make build/relay.jar, which starts faster and needs only a JRE
./build.sh jdk          print the folder of the JDK that all of these use
./build.sh clean        remove what the others made
TEXT
}

# The first JDK of version 21 or newer: $JAVA_HOME, the PATH's, or one in the usual folders.
find_jdk() {
    local home javac
    javac=$(command -v javac || true)
    for home in "${JAVA_HOME:-}" "${javac:+$(dirname "$(dirname "$(readlink -f "$javac")")")}" \
            /usr/lib/jvm/* /opt/java/* /opt/jdk* "${HOME:-}"/.sdkman/candidates/java/* \
            /Library/Java/JavaVirtualMachines/*/Contents/Home; do
        if [ -n "$home" ] && [ -x "$home/bin/javac" ] && [ "$(major "$home")" -ge 21 ]; then
            export JAVA_HOME=$home
            return
        fi
    done
    echo "build.sh: Relay needs Java 21 or newer, and no JDK of that kind is here." \
        "On Debian 13: sudo apt install openjdk-21-jdk-headless; elsewhere: https://adoptium.net" >&2
    exit 1
}

# The number before the first dot of a JDK's version.
major() {
    "$1/bin/javac" -version 2>&1 | sed -nE 's/^javac ([0-9]+).*/\1/p' | grep . || echo 0
}

compile() {
    find_jdk
    mkdir -p build/classes
    javac -d build/classes Relay.java
}

# Compiling less well and collecting garbage on one thread saves two thirds of the processors' time.
javac() {
    "$JAVA_HOME/bin/javac" -J-XX:TieredStopAtLevel=1 -J-XX:+UseSerialGC --release 21 -Xlint:all -Werror "$@"
}

# The tests of the relay and of the game, the benchmark, and what runs them; with the relay, as javac starts slowly.
compile_tests() {
    fetch_junit
    find_jdk
    rm -rf build/classes build/test-classes
    mkdir -p build/classes build/test-classes
    javac -parameters -cp 'build/junit/*' -d build/test-classes \
        Relay.java RelayTest.java spacewar/test/*.java .bench/*.java .ci/*.java
    mv build/test-classes/Relay.class build/test-classes/Relay\$*.class build/classes
}

# JUnit and its launcher, into build/junit.
fetch_junit() {
    [ -e build/junit/fetched ] && return
    if ! command -v mvn > /dev/null; then
        echo "build.sh: the tests need Maven (mvn), which fetches JUnit." \
            "On Debian: sudo apt install maven; elsewhere: https://maven.apache.org/install.html" >&2
        exit 1
    fi
    mkdir -p build/junit
    cat > build/junit/pom.xml <<'XML'
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>relay</groupId><artifactId>tests</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.junit.jupiter</groupId><artifactId>junit-jupiter</artifactId>
      <version>5.14.1</version></dependency>
    <dependency><groupId>org.junit.platform</groupId><artifactId>junit-platform-launcher</artifactId>
      <version>1.14.1</version></dependency>
  </dependencies>
</project>
XML
    mvn --quiet --batch-mode -f build/junit/pom.xml \
        org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies -DoutputDirectory="$PWD/build/junit"
    touch build/junit/fetched
}

# Fetches what the tests use of npm's: the accessibility checker axe-core into build/axe, which they load into the
# game's page, and the WebSocket client ws into build/ws.
fetch_packages() {
    command -v npm > /dev/null || return 0
    fetch build/axe axe-core@4.14.1
    fetch build/ws ws@8.18.3
}

fetch() {   # FOLDER PACKAGE
    [ ! -e "$1/package.json" ] || return 0
    mkdir -p "$1"
    tar -xzf "$1/$(npm pack --silent --pack-destination "$1" "$2")" -C "$1" --strip-components 1
}

run() {
    find_jdk
    exec "$JAVA_HOME/bin/java" Relay.java "$@"
}

java_of_tests() {   # [JAVA-OPTION]... CLASS [ARG]...; the export is for HostileLoad.Holding.command
    "$JAVA_HOME/bin/java" -Xmx1g --add-exports jdk.attach/sun.tools.attach=ALL-UNNAMED \
        -cp 'build/classes:build/test-classes:build/junit/*' "$@"
}

# As with javac, less costs less.
test() {
    compile_tests
    fetch_packages
    java_of_tests -XX:TieredStopAtLevel=1 -XX:+UseSerialGC RunTests test "$@"
}

bench() {
    compile_tests
    java_of_tests RunTests bench "${1:-Load}"
}

echo_() {
    [ $# -gt 0 ] || { echo "build.sh: give a port, as in ./build.sh echo 9001" >&2; exit 2; }
    compile_tests
    exec "$JAVA_HOME/bin/java" -cp build/classes:build/test-classes RelayTest "$1"
}

jar() {
    compile
    "$JAVA_HOME/bin/jar" --create --file build/relay.jar --main-class Relay -C build/classes .
    echo "build/relay.jar"
}

jdk() {
    find_jdk
    echo "$JAVA_HOME"
}

clean() {
    rm -rf build
}

command=${1:-help}
[ $# -gt 0 ] && shift
case $command in
    run | test | bench | jar | jdk | clean | help) "$command" "$@" ;;
    echo) echo_ "$@" ;;
    *) echo "build.sh: there is no command '$command'" >&2; help >&2; exit 2 ;;
esac
