"""One login at Facebook: whose it is, and whether what comes back may be believed.

The `state` of the dialog is random, good once, for ten minutes, and only in the session that asked
for it. So nobody can have somebody else's Facebook account, or somebody else's Pages, connected in
a browser that never asked. Source: RFC 9700, 2.1 and 4.7.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

STATE_FOR = timedelta(minutes=10)
CHOICE_FOR = timedelta(minutes=30)

PERMISSIONS = (
    "pages_show_list",
    "pages_messaging",
    "pages_manage_metadata",
    "pages_read_engagement",
)
"""What the dialog asks for."""
REQUIRED = PERMISSIONS[:3]
"""Without these a Page can't be connected."""

FIELDS = (
    "messages",
    "message_echoes",
    "messaging_postbacks",
    "message_deliveries",
    "message_reads",
    "message_reactions",
    "message_edits",
    "messaging_optins",
    "messaging_referrals",
    "messaging_handovers",
    "messaging_policy_enforcement",
    "standby",
)
"""What a connected Page tells us of."""

StateProblem = Literal["unknown", "foreign", "used", "expired"]


@dataclass(frozen=True)
class AskedLogin:
    """A login that was begun here."""

    session_id: str
    expires_at: datetime
    used: bool


def state_problem(asked: AskedLogin | None, session_id: str, now: datetime) -> StateProblem | None:
    """Why an answer with this `state` is not taken; None: it is.

    Whoever did not ask is told no more than that it isn't theirs.
    """
    if asked is None:
        return "unknown"
    if asked.session_id != session_id:
        return "foreign"
    if asked.used:
        return "used"
    if now >= asked.expires_at:
        return "expired"
    return None
