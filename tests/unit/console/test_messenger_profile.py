"""What Facebook is told of a greeting and a button, by what it has already."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.console.domain.messenger_profile import (
    PARTS,
    Plan,
    ProfileAnswer,
    Wish,
    adopted,
    missing,
    plan,
)

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
texts = st.sampled_from(["", "a", "b"])
answers = st.none() | st.builds(
    ProfileAnswer,
    at=st.just(NOW),
    outcome=st.sampled_from(["written", "refused", "unknown"]),
    greeting=st.none() | texts,
    get_started=st.none() | texts,
)


def has(greeting: str | None, get_started: str | None) -> ProfileAnswer:
    return ProfileAnswer(at=NOW, outcome="written", greeting=greeting, get_started=get_started)


@pytest.mark.parametrize(
    ("answer", "wish", "expected"),
    [
        (None, Wish("Hi", "GO"), Plan(("greeting", "get_started"), ())),
        (None, Wish("", ""), Plan((), ("greeting", "get_started"))),
        (has("Hi", "GO"), Wish("Hi", "GO"), Plan((), ())),
        (has("Hi", "GO"), Wish("Hi", "START"), Plan(("get_started",), ())),
        (has("Hi", "GO"), Wish("", "GO"), Plan((), ("greeting",))),
        (has("Hi", None), Wish("Hi", "GO"), Plan(("get_started",), ())),
        (has("", ""), Wish("", ""), Plan((), ())),
    ],
)
def test_only_what_is_missing_is_written(
    answer: ProfileAnswer | None, wish: Wish, expected: Plan
) -> None:
    assert plan(answer, wish) == expected
    assert plan(answer, wish).is_empty == (not missing(answer, wish))


@given(answers, texts, texts)
def test_after_the_plan_facebook_has_what_is_wanted(
    answer: ProfileAnswer | None, greeting: str, get_started: str
) -> None:
    wish = Wish(greeting, get_started)
    for all_of_it in (False, True):
        steps = plan(answer, wish, all_of_it=all_of_it)
        there = {part: answer.has(part) if answer else None for part in PARTS}
        there |= {part: wish.of(part) for part in steps.write} | dict.fromkeys(steps.remove, "")
        assert not missing(has(there["greeting"], there["get_started"]), wish)
        assert all(wish.of(part) for part in steps.write)


def test_what_a_page_brings_along_is_taken_over() -> None:
    wish = Wish("", "GET_STARTED")
    assert adopted({"greeting": "Hi", "get_started": "GO"}, wish) == {
        "greeting": "Hi",
        "get_started": "GO",
    }
    assert adopted({"greeting": "", "get_started": ""}, wish) == {}
    assert adopted({"greeting": "", "get_started": "GET_STARTED"}, wish) == {}
