"""What became of one part, as it is stored and as it is told.

The stored form holds everything the event says: after a crash between the two, the event is made
again from it, the same to the last byte.
"""

from typing import Any, Literal

from pydantic import ConfigDict, Field

from libs.common.events import (
    MessageFailed,
    MessageHeld,
    MessageSent,
    Model,
    UtcDatetime,
    conversation_id,
    derived_id,
)
from libs.common.events.outcomes import Origin

DeliveryState = Literal["sent", "failed", "held", "again"]
"""`again`: not final any more, a person has it sent once more."""
OutcomeEvent = MessageSent | MessageFailed | MessageHeld


class Delivery(Model):
    """The final state of one part; `send_id` is the document's `_id`.

    A part gets a new generation each time a person has it sent again. A final state of a generation
    changes only from held, or discarded, to sent: when evidence comes late.
    """

    model_config = ConfigDict(populate_by_name=True)

    send_id: str = Field(alias="_id")
    command_id: str
    page_id: str
    psid: str
    part: int
    parts: int
    origin: Origin
    turn_id: str | None = None
    epoch: int | None = Field(None, description="of the takeover, as the turn began with it")
    by: str | None = Field(None, description="who wrote a human's text")
    by_name: str | None = None
    text: str
    state: DeliveryState
    rule: str
    at: UtcDatetime = Field(description="whole milliseconds: more is not stored")
    generation: int = 0
    attempts: int = Field(0, description="how often it was posted to Meta")
    since: UtcDatetime | None = Field(None, description="of a held part: when it may have gone out")
    since_by_meta: bool = Field(False, description="whether that moment is by Meta's clock")
    mid: str | None = None
    messaging_type: str | None = None
    tag: str | None = None
    window_expires_at: UtcDatetime | None = None
    reason: str | None = None
    explanation: str = ""
    advice: str = ""
    error_code: int | None = None
    error_subcode: int | None = None
    fbtrace_id: str | None = None
    meta_message: str | None = Field(None, description="what Meta said, redacted")

    def to_document(self) -> dict[str, Any]:
        conversation = conversation_id(self.page_id, self.psid)
        return {**self.model_dump(by_alias=True), "conversation": conversation}


def event_of(delivery: Delivery) -> OutcomeEvent:
    """The fact to publish. Its id follows from send id, generation and state: a repeat is the same
    event. `again` is no fact."""
    generation = (delivery.generation,) if delivery.generation else ()
    shared = {
        "event_id": derived_id(f"message.{delivery.state}", delivery.send_id, *generation),
        "page_id": delivery.page_id,
        "psid": delivery.psid,
        "occurred_at": delivery.at,
        "command_id": delivery.command_id,
        "send_id": delivery.send_id,
        "part": delivery.part,
        "parts": delivery.parts,
        "origin": delivery.origin,
        "turn_id": delivery.turn_id,
        "epoch": delivery.epoch,
        "by": delivery.by,
        "by_name": delivery.by_name,
        "text": delivery.text,
        "rule": delivery.rule,
    }
    if delivery.state == "sent":
        return MessageSent.model_validate(
            {
                **shared,
                "mid": delivery.mid,
                "messaging_type": delivery.messaging_type,
                "tag": delivery.tag,
                "window_expires_at": delivery.window_expires_at,
                "attempts": delivery.attempts,
            }
        )
    explained = {**shared, "reason": delivery.reason, "explanation": delivery.explanation}
    if delivery.state == "held":
        return MessageHeld.model_validate(explained)
    return MessageFailed.model_validate(
        {
            **explained,
            "advice": delivery.advice,
            "tag": delivery.tag,
            "window_expires_at": delivery.window_expires_at,
            "error_code": delivery.error_code,
            "error_subcode": delivery.error_subcode,
            "fbtrace_id": delivery.fbtrace_id,
            "meta_message": delivery.meta_message,
        }
    )
