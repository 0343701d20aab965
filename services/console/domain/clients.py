"""Where a request comes from, and where we may send a browser."""

import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_BROWSERS = (("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"))
_SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Mac OS", "macOS"),
    ("Linux", "Linux"),
)


def client_address(peer: str | None, forwarded: Sequence[str], proxies: Sequence[Network]) -> str:
    """The client behind our own proxies.

    Args:
        peer: who holds the connection.
        forwarded: every `X-Forwarded-For` header, in order.
        proxies: whose word counts. Anybody may send the header, so without these it says nothing.
    """
    chain = [part.strip() for header in forwarded for part in header.split(",")]
    current = peer or "unknown"
    while chain and _is_within(current, proxies):
        current = chain.pop()
    return current if _is_address(current) else peer or "unknown"


def safe_path(path: str | None) -> str:
    """A path of ours to go to after signing in, whatever was asked for.

    `//elsewhere.example` and `/\\elsewhere.example` are addresses of other sites to a browser.
    """
    if not path or not path.startswith("/") or path.startswith("//"):
        return "/"
    if "\\" in path or any(ord(letter) < 33 or ord(letter) == 127 for letter in path):
        return "/"
    url = urlsplit(path)
    return "/" if url.scheme or url.netloc else path


def device(agent: str) -> str:
    """What a user agent calls itself, in two words: enough to tell one's own devices apart."""
    browser = next((name for mark, name in _BROWSERS if mark in agent), None)
    if browser is None and "Safari/" in agent:
        browser = "Safari"
    system = next((name for mark, name in _SYSTEMS if mark in agent), None)
    known = [part for part in (browser, system) if part]
    return " on ".join(known) or "Unknown device"


def _is_within(address: str, networks: Sequence[Network]) -> bool:
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(known in network for network in networks)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
