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
from services.sender.domain.claims import Claim
from services.sender.domain.deliveries import Delivery
from services.sender.domain.evidence import (
    CLOCK_TOLERANCE,
    Absent,
    Evidence,
    Found,
    Unclear,
    candidates,
    judge,
)
from services.sender.echoes import News
from services.sender.lessons import learn
from services.sender.meta import THREAD_COVERS, ThreadUnreadableError

RECALL_PATIENCE_S = 30.0

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

    @classmethod
    def about(cls, claim: Claim) -> "Doubt":
        return cls(
            claim.claim_id, claim.first_claimed_at, claim.deadline_at, claim.text, claim.attempt
        )


class Inquiry:
    """Finds out about one part; other conversations go on meanwhile."""

    def __init__(self, desk: Desk, command: SendText, send_id: str, doubt: Doubt) -> None:
        self._desk = desk
        self._command = command
        self._send_id = send_id
        self._doubt = doubt
        # patience grows with every attempt: an answer that is late once may be late again
        self._gap = timedelta(seconds=desk.settings.evidence_gap_s * 2 ** (doubt.attempts - 1))
        self._hold_after = timedelta(seconds=desk.settings.hold_after_s)
        self._missed_at: datetime | None = None
        self._unclear_since: datetime | None = None
        self._not_ours: set[str] = set()  # mids that receipts named
        self._recalled = doubt.since >= desk.echoes.remembers_since

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
                began_at = self._desk.now()
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
        try:
            async with asyncio.timeout(RECALL_PATIENCE_S):
                await self._desk.history.recall(self._send_id, self._doubt.since)
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
                held = await self._desk.store.held_texts(conversation, doubt.since)
                if candidates([seen], doubt.text, doubt.since) and doubt.text not in held:
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
        mids = [seen.mid for seen in candidates(thread, doubt.text, doubt.since)]
        recorded, held = set[str](), list[str]()
        if mids:
            recorded = set(await self._desk.store.recorded_mids(conversation, mids))
            since = doubt.since - CLOCK_TOLERANCE
            held = await self._desk.store.held_texts(conversation, since)
        return judge(
            thread,
            doubt.text,
            doubt.since,
            recorded_mids=recorded,
            held_alike=held.count(doubt.text),
            covers=THREAD_COVERS,
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

    def _settles(self, evidence: Evidence, began_at: datetime) -> bool:
        if isinstance(evidence, Found):
            return True
        if isinstance(evidence, Absent):
            self._unclear_since = None
            return self._missed_twice(began_at)
        if self._unclear_since is None:
            self._unclear_since = began_at
        return began_at - self._unclear_since >= self._hold_after

    def _missed_twice(self, began_at: datetime) -> bool:
        if began_at < self._doubt.deadline_at:
            return False
        if self._missed_at is None:
            self._missed_at = began_at
            return False
        return began_at - self._missed_at >= self._gap

    def _pause_s(self) -> float:
        """Until the next look that can change something."""
        now = self._desk.now()
        next_at = now + self._gap
        if now < self._doubt.deadline_at:
            next_at = min(next_at, self._doubt.deadline_at)
        return max((next_at - now).total_seconds(), 0.001) + 0.001  # moments are whole ms
