"""Wherever a sender ends, the next one brings every part to exactly one end."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from itertools import groupby

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.common.errors import TransientError
from libs.common.events import SendText
from services.sender.domain.claims import Claim
from services.sender.part import MAX_ATTEMPTS
from tests.unit.sender.world import (
    BLOCKED,
    CHANNEL,
    LIMITED,
    LIMITED_FOR_PERSON,
    LOST,
    NOT_TAKEN_500,
    OK,
    PAGE,
    TAKEN_500,
    TAKEN_LATE,
    TAKEN_UNSEEN,
    TOKEN_DEAD,
    UNREACHABLE,
    CrashError,
    Reply,
    World,
    send_text,
)
from tests.virtual_time import run_virtually

TWO_PARTS = "\n\n".join(letter * 40 for letter in "ab")
TWO_IDS = ["c1:0", "c1:1"]
LIMITED_FOR_LONG = replace(LIMITED, retry_after_s=20.0)
PERSON_LIMITED_FOR_LONG = replace(LIMITED_FOR_PERSON, retry_after_s=20.0)
KEPT = [TOKEN_DEAD, LIMITED_FOR_LONG, PERSON_LIMITED_FOR_LONG]
REPLIES = [
    *(OK, TAKEN_UNSEEN, TAKEN_LATE, LOST, TAKEN_500, NOT_TAKEN_500, LIMITED, UNREACHABLE),
    *KEPT,
]


def a_world() -> World:
    world = World()
    limited = CHANNEL.settings.model_copy(update={"max_message_length": 60})
    world.channels.known[PAGE] = CHANNEL.model_copy(update={"settings": limited})
    return world


async def run_until_done(world: World, crashes: list[int]) -> None:
    """One process after the other; each but the last ends at the given moment, if it gets there."""
    for crash in crashes:
        world.start(crash_at=[crash])
        with suppress(CrashError):
            await world.deliver(send_text(TWO_PARTS))
            await world.until_nothing_is_kept(step_s=5)
    world.start()
    await world.deliver(send_text(TWO_PARTS))
    await world.until_nothing_is_kept(step_s=5)


def moments(reply: Reply) -> list[str]:
    """Every moment of an undisturbed run at which the process could end."""

    async def undisturbed() -> list[str]:
        world = a_world()
        world.meta.script = [reply]
        await world.deliver(send_text(TWO_PARTS))
        await world.until_nothing_is_kept(step_s=5)
        return world.points.passed

    return run_virtually(undisturbed())


@pytest.mark.parametrize(
    "reply",
    REPLIES,
    ids=[
        *("ok", "unseen", "late", "lost", "taken 500", "not taken 500", "limit", "unreachable"),
        *("token", "long limit", "person's long limit"),
    ],
)
def test_a_crash_at_any_moment_and_another_after_it_leave_each_part_sent_once(reply: Reply) -> None:
    async def crashing(crashes: list[int]) -> World:
        world = a_world()
        world.meta.script = [reply]
        await run_until_done(world, crashes)
        return world

    names = moments(reply)
    assert {"claim", "claimed", "post", "answered", "finish", "finished", "publish"} <= set(names)
    for first in range(len(names)):
        for second in (None, *range(first % 3, len(names), max(2, len(names) // 8))):
            crashes = [first] if second is None else [first, second]
            world = run_virtually(crashing(crashes))
            assert world.accepted() == TWO_IDS, crashes
            assert world.outcomes() == [(each, "message.sent") for each in TWO_IDS], crashes


def test_the_check_would_notice_a_blind_retry() -> None:
    """A mutant: without evidence, a crash after Meta took the part sends it twice."""

    async def forgetful() -> World:
        world = a_world()
        world.start(crash_at=[moments_of_first("answered")])
        with suppress(CrashError):
            await world.deliver(send_text(TWO_PARTS))
        world.conversation.sending = None
        world.start()
        await world.deliver(send_text(TWO_PARTS))
        return world

    def moments_of_first(name: str) -> int:
        return names.index(name)

    names = moments(OK)
    assert run_virtually(forgetful()).accepted() == ["c1:0", *TWO_IDS]


replies = st.sampled_from([*REPLIES, BLOCKED])


@settings(max_examples=100, deadline=None)
@given(
    script=st.lists(replies, max_size=6),
    crashes=st.lists(st.integers(0, 40), max_size=4),
    commands=st.integers(1, 3),
    takeover_at=st.one_of(st.none(), st.integers(0, 8)),
    outages=st.sets(st.integers(0, 12), max_size=3),
    again=st.booleans(),
)
def test_whatever_happens_no_part_is_taken_twice_none_is_lost_and_order_is_kept(
    script: list[Reply],
    crashes: list[int],
    commands: int,
    takeover_at: int | None,
    outages: set[int],
    again: bool,
) -> None:
    taken_over_after: list[int] = []

    async def story() -> World:
        world = a_world()
        world.meta.script = list(script)
        claims = 0

        def before_claim(_claim: Claim) -> None:
            nonlocal claims
            if claims == takeover_at:
                world.conversation.mode, world.conversation.epoch = "human", 1
                taken_over_after.append(len(world.meta.posts))
            claims += 1
            if claims in outages:
                raise TransientError("away")

        world.store.before_claim = before_claim
        wanted = [send_text(TWO_PARTS, f"c{number}") for number in range(commands)]
        left = list(crashes)
        while True:
            world.start(crash_at=[left.pop(0)] if left else [])
            try:
                await deliver_all(world, [*wanted, *wanted] if again else wanted)
                await until_nothing_is_kept(world)
            except CrashError:
                continue
            return world

    async def until_nothing_is_kept(world: World) -> None:
        while world.kept.kept:
            with suppress(TransientError):
                await world.until_nothing_is_kept(step_s=5)

    async def deliver_all(world: World, wanted: list[SendText]) -> None:
        for offset, command in enumerate(wanted):
            while True:
                try:
                    await world.deliver(command, offset=offset)
                    break
                except TransientError:
                    await asyncio.sleep(1)

    world = run_virtually(story())

    accepted = world.accepted()
    assert len(accepted) == len(set(accepted))
    assert accepted == sorted(accepted)
    outcomes = dict(world.outcomes())
    assert set(outcomes) == {f"c{number}:{part}" for number in range(commands) for part in (0, 1)}
    sent = {send_id for send_id, kind in outcomes.items() if kind == "message.sent"}
    assert sent == set(accepted)
    held = {send_id for send_id, kind in outcomes.items() if kind == "message.held"}
    assert all(world.store.deliveries[send_id].attempts == MAX_ATTEMPTS for send_id in held)
    for _, parts in groupby(sorted(outcomes.items()), key=lambda item: item[0].split(":")[0]):
        first, second = [kind for _, kind in parts]
        assert first != "message.failed" or second == "message.failed"
    if taken_over_after:
        later = [send_id for send_id, _ in world.meta.posts[taken_over_after[0] :]]
        assert later == []


@settings(max_examples=60, deadline=None)
@given(
    script=st.lists(st.sampled_from([OK, TAKEN_UNSEEN, LOST, TAKEN_500, LIMITED]), max_size=4),
    crashes=st.lists(st.integers(0, 40), max_size=4),
    echo_delay_s=st.sampled_from([None, 0.0, 1.0, 30.0]),
)
def test_without_a_readable_thread_nothing_is_taken_twice_and_every_part_has_an_end(
    script: list[Reply], crashes: list[int], echo_delay_s: float | None
) -> None:
    async def story() -> World:
        world = a_world()
        world.meta.script, world.meta.readable = list(script), False
        if echo_delay_s is not None:
            world.meta.echo_delay_s = echo_delay_s
            world.meta.echo = lambda echo: world.echoes.heard(echo)  # of whoever runs by then
        await run_until_done(world, crashes)
        return world

    world = run_virtually(story())

    accepted = world.accepted()
    assert len(accepted) == len(set(accepted))
    assert accepted == sorted(accepted)
    outcomes = dict(world.outcomes())
    assert set(outcomes) == set(TWO_IDS)
    sent = {send_id for send_id, kind in outcomes.items() if kind == "message.sent"}
    assert sent <= set(accepted)


@pytest.mark.parametrize("reply", [OK, TAKEN_UNSEEN, TAKEN_LATE, LOST, NOT_TAKEN_500, LIMITED])
@pytest.mark.parametrize("later_s", [0.0, 0.01, 0.06, 1.0, 5.0, 11.5, 13.0])
def test_two_owners_of_one_command_send_it_once(reply: Reply, later_s: float) -> None:
    """A rebalance: the old owner is still at it when the new one begins."""

    async def story() -> World:
        world = a_world()
        world.meta.script = [reply, reply]
        old = asyncio.create_task(world.deliver(send_text(TWO_PARTS)))
        await asyncio.sleep(later_s)
        world.start()
        await asyncio.gather(old, world.deliver(send_text(TWO_PARTS)))
        return world

    world = run_virtually(story())

    assert world.accepted() == TWO_IDS
    assert world.outcomes() == [(each, "message.sent") for each in TWO_IDS]


@pytest.mark.parametrize("moment", ["claimed", "answered", "finished"])
def test_a_command_given_up_and_replayed_after_others_is_sent_once(moment: str) -> None:
    """Its claim was overwritten by later commands: that it was begun is still remembered."""

    async def story() -> World:
        world = a_world()
        world.start(crash_at=[names.index(moment)])
        with suppress(CrashError):
            await world.deliver(send_text(TWO_PARTS), offset=1)
        world.start()
        await world.deliver(send_text("next", "c2"), offset=2)
        await asyncio.sleep(60)
        await world.deliver(send_text(TWO_PARTS), offset=3)
        return world

    names = moments(OK)
    assert moment in names
    assert sorted(run_virtually(story()).accepted()) == [*TWO_IDS, "c2:0"]
