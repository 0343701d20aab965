"""The state of a channel's connection, as it is shown: one word, the cause, since when."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from libs.common.channels import ChannelStatus

Shown = Literal["active", "paused", "expired", "revoked", "disconnected"]
Kind = Literal["good", "warn", "bad", "calm"]

EXPIRED = frozenset({"expired", "unknown", "unreadable"})
REVOKED = frozenset(
    {
        "app_removed",
        "checkpoint",
        "password_changed",
        "unconfirmed_account",
        "invalid",
        "role_lost",
        "deauthorized",
        "permission_missing",
    }
)
"""Causes of `channel.token_rejected`; `deauthorized`: Facebook says that somebody removed the app;
`permission_missing`: the token is good, and may not do what is needed."""

CAUSES = {
    "expired": "The token has run out.",
    "unknown": "Facebook refuses the token and doesn't say why.",
    "unreadable": "The stored token can't be decrypted: the encryption key is another one.",
    "app_removed": "Who connected the Page removed the app at Facebook.",
    "deauthorized": "Who connected the Page removed the app at Facebook.",
    "checkpoint": "Facebook wants whoever connected the Page to confirm their account.",
    "unconfirmed_account": "Facebook wants whoever connected the Page to confirm their account.",
    "password_changed": "Who connected the Page changed their password at Facebook.",
    "invalid": "Facebook has withdrawn the token.",
    "role_lost": "Who connected the Page has no role on it any more.",
    "permission_missing": "A permission that the assistant needs was taken back at Facebook.",
    "by_us": "Disconnected here. Settings and history are kept.",
}


def lost_status(cause: str) -> ChannelStatus | None:
    """What a channel becomes when its token is refused; None: the connection itself is good, and
    connecting again would not help."""
    if cause in EXPIRED:
        return "expired"
    return "revoked" if cause in REVOKED else None


@dataclass(frozen=True)
class ConnectionState:
    """What stands in the list and on the channel's page."""

    shown: Shown
    words: str
    since: datetime | None = None

    @property
    def label(self) -> str:
        return self.shown.capitalize()

    @property
    def kind(self) -> Kind:
        """Of its badge."""
        if self.shown == "active":
            return "good"
        if self.shown == "paused":
            return "warn"
        return "calm" if self.shown == "disconnected" else "bad"

    @property
    def needs_reconnect(self) -> bool:
        return self.shown in ("expired", "revoked", "disconnected")


@dataclass(frozen=True)
class Pause:
    """The assistant is switched off: by whom and since when, where that is known."""

    by_name: str = ""
    since: datetime | None = None

    @property
    def words(self) -> str:
        by = f" by {self.by_name}" if self.by_name else ""
        return f"The assistant is switched off for this Page{by}."


def connection_state(
    status: ChannelStatus, *, paused: Pause | None, cause: str | None, since: datetime | None
) -> ConnectionState:
    """A lost connection speaks before a pause: it is what has to be mended."""
    if status != "active":
        return ConnectionState(status, CAUSES.get(cause or "", _UNKNOWN[status]), since)
    if paused is not None:
        return ConnectionState("paused", paused.words, paused.since)
    return ConnectionState("active", "Messages arrive and are answered.", since)


_UNKNOWN = {
    "expired": CAUSES["expired"],
    "revoked": CAUSES["invalid"],
    "disconnected": CAUSES["by_us"],
}
