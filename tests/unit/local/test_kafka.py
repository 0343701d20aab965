import base64
from pathlib import Path

from deploy.local import kafka


def parsed(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines())


def test_kafka_listens_on_loopback_only_and_on_the_given_ports() -> None:
    values = parsed(kafka.properties(20092, 20093, Path("/state/kafka")))
    assert values["listeners"] == "BROKER://127.0.0.1:20092,CONTROLLER://127.0.0.1:20093"
    assert values["advertised.listeners"] == "BROKER://127.0.0.1:20092"
    assert values["controller.quorum.voters"] == "1@127.0.0.1:20093"
    assert values["log.dirs"] == "/state/kafka"


def test_topics_come_from_our_list_alone() -> None:
    assert parsed(kafka.properties(1, 2, Path("x")))["auto.create.topics.enable"] == "false"


def test_cluster_ids_are_random_and_written_as_kafka_writes_them() -> None:
    ids = {kafka.new_cluster_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert not any(each.startswith("-") for each in ids)  # an option, for Kafka's tools
    assert all(len(base64.urlsafe_b64decode(each + "==")) == 16 for each in ids)
