import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.sender.domain import refusals
from services.sender.domain.outcome import (
    MetaError,
    Outcome,
    RateLimited,
    Refused,
    Sent,
    TokenRejected,
    Uncertain,
    classify,
)
from services.sender.domain.refusals import LimitScope, Refusal, TokenCause

codes = st.integers(-1, 700) | st.sampled_from([1200, 2022, 2500, 80001, 80006, 2018300, 9000001])
subcodes = st.none() | st.integers(0, 500) | st.sampled_from(sorted(refusals._BY_SUBCODE))
http_statuses = st.integers(200, 599)


def answered(code: int, subcode: int | None, status: int = 400, message: str = "") -> Outcome:
    return classify(status=status, error=MetaError(code, subcode, message))


@pytest.mark.parametrize(
    ("code", "subcode", "reason", "kind", "retry"),
    [
        (10, 2018278, "window_closed", "person", "when_person_writes"),
        (10, 2534022, "window_closed", "person", "when_person_writes"),
        (10, 2018065, "window_closed", "person", "when_person_writes"),
        (10, 2018108, "person_unavailable", "person", "when_person_writes"),
        (10, None, "permission_missing", "page", "when_fixed"),
        (10, 42, "permission_missing", "page", "when_fixed"),
        (10, 1404170, "person_stopped", "person", "when_person_writes"),
        (10, 1893015, "person_stopped", "person", "when_person_writes"),
        (10, 2018336, "person_stopped", "person", "when_person_writes"),
        (551, None, "person_unavailable", "person", "when_person_writes"),
        (551, 1545041, "person_unavailable", "person", "when_person_writes"),
        (200, 1545041, "person_unavailable", "person", "when_person_writes"),
        (100, 2018001, "no_such_person", "person", "never"),
        (100, 2018218, "no_such_person", "person", "never"),
        (2018218, None, "no_such_person", "person", "never"),
        (100, 33, "not_found", "input", "never"),
        (100, 2018014, "invalid_request", "input", "never"),
        (100, 2018034, "empty_message", "input", "never"),
        (100, 2018008, "attachment_not_fetched", "input", "once"),
        (100, 2018294, "attachment_not_fetched", "input", "once"),
        (100, 2018047, "attachment_refused", "input", "never"),
        (100, 2018074, "attachment_refused", "input", "never"),
        (100, 2018109, "attachment_refused", "input", "never"),
        (100, 2018145, "invalid_request", "input", "never"),
        (100, 2018164, "invalid_request", "input", "never"),
        (100, 2534015, "invalid_request", "input", "never"),
        (100, 2018320, "invalid_request", "input", "never"),
        (100, 1893061, "tag_not_allowed", "input", "never"),
        (100, 2018276, "human_agent_not_approved", "page", "when_fixed"),
        (10, 2018276, "human_agent_not_approved", "page", "when_fixed"),
        (100, None, "invalid_request", "input", "never"),
        (100, 2534037, "thread_owned_by_other_app", "thread", "never"),
        (100, 2018300, "thread_owned_by_other_app", "thread", "never"),
        (2018300, None, "thread_owned_by_other_app", "thread", "never"),
        (2018171, None, "thread_owned_by_other_app", "thread", "never"),
        (100, 2018171, "thread_owned_by_other_app", "thread", "never"),
        (10, 2018300, "thread_owned_by_other_app", "thread", "never"),
        (2018321, None, "thread_busy", "thread", "later"),
        (10, 2018321, "thread_busy", "thread", "later"),
        (200, 2018028, "app_not_live", "page", "when_fixed"),
        (200, 2018027, "app_not_live", "page", "when_fixed"),
        (200, 2018021, "app_not_live", "page", "when_fixed"),
        (200, None, "permission_missing", "page", "when_fixed"),
        (230, None, "permission_missing", "page", "when_fixed"),
        (299, None, "permission_missing", "page", "when_fixed"),
        (2018247, None, "permission_missing", "page", "when_fixed"),
        (803, None, "not_found", "input", "never"),
        (2500, None, "not_found", "input", "never"),
        (2022, None, "commerce_disabled", "page", "when_fixed"),
        (9000001, None, "message_gone", "input", "never"),
        (11, None, "feature_removed", "input", "never"),
        (9, None, "unknown_error", "input", "never"),
        (300, None, "unknown_error", "input", "never"),
        (424242, 1, "unknown_error", "input", "never"),
    ],
)
def test_a_refusal_has_a_reason_and_a_hint(
    code: int, subcode: int | None, reason: str, kind: str, retry: str
) -> None:
    outcome = answered(code, subcode)
    assert isinstance(outcome, Refused)
    assert (outcome.code, outcome.subcode) == (code, subcode)
    refusal = outcome.refusal
    assert (refusal.reason, refusal.kind, refusal.retry) == (reason, kind, retry)


@pytest.mark.parametrize(
    ("code", "subcode", "cause", "status"),
    [
        (190, None, "unknown", "expired"),
        (190, 99, "unknown", "expired"),
        (102, None, "unknown", "expired"),
        (190, 458, "app_removed", "revoked"),
        (190, 459, "checkpoint", "revoked"),
        (190, 460, "password_changed", "revoked"),
        (190, 463, "expired", "expired"),
        (190, 464, "unconfirmed_account", "revoked"),
        (190, 467, "invalid", "revoked"),
        (190, 492, "role_lost", "revoked"),
        (368, None, "page_restricted", None),
        (368, 1, "page_restricted", None),
        (10, 1893063, "page_restricted", None),
        (200, 1893063, "page_restricted", None),
    ],
)
def test_a_rejected_token_has_a_cause(
    code: int, subcode: int | None, cause: str, status: str | None
) -> None:
    outcome = answered(code, subcode, status=401)
    assert isinstance(outcome, TokenRejected)
    assert (outcome.cause.cause, outcome.cause.status) == (cause, status)


@pytest.mark.parametrize(
    "message",
    [
        "Invalid appsecret_proof provided in the API argument",
        "API calls from the server require an appsecret_proof argument",
    ],
)
def test_a_wrong_app_secret_stops_the_page_and_fails_no_message(message: str) -> None:
    outcome = classify(status=400, error=MetaError(100, None, message))
    assert isinstance(outcome, TokenRejected)
    assert (outcome.cause.cause, outcome.cause.status) == ("app_secret", None)


@pytest.mark.parametrize(
    ("code", "subcode", "scope"),
    [
        (4, None, "app"),
        (4, 2018022, "app"),
        (4, 2018354, "app"),
        (17, None, "app"),
        (341, None, "app"),
        (32, None, "page"),
        (613, None, "page"),
        (613, 1996, "page"),
        (613, 2534040, "page"),
        (613, 2018338, "person"),
        (613, 1893016, "person"),
        (80001, None, "page"),
        (80006, None, "page"),
        (9, 2018352, "person"),
    ],
)
def test_a_limit_is_no_refusal(code: int, subcode: int | None, scope: LimitScope) -> None:
    error = MetaError(code, subcode)
    with_time = classify(status=403, error=error, retry_after_s=120)
    without = classify(status=400, error=error)
    assert with_time == RateLimited(scope, 120, code, subcode)
    assert without == RateLimited(scope, None, code, subcode)


@pytest.mark.parametrize(
    ("code", "subcode"),
    [(-1, None), (1, None), (1, 99), (1, 1357046), (2, None), (2, 1545041), (1200, 2018024)],
)
def test_where_meta_is_unsure_so_are_we(code: int, subcode: int | None) -> None:
    for status in (400, 500):
        assert answered(code, subcode, status) == Uncertain("meta_unsure", code, subcode)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, Uncertain("unreadable_answer")),
        (302, Uncertain("unreadable_answer")),
        (400, Uncertain("unreadable_answer")),
        (404, Uncertain("unreadable_answer")),
        (429, Uncertain("too_many_calls", retry_after_s=7.0)),
        (500, Uncertain("server_error")),
        (502, Uncertain("server_error")),
    ],
)
def test_the_status_alone_decides_nothing(status: int, expected: Outcome) -> None:
    assert classify(status=status, retry_after_s=7.0) == expected


def test_a_message_with_an_id_is_sent() -> None:
    assert classify(status=200, mid="m_1") == Sent("m_1")
    assert classify(status=200, mid="") == Uncertain("unreadable_answer")
    assert classify(status=500, mid="m_1") == Uncertain("server_error")


def test_without_an_answer_it_matters_whether_anything_left() -> None:
    assert classify() == Uncertain("no_answer")
    not_sent = classify(may_have_arrived=False)
    assert isinstance(not_sent, Refused)
    assert (not_sent.refusal.reason, not_sent.refusal.retry) == ("unreachable", "soon")


@pytest.mark.parametrize(
    ("code", "message", "reason"),
    [
        (
            100,
            "(#100) Length of param message[text] must be less than or equal to 2000",
            "too_long",
        ),
        (
            100,
            "(#100) La longueur du paramètre message[text] doit être inférieure ou égale à 2000",
            "too_long",
        ),
        (100, "(#100) พารามิเตอร์ message[text] ยาวเกินไป", "too_long"),
        (100, "Length of param recipient[id] must be less than 30", "invalid_request"),
        (551, "Length of param message[text] must be less than 2000", "person_unavailable"),
    ],
)
def test_a_too_long_text_is_known_by_its_message(code: int, message: str, reason: str) -> None:
    outcome = answered(code, None, message=message)
    assert isinstance(outcome, Refused)
    assert outcome.refusal.reason == reason
    assert (outcome.refusal.retry == "split") is (reason == "too_long")


@pytest.mark.parametrize("seconds", [-1.0, 0.0, float("nan"), float("inf")])
def test_a_senseless_time_to_wait_is_no_time(seconds: float) -> None:
    assert classify(status=429, retry_after_s=seconds) == Uncertain("too_many_calls")
    limited = classify(status=400, error=MetaError(613), retry_after_s=seconds)
    assert limited == RateLimited("page", None, 613)


@given(codes, subcodes, http_statuses, http_statuses)
def test_the_code_decides_whatever_the_status(
    code: int, subcode: int | None, status: int, other: int
) -> None:
    assert answered(code, subcode, status) == answered(code, subcode, other)


@given(codes, subcodes, st.text(max_size=40))
def test_no_other_text_decides(code: int, subcode: int | None, message: str) -> None:
    assert answered(code, subcode, message=message) == answered(code, subcode)


def test_everything_that_can_go_wrong_has_words_for_people() -> None:
    constants = list(vars(refusals).values())
    causes = [*constants, *refusals.TOKEN_CAUSES.values()]
    spoken = [each for each in causes if isinstance(each, Refusal | TokenCause)]
    assert len(spoken) > 25
    for each in spoken:
        assert each.explanation.endswith(".")
        assert each.advice.endswith(".")


def test_a_reason_means_one_thing() -> None:
    known = [each for each in vars(refusals).values() if isinstance(each, Refusal)]
    assert len({each.reason for each in known}) == len(known)
