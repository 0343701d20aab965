"""What Meta signs and what it wants signed.

Source: Webhooks for Messenger Platform ("escaped unicode" bodies), Secure Graph API Calls.
"""

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
