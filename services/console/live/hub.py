"""From the log to the browsers: hears what happens, waits until it can be read, and gives hints.

A worker. It reads the log only while somebody listens: what was before, a browser reads anew when
it begins to listen. So with nobody there it costs nothing, and Kafka may be away.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import structlog
from prometheus_client import Counter, Histogram

from libs.common.errors import ProjectError
from libs.common.events import OF_HISTORY
from libs.common.kafka import ConsumedRecord, KafkaUnavailableError
from libs.common.metrics import from_zero
from services.console.live.pending import Hint, Pending, Place
from services.console.live.rows import MOST_ASKED, Row, Rows
from services.console.live.streams import Streams, page_of

FIRST_LOOK_S = 0.03  # a row usually has a record within a few hundredths of a second
LOOK_EVERY_S = 0.1
COUNT_EVERY_S = 1.0
LOOK_AT_FEED_S = 0.5
LINGER_S = 30.0  # somebody who goes from page to page stops listening and begins again
PAUSE_S, LONGEST_PAUSE_S = 1.0, 10.0  # after Kafka, or the conversation service, was away

HUMAN_WANTED = b"takeover.requested"
HINTED = OF_HISTORY
"""What the archive keeps of the log: nothing else changes what an inbox shows."""

HINTS = from_zero(
    Counter(
        "assistant_console_live_hints_total",
        "Changed conversations that browsers were told of, by whether the row had the change.",
        ["outcome"],  # late: told without it, after 5 s; anything: too many to name
    ),
    ["heard", "late", "anything"],
)
HINT_SECONDS = Histogram(
    "assistant_console_live_hint_seconds",
    "From hearing of a change to telling browsers.",
    buckets=(0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4),
)

log = structlog.get_logger(__name__)


class Feed(Protocol):
    """What reads the log."""

    @property
    def is_heard(self) -> bool: ...


OpenFeed = Callable[[Callable[[ConsumedRecord], None]], AbstractAsyncContextManager[Feed]]


class Hub:
    """Gives hints to those who may have them: the browsers of the Page's workspace."""

    def __init__(self, streams: Streams, rows: Rows, open_feed: OpenFeed) -> None:
        """`open_feed` raises KafkaUnavailableError."""
        self._streams = streams
        self._rows = rows
        self._open_feed = open_feed
        self._pending = Pending()
        self._noted = asyncio.Event()
        self._to_count: set[str] = set()
        self._counting = asyncio.Event()
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        tasks = [
            asyncio.create_task(self._listen(), name="live-listen"),
            asyncio.create_task(self._look_again_and_again(), name="live-look"),
            asyncio.create_task(self._count_again_and_again(), name="live-count"),
        ]
        told = asyncio.create_task(self._stopping.wait(), name="live-stop")
        try:
            done, _ = await asyncio.wait([*tasks, told], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (*tasks, told):
                task.cancel()
            await asyncio.gather(*tasks, told, return_exceptions=True)
        for task in done:
            task.result()  # none of them ends but by an error

    async def stop(self, drain_timeout_s: float) -> None:
        del drain_timeout_s  # browsers come again and read everything anew
        self._streams.end()
        self._stopping.set()

    def touched(self, conversation: str) -> None:
        """Somebody has changed a conversation here, which no record tells of."""
        self._recount(self._streams.change(conversation))

    def heard(self, record: ConsumedRecord) -> None:
        """By key and headers alone: nothing is parsed."""
        kind = record.headers.get("type", b"")
        if kind not in HINTED or b":" not in record.key:
            return
        conversation = record.key.decode("utf-8", "replace")
        if self._streams.is_watched(page_of(conversation)):
            place = Place(record.partition, record.offset)
            self._pending.note(conversation, place, _now(), asks=kind == HUMAN_WANTED)
            self._noted.set()

    async def _listen(self) -> None:
        pause_s = PAUSE_S
        while True:
            await self._streams.wait_for_one()
            try:
                async with self._open_feed(self.heard) as feed:
                    pause_s = PAUSE_S
                    await self._while_watched(feed)
            except KafkaUnavailableError as error:
                log.warning("live_not_heard", reason=str(error))
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
            finally:
                self._streams.hear(heard=False)
                self._pending.clear()

    async def _while_watched(self, feed: Feed) -> None:
        watched_at = _now()
        while True:
            self._streams.hear(heard=feed.is_heard)
            await asyncio.sleep(LOOK_AT_FEED_S)
            if len(self._streams):
                watched_at = _now()
            elif _now() - watched_at >= LINGER_S:
                return

    async def _look_again_and_again(self) -> None:
        pause_s = FIRST_LOOK_S
        while True:
            await self._noted.wait()
            await asyncio.sleep(pause_s)
            pause_s = LOOK_EVERY_S if await self._look() else PAUSE_S
            if not self._pending:
                self._noted.clear()
                pause_s = FIRST_LOOK_S

    async def _look(self) -> bool:
        """Tell what can be told. False: the conversation service gave no answer."""
        asked = self._pending.oldest(MOST_ASKED)
        rows: dict[str, Row] = {}
        answered = True
        try:
            rows = await self._rows.of(asked)
        except ProjectError as error:
            log.warning("live_rows_unknown", error=type(error).__name__)
            answered = False
        if self._pending.overflowed():
            HINTS.labels("anything").inc()
            self._recount(self._streams.change_anything())
        now = _now()
        places = {name: row.heard for name, row in rows.items() if row.heard is not None}
        for hint in self._pending.answered(asked, places, now) + self._pending.overdue(now):
            self._give(hint, rows.get(hint.conversation), now)
        return answered

    def _give(self, hint: Hint, row: Row | None, now: float) -> None:
        asked = row.asked if row is not None and hint.asks else None
        self._recount(self._streams.change(hint.conversation, asked))
        HINTS.labels("heard" if hint.was_heard else "late").inc()
        HINT_SECONDS.observe(now - hint.since)

    def _recount(self, workspaces: set[str]) -> None:
        if workspaces:
            self._to_count |= workspaces
            self._counting.set()

    async def _count_again_and_again(self) -> None:
        """Once for all browsers of a workspace, and not with every change."""
        while True:
            await self._counting.wait()
            self._counting.clear()
            workspaces, self._to_count = self._to_count, set()
            for workspace in workspaces:
                try:
                    counts = await self._rows.counts(self._streams.pages_of(workspace))
                except ProjectError as error:
                    log.warning("live_counts_unknown", error=type(error).__name__)
                else:
                    self._streams.count(workspace, counts)
            await asyncio.sleep(COUNT_EVERY_S)


def _now() -> float:
    return asyncio.get_running_loop().time()
