"""E-mail addresses and telephone numbers: rather none than a wrong one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.conversation.domain.contact_addresses import (
    MOST,
    Addresses,
    addresses_in,
    email_of,
    phone_of,
)
from tests.unit.conversation.factories import PATIENTLY


@pytest.mark.parametrize(
    ("text", "emails"),
    [
        ("Mail me: Ann.Lee@Example.com, please", ("ann.lee@example.com",)),
        ("it is <ann@mail.co.uk>.", ("ann@mail.co.uk",)),
        ("ann+bread@example.org!", ("ann+bread@example.org",)),
        ("bob@example.org;amy@example.org", ("amy@example.org", "bob@example.org")),
        ("ann@example.org ann@EXAMPLE.org", ("ann@example.org",)),
        ("ann@localhost", ()),
        ("ann@example", ()),
        ("ann@mail..example.org", ()),
        ("ann@example.test", ()),  # no address of this world
        ("a@@example.org", ()),
        ("josé@example.org", ()),  # not `@example.org` of somebody called `é`
        ("https://example.org/ann@example.org", ()),
        ("meet @bakery at 8", ()),
        ("", ()),
    ],
)
def test_addresses_are_found_where_they_stand_alone(text: str, emails: tuple[str, ...]) -> None:
    assert addresses_in([text]).emails == emails


@pytest.mark.parametrize(
    ("text", "phones"),
    [
        ("call +49 30 1234567", ("+49301234567",)),
        ("(+1) 650-253-0000 or +44 20 7031 3000", ("+16502530000", "+442070313000")),
        ("+1 200 300 4000", ()),  # no such area
        ("650-253-0000", ()),  # whose country?
        ("order 4930123456 of 2026-03-01 12:00", ()),
        ("that is +20 % more", ()),
        ("+123", ()),
    ],
)
def test_numbers_count_only_with_their_country(text: str, phones: tuple[str, ...]) -> None:
    assert addresses_in([text]).phones == phones


def test_somebody_who_writes_a_whole_list_is_not_heard_out() -> None:
    texts = [f"person{number}@example.org" for number in range(3 * MOST)]
    assert len(addresses_in(texts).emails) == MOST
    assert not addresses_in(["x" * 5000 + " ann@example.org"])


@pytest.mark.parametrize(
    ("text", "email"), [(" Ann@Example.org ", "ann@example.org"), ("ann", None), ("", None)]
)
def test_a_single_address_has_one_spelling(text: str, email: str | None) -> None:
    assert email_of(text) == email


@pytest.mark.parametrize(
    ("text", "phone"), [("+49 (30) 1234567", "+49301234567"), ("030 1234567", None), ("", None)]
)
def test_a_single_number_has_one_spelling(text: str, phone: str | None) -> None:
    assert phone_of(text) == phone


@PATIENTLY
@given(st.lists(st.sampled_from(["a@example.org", "b@example.org", "+49 30 1234567", "hi"])))
def test_what_was_heard_does_not_depend_on_order_or_count(texts: list[str]) -> None:
    assert addresses_in(texts) == addresses_in(sorted(set(texts)))


@PATIENTLY
@given(st.text())
def test_no_text_is_too_strange(text: str) -> None:
    assert isinstance(addresses_in([text, f"{text}@{text}.org", f"+{text}"]), Addresses)
