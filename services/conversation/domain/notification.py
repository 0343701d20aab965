"""What a Page's own webhook is told when a human is wanted. Pure.

The body is what Slack, Mattermost and others with their protocol show, with the facts beside it.
"""

import hashlib
import hmac
import json

from libs.common.events import TakeoverRequested
from services.conversation.domain.failures import words_for

SIGNATURE = "X-Signature-256"
NOTIFICATION_ID = "X-Notification-Id"
_REASONS = {
    "asked": "the person asked for it",
    "angry": "the person is upset",
    "cannot_answer": "the assistant doesn't know the answer",
    "policy": "only people may decide this",
    "model_failed": "the assistant can't answer at the moment",
    "limit_reached": "the day's limit of the assistant is reached",
    "loop_suspected": "another machine seems to be writing",
}


def body_of(event: TakeoverRequested, page_name: str) -> bytes:
    """The same bytes for the same request. Of messages it holds nothing but the summary."""
    why = _REASONS.get(event.reason, event.reason)
    told = f"A human is wanted on “{page_name}”: {why}."
    if event.reason == "model_failed" and event.cause:
        told += f" {words_for(event.cause)}"
    if event.summary:
        told += f"\n> {event.summary}"
    body = {
        "text": _as_slack_shows(told),
        "type": event.type,
        "id": event.event_id,
        "page_id": event.page_id,
        "page_name": page_name,
        "conversation": event.conversation_id,
        "reason": event.reason,
        **({"cause": event.cause} if event.cause else {}),
        "summary": event.summary,
        "requested_at": event.occurred_at.isoformat(),
    }
    return json.dumps(body, ensure_ascii=False).encode()


def headers_of(event: TakeoverRequested, body: bytes, secret: str) -> dict[str, str]:
    """With a signature as Meta makes them, where the channel has a secret.

    The id is the same for each copy: a receiver tells by it that it knows the request already.
    """
    headers = {"Content-Type": "application/json", NOTIFICATION_ID: event.event_id}
    if secret:
        digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        headers[SIGNATURE] = f"sha256={digest}"
    return headers


def _as_slack_shows(text: str) -> str:
    """Without what Slack takes for a link or a call of everybody."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
