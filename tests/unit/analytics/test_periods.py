"""Days as people live them, cut from quarters of an hour."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analytics.domain.periods import Period, PeriodError, between, latest_days, zone_of
from services.analytics.domain.slots import Span, day_of, local_day, local_time, slot_of
from services.analytics.domain.slots import moment_ms as ms

NOW = datetime(2026, 11, 25, 22, 30, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
ZONES = st.sampled_from(
    [
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "Asia/Kolkata",  # + 5:30
        "Asia/Kathmandu",  # + 5:45
        "Australia/Lord_Howe",  # half an hour of summer time
        "Pacific/Chatham",  # + 12:45
        "Pacific/Apia",  # left out a day in 2011
        "America/St_Johns",  # - 3:30
        "Africa/Cairo",  # changes at midnight
        "America/Havana",  # midnight comes twice
        "Atlantic/Azores",
    ]
)


@pytest.mark.parametrize(
    ("day", "zone", "hours"),
    [
        (date(2026, 3, 29), "Europe/Berlin", 23),
        (date(2026, 10, 25), "Europe/Berlin", 25),
        (date(2026, 11, 25), "Europe/Berlin", 24),
        (date(2026, 4, 5), "Australia/Lord_Howe", 24.5),
        (date(2026, 10, 4), "Australia/Lord_Howe", 23.5),
        (date(2026, 4, 24), "Africa/Cairo", 23),  # there is no midnight
        (date(2026, 11, 1), "America/Havana", 25),  # there are two
    ],
)
def test_a_day_is_as_long_as_it_is_there(day: date, zone: str, hours: float) -> None:
    assert len(local_day(day, ZoneInfo(zone))) == hours * 4


def test_a_zone_of_quarters_begins_its_day_in_a_quarter() -> None:
    span = local_day(date(2026, 11, 25), ZoneInfo("Asia/Kathmandu"))
    assert span.first == slot_of(ms(datetime(2026, 11, 24, 18, 15, tzinfo=UTC)))
    assert day_of(span.first) == date(2026, 11, 24)


@given(st.dates(date(2012, 1, 1), date(2030, 1, 1)), st.integers(1, 60), ZONES)
def test_the_days_of_a_period_follow_one_another_without_a_gap(
    first: date, days: int, zone: str
) -> None:
    period = Period(first, first + timedelta(days=days - 1), zone_of(zone))
    spans = [span for _, span in period.each_day()]
    assert len(spans) == period.days == days
    assert spans[0].first == period.span.first
    assert spans[-1].end == period.span.end
    assert all(one.end == other.first for one, other in pairwise(spans))
    assert period.before().span.end == period.span.first
    for day, span in period.each_day():
        assert local_time(span.first, period.zone).date() == day
        assert local_time(span.end - 1, period.zone).date() == day


def test_a_span_names_the_utc_days_it_touches() -> None:
    assert [*Span(95, 97).days()] == [date(1970, 1, 1), date(1970, 1, 2)]
    assert [*Span(96, 192).days()] == [date(1970, 1, 2)]


def test_the_latest_days_end_today_as_it_is_there() -> None:
    tokyo = ZoneInfo("Asia/Tokyo")  # where it is the 26th already
    period = latest_days(7, tokyo, NOW)
    assert (period.first, period.last) == (date(2026, 11, 20), date(2026, 11, 26))
    assert (period.before().first, period.before().last) == (date(2026, 11, 13), date(2026, 11, 19))


@pytest.mark.parametrize(
    ("first", "last", "field"),
    [
        (date(2026, 11, 2), date(2026, 11, 1), "from"),
        (date(2025, 1, 1), date(2026, 11, 1), "from"),
        (date(2011, 12, 31), date(2012, 1, 1), "from"),
        (date(2026, 11, 1), date(2026, 11, 26), "to"),
        (date(1, 1, 1), date(1, 1, 2), "from"),
    ],
)
def test_what_is_no_period_is_refused_by_name(first: date, last: date, field: str) -> None:
    with pytest.raises(PeriodError) as refused:
        between(first, last, BERLIN, NOW)
    assert refused.value.field == field


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "../etc/passwd", "America", "europe/berlin "])
def test_no_zone_is_refused_by_name(name: str) -> None:
    with pytest.raises(PeriodError) as refused:
        zone_of(name)
    assert refused.value.field == "timezone"
