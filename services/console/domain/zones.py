"""Time zones by their IANA names."""

from datetime import datetime
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

DEFAULT = "UTC"
_NO_PLACES = {"Factory", "localtime"}


@cache
def zones() -> tuple[str, ...]:
    """All that there are, in the order of their names; places before the abbreviations."""
    known = set(available_timezones()) - _NO_PLACES
    return tuple(sorted(known, key=lambda each: ("/" not in each, each)))


def known_zone(name: str) -> str:
    """The name as it is spelt, whatever its case. Raises: ValueError: there is none like it."""
    found = _spelling().get(name.strip().replace(" ", "_").casefold())
    if found is None:
        raise ValueError("Choose one of the list, such as Europe/Berlin or UTC")
    return found


@cache
def _spelling() -> dict[str, str]:
    return {each.casefold(): each for each in zones()}


def clock_in(zone: str, at: datetime) -> str:
    """The time of day there, such as 14:03."""
    return f"{at.astimezone(ZoneInfo(zone)):%H:%M}"
