"""Lists by time, page by page: a cursor says behind which entry the next page begins.

The order is the latest first; entries of the same moment are told apart by their id, so that no
page skips one.
"""

import base64
import binascii
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema


@dataclass(frozen=True)
class After:
    """Where a page begins: behind this entry."""

    at: datetime
    id: str


def cursor_of(at: datetime, entry_id: str) -> str:
    """What to ask with for the entries behind this one."""
    return base64.urlsafe_b64encode(f"{at.isoformat()}|{entry_id}".encode()).decode()


def _opened(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        moment, _, entry_id = base64.urlsafe_b64decode(value).decode().partition("|")
        return After(datetime.fromisoformat(moment).astimezone(UTC), entry_id)
    except (binascii.Error, ValueError, OverflowError):
        raise ValueError("take it from `next` as it is") from None


Cursor = Annotated[After, BeforeValidator(_opened), WithJsonSchema({"type": "string"})]
"""A field of a query: given as text, taken as `After`."""


def behind(moment: str, after: After | None) -> dict[str, Any]:
    """The filter for what comes after, in a collection ordered by `moment` and `_id`, the latest
    first. By the first of its conditions an index is entered where the page begins, however far
    down that is: the second alone would be looked at from the top."""
    if after is None:
        return {}
    same = {moment: after.at, "_id": {"$lt": after.id}}
    return {moment: {"$lte": after.at}, "$or": [{moment: {"$lt": after.at}}, same]}


def behind_upwards(moment: str, after: After | None) -> dict[str, Any]:
    """The same where the earliest comes first."""
    if after is None:
        return {}
    same = {moment: after.at, "_id": {"$gt": after.id}}
    return {moment: {"$gte": after.at}, "$or": [{moment: {"$gt": after.at}}, same]}
