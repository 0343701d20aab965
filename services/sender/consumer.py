"""Commands of one conversation in, messages to the person out."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import structlog
from prometheus_client import Histogram

from libs.common import tracing
from libs.common.events import SendAction, SendKept, SendText, UndecodableRecordError, decode
from libs.common.kafka.traces import processing
from services.sender.actions import ActionShower
from services.sender.desk import PersonErasedError
from services.sender.draining import DrainingError
from services.sender.keeper import Keeper
from services.sender.part import Source

if TYPE_CHECKING:
    from collections.abc import Mapping

    from libs.common.kafka import ConsumedRecord, KeyBatch
    from services.sender.desk import Desk

SEND_TEXT = b"send.text"
WANTED = frozenset({SEND_TEXT, b"send.action", b"send.kept"})

COMMAND_SECONDS = Histogram(
    "assistant_command_seconds",
    "From a command in hand to all its parts final and told.",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300),
)


def wants(headers: Mapping[str, bytes]) -> bool:
    """Of the commands topic, what this service can do."""
    return headers.get("type") in WANTED and headers.get("version", b"").startswith(b"1.")


def order_key(record: ConsumedRecord) -> bytes:
    """Order is kept per person; the record's own key is the whole Page."""
    return record.headers.get("conversation") or record.key


class CommandHandler:
    """Carries out everything that waits for one person, in the order of the log."""

    def __init__(self, desk: Desk, group: str = "sender") -> None:
        self._desk = desk
        self._group = group
        self._keeper = Keeper(desk)
        self._actions = ActionShower(desk)

    async def handle(self, batch: KeyBatch) -> None:
        """Return when all effects of the batch are durable. Handling it again repeats none."""
        conversation = batch.key.decode("utf-8", "replace")
        records = list(batch.records)
        with structlog.contextvars.bound_contextvars(conversation=conversation):
            for index, record in enumerate(records):
                with processing(
                    record, self._group, expected=(DrainingError,)
                ):  # each is of a trace of its own
                    tracing.note(conversation=conversation)
                    await self._carry_out(record, text_follows=_any_text(records[index + 1 :]))

    async def _carry_out(self, record: ConsumedRecord, *, text_follows: bool) -> None:
        command = decode(record.value)
        if isinstance(command, SendText):
            with COMMAND_SECONDS.time():
                await self._keeper.carry_out(command, Source(record.partition, record.offset))
        elif isinstance(command, SendAction):
            with suppress(PersonErasedError):
                self._desk.check_erased(command)
                await self._actions.show(command, text_follows=text_follows)
        elif isinstance(command, SendKept):
            await self._keeper.take_up(command.conversation_id)
        else:
            raise UndecodableRecordError("not a command, though its header says so")


def _any_text(records: list[ConsumedRecord]) -> bool:
    return any(record.headers.get("type") == SEND_TEXT for record in records)
