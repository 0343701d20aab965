"""The result in a terminal and in a page: the figures that were measured, between the marks."""

from pathlib import Path
from typing import Any

import pytest

from tests.soak.report import BEGIN, END, markdown, table, write_docs


def grown(first: float, last: float, per_hour: float | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {"first": first, "last": last, "most": last}
    if per_hour is not None:
        found |= {"per_hour": per_hour, "lowest": per_hour - 1, "highest": per_hour + 1}
    return found


def process(**more: Any) -> dict[str, Any]:  # noqa: ANN401
    return {
        "lives": 3,
        "warm_minutes": 41.2,
        "lag_most": 17.0,
        "lag_at_rest": 0.0,
        "memory": grown(44, 52, 1.5),
        "descriptors": grown(15, 16),
        "threads": grown(6, 6),
        "tasks": grown(30, 29),
        **more,
    }


FOUND: dict[str, Any] = {
    "seed": 7,
    "minutes": 60,
    "saturation": [
        {"people": 10, "answers_per_s": 9.1},
        {"people": 20, "answers_per_s": 15.2},
        {"people": 40, "answers_per_s": 11.4},
    ],
    "rate_per_s": 7.6,
    "judge": {
        "judged": 900,
        "questions": 27_000,
        "answers": 25_500,
        "complaints": {"sent twice": 2},
    },
    "p50_s": 0.95,
    "p99_s": 3.1,
    "faults": [{"recovered_after_s": 4.0}, {"recovered_after_s": 9.0}, {"recovered_after_s": 0.0}],
    "processes": {"sender": process(), "kafka": process(tasks=grown(0, 0))},
    "complaints": ["sent twice: 2 (s1, s2)"],
}


def test_the_table_has_what_was_measured() -> None:
    text = table(FOUND)
    for figure in ("15.2 answers/s", "7.6 questions/s", "27000 questions of 900 people"):
        assert figure in text
    assert "lost 0" in text
    assert "sent twice 2" in text
    assert "4.0 s in the median, 9.0 s at most" in text
    (sender,) = [line for line in text.splitlines() if "sender" in line]
    assert sender.split("  ")[-1].strip() == "17"
    assert "44 … 52" in sender
    assert "+1.5 (+0.5 … +2.5)" in sender
    assert "(kafka)" in text  # not ours


def test_a_page_gets_it_between_its_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"Before.\n{BEGIN}\nold\n{END}\nAfter.\n", encoding="utf-8")
    write_docs(page, FOUND)
    once = page.read_text(encoding="utf-8")
    assert once == f"Before.\n{BEGIN}\n{markdown(FOUND)}\n{END}\nAfter.\n"
    assert "- sent twice: 2 (s1, s2)" in once
    write_docs(page, FOUND)
    assert page.read_text(encoding="utf-8") == once


def test_rows_are_as_wide_as_their_head() -> None:
    rows = [line for line in markdown(FOUND).splitlines() if line.startswith("|")]
    assert len(rows) == 2 + len(FOUND["processes"])
    assert len({row.count("|") for row in rows}) == 1


def test_without_complaints_it_says_so() -> None:
    assert markdown({**FOUND, "complaints": []}).endswith("No complaints.")


def test_a_page_without_marks_is_an_error(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("Nothing.", encoding="utf-8")
    with pytest.raises(ValueError, match="has no"):
        write_docs(page, FOUND)
