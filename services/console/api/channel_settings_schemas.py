"""A Page's settings as `/api/v1` shows and takes them."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, Strict, StrictBool

from libs.common.channels import HandoverLanguage
from services.console.api.operations import Body, Shown
from services.console.domain.cards import HIDDEN, SECRET, CardChange, host_of
from services.console.domain.messenger_profile import missing
from services.console.domain.setting_values import (
    Address,
    DailyLimit,
    Greeting,
    LoopPause,
    LoopTurns,
    MessageLength,
    Payload,
    Phrases,
    Prompt,
    QuietWindow,
    ResumeMinutes,
    Secret,
    Sent,
    SessionIdle,
    WantedPrompt,
)
from services.console.records import ConnectedChannel


def _left_out(words: str = "") -> Any:  # noqa: ANN401 - stands where a field's default does
    """A field that may be left out and has no default: what is left out stays as it is."""
    return Field(default_factory=lambda: None, description=words or None)


class SettingsChange(Body):
    """What is to be different; what is left out stays."""

    version: int | None = Field(
        None,
        ge=0,
        le=2**53,
        strict=True,
        description="of the settings that the change was made from: 409 if somebody else has "
        "changed the same card since; without it the change is made on whatever is there",
    )
    assistant_id: Annotated[str, Field(max_length=200)] = _left_out(
        "one of the workspace's assistants"
    )
    prompt_addition: Prompt = _left_out("added to the assistant's instructions")
    quiet_window_s: Annotated[QuietWindow, Strict()] = _left_out(
        "silence before an answer is begun"
    )
    greeting: Greeting = _left_out("shown by Facebook before the first message; empty: none")
    get_started_payload: Payload = _left_out("of the button Get Started; empty: no button")
    welcome_prompt: WantedPrompt = _left_out("what the assistant is asked when it is tapped")
    max_message_length: Annotated[MessageLength, Strict()] = _left_out(
        "in UTF-16 code units; longer answers are split"
    )
    text_only_reply: Sent = _left_out("answers what has no text")
    fallback_text: Sent = _left_out("sent where the assistant has no answer")
    handover_text: Sent = _left_out("answers who asks for a human")
    handover_languages: tuple[HandoverLanguage, ...] = _left_out(
        "in which a plain request for a human is heard"
    )
    handover_phrases: Phrases = _left_out("more sentences that ask for a human")
    notification_url: Address = _left_out("told when a human is wanted; never shown whole again")
    notification_secret: Secret = _left_out("signs notifications; never shown; empty: none")
    pause_on_facebook_reply: StrictBool = _left_out(
        "the assistant is silent after somebody answered at Facebook itself"
    )
    auto_resume_minutes: Annotated[ResumeMinutes, Strict()] | None = _left_out(
        "then it goes on by itself; null: never"
    )
    contact_matching: StrictBool = _left_out("people are linked to the one contact that fits")
    auto_create_contacts: StrictBool = _left_out("a contact for who has none")
    daily_model_calls: Annotated[DailyLimit, Strict()] | None = _left_out(
        "for a UTC day; null: no limit"
    )
    daily_model_tokens: Annotated[DailyLimit, Strict()] | None = _left_out(
        "in and out, for a UTC day; null: no limit"
    )
    session_idle_s: Annotated[SessionIdle, Strict()] = _left_out(
        "silence after which a new session begins"
    )
    loop_turns: Annotated[LoopTurns, Strict()] = _left_out(
        "quick turns in a row that look like machines; 0: not looked"
    )
    loop_pause_s: Annotated[LoopPause, Strict()] = _left_out("silence after such a loop")

    def given(self) -> dict[str, Any]:
        return self.model_dump(exclude_unset=True, exclude={"version"})


class CardChangeShown(Shown):
    """Who changed a card last."""

    version: int
    by: str = Field(description="the account's id; empty: taken from Facebook")
    by_name: str
    at: datetime

    @classmethod
    def of(cls, change: CardChange) -> "CardChangeShown":
        return cls.model_validate(change.model_dump())


class ProfileShown(Shown):
    """Greeting and Get Started at Facebook, as far as its answers tell."""

    state: Literal["written", "missing", "unknown"] = Field(
        description="written: Facebook has what is stored here; missing: it has not; "
        "unknown: nobody can tell"
    )
    greeting: str | None = Field(description="at Facebook; empty: none; null: not known")
    get_started_payload: str | None = Field(description="at Facebook; empty: none; null: not known")
    answered_at: datetime | None = Field(description="when Facebook was last asked")
    words: str = Field(description="why something is missing, and what to do")
    code: str | None = Field(description="Facebook's own, as 100/2018145")

    @classmethod
    def of(cls, channel: ConnectedChannel) -> "ProfileShown":
        answer = channel.profile
        state: Literal["written", "missing", "unknown"] = "written"
        if answer is None or answer.outcome == "unknown":
            state = "unknown"
        elif missing(answer, channel.wish):
            state = "missing"
        return cls(
            state=state,
            greeting=answer.greeting if answer else None,
            get_started_payload=answer.get_started if answer else None,
            answered_at=answer.at if answer else None,
            words=answer.words if answer else "",
            code=answer.code if answer else None,
        )


class SettingsShown(Shown):
    """All settings of a Page. Times in seconds, lengths in UTF-16 code units."""

    version: int = Field(description="give it back with a change")
    enabled: bool = Field(description="false: paused, nobody is answered")
    assistant_id: str
    prompt_addition: str
    quiet_window_s: float
    greeting: str
    get_started_payload: str
    welcome_prompt: str
    max_message_length: int
    text_only_reply: str
    fallback_text: str
    handover_text: str
    handover_languages: tuple[HandoverLanguage, ...]
    handover_phrases: tuple[str, ...]
    notification_host: str = Field(description="where notifications go; empty: nowhere")
    has_notification_secret: bool
    pause_on_facebook_reply: bool
    auto_resume_minutes: int | None
    contact_matching: bool
    auto_create_contacts: bool
    daily_model_calls: int | None
    daily_model_tokens: int | None
    session_idle_s: float
    loop_turns: int
    loop_pause_s: float
    changed: dict[str, CardChangeShown] = Field(
        description="by card (assistant, greeting, replies, handover, contacts, limits): the last "
        "change; cards that nobody has changed are missing"
    )
    messenger_profile: ProfileShown

    @classmethod
    def of(cls, channel: ConnectedChannel) -> "SettingsShown":
        settings = channel.settings
        return cls(
            version=channel.settings_version,
            enabled=channel.enabled,
            assistant_id=channel.assistant_id,
            notification_host=host_of(settings.notification_url),
            has_notification_secret=bool(settings.notification_secret),
            changed={card: CardChangeShown.of(each) for card, each in channel.changed.items()},
            messenger_profile=ProfileShown.of(channel),
            **settings.model_dump(exclude=set(SECRET | HIDDEN)),
        )
