"""The services' parts in this process: real Kafka and database, a model and a Meta that only count.

Where Kafka is given by the environment, it must be one that serves nobody.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from pydantic import SecretStr

from libs.common.channels import (
    ASSISTANTS_COLLECTION,
    CHANNELS_COLLECTION,
    Assistant,
    Channel,
    ChannelSettings,
)
from libs.common.crypto import generate_key
from libs.common.events import SenderAction
from libs.common.kafka import ConsumedRecord
from libs.common.kafka.records import from_fetched
from libs.common.mongo import ROUND_TRIPS, Database, open_database
from libs.common.settings import (
    CryptoSettings,
    GraphSettings,
    HttpSettings,
    InternalSettings,
    KafkaSettings,
    MongoSettings,
    RuntimeSettings,
)
from libs.common.window import Send
from services.conversation.assistants.base import Prompt, Reply
from services.conversation.assistants.settings import AssistantSettings
from services.conversation.settings import AppSettings, Settings
from services.sender.domain.evidence import Seen
from services.sender.domain.outcome import Sent
from services.sender.meta import Answer, ThreadUnreadableError
from tests.stack import Servers

PAGE_ID = "100"
PARTITIONS = 12
READ_WITHIN_S = 30.0
CHANNEL = Channel(
    id=PAGE_ID,
    workspace_id="bench",
    assistant_id="bench",
    page_name="Bakery",
    token="not used here",
    settings=ChannelSettings(quiet_window_s=0),
)
ASSISTANT = Assistant(id="bench", workspace_id="bench", name="Crumb", system_prompt="Be brief.")


class Model:
    """Answers the same after `delay_s`."""

    def __init__(self, delay_s: float, text: str = "Until six. See you!") -> None:
        self.calls = 0
        self._delay_s = delay_s
        self._text = text

    async def reply(self, _prompt: Prompt) -> Reply:
        self.calls += 1
        await asyncio.sleep(self._delay_s)
        return Reply(self._text, "bench", self._delay_s)


class Meta:
    """Takes everything at once."""

    def __init__(self) -> None:
        self.calls = 0

    async def send(
        self, _channel: Channel, _psid: str, _text: str, send_id: str, _decision: Send
    ) -> Answer:
        self.calls += 1
        return Answer(Sent(f"m_{send_id}"))

    async def thread(self, _channel: Channel, _psid: str) -> Sequence[Seen]:
        self.calls += 1
        return []

    async def message(self, _channel: Channel, mid: str) -> Seen:
        raise ThreadUnreadableError(mid)

    async def act(self, _channel: Channel, _psid: str, _action: SenderAction) -> None:
        self.calls += 1


class Channels:
    """The directory, without a database."""

    async def channel(self, _page_id: str) -> Channel:
        return CHANNEL

    async def assistant(self, _assistant_id: str) -> Assistant:
        return ASSISTANT


def kafka_settings(servers: Servers) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=servers.bootstrap_servers, publish_timeout_s=30)


def conversation_settings(servers: Servers) -> Settings:
    """Independent of the environment."""
    return Settings(
        http=HttpSettings(port=1),
        runtime=RuntimeSettings(env="test"),
        kafka=kafka_settings(servers),
        mongo=MongoSettings(uri=SecretStr(servers.mongodb_uri)),
        internal=InternalSettings(service_token=SecretStr("t" * 16)),
        app=AppSettings(facebook_app_id="1"),
        graph=GraphSettings(facebook_app_id="1", facebook_app_secret=SecretStr("s" * 8)),
        crypto=CryptoSettings(encryption_keys=SecretStr(f"bench:{generate_key()}")),
        assistant=AssistantSettings(provider="offline"),
    )


@asynccontextmanager
async def database(servers: Servers) -> AsyncIterator[Database]:
    """One of our own that knows the channel, dropped in the end."""
    settings = MongoSettings(
        uri=SecretStr(servers.mongodb_uri), database=f"bench-{uuid4().hex[:8]}", timeout_s=30
    )
    async with open_database(settings, app_name="bench") as opened:
        await opened[CHANNELS_COLLECTION].insert_one(CHANNEL.to_document())
        await opened[ASSISTANTS_COLLECTION].insert_one(ASSISTANT.to_document())
        yield opened
        await opened.client.drop_database(settings.database)


def round_trips() -> float:
    """Commands that this process has sent to the database so far."""
    return sum(
        sample.value
        for metric in ROUND_TRIPS.collect()
        for sample in metric.samples
        if sample.name.endswith("_total")
    )


@asynccontextmanager
async def new_topic(servers: Servers) -> AsyncIterator[str]:
    """A topic of its own, deleted in the end."""
    name = f"bench-{uuid4().hex[:8]}"
    admin = AIOKafkaAdminClient(bootstrap_servers=servers.bootstrap_servers)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, PARTITIONS, 1)])
        yield name
        await admin.delete_topics([name])
    finally:
        await admin.close()


class Reader:
    """What comes onto a topic from now on."""

    def __init__(self, client: AIOKafkaConsumer, partitions: list[TopicPartition]) -> None:
        self._client = client
        self._partitions = partitions

    async def waiting(self) -> int:
        """How many records there are that `read` has not returned."""
        ends = await self._client.end_offsets(self._partitions)
        return sum([ends[each] - await self._client.position(each) for each in self._partitions])

    async def read(self) -> list[ConsumedRecord]:
        """All that is there at this moment, by partition."""
        count = await self.waiting()
        found: list[ConsumedRecord] = []
        async with asyncio.timeout(READ_WITHIN_S):
            while len(found) < count:
                for records in (await self._client.getmany(timeout_ms=200)).values():
                    found += map(from_fetched, records)
        return found


@asynccontextmanager
async def reader(servers: Servers, topic: str) -> AsyncIterator[Reader]:
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(
            AIOKafkaConsumer(bootstrap_servers=servers.bootstrap_servers, enable_auto_commit=False)
        )
        partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        client.assign(partitions)
        await client.seek_to_end(*partitions)
        for each in partitions:  # only asking fixes the place
            await client.position(each)
        yield Reader(client, partitions)
