"""Trying an assistant: the conversation service runs a turn and sends nothing."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from libs.common.channels import Assistant
from libs.common.errors import PermanentError
from services.console.assistants import UnknownAssistantError
from services.console.audit import Actor, AuditLog
from services.console.internal import Internal, ServiceRefusedError

ANSWERS_WITHIN_S = 75.0  # longer than the service takes at most
LONGEST_QUESTION = 2000
LONGEST_LINE = 12_000  # of what was said before
MOST_SAID = 20


class TrialsBusyError(PermanentError):
    """Others are trying assistants at this moment."""

    code = "try_again"


class UnknownPageError(PermanentError):
    """The workspace has no such Page."""

    code = "page_not_found"


class Called(BaseModel):
    """A human would be called."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    reason: str
    summary: str


class Failed(BaseModel):
    """Why no answer could be made."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    code: str
    words: str


class Tried(BaseModel):
    """What a person would have got."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: Literal["answer", "welcome", "text_only", "fallback", "handover"]
    text: str
    model: str
    duration_s: float
    input_tokens: int | None = None
    output_tokens: int | None = None
    handover: Called | None = None
    failure: Failed | None = None
    is_demo: bool = False


async def try_assistant(
    internal: Internal,
    audit: AuditLog,
    actor: Actor,
    assistant: Assistant,
    *,
    question: str,
    history: Sequence[tuple[Literal["person", "assistant"], str]] = (),
    page_id: str | None = None,
    draft: Mapping[str, Any] | None = None,
) -> Tried:
    """One turn.

    Raises:
        UnknownAssistantError: it was deleted meanwhile.
        UnknownPageError: not of this workspace.
        TrialsBusyError: try again in a moment.
        ServiceAwayError: the conversation service gives no answer.
    """
    body: dict[str, Any] = {
        "question": question,
        "history": [
            {"role": role, "text": text[:LONGEST_LINE]} for role, text in history[-MOST_SAID:]
        ],
        "page_id": page_id,
    }
    if draft is not None:
        body["draft"] = dict(draft)
    path = f"/internal/v1/assistants/{assistant.id}/test"
    async with audit.doing(actor, "assistant.tried", target=assistant.name, target_id=assistant.id):
        try:
            answer = await internal.call(
                "conversation", "POST", path, body=body, timeout_s=ANSWERS_WITHIN_S
            )
        except ServiceRefusedError as error:
            if error.status == 429:
                words = "others are trying assistants at this moment"
                raise TrialsBusyError(words) from None
            if error.reason == "page_not_found":
                raise UnknownPageError("there is no such Page in the workspace") from None
            if error.reason == "not_found":  # somebody has deleted it at this moment
                raise UnknownAssistantError("there is no such assistant in the workspace") from None
            raise
        return Tried.model_validate(answer)
