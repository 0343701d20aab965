"""What the assistant does about messages while a human has a conversation, and afterwards."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from libs.common.events import AnyRecord
from services.conversation.domain import receive
from services.conversation.domain.receive import message_ref
from services.conversation.domain.state import State
from services.conversation.store import ConversationChangedError
from tests.unit.conversation import factories as make
from tests.unit.conversation.factories import arrivals, rules
from tests.unit.conversation.world import World


@pytest.fixture
def world() -> World:
    return World()


def taken_in(*events: AnyRecord, state: State | None = None, **more: Any) -> State:  # noqa: ANN401
    return receive.receive(state or State(), arrivals(*events), rules(**more))


def lines(state: State) -> list[tuple[str, str]]:
    return [(line.role, line.text) for line in state.history]


# --- what is left to answer


@pytest.mark.parametrize(
    ("written", "answered"), [(9.999, False), (10, True), (11, True), (-90_000, False)]
)
def test_what_was_written_before_the_assistant_got_it_back_waits_for_nobody(
    written: float, answered: bool
) -> None:
    state = taken_in(make.message(seconds=written), answers_from=make.at(10))
    assert [waiting.at for waiting in state.pending] == ([make.at(written)] if answered else [])
    assert lines(state) == [("person", "hello")]


def test_what_waited_when_a_human_took_over_waits_no_more_whatever_comes_next() -> None:
    before = taken_in(make.message("m1", seconds=1))
    during = receive.receive(before, arrivals(make.echo(seconds=3), first=1), rules(answers=False))
    assert during.pending == ()
    later = arrivals(make.message("m2", "and now?", 20), first=1)
    after = receive.receive(before, later, rules(answers_from=make.at(10)))
    assert [waiting.text for waiting in after.pending] == ["and now?"]


def test_what_an_older_release_left_waiting_is_not_answered_after_a_takeover() -> None:
    [waiting] = taken_in(make.message()).pending
    old = State(pending=(waiting.model_copy(update={"at": None}),))
    assert receive.receive(old, [], rules()).pending == old.pending
    assert receive.receive(old, [], rules(answers_from=make.at(-10))).pending == ()


async def test_a_message_of_the_takeover_that_is_handled_after_its_end_gets_no_answer(
    world: World,
) -> None:
    world.write(
        make.message("m1", "before", 0),
        make.takeover_started(1, 5),
        make.message("m2", "during", 6),
        make.takeover_ended(2, 10),
    )
    world.take_over(epoch=2, mode="ai", since=make.at(10))
    await world.handle_all()
    assert (world.commands, world.prompts, world.shown) == ([], [], [])
    world.write(make.message("m3", "after", 11))
    await world.handle_all()
    [prompt] = world.prompts
    assert prompt.question == "after"
    assert [line.text for line in prompt.history] == ["before", "during"]
    assert len(world.commands) == 1


async def test_the_event_of_the_end_may_come_after_the_first_message_of_the_assistants_time(
    world: World,
) -> None:
    """The takeover service publishes after it has written: the database knows before the log."""
    world.take_over(epoch=2, mode="ai", since=make.at(10))
    world.write(make.message("m2", "after", 12), make.takeover_ended(2, 10))
    await world.handle(at_first=1)
    await world.handle_all()
    assert [prompt.question for prompt in world.prompts] == ["after"]
    assert len(world.commands) == 1


async def test_a_takeover_that_came_and_went_while_the_model_wrote_leaves_the_message(
    world: World,
) -> None:
    async def came_and_went(asked: int) -> None:
        world.take_over(epoch=2, mode="ai", since=make.at(2))

    world.on_ask = came_and_went
    world.write(make.message(seconds=1))
    with pytest.raises(ConversationChangedError):
        await world.handle()
    await world.handle()
    assert (world.commands, len(world.prompts), world.shown[-1]) == ([], 1, "typing_off")
    assert lines(world.state) == [("person", "hello")]


async def test_what_waits_behind_a_turn_is_dropped_by_a_takeover(world: World) -> None:
    """The second message came too late for the first turn, and was saved as waiting."""
    late = taken_in(make.message("m1", seconds=1), make.message("m2", "late", 2))
    world.stored = await world.save(world.stored, late)
    world.take_over(since=make.at(3))
    world.write(make.message("m3", "to the human", 4))
    await world.handle_all()
    assert world.state.pending == ()
    assert (world.commands, world.prompts, world.shown) == ([], [], [])


async def test_a_switched_off_channel_drops_what_waited(world: World) -> None:
    world.stored = await world.save(world.stored, taken_in(make.message("m1")))
    assert world.page is not None
    world.page = world.page.model_copy(update={"enabled": False})
    world.write(make.message("m2", seconds=4))
    await world.handle_all()
    assert (world.state.pending, world.commands, world.shown) == ((), [], [])


# --- what the next turn knows


async def test_the_next_turn_has_the_whole_exchange_with_the_humans(world: World) -> None:
    world.write(make.message("m1", "do you have rye?", 0))
    await world.handle_all()
    world.take_over(since=make.at(5))
    world.write(
        make.takeover_started(1, 5),
        make.message("m2", "are you there?", 6),
        make.sent("by-api", origin="human", seconds=7),
        make.image("m3", "this one", 8),
        make.echo("e1", "7", "from the inbox", 9),
        make.standby("s1", text="and there?", seconds=10),
        make.standby("s2", text="overheard", is_echo=True, seconds=11),
    )
    await world.handle_all()
    world.take_over(epoch=2, mode="ai", since=make.at(20))
    world.write(make.takeover_ended(2, 20), make.message("m4", "thanks", 30))
    await world.handle_all()
    assert [(line.role, line.text) for line in world.prompts[-1].history] == [
        ("person", "do you have rye?"),
        ("assistant", "Answer 1"),
        ("person", "are you there?"),
        ("human", "an answer"),
        ("person", "this one [image]"),
        ("human", "from the inbox"),
        ("person", "and there?"),
        ("human", "overheard"),
    ]
    assert world.prompts[-1].question == "thanks"


async def test_an_answer_that_a_takeover_kept_back_was_never_given(world: World) -> None:
    world.write(make.message("m1", "do you have rye?", 0))
    await world.handle_all()
    [command] = world.commands
    assert lines(world.state)[-1] == ("assistant", "Answer 1")
    world.take_over(since=make.at(1))
    world.write(make.failed(command.command_id))
    await world.handle_all()
    assert lines(world.state) == [("person", "do you have rye?")]


@pytest.mark.parametrize("part", [1, 2])
def test_an_answer_of_which_the_beginning_went_out_stays_in_the_memory(part: int) -> None:
    assert not receive.changes_state(make.failed(part=part), make.APP)


def test_what_a_human_sends_as_a_picture_is_remembered_as_one() -> None:
    echo = make.echo(text="").model_copy(update={"attachments": (make.IMAGE,), "text": None})
    assert lines(taken_in(echo)) == [("human", "[image]")]


def test_a_message_that_two_webhooks_tell_of_is_one_line() -> None:
    state = taken_in(make.standby("m1", text="hello"), make.message("m1"))
    assert lines(state) == [("person", "hello")]
    assert [waiting.kind for waiting in state.pending] == ["text"]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({}, "look"),
        ({"message": {"attachments": [{"type": "image"}, {"type": 7}]}}, "look [image] [unknown]"),
        ({"message": {"attachments": "none"}}, "look"),
        ({"message": "odd"}, "look"),
    ],
)
def test_what_is_overheard_is_read_as_far_as_it_can_be(raw: dict[str, Any], expected: str) -> None:
    assert lines(taken_in(make.standby(text="look", raw=raw))) == [("person", expected)]


def test_what_is_overheard_opens_the_window_but_does_not_make_the_thread_ours() -> None:
    direct = taken_in(make.message("m1", seconds=1))
    state = receive.receive(direct, arrivals(make.standby(seconds=60), first=1), rules())
    assert state.last_user_message_at == make.at(60)
    assert state.last_direct_message_at == make.at(1)
    tapped = make.standby("p1", kind="postback", text=None, seconds=70)
    tapped_state = receive.receive(state, arrivals(tapped, first=2), rules())
    assert tapped_state.last_user_message_at == make.at(70)
    assert lines(tapped_state) == lines(state)


def test_what_is_taken_back_on_standby_is_forgotten() -> None:
    said = make.standby("s1")
    gone = make.standby("s1", text=None, seconds=1, raw={"message": {"is_deleted": True}})
    gone = gone.model_copy(update={"event_id": "gone"})
    assert lines(taken_in(said, gone)) == []


# --- anything in any order

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["write", "write", "write", "takeover", "resume", "human", "handle"]),
        st.booleans(),  # of takeovers: told on the log at once, or at the end
        st.sampled_from([None, None, "takeover", "both"]),  # while the model writes
    ),
    max_size=25,
)


@given(STEPS)
@hypothesis_settings(max_examples=200, deadline=None)
def test_no_message_written_before_a_change_of_hands_is_ever_answered(
    steps: list[tuple[str, bool, str | None]],
) -> None:
    """People write, humans come and go, the consumer lags; the judge knows only times."""
    story = _Story()
    asyncio.run(story.play(steps))
    story.check()


class _Story:
    """A clock, and who has the conversation at each moment."""

    def __init__(self) -> None:
        self.world = World()
        self.clock = 0
        self.epoch = 0
        self.changes: list[int] = []
        self.untold: list[AnyRecord] = []
        self.written: dict[str, int] = {}
        self.judged = 0

    @property
    def has_human(self) -> bool:
        return self.epoch % 2 == 1

    async def play(self, steps: list[tuple[str, bool, str | None]]) -> None:
        for what, at_once, meanwhile in [*steps, ("handle", True, None)]:
            self.clock += 1
            match what:
                case "write":
                    self._write()
                case "human":
                    self.world.write(make.sent(f"h{self.clock}", 0, "human", self.clock))
                case "takeover" if not self.has_human:
                    self._change_hands(at_once)
                case "resume" if self.has_human:
                    self._change_hands(at_once)
                case "handle":
                    await self._handle(meanwhile)
        self.world.write(*self.untold)
        await self._handle(None)

    def _write(self) -> None:
        event = make.message(f"m{self.clock}", f"<{self.clock}>", self.clock)
        self.written[message_ref(event)] = self.clock
        self.world.write(event)

    def _change_hands(self, at_once: bool) -> None:
        self.epoch += 1
        self.changes.append(self.clock)
        mode = "human" if self.has_human else "ai"
        self.world.take_over(self.epoch, mode, make.at(self.clock))
        told = (make.takeover_started if self.has_human else make.takeover_ended)(
            self.epoch, self.clock
        )
        if at_once:
            self.world.write(told)
        else:
            self.untold.append(told)

    async def _handle(self, meanwhile: str | None) -> None:
        async def model_writes(_asked: int) -> None:
            nonlocal meanwhile
            for _ in range({"takeover": 1, "both": 2}.get(meanwhile or "", 0)):
                self.clock += 1
                self._change_hands(at_once=True)
            meanwhile = None

        self.world.on_ask = model_writes
        while self.world.committed < len(self.world.log):
            try:
                await self.world.handle()
            except ConversationChangedError:
                continue
        self._judge()

    def _judge(self) -> None:
        """Each command, as soon as it is there: what it answers, and who has the conversation."""
        for command in self.world.commands[self.judged :]:
            assert not self.has_human
            assert command.epoch == self.epoch
        self.judged = len(self.world.commands)
        turn = self.world.state.turn
        if turn is not None and turn.epoch == self.epoch:
            since = self.changes[-1] if self.changes else 0
            assert all(self.written[message] >= since for message in turn.answered)

    def check(self) -> None:
        """Nothing waits, and the memory has every line of the person's in order."""
        state = self.world.state
        assert state.pending == ()
        said = [line.text for line in state.history if line.role == "person"]
        assert said == [f"<{at}>" for at in self.written.values()]
        since = self.changes[-1] if self.changes else 0
        last = max(self.written.values(), default=-1)
        if not self.has_human and last > since:
            assert state.turn is not None
            assert state.turn.epoch == self.epoch
