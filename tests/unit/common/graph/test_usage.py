"""Usage headers: the Page's largest share counts, and nothing in them can raise."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.graph import Usage, parse_usage
from libs.common.graph.answers import parse_date, parse_retry_after

APP = json.dumps({"call_count": 28, "total_time": 25, "total_cputime": 25})
PAGE = "1052938400"
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def business(**report: object) -> str:
    return json.dumps({PAGE: [{"type": "messenger", **report}]})


def told(**by_owner: list[dict[str, object]]) -> Usage | None:
    """`own`: the Page's entry; others under their names."""
    reports = {PAGE if owner == "own" else owner: each for owner, each in by_owner.items()}
    return parse_usage({"X-Business-Use-Case-Usage": json.dumps(reports)}, PAGE)


FULL = {"call_count": 100, "estimated_time_to_regain_access": 120}


@pytest.mark.parametrize(
    ("headers", "usage"),
    [
        ({}, None),
        ({"X-App-Usage": APP}, Usage(28.0)),
        (
            {"X-Business-Use-Case-Usage": business(call_count=95, total_time=208)},
            Usage(208.0),
        ),
        (
            {
                "X-App-Usage": APP,
                "X-Business-Use-Case-Usage": business(
                    call_count=5, estimated_time_to_regain_access=3
                ),
            },
            Usage(28.0, 180.0),
        ),
        ({"X-Business-Use-Case-Usage": json.dumps({"1": [], "2": None, "3": [1]})}, None),
        ({"X-App-Usage": "{}"}, Usage(0.0)),
        ({"X-App-Usage": '{"call_count": "many", "total_time": true}'}, Usage(0.0)),
        ({"X-App-Usage": '{"call_count": -3, "total_time": 1e999}'}, Usage(0.0)),
        ({"X-App-Usage": '{"call_count": NaN, "total_time": 4}'}, Usage(4.0)),
        ({"X-App-Usage": f'{{"call_count": {"9" * 400}}}'}, Usage(0.0)),
        ({"X-App-Usage": "[" * 5000}, None),
        ({"X-App-Usage": '{"call_count": 28'}, None),
        ({"X-App-Usage": "[28]"}, None),
        ({"X-App-Usage": ""}, None),
    ],
)
def test_usage(headers: dict[str, str], usage: Usage | None) -> None:
    assert parse_usage(headers, PAGE) == usage


def test_where_the_page_has_an_entry_no_other_counts() -> None:
    own: list[dict[str, object]] = [{"type": "messenger", "call_count": 3}]
    assert told(other=[{"type": "messenger", **FULL}], own=own) == Usage(3.0)


def test_where_it_has_none_it_may_be_among_those_of_its_business() -> None:
    assert told(business=[{"type": "messenger", **FULL}]) == Usage(100.0, 7200.0)
    assert told(business=[{"type": "pages", "call_count": 80}]) == Usage(80.0)


@pytest.mark.parametrize("kind", ["instagram", "ads_management", "custom_audience", None, 7])
@pytest.mark.parametrize("owner", ["own", "other"])
def test_what_is_used_by_other_products_stops_no_page(owner: str, kind: object) -> None:
    assert told(**{owner: [{"type": kind, **FULL}]}) is None
    mixed: list[dict[str, object]] = [{"type": kind, **FULL}, {"type": "pages", "call_count": 3}]
    assert told(**{owner: mixed}) == Usage(3.0)


kinds = st.sampled_from(["messenger", "pages", "instagram", "ads_insights"])
reports = st.lists(
    st.fixed_dictionaries(
        {
            "type": kinds,
            "call_count": st.integers(0, 200),
            "estimated_time_to_regain_access": st.integers(0, 500),
        }
    ),
    max_size=4,
)


@given(reports, st.dictionaries(st.text(max_size=5), reports, max_size=4), st.text(max_size=5))
def test_nobody_elses_usage_changes_what_the_pages_own_entry_says(
    own: list[dict[str, object]], others: dict[str, list[dict[str, object]]], after: str
) -> None:
    alone = told(own=own)
    assert told(**{**others, "own": own, f"{after}+": others.get(after, [])}) == alone
    ours = [each for each in own if each["type"] in ("messenger", "pages")]
    assert alone == (told(own=ours) if ours else None)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["call_count", "total_time", "estimated_time_to_regain_access", "1"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@given(json_values.map(json.dumps) | st.text(), json_values.map(json.dumps) | st.text())
def test_no_header_can_raise_or_ask_for_nonsense(app: str, by_business: str) -> None:
    usage = parse_usage({"X-App-Usage": app, "X-Business-Use-Case-Usage": by_business}, "1")
    assert usage is None or (0 <= usage.percent <= 1e6 and 0 <= usage.regain_s <= 6e7)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("120", 120.0),
        ("0", None),
        ("nan", None),
        ("Wed, 25 Nov 2026 12:01:00 GMT", 60.0),
        ("Wed, 25 Nov 2026 12:01:00 -0000", 60.0),
        ("Wed, 25 Nov 2026 11:59:00 GMT", None),
        ("Wed, 25 Nov 9999 12:00:00 GMT", timedelta(days=7).total_seconds()),
    ],
)
def test_retry_after(header: str | None, seconds: float | None) -> None:
    assert parse_retry_after(header, NOW) == seconds


@given(st.text() | st.text("0123456789:+-,GMTWedNov ", max_size=40))
def test_no_retry_after_can_raise_or_wait_for_ever(header: str) -> None:
    seconds = parse_retry_after(header, NOW)
    assert seconds is None or 0 < seconds <= timedelta(days=7).total_seconds()


@pytest.mark.parametrize(
    ("header", "date"),
    [
        ("Wed, 25 Nov 2026 12:00:00 GMT", NOW),
        ("Wed, 25 Nov 2026 13:00:00 +0100", NOW),
        ("Wed, 25 Nov 9999 12:00:00 GMT", None),
        ("Thu, 01 Jan 1970 00:00:00 GMT", None),
        ("1764072000", None),
        ("", None),
        (None, None),
    ],
)
def test_date(header: str | None, date: datetime | None) -> None:
    assert parse_date(header) == date


@given(st.text() | st.text("0123456789:+-,GMTWedNov ", max_size=40))
def test_no_date_can_raise_or_be_nonsense(header: str) -> None:
    date = parse_date(header)
    assert date is None or (2019 <= date.year <= 2200 and date.tzinfo is UTC)
