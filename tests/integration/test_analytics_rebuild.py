"""The figures rebuilt are those that were counted, with and without the beginning of the log."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import TopicPartition

from libs.common.events import AnyRecord, TakeoverEnded, TakeoverStarted
from libs.common.kafka import KeyBatch, open_publisher
from libs.common.mongo import Database
from libs.common.settings import KafkaSettings
from services.analytics.domain.fold import EVER
from services.analytics.folding import Folder
from services.analytics.rebuild import rebuild
from services.analytics.store import AnalyticsStore, Generations, RebuildOvertakenError
from services.analytics.worker import group_of
from services.conversation.history import HistoryKeeper
from services.conversation.store import ConversationStore
from tests.integration.conftest import PARTITIONS, MakeTopic
from tests.integration.test_analytics import (
    PEOPLE,
    committed,
    in_partitions,
    publish,
    replica,
    story,
    totals,
    until_committed,
)
from tests.unit.analytics import reference
from tests.unit.analytics.factories import APP, NOON, PAGE, record


def quiet(_text: str) -> None:
    """Progress is for people."""


async def counted(
    kafka: KafkaSettings, database: Database, topic: str, events: Sequence[AnyRecord]
) -> None:
    """Everything on the topic, and in the figures."""
    async with open_publisher(kafka, client_id="test") as publisher:
        await publish(publisher, topic, events)
        async with replica(kafka, database, topic, publisher):
            await until_committed(kafka, topic)


async def archived(database: Database, events: Sequence[AnyRecord]) -> None:
    """As the conversation and the takeover service have it."""
    store = ConversationStore(database)
    records = [record(event, number) for number, event in enumerate(events)]
    await HistoryKeeper(store, APP).handle(KeyBatch(b"", records))
    for event in events:
        if isinstance(event, TakeoverStarted | TakeoverEnded):
            mode = "human" if isinstance(event, TakeoverStarted) else "ai"
            takeover = {"epoch": event.epoch, "mode": mode, "since": event.occurred_at}
            await database["conversations"].update_one(
                {"_id": event.conversation_id}, {"$set": {"takeover": takeover}}
            )


async def cut(kafka: KafkaSettings, topic: str) -> None:
    """What Kafka does after seven days: here it forgets everything."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    await admin.start()
    try:
        partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        await admin.delete_records({each: RecordsToDelete(before_offset=-1) for each in partitions})
    finally:
        await admin.close()


async def test_from_the_whole_log(kafka: KafkaSettings, database: Database, topic: str) -> None:
    events = story(rounds=2)
    await counted(kafka, database, topic, events)
    before = await totals(database)
    # what a bug would have left behind
    await database["rollups"].update_many({}, {"$inc": {"slots.1.in": 7}})

    generation = await rebuild(database, kafka, APP, quiet, topic)

    assert await Generations(database).live() == generation == 1
    assert await totals(database, "rollups_1") == before == reference.totals(events)
    assert await committed(kafka, topic, group_of(1)) == await committed(kafka, topic, topic)


async def test_from_the_archive_where_the_log_was_cut(
    kafka: KafkaSettings, database: Database, topic: str
) -> None:
    events = story(rounds=2)
    await counted(kafka, database, topic, events)
    await archived(database, events)
    before = await totals(database)
    await cut(kafka, topic)

    await rebuild(database, kafka, APP, quiet, topic)

    rebuilt = await totals(database, "rollups_1")
    assert rebuilt == before
    assert rebuilt[EVER, "in_takeover"] > 0


async def test_the_archive_and_the_log_overlap(
    kafka: KafkaSettings, database: Database, topic: str
) -> None:
    """The log's beginning is gone; its end is in the archive, too."""
    events = story(rounds=3)
    half = len(events) // 2
    await counted(kafka, database, topic, events[:half])
    await archived(database, events)
    await cut(kafka, topic)
    await counted(kafka, database, topic, events[half:])
    before = await totals(database)

    await rebuild(database, kafka, APP, quiet, topic)

    rebuilt = await totals(database, "rollups_1")
    hands = ("started", "ended", "in_takeover")
    assert {key: n for key, n in rebuilt.items() if not key[1].startswith(hands)} == {
        key: n for key, n in before.items() if not key[1].startswith(hands)
    }


def days_later(event: AnyRecord, days: int, who: str = "") -> AnyRecord:
    """The same once more, of other messages; `who`: put before the person's name."""
    fields = event.model_dump()
    fields["event_id"] += f"-later{who}"
    fields["psid"] = who + fields["psid"]
    fields["occurred_at"] += timedelta(days=days)
    for name in {"mid", "send_id", "command_id"} & fields.keys():
        fields[name] += f"-later{who}"
    if "mids" in fields:
        fields["mids"] = tuple(f"{each}-later{who}" for each in fields["mids"])
    if "watermark_ms" in fields:
        fields["watermark_ms"] += days * 86_400_000
    if "takeover" in event.type:
        fields["epoch"] += 100
    return type(event).model_validate(fields)


async def test_days_whose_messages_are_not_kept_any_more_keep_their_figures(
    kafka: KafkaSettings, database: Database, topic: str
) -> None:
    """Of who wrote before and after, who wrote only before, and who is new."""
    early, stay = story(rounds=1), {*PEOPLE[:10]}
    late = [days_later(each, 3) for each in early if getattr(each, "psid", "") in stay]
    late += [days_later(each, 3, "9") for each in story(rounds=1)]
    await counted(kafka, database, topic, [*early, *late])
    await archived(database, [*early, *late])
    before = await totals(database)
    await cut(kafka, topic)
    until = NOON + timedelta(days=1)
    await database["expiries"].insert_one({"_id": PAGE, "expired_until": until})
    assert (await database["messages"].delete_many({"at": {"$lt": until}})).deleted_count > 50

    await rebuild(database, kafka, APP, quiet, topic)

    rebuilt = await totals(database, "rollups_1")
    assert rebuilt == before
    assert rebuilt[EVER, "conversations"] == 2 * len(PEOPLE)


async def test_a_log_made_anew_and_an_archive_that_keeps_nothing_leave_the_figures(
    kafka: KafkaSettings, database: Database, make_topic: MakeTopic
) -> None:
    """Nobody has written for as long as messages are kept, and Kafka was lost: the new one begins
    at 0, and says nothing of what was before."""
    events = story(rounds=1)
    await counted(kafka, database, await make_topic(PARTITIONS), events)
    await archived(database, events)
    before = await totals(database)
    until = NOON + timedelta(days=10)
    await database["expiries"].insert_one({"_id": PAGE, "expired_until": until})
    await database["messages"].delete_many({"at": {"$lt": until}})

    await rebuild(database, kafka, APP, quiet, await make_topic(PARTITIONS))

    assert await totals(database, "rollups_1") == before


async def test_from_a_log_that_was_made_anew(
    kafka: KafkaSettings, database: Database, topic: str
) -> None:
    """It begins at 0, as a whole one does; what was before is in the archive alone."""
    events = story(rounds=3)
    half = len(events) // 2
    await archived(database, events)
    await counted(kafka, database, topic, events[half:])

    await rebuild(database, kafka, APP, quiet, topic)

    hands = ("started", "ended", "in_takeover")
    rebuilt, wanted = await totals(database, "rollups_1"), reference.totals(events)
    assert {key: n for key, n in rebuilt.items() if not key[1].startswith(hands)} == {
        key: n for key, n in wanted.items() if not key[1].startswith(hands)
    }


async def test_the_service_goes_on_where_the_rebuild_ended(
    kafka: KafkaSettings, database: Database, topic: str
) -> None:
    events = story(rounds=2)
    half = len(events) // 2
    await counted(kafka, database, topic, events[:half])
    generation = await rebuild(database, kafka, APP, quiet, topic)
    async with open_publisher(kafka, client_id="test") as publisher:
        await publish(publisher, topic, events[half:])
        async with replica(kafka, database, topic, publisher, generation):
            await until_committed(kafka, topic, group_of(generation))
    assert await totals(database, "rollups_1") == reference.totals(events)


async def test_of_two_rebuilds_the_later_one_wins(database: Database) -> None:
    generations = Generations(database)
    first, second = await generations.begin(), await generations.begin()
    with pytest.raises(RebuildOvertakenError):
        await generations.make_live(first)
    assert await generations.live() == 0
    await generations.make_live(second)
    assert await generations.live() == second


async def test_only_the_live_generation_and_the_new_one_are_kept(database: Database) -> None:
    generations = Generations(database)
    for _ in range(3):
        generation = await generations.begin()
        log = in_partitions(story(rounds=1)[:20])
        await Folder(generations.store(generation), APP).fold(log)
        await generations.make_live(generation)
    names = [name for name in await database.list_collection_names() if "rollups" in name]
    assert sorted(names) == ["rollups_2", "rollups_3"]
    assert await AnalyticsStore(database, 1).offsets(["100:2026-03-01"]) == {}
