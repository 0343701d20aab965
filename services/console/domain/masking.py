"""A record's shape without what it says: for people who look for what is wrong with it. Pure.

Shown are names of fields that our records and Messenger's webhooks have, the kinds of what stands
there, how long it is, and the few values that are ours: the type, the version, when it happened.
Everything else was written by somebody, names of unknown fields included.
"""

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from libs.common.events.codec import AnyRecord
from services.console.domain.dead_letters import TYPES

MOST_LINES = 200
MOST_ITEMS = 20
DEEPEST = 8

_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|\+00:00)")
_VERSION = re.compile(r"\d{1,2}\.\d{1,2}")
# fmt: off
_WEBHOOK_FIELDS = frozenset(
    [
        "app_id", "attachments", "changes", "coordinates", "delivery", "edits", "emoji", "entry",
        "field", "id", "is_echo", "is_deleted", "lat", "long", "message", "message_edit",
        "messaging", "metadata", "mid", "mids", "name", "new_owner_app_id", "num_edit", "object",
        "optin", "pass_thread_control", "payload", "postback", "previous_owner_app_id", "reaction",
        "read", "recipient", "ref", "referral", "reply_to", "requested_owner_app_id", "sender",
        "seq", "source", "standby", "sticker_id", "take_thread_control", "text", "time",
        "timestamp", "title", "type", "url", "user_ref", "value", "watermark"
    ]
)
# fmt: on


def masked(value: bytes | None) -> str:
    """For people, like JSON; never a character of what was said."""
    if value is None:
        return "nothing: the record has no value"
    try:
        document = json.loads(value)
    except (ValueError, RecursionError):
        return f"not JSON: {len(value)} bytes"
    lines = list(_lines(document, "", depth=0, at_top=True))
    if len(lines) > MOST_LINES:
        lines = [*lines[:MOST_LINES], f"… and {len(lines) - MOST_LINES} more lines"]
    return "\n".join(lines)


def _lines(value: Any, name: str, *, depth: int, at_top: bool = False) -> Iterator[str]:  # noqa: ANN401
    indent, label = "  " * depth, f"{name}: " if name else ""
    if isinstance(value, dict | list) and value and depth >= DEEPEST:
        yield f"{indent}{label}more, too deep to show"
    elif isinstance(value, dict):
        yield f"{indent}{label}" + ("{" if value else "no fields")
        for key, each in value.items():
            if at_top and (own := _own(key, each)):
                yield f"{indent}  {key}: {own}"
            else:
                yield from _lines(each, _field(key), depth=depth + 1)
        if value:
            yield indent + "}"
    elif isinstance(value, list):
        yield f"{indent}{label}{_counted(len(value), 'item')}"
        for each in value[:MOST_ITEMS]:
            yield from _lines(each, "·", depth=depth + 1)
        if len(value) > MOST_ITEMS:
            yield f"{indent}  … and {len(value) - MOST_ITEMS} more"
    else:
        yield f"{indent}{label}{_kind(value)}"


def _own(key: str, value: object) -> str | None:
    """A value that is of our own making, as it is."""
    if not isinstance(value, str):
        return None
    if key == "type" and value in TYPES:
        return value
    if key == "version" and value.isascii() and _VERSION.fullmatch(value):
        return value
    if key == "occurred_at" and value.isascii() and _MOMENT.fullmatch(value):
        return value
    return None


def _field(key: str) -> str:
    return key if key in _fields() else f"(another field, {_counted(len(key), 'character')})"


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"text, {_counted(len(value), 'character')}"
    return "a number"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _collect(schema: Any) -> Iterator[str]:  # noqa: ANN401 - JSON schema
    if isinstance(schema, dict):
        properties = schema.get("properties")
        if isinstance(properties, dict):
            yield from properties
        for each in schema.values():
            yield from _collect(each)
    elif isinstance(schema, list):
        for each in schema:
            yield from _collect(each)


@cache
def _fields() -> frozenset[str]:
    """Every field that our records have, at whatever depth."""
    adapter: TypeAdapter[AnyRecord] = TypeAdapter(AnyRecord)
    return frozenset(_collect(adapter.json_schema())) | _WEBHOOK_FIELDS
