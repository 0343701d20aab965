"""One run of a scenario: a Page of its own, people who write to it, faults, and the verdict."""

import asyncio
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from simulator.client import Simulator
from tests.e2e.console import Console
from tests.faults.copying import Copier
from tests.faults.judging import Verdict, judge, topics, unanswered
from tests.faults.listing import Listing
from tests.faults.mutants.switching import begin, end
from tests.faults.people import AttendedPerson, HurriedPerson, Person, now_ms
from tests.stack import LocalStack

LOOK_EVERY_S = 0.05
LIST_EVERY_S = 0.5
LISTED_WITHIN_S = 10.0
HELD_WITHIN_S = 60.0  # a sender that has just started asks for 20 s, and may have to ask twice
FAULT_WITHIN_S = 120.0
LONG_FAULT_WITHIN_S = 1200.0


@dataclass(frozen=True)
class Ground:
    """What all runs stand on."""

    stack: LocalStack
    simulator: Simulator
    listing: Listing
    console: Console
    copier: Copier


class Meeting:
    """Runs side by side come to the same point, and one of them acts for all: a kill meets all."""

    def __init__(self, runs: int) -> None:
        self._barrier = asyncio.Barrier(runs)

    async def join(self, within_s: float = FAULT_WITHIN_S) -> bool:
        """Return when all are there; True for one of them."""
        async with asyncio.timeout(within_s):
            return await self._barrier.wait() == 0


@dataclass
class Plan:
    """How a run goes; a scenario may change it before people write."""

    people: int = 20
    hurry: bool = False  # two of three people don't wait, and one of these has a colleague
    within_s: float = 180.0
    parts: tuple[str, ...] = ()
    evidence: bool = True
    pause_s: float = 0.8
    copies: int = 1  # of each webhook; above 1, another one comes after the answer
    long: bool = False  # as long as the fault really is, where that is cut short by default


class Run:
    """People talk for as long as a scenario lasts, and ask once more after it."""

    def __init__(
        self, ground: Ground, name: str, seed: int, plan: Plan, meeting: Meeting | None = None
    ) -> None:
        self.name = name
        self.seed = seed
        self.plan = plan
        self.chance = random.Random(f"{name}:{seed}")
        self.stack = ground.stack
        self.simulator = ground.simulator
        self.console = ground.console
        self.page = ""
        self.over = asyncio.Event()
        self.kept: dict[str, Any] = {}  # what a scenario remembers from one step to the next
        self._found: list[str] = []
        self.listing = ground.listing
        self._copier = ground.copier
        self._meeting = meeting or Meeting(1)
        self._people: dict[str, Person] = {}
        self._faults_at: list[int] = []
        self._lossy = 0
        self._since = 0
        self._settled: dict[str, dict[str, list[str]]] = {}  # by psid and send id: topics
        self._faulted = 0
        self._accepted: list[tuple[str, str]] = []  # psid and text, in order
        self._looked = asyncio.Condition()

    # What scenarios do

    async def wait(self, least_s: float, most_s: float) -> None:
        """A random moment passes."""
        await asyncio.sleep(self.chance.uniform(least_s, most_s))

    def lasts_s(self, short: float, long: float) -> float:
        """How long something goes on."""
        return long if self.plan.long else short

    def complain(self, what: str) -> None:
        """Something is wrong that neither threads nor calls show."""
        self._found.append(what)

    def fault_now(self) -> None:
        """Something goes wrong at this moment: how long is it until people are answered?"""
        self._faults_at.append(now_ms())

    @property
    def people(self) -> list[Person]:
        return list(self._people.values())

    @property
    def psids(self) -> list[str]:
        return list(self._people)

    async def meet(self) -> bool:
        """Wait for the runs beside this one; True for one of them."""
        return await self._meeting.join(LONG_FAULT_WITHIN_S if self.plan.long else FAULT_WITHIN_S)

    async def once(self, work: Callable[[], Awaitable[object]]) -> None:
        """One of the runs side by side does it for all; return when it is done."""
        if await self.meet():
            await work()
        await self.meet()

    @asynccontextmanager
    async def changed(self, service: str, mutation: str) -> AsyncIterator[None]:
        """Inside, a service runs with a mutation. It is killed when that begins, and at its end."""
        self.fault_now()
        await self.once(lambda: asyncio.to_thread(begin, self.stack, service, mutation))
        try:
            yield
        finally:
            self.fault_now()
            await self.once(lambda: asyncio.to_thread(end, self.stack, service, mutation))

    async def kill(self, name: str, thaw: str = "") -> None:
        """kill -9 a component, once for all runs side by side; return when it is ready again.

        `thaw`: let this one go on that was frozen, when the other is dead.
        """
        is_first = await self.meet()
        restarts = self.stack.component(name)["restarts"]
        self._faults_at.append(now_ms())
        await self.meet()  # all have seen it alive
        if is_first:
            self.stack.kill(name)
            if thaw:
                self.thaw(thaw)
        await asyncio.to_thread(self.stack.wait_until_back, name, restarts + 1, FAULT_WITHIN_S)

    async def end_in_order(self, name: str) -> None:
        """SIGTERM, once for all runs side by side; return when it is ready again."""
        self.fault_now()
        await self.once(lambda: asyncio.to_thread(self.stack.restart, name, FAULT_WITHIN_S))

    async def freeze(self, name: str) -> None:
        """A component keeps its connections and does nothing, until it is thawed."""
        await self.meet()
        await self.freeze_now(name)

    async def freeze_now(self, name: str) -> None:
        """The same, by one run for all."""
        self._signal(name, signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        self._signal(name, signal.SIGCONT)

    def _signal(self, name: str, number: signal.Signals) -> None:
        os.kill(self.stack.component(name)["pid"], number)

    async def lose_answers(self, times: int, **fault: Any) -> None:  # noqa: ANN401
        """Of the next so many messages, the sender hears no clear answer."""
        self._lossy += times
        self._faults_at.append(now_ms())
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

    def copy_commands(self, times: int) -> None:
        """Each command comes so often more, as from somebody who died before they had noted it."""
        self._copier.copy(self.page, times)

    # What people ask

    def settled(self, psid: str) -> set[str]:
        """What has arrived with a person or was listed: questions answered, or texts."""
        return {topic for about in self._settled.get(psid, {}).values() for topic in about}

    def settled_parts(self, psid: str) -> int:
        """How many parts have."""
        return len(self._settled.get(psid, {}))

    # The run

    @asynccontextmanager
    async def talking(self) -> AsyncIterator[None]:
        """People write inside the block, until they have been answered after it.

        Where they are in a hurry, everybody has had an answer when it begins: then they are at
        their best.
        """
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(self._watch(), name="watch")
            people = [
                group.create_task(person.talk(), name=f"person-{psid}")
                for psid, person in self._people.items()
            ]
            if self.plan.hurry:
                with suppress(TimeoutError):  # who has none by then is the judge's to tell
                    await self.until(self._everybody_is_answered, self.plan.within_s)
            yield
            self.over.set()
            await asyncio.wait(people)
            watching.cancel()
        if not self.plan.evidence:  # before the threads can be read again
            await self._until_listed(HELD_WITHIN_S)

    def _everybody_is_answered(self) -> bool:
        return all(self.settled_parts(psid) for psid in self._people)

    async def open(self) -> None:
        """A new Page, connected, and its people."""
        page = await self.simulator.add_page(f"{self.name} {self.seed}")
        self.page = str(page["id"])
        for number in range(self.plan.people):
            psid = await self.simulator.add_person(self.page, "Person", str(number))
            self._people[psid] = self._person(number, psid)

    def _person(self, number: int, psid: str) -> Person:
        kind = (Person, HurriedPerson, AttendedPerson)[number % 3] if self.plan.hurry else Person
        return kind(self, number, psid)

    async def verdict(self) -> Verdict:
        """What the simulator's record says now."""
        if not self.plan.evidence:
            await self._until_listed(LISTED_WITHIN_S)
        threads = {psid: await self.simulator.thread(self.page, psid) for psid in self._people}
        verdict = judge(
            threads,
            await self.simulator.calls(self.page),
            await self.listing.shown(self.page),
            parts=self.plan.parts,
            evidence=self.plan.evidence,
            faults_at=self._faults_at,
            takeovers={psid: person.hands for psid, person in self._people.items()},
        )
        verdict.also = list(self._found)
        return verdict

    async def _until_listed(self, within_s: float) -> None:
        """The list is a little behind; whether it is complete is for the judge to say."""
        unknown = unanswered(await self.simulator.calls(self.page))
        until = time.monotonic() + within_s
        while unknown - {each.send_id for each in await self.listing.shown(self.page)}:
            if time.monotonic() > until:
                return
            await asyncio.sleep(LIST_EVERY_S)

    async def _watch(self) -> None:
        """Look at the calls as they come, once for everybody."""
        while True:
            for call in await self.simulator.calls(self.page, since=self._since):
                self._since = call["n"]
                if call["endpoint"] == "messages":
                    self._note(call)
            for send_id, part in self.listing.told(self.page).items():
                self._settled.setdefault(part.psid, {})[send_id] = topics(part.text)
            async with self._looked:
                self._looked.notify_all()
            await asyncio.sleep(LOOK_EVERY_S)

    def _note(self, call: dict[str, Any]) -> None:
        self._faulted += "fault" in call
        if call["outcome"] == "accepted":
            message = call["body"]["message"]
            self._accepted.append((call["psid"], message["text"]))
            settled = self._settled.setdefault(call["psid"], {})
            settled[message["metadata"]] = topics(message["text"])
