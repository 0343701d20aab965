"""Which claims may still be on their way to Meta."""

from datetime import timedelta

import pytest

from services.takeover.domain.fence import Claim, Delivery, may_be_posting
from tests.unit.takeover.world import NOON, SECOND, claim


@pytest.mark.parametrize(
    ("given", "delivery", "after", "expected"),
    [
        (None, None, timedelta(0), False),
        (claim(), None, timedelta(0), True),
        (claim(), None, 12 * SECOND - timedelta(microseconds=1), True),
        (claim(), None, 12 * SECOND, False),
        (claim(unused=True), None, timedelta(0), False),
        (claim(), Delivery(state="sent"), timedelta(0), False),
        (claim(), Delivery(state="failed"), timedelta(0), False),
        (claim(), Delivery(state="held"), timedelta(0), False),
        (claim(), Delivery(state="again", generation=1), timedelta(0), False),
        (claim(generation=1), Delivery(state="again", generation=1), timedelta(0), True),
        (claim(generation=1), Delivery(state="failed"), timedelta(0), True),
        (claim(generation=1), Delivery(state="sent", generation=1), timedelta(0), False),
        (claim(generation=1), Delivery(state="again", generation=2), timedelta(0), False),
    ],
)
def test_only_a_claim_without_an_outcome_and_within_its_time_may_be_posting(
    given: Claim | None, delivery: Delivery | None, after: timedelta, expected: bool
) -> None:
    assert may_be_posting(given, delivery, NOON + after) is expected
