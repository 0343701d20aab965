"""Where we may connect on somebody's word: addresses that administrators type in. Pure.

A URL is read as the HTTP client reads it, which makes ASCII of a host: `①27.0.0.1` is loopback.
Names are judged by the addresses they turn out to have, when the connection is made: `is_allowed`.
"""

import ipaddress
from dataclasses import dataclass
from typing import Literal

from yarl import URL

Problem = Literal["unreadable", "not_http", "has_credentials", "not_https", "address_not_public"]

_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # global by its looks, and any IPv4 by its meaning


@dataclass(frozen=True)
class Inside:
    """Hosts inside the network that whoever runs this has opened to administrators.

    Args:
        everything: as in development, where nothing is worth guarding.
        hosts: names or addresses, each with or without a port: `ollama`, `10.0.0.5:8000`.
    """

    everything: bool = False
    hosts: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, text: str, *, is_production: bool) -> "Inside":
        """Of a list with commas."""
        names = (name.strip().lower() for name in text.split(","))
        return cls(not is_production, frozenset(name for name in names if name))

    def holds(self, host: str, port: int | None) -> bool:
        name = f"[{host}]" if ":" in host else host
        return self.everything or bool(self.hosts & {host.lower(), f"{name}:{port}".lower()})


def problem_of(url: str, *, is_production: bool) -> Problem | None:
    """Why nothing may be posted to this URL; None: it may, as far as the URL tells.

    Plain http only to this machine, and not in production.
    """
    parsed = _parsed(url)
    if isinstance(parsed, str):
        return parsed
    host = parsed.host or ""
    if parsed.scheme == "http" and (is_production or host not in _LOOPBACK_NAMES):
        return "not_https"
    if is_production and _is_address(host) and not is_allowed(host, is_production=True):
        return "address_not_public"
    return None


def service_problem_of(url: str, inside: Inside) -> Problem | None:
    """Why no service may be asked at this URL; None: it may, as far as the URL tells.

    Plain http only to a host inside that was opened; https to those and to public ones.
    """
    parsed = _parsed(url)
    if isinstance(parsed, str):
        return parsed
    host = parsed.host or ""
    if inside.holds(host, parsed.port):
        return None
    if parsed.scheme == "http":
        return "not_https"
    if _is_address(host) and not is_allowed(host, is_production=True):
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


def _parsed(url: str) -> URL | Problem:
    try:
        parsed = URL(url)
        host = parsed.host  # which is decoded only now
        (parsed.raw_host or "").encode("idna")  # as whoever looks a name up does: `a..b` fails
    except (ValueError, IndexError):  # the second is what yarl makes of `https://[]@]`
        return "unreadable"
    if not host or parsed.scheme not in ("http", "https"):
        return "not_http"
    if parsed.user is not None or parsed.password is not None:
        return "has_credentials"
    return parsed


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
