"""How people talk: some wait for answers, some write on, and for some a colleague steps in."""

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp

from tests.faults.judging import Takeovers

if TYPE_CHECKING:
    from tests.e2e.console import Console
    from tests.faults.run import Run

MOST_OPEN = 3  # questions of somebody who does not wait
AGAIN_WITHIN_S = 90.0
AGAIN_AFTER_S = 0.1
COLLEAGUE = "user:colleague"


@dataclass(frozen=True)
class Webhook:
    """A question as Meta tells it, to be told once more."""

    page: str
    psid: str
    mid: str
    text: str
    at: int

    def body(self) -> bytes:
        event = {
            "sender": {"id": self.psid},
            "recipient": {"id": self.page},
            "timestamp": self.at,
            "message": {"mid": self.mid, "text": self.text},
        }
        entry = {"id": self.page, "time": self.at, "messaging": [event]}
        return json.dumps({"object": "page", "entry": [entry]}).encode()


class Person:
    """Asks, each time something else, until the run is over, and once more after that.

    The last question makes sure that nothing comes later: order is kept per person, so when it is
    answered, all that was before it has been handled.
    """

    def __init__(self, run: "Run", number: int, psid: str) -> None:
        self._run = run
        self._number = number
        self._psid = psid
        self._asked: list[str] = []
        self.first: Webhook | None = None
        """Of their first question, which was answered long ago when a fault comes."""
        self._hands = Takeovers()
        self._chance = random.Random(f"{run.name}:{run.seed}:{number}")

    @property
    def hands(self) -> Takeovers:
        """What a colleague did; nothing for most people."""
        return self._hands

    @property
    def asked(self) -> list[str]:
        """Their questions so far."""
        return list(self._asked)

    async def talk(self) -> None:
        """Return when all is answered that has to be, or there is no hope: the judge will see."""
        await self._pause()
        try:
            await self._until_over()
            await self._until_open(0)
            await self._ask()
            await self._until_open(0)
        except TimeoutError:
            return

    async def _until_over(self) -> None:
        """Wait for each answer."""
        while not self._run.over.is_set():
            webhook = await self._ask()
            await self._until_open(0)
            if self._run.plan.copies > 1:
                await self._run.simulator.webhook(self._run.page, webhook.body())
            await self._pause()

    async def _ask(self) -> Webhook:
        text, at, copies = self._next_question(), now_ms(), self._run.plan.copies
        self._asked.append(text)
        mid = await self._run.simulator.write(
            self._run.page, self._psid, text, timestamp=at, copies=copies
        )
        webhook = Webhook(self._run.page, self._psid, mid, text, at)
        self.first = self.first or webhook
        return webhook

    def _next_question(self) -> str:
        number = len(self._asked) + 1
        guest = f"guest {self._number} of {self._run.page}"  # so that no two ask the same
        return f"Question {number} of {guest}, what do you bake on day {number}?"

    async def _until_open(self, at_most: int) -> None:
        """Raises: TimeoutError: more are open, after all this time."""
        await self._run.until(lambda: len(self._open()) <= at_most, self._run.plan.within_s)

    def _open(self) -> set[str]:
        """What has to arrive and has not, nor was it listed."""
        parts = self._run.plan.parts
        if parts:  # they don't say what they answer, and come in order
            whole = self._run.settled_parts(self._psid) // len(parts)
            return set(self._asked[whole:])
        due = {*self._asked, *self._hands.written} - self._hands.excused
        return due - self._run.settled(self._psid)

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self._chance.uniform(0.0, self._run.plan.pause_s)):
                await self._run.over.wait()
        except TimeoutError:
            pass


class HurriedPerson(Person):
    """Writes on while answers are under way."""

    async def _until_over(self) -> None:
        while not self._run.over.is_set():
            await self._ask()
            await self._until_open(MOST_OPEN - 1)
            await self._pause()


class AttendedPerson(Person):
    """Has a colleague who takes over again and again, writes some lines at one go, and resumes."""

    async def _until_over(self) -> None:
        await self._ask()
        await self._until_open(0)  # by then the conversation is known
        colleague = Colleague(self._run.console, f"{self._run.page}:{self._psid}")
        is_last = False
        while not is_last:  # once at least, however short the run is
            is_last = self._run.over.is_set()
            await self._ask()
            await self._pause()
            await self._attend(colleague)
            await self._ask()
            await self._until_open(MOST_OPEN)
            await self._pause()

    async def _attend(self, colleague: "Colleague") -> None:
        hands, first = self._hands, len(self._hands.written) + 1
        hands.excused |= self._open() - hands.written.keys()
        await colleague.take()
        since = now_ms()
        for number in range(first, first + self._chance.randint(2, 3)):
            line = f"Line {number} of a colleague for guest {self._number}."
            await colleague.write(line)
            hands.written[line] = now_ms()
        if self._chance.random() < 0.5:
            hands.excused.add(self._next_question())
            await self._ask()
        await self._pause()
        hands.spans.append((since, now_ms()))
        await colleague.resume()


class Colleague:
    """Asks the takeover service for the same again until it is done: that has to be harmless."""

    def __init__(self, console: "Console", conversation: str) -> None:
        self._console = console
        self._path = f"/conversations/{conversation}"

    async def take(self) -> None:
        await self._insist("/takeover", {})

    async def write(self, text: str) -> None:
        await self._insist("/messages", {"text": text}, {"Idempotency-Key": text})

    async def resume(self) -> None:
        await self._insist("/takeover/resume", {})

    async def _insist(
        self, path: str, body: dict[str, str], headers: dict[str, str] | None = None
    ) -> None:
        async def call() -> tuple[int, dict[str, Any]]:
            whole = {"by": COLLEAGUE, **body}
            return await self._console.call("POST", f"{self._path}{path}", whole, headers)

        async with asyncio.timeout(AGAIN_WITHIN_S):
            while not await _is_done(call):
                await asyncio.sleep(AGAIN_AFTER_S)


async def _is_done(call: Callable[[], Awaitable[tuple[int, dict[str, Any]]]]) -> bool:
    """Raises: AssertionError: it was refused, though it must not be."""
    try:
        status, answer = await call()
    except (aiohttp.ClientConnectionError, TimeoutError):
        return False
    assert status in (200, 202, 503), f"{status} {answer}"
    return status != 503


def now_ms() -> int:
    return time.time_ns() // 1_000_000
