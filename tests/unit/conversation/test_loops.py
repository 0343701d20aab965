"""Two machines talking to each other, and people who only look like one."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.conversation.domain.loops import ANY_TEXT_FACTOR, exchanges, is_loop
from services.conversation.domain.state import Line, Role, State
from tests.unit.conversation import factories as make
from tests.unit.conversation.factories import PATIENTLY
from tests.unit.conversation.world import CHANNEL, World

TURNS = 8
OUT = "I am out of office until Monday. For urgent matters call the desk. Ticket {n}."


def talk(
    texts: list[str], pause_s: float = 2, role: Role = "person", answers: bool = True
) -> State:
    """The assistant speaks, then they do after so many seconds, and so on."""
    lines, seconds = [], 0.0
    for number, text in enumerate(texts):
        if answers:
            lines.append(_line(f"a{number}", "assistant", "Hello!", seconds))
        seconds += pause_s
        lines.append(_line(f"p{number}", role, text, seconds))
        seconds += 1
    return State(history=tuple(lines))


def _line(message: str, role: Role, text: str, seconds: float) -> Line:
    return Line(message=message, role=role, text=text, at=make.at(seconds))


def same(count: int) -> list[str]:
    return [OUT.format(n=number) for number in range(count)]


def varied(count: int) -> list[str]:
    return [f"{chr(97 + number % 26) * (5 + number)} is number {number}" for number in range(count)]


@pytest.mark.parametrize(
    ("state", "loop"),
    [
        (talk(same(TURNS)), True),
        (talk(same(TURNS + 5)), True),
        (talk(["ping", "pong"] * TURNS), True),
        (talk(same(TURNS), pause_s=60), True),  # an auto-responder that takes its time
        (talk(varied(TURNS * ANY_TEXT_FACTOR)), True),
        (talk(same(TURNS - 1)), False),
        (talk(varied(TURNS)), False),
        (talk(varied(TURNS * ANY_TEXT_FACTOR - 1)), False),
        (talk(varied(TURNS * ANY_TEXT_FACTOR), pause_s=6), False),
        (talk(varied(TURNS * ANY_TEXT_FACTOR), pause_s=-3), False),  # who types on meanwhile
        (talk(["ok"] * TURNS, pause_s=20), False),  # a person of few words
        (talk(["yes", "no"] * TURNS, pause_s=30), False),
        (talk(same(TURNS), pause_s=3600), False),  # once an hour
        (talk(same(TURNS), role="human"), False),
        (talk(same(TURNS), answers=False), False),  # a burst: nobody answered in between
        (State(), False),
    ],
)
def test_what_is_taken_for_a_machine(state: State, loop: bool) -> None:
    assert is_loop(state, TURNS) is loop


def test_nobody_looks_where_the_channel_says_so() -> None:
    assert not is_loop(talk(same(50)), 0)


def test_a_human_agents_words_begin_the_row_anew() -> None:
    state = talk(same(TURNS))
    lines = list(state.history)
    lines.insert(6, _line("h", "human", "Anna here", 8))
    assert not is_loop(State(history=tuple(lines)), TURNS)


def test_what_was_before_a_silence_counts_no_more() -> None:
    state = talk(same(TURNS)).model_copy(update={"silent_until": make.at(12)})
    assert len(exchanges(state)) < TURNS
    assert not is_loop(state, TURNS)


def test_lines_of_one_burst_are_one_exchange() -> None:
    lines = (
        _line("a", "assistant", "Hello!", 0),
        _line("1", "person", "Hi", 2),
        _line("2", "person", "there", 3),
    )
    (only,) = exchanges(State(history=lines))
    assert (only.text, only.pause) == ("hi there", timedelta(seconds=2))


@PATIENTLY
@given(
    st.lists(
        st.tuples(st.sampled_from(["person", "assistant", "human"]), st.text(max_size=9)),
        max_size=60,
    ),
    st.integers(1, 30),
)
def test_any_history_is_judged_and_a_short_one_is_no_loop(lines: list[Any], turns: int) -> None:
    state = State(
        history=tuple(_line(str(at), role, text, at) for at, (role, text) in enumerate(lines))
    )
    answers = sum(role == "assistant" for role, _ in lines)
    assert not is_loop(state, turns) or answers >= turns


# --- what becomes of them


async def chat(world: World, number: int, text: str, after_s: float = 1) -> None:
    world.time += timedelta(seconds=after_s)
    seconds = (world.time - make.NOON).total_seconds()
    world.write(make.message(f"m{number}", text, seconds))
    await world.handle()


async def test_a_machine_gets_one_last_word_and_then_silence() -> None:
    world = World()
    for number in range(30):
        await chat(world, number, OUT.format(n=number))
    texts = [command.text for command in world.commands]
    assert texts[-1] == CHANNEL.settings.handover_text
    assert len(texts) == TURNS + 1
    assert len(world.prompts) == TURNS
    [requested] = world.requested
    assert requested.reason == "loop_suspected"
    assert world.facts.count("turn.failed") == 1
    assert world.state.pending == ()
    assert world.state.inbound_count == 30
    shown = len(world.shown)
    await chat(world, 30, OUT)
    assert len(world.shown) == shown  # no typing either


async def test_a_person_taken_for_a_machine_still_reaches_a_human() -> None:
    world = World()
    for number in range(12):
        await chat(world, number, OUT.format(n=number))
    said = len(world.commands)
    await chat(world, 50, "I want to talk to a human", 30)
    assert [each.reason for each in world.requested] == ["loop_suspected", "asked"]
    assert len(world.commands) == said + 1
    await chat(world, 51, "HUMAN", 5)  # known already: no ping-pong with this either
    assert len(world.commands) == said + 1


async def test_get_started_is_welcomed_even_then_and_silence_ends() -> None:
    world = World()
    for number in range(12):
        await chat(world, number, OUT.format(n=number))
    world.write(make.get_started(seconds=2000))
    await world.handle()
    assert world.prompts[-1].kind == "welcome"

    asked = len(world.prompts)
    await chat(world, 60, "do you deliver?", CHANNEL.settings.loop_pause_s)
    assert len(world.prompts) == asked + 1


async def test_ten_quick_different_questions_are_all_answered() -> None:
    world = World()
    for number, text in enumerate(varied(10)):
        await chat(world, number, text)
    assert len(world.prompts) == 10
    assert world.requested == []
