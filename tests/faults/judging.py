"""The judge: from what stands in the simulator's threads and calls, what went wrong. Pure.

Nothing that the services say about themselves counts, but for one thing: a part whose fate nobody
can know has to be on the sender's list, where people find it.
"""

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from simulator.client import Call, Thread

REPLY = "Thanks for your message! You wrote: “{}”. (This is the simulated model.)"


@dataclass(frozen=True)
class Listed:
    """A part that the sender shows to people: `held`, or `failed`."""

    psid: str
    send_id: str
    text: str
    state: str


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
    listed: int = 0
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
) -> Verdict:
    """Judge one Page.

    Args:
        threads: of its people, by psid.
        calls: all its Graph calls.
        listed: what the sender shows.
        parts: what every question is answered with; by default one part that quotes it.
        evidence: whether a part's fate can be found out: then none may be listed. Otherwise, all
            whose answer was lost have to be.
        faults_at: moments of faults, in ms since 1970.
    """
    verdict = Verdict(listed=len(listed))
    for psid, thread in threads.items():
        given_up = Counter(each.text for each in listed if each.psid == psid)
        _judge_thread(verdict, psid, thread, parts, given_up)
        verdict.recovered_after_s = max(
            [verdict.recovered_after_s, *_waits_s(thread, faults_at, max(1, len(parts)))]
        )
    sends = [call for call in calls if call["endpoint"] == "messages"]
    accepted = Counter(_send_id(call) for call in sends if call["outcome"] == "accepted")
    verdict.sent_twice = [send_id for send_id, times in accepted.items() if times > 1]
    shown = {each.send_id for each in listed}
    if evidence:
        verdict.listed_in_vain = sorted(shown)
    else:
        verdict.unlisted = sorted(unanswered(sends) - shown)
    return verdict


def unanswered(calls: Iterable[Call]) -> set[str]:
    """The sends whose answer was lost each time."""
    sends = [call for call in calls if call["endpoint"] == "messages"]
    clear = {_send_id(call) for call in sends if "fault" not in call}
    return {_send_id(call) for call in sends if "fault" in call} - clear


def _judge_thread(
    verdict: Verdict, psid: str, thread: Thread, parts: Sequence[str], given_up: Counter[str]
) -> None:
    actual = [(message["from"], message["text"]) for message in thread["messages"]]
    questions = [text for who, text in actual if who == "person"]
    expected: list[tuple[str, str]] = []
    for text in questions:
        expected += [("person", text), *(("page", part) for part in parts or [REPLY.format(text)])]
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


def _waits_s(thread: Thread, faults_at: Sequence[int], parts: int) -> list[float]:
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


def _send_id(call: Call) -> str:
    return str(call["body"]["message"]["metadata"])
