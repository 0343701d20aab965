"""What the last step of connecting a Page says, from what was seen."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.console.domain.connection import Pause, connection_state
from services.console.domain.verifying import Line, Traffic, all_good, lines, traffic_of

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
ACTIVE = connection_state("active", paused=None, cause=None, since=NOON)
ANSWERED = Traffic(NOON, "delivered", echoed=True)


def message(direction: str, after_s: float, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    origin = "person" if direction == "in" else "assistant"
    at = (NOON + timedelta(seconds=after_s)).isoformat()
    return {"direction": direction, "origin": origin, "at": at, **more}


def states(found: tuple[Line, ...]) -> str:
    return " ".join(line.state for line in found)


@pytest.mark.parametrize(
    ("traffic", "wanted"),
    [
        (Traffic(), "ok ok pending pending pending"),
        (Traffic(NOON), "ok ok ok pending pending"),
        (Traffic(NOON, "sent"), "ok ok ok ok pending"),
        (Traffic(NOON, "read", echoed=True), "ok ok ok ok ok"),
        (Traffic(NOON, "failed", "The token has run out."), "ok ok ok failed pending"),
        (Traffic(NOON, "held"), "ok ok ok failed pending"),
        (Traffic(NOON, paused=True), "ok ok ok failed pending"),
        (None, "ok ok unknown unknown unknown"),
    ],
)
def test_one_message_there_and_back_makes_line_after_line_true(
    traffic: Traffic | None, wanted: str
) -> None:
    found = lines(ACTIVE, "yes", traffic)
    assert states(found) == wanted
    assert all_good(found) == (set(wanted.split()) == {"ok"})


def test_why_an_answer_was_not_sent_is_said_with_what_to_do() -> None:
    (line,) = [
        line
        for line in lines(ACTIVE, "yes", Traffic(NOON, "failed", "The token has run out."))
        if line.state == "failed"
    ]
    assert (line.key, line.words) == ("reply", "The token has run out.")
    assert line.cure


@pytest.mark.parametrize(
    ("status", "enabled", "wanted"),
    [
        ("revoked", True, "failed unknown"),
        ("expired", True, "failed unknown"),
        ("disconnected", True, "failed unknown"),
        ("active", False, "failed ok"),
    ],
)
def test_a_page_that_is_not_connected_or_paused_fails_and_says_what_to_do(
    status: Any,  # noqa: ANN401
    enabled: bool,
    wanted: str,
) -> None:
    pause = None if enabled else Pause("Ada", NOON)
    state = connection_state(status, paused=pause, cause=None, since=NOON)
    found = lines(state, "yes", ANSWERED)[:2]
    assert states(found) == wanted
    assert found[0].cure


def test_a_subscription_that_is_missing_fails_and_one_that_nobody_knows_does_not() -> None:
    assert states(lines(ACTIVE, "no", ANSWERED)) == "ok failed ok ok ok"
    assert states(lines(ACTIVE, "unknown", ANSWERED)) == "ok unknown ok ok ok"


def test_what_came_before_the_page_was_connected_proves_nothing() -> None:
    old = [message("in", -10), message("out", -9, status="read", echoed=True)]
    assert traffic_of(old, NOON) == Traffic()
    new = [*old, message("in", 5)]
    assert traffic_of(new, NOON) == Traffic(NOON + timedelta(seconds=5))


def test_an_answer_counts_once_it_was_sent_in_whatever_order_it_is_listed() -> None:
    found = [
        message("out", 7, status="delivered", echoed=True),
        message("out", 6, status="failed", explanation="Too many calls."),
        message("in", 5),
        {"kind": "system", "event": "takeover.ended", "at": NOON.isoformat()},
    ]
    received = NOON + timedelta(seconds=5)
    assert traffic_of(found, NOON) == Traffic(received, "delivered", echoed=True)
    assert traffic_of(found[1:], NOON) == Traffic(received, "failed", "Too many calls.")


def test_a_humans_answer_is_not_the_assistants() -> None:
    found = [message("in", 1), message("out", 2, origin="human", status="sent", echoed=True)]
    received: datetime = NOON + timedelta(seconds=1)
    assert traffic_of(found, NOON, paused=True) == Traffic(received, paused=True)
