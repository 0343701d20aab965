"""Nothing is sent to somebody who was erased, and nothing of it is recorded or told."""

from datetime import timedelta

import pytest

from libs.common.erasures import StaleTombstonesError
from services.sender.domain.claims import Claim
from tests.unit.sender.stories import THREE_PARTS, play
from tests.unit.sender.world import LOST, PAGE, STARTED_AT, World, send_text

LATER = STARTED_AT + timedelta(seconds=1)


def test_a_command_of_before_an_erasure_leaves_nothing() -> None:
    async def story(world: World) -> None:
        world.erased.until = STARTED_AT
        await world.deliver(send_text())

    world = play(story)
    assert (world.accepted(), world.store.deliveries, world.publisher.records) == ([], {}, [])


def test_a_command_of_after_an_erasure_is_sent_as_any_other() -> None:
    async def story(world: World) -> None:
        world.erased.until = STARTED_AT - timedelta(milliseconds=1)
        await world.deliver(send_text())

    assert play(story).accepted() == ["c1:0"]


@pytest.mark.parametrize("parts_before", [0, 1, 2])
def test_erased_between_the_claim_and_the_call_it_is_not_sent(parts_before: int) -> None:
    """The race that matters: the sender has its claim, and is about to call Meta."""

    async def story(world: World) -> None:
        def erase(claim: Claim) -> None:
            if claim.part == parts_before:
                world.erased.until = LATER

        world.store.before_claim = erase
        await world.deliver(send_text(THREE_PARTS))

    world = play(story)
    assert world.accepted() == [f"c1:{part}" for part in range(parts_before)]
    assert len(world.store.deliveries) == parts_before
    assert len(world.publisher.records) == parts_before


def test_erased_while_meta_is_called_nothing_is_recorded() -> None:
    async def story(world: World) -> None:
        original = world.meta.send

        async def send(*args: object) -> object:
            answer = await original(*args)  # type: ignore[arg-type]
            world.erased.until = LATER
            return answer

        world.meta.send = send  # type: ignore[method-assign,assignment]
        await world.deliver(send_text())

    world = play(story)
    assert len(world.accepted()) == 1
    assert (world.store.deliveries, world.publisher.records) == ({}, [])
    assert world.desk.memory.result("c1:0") is None


def test_while_nobody_knows_who_was_erased_nothing_is_sent_twice_or_lost() -> None:
    """The database is away just when Meta has taken the part."""

    async def story(world: World) -> None:
        original = world.meta.send

        async def send(*args: object) -> object:
            answer = await original(*args)  # type: ignore[arg-type]
            world.erased.is_known = False
            return answer

        world.meta.send = send  # type: ignore[method-assign,assignment]
        with pytest.raises(StaleTombstonesError):
            await world.deliver(send_text())
        world.erased.is_known = True
        await world.deliver(send_text())

    world = play(story)
    assert world.accepted() == ["c1:0"]
    assert world.outcomes() == [("c1:0", "message.sent")]
    assert len(world.meta.posts) == 1


def test_what_evidence_has_told_is_not_asked_for_again_when_it_is_not_known_who_was_erased() -> (
    None
):
    """As often as it is not known just then: each inquiry takes seconds, and as many calls."""

    async def story(world: World) -> None:
        original = world.meta.thread

        async def thread(*args: object) -> object:
            seen = await original(*args)  # type: ignore[arg-type]
            world.erased.is_known = False
            return seen

        world.meta.thread = thread  # type: ignore[method-assign,assignment]
        world.meta.script = [LOST]
        with pytest.raises(StaleTombstonesError):
            await world.deliver(send_text())
        asked = world.meta.reads
        world.erased.is_known = True
        await world.deliver(send_text())
        assert world.meta.reads == asked > 0

    world = play(story)
    assert world.accepted() == ["c1:0"]
    assert world.outcomes() == [("c1:0", "message.sent")]
    assert world.store.deliveries["c1:0"].attempts == 2


def test_what_was_put_away_is_not_sent_either() -> None:
    async def story(world: World) -> None:
        known = world.channels.known[PAGE]
        world.channels.known[PAGE] = known.model_copy(update={"status": "expired"})
        await world.deliver(send_text())
        assert len(world.kept.kept) == 1
        world.erased.until = LATER
        world.channels.known[PAGE] = known
        await world.keeper.take_up(send_text().conversation_id)

    world = play(story)
    assert (world.accepted(), world.kept.kept, world.store.deliveries) == ([], {}, {})
