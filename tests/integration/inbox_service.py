"""A stand-in for the services behind the inbox: rows in a list, answers like their own."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

from libs.common.web import problem
from tests.integration.console import SERVICE_TOKEN

JSON = dict[str, Any]

PAGE, SECOND, FOREIGN = "1234567890", "1234567892", "1234567891"


def row(psid: str, name: str | None = None, *, page: str = PAGE, **fields: Any) -> JSON:  # noqa: ANN401
    """One conversation, as of a person who wrote five minutes ago and was answered."""
    at = (datetime.now(UTC) - timedelta(minutes=5)).isoformat()
    last = {"direction": "out", "origin": "assistant", "by_name": None}
    return {
        "id": f"{page}:{psid}",
        "page_id": page,
        "psid": psid,
        "name": name,
        "picture_url": None,
        "last_activity_at": at,
        "last_user_message_at": at,
        "last": last | {"kind": "text", "text": "We open at eight.", "at": at},
        "inbound_count": 2,
        "outbound_count": 1,
        "unread": 0,
        "mode": "ai",
        "epoch": 0,
        "by": None,
        "by_name": None,
        "since": None,
        "auto_resume_at": None,
        "takeover_reason": None,
        "asked": None,
        "thread_ours": True,
        "held": 0,
        "failed": 0,
        "done": False,
        "first_seen_at": at,
        "heard": {"partition": 0, "offset": 1},
        **fields,
    }


class InboxService:
    """Answers `/internal/v1/inbox`, and what else an open conversation asks for."""

    def __init__(self) -> None:
        self.rows: list[JSON] = []
        self.messages: dict[str, list[JSON]] = {}
        self.stored: JSON = {"conversation": None, "person": None, "contact": None}
        self.calls: list[tuple[str, JSON]] = []
        self.is_away = False

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._checked])
        base = "/internal/v1/inbox"
        app.router.add_post(f"{base}/list", self.list_rows)
        app.router.add_post(f"{base}/counts", self.count)
        app.router.add_post(f"{base}/rows", self.some)
        app.router.add_post(f"{base}/{{conversation}}/seen", self.seen)
        app.router.add_post(f"{base}/{{conversation}}/done", self.done)
        one = "/internal/v1/conversations/{conversation}"
        app.router.add_get(f"{one}/messages", self.list_messages)
        app.router.add_get(f"{one}/stored", self.show_stored)
        app.router.add_get(f"{one}/takeover", self.show_takeover)
        app.router.add_get(f"{one}/deliveries", self.list_deliveries)
        return app

    def row(self, name: str) -> JSON:
        return next(each for each in self.rows if each["id"] == name)

    async def list_rows(self, request: web.Request) -> web.Response:
        body = await self._body(request, "list")
        if body["cursor"] is not None and not body["cursor"].isdigit():
            return problem(422, "invalid_body", "no", field="cursor")
        wants = _tab(body["tab"], body["by"])
        words = (body["search"] or "").casefold().split()
        found = [
            each
            for each in self.rows
            if each["page_id"] in body["pages"]
            and wants(each)
            and (each["unread"] or not body["unread"])
            and all(_begins(each["name"] or "", word) for word in words)
        ]
        if body["tab"] == "needs_human":
            found.sort(key=lambda each: str(each["asked"]["at"]))
        else:
            found.sort(key=lambda each: str(each["last_activity_at"]), reverse=True)
        start = int(body["cursor"] or 0)
        end = start + body["limit"]
        following = str(end) if len(found) > end else None
        return web.json_response({"conversations": found[start:end], "next": following})

    async def count(self, request: web.Request) -> web.Response:
        body = await self._body(request, "counts")
        ours = [each for each in self.rows if each["page_id"] in body["pages"]]
        counts = {
            tab: min(1000, len([each for each in ours if _tab(tab, body["by"])(each)]))
            for tab in ("needs_human", "mine", "assistant", "all", "done")
        }
        unread = len([each for each in ours if each["unread"] and not each["done"]])
        return web.json_response(counts | {"unread": unread})

    async def some(self, request: web.Request) -> web.Response:
        wanted = (await self._body(request, "rows"))["conversations"]
        found = [each for each in self.rows if each["id"] in wanted]
        return web.json_response({"conversations": found})

    async def seen(self, request: web.Request) -> web.Response:
        await self._body(request, "seen")
        return self._changed(request, {"unread": 0})

    async def done(self, request: web.Request) -> web.Response:
        body = await self._body(request, "done")
        name, known = request.match_info["conversation"], body.get("wrote_at")
        has_written = any(
            each["id"] == name and known and known < each["last_user_message_at"]
            for each in self.rows
        )
        return self._changed(request, {} if has_written else {"done": body["done"]})

    async def list_messages(self, request: web.Request) -> web.Response:
        name = request.match_info["conversation"]
        if all(each["id"] != name for each in self.rows):
            return problem(404, "not_found", "there is no such conversation")
        return web.json_response({"messages": self.messages.get(name, []), "next": None})

    async def show_stored(self, _request: web.Request) -> web.Response:
        return web.json_response(self.stored)

    async def show_takeover(self, request: web.Request) -> web.Response:
        names = ("mode", "epoch", "by", "by_name", "since", "auto_resume_at")
        found = self.row(request.match_info["conversation"])
        return web.json_response(
            {"conversation": found["id"], **{name: found[name] for name in names}}
        )

    async def list_deliveries(self, _request: web.Request) -> web.Response:
        return web.json_response({"deliveries": [], "next": None})

    def _changed(self, request: web.Request, changes: JSON) -> web.Response:
        name = request.match_info["conversation"]
        for each in self.rows:
            if each["id"] == name:
                each.update(changes)
                return web.json_response({"conversation": each})
        return problem(404, "not_found", "there is no such conversation")

    @web.middleware
    async def _checked(self, request: web.Request, handler: Any) -> web.StreamResponse:  # noqa: ANN401
        if request.headers.get("Authorization") != f"Bearer {SERVICE_TOKEN}":
            return problem(401, "unauthorized", "no")  # a page that outlives its console, perhaps
        if self.is_away:
            return problem(503, "away", "away")
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _body(self, request: web.Request, what: str) -> JSON:
        body: JSON = await request.json()
        self.calls.append((what, body))
        return body


def _tab(tab: str, by: str | None) -> Callable[[JSON], bool]:
    def place(each: JSON) -> str:
        if each["done"]:
            return "done"
        if each["mode"] == "human":
            return "human"
        return "needs_human" if each["asked"] else "assistant"

    if tab == "all":
        return lambda each: not each["done"]
    if tab == "mine":
        return lambda each: place(each) == "human" and each["by"] == by
    return lambda each: place(each) == tab


def _begins(name: str, word: str) -> bool:
    return any(each.startswith(word) for each in name.casefold().split())
