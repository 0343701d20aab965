"""What the console keeps: accounts, workspaces, sessions, links, API tokens, the audit log."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from services.console.domain.roles import Member
from services.console.domain.tokens import Scope

LinkPurpose = Literal["invite", "reset"]
Outcome = Literal["begun", "done", "refused"]


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
