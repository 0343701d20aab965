"""What the command that makes topics takes from the environment."""

import asyncio
from types import SimpleNamespace

import pytest

from libs.common.kafka import topics
from libs.common.kafka.topics import Settings, TopicSettings, copies_of, main, wanted_topics
from libs.common.settings import KafkaSettings, load
from libs.common.topics import COMMANDS, DEAD_LETTERS, EVENTS

DAY_MS = 86_400_000


def test_retention_is_what_the_variables_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_EVENTS_DAYS", "2")
    monkeypatch.setenv("KAFKA_DEAD_LETTERS_DAYS", "14")
    days = {
        topic.name: int(topic.config["retention.ms"]) / DAY_MS
        for topic in wanted_topics(load(Settings).topics)
    }
    assert days == {EVENTS: 2, COMMANDS: 2, DEAD_LETTERS: 14, "messenger.channels": 30}


@pytest.mark.parametrize(("env", "copies"), [("production", 3), ("development", 1), ("test", 1)])
def test_production_keeps_three_copies(
    monkeypatch: pytest.MonkeyPatch, env: str, copies: int
) -> None:
    monkeypatch.delenv("KAFKA_REPLICATION", raising=False)
    assert copies_of(TopicSettings(), env) == copies
    monkeypatch.setenv("KAFKA_REPLICATION", "2")
    assert copies_of(TopicSettings(), env) == 2


class FewBrokers:
    """Kafka that refuses once, and then does not answer in time."""

    asked = 0

    async def list_topics(self) -> list[str]:
        return []

    async def create_topics(self, _topics: object) -> SimpleNamespace:
        self.asked += 1
        if self.asked > 1:
            await asyncio.Event().wait()
        return SimpleNamespace(topic_errors=[(EVENTS, 38, "3 wanted, 1 there")])

    async def close(self) -> None: ...


async def test_too_few_brokers_are_told_also_if_the_last_answer_does_not_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def connected(*_: object) -> FewBrokers:
        return FewBrokers()

    monkeypatch.setattr(topics, "_connected", connected)
    with pytest.raises(topics.TopicsRefusedError, match="KAFKA_REPLICATION is wrong: 3 wanted"):
        await topics.ensure_topics(KafkaSettings(), wanted_topics(TopicSettings()), 3, within_s=1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KAFKA_EVENTS_DAYS", "8"),  # what remembers events is made for 7 days
        ("KAFKA_DEAD_LETTERS_DAYS", "31"),
        ("KAFKA_REPLICATION", "0"),
    ],
)
def test_what_no_topic_may_be_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 78
    assert capsys.readouterr().err.startswith(f"{name} is wrong")


def test_without_kafka_it_says_so_in_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9")
    assert main(["--within", "0.1"]) == 1
    assert "Kafka can't be reached at 127.0.0.1:9" in capsys.readouterr().err


def test_certificates_that_are_not_there_are_told_by_their_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    monkeypatch.setenv("KAFKA_SSL_CA_FILE", "/nowhere/ca.pem")
    assert main(["--within", "0.1"]) == 1
    assert "KAFKA_SSL_CA_FILE is wrong" in capsys.readouterr().err
