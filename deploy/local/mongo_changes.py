"""What is changed of mongo-java-server while it is loaded, with Javassist, in Java."""

from typing import Any

import jpype

# Commands that write nothing; after every other one the store is committed before the answer.
READS = ("hello", "ismaster", "isMaster", "ping", "find", "getMore", "count", "distinct")
ID_AND_MORE = """{
    if (keys().size() == 1 && keys().contains("_id") && $1.size() > 1 && $1.containsKey("_id"))
        return canHandle(new de.bwaldvogel.mongo.bson.Document("_id", $1.get("_id")));
}"""
DURABLE = "de.bwaldvogel.mongo.backend.h2.DurableBackend"
FIELDS = (
    "public java.util.Set reads;",
    # writes beside each other, no commit beside one
    "private final java.util.concurrent.locks.ReadWriteLock store ="
    " new java.util.concurrent.locks.ReentrantReadWriteLock();",
    "private final java.util.concurrent.locks.Lock committing ="
    " new java.util.concurrent.locks.ReentrantLock();",
    "private volatile long begun = 0L;",  # commits, counted as they begin
    "private long tidied = System.nanoTime();",
)
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
# Once a second what is still wanted is moved out of chunks that mostly are not, and their room is
# free: by itself the store does that only with commits of its own, at any moment.
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
                if (System.nanoTime() - this.tidied > 1000000000L) {
                    this.getMvStore().compact(70, 2 << 20);
                    this.tidied = System.nanoTime();
                }
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


def changed_backend(store: Any) -> Any:  # noqa: ANN401 - Java objects
    """The server's backend on an open H2 store. To be called once, before all else of it."""
    pool = jpype.JClass("javassist.ClassPool")(True)
    look_up_by_id(pool)
    backend = jpype.JClass(durable_backend(pool))(store)
    backend.reads = jpype.JClass("java.util.Set").of(READS)
    return backend


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
    between. No commit falls into the middle of a write, which touches the documents and their
    index one after the other. In Java: each command of everybody comes through it.
    """
    base = jpype.JClass("de.bwaldvogel.mongo.backend.h2.H2Backend").class_
    made = pool.makeClass(DURABLE, pool.get(base.getName()))
    for field in FIELDS:
        made.addField(jpype.JClass("javassist.CtField").make(field, made))
    for method in (MAKE_DURABLE, WRITE, HANDLE):
        made.addMethod(jpype.JClass("javassist.CtNewMethod").make(method, made))
    return made.toClass(base)
