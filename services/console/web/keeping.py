"""For how long the workspace keeps messages: a form that asks twice before anything goes."""

from typing import Literal

from aiohttp import web
from pydantic import Field

from libs.common.retention import LONGEST_DAYS, SHORTEST_DAYS
from services.console.domain.keeping import (
    CHOICES,
    EVER,
    OWN,
    choice_of,
    is_shorter,
    keep_words,
)
from services.console.web.access import Access, add_page, visitor_of
from services.console.web.forms import Form, FormModel
from services.console.web.pages import ACCOUNTS, go_and_say, show

PATH = "/channels/keep-messages"
LABELS = {30: "30 days", 90: "90 days", 180: "180 days", 365: "1 year", 730: "2 years"}


class KeepForm(FormModel):
    keep: Literal["ever", "own", "30", "90", "180", "365", "730"]
    own: int | None = Field(None, ge=SHORTEST_DAYS, le=LONGEST_DAYS)
    sure: bool = False


def add_routes(app: web.Application) -> None:
    add_page(app, "GET", PATH, show_keeping, Access.ADMIN)
    add_page(app, "POST", PATH, change_keeping, Access.ADMIN)


async def show_keeping(request: web.Request) -> web.StreamResponse:
    days = visitor_of(request).workspace.keep_messages_days
    choice = choice_of(days)
    form = Form.empty(KeepForm, keep=choice, own=days if choice == OWN else None)
    return await _page(request, form)


async def change_keeping(request: web.Request) -> web.StreamResponse:
    """POST: a shorter time is only taken with the box ticked: what goes does not come back."""
    form = await Form.read(KeepForm, request)
    wanted, visitor = form.value, visitor_of(request)
    if wanted is None:
        return await _page(request, form, status=422)
    if wanted.keep == OWN and wanted.own is None:
        form.fail("own", f"Enter a number of days, {SHORTEST_DAYS} to {LONGEST_DAYS}.")
        return await _page(request, form, status=422)
    days = _days(wanted)
    if is_shorter(visitor.workspace.keep_messages_days, days) and not wanted.sure:
        form.fail("sure", "Tick this box if you want older messages to be deleted for good.")
        return await _page(request, form, status=422)
    await request.app[ACCOUNTS].get().change_keep_messages(visitor.actor, days)
    return await go_and_say(request, PATH, f"Messages are now kept {keep_words(days)}.")


def _days(wanted: KeepForm) -> int | None:
    if wanted.keep == EVER:
        return None
    return wanted.own if wanted.keep == OWN else int(wanted.keep)


async def _page(
    request: web.Request, form: Form[KeepForm], status: int = 200
) -> web.StreamResponse:
    choices = [
        (EVER, "For ever"),
        *[(str(days), LABELS[days]) for days in CHOICES],
        (OWN, "Another number of days"),
    ]
    return await show(
        request,
        "keep_messages.html",
        status=status,
        form=form,
        choices=choices,
        kept=keep_words(visitor_of(request).workspace.keep_messages_days),
        shortest=SHORTEST_DAYS,
        longest=LONGEST_DAYS,
    )
