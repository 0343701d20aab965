"""The console's rules."""

import ipaddress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.console.domain import addresses, passwords, throttling
from services.console.domain.clients import client_address, device, safe_path
from services.console.domain.roles import (
    LastAdminError,
    Member,
    OwnAccountError,
    Role,
    UnknownMemberError,
    changed,
)
from services.console.domain.sessions import Lifetime, needs_touch
from services.console.domain.tokens import ApiToken, Scope, hashed

NOW = datetime(2026, 11, 25, 12, 7, tzinfo=UTC)
ADMIN, MEMBER = Member(role=Role.ADMIN), Member(role=Role.MEMBER)
ROSTER = {"ada": ADMIN, "eve": ADMIN, "mo": MEMBER}
HERE = frozenset(ROSTER)


def test_a_member_becomes_an_administrator_and_back() -> None:
    assert changed(ROSTER, "mo", by="ada", role=Role.ADMIN, signs_in=HERE) == ADMIN
    assert changed(ROSTER, "eve", by="ada", role=Role.MEMBER, signs_in=HERE) == MEMBER


def test_what_is_not_said_stays() -> None:
    off = changed(ROSTER, "eve", by="ada", disabled=True, signs_in=HERE)
    assert off == Member(role=Role.ADMIN, disabled=True)
    assert changed(ROSTER, "eve", by="ada", signs_in=HERE) is ROSTER["eve"]


@pytest.mark.parametrize("change", [{"role": Role.MEMBER}, {"disabled": True}])
def test_nobody_takes_their_own_rights_away(change: dict[str, Role | bool]) -> None:
    with pytest.raises(OwnAccountError):
        changed(ROSTER, "ada", by="ada", signs_in=HERE, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("roster", "signs_in"),
    [
        ({"ada": ADMIN, "mo": MEMBER}, HERE),
        ({"ada": ADMIN, "eve": Member(role=Role.ADMIN, disabled=True)}, HERE),
        ({"ada": ADMIN, "eve": ADMIN}, frozenset({"ada"})),
    ],
    ids=["alone", "the other is off", "the other has not come yet"],
)
def test_one_administrator_stays_who_can_sign_in(
    roster: dict[str, Member], signs_in: frozenset[str]
) -> None:
    with pytest.raises(LastAdminError):
        changed(roster, "ada", by="eve", disabled=True, signs_in=signs_in)


def test_somebody_of_another_workspace_is_unknown() -> None:
    with pytest.raises(UnknownMemberError):
        changed(ROSTER, "stranger", by="ada", disabled=True, signs_in=HERE)


@pytest.mark.parametrize(
    ("text", "address"),
    [(" Ana@Example.ORG ", "ana@example.org"), ("a.b+c@x-y.co.uk", "a.b+c@x-y.co.uk")],
)
def test_addresses_have_one_spelling(text: str, address: str) -> None:
    assert addresses.normalised(text) == address


@pytest.mark.parametrize(
    "text", ["", "ana", "ana@", "@example.org", "a b@example.org", "a@b", "a@b@c.de", "x" * 255]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="e-mail address"):
        addresses.normalised(text)


@pytest.mark.parametrize(
    ("password", "good"),
    [
        ("correct horse battery", True),
        ("Пароль из слов", True),
        ("elevenchars", False),
        ("x" * 201, False),
        ("abababababababab", False),
        ("administrator", False),
        ("ana.lopez@example.org", False),
        ("ana.lopezana.lopez", False),
    ],
)
def test_passwords(password: str, good: bool) -> None:
    assert (passwords.objection(password, "ana.lopez@example.org") is None) is good


def test_a_password_is_one_however_it_is_typed() -> None:
    assert passwords.normalised("café") == passwords.normalised("café")


def test_attempts_are_counted_for_both_and_for_each() -> None:
    pair, address, account = throttling.limits("ana@example.org", "198.51.100.7", NOW)
    others = throttling.limits("ana@example.org", "198.51.100.8", NOW)
    assert (pair.key, address.key) != (others[0].key, others[1].key)
    assert account.key == others[2].key
    assert address.key == throttling.limits("mo@example.org", "198.51.100.7", NOW)[1].key
    assert account.most > address.most, "one address alone locks nobody out"
    assert "ana" not in pair.key + account.key
    assert "198.51" not in pair.key + address.key


def test_a_window_ends_and_the_next_one_counts_anew() -> None:
    end = throttling.window_end(NOW)
    assert NOW < end <= NOW + throttling.WINDOW
    before = throttling.limits("a@b.cd", "::1", end - timedelta(microseconds=1))
    assert before == throttling.limits("a@b.cd", "::1", NOW)
    assert not set(before) & set(throttling.limits("a@b.cd", "::1", end))


def test_in_ipv6_a_network_is_somebody() -> None:
    assert throttling.network_of("2001:db8:1:2::7") == throttling.network_of("2001:db8:1:2:9::1")
    assert throttling.network_of("2001:db8:1:2::7") != throttling.network_of("2001:db8:1:3::7")
    assert throttling.network_of("unknown") == "unknown"


@pytest.mark.parametrize(
    ("after", "idle_since", "ends_after"),
    [(0, 0, 60), (30, 30, 90), (150, 150, 180), (170, 170, 180)],
)
def test_a_session_ends_idle_or_old(after: int, idle_since: int, ends_after: int) -> None:
    lifetime = Lifetime(idle=timedelta(minutes=60), absolute=timedelta(minutes=180))
    seen = NOW + timedelta(minutes=after)
    assert lifetime.expires_at(NOW, seen) == NOW + timedelta(minutes=ends_after)
    assert idle_since == after


def test_a_click_is_noted_once_a_minute() -> None:
    assert not needs_touch(NOW, NOW + timedelta(seconds=59))
    assert needs_touch(NOW, NOW + timedelta(seconds=60))


def test_an_api_token_is_read_as_it_was_written() -> None:
    token = ApiToken.new()
    assert ApiToken.parse(str(token)) == token
    assert token.matches(hashed(token.secret))
    assert not token.matches(hashed("another"))
    assert token.secret not in repr(token)


@given(st.text())
def test_anything_else_is_no_api_token(text: str) -> None:
    assert ApiToken.parse(text) is None


def test_every_scope_says_what_it_means() -> None:
    assert all(scope.means for scope in Scope)


PROXIES = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("198.51.100.7", ["203.0.113.9"], "198.51.100.7"),
        ("10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["1.2.3.4, 203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["1.2.3.4", "203.0.113.9, 10.9.9.9"], "203.0.113.9"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["<script>"], "10.0.0.1"),
        (None, ["203.0.113.9"], "unknown"),
    ],
    ids=[
        "no proxy",
        "proxy",
        "forged before it",
        "two proxies",
        "none said",
        "nonsense",
        "no peer",
    ],
)
def test_only_our_proxies_say_who_somebody_is(
    peer: str | None, forwarded: list[str], client: str
) -> None:
    assert client_address(peer, forwarded, PROXIES) == client


@pytest.mark.parametrize(
    ("path", "goes_to"),
    [
        ("/audit?limit=3", "/audit?limit=3"),
        (None, "/"),
        ("", "/"),
        ("https://evil.example", "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("/\t/evil.example", "/"),
        ("javascript:alert(1)", "/"),
    ],
)
def test_after_signing_in_one_stays_here(path: str | None, goes_to: str) -> None:
    assert safe_path(path) == goes_to


@given(st.text(alphabet="/\\:.ab \t\n\r?#@"))
def test_no_way_back_leads_elsewhere(path: str) -> None:
    where = safe_path(path)
    assert where.startswith("/")
    assert not where.startswith(("//", "/\\"))


def test_devices_are_told_apart_in_two_words() -> None:
    chrome = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/156.0 Safari/537.36"
    assert device(chrome) == "Chrome on Linux"
    assert device(f"{chrome} Edg/156.0") == "Edge on Linux"
    assert device("curl/8") == "Unknown device"
