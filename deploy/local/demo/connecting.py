"""The Page is connected: in the console, through a login at the simulated Facebook."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import SecretStr

from deploy.local.admin import Admin, Api, open_admin
from deploy.local.demo.stage import Stage, StoryEndsError
from deploy.local.environment import MONGO
from libs.common.channels import CHANNELS_COLLECTION
from libs.common.mongo import Database, open_database
from libs.common.settings import MongoSettings
from simulator.client import POLL_S

HEARD = {
    "messages",
    "message_echoes",
    "messaging_postbacks",
    "message_deliveries",
    "message_reads",
    "messaging_handovers",
    "standby",
}
KEPT = ("workspace_id", "assistant_id", "enabled", "settings")
"""What a channel keeps when it is connected again."""


@dataclass(frozen=True)
class AtConsole:
    """One Page in the running console."""

    admin: Admin
    api: Api
    database: Database
    page: str

    async def connect(self, *, again: bool = True) -> None:
        await self.admin.connect([self.page], again=again)

    async def shown(self) -> dict[str, Any]:
        return await self.api.channel(self.page)

    async def stored(self) -> dict[str, Any] | None:
        return await self.database[CHANNELS_COLLECTION].find_one({"_id": self.page})


@asynccontextmanager
async def open_console(environment: Mapping[str, str], page: str) -> AsyncIterator[AtConsole]:
    """Signed in for the block, with an API token of its own that may read."""
    mongo = MongoSettings(
        uri=SecretStr(environment[MONGO]), database=environment["MONGODB_DATABASE"]
    )
    async with (
        open_database(mongo, app_name="demo") as database,
        open_admin(environment) as admin,
        admin.api("make demo", "channels:read") as api,
    ):
        yield AtConsole(admin, api, database, page)


async def connect(stage: Stage) -> None:
    stage.transcript.scene("An administrator connects the Page in the console")
    before, history = await stage.console.stored(), await _conversations(stage)
    if before is None:
        words = "The Page is not connected yet."
    else:
        words = "The Page is connected already, by `make up`, and is connected again."
    stage.transcript.aside(
        f"{words} The console leads to Facebook's dialog; somebody with full control of the Page "
        "logs in there, gives the permissions and comes back; the Page is chosen."
    )
    began = datetime.now(UTC)
    await stage.console.connect(again=before is not None)
    shown, after = await stage.console.shown(), await stage.console.stored()
    connected_at = datetime.fromisoformat(shown["connected_at"])
    expect = stage.transcript.expect
    expect(
        "the console shows the Page as active, connected just now",
        ("active", True),
        (shown["status"], connected_at >= began),
    )
    expect(
        "at Facebook, the app is subscribed to what people write and what becomes of it",
        [],
        sorted(HEARD - await _subscribed(stage)),
    )
    expect(
        "its assistant and its settings are as they were",
        _kept(before) if before is not None else _kept(after),
        _kept(after),
    )
    still = await _conversations(stage)
    expect(f"its conversations are there, all {len(history)}", [], sorted(history - still))


async def shown_when(stage: Stage, status: str) -> dict[str, Any]:
    """The Page's connection as the console shows it, as soon as it is in this state.

    Raises:
        StoryEndsError: it is not, in time; noted as a check that failed.
    """
    shown: dict[str, Any] = {}
    try:
        async with asyncio.timeout(stage.patience_s):
            while (shown := await stage.console.shown())["status"] != status:  # noqa: ASYNC110
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        stage.transcript.check(
            f"the console shows the Page as {status} within {stage.patience_s:g} s",
            held=False,
            expected=status,
            seen=shown.get("status", "nothing"),
        )
        raise StoryEndsError from None
    return shown


def _kept(channel: dict[str, Any] | None) -> dict[str, Any]:
    return {name: (channel or {}).get(name) for name in KEPT}


async def _subscribed(stage: Stage) -> set[str]:
    pages = {page["id"]: page for page in await stage.simulator.pages()}
    return set(pages[stage.page]["subscribed_fields"])


async def _conversations(stage: Stage) -> set[str]:
    """The newest ones."""
    answer = await stage.asks("conversation", "GET", f"/pages/{stage.page}/conversations")
    return {each["id"] for each in answer.body["conversations"]}
