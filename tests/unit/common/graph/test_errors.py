"""Which error a code and subcode stand for, and what the kinds tell a consumer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.errors import PermanentError, TransientError
from libs.common.graph import (
    GraphError,
    InvalidRequestError,
    NoProfileError,
    NotFoundError,
    NotSentError,
    OutcomeUnknownError,
    PageRestrictedError,
    PermissionMissingError,
    PersonUnavailableError,
    RateLimitedError,
    ThreadControlError,
    TokenRejectedError,
    UnsureError,
    WindowClosedError,
    appsecret_proof,
)
from libs.common.graph.answers import parse_error, parse_object
from libs.common.graph.errors import error_type


@pytest.mark.parametrize(
    ("code", "subcode", "kind"),
    [
        (10, 2018278, WindowClosedError),
        (10, 2534022, WindowClosedError),
        (10, None, PermissionMissingError),
        (10, 1893063, PageRestrictedError),
        (10, 2018108, PersonUnavailableError),
        (551, 1545041, PersonUnavailableError),
        (551, None, PersonUnavailableError),
        (200, 1545041, PersonUnavailableError),
        (200, 2018028, PermissionMissingError),
        (299, None, PermissionMissingError),
        (300, None, InvalidRequestError),
        (100, None, InvalidRequestError),
        (100, 33, NotFoundError),
        (190, 33, TokenRejectedError),
        (100, 2018001, NotFoundError),
        (100, 2018218, NoProfileError),
        (2018218, None, NoProfileError),
        (2018300, None, ThreadControlError),
        (100, 2534037, ThreadControlError),
        (190, 463, TokenRejectedError),
        (190, None, TokenRejectedError),
        (102, None, TokenRejectedError),
        (4, 2018022, RateLimitedError),
        (613, 2018338, RateLimitedError),
        (80006, None, RateLimitedError),
        (9, 2018352, RateLimitedError),
        (9, None, InvalidRequestError),
        (1, 1357046, UnsureError),
        (2, 1545041, UnsureError),  # also seen when the person has blocked the Page
        (-1, None, UnsureError),
        (1200, 2018024, UnsureError),
        (368, None, PageRestrictedError),
        (123456, 654321, InvalidRequestError),
    ],
)
def test_error_by_code_and_subcode(code: int, subcode: int | None, kind: type[GraphError]) -> None:
    assert error_type(code, subcode) is kind


@given(st.integers(), st.none() | st.integers())
def test_every_pair_has_an_error(code: int, subcode: int | None) -> None:
    error = error_type(code, subcode)(code, subcode)
    assert (error.code_, error.subcode) == (code, subcode)
    assert isinstance(error, UnsureError) or (
        isinstance(error, TransientError) is not isinstance(error, PermanentError)
    )


def test_only_what_never_left_may_be_tried_again_as_it_is() -> None:
    assert isinstance(NotSentError("refused"), TransientError)
    for unclear in (OutcomeUnknownError("reset"), UnsureError(2)):
        assert not isinstance(unclear, TransientError | PermanentError)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"error": null}',
        b'{"error": []}',
        b'{"error": {}}',
        b'{"error": {"code": "ten"}}',
        b'{"error": {"code": 1.5}}',
        b'{"error": {"code": "--1"}}',
        b"[" * 5000,
        b"\xff",
    ],
)
def test_answer_without_a_code_is_no_refusal(body: bytes) -> None:
    assert parse_error(parse_object(body), "token") is None


def test_odd_members_of_an_error_count_for_nothing() -> None:
    body = (
        b'{"error": {"code": "10", "error_subcode": "2018278", "message": 5,'
        b'"fbtrace_id": "not a trace"}}'
    )
    error = parse_error(parse_object(body), "token")
    assert error is not None
    assert (error.code, error.subcode, error.message, error.fbtrace_id) == (10, 2018278, "", None)


@given(st.binary())
def test_no_body_can_raise(body: bytes) -> None:
    assert parse_error(parse_object(body), "token") is None


def test_proof_is_metas() -> None:
    expected = "bad6df0b858104754a0ffde2f0c05fe9731f1a5e141ee1bccf316d05f28d5135"
    assert appsecret_proof("EAATESTTOKEN", "test_app_secret") == expected
