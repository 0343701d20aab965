"""Meta's own words about a refusal, fit to be kept and shown: no token, no id of a person, no end.

Errors are explained in words that we choose (`refusals.py`). What Meta said is kept beside them,
because the code that we do not know is the one that somebody has to look up.
"""

import re

LONGEST = 300

_PATTERNS = (
    (
        re.compile(r"(?i)\b(access_token|appsecret_proof|token)\s*[=:]\s*[^\s&,;\"']+"),
        r"\1=[hidden]",
    ),
    (re.compile(r"https?://\S+"), "[address]"),
    (re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+"), "[e-mail]"),
    (re.compile(r"\+?\d[\d\s().-]{6,}\d"), "[number]"),  # ids, phone numbers
    (re.compile(r"[\w|%/+=-]{25,}", re.ASCII), "[hidden]"),  # tokens, proofs, message ids
)


def redacted(message: str, psid: str = "", text: str = "") -> str:
    """Meta's message without what must not be stored, on one line of at most `LONGEST` characters.

    Args:
        message: as Meta sent it, in whatever language.
        psid: whom the call was about.
        text: what we wanted to send: an error may quote it.
    """
    for hidden, name in ((text.strip(), "[text]"), (psid, "[person]")):
        if len(hidden) > 2:
            message = message.replace(hidden, name)
    for pattern, name in _PATTERNS:
        message = pattern.sub(name, message)
    line = " ".join("".join(char if char.isprintable() else " " for char in message).split())
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"
