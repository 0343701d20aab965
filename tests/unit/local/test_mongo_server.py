"""The stand-in's commits: before every acknowledgement, and never in the middle of a write."""

import os
import threading
import time
from typing import Any

import pytest

from deploy.local.mongo_server import DurableBackend


class Words:
    """As much of a Java document as is asked for: the command's name."""

    def __init__(self, command: str) -> None:
        self._command = command

    def getDocument(self) -> "Words":  # noqa: N802 - Java's name
        return self

    def keySet(self) -> "Words":  # noqa: N802
        return self

    def iterator(self) -> "Words":
        return self

    def next(self) -> str:
        return self._command


class Store:
    """Notes what was under way when it was committed, and what has been written by then."""

    def __init__(self) -> None:
        self.under_way = 0
        self.written = 0
        self.committed = 0
        self.torn = 0

    def commit(self) -> None:
        self.torn += self.under_way
        written = self.written
        time.sleep(0.001)  # long enough for a write to begin, if it may
        self.torn += self.under_way
        self.committed = max(self.committed, written)

    def handleMessage(self, _message: Any) -> int:  # noqa: ANN401, N802 - as the Java backend
        self.under_way += 1
        time.sleep(0.0005)  # the document is there, its index is not
        self.under_way -= 1
        self.written += 1
        return self.written


def test_no_commit_meets_half_a_write_and_no_write_is_acknowledged_before_its_commit() -> None:
    store = Store()
    backend = DurableBackend(store, store)
    too_early: list[int] = []

    def write() -> None:
        for _ in range(30):
            mine = backend.handleMessage(Words("insert"))
            if store.committed < mine - 8:  # those beside it may have been counted in between
                too_early.append(mine)

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    assert store.written == 240
    assert store.torn == 0
    assert store.committed == 240
    assert too_early == []


def test_a_write_that_fails_leaves_the_way_free() -> None:
    class Failing(Store):
        def handleMessage(self, _message: Any) -> int:  # noqa: ANN401, N802
            raise ValueError

    backend = DurableBackend(Failing(), Store())
    for _ in range(2):
        try:
            backend.handleMessage(Words("insert"))
        except ValueError:
            continue
        raise AssertionError("the error is lost")


def test_a_commit_that_fails_ends_the_server_for_the_store_is_closed_by_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As on a full disk. Alive, it would refuse every write, with room again or without."""

    class Full(Store):
        def commit(self) -> None:
            raise OSError("no space left")

    def ended(status: int) -> None:
        raise SystemExit(status)

    monkeypatch.setattr(os, "_exit", ended)
    with pytest.raises(SystemExit, match="1"):
        DurableBackend(Full(), Full()).handleMessage(Words("insert"))
