"""Kafka and MongoDB to measure with: given by the environment, or started for the occasion."""

import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from deploy.local.ports import HOST, shifted
from tests.bench.processes import ROOT
from tests.bench.rounds import Say

START_WITHIN_S = 300.0  # the first time, jars are fetched
STOP_WITHIN_S = 120.0
ATTEMPTS = 5  # at ports that nobody uses


@dataclass(frozen=True)
class Backends:
    """Where they are."""

    kafka: str
    mongo: str


@contextmanager
def backends(say: Say) -> Iterator[Backends]:
    """What `KAFKA_BOOTSTRAP_SERVERS` and `MONGODB_URI` name, or a stack of our own, ended after."""
    kafka, mongo = os.environ.get("KAFKA_BOOTSTRAP_SERVERS"), os.environ.get("MONGODB_URI")
    if kafka and mongo:
        yield Backends(kafka, mongo)
        return
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        say("starting Kafka and the database")
        offset = _start(folder)
        try:
            ports = shifted(offset)
            yield Backends(f"{HOST}:{ports['kafka']}", f"mongodb://{HOST}:{ports['mongo']}")
        finally:
            _stack(folder, offset, "down", within_s=STOP_WITHIN_S)


def _start(folder: str) -> int:
    """The port offset at which it runs.

    Raises:
        RuntimeError: it can't be started.
    """
    for _ in range(ATTEMPTS):
        offset = random.randrange(1000, 9000, 20)
        up = _stack(folder, offset, "up", "--only", "kafka,mongo", within_s=START_WITHIN_S)
        if up.returncode == 0:
            return offset
    raise RuntimeError(f"Kafka and the database did not start: {up.stderr}")


def _stack(
    folder: str, offset: int, *command: str, within_s: float
) -> "subprocess.CompletedProcess[str]":
    given = {name: value for name, value in os.environ.items() if name not in _NAMES_OF_OTHERS}
    return subprocess.run(
        [sys.executable, "-m", "deploy.local", *command],
        cwd=ROOT,
        env={**given, "STATE_DIR": folder, "PORT_OFFSET": str(offset), "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        timeout=within_s,
        check=False,
    )


_NAMES_OF_OTHERS = {"KAFKA_BOOTSTRAP_SERVERS", "MONGODB_URI"}  # one alone will not do
