"""What is done to a conversation: taken over, returned, written in, decided about.

Forms without scripts get a page; the inbox's own script asks with `X-Requested-With: inbox` and
gets JSON: `{"ok", "code", "words", …}`, and what was typed stays where it is.
"""

import secrets
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import Field, StringConstraints, model_validator

from libs.common.splitting import split_typed
from services.console.deliveries import DecisionRefusedError
from services.console.domain.composer import (
    LONGEST,
    LONGEST_TEXT,
    SHORTEST,
    is_timer,
    timer_words,
)
from services.console.internal import ServiceAwayError
from services.console.takeovers import Accepted, TakeoverRefusedError
from services.console.web.access import Access, add_page, visitor_of
from services.console.web.forms import FORM, Form, FormModel
from services.console.web.live import touched
from services.console.web.pages import DELIVERIES, INBOX, TAKEOVERS, go_and_say, render
from services.console.web.thread import BASE, row_of, thread_context

SEND_ID = "{send_id:[0-9A-Za-z:_.-]{1,120}}"
AWAY = "A part of the system gives no answer. Asking again does no harm: it is done once."
NOT_SURE = (
    "No answer came, so the message may be on its way. Send it again as it is: it is sent once."
)
Key = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{8,100}$")]


class TimerForm(FormModel):
    """When the assistant returns by itself: a number of minutes, `none`, or `own` beside it."""

    minutes: str = "none"
    own: str | None = None
    take_from: str | None = Field(None, max_length=200)

    @property
    def chosen(self) -> int | None:
        """None: when somebody returns it."""
        typed = self.own or "" if self.minutes == "own" else self.minutes
        return None if typed == "none" else int(typed)

    @model_validator(mode="after")
    def _is_possible(self) -> "TimerForm":
        typed = (self.own or "").strip() if self.minutes == "own" else self.minutes
        if typed != "none" and not is_timer(typed):
            raise ValueError(
                f"choose after how many minutes the assistant returns: {SHORTEST} to {LONGEST:,}"
            )
        return self


class MessageForm(FormModel):
    """What somebody writes, and whether they take over to do so. `again`: no answer came before."""

    text: str = Field(max_length=LONGEST_TEXT)
    key: Key
    take: Literal["yes"] | None = None
    again: Literal["yes"] | None = None
    take_from: str | None = Field(None, max_length=200)
    minutes: str | None = None


class TextForm(FormModel):
    text: str = Field("", max_length=LONGEST_TEXT)


class DecisionForm(FormModel):
    generation: int | None = Field(None, ge=0)


def add_routes(app: web.Application) -> None:
    for path, handler in (
        ("take-over", take_over),
        ("extend", extend),
        ("resume", resume),
        ("messages", write),
        ("parts", count_parts),
        (f"deliveries/{SEND_ID}/send-again", send_again),
        (f"deliveries/{SEND_ID}/discard", discard),
    ):
        add_page(app, "POST", f"{BASE}/{path}", handler, Access.ADMIN)


async def take_over(request: web.Request) -> web.StreamResponse:
    form = await Form.read(TimerForm, request)
    if form.value is None:
        return await _refused(request, 422, "invalid", _first(form))
    minutes, take_from = form.value.chosen, form.value.take_from
    actor, conversation = visitor_of(request).actor, request.match_info["conversation"]
    back = "" if minutes is None else f" The assistant returns after {timer_words(minutes)}."
    return await _done(
        request,
        lambda: request.app[TAKEOVERS].get().take(actor, conversation, minutes, take_from),
        f"You have this conversation now.{back}",
    )


async def extend(request: web.Request) -> web.StreamResponse:
    form = await Form.read(TimerForm, request)
    minutes = form.value.chosen if form.value else None
    if minutes is None:
        words = _first(form) if form.errors else "Choose when the assistant returns."
        return await _refused(request, 422, "invalid", words)
    actor, conversation = visitor_of(request).actor, request.match_info["conversation"]
    return await _done(
        request,
        lambda: request.app[TAKEOVERS].get().extend(actor, conversation, minutes),
        f"The assistant returns after {timer_words(minutes)}.",
    )


async def resume(request: web.Request) -> web.StreamResponse:
    actor, conversation = visitor_of(request).actor, request.match_info["conversation"]
    return await _done(
        request,
        lambda: request.app[TAKEOVERS].get().resume(actor, conversation),
        "The assistant has this conversation again. It answers the person's next message.",
    )


async def write(request: web.Request) -> web.StreamResponse:
    """POST: sent once for each `key`. With `take`, the conversation is taken over first."""
    form = await Form.read(MessageForm, request)
    given = form.value
    typed = {"typed": form["text"], "key": form["key"] or secrets.token_urlsafe(18)}
    if given is None:
        if form.error("key"):
            typed["key"] = secrets.token_urlsafe(18)
        return await _refused(request, 422, "invalid", _first(form), **typed)
    try:
        accepted = await _written(request, given)
    except TakeoverRefusedError as error:
        typed["confirm"] = _confirmation(error)
        if error.reason == "idempotency_key_reused":
            typed["key"] = secrets.token_urlsafe(18)
        return await _refused(request, 409, error.reason, str(error), **typed)
    except ServiceAwayError:
        return await _refused(request, 503, "service_away", NOT_SURE, **typed)
    words = "Sent." if accepted.waits_for is None else "It waits until the Page is connected again."
    return await _said(request, words, command_id=accepted.command_id, waits_for=accepted.waits_for)


async def _written(request: web.Request, given: MessageForm) -> Accepted:
    """Asked for again after a lost answer, it may be on its way: then nothing is taken over for it,
    whoever has the conversation by now."""
    actor, conversation = visitor_of(request).actor, request.match_info["conversation"]
    takeovers = request.app[TAKEOVERS].get()
    if given.again or not given.take:
        try:
            return await takeovers.write(actor, conversation, given.text, given.key)
        except TakeoverRefusedError as error:
            if not given.take or error.reason not in ("not_taken_over", "taken_by_other"):
                raise
    minutes = await _chosen(request, given.minutes)
    await takeovers.take(actor, conversation, minutes, given.take_from)
    return await takeovers.write(actor, conversation, given.text, given.key)


def _confirmation(error: TakeoverRefusedError) -> dict[str, Any] | None:
    """What one has to agree to before it can be sent."""
    if error.reason == "not_taken_over":
        return {"who": "The assistant", "take_from": None}
    if error.reason in ("taken_by_other", "already_taken"):
        return {"who": error.facts.get("by_name") or "Somebody", "take_from": error.facts["by"]}
    return None


async def count_parts(request: web.Request) -> web.StreamResponse:
    """POST `text`: how many messages it takes on this Page."""
    form = await Form.read(TextForm, request)
    if form.value is None:
        return web.json_response({"ok": False, "words": _first(form)}, status=422)
    workspace, conversation = visitor_of(request).workspace, request.match_info["conversation"]
    channel = await request.app[INBOX].get().page_of(workspace.id, conversation)
    parts = split_typed(form.value.text, channel.settings.max_message_length)
    return web.json_response({"ok": True, "parts": len(parts)})


async def send_again(request: web.Request) -> web.StreamResponse:
    return await _decide(request, "send_again", "It is being sent again.")


async def discard(request: web.Request) -> web.StreamResponse:
    return await _decide(request, "discard", "It is off the list, and is not sent.")


async def _decide(
    request: web.Request, what: Literal["send_again", "discard"], words: str
) -> web.StreamResponse:
    form = await Form.read(DecisionForm, request)
    if form.value is None:
        return await _refused(request, 422, "invalid", _first(form))
    generation = form.value.generation
    office, actor = request.app[DELIVERIES].get(), visitor_of(request).actor
    decide = office.send_again if what == "send_again" else office.discard
    conversation, send_id = request.match_info["conversation"], request.match_info["send_id"]
    return await _done(request, lambda: decide(actor, conversation, send_id, generation), words)


async def _done(
    request: web.Request, what: Callable[[], Awaitable[object]], words: str
) -> web.StreamResponse:
    try:
        await what()
    except TakeoverRefusedError as error:
        return await _refused(request, 409, error.reason, str(error))
    except DecisionRefusedError as error:
        return await _refused(request, 409, error.reason, str(error))
    except ServiceAwayError:
        return await _refused(request, 503, "service_away", AWAY)
    return await _said(request, words)


async def _said(request: web.Request, words: str, **facts: Any) -> web.StreamResponse:  # noqa: ANN401
    touched(request, request.match_info["conversation"])
    if is_script(request):
        return web.json_response({"ok": True, "words": words, **facts})
    return await go_and_say(request, f"/inbox/{request.match_info['conversation']}", words)


async def _refused(
    request: web.Request,
    status: int,
    code: str,
    words: str,
    **said: Any,  # noqa: ANN401 - of thread_context
) -> web.StreamResponse:
    if is_script(request):
        return web.json_response({"ok": False, "code": code, "words": words}, status=status)
    context = await thread_context(request, await row_of(request), problem=words, **said)
    return render(request, "thread_page.html", status=status, **context)


def is_script(request: web.Request) -> bool:
    return request.headers.get("X-Requested-With") == "inbox"


async def _chosen(request: web.Request, minutes: str | None) -> int | None:
    """Of a message that takes over on its way; else what the Page's settings say."""
    if minutes == "none":
        return None
    if minutes and is_timer(minutes):
        return int(minutes)
    workspace, conversation = visitor_of(request).workspace, request.match_info["conversation"]
    channel = await request.app[INBOX].get().page_of(workspace.id, conversation)
    return channel.settings.auto_resume_minutes


def _first(form: Form[Any]) -> str:
    """What is wrong, in one sentence."""
    return form.error(FORM) or next(iter(form.errors.values()), "This can't be used.")
