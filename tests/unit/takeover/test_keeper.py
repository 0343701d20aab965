"""Every step may be the last one before a crash, and any two may be in each other's way."""

import asyncio
import random
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.common.events import TakeoverEnded, TakeoverExtended, TakeoverStarted
from services.takeover import keeper as keeper_module
from services.takeover.domain.fence import Delivery
from services.takeover.domain.transitions import (
    Command,
    Extend,
    FacebookReply,
    Refused,
    Resume,
    Take,
    ThreadControl,
)
from services.takeover.keeper import ContendedError, Keeper, Outcome, UnknownConversationError
from services.takeover.store import Found
from tests.unit.takeover.world import (
    CONVERSATION,
    MINUTE,
    NOON,
    SECOND,
    Crash,
    Log,
    Rows,
    Store,
    World,
    claim,
)

ANN = Take("user:ann", "Ann", 30)
UNKNOWN = "100:999"


def check_settled(world: World) -> None:
    """All is told, and the rows say what the conversations say."""
    facts = world.facts()
    for conversation, found in world.conversations.items():
        state, row = found.state, world.rows.get(conversation)
        assert found.untold == ()
        hands = [f for f in facts if not isinstance(f, TakeoverExtended)]
        epochs = sorted(f.epoch for f in hands if f.conversation_id == conversation)
        assert epochs == list(range(1, state.epoch + 1)), "each change of hands is told, once"
        if state.mode == "human":
            assert row is not None
            assert (row["mode"], row["auto_resume_at"]) == ("human", state.auto_resume_at)
        else:
            assert row is None or row["mode"] == "ai"


async def test_a_takeover_is_announced_written_told_and_settled_in_this_order() -> None:
    world = World()
    outcome = await world.keeper().carry_out(CONVERSATION, ANN)
    assert world.steps == ["find", "announce", "change", "publish", "told", "settle"]
    assert outcome.refused is None
    assert outcome.found.state == world.state()
    (fact,) = world.log
    assert isinstance(fact, TakeoverStarted)
    check_settled(world)


async def test_who_comes_second_is_told_who_has_it() -> None:
    world = World()
    await world.keeper().carry_out(CONVERSATION, ANN)
    outcome = await world.keeper().carry_out(CONVERSATION, Take("user:bob"))
    assert outcome.refused == Refused("already_taken")
    assert outcome.found.state.by == "user:ann"


async def test_a_conversation_that_nobody_knows_is_made_for_what_facebook_tells_only() -> None:
    world = World()
    with pytest.raises(UnknownConversationError):
        await world.keeper().carry_out(UNKNOWN, ANN)
    await world.keeper().heard(UNKNOWN, ThreadControl(NOON, ours=True))
    assert UNKNOWN not in world.conversations
    await world.keeper().heard(UNKNOWN, FacebookReply(NOON, 30))
    assert world.state(UNKNOWN).by == "facebook"
    check_settled(world)


async def test_a_timer_ends_a_takeover_within_a_second_and_the_row_goes_a_minute_later() -> None:
    world = World()
    await world.keeper().carry_out(CONVERSATION, ANN)
    await world.pass_time(NOON + 30 * MINUTE - SECOND)
    assert world.state().mode == "human"
    await world.pass_time(NOON + 30 * MINUTE + SECOND)
    assert world.state().mode == "ai"
    ended = world.facts()[-1]
    assert isinstance(ended, TakeoverEnded)
    assert (ended.by, ended.reason) == ("timer", "auto_resume")
    assert ended.occurred_at - (NOON + 30 * MINUTE) < SECOND
    await world.pass_time(NOON + 33 * MINUTE)
    assert world.rows == {}
    assert len(world.log) == 2


async def test_extending_moves_the_timer() -> None:
    world = World()
    await world.keeper().carry_out(CONVERSATION, ANN)
    await world.pass_time(NOON + 20 * MINUTE)
    await world.keeper().carry_out(CONVERSATION, Extend("user:ann", 5))
    await world.pass_time(NOON + 25 * MINUTE - SECOND)
    assert world.state().mode == "human"
    await world.keeper().carry_out(CONVERSATION, Extend("user:ann", 60))
    await world.pass_time(NOON + 84 * MINUTE)
    assert world.state().mode == "human"
    await world.pass_time(NOON + 86 * MINUTE)
    assert world.state().mode == "ai"
    check_settled(world)


async def test_a_timer_goes_by_the_wall_clock_whichever_way_that_is_set() -> None:
    world = World()
    await world.keeper().carry_out(CONVERSATION, ANN)
    world.now = NOON - 60 * MINUTE
    await world.pass_time(NOON + 29 * MINUTE)
    assert world.state().mode == "human"
    world.now = NOON + 45 * MINUTE
    await world.pass_time(world.now + SECOND)
    assert world.state().mode == "ai"
    check_settled(world)


async def test_a_takeover_without_a_timer_stays() -> None:
    world = World()
    await world.keeper().carry_out(CONVERSATION, Take("user:ann"))
    await world.pass_time(NOON + timedelta(days=3), every=MINUTE)
    assert world.state().mode == "human"
    check_settled(world)


async def test_taking_over_works_while_kafka_is_away_and_is_told_afterwards() -> None:
    world = World()
    world.kafka_is_away = True
    outcome = await world.keeper().carry_out(CONVERSATION, ANN)
    assert outcome.found.state.mode == "human"
    await world.keeper().carry_out(CONVERSATION, Resume("user:ann"))
    await world.pass_time(NOON + 10 * SECOND)
    assert world.log == []
    world.kafka_is_away = False
    await world.pass_time(NOON + 13 * SECOND)
    assert [type(fact) for fact in world.facts()] == [TakeoverStarted, TakeoverEnded]
    check_settled(world)


@pytest.mark.parametrize("command", [ANN, Extend("user:ann", 60), Resume("user:ann")], ids=repr)
async def test_a_crash_at_any_step_loses_nothing(command: Command) -> None:
    steps = 7
    for crash_at in range(steps):
        world = World()
        if not isinstance(command, Take):
            await world.keeper().carry_out(CONVERSATION, ANN)
        await _crash(world, crash_at, command)
        written, began = world.state(), world.now
        await world.pass_time(began + 10 * SECOND)
        assert world.state() == written, "nobody does what was not done"
        check_settled(world)
        if written.mode == "ai":
            await world.pass_time(began + 3 * MINUTE)
            assert world.rows == {}
        await world.pass_time(NOON + 62 * MINUTE)
        assert world.state().mode == "ai", "the timer was not lost"
        check_settled(world)


async def _crash(world: World, crash_at: int, command: Command) -> None:
    left = crash_at

    def crash(_name: str) -> None:
        nonlocal left
        if left == 0:
            raise Crash
        left -= 1

    world.on_step = crash
    try:
        await world.keeper().carry_out(CONVERSATION, command)
    except Crash:
        pass
    finally:
        world.on_step = lambda _: None


commands: st.SearchStrategy[Command] = st.one_of(
    st.builds(
        Take, by=st.sampled_from(["user:a", "user:b"]), auto_resume_minutes=st.sampled_from([5, 30])
    ),
    st.builds(Extend, by=st.just("user:a"), auto_resume_minutes=st.integers(5, 30)),
    st.just(Resume("user:a")),
    st.builds(FacebookReply, at=st.just(NOON), auto_resume_minutes=st.just(5)),
    st.builds(ThreadControl, at=st.just(NOON), ours=st.booleans()),
)


@given(st.lists(commands, min_size=2, max_size=6), st.integers(0, 2**32), st.booleans())
@settings(max_examples=150, deadline=None)
def test_any_interleaving_with_crashes_ends_told_settled_and_with_its_timers(
    asked: list[Command], seed: int, crashes: bool
) -> None:
    asyncio.run(_interleave(asked, random.Random(seed), crashes=crashes))


async def _interleave(asked: list[Command], chance: random.Random, *, crashes: bool) -> None:
    world = World()
    world.yields = lambda: chance.randrange(4)

    def crash_now_and_then(_name: str) -> None:
        if crashes and chance.random() < 0.08:
            raise Crash

    async def looks_after_all() -> None:
        for _ in range(10):
            await world.pass_time(world.now + SECOND)

    async def process(command: Command) -> Outcome | None:
        try:
            return await world.keeper().carry_out(CONVERSATION, command)
        except (Crash, ContendedError):
            return None

    async def replica() -> None:
        with suppress(Crash):
            await looks_after_all()

    world.on_step = crash_now_and_then
    await asyncio.gather(replica(), replica(), *(process(command) for command in asked))
    world.on_step = lambda _: None
    await world.pass_time(world.now + 2 * MINUTE)
    check_settled(world)
    await world.pass_time(world.now + 40 * MINUTE, every=5 * SECOND)
    assert world.state().mode == "ai", "every takeover here has a timer"
    assert world.rows == {}
    check_settled(world)


@given(st.integers(0, 2**32), st.integers(2, 8))
@settings(max_examples=50, deadline=None)
def test_of_all_who_take_over_at_once_exactly_one_has_it(seed: int, admins: int) -> None:
    async def race() -> None:
        world, chance = World(), random.Random(seed)
        world.yields = lambda: chance.randrange(4)
        outcomes = await asyncio.gather(
            *(
                world.keeper().carry_out(CONVERSATION, Take(f"user:{number}"))
                for number in range(admins)
            )
        )
        winners = [outcome for outcome in outcomes if outcome.refused is None]
        assert len(winners) == 1
        assert {o.found.state.by for o in outcomes} == {winners[0].found.state.by}
        assert world.state().epoch == 1
        await world.pass_time(world.now + 10 * SECOND)  # losers may have kept the row from it
        check_settled(world)

    asyncio.run(race())


async def test_no_row_is_removed_under_a_change_that_is_still_to_come() -> None:
    world, go_on = World(), asyncio.Event()

    class Slow(Store):
        async def change(self, *given: Any, **more: Any) -> Found | None:  # noqa: ANN401
            await go_on.wait()
            return await super().change(*given, **more)

    def crash(name: str) -> None:
        if name == "publish":
            raise Crash

    slow = Keeper(Slow(world), Rows(world), Log(world), world.clock)
    process = asyncio.create_task(slow.carry_out(CONVERSATION, ANN))
    while "announce" not in world.steps:
        await asyncio.sleep(0)
    await world.pass_time(NOON + 9 * SECOND)  # others look, and find that nothing has come of it
    go_on.set()
    world.on_step = crash
    with pytest.raises(Crash):
        await process
    world.on_step = lambda _: None
    await world.pass_time(NOON + 2 * MINUTE)
    assert world.state().mode == "human"
    check_settled(world)


async def test_a_change_that_comes_too_long_after_its_announcement_is_announced_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keeper_module, "ANNOUNCED_FOR", timedelta(seconds=-1))
    world = World()
    with pytest.raises(ContendedError):
        await world.keeper().carry_out(CONVERSATION, ANN)
    assert "change" not in world.steps


async def test_take_over_answers_at_once_where_nothing_is_on_its_way() -> None:
    world = World()
    for found in (
        Found(CONVERSATION),
        Found(CONVERSATION, claim=claim(until=NOON)),
        Found(CONVERSATION, claim=claim(unused=True)),
    ):
        world.steps.clear()
        await world.keeper().until_quiet(found)
        assert "delivery" not in world.steps


async def test_take_over_waits_until_the_part_on_its_way_has_its_delivery() -> None:
    world = World()
    found = Found(CONVERSATION, claim=claim())
    world.conversations[CONVERSATION] = found
    waiting = asyncio.create_task(world.keeper().until_quiet(found))
    while world.steps.count("delivery") < 3:
        await asyncio.sleep(0.01)
    assert not waiting.done()
    world.deliveries["c1:0"] = Delivery(state="sent")
    async with asyncio.timeout(5):
        await waiting


async def test_take_over_waits_no_longer_than_the_claim_lives() -> None:
    world = World()
    found = Found(CONVERSATION, claim=claim())
    waiting = asyncio.create_task(world.keeper().until_quiet(found))
    while world.steps.count("delivery") < 2:
        await asyncio.sleep(0.01)
    world.now = NOON + 12 * SECOND
    async with asyncio.timeout(5):
        await waiting


async def test_take_over_stops_waiting_when_the_claim_turns_out_unused() -> None:
    world = World()
    found = Found(CONVERSATION, claim=claim())
    world.conversations[CONVERSATION] = found
    waiting = asyncio.create_task(world.keeper().until_quiet(found))
    while world.steps.count("delivery") < 2:
        await asyncio.sleep(0.01)
    world.conversations[CONVERSATION] = Found(CONVERSATION, claim=claim("c2"))
    before = world.steps.count("delivery")
    while world.steps.count("delivery") < before + 2:
        await asyncio.sleep(0.01)
    assert not waiting.done(), "another claim says nothing about this one"
    world.conversations[CONVERSATION] = Found(CONVERSATION, claim=claim(unused=True))
    async with asyncio.timeout(5):
        await waiting
