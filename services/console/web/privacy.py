"""A Page's people and their rights: what is stored, a copy of it, and erasing it."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from aiohttp import web
from pydantic import Field

from services.console.domain.keeping import keep_words
from services.console.internal import ServiceAwayError
from services.console.people import FOUND, People
from services.console.records import ConnectedChannel
from services.console.web.access import Access, add_page, visitor_of
from services.console.web.forms import FORM, Form, FormModel
from services.console.web.pages import (
    AUDIT,
    CONNECTING,
    ERASING,
    ERASURES,
    INTERNAL,
    go_and_say,
    render,
    show,
)

AWAY = (
    "Not all parts of the system answer at the moment, so nothing was read or changed. Try again "
    "in a moment."
)
KINDS: Mapping[str, str] = {
    "messages": "messages",
    "conversations": "conversation, with the assistant's memory of it",
    "inbox": "line in the inbox's list",
    "people": "profile: name, picture, addresses they wrote",
    "contacts": "contact",
    "deliveries": "records of what was sent",
    "kept": "messages that wait to be sent",
    "takeovers": "takeover",
    "human_messages": "keys of messages that people of yours wrote",
    "receipts": "counting state, of which only numbers stay",
}
"""How people read the names of collections."""


class FindForm(FormModel):
    find: str = Field(max_length=200)


class PersonForm(FormModel):
    psid: str = Field(pattern=r"^[0-9]{1,32}$")


def add_routes(app: web.Application) -> None:
    base = "/channels/{channel:[0-9]+}/privacy"
    add_page(app, "GET", base, overview, Access.ADMIN)
    add_page(app, "GET", f"{base}/erase", confirm, Access.ADMIN)
    add_page(app, "POST", f"{base}/erase", erase, Access.ADMIN)
    add_page(app, "GET", f"{base}/export", export, Access.ADMIN)


async def overview(request: web.Request) -> web.StreamResponse:
    channel = await _channel(request)
    wanted = request.query.get("find", "").strip()[:200]
    found, away = [], None
    if wanted:
        try:
            found = await _people(request).find(channel.id, wanted)
        except ServiceAwayError:
            away = AWAY
    return await show(
        request,
        "privacy.html",
        channel=channel,
        form=Form.empty(FindForm, find=wanted),
        wanted=wanted,
        found=found,
        is_cut=len(found) == FOUND,
        away=away,
        kinds=KINDS,
        kept=keep_words(visitor_of(request).workspace.keep_messages_days),
        erasures=await request.app[ERASURES].get().of_page(channel.id),
    )


async def confirm(request: web.Request) -> web.StreamResponse:
    channel = await _channel(request)
    return await _confirmation(request, channel, _psid(request))


async def _confirmation(
    request: web.Request, channel: ConnectedChannel, psid: str, away: str | None = None
) -> web.StreamResponse:
    name, counts = "", {}
    try:
        stored = await request.app[ERASING].get().stored_about(channel.id, psid)
        counts = {kind: n for each in stored.values() for kind, n in each.items() if n}
        name = await _people(request).name(channel.id, psid)
    except ServiceAwayError:
        away = AWAY
    form = Form.empty(PersonForm, psid=psid)
    if away:
        form.fail(FORM, away)
    return render(
        request,
        "erase_person.html",
        status=503 if away else 200,
        channel=channel,
        psid=psid,
        name=name,
        counts=counts,
        kinds=KINDS,
        form=form,
    )


async def erase(request: web.Request) -> web.StreamResponse:
    channel = await _channel(request)
    form = await Form.read(PersonForm, request)
    if form.value is None:
        raise web.HTTPBadRequest(text="A person's id has digits only.")
    erasure = await (
        request.app[ERASING].get().wished_by(visitor_of(request).actor, channel.id, form.value.psid)
    )
    words = f"The person is being erased. The request's code is {erasure.id}."
    return await go_and_say(request, f"/channels/{channel.id}/privacy#erasures", words)


async def export(request: web.Request) -> web.StreamResponse:
    """GET: everything that is stored about a person, as a JSON file; read bit by bit."""
    channel = await _channel(request)
    psid = _psid(request)
    people = _people(request)
    actor = visitor_of(request).actor
    try:
        facts = await people.facts(channel.id, psid)
    except ServiceAwayError:
        return await _confirmation(request, channel, psid)
    # the log is kept: it does not name the person
    response = web.StreamResponse(
        headers={
            "Content-Type": "application/json; charset=utf-8",
            "Content-Disposition": f'attachment; filename="person-{psid}.json"',
        }
    )
    try:
        async with (
            request.app[AUDIT]
            .get()
            .doing(actor, "person.exported", target=channel.page_name, target_id=channel.id)
        ):
            await response.prepare(request)
            await _write(response, facts, people.all_messages(channel.id, psid))
    except ServiceAwayError:  # half of it has left: the browser must not take it for the whole
        if request.transport is not None:
            request.transport.abort()
        return response
    await response.write_eof()
    return response


async def _write(
    response: web.StreamResponse,
    facts: dict[str, Any],
    messages: AsyncIterator[dict[str, Any]],
) -> None:
    head = json.dumps(facts, ensure_ascii=False, indent=1).removesuffix("\n}")
    await response.write(f'{head},\n "messages": ['.encode())
    separator = "\n  "
    async for message in messages:
        line = json.dumps(message, ensure_ascii=False)
        await response.write(f"{separator}{line}".encode())
        separator = ",\n  "
    await response.write(b"\n ]\n}\n")


def _psid(request: web.Request) -> str:
    psid = request.query.get("psid", "")
    if not psid.isascii() or not psid.isdigit() or len(psid) > 32:
        raise web.HTTPBadRequest(text="A person's id has digits only.")
    return psid


def _people(request: web.Request) -> People:
    return People(request.app[INTERNAL].get())


async def _channel(request: web.Request) -> ConnectedChannel:
    workspace = visitor_of(request).workspace
    return await request.app[CONNECTING].get().channel(workspace.id, request.match_info["channel"])
