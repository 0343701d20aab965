"""Connecting Pages: off to Facebook, back again, choosing, done; and what can go wrong."""

from collections.abc import Sequence
from dataclasses import dataclass

from aiohttp import web
from pydantic import Field

from services.console.connecting import (
    CALLBACK,
    Choice,
    LoginCancelledError,
    LoginFailedError,
    StateRefusedError,
)
from services.console.domain.facebook_login import FIELDS, PERMISSIONS, StateProblem
from services.console.domain.no_pages import MEANINGS
from services.console.records import PageResult
from services.console.web.access import SETTINGS, Access, add_page, visitor_of
from services.console.web.forms import FORM, Form, FormModel
from services.console.web.pages import CHANNELS, CONNECTING, go_and_say, go_to, render, show
from services.console.web.verify import WEBHOOK, is_simulator


class ConnectForm(FormModel):
    """Off to Facebook. `again`: ask for what was declined, too; `page`: the one to renew."""

    again: bool = False
    page: str | None = Field(None, max_length=64)


class ChoiceForm(FormModel):
    pages: tuple[str, ...] = Field((), min_length=1, max_length=100, validate_default=True)
    assistant: str | None = Field(None, max_length=100)


@dataclass(frozen=True)
class Refused:
    """A way back from Facebook that leads nowhere."""

    title: str
    words: str
    status: int = 400
    ask_again: bool = False


WITHOUT = {
    "pages_read_engagement": "The Page can be connected without it, but what was sent can't be "
    "looked up at Facebook: an answer whose sending is in doubt is held for you to decide. Log in "
    "again to give it.",
}
"""What it costs to do without a permission that is not required."""

CANCELLED = Refused(
    "Nothing was connected",
    "Facebook's dialog was cancelled. If it wasn't you: Facebook does the same while the app is in "
    "development mode and you have no role on it.",
    status=200,
)
STATES: dict[StateProblem, Refused] = {
    "unknown": Refused(
        "This answer isn't known here",
        "The console never asked Facebook for it, or too long ago. Nothing was connected.",
    ),
    "foreign": Refused(
        "This answer belongs to another session",
        "The log-in was begun in another browser, or before you signed in anew. Nothing was "
        "connected. Begin again here.",
        status=403,
    ),
    "used": Refused(
        "This answer was used already",
        "Perhaps the page was loaded twice, or you went back. Nothing more was connected.",
    ),
    "expired": Refused(
        "That took too long",
        "A log-in at Facebook is good for ten minutes. Nothing was connected.",
    ),
}


def add_routes(app: web.Application) -> None:
    add_page(app, "GET", "/channels/connect", show_connect, Access.ADMIN)
    add_page(app, "POST", "/channels/connect", begin, Access.ADMIN)
    add_page(app, "GET", "/channels/connect/facebook", show_authorise, Access.ADMIN)
    add_page(app, "GET", CALLBACK, come_back, Access.ADMIN)
    add_page(app, "GET", "/channels/connect/{login}", show_choice, Access.ADMIN)
    add_page(app, "POST", "/channels/connect/{login}", choose, Access.ADMIN)
    add_page(app, "GET", "/channels/connect/{login}/done", show_done, Access.ADMIN)


async def show_connect(request: web.Request) -> web.StreamResponse:
    """Step 1: which Facebook app it is, and what its dashboard has to say."""
    settings = request.app[SETTINGS]
    webhook = f"{settings.webhook.public_url}{WEBHOOK}"
    here = is_simulator(settings)
    return await show(
        request,
        "connect.html",
        app_id=settings.graph.facebook_app_id,
        api_version=settings.graph.graph_api_version,
        dialog_url=settings.facebook.facebook_dialog_url.rstrip("/"),
        config_id=settings.facebook.facebook_login_config_id,
        redirect_url=f"{settings.site.console_url}{CALLBACK}",
        webhook_url=webhook,
        fields=FIELDS,
        is_simulator=here,
        is_unreachable=not here and not webhook.startswith("https://"),
    )


async def show_authorise(request: web.Request) -> web.StreamResponse:
    """Step 2: what Facebook is going to ask."""
    form = Form.empty(ConnectForm)
    extra = request.app[SETTINGS].facebook.extra_permissions
    names = dict.fromkeys((*PERMISSIONS, *extra))
    asked = [(name, MEANINGS.get(name, "asked for by this installation")) for name in names]
    return await show(request, "authorise.html", form=form, permissions=asked)


async def begin(request: web.Request) -> web.StreamResponse:
    """A page that leads on to Facebook: a form may not (`form-action 'self'`)."""
    form = await Form.read(ConnectForm, request)
    given = form.value or ConnectForm()
    url = await (
        request.app[CONNECTING]
        .get()
        .begin(visitor_of(request), ask_again=given.again, wanted_page=given.page)
    )
    return render(request, "lead_on.html", url=url)


async def come_back(request: web.Request) -> web.StreamResponse:
    """GET, as Facebook leads there. It changes something, and only for whoever has a `state`."""
    query = request.query
    try:
        login = await (
            request.app[CONNECTING]
            .get()
            .answered(
                visitor_of(request),
                state=query.get("state", ""),
                code=query.get("code") or None,
                error=query.get("error"),
            )
        )
    except StateRefusedError as error:
        return _refused(request, STATES[error.problem])
    except LoginCancelledError as error:
        return _refused(request, CANCELLED, error.wanted_page)
    except LoginFailedError as error:
        words = f"{error.words} Nothing was connected."
        return _refused(request, Refused("Facebook's answer can't be used", words, status=502))
    return go_to(request, f"/channels/connect/{login.id}")


async def show_choice(request: web.Request) -> web.StreamResponse:
    choice = await _choice(request)
    possible = [each.page.id for each in choice.pages if each.standing.can_be_chosen]
    wanted = choice.login.wanted_page
    ticked = [wanted] if wanted in possible else possible if len(possible) == 1 else []
    return await _choice_page(request, choice, Form.empty(ChoiceForm, pages=ticked))


async def choose(request: web.Request) -> web.StreamResponse:
    choice = await _choice(request)
    form = await Form.read(ChoiceForm, request)
    assistants = dict(await _assistants(request))
    if (given := form.value) is not None:
        known = {each.page.id for each in choice.pages if each.standing.can_be_chosen}
        if not set(given.pages) <= known or not choice.can_choose:
            form.fail(FORM, "Not all of these can be connected any more. Look at the list again.")
        elif given.assistant is not None and given.assistant not in assistants:
            form.fail("assistant", "This assistant is gone. Choose another one.")
        else:
            results = await (
                request.app[CONNECTING]
                .get()
                .connect(visitor_of(request), choice.login.id, given.pages, given.assistant)
            )
            return await _to_what_came_of_it(request, choice.login.id, results)
    return await _choice_page(request, choice, form, status=422)


async def _to_what_came_of_it(
    request: web.Request, login_id: str, results: Sequence[PageResult]
) -> web.StreamResponse:
    """One Page that is connected is verified at once; else all of it is told first."""
    if len(results) != 1 or results[0].outcome == "failed":
        return go_to(request, f"/channels/connect/{login_id}/done")
    again = " again. Settings and history are as they were"
    words = again if results[0].outcome == "reconnected" else ""
    return await go_and_say(
        request,
        f"/channels/{results[0].page_id}/verify",
        f"“{results[0].page_name}” is connected{words}.",
    )


async def show_done(request: web.Request) -> web.StreamResponse:
    choice = await _choice(request)
    return await show(
        request,
        "connected.html",
        login=choice.login,
        good=[each for each in choice.login.results if each.outcome != "failed"],
        bad=[each for each in choice.login.results if each.outcome == "failed"],
    )


async def _choice(request: web.Request) -> Choice:
    return await (
        request.app[CONNECTING].get().choice(visitor_of(request), request.match_info["login"])
    )


async def _assistants(request: web.Request) -> list[tuple[str, str]]:
    """Id and name of who may answer."""
    workspace = visitor_of(request).workspace
    return await request.app[CHANNELS].get().assistants(workspace.id)


async def _choice_page(
    request: web.Request, choice: Choice, form: Form[ChoiceForm], status: int = 200
) -> web.StreamResponse:
    wanted = choice.login.wanted_page
    return render(
        request,
        "choose_pages.html",
        status=status,
        lacks_wanted=wanted is not None and wanted not in {each.page.id for each in choice.pages},
        choice=choice,
        form=form,
        offered=[
            (each.page.id, each.page.name, each.standing.words)
            for each in choice.pages
            if each.standing.can_be_chosen
        ],
        others=[each for each in choice.pages if not each.standing.can_be_chosen],
        assistants=await _assistants(request),
        lacking=[(name, WITHOUT[name]) for name in choice.not_given if name in WITHOUT],
        asks_again=any(cause.ask_again for cause in choice.causes),
        again=Form.empty(ConnectForm),
    )


def _refused(
    request: web.Request, refused: Refused, wanted_page: str | None = None
) -> web.Response:
    """`wanted_page`: the one that was to be connected again, and still is."""
    return render(
        request,
        "connect_failed.html",
        status=refused.status,
        refused=refused,
        wanted_page=wanted_page,
    )
