"""`python -m services.sender.restored --since MOMENT`: what was sent since a copy of the database.

A database that is restored from a copy does not know what became of messages since. Commands that
were put away then would go out once more. The log knows: this writes every part's final state that
it tells, where the database has none or an older one, so that nothing is sent twice. To be run
before a sender starts; repeatable.

Reads the KAFKA_ and MONGODB_ variables. Ends with 0 if all was done, 1 if not.
"""

import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from libs.common.erasures import is_of_erased, known_erased
from libs.common.events import (
    AnyRecord,
    MessageEchoed,
    MessageFailed,
    MessageHeld,
    MessageSent,
)
from libs.common.kafka.since import events_since
from libs.common.mongo import Database, DuplicateKeyError, mongo_errors
from libs.common.restoring import run_restore
from libs.common.settings import KafkaSettings
from libs.common.topics import EVENTS
from services.sender.domain.deliveries import Delivery

WANTED = {b"message.sent", b"message.failed", b"message.held", b"message.echoed"}
BY_ECHO = "found_by_echo"
_STATES = {"message.sent": "sent", "message.failed": "failed", "message.held": "held"}
_SAME = frozenset(Delivery.model_fields)


def delivery_of(event: AnyRecord) -> Delivery | None:
    """The final state that an event tells; None: it tells none of a part of ours."""
    if isinstance(event, MessageSent | MessageFailed | MessageHeld):
        facts = event.model_dump(include=set(_SAME))
        return Delivery.model_validate(
            {**facts, "state": _STATES[event.type], "at": event.occurred_at}
        )
    if isinstance(event, MessageEchoed) and event.send_id is not None:
        command_id, _, part = event.send_id.rpartition(":")
        if command_id and part.isdecimal():
            return Delivery(
                send_id=event.send_id,
                command_id=command_id,
                page_id=event.page_id,
                psid=event.psid,
                part=int(part),
                parts=int(part) + 1,
                origin="assistant",  # whoever wrote it: the echo does not say
                text=event.text or "",
                state="sent",
                rule=BY_ECHO,
                mid=event.mid,
                messaging_type="RESPONSE",
                at=event.occurred_at,
            )
    return None


async def note(database: Database, delivery: Delivery) -> bool:
    """Write a part's state unless the database knows a later one; whether that was needed.

    An echo stands for nothing but that the part was sent: it changes no state but `held`.
    """
    deliveries = database["deliveries"]
    document = delivery.to_document()
    changes = {name: value for name, value in document.items() if name != "_id"}
    older: dict[str, Any] = {"_id": delivery.send_id, "at": {"$lt": delivery.at}}
    if delivery.rule == BY_ECHO:
        older["state"] = "held"
        changes = {name: document[name] for name in ("state", "rule", "mid", "at")}
    elif delivery.state == "sent":  # the echo may have come first, and tells less
        older = {"_id": delivery.send_id, "$or": [{"at": older["at"]}, {"rule": BY_ECHO}]}
    try:
        with mongo_errors():
            await deliveries.insert_one(document)
    except DuplicateKeyError:
        with mongo_errors():
            done = await deliveries.update_one(older, {"$set": changes})
        return bool(done.modified_count)
    return True


async def restore(
    database: Database, kafka: KafkaSettings, since: datetime, topic: str = EVENTS
) -> tuple[int, int]:
    """Read the log from then on; how many states it tells, and how many were not known.

    Raises:
        TransientError: Kafka or the database is away. What was written is right, and not all.
    """
    told = known = 0
    async with known_erased(database) as erased:
        async for event in events_since(kafka, topic, since, WANTED):
            delivery = delivery_of(event)
            if delivery is not None and not is_of_erased(erased, event):
                told += 1
                known += not await note(database, delivery)
    return told, told - known


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status."""
    return run_restore(
        "sender",
        restore,
        description="Take what was sent since a copy of the database from the log.",
        done="{} states of parts since then, {} of them were not known",
        arguments=arguments,
    )


if __name__ == "__main__":
    sys.exit(main())
