import textwrap
import time
from itertools import accumulate

import pytest
import regex
from hypothesis import example, given
from hypothesis import strategies as st

from libs.common.splitting import MIN_LIMIT, LengthUnit, split_text, text_length
from tests.unit.sender.strategies import URLS, texts, texts_with_urls

FAMILY = "👨‍👩‍👧‍👦"
limits = st.integers(50, 200)
units: st.SearchStrategy[LengthUnit] = st.sampled_from(["utf16", "codepoints", "utf8"])


def squeezed(text: str) -> str:
    """The text without whitespace, and with lone surrogates as splitting replaces them."""
    joined = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return "".join(joined.split())


def clusters_without_space(text: str) -> list[str]:
    return [squeezed(cluster) for cluster in regex.findall(r"\X", text) if squeezed(cluster)]


@given(texts, limits, units)
def test_nothing_is_lost_but_whitespace_and_the_order_stays(
    text: str, limit: int, unit: LengthUnit
) -> None:
    assert squeezed("".join(split_text(text, limit, unit))) == squeezed(text)


@given(st.text(st.characters(), max_size=400), limits, units)
def test_nothing_is_lost_of_any_text_lone_surrogates_included(
    text: str, limit: int, unit: LengthUnit
) -> None:
    parts = split_text(text, limit, unit)
    assert squeezed("".join(parts)) == squeezed(text)
    assert not any(regex.search(r"\p{Cs}", part) for part in parts)


@given(texts, limits, units)
def test_every_part_is_within_the_limit_trimmed_and_not_empty(
    text: str, limit: int, unit: LengthUnit
) -> None:
    for part in split_text(text, limit, unit):
        assert 0 < text_length(part, unit) <= limit
        assert part == part.strip()


@given(texts_with_urls, limits, units)
@example(FAMILY * 30, 50, "utf16")
@example("🇫🇷" * 100, 50, "utf16")
@example("x" * 49 + "e\u0301" + "y" * 60, 50, "codepoints")
def test_no_cluster_is_cut_that_fits(text: str, limit: int, unit: LengthUnit) -> None:
    ends = set(accumulate(len(squeezed(part)) for part in split_text(text, limit, unit)))
    position = 0
    for cluster in clusters_without_space(text.strip()):
        inside = range(position + 1, position + len(cluster))
        assert text_length(cluster, unit) > limit or ends.isdisjoint(inside), cluster
        position += len(cluster)


@given(texts_with_urls, limits, units)
def test_no_address_is_cut_that_fits(text: str, limit: int, unit: LengthUnit) -> None:
    parts = split_text(text, limit, unit)
    for url in URLS:
        assert sum(part.split().count(url) for part in parts) == text.split().count(url)


@given(texts, limits, units)
def test_a_part_split_again_is_itself(text: str, limit: int, unit: LengthUnit) -> None:
    for part in split_text(text, limit, unit):
        assert split_text(part, limit, unit) == [part]


@given(texts, limits, units)
def test_the_same_text_gives_the_same_parts(text: str, limit: int, unit: LengthUnit) -> None:
    assert split_text(text, limit, unit) == split_text(text, limit, unit)


@given(texts, units)
def test_a_text_within_the_limit_is_one_part(text: str, unit: LengthUnit) -> None:
    stripped = text.strip()
    joined = stripped.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    limit = max(MIN_LIMIT, text_length(joined, unit))
    assert split_text(text, limit, unit) == ([joined] if joined else [])


@given(st.lists(st.text("abcxyz", min_size=1, max_size=40), max_size=60), limits)
def test_words_are_packed_greedily(words: list[str], limit: int) -> None:
    text = " ".join(words)
    assert split_text(text, limit) == textwrap.wrap(text, limit)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", [], id="empty"),
        pytest.param(" \n\t\u3000 ", [], id="blank"),
        pytest.param("  hello \n", ["hello"], id="trimmed"),
        pytest.param(
            "One two three four.\nFive six.\n\nSeven eight nine ten eleven.",
            ["One two three four.\nFive six.", "Seven eight nine ten eleven."],
            id="blank line before line",
        ),
        pytest.param(
            "First line of the text. Short.\nSecond line of the text. Short.",
            ["First line of the text. Short.", "Second line of the text. Short."],
            id="line before sentence",
        ),
        pytest.param(
            "Our hours:\n• Monday to Friday\nWe bake daily.\n• Saturday\n• Sunday",
            ["Our hours:\n• Monday to Friday", "We bake daily.\n• Saturday\n• Sunday"],
            id="line before list item",
        ),
        pytest.param(
            "Things:\n1. flour and some water\n2. salt and sugar\n3. time",
            ["Things:\n1. flour and some water\n2. salt and sugar", "3. time"],
            id="list item before sentence",
        ),
        pytest.param(
            "We are here for you.\n\nOur breads:\n\n• wheat and spelt\n\n• rye",
            ["We are here for you.", "Our breads:\n\n• wheat and spelt\n\n• rye"],
            id="an introduction stays with its list",
        ),
        pytest.param(
            "Please ask Dr. Smith today. Then come back to us later this week.",
            ["Please ask Dr. Smith today.", "Then come back to us later this week."],
            id="sentence, not abbreviation",
        ),
        pytest.param(
            "我们每天早上八点开门，晚上六点关门，欢迎光临我们的面包店品尝。请随时联系我们，谢谢您的支持，祝您愉快，再见。",
            [
                "我们每天早上八点开门，晚上六点关门，欢迎光临我们的面包店品尝。",
                "请随时联系我们，谢谢您的支持，祝您愉快，再见。",
            ],
            id="sentences without spaces",
        ),
        pytest.param(
            "one two three four five six seven eight nine ten eleven twelve",
            ["one two three four five six seven eight nine ten", "eleven twelve"],
            id="space",
        ),
        pytest.param("x" * 120, ["x" * 50, "x" * 50, "x" * 20], id="nothing but a long word"),
        pytest.param(FAMILY * 9, [FAMILY * 4, FAMILY * 4, FAMILY], id="families stay together"),
        pytest.param(
            "ភាសាខ្មែរ\u200b" * 6,
            ["ភាសាខ្មែរ\u200b" * 5, "ភាសាខ្មែរ\u200b"],
            id="zero-width space ends a word and is kept",
        ),
        pytest.param(
            "Look: https://example.com/" + "a" * 60 + " now",
            ["Look:", "https://example.com/" + "a" * 30, "a" * 30 + " now"],
            id="an address beyond the limit is cut like a word",
        ),
        pytest.param(
            "这里有https://example.com/面包。我们每天早上八点开门，晚上六点关门，谢谢您，欢迎光临。",
            [
                "这里有https://example.com/面包。",
                "我们每天早上八点开门，晚上六点关门，谢谢您，欢迎光临。",
            ],
            id="an address ends at ideographic punctuation",
        ),
        pytest.param(
            "中" * 40 + "https://example.com/a",
            ["中" * 40, "https://example.com/a"],
            id="an address without a space before it",
        ),
        pytest.param(
            "This is it. See https://example.com/q?Yes.no!Really and tell",
            ["This is it.", "See https://example.com/q?Yes.no!Really and tell"],
            id="an address that looks like sentences",
        ),
        pytest.param(
            "Well begun is half done, so here is it all!\ufe0f\u20e3Yes, and then some more",
            ["Well begun is half done, so here is it all!\ufe0f\u20e3Yes,", "and then some more"],
            id="a sentence does not end inside of a cluster",
        ),
        pytest.param(
            "Mix flour, water and salt into the bowl first. 1. Knead the dough",
            ["Mix flour, water and salt into the bowl first.", "1. Knead the dough"],
            id="a number stays with its item",
        ),
        pytest.param("half \ud83d", ["half \ufffd"], id="lone surrogate"),
        pytest.param("\ud83d\ude00", ["😀"], id="surrogate pair"),
    ],
)
def test_cuts_at_the_best_place(text: str, expected: list[str]) -> None:
    assert split_text(text, 50) == expected


@pytest.mark.parametrize(
    ("text", "utf16", "codepoints", "utf8"),
    [("", 0, 0, 0), ("abc", 3, 3, 3), ("é", 1, 1, 2), ("ก", 1, 1, 3), ("😀", 2, 1, 4)],
)
def test_length_is_counted_in_the_unit(text: str, utf16: int, codepoints: int, utf8: int) -> None:
    assert text_length(text) == text_length(text, "utf16") == utf16
    assert text_length(text, "codepoints") == codepoints
    assert text_length(text, "utf8") == utf8


def test_a_limit_that_may_hold_no_character_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 4"):
        split_text("hello", MIN_LIMIT - 1)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("Hello there, this is a sentence of the text. " * 2_200, id="prose"),
        pytest.param("这是一个句子，很长。" * 10_000, id="one line of Chinese"),
        pytest.param("🇫🇷" * 50_000, id="flags"),
        pytest.param("a" + "\u0301" * 100_000, id="one cluster"),
        pytest.param("http://a" + ")" * 100_000, id="brackets after an address"),
        pytest.param("a" + " " * 100_000 + "b", id="spaces"),
        pytest.param("a-" * 50_000, id="looks like a domain"),
    ],
)
def test_100_kb_take_well_under_a_second(text: str) -> None:
    started_at = time.process_time()
    parts = split_text(text, 1900)
    assert time.process_time() - started_at < 1.0
    assert squeezed("".join(parts)) == squeezed(text)
