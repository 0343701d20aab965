"""What an assistant is asked, and asking it: the same for people who write and for a test."""

from datetime import datetime
from functools import partial

from libs.common.channels import Assistant as AssistantProfile
from libs.common.channels import Channel
from services.conversation.asking import ask
from services.conversation.assistants.base import (
    Assistant,
    ModelChoice,
    Prompt,
    PromptLine,
)
from services.conversation.desk import Spending
from services.conversation.domain import requests, turns
from services.conversation.domain.prompt import instructions
from services.conversation.domain.state import State
from services.conversation.settings import Settings

OFFLINE = ModelChoice("offline", keep_as=":offline")  # one for all: it is asked with the knowledge


def prompt_of(
    state: State,
    profile: AssistantProfile,
    channel: Channel,
    *,
    history_tokens: int,
    now: datetime,
    choice: ModelChoice | None,
) -> Prompt:
    """The question that waits in a conversation, with all that the answer may depend on."""
    welcome = turns.needed(state) == "welcome"
    lines = turns.earlier_lines(state, history_tokens)
    return Prompt(
        kind="welcome" if welcome else "answer",
        instructions=instructions(profile, channel, now),
        knowledge=profile.knowledge,
        history=tuple(PromptLine(line.role, line.text, line.quoted) for line in lines),
        question=channel.settings.welcome_prompt if welcome else turns.question(state),
        assistant_name=profile.name,
        model=profile.model,
        quoted="" if welcome else turns.replied_to(state),
        may_hand_over=not welcome,
        choice=choice,
    )


def choice_of(profile: AssistantProfile, *, kept: bool = True) -> ModelChoice | None:
    """The model that an assistant wants. `kept`: its connections are for the next reply, too."""
    if profile.provider is None:
        return None
    if profile.provider == "offline":
        return OFFLINE
    return ModelChoice(
        profile.provider,
        profile.base_url,
        profile.api_key,
        profile.key_context,
        keep_as=profile.id if kept else None,
    )


async def asked(
    assistant: Assistant, prompt: Prompt, channel: Channel, settings: Settings, spending: Spending
) -> turns.Answer:
    """The answer in any case, counted among what the channel's Page spends."""
    texts = channel.settings
    return await ask(
        assistant,
        prompt,
        fallback=texts.fallback_text,
        attempts=settings.model_attempts,
        deadline_s=settings.turn_deadline_s,
        handover=texts.handover_text,
        begin=partial(spending.begin, channel.id, texts),
    )


def handed_over(state: State, channel: Channel) -> turns.Answer:
    """The answer to somebody who has plainly asked for a human: no model is needed for it."""
    text = channel.settings.handover_text
    return turns.Answer("handover", text, model="none", request=requests.asked(state))
