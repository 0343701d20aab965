"""A Page itself: what it is, which app hears of it, and what it shows before the first message.

Source: Page Subscribed Apps reference, Messenger Profile API.
"""

from simulator.core import Simulator
from simulator.graph import reads
from simulator.graph.answer import SUCCESS, Answer
from simulator.graph.login import page_facts, user_itself
from simulator.graph.request import (
    GraphCall,
    check_proof,
    check_user,
    has_permission,
    is_app_token,
    is_user_token,
    page_of,
    require,
    require_task,
)
from simulator.world import messenger_profile as rules
from simulator.world import refusals
from simulator.world.model import FIELDS, Page

_MAY_SUBSCRIBE = ("MANAGE", "MODERATE", "CREATE_CONTENT")
_WRITTEN = Answer({"result": "success"})


def object_itself(simulator: Simulator, call: GraphCall) -> Answer:
    """GET /me or GET /{page}: whoever's token it is, and Pages that this token may see."""
    if not is_user_token(simulator, call):
        return _page_itself(simulator, call)
    object_id = call.segments[0]
    page = simulator.world.find_page(object_id)
    if page is None:
        return user_itself(simulator, call)
    user, token = check_user(simulator, call)
    logins = simulator.world.logins
    if page.id not in user.roles or not logins.has_granted(user, "pages_show_list", page.id):
        raise refusals.not_public()
    wanted = reads.wanted_fields(call.params, "id,name")
    return Answer(page_facts(simulator, page, user, token, tuple(wanted)))


def _page_itself(simulator: Simulator, call: GraphCall) -> Answer:
    if is_app_token(simulator, call):
        check_proof(simulator, call)
        raise refusals.not_public() if call.segments[0] != "me" else refusals.user_token_required()
    page = page_of(simulator, call)
    known = reads.page_facts(page, simulator.base_url)
    wanted = reads.wanted_fields(call.params, "id,name")
    return Answer({name: value for name, value in known.items() if name in wanted or name == "id"})


def subscriptions(simulator: Simulator, call: GraphCall) -> Answer:
    page = _page_for_app(simulator, call)
    require(simulator, call, page, "pages_manage_metadata")
    if not page.subscribed_fields:
        return Answer({"data": []})
    app = {
        "category": "Business",
        "link": "https://example.com/",
        "name": simulator.world.logins.app.name,
        "id": simulator.app_id,
        "subscribed_fields": list(page.subscribed_fields),
    }
    return Answer({"data": [app]})


def subscribe(simulator: Simulator, call: GraphCall) -> Answer:
    """POST /{page}/subscribed_apps: the fields given replace those there were."""
    page = page_of(simulator, call)
    require(simulator, call, page, "pages_manage_metadata")
    require_task(simulator, call, page, _MAY_SUBSCRIBE)
    names = field_names(call.params.get("subscribed_fields"), "subscribed_fields")
    if not has_permission(simulator, call, page, "pages_messaging"):
        raise refusals.field_needs_permission(names[0], "pages_messaging")
    simulator.world.subscribe(page, names)
    simulator.page_changed(page)
    return SUCCESS


def field_names(given: object, param: str) -> tuple[str, ...]:
    """Webhook fields, between commas or in a list."""
    fields = given.split(",") if isinstance(given, str) else given
    if not isinstance(fields, list) or not fields:
        raise refusals.invalid(f"The parameter {param} is required")
    names = tuple(str(name).strip() for name in fields)
    for name in names:
        if name not in FIELDS:
            raise refusals.invalid(f"Param {param} has no value {name[:60]!r}")
    return names


def unsubscribe(simulator: Simulator, call: GraphCall) -> Answer:
    """DELETE /{page}/subscribed_apps: works with the app's token too, when the Page's is dead."""
    page = _page_for_app(simulator, call)
    require(simulator, call, page, "pages_manage_metadata")
    simulator.world.subscribe(page, ())
    simulator.page_changed(page)
    return SUCCESS


def _page_for_app(simulator: Simulator, call: GraphCall) -> Page:
    if not is_app_token(simulator, call):
        return page_of(simulator, call)
    check_proof(simulator, call)
    page = simulator.world.find_page(call.segments[0])
    if page is None:
        raise refusals.unknown_object(call.segments[0], call.method)
    return page


def show_profile(simulator: Simulator, call: GraphCall) -> Answer:
    """GET /me/messenger_profile?fields=…"""
    page = _page_with_profile(simulator, call)
    return Answer({"data": rules.chosen(page.messenger_profile, call.params.get("fields"))})


def write_profile(simulator: Simulator, call: GraphCall) -> Answer:
    """POST /me/messenger_profile: what is given replaces what there was, the rest stays."""
    page = _page_with_profile(simulator, call)
    simulator.page_writes_profile(page, rules.written(page.messenger_profile, call.params))
    return _WRITTEN


def remove_profile(simulator: Simulator, call: GraphCall) -> Answer:
    """DELETE /me/messenger_profile with the names in `fields`."""
    page = _page_with_profile(simulator, call)
    fields = call.params.get("fields")
    names = fields.split(",") if isinstance(fields, str) else fields
    simulator.page_writes_profile(page, rules.removed(page.messenger_profile, names))
    return _WRITTEN


def _page_with_profile(simulator: Simulator, call: GraphCall) -> Page:
    page = page_of(simulator, call)
    require(simulator, call, page, "pages_messaging")
    calls = simulator.world.limits(page).profile.add(simulator.now())
    if calls > page.behaviour.profile_calls_per_10_min:
        raise refusals.calls_per_second()
    return page
