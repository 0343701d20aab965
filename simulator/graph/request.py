"""A Graph call: where its token, proof and parameters may stand, and who makes it."""

import hmac
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from aiohttp import web
from pydantic_core import from_json

from simulator.core import Simulator
from simulator.signing import appsecret_proof
from simulator.world import refusals
from simulator.world.facebook import Token, User
from simulator.world.model import Page

NEWEST_VERSION = (26, 0)
OLDEST_VERSION = (21, 0)  # calls to older ones are served as this one
_VERSION = re.compile(r"v(\d{1,3})\.(\d)")
_JSON_START = ("{", "[", '"')


@dataclass(slots=True)
class GraphCall:
    """One call, taken apart. `params` are query and body together; the body wins."""

    method: str
    path: str
    segments: tuple[str, ...]  # without the version
    version: tuple[int, int]
    token: str | None = None
    params: dict[str, Any] = field(default_factory=dict)


def route(request: web.Request) -> GraphCall:
    """Method, version, path and header; nothing of the body has been read yet.

    Raises:
        Refusal: the version does not exist yet.
    """
    path = request.path
    segments = [unquote(part) for part in path.split("/") if part]
    version = NEWEST_VERSION
    if segments and (match := _VERSION.fullmatch(segments[0])):
        version = (int(match[1]), int(match[2]))
        segments.pop(0)
    if version > NEWEST_VERSION:
        raise refusals.unknown_path(path)
    call = GraphCall(request.method, path, tuple(segments), max(version, OLDEST_VERSION))
    scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
    call.token = bearer.strip() if scheme.lower() == "bearer" else None
    return call


async def read_params(request: web.Request, call: GraphCall) -> None:
    """Fill in token and parameters.

    Raises:
        Refusal: the body is neither a JSON object nor a form.
    """
    call.params = _values(request.query)
    if request.body_exists:
        call.params |= await _body(request)
    if call.token is None:
        given = call.params.get("access_token")
        call.token = given if isinstance(given, str) and given else None


async def _body(request: web.Request) -> dict[str, Any]:
    if request.content_type in ("application/x-www-form-urlencoded", "multipart/form-data"):
        return _values(await request.post())
    raw = await request.read()
    if not raw.strip():
        return {}
    try:
        document = from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        raise refusals.invalid("The body is not valid JSON") from error
    if not isinstance(document, dict):
        raise refusals.invalid("The body must be a JSON object")
    return document


def _values(pairs: Mapping[str, Any]) -> dict[str, Any]:
    """Form and query values may be JSON text: `recipient={"id":"1"}`."""
    return {name: _value(value) for name, value in pairs.items()}


def _value(value: object) -> object:
    if isinstance(value, str) and value.startswith(_JSON_START):
        try:
            return from_json(value, allow_inf_nan=False)
        except ValueError:
            return value
    return value


def check_token(simulator: Simulator, call: GraphCall) -> Page:
    """The Page whose token it is; then the proof.

    Raises:
        Refusal: no token, an unknown or a dead one, or one of something else than a Page; then a
            missing or a wrong proof.
    """
    if call.token is None:
        raise refusals.missing_token()
    if is_app_token(simulator, call):
        raise refusals.page_token_required()
    login = simulator.world.logins.find(call.token)
    page = simulator.world.page_of_token(call.token)
    if page is None and login is None:
        raise refusals.unknown_token()
    if login is not None:
        simulator.world.logins.check(login, simulator.now())
    elif page is not None and page.token_state != "valid":  # noqa: S105 - says how the token is
        raise refusals.dead_token(page.token_state)
    check_proof(simulator, call)
    if page is None:
        raise refusals.page_token_required()
    return page


def page_of(simulator: Simulator, call: GraphCall) -> Page:
    """The token's Page, which the path must name."""
    page = check_token(simulator, call)
    if call.segments[0] not in ("me", page.id):
        raise refusals.unknown_object(call.segments[0], call.method)
    return page


def check_user(simulator: Simulator, call: GraphCall) -> tuple[User, Token]:
    """The user whose token it is.

    Raises:
        Refusal: no token, a dead one, or none of a user; then a missing or a wrong proof.
    """
    if call.token is None:
        raise refusals.missing_token()
    token = simulator.world.logins.find(call.token)
    if token is None:
        is_known = is_app_token(simulator, call) or simulator.world.page_of_token(call.token)
        raise refusals.user_token_required() if is_known else refusals.unknown_token()
    simulator.world.logins.check(token, simulator.now())
    check_proof(simulator, call)
    user = simulator.world.logins.find_user(token.user_id)
    if user is None or token.page_id is not None:
        raise refusals.user_token_required()
    return user, token


def has_permission(simulator: Simulator, call: GraphCall, page: Page, permission: str) -> bool:
    """Whether who gave the token gave this for the Page, too.

    A Page that was connected before anybody logged in has it all, and so has the app itself.
    """
    token = simulator.world.logins.find(call.token or "")
    if token is None:
        return True
    user = simulator.world.logins.find_user(token.user_id)
    return user is not None and simulator.world.logins.has_granted(user, permission, page.id)


def require(simulator: Simulator, call: GraphCall, page: Page, *permissions: str) -> None:
    """Raises: Refusal: one of the permissions is missing."""
    for permission in permissions:
        if not has_permission(simulator, call, page, permission):
            raise refusals.permission_missing(permission)


def require_task(simulator: Simulator, call: GraphCall, page: Page, tasks: Collection[str]) -> None:
    """Raises: Refusal: who gave the token may do none of these on the Page."""
    token = simulator.world.logins.find(call.token or "")
    if token is None:
        return
    user = simulator.world.logins.find_user(token.user_id)
    if user is None or not set(tasks) & set(simulator.world.logins.tasks(user, page.id)):
        raise refusals.role_insufficient()


def check_proof(simulator: Simulator, call: GraphCall) -> None:
    proof = call.params.get("appsecret_proof")
    if not proof:
        raise refusals.proof_missing()
    expected = appsecret_proof(call.token or "", simulator.app_secret)
    if not isinstance(proof, str) or not hmac.compare_digest(proof.encode(), expected.encode()):
        raise refusals.proof_wrong()


def app_token(simulator: Simulator) -> str:
    return f"{simulator.app_id}|{simulator.app_secret}"


def is_app_token(simulator: Simulator, call: GraphCall) -> bool:
    expected = app_token(simulator)
    return call.token is not None and hmac.compare_digest(call.token.encode(), expected.encode())


def is_user_token(simulator: Simulator, call: GraphCall) -> bool:
    token = simulator.world.logins.find(call.token or "")
    return token is not None and token.page_id is None
