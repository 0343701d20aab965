"""Whatever starts first: all become ready with nobody's help, and a message is answered.

Ten parts: Kafka, the database, the topics, six services, and the simulator. One order is the worst
that there is. Two more are drawn, the same ones each time; `SEED=…` draws others. With `LONG=1`
there are 24, other ones each time: the services on a message's way in every order, the rest
anywhere. Kafka makes topics itself here, as many do: whoever names one too early has it made with
one partition.
"""

import asyncio
import itertools
import os
import random
import secrets
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from deploy.local.child import Child
from deploy.local.environment import KAFKA
from deploy.local.plan import Options, Plan, make_plan
from deploy.local.ports import HOST
from deploy.local.seed import connect_in_console
from deploy.local.services import INFRASTRUCTURE, SERVICES
from deploy.local.state import StateFolder
from libs.common.kafka.presence import partition_counts
from libs.common.settings import KafkaSettings
from libs.common.topics import TOPICS
from simulator.client import Simulator
from tests.leaks import found_in_logs
from tests.stack import free_offset

LONG = os.environ.get("LONG", "0") not in ("", "0")
SEED = int(os.environ.get("SEED") or (secrets.randbelow(1_000_000) if LONG else 1))
ON_THE_WAY = ("gateway", "conversation", "sender", "takeover")
ORDERS = tuple(itertools.permutations(ON_THE_WAY))
DRAWN = len(ORDERS) if LONG else 2
MOST_BETWEEN_S = 1.0
READY_WITHIN_S = 240.0
LOOK_EVERY_S = 0.05

TOPICS_PART = "topics"
SERVICE_NAMES = tuple(spec.name for spec in SERVICES)
WANT_TOPICS = ("gateway", "conversation", "sender", "takeover", "analytics")
PARTS = (*INFRASTRUCTURE, TOPICS_PART, *SERVICE_NAMES)


class Parts:
    """The parts of one system, none of which has been started."""

    def __init__(self, plan: Plan, folder: StateFolder) -> None:
        self.environment = dict(plan.environment)
        self._folder = folder
        components = [*plan.infrastructure, *plan.services]
        self._children = {
            each.name: Child(each, folder.log_of(each.name), lambda: None) for each in components
        }

    async def start(self, name: str) -> None:
        """Return when it is ready. Raises: StackError: it died, which nobody would mend here."""
        if name == TOPICS_PART:
            await self._make_topics()
        else:
            await self._children[name].start()

    async def _make_topics(self) -> None:
        """As the job of Compose and Kubernetes does."""
        with self._folder.log_of(TOPICS_PART).open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "libs.common.kafka.topics"),
                env=self.environment,
                stdout=log,
                stderr=log,
            )
            assert await process.wait() == 0, self._log(TOPICS_PART)

    async def until_alive(self, names: Sequence[str]) -> None:
        """Wait until they run, ready or not."""
        async with aiohttp.ClientSession() as session:
            for name in names:
                url = f"http://{HOST}:{self._children[name].component.port}/healthz"
                while not await _answers(session, url):
                    await asyncio.sleep(LOOK_EVERY_S)

    async def until_logged(self, names: Sequence[str], words: str) -> None:
        """Wait until each of them has said this."""
        for name in names:
            while words not in self._log(name):
                await asyncio.sleep(LOOK_EVERY_S)

    def _log(self, name: str) -> str:
        path = self._folder.log_of(name)
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    async def end(self) -> None:
        for child in self._children.values():
            child.kill()
        await asyncio.gather(*(child.stop() for child in self._children.values()))


@pytest.fixture(scope="module")
def formatted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Kafka's folder as it is before its first start; filled by the first order."""
    return tmp_path_factory.mktemp("formatted")


@asynccontextmanager
async def parts_in(path: Path, formatted: Path) -> AsyncIterator[Parts]:
    folder = StateFolder(path)
    folder.make()
    data = path / "kafka" / "data"
    if any(formatted.iterdir()):
        shutil.copytree(formatted, data)
    environment = {name: value for name, value in os.environ.items() if name != "ENV"} | {
        "PORT_OFFSET": str(free_offset()),
        "STATE_DIR": str(path),
        KAFKA: "",
        "MONGODB_URI": "",
    }
    plan = make_plan(Options.read(environment), environment, folder, lambda _: None)
    properties = path / "kafka" / "server.properties"
    strict = properties.read_text(encoding="utf-8")
    lax = strict.replace("auto.create.topics.enable=false", "auto.create.topics.enable=true")
    assert lax != strict
    properties.write_text(lax, encoding="utf-8")
    kafka = plan.infrastructure[0]
    if kafka.setup:
        process = await asyncio.create_subprocess_exec(
            *kafka.setup, env=dict(kafka.environment), stdout=asyncio.subprocess.DEVNULL
        )
        assert await process.wait() == 0
        shutil.copytree(data, formatted, dirs_exist_ok=True)
        plan = make_plan(Options.read(environment), environment, folder, lambda _: None)
        properties.write_text(lax, encoding="utf-8")
    parts = Parts(plan, folder)
    try:
        yield parts
    finally:
        await parts.end()


async def worst(parts: Parts, begin: Callable[[str], None]) -> None:
    """All services before what they need, Kafka after the database, the topics last of all."""
    for name in SERVICE_NAMES:
        begin(name)
    await parts.until_alive(SERVICE_NAMES)
    await parts.until_logged(WANT_TOPICS, "waiting_for_resources")
    begin("mongo")
    begin("kafka")
    await parts.until_logged(WANT_TOPICS, "TopicsMissingError")
    assert await our_topics(parts) == {}
    begin(TOPICS_PART)


async def drawn(number: int, begin: Callable[[str], None]) -> None:
    order = drawn_order(number)
    print("order:", ", ".join(order))
    for name in order:
        begin(name)
        await asyncio.sleep(random.Random(f"{SEED}:{number}:{name}").uniform(0, MOST_BETWEEN_S))


def drawn_order(number: int) -> list[str]:
    """By the seed; if all are played, each order of those on the way once."""
    chance = random.Random(f"{SEED}:{number}")
    order = list(PARTS)
    chance.shuffle(order)
    if len(ORDERS) > DRAWN:
        return order
    wanted = iter(ORDERS[number - 1])
    return [next(wanted) if name in ON_THE_WAY else name for name in order]


@pytest.mark.parametrize("number", range(DRAWN + 1), ids=["worst", *map(str, range(DRAWN))])
async def test_all_become_ready_in_any_order_and_answer(
    tmp_path: Path, formatted: Path, number: int
) -> None:
    print(f"SEED={SEED}")
    async with parts_in(tmp_path, formatted) as parts:
        async with asyncio.timeout(READY_WITHIN_S), asyncio.TaskGroup() as group:

            def begin(name: str) -> None:
                group.create_task(parts.start(name), name=name)

            if number == 0:
                await worst(parts, begin)
            else:
                await drawn(number, begin)
        assert await our_topics(parts) == {topic.name: topic.partitions for topic in TOPICS}
        await a_message_is_answered(parts)
    assert found_in_logs(tmp_path) == []


async def our_topics(parts: Parts) -> dict[str, int]:
    """Those that are no business of Kafka's own, with their partitions."""
    settings = KafkaSettings(bootstrap_servers=parts.environment[KAFKA])
    found = await partition_counts(settings)
    return {name: count for name, count in found.items() if not name.startswith("__")}


async def a_message_is_answered(parts: Parts) -> None:
    await connect_in_console(parts.environment)
    async with aiohttp.ClientSession() as session:
        simulator = Simulator(session, parts.environment["GRAPH_API_URL"])
        page = str((await simulator.pages())[0]["id"])
        psid = await simulator.add_person(page, "Ann", "Lee")
        await simulator.write(page, psid, "When are you open on Sunday?")
        (answer,) = await simulator.wait_for_answers(page, psid, within_s=30)
    assert "8:00 to 13:00" in answer["text"]


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False
