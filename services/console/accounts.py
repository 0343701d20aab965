"""What administrators do with users, and people with their own account: all in the audit log."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from libs.common.errors import PermanentError
from services.console.accounts_store import AccountStore
from services.console.audit import Actor, AuditLog, Clock
from services.console.domain import passwords as password_rules
from services.console.domain.keeping import keep_words
from services.console.domain.roles import Member, Role, UnknownMemberError, changed, member
from services.console.domain.tokens import hashed, new_id, new_secret
from services.console.hashing import Passwords
from services.console.records import Account, Link, LinkPurpose, Workspace
from services.console.sessions_store import SessionStore

INVITATION_FOR = timedelta(hours=72)
RESET_FOR = timedelta(hours=24)
ROSTER_ATTEMPTS = 8

UserState = Literal["active", "invited", "disabled"]


class EmailTakenError(PermanentError):
    """Somebody has this address: in this workspace or another one."""

    code = "email_taken"


class LinkGoneError(PermanentError):
    """The link was used, replaced, or is too old."""

    code = "link_gone"


class WeakPasswordError(PermanentError):
    """The new password is not good enough; the words say why."""

    code = "weak_password"


class UserDisabledError(PermanentError):
    """The account is off: it gets no link before it is on again."""

    code = "user_disabled"


class RosterBusyError(PermanentError):
    """Others change the same workspace's users all the time."""

    code = "try_again"


@dataclass(frozen=True)
class User:
    """An account with its place in the workspace."""

    account: Account
    member: Member
    open_link: LinkPurpose | None = None

    @property
    def state(self) -> UserState:
        if self.member.disabled:
            return "disabled"
        return "invited" if self.account.is_invited else "active"


@dataclass(frozen=True)
class OneTimeLink:
    """To be handed over by the administrator: there is no mail server. Shown once."""

    user: User
    secret: str
    purpose: LinkPurpose
    expires_at: datetime


class Accounts:
    """Users of one workspace, as seen by one of its administrators."""

    def __init__(
        self,
        store: AccountStore,
        sessions: SessionStore,
        audit: AuditLog,
        passwords: Passwords,
        clock: Clock,
    ) -> None:
        self._store = store
        self._sessions = sessions
        self._audit = audit
        self._passwords = passwords
        self._clock = clock

    async def users(self, workspace_id: str) -> list[User]:
        """Everybody, in the order of their names."""
        workspace = await self._workspace(workspace_id)
        ids = list(workspace.members)
        accounts = await self._store.accounts(ids)
        links = await self._store.open_links(ids, self._clock())
        users = [
            User(account, workspace.members[account.id], links.get(account.id))
            for account in accounts.values()
        ]
        return sorted(users, key=lambda user: (user.account.shown_name.casefold(), user.account.id))

    async def user(self, workspace_id: str, account_id: str) -> User:
        """Raises: UnknownMemberError: not in this workspace."""
        workspace = await self._workspace(workspace_id)
        place = member(workspace.members, account_id)
        account = await self._store.account(account_id)
        if account is None:
            raise UnknownMemberError("there is no such user")
        links = await self._store.open_links([account_id], self._clock())
        return User(account, place, links.get(account_id))

    async def invite(self, actor: Actor, email: str, name: str, role: Role) -> OneTimeLink:
        """A new user, and the link that lets them choose a password.

        Raises:
            EmailTakenError: also where an invitation is open: a new link is made for that user.
        """
        doing = self._audit.doing(actor, "user.invited", target=email, role=role.value)
        async with doing:
            account = await self._new_account(actor.workspace_id, email, name)
            place = Member(role=role)
            # before that, an account is nowhere: whoever follows a crash here invites it again
            await self._store.add_member(actor.workspace_id, account.id, place, name="")
            return await self._link(User(account, place), "invite", INVITATION_FOR)

    async def create_workspace(self, actor: Actor, name: str, email: str) -> OneTimeLink:
        """The actor's workspace, which isn't there yet, with its first administrator invited.

        Raises:
            EmailTakenError: they have an account, in whatever workspace.
        """
        async with self._audit.doing(actor, "workspace.created", target=name, administrator=email):
            account = await self._new_account(actor.workspace_id, email, "")
            place = Member(role=Role.ADMIN)
            await self._store.add_member(actor.workspace_id, account.id, place, name=name)
            return await self._link(User(account, place), "invite", INVITATION_FOR)

    async def change(
        self,
        actor: Actor,
        account_id: str,
        *,
        role: Role | None = None,
        disabled: bool | None = None,
    ) -> User:
        """Another role, or off or on.

        Raises:
            UnknownMemberError, OwnAccountError, LastAdminError: see `domain.roles.changed`.
        """
        user = await self.user(actor.workspace_id, account_id)
        if disabled is not None and disabled != user.member.disabled:
            action = "user.disabled" if disabled else "user.enabled"
            async with self._audit.doing(
                actor, action, target=user.account.email, target_id=account_id
            ):
                if not disabled:  # whatever a crash left of the sessions stays behind
                    await self._store.end_sessions(account_id)
                await self._set_member(actor, account_id, disabled=disabled)
                if disabled:
                    await self._store.end_sessions(account_id)
                    await self._sessions.remove_all(account_id)
                    await self._store.remove_links(account_id)
        if role is not None and role is not user.member.role:
            async with self._audit.doing(
                actor,
                "user.role_changed",
                target=user.account.email,
                target_id=account_id,
                old=user.member.role.value,
                new=role.value,
            ):
                await self._set_member(actor, account_id, role=role)
        return await self.user(actor.workspace_id, account_id)

    async def make_link(self, actor: Actor, account_id: str) -> OneTimeLink:
        """A new one-time link: earlier ones stop working, the old password goes on until it is
        used.

        Raises:
            UnknownMemberError: not in this workspace.
            UserDisabledError: the account is off.
        """
        user = await self.user(actor.workspace_id, account_id)
        purpose: LinkPurpose = "invite" if user.account.is_invited else "reset"
        async with self._audit.doing(
            actor,
            "user.link_made",
            target=user.account.email,
            target_id=account_id,
            purpose=purpose,
        ):
            if user.member.disabled:
                raise UserDisabledError("enable this user first")
            valid_for = INVITATION_FOR if purpose == "invite" else RESET_FOR
            return await self._link(user, purpose, valid_for)

    async def behind_link(self, secret: str) -> User:
        """Whose link it is.

        Raises:
            LinkGoneError: it was used, replaced, or is too old.
        """
        link = await self._store.link(hashed(secret), self._clock())
        return await self._linked(link)

    async def choose_password(
        self, secret: str, password: str, name: str | None
    ) -> tuple[User, int]:
        """Use a link up. Returns the user, and the epoch of the sessions that may begin now.

        Raises:
            LinkGoneError: as above, or somebody else has just used it.
            WeakPasswordError: the link still works.
        """
        user = await self.behind_link(secret)
        self._check(password, user.account.email)
        password_hash = await self._passwords.hash(password)
        user = await self._linked(await self._store.take_link(hashed(secret), self._clock()))
        actor = _themselves(user)
        async with self._audit.doing(actor, "password.chosen"):
            if name:
                await self._store.set_name(user.account.id, name)
            epoch = await self._store.set_password(user.account.id, password_hash)
            await self._sessions.remove_all(user.account.id)
        return user, epoch

    async def change_password(self, actor: Actor, password: str) -> int:
        """One's own. Every session ends; returns the epoch of the one that begins now.

        Raises:
            WeakPasswordError: it stays as it was.
        """
        self._check(password, actor.email)
        password_hash = await self._passwords.hash(password)
        async with self._audit.doing(actor, "password.changed"):
            epoch = await self._store.set_password(actor.account_id, password_hash)
            await self._sessions.remove_all(actor.account_id)
            await self._store.remove_links(actor.account_id)
        return epoch

    async def change_name(self, actor: Actor, name: str) -> None:
        async with self._audit.doing(actor, "profile.changed", name=name):
            await self._store.set_name(actor.account_id, name)

    async def change_timezone(self, actor: Actor, timezone: str) -> None:
        """The workspace's, in which Analytics cuts the days; nothing if it is this one already."""
        before = await self._workspace(actor.workspace_id)
        if before.timezone == timezone:
            return
        async with self._audit.doing(
            actor, "workspace.timezone_changed", old=before.timezone, new=timezone
        ):
            await self._store.set_timezone(actor.workspace_id, timezone)

    async def change_keep_messages(self, actor: Actor, days: int | None) -> None:
        """How long the workspace keeps messages, in days; None: for ever. Older ones go within the
        hour, for good; nothing happens if it is so already."""
        before = await self._workspace(actor.workspace_id)
        if before.keep_messages_days == days:
            return
        old, new = keep_words(before.keep_messages_days), keep_words(days)
        async with self._audit.doing(actor, "workspace.keep_messages_changed", old=old, new=new):
            await self._store.set_keep_messages(actor.workspace_id, days)

    def _check(self, password: str, email: str) -> None:
        if words := password_rules.objection(password, email):
            raise WeakPasswordError(words)

    async def _new_account(self, workspace_id: str, email: str, name: str) -> Account:
        account = Account(
            id=new_id("usr"),
            workspace_id=workspace_id,
            email=email,
            name=name,
            created_at=self._clock(),
        )
        if await self._store.add(account):
            return account
        known = await self._store.by_email(email)
        if known is not None and known.workspace_id == workspace_id and known.is_invited:
            workspace = await self._workspace(workspace_id)
            if known.id not in workspace.members:  # what a crash left of an invitation
                return known
        raise EmailTakenError("somebody with this e-mail address has an account")

    async def _link(self, user: User, purpose: LinkPurpose, valid_for: timedelta) -> OneTimeLink:
        secret = new_secret()
        expires_at = self._clock() + valid_for
        await self._store.add_link(
            Link(
                id=hashed(secret),
                account_id=user.account.id,
                purpose=purpose,
                expires_at=expires_at,
            )
        )
        return OneTimeLink(User(user.account, user.member, purpose), secret, purpose, expires_at)

    async def _linked(self, link: Link | None) -> User:
        account = await self._store.account(link.account_id) if link else None
        if account is None:
            raise LinkGoneError("this link was used, replaced, or is too old")
        user = await self.user(account.workspace_id, account.id)
        if user.member.disabled:
            raise LinkGoneError("this link was used, replaced, or is too old")
        return user

    async def _set_member(
        self,
        actor: Actor,
        account_id: str,
        *,
        role: Role | None = None,
        disabled: bool | None = None,
    ) -> None:
        """The rule and the write agree: a compare-and-set on the roster the rule has looked at."""
        for _ in range(ROSTER_ATTEMPTS):
            workspace = await self._workspace(actor.workspace_id)
            accounts = await self._store.accounts(list(workspace.members))
            signs_in = frozenset(each.id for each in accounts.values() if not each.is_invited)
            after = changed(
                workspace.members,
                account_id,
                by=actor.account_id,
                role=role,
                disabled=disabled,
                signs_in=signs_in,
            )
            if await self._store.change_member(workspace, account_id, after) is not None:
                return
        raise RosterBusyError("somebody else is changing users: try again")

    async def _workspace(self, workspace_id: str) -> Workspace:
        workspace = await self._store.workspace(workspace_id)
        if workspace is None:
            raise UnknownMemberError("there is no such workspace")
        return workspace


def _themselves(user: User) -> Actor:
    return Actor(user.account.id, user.account.email, user.account.workspace_id, user.member.role)
