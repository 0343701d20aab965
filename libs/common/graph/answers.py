"""Graph's answers, taken apart. Whatever Meta did not promise is treated as if it were absent."""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from pydantic_core import from_json

from libs.common.events import UtcDatetime
from libs.common.graph.errors import ErrorBody

MESSAGE_LENGTH = 500  # of Meta's own error text
LONGEST_WAIT_S = 7 * 24 * 3600.0
_SENSIBLE_YEARS = (2020, 2200)
_TRACE = re.compile(r"[\w+/=-]{1,64}", re.ASCII)


class Answer(BaseModel):
    """Frozen, and deaf to what was not asked for."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class _From(Answer):
    id: str


class ThreadMessage(Answer):
    """One message of a thread. `text` is empty for one of attachments only."""

    mid: str = Field(alias="id", min_length=1)
    sender: _From = Field(alias="from")
    text: str = Field("", alias="message")
    created_at: UtcDatetime = Field(alias="created_time")

    @property
    def from_id(self) -> str:
        """The page id or the PSID."""
        return self.sender.id


class Profile(Answer):
    """Who a person is, as far as they let the app see. `profile_pic` expires within days."""

    first_name: str | None = None
    last_name: str | None = None
    name: str | None = None
    profile_pic: str | None = None


class _Paging(Answer):
    next: str | None = None


class Messages(Answer):
    data: tuple[ThreadMessage, ...]
    paging: _Paging = _Paging()


class Conversation(Answer):
    messages: Messages  # a thread without this field was not read


class Conversations(Answer):
    data: tuple[Conversation, ...]
    paging: _Paging = _Paging()


CONVERSATIONS = TypeAdapter(Conversations)
MESSAGE = TypeAdapter(ThreadMessage)
PROFILE = TypeAdapter(Profile)


def parse_object(body: bytes) -> dict[str, Any] | None:
    """The JSON object in `body`, or None if it holds anything else."""
    try:
        document = from_json(body)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def parse_error(document: Mapping[str, Any] | None, *secrets: str) -> ErrorBody | None:
    """The error object, if there is one with a code: without it nothing can be concluded.

    Meta's text may quote what the call said; tokens and other `secrets` are taken out of it.
    """
    error = (document or {}).get("error")
    if not isinstance(error, dict) or (code := _whole(error.get("code"))) is None:
        return None
    message, trace = error.get("message"), error.get("fbtrace_id")
    text = message if isinstance(message, str) else ""
    for secret in filter(None, secrets):
        text = text.replace(secret, "[token]")
    return ErrorBody(
        code=code,
        subcode=_whole(error.get("error_subcode")),
        message=text[:MESSAGE_LENGTH],
        fbtrace_id=trace if isinstance(trace, str) and _TRACE.fullmatch(trace) else None,
    )


def parse_message_id(document: Mapping[str, Any] | None) -> str | None:
    mid = (document or {}).get("message_id")
    return mid if isinstance(mid, str) and mid else None


def parse_retry_after(header: str | None, now: datetime) -> float | None:
    """Seconds from now, given in seconds or as a date; None if it makes no sense."""
    try:
        seconds = float(header or "")
    except ValueError:
        try:
            at = parsedate_to_datetime(header or "")
        except ValueError:
            return None
        seconds = ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds()
    if not math.isfinite(seconds) or seconds <= 0:
        return None
    return min(seconds, LONGEST_WAIT_S)


def parse_date(header: str | None) -> datetime | None:
    """When an answer was made, by Meta's clock, in whole seconds; None if it makes no sense."""
    try:
        at = parsedate_to_datetime(header or "")
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return at.astimezone(UTC) if _SENSIBLE_YEARS[0] <= at.year < _SENSIBLE_YEARS[1] else None


def _whole(value: object) -> int | None:
    """Codes are numbers; digits in a string are taken for one."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    text = value if isinstance(value, str) and len(value) <= 10 else ""
    return int(text) if text.isascii() and text.removeprefix("-").isdecimal() else None
