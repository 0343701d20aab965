"""What events say about who has a conversation, also when they come late, twice or again."""

import pytest

from libs.common.channels import ChannelSettings
from libs.common.events import (
    AnyRecord,
    MessageFailed,
    MessageSent,
    TakeoverExtended,
    TakeoverStarted,
    headers_of,
)
from services.takeover.consumer import EventHandler, wants
from services.takeover.domain.state import Thread
from services.takeover.domain.transitions import Resume, Take
from services.takeover.human_agent import TagRefusal, verdict_of
from tests.unit.takeover import factories as make
from tests.unit.takeover.world import (
    APP,
    CHANNEL,
    CONVERSATION,
    MINUTE,
    NOON,
    PAGE,
    SECOND,
    Channels,
    World,
)

OTHER = "263902037430900"


class Permissions:
    """What was heard about the tag."""

    def __init__(self) -> None:
        self.heard_of: list[MessageSent | MessageFailed] = []

    async def heard(self, event: MessageSent | MessageFailed) -> None:
        self.heard_of.append(event)


async def handle(world: World, *events: AnyRecord) -> list[MessageSent | MessageFailed]:
    permissions = Permissions()
    handler = EventHandler(world.keeper(), Channels(world), permissions, APP)
    await handler.handle(make.batch(*events))
    return permissions.heard_of


def test_what_it_reads_and_what_it_leaves() -> None:
    wanted = [make.echo(), make.handover("take", OTHER), make.standby(), make.sent(), make.failed()]
    for event in wanted:
        assert wants(dict(headers_of(event)))
    assert not wants({"type": b"message.received", "version": b"1.0"})
    assert not wants({"type": b"message.echoed", "version": b"2.0"})


@pytest.mark.parametrize(
    ("app_id", "send_id", "paused"),
    [
        (OTHER, None, True),
        ("26390203743090", None, True),
        (None, None, True),  # some of what people write in the inbox names no app
        (APP, "c1:0", False),
        (APP, None, False),
        (None, "c1:0", False),  # only what an app has sent carries metadata
        (OTHER, "theirs", True),
    ],
)
async def test_whoever_else_answers_silences_the_assistant(
    app_id: str | None, send_id: str | None, paused: bool
) -> None:
    world = World()
    await handle(world, make.echo(app_id=app_id, send_id=send_id))
    assert (world.state().mode == "human") is paused
    if paused:
        (fact,) = world.log
        assert isinstance(fact, TakeoverStarted)
        assert (fact.by, fact.reason) == ("facebook", "facebook_reply")
        assert fact.auto_resume_at == NOON + 30 * MINUTE


async def test_where_the_channel_does_not_want_it_nothing_happens() -> None:
    world = World()
    never = ChannelSettings(pause_on_facebook_reply=False)
    world.channels[PAGE] = CHANNEL.model_copy(update={"settings": never})
    await handle(world, make.echo())
    world.channels.clear()
    await handle(world, make.echo())
    assert world.state().mode == "ai"


async def test_a_further_reply_moves_the_timer_and_a_copy_does_not() -> None:
    world = World()
    first, second = make.echo(), make.echo(NOON + MINUTE)
    world.now = NOON + 2 * MINUTE
    await handle(world, first, second, first, second)
    assert [type(fact) for fact in world.log] == [TakeoverStarted, TakeoverExtended]
    assert world.state().auto_resume_at == NOON + 31 * MINUTE


async def test_an_old_reply_that_comes_again_starts_nothing_new() -> None:
    world = World()
    reply = make.echo()
    await handle(world, reply)
    world.now = NOON + MINUTE
    await world.keeper().carry_out(CONVERSATION, Resume("user:ann"))
    await handle(world, reply)
    assert world.state().mode == "ai"
    world.now = NOON + MINUTE + SECOND
    await handle(world, make.echo(NOON + MINUTE + SECOND))
    assert world.state().mode == "human"


async def test_a_reply_on_facebook_leaves_an_admin_what_they_have() -> None:
    world = World()
    await world.keeper().carry_out(CONVERSATION, Take("user:ann", "Ann"))
    before = world.state()
    await handle(world, make.echo(NOON + SECOND))
    assert world.state() == before


async def test_thread_control_follows_what_meta_tells_in_the_order_of_its_clock() -> None:
    world = World()
    await handle(world, make.handover("pass", OTHER, NOON + 2 * SECOND))
    taken = Thread(ours=False, owner_app_id=OTHER, since=NOON + 2 * SECOND)
    assert world.state().thread == taken
    await handle(world, make.handover("pass", APP, NOON + SECOND))  # an older one, late
    await handle(world, make.handover("request", OTHER, NOON + 3 * SECOND))
    await handle(world, make.handover("roles", None, NOON + 3 * SECOND))
    await handle(world, make.standby(NOON + 3 * SECOND))
    assert world.state().thread == taken
    await handle(world, make.handover("take", APP, NOON + 4 * SECOND))
    assert world.state().is_ours
    await handle(world, make.standby(NOON + 5 * SECOND))
    assert not world.state().is_ours
    await handle(world, make.handover("pass", None, NOON + 6 * SECOND))  # idle: anybody's
    assert world.state().is_ours
    assert world.log == [], "the log has these facts already"
    assert (world.state().mode, world.state().epoch) == ("ai", 0), "no turn is lost by it"


async def test_outcomes_go_to_who_remembers_the_permission() -> None:
    assert await handle(World(), make.sent(), make.failed()) == [make.sent(), make.failed()]


REFUSAL = TagRefusal(refused_at=NOON, explanation="Not approved.")


@pytest.mark.parametrize(
    ("event", "verdict"),
    [
        (make.sent(), True),
        (make.sent(tag=None), False),
        (make.failed(), REFUSAL),
        (make.failed(reason="permission_missing"), REFUSAL),
        (make.failed(reason="invalid_request"), REFUSAL),
        (make.failed(reason="invalid_request", error_subcode=2534015), False),
        (make.failed(reason="person_unavailable"), False),
        (make.failed(reason="permission_missing", tag=None), False),
        (make.failed(reason="window_closed"), False),
    ],
)
def test_what_an_outcome_says_about_the_permission(
    event: MessageSent | MessageFailed, verdict: TagRefusal | bool
) -> None:
    assert verdict_of(event) == verdict
