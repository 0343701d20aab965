"""Meta fails, limits, refuses the Page's token, and refuses some people for good."""

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from simulator.client import Call
from tests.e2e.console import database_of
from tests.e2e.test_sending import sender_api, set_status
from tests.faults.guests import Guest, arrive, check_guests
from tests.faults.people import now_ms
from tests.faults.run import FAULT_WITHIN_S, Run

LOOK_EVERY_S = 0.2
SHOWN_WITHIN_S = 60.0
LOST = ("expired", "revoked")  # what the console shows of a Page whose token was refused
CALLS_A_MINUTE = 1
LIMITED_PER_S = 1
STEPS_DOWN = 16
DAY_OLD_MS = int(timedelta(hours=25).total_seconds() * 1000)

# before it is looked at: it has not been sent, which the thread shows


async def fails_before_accept(run: Run) -> None:
    ways: list[dict[str, Any]] = [
        {"status": 500},
        {"status": 503, "body": "<html>Service unavailable</html>"},
        {"status": 500, "error": {"code": 1, "message": "An unknown error occurred"}},
        {"status": 400, "error": {"code": 2, "message": "Service temporarily unavailable"}},
    ]
    for way in run.chance.sample(ways, len(ways)):
        await run.wait(0.0, 0.5)
        await run.lose_answers(1, **way)
    await run.until_lost()


# it wants less


def _usage(page: str, percent: int) -> dict[str, str]:
    """The headers that come with an answer."""
    shares = {"call_count": percent, "total_cputime": percent // 2, "total_time": percent // 2}
    mine = {"type": "messenger", **shares, "estimated_time_to_regain_access": 0}
    return {"X-Business-Use-Case-Usage": json.dumps({page: [mine]})}


async def wants_less(run: Run) -> None:
    """By single refusals, then by a limit that is far below what people write, which goes."""
    codes = (613, 4, 32, 80006)
    for code in run.chance.sample(codes, len(codes)):
        await run.wait(0.0, 0.5)
        error = {"code": code, "message": "Calls to this api have exceeded the rate limit."}
        headers = _usage(run.page, run.chance.randint(75, 99))
        await run.lose_answers(1, status=400, error=error, headers=headers)
    await run.until_lost()
    await run.simulator.behave(run.page, rate_limit_per_s=LIMITED_PER_S)
    run.fault_now()
    for _ in range(4):
        await run.until_answered()
    await run.simulator.behave(run.page, rate_limit_per_s=300)
    await run.until_answered()


async def check_pace(run: Run) -> None:
    """Who is told to wait waits: without, everybody's message would be refused again and again.

    Each refusal takes a quarter off the pace, and from a hundred a second to one there are 16.
    """
    sends = await _sends(run)
    refused = [call for call in sends if call["outcome"] == "refused"]
    accepted = [call for call in sends if call["outcome"] == "accepted"]
    if len(refused) > STEPS_DOWN + 2 * len(run.psids) + len(accepted):
        run.complain(f"{len(refused)} messages refused beside {len(accepted)} accepted")


# it refuses the Page's token


async def refuses_the_token(run: Run) -> None:
    """Nobody is lost: what is written meanwhile waits, and goes out when the Page is back."""
    (guest,) = await arrive(run, "Cy")
    await guest.asks_and_is_answered()
    await _connect_as_a_person(run)
    await run.wait(0.2, 1.0)
    run.fault_now()
    await run.simulator.set_token(run.page, run.chance.choice(["revoked", "expired"]))
    shown = await _shown_as_lost(run)
    if not shown:
        run.complain("the console does not show that the token was refused")
    before = len(await run.simulator.calls(run.page))
    guest.owed += [guest.question(2), guest.question(3)]
    await guest.ask(2)
    await run.wait(2.0, 3.0)
    await guest.ask(3)
    await run.wait(0.5, 1.5)
    calls = len(await run.simulator.calls(run.page)) - before
    if calls > CALLS_A_MINUTE:
        run.complain(f"{calls} calls within seconds with a token that was refused")
    await run.simulator.set_token(run.page, "valid")
    await set_status(run.stack, run.page, "active")
    await guest.until_answered(3)


async def _connect_as_a_person(run: Run) -> None:
    """As after a login: the console looks after such Pages."""
    alex = (await run.simulator.users())[0]["id"]
    connection = {"at": datetime.now(UTC), "account_id": "usr_1", "facebook_user_id": alex}
    async with database_of(run.stack) as database:
        await database["channels"].update_one(
            {"_id": run.page}, {"$set": {"connection": connection}}
        )


async def _shown_as_lost(run: Run) -> bool:
    async with database_of(run.stack) as database:
        try:
            async with asyncio.timeout(SHOWN_WITHIN_S):
                while True:
                    channel = await database["channels"].find_one({"_id": run.page})
                    if channel is not None and channel["status"] in LOST:
                        return True
                    await asyncio.sleep(LOOK_EVERY_S)
        except TimeoutError:
            return False


# it refuses some people for good

REFUSALS: Mapping[str, tuple[dict[str, Any], str]] = {
    "blocked": ({"code": 551, "error_subcode": 1545041}, "person_unavailable"),
    "unavailable": ({"code": 200, "error_subcode": 1545041}, "person_unavailable"),
    "too late": ({"code": 10, "error_subcode": 2018278}, "window_closed"),
    "not permitted": ({"code": 200}, "permission_missing"),
    "elsewhere": ({"code": 10, "error_subcode": 2018300}, "thread_owned_by_other_app"),
}
DAY_OLD = "a day old"


async def refuses_people(run: Run) -> None:
    """Their answer is over, and shown; with what they write next, they are answered."""
    guests = await arrive(run, *REFUSALS, DAY_OLD)
    for guest in guests:
        if guest.name in REFUSALS:
            error = {"message": "refused", **REFUSALS[guest.name][0]}
            await run.simulator.add_fault(
                endpoint="messages", page=run.page, psid=guest.psid, status=400, error=error
            )
    run.fault_now()
    await asyncio.gather(*[_is_refused(guest) for guest in guests])


async def _is_refused(guest: Guest) -> None:
    at = now_ms() - (DAY_OLD_MS if guest.name == DAY_OLD else 0)
    await guest.ask(timestamp=at)
    await guest.until_told(1)  # that it failed
    guest.owed += [guest.question(), guest.question(2)]  # the model sees that the first is open
    await guest.ask(2)
    await guest.until_told(2)


async def check_refusals(run: Run) -> None:
    """What failed is listed with its reason. Then it is put away: the judge is about others."""
    await check_guests(run)
    async with sender_api(run.stack) as api, asyncio.timeout(FAULT_WITHIN_S):
        listed = {each["psid"]: each for each in await api.deliveries(run.page, state="failed")}
        for guest in run.kept["guests"]:
            reason = REFUSALS[guest.name][1] if guest.name in REFUSALS else "window_closed"
            found = listed.get(guest.psid)
            if found is None or found["reason"] != reason:
                run.complain(f"{guest.name}: not listed as {reason}, but {found}")
            if found is not None:
                await api.post(found["id"], "discard")


async def _sends(run: Run) -> list[Call]:
    calls = await run.simulator.calls(run.page)
    return [call for call in calls if call["endpoint"] == "messages"]
