"""One run of a scenario: a Page of its own, people who write to it, faults, and the verdict."""

import asyncio
import json
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from simulator.client import Simulator
from tests.faults.judging import Verdict, judge, unanswered
from tests.faults.listing import Listing
from tests.stack import LocalStack

LOOK_EVERY_S = 0.05
LIST_EVERY_S = 0.5
LISTED_WITHIN_S = 10.0
HELD_WITHIN_S = 60.0  # a sender that has just started asks for 20 s, and may have to ask twice
FAULT_WITHIN_S = 120.0


@dataclass(frozen=True)
class Ground:
    """What all runs stand on."""

    stack: LocalStack
    simulator: Simulator
    listing: Listing


class Meeting:
    """Runs side by side come to the same point, and one of them acts for all: a kill meets all."""

    def __init__(self, runs: int) -> None:
        self._barrier = asyncio.Barrier(runs)

    async def join(self) -> bool:
        """Return when all are there; True for one of them."""
        async with asyncio.timeout(FAULT_WITHIN_S):
            return await self._barrier.wait() == 0


@dataclass
class Plan:
    """How a run goes; a scenario may change it before people write."""

    people: int = 20
    within_s: float = 120.0
    parts: tuple[str, ...] = ()
    evidence: bool = True
    pause_s: float = 0.8
    copies: int = 1  # of each webhook; above 1, another one comes after the answer


class Run:
    """People talk for as long as a scenario lasts, and ask once more after it.

    That last question makes sure that nothing comes later: order is kept per person, so when it is
    answered, all that was before it has been handled.
    """

    def __init__(
        self, ground: Ground, name: str, seed: int, plan: Plan, meeting: Meeting | None = None
    ) -> None:
        self.name = name
        self.seed = seed
        self.plan = plan
        self.chance = random.Random(f"{name}:{seed}")
        self.stack = ground.stack
        self.simulator = ground.simulator
        self.page = ""
        self.over = asyncio.Event()
        self._listing = ground.listing
        self._meeting = meeting or Meeting(1)
        self._people: list[str] = []
        self._faults_at: list[int] = []
        self._lossy = 0
        self._since = 0
        self._settled: dict[str, set[str]] = {}
        self._faulted = 0
        self._accepted: list[tuple[str, str]] = []  # psid and text, in order
        self._looked = asyncio.Condition()

    # What scenarios do

    async def wait(self, least_s: float, most_s: float) -> None:
        """A random moment passes."""
        await asyncio.sleep(self.chance.uniform(least_s, most_s))

    async def meet(self) -> bool:
        """Wait for the runs beside this one; True for one of them."""
        return await self._meeting.join()

    async def kill(self, name: str, thaw: str = "") -> None:
        """kill -9 a component, once for all runs side by side; return when it is ready again.

        `thaw`: let this one go on that was frozen, when the other is dead.
        """
        is_first = await self.meet()
        restarts = self.stack.component(name)["restarts"]
        self._faults_at.append(_now_ms())
        await self.meet()  # all have seen it alive
        if is_first:
            self.stack.kill(name)
            if thaw:
                self.thaw(thaw)
        await asyncio.to_thread(self.stack.wait_until_back, name, restarts + 1)

    async def freeze(self, name: str) -> None:
        """A component keeps its connections and does nothing, until it is thawed."""
        await self.meet()
        self._signal(name, signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        self._signal(name, signal.SIGCONT)

    def _signal(self, name: str, number: signal.Signals) -> None:
        os.kill(self.stack.component(name)["pid"], number)

    async def lose_answers(self, times: int, **fault: Any) -> None:  # noqa: ANN401
        """Of the next so many messages, the sender hears no clear answer."""
        self._lossy += times
        self._faults_at.append(_now_ms())
        await self.simulator.add_fault(endpoint="messages", page=self.page, times=times, **fault)

    async def until_lost(self, times: int | None = None) -> None:
        """Wait until so many of them, all by default, have met a message."""
        wanted = self._lossy if times is None else times
        await self.until(lambda: self._faulted >= wanted)

    async def until_answered(self) -> None:
        """Wait for the next message that Meta accepts."""
        before = len(self._accepted)
        await self.until(lambda: len(self._accepted) > before)

    async def until_somebody_has(self, parts: int) -> None:
        """Wait until so many parts of an answer have arrived with a person, and no more."""
        whole = len(self.plan.parts)
        wanted = self.plan.parts[parts - 1]
        before = len(self._accepted)

        def arrived() -> bool:
            return any(text == wanted for _, text in self._accepted[before:])

        assert whole > parts
        await self.until(arrived)

    async def until(self, condition: Callable[[], bool], within_s: float = FAULT_WITHIN_S) -> None:
        async with asyncio.timeout(within_s), self._looked:
            await self._looked.wait_for(condition)

    async def hide_all_evidence(self) -> None:
        """No echo, no receipt, and the thread can't be read back."""
        self.plan.evidence = False
        await self.simulator.behave(self.page, echoes=False, delivery_receipts=False)
        await self.simulator.add_fault(
            endpoint="conversations", page=self.page, times=1_000_000, status=500
        )

    # The run

    @asynccontextmanager
    async def talking(self) -> AsyncIterator[None]:
        """People write inside the block, wait for their answers, and ask once more after it."""
        start = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(self._watch(), name="watch")
            people = [
                group.create_task(self._talk(number, psid, start), name=f"person-{number}")
                for number, psid in enumerate(self._people)
            ]
            start.set()
            yield
            self.over.set()
            await asyncio.wait(people)
            watching.cancel()
        if not self.plan.evidence:  # before the threads can be read again
            await self._until_listed(HELD_WITHIN_S)

    async def open(self) -> None:
        """A new Page, connected, and its people."""
        page = await self.simulator.add_page(f"{self.name} {self.seed}")
        self.page = str(page["id"])
        self._people = [
            await self.simulator.add_person(self.page, "Person", str(number))
            for number in range(self.plan.people)
        ]

    async def verdict(self) -> Verdict:
        """What the simulator's record says now."""
        if not self.plan.evidence:
            await self._until_listed(LISTED_WITHIN_S)
        threads = {psid: await self.simulator.thread(self.page, psid) for psid in self._people}
        return judge(
            threads,
            await self.simulator.calls(self.page),
            await self._listing.shown(self.page),
            parts=self.plan.parts,
            evidence=self.plan.evidence,
            faults_at=self._faults_at,
        )

    async def _until_listed(self, within_s: float) -> None:
        """The list is a little behind; whether it is complete is for the judge to say."""
        unknown = unanswered(await self.simulator.calls(self.page))
        until = time.monotonic() + within_s
        while unknown - {each.send_id for each in await self._listing.shown(self.page)}:
            if time.monotonic() > until:
                return
            await asyncio.sleep(LIST_EVERY_S)

    async def _talk(self, number: int, psid: str, start: asyncio.Event) -> None:
        """One person: ask, wait for the answer or for the end of hope, pause, ask again."""
        chance = random.Random(f"{self.name}:{self.seed}:{number}")
        await start.wait()
        await self._pause(chance)
        asked = 0
        is_last = False
        while not is_last:
            is_last = self.over.is_set()
            asked += 1
            question = f"Question {asked} of guest {number}, what do you bake on day {self.seed}?"
            at, copies = _now_ms(), self.plan.copies
            mid = await self.simulator.write(self.page, psid, question, timestamp=at, copies=copies)
            if not await self._has_settled(psid, asked):
                return  # the judge will say so
            if copies > 1:
                copy = _webhook(self.page, psid, {"mid": mid, "text": question}, at)
                await self.simulator.webhook(self.page, copy)
            await self._pause(chance)

    async def _pause(self, chance: random.Random) -> None:
        try:
            async with asyncio.timeout(chance.uniform(0.0, self.plan.pause_s)):
                await self.over.wait()
        except TimeoutError:
            pass

    async def _has_settled(self, psid: str, asked: int) -> bool:
        """Whether every part of every answer so far arrived or was listed, in time."""
        wanted = asked * max(1, len(self.plan.parts))
        try:
            await self.until(lambda: len(self._settled.get(psid, ())) >= wanted, self.plan.within_s)
        except TimeoutError:
            return False
        return True

    async def _watch(self) -> None:
        """Look at the calls as they come, once for everybody."""
        while True:
            for call in await self.simulator.calls(self.page, since=self._since):
                self._since = call["n"]
                if call["endpoint"] == "messages":
                    self._note(call)
            for send_id, psid in self._listing.told(self.page).items():
                self._settled.setdefault(psid, set()).add(send_id)
            async with self._looked:
                self._looked.notify_all()
            await asyncio.sleep(LOOK_EVERY_S)

    def _note(self, call: dict[str, Any]) -> None:
        self._faulted += "fault" in call
        if call["outcome"] == "accepted":
            message = call["body"]["message"]
            self._accepted.append((call["psid"], message["text"]))
            self._settled.setdefault(call["psid"], set()).add(message["metadata"])


def _webhook(page: str, psid: str, message: dict[str, Any], at: int) -> bytes:
    event = {
        "sender": {"id": psid},
        "recipient": {"id": page},
        "timestamp": at,
        "message": message,
    }
    body = {"object": "page", "entry": [{"id": page, "time": at, "messaging": [event]}]}
    return json.dumps(body).encode()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
