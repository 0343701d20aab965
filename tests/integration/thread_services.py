"""The services behind an open conversation, played: what they know is what a test says."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from libs.common.events import human_command_id
from libs.common.web import problem

PAGE, PSID = "4225", "7001"
CONVERSATION = f"{PAGE}:{PSID}"
NOW = datetime.now(UTC).replace(microsecond=0)


def ago(**span: float) -> str:
    return (NOW - timedelta(**span)).isoformat()


class Services:
    """Conversation, takeover and sender, at one address."""

    def __init__(self) -> None:
        self.row: dict[str, Any] = {
            "id": CONVERSATION,
            "page_id": PAGE,
            "psid": PSID,
            "name": "Ana Petrova",
            "picture_url": None,
            "last_activity_at": ago(minutes=1),
            "last_user_message_at": ago(hours=3),
            "last": None,
            "inbound_count": 1,
            "outbound_count": 1,
            "unread": 0,
            "mode": "ai",
            "thread_ours": True,
            "done": False,
        }
        self.takeover: dict[str, Any] = {"mode": "ai", "epoch": 0, "by": None}
        self.messages: list[dict[str, Any]] = []  # the oldest first
        self.deliveries: list[dict[str, Any]] = []
        self.away: set[str] = set()
        self.asked: list[tuple[str, str, Any]] = []
        self.commands: dict[str, tuple[str, str]] = {}  # key to command and text
        self.swallow = 0  # so many answers to messages get lost

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._note])
        conversation = "/internal/v1/conversations/{conversation}"
        app.router.add_post("/internal/v1/inbox/{what:list|counts|rows}", self._inbox)
        app.router.add_post("/internal/v1/inbox/{conversation}/{what:seen|done}", self._changed)
        app.router.add_get(f"{conversation}/messages", self._messages)
        app.router.add_get(f"{conversation}/stored", self._stored)
        app.router.add_get(f"{conversation}/takeover", self._state)
        app.router.add_post(f"{conversation}/takeover", self._take)
        app.router.add_post(f"{conversation}/takeover/extend", self._extend)
        app.router.add_post(f"{conversation}/takeover/resume", self._resume)
        app.router.add_post(f"{conversation}/messages", self._write)
        app.router.add_get(f"{conversation}/deliveries", self._deliveries)
        app.router.add_post("/internal/v1/deliveries/{send_id}/{what}", self._decide)
        return app

    @web.middleware
    async def _note(self, request: web.Request, handler: Any) -> web.StreamResponse:  # noqa: ANN401
        body = await request.json() if request.can_read_body else None
        self.asked.append((request.method, request.path, body))
        for name in self.away:
            if name in request.path:
                return problem(503, "away", "away")
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _inbox(self, request: web.Request) -> web.Response:
        if request.match_info["what"] == "counts":
            return web.json_response({"all": 1})
        wanted = (await request.json()).get("conversations")
        rows = [self.row] if wanted is None or self.row["id"] in wanted else []
        return web.json_response({"conversations": rows, "next": None})

    async def _changed(self, request: web.Request) -> web.Response:
        self.row |= {"unread": 0} if request.match_info["what"] == "seen" else {}
        return web.json_response({"conversation": self.row})

    async def _stored(self, _request: web.Request) -> web.Response:
        return web.json_response({"conversation": None, "person": None, "contact": None})

    async def _messages(self, request: web.Request) -> web.Response:
        limit, word = int(request.query["limit"]), request.query.get("search", "").lower()
        found = [
            each for each in reversed(self.messages) if word in (each.get("text") or "").lower()
        ]
        start = int(request.query.get("cursor", "0").removeprefix("c"))
        rest = found[start : start + limit]
        following = f"c{start + limit}" if len(found) > start + limit else None
        return web.json_response({"messages": rest, "next": following})

    async def _state(self, _request: web.Request) -> web.Response:
        return web.json_response({"conversation": CONVERSATION, **self.takeover})

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.json()
        state = self.takeover
        if state["mode"] == "human" and state["by"] not in (
            body["by"],
            "facebook",
            body.get("take_from"),
        ):
            facts = {name: state.get(name) for name in ("by", "by_name", "since")}
            return problem(409, "already_taken", "somebody else has it", facts=facts)
        minutes = body.get("auto_resume_minutes")
        self.hold(body["by"], body["by_name"], minutes)
        return await self._state(request)

    def hold(self, by: str, by_name: str, minutes: int | None = None) -> None:
        """Somebody has the conversation."""
        now = datetime.now(UTC)
        self.takeover = {
            "mode": "human",
            "epoch": self.takeover["epoch"] + 1,
            "by": by,
            "by_name": by_name,
            "since": now.isoformat(),
            "reason": "taken",
            "auto_resume_at": (now + timedelta(minutes=minutes)).isoformat() if minutes else None,
        }

    async def _extend(self, request: web.Request) -> web.Response:
        body = await request.json()
        if self.takeover["mode"] != "human":
            return problem(409, "not_taken_over", "the assistant has it")
        at = datetime.now(UTC) + timedelta(minutes=body["auto_resume_minutes"])
        self.takeover["auto_resume_at"] = at.isoformat()
        return await self._state(request)

    async def _resume(self, request: web.Request) -> web.Response:
        self.takeover = {"mode": "ai", "epoch": self.takeover["epoch"] + 1, "by": None}
        return await self._state(request)

    async def _write(self, request: web.Request) -> web.Response:
        body, key = await request.json(), request.headers["Idempotency-Key"]
        state = self.takeover
        if key not in self.commands:
            if state["mode"] != "human":
                return problem(409, "not_taken_over", "take it over")
            if state["by"] != body["by"]:
                facts = {name: state.get(name) for name in ("by", "by_name", "since")}
                return problem(409, "taken_by_other", "somebody else has it", facts=facts)
            self.commands[key] = (human_command_id(CONVERSATION, key), body["text"])
            self.say("human", body["text"], body, command=self.commands[key][0])
        command, text = self.commands[key]
        if text != body["text"]:
            return problem(422, "idempotency_key_reused", "used", field="Idempotency-Key")
        if self.swallow:
            self.swallow -= 1
            return problem(503, "away", "away")
        window = {
            "rule": "standard_window",
            "messaging_type": "RESPONSE",
            "tag": None,
            "expires_at": ago(hours=-21),
        }
        answer = {"command_id": command, "window": window, "waits_for": None}
        return web.json_response(answer, status=202)

    def hear(self, text: str, mid: str, **facts: Any) -> None:  # noqa: ANN401
        """The person writes."""
        told = {"direction": "in", "origin": "person", "text": text, "mid": mid}
        at = datetime.now(UTC).isoformat()
        self.messages.append({"id": f"{PAGE}:{mid}", "at": at, **told, **facts})

    def say(self, origin: str, text: str, body: dict[str, Any], *, command: str) -> None:
        self.messages.append(
            {
                "id": f"{PAGE}:{command}:0",
                "at": datetime.now(UTC).isoformat(),
                "direction": "out",
                "origin": origin,
                "text": text,
                "status": "sent",
                "by": body.get("by"),
                "by_name": body.get("by_name"),
                "command_id": command,
                "send_id": f"{command}:0",
                "part": 0,
                "parts": 1,
                "rule": "standard_window",
                "messaging_type": "RESPONSE",
            }
        )

    async def _deliveries(self, _request: web.Request) -> web.Response:
        return web.json_response({"deliveries": self.deliveries, "next": None})

    async def _decide(self, request: web.Request) -> web.Response:
        body, send_id = await request.json(), request.match_info["send_id"]
        delivery = next((each for each in self.deliveries if each["id"] == send_id), None)
        if delivery is None:
            return problem(404, "not_found", "no such part")
        if body.get("generation") not in (None, delivery["generation"]):
            return problem(409, "changed", "somebody decided")
        if request.match_info["what"] == "discard":
            self.deliveries.remove(delivery)
        else:
            delivery |= {"state": "again", "generation": delivery["generation"] + 1}
        return web.json_response({"delivery": delivery})


@asynccontextmanager
async def running_services() -> AsyncIterator[tuple[Services, str]]:
    services = Services()
    async with TestServer(services.app()) as server:
        yield services, str(server.make_url("")).rstrip("/")
