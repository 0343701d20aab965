"""The judge itself: threads and calls in, complaints out."""

from typing import Any

import pytest

from tests.faults.__main__ import seeds_from
from tests.faults.judging import REPLY, SUPERSEDED, Listed, Takeovers, judge
from tests.faults.scenarios import SCENARIOS, side_by_side

PSID = "7"


def person(text: str, at: int = 0) -> dict[str, Any]:
    return {"from": "person", "text": text, "at": at}


def page(text: str, at: int = 0) -> dict[str, Any]:
    return {"from": "page", "text": text, "at": at}


def answer(question: str, at: int = 0) -> dict[str, Any]:
    return page(REPLY.format(question), at)


def send(send_id: str, outcome: str = "accepted", **more: Any) -> dict[str, Any]:  # noqa: ANN401
    body = {"message": {"metadata": send_id, "text": ""}}
    return {"endpoint": "messages", "outcome": outcome, "body": body, **more}


@pytest.mark.parametrize(
    ("messages", "kinds"),
    [
        ([person("a"), answer("a"), person("b"), answer("b")], set()),
        ([person("a"), person("b"), answer("b")], {"lost"}),
        ([person("a"), answer("a"), answer("a")], {"doubled"}),
        ([person("a"), page("Something else")], {"lost", "doubled"}),
        ([person("a"), person("b"), answer("a"), answer("b")], set()),
        ([person("a"), person("b"), answer("b"), answer("a")], {"out of order"}),
        ([person("a"), person("b"), answer("a\nb")], set()),
        ([person("a"), person("b"), answer("b\na")], {"out of order"}),
        ([person("a"), person("b"), person("c"), answer("a\nb"), answer("b\nc")], {"doubled"}),
        ([person("a"), person("b"), answer("a\nc")], {"lost", "doubled"}),
        ([person("a"), answer("b"), person("b"), answer("a")], {"out of order"}),
    ],
)
def test_each_question_is_answered_once_and_in_order(
    messages: list[dict[str, Any]], kinds: set[str]
) -> None:
    verdict = judge({PSID: {"messages": messages}}, [], [])
    assert set(verdict.complaints) == kinds


@pytest.mark.parametrize(
    ("texts", "kinds"),
    [
        (["1", "2", "3"], set()),
        (["1", "3", "2"], {"out of order"}),
        (["1", "2"], {"lost"}),
        (["1", "2", "2", "3"], {"doubled"}),
    ],
)
def test_parts_are_judged_one_by_one(texts: list[str], kinds: set[str]) -> None:
    thread = {"messages": [person("a"), *map(page, texts)]}
    verdict = judge({PSID: thread}, [], [], parts=["1", "2", "3"])
    assert set(verdict.complaints) == kinds


HANDS = Takeovers(written={"x": 200, "y": 210}, spans=[(150, 300)], excused={"b"})


@pytest.mark.parametrize(
    ("said", "kinds"),
    [
        ([answer("a", 120), page("x", 220), page("y", 230)], set()),
        ([answer("a\nb", 140), page("x", 220), page("y", 230)], set()),
        ([answer("a", 120), page("x", 220), page("y", 230), answer("b", 310)], set()),
        ([answer("a", 120), page("x", 220)], {"lost"}),
        ([page("x", 220), page("y", 230)], {"lost"}),
        ([answer("a", 120), page("x", 220), page("x", 225), page("y", 230)], {"doubled"}),
        ([answer("a", 120), page("y", 220), page("x", 230)], {"out of order"}),
        ([answer("a", 120), page("x", 220), answer("b", 225), page("y", 230)], {"spoken over"}),
    ],
)
def test_a_colleague_says_each_line_once_and_is_not_spoken_over(
    said: list[dict[str, Any]], kinds: set[str]
) -> None:
    threads = {PSID: {"messages": [person("a", 100), person("b", 110), *said]}}
    verdict = judge(threads, [], [], takeovers={PSID: HANDS})
    assert set(verdict.complaints) == kinds


def test_no_line_comes_after_the_answer_to_a_later_question() -> None:
    first, later = person("a", 100), person("c", 400)
    lines = [page("x", 410), page("y", 420)]

    def complaints(*messages: dict[str, Any]) -> set[str]:
        threads = {PSID: {"messages": [first, answer("a", 120), later, *messages]}}
        return set(judge(threads, [], [], takeovers={PSID: HANDS}).complaints)

    assert complaints(*lines, answer("c", 430)) == set()
    assert complaints(lines[0], answer("c", 415), lines[1]) == {"out of order"}


def test_the_assistant_may_be_silent_only_about_what_a_colleague_took() -> None:
    thread = {"messages": [person("a"), person("b"), page("x"), page("y")]}

    def complaints(*listed: Listed) -> set[str]:
        return set(judge({PSID: thread}, [], listed, takeovers={PSID: HANDS}).complaints)

    about_b = Listed(PSID, "b:0", REPLY.format("b"), "failed", SUPERSEDED)
    about_a = Listed(PSID, "a:0", REPLY.format("a"), "failed", SUPERSEDED)
    assert complaints(about_b) == {"lost"}
    assert complaints(about_b, about_a) == {"listed in vain"}


def test_messages_overlap_if_the_next_one_was_due_when_one_came() -> None:
    asked = [person("a", 1000), person("b", 1100), person("c", 9000)]
    said = [answer("a", 2200), answer("b", 9500), answer("c", 9999)]
    assert judge({PSID: {"messages": asked + said}}, [], []).overlaps == 1
    lines = [page("x", 205), page("y", 220)]
    assert judge({PSID: {"messages": lines}}, [], [], takeovers={PSID: HANDS}).overlaps == 0
    lines = [page("x", 212), page("y", 220)]
    assert judge({PSID: {"messages": lines}}, [], [], takeovers={PSID: HANDS}).overlaps == 1


def test_what_is_listed_is_not_lost() -> None:
    thread = {"messages": [person("a"), person("b"), answer("b")]}
    listed = [Listed(PSID, "x:0", REPLY.format("a"), "held")]
    assert not judge({PSID: thread}, [], listed, evidence=False).complaints
    assert set(judge({PSID: thread}, [], listed).complaints) == {"listed in vain"}
    other = [Listed("8", "x:0", REPLY.format("a"), "held")]
    assert set(judge({PSID: thread}, [], other, evidence=False).complaints) == {"lost"}


def test_a_part_is_sent_twice_if_it_was_accepted_twice() -> None:
    calls = [
        send("x:0", fault="drop_after_accept"),
        send("x:0"),
        send("y:0", "refused"),
        send("y:0"),
    ]
    assert judge({}, calls, []).sent_twice == ["x:0"]


def test_without_evidence_every_send_without_a_clear_answer_is_listed() -> None:
    calls = [
        send("x:0", fault="drop_after_accept"),
        send("y:0", "dropped", fault="drop_before"),
        send("y:0"),
    ]
    assert judge({}, calls, [], evidence=False).unlisted == ["x:0"]
    assert not judge({}, calls, [Listed(PSID, "x:0", "", "held")], evidence=False).complaints


def test_recovery_is_the_longest_wait_for_an_answer_that_was_due_at_the_fault() -> None:
    messages = [person("a", 1000), answer("a", 1500), person("b", 2000), answer("b", 9000)]
    threads = {
        PSID: {"messages": messages},
        "8": {"messages": [person("c", 4000), answer("c", 4500)]},
    }
    assert judge(threads, [], [], faults_at=[1800]).recovered_after_s == 0
    assert judge(threads, [], [], faults_at=[3000, 4100]).recovered_after_s == 6.0


@pytest.mark.parametrize(("text", "seeds"), [("3", [1, 2, 3]), ("7-9", [7, 8, 9]), ("4-4", [4])])
def test_seeds_are_a_number_or_a_range(text: str, seeds: list[int]) -> None:
    assert list(seeds_from(text)) == seeds


def test_scenarios_have_names_of_their_own_and_groups_hold_them_all() -> None:
    names = [scenario.name for group in side_by_side(SCENARIOS).values() for scenario in group]
    assert len(set(names)) == len(SCENARIOS)
    assert sorted(names) == sorted(scenario.name for scenario in SCENARIOS)
