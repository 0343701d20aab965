import math

from hypothesis import given
from hypothesis import strategies as st

from services.analytics.domain.histogram import ERROR, bucket_of, quantile_ms

WEEK_MS = 7 * 24 * 3600 * 1000


@given(
    st.lists(st.integers(1, WEEK_MS), min_size=1, max_size=60),
    st.sampled_from([0.5, 0.95, 1.0]),
    st.integers(0, 60),
)
def test_a_quantile_is_within_two_percent_however_it_was_added_up(
    durations: list[int], share: float, cut: int
) -> None:
    parts: list[dict[int, int]] = [{}, {}]
    for index, duration in enumerate(durations):
        part = parts[index < cut]
        part[bucket_of(duration)] = part.get(bucket_of(duration), 0) + 1
    merged = {key: sum(part.get(key, 0) for part in parts) for key in {*parts[0], *parts[1]}}
    found = quantile_ms(merged, share)
    assert found is not None
    true = sorted(durations)[math.ceil(share * len(durations)) - 1]
    assert abs(found - true) <= ERROR * true * (1 + 1e-9)


def test_a_week_needs_few_buckets() -> None:
    assert bucket_of(0) == 0
    assert bucket_of(WEEK_MS) < 510


def test_of_nothing_there_is_no_median() -> None:
    assert quantile_ms({}, 0.5) is None
    assert quantile_ms({3: 0}, 0.5) is None
