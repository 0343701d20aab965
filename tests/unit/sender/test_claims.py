"""When a claim leaves time for a request, and when it leaves us in doubt."""

from datetime import UTC, datetime, timedelta

import pytest

from services.sender.domain.claims import Sending, is_in_doubt

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def sending(command_id: str = "c1", part: int = 1, recent: tuple[str, ...] = ("c1",)) -> Sending:
    return Sending(
        claim_id="x",
        send_id=f"{command_id}:{part}",
        command_id=command_id,
        part=part,
        partition=0,
        offset=1,
        text="hello",
        attempt=1,
        first_claimed_at=NOW,
        claimed_at=NOW,
        deadline_at=NOW + timedelta(seconds=12),
        recent=recent,
    )


@pytest.mark.parametrize(("after_s", "enough"), [(0.0, True), (2.0, True), (2.001, False)])
def test_a_request_must_end_before_others_may_think_the_claim_dead(
    after_s: float, enough: bool
) -> None:
    now = NOW + timedelta(seconds=after_s)
    assert sending().leaves(timedelta(seconds=10), now) is enough


@pytest.mark.parametrize(
    ("latest", "command_id", "part", "doubt"),
    [
        (sending(part=1), "c1", 1, True),
        (sending(part=1), "c1", 2, False),
        (sending(part=1), "c1", 0, True),
        (sending("c2", recent=("c1", "c2")), "c1", 0, True),
        (sending("c2", recent=("c2",)), "c1", 0, False),
    ],
    ids=["claimed", "not yet", "passed over", "begun, then others", "never begun"],
)
def test_a_part_without_a_final_state_is_in_doubt_if_it_may_have_been_claimed(
    latest: Sending, command_id: str, part: int, doubt: bool
) -> None:
    assert is_in_doubt(latest, command_id, part) is doubt
