"""A known day at a shop, and its dashboard as one would write it down by hand."""

import asyncio
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp

from libs.common.events import MessageFailed, MessageSent, TakeoverEnded, TakeoverStarted
from tests.e2e.shop import Shop, open_shop
from tests.stack import LocalStack

ROOT = Path(__file__).parents[2]
WITHIN_S = 40.0
DAY_OLD = timedelta(hours=25)
ADMIN = {"by": "user:ann", "by_name": "Ann"}
BLOCKED = {"code": 551, "error_subcode": 1545041, "message": "This person isn't available."}


async def figures(shop: Shop, **query: str) -> dict[str, Any]:
    asked = "&".join(f"{name.rstrip('_')}={value}" for name, value in query.items())
    status, found = await shop.ask("analytics", "GET", f"/pages/{shop.page}/metrics?{asked}")
    assert status == 200, found
    return found


async def figures_when(shop: Shop, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """A week's, once they are as wanted; else the latest, which tells what is missing."""
    found: dict[str, Any] = {}
    try:
        async with asyncio.timeout(WITHIN_S):
            while not is_so(found := await figures(shop, days="7")):
                await asyncio.sleep(0.2)
    except TimeoutError:
        pass
    return found


async def act(shop: Shop, path: str, body: dict[str, Any], **headers: str) -> None:
    path = f"/conversations/{shop.name}/{path}"
    status, answer = await shop.ask("takeover", "POST", path, body, **headers)
    assert status in (200, 202), answer


async def a_day(shop: Shop) -> None:
    """What happens. Ann is the first person of the Page, then there are Bo and Cy."""
    simulator, page = shop.simulator, shop.page
    # Ann asks, is answered, and reads the answer
    await shop.write("When are you open on Sunday?")
    await shop.texts(1)
    await shop.told(MessageSent)  # she reads it later than she gets it, by our own clock, too
    await simulator.read(page, shop.psid)
    # she asks again, and Facebook delivers that three times
    await simulator.write(page, shop.psid, "Do you deliver?", copies=3)
    await shop.texts(2)
    # Bo asks, but has blocked the Page by the time of the answer
    bo = await shop.newcomer("Bo")
    await simulator.add_fault(endpoint="messages", page=page, times=1, status=400, error=BLOCKED)
    await bo.write("How can I pay?")
    await bo.told(MessageFailed)
    # Cy wrote more than a day ago, which comes only now: too late for the assistant
    cy = await shop.newcomer("Cy")
    day_old_ms = int((datetime.now(UTC) - DAY_OLD).timestamp() * 1000)
    await simulator.write(page, cy.psid, "Is my cake ready?", timestamp=day_old_ms)
    await cy.told(MessageFailed)
    # an admin takes over, answers with Meta's leave for seven days, and hands back
    await act(cy, "takeover", ADMIN)
    await act(cy, "messages", {**ADMIN, "text": "It is!"}, Idempotency_Key="cake")
    await cy.texts(1)
    await act(cy, "takeover/resume", ADMIN)
    await cy.told(TakeoverEnded)
    # Ann wants a person, and somebody answers her in Meta's own inbox
    await shop.write("I want to talk to a human")
    await shop.requests()
    await shop.texts(3)
    await simulator.write_in_inbox(page, shop.psid, "Hello Ann, this is Bea.")
    await shop.told(TakeoverStarted)


async def test_the_dashboard_of_a_day_is_what_happened(stack: LocalStack) -> None:
    async with open_shop(stack, "Dashboard") as shop:
        await a_day(shop)
        found = await figures_when(
            shop,
            lambda now: (
                now["messages"]["delivered"] == 5
                and now["messages"]["read"] == 1
                and now["messages"]["failed"] == 2
                and now["answered"]["total"] == 4
                and now["hand_overs"]["started"] == 2
                and now["hand_overs"]["ended"] == 1
            ),
        )

        assert found["messages"] == {
            "total": 10,
            "inbound": 5,  # three of Ann's, one of Bo's, one of Cy's
            "outbound": 5,
            "outbound_by": {"assistant": 3, "human": 1, "human_facebook": 1},
            "delivered": 5,
            "read": 1,
            "failed": 2,
        }
        assert found["rates"] == {"delivery": 1.0, "read": 0.2}
        assert [(each["reason"], each["cause"], each["count"]) for each in found["failures"]] == [
            ("person_unavailable", "blocked", 1),
            ("window_closed", "window", 1),
        ]
        # Ann three times; Cy, who had waited for more than a day; nobody waited for Bea
        assert found["answered"] == {
            "total": 4,
            "by": {"assistant": 3, "human": 1},
            "assistant_share": 0.75,
        }
        first = found["first_answer"]
        assert first["count"] == 4
        assert 0 < first["median_s"] < 20
        assert abs(first["p95_s"] - DAY_OLD.total_seconds()) < 0.02 * DAY_OLD.total_seconds() + 60
        assert found["hand_overs"] == {
            "requested": 1,
            "requested_by_reason": {"asked": 1},
            "started": 2,
            "started_by_reason": {"facebook_reply": 1, "taken": 1},
            "ended": 1,
            "ended_by_reason": {"resumed": 1},
        }
        assert found["conversations"] == {"total": 3, "in_takeover": 1, "active": 3, "new": 3}
        assert found["previous"]["messages"]["total"] == 0
        assert found["previous"]["conversations"] == {"active": 0, "new": 0}

        # day by day: only Cy's message lies in the past
        then = (datetime.now(UTC) - DAY_OLD).date().isoformat()
        days = {day["date"]: day for day in found["daily"]}
        assert (days[then]["inbound"], days[then]["outbound"]) == (1, 0)
        assert days[then]["active_conversations"] == 1
        others = [day for date, day in days.items() if date != then]
        assert sum(day["inbound"] for day in others) == 4
        assert sum(day["delivered"] for day in others) == 5
        assert [day["so_far"] for day in found["daily"]] == [False] * 6 + [True]

        # the same in a zone where it is another day, and as CSV
        elsewhere = await figures(shop, days="7", timezone="Pacific/Kiritimati")
        assert elsewhere["messages"] == found["messages"]
        assert "inbound" in (await csv_of(shop)).splitlines()[0]
        assert len((await csv_of(shop)).splitlines()) == 8


async def csv_of(shop: Shop) -> str:
    token = shop.stack.environment["SERVICE_TOKEN"]
    url = f"{shop.stack.url('analytics')}/internal/v1/pages/{shop.page}/metrics.csv"
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session,
        session.get(url) as response,
    ):
        assert response.status == 200
        return await response.text()


async def test_a_killed_service_counts_nothing_twice_and_loses_nothing(stack: LocalStack) -> None:
    async with open_shop(stack, "Killed while counting") as shop:
        restarts = stack.component("analytics")["restarts"]
        for number in range(6):
            await shop.simulator.write(shop.page, shop.psid, f"Do you deliver? {number}")
            await shop.texts(number + 1, within_s=40)
            if number in (1, 3):
                stack.kill("analytics")
        stack.wait_until_back("analytics", restarts + 1)
        found = await ready_figures(shop)
        assert found["messages"]["inbound"] == 6
        assert found["messages"]["outbound"] == 6
        assert found["messages"]["delivered"] == 6
        assert found["answered"]["by"] == {"assistant": 6}


async def test_rebuilt_figures_are_the_same_and_go_on(stack: LocalStack) -> None:
    async with open_shop(stack, "Counted twice") as shop:
        await shop.write("Do you deliver?")
        await shop.texts(1)
        counted = await figures_when(shop, lambda now: now["messages"]["delivered"] == 1)
        rebuilding = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.analytics.rebuild",
            env=stack.environment, cwd=ROOT, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        said, _ = await asyncio.wait_for(rebuilding.communicate(), 120)
        assert rebuilding.returncode == 0
        assert b"is live" in said
        assert await figures(shop, days="7") == counted
        await shop.write("How can I pay?")  # into the new ones, as soon as the service follows
        await shop.texts(2)
        found = await figures_when(shop, lambda now: now["messages"]["delivered"] == 2)
        assert (found["messages"]["inbound"], found["messages"]["outbound"]) == (2, 2)


async def ready_figures(shop: Shop) -> dict[str, Any]:
    """The service may just be starting: then it says so."""
    async with asyncio.timeout(90):
        while True:
            try:
                status, found = await shop.ask(
                    "analytics", "GET", f"/pages/{shop.page}/metrics?days=7"
                )
                if (
                    status == 200
                    and found["messages"]["delivered"] >= 6 <= found["answered"]["total"]
                ):
                    return found
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.5)
