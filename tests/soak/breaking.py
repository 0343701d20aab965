"""Carries faults out, and notes how long each was felt."""

import asyncio
import os
import signal
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from simulator.client import Simulator
from tests.faults.people import now_ms
from tests.soak.people import Crowd, Wait
from tests.soak.plan import Fault, Planned
from tests.stack import LocalStack

BACK_WITHIN_S = 120.0
SIGNALS = {"kill": signal.SIGKILL, "terminate": signal.SIGTERM}
FELT_WITHIN_MS = 180_000  # what comes later than that has other reasons


@dataclass
class Broken:
    """One fault that was carried out. Moments in ms since 1970."""

    fault: Fault
    at: int
    back_after_s: float | None = None
    """From a signal until the component was ready again."""
    recovered_after_s: float = 0.0
    """From the fault to the last answer to what was open then."""

    def felt_by(self, waits: Iterable[Wait]) -> None:
        for wait in waits:
            if wait.asked_at <= self.at <= wait.answered_at <= self.at + FELT_WITHIN_MS:
                after_s = (wait.answered_at - self.at) / 1000
                self.recovered_after_s = max(self.recovered_after_s, after_s)

    def __str__(self) -> str:
        back = "" if self.back_after_s is None else f", back after {self.back_after_s:.1f} s"
        return f"{self.fault.name}{back}"

    def to_json(self) -> dict[str, Any]:
        return {
            "at": self.at,
            "fault": self.fault.name,
            "facts": self.fault.facts,
            "back_after_s": self.back_after_s and round(self.back_after_s, 1),
            "recovered_after_s": round(self.recovered_after_s, 1),
        }


@dataclass
class Breaker:
    """Breaks one thing after the other, and mends what does not mend itself."""

    stack: LocalStack
    simulator: Simulator
    crowd: Crowd
    pages: tuple[str, ...]
    done: list[Broken] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    async def run(self, plan: Iterable[Planned], began: float) -> None:
        """`began`: on the loop's clock. A fault that lasts makes the next one late."""
        loop = asyncio.get_running_loop()
        for number, planned in enumerate(plan):
            await asyncio.sleep(max(0.0, began + planned.at_s - loop.time()))
            await self.carry_out(planned.fault, self.pages[number % len(self.pages)])

    async def carry_out(self, fault: Fault, page: str) -> None:
        broken = Broken(fault, now_ms())
        self.done.append(broken)
        if fault.kind in SIGNALS:
            await self._end(broken, SIGNALS[fault.kind])
        elif fault.kind == "freeze":
            await self._freeze(fault)
        elif fault.target == "model":
            await self._set_model(fault)
        elif fault.target == "webhooks":
            await self._copy_webhooks(fault)
        elif "usage_header" in fault.facts:
            await self._raise_usage(fault, page)
        else:
            await self.simulator.add_fault(endpoint="messages", page=page, **fault.facts)

    async def _end(self, broken: Broken, number: signal.Signals) -> None:
        name, loop = broken.fault.target, asyncio.get_running_loop()
        component = self.stack.component(name)
        began = loop.time()
        os.kill(component["pid"], number)
        restarts = component["restarts"] + 1
        try:
            await asyncio.to_thread(self.stack.wait_until_back, name, restarts, BACK_WITHIN_S)
        except AssertionError as error:
            self.complaints.append(f"{broken.fault.name}: {error}")
        else:
            broken.back_after_s = loop.time() - began

    async def _freeze(self, fault: Fault) -> None:
        pid = self.stack.component(fault.target)["pid"]
        os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(fault.for_s)
        finally:
            os.kill(pid, signal.SIGCONT)

    async def _set_model(self, fault: Fault) -> None:
        await self.simulator.set_model(**fault.facts)
        try:
            await asyncio.sleep(fault.for_s)
        finally:
            await self.simulator.set_model()

    async def _copy_webhooks(self, fault: Fault) -> None:
        self.crowd.copies = fault.facts["copies"]
        try:
            await asyncio.sleep(fault.for_s)
        finally:
            self.crowd.copies = 1

    async def _raise_usage(self, fault: Fault, page: str) -> None:
        await self.simulator.behave(page, **fault.facts)
        try:
            await asyncio.sleep(fault.for_s)
        finally:
            await self.simulator.behave(page, usage_header=None)
