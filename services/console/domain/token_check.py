"""What Facebook says of a stored token: still good, or lost and why."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.console.domain.facebook_login import FIELDS, REQUIRED

CHECK_EVERY = timedelta(minutes=15)

_CAUSES = {
    458: "app_removed",
    459: "checkpoint",
    460: "password_changed",
    463: "expired",
    464: "unconfirmed_account",
    467: "invalid",
    492: "role_lost",
}
"""By subcode. Source: Graph API, "Handling errors"."""


@dataclass(frozen=True)
class TokenState:
    """`debug_token`'s answer about a Page's token.

    Args:
        scopes: what it may do now; empty: Facebook doesn't say.
    """

    is_valid: bool
    subcode: int | None = None
    expires_at: datetime | None = None
    scopes: tuple[str, ...] = ()


def token_cause(token: TokenState, now: datetime) -> str | None:
    """Why the token is no good, as `connection.CAUSES` has it; None: it is good."""
    if not token.is_valid:
        if token.subcode in _CAUSES:
            return _CAUSES[token.subcode]
        has_run_out = token.expires_at is not None and token.expires_at <= now
        return "expired" if has_run_out else "unknown"
    needed = set(REQUIRED) - {"pages_show_list"}  # that one is for choosing Pages only
    if token.scopes and not needed <= set(token.scopes):
        return "permission_missing"
    return None


def is_due(checked_at: datetime | None, connected_at: datetime, now: datetime) -> bool:
    """Whether a channel is to be looked at again."""
    return now - max(checked_at or connected_at, connected_at) >= CHECK_EVERY


def missing_fields(subscribed: Collection[str]) -> tuple[str, ...]:
    """What the app should hear of a Page and does not."""
    return tuple(field for field in FIELDS if field not in subscribed)
