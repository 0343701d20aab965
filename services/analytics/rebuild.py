"""`python -m services.analytics.rebuild`: all figures anew, from the log, or from what is archived.

Into collections of their own, which are made live in one write at the end. The service goes on all
the while with those that are live. It notices the change within seconds, and goes on where this
ended: each generation has a consumer group of its own, whose offsets this leaves behind.

The log keeps seven days. What is older comes from the archive in `messages`, and hand-overs, which
it does not tell of, are taken from the figures that are live. So are whole days of Pages whose
messages are not kept for ever: of those that neither the log nor the archive has any more.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from pydantic import Field

from libs.common import logging as project_logging
from libs.common.erasures import known_erased
from libs.common.errors import TransientError
from libs.common.events import UndecodableRecordError
from libs.common.kafka import ConsumedRecord, KafkaUnavailableError
from libs.common.kafka.connection import client_options
from libs.common.kafka.records import from_fetched
from libs.common.mongo import Database, Document, open_database
from libs.common.settings import (
    KafkaSettings,
    MongoSettings,
    RuntimeSettings,
    SettingsGroup,
    load,
)
from libs.common.topics import EVENTS
from services.analytics.consumer import arrivals_of, wants
from services.analytics.domain.archived import counted_before, spoke_before
from services.analytics.domain.rollups import Arrival
from services.analytics.domain.slots import moment_ms, slot_of
from services.analytics.folding import Folder
from services.analytics.settings import AppSettings
from services.analytics.store import AnalyticsStore, ArchiveReader, Generations
from services.analytics.worker import group_of

AT_ONCE = 20_000
CONVERSATIONS_AT_ONCE = 500
POLL_MS = 1000
SILENT_AFTER_S = 30.0
LATE = timedelta(hours=1)  # how long Meta may take to tell of a message
FAILED = 1

Say = Callable[[str], None]


class RebuildSettings(SettingsGroup):
    """What a rebuild reads from the environment."""

    runtime: RuntimeSettings = Field(default_factory=RuntimeSettings)
    kafka: KafkaSettings = Field(default_factory=KafkaSettings)
    mongo: MongoSettings = Field(default_factory=MongoSettings)
    app: AppSettings = Field(default_factory=AppSettings)


@dataclass(frozen=True)
class Log:
    """The topic as it was when the rebuild began."""

    client: AIOKafkaConsumer
    begins: Mapping[TopicPartition, int]
    ends: Mapping[TopicPartition, int]

    @property
    def is_uncut(self) -> bool:
        """Whether it reaches back to its own first event."""
        return not any(self.begins.values())


async def rebuild(
    database: Database, kafka: KafkaSettings, own_app_id: str, say: Say, topic: str = EVENTS
) -> int:
    """Recompute everything; which generation is live now.

    Raises:
        RebuildOvertakenError: another one has begun meanwhile. Nothing was changed.
        TransientError: Kafka or the database is away. Nothing was changed.
    """
    generations = Generations(database)
    before = await generations.live()
    generation = await generations.begin()
    store = generations.store(generation)
    async with _log(kafka, topic) as log, known_erased(database) as erased:
        first, since = await _reaches_back_to(log)
        reader = ArchiveReader(database)
        # a Kafka that was made anew begins at 0, and is younger than what is, or was, archived
        is_whole = (
            log.is_uncut and not await reader.has_older(first - LATE) and not await reader.expired()
        )
        if not is_whole:
            say(f"the log reaches back to {since:%Y-%m-%d %H:%M} UTC; before that: the archive")
            archive = Archive(reader, store, generations.store(before), own_app_id, since)
            await archive.count(say)
        await _from_log(log, Folder(store, own_app_id, erased), say)
        if not is_whole:
            slot = slot_of(moment_ms(since))
            days = await store.take_hand_overs(generations.store(before), slot)
            say(f"hand-overs of {days} days as they were")
            await archive.take_days(say)
        await _leave_offsets(kafka, group_of(generation), log.ends)
    await generations.make_live(generation)
    say(f"generation {generation} is live")
    return generation


@asynccontextmanager
async def _log(kafka: KafkaSettings, topic: str) -> AsyncIterator[Log]:
    """All partitions, from their beginnings, without a group."""
    async with _client(kafka, topic) as client:
        partitions = sorted(client.assignment())
        if not partitions:
            raise KafkaUnavailableError(f"there is no topic {topic}")
        begins = await client.beginning_offsets(partitions)
        ends = await client.end_offsets(partitions)
        for partition in partitions:
            client.seek(partition, begins[partition])
        yield Log(client, begins, ends)


async def _leave_offsets(
    kafka: KafkaSettings, group: str, offsets: Mapping[TopicPartition, int]
) -> None:
    """For a group in which nobody is: the service joins it when the generation is live."""
    async with _client(kafka, group_id=group) as client:
        client.assign(list(offsets))
        await client.commit(dict(offsets))


@asynccontextmanager
async def _client(
    kafka: KafkaSettings, *topics: str, group_id: str | None = None
) -> AsyncIterator[AIOKafkaConsumer]:
    client = AIOKafkaConsumer(
        *topics,
        **client_options(kafka, "analytics-rebuild"),
        group_id=group_id,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    try:
        await client.start()
        yield client
    except KafkaError as error:
        raise KafkaUnavailableError(type(error).__name__) from error
    finally:
        await client.stop()


async def _reaches_back_to(log: Log) -> tuple[datetime, datetime]:
    """From when on a partition has everything, and from when on each of them has."""
    firsts = []
    for partition, begin in log.begins.items():
        if begin < log.ends[partition]:
            fetched = await log.client.getmany(partition, timeout_ms=30_000, max_records=1)
            firsts += [record.timestamp for record in fetched.get(partition, ())]
            log.client.seek(partition, begin)
    if not firsts:
        return datetime.now(UTC), datetime.now(UTC)
    first, since = (datetime.fromtimestamp(at / 1000, UTC) for at in (min(firsts), max(firsts)))
    return first, since


async def _from_log(log: Log, folder: Folder, say: Say) -> None:
    total = sum(log.ends[each] - log.begins[each] for each in log.ends)
    done, waiting, bad = 0, list[ConsumedRecord](), 0
    positions = dict(log.begins)
    while any(positions[each] < log.ends[each] for each in positions):
        async with asyncio.timeout(SILENT_AFTER_S):
            fetched = await log.client.getmany(timeout_ms=POLL_MS, max_records=5000)
        for partition, records in fetched.items():
            for record in records:
                if record.offset < log.ends[partition]:
                    waiting.append(from_fetched(record))
            positions[partition] = records[-1].offset + 1
        if len(waiting) >= AT_ONCE:
            bad += await _fold(folder, waiting)
            done, waiting = done + len(waiting), []
            say(f"{done:,} of {total:,} records of the log, {done / total:.0%}")
    bad += await _fold(folder, waiting)
    say(f"{total:,} records of the log")
    if bad:
        say(f"{bad} records can't be read and are left out: they are among the dead letters")


async def _fold(folder: Folder, records: Sequence[ConsumedRecord]) -> int:
    """How many could not be read."""
    arrivals, bad = list[Arrival](), 0
    for record in records:
        if wants(record.headers):
            try:
                arrivals += arrivals_of([record])
            except UndecodableRecordError:
                bad += 1
    await folder.fold(arrivals)
    return bad


@dataclass(frozen=True)
class Archive:
    """What is older than the log: into one generation, with what another one knows besides."""

    reader: ArchiveReader
    store: AnalyticsStore
    other: AnalyticsStore
    own_app_id: str
    since: datetime

    async def count(self, say: Say) -> None:
        """All that the archive has: what the log has as well is known by its ids when it comes."""
        expired = await self.reader.expired()
        done, messages = 0, 0
        gathered: dict[str, list[Document]] = {}
        async for conversation, documents in self.reader.conversations():
            gathered[conversation] = documents
            messages += len(documents)
            if len(gathered) >= CONVERSATIONS_AT_ONCE:
                await self._seed(gathered, expired)
                done, gathered = done + len(gathered), {}
                say(f"{done:,} conversations of the archive, {messages:,} messages")
        await self._seed(gathered, expired)
        say(f"{done + len(gathered):,} conversations of the archive, {messages:,} messages")
        for page_id in expired:
            await self._seed_silent(page_id, expired)

    async def take_days(self, say: Say) -> None:
        """The day up to which messages are gone is not whole either."""
        for page_id, until in (await self.reader.expired()).items():
            first = until.date() + timedelta(days=1)
            days = await self.store.take_days(self.other, page_id, first)
            say(
                f"{days} days of Page {page_id} as they were: its messages are kept from {first} on"
            )

    async def _seed_silent(self, page_id: str, expired: Mapping[str, datetime]) -> None:
        """Conversations that are known, though none of their messages is kept."""
        names = await self.reader.names(page_id, "", CONVERSATIONS_AT_ONCE)
        while names:
            known = await self.store.states(names)
            await self._seed({each: [] for each in names if each not in known}, expired)
            names = await self.reader.names(page_id, names[-1], CONVERSATIONS_AT_ONCE)

    async def _seed(
        self, gathered: Mapping[str, Sequence[Document]], expired: Mapping[str, datetime]
    ) -> None:
        facts = await self.reader.facts(gathered)
        shortened = {
            name: until
            for name in gathered
            if (until := expired.get(name.partition(":")[0])) is not None
        }
        known = await self.other.states(shortened) if shortened else {}
        before = {name: spoke_before(each.state, shortened[name]) for name, each in known.items()}
        await self.store.seed(
            [
                counted_before(
                    name,
                    documents,
                    facts.get(name, {}),
                    self.own_app_id,
                    self.since,
                    before.get(name),
                )
                for name, documents in gathered.items()
            ]
        )


async def main() -> int:
    settings = load(RebuildSettings)
    project_logging.configure("analytics-rebuild", level="warning")
    async with open_database(
        settings.mongo,
        app_name="analytics-rebuild",
        production=settings.runtime.env == "production",
    ) as database:
        try:
            await rebuild(database, settings.kafka, settings.app.facebook_app_id, _say)
        except (TransientError, TimeoutError, OSError) as error:
            print(f"nothing was changed: {type(error).__name__}: {error}", file=sys.stderr)
            return FAILED
    return 0


def _say(text: str) -> None:
    print(f"  {text}", flush=True)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
