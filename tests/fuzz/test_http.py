"""Bytes at the gateway's port: what is no request is refused, and nothing is smuggled in."""

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.common.events import Record
from services.gateway.domain.payload import parse
from services.gateway.domain.splitting import to_events
from tests.fuzz.gateways import Fuzzed, open_gateway
from tests.fuzz.requests import ACCEPTED, BODY, ELSEWHERE, GET_HEALTH, GOOD, REFUSED, chunked
from tests.fuzz.shapes import ODD_BYTES
from tests.unit.gateway.test_splitting import NOW

EXAMPLES = 150
(THE_RECORD,) = to_events(parse(BODY), NOW)
ALL = [GOOD, *ACCEPTED.values(), *REFUSED.values(), *(each for each, _ in ELSEWHERE.values())]
SMALL = sorted({each for each in ALL if len(each) < 3000})
JOINTS = (b"\r\n", b"\n", b"\r", b"\x00", b": ", b" ", b"chunked", b"0\r\n\r\n", *ODD_BYTES)


def require_only_what_was_signed(records: list[Record]) -> None:
    """All that is published came with the one signature that there is, unchanged."""
    assert all(record == THE_RECORD for record in records)


@pytest.mark.parametrize("name", ACCEPTED)
def test_odd_requests_that_are_requests_all_the_same(gateway: Fuzzed, name: str) -> None:
    seen, records = gateway.send(ACCEPTED[name])
    assert (seen.statuses, records) == ([200], [THE_RECORD])


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_request_ends_its_connection(gateway: Fuzzed, name: str) -> None:
    seen, records = gateway.send(REFUSED[name])
    assert (seen.statuses, records, seen.was_closed) == ([400], [], True)


@pytest.mark.parametrize("name", ELSEWHERE)
def test_other_addresses_lead_nowhere(gateway: Fuzzed, name: str) -> None:
    request, status = ELSEWHERE[name]
    seen, records = gateway.send(request)
    assert (seen.statuses, records) == ([status], [])
    assert all(b"X:1" not in answer.head for answer in seen.answers)


@pytest.mark.parametrize("coding", [b"gzip, chunked", b"deflate,chunked", b"identity, chunked"])
def test_chunks_hold_the_body_itself(gateway: Fuzzed, coding: bytes) -> None:
    seen, records = gateway.send(chunked(coding=b"Transfer-Encoding: %s\r\n" % coding))
    assert (seen.statuses, records) == ([400], [])


def test_requests_on_end_are_answered_one_by_one(gateway: Fuzzed) -> None:
    seen, records = gateway.send(GOOD + GET_HEALTH + GOOD)
    assert (seen.statuses, records) == ([200, 200, 200], [THE_RECORD] * 2)


def test_a_body_is_asked_for_by_who_waits_for_that(gateway: Fuzzed) -> None:
    head, _, body = GOOD.partition(b"\r\n\r\n")
    seen, records = gateway.send(head + b"\r\nExpect: 100-continue\r\n\r\n", body)
    assert (seen.statuses, records) == ([100, 200], [THE_RECORD])


@pytest.mark.parametrize("turns", range(6))
def test_who_leaves_before_being_looked_at_causes_no_fault(turns: int) -> None:
    """After so many turns of the loop: the request may have been seen, and its body awaited."""

    async def leave() -> None:
        async with open_gateway() as gateway:
            await gateway.send(GOOD[:-10], leave_after=turns)

    asyncio.run(leave())


@given(
    cuts=st.lists(st.integers(1, len(GOOD) - 1), max_size=8), name=st.sampled_from(sorted(ACCEPTED))
)
@settings(max_examples=EXAMPLES, derandomize=True)
def test_how_it_arrives_changes_nothing(gateway: Fuzzed, cuts: list[int], name: str) -> None:
    whole = ACCEPTED[name]
    places = sorted({0, *cuts, len(whole)})
    seen, records = gateway.send(*(whole[a:b] for a, b in pairwise(places)))
    assert (seen.statuses, records) == ([200], [THE_RECORD])


@st.composite
def broken_requests(draw: st.DrawFn) -> bytes:
    """Some of them on end, with pieces cut out, doubled, or put in."""
    raw = b"".join(draw(st.lists(st.sampled_from(SMALL), min_size=1, max_size=3)))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(raw)))
        end = min(len(raw), start + draw(st.integers(0, 20)))
        odd = draw(st.sampled_from(JOINTS) | st.binary(max_size=8))
        piece = draw(st.sampled_from((b"", odd, odd + raw[start:end], raw[start:end] * 2)))
        raw = raw[:start] + piece + raw[end:]
    return raw


@given(raw=broken_requests() | st.binary(max_size=200), cut=st.integers(0, 500))
@settings(max_examples=2 * EXAMPLES, derandomize=True)
def test_nothing_is_published_that_was_not_signed(gateway: Fuzzed, raw: bytes, cut: int) -> None:
    _, records = gateway.send(raw[:cut], raw[cut:])
    require_only_what_was_signed(records)


def test_the_laws_can_fail(gateway: Fuzzed, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the check of signatures gone, the search finds what was published unsigned."""
    monkeypatch.setattr("services.gateway.handlers.is_valid_signature", lambda *_: True)
    unsigned: Any = GOOD.replace(b"m_1", b"m_2")
    _, records = gateway.send(unsigned)
    with pytest.raises(AssertionError):
        require_only_what_was_signed(records)
