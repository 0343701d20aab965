"""What a Page costs a day: counted at once, stored behind the turns' backs, shared by replicas."""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from libs.common.channels import ChannelSettings
from libs.common.mongo import MongoUnavailableError
from services.conversation import spending
from services.conversation.assistants.base import AssistantRefusedError
from services.conversation.domain.spending import Spent, day_of, has_limits, is_over
from services.conversation.spending import MOST_LABELS, OTHER, SpendingKeeper
from tests.unit.conversation import factories as make
from tests.unit.conversation.factories import PATIENTLY
from tests.unit.conversation.world import CHANNEL, World

ONE = Spent(1, 10, 5)
Key = tuple[str, str]


class Database:
    """The counts of all replicas; it can be away."""

    def __init__(self) -> None:
        self.counts: dict[Key, Spent] = {}
        self.trips: list[str] = []
        self.is_away = False
        self.now = make.NOON

    async def add(self, counted: Mapping[Key, Spent]) -> None:
        await self._trip("add")
        for key, spent in counted.items():
            self.counts[key] = self.counts.get(key, Spent()) + spent

    async def read(self, page_id: str, day: str) -> Spent:
        await self._trip("read")
        return self.counts.get((page_id, day), Spent())

    async def _trip(self, name: str) -> None:
        self.trips.append(name)
        await asyncio.sleep(0)
        if self.is_away:
            raise MongoUnavailableError(name)

    def clock(self) -> datetime:
        return self.now

    def replica(self) -> SpendingKeeper:
        return SpendingKeeper(self, self.clock)


# --- the rule


@pytest.mark.parametrize(
    ("limits", "spent", "over"),
    [
        ({}, Spent(10**6, 10**9, 10**9), False),
        ({"daily_model_calls": 3}, Spent(2, 10**9, 0), False),
        ({"daily_model_calls": 3}, Spent(3), True),
        ({"daily_model_calls": 0}, Spent(), True),
        ({"daily_model_tokens": 100}, Spent(9, 60, 39), False),
        ({"daily_model_tokens": 100}, Spent(9, 60, 40), True),
        ({"daily_model_calls": 3, "daily_model_tokens": 100}, Spent(1, 100, 0), True),
    ],
)
def test_when_it_is_enough(limits: dict[str, int], spent: Spent, over: bool) -> None:
    settings = ChannelSettings.model_validate(limits)
    assert is_over(settings, spent) is over
    assert has_limits(settings) is bool(limits)


def test_a_day_is_one_of_utc() -> None:
    assert day_of(datetime.fromisoformat("2026-03-02T01:30:00+02:00")) == "2026-03-01"


# --- the keeper


async def test_a_call_counts_at_once_and_costs_no_round_trip() -> None:
    database = Database()
    replica = database.replica()
    assert await replica.today("p") == Spent()
    for _ in range(100):
        replica.count("p", ONE)
        await replica.today("p")
    assert await replica.today("p") == Spent(100, 1000, 500)
    assert database.trips == ["read"]
    await replica.sync()
    assert database.trips == ["read", "add", "read"]
    assert await replica.today("p") == Spent(100, 1000, 500)


async def test_nothing_counted_and_nobody_asking_costs_nothing() -> None:
    database = Database()
    await database.replica().sync()
    assert database.trips == []


async def test_pages_without_limits_are_only_written_and_together() -> None:
    database = Database()
    replica = database.replica()
    for number in range(50):
        replica.count(f"p{number}", ONE)
    await replica.sync()
    assert database.trips == ["add"]
    assert len(database.counts) == 50


async def test_counts_survive_a_restart_and_are_those_of_all_replicas() -> None:
    database = Database()
    first, second = database.replica(), database.replica()
    first.count("p", ONE)
    second.count("p", ONE)
    assert await second.today("p") == ONE
    await first.sync()
    await second.sync()
    assert await second.today("p") == Spent(2, 20, 10)
    assert await database.replica().today("p") == Spent(2, 20, 10)


async def test_a_new_day_begins_with_nothing() -> None:
    database = Database()
    replica = database.replica()
    replica.count("p", ONE)
    database.now += timedelta(days=1)
    assert await replica.today("p") == Spent()
    await replica.sync()
    assert list(database.counts) == [("p", "2026-03-01")]


async def test_while_the_database_is_away_nothing_is_forgotten() -> None:
    database = Database()
    replica = database.replica()
    await replica.today("p")
    replica.count("p", ONE)
    database.is_away = True
    with pytest.raises(MongoUnavailableError):
        await replica.sync()
    assert await replica.today("p") == ONE
    replica.count("p", ONE)
    database.is_away = False
    await replica.sync()
    assert database.counts[("p", "2026-03-01")] == Spent(2, 20, 10)


async def test_what_is_counted_during_a_write_is_in_neither_twice_nor_lost() -> None:
    database = Database()
    replica = database.replica()
    await replica.today("p")
    replica.count("p", ONE)
    syncing = asyncio.create_task(replica.sync())
    await asyncio.sleep(0)
    replica.count("p", ONE)
    assert await replica.today("p") == Spent(2, 20, 10)
    await syncing
    assert await replica.today("p") == Spent(2, 20, 10)


async def test_a_stopped_service_leaves_nothing_uncounted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spending, "SYNC_EVERY_S", 3600)
    database = Database()
    replica = database.replica()
    running = asyncio.create_task(replica.run())
    await asyncio.sleep(0)
    replica.count("p", ONE)
    await replica.stop(1)
    async with asyncio.timeout(5):
        await running
    assert database.counts[("p", "2026-03-01")] == ONE


async def test_an_outage_does_not_end_the_keeping(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spending, "SYNC_EVERY_S", 0.001)
    database = Database()
    database.is_away = True
    replica = database.replica()
    replica.count("p", ONE)
    running = asyncio.create_task(replica.run())
    async with asyncio.timeout(5):
        while len(database.trips) < 3:
            await asyncio.sleep(0.001)
        database.is_away = False
        while not database.counts:
            await asyncio.sleep(0.001)
        await replica.stop(1)
        await running
    assert database.counts[("p", "2026-03-01")] == ONE


@PATIENTLY
@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["count", "sync", "fail", "kill"]))))
def test_the_sum_is_never_more_than_was_spent_and_less_only_by_what_was_killed(
    steps: list[tuple[int, str]],
) -> None:
    async def play() -> None:
        database = Database()
        replicas = [database.replica() for _ in range(3)]
        unsynced, lost, spent = [0, 0, 0], 0, 0
        for which, step in steps:
            database.is_away = step == "fail"
            if step == "count":
                replicas[which].count("p", ONE)
                unsynced[which] += 1
                spent += 1
            elif step == "kill":
                lost += unsynced[which]
                replicas[which], unsynced[which] = database.replica(), 0
            else:
                try:
                    await replicas[which].sync()
                    unsynced[which] = 0
                except MongoUnavailableError:
                    pass
        database.is_away = False
        for replica in replicas:
            await replica.sync()
        total = database.counts.get(("p", "2026-03-01"), Spent()).calls
        assert total == spent - lost

    asyncio.run(play())


# --- in a turn


@pytest.mark.parametrize("limit", [{"daily_model_calls": 2}, {"daily_model_tokens": 10}])
async def test_over_the_limit_no_model_is_asked_and_a_human_is_called(
    limit: dict[str, int],
) -> None:
    world = World()
    settings = CHANNEL.settings.model_copy(update=limit)
    world.page = CHANNEL.model_copy(update={"settings": settings})
    for number in range(4):
        world.steps.clear()
        world.write(make.message(f"m{number}"))
        await world.handle()
        assert world.round_trips == {"load": 1, "save": 1}
    texts = [command.text for command in world.commands]
    assert texts == ["Answer 1", "Answer 2", settings.fallback_text, settings.fallback_text]
    assert [each.reason for each in world.requested] == ["limit_reached"]
    turn = world.state.turn
    assert turn is not None
    assert (turn.failure, turn.failed_attempts) == ("daily_limit", 0)


async def test_every_call_counts_also_those_that_failed_or_were_thrown_away() -> None:
    world = World(model_attempts=2)
    world.answers = [AssistantRefusedError("bad key")]

    async def interrupted(asked: int) -> None:
        if asked == 2:
            world.write(make.message("m3", "and more"))
            await asyncio.Event().wait()

    world.on_ask = interrupted
    for mid in ("m1", "m2"):
        world.write(make.message(mid))
        await world.handle()
    assert world.spent == Spent(calls=3, input_tokens=3, output_tokens=2)


def test_labels_stay_few() -> None:
    replica = Database().replica()
    for number in range(MOST_LABELS + 50):
        replica.count(f"label-{number}", ONE)

    def value(page: str) -> Any:  # noqa: ANN401
        return REGISTRY.get_sample_value("assistant_page_model_calls_total", {"page": page})

    assert value(f"label-{MOST_LABELS - 1}") == 1
    assert value(f"label-{MOST_LABELS}") is None
    assert value(OTHER) == 50
