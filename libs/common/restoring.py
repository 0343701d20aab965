"""The command line of tools for a database that was restored from an older copy.

Each takes from the log, from a moment on, what its service's part of the copy lacks.
"""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

from pydantic import Field

from libs.common.errors import ProjectError
from libs.common.kafka.rewind import moment
from libs.common.mongo import Database, open_database
from libs.common.settings import KafkaSettings, MongoSettings, RuntimeSettings, SettingsGroup, load

Restore = Callable[[Database, KafkaSettings, datetime], Awaitable[tuple[int, int]]]
"""What the log tells since then: how much, and how much of it was not known."""


class RestoredSettings(SettingsGroup):
    """What such a command reads from the environment."""

    runtime: RuntimeSettings = Field(default_factory=RuntimeSettings)
    kafka: KafkaSettings = Field(default_factory=KafkaSettings)
    mongo: MongoSettings = Field(default_factory=MongoSettings)


def run_restore(
    service: str,
    restore: Restore,
    *,
    description: str,
    done: str,
    arguments: Sequence[str] | None = None,
) -> int:
    """Run `python -m services.<service>.restored --since MOMENT`; the exit status: 0 done, 1 not.

    Args:
        done: what is printed at the end, with both numbers in place of `{}`.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m services.{service}.restored", description=description
    )
    parser.add_argument("--since", type=moment, required=True, metavar="MOMENT")
    since = parser.parse_args(arguments).since
    try:
        numbers = asyncio.run(_restored(service, restore, since))
    except ProjectError as error:
        print(f"not done: {error} ({error.code})", file=sys.stderr)
        return 1
    print(done.format(*numbers))
    return 0


async def _restored(service: str, restore: Restore, since: datetime) -> tuple[int, int]:
    settings = load(RestoredSettings)
    is_production = settings.runtime.env == "production"
    async with open_database(
        settings.mongo, app_name=f"{service}-restored", production=is_production
    ) as database:
        return await restore(database, settings.kafka, since)
