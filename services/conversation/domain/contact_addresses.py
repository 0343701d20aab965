"""E-mail addresses and telephone numbers in what a person wrote. Pure, and rather none than wrong.

Their form is judged by libraries that keep up with the world. A number counts only where it begins
with its country's code: without it, nobody can tell whose it is.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from email_validator import EmailNotValidError, validate_email
from phonenumbers import Leniency, PhoneNumberFormat, PhoneNumberMatcher, format_number

LONGEST_TEXT = 2000  # characters looked at: what Messenger lets a person write
MOST = 10  # of each kind; somebody who writes more is not telling us their own

# no part of a longer word, an address in a link, or another address
_EMAIL = re.compile(
    r"(?<![\w.%+@/:=-])[a-z0-9][a-z0-9._%+-]{0,63}@[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){1,8}(?![\w@-])",
    re.ASCII | re.IGNORECASE,
)


@dataclass(frozen=True)
class Addresses:
    """Sorted, without doubles, and at most `MOST` of each."""

    emails: tuple[str, ...] = ()
    phones: tuple[str, ...] = ()  # E.164

    def __bool__(self) -> bool:
        return bool(self.emails or self.phones)

    def with_(self, other: "Addresses") -> "Addresses":
        """Both together; where that is too many, those that were there first stay."""
        return Addresses(
            _joined(self.emails, other.emails),
            _joined(self.phones, other.phones),
        )

    def without(self, other: "Addresses") -> "Addresses":
        return Addresses(
            tuple(each for each in self.emails if each not in other.emails),
            tuple(each for each in self.phones if each not in other.phones),
        )


def addresses_in(texts: Iterable[str]) -> Addresses:
    """What stands in these texts, in its one spelling."""
    found = Addresses()
    for text in texts:
        found = found.with_(_in_one(text[:LONGEST_TEXT]))
    return found


def email_of(text: str) -> str | None:
    """The one spelling of an address, in small letters; None: it is none."""
    try:
        valid = validate_email(text.strip(), check_deliverability=False, allow_smtputf8=False)
    except EmailNotValidError:
        return None
    return valid.normalized.lower()


def phone_of(text: str) -> str | None:
    """The one spelling of a number with its country's code; None: it is none."""
    found = _phones_in(text)
    return found[0] if len(found) == 1 else None


def _in_one(text: str) -> Addresses:
    emails = [email_of(match.group()) for match in _EMAIL.finditer(text)] if "@" in text else []
    known = [email for email in emails if email is not None]
    return Addresses(_joined((), known), _joined((), _phones_in(text)))


def _phones_in(text: str) -> list[str]:
    if "+" not in text and "＋" not in text:
        return []
    matches = PhoneNumberMatcher(text, None, leniency=Leniency.VALID, max_tries=100)
    return [format_number(match.number, PhoneNumberFormat.E164) for match in matches]


def _joined(first: tuple[str, ...], more: Iterable[str]) -> tuple[str, ...]:
    new = [each for each in dict.fromkeys(more) if each not in first]
    return tuple(sorted((*first, *new[: max(0, MOST - len(first))])))
