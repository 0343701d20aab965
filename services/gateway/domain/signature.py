"""Whether Meta sent this: signatures of webhooks and of `signed_request` callbacks.

Source: Messenger Platform, "Webhooks: validate payloads"; Facebook Login, "Data deletion request
callback". Both are HMAC-SHA256 with the app secret, over exactly the bytes that came.
"""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from libs.common.errors import PermanentError
from services.gateway.domain.values import identifier, moment

_PREFIX = "sha256="


class BadSignatureError(PermanentError):
    """Not signed with one of our secrets."""

    code = "bad_signature"


class MalformedRequestError(PermanentError):
    """Signed by us, but it does not say what it has to say."""

    code = "malformed"


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """What a callback says. `user_id` is app-scoped: who connected a Page, never a PSID."""

    user_id: str
    issued_at: datetime


def is_valid_signature(body: bytes, header: str | None, secrets: Sequence[str]) -> bool:
    """Tell whether `header` (X-Hub-Signature-256) signs `body`, in constant time.

    Exactly `sha256=` and 64 lowercase hex digits over the raw bytes: SHA-1, upper case, spaces and
    re-encoded JSON are all refused. Several secrets are accepted while a new one is rolled out;
    the later ones cost an HMAC only when the earlier ones do not fit.
    """
    if header is None:
        return False
    given = header.encode("utf-8", "surrogateescape")
    for secret in secrets:
        expected = _PREFIX + hmac.digest(secret.encode(), body, "sha256").hex()
        if hmac.compare_digest(given, expected.encode()):
            return True
    return False


def parse_signed_request(
    value: str, secrets: Sequence[str], received_at: datetime
) -> SignedRequest:
    """Read a `signed_request`: `<signature>.<payload>`, both base64url without padding.

    The signature is over the *encoded* payload: padding it before hashing is a known mistake.

    Raises:
        BadSignatureError: none of the secrets fits.
        MalformedRequestError: a good signature over something else than a request of a user.
    """
    signature, _, payload = value.partition(".")
    given = signature.encode("utf-8", "surrogatepass")
    message = payload.encode("utf-8", "surrogatepass")
    if not any(hmac.compare_digest(given, _short_signature(message, key)) for key in secrets):
        raise BadSignatureError("the signed_request is not signed with our secret")
    return _read(_decoded(message), received_at)


def _short_signature(message: bytes, secret: str) -> bytes:
    digest = hmac.new(secret.encode(), message, hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=")


def _decoded(message: bytes) -> object:
    try:
        return json.loads(base64.urlsafe_b64decode(message + b"=" * (-len(message) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        raise MalformedRequestError("the payload is not base64url of JSON") from None


def _read(payload: object, received_at: datetime) -> SignedRequest:
    if not isinstance(payload, dict):
        raise MalformedRequestError("the payload is not an object")
    if str(payload.get("algorithm")).upper() != "HMAC-SHA256":
        raise MalformedRequestError("the algorithm is not HMAC-SHA256")
    user_id = identifier(payload.get("user_id"))
    if user_id is None:
        raise MalformedRequestError("user_id is missing")
    return SignedRequest(user_id, moment(received_at, payload.get("issued_at")))
