"""Who may post a part: the claim, and when an old one leaves us in doubt.

A claim stands in the conversation's document before the request goes out. One that has no final
delivery beside it says: somebody posted this part, or was about to. Only evidence can tell which.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import Field

from libs.common.events import Model, UtcDatetime


class Claim(Model):
    """One attempt's right to post one part."""

    claim_id: str = Field(description="random: names this attempt of this process")
    send_id: str
    command_id: str
    part: int
    partition: int
    offset: int
    text: str
    attempt: int = Field(description="counts from 1")
    first_claimed_at: UtcDatetime = Field(description="of all attempts that may have got through")
    by_meta: bool = Field(False, description="whether that moment is by Meta's clock")
    claimed_at: UtcDatetime
    deadline_at: UtcDatetime = Field(description="until then its request may be on its way")
    generation: int = Field(0, description="counts how often a person had the part sent again")
    unused: bool = Field(False, description="set later: surely nothing was sent under this claim")

    def leaves(self, timeout: timedelta, now: datetime) -> bool:
        """Whether a request begun now ends before others may think that this claim is dead."""
        return now + timeout <= self.deadline_at


class Sending(Claim):
    """The latest claim of a conversation, and the commands that were ever begun in it."""

    recent: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fresh:
    """Expect that the command was never begun, and that everything before it on the log was."""

    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class After:
    """Expect that the part before this one is the latest that was claimed."""

    send_id: str


@dataclass(frozen=True, slots=True)
class Exactly:
    """Expect the claim that was read, and no other; None: there was none.

    `begins`: the command is not among the recent ones yet.
    """

    claim_id: str | None
    begins: bool = False


Expected = Fresh | After | Exactly


def is_in_doubt(sending: Sending, command_id: str, part: int) -> bool:
    """Whether this part, which has no final delivery, may have been posted.

    If other commands were claimed since, nobody knows how far this one had come.
    """
    if sending.command_id == command_id:
        return sending.part >= part
    return command_id in sending.recent
