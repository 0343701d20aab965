"""Two HTTP APIs as Schemathesis sees them: it asks what a document allows, and what it does not.

On one stack, which is under attack by slow clients meanwhile, and is given hostile webhooks at the
end: everything that is accepted has to be digested by whoever reads it.
"""

import asyncio
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from deploy.local.admin import open_admin
from deploy.local.seed import seed
from deploy.local.services import SERVICES
from services.console.domain.tokens import Scope
from simulator.client import Simulator
from tests.fuzz.attacking import attacked, most_connections
from tests.fuzz.shapes import SHAPES
from tests.fuzz.test_webhooks import ACCEPTED
from tests.stack import LocalStack, local_stack
from tests.unit.gateway.webhooks import encode, sign

ROOT = Path(__file__).resolve().parents[2]
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "ignored_auth",
)
LEFT_OUT = "/api/v1/doctor"  # each asks Facebook and the model; its own tests compare the answer
SEED, EXAMPLES = 20261125, 8
LEAST_CASES = 500
WITHIN_S = 240
ATTACKERS = 1500  # at each service: fewer than are let in, so that nobody is shown out for them
DIGESTED_WITHIN_S = 60
SUNDAY = "When are you open on Sunday?"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """One of its own: users, assistants and takeovers are made as Schemathesis likes."""
    with local_stack(tmp_path_factory.mktemp("stack")) as running:
        yield running


async def contract(
    document: str, token: str, folder: Path, *more: str, phases: str = "examples,coverage,fuzzing"
) -> int:
    """How many requests were made. Raises: AssertionError: one was answered as it should not be."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "run", document),
        *("--header", f"Authorization: Bearer {token}"),
        *("--checks", ",".join(CHECKS), "--phases", phases),
        *("--seed", str(SEED), "--max-examples", str(EXAMPLES), "--no-shrink"),
        *("--generation-database", "none", "--continue-on-failure", "--workers", "2"),
        *("--no-color", *more),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=folder,
    )
    async with asyncio.timeout(WITHIN_S):
        said, _ = await process.communicate()
    text = said.decode("utf-8", "replace")
    assert process.returncode == 0, text[-20_000:]
    counted = re.search(r"(\d+) generated, (\d+) passed", text)
    assert counted is not None, text[-5_000:]
    assert counted[1] == counted[2]
    return int(counted[1])


async def test_no_5xx_and_no_answer_that_is_not_documented(
    stack: LocalStack, tmp_path: Path
) -> None:
    """While thousands of slow clients hold connections to console and gateway, all of whom are
    shown out."""
    environment = stack.environment
    document = f"{environment['CONSOLE_URL']}/api/v1/openapi.json"
    gateway, console = (stack.component(name)["port"] for name in ("gateway", "console"))
    async with (
        open_admin(environment) as admin,
        admin.api("schemathesis", *(scope.value for scope in Scope)) as api,
        attacked(gateway, ATTACKERS) as at_gateway,
        attacked(console, ATTACKERS) as at_console,
    ):
        made = await contract(document, api.token, tmp_path, "--exclude-path", LEFT_OUT)
    assert made >= LEAST_CASES
    for attack in (at_gateway, at_console):
        assert attack.opened == min(ATTACKERS, most_connections())
        assert (attack.closed, attack.open) == (attack.opened, 0)


async def test_takeovers_internal_api_keeps_to_its_document_too(
    stack: LocalStack, tmp_path: Path
) -> None:
    document = str(ROOT / "docs" / "openapi-takeover.json")
    token = stack.environment["SERVICE_TOKEN"]
    there = ("--url", stack.url("takeover"))
    assert await contract(document, token, tmp_path, *there, phases="coverage") >= 100


def hostile_bodies(page: str, psid: str) -> list[bytes]:
    """Webhooks for this Page and person, each with mids of its own."""
    bodies = [*map(encode, SHAPES.values()), *(body for body, _ in ACCEPTED.values())]
    about = ((b'"id":"100"', f'"id":"{page}"'), (b'"id":"200"', f'"id":"{psid}"'))
    changed = []
    for number, body in enumerate(bodies):
        for ours, theirs in about:
            body = body.replace(ours, theirs.encode())
        changed.append(body.replace(b'"m_', f'"m_{number}_'.encode()))
    return changed


async def consumed(session: aiohttp.ClientSession, url: str) -> tuple[int, int]:
    """How many records a service has yet to read, and how many it could not handle."""
    async with session.get(f"{url}/metrics") as response:
        text = await response.text()
    lag = dead = 0
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "assistant_consumer_lag_records":
                lag += int(sample.value)
            is_count = sample.name == "assistant_consumer_records_total"
            if is_count and sample.labels["outcome"] == "dead_letter":
                dead += int(sample.value)
    return lag, dead


async def test_hostile_webhooks_are_digested_by_every_reader(stack: LocalStack) -> None:
    """Nothing crashes, nothing becomes a dead letter, and the next person is answered."""
    secret = stack.environment["FACEBOOK_APP_SECRET"]
    readers = ("conversation", "sender", "takeover", "analytics")
    restarts = {spec.name: stack.component(spec.name)["restarts"] for spec in SERVICES}
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        simulator = Simulator(session, stack.url("simulator"))
        page = str((await simulator.add_page("Bakery"))["id"])  # nobody has set anything there
        await seed(stack.environment)
        hostile = await simulator.add_person(page, "Eve", "\u202eBad\x00")
        for body in hostile_bodies(page, hostile):
            url = f"{stack.url('gateway')}/webhooks/messenger"
            headers = {"X-Hub-Signature-256": sign(body, secret)}
            async with session.post(url, data=body, headers=headers) as response:
                assert response.status == 200, body
        psid = await simulator.add_person(page, "Ann", "Lee")
        await simulator.write(page, psid, SUNDAY)
        await simulator.wait_for_answers(page, psid)
        async with asyncio.timeout(DIGESTED_WITHIN_S):
            for name in readers:
                while (await consumed(session, stack.url(name)))[0]:
                    await asyncio.sleep(0.1)
        assert {name: (await consumed(session, stack.url(name)))[1] for name in readers} == (
            dict.fromkeys(readers, 0)
        )
    assert {spec.name: stack.component(spec.name)["restarts"] for spec in SERVICES} == restarts
