"""What is left of a contact when one of the people it is are erased."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from services.conversation.domain.contacts import Contact, Person, forgotten
from services.conversation.domain.profiles import Profile

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
ANN, BOB = "100:200", "101:201"
MAILS = ("a@example.org", "b@example.org", "c@example.org")
some = st.lists(st.sampled_from(MAILS), unique=True).map(tuple)


def contact(*people: str, made: bool = True, **facts: object) -> Contact:
    known = {"id": "c", "workspace_id": "w", "created_at": NOON, "name": "Ann Lee", **facts}
    return Contact.model_validate({**known, "people": people, "is_made_by_us": made})


def person(name: str = "Ann Lee", *emails: str) -> Person:
    return Person(profile=Profile(name=name), emails=emails)


def test_a_contact_of_nobody_else_goes() -> None:
    assert forgotten(contact(ANN), ANN, person(), []) is None


def test_what_a_workspace_put_in_stays_without_what_the_person_told() -> None:
    left = forgotten(contact(ANN, made=False, emails=MAILS), ANN, person("Ann", MAILS[0]), [])
    assert left is not None
    assert (left.people, left.name, left.emails) == ((), "Ann Lee", MAILS[1:])


def test_the_name_of_one_we_made_is_then_anothers() -> None:
    left = forgotten(contact(ANN, BOB), ANN, person(), [person("Bob Ray")])
    assert left is not None
    assert (left.people, left.name) == ((BOB,), "Bob Ray")


@given(known=some, theirs=some, others=some)
def test_nothing_that_only_the_person_told_is_left_and_nothing_else_is_lost(
    known: tuple[str, ...], theirs: tuple[str, ...], others: tuple[str, ...]
) -> None:
    left = forgotten(
        contact(ANN, BOB, emails=known), ANN, person("Ann", *theirs), [person("Bob", *others)]
    )
    assert left is not None
    assert set(left.emails) == set(known) - (set(theirs) - set(others))
