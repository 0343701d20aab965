"""What is put away because it cannot go out for a long time, and why.

A command that waits in the hands of the consumer holds up the commit of its whole partition, and
takes memory. So what has to wait for more than a few seconds, for Reconnect or for Meta's
allowance, is put away in the database and its offset committed. Everything that comes later for
the same person is put away behind it: order is kept.
"""

from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import ConfigDict, Field

from libs.common.events import Model, UtcDatetime
from libs.common.window import HUMAN_AGENT_WINDOW, STANDARD_WINDOW

Why = Literal["behind", "channel", "token", "limit", "person_limit", "again", "broken"]
"""`behind`: others of the same person wait. `again`: somebody wants it sent once more. `broken`:
our own mistake; tried again now and then, and given up in the end."""

MOST_TRIES = 6
"""So often something may break by our own mistake; then nobody waits behind it any longer."""


class Kept(Model):
    """One command that is put away, or one part that is to be sent again."""

    model_config = ConfigDict(populate_by_name=True)

    id: str = Field(alias="_id", description="the command id; of a part sent again: its generation")
    conversation: str
    page_id: str
    psid: str
    seq: int = Field(description="order within the conversation")
    partition: int = Field(description="of the commands topic; -1: not from there")
    offset: int
    command: str = Field(description="as JSON")
    again: int | None = Field(None, description="which generation of one part this is to become")
    part: int | None = Field(None, description="with `again`: which part")
    why: Why
    kept_at: UtcDatetime
    wake_at: UtcDatetime | None = Field(None, description="not before; None: when the Page is open")
    expires_at: UtcDatetime | None = Field(None, description="then its messaging window closes")

    traceparent: str | None = Field(None, description="of the trace that it was put away in")
    tries: int = Field(0, description="how often it broke")

    def is_to_be_given_up(self, now: datetime) -> bool:
        """Whether, having broken once more, it is not worth another try."""
        expired = self.expires_at is not None and now >= self.expires_at
        return expired or self.tries + 1 >= MOST_TRIES

    def sleeps(self, now: datetime) -> bool:
        """Whether it has a time of its own to wait for, whatever its Page does."""
        own = self.why in ("person_limit", "broken")
        return own and self.wake_at is not None and now < self.wake_at


class NotNowError(Exception):
    """Not an error: the part cannot go out for a long time, and nobody should wait in place.

    Attributes:
        why: what it waits for.
        wake_at: when to look again; None: as soon as the Page is open.
        expires_at: when its messaging window closes; None if there is none.
        unused_claim: the claim in the conversation under which surely nothing was sent.
    """

    def __init__(
        self,
        why: Why,
        *,
        wake_at: datetime | None = None,
        expires_at: datetime | None = None,
        unused_claim: str | None = None,
    ) -> None:
        super().__init__(why)
        self.why: Why = why
        self.wake_at = wake_at
        self.expires_at = expires_at
        self.unused_claim = unused_claim


def postponed(kept: Kept, not_now: NotNowError) -> dict[str, Any]:
    """What changes when it still cannot go out."""
    return {
        "why": not_now.why,
        "wake_at": not_now.wake_at,
        "expires_at": not_now.expires_at,
        "tries": kept.tries + (not_now.why == "broken"),
    }


def window_end(origin: str, last_user_message_at: datetime | None) -> datetime | None:
    """Until when a message of this origin may go out at all, as things stand."""
    if last_user_message_at is None:
        return None
    length: timedelta = HUMAN_AGENT_WINDOW if origin == "human" else STANDARD_WINDOW
    return last_user_message_at + length
