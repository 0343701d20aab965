"""How many descriptors (sockets, files) this process may have.

Container runtimes begin with a soft limit of 1,024 again, and leave it to the process to raise it.
Whoever holds more connections than that would keep `accept` failing for everybody, and the way to
Kafka shut.
"""

import resource

ENOUGH = 65_536
"""More is not asked for: some systems allow a thousand million."""

KEPT_FOR_OURSELVES = 100
"""Of these: Kafka, the database, other services, files."""


def raise_limit() -> int:
    """As many as are allowed, or `ENOUGH`; returns how many there are then. Where a sandbox forbids
    it, those that there are have to do."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):
        return soft
    return wanted


def room_for_connections() -> int:
    """So many connections leave enough descriptors for the rest."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    usable = ENOUGH if soft == resource.RLIM_INFINITY else soft
    return max(usable - KEPT_FOR_OURSELVES, usable // 2)
