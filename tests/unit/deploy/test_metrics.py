"""What is told of the code's metrics, which rules and dashboards are held against."""

import pytest

from tests.unit.deploy.metrics import complaints, names_and_labels, registered


def test_every_kind_of_metric_is_known_by_the_names_prometheus_gives_it() -> None:
    known = registered()
    assert known["assistant_webhooks_total"] == {"outcome"}
    assert known["assistant_consumer_lag_records"] == {"topic", "group", "partition"}
    assert known["assistant_model_seconds_bucket"] == {"le"}
    assert known["assistant_model_seconds_count"] == frozenset()
    assert "assistant_model_seconds" not in known


def test_selectors_are_told_with_their_own_labels() -> None:
    expression = 'sum by (le) (rate(a_bucket{le="1.0"}[5m])) / max_over_time((b + c)[1h:1m])'
    assert names_and_labels(expression) == [
        ("a_bucket", frozenset({"le"})),
        ("b", frozenset()),
        ("c", frozenset()),
    ]


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ('sum by (job, group) (assistant_consumer_lag_records{partition="1"})', []),
        ("assistant_webhooks", ["no metric assistant_webhooks"]),
        ('up{colour="red"}', ["up has no colour"]),
        ("sum by (colour) (rate(up[5m]))", ["nothing has colour: ['up']"]),
        ("up / on (group) up", ["nothing has group: ['up']"] * 2),
    ],
)
def test_what_nobody_tells_is_complained_about(expression: str, found: list[str]) -> None:
    assert complaints(expression) == found


def test_what_is_not_promql_is_an_error() -> None:
    with pytest.raises(ValueError, match="parenthesis"):
        complaints("sum(")
