"""`docs/reliability.md` names every fault, and what shows that it is survived is there."""

import json
from pathlib import Path

import pytest

from tests.faults.__main__ import options, seeds_from
from tests.faults.judging import Verdict
from tests.faults.leaks import Growth, Life, growth
from tests.faults.results import Outcome, Results, command, table, with_figures
from tests.faults.rows import ROWS, with_table
from tests.faults.scenarios import SCENARIOS

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "reliability.md"


def test_the_table_is_what_the_suite_says() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == with_table(page), "write it anew: make docs"


def test_all_faults_are_there_each_with_what_shows_it_or_why_not() -> None:
    assert [row.number for row in ROWS] == list(range(1, 48))
    for row in ROWS:
        assert row.scenarios or row.tests or row.why, row.number
        for path in row.tests:
            assert (ROOT / path).is_file(), (row.number, path)


def test_what_cannot_be_made_is_said_and_made_up_for() -> None:
    assert [row.number for row in ROWS if row.why] == [20]
    assert all(row.tests for row in ROWS if row.why)


def test_scenarios_name_faults_that_there_are_and_have_names_of_their_own() -> None:
    numbers = {row.number for row in ROWS}
    assert {number for each in SCENARIOS for number in each.rows} <= numbers
    names = [each.name for each in SCENARIOS]
    assert len(set(names)) == len(names)
    assert [each.name for each in SCENARIOS if not each.rows] == ["no fault"]


def test_a_result_is_told_in_a_terminal_and_in_the_page() -> None:
    results = Results()
    results.outcomes = [
        Outcome("kafka killed", 1, 50, 20.0, Verdict(questions=9, answers=8, lost=["7 (1)"])),
        Outcome("kafka killed", 2, 50, 20.0, Verdict(5, 5, recovered_after_s=3.2)),
    ]
    results.held = [("kafka killed", "gateway", Growth(2.5, 61, 0))]
    results.logged = ["gateway.log: a question"]
    assert len(results.complaints) == 3
    assert 'SEEDS=1-1 SCENARIO="kafka killed" make faults' in results.complaints[0]
    result = json.loads(json.dumps(results.to_json("2026-01-02T03:04:05+00:00", range(1, 3))))
    assert "3.2 s, at most 3.2 s" in table(result)
    page = with_figures(PAGE.read_text(encoding="utf-8"), result, SCENARIOS)
    assert "| kafka killed | 16 | 2 | 13 | 1 | 0 |" in page
    assert "Complaints: 3." in page
    assert "- gateway: +2.5 MiB, +61 descriptors, +0 tasks" in page
    with pytest.raises(ValueError, match="no <!-- faults"):
        with_figures("a page without markers", result, SCENARIOS)


def test_what_a_service_holds_more_is_complained_about_in_one_life_only() -> None:
    before = Life(1, 100.0, 20, 30)
    assert growth(before, Life(1, 130.0, 25, 30)).complaints == []
    assert growth(before, Life(1, 100.0, 81, 30)).complaints == ["61 more descriptors"]
    assert growth(before, Life(1, 100.0, 20, 99)).complaints == ["69 more tasks"]
    assert growth(before, Life(2, 900.0, 900, 900)) == Growth()
    assert growth(Life(1, 100.0, 20), before).tasks is None


def test_options_come_from_the_command_line_else_from_variables() -> None:
    chosen = options([], {})
    assert (chosen.seeds, chosen.people, chosen.long) == (range(1, 21), 50, False)
    chosen = options(["--at-once", "2"], {"SEEDS": "7-9", "LONG": "1", "AT_ONCE": "5"})
    assert (chosen.seeds, chosen.at_once, chosen.long) == (range(7, 10), 2, True)
    assert options([], {"LONG": "0"}).long is False


@pytest.mark.parametrize("arguments", [["--help"], ["everything"], ["--seeds", "0"]])
def test_nothing_is_started_by_a_question_or_a_mistake(arguments: list[str]) -> None:
    with pytest.raises(SystemExit):
        options(arguments, {})


def test_seeds_are_counted_from_one() -> None:
    assert seeds_from("3") == range(1, 4)
    assert seeds_from("7-9") == range(7, 10)
    for wrong in ("0", "9-7", "none", ""):
        with pytest.raises(ValueError):  # noqa: PT011 - of int, or ours
            seeds_from(wrong)
    assert command("", [1, 2], long=True) == 'SEEDS=1-2 SCENARIO="" LONG=1 make faults'
