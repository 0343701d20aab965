"""Carries out what is asked of a conversation, and what is due in it; every step survives a crash.

announce the row → compare-and-set, the fact beside it → publish the fact → settle the row.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import structlog
from prometheus_client import Counter

from libs.common.errors import TransientError
from libs.common.events import ConversationRecord, TakeoverEnded, TakeoverStarted
from libs.common.kafka import Publisher
from libs.common.metrics import from_zero
from services.takeover.domain.fence import Claim, Delivery, may_be_posting
from services.takeover.domain.state import Takeover
from services.takeover.domain.transitions import (
    AutoResume,
    Changed,
    Command,
    FacebookReply,
    Refused,
    ThreadControl,
    apply,
)
from services.takeover.roster import (
    ANNOUNCED_FOR,
    REMOVE_AFTER,
    SECOND_LOOK,
    SELDOM,
    UNTOLD_AGAIN,
    Lease,
)
from services.takeover.store import Found

ATTEMPTS = 20  # of a compare-and-set that others keep winning
FENCE_POLL_S = 0.05

TAKEOVERS = from_zero(
    Counter("assistant_takeovers_total", "Takeovers that began, by reason.", ["reason"]),
    ["taken", "facebook_reply"],
)
ENDINGS = from_zero(
    Counter("assistant_takeovers_ended_total", "Takeovers that ended, by reason.", ["reason"]),
    ["resumed", "auto_resume"],
)
REFUSALS = from_zero(
    Counter(
        "assistant_takeover_refusals_total", "What people asked for in vain, by why.", ["reason"]
    ),
    ["already_taken", "not_taken_over"],
)

log = structlog.get_logger(__name__)


class ContendedError(TransientError):
    """Others kept changing the conversation; the same again will pass."""

    code = "contended"


class UnknownConversationError(Exception):
    """Nobody has ever written in it."""


class Store(Protocol):
    """What the keeper needs of `TakeoverStore`; tests keep it in memory."""

    async def find(self, conversation: str) -> Found | None: ...

    async def change(
        self,
        conversation: str,
        before: Takeover,
        after: Takeover,
        fact: ConversationRecord | None,
        *,
        may_create: bool = False,
    ) -> Found | None: ...

    async def told(self, conversation: str, event_ids: Sequence[str]) -> None: ...

    async def delivery(self, send_id: str) -> Delivery | None: ...


class Rows(Protocol):
    """What the keeper needs of `Roster`."""

    async def announce(self, conversation: str, now: datetime) -> str: ...

    async def settle(
        self, conversation: str, token: str, state: Takeover, check_at: datetime, now: datetime
    ) -> bool: ...

    async def remove(self, lease: Lease) -> None: ...


@dataclass(frozen=True)
class Outcome:
    """The conversation after the command, or as it was when the command was refused."""

    found: Found
    refused: Refused | None = None


class Keeper:
    """All that ever changes a takeover."""

    def __init__(
        self,
        store: Store,
        rows: Rows,
        publisher: Publisher,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._rows = rows
        self._publisher = publisher
        self._clock = clock

    async def find(self, conversation: str) -> Found:
        """Raises: UnknownConversationError."""
        found = await self._store.find(conversation)
        if found is None:
            raise UnknownConversationError
        return found

    async def carry_out(
        self, conversation: str, command: Command, *, may_create: bool = False
    ) -> Outcome:
        """Do it, and return when it can't be lost any more. Doing it again changes nothing.

        Raises:
            UnknownConversationError: and it may not be created.
            ContendedError: too many others want something, too.
        """
        for _ in range(ATTEMPTS):
            found = await self._store.find(conversation)
            if found is None:
                if not may_create:
                    raise UnknownConversationError
                found = Found(conversation)
            result = apply(conversation, found.state, command, self._clock())
            if isinstance(result, Refused):
                REFUSALS.labels(result.code).inc()
                log.info("takeover_refused", conversation=conversation, reason=result.code)
                return Outcome(found, result)
            if not isinstance(result, Changed):
                return Outcome(found)
            written = await self._write(found, result, may_create=may_create)
            if written is not None:
                return Outcome(written)
            await asyncio.sleep(random.uniform(0, 0.02))
        raise ContendedError("others keep changing the conversation")

    async def _write(self, found: Found, changed: Changed, *, may_create: bool) -> Found | None:
        conversation, fact = found.conversation, changed.fact
        if fact is None:  # the hands stay, and so does the row
            return await self._store.change(
                conversation, found.state, changed.state, None, may_create=may_create
            )
        announced_at = asyncio.get_running_loop().time()
        token = await self._rows.announce(conversation, self._clock())
        if asyncio.get_running_loop().time() - announced_at > ANNOUNCED_FOR.total_seconds():
            return None  # that took long: what was announced may have been given up already
        written = await self._store.change(
            conversation, found.state, changed.state, fact, may_create=may_create
        )
        if written is None:
            return None
        _count(fact)
        await self._follow_up(written, token)
        return written

    async def _follow_up(self, written: Found, token: str) -> None:
        """The change stands. What does not work now is done when the row is looked after."""
        try:
            is_told = await self._tell(written)
            for _ in range(3):
                now = self._clock()
                check_at = now + SECOND_LOOK if is_told else now + UNTOLD_AGAIN
                check_at = min(filter(None, (check_at, written.state.auto_resume_at)))
                if await self._rows.settle(
                    written.conversation, token, written.state, check_at, now
                ):
                    return
                token = await self._rows.announce(written.conversation, now)
                written = await self._store.find(written.conversation) or written
        except TransientError as error:
            log.warning("takeover_row_not_settled", error=type(error).__name__)

    async def _tell(self, found: Found) -> bool:
        """Publish what nobody has been told yet, in order; whether that worked.

        A process that dies in between leaves it untold, and somebody else tells it again: copies
        have the same id, and may come late; `epoch` says which of two facts is the newer.
        """
        if not found.untold:
            return True
        try:
            await self._publisher.publish(*found.untold)
        except TransientError as error:
            log.warning(
                "takeover_not_told",
                conversation=found.conversation,
                error=type(error).__name__,
                pending=len(found.untold),
            )
            return False
        await self._store.told(found.conversation, [each.event_id for each in found.untold])
        return True

    async def until_quiet(self, found: Found) -> None:
        """Wait until no message of before can reach Meta any more: at most a claim's lifetime."""
        claim = found.claim
        started = asyncio.get_running_loop().time()
        while claim is not None and await self._may_be_posting(claim):
            await asyncio.sleep(FENCE_POLL_S)
            now = await self._store.find(found.conversation)
            if now is not None and now.claim is not None and now.claim.claim_id == claim.claim_id:
                claim = now.claim  # it may turn out to be unused
        waited_s = asyncio.get_running_loop().time() - started
        if waited_s > FENCE_POLL_S:
            log.info(
                "waited_for_a_message",
                conversation=found.conversation,
                waited_s=round(waited_s, 3),
            )

    async def _may_be_posting(self, claim: Claim) -> bool:
        if not may_be_posting(claim, None, self._clock()):
            return False
        return may_be_posting(claim, await self._store.delivery(claim.send_id), self._clock())

    async def look_after(self, lease: Lease) -> None:
        """Do what is due in a conversation, mend what a crash left behind, and note it."""
        found = await self._store.find(lease.conversation) or Found(lease.conversation)
        if found.state.is_due(self._clock()):
            result = apply(lease.conversation, found.state, AutoResume(), self._clock())
            if isinstance(result, Changed):
                written = await self._store.change(
                    lease.conversation, found.state, result.state, result.fact
                )
                if written is not None and result.fact is not None:
                    _count(result.fact)
                found = written or await self._store.find(lease.conversation) or found
        is_told = await self._tell(found)
        now = self._clock()
        if found.state.mode == "ai" and is_told:
            if lease.closed_at is not None and now - lease.closed_at >= REMOVE_AFTER:
                await self._rows.remove(lease)
                return
            check_at = now + REMOVE_AFTER
        else:
            check_at = now + (SELDOM if is_told else UNTOLD_AGAIN)
        check_at = min(filter(None, (check_at, found.state.auto_resume_at)))
        await self._rows.settle(lease.conversation, lease.token, found.state, check_at, now)

    async def heard(self, conversation: str, command: FacebookReply | ThreadControl) -> None:
        """As `carry_out`, for what events say: there is nobody to refuse anything to.

        A conversation that only the Page wrote in has no document yet, and gets one.
        """
        may_create = isinstance(command, FacebookReply) or not command.ours
        with suppress(UnknownConversationError):
            await self.carry_out(conversation, command, may_create=may_create)


def _count(fact: ConversationRecord) -> None:
    if isinstance(fact, TakeoverStarted):
        TAKEOVERS.labels(fact.reason).inc()
        log.info("takeover_started", conversation=fact.conversation_id, reason=fact.reason)
    elif isinstance(fact, TakeoverEnded):
        ENDINGS.labels(fact.reason).inc()
        log.info("takeover_ended", conversation=fact.conversation_id, reason=fact.reason)
