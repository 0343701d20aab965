"""The service follows the live generation: it leaves the one, and counts into the other."""

import asyncio
from typing import cast

import pytest

from libs.common.kafka import KeyedConsumer
from libs.common.mongo import MongoUnavailableError
from services.analytics.store import AnalyticsStore, Generations
from services.analytics.worker import Counting, group_of
from tests.virtual_time import run_virtually


class Pointer:
    """Which generation is live."""

    def __init__(self) -> None:
        self.generation = 0
        self.is_away = False

    async def live(self) -> int:
        if self.is_away:
            raise MongoUnavailableError("away")
        return self.generation

    def store(self, generation: int) -> str:
        return f"store {generation}"


class Consumer:
    """Runs until it is stopped, or fails."""

    def __init__(self, store: str, group: str) -> None:
        self.store, self.group = store, group
        self.ended = asyncio.Event()
        self.error: Exception | None = None
        self.drained_s: float | None = None

    async def run(self) -> None:
        await self.ended.wait()
        if self.error is not None:
            raise self.error

    async def stop(self, drain_timeout_s: float) -> None:
        self.drained_s = drain_timeout_s
        self.ended.set()

    async def is_ready(self) -> bool:
        return not self.ended.is_set()


class World:
    def __init__(self) -> None:
        self.pointer = Pointer()
        self.consumers: list[Consumer] = []
        self.counting = Counting(cast("Generations", self.pointer), self._make)

    def _make(self, store: AnalyticsStore, group: str) -> KeyedConsumer:
        self.consumers.append(Consumer(str(store), group))
        return cast("KeyedConsumer", self.consumers[-1])


def test_it_counts_into_what_is_live_and_follows_a_change_within_seconds() -> None:
    async def story() -> None:
        world = World()
        task = asyncio.create_task(world.counting.run())
        await asyncio.sleep(1)
        assert await world.counting.is_ready()
        world.pointer.generation = 3
        await asyncio.sleep(6)
        first, second = world.consumers
        assert (first.store, first.group, first.ended.is_set()) == ("store 0", "analytics", True)
        assert (second.store, second.group) == ("store 3", "analytics-3")
        assert await world.counting.is_ready()
        await world.counting.stop(7)
        await task
        assert second.drained_s == 7
        assert not await world.counting.is_ready()

    run_virtually(story())


def test_while_nobody_can_say_what_is_live_it_goes_on_as_it_was() -> None:
    async def story() -> None:
        world = World()
        world.pointer.is_away = True
        task = asyncio.create_task(world.counting.run())
        await asyncio.sleep(12)
        assert world.consumers == []
        world.pointer.is_away = False
        await asyncio.sleep(6)
        world.pointer.is_away = True
        await asyncio.sleep(30)
        assert [each.ended.is_set() for each in world.consumers] == [False]
        await world.counting.stop(1)
        await task

    run_virtually(story())


def test_a_consumer_that_fails_ends_it() -> None:
    async def story() -> None:
        world = World()
        task = asyncio.create_task(world.counting.run())
        await asyncio.sleep(1)
        world.consumers[0].error = RuntimeError("the brake")
        world.consumers[0].ended.set()
        with pytest.raises(RuntimeError, match="the brake"):
            await task
        await world.counting.stop(1)  # whoever stops it does not wait in vain

    run_virtually(story())


def test_every_generation_has_a_group_of_its_own() -> None:
    assert [group_of(number) for number in (0, 1, 12)] == [
        "analytics",
        "analytics-1",
        "analytics-12",
    ]
