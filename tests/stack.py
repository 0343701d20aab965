"""Servers for tests: those that the environment names, or containers, or a local stack.

`servers(folder)` gives Kafka and MongoDB alone, `local_stack(folder)` the whole system or a part of
it, at ports of its own beside whatever runs already. Both end with their block; a local stack
also ends when the tests' process is killed.
"""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.local.detached import start_detached, stop_detached
from deploy.local.environment import KAFKA, MONGO, for_services
from deploy.local.errors import StackError
from deploy.local.ports import DEFAULTS, HOST, require_free, shifted
from deploy.local.secrets_file import parse
from deploy.local.state import StateFolder
from tests.leaks import found_in_logs
from tests.ports import worker

# Every port stays below 32768, where systems begin to lend ports to clients.
LOWEST_OFFSET, HIGHEST_OFFSET = 1_000, 32_767 - max(DEFAULTS.values())
APART = 11  # offsets that differ by so much share no port
ATTEMPTS = 5  # somebody may take a port between our look and the start
KAFKA_IMAGE = "apache/kafka:4.1.0"
MONGO_IMAGE = "mongo:8.0"
CONTAINER_WITHIN_S = 120


class NoServersError(Exception):
    """There is nothing to test on. That fails a test: skipped, nobody would notice."""


@dataclass(frozen=True)
class Servers:
    """Where Kafka and MongoDB are."""

    bootstrap_servers: str
    mongodb_uri: str


@contextmanager
def servers(folder: Path) -> Iterator[Servers]:
    """Kafka and MongoDB, started if the environment doesn't name them.

    Args:
        folder: empty; the state of a local stack goes there.

    Raises:
        NoServersError: none of the three ways leads to both of them.
    """
    found = {name: os.environ.get(name, "") for name in (KAFKA, MONGO)}
    with ExitStack() as stack:
        if not all(found.values()) and docker_answers():
            found |= {
                name: stack.enter_context(start())
                for name, start in ((KAFKA, kafka_container), (MONGO, mongo_container))
                if not found[name]
            }
        elif not all(found.values()):
            local = stack.enter_context(local_stack(folder, only="kafka,mongo"))
            found = {name: local.environment[name] for name in found}
        yield Servers(found[KAFKA], found[MONGO])


def docker_answers() -> bool:
    """Whether there is a Docker engine, and not just its client."""
    asked = ["docker", "version", "--format", "{{.Server.Version}}"]
    try:
        return subprocess.run(asked, capture_output=True, timeout=10).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


@contextmanager
def kafka_container() -> Iterator[str]:
    """One KRaft node; its bootstrap address."""
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy

    port = DEFAULTS["kafka"] + free_offset()
    container = (
        DockerContainer(KAFKA_IMAGE)
        .with_bind_ports(9092, port)  # as clients are told to come back to this very port
        .with_env("KAFKA_NODE_ID", "1")
        .with_env("KAFKA_PROCESS_ROLES", "broker,controller")
        .with_env("KAFKA_CONTROLLER_LISTENER_NAMES", "CONTROLLER")
        .with_env("KAFKA_CONTROLLER_QUORUM_VOTERS", "1@localhost:9093")
        .with_env("KAFKA_LISTENERS", "PLAINTEXT://:9092,CONTROLLER://:9093")
        .with_env("KAFKA_ADVERTISED_LISTENERS", f"PLAINTEXT://{HOST}:{port}")
        .with_env(
            "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP", "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT"
        )
        .with_env("KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR", "1")
        .with_env("KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS", "0")
        .with_env("KAFKA_AUTO_CREATE_TOPICS_ENABLE", "false")
        .waiting_for(
            LogMessageWaitStrategy("Kafka Server started").with_startup_timeout(CONTAINER_WITHIN_S)
        )
    )
    with container:
        yield f"{HOST}:{port}"


@contextmanager
def mongo_container() -> Iterator[str]:
    """One MongoDB; its URI."""
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy

    container = (
        DockerContainer(MONGO_IMAGE)
        .with_exposed_ports(27017)
        .waiting_for(
            LogMessageWaitStrategy("Waiting for connections").with_startup_timeout(
                CONTAINER_WITHIN_S
            )
        )
    )
    with container:
        yield f"mongodb://{HOST}:{container.get_exposed_port(27017)}"


@dataclass(frozen=True)
class LocalStack:
    """A running local stack."""

    folder: StateFolder
    offset: int
    pid: int  # of its supervisor

    @property
    def environment(self) -> dict[str, str]:
        """What its services were given, and what a client of theirs needs: addresses, secrets."""
        made = parse(self.folder.secrets.read_text(encoding="utf-8"))
        given = {name: os.environ[name] for name in (KAFKA, MONGO) if os.environ.get(name)}
        return for_services(given, made, shifted(self.offset), self.folder.path)

    def url(self, name: str) -> str:
        """Where a service listens."""
        return f"http://{HOST}:{shifted(self.offset)[name]}"

    def component(self, name: str) -> dict[str, Any]:
        """Its `pid`, `port`, `state` (as "ready"), `restarts` and `log`."""
        component: dict[str, Any] = self.folder.read_status(self.pid)["components"][name]
        return component

    def kill(self, name: str) -> None:
        """End a component without warning, unless it has just died. It is started again."""
        pid = self.component(name)["pid"]
        if pid is not None:
            with suppress(ProcessLookupError):  # it has died since that was written
                os.kill(pid, signal.SIGKILL)

    def restart(self, name: str, within_s: float = 60) -> None:
        """End a component as an update would; return when it is ready again, with the secrets that
        stand in the stack's file by now."""
        restarts = self.component(name)["restarts"]
        os.kill(self.component(name)["pid"], signal.SIGTERM)
        self.wait_until_back(name, restarts + 1, within_s)

    def change_secrets(self, **secrets: str | None) -> None:
        """Write them into the stack's file, None: take out. A component has them once it is
        started again."""
        values = parse(self.folder.secrets.read_text(encoding="utf-8"))
        changed = {**values, **secrets}
        text = "".join(f"{name}={value}\n" for name, value in changed.items() if value is not None)
        part = self.folder.secrets.with_name("env.new")
        part.write_text(text, encoding="utf-8")
        part.chmod(0o600)
        part.replace(self.folder.secrets)

    def wait_until_back(self, name: str, restarts: int, within_s: float = 60) -> None:
        """Wait until a component that was killed is ready again: its `restarts`th new process."""
        until = time.monotonic() + within_s
        while (now := self.component(name))["restarts"] < restarts or now["state"] != "ready":
            assert time.monotonic() < until, f"{name} is not back: {json.dumps(now)}"
            time.sleep(0.05)


@contextmanager
def local_stack(
    folder: Path, only: str = "", module: str = "deploy.local", **environment: str
) -> Iterator[LocalStack]:
    """A local stack of the test's own.

    Args:
        folder: empty; its state goes there.
        only: components, comma separated; all by default. Their ports are free ones.
        module: what runs it, with the command line of `deploy.local`.
        environment: besides ours, e.g. `LLM_PROVIDER="simulator"`.

    Raises:
        NoServersError: it can't be started; with all it said.
        AssertionError: at the end, a secret stands in a log.
    """
    state = StateFolder(folder)
    command = [sys.executable, "-m", module, "run", "--with-parent", "--only", only]
    said: list[str] = []
    for attempt in range(1, ATTEMPTS + 1):
        offset, said = free_offset(), []
        shared = _environment(environment) | {"PORT_OFFSET": str(offset)}
        try:
            with start_detached(state, command, said.append, shared) as process:
                try:
                    yield LocalStack(state, offset, process.pid)
                finally:
                    if process.poll() is None:
                        stop_detached(state, process.pid)
            assert found_in_logs(folder) == []
            return
        except StackError as error:
            if "busy" not in "".join(said) or attempt == ATTEMPTS:
                raise NoServersError(_nothing(error, said)) from None


def free_offset() -> int:
    """A `PORT_OFFSET` at which nobody listens at this moment, nor will for another of our workers.

    Services come after Kafka, so a look at their ports says nothing of a stack that just begins.
    """
    number, workers = worker()
    offsets = range(LOWEST_OFFSET + number * APART, HIGHEST_OFFSET, workers * APART)
    for _ in range(100):
        offset = secrets.choice(offsets)
        try:
            require_free(shifted(offset), DEFAULTS)
        except StackError:
            continue
        return offset
    raise NoServersError("no range of free ports")


def _environment(given: Mapping[str, str]) -> dict[str, str]:
    """Ours without what would change a stack by accident."""
    ours = {name: value for name, value in os.environ.items() if name not in {"ENV", "STATE_DIR"}}
    return {**ours, **given}


def _nothing(error: StackError, said: list[str]) -> str:
    lines = "".join(f"\n    {line}" for line in "\n".join(said).splitlines())
    return (
        f"no servers to test on: {KAFKA} and {MONGO} don't name both, there is no Docker engine, "
        f"and for the local stack: {error}. It said:{lines or ' nothing'}"
    )
