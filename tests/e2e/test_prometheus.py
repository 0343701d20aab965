"""A real Prometheus looks at a running system: every panel and every rule has something to show.

It is Debian's. Its configuration is the one of deploy/prometheus, with the stack's addresses for
those of the containers, and looks once a second instead of four times a minute.
"""

import asyncio
import json
import math
import shutil
import subprocess
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from deploy.local.ports import HOST
from libs.common.kafka import open_publisher
from libs.common.kafka.publisher import Message
from libs.common.settings import KafkaSettings
from libs.common.topics import EVENTS
from tests.e2e.shop import Shop, open_shop
from tests.ports import free_port
from tests.stack import LocalStack
from tests.unit.deploy import boards, metrics
from tests.unit.deploy.boards import Shown

CONFIG = boards.ROOT / "deploy" / "prometheus" / "prometheus.yml"
WITHIN_S = 60.0
POLL_S = 0.25
UNREACHABLE = {"code": 551, "subcode": 1545041, "message": "This person isn't available."}


@dataclass(frozen=True)
class Prometheus:
    """One that runs, over its HTTP API."""

    session: aiohttp.ClientSession
    url: str

    async def ask(self, path: str, **parameters: str) -> Any:  # noqa: ANN401 - JSON
        async with self.session.get(f"{self.url}/api/v1/{path}", params=parameters) as response:
            answer = await response.json()
        assert answer["status"] == "success", (path, parameters, answer)
        return answer["data"]

    async def values(self, expr: str) -> list[float]:
        """A number for each series, without those that are no number."""
        found = (await self.ask("query", query=expr))["result"]
        numbers = [float(each["value"][1]) for each in found]
        return [each for each in numbers if not math.isnan(each)]

    async def until(self, expr: str) -> None:
        """Wait until the expression says something."""
        async with asyncio.timeout(WITHIN_S):
            while not await self.values(expr):
                await asyncio.sleep(POLL_S)


@pytest.fixture
def address(modelled: LocalStack, tmp_path: Path) -> Iterator[str]:
    """Where a Prometheus of the test's own listens. It ends with the test."""
    program = shutil.which("prometheus")
    assert program is not None, "prometheus is missing: apt-get install prometheus"
    config = tmp_path / "prometheus.yml"
    config.write_text(yaml.safe_dump(adapted(modelled, tmp_path)), encoding="utf-8")
    port = free_port()
    command = [
        program,
        f"--config.file={config}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address={HOST}:{port}",
        "--log.level=warn",
    ]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log)
    try:
        url = f"http://{HOST}:{port}"
        until_it_answers(process, url, tmp_path / "log")
        yield url
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def adapted(stack: LocalStack, folder: Path) -> dict[str, Any]:
    """The configuration for containers, for this stack."""
    config: dict[str, Any] = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    config["global"] |= {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["global"]["scrape_timeout"] = "1s"
    config["rule_files"] = [str(copied(path, folder)) for path in rule_files(config)]
    for job in config["scrape_configs"]:
        address = stack.url(job["job_name"]).removeprefix("http://")
        job["static_configs"] = [{"targets": [address]}]
    return config


def rule_files(config: dict[str, Any]) -> list[Path]:
    found = [path for each in config["rule_files"] for path in sorted(CONFIG.parent.glob(each))]
    assert found
    return found


def copied(path: Path, folder: Path) -> Path:
    """A file of rules that are worked out as often as all others: some have minutes for it."""
    rules = yaml.safe_load(path.read_text(encoding="utf-8"))
    for group in rules["groups"]:
        group.pop("interval", None)
    copy = folder / path.name
    copy.write_text(yaml.safe_dump(rules, sort_keys=False), encoding="utf-8")
    return copy


def until_it_answers(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    """It listens some time before it does."""
    until = time.monotonic() + WITHIN_S
    while not is_ready(url):
        said = log.read_text(encoding="utf-8", errors="replace")
        assert process.poll() is None, f"prometheus has ended: {said}"
        assert time.monotonic() < until, f"prometheus does not answer: {said}"
        time.sleep(0.05)


def is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/-/ready", timeout=2):  # noqa: S310 - our own
            return True
    except OSError:
        return False


@pytest.fixture
async def prometheus(address: str) -> AsyncIterator[Prometheus]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        yield Prometheus(session, address)


@pytest.fixture
async def shop(modelled: LocalStack) -> AsyncIterator[Shop]:
    async with open_shop(modelled, "Shop that is measured") as opened:
        yield opened


async def test_every_panel_and_every_rule_has_something_to_show(
    prometheus: Prometheus, shop: Shop
) -> None:
    services = len(yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["scrape_configs"])
    await prometheus.until(f"sum(up) == {services}")
    await live_through_a_day(shop)
    received = f'assistant_page_messages_total{{page="{shop.page}", what="received"}} >= 4'
    for each in (received, 'sum(assistant_consumer_records_total{outcome="dead_letter"}) > 0'):
        await prometheus.until(each)

    assert await unanswered(prometheus, boards.queries(rate="20s", span="1m")) == []
    names = [Shown("rules", name, name) for name in metrics.recorded()]
    assert await unanswered(prometheus, names) == []
    assert await unwell(prometheus) == {}


async def live_through_a_day(shop: Shop) -> None:
    """What there is a panel for: answers, receipts, refusals, a model that fails, a human."""
    simulator = shop.simulator
    waiting = await shop.newcomer("Bo")
    await waiting.write("I want to talk to a human")
    await waiting.texts(1)
    await shop.write("When are you open on Sunday?")
    await shop.texts(1)
    await simulator.read(shop.page, shop.psid)

    await simulator.set_model(status=503)
    await shop.write("Do you deliver?")
    await shop.texts(2)  # the fixed text, as the model gave none
    await simulator.set_model()

    await simulator.add_fault(
        endpoint="messages", page=shop.page, times=1, status=400, error=UNREACHABLE
    )
    await shop.write("And on Monday?")
    await put_garbage_on_the_log(shop)
    await shop.write("I want to talk to a human")
    await shop.texts(3)
    who = {"by": "user:ann", "by_name": "Ann"}
    path = f"/conversations/{shop.name}"
    for step, body in (
        ("takeover", {}),
        ("messages", {"text": "Ann here"}),
        ("takeover/resume", {}),
    ):
        status, answer = await shop.ask(
            "takeover", "POST", f"{path}/{step}", {**who, **body}, Idempotency_Key="prometheus"
        )
        assert status < 300, answer


async def put_garbage_on_the_log(shop: Shop) -> None:
    """What no service can read."""
    environment = shop.stack.environment
    kafka = KafkaSettings(bootstrap_servers=environment["KAFKA_BOOTSTRAP_SERVERS"])
    headers = [("type", b"message.received"), ("version", b"1.0"), ("event_id", b"garbage")]
    async with open_publisher(kafka, client_id="test") as publisher:
        garbage = Message(EVENTS, shop.name.encode(), b"{}", headers)
        await publisher.publish_messages([garbage])


async def unanswered(prometheus: Prometheus, queries: list[Shown]) -> list[Shown]:
    """Those that show nothing, though there was time."""
    until = time.monotonic() + WITHIN_S
    left = queries
    while True:
        found = await asyncio.gather(*[prometheus.values(each.expr) for each in left])
        left = [each for each, values in zip(left, found, strict=True) if not values]
        if not left or time.monotonic() > until:
            return left
        await asyncio.sleep(POLL_S)


async def unwell(prometheus: Prometheus) -> dict[str, str]:
    """Rules that can't be worked out, by name, with what Prometheus says of them."""
    groups = (await prometheus.ask("rules"))["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) > len(metrics.recorded())
    return {rule["name"]: json.dumps(rule) for rule in rules if rule["health"] != "ok"}
