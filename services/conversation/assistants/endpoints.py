"""Where models are asked: OpenAI's protocol, and Anthropic's.

Import it only where it is used, like `llm.py`.
"""

from typing import Literal, Protocol
from urllib.parse import urlsplit

import httpx2
from pydantic_ai.models import Model

from libs.common.outbound import Inside
from services.conversation.assistants.guarded import guarded_client, straight_client

ModelProvider = Literal["openai", "anthropic", "simulator"]

_OPENAI_URL = "https://api.openai.com/v1"
_ANTHROPIC_URL = "https://api.anthropic.com"
_NO_KEY = "none"  # the SDK insists on one; servers of one's own ask for none
_OPENAIS_OWN = ("openai.com", "azure.com")


class Endpoint(Protocol):
    """A provider, or a server that speaks its protocol."""

    def model(self, name: str) -> Model: ...
    async def aclose(self) -> None: ...


def open_endpoint(
    provider: ModelProvider,
    api_key: str | None,
    base_url: str | None,
    timeout_s: float,
    inside: Inside | None,
) -> Endpoint:
    """What a provider takes. `inside`: see `LanguageModelAssistant`."""
    key = api_key or _NO_KEY
    if inside is not None and base_url is not None:
        client = guarded_client(inside, timeout_s)
    else:
        # a proxy that the environment names can't reach our loopback
        client = straight_client(timeout_s, use_proxy=provider != "simulator")
    if provider == "anthropic":
        return _Anthropic(key, base_url or _ANTHROPIC_URL, timeout_s, client)
    return _OpenAI(key, base_url or _OPENAI_URL, timeout_s, client)


class _OpenAI:
    def __init__(
        self, api_key: str, base_url: str, timeout_s: float, client: httpx2.AsyncClient
    ) -> None:
        from pydantic_ai.models.openai import OpenAIChatModel
        from pydantic_ai.profiles.openai import OpenAIModelProfile
        from pydantic_ai.providers.openai import OpenAIProvider
        from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

        from services.conversation.assistants.as_written import Client

        self._client = Client(
            api_key=api_key,
            base_url=base_url,
            timeout=timeout_s,
            max_retries=0,
            http_client=client,
        )
        self._provider: OpenAIProvider | OpenAICompatibleProvider
        if _is_openais_own(base_url):
            self._provider = OpenAIProvider(openai_client=self._client)
        else:  # most others know only the older name of the output limit
            profile = OpenAIModelProfile(openai_chat_supports_max_completion_tokens=False)
            self._provider = OpenAICompatibleProvider(
                "compatible", openai_client=self._client, profile=profile
            )

        self._model = OpenAIChatModel

    def model(self, name: str) -> Model:
        return self._model(name, provider=self._provider)

    async def aclose(self) -> None:
        await self._client.close()


class _Anthropic:
    def __init__(
        self, api_key: str, base_url: str, timeout_s: float, client: httpx2.AsyncClient
    ) -> None:
        from anthropic import AsyncAnthropic
        from pydantic_ai.models.anthropic import AnthropicModel
        from pydantic_ai.providers.anthropic import AnthropicProvider

        self._client = AsyncAnthropic(
            api_key=api_key,
            base_url=base_url,
            timeout=timeout_s,
            max_retries=0,
            http_client=client,
        )
        self._provider = AnthropicProvider(anthropic_client=self._client)
        self._model = AnthropicModel

    def model(self, name: str) -> Model:
        return self._model(name, provider=self._provider)

    async def aclose(self) -> None:
        await self._client.close()


def _is_openais_own(base_url: str) -> bool:
    host = urlsplit(base_url).hostname or ""
    return any(host == own or host.endswith(f".{own}") for own in _OPENAIS_OWN)
