"""`python -m services.console.operator`: for whoever runs the console, with the database's address.

`link ADDRESS`              a one-time link to choose a password, when no administrator can make it
`workspace NAME ADDRESS`    another workspace, and the link for its first administrator
`keys`                      encrypts every stored secret anew with the first of `ENCRYPTION_KEYS`,
                            once conversation and sender say that they have it, too
`keys --unasked`            the same where they don't run

The first two stand in the workspace's audit log.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import Field

from libs.common.crypto import KeyRing
from libs.common.errors import PermanentError, ProjectError
from libs.common.keys_api import PATH as KEYS_PATH
from libs.common.keys_api import has_key
from libs.common.mongo import Database, open_database
from libs.common.settings import (
    CryptoSettings,
    InternalSettings,
    MongoSettings,
    RuntimeSettings,
    SettingsGroup,
    load,
)
from services.console.accounts import Accounts
from services.console.accounts_store import AccountStore
from services.console.app import utc_now
from services.console.audit import Actor, AuditLog
from services.console.domain.addresses import normalised
from services.console.domain.roles import Role, UnknownMemberError
from services.console.domain.tokens import new_id
from services.console.hashing import Passwords
from services.console.internal import (
    Internal,
    ServiceAwayError,
    ServiceName,
    ServiceRefusedError,
    open_internal,
)
from services.console.renewing import renew
from services.console.sessions_store import SessionStore
from services.console.settings import ServicesSettings, SiteSettings

WHO = "whoever runs the console"
LONGEST_NAME = 80
READERS: tuple[ServiceName, ...] = ("conversation", "sender")  # of what the console encrypts


class KeysStillNeededError(PermanentError):
    """Not everything is encrypted with the first key."""

    code = "keys_still_needed"


class KeyNotEverywhereError(PermanentError):
    """A service could not read what would be encrypted."""

    code = "key_not_everywhere"


class OperatorSettings(SettingsGroup):
    """The console's own, as far as they are needed."""

    runtime: RuntimeSettings = Field(default_factory=RuntimeSettings)
    mongo: MongoSettings = Field(default_factory=MongoSettings)
    site: SiteSettings = Field(default_factory=SiteSettings)


class KeysSettings(OperatorSettings):
    """For whoever replaces an encryption key."""

    crypto: CryptoSettings = Field(default_factory=CryptoSettings)
    internal: InternalSettings = Field(default_factory=InternalSettings)
    services: ServicesSettings = Field(default_factory=ServicesSettings)


async def renew_keys(settings: KeysSettings, *, unasked: bool = False) -> str:
    """Encrypt everything anew with the first key; says how much that was.

    Args:
        unasked: don't ask the other services first whether they have that key.

    Raises:
        KeyNotEverywhereError: one of them doesn't, or gives no answer. Nothing was done.
        KeysStillNeededError: some of it still needs another key.
        ProjectError: the database is away.
    """
    keys = KeyRing.parse(settings.crypto.encryption_keys.get_secret_value())
    if not unasked:
        async with open_internal(settings.services, settings.internal.tokens) as internal:
            await _require_key_everywhere(keys, internal)
    async with _opened(settings) as database:
        found = await renew(database, keys)
    if not found.is_complete:
        unreadable = [f"{each} can't be decrypted" for each in found.unreadable]
        changed = [f"{each} was changed at this moment" for each in found.changed]
        raise KeysStillNeededError("; ".join([*unreadable, *changed]))
    return f"{found.renewed} encrypted anew, {found.current} were already"


async def _require_key_everywhere(keys: KeyRing, internal: Internal) -> None:
    """Where several processes of a service run, one of them answers for all."""
    for reader in READERS:
        try:
            answer = await internal.call(reader, "GET", KEYS_PATH)
        except (ServiceAwayError, ServiceRefusedError) as error:
            raise KeyNotEverywhereError(
                f"the {reader} service does not say whether it has the key {keys.current} "
                f"({error}). Start it; or, where it does not run, add --unasked"
            ) from error
        if not has_key(answer, keys):
            raise KeyNotEverywhereError(
                f"the {reader} service does not have the key {keys.current}, or another one of "
                "that name, and could not read what was encrypted with it. Put it at the end of "
                "ENCRYPTION_KEYS of every service first, and start them again"
            )


async def make_link(settings: OperatorSettings, email: str) -> str:
    """The address of a link for somebody who has an account.

    Raises:
        ProjectError: nobody has this address, they are disabled, or the database is away.
    """
    async with _opened(settings) as database:
        account = await AccountStore(database).by_email(email)
        if account is None:
            raise UnknownMemberError(f"nobody has the address {email}")
        actor = Actor("", WHO, account.workspace_id, Role.ADMIN)
        link = await _accounts(database).make_link(actor, account.id)
    return f"{settings.site.console_url}/welcome/{link.secret}"


async def make_workspace(settings: OperatorSettings, name: str, email: str) -> str:
    """The address of the link for the first administrator of a workspace made for them.

    Raises:
        ProjectError: somebody has this address, or the database is away.
    """
    async with _opened(settings) as database:
        actor = Actor("", WHO, new_id("wsp"), Role.ADMIN)
        link = await _accounts(database).create_workspace(actor, name, email)
    return f"{settings.site.console_url}/welcome/{link.secret}"


@asynccontextmanager
async def _opened(settings: OperatorSettings) -> AsyncIterator[Database]:
    production = settings.runtime.env == "production"
    async with open_database(
        settings.mongo, app_name="operator", production=production
    ) as database:
        await AccountStore(database).ensure_indexes()  # addresses are unique from the first on
        yield database


def _accounts(database: Database) -> Accounts:
    audit = AuditLog(database, utc_now)
    return Accounts(AccountStore(database), SessionStore(database), audit, Passwords(), utc_now)


def main() -> None:
    match sys.argv[1:]:
        case ["link", address]:
            wanted = make_link(load(OperatorSettings), _address(address))
        case ["workspace", name, address] if 0 < len(name.strip()) <= LONGEST_NAME:
            wanted = make_workspace(load(OperatorSettings), name.strip(), _address(address))
        case ["keys"]:
            wanted = renew_keys(load(KeysSettings))
        case ["keys", "--unasked"]:
            wanted = renew_keys(load(KeysSettings), unasked=True)
        case _:
            sys.exit((__doc__ or "").partition("\n\n")[2])
    try:
        print(asyncio.run(wanted))
    except ProjectError as error:
        sys.exit(f"not done: {error}")


def _address(text: str) -> str:
    try:
        return normalised(text)
    except ValueError as error:
        sys.exit(f"{text!r}: {error}")


if __name__ == "__main__":
    main()
