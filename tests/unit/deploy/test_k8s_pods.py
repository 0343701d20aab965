"""Every pod of deploy/k8s: who it is, what it may do, how it is asked and how it goes."""

import pytest

from libs.common.service import STOP_WITHIN_S
from libs.common.web import CHECK_WITHIN_S, OPEN_PATHS
from services.console.hashing import AT_ONCE
from tests.unit.deploy.manifests import (
    COMPONENTS,
    LOADS,
    OVERLAYS,
    SERVICES,
    Manifest,
    container_of,
    fits,
    name_of,
    of_kind,
    one,
    pod_of,
    rendered,
    settings_of,
)

USER = 10001
WRITES_ITS_ROOT = {"kafka"}  # of the local overlay: the image writes its configuration there
PROBES = ("startupProbe", "livenessProbe", "readinessProbe")


def loads() -> list[tuple[str, Manifest]]:
    return [
        (f"{overlay}: {name_of(load)}", load)
        for overlay in OVERLAYS
        for load in of_kind(rendered(overlay), *LOADS)
    ]


def deployments(overlay: str) -> list[Manifest]:
    return of_kind(rendered(overlay), "Deployment")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_service_is_there(overlay: str) -> None:
    names = {name_of(each) for each in deployments(overlay)}
    assert names == {*SERVICES} | ({"simulator"} if overlay == "local" else set())


def test_no_pod_may_more_than_it_needs() -> None:
    for where, load in loads():
        pod, container = pod_of(load)["spec"], container_of(load)
        context = container["securityContext"]
        assert pod["securityContext"]["runAsNonRoot"] is True, where
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, where
        assert context["allowPrivilegeEscalation"] is False, where
        assert context["capabilities"] == {"drop": ["ALL"]}, where
        writes = name_of(load) in WRITES_ITS_ROOT
        assert context.get("readOnlyRootFilesystem", False) is not writes, where
        assert pod["automountServiceAccountToken"] is False, where
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys(), where
        if "messenger-assistant/" in container["image"]:
            assert pod["securityContext"]["runAsUser"] == USER, where
            assert pod["securityContext"]["fsGroup"] == USER, where


def test_no_pod_is_told_of_services_by_variables() -> None:
    """GATEWAY_PORT=tcp://… would be taken for a setting."""
    for where, load in loads():
        assert pod_of(load)["spec"]["enableServiceLinks"] is False, where


def test_every_pod_says_what_it_needs_and_is_never_slowed_down() -> None:
    for where, load in loads():
        resources = container_of(load)["resources"]
        assert resources["requests"].keys() == {"cpu", "memory"}, where
        assert _bytes(resources["requests"]["memory"]) <= _bytes(resources["limits"]["memory"])
        assert float(resources["limits"]["cpu"]) >= 1, f"{where}: one process can use a core"


def test_the_console_has_memory_for_as_many_passwords_as_it_hashes_at_once() -> None:
    resting, one_hash = 96 << 20, 64 << 20
    memory = container_of(one(rendered("production"), "Deployment", "console"))["resources"]
    assert _bytes(memory["limits"]["memory"]) >= 2 * resting + AT_ONCE * one_hash
    assert _bytes(memory["requests"]["memory"]) >= resting + AT_ONCE * one_hash


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_probes_ask_paths_that_every_service_answers(overlay: str) -> None:
    for deployment in deployments(overlay):
        container = container_of(deployment)
        asked = {name: container[name]["httpGet"] for name in PROBES}
        assert {each["port"] for each in asked.values()} == {"http"}
        assert {each["path"] for each in asked.values()} <= OPEN_PATHS
        assert asked["readinessProbe"]["path"] == "/readyz"
        # an outage of Kafka must start nothing again
        assert asked["livenessProbe"]["path"] == asked["startupProbe"]["path"] == "/healthz"
        assert container["readinessProbe"]["timeoutSeconds"] > CHECK_WITHIN_S


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_load_balancer_closes_its_connections_to_the_gateway_first(overlay: str) -> None:
    """Usually after 60 s. If we were first, what it sends at that moment would be lost."""
    (rest,) = (
        each["value"]
        for each in container_of(one(rendered(overlay), "Deployment", "gateway"))["env"]
        if each["name"] == "GATEWAY_IDLE_TIMEOUT_S"
    )
    assert float(rest) > 60


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_service_has_the_time_it_was_promised_to_stop(overlay: str) -> None:
    for name in SERVICES:
        deployment = one(rendered(overlay), "Deployment", name)
        pause = container_of(deployment)["lifecycle"]["preStop"]["sleep"]["seconds"]
        grace = pod_of(deployment)["spec"]["terminationGracePeriodSeconds"]
        assert pause >= 5, "whoever sends requests has to hear of it"
        assert grace >= pause + STOP_WITHIN_S + 1


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_crashed_container_keeps_its_partitions_and_a_pod_that_goes_leaves_them(
    overlay: str,
) -> None:
    manifests = rendered(overlay)
    for name in SERVICES:
        deployment = one(manifests, "Deployment", name)
        named = {each["name"]: each.get("valueFrom") for each in container_of(deployment)["env"]}
        assert named["KAFKA_INSTANCE_ID"] == {"fieldRef": {"fieldPath": "metadata.name"}}
        # without it, every update would leave people waiting for a session timeout
        assert settings_of(manifests, deployment)["KAFKA_LEAVE_ON_STOP"] == "true"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_update_never_leaves_a_service_without_a_pod(overlay: str) -> None:
    for name in SERVICES:
        spec = one(rendered(overlay), "Deployment", name)["spec"]
        assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


def test_pods_of_a_service_are_spread() -> None:
    for name in SERVICES:
        deployment = one(rendered("production"), "Deployment", name)
        spread = pod_of(deployment)["spec"]["topologySpreadConstraints"]
        keys = {each["topologyKey"] for each in spread}
        assert keys == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}
        for each in spread:
            assert fits(each["labelSelector"], pod_of(deployment))
            assert "app.kubernetes.io/name" in each["matchLabelKeys"]


@pytest.mark.parametrize(("overlay", "components"), [("local", ()), ("production", COMPONENTS)])
def test_selectors_find_what_they_are_meant_for(overlay: str, components: tuple[str, ...]) -> None:
    manifests = rendered(overlay, components)
    pods = {name_of(each): pod_of(each) for each in of_kind(manifests, *LOADS)}
    for load in of_kind(manifests, "Deployment", "StatefulSet"):
        assert fits(load["spec"]["selector"], pod_of(load))
    for service in of_kind(manifests, "Service"):
        selector = {"matchLabels": service["spec"]["selector"]}
        assert _found(selector, pods) == {name_of(service)}
        (container,) = pods[name_of(service)]["spec"]["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        for port in service["spec"]["ports"]:
            assert ports.get(port.get("targetPort", port["name"])) == port["port"]
    for budget in of_kind(manifests, "PodDisruptionBudget"):
        assert _found(budget["spec"]["selector"], pods) == {name_of(budget)}
    for monitor in of_kind(manifests, "PodMonitor"):
        assert _found(monitor["spec"]["selector"], pods) == {*SERVICES}


def test_each_pod_has_a_service_account_of_its_own_that_may_nothing() -> None:
    manifests = rendered("production")
    for load in of_kind(manifests, *LOADS):
        account = one(manifests, "ServiceAccount", name_of(load))
        assert pod_of(load)["spec"]["serviceAccountName"] == name_of(load)
        assert account["automountServiceAccountToken"] is False
    assert of_kind(manifests, "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding") == []


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_change_of_settings_rolls_the_pods_and_not_the_job(overlay: str) -> None:
    for load in of_kind(rendered(overlay), "Deployment", "Job"):
        (source,) = container_of(load)["envFrom"]
        name = source["configMapRef"]["name"]
        if load["kind"] == "Job":  # whose template can't be changed
            assert name == "topics-settings"
        else:
            assert name.startswith("settings-")


def test_the_job_can_be_applied_again() -> None:
    job = one(rendered("production"), "Job", "topics")
    assert job["spec"]["ttlSecondsAfterFinished"] <= 300
    assert container_of(job)["command"] == ["python", "-m", "libs.common.kafka.topics"]
    assert pod_of(job)["spec"]["restartPolicy"] == "OnFailure"


def _bytes(text: str) -> int:
    units = {"Mi": 1 << 20, "Gi": 1 << 30}
    return int(text[:-2]) * units[text[-2:]]


def _found(selector: Manifest, pods: dict[str, Manifest]) -> set[str]:
    return {name for name, pod in pods.items() if fits(selector, pod)}
