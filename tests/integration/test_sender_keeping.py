"""What is put away, decided and read back: on the real database and the real log."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from libs.common.events import AnyRecord, MessageEchoed, MessageRead, encode, headers_of, key_of
from libs.common.kafka import KafkaPublisher, Message, open_publisher
from libs.common.mongo import Database
from libs.common.paging import After
from libs.common.settings import KafkaSettings
from services.sender.domain.claims import Exactly, Fresh
from services.sender.domain.deliveries import Delivery
from services.sender.domain.keeping import Kept, NotNowError
from services.sender.echo_history import EchoHistory
from services.sender.echoes import Echoes
from services.sender.held import HELD, OLDEST, measure_held
from services.sender.kept_store import Closing, KeptStore
from services.sender.review_store import DISCARDED, OPEN_STATES, ReviewStore
from services.sender.store import DeliveryStore
from tests.integration.conftest import MakeTopic
from tests.integration.test_sender_store import CONVERSATION, NOW, claim, sent, try_claim

PAGE = "100"
OWN_APP = "1"


@pytest.fixture
async def store(database: Database) -> DeliveryStore:
    store = DeliveryStore(database)
    await store.ensure_indexes()
    await database["conversations"].insert_one({"_id": CONVERSATION, "last_user_message_at": NOW})
    return store


@pytest.fixture
async def kept_store(database: Database) -> KeptStore:
    kept = KeptStore(database)
    await kept.ensure_indexes()
    return kept


@pytest.fixture
async def review(database: Database) -> ReviewStore:
    review = ReviewStore(database)
    await review.ensure_indexes()
    return review


def kept(command_id: str = "c1", seq: int = 1, psid: str = "200", **facts: object) -> Kept:
    values = {
        "id": command_id,
        "conversation": f"{PAGE}:{psid}",
        "page_id": PAGE,
        "psid": psid,
        "seq": seq,
        "partition": 3,
        "offset": seq,
        "command": "{}",
        "why": "token",
        "kept_at": NOW,
        **facts,
    }
    return Kept.model_validate(values)


def held(send_id: str = "c1:0", **facts: object) -> Delivery:
    return sent(send_id).model_copy(update={"state": "held", "mid": None, "since": NOW, **facts})


async def test_nothing_passes_what_is_put_away_until_the_mark_is_gone(
    store: DeliveryStore, kept_store: KeptStore
) -> None:
    first = claim("c1")
    assert await try_claim(store, first) is not None
    assert await kept_store.place(CONVERSATION, first.claim_id) == 1
    await kept_store.mark(CONVERSATION, "c1")
    assert await kept_store.place(CONVERSATION, None) == 2
    await kept_store.mark(CONVERSATION, "c2")

    assert await try_claim(store, claim("c3", offset=9), Fresh(0, 9)) is None
    snapshot = await store.conversation(CONVERSATION)
    assert snapshot is not None
    assert snapshot.kept == "c2"
    assert snapshot.sending is not None
    assert snapshot.sending.unused

    await kept_store.unmark(CONVERSATION, "c1")  # read before c2 was put away
    assert await try_claim(store, claim("c3", offset=9), Fresh(0, 9)) is None
    # what is put away itself passes, and its claim is in use again
    assert await try_claim(store, claim("c1"), Exactly(first.claim_id)) is not None
    snapshot = await store.conversation(CONVERSATION)
    assert snapshot is not None
    assert snapshot.sending is not None
    assert not snapshot.sending.unused
    assert await kept_store.marked(CONVERSATION) == "c2"
    await kept_store.unmark(CONVERSATION, "c2")
    assert await try_claim(store, claim("c3", offset=9), Fresh(0, 9)) is not None
    assert await kept_store.place(CONVERSATION, None) == 3


async def test_the_first_message_of_a_conversation_can_be_put_away(
    store: DeliveryStore, kept_store: KeptStore
) -> None:
    await kept_store.mark(CONVERSATION, "c1")
    assert await try_claim(store, claim("c2", offset=2)) is None
    await kept_store.unmark(CONVERSATION, "c1")
    assert await try_claim(store, claim("c2", offset=2)) is not None


async def test_a_conversation_that_is_not_there_is_not_made(
    kept_store: KeptStore, database: Database
) -> None:
    assert await kept_store.place("100:999", None) == 0
    await kept_store.mark("100:999", "c1")
    assert await kept_store.marked("100:999") is None
    assert await database["conversations"].count_documents({}) == 0


async def test_first_in_first_out_for_each_person(kept_store: KeptStore) -> None:
    for command_id, seq in (("b", 2), ("a", 1), ("c", 3)):
        assert await kept_store.add(kept(command_id, seq))
    assert not await kept_store.add(kept("a", 9))
    order = []
    while (first := await kept_store.first(CONVERSATION)) is not None:
        order.append((first.id, first.seq))
        await kept_store.remove(first.id)
        await kept_store.remove(first.id)
    assert order == [("a", 1), ("b", 2), ("c", 3)]


async def test_what_is_put_away_for_a_page_is_counted_by_why(kept_store: KeptStore) -> None:
    assert await kept_store.counts(PAGE) == {}
    for number, why in enumerate(("token", "behind", "behind", "limit")):
        await kept_store.add(kept(f"c{number}", number, why=why))
    await kept_store.add(kept("other", page_id="9", conversation="9:200"))
    assert await kept_store.counts(PAGE) == {"token": 1, "behind": 2, "limit": 1}


async def test_who_is_due_and_whose_window_has_closed(kept_store: KeptStore) -> None:
    later = NOW + timedelta(hours=1)
    await kept_store.add(kept("a", psid="1"))
    await kept_store.add(kept("b", psid="2", why="limit", wake_at=later))
    await kept_store.add(kept("c", psid="3", expires_at=later))
    await kept_store.add(kept("d", psid="3", seq=2, expires_at=later, partition=-1))

    assert set(await kept_store.pages([3])) == {PAGE}
    assert await kept_store.pages([4]) == []
    assert set(await kept_store.pages([-1])) == {PAGE}
    assert await kept_store.closing(PAGE) == Closing(later, True)
    assert await kept_store.closing("other") == Closing(None, False)
    assert await kept_store.due(PAGE, NOW, "", 10) == ["100:1", "100:3"]
    assert await kept_store.due(PAGE, NOW, "100:1", 10) == ["100:3"]
    assert await kept_store.due(PAGE, later, "", 10) == ["100:1", "100:2", "100:3"]
    assert await kept_store.expired(PAGE, NOW, "", 10) == []
    assert await kept_store.expired(PAGE, later, "", 10) == ["100:3"]

    first = await kept_store.first("100:3")
    assert first is not None
    await kept_store.postpone(first, NotNowError("channel", expires_at=None), later)
    assert await kept_store.expired(PAGE, later, "", 10) == []  # it waits for the one before it
    assert await kept_store.expired(PAGE, later + timedelta(hours=1), "", 10) == ["100:3"]


async def test_of_many_who_open_a_part_anew_all_mean_the_same_generation(
    store: DeliveryStore,
) -> None:
    await store.finish(held())
    opened = await asyncio.gather(*[store.begin_again("c1:0", 1) for _ in range(10)])
    assert {(each.state, each.generation) for each in opened if each} == {("again", 1)}
    assert None not in opened
    assert await store.begin_again("c1:0", 2) is None

    again = held().model_copy(update={"state": "sent", "mid": "m2", "generation": 1})
    assert (await store.finish(again)).mid == "m2"
    late = again.model_copy(update={"mid": "m3"})
    assert (await store.finish(late)).mid == "m2"
    assert await store.begin_again("c1:0", 1) is None
    assert await store.begin_again("c9:0", 1) is None


async def test_of_discarding_sending_again_and_a_late_echo_one_wins(
    store: DeliveryStore, review: ReviewStore
) -> None:
    for number in range(60):
        send_id = f"d{number}:0"
        delivery = await store.finish(held(send_id))
        discarded, opened, arrived = await asyncio.gather(
            review.discard(delivery, NOW),
            store.begin_again(send_id, 1),
            review.arrived(send_id, "m1", NOW),
        )
        now = await store.delivery(send_id)
        assert now is not None
        if opened is not None:
            assert (discarded, arrived, now.state) == (None, None, "again")
        else:  # what was discarded may turn out to have arrived
            assert (now.state, now.mid) == ("sent", "m1")


async def test_a_late_echo_and_a_discarded_part_are_to_be_told_until_they_are(
    store: DeliveryStore, review: ReviewStore
) -> None:
    await store.finish(held())
    other = await store.finish(held("c2:0"))
    assert set(await review.held_ids(10)) == {"c1:0", "c2:0"}
    arrived = await review.arrived("c1:0", "m1", NOW)
    discarded = await review.discard(other, NOW)
    assert arrived is not None
    assert discarded is not None
    assert (arrived.state, arrived.mid, arrived.messaging_type) == ("sent", "m1", "RESPONSE")
    assert await review.arrived("c1:0", "m1", NOW) is None
    assert {each.send_id for each in await review.untold(NOW, 10)} == {"c1:0", "c2:0"}
    await review.told(arrived)
    await review.told(discarded)
    assert await review.untold(NOW, 10) == []
    assert await review.held_ids(10) == ["c2:0"]  # its echo may come yet
    assert await store.begin_again("c2:0", 1) is None


async def test_how_many_are_held_and_for_how_long_is_counted(
    store: DeliveryStore, review: ReviewStore
) -> None:
    assert await review.held() == (0, None)
    await store.finish(held(at=NOW - timedelta(minutes=20)))
    await store.finish(held("c2:0", at=NOW))
    await store.finish(held("f1:0", state="failed", reason="x", at=NOW - timedelta(hours=2)))
    await measure_held(review, lambda: NOW)
    assert (HELD._value.get(), OLDEST._value.get()) == (2, 1200)
    await review.arrived("c1:0", "m1", NOW)
    await measure_held(review, lambda: NOW + timedelta(minutes=1))
    assert (HELD._value.get(), OLDEST._value.get()) == (1, 60)
    await review.arrived("c2:0", "m2", NOW)
    await measure_held(review, lambda: NOW)
    assert (HELD._value.get(), OLDEST._value.get()) == (0, 0)


async def test_lists_are_paged_and_show_what_somebody_has_to_look_at(
    store: DeliveryStore, review: ReviewStore
) -> None:
    for number in range(5):
        await store.finish(held(f"h{number}:0", at=NOW + timedelta(seconds=number // 2)))
    failed = await store.finish(held("f1:0", state="failed", reason="x"))
    await store.finish(sent("s1:0"))
    other = await store.finish(held("o1:0", psid="201"))

    listed = await review.listed({"page_id": PAGE}, ["held"], None, 3)
    rest = await review.listed(
        {"page_id": PAGE}, ["held"], After(listed[-1].at, listed[-1].send_id), 10
    )
    names = [each.send_id for each in (*listed, *rest)]
    assert names == ["h4:0", "h3:0", "h2:0", "o1:0", "h1:0", "h0:0"]
    found = await review.listed({"conversation": CONVERSATION}, OPEN_STATES, None, 10)
    assert {each.send_id for each in found} == {f"h{n}:0" for n in range(5)} | {"f1:0"}
    assert await review.dismiss(failed) is not None
    assert (await review.discard(other, NOW)).reason == DISCARDED  # type: ignore[union-attr]
    found = await review.listed({"page_id": PAGE}, ["failed"], None, 10)
    assert found == []
    assert set(await review.deliveries(["h1:0", "nobody"])) == {"h1:0"}


@pytest.fixture
async def publisher(kafka: KafkaSettings) -> AsyncIterator[KafkaPublisher]:
    async with open_publisher(kafka, client_id="test") as opened:
        yield opened


async def test_echoes_that_nobody_heard_are_read_back_from_the_log(
    kafka: KafkaSettings, make_topic: MakeTopic, publisher: KafkaPublisher
) -> None:
    topic = await make_topic(3)
    since = datetime.now(UTC)

    def echo(number: int, app_id: str = OWN_APP) -> MessageEchoed:
        return MessageEchoed(
            event_id=f"e{number}",
            page_id=PAGE,
            psid=str(number),
            occurred_at=since,
            mid=f"m{number}",
            app_id=app_id,
            send_id=f"c{number}:0",
        )

    read = MessageRead(event_id="r", page_id=PAGE, psid="1", occurred_at=since, watermark_ms=1)
    records: list[AnyRecord] = [*[echo(n) for n in range(300)], read, echo(900, "2")]
    await publisher.publish_messages(
        [Message(topic, key_of(each), encode(each), headers_of(each)) for each in records]
    )
    await publisher.publish_messages([Message(topic, b"x", b"{", headers_of(read))])

    echoes = Echoes(OWN_APP)
    history = EchoHistory(kafka, topic, echoes.heard)
    wanted = [7, 150, 299, 900, 1000]

    async def recall(number: int, since: datetime) -> None:
        around = timedelta(minutes=15)
        await asyncio.wait_for(history.recall(f"c{number}:0", since - around, since + around), 60)

    await asyncio.gather(*[recall(number, since) for number in wanted])
    assert [echoes.mid_of(f"c{number}:0") for number in wanted] == [
        "m7",
        "m150",
        "m299",
        None,
        None,
    ]
    assert echoes.mid_of("c8:0") is None  # nobody asked
    # long after, and long before there was anything: no more than is asked for, and it ends
    await recall(8, since + timedelta(days=1))
    assert echoes.mid_of("c8:0") is None
    await recall(1000, since - timedelta(days=1))
    await recall(8, since)
    assert echoes.mid_of("c8:0") == "m8"
    await history.close()
