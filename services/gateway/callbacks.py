"""What Meta calls with a `signed_request`: somebody removed the app, or wants to be forgotten."""

import hashlib
import hmac
import re
from base64 import b32encode
from datetime import UTC, datetime
from urllib.parse import parse_qs

from aiohttp import web

from libs.common.events import PageDeauthorized, PersonDeletionRequested, derived_id
from services.gateway.bodies import RefusedError
from services.gateway.domain.signature import (
    BadSignatureError,
    MalformedRequestError,
    SignedRequest,
    parse_signed_request,
)
from services.gateway.handlers import SETTINGS, body_of, publish, refusal

EVERY_PAGE = "*"  # Meta names the user, not the Pages: those who know them act

DELETION_PATH = "/webhooks/messenger/data-deletion"
_CODE = re.compile(r"[a-z2-7]{26}")


def add_routes(app: web.Application) -> None:
    app.router.add_post("/webhooks/messenger/deauthorize", deauthorize)
    app.router.add_post(DELETION_PATH, request_deletion)
    app.router.add_get(f"{DELETION_PATH}/{{code}}", deletion_status, allow_head=False)


async def deauthorize(request: web.Request) -> web.Response:
    """POST: the person who connected Pages removed the app."""
    try:
        signed = await _signed_request(request)
        event = PageDeauthorized(
            event_id=derived_id("page.deauthorized", signed.user_id, signed.issued_at),
            page_id=EVERY_PAGE,
            occurred_at=signed.issued_at,
            user_id=signed.user_id,
        )
        await publish(request.app, [event])
    except RefusedError as error:
        return refusal(error)
    return web.json_response({"success": True})


async def request_deletion(request: web.Request) -> web.Response:
    """POST: answers where the person can look up what became of the wish."""
    try:
        signed = await _signed_request(request)
        code = confirmation_code(signed, request.app[SETTINGS].meta.secrets[0])
        event = PersonDeletionRequested(
            event_id=derived_id("person.deletion_requested", signed.user_id, signed.issued_at),
            page_id=EVERY_PAGE,
            occurred_at=signed.issued_at,
            user_id=signed.user_id,
            confirmation_code=code,
        )
        await publish(request.app, [event])
    except RefusedError as error:
        return refusal(error)
    return web.json_response({"url": _status_page(request, code), "confirmation_code": code})


async def deletion_status(request: web.Request) -> web.Response:
    """GET: leads to the console, which knows what became of it. Meta may have the old address."""
    code = request.match_info["code"]
    if not _CODE.fullmatch(code):
        raise web.HTTPNotFound(text="There is no such confirmation code.")
    raise web.HTTPFound(_status_page(request, code))


def _status_page(request: web.Request, code: str) -> str:
    return f"{request.app[SETTINGS].meta.console_url}/data-deletion/{code}"


def confirmation_code(signed: SignedRequest, secret: str) -> str:
    """The same for a repeated request, not to be guessed by others (26 characters of base 32)."""
    message = f"data-deletion:{signed.user_id}:{signed.issued_at.isoformat()}"
    digest = hmac.new(secret.encode(), message.encode(), hashlib.sha256).digest()
    return b32encode(digest).decode().lower()[:26]


async def _signed_request(request: web.Request) -> SignedRequest:
    body = await body_of(request, request.app[SETTINGS])
    try:
        form = parse_qs(body.decode("utf-8", "replace"), max_num_fields=20)
    except ValueError:
        raise RefusedError("malformed", 400, "the body is not a form") from None
    value = form.get("signed_request", [""])[0]
    try:
        secrets = request.app[SETTINGS].meta.secrets
        return parse_signed_request(value, secrets, datetime.now(UTC))
    except BadSignatureError as error:
        raise RefusedError("bad_signature", 403, str(error)) from None
    except MalformedRequestError as error:
        raise RefusedError("malformed", 400, str(error)) from None
