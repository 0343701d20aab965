"""A part in doubt: its echo, and the thread read back, tell what became of it.

Never a blind second send. An echo settles the matter at once. An early look at the thread is free,
since finding the part settles it, too; that it is *missing* counts only once the claim's request
can no longer be on its way, and only when two healthy readings some time apart agree.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import structlog

from libs.common.errors import TransientError
from libs.common.events import SendText
from services.sender.closing import closing_of
from services.sender.desk import Desk
from services.sender.domain.claims import Claim, Sending
from services.sender.domain.deliveries import Delivery
from services.sender.domain.evidence import (
    CLOCK_TOLERANCE,
    CLOCKS_APART,
    Absent,
    Evidence,
    Found,
    Unclear,
    candidates,
    judge,
    margin,
)
from services.sender.echoes import News
from services.sender.lessons import learn
from services.sender.meta import THREAD_COVERS, ThreadUnreadableError

RECALL_PATIENCE_S = 30.0
ECHOED_WITHIN = timedelta(minutes=15)  # after a part was posted

T = TypeVar("T")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Doubt:
    """A part that may have been sent: under which claim, since when, as which text."""

    claim_id: str
    since: datetime
    deadline_at: datetime
    text: str
    attempts: int
    by_meta: bool = False
    """Whether `since` is by Meta's clock; else by that of some host of ours."""
    ours: bool = False
    """Whether this process made the claim, and `deadline_at` is by its own clock."""
    is_latest: bool = False
    """Whether the claim is the conversation's latest, and the part's first: then whatever else was
    recorded as sent was sent before it, since a person's parts go out one after the other."""

    @classmethod
    def about(cls, claim: Claim) -> "Doubt":
        """`claim`: our own, or one that was read back, of whatever process."""
        return cls(
            claim.claim_id,
            claim.first_claimed_at,
            claim.deadline_at,
            claim.text,
            claim.attempt,
            claim.by_meta,
            not isinstance(claim, Sending),
            # what a person has sent again may have arrived long before its new claim
            is_latest=not claim.generation,
        )


class Inquiry:
    """Finds out about one part; other conversations go on meanwhile."""

    def __init__(self, desk: Desk, command: SendText, send_id: str, doubt: Doubt) -> None:
        self._desk = desk
        self._command = command
        self._send_id = send_id
        self._doubt = doubt
        # patience grows with every attempt: an answer that is late once may be late again
        self._gap_s: float = desk.settings.evidence_gap_s * 2 ** (doubt.attempts - 1)
        self._hold_after_s = desk.settings.hold_after_s
        self._over_at = _now() + self._on_its_way_s()
        self._missed_at: float | None = None
        self._unclear_since: float | None = None
        self._not_ours: set[str] = set()  # mids that receipts named
        self._recalled = desk.echoes.knows_all_since(doubt.since, ours=doubt.ours)

    async def run(self) -> Delivery | Evidence | None:
        """What is certain in the end.

        A delivery: somebody else recorded it. Found: it was sent. Absent: it was not. Unclear:
        there was no evidence for as long as we wait for it. None: the Page cannot be called for
        long, so that nothing can be found out now.

        Raises:
            DrainingError: the service stops; the next one begins the inquiry anew.
        """
        conversation = self._command.conversation_id
        with self._desk.echoes.awaiting(self._send_id, conversation) as news:
            while True:
                recorded = await self._desk.store.delivery(self._send_id)
                if recorded is not None and recorded.state != "again":
                    return recorded
                began_at = _now()
                evidence = await self._unless_echoed(news, self._ask())
                if evidence is None:
                    return None
                if self._settles(evidence, began_at):
                    kind = type(evidence).__name__
                    log.info("doubt_settled", send_id=self._send_id, outcome=kind)
                    return evidence
                await self._desk.drain.wait_for(news.any, self._pause_s())
                news.any.clear()

    async def glance(self) -> Found | None:
        """What there is to be found without waiting for more to come."""
        with self._desk.echoes.awaiting(self._send_id, self._command.conversation_id) as news:
            evidence = await self._unless_echoed(news, self._ask())
        return evidence if isinstance(evidence, Found) else None

    async def _unless_echoed(
        self, news: News, asking: Coroutine[Any, Any, Evidence | None]
    ) -> Evidence | None:
        """What the asking comes to. The echo ends it wherever it stands, in line behind other
        people's readings or in a long reading of the log: nothing is left to ask."""
        work = asyncio.create_task(asking)
        echoed = asyncio.create_task(news.echoed.wait())
        try:
            await asyncio.wait((work, echoed), return_when=asyncio.FIRST_COMPLETED)
            return self._echo() or await work
        finally:
            work.cancel()
            echoed.cancel()
            await asyncio.gather(work, echoed, return_exceptions=True)

    async def _ask(self) -> Evidence | None:
        """None: the Page cannot be called for long."""
        await self._recall()
        if (echo := self._echo()) is not None:
            return echo
        if await closing_of(self._desk, self._command.page_id) is not None:
            return None
        evidence = await self._receipt() or await self._look()
        if isinstance(evidence, Absent) and not self._recalled:
            return Unclear()  # its echo may be on the log, which cannot be read for now
        return evidence

    async def _recall(self) -> None:
        """An echo may have come while nobody was there to hear it: the log has it. A long reading
        goes on while we look elsewhere."""
        if self._recalled or self._echo() is not None:
            return
        since, earlier = self._doubt.since, margin(by_meta=self._doubt.by_meta)
        begin, end = since - earlier, since + earlier + ECHOED_WITHIN
        try:
            async with asyncio.timeout(RECALL_PATIENCE_S):
                await self._desk.history.recall(self._send_id, begin, end)
        except (TransientError, TimeoutError) as error:
            log.warning("echoes_not_recalled", send_id=self._send_id, error=type(error).__name__)
            return
        self._recalled = True

    def _echo(self) -> Found | None:
        mid = self._desk.echoes.mid_of(self._send_id)
        return Found(mid, by="echo") if mid is not None else None

    async def _receipt(self) -> Found | None:
        """A receipt may name the very message: then it can be read by its id, even where the thread
        as a whole cannot."""
        conversation, doubt = self._command.conversation_id, self._doubt
        mids = [m for m in self._desk.echoes.receipts(conversation) if m not in self._not_ours]
        channel = await self._desk.channels.channel(self._command.page_id)
        if not mids or channel is None:
            return None
        recorded = await self._desk.store.recorded_mids(conversation, mids)
        for mid in mids:
            if mid not in recorded:
                seen = await self._read(partial(self._desk.meta.message, channel, mid))
                if seen is None:
                    continue
                held = await self._desk.store.held_texts(conversation, self._earliest)
                likely = candidates([seen], doubt.text, self._since - CLOCK_TOLERANCE)
                if likely and doubt.text not in held:
                    return Found(mid, by="receipt")
            self._not_ours.add(mid)
        return None

    async def _look(self) -> Evidence:
        channel = await self._desk.channels.channel(self._command.page_id)
        if channel is None:
            return Unclear()
        thread = await self._read(partial(self._desk.meta.thread, channel, self._command.psid))
        if thread is None:
            return Unclear()
        conversation, doubt = self._command.conversation_id, self._doubt
        earlier = set[str]()
        if doubt.is_latest and len(thread) >= THREAD_COVERS:  # else it is all there
            own = [seen.mid for seen in thread if seen.from_page]
            earlier = set(await self._desk.store.mids_in_order(conversation, own))
        mids = [seen.mid for seen in candidates(thread, doubt.text, self._earliest)]
        recorded, held = set[str](), list[str]()
        if mids:
            recorded = set(await self._desk.store.recorded_mids(conversation, mids))
            held = await self._desk.store.held_texts(conversation, self._earliest)
        return judge(
            thread,
            doubt.text,
            self._since,
            by_meta=doubt.by_meta,
            recorded_mids=recorded,
            held_alike=held.count(doubt.text),
            covers=THREAD_COVERS,
            earlier_mids=earlier,
        )

    async def _read(self, read: Callable[[], Awaitable[T]]) -> T | None:
        """What Meta shows; None: nothing. The Page learns from what Meta says instead."""
        page = self._desk.pages[self._command.page_id]
        try:
            async with page.reading() as admitted:
                if not admitted or self._echo() is not None:
                    return None
                shown = await read()
        except ThreadUnreadableError as error:
            await learn(self._desk, self._command.page_id, error.outcome, reading=True)
            return None
        if page.token_is_suspect:
            page.answered()
        return shown

    @property
    def _since(self) -> datetime:
        """Since when, as near to Meta's clock as can be known: where Meta had not answered before
        we posted, it may have since."""
        doubt, at_meta = self._doubt, self._desk.meta_clock.now()
        if doubt.by_meta or not doubt.ours or doubt.attempts > 1 or at_meta is None:
            return doubt.since
        return at_meta - (self._desk.now() - doubt.since)

    @property
    def _earliest(self) -> datetime:
        """When a message may have been made that could be ours, or given up that could be there:
        whoever gave it up has a clock, too."""
        return self._since - CLOCKS_APART

    def _on_its_way_s(self) -> float:
        """How long the claim's request may still be on its way. Another process's deadline is by a
        clock that may be wrong, but none lives longer than a claim from when we see it."""
        lifetime_s = self._desk.settings.claim_lifetime.total_seconds()
        if not self._doubt.ours:
            return lifetime_s
        left_s = (self._doubt.deadline_at - self._desk.now()).total_seconds()
        return min(max(left_s, 0.0), lifetime_s)

    def _settles(self, evidence: Evidence, began_at: float) -> bool:
        if isinstance(evidence, Found):
            return True
        if isinstance(evidence, Absent):
            self._unclear_since = None
            return self._missed_twice(began_at)
        if self._unclear_since is None:
            self._unclear_since = began_at
        return began_at - self._unclear_since >= self._hold_after_s

    def _missed_twice(self, began_at: float) -> bool:
        if began_at < self._over_at:
            return False
        if self._missed_at is None:
            self._missed_at = began_at
            return False
        return began_at - self._missed_at >= self._gap_s

    def _pause_s(self) -> float:
        """Until the next look that can change something."""
        left_s = self._over_at - _now()
        pause_s = min(self._gap_s, left_s) if left_s > 0 else self._gap_s
        return max(pause_s, 0.001) + 0.001


def _now() -> float:
    """A clock that nobody sets."""
    return asyncio.get_running_loop().time()
