"""What is written down or vendored is what it says."""

import gzip
import hashlib
import json
import re
from pathlib import Path

from libs.common.openapi import text
from services.console.api.openapi import document, refusals
from services.console.api.routes import OPERATIONS
from services.console.web.pages import NAVIGATION, ROOT, STATIC_FOLDER, asset

DOCUMENT = Path(__file__).parents[3] / "docs" / "openapi-console.json"
VENDOR = STATIC_FOLDER / "vendor"


def test_the_openapi_document_is_current() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == text(document(OPERATIONS)), (
        "write it anew: make docs"
    )


def test_every_operation_is_documented_with_its_errors() -> None:
    paths = json.loads(DOCUMENT.read_text(encoding="utf-8"))["paths"]
    names = set()
    for operation in OPERATIONS:
        described = paths[f"/api/v1{operation.path}"][operation.method.lower()]
        names.add(described["operationId"])
        assert str(operation.status if operation.answer else 204) in described["responses"]
        for refusal in refusals(operation):
            assert f"`{refusal.code}`" in described["responses"][str(refusal.status)]["description"]
    assert len(names) == len(OPERATIONS)


def test_vendored_files_are_unchanged_and_have_their_licence() -> None:
    lines = (VENDOR / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    sums = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    files = {path.name for path in VENDOR.iterdir()} - {"SHA256SUMS", "README.md"}
    assert set(sums) == files
    for name, expected in sums.items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == expected, name
    for name in files - {each for each in files if each.endswith(".txt")}:
        assert f"{name.partition('-')[0]}-LICENSE.txt" in files, name


def test_pages_ask_for_nothing_that_is_missing_or_elsewhere() -> None:
    templates = {path.name: path.read_text("utf-8") for path in (ROOT / "templates").glob("*.html")}
    for name, source in templates.items():
        for wanted in re.findall(r"asset\('([^']+)'\)", source):
            assert asset(wanted).startswith("/static/"), name
        assert not re.findall(r"(?:src|href|action)=\"(?:https?:)?//", source), name
        assert "<style" not in source, name
        assert not re.search(r"\sstyle=|\son\w+=\"|<script>(?!<)", source), name


def test_icons_that_are_named_are_in_the_sprite() -> None:
    sprite = (VENDOR / "lucide-1.62.0.svg").read_text(encoding="utf-8")
    there = set(re.findall(r"<symbol id=\"([\w-]+)\"", sprite))
    named = {place.icon for place in NAVIGATION}
    for path in (ROOT / "templates").glob("*.html"):
        source = path.read_text(encoding="utf-8")
        named |= set(re.findall(r"icon\(\"([\w-]+)\"\)", source))
        named |= set(re.findall(r"empty\(\"([\w-]+)\"", source))
    assert named <= there


def test_what_a_page_loads_is_small() -> None:
    """Compressed as a proxy does: 90 KB at most, script and style together."""
    source = (ROOT / "templates" / "page.html").read_text(encoding="utf-8")
    names = re.findall(r"asset\('([^']+\.(?:js|css))'\)", source)
    sizes = {name: len(gzip.compress((STATIC_FOLDER / name).read_bytes())) for name in names}
    assert len(sizes) == 6
    assert sum(sizes.values()) < 90_000, sizes
