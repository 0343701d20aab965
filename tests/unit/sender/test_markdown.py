import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.sender.domain.markdown import (
    MAX_ADDRESSES,
    MAX_BRACKETS,
    MAX_CHARS,
    to_messenger_text,
)

SYNTAX = [
    *"*_~`#>|[]()!<>-+=:\\&\n \t0123456789",
    "**",
    "```",
    "~~~",
    "- ",
    "1. ",
    "| a | b |\n|---|---|\n",
    "https://a.b/c_d",
    "www.a.b",
    "](",
    "![",
    "<br>",
    "<!--",
    "&amp;",
    "&#0;",
    "\x00",
    "\ud800",
    "\r\n",
    "word",
    "🎉",
    "\u200b",
]


@pytest.mark.parametrize(
    ("markdown", "expected"),
    [
        pytest.param("", "", id="empty"),
        pytest.param("Hello **big** *wide* ~~old~~ `new` world", "Hello big wide old new world"),
        pytest.param("***both*** and __strong__ and _em_", "both and strong and em"),
        pytest.param("# Title\nText\n\n## Next ##\n\nMore", "Title\nText\n\nNext\nMore"),
        pytest.param("Title\n=====\n\nText", "Title\nText", id="underlined heading"),
        pytest.param("one\ntwo  \nthree\\\nfour", "one\ntwo\nthree\nfour", id="line breaks"),
        pytest.param("one\n\n\n\ntwo", "one\n\ntwo", id="blank lines"),
        pytest.param("a\r\nb\r\n\r\nc", "a\nb\n\nc", id="CRLF"),
        pytest.param("Yay 🎉👩🏽‍🚀 🇫🇷", "Yay 🎉👩🏽‍🚀 🇫🇷", id="emoji"),
        pytest.param("call send_message_now or snake_case", "call send_message_now or snake_case"),
        pytest.param("2*3*4 = 24, 2**8 = 256", "2*3*4 = 24, 2**8 = 256", id="arithmetic"),
        pytest.param("*2*3*4*", "2*3*4", id="arithmetic inside of emphasis"),
        pytest.param(r"5 \* 3 \_x\_", "5 * 3 _x_", id="escapes"),
        pytest.param("Fish &amp; chips &lt;3", "Fish & chips <3", id="entities"),
        pytest.param("a\n\n---\n\nb", "a\n\n———\n\nb", id="rule"),
    ],
)
def test_inline_marks_and_blocks(markdown: str, expected: str) -> None:
    assert to_messenger_text(markdown) == expected


@pytest.mark.parametrize(
    ("markdown", "expected"),
    [
        ("[our menu](https://a.b/menu_x_y)", "our menu: https://a.b/menu_x_y"),
        ("[our menu:](https://a.b 'title')", "our menu: https://a.b"),
        ("[**our** menu][1]\n\n[1]: https://a.b", "our menu: https://a.b"),
        ("[https://a.b](https://a.b)", "https://a.b"),
        ("[a.b](https://a.b/)", "https://a.b/"),
        ("[](https://a.b)", "https://a.b"),
        ("<https://a.b/x> <me@a.b>", "https://a.b/x me@a.b"),
        ("[mail us](mailto:me@a.b)", "mail us: me@a.b"),
        ("[me@a.b](mailto:me@a.b)", "me@a.b"),
        ("[call](tel:+33123)", "call: +33123"),
        ("[above](#top) [nothing]()", "above nothing"),
        ("see https://a.b/_x_/*y*?q=a_b_c.", "see https://a.b/_x_/*y*?q=a_b_c."),
        ("see shop.example.com/a_b_c now", "see shop.example.com/a_b_c now"),
        ("[phở](https://vi.wikipedia.org/wiki/Phở)", "phở: https://vi.wikipedia.org/wiki/Phở"),
        ("![a cake](https://a.b/c.png)", "a cake https://a.b/c.png"),
        ("![](https://a.b/c.png)", "https://a.b/c.png"),
        ("Rye [1].\n\n[2]: https://a.b", "Rye [1].\n\n[2]: https://a.b"),
        ("[run](javascript:alert(1))", "[run](javascript:alert(1))"),
    ],
)
def test_links_and_images_show_their_address_once(markdown: str, expected: str) -> None:
    assert to_messenger_text(markdown) == expected


@pytest.mark.parametrize(
    ("markdown", "expected"),
    [
        pytest.param("* a\n* **b**\n+ c", "• a\n• b\n• c", id="bullets"),
        pytest.param("Intro:\n- a\n- b\n\nEnd", "Intro:\n• a\n• b\n\nEnd", id="tight"),
        pytest.param("- a\n\n- b", "• a\n\n• b", id="blank lines between items stay"),
        pytest.param("- a\n    - b\n        - c\n- d", "• a\n  • b\n    • c\n• d", id="nested"),
        pytest.param("3. c\n4. d", "3. c\n4. d", id="numbers stay"),
        pytest.param("1) a\n2) b", "1) a\n2) b", id="brackets stay"),
        pytest.param("1. a\n3. c", "1. a\n3. c", id="gaps stay"),
        pytest.param("1. a\n1. b\n1. c", "1. a\n2. b\n3. c", id="counted where all are 1"),
        pytest.param("5. a\n5. b", "5. a\n6. b", id="counted from the first"),
        pytest.param("1. a\n\n   text\n2. b", "1. a\n\n  text\n2. b", id="item of two blocks"),
        pytest.param("-\n- b", "•\n• b", id="empty item"),
        pytest.param("- [ ] todo", "• [ ] todo", id="task"),
        pytest.param("> a\n> b\n>\n> c", "> a\n> b\n>\n> c", id="quote"),
        pytest.param("> a\n>> b", "> a\n> > b", id="quote in quote"),
        pytest.param("> - **a**\n> - b", "> • a\n> • b", id="list in quote"),
        pytest.param("- x\n  > a", "• x\n  > a", id="quote in list"),
    ],
)
def test_lists_and_quotes(markdown: str, expected: str) -> None:
    assert to_messenger_text(markdown) == expected


@pytest.mark.parametrize(
    ("markdown", "expected"),
    [
        pytest.param(
            "| Day | Open | Close |\n|:--|--:|---|\n| Mon | 8 | **18** |\n| Sun | | 12 |",
            "• Mon — Open: 8; Close: 18\n• Sun — Close: 12",
            id="a row is a line",
        ),
        pytest.param("| A |\n|---|\n| x |\n| y |", "• x\n• y", id="one column"),
        pytest.param("| A | B |\n|---|---|", "• A — B", id="no rows"),
        pytest.param("| A | |\n|---|---|\n| x | y |", "• x — y", id="no header"),
        pytest.param("| A | B |\n|---|---|\n| | y |", "• B: y", id="no first cell"),
        pytest.param("a | b\n--|--\n`x\\|y` | z", "• x|y — b: z", id="bar in a cell"),
        pytest.param(
            "- item\n| A | B |\n|---|---|\n| x | y |",
            "• item\n\n• x — B: y",
            id="directly below a list",
        ),
        pytest.param(
            "> - item\n> | A | B |\n> |---|---|\n> | x | y |",
            "> • item\n>\n> • x — B: y",
            id="directly below a list in a quote",
        ),
        pytest.param("- item\n| not | a table |", "• item\n  | not | a table |", id="no table"),
    ],
)
def test_tables(markdown: str, expected: str) -> None:
    assert to_messenger_text(markdown) == expected


@pytest.mark.parametrize(
    ("markdown", "expected"),
    [
        pytest.param(
            "Run:\n```python\ndef f(*a):\n    return 2 ** a  # _x_\n```\nDone",
            "Run:\ndef f(*a):\n    return 2 ** a  # _x_\nDone",
            id="fence",
        ),
        pytest.param("~~~\n- a\n| A |\n|---|\n~~~", "- a\n| A |\n|---|", id="no table in a fence"),
        pytest.param("````\n```\nx\n```\n````", "```\nx\n```", id="fence in fence"),
        pytest.param("```\nnever closed", "never closed", id="open fence"),
        pytest.param("a\n\n    x = *y*\n    z", "a\n\nx = *y*\nz", id="indented"),
        pytest.param("`a*b*c` and ``x`y``", "a*b*c and x`y", id="inline"),
        pytest.param("<b>bold</b><br>x", "<b>bold</b><br>x", id="raw HTML"),
        pytest.param("<div>\n**a**\n</div>", "<div>\na\n</div>", id="HTML block"),
        pytest.param("<!-- hidden -->", "<!-- hidden -->", id="comment"),
    ],
)
def test_code_and_html_are_shown_as_they_are(markdown: str, expected: str) -> None:
    assert to_messenger_text(markdown) == expected


@given(st.lists(st.sampled_from(SYNTAX), max_size=80).map("".join))
@example("[a]: <b>\n[c][a]")
def test_any_text_can_be_rendered(markdown: str) -> None:
    text = to_messenger_text(markdown)
    assert text == text.strip()


@given(st.lists(st.from_regex(r"[a-zß-öφ-ωก-ฮ]{1,9}", fullmatch=True), min_size=1).map(" ".join))
def test_plain_words_stay_as_they_are(text: str) -> None:
    assert to_messenger_text(text) == text


@given(
    st.lists(
        st.tuples(
            st.from_regex(r"[a-z]{1,9}", fullmatch=True),
            st.sampled_from(["{}", "**{}**", "*{}*", "# {}", "- {}", "3. {}", "> {}", "`{}`"]),
        ),
        max_size=20,
    )
)
def test_every_word_is_shown_once_and_in_order(words: list[tuple[str, str]]) -> None:
    markdown = "\n\n".join(form.format(word) for word, form in words)
    shown = to_messenger_text(markdown)
    letters = "".join(char for char in shown if char.isalpha())
    assert letters == "".join(word for word, _ in words)
    assert not set(shown) & set("*#`")


@pytest.mark.parametrize(
    "markdown",
    [
        pytest.param(">" * 10_000 + "x", id="quotes"),
        pytest.param("- " * 10_000 + "x", id="lists"),
        pytest.param("[" * 10_000, id="brackets"),
        pytest.param("[" * MAX_BRACKETS + "a" * 40_000, id="as many brackets as are read"),
        pytest.param("![" * 10_000, id="images"),
        pytest.param("*a **b " * 7_000, id="emphasis never closed"),
        pytest.param("".join("`" * n + " " for n in range(300)), id="backticks"),
        pytest.param("://" * 10_000, id="schemes"),
        pytest.param("a://b " * MAX_ADDRESSES, id="as many addresses as are read"),
        pytest.param("|a" * 8_000 + "\n" + "|-" * 8_000 + "\n|b" * 100, id="wide table"),
        pytest.param("<!--" * 10_000, id="comments"),
        pytest.param("word " * (MAX_CHARS // 4), id="longer than is read"),
    ],
)
def test_a_hostile_text_takes_bounded_time_and_is_not_lost(markdown: str) -> None:
    started_at = time.process_time()
    text = to_messenger_text(markdown)
    assert time.process_time() - started_at < 20.0  # milliseconds when quiet; never a hang
    assert text


def test_nesting_beyond_the_parsers_depth_is_shown_as_written() -> None:
    markdown = "**Before**\n\n" + ">" * 200 + "inside"
    assert to_messenger_text(markdown) == markdown


def test_a_failing_parser_costs_the_formatting_not_the_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_: str) -> str:
        raise RecursionError

    monkeypatch.setattr("services.sender.domain.markdown._render", fail)
    assert to_messenger_text(" **Hello** ") == "**Hello**"
