"""The rules of connecting: whose answer it is, why there are no Pages, which may be had."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.console.domain.connection import CAUSES, Pause, connection_state, lost_status
from services.console.domain.facebook_login import FIELDS, REQUIRED, AskedLogin, state_problem
from services.console.domain.no_pages import Answers, causes, missing_permissions
from services.console.domain.page_choice import KnownChannel, Standing, standing
from services.console.domain.token_check import TokenState, is_due, missing_fields, token_cause

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
LATER = NOW + timedelta(minutes=10)
GRANTED = dict.fromkeys(REQUIRED, "granted")
ALL_TASKS = frozenset({"MESSAGING", "MODERATE", "MANAGE"})


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        (AskedLogin("s", LATER, used=False), None),
        (None, "unknown"),
        (AskedLogin("other", LATER, used=False), "foreign"),
        (AskedLogin("other", LATER, used=True), "foreign"),
        (AskedLogin("s", LATER, used=True), "used"),
        (AskedLogin("s", NOW, used=False), "expired"),
    ],
)
def test_an_answer_counts_once_here_and_in_time(
    asked: AskedLogin | None, problem: str | None
) -> None:
    assert state_problem(asked, "s", NOW) == problem


@pytest.mark.parametrize(
    ("answers", "codes"),
    [
        (Answers(GRANTED, page_count=1, usable_count=1), []),
        (Answers(GRANTED, page_count=2), ["not_usable"]),
        (Answers(GRANTED, page_count=0), ["no_role"]),
        (Answers(GRANTED, page_count=0, ticked=()), ["none_ticked", "no_role"]),
        (
            Answers(GRANTED, page_count=0, ticked=("1",), hidden={"1": "unpublished"}),
            ["unpublished"],
        ),
        (
            Answers(
                GRANTED,
                page_count=0,
                ticked=("1", "2"),
                hidden={"2": "unpublished", "1": "not_shown"},
            ),
            ["not_shown", "unpublished"],
        ),
        (
            Answers(GRANTED | {"pages_messaging": "declined"}, page_count=1, usable_count=1),
            ["declined"],
        ),
        (Answers({"pages_show_list": "granted"}, page_count=1), ["not_offered", "not_offered"]),
        (
            Answers({"pages_show_list": "declined", "pages_messaging": "granted"}, page_count=0),
            ["declined", "not_offered"],
        ),
    ],
)
def test_why_there_is_no_page(answers: Answers, codes: list[str]) -> None:
    assert [cause.code for cause in causes(answers)] == codes


statuses = st.dictionaries(
    st.sampled_from(REQUIRED), st.sampled_from(["granted", "declined", "expired"])
)


@given(
    permissions=statuses,
    page_count=st.integers(0, 3),
    usable=st.integers(0, 3),
    ticked=st.none() | st.lists(st.sampled_from("123"), unique=True).map(tuple),
)
def test_whoever_can_connect_nothing_is_told_why_and_nobody_else(
    permissions: dict[str, str], page_count: int, usable: int, ticked: tuple[str, ...] | None
) -> None:
    usable = min(usable, page_count)
    answers = Answers(permissions, page_count, usable, ticked)
    found = causes(answers)
    is_possible = usable > 0 and not missing_permissions(permissions)
    assert bool(found) is not is_possible
    told = {cause.about for cause in found}
    assert set(missing_permissions(permissions)) <= told
    certain = [cause.is_certain for cause in found]
    assert certain == sorted(certain, reverse=True)
    assert all(cause.title and cause.cure for cause in found)


@pytest.mark.parametrize(
    ("tasks", "has_token", "known", "expected"),
    [
        (ALL_TASKS, True, None, Standing.NEW),
        (ALL_TASKS, True, KnownChannel("w", is_active=True), Standing.HERE),
        (ALL_TASKS, True, KnownChannel("w", is_active=False), Standing.LOST),
        (ALL_TASKS, True, KnownChannel("other", is_active=False), Standing.ELSEWHERE),
        (frozenset(), False, KnownChannel("other", is_active=True), Standing.ELSEWHERE),
        (ALL_TASKS, False, None, Standing.NO_ACCESS),
        (frozenset({"MODERATE"}), True, None, Standing.NO_MESSAGING),
        (frozenset({"MESSAGING"}), True, None, Standing.NO_SUBSCRIBING),
        (frozenset({"MESSAGING", "CREATE_CONTENT"}), True, None, Standing.NEW),
    ],
)
def test_which_pages_can_be_had(
    tasks: frozenset[str], has_token: bool, known: KnownChannel | None, expected: Standing
) -> None:
    assert standing(tasks, has_token=has_token, known=known, workspace_id="w") is expected
    assert expected.words


@given(
    tasks=st.frozensets(st.sampled_from(["MESSAGING", "MODERATE", "MANAGE", "ANALYZE"])),
    has_token=st.booleans(),
    known=st.none() | st.builds(KnownChannel, st.sampled_from(["w", "other"]), st.booleans()),
)
def test_nobody_gets_another_workspaces_page_nor_one_that_would_be_deaf_or_dumb(
    tasks: frozenset[str], has_token: bool, known: KnownChannel | None
) -> None:
    if standing(tasks, has_token=has_token, known=known, workspace_id="w").can_be_chosen:
        assert has_token
        assert "MESSAGING" in tasks
        assert tasks & {"MODERATE", "MANAGE"}
        assert known is None or known.workspace_id == "w"


def test_a_lost_connection_speaks_before_a_pause() -> None:
    lost = connection_state("revoked", paused=Pause(), cause="role_lost", since=NOW)
    assert (lost.label, lost.kind, lost.since) == ("Revoked", "bad", NOW)
    assert lost.words == CAUSES["role_lost"]
    assert lost.needs_reconnect
    paused = connection_state("active", paused=Pause("Ada", NOW), cause=None, since=None)
    assert (paused.label, paused.kind, paused.needs_reconnect) == ("Paused", "warn", False)
    assert (paused.since, "by Ada" in paused.words) == (NOW, True)
    good = connection_state("active", paused=None, cause=None, since=None)
    assert (good.label, good.kind) == ("Active", "good")
    gone = connection_state("disconnected", paused=None, cause=None, since=None)
    assert (gone.label, gone.kind, gone.needs_reconnect) == ("Disconnected", "calm", True)


@pytest.mark.parametrize(
    ("cause", "status"),
    [
        ("expired", "expired"),
        ("unreadable", "expired"),
        ("password_changed", "revoked"),
        ("role_lost", "revoked"),
        ("permission_missing", "revoked"),
        ("page_restricted", None),
        ("app_secret", None),
    ],
)
def test_what_a_refused_token_makes_of_a_channel(cause: str, status: str | None) -> None:
    assert lost_status(cause) == status


@pytest.mark.parametrize(
    ("token", "cause"),
    [
        (TokenState(is_valid=True, scopes=REQUIRED), None),
        (TokenState(is_valid=True), None),
        (TokenState(is_valid=True, scopes=("pages_messaging", "pages_manage_metadata")), None),
        (TokenState(is_valid=True, scopes=("pages_messaging",)), "permission_missing"),
        (TokenState(is_valid=False, subcode=460), "password_changed"),
        (TokenState(is_valid=False, subcode=463), "expired"),
        (TokenState(is_valid=False, subcode=492), "role_lost"),
        (TokenState(is_valid=False, expires_at=NOW), "expired"),
        (TokenState(is_valid=False, expires_at=LATER), "unknown"),
        (TokenState(is_valid=False, subcode=1), "unknown"),
    ],
)
def test_what_facebook_says_of_a_token(token: TokenState, cause: str | None) -> None:
    assert token_cause(token, NOW) == cause
    if cause is not None:
        assert lost_status(cause) in ("expired", "revoked")
        assert cause in CAUSES


def test_a_page_is_looked_at_every_quarter_of_an_hour() -> None:
    long_ago = NOW - timedelta(minutes=15)
    assert is_due(None, long_ago, NOW)
    assert not is_due(NOW - timedelta(minutes=14), long_ago, NOW)
    assert not is_due(long_ago, NOW - timedelta(minutes=1), NOW)  # just connected again


@given(st.sets(st.sampled_from(FIELDS)))
def test_what_is_not_subscribed_is_missing(subscribed: set[str]) -> None:
    assert set(missing_fields(subscribed)) | subscribed == set(FIELDS)
    assert not set(missing_fields(subscribed)) & subscribed
