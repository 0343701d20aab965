"""The loop that looks for what is due goes on, whatever one conversation or the database does."""

import asyncio
from datetime import datetime
from typing import Any

from libs.common.errors import TransientError
from services.takeover.roster import Due, Lease
from services.takeover.timers import IN_TAKEOVER, OVERDUE, Timers
from tests.unit.takeover.world import NOON


class Rows:
    """Each row is due once; the first look finds no database."""

    def __init__(self, names: list[str]) -> None:
        self.left = names
        self.looks = 0

    async def due(self, now: datetime, limit: int) -> list[Due]:
        self.looks += 1
        if self.looks == 1:
            raise TransientError("away")
        found, self.left = self.left[:limit], self.left[limit:]
        return [Due(conversation=name, check_at=now) for name in found]

    async def lease(self, due: Due, now: datetime) -> Lease | None:
        return (
            None if due.conversation == "taken" else Lease(conversation=due.conversation, token="t")
        )

    async def count(self, **which: Any) -> int:  # noqa: ANN401
        return 1 if which else 7


class Caretaker:
    """Fails for some."""

    def __init__(self, expected: int) -> None:
        self.done: list[str] = []
        self.all_done = asyncio.Event()
        self._expected = expected

    async def look_after(self, lease: Lease) -> None:
        self.done.append(lease.conversation)
        if len(self.done) == self._expected:
            self.all_done.set()
        if lease.conversation == "broken":
            raise ValueError("only this one")
        if lease.conversation == "later":
            raise TransientError("away again")


async def test_one_that_fails_costs_no_other_and_an_outage_only_time() -> None:
    many = [str(number) for number in range(600)]
    rows, keeper = Rows(["broken", "taken", "later", *many]), Caretaker(602)
    timers = Timers(keeper, rows, lambda: NOON)
    running = asyncio.create_task(timers.run())
    async with asyncio.timeout(10):
        await keeper.all_done.wait()
        while IN_TAKEOVER._value.get() != 7:
            await asyncio.sleep(0.01)
        await timers.stop(5)
        await running
    assert sorted(keeper.done) == sorted(["broken", "later", *many])
    assert OVERDUE._value.get() == 1
