"""Echoes of our own messages: the best evidence there is, for they name the very part.

Kept in memory, and heard from the start of this process on. What came before, while no sender ran,
stands on the log still, and is read back from there (`echo_history.py`) for the parts in doubt.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog
from prometheus_client import Counter

from libs.common.events import AnyRecord, MessageDelivered, MessageEchoed
from services.sender.domain.evidence import CLOCKS_APART

KEPT = 20_000
RECEIPTS = 50  # mids of one conversation while one of its parts is in doubt

DUPLICATES = Counter(
    "assistant_duplicate_sends_total", "Parts that Meta echoed as two messages: must stay 0."
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class News:
    """`echoed` is set as soon as the part's echo is there; `any` then, too, and by a receipt that
    may be its own."""

    echoed: asyncio.Event = field(default_factory=asyncio.Event)
    any: asyncio.Event = field(default_factory=asyncio.Event)

    def set_echoed(self) -> None:
        self.echoed.set()
        self.any.set()


class Echoes:
    """The mids of parts that Meta has shown, by send id."""

    def __init__(
        self, own_app_id: str = "", clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._own_app_id = own_app_id
        self._clock = clock
        self._mids: OrderedDict[str, tuple[str, datetime]] = OrderedDict()
        self._awaited: dict[str, News] = {}
        self._receipts: dict[str, tuple[News, list[str]]] = {}
        self._remembers_since = clock()
        self._has_forgotten = False

    def listen(self) -> None:
        """From now on every echo comes here."""
        self._remembers_since = self._clock()

    def knows_all_since(self, moment: datetime, *, ours: bool) -> bool:
        """Whether no echo of a part that was posted then has been missed.

        Args:
            ours: this process posted it, so that it has listened ever since; else the moment is by
                another clock, which may be wrong.
        """
        if ours and not self._has_forgotten:
            return True
        return moment - CLOCKS_APART >= self._remembers_since

    def is_ours(self, record: AnyRecord) -> bool:
        """Whether it is an echo of a part of ours."""
        if not isinstance(record, MessageEchoed) or not record.is_from(self._own_app_id):
            return False
        return record.send_id is not None

    def heard(self, record: AnyRecord) -> None:
        """Take note of an event, if it is an echo of ours, or a receipt for a conversation in which
        a part is in doubt. A redelivered one changes nothing."""
        if isinstance(record, MessageDelivered):
            self._note_receipt(record)
        if not isinstance(record, MessageEchoed) or not self.is_ours(record):
            return
        send_id = record.send_id or ""
        known, _ = self._mids.setdefault(send_id, (record.mid, self._clock()))
        if known != record.mid:
            DUPLICATES.inc()
            log.error("sent_twice", send_id=send_id, conversation=record.conversation_id)
        if len(self._mids) > KEPT:
            _, (_, self._remembers_since) = self._mids.popitem(last=False)
            self._has_forgotten = True
        if (awaited := self._awaited.get(send_id)) is not None:
            awaited.set_echoed()

    def mid_of(self, send_id: str) -> str | None:
        known = self._mids.get(send_id)
        return known[0] if known is not None else None

    def awaits_receipts(self, conversation: str) -> bool:
        return conversation in self._receipts

    def receipts(self, conversation: str) -> list[str]:
        """The mids that receipts have named since the doubt began; whose they are, others know."""
        _, mids = self._receipts.get(conversation, (None, []))
        return list(mids)

    @contextmanager
    def awaiting(self, send_id: str, conversation: str) -> Iterator[News]:
        """What comes in about one part while it is in doubt."""
        news = self._awaited[send_id] = News()
        receipts = self._receipts[conversation] = (news, [])
        if send_id in self._mids:
            news.set_echoed()
        try:
            yield news
        finally:
            if self._awaited.get(send_id) is news:
                del self._awaited[send_id]
            if self._receipts.get(conversation) is receipts:
                del self._receipts[conversation]

    def _note_receipt(self, record: MessageDelivered) -> None:
        news, mids = self._receipts.get(record.conversation_id, (None, []))
        if news is None:
            return
        new = [mid for mid in record.mids if mid not in mids]
        mids.extend(new)
        del mids[:-RECEIPTS]
        if new:
            news.any.set()
