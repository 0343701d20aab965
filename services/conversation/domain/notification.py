"""What a Page's own webhook is told when a human is wanted, and where such a webhook may be. Pure.

The body is what Slack, Mattermost and others with their protocol show, with the facts beside it.
"""

import hashlib
import hmac
import ipaddress
import json

from yarl import URL

from libs.common.events import TakeoverRequested

SIGNATURE = "X-Signature-256"
NOTIFICATION_ID = "X-Notification-Id"
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # global by its looks, and any IPv4 by its meaning
_REASONS = {
    "asked": "the person asked for it",
    "angry": "the person is upset",
    "cannot_answer": "the assistant doesn't know the answer",
    "policy": "only people may decide this",
    "model_failed": "the assistant can't answer at the moment",
    "limit_reached": "the day's limit of the assistant is reached",
    "loop_suspected": "another machine seems to be writing",
}


def body_of(event: TakeoverRequested, page_name: str) -> bytes:
    """The same bytes for the same request. Of messages it holds nothing but the summary."""
    why = _REASONS.get(event.reason, event.reason)
    told = f"A human is wanted on “{page_name}”: {why}."
    if event.summary:
        told += f"\n> {event.summary}"
    body = {
        "text": _as_slack_shows(told),
        "type": event.type,
        "id": event.event_id,
        "page_id": event.page_id,
        "page_name": page_name,
        "conversation": event.conversation_id,
        "reason": event.reason,
        "summary": event.summary,
        "requested_at": event.occurred_at.isoformat(),
    }
    return json.dumps(body, ensure_ascii=False).encode()


def headers_of(event: TakeoverRequested, body: bytes, secret: str) -> dict[str, str]:
    """With a signature as Meta makes them, where the channel has a secret.

    The id is the same for each copy: a receiver tells by it that it knows the request already.
    """
    headers = {"Content-Type": "application/json", NOTIFICATION_ID: event.event_id}
    if secret:
        digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        headers[SIGNATURE] = f"sha256={digest}"
    return headers


def problem_of(url: str, *, is_production: bool) -> str | None:
    """Why no notification may go to this URL; None: it may, as far as the URL tells.

    It is read as the HTTP client reads it, which makes ASCII of a host: `①27.0.0.1` is loopback.
    Names are judged by the addresses they turn out to have: see `is_allowed`.
    """
    try:
        parsed = URL(url)
    except (ValueError, IndexError):  # the second is what yarl makes of `https://[]@]`
        return "unreadable"
    host = parsed.host
    if not host or parsed.scheme not in ("http", "https"):
        return "not_http"
    if parsed.user is not None or parsed.password is not None:
        return "has_credentials"
    if parsed.scheme == "http" and (is_production or host not in _LOOPBACK_NAMES):
        return "not_https"
    if is_production and _is_address(host) and not is_allowed(host, is_production=True):
        return "address_not_public"
    return None


def is_allowed(address: str, *, is_production: bool) -> bool:
    """Whether a connection to this address may be made: in production to public ones only."""
    if not is_production:
        return True
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        elif found.sixtofour or found.teredo or found in _NAT64:
            return False  # an IPv4 address in disguise, be it a private one
    return found.is_global and not found.is_multicast


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _as_slack_shows(text: str) -> str:
    """Without what Slack takes for a link or a call of everybody."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
