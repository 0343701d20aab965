"""What the conversation service asks of whoever writes the answers."""

from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, Protocol

from libs.common.channels import AssistantProvider
from libs.common.errors import PermanentError, TransientError
from services.conversation.domain.failures import Cause

TurnKind = Literal["answer", "welcome"]
HandoverReason = Literal["asked", "angry", "cannot_answer", "policy"]


@dataclass(frozen=True)
class PromptLine:
    """One earlier message of the session. `human` is a person of the business who wrote.

    `quoted` is the message that this one replies to, if it does.
    """

    role: Literal["person", "assistant", "human"]
    text: str
    quoted: str = ""


@dataclass(frozen=True)
class ModelChoice:
    """Which model an assistant wants to be asked, and with which key.

    Args:
        key: encrypted, with `key_context`; None: there is none.
        keep_as: the assistant whose connections these are; None: for this one reply.
    """

    provider: AssistantProvider
    base_url: str | None = None
    key: str | None = field(default=None, repr=False)
    key_context: str = ""
    keep_as: str | None = None


@dataclass(frozen=True)
class Prompt:
    """Everything a reply may depend on. `choice` None: the model the service was started with.

    `instructions` come from the business; `question` and `history` are what people wrote, and
    nothing that could change the instructions. `quoted` is what the question replies to.
    """

    kind: TurnKind
    instructions: str
    knowledge: str
    history: tuple[PromptLine, ...]
    question: str
    assistant_name: str = "Assistant"
    model: str | None = None
    quoted: str = ""
    may_hand_over: bool = False
    choice: ModelChoice | None = None


@dataclass(frozen=True)
class Handover:
    """The assistant asks for a human, with what the human needs to know."""

    reason: HandoverReason
    summary: str


@dataclass(frozen=True)
class Reply:
    """An answer as markdown, and what it cost: None where the provider does not say.

    With a `handover` the text is empty: what the person reads then is the channel's own.
    """

    text: str
    model: str
    duration_s: float
    input_tokens: int | None = None
    output_tokens: int | None = None
    handover: Handover | None = None


class Tokens(NamedTuple):
    """What a call without an answer cost all the same. None: nobody knows."""

    input: int | None = 0
    output: int | None = 0


FREE: Final = Tokens()
UNKNOWN: Final = Tokens(None, None)


class AssistantUnavailableError(TransientError):
    """No answer this time: timeout, overload, broken connection, an empty reply.

    `retry_after_s` is what the provider asked for, if it did.
    """

    code = "assistant_unavailable"

    def __init__(
        self, reason: str, retry_after_s: float | None = None, tokens: Tokens = FREE
    ) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s
        self.tokens = tokens


class AssistantRefusedError(PermanentError):
    """The provider refuses: a bad key, an unknown model. Asking again is no use.

    `cause` is for whoever looks after the assistant: see `domain/failures.py`.
    """

    code = "assistant_refused"

    def __init__(self, reason: str, tokens: Tokens = FREE, cause: Cause | None = None) -> None:
        super().__init__(reason)
        self.tokens = tokens
        self.cause: Cause = cause or "assistant_refused"


class Assistant(Protocol):
    """Writes replies. `reply` may be cancelled at any moment and holds nothing open then."""

    async def reply(self, prompt: Prompt) -> Reply:
        """Answer, or raise AssistantUnavailableError or AssistantRefusedError.

        Never empty. A handover only where the prompt allows one.
        """
        ...
