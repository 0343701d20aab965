"""Which encryption keys a service has: for whoever is about to encrypt with a new one.

`GET /internal/v1/keys`, with the service token: `{"first": "k2", "keys": {"k2": "5d0f…", …}}`. The
keys themselves are told to nobody, only what shows whether two are the same.
"""

from collections.abc import Mapping
from typing import Any

from aiohttp import web
from prometheus_client import Gauge

from libs.common.crypto import KeyRing

PATH = "/internal/v1/keys"

KEYS = Gauge(
    "assistant_encryption_keys",
    "1 for each key that the process has, by its id and its place in ENCRYPTION_KEYS.",
    ["key", "place"],  # place: first (encrypts), later
)


def announce(keys: KeyRing) -> None:
    """In the metrics."""
    for key_id in keys.fingerprints:
        KEYS.labels(key_id, "first" if key_id == keys.current else "later").set(1)


def add_keys_route(app: web.Application, keys: KeyRing) -> None:
    """For services that read what others have encrypted."""
    announce(keys)
    answer = {"first": keys.current, "keys": dict(keys.fingerprints)}

    async def show(_request: web.Request) -> web.Response:
        return web.json_response(answer)

    app.router.add_get(PATH, show)


def has_key(answer: Mapping[str, Any], keys: KeyRing) -> bool:
    """Whether who answered so can read what `keys` encrypts: the same key, not just its id."""
    known = answer.get("keys")
    wanted = keys.fingerprints[keys.current]
    return isinstance(known, Mapping) and known.get(keys.current) == wanted
