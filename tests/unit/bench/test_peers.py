"""What can't be installed is not measured, and that is said: it never counts as met."""

import json
import shutil
from pathlib import Path

import pytest

from tests.bench.peers import bench
from tests.stack import Servers


async def test_without_node_nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _tool: None)
    said: list[str] = []
    assert await bench.measure(Servers("nowhere", "nowhere"), 1, said.append) == []
    assert said == ["Bottender, Botkit: not measured, not on this machine: node, npm"]


async def test_an_install_that_fails_is_no_measurement(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(shutil, "which", lambda tool: tool)
    monkeypatch.setattr(bench, "FOLDER", tmp_path / "peers")
    monkeypatch.setattr(bench, "INSTALL", ("false",))
    said: list[str] = []
    assert await bench.measure(Servers("nowhere", "nowhere"), 1, said.append) == []
    assert said[-1] == "Bottender, Botkit: not measured, npm install ended with 1"


def test_versions_are_exact_and_every_script_is_there() -> None:
    wanted = json.loads((bench.HERE / bench.PACKAGES).read_text(encoding="utf-8"))
    assert all(version.replace(".", "").isdigit() for version in wanted["dependencies"].values())
    for script, _ in bench.GOALS.values():
        assert (bench.HERE / script).is_file()
