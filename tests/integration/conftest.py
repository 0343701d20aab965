"""Real servers, shared by all tests of a run; a database and topics of each test's own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import aiohttp
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from pydantic import SecretStr

from libs.common.mongo import Database, open_database
from libs.common.settings import KafkaSettings, MongoSettings
from simulator.client import Simulator
from tests.browser.site import Site, running_site
from tests.stack import Servers

TOPIC_WITHIN_S = 30.0
PARTITIONS = 3

MakeTopic = Callable[[int], Awaitable[str]]


@pytest.fixture(scope="session")
def kafka(running_servers: Servers) -> KafkaSettings:
    return KafkaSettings(
        bootstrap_servers=running_servers.bootstrap_servers,
        publish_timeout_s=15,  # a busy test machine is no broken broker
        session_timeout_s=10,
    )


@pytest.fixture
def mongo(running_servers: Servers) -> MongoSettings:
    """The server, and the name of a database that no other test uses."""
    return MongoSettings(
        uri=SecretStr(running_servers.mongodb_uri), database=f"test-{uuid4().hex}", timeout_s=20
    )


@pytest.fixture
async def database(mongo: MongoSettings) -> AsyncIterator[Database]:
    """An empty database; dropped after the test."""
    async with open_database(mongo, app_name="test") as opened:
        yield opened
        await opened.client.drop_database(mongo.database)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """A simulated Facebook of the test's own."""
    async with running_site(tmp_path) as site:
        yield site


@pytest.fixture
async def facebook(site: Site) -> AsyncIterator[Simulator]:
    """What scripts it."""
    async with aiohttp.ClientSession() as session:
        yield Simulator(session, site.url)


@pytest.fixture
async def make_topic(kafka: KafkaSettings) -> AsyncIterator[MakeTopic]:
    """Make topics with that many partitions; deleted after the test."""
    made: list[str] = []

    async def make(partitions: int = PARTITIONS) -> str:
        name = f"test-{uuid4().hex}"
        async with admin(kafka) as client:
            new = NewTopic(name=name, num_partitions=partitions, replication_factor=1)
            response = await client.create_topics([new])
            assert [code for _, code, *_ in response.topic_errors] == [0], response
            made.append(name)
            await until_led(client, name, partitions)
        return name

    yield make
    if made:
        async with admin(kafka) as client:
            await client.delete_topics(made)


@pytest.fixture
async def topic(make_topic: MakeTopic) -> str:
    """A topic of this test's own with three partitions."""
    return await make_topic(PARTITIONS)


@asynccontextmanager
async def admin(kafka: KafkaSettings) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers, client_id="test")
    await client.start()
    try:
        yield client
    finally:
        await client.close()


async def until_led(client: AIOKafkaAdminClient, topic: str, partitions: int) -> None:
    """Wait until each partition has a leader: the answer to "create" may come before that."""
    async with asyncio.timeout(TOPIC_WITHIN_S):
        while True:
            (described,) = await client.describe_topics([topic])
            leaders = [partition["leader"] for partition in described["partitions"]]
            if len(leaders) == partitions and min(leaders) >= 0:
                return
            await asyncio.sleep(0.05)
