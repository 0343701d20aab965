"""How figures are told and drawn: nothing is rounded to all or none, and pictures are true."""

from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analytics.domain.causes import CAUSES as KNOWN_CAUSES
from services.console.domain import charts, zones
from services.console.domain.analytics import (
    CAUSES,
    DEFINITIONS,
    card_groups,
    reasons,
    troubles,
)
from services.console.domain.analytics_words import (
    change_of_count,
    change_of_duration,
    change_of_share,
    duration,
    percent,
)
from services.console.domain.figures import Day, Report

BEFORE = "the 7 days before"
FIRST = date(2026, 2, 24)  # a Tuesday
counts = st.integers(0, 10**9)


def plain(words: str) -> str:
    return words.replace("\N{NARROW NO-BREAK SPACE}", " ")


def day(number: int, inbound: int = 0, outbound: int = 0, *, so_far: bool = False) -> Day:
    return Day(
        day=FIRST + timedelta(days=number),
        so_far=so_far,
        inbound=inbound,
        outbound=outbound,
        delivered=0,
        read=0,
        failed=0,
        active_conversations=0,
        new_conversations=0,
        answered=0,
        answered_by_assistant=0,
        first_answer_median_s=None,
        first_answer_p95_s=None,
        hand_overs_requested=0,
        hand_overs_started=0,
        hand_overs_ended=0,
    )


def report(
    *, inbound: int = 0, before: int = 0, failures: list[dict[str, object]] | None = None
) -> Report:
    def figures(first: date, number: int, failed: list[dict[str, object]]) -> dict[str, object]:
        return {
            "period": {
                "from": first,
                "to": first + timedelta(days=6),
                "days": 7,
                "today_so_far": first == FIRST,
            },
            "messages": {
                "total": number,
                "inbound": number,
                "outbound": 0,
                "outbound_by": {},
                "delivered": 0,
                "read": 0,
                "failed": len(failed),
            },
            "rates": {"delivery": None, "read": None},
            "failures": failed,
            "first_answer": {"count": 0, "median_s": None, "p95_s": None, "relative_error": 0.02},
            "answered": {"total": 0, "by": {}, "assistant_share": None},
            "hand_overs": {
                "requested": 0,
                "requested_by_reason": {},
                "started": 0,
                "started_by_reason": {},
                "ended": 0,
                "ended_by_reason": {},
            },
            "conversations": {"active": 0, "new": 0, "total": 3, "in_takeover": 1},
        }

    return Report.model_validate(
        {
            **figures(FIRST, inbound, failures or []),
            "pages": ["1"],
            "timezone": "UTC",
            "daily": [day(number, inbound if number == 0 else 0) for number in range(7)],
            "inbound_by_hour": [[0] * 24 for _ in range(7)],
            "previous": figures(FIRST - timedelta(days=7), before, []),
        }
    )


@pytest.mark.parametrize(
    ("part", "whole", "told"),
    [
        (0, 0, "–"),
        (0, 10, "0 %"),
        (10, 10, "100 %"),
        (9996, 10_000, "99.9 %"),  # not all of them
        (99_999, 100_000, "99.9 %"),
        (1, 100_000, "0.1 %"),  # and not none
        (1, 3, "33.3 %"),
        (2, 3, "66.7 %"),
        (1, 2, "50 %"),
        (9994, 10_000, "99.9 %"),
    ],
)
def test_per_cents_are_of_the_counts(part: int, whole: int, told: str) -> None:
    assert plain(percent(part, whole)) == told


@given(counts, counts)
def test_only_all_is_all_and_only_none_is_none(one: int, other: int) -> None:
    part, whole = sorted((one, other + 1))
    told = plain(percent(part, whole))
    assert (told == "100 %") == (part == whole)
    assert (told == "0 %") == (part == 0)
    assert abs(float(told.removesuffix(" %")) - 100 * part / whole) <= 0.1


@pytest.mark.parametrize(
    ("now", "before", "direction", "words"),
    [
        (112, 100, "up", "12 % more than the 7 days before"),
        (88, 100, "down", "12 % fewer than the 7 days before"),
        (5, 5, "same", "as many as the 7 days before"),
        (0, 0, "same", "none in the 7 days before either"),
        (4, 0, "up", "none in the 7 days before"),
        (0, 4, "down", "100 % fewer than the 7 days before"),
        (1, 1000, "down", "99 % fewer than the 7 days before"),
        (1001, 1000, "up", "under 1 % more than the 7 days before"),
        (50, 4, "up", "12 times as many as the 7 days before"),
    ],
)
def test_changes_in_words(now: int, before: int, direction: str, words: str) -> None:
    change = change_of_count(now, before, BEFORE, None)
    assert (change.direction, plain(change.words), change.verdict) == (direction, words, None)


def test_better_and_worse_depend_on_what_is_counted() -> None:
    assert change_of_count(2, 1, BEFORE, "less").verdict == "worse"
    assert change_of_count(1, 2, BEFORE, "less").verdict == "better"
    assert change_of_share((9, 10), (5, 10), BEFORE, "more").verdict == "better"
    assert change_of_duration(9.0, 5.0, BEFORE, "less").verdict == "worse"
    assert change_of_count(2, 2, BEFORE, "less").verdict is None


@pytest.mark.parametrize(
    ("now", "before", "words"),
    [
        ((98, 100), (95, 100), "3 points higher than the 7 days before"),
        ((1, 2), (2, 4), "as in the 7 days before"),
        ((94, 100), (95, 100), "1 point lower than the 7 days before"),
        ((9999, 10_000), (10_000, 10_000), "under 0.1 point lower than the 7 days before"),
        ((1, 2), (0, 0), "nothing to compare in the 7 days before"),
        ((0, 0), (1, 2), "50 % in the 7 days before"),
    ],
)
def test_shares_change_by_points(now: tuple[int, int], before: tuple[int, int], words: str) -> None:
    assert plain(change_of_share(now, before, BEFORE, None).words) == words


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (None, "–"),
        (0.04, "0.0 s"),
        (3.24, "3.2 s"),
        (9.96, "10 s"),
        (59.6, "1 min"),
        (125, "2 min 5 s"),
        (3600, "1 h"),
        (90_000, "1 d 1 h"),
    ],
)
def test_durations(seconds: float | None, told: str) -> None:
    assert plain(duration(seconds)) == told


def test_without_earlier_data_no_card_compares() -> None:
    cards = [card for _, group in card_groups(report(inbound=5)) for card in group]
    assert {card.id for card in cards} == set(DEFINITIONS)
    assert {card.change.words for card in cards if card.change} == {"no earlier data"}
    compared = {
        card.id: card for _, group in card_groups(report(inbound=5, before=4)) for card in group
    }
    change = compared["inbound"].change
    assert change is not None
    assert plain(change.words) == "25 % more than the 7 days before"
    assert compared["in_takeover"].change is None  # it is of this moment


@given(counts)
def test_ticks_are_round_few_and_reach_the_highest_value(highest: int) -> None:
    ticks = charts.ticks_up_to(highest)
    steps = {after - before for before, after in pairwise(ticks)}
    assert ticks[0] == 0
    assert ticks[-1] >= highest
    assert len(ticks) <= charts.TICKS + 1
    assert len(steps) == 1
    assert str(steps.pop()).rstrip("0") in {"1", "2", "5"}


@given(st.lists(st.tuples(counts, counts), min_size=1, max_size=90))
def test_bars_are_as_high_as_what_they_count(pairs: list[tuple[int, int]]) -> None:
    days = [day(number, *pair) for number, pair in enumerate(pairs)]
    chart = charts.daily_chart(days)
    top = chart.ticks[-1].value
    drawn = {"in": 0.0, "out": 0.0}
    for place in chart.days:
        for bar in place.bars:
            drawn[bar.kind] += bar.height * top / chart.height
            assert bar.y + bar.height == pytest.approx(chart.height, abs=0.001)
            assert bar.y >= 0
            assert place.x - 0.01 <= bar.x
            assert bar.x + bar.width <= place.x + place.width + 0.01
    within = len(days) * top * 0.0001  # what is lost by rounding to parts of a pixel
    assert drawn["in"] == pytest.approx(sum(each.inbound for each in days), abs=within)
    assert drawn["out"] == pytest.approx(sum(each.outbound for each in days), abs=within)


def test_days_without_messages_have_their_place_and_mondays_their_date() -> None:
    week = charts.daily_chart([day(number) for number in range(7)])
    assert [each.label for each in week.days] == ["Tue", "Wed", "Thu", "Fri", "Sat", "Sun", "Mon"]
    assert [tick.value for tick in week.ticks] == [0, 1]
    season = charts.daily_chart([day(number) for number in range(90)])
    assert [each.label for each in season.days if each.label][:2] == ["2 Mar", "9 Mar"]
    assert len(season.days) == 90
    last = charts.daily_chart([day(0, 1200, 3, so_far=True)]).days[0]
    assert last.words == "Tue 24 Feb so far: 1,200 inbound, 3 outbound"


def test_a_line_has_gaps_where_nothing_is_known() -> None:
    assert charts.sparkline([1, 2, None, 4, 4]) == (
        "0.00,20.00 25.00,14.00",
        "75.00,2.00 100.00,2.00",
    )
    assert charts.sparkline([0, 0, 0]) == ("0.00,26.00 50.00,26.00 100.00,26.00",)
    assert charts.sparkline([None, 3, None]) == ()


def test_the_busiest_hour_is_the_darkest_and_named() -> None:
    hours = [[0] * 24 for _ in range(7)]
    hours[2][23], hours[6][0] = 10, 1
    shaded = charts.heat(hours)
    assert shaded[2][1][23].level == charts.HEAT_LEVELS
    assert shaded[6][1][0].level == 1
    assert shaded[0][1][0].level == 0
    assert charts.busiest_hour(hours) == "Wednesdays from 23:00 to 00:00: 10 inbound"
    assert charts.busiest_hour([[0] * 24 for _ in range(7)]) is None


def test_failures_with_the_same_words_are_one_line() -> None:
    def failure(reason: str, count: int, words: str) -> dict[str, object]:
        return {
            "reason": reason,
            "count": count,
            "cause": "outage",
            "explanation": words,
            "advice": ".",
        }

    told = troubles(
        report(
            failures=[
                failure("unreachable", 2, "away"),
                failure("unanswered", 3, "away"),
                failure("odd", 1, "odd"),
            ]
        )
    )
    assert [(each.cause, each.explanation, each.count, plain(each.share)) for each in told] == [
        ("Outage", "away", 5, "83.3 %"),
        ("Outage", "odd", 1, "16.7 %"),
    ]


def test_every_cause_and_reason_has_words_unknown_ones_too() -> None:
    assert {each.cause for each in KNOWN_CAUSES.values()} <= set(CAUSES)
    assert [each.label for each in reasons({"something_new": 1, "taken": 2, "none": 0})] == [
        "Taken over in the console",
        "Something new",
    ]


def test_zones_are_known_by_their_names_in_any_case() -> None:
    assert zones.known_zone(" europe/berlin ") == "Europe/Berlin"
    assert zones.known_zone("America/new york") == "America/New_York"
    assert "UTC" in zones.zones()
    for wrong in ("", "Berlin/Europe", "../etc/passwd", "Factory"):
        with pytest.raises(ValueError, match="Europe/Berlin"):
            zones.known_zone(wrong)
