"""What tests are told when there is nothing to test on."""

from pathlib import Path

import pytest

from deploy.local.ports import require_free, shifted
from tests.ports import HIGHEST, LOWEST
from tests.stack import (
    APART,
    HIGHEST_OFFSET,
    LOWEST_OFFSET,
    NoServersError,
    free_offset,
    local_stack,
)


def test_stack_that_cannot_start_fails_the_test_with_all_it_said(tmp_path: Path) -> None:
    with (
        pytest.raises(NoServersError, match=r"KAFKA_BOOTSTRAP_SERVERS.*\n.*ENV=production: "),
        local_stack(tmp_path, only="mongo", ENV="production"),
    ):
        pytest.fail("it runs")


def test_ports_of_a_stack_for_tests_are_free_and_not_lent_to_clients() -> None:
    ports = shifted(free_offset())
    require_free(ports, ports)
    assert max(ports.values()) < 32_768


def test_stacks_of_different_workers_and_single_ports_never_meet() -> None:
    taken = set(range(LOWEST, HIGHEST))
    for offset in range(LOWEST_OFFSET, HIGHEST_OFFSET, APART):
        ports = set(shifted(offset).values())
        assert not ports & taken, offset
        taken |= ports
