"""One soak from beginning to end, on a stack that is there."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from statistics import quantiles
from typing import Any

import aiohttp

from deploy.local.seed import seed as connect_new_pages
from libs.common.errors import TransientError
from libs.common.mongo import mongo_errors
from tests.e2e.console import database_of
from tests.faults.ground import open_ground
from tests.soak.breaking import Breaker, Broken
from tests.soak.lives import Judgement, Reading, judged
from tests.soak.people import Crowd
from tests.soak.plan import planned
from tests.soak.sampling import MEASURED, Sampler, documents, folder_mib
from tests.soak.saturation import Level, levels
from tests.soak.verdicts import Judging
from tests.stack import LocalStack

PAGES = 3
FEWEST_PEOPLE, MOST_PEOPLE = 50, 200
LEAST_PER_S = 0.5
WRITES_EVERY_S = 8.0  # a person, on average

Say = Callable[[str], None]


@dataclass(frozen=True)
class Times:
    """How long everything takes; shorter in tests."""

    minutes: int = 60
    minute_s: float = 60.0
    sample_every_s: float = 5.0
    rest_s: float = 15.0
    level_s: float = 8.0
    level_sizes: tuple[int, ...] = (10, 20, 40, 80, 160, 320, 640)
    settle_s: float = 300.0
    reading: Reading = field(default_factory=Reading)


@dataclass
class Outcome:
    """All that came of a soak."""

    seed: int
    times: Times
    minutes: int
    """So many it lasted."""
    saturation: Sequence[Level]
    rate_per_s: float
    people: int
    crowd: Crowd
    judging: Judging
    breaker: Breaker
    sampler: Sampler
    minutes_seen: list[dict[str, Any]]
    settled: bool

    @property
    def processes(self) -> dict[str, Judgement]:
        return {
            name: judged(process, self.times.reading, only_told=name not in MEASURED)
            for name, process in sorted(self.sampler.processes.items())
        }

    @property
    def complaints(self) -> list[str]:
        found = [*self.judging.complaints, *self.breaker.complaints]
        if not self.settled:
            found.append("not everything was answered, or not all work was done, in time")
        return found + [
            f"{name}: {complaint}"
            for name, judgement in self.processes.items()
            for complaint in judgement.complaints
        ]


@dataclass
class Soak:
    """What the parts of a soak share."""

    seed: int
    times: Times
    stack: LocalStack
    crowd: Crowd
    judging: Judging
    breaker: Breaker
    sampler: Sampler
    say: Say
    minutes_seen: list[dict[str, Any]] = field(default_factory=list)

    async def run(self, rate_per_s: float | None, stop: asyncio.Event) -> Outcome:
        """Until it is over, or `stop` is set: then all that is under way is finished and judged."""
        times = self.times
        async with self._watched():
            await asyncio.sleep(times.rest_s)  # nobody writes yet
            found: list[Level] = []
            if rate_per_s is None:
                found = await levels(self.crowd, times.level_sizes, times.level_s, self.say)
                most = max(level.answers_per_s for level in found)
                rate_per_s = max(LEAST_PER_S, most / 2)
            people = round(min(MOST_PEOPLE, max(FEWEST_PEOPLE, rate_per_s * WRITES_EVERY_S)))
            self.say(f"load: {rate_per_s:.1f} questions/s of {people} people on {PAGES} Pages")
            self.sampler.phase = "samples"
            self.crowd.waits.clear()  # at saturation people wait for long
            minutes = await self._load(rate_per_s, people, stop)
            self.say("nobody writes any more: waiting for the last answers")
            settled = await self._settle()
            self.sampler.phase = "after"
            await asyncio.sleep(times.rest_s)
        with suppress(TimeoutError):
            await self.judging.everybody(times.settle_s)
        return Outcome(
            self.seed,
            times,
            minutes,
            found,
            rate_per_s,
            people,
            self.crowd,
            self.judging,
            self.breaker,
            self.sampler,
            self.minutes_seen,
            settled and not self.crowd.guests,
        )

    @asynccontextmanager
    async def _watched(self) -> AsyncIterator[None]:
        watching = asyncio.create_task(self.crowd.watch(), name="watch")
        try:
            async with self.sampler.running(self.times.sample_every_s):
                yield
            await self.crowd.look()
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def _load(self, rate_per_s: float, people: int, stop: asyncio.Event) -> int:
        """Minutes it lasted."""
        times = self.times
        began = asyncio.get_running_loop().time()
        tasks = [
            asyncio.create_task(self._write_and_break(rate_per_s, people, began), name="load"),
            asyncio.create_task(self._tell_each_minute(began), name="tell"),
            asyncio.create_task(stop.wait(), name="stop"),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        for result in ended:
            if isinstance(result, Exception):
                raise result
        lasted_s = asyncio.get_running_loop().time() - began
        return min(times.minutes, round(lasted_s / times.minute_s))

    async def _write_and_break(self, rate_per_s: float, people: int, began: float) -> None:
        times = self.times
        until = began + times.minutes * times.minute_s
        plan = planned(self.seed, times.minutes, times.minute_s)
        async with asyncio.TaskGroup() as group:
            group.create_task(self.crowd.write(rate_per_s, people, until), name="write")
            group.create_task(self.breaker.run(plan, began), name="break")

    async def _settle(self) -> bool:
        """Whether all was answered and all records are finished, in time."""
        await self.crowd.send_home()
        try:
            async with asyncio.timeout(self.times.settle_s):
                while self.crowd.open or not await self._is_at_rest():
                    await asyncio.sleep(0.2)
        except TimeoutError:
            return False
        return True

    async def _is_at_rest(self) -> bool:
        """Whether no service has anything left to do, by what each says now."""
        await self.sampler.look()
        last = [self.sampler.processes[name].samples[-1] for name in MEASURED]
        return not any(sample.lag or sample.in_flight for sample in last)

    async def _tell_each_minute(self, began: float) -> None:
        loop, minute = asyncio.get_running_loop(), 0
        while True:
            told = self._begin()
            minute += 1
            await asyncio.sleep(max(0.0, began + minute * self.times.minute_s - loop.time()))
            await self.judging.those_who_left()
            seen = self._seen(told)
            with suppress(TransientError):
                seen |= await self._stored()
            self.minutes_seen.append(seen)
            self.say(self._line(minute, seen, self.breaker.done[told.faults :]))

    def _begin(self) -> "_Told":
        return _Told(self.crowd.asked, self.crowd.answered, len(self.breaker.done))

    def _seen(self, since: "_Told") -> dict[str, Any]:
        crowd, minute_s = self.crowd, self.times.minute_s
        answered = crowd.answered - since.answered
        latest = islice(reversed(crowd.waits), answered)
        waits_s = [(wait.answered_at - wait.asked_at) / 1000 for wait in latest]
        return {
            "asked_per_s": round((crowd.asked - since.asked) / minute_s, 2),
            "answered_per_s": round(answered / minute_s, 2),
            "p50_s": quantile(waits_s, 50),
            "p99_s": quantile(waits_s, 99),
            "open": crowd.open,
            "judged": self.judging.judged,
        }

    async def _stored(self) -> dict[str, Any]:
        """Raises: MongoUnavailableError."""
        folder = self.stack.folder.path
        with mongo_errors():
            counts = await documents(self.judging.database)
        return {
            "documents": counts,
            "database_mib": round(folder_mib(folder / "mongo"), 1),
            "log_mib": round(folder_mib(folder / "kafka"), 1),
        }

    def _line(self, minute: int, seen: Mapping[str, Any], broken: Sequence[Broken]) -> str:
        faults = "; ".join(map(str, broken)) or "nothing broke"
        memory = ", ".join(
            f"{name} {process.samples[-1].usage.rss_mib:.0f}"
            for name, process in sorted(self.sampler.processes.items())
            if process.samples
        )
        complaints = "; ".join(self.judging.complaints) or "well"
        return (
            f"minute {minute:3}/{self.times.minutes}: {seen['asked_per_s']:.1f}/s asked, "
            f"{seen['answered_per_s']:.1f}/s answered (p50 {seen['p50_s'] or 0:.2f} s, "
            f"p99 {seen['p99_s'] or 0:.2f} s), {seen['open']} open, "
            f"{seen['judged']} people judged: {complaints}\n    {faults}\n    MiB: {memory}"
        )


@dataclass(frozen=True)
class _Told:
    """Where a minute began."""

    asked: int
    answered: int
    faults: int


def quantile(waits_s: Sequence[float], percent: int) -> float | None:
    if len(waits_s) < 2:
        return None
    return round(quantiles(waits_s, n=100, method="inclusive")[percent - 1], 3)


@asynccontextmanager
async def opened(stack: LocalStack, seed: int, times: Times, say: Say) -> AsyncIterator[Soak]:
    """Pages that are connected, and everything else that a soak needs."""
    async with AsyncExitStack() as opened:
        ground = await opened.enter_async_context(open_ground(stack))
        simulator = ground.simulator
        await simulator.set_model()
        pages = [str((await simulator.add_page(f"Soak {number}"))["id"]) for number in range(PAGES)]
        await connect_new_pages(stack.environment)
        database = await opened.enter_async_context(database_of(stack))
        for page in pages:  # nobody has read these settings yet: people here never stop asking
            await database["channels"].update_one(
                {"_id": page}, {"$set": {"settings.loop_turns": 0}}
            )
        crowd = Crowd(simulator, ground.listing, pages, seed)
        session = await opened.enter_async_context(aiohttp.ClientSession())
        yield Soak(
            seed,
            times,
            stack,
            crowd,
            Judging(crowd, simulator, ground.listing, database),
            Breaker(stack, simulator, crowd, tuple(pages)),
            Sampler(stack, session),
            say,
        )
