"""The end of a sender: what has begun is finished, nothing new begins, nobody waits on."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from libs.common.errors import TransientError

T = TypeVar("T")


class DrainingError(TransientError):
    """The service stops: whoever starts next goes on from here."""

    code = "draining"


class Drain:
    """Until `begin`, everything here waits as asked; from then on, waiting is refused."""

    def __init__(self) -> None:
        self._begun = asyncio.Event()
        self._to_tell: list[Callable[[], None]] = []

    def begin(self) -> None:
        self._begun.set()
        for tell in self._to_tell:
            tell()

    def when_begun(self, tell: Callable[[], None]) -> None:
        """Call this when it begins: for those who wait elsewhere."""
        self._to_tell.append(tell)

    def check(self) -> None:
        """Raises: DrainingError: nothing new may begin."""
        if self._begun.is_set():
            raise DrainingError("the sender stops")

    async def sleep(self, seconds: float) -> None:
        """Raises: DrainingError: the service began to stop, before or meanwhile."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._begun.wait(), seconds)
        self.check()

    async def wait_for(self, event: asyncio.Event, seconds: float) -> None:
        """Return when the event is set or the time is over.

        Raises:
            DrainingError: the service began to stop, before or meanwhile.
        """
        waits = [asyncio.create_task(event.wait()), asyncio.create_task(self._begun.wait())]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        self.check()


async def finish_first(work: Coroutine[Any, Any, T], within_s: float) -> T:
    """Run `work` to its end even if the caller is cancelled, for at most `within_s` more.

    Between Meta's answer and our record of it lies the only moment that costs evidence and a long
    wait to repair: a rebalance or a stop should not fall into it.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if not task.done():
            await asyncio.wait({task}, timeout=within_s)
        if not task.done():
            task.cancel()
        elif not task.cancelled():
            task.exception()  # read, so that nobody complains that it was not
        raise
