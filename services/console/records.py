"""What the console keeps: accounts, workspaces, sessions, links, API tokens, the audit log."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from libs.common.channels import Channel
from services.console.domain.cards import CardChange, CardState
from services.console.domain.connection import ConnectionState, Pause, connection_state
from services.console.domain.messenger_profile import ProfileAnswer, Wish
from services.console.domain.no_pages import Hidden
from services.console.domain.roles import Member
from services.console.domain.tokens import Scope

LinkPurpose = Literal["invite", "reset"]
Outcome = Literal["begun", "done", "refused"]
NewsKind = Literal["channel.connected", "channel.updated", "channel.disconnected"]


class Record(BaseModel):
    """One document."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    id: str = Field(alias="_id")

    def to_document(self) -> dict[str, Any]:
        return self.model_dump(by_alias=True, mode="python")


class Account(Record):
    """Somebody who can sign in, or was invited to. What they may do stands in their workspace."""

    workspace_id: str
    email: str = Field(description="normalised; unique")
    name: str = ""
    password_hash: str | None = Field(None, repr=False, description="None: invited, not yet here")
    epoch: int = Field(0, description="sessions of an older one are over")
    created_at: datetime
    last_sign_in_at: datetime | None = None

    @property
    def is_invited(self) -> bool:
        return self.password_hash is None

    @property
    def shown_name(self) -> str:
        return self.name or self.email


class Workspace(Record):
    """People, Pages and assistants that belong together, apart from all others."""

    name: str
    timezone: str = Field("UTC", description="in which its days are cut: an IANA name")
    keep_messages_days: int | None = Field(None, description="None: for ever")
    members: dict[str, Member] = {}
    roster_version: int = 0


class Session(Record):
    """A signed-in browser. The id is the hash of what its cookie says."""

    account_id: str
    workspace_id: str
    epoch: int
    created_at: datetime
    seen_at: datetime
    expires_at: datetime
    address: str = ""
    device: str = ""
    notice: str | None = Field(None, description="to be shown once, on the next page")


class Link(Record):
    """A one-time link to choose a password. The id is the hash of what the link says."""

    account_id: str
    purpose: LinkPurpose
    expires_at: datetime


class StoredToken(Record):
    """An API token without its secret."""

    workspace_id: str
    account_id: str
    name: str
    scopes: tuple[Scope, ...]
    secret_hash: str = Field(repr=False)
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None


class AuditEntry(Record):
    """Who did what, when. Written before it is done: `begun` at last means that it may have."""

    workspace_id: str
    at: datetime
    account_id: str | None
    who: str = Field(description="their e-mail address at the time")
    via: str | None = Field(None, description="name of the API token, if it was one")
    address: str = ""
    action: str
    target: str | None = None
    target_id: str | None = None
    details: dict[str, Any] = {}
    outcome: Outcome = "begun"
    reason: str | None = Field(None, description="why it was refused")


class Connection(BaseModel):
    """Who connected a Page: here, and at Facebook."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    at: datetime
    account_id: str
    facebook_user_id: str
    facebook_user_name: str = ""


class News(BaseModel):
    """What other services have to be told. It is written with the fact, and removed when told."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    type: NewsKind
    event_id: str
    at: datetime


class ConnectedChannel(Channel):
    """A channel with what the console alone reads."""

    connection: Connection | None = Field(None, description="None: not connected in the console")
    cause: str | None = Field(None, description="of a status other than active")
    status_since: datetime | None = None
    checked_at: datetime | None = Field(None, description="by the regular look")
    news: News | None = None
    settings_version: int = Field(0, description="one more with each change of settings")
    changed: dict[str, CardChange] = Field({}, description="by card: the last change")
    switched: CardChange | None = Field(None, description="the assistant on or off, the last time")
    profile: ProfileAnswer | None = Field(None, description="None: Facebook was asked nothing yet")

    @property
    def state(self) -> ConnectionState:
        pause = Pause(self.switched.by_name, self.switched.at) if self.switched else Pause()
        return connection_state(
            self.status,
            paused=None if self.enabled else pause,
            cause=self.cause,
            since=self.status_since,
        )

    @property
    def cards(self) -> CardState:
        """All that can be set, by name."""
        values = {
            "enabled": self.enabled,
            "assistant_id": self.assistant_id,
            **self.settings.model_dump(),
        }
        return CardState(values, self.settings_version, self.changed)

    @property
    def wish(self) -> Wish:
        return Wish(self.settings.greeting, self.settings.get_started_payload)


class FoundPage(BaseModel):
    """A Page that a login brought."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    name: str
    tasks: tuple[str, ...] = ()
    token: str | None = Field(None, repr=False, description="encrypted, for this login only")


class PageResult(BaseModel):
    """What became of one chosen Page; `words` if it was not connected."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    page_id: str
    page_name: str
    outcome: Literal["connected", "reconnected", "failed"]
    words: str = ""


class FacebookLogin(Record):
    """One login at Facebook, from the question to the Pages; the id is the hash of its `state`.

    It ends by itself (`expires_at`), the Pages' tokens with it.
    """

    session_id: str
    account_id: str
    workspace_id: str
    expires_at: datetime
    wanted_page: str | None = Field(None, description="the one that is to be connected again")
    used: bool = False
    facebook_user_id: str = ""
    facebook_user_name: str = ""
    permissions: dict[str, str] = {}
    pages: tuple[FoundPage, ...] | None = Field(None, description="None: not yet, or it failed")
    ticked: tuple[str, ...] | None = None
    hidden: dict[str, Hidden] = {}
    results: tuple[PageResult, ...] = ()
