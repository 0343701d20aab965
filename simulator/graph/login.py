"""Tokens and what a user's token tells: who they are, what they gave, which Pages they have.

Source: Manually Build a Login Flow, Long-Lived Access Tokens, Debugging access tokens, Paginated
Results.
"""

import base64
import binascii
import hmac
from typing import Any

from simulator.core import Simulator
from simulator.graph import reads
from simulator.graph.answer import SUCCESS, Answer
from simulator.graph.request import (
    GraphCall,
    app_token,
    check_proof,
    check_user,
    is_app_token,
)
from simulator.world import refusals
from simulator.world.facebook import PERMISSIONS, Token, User
from simulator.world.logins import DATA_ACCESS_MS
from simulator.world.model import Page
from simulator.world.units import Milliseconds

ACCOUNTS_AT_ONCE = 25
MOST_ACCOUNTS_AT_ONCE = 100


def exchange(simulator: Simulator, call: GraphCall) -> Answer:
    """GET or POST /oauth/access_token: for a code, for a short token, or for the app itself."""
    _check_app(simulator, call)
    logins, now = simulator.world.logins, simulator.now()
    match call.params.get("grant_type", "authorization_code"):
        case "authorization_code":
            code = _text(call, "code")
            return _issued(logins.redeem(code, _text(call, "redirect_uri"), now), now)
        case "fb_exchange_token":
            short = logins.find(_text(call, "fb_exchange_token"))
            if short is None or short.page_id is not None:
                raise refusals.unknown_token()
            return _issued(logins.extend(short, now), now)
        case "client_credentials":
            return Answer({"access_token": app_token(simulator), "token_type": "bearer"})
    raise refusals.invalid("Param grant_type is not supported")


def _check_app(simulator: Simulator, call: GraphCall) -> None:
    if _text(call, "client_id") != simulator.app_id:
        raise refusals.unknown_app()
    secret = _text(call, "client_secret")
    if not hmac.compare_digest(secret.encode(), simulator.app_secret.encode()):
        raise refusals.wrong_secret()


def _issued(token: Token, now: Milliseconds) -> Answer:
    body: dict[str, Any] = {"access_token": token.token, "token_type": "bearer"}
    if token.expires_at is not None:
        body["expires_in"] = (token.expires_at - now) // 1000
    return Answer(body)


def debug_token(simulator: Simulator, call: GraphCall) -> Answer:
    """GET /debug_token: as the app, or as somebody with a role on it."""
    if is_app_token(simulator, call):
        check_proof(simulator, call)
    else:
        user, _ = check_user(simulator, call)
        if user.app_role == "none":
            raise refusals.app_token_required()
    return Answer({"data": _token_facts(simulator, _text(call, "input_token"))})


def _token_facts(simulator: Simulator, text: str) -> dict[str, Any]:
    world, now = simulator.world, simulator.now()
    app = {"app_id": simulator.app_id, "application": world.logins.app.name}
    if hmac.compare_digest(text.encode(), app_token(simulator).encode()):
        return {**app, "type": "APP", "is_valid": True, "scopes": []}
    token = world.logins.find(text)
    page = world.page_of_token(text)
    if token is None and page is None:
        error = {"code": 190, "message": "Invalid OAuth access token - Cannot parse access token"}
        return {"error": error, "is_valid": False, "scopes": []}
    state = world.logins.trouble(token, now) if token else page.token_state if page else "valid"
    kind = {"type": "PAGE" if page else "USER", "is_valid": state == "valid"}
    facts: dict[str, Any] = {**app, **kind, **_times(token)}
    user = world.logins.find_user(token.user_id) if token else _first_admin(simulator, page)
    if user is not None:
        facts["user_id"] = user.id
    if page is not None:
        facts["profile_id"] = page.id
    if state != "valid":
        error = refusals.dead_token(state).body("")["error"]
        told = {"code": error["code"], "message": error["message"]}
        told["subcode"] = error["error_subcode"]
        return {**facts, "error": told, "scopes": []}
    if token is None:  # of a Page that was connected before anybody logged in
        return {**facts, "scopes": sorted(PERMISSIONS)}
    scopes = [name for name in PERMISSIONS if user and world.logins.has_granted(user, name)]
    chosen = user.chosen_pages if user else []
    granular = [
        {"scope": name, "target_ids": list(chosen)} for name in scopes if name.startswith("pages_")
    ]
    return {**facts, "scopes": scopes, "granular_scopes": granular}


def _times(token: Token | None) -> dict[str, int]:
    if token is None:
        return {"issued_at": 0, "expires_at": 0}
    return {
        "issued_at": token.issued_at // 1000,
        "expires_at": token.expires_at // 1000 if token.expires_at is not None else 0,
        "data_access_expires_at": (token.issued_at + DATA_ACCESS_MS) // 1000,
    }


def _first_admin(simulator: Simulator, page: Page | None) -> User | None:
    users = simulator.world.logins.users
    return next((user for user in users if page and user.roles.get(page.id) == "admin"), None)


def user_itself(simulator: Simulator, call: GraphCall) -> Answer:
    """GET /me or /{user}: id and name."""
    user, _ = check_user(simulator, call)
    known = {"id": user.id, "name": user.name}
    wanted = reads.wanted_fields(call.params, "id,name")
    return Answer({name: known[name] for name in known if name in wanted or name == "id"})


def permissions(simulator: Simulator, call: GraphCall) -> Answer:
    """GET /me/permissions: what was asked for and what the user said."""
    user, _ = check_user(simulator, call)
    data = [
        {"permission": name, "status": status}
        for name, status in user.permissions.items()
        if status == "declined" or simulator.world.logins.has_granted(user, name)
    ]
    return Answer({"data": data})


def take_back(simulator: Simulator, call: GraphCall) -> Answer:
    """DELETE /me/permissions: the user removes the app; with a name, one permission of it."""
    user, _ = check_user(simulator, call)
    if len(call.segments) == 2:
        simulator.user_removes_app(user)
        return SUCCESS
    name = call.segments[2]
    if name not in user.permissions or name == "public_profile":
        raise refusals.invalid(f"Permission {name[:60]} was not granted or cannot be revoked")
    simulator.world.logins.decline(user, name)
    return SUCCESS


def accounts(simulator: Simulator, call: GraphCall) -> Answer:
    """GET /me/accounts: the Pages that the user has a role on and ticked, published ones only.

    Cut into pages before it is sifted, as Meta does: one may be short or empty and go on.
    """
    user, token = check_user(simulator, call)
    logins = simulator.world.logins
    all_pages = simulator.world.pages_of(user)
    if not logins.has_granted(user, "pages_show_list"):
        return Answer({"data": []})
    size = min(reads.number(call.params, "limit", ACCOUNTS_AT_ONCE), MOST_ACCOUNTS_AT_ONCE)
    if size == 0:
        raise refusals.invalid("Param limit must be greater than 0")
    start = _start(call, size)
    wanted = reads.wanted_fields(call.params, "access_token,category,name,id,tasks")
    cut = all_pages[start : start + size]
    data = [
        page_facts(simulator, page, user, token, tuple(wanted))
        for page in cut
        if page.id in user.chosen_pages and page.behaviour.published
    ]
    return Answer({"data": data} | _paging(simulator, call, start, len(cut), len(all_pages), size))


def _start(call: GraphCall, size: int) -> int:
    after, before = call.params.get("after"), call.params.get("before")
    if after is not None:
        return _position(after) + 1
    return max(0, _position(before) - size) if before is not None else 0


def _position(cursor: object) -> int:
    try:
        return int(base64.urlsafe_b64decode(str(cursor)))
    except (ValueError, binascii.Error):
        raise refusals.invalid("Invalid cursors values") from None


def _cursor(position: int) -> str:
    return base64.urlsafe_b64encode(str(position).encode()).decode()


def _paging(
    simulator: Simulator, call: GraphCall, start: int, count: int, total: int, size: int
) -> dict[str, Any]:
    if count == 0:
        return {}
    cursors = {"before": _cursor(start), "after": _cursor(start + count - 1)}
    paging: dict[str, Any] = {"cursors": cursors}
    if start + count < total:
        version = f"v{call.version[0]}.{call.version[1]}"
        address = f"{simulator.base_url}/{version}/{call.segments[0]}/accounts"
        paging["next"] = (
            f"{address}?access_token={call.token}&limit={size}&after={cursors['after']}"
        )
    return {"paging": paging}


def page_facts(
    simulator: Simulator, page: Page, user: User, token: Token, wanted: tuple[str, ...]
) -> dict[str, Any]:
    """A Page as a user with a role on it sees it, with a token of its own."""
    known = reads.page_facts(page, simulator.base_url)
    shown = {name: known[name] for name in wanted if name in known}
    if "tasks" in wanted:
        shown["tasks"] = list(simulator.world.logins.tasks(user, page.id))
    if "access_token" in wanted:
        logins, now = simulator.world.logins, simulator.now()
        shown["access_token"] = logins.page_token(token, page.id, now).token
    return {**shown, "id": page.id}


def _text(call: GraphCall, name: str) -> str:
    given = call.params.get(name)
    if isinstance(given, int) and not isinstance(given, bool):
        given = str(given)
    if not isinstance(given, str) or not given:
        raise refusals.invalid(f"Missing {name} parameter.")
    return given
