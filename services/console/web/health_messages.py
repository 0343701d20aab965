"""Messages that were held or have failed, on all Pages of a workspace, and an end for each."""

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import quote, urlencode

from aiohttp import web
from pydantic import Field, ValidationError

from services.console.deliveries import DecisionRefusedError, Deliveries, Listed
from services.console.internal import ServiceAwayError, ServiceRefusedError
from services.console.web.access import Access, add_page, visitor_of
from services.console.web.forms import Form, FormModel
from services.console.web.pages import CHANNELS, DELIVERIES, go_and_say, show

PATH = "/health/messages"
SHOWN = 50
AWAY = "The sender service gives no answer, so the list can't be read. Try again in a moment."
UNCLEAR = "The sender service gave no answer. It may have been done: look at the list again."
STATES: Mapping[str, tuple[str, str]] = {
    "held": ("warn", "Held"),
    "failed": ("bad", "Failed"),
    "again": ("calm", "Being sent"),
    "sent": ("good", "Sent"),
}
SAID = {
    "send-again": "It will be sent again. The list shows what becomes of it.",
    "discard": "It is discarded.",
}

Decision = Literal["send-again", "discard"]


class Filters(FormModel):
    """What of the list is shown; it stands in the address."""

    state: Literal["", "held", "failed"] = ""
    page: str = Field("", pattern=r"^\d{0,32}$")
    cursor: str = Field("", max_length=300)

    def address(self, **changes: str) -> str:
        wanted = {name: each for name, each in (self.model_dump() | changes).items() if each}
        return f"{PATH}?{urlencode(wanted)}" if wanted else PATH


class DecisionForm(FormModel):
    conversation: str = Field(pattern=r"^\d{1,32}:[^/\s]{1,64}$")
    send_id: str = Field(min_length=1, max_length=200)
    generation: int = Field(ge=0)
    state: Literal["", "held", "failed"] = ""
    page: str = Field("", pattern=r"^\d{0,32}$")


def add_routes(app: web.Application) -> None:
    add_page(app, "GET", PATH, overview, Access.ADMIN)
    add_page(app, "POST", f"{PATH}/send-again", send_again, Access.ADMIN)
    add_page(app, "POST", f"{PATH}/discard", discard, Access.ADMIN)


async def overview(request: web.Request) -> web.StreamResponse:
    return await _page(request, _filters(request.query))


async def send_again(request: web.Request) -> web.StreamResponse:
    return await _decide(request, "send-again")


async def discard(request: web.Request) -> web.StreamResponse:
    return await _decide(request, "discard")


async def _decide(request: web.Request, decision: Decision) -> web.StreamResponse:
    form = await Form.read(DecisionForm, request)
    if (wanted := form.value) is None:
        raise web.HTTPBadRequest(text="This names no message of the list.")
    filters = Filters(state=wanted.state, page=wanted.page)
    deliveries = request.app[DELIVERIES].get()
    decide = deliveries.send_again if decision == "send-again" else deliveries.discard
    try:
        await decide(
            visitor_of(request).actor, wanted.conversation, wanted.send_id, wanted.generation
        )
    except DecisionRefusedError as error:
        return await _page(request, filters, wrong=str(error), status=409)
    except ServiceAwayError:
        return await _page(request, filters, wrong=UNCLEAR, status=503)
    return await go_and_say(request, filters.address(), SAID[decision])


async def _page(
    request: web.Request, filters: Filters, *, wrong: str | None = None, status: int = 200
) -> web.StreamResponse:
    workspace_id = visitor_of(request).workspace.id
    channels = await request.app[CHANNELS].get().of_workspace(workspace_id)
    names = {each.channel.id: each.channel.page_name for each in channels}
    try:
        listed = await _listed(request.app[DELIVERIES].get(), workspace_id, [*names], filters)
    except ServiceAwayError:
        listed, wrong, status = Listed(deliveries=()), wrong or AWAY, 503
    except ServiceRefusedError:
        raise web.HTTPBadRequest(text="Take the address of the next page as it is.") from None
    return await show(
        request,
        "health_messages.html",
        status=status,
        listed=listed,
        names=names,
        filters=filters,
        states=STATES,
        wrong=wrong,
        conversation_path=lambda name: f"/inbox/{quote(name, safe=':')}",
    )


async def _listed(
    deliveries: Deliveries, workspace_id: str, page_ids: list[str], filters: Filters
) -> Listed:
    state = filters.state or None
    if not filters.page:
        return await deliveries.of_pages(page_ids, state, limit=SHOWN)
    cursor = filters.cursor or None
    return await deliveries.of_page(workspace_id, filters.page, state, cursor=cursor, limit=SHOWN)


def _filters(query: Mapping[str, Any]) -> Filters:
    try:
        return Filters.model_validate(dict(query))
    except ValidationError:
        raise web.HTTPBadRequest(text="This address names no list.") from None
