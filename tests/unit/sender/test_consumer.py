"""What waits for one person, carried out in the order of the log."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from libs.common.events import (
    ConversationRecord,
    MessageRead,
    SendAction,
    UndecodableRecordError,
    encode,
    headers_of,
)
from services.sender.consumer import CommandHandler, order_key, wants
from services.sender.domain.outcome import MetaError, classify
from services.sender.meta import CallFailedError
from tests.unit.sender.world import (
    CHANNEL,
    CONVERSATION,
    LIMITED,
    PAGE,
    PSID,
    STARTED_AT,
    World,
    send_text,
)
from tests.virtual_time import run_virtually


@dataclass
class Batch:
    """As the consumer hands it over."""

    records: list[Any]
    key: bytes = CONVERSATION.encode()
    headers: dict[str, bytes] = field(default_factory=dict)


def record(command: ConversationRecord | bytes, offset: int = 1, **headers: bytes) -> Any:  # noqa: ANN401
    raw = isinstance(command, bytes)
    return SimpleNamespace(
        partition=0,
        offset=offset,
        key=PAGE.encode(),
        value=command if isinstance(command, bytes) else encode(command),
        headers=headers if raw else dict(headers_of(command)) | headers,  # type: ignore[arg-type]
    )


def action(*actions: str, age_s: float = 0.0) -> SendAction:
    return SendAction.model_validate(
        {
            "event_id": "a1",
            "page_id": PAGE,
            "psid": PSID,
            "occurred_at": STARTED_AT - timedelta(seconds=age_s),
            "actions": actions,
        }
    )


def play(story: Callable[[World, CommandHandler], Awaitable[None]]) -> World:
    async def whole() -> World:
        world = World()
        await story(world, CommandHandler(world.desk))
        return world

    return run_virtually(whole())


def handled(*commands: ConversationRecord | bytes) -> World:
    async def story(_world: World, handler: CommandHandler) -> None:
        records = [record(command, offset) for offset, command in enumerate(commands, start=1)]
        await handler.handle(Batch(records))  # type: ignore[arg-type]

    return play(story)


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ({"type": b"send.text", "version": b"1.0"}, True),
        ({"type": b"send.action", "version": b"1.7"}, True),
        ({"type": b"send.text", "version": b"2.0"}, False),
        ({"type": b"send.template", "version": b"1.0"}, False),
        ({"type": b"send.text"}, False),
        ({}, False),
    ],
)
def test_the_headers_alone_tell_what_is_for_us(headers: dict[str, bytes], wanted: bool) -> None:
    assert wants(headers) is wanted


def test_order_is_kept_per_person_and_where_no_person_is_named_per_page() -> None:
    assert order_key(record(send_text())) == CONVERSATION.encode()
    assert order_key(record(b"?")) == PAGE.encode()


def test_commands_of_one_person_are_carried_out_in_order() -> None:
    world = handled(*[send_text(f"text {number}", f"c{number}") for number in range(5)])
    assert [item.text for item in world.meta.accepted] == [f"text {n}" for n in range(5)]


def test_a_batch_handled_twice_sends_nothing_twice() -> None:
    async def story(_world: World, handler: CommandHandler) -> None:
        batch = Batch([record(send_text(command_id=f"c{n}"), n) for n in range(3)])
        await handler.handle(batch)  # type: ignore[arg-type]
        await handler.handle(batch)  # type: ignore[arg-type]

    assert play(story).accepted() == ["c0:0", "c1:0", "c2:0"]


def test_actions_are_shown_in_their_order() -> None:
    assert handled(action("mark_seen", "typing_on")).meta.actions == ["mark_seen", "typing_on"]


def test_typing_is_left_out_where_its_text_is_already_there() -> None:
    world = handled(action("mark_seen", "typing_on"), send_text())
    assert world.meta.actions == ["mark_seen"]
    assert world.accepted() == ["c1:0"]


def test_an_old_action_is_not_shown() -> None:
    assert handled(action("typing_on", age_s=16)).meta.actions == []


@pytest.mark.parametrize(
    "change", [{"enabled": False}, {"status": "expired"}, {"status": "disconnected"}]
)
def test_a_channel_that_is_off_shows_nothing(change: dict[str, Any]) -> None:
    async def story(world: World, handler: CommandHandler) -> None:
        world.channels.known[PAGE] = CHANNEL.model_copy(update=change)
        await handler.handle(Batch([record(action("typing_on"))]))  # type: ignore[arg-type]

    assert play(story).meta.actions == []


def test_an_action_waits_for_no_limit() -> None:
    async def story(world: World, handler: CommandHandler) -> None:
        world.pages[PAGE].limited(100)
        await handler.handle(Batch([record(action("typing_on"))]))  # type: ignore[arg-type]

    world = play(story)

    assert world.meta.actions == []


def test_an_action_that_fails_costs_the_message_nothing() -> None:
    async def story(world: World, handler: CommandHandler) -> None:
        world.meta.act_error = ConnectionResetError()
        world.meta.script = [replace(LIMITED, retry_after_s=1.0)]
        batch = Batch([record(action("mark_seen")), record(send_text(), 2)])
        await handler.handle(batch)  # type: ignore[arg-type]

    assert play(story).accepted() == ["c1:0"]


def test_a_sign_that_a_dead_token_refused_stops_the_page_and_is_told() -> None:
    async def story(world: World, handler: CommandHandler) -> None:
        refused = classify(status=400, error=MetaError(190, 460))
        world.meta.act_error = CallFailedError("no", refused)
        batch = Batch([record(action("mark_seen")), record(action("typing_on"), 2)])
        await handler.handle(batch)  # type: ignore[arg-type]
        assert world.pages[PAGE].token_is_suspect

    world = play(story)

    assert [type(each).__name__ for each in world.publisher.records] == ["ChannelTokenRejected"]


@pytest.mark.parametrize(
    "value",
    [
        b"\xff\x00",
        b'{"type":"send.text"}',
        encode(
            MessageRead(
                event_id="e", page_id=PAGE, psid=PSID, occurred_at=STARTED_AT, watermark_ms=1
            )
        ),
    ],
    ids=["not JSON", "fields missing", "an event"],
)
def test_what_is_no_command_is_refused_for_good(value: bytes) -> None:
    with pytest.raises(UndecodableRecordError):
        handled(value)
