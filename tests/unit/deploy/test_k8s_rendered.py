"""deploy/k8s renders, and an API server would take all of it."""

import copy
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from deploy.k8s.generated import documents
from tests.unit.deploy.composing import services
from tests.unit.deploy.manifests import (
    COMPONENTS,
    K8S,
    MISSING,
    OVERLAYS,
    SERVICES,
    ToolMissingError,
    container_of,
    every_set,
    name_of,
    of_kind,
    one,
    problem_of,
    rendered,
    renderer,
)

OURS = {f"messenger-assistant/{name}" for name in (*SERVICES, "simulator")}
DASHBOARDS = K8S.parent / "grafana" / "dashboards"
OTHERS = {"apache/kafka", "mongo"}


@pytest.mark.parametrize(("overlay", "components"), [*every_set()])
def test_what_is_rendered_is_taken_by_an_api_server(
    overlay: str, components: tuple[str, ...]
) -> None:
    manifests = rendered(overlay, components)

    known = rendered(overlay) if components else ()
    problems = {
        f"{each['kind']}/{name_of(each)}": problem_of(each)
        for each in manifests
        if each not in known
    }
    assert {name: why for name, why in problems.items() if why} == {}
    names = {(each["kind"], name_of(each)) for each in manifests}
    assert len(names) == len(manifests), "two of one kind and name"
    assert {each["metadata"].get("namespace") for each in manifests} == {"messenger-assistant"}


@pytest.mark.parametrize(
    ("kind", "name", "path", "value"),
    [
        ("Deployment", "gateway", ("spec", "minReadySeconds"), "two"),
        ("Deployment", "sender", ("spec", "replica"), 2),
        ("Deployment", "console", ("spec", "template", "spec", "containers", 0, "port"), []),
        ("NetworkPolicy", "to-kafka", ("spec", "podSelectors"), {}),
        ("ScaledObject", "sender", ("spec", "maxReplicas"), 3),
        ("ScaledObject", "sender", ("spec", "maxReplicaCount"), "3"),
        ("ScaledObject", "sender", ("spec", "triggers", 0, "metadata", "lagThreshold"), 500),
        ("Kafka", "assistant", ("spec", "kafka", "listeners", 0, "tls"), "yes"),
        ("KafkaTopic", "messenger.events", ("spec", "partition"), 12),
        ("KafkaUser", "messenger-assistant", ("spec", "authentication", "type"), "none"),
        ("KafkaNodePool", "node", ("spec", "role"), "broker"),
        ("MongoDBCommunity", "mongodb", ("spec", "member"), 3),
        ("PodMonitor", "messenger-assistant", ("spec", "podMetricsEndpoints", 0, "ports"), "http"),
        ("PrometheusRule", "messenger-assistant", ("spec", "group"), []),
        ("HTTPRoute", "gateway", ("spec", "hostname"), "hooks.example.org"),
        ("TriggerAuthentication", "kafka", ("spec", "secretTargetRefs"), []),
    ],
)
def test_what_an_api_server_would_refuse_or_drop_is_found(
    kind: str, name: str, path: tuple[str | int, ...], value: object
) -> None:
    manifest: Any = copy.deepcopy(one(rendered("production", COMPONENTS), kind, name))
    assert problem_of(manifest) is None

    *way, last = path
    place = manifest
    for step in way:
        place = place[step]
    place[last] = value

    assert problem_of(manifest) is not None


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_image_is_ours_or_known_and_has_a_version(overlay: str) -> None:
    for load in of_kind(rendered(overlay), "Deployment", "StatefulSet", "Job"):
        name, colon, version = container_of(load)["image"].rpartition(":")
        assert colon, f"{name_of(load)}: no version"
        assert version not in {"", "latest"}
        short = name.removeprefix("registry.example.org/")
        assert short in OURS | (OTHERS if overlay == "local" else set())


def test_kafka_and_mongodb_of_the_small_cluster_are_those_of_compose() -> None:
    for name in ("kafka", "mongodb"):
        image = container_of(one(rendered("local"), "StatefulSet", name))["image"]
        assert image == services()[name]["image"]


def test_each_service_runs_from_its_own_image() -> None:
    for name in SERVICES:
        image = container_of(one(rendered("production"), "Deployment", name))["image"]
        assert image.rpartition(":")[0].endswith(f"messenger-assistant/{name}")


def test_nothing_holds_a_secret() -> None:
    for overlay, components in every_set():
        assert of_kind(rendered(overlay, components), "Secret") == []


def test_the_namespace_keeps_to_the_strictest_standard() -> None:
    namespace = yaml.safe_load((K8S / "namespace.yaml").read_text(encoding="utf-8"))
    assert problem_of(namespace) is None
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_what_repeats_topics_and_rules_is_current() -> None:
    for path, text in documents().items():
        assert path.read_text(encoding="utf-8") == text, "run: python -m deploy.k8s.generated"


def test_every_dashboard_is_handed_to_grafana_and_small_enough_to_be_applied() -> None:
    maps = [
        each
        for each in of_kind(rendered("production", COMPONENTS), "ConfigMap")
        if each["metadata"].get("labels", {}).get("grafana_dashboard") == "1"
    ]
    given = {name: text for each in maps for name, text in each["data"].items()}
    files = {path.name: path.read_text(encoding="utf-8") for path in DASHBOARDS.glob("*.json")}
    assert given == files
    assert files
    # `kubectl apply` keeps a copy in an annotation, which may have 256 KiB
    assert max(len(text.encode()) for text in given.values()) < 250_000


@pytest.fixture
def no_tool(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    renderer.cache_clear()
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    yield
    renderer.cache_clear()


def test_a_missing_tool_is_an_error_that_says_how_to_get_it(no_tool: None) -> None:
    with pytest.raises(ToolMissingError) as raised:
        renderer()
    assert str(raised.value) == MISSING
