"""The judge itself: threads and calls in, complaints out."""

from typing import Any

import pytest

from tests.faults.__main__ import seeds_from
from tests.faults.judging import REPLY, Listed, judge
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
        ([person("a"), person("b"), answer("a"), answer("b")], {"out of order"}),
        ([person("a"), person("b"), answer("b"), answer("a")], {"out of order"}),
    ],
)
def test_a_thread_is_questions_each_with_its_answer(
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
    names = [scenario.name for group in side_by_side(SCENARIOS) for scenario in group]
    assert len(set(names)) == len(SCENARIOS)
    assert sorted(names) == sorted(scenario.name for scenario in SCENARIOS)
