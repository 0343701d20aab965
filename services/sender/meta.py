"""Meta as the sender sees it: one message, one reading of a thread, one sign of life."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from libs.common.channels import Channel
from libs.common.errors import PermanentError
from libs.common.events import SenderAction
from libs.common.window import Send
from services.sender.domain.evidence import Seen
from services.sender.domain.outcome import Outcome

THREAD_COVERS = 20  # messages that one reading holds at most


class CallFailedError(PermanentError):
    """A call that sends no message came to nothing. `outcome`: what Meta said, if anything."""

    code = "call_failed"

    def __init__(self, what: str, outcome: Outcome | None = None) -> None:
        super().__init__(what)
        self.outcome = outcome


class ThreadUnreadableError(CallFailedError):
    """The thread could not be read back: no evidence either way."""

    code = "thread_unreadable"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one post. `fbtrace_id` is what Meta's support asks for, `message` what Meta said
    to it, redacted."""

    outcome: Outcome
    fbtrace_id: str | None = None
    message: str | None = None


class Meta(Protocol):
    """What the sender needs of Meta; tests play it."""

    async def send(
        self, channel: Channel, psid: str, text: str, send_id: str, decision: Send
    ) -> Answer: ...

    async def thread(self, channel: Channel, psid: str) -> Sequence[Seen]:
        """Raises: ThreadUnreadableError."""

    async def message(self, channel: Channel, mid: str) -> Seen:
        """Raises: ThreadUnreadableError."""

    async def act(self, channel: Channel, psid: str, action: SenderAction) -> None:
        """Raises: CallFailedError."""
