"""Hints wait until they are true, and none is lost."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from services.console.live.pending import LONGEST_WAIT_S, Hint, Pending, Place

ANA, BEN = "4225:1", "4225:2"

steps = st.lists(
    st.one_of(
        st.tuples(st.just("record"), st.sampled_from([ANA, BEN])),
        st.tuples(st.just("row"), st.sampled_from([ANA, BEN])),
        st.tuples(st.just("look"), st.just("")),
        st.tuples(st.just("wait"), st.just("")),
    ),
    max_size=60,
)


@given(steps)
def test_a_hint_tells_of_what_the_row_has_and_every_record_is_told(
    steps: list[tuple[str, str]],
) -> None:
    pending, now, end = Pending(), 0.0, 0
    log: dict[str, list[tuple[int, float]]] = {ANA: [], BEN: []}  # offset, when
    rows: dict[str, Place] = {}
    told: dict[str, int] = {ANA: -1, BEN: -1}  # up to which offset

    def tell(hints: list[Hint]) -> None:
        for hint in hints:
            seen = rows.get(hint.conversation, Place(0, -1)).offset
            if hint.was_heard:
                news = [at for at, _ in log[hint.conversation] if told[hint.conversation] < at]
                assert any(at <= seen for at in news), "a hint with nothing new in the row"
                told[hint.conversation] = seen
            else:
                assert now - hint.since >= LONGEST_WAIT_S
                told[hint.conversation] = end

    def look() -> None:
        asked = pending.oldest(10)
        tell(pending.answered(asked, rows, now) + pending.overdue(now))

    for step, conversation in [*steps, ("wait", ""), ("wait", ""), ("look", "")]:
        if step == "record":
            end += 1
            log[conversation].append((end, now))
            pending.note(conversation, Place(0, end), now)
        elif step == "row" and log[conversation]:
            done = rows.get(conversation, Place(0, -1)).offset
            rows[conversation] = Place(
                0, next((at for at, _ in log[conversation] if at > done), done)
            )
        elif step == "look":
            look()
        elif step == "wait":
            now += LONGEST_WAIT_S
            look()
    for conversation, records in log.items():
        assert told[conversation] >= max((at for at, _ in records), default=-1)
    assert not pending


def test_while_somebody_writes_on_and_on_each_step_of_the_row_is_told() -> None:
    pending, hints = Pending(), Counter[str]()
    for number in range(20):
        pending.note(ANA, Place(0, number), now=number / 10)
        behind = {ANA: Place(0, number - 1)}
        hints.update(each.conversation for each in pending.answered([ANA], behind, number / 10))
    assert hints[ANA] == 19


def test_the_rest_is_asked_about_when_there_are_more_than_fit_into_a_question() -> None:
    pending = Pending()
    for number in range(5):
        pending.note(f"4225:{number}", Place(0, number), now=0)
    first = pending.oldest(3)
    assert pending.answered(first, {}, now=0) == []
    assert pending.oldest(2) == ["4225:3", "4225:4"]


def test_a_call_for_a_human_is_remembered_until_it_is_told() -> None:
    pending = Pending()
    pending.note(ANA, Place(0, 1), now=0, asks=True)
    pending.note(ANA, Place(0, 2), now=0)
    (hint,) = pending.answered([ANA], {ANA: Place(0, 2)}, now=0.2)
    assert hint == Hint(ANA, asks=True, since=0, was_heard=True)


def test_another_partition_says_nothing_about_this_one() -> None:
    pending = Pending()
    pending.note(ANA, Place(3, 7), now=0)
    assert pending.answered([ANA], {ANA: Place(1, 900)}, now=1) == []
    pending.note(ANA, Place(4, 0), now=1)  # the topic has grown
    assert [each.since for each in pending.answered([ANA], {ANA: Place(4, 0)}, now=2)] == [0]


def test_of_too_many_conversations_only_that_is_known() -> None:
    pending = Pending(most=2)
    for number in range(3):
        pending.note(f"4225:{number}", Place(0, number), now=0)
    assert pending.overflowed()
    assert not pending.overflowed()
    assert len(pending.oldest(10)) == 2
