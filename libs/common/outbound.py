"""Where we may connect on somebody's word: addresses that administrators type in. Pure.

A URL is read as the HTTP client reads it, which makes ASCII of a host: `①27.0.0.1` is loopback.
Names are judged by the addresses they turn out to have, when the connection is made: `is_allowed`.
"""

import ipaddress
import socket
from dataclasses import dataclass
from typing import Literal

from yarl import URL

Problem = Literal["unreadable", "not_http", "has_credentials", "not_https", "address_not_public"]

_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
_UNICAST = ipaddress.ip_network(
    "2000::/3"
)  # all that is given out; beyond it `is_global` is lenient
_INSIDE_AFTER_ALL = tuple(
    map(
        ipaddress.ip_network,
        (
            "168.63.129.16/32",  # Azure: the host that a virtual machine runs on
            "192.0.0.0/24",  # of protocols, and Oracle's metadata; some Pythons let it pass
            "192.88.99.0/24",  # relays to 6to4
            "3fff::/20",  # documentation
        ),
    )
)
_ISATAP = (0x00005EFE, 0x02005EFE)  # the third quarter of an address that ends with an IPv4 address


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
    if is_production and _leads_inside(host):
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
    if _leads_inside(host):
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
        elif found not in _UNICAST or _may_be_ipv4(found):
            return False
    if any(found in each for each in _INSIDE_AFTER_ALL if each.version == found.version):
        return False
    return found.is_global and not found.is_multicast


def _may_be_ipv4(address: ipaddress.IPv6Address) -> bool:
    """Whether it is an IPv4 address in disguise, be it a private one. NAT64's stand outside of
    `_UNICAST`, except for a network's own prefix, which nobody but its owner knows."""
    quarter = int(address) >> 32 & 0xFFFF_FFFF
    return bool(address.sixtofour or address.teredo) or quarter in _ISATAP


def _parsed(url: str) -> URL | Problem:
    if any(char < " " or char == "\x7f" for char in url):
        return "unreadable"  # some clients leave these out, and go elsewhere than it seems
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


def _leads_inside(host: str) -> bool:
    """As far as it can be told without looking a name up."""
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    address = _address(name)
    return address is not None and not is_allowed(address, is_production=True)


def _address(host: str) -> str | None:
    """None: it is a name. Resolvers take `127.1`, `0x7f000001` and `2130706433` for addresses."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        pass
    else:
        return host
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except (OSError, ValueError):  # the second of what holds NUL, or is no ASCII
        return None
