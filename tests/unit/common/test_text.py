"""The beginning of a text: no character of a reader's is cut in two."""

import pytest
import regex
from hypothesis import example, given
from hypothesis import strategies as st

from libs.common.text import beginning
from tests.unit.sender.strategies import CLUSTERS, texts

FLAGS = "🇫🇷" * 200


@given(texts | st.lists(st.sampled_from(CLUSTERS)).map("".join), st.integers(0, 300))
@example(FLAGS, 251)
@example("👨‍👩‍👧‍👦" * 60, 200)
@example("한글" * 50 + "\u1112\u1161\u11ab" * 50, 151)
@example("क्षि" * 50, 101)
@example("\u0e19\u0e33" * 50, 51)
@example("a\r\n\ufeffb", 3)
def test_it_ends_where_a_character_ends(text: str, most: int) -> None:
    found = beginning(text, most)
    assert text.startswith(found)
    assert min(len(text), max(most - 100, 0)) <= len(found) <= most
    if len(found) < most or len(text) <= most:
        ends = {match.end() for match in regex.finditer(r"\X", text)} | {0}
        assert len(found) in ends


@pytest.mark.parametrize(
    ("text", "most", "expected"),
    [
        ("short", 10, "short"),
        ("x" * 20, 10, "x" * 10),
        (FLAGS, 251, "🇫🇷" * 125),
        ("ab" + "e" + "\u0301" * 20, 10, "ab"),
        ("e" + "\u0301" * 5000, 1000, "e" + "\u0301" * 999),  # one character all of it
    ],
)
def test_as_much_as_there_is_room_for(text: str, most: int, expected: str) -> None:
    assert beginning(text, most) == expected
