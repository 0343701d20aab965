"""Durations in buckets that can be added up: the bound of their error does not depend on how many.

A bucket's limit is `GROWTH` times the one before it, so whatever lies in it is at most `ERROR` of
itself away from the value that stands for it. A quantile is therefore within 2 % of the true one,
for one duration as for a billion, and over any days and Pages.

Source: Masson, Rim, Lee, "DDSketch", VLDB 2019.
"""

import math
from collections.abc import Mapping

ERROR = 0.02
GROWTH = (1 + ERROR) / (1 - ERROR)

_LOG_GROWTH = math.log(GROWTH)


def bucket_of(duration_ms: int) -> int:
    """The bucket of a duration; below a millisecond it is 0."""
    return math.ceil(math.log(duration_ms) / _LOG_GROWTH) if duration_ms >= 1 else 0


def value_ms(bucket: int) -> float:
    """What stands for everything in a bucket."""
    return 2 * GROWTH**bucket / (GROWTH + 1)


def quantile_ms(counts: Mapping[int, int], share: float) -> float | None:
    """The duration below which `share` of all lie (nearest rank); None where there is none.

    Args:
        counts: by bucket.
        share: above 0, at most 1: 0.5 is the median.
    """
    total = sum(counts.values())
    if total <= 0:
        return None
    rank = max(1, math.ceil(share * total))
    for bucket in sorted(counts):
        rank -= counts[bucket]
        if rank <= 0:
            return value_ms(bucket)
    return None
