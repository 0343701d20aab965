"""Answers that never came: found by reading, sent once more, or held."""

import asyncio
from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from libs.common.erasures import StaleTombstonesError
from libs.common.events import ChannelTokenRejected, MessageDelivered, MessageEchoed, MessageHeld
from libs.common.kafka import KafkaUnavailableError
from services.sender.domain.claims import Claim
from services.sender.domain.evidence import Seen
from services.sender.domain.outcome import MetaError, classify
from tests.unit.sender.stories import THREE_IDS, THREE_PARTS, delivered, play, seconds_between_posts
from tests.unit.sender.world import (
    LOST,
    NOT_TAKEN_500,
    PAGE,
    PSID,
    STARTED_AT,
    TAKEN_500,
    TAKEN_LATE,
    TAKEN_UNSEEN,
    UNSURE,
    AwayError,
    Conversation,
    Reply,
    World,
    clock,
    send_text,
)


def test_a_takeover_during_an_inquiry_is_respected() -> None:
    async def story(world: World) -> None:
        world.meta.script = [LOST]
        sending = asyncio.create_task(world.deliver(send_text()))
        await asyncio.sleep(15)
        world.conversation.mode, world.conversation.epoch = "human", 1
        await sending

    world = play(story)

    assert len(world.meta.posts) == 1
    assert world.store.deliveries["c1:0"].reason == "superseded_by_human"


@pytest.mark.parametrize("reply", [TAKEN_UNSEEN, TAKEN_500, TAKEN_LATE])
def test_what_meta_took_without_saying_so_is_found_and_not_sent_again(reply: Reply) -> None:
    world = delivered(reply, text=THREE_PARTS)

    assert world.accepted() == THREE_IDS
    first = world.store.deliveries["c1:0"]
    assert (first.state, first.mid, first.rule) == ("sent", "m_1", "found_by_read_back")
    assert world.outcomes() == [(send_id, "message.sent") for send_id in THREE_IDS]


@pytest.mark.parametrize("reply", [LOST, NOT_TAKEN_500, UNSURE])
def test_what_meta_did_not_take_is_sent_once_more_after_two_readings(reply: Reply) -> None:
    world = delivered(reply, text=THREE_PARTS)

    assert world.accepted() == THREE_IDS
    assert seconds_between_posts(world)[0] >= 12.0 + 5.0  # the claim's life, then the gap
    assert world.meta.reads >= 2
    assert world.store.deliveries["c1:0"].attempts == 2


@pytest.mark.parametrize(("after", "states"), [(10, ["sent", "sent"]), (21, ["sent", "held"])])
def test_somebody_in_a_hurry_fills_the_thread_and_nothing_is_held_in_vain(
    after: int, states: list[str]
) -> None:
    """Twenty messages within the minute by which clocks may be wrong: the reading proves what it
    has to all the same, as long as it holds the answer before."""

    async def story(world: World) -> None:
        begun = clock()
        await asyncio.sleep(9.5)
        await world.deliver(send_text("first", command_id="c1"))
        await asyncio.sleep(after + 1.0)
        world.meta.written = [
            Seen(f"m_q{number}", False, "and?", begun + timedelta(seconds=number))
            for number in range(10 + after)
        ]
        world.meta.script = [LOST]
        await world.deliver(send_text("second", command_id="c2"))

    world = play(story)

    assert [world.store.deliveries[name].state for name in ("c1:0", "c2:0")] == states
    assert world.accepted() == ["c1:0", "c2:0"][: states.count("sent")]


def test_what_appears_between_two_readings_is_not_sent_again() -> None:
    async def story(world: World) -> None:
        world.meta.script = [TAKEN_UNSEEN]
        world.meta.shows_after_s = 14.0  # missing in the first reading that counts
        await world.deliver(send_text())

    assert play(story).accepted() == ["c1:0"]


def test_a_message_that_shows_only_after_the_second_attempt_is_still_recognised() -> None:
    async def story(world: World) -> None:
        world.meta.script = [TAKEN_UNSEEN, LOST]
        world.meta.shows_after_s = 25.0
        await world.deliver(send_text())

    world = play(story)

    assert len(world.meta.posts) == 2
    assert world.accepted() == ["c1:0"]
    assert world.store.deliveries["c1:0"].mid == "m_1"


def test_an_inquiry_that_breaks_off_is_taken_up_again_not_skipped() -> None:
    async def story(world: World) -> None:
        world.meta.script = [TAKEN_UNSEEN]
        delivering = asyncio.create_task(world.deliver(send_text()))
        await asyncio.sleep(5)
        world.store.away = True
        with pytest.raises(AwayError):
            await delivering
        world.store.away = False
        await world.deliver(send_text())

    assert play(story).accepted() == ["c1:0"]


def test_without_evidence_the_part_is_held_and_the_conversation_goes_on() -> None:
    async def story(world: World) -> None:
        world.meta.script, world.meta.readable = [TAKEN_UNSEEN], False
        await world.deliver(send_text())
        assert (clock() - STARTED_AT).total_seconds() >= 120
        world.meta.readable = True
        await world.deliver(send_text("next", "c2"), offset=2)

    world = play(story)

    assert world.accepted() == ["c1:0", "c2:0"]
    assert world.outcomes() == [("c1:0", "message.held"), ("c2:0", "message.sent")]


def test_an_empty_reading_is_no_evidence_and_the_part_is_held() -> None:
    async def story(world: World) -> None:
        world.meta.script, world.meta.shows_nothing = [LOST], True
        await world.deliver(send_text())

    world = play(story)

    assert len(world.meta.posts) == 1
    assert world.outcomes() == [("c1:0", "message.held")]


def test_too_many_calls_without_a_word_of_metas_is_a_doubt_and_slows_the_page() -> None:
    async def story(world: World) -> None:
        world.meta.script = [Reply(status=429, retry_after_s=20.0)]
        sending = asyncio.create_task(world.deliver(send_text()))
        await asyncio.sleep(1)
        with world.pages[PAGE].turn_now() as leave:
            assert leave is None
        await sending

    assert play(story).accepted() == ["c1:0"]


def test_a_meta_that_never_says_yes_is_asked_five_times_and_the_part_is_held() -> None:
    world = delivered(*[NOT_TAKEN_500] * 50)

    assert len(world.meta.posts) == 5
    (event,) = world.publisher.outcomes()
    assert isinstance(event, MessageHeld)
    assert event.reason == "unanswered"


def test_equal_texts_are_told_apart_by_what_is_recorded() -> None:
    async def story(world: World) -> None:
        await world.deliver(send_text("yes", "c1"), offset=1)
        world.meta.script = [LOST]
        await world.deliver(send_text("yes", "c2"), offset=2)
        world.meta.script = [TAKEN_UNSEEN]
        await world.deliver(send_text("yes", "c3"), offset=3)

    world = play(story)

    assert world.accepted() == ["c1:0", "c2:0", "c3:0"]
    mids = {item.send_id: item.mid for item in world.meta.accepted}
    assert {key: item.mid for key, item in world.store.deliveries.items()} == mids


def test_others_go_on_while_one_person_is_in_doubt() -> None:
    async def story(world: World) -> None:
        world.store.conversations[f"{PAGE}:201"] = Conversation()
        world.meta.script = [LOST]
        first = asyncio.create_task(world.deliver(send_text(command_id="c1")))
        await asyncio.sleep(0.1)
        await world.deliver(send_text(command_id="c2", psid="201"))
        assert (clock() - STARTED_AT).total_seconds() < 1
        await first

    assert play(story).accepted() == ["c2:0", "c1:0"]


def test_a_humans_tag_is_kept_when_the_message_is_found_by_reading() -> None:
    async def story(world: World) -> None:
        world.conversation.last_user_message_at = STARTED_AT - timedelta(days=2)
        world.meta.script = [TAKEN_UNSEEN]
        await world.deliver(send_text(origin="human"))

    world = play(story)

    found = world.store.deliveries["c1:0"]
    assert (found.messaging_type, found.tag) == ("MESSAGE_TAG", "HUMAN_AGENT")


def test_a_claim_that_took_too_long_is_made_anew_before_anything_is_posted() -> None:
    async def story(world: World) -> None:
        world.store.claim_delay_s = 5.0

        def faster(_claim: Claim) -> None:
            world.store.claim_delay_s = 0.0

        world.store.before_claim = faster
        await world.deliver(send_text())

    world = play(story)

    ((_, posted_at),) = world.meta.posts
    assert world.conversation.sending is not None
    assert posted_at + timedelta(seconds=10) <= world.conversation.sending.deadline_at
    assert world.accepted() == ["c1:0"]
    assert len(world.meta.posts) == 1
    assert world.meta.reads == 0


def test_a_result_is_not_lost_while_the_database_is_away() -> None:
    async def story(world: World) -> None:
        world.store.before_claim = lambda _claim: _go_away(world)
        with pytest.raises(AwayError):
            await world.deliver(send_text())
        world.store.away = False
        await world.deliver(send_text())

    def _go_away(world: World) -> None:
        world.store.away = True
        world.store.before_claim = lambda _claim: None

    world = play(story)

    assert world.accepted() == ["c1:0"]
    assert world.meta.reads == 0  # it was remembered
    assert world.outcomes() == [("c1:0", "message.sent")]


def test_an_outcome_is_told_again_until_the_log_has_it() -> None:
    async def story(world: World) -> None:
        world.publisher.away = True
        with pytest.raises(AwayError):
            await world.deliver(send_text())
        world.publisher.away = False
        await world.deliver(send_text())

    world = play(story)

    assert world.accepted() == ["c1:0"]
    assert world.outcomes() == [("c1:0", "message.sent")]


def test_two_senders_that_believe_to_own_a_command_send_it_once() -> None:
    async def story(world: World) -> None:
        world.meta.otherwise = Reply(after_s=1.0)
        zombie = world.keeper
        first = asyncio.create_task(world.deliver(send_text(THREE_PARTS)))
        await asyncio.sleep(0.5)
        world.start()
        assert world.keeper is not zombie
        await asyncio.gather(first, world.deliver(send_text(THREE_PARTS)))

    world = play(story)

    assert world.accepted() == THREE_IDS
    assert len(world.outcomes()) == 3


@pytest.mark.parametrize("reply", [TAKEN_UNSEEN, TAKEN_500, TAKEN_LATE])
@pytest.mark.parametrize("delay_s", [0.0, 3.0, 30.0])
def test_an_echo_settles_a_doubt_even_where_the_thread_cannot_be_read(
    reply: Reply, delay_s: float
) -> None:
    async def story(world: World) -> None:
        world.meta.script, world.meta.readable = [reply], False
        world.meta.echo, world.meta.echo_delay_s = world.echoes.heard, delay_s
        await world.deliver(send_text(THREE_PARTS))
        assert (clock() - STARTED_AT).total_seconds() < 12 + delay_s

    world = play(story)

    assert world.accepted() == THREE_IDS
    first = world.store.deliveries["c1:0"]
    assert (first.state, first.mid, first.rule) == ("sent", "m_1", "found_by_echo")


def test_an_echo_that_was_there_before_the_answer_got_lost_costs_no_reading() -> None:
    async def story(world: World) -> None:
        world.meta.script = [TAKEN_UNSEEN]
        world.meta.echo = world.echoes.heard
        await world.deliver(send_text())

    assert play(story).meta.reads == 0


@pytest.mark.parametrize("closed", [False, True])
def test_an_echo_that_comes_after_all_patience_is_heard_by_the_next_run(closed: bool) -> None:
    """Neither echo nor thread told in time, and then nobody knew who was erased: the next run
    begins with what the first one found out, unless there is better evidence by then."""

    async def story(world: World) -> None:
        late: list[MessageEchoed] = []
        world.meta.script, world.meta.shows_after_s = [TAKEN_UNSEEN], 1e6
        world.meta.echo = late.append
        original = world.meta.thread

        async def thread(*args: object) -> object:
            world.erased.is_known = False
            return await original(*args)  # type: ignore[arg-type]

        world.meta.thread = thread  # type: ignore[method-assign,assignment]
        with pytest.raises(StaleTombstonesError):
            await world.deliver(send_text())
        world.erased.is_known = True
        world.echoes.heard(*late)
        if closed:  # nothing more may be sent: and yet it has arrived
            await asyncio.sleep(timedelta(days=2).total_seconds())
        await world.deliver(send_text())

    world = play(story)
    assert world.accepted() == ["c1:0"]
    found = world.store.deliveries["c1:0"]
    assert (found.state, found.mid, found.rule) == ("sent", "m_1", "found_by_echo")


def test_an_echo_that_comes_while_the_part_waits_to_be_sent_again_is_heard() -> None:
    """Between the evidence and the second request lies a line of others, or a limit of Meta's."""

    async def story(world: World) -> None:
        late: list[MessageEchoed] = []
        world.meta.script, world.meta.shows_after_s = [TAKEN_UNSEEN], 1e6
        world.meta.echo = late.append

        def hear(claim: Claim) -> None:
            if claim.attempt == 2:
                world.echoes.heard(*late)

        world.store.before_claim = hear
        await world.deliver(send_text())

    world = play(story)
    assert world.accepted() == ["c1:0"]
    found = world.store.deliveries["c1:0"]
    assert (found.state, found.mid, found.rule) == ("sent", "m_1", "found_by_echo")


class UnreadableLog:
    """Cannot be read back: at once, or after a long while. From the `heals`th time on it can."""

    def __init__(self, takes_s: float = 0.0, heals: int = 1_000_000) -> None:
        self.takes_s = takes_s
        self.times, self.heals = 0, heals

    async def recall(self, send_id: str, begin: datetime, end: datetime) -> None:
        self.times += 1
        if self.times < self.heals:
            await asyncio.sleep(self.takes_s)
            raise KafkaUnavailableError("TimeoutError")


async def leave_in_doubt(world: World, reply: Reply, **process: float) -> None:
    """A process ends before it hears what became of the first message, and another one begins."""
    world.meta.script = [reply]
    sending = asyncio.create_task(world.deliver(send_text()))
    await asyncio.sleep(11)
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    world.start(**process)  # type: ignore[arg-type]


@pytest.mark.parametrize("takes_s", [0.0, 120.0, 1e9])
def test_a_part_missing_from_the_thread_is_held_where_the_log_cannot_be_read_back(
    takes_s: float,
) -> None:
    async def story(world: World) -> None:
        world.history = UnreadableLog(takes_s)
        await leave_in_doubt(world, LOST)
        async with asyncio.timeout(600):
            await world.deliver(send_text())
            await world.deliver(send_text("next", "c2"), offset=2)

    world = play(story)

    assert world.accepted() == ["c2:0"]
    assert world.outcomes() == [("c1:0", "message.held"), ("c2:0", "message.sent")]


@pytest.mark.parametrize("reply", [LOST, TAKEN_UNSEEN])
def test_a_log_that_can_be_read_at_last_still_settles_the_matter(reply: Reply) -> None:
    async def story(world: World) -> None:
        world.history = UnreadableLog(heals=5)
        world.meta.shows_after_s = 30.0
        await leave_in_doubt(world, reply)
        await world.deliver(send_text())

    world = play(story)

    assert world.accepted() == ["c1:0"]
    assert len(world.meta.posts) == (2 if reply is LOST else 1)


def test_a_long_reading_of_the_log_does_not_keep_what_the_thread_shows() -> None:
    async def story(world: World) -> None:
        world.history = UnreadableLog(takes_s=1e9)
        await leave_in_doubt(world, TAKEN_UNSEEN)
        await world.deliver(send_text())
        assert (clock() - STARTED_AT).total_seconds() < 60

    assert play(story).accepted() == ["c1:0"]


def test_echoes_settle_all_who_wait_to_read_a_thread() -> None:
    """After an outage: two hundred in doubt, two reads a second, and all echoes at once."""

    async def story(world: World) -> None:
        people = [f"3{number}" for number in range(200)]
        world.store.conversations = {f"{PAGE}:{psid}": Conversation() for psid in people}
        world.meta.otherwise, world.meta.shows_after_s = TAKEN_UNSEEN, 3600
        world.meta.echo, world.meta.echo_delay_s = world.echoes.heard, 20.0
        sending = [world.deliver(send_text(command_id=psid, psid=psid)) for psid in people]
        await asyncio.gather(*sending)
        assert (clock() - STARTED_AT).total_seconds() < 21.5

    world = play(story)

    assert len(world.accepted()) == 200
    assert {each.rule for each in world.store.deliveries.values()} == {"found_by_echo"}
    assert world.meta.reads <= 2 * 12


@pytest.mark.parametrize(("readable", "state"), [(True, "sent"), (False, "held")])
def test_a_receipt_names_the_message_where_the_thread_cannot_be_read(
    readable: bool, state: str
) -> None:
    async def story(world: World) -> None:
        await world.deliver(send_text("before", "c0"), offset=0)
        world.meta.script, world.meta.readable = [TAKEN_UNSEEN], False
        world.meta.message_readable = readable
        sending = asyncio.create_task(world.deliver(send_text()))
        await asyncio.sleep(12)
        told = MessageDelivered(
            event_id="d",
            page_id=PAGE,
            psid=PSID,
            occurred_at=clock(),
            watermark_ms=1,
            mids=("m_1", "m_of_another_app", "m_2"),
        )
        world.echoes.heard(told)
        await sending

    world = play(story)

    assert world.accepted() == ["c0:0", "c1:0"]
    found = world.store.deliveries["c1:0"]
    assert found.state == state
    assert found.rule == ("found_by_receipt" if readable else "no_evidence")
    assert found.mid == ("m_2" if readable else None)
    assert world.meta.reads < 60


def test_a_thread_closed_by_a_dead_token_is_asked_for_once_a_minute_and_nothing_is_held() -> None:
    async def story(world: World) -> None:
        world.meta.script, world.meta.readable = [LOST], False
        world.meta.read_outcome = classify(status=400, error=MetaError(190, 460))
        await world.deliver(send_text())
        for _ in range(100):
            await world.wake()
            await asyncio.sleep(5)
        assert [kept.why for kept in world.kept.kept.values()] == ["token"]

    world = play(story)

    gaps = [(later - sooner).total_seconds() for sooner, later in pairwise(world.meta.read_at)]
    assert len(gaps) >= 5
    assert min(gaps) >= 60
    assert world.store.deliveries == {}
    assert any(isinstance(each, ChannelTokenRejected) for each in world.publisher.records)


def test_reads_that_meta_limits_are_fewer_and_the_page_goes_on_sending() -> None:
    async def story(world: World) -> None:
        world.store.conversations[f"{PAGE}:201"] = Conversation()
        world.meta.script, world.meta.readable = [LOST], False
        world.meta.read_outcome = classify(status=400, error=MetaError(613), retry_after_s=20)
        doubtful = asyncio.create_task(world.deliver(send_text()))
        await asyncio.sleep(5)
        began_at = clock()
        await world.deliver(send_text(command_id="c2", psid="201"))
        assert (clock() - began_at).total_seconds() < 1
        await doubtful

    world = play(story)

    assert world.meta.reads <= 8
    assert world.store.deliveries["c1:0"].state == "held"
