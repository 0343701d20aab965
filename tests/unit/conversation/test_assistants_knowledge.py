"""How a knowledge text is read."""

from hypothesis import given
from hypothesis import strategies as st

from services.conversation.assistants.knowledge import parse
from services.conversation.assistants.words import fold, tokens


def titles(text: str) -> list[tuple[int, str]]:
    return [(section.level, section.title) for section in parse(text).sections]


def test_headings_of_all_kinds_begin_sections() -> None:
    text = "Before.\n\n# One #\na\n\nTwo\n===\nb\n\nThree\n---\nc\n\n**Four:**\nd\n\nQ: Five?\nA: e"
    assert titles(text) == [
        (7, ""),
        (1, "One"),
        (1, "Two"),
        (2, "Three"),
        (7, "Four"),
        (7, "Five?"),
    ]
    assert [section.text for section in parse(text).sections] == [
        "Before.",
        "a",
        "b",
        "c",
        "d",
        "e",
    ]


def test_a_section_is_whole_with_what_is_below_it() -> None:
    text = "# Cakes\nIntro.\n\n## Prices\nFrom 28.\n\n# Bread\nRye."
    cakes, prices, bread = parse(text).sections
    assert cakes.text == "Intro."
    assert cakes.whole == "Intro.\n\n## Prices\nFrom 28."
    assert (prices.path, prices.whole) == ("Cakes", "From 28.")
    assert (bread.path, bread.whole) == ("", "Rye.")


def test_a_lone_first_heading_is_the_documents_title_and_holds_only_its_introduction() -> None:
    knowledge = parse("# Handbook\nWelcome.\n\n## Hours\n7 to 18.\n\n## Paying\nCash.")
    assert knowledge.sections[0].whole == "Welcome."
    assert knowledge.topics == ["Hours", "Paying"]


def test_a_comment_in_a_code_fence_is_no_heading() -> None:
    assert titles("# Code\n```\n# not a title\n```\nafter") == [(1, "Code")]


def test_a_list_stays_with_the_line_that_introduces_it() -> None:
    (section,) = parse("# Breads\nWe bake:\n\n- rye\n- oat\n\nEvery day.").sections
    assert section.paragraphs == ["We bake:\n\n- rye\n- oat", "Every day."]


def test_questions_are_topics_only_where_there_is_nothing_else() -> None:
    assert parse("Q: Parking?\nA: Yes.\n\nQ: Dogs?\nA: No.").topics == ["Parking?", "Dogs?"]
    assert parse("# Place\nHere.\n\nQ: Parking?\nA: Yes.").topics == ["Place"]


def test_people_type_without_marks_and_with_two_letters_for_one() -> None:
    assert fold("Giờ mở cửa, Đà Nẵng") == "gio mo cua, da nang"
    assert fold("Öffnungszeiten") == fold("oeffnungszeiten") == fold("OFFNUNGSZEITEN")


def test_scripts_without_spaces_are_cut_into_pieces() -> None:
    assert list(tokens("营业时间 7:00")) == ["营业", "业时", "时间", "7", "00"]
    assert list(tokens("ปิดค่ะ")) == ["ปิด", "ิดค", "ดค่", "ค่ะ"]
    assert list(tokens("狗 vs. The Baker's cake")) == ["狗", "vs", "the", "baker", "cake"]


@given(st.text(alphabet=st.sampled_from("#*Q:A= -\n`ab?"), max_size=200))
def test_every_line_of_text_is_in_some_section(text: str) -> None:
    kept = "".join(section.title + section.text for section in parse(text).sections)
    for letter in "ab":
        assert kept.count(letter) == text.count(letter)
