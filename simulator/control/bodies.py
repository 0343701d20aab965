"""What the control API takes. Unknown fields are refused: a typo must not pass for a success."""

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from simulator.world.facebook import PERMISSIONS, AppMode, AppRole, PageRole
from simulator.world.model import ProfileState, ThreadOwner
from simulator.world.units import TokenState

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
Psid = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=20_000)]

Address = Annotated[str, StringConstraints(pattern=r"^(https?://\S+)?$", max_length=2000)]


def _known_permission(name: str) -> str:
    if name not in PERMISSIONS:
        raise ValueError(f"must be one of {', '.join(PERMISSIONS)}")
    return name


PermissionName = Annotated[str, AfterValidator(_known_permission)]

REACTIONS = {
    "smile": "😆",
    "angry": "😠",
    "sad": "😢",
    "wow": "😮",
    "love": "❤️",
    "like": "👍",
    "dislike": "👎",
    "other": "🎉",
}


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NewPage(_Body):
    name: Name
    subscribed: bool = Field(True, description="to the app's webhook fields, as after connecting")


class DeletionWish(_Body):
    as_psid: bool = Field(False, description="the callback has the page-scoped id")


class NewPerson(_Body):
    first_name: Name
    last_name: Annotated[str, StringConstraints(strip_whitespace=True, max_length=100)] = ""
    profile_pic: str | None = Field(None, max_length=2000)
    has_role: bool = Field(False, description="on the app; needed where it is not live")
    profile: ProfileState = Field("open", description="hidden: {}; none: error 2018218")


class ChangedPerson(_Body):
    """Only the fields that are given change."""

    blocked: bool | None = Field(None, description="true: sends meet 551/1545041")
    has_role: bool | None = None
    profile: ProfileState | None = None


class Attachment(_Body):
    type: str = Field(min_length=1, max_length=40)
    payload: dict[str, Any] | None = None


class QuickReplyTap(_Body):
    payload: str = Field(max_length=1000)


class ReplyTo(_Body):
    mid: str


def _payload(given: object) -> object:
    """The payload alone is understood as well."""
    return {"payload": given} if isinstance(given, str) else given


def _mid(given: object) -> object:
    return {"mid": given} if isinstance(given, str) else given


class PersonMessage(_Body):
    """The person writes. `copies` webhooks with the same bytes go out, one after the other."""

    psid: Psid
    text: Text | None = None
    attachments: list[Attachment] | None = Field(None, min_length=1, max_length=30)
    quick_reply: Annotated[QuickReplyTap | None, BeforeValidator(_payload)] = None
    reply_to: Annotated[ReplyTo | None, BeforeValidator(_mid)] = None
    timestamp: int | None = Field(None, gt=0, lt=2**53, description="ms; default now")
    copies: int = Field(1, ge=1, le=100)

    @model_validator(mode="after")
    def _says_something(self) -> "PersonMessage":
        if self.text is None and self.attachments is None:
            raise ValueError("text or attachments must be given")
        return self


class PersonPostback(_Body):
    psid: Psid
    payload: str = Field(min_length=1, max_length=1000)
    title: str = Field("Get Started", min_length=1, max_length=80)
    copies: int = Field(1, ge=1, le=100)


class PersonRead(_Body):
    psid: Psid


class PersonReaction(_Body):
    psid: Psid
    mid: str
    reaction: Literal["smile", "angry", "sad", "wow", "love", "like", "dislike", "other"] = "love"
    emoji: str | None = Field(None, min_length=1, max_length=32, description="default: its usual")
    action: Literal["react", "unreact"] = "react"


class InboxMessage(_Body):
    psid: Psid
    text: Text


class OwnerChange(_Body):
    """The thread goes to an app: it is passed on by whoever has it, or taken."""

    psid: Psid
    app: ThreadOwner
    how: Literal["pass", "take"] | None = Field(
        None, description="default: others take it, and it is passed back to us"
    )


class ControlRequest(_Body):
    psid: Psid
    app: Literal["inbox", "other"] = "inbox"


class TokenChange(_Body):
    state: TokenState


class NewUser(_Body):
    name: Name
    app_role: AppRole = Field("none", description="needed to log in to an app in development mode")


class ChangedUser(_Body):
    app_role: AppRole


class RoleChange(_Body):
    role: PageRole | Literal["none"]


class DialogAnswer(_Body):
    """What somebody does in the dialog at `url`. What is not given is all that is offered."""

    url: str = Field(min_length=1, max_length=8000)
    user: str | None = Field(None, description="default: the first one")
    answer: Literal["continue", "cancel"] = "continue"
    permissions: list[str] | None = Field(None, description="ticked; others are declined")
    without: list[str] = Field(default_factory=list, description="unticked; others are granted")
    pages: list[str] | None = Field(None, description="ids of the ticked Pages")


class ChangedApp(_Body):
    """Only the fields that are given change."""

    name: Name = "Messenger assistant"
    mode: AppMode = "live"
    reviewed: tuple[PermissionName, ...] = Field((), description="have Advanced Access")
    redirect_uris: tuple[Address, ...] = Field((), description="none: any on this machine")
    deauthorize_url: Address = ""
    data_deletion_url: Address = ""
