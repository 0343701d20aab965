"""Metrics that are there before anything has happened."""

from collections.abc import Iterable
from itertools import product
from typing import TypeVar

from prometheus_client.metrics import MetricWrapperBase

M = TypeVar("M", bound=MetricWrapperBase)


def from_zero(metric: M, *values: Iterable[str]) -> M:
    """The metric, with a series at 0 for each combination of these label values.

    A series that begins with its first event shows no increase then: the first error of a night,
    which is the one to see, would be seen by no rate.

    Args:
        values: those that are known, label by label, in the order of the metric's labels.
    """
    for combination in product(*values):
        metric.labels(*combination)
    return metric
