"""The control API, `/simulator/api`: Pages, people, what they do, and how Meta behaves.

Errors are 4xx with `{"error": "<field>: <what is wrong>"}`. Moments are milliseconds since 1970.
"""

from collections.abc import Mapping
from heapq import nlargest
from typing import Any

import aiohttp
from aiohttp import web

from simulator import shown
from simulator.completions import ModelSettings
from simulator.control import bodies, logins
from simulator.control.reading import PREFIX, read_body
from simulator.core import Simulator, topic
from simulator.faults import Fault
from simulator.model_faults import ModelFault
from simulator.state import SIMULATOR
from simulator.world.model import INBOX_APP_ID, OTHER_APP_ID, Behaviour, Page, ThreadOwner
from simulator.world.world import Said

LISTED_PEOPLE = 1000
_APP_IDS: Mapping[ThreadOwner, str | None] = {
    "ours": None,
    "inbox": INBOX_APP_ID,
    "other": OTHER_APP_ID,
}


def add_routes(app: web.Application) -> None:
    logins.add_routes(app)
    page = f"{PREFIX}/pages/{{page}}"
    app.router.add_routes(
        [
            web.get(f"{PREFIX}/pages", list_pages),
            web.post(f"{PREFIX}/pages", add_page),
            web.get(f"{page}/people", list_people),
            web.post(f"{page}/people", add_person),
            web.patch(f"{page}/people/{{psid}}", change_person),
            web.post(f"{page}/people/{{psid}}/data-deletion", person_wants_deletion),
            web.post(f"{page}/messages", person_writes),
            web.post(f"{page}/postbacks", person_taps),
            web.post(f"{page}/reads", person_reads),
            web.post(f"{page}/reactions", person_reacts),
            web.post(f"{page}/inbox-messages", inbox_writes),
            web.post(f"{page}/thread-owner", thread_changes_hands),
            web.post(f"{page}/thread-requests", thread_is_requested),
            web.post(f"{page}/webhooks", post_raw_webhook),
            web.get(f"{page}/threads/{{psid}}", show_thread),
            web.put(f"{page}/token", set_token),
            web.get(f"{page}/behaviour", show_behaviour),
            web.put(f"{page}/behaviour", set_behaviour),
            web.get(f"{PREFIX}/calls", list_calls),
            web.get(f"{PREFIX}/webhooks", show_webhooks),
            web.post(f"{PREFIX}/webhooks/verify", verify_webhook),
            web.get(f"{PREFIX}/faults", list_faults),
            web.post(f"{PREFIX}/faults", add_fault),
            web.delete(f"{PREFIX}/faults", clear_faults),
            web.get(f"{PREFIX}/model", show_model),
            web.put(f"{PREFIX}/model", set_model),
            web.get(f"{PREFIX}/model/calls", list_model_calls),
            web.get(f"{PREFIX}/model/faults", list_model_faults),
            web.post(f"{PREFIX}/model/faults", add_model_fault),
            web.delete(f"{PREFIX}/model/faults", clear_model_faults),
            web.post(f"{PREFIX}/reset", reset),
        ]
    )


async def list_pages(request: web.Request) -> web.Response:
    pages = [shown.page(page) for page in request.app[SIMULATOR].world.pages]
    return web.json_response({"pages": pages})


async def add_page(request: web.Request) -> web.Response:
    simulator = request.app[SIMULATOR]
    body = await read_body(request, bodies.NewPage)
    page = simulator.world.add_page(body.name, subscribed=body.subscribed)
    simulator.page_changed(page)
    logins.give_owner(simulator, page)
    return web.json_response(shown.page(page))


async def list_people(request: web.Request) -> web.Response:
    """The Page's people, those who wrote last first, with the last message of each."""
    _, page = _page(request)
    chosen = nlargest(LISTED_PEOPLE, page.people, key=lambda psid: _last_at(page, psid))
    people = [shown.person(page.people[psid], page.threads.get(psid)) for psid in chosen]
    return web.json_response({"people": people, "count": len(page.people)})


def _last_at(page: Page, psid: str) -> int:
    thread = page.threads.get(psid)
    return thread.messages[-1].at if thread and thread.messages else 0


async def add_person(request: web.Request) -> web.Response:
    simulator, page = _page(request)
    body = await read_body(request, bodies.NewPerson)
    person = simulator.world.add_person(
        page,
        body.first_name,
        body.last_name,
        profile_pic=body.profile_pic,
        has_role=body.has_role,
        profile=body.profile,
    )
    simulator.person_changed(page, person)
    return web.json_response(shown.person(person, None))


async def change_person(request: web.Request) -> web.Response:
    """PATCH: block the Page, give or take an app role, hide the profile."""
    simulator, page = _page(request)
    body = await read_body(request, bodies.ChangedPerson)
    person = simulator.world.person(page, request.match_info["psid"])
    for name, value in body.model_dump(exclude_none=True).items():
        setattr(person, name, value)
    simulator.person_changed(page, person)
    return web.json_response(shown.person(person, page.threads.get(person.psid)))


async def person_wants_deletion(request: web.Request) -> web.Response:
    """The person wants their data deleted: `user_id`, the app's `status` and its `answer`.

    The callback names them by an app-scoped id, or by their page-scoped one if `as_psid` is set.
    """
    simulator, page = _page(request)
    body = await read_body(request, bodies.DeletionWish)
    person = simulator.world.person(page, request.match_info["psid"])
    user_id = person.psid if body.as_psid else simulator.world.name_for_app(person)
    simulator.person_changed(page, person)
    return await logins.post_deletion(simulator, user_id)


async def person_writes(request: web.Request) -> web.Response:
    """The person writes: `{mid}`, at once; the webhook goes out in the background, retried."""
    simulator, page = _page(request)
    body = await read_body(request, bodies.PersonMessage)
    attachments = [each.model_dump(exclude_none=True) for each in body.attachments or []]
    said = Said(
        body.text,
        attachments or None,
        body.quick_reply.payload if body.quick_reply else None,
        body.reply_to.mid if body.reply_to else None,
    )
    at = body.timestamp or simulator.now()
    message = simulator.person_writes(page, body.psid, said, at, copies=body.copies)
    return web.json_response({"mid": message.mid})


async def person_taps(request: web.Request) -> web.Response:
    simulator, page = _page(request)
    body = await read_body(request, bodies.PersonPostback)
    message = simulator.person_taps(page, body.psid, body.title, body.payload, copies=body.copies)
    return web.json_response({"mid": message.mid})


async def person_reads(request: web.Request) -> web.Response:
    simulator, page = _page(request)
    body = await read_body(request, bodies.PersonRead)
    thread = simulator.person_reads(page, body.psid)
    return web.json_response({"watermark": thread.read_watermark})


async def person_reacts(request: web.Request) -> web.Response:
    simulator, page = _page(request)
    body = await read_body(request, bodies.PersonReaction)
    usual = bodies.REACTIONS[body.reaction]
    emoji = (body.emoji or usual) if body.action == "react" else None
    simulator.person_reacts(page, body.psid, body.mid, body.reaction, emoji)
    return web.json_response({"mid": body.mid, "emoji": emoji})


async def inbox_writes(request: web.Request) -> web.Response:
    """Somebody answers in Meta's own inbox."""
    simulator, page = _page(request)
    body = await read_body(request, bodies.InboxMessage)
    message = simulator.inbox_writes(page, body.psid, body.text)
    return web.json_response({"mid": message.mid})


async def thread_changes_hands(request: web.Request) -> web.Response:
    """Another app has the thread from now on, or ours again: `{owner, app_id}`."""
    simulator, page = _page(request)
    body = await read_body(request, bodies.OwnerChange)
    how = body.how or ("pass" if body.app == "ours" else "take")
    thread = simulator.thread_goes_to(page, body.psid, _APP_IDS[body.app], how)
    owner_id = thread.owner or simulator.app_id
    return web.json_response({"owner": shown.owner(thread), "app_id": owner_id})


async def thread_is_requested(request: web.Request) -> web.Response:
    """Another app asks for the thread; nothing changes by that."""
    simulator, page = _page(request)
    body = await read_body(request, bodies.ControlRequest)
    app_id = _APP_IDS[body.app] or ""
    simulator.control_is_requested(page, body.psid, app_id)
    return web.json_response({"app_id": app_id})


async def post_raw_webhook(request: web.Request) -> web.Response:
    """Any body, signed and posted once, as it is: the app's status and answer."""
    simulator, _ = _page(request)
    try:
        status, answer = await simulator.webhooks.post_raw(await request.read())
    except (TimeoutError, aiohttp.ClientError) as error:
        raise web.HTTPBadGateway(text=f"webhook: {type(error).__name__}") from error
    return web.json_response({"status": status, "body": answer})


async def show_thread(request: web.Request) -> web.Response:
    simulator, page = _page(request)
    thread = simulator.world.thread(page, request.match_info["psid"])
    return web.json_response(shown.thread(thread, simulator.now()))


async def set_token(request: web.Request) -> web.Response:
    simulator, page = _page(request)
    body = await read_body(request, bodies.TokenChange)
    simulator.world.set_token(page, body.state)
    simulator.page_changed(page)
    return web.json_response(shown.page(page))


async def show_behaviour(request: web.Request) -> web.Response:
    _, page = _page(request)
    return web.json_response(page.behaviour.model_dump())


async def set_behaviour(request: web.Request) -> web.Response:
    """Only the fields that are given change, also inside `echoes` and its like."""
    simulator, page = _page(request)
    changes = await _json_object(request)
    merged = page.behaviour.model_dump()
    merged |= {name: _merged(merged.get(name), value) for name, value in changes.items()}
    simulator.world.set_behaviour(page, Behaviour.model_validate(merged))
    simulator.page_changed(page)
    return web.json_response(page.behaviour.model_dump())


def _merged(old: object, new: object) -> object:
    """The new value; of objects, what is not given stays, and `true` is short for `enabled`."""
    if not isinstance(old, dict):
        return new
    changes = {"enabled": new} if isinstance(new, bool) else new
    return {**old, **changes} if isinstance(changes, dict) else new


async def list_calls(request: web.Request) -> web.Response:
    """Graph calls in order; `page`, `psid` and `since` (a call's `n`) choose among them."""
    since = request.query.get("since", "0")
    if not since.isdecimal():
        raise web.HTTPBadRequest(text="since: must be the number of a call")
    calls = request.app[SIMULATOR].calls
    page, psid = request.query.get("page"), request.query.get("psid")
    chosen = b",".join(calls.select(page, psid, int(since)))
    body = b'{"calls": [%b], "count": %d}' % (chosen, calls.count)
    return web.Response(body=body, content_type="application/json")


async def show_webhooks(request: web.Request) -> web.Response:
    """How many wait, were posted (retries included), were answered 200 or 403, are lost."""
    webhooks = request.app[SIMULATOR].webhooks
    names = ("pending", "posted", "accepted", "forbidden", "lost")
    return web.json_response({name: getattr(webhooks, name) for name in names})


async def verify_webhook(request: web.Request) -> web.Response:
    """What happens when the webhook's address is set: `verified` if the app answers as it must."""
    simulator = request.app[SIMULATOR]
    try:
        answer = await simulator.webhooks.challenge(simulator.verify_token)
    except (TimeoutError, aiohttp.ClientError) as error:
        raise web.HTTPBadGateway(text=f"webhook: {type(error).__name__}") from error
    return web.json_response({"verified": answer.is_answered, "status": answer.status})


async def list_faults(request: web.Request) -> web.Response:
    waiting = request.app[SIMULATOR].faults.waiting()
    return web.json_response({"faults": [fault.model_dump(exclude_none=True) for fault in waiting]})


async def add_fault(request: web.Request) -> web.Response:
    fault = await read_body(request, Fault)
    request.app[SIMULATOR].faults.add(fault)
    return web.json_response(fault.model_dump(exclude_none=True))


async def clear_faults(request: web.Request) -> web.Response:
    request.app[SIMULATOR].faults.clear()
    return web.json_response({"faults": []})


async def show_model(request: web.Request) -> web.Response:
    """How the model is set, how often it was asked, and the last requests."""
    model = request.app[SIMULATOR].model
    settings = model.settings.model_dump()
    answer = {"calls": model.calls, "settings": settings, "requests": list(model.requests)}
    return web.json_response(answer)


async def set_model(request: web.Request) -> web.Response:
    """All settings at once: what is not given goes back to its default."""
    settings = await read_body(request, ModelSettings)
    request.app[SIMULATOR].model.settings = settings
    return web.json_response(settings.model_dump())


async def list_model_calls(request: web.Request) -> web.Response:
    """What the model was asked, in order; `about` chooses those whose question holds it."""
    calls = request.app[SIMULATOR].model.log.about(request.query.get("about", ""))
    return web.json_response({"calls": calls})


async def list_model_faults(request: web.Request) -> web.Response:
    return _model_faults(request)


async def add_model_fault(request: web.Request) -> web.Response:
    fault = await read_body(request, ModelFault)
    request.app[SIMULATOR].model.faults.add(fault)
    return web.json_response(fault.model_dump(exclude_none=True))


async def clear_model_faults(request: web.Request) -> web.Response:
    request.app[SIMULATOR].model.faults.clear()
    return _model_faults(request)


def _model_faults(request: web.Request) -> web.Response:
    waiting = request.app[SIMULATOR].model.faults.waiting()
    return web.json_response({"faults": [fault.model_dump(exclude_none=True) for fault in waiting]})


async def reset(request: web.Request) -> web.Response:
    await request.app[SIMULATOR].reset()
    return web.json_response({"pages": []})


def _page(request: web.Request) -> tuple[Simulator, Page]:
    simulator = request.app[SIMULATOR]
    return simulator, simulator.world.page(request.match_info["page"])


def topic_of(request: web.Request) -> str:
    """The thread that a path names, which must exist."""
    simulator, page = _page(request)
    person = simulator.world.person(page, request.match_info["psid"])
    return topic(page, person.psid)


async def _json_object(request: web.Request) -> dict[str, Any]:
    try:
        document = await request.json()
    except ValueError as error:
        raise web.HTTPBadRequest(text="body: is not JSON") from error
    if not isinstance(document, dict):
        raise web.HTTPBadRequest(text="body: must be an object")
    return document
