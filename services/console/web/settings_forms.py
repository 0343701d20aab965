"""One form per card of a Page's settings: what is typed, in a person's units, and what is stored.

Titles are the labels; they also name what somebody else has changed meanwhile.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BeforeValidator, Field

from libs.common.channels import HandoverLanguage
from libs.common.text import utf16_length
from services.console.domain.cards import Card
from services.console.domain.setting_values import (
    MOST_PHRASE,
    MOST_PHRASES,
    Address,
    DailyLimit,
    Greeting,
    LoopTurns,
    MessageLength,
    Payload,
    Prompt,
    QuietWindow,
    ResumeMinutes,
    Secret,
    Sent,
    Utf16,
    WantedPrompt,
)
from services.console.web.forms import FormModel
from services.console.web.sign_in import SECRET

MINUTE_S, HOUR_S = 60, 3600


def _lines(text: str) -> str:
    """Raises: ValueError: too many lines, or one too long."""
    lines = lines_of(text)
    if len(lines) > MOST_PHRASES:
        raise ValueError(f"use at most {MOST_PHRASES} lines; these are {len(lines)}")
    for number, line in enumerate(lines, start=1):
        if utf16_length(line) > MOST_PHRASE:
            raise ValueError(f"line {number} is longer than {MOST_PHRASE} characters")
    return "\n".join(lines)


def lines_of(text: str) -> tuple[str, ...]:
    """What stands on each line, once each."""
    return tuple(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))


Lines = Annotated[str, Utf16(MOST_PHRASES * (MOST_PHRASE + 2)), AfterValidator(_lines)]
Comma = BeforeValidator(lambda given: given.replace(",", ".") if isinstance(given, str) else given)


class CardForm(FormModel):
    """Base of the cards' forms."""

    card: ClassVar[Card]

    version: int = Field(0, ge=0, le=2**53)

    @classmethod
    def shown(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """What the fields say, of the stored values."""
        return {name: values[name] for name in cls.model_fields if name in values}

    def given(self) -> dict[str, Any]:
        """What is to be stored, by the settings' names."""
        return self.model_dump(exclude={"version"})


class AssistantForm(CardForm):
    card = "assistant"

    enabled: bool = Field(False, title="The assistant answers on this Page")
    assistant_id: str = Field(title="Who answers", max_length=200)
    prompt_addition: Prompt = Field("", title="Added to the instructions, on this Page only")
    quiet_window_s: Annotated[QuietWindow, Comma] = Field(title="Quiet window, in seconds")


class GreetingForm(CardForm):
    card = "greeting"

    greeting: Greeting = Field("", title="Greeting")
    get_started_payload: Payload = Field("", title="Get Started payload")
    welcome_prompt: WantedPrompt = Field(title="What the assistant is asked when somebody taps it")


class RepliesForm(CardForm):
    card = "replies"

    max_message_length: MessageLength = Field(title="Longest message, in characters")
    text_only_reply: Sent = Field(title="Reply to pictures, voice messages and files")
    fallback_text: Sent = Field(title="Reply when the assistant can't answer")


class HandoverForm(CardForm):
    card = "handover"

    handover_text: Sent = Field(title="What the person is told")
    handover_languages: tuple[HandoverLanguage, ...] = Field((), title="Languages")
    handover_phrases: Lines = Field("", title="More sentences that ask for a person")
    notification_url: Address = Field("", title="Notification address")
    notification_secret: Secret = Field(
        "", title="Secret that signs notifications", json_schema_extra=SECRET
    )
    forget_secret: bool = Field(False, title="Remove the stored secret")
    pause_on_facebook_reply: bool = Field(
        False, title="Pause when somebody answers on Facebook itself"
    )
    auto_resume_minutes: ResumeMinutes | None = Field(None, title="Resume after so many minutes")

    @classmethod
    def shown(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        shown = super().shown(values)
        return {**shown, "handover_phrases": "\n".join(values["handover_phrases"])}

    def given(self) -> dict[str, Any]:
        """The secret is not shown: an empty field leaves it as it is."""
        given = self.model_dump(exclude={"version", "forget_secret", "notification_secret"})
        given["handover_phrases"] = lines_of(self.handover_phrases)
        if self.notification_secret or self.forget_secret:
            given["notification_secret"] = self.notification_secret
        return given


class ContactsForm(CardForm):
    card = "contacts"

    contact_matching: bool = Field(False, title="Match people to existing contacts")
    auto_create_contacts: bool = Field(False, title="Create a contact for everybody new")


class LimitsForm(CardForm):
    card = "limits"

    daily_model_calls: DailyLimit | None = Field(None, title="Model calls a day")
    daily_model_tokens: DailyLimit | None = Field(None, title="Model tokens a day")
    session_idle_hours: Annotated[float, Field(ge=0.1, le=720, allow_inf_nan=False), Comma] = Field(
        title="A new session begins after so many hours of silence"
    )
    loop_turns: LoopTurns = Field(title="Turns in a row that look like two machines")
    loop_pause_minutes: Annotated[float, Field(ge=1, le=1440, allow_inf_nan=False), Comma] = Field(
        title="Silence after that, in minutes"
    )

    @classmethod
    def shown(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        return {
            **super().shown(values),
            "session_idle_hours": _number(values["session_idle_s"] / HOUR_S),
            "loop_pause_minutes": _number(values["loop_pause_s"] / MINUTE_S),
        }

    def given(self) -> dict[str, Any]:
        given = self.model_dump(exclude={"version", "session_idle_hours", "loop_pause_minutes"})
        return {
            **given,
            "session_idle_s": round(self.session_idle_hours * HOUR_S, 3),
            "loop_pause_s": round(self.loop_pause_minutes * MINUTE_S, 3),
        }


def _number(value: float) -> str:
    """As somebody types it: 24, 0.5; so exact that what is shown is what is stored."""
    return f"{value:.12g}"


FORMS: Mapping[Card, type[CardForm]] = {
    form.card: form
    for form in (
        AssistantForm,
        GreetingForm,
        RepliesForm,
        HandoverForm,
        ContactsForm,
        LimitsForm,
    )
}
