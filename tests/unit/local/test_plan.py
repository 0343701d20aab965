import socket
from pathlib import Path

import pytest

from deploy.local.errors import StackError
from deploy.local.jars import Jar
from deploy.local.plan import Options, Plan, check_ports, make_plan
from deploy.local.secrets_file import parse
from deploy.local.services import NAMES, SERVICES
from deploy.local.state import ROOT, StateFolder


class NoJars:
    """For plans that need none."""

    repository = Path("/nowhere")

    def fetch(self, jar: Jar, into: Path) -> None:
        raise AssertionError(f"nobody needs {jar.file_name} into {into}")


def plan_for(tmp_path: Path, only: str = "", **environment: str) -> Plan:
    elsewhere = {"KAFKA_BOOTSTRAP_SERVERS": "kafka:9092", "MONGODB_URI": "mongodb://db"}
    process = {"PATH": "/bin", **elsewhere, **environment}
    folder = StateFolder(tmp_path)
    folder.make()
    return make_plan(Options.read(process, only), process, folder, print, NoJars())


def test_everything_is_started_unless_told_otherwise() -> None:
    assert Options.read({}).names == NAMES


def test_only_some_in_the_usual_order() -> None:
    assert Options.read({}, "mongo, kafka").names == ("kafka", "mongo")


def test_unknown_component_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(StackError, match="doesn't know postgres; there are kafka, mongo, "):
        Options.read({}, "kafka,postgres")


@pytest.mark.parametrize(
    ("variable", "name"), [("KAFKA_BOOTSTRAP_SERVERS", "kafka"), ("MONGODB_URI", "mongo")]
)
def test_infrastructure_that_the_environment_names_is_not_started(variable: str, name: str) -> None:
    options = Options.read({variable: "elsewhere"})
    assert name not in options.names
    assert options.given == (name,)


@pytest.mark.parametrize(
    ("only", "topics", "seed", "console"),
    [
        ("", True, True, True),
        ("kafka,mongo,simulator,sender", True, True, False),
        ("kafka,mongo", True, False, False),
        ("mongo", False, False, False),
    ],
)
def test_topics_and_the_first_page_are_made_where_somebody_needs_them(
    only: str, topics: bool, seed: bool, console: bool
) -> None:
    options = Options.read({}, only)
    made = (options.needs_topics, options.needs_seed, options.has_console)
    assert made == (topics, seed, console)


def test_busy_controller_port_of_kafka_is_found_before_the_start() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        offset = server.getsockname()[1] - 19093
        options = Options(names=("kafka",), given=(), offset=offset)
        with pytest.raises(StackError, match="kafka controller"):
            check_ports(options)


def test_each_service_is_a_module_with_its_own_port_and_the_shared_environment(
    tmp_path: Path,
) -> None:
    plan = plan_for(tmp_path, PORT_OFFSET="100")
    assert plan.infrastructure == ()
    assert [each.name for each in plan.services] == [spec.name for spec in SERVICES]
    for component, spec in zip(plan.services, SERVICES, strict=True):
        assert component.command[1:] == ("-m", spec.module)
        assert component.environment["HTTP_PORT"] == str(component.port)
        assert component.environment["KAFKA_BOOTSTRAP_SERVERS"] == "kafka:9092"
        assert component.environment["PYTHONPATH"].split(":")[0] == str(ROOT)
        assert component.stop_within_s == 25


def test_second_plan_uses_the_secrets_of_the_first(tmp_path: Path) -> None:
    first, second = plan_for(tmp_path), plan_for(tmp_path)
    assert (first.first_start, second.first_start) == (True, False)
    secrets = parse((tmp_path / "env").read_text())
    assert second.environment.items() >= secrets.items()


class AllJars:
    """A repository that holds every jar, as far as paths go."""

    def __init__(self, repository: Path) -> None:
        self.repository = repository

    def fetch(self, jar: Jar, into: Path) -> None:
        raise AssertionError("they are all there")


def test_other_peoples_servers_get_none_of_our_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.local.plan.class_path", lambda jars, *_: [Path("a.jar")])
    folder = StateFolder(tmp_path)
    folder.make()
    process = {"PATH": "/bin", "HOME": "/home/me", "LLM_API_KEY": "a key"}
    options = Options.read(process, "kafka,mongo")
    plan = make_plan(options, process, folder, print, AllJars(tmp_path))
    secrets = {*parse((tmp_path / "env").read_text()).values(), "a key"}
    for component in plan.infrastructure:
        assert secrets.isdisjoint(component.environment.values())
        assert component.environment["PATH"] == "/bin"


def test_kafka_is_formatted_only_the_first_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.local.plan.class_path", lambda jars, *_: [Path("a.jar")])
    folder = StateFolder(tmp_path)
    folder.make()
    options = Options.read({}, "kafka")
    first = make_plan(options, {}, folder, print, AllJars(tmp_path)).infrastructure[0]
    (tmp_path / "kafka/data/meta.properties").write_text("")
    second = make_plan(options, {}, folder, print, AllJars(tmp_path)).infrastructure[0]
    assert "format" in first.setup
    assert second.setup == ()


def test_a_service_that_is_started_again_has_the_secrets_that_stand_in_the_file_by_then(
    tmp_path: Path,
) -> None:
    plan = plan_for(tmp_path, "sender", LOG_HASH_KEY="from the environment")
    (sender,) = plan.services
    before = sender.environment_now()
    assert before == sender.environment
    secrets = StateFolder(tmp_path).secrets
    text = secrets.read_text(encoding="utf-8").replace(before["SERVICE_TOKEN"], "another")
    old = f"SERVICE_TOKEN_PREVIOUS={before['SERVICE_TOKEN']}\nLOG_HASH_KEY=of the file\n"
    secrets.write_text(text + old, encoding="utf-8")
    assert sender.environment_now() == before | {
        "SERVICE_TOKEN": "another",
        "SERVICE_TOKEN_PREVIOUS": before["SERVICE_TOKEN"],
    }
    secrets.write_text("no line of a file", encoding="utf-8")
    assert sender.environment_now() == before  # rather than nothing
