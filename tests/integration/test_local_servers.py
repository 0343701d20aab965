"""What the local stack's servers promise: what they acknowledged is kept, whatever ends them."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from pydantic import SecretStr

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
        with pytest.raises(MongoUnavailableError):
            await write_until_killed(stack, database, acknowledged)
        stack.wait_until_back("mongo", restarts + 1)
        kept = {document["_id"] async for document in database["numbers"].find()}
    assert len(acknowledged) >= 300
    assert kept >= set(acknowledged)


async def write_until_killed(
    stack: LocalStack, database: Database, acknowledged: list[int]
) -> None:
    """Eight writers; the kill comes in the middle of their work."""

    async def write(start: int) -> None:
        for number in range(start, 100_000, 8):
            with mongo_errors():
                await database["numbers"].insert_one({"_id": number, "text": "x" * 200})
            acknowledged.append(number)
            if len(acknowledged) == 300:
                stack.kill("mongo")

    results = await asyncio.gather(*map(write, range(8)), return_exceptions=True)
    raise next(result for result in results if isinstance(result, BaseException))


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
