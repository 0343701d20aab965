"""Which assistant `LLM_*` asks for."""

from typing import Any

import pytest
from pydantic import ValidationError

from libs.common.outbound import Inside
from libs.common.settings import problems
from services.conversation.assistants.base import AssistantRefusedError, ModelChoice
from services.conversation.assistants.factory import assistant_maker, chosen_assistant
from services.conversation.assistants.llm import LanguageModelAssistant
from services.conversation.assistants.offline import OfflineAssistant
from services.conversation.assistants.settings import AssistantSettings

KEY = "sk-very-secret"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in AssistantSettings.model_fields:
        monkeypatch.delenv(f"LLM_{name.upper()}", raising=False)


async def test_without_any_setting_it_is_the_offline_one() -> None:
    assistant = assistant_maker(AssistantSettings())()
    assert isinstance(assistant, OfflineAssistant)
    await assistant.aclose()


async def test_the_address_of_a_simulator_does_not_make_the_offline_one_use_it() -> None:
    assistant = assistant_maker(AssistantSettings(base_url="http://127.0.0.1:1/v1"))()
    assert isinstance(assistant, OfflineAssistant)
    await assistant.aclose()


@pytest.mark.parametrize(
    "environment",
    [
        {"LLM_PROVIDER": "simulator", "LLM_BASE_URL": "http://127.0.0.1:1/v1"},
        {"LLM_PROVIDER": "openai", "LLM_MODEL": "m", "LLM_API_KEY": KEY},
        {"LLM_PROVIDER": "openai", "LLM_MODEL": "m", "LLM_BASE_URL": "http://127.0.0.1:1/v1"},
        {"LLM_PROVIDER": "anthropic", "LLM_MODEL": "m", "LLM_API_KEY": KEY},
    ],
)
async def test_a_provider_with_what_it_needs_is_a_model(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = AssistantSettings()
    assert KEY not in repr(settings)
    assistant = assistant_maker(settings)()
    assert isinstance(assistant, LanguageModelAssistant)
    await assistant.aclose()


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"provider": "openai", "model": "m"}, "LLM_API_KEY is not set"),
        ({"provider": "anthropic", "model": "m"}, "LLM_API_KEY is not set"),
        ({"provider": "anthropic", "model": "m", "base_url": "http://a/"}, "LLM_API_KEY is not"),
        ({"provider": "openai", "api_key": KEY}, "LLM_MODEL is not set"),
        ({"provider": "simulator"}, "LLM_BASE_URL is not set"),
        ({"provider": "openai", "model": "m", "base_url": "ftp://x"}, "LLM_BASE_URL is wrong"),
        ({"provider": "gpt"}, "LLM_PROVIDER is wrong"),
        ({"timeout_s": 0}, "LLM_TIMEOUT_S is wrong"),
    ],
)
def test_what_is_wrong_is_named_and_never_shown(values: dict[str, Any], line: str) -> None:
    with pytest.raises(ValidationError) as raised:
        AssistantSettings(**values)
    lines = problems(AssistantSettings, raised.value)
    assert lines[0].startswith(line)
    assert KEY not in str(lines)


@pytest.mark.parametrize("url", ["http://m.example/v1", "https://10.0.0.1/v1", "nowhere"])
def test_what_an_administrator_may_not_ask_is_not_even_made(url: str) -> None:
    with pytest.raises(AssistantRefusedError) as raised:
        chosen_assistant(AssistantSettings(), Inside(), ModelChoice("openai", url), KEY)
    assert raised.value.cause == "address_forbidden"
    assert KEY not in str(raised.value)


async def test_what_an_administrator_may_ask_is_a_model() -> None:
    opened = Inside(hosts=frozenset({"ollama"}))
    choice = ModelChoice("openai", "http://ollama:11434/v1")
    assistant = chosen_assistant(AssistantSettings(), opened, choice, None)
    assert isinstance(assistant, LanguageModelAssistant)
    await assistant.aclose()
