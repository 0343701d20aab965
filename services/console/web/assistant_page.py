"""The page of one assistant: its cards, their forms, and the Test panel."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from aiohttp import web
from pydantic import Field, field_validator

from libs.common.channels import KNOWLEDGE_CHARACTERS, Assistant, AssistantProvider
from libs.common.outbound import Inside
from services.console.assistants import UsedAssistant
from services.console.domain import assistants as rules
from services.console.trying import LONGEST_QUESTION, Tried
from services.console.web.access import SETTINGS, visitor_of
from services.console.web.forms import Form, FormModel
from services.console.web.pages import ASSISTANTS, show
from services.console.web.sign_in import SECRET

Provider = Literal["default", "openai", "anthropic", "offline", "simulator"]
Card = Literal["prompt", "knowledge", "model"]

ID = "{assistant:[A-Za-z0-9_-]{1,64}}"

FIELDS: dict[Card, tuple[str, ...]] = {
    "prompt": ("name", "system_prompt"),
    "knowledge": ("knowledge",),
    "model": ("provider", "model", "base_url", "api_key"),
}
"""What each card changes: two people may save different ones side by side."""
NOTHING_SAVED: dict[str, str] = {}
MOST_SHOWN = 10


class CardForm(FormModel):
    """`seen` is the fingerprint of what the form showed."""

    seen: str = Field("", max_length=64)


class PromptForm(CardForm):
    name: str = Field(min_length=1, max_length=rules.LONGEST_NAME)
    system_prompt: str = Field(min_length=1, max_length=rules.LONGEST_PROMPT)


class KnowledgeForm(CardForm):
    knowledge: str = Field("", max_length=rules.LONGEST_KNOWLEDGE)


class ModelFields(FormModel):
    provider: Provider = "default"
    model: str = Field("", max_length=rules.LONGEST_MODEL)
    base_url: str = Field("", max_length=rules.LONGEST_URL)
    api_key: str = Field("", max_length=rules.LONGEST_KEY, json_schema_extra=SECRET)

    @field_validator("api_key")
    @classmethod
    def _can_travel(cls, key: str) -> str:
        if key and not re.fullmatch(rules.KEY_PATTERN, key):
            raise ValueError("copy the key alone: it has no spaces")
        return key

    @property
    def wanted(self) -> dict[str, Any]:
        return {
            "provider": provider_of(self.provider),
            "model": self.model or None,
            "base_url": self.base_url or None,
        }


class ModelForm(ModelFields, CardForm):
    pass


class TrialForm(ModelFields):
    """A question, what was said before it, and what stands in the page's other forms."""

    question: str = Field("", max_length=LONGEST_QUESTION)
    over: Literal["", "yes"] = ""
    page: str = Field("", max_length=64)
    against: Literal["saved", "typed"] = "saved"
    asked: tuple[str, ...] = Field((), max_length=MOST_SHOWN)
    answered: tuple[str, ...] = Field((), max_length=MOST_SHOWN)
    notes: tuple[str, ...] = Field((), max_length=MOST_SHOWN)
    system_prompt: str = Field("", max_length=rules.LONGEST_PROMPT)
    knowledge: str = Field("", max_length=rules.LONGEST_KNOWLEDGE)

    @property
    def typed(self) -> dict[str, Any]:
        return {"system_prompt": self.system_prompt, "knowledge": self.knowledge, **self.wanted}


@dataclass(frozen=True)
class Exchange:
    """A question, its answer, and by whom, how fast and for how much."""

    asked: str
    answered: str
    note: str


@dataclass(frozen=True)
class Trial:
    """The Test panel as it is to be shown; `tried` tells more of the latest exchange."""

    form: Form[TrialForm]
    exchanges: tuple[Exchange, ...] = ()
    tried: Tried | None = None

    @classmethod
    def empty(cls, used: UsedAssistant) -> "Trial":
        return cls(Form.empty(TrialForm, page=used.pages[0].id if used.pages else ""))


async def used_assistant(request: web.Request) -> UsedAssistant:
    """Raises: UnknownAssistantError: not in the visitor's workspace."""
    workspace = visitor_of(request).workspace
    return await request.app[ASSISTANTS].get().used(workspace.id, request.match_info["assistant"])


async def assistant_page(
    request: web.Request,
    used: UsedAssistant,
    *,
    status: int = 200,
    forms: dict[str, Form[Any]] | None = None,
    saved: dict[str, str] = NOTHING_SAVED,
    trial: Trial | None = None,
) -> web.StreamResponse:
    """The page with what was typed in `forms`, and what to say in cards that were `saved`."""
    assistant = used.assistant
    return await show(
        request,
        "assistant.html",
        status=status,
        used=used,
        assistant=assistant,
        forms=empty_forms(assistant) | (forms or {}),
        seen={card: rules.fingerprint(assistant, fields) for card, fields in FIELDS.items()},
        saved=saved,
        trial=trial or Trial.empty(used),
        providers=_choices(inside_of(request), assistant.provider),
        provider_label=rules.PROVIDERS[assistant.provider],
        lacks_key=rules.lacks_key(assistant),
        read_by_models=KNOWLEDGE_CHARACTERS,
    )


def empty_forms(assistant: Assistant) -> dict[str, Form[Any]]:
    return {
        "prompt": Form.empty(
            PromptForm, name=assistant.name, system_prompt=assistant.system_prompt
        ),
        "knowledge": Form.empty(KnowledgeForm, knowledge=assistant.knowledge),
        "model": Form.empty(
            ModelForm,
            provider=assistant.provider or "default",
            model=assistant.model or "",
            base_url=assistant.base_url or "",
        ),
    }


def provider_of(choice: Provider) -> AssistantProvider | None:
    return None if choice == "default" else choice


def inside_of(request: web.Request) -> Inside:
    settings = request.app[SETTINGS]
    is_production = settings.runtime.env == "production"
    return Inside.parse(settings.hosts.inside_hosts, is_production=is_production)


def _choices(inside: Inside, now: AssistantProvider | None) -> Sequence[tuple[str, str]]:
    """What production no longer offers stays where it is chosen, to be seen."""
    offered = rules.providers(inside)
    if now not in offered:
        offered = [*offered, now]
    return [(each or "default", rules.PROVIDERS[each]) for each in offered]
