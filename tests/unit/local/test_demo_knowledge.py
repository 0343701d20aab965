"""The judge of long answers: whether a message says what was written, and looks clean."""

import pytest

from deploy.local.demo.knowledge import (
    begins_with,
    deviation,
    left_over_markdown,
    section,
    titles,
    tokens,
    utf16_length,
)

WRITTEN = """\
We bake **by hand**, see [our page](https://bakery.example/bread) ☕

| Loaf | Weight | Euros |
|:-----|-------:|------:|
| Rye  | 750 g  | 4.90  |
| *Oat* | 500 g | 5.20  |

## Rolls
1. Plain, with `salt`
   - Mrs Miller's favourite
"""
SENT = """\
Here's what I know:

We bake by hand, see our page: https://bakery.example/bread ☕

• Rye — Weight: 750 g; Euros: 4.90
• Oat — Weight: 500 g; Euros: 5.20

Rolls
1. Plain, with salt
   • Mrs Miller's favourite"""


def test_a_message_may_look_different_as_long_as_it_says_the_same() -> None:
    assert deviation(WRITTEN, SENT) is None
    assert left_over_markdown(SENT) == []


@pytest.mark.parametrize(
    ("sent", "where"),
    [
        (SENT.replace("750 g; ", ""), "4.90 instead of 750"),
        (SENT.replace("Plain, with salt", "Plain, with with salt"), "with instead of salt"),
        (SENT.replace("with salt", "salt with"), "salt instead of with"),
        (SENT.removesuffix("Mrs Miller's favourite"), "(the end) instead of Mrs"),
        (SENT + " and more", "and instead of (the end)"),
        (SENT.replace(" ☕", ""), "Rye instead of ☕"),
        ("Sorry, I don't know that.", "Sorry instead of We"),
    ],
)
def test_what_is_lost_doubled_swapped_or_added_is_found(sent: str, where: str) -> None:
    assert where in (deviation(WRITTEN, sent) or "nothing found")


@pytest.mark.parametrize(
    ("message", "kinds"),
    [
        ("**bold**", ["emphasis"]),
        ("an *italic* word", ["emphasis"]),
        ("~~gone~~", ["emphasis"]),
        ("## Heading", ["headings"]),
        ("| Rye | 750 g |", ["tables"]),
        ("see [here](https://bakery.example)", ["links"]),
        ("with `salt`", ["code"]),
        ("- an item", ["bullets"]),
        ("2 * 3 is 6, and that's no. 1 – or # 1?", []),
        ("• an item\n———\n> quoted", []),
    ],
)
def test_markdown_that_a_reader_would_see_is_named(message: str, kinds: list[str]) -> None:
    assert left_over_markdown(message) == kinds


def test_the_catalogue_is_long_and_uses_all_of_markdown() -> None:
    catalogue = section("Catalogue")
    assert len(catalogue) >= 6000
    kinds = {"emphasis", "headings", "tables", "links", "code", "bullets"}
    assert set(left_over_markdown(catalogue)) == kinds
    assert begins_with(catalogue, f"About the catalogue:\n\n{catalogue}")
    assert not begins_with(catalogue, "Sorry, I don't know that.")


def test_sections_are_found_by_their_heading() -> None:
    assert titles()[0] == "Opening hours"
    assert section("Second", "# First\none\n\n# Second\ntwo\n\n## Below\nthree") == (
        "two\n\n## Below\nthree"
    )
    with pytest.raises(LookupError, match="Third"):
        section("Third", "# First\none")


def test_words_numbers_and_emoji_count_and_lengths_are_those_of_messenger() -> None:
    assert tokens("It's 3.50 at 7:00 – 🥐!") == ["It's", "3.50", "at", "7:00", "🥐"]
    assert utf16_length("é🥐") == 3
