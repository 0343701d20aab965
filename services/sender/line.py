"""Who is next to call Meta for a Page."""

import asyncio
from collections.abc import Callable
from heapq import heapify, heappop, heappush

from services.sender.pacing import Allowance

Place = tuple[bool, float, int]
"""The order in the line: whether it is the assistant's, as from when it stands there, a number."""


class Call:
    """Leave to make one call. Wait for `room`, then `with` it as long as the call takes; or give it
    back.

    `is_probe`: made to find out whether Meta takes the Page's token again.
    """

    def __init__(self, line: "Line", *, is_probe: bool) -> None:
        self.is_probe = is_probe
        self._line = line
        self._number: int | None = None
        self._is_over = False

    async def room(self) -> None:
        """To be awaited right before the call, after all that takes time."""
        window = self._line.allowance.window
        while not window.has_room(now()):  # noqa: ASYNC110 - nobody to tell us
            await asyncio.sleep(window.room_in_s(now()))

    def __enter__(self) -> None:
        self._number = self._line.allowance.window.begin(now())

    def __exit__(self, *_: object) -> None:
        self.give_back()

    def give_back(self) -> None:
        """It is over, or will not be made. Said again, it changes nothing."""
        if self._is_over:
            return
        self._is_over = True
        if self._number is None:
            self._line.allowance.give_back(now())
        else:
            self._line.allowance.window.end(now(), self._number)
        self._line.pump()


class Line:
    """Those who wait for leave to call, each at a place of its own.

    What stops the Page leaves the line as it is: whoever was before others is so afterwards.
    """

    def __init__(
        self,
        allowance: Allowance,
        closed_s: Callable[[], float] = lambda: 0.0,
        admit: Callable[["Line"], Call] = lambda line: Call(line, is_probe=False),
    ) -> None:
        """
        Args:
            closed_s: how long nobody may pass; 0 or less: somebody may now; without end: until
                `pump` is called.
            admit: makes the leave of one who passes.
        """
        self.allowance = allowance
        self._closed_s = closed_s
        self._admit = admit
        self._waiting: dict[Place, asyncio.Future[Call | None]] = {}
        self._places: list[Place] = []  # a heap; those no longer waiting are skipped
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def take_now(self) -> Call | None:
        """Pass without waiting; None where others wait or nobody may pass."""
        return None if self._waiting else self._pass()

    async def stand(self, place: Place, patience_s: float) -> Call | None:
        """Wait for leave; None if it did not come in time, or all were sent away.

        A place that was left may be taken again.
        """
        if (call := self.take_now()) is not None:
            return call
        turn: asyncio.Future[Call | None] = asyncio.get_running_loop().create_future()
        self._waiting[place] = turn
        self._put(place)
        self.pump()
        try:
            await asyncio.wait({turn}, timeout=patience_s)
        except asyncio.CancelledError:
            if turn.done() and (call := turn.result()) is not None:
                call.give_back()  # it came at the same moment
            raise
        finally:
            if self._waiting.get(place) is turn:
                del self._waiting[place]
        return turn.result() if turn.done() else None

    def send_away(self) -> None:
        """Nobody gets leave any more: let all look anew at how things stand."""
        waiting, self._waiting, self._places = self._waiting, {}, []
        for turn in waiting.values():
            turn.set_result(None)

    def pump(self) -> None:
        """Let pass whoever may, and come back when the next one may."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting and (call := self._pass()) is not None:
            self._waiting.pop(self._first()).set_result(call)
        if not self._waiting:
            return
        wait_s = max(self._closed_s(), self.allowance.wait_s(now()))
        if wait_s < float("inf"):  # else somebody tells us
            self._timer = asyncio.get_running_loop().call_later(wait_s, self.pump)

    def _pass(self) -> Call | None:
        if self._closed_s() > 0 or not self.allowance.take(now()):
            return None
        return self._admit(self)

    def _first(self) -> Place:
        while (place := heappop(self._places)) not in self._waiting:
            pass
        return place

    def _put(self, place: Place) -> None:
        if len(self._places) > 2 * len(self._waiting) + 100:
            self._places = list(self._waiting)
            heapify(self._places)
        else:
            heappush(self._places, place)


def now() -> float:
    """The loop's own clock, which is the monotonic one but in tests."""
    return asyncio.get_running_loop().time()
