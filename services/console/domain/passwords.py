"""Which passwords are good enough.

Length and nothing silly, no rules about kinds of characters. Source: NIST SP 800-63B, 5.1.1.2.
"""

import unicodedata

SHORTEST, LONGEST = 12, 200  # characters
FEWEST_DIFFERENT = 5
_COMMON = frozenset(
    {
        "password1234",
        "passwordpassword",
        "passw0rd1234",
        "qwertyuiop12",
        "qwertyuiopas",
        "administrator",
        "iloveyou1234",
        "letmein12345",
        "welcome12345",
        "changemeplease",
        "messenger-assistant",
    }
)


def normalised(password: str) -> str:
    """One spelling for what looks the same, however a keyboard composes it."""
    return unicodedata.normalize("NFC", password)


def objection(password: str, email: str) -> str | None:
    """What is wrong with a new password, in words for its owner; None if nothing is."""
    plain = normalised(password)
    if len(plain) < SHORTEST:
        return f"Use at least {SHORTEST} characters."
    if len(plain) > LONGEST:
        return f"Use at most {LONGEST} characters."
    lowered = plain.casefold()
    name = email.partition("@")[0].casefold()
    if lowered == email.casefold() or (len(name) > 3 and lowered.replace(name, "") == ""):
        return "This is your e-mail address: take something that nobody can look up."
    if len(set(lowered)) < FEWEST_DIFFERENT or lowered in _COMMON:
        return "This is one of the first that somebody would try: take something else."
    return None
