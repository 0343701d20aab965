"""The app's own webhook: where it goes, and which fields it hears of at all.

Source: Graph API reference, /{app-id}/subscriptions; Webhooks from Meta, Getting Started.
"""

import aiohttp

from simulator.core import Simulator
from simulator.graph.answer import SUCCESS, Answer
from simulator.graph.pages import field_names
from simulator.graph.request import GraphCall, check_proof, is_app_token
from simulator.world import refusals
from simulator.world.facebook import App


def subscriptions(simulator: Simulator, call: GraphCall) -> Answer:
    """GET /{app}/subscriptions."""
    app = _app(simulator, call)
    fields = simulator.world.subscribed_fields_of_app
    if not fields:
        return Answer({"data": []})
    version = f"v{call.version[0]}.{call.version[1]}"
    page = {
        "object": "page",
        "callback_url": app.callback_url or simulator.default_callback_url,
        "active": True,
        "fields": [{"name": name, "version": version} for name in sorted(fields)],
    }
    return Answer({"data": [page]})


async def subscribe(simulator: Simulator, call: GraphCall) -> Answer:
    """POST /{app}/subscriptions: the address has to answer the challenge first."""
    app = _app(simulator, call)
    if call.params.get("object") != "page":
        raise refusals.invalid("Param object must be one of {page}")
    fields = field_names(call.params.get("fields"), "fields")
    url, token = call.params.get("callback_url"), call.params.get("verify_token")
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        raise refusals.invalid("Param callback_url must be an address")
    if token is None or token == "":
        raise refusals.invalid("The parameter verify_token is required")
    await _check_callback(simulator, url, str(token))
    app.callback_url, app.fields = url, fields
    simulator.app_changed()
    return SUCCESS


async def _check_callback(simulator: Simulator, url: str, token: str) -> None:
    try:
        challenge = await simulator.webhooks.challenge(token, url)
    except TimeoutError:
        raise refusals.callback_failed("Operation timed out") from None
    except (aiohttp.ClientError, ValueError) as error:
        raise refusals.callback_failed(type(error).__name__) from None
    if challenge.status != 200:
        raise refusals.callback_failed(f"HTTP Status Code = {challenge.status}")
    if challenge.received != challenge.expected:
        raise refusals.challenge_not_answered(challenge.expected, challenge.received)


def unsubscribe(simulator: Simulator, call: GraphCall) -> Answer:
    """DELETE /{app}/subscriptions: all of the object, or the fields that are named."""
    app = _app(simulator, call)
    if (given := call.params.get("object")) not in (None, "page"):
        raise refusals.invalid(f"There is no subscription of {str(given)[:60]!r}")
    named = call.params.get("fields")
    gone = set(field_names(named, "fields")) if named else None
    now = simulator.world.subscribed_fields_of_app
    app.fields = tuple(sorted(now - gone)) if gone is not None else ()
    simulator.app_changed()
    return SUCCESS


def _app(simulator: Simulator, call: GraphCall) -> App:
    if not is_app_token(simulator, call):
        raise refusals.app_token_required() if call.token else refusals.missing_token()
    check_proof(simulator, call)
    if call.segments[0] not in ("app", simulator.app_id):
        raise refusals.unknown_object(call.segments[0], call.method)
    return simulator.world.logins.app


def ids_for_pages(simulator: Simulator, call: GraphCall) -> Answer:
    """GET /{user}/ids_for_pages: what somebody is called on the Pages that they wrote to.

    As the app, with a proof. Source: Messenger Platform, "ID Matching".
    """
    if not is_app_token(simulator, call):
        raise refusals.app_token_required()
    check_proof(simulator, call)
    user_id = call.segments[0]
    found = [
        {"id": person.psid, "page": {"id": page.id, "name": page.name}}
        for page, person in simulator.world.people_of(user_id)
    ]
    if not found and simulator.world.logins.find_user(user_id) is None:
        raise refusals.unknown_object(user_id, call.method)
    return Answer({"data": found})
