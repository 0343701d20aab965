"""The figures as metrics, Page by Page."""

from itertools import count

import pytest

from libs.common.events import AnyRecord
from services.analytics import page_counts
from services.analytics.domain.rollups import Advance, Arrival, Stored, advance
from services.analytics.page_counts import PageCounts
from tests.unit.analytics import factories as make
from tests.unit.analytics.factories import APP, PSID

COUNTERS = (
    page_counts.MESSAGES,
    page_counts.ANSWERED,
    page_counts.FAILURES,
    page_counts.TAKEOVERS,
    page_counts.REQUESTS,
)


def folded(page: str, *events: AnyRecord) -> Advance:
    numbers = count(1)
    here = [each.model_copy(update={"page_id": page}) for each in events]
    arrivals = [Arrival(0, next(numbers), f"{page}:{PSID}", each) for each in here]
    return advance(Stored(), arrivals, APP)


def number(name: str, page: str, **labels: str) -> float | None:
    wanted = (f"assistant_page_{name}_total", {"page": page, **labels})
    samples = (
        sample for counter in COUNTERS for metric in counter.collect() for sample in metric.samples
    )
    return next((each.value for each in samples if (each.name, each.labels) == wanted), None)


def test_messages_answers_and_receipts_are_counted() -> None:
    story = folded("p1", make.message("m1"), make.sent("a1", 30), make.read(60))
    PageCounts().count([story])
    assert number("messages", "p1", what="received") == 1
    assert number("messages", "p1", what="assistant") == 1
    assert number("messages", "p1", what="delivered") == 1
    assert number("messages", "p1", what="read") == 1
    assert number("answered", "p1", origin="assistant") == 1
    assert number("messages", "p1", what="human") == 0


def test_failures_takeovers_and_calls_for_a_human_are_counted_by_reason() -> None:
    story = folded("p2", make.failed("a1", 10), make.started(1, 20), make.requested(15))
    PageCounts().count([story])
    assert number("failures", "p2", reason="window_closed") == 1
    assert number("takeovers", "p2", reason="taken") == 1
    assert number("human_requests", "p2", reason="asked") == 1


def test_what_a_figure_loses_is_taken_off_what_comes_next() -> None:
    counts = PageCounts()
    counts.count([folded("p3", make.failed("a1", 10))])
    counts.count([_change("p3", "failed.window_closed", -1)])
    assert number("failures", "p3", reason="window_closed") == 1
    counts.count([_change("p3", "failed.window_closed", 1)])
    assert number("failures", "p3", reason="window_closed") == 1
    counts.count([_change("p3", "failed.window_closed", 2)])
    assert number("failures", "p3", reason="window_closed") == 3


def test_only_so_many_pages_have_a_label(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_counts, "MOST_LABELS", 1)
    PageCounts().count([folded(page, make.message("m1")) for page in ("p4", "p5", "p6")])
    assert number("messages", "p4", what="received") == 1
    assert number("messages", "p5", what="received") is None
    assert number("messages", "other", what="received") == 2


def _change(page: str, name: str, by: int) -> Advance:
    event = make.message("m9").model_copy(update={"page_id": page})
    return Advance(Stored(), [(Arrival(0, 9, f"{page}:{PSID}", event), [(1, name, by)])])
