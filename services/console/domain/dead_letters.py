"""Dead letters: what is known of one, whose it is, and whether it can be put back. Pure.

Of the record itself nothing is kept but its size and when it happened.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from libs.common.events.codec import ALL_RECORDS
from libs.common.topics import DEAD_LETTER_PREFIX

State = Literal["open", "replaying", "replayed", "discarded"]
Obstacle = Literal["no_source", "erased"]

TYPES = {model.model_fields["type"].default for models in ALL_RECORDS.values() for model in models}
OBSTACLES: Mapping[Obstacle, str] = {
    "no_source": "It does not say which topic it came from, so it can't be put back.",
    "erased": "The person's data were erased: what was said before is not brought back. The record "
    "goes with the topic's time.",
}
"""Why one can't be put back, in words."""

_ID = re.compile(r"(\d{1,4})-(\d{1,18})-(\d{1,15})")
_PAGE = re.compile(r"\d{1,32}")
_PERSON = re.compile(r"[^:\s]{1,64}")
_SERVICE = re.compile(r"[a-z][a-z-]{0,39}")
_ERROR = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,79}(/[a-z0-9_]{1,60})?")
_NUMBER = re.compile(r"\d{1,18}")


@dataclass(frozen=True)
class Place:
    """Where a letter lies. The moment belongs to its name: a topic made anew begins with 0."""

    partition: int
    offset: int
    timestamp_ms: int

    def __str__(self) -> str:
        return f"{self.partition}-{self.offset}-{self.timestamp_ms}"

    @classmethod
    def parse(cls, text: str) -> "Place | None":
        found = _ID.fullmatch(text) if text.isascii() else None
        return cls(*map(int, found.groups())) if found else None


@dataclass(frozen=True)
class Letter:
    """One dead letter; None: its headers don't tell, or not as ours do.

    Args:
        topic: where it came from, one that exists.
        page_id: None as well where record and key disagree: then it is nobody's.
        conversation: `page_id:psid`, to find out whether the person was erased.
    """

    place: Place
    topic: str | None
    source: tuple[int, int] | None  # partition and offset there
    service: str | None
    error: str | None
    attempts: int | None
    type: str | None
    page_id: str | None
    conversation: str | None = field(repr=False)
    occurred_at: datetime | None
    size_bytes: int

    @property
    def id(self) -> str:
        return str(self.place)

    @property
    def written_at(self) -> datetime:
        return datetime.fromtimestamp(self.place.timestamp_ms / 1000, UTC)

    def obstacle(self, erased_at: datetime | None) -> Obstacle | None:
        """Why it can't be put back.

        Args:
            erased_at: up to when its person was erased. A record that does not say when it
                happened did so before it died.
        """
        if erased_at is not None and (self.occurred_at or self.written_at) <= erased_at:
            return "erased"
        return "no_source" if self.topic is None else None


def letter_of(
    place: Place, key: bytes, value: bytes | None, headers: Mapping[str, bytes]
) -> Letter:
    """Whatever lies on the topic: nothing in it is believed that does not look like ours."""

    def told(name: str, pattern: re.Pattern[str]) -> str | None:
        text = headers.get(name, b"").decode("ascii", "replace")
        return text if pattern.fullmatch(text) else None

    def fact(name: str, pattern: re.Pattern[str]) -> str | None:
        return told(DEAD_LETTER_PREFIX + name, pattern)

    topic = headers.get(f"{DEAD_LETTER_PREFIX}topic", b"").decode("ascii", "replace")
    partition, offset = fact("partition", _NUMBER), fact("offset", _NUMBER)
    attempts = fact("attempts", _NUMBER)
    kind = headers.get("type", b"").decode("ascii", "replace")
    record = _record(value)
    page_id, psid = _whose(key, headers, record)
    return Letter(
        place=place,
        topic=topic if topic in ALL_RECORDS else None,
        source=(int(partition), int(offset)) if partition and offset else None,
        service=fact("service", _SERVICE),
        error=fact("error", _ERROR),
        attempts=int(attempts) if attempts else None,
        type=kind if kind in TYPES else None,
        page_id=page_id,
        conversation=f"{page_id}:{psid}" if page_id and psid else None,
        occurred_at=_moment(record.get("occurred_at")),
        size_bytes=len(value or b""),
    )


def _record(value: bytes | None) -> dict[str, object]:
    try:
        found = json.loads(value or b"")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _whose(
    key: bytes, headers: Mapping[str, bytes], record: Mapping[str, object]
) -> tuple[str | None, str | None]:
    """Page and person, where all that names them agrees."""
    names = [each.decode("ascii", "replace") for each in (key, headers.get("conversation", b""))]
    pages = {name.partition(":")[0] for name in names if name}
    people = {person for name in names if (person := name.partition(":")[2])}
    if "page_id" in record:
        pages.add(str(record["page_id"]))
    if "psid" in record:
        people.add(str(record["psid"]))
    page_id, psid = _only(pages, _PAGE), _only(people, _PERSON)
    if len(people) > 1:
        return None, None
    return page_id, psid


def _only(names: set[str], pattern: re.Pattern[str]) -> str | None:
    if len(names) != 1:
        return None
    (name,) = names
    return name if pattern.fullmatch(name) else None


def _moment(text: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is not None else None
