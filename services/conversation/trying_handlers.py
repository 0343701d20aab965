"""The internal HTTP API: an assistant is tried, without anything being sent or kept."""

import json

from aiohttp import web
from pydantic import ValidationError

from libs.common.mongo import Document
from libs.common.web import Late, invalid, problem
from services.conversation.assistants import offline
from services.conversation.domain.failures import words_for
from services.conversation.domain.turns import Answer
from services.conversation.trying import (
    TooManyTrialsError,
    Trial,
    Trials,
    UnknownAssistantError,
    UnknownPageError,
)

TRIALS: web.AppKey[Late[Trials]] = web.AppKey("trials", Late)
LARGEST_BODY = 8 << 20
"""Bytes: a knowledge text as JSON, each character perhaps escaped."""


def add_trial_routes(app: web.Application) -> None:
    app.router.add_post("/internal/v1/assistants/{assistant}/test", try_assistant)


async def try_assistant(request: web.Request) -> web.Response:
    """POST `{question, history?, page_id?, draft?}`: `{kind, text, model, duration_s, …}`.

    `text` is what the person would read. `handover` is `{reason, summary}` where a human would be
    called; `failure` is `{code, words}` where no answer could be made. `is_demo`: no language model
    has answered.
    """
    try:
        trial = Trial.model_validate(json.loads(await request.read()))
    except ValidationError as error:
        return invalid(error, "invalid")
    except (ValueError, RecursionError):
        return problem(400, "not_json", "send a JSON object")
    try:
        answer = await request.app[TRIALS].get().run(request.match_info["assistant"], trial)
    except UnknownAssistantError as error:
        return problem(404, error.code, str(error))
    except UnknownPageError as error:
        return problem(404, error.code, str(error), field="page_id")
    except TooManyTrialsError as error:
        return problem(429, error.code, str(error))
    return web.json_response(_shown(answer))


def _shown(answer: Answer) -> Document:
    handover = failure = None
    if answer.request is not None:
        handover = {"reason": answer.request.reason, "summary": answer.request.summary}
    if answer.failure is not None:
        failure = {"code": answer.failure, "words": words_for(answer.failure)}
    return {
        "kind": answer.kind,
        "text": answer.text,
        "model": answer.model,
        "duration_s": answer.duration_s,
        "input_tokens": answer.input_tokens,
        "output_tokens": answer.output_tokens,
        "handover": handover,
        "failure": failure,
        "is_demo": answer.model == offline.MODEL,
    }
