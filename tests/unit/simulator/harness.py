"""The app that webhooks go to, and what tests say to a running simulator."""

import asyncio
import base64
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient

from libs.common.settings import HttpSettings, RuntimeSettings
from simulator.core import Simulator
from simulator.settings import Settings
from simulator.signing import appsecret_proof

SECRET = "test_app_secret"
APP_ID = "1517776481860111"
DEADLINE_S = 10.0


@dataclass
class Received:
    body: bytes
    headers: dict[str, str]


@dataclass
class FakeApp:
    """Takes webhooks and answers what it is told to."""

    url: str = ""
    received: list[Received] = field(default_factory=list)
    forms: list[tuple[str, str]] = field(default_factory=list)  # path and signed_request
    statuses: list[int] = field(default_factory=list)  # of the next answers; then 200
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)
    answers_challenge: bool = True
    asked: dict[str, str] = field(default_factory=dict)  # when the address was verified

    async def verify(self, request: web.Request) -> web.Response:
        self.asked = dict(request.query)
        return web.Response(text=self.asked["hub.challenge"] if self.answers_challenge else "no")

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        async with self.arrived:
            self.received.append(Received(body, dict(request.headers)))
            self.arrived.notify_all()
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200, text="OK")

    async def take_form(self, request: web.Request) -> web.Response:
        """The deauthorize and the data-deletion callback."""
        form = await request.post()
        self.forms.append((request.path, str(form["signed_request"])))
        return web.Response(text="OK")

    @staticmethod
    def user_of(signed_request: str) -> str:
        """Whom a signed request is about, if its signature is right."""
        signature, payload = signed_request.split(".")
        expected = hmac.digest(SECRET.encode(), payload.encode(), "sha256")
        assert _base64url(signature) == expected
        facts = json.loads(_base64url(payload))
        assert facts["algorithm"] == "HMAC-SHA256"
        return str(facts["user_id"])

    async def wait_for(self, is_there: Callable[["FakeApp"], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S), self.arrived:
            await self.arrived.wait_for(lambda: is_there(self))


def _base64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


async def until(is_so: Callable[[], bool], deadline_s: float = DEADLINE_S) -> None:
    """Wait for something that tells nobody when it happens."""
    async with asyncio.timeout(deadline_s):
        while not is_so():
            await asyncio.sleep(0.005)


def make_settings(target_url: str, state_dir: Path) -> Settings:
    return Settings(
        http=HttpSettings(port=8090),
        runtime=RuntimeSettings(),
        facebook_app_id=APP_ID,
        facebook_app_secret=SECRET,
        webhook_verify_token="verify",
        webhook_target_url=target_url,
        state_dir=state_dir,
    )


class Facebook:
    """What tests say to the simulator."""

    def __init__(self, client: TestClient[web.Request, web.Application], sim: Simulator) -> None:
        self.client, self.simulator = client, sim
        page = sim.world.pages[0]
        self.page, self.token = page.id, page.access_token
        self.psid, self.other_psid = page.people

    async def control(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        status, answer = await self.ask(method, f"/simulator/api{path}", body)
        assert status == 200, answer
        return answer

    async def ask(self, method: str, path: str, body: object = None) -> tuple[int, dict[str, Any]]:
        async with self.client.request(method, path, json=body) as response:
            return response.status, await response.json()

    async def says(self, text: str, **more: object) -> str:
        body = {"psid": self.psid, "text": text, **more}
        answer = await self.control("POST", f"/pages/{self.page}/messages", body)
        return str(answer["mid"])

    async def graph(
        self, method: str, path: str, body: object = None, **query: str
    ) -> tuple[int, dict[str, Any]]:
        """A Graph call with token and proof."""
        query = {"appsecret_proof": appsecret_proof(self.token, SECRET), **query}
        headers = {"Authorization": f"Bearer {self.token}"}
        async with self.client.request(
            method,
            f"/v26.0{path}",
            params=query,
            headers=headers,
            json=body,
        ) as response:
            return response.status, await response.json(content_type=None)

    async def send(self, text: str, **more: object) -> tuple[int, dict[str, Any]]:
        return await self.graph("POST", f"/{self.page}/messages", self.message(text, **more))

    def message(self, text: str, **more: object) -> dict[str, Any]:
        return {
            "recipient": {"id": self.psid},
            "messaging_type": "RESPONSE",
            "message": {"text": text, **more},
        }

    async def thread(self) -> dict[str, Any]:
        return await self.control("GET", f"/pages/{self.page}/threads/{self.psid}")

    async def calls(self) -> list[dict[str, Any]]:
        answer = await self.control("GET", f"/calls?page={self.page}")
        return list(answer["calls"])

    async def behave(self, **behaviour: object) -> None:
        await self.control("PUT", f"/pages/{self.page}/behaviour", behaviour)

    async def until_quiet(self) -> None:
        """Every webhook has been taken."""
        await until(lambda: self.simulator.webhooks.pending == 0)
