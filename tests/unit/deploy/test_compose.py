"""deploy/compose: what Compose would refuse, or what would only fail when somebody starts it."""

import json
import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from importlib.resources import files
from typing import Any

import jsonschema
import pytest
import yaml
from aiohttp import web

from deploy.local.jars import locked
from deploy.local.ports import DEFAULTS as PORTS
from libs.common.service import STOP_WITHIN_S
from libs.common.web import Readiness, base_app
from tests.unit.deploy.composing import (
    EXAMPLE,
    FOLDER,
    ONE_SHOT,
    OURS,
    environment_of,
    interpolated,
    project,
    real_env,
    services,
    simulated_env,
)

SCHEMA = files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
LASTING = tuple(name for name in services() if name not in ONE_SHOT)
DURATION = re.compile(r"^(\d+)s$")

every = pytest.mark.parametrize("name", services())
lasting = pytest.mark.parametrize("name", LASTING)


def schema_errors(document: Mapping[str, Any]) -> list[str]:
    schema = json.loads(SCHEMA.read_text())
    validator = jsonschema.validators.validator_for(schema)(schema)
    return [error.message for error in validator.iter_errors(document)]


def test_it_is_what_compose_specifies() -> None:
    assert schema_errors(project()) == []


@pytest.mark.parametrize(
    ("service", "field", "value"),
    [("gateway", "read-only", True), ("kafka", "ports", "9092"), ("kafka", "command", {"a": 1})],
)
def test_the_schema_finds_mistakes(service: str, field: str, value: Any) -> None:  # noqa: ANN401
    broken = deepcopy(dict(project()))
    broken["services"][service][field] = value
    assert schema_errors(broken)


@every
def test_nothing_in_a_container_can_be_changed_or_gain_rights(name: str) -> None:
    service = services()[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert service.get("user") != "0:0"
    assert any(entry.startswith("/tmp") for entry in service["tmpfs"])  # noqa: S108 - in there


@every
def test_no_container_can_take_all_of_the_machine(name: str) -> None:
    service = services()[name]
    limits = service["deploy"]["resources"]["limits"]
    assert set(limits) == {"cpus", "memory", "pids"}
    assert set(service["logging"]["options"]) == {"max-size", "max-file"}


@lasting
def test_what_lasts_is_watched_and_comes_back(name: str) -> None:
    service = services()[name]
    assert service["restart"] == "unless-stopped"
    check = service["healthcheck"]
    timeout, interval = (int(DURATION.match(check[k])[1]) for k in ("timeout", "interval"))  # type: ignore[index]
    assert timeout < interval
    assert check["test"][0] == "CMD"


@pytest.mark.parametrize("name", OURS)
def test_our_health_checks_ask_for_what_the_code_has(name: str) -> None:
    *_, module, path = services()[name]["healthcheck"]["test"]
    assert module == "libs.common.probe"
    routes = base_app(Readiness()).router.resources()
    assert path in {r.canonical for r in routes if isinstance(r, web.PlainResource)}


@pytest.mark.parametrize("name", OURS)
def test_our_services_may_finish_what_is_in_flight(name: str) -> None:
    grace = DURATION.match(services()[name]["stop_grace_period"])
    assert grace is not None
    assert int(grace[1]) > STOP_WITHIN_S
    assert services()[name]["init"] is True


def published() -> Iterator[tuple[str, str, str, int]]:
    """Each published port: whose, on which address, and the port outside and inside."""
    for name, service in services().items():
        for entry in service.get("ports", []):
            address, outside, inside = interpolated(entry, {}).split(":")
            yield name, address, outside, int(inside)


def test_only_this_machine_reaches_a_port() -> None:
    assert {address for _, address, _, _ in published()} == {"127.0.0.1"}


def test_ports_are_those_that_everything_else_counts_on() -> None:
    found = {name: (int(outside), inside) for name, _, outside, inside in published()}
    ours = {name: ports for name, ports in found.items() if name in PORTS}
    assert ours == {name: (PORTS[name],) * 2 for name in ("gateway", "console", "simulator")}
    assert set(found) - set(ours) == {"prometheus", "grafana"}


def test_kafka_and_the_database_are_reached_by_services_only() -> None:
    assert project()["networks"]["data"] == {"internal": True}
    for name in ("kafka", "mongodb", *ONE_SHOT):
        assert services()[name]["networks"] == ["data"]
    for name in ("simulator", "prometheus", "grafana"):
        assert "data" not in services()[name].get("networks", [])


@every
def test_what_it_waits_for_can_happen(name: str) -> None:
    """Healthy: somebody looks. Completed: it ends. Nothing waits for what a profile leaves out."""
    for other, how in services()[name].get("depends_on", {}).items():
        target = services()[other]
        assert not set(target.get("profiles", [])) - set(services()[name].get("profiles", []))
        match how["condition"]:
            case "service_healthy":
                assert "test" in target["healthcheck"]
            case "service_completed_successfully":
                assert other in ONE_SHOT
                assert target["restart"] == "no"
            case condition:
                assert condition == "service_started"


def test_nothing_waits_for_itself() -> None:
    left = {name: set(service.get("depends_on", {})) for name, service in services().items()}
    while left:
        free = {name for name, waits in left.items() if not waits & set(left)}
        assert free, f"a circle among {sorted(left)}"
        left = {name: waits for name, waits in left.items() if name not in free}


@pytest.mark.parametrize("name", ONE_SHOT)
def test_up_with_wait_knows_that_what_ends_is_meant_to(name: str) -> None:
    """Else Compose takes a container that has ended for a failure, exit status 0 or not."""
    waiting = [s for s in LASTING if name in services()[s].get("depends_on", {})]
    assert [s for s in waiting if "profiles" not in services()[s]]


@pytest.mark.parametrize("name", OURS)
def test_each_of_our_images_is_built_for_its_service(name: str) -> None:
    service = services()[name]
    assert service["image"].startswith(f"messenger-assistant/{name}:")
    assert service["build"]["args"] == {"SERVICE": name}
    assert (FOLDER / service["build"]["context"] / service["build"]["dockerfile"]).is_file()


def test_images_of_others_are_pinned_and_kafka_is_the_one_that_is_tested() -> None:
    images = {name: s["image"] for name, s in services().items() if "build" not in s}
    assert all(re.search(r":v?\d+\.\d+\.\d+$", image) for image in images.values()), images
    (kafka,) = [jar for jar in locked("kafka") if jar.artifact.startswith("kafka_")]
    assert images["kafka"] == f"apache/kafka:{kafka.version}"


@every
def test_what_is_mounted_is_in_the_repository_or_is_a_volume(name: str) -> None:
    for entry in services()[name].get("volumes", []):
        source, _, rest = entry.partition(":")
        if source.startswith("."):
            assert (FOLDER / source).exists(), source
            assert rest.endswith(":ro")
        else:
            assert source in project()["volumes"]


def test_every_volume_is_used() -> None:
    mounts = {
        entry.partition(":")[0] for s in services().values() for entry in s.get("volumes", [])
    }
    assert set(project()["volumes"]) <= mounts


def test_kafka_tells_clients_the_address_that_they_are_given() -> None:
    lines = (FOLDER / "kafka" / "server.properties").read_text().splitlines()
    properties = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    given = environment_of("sender", real_env())["KAFKA_BOOTSTRAP_SERVERS"]
    assert properties["advertised.listeners"] == f"PLAINTEXT://{given}"
    (volume,) = [v for v in services()["kafka"]["volumes"] if v.startswith("kafka:")]
    assert volume == f"kafka:{properties['log.dirs']}"
    assert environment_of("topics", real_env())["KAFKA_REPLICATION"] == "1"


def test_without_an_env_file_compose_says_what_to_do() -> None:
    for name in ("gateway", "sender", "console", "simulator"):
        with pytest.raises(LookupError, match="make compose-secrets"):
            environment_of(name, {})


def test_with_the_simulator_everything_is_on_this_machine() -> None:
    env = simulated_env()
    assert env["COMPOSE_PROFILES"] == "simulator"
    for name in OURS:
        given = environment_of(name, env)
        assert given["ENV"] == "development"
        assert not [value for value in given.values() if "facebook.com" in value]
    simulator = environment_of("simulator", env)
    assert environment_of("sender", env)["GRAPH_API_URL"] == simulator["SIMULATOR_URL"]
    assert simulator["WEBHOOK_TARGET_URL"] == f"{env['PUBLIC_URL']}/webhooks/messenger"


def test_for_a_real_page_everything_is_metas() -> None:
    env = real_env()
    assert "COMPOSE_PROFILES" not in env
    for name in OURS[:-1]:
        assert environment_of(name, env)["ENV"] == "production"
    assert environment_of("console", env)["FACEBOOK_DIALOG_URL"] == "https://www.facebook.com"
    assert environment_of("sender", env)["GRAPH_API_URL"] == "https://graph.facebook.com"
    assert set(EXAMPLE) <= set(env)


def test_every_variable_of_the_env_files_is_used() -> None:
    text = (FOLDER / "compose.yaml").read_text()
    for env in (simulated_env(), real_env()):
        for name in set(env) - {"COMPOSE_PROFILES"}:
            assert f"${{{name}:" in text, name


def test_prometheus_looks_at_containers_that_there_are() -> None:
    config = yaml.safe_load((FOLDER / ".." / "prometheus" / "prometheus.yml").read_text())
    targets = {
        target
        for job in config["scrape_configs"]
        for group in job["static_configs"]
        for target in group["targets"]
        if job["job_name"] in OURS
    }
    assert targets == {f"{name}:{PORTS[name]}" for name in OURS if name != "simulator"}
