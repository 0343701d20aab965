"""What the thread view keeps of events, and the status that each message shows."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.events import AnyRecord
from libs.common.kafka import KeyBatch
from services.conversation import history
from services.conversation.domain import archive
from services.conversation.domain.archive import DELIVERED_MIDS, Activity, Entry
from services.conversation.history import HistoryKeeper
from tests.unit.conversation import factories as make
from tests.unit.conversation.factories import APP, CONVERSATION, PAGE, PATIENTLY, PSID, arrivals

NOON_MS = int(make.NOON.timestamp() * 1000)


def entry(event: AnyRecord) -> Entry | None:
    [arrival] = arrivals(event, first=7, partition=3)
    return archive.entry_of(arrival, APP)


class Documents:
    """An archive in memory, with MongoDB's operators."""

    def __init__(self) -> None:
        self.documents: dict[str, dict[str, Any]] = {}
        self.activities: list[Activity] = []

    async def keep(self, entries: Any) -> None:  # noqa: ANN401
        for made in entries:
            known = self.documents.get(made.message_id)
            if known is None and made.upsert:
                self.documents[made.message_id] = {**made.once, **made.fields}
            elif known is not None:
                known.update(made.fields)

    async def note_activity(self, activities: Any) -> None:  # noqa: ANN401
        self.activities.extend(activities)

    async def take(self, *events: AnyRecord) -> dict[str, dict[str, Any]]:
        records = [make.record(event, offset) for offset, event in enumerate(events)]
        await HistoryKeeper(self, APP).handle(KeyBatch(b"", records))
        return self.documents


@pytest.mark.parametrize(
    ("event", "where", "facts"),
    [
        (
            make.message(),
            "100:m1",
            {"direction": "in", "origin": "person", "kind": "message", "text": "hello"},
        ),
        (make.image(), "100:m1", {"text": None, "kind": "message"}),
        (make.get_started(), "100:p1", {"kind": "postback", "text": "Get started"}),
        (make.standby(), "100:s1", {"direction": "in", "kind": "standby"}),
        (
            make.standby(is_echo=True),
            "100:s1",
            {"direction": "out", "origin": "other_app", "status": "sent"},
        ),
        (make.echo(app_id="7"), "100:e1", {"direction": "out", "origin": "human_facebook"}),
        (make.echo(app_id=None), "100:e1", {"origin": "human_facebook", "status": "sent"}),
    ],
)
def test_messages_of_others_are_kept_once(
    event: AnyRecord, where: str, facts: dict[str, object]
) -> None:
    made = entry(event)
    assert made is not None
    assert (made.message_id, made.fields, made.upsert) == (where, {}, True)
    assert facts.items() <= made.once.items()
    assert made.once["source"] == "3:7"
    assert made.once["conversation"] == CONVERSATION


@pytest.mark.parametrize(
    ("event", "status", "facts"),
    [
        (make.sent(), "sent", {"mid": "mid-c1-0", "messaging_type": "RESPONSE"}),
        (make.failed(), "failed", {"reason": "window_closed", "explanation": "too late"}),
        (make.held(), "held", {"reason": "no_evidence"}),
    ],
)
def test_what_became_of_a_part_is_kept_with_the_reason(
    event: AnyRecord, status: str, facts: dict[str, object]
) -> None:
    made = entry(event)
    assert made is not None
    assert made.message_id == "100:c1:0"
    assert facts.items() <= made.fields.items()
    assert (made.fields["status"], made.fields["origin"]) == (status, "assistant")
    assert made.fields["rule"] == "standard_window"


@pytest.mark.parametrize(
    "event",
    [
        make.echo(app_id=APP),  # ours, without our mark
        make.standby(text=None),
        make.reaction(),
        make.delivered(1),
        make.read(1),
        make.takeover_started(),
    ],
    ids=lambda event: event.type,
)
def test_what_is_no_message_is_not_kept(event: AnyRecord) -> None:
    assert entry(event) is None


@pytest.mark.parametrize(
    ("event", "name"),
    [
        (make.message(), "100:m1"),
        (make.get_started(), "100:p1"),
        (make.echo(), "100:e1"),
        (make.edited(), None),
        (make.unsent(), None),
        (make.sent(), None),
    ],
)
def test_copies_are_looked_up_where_the_message_is_kept(event: AnyRecord, name: str | None) -> None:
    assert archive.copied_id(event) == name


async def test_metas_payload_is_kept_as_text_because_its_keys_may_be_anything() -> None:
    kept = await Documents().take(make.image())
    [attachment] = kept["100:m1"]["attachments"]
    assert attachment["payload_json"] == '{"$odd.key": 1}'
    assert "payload" not in attachment


async def test_an_edit_changes_the_text_and_an_unsent_message_loses_it() -> None:
    documents = Documents()
    kept = await documents.take(make.image(text="at 5"), make.edited(text="at 6"))
    assert (kept["100:m1"]["text"], kept["100:m1"]["edits"]) == ("at 6", 1)
    kept = await documents.take(make.unsent(), make.image(text="at 5"))
    assert kept["100:m1"]["text"] is None
    assert kept["100:m1"]["attachments"] == []
    assert kept["100:m1"]["is_deleted"] is True


async def test_edits_and_ends_of_what_is_not_there_make_nothing() -> None:
    assert await Documents().take(make.edited(), make.unsent()) == {}


@pytest.mark.parametrize("echo_first", [True, False])
async def test_our_echo_and_the_sent_part_are_one_message_in_either_order(
    echo_first: bool,
) -> None:
    echo = make.echo("mid-c1-0", APP, "an answer", seconds=5, send_id="c1:0")
    events: list[AnyRecord] = [echo, make.sent(origin="human", seconds=6)]
    kept = await Documents().take(*(events if echo_first else events[::-1]))
    assert list(kept) == ["100:c1:0"]
    message = kept["100:c1:0"]
    assert (message["status"], message["origin"]) == ("sent", "human")
    assert (message["meta_at"], message["at"]) == (make.at(5), make.at(6))


EVENTS = [
    make.message("m1"),
    make.message("m2", "second", 1),
    make.get_started(),
    make.edited("m2", "changed"),
    make.echo("mid-c1-0", APP, "an answer", send_id="c1:0"),
    make.sent(),
    make.failed("c2"),
    make.unsent("m1"),
    make.echo(app_id="7"),
]


@PATIENTLY
@given(st.integers(0, len(EVENTS)), st.integers(0, len(EVENTS)))
async def test_a_part_of_the_log_again_leaves_every_document_as_it_is(
    first: int, second: int
) -> None:
    once = await Documents().take(*EVENTS)
    start, end = sorted((first, second))
    again = await Documents().take(*EVENTS, *EVENTS[start:end])
    changed = {name for name in once if once[name] != again[name]}
    assert changed == set()


async def test_one_batch_is_one_write_of_messages_and_one_a_conversation() -> None:
    documents = Documents()
    await documents.take(make.message("m1"), make.message("m2", seconds=9), make.read(5))
    assert documents.activities == [
        Activity(PAGE, PSID, make.at(9), make.at(9), delivered_ms=5, read_ms=5)
    ]


# --- what a conversation shows of itself


@pytest.mark.parametrize(
    ("event", "activity"),
    [
        (make.message(), Activity(PAGE, PSID, make.NOON, make.NOON)),
        (make.get_started(), Activity(PAGE, PSID, make.NOON, make.NOON)),
        (make.reaction(), Activity(PAGE, PSID, make.NOON, make.NOON)),
        (make.reaction("unreact"), None),
        (make.unsent(), None),
        (make.edited(), None),
        (make.echo(), Activity(PAGE, PSID, make.NOON)),
        (make.standby(), Activity(PAGE, PSID, make.NOON)),
        (make.sent(), Activity(PAGE, PSID, make.NOON)),
        (make.failed(), None),
        (make.delivered(9, "a"), Activity(PAGE, PSID, delivered_ms=9, delivered_mids=("a",))),
        (make.read(9), Activity(PAGE, PSID, delivered_ms=9, read_ms=9)),
        (make.delivered(2**63), Activity(PAGE, PSID)),
        (make.read(-1), Activity(PAGE, PSID)),
        (make.takeover_started(), None),
    ],
)
def test_activity_is_what_the_list_of_conversations_shows(
    event: AnyRecord, activity: Activity | None
) -> None:
    assert archive.activity_of([event]) == activity


@PATIENTLY
@given(st.permutations([make.message(seconds=5), make.delivered(7), make.read(6), make.echo()]))
def test_activity_does_not_depend_on_the_order(events: list[AnyRecord]) -> None:
    expected = Activity(PAGE, PSID, make.at(5), make.at(5), delivered_ms=7, read_ms=6)
    assert archive.activity_of(events) == expected


def test_delivered_ids_are_bounded_and_the_latest() -> None:
    events = [make.delivered(n, f"m{n}", "again") for n in range(200)]
    activity = archive.activity_of(events)
    assert activity is not None
    assert len(activity.delivered_mids) == DELIVERED_MIDS
    assert activity.delivered_mids[-1] == "m199"


# --- the status


@pytest.mark.parametrize(
    ("message", "conversation", "status"),
    [
        ({}, {}, "sent"),
        ({}, {"delivered_ms": NOON_MS - 1, "read_ms": NOON_MS - 1}, "sent"),
        ({}, {"delivered_ms": NOON_MS}, "delivered"),
        ({}, {"delivered_ms": NOON_MS, "read_ms": NOON_MS}, "read"),
        ({}, {"read_ms": NOON_MS + 1}, "read"),
        # ours is later than Meta's, by as long as the answer took
        ({"at": make.at(1), "meta_at": make.NOON}, {"delivered_ms": NOON_MS}, "delivered"),
        ({"at": make.at(1)}, {"delivered_ms": NOON_MS}, "sent"),
        ({"at": make.at(1), "mid": "a"}, {"delivered_mids": ["a"]}, "delivered"),
        ({"at": make.at(1), "mid": None}, {"delivered_mids": [None]}, "sent"),
        ({"status": "failed"}, {"read_ms": NOON_MS}, "failed"),
        ({"status": "held"}, {"read_ms": NOON_MS}, "held"),
    ],
)
def test_receipts_decide_what_a_sent_message_shows(
    message: dict[str, Any], conversation: dict[str, Any], status: str
) -> None:
    shown = {"status": "sent", "at": make.NOON} | message
    assert archive.status_of(shown, conversation) == status


def test_a_message_of_the_person_is_received() -> None:
    assert archive.status_of({"at": make.NOON}, {"read_ms": 2 * NOON_MS}) == "received"


# --- which records


@pytest.mark.parametrize(
    ("kind", "version", "wanted"),
    [
        (b"message.received", b"1.0", True),
        (b"message.read", b"1.9", True),
        (b"message.received", b"2.0", False),
        (b"turn.completed", b"1.0", False),
        (b"message.invented", b"1.0", False),
    ],
)
def test_only_what_is_part_of_the_history_is_parsed(
    kind: bytes, version: bytes, wanted: bool
) -> None:
    assert history.wants({"type": kind, "version": version}) is wanted


def test_records_without_headers_are_left_alone() -> None:
    assert not history.wants({})


def test_a_partition_is_archived_together() -> None:
    first, second = make.record(make.message()), make.record(make.read(1))
    assert history.whole_partition(first) == history.whole_partition(second)
