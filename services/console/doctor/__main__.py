"""`python -m services.console.doctor [--json] [--page ID]`: every link from Meta to the reply.

Ends with 0 if all is ok, 1 if something failed, 2 if something could not be looked at. It needs the
console's variables, and neither the console nor anything else to run.
"""

import argparse
import asyncio
import json
import logging
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime

from pydantic import Field

from libs.common import logging as project_logging
from libs.common.errors import ProjectError
from libs.common.graph import open_connecting
from libs.common.mongo import Database, open_database
from libs.common.settings import (
    CryptoSettings,
    GraphSettings,
    InternalSettings,
    KafkaSettings,
    MongoSettings,
    RuntimeSettings,
    SettingsGroup,
    WebhookSettings,
    load,
)
from libs.common.text import printable
from services.console.doctor.doctor import (
    GRAPH_TIMEOUT_S,
    Clock,
    Doctor,
    UnknownPageError,
    open_session,
)
from services.console.doctor.domain.findings import COULD_NOT_LOOK, Report
from services.console.doctor.printing import as_json, as_text
from services.console.internal import open_internal
from services.console.settings import ServicesSettings, SiteSettings

NAME = "doctor"


class DoctorSettings(SettingsGroup):
    """The console's own, as far as they are needed."""

    runtime: RuntimeSettings = Field(default_factory=RuntimeSettings)
    mongo: MongoSettings = Field(default_factory=MongoSettings)
    kafka: KafkaSettings = Field(default_factory=KafkaSettings)
    graph: GraphSettings = Field(default_factory=GraphSettings)
    crypto: CryptoSettings = Field(default_factory=CryptoSettings)
    internal: InternalSettings = Field(default_factory=InternalSettings)
    webhook: WebhookSettings = Field(default_factory=WebhookSettings)
    services: ServicesSettings = Field(default_factory=ServicesSettings)
    site: SiteSettings = Field(default_factory=SiteSettings)


def utc_now() -> datetime:
    return datetime.now(UTC)


async def look(
    settings: DoctorSettings, page_id: str | None = None, clock: Clock = utc_now
) -> Report:
    """Raises: UnknownPageError."""
    async with (
        _database(settings) as database,
        open_session() as session,
        open_internal(settings.services, settings.internal.tokens) as internal,
        open_connecting(settings.graph, timeout_s=GRAPH_TIMEOUT_S) as meta,
    ):
        doctor = Doctor(settings, database, session, internal, meta, clock)
        return await doctor.examine(page_id=page_id)


@asynccontextmanager
async def _database(settings: DoctorSettings) -> AsyncIterator[Database | None]:
    """None: it does not answer, which is a finding and no reason to stop."""
    database: Database | None = None
    async with AsyncExitStack() as stack:
        with suppress(ProjectError):
            opening = open_database(settings.mongo, app_name=NAME)
            database = await stack.enter_async_context(opening)
        yield database


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m services.console.doctor",
        description="Looks at every link from Meta to the reply. Exit status: 0 all is ok, "
        "1 something failed, 2 something could not be looked at.",
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--page", metavar="ID", help="of the Pages this one only")
    wanted = parser.parse_args(arguments)
    try:
        settings = load(DoctorSettings)
    except SystemExit:  # it has said which variable
        return COULD_NOT_LOOK
    project_logging.configure(NAME, level="error")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # a line says it
    try:
        report = asyncio.run(look(settings, wanted.page))
    except UnknownPageError as error:
        print(f"--page {wanted.page}: {error}", file=sys.stderr)
        return COULD_NOT_LOOK
    if wanted.json:
        told = json.dumps(as_json(report), indent=2, ensure_ascii=False)
        print(printable(told, keep="\n"))
    else:
        print(as_text(report))
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main())
