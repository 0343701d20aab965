"""People who come, ask, and leave: so many questions a second, whether answers come or not."""

import asyncio
import random
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from simulator.client import Call, Simulator, SimulatorError
from tests.faults.judging import topics
from tests.faults.listing import Listing
from tests.faults.people import now_ms

LOOK_EVERY_S = 0.2
MOST_OPEN = 3  # questions of one person: who waits for more, does not write on
APART_MS = 2_000  # at least, between two questions of one person
FEWEST_QUESTIONS, MOST_QUESTIONS = 10, 40  # of one person
KEPT_WAITS = 200_000


@dataclass
class Guest:
    """One person: what they asked, and what the Page sent them."""

    page: str
    psid: str
    number: int
    questions: int
    """So many, and then they leave."""
    asked: dict[str, int] = field(default_factory=dict)  # text: when, in ms since 1970
    open: set[str] = field(default_factory=set)
    calls: list[Call] = field(default_factory=list)
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    writing: bool = False

    @property
    def has_left(self) -> bool:
        return len(self.asked) >= self.questions and not self.writing

    @property
    def last_asked_at(self) -> int:
        return max(self.asked.values(), default=0)

    def may_write(self, now: int) -> bool:
        return (
            not self.writing
            and len(self.asked) < self.questions
            and len(self.open) < MOST_OPEN
            and now - self.last_asked_at >= APART_MS
        )

    def next_question(self) -> str:
        return f"Question {len(self.asked) + 1} of guest {self.number}?"


@dataclass(frozen=True)
class Wait:
    """A question and its answer. Moments in ms since 1970."""

    asked_at: int
    answered_at: int


class Crowd:
    """All people of all Pages. Whoever looks at the calls tells it what has come."""

    def __init__(
        self, simulator: Simulator, listing: Listing, pages: Iterable[str], seed: int
    ) -> None:
        self.pages = tuple(pages)
        self.guests: dict[str, Guest] = {}  # by psid; until they have been judged
        self.asked = self.answered = 0
        self.failed_writes = 0
        self.late: list[str] = []
        """What was sent to somebody who had been judged: nothing more was due."""
        self.copies = 1  # of each webhook
        self.waits: deque[Wait] = deque(maxlen=KEPT_WAITS)
        self._simulator = simulator
        self._listing = listing
        self._chance = random.Random(f"soak people:{seed}")
        self._seen = dict.fromkeys(self.pages, 0)
        self._numbers = 0
        self._writes: set[asyncio.Task[None]] = set()

    # Who asks

    async def come(self, questions: int | None = None) -> Guest:
        """Somebody new."""
        self._numbers += 1
        page = self.pages[self._numbers % len(self.pages)]
        psid = await self._simulator.add_person(page, "Guest", str(self._numbers))
        wanted = questions or self._chance.randint(FEWEST_QUESTIONS, MOST_QUESTIONS)
        guest = self.guests[psid] = Guest(page, psid, self._numbers, wanted)
        return guest

    async def ask(self, guest: Guest) -> None:
        text, at = guest.next_question(), now_ms()
        guest.asked[text] = at
        guest.open.add(text)
        guest.answered.clear()
        guest.writing = True
        self.asked += 1
        try:
            await self._simulator.write(
                guest.page, guest.psid, text, timestamp=at, copies=self.copies
            )
        finally:
            guest.writing = False

    async def write(self, rate_per_s: float, people: int, until: float) -> None:
        """Questions at random moments, until then on the loop's clock; about so many people.

        Where nobody may write, since answers are late, somebody new comes: the load stays.
        """
        loop = asyncio.get_running_loop()
        due = loop.time()
        while due < until:
            await asyncio.sleep(max(0.0, due - loop.time()))
            self._spawn(self._someone(people))
            due += self._chance.expovariate(rate_per_s)

    def _someone(self, people: int) -> Guest | None:
        """None: it is somebody new's turn."""
        now = now_ms()
        there = [guest for guest in self.guests.values() if not guest.has_left]
        ready = [guest for guest in there if guest.may_write(now)]
        return self._chance.choice(ready) if ready and len(there) >= people else None

    def _spawn(self, guest: Guest | None) -> None:
        if guest is not None:
            guest.writing = True  # before the first await: nobody else picks them
        task = asyncio.create_task(self._write(guest), name="write")
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)

    async def _write(self, guest: Guest | None) -> None:
        try:
            await self.ask(guest or await self.come())
        except (aiohttp.ClientError, TimeoutError, SimulatorError):
            self.failed_writes += 1

    async def send_home(self) -> None:
        """Nobody asks any more."""
        await asyncio.gather(*self._writes, return_exceptions=True)
        for guest in self.guests.values():
            guest.questions = len(guest.asked)

    # What comes

    async def watch(self) -> None:
        """Look at the calls as they come, and at what the sender could not send."""
        while True:
            with suppress(aiohttp.ClientError, TimeoutError):  # it is busy, and forgets nothing
                await self.look()
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        for page in self.pages:
            for call in await self._simulator.calls(page, since=self._seen[page]):
                self._seen[page] = call["n"]
                if call["endpoint"] == "messages":
                    self._note(call)
            for part in self._listing.told(page).values():
                if (guest := self.guests.get(part.psid)) is not None:
                    self._settle(guest, topics(part.text), None)

    def _note(self, call: Call) -> None:
        guest = self.guests.get(call["psid"])
        if guest is None:
            if call["outcome"] == "accepted":
                self.late.append(f"{call['psid']} ({call['n']})")
            return
        guest.calls.append(call)
        if call["outcome"] == "accepted":
            self._settle(guest, topics(call["body"]["message"]["text"]), call["at"])

    def _settle(self, guest: Guest, about: Iterable[str], at: int | None) -> None:
        for text in guest.open.intersection(about):
            guest.open.discard(text)
            if at is not None:
                self.answered += 1
                self.waits.append(Wait(guest.asked[text], at))
        if not guest.open:
            guest.answered.set()

    @property
    def open(self) -> int:
        """Questions without an answer."""
        return sum(len(guest.open) for guest in self.guests.values())

    def forget(self, guest: Guest) -> None:
        del self.guests[guest.psid]

    def to_json(self) -> dict[str, Any]:
        return {
            "asked": self.asked,
            "answered": self.answered,
            "people": self._numbers,
            "failed_writes": self.failed_writes,
        }
