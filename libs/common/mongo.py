"""MongoDB: connections, the count of round trips, and writes that travel together.

The only module that imports `motor`, which gets critical fixes until 2027-05 and then none: the
switch to PyMongo's own asynchronous client is a change to this file.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from contextvars import Context
from datetime import UTC, timedelta
from typing import Any

from bson.codec_options import CodecOptions
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorCollection, AsyncIOMotorDatabase
from prometheus_client import Counter
from pymongo import InsertOne, ReplaceOne, ReturnDocument, UpdateOne, monitoring
from pymongo.errors import (
    BulkWriteError,
    ConnectionFailure,
    DuplicateKeyError,
    OperationFailure,
    ProtocolError,
    PyMongoError,
)

from libs.common import tracing
from libs.common.errors import PermanentError, TransientError
from libs.common.settings import MongoSettings

__all__ = [
    "BulkWriter",
    "Collection",
    "Database",
    "Document",
    "DuplicateKeyError",
    "GroupReader",
    "InsertOne",
    "MongoUnavailableError",
    "ReplaceOne",
    "ReturnDocument",
    "StandInDatabaseError",
    "UpdateOne",
    "Write",
    "ensure_expiry",
    "mongo_errors",
    "open_database",
    "ping",
    "write_all",
]

Document = dict[str, Any]
Database = AsyncIOMotorDatabase[Document]
Collection = AsyncIOMotorCollection[Document]
Write = InsertOne[Document] | UpdateOne | ReplaceOne[Document]

TOMBSTONES = "tombstones"
"""Collection of `erasures.py`, which is looked at every second, whatever goes on or does not."""
DUPLICATE_KEY = 11000
FAULTS_OF_THE_DOCUMENT = frozenset(
    {2, 9, 14, 22, 28, 40, 52, 53, 54, 56, 57, 66, 121, 10334, 17419, 17420, DUPLICATE_KEY}
)
"""Bad value, parse error, type mismatch, invalid BSON or field names, immutable field, failed
validation, too large. Source: MongoDB, "Error codes"."""
MAX_BULK = 500
UNKNOWN_COMMAND = 59

ROUND_TRIPS = Counter(
    "assistant_mongo_round_trips_total",
    "Commands sent to the database, by collection: the cost that scales.",
    ["command", "collection"],
)


class MongoUnavailableError(TransientError):
    """The database does not answer, or not in time; whether a write happened is unknown."""

    code = "mongo_unavailable"


class StandInDatabaseError(PermanentError):
    """A production service was pointed at the development stack's database."""

    code = "stand_in_database"


class _RoundTrips(monitoring.CommandListener):
    """Counts what really went over the wire, whoever asked for it: all that grows with the work."""

    QUIET = frozenset({"hello", "ismaster", "ping", "endSessions", "buildInfo"})

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if event.command_name not in self.QUIET:
            target = event.command.get(event.command_name)
            collection = target if isinstance(target, str) else "-"
            if collection == TOMBSTONES:
                return
            ROUND_TRIPS.labels(event.command_name, collection).inc()

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        pass

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        pass


class _Spans(monitoring.CommandListener):
    """A span for each command of a traced piece of work: which, on what, how long; never with what.

    The driver calls this in the context of whoever asked.
    """

    def __init__(self) -> None:
        self._targets: dict[int, str] = {}  # by request; those under way

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        target = event.command.get(event.command_name)
        self._targets[event.request_id] = target if isinstance(target, str) else "-"

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        self._took(event, failed=False)

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        self._took(event, failed=True)

    def _took(
        self,
        event: monitoring.CommandSucceededEvent | monitoring.CommandFailedEvent,
        *,
        failed: bool,
    ) -> None:
        target, command = self._targets.pop(event.request_id, "-"), event.command_name
        tracing.took(
            f"{command} {target}",
            event.duration_micros / 1e6,
            kind="client",
            failed=failed,
            operation=command,
            collection=target,
        )


def _traced(operation: str, collection: Collection) -> AbstractContextManager[None]:
    """What one of those who share a round trip has of it, the wait for its turn included."""
    if not tracing.is_on():
        return tracing.OFF
    return tracing.step(
        f"{operation} {collection.name}",
        kind="client",
        expected=(DuplicateKeyError,),
        operation=operation,
        collection=collection.name,
    )


@contextmanager
def mongo_errors() -> Iterator[None]:
    """Turn what lies with the database into our transient error.

    An error is only left as it is where the same operation could never succeed: what lies with the
    document, or with our code. A server that starts, stops, elects or recovers answers with errors
    as well, and none of them may cost a message.
    """
    try:
        yield
    except BulkWriteError:
        raise  # `BulkWriter` looks at each write's own
    except (ConnectionFailure, ProtocolError) as error:
        raise MongoUnavailableError(type(error).__name__) from error
    except OperationFailure as error:
        if error.code in FAULTS_OF_THE_DOCUMENT:
            raise
        raise MongoUnavailableError(f"{type(error).__name__} {error.code}") from error


@asynccontextmanager
async def open_database(
    settings: MongoSettings, *, app_name: str, production: bool = False
) -> AsyncIterator[Database]:
    """A database whose writes are acknowledged by a majority and whose times are aware UTC.

    Raises:
        MongoUnavailableError: it does not answer.
        StandInDatabaseError: `production`, and it is the stand-in of the development stack.
    """
    timeout_ms = int(settings.timeout_s * 1000)
    client: AsyncIOMotorClient[Document] = AsyncIOMotorClient(
        settings.uri.get_secret_value(),
        appname=app_name,
        tz_aware=True,
        w="majority",
        connectTimeoutMS=timeout_ms,
        socketTimeoutMS=timeout_ms,
        serverSelectionTimeoutMS=timeout_ms,
        waitQueueTimeoutMS=timeout_ms,
        event_listeners=[_RoundTrips(), *([_Spans()] if tracing.is_on() else [])],
    )
    try:
        database: Database = client.get_database(
            settings.database, codec_options=CodecOptions(tz_aware=True, tzinfo=UTC)
        )
        with mongo_errors():
            server = await client.admin.command("buildInfo")
        if production and "gitVersion" not in server:  # every real server tells what it is made of
            raise StandInDatabaseError(
                "MONGODB_URI names the development stack's database: not with ENV=production"
            )
        yield database
    finally:
        client.close()


async def ping(database: Database) -> bool:
    try:
        await asyncio.wait_for(database.client.admin.command("ping"), 2)
    except (PyMongoError, TimeoutError):
        return False
    return True


async def ensure_expiry(collection: Collection, field: str, after: timedelta) -> None:
    """Documents go when the moment in `field` is so long ago. A time that an earlier version has
    declared is changed: MongoDB refuses to make the same index with another one.
    """
    seconds = int(after.total_seconds())
    with mongo_errors():
        known = (await collection.index_information()).get(f"{field}_1", {})
        if known.get("expireAfterSeconds", seconds) == seconds:
            await collection.create_index(field, expireAfterSeconds=seconds)
            return
        index = {"keyPattern": {field: 1}, "expireAfterSeconds": seconds}
        try:
            await collection.database.command({"collMod": collection.name, "index": index})
        except OperationFailure as error:
            if error.code != UNKNOWN_COMMAND:  # the development stack's, where nothing expires
                raise


async def write_all(
    collection: Collection, writes: Sequence[InsertOne[Document] | UpdateOne]
) -> int:
    """Do all writes, in any order, in one round trip: how many of them met what they are for.

    An update whose filter fits nothing does nothing, and neither does an insert of an `_id` that is
    there already: they don't count.

    Raises:
        MongoUnavailableError: no answer, or not from enough servers; any may have happened.
        OperationFailure: a document is refused.
    """
    if not writes:
        return 0
    try:
        with mongo_errors():
            done = await collection.bulk_write(list(writes), ordered=False)
    except BulkWriteError as error:
        if error.details.get("writeConcernErrors"):
            raise MongoUnavailableError("write concern") from None
        for item in error.details.get("writeErrors", []):
            if not isinstance(fault := _write_error(item), DuplicateKeyError):
                raise fault from None
        return int(error.details.get("nMatched", 0)) + int(error.details.get("nInserted", 0))
    return int(done.matched_count) + int(done.inserted_count)


class BulkWriter:
    """Writes to one collection that happen at the same moment share a round trip.

    Nothing waits for company: a write that finds the line free goes at once, and those that come
    while it is away go together when it is back. Each caller hears of its own write only.
    """

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self._waiting: list[tuple[Write, asyncio.Future[None]]] = []
        self._flusher: asyncio.Task[None] | None = None

    async def write(self, operation: Write) -> None:
        """Return when the write is acknowledged.

        Raises:
            DuplicateKeyError: this operation's `_id` (or unique key) exists. With an upsert whose
                filter did not match, that means: the document is not in the expected state.
            MongoUnavailableError: no answer; the write may or may not have happened.
        """
        with _traced("bulkWrite", self._collection):
            await self.enqueue(operation)

    def enqueue(self, operation: Write) -> "asyncio.Future[None]":
        """As `write`, for several at once: await each of the futures."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((operation, done))
        if self._flusher is None:
            # in no caller's context: it writes for all of them
            self._flusher = asyncio.create_task(
                self._flush(), name="mongo-bulk-writer", context=Context()
            )
        return done

    async def _flush(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:MAX_BULK], self._waiting[MAX_BULK:]
                await self._send(batch)
        finally:
            self._flusher = None

    async def _send(self, batch: Sequence[tuple[Write, asyncio.Future[None]]]) -> None:
        failed: dict[int, BaseException] = {}
        try:
            with mongo_errors():
                await self._collection.bulk_write(
                    [operation for operation, _ in batch], ordered=False
                )
        except BulkWriteError as error:
            if error.details.get("writeConcernErrors"):  # acknowledged by too few: any may be lost
                failed = dict.fromkeys(range(len(batch)), MongoUnavailableError("write concern"))
            failed |= {
                item["index"]: _write_error(item) for item in error.details.get("writeErrors", [])
            }
        except BaseException as error:
            failed = dict.fromkeys(range(len(batch)), error)
        for index, (_, done) in enumerate(batch):
            if done.cancelled():
                continue
            if (error_of_one := failed.get(index)) is not None:
                done.set_exception(error_of_one)
            else:
                done.set_result(None)


def _write_error(item: Mapping[str, Any]) -> Exception:
    if item.get("code") == DUPLICATE_KEY:
        return DuplicateKeyError("duplicate key", DUPLICATE_KEY, item)
    if item.get("code") in FAULTS_OF_THE_DOCUMENT:
        return OperationFailure("the document is refused", item.get("code"))
    return MongoUnavailableError(f"write refused with code {item.get('code')}")


class GroupReader:
    """Reads by `_id` that happen at the same moment share a round trip."""

    def __init__(self, collection: Collection, projection: Mapping[str, int] | None = None) -> None:
        self._collection = collection
        self._projection = projection
        self._waiting: dict[str, asyncio.Future[Document | None]] = {}
        self._flusher: asyncio.Task[None] | None = None

    async def read(self, document_id: str) -> Document | None:
        """The document, or None. What is read is at least as new as the moment of the call."""
        done = self._waiting.get(document_id)
        if done is None:
            done = asyncio.get_running_loop().create_future()
            self._waiting[document_id] = done
        if self._flusher is None:
            self._flusher = asyncio.create_task(
                self._flush(), name="mongo-group-reader", context=Context()
            )
        with _traced("find", self._collection):
            return await asyncio.shield(done)

    async def _flush(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, {}
                await self._fetch(batch)
        finally:
            self._flusher = None

    async def _fetch(self, batch: Mapping[str, "asyncio.Future[Document | None]"]) -> None:
        try:
            with mongo_errors():
                cursor = self._collection.find(
                    {"_id": {"$in": list(batch)}}, dict(self._projection or {}) or None
                )
                found = {document["_id"]: document for document in await cursor.to_list(None)}
        except BaseException as error:
            for done in batch.values():
                done.set_exception(error)
                done.exception()  # callers that were cancelled leave it unread
            return
        for document_id, done in batch.items():
            done.set_result(found.get(document_id))
