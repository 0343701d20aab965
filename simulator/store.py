"""The world on disk, so that a second start finds the same Page, token and threads.

A document with all of it, and a journal with what has changed since. A change is in the journal
before anybody is answered: a killed simulator has forgotten nothing that it confirmed. (The system
writes to the disk when it likes: this is for killed processes, not for power cuts.)
"""

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import structlog
from pydantic import TypeAdapter, ValidationError

from simulator.world.model import Change
from simulator.world.world import World, add_usual_users, fresh_world

FILE_NAME = "simulator.json"
SMALLEST_FULL_JOURNAL_BYTES = 16 << 20
FULL_JOURNAL_TO_DOCUMENT = 4  # written anew when the journal is so many times as large
RETRY_S = 5.0

_CHANGE = TypeAdapter(Change)

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
    for journal in _journals_from(path, world.journal):
        for change in _changes(journal):
            world.apply(change)
    if not world.pages:
        return fresh_world()
    if not world.logins.users:  # saved before there were any
        add_usual_users(world)
    return world


def journal_path(path: Path, number: int) -> Path:
    return path.with_name(f"{path.stem}.{number}.journal")


def _journals_from(path: Path, number: int) -> Iterator[Path]:
    while (journal := journal_path(path, number)).exists():
        yield journal
        number += 1


def _changes(journal: Path) -> Iterator[Change]:
    *lines, torn = journal.read_bytes().split(b"\n")  # after the last line end: a torn write
    del torn
    for line in lines:
        try:
            yield _CHANGE.validate_json(line)
        except ValidationError as error:
            raise BrokenStateError(
                f"{journal} is broken: remove it to start with what was before"
            ) from error


class Store:
    """Keeps a world's changes, and writes the world anew when there are many of them."""

    def __init__(self, path: Path, world: World) -> None:
        self._path, self._world = path, world
        self._number = world.journal
        self._file = -1
        self._written_bytes = 0
        self._limit_bytes = SMALLEST_FULL_JOURNAL_BYTES
        self._full = asyncio.Event()
        self._writing = threading.Lock()
        self._saved = -1  # the number in the document on the disk

    def open(self) -> None:
        """Begin a journal behind the document. Raises: OSError: the directory cannot be used."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._number = max([self._number, *self._numbers()])
        self._write_document(self._begin_journal(), self._number)

    def close(self) -> None:
        """Everything in the document, no journal left."""
        if self._file < 0:
            return
        os.close(self._file)
        self._file = -1
        self._number += 1
        try:
            self._write_document(self._world.dump(self._number), self._number)
        except OSError as error:  # the journal is still there
            log.error("state_not_saved", error=type(error).__name__)

    def keep(self, change: Change) -> None:
        """Write a change down; before `open` and after `close` the document has it."""
        if self._file < 0:
            return
        line = _CHANGE.dump_json(change, exclude_defaults=True) + b"\n"
        try:
            _write_all(self._file, line)
        except OSError as error:  # the disk is full: go on, and write everything when there is room
            log.error("change_not_saved", error=type(error).__name__)
            os.ftruncate(self._file, self._written_bytes)  # half a line would be in the way
            self._full.set()
            return
        self._written_bytes += len(line)
        if self._written_bytes > self._limit_bytes:
            self._full.set()

    async def run(self) -> None:
        """Write the document anew each time the journal is full."""
        while True:
            await self._full.wait()
            self._full.clear()
            try:
                document = self._begin_journal()
                await asyncio.to_thread(self._write_document, document, self._number)
            except OSError as error:
                log.error("state_not_saved", error=type(error).__name__)
                await asyncio.sleep(RETRY_S)
                self._full.set()

    def _begin_journal(self) -> bytes:
        """From here on changes go into a new journal; the document with all that was before."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
        file = os.open(journal_path(self._path, self._number + 1), flags, 0o600)
        if self._file >= 0:
            os.close(self._file)
        self._file, self._number, self._written_bytes = file, self._number + 1, 0
        document = self._world.dump(self._number)
        self._limit_bytes = max(
            SMALLEST_FULL_JOURNAL_BYTES, FULL_JOURNAL_TO_DOCUMENT * len(document)
        )
        return document

    def _write_document(self, document: bytes, number: int) -> None:
        with self._writing:  # the end may come while a thread still writes: the newer one wins
            if number <= self._saved:
                return
            write_atomically(self._path, document)
            self._saved = number
            for old in self._numbers():
                if old < number:
                    journal_path(self._path, old).unlink(missing_ok=True)

    def _numbers(self) -> list[int]:
        """Of the journals that there are."""
        names = [each.name.split(".") for each in self._path.parent.glob("*.journal")]
        return [
            int(name[1])
            for name in names
            if len(name) == 3 and name[0] == self._path.stem and name[1].isdecimal()
        ]


def _write_all(file: int, content: bytes) -> None:
    while content:
        content = content[os.write(file, content) :]


def write_atomically(path: Path, document: bytes) -> None:
    """Write beside and rename: a crash leaves the old file or the new one, never half of one."""
    beside = path.with_name(path.name + ".new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)  # holds Page tokens
    with os.fdopen(descriptor, "wb") as file:
        file.write(document)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
