"""The limit of descriptors, in processes of their own: what is lowered there stays low."""

import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
from libs.common.descriptors import raise_limit, room_for_connections
soft, hard = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
print(room_for_connections(), raise_limit(), room_for_connections())
print(resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def limits(soft: int, hard: int) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(soft), str(hard)], capture_output=True, check=True
    )
    return done.stdout.decode().splitlines()


@pytest.mark.parametrize(
    ("soft", "hard", "before", "after"),
    [(256, 1024, 156, 1024), (600, 600, 500, 600), (100, 150, 50, 150)],
)
def test_a_soft_limit_is_raised_as_far_as_it_goes(
    soft: int, hard: int, before: int, after: int
) -> None:
    room, limit = limits(soft, hard)
    assert room == f"{before} {after} {max(after - 100, after // 2)}"
    assert limit == f"({after}, {hard})"
