"""Webhooks come twice at once, contradict themselves, come out of order, and make no sense."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import aiohttp
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from deploy.local.environment import KAFKA
from libs.common.topics import COMMANDS, DEAD_LETTER_PREFIX, DEAD_LETTERS, EVENTS
from tests.faults.guests import Guest, arrive, check_guests
from tests.faults.people import Webhook, now_ms
from tests.faults.run import Run
from tests.faults.second_gateway import post_signed, second_gateway

WITHIN_S = 60.0
LOOK_EVERY_S = 0.3
MINUTE_MS = 60_000

# the same at once, by two gateways


async def comes_twice_at_once(run: Run) -> None:
    """Four copies of each question, over two gateways; and again when it is answered."""
    own = f"{run.stack.url('gateway')}/webhooks/messenger"
    guests = await arrive(run, "Di", "Ed", "Flo")
    async with second_gateway(run.stack) as other:
        run.fault_now()
        for number in (1, 2):
            await asyncio.gather(*[_asks_four_times(each, number, own, other) for each in guests])


async def _asks_four_times(guest: Guest, number: int, own: str, other: str) -> None:
    question, at = guest.question(number), now_ms()
    guest.owed.append(question)
    mid = await guest.ask(number, timestamp=at)
    body = Webhook(guest.run.page, guest.psid, mid, question, at).body()
    for _ in range(2):
        copies = [post_signed(guest.run.stack, url, body) for url in (own, other, own, other)]
        statuses = await asyncio.gather(*copies)
        if set(statuses) != {200}:
            guest.run.complain(f"copies of a webhook got {statuses}")
        await guest.until_told(number)


# one message id, two contents


async def contradicts_itself(run: Run) -> None:
    """The second comes while the first is answered, or when it has been."""
    soon, late = await arrive(run, "Gus", "Hal")
    run.kept["noticed"] = await _contradictions(run)
    run.fault_now()
    for guest in (soon, late):
        question, at = guest.question(), now_ms()
        guest.owed.append(question)
        mid = await guest.ask(timestamp=at)
        # Meta's own delivery may take its time: with a copy, what came first is certain.
        await _accepted(run, Webhook(run.page, guest.psid, mid, question, at).body())
        if guest is late:
            await guest.until_told(1)
        other = Webhook(run.page, guest.psid, mid, f"~ not what {guest.name} wrote", at)
        await _accepted(run, other.body())
        await guest.until_told(1)
        await guest.asks_and_is_answered(2)


async def check_contradictions(run: Run) -> None:
    await check_guests(run)
    for guest in run.kept["guests"]:
        shown = await _shown_in_the_end(run, guest)
        if shown != [guest.question(2), guest.question()]:
            run.complain(f"the thread of {guest.name} shows {shown}")
    if await _contradictions(run) < run.kept["noticed"] + 2:
        run.complain("nobody noticed that a message came with another content")


async def _contradictions(run: Run) -> float:
    return await metric(run, "conversation", "assistant_message_contradictions_total")


async def _shown_in_the_end(run: Run, guest: Guest) -> list[str]:
    """When the last line is there: it comes a little later than its answer."""

    async def is_shown() -> bool:
        return guest.question(2) in await _shown(run, guest)

    await _until(is_shown)
    return await _shown(run, guest)


async def _shown(run: Run, guest: Guest) -> list[str]:
    """What the console shows of the person's own lines."""
    path = f"/conversations/{run.page}:{guest.psid}/messages"
    answer = await internal(run, "conversation", path)
    return [each["text"] for each in answer["messages"] if each["direction"] == "in"]


# out of order


async def comes_out_of_order(run: Run) -> None:
    """By their own time, the later message is the earlier one; receipts and echoes overtake."""
    await run.simulator.behave(
        run.page,
        read_receipts={"enabled": True, "delay_ms": 0},
        delivery_receipts={"enabled": True, "delay_ms": 1200},
    )
    guests = await arrive(run, "Ida", "Jon", "Kim")
    run.fault_now()
    await run.lose_answers(3, delay_ms=1500)  # echoes and receipts are there before the answer
    await asyncio.gather(*[_asks_backwards(guest) for guest in guests])
    await run.until_lost()


async def _asks_backwards(guest: Guest) -> None:
    now = now_ms()
    guest.owed += [guest.question(number) for number in (1, 2, 3)]
    await guest.ask(1, timestamp=now)
    await guest.ask(2, timestamp=now - MINUTE_MS)
    await guest.until_answered(2)
    await guest.ask(3, timestamp=now - 2 * MINUTE_MS)
    await guest.until_answered(3)


async def check_figures(run: Run) -> None:
    """Every message is counted once, and is delivered and read in the end."""
    await check_guests(run)
    psids = [*run.psids, *(guest.psid for guest in run.kept["guests"])]
    threads = [await run.simulator.thread(run.page, psid) for psid in psids]
    sides = [message["from"] for thread in threads for message in thread["messages"]]
    said = sides.count("page")
    wanted = {"inbound": sides.count("person")} | dict.fromkeys(
        ("outbound", "delivered", "read"), said
    )
    found: dict[str, Any] = {}

    async def is_counted() -> bool:
        answer = await internal(run, "analytics", f"/pages/{run.page}/metrics?days=7")
        found.update({name: answer["messages"][name] for name in wanted})
        return found == wanted

    if not await _until(is_counted):
        run.complain(f"counted are {found} instead of {wanted}")


# no sense


def _nonsense(page: str, psid: str) -> list[bytes]:
    """With a good signature, every one of them is a 200: else Meta takes the subscription away."""
    sides = {"sender": {"id": psid}, "recipient": {"id": page}, "timestamp": now_ms()}
    elements: list[Any] = [
        {**sides, "dream": {"of": 1}},
        {**sides, "message": {"mid": 7, "text": ["x"]}},
        {**sides, "message": "text"},
        {**sides, "message": {"text": "without a mid"}},
        {**sides, "postback": []},
        {**sides, "reaction": {"mid": "a\x00b", "action": "react", "emoji": "\x00"}},
        {**sides, "timestamp": 2**63, "read": {"watermark": 2**63}},
        {**sides, "timestamp": -(2**63), "delivery": {"watermark": -(2**63), "mids": [None]}},
        {**sides, "timestamp": 1e308, "message_edit": {"mid": "m", "num_edit": 1e308}},
        {**sides, "sender": [psid], "message": {"mid": "m_1", "text": "whose?"}},
        {**sides, "optin": {"deep": json.loads("[" * 90 + "]" * 90)}},
        {**sides, "referral": {"ref": "half \ud83d"}},
        [],
        None,
        "text",
    ]
    entries: list[Any] = [{"id": page, "time": now_ms(), "messaging": [each]} for each in elements]
    entries += [None, {"id": None, "messaging": {}}, {"id": page, "changes": "none"}]
    bodies: list[Any] = [{"object": "page", "entry": [each]} for each in entries]
    bodies += [{"object": "page", "entry": {}}, {"object": 7}, [], None, "text", 1]
    return [json.dumps(body).encode() for body in bodies]


UNREADABLE: tuple[bytes | None, ...] = (b"\xff\xfe", None, b'{"type": "message.received"}')


async def makes_no_sense(run: Run) -> None:
    """Between the messages of people who are being served, from outside and on the log itself."""
    guests = await arrive(run, "Lea", "Max")
    run.fault_now()
    for guest in guests:
        await guest.ask()
        for body in _nonsense(run.page, guest.psid):
            await _accepted(run, body)
        guest.owed.append(guest.question())
    some = run.chance.choice(run.psids)
    for body in _nonsense(run.page, some):
        await _accepted(run, body)
    run.kept["places"] = await _put_on_the_log(run, guests[0].psid, some)
    for guest in guests:
        await guest.until_told(1)
        await guest.asks_and_is_answered(2)
        await guest.asks_and_is_answered(3)


async def _accepted(run: Run, body: bytes) -> None:
    answer = await run.simulator.webhook(run.page, body)
    if answer["status"] != 200:
        run.complain(f"{answer['status']} for {body[:100]!r}")


async def _put_on_the_log(run: Run, *psids: str) -> set[tuple[str, int, int]]:
    """What nobody can read, among the records of these people; where it stands.

    Few enough, also with several runs side by side, that no consumer takes it for its own fault.
    """
    places = set()
    producer = AIOKafkaProducer(bootstrap_servers=run.stack.environment[KAFKA])
    await producer.start()
    try:
        for psid, values in zip(psids, (UNREADABLE, UNREADABLE[:1]), strict=True):
            for value in values:
                event = ("message.received", EVENTS, f"{run.page}:{psid}")
                command = ("send.text", COMMANDS, run.page)
                for kind, topic, key in (event, command):
                    headers = [("type", kind.encode()), ("version", b"1.0"), ("event_id", b"x")]
                    told = await producer.send_and_wait(
                        topic, value, key=key.encode(), headers=headers
                    )
                    places.add((topic, told.partition, told.offset))
    finally:
        await producer.stop()
    return places


async def check_dead_letters(run: Run) -> None:
    """Every record that nobody can read is there, with its place and its bytes."""
    await check_guests(run)
    missing = set(run.kept["places"])
    client = AIOKafkaConsumer(
        bootstrap_servers=run.stack.environment[KAFKA], enable_auto_commit=False
    )
    await client.start()
    try:
        partitions = [TopicPartition(DEAD_LETTERS, number) for number in range(3)]
        client.assign(partitions)
        await client.seek_to_beginning(*partitions)
        async with asyncio.timeout(WITHIN_S):
            while missing:
                for records in (await client.getmany(timeout_ms=500)).values():
                    missing -= {_place(dict(record.headers)) for record in records}
    except TimeoutError:
        run.complain(f"not among the dead letters: {missing}")
    finally:
        await client.stop()


def _place(headers: dict[str, bytes]) -> tuple[str, int, int]:
    topic, partition, offset = (
        headers[f"{DEAD_LETTER_PREFIX}{name}"].decode() for name in ("topic", "partition", "offset")
    )
    return topic, int(partition), int(offset)


# asking the services


async def internal(run: Run, service: str, path: str) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {run.stack.environment['SERVICE_TOKEN']}"}
    url = f"{run.stack.url(service)}/internal/v1{path}"
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.get(url) as response,
    ):
        answer: dict[str, Any] = await response.json()
        assert response.status == 200, answer
        return answer


async def metric(run: Run, service: str, name: str) -> float:
    """The sum over all labels; 0 where there is none."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{run.stack.url(service)}/metrics") as response,
    ):
        lines = (await response.text()).splitlines()
    return sum(
        float(line.split()[-1]) for line in lines if line.startswith((f"{name} ", name + "{"))
    )


async def _until(is_so: Callable[[], Any]) -> bool:
    """False: not in time."""
    try:
        async with asyncio.timeout(WITHIN_S):
            while not await is_so():
                await asyncio.sleep(LOOK_EVERY_S)
    except TimeoutError:
        return False
    return True
