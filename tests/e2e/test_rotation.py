"""Every secret is replaced while people write: as SECURITY.md says, with services started again one
by one. No good webhook is refused, no message lost or answered twice, no stored token unreadable,
and no service refuses another.

One moment is Meta's: a reset app secret counts at once, and nobody can know it before. What is
signed with it is refused until the gateway is back with it; Meta repeats that, and it counts here.
"""

import asyncio
import base64
import json
import os
import random
import secrets
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from deploy.local.admin import Admin, ConsoleError, open_admin
from libs.common.channels import ASSISTANTS_COLLECTION, CHANNELS_COLLECTION, Assistant
from libs.common.crypto import DecryptionError, KeyRing
from libs.common.mongo import Database
from simulator.client import Simulator
from tests.e2e.console import database_of
from tests.e2e.live import QUESTIONS, Verdict, judge
from tests.e2e.shop import Shop, open_shop
from tests.stack import LocalStack

PEOPLE = 4
ANSWERED_WITHIN_S = 120.0
LOOK_EVERY_S = 0.4
READERS = ("conversation", "sender", "console")  # of what is encrypted
CALLEES = ("conversation", "sender", "takeover", "analytics")  # of internal APIs
PAGES_ASKED = ("/inbox", "/health/messages", "/analytics")  # of three other services
APP_SECRET = 100  # Meta's code for a signature that it does not take: the sender waits


class Keys:
    """Which keys each service has at this moment, and whether they open what is stored."""

    def __init__(self, database: Database, ring: str) -> None:
        self._database = database
        self._rings = {name: [KeyRing.parse(ring)] for name in READERS}
        self._foreign: set[str] = set()  # made up by other tests
        self.unreadable: set[tuple[str, str]] = set()

    async def begin(self) -> None:
        stored = await self._stored()
        ring = self._rings["console"][0]
        self._foreign = {what for what, sealed in stored.items() if not _opens(ring, *sealed)}
        assert stored.keys() > self._foreign  # else nothing is looked at

    @asynccontextmanager
    async def changing(self, service: str, ring: str) -> AsyncIterator[None]:
        """In the block it may still have its old keys, or already these."""
        if service in self._rings:
            self._rings[service].append(KeyRing.parse(ring))
        yield
        if service in self._rings:
            del self._rings[service][:-1]

    async def look(self) -> None:
        """What is read may be older than the keys by now: so those from before count, too."""
        before = {service: list(rings) for service, rings in self._rings.items()}
        for what, sealed in (await self._stored()).items():
            for service, rings in before.items():
                if what not in self._foreign and not all(_opens(ring, *sealed) for ring in rings):
                    self.unreadable.add((what, service))

    async def _stored(self) -> dict[str, tuple[str, str]]:
        """What is encrypted, and with which context."""
        channels = await self._database[CHANNELS_COLLECTION].find().to_list(None)
        found = {
            f"token of {each['_id']}": (each["token"], each["_id"])
            for each in channels
            if each["token"]
        }
        for each in await self._database[ASSISTANTS_COLLECTION].find().to_list(None):
            assistant = Assistant.model_validate(each)
            if assistant.api_key:
                found[f"key of {assistant.id}"] = (assistant.api_key, assistant.key_context)
        return found


def _opens(ring: KeyRing, sealed: str, context: str) -> bool:
    try:
        ring.decrypt(sealed, context=context)
    except DecryptionError:
        return False
    return True


class Traffic:
    """People who write and wait for the answer, and an administrator who looks around."""

    def __init__(self, shop: Shop, keys: Keys) -> None:
        self.page = shop.page
        self._simulator, self._keys = shop.simulator, keys
        self._environment = shop.stack.environment
        self._over = asyncio.Event()
        self._rounds: dict[str, int] = {}
        self.pages_shown = 0

    @asynccontextmanager
    async def flowing(self) -> AsyncIterator[None]:
        """Inside the block. At its end everybody has had their last answer."""
        people = [
            await self._simulator.add_person(self.page, "Person", str(n)) for n in range(PEOPLE)
        ]
        async with open_admin(self._environment) as admin, asyncio.TaskGroup() as group:
            for number, psid in enumerate(people):
                group.create_task(self._talk(psid, random.Random(number)), name=f"person-{psid}")
            group.create_task(self._look_around(admin), name="administrator")
            group.create_task(self._look_at_keys(), name="keys")
            yield
            self._over.set()

    async def verdicts(self) -> list[Verdict]:
        """Of each person, and what it has to be."""
        return [
            await judge(self._simulator, self.page, [psid], rounds)
            for psid, rounds in self._rounds.items()
        ]

    @property
    def expected(self) -> list[Verdict]:
        return [Verdict(answers=rounds) for rounds in self._rounds.values()]

    async def _talk(self, psid: str, chance: random.Random) -> None:
        self._rounds[psid] = 0
        while not self._over.is_set():
            await self._simulator.write(self.page, psid, chance.choice(QUESTIONS))
            self._rounds[psid] += 1
            await self._simulator.wait_for_answers(
                self.page, psid, self._rounds[psid], ANSWERED_WITHIN_S
            )
            await self._pause(chance.uniform(0.3, 1.2))

    async def _look_around(self, admin: Admin) -> None:
        while not self._over.is_set():
            for path in PAGES_ASKED:
                with suppress(ConsoleError):  # it is being started again
                    status, _ = await admin.page(path)
                    assert status in (200, 503), (path, status)  # 503: who is asked is away
                    self.pages_shown += status == 200
            await self._pause(LOOK_EVERY_S)

    async def _look_at_keys(self) -> None:
        while not self._over.is_set():
            await self._keys.look()
            await self._pause(LOOK_EVERY_S)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), seconds)


class Operator:
    """Who carries out SECURITY.md."""

    def __init__(self, stack: LocalStack, keys: Keys) -> None:
        self._stack, self._keys = stack, keys

    async def restart(self, *services: str) -> None:
        """All of these at once, each with what is set by now."""
        await asyncio.gather(*map(self._restart, services))

    async def _restart(self, service: str) -> None:
        async with self._keys.changing(service, self._stack.environment["ENCRYPTION_KEYS"]):
            await asyncio.to_thread(self._stack.restart, service)

    async def encrypt_anew(self) -> str:
        """`python -m services.console.operator keys`: what it says."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "services.console.operator", "keys"),
            env={**os.environ, **self._stack.environment},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        return said.decode()


async def test_every_secret_is_replaced_under_traffic(
    simulator: Simulator, stack: LocalStack
) -> None:
    old = stack.environment
    k1, k2 = old["ENCRYPTION_KEYS"], f"k2{secrets.token_hex(2)}:{_key()}"
    log = Log(stack)
    async with (
        database_of(stack) as database,
        open_shop(stack, "Rotation", quiet_window_s=0.2, loop_turns=0) as shop,
    ):
        keys = Keys(database, k1)
        await keys.begin()
        operator, traffic = Operator(stack, keys), Traffic(shop, keys)
        async with traffic.flowing():
            before = await simulator.webhooks()

            # all can read with the new key and accept the new token, before anybody uses them
            stack.change_secrets(
                ENCRYPTION_KEYS=f"{k1},{k2}",
                SERVICE_TOKEN=secrets.token_urlsafe(32),
                SERVICE_TOKEN_PREVIOUS=old["SERVICE_TOKEN"],
            )
            for service in CALLEES:
                await operator.restart(service)
            await operator.restart("console")
            assert (await simulator.webhooks())["forbidden"] == before["forbidden"]

            reset = await simulator.reset_app_secret()
            stack.change_secrets(
                ENCRYPTION_KEYS=f"{k2},{k1}",
                FACEBOOK_APP_SECRET=reset,
                FACEBOOK_APP_SECRET_PREVIOUS=old["FACEBOOK_APP_SECRET"],
            )
            await operator.restart("gateway")
            in_the_gap = (await simulator.webhooks())["forbidden"]
            for service in ("sender", "conversation", "console"):
                await operator.restart(service)
            said = await operator.encrypt_anew()
            assert "encrypted anew" in said or "can't be decrypted" in said, said

            stack.change_secrets(
                ENCRYPTION_KEYS=k2,
                FACEBOOK_APP_SECRET_PREVIOUS=None,
                SERVICE_TOKEN_PREVIOUS=None,
                LOG_HASH_KEY=secrets.token_urlsafe(24),
            )
            await operator.restart("gateway", *CALLEES, "console")
        await keys.look()
        after = await simulator.webhooks()
        verdicts = await traffic.verdicts()

    assert verdicts == traffic.expected
    assert min(verdict.answers for verdict in traffic.expected) >= 3
    assert (after["forbidden"], after["lost"]) == (in_the_gap, before["lost"])
    assert keys.unreadable == set()
    assert log.of("service_token_refused", "assistant_key_unreadable", "channel_status") == []
    assert [each for each in log.of("token_rejected") if each.get("code") != APP_SECRET] == []
    assert traffic.pages_shown > len(PAGES_ASKED)


class Log:
    """What the services say from now on."""

    def __init__(self, stack: LocalStack) -> None:
        self._logs = [stack.folder.log_of(name) for name in (*CALLEES, "gateway", "console")]
        self._from = {log: log.stat().st_size for log in self._logs}

    def of(self, *events: str) -> list[Mapping[str, Any]]:
        found = []
        for log in self._logs:
            with log.open("rb") as file:
                file.seek(self._from[log])
                lines = file.read().decode("utf-8", "replace").splitlines()
            found += [json.loads(line) for line in lines if line.startswith("{")]
        return [line for line in found if line.get("event") in events]


def _key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()
