"""Each browser is told of its own workspace's conversations, and never of more than fits."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.console.live.streams import (
    MOST_NAMED,
    Asked,
    Counts,
    Stream,
    Streams,
    TooManyStreamsError,
    event,
)

OURS, THEIRS = frozenset({"1", "2"}), frozenset({"3"})


def stream(account: str = "usr_a", workspace: str = "ours", pages: frozenset[str] = OURS) -> Stream:
    return Stream(account, workspace, pages)


def told(stream: Stream) -> dict[str, dict[str, object]]:
    """What a browser makes of it: data by event."""
    blocks = stream.take().decode().split("\n\n")[:-1]
    lines = [block.split("\n") for block in blocks]
    return {
        name.removeprefix("event: "): json.loads(data.removeprefix("data: "))
        for name, data in lines
    }


@given(st.lists(st.sampled_from(["1:7", "2:8", "3:9", "4:1", "nonsense"])))
def test_hints_go_to_the_workspace_of_the_page_and_nowhere_else(conversations: list[str]) -> None:
    streams, ours, theirs = Streams(), stream(), stream("usr_b", "theirs", THEIRS)
    streams.open(ours)
    streams.open(theirs)
    for conversation in conversations:
        streams.change(conversation)
    for each, pages in ((ours, OURS), (theirs, THEIRS)):
        named = told(each).get("changed", {}).get("conversations", [])
        wanted = {name for name in conversations if name.partition(":")[0] in pages}
        assert isinstance(named, list)
        assert set(named) == wanted
    streams.close(ours)
    streams.close(theirs)
    assert not streams.is_watched("1")


def test_what_waits_is_merged_and_told_once() -> None:
    listening = stream()
    for _ in range(3):
        listening.change("1:7")
    listening.count(Counts(1, 0))
    listening.count(Counts(2, 1))
    assert told(listening) == {
        "changed": {"conversations": ["1:7"], "needs_human": []},
        "counts": {"unread": 2, "needs_human": 1},
    }
    assert listening.take() == b""


def test_whoever_reads_slowly_is_told_that_anything_may_have_changed() -> None:
    listening = stream()
    asked = datetime(2026, 11, 25, tzinfo=UTC)
    for number in range(50_000):
        conversation = f"1:{number}"
        listening.change(conversation, Asked(conversation, asked))
    changed = told(listening)["changed"]
    assert changed["conversations"] is None
    assert isinstance(changed["needs_human"], list)
    assert len(changed["needs_human"]) == MOST_NAMED


def test_nothing_in_an_event_ends_its_line() -> None:
    assert event("changed", {"conversations": ["a\n\nevent: x"]}).count(b"\n") == 3


def test_a_browser_too_many_looks_by_itself() -> None:
    streams = Streams(most=3, most_of_account=2)
    first = [stream(), stream()]
    for each in first:
        streams.open(each)
    with pytest.raises(TooManyStreamsError) as refused:
        streams.open(stream())
    assert refused.value.of_account
    streams.open(stream("usr_b"))
    with pytest.raises(TooManyStreamsError) as refused:
        streams.open(stream("usr_c"))
    assert not refused.value.of_account
    for each in first:
        streams.close(each)
    streams.open(stream())


def test_who_goes_from_page_to_page_is_not_counted_for_each_of_them() -> None:
    streams = Streams(most_of_account=2)
    for _ in range(10):
        streams.open(Stream("usr_a", "ours", OURS, is_gone=lambda: True))
    assert len(streams) == 1


def test_a_page_that_is_connected_later_is_watched_then() -> None:
    streams, listening = Streams(), stream(pages=frozenset())
    streams.open(listening)
    assert streams.change("1:7") == set()
    streams.change_pages(listening, OURS)
    assert streams.change("1:7") == {"ours"}
    streams.change_pages(listening, THEIRS)
    assert not streams.is_watched("1")


async def test_a_process_that_stops_ends_all_and_takes_no_more() -> None:
    streams, listening = Streams(), stream()
    streams.open(listening)
    streams.end()
    assert await listening.wait(60) is False
    with pytest.raises(TooManyStreamsError):
        streams.open(stream())
