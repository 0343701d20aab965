"""A part that was held or has failed: sent again, discarded, or settled by late evidence."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.common.events import MessageEchoed, MessageFailed
from libs.common.paging import After
from services.sender.decisions import Decisions, NoSuchPartError, NotPossibleError
from services.sender.domain.deliveries import Delivery
from services.sender.echoes import Echoes
from services.sender.late import LateEvidence, wants_event
from services.sender.review_store import DISCARDED
from tests.unit.sender.stories import THREE_IDS, THREE_PARTS, play
from tests.unit.sender.world import (
    APP_ID,
    BLOCKED,
    CHANNEL,
    LOST,
    OK,
    PAGE,
    PSID,
    STARTED_AT,
    TAKEN_UNSEEN,
    TOKEN_DEAD,
    CrashError,
    FakeStore,
    Reply,
    World,
    send_text,
)


class FakeReview:
    """The same promises as `ReviewStore`; tests/integration proves them on a database."""

    def __init__(self, store: FakeStore) -> None:
        self.store = store
        self.untold_ids: set[str] = set()

    async def listed(
        self, whose: Mapping[str, str], states: Sequence[str], after: After | None, limit: int
    ) -> list[Delivery]:
        return [item for item in self.store.deliveries.values() if item.state in states][:limit]

    async def deliveries(self, send_ids: Iterable[str]) -> dict[str, Delivery]:
        known = self.store.deliveries
        return {send_id: known[send_id] for send_id in send_ids if send_id in known}

    async def discard(self, delivery: Delivery, now: datetime) -> Delivery | None:
        change = {"state": "failed", "reason": DISCARDED, "rule": DISCARDED, "at": now}
        return await self._settle(delivery.send_id, lambda known: known.state == "held", change)

    async def dismiss(self, delivery: Delivery) -> Delivery | None:
        await self.store.points.reach("dismiss")
        return self.store.deliveries[delivery.send_id]

    async def arrived(self, send_id: str, mid: str, now: datetime) -> Delivery | None:
        change = {"state": "sent", "mid": mid, "rule": "found_by_echo", "at": now}
        return await self._settle(
            send_id, lambda known: known.state == "held" or known.reason == DISCARDED, change
        )

    async def untold(self, before: datetime, limit: int) -> list[Delivery]:
        return [self.store.deliveries[send_id] for send_id in sorted(self.untold_ids)]

    async def told(self, delivery: Delivery) -> None:
        await self.store.points.reach("told")
        self.untold_ids.discard(delivery.send_id)

    async def held_ids(self, limit: int) -> list[str]:
        return [key for key, item in self.store.deliveries.items() if item.state == "held"]

    async def _settle(self, send_id: str, wanted: Any, change: dict[str, Any]) -> Delivery | None:  # noqa: ANN401
        await self.store.points.reach("settle")
        known = self.store.deliveries.get(send_id)
        if known is None or not wanted(known):
            return None
        self.store.deliveries[send_id] = known = known.model_copy(update=change)
        self.untold_ids.add(send_id)
        await self.store.points.reach("settled")
        return known


class Desks:
    """What the sender's processes have besides the delivery of commands."""

    def __init__(self, world: World) -> None:
        self.review = FakeReview(world.store)
        self.late = LateEvidence(world.desk, self.review)  # type: ignore[arg-type]
        self.decisions = Decisions(world.desk, self.review, self.late)  # type: ignore[arg-type]


async def hold(world: World, text: str = "hello", reply: Reply = TAKEN_UNSEEN) -> Desks:
    """One part that is held; from then on the thread can be read."""
    world.meta.script, world.meta.readable = [reply], False
    await world.deliver(send_text(text))
    world.meta.readable = True
    assert world.store.deliveries["c1:0"].state == "held"
    return Desks(world)


def echo(mid: str = "m_1", send_id: str = "c1:0") -> MessageEchoed:
    return MessageEchoed(
        event_id=mid,
        page_id=PAGE,
        psid=PSID,
        occurred_at=STARTED_AT,
        mid=mid,
        send_id=send_id,
        app_id=APP_ID,
    )


def test_what_was_held_and_had_not_arrived_is_sent_again_once_however_often_asked_for() -> None:
    async def story(world: World) -> None:
        desks = await hold(world, reply=LOST)
        for _ in range(3):
            await desks.decisions.send_again("c1:0", None)
        await asyncio.gather(*[desks.decisions.send_again("c1:0", 0) for _ in range(3)])
        await world.until_nothing_is_kept(within_s=60)
        with pytest.raises(NotPossibleError) as refused:
            await desks.decisions.send_again("c1:0", None)
        assert refused.value.reason == "already_sent"

    world = play(story)

    assert world.accepted() == ["c1:0"]
    assert world.outcomes() == [("c1:0", "message.held"), ("c1:0", "message.sent")]
    assert world.store.deliveries["c1:0"].generation == 1


def test_what_had_arrived_all_the_same_is_found_and_not_sent_again() -> None:
    async def story(world: World) -> None:
        desks = await hold(world)
        await desks.decisions.send_again("c1:0", None)
        await world.until_nothing_is_kept(within_s=60)

    world = play(story)

    assert world.accepted() == ["c1:0"]
    assert world.store.deliveries["c1:0"].rule == "found_by_read_back"


def test_where_nothing_can_be_seen_the_persons_word_counts() -> None:
    async def story(world: World) -> None:
        desks = await hold(world, reply=LOST)
        world.meta.readable = False
        await desks.decisions.send_again("c1:0", None)
        await world.until_nothing_is_kept(within_s=60)

    assert play(story).accepted() == ["c1:0"]


def test_the_parts_that_failed_for_its_sake_come_along_in_order() -> None:
    async def story(world: World) -> None:
        world.meta.script = [BLOCKED]
        await world.deliver(send_text(THREE_PARTS))
        desks = Desks(world)
        await desks.decisions.send_again("c1:0", None)
        await world.deliver(send_text("next", "c2"), offset=2)
        await world.until_nothing_is_kept(within_s=60)

    world = play(story)

    assert world.accepted() == [*THREE_IDS, "c2:0"]
    assert [item.text for item in world.meta.accepted][:3] == THREE_PARTS.split("\n\n")


def test_a_part_that_fails_again_tells_so_and_can_be_sent_a_third_time() -> None:
    async def story(world: World) -> None:
        world.meta.script = [BLOCKED, BLOCKED]
        await world.deliver(send_text())
        desks = Desks(world)
        await desks.decisions.send_again("c1:0", 0)
        await world.until_nothing_is_kept(within_s=60)
        with pytest.raises(NotPossibleError):
            await desks.decisions.send_again("c1:0", 0)  # what was seen has changed since
        await desks.decisions.send_again("c1:0", 1)
        await world.until_nothing_is_kept(within_s=60)

    world = play(story)

    assert world.accepted() == ["c1:0"]
    failed = [event for event in world.publisher.outcomes() if isinstance(event, MessageFailed)]
    assert len(failed) == 2  # two events, not one told twice


def test_what_is_to_be_sent_again_waits_for_reconnect_too() -> None:
    async def story(world: World) -> None:
        desks = await hold(world, reply=LOST)
        expired = CHANNEL.model_copy(update={"status": "expired"})
        world.channels.known[PAGE] = expired
        await desks.decisions.send_again("c1:0", None)
        for _ in range(100):
            await world.wake()
            await asyncio.sleep(1)
        assert world.store.deliveries["c1:0"].state == "again"
        with pytest.raises(NotPossibleError):
            await desks.decisions.discard("c1:0", None)
        world.channels.known[PAGE] = CHANNEL
        world.reconnect()
        await world.until_nothing_is_kept(within_s=60)

    assert play(story).accepted() == ["c1:0"]


def test_the_assistants_text_is_not_sent_again_while_a_person_has_the_conversation() -> None:
    async def story(world: World) -> None:
        desks = await hold(world, reply=LOST)
        world.conversation.mode, world.conversation.epoch = "human", 1
        with pytest.raises(NotPossibleError) as refused:
            await desks.decisions.send_again("c1:0", None)
        assert refused.value.reason == "superseded_by_human"
        world.conversation.mode, world.conversation.epoch = "ai", 2
        await desks.decisions.send_again("c1:0", None)
        await world.until_nothing_is_kept(within_s=60)

    assert play(story).accepted() == ["c1:0"]


def test_a_part_whose_text_is_not_kept_any_more_is_not_sent_without_it() -> None:
    async def story(world: World) -> None:
        desks = await hold(world, reply=LOST)
        held = world.store.deliveries["c1:0"]
        world.store.deliveries["c1:0"] = held.model_copy(update={"text": ""})
        with pytest.raises(NotPossibleError) as refused:
            await desks.decisions.send_again("c1:0", None)
        assert refused.value.reason == "not_kept"
        await world.until_nothing_is_kept(within_s=60)

    assert play(story).accepted() == []


def test_what_is_discarded_is_told_and_not_sent() -> None:
    async def story(world: World) -> None:
        desks = await hold(world, reply=LOST)
        assert (await desks.decisions.discard("c1:0", 0)).reason == DISCARDED
        assert (await desks.decisions.discard("c1:0", 0)).reason == DISCARDED
        with pytest.raises(NotPossibleError):
            await desks.decisions.send_again("c1:0", None)
        with pytest.raises(NoSuchPartError):
            await desks.decisions.discard("c9:0", None)

    world = play(story)

    assert world.accepted() == []
    assert world.outcomes() == [("c1:0", "message.held"), ("c1:0", "message.failed")]


@pytest.mark.parametrize("discarded", [False, True])
def test_an_echo_that_comes_late_settles_what_was_held_or_discarded(discarded: bool) -> None:
    async def story(world: World) -> None:
        desks = await hold(world)
        for record in list(world.publisher.records):
            desks.late.heard(record)  # type: ignore[arg-type]
        if discarded:
            await desks.decisions.discard("c1:0", None)
        desks.late.heard(echo())
        desks.late.heard(echo())
        await desks.late.look()

    world = play(story)

    assert world.outcomes()[-1] == ("c1:0", "message.sent")
    assert world.store.deliveries["c1:0"].mid == "m_1"


def test_an_echo_before_the_wish_was_carried_out_ends_it() -> None:
    async def story(world: World) -> None:
        desks = await hold(world)
        await desks.decisions.send_again("c1:0", None)
        for record in list(world.publisher.records):
            desks.late.heard(record)  # type: ignore[arg-type]
        desks.late.heard(echo())
        await desks.late.look()
        world.meta.readable = False
        await world.until_nothing_is_kept(within_s=60)

    assert play(story).accepted() == ["c1:0"]


def test_what_a_crash_left_untold_is_told() -> None:
    async def story(world: World) -> None:
        desks = await hold(world)
        world.publisher.away = True
        await desks.decisions.discard("c1:0", None)
        assert desks.review.untold_ids == {"c1:0"}
        world.publisher.away = False
        await desks.late.look()
        assert desks.review.untold_ids == set()

    assert play(story).outcomes()[-1] == ("c1:0", "message.failed")


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [(b"message.echoed", True), (b"message.held", True), (b"message.read", False)],
)
def test_of_all_events_only_evidence_is_parsed(kind: bytes, wanted: bool) -> None:
    assert wants_event(Echoes(APP_ID), {"type": kind}) is wanted


async def test_receipts_are_parsed_only_where_a_part_is_in_doubt() -> None:
    echoes = Echoes(APP_ID)
    headers = {"type": b"message.delivered", "conversation": b"100:200"}
    assert not wants_event(echoes, headers)
    with echoes.awaiting("c1:0", "100:200"):
        assert wants_event(echoes, headers)
        assert not wants_event(echoes, {**headers, "conversation": b"100:201"})


@pytest.mark.parametrize("steps", range(12))
def test_what_is_sent_again_is_not_passed_by_later_messages_whoever_looks_meanwhile(
    steps: int,
) -> None:
    """What is put away for the person is taken up at every moment of the decision."""

    async def story(world: World) -> None:
        desks = await hold(world, reply=LOST)
        deciding = asyncio.create_task(desks.decisions.send_again("c1:0", None))
        for _ in range(steps):
            await asyncio.sleep(0)
        await asyncio.gather(deciding, world.keeper.take_up(f"{PAGE}:{PSID}"))
        await world.deliver(send_text("next", "c2"), offset=2)
        await world.until_nothing_is_kept(within_s=60)
        await world.deliver(send_text("last", "c3"), offset=3)
        assert world.conversation.kept is None

    assert play(story).accepted() == ["c1:0", "c2:0", "c3:0"]


@settings(max_examples=80, deadline=None)
@given(
    held_by=st.sampled_from([TAKEN_UNSEEN, LOST]),
    script=st.lists(st.sampled_from([OK, LOST, TAKEN_UNSEEN, TOKEN_DEAD]), max_size=3),
    crashes=st.lists(st.integers(0, 40), max_size=4),
    echo_at=st.sampled_from([None, 0, 1, 2]),
    asked=st.integers(1, 3),
)
def test_wherever_we_end_a_part_sent_again_is_there_once(
    held_by: Reply,
    script: list[Reply],
    crashes: list[int],
    echo_at: int | None,
    asked: int,
) -> None:
    """The thread can be read again: there is evidence for everything that happened."""

    async def story(world: World) -> None:
        await hold(world, reply=held_by)
        world.meta.script = list(script)
        review, left, steps = FakeReview(world.store), list(crashes), 0
        wishes = asked
        while wishes or world.kept.kept or review.untold_ids:
            world.start(crash_at=[left.pop(0)] if left else [])
            late = LateEvidence(world.desk, review)  # type: ignore[arg-type]
            decisions = Decisions(world.desk, review, late)  # type: ignore[arg-type]
            with suppress(CrashError):
                if echo_at == steps and world.meta.accepted:
                    late._watch("c1:0")
                    late.heard(echo(world.meta.accepted[0].mid))
                steps += 1
                await late.look()
                while wishes:
                    with suppress(NotPossibleError):
                        await decisions.send_again("c1:0", 0)
                    wishes -= 1
                await world.until_nothing_is_kept(within_s=5000, step_s=5)
                await late.look()

    world = play(story)

    assert world.accepted() == ["c1:0"]
    assert world.store.deliveries["c1:0"].state == "sent"
    assert world.outcomes()[-1] == ("c1:0", "message.sent")
