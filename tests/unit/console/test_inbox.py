"""The inbox's words and filters, at the moments where they change."""

import gzip
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.console.domain.inbox import TABS, Asked, Counts, Filters, Last, Row
from services.console.domain.inbox_words import (
    Preview,
    ago,
    line_of,
    owner,
    past_of,
    preview,
    returns,
    span,
    trouble,
    window_mark,
    window_of,
)
from services.console.domain.pictures import is_metas, is_shown
from services.console.web.pages import ROOT, STATIC_FOLDER

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
GRAPH = "https://graph.facebook.com"
BUDGET_BYTES = 90 * 1024


def row(**fields: Any) -> Row:  # noqa: ANN401
    return Row(id="1:2001", page_id="1", psid="2001", **fields)


def last(**fields: Any) -> Last:  # noqa: ANN401
    return Last(**{"direction": "out", "origin": "human", "text": "Hi", "at": NOW} | fields)


@given(
    st.builds(
        Filters,
        tab=st.sampled_from(list(TABS)),
        page=st.none() | st.from_regex(r"[0-9]{1,32}", fullmatch=True).filter(str.isascii),
        unread=st.booleans(),
        q=st.text(max_size=100).map(lambda text: " ".join(text.split())),
    )
)
def test_filters_come_back_from_their_address(filters: Filters) -> None:
    query = dict(parse_qsl(urlsplit(filters.at("/inbox")).query))
    assert Filters.of(query) == filters


@given(st.dictionaries(st.sampled_from(["tab", "page", "unread", "q"]), st.text(max_size=300)))
def test_any_address_shows_something(query: dict[str, str]) -> None:
    filters = Filters.of(query)
    assert filters.tab in TABS
    assert Filters.of(filters.pairs) == filters


@pytest.mark.parametrize(
    ("age", "words"),
    [
        (timedelta(seconds=-30), "now"),
        (timedelta(seconds=59), "now"),
        (timedelta(seconds=60), "1 min"),
        (timedelta(minutes=59, seconds=59), "59 min"),
        (timedelta(hours=3, minutes=40), "3 h"),
        (timedelta(days=6, hours=23), "6 d"),
        (timedelta(days=7), "18 Nov"),
        (timedelta(days=365), "25 Nov 2025"),
    ],
)
def test_a_moment_is_as_short_as_it_goes(age: timedelta, words: str) -> None:
    assert ago(NOW - age, NOW) == words


@pytest.mark.parametrize(
    ("length", "words"),
    [
        (timedelta(0), "1 min"),
        (timedelta(minutes=28, seconds=59), "28 min"),
        (timedelta(hours=2), "2 h"),
        (timedelta(hours=2, minutes=10), "2 h 10 min"),
        (timedelta(days=5, hours=3), "5 d"),
    ],
)
def test_a_span_in_words(length: timedelta, words: str) -> None:
    assert span(length) == words


@pytest.mark.parametrize(
    ("age", "label", "until"),
    [
        (timedelta(hours=20, seconds=-1), None, "Open until"),
        (timedelta(hours=20), "4 h left", "Open until"),
        (timedelta(hours=24, seconds=-1), "1 min left", "Open until"),
        (timedelta(hours=24), "Human only · 6 d", "Human only, until"),
        (timedelta(days=7, seconds=-1), "Human only · 1 min", "Human only, until"),
        (timedelta(days=7), "Window closed", "Closed since"),
    ],
)
def test_the_window_has_a_mark_when_little_or_nothing_is_left(
    age: timedelta, label: str | None, until: str
) -> None:
    wrote = row(last_user_message_at=NOW - age)
    mark = window_mark(wrote, NOW)
    assert (mark and mark.label) == label
    found = window_of(wrote, NOW)
    assert found is not None
    assert found[0] == until


def test_who_never_wrote_has_no_window() -> None:
    assert window_mark(row(), NOW) is None
    assert window_of(row(), NOW) is None


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (last(by_name="Ana"), Preview("You", "Hi")),
        (last(by_name="Bo"), Preview("Bo", "Hi")),
        (last(), Preview("Human", "Hi")),
        (last(origin="assistant"), Preview("Assistant", "Hi")),
        (last(origin="human_facebook"), Preview("From Facebook", "Hi")),
        (last(direction="in", origin="person"), Preview("", "Hi")),
        (
            last(direction="in", origin="person", kind="attachment", text=""),
            Preview("", "Sent an attachment"),
        ),
        (
            last(direction="in", origin="person", kind="deleted"),
            Preview("", "Took the message back"),
        ),
    ],
)
def test_a_preview_says_whose_it_is(message: Last, expected: Preview) -> None:
    assert preview(message, "Ana") == expected


@pytest.mark.parametrize(
    ("fields", "label"),
    [
        ({"mode": "ai"}, "AI"),
        ({"mode": "human", "by": "u1", "by_name": "Ana"}, "Human · You"),
        ({"mode": "human", "by": "u2", "by_name": "Bo"}, "Human · Bo"),
        ({"mode": "human", "by": "facebook"}, "Human · Facebook"),
        ({"mode": "human"}, "Human · somebody"),
    ],
)
def test_the_badge_says_who_answers(fields: dict[str, str], label: str) -> None:
    assert owner(row(**fields), "u1").label == label


def test_when_the_assistant_comes_back() -> None:
    human = {"mode": "human", "auto_resume_at": NOW + timedelta(minutes=28)}
    mark = returns(row(**human), NOW)
    assert mark is not None
    assert mark.label == "Back in 28 min"
    mark = returns(row(**human), NOW + timedelta(minutes=28))
    assert mark is not None
    assert mark.label == "Back any moment"
    assert returns(row(mode="human"), NOW) is None
    assert returns(row(auto_resume_at=NOW), NOW) is None


def test_what_may_have_been_sent_is_told_before_what_was_not() -> None:
    held = trouble(row(held=1, failed=2))
    failed = trouble(row(failed=2))
    assert held is not None
    assert held.label == "1 held"
    assert failed is not None
    assert failed.label == "2 not sent"
    assert trouble(row()) is None


def test_a_line_is_read_aloud_as_sentences() -> None:
    asked = Asked(reason="angry", summary="Wants her money back.\nAngry.", at=NOW)
    wants = row(
        name="Mia K.",
        unread=2,
        last_activity_at=NOW,
        last=last(origin="assistant"),
        asked=asked,
        inbound_count=1,
    )
    line = line_of(wants, NOW + timedelta(minutes=12), account_id=None, name="Ana")
    assert line.sentence == (
        "Mia K., 2 unread, 12 min ago. Assistant: Hi. "
        "Wants a human for 12 min: Wants her money back. AI. 1 message."
    )
    nobody = line_of(row(), NOW, account_id=None, name="Ana")
    assert nobody.sentence == "Person 2001. AI. 0 messages."


def test_counts_beyond_what_is_counted_say_so() -> None:
    counts = Counts(all=1000, mine=999)
    assert (counts.words("all"), counts.words("mine")) == ("999+", "999")


@pytest.mark.parametrize(
    ("fields", "words", "note"),
    [
        ({"event": "takeover.started", "by": "u1", "by_name": "Ana"}, "Ana took over", ""),
        (
            {"event": "takeover.requested", "reason": "asked", "summary": "A cake.\nToday."},
            "The assistant asked for a human: the person asked for one",
            "A cake.",
        ),
        ({"event": "handover.changed", "action": "take"}, None, ""),
        ({"kind": "message"}, None, ""),
    ],
)
def test_the_history_of_who_had_it(fields: dict[str, str], words: str | None, note: str) -> None:
    past = past_of({"id": "1", "kind": "system", "at": NOW.isoformat()} | fields)
    assert (past and past.words) == words
    assert past is None or past.note == note


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://platform-lookaside.fbsbx.com/a?psid=1", True),
        ("https://scontent.xx.fbcdn.net/v/1.jpg", True),
        (f"{GRAPH}/1/picture", True),
        ("http://scontent.xx.fbcdn.net/v/1.jpg", False),
        ("https://scontent.xx.fbcdn.net:8443/v/1.jpg", False),
        ("https://fbcdn.net.evil.example/1.jpg", False),
        ("https://evilfbcdn.net/1.jpg", False),
        ("https://user@scontent.xx.fbcdn.net/1.jpg", False),
        ("https://127.0.0.1/1.jpg", False),
        ("file:///etc/passwd", False),
        ("//scontent.xx.fbcdn.net/1.jpg", False),
        ("https://[]@]", False),
        ("", False),
    ],
)
def test_pictures_are_fetched_from_meta_only(url: str, *, allowed: bool) -> None:
    assert is_metas(url, GRAPH) is allowed


def test_drawings_are_taken_from_where_the_api_is_only() -> None:
    assert is_shown("image/jpeg", "https://scontent.xx.fbcdn.net/1", GRAPH)
    assert not is_shown("image/svg+xml", "https://scontent.xx.fbcdn.net/1", GRAPH)
    assert is_shown("image/svg+xml", "http://127.0.0.1:8090/1.svg", "http://127.0.0.1:8090")
    assert not is_shown("text/html", "http://127.0.0.1:8090/1", "http://127.0.0.1:8090")


def test_scripts_and_styles_of_the_inbox_are_light() -> None:
    """As compressed on their way; the icons are a picture and count as one."""
    named: set[str] = set()
    for template in ("page.html", "base.html", "inbox.html"):
        text = (ROOT / "templates" / template).read_text(encoding="utf-8")
        named |= set(re.findall(r"asset\('([^']+\.(?:js|css))'\)", text))
    assert {"console.css", "inbox.css", "inbox.js"} <= named
    sizes = {each: len(gzip.compress((STATIC_FOLDER / each).read_bytes())) for each in named}
    assert sum(sizes.values()) <= BUDGET_BYTES, sizes
