"""What the connection doctor asks: do messages come and go on a Page, does the model answer?

`GET /internal/v1/pages/{page_id}/traffic`: `{message: {at}, reply: {at, echoed}, receipt_at}`, the
last of each, null where there is none.

`POST /internal/v1/model-check`: `{provider, model, is_own, failure, words, took_s, at}`. The model
that the service was started with (`is_own`) is asked something tiny, at most once a minute.
`POST /internal/v1/pages/{page_id}/model-check`: the same for the model of the Page's assistant.

No text of anybody is in these answers.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import structlog
from aiohttp import web

from libs.common.mongo import Database, Document, mongo_errors
from libs.common.web import Late, problem
from services.conversation.assistants.base import (
    Assistant,
    AssistantRefusedError,
    AssistantUnavailableError,
    Prompt,
)
from services.conversation.assistants.settings import AssistantSettings
from services.conversation.composing import choice_of
from services.conversation.desk import Channels
from services.conversation.domain.failures import words_for

LATEST_CONVERSATIONS = 10
LATEST_MESSAGES = 100
ASK_EVERY_S = 60.0
ANSWER_WITHIN_S = 15.0
MOST_KEPT = 200
QUESTION = Prompt(
    kind="answer",
    instructions="This is a test of the connection. Answer with the one word: ok",
    knowledge="The connection works: ok.",
    history=(),
    question="Does the connection work?",
)

log = structlog.get_logger(__name__)


class TrafficReader:
    """What was last heard and said on a Page."""

    def __init__(self, database: Database) -> None:
        self._conversations = database["conversations"]
        self._messages = database["messages"]

    async def of_page(self, page_id: str) -> dict[str, Any]:
        """As the API answers it, from the conversations that were active last."""
        fields = {"last_user_message_at": 1, "delivered_ms": 1}
        with mongo_errors():
            cursor = self._conversations.find({"page_id": page_id}, fields)
            latest = await (
                cursor.sort([("last_activity_at", -1), ("_id", -1)])
                .limit(LATEST_CONVERSATIONS)
                .to_list(LATEST_CONVERSATIONS)
            )
            replies = await self._replies([each["_id"] for each in latest])
        heard = [at for each in latest if (at := each.get("last_user_message_at"))]
        delivered_ms = max((each.get("delivered_ms") or 0 for each in latest), default=0)
        return {
            "message": {"at": max(heard).isoformat()} if heard else None,
            "reply": max(replies, key=lambda reply: reply["at"], default=None),
            "receipt_at": _moment(delivered_ms) if delivered_ms else None,
        }

    async def _replies(self, conversations: list[str]) -> list[dict[str, Any]]:
        """Parts of ours that Meta took, among the latest messages of these conversations."""
        fields = {"at": 1, "outcome.is_sent": 1, "echo.mid": 1}
        found: list[Document] = []
        for conversation in conversations:
            cursor = self._messages.find({"conversation": conversation, "direction": "out"}, fields)
            order = [("at", -1), ("_id", -1)]
            found += await cursor.sort(order).limit(LATEST_MESSAGES).to_list(LATEST_MESSAGES)
        return [
            {"at": each["at"].isoformat(), "echoed": "echo" in each}
            for each in found
            if each.get("at") and ("echo" in each or each.get("outcome", {}).get("is_sent"))
        ]


def _moment(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat()


class ModelCheck:
    """Asks a model something tiny. What that costs is worth knowing once a minute, not more often:
    whoever asks meanwhile gets the last answer."""

    def __init__(
        self,
        assistant: Assistant,
        channels: Channels,
        settings: AssistantSettings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`settings`: of the model that the service was started with."""
        self._assistant = assistant
        self._channels = channels
        self._settings = settings
        self._clock = clock
        self._kept: OrderedDict[str, _KeptAnswer] = OrderedDict()

    async def own(self) -> Document:
        """As the API answers it, for the model that the service was started with."""
        model = self._settings.model or self._settings.provider
        return await self._answer("", QUESTION, self._settings.provider, model)

    async def of_page(self, page_id: str) -> Document | None:
        """The same for the model that answers on a Page; None: no such Page."""
        channel = await self._channels.channel(page_id)
        if channel is None:
            return None
        profile = await self._channels.assistant(channel.assistant_id)
        if profile is None:
            nobody = {"is_own": False, "provider": "none", "model": "none", "at": _now()}
            return nobody | _without_answer("no_assistant")
        choice = choice_of(profile)
        if choice is None and profile.model is None:
            return await self.own()
        provider = choice.provider if choice else self._settings.provider
        prompt = replace(QUESTION, model=profile.model, choice=choice)
        key = f"{profile.id} {profile.version}"
        return await self._answer(key, prompt, provider, profile.model or provider)

    async def _answer(self, key: str, prompt: Prompt, provider: str, model: str) -> Document:
        kept = self._kept.setdefault(key, _KeptAnswer())
        self._kept.move_to_end(key)
        while len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        async with kept.asking:
            if self._clock() >= kept.until:
                kept.answer = {
                    "is_own": not key,
                    "provider": provider,
                    "model": model,
                    "at": _now(),
                    **await self._ask(prompt),
                }
                kept.until = self._clock() + ASK_EVERY_S
            return kept.answer

    async def _ask(self, prompt: Prompt) -> Document:
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                reply = await self._assistant.reply(prompt)
        except AssistantRefusedError as error:
            return _without_answer(error.cause)
        except AssistantUnavailableError as error:
            return _without_answer(error.code)
        except TimeoutError:
            return _without_answer("deadline")
        except Exception as error:  # not in the contract: the check shall say so, not break
            log.error("model_check_failed", error=type(error).__name__)
            return _without_answer("assistant_failed")
        return {"failure": None, "words": "", "took_s": reply.duration_s}


@dataclass
class _KeptAnswer:
    until: float = float("-inf")
    answer: Document = field(default_factory=dict)
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _without_answer(failure: str) -> Document:
    return {"failure": failure, "words": words_for(failure), "took_s": None}


TRAFFIC: web.AppKey[Late[TrafficReader]] = web.AppKey("traffic", Late)
MODEL: web.AppKey[Late[ModelCheck]] = web.AppKey("model", Late)


def add_check_routes(app: web.Application) -> None:
    app.router.add_get("/internal/v1/pages/{page_id}/traffic", show_traffic)
    app.router.add_post("/internal/v1/model-check", check_own_model)
    app.router.add_post("/internal/v1/pages/{page_id}/model-check", check_model_of_page)


async def show_traffic(request: web.Request) -> web.Response:
    """GET: the last message, reply, echo and receipt of a Page."""
    traffic = await request.app[TRAFFIC].get().of_page(request.match_info["page_id"])
    return web.json_response(traffic)


async def check_own_model(request: web.Request) -> web.Response:
    """POST: whether the model answers that the service was started with."""
    return web.json_response(await request.app[MODEL].get().own())


async def check_model_of_page(request: web.Request) -> web.Response:
    """POST: whether the model of a Page's assistant answers."""
    answer = await request.app[MODEL].get().of_page(request.match_info["page_id"])
    if answer is None:
        return problem(404, "not_found", "there is no such Page")
    return web.json_response(answer)
