"""Quarters of an hour, counted from 1970 in UTC: the unit in which everything is counted.

Every time zone in use today is whole quarters of an hour away from UTC, so that any zone's days,
those with 23 or 25 hours included, can be cut from them exactly.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

SLOT_MS = 15 * 60 * 1000
SLOTS_A_DAY = 96

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_DAY = date(1970, 1, 1)
_MS = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Span:
    """Slots from `first` up to, and without, `end`."""

    first: int
    end: int

    def __len__(self) -> int:
        return self.end - self.first

    def __contains__(self, slot: int) -> bool:
        return self.first <= slot < self.end

    def days(self) -> Iterator[date]:
        """The UTC days that it touches."""
        for number in range(self.first // SLOTS_A_DAY, -(-self.end // SLOTS_A_DAY)):
            yield _FIRST_DAY + timedelta(days=number)


def moment_ms(at: datetime) -> int:
    """Whole milliseconds since 1970, as Meta counts."""
    return (at - _EPOCH) // _MS


def slot_of(at_ms: int) -> int:
    return at_ms // SLOT_MS


def day_of(slot: int) -> date:
    """The UTC day in which a slot lies."""
    return _FIRST_DAY + timedelta(days=slot // SLOTS_A_DAY)


def first_slot(day: date) -> int:
    """The first slot of a UTC day."""
    return (day - _FIRST_DAY).days * SLOTS_A_DAY


def local_day(day: date, zone: ZoneInfo) -> Span:
    """A day as people in that zone live it: 92 to 100 slots where the clocks change."""
    return Span(_midnight(day, zone), _midnight(day + timedelta(days=1), zone))


def local_time(slot: int, zone: ZoneInfo) -> datetime:
    """When a slot begins, on a clock in that zone."""
    return (_EPOCH + timedelta(milliseconds=slot * SLOT_MS)).astimezone(zone)


def _midnight(day: date, zone: ZoneInfo) -> int:
    """Where a day begins. Midnight may not exist, or come twice: then it begins with the change, or
    with the first of the two."""
    begins_at = datetime.combine(day, time(), tzinfo=zone)
    return slot_of(moment_ms(begins_at.astimezone(UTC)))
