"""Looks at all lines side by side: each waits for those it stands on, and for nobody else."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog

from libs.common.errors import TransientError
from services.console.doctor.domain.findings import (
    Finding,
    Found,
    Line,
    Verdict,
    missing_ground,
    unknown,
)

DEADLINE_S = 12.0
ONCE_WITHIN_S = 8.0
MODEL_DEADLINE_S = 20.0
AT_ONCE = 24  # a hundred Pages must not mean a hundred calls in the same moment

T = TypeVar("T")


class CannotJudgeError(Exception):
    """A probe ends here: this is all that can be said."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.words)
        self.verdict = verdict


Probe = Callable[[Found], Awaitable[Verdict]]
"""Looks, and judges. It may use what was found for the lines it asked for."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Check:
    """A line with the way to look at it.

    Args:
        after: lines whose findings the probe wants to know, broken or not.
    """

    line: Line
    probe: Probe
    after: tuple[str, ...] = ()
    deadline_s: float = DEADLINE_S


async def examine(checks: Sequence[Check]) -> tuple[Finding, ...]:
    """Findings in the order of the checks. Nothing that a probe does gets out of here.

    What a check needs, or comes after, has to stand before it; what is not there at all is no
    obstacle.
    """
    found: dict[str, Finding] = {}
    tasks: dict[str, asyncio.Task[None]] = {}
    room = asyncio.Semaphore(AT_ONCE)

    async def look(check: Check) -> None:
        wanted = dict.fromkeys((*check.line.needs, *check.after))
        await asyncio.gather(*(tasks[each] for each in wanted if each in tasks))
        verdict = missing_ground(check.line, found)
        if verdict is None:
            async with room:
                verdict = await _look(check, found)
        found[check.line.id] = Finding(check.line, verdict)

    async with asyncio.TaskGroup() as group:
        for check in checks:
            tasks[check.line.id] = group.create_task(look(check), name=check.line.id)
    return tuple(found[check.line.id] for check in checks)


async def _look(check: Check, found: Found) -> Verdict:
    try:
        async with asyncio.timeout(check.deadline_s):
            return await check.probe(found)
    except CannotJudgeError as error:
        return error.verdict
    except TimeoutError:
        return unknown(f"No answer within {check.deadline_s:g} s.", "Run the doctor again.")
    except TransientError as error:
        return unknown(f"Could not be looked at ({error.code}).", "Run the doctor again.")
    except Exception as error:  # a fault of ours must not hide what the other lines say
        log.warning("doctor_line_broke", name=check.line.id, error=type(error).__name__)
        return unknown(f"The check itself broke ({type(error).__name__}).", "Please report it.")


class Once(Generic[T]):
    """Something that several lines need and that is asked for once."""

    def __init__(self, ask: Callable[[], Awaitable[T]]) -> None:
        self._ask = ask
        self._task: asyncio.Task[T] | None = None

    async def get(self) -> T:
        """What it was; its error is everybody's."""
        if self._task is None:
            self._task = asyncio.ensure_future(self._run())
        return await asyncio.shield(self._task)

    async def _run(self) -> T:
        async with asyncio.timeout(ONCE_WITHIN_S):
            return await self._ask()


class Sparing:
    """Verdicts that cost something to get: each is kept for a while."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[str, tuple[float, Verdict]] = {}

    async def get(self, name: str, for_s: float, look: Callable[[], Awaitable[Verdict]]) -> Verdict:
        kept = self._kept.get(name)
        if kept is not None and self._clock() < kept[0]:
            return kept[1]
        verdict = await look()
        if verdict.state in ("ok", "failed"):
            self._kept[name] = (self._clock() + for_s, verdict)
        return verdict
