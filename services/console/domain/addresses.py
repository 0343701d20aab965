"""E-mail addresses as names of accounts."""

import re

LONGEST = 254  # RFC 5321
_ADDRESS = re.compile(r"[^\s@<>\"'(),:;\\\[\]]{1,64}@[^\s@<>\"'(),:;\\\[\]]+\.[^\s@.]{2,}")


def normalised(text: str) -> str:
    """How an address is kept and compared: without spaces around it, in lower case.

    Raises:
        ValueError: it doesn't look like one.
    """
    address = text.strip().lower()
    if len(address) > LONGEST or not _ADDRESS.fullmatch(address):
        raise ValueError("expected an e-mail address, like ana@example.org")
    return address
