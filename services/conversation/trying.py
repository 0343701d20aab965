"""An administrator tries an assistant: a turn as people get it. Nothing is sent or kept."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from libs.common.channels import Assistant as AssistantProfile
from libs.common.channels import AssistantProvider, Channel
from libs.common.errors import PermanentError, TransientError
from services.conversation import composing
from services.conversation.assistants.base import Assistant, ModelChoice
from services.conversation.desk import Spending
from services.conversation.domain.plain_requests import asks_for_human
from services.conversation.domain.receive import LINE_CHARACTERS
from services.conversation.domain.state import Line, Pending, Role, State
from services.conversation.domain.turns import QUESTION_CHARACTERS, Answer
from services.conversation.settings import Settings

MOST_AT_ONCE = 8
MOST_OF_A_WORKSPACE = 2
LONGEST_S = 60.0
MOST_LINES = 40


class UnknownAssistantError(PermanentError):
    """There is no such assistant."""

    code = "not_found"


class UnknownPageError(PermanentError):
    """The assistant's workspace has no such Page."""

    code = "page_not_found"


class TooManyTrialsError(TransientError):
    """Others are trying assistants at this moment."""

    code = "too_many_trials"


class Said(BaseModel):
    """What was said before the question."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["person", "assistant"]
    text: str = Field(max_length=QUESTION_CHARACTERS)


class Draft(BaseModel):
    """What is to be tried instead of what is stored; what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    system_prompt: str = Field("", max_length=100_000)
    knowledge: str = Field("", max_length=1_000_000)
    provider: AssistantProvider | None = None
    model: str | None = Field(None, max_length=200)
    base_url: str | None = Field(None, max_length=500)
    api_key: str | None = Field(
        None, repr=False, max_length=4000, description="encrypted, for these settings"
    )


class Trial(BaseModel):
    """What is asked. Without `page_id`: as on a Page with the usual settings."""

    model_config = ConfigDict(extra="forbid")

    question: str = Field(min_length=1, max_length=QUESTION_CHARACTERS)
    history: tuple[Said, ...] = Field((), max_length=MOST_LINES)
    page_id: str | None = Field(None, max_length=64)
    draft: Draft | None = None


class Channels(Protocol):
    """What a trial needs of `ChannelDirectory`."""

    async def channel(self, page_id: str) -> Channel | None: ...

    async def assistant_now(self, assistant_id: str) -> AssistantProfile | None: ...


class Trials:
    """Runs trials, a few at once."""

    def __init__(
        self,
        channels: Channels,
        assistant: Assistant,
        settings: Settings,
        spending: Spending,
        clock: Callable[[], datetime],
    ) -> None:
        self._channels = channels
        self._assistant = assistant
        deadline_s = min(settings.turn_deadline_s, LONGEST_S)
        self._settings = settings.model_copy(update={"turn_deadline_s": deadline_s})
        self._spending = spending
        self._clock = clock
        self._running: list[str] = []

    async def run(self, assistant_id: str, trial: Trial) -> Answer:
        """The answer that a person would get, whatever it is.

        It counts among what the Page spends today, and without a Page among `workspace:…`.

        Raises:
            UnknownAssistantError: there is none.
            UnknownPageError: not of this workspace.
            TooManyTrialsError: try again in a moment.
        """
        stored = await self._channels.assistant_now(assistant_id)
        if stored is None:
            raise UnknownAssistantError("there is no such assistant")
        channel = await self._channel(stored, trial.page_id)
        workspace = stored.workspace_id
        if (
            len(self._running) >= MOST_AT_ONCE
            or self._running.count(workspace) >= MOST_OF_A_WORKSPACE
        ):
            raise TooManyTrialsError("others are trying assistants at this moment")
        self._running.append(workspace)
        try:
            return await self._run(stored, channel, trial)
        finally:
            self._running.remove(workspace)

    async def _run(self, stored: AssistantProfile, channel: Channel, trial: Trial) -> Answer:
        now = self._clock()
        state = state_of(trial.question, trial.history, now)
        heard = channel.settings
        if asks_for_human(trial.question, heard.handover_languages, heard.handover_phrases):
            return composing.handed_over(state, channel)
        profile, choice = drafted(stored, trial.draft)
        prompt = composing.prompt_of(
            state,
            profile,
            channel,
            history_tokens=self._settings.history_tokens,
            now=now,
            choice=choice,
        )
        return await composing.asked(
            self._assistant, prompt, channel, self._settings, self._spending
        )

    async def _channel(self, assistant: AssistantProfile, page_id: str | None) -> Channel:
        if page_id is None:
            return Channel(
                id=f"workspace:{assistant.workspace_id}",
                workspace_id=assistant.workspace_id,
                assistant_id=assistant.id,
                page_name=assistant.name,
                token="",
            )
        channel = await self._channels.channel(page_id)
        if channel is None or channel.workspace_id != assistant.workspace_id:
            raise UnknownPageError("the workspace has no such Page")
        return channel


def state_of(question: str, said: Sequence[Said], now: datetime) -> State:
    """A conversation in which only the question waits."""
    lines: list[tuple[Role, str]] = [(each.role, each.text) for each in said]
    lines.append(("person", question))
    history = tuple(
        Line(message=f"line {number}", role=role, text=text[:LINE_CHARACTERS], at=now)
        for number, (role, text) in enumerate(lines)
    )
    waiting = Pending(message=history[-1].message, kind="text", text=question, at=now)
    return State(history=history, pending=(waiting,))


def drafted(
    stored: AssistantProfile, draft: Draft | None
) -> tuple[AssistantProfile, ModelChoice | None]:
    """The assistant as it is to be tried, and the model it wants.

    A stored key is for where it was stored for: elsewhere it doesn't count. The connections that
    people's answers use are left alone by a draft that wants others.
    """
    if draft is None:
        return stored, composing.choice_of(stored)
    changes = draft.model_dump(exclude_unset=True)
    profile = stored.model_copy(update=changes)
    if "api_key" not in changes and profile.key_context != stored.key_context:
        profile = profile.model_copy(update={"api_key": None})
    is_same = (profile.key_context, profile.api_key) == (stored.key_context, stored.api_key)
    return profile, composing.choice_of(profile, kept=is_same)
