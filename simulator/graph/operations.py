"""Which endpoint a call means, and what those do that are about messages and people."""

from simulator.core import Simulator
from simulator.graph import app, login, pages, reads
from simulator.graph.answer import Answer, Endpoint
from simulator.graph.request import GraphCall, check_token, page_of, require, require_task
from simulator.world import refusals
from simulator.world.limits import CONVERSATION_CALLS_PER_S
from simulator.world.model import Page
from simulator.world.sending import check_send

_READS_THREADS = ("pages_messaging", "pages_manage_metadata", "pages_read_engagement")


def endpoint_of(simulator: Simulator, call: GraphCall) -> Endpoint:
    """Raises: Refusal: there is no such path, or not with this method."""
    match call.method, call.segments:
        case "POST", (_, "messages"):
            is_action = "sender_action" in call.params and "message" not in call.params
            return Endpoint("actions" if is_action else "messages", send)
        case "GET", (_, "conversations"):
            return Endpoint("conversations", conversations)
        case "GET" | "POST", ("oauth", "access_token"):
            return Endpoint("login", login.exchange)
        case "GET", ("debug_token",):
            return Endpoint("debug_token", login.debug_token)
        case "GET", (object_id,):
            return _object_endpoint(simulator, object_id)
        case "DELETE", (_, "permissions", _):
            return Endpoint("permissions", login.take_back)
        case method, (_, edge) if (method, edge) in _EDGES:
            return _EDGES[method, edge]
    raise refusals.unknown_path(call.path)


_EDGES = {
    ("GET", "accounts"): Endpoint("accounts", login.accounts),
    ("GET", "ids_for_pages"): Endpoint("ids_for_pages", app.ids_for_pages),
    ("GET", "permissions"): Endpoint("permissions", login.permissions),
    ("DELETE", "permissions"): Endpoint("permissions", login.take_back),
    ("GET", "subscribed_apps"): Endpoint("subscribed_apps", pages.subscriptions),
    ("POST", "subscribed_apps"): Endpoint("subscribed_apps", pages.subscribe),
    ("DELETE", "subscribed_apps"): Endpoint("subscribed_apps", pages.unsubscribe),
    ("GET", "messenger_profile"): Endpoint("messenger_profile", pages.show_profile),
    ("POST", "messenger_profile"): Endpoint("messenger_profile", pages.write_profile),
    ("DELETE", "messenger_profile"): Endpoint("messenger_profile", pages.remove_profile),
    ("GET", "subscriptions"): Endpoint("subscriptions", app.subscriptions),
    ("POST", "subscriptions"): Endpoint("subscriptions", app.subscribe),
    ("DELETE", "subscriptions"): Endpoint("subscriptions", app.unsubscribe),
}


def _object_endpoint(simulator: Simulator, object_id: str) -> Endpoint:
    if object_id.startswith("m_"):
        return Endpoint("message", message)
    if object_id.startswith("t_"):
        return Endpoint("conversations", conversation)
    world = simulator.world
    if object_id == "me" or world.find_page(object_id) or world.logins.find_user(object_id):
        return Endpoint("me", pages.object_itself)
    return Endpoint("profile", profile)


def send(simulator: Simulator, call: GraphCall) -> Answer:
    """POST /{page}/messages: a message or a sender action."""
    page = page_of(simulator, call)
    require(simulator, call, page, "pages_messaging")
    require_task(simulator, call, page, ("MESSAGING",))
    now = simulator.now()
    calls_this_second = simulator.world.limits(page).sends.add(now)
    is_open = simulator.world.logins.is_open_to_all
    checked = check_send(page, call.params, now, app_is_open=is_open)
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
    page = page_of(simulator, call)
    require(simulator, call, page, *_READS_THREADS)
    _check_reads(simulator, page)
    return Answer(reads.conversations(page, call.params))


def conversation(simulator: Simulator, call: GraphCall) -> Answer:
    """GET /{thread}."""
    page = check_token(simulator, call)
    require(simulator, call, page, *_READS_THREADS)
    _check_reads(simulator, page)
    found = simulator.world.thread_by_id(call.segments[0])
    if found is None or found[0] is not page:
        raise refusals.unknown_object(call.segments[0], call.method)
    return Answer(reads.conversation(page, found[1], call.params))


def message(simulator: Simulator, call: GraphCall) -> Answer:
    """GET /{mid}."""
    page = check_token(simulator, call)
    require(simulator, call, page, *_READS_THREADS)
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
