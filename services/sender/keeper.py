"""Commands that cannot go out for long: put away, in order, and carried out when they can."""

from contextlib import AbstractContextManager
from datetime import timedelta

import structlog
from prometheus_client import Counter

from libs.common import tracing
from libs.common.errors import TransientError
from libs.common.events import SendText, decode, encode
from libs.common.metrics import from_zero
from services.sender.closing import closing_of
from services.sender.delivery import Courier
from services.sender.desk import Desk, PersonErasedError
from services.sender.domain.keeping import Kept, NotNowError
from services.sender.giving_up import give_up
from services.sender.part import Source
from services.sender.repeating import Repeater

BROKEN_AFTER = timedelta(minutes=10)

KEPT = from_zero(
    Counter(
        "assistant_commands_kept_total",
        "Commands put away because they cannot go out for long.",
        ["why"],
    ),
    ["behind", "channel", "token", "limit", "person_limit"],
)

log = structlog.get_logger(__name__)


class Keeper:
    """Carries a person's commands out in their order, now or when it is possible.

    Within one person nothing here runs side by side: the consumer sees to that, and what is put
    away is taken up again by a command of that person's own (`send.kept`).
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._courier = Courier(desk)
        self._repeater = Repeater(desk)

    async def carry_out(self, command: SendText, source: Source) -> None:
        """Return when every part is final and told, or the command is put away; also when whoever
        it is for was erased: then nothing is left of it."""
        try:
            self._desk.check_erased(command)
            await self._courier.deliver(command, source)
        except PersonErasedError:
            log.info("command_of_erased", command_id=command.command_id)
        except NotNowError as not_now:
            await self._keep(command, source, not_now)
            behind = not_now.why == "behind"
            if behind and await closing_of(self._desk, command.page_id) is None:
                await self.take_up(command.conversation_id)

    async def take_up(self, conversation: str) -> None:
        """Carry out what is put away for a person, in order, until something has to wait on."""
        mark = await self._desk.kept.marked(conversation)
        while (kept := await self._desk.kept.first(conversation)) is not None:
            if kept.sleeps(self._desk.now()):
                return
            try:
                with self._traced(kept):
                    await self._carry_out(kept)
            except NotNowError as not_now:
                await self._desk.kept.postpone(kept, not_now, self._desk.now())
                return
            except PersonErasedError:
                log.info("command_of_erased", kept_id=kept.id)
            await self._desk.kept.remove(kept.id)
        if mark is not None:
            await self._desk.kept.unmark(conversation, mark)

    def _traced(self, kept: Kept) -> AbstractContextManager[None]:
        """It goes on in the trace in which it was put away, however long ago that was."""
        return tracing.entry(
            "take up a kept command",
            parent=kept.traceparent,
            linked=True,
            expected=(NotNowError, PersonErasedError),
            reason=kept.why,
            waited_s=round((self._desk.now() - kept.kept_at).total_seconds(), 3),
        )

    async def _carry_out(self, kept: Kept) -> None:
        try:
            command = decode(kept.command.encode())
            if isinstance(command, SendText):
                self._desk.check_erased(command)
                source = Source(kept.partition, kept.offset)
                if kept.again is None:
                    await self._courier.deliver(command, source, kept=True)
                else:
                    await self._repeater.repeat(command, kept, source)
        except (NotNowError, TransientError, OSError, PersonErasedError):
            raise
        except Exception as error:  # ours: nobody must wait for it for ever, nor must it be lost
            log.exception("kept_command_failed", kept_id=kept.id, error=type(error).__name__)
            if kept.is_to_be_given_up(self._desk.now()) and await self._give_up(kept):
                return
            wake_at = self._desk.now() + BROKEN_AFTER
            raise NotNowError("broken", wake_at=wake_at, expires_at=kept.expires_at) from error

    async def _give_up(self, kept: Kept) -> bool:
        try:
            await give_up(self._desk, kept)
        except (TransientError, OSError):
            raise
        except Exception as error:
            log.exception("not_given_up", kept_id=kept.id, error=type(error).__name__)
            return False
        return True

    async def _keep(self, command: SendText, source: Source, not_now: NotNowError) -> None:
        """The mark comes last: whoever reads it finds what it stands for. Until then the command is
        on the log still, and nothing passes it there."""
        self._desk.check_erased(command)
        conversation = command.conversation_id
        seq = await self._desk.kept.place(conversation, not_now.unused_claim)
        kept = Kept(
            id=command.command_id,
            conversation=conversation,
            page_id=command.page_id,
            psid=command.psid,
            seq=seq,
            partition=source.partition,
            offset=source.offset,
            command=encode(command).decode(),
            why=not_now.why,
            kept_at=self._desk.now(),
            wake_at=not_now.wake_at,
            expires_at=not_now.expires_at,
            traceparent=tracing.traceparent(),
        )
        added = await self._desk.kept.add(kept)
        await self._desk.kept.mark(conversation, kept.id)
        if added:
            KEPT.labels(not_now.why).inc()
            log.info("command_kept", command_id=command.command_id, why=not_now.why)
        tracing.note(outcome="kept", reason=not_now.why)
