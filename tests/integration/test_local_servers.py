"""What the local stack's servers promise: what they acknowledged is kept, whatever ends them."""

import asyncio
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from pydantic import SecretStr
from pymongo.errors import OperationFailure

from deploy.local import jars
from libs.common.mongo import (
    Database,
    DuplicateKeyError,
    MongoUnavailableError,
    ReturnDocument,
    StandInDatabaseError,
    UpdateOne,
    mongo_errors,
    open_database,
)
from libs.common.settings import KafkaSettings, MongoSettings
from libs.common.topics import EVENTS, TOPICS
from tests.integration.conftest import MakeTopic, admin
from tests.ports import free_port
from tests.stack import LocalStack, local_stack

WITHIN_S = 60.0


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """A local stack, also where the other tests use other servers: this one gets killed."""
    with local_stack(tmp_path_factory.mktemp("stack"), only="kafka,mongo") as running:
        yield running


async def test_topics_are_there_with_their_partitions(stack: LocalStack) -> None:
    settings = KafkaSettings(bootstrap_servers=stack.environment["KAFKA_BOOTSTRAP_SERVERS"])
    async with admin(settings) as client:
        described = await client.describe_topics([topic.name for topic in TOPICS])
    partitions = {topic["topic"]: len(topic["partitions"]) for topic in described}
    assert partitions == {topic.name: topic.partitions for topic in TOPICS}


async def test_acknowledged_records_outlive_a_kill_of_kafka(stack: LocalStack) -> None:
    bootstrap = stack.environment["KAFKA_BOOTSTRAP_SERVERS"]
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True)
    await producer.start()
    try:
        for number in range(200):
            await producer.send_and_wait(EVENTS, str(number).encode(), partition=0)
        stack.kill("kafka")
        async with asyncio.timeout(WITHIN_S):
            await producer.send_and_wait(EVENTS, b"200", partition=0)
    finally:
        await producer.stop()
    assert await read(bootstrap, count=201) == [str(number).encode() for number in range(201)]


async def read(bootstrap: str, count: int) -> list[bytes]:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    await consumer.start()
    try:
        partition = TopicPartition(EVENTS, 0)
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        async with asyncio.timeout(WITHIN_S):
            return [(await consumer.getone()).value for _ in range(count)]
    finally:
        await consumer.stop()


async def test_acknowledged_writes_outlive_a_kill_of_the_database(stack: LocalStack) -> None:
    restarts = stack.component("mongo")["restarts"]
    settings = MongoSettings(uri=SecretStr(stack.environment["MONGODB_URI"]), timeout_s=30)
    async with open_database(settings, app_name="test") as database:
        acknowledged: list[int] = []
        await write_until_killed(stack, database, acknowledged)
        stack.wait_until_back("mongo", restarts + 1)
        kept = {document["_id"] async for document in database["numbers"].find()}
        by_id = database["numbers"].find({"_id": {"$in": sorted(kept)}})
        assert {document["_id"] async for document in by_id} == kept  # no half of a write
    assert len(acknowledged) >= 300
    assert kept >= set(acknowledged)


async def write_until_killed(
    stack: LocalStack, database: Database, acknowledged: list[int]
) -> None:
    """Eight writers; the kill comes in the middle of their work. The driver may repeat a write."""
    is_killed = False

    async def write(start: int) -> None:
        nonlocal is_killed
        for number in range(start, 100_000, 8):
            if is_killed:
                return
            with mongo_errors():
                await database["numbers"].insert_one({"_id": number, "text": "x" * 200})
            acknowledged.append(number)
            if len(acknowledged) == 300:
                is_killed = True
                stack.kill("mongo")

    for result in await asyncio.gather(*map(write, range(8)), return_exceptions=True):
        if result is not None and not isinstance(result, MongoUnavailableError):
            raise result


def server_jars() -> list[str]:
    return [str(jar) for jar in jars.class_path(jars.locked("mongo"), jars.JgoSource())]


MIDDLE_OF_A_WRITE = """
import sys, time
from pathlib import Path
from deploy.local.mongo_server import open_store, start_java
start_java(sys.argv[2:])
store = open_store(Path(sys.argv[1]))
documents = store.openMap("documents")
first = store.getCurrentVersion()
for number in range(12_000):
    documents.put(str(number), "x" * 2_000)
time.sleep(2)  # twice as long as the store's own patience
print(documents.size(), store.getCurrentVersion() - first, store.hasUnsavedChanges())
store.closeImmediately()
"""


def test_a_store_keeps_no_half_of_a_write(tmp_path: Path) -> None:
    """It commits when it is told to: documents and their index are written one after the other."""
    command = [sys.executable, "-c", MIDDLE_OF_A_WRITE, str(tmp_path / "store.h2"), *server_jars()]
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=WITHIN_S)
    assert said.stdout.split() == ["12000", "0", "True"]


async def test_a_database_without_room_ends_and_has_all_that_it_acknowledged(
    tmp_path: Path,
) -> None:
    """As on a full disk. Alive, it would refuse every write, with room again or without."""
    acknowledged: list[int] = []
    with database_server(tmp_path, most_bytes=400_000) as (server, uri):
        settings = MongoSettings(uri=SecretStr(uri), timeout_s=30)
        async with open_database(settings, app_name="test") as database:
            with pytest.raises(MongoUnavailableError):
                await write_on(database, acknowledged)
        assert server.wait(WITHIN_S) == 1
    with database_server(tmp_path) as (_, uri):
        settings = MongoSettings(uri=SecretStr(uri), timeout_s=30)
        async with open_database(settings, app_name="test") as database:
            kept = {document["_id"] async for document in database["numbers"].find()}
            await database["numbers"].insert_one({"_id": -1})
    assert len(acknowledged) >= 10
    assert kept >= set(acknowledged)


async def write_on(database: Database, acknowledged: list[int]) -> None:
    for number in range(10_000):
        with mongo_errors():
            await database["numbers"].insert_one({"_id": number, "text": "x" * 2000})
        acknowledged.append(number)


@contextmanager
def database_server(
    folder: Path, most_bytes: int | None = None
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A database of one's own, whose file has no room for more than `most_bytes`, and its URI."""
    port = free_port()
    command = [sys.executable, "-m", "deploy.local.mongo_server", "--port", str(port)]
    command += ["--store", str(folder / "store.h2"), *server_jars()]

    def bound() -> None:
        if most_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))

    with (
        (folder / "log").open("a") as log_file,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log_file, text=True, preexec_fn=bound
        ) as server,
    ):
        assert server.stdout is not None
        try:
            assert "listening" in server.stdout.readline()
            yield server, f"mongodb://127.0.0.1:{port}"
        finally:
            server.kill()


async def test_database_does_what_our_stores_ask_for(database: Database) -> None:
    """On whatever server the run has: the same has to hold on all of them."""
    things = database["things"]
    now = datetime.now(UTC).replace(microsecond=0)
    await things.create_index("at", expireAfterSeconds=3600)
    await things.insert_one({"_id": "a", "at": now})
    with pytest.raises(DuplicateKeyError):
        await things.insert_one({"_id": "a"})

    change = {"$max": {"n": 5}, "$push": {"recent": {"$each": [1, 2, 3], "$slice": -2}}}
    first = await things.find_one_and_update(
        {"_id": "a"}, change, return_document=ReturnDocument.AFTER
    )
    assert first == {"_id": "a", "at": now, "n": 5, "recent": [2, 3]}
    assert (
        await things.find_one_and_update({"_id": "a", "n": {"$lt": 5}}, {"$inc": {"n": 1}}) is None
    )

    upsert = UpdateOne({"_id": "a", "n": 4}, {"$set": {"n": 6}}, upsert=True)
    other = UpdateOne({"_id": "b"}, {"$set": {"n": 6}}, upsert=True)
    with pytest.raises(Exception, match="batch op errors") as refused:
        await things.bulk_write([upsert, other], ordered=False)
    errors = refused.value.details["writeErrors"]  # type: ignore[attr-defined]
    assert [(error["index"], error["code"]) for error in errors] == [(0, 11000)]
    assert await things.count_documents({"n": 6}) == 1


async def test_a_document_is_looked_up_by_its_id_whatever_else_a_query_names(
    database: Database,
) -> None:
    """On whatever server: who looks at the other document as well can't add to a word."""
    things = database["things"]
    await things.insert_many([{"_id": "a", "n": 2, "who": "us"}, {"_id": "b", "n": "no"}])
    is_2 = {"$expr": {"$eq": [{"$add": ["$n", 1]}, 3]}}
    with pytest.raises(OperationFailure, match="numeric"):
        await things.find(is_2).to_list(None)

    assert await things.find_one({**is_2, "_id": "a"}) == {"_id": "a", "n": 2, "who": "us"}
    assert await things.find_one({**is_2, "_id": {"$in": ["a", "c"]}, "who": "us"})
    assert await things.find_one({**is_2, "_id": "a", "who": "them"}) is None
    assert await things.find_one({**is_2, "_id": "c"}) is None
    changed = await things.update_one({**is_2, "_id": "a", "who": "us"}, {"$set": {"who": "them"}})
    assert changed.matched_count == 1
    refused = await things.update_one({**is_2, "_id": "a", "who": "us"}, {"$set": {"who": "none"}})
    assert refused.matched_count == 0
    with pytest.raises(DuplicateKeyError):
        await things.update_one({"_id": "a", "who": "us"}, {"$inc": {"n": 1}}, upsert=True)
    assert (await things.delete_many({"_id": {"$in": ["a", "b"]}, "who": "us"})).deleted_count == 0
    assert (await things.delete_one({**is_2, "_id": "a", "who": "them"})).deleted_count == 1
    assert await things.find_one({"_id": {"$gt": "a"}, "n": "no"}) == {"_id": "b", "n": "no"}


async def test_topic_of_a_test_has_the_partitions_it_asked_for(
    kafka: KafkaSettings, topic: str, make_topic: MakeTopic
) -> None:
    wide = await make_topic(12)
    async with admin(kafka) as client:
        described = await client.describe_topics([topic, wide])
    assert {each["topic"]: len(each["partitions"]) for each in described} == {topic: 3, wide: 12}


async def test_a_production_service_does_not_take_the_stand_in_for_a_database(
    stack: LocalStack,
) -> None:
    settings = MongoSettings(uri=SecretStr(stack.environment["MONGODB_URI"]), timeout_s=30)
    with pytest.raises(StandInDatabaseError, match="MONGODB_URI"):
        async with open_database(settings, app_name="test", production=True):
            pass
