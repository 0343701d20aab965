"""What every record on the wire has in common."""

import hashlib
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field


def _to_utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo is UTC else moment.astimezone(UTC)


UtcDatetime = Annotated[AwareDatetime, AfterValidator(_to_utc)]


class Model(BaseModel):
    """Frozen, and tolerant of fields that a newer minor version added."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Record(Model):
    """One record on a topic.

    `version` is `major.minor`: a minor only adds optional fields, so any reader of the same major
    understands it; a reader skips majors it does not know.
    """

    type: str
    version: str = "1.0"
    event_id: str = Field(min_length=1, description="the same for every copy of the same fact")
    page_id: str = Field(min_length=1)
    occurred_at: UtcDatetime = Field(description="when it happened, not when it was heard of")


class ConversationRecord(Record):
    """A record about one page with one person."""

    psid: str = Field(min_length=1, description="page-scoped id of the person")

    @property
    def conversation_id(self) -> str:
        """`page_id:psid`: the key of order, of storage and of everything else."""
        return f"{self.page_id}:{self.psid}"


def conversation_id(page_id: str, psid: str) -> str:
    return f"{page_id}:{psid}"


def derived_id(*parts: object) -> str:
    """An id that is the same whenever it is made from the same parts (26 characters of base 32)."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    number = int.from_bytes(digest[:17], "big") >> 6  # the first 130 bits
    return "".join([_PAIRS[number >> shift & 0x3FF] for shift in _SHIFTS])


_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]  # ten bits at a time
_SHIFTS = range(120, -1, -10)
