"""Stories of one command, played in virtual time."""

import itertools
from collections.abc import Callable, Coroutine
from typing import Any

from tests.unit.sender.world import (
    CHANNEL,
    PAGE,
    Reply,
    World,
    send_text,
)
from tests.virtual_time import run_virtually

THREE_PARTS = "\n\n".join(letter * 40 for letter in "abc")


THREE_IDS = ["c1:0", "c1:1", "c1:2"]


Story = Callable[[World], Coroutine[Any, Any, None]]


def play(story: Story) -> World:
    """Play a story in a world of its own, in virtual time."""

    async def whole() -> World:
        world = World()
        limited = CHANNEL.settings.model_copy(update={"max_message_length": 60})
        world.channels.known[PAGE] = CHANNEL.model_copy(update={"settings": limited})
        await story(world)
        return world

    return run_virtually(whole())


def delivered(*replies: Reply, text: str = "hello") -> World:
    """What became of one command that Meta met with these replies."""

    async def story(world: World) -> None:
        world.meta.script = list(replies)
        await world.deliver(send_text(text))

    return play(story)


def seconds_between_posts(world: World) -> list[float]:
    times = [at for _, at in world.meta.posts]
    return [(after - before).total_seconds() for before, after in itertools.pairwise(times)]
