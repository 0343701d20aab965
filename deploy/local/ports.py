"""Which component listens where, shifted together by `PORT_OFFSET`, and whether it can."""

import errno
import socket
from collections.abc import Iterable, Mapping

from deploy.local.errors import StackError

HOST = "127.0.0.1"
DEFAULTS: Mapping[str, int] = {
    "console": 8080,
    "gateway": 8081,
    "conversation": 8082,
    "sender": 8083,
    "takeover": 8084,
    "analytics": 8085,
    "simulator": 8090,
    "kafka": 19092,
    "kafka controller": 19093,
    "mongo": 27117,
}


def offset_from(environment: Mapping[str, str]) -> int:
    """`PORT_OFFSET`, 0 if it is not set.

    Raises:
        StackError: not a number, or it would push a port out of 1..65535.
    """
    text = environment.get("PORT_OFFSET", "").strip() or "0"
    try:
        offset = int(text)
    except ValueError:
        raise StackError(f"PORT_OFFSET is wrong: {text!r} is not a whole number") from None
    lowest, highest = min(DEFAULTS.values()), max(DEFAULTS.values())
    if lowest + offset < 1 or highest + offset > 65535:
        raise StackError(
            f"PORT_OFFSET is wrong: {offset} is not within {1 - lowest}..{65535 - highest}"
        )
    return offset


def shifted(offset: int) -> dict[str, int]:
    """The port of every component."""
    return {name: port + offset for name, port in DEFAULTS.items()}


def require_free(ports: Mapping[str, int], names: Iterable[str]) -> None:
    """Check all ports before anything is started.

    Raises:
        StackError: one or more are busy; it names the ports, what they are for and a way out.
    """
    busy = [name for name in names if is_busy(ports[name])]
    if busy:
        listed = ", ".join(f"{ports[name]} ({name})" for name in busy)
        which = f"port {listed} is" if len(busy) == 1 else f"ports {listed} are"
        raise StackError(
            f"{which} busy: stop what listens there, or shift all ports, e.g. with PORT_OFFSET=1000"
        )


def is_busy(port: int) -> bool:
    """Whether somebody listens there, on loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # as servers do it: connections of the last run that linger don't count
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError as error:
            if error.errno in {errno.EADDRINUSE, errno.EACCES}:
                return True
            raise
    return False
