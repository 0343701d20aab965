"""What the internal HTTP API takes and answers: its models, and the list of its operations."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from libs.common.events import UtcDatetime
from libs.common.openapi import Operation, document
from libs.common.paging import Cursor
from services.takeover.domain.state import (
    FACEBOOK,
    LONGEST_MINUTES,
    SHORTEST_MINUTES,
    TIMER,
    Mode,
    Thread,
)
from services.takeover.human_agent import TagRefusal

VERSION = "1.0"
LONGEST_TEXT = 20_000
LONGEST_KEY = 200


def _of_a_person(by: str) -> str:
    if by in (FACEBOOK, TIMER):
        raise ValueError(f"{by} is nobody: it is our own name for what is done by no admin")
    return by


Who = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
    AfterValidator(_of_a_person),
]
Name = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200)]
Minutes = Annotated[int, Field(strict=True, ge=SHORTEST_MINUTES, le=LONGEST_MINUTES)]


def _says_something(text: str) -> str:
    if not text.strip():
        raise ValueError("there is nothing to send")
    return text


class _Body(BaseModel):
    """A typo must not pass for a success."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    by: Who = Field(description="who asks, as the console knows them")
    by_name: Name | None = Field(None, description="for people to read")


class TakeBody(_Body):
    """Take over."""

    auto_resume_minutes: Minutes | None = Field(
        None, description="then the assistant has it again by itself; null: when somebody resumes"
    )
    take_from: str | None = Field(
        None, max_length=200, description="take it even from this one, if they still have it"
    )


class ExtendBody(_Body):
    """The timer begins anew, now."""

    auto_resume_minutes: Minutes


class ResumeBody(_Body):
    """The assistant shall have it again."""


class MessageBody(_Body):
    """Write to the person. The text goes out as it is, split only where it is too long."""

    text: Annotated[
        str, StringConstraints(max_length=LONGEST_TEXT), AfterValidator(_says_something)
    ]


class ListQuery(BaseModel):
    """Which stretch of the list is asked for."""

    cursor: Cursor | None = None
    limit: int = Field(50, ge=1, le=200)


class TakeoverState(BaseModel):
    """Who has a conversation. `human_agent`: Meta refuses the tag that messages after 24 h need."""

    conversation: str
    mode: Mode
    epoch: int
    by: str | None
    by_name: str | None
    since: UtcDatetime | None
    reason: str | None
    auto_resume_at: UtcDatetime | None
    thread: Thread | None
    human_agent: TagRefusal | None


class ListedTakeover(BaseModel):
    """A conversation in takeover."""

    conversation: str
    by: str | None
    by_name: str | None
    since: UtcDatetime | None
    reason: str | None
    epoch: int
    auto_resume_at: UtcDatetime | None


class TakeoverList(BaseModel):
    """The latest taken first. `next` goes back as `cursor` for those that follow."""

    takeovers: list[ListedTakeover]
    next: str | None


class Window(BaseModel):
    """As what the message may leave, and until when."""

    rule: str
    messaging_type: str
    tag: str | None
    expires_at: UtcDatetime


class MessageAnswer(BaseModel):
    """The command is on the log. What becomes of it is told there: sent, failed or held."""

    command_id: str
    window: Window
    waits_for: str | None = Field(description="why it does not leave yet, as channel_expired")
    human_agent: TagRefusal | None = Field(
        description="Meta refused the tag that this message needs, the last time"
    )


class HumanAgent(BaseModel):
    """Whether Meta lets people write after 24 hours: null as long as it has refused nothing."""

    refusal: TagRefusal | None


_CONVERSATION = "/internal/v1/conversations/{conversation}"
_UNKNOWN = {404: ("nobody has ever written in this conversation", None)}
_WRONG = {422: ("a field is wrong; it is named", None)}
_TOKEN = {401: ("without the service token", None)}
_LATER = {503: ("the database or the log is away; the same request may be sent again", None)}
_STATE: dict[int, tuple[str, type[BaseModel] | None]] = {200: ("how it is now", TakeoverState)}

OPERATIONS = (
    Operation(
        "POST",
        f"{_CONVERSATION}/takeover",
        "Take a conversation over",
        {
            **_STATE,
            409: (
                "`already_taken`, with `by`, `by_name`, `since`, `auto_resume_at` of who has it",
                None,
            ),
            **_UNKNOWN,
            **_WRONG,
            **_LATER,
            **_TOKEN,
        },
        """Once this has answered, no message of the assistant leaves until somebody resumes. The
        answer may take some seconds where one is just on its way to Meta. Who has it already gets
        200, and the timer stays as it is.""",
        body=TakeBody,
    ),
    Operation(
        "GET", f"{_CONVERSATION}/takeover", "Who has it", {**_STATE, **_UNKNOWN, **_LATER, **_TOKEN}
    ),
    Operation(
        "POST",
        f"{_CONVERSATION}/takeover/extend",
        "Let the timer begin anew",
        {**_STATE, 409: ("`not_taken_over`", None), **_UNKNOWN, **_WRONG, **_LATER, **_TOKEN},
        body=ExtendBody,
    ),
    Operation(
        "POST",
        f"{_CONVERSATION}/takeover/resume",
        "Hand back to the assistant",
        {**_STATE, **_UNKNOWN, **_WRONG, **_LATER, **_TOKEN},
        """Whoever has it. What the person wrote meanwhile stays unanswered; the next message is
        answered with all of it in mind.""",
        body=ResumeBody,
    ),
    Operation(
        "POST",
        f"{_CONVERSATION}/messages",
        "Write to the person",
        {
            202: ("the message is on its way", MessageAnswer),
            409: (
                "`not_taken_over`; `taken_by_other` with `by`, `by_name`, `since`; "
                "`thread_owned_by_other_app` with `owner_app_id`; `window_closed` with "
                "`closed_at`, `advice`; `no_user_message`; `channel_disabled`; `may_be_sent`: "
                "the same was asked for before, with no answer, and can't be sent now",
                None,
            ),
            **_UNKNOWN,
            422: (
                "a field is wrong; `idempotency_key_reused`: the key came with another message",
                None,
            ),
            **_LATER,
            **_TOKEN,
        },
        """Sent once for each key: asked for again with the same key and text, the answer is the
        same for a week.""",
        body=MessageBody,
        headers={
            "Idempotency-Key": f"1 to {LONGEST_KEY} ASCII characters, another for each message"
        },
    ),
    Operation(
        "GET",
        "/internal/v1/pages/{page_id}/takeovers",
        "The conversations of a Page that are in takeover",
        {200: ("a stretch of the list", TakeoverList), **_WRONG, **_LATER, **_TOKEN},
        query=ListQuery,
    ),
    Operation(
        "GET",
        "/internal/v1/pages/{page_id}/human-agent",
        "Whether Meta lets people of the Page write after 24 hours",
        {200: ("what its answers have taught us", HumanAgent), **_LATER, **_TOKEN},
    ),
)


def openapi() -> dict[str, Any]:
    """The OpenAPI document."""
    return document(
        "Messenger assistant: takeover",
        "A human takes a conversation over, writes in it, and hands it back. Internal: for the "
        "console, with the service token.",
        VERSION,
        OPERATIONS,
    )


if __name__ == "__main__":
    import sys
    from pathlib import Path

    from libs.common.openapi import text

    Path(sys.argv[1]).write_text(text(openapi()), encoding="utf-8")
