"""The first administrator: from the environment, or by a code that is printed at the start."""

import sys
from collections.abc import Callable

import structlog

from libs.common.errors import PermanentError
from services.console.accounts import EmailTakenError, WeakPasswordError
from services.console.accounts_store import AccountStore
from services.console.audit import Actor, AuditLog, Clock
from services.console.domain import passwords as password_rules
from services.console.domain.addresses import normalised
from services.console.domain.roles import Member, Role
from services.console.domain.tokens import hashed, new_id, new_secret
from services.console.hashing import Passwords
from services.console.records import Account

WORKSPACE_NAME = "My workspace"

log = structlog.get_logger(__name__)


class FirstAdminError(PermanentError):
    """ADMIN_EMAIL or ADMIN_PASSWORD can't be used; the words name the variable."""

    code = "first_admin"


class WrongCodeError(PermanentError):
    """The code is not the one that was printed, or there is an administrator already."""

    code = "wrong_code"


class FirstRun:
    """Makes the first workspace and its administrator, once."""

    def __init__(
        self, store: AccountStore, audit: AuditLog, passwords: Passwords, clock: Clock
    ) -> None:
        self._store = store
        self._audit = audit
        self._passwords = passwords
        self._clock = clock
        self._over = False

    async def is_open(self) -> bool:
        """Whether the first administrator is still to be made. Once made, that is over for good."""
        if not self._over:
            self._over = not await self._store.is_empty()
        return not self._over

    async def prepare(
        self,
        email: str,
        password: str,
        console_url: str,
        tell: Callable[[str], None] = lambda text: print(text, file=sys.stderr, flush=True),
    ) -> None:
        """At the start of a process. Several may start at once: one account comes out of it.

        Raises:
            FirstAdminError: the environment's address or password is not good enough.
        """
        if not await self.is_open():
            return
        if email and password:
            await self._from_environment(email, password)
            return
        code = new_secret()
        await self._store.add_code(hashed(code))
        tell(
            f"\n  Nobody can sign in yet. Open {console_url}/first-run and enter this code:\n\n"
            f"      {code}\n\n  It works once. Each start prints another one.\n"
        )

    async def create(self, code: str, email: str, name: str, password: str) -> Account:
        """The first administrator, by the code.

        Raises:
            WrongCodeError: it is wrong, or was used.
            WeakPasswordError: the code still works.
        """
        if not await self.is_open() or not await self._store.has_code(hashed(code)):
            raise WrongCodeError("this is not the code that the console printed last")
        if words := password_rules.objection(password, email):
            raise WeakPasswordError(words)
        password_hash = await self._passwords.hash(password)
        if not await self._store.take_code(hashed(code)):
            raise WrongCodeError("this is not the code that the console printed last")
        return await self._create(email, name, password_hash)

    async def _from_environment(self, email: str, password: str) -> None:
        try:
            address = normalised(email)
        except ValueError as error:
            raise FirstAdminError(f"ADMIN_EMAIL is wrong: {error}") from None
        if words := password_rules.objection(password, address):
            raise FirstAdminError(f"ADMIN_PASSWORD is not good enough: {words}")
        await self._create(address, "", await self._passwords.hash(password))
        await self._store.forget_codes()
        log.info("first_admin_made")

    async def _create(self, email: str, name: str, password_hash: str) -> Account:
        """The unique e-mail address decides between processes that start at once."""
        waiting = await self._store.empty_workspace()
        account = Account(
            id=new_id("usr"),
            workspace_id=waiting.id if waiting else new_id("wsp"),
            email=email,
            name=name,
            password_hash=password_hash,
            created_at=self._clock(),
        )
        if not await self._store.add(account):
            known = await self._store.by_email(email)
            if known is None:
                raise EmailTakenError("somebody with this e-mail address has an account")
            account = known  # a crash left it, or another process makes it at this moment
            await self._store.set_password(known.id, password_hash)
        actor = Actor(account.id, email, account.workspace_id, Role.ADMIN)
        async with self._audit.doing(actor, "workspace.created"):
            await self._store.add_member(
                account.workspace_id, account.id, Member(role=Role.ADMIN), name=WORKSPACE_NAME
            )
        self._over = True
        return account
