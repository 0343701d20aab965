"""What the Graph endpoints do. Each is synchronous: it looks, changes the world and answers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from simulator.core import Simulator
from simulator.graph import reads
from simulator.graph.request import GraphCall, check_proof, check_token, is_app_token
from simulator.world import refusals
from simulator.world.limits import CONVERSATION_CALLS_PER_S
from simulator.world.model import FIELDS, Page
from simulator.world.sending import check_send


@dataclass(frozen=True, slots=True)
class Answer:
    body: dict[str, Any]
    mid: str | None = None


Operation = Callable[[Simulator, GraphCall], Answer]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An operation and what it is called in faults and in the list of calls."""

    name: str
    run: Operation


def endpoint_of(simulator: Simulator, call: GraphCall) -> Endpoint:
    """Raises: Refusal: there is no such path, or not with this method."""
    match call.method, call.segments:
        case "POST", (_, "messages"):
            is_action = "sender_action" in call.params and "message" not in call.params
            return Endpoint("actions" if is_action else "messages", send)
        case "GET", (_, "conversations"):
            return Endpoint("conversations", conversations)
        case "GET", (_, "subscribed_apps"):
            return Endpoint("subscribed_apps", subscriptions)
        case "POST", (_, "subscribed_apps"):
            return Endpoint("subscribed_apps", subscribe)
        case "DELETE", (_, "subscribed_apps"):
            return Endpoint("subscribed_apps", unsubscribe)
        case "GET", (object_id,):
            return _object_endpoint(simulator, object_id)
    raise refusals.unknown_path(call.path)


def _object_endpoint(simulator: Simulator, object_id: str) -> Endpoint:
    if object_id.startswith("m_"):
        return Endpoint("message", message)
    if object_id.startswith("t_"):
        return Endpoint("conversations", conversation)
    if object_id == "me" or simulator.world.find_page(object_id):
        return Endpoint("me", page_itself)
    return Endpoint("profile", profile)


def send(simulator: Simulator, call: GraphCall) -> Answer:
    """POST /{page}/messages: a message or a sender action."""
    page = _page(simulator, call)
    now = simulator.now()
    calls_this_second = simulator.world.limits(page).sends.add(now)
    checked = check_send(page, call.params, now)
    if calls_this_second > page.behaviour.rate_limit_per_s:
        raise refusals.calls_per_second()
    _check_usage(simulator, page)
    if checked.action is not None:
        simulator.page_acts(page, checked)
        return Answer({"recipient_id": checked.person.psid})
    sent = simulator.page_sends(page, checked)
    return Answer({"recipient_id": checked.person.psid, "message_id": sent.mid}, sent.mid)


def conversations(simulator: Simulator, call: GraphCall) -> Answer:
    """GET /{page}/conversations, of one person (`user_id`) or newest first."""
    page = _page(simulator, call)
    _check_reads(simulator, page)
    return Answer(reads.conversations(page, call.params))


def conversation(simulator: Simulator, call: GraphCall) -> Answer:
    """GET /{thread}."""
    page = check_token(simulator, call)
    _check_reads(simulator, page)
    found = simulator.world.thread_by_id(call.segments[0])
    if found is None or found[0] is not page:
        raise refusals.unknown_object(call.segments[0], call.method)
    return Answer(reads.conversation(page, found[1], call.params))


def message(simulator: Simulator, call: GraphCall) -> Answer:
    """GET /{mid}."""
    page = check_token(simulator, call)
    _check_reads(simulator, page)
    mid = call.segments[0]
    found = simulator.world.message(mid)
    if found is None or found[0] is not page:
        raise refusals.unknown_object(mid, call.method)
    if not simulator.world.is_detailed(mid):
        raise refusals.message_gone()
    return Answer(reads.message(page, found[1], found[2], call.params))


def profile(simulator: Simulator, call: GraphCall) -> Answer:
    """GET /{psid}: name and picture, as far as the person lets apps see them."""
    page = check_token(simulator, call)
    _check_usage(simulator, page)
    person = page.people.get(call.segments[0])
    if person is None:
        raise refusals.unknown_object(call.segments[0], call.method)
    picture = f"{simulator.base_url}/avatars/{page.id}/{person.psid}.svg"
    return Answer(reads.profile(person, picture, call.params))


def page_itself(simulator: Simulator, call: GraphCall) -> Answer:
    """GET /me or GET /{page}."""
    page = _page(simulator, call)
    return Answer(reads.page(page, call.params))


def subscriptions(simulator: Simulator, call: GraphCall) -> Answer:
    page = _page_for_app(simulator, call)
    if not page.subscribed_fields:
        return Answer({"data": []})
    app = {
        "category": "Business",
        "link": "https://example.com/",
        "name": "Messenger assistant",
        "id": simulator.app_id,
        "subscribed_fields": list(page.subscribed_fields),
    }
    return Answer({"data": [app]})


def subscribe(simulator: Simulator, call: GraphCall) -> Answer:
    """POST /{page}/subscribed_apps: the fields given replace those there were."""
    page = _page(simulator, call)
    given = call.params.get("subscribed_fields")
    fields = given.split(",") if isinstance(given, str) else given
    if not isinstance(fields, list) or not fields:
        raise refusals.invalid("The parameter subscribed_fields is required")
    names = tuple(str(name).strip() for name in fields)
    for name in names:
        if name not in FIELDS:
            raise refusals.invalid(f"Param subscribed_fields has no value {name[:60]!r}")
    simulator.world.subscribe(page, names)
    simulator.page_changed(page)
    return Answer({"success": True})


def unsubscribe(simulator: Simulator, call: GraphCall) -> Answer:
    """DELETE /{page}/subscribed_apps: works with the app's token too, when the Page's is dead."""
    page = _page_for_app(simulator, call)
    simulator.world.subscribe(page, ())
    simulator.page_changed(page)
    return Answer({"success": True})


def _page(simulator: Simulator, call: GraphCall) -> Page:
    """The token's Page, which the path must name."""
    page = check_token(simulator, call)
    if call.segments[0] not in ("me", page.id):
        raise refusals.unknown_object(call.segments[0], call.method)
    return page


def _page_for_app(simulator: Simulator, call: GraphCall) -> Page:
    if not is_app_token(simulator, call):
        return _page(simulator, call)
    check_proof(simulator, call)
    page = simulator.world.find_page(call.segments[0])
    if page is None:
        raise refusals.unknown_object(call.segments[0], call.method)
    return page


def _check_reads(simulator: Simulator, page: Page) -> None:
    limits = simulator.world.limits(page)
    if limits.conversations.add(simulator.now()) > CONVERSATION_CALLS_PER_S:
        raise refusals.calls_per_second()
    _check_usage(simulator, page)


def _check_usage(simulator: Simulator, page: Page) -> None:
    if usage_percent(simulator, page) >= 100:
        raise refusals.usage_exhausted()


def usage_percent(simulator: Simulator, page: Page) -> int:
    """How much of the day's allowance is used, or what `usage_header` makes of it."""
    if page.behaviour.usage_header is not None:
        return page.behaviour.usage_header
    return simulator.world.limits(page).usage_percent(len(page.people))
