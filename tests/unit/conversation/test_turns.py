"""What is asked, what the answer does to the conversation, and what is published of it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.events import AnyRecord, SendText, TurnCompleted
from services.conversation.domain import receive, turns
from services.conversation.domain.outbox import records_of
from services.conversation.domain.prompt import GUIDELINES, instructions
from services.conversation.domain.receive import HISTORY_LINES
from services.conversation.domain.state import State, Takeover, Turn
from services.conversation.domain.turns import Answer
from tests.unit.conversation import factories as make
from tests.unit.conversation.factories import CONVERSATION, PAGE, PATIENTLY, PSID, arrivals, rules
from tests.unit.conversation.world import ASSISTANT, CHANNEL

HELLO = Answer("answer", "Hello!", model="small", input_tokens=3, output_tokens=2)


def state_of(*events: AnyRecord) -> State:
    return receive.receive(State(), arrivals(*events), rules())


def finished(state: State, answer: Answer = HELLO, epoch: int = 0) -> tuple[State, Turn]:
    return turns.finish(state, CONVERSATION, answer, Takeover(epoch=epoch), make.at(5.123456))


@pytest.mark.parametrize(
    ("events", "need"),
    [
        ([], "nothing"),
        ([make.message()], "answer"),
        ([make.image()], "text_only"),
        ([make.image(text="what is this?")], "answer"),
        ([make.image("m1"), make.message("m2")], "answer"),
        ([make.get_started()], "welcome"),
        ([make.get_started(), make.image()], "welcome"),
        ([make.get_started(), make.message()], "answer"),
        ([make.message(), make.get_started()], "answer"),
        ([make.reaction()], "nothing"),
        ([make.standby()], "nothing"),
        ([make.message(), make.unsent()], "nothing"),
    ],
)
def test_what_waits_decides_what_is_needed(events: list[AnyRecord], need: str) -> None:
    assert turns.needed(state_of(*events)) == need


def test_a_burst_is_one_question_without_the_button() -> None:
    state = state_of(make.get_started(), make.message("m1", "Hi"), make.message("m2", "open?"))
    assert turns.question(state) == "Hi\nopen?"


def test_a_question_is_bounded_and_keeps_the_newest() -> None:
    state = state_of(*[make.message(f"m{n}", f"{n}:" + "x" * 2000) for n in range(50)])
    question = turns.question(state)
    assert len(question) <= turns.QUESTION_CHARACTERS
    assert question.splitlines()[-1].startswith("49:")


def test_an_answer_is_not_older_than_what_it_answers_however_clocks_differ() -> None:
    """Its command would be taken for one of somebody erased, whose first message this is."""
    _, turn = finished(state_of(make.message("m1", "hello again", 10)))
    assert turn.answered_at == make.at(10)
    _, turn = finished(state_of(make.message("m1", "hello again", 1)))
    assert turn.answered_at == make.at(5.123)


def test_what_waits_is_no_part_of_the_earlier_lines() -> None:
    state, _ = finished(state_of(make.message("m1", "first")))
    state = receive.receive(state, arrivals(make.message("m2", "second"), first=1), rules())
    assert [line.text for line in turns.earlier_lines(state, 1000)] == ["first", "Hello!"]


@PATIENTLY
@given(st.lists(st.text("aß😀", min_size=1, max_size=50), max_size=20), st.integers(0, 300))
def test_earlier_lines_are_the_newest_that_fit(texts: list[str], budget: int) -> None:
    state = state_of(*[make.echo(f"e{n}", text=text) for n, text in enumerate(texts)])
    lines = turns.earlier_lines(state, budget)
    assert lines == state.history[len(state.history) - len(lines) :]
    used = sum(len(line.text.encode()) + 8 for line in lines)
    assert used <= budget * turns.BYTES_PER_TOKEN
    if len(lines) < len(state.history):
        next_one = state.history[-len(lines) - 1]
        assert used + len(next_one.text.encode()) + 8 > budget * turns.BYTES_PER_TOKEN


def test_an_answer_ends_the_waiting_and_is_remembered() -> None:
    before = state_of(make.message("m1"), make.message("m2", "more"))
    state, turn = finished(before, epoch=3)
    assert state.pending == ()
    assert state.turn == turn
    assert [(line.role, line.text) for line in state.history][-1] == ("assistant", "Hello!")
    assert turn.answered == tuple(waiting.message for waiting in before.pending)
    assert (turn.messages_answered, turn.epoch) == (2, 3)
    assert turns.needed(state) == "nothing"


def test_history_stays_bounded_with_answers() -> None:
    state = state_of(*[make.echo(f"e{n}") for n in range(HISTORY_LINES)], make.message())
    state, _ = finished(state, Answer("answer", "y" * 20_000, model="m"))
    assert len(state.history) == HISTORY_LINES
    assert len(state.history[-1].text) == receive.LINE_CHARACTERS


def test_a_turn_has_the_same_ids_whenever_it_is_repeated() -> None:
    state = state_of(make.message())
    _, first = finished(state)
    _, again = finished(state, Answer("fallback", "Sorry", model="none"))
    _, other = finished(state_of(make.message("m2")))
    assert (again.turn_id, again.command_id) == (first.turn_id, first.command_id)
    assert {other.turn_id, other.command_id}.isdisjoint({first.turn_id, first.command_id})


def test_a_turn_read_back_from_the_database_publishes_the_same_bytes() -> None:
    _, turn = finished(state_of(make.message()))
    assert turn.answered_at.microsecond % 1000 == 0
    reread = Turn.model_validate(turn.model_dump())
    assert records_of(reread, PAGE, PSID) == records_of(turn, PAGE, PSID)


# --- after a crash


@pytest.mark.parametrize(
    ("events", "first", "again"),
    [
        ([make.message("m1")], 0, True),
        ([make.message("m2", "more")], 1, True),
        ([make.message("m1"), make.message("m2", "more"), make.message("m3")], 0, True),
        ([make.message("m3")], 2, False),  # not answered yet
        ([make.reaction()], 2, False),
        ([make.message("m1")], 2, False),  # Meta's copy: the first one has been seen to
        ([], 0, False),
    ],
)
def test_a_stored_turn_is_published_again_if_its_messages_are_handed_out_again(
    events: list[AnyRecord], first: int, again: bool
) -> None:
    state, turn = finished(state_of(make.message("m1"), make.message("m2", "more")))
    published = turns.to_publish_again(state, arrivals(*events, first=first))
    assert published == (turn if again else None)


def test_another_partition_gives_no_certainty_so_it_is_published_again() -> None:
    state, turn = finished(state_of(make.message("m1")))
    moved = arrivals(make.message("m1"), first=9, partition=5)
    assert turns.to_publish_again(state, moved) == turn


def test_without_a_turn_nothing_is_published_again() -> None:
    log = arrivals(make.message())
    assert turns.to_publish_again(receive.receive(State(), log, rules()), log) is None


# --- the records


def test_an_answer_is_a_command_and_a_fact() -> None:
    _, turn = finished(state_of(make.message()), epoch=4)
    command, fact = records_of(turn, PAGE, PSID)
    assert isinstance(command, SendText)
    assert (command.command_id, command.origin, command.epoch) == (turn.command_id, "assistant", 4)
    assert (command.text, command.turn_id) == ("Hello!", turn.turn_id)
    assert isinstance(fact, TurnCompleted)
    assert (fact.kind, fact.messages_answered, fact.command_id) == ("answer", 1, turn.command_id)
    assert (fact.input_tokens, fact.output_tokens) == (3, 2)
    assert command.occurred_at == fact.occurred_at == turn.answered_at


@pytest.mark.parametrize(
    ("answer", "kinds"),
    [
        (
            Answer("fallback", "Sorry", model="none", failure="deadline"),
            ["send.text", "turn.failed"],
        ),
        (Answer("fallback", "", model="none", failure="deadline"), ["turn.failed"]),
        (Answer("text_only", "Only text", model="none"), ["send.text", "turn.completed"]),
        (Answer("text_only", "", model="none"), []),
    ],
)
def test_a_channel_without_a_text_for_the_case_sends_nothing(
    answer: Answer, kinds: list[str]
) -> None:
    state, turn = finished(state_of(make.message()), answer)
    assert [made.type for made in records_of(turn, PAGE, PSID)] == kinds
    assert len(state.history) == (2 if answer.text else 1)


# --- the prompt


def test_instructions_are_the_prompt_the_addition_then_the_guidelines() -> None:
    channel = CHANNEL.model_copy(
        update={
            "settings": CHANNEL.settings.model_copy(update={"prompt_addition": "Say “Moin”."}),
        }
    )
    text = instructions(ASSISTANT, channel, make.NOON)
    parts = [ASSISTANT.system_prompt, "Say “Moin”.", "Bakery", "01 March 2026", GUIDELINES]
    places = [text.index(part) for part in parts]
    assert places == sorted(places)
    assert text.endswith(GUIDELINES)


def test_empty_parts_leave_no_gap() -> None:
    bare = ASSISTANT.model_copy(update={"system_prompt": "  "})
    assert instructions(bare, CHANNEL, make.NOON).startswith("The Page is “Bakery”")


@pytest.mark.parametrize("rule", ["short", "conversational", "plain text", "1000 characters"])
def test_guidelines_say_what_messenger_needs(rule: str) -> None:
    assert rule in GUIDELINES


def test_a_command_says_since_when_the_latest_message_has_waited() -> None:
    logged = [make.at(1), make.at(3)]
    messages = arrivals(make.message("m1"), make.message("m2", "open?"))
    waiting = [replace(arrival, logged_at=at) for arrival, at in zip(messages, logged, strict=True)]
    state = receive.receive(State(), waiting, rules())
    state = receive.receive(state, arrivals(make.reaction(), first=2), rules())
    _, turn = finished(state, replace(HELLO, model_s=1.25))
    (command, _) = records_of(turn, PAGE, PSID)
    assert isinstance(command, SendText)
    assert command.waiting_since == logged[1]
    assert command.model_s == 1.25


def test_nobody_says_since_when_what_the_log_does_not_tell() -> None:
    _, turn = finished(state_of(make.message()), replace(HELLO, model_s=1.25))
    (command, _) = records_of(turn, PAGE, PSID)
    assert isinstance(command, SendText)
    assert (command.waiting_since, command.model_s) == (None, None)
