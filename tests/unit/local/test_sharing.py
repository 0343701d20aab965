"""The files that are said to share a stack are those that do."""

from itertools import chain
from pathlib import Path

from tests.sharing import UNITS, place, unit

TESTS = Path(__file__).parents[2]
SHARED = {
    folder: next(files for files in UNITS if files[0].startswith(f"tests/{folder}/"))
    for folder in ("e2e", "faults", "browser/modelled")
}


def test_each_file_is_there_and_in_one_unit() -> None:
    files = list(chain(*UNITS))
    assert [file for file in files if not (TESTS.parent / file).is_file()] == []
    assert len(files) == len(set(files))


def test_files_of_a_folder_whose_stack_is_shared_stay_together() -> None:
    """But for one that needs none, and one that needs its own."""
    others = ("test_judging.py", "test_more_scenarios.py")
    for folder, (first, *_) in SHARED.items():
        for path in (TESTS / folder).glob("test_*.py"):
            file = f"tests/{folder}/{path.name}"
            assert (unit(file) == first) == (path.name not in others), file


def test_the_long_ones_begin_and_who_is_not_named_stays_where_it_was() -> None:
    files = ["tests/a.py", "tests/e2e/test_takeover.py", "tests/0.py", UNITS[0][0], UNITS[1][0]]
    assert sorted(files, key=place) == [
        UNITS[0][0],
        "tests/e2e/test_takeover.py",
        UNITS[1][0],
        "tests/a.py",
        "tests/0.py",
    ]
    assert unit("tests/a.py") == "tests/a.py"
