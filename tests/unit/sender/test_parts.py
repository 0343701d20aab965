import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.splitting import text_length
from services.sender.domain.parts import plan_parts, send_id

LONG = "\n\n".join(
    f"## Section {number}\n\n**Bread** no. {number} is *baked* daily. " + "It is good. " * 30
    for number in range(15)
)


def test_a_part_is_named_after_its_command() -> None:
    assert send_id("abc", 0) == "abc:0"
    assert send_id("abc", 12) == "abc:12"


def test_the_assistants_markdown_is_rendered() -> None:
    assert plan_parts("**Hi** [menu](https://a.b)", origin="assistant", limit=2000) == [
        "Hi menu: https://a.b"
    ]


def test_a_humans_text_goes_as_typed() -> None:
    typed = "**Hi**\n- 2*3*4\n# 1"
    assert plan_parts(typed, origin="human", limit=2000) == [typed]


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200), st.integers(50, 2000))
def test_a_humans_text_that_fits_goes_as_typed_to_the_last_space(typed: str, limit: int) -> None:
    parts = plan_parts(typed, origin="human", limit=limit)
    if not typed.strip():
        assert parts == []
    elif len(typed.encode("utf-16-le")) // 2 <= limit:
        assert parts == [typed]
    else:
        assert "".join("".join(parts).split()) == "".join(typed.split())
        assert all(len(part.encode("utf-16-le")) // 2 <= limit for part in parts)


def test_a_humans_broken_characters_do_not_keep_the_rest_from_going() -> None:
    assert plan_parts(" hi \ud800", origin="human", limit=50) == [" hi \ufffd"]


def test_a_humans_text_is_split_over_the_limit() -> None:
    parts = plan_parts("*a* " * 30, origin="human", limit=50)
    assert parts == [("*a* " * count).strip() for count in (12, 12, 6)]


def test_a_long_answer_becomes_clean_parts_that_begin_with_their_heading() -> None:
    parts = plan_parts(LONG, origin="assistant", limit=1900)
    assert len(LONG) > 6_000
    assert all(part.startswith("Section ") for part in parts)
    assert all(text_length(part) <= 1900 and not set(part) & set("*#") for part in parts)
    assert "\n\n".join(parts).count("Section ") == 15


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", []), (" \n ", []), ("```\n```", ["```\n```"]), ("---", ["———"]), ("#", ["#"])],
)
def test_what_renders_to_nothing_goes_as_written_and_nothing_stays_nothing(
    text: str, expected: list[str]
) -> None:
    assert plan_parts(text, origin="assistant", limit=2000) == expected


def test_the_limit_is_counted_in_the_unit() -> None:
    assert len(plan_parts("😀" * 50, origin="human", limit=50)) == 2
    assert len(plan_parts("😀" * 50, origin="human", limit=50, unit="codepoints")) == 1
