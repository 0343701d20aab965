"""Which files of tests stay together on a worker, since they share a stack, and which begin.

To start a system costs as much as many tests do. The longest begin, so that no worker is left with
one of them when the others have nothing to do any more.
"""

from collections.abc import Mapping
from types import MappingProxyType

UNITS = (
    (  # `stack` and, at its end, `modelled` of tests/e2e/conftest.py
        "tests/e2e/test_analytics.py",
        "tests/e2e/test_assistants.py",
        "tests/e2e/test_contacts.py",
        "tests/e2e/test_demo.py",
        "tests/e2e/test_erasure.py",
        "tests/e2e/test_kills.py",
        "tests/e2e/test_message.py",
        "tests/e2e/test_outages.py",
        "tests/e2e/test_rotation.py",
        "tests/e2e/test_sending.py",
        "tests/e2e/test_takeover_timers.py",
        "tests/e2e/test_handover.py",
        "tests/e2e/test_takeover.py",
        "tests/e2e/test_hostile.py",
        "tests/e2e/test_prometheus.py",
    ),
    (  # `breakable` of tests/faults/conftest.py
        "tests/faults/test_held.py",
        "tests/faults/test_mutants.py",
        "tests/faults/test_scenarios.py",
        "tests/faults/test_soak.py",
    ),
    ("tests/faults/test_more_scenarios.py",),
    ("tests/solo/test_takeover_fence.py",),
    ("tests/solo/test_start_orders.py",),
    ("tests/solo/test_doctor.py",),
    ("tests/solo/test_api_contract.py",),
    (  # `stack` of tests/browser/modelled/conftest.py
        "tests/browser/modelled/test_settings.py",
        "tests/browser/modelled/test_two_admins.py",
        "tests/browser/modelled/test_hostile.py",
    ),
    ("tests/browser/test_connecting.py",),
    ("tests/browser/test_console.py",),
    ("tests/browser/test_assistants.py",),
    ("tests/browser/test_health.py",),
)

_PLACES: Mapping[str, tuple[int, int]] = MappingProxyType(
    {file: (unit, place) for unit, files in enumerate(UNITS) for place, file in enumerate(files)}
)


def place(file: str) -> tuple[int, int]:
    """What to sort a test's file by: others come after those of `UNITS`, in their order."""
    return _PLACES.get(file, (len(UNITS), 0))


def unit(file: str) -> str:
    """One name for all files that stay together."""
    found = _PLACES.get(file)
    return UNITS[found[0]][0] if found else file
