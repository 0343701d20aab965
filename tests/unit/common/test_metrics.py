"""What has known label values is there before anything has happened."""

import pytest
from prometheus_client import CollectorRegistry, Counter

from libs.common.graph.calls import code_label
from libs.common.metrics import from_zero


def test_every_combination_of_labels_begins_at_zero() -> None:
    registry = CollectorRegistry()
    counter = Counter("calls_total", "Calls.", ["endpoint", "outcome"], registry=registry)
    from_zero(counter, ["send", "read"], iter(["ok", "failed"]))
    found = {
        (sample.labels["endpoint"], sample.labels["outcome"]): sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name == "calls_total"
    }
    assert found == dict.fromkeys(
        [("send", "ok"), ("send", "failed"), ("read", "ok"), ("read", "failed")], 0.0
    )


def test_a_label_that_the_metric_does_not_have_is_refused() -> None:
    counter = Counter("calls_total", "Calls.", ["endpoint"], registry=CollectorRegistry())
    with pytest.raises(ValueError, match="label"):
        from_zero(counter, ["send"], ["ok"])


@pytest.mark.parametrize(
    ("code", "label"),
    [
        (613, "613"),
        (190, "190"),
        (100, "100"),
        (200, "200"),
        (-1, "-1"),
        (250, "other"),
        (7, "other"),
    ],
)
def test_codes_of_meta_are_few_as_labels(code: int, label: str) -> None:
    assert code_label(code) == label
