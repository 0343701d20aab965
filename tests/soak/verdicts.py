"""The judge of the fault suite, for people who have left: so that nothing piles up here."""

import asyncio
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from libs.common.errors import TransientError
from libs.common.mongo import Database, mongo_errors
from simulator.client import Simulator, Thread
from tests.faults.judging import judge
from tests.faults.listing import Listing
from tests.faults.people import now_ms
from tests.soak.people import Crowd, Guest

QUIET_MS = 60_000  # after somebody's last question: then all is there that comes
GIVEN_UP_MS = 420_000  # after it, if something is missing all the same
AT_ONCE = 20
BY_PERSON = ("conversations", "inbox", "people", "receipts")
AWAY = (aiohttp.ClientError, TimeoutError, TransientError)
KEPT_ROUNDS = 5  # of people who were judged: what comes late finds what is known of them
NAMED = 20  # people with a complaint of one kind: more are only counted


@dataclass(frozen=True)
class Written:
    """What is stored about one conversation, by the ids of its collections."""

    conversation: str
    messages: tuple[str, ...]
    sends: tuple[str, ...]


@dataclass
class Judging:
    """Judges people once all has come, and takes out of the database what is over with them."""

    crowd: Crowd
    simulator: Simulator
    listing: Listing
    database: Database
    judged: int = 0
    questions: int = 0
    answers: int = 0
    listed: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    named: dict[str, list[str]] = field(default_factory=dict)
    _rounds: deque[list[Written]] = field(default_factory=deque)

    async def those_who_left(self) -> None:
        """Somebody who can't be asked just now is asked the next time."""
        now = now_ms()
        over = [guest for guest in self.crowd.guests.values() if _is_over(guest, now)]
        with suppress(*AWAY):
            await self._clean()
            self._rounds.append([])
            await self._judge_all(over)

    async def everybody(self, within_s: float) -> None:
        """Raises: TimeoutError: somebody could not be asked, in all this time."""
        async with asyncio.timeout(within_s):
            while self.crowd.guests:
                with suppress(*AWAY):
                    await self._judge_all(list(self.crowd.guests.values()))
                await asyncio.sleep(0.2)

    async def _judge_all(self, guests: Sequence[Guest]) -> None:
        for page in self.crowd.pages:
            if here := [guest for guest in guests if guest.page == page]:
                await self._judge(page, here)

    async def _judge(self, page: str, guests: Sequence[Guest]) -> None:
        told = self.listing.told(page)
        listed = await self.listing.shown(page) if told else []
        psids = {guest.psid for guest in guests}
        threads: dict[str, Thread] = {}
        for start in range(0, len(guests), AT_ONCE):
            some = guests[start : start + AT_ONCE]
            found = await asyncio.gather(
                *(self.simulator.thread(page, guest.psid) for guest in some)
            )
            threads |= {guest.psid: thread for guest, thread in zip(some, found, strict=True)}
        verdict = judge(
            threads,
            [call for guest in guests for call in guest.calls],
            [each for each in listed if each.psid in psids],
        )
        for guest in guests:
            if self._rounds:
                self._rounds[-1].append(_written_by(guest, threads[guest.psid]))
            self.crowd.forget(guest)
        self.judged += len(guests)
        self.questions += verdict.questions
        self.answers += verdict.answers
        self.listed += verdict.listed
        for kind, names in verdict.complaints.items():
            self._complain(kind, names)

    def _complain(self, kind: str, names: Sequence[str]) -> None:
        self.counts[kind] += len(names)
        known = self.named.setdefault(kind, [])
        known += names[: NAMED - len(known)]

    async def _clean(self) -> None:
        """What a retention would do in time: the stand-in for MongoDB looks through whole
        collections where MongoDB has an index, and would be slower with every minute.

        By `_id`, and only of people who were judged some rounds before.
        """
        while len(self._rounds) > KEPT_ROUNDS:
            over = self._rounds[0]
            conversations = [written.conversation for written in over]
            gone = {
                "messages": [each for written in over for each in written.messages],
                "deliveries": [each for written in over for each in written.sends],
                **dict.fromkeys(BY_PERSON, conversations),
            }
            with mongo_errors():
                for name, ids in gone.items():
                    await self.database[name].delete_many({"_id": {"$in": ids}})
            self._rounds.popleft()

    @property
    def complaints(self) -> list[str]:
        found = {**self.counts}
        if self.crowd.late:
            found["sent to somebody who had been answered"] = len(self.crowd.late)
        return [
            f"{kind}: {count} ({', '.join(self.named.get(kind, self.crowd.late)[:NAMED])})"
            for kind, count in found.items()
        ]

    def to_json(self) -> dict[str, Any]:
        return {
            "judged": self.judged,
            "questions": self.questions,
            "answers": self.answers,
            "listed": self.listed,
            "complaints": dict(self.counts),
            "named": self.named,
        }


def _written_by(guest: Guest, thread: Thread) -> Written:
    sends = [str(call["body"]["message"]["metadata"]) for call in guest.calls]
    mids = [str(message["mid"]) for message in thread["messages"] if message["from"] == "person"]
    return Written(
        f"{guest.page}:{guest.psid}",
        tuple(f"{guest.page}:{each}" for each in (*mids, *sends)),
        tuple(sends),
    )


def _is_over(guest: Guest, now: int) -> bool:
    if not guest.has_left:
        return False
    since = now - guest.last_asked_at
    return since >= QUIET_MS if not guest.open else since >= GIVEN_UP_MS
