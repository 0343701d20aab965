"""`python -m libs.common.kafka.rewind --to MOMENT GROUP:TOPIC…`: groups read again from then on.

For after a database was restored from an older copy: docs/operations.md says which groups may be
rewound, and which must never be. Nobody may be in a group meanwhile. Repeatable.

Reads the KAFKA_ variables. Ends with 0 if all was done, 1 if not, 2 for wrong arguments: nothing
was changed then.
"""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from pydantic import Field

from libs.common.errors import PermanentError, ProjectError
from libs.common.kafka.connection import client_options
from libs.common.kafka.errors import KafkaUnavailableError
from libs.common.settings import KafkaSettings, SettingsGroup, load

WITHIN_S = 60.0
ACTING = frozenset({"conversation", "conversation-notifications", "sender", "takeover"})
"""Groups that answer, send or call somebody: whatever they read again, they would do again."""


class RewindSettings(SettingsGroup):
    """What this command reads from the environment."""

    kafka: KafkaSettings = Field(default_factory=KafkaSettings)


class GroupInUseError(PermanentError):
    """Somebody is in the group, and would write other offsets at once."""

    code = "group_in_use"


class GroupUnknownError(PermanentError):
    """No such group has read this topic: most likely the name is a slip."""

    code = "group_unknown"


async def rewind(kafka: KafkaSettings, group: str, topic: str, to: datetime) -> int:
    """Have a group go on with the first record that is no older than `to`; how many come again.

    A partition whose offset is older already, or where nothing is that young, stays as it is.

    Raises:
        GroupInUseError, GroupUnknownError, KafkaUnavailableError: nothing was changed.
    """
    try:
        async with asyncio.timeout(WITHIN_S):
            found = await _firsts(kafka, topic, to)
            async with _client(kafka, group_id=group) as client:
                client.assign(list(found))
                offsets, again = dict[TopicPartition, int](), 0
                committed = {each: await client.committed(each) for each in found}
                if all(now is None for now in committed.values()):
                    raise GroupUnknownError(f"no group {group} has read {topic}")
                for partition, first in found.items():
                    now = committed[partition]
                    if first is not None and now is not None and first < now:
                        offsets[partition] = first
                        again += now - first
                if offsets:
                    await client.commit(offsets)
                return again
    except TimeoutError:
        raise KafkaUnavailableError(f"no answer within {WITHIN_S:g} s") from None
    except KafkaError as error:
        if type(error).__name__ in ("UnknownMemberIdError", "CommitFailedError"):
            raise GroupInUseError(f"{group} is in use: stop its service first") from None
        raise KafkaUnavailableError(type(error).__name__) from error


async def _firsts(
    kafka: KafkaSettings, topic: str, at: datetime
) -> dict[TopicPartition, int | None]:
    async with whole_topic(kafka, topic) as client:
        return await firsts(client, at)


async def firsts(client: AIOKafkaConsumer, at: datetime) -> dict[TopicPartition, int | None]:
    """For each partition the first offset that is no older than `at`; None: nothing is."""
    wanted = dict.fromkeys(client.assignment(), int(at.timestamp() * 1000))
    found = await client.offsets_for_times(wanted)
    return {each: first and first.offset for each, first in found.items()}


@asynccontextmanager
async def whole_topic(kafka: KafkaSettings, topic: str) -> AsyncIterator[AIOKafkaConsumer]:
    """A client that has all partitions, and is in no group.

    Raises:
        KafkaUnavailableError: there is no such topic.
    """
    async with _client(kafka, topic) as client:
        if not client.assignment():
            raise KafkaUnavailableError(f"there is no topic {topic}")
        yield client


@asynccontextmanager
async def _client(
    kafka: KafkaSettings, *topics: str, group_id: str | None = None
) -> AsyncIterator[AIOKafkaConsumer]:
    client = AIOKafkaConsumer(
        *topics, **client_options(kafka, "rewind"), group_id=group_id, enable_auto_commit=False
    )
    try:
        await client.start()
        yield client
    finally:
        await client.stop()


def moment(text: str) -> datetime:
    """ISO 8601 with an offset.

    Raises:
        argparse.ArgumentTypeError: it is not, or says not in which time zone.
    """
    with suppress(ValueError):
        at = datetime.fromisoformat(text)
        if at.tzinfo is not None:
            return at
    raise argparse.ArgumentTypeError(f"{text!r} is no moment like 2026-03-01T02:00:00Z")


def group_and_topic(text: str) -> tuple[str, str]:
    """Raises: argparse.ArgumentTypeError: it is not both, or the group is never to be rewound."""
    group, _, topic = text.partition(":")
    if not group or not topic:
        raise argparse.ArgumentTypeError(f"{text!r} is not GROUP:TOPIC")
    if group in ACTING:
        raise argparse.ArgumentTypeError(
            f"{group} is never rewound: people would be answered, or called for, once more"
        )
    return group, topic


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m libs.common.kafka.rewind",
        description="Have consumer groups read again what is no older than a moment.",
    )
    parser.add_argument("--to", type=moment, required=True, metavar="MOMENT")
    parser.add_argument("group", nargs="+", type=group_and_topic, metavar="GROUP:TOPIC")
    given = parser.parse_args(arguments)
    kafka, status = load(RewindSettings).kafka, 0
    for group, topic in given.group:
        each = f"{group}:{topic}"
        try:
            again = asyncio.run(rewind(kafka, group, topic, given.to))
        except ProjectError as error:
            print(f"{each}: not done: {error} ({error.code})", file=sys.stderr)
            status = 1
        else:
            print(f"{each}: {again} records come again")
    return status


if __name__ == "__main__":
    sys.exit(main())
