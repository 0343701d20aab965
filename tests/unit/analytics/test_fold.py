"""The fold, case by case: what the laws can't say because it has a limit, or a reason."""

from collections import Counter
from collections.abc import Sequence

import pytest

from libs.common.events import AnyRecord, MessageReceived
from services.analytics.domain.answers import WAITING, Answers
from services.analytics.domain.fold import EVER, Counts, apply
from services.analytics.domain.slots import moment_ms
from services.analytics.domain.state import MESSAGES, OPEN, State, to_fields
from tests.unit.analytics import factories as make
from tests.unit.analytics.factories import APP

DAY_S = 24 * 3600


def fold(*events: AnyRecord, state: State | None = None) -> tuple[Counter[str], list[str], State]:
    """Sums by counter, whatever the slot; remarks; the state."""
    counts, state = Counts(), state or State()
    for event in events:
        apply(state, event, APP, counts)
    summed: Counter[str] = Counter()
    for _, name, number in counts.increments:
        summed[name] += number
    return Counter({name: n for name, n in summed.items() if n}), counts.remarks, state


def counted(
    *events: AnyRecord, without: Sequence[str] = ("gap", "conv", "first")
) -> dict[str, int]:
    summed, _, _ = fold(*events)
    return {name: n for name, n in summed.items() if not name.startswith(tuple(without))}


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([make.message("m1")], {"in": 1}),
        ([make.message("m1"), make.message("m1")], {"in": 1}),
        ([make.message("m1"), make.message("m1", is_deleted=True)], {"in": 1}),
        ([make.message("m1", is_deleted=True)], {}),
        ([make.tap("m1"), make.tap("m1"), make.tap(None, 1), make.tap(None, 2)], {"in": 3}),
        ([make.standby("m1"), make.message("m1")], {"in": 1}),
        ([make.sent("a")], {"out.assistant": 1}),
        ([make.sent("a"), make.echo("a"), make.echo("a")], {"out.assistant": 1}),
        ([make.echo("a")], {}),  # until message.sent says it was ours to count
        ([make.inbox("m1"), make.inbox("m1")], {"out.human_facebook": 1}),
        ([make.standby("m1", is_echo=True), make.inbox("m1")], {"out.human_facebook": 1}),
        (
            [make.message("m1"), make.sent("a", 9), make.sent("b", 9, origin="human")],
            {"in": 1, "out.assistant": 1, "out.human": 1, "answered.assistant": 1},
        ),
        (
            [make.message("m1"), make.message("m2", 5), make.inbox("i1", 9)],
            {"in": 2, "out.human_facebook": 1, "answered.human_facebook": 1},
        ),
        ([make.sent("a"), make.read(1)], {"out.assistant": 1, "delivered": 1, "read": 1}),
        ([make.read(1), make.sent("a")], {"out.assistant": 1, "delivered": 1, "read": 1}),
        ([make.sent("a", 5), make.delivered(1, "m.a")], {"out.assistant": 1, "delivered": 1}),
        ([make.delivered(1, "m.a"), make.sent("a", 5)], {"out.assistant": 1, "delivered": 1}),
        ([make.sent("a", 5), make.delivered(1)], {"out.assistant": 1}),
        ([make.held("a"), make.held("a")], {}),
        ([make.held("a"), make.sent("a", 5)], {"out.assistant": 1}),
        ([make.held("a"), make.failed("a", 5, "discarded")], {"failed.discarded": 1}),
        ([make.failed("a", 5), make.failed("a", 5)], {"failed.window_closed": 1}),
        ([make.failed("a", 5), make.failed("a", 9, "discarded")], {"failed.discarded": 1}),
        ([make.failed("a", 5), make.sent("a", 9)], {"out.assistant": 1}),
        ([make.sent("a", 9), make.failed("a", 5)], {"out.assistant": 1}),
        ([make.failed("a", 5), make.held("a", 9)], {}),
        ([make.failed("a", 5, "What.$ever")], {"failed.what_ever": 1}),
        ([make.started(1), make.started(1)], {"started.taken": 1, "in_takeover": 1}),
        ([make.started(1), make.ended(2, 9)], {"started.taken": 1, "ended.resumed": 1}),
        ([make.started(1), make.started(2)], {"started.taken": 2, "in_takeover": 1}),
        ([make.requested(), make.requested(), make.requested(9)], {"requested.asked": 2}),
    ],
)
def test_what_counts(events: list[AnyRecord], expected: dict[str, int]) -> None:
    assert counted(*events) == expected


def test_an_echo_tells_whether_a_receipt_covers_the_message() -> None:
    """Our own time of it is later than Meta's, by as long as the answer took."""
    assert counted(make.sent("a", 5), make.read(4)) == {"out.assistant": 1}
    seen = {"out.assistant": 1, "delivered": 1, "read": 1}
    assert counted(make.sent("a", 5), make.read(4), make.echo("a", 3)) == seen
    assert counted(make.echo("a", 3), make.read(4), make.sent("a", 5)) == seen


def test_a_message_that_by_its_echo_was_sent_after_the_receipt_is_not_read_yet() -> None:
    assert counted(make.sent("a", 3), make.read(4), make.echo("a", 5)) == {"out.assistant": 1}


def test_receipts_count_in_the_slot_of_the_message() -> None:
    counts, state = Counts(), State()
    for event in (make.sent("a", 0), make.read(3 * DAY_S)):
        apply(state, event, APP, counts)
    slots = {slot for slot, name, _ in counts.increments if name in ("out.assistant", "read")}
    assert len(slots) == 1


def test_an_answer_that_was_never_asked_for_answers_nobody() -> None:
    summed, _, _ = fold(make.sent("a"), make.message("m1", 5), make.sent("b", 12))
    assert summed["answered.assistant"] == 1
    assert [name for name in summed if name.startswith("first.")] == ["first.222"]  # 7 s


def test_who_writes_on_before_we_have_told_of_the_answer_waits_for_the_next() -> None:
    first, second = make.sent("a", 6), make.sent("b", 15)
    log: list[AnyRecord] = [
        make.message("m1"),
        make.echo("a", 5),
        make.message("m2", 5.5),
        first,
        second,
    ]
    assert fold(*log)[0]["answered.assistant"] == 2


@pytest.mark.parametrize("place", [3, 4, 5])
def test_when_its_echo_comes_makes_no_difference_to_whom_a_message_answers(place: int) -> None:
    """Not even behind the next answer, which then has answered somebody after all."""
    log: list[AnyRecord] = [
        make.message("m1"),
        make.message("m2", 5.5),
        make.sent("a", 6),
        make.sent("b", 15),
        make.inbox("i1", 20),
    ]
    log.insert(place, make.echo("a", 5))
    summed, _, state = fold(*log)
    answered = {name: n for name, n in summed.items() if name.startswith("answered")}
    assert answered == {"answered.assistant": 2}
    assert sum(n for name, n in summed.items() if name.startswith("first")) == 2
    assert state.answers.waiting() == []


def test_of_who_is_answered_beyond_doubt_nothing_is_kept() -> None:
    _, _, state = fold(make.message("m1"), make.sent("a", 6))
    assert state.answers.written
    _, _, state = fold(make.echo("a", 5), state=state)
    assert state.answers == Answers()


def test_an_answer_that_by_our_clock_comes_before_the_question_answers_it() -> None:
    assert fold(make.message("m1", 5), make.sent("a", 3))[0]["answered.assistant"] == 1


def test_a_copy_is_known_however_late_it_comes() -> None:
    messages = [make.message(f"m{n}", n) for n in range(MESSAGES * 2)]
    summed, remarks, _ = fold(*messages, *messages)
    assert summed["in"] == MESSAGES * 2
    assert Counter(remarks) == {"copy_inbound": MESSAGES, "late_inbound": MESSAGES}


def test_what_comes_after_that_many_newer_ones_is_taken_for_a_copy() -> None:
    newer = [make.message(f"m{n}", 10 + n) for n in range(MESSAGES)]
    summed, remarks, _ = fold(*newer, make.message("late", 5))
    assert summed["in"] == MESSAGES + 1  # nothing has fallen out so far
    summed, remarks, _ = fold(*newer, make.message("one more", 900), make.message("late", 5))
    assert summed["in"] == MESSAGES + 1
    assert remarks == ["late_inbound"]


def test_a_state_keeps_its_size() -> None:
    state = State()
    for n in range(1000):
        events: list[AnyRecord] = [
            make.message(f"m{n}", n * 900),
            make.sent(f"a{n}", n * 900 + 5),
            make.failed(f"f{n}", n * 900 + 6),
            make.echo(f"other{n}", n * 900),
            make.delivered(n, f"unknown{n}"),
            make.requested(n * 900),
        ]
        for event in events:
            apply(state, event, APP, Counts())
    fields = to_fields(state)
    packed = sum(len(each) for each in _blobs(fields))
    assert packed < 20_000
    assert len(state.unsent) <= 64
    assert len(state.open) == OPEN


def test_who_writes_much_to_a_page_without_echoes_is_not_kept_for_ever() -> None:
    state = State()
    for n in range(2_000):
        apply(state, make.message(f"m{n}", n), APP, Counts())
        if n % 31 == 30:
            apply(state, make.sent(f"a{n}", n + 0.5), APP, Counts())
    assert len(state.answers.written) <= 3 * WAITING
    _, _, state = fold(make.message("m1"), make.sent("a", 6))
    _, _, state = fold(make.message("m2", 25 * 3600), make.sent("b", 25 * 3600 + 6), state=state)
    assert [each.sent_ms for each in state.answers.doubtful] == [moment_ms(make.at(25 * 3600 + 6))]


def _blobs(fields: object) -> list[bytes]:
    if isinstance(fields, bytes):
        return [fields]
    if isinstance(fields, dict):
        return [blob for value in fields.values() for blob in _blobs(value)]
    return []


def test_receipts_for_messages_nobody_knows_are_told() -> None:
    _, remarks, _ = fold(*[make.delivered(n, f"unknown{n}") for n in range(60)])
    assert remarks == ["receipt_without_message"] * 10


def test_of_what_is_read_nothing_is_kept() -> None:
    _, _, state = fold(make.sent("a"), make.echo("a"), make.sent("b", 5), make.read(9))
    assert [each.has_echo for each in state.open] == [False]  # its echo may move it still
    _, _, state = fold(make.sent("c", 3 * DAY_S), state=state)
    assert len(state.open) == 1


def test_a_conversation_is_counted_once_for_all_time() -> None:
    counts, state = Counts(), State()
    events = [make.message("m2", DAY_S), make.message("m1", 0), make.message("m3", 9 * DAY_S)]
    for event in events:
        apply(state, event, APP, counts)
    assert [each for each in counts.increments if each[0] == EVER] == [(EVER, "conversations", 1)]


def test_the_app_id_tells_our_echoes_from_those_of_others() -> None:
    event = make.echo("a")
    assert counted(event.model_copy(update={"app_id": None, "send_id": None})) == {
        "out.human_facebook": 1
    }
    assert counted(event.model_copy(update={"send_id": None})) == {}


def test_on_standby_our_own_echo_tells_metas_time_and_is_no_message() -> None:
    raw = {"message": {"app_id": int(APP), "metadata": "a:0"}}
    ours = make.standby("m.a", 3, is_echo=True).model_copy(update={"raw": raw})
    seen = {"out.assistant": 1, "delivered": 1, "read": 1}
    assert counted(ours, make.read(4), make.sent("a", 5)) == seen


def test_a_taken_back_message_on_standby_counts_nothing() -> None:
    event = make.standby("m1")
    gone = event.model_copy(update={"raw": {"message": {"is_deleted": True}}})
    assert counted(gone) == {}
    assert isinstance(make.message("m1"), MessageReceived)
