"""Ready-made webhooks, signed as Meta signs them."""

import hashlib
import hmac
import json
from typing import Any

SECRET = "test_app_secret"
PAGE, PERSON = "100", "200"
TIME_MS = 1763900000001

# the vectors of the contract: the same JSON as Meta writes it, and re-encoded by a proxy
META_BODY = (
    rb'{"object":"page","entry":[{"id":"100","time":1763900000123,"messaging":[{"sender":'
    rb'{"id":"200"},"recipient":{"id":"100"},"timestamp":1763900000001,"message":{"mid":"m_1",'
    rb'"text":"\u00e4\u00f6\u00e5 \ud83d\ude00 http:\/\/a.b\/c"}}]}]}'
)
META_SIGNATURE = "sha256=03b9b1cfd6229d0b8f9fb3db206f783b1b232c547c583e4918639df30e267166"
REENCODED_SIGNATURE = "sha256=f5427746b5b839577eed6c581a516f95083b186be5165532dbcf9a88c95e81bc"
SIGNED_REQUEST = (
    "uFSg8hbrQk6kl9QYuHr8b-zrvMiqDtQYSVXIqJwFLmg."
    "eyJhbGdvcml0aG0iOiJITUFDLVNIQTI1NiIsImlzc3VlZF9hdCI6MTc2MzkwMDAwMCwidXNlcl9pZCI6IjMwMCJ9"
)


def sign(body: bytes, secret: str = SECRET) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def encode(payload: object) -> bytes:
    """As Meta writes it: compact, escaped, `/` as `\\/`."""
    return json.dumps(payload, separators=(",", ":")).replace("/", "\\/").encode()


def from_person(**parts: Any) -> dict[str, Any]:  # noqa: ANN401
    """An element of `messaging` in which the person does something."""
    about = {"sender": {"id": PERSON}, "recipient": {"id": PAGE}, "timestamp": TIME_MS}
    return {**about, **parts}


def from_page(**parts: Any) -> dict[str, Any]:  # noqa: ANN401
    about = {"sender": {"id": PAGE}, "recipient": {"id": PERSON}, "timestamp": TIME_MS}
    return {**about, **parts}


def entry(*elements: object, name: str = "messaging", page: object = PAGE) -> dict[str, Any]:
    return {"id": page, "time": TIME_MS + 122, name: list(elements)}


def webhook(*elements: object, name: str = "messaging") -> dict[str, Any]:
    """A webhook with one entry."""
    return {"object": "page", "entry": [entry(*elements, name=name)]}


def message(mid: str = "m_1", text: str = "hello", **parts: Any) -> dict[str, Any]:  # noqa: ANN401
    return from_person(message={"mid": mid, "text": text, **parts})
