"""After a database was restored from an older copy: the log tells what was sent since, and whom."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from aiokafka import AIOKafkaConsumer

from libs.common.erasures import TombstoneStore
from libs.common.events import AnyRecord, MessageEchoed, MessageFailed, MessageHeld, MessageSent
from libs.common.kafka import open_publisher
from libs.common.kafka.rewind import (
    ACTING,
    GroupInUseError,
    GroupUnknownError,
    main,
    moment,
    rewind,
)
from libs.common.mongo import Database
from libs.common.settings import KafkaSettings
from libs.common.topics import EVENTS
from services.conversation import app as conversation
from services.sender import app as sender
from services.sender.domain.deliveries import Delivery, event_of
from services.sender.restored import delivery_of, note, restore
from services.sender.store import DeliveryStore
from services.takeover import app as takeover
from services.takeover.domain.state import NOBODY, Takeover
from services.takeover.domain.transitions import (
    Changed,
    Command,
    Extend,
    Fact,
    Resume,
    Take,
    apply,
)
from services.takeover.restored import restore as restore_takeovers
from services.takeover.restored import told
from services.takeover.roster import Roster
from services.takeover.store import TakeoverStore
from tests.integration.test_analytics import committed, publish

COPIED_AT = datetime(2026, 3, 1, 2, tzinfo=UTC)
KNOWN = Delivery(
    send_id="c1:0",
    command_id="c1",
    page_id="100",
    psid="200",
    part=0,
    parts=2,
    origin="human",
    by="user:1",
    by_name="Ann",
    text="Hello",
    state="sent",
    rule="human_agent_tag",
    at=COPIED_AT + timedelta(minutes=5),
    attempts=1,
    mid="m1",
    messaging_type="MESSAGE_TAG",
    tag="HUMAN_AGENT",
)
HELD = KNOWN.model_copy(
    update={
        "send_id": "c1:1",
        "part": 1,
        "state": "held",
        "mid": None,
        "reason": "no_evidence",
        "explanation": "Nobody knows.",
    }
)
FAILED = HELD.model_copy(update={"send_id": "c2:0", "state": "failed", "part": 0})


def echo(send_id: str | None, mid: str) -> MessageEchoed:
    return MessageEchoed(
        event_id=f"echo-{mid}",
        page_id="100",
        psid="200",
        occurred_at=COPIED_AT + timedelta(minutes=6),
        mid=mid,
        text="Hello",
        app_id="1",
        send_id=send_id,
    )


@pytest.mark.parametrize("delivery", [KNOWN, HELD, FAILED], ids=lambda each: each.state)
def test_a_state_is_what_its_event_tells(delivery: Delivery) -> None:
    event = event_of(delivery)
    assert isinstance(event, MessageSent | MessageFailed | MessageHeld)
    again = delivery_of(event)
    assert again is not None
    assert event_of(again) == event
    assert (again.state, again.at, again.text) == (delivery.state, delivery.at, delivery.text)


def test_what_was_not_sent_by_us_tells_nothing_of_a_part() -> None:
    assert delivery_of(echo(None, "m9")) is None
    assert delivery_of(echo("of another app", "m9")) is None


async def test_what_the_database_knows_already_or_better_stays(database: Database) -> None:
    store = DeliveryStore(database)
    assert await note(database, KNOWN)
    assert not await note(database, KNOWN)
    earlier = KNOWN.model_copy(update={"at": COPIED_AT, "state": "held"})
    assert not await note(database, earlier)
    assert await store.delivery("c1:0") == KNOWN


async def test_an_echo_alone_proves_that_a_part_was_sent_and_gives_way_to_more(
    database: Database,
) -> None:
    store = DeliveryStore(database)
    heard = delivery_of(echo("c1:0", "m1"))
    assert heard is not None
    assert await note(database, heard)
    assert not await note(database, heard)
    assert await note(database, KNOWN)
    assert not await note(database, heard)
    assert await store.delivery("c1:0") == KNOWN
    await note(database, HELD)
    settled = delivery_of(echo("c1:1", "m2"))
    assert settled is not None
    assert await note(database, settled)
    found = await store.delivery("c1:1")
    assert found is not None
    assert (found.state, found.mid, found.origin) == ("sent", "m2", "human")


async def test_the_log_is_read_to_its_end_and_a_second_time_changes_nothing(
    kafka: KafkaSettings, database: Database, topic: str
) -> None:
    events: list[AnyRecord] = [event_of(each) for each in (KNOWN, HELD, FAILED)]
    begin = datetime.now(UTC)
    async with open_publisher(kafka, client_id="test") as publisher:
        await publish(publisher, topic, [*events, echo("c3:0", "m3"), echo(None, "m4")])
    assert await restore(database, kafka, begin - timedelta(minutes=1), topic) == (4, 4)
    assert await restore(database, kafka, begin - timedelta(minutes=1), topic) == (4, 0)
    assert await restore(database, kafka, begin + timedelta(hours=1), topic) == (0, 0)
    stored = await database["deliveries"].find({}, {"state": 1}).to_list(None)
    assert {each["_id"]: each["state"] for each in stored} == {
        "c1:0": "sent",
        "c1:1": "held",
        "c2:0": "failed",
        "c3:0": "sent",
    }


async def test_a_group_reads_again_from_a_moment_and_not_while_somebody_is_in_it(
    kafka: KafkaSettings, topic: str
) -> None:
    async with open_publisher(kafka, client_id="test") as publisher:
        await publish(publisher, topic, [echo("c1:0", f"a{number}") for number in range(3)])
        await asyncio.sleep(0.005)  # the log's clock counts in milliseconds
        between = datetime.now(UTC)
        await publish(publisher, topic, [echo("c1:0", f"b{number}") for number in range(4)])
    with pytest.raises(GroupUnknownError):  # nobody has read anything
        await rewind(kafka, topic, topic, between)
    async with AIOKafkaConsumer(
        topic,
        bootstrap_servers=kafka.bootstrap_servers,
        group_id=topic,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    ) as member:
        seen = 0
        async with asyncio.timeout(30):
            while seen < 7:
                fetched = await member.getmany(timeout_ms=500)
                seen += sum(map(len, fetched.values()))
        await member.commit()
        with pytest.raises(GroupInUseError):
            await rewind(kafka, topic, topic, between)
    assert sum(await committed(kafka, topic, topic)) == 7
    assert await rewind(kafka, topic, topic, between) == 4
    assert sum(await committed(kafka, topic, topic)) == 3
    assert await rewind(kafka, topic, topic, between) == 0


@pytest.mark.parametrize("text", ["yesterday", "2026-03-01", "2026-03-01T02:00:00"])
def test_a_moment_says_its_time_zone(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--to", text, "analytics:messenger.events"])
    assert ended.value.code == 2
    assert "is no moment like" in capsys.readouterr().err
    assert moment("2026-03-01T02:00:00Z") == COPIED_AT


@pytest.mark.parametrize("group", [*sorted(ACTING), ""])
def test_groups_that_would_answer_once_more_are_refused(
    group: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--to", "2026-03-01T02:00:00Z", "console:messenger.channels", f"{group}:{EVENTS}"])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert f"{group} is never rewound" in said or "is not GROUP:TOPIC" in said


def test_the_groups_that_act_are_called_so() -> None:
    assert {conversation.NAME, conversation.NOTIFICATIONS_GROUP, sender.NAME, takeover.NAME} == (
        ACTING
    )


HISTORY: tuple[Command, ...] = (
    Take("user:1", "Ann", 30),
    Extend("user:1", 60),
    Resume("user:1"),
    Take("user:2", "Bob"),
    Take("user:1", "Ann", 10_080, take_from="user:2"),
    Extend("user:2", 600, "Bob"),
)


def history() -> tuple[list[Takeover], list[Fact]]:
    """The state before each command and at the end, and the facts."""
    states, facts = [NOBODY], list[Fact]()
    for minute, command in enumerate(HISTORY):
        now = COPIED_AT + timedelta(minutes=minute)
        result = apply("100:200", states[-1], command, now)
        assert isinstance(result, Changed)
        assert result.fact is not None
        states.append(result.state)
        facts.append(result.fact)
    return states, facts


@pytest.mark.parametrize("copied", range(len(HISTORY) + 1))
def test_whenever_the_copy_was_made_the_log_tells_who_has_it(copied: int) -> None:
    states, facts = history()
    restored = told(states[copied], facts)
    names = {"revision"}
    assert restored.model_dump(exclude=names) == states[-1].model_dump(exclude=names)
    assert told(restored, facts) == restored
    if copied < len(HISTORY):
        assert restored.revision > states[-1].revision, "no name of an extension comes twice"


async def test_who_took_over_since_the_copy_has_it_and_the_next_one_is_believed(
    kafka: KafkaSettings, database: Database, topic: str
) -> None:
    states, facts = history()
    begin = datetime.now(UTC) - timedelta(minutes=1)
    async with open_publisher(kafka, client_id="test") as publisher:
        await publish(publisher, topic, facts)
    assert await restore_takeovers(database, kafka, begin, topic) == (1, 1)
    assert await restore_takeovers(database, kafka, begin, topic) == (1, 0)
    found = await TakeoverStore(database).find("100:200")
    assert found is not None
    assert (found.state.by, found.state.epoch) == ("user:1", states[-1].epoch)
    soon = datetime.now(UTC) + timedelta(minutes=1)
    (due,) = await Roster(database).due(soon, 10)  # so the service notes it, and minds its timer
    assert due.conversation == "100:200"


async def test_nothing_of_who_was_erased_before_the_copy_comes_back(
    kafka: KafkaSettings, database: Database, topic: str
) -> None:
    """The moment given may be a little earlier than the copy, and than the erasure."""
    _, facts = history()
    begin = datetime.now(UTC) - timedelta(minutes=1)
    async with open_publisher(kafka, client_id="test") as publisher:
        await publish(publisher, topic, [*facts, event_of(KNOWN)])
    erased_at = COPIED_AT + timedelta(hours=1)
    await TombstoneStore(database).put("100:200", erased_at, datetime.now(UTC))
    assert await restore(database, kafka, begin, topic) == (0, 0)
    assert await restore_takeovers(database, kafka, begin, topic) == (0, 0)
    assert await database["conversations"].find_one({}) is None
