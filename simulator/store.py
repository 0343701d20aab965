"""The world on disk, so that a second start finds the same Page, token and threads."""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import structlog
from pydantic import ValidationError

from simulator.world.world import World, fresh_world

FILE_NAME = "simulator.json"
PAUSE_S = 0.5
PAUSE_PER_SAVING = 30  # a big world is saved less often: saving may take 3 % of the time at most

log = structlog.get_logger(__name__)


class BrokenStateError(Exception):
    """The state file is there and cannot be understood."""


def load_world(path: Path) -> World:
    """The world of the last run, or a fresh one; never one without a Page.

    Raises:
        BrokenStateError: naming the file; better stop than forget somebody's threads.
    """
    try:
        world = World.load(path.read_bytes())
    except FileNotFoundError:
        return fresh_world()
    except ValidationError as error:
        raise BrokenStateError(f"{path} is broken: remove it to start with a new world") from error
    return world if world.pages else fresh_world()


class Saver:
    """Writes the world a moment after it changed, and once more at the end."""

    def __init__(self, path: Path, dump: Callable[[], bytes]) -> None:
        self._path, self._dump = path, dump
        self._changed = asyncio.Event()
        self._pause_s = PAUSE_S

    def changed(self) -> None:
        self._changed.set()

    async def run(self) -> None:
        while True:
            await self._changed.wait()
            await asyncio.sleep(self._pause_s)
            await self._save()

    async def flush(self) -> None:
        if self._changed.is_set():
            await self._save()

    async def _save(self) -> None:
        self._changed.clear()  # before the dump: a change during the writing is saved next time
        began = time.perf_counter()
        document = self._dump()
        self._pause_s = max(PAUSE_S, PAUSE_PER_SAVING * (time.perf_counter() - began))
        try:
            await asyncio.to_thread(write_atomically, self._path, document)
        except OSError as error:
            self._changed.set()
            log.error("state_not_saved", error=type(error).__name__)
            await asyncio.sleep(PAUSE_S)


def write_atomically(path: Path, document: bytes) -> None:
    """Write beside and rename: a crash leaves the old file or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)  # holds Page tokens
    with os.fdopen(descriptor, "wb") as file:
        file.write(document)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
