import multiprocessing
import os
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from deploy.local.errors import StackError
from deploy.local.state import ROOT, StateFolder
from tests.unit.local.waiting import wait_until


def hold(path: Path, connection: Connection) -> None:
    with StateFolder(path).held():
        connection.send(os.getpid())
        connection.recv()  # until the test has seen enough


def test_state_dir_moves_the_state(tmp_path: Path) -> None:
    assert StateFolder.from_environment({}).path == ROOT / ".local"
    assert StateFolder.from_environment({"STATE_DIR": str(tmp_path)}).path == tmp_path


def test_nobody_supervises_a_folder_that_is_new_or_was_left(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "new")
    assert folder.supervisor() is None
    with folder.held():
        assert folder.supervisor() == os.getpid()
    assert folder.supervisor() is None


def test_second_supervisor_is_refused_until_the_first_was_killed(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=hold, args=(tmp_path, theirs))
    process.start()
    try:
        folder = StateFolder(tmp_path)
        assert ours.recv() == folder.supervisor() == process.pid
        with pytest.raises(StackError, match="running already"), folder.held():
            pytest.fail("two supervisors of one folder")
        process.kill()
        process.join()
        wait_until(lambda: folder.supervisor() is None, "the kernel lets go of the lock")
        with folder.held():
            assert folder.supervisor() == os.getpid()
    finally:
        process.kill()
        process.join()
        process.close()


def test_status_of_an_earlier_supervisor_counts_for_nothing(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    folder.write_status({"pid": 1234, "phase": "ready"})
    assert folder.read_status(1234)["phase"] == "ready"
    assert folder.read_status(4321) == {}
    assert folder.read_status(None) == {}


def test_folder_of_a_person_keeps_what_we_did_not_put_there(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "mine")
    folder.make()
    folder.secrets.write_text("A=b\n")
    (folder.path / "simulator-calls.jsonl").touch()
    (folder.path / "kafka").mkdir()
    (folder.path / "thesis.txt").write_text("years of work")
    folder.remove()
    assert [each.name for each in folder.path.iterdir()] == ["thesis.txt"]


def test_folder_that_holds_only_ours_goes_with_it(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "ours")
    folder.make()
    folder.write_status({"pid": 1})
    folder.remove()
    assert not folder.path.exists()
