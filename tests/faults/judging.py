"""The judge: from what stands in the simulator's threads and calls, what went wrong. Pure.

Nothing that the services say about themselves counts, but for one thing: a part whose fate nobody
can know has to be on the sender's list, where people find it.
"""

import re
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from simulator.client import Call, Thread

REPLY = "Thanks for your message! You wrote: “{}”. (This is the simulated model.)"
SUPERSEDED = "superseded_by_human"
DUE_AFTER_MS = 1000  # from a question to the command of its answer, where nothing is slow

_QUOTE = re.compile(re.escape(REPLY).replace(r"\{\}", "(.*)"), re.DOTALL)


@dataclass(frozen=True)
class Listed:
    """A part that the sender shows to people: `held`, or `failed` for a `reason`."""

    psid: str
    send_id: str
    text: str
    state: str
    reason: str | None = None


@dataclass
class Takeovers:
    """What colleagues did in one conversation. Moments in ms since 1970."""

    written: dict[str, int] = field(default_factory=dict)
    """What they wrote, in order, each when it was promised to be sent."""
    spans: list[tuple[int, int]] = field(default_factory=list)
    """From the answer to *Take over* until *Resume* was asked for."""
    excused: set[str] = field(default_factory=set)
    """Questions that the assistant need not answer: they were open then, or came meanwhile."""


NOBODY = Takeovers()


def topics(text: str) -> list[str]:
    """What a message of the Page is about: the questions that it quotes, or its own text."""
    quote = _QUOTE.fullmatch(text)
    return quote[1].split("\n") if quote else [text]


@dataclass
class Verdict:
    """What became of all messages of one run. Empty lists are good; they name persons or parts."""

    questions: int = 0
    answers: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    out_of_order: list[str] = field(default_factory=list)
    sent_twice: list[str] = field(default_factory=list)
    unlisted: list[str] = field(default_factory=list)
    listed_in_vain: list[str] = field(default_factory=list)
    spoken_over: list[str] = field(default_factory=list)
    also: list[str] = field(default_factory=list)
    """What the scenario itself found, beside threads and calls."""
    listed: int = 0
    overlaps: int = 0
    """How often a message arrived when the next one had been due already."""
    recovered_after_s: float = 0.0

    @property
    def complaints(self) -> dict[str, list[str]]:
        """What must not be, by kind; nothing if all is well."""
        found = {
            "lost": self.lost,
            "doubled": self.doubled,
            "out of order": self.out_of_order,
            "sent twice": self.sent_twice,
            "not listed": self.unlisted,
            "listed in vain": self.listed_in_vain,
            "spoken over": self.spoken_over,
            "also": self.also,
        }
        return {kind: names for kind, names in found.items() if names}


def judge(
    threads: Mapping[str, Thread],
    calls: Sequence[Call],
    listed: Sequence[Listed],
    *,
    parts: Sequence[str] = (),
    evidence: bool = True,
    faults_at: Sequence[int] = (),
    takeovers: Mapping[str, Takeovers] | None = None,
) -> Verdict:
    """Judge one Page.

    Args:
        threads: of its people, by psid. Nobody asks the same twice.
        calls: all its Graph calls.
        listed: what the sender shows.
        parts: what every question is answered with, by people who wait for it; by default answers
            quote one question or more.
        evidence: whether a part's fate can be found out: then none may be listed. Otherwise, all
            whose answer was lost have to be.
        faults_at: moments of faults, in ms since 1970.
        takeovers: by psid.
    """
    hands = takeovers or {}
    listed = [each for each in listed if not _rightly_superseded(each, hands)]
    verdict = Verdict(listed=len(listed))
    for psid, thread in threads.items():
        given_up = [each.text for each in listed if each.psid == psid]
        if parts:
            _judge_parts(verdict, psid, thread, parts, Counter(given_up))
            waits = _waits_for_parts_s(thread, faults_at, len(parts))
        else:
            _Conversation(psid, thread, hands.get(psid, NOBODY)).judge(verdict, given_up)
            waits = _waits_s(thread, faults_at)
        verdict.recovered_after_s = max([verdict.recovered_after_s, *waits])
    sends = [call for call in calls if call["endpoint"] == "messages"]
    accepted = Counter(_send_id(call) for call in sends if call["outcome"] == "accepted")
    verdict.sent_twice = [send_id for send_id, times in accepted.items() if times > 1]
    if evidence:
        verdict.listed_in_vain = sorted(f"{each.send_id} ({_why(each, hands)})" for each in listed)
    else:
        verdict.unlisted = sorted(unanswered(sends) - {each.send_id for each in listed})
    return verdict


def unanswered(calls: Iterable[Call]) -> set[str]:
    """The sends whose answer was lost each time."""
    sends = [call for call in calls if call["endpoint"] == "messages"]
    clear = {_send_id(call) for call in sends if "fault" not in call}
    return {_send_id(call) for call in sends if "fault" in call} - clear


def _why(listed: Listed, takeovers: Mapping[str, Takeovers]) -> str:
    """What it is listed for, and how much of it nobody had answered for the assistant."""
    about = set(topics(listed.text))
    due = about - takeovers.get(listed.psid, NOBODY).excused
    return f"{listed.state}, {listed.reason}, {len(due)} of {len(about)} due"


def _rightly_superseded(listed: Listed, takeovers: Mapping[str, Takeovers]) -> bool:
    """Whether the assistant was only silent because a colleague had the conversation."""
    excused = takeovers.get(listed.psid, NOBODY).excused
    return listed.reason == SUPERSEDED and set(topics(listed.text)) <= excused


class _Conversation:
    """One thread in which each answer says what it answers, however many were under way."""

    def __init__(self, psid: str, thread: Thread, hands: Takeovers) -> None:
        self._psid = psid
        self._hands = hands
        self._asked = {each["text"]: each["at"] for each in _of(thread, "person")}
        self._said = [(topics(each["text"]), each["at"]) for each in _of(thread, "page")]

    def judge(self, verdict: Verdict, given_up: Iterable[str]) -> None:
        said = [topic for about, _ in self._said for topic in about]
        has = Counter(said)
        due = {*self._asked, *self._hands.written}
        needed = due - self._hands.excused
        verdict.questions += len(self._asked)
        verdict.answers += len(self._said)
        if missing := needed - set(has) - {topic for text in given_up for topic in topics(text)}:
            verdict.lost.append(f"{self._psid} ({len(missing)})")
        if extra := has - Counter(due):
            verdict.doubled.append(f"{self._psid} ({extra.total()})")
        elif not self._is_in_order(said):
            verdict.out_of_order.append(self._psid)
        if over := [at for about, at in self._said if self._speaks_over(about, at)]:
            verdict.spoken_over.append(f"{self._psid} ({len(over)})")
        verdict.overlaps += sum(
            self._due_at(about) <= at
            for (_, at), (about, _) in zip(self._said, self._said[1:], strict=False)
        )

    def _is_in_order(self, said: Sequence[str]) -> bool:
        """Answers and lines each come as they are due, and no line after the answer to a question
        that was asked when the line had been promised."""
        answers = [topic for topic in said if topic in self._asked]
        lines = [topic for topic in said if topic in self._hands.written]
        newest = 0
        for topic in said:
            newest = max(newest, self._asked.get(topic, 0))
            if newest > self._hands.written.get(topic, newest):
                return False
        return _follows(answers, self._asked) and _follows(lines, self._hands.written)

    def _speaks_over(self, about: Sequence[str], at: int) -> bool:
        if self._hands.written.keys() >= set(about):
            return False
        return any(since < at < until for since, until in self._hands.spans)

    def _due_at(self, about: Sequence[str]) -> float:
        moments = [self._asked[topic] + DUE_AFTER_MS for topic in about if topic in self._asked]
        moments += [self._hands.written[topic] for topic in about if topic in self._hands.written]
        return max(moments, default=float("inf"))


def _of(thread: Thread, side: str) -> list[dict[str, Any]]:
    return [message for message in thread["messages"] if message["from"] == side]


def _follows(some: Sequence[str], order: Iterable[str]) -> bool:
    places = {topic: place for place, topic in enumerate(order)}
    found = [places[topic] for topic in some]
    return found == sorted(found)


def _judge_parts(
    verdict: Verdict, psid: str, thread: Thread, parts: Sequence[str], given_up: Counter[str]
) -> None:
    actual = [(message["from"], message["text"]) for message in thread["messages"]]
    questions = [text for who, text in actual if who == "person"]
    expected: list[tuple[str, str]] = []
    for text in questions:
        expected += [("person", text), *(("page", part) for part in parts)]
    has = Counter(text for who, text in actual if who == "page")
    due = Counter(text for who, text in expected if who == "page")
    verdict.questions += len(questions)
    verdict.answers += has.total()
    if missing := due - has - given_up:
        verdict.lost.append(f"{psid} ({missing.total()})")
    if extra := has - due:
        verdict.doubled.append(f"{psid} ({extra.total()})")
    elif actual != _without(expected, due - has):
        verdict.out_of_order.append(psid)


def _without(expected: Iterable[tuple[str, str]], missing: Counter[str]) -> list[tuple[str, str]]:
    """What should stand there, less what is known to be missing: that is another complaint."""
    left, kept = Counter(missing), []
    for who, text in expected:
        if who == "page" and left[text] > 0:
            left[text] -= 1
        else:
            kept.append((who, text))
    return kept


def _waits_for_parts_s(thread: Thread, faults_at: Sequence[int], parts: int) -> list[float]:
    """For each question that was open at a fault: how long after it the last part came."""
    waiting: deque[int] = deque()
    left, waits = 0, []
    for message in thread["messages"]:
        if message["from"] == "person":
            waiting.append(message["at"])
            left += parts
            continue
        left -= 1
        if waiting and left % parts == 0:
            asked_at = waiting.popleft()
            waits += [
                (message["at"] - at) / 1000 for at in faults_at if asked_at <= at <= message["at"]
            ]
    return waits


def _waits_s(thread: Thread, faults_at: Sequence[int]) -> list[float]:
    """The same where answers say what they answer."""
    asked = {each["text"]: each["at"] for each in _of(thread, "person")}
    return [
        (each["at"] - at) / 1000
        for each in _of(thread, "page")
        for topic in topics(each["text"])
        for at in faults_at
        if asked.get(topic, float("inf")) <= at <= each["at"]
    ]


def _send_id(call: Call) -> str:
    return str(call["body"]["message"]["metadata"])
