"""What `/api/v1` takes and shows."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints, WithJsonSchema

from services.console.accounts import OneTimeLink, User, UserState
from services.console.api.operations import Body, Shown
from services.console.api_tokens import NewToken
from services.console.domain.addresses import LONGEST, normalised
from services.console.domain.connection import Shown as ConnectionShown
from services.console.domain.roles import Role
from services.console.domain.tokens import Scope
from services.console.records import AuditEntry, ConnectedChannel, LinkPurpose, Outcome, StoredToken
from services.console.signing_in import Caller

EmailAddress = Annotated[
    str,
    StringConstraints(min_length=3, max_length=LONGEST),
    AfterValidator(normalised),
    WithJsonSchema({"type": "string", "format": "email", "maxLength": LONGEST}),
]


class UserShown(Shown):
    """Somebody in the workspace."""

    id: str
    email: str
    name: str
    role: Role
    state: UserState
    created_at: datetime
    last_sign_in_at: datetime | None

    @classmethod
    def of(cls, user: User) -> "UserShown":
        account = user.account
        return cls(
            id=account.id,
            email=account.email,
            name=account.name,
            role=user.member.role,
            state=user.state,
            created_at=account.created_at,
            last_sign_in_at=account.last_sign_in_at,
        )


class Users(Shown):
    """Everybody in the workspace, in the order of their names."""

    users: list[UserShown]


class Invitation(Body):
    """Whom to invite."""

    email: EmailAddress = Field(description="where they sign in with; nothing is sent there")
    name: str = Field("", max_length=80)
    role: Role = Role.MEMBER


class LinkShown(Shown):
    """A one-time link to choose a password; shown once, to be handed over."""

    url: str
    purpose: LinkPurpose
    expires_at: datetime
    user: UserShown

    @classmethod
    def of(cls, link: OneTimeLink, console_url: str) -> "LinkShown":
        return cls(
            url=f"{console_url}/welcome/{link.secret}",
            purpose=link.purpose,
            expires_at=link.expires_at,
            user=UserShown.of(link.user),
        )


class UserChange(Body):
    """What is to be different; what is left out stays."""

    role: Role | None = None
    disabled: bool | None = Field(None, strict=True)


class TokenShown(Shown):
    """An API token, without its secret."""

    id: str
    name: str
    scopes: tuple[Scope, ...]
    owner_id: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None

    @classmethod
    def of(cls, token: StoredToken) -> "TokenShown":
        return cls(
            id=token.id,
            name=token.name,
            scopes=token.scopes,
            owner_id=token.account_id,
            created_at=token.created_at,
            expires_at=token.expires_at,
            last_used_at=token.last_used_at,
        )


class Tokens(Shown):
    """The workspace's API tokens, the latest first."""

    tokens: list[TokenShown]


class TokenWanted(Body):
    """The token to be made. It belongs to the owner of the one that asks for it."""

    name: str = Field(min_length=1, max_length=80)
    scopes: tuple[Scope, ...] = Field(
        min_length=1, max_length=len(Scope), description="no more than the asking token has"
    )
    valid_days: int | None = Field(
        90, ge=1, le=3650, strict=True, description="null: until revoked"
    )


class TokenMade(Shown):
    """A new token; its text is shown once."""

    token: str
    details: TokenShown

    @classmethod
    def of(cls, new: NewToken) -> "TokenMade":
        return cls(token=new.text, details=TokenShown.of(new.stored))


class AuditShown(Shown):
    """Who did what, when. `begun` at last: the console died meanwhile, it may have been done."""

    id: str
    at: datetime
    account_id: str | None
    who: str
    via: str | None = Field(description="name of the API token, if it was one")
    address: str
    action: str
    target: str | None
    target_id: str | None
    details: dict[str, Any]
    outcome: Outcome
    reason: str | None

    @classmethod
    def of(cls, entry: AuditEntry) -> "AuditShown":
        return cls.model_validate(entry.model_dump())


class AuditPage(Shown):
    """A stretch of the audit log, the latest first."""

    entries: list[AuditShown]
    next: str | None = Field(description="the `cursor` of what follows; null at the end")


class AuditWanted(Body):
    """Which stretch of the audit log."""

    cursor: str | None = Field(None, max_length=200, description="`next` of the answer before")
    limit: int = Field(50, ge=1, le=200)


class Me(Shown):
    """Whom the token stands for."""

    account_id: str
    email: str
    role: Role
    workspace_id: str
    workspace_name: str
    token: TokenShown

    @classmethod
    def of(cls, caller: Caller) -> "Me":
        return cls(
            account_id=caller.account.id,
            email=caller.account.email,
            role=caller.actor.role,
            workspace_id=caller.workspace.id,
            workspace_name=caller.workspace.name,
            token=TokenShown.of(caller.token),
        )


class ChannelShown(Shown):
    """A Page that is or was connected."""

    id: str = Field(description="the Page's id")
    page_name: str
    status: ConnectionShown = Field(description="paused: connected, the assistant is off")
    words: str = Field(description="the cause, for people")
    cause: str | None = Field(description="of expired, revoked and disconnected, if it is known")
    since: datetime | None
    assistant_id: str
    connected_at: datetime | None = Field(description="the last time, in the console")

    @classmethod
    def of(cls, channel: ConnectedChannel) -> "ChannelShown":
        state = channel.state
        return cls(
            id=channel.id,
            page_name=channel.page_name,
            status=state.shown,
            words=state.words,
            cause=channel.cause,
            since=state.since,
            assistant_id=channel.assistant_id,
            connected_at=channel.connection.at if channel.connection else None,
        )


class Channels(Shown):
    """The Pages of the workspace, by name."""

    channels: list[ChannelShown]


class Disconnection(Body):
    """Which Page is meant."""

    page_name: str = Field("", max_length=200, description="the Page's name, to confirm it")
