"""`python -m libs.common.kafka.topics`: makes the topics, and brings those there are up to date.

Safe to repeat, and for several at once. Missing topics are made; retention is set to what is
wanted; partitions are added where there are too few, and never taken away. Partitions that are
added move keys: for a moment, records of one conversation lie in two of them.

Reads the KAFKA_ variables that services read, and its own. Ends with 0 if all is as wanted, 1 if
Kafka was away or refused, 78 if a variable is wrong.
"""

import argparse
import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import InvalidPartitionsError, KafkaError
from pydantic import Field
from pydantic_settings import SettingsConfigDict

from libs.common.errors import PermanentError, ProjectError
from libs.common.kafka.connection import client_options
from libs.common.kafka.errors import KafkaUnavailableError
from libs.common.settings import KafkaSettings, RuntimeSettings, SettingsGroup, load
from libs.common.topics import COMMANDS, DEAD_LETTERS, EVENTS, EVENTS_KEPT, LETTERS_KEPT, TOPICS
from libs.common.topics import TopicSpec as Spec

WITHIN_S = 60.0
COPIES_IN_PRODUCTION = 3
FAILED = 1
_AGAIN_AFTER_S = 0.2
_EXISTS = 36  # TOPIC_ALREADY_EXISTS: somebody was quicker
_TOO_FEW_BROKERS = 38  # INVALID_REPLICATION_FACTOR
_UNKNOWN = 3  # UNKNOWN_TOPIC_OR_PARTITION
_SET_ON_THE_TOPIC = 1  # DYNAMIC_TOPIC_CONFIG, of all places that a value can come from


class TopicSettings(SettingsGroup):
    """`KAFKA_*` of the topics themselves."""

    model_config = SettingsConfigDict(env_prefix="KAFKA_")

    replication: int | None = Field(
        None,
        ge=1,
        le=7,
        description="copies of each record of topics that are made; not set: 3 in production, "
        "else 1",
    )
    events_days: int = Field(
        EVENTS_KEPT.days,
        ge=1,
        le=EVENTS_KEPT.days,
        description="how long events and commands are kept",
    )
    dead_letters_days: int = Field(
        LETTERS_KEPT.days, ge=1, le=LETTERS_KEPT.days, description="how long dead letters are kept"
    )


class Settings(SettingsGroup):
    """What this command reads from the environment."""

    runtime: RuntimeSettings = Field(default_factory=RuntimeSettings)
    kafka: KafkaSettings = Field(default_factory=KafkaSettings)
    topics: TopicSettings = Field(default_factory=TopicSettings)


class TopicsRefusedError(PermanentError):
    """Kafka does not take the topics as they are wanted."""

    code = "topics_refused"


def wanted_topics(settings: TopicSettings) -> tuple[Spec, ...]:
    """All topics, kept for as long as the settings say."""
    events = timedelta(days=settings.events_days)
    kept = {EVENTS: events, COMMANDS: events}
    kept[DEAD_LETTERS] = timedelta(days=settings.dead_letters_days)
    return tuple(replace(each, kept=kept.get(each.name, each.kept)) for each in TOPICS)


def copies_of(settings: TopicSettings, env: str) -> int:
    """How many copies of each record a new topic gets."""
    return settings.replication or (COPIES_IN_PRODUCTION if env == "production" else 1)


async def ensure_topics(
    kafka: KafkaSettings, topics: Sequence[Spec], copies: int, within_s: float = WITHIN_S
) -> list[str]:
    """Have Kafka keep these topics; what was done, a line each.

    Args:
        copies: of each record of topics that are made. Those that are there keep theirs.

    Raises:
        KafkaUnavailableError: it can't be reached for `within_s`, or does not answer.
        TopicsRefusedError: it does not take them as they are wanted.
    """
    until = asyncio.get_running_loop().time() + within_s
    too_few: list[str] = []
    async with _admin(kafka, until) as admin:
        try:
            async with asyncio.timeout_at(until):
                made = await _make_missing(admin, topics, copies, too_few)
                grown = await _see_to_partitions(admin, topics, copies, until)
                return [*made, *grown, *await _set_retention(admin, topics)]
        except TimeoutError:
            if too_few:
                raise TopicsRefusedError(f"KAFKA_REPLICATION is wrong: {too_few[-1]}") from None
            raise KafkaUnavailableError(f"no answer within {within_s:g} s") from None
        except KafkaError as error:
            raise TopicsRefusedError(f"{type(error).__name__}: {error}") from error


@asynccontextmanager
async def _admin(kafka: KafkaSettings, until: float) -> AsyncIterator[AIOKafkaAdminClient]:
    """A client that is connected: waited for until that moment of the loop's clock."""
    try:
        options = client_options(kafka, "topics")
    except OSError as error:
        raise TopicsRefusedError(f"KAFKA_SSL_CA_FILE is wrong: {type(error).__name__}") from None
    admin = await _connected(options, until)
    try:
        yield admin
    finally:
        await admin.close()


async def _connected(options: Mapping[str, Any], until: float) -> AIOKafkaAdminClient:
    loop, problem = asyncio.get_running_loop(), "no answer"
    while loop.time() < until:
        admin = AIOKafkaAdminClient(**options)
        try:
            async with asyncio.timeout_at(until):
                await admin.start()
        except (KafkaError, OSError, TimeoutError) as error:
            problem = str(error) or problem
            await admin.close()
            await asyncio.sleep(_AGAIN_AFTER_S)
        else:
            return admin
    raise KafkaUnavailableError(
        f"Kafka can't be reached at {options['bootstrap_servers']}: {problem}"
    )


async def _make_missing(
    admin: AIOKafkaAdminClient, topics: Sequence[Spec], copies: int, too_few: list[str]
) -> list[str]:
    """Goes on for as long as there are too few brokers: `too_few` holds what Kafka says of that."""
    present = set(await admin.list_topics())
    missing = {topic.name: topic for topic in topics if topic.name not in present}
    made = []
    while missing:
        response = await admin.create_topics([_new(each, copies) for each in missing.values()])
        too_few.clear()
        for name, code, message in response.topic_errors:
            if code == _TOO_FEW_BROKERS:
                too_few.append(str(message))
            elif code in {0, _EXISTS}:
                topic = missing.pop(name)
                made += [f"{name}: made, {_described(topic, copies)}"] * (code == 0)
            else:
                raise TopicsRefusedError(f"{name}: {message or f'error {code}'}")
        if too_few:  # of a cluster that starts, others may still come
            await asyncio.sleep(_AGAIN_AFTER_S)
    return made


async def _see_to_partitions(
    admin: AIOKafkaAdminClient, topics: Sequence[Spec], copies: int, until: float
) -> list[str]:
    """Bring topics of an older version up to date. Kafka never takes partitions away."""
    done = []
    for topic in topics:
        while partitions := await _partitions(admin, topic.name):
            if len(partitions) >= topic.partitions:
                break
            wanted = {topic.name: NewPartitions(total_count=topic.partitions)}
            try:
                await admin.create_partitions(wanted)
            except InvalidPartitionsError:  # somebody was quicker, and this broker is told soon
                if asyncio.get_running_loop().time() + _AGAIN_AFTER_S >= until:
                    raise
                await asyncio.sleep(_AGAIN_AFTER_S)
            else:
                done += [f"{topic.name}: {topic.partitions} partitions, was {len(partitions)}"]
                break
        there = min((len(each["replicas"]) for each in partitions), default=copies)
        if there < copies:
            how = "kafka-reassign-partitions.sh changes that"
            done += [f"{topic.name}: keeps {there} of {copies} copies of a record; {how}"]
    return done


async def _partitions(admin: AIOKafkaAdminClient, name: str) -> list[Any]:
    """None: just made, and this broker's metadata don't know it yet."""
    [described] = await admin.describe_topics([name])
    return list(described["partitions"])


async def _set_retention(admin: AIOKafkaAdminClient, topics: Sequence[Spec]) -> list[str]:
    """Kafka takes all settings of a topic at once: what others have set stays as it is."""
    there = await _settings_of(admin, [topic.name for topic in topics])
    changed = {
        topic.name: topic
        for topic in topics
        # none: just made, and this broker does not know it yet
        if topic.name in there and topic.config.items() - there[topic.name].items()
    }
    if not changed:
        return []
    answers = await admin.alter_configs(
        [_resource(name, {**there[name], **topic.config}) for name, topic in changed.items()]
    )
    for code, message, _kind, name in (each for answer in answers for each in answer.resources):
        if code:
            raise TopicsRefusedError(f"{name}: {message or f'error {code}'}")
    return [f"{name}: records are kept {topic.kept.days} days" for name, topic in changed.items()]


async def _settings_of(
    admin: AIOKafkaAdminClient, names: Sequence[str]
) -> dict[str, dict[str, str]]:
    """What is set on each topic itself, of those that the broker knows."""
    answers = await admin.describe_configs([_resource(name, None) for name in names])
    found = {}
    for code, message, _kind, name, settings in (
        each for answer in answers for each in answer.resources
    ):
        if code not in {0, _UNKNOWN}:
            raise TopicsRefusedError(f"{name}: {message or f'error {code}'}")
        if not code:
            found[name] = {
                setting: value
                for setting, value, _read_only, source, *_ in settings
                if source == _SET_ON_THE_TOPIC
            }
    return found


def _resource(name: str, settings: Mapping[str, str] | None) -> ConfigResource:
    return ConfigResource(ConfigResourceType.TOPIC, name, settings)


def _new(topic: Spec, copies: int) -> NewTopic:
    settings = dict(topic.config)
    if copies >= COPIES_IN_PRODUCTION:  # what is acknowledged outlives the loss of a broker
        settings["min.insync.replicas"] = "2"
    return NewTopic(
        name=topic.name,
        num_partitions=topic.partitions,
        replication_factor=copies,
        topic_configs=settings,
    )


def _described(topic: Spec, copies: int) -> str:
    partitions = f"{topic.partitions} partition{'s' * (topic.partitions > 1)}"
    return f"{partitions}, copies: {copies}, kept {topic.kept.days} days"


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m libs.common.kafka.topics",
        description="Make the topics, and bring those that are there up to date.",
    )
    parser.add_argument(
        "--within", type=float, default=WITHIN_S, metavar="SECONDS", help="how long Kafka may take"
    )
    within_s = parser.parse_args(arguments).within
    settings = load(Settings)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # the lines below say it
    copies = copies_of(settings.topics, settings.runtime.env)
    topics = wanted_topics(settings.topics)
    try:
        done = asyncio.run(ensure_topics(settings.kafka, topics, copies, within_s))
    except ProjectError as error:
        print(f"not done: {error} ({error.code})", file=sys.stderr)
        return FAILED
    for line in [*done, f"{len(topics)} topics are as they should be"]:
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
