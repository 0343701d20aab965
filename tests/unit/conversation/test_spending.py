"""What a Page costs a day: counted at once, stored behind the turns' backs, shared by replicas."""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from libs.common.channels import ChannelSettings
from libs.common.mongo import MongoUnavailableError
from services.conversation import asking, spending
from services.conversation.asking import estimated_tokens
from services.conversation.assistants.base import (
    UNKNOWN,
    AssistantRefusedError,
    AssistantUnavailableError,
    Prompt,
    Reply,
    Tokens,
)
from services.conversation.domain.spending import Spent, day_of, has_limits, is_over
from services.conversation.domain.turns import Answer
from services.conversation.spending import MOST_LABELS, OTHER, SpendingKeeper
from tests.unit.conversation import factories as make
from tests.unit.conversation.factories import PATIENTLY
from tests.unit.conversation.world import CHANNEL, World

ONE = Spent(1, 10, 5)
REPLY = Reply("Yes", "small", 0.1, 10, 5)
PROMPT = Prompt("answer", "You are Crumb.", "We bake bread.", (), "Are you open today?")
EXPECTED = estimated_tokens(PROMPT)
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


async def spend(replica: SpendingKeeper, page_id: str, spent: Spent = ONE) -> None:
    """A call that cost what was expected."""
    settle = await replica.begin(page_id, ChannelSettings(), spent)
    assert settle is not None
    settle(spent)


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
        await spend(replica, "p")
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
        await spend(replica, f"p{number}")
    await replica.sync()
    assert database.trips == ["add"]
    assert len(database.counts) == 50


async def test_counts_survive_a_restart_and_are_those_of_all_replicas() -> None:
    database = Database()
    first, second = database.replica(), database.replica()
    await spend(first, "p")
    await spend(second, "p")
    assert await second.today("p") == ONE
    await first.sync()
    await second.sync()
    assert await second.today("p") == Spent(2, 20, 10)
    assert await database.replica().today("p") == Spent(2, 20, 10)


async def test_a_new_day_begins_with_nothing() -> None:
    database = Database()
    replica = database.replica()
    await spend(replica, "p")
    database.now += timedelta(days=1)
    assert await replica.today("p") == Spent()
    await replica.sync()
    assert list(database.counts) == [("p", "2026-03-01")]


async def test_while_the_database_is_away_nothing_is_forgotten() -> None:
    database = Database()
    replica = database.replica()
    await replica.today("p")
    await spend(replica, "p")
    database.is_away = True
    with pytest.raises(MongoUnavailableError):
        await replica.sync()
    assert await replica.today("p") == ONE
    await spend(replica, "p")
    database.is_away = False
    await replica.sync()
    assert database.counts[("p", "2026-03-01")] == Spent(2, 20, 10)


async def test_what_is_counted_during_a_write_is_in_neither_twice_nor_lost() -> None:
    database = Database()
    replica = database.replica()
    await replica.today("p")
    await spend(replica, "p")
    syncing = asyncio.create_task(replica.sync())
    await asyncio.sleep(0)
    await spend(replica, "p")
    assert await replica.today("p") == Spent(2, 20, 10)
    await syncing
    assert await replica.today("p") == Spent(2, 20, 10)


async def test_a_stopped_service_leaves_nothing_uncounted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spending, "SYNC_EVERY_S", 3600)
    database = Database()
    replica = database.replica()
    running = asyncio.create_task(replica.run())
    await asyncio.sleep(0)
    await spend(replica, "p")
    await replica.stop(1)
    async with asyncio.timeout(5):
        await running
    assert database.counts[("p", "2026-03-01")] == ONE


async def test_an_outage_does_not_end_the_keeping(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spending, "SYNC_EVERY_S", 0.001)
    database = Database()
    database.is_away = True
    replica = database.replica()
    await spend(replica, "p")
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
                await spend(replicas[which], "p")
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


# --- calls in flight


class Model:
    """Answers when it is let, in any order; some calls fail."""

    def __init__(self, *outcomes: Reply | Exception) -> None:
        self.calls = 0
        self.let = asyncio.Event()
        self._outcomes = outcomes or (REPLY,)

    async def reply(self, prompt: Prompt) -> Reply:
        outcome = self._outcomes[self.calls % len(self._outcomes)]
        self.calls += 1
        await self.let.wait()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def settings_of(**limits: int) -> ChannelSettings:
    return ChannelSettings.model_validate(limits)


async def ask(
    model: Model,
    replica: SpendingKeeper,
    limits: ChannelSettings,
    attempts: int = 1,
    deadline_s: float = 60.0,
) -> Answer:
    begin = partial(replica.begin, "p", limits)
    return await asking.ask(
        model, PROMPT, fallback="Sorry", attempts=attempts, deadline_s=deadline_s, begin=begin
    )


async def ask_at_once(
    people: int, model: Model, replica: SpendingKeeper, limits: ChannelSettings, attempts: int = 1
) -> list[Answer]:
    asked = [asyncio.create_task(ask(model, replica, limits, attempts)) for _ in range(people)]
    for _ in range(10):  # all of them are as far as they get before any answer
        await asyncio.sleep(0)
    model.let.set()
    return await asyncio.gather(*asked)


async def test_of_fifty_people_at_once_as_many_are_answered_as_the_limit_has_calls() -> None:
    model, replica = Model(), Database().replica()
    answers = await ask_at_once(50, model, replica, settings_of(daily_model_calls=1))
    assert model.calls == 1
    assert [answer.failure for answer in answers].count("daily_limit") == 49
    assert await replica.today("p") == Spent(1, 10, 5)


async def test_tokens_of_calls_in_flight_count_as_what_is_to_be_read() -> None:
    model, replica = Model(), Database().replica()
    limit = 3 * EXPECTED
    await ask_at_once(50, model, replica, settings_of(daily_model_tokens=limit))
    assert model.calls == 3


async def test_every_attempt_asks_whether_it_may() -> None:
    model, replica = Model(AssistantUnavailableError("busy")), Database().replica()
    model.let.set()
    answer = await ask(model, replica, settings_of(daily_model_calls=2), attempts=3)
    assert (model.calls, answer.failure, answer.failed_attempts) == (2, "daily_limit", 2)


@pytest.mark.parametrize(
    ("outcome", "tokens"),
    [
        (REPLY, (10, 5)),
        (Reply("Yes", "small", 0.1), (EXPECTED, 0)),  # a provider that counts nothing
        (AssistantUnavailableError("busy"), (0, 0)),
        (AssistantUnavailableError("no answer in 30 s", tokens=UNKNOWN), (EXPECTED, 0)),
        (AssistantUnavailableError("an empty answer", tokens=Tokens(10, 900)), (10, 900)),
        (AssistantRefusedError("bad key"), (0, 0)),
        (AssistantRefusedError("content filter", Tokens(10, 3)), (10, 3)),
        (ZeroDivisionError(), (EXPECTED, 0)),
    ],
)
async def test_what_a_call_cost_is_counted_whatever_came_of_it(
    outcome: Reply | Exception, tokens: tuple[int, int]
) -> None:
    model, replica = Model(outcome), Database().replica()
    model.let.set()
    await ask(model, replica, ChannelSettings())
    assert await replica.today("p") == Spent(1, *tokens)


@pytest.mark.parametrize("how", ["cancelled", "deadline"])
async def test_who_does_not_wait_for_the_answer_has_paid_for_the_question(how: str) -> None:
    model, replica = Model(), Database().replica()
    deadline_s = 60.0 if how == "cancelled" else 0.01
    task = asyncio.create_task(ask(model, replica, ChannelSettings(), deadline_s=deadline_s))
    await asyncio.sleep(0)
    if how == "cancelled":
        task.cancel()
    await asyncio.wait({task})
    assert await replica.today("p") == Spent(1, EXPECTED, 0)


async def test_a_call_over_midnight_is_of_the_day_on_which_it_began() -> None:
    database = Database()
    replica = database.replica()
    settle = await replica.begin("p", settings_of(daily_model_calls=5), Spent(1, 100))
    assert settle is not None
    await replica.sync()
    database.now += timedelta(days=1)
    settle(ONE)
    assert await replica.today("p") == Spent()
    await replica.sync()
    assert database.counts == {("p", "2026-03-01"): ONE}


@PATIENTLY
@given(
    calls=st.integers(0, 8),
    people=st.integers(0, 12),
    attempts=st.integers(1, 3),
    fails=st.lists(st.booleans(), min_size=1, max_size=4),
    syncs=st.booleans(),
)
def test_no_call_is_made_beyond_the_limit_and_none_refused_before_it(
    calls: int, people: int, attempts: int, fails: list[bool], syncs: bool
) -> None:
    async def play() -> None:
        busy = AssistantUnavailableError("busy")
        model = Model(*[busy if each else REPLY for each in fails])
        replica = Database().replica()
        limits = settings_of(daily_model_calls=calls)
        syncing = asyncio.create_task(replica.sync()) if syncs else None
        answers = await ask_at_once(people, model, replica, limits, attempts=attempts)
        if syncing is not None:
            await syncing
        assert model.calls <= calls
        if any(answer.failure == "daily_limit" for answer in answers):
            assert model.calls == calls
        assert (await replica.today("p")).calls == model.calls

    asyncio.run(play())


# --- in a turn


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "FIRST_BACKOFF_S", 0)


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
    left = estimated_tokens(world.prompts[1])  # nobody told what the call that was left has cost
    assert world.spent == Spent(calls=3, input_tokens=left + 3, output_tokens=2)


async def test_labels_stay_few() -> None:
    replica = Database().replica()
    for number in range(MOST_LABELS + 50):
        await spend(replica, f"label-{number}")

    def value(page: str) -> Any:  # noqa: ANN401
        return REGISTRY.get_sample_value("assistant_page_model_calls_total", {"page": page})

    assert value(f"label-{MOST_LABELS - 1}") == 1
    assert value(f"label-{MOST_LABELS}") is None
    assert value(OTHER) == 50
