"""`python -m services.console.recover ADDRESS`: a one-time link for somebody who is locked out.

For whoever runs the console, when no administrator can make the link: it takes the database's
address, and the audit log tells of it.
"""

import asyncio
import sys

from pydantic import Field

from libs.common.errors import ProjectError
from libs.common.mongo import open_database
from libs.common.settings import MongoSettings, RuntimeSettings, SettingsGroup, load
from services.console.accounts import Accounts
from services.console.accounts_store import AccountStore
from services.console.app import utc_now
from services.console.audit import Actor, AuditLog
from services.console.domain.addresses import normalised
from services.console.domain.roles import Role, UnknownMemberError
from services.console.hashing import Passwords
from services.console.sessions_store import SessionStore
from services.console.settings import SiteSettings

WHO = "whoever runs the console"


class RecoverySettings(SettingsGroup):
    """The console's own, as far as they are needed."""

    runtime: RuntimeSettings = Field(default_factory=RuntimeSettings)
    mongo: MongoSettings = Field(default_factory=MongoSettings)
    site: SiteSettings = Field(default_factory=SiteSettings)


async def recover(settings: RecoverySettings, email: str) -> str:
    """The link's address.

    Raises:
        ProjectError: nobody has this address, they are disabled, or the database is away.
    """
    production = settings.runtime.env == "production"
    async with open_database(settings.mongo, app_name="recover", production=production) as database:
        store, audit = AccountStore(database), AuditLog(database, utc_now)
        account = await store.by_email(email)
        if account is None:
            raise UnknownMemberError(f"nobody has the address {email}")
        accounts = Accounts(store, SessionStore(database), audit, Passwords(), utc_now)
        actor = Actor("", WHO, account.workspace_id, Role.ADMIN)
        link = await accounts.make_link(actor, account.id)
    return f"{settings.site.console_url}/welcome/{link.secret}"


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: python -m services.console.recover ADDRESS")
    settings = load(RecoverySettings)
    try:
        print(asyncio.run(recover(settings, normalised(sys.argv[1]))))
    except (ProjectError, ValueError) as error:
        sys.exit(f"no link: {error}")


if __name__ == "__main__":
    main()
