"""The inbox: how long its first view takes with ten thousand conversations, beside an empty one.

Console and conversation service are in this process, on real databases; a browser without anything
in its cache asks for the page, and then for all that the page names, at once.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from uuid import uuid4

from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from libs.common.mongo import open_database
from libs.common.settings import MongoSettings
from libs.common.web import Late, Readiness, base_app, json_errors, problem
from services.conversation.contacts_handlers import CONTACTS
from services.conversation.contacts_store import ContactStore
from services.conversation.erasing import PersonReader
from services.conversation.handlers import PEOPLE, STORE, add_routes
from services.conversation.inbox_handlers import INBOX, add_inbox_routes
from services.conversation.inbox_store import InboxStore
from services.conversation.store import ConversationStore
from tests.bench.figures import Figure, Goal, ratios
from tests.bench.inbox_seed import seed, seed_thread
from tests.bench.rounds import Say, interleaved
from tests.integration.console import Browser, running_console
from tests.stack import Servers

PAGE, TALKER = "1234567890", "7999999999999999"
CONVERSATIONS = 10_000
LONG = 5_000
ASSET = re.compile(r'(?:src|href)="(/static/[^"#]+)')
WITHIN_A_SECOND = Goal("at most", 1000)


async def measure(servers: Servers, rounds: int, say: Say) -> list[Figure]:
    async with AsyncExitStack() as stack:
        empty = await stack.enter_async_context(_browser(servers, 0))
        full = await stack.enter_async_context(_browser(servers, CONVERSATIONS))
        say(f"{CONVERSATIONS:,} conversations, one of {LONG:,} messages")
        views = {
            "empty": (empty, "/inbox"),
            "full": (full, "/inbox"),
            "unread": (full, "/inbox?unread=1"),
            "search": (full, "/inbox?q=mia+ko"),
            "thread": (full, f"/inbox/{PAGE}:{TALKER}"),
        }

        async def run(name: str) -> float:
            browser, path = views[name]
            took_ms = await _first_view(browser, path)
            say(f"{name}: {took_ms:.0f} ms")
            return took_ms

        for name in views:  # templates are compiled with their first use
            await run(name)
        took = await interleaved(list(views), rounds, run)
    named = {
        "empty": "inbox: first view, nobody",
        "full": f"inbox: first view, {CONVERSATIONS:,} conversations",
        "unread": "inbox: the unread of them",
        "search": "inbox: a name among them",
        "thread": f"inbox: a thread of {LONG:,} messages",
    }
    return [
        Figure(named["empty"], tuple(took["empty"]), "ms"),
        Figure(named["full"], tuple(took["full"]), "ms", WITHIN_A_SECOND),
        Figure(named["unread"], tuple(took["unread"]), "ms", WITHIN_A_SECOND),
        Figure(named["search"], tuple(took["search"]), "ms", WITHIN_A_SECOND),
        Figure(named["thread"], tuple(took["thread"]), "ms", note="the list beside it included"),
        ratios("inbox: first view, full : empty", took["full"], took["empty"]),
    ]


@asynccontextmanager
async def _browser(servers: Servers, count: int) -> AsyncIterator[Browser]:
    """Signed in at a console whose Page has so many conversations, and a long one."""
    mongo = MongoSettings(
        uri=SecretStr(servers.mongodb_uri), database=f"bench-{uuid4().hex[:8]}", timeout_s=30
    )
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(mongo, app_name="bench"))
        stack.push_async_callback(database.client.drop_database, mongo.database)
        app = base_app(Readiness(), json_errors)
        app[STORE], app[CONTACTS], app[PEOPLE] = Late("it"), Late("it"), Late("it")
        add_routes(app)
        add_inbox_routes(app)
        people = ContactStore(database)
        app[STORE].set(ConversationStore(database))
        app[CONTACTS].set(people)
        app[PEOPLE].set(PersonReader(database, people))
        app[INBOX].set(InboxStore(database))
        if count:
            now = datetime.now(UTC)
            await seed(database, PAGE, count, now, only_rows=True)
            await seed_thread(database, PAGE, TALKER, LONG, now)
        app.router.add_route("*", "/{others:.*}", _away)
        server = await stack.enter_async_context(TestServer(app))
        services = str(server.make_url("")).rstrip("/")
        console = await stack.enter_async_context(
            running_console(database, mongo, services=services)
        )
        workspace = (await console.first_admin()).workspace_id
        facts = {
            "workspace_id": workspace,
            "assistant_id": "a",
            "page_name": "Bakery",
            "token": "t",
        }
        await database["channels"].insert_one({"_id": PAGE, **facts})
        yield await console.admin()


async def _away(_request: web.Request) -> web.Response:
    """Sender and takeover, of whom an open conversation asks little: it is shown without that."""
    return problem(503, "away", "not here")


async def _first_view(browser: Browser, path: str) -> float:
    """Milliseconds until the page and everything that it names is there."""
    began = time.perf_counter()
    page = await browser.get(path)
    assets = await asyncio.gather(*[browser.get(each) for each in set(ASSET.findall(page.text))])
    took_ms = (time.perf_counter() - began) * 1000
    if {page.status, *[each.status for each in assets]} != {200}:
        raise RuntimeError(f"{path} was answered with {page.status}")
    return took_ms
