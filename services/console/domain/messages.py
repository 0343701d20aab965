"""One message of a conversation, as the conversation service tells of it. Pure."""

from datetime import datetime
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

Direction = Literal["in", "out"]
Side = Literal["person", "assistant", "human", "facebook", "system"]


class Told(BaseModel):
    """What another service tells; what it tells besides is not looked at."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Attachment(Told):
    """Something other than text. Its address is whatever the person's app made of it."""

    type: str = "unknown"
    url: str | None = Field(None, repr=False)
    title: str | None = Field(None, repr=False)
    payload: dict[str, Any] | None = Field(None, repr=False)

    @property
    def link(self) -> str | None:
        """The address, where a browser may be sent there."""
        return self.url if self.url and is_web_address(self.url) else None

    @property
    def place(self) -> str | None:
        """Of a location: latitude and longitude."""
        found = (self.payload or {}).get("coordinates")
        if not isinstance(found, dict):
            return None
        try:
            latitude, longitude = float(found["lat"]), float(found["long"])
        except (KeyError, TypeError, ValueError, OverflowError):
            return None
        return f"{latitude:.5f}, {longitude:.5f}"


class Reaction(Told):
    """A person's reaction to a message."""

    reaction: str | None = None
    emoji: str | None = None


class Message(Told):
    """A message, or (`kind` system) what became of the conversation between its messages."""

    id: str
    at: datetime
    kind: str = "message"
    direction: Direction | None = None
    origin: str | None = None
    text: str | None = Field(None, repr=False)
    status: str | None = None
    mid: str | None = None
    by: str | None = None
    by_name: str | None = None
    payload: str | None = Field(None, repr=False)
    attachments: tuple[Attachment, ...] = ()
    reactions: tuple[Reaction, ...] = ()
    reply_to_mid: str | None = None
    edits: int = 0
    is_deleted: bool = False

    # why it was sent, or was not
    command_id: str | None = None
    send_id: str | None = None
    turn_id: str | None = None
    part: int | None = None
    parts: int | None = None
    generation: int | None = None
    rule: str | None = None
    messaging_type: str | None = None
    tag: str | None = None
    window_expires_at: datetime | None = None
    epoch: int | None = None
    attempts: int | None = None
    reason: str | None = None
    explanation: str | None = None
    advice: str | None = None
    error_code: int | None = None
    error_subcode: int | None = None
    meta_message: str | None = None
    days: int | None = None
    fbtrace_id: str | None = None

    # of what became of the conversation
    event: str | None = None
    summary: str | None = Field(None, repr=False)
    auto_resume_at: datetime | None = None
    action: str | None = None
    previous_app_id: str | None = None
    new_app_id: str | None = None

    @property
    def side(self) -> Side:
        """Who speaks."""
        if self.kind == "system":
            return "system"
        if self.direction == "in":
            return "person"
        if self.origin == "human_facebook":
            return "facebook"
        return "human" if self.origin == "human" else "assistant"

    @property
    def is_ours(self) -> bool:
        """Whether our sender sends it: then it is known why it went out, or did not."""
        return self.side in ("assistant", "human")


def is_web_address(text: str) -> bool:
    """Whether this may stand behind a link: http or https, with a host, without credentials."""
    try:
        url = urlsplit(text)
        host = url.hostname
    except ValueError:
        return False
    has_space = any(char.isspace() or not char.isprintable() for char in text)
    return url.scheme in ("http", "https") and bool(host) and url.username is None and not has_space
