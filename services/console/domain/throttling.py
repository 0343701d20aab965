"""How often somebody may try to sign in."""

import hashlib
import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

WINDOW = timedelta(minutes=15)
PER_ACCOUNT_AND_ADDRESS = 10
PER_ADDRESS = 50
PER_ACCOUNT = 100  # more than one address can use up: a stranger doesn't lock an owner out


@dataclass(frozen=True)
class Limit:
    """One counter of a window: at most `most` attempts."""

    key: str
    most: int


def limits(email: str, address: str, now: datetime) -> tuple[Limit, ...]:
    """The counters that an attempt goes to. Keys name nobody: addresses are hashed."""
    window = _window(now)
    who, where = _hashed(email), _hashed(network_of(address))
    return (
        Limit(f"pair:{who}:{where}:{window}", PER_ACCOUNT_AND_ADDRESS),
        Limit(f"address:{where}:{window}", PER_ADDRESS),
        Limit(f"account:{who}:{window}", PER_ACCOUNT),
    )


def window_end(now: datetime) -> datetime:
    """When attempts are counted anew."""
    return datetime.fromtimestamp((_window(now) + 1) * WINDOW.total_seconds(), UTC)


def network_of(address: str) -> str:
    """Whom an address stands for: in IPv6, everybody has a /64 of their own."""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(known, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((known, 64), strict=False))
    return str(known)


def _window(now: datetime) -> int:
    return int(now.timestamp() // WINDOW.total_seconds())


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
