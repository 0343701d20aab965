"""The part of the conversation service that tries assistants, on a database, without a Kafka."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from libs.common.channels import ChannelDirectory
from libs.common.crypto import KeyRing
from libs.common.mongo import Database
from libs.common.outbound import Inside
from libs.common.web import Late, Readiness, base_app, json_errors, require_service_token
from services.conversation.app import utc_now
from services.conversation.assistants.factory import chosen_assistant
from services.conversation.assistants.offline import OfflineAssistant
from services.conversation.assistants.pool import AssistantPool
from services.conversation.assistants.settings import AssistantSettings
from services.conversation.spending import SpendingKeeper, SpendingStore
from services.conversation.trying import Trials
from services.conversation.trying_handlers import LARGEST_BODY, TRIALS, add_trial_routes
from tests.integration.console import KEYS, SERVICE_TOKEN
from tests.unit.conversation.world import settings


@asynccontextmanager
async def running_trials(database: Database) -> AsyncIterator[str]:
    """Its address."""
    pool = AssistantPool(
        OfflineAssistant(),
        partial(chosen_assistant, AssistantSettings(provider="offline"), Inside(everything=True)),
        KeyRing.parse(KEYS),
    )
    spending = SpendingKeeper(SpendingStore(database))
    app = base_app(
        Readiness(),
        json_errors,
        require_service_token(SecretStr(SERVICE_TOKEN)),
        client_max_size=LARGEST_BODY,
    )
    app[TRIALS] = Late("the database")
    app[TRIALS].set(Trials(ChannelDirectory(database), pool, settings(), spending, utc_now))
    add_trial_routes(app)
    try:
        async with TestServer(app) as server:
            yield str(server.make_url("")).rstrip("/")
    finally:
        await pool.aclose()
