"""What a person decides about a part that was held or has failed: send it again, or discard it."""

from contextlib import suppress
from datetime import datetime

import structlog
from prometheus_client import Counter

from libs.common import tracing
from libs.common.errors import PermanentError, TransientError
from libs.common.events import SendKept, SendText, conversation_id, derived_id, encode
from libs.common.metrics import from_zero
from services.sender.desk import Desk
from services.sender.domain.deliveries import Delivery
from services.sender.domain.keeping import Kept
from services.sender.domain.parts import send_id as name_of
from services.sender.late import LateEvidence
from services.sender.review_store import DISCARDED, ReviewStore
from services.sender.wakes import ANYWHERE

DECISIONS = from_zero(
    Counter("assistant_part_decisions_total", "What people decided about parts.", ["decision"]),
    ["send_again", "discard"],
)

log = structlog.get_logger(__name__)


class NoSuchPartError(PermanentError):
    """No delivery has this name."""

    code = "not_found"


class NotPossibleError(PermanentError):
    """The part is not in a state in which this could be decided."""

    code = "conflict"

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class Decisions:
    """Each decision has its effect once, however often it is asked for."""

    def __init__(self, desk: Desk, store: ReviewStore, late: LateEvidence) -> None:
        self._desk = desk
        self._store = store
        self._late = late

    async def send_again(self, send_id: str, generation: int | None) -> Delivery:
        """Have the part sent once more, and what failed only because of it. Order is kept: it takes
        its place behind what waits for the person already.

        What makes it happen once is the name of what is put away: part and generation.

        Args:
            generation: as it was shown to whoever decides; None: whatever it is now.
        """
        delivery = await self._wanted(send_id, generation)
        if delivery.state == "sent":
            raise NotPossibleError("already_sent", "it has arrived after all")
        if delivery.reason == DISCARDED:
            raise NotPossibleError("discarded", "it was discarded")
        followers = await self._followers(delivery)
        if not all(part.text for part in (delivery, *followers)):
            raise NotPossibleError("not_kept", "its text is not kept any more")
        conversation = conversation_id(delivery.page_id, delivery.psid)
        snapshot = await self._desk.store.conversation(conversation)
        if delivery.origin == "assistant" and snapshot is not None and snapshot.mode == "human":
            raise NotPossibleError(
                "superseded_by_human", "a person has the conversation: the assistant is silent"
            )
        epoch = snapshot.epoch if snapshot else 0
        for part in [delivery, *followers]:
            await self._put_away(part, conversation, epoch)
        with suppress(TransientError):  # `wakes.py` finds it within seconds
            await self._desk.publisher.publish(_wake(delivery, self._desk.now()))
        DECISIONS.labels("send_again").inc()
        log.info("send_again", send_id=send_id, generation=delivery.generation + 1)
        return delivery

    async def discard(self, send_id: str, generation: int | None) -> Delivery:
        """Give a held part up (`message.failed` follows), or take a failed one off the list."""
        delivery = await self._wanted(send_id, generation)
        if delivery.reason == DISCARDED:
            return delivery
        if delivery.state == "failed":
            settled = await self._store.dismiss(delivery)
        else:
            settled = await self._store.discard(delivery, self._desk.now())
        if settled is None:
            raise NotPossibleError("changed", "it is being sent again, or has arrived after all")
        if settled.state == "failed" and settled.reason == DISCARDED:
            with suppress(TransientError):  # `late.py` tells it within seconds
                await self._late.tell(settled)
        DECISIONS.labels("discard").inc()
        log.info("discarded", send_id=send_id)
        return settled

    async def _wanted(self, send_id: str, generation: int | None) -> Delivery:
        delivery = await self._desk.store.delivery(send_id)
        if delivery is None:
            raise NoSuchPartError(send_id)
        if generation is not None and generation != delivery.generation:
            raise NotPossibleError("changed", "somebody decided about it meanwhile")
        return delivery

    async def _followers(self, delivery: Delivery) -> list[Delivery]:
        """Later parts of the same message, which were not tried for this one's sake."""
        later = range(delivery.part + 1, delivery.parts)
        names = [name_of(delivery.command_id, part) for part in later]
        found = await self._store.deliveries(names) if names else {}
        return [
            found[name]
            for name in names
            if name in found
            and (found[name].state, found[name].reason) == ("failed", "earlier_part_failed")
        ]

    async def _put_away(self, part: Delivery, conversation: str, epoch: int) -> None:
        if part.state == "again":
            return  # it is put away, or under way, already
        generation = part.generation + 1
        kept_id = f"{part.send_id}~{generation}"
        command = SendText(
            event_id=part.command_id,
            page_id=part.page_id,
            psid=part.psid,
            occurred_at=self._desk.now(),
            origin=part.origin,
            text=part.text,
            turn_id=part.turn_id,
            epoch=epoch,
            by=part.by,
            by_name=part.by_name,
        )
        seq = await self._desk.kept.place(conversation, None)
        await self._desk.kept.add(
            Kept(
                id=kept_id,
                conversation=conversation,
                page_id=part.page_id,
                psid=part.psid,
                seq=seq,
                partition=ANYWHERE,
                offset=ANYWHERE,
                command=encode(command).decode(),
                again=generation,
                part=part.part,
                why="again",
                kept_at=self._desk.now(),
                traceparent=tracing.traceparent(),
            )
        )
        await self._desk.kept.mark(conversation, kept_id)  # last: see `keeper.py`


def _wake(delivery: Delivery, now: datetime) -> SendKept:
    return SendKept(
        event_id=derived_id("send.kept", delivery.send_id, now),
        page_id=delivery.page_id,
        psid=delivery.psid,
        occurred_at=now,
    )
