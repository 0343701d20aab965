"""What `/api/v1` takes and shows of assistants. A key goes in and never comes out."""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from libs.common.channels import Assistant, AssistantProvider
from services.console.api.operations import Body, Shown
from services.console.assistants import UsedAssistant
from services.console.domain import assistants as rules
from services.console.trying import LONGEST_LINE, LONGEST_QUESTION, MOST_SAID, Tried

PROVIDER = "null: the one that the installation was started with"
URL = "of a server of one's own, like https://models.example.org/v1; null: the provider's"


class AssistantShown(Shown):
    """Who answers."""

    id: str
    name: str
    system_prompt: str
    knowledge: str
    provider: AssistantProvider | None = Field(description=PROVIDER)
    model: str | None
    base_url: str | None
    key_stored_at: datetime | None = Field(description="null: no key is stored")
    key_missing: bool = Field(description="the provider asks for a key, and there is none")
    channels: list[str] = Field(description="ids of the Pages that use it")
    version: int
    changed_at: datetime | None
    changed_by: str | None

    @classmethod
    def of(cls, used: UsedAssistant) -> "AssistantShown":
        assistant = used.assistant
        return cls(
            id=assistant.id,
            name=assistant.name,
            system_prompt=assistant.system_prompt,
            knowledge=assistant.knowledge,
            provider=assistant.provider,
            model=assistant.model,
            base_url=assistant.base_url,
            key_stored_at=assistant.api_key_at if assistant.api_key else None,
            key_missing=rules.lacks_key(assistant),
            channels=[page.id for page in used.pages],
            version=assistant.version,
            changed_at=assistant.changed.at if assistant.changed else None,
            changed_by=assistant.changed.by_name if assistant.changed else None,
        )


class AssistantsShown(Shown):
    """The assistants of the workspace, by name."""

    assistants: list[AssistantShown]


class AssistantWanted(Body):
    """The assistant to be made."""

    name: str = Field(min_length=1, max_length=rules.LONGEST_NAME)
    system_prompt: str = Field(min_length=1, max_length=rules.LONGEST_PROMPT)
    knowledge: str = Field("", max_length=rules.LONGEST_KNOWLEDGE)
    provider: AssistantProvider | None = Field(None, description=PROVIDER)
    model: str | None = Field(None, min_length=1, max_length=rules.LONGEST_MODEL)
    base_url: str | None = Field(None, min_length=1, max_length=rules.LONGEST_URL, description=URL)


class AssistantChange(Body):
    """What is to be different; what is left out stays.

    Another provider or base URL forgets the stored key.
    """

    name: str = Field("", min_length=1, max_length=rules.LONGEST_NAME)
    system_prompt: str = Field("", min_length=1, max_length=rules.LONGEST_PROMPT)
    knowledge: str = Field("", max_length=rules.LONGEST_KNOWLEDGE)
    provider: AssistantProvider | None = Field(None, description=PROVIDER)
    model: str | None = Field(None, min_length=1, max_length=rules.LONGEST_MODEL)
    base_url: str | None = Field(None, min_length=1, max_length=rules.LONGEST_URL, description=URL)
    version: int | None = Field(
        None, ge=0, strict=True, description="change it only if it is still this version"
    )

    @property
    def changes(self) -> dict[str, Any]:
        return self.model_dump(exclude_unset=True, exclude={"version"})

    def expects(self, assistant: Assistant) -> bool:
        return self.version is None or self.version == assistant.version


class KeyWanted(Body):
    """The provider's API key, for the provider and base URL that are set."""

    api_key: str = Field(
        min_length=1, max_length=rules.LONGEST_KEY, pattern=rules.KEY_PATTERN, repr=False
    )


class LineSaid(Body):
    """What was said before the question."""

    role: Literal["person", "assistant"]
    text: str = Field(max_length=LONGEST_LINE)


class Question(Body):
    """What to ask."""

    question: str = Field(min_length=1, max_length=LONGEST_QUESTION)
    history: tuple[LineSaid, ...] = Field((), max_length=MOST_SAID)
    channel: str | None = Field(
        None, max_length=64, description="as on this Page, and counted in its limits"
    )


class TriedShown(Shown):
    """What a person would have got. Nothing was sent or kept."""

    kind: Literal["answer", "welcome", "text_only", "fallback", "handover"]
    text: str
    model: str = Field(description="none: no model was asked")
    duration_s: float
    input_tokens: int | None
    output_tokens: int | None
    handover: str | None = Field(description="why a human would be called; null: none would")
    failure: str | None = Field(description="why no answer could be made; a stable code")
    failure_words: str | None
    is_demo: bool = Field(description="the offline demo model answered, no language model")

    @classmethod
    def of(cls, tried: Tried) -> "TriedShown":
        return cls(
            **tried.model_dump(exclude={"handover", "failure"}),
            handover=tried.handover.reason if tried.handover else None,
            failure=tried.failure.code if tried.failure else None,
            failure_words=tried.failure.words if tried.failure else None,
        )
