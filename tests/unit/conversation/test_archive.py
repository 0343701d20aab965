"""What the thread view keeps of events, and the status that each message shows."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.events import AnyRecord, MessageEdited, StandbyReceived
from libs.common.kafka import KeyBatch
from services.conversation import history
from services.conversation.domain import archive
from services.conversation.domain.archive import DELIVERED_MIDS, Activity, Entry
from services.conversation.history import HistoryKeeper
from tests.unit.conversation import factories as make
from tests.unit.conversation.factories import APP, CONVERSATION, PAGE, PATIENTLY, PSID, arrivals
from tests.virtual_time import run_virtually

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
            document = self.documents.setdefault(made.message_id, {})
            document.update(made.fields)
            for path, value in made.highest.items():
                _put(document, path, value, lambda new, old: order(new) > order(old))
            for path, value in made.lowest.items():
                _put(document, path, value, lambda new, old: order(new) < order(old))

    async def note_activity(self, activities: Any) -> None:  # noqa: ANN401
        self.activities.extend(activities)

    async def take(self, *events: AnyRecord) -> dict[str, dict[str, Any]]:
        """What is known afterwards, as MongoDB would keep it."""
        records = [make.record(event, offset) for offset, event in enumerate(events)]
        await HistoryKeeper(self, APP).handle(KeyBatch(b"", records))
        return self.documents

    async def read(self, *events: AnyRecord) -> dict[str, dict[str, Any]]:
        """What a reader sees afterwards."""
        kept = await self.take(*events)
        return {name: archive.view(item) for name, item in kept.items() if "at" in item}


def _put(
    document: dict[str, Any], path: str, value: object, is_better: Callable[[Any, Any], bool]
) -> None:
    *parents, name = path.split(".")
    for parent in parents:
        document = document.setdefault(parent, {})
    if name not in document or is_better(value, document[name]):
        document[name] = value


def order(value: Any) -> Any:  # noqa: ANN401
    """How MongoDB compares: nothing, numbers, texts, documents, truth, moments."""
    match value:
        case None:
            return (1,)
        case bool():
            return (8, value)
        case int() | float():
            return (2, value)
        case str():
            return (3, value)
        case dict():
            return (4, [(order(each)[0], name, order(each)) for name, each in value.items()])
        case list():
            return (5, [order(each) for each in value])
    return (9, value)


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
        (make.standby(), "100:s1", {"direction": "in", "kind": "message", "text": "hi"}),
        (
            make.standby(is_echo=True),
            "100:s1",
            {"direction": "out", "origin": "human_facebook", "status": "sent"},
        ),
        (
            make.echo(app_id="7"),
            "100:e1",
            {"direction": "out", "origin": "human_facebook", "app_id": "7"},
        ),
        (make.echo(app_id=None), "100:e1", {"origin": "human_facebook", "status": "sent"}),
    ],
)
async def test_messages_of_others_are_kept_under_their_own_id(
    event: AnyRecord, where: str, facts: dict[str, object]
) -> None:
    shown = await Documents().read(event)
    assert facts.items() <= shown[where].items()
    assert (shown[where]["conversation"], shown[where]["at"]) == (CONVERSATION, make.NOON)


def test_the_record_that_stands_first_on_the_log_is_the_one_that_brought_a_message() -> None:
    made = entry(make.message())
    assert made is not None
    assert made.lowest["source"] == {"partition": 3, "offset": 7}


@pytest.mark.parametrize(
    ("event", "status", "facts"),
    [
        (make.sent(), "sent", {"mid": "mid-c1-0", "messaging_type": "RESPONSE"}),
        (make.failed(), "failed", {"reason": "window_closed", "explanation": "too late"}),
        (make.held(), "held", {"reason": "no_evidence"}),
    ],
)
async def test_what_became_of_a_part_is_kept_with_the_reason(
    event: AnyRecord, status: str, facts: dict[str, object]
) -> None:
    shown = (await Documents().read(event))["100:c1:0"]
    assert facts.items() <= shown.items()
    assert (shown["status"], shown["origin"]) == (status, "assistant")
    assert (shown["rule"], shown["send_id"]) == ("standard_window", "c1:0")


@pytest.mark.parametrize(
    "event",
    [
        make.echo(app_id=APP),  # ours, without our mark
        make.standby(is_echo=True, raw={"message": {"app_id": int(APP)}}),
        make.standby(kind="delivery"),
        make.delivered(1),
        make.read(1),
        make.handed_over("roles"),
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
    shown = await Documents().read(make.image())
    [attachment] = shown["100:m1"]["attachments"]
    assert attachment["payload_json"] == '{"$odd.key": 1}'
    assert "payload" not in attachment


async def test_an_edit_changes_the_text_and_an_unsent_message_loses_it() -> None:
    documents = Documents()
    shown = await documents.read(make.image(text="at 5"), make.edited(text="at 6"))
    assert (shown["100:m1"]["text"], shown["100:m1"]["edits"]) == ("at 6", 1)
    shown = await documents.read(make.unsent(), make.image(text="at 5"))
    assert shown["100:m1"]["text"] is None
    assert shown["100:m1"]["attachments"] == []
    assert shown["100:m1"]["is_deleted"] is True
    assert "at 5" not in str(documents.documents)
    assert "at 6" not in str(documents.documents)


async def test_an_older_edit_that_comes_late_changes_nothing() -> None:
    events = [make.message(), make.edited(text="third", number=3), make.edited(text="first")]
    shown = (await Documents().read(*events))["100:m1"]
    assert (shown["text"], shown["edits"]) == ("third", 3)


async def test_edits_that_meta_does_not_count_are_ordered_by_their_time() -> None:
    def uncounted(text: str, seconds: float) -> MessageEdited:
        return make.edited(text=text, number=0).model_copy(update={"occurred_at": make.at(seconds)})

    events = [uncounted("later", 9), make.message(seconds=1), uncounted("sooner", 5)]
    shown = (await Documents().read(*events))["100:m1"]
    assert shown["text"] == "later"


async def test_what_is_not_there_is_not_shown_for_its_edit_its_end_or_a_reaction() -> None:
    events: list[AnyRecord] = [make.edited(), make.unsent(), make.reaction(), make.edited("e1")]
    assert await Documents().read(*events) == {}


async def test_an_edit_before_the_message_counts_all_the_same() -> None:
    shown = (await Documents().read(make.edited(), make.image(text="as it was")))["100:m1"]
    assert (shown["text"], shown["edits"]) == ("changed", 1)
    assert len(shown["attachments"]) == 1


async def test_a_message_taken_back_before_it_came_is_never_readable() -> None:
    documents = Documents()
    shown = (await documents.read(make.unsent(), make.image(text="secret")))["100:m1"]
    assert (shown["text"], shown["attachments"], shown["is_deleted"]) == (None, [], True)
    assert "secret" not in str(documents.documents)


async def test_reactions_are_shown_until_they_are_taken_back() -> None:
    documents = Documents()
    shown = await documents.read(make.reaction(seconds=5), make.message())
    assert shown["100:m1"]["reactions"] == [
        {"by": PSID, "reaction": None, "emoji": "❤", "at": make.at(5)}
    ]
    shown = await documents.read(make.reaction("unreact", seconds=6))
    assert "reactions" not in shown["100:m1"]
    shown = await documents.read(make.reaction(seconds=5))
    assert "reactions" not in shown["100:m1"]


async def test_a_reaction_to_a_part_of_ours_is_found_by_metas_id() -> None:
    documents = Documents()
    liked = make.reaction().model_copy(update={"mid": "mid-c1-0"})
    await documents.take(make.sent(), liked)
    part = documents.documents["100:c1:0"]
    name = archive.reactions_id(part)
    assert name == "100:mid-c1-0"
    shown = archive.view(part, documents.documents[name]["reactions"])
    assert [each["emoji"] for each in shown["reactions"]] == ["❤"]
    assert archive.reactions_id((await Documents().take(make.held()))["100:c1:0"]) is None


@pytest.mark.parametrize("app_id", [APP, None], ids=["our app", "no app named"])
@pytest.mark.parametrize("echo_first", [True, False])
async def test_our_echo_and_the_sent_part_are_one_message_in_either_order(
    echo_first: bool, app_id: str | None
) -> None:
    echo = make.echo("mid-c1-0", app_id, "an answer", seconds=5, send_id="c1:0")
    events: list[AnyRecord] = [echo, make.sent(origin="human", seconds=6)]
    shown = await Documents().read(*(events if echo_first else events[::-1]))
    assert list(shown) == ["100:c1:0"]
    message = shown["100:c1:0"]
    assert (message["status"], message["origin"]) == ("sent", "human")
    assert (message["meta_at"], message["at"]) == (make.at(5), make.at(6))


@pytest.mark.parametrize("doubt", [make.held(), make.failed()])
async def test_our_echo_proves_that_a_part_was_sent(doubt: AnyRecord) -> None:
    echo = make.echo("mid-c1-0", APP, "an answer", seconds=5, send_id="c1:0")
    shown = (await Documents().read(doubt, echo))["100:c1:0"]
    assert (shown["status"], shown["mid"]) == ("sent", "mid-c1-0")
    assert "explanation" not in shown


async def test_a_part_that_failed_can_be_sent_again() -> None:
    shown = await Documents().read(make.held(), make.failed(), make.sent(seconds=60))
    assert (shown["100:c1:0"]["status"], shown["100:c1:0"]["at"]) == ("sent", make.at(60))


def on_standby(kind: str, **body: object) -> StandbyReceived:
    """What is told while another app has the thread."""
    changes = {"kind": kind, "raw": {kind: {"mid": "m1", **body}}, "text": body.get("text")}
    return make.standby("m1").model_copy(update=changes)


async def test_a_part_tells_why_it_went_out_and_one_that_did_not_what_meta_said() -> None:
    told = {"epoch": 3, "fbtrace_id": "Ab1", "meta_message": "Too old."}
    failed = make.failed().model_copy(update=told)
    shown = (await Documents().read(failed))["100:c1:0"]
    assert told.items() <= shown.items()
    shown = (await Documents().read(failed, make.sent().model_copy(update={"epoch": 3})))[
        "100:c1:0"
    ]
    assert shown["epoch"] == 3
    assert not {"fbtrace_id", "meta_message"} & set(shown)


async def test_a_message_tells_what_it_replies_to() -> None:
    told: dict[str, Any] = {"reply_to_mid": "m0", "quick_reply_payload": "YES"}
    shown = (await Documents().read(make.message(**told)))["100:m1"]
    assert told.items() <= shown.items()
    assert not set(told) & set((await Documents().read(make.message()))["100:m1"])


async def test_what_is_told_on_standby_changes_messages_as_usual() -> None:
    edit = on_standby("message_edit", text="at 6", num_edit="2")
    like = on_standby("reaction", action="react", emoji="❤")
    for events in ([make.standby("m1"), edit, like], [like, edit, make.standby("m1")]):
        shown = (await Documents().read(*events))["100:m1"]
        assert (shown["text"], shown["edits"], shown["kind"]) == ("at 6", 2, "message")
        assert [each["emoji"] for each in shown["reactions"]] == ["❤"]
    end = on_standby("message", is_deleted="true")
    shown = (await Documents().read(end, make.standby("m1")))["100:m1"]
    assert (shown["text"], shown["is_deleted"]) == (None, True)


@pytest.mark.parametrize(
    "event",
    [
        on_standby("message_edit", text="at 6", num_edit="many"),
        on_standby("message_edit", text=7),
        on_standby("reaction", action=None),
        on_standby("reaction").model_copy(update={"mid": None}),
        on_standby("delivery", watermark=1),
    ],
)
def test_what_cannot_be_read_on_standby_is_left_alone(event: AnyRecord) -> None:
    assert entry(event) is None


EVENTS = [
    make.message("m1"),
    make.message("m2", "second", 1),
    make.get_started(),
    make.edited("m2", "changed"),
    make.edited("m2", "changed again", 2),
    make.echo("mid-c1-0", APP, "an answer", send_id="c1:0"),
    make.sent(),
    make.failed("c2"),
    make.held("c3"),
    make.failed("c3"),
    make.sent("c3", seconds=4),
    make.unsent("m1"),
    make.edited("m1", "too late", 3),
    make.reaction(seconds=3),
    make.reaction("unreact", seconds=3),
    make.reaction(seconds=2),
    make.echo(app_id="7"),
    make.standby("m2"),
    make.standby("e1", is_echo=True, text="written by hand"),
    on_standby("message_edit", text="changed elsewhere", num_edit=4),
    on_standby("reaction", action="react", emoji="👍"),
    make.takeover_requested(),
    make.takeover_started(1, 10),
    make.takeover_extended(1, 20),
    make.takeover_extended(1, 25),
    make.takeover_ended(2, 30),
    make.takeover_started(3, 40),
    make.handed_over(seconds=50),
]


@PATIENTLY
@given(st.lists(st.sampled_from(EVENTS)).flatmap(lambda more: st.permutations([*EVENTS, *more])))
async def test_any_order_and_any_copies_of_the_events_make_the_same_documents(
    events: list[AnyRecord],
) -> None:
    expected = without_sources(await Documents().take(*EVENTS))
    assert without_sources(await Documents().take(*events)) == expected


@PATIENTLY
@given(st.permutations(EVENTS).flatmap(lambda order: st.tuples(st.just(order), cuts(len(order)))))
async def test_batches_may_be_cut_anywhere_and_handed_out_again(
    story: tuple[list[AnyRecord], list[int]],
) -> None:
    events, ends = story
    expected = await Documents().take(*events)
    documents = Documents()
    for end in ends:  # as after a crash: from the beginning, a little further each time
        await documents.take(*events[:end])
    assert await documents.take(*events) == expected


def cuts(length: int) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(0, length), max_size=4)


def without_sources(documents: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Where a record stands on the log is no matter of the message."""
    return {
        document_id: {
            name: _without_place(value) for name, value in document.items() if name != "source"
        }
        for document_id, document in documents.items()
    }


def _without_place(value: Any) -> Any:  # noqa: ANN401
    if not isinstance(value, dict):
        return value
    return {name: inner for name, inner in value.items() if name != "first"}


@pytest.mark.parametrize("later_s", [-5, 0, 5])
async def test_of_a_message_with_two_contents_the_first_is_kept(later_s: float) -> None:
    """Whichever is greater, and whatever time it says; also when it is handed out again."""
    for one, other in (("a", "b"), ("b", "a")):
        first = make.image("m1", one)
        second = make.message("m1", other, later_s)
        documents = Documents()
        await documents.take(first, second)
        shown = (await documents.read(first, second))["100:m1"]
        assert (shown["text"], len(shown["attachments"])) == (one, 1)
        edited = (await documents.read(first, second, make.edited("m1", "changed", 0)))["100:m1"]
        assert edited["text"] == "changed"


async def test_a_message_stored_before_its_order_was_kept_is_not_changed_by_a_copy() -> None:
    documents = Documents()
    [first] = arrivals(make.message("m1", "a"))
    stored = archive.entry_of(first, APP)
    assert stored is not None
    said = {"number": 0, "at": make.NOON, "text": "a"}
    attached = {"is_deleted": False, "items": []}
    await documents.keep([replace(stored, highest={"said": said, "attached": attached})])
    await documents.take(make.message("m1", "z"))
    assert documents.documents["100:m1"]["said"] == said


async def test_one_batch_is_one_write_of_messages_and_one_a_conversation() -> None:
    documents = Documents()
    await documents.take(make.message("m1"), make.message("m2", seconds=9), make.read(5))
    assert documents.activities == [
        replace(said(9), delivered_ms=5, read_ms=5, oldest_at=make.NOON)
    ]


# --- what a conversation shows of itself


def said(seconds: float) -> Activity:
    """The person did something that opens the window."""
    at = make.at(seconds)
    return Activity(PAGE, PSID, at, at, oldest_at=at, makes=True)


def said_by_page() -> Activity:
    return Activity(PAGE, PSID, make.NOON, oldest_at=make.NOON, makes=True)


@pytest.mark.parametrize(
    ("event", "activity"),
    [
        (make.message(), said(0)),
        (make.get_started(), said(0)),
        (make.reaction(), said(0)),
        (make.reaction("unreact"), Activity(PAGE, PSID, oldest_at=make.NOON)),
        (make.referral(), said(0)),
        (make.referral("ADS"), said_by_page()),
        (make.unsent(), Activity(PAGE, PSID, oldest_at=make.NOON)),
        (make.edited(), Activity(PAGE, PSID, oldest_at=make.NOON)),
        (make.echo(), said_by_page()),
        (make.standby(), said(0)),
        (make.standby(is_echo=True), said_by_page()),
        (make.standby(kind="delivery"), said_by_page()),
        (make.sent(), said_by_page()),
        (make.failed(), Activity(PAGE, PSID, oldest_at=make.NOON, makes=True)),
        (make.delivered(9, "a"), Activity(PAGE, PSID, delivered_ms=9, delivered_mids=("a",))),
        (make.read(9), Activity(PAGE, PSID, delivered_ms=9, read_ms=9)),
        (make.delivered(2**63), Activity(PAGE, PSID)),
        (make.read(-1), Activity(PAGE, PSID)),
        (make.takeover_started(), Activity(PAGE, PSID, oldest_at=make.NOON)),
    ],
)
def test_activity_is_what_the_list_of_conversations_shows(
    event: AnyRecord, activity: Activity | None
) -> None:
    assert archive.activity_of([event]) == activity


@PATIENTLY
@given(st.permutations([make.message(seconds=5), make.delivered(7), make.read(6), make.echo()]))
def test_activity_does_not_depend_on_the_order(events: list[AnyRecord]) -> None:
    expected = replace(said(5), delivered_ms=7, read_ms=6, oldest_at=make.NOON)
    assert archive.activity_of(events) == expected


def test_delivered_ids_are_bounded_and_the_latest() -> None:
    events = [make.delivered(n, f"m{n}", "again") for n in range(200)]
    activity = archive.activity_of(events)
    assert activity is not None
    assert len(activity.delivered_mids) == DELIVERED_MIDS
    assert activity.delivered_mids[-1] == "m199"


# --- who has the conversation


@pytest.mark.parametrize(
    ("event", "facts"),
    [
        (make.takeover_requested(), {"reason": "asked", "summary": "a human!"}),
        (
            make.takeover_started(),
            {
                "epoch": 1,
                "by": "user:7",
                "by_name": "Ann",
                "reason": "taken",
                "auto_resume_at": make.at(3600),
            },
        ),
        (
            make.takeover_extended(),
            {"epoch": 1, "by": "user:7", "by_name": "Ann", "auto_resume_at": make.at(7200)},
        ),
        (
            make.takeover_ended(),
            {"epoch": 2, "by": "timer", "by_name": None, "reason": "auto_resume"},
        ),
        (
            make.handed_over(),
            {"action": "take", "previous_app_id": APP, "new_app_id": "7"},
        ),
    ],
    ids=lambda value: getattr(value, "type", ""),
)
async def test_a_change_of_hands_is_a_line_of_the_thread(
    event: AnyRecord, facts: dict[str, Any]
) -> None:
    shown = await Documents().read(event, event)
    line = {"conversation": CONVERSATION, "kind": "system", "event": event.type, "at": make.NOON}
    assert shown == {f"{PAGE}:{event.event_id}": line | facts}


async def test_a_humans_message_says_who_wrote_it() -> None:
    part = make.sent(origin="human").model_copy(update={"by": "user:7", "by_name": "Ann"})
    shown = await Documents().read(make.echo("mid-c1-0", APP, send_id="c1:0"), part)
    [message] = shown.values()
    assert (message["origin"], message["by"], message["by_name"]) == ("human", "user:7", "Ann")


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


@pytest.mark.parametrize(
    ("took_s", "age_s", "rests_s"),
    [(0.2, 29, 0.0), (0.2, 31, 0.4), (20, 31, 1.0), (0.2, None, 0.0)],
)
def test_behind_an_outage_the_archive_leaves_the_database_to_others_for_a_while(
    took_s: float, age_s: float | None, rests_s: float
) -> None:
    class Slow(Documents):
        async def keep(self, entries: Any) -> None:  # noqa: ANN401
            await asyncio.sleep(took_s)

    async def story() -> float:
        record = make.record(make.message())
        record = replace(record, timestamp_ms=int((10**9 - age_s) * 1000) if age_s else 0)
        keeper = HistoryKeeper(Slow(), APP, wall_s=lambda: 1e9)
        began_at = asyncio.get_running_loop().time()
        await keeper.handle(KeyBatch(b"", [record]))
        return asyncio.get_running_loop().time() - began_at

    assert run_virtually(story()) == pytest.approx(took_s + rests_s, abs=0.001)
