"""Each link from Meta to the reply is broken in turn: exactly its line fails, and says the cure.

A stack of its own: what other tests leave behind would stand in the report as well.
"""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import aiohttp
import pytest

from libs.common.crypto import generate_key
from libs.common.events import ChannelUpdated
from libs.common.graph import ConnectingClient, open_connecting
from libs.common.kafka import Message, open_publisher
from libs.common.settings import KafkaSettings
from libs.common.topics import DEAD_LETTERS
from services.console.doctor.__main__ import DoctorSettings, look, utc_now
from services.console.doctor.domain.findings import Report
from services.console.doctor.printing import as_json, as_text
from services.console.domain.facebook_login import FIELDS, PERMISSIONS
from simulator.client import Simulator
from tests.e2e.console import Console, database_of, open_console
from tests.e2e.test_outages import frozen
from tests.stack import LocalStack, local_stack

WITHIN_S = 60.0
NOBODY = "http://127.0.0.1:9"
SECRETS = (
    "FACEBOOK_APP_SECRET",
    "WEBHOOK_VERIFY_TOKEN",
    "SERVICE_TOKEN",
    "ENCRYPTION_KEYS",
    "ADMIN_PASSWORD",
)
LIVE = {"page.message", "page.reply", "page.echo", "page.receipt"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    with local_stack(tmp_path_factory.mktemp("doctor")) as running:
        yield running


@dataclass
class Ground:
    """A stack whose one Page has had a message, a reply, its echo and its receipt."""

    stack: LocalStack
    simulator: Simulator
    meta: ConnectingClient
    page: str
    person: str

    @property
    def kafka(self) -> KafkaSettings:
        return KafkaSettings(bootstrap_servers=self.stack.environment["KAFKA_BOOTSTRAP_SERVERS"])

    async def look(
        self, changes: Mapping[str, str] | None = None, ahead: timedelta = timedelta()
    ) -> Report:
        """As the command does it."""
        given = self.stack.environment | dict(changes or {})
        with pytest.MonkeyPatch.context() as patch:
            for name, value in given.items():
                patch.setenv(name, value)
            settings = DoctorSettings()
        return await look(settings, clock=lambda: utc_now() + ahead)

    async def until(self, wanted: Callable[[dict[str, str]], bool], **how: Any) -> dict[str, str]:  # noqa: ANN401
        """What is not ok, as soon as it is as wanted."""
        found: dict[str, str] = {}
        try:
            async with asyncio.timeout(WITHIN_S):
                while not wanted(found := not_ok(await self.look(**how))):
                    await asyncio.sleep(0.2)
        except TimeoutError:
            pytest.fail(f"still: {found}")
        return found


def not_ok(report: Report) -> dict[str, str]:
    """The states of lines that are not ok; a Page's lines without its id."""
    return {
        each.id.replace(f"page.{each.line.page_id}.", "page."): each.state
        for each in report.findings
        if each.state != "ok"
    }


@pytest.fixture(scope="module")
async def ground(stack: LocalStack) -> AsyncIterator[Ground]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in stack.environment.items():
            patch.setenv(name, value)
        graph = DoctorSettings().graph
    timeout = aiohttp.ClientTimeout(total=30)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        open_connecting(graph, timeout_s=10) as meta,
    ):
        simulator = Simulator(session, stack.url("simulator"))
        page = str((await simulator.pages())[0]["id"])
        person = await simulator.add_person(page, "Ada", "Okoro")
        await simulator.behave(page, profile_calls_per_10_min=100_000)
        ready = Ground(stack, simulator, meta, page, person)
        assert not_ok(await ready.look()) == dict.fromkeys(LIVE, "waiting")
        await simulator.write(page, person, "hi")
        await ready.until(lambda found: not found)
        yield ready


# What may be broken, and what is then known


Break = Callable[[Ground], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def no_app_webhook(ground: Ground) -> AsyncIterator[None]:
    await ground.meta.unsubscribe_app()
    try:
        yield
    finally:
        await register(ground, FIELDS)


@asynccontextmanager
async def too_few_fields(ground: Ground) -> AsyncIterator[None]:
    await register(ground, ("messages", "message_echoes"))
    try:
        yield
    finally:
        await register(ground, FIELDS)


@asynccontextmanager
async def webhook_elsewhere(ground: Ground) -> AsyncIterator[None]:
    await register(ground, FIELDS, host="localhost")
    try:
        yield
    finally:
        await register(ground, FIELDS)


async def register(ground: Ground, fields: tuple[str, ...], host: str = "127.0.0.1") -> None:
    url = ground.stack.url("gateway").replace("127.0.0.1", host) + "/webhooks/messenger"
    await ground.meta.subscribe_app(url, ground.stack.environment["WEBHOOK_VERIFY_TOKEN"], fields)


@asynccontextmanager
async def page_unsubscribed(ground: Ground) -> AsyncIterator[None]:
    await ground.meta.unsubscribe_page(ground.page)
    try:
        yield
    finally:
        (token,) = [
            each["access_token"]
            for each in await ground.simulator.pages()
            if each["id"] == ground.page
        ]
        await ground.meta.subscribe_page(ground.page, token, FIELDS)


@asynccontextmanager
async def token_expired(ground: Ground) -> AsyncIterator[None]:
    await ground.simulator.set_token(ground.page, "expired")
    try:
        yield
    finally:
        await ground.simulator.set_token(ground.page, "valid")


@asynccontextmanager
async def permission_missing(ground: Ground) -> AsyncIterator[None]:
    await give(ground, without=["pages_messaging"])
    try:
        yield
    finally:
        await give(ground)


async def give(ground: Ground, **answer: Any) -> None:  # noqa: ANN401
    """Whoever connected the Page answers Facebook's dialog once more."""
    app = ground.stack.environment["FACEBOOK_APP_ID"]
    query = f"client_id={app}&redirect_uri=http://127.0.0.1/&state=s&scope={','.join(PERMISSIONS)}"
    url = f"{ground.stack.url('simulator')}/v26.0/dialog/oauth?{query}&auth_type=rerequest"
    await ground.simulator.answer_dialog(url, **answer)


@asynccontextmanager
async def unpublished(ground: Ground) -> AsyncIterator[None]:
    await ground.simulator.behave(ground.page, published=False)
    try:
        yield
    finally:
        await ground.simulator.behave(ground.page, published=True)


@asynccontextmanager
async def part_held(ground: Ground) -> AsyncIterator[None]:
    """As the sender leaves it."""
    async with database_of(ground.stack) as database:
        sent = await database["deliveries"].find_one({"page_id": ground.page, "state": "sent"})
        assert sent is not None
        held = {**sent, "_id": "held", "state": "held", "mid": None}
        await database["deliveries"].insert_one(held)
        try:
            yield
        finally:
            await database["deliveries"].delete_one({"_id": "held"})


@asynccontextmanager
async def switched_off(ground: Ground) -> AsyncIterator[None]:
    async with database_of(ground.stack) as database:
        switch = database["channels"].update_one
        await switch({"_id": ground.page}, {"$set": {"enabled": False}})
        try:
            yield
        finally:
            await switch({"_id": ground.page}, {"$set": {"enabled": True}})


OPTIONS = {"expireAfterSeconds", "partialFilterExpression", "sparse", "unique"}  # of an index


@asynccontextmanager
async def index_missing(ground: Ground) -> AsyncIterator[None]:
    """Of a name that no other collection has: the stand-in would drop that one, too."""
    async with database_of(ground.stack) as database:
        indexes = await database["conversations"].index_information()
        of_others: set[str] = set()
        for each in set(await database.list_collection_names()) - {"conversations"}:
            of_others |= set(await database[each].index_information())
        name = next(each for each in indexes if each not in of_others)
        await database["conversations"].drop_index(name)
        try:
            yield
        finally:
            options = {each: value for each, value in indexes[name].items() if each in OPTIONS}
            await database["conversations"].create_index(indexes[name]["key"], **options)


AT_FACEBOOK = [
    (no_app_webhook, {"webhook.registered"}, {"webhook.callback", "webhook.fields"}),
    (too_few_fields, {"webhook.fields"}, set[str]()),
    (webhook_elsewhere, {"webhook.callback"}, set[str]()),
    (page_unsubscribed, {"page.subscribed"}, set[str]()),
    (
        token_expired,
        {"page.token"},
        {"page.permissions", "page.expiry", "page.subscribed", "page.standing", "page.profile"},
    ),
    (permission_missing, {"page.permissions"}, {"page.profile"}),
    (unpublished, {"page.standing"}, set[str]()),
    (part_held, {"page.held"}, set[str]()),
    (switched_off, {"page.enabled"}, set[str]()),
    (index_missing, {"mongodb.indexes"}, set[str]()),
]


@pytest.mark.parametrize(
    ("breaks", "failed", "unknown"), AT_FACEBOOK, ids=[each[0].__name__ for each in AT_FACEBOOK]
)
async def test_a_broken_link_is_one_failed_line(
    ground: Ground, breaks: Break, failed: set[str], unknown: set[str]
) -> None:
    async with breaks(ground):
        report = await ground.look()
        assert not_ok(report) == dict.fromkeys(failed, "failed") | dict.fromkeys(unknown, "unknown")
        assert report.exit_code == 1
        for each in report.findings:
            assert each.state != "failed" or each.verdict.cure
            assert each.state != "unknown" or each.verdict.because, each
    assert not_ok(await ground.look()) == {}


OF_APP = {"webhook.registered", "webhook.callback", "webhook.fields"}
OF_TOKEN = {
    "page.token",
    "page.permissions",
    "page.expiry",
    "page.subscribed",
    "page.standing",
    "page.profile",
}


@pytest.mark.parametrize(
    ("changes", "failed", "unknown"),
    [
        (
            {"FACEBOOK_APP_SECRET": "another-secret"},
            {"address.signature", "meta.app"},
            OF_APP | OF_TOKEN,
        ),
        ({"WEBHOOK_VERIFY_TOKEN": "another-token"}, {"address.handshake"}, set[str]()),
        (
            {"PUBLIC_URL": NOBODY},
            {"address.answers", "webhook.callback"},
            {"address.handshake", "address.signature"},
        ),
        (
            {"PUBLIC_URL": "http://nowhere.invalid"},
            {"address.dns", "webhook.callback"},
            {
                "address.certificate",
                "address.answers",
                "address.handshake",
                "address.signature",
            },
        ),
        (
            {"GRAPH_API_URL": NOBODY},
            {"meta.reachable"},
            {"meta.clock", "meta.app"} | OF_APP | OF_TOKEN,
        ),
        (
            {"ENCRYPTION_KEYS": f"k9:{generate_key()}"},
            {"keys.tokens", "page.stored"},
            OF_TOKEN,
        ),
        (
            {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9"},
            {"kafka.reachable"},
            {"kafka.topics", "kafka.dead_letters"}
            | {
                f"kafka.lag.{name}"
                for name in (
                    "conversation",
                    "conversation-history",
                    "conversation-contacts",
                    "conversation-notifications",
                    "sender",
                    "takeover",
                    "analytics",
                    "console",
                )
            },
        ),
        (
            {"MONGODB_URI": "mongodb://127.0.0.1:9", "MONGODB_TIMEOUT_S": "1"},
            {"mongodb.reachable"},
            {"mongodb.replica_set", "mongodb.indexes", "keys.tokens", "pages"},
        ),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
async def test_a_wrong_variable_is_told_by_the_line_it_breaks(
    ground: Ground, changes: dict[str, str], failed: set[str], unknown: set[str]
) -> None:
    report = await ground.look(changes)
    assert not_ok(report) == dict.fromkeys(failed, "failed") | dict.fromkeys(unknown, "unknown")


async def test_a_clock_that_is_wrong(ground: Ground) -> None:
    report = await ground.look(ahead=timedelta(minutes=5))
    # by that clock its own webhook is five minutes old where somebody has it still to read
    found = {line: each for line, each in not_ok(report).items() if "kafka.lag." not in line}
    assert found == {"meta.clock": "failed"}
    assert re.search(r"\b(29\d|30\d) s ahead", report.headline), report.headline


OF_CONVERSATION = {"model.answers", "page.model", *LIVE}
OF_SENDER = {"meta.mode", "page.held", "page.waiting"}


@pytest.mark.parametrize(
    ("service", "unknown"),
    [
        ("gateway", {"address.answers", "address.handshake", "address.signature"}),
        ("conversation", OF_CONVERSATION),
        ("sender", OF_SENDER),
        ("takeover", {"page.human_agent"}),
        ("analytics", set[str]()),
        ("console", set[str]()),
    ],
)
async def test_a_service_that_does_not_answer(
    ground: Ground, service: str, unknown: set[str]
) -> None:
    with frozen(ground.stack, service):
        found = not_ok(await ground.look())
    assert found == {f"service.{service}": "failed"} | dict.fromkeys(unknown, "unknown")
    await ground.until(lambda found: not found)


async def test_what_waits_on_the_log_is_counted_with_its_age(ground: Ground) -> None:
    with frozen(ground.stack, "analytics"):
        await ground.simulator.write(ground.page, ground.person, "Do you deliver?")
        await ground.simulator.wait_for_answers(ground.page, ground.person, 2)
        now, later = await ground.look(), await ground.look(ahead=timedelta(minutes=2))
    waiting = {each.id: each for each in now.findings}["kafka.lag.analytics"]
    assert waiting.state == "ok"  # it has not waited for long
    assert waiting.verdict.details["records"] >= 2
    late = {each.id: each for each in later.findings}["kafka.lag.analytics"]
    assert (late.state, late.verdict.because) == ("unknown", "service.analytics")
    assert late.verdict.details["oldest_s"] >= 119
    await ground.until(lambda found: not found)


async def test_kafka_that_does_not_answer(ground: Ground) -> None:
    """Services that wait for it are not blamed, and what they know all the same is told."""
    services = {f"service.{name}" for name in ("gateway", "conversation", "sender", "takeover")}
    with frozen(ground.stack, "kafka"):
        found = await ground.until(lambda found: services <= found.keys())
    assert [name for name, state in found.items() if state == "failed"] == ["kafka.reachable"]
    assert {"page.token", "page.held", "page.message", "mongodb.reachable"}.isdisjoint(found)
    await ground.until(lambda found: not found)


async def test_a_database_that_does_not_answer(ground: Ground) -> None:
    with frozen(ground.stack, "mongo"):
        found = await ground.until(
            lambda found: "service.conversation" in found,
            changes={"MONGODB_TIMEOUT_S": "2"},
        )
    assert [name for name, state in found.items() if state == "failed"] == ["mongodb.reachable"]
    assert {"kafka.reachable", "address.signature", "meta.app"}.isdisjoint(found)
    await ground.until(lambda found: not found)


async def test_what_the_app_in_development_mode_costs(ground: Ground) -> None:
    """The reply is refused that was on its way when the app was switched; then it shows."""
    await ground.simulator.behave(ground.page, send_latency_ms=1000)
    stranger = await ground.simulator.add_person(ground.page, "Kim", "Reyes")
    await ground.simulator.write(ground.page, stranger, "hi")
    await ground.simulator.change_app(mode="development")
    found = await ground.until(lambda found: "meta.mode" in found)
    assert found["meta.mode"] == "failed"
    await ground.simulator.change_app(mode="live")
    await ground.simulator.behave(ground.page, send_latency_ms=0)
    async with database_of(ground.stack) as database:
        refused = {"page_id": ground.page, "state": "failed"}
        await database["deliveries"].update_many(refused, {"$set": {"dismissed": True}})
    await ground.until(lambda found: not found)


async def test_a_page_that_meta_bars_from_sending(ground: Ground) -> None:
    """The token is good, and what waits says so; news of the Page make the sender try again."""
    person = await ground.simulator.add_person(ground.page, "Noa", "Baker")
    await ground.simulator.behave(ground.page, restricted=True)
    await ground.simulator.write(ground.page, person, "hi")
    found = await ground.until(lambda found: "page.waiting" in found)
    assert found == {"page.waiting": "failed"}
    await ground.simulator.behave(ground.page, restricted=False)
    news = ChannelUpdated(event_id=str(uuid4()), page_id=ground.page, occurred_at=utc_now())
    async with open_publisher(ground.kafka, client_id="test") as publisher:
        await publisher.publish(news)
    await ground.until(lambda found: not found)


async def test_messages_after_24_hours_that_meta_refuses(ground: Ground) -> None:
    await ground.simulator.behave(ground.page, human_agent="not_granted")
    person = await ground.simulator.add_person(ground.page, "Eve", "Lindt")
    yesterday = datetime.now(UTC) - timedelta(hours=30)
    at = int(yesterday.timestamp() * 1000)
    async with open_console(ground.stack) as desk:
        await ground.simulator.write(ground.page, person, "human please", timestamp=at)
        await write_as_human(desk, f"{ground.page}:{person}")
        found = await ground.until(lambda found: "page.human_agent" in found)
        assert found["page.human_agent"] == "failed"
        await ground.simulator.behave(ground.page, human_agent="granted")
        await write_as_human(desk, f"{ground.page}:{person}", key="2")
        await ground.until(lambda found: "page.human_agent" not in found)


async def write_as_human(desk: Console, conversation: str, key: str = "1") -> None:
    body = {"by": "user:ann", "by_name": "Ann"}
    async with asyncio.timeout(WITHIN_S):
        while True:  # until the message of the person is known there
            status, _ = await desk.call("POST", f"/conversations/{conversation}/takeover", body)
            if status == 200:
                break
            await asyncio.sleep(0.2)
    status, answer = await desk.call(
        "POST",
        f"/conversations/{conversation}/messages",
        {**body, "text": "Hello, this is Ann."},
        {"Idempotency-Key": key},
    )
    assert status == 202, answer


async def test_what_is_dead_is_counted(ground: Ground) -> None:
    """The last of these tests: nothing takes a dead letter off its topic."""
    async with open_publisher(ground.kafka, client_id="test") as publisher:
        await publisher.publish_messages([Message(DEAD_LETTERS, b"key", b"value", ())])
    found = await ground.until(lambda found: "kafka.dead_letters" in found)
    assert found["kafka.dead_letters"] == "failed"


async def test_the_command_says_it_all_and_gives_no_secret_away(ground: Ground) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "deploy.local", "tool", "services.console.doctor"]
        env = os.environ | {"STATE_DIR": str(ground.stack.folder.path)}
        return subprocess.run(
            [*command, *arguments], env=env, capture_output=True, text=True, timeout=60
        )

    text, document, nobody = await asyncio.gather(
        asyncio.to_thread(run),
        asyncio.to_thread(run, "--json", "--page", ground.page),
        asyncio.to_thread(run, "--page", "1"),
    )
    told = json.loads(document.stdout)
    assert text.returncode == document.returncode == {"failed": 1, "ok": 0}[told["state"]]
    assert told["headline"] in text.stdout
    assert nobody.returncode == 2
    assert "no Page with this id" in nobody.stderr
    said = text.stdout + text.stderr + document.stdout + document.stderr
    broken = await ground.look({"FACEBOOK_APP_SECRET": "another-secret"})
    said += as_text(broken) + json.dumps(as_json(broken))
    env = ground.stack.environment
    secrets = [env[name] for name in SECRETS] + [env["ENCRYPTION_KEYS"].partition(":")[2]]
    secrets += [each["access_token"] for each in await ground.simulator.pages()]
    async with database_of(ground.stack) as database:
        channels = await database["channels"].find({}).to_list(None)
    secrets += [each["token"] for each in channels] + ["another-secret"]
    assert [secret for secret in secrets if secret in said] == []
