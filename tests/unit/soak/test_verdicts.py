"""People who left are judged once, and what is stored of them is taken away some rounds later."""

from typing import Any

import pytest

from tests.faults.judging import REPLY
from tests.faults.people import now_ms
from tests.soak.people import Crowd, Guest
from tests.soak.verdicts import KEPT_ROUNDS, QUIET_MS, Judging

PAGE, PSID, QUESTION = "1", "2", "Question 1 of guest 1?"


class Threads:
    """The simulator's."""

    def __init__(self, answers: int) -> None:
        self._answers = answers

    async def thread(self, _page: str, _psid: str) -> dict[str, Any]:
        asked = {"mid": "m_1", "from": "person", "text": QUESTION, "at": 1}
        answer = {"mid": "m_2", "from": "page", "text": REPLY.format(QUESTION), "at": 2}
        return {"messages": [asked, *[answer] * self._answers]}


class NothingListed:
    def told(self, _page: str) -> dict[str, Any]:
        return {}


class Taken:
    """What was taken out of which collection."""

    def __init__(self) -> None:
        self.ids: dict[str, list[str]] = {}

    def __getitem__(self, name: str) -> "Taken":
        self._name = name
        return self

    async def delete_many(self, query: dict[str, Any]) -> None:
        self.ids.setdefault(self._name, []).extend(query["_id"]["$in"])


def judging(answers: int) -> tuple[Judging, Taken]:
    """Of one person who has asked, been answered, and left a while ago."""
    simulator: Any = Threads(answers)
    listing: Any = NothingListed()
    taken: Any = Taken()
    crowd = Crowd(simulator, listing, [PAGE], seed=1)
    guest = Guest(PAGE, PSID, 1, questions=1, asked={QUESTION: now_ms() - QUIET_MS})
    for number in range(answers):
        body = {"message": {"metadata": f"s{number}"}}
        guest.calls.append(
            {"endpoint": "messages", "outcome": "accepted", "body": body, "psid": PSID}
        )
    crowd.guests[PSID] = guest
    return Judging(crowd, simulator, listing, taken), taken


@pytest.mark.parametrize(
    ("answers", "complaints"), [(1, {}), (0, {"lost": 1}), (2, {"doubled": 1})]
)
async def test_who_has_left_is_judged_once(answers: int, complaints: dict[str, int]) -> None:
    judge, _ = judging(answers)
    for _ in range(3):
        await judge.those_who_left()
    assert judge.judged == 1
    assert judge.counts == complaints
    assert not judge.crowd.guests


async def test_what_is_stored_of_them_goes_some_rounds_later_and_once() -> None:
    judge, taken = judging(answers=1)
    for _ in range(1 + KEPT_ROUNDS):
        await judge.those_who_left()
    assert taken.ids == {}
    await judge.those_who_left()
    assert taken.ids == {
        "messages": ["1:m_1", "1:s0"],
        "deliveries": ["s0"],
        **{name: ["1:2"] for name in ("conversations", "inbox", "people", "receipts")},
    }
    gone = {name: list(ids) for name, ids in taken.ids.items()}
    await judge.those_who_left()
    assert taken.ids == gone


async def test_who_may_still_be_answered_is_not_judged() -> None:
    judge, _ = judging(answers=1)
    judge.crowd.guests[PSID].asked = {QUESTION: now_ms()}
    await judge.those_who_left()
    assert judge.judged == 0
