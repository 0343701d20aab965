"""Which days are asked for, as people live them, and the same number of days before."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from services.analytics.domain.slots import Span, local_day

MAX_DAYS = 400
FIRST_DAY = date(2012, 1, 1)
"""Messenger's platform is younger, and every zone's offset has been whole quarters since."""


class PeriodError(ValueError):
    """What is asked for is no period; `field` is the parameter to change."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True)
class Period:
    """Days in a zone, the first and the last one included."""

    first: date
    last: date
    zone: ZoneInfo

    @property
    def days(self) -> int:
        return (self.last - self.first).days + 1

    @property
    def span(self) -> Span:
        return Span(local_day(self.first, self.zone).first, local_day(self.last, self.zone).end)

    def each_day(self) -> Iterator[tuple[date, Span]]:
        for number in range(self.days):
            day = self.first + timedelta(days=number)
            yield day, local_day(day, self.zone)

    def before(self) -> "Period":
        """The period of the same length that ends where this one begins."""
        length = timedelta(days=self.days)
        return Period(self.first - length, self.last - length, self.zone)


def zone_of(name: str) -> ZoneInfo:
    """Raises: PeriodError."""
    if name not in _zones():
        raise PeriodError("timezone", "no such time zone: use a name like Europe/Berlin or UTC")
    return ZoneInfo(name)


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def today(zone: ZoneInfo, now: datetime) -> date:
    return now.astimezone(zone).date()


def latest_days(days: int, zone: ZoneInfo, now: datetime) -> Period:
    """So many days, of which today is the last one."""
    last = today(zone, now)
    return Period(last - timedelta(days=days - 1), last, zone)


def between(first: date, last: date, zone: ZoneInfo, now: datetime) -> Period:
    """Raises: PeriodError: backwards, too long, or not in Messenger's time."""
    if first > last:
        raise PeriodError("from", "must not be later than `to`")
    if (last - first).days >= MAX_DAYS:
        raise PeriodError("from", f"at most {MAX_DAYS} days at once: ask for a later `from`")
    if first < FIRST_DAY:
        raise PeriodError("from", f"must not be earlier than {FIRST_DAY}")
    if last > today(zone, now):
        raise PeriodError("to", f"must not lie in the future: today is {today(zone, now)} there")
    return Period(first, last, zone)
