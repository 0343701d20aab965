"""What the connection doctor is told: whether the model answers, asked sparingly."""

from dataclasses import dataclass, field

import pytest

from libs.common.channels import Assistant as Profile
from libs.common.channels import Channel
from services.conversation.assistants.base import (
    AssistantRefusedError,
    AssistantUnavailableError,
    Prompt,
    Reply,
)
from services.conversation.assistants.settings import AssistantSettings
from services.conversation.checks import ASK_EVERY_S, ModelCheck


@dataclass
class Model:
    """Answers, or fails as it is told."""

    error: Exception | None = None
    asked: list[Prompt] = field(default_factory=list)

    async def reply(self, prompt: Prompt) -> Reply:
        self.asked.append(prompt)
        if self.error is not None:
            raise self.error
        return Reply("ok", prompt.model or "offline", 0.25)


@dataclass
class Channels:
    """One Page, whose assistant may have a model of its own."""

    profile: Profile | None

    async def channel(self, page_id: str) -> Channel | None:
        if page_id != "1":
            return None
        return Channel(
            id="1", workspace_id="w", assistant_id="a", page_name="Shop", token="encrypted"
        )

    async def assistant(self, assistant_id: str) -> Profile | None:
        return self.profile


def profile(**changes: object) -> Profile:
    usual = {"id": "a", "workspace_id": "w", "name": "Ada", "system_prompt": "Be kind."}
    return Profile.model_validate({**usual, **changes})


@pytest.fixture
def model() -> Model:
    return Model()


async def test_the_model_is_asked_once_a_minute(model: Model) -> None:
    now = 0.0
    check = ModelCheck(model, Channels(None), AssistantSettings(), lambda: now)
    first = await check.own()
    assert (first["provider"], first["failure"], first["is_own"]) == ("offline", None, True)
    now = ASK_EVERY_S - 1
    assert await check.own() == first
    now = ASK_EVERY_S
    await check.own()
    assert len(model.asked) == 2


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (AssistantRefusedError("sk-secret", cause="key_refused"), "key_refused"),
        (AssistantUnavailableError("sk-secret"), "assistant_unavailable"),
        (ValueError("sk-secret"), "assistant_failed"),
    ],
)
async def test_a_failure_is_told_in_our_own_words(
    model: Model, error: Exception, failure: str
) -> None:
    model.error = error
    answer = await ModelCheck(model, Channels(None), AssistantSettings()).own()
    assert answer["failure"] == failure
    assert answer["words"]
    assert "sk-secret" not in str(answer)


async def test_a_page_whose_assistant_has_no_model_of_its_own_shares_the_answer(
    model: Model,
) -> None:
    check = ModelCheck(model, Channels(profile()), AssistantSettings())
    assert await check.of_page("1") == await check.own()
    assert len(model.asked) == 1


async def test_a_pages_own_model_is_asked_with_its_own_choice(model: Model) -> None:
    mine = profile(provider="openai", model="gpt-9", version=3)
    check = ModelCheck(model, Channels(mine), AssistantSettings())
    answer = await check.of_page("1")
    assert answer is not None
    assert (answer["provider"], answer["model"], answer["is_own"]) == ("openai", "gpt-9", False)
    (asked,) = model.asked
    assert asked.choice is not None
    assert asked.choice.provider == "openai"
    assert asked.model == "gpt-9"
    assert "Be kind" not in asked.instructions  # tiny: nothing of the business's is sent


async def test_a_page_that_is_not_there_has_no_model(model: Model) -> None:
    assert await ModelCheck(model, Channels(profile()), AssistantSettings()).of_page("2") is None


async def test_a_page_whose_assistant_is_gone_says_so(model: Model) -> None:
    answer = await ModelCheck(model, Channels(None), AssistantSettings()).of_page("1")
    assert answer is not None
    assert (answer["failure"], answer["is_own"], model.asked) == ("no_assistant", False, [])
    assert "is gone" in answer["words"]
