"""Around the composer: who has the conversation, whether one may write, and for how long."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.channels import ChannelStatus
from libs.common.window import Send, decide
from services.console.domain.composer import (
    LONGEST,
    SHORTEST,
    Situation,
    bar_of,
    composer_of,
    is_timer,
    timer_words,
    timers,
    until_words,
)
from services.console.domain.reply_window import reply_window, span

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SECOND = timedelta(seconds=1)


def situation(age: timedelta | None = HOUR, **facts: Any) -> Situation:  # noqa: ANN401
    told = {
        "name": "Ana",
        "last_user_message_at": None if age is None else NOW - age,
        "is_enabled": True,
        "status": "active",
        "status_words": "The token has run out.",
        "thread_ours": True,
    }
    return Situation(**told | facts)


@pytest.mark.parametrize(
    ("age", "kind", "left"),
    [
        (timedelta(), "open", "1 d"),
        (timedelta(minutes=-5), "open", "1 d"),
        (HOUR, "open", "23 h"),
        (DAY - SECOND, "open", "less than 1 min"),
        (DAY, "human_only", "6 d"),
        (2 * DAY + 1.5 * HOUR, "human_only", "4 d 22 h"),
        (7 * DAY - SECOND, "human_only", "less than 1 min"),
        (7 * DAY, "closed", "less than 1 min"),
    ],
)
def test_the_window_by_the_age_of_the_last_message(age: timedelta, kind: str, left: str) -> None:
    window = reply_window(NOW - age, NOW)
    assert (window.kind, span(window.left(NOW))) == (kind, left)
    assert reply_window(None, NOW).kind == "never"


@pytest.mark.parametrize(
    ("length", "words"),
    [
        (timedelta(minutes=9), "9 min"),
        (timedelta(hours=21, minutes=14), "21 h 14 min"),
        (timedelta(days=1, hours=3, minutes=59), "1 d 3 h"),
        (timedelta(seconds=59), "less than 1 min"),
    ],
)
def test_spans_in_words(length: timedelta, words: str) -> None:
    assert span(length) == words


def test_little_is_left_below_four_hours() -> None:
    assert reply_window(NOW - 20 * HOUR - SECOND, NOW).is_soon(NOW)
    assert not reply_window(NOW - 20 * HOUR, NOW).is_soon(NOW)
    assert not reply_window(NOW - 8 * DAY, NOW).is_soon(NOW)


@pytest.mark.parametrize(
    ("facts", "code", "words"),
    [
        (situation(8 * DAY), "window_closed", "Closed since 2026-11-24 12:00:00+00:00: Facebook"),
        (situation(None), "no_user_message", "a Page may not write first"),
        (situation(thread_ours=False), "thread_owned_by_other_app", "Meta's own inbox"),
        (situation(status="disconnected"), "channel_disabled", "not connected"),
        (situation(is_enabled=False), "channel_disabled", "paused"),
    ],
)
def test_where_nothing_can_be_written_the_reason_is_said(
    facts: Situation, code: str, words: str
) -> None:
    lock = composer_of(NOW, facts).lock
    assert lock is not None
    assert lock.code == code
    assert words in f"{lock.title} {lock.words} {lock.at}{lock.rest}"


def test_while_the_page_is_expired_one_may_write_and_is_told_that_it_waits() -> None:
    composer = composer_of(NOW, situation(status="expired"))
    assert composer.lock is None
    assert composer.waits
    assert composer.strips[0].is_reconnect
    assert "The token has run out. What you write waits" in composer.strips[0].words
    closed = composer_of(NOW, situation(8 * DAY, status="expired"))
    assert closed.lock is not None
    assert closed.lock.code == "window_closed"


def test_after_24_hours_the_tag_is_named_and_so_is_a_refusal_of_it() -> None:
    (strip,) = composer_of(NOW, situation(3 * DAY)).strips
    assert "HUMAN_AGENT" in strip.words
    assert (strip.at, strip.rest) == (NOW + 4 * DAY, ".")
    refused = situation(
        3 * DAY, refused_at=NOW - HOUR, refusal="Not approved.", refusal_advice="Ask for it."
    )
    _, bad = composer_of(NOW, refused).strips
    assert (bad.kind, bad.at, bad.rest) == ("bad", NOW - HOUR, ". Not approved. Ask for it.")
    assert composer_of(NOW, situation(HOUR, refused_at=NOW)).strips == ()


@given(
    st.timedeltas(timedelta(days=-1), timedelta(days=9)),
    st.booleans(),
    st.sampled_from(["active", "expired", "revoked", "disconnected"]),
    st.booleans(),
)
def test_it_is_open_exactly_where_the_sender_would_send(
    age: timedelta, is_enabled: bool, status: ChannelStatus, ours: bool
) -> None:
    composer = composer_of(
        NOW, situation(age, is_enabled=is_enabled, status=status, thread_ours=ours)
    )
    would = decide(
        origin="human",
        channel_enabled=is_enabled,
        channel_status="active" if status in ("expired", "revoked") else status,
        mode_now="human",
        mode_epoch_now=1,
        command_epoch=None,
        last_user_message_at=NOW - age,
        now=NOW,
        thread_is_ours=ours,
    )
    assert (composer.lock is None) == isinstance(would, Send)
    if isinstance(would, Send):
        assert composer.window.until == would.window_expires_at
        assert (composer.window.kind == "human_only") == (would.tag is not None)


@pytest.mark.parametrize(
    ("mode", "by", "kind", "words"),
    [
        ("ai", None, "assistant", "Assistant is replying"),
        ("human", "me", "mine", "You are replying"),
        ("human", "usr_2", "other", "Mo is replying"),
        ("human", "facebook", "facebook", "Somebody on Facebook is replying"),
    ],
)
def test_who_has_it(mode: str, by: str | None, kind: str, words: str) -> None:
    bar = bar_of(mode, by, "Mo" if by == "usr_2" else None, "me")
    assert (bar.kind, bar.words) == (kind, words)


def test_when_the_assistant_returns() -> None:
    assert until_words(None, NOW) == "until somebody returns it"
    assert until_words(NOW + timedelta(minutes=28), NOW) == "assistant returns in 28 min"
    assert until_words(NOW, NOW) == "assistant returns now"


@pytest.mark.parametrize(
    ("minutes", "words"),
    [
        (5, "5 minutes"),
        (60, "1 hour"),
        (90, "1 h 30 min"),
        (240, "4 hours"),
        (1440, "1 day"),
        (1500, "25 hours"),
        (10_080, "7 days"),
    ],
)
def test_timers_in_words(minutes: int, words: str) -> None:
    assert timer_words(minutes) == words


def test_the_pages_own_number_is_offered_too() -> None:
    assert ("45", "for 45 minutes") in timers(45)
    assert [value for value, _ in timers(None)][-2:] == ["none", "own"]


@given(st.one_of(st.text(max_size=8), st.integers(-10, 20_000).map(str)))
def test_only_numbers_within_the_limits_are_timers(typed: str) -> None:
    is_number = typed.isascii() and typed.isdigit() and len(typed) < 7
    assert is_timer(typed) == (is_number and SHORTEST <= int(typed) <= LONGEST)
