"""Channels are read once in a while, together, and forgotten the moment they change."""

import asyncio
from typing import Any, cast

import pytest

from libs.common.channels import CACHE_S, Assistant, Channel, ChannelDirectory
from libs.common.mongo import Database, Document

PAGE = "1052938400"
CHANNEL = Channel(
    id=PAGE,
    workspace_id="demo",
    assistant_id="crumb",
    page_name="Bakery",
    token="v1.k1.sealed",
)
CRUMB = Assistant(id="crumb", workspace_id="demo", name="Crumb", system_prompt="Be brief.")


class FakeCollection:
    """Documents by id; counts reads, and may hold one up."""

    def __init__(self) -> None:
        self.documents: dict[str, Document] = {}
        self.reads: list[list[str]] = []
        self.lets_go = asyncio.Event()
        self.lets_go.set()

    def find(self, query: dict[str, Any], _projection: object) -> "FakeCursor":
        wanted = query["_id"]["$in"]
        self.reads.append(wanted)
        found = [dict(self.documents[each]) for each in wanted if each in self.documents]
        return FakeCursor(found, self.lets_go)

    def put(self, stored: Channel | Assistant) -> None:
        self.documents[stored.id] = stored.to_document()


class FakeCursor:
    def __init__(self, found: list[Document], lets_go: asyncio.Event) -> None:
        self._found, self._lets_go = found, lets_go

    async def to_list(self, _length: int | None) -> list[Document]:
        await self._lets_go.wait()
        return self._found


class World:
    """A directory with its collections and its clock."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.channels, self.assistants = FakeCollection(), FakeCollection()
        self.channels.put(CHANNEL)
        self.assistants.put(CRUMB)
        database = {"channels": self.channels, "assistants": self.assistants}
        self.directory = ChannelDirectory(cast("Database", database), lambda: self.now_s)


@pytest.fixture
async def world() -> World:
    return World()


async def test_channel_and_assistant_come_back_as_they_were_stored(world: World) -> None:
    assert await world.directory.channel(PAGE) == CHANNEL
    assert await world.directory.assistant("crumb") == CRUMB
    assert "sealed" not in repr(CHANNEL)


async def test_unknown_channel_is_none_and_remembered_as_such(world: World) -> None:
    assert await world.directory.channel("42") is None
    assert await world.directory.channel("42") is None
    assert world.channels.reads == [["42"]]


async def test_channel_is_read_again_only_when_its_time_is_over(world: World) -> None:
    await world.directory.channel(PAGE)
    world.channels.put(CHANNEL.model_copy(update={"enabled": False}))
    world.now_s += CACHE_S - 0.001
    assert await world.directory.channel(PAGE) == CHANNEL
    world.now_s += 0.001
    channel = await world.directory.channel(PAGE)
    assert channel is not None
    assert not channel.enabled
    assert len(world.channels.reads) == 2


async def test_forgotten_channel_is_read_at_once_with_its_assistant(world: World) -> None:
    await world.directory.channel(PAGE)
    await world.directory.channel("42")
    await world.directory.assistant("crumb")
    world.directory.forget(PAGE)
    await world.directory.channel(PAGE)
    await world.directory.channel("42")
    await world.directory.assistant("crumb")
    assert world.channels.reads == [[PAGE], ["42"], [PAGE]]
    assert world.assistants.reads == [["crumb"], ["crumb"]]


async def test_what_was_read_before_a_change_is_not_kept_after_it(world: World) -> None:
    """The reading is on its way back while the change is told: it must not be believed for 30 s."""
    world.channels.lets_go.clear()
    reading = asyncio.create_task(world.directory.channel(PAGE))
    async with asyncio.timeout(5):
        while not world.channels.reads:
            await asyncio.sleep(0)
    world.channels.put(CHANNEL.model_copy(update={"status": "revoked"}))
    world.directory.forget(PAGE)
    world.channels.lets_go.set()
    assert await reading == CHANNEL

    channel = await world.directory.channel(PAGE)
    assert channel is not None
    assert channel.status == "revoked"


async def test_questions_of_the_same_moment_share_a_round_trip(world: World) -> None:
    answers = await asyncio.gather(
        *(world.directory.channel(each) for each in (PAGE, "42", PAGE, "43"))
    )
    assert answers == [CHANNEL, None, CHANNEL, None]
    assert world.channels.reads == [[PAGE, "42", "43"]]


async def test_error_of_the_database_is_not_remembered(world: World) -> None:
    broken = world.channels.documents.pop(PAGE)
    world.channels.documents[PAGE] = {"_id": PAGE}
    with pytest.raises(ValueError, match="page_name"):
        await world.directory.channel(PAGE)
    world.channels.documents[PAGE] = broken
    assert await world.directory.channel(PAGE) == CHANNEL


async def test_fields_of_a_newer_version_do_no_harm(world: World) -> None:
    world.channels.documents[PAGE] |= {"colour": "blue", "settings": {"mood": "sunny"}}
    assert await world.directory.channel(PAGE) == CHANNEL
