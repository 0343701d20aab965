"""What an event does to its conversation's row in the inbox."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.common.events import AnyRecord, MessageEchoed, MessageReceived, MessageSent
from libs.common.once import Window
from services.conversation.domain import inbox
from services.conversation.domain.inbox_names import search_filter, words_of
from services.conversation.domain.inbox_rows import MESSAGES, Row, empty_row, from_fields, to_fields
from services.conversation.domain.inbox_start import Counted, row_before
from services.conversation.domain.receive import Arrival
from services.conversation.domain.state import Position
from tests.unit.conversation import factories as make
from tests.unit.conversation.factories import APP, CONVERSATION, arrivals
from tests.unit.conversation.test_archive import NOON_MS, Documents

QUICKLY = settings(deadline=None, max_examples=40)
EMPTY = empty_row(CONVERSATION)


def folded(*events: AnyRecord, row: Row = EMPTY, first: int = 0) -> Row:
    return inbox.fold_all(row, arrivals(*events, first=first), APP)


def stored(row: Row) -> Row:
    """As it comes back from the database."""
    return from_fields({"_id": row.id, **to_fields(row)})


def last(row: Row) -> dict[str, Any]:
    return to_fields(row)["row"]["last"] or {}


def test_a_message_of_the_person_counts_and_is_shown() -> None:
    row = folded(make.message("m1", "hello\n  there", seconds=3))
    assert (row.inbound_count, row.outbound_count, row.unread) == (1, 0, 1)
    assert row.last_activity_at == row.last_user_message_at == row.first_seen_at == make.at(3)
    assert last(row).items() >= {
        "direction": "in", "origin": "person", "kind": "text", "text": "hello there",
    }.items()  # fmt: skip
    assert row.place == "assistant"


@pytest.mark.parametrize(
    ("event", "kind", "text"),
    [
        (make.image(), "attachment", "image"),
        (make.image(text="look"), "text", "look"),
        (make.get_started(), "postback", "Get started"),
        (make.standby(text="aside"), "text", "aside"),
        (make.message(text="x" * 500), "text", "x" * 159 + "…"),
    ],
)
def test_the_latest_message_is_shown_in_one_line(event: AnyRecord, kind: str, text: str) -> None:
    row = folded(event)
    assert (last(row)["kind"], last(row)["text"], row.inbound_count) == (kind, text, 1)


@pytest.mark.parametrize(
    ("event", "origin"),
    [
        (make.sent(), "assistant"),
        (make.sent(origin="human"), "human"),
        (make.echo(app_id="7"), "human_facebook"),
        (make.echo(app_id=None), "human_facebook"),
        (make.standby(is_echo=True), "human_facebook"),
        (make.echo(app_id=APP, send_id="c1:0"), "assistant"),
    ],
)
def test_what_the_person_got_counts_by_whoever_wrote_it(event: AnyRecord, origin: str) -> None:
    row = folded(event)
    assert (row.inbound_count, row.outbound_count, last(row)["origin"]) == (0, 1, origin)


def test_a_part_counts_once_whatever_is_said_of_it_and_in_whatever_order() -> None:
    echo = make.echo("mid-c1-0", APP, "an answer", 1, "c1:0")
    orders: list[list[AnyRecord]] = [
        [make.sent(seconds=2, origin="human"), echo],
        [echo, make.sent(seconds=2, origin="human")],
        [make.held(), make.sent(seconds=2, origin="human"), make.failed(), echo],
    ]
    for events in orders:
        row = folded(*events)
        assert (row.outbound_count, row.held, row.failed) == (1, 0, 0)
        assert (last(row)["origin"], row.last and row.last.at) == ("human", make.at(2))


def test_what_an_app_of_ours_echoes_without_a_part_is_nobody_else_s() -> None:
    assert not inbox.is_there(folded(make.delivered(5), make.read(6)))
    assert folded(make.echo(app_id=APP)).outbound_count == 0


def test_held_and_failed_parts_are_marked_until_they_are_sent_or_the_person_writes() -> None:
    row = folded(make.held("c1"), make.failed("c2"))
    assert (row.held, row.failed, row.outbound_count, row.last) == (1, 1, 0, None)
    row = folded(make.message(seconds=9), row=row, first=5)
    assert (row.held, row.failed) == (1, 0)
    row = folded(make.sent("c1", seconds=10), row=row, first=6)
    assert (row.held, row.failed, row.outbound_count) == (0, 0, 1)


def test_what_failed_because_a_human_took_over_is_no_trouble() -> None:
    failed = make.failed().model_copy(update={"reason": "superseded_by_human"})
    assert folded(failed).failed == 0


def test_a_text_that_was_taken_back_is_shown_nowhere() -> None:
    row = folded(make.message(), make.unsent())
    assert (last(row)["kind"], last(row)["text"], row.inbound_count) == ("deleted", "", 1)
    row = folded(make.unsent(), make.message())
    assert (last(row)["kind"], last(row)["text"]) == ("deleted", "")


def test_an_edit_of_the_latest_message_is_shown() -> None:
    row = folded(make.message(), make.edited(text="second", number=2), make.edited(number=1))
    assert last(row)["text"] == "second"


def test_a_wish_for_a_human_ends_when_one_comes_or_it_is_called_done() -> None:
    asked = folded(make.message(), make.takeover_requested())
    assert asked.place == "needs_human"
    assert asked.asked is not None
    assert (asked.asked.reason, asked.asked.summary) == ("asked", "a human!")
    taken = folded(make.takeover_started(1, seconds=5), row=asked, first=5)
    assert (taken.place, taken.asked, taken.by, taken.by_name) == ("human", None, "user:7", "Ann")
    done = inbox.marked(asked, done=True)
    assert (done.place, done.asked) == ("done", None)
    again = folded(make.takeover_requested(), row=done, first=9)
    assert again.asked is None, "a copy"


def test_a_wish_that_comes_to_be_known_after_somebody_called_it_done_opens_it() -> None:
    row = inbox.marked(folded(make.message()), done=True)
    assert folded(make.takeover_requested(), row=row, first=5).place == "needs_human"


def test_the_highest_epoch_says_who_has_it() -> None:
    row = folded(make.message(), make.takeover_started(1, seconds=5))
    assert (row.mode, row.auto_resume_at, row.takeover_reason) == ("human", make.at(3600), "taken")
    row = folded(make.takeover_extended(1, seconds=6), row=row, first=5)
    assert (row.auto_resume_at, row.by) == (make.at(7200), "user:7")
    row = folded(make.takeover_ended(2, seconds=7), row=row, first=6)
    assert (row.mode, row.by, row.auto_resume_at, row.epoch) == ("ai", None, None, 2)
    assert row.since == make.at(7)
    row = folded(make.takeover_started(1), make.takeover_extended(1), row=row, first=7)
    assert (row.mode, row.epoch) == ("ai", 2)


def test_thread_control_is_understood_as_the_takeover_service_does() -> None:
    row = folded(make.message(), make.handed_over(seconds=5))
    assert not row.thread_ours
    ours = make.handed_over(seconds=6).model_copy(update={"new_app_id": None})
    row = folded(ours, row=row, first=5)
    assert row.thread_ours
    assert folded(make.standby(seconds=4), row=row, first=6).thread_ours, "earlier"
    assert not folded(make.standby(seconds=8), row=row, first=6).thread_ours


def test_a_row_begins_with_metas_own_time_where_that_is_earlier() -> None:
    echo = make.echo("mid-c1-0", APP, "an answer", 6, "c1:0")
    assert folded(make.sent(seconds=7), echo).first_seen_at == make.at(6)


def test_unread_is_what_came_after_somebody_looked() -> None:
    row = folded(make.message("m1", seconds=1), make.message("m2", seconds=2))
    assert inbox.seen(row, make.at(1)).unread == 1
    looked = inbox.seen(row, make.at(2))
    assert looked.unread == 0
    assert inbox.seen(looked, make.at(1)) == looked
    assert folded(make.message("m3", seconds=3), row=looked, first=5).unread == 1
    assert folded(make.message("m2", seconds=2), row=looked, first=5).unread == 0
    ahead = inbox.seen(row, make.at(100))
    assert folded(make.message("m3", seconds=3), row=ahead, first=5).unread == 1, "still to come"


def test_who_answers_has_looked_and_a_machine_has_not() -> None:
    row = folded(make.message("m1"))
    assert folded(make.sent(origin="human", seconds=1), row=row, first=5).unread == 0
    assert folded(make.echo(app_id=None, seconds=1), row=row, first=5).unread == 0
    assert folded(make.sent(seconds=1), row=row, first=5).unread == 1
    assert folded(make.standby(is_echo=True, seconds=1), row=row, first=5).unread == 1


def test_what_the_person_wrote_meanwhile_is_not_done() -> None:
    row = folded(make.message("m1"), make.message("m2", seconds=5))
    assert inbox.marked(row, done=True, wrote_at=make.at(0)) == row
    assert inbox.marked(row, done=True, wrote_at=make.at(5)).place == "done"


def test_the_next_message_opens_what_was_done() -> None:
    row = inbox.marked(folded(make.message("m1")), done=True)
    assert row.place == "done"
    assert folded(make.sent(seconds=1), row=row, first=5).place == "done"
    assert folded(make.message("m1"), row=row, first=5).place == "done", "a copy"
    assert folded(make.message("m2"), row=row, first=5).place == "assistant"


def test_every_record_moves_what_was_heard() -> None:
    row = folded(make.message(), make.delivered(5), make.reaction(), make.edited("m9"))
    assert row.heard == Position(partition=0, offset=3)


EVENTS: list[AnyRecord] = [
    make.message("m1", "one"),
    make.message("m2", "two", seconds=1),
    make.image("m3", seconds=1),
    make.get_started("p1", seconds=2),
    make.unsent("m2", seconds=3),
    make.edited("m1", "one!", 1),
    make.standby("s1", seconds=4),
    make.standby("s2", is_echo=True, seconds=5),
    make.echo("e1", "7", seconds=6),
    make.echo("mid-c1-0", APP, "an answer", 6, "c1:0"),
    make.sent("c1", 0, seconds=7),
    make.sent("c2", 0, "human", seconds=8),
    make.held("c3"),
    make.failed("c3"),
    make.sent("c3", 0, seconds=9),
    make.failed("c4"),
    make.reaction(seconds=3),
    make.referral(seconds=2),
    make.delivered(5),
    make.read(6),
    make.takeover_requested(),
    make.takeover_started(1, seconds=4),
    make.takeover_extended(1, seconds=5),
    make.takeover_ended(2, seconds=6),
    make.takeover_started(3, seconds=7),
    make.handed_over(seconds=5),
]
LOGS = st.lists(st.sampled_from(EVENTS), max_size=40)


@QUICKLY
@given(LOGS, st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=8))
def test_however_the_log_is_cut_and_repeated_the_row_is_the_same(
    events: list[AnyRecord], cuts: list[tuple[int, int]]
) -> None:
    whole = folded(*events)
    log, row = arrivals(*events), EMPTY
    done = 0
    for begin, length in cuts:  # each batch begins no later than where the one before ended
        begin = min(begin, done)
        done = max(done, begin + length)
        row = stored(inbox.fold_all(row, log[begin : begin + length], APP))
    row = stored(inbox.fold_all(row, log[done:], APP))
    assert row == whole


def _named(event: AnyRecord) -> str | None:
    """By another way than the fold's: what a person or the Page has said, by its name."""
    match event:
        case MessageReceived(is_deleted=False):
            return f"in {event.mid}"
        case MessageSent():
            return f"out {event.send_id}"
        case MessageEchoed(app_id=str(app)) if app == APP:
            return f"out {event.send_id}"
        case MessageEchoed():
            return f"out {event.mid}"
    match event.type:
        case "postback.received":
            return f"in {event.mid}"
        case "standby.received":
            return f"{'out' if event.is_echo else 'in'} {event.mid}"
    return None


@QUICKLY
@given(LOGS)
def test_counts_are_those_of_a_plain_count(events: list[AnyRecord]) -> None:
    """With copies further on the log, which `LOGS` is full of."""
    names = {name for name in map(_named, events) if name is not None}
    row = folded(*events)
    assert row.inbound_count == sum(name.startswith("in") for name in names)
    assert row.outbound_count == sum(name.startswith("out") for name in names)
    assert row.unread <= row.inbound_count


@QUICKLY
@given(LOGS)
def test_a_row_comes_back_from_the_database_as_it_was(events: list[AnyRecord]) -> None:
    row = folded(*events)
    assert stored(row) == row


def test_an_answer_whose_echo_tells_an_earlier_moment_is_latest_all_the_same() -> None:
    sent, echo = make.sent(seconds=2), make.echo("mid-c1-0", APP, "an answer", 1, "c1:0")
    by_hand = make.echo("e1", "7", "written by hand", 1)
    for log in ((sent, by_hand, echo), (echo, by_hand, sent)):
        last = folded(*log).last
        assert last is not None
        assert (last.text, last.at) == (sent.text, sent.occurred_at)


@QUICKLY
@given(LOGS)
def test_a_row_begins_with_what_the_archive_has(events: list[AnyRecord]) -> None:
    """As a version before rows has left it; the log hands out everything again."""
    archive = asyncio.run(_archived(events))
    takeover = {"mode": "human", "epoch": 9, "by": "u1", "since": make.NOON, "reason": "taken"}
    folds = folded(*events)
    known = {"takeover": takeover, "last_user_message_at": folds.last_user_message_at}
    made = row_before({"_id": CONVERSATION, **known}, archive, APP, NOON_MS)
    for row in (made, folded(*events, row=made)):
        assert (row.inbound_count, row.outbound_count) == (
            folds.inbound_count,
            folds.outbound_count,
        )
        assert (row.first_seen_at, row.last_user_message_at) == (
            folds.first_seen_at,
            folds.last_user_message_at,
        )
        assert (row.place, row.by, row.epoch, row.asked) == ("human", "u1", 9, None)
        assert (row.last and row.last.at) == (folds.last and folds.last.at)


async def _archived(events: list[AnyRecord]) -> list[dict[str, Any]]:
    documents = await Documents().take(*events)
    return [{"_id": name, **fields} for name, fields in documents.items()]


def test_of_a_long_conversation_the_archive_is_counted_and_nothing_older_counts_again() -> None:
    many: list[AnyRecord] = [make.message(f"m{each}", seconds=each) for each in range(30)]
    documents = asyncio.run(_archived(many[10:]))
    made = row_before({"_id": CONVERSATION}, documents, APP, NOON_MS, Counted(500, 400))
    assert (made.inbound_count, made.outbound_count, made.unread) == (500, 400, 20)
    again = folded(*many, make.message("new", seconds=99), row=made)
    assert again.inbound_count == 501


@pytest.mark.parametrize(
    ("epoch", "place"), [(0, "needs_human"), (1, "needs_human"), (2, "assistant")]
)
def test_a_wish_of_before_stands_until_somebody_took_over(epoch: int, place: str) -> None:
    requested = {"reason": "angry", "summary": "now!", "at": make.NOON, "epoch": 1}
    known = {"_id": CONVERSATION, "requested": requested, "takeover": {"epoch": epoch}}
    assert row_before(known, [], APP, 0).place == place


def test_a_copy_is_known_however_many_came_since() -> None:
    many = [make.message(f"m{each}", seconds=each) for each in range(MESSAGES + 20)]
    row = folded(*many)
    again = folded(many[0], many[-1], row=row, first=1000)
    assert again.inbound_count == MESSAGES + 20
    assert again.unread == MESSAGES


def test_a_fold_leaves_the_row_it_was_given_alone() -> None:
    row = folded(make.message())
    before = replace(row, inbound=row.inbound.copy(), unsent=dict(row.unsent))
    folded(*EVENTS, row=row, first=9)
    assert row == before


def test_moments_are_as_the_database_keeps_them() -> None:
    event = make.message(seconds=0.123456)
    [arrival] = arrivals(event)
    row = inbox.fold(EMPTY, Arrival(event, arrival.position), APP)
    assert row.last_activity_at == make.NOON + timedelta(milliseconds=123)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Ana María Núñez", ["ana", "maría", "núñez"]),
        ("Jean-Luc O'Neil", ["jean-luc", "o'neil", "jean", "luc", "o", "neil"]),
        ("  ", []),
        (None, []),
        ("Facebook User", []),
    ],
)
def test_a_name_is_found_by_its_words(name: str | None, words: list[str]) -> None:
    assert words_of(name) == words


def test_each_word_that_is_looked_for_begins_one_of_the_name() -> None:
    assert search_filter("  ") == search_filter(None) == {}
    assert search_filter("AN") == search_filter("A\0N") == {"words": {"$regex": "^an"}}
    assert search_filter("a.* b") == {
        "$and": [{"words": {"$regex": r"^a\.\*"}}, {"words": {"$regex": "^b"}}]
    }


def test_what_is_too_old_stays_so_where_nothing_newer_was_counted() -> None:
    """A conversation of before, of whose latest messages all are the person's."""
    window, again = Window(3), Window(3)
    window.floor = (5, 0)
    again.fill(window.to_fields())
    assert again.admit(7, 4) == "late"
