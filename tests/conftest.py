"""What tests of every kind may ask for. Nothing is started before somebody does."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadFileScheduling

from tests.sharing import place, unit
from tests.stack import Servers, servers

# How long an example takes says something about the machine, and nothing about the property.
settings.register_profile(
    "unhurried", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("unhurried")

QUIETED = ("aiokafka", "opentelemetry")
"""Loggers of libraries that ours silence."""


@pytest.fixture(scope="session", autouse=True)
def loggers_are_not_kept() -> Iterator[None]:
    """Else one that is first used where a test has set up logging speaks that way for ever."""
    configure = structlog.configure

    def uncached(**settings: Any) -> None:  # noqa: ANN401 - structlog's own
        configure(**settings | {"cache_logger_on_first_use": False})

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(structlog, "configure", uncached)
        yield


@pytest.fixture(autouse=True)
def logging_stays_as_it_was() -> Iterator[None]:
    """Commands say how much they and their libraries log: that ends with the test."""
    loggers = [logging.getLogger(name) for name in QUIETED]
    levels = [each.level for each in loggers]
    yield
    if structlog.is_configured():
        structlog.reset_defaults()
    for each, level in zip(loggers, levels, strict=True):
        each.setLevel(level)


@pytest.fixture(scope="session")
def running_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Kafka and MongoDB, once for all tests of this run."""
    with servers(tmp_path_factory.mktemp("servers")) as running:
        yield running


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: place(_file(item.nodeid)))


class Together(LoadFileScheduling):  # type: ignore[misc]  # has no types
    """Gives a worker all files that share a stack."""

    def _split_scope(self, nodeid: str) -> str:
        return unit(_file(nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Together | None:  # noqa: ANN401
    """Instead of pytest-xdist's own, where tests go to workers by file."""
    return Together(config, log) if config.getvalue("dist") == "loadfile" else None


def _file(nodeid: str) -> str:
    return nodeid.partition("::")[0]
