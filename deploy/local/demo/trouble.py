"""Facebook made difficult for a while, and set right again however the scene ends."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from deploy.local.demo.stage import Stage

MARK = "X-Demo"  # a header that the answer may have: by it we find our own faults again

Fault = dict[str, Any]
Repair = Callable[[], Awaitable[None]]


@asynccontextmanager
async def behaving(stage: Stage, **behaviour: Any) -> AsyncIterator[None]:  # noqa: ANN401
    """Facebook treats the Page so inside the block, and afterwards as before."""
    before = await stage.simulator.behaviour(stage.page)
    try:
        await stage.simulator.behave(stage.page, **behaviour)
        yield
    finally:
        restored = {name: before[name] for name in behaviour}
        await stage.simulator.behave(stage.page, **restored)


@asynccontextmanager
async def meeting(stage: Stage, *faults: Fault) -> AsyncIterator[None]:
    """The next calls for the Page meet these faults. What is left of them goes with the block."""
    mark = {MARK: uuid4().hex}
    try:
        for fault in faults:
            await stage.simulator.add_fault(page=stage.page, headers=mark, **fault)
        yield
    finally:
        waiting = await _faults(stage)
        others = [fault for fault in waiting if fault.get("headers") != mark]
        if others != waiting:  # they can only be cleared all together
            await stage.simulator.clear_faults()
            for fault in others:
                await stage.simulator.add_fault(**fault)


@asynccontextmanager
async def token_expired(stage: Stage) -> AsyncIterator[Repair]:
    """Facebook refuses the Page's tokens inside the block, all that there are by now.

    Yields what makes it good again: another login, which brings another token. It happens in any
    case.
    """
    is_good = False

    async def repair() -> None:
        nonlocal is_good
        try:
            await stage.console.connect()
            is_good = True
        finally:
            await stage.simulator.set_token(stage.page, "valid")  # for whoever uses an old one

    try:
        await stage.simulator.set_token(stage.page, "expired")
        yield repair
    finally:
        if not is_good:
            await repair()


async def _faults(stage: Stage) -> list[Fault]:
    async with stage.session.get(f"{stage.simulator.url}/simulator/api/faults") as response:
        response.raise_for_status()
        return list((await response.json())["faults"])
