"""Makes the assistants that settings and administrators ask for."""

from collections.abc import Callable
from functools import partial
from typing import Protocol

from libs.common.outbound import Inside, service_problem_of
from services.conversation.assistants.base import Assistant, AssistantRefusedError, ModelChoice
from services.conversation.assistants.offline import OfflineAssistant
from services.conversation.assistants.settings import AssistantSettings

SIMULATED_MODEL = "simulated"


class ClosableAssistant(Assistant, Protocol):
    """An assistant that holds a thread or connections until it is closed."""

    async def aclose(self) -> None:
        """End what it holds."""
        ...


def assistant_maker(settings: AssistantSettings) -> Callable[[], ClosableAssistant]:
    """Makes either the offline one, or one that asks a model.

    The second takes seconds to import and tens of megabytes, so only those who use it pay: now,
    and not when one is made, since a loop runs by then.
    """
    if settings.provider == "offline":
        return OfflineAssistant
    from services.conversation.assistants.llm import LanguageModelAssistant

    return partial(
        LanguageModelAssistant,
        provider=settings.provider,
        model=settings.model or SIMULATED_MODEL,
        api_key=settings.api_key.get_secret_value() if settings.api_key else None,
        base_url=settings.base_url,
        timeout_s=settings.timeout_s,
        max_output_tokens=settings.max_output_tokens,
        tools=settings.tools,
    )


def chosen_assistant(
    settings: AssistantSettings, inside: Inside, choice: ModelChoice, key: str | None
) -> ClosableAssistant:
    """What an administrator has chosen; of the settings, only the limits count.

    It blocks for seconds where a model's packages are not there yet.

    Raises:
        AssistantRefusedError: its base URL is none that may be asked.
    """
    if choice.provider == "offline":
        return OfflineAssistant()
    if choice.base_url is not None and service_problem_of(choice.base_url, inside) is not None:
        # the console says so before it stores one; what may be asked may have changed since
        raise AssistantRefusedError("a base URL that may not be asked", cause="address_forbidden")
    from services.conversation.assistants.llm import LanguageModelAssistant

    return LanguageModelAssistant(
        provider=choice.provider,
        model=SIMULATED_MODEL,  # each prompt names its own
        api_key=key,
        base_url=choice.base_url,
        timeout_s=settings.timeout_s,
        max_output_tokens=settings.max_output_tokens,
        tools=settings.tools,
        inside=inside,
    )
