"""What tests of every kind may ask for. Nothing is started before somebody does."""

from collections.abc import Iterator

import pytest

from tests.stack import Servers, servers


@pytest.fixture(scope="session")
def running_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Kafka and MongoDB, once for all tests of this run."""
    with servers(tmp_path_factory.mktemp("servers")) as running:
        yield running
