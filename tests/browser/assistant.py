"""A small app that answers through Graph: what the chat page needs on the other side of it."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import web

from simulator.signing import appsecret_proof

if TYPE_CHECKING:
    from simulator.core import Simulator

Talk = Callable[["Assistant", str, dict[str, Any]], Awaitable[None]]


class Assistant:
    """Takes webhooks at once and hands what people say to `on_said`, which says what follows."""

    def __init__(self) -> None:
        self.simulator: Simulator | None = None
        self.graph_url = ""
        self.on_said: Talk = answer_politely
        self._session: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        self._session = aiohttp.ClientSession()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def handle(self, request: web.Request) -> web.Response:
        """The webhook's address."""
        for entry in json.loads(await request.read())["entry"]:
            for event in entry["messaging"]:
                said = event.get("message") or event.get("postback")
                if said is not None and not said.get("is_echo"):
                    talk = self.on_said(self, event["sender"]["id"], said)
                    task = asyncio.create_task(_as_coroutine(talk), name="talk")
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
        return web.Response(text="EVENT_RECEIVED")

    async def says(self, psid: str, text: str, **more: object) -> None:
        message = {"text": text, **more}
        await self._send(psid, {"messaging_type": "RESPONSE", "message": message})

    async def does(self, psid: str, action: str) -> None:
        await self._send(psid, {"sender_action": action})

    async def _send(self, psid: str, params: dict[str, Any]) -> None:
        assert self._session is not None
        assert self.simulator is not None
        page = next(page for page in self.simulator.world.pages if psid in page.people)
        async with self._session.post(
            f"{self.graph_url}/v26.0/{page.id}/messages",
            json={"recipient": {"id": psid}, **params},
            headers={"Authorization": f"Bearer {page.access_token}"},
            params={
                "appsecret_proof": appsecret_proof(page.access_token, self.simulator.app_secret)
            },
        ) as response:
            assert response.status == 200, await response.text()


async def _as_coroutine(talk: Awaitable[None]) -> None:
    await talk


async def answer_politely(assistant: Assistant, psid: str, said: dict[str, Any]) -> None:
    """Seen, dots, an answer."""
    await assistant.does(psid, "mark_seen")
    await assistant.does(psid, "typing_on")
    asked = said.get("title") or said.get("text") or "that picture"
    await assistant.says(psid, f"You said: {asked}")


async def keep_silent(_assistant: Assistant, _psid: str, _said: dict[str, Any]) -> None:
    """Tests that say themselves what happens."""
