"""Signing in and out: who a browser or an API token is."""

import asyncio
from dataclasses import dataclass
from datetime import datetime

from prometheus_client import Counter

from libs.common.errors import PermanentError
from libs.common.metrics import from_zero
from services.console.accounts_store import AccountStore
from services.console.audit import Actor, AuditLog, Clock
from services.console.domain import throttling
from services.console.domain.roles import Member, Role
from services.console.domain.sessions import Lifetime, needs_touch
from services.console.domain.tokens import ApiToken, Scope, hashed, new_secret
from services.console.hashing import Passwords
from services.console.records import Account, Session, StoredToken, Workspace
from services.console.sessions_store import AttemptStore, SessionStore
from services.console.tokens_store import TokenStore

SIGN_INS = from_zero(
    Counter(
        "assistant_console_sign_ins_total",
        "Attempts to sign in to the console, by what became of them.",
        ["outcome"],
    ),
    ["ok", "refused", "too_many"],
)


class SignInRefusedError(PermanentError):
    """The address is unknown, the password is wrong, or the account is off: nobody learns which."""

    code = "sign_in_refused"


class TooManyAttemptsError(PermanentError):
    """Too many attempts lately."""

    code = "too_many_attempts"

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"try again in {retry_after_s} s")
        self.retry_after_s = retry_after_s


@dataclass(frozen=True)
class Client:
    """The browser at the other end."""

    address: str
    device: str


@dataclass(frozen=True)
class Visitor:
    """Somebody who is signed in."""

    account: Account
    workspace: Workspace
    member: Member
    session: Session
    address: str

    @property
    def is_admin(self) -> bool:
        return self.member.role is Role.ADMIN

    @property
    def actor(self) -> Actor:
        return Actor(
            self.account.id,
            self.account.email,
            self.workspace.id,
            self.member.role,
            self.address,
            name=self.account.name,
        )


@dataclass(frozen=True)
class Caller:
    """A program with an API token."""

    token: StoredToken
    account: Account
    workspace: Workspace
    actor: Actor

    def may(self, scope: Scope) -> bool:
        return scope in self.token.scopes


class SigningIn:
    """Sessions and tokens, from their secrets to who they stand for."""

    def __init__(
        self,
        accounts: AccountStore,
        sessions: SessionStore,
        attempts: AttemptStore,
        tokens: TokenStore,
        audit: AuditLog,
        passwords: Passwords,
        lifetime: Lifetime,
        clock: Clock,
    ) -> None:
        self._accounts = accounts
        self._sessions = sessions
        self._attempts = attempts
        self._tokens = tokens
        self._audit = audit
        self._passwords = passwords
        self._lifetime = lifetime
        self._clock = clock

    async def sign_in(self, email: str, password: str, client: Client) -> str:
        """The secret of a new session.

        Raises:
            SignInRefusedError: whatever the reason is.
            TooManyAttemptsError: of this account, this address, or both together.
        """
        limits = await self._count_attempt(email, client)
        account = await self._accounts.by_email(email)
        stored = account.password_hash if account else None
        if not await self._passwords.verify(stored, password) or account is None or stored is None:
            SIGN_INS.labels("refused").inc()
            raise SignInRefusedError("e-mail or password is wrong")
        workspace = await self._accounts.workspace(account.workspace_id)
        member = workspace.members.get(account.id) if workspace else None
        if workspace is None or member is None or member.disabled:
            SIGN_INS.labels("refused").inc()
            raise SignInRefusedError("e-mail or password is wrong")
        await self._attempts.forgive(limits)
        if self._passwords.is_outdated(stored):
            await self._accounts.rehash(account.id, stored, await self._passwords.hash(password))
        SIGN_INS.labels("ok").inc()
        return await self.begin_session(account, member, account.epoch, client)

    async def check_password(self, account: Account, password: str, client: Client) -> bool:
        """Whether somebody who is signed in knows their password; guesses count as at the door.

        Raises:
            TooManyAttemptsError: as for `sign_in`.
        """
        limits = await self._count_attempt(account.email, client)
        right = await self._passwords.verify(account.password_hash, password)
        if right:
            await self._attempts.forgive(limits)
        return right

    async def begin_session(
        self, account: Account, member: Member, epoch: int, client: Client
    ) -> str:
        """A session with a secret of its own: nothing a browser brings along becomes one."""
        now = self._clock()
        secret = new_secret()
        session = Session(
            id=hashed(secret),
            account_id=account.id,
            workspace_id=account.workspace_id,
            epoch=epoch,
            created_at=now,
            seen_at=now,
            expires_at=self._lifetime.expires_at(now, now),
            address=client.address,
            device=client.device,
        )
        actor = Actor(account.id, account.email, account.workspace_id, member.role, client.address)
        async with self._audit.doing(actor, "session.started", device=client.device):
            await self._sessions.add(session)
            await self._accounts.signed_in(account.id, now)
        return secret

    async def visitor(self, secret: str, client: Client, *, clicked: bool = True) -> Visitor | None:
        """Who it is, as of this moment: a role, a disabled account or an ended session counts
        from the next click on.

        Args:
            clicked: False for what a page does by itself, which keeps nobody signed in.
        """
        now = self._clock()
        session = await self._sessions.session(hashed(secret), now)
        if session is None:
            return None
        account, workspace = await asyncio.gather(
            self._accounts.account(session.account_id),
            self._accounts.workspace(session.workspace_id),
        )
        if account is None or workspace is None or account.epoch != session.epoch:
            return None
        member = workspace.members.get(account.id)
        if member is None or member.disabled:
            return None
        if clicked and needs_touch(session.seen_at, now):
            expires_at = self._lifetime.expires_at(session.created_at, now)
            await self._sessions.touch(session.id, now, expires_at)
        return Visitor(account, workspace, member, session, client.address)

    async def sign_out(self, visitor: Visitor) -> None:
        async with self._audit.doing(visitor.actor, "session.ended"):
            await self._sessions.remove(visitor.session.id)

    async def end_session(self, secret: str) -> None:
        """The one that a browser had before it signed in anew."""
        await self._sessions.remove(hashed(secret))

    async def sign_out_everywhere(self, visitor: Visitor) -> None:
        async with self._audit.doing(visitor.actor, "session.ended_everywhere"):
            await self._accounts.end_sessions(visitor.account.id)
            await self._sessions.remove_all(visitor.account.id)

    async def sessions(self, account: Account) -> list[Session]:
        return await self._sessions.of_account(account.id, account.epoch, self._clock())

    async def caller(self, token_text: str, address: str) -> Caller | None:
        """Who a token stands for. It can do nothing once its owner is no administrator any more."""
        token = ApiToken.parse(token_text)
        stored = await self._tokens.token(token.id) if token else None
        now = self._clock()
        if token is None or stored is None or not token.matches(stored.secret_hash):
            return None
        if stored.expires_at is not None and stored.expires_at <= now:
            return None
        account, workspace = await asyncio.gather(
            self._accounts.account(stored.account_id),
            self._accounts.workspace(stored.workspace_id),
        )
        if account is None or workspace is None:
            return None
        member = workspace.members.get(account.id)
        if member is None or not member.is_active_admin:
            return None
        await self._tokens.note_use(stored, now)
        actor = Actor(
            account.id,
            account.email,
            workspace.id,
            member.role,
            address,
            via=stored.name,
            name=account.name,
        )
        return Caller(stored, account, workspace, actor)

    async def _count_attempt(self, email: str, client: Client) -> tuple[throttling.Limit, ...]:
        now = self._clock()
        limits = throttling.limits(email, client.address, now)
        ends_at = throttling.window_end(now)
        if not await self._attempts.count(limits, ends_at):
            SIGN_INS.labels("too_many").inc()
            raise TooManyAttemptsError(_seconds_until(ends_at, now))
        return limits


def _seconds_until(moment: datetime, now: datetime) -> int:
    return max(1, int((moment - now).total_seconds()) + 1)
