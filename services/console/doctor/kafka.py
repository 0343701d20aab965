"""Kafka: reachable, its topics, what each group has still to do, and the dead letters."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from libs.common.errors import TransientError
from libs.common.kafka import KafkaUnavailableError
from libs.common.kafka.connection import client_options
from libs.common.settings import KafkaSettings
from libs.common.topics import DEAD_LETTERS, TOPICS
from services.console.doctor.domain import system as rules
from services.console.doctor.domain.findings import Found, Line, Verdict, failed, ok
from services.console.doctor.examining import Check, Once, Probe

SECTION = "Kafka"
WITHIN_S = 5.0
READ_WITHIN_MS = 2000
READ_BYTES = 4 << 10
"""Of a partition at once: its next record alone is wanted, and a megabyte of each partition and
group, each minute while work waits, stays in memory until the collector next looks everywhere."""
_CLIENT = "doctor"

CountSettled = Callable[[datetime, datetime], Awaitable[tuple[int, int]]]
"""How many dead letters are settled: of those that died since the first, and since the second."""

_ANALYTICS = re.compile(r"analytics(?:-(\d+))?")


class KafkaLines:
    """The lines about Kafka."""

    def __init__(
        self,
        settings: KafkaSettings,
        now: Callable[[], datetime],
        settled: CountSettled | None = None,
    ) -> None:
        """`settled`: dead letters that somebody has put back or discarded; None: not known."""
        self._settings = settings
        self._now = now
        self._settled = settled
        self._lags = Once(self._ask_lags)

    def checks(self) -> list[Check]:
        return [
            Check(Line(rules.KAFKA, SECTION, "Reachable"), self._reachable),
            Check(Line(rules.TOPICS, SECTION, "Topics", (rules.KAFKA,)), self._there),
        ]

    def checks_of_work(self) -> list[Check]:
        """What waits; they want to know how the services are."""
        ground = (rules.KAFKA, rules.TOPICS)
        lines = [
            Check(
                Line(f"kafka.lag.{group.name}", SECTION, f"Queue: {group.work.lower()}", ground),
                self._lag_probe(group.name, f"service.{group.service}"),
                after=(f"service.{group.service}",),
            )
            for group in rules.GROUPS
        ]
        dead = Check(Line("kafka.dead_letters", SECTION, "Dead letters", ground), self._dead)
        return [*lines, dead]

    async def _reachable(self, _found: Found) -> Verdict:
        servers = self._settings.bootstrap_servers
        try:
            async with self._admin() as admin:
                await admin.list_topics()
        except KafkaUnavailableError as error:
            return failed(
                f"Kafka can't be reached at {servers}.",
                "Start its brokers, or correct KAFKA_BOOTSTRAP_SERVERS and the KAFKA_ variables "
                "beside it. Meta repeats webhooks for an hour; nothing is lost that long.",
                error=str(error),
            )
        return ok(f"Answers at {servers}.")

    async def _there(self, _found: Found) -> Verdict:
        names = [topic.name for topic in TOPICS]
        async with self._admin() as admin:
            present = set(await admin.list_topics())
            described = await admin.describe_topics([name for name in names if name in present])
        there = {
            topic["topic"]: sum(each["leader"] >= 0 for each in topic["partitions"])
            for topic in described
            if topic["topic"] in present
        }
        return rules.judge_topics({each.name: each.partitions for each in TOPICS}, there)

    def _lag_probe(self, group: str, service: str) -> Probe:
        async def probe(found: Found) -> Verdict:
            lags = await self._lags.get()
            return rules.judge_lag(lags[group], found.get(service), self._now())

        return probe

    async def _dead(self, _found: Found) -> Verdict:
        async with self._admin() as admin, self._reader() as reader:
            partitions = await _partitions(admin, DEAD_LETTERS)
            begins = await reader.beginning_offsets(partitions)
            ends = await reader.end_offsets(partitions)
            since = int((self._now() - rules.RECENT).timestamp() * 1000)
            firsts = await reader.offsets_for_times(dict.fromkeys(partitions, since))
            oldest = await reader.offsets_for_times(dict.fromkeys(partitions, 0))
        recent = sum(
            ends[each] - first.offset for each, first in firsts.items() if first is not None
        )
        # what became of a letter is known for longer than the letter lies there
        there = min((each.timestamp for each in oldest.values() if each is not None), default=0)
        done, done_lately = await self._count_settled(datetime.fromtimestamp(there / 1000, UTC))
        kept = sum(ends[each] - begins[each] for each in ends)
        return rules.judge_dead_letters(max(0, kept - done), max(0, recent - done_lately))

    async def _count_settled(self, there_since: datetime) -> tuple[int, int]:
        if self._settled is None:
            return 0, 0
        try:
            return await self._settled(there_since, self._now() - rules.RECENT)
        except TransientError:  # the line about the database says it
            return 0, 0

    async def _ask_lags(self) -> Mapping[str, rules.Lag]:
        """What each group has not committed, and how old the oldest of it is."""
        async with self._admin() as admin, self._reader() as reader:
            topics = {group.name: group.topic for group in rules.GROUPS}
            partitions = await _partitions(admin, *set(topics.values()))
            begins = await reader.beginning_offsets(partitions)
            ends = await reader.end_offsets(partitions)
            real = await _real_names(admin, topics)
            lags = {}
            for group, topic in topics.items():
                committed = await admin.list_consumer_group_offsets(real[group])
                waiting = {
                    each: max(_at(committed, each), begins[each])
                    for each in partitions
                    if each.topic == topic
                }
                behind = {each: at for each, at in waiting.items() if at < ends[each]}
                records = sum(ends[each] - at for each, at in behind.items())
                lags[group] = rules.Lag(records, await _oldest(reader, behind))
            return lags

    @asynccontextmanager
    async def _admin(self) -> AsyncIterator[AIOKafkaAdminClient]:
        """Raises: KafkaUnavailableError."""
        admin = AIOKafkaAdminClient(
            **client_options(self._settings, _CLIENT), request_timeout_ms=int(WITHIN_S * 1000)
        )
        try:
            async with asyncio.timeout(WITHIN_S):
                await admin.start()
            yield admin
        except (KafkaError, TimeoutError, OSError) as error:
            raise KafkaUnavailableError(type(error).__name__) from error
        finally:
            await admin.close()

    @asynccontextmanager
    async def _reader(self) -> AsyncIterator[AIOKafkaConsumer]:
        """A client without a group: it moves nobody's place. Raises: KafkaUnavailableError."""
        reader = AIOKafkaConsumer(
            **client_options(self._settings, _CLIENT),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=READ_BYTES,
            request_timeout_ms=int(WITHIN_S * 1000),
        )
        try:
            async with asyncio.timeout(WITHIN_S):
                await reader.start()
            yield reader
        except (KafkaError, TimeoutError, OSError) as error:
            raise KafkaUnavailableError(type(error).__name__) from error
        finally:
            await reader.stop()


async def _partitions(admin: AIOKafkaAdminClient, *topics: str) -> list[TopicPartition]:
    described = await admin.describe_topics(list(topics))
    return [
        TopicPartition(topic["topic"], each["partition"])
        for topic in described
        for each in topic["partitions"]
    ]


async def _oldest(
    reader: AIOKafkaConsumer, behind: Mapping[TopicPartition, int]
) -> datetime | None:
    """When the first record that waits was written; what it says is not looked at."""
    if not behind:
        return None
    reader.assign(list(behind))
    for partition, offset in behind.items():
        reader.seek(partition, offset)
    moments: list[int] = []
    unread = set(behind)
    until = asyncio.get_running_loop().time() + READ_WITHIN_MS / 1000
    while unread and asyncio.get_running_loop().time() < until:
        fetched = await reader.getmany(*unread, timeout_ms=READ_WITHIN_MS // 4, max_records=500)
        for partition, records in fetched.items():
            moments.append(records[0].timestamp)
            unread.discard(partition)
            reader.pause(partition)  # what follows is not wanted, and would come before the others
    return datetime.fromtimestamp(min(moments) / 1000, UTC) if moments else None


def _at(committed: Mapping[TopicPartition, object], partition: TopicPartition) -> int:
    offset = getattr(committed.get(partition), "offset", -1)
    return offset if isinstance(offset, int) else -1


async def _real_names(admin: AIOKafkaAdminClient, groups: Iterable[str]) -> dict[str, str]:
    """Each group as Kafka calls it now: after a rebuild of the figures theirs has a number."""
    real = {group: group for group in groups}
    if "analytics" in real:
        listed = [name for name, *_ in await admin.list_consumer_groups()]
        matches = [found for name in listed if (found := _ANALYTICS.fullmatch(name))]
        latest = max(matches, key=lambda found: int(found[1] or 0), default=None)
        if latest is not None:
            real["analytics"] = latest[0]
    return real
