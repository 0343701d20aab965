"""Dead letters on a real Kafka: read by position, put back once, and never those of the erased."""

import argparse
import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer

from deploy.local.topics import ensure_topics
from libs.common.channels import Channel
from libs.common.erasures import TombstoneStore
from libs.common.events import MessageReceived, encode, headers_of, key_of
from libs.common.kafka import KafkaPublisher, KafkaUnavailableError, dead_letter, open_publisher
from libs.common.kafka.publisher import message_of
from libs.common.kafka.records import ConsumedRecord
from libs.common.mongo import Database
from libs.common.settings import KafkaSettings, MongoSettings, RuntimeSettings
from libs.common.topics import EVENTS
from services.console.audit import Actor, AuditLog
from services.console.channels_store import ChannelStore
from services.console.dead_letters import (
    DeadLetters,
    LetterRefusedError,
    ShownLetter,
    UnknownLetterError,
)
from services.console.dead_letters_store import LEASE, DeadLetterStore, Settled
from services.console.doctor import kafka as doctor_kafka
from services.console.doctor.domain.findings import Verdict
from services.console.doctor.kafka import KafkaLines
from services.console.domain.roles import Role
from services.console.letters_log import KafkaLetters
from services.console.replay import ReplaySettings, carry_out

WITHIN_S = 60.0
ADA = Actor("usr_1", "ada@example.org", "wsp_1", Role.ADMIN, name="Ada")
EVE = Actor("usr_2", "eve@example.org", "wsp_2", Role.ADMIN)


class Desk:
    """The office, what it stands on, and two Pages that no other test knows."""

    def __init__(self, kafka: KafkaSettings, database: Database, publisher: KafkaPublisher) -> None:
        self.ahead = timedelta()
        self.database = database
        self.store = DeadLetterStore(database)
        self.tombstones = TombstoneStore(database)
        self.ours, self.theirs = (str(random.randrange(10**14, 10**15)) for _ in range(2))
        self.letters = DeadLetters(
            KafkaLetters(kafka),
            self.store,
            self.tombstones,
            ChannelStore(database),
            AuditLog(database, self.now),
            self.now,
        )
        self._publisher = publisher

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    async def bury(self, page_id: str, mid: str = "m.1", **headers: bytes) -> MessageReceived:
        """A message of somebody, dead."""
        event = MessageReceived(
            event_id=f"{page_id}:{mid}",
            page_id=page_id,
            psid="77001",
            occurred_at=self.now(),
            mid=mid,
            text="my card",
        )
        alive = ConsumedRecord(
            EVENTS, 3, 40, key_of(event), encode(event), dict(headers_of(event)), 0
        )
        letter = dead_letter(alive, ValueError("my card"), 3, service="conversation")
        changed = dict(letter.headers) | {f"dead-letter-{k}": v for k, v in headers.items()}
        await self._publisher.publish_messages([letter._replace(headers=[*changed.items()])])
        return event

    async def fill_the_log(self, people: int, characters: int) -> None:
        """Each of them writes one long message."""
        for number in range(people):
            event = MessageReceived(
                event_id=f"{self.ours}:long.{number}",
                page_id=self.ours,
                psid=f"88{number:04d}",
                occurred_at=self.now(),
                mid=f"long.{number}",
                text="x" * characters,
            )
            await self._publisher.publish_messages([message_of(event)])

    async def all(self, actor: Actor = ADA) -> list[ShownLetter]:
        self.ahead += timedelta(seconds=10)  # not what was seen seconds ago
        return [*(await self.letters.of_workspace(actor.workspace_id)).letters]


@pytest.fixture
async def desk(kafka: KafkaSettings, database: Database) -> AsyncIterator[Desk]:
    await ensure_topics(kafka.bootstrap_servers)
    async with open_publisher(kafka, client_id="test") as publisher:
        desk = Desk(kafka, database, publisher)
        for page_id, workspace in ((desk.ours, "wsp_1"), (desk.theirs, "wsp_2")):
            channel = Channel(
                id=page_id, workspace_id=workspace, assistant_id="a", page_name="Bakery", token=""
            )
            await database["channels"].insert_one(channel.to_document())
        yield desk


class Heard:
    """What comes onto the topic of events about one Page, from now on."""

    def __init__(self, kafka: KafkaSettings, page_id: str) -> None:
        self._client = AIOKafkaConsumer(
            EVENTS, bootstrap_servers=kafka.bootstrap_servers, auto_offset_reset="latest"
        )
        self._page = f"{page_id}:".encode()

    async def __aenter__(self) -> "Heard":
        await self._client.start()
        await self._client.seek_to_end()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._client.stop()

    async def count(self, at_least: int) -> list[Any]:
        """So many, and none more that was there when the last of them came."""
        found: list[Any] = []  # as the client has them
        async with asyncio.timeout(WITHIN_S):
            while True:
                fetched = await self._client.getmany(timeout_ms=300)
                new = [each for records in fetched.values() for each in records]
                found += [each for each in new if (each.key or b"").startswith(self._page)]
                if len(found) >= at_least and not new:
                    return found


async def test_a_letter_is_seen_by_its_workspace_and_put_back_once(
    desk: Desk, kafka: KafkaSettings
) -> None:
    event = await desk.bury(desk.ours)
    (shown,) = await desk.all()
    assert (shown.state, shown.page_name, shown.letter.error) == ("open", "Bakery", "ValueError")
    assert await desk.all(EVE) == []
    name = shown.letter.id
    for call in (desk.letters.replay, desk.letters.discard):
        with pytest.raises(UnknownLetterError):
            await call(EVE, name)
    with pytest.raises(UnknownLetterError):
        await desk.letters.letter("wsp_2", name)
    _, text = await desk.letters.letter("wsp_1", name)
    assert "type: message.received" in text
    assert "card" not in text

    async with Heard(kafka, desk.ours) as heard:
        replays = [desk.letters.replay(ADA, name) for _ in range(3)]
        done = await asyncio.gather(*replays, return_exceptions=True)
        assert all(isinstance(each, LetterRefusedError | Settled) for each in done), done
        assert (await desk.letters.replay(ADA, name)).by == "Ada"
        (back,) = await heard.count(1)
    assert (back.key, back.value) == (key_of(event), encode(event))
    assert [*back.headers] == headers_of(event)
    assert [each.state for each in await desk.all()] == ["replayed"]
    with pytest.raises(LetterRefusedError, match="put back on its topic by Ada"):
        await desk.letters.discard(ADA, name)
    kept = str(await desk.database["dead_letters"].find({}).to_list(None))
    entries = str(await desk.database["audit"].find({}).to_list(None))
    for said in ("card", "77001", desk.ours):
        assert said not in kept
    assert "dead_letter.replayed" in entries
    assert "77001" not in entries
    hour = timedelta(hours=1)
    assert await desk.store.count(desk.now() - hour, desk.now() + hour) == (1, 0)


async def test_a_replay_that_a_crash_cut_off_is_taken_up_after_a_minute(
    desk: Desk, kafka: KafkaSettings
) -> None:
    await desk.bury(desk.ours)
    (shown,) = await desk.all()
    await desk.store.claim(shown.letter, "replaying", "Somebody", desk.now())
    assert [(each.state, each.is_open) for each in await desk.all()] == [("replaying", True)]
    with pytest.raises(LetterRefusedError, match="at this moment"):
        await desk.letters.replay(ADA, shown.letter.id)
    desk.ahead += LEASE
    async with Heard(kafka, desk.ours) as heard:
        assert (await desk.letters.replay(ADA, shown.letter.id)).state == "replayed"
        await heard.count(1)


async def test_what_the_erased_said_is_neither_shown_nor_put_back(desk: Desk) -> None:
    event = await desk.bury(desk.ours)
    await desk.tombstones.put(event.conversation_id, desk.now(), desk.now())
    (shown,) = await desk.all()
    assert shown.obstacle == "erased"
    assert (await desk.letters.letter("wsp_1", shown.letter.id))[1] == ""
    with pytest.raises(LetterRefusedError, match="erased"):
        await desk.letters.replay(ADA, shown.letter.id)
    assert (await desk.letters.discard(ADA, shown.letter.id)).state == "discarded"
    with pytest.raises(LetterRefusedError):
        await desk.letters.replay(ADA, shown.letter.id)


async def test_the_command_puts_back_what_is_chosen_and_says_what_it_cannot(
    desk: Desk, kafka: KafkaSettings, mongo: MongoSettings
) -> None:
    first, second = await desk.bury(desk.ours, "m.1"), await desk.bury(desk.ours, "m.2")
    await desk.bury(desk.ours, "m.3", topic=b"nowhere")
    await desk.bury(desk.theirs)
    settings = ReplaySettings(runtime=RuntimeSettings(env="test"), mongo=mongo, kafka=kafka)

    async def run(**wanted: object) -> list[str]:
        options: dict[str, Any] = {"list": False, "dry_run": False, "discard": False}
        options |= {"service": None, "error": None, "id": None, "page": desk.ours, **wanted}
        return [each.outcome for each in await carry_out(settings, argparse.Namespace(**options))]

    assert await run(list=True) == ["open"] * 3
    assert await run(service="sender") == await run(error="Undecodable") == []
    assert await run(dry_run=True) == ["would_replay", "would_replay", "refused"]
    async with Heard(kafka, desk.ours) as heard:
        assert await run(error="Value") == ["replayed", "replayed", "refused"]
        assert await run() == ["refused"]
        back = await heard.count(2)
    assert [each.value for each in back] == [encode(first), encode(second)]  # the oldest first
    assert await run(discard=True) == ["discarded"]
    assert await run() == []
    assert len(await run(page=desk.theirs, list=True)) == 1
    audited = await desk.database["audit"].find({"workspace_id": "wsp_1"}).to_list(None)
    assert {each["who"] for each in audited} == {"whoever runs the console"}


async def test_letters_that_have_left_the_topic_hide_none_that_waits(
    desk: Desk, kafka: KafkaSettings
) -> None:
    await desk.bury(desk.ours)
    long_ago = desk.now() - timedelta(days=35)
    gone = {"state": "discarded", "by": "Ada", "at": long_ago, "written_at": long_ago}
    await desk.database["dead_letters"].insert_many(
        [{"_id": f"0-{number}-1", **gone} for number in range(500)]
    )
    lines = KafkaLines(kafka, desk.now, DeadLetterStore(desk.database).count)
    (dead,) = [each for each in lines.checks_of_work() if each.line.id == "kafka.dead_letters"]
    verdict = await dead.probe({})
    assert verdict.details["kept"] == verdict.details["recent"] > 0


async def test_to_tell_how_old_the_queue_is_little_of_it_is_read(
    desk: Desk, kafka: KafkaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The console looks each minute; whole fetches of every partition and group took its memory."""
    read: list[int] = []

    class Counted(AIOKafkaConsumer):  # type: ignore[misc]  # aiokafka has no types
        async def getmany(self, *partitions: Any, **options: Any) -> Any:  # noqa: ANN401
            fetched = await super().getmany(*partitions, **options)
            read.extend(len(record.value) for records in fetched.values() for record in records)
            return fetched

    await desk.fill_the_log(people=200, characters=5_000)
    monkeypatch.setattr(doctor_kafka, "AIOKafkaConsumer", Counted)
    verdict = await lag_of_analytics(kafka, desk)
    assert verdict.details["records"] >= 200
    assert 0 < sum(read) < 200 * 5_000 / 2


async def lag_of_analytics(kafka: KafkaSettings, desk: Desk) -> Verdict:
    """As soon as Kafka has its topic of groups, which it makes when it is first asked for one."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            checks = KafkaLines(kafka, desk.now).checks_of_work()
            (lag,) = [each for each in checks if each.line.id == "kafka.lag.analytics"]
            with suppress(KafkaUnavailableError, TimeoutError):
                return await lag.probe({})
            await asyncio.sleep(0.1)
