"""From stored quarters of an hour to the figures of a period."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from libs.common.events import AnyRecord
from services.analytics.domain.figures import report, tally
from services.analytics.domain.fold import Counts, apply
from services.analytics.domain.periods import Period
from services.analytics.domain.rollups import rollup_id
from services.analytics.domain.slots import SLOTS_A_DAY, Span
from services.analytics.domain.state import State
from tests.unit.analytics import factories as make
from tests.unit.analytics import reference
from tests.unit.analytics.factories import APP, PAGE, PATIENTLY

UTC_ZONE, BERLIN = ZoneInfo("UTC"), ZoneInfo("Europe/Berlin")


def documents(log: Sequence[AnyRecord]) -> list[dict[str, Any]]:
    """As the store would have them."""
    states: defaultdict[str, State] = defaultdict(State)
    counts = Counts()
    for event in log:
        apply(states[getattr(event, "psid", "")], event, APP, counts)
    found: dict[str, dict[str, Any]] = {}
    for slot, name, number in counts.increments:
        key = rollup_id(PAGE, slot)
        document = found.setdefault(key, {"_id": key, "day": key.partition(":")[2]})
        path = [name] if slot < 0 else ["slots", str(slot % SLOTS_A_DAY), *name.split(".")]
        place = document
        for step in path[:-1]:
            place = place.setdefault(step, {})
        place[path[-1]] = place.get(path[-1], 0) + number
    return list(found.values())


def figures(log: Sequence[AnyRecord], period: Period, today: date) -> dict[str, Any]:
    found = documents(log)
    daily = [each for each in found if each["day"] != "total"]
    totals = [each for each in found if each["day"] == "total"]
    return report(tally(period, daily), tally(period.before(), daily), totals, today)


def later(days: float) -> float:
    return days * 24 * 3600


LOG: list[AnyRecord] = [
    make.message("m0", later(-1), "201"),  # 28 February, 12:00
    make.sent("a0", later(-1) + 10, "201"),
    make.message("m1", 0, "200"),  # 1 March
    make.sent("a1", 4, "200"),
    make.read(5, psid="200"),
    make.message("m2", 3600, "201"),
    make.inbox("i1", 3720, "201"),
    make.message("m3", 7200, "202"),
    make.failed("a3", 7201, "person_unavailable").model_copy(update={"psid": "202"}),
    make.failed("a4", 7202, "window_closed").model_copy(update={"psid": "202"}),
    make.failed("a5", 7203, "window_closed").model_copy(update={"psid": "202"}),
    make.started(1, 7300, psid="202"),
]


def test_a_day_and_the_one_before() -> None:
    day = date(2026, 3, 1)
    found = figures(LOG, Period(day, day, UTC_ZONE), today=day)
    assert found["period"] == {
        "from": "2026-03-01",
        "to": "2026-03-01",
        "days": 1,
        "today_so_far": True,
    }
    assert found["messages"] == {
        "total": 5,
        "inbound": 3,
        "outbound": 2,
        "outbound_by": {"assistant": 1, "human_facebook": 1},
        "delivered": 1,
        "read": 1,
        "failed": 3,
    }
    assert found["rates"] == {"delivery": 0.5, "read": 0.5}
    assert [(each["reason"], each["count"], each["cause"]) for each in found["failures"]] == [
        ("window_closed", 2, "window"),
        ("person_unavailable", 1, "blocked"),
    ]
    assert all(each["advice"] for each in found["failures"])
    answer = found["first_answer"]
    assert answer["count"] == 2
    assert abs(answer["median_s"] - 4) <= 0.08
    assert abs(answer["p95_s"] - 120) <= 2.4
    assert found["answered"] == {
        "total": 2,
        "by": {"assistant": 1, "human_facebook": 1},
        "assistant_share": 0.5,
    }
    assert found["hand_overs"]["started_by_reason"] == {"taken": 1}
    assert found["conversations"] == {"total": 3, "in_takeover": 1, "active": 3, "new": 2}
    assert found["inbound_by_hour"][6][12:15] == [1, 1, 1]  # a Sunday
    before = found["previous"]
    assert before["period"]["from"] == before["period"]["to"] == "2026-02-28"
    assert not before["period"]["today_so_far"]
    assert before["messages"]["total"] == 2
    assert before["rates"] == {"delivery": 0, "read": 0}
    assert before["conversations"] == {"active": 1, "new": 1}


def test_what_is_nearly_all_is_not_told_as_all() -> None:
    slots = {"48": {"out": {"assistant": 100_000}, "delivered": 99_999, "read": 1}}
    stored = [{"_id": f"{PAGE}:2026-03-01", "day": "2026-03-01", "slots": slots}]
    period = Period(date(2026, 3, 1), date(2026, 3, 1), UTC_ZONE)
    found = report(tally(period, stored), tally(period.before(), []), [], date(2026, 3, 1))
    assert found["rates"] == {"delivery": 0.9999, "read": 0.0001}


def test_an_empty_period_has_no_rates_and_every_day() -> None:
    period = Period(date(2026, 3, 5), date(2026, 3, 7), UTC_ZONE)
    found = figures(LOG, period, today=date(2026, 3, 9))
    assert found["rates"] == {"delivery": None, "read": None}
    assert found["first_answer"]["median_s"] is None
    assert found["answered"]["assistant_share"] is None
    assert [day["date"] for day in found["daily"]] == ["2026-03-05", "2026-03-06", "2026-03-07"]
    assert {day["inbound"] for day in found["daily"]} == {0}
    assert found["conversations"]["total"] == 3  # of all time


def test_the_same_moment_lies_in_another_day_elsewhere() -> None:
    late: list[AnyRecord] = [
        make.message("m1", 11.5 * 3600)
    ]  # 23:30 UTC, half past midnight in Berlin
    for zone, inbound in ((UTC_ZONE, [1, 0]), (BERLIN, [0, 1])):
        period = Period(date(2026, 3, 1), date(2026, 3, 2), zone)
        found = figures(late, period, today=date(2026, 3, 2))
        assert [day["inbound"] for day in found["daily"]] == inbound
        assert [day["so_far"] for day in found["daily"]] == [False, True]


@PATIENTLY
@given(
    st.lists(st.tuples(st.integers(0, 20 * 24 * 4), st.sampled_from("abcd")), max_size=40),
    st.integers(0, 20),
    st.integers(1, 10),
    st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/New_York"]),
)
def test_active_conversations_are_exact_in_every_zone_and_range(
    said: list[tuple[int, str]], begin: int, days: int, zone: str
) -> None:
    log: list[AnyRecord] = [
        make.message(f"m{n}", quarter * 900, psid) for n, (quarter, psid) in enumerate(said)
    ]
    first = date(2026, 3, 1) + timedelta(days=begin)
    period = Period(first, first + timedelta(days=days - 1), ZoneInfo(zone))
    found = figures(log, period, today=first)
    assert found["conversations"]["active"] == active(log, period.span)
    assert [day["active_conversations"] for day in found["daily"]] == [
        active(log, span) for _, span in period.each_day()
    ]
    assert found["previous"]["conversations"]["active"] == active(log, period.before().span)


def active(log: list[AnyRecord], span: Span) -> int:
    return reference.active(log, span.first, span.end)


def test_the_day_the_clocks_change_keeps_all_its_hours() -> None:
    midnight = datetime(2026, 3, 28, 23, tzinfo=UTC)  # in Berlin; the 29th has 23 hours there
    since_noon = (midnight - make.NOON).total_seconds()
    log: list[AnyRecord] = [make.message(f"m{n}", since_noon + n * 3600) for n in range(-1, 24)]
    period = Period(date(2026, 3, 28), date(2026, 3, 30), BERLIN)
    found = figures(log, period, today=date(2026, 4, 1))
    assert [day["inbound"] for day in found["daily"]] == [1, 23, 1]
    assert sum(map(sum, found["inbound_by_hour"])) == 25
    assert found["inbound_by_hour"][6][2] == 0  # nobody lived that hour
