"""Laws of the fold: against a model that looks at the whole log, slowly."""

from collections import Counter
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from libs.common.events import AnyRecord, ConversationRecord
from libs.common.once import unpacked
from services.analytics.domain.fold import Counts, Increment, apply, fold
from services.analytics.domain.slots import moment_ms, slot_of
from services.analytics.domain.state import State, from_fields, to_fields
from tests.unit.analytics import reference
from tests.unit.analytics.factories import APP, PATIENTLY
from tests.unit.analytics.reference import Totals
from tests.unit.analytics.strategies import logs, receipts

NEWER = ("written", "answered_by", "doubtful")
"""What the release before knows nothing of."""


def summed(increments: list[Increment]) -> Totals:
    counted: Counter[tuple[int, str]] = Counter()
    for slot, name, number in increments:
        counted[slot, name] += number
    return {key: number for key, number in counted.items() if number}


def folded(log: list[AnyRecord]) -> Totals:
    states: dict[str, State] = {}
    increments: list[Increment] = []
    for event in log:
        assert isinstance(event, ConversationRecord)
        before = states.get(event.conversation_id, State())
        states[event.conversation_id], counts = fold(before, event, APP)
        increments += counts.increments
    return summed(increments)


@PATIENTLY
@given(logs())
def test_the_fold_counts_what_the_whole_log_says(log: list[AnyRecord]) -> None:
    assert folded(log) == reference.totals(log)


@settings(PATIENTLY, max_examples=300)
@given(receipts())
def test_receipts_find_their_messages_in_whatever_order_they_come(log: list[AnyRecord]) -> None:
    assert folded(log) == reference.totals(log)


@PATIENTLY
@given(logs(), st.randoms())
def test_copies_change_nothing(log: list[AnyRecord], chance: Random) -> None:
    copied = list(log)
    for event in log:
        place = chance.randint(copied.index(event) + 1, len(copied))
        copied.insert(place, event)
    assert folded(copied) == folded(log)


@PATIENTLY
@given(logs())
def test_a_state_comes_back_from_its_document_as_it_was(log: list[AnyRecord]) -> None:
    state = State()
    for event in log:
        apply(state, event, APP, Counts())
        assert from_fields(to_fields(state)) == state


@PATIENTLY
@given(logs(), st.integers(0, 40))
def test_a_release_that_knows_of_no_doubt_goes_on_from_the_same_document(
    log: list[AnyRecord], place: int
) -> None:
    """And this one from theirs: what they have counted is never taken back."""
    state, counts = State(), Counts()
    for number, event in enumerate(log):
        if number == place:
            fields = to_fields(state)
            assert [*unpacked(fields.get("waiting"))] == state.answers.waiting()
            fields = {name: each for name, each in fields.items() if name not in NEWER}
            state = from_fields(fields)
        apply(state, event, APP, counts)
        summed = Counter[str]()
        for _, name, number_of in counts.increments:
            summed[name] += number_of
        answered = {name: n for name, n in summed.items() if name.startswith("answered.")}
        assert all(n >= 0 for n in answered.values())
        assert sum(n for name, n in summed.items() if name.startswith("first.")) == sum(
            answered.values()
        )


@PATIENTLY
@given(logs())
def test_the_state_that_is_given_stays_as_it_is(log: list[AnyRecord]) -> None:
    state = State()
    for event in log:
        before = to_fields(state)
        after, _ = fold(state, event, APP)
        assert to_fields(state) == before
        state = after


@PATIENTLY
@given(receipts())
def test_rates_never_pass_one(log: list[AnyRecord]) -> None:
    counted = folded(log)
    slots = {slot for slot, _ in counted}
    for slot in slots:
        out = sum(n for (s, name), n in counted.items() if s == slot and name.startswith("out."))
        delivered, read = counted.get((slot, "delivered"), 0), counted.get((slot, "read"), 0)
        assert 0 <= read <= delivered <= out


@PATIENTLY
@given(logs(("200", "201", "202")), st.integers(0, 30), st.integers(0, 30))
def test_those_active_in_any_range_are_counted_exactly(
    log: list[AnyRecord], begin: int, length: int
) -> None:
    counted = folded(log)
    noon = slot_of(moment_ms(log[0].occurred_at)) if log else 0
    first = noon - 15 + begin
    found = 0
    for (slot, name), number in counted.items():
        if name.startswith("gap.") and first <= slot < first + length:
            gap = name.removeprefix("gap.")
            if gap == "new" or slot - int(gap) < first:
                found += number
    copies_gone = list({each.event_id: each for each in reversed(log)}.values())
    assert found == reference.active(copies_gone, first, first + length)
