"""What waits in all partitions shares a flush; one record that can't be read costs no other."""

import asyncio
from collections.abc import Iterable

import pytest

from libs.common.events import UndecodableRecordError
from libs.common.kafka import ConsumedRecord, KeyBatch
from services.analytics.consumer import EventCounter, wants
from services.analytics.domain.rollups import Arrival
from services.analytics.folding import ConflictError
from tests.unit.analytics import factories as make
from tests.unit.analytics.factories import record
from tests.virtual_time import run_virtually


class Figures:
    def __init__(self) -> None:
        self.flushes: list[list[Arrival]] = []
        self.at: list[float] = []
        self.error: Exception | None = None
        self.takes_s = 0.0

    async def fold(self, arrivals: Iterable[Arrival]) -> None:
        self.flushes.append(list(arrivals))
        self.at.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self.takes_s)
        if self.error is not None:
            raise self.error


class Waiting:
    """More records of a partition."""

    def __init__(self, records: Iterable[ConsumedRecord] = ()) -> None:
        self.records = list(records)

    def has_more(self) -> bool:
        return bool(self.records)

    def take(self, limit: int) -> list[ConsumedRecord]:
        taken, self.records = self.records[:limit], self.records[limit:]
        return taken

    async def wait_for_more(self, timeout_s: float) -> bool:
        await asyncio.sleep(timeout_s)
        return self.has_more()

    def note_away(self, seconds: float) -> None:
        raise AssertionError("nobody is away here")


def batch(partition: int, first: int, size: int, more: Iterable[ConsumedRecord] = ()) -> KeyBatch:
    records = [
        record(make.message(f"m{partition}-{n}"), n, partition) for n in range(first, first + size)
    ]
    return KeyBatch(b"", records, Waiting(more))


def counter(figures: Figures, flush_events: int = 500) -> EventCounter:
    return EventCounter(figures, flush_events=flush_events, flush_s=1.0)


def places(arrivals: list[Arrival]) -> list[tuple[int, int]]:
    return [(each.partition, each.offset) for each in arrivals]


def test_partitions_share_a_flush_after_a_second() -> None:
    async def story() -> None:
        figures, loop = Figures(), asyncio.get_running_loop()
        counts, began = counter(figures), loop.time()
        async with asyncio.TaskGroup() as group:
            group.create_task(counts.handle(batch(0, 0, 2)))
            await asyncio.sleep(0.6)
            group.create_task(counts.handle(batch(1, 7, 1)))
        assert [places(each) for each in figures.flushes] == [[(0, 0), (0, 1), (1, 7)]]
        assert figures.at[0] - began == pytest.approx(1, abs=0.1)

    run_virtually(story())


def test_enough_events_are_written_at_once_with_all_that_has_come_by_then() -> None:
    async def story() -> None:
        figures, loop = Figures(), asyncio.get_running_loop()
        more = [record(make.message(f"more{n}"), 100 + n) for n in range(8)]
        began = loop.time()
        await counter(figures, flush_events=10).handle(batch(0, 0, 2, more))
        assert loop.time() - began < 0.1
        assert len(figures.flushes[0]) == 10

    run_virtually(story())


def test_one_flush_at_a_time_and_what_comes_meanwhile_makes_up_the_next() -> None:
    async def story() -> None:
        figures = Figures()
        figures.takes_s = 5
        counts = counter(figures, flush_events=1)
        async with asyncio.TaskGroup() as group:
            group.create_task(counts.handle(batch(0, 0, 1)))
            for partition in range(1, 5):
                await asyncio.sleep(1)
                group.create_task(counts.handle(batch(partition, 0, 1)))
        assert [len(each) for each in figures.flushes] == [1, 4]

    run_virtually(story())


def test_a_record_that_cannot_be_read_fails_only_its_own_batch() -> None:
    async def story() -> None:
        figures = Figures()
        counts = counter(figures)
        bad = ConsumedRecord("t", 1, 5, b"", b"{", {}, 0)
        results = await asyncio.gather(
            counts.handle(batch(0, 0, 2)),
            counts.handle(batch(1, 0, 1, [bad])),
            return_exceptions=True,
        )
        assert results[0] is None
        assert isinstance(results[1], UndecodableRecordError)
        assert places(figures.flushes[0]) == [(0, 0), (0, 1)]

    run_virtually(story())


def test_a_record_that_is_tried_alone_waits_for_nobody() -> None:
    async def story() -> None:
        figures, loop = Figures(), asyncio.get_running_loop()
        began = loop.time()
        await counter(figures).handle(KeyBatch(b"", [record(make.message("m"), 3)]))
        assert loop.time() - began < 0.1
        assert places(figures.flushes[0]) == [(0, 3)]

    run_virtually(story())


def test_an_error_is_everybodys_and_the_next_flush_is_another_one() -> None:
    async def story() -> None:
        figures = Figures()
        figures.error = ConflictError("rollups")
        counts = counter(figures)
        results = await asyncio.gather(
            *[counts.handle(batch(n, 0, 1)) for n in range(3)], return_exceptions=True
        )
        assert [type(each) for each in results] == [ConflictError] * 3
        figures.error = None
        await counts.handle(batch(0, 0, 1))

    run_virtually(story())


def test_when_whoever_writes_is_stopped_the_others_are_told_to_try_again() -> None:
    async def story() -> None:
        figures = Figures()
        figures.takes_s = 10
        counts = counter(figures)
        tasks = [asyncio.create_task(counts.handle(batch(n, 0, 1))) for n in range(2)]
        await asyncio.sleep(3)
        tasks[0].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError)
        assert getattr(results[1], "code", None) == "flush_abandoned"
        await counts.handle(batch(0, 0, 1))  # the line is free

    run_virtually(story())


def test_only_what_changes_a_figure_is_wanted() -> None:
    wanted = {"type": b"message.sent", "version": b"1.7"}
    assert wants(wanted)
    assert not wants(wanted | {"version": b"2.0"})
    assert not wants(wanted | {"type": b"reaction.received"})
    assert not wants({})
