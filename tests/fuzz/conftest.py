"""One gateway for all tests of a file: it keeps nothing from one connection to the next."""

from collections.abc import Iterator

import pytest

from tests.fuzz.gateways import Fuzzed, fuzzed_gateway


@pytest.fixture(scope="module")
def gateway() -> Iterator[Fuzzed]:
    with fuzzed_gateway() as running:
        yield running
