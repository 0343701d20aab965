"""Who waits for a human, as metrics."""

from collections.abc import Mapping
from datetime import timedelta

import pytest
from prometheus_client import Gauge

from services.conversation import waiting
from services.conversation.waiting import Census, Waiting
from tests.unit.conversation.factories import NOON


class Rows:
    def __init__(self, found: Mapping[str, Waiting]) -> None:
        self.found = found

    async def waiting(self) -> Mapping[str, Waiting]:
        return self.found


def value(gauge: Gauge, **labels: str) -> float | None:
    samples = (sample for metric in gauge.collect() for sample in metric.samples)
    return next((each.value for each in samples if each.labels == labels), None)


def of_page(page: str) -> float | None:
    return value(waiting.PAGE_WAITING, page=page)


async def test_the_longest_wait_of_all_pages_is_told() -> None:
    rows = Rows(
        {
            "w1": Waiting(2, NOON - timedelta(seconds=90)),
            "w2": Waiting(1, NOON - timedelta(seconds=300)),
        }
    )
    await Census(rows, lambda: NOON).count()
    assert value(waiting.WAITING) == 3
    assert value(waiting.OLDEST) == 300
    assert (of_page("w1"), of_page("w2")) == (2, 1)


async def test_a_page_where_nobody_waits_any_more_has_zero() -> None:
    rows = Rows({"w3": Waiting(2, NOON)})
    census = Census(rows, lambda: NOON)
    await census.count()
    rows.found = {}
    await census.count()
    assert of_page("w3") == 0
    assert value(waiting.OLDEST) == 0


async def test_only_so_many_pages_have_a_label(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "MOST_LABELS", 1)
    rows = Rows({"w4": Waiting(1, NOON), "w5": Waiting(2, NOON), "w6": Waiting(3, NOON)})
    census = Census(rows, lambda: NOON)
    await census.count()
    await census.count()
    assert (of_page("w4"), of_page("w5"), of_page("w6"), of_page("other")) == (1, None, None, 5)
