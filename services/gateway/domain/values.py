"""Reading JSON values that somebody else wrote: what is usable comes back, the rest does not raise.

Meta writes ids as strings, numbers or null, moments in seconds, milliseconds or as text, and
truth as `true` or `"true"`. What leaves here can always be written as UTF-8 JSON.
"""

import json
import math
import re
from datetime import UTC, datetime, timedelta
from typing import Any

MAX_DEPTH = 100
"""Nesting of one webhook: Meta's own goes to about ten, and pydantic writes no more than 255."""

RAW_CHARACTERS = 300_000
"""Longest JSON text kept of what we don't understand: quoted once more, it still fits a record."""

CLOCK_TOLERANCE = timedelta(minutes=5)
"""A moment further in the future than this is not believed: it would keep a window open."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_MILLISECONDS = 10**12  # smaller numbers are seconds: 10^12 ms is September 2001
_LAST_MILLISECONDS = 253_402_300_799_999  # the end of the year 9999
_INT64 = 2**63

_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")  # no ":", which separates page and person in a key
_MID = re.compile(r"[\x21-\x7e]{1,512}")
_DIGITS = re.compile(r"[0-9]{1,19}")
_UNWRITABLE = re.compile(r"[\x00\ud800-\udfff]")


def identifier(value: object) -> str | None:
    """A page's, person's or app's id as text; None if there is no usable one."""
    if type(value) is int and 0 <= value < 10**20:
        return str(value)
    return value if isinstance(value, str) and _ID.fullmatch(value) else None


def message_id(value: object) -> str | None:
    """A `mid`: opaque, printable ASCII."""
    return value if isinstance(value, str) and _MID.fullmatch(value) else None


def text(value: object) -> str | None:
    """Text that can be written as UTF-8: U+FFFD stands for NUL and for halves of surrogate pairs.

    None for anything but a string.
    """
    if not isinstance(value, str):
        return None
    if value.isascii() and "\x00" not in value:
        return value
    return _UNWRITABLE.sub("\ufffd", value)


def is_true(value: object) -> bool:
    return value is True or (isinstance(value, str) and value.lower() == "true")


def whole_number(value: object) -> int | None:
    """A non-negative integer of at most 63 bits, from a number or from digits."""
    if isinstance(value, str):
        value = int(value) if _DIGITS.fullmatch(value) else None
    if isinstance(value, float):
        value = int(value) if math.isfinite(value) else None
    return value if type(value) is int and 0 <= value < _INT64 else None


def milliseconds(value: object) -> int | None:
    """Milliseconds since 1970 from seconds or milliseconds; None if there is no such moment."""
    if type(value) is int and _FIRST_MILLISECONDS <= value <= _LAST_MILLISECONDS:
        return value  # as it nearly always is
    number = whole_number(value)
    if number is None:
        return None
    number = number * 1000 if number < _FIRST_MILLISECONDS else number
    return number if number <= _LAST_MILLISECONDS else None


def moment(received_at: datetime, *candidates: object) -> datetime:
    """When something happened: the first moment that is readable and does not lie in the future.

    None of them is: when it was received.
    """
    for candidate in candidates:
        since = milliseconds(candidate)
        if since is not None:
            found = _EPOCH + timedelta(milliseconds=since)
            if found <= received_at + CLOCK_TOLERANCE:
                return found
    return received_at


def plain(value: object, depth: int = 0) -> Any:  # noqa: ANN401 - JSON
    """The same JSON value, fit for UTF-8 JSON and for MongoDB.

    Integers beyond 64 bits become text, infinities null, NULs and broken surrogates U+FFFD (in
    keys, too), and what is nested deeper than `MAX_DEPTH` is cut.
    """
    if isinstance(value, str):
        return text(value)
    if isinstance(value, dict | list) and depth >= MAX_DEPTH:
        return "[nested too deeply]"
    if isinstance(value, dict):
        return {text(str(key)): plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item, depth + 1) for item in value]
    if type(value) is int and not -_INT64 <= value < _INT64:
        return str(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def json_text(value: object, *, canonical: bool = False) -> str:
    """Compact ASCII JSON; `canonical` sorts the keys, so that equal values have equal texts."""
    try:
        return _dumps(value, canonical)
    except (ValueError, RecursionError):  # an infinity, or nested deeper than Python can write
        return _dumps(plain(value), canonical)


def _dumps(value: object, canonical: bool) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False, sort_keys=canonical)
