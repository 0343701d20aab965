"""A Graph call: where its token, proof and parameters may stand, and who makes it."""

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from aiohttp import web
from pydantic_core import from_json

from simulator.core import Simulator
from simulator.signing import appsecret_proof
from simulator.world import refusals
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
        Refusal: no token, an unknown or a dead one; then a missing or a wrong proof.
    """
    if call.token is None:
        raise refusals.missing_token()
    page = simulator.world.page_of_token(call.token)
    if page is None:
        raise refusals.unknown_token()
    if page.token_state != "valid":  # noqa: S105 - says how the token is
        raise refusals.dead_token(page.token_state)
    check_proof(simulator, call)
    return page


def check_proof(simulator: Simulator, call: GraphCall) -> None:
    proof = call.params.get("appsecret_proof")
    if not proof:
        raise refusals.proof_missing()
    expected = appsecret_proof(call.token or "", simulator.app_secret)
    if not isinstance(proof, str) or not hmac.compare_digest(proof.encode(), expected.encode()):
        raise refusals.proof_wrong()


def is_app_token(simulator: Simulator, call: GraphCall) -> bool:
    expected = f"{simulator.app_id}|{simulator.app_secret}"
    return call.token is not None and hmac.compare_digest(call.token.encode(), expected.encode())
