"""Identifiers that look like Meta's: decimal strings for objects, `m_...` for messages."""

import string
from random import Random

_DIGITS = string.digits
_TOKEN = string.ascii_letters + string.digits
_MID = _TOKEN + "_-"


class Ids:
    """Makes identifiers; a seeded `Random` makes them repeatable."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def page(self) -> str:
        return "1" + self._letters(_DIGITS, 14)

    def psid(self) -> str:
        """Page-scoped: the same person has another one with every Page."""
        return self._random.choice("2345678") + self._letters(_DIGITS, 15)

    def mid(self) -> str:
        return "m_" + self._letters(_MID, 44)

    def thread(self) -> str:
        return "t_" + self._letters(_DIGITS, 17)

    def token(self) -> str:
        return "EAA" + self._letters(_TOKEN, 96)

    def user(self) -> str:
        """App-scoped: the same user has another one with every app."""
        return "1" + self._letters(_DIGITS, 16)

    def code(self) -> str:
        """What the login dialog gives."""
        return "AQ" + self._letters(_MID, 120)

    def trace(self) -> str:
        """A `fbtrace_id`."""
        return "A" + self._letters(_MID, 22)

    def _letters(self, alphabet: str, count: int) -> str:
        return "".join(self._random.choices(alphabet, k=count))
