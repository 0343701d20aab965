"""Who may have how many pods, and what a node's drain and Kafka have to say to that."""

import pytest

import libs.common.kafka.topics
import services.conversation.app
import services.sender.app
from libs.common.topics import COMMANDS, EVENTS, TOPICS
from tests.unit.deploy.manifests import (
    COMPONENTS,
    OVERLAYS,
    SERVICES,
    Manifest,
    name_of,
    of_kind,
    one,
    rendered,
    settings_of,
)

PARTITIONS = {topic.name: topic.partitions for topic in TOPICS}
GROUPS = {
    "conversation": {
        (EVENTS, services.conversation.app.NAME),
        (EVENTS, services.conversation.app.HISTORY_GROUP),
    },
    "sender": {(COMMANDS, services.sender.app.NAME)},
}
KEDAS_WORDS = {
    "PLAIN": "plaintext",
    "SCRAM-SHA-256": "scram_sha256",
    "SCRAM-SHA-512": "scram_sha512",
}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_node_can_always_be_drained_and_takes_one_pod_of_a_service_at_a_time(
    overlay: str,
) -> None:
    budgets = of_kind(rendered(overlay), "PodDisruptionBudget")
    assert {name_of(each) for each in budgets} == {*SERVICES}
    for each in budgets:
        spec = {key: value for key, value in each["spec"].items() if key != "selector"}
        # minAvailable: 1 would hold a node with a single pod for ever
        assert spec == {"maxUnavailable": 1, "unhealthyPodEvictionPolicy": "AlwaysAllow"}


def test_in_production_every_service_has_two_pods_at_least() -> None:
    manifests = rendered("production")
    scaled = {each["spec"]["scaleTargetRef"]["name"]: each for each in _scalers(manifests)}
    for name in SERVICES:
        replicas = one(manifests, "Deployment", name)["spec"].get("replicas")
        if name in scaled:
            assert scaled[name]["spec"]["minReplicas"] >= 2
        else:
            assert replicas == 2


@pytest.mark.parametrize(
    ("overlay", "components"), [("local", ()), ("production", ()), ("production", ("keda",))]
)
def test_a_deployment_has_one_master_that_says_how_many_pods(
    overlay: str, components: tuple[str, ...]
) -> None:
    manifests = rendered(overlay, components)
    scaled = [each["spec"]["scaleTargetRef"]["name"] for each in _scalers(manifests)]
    assert len(scaled) == len({*scaled}), "two scalers of one deployment"
    for name in SERVICES:
        has_number = "replicas" in one(manifests, "Deployment", name)["spec"]
        assert has_number is not (name in scaled), f"{name}: an apply would set it back"


def test_keda_looks_at_groups_and_topics_of_the_code() -> None:
    manifests = rendered("production", ("keda",))
    seen: dict[str, set[tuple[str, str]]] = {}
    for each in of_kind(manifests, "ScaledObject"):
        triggers = [trigger["metadata"] for trigger in each["spec"]["triggers"]]
        seen[each["spec"]["scaleTargetRef"]["name"]] = {
            (trigger["topic"], trigger["consumerGroup"]) for trigger in triggers
        }
        for trigger in triggers:
            # more pods than partitions would have nothing to do
            assert each["spec"]["maxReplicaCount"] <= PARTITIONS[trigger["topic"]]
        assert each["spec"]["minReplicaCount"] >= 2
    assert seen == GROUPS


def test_keda_signs_in_to_kafka_as_the_services_do() -> None:
    manifests = rendered("production", ("keda",))
    settings = settings_of(manifests, one(manifests, "Deployment", "sender"))
    for each in of_kind(manifests, "ScaledObject"):
        for trigger in (trigger["metadata"] for trigger in each["spec"]["triggers"]):
            assert trigger["sasl"] == KEDAS_WORDS[settings["KAFKA_SASL_MECHANISM"]]
            encrypted = settings["KAFKA_SECURITY_PROTOCOL"].endswith("SSL")
            assert trigger["tls"] == ("enable" if encrypted else "disable")
            assert settings[trigger["bootstrapServersFromEnv"]]
    auth = one(manifests, "TriggerAuthentication", "kafka")["spec"]
    assert [each["name"] for each in auth["env"]] == ["KAFKA_SASL_USERNAME"]
    assert [each["key"] for each in auth["secretTargetRef"]] == ["KAFKA_SASL_PASSWORD"]


def test_strimzis_topics_are_those_of_the_code() -> None:
    manifests = rendered("production", COMPONENTS)
    topics = {name_of(each): each["spec"] for each in of_kind(manifests, "KafkaTopic")}
    assert topics.keys() == PARTITIONS.keys()
    for topic in TOPICS:
        spec = topics[topic.name]
        assert spec["partitions"] == topic.partitions
        assert spec["replicas"] == libs.common.kafka.topics.COPIES_IN_PRODUCTION
        assert {key: str(value) for key, value in spec["config"].items()} == topic.config
    # two who look after topics would undo each other's work
    assert of_kind(manifests, "Job") == []


def test_strimzis_kafka_is_the_one_that_the_services_are_sent_to() -> None:
    manifests = rendered("production", COMPONENTS)
    kafka = one(manifests, "Kafka", "assistant")
    (listener,) = kafka["spec"]["kafka"]["listeners"]
    user = one(manifests, "KafkaUser", "messenger-assistant")
    for name in SERVICES:
        settings = settings_of(manifests, one(manifests, "Deployment", name))
        address = f"{name_of(kafka)}-kafka-bootstrap:{listener['port']}"
        assert settings["KAFKA_BOOTSTRAP_SERVERS"] == address
        assert settings["KAFKA_SECURITY_PROTOCOL"] == "SASL_SSL"
        mechanism = settings["KAFKA_SASL_MECHANISM"].lower()
        assert listener["authentication"]["type"] == mechanism
        assert user["spec"]["authentication"]["type"] == mechanism
        assert settings["KAFKA_SASL_USERNAME"] == name_of(user)
        pod = one(manifests, "Deployment", name)["spec"]["template"]["spec"]
        mounts = {each["name"]: each["mountPath"] for each in pod["containers"][0]["volumeMounts"]}
        assert settings["KAFKA_SSL_CA_FILE"] == f"{mounts['kafka-ca']}/ca.crt"


def test_mongodbs_operator_writes_where_the_services_read() -> None:
    manifests = rendered("production", COMPONENTS)
    (user,) = one(manifests, "MongoDBCommunity", "mongodb")["spec"]["users"]
    readers = 0
    for deployment in of_kind(manifests, "Deployment"):
        pod = deployment["spec"]["template"]["spec"]
        for volume in pod["volumes"]:
            for source in volume.get("projected", {}).get("sources", []):
                for item in source["secret"]["items"]:
                    if item["path"] == "MONGODB_URI":
                        readers += 1
                        assert source["secret"]["name"] == user["connectionStringSecretName"]
                        assert item["key"] == "connectionString.standard"
    assert readers == 5


def _scalers(manifests: tuple[Manifest, ...]) -> list[Manifest]:
    return of_kind(manifests, "HorizontalPodAutoscaler", "ScaledObject")
