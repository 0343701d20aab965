"""What the demo breaks at Facebook is set right again, whatever becomes of the scene."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from deploy.local.admin import ConsoleError
from deploy.local.demo.counters import Meter
from deploy.local.demo.log import Log
from deploy.local.demo.stage import Stage, StoryEndsError
from deploy.local.demo.transcript import Transcript
from deploy.local.demo.trouble import behaving, meeting, token_expired
from libs.common.web import Readiness
from simulator.app import create_app
from simulator.client import Simulator
from simulator.core import Simulator as SimulatorCore
from tests.unit.simulator.harness import make_settings

T = TypeVar("T")

LOST = {"endpoint": "messages", "drop": "after_accept"}
NOWHERE = "http://127.0.0.1:9/"


class Office:
    """A console that notes, for each time the Page is connected again, how its token is."""

    def __init__(self) -> None:
        self.states: list[str] = []
        self.is_away = False
        self.stage: Stage | None = None

    async def connect(self, *, again: bool = True) -> None:
        assert again
        assert self.stage is not None
        self.states.append(await token_state(self.stage))
        if self.is_away:
            raise ConsoleError("away")

    async def shown(self) -> dict[str, Any]:
        return {}

    async def stored(self) -> None:
        return None


@pytest.fixture
async def office() -> Office:
    return Office()


@pytest.fixture
async def stage(tmp_path: Path, office: Office) -> AsyncIterator[Stage]:
    core = SimulatorCore(make_settings(NOWHERE, tmp_path))
    app = create_app(core, Readiness())
    async with core.running(), TestServer(app) as server, aiohttp.ClientSession() as session:
        simulator = Simulator(session, str(server.make_url("")))
        page = await simulator.add_page("Corner Bakery")
        office.stage = Stage(
            session=session,
            simulator=simulator,
            meter=Meter(session, {}, simulator),
            transcript=Transcript(),
            page=page["id"],
            page_name=page["name"],
            urls={},
            service_token="",
            console=office,
            log=Log(),
            patience_s=1,
            people=[],
        )
        yield office.stage


async def broken_off(
    trouble: AbstractAsyncContextManager[Any], look: Callable[[], Awaitable[T]]
) -> T:
    """What is seen inside a block in which the story ends."""
    seen: list[T] = []
    try:
        async with trouble:
            seen.append(await look())
            raise StoryEndsError
    except StoryEndsError:
        return seen[0]


async def faults(stage: Stage) -> list[dict[str, Any]]:
    async with stage.session.get(f"{stage.simulator.url}/simulator/api/faults") as response:
        return list((await response.json())["faults"])


async def token_state(stage: Stage) -> str:
    states = {page["id"]: page["token_state"] for page in await stage.simulator.pages()}
    return str(states[stage.page])


async def test_behaviour_is_as_it_was_before_and_the_rest_is_left_alone(stage: Stage) -> None:
    await stage.simulator.behave(stage.page, rate_limit_per_s=250, echoes={"delay_ms": 70})
    before = await stage.simulator.behaviour(stage.page)
    changed = behaving(stage, rate_limit_per_s=3, echoes={"delay_ms": 1500})
    meanwhile = await broken_off(changed, partial(stage.simulator.behaviour, stage.page))
    echoes = {"enabled": True, "delay_ms": 1500}
    assert meanwhile == {**before, "rate_limit_per_s": 3, "echoes": echoes}
    assert await stage.simulator.behaviour(stage.page) == before


async def test_faults_that_nobody_met_go_and_those_of_others_stay(stage: Stage) -> None:
    await stage.simulator.add_fault(endpoint="me", times=4, status=500)
    theirs = await faults(stage)
    meanwhile = await broken_off(meeting(stage, LOST, LOST), partial(faults, stage))
    assert [fault["endpoint"] for fault in meanwhile] == ["me", "messages", "messages"]
    assert await faults(stage) == theirs


async def test_a_page_is_connected_again_with_another_token_and_the_old_ones_are_good_again(
    stage: Stage, office: Office
) -> None:
    meanwhile = await broken_off(token_expired(stage), partial(token_state, stage))
    assert meanwhile == "expired"
    assert office.states == ["expired"]
    assert await token_state(stage) == "valid"


async def test_tokens_are_good_again_also_where_the_console_is_away(
    stage: Stage, office: Office
) -> None:
    office.is_away = True
    with pytest.raises(ConsoleError):
        await broken_off(token_expired(stage), partial(token_state, stage))
    assert await token_state(stage) == "valid"


async def test_what_the_scene_has_repaired_is_not_repaired_again(
    stage: Stage, office: Office
) -> None:
    async with token_expired(stage) as repair:
        await repair()
        assert office.states == ["expired"]
    assert office.states == ["expired"]
