"""Connected Pages and their assistants, as conversation and sender read them.

The console owns the collections `channels` and `assistants`. Readers keep what they read for a
short time and drop it at once when `messenger.channels` says that something changed.
"""

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal, TypeVar, cast, get_args

from prometheus_client import Counter
from pydantic import BaseModel, ConfigDict, Field

from libs.common.mongo import Database, GroupReader

CHANNELS_COLLECTION = "channels"
ASSISTANTS_COLLECTION = "assistants"
CACHE_S = 30.0
KNOWLEDGE_CHARACTERS = 120_000
"""Of a knowledge text that a model gets to read, from its beginning: some 30,000 tokens."""

ChannelStatus = Literal["active", "expired", "revoked", "disconnected"]
AssistantProvider = Literal["offline", "simulator", "openai", "anthropic"]
HandoverLanguage = Literal["en", "de", "fr", "es", "pt", "vi", "th"]

LOOKUPS = Counter("assistant_channel_lookups_total", "Channel and assistant look-ups.", ["outcome"])


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    id: str = Field(alias="_id")

    def to_document(self) -> dict[str, Any]:
        return self.model_dump(by_alias=True)


S = TypeVar("S", bound=_Stored)


class ChannelSettings(BaseModel):
    """What an administrator may set for one Page. Lengths in characters, times in seconds.

    Whoever reads takes what is stored, however long: what may be written is for the console to say.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    max_message_length: int = Field(2000, ge=50, le=2000)
    quiet_window_s: float = Field(0.8, ge=0, le=10)
    session_idle_s: float = Field(24 * 3600, gt=0, description="then a new session begins")
    contact_matching: bool = Field(
        False, description="people are linked to the one contact of the workspace that fits"
    )
    auto_create_contacts: bool = Field(False, description="a contact for who has none")
    prompt_addition: str = ""
    greeting: str = Field(
        "", description="shown before the first message, by Facebook; at most 160 UTF-16 code units"
    )
    text_only_reply: str = (
        "Sorry, I can only read text here. Please describe in words what you need."
    )
    fallback_text: str = (
        "Sorry, I can't answer right now. Please try again in a moment, or write “human” to reach "
        "a person."
    )
    welcome_prompt: str = "Greet the person in one or two sentences and say what you can help with."
    get_started_payload: str = "GET_STARTED"
    handover_text: str = (
        "I'm passing this on to a person from our team. They will answer here as soon as they can."
    )
    handover_languages: tuple[HandoverLanguage, ...] = Field(
        get_args(HandoverLanguage), description="in which a plain request for a person is heard"
    )
    handover_phrases: tuple[str, ...] = Field(
        (), max_length=50, description="more sentences that ask for a person, as people write them"
    )
    notification_url: str = Field(
        "", max_length=2000, repr=False, description="told when a person is wanted; may be Slack's"
    )
    notification_secret: str = Field(
        "", repr=False, description="signs notifications; encrypted, with the page id as context"
    )
    pause_on_facebook_reply: bool = Field(
        True, description="the assistant is silent after somebody answered in Meta's own inbox"
    )
    auto_resume_minutes: int | None = Field(
        None, ge=5, le=10_080, description="for how long it is then; None: until somebody resumes"
    )
    daily_model_calls: int | None = Field(None, ge=0, description="per UTC day; None: no limit")
    daily_model_tokens: int | None = Field(None, ge=0, description="in and out, per UTC day")
    loop_turns: int = Field(
        8, ge=0, le=30, description="turns in a row that look like two bots talking; 0: never look"
    )
    loop_pause_s: float = Field(900, gt=0, le=86_400, description="silence after such a loop")


class Channel(_Stored):
    """One connected Page; `_id` is the page id."""

    workspace_id: str
    assistant_id: str
    page_name: str
    enabled: bool = True
    status: ChannelStatus = "active"
    token: str = Field(description="encrypted, with the page id as context", repr=False)
    settings: ChannelSettings = ChannelSettings()


class Change(BaseModel):
    """Who changed something last, and when."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    by: str = Field(description="the account's id")
    by_name: str
    at: datetime


class Assistant(_Stored):
    """Who answers. `provider` None: the one that the service was started with, with its key.

    `api_key` is encrypted, bound to whom it is sent to: see `key_context`.
    """

    workspace_id: str
    name: str
    system_prompt: str
    knowledge: str = ""
    provider: AssistantProvider | None = None
    model: str | None = None
    base_url: str | None = Field(None, description="None: the provider's own")
    api_key: str | None = Field(None, repr=False)
    api_key_at: datetime | None = Field(None, description="when the key was stored")
    version: int = Field(0, description="compared and set by whoever changes it")
    changed: Change | None = None

    @property
    def key_context(self) -> str:
        """What a key is encrypted with: changing where it would be sent makes it unreadable."""
        return f"assistant:{self.id} {self.provider} {self.base_url or ''}"


class ChannelDirectory:
    """Channels and assistants by id, cached for `CACHE_S`, unknown ones included."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._channels = GroupReader(database[CHANNELS_COLLECTION])
        self._assistants = GroupReader(database[ASSISTANTS_COLLECTION])
        self._clock = clock
        self._cache: dict[tuple[str, str], tuple[float, _Stored | None]] = {}
        self._changes = 0

    async def channel(self, page_id: str) -> Channel | None:
        return await self._get("channel", self._channels, Channel, page_id)

    async def assistant(self, assistant_id: str) -> Assistant | None:
        return await self._get("assistant", self._assistants, Assistant, assistant_id)

    async def assistant_now(self, assistant_id: str) -> Assistant | None:
        """As it is stored at this moment: for whoever has just changed it."""
        document = await self._assistants.read(assistant_id)
        return Assistant.model_validate(document) if document is not None else None

    def forget(self, page_id: str) -> None:
        """Drop what is known of a page, and every assistant: they are few and quickly read."""
        self._changes += 1
        self._cache.pop(("channel", page_id), None)
        for key in [key for key in self._cache if key[0] == "assistant"]:
            del self._cache[key]

    async def _get(self, kind: str, reader: GroupReader, model: type[S], wanted: str) -> S | None:
        known = self._cache.get((kind, wanted))
        if known is not None and self._clock() < known[0]:
            LOOKUPS.labels("cached").inc()
            return cast("S | None", known[1])  # the kind is part of the key
        changes = self._changes
        document = await reader.read(wanted)
        value = model.model_validate(document) if document is not None else None
        if changes == self._changes:  # else it may be what was there before the change
            self._cache[kind, wanted] = (self._clock() + CACHE_S, value)
        LOOKUPS.labels("read").inc()
        return value
