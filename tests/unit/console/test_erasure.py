"""How an erasure stands, in words; when it goes on."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.console.domain.erasure import (
    LOOKUP_FOR,
    Lookup,
    lookup_is_over,
    lookup_pause,
    pause_after,
    shown,
)
from services.console.erasures_store import Erasure

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("done", "begun", "waits_for", "lookup", "found", "state", "label"),
    [
        (False, False, None, "pending", False, "received", "Received"),
        (False, True, None, "found", False, "working", "Being erased"),
        (False, True, "sender", "found", False, "waiting", "Waiting"),
        (False, False, "facebook", "refused", False, "waiting", "Waiting for Facebook"),
        (True, True, None, "found", True, "done", "Done"),
        (True, False, None, "nothing", False, "done", "Done"),
    ],
)
def test_the_state_follows_from_what_was_done(
    *,
    done: bool,
    begun: bool,
    waits_for: str | None,
    lookup: Lookup,
    found: bool,
    state: str,
    label: str,
) -> None:
    told = shown(
        done_at=NOON if done else None,
        erased_at=NOON if begun else None,
        waits_for=waits_for,
        lookup=lookup,
        found_anything=found,
    )
    assert (told.state, told.label) == (state, label)


def test_who_could_not_be_found_is_told_why() -> None:
    facts = {"done_at": NOON, "erased_at": None, "waits_for": None, "found_anything": False}
    refused = shown(lookup="refused", **facts)  # type: ignore[arg-type]
    nothing = shown(lookup="nothing", **facts)  # type: ignore[arg-type]
    assert "Facebook did not say" in refused.words
    assert "Nothing was stored" in nothing.words
    facts["found_anything"] = True
    some = shown(lookup="refused", **facts)  # type: ignore[arg-type]
    assert "Facebook did not say" in some.words
    assert "Everything" not in some.words


@given(st.integers(0, 10_000))
def test_pauses_grow_and_end_somewhere(attempts: int) -> None:
    assert pause_after(attempts) <= pause_after(attempts + 1) <= timedelta(minutes=10)
    assert lookup_pause(attempts) <= lookup_pause(attempts + 1) <= timedelta(hours=1)


@pytest.mark.parametrize(
    ("lookup", "age", "over"),
    [
        ("none", timedelta(), True),
        ("found", timedelta(), True),
        ("nothing", timedelta(), True),
        ("pending", timedelta(), False),
        ("refused", LOOKUP_FOR - timedelta(seconds=1), False),
        ("refused", LOOKUP_FOR, True),
        ("pending", LOOKUP_FOR, False),  # the console was away for a day: nobody has looked yet
    ],
)
def test_facebook_is_asked_for_a_day(lookup: Lookup, age: timedelta, *, over: bool) -> None:
    assert lookup_is_over(lookup, NOON, NOON + age) is over


def test_who_sees_one_page_sees_what_was_erased_there_and_no_more() -> None:
    erasure = Erasure(
        id="code",
        how="facebook",
        requested_at=NOON,
        erased={
            "1": {"conversation": {"messages": 3, "people": 0}, "sender": {"deliveries": 2}},
            "2": {"conversation": {"messages": 40}},
        },
    )
    assert erasure.counts(["1"]) == {"messages": 3, "deliveries": 2}
    assert erasure.counts(["1", "2"]) == {"messages": 43, "deliveries": 2}
    assert erasure.counts(["3"]) == {}
    assert erasure.erased_total == 45
