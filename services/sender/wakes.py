"""Wakes what was put away, when its Page can be called again or its messaging window has closed.

A wake is a record on the commands topic, under the Page's key: whoever owns the Page's partition
carries out what is put away, one person at a time and in order. A wake too many does no harm.
"""

import asyncio
from collections.abc import Callable, Collection
from contextlib import suppress

import structlog
from prometheus_client import Counter, Gauge

from libs.common.errors import TransientError
from libs.common.events import SendKept, derived_id
from services.sender.closing import closing_of
from services.sender.desk import Desk

EVERY_S = 1.0
REFRESH_S = 10.0
AGAIN_AFTER_S = 5.0  # when everybody was woken once
AFTER_PROBE_S = 10.0
EXPIRED_EVERY_S = 30.0
AT_ONCE = 200
ANYWHERE = -1  # put away by hand: from no partition

WAKES = Counter("assistant_kept_wakes_total", "People for whom something put away was taken up.")
KEPT_PAGES = Gauge("assistant_kept_pages", "Pages for which commands are put away.")

log = structlog.get_logger(__name__)


class Wakes:
    """Looks every second at the Pages for which something is put away, in our partitions."""

    def __init__(self, desk: Desk, partitions: Callable[[], Collection[int]]) -> None:
        self._desk = desk
        self._partitions = partitions
        self._pages: set[str] = set()
        self._seen: set[str] = set()  # whose state before our time we know
        self._cursors: dict[str, str] = {}
        self._not_before: dict[str, float] = {}
        self._probed: set[str] = set()  # one person is finding out about the token
        self._refresh_at = float("-inf")
        self._stopping = False
        self._kicked = asyncio.Event()
        self._changed: set[str] = set()

    def kick(self, page_id: str) -> None:
        """The Page's channel has changed: look at once."""
        self._changed.add(page_id)
        self._begin_anew(page_id)
        self._refresh_at = float("-inf")
        self._kicked.set()

    def _begin_anew(self, page_id: str) -> None:
        self._not_before.pop(page_id, None)
        self._cursors.pop(page_id, None)

    async def run(self) -> None:
        """Until `stop`."""
        while not self._stopping:
            try:
                await self.look()
            except (TransientError, OSError) as error:
                log.warning("wakes_wait", error=type(error).__name__)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._kicked.wait(), EVERY_S)
            self._kicked.clear()

    async def stop(self, drain_timeout_s: float) -> None:
        self._stopping = True
        self._kicked.set()

    async def look(self) -> None:
        """One look at all Pages."""
        if _now() >= self._refresh_at:
            self._refresh_at = _now() + REFRESH_S
            partitions = [ANYWHERE, *self._partitions()]
            self._pages = set(await self._desk.kept.pages(partitions))
            KEPT_PAGES.set(len(self._pages))
        for page_id in sorted(self._pages):
            if page_id in self._probed and not self._desk.pages[page_id].token_is_suspect:
                self._probed.discard(page_id)
                self._not_before.pop(page_id, None)  # it is good: now for all the others
            if _now() >= self._not_before.get(page_id, float("-inf")):
                self._changed.discard(page_id)
                try:
                    await self._look_at(page_id)
                finally:
                    if page_id in self._changed:  # meanwhile: what we saw was as before
                        self._begin_anew(page_id)

    async def _look_at(self, page_id: str) -> None:
        await self._remember(page_id)
        kept, now = self._desk.kept, self._desk.now()
        cursor = self._cursors.get(page_id, "")
        if await closing_of(self._desk, page_id) is not None:
            woken = await kept.expired(page_id, now, cursor, AT_ONCE)
            await self._wake(page_id, woken, EXPIRED_EVERY_S)
        elif self._desk.pages[page_id].token_is_suspect:
            # one finds out for all
            woken = await kept.due(page_id, now, cursor, 1) or await kept.due(page_id, now, "", 1)
            await self._wake(page_id, woken, AFTER_PROBE_S)
            self._not_before[page_id] = _now() + AFTER_PROBE_S
            self._probed.add(page_id)
        else:
            woken = await kept.due(page_id, now, cursor, AT_ONCE)
            await self._wake(page_id, woken, AGAIN_AFTER_S)

    async def _remember(self, page_id: str) -> None:
        """What stopped the Page may be known to the database only: a process ended since."""
        if page_id in self._seen:
            return
        closing = await self._desk.kept.closing(page_id)
        left_s = 0.0
        if closing.limited_until is not None:
            left_s = (closing.limited_until - self._desk.now()).total_seconds()
        self._desk.pages[page_id].remember(suspect=closing.token, stopped_for_s=left_s)
        self._seen.add(page_id)

    async def _wake(self, page_id: str, people: list[str], pause_s: float) -> None:
        """Wake these people, and go on behind them, or from the beginning after a pause."""
        if people:
            await self._desk.publisher.publish(*[self._wake_of(each) for each in people])
            self._cursors[page_id] = people[-1]
            WAKES.inc(len(people))
        else:
            self._cursors.pop(page_id, None)
            self._not_before[page_id] = _now() + pause_s

    def _wake_of(self, conversation: str) -> SendKept:
        now = self._desk.now()
        page_id, _, psid = conversation.partition(":")
        return SendKept(
            event_id=derived_id("send.kept", conversation, now),
            page_id=page_id,
            psid=psid,
            occurred_at=now,
        )


def _now() -> float:
    return asyncio.get_running_loop().time()
