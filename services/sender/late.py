"""Evidence that comes after a part was given up: its echo settles the matter, whenever it comes."""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta

import structlog
from prometheus_client import Counter

from libs.common.errors import TransientError
from libs.common.events import AnyRecord, MessageDelivered, MessageEchoed, MessageHeld
from services.sender.desk import Desk
from services.sender.domain.deliveries import Delivery, event_of
from services.sender.echoes import Echoes
from services.sender.review_store import ReviewStore

WATCHED = 20_000
LOOK_EVERY_S = 10.0
TOLD_WITHIN = timedelta(seconds=10)
RECEIPT = b"message.delivered"
WANTED = frozenset({b"message.echoed", b"message.held"})

LATE = Counter("assistant_late_evidence_total", "Held parts that turned out to have been sent.")

log = structlog.get_logger(__name__)


def wants_event(echoes: Echoes, headers: Mapping[str, bytes]) -> bool:
    """Of the events topic, what this service looks at; of receipts, those that may be evidence."""
    kind = headers.get("type")
    if kind == RECEIPT:
        return echoes.awaits_receipts(headers.get("conversation", b"").decode("utf-8", "replace"))
    return kind in WANTED


class LateEvidence:
    """Watches for the echoes of held parts; also tells what was changed and not told yet."""

    def __init__(self, desk: Desk, store: ReviewStore) -> None:
        self._desk = desk
        self._store = store
        self._watched: OrderedDict[str, None] = OrderedDict()
        self._found: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self._stopping = False
        self._wake = asyncio.Event()

    def heard(self, record: AnyRecord) -> None:
        """Take note of an event: a part that is held now, or the echo of one that was."""
        if isinstance(record, MessageHeld):
            self._watch(record.send_id)
        elif isinstance(record, MessageEchoed) and self._desk.echoes.is_ours(record):
            self._desk.echoes.heard(record)
            if record.send_id in self._watched:
                self._settle_soon(str(record.send_id), record.mid)
        elif isinstance(record, MessageDelivered):
            self._desk.echoes.heard(record)

    async def run(self) -> None:
        """Until `stop`."""
        known = False
        while not self._stopping:
            try:
                if not known:
                    for send_id in await self._store.held_ids(WATCHED):
                        self._watch(send_id)
                    known = True
                await self.look()
            except (TransientError, OSError) as error:
                log.warning("late_evidence_waits", error=type(error).__name__)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), LOOK_EVERY_S)
            self._wake.clear()

    async def stop(self, drain_timeout_s: float) -> None:
        self._stopping = True
        self._wake.set()

    async def look(self) -> None:
        """Settle what was found, and tell what is untold."""
        while not self._found.empty():
            send_id, mid = self._found.get_nowait()
            try:
                settled = await self._store.arrived(send_id, mid, self._desk.now())
            except TransientError:
                self._found.put_nowait((send_id, mid))
                raise
            if settled is not None:
                LATE.inc()
                log.info("held_part_arrived", send_id=send_id)
                await self.tell(settled)
            self._watched.pop(send_id, None)
        for delivery in await self._store.untold(self._desk.now() - TOLD_WITHIN, 100):
            await self.tell(delivery)

    async def tell(self, delivery: Delivery) -> None:
        """Publish what became of the part, and remember that it is told."""
        if delivery.state == "sent" and delivery.messaging_type is None:
            delivery = delivery.model_copy(update={"messaging_type": "RESPONSE"})
        if delivery.state != "again":
            await self._desk.publisher.publish(event_of(delivery))
        await self._store.told(delivery)

    def _watch(self, send_id: str) -> None:
        self._watched[send_id] = None
        if len(self._watched) > WATCHED:
            self._watched.popitem(last=False)
        if (mid := self._desk.echoes.mid_of(send_id)) is not None:
            self._settle_soon(send_id, mid)

    def _settle_soon(self, send_id: str, mid: str) -> None:
        self._found.put_nowait((send_id, mid))
        self._wake.set()
