"""Echoes of our own messages: the best evidence there is, for they name the very part.

Kept in memory only, and heard from the start of this process on: after a crash, and where echoes
are not subscribed, the thread is read back instead.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from prometheus_client import Counter

from libs.common.events import AnyRecord, MessageEchoed

KEPT = 20_000

DUPLICATES = Counter(
    "assistant_duplicate_sends_total", "Parts that Meta echoed as two messages: must stay 0."
)

log = structlog.get_logger(__name__)


class Echoes:
    """The mids of parts that Meta has shown, by send id."""

    def __init__(self, own_app_id: str = "") -> None:
        self._own_app_id = own_app_id
        self._mids: OrderedDict[str, str] = OrderedDict()
        self._awaited: dict[str, asyncio.Event] = {}

    def heard(self, record: AnyRecord) -> None:
        """Take note of an event, if it is an echo of ours. A redelivered one changes nothing."""
        if not isinstance(record, MessageEchoed) or record.app_id != self._own_app_id:
            return
        if record.send_id is None:
            return
        known = self._mids.setdefault(record.send_id, record.mid)
        if known != record.mid:
            DUPLICATES.inc()
            log.error("sent_twice", send_id=record.send_id, conversation=record.conversation_id)
        if len(self._mids) > KEPT:
            self._mids.popitem(last=False)
        if (awaited := self._awaited.get(record.send_id)) is not None:
            awaited.set()

    def mid_of(self, send_id: str) -> str | None:
        return self._mids.get(send_id)

    @contextmanager
    def awaiting(self, send_id: str) -> Iterator[asyncio.Event]:
        """An event that is set as soon as the part's echo is there."""
        event = self._awaited[send_id] = asyncio.Event()
        if send_id in self._mids:
            event.set()
        try:
            yield event
        finally:
            if self._awaited.get(send_id) is event:
                del self._awaited[send_id]
