"""Which stack is shown, and what is said where there is none."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy.local.demo.running import Running, environment_of
from deploy.local.errors import StackError
from deploy.local.secrets_file import load_or_make
from deploy.local.state import StateFolder

ALL = (
    "kafka",
    "mongo",
    "simulator",
    "gateway",
    "conversation",
    "sender",
    "takeover",
    "analytics",
    "console",
)


class Folder(StateFolder):
    """A state folder whose supervisor is this process."""

    def supervisor(self) -> int | None:
        return 4711


def folder(path: Path, phase: str = "ready", names: Sequence[str] = ALL) -> StateFolder:
    components = {name: {"port": 9000 + number} for number, name in enumerate(names)}
    status = {"pid": 4711, "phase": phase, "components": components}
    (path / "stack.json").write_text(json.dumps(status), encoding="utf-8")
    return Folder(path)


def test_a_running_stack_is_found_at_the_ports_that_it_has(tmp_path: Path) -> None:
    running = Running.find(folder(tmp_path))
    assert running.urls["simulator"] == "http://127.0.0.1:9002"
    assert running.logs == tmp_path / "logs"


def test_without_a_stack_it_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="make up"):
        Running.find(StateFolder(tmp_path))
    with pytest.raises(StackError, match="make up"):
        Running.find(folder(tmp_path, phase="starting"))


def test_a_stack_without_a_service_is_no_stage(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="runs without gateway, sender"):
        Running.find(folder(tmp_path, names=("simulator", "conversation")))


def test_clients_get_the_addresses_and_secrets_of_the_running_stack(tmp_path: Path) -> None:
    stack = folder(tmp_path)
    made = load_or_make(stack.secrets)
    elsewhere = {"KAFKA_BOOTSTRAP_SERVERS": "other.example:9092"}  # not what this stack runs on
    environment = environment_of(stack, elsewhere)
    assert environment["KAFKA_BOOTSTRAP_SERVERS"] == "127.0.0.1:9000"
    assert environment["MONGODB_URI"] == "mongodb://127.0.0.1:9001"
    assert environment["GRAPH_API_URL"] == "http://127.0.0.1:9002"
    assert environment["SERVICE_TOKEN"] == made["SERVICE_TOKEN"]


def test_a_stack_with_its_log_elsewhere_needs_the_same_environment_again(tmp_path: Path) -> None:
    stack = folder(tmp_path, names=[name for name in ALL if name != "kafka"])
    load_or_make(stack.secrets)
    with pytest.raises(StackError, match="KAFKA_BOOTSTRAP_SERVERS"):
        environment_of(stack, {})
    elsewhere = {"KAFKA_BOOTSTRAP_SERVERS": "other.example:9092"}
    assert environment_of(stack, elsewhere)["KAFKA_BOOTSTRAP_SERVERS"] == "other.example:9092"


def test_the_command_names_the_scenes_that_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deploy.local.demo.__main__ import app

    monkeypatch.setenv("STATE_DIR", str(tmp_path))
    result = CliRunner().invoke(app, ["--scene", "question", "--scene", "tokens"])
    assert result.exit_code == 1
    assert "no scene is called tokens; there are connect, question, burst" in result.output


def test_the_command_exits_with_1_where_there_is_no_stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deploy.local.demo.__main__ import app

    monkeypatch.setenv("STATE_DIR", str(tmp_path))
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 1
    assert "make up" in result.output
