"""From a record to a hint, with a conversation service and a log that do what the test says."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from libs.common.kafka import ConsumedRecord, KafkaUnavailableError
from services.console.internal import ServiceAwayError
from services.console.live import hub as hub_module
from services.console.live.hub import HINTED, Hub
from services.console.live.pending import Place
from services.console.live.rows import Row
from services.console.live.streams import Asked, Counts, Stream, Streams
from services.conversation import history

ANA = "4225:1"
ASKED = Asked(ANA, datetime(2026, 11, 25, tzinfo=UTC))


class FakeRows:
    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.away = False
        self.questions = 0

    async def of(self, conversations: list[str]) -> dict[str, Row]:
        self.questions += 1
        if self.away:
            raise ServiceAwayError("conversation", "away")
        return {name: self.rows[name] for name in conversations if name in self.rows}

    async def counts(self, pages: Iterable[str]) -> Counts:
        return Counts(unread=len(list(pages)), needs_human=0)

    async def asking(self, pages: Iterable[str]) -> list[Asked]:
        del pages
        return []


class FakeFeed:
    """The log: away at first as often as a test says."""

    def __init__(self, away: int = 0) -> None:
        self.is_heard = True
        self.opened = asyncio.Event()
        self._away = away
        self._heard: Callable[[ConsumedRecord], None] | None = None

    @asynccontextmanager
    async def open(self, heard: Callable[[ConsumedRecord], None]) -> AsyncIterator["FakeFeed"]:
        if self._away:
            self._away -= 1
            raise KafkaUnavailableError("away")
        self._heard = heard
        self.opened.set()
        yield self
        self.opened.clear()

    def say(self, offset: int, kind: bytes = b"message.received", key: str = ANA) -> None:
        assert self._heard is not None
        record = ConsumedRecord("e", 0, offset, key.encode(), b"not JSON", {"type": kind}, 0)
        self._heard(record)


@asynccontextmanager
async def listening(rows: FakeRows, feed: FakeFeed) -> AsyncIterator[Stream]:
    streams = Streams()
    hub = Hub(streams, rows, feed.open)
    task = asyncio.create_task(hub.run())
    stream = Stream("usr_a", "ours", frozenset({"4225"}))
    streams.open(stream)
    try:
        async with asyncio.timeout(10):
            await feed.opened.wait()
            yield stream
    finally:
        await hub.stop(0)
        await task
        streams.close(stream)


async def until(stream: Stream, *wanted: str) -> str:
    """What the browser has been told, once all that is `wanted` is in it."""
    text = ""
    while not all(each in text for each in wanted):
        await stream.wait(5)
        text += stream.take().decode()
    return text


def test_hints_are_about_what_the_archive_keeps() -> None:
    assert HINTED == history.WANTED


async def test_a_hint_waits_for_the_row_and_brings_numbers() -> None:
    rows, feed = FakeRows(), FakeFeed()
    rows.rows[ANA] = Row(heard=Place(0, 6), asked=None)
    async with listening(rows, feed) as stream:
        feed.say(7)
        while rows.questions < 2:
            await asyncio.sleep(0.01)
        assert b"changed" not in stream.take()
        rows.rows[ANA] = Row(heard=Place(0, 7), asked=None)
        await until(stream, '"conversations": ["4225:1"]', '"unread": 1')
        asked = rows.questions
        feed.say(8, key="9:1")  # nobody watches that Page
        feed.say(9, kind=b"turn.completed")
        feed.say(10, key="4225")
        await asyncio.sleep(0.15)
        assert rows.questions == asked


async def test_a_call_for_a_human_is_told_with_its_moment() -> None:
    rows, feed = FakeRows(), FakeFeed()
    rows.rows[ANA] = Row(heard=Place(0, 7), asked=ASKED)
    async with listening(rows, feed) as stream:
        feed.say(6)
        assert '"needs_human": []' in await until(stream, "changed")
        feed.say(7, kind=b"takeover.requested")
        assert '"at": "2026-11-25T00:00:00+00:00"' in await until(stream, "changed")


async def test_without_the_conversation_service_the_hint_is_late_but_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hub_module, "PAUSE_S", 0.01)
    monkeypatch.setattr("services.console.live.pending.LONGEST_WAIT_S", 0.1)
    rows, feed = FakeRows(), FakeFeed()
    rows.away = True
    async with listening(rows, feed) as stream:
        feed.say(1)
        await until(stream, ANA)


async def test_kafka_away_at_first_and_lost_later_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "PAUSE_S", 0.01)
    monkeypatch.setattr(hub_module, "LOOK_AT_FEED_S", 0.01)
    rows, feed = FakeRows(), FakeFeed(away=2)
    async with listening(rows, feed) as stream:
        await until(stream, '"heard": true')
        feed.is_heard = False
        await until(stream, '"heard": false')
        feed.is_heard = True
        await until(stream, '"heard": true')


async def test_nobody_listens_to_the_log_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "LINGER_S", 0.0)
    monkeypatch.setattr(hub_module, "LOOK_AT_FEED_S", 0.01)
    streams, feed = Streams(), FakeFeed()
    hub = Hub(streams, FakeRows(), feed.open)
    task = asyncio.create_task(hub.run())
    stream = Stream("usr_a", "ours", frozenset({"4225"}))
    async with asyncio.timeout(10):
        await asyncio.sleep(0.05)
        assert not feed.opened.is_set()
        streams.open(stream)
        await feed.opened.wait()
        streams.close(stream)
        while feed.opened.is_set():
            await asyncio.sleep(0.01)
    await hub.stop(0)
    await task
