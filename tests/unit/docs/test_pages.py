"""What the documents say about the project is there: links, commands, files, decisions, metrics."""

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FOLDERS = ("services", "libs", "simulator", "deploy", "tests", "docs", "requirements")
_PICTURE = re.compile(r"images/([\w-]+\.png)")
LARGEST_PICTURE_BYTES, ALL_PICTURES_BYTES = 150_000, 4_500_000

_LINK = re.compile(r"\]\(([^)\s]+)\)|(?:src|srcset)=\"([^\"]+)\"")
_COMMAND = re.compile(r"(?:^|[`&;= ])make ([a-z][a-z-]+)", re.MULTILINE)
_CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
_FILE = re.compile(rf"`((?:{'|'.join(FOLDERS)})/[\w./*-]+)`")
_METRIC = re.compile(r"(?:Counter|Gauge|Histogram)\(\s*\"(assistant_\w+)\"")


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


every_page = pytest.mark.parametrize("page", PAGES, ids=named)


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    links = [one or other for one, other in _LINK.findall(_prose(page))]
    assert [link for link in links if not _resolves(page, link)] == []


def _resolves(page: Path, link: str) -> bool:
    if link.startswith(("http://", "https://", "mailto:")):
        return True
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    return target.exists() and (not anchor or anchor in _anchors(target))


@cache
def _anchors(page: Path) -> frozenset[str]:
    """As code hosts make them from headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return frozenset(
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings
    )


def _prose(page: Path) -> str:
    return re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)


@every_page
def test_make_has_every_command_that_is_shown(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    code = " ".join(_CODE.findall(page.read_text(encoding="utf-8")))
    assert set(_COMMAND.findall(code)) <= targets


@every_page
def test_files_that_are_named_exist(page: Path) -> None:
    named_files = _FILE.findall(page.read_text(encoding="utf-8"))
    here = [
        name
        for name in named_files
        if not any(f"{name}/".startswith(f"{each}/") for each in _made())
    ]
    assert [name for name in here if not [*ROOT.glob(name.rstrip("/"))]] == []


@cache
def _made() -> frozenset[str]:
    """What is made where it runs, and never committed."""
    lines = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    return frozenset(line.strip("/") for line in lines if line.startswith("deploy/"))


def test_every_target_is_explained_by_make_help_or_for_internal_use() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    silent = {
        line.partition(":")[0]
        for line in makefile.splitlines()
        if re.match(r"[a-z-]+:(?!=)", line) and "## " not in line
    }
    assert silent == {"lint", "unit"}


def test_decisions_are_numbered_listed_and_complete() -> None:
    folder = ROOT / "docs" / "adr"
    listing = (folder / "README.md").read_text(encoding="utf-8")
    records = sorted(folder.glob("[0-9]*.md"))
    numbers = [record.name[:4] for record in records]
    assert len(numbers) == len(set(numbers)), "two decisions have one number"
    for record in records:
        text = record.read_text(encoding="utf-8")
        title = text.splitlines()[0].removeprefix("# ")
        assert title.startswith(record.name[:4])
        assert f"- [{title}]({record.name})" in listing
        headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
        assert headings == ["Context", "Decision", "Consequences", "Revisit when"]


def test_operations_tells_every_metric_and_no_other() -> None:
    code = [
        path.read_text(encoding="utf-8")
        for folder in ("services", "libs")
        for path in (ROOT / folder).rglob("*.py")
    ]
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    told = set(re.findall(r"`(assistant_\w+)", page))
    counted = {name for text in code for name in _METRIC.findall(text)}
    assert told == counted, "docs/operations.md has a row for each metric"


def test_pictures_are_small_and_each_is_shown() -> None:
    sizes = {path.name: path.stat().st_size for path in ROOT.glob("docs/images/*.png")}
    assert sizes
    assert {name: size for name, size in sizes.items() if size > LARGEST_PICTURE_BYTES} == {}
    assert sum(sizes.values()) < ALL_PICTURES_BYTES
    pages = [ROOT / "README.md", *ROOT.glob("docs/*.md")]
    shown = {name for page in pages for name in _PICTURE.findall(page.read_text(encoding="utf-8"))}
    assert shown == sizes.keys()
