"""The plan of a command's parts, corrected by what went out."""

from hypothesis import assume, given
from hypothesis import strategies as st

from libs.common.splitting import split_text
from services.sender.domain.outline import Outline

texts = st.lists(
    st.text(alphabet="abc äß世😀.\n", min_size=1, max_size=12), min_size=1, max_size=60
).map(" ".join)


def bare(text: str) -> str:
    return "".join(text.split())


def all_parts(outline: Outline) -> list[str]:
    return [outline[number] for number in range(len(outline))]


def test_what_went_out_as_planned_changes_nothing() -> None:
    outline = Outline(["one", "two"])
    outline.settle(0, "one")
    assert all_parts(outline) == ["one", "two"]


def test_a_shorter_part_leaves_its_rest_as_the_next_one() -> None:
    outline = Outline(["one two", "three"])
    outline.settle(0, "one")
    assert all_parts(outline) == ["one", "two", "three"]


def test_a_longer_part_takes_from_the_next_one() -> None:
    outline = Outline(["one", "two three", "four"])
    outline.settle(0, "one\n\ntwo")
    assert all_parts(outline) == ["one\n\ntwo", "three", "four"]


def test_a_text_that_was_never_planned_counts_for_its_number() -> None:
    outline = Outline(["one", "two"])
    outline.settle(0, "something else")
    assert all_parts(outline) == ["something else", "two"]


def test_a_part_is_split_again_until_it_is_short() -> None:
    outline = Outline(["word " * 100])
    assert outline.split_again(0)
    assert len(outline) == 2
    assert not Outline(["x" * 60]).split_again(0)


@given(texts, st.integers(50, 300), st.integers(50, 300), st.integers(0, 5))
def test_whatever_the_limits_of_two_runs_the_text_goes_out_once(
    text: str, first_limit: int, second_limit: int, sent: int
) -> None:
    planned = split_text(text, first_limit)
    assume(planned)
    went_out = planned[:sent]
    outline = Outline(split_text(text, second_limit))
    for number, part in enumerate(went_out):
        outline.settle(number, part)
    assert bare("".join(all_parts(outline))) == bare(text)
    assert all_parts(outline)[: len(went_out)] == went_out
    assert all(all_parts(outline))


@given(texts, st.data())
def test_splitting_again_loses_nothing(text: str, data: st.DataObject) -> None:
    outline = Outline(split_text(text, 300))
    assume(len(outline))
    number = data.draw(st.integers(0, len(outline) - 1))
    outline.split_again(number)
    assert bare("".join(all_parts(outline))) == bare(text)
