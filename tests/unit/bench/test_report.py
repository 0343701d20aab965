"""What a run leaves behind, the tables made of it, and the goals that the document names."""

import json
import re
import sys
from pathlib import Path

import pytest

from tests.bench.__main__ import BENCHMARKS
from tests.bench.figures import Figure, Goal
from tests.bench.report import BEGIN, END, merged, report, store, stored, with_figures

PAGE = Path(__file__).parents[3] / "docs" / "performance.md"
TURNS = Figure("turns : ideal", (1.1, 1.2, 1.3), goal=Goal("at most", 1.15))
SIZE = Figure("memory: sender, a|b", (61.5,), "MB", note="at rest")


def test_a_run_replaces_what_it_measured_and_keeps_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "made" / "bench.json"
    store(report({"turns": [TURNS], "memory": [SIZE]}, 7, 0.1), path)
    store(report({"memory": [TURNS]}, 3, 0.1), path)
    found = stored(path)["benchmarks"]
    assert [figure["name"] for figure in found["memory"]["figures"]] == [TURNS.name]
    assert found["memory"]["rounds"] == 3
    assert found["turns"]["rounds"] == 7
    assert json.loads(json.dumps(found)) == found


def test_tables_stand_between_the_markers_and_the_rest_of_the_page_stays() -> None:
    found = merged({}, report({"memory": [SIZE], "turns": [TURNS]}, 7, 0.1))
    page = with_figures(f"before\n{BEGIN}\nold\n{END}\nafter\n", found, ["turns", "memory"])
    assert page.startswith("before\n")
    assert page.endswith("\nafter\n")
    assert "old" not in page
    assert page.index("`turns`") < page.index("`memory`")
    assert "| turns : ideal | ≤ 1.15 | 1.2 x | ±8.3% | 1.1 … 1.3 | **not met** |" in page
    assert "| memory: sender, a\\|b |  | 61.5 MB |  |  | at rest |" in page
    assert with_figures(page, found, ["turns", "memory"]) == page


@pytest.mark.parametrize(("busy", "is_told"), [(0.1, False), (0.9, True)])
def test_a_busy_machine_is_told(busy: float, is_told: bool) -> None:
    found = report({"turns": [TURNS]}, 7, busy)
    assert ("**Noisy**" in with_figures(f"{BEGIN}{END}", found, ["turns"])) is is_told


@pytest.mark.parametrize("page", ["", BEGIN, f"{BEGIN}{END}{BEGIN}{END}"])
def test_a_page_without_its_markers_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match="markers"):
        with_figures(page, report({"turns": [TURNS]}, 7, 0.1), ["turns"])


def test_no_table_is_made_of_nothing() -> None:
    with pytest.raises(ValueError, match="nothing was measured"):
        with_figures(f"{BEGIN}{END}", {}, ["turns"])


@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_document_names_every_benchmark_and_each_of_its_goals(name: str) -> None:
    """A goal is a constant of the benchmark's module."""
    row = re.search(rf"^\| `{name}` \|.*$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert row is not None
    module = sys.modules[BENCHMARKS[name].__module__]
    goals = {str(value) for value in vars(module).values() if isinstance(value, Goal)}
    named = set(row.group().rpartition(" | ")[2].removesuffix(" |").split(", "))
    assert goals <= named


def test_the_documents_markers_are_there() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page.count(BEGIN) == page.count(END) == 1
