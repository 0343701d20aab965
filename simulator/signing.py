"""What Meta signs and what it wants signed.

Source: Webhooks for Messenger Platform ("escaped unicode" bodies), Secure Graph API Calls.
"""

import base64
import hashlib
import hmac
import json
from typing import Any


def wire_body(payload: Any) -> bytes:  # noqa: ANN401 - any JSON value
    r"""A webhook's bytes: compact JSON, everything beyond ASCII as `\uXXXX`, `/` as `\/`."""
    text = json.dumps(payload, separators=(",", ":"), ensure_ascii=True)
    return text.replace("/", "\\/").encode("ascii")


def signature_headers(body: bytes, app_secret: str) -> dict[str, str]:
    """The headers that go with a webhook: HMAC over the untouched bytes, SHA-256 and old SHA-1."""
    key = app_secret.encode()
    return {
        "X-Hub-Signature-256": "sha256=" + hmac.digest(key, body, "sha256").hex(),
        "X-Hub-Signature": "sha1=" + hmac.digest(key, body, "sha1").hex(),
    }


def appsecret_proof(access_token: str, app_secret: str) -> str:
    """What proves that a call comes from the app's server and not from a stolen token."""
    return hmac.new(app_secret.encode(), access_token.encode(), hashlib.sha256).hexdigest()


def signed_request(user_id: str, issued_at_s: int, app_secret: str) -> str:
    """What the deauthorize and the data-deletion callback carry: signature and payload.

    The signature is over the payload as it is encoded. Source: Data Deletion Request Callback.
    """
    facts = {"algorithm": "HMAC-SHA256", "issued_at": issued_at_s, "user_id": user_id}
    payload = _base64url(json.dumps(facts, separators=(",", ":")).encode())
    return f"{_base64url(hmac.digest(app_secret.encode(), payload.encode(), 'sha256'))}.{payload}"


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")
