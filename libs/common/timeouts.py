"""One timer for many waits that may each take equally long.

`asyncio.timeout` makes a timer for every wait: under load that is a tenth of what a webhook costs,
and hardly one of them ever fires.
"""

import asyncio
from itertools import takewhile
from time import monotonic
from types import TracebackType


class SharedTimeout:
    """`with shared.wait():` is `async with asyncio.timeout(timeout_s):`, and cheaper.

    Equally long waits end in the order in which they began, so the timer is only ever for the
    first of them. Belongs to one event loop.
    """

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self.waits: dict[Wait, float] = {}  # each with its end, the first end first
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def wait(self) -> "Wait":
        return Wait(self)

    def watch(self) -> None:
        """Have a timer for the first wait, if there is one and it has none."""
        if self._timer is None and self.waits:
            remaining_s = next(iter(self.waits.values())) - monotonic()
            self._timer = self._loop.call_later(remaining_s, self._end_overdue)

    def _end_overdue(self) -> None:
        self._timer = None
        now = monotonic()
        for wait in [*takewhile(lambda each: self.waits[each] <= now, self.waits)]:
            wait.end()
        self.watch()


class Wait:
    """One task's wait: `TimeoutError` when it takes too long."""

    __slots__ = ("_cancelling", "_is_over", "_shared", "_task")

    def __init__(self, shared: SharedTimeout) -> None:
        self._shared = shared
        self._is_over = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("only a task can wait")
        self._task = task
        self._cancelling = task.cancelling()
        shared = self._shared
        shared.waits[self] = monotonic() + shared.timeout_s
        if len(shared.waits) == 1:
            shared.watch()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if not self._is_over:
            del self._shared.waits[self]
        elif self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error  # cancelled by us, and by nobody else

    def end(self) -> None:
        del self._shared.waits[self]
        self._is_over = True
        self._task.cancel()
