"""A part in doubt that nothing settles is held; a person, or its late echo, ends that.

Here, as this stack's sender holds a part after 20 s, not 120.
"""

import asyncio

import aiohttp

from deploy.local.seed import seed
from simulator.client import Simulator
from tests.e2e.live import Verdict, judge, text_of
from tests.e2e.test_sending import SUNDAY, Api, sender_api
from tests.stack import LocalStack

ECHO_LATE_MS = 45_000  # it has to come when the part is held already


async def hold_one(
    simulator: Simulator, page: str, psid: str, *, echo_delay_ms: int | None = None
) -> None:
    """One message that Meta takes, and shows nowhere (or late)."""
    echoes = {"enabled": echo_delay_ms is not None, "delay_ms": echo_delay_ms or 0}
    await simulator.behave(page, echoes=echoes, delivery_receipts={"enabled": False})
    error = {"code": 2, "message": "try again"}
    await simulator.add_fault(
        endpoint="conversations", page=page, times=1000, status=500, error=error
    )
    await simulator.add_fault(endpoint="messages", page=page, drop="after_accept")
    await simulator.write(page, psid, SUNDAY)


async def test_a_held_part_is_listed_and_sent_again_discarded_or_settled_by_its_late_echo(
    breakable: LocalStack,
) -> None:
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session,
        sender_api(breakable) as api,
    ):
        simulator = Simulator(session, breakable.url("simulator"))
        again, discarded, late = [await connected(simulator, breakable, n) for n in range(3)]
        await hold_one(simulator, *again)
        await hold_one(simulator, *discarded)
        await hold_one(simulator, *late, echo_delay_ms=ECHO_LATE_MS)
        held = [await api.until(page, "held") for page, _ in (again, discarded, late)]

        # sent again, twice asked for: once more, and no more
        send_id, generation = held[0]["id"], {"generation": held[0]["generation"]}
        await simulator.clear_faults()
        await simulator.behave(again[0], echoes={"enabled": True, "delay_ms": 0})
        answers = await asyncio.gather(
            *[api.post(send_id, "send-again", generation) for _ in range(5)]
        )
        assert {status for status, _ in answers} <= {202, 409}
        assert 202 in {status for status, _ in answers}
        await until_gone(api, again[0])
        # it had arrived: looking once more before sending showed it
        assert len(text_of(await simulator.thread(*again))) == 1
        assert (await api.post(send_id, "send-again"))[0] == 409

        assert (await api.post(held[1]["id"], "discard"))[0] == 200
        assert (await api.post(held[1]["id"], "discard"))[0] == 200
        assert (await api.post(held[1]["id"], "send-again"))[0] == 409
        assert await api.deliveries(discarded[0]) == []

        await until_gone(api, late[0])
        for page, psid in (again, discarded, late):
            await simulator.write(page, psid, "Do you deliver?")
            await simulator.wait_for_answers(page, psid, 2, within_s=30)
            assert await judge(simulator, page, [psid], rounds=2) == Verdict(answers=2)
        assert (await api.post("nobody:0", "discard"))[0] == 404
        assert (await api.post(send_id, "discard", {"generation": -1}))[0] == 422


async def connected(simulator: Simulator, stack: LocalStack, number: int) -> tuple[str, str]:
    page = str((await simulator.add_page(f"Page {number}"))["id"])
    await seed(stack.environment)
    return page, await simulator.add_person(page, "Ann", "Lee")


async def until_gone(api: Api, page: str, within_s: float = 60) -> None:
    async with asyncio.timeout(within_s):
        while await api.deliveries(page):
            await asyncio.sleep(0.2)
