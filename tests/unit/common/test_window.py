from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.events.outcomes import Origin
from libs.common.window import (
    ASSISTANT_MARGIN,
    HUMAN_AGENT_WINDOW,
    STANDARD_WINDOW,
    Decision,
    Refuse,
    Send,
    Wait,
    decide,
)

if TYPE_CHECKING:
    from libs.common.channels import ChannelStatus

WROTE_AT = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MICROSECOND = timedelta(microseconds=1)
DAY = timedelta(days=1)

ages = st.timedeltas(timedelta(days=-30), timedelta(days=30))
statuses: st.SearchStrategy["ChannelStatus | None"] = st.sampled_from(
    ["active", "expired", "revoked", "disconnected", None]
)
origins: st.SearchStrategy[Origin] = st.sampled_from(["assistant", "human"])
situations = st.fixed_dictionaries(
    {
        "channel_enabled": st.booleans(),
        "channel_status": statuses,
        "mode_now": st.sampled_from(["ai", "human"]),
        "mode_epoch_now": st.integers(0, 3),
        "command_epoch": st.none() | st.integers(0, 3),
        "last_user_message_at": st.none() | st.just(WROTE_AT),
        "now": ages.map(lambda age: WROTE_AT + age),
        "thread_is_ours": st.booleans(),
    }
)


def decided(**changes: object) -> Decision:
    """The decision where nothing is in the way, but for `changes`."""
    situation: dict[str, Any] = {
        "origin": "assistant",
        "channel_enabled": True,
        "channel_status": "active",
        "mode_now": "ai",
        "mode_epoch_now": 4,
        "command_epoch": 4,
        "last_user_message_at": WROTE_AT,
        "now": WROTE_AT + timedelta(hours=1),
    }
    return decide(**situation | changes)


def gist(decision: Decision) -> tuple[str, str | None]:
    match decision:
        case Send():
            return decision.messaging_type, decision.tag
        case Refuse():
            return "refuse", decision.code
        case Wait():
            return "wait", None


@pytest.mark.parametrize(
    ("origin", "age", "expected"),
    [
        ("assistant", timedelta(0), ("RESPONSE", None)),
        ("assistant", DAY - ASSISTANT_MARGIN - MICROSECOND, ("RESPONSE", None)),
        ("assistant", DAY - ASSISTANT_MARGIN, ("refuse", "window_closed")),
        ("assistant", DAY, ("refuse", "window_closed")),
        ("assistant", 8 * DAY, ("refuse", "window_closed")),
        ("human", timedelta(0), ("RESPONSE", None)),
        ("human", DAY - MICROSECOND, ("RESPONSE", None)),
        ("human", DAY, ("MESSAGE_TAG", "HUMAN_AGENT")),
        ("human", 7 * DAY - MICROSECOND, ("MESSAGE_TAG", "HUMAN_AGENT")),
        ("human", 7 * DAY, ("refuse", "window_closed")),
        ("human", 700 * DAY, ("refuse", "window_closed")),
        # the clocks differ: the person has written, whatever ours says
        ("assistant", -SECOND, ("RESPONSE", None)),
        ("human", timedelta(minutes=-10), ("RESPONSE", None)),
        ("assistant", -300 * DAY, ("RESPONSE", None)),
    ],
)
def test_window_is_closed_from_its_last_instant_on(
    origin: str, age: timedelta, expected: tuple[str, str | None]
) -> None:
    assert gist(decided(origin=origin, now=WROTE_AT + age)) == expected


@pytest.mark.parametrize(
    ("changes", "for_assistant", "for_human"),
    [
        ({"channel_enabled": False}, "channel_disabled", "channel_disabled"),
        ({"channel_status": None}, "channel_disabled", "channel_disabled"),
        ({"channel_status": "disconnected"}, "channel_disabled", "channel_disabled"),
        ({"channel_status": "expired", "channel_enabled": False}, *["channel_disabled"] * 2),
        ({"channel_status": "expired"}, "wait", "wait"),
        ({"channel_status": "revoked"}, "wait", "wait"),
        ({"channel_status": "revoked", "now": WROTE_AT + 30 * DAY}, "wait", "wait"),
        ({"channel_status": "expired", "mode_epoch_now": 5}, "superseded_by_human", "wait"),
        ({"mode_now": "human"}, "superseded_by_human", "RESPONSE"),
        ({"mode_now": "human", "mode_epoch_now": 5}, "superseded_by_human", "RESPONSE"),
        ({"mode_epoch_now": 6}, "superseded_by_human", "RESPONSE"),
        ({"mode_epoch_now": 3}, "superseded_by_human", "RESPONSE"),
        ({"command_epoch": None}, "superseded_by_human", "RESPONSE"),
        ({"command_epoch": None, "channel_enabled": False}, *["channel_disabled"] * 2),
        ({"thread_is_ours": False}, *["thread_owned_by_other_app"] * 2),
        (
            {"thread_is_ours": False, "mode_epoch_now": 5},
            "superseded_by_human",
            "thread_owned_by_other_app",
        ),
        ({"thread_is_ours": False, "channel_status": "expired"}, "wait", "wait"),
        ({"thread_is_ours": False, "channel_enabled": False}, *["channel_disabled"] * 2),
        (
            {"thread_is_ours": False, "now": WROTE_AT + 30 * DAY},
            *["thread_owned_by_other_app"] * 2,
        ),
        ({"last_user_message_at": None}, "no_user_message", "no_user_message"),
        (
            {"last_user_message_at": None, "mode_epoch_now": 5},
            "superseded_by_human",
            "no_user_message",
        ),
    ],
)
def test_what_stands_in_the_way(
    changes: dict[str, object], for_assistant: str, for_human: str
) -> None:
    for origin, expected in (("assistant", for_assistant), ("human", for_human)):
        assert expected in gist(decided(origin=origin, **changes))


def test_a_message_knows_its_rule_and_how_long_it_may_be_sent() -> None:
    assert decided() == Send("RESPONSE", None, "standard_window", WROTE_AT + STANDARD_WINDOW)
    assert decided(origin="human", now=WROTE_AT + 2 * DAY) == Send(
        "MESSAGE_TAG", "HUMAN_AGENT", "human_agent_window", WROTE_AT + HUMAN_AGENT_WINDOW
    )


@pytest.mark.parametrize("skew", [SECOND, timedelta(minutes=10), 300 * DAY])
def test_a_message_from_the_future_opens_the_window_no_further_than_one_from_now(
    skew: timedelta,
) -> None:
    now = WROTE_AT - skew
    assert decided(now=now) == Send("RESPONSE", None, "standard_window", now + STANDARD_WINDOW)


@pytest.mark.parametrize(
    ("origin", "age", "rule", "expired_at", "words"),
    [
        ("assistant", 2 * DAY, "standard_window", WROTE_AT + DAY, "closed at 2026-11-25 12:00 UTC"),
        ("assistant", DAY - SECOND, "standard_window", WROTE_AT + DAY, "is about to close at"),
        (
            "human",
            8 * DAY,
            "human_agent_window",
            WROTE_AT + 7 * DAY,
            "closed at 2026-12-01 12:00 UTC",
        ),
    ],
)
def test_a_refusal_says_when_the_window_closed(
    origin: str, age: timedelta, rule: str, expired_at: datetime, words: str
) -> None:
    decision = decided(origin=origin, now=WROTE_AT + age)
    assert isinstance(decision, Refuse)
    assert (decision.rule, decision.window_expired_at) == (rule, expired_at)
    assert words in decision.explanation


@given(situations)
def test_the_assistant_never_gets_a_tag_and_never_sends_outside_24_hours_or_after_a_takeover(
    situation: dict[str, Any],
) -> None:
    decision = decide(origin="assistant", **situation)
    if isinstance(decision, Send):
        assert (decision.messaging_type, decision.tag) == ("RESPONSE", None)
        assert situation["now"] - WROTE_AT < timedelta(hours=24)
        assert situation["mode_now"] == "ai"
        assert situation["command_epoch"] == situation["mode_epoch_now"]


@given(situations)
def test_a_human_sends_within_7_days_and_tags_exactly_what_is_older_than_24_hours(
    situation: dict[str, Any],
) -> None:
    decision = decide(origin="human", **situation)
    if isinstance(decision, Send):
        age = situation["now"] - WROTE_AT
        assert age < timedelta(days=7)
        assert (decision.tag == "HUMAN_AGENT") is (age >= timedelta(hours=24))
        assert (decision.messaging_type == "MESSAGE_TAG") is (decision.tag is not None)


@given(situations, origins)
def test_whatever_is_sent_goes_by_an_active_channel_within_a_window_that_is_open(
    situation: dict[str, Any], origin: Origin
) -> None:
    decision = decide(origin=origin, **situation)
    if isinstance(decision, Send):
        assert situation["channel_enabled"]
        assert situation["channel_status"] == "active"
        assert situation["now"] < decision.window_expires_at
        assert situation["thread_is_ours"]
    if isinstance(decision, Wait):
        assert situation["channel_status"] in ("expired", "revoked")
    if isinstance(decision, Refuse):
        assert decision.explanation
        assert decision.advice


@given(situations, origins, ages)
def test_once_refused_for_its_window_a_message_stays_refused_until_the_person_writes(
    situation: dict[str, Any], origin: Origin, later: timedelta
) -> None:
    if gist(decide(origin=origin, **situation)) == ("refuse", "window_closed"):
        situation |= {"now": situation["now"] + abs(later)}
        assert gist(decide(origin=origin, **situation)) == ("refuse", "window_closed")
