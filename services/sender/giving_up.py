"""The end of what was put away and cannot be carried out by a mistake of our own.

Whatever breaks it again and again, the person's later messages must not wait behind it for ever.
"""

from contextlib import suppress

import structlog

from libs.common.channels import ChannelSettings
from libs.common.errors import TransientError
from libs.common.events import SendText, UndecodableRecordError, decode
from services.sender.desk import Desk
from services.sender.domain.claims import Sending, is_in_doubt
from services.sender.domain.deliveries import Delivery, event_of
from services.sender.domain.keeping import Kept
from services.sender.domain.outline import Outline
from services.sender.domain.parts import plan_parts, send_id
from services.sender.part import PARTS

REASON = "internal"
FAILED = "The message could not be handled, because of a mistake in this software."
UNKNOWN = (
    "Because of a mistake in this software it is not known whether Facebook took the message. "
    "Whether it arrived has to be seen in Facebook's own inbox."
)
ADVICE = "Send it again. If that fails too, report it, with the log lines kept_command_failed."

log = structlog.get_logger(__name__)


async def give_up(desk: Desk, kept: Kept) -> None:
    """Record and tell what has no final state yet: failed, or held if it may have been sent.

    Raises:
        TransientError: something is away; another run goes on from here.
    """
    snapshot = await desk.store.conversation(kept.conversation)
    sending = snapshot.sending if snapshot else None
    if sending is not None and (sending.unused or desk.memory.is_unused(sending.claim_id)):
        sending = None
    if kept.again is not None:
        await _give_up_again(desk, kept, sending)
        return
    command = _command_of(kept)
    outline = Outline(await _texts(desk, command))
    part = 0
    while part < len(outline):  # what went out differently may make it grow
        name = send_id(command.command_id, part)
        recorded = await desk.store.delivery(name)
        if recorded is None:
            in_doubt = sending is not None and is_in_doubt(sending, command.command_id, part)
            if in_doubt and sending is not None and sending.send_id == name:
                outline.settle(part, sending.text)
            unfinished = Delivery(
                send_id=name,
                command_id=command.command_id,
                page_id=command.page_id,
                psid=command.psid,
                part=part,
                parts=len(outline),
                origin=command.origin,
                turn_id=command.turn_id,
                by=command.by,
                by_name=command.by_name,
                text=outline[part],
                state="failed",
                rule=REASON,
                at=desk.now(),
            )
            recorded = await _conclude(desk, unfinished, sending if in_doubt else None)
        outline.settle(part, recorded.text)
        part += 1


async def _give_up_again(desk: Desk, kept: Kept, sending: Sending | None) -> None:
    """Where it was not opened yet it still is what it was before: held or failed, and listed."""
    name, _, _ = kept.id.rpartition("~")
    recorded = await desk.store.delivery(name)
    if recorded is None or (recorded.state, recorded.generation) != ("again", kept.again):
        return
    ours = sending is not None and (sending.send_id, sending.generation) == (name, kept.again)
    await _conclude(desk, recorded, sending if ours else None)


async def _conclude(desk: Desk, delivery: Delivery, claim: Sending | None) -> Delivery:
    """`claim`: under which it may have been sent."""
    final = delivery.model_copy(
        update={
            "state": "held" if claim else "failed",
            "rule": REASON,
            "reason": REASON,
            "explanation": UNKNOWN if claim else FAILED,
            "advice": "" if claim else ADVICE,
            "since": claim.first_claimed_at if claim else None,
            "since_by_meta": claim is not None and claim.by_meta,
            "at": desk.now(),
        }
    )
    recorded = await desk.store.finish(final)
    PARTS.labels(recorded.state).inc()
    log.error("kept_command_given_up", send_id=recorded.send_id, state=recorded.state)
    if recorded.state != "again":
        await desk.publisher.publish(event_of(recorded))
    return recorded


def _command_of(kept: Kept) -> SendText:
    """What was put away, or what is known of it where it cannot be read."""
    with suppress(UndecodableRecordError):
        command = decode(kept.command.encode())
        if isinstance(command, SendText):
            return command
    return SendText(
        event_id=kept.id,
        page_id=kept.page_id,
        psid=kept.psid,
        occurred_at=kept.kept_at,
        origin="assistant",
        text="",
    )


async def _texts(desk: Desk, command: SendText) -> list[str]:
    """Its parts, as far as they can still be told: planning them may be the very mistake."""
    try:
        channel = await desk.channels.channel(command.page_id)
        limit = (channel.settings if channel else ChannelSettings()).max_message_length
        return plan_parts(command.text, origin=command.origin, limit=limit) or [command.text]
    except (TransientError, OSError):
        raise
    except Exception:
        return [command.text]
